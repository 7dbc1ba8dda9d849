package segment

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Cache keeps decompressed blocks, those used last up to a bound, and memory for
// blocks and reads, which is used again. Any number of readers share one.
type Cache struct {
	limit int64

	mu     sync.Mutex // guards all below, and the links of blocks
	blocks map[blockKey]*Block
	ring   Block // of the blocks, the one used last behind it
	bytes  int64 // of memory of the blocks
	ahead  int64 // of memory that cursors hold to read ahead
	spares [spareClasses][][]byte
	spare  int64 // bytes of memory of these
	idle   []*Block
	stats  CacheStats
}

// CacheStats counts what a Cache did, and holds.
type CacheStats struct {
	Hits, Misses int64 // blocks that were found, and that had to be read
	Evicted      int64 // blocks
	ReadBytes    int64 // bytes read from files, by whom the blocks were read
	Blocks       int   // held now
	Bytes        int64 // of memory, held now; what readers hold besides is not counted
}

type blockKey struct {
	reader uint64
	off    int64
}

// Memory is kept in classes of 4 KiB, 8 KiB and so on up to 1 MiB; what is
// larger is left to the garbage collector.
const (
	spareLeast   = 12 // bits
	spareClasses = 9
)

// NewCache returns a Cache of about so many bytes.
func NewCache(bytes int64) *Cache {
	c := &Cache{limit: max(bytes, 0), blocks: map[blockKey]*Block{}}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

// Stats returns the counters.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Blocks, s.Bytes = len(c.blocks), c.bytes
	return s
}

// Block is a decompressed block. Its bytes stay as long as somebody holds it.
type Block struct {
	cache *Cache
	refs  atomic.Int32 // one is the cache's while it is in there
	data  []byte
	head  blockHeader

	key        blockKey
	prev, next *Block
}

// Retain takes a hold of b for one Release more; the caller has one already.
func (b *Block) Retain() { b.refs.Add(1) }

// Release ends a hold. After the last the memory is used for other blocks.
func (b *Block) Release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	c := b.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recycle(b)
}

// poison, in tests, overwrites memory that nobody holds any more.
var poison bool

// recycle takes back a block that nobody holds. The caller holds c.mu.
func (c *Cache) recycle(b *Block) {
	c.put(b.data)
	b.data, b.head = nil, blockHeader{}
	if len(c.idle) < 64 {
		c.idle = append(c.idle, b)
	}
}

// get returns a block with a hold on it, or nil.
func (c *Cache) get(k blockKey) *Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.blocks[k]
	if b == nil {
		return nil
	}
	c.stats.Hits++
	b.refs.Add(1)
	b.unlink()
	b.link(&c.ring)
	return b
}

// block returns memory for a block of n bytes, with a hold on it.
func (c *Cache) block(n int) *Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b *Block
	if last := len(c.idle) - 1; last >= 0 {
		b = c.idle[last]
		c.idle = c.idle[:last]
	} else {
		b = &Block{cache: c}
	}
	b.refs.Store(1)
	b.data = c.take(n)
	return b
}

// add makes room for a block, which its caller has filled and holds, and keeps
// it. Where another was faster that one is returned, held, in its place.
func (c *Cache) add(k blockKey, b *Block) *Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Misses++
	if other := c.blocks[k]; other != nil {
		other.refs.Add(1)
		if b.refs.Add(-1) == 0 {
			c.recycle(b)
		}
		return other
	}
	b.key = k
	if int64(cap(b.data)) > c.limit {
		return b // it alone would be all
	}
	b.refs.Add(1)
	c.blocks[k] = b
	b.link(&c.ring)
	c.bytes += int64(cap(b.data))
	for c.bytes > c.limit {
		c.drop(c.ring.prev)
		c.stats.Evicted++
	}
	return b
}

// forget drops all blocks of a reader.
func (c *Cache) forget(reader uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, b := range c.blocks {
		if k.reader == reader {
			c.drop(b)
		}
	}
}

// drop ends the cache's hold on a block. The caller holds c.mu.
func (c *Cache) drop(b *Block) {
	b.unlink()
	delete(c.blocks, b.key)
	c.bytes -= int64(cap(b.data))
	if b.refs.Add(-1) == 0 {
		c.recycle(b)
	}
}

func (b *Block) link(after *Block) {
	b.prev, b.next = after, after.next
	b.prev.next, b.next.prev = b, b
}

func (b *Block) unlink() {
	b.prev.next, b.next.prev = b.next, b.prev
	b.prev, b.next = nil, nil
}

// class is which spares have room for n bytes.
func class(n int) int { return max(bits.Len(uint(max(n, 1)-1))-spareLeast, 0) }

// take returns n bytes of memory of any content. The caller holds c.mu.
func (c *Cache) take(n int) []byte {
	k := class(n)
	if k >= spareClasses {
		return make([]byte, n)
	}
	if last := len(c.spares[k]) - 1; last >= 0 {
		p := c.spares[k][last]
		c.spares[k][last] = nil
		c.spares[k] = c.spares[k][:last]
		c.spare -= int64(cap(p))
		return p[:n]
	}
	return make([]byte, n, 1<<(k+spareLeast))
}

// put takes memory back. The caller holds c.mu.
func (c *Cache) put(p []byte) {
	if poison {
		for p, i := p[:cap(p)], 0; i < len(p); i++ {
			p[i] = 0xDD
		}
	}
	k := class(cap(p))
	if k >= spareClasses || cap(p) != 1<<(k+spareLeast) || c.spare+int64(cap(p)) > c.limit/4 {
		return
	}
	c.spare += int64(cap(p))
	c.spares[k] = append(c.spares[k], p)
}

// buffer returns memory to read into, of want bytes or, where others read ahead
// so much already, of least.
func (c *Cache) buffer(want, least int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := want
	if c.ahead+int64(want) > c.limit/2 {
		n = least
	}
	p := c.take(n)
	c.ahead += int64(cap(p))
	c.stats.ReadBytes += int64(n)
	return p
}

// unbuffer takes it back.
func (c *Cache) unbuffer(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= int64(cap(p))
	c.put(p)
}
