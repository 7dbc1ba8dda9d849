package index

import (
	"math/bits"
	"slices"
)

// Finding messages by their place in the queue, without changing anything.

// Sight is what there is to say of a message that is not gone.
type Sight struct {
	Seq         uint64
	Claimed     bool   // else it is ready
	Redelivered bool   // it was, or may have been, delivered before: as Take would say, or, of one that is claimed, as is known now
	Count       uint32 // how often it was requeued
}

// Seek returns the number of the message at a position of the queue: 0 is the first
// that is ready or claimed. ok is false where there are not so many. It costs a look
// at each 64 Ki numbers before, and at what of its own 64 Ki is gone.
func (q *Queue) Seek(position int) (seq uint64, ok bool) {
	if position < 0 || position >= q.ready+q.unacked {
		return 0, false
	}
	seq, _ = q.acks.nth(q.floor, uint64(position))
	if q.Aside() == 0 {
		return seq, true
	}
	// What was set aside is not gone, and has no position.
	aside := slices.DeleteFunc(slices.Clone(q.rare.aside), func(seq uint64) bool { return !q.isAside(seq) })
	slices.Sort(aside)
	aside = slices.Compact(aside)
	for before := 0; ; {
		n, found := slices.BinarySearch(aside, seq)
		if found {
			n++
		}
		if n == before {
			return seq, true
		}
		before = n
		seq, _ = q.acks.nth(q.floor, uint64(position+n))
	}
}

// Sighted returns the first message from a number on that is ready or claimed.
func (q *Queue) Sighted(from uint64) (s Sight, ok bool) {
	for {
		seq, e, ok := q.nextAlive(max(from, q.floor), q.next)
		if !ok {
			return Sight{}, false
		}
		if e == nil {
			return Sight{Seq: seq, Redelivered: seq < q.past}, true
		}
		if e.state() == aside {
			from = seq + 1
			continue
		}
		s = Sight{Seq: seq, Claimed: e.Claimed(), Redelivered: seq < q.past}
		if e.Flags&counted != 0 {
			s.Count = q.counts[seq]
			s.Redelivered = true
		}
		if !s.Claimed && e.Flags&Delivered != 0 {
			s.Redelivered = true
		}
		return s, true
	}
}

// AllReadyFrom is a number from which on nothing is claimed.
func (q *Queue) AllReadyFrom() uint64 { return max(q.cursor, q.taken) }

// nth returns the number from the floor on that is not in the set and has n such
// numbers before it. looks tells at how many pieces of the set it has looked.
func (a *acks) nth(floor, n uint64) (seq uint64, looks int) {
	if len(a.chunks) == 0 {
		if n == 0 {
			return floor, 1
		}
		clear := ^a.near
		if k := uint64(bits.OnesCount64(clear)); n > k {
			return floor + 64 + (n - k), 1
		}
		return floor + 1 + nthBit(clear, n-1), 1
	}
	seq = floor
	if first := a.first << chunkShift; first > seq {
		if n < first-seq {
			return seq + n, 1
		}
		n -= first - seq
		seq = first
	}
	for seq>>chunkShift-a.first < uint64(len(a.chunks)) {
		looks++
		c := &a.chunks[seq>>chunkShift-a.first]
		end := (seq | chunkMask) + 1
		// Nothing at or below the floor is in the set.
		if clear := end - seq - uint64(c.n); n >= clear {
			n -= clear
			seq = end
			continue
		}
		if c.bits == nil {
			return seq + n, looks
		}
		for {
			looks++
			clear := ^c.word(seq&chunkMask>>6) & (^uint64(0) << (seq & 63))
			k := uint64(bits.OnesCount64(clear))
			if n < k {
				return seq&^63 + nthBit(clear, n), looks
			}
			n -= k
			seq = (seq | 63) + 1
		}
	}
	return seq + n, looks
}

// nthBit is the place of the bit that has n set ones below it.
func nthBit(word, n uint64) uint64 {
	for ; n > 0; n-- {
		word &= word - 1
	}
	return uint64(bits.TrailingZeros64(word))
}
