package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func TestMessagesComeOutAsTheyWentIn(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	for _, durable := range []bool{true, false} {
		q := newQueue(t, s, durable)
		for _, m := range []Message{text("a"), text(""), transient("b"), text(strings.Repeat("long ", 2000)), transient(strings.Repeat("c", 2<<20))} {
			publish(t, s, m, q)
			var c Claim
			for q.Claim(&c, 10, true) == Unmarked {
				if err := s.Wait(c.WaitFor); err != nil {
					t.Fatal(err)
				}
			}
			if len(c.Items) != 1 {
				t.Fatalf("%d items", len(c.Items))
			}
			it := &c.Items[0]
			checkItem(t, it)
			if !bytes.Equal(it.Body, m.Body) || it.Persistent != m.Persistent || it.Redelivered || it.Count != 0 || it.Time == 0 {
				t.Errorf("durable %v: got %.20q, persistent %v, redelivered %v, count %d, time %d", durable, it.Body, it.Persistent, it.Redelivered, it.Count, it.Time)
			}
			apply(t, s, func(b *Batch) { b.Ack(q, it.Seq) })
			c.Release()
			wantCounts(t, q, 0, 0)
		}
	}
	if n := s.Stats().ArenaBytes; n > arena.ChunkSize {
		t.Errorf("the arena keeps %d bytes for nothing", n)
	}
	if st := s.Stats(); st.LiveEntries != 0 || st.LiveBytes != 0 {
		t.Errorf("%d entries with %d bytes live, want none", st.LiveEntries, st.LiveBytes)
	}
}

