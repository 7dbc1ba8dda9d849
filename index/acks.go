package index

import (
	"math/bits"
	"sync"
)

// Acks above the floor are bits in chunks of 64 Ki sequence numbers. A chunk
// has memory only while it has both set and unset bits, and then in blocks of
// 4 Ki, so that a hundred thousand queues with a gap each are not 8 KiB each.
const (
	chunkShift = 16
	chunkSize  = 1 << chunkShift
	chunkMask  = chunkSize - 1
	blockShift = 12
	blockWords = 1 << blockShift / 64
)

type bitBlock [blockWords]uint64

// chunkBits are the blocks of a chunk; those without set bits may be nil.
type chunkBits [chunkSize >> blockShift]*bitBlock

// The pools serve all queues. What is in them is all zero.
var (
	blockPool = sync.Pool{New: func() any { return new(bitBlock) }}
	chunkPool = sync.Pool{New: func() any { return new(chunkBits) }}
)

// ackChunk is 64 Ki sequence numbers: n of them are gone, and bits says which
// unless that is none or all.
type ackChunk struct {
	bits *chunkBits
	n    int
}

// word returns the bits of the 64 numbers from w*64 on, of a chunk with bits.
func (c *ackChunk) word(w uint64) uint64 {
	if b := c.bits[w/blockWords]; b != nil {
		return b[w%blockWords]
	}
	return 0
}

func (c *ackChunk) full() bool { return c.n == chunkSize }

// acks is the set of sequence numbers above a queue's floor that are gone. The
// floor itself is never in it. Consumers that ack nearly in order stay within
// near; only beyond that does the set take memory.
type acks struct {
	near   uint64     // bit i is floor+1+i; zero while there are chunks
	first  uint64     // number of chunks[0]: sequence number >> chunkShift
	chunks []ackChunk // first and last are never empty
}

func (a *acks) has(floor, seq uint64) bool {
	if len(a.chunks) == 0 {
		i := seq - floor - 1
		return seq > floor && i < 64 && a.near>>i&1 != 0
	}
	i := seq>>chunkShift - a.first
	if seq>>chunkShift < a.first || i >= uint64(len(a.chunks)) {
		return false
	}
	c := &a.chunks[i]
	if c.bits == nil {
		return c.full()
	}
	return c.word(seq&chunkMask>>6)>>(seq&63)&1 != 0
}

// nextClear returns the first number from seq on, below end, that is not in the
// set, else end. seq is not below the floor.
func (a *acks) nextClear(floor, seq, end uint64) uint64 {
	if len(a.chunks) == 0 {
		if i := seq - floor - 1; seq > floor && i < 64 {
			seq += uint64(bits.TrailingZeros64(^(a.near >> i)))
		}
		return min(seq, end)
	}
	for seq < end {
		i := seq>>chunkShift - a.first
		if seq>>chunkShift < a.first || i >= uint64(len(a.chunks)) {
			return seq
		}
		c := &a.chunks[i]
		if c.bits == nil {
			if !c.full() {
				return seq
			}
			seq = (seq | chunkMask) + 1
			continue
		}
		if clear := ^c.word(seq&chunkMask>>6) >> (seq & 63); clear != 0 {
			seq += uint64(bits.TrailingZeros64(clear))
			return min(seq, end)
		}
		seq = (seq | 63) + 1
	}
	return end
}

// add puts [from, to) into the set, all of it above the floor.
func (a *acks) add(floor, from, to uint64) {
	if from >= to {
		return
	}
	if len(a.chunks) == 0 {
		if to-floor-1 <= 64 {
			a.near |= mask(from-floor-1, to-floor-1)
			return
		}
		near := a.near
		a.near = 0
		for near != 0 {
			seq := floor + 1 + uint64(bits.TrailingZeros64(near))
			a.addChunked(seq, seq+1)
			near &= near - 1
		}
	}
	a.addChunked(from, to)
}

// mask has the bits [from, to) set, to at most 64.
func mask(from, to uint64) uint64 {
	return ^uint64(0) << from & (^uint64(0) >> (64 - to))
}

func (a *acks) addChunked(from, to uint64) {
	a.cover(from>>chunkShift, (to-1)>>chunkShift)
	for from < to {
		c := &a.chunks[from>>chunkShift-a.first]
		end := min(to, (from|chunkMask)+1)
		c.add(from&chunkMask, (end-1)&chunkMask)
		from = end
	}
}

// cover makes room for the chunks numbered lo to hi.
func (a *acks) cover(lo, hi uint64) {
	if len(a.chunks) == 0 {
		a.first = lo
	}
	if lo < a.first {
		wider := make([]ackChunk, a.first-lo, a.first-lo+uint64(len(a.chunks)))
		a.chunks = append(wider, a.chunks...)
		a.first = lo
	}
	if n := hi + 1 - a.first; n > uint64(len(a.chunks)) {
		a.chunks = append(a.chunks, make([]ackChunk, n-uint64(len(a.chunks)))...)
	}
}

// add sets the bits lo to hi, both within the chunk.
func (c *ackChunk) add(lo, hi uint64) {
	if c.full() {
		return
	}
	if lo == 0 && hi == chunkMask {
		c.release()
		c.n = chunkSize
		return
	}
	if c.bits == nil {
		c.bits = chunkPool.Get().(*chunkBits)
	}
	for w := lo >> 6; w <= hi>>6; w++ {
		m := ^uint64(0)
		if w == lo>>6 {
			m &= ^uint64(0) << (lo & 63)
		}
		if w == hi>>6 {
			m &= ^uint64(0) >> (63 - hi&63)
		}
		b := c.bits[w/blockWords]
		if b == nil {
			b = blockPool.Get().(*bitBlock)
			c.bits[w/blockWords] = b
		}
		c.n += bits.OnesCount64(m &^ b[w%blockWords])
		b[w%blockWords] |= m
	}
	if c.full() {
		c.release()
	}
}

