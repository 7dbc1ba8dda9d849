package amqpd

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/wal"
)

// confirmSize is a basic.ack or basic.nack frame.
const confirmSize = frameOverhead + 13

// promise is confirms that are owed: the channel's publishes up to tag, once the
// log is durable up to lsn. A read that publishes on one channel makes one
// promise, whatever the number of its messages.
type promise struct {
	lsn  wal.LSN
	ch   *channel
	tag  uint64
	nack bool // refused by a queue that is full: nacked in its turn
}

// promises is the connection's ring of them, oldest first; one is kept when it and
// all before it are due. c.mu guards it.
type promises struct {
	ring  []promise
	start int // len(ring) is a power of two
	n     int
}

func (r *promises) last() *promise {
	if r.n == 0 {
		return nil
	}
	return &r.ring[(r.start+r.n-1)&(len(r.ring)-1)]
}

func (r *promises) front() *promise {
	if r.n == 0 {
		return nil
	}
	return &r.ring[r.start]
}

func (r *promises) push(p promise) {
	if r.n == len(r.ring) {
		ring := make([]promise, max(8, 2*len(r.ring)))
		k := copy(ring, r.ring[r.start:])
		copy(ring[k:], r.ring[:r.start])
		r.ring, r.start = ring, 0
	}
	r.ring[(r.start+r.n)&(len(r.ring)-1)] = p
	r.n++
}

func (r *promises) pop() {
	r.ring[r.start].ch = nil
	r.start = (r.start + 1) & (len(r.ring) - 1)
	r.n--
}

// confirmState is a channel's side of confirms.
type confirmState struct {
	on       bool   // reader: confirm.select was seen
	next     uint64 // reader: tag of the coming publish
	settled  uint64 // c.mu: all tags up to this one were acked or nacked
	ackTo    uint64 // c.mu: tags up to this one may be acked
	promised int    // c.mu: promises of this channel in the ring
	dirty    bool   // c.mu: in c.dirty
}

// promise notes that ch's publishes up to tag are to be confirmed once the log
// is durable up to lsn. LSN 0 waits for nothing but what the channel was
// promised before, since confirms go out in order. c.mu is held.
func (c *conn) promise(ch *channel, lsn wal.LSN, tag uint64, nack bool) {
	if ch.closed {
		return
	}
	if lsn == 0 && ch.confirm.promised == 0 {
		c.settle(ch, tag, nack)
		return
	}
	if p := c.promises.last(); p != nil && p.ch == ch && p.lsn == lsn && p.nack == nack {
		p.tag = tag
		return
	}
	c.promises.push(promise{lsn: lsn, ch: ch, tag: tag, nack: nack})
	ch.confirm.promised++
}

// Committed is the log's word that all up to durable is on disk, or that it has
// failed and nothing more will be. It comes from the goroutine that committed.
func (c *conn) Committed(durable wal.LSN, err error) {
	for {
		old := c.durable.Load()
		if uint64(durable) <= old || c.durable.CompareAndSwap(old, uint64(durable)) {
			break
		}
	}
	if err != nil {
		c.logFailed.Store(true)
	}
	if !c.leading.Load() { // else the reader itself answers
		c.kick()
	}
}

// Leading implements broker.Leader.
func (c *conn) Leading(on bool) { c.leading.Store(on) }

// confirmsDue reports whether settleConfirms has something to do. c.mu is held.
func (c *conn) confirmsDue() bool {
	if len(c.dirty) > 0 {
		return true
	}
	p := c.promises.front()
	return p != nil && (uint64(p.lsn) <= c.durable.Load() || c.logFailed.Load())
}

// settleConfirms appends the confirms that have become due: one basic.ack
// multiple a channel, and nacks between them. c.mu is held.
func (c *conn) settleConfirms() {
	if c.promises.n > 0 {
		failed := c.logFailed.Load() // before durable, which is final then
		durable := wal.LSN(c.durable.Load())
		for p := c.promises.front(); p != nil && (p.lsn <= durable || failed); p = c.promises.front() {
			p.ch.confirm.promised--
			if !p.ch.closed {
				c.settle(p.ch, p.tag, p.nack || p.lsn > durable)
			}
			c.promises.pop()
		}
	}
	defer c.countConfirms()
	for i, ch := range c.dirty {
		ch.confirm.dirty = false
		c.emitAck(ch)
		c.dirty[i] = nil
	}
	c.dirty = c.dirty[:0]
}

// settle acks all of ch's publishes up to tag with the next answer, or nacks
// those that are not settled yet. c.mu is held.
func (c *conn) settle(ch *channel, tag uint64, nack bool) {
	s := &ch.confirm
	if !nack {
		s.ackTo = tag
		if !s.dirty {
			s.dirty = true
			c.dirty = append(c.dirty, ch)
		}
		return
	}
	c.emitAck(ch)
	o := c.outOf(ch.id)
	before := o.size
	o.commit(wire.AppendNack(o.room(confirmSize), ch.id, tag, tag-s.settled > 1, false))
	c.said(o, before)
	s.settled, s.ackTo = tag, tag
}

// emitAck appends the ack of what may be acked. c.mu is held.
func (c *conn) emitAck(ch *channel) {
	s := &ch.confirm
	if s.ackTo <= s.settled || ch.closed {
		return
	}
	o := c.outOf(ch.id)
	before := o.size
	o.commit(wire.AppendAck(o.room(confirmSize), ch.id, s.ackTo, s.ackTo-s.settled > 1))
	c.said(o, before)
	n := s.ackTo - s.settled
	c.confirmed += n
	ch.shown.counts.Confirm += n
	s.settled = s.ackTo
}
