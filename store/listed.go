package store

import (
	"github.com/leveret-mq/leveret/index"
)

// Read brings messages of the queue into c.Items: those with the numbers seqs, in
// that order, whether they are claimed or ready. They stay what they are. What is
// gone, or cannot be read any more, is left out. It reads files, but no more than a
// mebibyte or so, and returns how many of seqs it has dealt with: after a Release, go
// on with the rest. An error says why the message seqs[n] cannot be read at the
// moment; Items has those before it. Item.Redelivered means nothing here.
//
// c is as for Claim; a Claim that has messages may be used again only for others.
func (q *Queue) Read(c *Claim, seqs []uint64) (n int, err error) {
	c.Release()
	if c.q != q {
		c.sealed.reset()
	}
	c.q = q
	for {
		n += q.list(c, seqs[n:])
		if n == len(seqs) {
			break
		}
		if c.ahead.sealed {
			if c.find(q, true) {
				continue
			}
		} else if c.ahead.read(q) {
			continue
		}
		err = c.ahead.err
		break
	}
	c.parse()
	return n, err
}

// list is take for Read: as many of seqs as can be had without waiting. It returns
// how many it has dealt with; c.ahead.seq is the next.
func (q *Queue) list(c *Claim, seqs []uint64) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !c.pinned {
		q.s.log.Pin()
		c.pinned = true
	}
	for _, seq := range seqs {
		e, ready, ok := q.ix.Lookup(seq)
		if !ok || e != nil && !ready && !e.Claimed() {
			n++
			continue
		}
		sealed := e == nil || e.Sealed()
		if sealed && c.sealed.unreadable(q, seq) {
			n++
			continue
		}
		it, ok := c.item(seq, e, sealed)
		if !ok {
			return n
		}
		if e != nil {
			it.Count = q.ix.Count(seq)
		}
		c.Items = append(c.Items, it)
		n++
	}
	return n
}

// item returns a message whose bytes are in memory, to be taken apart by parse; where
// they are not, c.ahead says what is to be read. Under q.mu.
func (c *Claim) item(seq uint64, e *index.Entry, sealed bool) (it Item, ok bool) {
	var body *Large
	if !sealed && isLarge(e.Addr) {
		body = c.q.s.larges.get(e.Addr)
	}
	blob, origin := c.bytes(seq, e, sealed, body)
	if blob == nil {
		c.ahead.seq, c.ahead.sealed = seq, sealed
		return Item{}, false
	}
	it = Item{Seq: seq, Time: origin, Large: body, Message: Message{Body: blob}}
	if body != nil {
		it.Expires = c.q.ix.Expiry(seq)
	}
	return it, true
}
