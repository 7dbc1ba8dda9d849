package wal

import (
	"slices"
	"sort"
)

// A chunk is a piece of the stream in memory: whole frames one after another,
// the last of them perhaps still being staged.
type chunk struct {
	base LSN    // of buf[0]; fixed while the chunk is in the ring
	buf  []byte // its length is its capacity, a multiple of 8
}

// A frame in memory: staged, full or being written.
type frame struct {
	c          *chunk
	start, end int // in c.buf; end is set when the frame is sealed, padding in it
	payload    int // bytes behind the header, without padding; set likewise
	records    int
	batches    int
	waiters    []Waiter
}

func (f *frame) lsn() LSN    { return f.c.base + LSN(f.start) }
func (f *frame) endLSN() LSN { return f.c.base + LSN(f.end) }
func (f *frame) size() int   { return f.end - f.start }

// spareMax bounds, in ordinary chunks, the memory that waits for readers to
// let go and that waits to be used again, each; what passes it is left to the
// garbage collector.
const spareMax = 8

// spares is memory for chunks.
type spares struct {
	chunks []*chunk
	bytes  int
}

func (s *spares) put(c *chunk, limit int) {
	if s.bytes+len(c.buf) <= limit {
		s.chunks = append(s.chunks, c)
		s.bytes += len(c.buf)
	}
}

// get takes the newest chunk of exactly so many bytes, nil if there is none.
func (s *spares) get(size int) *chunk {
	for i := len(s.chunks) - 1; i >= 0; i-- {
		if c := s.chunks[i]; len(c.buf) == size {
			s.chunks = slices.Delete(s.chunks, i, i+1)
			s.bytes -= size
			return c
		}
	}
	return nil
}

// roll begins a new chunk with room for a frame with need bytes of payload.
// Under mu.
func (l *Log) roll(need int) {
	if l.open.batches > 0 {
		l.sealOpen()
		l.want = true // a full frame waits for nobody
	}
	base := LSN(l.boundary.Load())
	// A multiple of the ordinary size, so that large ones can be used again.
	size := frameHeaderSize + need + l.opts.ChunkSize - 1
	size -= size % l.opts.ChunkSize

	old := *l.ring.Load()
	ring := make([]*chunk, 0, len(old)+1)
	ring = append(ring, old...)
	out := l.out[:0]
	if l.cur.base == base { // nothing was ever put in it
		ring = ring[:len(ring)-1]
		out = append(out, l.cur)
	}
	// The cache is what is durable and young enough. A chunk ends where the
	// next one begins. When a slow disk has caught up there may be much to let
	// go: no more goes than is needed again, and now and then one, so that
	// memory goes round instead of being given back and asked for in turn.
	l.rolls++
	excess := size
	if l.rolls%16 == 0 {
		excess++
	}
	total, gone := int64(size), 0
	for _, c := range ring {
		total += int64(len(c.buf))
	}
	durable := LSN(l.durable.Load())
	for len(ring) > 0 && total > l.opts.CacheSize && gone < excess {
		end := base
		if len(ring) > 1 {
			end = ring[1].base
		}
		if end > durable {
			break
		}
		total -= int64(len(ring[0].buf))
		gone += len(ring[0].buf)
		out = append(out, ring[0])
		ring = ring[1:]
	}

	l.ring.Store(&ring)
	limit := spareMax * l.opts.ChunkSize
	for _, c := range out {
		l.limbo.put(c, limit)
	}
	clear(out)
	l.out = out[:0]
	// A reader that comes now sees the new ring, so if none is inside, nobody
	// holds slices of what has left it. If one is, nobody waits for it: the
	// memory is used again some other time.
	if l.pin.TryLock() {
		l.pin.Unlock()
		for _, c := range l.limbo.chunks {
			l.free.put(c, limit)
		}
		clear(l.limbo.chunks)
		l.limbo = spares{chunks: l.limbo.chunks[:0]}
	}

	c := l.free.get(size)
	if c == nil {
		c = &chunk{buf: make([]byte, size)}
	}
	c.base = base
	grown := append(ring, c) // behind what readers of ring look at
	l.ring.Store(&grown)
	l.cur, l.off = c, 0
	l.open.c, l.open.start = c, 0
}

// Pin keeps the slices that Cached returns valid until Unpin. It blocks
// nobody, but while any reader holds a pin no chunk's memory is used again:
// hold it shortly.
func (l *Log) Pin() { l.pin.RLock() }

// Unpin ends what Pin began.
func (l *Log) Unpin() { l.pin.RUnlock() }

// Cached returns n bytes of the stream from lsn on if they are still in
// memory, and nil if not. It may be called only between Pin and Unpin, for
// bytes that were put before, and the slice is for reading only.
func (l *Log) Cached(lsn LSN, n int) []byte {
	ring := *l.ring.Load()
	if len(ring) == 0 || lsn < ring[0].base || n < 0 {
		return nil
	}
	// Most reads want the newest.
	i := len(ring) - 1
	if ring[i].base > lsn {
		i = sort.Search(i, func(i int) bool { return ring[i].base > lsn }) - 1
	}
	c := ring[i]
	off := uint64(lsn - c.base)
	if off > uint64(len(c.buf)) || uint64(n) > uint64(len(c.buf))-off {
		return nil
	}
	if i+1 < len(ring) && lsn+LSN(n) > ring[i+1].base {
		return nil
	}
	return c.buf[off : off+uint64(n) : off+uint64(n)]
}
