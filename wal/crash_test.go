package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// The power is cut before every operation of a run that changes the file
// system; every image that the disk could then hold is recovered, and the
// images of a sample of these recoveries are recovered in their turn.
//
// What must hold: each recovery yields a prefix of the batches that were
// appended, each whole, in order and unchanged, and none that was reported
// durable is missing.

// history is what was appended and what was promised, as of some moment.
type history struct {
	batches   []batch // in the order of the log
	confirmed LSN     // somebody was told that all below is durable
	from      LSN     // the newest checkpoint's place
	removed   []FileInfo
}

type batch struct {
	end  LSN
	lsns []LSN
	recs []string
}

// check recovers fs and compares. It returns the log, still open, and how many
// batches it holds.
func (h history) check(fs vfs.FS, opts Options) (*Log, int, error) {
	// Where the records from `from` on begin in the batches.
	b := 0
	for b < len(h.batches) && h.batches[b].end <= h.from {
		b++
	}
	i := 0 // in the batch
	l, err := Open(fs, testDir, h.from, opts, func(lsn LSN, rec []byte) error {
		for b < len(h.batches) && i == len(h.batches[b].recs) {
			b, i = b+1, 0
		}
		switch {
		case b == len(h.batches):
			return fmt.Errorf("record %.20q at %d was never appended", rec, lsn)
		case lsn != h.batches[b].lsns[i] || string(rec) != h.batches[b].recs[i]:
			return fmt.Errorf("record %.20q at %d, and %.20q at %d was appended", rec, lsn, h.batches[b].recs[i], h.batches[b].lsns[i])
		}
		i++
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if b < len(h.batches) && i == len(h.batches[b].recs) {
		b, i = b+1, 0
	}
	if i != 0 {
		err = fmt.Errorf("batch %d came back in part: %d of %d records", b, i, len(h.batches[b].recs))
	} else if b < len(h.batches) && h.batches[b].end <= h.confirmed {
		err = fmt.Errorf("batch %d was durable up to %d and is missing", b, h.batches[b].end)
	} else if l.Appended() < h.confirmed {
		err = fmt.Errorf("log ends at %d, and was durable up to %d", l.Appended(), h.confirmed)
	}
	if err != nil {
		l.Close()
		return nil, 0, err
	}
	return l, b, nil
}

// scan compares what l has in a closed file with what was appended there.
func (h history) scan(l *Log, f FileInfo) error {
	type entry struct {
		lsn LSN
		rec string
	}
	// Where the next file is gone, nothing says where exactly this one ends: it may
	// have been written over a longer one, and may hold frames that were copied.
	end, least := f.End, 0
	for _, r := range h.removed {
		if r.Seq == f.Seq+1 {
			end = min(end, r.Start)
		}
	}
	var want []entry
	for _, b := range h.batches {
		for i, lsn := range b.lsns {
			at := lsn - recordHeader // an empty record's payload begins where its frame may end
			if at >= f.Start && at < f.End {
				want = append(want, entry{lsn, b.recs[i]})
				if at < end {
					least++
				}
			}
		}
	}
	n := 0
	err := l.Scan(f.Seq, func(lsn LSN, rec []byte) error {
		if n == len(want) || lsn != want[n].lsn || string(rec) != want[n].rec {
			return fmt.Errorf("record %d of %s is %.20q at %d", n, f.Name, rec, lsn)
		}
		n++
		return nil
	})
	if err == nil && n < least {
		err = fmt.Errorf("%d of %d records of %s", n, least, f.Name)
	}
	return err
}

// scanAll scans a log's closed files.
func (h history) scanAll(l *Log) error {
	for _, f := range l.Files() {
		if f.Active {
			continue
		}
		if err := h.scan(l, f); err != nil {
			return err
		}
	}
	return nil
}

// crasher runs a workload and checks the images of every operation.
type crasher struct {
	t     *testing.T
	opts  Options
	image vfs.ImageOptions
	deep  uint64 // one recovery in so many is cut in its turn

	mu  sync.Mutex
	h   history
	log atomic.Pointer[Log] // of this generation, nil while it is being opened
	// For failing: it removes files instead of reading them.
	removes  bool
	recycled uint64

	images int
	cuts   int // operations
	nested int
}

// watch checks the images of each of m's operations from now on.
func (c *crasher) watch(m *vfs.Mem) {
	m.OnOp(func(n int, op vfs.Op, name string) {
		c.cut(m, fmt.Sprintf("cut before operation %d (%s %s)", n, op, name))
	})
}

func (c *crasher) cut(m *vfs.Mem, what string) {
	if c.t.Failed() {
		return
	}
	c.mu.Lock()
	if l := c.log.Load(); l != nil {
		c.h.confirmed = max(c.h.confirmed, l.Durable())
	}
	h := c.h // the batches are only ever appended to
	c.cuts++
	c.mu.Unlock()
	for name, im := range m.Images(c.image) {
		c.images++
		what := what + ", " + name
		if c.deep > 0 && uint64(c.images)%c.deep == 0 {
			c.recoverAndCut(im, h, what)
			continue
		}
		l, _, err := h.check(im, c.opts)
		if err == nil {
			if c.images%5 == 0 { // closed files are much the same in all images of a moment
				err = h.scanAll(l)
			}
			l.Close()
		}
		if err != nil {
			c.t.Errorf("%s: %v", what, err)
			return
		}
	}
}

// recoverAndCut recovers an image, appends to the log and closes it, with the
// power cut before each operation.
func (c *crasher) recoverAndCut(m *vfs.Mem, h history, what string) {
	sub := &crasher{t: c.t, opts: c.opts, image: vfs.ImageOptions{MaxImages: 12, Seed: uint64(c.images)}, h: h}
	fork := m.Restart() // operations are counted from 1
	sub.watch(fork)
	l, n, err := h.check(fork, c.opts)
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
		return
	}
	sub.mu.Lock()
	sub.h.batches = slices.Clip(sub.h.batches[:n])
	sub.mu.Unlock()
	sub.log.Store(l)
	sub.append(l, 1, 100, Lazy, nil)
	l.Lead()
	if err := l.Close(); err != nil {
		c.t.Errorf("%s: recovered, appended, closed: %v", what, err)
	}
	sub.cut(fork, "at the end")
	if c.t.Failed() {
		c.t.Log("inside the recovery of: " + what)
	}
	c.nested += sub.images
}

var recordNumber atomic.Int64

// append appends a batch of n records of about size bytes.
func (c *crasher) append(l *Log, n, size int, m Mode, w Waiter) (end LSN, err error) {
	var b batch
	total := 0
	for range n {
		i := int(recordNumber.Add(1))
		b.recs = append(b.recs, fill(i, size+i%8))
		total += size + i%8
	}
	if err := l.Begin(total, n); err != nil {
		return 0, err
	}
	for _, r := range b.recs {
		lsn, p := l.Put(len(r))
		copy(p, r)
		b.lsns = append(b.lsns, lsn)
	}
	b.end = b.lsns[n-1] + LSN(len(b.recs[n-1]))
	c.mu.Lock() // inside the append lock, so that the order is the log's
	c.h.batches = append(c.h.batches, b)
	c.mu.Unlock()
	return l.End(m, w), nil
}

// open begins the next generation of the log.
func (c *crasher) open(m *vfs.Mem) *Log {
	c.t.Helper()
	c.watch(m)
	c.mu.Lock()
	h := c.h
	c.mu.Unlock()
	l, n, err := h.check(m, c.opts)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.h.batches = slices.Clip(c.h.batches[:n])
	c.mu.Unlock()
	c.log.Store(l)
	return l
}

// kill ends the generation as kill -9 does: what was written stays, what was
// not synced stays unsynced.
func (c *crasher) kill(m *vfs.Mem) *vfs.Mem {
	l := c.log.Load()
	c.mu.Lock()
	next := m.Restart()
	c.h.confirmed = max(c.h.confirmed, l.Durable())
	c.log.Store(nil)
	c.mu.Unlock()
	m.OnOp(nil)
	l.Close() // on the old file system: only its goroutine matters
	return next
}

// checkpoint takes a place to replay from and removes the files below it.
func (c *crasher) checkpoint(l *Log) {
	from := l.Boundary()
	if err := l.Wait(from); err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	c.h.from = max(c.h.from, from)
	c.mu.Unlock()
	for _, f := range l.Files() {
		if f.End <= from && !f.Active && f.Seq%3 != 0 { // gaps
			c.remove(l, f)
		}
	}
}

func (c *crasher) remove(l *Log, f FileInfo) {
	c.mu.Lock()
	c.h.removed = append(c.h.removed, f)
	c.mu.Unlock()
	if err := l.Remove(f.Seq); err != nil {
		c.t.Error(err)
	}
}

func TestPowerCutAnywhere(t *testing.T) {
	opts := tiny()
	c := &crasher{t: t, opts: opts, image: vfs.ImageOptions{MaxImages: 40}, deep: 60}
	if raceEnabled { // one goroutine: the detector only makes it slow
		c.image.MaxImages, c.deep = 8, 200
	}
	rng := rand.New(rand.NewPCG(1, 2))
	m := newMem(t)
	recycled, filled := uint64(0), 0
	for generation := range 6 {
		c.opts.Ahead = []int64{2048, -1, 1024}[generation%3]
		l := c.open(m)
		for range 40 {
			var end LSN
			for range 1 + rng.IntN(4) {
				n, size := 1+rng.IntN(3), rng.IntN(200)
				switch rng.IntN(20) {
				case 0:
					size = 2000 // more than a chunk
				case 1:
					n, size = 1, 0
				}
				var err error
				if end, err = c.append(l, n, size, Lazy, nil); err != nil {
					t.Fatal(err)
				}
			}
			switch rng.IntN(10) {
			case 0, 1, 2, 3:
				l.Lead()
			case 4, 5, 6, 7:
				if err := l.Wait(end); err != nil {
					t.Fatal(err)
				}
			case 8:
				if rng.IntN(3) == 0 {
					c.checkpoint(l)
				}
			case 9:
				if err := l.Rotate(); err != nil {
					t.Fatal(err)
				}
			}
			if f := l.active(); f.Disk > f.Size && f.Disk < opts.FileSize {
				filled++
			}
		}
		recycled += l.Stats().Recycled
		if generation%2 == 0 {
			m = c.kill(m)
		} else {
			l.mustClose(t)
			c.kill(m)
			m = m.Restart()
		}
	}
	if recycled < 5 || filled < 20 {
		t.Errorf("%d files were written over old ones, %d times one was filled ahead", recycled, filled)
	}
	t.Logf("%d operations, %d images recovered, %d images of those recoveries, %d files recycled", c.cuts, c.images, c.nested, recycled)
}

// The same with appenders of all kinds at work at once and the committer in a
// goroutine of its own.
func TestPowerCutUnderConcurrentAppenders(t *testing.T) {
	opts := tiny()
	opts.LazyDelay, opts.Ahead = time.Millisecond, 2048
	c := &crasher{t: t, opts: opts, image: vfs.ImageOptions{MaxImages: 15}, deep: 0}
	m := newMem(t)
	for range 3 {
		l := c.open(m)
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(3, uint64(g)))
				for i := range 40 {
					end, err := c.append(l, 1+rng.IntN(3), rng.IntN(200), []Mode{Lazy, Group, Lazy, Group}[g], nil)
					if err != nil {
						t.Error(err)
						return
					}
					switch {
					case g == 0:
						l.Lead()
					case g == 1:
						if err := l.Wait(end); err != nil {
							t.Error(err)
						}
					case g == 2 && i%10 == 9:
						if err := l.Rotate(); err != nil {
							t.Error(err)
						}
					case g == 3 && i%10 == 9:
						c.checkpoint(l)
					}
				}
			})
		}
		wg.Wait()
		m = c.kill(m)
	}
	t.Logf("%d operations, %d images recovered", c.cuts, c.images)
}

