package broker

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/store"
)

// Messages expire when their property expiration says so, or their queue's time to
// live, whichever is first; behind the head of the queue too, and whether or not there
// are consumers. What has expired is buried (bury.go) and not delivered: each step of
// delivery looks first. Nobody there to look, the broker's clock does.
//
// A message whose time is 0 is delivered if a consumer is ready for it, and expires
// else. So a step expires it when it has run out of consumers, and not before.
//
// Of queues whose messages do not expire nothing is asked but an atomic number.

// expireMost is how many messages expire in one step where nobody wants their bodies.
const expireMost = 4096

// nextExpiry is a time before which no ready message expires: see
// store.Queue.NextExpiry.
func (q *localQueue) nextExpiry() int64 {
	s := q.more.Load()
	if s == nil {
		return q.one[0].NextExpiry()
	}
	next := int64(0)
	for _, sq := range s.queues {
		if at := sq.NextExpiry(); at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// overdue tells whether some message has expired; if one will, the clock sees to it.
func (q *localQueue) overdue() bool {
	at := q.nextExpiry()
	if at == 0 {
		return false
	}
	if at <= time.Now().UnixMilli() {
		return true
	}
	q.await(at)
	return false
}

// await has messages expire at that time, in ms since 1970, if the clock has no
// earlier one for that.
func (q *localQueue) await(at int64) {
	a := q.alarm.Load()
	if a == nil {
		q.alarm.CompareAndSwap(nil, &alarm{deadline: deadline{do: q.ring}})
		a = q.alarm.Load()
	}
	a.ringAt(q.v.b, at)
}

// alarm is a deadline that is set to earlier and earlier times.
type alarm struct {
	awaited atomic.Int64 // what it is set to, in ms since 1970; 0: it is not
	deadline
}

// ringAt has the alarm ring at that time, if it does not before.
func (a *alarm) ringAt(b *Broker, at int64) {
	for {
		old := a.awaited.Load()
		if old != 0 && old <= at {
			return
		}
		if a.awaited.CompareAndSwap(old, at) {
			break
		}
	}
	b.expiry.at(time.UnixMilli(at), &a.deadline)
}

// ring is called by the clock.
func (q *localQueue) ring() {
	q.alarm.Load().awaited.Store(0)
	q.carryOn()
}

// expire dooms what has expired; atOnce, what has no time to wait too. It returns
// caughtUp where there is nothing of the kind. Under mu.
func (q *localQueue) expire(r *runner, disk, atOnce bool) outcome {
	at := q.nextExpiry()
	if at == 0 {
		return caughtUp
	}
	now := time.Now().UnixMilli()
	if at > now {
		q.await(at)
		return caughtUp
	}
	c := &r.doomed.claim
	c.Seqs, c.AtOnce = q.settings().dlx == nil, atOnce
	most := maxRun
	if c.Seqs {
		most = expireMost
	}
	for _, sq := range q.lanes() {
		if at := sq.NextExpiry(); at == 0 || at > now {
			continue
		}
		switch sq.ClaimExpired(c, now, most, disk) {
		case store.Cold:
			return mustRead
		case store.Claimed:
			return q.doom(r, sq, expired)
		}
	}
	if at = q.nextExpiry(); at > now {
		q.await(at)
	}
	return caughtUp
}

// unexpired is how many of claimed messages, from the first on, may be delivered. That
// all may is usual: expire has looked. But where the times of publication do not
// ascend, the queue's time to live has passed by some.
func (q *localQueue) unexpired(items []store.Item) int {
	ttl := q.settings().ttl
	if ttl < 0 {
		return len(items)
	}
	now := time.Now().UnixMilli()
	for i := range items {
		if it := &items[i]; ttl > 0 && it.Time+ttl.Milliseconds() < now || ttl == 0 && it.Redelivered {
			return i
		}
	}
	return len(items)
}

// setTTL tells the store the queue's time to live.
func (q *localQueue) setTTL() {
	q.mu.Lock() // against a lane that is just being made
	defer q.mu.Unlock()
	for _, sq := range q.lanes() {
		sq.SetTTL(q.settings().storeTTL())
	}
}

// storeTTL is the time to live as the store has it.
func (s *settings) storeTTL() int64 {
	if s.ttl < 0 {
		return -1
	}
	return s.ttl.Milliseconds()
}

// expiresIn is when a message expires that has so many ms from now on.
func (b *Batch) expiresIn(ms int64) int64 {
	if ms == 0 {
		return store.AtOnce
	}
	return b.in(ms)
}

// in is the time in so many ms: not before they have wholly passed.
func (b *Batch) in(ms int64) int64 {
	if b.now == 0 {
		b.now = store.Millis(time.Now())
	}
	return b.now + min(ms, math.MaxInt64/4)
}
