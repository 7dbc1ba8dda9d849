package broker

import (
	"slices"

	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Bounds on a queue's length count ready messages, as in RabbitMQ: a message
// that a consumer takes at once counts for nothing. A batch that put all its
// messages into a queue before it delivered any would drop or refuse messages
// that RabbitMQ delivers. So, where a queue with a bound and with consumers that
// are ready could pass it, the batch is cut: what was gathered before is applied
// and delivered before the next message comes. Where nobody is ready there is
// nothing to deliver in between, and the batch stays whole.

// pending is what a batch holds for a queue with bounds since its last cut.
type pending struct {
	queue    *localQueue
	messages int64
	bytes    int64
}

// mindLimits notes a publish to a route with bounded queues, and cuts the batch
// before it where it must.
func (b *Batch) mindLimits(r *route, body int) {
	if !b.atomic && slices.ContainsFunc(r.queues, func(q Queue) bool { return b.mustCut(q, int64(body)) }) {
		b.cut()
	}
	for _, each := range r.queues {
		if q, ok := each.(*localQueue); ok && q.settings().limited() {
			p := b.pending(q)
			p.messages++
			p.bytes += int64(body)
		}
	}
}

// mustCut tells whether a message of that many bytes could pass a queue's bounds
// only because what was gathered before it has not been delivered yet.
func (b *Batch) mustCut(each Queue, body int64) bool {
	q, ok := each.(*localQueue)
	if !ok || !q.settings().limited() || q.idle() {
		return false
	}
	p := b.pending(q)
	if p.messages == 0 {
		return false
	}
	ready, _, bytes := q.messages()
	return q.settings().maxLength >= 0 && int64(ready)+p.messages+1 > q.settings().maxLength ||
		q.settings().maxBytes >= 0 && bytes+p.bytes+body > q.settings().maxBytes
}

func (b *Batch) pending(q *localQueue) *pending {
	for i := range b.limited {
		if b.limited[i].queue == q {
			return &b.limited[i]
		}
	}
	b.limited = append(b.limited, pending{queue: q})
	return &b.limited[len(b.limited)-1]
}

// cut ends the part that is being gathered.
func (b *Batch) cut() {
	b.storeDirect(0)
	if b.cur.Len() == 0 {
		return
	}
	b.parts = append(b.parts, part{b.cur, len(b.index)})
	if n := len(b.spare); n > 0 {
		b.cur, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		b.cur = b.s.b.store.NewBatch()
	}
	for i := range b.limited {
		b.limited[i].messages, b.limited[i].bytes = 0, 0
	}
}

// settleLength delivers what can be delivered and drops what then is too much.
// It does not ask for the dispatcher's token: whoever holds that works under mu
// too, and must not be found in the middle.
func (q *localQueue) settleLength(r *runner) {
	out := mustBury
	for out == mustBury && r.buried < r.budget {
		q.mu.Lock()
		for out = more; out == more; {
			out, _ = q.stepLocked(r, false)
		}
		q.mu.Unlock()
		if out == mustBury {
			q.bury(r)
		}
	}
	switch {
	case out == mustRead: // with or without somebody to deliver to
		if q.work.Add(1) == 1 {
			q.handOver(mustRead, 0)
		}
	case out == mustBury:
		q.carryOn()
	case out != caughtUp:
		q.deliver(r) // whose goroutine drops what it can not deliver
	}
}

// shorten takes the oldest ready messages out, where they are too many. Under mu,
// when nobody is there to take them. Without disk it does not wait for files, and
// ends with mustRead where it would have to.
func (q *localQueue) shorten(r *runner, disk bool) outcome {
	if !q.tooLong() {
		return caughtUp
	}
	set := q.settings()
	if set.dlx == nil {
		return q.trim(disk)
	}
	ready, _, bytes := q.messages()
	over, overBytes := int64(0), int64(0)
	if set.maxLength >= 0 {
		over = int64(ready) - set.maxLength
	}
	if set.maxBytes >= 0 {
		overBytes = bytes - set.maxBytes
	}
	want := over
	if overBytes > 0 {
		want = maxRun // how many that takes is not known yet
	}
	c := &r.doomed.claim
	tag, status := q.claim(c, int(min(want, maxRun)), disk)
	switch status {
	case store.Cold:
		return mustRead
	case store.Claimed:
		n := 0
		for ; n < len(c.Items) && (over > 0 || overBytes > 0); n++ {
			over--
			overBytes -= c.Items[n].Size()
		}
		sq, _ := q.lane(tag)
		sq.Unclaim(c, n)
		return q.doom(r, sq, maxlen)
	}
	return caughtUp
}

// trim is shorten where what is too much is gone: so many at a time as the store
// takes, and without reading them.
func (q *localQueue) trim(disk bool) outcome {
	for q.tooLong() {
		batch := q.acksBatch()
		sq, messages, bytes := q.firstToTrim()
		i := batch.Trim(sq, messages, bytes)
		_, err := q.v.b.store.Apply(batch, wal.Lazy, nil)
		removed := batch.Removed(i)
		batch.Reset()
		switch {
		case err != nil:
			return caughtUp
		case removed > 0:
		case !disk:
			return mustRead
		case !sq.Measure():
			return caughtUp
		}
	}
	return caughtUp
}

// firstToTrim is the lane that has the head of the queue, and what may stay in it:
// as in RabbitMQ the messages of the highest priority are dropped first.
func (q *localQueue) firstToTrim() (sq *store.Queue, messages, bytes int64) {
	messages, bytes = q.settings().maxLength, q.settings().maxBytes
	for _, lane := range q.lanes() {
		n, _, size := lane.Counts()
		switch {
		case sq != nil:
			messages, bytes = less(messages, int64(n)), less(bytes, size)
		case n > 0:
			sq = lane
		}
	}
	if sq == nil {
		sq = q.one[0]
	}
	return sq, messages, bytes
}

// less is a bound less what counts for it elsewhere.
func less(bound, n int64) int64 {
	if bound < 0 {
		return bound // none
	}
	return max(bound-n, 0)
}

// tooLong tells whether there is something to drop.
func (q *localQueue) tooLong() bool {
	if q.settings().reject || !q.settings().limited() {
		return false
	}
	ready, _, bytes := q.messages()
	return q.settings().maxLength >= 0 && int64(ready) > q.settings().maxLength || q.settings().maxBytes >= 0 && bytes > q.settings().maxBytes
}
