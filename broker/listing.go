package broker

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// What is in a vhost, for who administrates. A list is put together a few objects
// at a time, so that it holds nobody up, and is not of one moment.

// Errors of who asks for one object.
var (
	ErrNoQueue    = errors.New("no such queue")
	ErrNoExchange = errors.New("no such exchange")
)

// listAtOnce is how many objects are looked at under one hold of the vhost's lock.
const listAtOnce = 512

// QueueListing is what a queue is and has. Its tables and policies may not be
// changed.
type QueueListing struct {
	Name, VHost, Type              string // Type is classic or quorum
	Durable, AutoDelete, Exclusive bool
	Owner                          string // an exclusive queue's connection
	Args                           amqp.Table
	Ready, Unacked, Consumers      int
	// Bytes are those of bodies: of all messages, of the ready ones, of the others.
	Bytes, ReadyBytes, UnackedBytes int64
	// Persistent are the messages, and their bodies' bytes, that outlive a restart.
	Persistent      int
	PersistentBytes int64
	ID              uint64 // of this very queue: one that is declared anew has another
	Counts          stats.Counts
	// IdleSince is when something was counted last, at first when it was made, by a
	// clock of 100 ms.
	IdleSince time.Time
	// Utilisation is how much of the last 10 s or so some consumer could have taken a
	// message at once, from 0 to 1; -1: there are no consumers.
	Utilisation float64
	// Single is the tag of the one consumer that is served, of a queue with a single
	// active one.
	Single           string
	Policy, Operator *policy.Policy // nil: none applies
}

// ExchangeListing is what an exchange is. The default exchange has no name.
type ExchangeListing struct {
	Name, VHost, Type             string
	Durable, AutoDelete, Internal bool
	Predeclared                   bool
	ID                            uint64
	Counts                        stats.Counts // PublishIn, PublishOut
	Args                          amqp.Table
	Policy, Operator              *policy.Policy
}

// BindingListing is a binding; of the default exchange, which has no name, there
// is one to each queue.
type BindingListing struct {
	VHost, Source, Destination string
	ToExchange                 bool
	Key                        string
	Args                       amqp.Table
}

// Queues are a vhost's queues, by name, or ErrNoVHost.
func (b *Broker) Queues(vhost string) ([]QueueListing, error) {
	queues, err := b.queuesOf(vhost)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(queues, byName)
	list := make([]QueueListing, len(queues))
	for i, q := range queues {
		list[i] = listQueue(q)
	}
	return list, nil
}

// QueueRef is a queue that can be listed: for who needs to look at some of many.
type QueueRef struct{ q Queue }

// Name is the queue's name.
func (r QueueRef) Name() string { return r.q.Name() }

// VHost is the name of the queue's vhost.
func (r QueueRef) VHost() string { return r.q.VHost() }

// ID is QueueListing.ID.
func (r QueueRef) ID() uint64 { return r.q.def().id }

// List is the queue as it is now.
func (r QueueRef) List() QueueListing { return listQueue(r.q) }

// QueueRefs are a vhost's queues, by name, or ErrNoVHost.
func (b *Broker) QueueRefs(vhost string) ([]QueueRef, error) {
	queues, err := b.queuesOf(vhost)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(queues, byName)
	list := make([]QueueRef, len(queues))
	for i, q := range queues {
		list[i] = QueueRef{q}
	}
	return list, nil
}

// Queue returns one queue, ErrNoVHost or ErrNoQueue.
func (b *Broker) Queue(vhost, name string) (QueueListing, error) {
	v := b.vhost(vhost)
	if v == nil {
		return QueueListing{}, ErrNoVHost
	}
	q := v.queue(name)
	if q == nil {
		return QueueListing{}, ErrNoQueue
	}
	return listQueue(q), nil
}

// Totals are a vhost's counts.
type Totals struct {
	Queues, Exchanges, Consumers, Ready, Unacked int
}

// Totals counts what is in a vhost; nothing where there is none.
func (b *Broker) Totals(vhost string) Totals {
	queues, err := b.queuesOf(vhost)
	if err != nil {
		return Totals{}
	}
	t := Totals{Queues: len(queues)}
	for _, q := range queues {
		ready, unacked, consumers := q.Counts()
		t.Ready += ready
		t.Unacked += unacked
		t.Consumers += consumers
	}
	if v := b.vhost(vhost); v != nil {
		v.mu.RLock()
		t.Exchanges = len(v.exchanges)
		v.mu.RUnlock()
	}
	return t
}

func byName(x, y Queue) int { return cmp.Compare(x.Name(), y.Name()) }

