package amqpd

import (
	"crypto/rand"
	"encoding/base64"
	"math"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

func (c *conn) basicQos(ch *channel, m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return amqp.NotImplemented("prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	limit := m.PrefetchCount
	if !m.Global {
		ch.prefetch = m.PrefetchCount
		c.show(ch)
		limit = 0 // as in RabbitMQ this lifts the channel's limit
	}
	c.mu.Lock()
	ch.limit = int(limit)
	c.wakeChannel(ch)
	c.mu.Unlock()
	c.touchAll()
	c.reply(ch.id, &wire.BasicQosOk{})
	c.flush(false)
	return nil
}

func (c *conn) basicConsume(ch *channel, m *wire.BasicConsume) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	c.mu.Lock()
	used, n := ch.consumers[m.ConsumerTag], len(ch.consumers)
	c.mu.Unlock()
	again := queue == broker.ReplyQueue && ch.replyConsumer != nil
	switch {
	case used != nil && !(again && used.broker == ch.replyConsumer):
		return amqp.NotAllowed("attempt to reuse consumer tag '%s'", m.ConsumerTag)
	case c.opts.MaxConsumers > 0 && n >= c.opts.MaxConsumers:
		return amqp.NotAllowed("reached maximum (%d) of consumers per channel", c.opts.MaxConsumers)
	case again && m.NoAck:
		return amqp.PreconditionFailed("reply consumer already set")
	case again:
		return amqp.PreconditionFailed("reply consumer cannot acknowledge")
	}
	k := &consumer{ch: ch, tag: m.ConsumerTag, noAck: m.NoAck, limit: int(ch.prefetch), reply: queue == broker.ReplyQueue}
	if k.tag == "" {
		k.tag = newConsumerTag()
	}
	k.name = []byte(k.tag)
	if ms, ok := m.Arguments.Int("x-consumer-timeout"); ok && ms > 0 {
		k.timeout = time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
	}
	// In the table before the broker has it: a queue that goes at once looks there.
	c.mu.Lock()
	if ch.consumers == nil {
		ch.consumers = map[string]*consumer{}
	}
	ch.consumers[k.tag] = k
	c.mu.Unlock()
	k.broker, err = c.session.Consume(queue, broker.ConsumerSpec{
		Channel: int(ch.id), Prefetch: k.limit,
		Tag: k.tag, NoAck: m.NoAck, Exclusive: m.Exclusive, Args: m.Arguments, Data: k,
	}, c)
	if err != nil {
		c.mu.Lock()
		delete(ch.consumers, k.tag)
		c.mu.Unlock()
		return err
	}
	k.queue = k.broker.Queue()
	if queue == broker.ReplyQueue {
		ch.replyConsumer = k.broker
	}
	c.mu.Lock()
	k.announced = true
	if !m.NoWait {
		c.sayMethod(ch.id, &wire.BasicConsumeOk{ConsumerTag: k.tag})
	}
	if k.gone {
		c.sendCancel(k)
	}
	c.mu.Unlock()
	c.batch.Touch(k.broker)
	c.flush(false)
	return nil
}

// newConsumerTag makes a name as RabbitMQ's: 16 random bytes.
func newConsumerTag() string {
	var b [16]byte
	rand.Read(b[:])
	return "amq.ctag-" + base64.RawURLEncoding.EncodeToString(b[:])
}

func (c *conn) basicCancel(ch *channel, m *wire.BasicCancel) {
	c.mu.Lock()
	k := ch.consumers[m.ConsumerTag]
	delete(ch.consumers, m.ConsumerTag)
	c.mu.Unlock()
	if k != nil {
		k.broker.Cancel()
		if ch.replyConsumer == k.broker {
			ch.replyConsumer = nil
		}
	}
	if !m.NoWait {
		c.reply(ch.id, &wire.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	}
}

func (c *conn) basicGet(ch *channel, m *wire.BasicGet) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	ok, err := c.session.Get(queue, m.NoAck, func(d *broker.Delivery, remaining int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.writeContent(ch.id, &wire.BasicGetOk{
			DeliveryTag: ch.unacked.next(), Redelivered: d.Redelivered,
			Exchange: d.Exchange, RoutingKey: d.RoutingKey, MessageCount: uint32(remaining),
		}, d.Props, d.Body, d.Large, d)
		ch.shown.countGet(m.NoAck, d.Redelivered)
		if m.NoAck {
			ch.unacked.skip()
		} else {
			ch.unacked.push(pending{ch.getter(d.Queue), d.Seq})
			if !ch.watched {
				c.watch(ch)
			}
		}
	})
	if err == nil && !ok {
		c.countGetEmpty(ch)
		c.reply(ch.id, &wire.BasicGetEmpty{})
	}
	return err
}

// getter is who stands for basic.get on a queue among the unacked deliveries.
func (ch *channel) getter(q broker.Queue) *consumer {
	k := ch.getters[q]
	if k == nil {
		k = &consumer{ch: ch, get: true, queue: q}
		if ch.getters == nil || len(ch.getters) >= maxGetters {
			ch.getters = map[broker.Queue]*consumer{}
		}
		ch.getters[q] = k
	}
	return k
}

// maxGetters bounds a memory of queues, some of which may be gone.
const maxGetters = 16

// verdict is what becomes of settled deliveries.
type verdict uint8

const (
	acked verdict = iota
	requeued
	discarded
)

func (c *conn) basicAck(ch *channel, args []byte) {
	var m wire.BasicAck
	if err := m.Decode(args); err != nil {
		c.failWith(err, wire.IDBasicAck)
		return
	}
	c.mu.Lock()
	ok := c.take(ch, m.DeliveryTag, m.Multiple)
	for ok && ch.tx == nil {
		// Acks come in rows: take them all under one lock.
		args, size, more := c.peek(ch, c.r, wire.FrameMethod)
		if !more || len(args) != 13 {
			break
		}
		id, args, _ := wire.CutID(args)
		if id != wire.IDBasicAck || m.Decode(args) != nil {
			break
		}
		c.r += size
		ok = c.take(ch, m.DeliveryTag, m.Multiple)
	}
	c.mu.Unlock()
	c.settleTaken(ch, acked)
	if !ok {
		c.failTag(ch, m.DeliveryTag, wire.IDBasicAck)
	}
}

func (c *conn) basicNack(ch *channel, args []byte) {
	var m wire.BasicNack
	if err := m.Decode(args); err != nil {
		c.failWith(err, wire.IDBasicNack)
		return
	}
	c.reject(ch, m.DeliveryTag, m.Multiple, m.Requeue, wire.IDBasicNack)
}

func (c *conn) basicReject(ch *channel, args []byte) {
	var m wire.BasicReject
	if err := m.Decode(args); err != nil {
		c.failWith(err, wire.IDBasicReject)
		return
	}
	c.reject(ch, m.DeliveryTag, false, m.Requeue, wire.IDBasicReject)
}

func (c *conn) reject(ch *channel, tag uint64, multiple, requeue bool, cause wire.ID) {
	c.mu.Lock()
	ok := c.take(ch, tag, multiple)
	c.mu.Unlock()
	if !ok {
		c.failTag(ch, tag, cause)
		return
	}
	v := discarded
	if requeue {
		v = requeued
	}
	c.settleTaken(ch, v)
}

func (c *conn) failTag(ch *channel, tag uint64, cause wire.ID) {
	c.failMethod(ch, amqp.PreconditionFailed("unknown delivery tag %d", tag), cause)
}

// take moves what a tag stands for from the ring to c.settled. c.mu is held.
func (c *conn) take(ch *channel, tag uint64, multiple bool) bool {
	if multiple {
		var ok bool
		c.settled, ok = ch.unacked.takeUpTo(c.settled, tag)
		return ok
	}
	p, ok := ch.unacked.take(tag)
	if ok {
		c.settled = append(c.settled, tagged{p, tag})
	}
	return ok
}

// settleTaken gathers what take has taken. In a transaction it waits for commit.
func (c *conn) settleTaken(ch *channel, v verdict) {
	if len(c.settled) == 0 {
		return
	}
	if ch.tx != nil {
		ch.tx.settle(c.settled, v)
		c.show(ch)
	} else {
		c.credit(ch, c.settled)
		settleIn(c.batch, c.settled, v)
		if v == acked {
			c.countAcks(ch, len(c.settled))
		}
		c.touchAll()
	}
	c.forgetSettled()
}

// keepSettled bounds what c.settled keeps of a client that settled very much at
// once.
const keepSettled = 8192

func (c *conn) forgetSettled() {
	clear(c.settled)
	c.settled = c.settled[:0]
	if cap(c.settled) > keepSettled {
		c.settled = nil
	}
}

// settleIn gathers a verdict on deliveries in a batch.
func settleIn(b *broker.Batch, list []tagged, v verdict) {
	for i := range list {
		t := &list[i]
		switch v {
		case acked:
			b.Ack(t.consumer.queue, t.seq)
		case requeued:
			b.Requeue(t.consumer.queue, t.seq)
		case discarded:
			b.Discard(t.consumer.queue, t.seq)
		}
	}
}

// credit returns the credit of settled deliveries, and notes in c.touched whom
// the broker may offer messages to again.
func (c *conn) credit(ch *channel, list []tagged) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range list {
		k := list[i].consumer
		if k.get {
			continue
		}
		k.inflight--
		ch.inflight--
		if k.wantsCredit {
			k.wantsCredit = false
			c.touched = append(c.touched, k)
		}
	}
	if ch.limit > 0 && ch.inflight < ch.limit {
		c.wakeChannel(ch)
	}
}

// wakeChannel notes all consumers of a channel that wait for credit: the
// channel's own limit has room. c.mu is held.
func (c *conn) wakeChannel(ch *channel) {
	for _, k := range ch.consumers {
		if k.wantsCredit {
			k.wantsCredit = false
			c.touched = append(c.touched, k)
		}
	}
}

// touchAll tells the broker of them.
func (c *conn) touchAll() {
	for i, k := range c.touched {
		c.batch.Touch(k.broker)
		c.touched[i] = nil
	}
	c.touched = c.touched[:0]
}

func (c *conn) basicRecover(ch *channel, requeue bool) error {
	if !requeue {
		return amqp.NotImplemented("requeue=false")
	}
	c.mu.Lock()
	c.settled, _ = ch.unacked.takeUpTo(c.settled, 0)
	c.mu.Unlock()
	if len(c.settled) == 0 {
		return nil
	}
	c.credit(ch, c.settled)
	settleIn(c.batch, c.settled, requeued)
	c.touchAll()
	c.forgetSettled()
	return nil
}
