package store

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// redelivered counts the messages of all durable queues that say so.
func redelivered(t tb, s *Store, q *Queue) (yes, all int) {
	t.Helper()
	for _, it := range claim(t, s, s.Queue(q.ID()), 1<<30) {
		all++
		if it.redelivered {
			yes++
		}
	}
	return yes, all
}

func TestMessagesThatNobodyTookAreNotRedelivered(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 100 {
		publish(t, s, text(fmt.Sprint(i)), q)
	}
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	if yes, all := redelivered(t, s, q); yes != 0 || all != 100 {
		t.Errorf("%d of %d redelivered, want 0 of 100", yes, all)
	}
}

func TestDeliveriesAreKnownAfterAKill(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	b := s.NewBatch()
	for i := range 20_000 {
		b.Publish(text(fmt.Sprint(i)), []*Queue{q})
	}
	if _, err := s.Apply(b, wal.Group, nil); err != nil {
		t.Fatal(err)
	}
	claim(t, s, q, 1000)
	s, fs = kill(t, s, fs, o)
	o.FS = fs
	// At most as many are wrongly called so as were delivered.
	yes, all := redelivered(t, s, q)
	if yes < 1000 || yes > 3100 || all != 20_000 {
		t.Errorf("%d of %d redelivered, 1000 were delivered", yes, all)
	}
	shut(t, s)
}

func TestGracefulStopKnowsExactlyWhatWasDelivered(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	q.SetConsuming(true) // messages are marked by their records
	for i := range 50 {
		publish(t, s, text(fmt.Sprint(i)), q)
	}
	q.SetConsuming(false)
	for i := range 50 {
		publish(t, s, text(fmt.Sprint(50+i)), q)
	}
	claim(t, s, q, 20)
	var c Claim
	if q.Claim(&c, 5, true) != Claimed {
		t.Fatal("nothing to claim")
	}
	q.Unclaim(&c, 2)
	c.Release()
	shut(t, s)
	s = open(t, o)
	defer shut(t, s)
	if n := s.log.Recovered().Records; n != 0 {
		t.Errorf("%d records were replayed after a graceful stop", n)
	}
	if yes, all := redelivered(t, s, q); yes != 22 || all != 100 {
		t.Errorf("%d of %d redelivered, want 22 of 100", yes, all)
	}
}

func TestConsumedQueueNeedsNoMark(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	q.SetConsuming(true)
	var c Claim
	for i := range 300 {
		b := s.NewBatch()
		b.Publish(text(fmt.Sprint(i)), []*Queue{q})
		if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
			t.Fatal(err)
		}
		if status := q.Claim(&c, 1, false); status != Claimed {
			t.Fatalf("message %d: %v", i, status)
		}
		c.Release()
	}
	if mark := q.ix.Mark(); mark != 0 {
		t.Errorf("the mark was moved to %d", mark)
	}
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	if yes, all := redelivered(t, s, q); yes != 300 || all != 300 {
		t.Errorf("%d of %d redelivered, want all 300", yes, all)
	}
}

func TestMarkRunsAheadOfASteadyConsumer(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	defer shut(t, s)
	q := newQueue(t, s, true)
	b := s.NewBatch()
	for i := range 100_000 {
		b.Publish(text(fmt.Sprint(i)), []*Queue{q})
	}
	if _, err := s.Apply(b, wal.Group, nil); err != nil {
		t.Fatal(err)
	}
	var c Claim
	waits, got := 0, 0
	for got < 100_000 {
		switch q.Claim(&c, 100, true) {
		case Claimed:
			got += len(c.Items)
		case Unmarked:
			waits++
			if c.WaitFor == 0 {
				t.Fatal("nothing to wait for")
			}
			if err := s.Wait(c.WaitFor); err != nil {
				t.Fatal(err)
			}
		}
		c.Release()
		// The disk is faster than this consumer.
		if err := s.barrier(); err != nil {
			t.Fatal(err)
		}
	}
	if waits > 10 {
		t.Errorf("waited %d times, want at most while the window grows", waits)
	}
}

func TestTransientMessagesNeedNoMark(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q, other := newQueue(t, s, true), newQueue(t, s, false)
	publish(t, s, transient("1"), q, other)
	publish(t, s, text("2"), other)
	var c Claim
	for q, n := range map[*Queue]int{q: 1, other: 2} {
		if status := q.Claim(&c, 5, false); status != Claimed || len(c.Items) != n {
			t.Errorf("%v, %d items, want %d", status, len(c.Items), n)
		}
		c.Release()
	}
}
