package store

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

const (
	// compactEvery is how often segments are looked at.
	compactEvery = time.Second
	// compactRetry is how long nothing is tried after a failure.
	compactRetry = 30 * time.Second
	// askMost bounds the messages that are asked for under one lock of their queue.
	askMost = 4096
)

// compactor rewrites segments: those of which little is alive, so that disk
// follows what is, and many small ones as one, so that a queue is in few. A merge
// asks the queues' indexes message by message what to keep. Nothing is locked for
// longer than a thousand of these take, and the merge paces itself.
//
// The new segment is complete and on disk before the Merged record is appended.
// With that, under the log's append lock, its number stands for the old ones in
// the table; the queues' runs get it one by one behind that. What is acked
// meanwhile is a bit in the queue, wherever the message lies. The old files go
// when the record is durable (segments.reap).
type compactor struct {
	s    *Store
	quit chan struct{}
	done chan struct{}

	mu    sync.Mutex // one merge at a time; guards all below
	retry time.Time  // nothing is tried before
	end   uint64     // of the log, a second ago,
	alive int64      // and bytes in segments

	pacing  bool
	resumed time.Time // when the merge last went on
	debt    time.Duration
}

// errStopped ends a merge, or a retirement, when the store is closed.
var errStopped = fmt.Errorf("stopped: %w", wal.ErrClosed)

func (c *compactor) init(s *Store) {
	c.s = s
	c.quit, c.done = make(chan struct{}), make(chan struct{})
}

func (c *compactor) start() {
	c.end = uint64(c.s.log.Appended())
	go c.loop()
}

func (c *compactor) stop() {
	close(c.quit)
	<-c.done
}

func (c *compactor) loop() {
	defer close(c.done)
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-tick.C:
		}
		if c.s.log.Err() != nil {
			return // nothing more will be written
		}
		if err := c.tick(); err != nil && c.s.log.Err() == nil && !errors.Is(err, errStopped) {
			c.s.opts.Logger.Error("segments cannot be compacted; it is tried again later", "dir", c.s.segments.dir, "err", err)
		}
	}
}

// tick does one merge if one is worth it.
func (c *compactor) tick() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy := c.busy()
	if time.Now().Before(c.retry) {
		return nil
	}
	list, err := c.pick(false, busy)
	if err == nil && len(list) > 0 {
		c.pacing = true
		err = c.merge(list)
	}
	if err != nil {
		c.retry = time.Now().Add(compactRetry)
	}
	return err
}

// busy tells whether much was published or consumed in the last second. What is
// not urgent then waits: it would take the processor from whoever is at work, and
// rewrite what is about to go.
func (c *compactor) busy() bool {
	end, alive := uint64(c.s.log.Appended()), c.s.segments.alive()
	busy := end-c.end >= quietBytes || c.alive-alive >= quietBytes
	c.end, c.alive = end, alive
	return busy
}

// alive is the bytes of the messages that are alive in segments.
func (t *segments) alive() (bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		bytes += f.bytes
	}
	return bytes
}

// Compact rewrites at once, whatever their age, all segments of which a quarter
// or more is dead, and merges those of one size.
func (s *Store) Compact() error {
	c := &s.compactor
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		list, err := c.pick(true, false)
		if err == nil && len(list) > 0 {
			c.pacing = false
			err = c.merge(list)
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
	}
	s.retirer.mu.Lock()
	defer s.retirer.mu.Unlock()
	return s.segments.reap()
}

// pick chooses what to merge next; nothing where nothing is worth it.
func (c *compactor) pick(all, busy bool) ([]*sealed, error) {
	what, err := c.candidates(all)
	if err != nil || len(what.list) == 0 {
		return nil, err
	}
	what.busy, what.room = busy, math.MaxInt64
	if free, err := c.s.opts.FS.Free(c.s.segments.dir); err == nil && free < math.MaxInt64 {
		what.room = int64(free)
	}
	return what.segments(), nil
}

