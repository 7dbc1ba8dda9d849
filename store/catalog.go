package store

import (
	"sync"
	"sync/atomic"
)

// catalog is what the caller keeps beside its queues: keys and values that are
// opaque here. Entries keep their slot for life, so that a snapshot can walk
// the slots a few at a time while others change: what it misses is in the log
// that is replayed on top of it.
type catalog struct {
	// dirty: changed since the last snapshot began. It is set after the change:
	// who clears it and looks then either sees the change or finds dirty set
	// the next time.
	dirty atomic.Bool

	mu    sync.Mutex // a leaf
	slots []catalogEntry
	where map[string]int
	free  []int
}

type catalogEntry struct {
	key   string
	value []byte // never changed; nil in a free slot
}

func (c *catalog) put(key string, value []byte) {
	v := make([]byte, len(value))
	copy(v, value)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.dirty.Store(true)
	if i, ok := c.where[key]; ok {
		c.slots[i].value = v
		return
	}
	if c.where == nil {
		c.where = map[string]int{}
	}
	e := catalogEntry{key, v}
	if n := len(c.free); n > 0 {
		c.where[key] = c.free[n-1]
		c.slots[c.free[n-1]] = e
		c.free = c.free[:n-1]
		return
	}
	c.where[key] = len(c.slots)
	c.slots = append(c.slots, e)
}

func (c *catalog) delete(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.dirty.Store(true)
	if i, ok := c.where[key]; ok {
		delete(c.where, key)
		c.slots[i] = catalogEntry{}
		c.free = append(c.free, i)
	}
}

// next copies entries from slot i on into buf and returns them with the slot
// to go on at, which is negative behind the last.
func (c *catalog) next(i int, buf []catalogEntry) ([]catalogEntry, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	buf = buf[:0]
	for ; i < len(c.slots); i++ {
		if len(buf) == cap(buf) {
			return buf, i
		}
		if c.slots[i].value != nil {
			buf = append(buf, c.slots[i])
		}
	}
	return buf, -1
}

// Catalog calls fn with every entry, in no order, until it fails. The value
// must not be changed.
func (s *Store) Catalog(fn func(key string, value []byte) error) error {
	buf := make([]catalogEntry, 0, 256)
	for i := 0; i >= 0; {
		buf, i = s.catalog.next(i, buf)
		for _, e := range buf {
			if err := fn(e.key, e.value); err != nil {
				return err
			}
		}
	}
	return nil
}
