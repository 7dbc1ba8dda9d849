package index

import (
	"testing"
	"unsafe"
)

func TestAnIdleQueueIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Queue{}); size > 256 {
		t.Errorf("a queue is %d bytes, want at most 256", size)
	}
}

func TestOneStuckMessageKeepsOnePage(t *testing.T) {
	var q Queue
	for range 500_000 {
		q.Push(MakeEntry(1, 2, 1, Logged))
		seq, e, _ := q.Peek()
		q.Take(seq, e)
		if seq != 0 {
			q.Ack(seq, seq, nil)
		}
	}
	if pages, chunks := cap(q.pages.refs), cap(q.acks.chunks); pages > 64 || chunks > 128 {
		t.Errorf("one message of 500,000 is left: room for %d pages and %d chunks", pages, chunks)
	}
	bitmaps := 0
	for _, c := range q.acks.chunks {
		if c.bits != nil {
			bitmaps++
		}
	}
	if bitmaps > 2 {
		t.Errorf("%d bitmaps, want those at the two ends", bitmaps)
	}
	q.Ack(0, 0, nil)
	if q.Floor() != q.Next() || len(q.pages.refs) != 0 || len(q.acks.chunks) != 0 {
		t.Errorf("floor %d of %d, %d pages, %d chunks", q.Floor(), q.Next(), len(q.pages.refs), len(q.acks.chunks))
	}
}

func TestScatteredMessagesAreFound(t *testing.T) {
	var q Queue
	for range 200_000 {
		q.Push(MakeEntry(q.Next(), 2, 1, Logged))
	}
	for seq := range uint64(200_000) {
		if seq%5003 != 0 {
			q.Ack(seq, seq, nil)
		}
	}
	n := uint64(0)
	for seq, e, ok := q.Peek(); ok; seq, e, ok = q.Peek() {
		if seq != n*5003 || e.Addr != seq {
			t.Fatalf("message %d at %d, want %d", seq, e.Addr, n*5003)
		}
		q.Take(seq, e)
		n++
	}
	if n != 40 {
		t.Fatalf("%d messages, want 40", n)
	}
}

func TestSteadyUseAllocatesNothing(t *testing.T) {
	var q Queue
	round := func() {
		for range 100 {
			q.Push(MakeEntry(1, 2, 1, Logged))
		}
		first := uint64(0)
		for i := range uint64(100) {
			seq, e, _ := q.Peek()
			q.Take(seq, e)
			if i == 0 {
				first = seq
			}
		}
		// Two consumers whose acks cross.
		for i := range uint64(50) {
			q.Ack(first+50+i, first+50+i, nil)
			q.Ack(first+i, first+i, nil)
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(200, round); n > 0.5 {
		t.Errorf("%v allocations for 100 messages, want none", n)
	}
}

func BenchmarkPushTakeAck(b *testing.B) {
	var q Queue
	b.ReportAllocs()
	for i := 0; i < b.N; i += 100 {
		first := q.Next()
		for range 100 {
			q.Push(MakeEntry(1, 2, 1, Logged))
		}
		for range 100 {
			take(&q)
		}
		for i := range uint64(100) {
			q.Ack(first+i, first+i, nil)
		}
	}
}

func BenchmarkAckAtRandom(b *testing.B) {
	var q Queue
	b.ReportAllocs()
	const window = 1 << 16
	for i := 0; i < b.N; i++ {
		if i%window == 0 {
			b.StopTimer()
			for range window {
				q.Push(MakeEntry(1, 2, 1, Logged))
			}
			for range window {
				take(&q)
			}
			b.StartTimer()
		}
		seq := uint64(i/window*window) + uint64(i*40503%window)
		q.Ack(seq, seq, nil)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	var q Queue
	const n = 100_000
	for i := range uint64(n) {
		q.Push(MakeEntry(i*144, 128, 100, Logged))
	}
	var buf []byte
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			buf, _ = q.AppendEntries(buf[:0], 0, n, n, false)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			_, l, err := LoadState(q.AppendState(nil, 1, false))
			if err != nil {
				b.Fatal(err)
			}
			if err := l.LoadEntries(buf, nil); err != nil {
				b.Fatal(err)
			}
			r := l.q.Clear()
			r.Each(func(Entry) {})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
	})
}

// TestAMessageThatStaysWhileBillionsPass: the list of chunks gets long, and goes at
// once when the message does. The queue can be written and read.
func TestAMessageThatStaysWhileBillionsPass(t *testing.T) {
	const passed = 1 << 35
	var q Queue
	q.Push(MakeEntry(0, 100, 50, Logged))
	q.Skip(passed)
	q.Push(MakeEntry(1000, 100, 50, Logged))
	w := snapshotWriter{q: &q, limit: 1000}
	for w.step() {
	}
	again := loadPieces(t, w.pieces, map[uint64]int{})
	if again.Ready() != 2 || again.Next() != passed+1 || again.Gone(0) || !again.Gone(passed/2) || again.Gone(passed) {
		t.Errorf("read again: %d ready, next %d", again.Ready(), again.Next())
	}
	q.Ack(0, 0, nil)
	if q.Floor() != passed || q.acks.chunks != nil {
		t.Errorf("floor %d, %d chunks", q.Floor(), len(q.acks.chunks))
	}
	q = Queue{next: 1 << 43}
	if _, _, err := LoadState(q.AppendState(nil, 1, false)); err != nil {
		t.Errorf("a queue that is as old as it gets: %v", err)
	}
}