// A recovery that is cut again and again still loses nothing.
func TestPowerCutInEveryRecoveryOfARow(t *testing.T) {
	opts := tiny()
	c := &crasher{t: t, opts: opts}
	m := newMem(t)
	l := c.open(m)
	for i := range 20 {
		end, err := c.append(l, 2, 100, Lazy, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i < 18 {
			if err := l.Wait(end); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.CutAt(m.Ops() + 2) // the write goes through, the sync does not
	l.Lead()
	if l.Err() == nil {
		t.Fatal("the power was not cut")
	}
	h := c.h
	h.confirmed = l.Durable()
	l.Close()
	rng := rand.New(rand.NewPCG(4, 5))
	for round := range 200 {
		var images []*vfs.Mem
		for _, im := range m.Images(vfs.ImageOptions{MaxImages: 20, Seed: uint64(round)}) {
			images = append(images, im)
		}
		m = images[rng.IntN(len(images))].Restart()
		m.CutAt(1 + rng.IntN(8))
		l, n, err := h.check(m, opts)
		switch {
		case errors.Is(err, vfs.ErrCut):
			continue
		case err != nil:
			t.Fatal(err)
		}
		// It was up: from now on nothing that it replayed may go.
		h.batches, h.confirmed = h.batches[:n], max(h.confirmed, l.Durable())
		l.Close()
	}
}
