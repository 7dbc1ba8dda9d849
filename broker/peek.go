package broker

import (
	"cmp"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
)

// Which of a queue's messages Session.Peek shows.
type Which = store.Which

const (
	AllMessages  = store.All
	OnlyReady    = store.OnlyReady
	OnlyUnacked  = store.OnlyClaimed
	peekIDShift  = 45 // so that a lane fits beside a number within what JavaScript counts exactly
	peekIDNumber = 1<<peekIDShift - 1
)

// Peeked is a message as Session.Peek shows it. Slices and Large are valid during the
// call that hands it over.
type Peeked struct {
	Position             int // in the queue; see Session.Peek
	ID                   uint64
	Unacked              bool
	Redelivered          bool
	DeliveryCount        uint32 // how often it was requeued
	Published            int64  // ms since 1970
	Expires              int64  // likewise; 0: never
	Exchange, RoutingKey []byte
	Props                amqp.Properties
	Body                 []byte
	Large                *Large // the body where it lies in a file; Body is then nil
	Size                 int64  // of the body, in bytes
	// Err says why the message cannot be read; then nothing is known of its content.
	Err error
}

// Peek calls fn with up to most messages of a queue, until it returns false: those at a
// position and behind it, as far as they are wanted. Nothing changes by that, not even
// what is redelivered. Position counts the ready and the unacked messages from the head
// of the queue, the first of the highest priority being 0; one that is millions deep
// costs about what the head does. What comes and goes meanwhile may be left out.
//
// next is the position to go on from, -1: none is behind. Who may read the queue may
// peek, also into one that is exclusive to another connection.
func (s *Session) Peek(queue string, position, most int, which Which, fn func(p *Peeked) bool) (next int, err error) {
	queue = cleanName(queue)
	if err := s.mayRead(resourceQueue, queue); err != nil {
		return 0, err
	}
	q := s.v.queue(queue)
	if q == nil {
		return 0, errNoQueue(queue, s.v.name)
	}
	return q.peek(max(position, 0), most, which, fn), nil
}

func (q *localQueue) peek(position, most int, which Which, fn func(p *Peeked) bool) (next int) {
	set := q.settings()
	lanes, tags := q.lanes(), []uint64{0}
	if s := q.more.Load(); s != nil {
		lanes, tags = s.queues, s.tags
	}
	before, ended := 0, false // messages of the lanes before
	for i, sq := range lanes {
		ready, unacked, _ := sq.Counts()
		n := ready + unacked
		if position >= before+n && i < len(lanes)-1 {
			before += n
			continue
		}
		next = sq.Peek(position-before, most, which, func(it *store.Peeked) bool {
			p := set.peeked(it)
			p.Position += before
			p.ID = tags[i]>>laneShift<<peekIDShift | it.Seq&peekIDNumber
			most--
			ended = !fn(&p)
			return !ended
		})
		switch {
		case next >= 0:
			return before + next
		case i == len(lanes)-1:
			return -1
		case ended || most == 0:
			return before + n
		}
		before += n
		position = before
	}
	return -1
}

// peeked shows a message of the store.
func (set *settings) peeked(it *store.Peeked) Peeked {
	p := Peeked{Position: it.Position, Unacked: it.Claimed, Redelivered: it.Redelivered, DeliveryCount: it.Count, Err: it.Err}
	if it.Err != nil {
		return p
	}
	p.Published, p.Expires = it.Time, it.Expires
	if p.Expires == store.AtOnce {
		p.Expires = it.Time
	}
	if set.ttl >= 0 {
		if at := it.Time + set.ttl.Milliseconds(); p.Expires == 0 || at < p.Expires {
			p.Expires = at
		}
	}
	p.Exchange, p.RoutingKey, p.Props = it.Exchange, it.RoutingKey, it.Props
	if set.quorum {
		p.Props = withCount(it.Props, it.Count)
	}
	p.Body, p.Large, p.Size = it.Body, it.Large, it.Size()
	return p
}

// Footprint is where a queue's messages lie, and what they take there.
type Footprint = store.Footprint

// Footprint tells where a queue's messages lie: ErrNoVHost, ErrNoQueue.
func (b *Broker) Footprint(vhost, queue string) (Footprint, error) {
	v := b.vhost(vhost)
	if v == nil {
		return Footprint{}, ErrNoVHost
	}
	q := v.queue(queue)
	if q == nil {
		return Footprint{}, ErrNoQueue
	}
	return q.footprint(), nil
}

func (q *localQueue) footprint() Footprint {
	lanes := q.lanes()
	sum := lanes[0].Footprint()
	for _, sq := range lanes[1:] {
		f := sq.Footprint()
		for _, p := range []struct{ to, more *store.Place }{{&sum.Log, &f.Log}, {&sum.Large, &f.Large}, {&sum.Memory, &f.Memory}, {&sum.Spilled, &f.Spilled}} {
			p.to.Messages += p.more.Messages
			p.to.Bytes += p.more.Bytes
		}
		sum.Log.Files = max(sum.Log.Files, f.Log.Files) // which lanes share
		sum.Large.Files += f.Large.Files
		for _, s := range f.Segments {
			i, found := slices.BinarySearchFunc(sum.Segments, s, func(x, y store.SegmentShare) int { return cmp.Compare(x.File, y.File) })
			if !found {
				sum.Segments = slices.Insert(sum.Segments, i, s)
				continue
			}
			all := &sum.Segments[i]
			all.Messages += s.Messages
			all.Raw += s.Raw
			all.Stored += s.Stored
			all.Estimated = all.Estimated || s.Estimated
		}
	}
	return sum
}

// HeadTime is the property timestamp of the message at the head of a queue's ready
// ones, in seconds since 1970; ok is false where there is none. It may read from disk.
func (b *Broker) HeadTime(vhost, queue string) (seconds int64, ok bool) {
	v := b.vhost(vhost)
	if v == nil {
		return 0, false
	}
	q := v.queue(queue)
	if q == nil {
		return 0, false
	}
	q.peek(0, 1, OnlyReady, func(p *Peeked) bool {
		if at, has := p.Props.Timestamp(); has && p.Err == nil && at <= 1<<62 {
			seconds, ok = int64(at), true
		}
		return false
	})
	return seconds, ok
}
