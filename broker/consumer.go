package broker

import (
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Sink is the front end's side of its consumers, usually the connection. Room
// and Offer are called with the queue's lock held, never concurrently for one
// queue; they may take locks of the connection, but must neither wait nor call
// this package.
type Sink interface {
	// Room tells how many deliveries c would take now: its credit, but 0 where
	// the out buffer is full. It saves claiming messages that would be refused.
	// Where it is 0 the consumer is left alone until it is touched.
	Room(c *Consumer) int
	// Offer takes leading deliveries while credit and out buffer allow, copies
	// what it keeps (a Large it retains), and returns how many it took. Where it took fewer than
	// all, the consumer is left alone until it is touched.
	Offer(c *Consumer, ds []Delivery) int
	// Flush is called, without a lock, after a run in which Offer took
	// something: wake the writer. Runs of several queues are flushed at once.
	Flush()
	// Cancelled says that the queue went away and nothing more will be offered:
	// send basic.cancel. No lock is held. It comes from any goroutine, also from
	// within this session's own DeleteQueue, and may cross a Cancel.
	Cancelled(c *Consumer)
}

// ConsumerSpec describes a consumer.
type ConsumerSpec struct {
	Tag       string
	NoAck     bool       // a message is gone when it was offered and taken
	Exclusive bool       // no other consumer beside it
	Args      amqp.Table // x-priority, an integer: higher ones are served first
	Data      any        // the front end's own
	// Channel and Prefetch are for who lists consumers.
	Channel, Prefetch int
}

// Consumer is a place to which a queue's messages go.
type Consumer struct {
	spec     ConsumerSpec
	queue    Queue
	sink     Sink
	priority int64
	session  *Session

	// Fields of the queue's engine.

	// inTouched says that the consumer stands in localQueue.touched, linked by
	// touchNext, which belongs to whoever set it.
	inTouched atomic.Bool
	touchNext *Consumer

	// Guarded by localQueue.mu.
	attached   bool
	begun      bool   // was touched once
	delays     bool   // who follows it as the active one waits for what it had
	index      int    // in localQueue.consumers
	level      *level // of its priority
	prev, next *Consumer
	ready      bool // stands in its level's ring
	room       int  // what Room said, less what was offered since
}

// Tag is the consumer's tag, as it was given.
func (c *Consumer) Tag() string { return c.spec.Tag }

// NoAck tells whether deliveries need no ack.
func (c *Consumer) NoAck() bool { return c.spec.NoAck }

// Data is the front end's own.
func (c *Consumer) Data() any { return c.spec.Data }

// Queue is where the consumer's messages come from.
func (c *Consumer) Queue() Queue { return c.queue }

// Consume adds a consumer to a queue. Nothing is offered to it before its first
// Touch, so that the front end can answer before the first delivery.
func (s *Session) Consume(queue string, spec ConsumerSpec, sink Sink) (*Consumer, error) {
	queue = cleanName(queue)
	c := &Consumer{spec: spec, sink: sink, session: s}
	if queue == ReplyQueue {
		return s.consumeReplies(c)
	}
	if err := s.mayRead(resourceQueue, queue); err != nil {
		return nil, err
	}
	// Deletion takes the write lock, so that a queue found here lives until the
	// consumer stands in it.
	s.v.mu.RLock()
	defer s.v.mu.RUnlock()
	q := s.v.queues[queue]
	if q == nil {
		return nil, errNoQueue(queue, s.v.name)
	}
	d := q.def()
	if err := s.mayUse(d); err != nil {
		return nil, err
	}
	var bad *amqp.Error
	if c.priority, bad = consumerPriority(spec.Args, d.settings(), queue, s.v.name); bad != nil {
		return nil, bad
	}
	c.queue = q
	if err := q.attach(c); err != nil {
		return nil, err
	}
	d.use()
	return c, nil
}

// Cancel removes the consumer; what it has not acked stays as it is. Once it
// has returned nothing more is offered. The end of its last consumer deletes an
// auto-delete queue, and that of a queue's single active one makes another one
// active: what was requeued before comes before what is ready, and so does what is
// requeued shortly after. It must not be called from a Sink's method.
func (c *Consumer) Cancel() {
	d := c.queue.def()
	if d.settings().singleActive {
		defer c.queue.handDown(c)
	}
	if !d.autoDelete && !d.reply {
		if c.queue.detach(c) == 0 && d.settings().expires > 0 {
			d.use()
			d.v.mu.RLock() // whoever deletes it forgets it after
			if !d.deleted {
				d.v.b.expiry.watch(c.queue)
			}
			d.v.mu.RUnlock()
		}
		return
	}
	err := d.v.change(func(t *change) error {
		if d.deleted || c.queue.detach(c) > 0 {
			return nil
		}
		t.deleteQueue(c.queue)
		return t.apply()
	})
	if err != nil {
		d.v.b.log.Error("auto-delete queue could not be deleted", "vhost", d.v.name, "queue", d.name, "err", err)
	}
}

// Touch says that the consumer may take messages: for the first time, or since
// it has credit or room again. It runs delivery now and flushes the sinks. Where
// a Batch is at hand, Batch.Touch does the same with fewer wake-ups.
func (c *Consumer) Touch() {
	c.queue.touch(c)
	r := c.queue.def().v.b.runner()
	c.queue.deliver(r)
	r.done()
}

// level is the consumers of one priority. The ring holds those that may take a
// message; its head is next in turn.
type level struct {
	priority int64
	head     *Consumer
	n        int // in the ring
	members  int // in all
}

// push puts a consumer at the ring's end.
func (l *level) push(c *Consumer) {
	if l.head == nil {
		c.prev, c.next = c, c
		l.head = c
	} else {
		tail := l.head.prev
		tail.next, c.prev = c, tail
		c.next, l.head.prev = l.head, c
	}
	c.ready = true
	l.n++
}

// drop takes a consumer that is in the ring out of it.
func (l *level) drop(c *Consumer) {
	if l.n == 1 {
		l.head = nil
	} else {
		c.prev.next, c.next.prev = c.next, c.prev
		if l.head == c {
			l.head = c.next
		}
	}
	c.prev, c.next, c.ready = nil, nil, false
	l.n--
}

// turn makes the next consumer the head.
func (l *level) turn() { l.head = l.head.next }