func TestRequeuedMessagesReturnToTheirPlace(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	for _, body := range []string{"a", "b", "c", "d", "e"} {
		publish(t, s, text(body), q)
	}
	got := wantClaim(t, s, q, 4, "a b c d")
	apply(t, s, func(b *Batch) {
		b.Requeue(q, got[2].seq)
		b.Requeue(q, got[1].seq)
		b.Ack(q, got[0].seq)
	})
	wantCounts(t, q, 3, 1)
	got = wantClaim(t, s, q, 1, "b!(1)")
	apply(t, s, func(b *Batch) { b.Requeue(q, got[0].seq) })
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	q = s.Queue(q.ID())
	// d was out for delivery, and e is in the window of the mark.
	if got := bodies(claim(t, s, q, 10)); got != "b!(2) c!(1) d! e!" && got != "b!(2) c!(1) d! e" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestUnclaimedMessagesWereNeverClaimed(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	for i := range 5 {
		publish(t, s, transient(fmt.Sprint(i)), q)
	}
	var c Claim
	if q.Claim(&c, 4, false) != Claimed {
		t.Fatal("nothing claimed")
	}
	q.Unclaim(&c, 1)
	c.Release()
	wantCounts(t, q, 4, 1)
	wantClaim(t, s, q, 10, "1 2 3 4")
}

func TestFanOutIsStoredOnce(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL = wal.Options{}
	s := open(t, o)
	var queues []*Queue
	apply(t, s, func(b *Batch) {
		for range 1000 {
			queues = append(queues, b.CreateQueue(true, QueueOptions{}))
		}
	})
	before := s.log.Appended()
	publish(t, s, text(strings.Repeat("x", 100_000)), queues...)
	if n := s.log.Appended() - before; n > 120_000 {
		t.Errorf("100,000 bytes to 1,000 queues take %d bytes of log", n)
	}
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	for _, q := range queues {
		if got := claim(t, s, s.Queue(q.ID()), 5); len(got) != 1 || len(got[0].body) != 100_000 {
			t.Fatalf("queue %d: %d messages", q.ID(), len(got))
		}
	}
}

func TestOnlyPersistentMessagesInDurableQueuesSurvive(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	durable, other := newQueue(t, s, true), newQueue(t, s, false)
	publish(t, s, text("1"), durable, other)
	publish(t, s, transient("2"), durable, other)
	publish(t, s, text("3"), other)
	publish(t, s, text("4"), durable)
	wantCounts(t, durable, 3, 0)
	wantCounts(t, other, 3, 0)
	wantClaim(t, s, other, 5, "1 2 3")
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	wantClaim(t, s, s.Queue(durable.ID()), 5, "1 4")
	if s.Queue(other.ID()) != nil {
		t.Error("a transient queue came back")
	}
}

func TestNothingToWaitForIsLSN0(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	durable, other := newQueue(t, s, true), newQueue(t, s, false)
	publish(t, s, text("m"), durable)
	end := s.log.Appended()
	w := new(countingWaiter)
	for _, c := range []struct {
		name   string
		record func(b *Batch)
		waits  bool
		logs   bool
	}{
		{name: "nothing", record: func(b *Batch) {}},
		{name: "publish to nobody", record: func(b *Batch) { b.Publish(text("m"), nil) }},
		{name: "transient message", record: func(b *Batch) { b.Publish(transient("m"), []*Queue{durable}) }},
		{name: "persistent, transient queue", record: func(b *Batch) { b.Publish(text("m"), []*Queue{other}) }},
		{name: "transient queue made and deleted", record: func(b *Batch) { b.DeleteQueue(b.CreateQueue(false, QueueOptions{})) }},
		{name: "ack of nothing", record: func(b *Batch) { b.Ack(durable, 99) }},
		{name: "ack of a transient message", record: func(b *Batch) { b.Ack(durable, 1) }},
		{name: "ack", record: func(b *Batch) { b.Ack(durable, 0) }, logs: true},
		{name: "persistent message", record: func(b *Batch) { b.Publish(text("m"), []*Queue{other, durable}) }, waits: true, logs: true},
		{name: "purge", record: func(b *Batch) { b.Purge(durable) }, waits: true, logs: true},
		{name: "catalog", record: func(b *Batch) { b.Put("k", nil) }, waits: true, logs: true},
	} {
		b := s.NewBatch()
		c.record(b)
		*w = countingWaiter{}
		lsn, err := s.Apply(b, wal.Group, w)
		if err != nil {
			t.Fatal(err)
		}
		if logs := s.log.Appended() > end; (lsn != 0) != c.waits || logs != c.logs {
			t.Errorf("%s: lsn %d, log grew: %v", c.name, lsn, logs)
		}
		if err := s.barrier(); err != nil {
			t.Fatal(err)
		}
		if (w.calls.Load() == 1) != c.waits {
			t.Errorf("%s: waiter called %d times", c.name, w.calls.Load())
		}
		end = s.log.Appended()
	}
}

func TestAcksOfATransactionAreWaitedFor(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	publish(t, s, text("1"), q)
	publish(t, s, text("2"), q)
	got := claim(t, s, q, 2)
	for i, record := range []func(b *Batch){
		func(b *Batch) { b.Ack(q, got[0].seq) },
		func(b *Batch) { b.Requeue(q, got[1].seq) },
	} {
		b := s.NewBatch()
		b.Atomic()
		record(b)
		w := new(countingWaiter)
		lsn, err := s.Apply(b, wal.Lazy, w)
		if err != nil || lsn == 0 {
			t.Fatalf("batch %d: lsn %d, %v", i, lsn, err)
		}
		if s.Lead(); w.calls.Load() != 1 || w.err != nil || s.Durable() < lsn {
			t.Errorf("batch %d: %d calls, %v, durable %d of %d", i, w.calls.Load(), w.err, s.Durable(), lsn)
		}
	}
}

func TestTransactionThatAQueueRefusesHasNoEffect(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	var limited *Queue
	free, other := newQueue(t, s, true), newQueue(t, s, false)
	apply(t, s, func(b *Batch) {
		limited = b.CreateQueue(true, QueueOptions{Limits{MaxMessages: 3, RejectPublish: true}})
	})
	publish(t, s, text("old"), free)
	got := claim(t, s, free, 1)
	for _, m := range []func(string) Message{text, transient} {
		end := s.log.Appended()
		b := s.NewBatch()
		b.Atomic()
		b.Ack(free, got[0].seq)
		b.Put("key", nil)
		for _, body := range []string{"1", "2", "3", "4", "5"} {
			b.Publish(m(body), []*Queue{free, limited, other})
		}
		lsn, err := s.Apply(b, wal.Group, nil)
		if err != nil || lsn != 0 || b.Rejections() != 2 || b.Rejected(2) || !b.Rejected(3) || !b.Rejected(4) {
			t.Errorf("lsn %d, %v, %d rejections", lsn, err, b.Rejections())
		}
		wantCounts(t, free, 0, 1)
		wantCounts(t, limited, 0, 0)
		wantCounts(t, other, 0, 0)
		if s.log.Appended() != end {
			t.Error("the log has grown")
		}
		if err := s.Catalog(func(string, []byte) error { return errTest }); err != nil {
			t.Error("the catalog has changed")
		}
		// With room for all of it, it happens; and the room that was held is free.
		apply(t, s, func(b *Batch) {
			b.Atomic()
			for _, body := range []string{"1", "2", "3"} {
				b.Publish(m(body), []*Queue{free, limited, other})
			}
		})
		wantCounts(t, limited, 3, 0)
		apply(t, s, func(b *Batch) { b.Purge(free); b.Purge(limited); b.Purge(other) })
		b = apply(t, s, func(b *Batch) {
			for range 4 {
				b.Publish(m("again"), []*Queue{limited})
			}
		})
		if b.Rejections() != 1 {
			t.Errorf("%d rejections, want the fourth", b.Rejections())
		}
		apply(t, s, func(b *Batch) { b.Purge(limited) })
	}
}

func TestNumbersAreNeverUsedTwice(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	publish(t, s, text("1"), q)
	for range 9 {
		publish(t, s, transient("-"), q)
	}
	apply(t, s, func(b *Batch) { b.Purge(q) }) // the log now speaks of number 9
	for range 3 {
		s, fs = kill(t, s, fs, o)
		o.FS = fs
	}
	publish(t, s, text("2"), s.Queue(q.ID()))
	if got := claim(t, s, s.Queue(q.ID()), 2); len(got) != 1 || got[0].seq != 10 || got[0].redelivered {
		t.Errorf("claimed %+v, want number 10", got)
	}
	shut(t, s)
}

func TestClaimOutlivesItsMessages(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	q.SetConsuming(true)
	for name, m := range map[string]func(string) Message{"log": text, "arena": transient} {
		publish(t, s, m("first"), q)
		var c Claim
		if q.Claim(&c, 1, false) != Claimed {
			t.Fatal("nothing claimed")
		}
		apply(t, s, func(b *Batch) { b.Ack(q, c.Items[0].Seq) })
		for range 3 { // memory of both kinds is used again and again
			publish(t, s, m(strings.Repeat("x", arena.ChunkSize-1000)), q)
			apply(t, s, func(b *Batch) { b.Purge(q) })
		}
		if checkItem(t, &c.Items[0]); string(c.Items[0].Body) != "first" {
			t.Errorf("%s: the claimed message became %.20q", name, c.Items[0].Body)
		}
		c.Release()
	}
}

type countingWaiter struct {
	calls atomic.Int32
	err   error
}

func (w *countingWaiter) Committed(_ wal.LSN, err error) {
	w.err = err
	w.calls.Add(1)
}

func TestLimitsRefuseWhatPassesThem(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	var limited, free *Queue
	apply(t, s, func(b *Batch) {
		limited = b.CreateQueue(true, QueueOptions{Limits{MaxMessages: 3, MaxBytes: 10, RejectPublish: true}})
		free = b.CreateQueue(true, QueueOptions{})
	})
	for _, m := range []func(string) Message{text, transient} {
		b := s.NewBatch()
		for _, body := range []string{"1", "2", "long long", "long", "5", "6"} {
			b.Publish(m(body), []*Queue{free, limited})
		}
		if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
			t.Fatal(err)
		}
		var refused []int
		for i := range 6 {
			if b.Rejected(i) {
				refused = append(refused, i)
			}
		}
		if fmt.Sprint(refused) != "[2 4 5]" || b.Rejections() != 3 {
			t.Errorf("refused %v (%d)", refused, b.Rejections())
		}
		wantCounts(t, limited, 3, 0)
		wantCounts(t, free, 6, 0)
		// What everybody refuses leaves no trace.
		b.Reset()
		b.Publish(m("7"), []*Queue{limited})
		end := s.log.Appended()
		if lsn, err := s.Apply(b, wal.Lazy, nil); err != nil || lsn != 0 || !b.Rejected(0) || s.log.Appended() != end {
			t.Errorf("lsn %d, %v, rejected %v", lsn, err, b.Rejected(0))
		}
		got := claim(t, s, limited, 1)
		publish(t, s, m("8"), limited)
		wantCounts(t, limited, 3, 1)
		limited.SetLimits(Limits{})
		publish(t, s, m("9"), limited)
		wantCounts(t, limited, 4, 1)
		limited.SetLimits(Limits{MaxMessages: -1, RejectPublish: true})
		if b := apply(t, s, func(b *Batch) { b.Publish(m("0"), []*Queue{limited}) }); !b.Rejected(0) {
			t.Error("a limit of nothing let one in")
		}
		limited.SetLimits(Limits{MaxMessages: 3, MaxBytes: 10, RejectPublish: true})
		apply(t, s, func(b *Batch) { b.Purge(limited); b.Purge(free); b.Ack(limited, got[0].seq) })
	}
}

