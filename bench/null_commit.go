package bench

import (
	"errors"
	"os"
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// leadMost is how many messages a read may have brought for its reader to
// commit them itself where the file is idle.
const leadMost = 4

// circleSize is the length of the file, which is more than any group takes but those of
// giant messages, and no more than the kernel keeps in memory for good.
const circleSize = 64 << 20

// committer writes to one file and syncs once a group: all that came while the
// sync before ran. The file has all its blocks from the beginning and is written over
// in a circle, as logs are whose files are used again, so that a sync has nothing to
// write but what was published. One commit is under way at a time, by the goroutine
// or, for small reads on an idle file, by the reader that has need of it.
type committer struct {
	f    *os.File
	size int64 // of the file

	mu      sync.Mutex
	wake    sync.Cond
	staged  []byte    // under mu
	waiting []promise // under mu
	busy    bool      // under mu: a commit is under way
	closed  bool      // under mu
	err     error     // under mu: the first failure, after which nothing is confirmed
	done    sync.WaitGroup

	// Of the one who is busy.
	buf   []byte
	owed  []promise
	reply []byte
	at    int64 // in the file
}

// promise is a confirm that is owed.
type promise struct {
	c   *nullConn
	ch  uint16
	tag uint64
}

func newCommitter(f *os.File, size int64) (*committer, error) {
	if err := allocate(f, size); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	c := &committer{f: f, size: size}
	c.wake.L = &c.mu
	c.done.Go(c.run)
	return c, nil
}

// append stages b, n messages, and sees to it that what is promised is confirmed
// when it is on disk.
func (k *committer) append(b []byte, p promise, n uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.staged = append(k.staged, b...)
	k.waiting = append(k.waiting, p)
	if k.busy {
		return // it will be taken when the commit is done
	}
	if n > leadMost {
		k.wake.Signal()
		return
	}
	k.commit()
	if len(k.staged) > 0 {
		k.wake.Signal()
	}
}

func (k *committer) run() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		for (len(k.staged) == 0 || k.busy) && !k.closed {
			k.wake.Wait()
		}
		if k.closed {
			return
		}
		k.commit()
	}
}

// commit writes and syncs what is staged. The caller has mu, which is let go
// meanwhile.
func (k *committer) commit() {
	k.busy = true
	k.staged, k.buf = k.buf[:0], k.staged
	k.waiting, k.owed = k.owed[:0], k.waiting
	k.mu.Unlock()
	err := k.write(k.buf)
	if err == nil {
		err = syncData(k.f)
	}
	if err == nil {
		for i, p := range k.owed {
			if i+1 < len(k.owed) && k.owed[i+1].c == p.c && k.owed[i+1].ch == p.ch {
				continue // the next tag covers this one
			}
			k.reply = wire.AppendAck(k.reply[:0], p.ch, p.tag, true)
			p.c.answer(k.reply)
		}
	} else {
		for _, p := range k.owed {
			p.c.nc.Close()
		}
	}
	clear(k.owed)
	k.mu.Lock()
	k.busy = false
	k.err = errors.Join(k.err, err)
	if k.closed {
		k.wake.Broadcast()
	}
}

// write writes on from where the last write has ended.
func (k *committer) write(b []byte) error {
	for len(b) > 0 {
		n := min(int64(len(b)), k.size-k.at)
		if _, err := k.f.WriteAt(b[:n], k.at); err != nil {
			return err
		}
		b, k.at = b[n:], (k.at+n)%k.size
	}
	return nil
}

// close ends the committer once nobody appends any more, and removes the file.
func (k *committer) close() error {
	k.mu.Lock()
	k.closed = true
	k.wake.Broadcast()
	k.mu.Unlock()
	k.done.Wait()
	return errors.Join(k.err, k.f.Close(), os.Remove(k.f.Name()))
}
