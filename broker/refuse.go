package broker

import (
	"slices"

	"github.com/leveret-mq/leveret/store"
)

// refusal is a delivery that will not come back to its queue.
type refusal struct {
	q   *localQueue
	seq uint64 // with the lane
	why reason
}

// refuse records that a delivery is to be buried. Its body is looked at by Flush,
// behind all else that the batch has.
func (q *localQueue) refuse(b *Batch, seq uint64, why reason) {
	if q.settings().dlx == nil {
		b.cur.Ack(q.lane(seq))
		return
	}
	b.refused = append(b.refused, refusal{q, seq, why})
}

// returnedTooOften tells whether another return to its queue would be one too many.
func (q *localQueue) returnedTooOften(sq *store.Queue, seq uint64) bool {
	limit := q.settings().deliveryLimit
	return limit >= 0 && int64(sq.Requeued(seq)) >= int64(limit)
}

// nextRefused cuts off the first refusals of one queue and reason, as many as are
// read at once.
func (b *Batch) nextRefused() (run refusal, sq *store.Queue) {
	run = b.refused[0]
	sq, _ = run.q.lane(run.seq)
	b.seqs = b.seqs[:0]
	n := 0
	for _, f := range b.refused {
		lane, seq := f.q.lane(f.seq)
		if f.q != run.q || f.why != run.why || lane != sq || n == maxRun {
			break
		}
		b.seqs = append(b.seqs, seq)
		n++
	}
	b.refused = b.refused[n:]
	return run, sq
}

// buryRefused buries what was refused.
func (b *Batch) buryRefused(r *runner) {
	all := b.refused
	for len(b.refused) > 0 {
		run, sq := b.nextRefused()
		run.q.burySeqs(r, run.why, sq, b.seqs)
	}
	if b.refused = all[:0]; cap(all) > settleStep {
		b.refused = nil
	}
}

// atomicBytes is how much of dead letters becomes part of a transaction.
const atomicBytes = 32 << 20

// buryInside makes the dead letters of a transaction part of it, as far as they are
// not too much; what is left stays in refused, and so does what takes its time: that
// is buried when the transaction has happened.
func (b *Batch) buryInside(r *runner) {
	l := r.deadLetters()
	c := &r.doomed.claim
	var left []refusal
	for len(b.refused) > 0 && l.bytes < atomicBytes {
		from := b.refused
		run, sq := b.nextRefused()
		w := run.q.will(run.why)
		n, _ := sq.Read(c, b.seqs)
		b.refused = from[n:]
		done := 0
		for i := range c.Items {
			it := &c.Items[i]
			// The claim's memory goes before the transaction is applied.
			it.Body, it.RoutingKey, it.Props = slices.Clone(it.Body), slices.Clone(it.RoutingKey), slices.Clone(it.Props)
			for b.seqs[done] != it.Seq {
				left = append(left, from[done])
				done++
			}
			if l.add(r, b.cur, &w, sq, it) == later {
				left = append(left, from[done])
			}
			done++
		}
		left = append(left, from[done:n]...)
		c.Release()
		if n == 0 { // it cannot be read at the moment
			left = append(left, b.refused[0])
			b.refused = b.refused[1:]
		}
	}
	b.refused = append(left, b.refused...)
}

// buryRefusals dead-letters the publishes of a store batch that a queue with
// x-overflow reject-publish-dlx has refused.
func (b *Batch) buryRefusals(r *runner, batch *store.Batch) {
	defer batch.DropRefusals()
	if b.atomic {
		return // it has no effect at all
	}
	for _, f := range batch.Refusals() {
		q := b.bounded(f.Queue)
		if q == nil || !q.settings().rejectDLX {
			continue
		}
		w := q.will(maxlen)
		if w.x == nil {
			continue
		}
		if f.Large != nil {
			f.Large.Retain()
			q.carry(parcel{lane: f.Queue, why: maxlen, refused: &refused{cloneMessage(&f.Message), f.Large}})
			continue
		}
		l := r.deadLetters()
		dead, queues := l.address(&w, f.Message)
		if l.send(r, l.batch, dead, nil, queues); l.bytes >= letterBytes {
			l.apply(r.b)
		}
	}
	if r != nil && r.letters != nil {
		r.letters.apply(r.b)
	}
}

// bounded is the queue with bounds, of those that the batch publishes to, to which a
// queue of the store belongs.
func (b *Batch) bounded(sq *store.Queue) *localQueue {
	for i := range b.limited {
		if q := b.limited[i].queue; slices.Contains(q.lanes(), sq) {
			return q
		}
	}
	return nil
}