func TestTrimDropsTheOldest(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 10 {
		publish(t, s, text(fmt.Sprint(i)), q)
	}
	got := wantClaim(t, s, q, 3, "0 1 2")
	b := apply(t, s, func(b *Batch) {
		b.Requeue(q, got[1].seq)
		b.Trim(q, 5, -1)
		b.Publish(text("10"), []*Queue{q})
		b.Trim(q, -1, 5)
	})
	if b.Removed(0) != 3 || b.Removed(1) != 2 {
		t.Errorf("trimmed %d and %d, want 3 and 2", b.Removed(0), b.Removed(1))
	}
	wantCounts(t, q, 4, 2)
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	q = s.Queue(q.ID())
	wantCounts(t, q, 6, 0)
	if got := bodies(claim(t, s, q, 10)); !strings.HasPrefix(got, "0! 2! 7") {
		t.Errorf("after a restart: %q", got)
	}
}

func TestPurgeOfScatteredMessagesIsLoggedWhole(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL = wal.Options{}
	s := open(t, o)
	q := newQueue(t, s, true)
	const n = 3 * trimRanges
	apply(t, s, func(b *Batch) {
		for i := range 2 * n {
			b.Publish(text(fmt.Sprint(i)), []*Queue{q})
		}
	})
	got := claim(t, s, q, 2*n)
	apply(t, s, func(b *Batch) {
		for i := 0; i < 2*n; i += 2 {
			b.Requeue(q, got[i].seq)
		}
	})
	b := apply(t, s, func(b *Batch) { b.Purge(q) })
	if b.Removed(0) != n || cap(b.run.late) > 0 {
		t.Errorf("purged %d, want %d, in one frame: %v", b.Removed(0), n, cap(b.run.late) == 0)
	}
	wantCounts(t, q, 0, n)
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	wantCounts(t, s.Queue(q.ID()), n, 0)
}

