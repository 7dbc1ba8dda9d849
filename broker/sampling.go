package broker

import (
	"slices"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
)

// For who looks at everything again and again: what changes, and no more. Nothing is
// allocated an object.

// QueueSample is what changes of a queue.
type QueueSample struct {
	ID                       uint64 // of this very queue: one that is declared anew has another
	VHost, Name              string
	Counts                   stats.Counts
	Ready, Unacked           int
	ReadyBytes, UnackedBytes int64
	Persistent               int // of all messages, as in QueueListing
	PersistentBytes          int64
	Consumers                int
	Utilisation              float64 // as in QueueListing
	Active                   int64   // when something was counted last, ms since 1970, by a clock of 100 ms
}

// ExchangeSample is what changes of an exchange.
type ExchangeSample struct {
	ID          uint64
	VHost, Name string
	Counts      stats.Counts // PublishIn and PublishOut
}

// ConnectionSample is what changes of a connection.
type ConnectionSample struct {
	ID                uint64
	VHost, Name, User string
	Channels          int
	Traffic           stats.Traffic
}

// ChannelSample is what changes of a channel.
type ChannelSample struct {
	ID                uint64
	VHost, Connection string // Connection is its name
	Number            int
	Counts            stats.Counts
	Unacked           int
	Unconfirmed       int
	Uncommitted       int
	AcksUncommitted   int
	Prefetch          int
	GlobalPrefetch    int
	Consumers         int
	Active            int64 // as in QueueSample
}

// samples is scratch memory of a walk.
type samples struct {
	vhosts    []*vhost
	queues    []Queue
	exchanges []*exchange
	sessions  []*Session
	channels  []ChannelListing
}

var samplePool = sync.Pool{New: func() any { return new(samples) }}

// done gives the memory back, which holds on to nothing then.
func (s *samples) done() {
	clear(s.vhosts[:cap(s.vhosts)])
	clear(s.queues[:cap(s.queues)])
	clear(s.exchanges[:cap(s.exchanges)])
	clear(s.sessions[:cap(s.sessions)])
	clear(s.channels[:cap(s.channels)])
	samplePool.Put(s)
}

func (b *Broker) sampleVHosts() *samples {
	s := samplePool.Get().(*samples)
	s.vhosts = s.vhosts[:0]
	b.mu.Lock()
	for _, v := range b.vhosts {
		s.vhosts = append(s.vhosts, v)
	}
	b.mu.Unlock()
	return s
}

// walkAtOnce is how many queues are looked up under one hold of a vhost's lock.
const walkAtOnce = 256

// EachQueue calls fn with each queue of all vhosts, in no order, until it returns
// false. No lock is held meanwhile. Of queues that come or go at the same time some are
// met.
func (b *Broker) EachQueue(fn func(QueueSample) bool) {
	s := b.sampleVHosts()
	defer s.done()
	now := b.clock.Load()
	for _, v := range s.vhosts {
		for i := 0; i >= 0; {
			s.queues, i = v.next(i, slices.Grow(s.queues[:0], walkAtOnce))
			for _, q := range s.queues {
				if !fn(sampleQueue(v, q, now)) {
					return
				}
			}
		}
	}
}

func sampleQueue(v *vhost, q Queue, now int64) (out QueueSample) {
	d := q.def()
	out.ID, out.VHost, out.Name = d.id, v.name, d.name
	out.Counts, out.Active, out.Utilisation = d.counts(), d.lastActive(), d.utilisation(now)
	held := q.holds()
	out.Ready, out.Unacked, out.ReadyBytes, out.UnackedBytes = held.Ready, held.Unacked, held.ReadyBytes, held.UnackedBytes
	out.Persistent, out.PersistentBytes = held.Persistent, held.PersistentBytes
	if out.Consumers = q.consumerCount(); out.Consumers == 0 {
		out.Utilisation = -1
	}
	return out
}

// EachExchange is EachQueue for exchanges.
func (b *Broker) EachExchange(fn func(ExchangeSample) bool) {
	s := b.sampleVHosts()
	defer s.done()
	for _, v := range s.vhosts {
		s.exchanges = s.exchanges[:0]
		v.mu.RLock()
		for _, x := range v.exchanges {
			s.exchanges = append(s.exchanges, x)
		}
		v.mu.RUnlock()
		for _, x := range s.exchanges {
			if !fn(ExchangeSample{ID: x.id, VHost: v.name, Name: x.name, Counts: x.counts()}) {
				return
			}
		}
	}
}

// EachConnection is EachQueue for clients' connections.
func (b *Broker) EachConnection(fn func(ConnectionSample) bool) {
	b.eachClient(func(s *Session, peer Client, _ *samples) bool {
		l := ConnectionListing{}
		peer.Describe(&l)
		return fn(ConnectionSample{ID: s.id, VHost: s.v.name, Name: peer.Name(), User: s.user.Name, Channels: l.Channels, Traffic: l.Traffic})
	})
}

// EachChannel is EachQueue for clients' channels.
func (b *Broker) EachChannel(fn func(ChannelSample) bool) {
	b.eachClient(func(s *Session, peer Client, scratch *samples) bool {
		scratch.channels = peer.Channels(scratch.channels[:0])
		for i := range scratch.channels {
			c := &scratch.channels[i]
			out := ChannelSample{
				ID: c.ID, VHost: s.v.name, Connection: peer.Name(), Number: c.Number, Counts: c.Counts,
				Unacked: c.Unacked, Unconfirmed: c.Unconfirmed, Uncommitted: c.Uncommitted, AcksUncommitted: c.AcksUncommitted,
				Prefetch: c.Prefetch, GlobalPrefetch: c.GlobalPrefetch, Consumers: c.Consumers, Active: c.IdleSince.UnixMilli(),
			}
			if !fn(out) {
				return false
			}
		}
		return true
	})
}

// eachClient calls fn with the sessions that are clients' connections.
func (b *Broker) eachClient(fn func(s *Session, peer Client, scratch *samples) bool) {
	scratch := samplePool.Get().(*samples)
	defer scratch.done()
	scratch.sessions = scratch.sessions[:0]
	b.mu.Lock()
	for _, v := range b.vhosts {
		for s := range v.sessions {
			scratch.sessions = append(scratch.sessions, s)
		}
	}
	b.mu.Unlock()
	for _, s := range scratch.sessions {
		if peer, ok := s.peer.(Client); ok && !fn(s, peer, scratch) {
			return
		}
	}
}

// utilisation is how much of the last seconds a consumer could have taken a message
// of the queue, from 0 to 1; -1: it has no consumers, or never had a message.
func (d *queueDef) utilisation(now int64) float64 {
	t := d.tally.Load()
	if t == nil || t.able.since.Load() == 0 {
		return -1
	}
	return t.able.of(now)
}

// Now is the broker's clock, which moves every 100 ms, or more often where little disk
// is free.
func (b *Broker) Now() time.Time { return time.UnixMilli(b.clock.Load()) }

// NextID is a number that no other object of the broker has, in this life of it.
func (b *Broker) NextID() uint64 { return b.ids.Add(1) }