// candidates lists the segments that may be rewritten now.
func (c *compactor) candidates(all bool) (choice, error) {
	t := &c.s.segments
	for _, f := range t.list() {
		if err := c.examine(f); err != nil {
			return choice{}, err
		}
	}
	now := time.Now()
	what := choice{slack: c.s.opts.CompactSlack, all: all}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		if f.doomed || f.bad || f.building || f.info.Size == 0 {
			continue
		}
		share, most := f.share()
		x := candidate{f: f, size: f.info.Size, dead: int64(f.info.Records) - f.live, share: share, most: int64(most * float64(f.info.Size))}
		what.total += x.size
		what.live += x.live()
		if all || now.Sub(f.born) >= c.s.opts.CompactAge {
			what.list = append(what.list, x)
		}
	}
	slices.SortFunc(what.list, func(a, b candidate) int { return cmp.Compare(a.f.number, b.f.number) })
	return what, nil
}

// examine looks up what a segment is that an earlier process has made. No lock is
// held.
func (c *compactor) examine(f *sealed) error {
	t := &c.s.segments
	t.mu.Lock()
	known := f.info.Size != 0 || f.bad || f.doomed
	t.mu.Unlock()
	if known {
		return nil
	}
	// Not by the reader that claims use: that would keep the directory.
	r := segment.Open(c.s.opts.FS, t.dir, f.number, nil)
	info, err := whole(r)
	if err = errors.Join(err, r.Close()); err != nil && c.note(err, []*sealed{f}) {
		err = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.doomed {
		return nil // it may have been removed meanwhile
	}
	f.info = info
	return err
}

// whole tells of a segment whose directory is as it was written. One that had to be
// put together from the blocks may lack some: a merge would drop what somebody
// may still repair, and whether it has all that is alive it could not know.
func whole(r *segment.Reader) (segment.Info, error) {
	info, err := r.Info()
	if err == nil {
		err = r.Damage()
	}
	return info, err
}

// share is the part of a segment's bytes that is alive, and the most that it can
// be. Under segments.mu.
func (f *sealed) share() (share, most float64) { return aliveShare(&f.info, f.live, f.bytes) }

// merge makes one segment of several. Under mu.
func (c *compactor) merge(list []*sealed) error {
	t := &c.s.segments
	begin := time.Now()
	work := &c.s.figures.compaction
	// Each is held as it is, and not what it may be merged into: only this
	// goroutine merges.
	var inputs []*sealed
	defer func() {
		for _, f := range inputs {
			t.release(f)
		}
	}()
	var readers []*segment.Reader
	size := int64(0)
	for _, want := range list {
		f := t.acquire(want.number)
		if f == nil {
			continue // drained and removed meanwhile
		}
		inputs = append(inputs, f)
		readers = append(readers, f.reader)
		size += f.info.Size
		if _, err := whole(f.reader); err != nil {
			if c.note(err, []*sealed{f}) {
				return nil // the others are merged without it
			}
			return fmt.Errorf("merge %d segments: %w", len(list), err)
		}
	}
	if len(inputs) == 0 {
		return nil
	}
	level := segment.Better
	if size < c.s.opts.CompactSlack/classShare {
		level = segment.Fastest // it will soon be merged again
	}
	number, err := t.allocate()
	if err != nil {
		return err
	}
	asker := asker{s: c.s, inputs: inputs}
	c.resumed, c.debt = begin, 0
	info, err := segment.Merge(c.s.opts.FS, t.dir, number, readers, segment.MergeOptions{
		Options: segment.Options{Level: level, Expires: expiryOf},
		Keep:    asker.keep,
		Any:     asker.any,
		Pace:    c.pace,
	})
	switch {
	case err != nil:
	case info.Records > 0:
		err = c.install(info, inputs)
	default:
		c.drained(inputs)
	}
	work.done(begin, err)
	if err != nil {
		if c.note(err, inputs) {
			return nil // the others are merged without it
		}
		return fmt.Errorf("merge %d segments: %w", len(inputs), err)
	}
	work.files.Add(int64(len(inputs)))
	work.written.Add(info.Size)
	work.messages.Add(int64(info.Records))
	c.s.opts.Logger.Debug("segments merged", "segments", len(inputs), "into", number, "messages", info.Records, "bytes", info.Size, "took", time.Since(begin))
	return nil
}

// note remembers segments that are damaged, so that they are left alone from now
// on: what can be read of them is served from where it is. It tells whether the
// error was of that kind.
func (c *compactor) note(err error, inputs []*sealed) bool {
	var block *segment.BlockError
	var file *segment.CorruptError
	name := ""
	switch {
	case errors.As(err, &block):
		name = block.File
	case errors.As(err, &file):
		name = file.File
	default:
		return false
	}
	c.s.opts.Logger.Error("segment is damaged: it is not compacted, and keeps its size until its messages are gone", "err", err)
	t := &c.s.segments
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range inputs {
		if len(inputs) == 1 || filepath.Base(name) == segment.Name(f.number) {
			f.bad = true
			return true
		}
	}
	return false
}

// drained is told of segments in which a merge found nothing alive. They go by
// themselves. Where that is not so, a queue has messages of which there is
// nothing: to merge the segment again would find nothing again.
func (c *compactor) drained(inputs []*sealed) {
	t := &c.s.segments
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range inputs {
		if f.live > 0 {
			f.bad = true
		}
	}
}

// install makes a finished segment stand for its inputs.
func (c *compactor) install(info segment.Info, inputs []*sealed) error {
	f, err := c.record(info, inputs)
	if err != nil {
		return err
	}
	defer c.s.segments.built(f)
	return c.s.relabel(inputs)
}

// record appends the Merged record, with which the table changes.
func (c *compactor) record(info segment.Info, inputs []*sealed) (*sealed, error) {
	s, t := c.s, &c.s.segments
	olds := make([]uint64, len(inputs))
	for i, f := range inputs {
		olds[i] = f.number
	}
	size := record.MergedSize + 8*len(olds)
	if err := s.log.Begin(size, 1); err != nil {
		return nil, errors.Join(err, s.opts.FS.Remove(filepath.Join(t.dir, segment.Name(info.Number))))
	}
	f := t.add(info)
	_, rec := s.log.Put(size)
	record.PutMerged(rec, info.Number, olds)
	t.merge(f, inputs)
	s.log.End(wal.Lazy, nil)
	return f, nil
}

// relabel gives the queues' runs the number of what segments were merged into,
// and forgets the old ones.
func (s *Store) relabel(olds []*sealed) error {
	s.Queues(func(q *Queue) bool {
		q.mu.Lock()
		q.ix.Relabel(s.segments.resolve)
		q.mu.Unlock()
		return true
	})
	// Behind this no batch is under way that has seen an old number.
	if err := s.log.Begin(0, 0); err != nil {
		return err
	}
	s.segments.unalias(olds)
	s.log.End(wal.Lazy, nil)
	return nil
}

// asker tells a merge what is alive in its inputs.
type asker struct {
	s      *Store
	inputs []*sealed
	q      *Queue // the last one asked for
}

// queue finds a queue; nil: it was deleted.
func (a *asker) queue(id uint32) *Queue {
	if a.q == nil || a.q.id != id {
		a.q = a.s.queues.get(id)
	}
	return a.q
}

// keep implements segment.MergeOptions.Keep.
func (a *asker) keep(queue uint32, seqs []uint64, input int, live []bool) {
	q := a.queue(queue)
	if q == nil {
		return
	}
	number := a.inputs[input].number
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, seq := range seqs {
		in, ok := q.ix.InRun(seq)
		live[i] = ok && in == number
	}
}

// any implements segment.MergeOptions.Any: a block of which all is gone is not
// read.
func (a *asker) any(queue uint32, first, last uint64, input int) bool {
	q := a.queue(queue)
	if q == nil {
		return false
	}
	if last-first >= askMost {
		return true // what is left of many blocks: rather read than asked for
	}
	number := a.inputs[input].number
	q.mu.Lock()
	defer q.mu.Unlock()
	for seq := first; seq <= last; seq++ {
		if in, ok := q.ix.InRun(seq); ok && in == number {
			return true
		}
	}
	return false
}

// pace implements segment.MergeOptions.Pace: in the background a merge rests as
// long as it works, and reads no faster than Options.CompactRate.
func (c *compactor) pace(n int) error {
	c.s.figures.compaction.read.Add(int64(n))
	select {
	case <-c.quit:
		return errStopped
	default:
	}
	if !c.pacing {
		return nil
	}
	now := time.Now()
	worked := now.Sub(c.resumed)
	c.resumed = now
	c.debt += max(worked, time.Duration(float64(n)/float64(c.s.opts.CompactRate)*float64(time.Second))-worked)
	if c.debt < 5*time.Millisecond {
		return nil
	}
	timer := time.NewTimer(c.debt)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.quit:
		return errStopped
	}
	c.debt, c.resumed = 0, time.Now()
	return nil
}