func TestDeletedQueuesTakeAndGiveNothing(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	for _, durable := range []bool{true, false} {
		q, other := newQueue(t, s, durable), newQueue(t, s, true)
		publish(t, s, text("1"), q)
		publish(t, s, transient("2"), q)
		publish(t, s, text("3"), q)
		var c Claim
		for q.Claim(&c, 2, true) == Unmarked {
			s.Wait(c.WaitFor)
		}
		b := apply(t, s, func(b *Batch) {
			b.DeleteQueue(q)
			b.Publish(text("4"), []*Queue{q, other})
			b.Publish(transient("5"), []*Queue{q, other})
			b.Publish(text("6"), []*Queue{q})
		})
		if ready := b.Removed(0); ready != 3-len(c.Items) || !q.Deleted() {
			t.Errorf("%d were ready, want %d", ready, 3-len(c.Items))
		}
		// The claim outlives the queue.
		for i := range c.Items {
			checkItem(t, &c.Items[i])
		}
		q.Unclaim(&c, 1)
		apply(t, s, func(b *Batch) {
			b.Ack(q, 0)
			b.Requeue(q, 1)
			b.Purge(q)
			b.Trim(q, 0, 0)
			b.DeleteQueue(q)
			b.Publish(text("7"), []*Queue{q})
		})
		c.Release()
		wantCounts(t, q, 0, 0)
		if q.Claim(&c, 1, true) != Empty {
			t.Error("a deleted queue gives something")
		}
		wantClaim(t, s, other, 5, "4 5")
		apply(t, s, func(b *Batch) { b.DeleteQueue(other) })
	}
	if st := s.Stats(); st.LiveEntries != 0 || st.LiveBytes != 0 || st.Queues != 0 {
		t.Errorf("something is left: %+v", st)
	}
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	if st := s.Stats(); st.LiveEntries != 0 || st.Queues != 0 {
		t.Errorf("something came back: %+v", st)
	}
}

