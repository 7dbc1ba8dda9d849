package wal

import "sort"

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

// spareMax bounds the chunks that wait for readers to let go, and those that
// wait to be used again; what passes it is left to the garbage collector.
const spareMax = 8

// roll begins a new chunk with room for a frame with need bytes of payload.
// Under mu.
func (l *Log) roll(need int) {
	if l.open.batches > 0 {
		l.sealOpen()
		l.want = true // a full frame waits for nobody
	}
	base := LSN(l.boundary.Load())
	size := max(l.opts.ChunkSize, align(frameHeaderSize+need))

	old := *l.ring.Load()
	ring := make([]*chunk, 0, len(old)+1)
	ring = append(ring, old...)
	var out []*chunk
	if l.cur.base == base { // nothing was ever put in it
		ring = ring[:len(ring)-1]
		out = append(out, l.cur)
	}
	// The cache is what is durable and young enough. A chunk ends where the
	// next one begins.
	total := int64(size)
	for _, c := range ring {
		total += int64(len(c.buf))
	}
	durable := LSN(l.durable.Load())
	for len(ring) > 0 && total > l.opts.CacheSize {
		end := base
		if len(ring) > 1 {
			end = ring[1].base
		}
		if end > durable {
			break
		}
		total -= int64(len(ring[0].buf))
		out = append(out, ring[0])
		ring = ring[1:]
	}

	l.ring.Store(&ring)
	for _, c := range out {
		if len(c.buf) == l.opts.ChunkSize && len(l.limbo) < spareMax {
			l.limbo = append(l.limbo, c)
		}
	}
	// A reader that comes now sees the new ring, so if none is inside, nobody
	// holds slices of what has left it. If one is, nobody waits for it: the
	// memory is used again some other time.
	if l.pin.TryLock() {
		l.pin.Unlock()
		l.free = append(l.free, l.limbo[:min(len(l.limbo), spareMax-len(l.free))]...)
		clear(l.limbo)
		l.limbo = l.limbo[:0]
	}

	c := l.newChunk(size)
	c.base = base
	grown := append(ring, c) // behind what readers of ring look at
	l.ring.Store(&grown)
	l.cur, l.off = c, 0
	l.open.c, l.open.start = c, 0
}

// newChunk finds memory for a chunk of size bytes. Under mu.
func (l *Log) newChunk(size int) *chunk {
	if n := len(l.free); n > 0 && size == l.opts.ChunkSize {
		c := l.free[n-1]
		l.free[n-1] = nil
		l.free = l.free[:n-1]
		return c
	}
	return &chunk{buf: make([]byte, size)}
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
