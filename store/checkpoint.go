package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

const (
	// checkpointSlice bounds how many entries are written under a queue's lock
	// in one go: about 50 µs.
	checkpointSlice = 1024
	// checkpointChunks does the same for bitmaps of 64 Ki messages.
	checkpointChunks = 2
	// checkpointShare: the log between two checkpoints is at least so many
	// times as large as the checkpoint.
	checkpointShare = 4
	// reclaimEvery is how often the log's files are looked at, for those that
	// the next checkpoint would free.
	reclaimEvery = time.Second
	// retryAfter is how long a checkpoint that failed is not tried by that clock.
	retryAfter = 30 * time.Second
)

// checkpoints writes snapshots of all queues and removes the files that they
// make superfluous.
type checkpoints struct {
	s *Store

	due  milestone // when the next one is to be written
	quit chan struct{}
	done chan struct{}

	mu       sync.Mutex // one checkpoint at a time; guards all below
	number   uint64     // the highest that was used
	current  snapshotID // newest that is on disk; its number 0: there is none
	previous snapshotID // kept in case the newest is damaged
	size     int64      // of the newest
	retry    time.Time  // not to be tried by the clock before
	closed   bool

	// Figures, apart from mu since a checkpoint holds that for long.
	written    atomic.Int64 // by this process
	lastReplay atomic.Uint64
	lastSize   atomic.Int64 // of the newest
	loaded     int64        // of the one that Open has read, bytes
}

// snapshotID is what must be known of a checkpoint on disk.
type snapshotID struct {
	number, catalog uint64
	replay          wal.LSN
}

func (c *checkpoints) start() {
	c.due.init()
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	c.due.set(c.nextDue())
	go c.loop()
}

// nextDue is the position at which the checkpoint after the current one is due:
// large ones come rarely, but a replay is never longer than the log's budget.
// Under mu, or before there are others.
func (c *checkpoints) nextDue() uint64 {
	o := &c.s.opts
	return uint64(c.current.replay) + uint64(max(o.CheckpointBytes, min(checkpointShare*c.size, o.WALBudget)))
}

func (c *checkpoints) loop() {
	defer close(c.done)
	tick := time.NewTicker(reclaimEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-c.due.wake:
		case <-tick.C:
			c.s.sweepLarges()
			if !c.pays() {
				continue
			}
		}
		if c.s.log.Err() != nil {
			return // nothing more will be written
		}
		if err := c.s.Checkpoint(); err != nil {
			c.s.opts.Logger.Error("checkpoint failed; the log is kept, and the next attempt comes with more of it", "dir", c.s.dir, "err", err)
		}
	}
}

// pays tells whether a checkpoint would free, now or with the one after it,
// enough of the log for its own cost.
func (c *checkpoints) pays() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.retry) {
		return false
	}
	free := int64(0)
	for _, f := range c.s.log.Files() {
		if c.s.live.dead(f) {
			free += f.Disk
		}
	}
	return free > c.size
}

// Checkpoint writes the state of all queues to disk, so that a restart needs
// only the log that follows, and removes the log's files that hold nothing any
// more. The store does so by itself from time to time.
func (s *Store) Checkpoint() error { return s.checkpoints.write(false) }

func (c *checkpoints) stop() {
	close(c.quit)
	<-c.done
}

