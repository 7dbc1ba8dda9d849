package index

import (
	"testing"

	"pgregory.net/rapid"
)

// fataler is a *testing.T, or rapid's.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

var (
	_ fataler = (*testing.T)(nil)
	_ fataler = (*rapid.T)(nil)
)

// piece is a block of a snapshot.
type piece struct {
	kind    byte
	payload []byte
}

// snapshotWriter writes a queue as a store does: piece by piece, between which
// the queue may change.
type snapshotWriter struct {
	q       *Queue
	exact   bool
	limit   int // entries a piece, and acks' chunks
	resolve func(uint64) uint64

	pieces   []piece
	stage    int
	from, to uint64
	end      uint64
}

// step writes the next piece and tells whether there was one to write.
func (w *snapshotWriter) step() bool {
	var b []byte
	kind := byte(0)
	switch w.stage {
	case 0:
		kind, b = BlockState, w.q.AppendState(nil, 7, w.exact)
		w.from, w.end = w.q.Floor(), w.q.Next()
		w.stage = 1
		if w.from == w.end {
			w.stage = 2
		}
	case 1:
		kind = BlockEntries
		if b, w.from = w.q.AppendEntries(nil, w.from, w.end, w.limit, w.exact); w.from >= w.end {
			w.stage = 2
		}
	case 2:
		kind = BlockRuns
		b, w.from, w.to = w.q.AppendRuns(nil, w.end, w.resolve)
		if w.stage = 3; w.from >= w.to {
			w.stage = 4
		}
	case 3:
		kind = BlockAcks
		if b, w.from = w.q.AppendAcks(nil, w.from, w.to, w.limit); w.from >= w.to {
			w.stage = 4
		}
	default:
		return false
	}
	if len(b) > 0 {
		w.pieces = append(w.pieces, piece{kind, b})
	}
	return true
}

// loadPieces builds the queue again. tally counts, by address, what is to be
// found outside of runs.
func loadPieces(t fataler, pieces []piece, tally map[uint64]int) Queue {
	t.Helper()
	var l Loader
	for _, p := range pieces {
		var err error
		switch p.kind {
		case BlockState:
			_, l, err = LoadState(p.payload)
		case BlockEntries:
			err = l.LoadEntries(p.payload, func(e Entry) { tally[e.Addr]++ })
		case BlockRuns:
			err = l.LoadRuns(p.payload)
		case BlockAcks:
			err = l.LoadAcks(p.payload)
		}
		if err != nil {
			t.Fatalf("block of kind %d: %v", p.kind, err)
		}
	}
	return l.Done(func(e Entry) {
		if tally[e.Addr]--; tally[e.Addr] == 0 {
			delete(tally, e.Addr)
		}
	})
}
