package store

import (
	"errors"
	"github.com/leveret-mq/leveret/internal/record"
	iofs "io/fs"
	"path/filepath"
	"sync"

	"github.com/leveret-mq/leveret/wal"
)

// After a restart, a message that may have been delivered before says so. The
// log must know that before the message leaves. Two ways lead there:
//
// A message that arrives while consumers wait for it is marked by its own
// record: then it is known exactly when the message itself is, and nothing has
// to wait.
//
// For the others the queue has a mark, below which everything counts as
// delivered. A record moves it ahead of the cursor by a window, which doubles
// each time, so that what is wrongly called redelivered after a power cut is
// never much more than what was delivered. The record is appended when half of
// the window before is used up, and durable, as a rule, before the rest is.

const (
	// markWindow is the largest window, in messages. Half of it is to last for
	// longer than a sync takes: a backlog of small messages drains half as fast
	// with a quarter of it.
	markWindow = 16384
	// markShort is how many messages may wait before one that its own record
	// marks: it will leave soon.
	markShort = 4096
)

// covered tells whether the log knows that seq may have been delivered. Under
// mu.
func (q *Queue) covered(seq uint64) bool {
	if seq < q.safe {
		return true
	}
	if q.markLSN != 0 && q.s.log.Durable() >= q.markLSN {
		q.safe, q.markLSN = q.ix.Mark(), 0
	}
	return seq < q.safe
}

// runsLow tells whether the mark should move on soon. Under mu.
func (q *Queue) runsLow() bool {
	mark := q.ix.Mark()
	return q.covered(mark-1) && mark < q.ix.Next() && q.ix.Cursor()+uint64(q.window)/2 >= mark
}

// raiseMark appends a record that moves the mark past seq, or, with ahead, on
// from where it is. It does nothing where another goroutine has done so
// meanwhile. It returns what must be durable for the mark to hold. No lock is
// held.
func (q *Queue) raiseMark(seq uint64, ahead bool) (wal.LSN, error) {
	log := q.s.log
	if err := log.Begin(record.MarkSize, 1); err != nil {
		return 0, err
	}
	q.mu.Lock()
	mark := q.ix.Mark()
	if ahead && q.runsLow() || !ahead && seq >= mark && seq < q.ix.Next() {
		q.window = min(max(2*q.window, 1), markWindow)
		mark = min(max(mark, seq)+uint64(q.window), q.ix.Next())
		q.ix.RaiseMark(mark)
		lsn, rec := log.Put(record.MarkSize)
		record.PutQueueWord(rec, record.Delivered, 0, q.id)
		le.PutUint64(rec[record.QueueSize:], mark)
		q.markLSN = lsn + record.MarkSize
	}
	wait := q.markLSN
	q.mu.Unlock()
	log.End(wal.Group, nil)
	return wait, nil
}

// When the log has failed, neither way is left, and consumers are still served.
// A marker file then tells the next Open that anything may have been delivered.

const markerFile = "FAILED"

type marker struct {
	leave sync.Once
	found bool // by Open; under checkpoints.mu once that has started
}

// leaveMarker writes the marker before the first delivery on a failed log, if
// it can: it needs no more than a name in the directory.
func (s *Store) leaveMarker() {
	s.marker.leave.Do(func() {
		name := filepath.Join(s.dir, markerFile)
		f, err := s.opts.FS.Create(name)
		if errors.Is(err, iofs.ErrExist) {
			err = nil
		} else if err == nil {
			err = f.Close()
		}
		if err == nil {
			err = s.opts.FS.SyncDir(s.dir)
		}
		if err != nil {
			s.opts.Logger.Error("deliveries on the failed log cannot be marked; after a restart they may come again without saying so", "file", name, "err", err)
		}
	})
}

func (s *Store) findMarker() (bool, error) {
	f, err := s.opts.FS.Open(filepath.Join(s.dir, markerFile))
	if errors.Is(err, iofs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

// removeMarker removes what Open found, once a checkpoint knows it. Under
// checkpoints.mu.
func (s *Store) removeMarker() {
	if !s.marker.found {
		return
	}
	if err := s.opts.FS.Remove(filepath.Join(s.dir, markerFile)); err == nil || errors.Is(err, iofs.ErrNotExist) {
		s.marker.found = false
	}
}
