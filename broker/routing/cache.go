package routing

import "sync/atomic"

// The bounds of a topic table's cache: it begins with 256 slots and grows to
// 4096 where keys displace each other. Keys are short and have few
// destinations, so that one table's cache takes 5 MiB at the most.
const (
	minCacheSlots = 256
	maxCacheSlots = 4096
	cacheKey      = 128 // bytes
	cacheDests    = 128
)

// cache remembers what keys a topic table was asked for and what it answered.
// It is a direct-mapped table by the key's hash. An entry carries the number of
// the version that it is true of, so a change invalidates all without touching
// any.
//
// A key is taken in at its second miss: keys that never come again (an
// identifier in the key) cost neither an allocation nor a useful entry.
type cache[D comparable] struct {
	mem    atomic.Pointer[cacheMem[D]] // nil until the first miss
	filled atomic.Bool                 // an entry was stored since the last forget
}

type cacheMem[D comparable] struct {
	slots     []cacheSlot[D] // a power of two
	displaced atomic.Uint32
}

type cacheSlot[D comparable] struct {
	entry  atomic.Pointer[cacheEntry[D]]
	missed atomic.Uint32 // upper half of the hash last missed here
}

type cacheEntry[D comparable] struct {
	gen  uint64
	hash uint64
	key  string
	dst  []D
}

func (m *cacheMem[D]) slot(h uint64) *cacheSlot[D] {
	return &m.slots[h&uint64(len(m.slots)-1)]
}

func (c *cache[D]) get(gen, h uint64, key []byte) *cacheEntry[D] {
	m := c.mem.Load()
	if m == nil {
		return nil
	}
	e := m.slot(h).entry.Load()
	if e == nil || e.gen != gen || e.hash != h || e.key != string(key) {
		return nil
	}
	return e
}

// offer tells of an answer that had to be worked out.
func (c *cache[D]) offer(gen, h uint64, key []byte, dst []D) {
	if len(key) > cacheKey || len(dst) > cacheDests {
		return
	}
	m := c.mem.Load()
	if m == nil {
		m = c.replace(nil, minCacheSlots)
	}
	s, tag := m.slot(h), uint32(h>>32)
	if s.missed.Load() != tag {
		s.missed.Store(tag)
		return
	}
	old := s.entry.Swap(&cacheEntry[D]{gen, h, string(key), append([]D(nil), dst...)})
	if !c.filled.Load() {
		c.filled.Store(true)
	}
	if old != nil && old.gen == gen && old.hash != h && len(m.slots) < maxCacheSlots &&
		m.displaced.Add(1) == uint32(len(m.slots)) {
		c.replace(m, 4*len(m.slots))
	}
}

// replace puts an empty cache of n slots in the place of old, if that is still
// the one in use, and returns the one in use.
func (c *cache[D]) replace(old *cacheMem[D], n int) *cacheMem[D] {
	c.mem.CompareAndSwap(old, &cacheMem[D]{slots: make([]cacheSlot[D], n)})
	return c.mem.Load()
}

// forget lets go of all entries, so that a destination that was unbound is not
// kept alive by an answer nobody can get any more. A Match under way may store
// one more: it is overwritten sooner or later, and is never given out.
func (c *cache[D]) forget() {
	if !c.filled.Swap(false) {
		return
	}
	m := c.mem.Load()
	for i := range m.slots {
		m.slots[i].entry.Store(nil)
	}
}
