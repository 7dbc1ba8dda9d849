// Package stats is what is counted of messages, connections and bytes, for who asks
// how much of it there was. It is pure: whoever counts holds a lock, or uses Shared.
//
// Counters begin at 0 with the object that they belong to, and only grow. They live
// in memory: a restart of the broker is a new beginning.
package stats

import "sync/atomic"

// Counts are messages. What they mean is what RabbitMQ's message_stats mean by the
// key in the comment; a field that makes no sense for an object is 0 there.
type Counts struct {
	// Publish (publish): messages that clients have published. Of a queue: those of
	// them that were routed to it; dead letters and delayed messages do not count.
	Publish uint64
	// Confirm (confirm): publishes that were confirmed.
	Confirm uint64
	// ReturnUnroutable, DropUnroutable (return_unroutable, drop_unroutable): publishes
	// that reached no queue, which went back to their publisher, or nowhere.
	ReturnUnroutable, DropUnroutable uint64
	// PublishIn (publish_in): publishes to an exchange, of clients and not from other
	// exchanges. PublishOut (publish_out): queues that these were routed to.
	PublishIn, PublishOut uint64
	// Deliver, DeliverNoAck (deliver, deliver_no_ack): messages given to consumers that
	// acknowledge, and to those that do not.
	Deliver, DeliverNoAck uint64
	// Get, GetNoAck (get, get_no_ack): messages given to basic.get; GetEmpty
	// (get_empty): how often there was none.
	Get, GetNoAck, GetEmpty uint64
	// Redeliver (redeliver): of the four before, those with the flag redelivered.
	Redeliver uint64
	// Ack (ack): messages that clients have acknowledged.
	Ack uint64
}

// DeliverGet is RabbitMQ's deliver_get: all that went out.
func (c *Counts) DeliverGet() uint64 { return c.Deliver + c.DeliverNoAck + c.Get + c.GetNoAck }

// Add adds other counts.
func (c *Counts) Add(o Counts) {
	c.Publish += o.Publish
	c.Confirm += o.Confirm
	c.ReturnUnroutable += o.ReturnUnroutable
	c.DropUnroutable += o.DropUnroutable
	c.PublishIn += o.PublishIn
	c.PublishOut += o.PublishOut
	c.Deliver += o.Deliver
	c.DeliverNoAck += o.DeliverNoAck
	c.Get += o.Get
	c.GetNoAck += o.GetNoAck
	c.GetEmpty += o.GetEmpty
	c.Redeliver += o.Redeliver
	c.Ack += o.Ack
}

// Sub is what was counted since, where c is later than since.
func (c Counts) Sub(since Counts) Counts {
	c.Publish -= since.Publish
	c.Confirm -= since.Confirm
	c.ReturnUnroutable -= since.ReturnUnroutable
	c.DropUnroutable -= since.DropUnroutable
	c.PublishIn -= since.PublishIn
	c.PublishOut -= since.PublishOut
	c.Deliver -= since.Deliver
	c.DeliverNoAck -= since.DeliverNoAck
	c.Get -= since.Get
	c.GetNoAck -= since.GetNoAck
	c.GetEmpty -= since.GetEmpty
	c.Redeliver -= since.Redeliver
	c.Ack -= since.Ack
	return c
}

// Shared are Counts to which several goroutines add. Each field is right by itself;
// together they are not of one moment.
type Shared struct {
	publish, confirm, returnUnroutable, dropUnroutable, publishIn, publishOut atomic.Uint64
	deliver, deliverNoAck, get, getNoAck, getEmpty, redeliver, ack            atomic.Uint64
}

// Add adds counts. A field that is 0 costs a comparison.
func (s *Shared) Add(c *Counts) {
	add(&s.publish, c.Publish)
	add(&s.confirm, c.Confirm)
	add(&s.returnUnroutable, c.ReturnUnroutable)
	add(&s.dropUnroutable, c.DropUnroutable)
	add(&s.publishIn, c.PublishIn)
	add(&s.publishOut, c.PublishOut)
	add(&s.deliver, c.Deliver)
	add(&s.deliverNoAck, c.DeliverNoAck)
	add(&s.get, c.Get)
	add(&s.getNoAck, c.GetNoAck)
	add(&s.getEmpty, c.GetEmpty)
	add(&s.redeliver, c.Redeliver)
	add(&s.ack, c.Ack)
}

// Published is Add of Counts.Publish alone.
func (s *Shared) Published(n uint64) { s.publish.Add(n) }

func add(to *atomic.Uint64, n uint64) {
	if n != 0 {
		to.Add(n)
	}
}

// Load is what was counted so far.
func (s *Shared) Load() (c Counts) {
	c.Publish = s.publish.Load()
	c.Confirm = s.confirm.Load()
	c.ReturnUnroutable = s.returnUnroutable.Load()
	c.DropUnroutable = s.dropUnroutable.Load()
	c.PublishIn = s.publishIn.Load()
	c.PublishOut = s.publishOut.Load()
	c.Deliver = s.deliver.Load()
	c.DeliverNoAck = s.deliverNoAck.Load()
	c.Get = s.get.Load()
	c.GetNoAck = s.getNoAck.Load()
	c.GetEmpty = s.getEmpty.Load()
	c.Redeliver = s.redeliver.Load()
	c.Ack = s.ack.Load()
	return c
}

// Churn counts what came and went.
type Churn struct {
	ConnectionCreated, ConnectionClosed       uint64
	ChannelCreated, ChannelClosed             uint64
	QueueDeclared, QueueCreated, QueueDeleted uint64
}

// Traffic is what went over a connection's socket, or what was written for TLS to
// carry: bytes and writes to it, and reads from it (recv_oct, send_oct, recv_cnt,
// send_cnt). Pending is what waits to be written, in bytes (send_pend).
type Traffic struct {
	ReceivedBytes, SentBytes uint64
	Received, Sent           uint64
	Pending                  int
}

// DeathReason says why a message became a dead letter, or was dropped as one.
type DeathReason uint8

const (
	Rejected DeathReason = iota
	Expired
	MaxLength
	DeliveryLimit
	DeathReasons // how many there are
)

// String is RabbitMQ's word.
func (r DeathReason) String() string {
	return [...]string{"rejected", "expired", "maxlen", "delivery_limit"}[r]
}

// QueueType is a kind of queue.
type QueueType uint8

const (
	Classic QueueType = iota
	Quorum
	QueueTypes // how many there are
)

// Strategy is how a queue hands on its dead letters.
type Strategy uint8

const (
	AtMostOnce Strategy = iota
	AtLeastOnce
	Strategies // how many there are
)

// Global counts for the whole broker what Counts do not say.
type Global struct {
	ReceivedConfirm uint64 // publishes on channels with confirms
	// DeadLettered are messages that reached a queue as dead letters.
	DeadLettered [QueueTypes][Strategies][DeathReasons]uint64
	Sizes        Sizes // of the bodies that clients have published
}

// Sizes counts bodies by their length, in RabbitMQ's classes.
type Sizes struct {
	Count [len(SizeBounds) + 1]uint64 // up to each of SizeBounds, and longer ones
	Bytes uint64
}

// SizeBounds are the most bytes of each class but the last.
var SizeBounds = [...]int{100, 1e3, 1e4, 1e5, 1e6, 1e7, 5e7, 1e8}

// Add counts a body.
func (s *Sizes) Add(length int) {
	class := 0
	for class < len(SizeBounds) && length > SizeBounds[class] {
		class++
	}
	s.Count[class]++
	s.Bytes += uint64(length)
}
