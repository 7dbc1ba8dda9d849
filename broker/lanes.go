package broker

import (
	"slices"

	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// A queue with x-max-priority has a queue of the store for each priority in use:
// a lane. Lane 0 is there from the beginning, as in every queue; the others are
// made when the first message of their priority is routed. The broker takes from
// the highest lane that has something ready, so that a message goes back to its
// place among those of its priority.
//
// Delivery.Seq names the lane in its high bits: the store's own numbers never
// come that far.
const (
	laneShift = 56
	seqMask   = 1<<laneShift - 1
)

// laneSet is the lanes of a queue that has more than lane 0. It never changes:
// a new lane makes a new one.
type laneSet struct {
	queues []*store.Queue // highest priority first; the last is lane 0
	tags   []uint64       // of the same, shifted to where Delivery.Seq has them
	by     []*store.Queue // by priority, nil where there is no lane
	shared *store.Shared  // bounds are on all lanes together
}

func newLaneSet(by []*store.Queue, shared *store.Shared) *laneSet {
	s := &laneSet{by: by, shared: shared}
	for priority, sq := range slices.Backward(by) {
		if sq != nil {
			s.queues = append(s.queues, sq)
			s.tags = append(s.tags, uint64(priority)<<laneShift)
		}
	}
	return s
}

// setLimits tells the store the bounds that it enforces.
func (s *laneSet) setLimits(l store.Limits) {
	l.Shared = s.shared
	for _, sq := range s.queues {
		sq.SetLimits(l)
	}
}

// lanes are the store's queues, the highest priority first. Nobody changes them.
func (q *localQueue) lanes() []*store.Queue {
	if s := q.more.Load(); s != nil {
		return s.queues
	}
	return q.one[:]
}

// lane takes a Delivery's Seq apart: the store's queue, and the number there.
func (q *localQueue) lane(seq uint64) (*store.Queue, uint64) {
	tag := seq >> laneShift
	if tag == 0 {
		return q.one[0], seq
	}
	return q.more.Load().by[tag], seq & seqMask
}

// claim takes up to most ready messages from the highest lane that has any. The
// tag is what Delivery.Seq has beside the store's number. Under mu.
func (q *localQueue) claim(c *store.Claim, most int, disk bool) (tag uint64, status store.Status) {
	s := q.more.Load()
	if s == nil {
		return 0, q.one[0].Claim(c, most, disk)
	}
	for i, sq := range s.queues {
		// A claim of an empty queue would drop what was read ahead in another.
		if ready, _, _ := sq.Counts(); ready == 0 {
			continue
		}
		if status = sq.Claim(c, most, disk); status != store.Empty {
			return s.tags[i], status
		}
	}
	return 0, store.Empty
}

// laneFor is where a message of that priority goes. It makes the lane where there
// is none; where that cannot be, since the queue is gone or the log has failed,
// the message goes to the next lower one.
func (q *localQueue) laneFor(priority uint8) *store.Queue {
	if priority == 0 {
		return q.one[0]
	}
	p := min(int(priority), q.settings().maxPriority)
	s := q.more.Load()
	if s == nil || s.by[p] == nil {
		q.addLane(p)
		if s = q.more.Load(); s == nil {
			return q.one[0]
		}
	}
	for s.by[p] == nil {
		p--
	}
	return s.by[p]
}

// addLane makes a lane. What is published to it comes later in the log than the
// record that makes it, so that nobody needs to wait.
func (q *localQueue) addLane(priority int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var by []*store.Queue
	shared := new(store.Shared)
	if s := q.more.Load(); s != nil {
		by, shared = slices.Clone(s.by), s.shared
	} else {
		by = make([]*store.Queue, q.settings().maxPriority+1)
		by[0] = q.one[0]
	}
	if q.retired || by[priority] != nil {
		return
	}
	batch := q.v.b.store.NewBatch()
	sq := batch.CreateQueue(q.durable, store.QueueOptions{})
	by[priority] = sq
	set := newLaneSet(by, shared)
	if q.durable {
		batch.Put(q.key(), q.record(q.one[0], set))
	}
	if _, err := q.v.b.store.Apply(batch, wal.Lazy, nil); err != nil {
		return
	}
	sq.SetConsuming(len(q.consumers) > 0)
	sq.SetTTL(q.settings().storeTTL())
	set.setLimits(q.settings().storeLimits())
	q.more.Store(set)
}

// record is the queue's record in the catalog. It names the store's queues, whose
// messages outlive the process with it.
func (q *localQueue) record(lowest *store.Queue, s *laneSet) []byte {
	var more []catalog.Lane
	if s != nil {
		for priority, sq := range s.by[1:] {
			if sq != nil {
				more = append(more, catalog.Lane{Priority: uint8(priority + 1), ID: sq.ID()})
			}
		}
	}
	return catalog.QueueValue(lowest.ID(), q.autoDelete, q.args, more...)
}

// locals are the store's queues for a message of that priority, where some queue
// of the route has lanes. The result is good until the next call.
func (b *Batch) locals(r *route, priority uint8) []*store.Queue {
	b.lanes = b.lanes[:0]
	for _, q := range r.queues {
		if l, ok := q.(*localQueue); ok {
			b.lanes = append(b.lanes, l.laneFor(priority))
		}
	}
	return b.lanes
}
