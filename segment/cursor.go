package segment

import (
	"errors"
	"io"
)

// How far a Cursor that goes forward reads ahead: the blocks of its queue that
// follow each other in the file, with gaps of at most readGap bytes.
const (
	aheadFirst = 64 << 10  // bytes of the first such read
	aheadMost  = 256 << 10 // of later ones
	readGap    = 16 << 10
)

// Cursor is a reader's place in a queue. The zero value is ready for use; a
// Cursor goes from segment to segment. It is for one goroutine, and holds
// memory until Reset.
type Cursor struct {
	r     *Reader
	queue uint32
	index int // of the block in the directory's list of the queue

	// The place: at a record of block, which lies in sec.
	block *Block // held; nil: nowhere
	sec   section
	pos   int // of the record behind it
	seq   uint64
	rec   record

	home    *Block // that the payload lies in, block or shared; nil: not found yet
	payload []byte
	shared  *Block // held: the one that was referred to last

	ahead  int // bytes to read ahead next
	window window

	private *Cache                    // used in place of the Reader's
	pace    func(bytesRead int) error // told of each read; an error ends it
}

// window is a piece of a file in memory.
type window struct {
	cache *Cache // that the memory is from
	at    int64  // where in the reader's file
	buf   []byte
}

// Find moves c to the first record of a queue with seq or a higher number. It
// may go back, and is cheapest where it goes forward a little. Without disk it
// touches no file.
//
// It returns io.EOF where there is no such record, ErrCold where it needs the
// disk, and a *BlockError where the block with the record is damaged: what can
// be read goes on behind its Last. Any other error may pass. After an error c
// stands nowhere, but knows its way.
func (r *Reader) Find(c *Cursor, queue uint32, seq uint64, disk bool) error {
	if err := r.find(c, queue, seq, disk); err != nil {
		return err
	}
	return c.resolve(disk)
}

// find is Find without the payload.
func (r *Reader) find(c *Cursor, queue uint32, seq uint64, disk bool) error {
	c.home, c.payload = nil, nil
	if c.block == nil || c.r != r || c.queue != queue || seq < c.sec.first || seq > c.sec.last {
		if err := c.seek(r, queue, seq, disk); err != nil {
			return err
		}
	} else if seq < c.seq {
		c.rewind()
	}
	for c.seq < seq {
		if !c.step() {
			return c.amiss(c.sec.first, c.sec.last, c.block.key.off, errNotListed)
		}
	}
	return nil
}

// Seq is the number of the record that c stands at.
func (c *Cursor) Seq() uint64 { return c.seq }

// Payload is that record's content. It is valid until c moves out of its block
// or is Reset; for longer, Retain the block.
func (c *Cursor) Payload() []byte { return c.payload }

// Block is the block that Payload points into. It may be another one for each
// record, and then be the former again.
func (c *Cursor) Block() *Block { return c.home }

// Retain takes a hold of that block, for one Release.
func (c *Cursor) Retain() *Block {
	c.home.Retain()
	return c.home
}

// Next moves c to the next record of the queue if that is in memory already.
// Else c stays, and Find of Seq()+1 goes on.
func (c *Cursor) Next() bool {
	if c.home == nil {
		return false
	}
	pos, seq, rec, home, payload := c.pos, c.seq, c.rec, c.home, c.payload
	if c.step() {
		if !c.rec.refers {
			return c.resolve(false) == nil
		}
		// As long as the same block is referred to, home stays where it is.
		if c.shared != nil && c.shared.head.first == uint64(c.rec.ref.block) && c.resolve(false) == nil {
			return true
		}
	}
	c.pos, c.seq, c.rec, c.home, c.payload = pos, seq, rec, home, payload
	return false
}

// Reset gives back all memory, but for blocks that were retained.
func (c *Cursor) Reset() {
	c.leave()
	c.dropShared()
	c.dropWindow()
	c.r, c.ahead = nil, 0
}

func (c *Cursor) leave() {
	if c.block != nil {
		c.block.Release()
		c.block = nil
	}
	c.home, c.payload = nil, nil
}

func (c *Cursor) dropShared() {
	if c.shared != nil {
		c.shared.Release()
		c.shared = nil
	}
}

func (c *Cursor) dropWindow() {
	if w := &c.window; w.buf != nil {
		w.cache.unbuffer(w.buf)
		*w = window{}
	}
}

// seek moves c to the first record of the block where seq is to be found.
func (c *Cursor) seek(r *Reader, queue uint32, seq uint64, disk bool) error {
	c.leave()
	if c.r != r || c.queue != queue {
		c.index = never
		if c.r != nil && c.queue == queue {
			c.index = -1 // to the queue's first block here is straight on
		}
		c.dropShared()
		c.dropWindow()
		c.r, c.queue = r, queue
	}
	d, err := r.directory(disk)
	if err != nil {
		return err
	}
	list := d.of(queue)
	i := search(list, seq)
	if i == len(list) {
		return io.EOF
	}
	e := &list[i]
	c.sec = section{queue: queue, count: e.count, first: e.first, last: e.last}
	if i != c.index+1 {
		c.ahead = 0
	} else if disk {
		c.ahead = min(max(2*c.ahead, aheadFirst), aheadMost)
	}
	b, damage, err := c.load(d, e.place, list[i+1:], disk)
	if err != nil {
		return err
	}
	c.index = i
	if damage == nil && !c.enter(b) {
		b.Release()
		damage = errNotListed
	}
	if damage != nil {
		return c.amiss(e.first, e.last, e.off, damage)
	}
	return nil
}

// never is an index that no block follows.
const never = -2

