package store

import (
	"errors"
	"fmt"
	iofs "io/fs"

	"github.com/leveret-mq/leveret/segment"
)

// Looking at messages, ready or claimed, at any depth, without changing anything: not
// what is claimed, nor the delivered mark, nor sizes; what cannot be read is left to
// who claims it.

// Which of a queue's messages Peek shows.
type Which uint8

const (
	All Which = iota
	OnlyReady
	OnlyClaimed
)

// Peeked is a message as Peek shows it.
type Peeked struct {
	// Item is the message; of one that cannot be read there is Seq, Redelivered and
	// Count.
	Item
	Position int // in the queue; see Peek
	Claimed  bool
	Err      error // why it cannot be read, at the moment or at all
}

const (
	// peekAtOnce is at how many messages is looked under one hold of the lock.
	peekAtOnce = 4096
	// peekMost is at how many one Peek looks where it passes some by.
	peekMost = 1 << 20
	// peekTries is how often a message that moves meanwhile is looked for.
	peekTries = 16
)

// Peek calls fn with up to most messages, in the order of publication, until it returns
// false. Position counts what is ready or claimed from the head of the queue, 0 first,
// and costs no walk to get to: see index.Queue.Seek. Slices are valid during the call,
// and so is a Large that is not retained; no lock is held, and files may be read before
// it. What goes meanwhile is left out.
//
// next is from where to go on, -1: there are no such messages behind.
func (q *Queue) Peek(position, most int, which Which, fn func(p *Peeked) bool) (next int) {
	list, next := q.sight(position, most, which)
	c := &Claim{q: q}
	defer func() {
		c.Release()
		c.sealed.reset()
	}()
	for i := range list {
		p := &list[i]
		there := c.peek(p)
		more := !there || fn(p)
		c.Release()
		if !more {
			if i+1 < len(list) {
				return list[i+1].Position
			}
			break
		}
	}
	return next
}

// sight finds the messages that Peek shows, and says what is known without reading
// them.
func (q *Queue) sight(position, most int, which Which) (list []Peeked, next int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	seq, ok := q.ix.Seek(max(position, 0))
	if !ok {
		return nil, -1
	}
	position = max(position, 0)
	for looked := 0; len(list) < most && looked < peekMost; looked++ {
		if looked%peekAtOnce == peekAtOnce-1 {
			q.mu.Unlock() // others come in between
			q.mu.Lock()
		}
		if which == OnlyClaimed && seq >= q.ix.AllReadyFrom() {
			return list, -1
		}
		s, ok := q.ix.Sighted(seq)
		if !ok {
			return list, -1
		}
		if which == All || (which == OnlyClaimed) == s.Claimed {
			list = append(list, Peeked{Position: position, Claimed: s.Claimed, Item: Item{Seq: s.Seq, Redelivered: s.Redelivered, Count: s.Count}})
		}
		seq = s.Seq + 1
		position++
	}
	if _, ok := q.ix.Sighted(seq); !ok || which == OnlyClaimed && seq >= q.ix.AllReadyFrom() {
		return list, -1
	}
	return list, position
}

// errMoving says that a message was not found in any of many places.
var errMoving = errors.New("the message moves; look again")

// peek brings a message that was sighted. It reports false for one that has gone.
func (c *Claim) peek(p *Peeked) bool {
	q := c.q
	p.Err = errMoving
	for range peekTries {
		q.mu.Lock()
		e, ready, ok := q.ix.Lookup(p.Seq)
		if !ok || !ready && !e.Claimed() {
			q.mu.Unlock()
			return false
		}
		if !c.pinned {
			q.s.log.Pin()
			c.pinned = true
		}
		sealed := e == nil || e.Sealed()
		it, ok := c.item(p.Seq, e, sealed)
		q.mu.Unlock()
		if ok {
			if p.Err = it.parse(); p.Err != nil {
				return true
			}
			it.Redelivered, it.Count = p.Redelivered, p.Count
			p.Item = it
			return true
		}
		c.unpin()
		if p.Err = c.fetch(p.Seq, sealed); p.Err != nil {
			return true
		}
		p.Err = errMoving
	}
	return true
}

// fetch reads a message and its neighbours from its file.
func (c *Claim) fetch(seq uint64, sealed bool) error {
	q := c.q
	if !sealed {
		c.ahead.seq = seq
		addr, ok, err := c.ahead.attempt(q)
		if err != nil && ok && q.isAt(seq, addr) {
			return err
		}
		return nil // else it has moved meanwhile, and is looked for again
	}
	number, _, ok := q.segmentOf(seq)
	if !ok {
		return nil // it has gone
	}
	f := q.s.segments.acquire(number)
	if f == nil {
		if now, _, ok := q.segmentOf(seq); !ok || now != number {
			return nil
		}
		return fmt.Errorf("%s: %w", segment.Name(number), iofs.ErrNotExist)
	}
	defer q.s.segments.release(f)
	r := &c.sealed
	err := f.reader.Find(&r.cur, q.id, seq, true)
	if r.at = err == nil; r.at && r.cur.Seq() != seq {
		r.at = false
		err = fmt.Errorf("%s: %w", segment.Name(f.number), errMissing)
	}
	if err == nil {
		return nil
	}
	if now, _, ok := q.segmentOf(seq); !ok || q.s.segments.resolve(now) != f.number {
		return nil
	}
	return err
}

// isAt tells whether a message is still at an address outside of segments.
func (q *Queue) isAt(seq, addr uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, _, _ := q.ix.Lookup(seq)
	return e != nil && !e.Sealed() && e.Addr == addr
}
