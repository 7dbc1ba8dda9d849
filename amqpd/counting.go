package amqpd

import (
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
)

// What is counted of channels and connections. What the reader does is counted in
// plain fields of its own, and shown to others once a read, under conn.mu, which it
// holds for other reasons too; so what operators see is late by a read.

// shown is what others see of a channel. conn.mu guards it.
type shown struct {
	id         uint64
	counts     stats.Counts
	active     int64  // ms since 1970, by the broker's coarse clock
	next       uint64 // of the coming publish, where it is confirmed
	pubs, acks uint32 // of an open transaction
	prefetch   uint16
	confirm    bool
	tx         bool
}

// fresh is what the reader has counted of a channel and nobody has seen yet.
type fresh struct{ published, returned, dropped, getEmpty, acked uint32 }

func (s *shown) countDelivery(noAck, redelivered bool) {
	if noAck {
		s.counts.DeliverNoAck++
	} else {
		s.counts.Deliver++
	}
	if redelivered {
		s.counts.Redeliver++
	}
}

func (s *shown) countGet(noAck, redelivered bool) {
	if noAck {
		s.counts.GetNoAck++
	} else {
		s.counts.Get++
	}
	if redelivered {
		s.counts.Redeliver++
	}
}

// counts notes that a channel has fresh counts.
func (c *conn) counts(ch *channel) {
	if !ch.counting {
		ch.counting = true
		c.counting = append(c.counting, ch)
	}
}

func (f *fresh) publish(routed, mandatory bool) {
	f.published++
	switch {
	case routed:
	case mandatory:
		f.returned++
	default:
		f.dropped++
	}
}

func (f *fresh) add(o *fresh) {
	f.published += o.published
	f.returned += o.returned
	f.dropped += o.dropped
	f.getEmpty += o.getEmpty
	f.acked += o.acked
}

func (c *conn) countPublish(ch *channel, routed, mandatory bool) {
	ch.fresh.publish(routed, mandatory)
	c.counts(ch)
}

func (c *conn) countAcks(ch *channel, n int) {
	ch.fresh.acked += uint32(n)
	c.counts(ch)
}

func (c *conn) countGetEmpty(ch *channel) {
	ch.fresh.getEmpty++
	c.show(ch)
}

// showCounts shows what the reader has counted since. c.mu is held.
func (c *conn) showCounts() {
	for i, ch := range c.counting {
		ch.counting = false
		c.showOne(ch)
		c.counting[i] = nil
	}
	c.counting = c.counting[:0]
}

// show is showCounts for a channel of which something else has changed.
func (c *conn) show(ch *channel) {
	c.mu.Lock()
	c.showOne(ch)
	c.mu.Unlock()
}

func (c *conn) showOne(ch *channel) {
	s, f := &ch.shown, &ch.fresh
	s.counts.Publish += uint64(f.published)
	s.counts.ReturnUnroutable += uint64(f.returned)
	s.counts.DropUnroutable += uint64(f.dropped)
	s.counts.GetEmpty += uint64(f.getEmpty)
	s.counts.Ack += uint64(f.acked)
	*f = fresh{}
	s.active = c.srv.broker.Now().UnixMilli()
	s.prefetch, s.confirm, s.tx, s.next = ch.prefetch, ch.confirm.on, ch.tx != nil, ch.confirm.next
	s.pubs, s.acks = 0, 0
	if ch.tx != nil {
		s.pubs, s.acks = ch.tx.counts.published, ch.tx.counts.acked
	}
}

// countConfirms tells the broker of confirms. c.mu is held.
func (c *conn) countConfirms() {
	if c.confirmed > 0 && c.counter != nil {
		c.counter.Confirmed(c.confirmed)
		c.confirmed = 0
	}
}

// Channels implements broker.Client.
func (c *conn) Channels(list []broker.ChannelListing) []broker.ChannelListing {
	state := c.state()
	if state == "blocking" {
		state = "running"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.channels {
		if ch.closed {
			continue
		}
		s := &ch.shown
		l := broker.ChannelListing{
			ID: s.id, Number: int(ch.id), State: state, Prefetch: int(s.prefetch), GlobalPrefetch: ch.limit,
			Confirm: s.confirm, Transactional: s.tx, Unacked: ch.unacked.live + ch.unacked.earlyLive,
			Uncommitted: int(s.pubs), AcksUncommitted: int(s.acks), Consumers: len(ch.consumers), Counts: s.counts, IdleSince: time.UnixMilli(s.active),
		}
		for _, k := range ch.consumers {
			if k.reply {
				l.Consumers--
			}
		}
		if s.confirm {
			l.Unconfirmed = max(int(int64(s.next)-1-int64(ch.confirm.settled)), 0)
		}
		list = append(list, l)
	}
	return list
}

// traffic counts what went one way on a socket.
type traffic struct{ bytes, times atomic.Uint64 }

func (t *traffic) add(n int) {
	if n > 0 {
		t.bytes.Add(uint64(n))
		t.times.Add(1)
	}
}

// traffic is what went over the connection. Any goroutine.
func (c *conn) traffic() stats.Traffic {
	t := stats.Traffic{
		ReceivedBytes: c.received.bytes.Load(), Received: c.received.times.Load(),
		SentBytes: c.sent.bytes.Load(), Sent: c.sent.times.Load(),
	}
	c.mu.Lock()
	t.Pending = c.out.size + c.streams.behind + c.inFlight
	c.mu.Unlock()
	return t
}