// write makes a checkpoint. An exact one tells what was delivered and not what
// the log has promised might be; nothing may happen meanwhile, or after.
//
// The checkpoint is fuzzy: each piece is of its own moment, all of them later
// than the position from which the log will be replayed over it. That is
// harmless since replaying what a piece holds already changes nothing. But
// nothing in it may be less durable than the file itself: before the file gets
// its name, all batches whose effects may be in it have ended and are synced.
func (c *checkpoints) write(exact bool) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return wal.ErrClosed
	}
	c.closed = exact
	s := c.s
	defer func() {
		if errors.Is(err, syscall.ENOSPC) {
			s.log.DropSpares() // what has room to give, before the next attempt
		}
		if err != nil { // try again when the log has grown, or after a while
			c.due.set(uint64(s.log.Appended()) + uint64(s.opts.CheckpointBytes))
			c.retry = time.Now().Add(retryAfter)
		}
	}()
	if exact {
		// Leave nothing to replay that would say more than the truth.
		if err := s.barrier(); err != nil {
			return err
		}
	}
	id := snapshotID{number: c.number + 1, replay: s.log.Boundary(), catalog: c.current.catalog}
	c.number++
	removable := c.removable()

	// A change of the catalog from now on sets dirty again.
	if s.catalog.dirty.Swap(false) {
		id.catalog = id.number
		if err := c.writeCatalog(id.number); err != nil {
			s.catalog.dirty.Store(true)
			return err
		}
		defer func() {
			if err != nil {
				s.catalog.dirty.Store(true)
			}
		}()
	}
	w, err := c.create(checkpointPrefix, index.Header{
		Number: id.number, Replay: uint64(id.replay), Catalog: id.catalog, NextQueue: s.nextQueue.Load(), NextSegment: s.segments.unused(),
	})
	if err != nil {
		return err
	}
	defer w.abandon()
	buf := make([]*Queue, 0, 256)
	for i := 0; i >= 0; {
		buf, i = s.queues.next(i, buf)
		for _, q := range buf {
			w.queue(q, exact)
		}
	}
	if err := s.barrier(); err != nil {
		return err
	}
	if err := w.finish(); err != nil {
		return err
	}
	c.previous, c.current, c.size = c.current, id, w.off
	c.written.Add(1)
	c.lastReplay.Store(uint64(id.replay))
	c.lastSize.Store(w.off)
	c.due.set(c.nextDue())
	c.clean(removable)
	s.removeMarker()
	return nil
}

// barrier waits until every batch that has any effect yet is durable.
func (s *Store) barrier() error {
	for {
		if err := s.log.Begin(0, 0); err != nil { // no batch is in its midst now
			return err
		}
		halfway := s.halfway.Load() > 0 // but one between its frames
		s.log.End(wal.Lazy, nil)
		if !halfway {
			return s.log.Wait(s.log.Appended())
		}
		runtime.Gosched()
	}
}

// removable lists the log's files that hold nothing live and that no replay
// needs, not even from the checkpoint before the one that is about to be
// written. What made them so is durable when that one is.
func (c *checkpoints) removable() []wal.FileInfo {
	var list []wal.FileInfo
	for _, f := range c.s.log.Files() {
		if f.End <= c.current.replay && c.s.live.dead(f) {
			list = append(list, f)
		}
	}
	return list
}

// clean removes what the new checkpoint made superfluous. What cannot be
// removed stays until the next time.
func (c *checkpoints) clean(files []wal.FileInfo) {
	s := c.s
	for _, f := range files {
		if err := s.log.Remove(f.Seq); err != nil {
			s.opts.Logger.Warn("log file cannot be removed", "file", f.Name, "err", err)
		}
	}
	names, err := s.opts.FS.ReadDir(s.dir)
	if err != nil {
		s.opts.Logger.Warn("data directory cannot be read", "dir", s.dir, "err", err)
		return
	}
	for _, name := range names {
		prefix, number, ok := parseSnapshotName(name)
		if !ok {
			continue
		}
		switch prefix {
		case checkpointPrefix:
			ok = number != c.current.number && number != c.previous.number
		case catalogPrefix:
			ok = number != c.current.catalog && number != c.previous.catalog
		}
		if !ok {
			continue
		}
		if err := s.opts.FS.Remove(filepath.Join(s.dir, name)); err != nil {
			s.opts.Logger.Warn("old checkpoint cannot be removed", "file", filepath.Join(s.dir, name), "err", err)
		}
	}
}

func (c *checkpoints) writeCatalog(number uint64) error {
	w, err := c.create(catalogPrefix, index.Header{Number: number})
	if err != nil {
		return err
	}
	defer w.abandon()
	buf := make([]catalogEntry, 0, 256)
	for i := 0; i >= 0; {
		buf, i = c.s.catalog.next(i, buf)
		for _, e := range buf {
			at := w.begin(index.BlockCatalog)
			w.buf = le.AppendUint32(w.buf, uint32(len(e.key)))
			w.buf = append(append(w.buf, e.key...), e.value...)
			w.end(at)
		}
	}
	return w.finish()
}

