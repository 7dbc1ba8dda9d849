package amqpd

import (
	"math"

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
	queue  broker.Queue
	broker *broker.Consumer
	limit  int // prefetch; 0 is no limit

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
func (c *conn) room(k *consumer) int {
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
	if c.out.size+c.inFlight >= c.opts.OutBuffer {
		if !k.wantsRoom {
			k.wantsRoom = true
			c.starved = append(c.starved, k)
		}
		return 0
	}
	return n
}

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
	for i := range ds {
		if c.room(k) == 0 {
			return i
		}
		d := &ds[i]
		c.deliver(k, d, ch.unacked.next())
		if k.noAck {
			ch.unacked.skip()
			continue
		}
		ch.unacked.push(pending{k, d.Seq})
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
		if k.announced {
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
		c.out.commit(wire.AppendMethod(c.out.room(replySize), k.ch.id, &wire.BasicCancel{ConsumerTag: k.tag, NoWait: true}))
	}
}

// smallDelivery is how long a delivery's frames may be to be written in one
// stretch of a piece.
const smallDelivery = 8 << 10

// deliver appends a delivery's frames. c.mu is held.
func (c *conn) deliver(k *consumer, d *broker.Delivery, tag uint64) {
	m := wire.BasicDeliver{
		ConsumerTag: k.name, DeliveryTag: tag, Redelivered: d.Redelivered,
		Exchange: d.Exchange, RoutingKey: d.RoutingKey,
	}
	head := deliverHeadSize + len(k.name) + len(d.Exchange) + len(d.RoutingKey)
	if size := head + wire.ContentSize(c.frameMax, len(d.Props), len(d.Body)); size <= smallDelivery {
		c.out.commit(wire.AppendDeliver(c.out.room(size), k.ch.id, c.frameMax, &m, d.Props, d.Body))
		return
	}
	size := head + wire.ContentSize(c.frameMax, len(d.Props), 0)
	c.out.commit(wire.AppendDeliverHead(c.out.room(size), k.ch.id, &m, d.Props, uint64(len(d.Body))))
	c.writeBody(k.ch.id, d.Body)
}

// deliverHeadSize is a basic.deliver frame but for its three strings' bytes:
// frame head and end, method id, tag, redelivered, string lengths.
const deliverHeadSize = frameOverhead + 4 + 9 + 3

// contentMethodSize bounds the method frames of basic.return and basic.get-ok.
const contentMethodSize = frameOverhead + 4 + 16 + 3*256

// writeContent appends a method that carries content, with its content. c.mu is
// held.
func (c *conn) writeContent(channel uint16, m wire.Method, props, body []byte) {
	c.out.commit(wire.AppendMethod(c.out.room(contentMethodSize), channel, m))
	size := wire.ContentSize(c.frameMax, len(props), 0)
	c.out.commit(wire.AppendHeader(c.out.room(size), channel, props, uint64(len(body))))
	c.writeBody(channel, body)
}

// writeBody appends a body's frames, copying it across pieces. c.mu is held.
func (c *conn) writeBody(channel uint16, body []byte) {
	for limit := int(c.frameMax) - frameOverhead; len(body) > 0; {
		n := min(len(body), limit)
		c.out.commit(wire.AppendFrameHead(c.out.room(frameOverhead), wire.FrameBody, channel, n))
		c.out.write(body[:n])
		c.out.commit(append(c.out.room(1), wire.FrameEnd))
		body = body[n:]
	}
}
