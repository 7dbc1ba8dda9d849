package index

import "testing"

// A position millions deep is found by looking at a piece of the set for each 64 Ki
// messages before it, wherever the gaps are.
func TestADeepPositionIsFoundWithFewLooks(t *testing.T) {
	const n = 20_000_000
	var q Queue
	q.Skip(1)
	loaded := q // one run of that many messages, none of them in memory
	loaded.sealed = &sealed{runs: []run{{first: 1, end: n + 1, segment: 7, bare: size{n: n, bytes: n * 50, body: n * 20}}}}
	loaded.next, loaded.ready, loaded.readyBytes = n+1, n, n*20
	q = loaded
	gone := uint64(0)
	for seq := uint64(3); seq < n; seq += 1000 { // acked in all chunks
		q.Ack(seq, seq, nil)
		gone++
	}
	for _, position := range []uint64{0, 1, 2, 3, 1000, 65535, 65536, 5_000_000, 19_000_000, n - gone - 1} {
		seq, looks := q.acks.nth(q.floor, position)
		if want := (n/chunkSize + 1) + chunkSize/64 + 1; looks > want {
			t.Errorf("position %d: %d looks, more than %d", position, looks, want)
		}
		// As many as there are before it: those that are not gone.
		before := seq - 1
		if seq > 3 {
			before -= (seq-4)/1000 + 1
		}
		if got, ok := q.Seek(int(position)); !ok || got != seq || before != position {
			t.Errorf("position %d: message %d, %v, with %d before it", position, got, ok, before)
		}
	}
	if _, ok := q.Seek(int(n - gone)); ok {
		t.Error("there is a message behind the last")
	}
	before := q.Ready()
	if q.Seek(n / 2); q.Ready() != before || q.sealed.held.refs != nil {
		t.Error("the queue has changed")
	}
	if allocs := testing.AllocsPerRun(10, func() { q.Seek(n / 2) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
