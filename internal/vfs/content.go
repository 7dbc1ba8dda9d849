package vfs

// pageSize is the unit of copy on write in Mem. A small page makes a small
// write after a sync cheap, a large one makes the page table of a big file
// short: at 16 KiB a file of 64 MiB has a table of 32 KiB.
const pageSize = 16 << 10

// owner is the identity of a buffer between two freezes. It must not have size
// zero, or two of them could have the same address.
type owner struct{ _ byte }

// page is up to pageSize bytes; those past len(b) read as zero. Only the
// buffer with the page's owner may write to it.
type page struct {
	own *owner
	b   []byte
}

// content is what a file holds at one moment. It never changes; any number of
// contents and buffers share pages. A nil page is a hole, and the table may be
// shorter than size: both read as zeros.
type content struct {
	pages []*page
	size  int64
}

// readAt copies from off and returns the count, short only at the end.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	if rest := c.size - off; int64(len(p)) > rest {
		p = p[:rest]
	}
	for n := 0; n < len(p); {
		i, at := int((off+int64(n))/pageSize), int((off+int64(n))%pageSize)
		dst := p[n:min(len(p), n+pageSize-at)]
		done := 0
		if i < len(c.pages) && c.pages[i] != nil && at < len(c.pages[i].b) {
			done = copy(dst, c.pages[i].b[at:])
		}
		clear(dst[done:])
		n += len(dst)
	}
	return len(p)
}

// bytes is the whole content in fresh memory.
func (c *content) bytes() []byte {
	b := make([]byte, c.size)
	c.readAt(b, 0)
	return b
}

// thaw starts a buffer with this content.
func (c content) thaw() buffer {
	return buffer{content: c, shared: true}
}

// buffer is a content that can be written to. It copies the page table and the
// pages that others may hold before it changes them.
type buffer struct {
	content
	own    *owner // of the pages that this buffer alone holds
	shared bool   // the page table is held by a content too
}

// freeze returns the content of now, in constant time. The buffer lives on.
func (b *buffer) freeze() content {
	b.own, b.shared = nil, true
	return b.content
}

// writeAt replaces the bytes at off and extends the buffer where needed. Bytes
// between the old end and off are zero.
func (b *buffer) writeAt(p []byte, off int64) {
	end := off + int64(len(p))
	b.table(int((end + pageSize - 1) / pageSize))
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		n := min(len(p), pageSize-at)
		copy(b.page(i, at+n)[at:], p[:n])
		p, off = p[n:], off+int64(n)
	}
	b.size = max(b.size, end)
}

// table makes the page table this buffer's own, of at least n pages.
func (b *buffer) table(n int) {
	if b.own == nil {
		b.own = new(owner)
	}
	n = max(n, len(b.pages))
	if b.shared || n > cap(b.pages) {
		c := n
		if n > len(b.pages) && n > 1 {
			c = n + n/4 + 8
		}
		pages := make([]*page, n, c)
		copy(pages, b.pages)
		b.pages, b.shared = pages, false
	}
	b.pages = b.pages[:n]
}

// page returns the bytes of page i, at least n of them, ready to be written.
func (b *buffer) page(i, n int) []byte {
	pg := b.pages[i]
	switch {
	case pg == nil:
		pg = &page{own: b.own, b: make([]byte, n, roundUp(n))}
		b.pages[i] = pg
	case pg.own != b.own:
		n = max(n, len(pg.b))
		fresh := &page{own: b.own, b: make([]byte, n, roundUp(n))}
		copy(fresh.b, pg.b)
		pg = fresh
		b.pages[i] = pg
	case n > cap(pg.b):
		grown := make([]byte, n, roundUp(n))
		copy(grown, pg.b)
		pg.b = grown
	case n > len(pg.b):
		pg.b = pg.b[:n] // never written to yet: zero
	}
	return pg.b
}

// roundUp is the memory to take for a page that holds n bytes: little for a
// little file, the whole page for one that grows.
func roundUp(n int) int {
	c := 64
	for c < n {
		c *= 2
	}
	return min(c, pageSize)
}
