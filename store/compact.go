package store

import (
	"cmp"
	"errors"
	"fmt"
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
	// compactMost bounds, in bytes, what a merge writes, unless a single segment
	// is larger; and with that the room on disk that it takes for a while.
	compactMost = 1 << 30
	// askMost bounds the messages that are asked for under one lock of their queue.
	askMost = 4096
	// compactInputs bounds the files that a merge has open.
	compactInputs = 64

	// A segment is thin, and worth a rewrite on its own, where less than an eighth
	// of it is alive: seven bytes come free for one that is written. Until then the
	// bound on all of them together decides.
	thinShare = 1.0 / 8
	// fatShare: a segment of which more is alive is not rewritten for room.
	fatShare = 3.0 / 4

	// tierWidth segments of one size class are merged into one, so that a queue is
	// in few of them: a message is rewritten once a class, each of which is
	// 1<<tierShift times as large as the one before. Where the broker is busy it
	// waits until there are tierPatience.
	tierWidth    = 8
	tierPatience = 32
	tierShift    = 3
	// classShare: the smallest class, and the least that is worth a rewrite, is
	// this part of Options.CompactSlack.
	classShare = 64
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
	facts map[uint64]segment.Info
	bad   map[uint64]bool // segments that cannot be read to their end

	pacing  bool
	resumed time.Time // when the merge last went on
	debt    time.Duration
}

// errStopped ends a merge, or a retirement, when the store is closed.
var errStopped = fmt.Errorf("stopped: %w", wal.ErrClosed)

func (c *compactor) init(s *Store) {
	c.s = s
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	c.facts, c.bad = map[uint64]segment.Info{}, map[uint64]bool{}
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
	list, err := c.pick(pickBackground, busy)
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
		list, err := c.pick(pickAll, false)
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

type pickMode uint8

const (
	pickBackground pickMode = iota
	pickAll
)

// candidate is a segment that may be rewritten.
type candidate struct {
	f     *sealed
	size  int64   // of the file
	dead  int64   // messages
	share float64 // of its bytes that are alive
}

func (c *candidate) live() int64 { return int64(c.share * float64(c.size)) }

// pick chooses what to merge next; nothing where nothing is worth it.
func (c *compactor) pick(mode pickMode, busy bool) ([]*sealed, error) {
	all, total, live, err := c.candidates(mode)
	if err != nil {
		return nil, err
	}
	return c.choose(all, total, live, mode, busy), nil
}

func (c *compactor) choose(all []candidate, total, live int64, mode pickMode, busy bool) []*sealed {
	if list := c.thin(all, total, live, mode, busy); len(list) > 0 {
		return list
	}
	return c.tier(all, mode, busy)
}

// candidates lists the segments that may be rewritten now, by number, and the
// bytes in all segments and those that are alive.
func (c *compactor) candidates(mode pickMode) (list []candidate, total, live int64, err error) {
	t := &c.s.segments
	files := t.list()
	known := make(map[uint64]segment.Info, len(files))
	for _, f := range files {
		info, ok := c.facts[f.number]
		if !ok && !c.bad[f.number] {
			// Not by the reader that claims use: that would keep the directory.
			r := segment.Open(c.s.opts.FS, t.dir, f.number, nil)
			info, err = whole(r)
			if err = errors.Join(err, r.Close()); err != nil {
				if !c.note(err, []*sealed{f}) {
					return nil, 0, 0, err
				}
			}
		}
		known[f.number] = info
	}
	c.facts = known
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range files {
		if f.doomed || c.bad[f.number] {
			continue
		}
		info := c.facts[f.number]
		f.size, f.raw = info.Size, info.Raw
		x := candidate{f: f, size: info.Size, dead: int64(info.Records) - f.live, share: f.share()}
		total += x.size
		live += x.live()
		if mode == pickAll || now.Sub(f.born) >= c.s.opts.CompactAge {
			list = append(list, x)
		}
	}
	return list, total, live, nil
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

// thin chooses those of which the least is alive: each that is thin by itself, when
// there is time, and where all together take more than twice what is alive and a constant, so
// many that they take one and a half times that and half the constant.
func (c *compactor) thin(all []candidate, total, live int64, mode pickMode, busy bool) []*sealed {
	slack := c.s.opts.CompactSlack
	share, enough := thinShare, int64(0)
	switch {
	case mode == pickAll:
		share = fatShare
	case total > 2*live+slack:
		share, enough = fatShare, live/2*3+slack/2
	case busy:
		return nil
	}
	var some []candidate
	for _, x := range all {
		// What was merged has nothing dead: whatever its sizes say, it is not
		// rewritten before a message of it has gone.
		if x.dead > 0 && x.share < share {
			some = append(some, x)
		}
	}
	slices.SortFunc(some, func(a, b candidate) int { return cmp.Compare(a.share, b.share) })
	var list []*sealed
	var free, size int64
	for _, x := range some {
		if len(list) == compactInputs || len(list) > 0 && (size+x.live() > compactMost || total-free <= enough && x.share >= thinShare) {
			break
		}
		list = append(list, x.f)
		size += x.live()
		free += x.size - x.live()
	}
	if mode == pickBackground && free < slack/classShare {
		return nil
	}
	return list
}

// tier chooses segments of one size class, the oldest of it first.
func (c *compactor) tier(all []candidate, mode pickMode, busy bool) []*sealed {
	bounds := sizeClasses(c.s.opts.CompactSlack)
	classes := make([][]candidate, len(bounds)+1)
	for _, x := range all {
		class := sizeClass(bounds, x.size)
		classes[class] = append(classes[class], x)
	}
	width, least := tierWidth, tierWidth/2
	switch {
	case mode == pickAll:
		width, least = 2, 2
	case busy:
		width = tierPatience
	}
	for _, list := range classes {
		if len(list) < width {
			continue
		}
		var chosen []*sealed
		size := int64(0)
		for _, x := range list[:min(len(list), compactInputs)] {
			if size+x.live() <= compactMost {
				chosen = append(chosen, x.f)
				size += x.live()
			}
		}
		if len(chosen) >= least {
			return chosen
		}
	}
	return nil
}

// sizeClasses lists the bounds of the size classes, ascending. What is at least
// as large as the last is a class of its own, which has none.
func sizeClasses(slack int64) (bounds []int64) {
	for b := max(slack/classShare, 1); b < compactMost; b <<= tierShift {
		bounds = append(bounds, b)
	}
	return bounds
}

// sizeClass is the number of a size's class.
func sizeClass(bounds []int64, size int64) int {
	n, found := slices.BinarySearch(bounds, size)
	if found {
		n++
	}
	return n
}

// share is the part of a segment's bytes that is alive. Under segments.mu.
func (f *sealed) share() float64 {
	if f.raw == 0 {
		return 1
	}
	return min(1, float64(f.bytes)/float64(f.raw))
}

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
		size += c.facts[f.number].Size
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
		Options: segment.Options{Level: level},
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
	for _, f := range inputs {
		if len(inputs) == 1 || filepath.Base(name) == segment.Name(f.number) {
			c.bad[f.number] = true
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
			c.bad[f.number] = true
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
