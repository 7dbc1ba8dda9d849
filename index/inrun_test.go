package index

import (
	"math/rand/v2"
	"testing"
)

// NextInRun finds what InRun says of each number.
func TestNextInRunFindsEachMessageOfRuns(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q Queue
		const n = 300
		for range n {
			q.Push(MakeEntry(8, 10, 5, Logged))
		}
		for at := uint64(0); at < n; {
			end := min(n, at+1+rng.Uint64N(60))
			if rng.IntN(3) > 0 {
				q.Seal(at, end, 1+rng.Uint64N(3), func(uint64) bool { return true }, nil)
			}
			at = end
		}
		for range rng.IntN(60) {
			if seq, e, ok := q.Peek(); ok && e != nil {
				q.Take(seq, e)
			} else if ok {
				q.TakeSealed(seq, 10, 5)
			}
		}
		for range rng.IntN(200) {
			seq := rng.Uint64N(n)
			q.Ack(seq, seq, nil)
		}
		for from := uint64(0); from <= n; from++ {
			end := from + rng.Uint64N(n+1-from)
			want := from
			for ; want < end; want++ {
				if _, ok := q.InRun(want); ok {
					break
				}
			}
			if got, ok := q.NextInRun(from, end); got != want || ok != (want < end) {
				t.Fatalf("seed %d: from %d to %d: %d %v, want %d", seed, from, end, got, ok, want)
			}
		}
	}
}
