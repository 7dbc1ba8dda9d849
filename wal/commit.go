package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// maxGroup bounds in bytes what one fdatasync covers when frames have piled
// up, and so how long the first of them waits for the last.
const maxGroup = 4 << 20

// enough bytes are committed without waiting for more.
const enough = 32 << 10

// A waitEntry is a goroutine that sleeps in Wait.
type waitEntry struct {
	lsn LSN
	ch  chan struct{} // buffered, one signal
}

// idle tells whether nobody commits or is about to rotate. Under mu.
func (l *Log) idle() bool { return !l.busy && l.splits == 0 }

// wake rouses the committer if it has cause. Under mu.
func (l *Log) wake() {
	if l.idle() {
		l.work.Signal()
	}
}

// run is the committer.
func (l *Log) run() {
	defer close(l.exited)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for !l.stop && (!l.want || !l.idle()) {
			l.work.Wait()
		}
		if l.stop {
			return
		}
		// Those whom the last commit has woken are about to append again. To let
		// them run first makes fewer and larger commits: measured with 16
		// publishers on two cores, a tenth more throughput at a lower latency. But
		// where much is staged already it would only wait, in the processors' common
		// queue, behind whoever works in the background: 0.3 to 4 ms, while a file is
		// retired.
		if len(l.pending) == 0 && int64(align(l.off)-l.open.start) < enough {
			l.mu.Unlock()
			runtime.Gosched()
			l.mu.Lock()
		}
		if l.want && l.idle() {
			l.commit()
		}
	}
}

// lazyExpired is the lazy timer's function.
func (l *Log) lazyExpired() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if l.stagedAny() {
		l.want = true
		l.wake()
	}
}

// stagedAny tells whether a batch waits for a commit. Under mu.
func (l *Log) stagedAny() bool { return l.open.batches > 0 || len(l.pending) > 0 }

// Lead commits what is staged: in the calling goroutine if no other commits
// (leader commit, which saves two hand-offs), else by asking the one that does
// to go on, without waiting for it. It may call waiters, whoever's they are: no
// lock that they take may be held.
func (l *Log) Lead() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stagedAny() {
		return
	}
	l.want = true
	if l.idle() {
		l.commit()
	}
}

// Wait blocks until everything below lsn is durable, committing it itself if
// nobody else is at it; the rule for locks is Lead's. It fails when the log
// failed before, or was closed without ever reaching lsn.
func (l *Log) Wait(lsn LSN) error {
	if l.Durable() >= lsn {
		return nil
	}
	l.mu.Lock()
	for {
		switch {
		case l.Durable() >= lsn:
			l.mu.Unlock()
			return nil
		case l.Err() != nil:
			l.mu.Unlock()
			return l.Err()
		case l.stop:
			l.mu.Unlock()
			return ErrClosed
		}
		// The boundary may be beyond the last batch, by padding.
		if l.stagedAny() && max(l.Appended(), l.Boundary()) >= lsn {
			l.want = true
			if l.idle() {
				l.commit()
				continue
			}
		}
		ch := l.chans.get()
		l.waits = append(l.waits, waitEntry{lsn, ch})
		l.mu.Unlock()
		<-ch
		l.chans.put(ch)
		if l.Durable() >= lsn {
			return nil
		}
		l.mu.Lock()
	}
}

// chanPool keeps channels for Wait. It is a log's own, and no sync.Pool: a
// channel that has been in one synctest bubble must not be used in another.
type chanPool struct {
	mu   sync.Mutex
	free []chan struct{}
}

func (p *chanPool) get() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return make(chan struct{}, 1)
	}
	ch := p.free[n-1]
	p.free = p.free[:n-1]
	return ch
}

func (p *chanPool) put(ch chan struct{}) {
	p.mu.Lock()
	p.free = append(p.free, ch)
	p.mu.Unlock()
}

