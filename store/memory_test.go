package store

import (
	"runtime"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func heap() int64 {
	runtime.GC()
	runtime.GC() // the first only moves pools to their victims
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestIdleQueuesAreCheap(t *testing.T) {
	o := Options{FS: vfs.NewMem()}
	s := open(t, o)
	const n = 20_000
	before := heap()
	queues := make([]*Queue, n)
	b := s.NewBatch()
	for i := range queues {
		queues[i] = b.CreateQueue(true, QueueOptions{})
		if i%1000 == 999 {
			if _, err := s.Apply(b, wal.Group, nil); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		}
	}
	b = nil
	// Each has seen a message go by.
	for i := range 10 {
		apply(t, s, func(b *Batch) { b.Publish(text("m"), queues[i*n/10:(i+1)*n/10]) })
	}
	ack := s.NewBatch()
	for _, q := range queues {
		ack.Ack(q, 0)
	}
	if _, err := s.Apply(ack, wal.Group, nil); err != nil {
		t.Fatal(err)
	}
	ack = nil
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	logged := int64(s.log.Appended()) // the file system is in memory, too
	if each := (heap() - before - 2*logged) / n; each > 500 {
		t.Errorf("an idle queue takes %d bytes, want at most 500", each)
	} else {
		t.Logf("%d bytes", each)
	}
	runtime.KeepAlive(queues)
	shut(t, s)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	// Rare events allocate: new pages and chunks, files, commits. What is
	// allowed for a hundred messages is far below one allocation a message.
	const batch, most = 100, 5
	for name, m := range map[string]Message{"persistent": text("message"), "transient": transient("message")} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{FS: vfs.NewMem()})
			q := newQueue(t, s, true)
			q.SetConsuming(true)
			b := s.NewBatch()
			queues := []*Queue{q}
			var c Claim
			round := func() {
				b.Reset()
				for range batch {
					b.Publish(m, queues)
				}
				if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
					t.Fatal(err)
				}
				if q.Claim(&c, batch, false) != Claimed || len(c.Items) != batch {
					t.Fatalf("%d items", len(c.Items))
				}
				b.Reset()
				for i := range c.Items {
					b.Ack(q, c.Items[(i+batch/2)%batch].Seq) // out of order
				}
				c.Release()
				if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
					t.Fatal(err)
				}
			}
			for range 50 {
				round()
			}
			if n := testing.AllocsPerRun(100, round); n > most {
				t.Errorf("%v allocations for %d messages", n, batch)
			}
			shut(t, s)
		})
	}
}

func TestDrainOfSegmentsAllocatesLittle(t *testing.T) {
	// As in TestHotPathAllocatesNothing, rare events do.
	const batch, rounds, most = 100, 300, 5
	s := open(t, Options{FS: vfs.NewMem()})
	q := newQueue(t, s, true)
	b := s.NewBatch()
	for range batch * (rounds + 60) / 1000 {
		b.Reset()
		for range 1000 {
			b.Publish(text("message"), []*Queue{q})
		}
		if _, err := s.Apply(b, wal.Group, nil); err != nil {
			t.Fatal(err)
		}
	}
	retire(t, s)
	var c Claim
	round := func() {
		for {
			switch status := q.Claim(&c, batch, true); status {
			case Claimed:
			case Unmarked:
				if err := s.Wait(c.WaitFor); err != nil {
					t.Fatal(err)
				}
				continue
			default:
				t.Fatal(status)
			}
			break
		}
		b.Reset()
		for i := range c.Items {
			b.Ack(q, c.Items[i].Seq)
		}
		c.Release()
		if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		round()
	}
	if n := testing.AllocsPerRun(rounds, round); n > most {
		t.Errorf("%v allocations for %d messages", n, batch)
	}
	shut(t, s)
}
