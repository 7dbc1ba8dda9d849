package broker

import (
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Get takes one message from a queue. fn is called with it, and with how many
// stay ready behind it, under the queue's lock as Sink.Offer is; where the queue
// is empty it is not called and ok is false. With noAck the message is gone.
func (s *Session) Get(queue string, noAck bool, fn func(d *Delivery, remaining int)) (ok bool, err error) {
	queue = cleanName(queue)
	if err := s.mayRead(resourceQueue, queue); err != nil {
		return false, err
	}
	q, err := s.find(queue)
	if err != nil {
		return false, err
	}
	if set := q.def().settings(); set.quorum && set.singleActive {
		return false, errNoGet(q.Name(), q.VHost())
	}
	q.def().use()
	return q.get(noAck, fn)
}

func (q *localQueue) get(noAck bool, fn func(d *Delivery, remaining int)) (bool, error) {
	b := q.v.b
	r := b.runner()
	defer r.done()
	for failed := 0; ; {
		status, out := q.getOne(r, noAck, fn)
		switch out {
		case mustBury:
			q.bury(r)
			continue
		case mustHold: // somebody is in the middle of giving back
			b.pause(holdPause)
			continue
		}
		switch status {
		case store.Claimed:
			return true, nil
		case store.Unmarked:
			// The message must be known as delivered before it leaves.
			if err := b.store.Wait(r.wait); err != nil && b.closing.Load() {
				return false, errStore(err)
			}
		case store.Cold:
			if failed++; failed == readTries {
				return false, errStore(errUnreadable)
			}
			b.pause(readPause)
		default:
			r.count(q, &stats.Counts{GetEmpty: 1})
			return false, nil
		}
	}
}

// getOne takes one message, unless there is something to bury first.
func (q *localQueue) getOne(r *runner, noAck bool, fn func(d *Delivery, remaining int)) (store.Status, outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held > 0 {
		return store.Empty, mustHold
	}
	if q.overfull() {
		return store.Empty, caughtUp
	}
	switch q.expire(r, true, true) {
	case mustBury:
		return store.Empty, mustBury
	case mustRead:
		return store.Cold, caughtUp
	}
	tag, status := q.claim(&r.claim, 1, true)
	if status != store.Claimed {
		r.wait = r.claim.WaitFor
		return status, caughtUp
	}
	if q.unexpired(r.claim.Items) == 0 {
		sq, _ := q.lane(tag)
		sq.Unclaim(&r.claim, 0)
		r.claim.Release()
		return store.Empty, q.expire(r, true, true)
	}
	ds := r.deliveries(q, r.claim.Items, tag)
	ready, _, _ := q.messages()
	fn(&ds[0], ready)
	seq := ds[0].Seq
	q.countGet(r, noAck, ds[0].Redelivered)
	clear(ds)
	r.claim.Release()
	if noAck {
		batch := q.acksBatch()
		batch.Ack(q.lane(seq))
		q.v.b.store.Apply(batch, wal.Lazy, nil)
		batch.Reset()
	}
	return status, caughtUp
}