// takeWaits moves the channels of the sleepers whose time has come, or of all,
// to woken. Under mu, by the owner of busy; the signals are sent without mu.
func (l *Log) takeWaits(durable LSN, all bool) {
	keep := l.waits[:0]
	for _, w := range l.waits {
		if all || w.lsn <= durable {
			l.woken = append(l.woken, w.ch)
		} else {
			keep = append(keep, w)
		}
	}
	clear(l.waits[len(keep):])
	l.waits = keep
}

// wakeWaits signals those that takeWaits has found. By the owner of busy.
func (l *Log) wakeWaits() {
	for _, ch := range l.woken {
		ch <- struct{}{}
	}
	l.woken = l.woken[:0]
}

// commit takes a group of what is staged, writes and syncs it and tells the
// waiters. mu is held at entry and at exit, and busy is not set; in between mu
// is free for appenders, who fill the next frame behind the one being written.
func (l *Log) commit() {
	l.busy = true
	rotate := l.take()
	if len(l.group) > 0 {
		l.mu.Unlock()
		done, err := l.write(rotate)
		l.mu.Lock()
		l.finish(done, err)
	}
	l.busy = false
	l.progress.Broadcast()
	if l.want {
		l.work.Signal()
	}
}

// endsBefore tells whether a frame of n bytes should begin a new file: the active one
// is full; or it would grow, though there is a spare to be written over, and is long
// enough to become one itself.
func (l *Log) endsBefore(f *file, n int64) bool {
	used := f.size()
	return used > fileHeaderSize && (used+n > l.opts.FileSize ||
		used+n > f.length.Load() && l.opts.worth(used) && l.pool.any())
}

// take moves frames into the group: as many full ones as may go together, and
// the open one if it is the last. It tells whether they should begin a new file.
// Under mu, by the owner of busy.
func (l *Log) take() (rotate bool) {
	f := l.files.active
	used := f.size()
	var size int64
	fits := func(n int64) bool {
		if size == 0 {
			if rotate = l.endsBefore(f, n); rotate {
				used = fileHeaderSize
			}
			return true
		}
		return size+n <= maxGroup && used+size+n <= l.opts.FileSize
	}
	n := 0
	for n < len(l.pending) && fits(int64(l.pending[n].size())) {
		size += int64(l.pending[n].size())
		n++
	}
	if n == len(l.pending) && l.open.batches > 0 && fits(int64(align(l.off)-l.open.start)) {
		l.sealOpen()
		n++
	}
	l.group = append(l.group[:0], l.pending[:n]...)
	rest := copy(l.pending, l.pending[n:])
	clear(l.pending[rest:])
	l.pending = l.pending[:rest]
	if !l.stagedAny() {
		l.want = false
	}
	return rotate
}

// done is what a group's commit has cost.
type done struct {
	bytes       uint64
	write, wait time.Duration // wait is what of write was spent waiting for room
	sync        time.Duration
}

// write puts the group on disk. By the owner of busy, without mu.
func (l *Log) write(rotate bool) (d done, err error) {
	begin := time.Now()
	synced := l.Durable()
	if rotate && !begin.Before(l.rotateAfter) {
		if fatal, err := l.tryRotate(synced, true); fatal {
			return d, err
		} else if err != nil {
			l.postpone(err)
		}
	}
	f := l.files.active
	for _, fr := range l.group {
		b := fr.c.buf[fr.start:fr.end]
		frameHeader{
			length:  uint32(fr.payload),
			kind:    frameRecords,
			records: uint32(fr.records),
			nonce:   f.nonce,
			first:   fr.lsn(),
			synced:  synced,
		}.seal(b)
		waited, err := l.writeFrame(f, b, fr.lsn())
		d.wait += waited
		if err != nil {
			return d, err
		}
		d.bytes += uint64(len(b))
	}
	end := l.group[len(l.group)-1].endLSN()
	if err := l.fillAhead(f, end, d.bytes); err != nil {
		return d, err
	}
	written := time.Now()
	if err := f.h.Sync(); err != nil {
		return d, fmt.Errorf("sync %s: %w", f.name, err)
	}
	d.write = written.Sub(begin)
	d.sync = time.Since(written)
	f.end.Store(uint64(end))
	l.durable.Store(uint64(end))
	return d, nil
}

