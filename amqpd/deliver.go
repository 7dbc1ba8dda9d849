package amqpd

import (
	"math"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
)

// consumer is the front end's side of a broker.Consumer, and stands for
// basic.get in the ring of unacked deliveries.
type consumer struct {
	ch     *channel
	tag    string
	name   []byte // tag, as deliveries carry it
	noAck  bool
	get    bool // stands for basic.get: no credit, no broker.Consumer
	reply  bool // of direct reply-to, which nobody counts
	queue  broker.Queue
	broker *broker.Consumer
	limit  int // prefetch; 0 is no limit
	// timeout is how long a delivery may stay unacked; 0: what its queue says.
	timeout time.Duration

	inflight    int  // conn.mu: unacked deliveries
	announced   bool // conn.mu: basic.consume-ok is out
	gone        bool // conn.mu: its queue went before that
	wantsCredit bool // conn.mu: was passed over for credit, to be touched when some returns
	wantsRoom   bool // conn.mu: is in conn.starved
}

var _ broker.Sink = (*conn)(nil)

// noLimit is what a consumer without a prefetch can take at once.
const noLimit = math.MaxInt32

// room tells how many deliveries k may be sent now, and notes what it waits for
// where that is none. c.mu is held.
func (c *conn) room(k *consumer) int { return c.roomUpTo(k, c.opts.OutBuffer) }

// roomUpTo is room where that many bytes may wait.
func (c *conn) roomUpTo(k *consumer, most int) int {
	ch := k.ch
	if c.closed || c.dead || ch.closed {
		return 0
	}
	n := noLimit
	if !k.noAck {
		if k.limit > 0 {
			n = k.limit - k.inflight
		}
		if ch.limit > 0 {
			n = min(n, ch.limit-ch.inflight)
		}
		if n <= 0 {
			k.wantsCredit = true
			return 0
		}
	}
	if c.backlog()+c.inFlight >= most {
		if !k.wantsRoom {
			k.wantsRoom = true
			c.starved = append(c.starved, k)
		}
		return 0
	}
	return n
}

// directOut is how many times as much may wait of what would otherwise be in the
// broker's memory. It leaves room for replies: see reserve.
const directOut = 3

// Room implements broker.Sink.
func (c *conn) Room(bc *broker.Consumer) int {
	k := bc.Data().(*consumer)
	c.mu.Lock()
	n := c.room(k)
	c.mu.Unlock()
	return n
}

// Offer implements broker.Sink.
func (c *conn) Offer(bc *broker.Consumer, ds []broker.Delivery) int {
	k := bc.Data().(*consumer)
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := k.ch
	ch.shown.active = c.srv.broker.Now().UnixMilli()
	most := c.opts.OutBuffer
	if ds[0].Direct {
		most *= directOut
	}
	for i := range ds {
		if c.roomUpTo(k, most) == 0 {
			return i
		}
		d := &ds[i]
		c.deliver(k, d, ch.unacked.next())
		if !k.reply {
			ch.shown.countDelivery(k.noAck, d.Redelivered)
		}
		if k.noAck {
			ch.unacked.skip()
			continue
		}
		ch.unacked.push(pending{k, d.Seq})
		if !ch.watched {
			c.watch(ch)
		}
		k.inflight++
		ch.inflight++
	}
	return len(ds)
}

// Flush implements broker.Sink.
func (c *conn) Flush() { c.kick() }

// Cancelled implements broker.Sink: the queue has gone.
func (c *conn) Cancelled(bc *broker.Consumer) {
	k := bc.Data().(*consumer)
	c.mu.Lock()
	if k.ch.consumers[k.tag] == k && !k.ch.closed && !c.closed {
		if c.deleting {
			c.cancels = append(c.cancels, k)
		} else if k.announced {
			c.sendCancel(k)
		} else {
			k.gone = true
		}
	}
	c.mu.Unlock()
	c.kick()
}

// sendCancel drops a consumer whose queue has gone, and tells a client that
// understands it. c.mu is held.
func (c *conn) sendCancel(k *consumer) {
	delete(k.ch.consumers, k.tag)
	if c.client.cancelNotify {
		c.sayMethod(k.ch.id, &wire.BasicCancel{ConsumerTag: k.tag, NoWait: true})
	}
}

