package broker

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/broker/death"
	"github.com/leveret-mq/leveret/store"
)

// How messages leave a queue other than by an ack, a purge or its deletion.
//
// They are claimed under the queue's lock: from then on they are unacked, and
// nobody else sees them. Then, with no lock held, they are buried: what has a
// dead-letter exchange goes there, the rest is gone. Dead letters are routed and
// published under no queue's lock, since the next queue may have its own to bury,
// and cycles of queues are usual.

// reason is why a message is buried.
type reason uint8

const (
	rejected      reason = iota // by a consumer, for good
	expired                     // its time to live, or its queue's, is over
	maxlen                      // the queue is at its bounds
	deliveryLimit               // it came back too often
)

// String is what RabbitMQ calls it.
func (why reason) String() string {
	return [...]string{death.Rejected, "expired", "maxlen", "delivery_limit"}[why]
}

// doomed is what a step has claimed to be buried: messages of one store queue, for
// one reason.
type doomed struct {
	why   reason
	queue *store.Queue
	claim store.Claim
	turn  uint64
}

// graves sees to it that messages are buried in the order in which they were
// doomed, whoever does it. It is a leaf: who has the turn takes other locks, but
// waits for no other turn.
type graves struct {
	doomed uint64 // turns given out; under localQueue.mu

	mu     sync.Mutex
	ended  sync.Cond
	buried uint64 // turns that are over

	// For letters that cannot go at once; see carry.go.
	parcels  []parcel
	kept     int // of parcels, and of those that carryAll has
	full     atomic.Bool
	carrying bool
	cycle    bool // one was logged
}

// tomb returns the queue's graves. Under mu.
func (q *localQueue) tomb() *graves {
	if q.graves == nil {
		q.graves = new(graves)
		q.graves.ended.L = &q.graves.mu
	}
	return q.graves
}

// doom leaves it to the caller of the step to bury what r.doomed.claim has taken
// of sq, which must be something. Under mu.
func (q *localQueue) doom(r *runner, sq *store.Queue, why reason) outcome {
	g := q.tomb()
	r.doomed.why, r.doomed.queue, r.doomed.turn = why, sq, g.doomed
	g.doomed++
	return mustBury
}

// bury ends what doom began, and says how many messages that were. No lock is
// held. It is to be called before the next step.
func (q *localQueue) bury(r *runner) int {
	d, g := &r.doomed, q.graves
	g.mu.Lock()
	for g.buried != d.turn {
		g.ended.Wait()
	}
	g.mu.Unlock()
	n := len(d.claim.Items)
	w := q.will(d.why)
	if d.why == expired && d.claim.Seqs {
		w = will{q: q, set: new(settings), why: expired} // nobody wanted their bodies, whoever does now
	}
	q.buryItems(r, &w, d.queue, d.claim.Items)
	d.claim.Release()
	g.mu.Lock()
	g.buried++
	g.ended.Broadcast()
	g.mu.Unlock()
	r.buried += n
	return n
}

// buryItems buries claimed messages of sq: each is gone, or a dead letter, or still
// claimed, and its graves know of it.
func (q *localQueue) buryItems(r *runner, w *will, sq *store.Queue, items []store.Item) {
	l := r.deadLetters()
	for i := range items {
		it := &items[i]
		if l.add(r, l.batch, w, sq, it) == later {
			q.carry(parcel{lane: sq, seq: it.Seq, why: w.why})
		}
		if l.bytes >= letterBytes {
			l.apply(r.b)
		}
	}
	l.apply(r.b)
}

var errUnreadableLetter = errors.New("it was to be dead-lettered, and cannot be read")

// burySeqs is buryItems for messages that consumers had.
func (q *localQueue) burySeqs(r *runner, why reason, sq *store.Queue, seqs []uint64) {
	c, w := &r.doomed.claim, q.will(why)
	for len(seqs) > 0 {
		n, err := sq.Read(c, seqs)
		q.buryItems(r, &w, sq, c.Items)
		leftOut(sq, c.Items, seqs[:n])
		c.Release()
		if seqs = seqs[n:]; err != nil {
			q.carry(parcel{lane: sq, seq: seqs[0], why: why}) // which tries again
			seqs = seqs[1:]
		}
	}
}

// leftOut sets aside what Read could not read.
func leftOut(sq *store.Queue, items []store.Item, seqs []uint64) {
	if len(items) == len(seqs) || sq.Deleted() {
		return
	}
	for _, seq := range seqs {
		if len(items) > 0 && items[0].Seq == seq {
			items = items[1:]
		} else {
			sq.SetAside(seq, errUnreadableLetter)
		}
	}
}

// follow has the queues deliver to which dead letters have gone, and bury in turn
// what is too much there. Nothing calls itself: a queue that is reached again comes
// to the end of the list.
func (r *runner) follow() {
	for _, d := range r.delayed {
		d.arm()
	}
	clear(r.delayed)
	r.delayed = r.delayed[:0]
	for len(r.reached) > 0 {
		q := r.reached[0]
		last := copy(r.reached, r.reached[1:])
		r.reached[last] = nil
		r.reached = r.reached[:last]
		if q.tooLong() {
			q.settleLength(r)
		} else {
			q.deliver(r)
		}
	}
}

// reach notes queues to which dead letters go.
func (r *runner) reach(queues []Queue) {
	for _, each := range queues {
		if q, ok := each.(*localQueue); ok && !slices.Contains(r.reached, q) {
			r.reached = append(r.reached, q)
		}
	}
}
