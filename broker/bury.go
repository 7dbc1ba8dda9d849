package broker

import (
	"sync"

	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
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
}

// doom leaves it to the caller of the step to bury what r.doomed.claim has taken
// of sq, which must be something. Under mu.
func (q *localQueue) doom(r *runner, sq *store.Queue, why reason) outcome {
	g := q.graves
	if g == nil {
		g = new(graves)
		g.ended.L = &g.mu
		q.graves = g
	}
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
	q.drop(r)
	g.mu.Lock()
	g.buried++
	g.ended.Broadcast()
	g.mu.Unlock()
	return n
}

// drop buries what has nowhere to go.
func (q *localQueue) drop(r *runner) {
	d := &r.doomed
	batch := r.batch()
	for i := range d.claim.Items {
		batch.Ack(d.queue, d.claim.Items[i].Seq)
	}
	d.claim.Release()
	// Where the log has failed the restart finds them again.
	q.v.b.store.Apply(batch, wal.Lazy, nil)
	batch.Reset()
}

// batch is a batch for what the runner buries.
func (r *runner) batch() *store.Batch {
	if r.dead == nil {
		r.dead = r.b.store.NewBatch()
	}
	return r.dead
}
