package store

import (
	"sync"
	"sync/atomic"
)

// Messages that need no log are kept as blobs in chunks of memory, each freed
// when its last message has gone.
const (
	arenaChunk = 1 << 20 // bytes
	arenaSpare = 4       // empty chunks that are kept

	// arenaBit marks an address as one of the arena: then a chunk's number and
	// an offset. Log positions never have it.
	arenaBit   = 1 << 63
	arenaShift = 32
)

// arenaPart is a chunk.
type arenaPart struct {
	no  uint64
	buf []byte
	// refs counts the queue entries that point into the chunk, those that a
	// batch is about to make, the claims that show its bytes, and one while it
	// is being filled. Who takes it to zero gives the chunk back.
	refs atomic.Int64
}

type arena struct {
	// table finds a chunk by number. A slot is written under mu before an
	// address in it is known to anybody, so readers need no lock.
	table atomic.Pointer[[]*arenaPart]

	mu    sync.Mutex // a leaf: nothing is locked under it
	cur   *arenaPart // being filled
	off   int        // how far
	holes []uint64   // free slots of table
	spare []*arenaPart
	bytes int64 // in chunks
}

// reserve finds n bytes in one chunk and takes refs references to it.
func (a *arena) reserve(n int, refs int64) (c *arenaPart, off int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > arenaChunk {
		c = &arenaPart{buf: make([]byte, n)}
		a.insert(c)
		c.refs.Store(refs)
		return c, 0
	}
	if a.cur != nil && a.cur.refs.Load() == 1 {
		a.off = 0 // all its messages have gone
	}
	if a.cur == nil || a.off+n > arenaChunk {
		if a.cur != nil && a.cur.refs.Add(-1) == 0 {
			a.discard(a.cur)
		}
		if k := len(a.spare); k > 0 {
			c, a.spare[k-1] = a.spare[k-1], nil
			a.spare = a.spare[:k-1]
		} else {
			c = &arenaPart{buf: make([]byte, arenaChunk)}
		}
		a.insert(c)
		c.refs.Store(1)
		a.cur, a.off = c, 0
	}
	c, off = a.cur, a.off
	a.off += n
	c.refs.Add(refs)
	return c, off
}

// insert gives a chunk a number. Under mu.
func (a *arena) insert(c *arenaPart) {
	a.bytes += int64(len(c.buf))
	var table []*arenaPart
	if t := a.table.Load(); t != nil {
		table = *t
	}
	if k := len(a.holes); k > 0 {
		c.no = a.holes[k-1]
		a.holes = a.holes[:k-1]
		table[c.no] = c
		return
	}
	// Readers may hold the old slice; they look only at slots that they know.
	c.no = uint64(len(table))
	table = append(table, c)
	a.table.Store(&table)
}

// discard takes a chunk's number away and keeps its memory if few are kept.
// Under mu; refs is zero.
func (a *arena) discard(c *arenaPart) {
	(*a.table.Load())[c.no] = nil
	a.holes = append(a.holes, c.no)
	a.bytes -= int64(len(c.buf))
	if len(c.buf) == arenaChunk && len(a.spare) < arenaSpare {
		a.spare = append(a.spare, c)
	}
}

// part returns the chunk of an address to which the caller knows a reference.
func (a *arena) part(addr uint64) *arenaPart {
	return (*a.table.Load())[addr&^arenaBit>>arenaShift]
}

// release drops references.
func (a *arena) release(c *arenaPart, refs int64) {
	if refs != 0 && c.refs.Add(-refs) == 0 {
		a.mu.Lock()
		a.discard(c)
		a.mu.Unlock()
	}
}

func (c *arenaPart) addr(off int) uint64 { return arenaBit | c.no<<arenaShift | uint64(off) }

// slice returns the n bytes at addr.
func (c *arenaPart) slice(addr uint64, n uint32) []byte {
	off := addr & (1<<arenaShift - 1)
	end := off + uint64(n)
	return c.buf[off:end:end]
}

// size is the memory in chunks that hold messages, in bytes.
func (a *arena) size() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bytes
}
