package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// dump writes down all that must survive: the catalog, the durable queues, and
// of their logged messages number, body and count.
func dump(t tb, s *Store) string { return dumpWith(t, s, map[place]string{}) }

// dumpWith remembers bodies.
func dumpWith(t tb, s *Store, bodies map[place]string) string {
	var lines []string
	s.Catalog(func(key string, value []byte) error {
		lines = append(lines, fmt.Sprintf("%s=%s", key, value))
		return nil
	})
	s.Queues(func(q *Queue) bool {
		line := fmt.Sprintf("queue %d:", q.id)
		q.mu.Lock()
		defer q.mu.Unlock()
		eachLogged(q, func(seq uint64, e index.Entry) {
			at := place{q.id, seq}
			body, ok := bodies[at]
			if !ok && isLarge(e.Addr) {
				body, ok = bodies[bodyOfFile(e.Addr)]
			}
			if !ok {
				body = string(readLogged(t, s, at, e).Body)
				bodies[at] = body
			}
			line += fmt.Sprintf(" %d:%s(%d)", seq, body, q.ix.Count(seq))
		})
		lines = append(lines, line)
		return true
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// marked tells whether the store could leave its marker: deliveries on a failed log
// cannot say so where nothing can be written at all.
func (c *script) marked() bool {
	names, err := c.o.FS.ReadDir(testDir)
	return err == nil && slices.Contains(names, markerFile)
}

// eachLocked is eachLogged beside others.
func eachLocked(q *Queue, fn func(seq uint64, e index.Entry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	eachLogged(q, fn)
}

// eachLogged calls fn with the messages that survive a restart; those in runs have
// Sealed and the segment as address.
func eachLogged(q *Queue, fn func(seq uint64, e index.Entry)) {
	for seq := q.ix.Floor(); seq < q.ix.Next(); seq++ {
		if e, ok := q.ix.Get(seq); ok {
			if e.Logged() {
				fn(seq, e)
			}
		} else if r, ok := q.ix.RunOf(seq); ok {
			fn(seq, index.Entry{Addr: r.Segment, Flags: index.Sealed | index.Logged})
		}
	}
}

// readLogged reads a message from where it lies.
func readLogged(t tb, s *Store, at place, e index.Entry) (m Message) {
	var err error
	if isLarge(e.Addr) {
		l := s.larges.get(e.Addr)
		if err = l.load(); err == nil {
			m, _, err = record.Parse(*l.head.Load())
		}
		if err == nil {
			var body string
			body, err = readLarge(l)
			m.Body = []byte(body)
		}
	} else if !e.Sealed() {
		p := make([]byte, e.Len)
		if err = s.log.ReadAt(p, wal.LSN(e.Addr)); err == nil {
			m, _, err = record.Parse(p)
		}
	} else if f := s.segments.acquire(e.Addr); f == nil {
		err = fmt.Errorf("no segment %d", e.Addr)
	} else {
		var c segment.Cursor
		if err = f.reader.Find(&c, at.queue, at.seq, true); err == nil && c.Seq() != at.seq {
			err = fmt.Errorf("message %d comes next", c.Seq())
		}
		if err == nil {
			m, _, err = record.ParsePayload(slices.Clone(c.Payload()))
		}
		c.Reset()
		s.segments.release(f)
	}
	if err != nil {
		t.Fatalf("queue %d, message %d: %v", at.queue, at.seq, err)
	}
	return m
}

type place struct {
	queue uint32
	seq   uint64
}

// script is a run of a store that knows what each crash may leave of it.
type script struct {
	t   tb
	rng *rand.Rand
	o   Options

	queues []*Queue
	out    map[*Queue][]uint64 // claimed
	bodies int
	// keepLog does without what removes files of the log.
	keepLog bool
	// passing has messages pass through the log: few are moved to segments.
	passing bool
	known   map[place]string // bodies

	// mu keeps a commit's hook from seeing a batch between its effect and its
	// entry in states. It guards all below.
	mu        sync.Mutex
	s         *Store // nil when it is closed and while it is opened: then all is durable
	failed    bool   // but when closing it has failed: then what durable says
	durable   wal.LSN
	states    []string
	ends      []wal.LSN      // of the batches that led to them
	delivered map[place]bool // may have left the broker
}

func newScript(t tb, seed uint64, o Options) *script {
	return &script{t: t, rng: rand.New(rand.NewPCG(seed, 1)), o: o, out: map[*Queue][]uint64{}, known: map[place]string{},
		states: []string{""}, ends: []wal.LSN{0}, delivered: map[place]bool{}}
}

func (c *script) open() error {
	s, err := Open(testDir, c.o)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = s
	c.queues = c.queues[:0]
	c.out = map[*Queue][]uint64{}
	s.Queues(func(q *Queue) bool { c.queues = append(c.queues, q); return true })
	slices.SortFunc(c.queues, func(a, b *Queue) int { return int(a.id) - int(b.id) })
	return nil
}

func (c *script) close() error {
	err := c.s.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed = err != nil; c.failed {
		c.durable = c.s.Durable()
	}
	c.s = nil
	return err
}

// apply applies a batch and notes the state that it leads to.
func (c *script) apply(m wal.Mode, fn func(b *Batch)) (wal.LSN, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.s.NewBatch()
	fn(b)
	lsn, err := c.s.Apply(b, m, nil)
	if err != nil {
		return lsn, err
	}
	failed := ""
	report := &reporter{fail: func(msg string) { failed = msg }}
	report.run(func() {
		c.states = append(c.states, dumpWith(report, c.s, c.known))
		c.ends = append(c.ends, c.s.log.Appended())
	})
	if failed == "" {
		return lsn, nil
	}
	if _, err := c.o.FS.ReadDir(testDir); err != nil {
		return lsn, err // the power is off: what is not in memory cannot be read
	}
	c.t.Fatal(failed)
	return lsn, nil
}

func (c *script) pick() *Queue {
	if len(c.queues) == 0 {
		return nil
	}
	return c.queues[c.rng.IntN(len(c.queues))]
}

// step does something. It returns the store's error.
func (c *script) step() error {
	q := c.pick()
	n := c.rng.IntN(100)
	mode := wal.Lazy
	if c.rng.IntN(3) == 0 {
		mode = wal.Group
	}
	switch {
	case n < 6 && len(c.queues) < 4 || q == nil:
		_, err := c.apply(wal.Group, func(b *Batch) {
			q := b.CreateQueue(c.rng.IntN(5) > 0, QueueOptions{})
			c.queues = append(c.queues, q)
			b.Put(fmt.Sprint("queue", q.ID()), []byte("x"))
			q.SetConsuming(c.rng.IntN(2) == 0)
		})
		return err
	case n < 35:
		l, large, err := c.upload()
		if err != nil {
			return err
		}
		if l != nil {
			defer l.Release()
		}
		lsn, err := c.apply(mode, func(b *Batch) {
			if l != nil {
				large.Expires = scriptedExpiry(c.bodies)
				b.PublishLarge(l, large, c.queues[c.rng.IntN(len(c.queues)):])
			}
			for range c.rng.IntN(4) + 1 {
				c.bodies++
				m := text(fmt.Sprint("m", c.bodies, strings.Repeat("-", c.rng.IntN(2)*c.rng.IntN(700))))
				m.Persistent = c.rng.IntN(5) > 0
				m.Expires = scriptedExpiry(c.bodies)
				b.Publish(m, c.queues[c.rng.IntN(len(c.queues)):])
			}
		})
		if err == nil && c.rng.IntN(4) == 0 {
			err = c.s.Wait(lsn)
		}
		return err
	case n < 55:
		return c.claim(q)
	case n < 74: // a dead-letter move, or a common ack
		_, err := c.apply(mode, func(b *Batch) {
			out := c.out[q]
			for len(out) > 0 && c.rng.IntN(6) > 0 {
				i := c.rng.IntN(len(out))
				b.Ack(q, out[i])
				if c.rng.IntN(4) == 0 {
					c.bodies++
					b.Atomic()
					b.Publish(text(fmt.Sprint("dead", c.bodies)), []*Queue{c.pick()})
				}
				out = slices.Delete(out, i, i+1)
			}
			c.out[q] = out
		})
		return err
	case n < 81:
		_, err := c.apply(mode, func(b *Batch) {
			for _, seq := range c.out[q] {
				b.Requeue(q, seq)
			}
			c.out[q] = nil
		})
		return err
	case n < 83:
		_, err := c.apply(mode, func(b *Batch) { b.Purge(q) })
		return err
	case n < 85:
		_, err := c.apply(mode, func(b *Batch) { b.Trim(q, int64(c.rng.IntN(5)), -1) })
		return err
	case n < 87:
		_, err := c.apply(mode, func(b *Batch) {
			b.DeleteQueue(q)
			b.Delete(fmt.Sprint("queue", q.ID()))
		})
		if err == nil {
			c.queues = slices.DeleteFunc(c.queues, func(x *Queue) bool { return x == q })
			delete(c.out, q)
		}
		return err
	case c.passing && n < 97:
		for q := range slices.Values(c.queues) {
			if _, err := c.apply(mode, func(b *Batch) { b.Trim(q, 1, -1) }); err != nil {
				return err
			}
		}
		for range 2 {
			if err := c.s.Checkpoint(); err != nil {
				return err
			}
		}
		return nil
	case n < 92 && !c.keepLog:
		c.s.sweepLarges()
		return c.s.Checkpoint()
	case n < 98 || c.keepLog:
		if err := c.s.Retire(true); err != nil || n < 95 {
			return err
		}
		return c.s.Compact()
	default:
		if err := c.close(); err != nil {
			return err
		}
		return c.open()
	}
}

func (c *script) claim(q *Queue) error {
	var cl Claim
	defer cl.Release()
	for {
		switch q.Claim(&cl, c.rng.IntN(8)+1, true) {
		case Unmarked:
			if err := c.s.Wait(cl.WaitFor); err != nil {
				return err
			}
			continue
		case Claimed:
			unmarked := c.s.Err() != nil && !c.marked()
			c.mu.Lock()
			for i := range cl.Items {
				checkItem(c.t, &cl.Items[i])
				c.out[q] = append(c.out[q], cl.Items[i].Seq)
				if q.durable && cl.Items[i].Persistent && !unmarked {
					c.delivered[place{q.id, cl.Items[i].Seq}] = true
				}
			}
			c.mu.Unlock()
		}
		return nil
	}
}

// upload makes a large message, now and then: nil else. Its file is written before
// the batch, and so before mu is taken.
func (c *script) upload() (*Large, Message, error) {
	if c.rng.IntN(8) > 0 {
		return nil, Message{}, nil
	}
	c.bodies++
	body := fmt.Sprint("large", c.bodies, strings.Repeat("-", c.rng.IntN(3000)))
	l, m, err := tryLarge(c.s, body, c.rng.IntN(5) > 0)
	if err != nil {
		return nil, m, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[bodyOfFile(largeBit|l.number)] = body
	return l, m, nil
}

// bodyOfFile is where a script remembers what is in a large file.
func bodyOfFile(addr uint64) place { return place{1<<32 - 1, addr} }

// scriptedExpiry is when the n-th body of a script expires.
func scriptedExpiry(n int) int64 {
	if n%3 > 0 {
		return 0
	}
	return 1000 + int64(n)
}

// checkExpiry looks whether all messages that expire are known to, and no others.
func checkExpiry(t tb, what string, q *Queue, bodies map[place]string) {
	var want []uint64
	eachLocked(q, func(seq uint64, e index.Entry) {
		body := bodies[place{q.id, seq}]
		digits := strings.TrimRight(strings.TrimLeft(body, "largem"), "-")
		if n, err := strconv.Atoi(digits); err == nil && scriptedExpiry(n) != 0 {
			want = append(want, seq)
		}
	})
	c := Claim{Seqs: true}
	defer c.Release()
	for st := Cold; st == Cold; {
		st = q.ClaimExpired(&c, 1<<40, 1<<30, true)
	}
	var got []uint64
	for i := range c.Items {
		got = append(got, c.Items[i].Seq)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("%s: queue %d: %v have expired, want %v", what, q.id, got, want)
	}
	q.Unclaim(&c, 0)
}

// expectation is what a crash at some moment may leave: one of the states from
// low on.
type expectation struct {
	low       int
	states    []string
	delivered []place
}

func (c *script) expect() expectation {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := expectation{states: c.states}
	durable := wal.LSN(1 << 62)
	if c.s != nil {
		durable = c.s.Durable()
	} else if c.failed {
		durable = c.durable
	}
	for i, end := range c.ends {
		if end <= durable {
			e.low = i
		}
	}
	for p := range c.delivered {
		e.delivered = append(e.delivered, p)
	}
	return e
}

// allows tells whether a crash may leave that.
func (e *expectation) allows(state string) bool { return slices.Contains(e.states[e.low:], state) }

// check opens a store on what a crash left and compares.
func (e *expectation) check(t tb, what string, o Options, again bool) {
	s, err := Open(testDir, o)
	if err != nil {
		t.Fatalf("%s: open: %v", what, err)
	}
	bodies := map[place]string{}
	got := dumpWith(t, s, bodies)
	s.larges.mu.Lock()
	needed := len(s.larges.files)
	s.larges.mu.Unlock()
	if n := largeFiles(t, o.FS); n != needed {
		t.Fatalf("%s: %d large files, and %d are needed", what, n, needed)
	}
	if !e.allows(got) {
		t.Fatalf("%s: recovered\n%s\n\nat least durable was\n%s\n\nthe last was\n%s", what, got, e.states[e.low], e.states[len(e.states)-1])
	}
	s.Queues(func(q *Queue) bool {
		checkExpiry(t, what, q, bodies)
		ready, unacked, _ := q.Counts()
		items := claim(t, s, q, 1<<30)
		if len(items) != ready || unacked != 0 {
			t.Fatalf("%s: queue %d: %d messages of %d come out", what, q.id, len(items), ready)
		}
		for _, it := range items {
			if !it.redelivered && slices.Contains(e.delivered, place{q.id, it.seq}) {
				t.Fatalf("%s: queue %d: message %d (%s) was delivered before, and does not say so", what, q.id, it.seq, it.body)
			}
		}
		return true
	})
	if err := s.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	if !again {
		return
	}
	// Recovery has not harmed what it found.
	s, err = Open(testDir, o)
	if err != nil {
		t.Fatalf("%s: second open: %v", what, err)
	}
	if second := dump(t, s); second != got {
		t.Fatalf("%s: after a second start\n%s\n\nwas\n%s", what, second, got)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("%s: second close: %v", what, err)
	}
}

// TestPowerCutAtEveryOperation runs a script and looks, before every single
// operation on the files, at what a power cut then could leave.
func TestPowerCutAtEveryOperation(t *testing.T) {
	const seeds, steps, images = 4 / slower, 80, 10
	checked, removed := 0, false
	sealed, drained, recycled := 0, 0, 0
	for seed := range uint64(seeds) {
		fs := vfs.NewMem()
		o := tinyOptions(fs)
		if seed%2 == 1 {
			o.RetireAge = -1 // spares stay
		}
		c := newScript(t, seed, o)
		c.passing = seed%2 == 1
		var failure sync.Once
		failed := ""
		report := &reporter{fail: func(msg string) { failure.Do(func() { failed = msg }) }}
		fs.OnOp(func(n int, op vfs.Op, name string) {
			if failed != "" {
				return
			}
			removed = removed || op == vfs.OpRemove && strings.HasSuffix(name, ".wal")
			if op == vfs.OpRename && strings.HasSuffix(name, ".wal.spare") {
				recycled++
			}
			if strings.Contains(name, segmentFolder) {
				if op == vfs.OpRename {
					sealed++
				} else if op == vfs.OpRemove && strings.HasSuffix(name, ".seg") {
					drained++
				}
			}
			e := c.expect()
			for desc, img := range fs.Images(vfs.ImageOptions{MaxImages: images, Seed: uint64(n)}) {
				checked++
				report.run(func() {
					e.check(report, fmt.Sprintf("seed %d, before operation %d (%v %s), image %q", seed, n, op, name, desc), tinyOptions(img), checked%5 == 0)
				})
			}
		})
		if err := c.open(); err != nil {
			t.Fatal(err)
		}
		run := steps
		if c.passing {
			run *= 3
		}
		for range run {
			if err := c.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		if failed != "" {
			t.Fatal(failed)
		}
	}
	if checked < 1000/slower || slower == 1 && (!removed || sealed < 10 || drained < 5 || recycled < 5) {
		t.Errorf("only %d images were checked, log files removed: %v, written over: %d, segments made: %d, removed: %d", checked, removed, recycled, sealed, drained)
	}
	t.Logf("%d images; %d segments were made, %d removed; %d log files were written over", checked, sealed, drained, recycled)
}

// reporter lets a goroutine that is not the test's own fail.
type reporter struct{ fail func(msg string) }

type giveUp struct{}

func (r *reporter) Helper() {}

func (r *reporter) Fatal(args ...any) {
	r.fail(fmt.Sprint(args...))
	panic(giveUp{})
}

func (r *reporter) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *reporter) run(fn func()) {
	defer func() {
		if p := recover(); p != nil {
			if _, ours := p.(giveUp); !ours {
				panic(p)
			}
		}
	}()
	fn()
}
