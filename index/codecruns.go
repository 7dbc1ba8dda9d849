package index

import (
	"encoding/binary"
	"math/bits"
)

// AppendRuns appends the block with the runs, below end: the Next of the state
// block. A segment is written as what resolve makes of it, unless that is nil. It
// returns the span of numbers for AppendAcks; where there are no runs it
// appends nothing, and the span is empty.
func (q *Queue) AppendRuns(dst []byte, end uint64, resolve func(segment uint64) uint64) (_ []byte, from, to uint64) {
	prev, segment := uint64(0), uint64(0)
	q.Runs(func(r Run) bool {
		r.End = min(r.End, end)
		if r.First >= r.End {
			return false
		}
		if resolve != nil {
			r.Segment = resolve(r.Segment)
		}
		if to == 0 {
			from = r.First
		}
		to = r.End
		dst = binary.AppendUvarint(dst, r.First-prev)
		dst = binary.AppendUvarint(dst, r.End-r.First)
		dst = binary.AppendVarint(dst, int64(r.Segment-segment))
		dst = binary.AppendUvarint(dst, r.Live)
		dst = binary.AppendUvarint(dst, uint64(r.Bytes))
		dst = binary.AppendUvarint(dst, uint64(r.Bytes-r.Body))
		prev, segment = r.End, r.Segment
		return true
	})
	return dst, from, to
}

// AppendTimes appends the block that says when messages of runs expire, below end:
// for each run of which some do, the earliest. It is written after that of the runs,
// which may have changed since: they are spans of numbers to who reads it.
func (q *Queue) AppendTimes(dst []byte, end uint64) []byte {
	prev, at := uint64(0), int64(0)
	q.Runs(func(r Run) bool {
		r.End = min(r.End, end)
		if r.First >= r.End {
			return false
		}
		if r.Expires != 0 {
			dst = binary.AppendUvarint(dst, r.First-prev)
			dst = binary.AppendUvarint(dst, r.End-r.First)
			dst = binary.AppendVarint(dst, r.Expires-at)
			prev, at = r.End, r.Expires
		}
		return true
	})
	return dst
}

// flatBits are the bits of a chunk in one piece.
type flatBits [chunkSize / 64]uint64

// acksLook bounds the entries that AppendAcks looks at, but for those of the last
// chunk.
const acksLook = 1 << 12

// AppendAcks appends a block that says which messages of a span are not in the
// runs that AppendRuns wrote: gone, or in memory only. It looks at up to limit
// chunks of 64 Ki, fewer where many entries stand in them, and returns where the
// next block begins: to when all is done.
// The span is AppendRuns' even where runs have gone since.
func (q *Queue) AppendAcks(dst []byte, from, to uint64, limit int) ([]byte, uint64) {
	dst = binary.AppendUvarint(dst, q.floor)
	if from = max(from, q.floor); from >= to {
		return dst, to
	}
	var set flatBits
	prev, looked := uint64(0), 0
	for no := from >> chunkShift; no <= (to-1)>>chunkShift; no++ {
		base := no << chunkShift
		if limit == 0 || looked >= acksLook {
			return dst, base
		}
		limit--
		lo, hi := max(base, from), min(base+chunkSize, to)
		full, some, entries := q.notInRuns(&set, lo, hi)
		looked += entries
		if !some {
			continue
		}
		dst = binary.AppendUvarint(dst, no-prev)
		prev = no
		if full {
			dst = append(dst, 1)
			dst = binary.AppendUvarint(dst, lo-base)
			dst = binary.AppendUvarint(dst, hi-lo-1)
		} else {
			dst = appendChunk(dst, &set)
		}
	}
	return dst, to
}

// notInRuns gathers which of [lo, hi), all in one chunk, are gone or transient.
// full says that all of them are, without set. entries is how many it went
// through.
func (q *Queue) notInRuns(set *flatBits, lo, hi uint64) (full, some bool, entries int) {
	if q.acks.nextClear(q.floor, lo, hi) == hi {
		return true, true, 0
	}
	seq, e := q.pages.next(lo, hi)
	if e == nil && !q.acks.some(q.floor, lo, hi) {
		return false, false, 0
	}
	clear(set[:])
	some = q.acks.copyTo(set, q.floor, lo, hi)
	for ; e != nil; seq, e = q.pages.next(seq+1, hi) {
		entries++
		if e.Flags&Logged == 0 {
			set[seq&chunkMask>>6] |= 1 << (seq & 63)
			some = true
		}
	}
	return false, some, entries
}

// appendChunk appends the bits as ranges, or as they are where that is shorter.
func appendChunk(dst []byte, set *flatBits) []byte {
	at := len(dst)
	var ranges []byte
	n, prev := uint64(0), uint64(0)
	for i := nextBit(set, 0, 0); i < chunkSize; n++ {
		end := nextBit(set, i, ^uint64(0))
		ranges = binary.AppendUvarint(ranges, i-prev)
		ranges = binary.AppendUvarint(ranges, end-i-1)
		if len(ranges) >= chunkSize/8 {
			dst = append(dst[:at], 0)
			for _, w := range set {
				dst = le.AppendUint64(dst, w)
			}
			return dst
		}
		prev = end
		i = nextBit(set, end, 0)
	}
	return append(binary.AppendUvarint(dst, n), ranges...)
}

// nextBit returns the first bit from i on that is set or, with flip all ones,
// unset; chunkSize where there is none.
func nextBit(set *flatBits, i, flip uint64) uint64 {
	for i < chunkSize {
		if w := (set[i>>6] ^ flip) >> (i & 63); w != 0 {
			return i + uint64(bits.TrailingZeros64(w))
		}
		i = (i | 63) + 1
	}
	return chunkSize
}
