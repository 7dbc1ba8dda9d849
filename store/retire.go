package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/wal"
)

const (
	// retireEvery is how often the log is looked at where it does not grow.
	retireEvery = time.Second
	// retireRetry is how long nothing is tried after a failure.
	retireRetry = 5 * time.Second
	// quietBytes: a log that grows by less in a second leaves the disk to others.
	quietBytes = 4 << 20
	// The file that is being written is ended, when all is quiet, where it holds
	// that much; or less, of which the greater part is dead.
	quietFile     = 16 << 20
	quietDeadFile = 1 << 20
)

// retirer moves what is still alive in the oldest files of the log to segments,
// so that the files can go: when the log is larger than its budget, and when there
// is nothing better to do. It also removes segments that are empty.
type retirer struct {
	s    *Store
	due  milestone // when the log is to be looked at
	quit chan struct{}
	done chan struct{}

	mu     sync.Mutex           // one retirement at a time; guards all below
	retry  time.Time            // nothing is tried before
	moved  map[uint64]bool      // files that were retired, but for what cannot be read
	closed map[uint64]time.Time // when files were first seen that are not being written
	grown  uint64               // the log's end a second ago
	quiet  time.Time            // since when it has grown little

	throttle throttle
}

func (t *retirer) init(s *Store) {
	t.s = s
	t.due.init()
	t.quit, t.done = make(chan struct{}), make(chan struct{})
	t.moved, t.closed = map[uint64]bool{}, map[uint64]time.Time{}
	t.throttle.init(s)
}

func (t *retirer) start() {
	t.grown, t.quiet = uint64(t.s.log.Appended()), time.Now()
	t.plan()
	go t.loop()
}

func (t *retirer) stop() {
	close(t.quit)
	<-t.done
}

func (t *retirer) loop() {
	defer close(t.done)
	tick := time.NewTicker(retireEvery)
	defer tick.Stop()
	for {
		second := false
		select {
		case <-t.quit:
			return
		case <-t.due.wake:
		case <-tick.C:
			second = true
		}
		if t.s.log.Err() != nil {
			return // nothing more will be written
		}
		if err := t.work(second); err != nil && t.s.log.Err() == nil && !errors.Is(err, errStopped) {
			t.s.opts.Logger.Error("messages cannot be moved from the log to a segment; the log grows until the next attempt", "dir", t.s.dir, "err", err)
		}
	}
}

// work does what is due. second tells that it is called by the clock.
func (t *retirer) work(second bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if second {
		t.clock(now)
	}
	err := t.s.segments.reap() // which may be what a full disk waits for
	if err == nil && now.Before(t.retry) {
		return nil
	}
	for err == nil {
		f, ok := t.next(now)
		if !ok {
			break
		}
		err = t.retire(f)
		t.plan()
		select {
		case <-t.quit:
			return nil
		default:
		}
		err = errors.Join(err, t.s.segments.reap())
	}
	t.plan()
	if err != nil {
		t.retry = now.Add(retireRetry)
		t.throttle.failed()
	}
	return err
}

// clock notes once a second how the log grows, gives up the log's spare files
// where it does not grow much, and ends the file that is being
// written where it would otherwise keep, for an idle time, much that is dead.
func (t *retirer) clock(now time.Time) {
	log := t.s.log
	end := uint64(log.Appended())
	if end-t.grown >= quietBytes {
		t.quiet = now
	} else if t.s.opts.RetireAge >= 0 {
		log.DropSpares() // the disk follows what is alive
	}
	t.grown = end
	files := log.Files()
	maps.DeleteFunc(t.moved, func(seq uint64, _ bool) bool { return seq < files[0].Seq })
	t.s.live.forget(files[0].Seq)
	known := make(map[uint64]time.Time, len(files))
	for _, f := range files {
		if seen, ok := t.closed[f.Seq]; ok {
			known[f.Seq] = seen
		} else if !f.Active {
			known[f.Seq] = now
		}
	}
	t.closed = known
	if f := files[len(files)-1]; f.Active && f.Disk >= quietDeadFile && t.aged(now, t.quiet) {
		_, bytes := t.s.live.within(f)
		if f.Disk >= quietFile || bytes < f.Disk/2 {
			t.quiet = now // and not again at once
			if err := log.Rotate(); err != nil {
				t.s.opts.Logger.Warn("log file cannot be ended; it is tried again", "err", err)
			}
		}
	}
}