// count adds the group to the log's counters. Under mu, by the owner of busy.
func (l *Log) count(d done) {
	s := &l.stats
	batches := uint64(0)
	for _, f := range l.group {
		batches += uint64(f.batches)
		s.Records += uint64(f.records)
	}
	s.Commits++
	s.Frames += uint64(len(l.group))
	s.Batches += batches
	s.Bytes += d.bytes
	s.FullWait += d.wait
	s.Write.addTime(d.write - d.wait)
	s.Sync.addTime(d.sync)
	s.Group.add(batches)
}

// finish tells everybody how the group's commit went. Under mu, which it
// leaves while it calls the waiters.
func (l *Log) finish(d done, err error) {
	if err != nil {
		l.poison(err)
	} else {
		l.count(d)
	}
	err = l.Err()
	durable := l.Durable()
	l.takeWaits(durable, err != nil)
	l.progress.Broadcast()
	l.mu.Unlock()
	l.wakeWaits()
	for _, f := range l.group {
		for _, w := range f.waiters {
			w.Committed(durable, err)
		}
	}
	l.mu.Lock()
	for i, f := range l.group {
		clear(f.waiters)
		*f = frame{waiters: f.waiters[:0]}
		l.spare = append(l.spare, f)
		l.group[i] = nil
	}
	l.group = l.group[:0]
}

// poison ends the log's life: what is staged will never be written, and its
// waiters join the group's to be told. Under mu.
func (l *Log) poison(cause error) {
	err := fmt.Errorf("log %s has failed and takes no more records until it is opened again: %w", l.dir, cause)
	l.failure.Store(&err)
	l.opts.Logger.Error("write-ahead log failed", "dir", l.dir, "durable", l.durable.Load(), "err", cause)
	if l.open.batches > 0 {
		l.sealOpen()
	}
	l.group = append(l.group, l.pending...)
	clear(l.pending)
	l.pending = l.pending[:0]
	l.want = false
}

// Close commits what is staged, marks the log as closed in good order and
// releases its files. Appenders that wait get ErrClosed. It returns the
// failure that poisoned the log, if any. A second Close returns ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.GiveUp()
	l.progress.Broadcast() // to appenders blocked in Begin
	for {
		if l.busy {
			l.progress.Wait()
		} else if l.Err() == nil && l.stagedAny() {
			l.commit()
		} else {
			break
		}
	}
	if l.Err() == nil {
		l.busy = true
		l.mu.Unlock()
		err := l.writeSeal()
		l.mu.Lock()
		l.busy = false
		l.progress.Broadcast() // to Rotate
		if err != nil {
			l.poison(err)
		}
	}
	err := l.Err()
	l.stop = true
	l.want = false
	l.takeWaits(l.Durable(), true)
	l.work.Signal()
	l.lazy.Stop()
	l.mu.Unlock()
	l.wakeWaits()
	<-l.exited
	if cerr := l.files.close(); err == nil {
		err = cerr
	}
	return err
}

// writeSeal ends the active file with a frame that vouches for the last one.
// By the owner of busy.
func (l *Log) writeSeal() error {
	f := l.files.active
	if f.size() == fileHeaderSize {
		return nil
	}
	b := make([]byte, frameHeaderSize)
	end := l.Durable()
	frameHeader{kind: frameSeal, nonce: f.nonce, first: end, synced: end}.seal(b)
	if err := f.write(b, end); err != nil {
		return err
	}
	if err := f.h.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.name, err)
	}
	return nil
}

// write puts b, which begins at lsn, in its place in the file.
func (f *file) write(b []byte, lsn LSN) error { return writeAt(f.h, b, f.name, f.offset(lsn)) }

// writeAt writes b to the file that is to have a name; its error has that and
// the offset.
func writeAt(h vfs.File, b []byte, name string, off int64) error {
	n, err := h.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err // its path is the one that the file was made under
		}
		return fmt.Errorf("write %s at %d: %w", name, off, err)
	}
	return nil
}
