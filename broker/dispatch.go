package broker

import (
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// How delivery runs.
//
// Whoever gives cause (a publish, a requeue, a consumer that may take again)
// calls deliver. The first one gets the token and dispatches; those that come
// while it is out only count up work and leave: the dispatcher gives the token
// back by exchanging the count that it saw before its last look for 0, which
// fails if anybody came since. So no cause is lost, nobody waits, and a queue
// has one dispatcher.
//
// The publishing path must not serve others for ever, nor wait for a disk. So
// a dispatcher has a budget; where that is spent, where the next message must
// be read from a file, or may not leave before the log knows of it, the token
// goes to a goroutine of the queue, which ends when it has caught up.
//
// Consumers are told apart as ready and not ready under the queue's lock. One
// that refused, or had no room, is not ready until it is touched: that puts it
// on the stack touched before the cause is counted, so a dispatcher that looked
// at its credit too early looks again.

// runner is what one dispatcher needs: scratch memory, and what is to be done
// at the end. Runners are pooled.
type runner struct {
	b      *Broker
	claim  store.Claim
	ds     []Delivery
	sinks  []Sink // to flush
	budget int    // how many messages may be delivered for one queue before its goroutine takes over
	wait   wal.LSN

	doomed  doomed        // what the last step left to be buried
	buried  int           // how many messages this runner has buried
	reached []*localQueue // where dead letters have gone, and nobody has delivered yet
	letters *letters      // nil: not needed yet
	delayed []*delays     // where dead letters wait, or messages that were delayed before

	counting     *vhost // what counts are of; nil: nothing was counted
	countingKind stats.QueueType
	counts       stats.Counts
}

const (
	// baseBudget is what anybody may deliver who runs into delivery.
	baseBudget = 1024
	// lookCost bounds how often a dispatcher looks anew at a queue whose other
	// users keep it busy.
	lookCost = 16
	// maxSinks is how far back a sink is searched for among those to flush. A
	// second flush does no harm.
	maxSinks = 16
	// readTries is how often basic.get tries to read a message that may be
	// readable a little later; the store has logged why it is not, and sets aside
	// what never will be.
	readTries = 100
	// Pauses between such tries.
	readPause    = 10 * time.Millisecond
	readPauseMax = time.Second
	// holdPause is how long basic.get waits for who gives very many messages back.
	holdPause = time.Millisecond
)

func (b *Broker) runner() *runner {
	r := b.runners.Get().(*runner)
	r.budget, r.buried = baseBudget, 0
	return r
}

// done delivers dead letters, flushes the sinks and gives the runner back.
func (r *runner) done() {
	r.follow()
	r.flush()
	r.b.runners.Put(r)
}

func (r *runner) flush() {
	r.settleCounts()
	for i, s := range r.sinks {
		s.Flush()
		r.sinks[i] = nil
	}
	r.sinks = r.sinks[:0]
}

// took notes a sink to flush.
func (r *runner) took(s Sink) {
	for i := len(r.sinks) - 1; i >= 0 && i >= len(r.sinks)-maxSinks; i-- {
		if r.sinks[i] == s {
			return
		}
	}
	r.sinks = append(r.sinks, s)
}

// outcome is where a step of dispatching stopped.
type outcome uint8

const (
	caughtUp outcome = iota // nothing is ready, or nobody to take it
	more                    // a run was delivered, there may be more
	mustRead                // the next message is not in memory
	mustWait                // until runner.wait is durable
	mustBury                // runner.doomed has messages to bury, now
	mustHold                // until hold lets go
)

func (q *localQueue) touch(c *Consumer) {
	if !c.inTouched.CompareAndSwap(false, true) {
		return // it stands there, and whoever takes it off has not looked yet
	}
	for {
		head := q.touched.Load()
		c.touchNext = head
		if q.touched.CompareAndSwap(head, c) {
			return
		}
	}
}

// admit makes the touched consumers ready, in the order of their touches. Under
// mu.
func (q *localQueue) admit() {
	if q.touched.Load() == nil {
		return
	}
	var first *Consumer
	for c := q.touched.Swap(nil); c != nil; {
		next := c.touchNext
		c.touchNext, first = first, c
		c = next
	}
	for c := first; c != nil; {
		next := c.touchNext
		c.touchNext = nil
		// From here on another touch may put it on the stack again, before its
		// credit is looked at: that costs one look more.
		c.inTouched.Store(false)
		c.begun = true
		if q.active == nil || q.active == c {
			q.makeReady(c)
		}
		c = next
	}
}

// makeReady puts a consumer among those that may be offered messages. Under mu.
func (q *localQueue) makeReady(c *Consumer) {
	if c.attached && !c.ready {
		c.level.push(c)
		if q.waiting.Add(1) == 1 {
			q.able(true)
		}
	}
}

func (q *localQueue) deliver(r *runner) {
	// Nobody there to deliver to, the usual case of a queue that fills up. A
	// dispatcher that is just admitting somebody claims after that, so it sees
	// what the caller brought.
	if !q.overdue() && q.idle() || q.work.Add(1) != 1 {
		return
	}
	for budget := r.budget; ; budget -= lookCost {
		seen := q.work.Load()
		out, given := q.step(r, false)
		switch out {
		case caughtUp:
			if q.work.CompareAndSwap(seen, 0) {
				return
			}
		case mustRead, mustWait:
			q.handOver(out, r.wait)
			return
		case mustBury:
			given += q.bury(r)
		}
		if budget -= given; budget <= 0 {
			q.handOver(more, 0)
			return
		}
	}
}

// handOver gives the token to a goroutine of the queue.
func (q *localQueue) handOver(out outcome, wait wal.LSN) {
	if !q.v.b.spawn(func() { q.dispatch(out, wait) }) {
		q.work.Store(0) // the broker is closing: nobody is there to deliver to
	}
}

// carryOn has a goroutine of the queue deliver and bury, whether there are consumers
// or not.
func (q *localQueue) carryOn() {
	if q.work.Add(1) == 1 {
		q.handOver(more, 0)
	}
}

// dispatch delivers until the queue has caught up. It holds the token.
func (q *localQueue) dispatch(out outcome, wait wal.LSN) {
	r := q.v.b.runner()
	defer r.done()
	for pause := readPause; ; {
		if out == mustWait {
			// Where the log has failed no message needs it any more.
			q.v.b.store.Wait(wait)
		}
		if q.v.b.closing.Load() {
			q.work.Store(0)
			return
		}
		seen := q.work.Load()
		out, _ = q.step(r, true)
		if out == mustBury {
			q.bury(r)
			r.follow()
			r.buried = 0
		}
		r.flush()
		wait = r.wait
		switch out {
		case caughtUp:
			if q.work.CompareAndSwap(seen, 0) {
				return
			}
		case mustRead:
			// What is damaged is out of the way by now: this is a trouble that may
			// pass, such as too many open files.
			q.v.b.pause(pause)
			pause = min(2*pause, readPauseMax)
		default:
			pause = readPause
		}
	}
}

// step claims and offers up to a run of messages.
func (q *localQueue) step(r *runner, disk bool) (outcome, int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stepLocked(r, disk)
}

// stepLocked is step with mu held. It returns how many messages were taken.
func (q *localQueue) stepLocked(r *runner, disk bool) (out outcome, given int) {
	q.admit()
	if q.held > 0 || q.overfull() {
		return caughtUp, 0
	}
	if out = q.expire(r, disk, false); out != caughtUp {
		return out, 0
	}
	for given < maxRun {
		l := q.readyLevel()
		if l == nil {
			if out = q.expire(r, disk, true); out != caughtUp {
				return out, given
			}
			return q.shorten(r, disk), given
		}
		want := q.measure(l)
		if want == 0 {
			continue // nobody there has room after all
		}
		claim := &r.claim
		if disk {
			q.keepAhead()
		}
		if q.cold != nil {
			claim = q.cold
		}
		tag, status := q.claim(claim, min(want, int(q.run)), disk)
		switch status {
		case store.Empty:
			q.dropAhead()
			return caughtUp, given
		case store.Cold:
			return mustRead, given
		case store.Unmarked:
			r.wait = claim.WaitFor
			return mustWait, given
		}
		if n := q.unexpired(claim.Items); n < len(claim.Items) {
			sq, _ := q.lane(tag)
			sq.Unclaim(claim, n)
			if n == 0 {
				return q.expire(r, disk, true), given
			}
		}
		given += q.hand(r, l, claim, tag)
	}
	return more, given
}

// maxAhead is how many queues keep what they have read ahead between their runs,
// up to a mebibyte each. Others read anew.
const maxAhead = 64

// keepAhead gives the queue a claim of its own, which keeps what was read ahead
// for the next run: with a small prefetch a run takes few messages, and most
// then need no read. Under mu.
func (q *localQueue) keepAhead() {
	if q.cold != nil {
		return
	}
	if q.v.b.ahead.Add(1) > maxAhead {
		q.v.b.ahead.Add(-1)
		return
	}
	q.cold = new(store.Claim)
}

// dropAhead is the reverse of keepAhead. Under mu.
func (q *localQueue) dropAhead() {
	if q.cold != nil {
		q.cold = nil
		q.v.b.ahead.Add(-1)
	}
}

// readyLevel is the highest priority at which somebody may take a message.
func (q *localQueue) readyLevel() *level {
	for _, l := range q.levels {
		if l.n > 0 {
			return l
		}
	}
	return nil
}

// setAside takes a consumer out of those that are ready. Under mu.
func (q *localQueue) setAside(c *Consumer) {
	if c.ready {
		c.level.drop(c)
		if q.waiting.Add(-1) == 0 {
			q.able(false)
		}
	}
}

// idle tells, without mu, that no consumer is ready to take a message.
func (q *localQueue) idle() bool { return q.waiting.Load() == 0 && q.touched.Load() == nil }

// measure asks the ready consumers of a level for their room, as far as a run
// goes, and sets those aside that have none.
func (q *localQueue) measure(l *level) int {
	total := 0
	c := l.head
	for range l.n {
		next := c.next
		c.room = c.sink.Room(c)
		if c.room <= 0 {
			q.setAside(c)
		} else if total += min(c.room, maxRun); total >= maxRun {
			break
		}
		c = next
	}
	return total
}

// hand offers what was claimed to the consumers of a level: whole where there
// is only one, else in turn, a message each. What nobody takes goes back. It
// returns how many were taken.
func (q *localQueue) hand(r *runner, l *level, claim *store.Claim, tag uint64) int {
	ds := r.deliveries(q, claim.Items, tag)
	given := 0
	var sum stats.Counts
	for given < len(ds) && l.n > 0 {
		c := l.head
		n := q.offer(r, l, ds[given:])
		if c.spec.NoAck {
			q.ackTaken(ds[given : given+n])
			sum.DeliverNoAck += uint64(n)
		} else {
			sum.Deliver += uint64(n)
		}
		given += n
	}
	if given > 0 {
		for i := range ds[:given] {
			if ds[i].Redelivered {
				sum.Redeliver++
			}
		}
		r.count(q, &sum)
	}
	// Where bodies are large the out buffer takes only some of a run: claim less
	// the next time.
	if given < len(ds) {
		sq, _ := q.lane(tag)
		sq.Unclaim(claim, given)
		q.run = int32(max(given, 8))
	} else {
		q.run = min(2*q.run, maxRun)
	}
	clear(ds)
	claim.Release()
	if q.acks != nil && q.acks.Len() > 0 {
		// They need no durability, and where the log has failed there is no
		// place to say so: the front end hears of it by its own batches.
		q.v.b.store.Apply(q.acks, wal.Lazy, nil)
		q.acks.Reset()
	}
	return given
}

// offer offers leading messages to the consumer of a level whose turn it is: all
// where there is no other, else one. It returns how many were taken. Under mu.
func (q *localQueue) offer(r *runner, l *level, ds []Delivery) int {
	c := l.head
	if c.room <= 0 {
		if c.room = c.sink.Room(c); c.room <= 0 {
			q.setAside(c)
			return 0
		}
	}
	offered := 1
	if l.n == 1 {
		offered = min(len(ds), c.room)
	}
	n := c.sink.Offer(c, ds[:offered])
	if n > 0 {
		r.took(c.sink)
	}
	c.room -= n
	if n < offered {
		q.setAside(c)
	} else {
		// Where its room is used up it is asked again before it is set aside:
		// only then does the front end know that it waits for a touch.
		l.turn()
	}
	return n
}

func (q *localQueue) ackTaken(ds []Delivery) {
	batch := q.acksBatch()
	for i := range ds {
		batch.Ack(q.lane(ds[i].Seq))
	}
}

// deliveries shows messages claimed from the lane that tag names to sinks.
func (r *runner) deliveries(q *localQueue, items []store.Item, tag uint64) []Delivery {
	r.ds = r.ds[:0]
	for i := range items {
		it := &items[i]
		r.ds = append(r.ds, Delivery{})
		d := &r.ds[i] // set in place: see store.Batch.Add
		d.Queue, d.Seq, d.Redelivered = q, tag|it.Seq, it.Redelivered
		d.Exchange, d.RoutingKey, d.Props, d.Body, d.Large = it.Exchange, it.RoutingKey, it.Props, it.Body, it.Large
	}
	if q.settings().quorum {
		for i := range items {
			r.ds[i].Props = withCount(items[i].Props, items[i].Count)
		}
	}
	return r.ds
}

// deliveryCount is the header that a quorum queue's deliveries have from the second
// on: how often the message came back before.
const deliveryCount = "x-delivery-count"

// withCount sets that header. What a client has written there goes.
func withCount(props amqp.Properties, count uint32) amqp.Properties {
	headers := props.Headers()
	switch {
	case count > 0:
		headers = headers.With(deliveryCount, amqp.Int64(int64(count)))
	case headers.Has(deliveryCount):
		headers = headers.Without(deliveryCount)
	default:
		return props
	}
	out, err := props.Edit().SetHeaders(headers).Properties()
	if err != nil {
		return props
	}
	return out
}

// Delivery is a message on its way to a consumer. The slices are valid during
// the call that hands it over.
type Delivery struct {
	Queue                Queue
	Seq                  uint64
	Redelivered          bool
	Direct               bool // the message was never in the queue, and is kept nowhere else
	Exchange, RoutingKey []byte
	Props, Body          []byte
	// Large is the body where it lies in a file; Body is then nil.
	Large *Large
}
