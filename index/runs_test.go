package index

import (
	"runtime"
	"slices"
	"testing"
)

// sealedQueue has n messages of 150 bytes, 60 of them overhead, in runs of 4096
// messages that were joined.
func sealedQueue(n uint64) *Queue {
	q := &Queue{}
	const slice = 4096
	for q.Next() < n {
		first := q.Next()
		for range min(slice, n-first) {
			q.Push(MakeEntry(q.Next()*150, 150, 90, Logged))
		}
		q.Seal(first, q.Next(), 1, all, nil)
	}
	return q
}

func all(uint64) bool { return true }

// drain claims up to n messages from runs and acks them, in hands of 100.
func drain(q *Queue, n int) {
	for n > 0 {
		first, k := uint64(0), uint64(0)
		for ; k < 100 && n > 0; n-- {
			seq, _, _ := q.Peek()
			q.TakeSealed(seq, 150, 90)
			if k == 0 {
				first = seq
			}
			k++
		}
		for i := range k {
			q.Ack(first+i, first+i, ignore)
		}
	}
}

func ignore(uint64, Entry) {}

func runsOf(q *Queue) (runs []Run) {
	q.Runs(func(r Run) bool {
		runs = append(runs, r)
		return true
	})
	return runs
}

func TestALongBacklogCostsItsRuns(t *testing.T) {
	const n = 5_000_000
	before := heapInUse()
	q := sealedQueue(n)
	drain(q, 10)
	for seq := uint64(100_000); seq < n; seq += 500_000 { // ten stay in the midst
		q.Ack(seq, seq+100_000, nil)
	}
	if used := heapInUse() - before; used > 256<<10 {
		t.Errorf("a queue of %d messages takes %d KiB", q.Len(), used>>10)
	} else {
		t.Logf("%d messages: %d KiB", q.Len(), used>>10)
	}
	if runs := runsOf(q); len(runs) != 1 || runs[0].Live != uint64(q.Len()) || runs[0].First != 10 {
		t.Errorf("%d messages, runs %+v", q.Len(), runs)
	}
	runtime.KeepAlive(q)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first only moves pools to their victims
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestADrainOfARunAllocatesNothing(t *testing.T) {
	q := sealedQueue(400_000)
	drain(q, 10_000)
	if n := testing.AllocsPerRun(1000, func() { drain(q, 100) }); n > 0.5 {
		t.Errorf("%v allocations for 100 messages, want none", n)
	}
}

func TestManySetAsideArePurgedAtOnce(t *testing.T) {
	const n = 200_000
	q := sealedQueue(n)
	for range n {
		seq, _, _ := q.Peek()
		q.TakeSealed(seq, 150, 90)
		q.SetAside(seq)
	}
	for seq := uint64(0); seq < n; seq += 2 {
		q.Ack(seq, seq, nil)
	}
	if q.Aside() != n/2 || q.Len() != n/2 {
		t.Fatalf("%d of %d are aside", q.Aside(), q.Len())
	}
	removed := q.Purge(func(first, last uint64) {})
	if q.Len() != 0 || len(removed.Runs) != 1 || removed.Runs[0].Live != n/2 {
		t.Errorf("%d left, removed %+v", q.Len(), removed.Runs)
	}
}

func TestARunDoesNotReachOverWhatStaysInTheLog(t *testing.T) {
	q := &Queue{}
	for i := range uint64(10) {
		flags := uint32(Logged)
		if i == 7 {
			flags = 0 // in memory: it may stand within a run
		}
		q.Push(MakeEntry(i, 100, 50, flags))
	}
	q.Seal(0, 10, 1, func(a uint64) bool { return a != 4 }, nil)
	want := []Run{{0, 4, 1, 4, 400, 200, 0}, {5, 10, 1, 4, 400, 200, 0}}
	if runs := runsOf(q); !slices.Equal(runs, want) {
		t.Fatalf("runs %+v, want %+v", runs, want)
	}
	q.Relabel(func(uint64) uint64 { return 2 })
	if runs := runsOf(q); len(runs) != 2 {
		t.Errorf("runs %+v were joined over message 4", runs)
	}
	q.Seal(4, 5, 3, all, nil)
	if segment, ok := q.InRun(4); segment != 3 || !ok {
		t.Errorf("message 4 is in segment %d, %v; want 3", segment, ok)
	}
	q.Ack(4, 4, nil)
	q.Relabel(func(uint64) uint64 { return 2 })
	if runs := runsOf(q); len(runs) != 1 || runs[0].Live != 8 {
		t.Errorf("runs %+v, want one", runs)
	}
	if _, ok := q.InRun(7); ok {
		t.Error("message 7, which is in memory, is in a run")
	}
}

// TestTrimByBytesWaitsForTheSizes: the messages at the head of a run are a
// thousand times as large as the others.
func TestTrimByBytesWaitsForTheSizes(t *testing.T) {
	var q Queue
	size := func(seq uint64) uint32 {
		if seq < 1000 {
			return 100_000
		}
		return 100
	}
	for addr := uint64(0); q.Next() < 100_000; {
		n := size(q.Next())
		addr += uint64(n) + 24
		q.Push(MakeEntry(addr-uint64(n)-24, n+24, n, Logged))
	}
	q.Seal(0, q.Next(), 1, all, nil)
	bound := q.ReadyBytes() - 10_000_000
	for _, step := range []struct{ measured, trimmed uint64 }{{0, 0}, {40, 40}, {200, 60}, {0, 0}} {
		for range step.measured {
			seq, _ := q.NextSealed(0, q.Next())
			q.Measure(seq, size(seq)+24, size(seq))
		}
		if n := q.Trim(-1, bound, ignore, func(uint64, uint64) {}); n != int(step.trimmed) {
			t.Fatalf("%d messages went, want %+v", n, step)
		}
	}
	if q.Floor() != 100 || q.ReadyBytes() != bound {
		t.Errorf("floor %d, %d bytes are left, want 100, %d", q.Floor(), q.ReadyBytes(), bound)
	}
	if n := q.Trim(0, -1, ignore, func(uint64, uint64) {}); n != TrimMost {
		t.Errorf("%d messages went at a time, want %d", n, TrimMost)
	}
}

// TestAReplayedPurgeGoesRunByRun: nobody is told of messages without an entry, and
// those that have one split the stretch.
func TestAReplayedPurgeGoesRunByRun(t *testing.T) {
	const n = 3_000_000
	q := sealedQueue(n)
	drain(q, 10)
	for range 20 {
		seq, _, _ := q.Peek()
		q.TakeSealed(seq, 150, 90)
	}
	q.Ack(200_000, 400_000, nil)
	told := 0
	q.AckQuietly(15, n-11, func(uint64, Entry) { told++ })
	if told != 15 || q.Len() != 15 || q.Unacked() != 5 || q.ReadyBytes() != 900 || runsOf(q)[0].Live != 15 {
		t.Errorf("told of %d; %d are left, %d unacked, %d bytes ready, runs %+v", told, q.Len(), q.Unacked(), q.ReadyBytes(), runsOf(q))
	}
	q.AckQuietly(0, n, nil)
	if q.Len() != 0 || q.Floor() != n || q.sealed != nil {
		t.Errorf("%d messages are left of none", q.Len())
	}
}

// TestTransientsWithinARunDoNotHoldUpALock: two million messages that are in memory
// only stand between two in a segment.
func TestTransientsWithinARunDoNotHoldUpALock(t *testing.T) {
	const n = 2_000_000
	var q Queue
	q.Push(MakeEntry(0, 100, 100, Logged))
	for range n {
		q.Push(MakeEntry(1<<63, 100, 100, 0))
	}
	q.Push(MakeEntry(100, 100, 100, Logged))
	for range joinMost / 2 {
		q.Push(MakeEntry(1<<63, 100, 100, 0))
	}
	q.Push(MakeEntry(200, 100, 100, Logged))
	in := func(addr uint64) bool { return addr < 1<<40 }
	for at := uint64(0); at < q.Next(); at += 4096 {
		q.Seal(at, at+4096, 1, in, nil)
	}
	want := []Run{{0, 1, 1, 1, 100, 100, 0}, {n + 1, q.Next(), 1, 2, 200, 200, 0}}
	if runs := runsOf(&q); !slices.Equal(runs, want) {
		t.Fatalf("runs %+v, want %+v: what is far apart is not joined", runs, want)
	}
	_, from, to := q.AppendRuns(nil, q.Next(), nil)
	for from < to {
		_, next := q.AppendAcks(nil, from, to, 16)
		if next-from > 2*chunkSize {
			t.Fatalf("a block of acks goes through %d entries", next-from)
		}
		from = next
	}
}

func TestAWrongGuessDoesNotOutliveItsRun(t *testing.T) {
	q := &Queue{}
	for i := range uint32(10) {
		q.Push(MakeEntry(uint64(i), 100*i, 90*i, Logged))
	}
	q.Seal(0, 10, 1, all, nil)
	q.Push(MakeEntry(1, 10, 7, Logged))
	q.Ack(5, 8, nil) // replayed: nobody looked at their sizes
	for range 5 {    // they are 0, 100 …
		seq, _, _ := q.Peek()
		q.TakeSealed(seq, 100*uint32(seq), 90*uint32(seq))
	}
	if q.ReadyBytes() < 7 {
		t.Errorf("%d bytes are ready, at least 7 are", q.ReadyBytes())
	}
	q.Ack(9, 9, nil)
	if q.ReadyBytes() != 7 || runsOf(q)[0].Bytes != 1000 {
		t.Errorf("%d bytes are ready, want 7; runs %+v", q.ReadyBytes(), runsOf(q))
	}
}

func BenchmarkDrainOfARun(b *testing.B) {
	q := sealedQueue(uint64(b.N) + 1)
	b.ReportAllocs()
	b.ResetTimer()
	drain(q, b.N)
}

func BenchmarkSeal(b *testing.B) {
	q := &Queue{}
	b.ReportAllocs()
	for i := 0; i < b.N; i += 4096 {
		b.StopTimer()
		first := q.Next()
		for range 4096 {
			q.Push(MakeEntry(q.Next()*150, 150, 90, Logged))
		}
		b.StartTimer()
		q.Seal(first, q.Next(), 1, all, nil)
	}
}

// BenchmarkAckOfARun is the replay of a purge.
func BenchmarkAckOfARun(b *testing.B) {
	q := sealedQueue(uint64(b.N) + 1)
	b.ResetTimer()
	q.AckQuietly(0, uint64(b.N)-1, ignore)
}

func BenchmarkPurgeOfARun(b *testing.B) {
	for range b.N {
		b.StopTimer()
		q := sealedQueue(100_000)
		b.StartTimer()
		q.Purge(func(uint64, uint64) {})
	}
}

// BenchmarkInRun is what a compaction asks of each message.
func BenchmarkInRun(b *testing.B) {
	q := sealedQueue(1 << 20)
	for i := uint64(0); i < 1<<20; i += 3 {
		q.Ack(i, i, nil)
	}
	b.ResetTimer()
	for i := range b.N {
		q.InRun(uint64(i) & (1<<20 - 1))
	}
}

func TestAGapCostsLittle(t *testing.T) {
	const n = 500
	queues := make([]*Queue, n)
	before := heapInUse()
	for i := range queues {
		queues[i] = sealedQueue(2000)
		queues[i].Ack(1000, 1100, nil)
	}
	if each := (heapInUse() - before) / n; each > 2<<10 {
		t.Errorf("a queue with a gap in its run takes %d bytes", each)
	} else {
		t.Logf("%d bytes", each)
	}
	runtime.KeepAlive(queues)
}