// enter takes over a block and stands at the first record of c.sec in it, if
// that is there.
func (c *Cursor) enter(b *Block) bool {
	s := &c.sec
	switch h := &b.head; h.kind {
	case kindQueue:
		if h.queue != s.queue || h.first != s.first || h.last != s.last || h.count != s.count {
			return false
		}
		s.from, s.to = 0, len(b.data)
	case kindMixed:
		found, prev := false, int64(-1)
		for pos := 0; pos < len(b.data) && !found; {
			t, ok := nextSection(b.data, pos, prev)
			if !ok || t.queue > s.queue {
				return false
			}
			found = t.queue == s.queue
			prev, pos = int64(t.queue), t.to
			if found && (t.first != s.first || t.count != s.count) {
				return false
			}
			s.from, s.to = t.from, t.to
		}
		if !found {
			return false
		}
	default:
		return false
	}
	c.block = b
	c.rewind()
	return true
}

// rewind moves c to the first record of its section.
func (c *Cursor) rewind() {
	c.pos, c.seq = c.sec.from, c.sec.first-1
	c.step()
}

// step moves c to the next record of its section, whose payload is not found
// yet. What is in a block has been checked.
func (c *Cursor) step() bool {
	c.home, c.payload = nil, nil
	if c.pos >= c.sec.to {
		return false
	}
	c.pos = c.rec.next(c.block.data, c.pos)
	c.seq += c.rec.gap + 1
	return true
}

// resolve finds the payload.
func (c *Cursor) resolve(disk bool) error {
	if !c.rec.refers {
		c.home, c.payload = c.block, c.block.data[c.rec.from:c.rec.to:c.rec.to]
		return nil
	}
	ref := c.rec.ref
	if c.shared == nil || c.shared.head.first != uint64(ref.block) {
		c.dropShared()
		d, err := c.r.directory(disk)
		if err != nil {
			return err
		}
		if int64(ref.block) >= int64(len(d.shared)) || d.shared[ref.block].off == 0 {
			return c.amiss(c.seq, c.seq, c.block.key.off, errRefersAmiss)
		}
		at := d.shared[ref.block]
		b, damage, err := c.load(d, at, nil, disk)
		if err != nil {
			return err
		}
		if damage == nil && (b.head.kind != kindShared || b.head.first != uint64(ref.block)) {
			b.Release()
			damage = errNotListed
		}
		if damage != nil {
			return c.amiss(c.seq, c.seq, at.off, damage)
		}
		c.shared = b
	}
	p, ok := sharedPayload(c.shared, ref.index)
	if !ok {
		return c.amiss(c.seq, c.seq, c.block.key.off, errRefersAmiss)
	}
	c.home, c.payload = c.shared, p
	return nil
}

// sharedPayload finds a payload in a shared block.
func sharedPayload(b *Block, index uint32) ([]byte, bool) {
	if index >= b.head.count {
		return nil, false
	}
	var rec record
	for pos := 0; ; index-- {
		pos = rec.next(b.data, pos)
		if index == 0 {
			return b.data[rec.from:rec.to:rec.to], true
		}
	}
}

// amiss is the error for records that cannot be read.
func (c *Cursor) amiss(first, last uint64, off int64, cause error) error {
	return &BlockError{File: c.r.name, Offset: off, Queue: c.queue, First: first, Last: last, Cause: cause}
}

// load returns a block, held, from the cache or from the file. What is wrong
// with the block itself is damage. next are the queue's blocks behind it, in
// case of reading ahead.
func (c *Cursor) load(d *directory, p place, next []entry, disk bool) (b *Block, damage, err error) {
	cache := c.private
	if cache == nil {
		cache = c.r.cache
	}
	if c.r.closed.Load() {
		return nil, nil, c.r.errClosed()
	}
	k := blockKey{c.r.id, p.off}
	if b := cache.get(k); b != nil {
		return b, nil, nil
	}
	if !disk {
		return nil, nil, ErrCold
	}
	stored, err := c.fetch(cache, p, next)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errShort, nil
		}
		return nil, nil, err
	}
	b, damage = decodeBlock(cache, stored, d.nonce, p.off)
	if w := &c.window; p.off+int64(p.size) == w.at+int64(len(w.buf)) {
		c.dropWindow() // that was the last of it
	}
	if damage != nil {
		return nil, damage, nil
	}
	b = cache.add(k, b)
	if c.r.closed.Load() {
		cache.forget(c.r.id) // Close may have done so before the block came
	}
	return b, nil, nil
}

// fetch returns the bytes of a block in the file, from the window if they are
// there. Else it reads a new one, which ends behind the block or, on the way
// forward, behind some of the next.
func (c *Cursor) fetch(cache *Cache, p place, next []entry) ([]byte, error) {
	w := &c.window
	size := int64(p.size)
	if w.buf == nil || p.off < w.at || p.off+size > w.at+int64(len(w.buf)) {
		c.dropWindow()
		end := p.off + size
		for i := range next {
			e := &next[i]
			stop := e.off + int64(e.size)
			if e.off < end || e.off > end+readGap || stop-p.off > int64(c.ahead) {
				break
			}
			end = stop
		}
		if err := c.read(cache, p.off, int(end-p.off), int(size)); err != nil {
			return nil, err
		}
	}
	at := p.off - w.at
	return w.buf[at : at+size], nil
}

// read fills the window with want bytes of the file, or with least if there is
// no memory or something wrong with the others.
func (c *Cursor) read(cache *Cache, off int64, want, least int) error {
	for {
		c.window = window{at: off, buf: cache.buffer(want, least), cache: cache}
		n := len(c.window.buf)
		err := c.r.readAt(c.window.buf, off)
		if err == nil {
			if c.pace != nil {
				return c.pace(n)
			}
			return nil
		}
		c.dropWindow()
		if n <= least {
			return err
		}
		want = least
	}
}
