package store

import (
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/wal"
)

// scarce tells whether an error is about this process alone, which lacks
// descriptors, memory or rights, or is closing the log.
func scarce(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, fs.ErrPermission, fs.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// harmed tells whether an error is about the message: it is not where the log
// has it.
func harmed(err error) bool {
	return errors.Is(err, wal.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, new(*large.CorruptError))
}

const (
	// ioPatience is for how long a message that the disk does not give up holds
	// up its queue before it is set aside.
	ioPatience = 10 * time.Second
	// troubleMost bounds how many queues are remembered for that.
	troubleMost = 1024
)

// trouble remembers the messages that hold up their queues.
type trouble struct {
	some   atomic.Bool // there are queues
	mu     sync.Mutex
	queues map[*Queue]heldUp
}

type heldUp struct {
	seq   uint64
	since time.Time
}

// passes notes that a message could not be read and tells whether there is
// still hope. Only one that fails for long with an error of the disk itself is
// given up, and then the next one gets the same patience: a whole backlog is not
// set aside for a disk that is away.
func (t *trouble) passes(q *Queue, seq uint64, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.queues[q]
	if ok && h.seq == seq {
		if now.Sub(h.since) < ioPatience {
			return true
		}
		delete(t.queues, q)
		return false
	}
	if t.queues == nil || len(t.queues) >= troubleMost {
		t.queues = map[*Queue]heldUp{}
	}
	t.queues[q] = heldUp{seq, now}
	t.some.Store(true)
	return true
}

// over forgets a queue from which could be read.
func (t *trouble) over(q *Queue) {
	if t.some.Load() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.queues, q)
		t.some.Store(len(t.queues) > 0)
	}
}

// warnEvery keeps the log readable where every delivery fails.
const warnEvery = 10 * time.Second

func (s *Store) warnUnreadable(err error) {
	last, now := s.warned.Load(), time.Now().UnixNano()
	if now-last >= int64(warnEvery) && s.warned.CompareAndSwap(last, now) {
		s.opts.Logger.Error("messages cannot be read at the moment; their queues wait", "err", err)
	}
}

// asideLines bounds what is logged of messages that are set aside: the first so
// many, and then each so many-th.
const asideLines = 100

// setAside takes a claimed message that cannot be read out of the way, and says
// where it lies. It stays in the queue's data, so that its log file stays too,
// and is tried again after a restart.
func (q *Queue) setAside(seq uint64, cause error) {
	q.mu.Lock()
	e, ok := q.ix.Get(seq)
	q.ix.SetAside(seq)
	q.mu.Unlock()
	if !ok {
		return // acked meanwhile
	}
	n := q.s.damaged.Add(1)
	if n > asideLines && n%asideLines != 0 {
		return // a whole file is bad: its messages need not fill the disk again
	}
	var file string
	var offset int64
	switch {
	case isLarge(e.Addr):
		file = q.s.larges.dir.Name(e.Addr &^ largeBit)
	case e.Sealed():
		file = q.s.segments.name(e.Addr)
	case e.Logged():
		file, offset, _ = q.s.log.Locate(wal.LSN(e.Addr))
	default:
		file, offset = q.s.arena.Locate(e.Addr)
	}
	q.s.opts.Logger.Error("message cannot be read and is set aside; its queue goes on",
		"queue", q.id, "seq", seq, "file", file, "offset", offset, "lsn", e.Addr, "bytes", e.Len, "so_far", n, "err", cause)
}
