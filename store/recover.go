package store

import (
	"errors"
	"fmt"
	"github.com/leveret-mq/leveret/internal/record"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

const (
	checkpointPrefix = "checkpoint-"
	catalogPrefix    = "catalog-"
	tempSuffix       = ".tmp"
)

func snapshotName(prefix string, number uint64) string { return fmt.Sprintf("%s%020d", prefix, number) }

// parseSnapshotName takes a snapshot file's name apart.
func parseSnapshotName(name string) (prefix string, number uint64, ok bool) {
	for _, prefix := range []string{checkpointPrefix, catalogPrefix} {
		if digits, ok := strings.CutPrefix(name, prefix); ok {
			number, err := strconv.ParseUint(digits, 10, 64)
			return prefix, number, err == nil && name == snapshotName(prefix, number)
		}
	}
	return "", 0, false
}

// CorruptError says that a snapshot or a record cannot be what was written.
type CorruptError struct {
	File  string
	Cause error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("%s is corrupt: %v", e.File, e.Cause) }

func (e *CorruptError) Unwrap() error { return e.Cause }

// recover brings the store to the state that its files tell of, and opens the
// log.
func (s *Store) recover() error {
	present, err := s.openLarges(filepath.Join(s.dir, largeFolder))
	if err != nil {
		return err
	}
	found, err := s.loadNewest()
	if err != nil {
		return err
	}
	c := &s.checkpoints
	walDir := filepath.Join(s.dir, walFolder)
	if found && c.current.number == 0 {
		if names, err := s.opts.FS.ReadDir(walDir); err != nil || len(names) == 0 {
			return &CorruptError{s.dir, errors.New("no checkpoint can be read, and there is no log")}
		}
	}
	r := replayer{s: s}
	s.log, err = wal.Open(s.opts.FS, walDir, c.current.replay, s.opts.WAL, r.record)
	if err != nil {
		return err
	}
	if start := s.log.Recovered().Start; c.current.number == 0 && start != 0 {
		err := fmt.Errorf("no checkpoint can be read, and the log begins at %d", start)
		return errors.Join(&CorruptError{s.dir, err}, s.log.Close())
	}
	r.tally.flush(&s.live)
	err = s.segments.recovered()
	if err == nil {
		err = s.larges.recovered(present, s.log.Appended())
	}
	if err != nil {
		return errors.Join(err, s.log.Close())
	}
	if s.marker.found, err = s.findMarker(); err != nil {
		return errors.Join(err, s.log.Close())
	}
	s.Queues(func(q *Queue) bool {
		if s.marker.found {
			q.ix.RaiseMark(q.ix.Next())
		}
		q.ix.Recovered()
		q.safe = q.ix.Mark()
		q.setExpiry()
		s.recovered += q.ix.Len()
		return true
	})
	return nil
}

// loadNewest loads the newest checkpoint that can be read. found tells whether
// there was any, readable or not.
func (s *Store) loadNewest() (found bool, err error) {
	names, err := s.opts.FS.ReadDir(s.dir)
	if err != nil {
		return false, fmt.Errorf("read directory %s: %w", s.dir, err)
	}
	var numbers []uint64
	for _, name := range names {
		if base, temp := strings.CutSuffix(name, tempSuffix); temp {
			if _, _, ok := parseSnapshotName(base); ok {
				if err := s.opts.FS.Remove(filepath.Join(s.dir, name)); err != nil {
					return false, err
				}
			}
			continue
		}
		if prefix, number, ok := parseSnapshotName(name); ok {
			s.checkpoints.number = max(s.checkpoints.number, number)
			if prefix == checkpointPrefix {
				numbers = append(numbers, number)
			}
		}
	}
	slices.Sort(numbers)
	for _, number := range slices.Backward(numbers) {
		err := s.load(number)
		if err == nil {
			return true, nil
		}
		if bad := (*CorruptError)(nil); !errors.As(err, &bad) {
			return true, err
		}
		s.opts.Logger.Error("checkpoint is damaged; falling back to the one before", "err", err)
		s.fellBack++
		s.forgetAll()
	}
	return len(numbers) > 0, nil
}

// forgetAll undoes a load.
func (s *Store) forgetAll() {
	s.queues = registry{}
	s.catalog.slots, s.catalog.where, s.catalog.free = nil, nil, nil
	s.live.init(s.opts.WAL.FileSize)
	s.segments.forget()
	s.larges.reset()
	s.nextQueue.Store(firstQueue)
}

// load reads a checkpoint and its catalog.
func (s *Store) load(number uint64) error {
	var h index.Header
	var l index.Loader
	var q *Queue
	var tally liveTally
	gone := func(e index.Entry) { s.found(&tally, e, -1) }
	last := uint32(0)
	name := snapshotName(checkpointPrefix, number)
	size, err := s.readSnapshot(name, number, &h, func(kind byte, p []byte) error {
		switch {
		case kind == index.BlockState:
			if q != nil {
				q.ix = l.Done(gone)
			}
			id, next, err := index.LoadState(p)
			if err != nil {
				return err
			}
			if s.queues.get(id) != nil {
				return fmt.Errorf("queue %d stands there twice", id)
			}
			l, q = next, s.newQueue(id)
			last = max(last, id) // it may have been made after the header was
			return nil
		case kind == index.BlockEntries && q != nil:
			return l.LoadEntries(p, func(e index.Entry) { s.found(&tally, e, 1) })
		case kind == index.BlockRuns && q != nil:
			return l.LoadRuns(p)
		case kind == index.BlockTimes && q != nil:
			return l.LoadTimes(p)
		case kind == index.BlockAcks && q != nil:
			return l.LoadAcks(p)
		}
		return fmt.Errorf("block of kind %d is not expected here", kind)
	})
	if err != nil {
		return err
	}
	if q != nil {
		q.ix = l.Done(gone)
	}
	tally.flush(&s.live)
	if h.Catalog != 0 {
		if err := s.loadCatalog(h.Catalog); err != nil {
			return err
		}
	}
	s.nextQueue.Store(max(h.NextQueue, after(last)))
	s.segments.next = max(s.segments.next, h.NextSegment)
	s.checkpoints.current = snapshotID{number: number, catalog: h.Catalog, replay: wal.LSN(h.Replay)}
	s.checkpoints.size, s.checkpoints.loaded = size, size
	s.checkpoints.lastSize.Store(size)
	return nil
}

func (s *Store) loadCatalog(number uint64) error {
	var h index.Header
	_, err := s.readSnapshot(snapshotName(catalogPrefix, number), number, &h, func(kind byte, p []byte) error {
		if kind != index.BlockCatalog || len(p) < 4 || uint64(le.Uint32(p)) > uint64(len(p)-4) {
			return fmt.Errorf("block of kind %d and %d bytes is no catalog entry", kind, len(p))
		}
		n := le.Uint32(p)
		s.catalog.put(string(p[4:4+n]), p[4+n:])
		return nil
	})
	s.catalog.dirty.Store(false)
	return err
}

// readSnapshot reads a snapshot file block by block and returns its size.
// Damage is a *CorruptError.
func (s *Store) readSnapshot(name string, number uint64, h *index.Header, block func(kind byte, p []byte) error) (size int64, err error) {
	name = filepath.Join(s.dir, name)
	var f vfs.File
	if f, err = s.opts.FS.Open(name); err != nil {
		return 0, &CorruptError{name, err} // a catalog that is missing
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return 0, fmt.Errorf("size of %s: %w", name, err)
	}
	r, err := index.NewReader(f, size)
	if errors.Is(err, index.ErrVersion) {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return 0, &CorruptError{name, err}
	}
	*h = r.Header
	if h.Number != number {
		return 0, &CorruptError{name, fmt.Errorf("it says that it is number %d", h.Number)}
	}
	for {
		kind, p, err := r.Next()
		if err == io.EOF {
			return size, nil
		}
		if err == nil {
			err = block(kind, p)
		}
		if err != nil {
			return 0, &CorruptError{name, err}
		}
	}
}

// after is the id behind one that is in use.
func after(id uint32) uint32 { return max(id, id+1) }

// newQueue registers a durable queue that recovery found.
func (s *Store) newQueue(id uint32) *Queue {
	q := &Queue{s: s, id: id, durable: true}
	s.queues.add(q)
	return q
}

// replayer applies the log's records to the state that a checkpoint gave.
// Every record may be there already, in whole or, of a batch that was applied
// while the checkpoint was written, in part.
type replayer struct {
	s     *Store
	q     *Queue // the last one asked for
	tally liveTally
}

// queue finds a queue; nil: it was deleted later than all this.
func (r *replayer) queue(id uint32) *Queue {
	if r.q == nil || r.q.id != id {
		if q := r.s.queues.get(id); q != nil {
			r.q = q
		} else {
			return nil
		}
	}
	return r.q
}

// gone is told of entries that leave a queue.
func (r *replayer) gone(_ uint64, e index.Entry) { r.s.found(&r.tally, e, -1) }

// found counts entries that recovery has, or has no more. What is in segments is
// counted when all is replayed.
func (s *Store) found(t *liveTally, e index.Entry, n int64) {
	switch {
	case isLarge(e.Addr):
		s.larges.found(e, n)
	case !e.Sealed():
		t.add(&s.live, e.Addr, e.Len, n)
	}
}

// record applies a record.
func (r *replayer) record(lsn wal.LSN, p []byte) error {
	rec, err := record.Decode(p)
	if err == nil {
		err = r.apply(lsn, p, &rec)
	}
	if err != nil {
		return &CorruptError{fmt.Sprintf("record at lsn %d of the log in %s", lsn, r.s.dir), err}
	}
	return nil
}

func (r *replayer) apply(lsn wal.LSN, p []byte, rec *record.Record) error {
	s := r.s
	switch rec.Kind {
	case record.Publish, record.PublishLarge:
		var point index.Entry
		expires := rec.Expires
		if rec.Kind == record.PublishLarge {
			point = index.MakeEntry(largeBit|rec.File, rec.Length, rec.Length-rec.Overhead, index.Logged)
		} else {
			body, at, err := record.BodyLen(rec.Blob)
			if err != nil {
				return err
			}
			expires = at
			point = index.MakeEntry(uint64(lsn)+uint64(len(p)-len(rec.Blob)), uint32(len(rec.Blob)), body, index.Logged)
		}
		for i := range rec.Pairs.Len() {
			id, seq, flags := rec.Pairs.At(i)
			q := r.queue(id)
			if q == nil {
				continue
			}
			if err := q.checkSeq(seq); err != nil {
				return err
			}
			e := point
			if flags&record.PairMarked != 0 {
				e.Flags |= index.Marked
			}
			restored := false
			if expires != 0 {
				restored = q.ix.RestoreExpiring(seq, e, expires)
			} else {
				restored = q.ix.Restore(seq, e)
			}
			if restored {
				s.found(&r.tally, e, 1)
			}
		}
	case record.Put:
		s.catalog.put(string(rec.Key), rec.Value)
	case record.Delete:
		s.catalog.delete(string(rec.Key))
	case record.CreateQueue:
		if r.queue(rec.Queue) == nil {
			r.q = s.newQueue(rec.Queue)
		}
		s.nextQueue.Store(max(s.nextQueue.Load(), after(rec.Queue)))
	case record.Sealed:
		return r.sealed(rec)
	case record.Merged:
		olds := make([]uint64, len(rec.Items)/8)
		for i := range olds {
			olds[i] = rec.Old(i)
		}
		s.segments.replayMerge(rec.Segment, olds)
	default:
		if q := r.queue(rec.Queue); q != nil {
			return r.applyTo(q, rec)
		}
	}
	return nil
}

// sealed applies a sealed record. What it moves was published before it.
func (r *replayer) sealed(rec *record.Record) error {
	r.s.segments.use(rec.Segment)
	in := func(addr uint64) bool { return addr >= rec.From && addr < rec.To }
	for i := range len(rec.Items) / record.SpanSize {
		id, first, end := rec.Span(i)
		q := r.queue(id)
		if q == nil {
			continue
		}
		if first >= end || end > q.ix.Next() {
			return fmt.Errorf("messages %d to %d of queue %d, which is at %d, cannot be in segment %d", first, end, id, q.ix.Next(), rec.Segment)
		}
		q.ix.Seal(first, end, rec.Segment, in, r.gone)
	}
	return nil
}

// applyTo applies a record about one queue.
func (r *replayer) applyTo(q *Queue, rec *record.Record) error {
	n := len(rec.Items) / record.RangeSize
	switch rec.Kind {
	case record.Ack:
		for i := range n {
			first, count := rec.Item(i)
			if count == 0 {
				continue
			}
			last := first + uint64(count) - 1
			if err := q.checkSeq(last); err != nil {
				return err
			}
			// The range may reach over messages that were never logged.
			q.ix.Skip(last + 1)
			q.ix.AckQuietly(first, last, r.gone)
		}
	case record.Requeue:
		for i := range n {
			seq, count := rec.Item(i)
			q.ix.SetCount(seq, count)
		}
	case record.Delivered:
		if err := q.checkSeq(rec.Mark); err != nil {
			return err
		}
		q.ix.RaiseMark(rec.Mark)
	case record.DeleteQueue:
		q.flags.Or(queueDeleted)
		removed := q.ix.Clear()
		removed.Each(func(e index.Entry) { r.gone(0, e) })
		r.s.queues.remove(q)
		r.q = nil
	}
	return nil
}

// checkSeq refuses a number that no run of this store can have given: it would
// make the bitmap eat the memory.
func (q *Queue) checkSeq(seq uint64) error {
	if seq > q.ix.Next()+record.MaxAhead {
		return fmt.Errorf("message number %d is impossible for queue %d, which is at %d", seq, q.id, q.ix.Next())
	}
	return nil
}