// queuesOf are a vhost's queues in no order.
func (b *Broker) queuesOf(vhost string) ([]Queue, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	v.mu.RLock()
	queues := make([]Queue, 0, len(v.queues))
	for _, q := range v.queues {
		queues = append(queues, q)
	}
	v.mu.RUnlock()
	return queues, nil
}

func listQueue(q Queue) QueueListing {
	d := q.def()
	set := d.settings()
	l := QueueListing{
		Name: d.name, VHost: d.v.name, Type: typeClassic,
		Durable: d.durable, AutoDelete: d.autoDelete, Exclusive: d.exclusive,
		Args: d.args, Policy: set.policy, Operator: set.operator,
	}
	if set.quorum {
		l.Type = typeQuorum
	}
	if d.owner != nil {
		l.Owner = d.owner.peer.Name()
	}
	h := q.holds()
	l.Ready, l.Unacked, l.Consumers = h.Ready, h.Unacked, q.consumerCount()
	l.Bytes, l.ReadyBytes, l.UnackedBytes = h.ReadyBytes+h.UnackedBytes, h.ReadyBytes, h.UnackedBytes
	l.Persistent, l.PersistentBytes = h.Persistent, h.PersistentBytes
	l.ID, l.Counts, l.IdleSince = d.id, d.counts(), time.UnixMilli(d.lastActive())
	l.Utilisation = -1
	if l.Consumers > 0 {
		l.Utilisation = d.utilisation(d.v.b.clock.Load())
		if set.singleActive {
			if _, active := q.attached(); active != nil {
				l.Single = active.spec.Tag
			}
		}
	}
	return l
}

// Exchanges are a vhost's exchanges, by name, or ErrNoVHost.
func (b *Broker) Exchanges(vhost string) ([]ExchangeListing, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	v.mu.RLock()
	exchanges := make([]*exchange, 0, len(v.exchanges))
	for _, x := range v.exchanges {
		exchanges = append(exchanges, x)
	}
	v.mu.RUnlock()
	list := make([]ExchangeListing, len(exchanges))
	for i, x := range exchanges {
		list[i] = x.list()
	}
	slices.SortFunc(list, func(x, y ExchangeListing) int { return cmp.Compare(x.Name, y.Name) })
	return list, nil
}

// Exchange returns one exchange, ErrNoVHost or ErrNoExchange.
func (b *Broker) Exchange(vhost, name string) (ExchangeListing, error) {
	v := b.vhost(vhost)
	if v == nil {
		return ExchangeListing{}, ErrNoVHost
	}
	x := v.exchange(name)
	if x == nil {
		return ExchangeListing{}, ErrNoExchange
	}
	return x.list(), nil
}

func (x *exchange) counts() stats.Counts {
	return stats.Counts{PublishIn: x.came.Load(), PublishOut: x.went.Load()}
}

func (x *exchange) list() ExchangeListing {
	set := x.settings()
	return ExchangeListing{
		Name: x.name, VHost: x.v.name, Type: x.kind, Durable: x.durable, AutoDelete: x.autoDelete, Internal: x.internal,
		Predeclared: x.predeclared, ID: x.id, Counts: x.counts(), Args: x.args, Policy: set.policy, Operator: set.operator,
	}
}

// Bindings are a vhost's bindings, or ErrNoVHost: those of the default exchange
// first, by name of the queue, then the others by source, destination and key.
func (b *Broker) Bindings(vhost string) ([]BindingListing, error) {
	queues, err := b.queuesOf(vhost)
	if err != nil {
		return nil, err
	}
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	slices.SortFunc(queues, byName)
	var nodes []*node
	list := make([]BindingListing, 0, len(queues))
	for _, q := range queues {
		list = append(list, BindingListing{VHost: vhost, Destination: q.Name(), Key: q.Name()})
		nodes = append(nodes, &q.def().node)
	}
	named := len(list)
	v.mu.RLock()
	for _, x := range v.exchanges {
		nodes = append(nodes, &x.node)
	}
	v.mu.RUnlock()
	for some := range slices.Chunk(nodes, listAtOnce) {
		v.mu.RLock()
		for _, n := range some {
			for _, bindings := range n.in {
				for _, each := range bindings {
					list = append(list, each.list())
				}
			}
		}
		v.mu.RUnlock()
	}
	slices.SortFunc(list[named:], func(x, y BindingListing) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.Destination, y.Destination), cmp.Compare(x.Key, y.Key))
	})
	return list, nil
}

func (b *binding) list() BindingListing {
	l := BindingListing{VHost: b.src.v.name, Source: b.src.name, Key: b.key, Args: b.args}
	if b.dst.queue != nil {
		l.Destination = b.dst.queue.Name()
	} else {
		l.Destination, l.ToExchange = b.dst.exchange.name, true
	}
	return l
}