func TestBatchThatCannotBeIsRefusedWhole(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	for name, m := range map[string]Message{
		"exchange":    {Exchange: make([]byte, 256)},
		"routing key": {RoutingKey: make([]byte, 256)},
		"properties":  {Props: make([]byte, MaxProps+1)},
	} {
		b := s.NewBatch()
		b.Publish(text("good"), []*Queue{q})
		b.Publish(m, []*Queue{q})
		if _, err := s.Apply(b, wal.Lazy, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantCounts(t, q, 0, 0)
}

func TestCatalogSurvives(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	catalog := func() string {
		n, found := 0, ""
		if err := s.Catalog(func(key string, value []byte) error {
			n++
			if key == "b" {
				found = string(value)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n, found)
	}
	apply(t, s, func(b *Batch) {
		b.Put("a", []byte("1"))
		b.Put("b", []byte("2"))
		b.Delete("a")
		b.Put("c", nil)
	})
	for i := range 3 {
		if got := catalog(); got != "22" {
			t.Errorf("round %d: %s", i, got)
		}
		switch i {
		case 0:
			s, fs = kill(t, s, fs, o)
			o.FS = fs
		case 1:
			shut(t, s)
			s = open(t, o)
		}
	}
	if err := s.Catalog(func(string, []byte) error { return errTest }); err != errTest {
		t.Errorf("the callback's error is %v", err)
	}
	shut(t, s)
}

func TestOneProcessAtATime(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	if _, err := Open(testDir, tinyOptions(fs)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	shut(t, s)
	if err := s.Close(); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	s = open(t, tinyOptions(fs))
	shut(t, s)
}

func TestDirectoriesOfOthersAreLeftAlone(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(testDir + "/lost+found"); err != nil {
		t.Fatal(err)
	}
	s := open(t, tinyOptions(fs)) // a fresh disk
	shut(t, s)
	fs = vfs.NewMem()
	if err := fs.MkdirAll(testDir + "/photos"); err != nil {
		t.Fatal(err)
	}
	ops := fs.Ops()
	if _, err := Open(testDir, tinyOptions(fs)); !errors.Is(err, ErrForeign) || fs.Ops() != ops {
		t.Errorf("%v, and %d operations", err, fs.Ops()-ops)
	}
}

func TestClosedStoreTakesNothing(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	q := newQueue(t, s, true)
	shut(t, s)
	b := s.NewBatch()
	b.Publish(text("1"), []*Queue{q})
	if _, err := s.Apply(b, wal.Lazy, nil); !errors.Is(err, wal.ErrClosed) || !b.Rejected(0) || b.Rejections() != 1 {
		t.Errorf("publish: %v, rejected %v", err, b.Rejected(0))
	}
	if err := s.Checkpoint(); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("checkpoint: %v", err)
	}
	wantCounts(t, q, 0, 0)
}

// A batch that no frame of the log can hold leaves nothing, and says so of each publish.
func TestATooLargeBatchIsRejected(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	q, other := newQueue(t, s, true), newQueue(t, s, false)
	publish(t, s, text("first"), q)
	body := text(strings.Repeat("b", 8<<20)) // of all publishes
	n := wal.MaxBatch/len(body.Body) + 1
	for name, where := range map[string]*Queue{"log": q, "memory": other} {
		b := s.NewBatch()
		for range n {
			b.Publish(body, []*Queue{where})
		}
		b.Publish(body, nil)
		b.Purge(q)
		lsn, err := s.Apply(b, wal.Group, nil)
		if !errors.Is(err, wal.ErrTooLarge) || lsn != 0 || b.Rejections() != n || b.Rejected(n) {
			t.Errorf("%s: lsn %d, %v, %d of %d publishes are rejected", name, lsn, err, b.Rejections(), n)
		}
		for i := range n {
			if !b.Rejected(i) {
				t.Fatalf("%s: publish %d is not rejected", name, i)
			}
		}
		b.Reset()
		b.Publish(text("next"), []*Queue{where})
		if _, err := s.Apply(b, wal.Group, nil); err != nil || b.Rejections() != 0 {
			t.Errorf("%s: the batch after it: %v", name, err)
		}
	}
	wantCounts(t, q, 2, 0)
	wantCounts(t, other, 1, 0)
	shut(t, s)
}