func (c *ackChunk) release() {
	if c.bits != nil {
		for i, b := range c.bits {
			if b != nil {
				clear(b[:])
				blockPool.Put(b)
				c.bits[i] = nil
			}
		}
		chunkPool.Put(c.bits)
		c.bits = nil
	}
}

// rise returns the floor that follows when all of [floor, to) is gone: to, or
// past all in the set that adjoins it. What the floor passes leaves the set.
func (a *acks) rise(floor, to uint64) uint64 {
	if len(a.chunks) == 0 {
		a.near >>= to - floor - 1
		run := uint64(bits.TrailingZeros64(^a.near))
		a.near >>= run
		a.near >>= 1
		return to + run
	}
	if below := to >> chunkShift; below > a.first {
		a.pop(min(below-a.first, uint64(len(a.chunks))))
	}
	if len(a.chunks) > 0 && a.first == to>>chunkShift && !a.chunks[0].full() {
		a.chunks[0].remove(max(floor, a.first<<chunkShift)&chunkMask, to&chunkMask)
		if a.chunks[0].n == 0 {
			a.pop(1)
		}
	}
	for len(a.chunks) > 0 && a.first == to>>chunkShift {
		c := &a.chunks[0]
		if c.full() {
			k := uint64(1)
			for k < uint64(len(a.chunks)) && a.chunks[k].full() {
				k++
			}
			to = (a.first + k) << chunkShift
			a.pop(k)
			continue
		}
		run := uint64(bits.TrailingZeros64(^(c.word(to&chunkMask>>6) >> (to & 63))))
		if run == 0 {
			break
		}
		c.remove(to&chunkMask, to&chunkMask+run)
		to += run
		if c.n == 0 {
			a.pop(1)
		}
	}
	return to
}

// remove clears the bits [lo, hi) of a chunk that has bits.
func (c *ackChunk) remove(lo, hi uint64) {
	for w := lo >> 6; w<<6 < hi; w++ {
		b := c.bits[w/blockWords]
		if b == nil {
			continue
		}
		m := mask(max(lo, w<<6)-w<<6, min(hi-w<<6, 64))
		c.n -= bits.OnesCount64(b[w%blockWords] & m)
		b[w%blockWords] &^= m
	}
}

// pop drops the first k chunks and the empty ones behind them: all at once, since
// the rest of the list moves up.
func (a *acks) pop(k uint64) {
	for i := range a.chunks[:k] {
		a.chunks[i].release()
	}
	for k < uint64(len(a.chunks)) && a.chunks[k].n == 0 {
		k++
	}
	n := copy(a.chunks, a.chunks[k:])
	clear(a.chunks[n:])
	a.chunks = a.chunks[:n]
	a.first += k
	if n == 0 && cap(a.chunks) > 1 {
		a.chunks = nil
	}
}

// reset empties the set.
func (a *acks) reset() {
	for i := range a.chunks {
		a.chunks[i].release()
	}
	*a = acks{}
}

// some tells whether any of [lo, hi), all in one chunk, may be in the set.
func (a *acks) some(floor, lo, hi uint64) bool {
	if len(a.chunks) == 0 {
		return a.near != 0 && lo <= floor+64 && floor < hi
	}
	i := lo>>chunkShift - a.first
	return lo>>chunkShift >= a.first && i < uint64(len(a.chunks)) && a.chunks[i].n > 0
}

// copyTo sets the bits of [lo, hi), all in one chunk, in that chunk's set, and
// tells whether there are some.
func (a *acks) copyTo(set *flatBits, floor, lo, hi uint64) (some bool) {
	for seq := lo; seq < hi; {
		w := seq & chunkMask >> 6
		end := min((seq|63)+1, hi)
		if v := a.word(floor, seq>>6) & mask(seq&63, (end-1)&63+1); v != 0 {
			set[w] |= v
			some = true
		}
		seq = end
	}
	return some
}

// word returns the bits of 64 numbers from no*64 on.
func (a *acks) word(floor, no uint64) uint64 {
	if len(a.chunks) == 0 {
		switch base := no << 6; {
		case base > floor:
			if base-floor-1 >= 64 {
				return 0
			}
			return a.near >> (base - floor - 1)
		case floor+1-base < 64:
			return a.near << (floor + 1 - base)
		}
		return 0
	}
	i := no>>(chunkShift-6) - a.first
	if no>>(chunkShift-6) < a.first || i >= uint64(len(a.chunks)) {
		return 0
	}
	c := &a.chunks[i]
	switch {
	case c.full():
		return ^uint64(0)
	case c.bits == nil:
		return 0
	}
	return c.word(no & (chunkSize/64 - 1))
}

// count returns how many of [from, to) are in the set.
func (a *acks) count(floor, from, to uint64) (n uint64) {
	if len(a.chunks) == 0 {
		from, to = max(from, floor+1), min(to, floor+65)
	} else {
		from, to = max(from, a.first<<chunkShift), min(to, (a.first+uint64(len(a.chunks)))<<chunkShift)
	}
	for seq := from; seq < to; {
		end := min((seq|63)+1, to)
		if len(a.chunks) > 0 && seq&chunkMask == 0 && to-seq >= chunkSize {
			end = seq + chunkSize
			n += uint64(a.chunks[seq>>chunkShift-a.first].n)
		} else {
			n += uint64(bits.OnesCount64(a.word(floor, seq>>6) & mask(seq&63, (end-1)&63+1)))
		}
		seq = end
	}
	return n
}
