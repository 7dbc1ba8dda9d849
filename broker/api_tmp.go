package broker

import (
	"errors"
	"log/slog"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

var errNotYet = errors.New("broker: being built")

// Options sets up a broker. A zero field takes its default.
type Options struct {
	// Store sets up the storage engine.
	Store store.Options
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) Validate() error { return o.Store.Validate() }

// Broker is an open broker. Its methods may be called from any goroutine.
type Broker struct{}

func Open(dir string, o Options) (*Broker, error) { return nil, errNotYet }
func (b *Broker) Close() error                    { return errNotYet } // sessions must have been closed
func (b *Broker) Stats() Stats                    { return Stats{} }
func (b *Broker) Durable() wal.LSN                { return 0 }
func (b *Broker) Wait(lsn wal.LSN) error          { return errNotYet }

// Err is the failure that poisoned the log, or nil.
func (b *Broker) Err() error { return errNotYet }

type Stats struct {
	Queues       int
	Messages     int           // recovered at Open
	RecoveryTime time.Duration // of the store and of the topology
}

// Authenticate checks a password. The error is an *amqp.Error 403 with RabbitMQ's text for PLAIN.
func (b *Broker) Authenticate(user, password string, loopback bool) (*User, error) {
	return nil, errNotYet
}

type User struct {
	Name string
	Tags []string
}

// Peer is the connection behind a session.
type Peer interface {
	// Name identifies the connection to an operator: "127.0.0.1:50000 -> 127.0.0.1:5672".
	Name() string
	// Close asks for the connection's end. It must not block, and may be called with locks of the broker held.
	Close(err *amqp.Error)
}

// NewSession begins a connection's life in a vhost. Errors are *amqp.Error 530 with RabbitMQ's texts.
func (b *Broker) NewSession(vhost string, u *User, p Peer) (*Session, error) { return nil, errNotYet }

// Session is a connection's standing in a vhost: the owner of its exclusive queues and of its permissions.
// Names have line feeds and carriage returns taken out of them here; errors are *amqp.Error with RabbitMQ's texts.
// Methods that change topology return when the change is durable.
type Session struct{}

// Close deletes the session's exclusive queues. Its consumers were cancelled and its unacked messages requeued before.
func (s *Session) Close() {}

type ExchangeSpec struct {
	Name, Type                             string
	Passive, Durable, AutoDelete, Internal bool
	Args                                   amqp.Table // copied
}

type QueueSpec struct {
	Name                                    string // empty: the server makes an amq.gen- name
	Passive, Durable, Exclusive, AutoDelete bool
	Args                                    amqp.Table // copied
}

type QueueInfo struct {
	Name      string // as it is now, line feeds gone
	Messages  uint32 // ready
	Consumers uint32
}

func (s *Session) DeclareExchange(spec ExchangeSpec) error                    { return errNotYet }
func (s *Session) DeleteExchange(name string, ifUnused bool) error            { return errNotYet }
func (s *Session) BindExchange(dst, src, key string, args amqp.Table) error   { return errNotYet }
func (s *Session) UnbindExchange(dst, src, key string, args amqp.Table) error { return errNotYet }
func (s *Session) DeclareQueue(spec QueueSpec) (QueueInfo, error)             { return QueueInfo{}, errNotYet }
func (s *Session) DeleteQueue(name string, ifUnused, ifEmpty bool) (uint32, error) {
	return 0, errNotYet
}
func (s *Session) PurgeQueue(name string) (uint32, error)                         { return 0, errNotYet }
func (s *Session) BindQueue(queue, exchange, key string, args amqp.Table) error   { return errNotYet }
func (s *Session) UnbindQueue(queue, exchange, key string, args amqp.Table) error { return errNotYet }

// Get takes one message. fn is called with it under the queue's lock (as Sink.Offer is), and not where the queue is empty.
func (s *Session) Get(queue string, noAck bool, fn func(d *Delivery, remaining int)) (ok bool, err error) {
	return false, errNotYet
}

// ReplyQueue is the pseudo-queue of direct reply-to: consume it with NoAck, then publish with that reply-to and
// Publishing.Reply set to the consumer.
const ReplyQueue = "amq.rabbitmq.reply-to"

type ConsumerSpec struct {
	Tag       string
	NoAck     bool
	Exclusive bool
	Args      amqp.Table // x-priority; copied
	Data      any        // the front end's own
}

// Consume adds a consumer. Nothing is offered to it before its first Touch, so that the reply can go out first.
func (s *Session) Consume(queue string, spec ConsumerSpec, sink Sink) (*Consumer, error) {
	return nil, errNotYet
}

// Consumer is a place where a queue's messages go.
type Consumer struct {
	spec ConsumerSpec
}

func (c *Consumer) Tag() string  { return c.spec.Tag }
func (c *Consumer) NoAck() bool  { return c.spec.NoAck }
func (c *Consumer) Data() any    { return c.spec.Data }
func (c *Consumer) Queue() Queue { return nil }

// Cancel takes the consumer away; unacked messages are not touched. After it has returned nothing more is offered.
// The last consumer's end deletes an auto-delete queue. It must not be called from a Sink's method.
func (c *Consumer) Cancel() {}

// Touch says that the consumer may take messages (its first credit, new credit, new room) and runs delivery now, Flush
// of the sinks included. Where there is a Batch at hand, Batch.Touch saves the wake-ups.
func (c *Consumer) Touch() {}

// Sink is the front end's side of its consumers: usually the connection. Room, Offer and Cancelled are called with
// the queue's lock held, never concurrently for one consumer, and must neither block nor call the broker.
type Sink interface {
	// Room tells how many deliveries c would take now: its credit, 0 where the out buffer is full. Where it is 0,
	// the consumer is left alone until it is Touched.
	Room(c *Consumer) int
	// Offer takes leading deliveries while credit and out buffer allow, copies what it keeps, and returns how many
	// it took. Fewer than all: the consumer is left alone until it is Touched.
	Offer(c *Consumer, ds []Delivery) int
	// Flush is called after a delivery run in which Offer took something, without a lock: wake the writer.
	// It may be called more than once a run.
	Flush()
	// Cancelled: the queue went away; nothing more is offered: send basic.cancel. No lock is held. It may come
	// from any goroutine, also from within the Session's own DeleteQueue, and after a Cancel that it crossed.
	Cancelled(c *Consumer)
}

// Delivery is a message on its way to a consumer. The slices are valid during the call.
type Delivery struct {
	Queue                             Queue
	Seq                               uint64
	Redelivered                       bool
	Exchange, RoutingKey, Props, Body []byte
}

// Queue is where messages wait. It is the seam to engines: one on the store is the default. Values are pointers:
// comparable, two words.
type Queue interface {
	Name() string
	VHost() string
	Durable() bool
	// Counts are ready and unacked messages, and consumers.
	Counts() (ready, unacked, consumers int)
	sealed()
}

// Publishing is a message to publish. All slices are borrowed until Flush or Reset.
type Publishing struct {
	Exchange, RoutingKey []byte
	Props, Body          []byte
	Confirm              bool      // the batch is committed at once, not within Options.Store.WAL.LazyDelay
	Reply                *Consumer // the channel's consumer of ReplyQueue, where it has one
}

// Batch gathers what one socket read brought, and Flush makes it happen. One goroutine at a time.
type Batch struct{}

func (s *Session) NewBatch() *Batch { return &Batch{} }

// Atomic makes all until the next Flush or Reset one atomic unit: a transaction. Acks are made durable too.
func (b *Batch) Atomic() {}

// Publish routes a message now; it is applied at Flush. An *amqp.Error means that it has no index and no effect.
func (b *Batch) Publish(p *Publishing) (routed bool, err error) { return false, errNotYet }
func (b *Batch) Ack(q Queue, seq uint64)                        {}
func (b *Batch) Requeue(q Queue, seq uint64)                    {}

// Discard is a reject without requeue.
func (b *Batch) Discard(q Queue, seq uint64) {}

// Touch says that c may take messages again (new credit, new room): delivery runs at Flush.
func (b *Batch) Touch(c *Consumer) {}

// Len counts what is gathered.
func (b *Batch) Len() int { return 0 }

// Flush applies all, runs delivery of the queues concerned, flushes each touched Sink, and where lead is set
// commits in this goroutine if the log is idle. It returns the LSN that must become durable before the publishes
// may be confirmed, 0 where there is nothing to wait for (then w is not kept). w may be called more than once.
// An error means that the log has failed: see Rejected.
func (b *Batch) Flush(w wal.Waiter, lead bool) (wal.LSN, error) { return 0, errNotYet }

// Rejections counts publishes of the last Flush that were refused; Rejected tells of one, by its index: successful
// Publish calls count from 0 since the Flush or Reset before. Both hold until the next Publish, Ack, … or Reset.
func (b *Batch) Rejections() int     { return 0 }
func (b *Batch) Rejected(i int) bool { return false }

// Reset drops what was gathered (a rollback).
func (b *Batch) Reset() {}