// smallDelivery is how long a delivery's frames may be to be written in one
// stretch of a piece.
const smallDelivery = 8 << 10

// deliver appends a delivery's frames. c.mu is held.
func (c *conn) deliver(k *consumer, d *broker.Delivery, tag uint64) {
	if c.stencil.fits(k, d) {
		if n := len(c.stencil.head) + len(d.Body) + 1; n <= smallDelivery && len(d.Body) <= int(c.frameMax)-frameOverhead {
			o := c.outOf(k.ch.id)
			before := o.size
			p := o.room(n)
			at := len(p)
			p = p[:at+n]
			c.stencil.put(p[at:], tag, d.Body)
			o.commit(p)
			c.said(o, before)
			return
		}
	}
	// Field by field: a literal would be built elsewhere and copied, which waits for
	// all stores before it, those of the last delivery's bytes too.
	var m wire.BasicDeliver
	m.ConsumerTag, m.DeliveryTag, m.Redelivered = k.name, tag, d.Redelivered
	m.Exchange, m.RoutingKey = d.Exchange, d.RoutingKey
	o := c.outOf(k.ch.id)
	before := o.size
	head := deliverHeadSize + len(k.name) + len(d.Exchange) + len(d.RoutingKey)
	if size := head + wire.ContentSize(c.frameMax, len(d.Props), len(d.Body)); size <= smallDelivery && d.Large == nil {
		o.commit(wire.AppendDeliver(o.room(size), k.ch.id, c.frameMax, &m, d.Props, d.Body))
		c.said(o, before)
		c.stencil.cut(k, &m, d)
		return
	}
	size := head + wire.ContentSize(c.frameMax, len(d.Props), 0)
	o.commit(wire.AppendDeliverHead(o.room(size), k.ch.id, &m, d.Props, bodySize(d.Body, d.Large)))
	c.writeBody(o, k.ch.id, d.Body)
	c.said(o, before)
	if d.Large != nil {
		c.stream(k.ch.id, d.Large, d.Queue, d.Seq)
	}
}

// deliverHeadSize is a basic.deliver frame but for its three strings' bytes:
// frame head and end, method id, tag, redelivered, string lengths.
const deliverHeadSize = frameOverhead + 4 + 9 + 3

// contentMethodSize bounds the method frames of basic.return and basic.get-ok.
const contentMethodSize = frameOverhead + 4 + 16 + 3*256

// bodySize is how long a body is, wherever it lies.
func bodySize(body []byte, l *broker.Large) uint64 {
	if l != nil {
		return uint64(l.Size())
	}
	return uint64(len(body))
}

// writeContent appends a method that carries content, with its content: body, or
// what l has. d is a delivery, or nil. c.mu is held.
func (c *conn) writeContent(channel uint16, m wire.Method, props, body []byte, l *broker.Large, d *broker.Delivery) {
	o := c.outOf(channel)
	before := o.size
	o.commit(wire.AppendMethod(o.room(contentMethodSize), channel, m))
	size := wire.ContentSize(c.frameMax, len(props), 0)
	o.commit(wire.AppendHeader(o.room(size), channel, props, bodySize(body, l)))
	c.writeBody(o, channel, body)
	c.said(o, before)
	switch {
	case l == nil:
	case d == nil:
		c.stream(channel, l, nil, 0)
	default:
		c.stream(channel, l, d.Queue, d.Seq)
	}
}

// writeBody appends a body's frames to o, copying it across pieces. c.mu is held.
func (c *conn) writeBody(o *outBuf, channel uint16, body []byte) {
	for limit := int(c.frameMax) - frameOverhead; len(body) > 0; {
		n := min(len(body), limit)
		o.commit(wire.AppendFrameHead(o.room(frameOverhead), wire.FrameBody, channel, n))
		o.write(body[:n])
		o.commit(append(o.room(1), wire.FrameEnd))
		body = body[n:]
	}
}