// snapshotWriter writes a snapshot file under a temporary name.
type snapshotWriter struct {
	fs      vfs.FS
	dir     string
	name    string // the final one
	temp    string
	f       vfs.File // nil when finished
	buf     []byte
	off     int64         // what is written
	written *atomic.Int64 // the same, by all snapshots
	blocks  uint64
	err     error
}

// snapshotBuffer is how many bytes are gathered before they are written.
const snapshotBuffer = 256 << 10

func (c *checkpoints) create(prefix string, h index.Header) (*snapshotWriter, error) {
	w := &snapshotWriter{fs: c.s.opts.FS, dir: c.s.dir, written: &c.s.figures.checkpointBytes}
	w.name = filepath.Join(w.dir, snapshotName(prefix, h.Number))
	w.temp = w.name + tempSuffix
	var err error
	if w.f, err = w.fs.Create(w.temp); err != nil {
		return nil, fmt.Errorf("create %s: %w", w.temp, err)
	}
	w.buf = h.Append(nil)
	return w, nil
}

// begin and end frame a block that is appended to buf between them.
func (w *snapshotWriter) begin(kind byte) int {
	at := len(w.buf)
	w.buf = index.BeginBlock(w.buf, kind)
	return at
}

func (w *snapshotWriter) end(at int) {
	index.EndBlock(w.buf, at)
	w.blocks++
	if len(w.buf) >= snapshotBuffer {
		w.flush()
	}
}

func (w *snapshotWriter) flush() {
	if w.err != nil {
		w.buf = w.buf[:0]
		return
	}
	n, err := w.f.WriteAt(w.buf, w.off)
	if err == nil && n < len(w.buf) {
		err = errors.New("short write")
	}
	if err != nil {
		w.err = fmt.Errorf("write %s at %d: %w", w.temp, w.off, err)
	}
	w.off += int64(len(w.buf))
	w.written.Add(int64(len(w.buf)))
	w.buf = w.buf[:0]
}

// queue writes a queue, in slices: between them its lock is free.
func (w *snapshotWriter) queue(q *Queue, exact bool) {
	at := w.begin(index.BlockState)
	q.mu.Lock()
	if q.flags.Load()&queueGone != 0 {
		q.mu.Unlock()
		w.buf = w.buf[:at]
		return
	}
	w.buf = q.ix.AppendState(w.buf, q.id, exact)
	from, end := q.ix.Floor(), q.ix.Next()
	q.mu.Unlock()
	w.end(at)
	for from < end {
		giveWay()
		w.piece(q, index.BlockEntries, func() {
			w.buf, from = q.ix.AppendEntries(w.buf, from, end, checkpointSlice, exact)
		})
	}
	w.piece(q, index.BlockRuns, func() {
		w.buf, from, end = q.ix.AppendRuns(w.buf, end, q.s.segments.resolve)
	})
	if from < end {
		w.piece(q, index.BlockTimes, func() { w.buf = q.ix.AppendTimes(w.buf, end) })
	}
	for from < end {
		w.piece(q, index.BlockAcks, func() {
			w.buf, from = q.ix.AppendAcks(w.buf, from, end, checkpointChunks)
		})
	}
}

// piece writes a block that fn appends under the queue's lock, unless it is
// empty.
func (w *snapshotWriter) piece(q *Queue, kind byte, fn func()) {
	at := w.begin(kind)
	empty := len(w.buf)
	q.mu.Lock()
	fn()
	q.mu.Unlock()
	if len(w.buf) == empty {
		w.buf = w.buf[:at]
		return
	}
	w.end(at)
}

// finish completes the file and gives it its name, durably.
func (w *snapshotWriter) finish() error {
	w.buf = index.AppendEnd(w.buf, w.blocks)
	w.flush()
	if w.err != nil {
		return w.err
	}
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.temp, err)
	}
	err := w.f.Close()
	w.f = nil
	if err != nil {
		return fmt.Errorf("close %s: %w", w.temp, err)
	}
	if err := w.fs.Rename(w.temp, w.name); err != nil {
		return fmt.Errorf("rename %s: %w", w.temp, err)
	}
	if err := w.fs.SyncDir(w.dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", w.dir, err)
	}
	return nil
}

// abandon removes a file that was not finished, if it can.
func (w *snapshotWriter) abandon() {
	if w.f != nil {
		w.f.Close()
		w.fs.Remove(w.temp)
	}
}