// aged tells whether something that began then is old enough to retire.
func (t *retirer) aged(now, then time.Time) bool {
	age := t.s.opts.RetireAge
	return age >= 0 && now.Sub(then) >= age
}

// next returns the file to retire next.
func (t *retirer) next(now time.Time) (wal.FileInfo, bool) {
	files, size := t.unretired()
	if len(files) == 0 || files[0].Active {
		return wal.FileInfo{}, false
	}
	f := files[0]
	if size > t.s.opts.WALBudget {
		return f, true
	}
	seen, ok := t.closed[f.Seq]
	return f, ok && t.aged(now, seen) && uint64(t.s.log.Appended())-t.grown < quietBytes && now.Sub(t.quiet) >= retireEvery
}

// unretired lists the log's files in which something is alive, and those behind
// the first of them, oldest first, and their size.
func (t *retirer) unretired() (files []wal.FileInfo, size int64) {
	for _, f := range t.s.log.Files() {
		if !t.moved[f.Seq] && (f.Active || !t.s.live.dead(f)) {
			files = append(files, f)
			size += f.Size
		}
	}
	return files, size
}

// plan says how far the log may grow until somebody looks at it again, and how
// far for free. Under mu.
func (t *retirer) plan() {
	_, size := t.unretired()
	wait := max(t.s.opts.WALBudget-size, t.s.fileSize()/8)
	t.due.set(uint64(t.s.log.Appended()) + uint64(wait))
	t.throttle.plan(size)
	t.s.figures.unretired.Store(size - int64(t.s.log.Appended()))
}

// Retire moves what is alive in the log to segments: what is due for it; with
// force, all of it.
func (s *Store) Retire(force bool) error {
	t := &s.retirer
	if !force {
		return t.work(true)
	}
	if err := s.barrier(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := s.log.Rotate(); err != nil {
		return err
	}
	files, _ := t.unretired()
	for _, f := range files {
		if f.Active {
			continue
		}
		if err := t.retire(f); err != nil {
			return err
		}
	}
	t.plan()
	return s.segments.reap()
}

// retire moves what is alive in a file to a segment. Under mu.
//
// A crash at any point before a message's Sealed record is durable leaves the
// message in the log, whatever there is of the segment; after it, in the
// segment, which was complete and synced before the record was written.
func (t *retirer) retire(f wal.FileInfo) error {
	begin := time.Now()
	work := &t.s.figures.retirement
	m, err := t.build(f, (*mover).scan)
	if damage := (*wal.CorruptError)(nil); errors.As(err, &damage) {
		t.s.opts.Logger.Error("log file is damaged; what can be read of it is moved message by message", "err", err)
		m, err = t.build(f, (*mover).pick)
	}
	if err != nil && !t.s.hasLogFile(f.Seq) {
		return nil // a checkpoint has removed it meanwhile: nothing in it is alive
	}
	if err != nil {
		if !errors.Is(err, errStopped) {
			work.done(begin, err)
		}
		return fmt.Errorf("retire %s: %w", f.Name, err)
	}
	if m.left > 0 {
		t.s.opts.Logger.Error("messages of a log file cannot be read; it is kept", "file", f.Name, "messages", m.left)
	}
	if m.sealed != nil {
		err = t.s.seal(m.sealed, f.Start, f.End, m.spans())
		t.s.segments.built(m.sealed)
		work.written.Add(m.sealed.info.Size)
		work.messages.Add(int64(m.n))
	}
	work.files.Add(1)
	work.read.Add(f.Size)
	work.done(begin, err)
	if err != nil {
		return err
	}
	t.moved[f.Seq] = true
	if m.left == 0 {
		// Else a granule that it shares with the next file could keep it.
		t.s.live.emptied(f.Seq)
	}
	t.throttle.retired(int64(f.End-f.Start), time.Since(begin))
	return nil
}

// hasLogFile tells whether a file of the log is still there.
func (s *Store) hasLogFile(seq uint64) bool {
	return slices.ContainsFunc(s.log.Files(), func(f wal.FileInfo) bool { return f.Seq == seq })
}
