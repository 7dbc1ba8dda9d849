package broker

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// localQueue is a queue on the store. Its half of Queue is here; delivery is in
// dispatch.go.
type localQueue struct {
	queueDef

	// one is lane 0; more is all of them, where there are others: see lanes.go.
	one  [1]*store.Queue
	more atomic.Pointer[laneSet]

	// touched is a stack of consumers that may take again. Whoever dispatches
	// takes it whole.
	touched atomic.Pointer[Consumer]

	// work is the dispatcher's token and counts the causes for delivery since
	// it was taken; 0: nobody dispatches. See deliver.
	work atomic.Uint32

	// behind: messages that its consumers could have been handed directly had to be
	// stored, and none was handed since. See direct.go.
	behind atomic.Bool

	// alarm is when messages expire next; nil: it never was set.
	alarm atomic.Pointer[alarm]

	// For those who do not hold mu: the consumers, and those of them that are
	// ready.
	consuming atomic.Int32
	waiting   atomic.Int32

	// mu guards what follows, and all claims: from a claim to the return of
	// what nobody took it is held, so that whoever holds it sees every message
	// in its place. It is held while Sink's methods run and may be held during
	// a read from disk; the publishing path only ever takes it as dispatcher.
	mu        sync.Mutex
	retired   bool
	run       int32 // how many messages to claim at once, see hand
	held      int32 // see hold
	exclusive *Consumer
	consumers []*Consumer  // in no order; with a single active one in order of arrival
	active    *Consumer    // the only one that is served, where there is to be only one
	levels    []*level     // by falling priority
	cold      *store.Claim // see keepAhead
	acks      *store.Batch // see acksBatch
	graves    *graves      // nil: nothing was doomed yet
}

// maxRun is the most messages that are claimed at once.
const maxRun = 128

// storeLimits are the bounds that the store enforces by itself.
func (s *settings) storeLimits() store.Limits {
	bound := func(n int64) int64 {
		switch {
		case n < 0:
			return 0 // none
		case n == 0:
			return -1 // not one message
		}
		return n
	}
	return store.Limits{MaxMessages: bound(s.maxLength), MaxBytes: bound(s.maxBytes), RejectPublish: s.reject, TellRefused: s.rejectDLX && s.dlx != nil}
}

// create makes the store's queue and the catalog's record in one.
func (q *localQueue) create(t *change) error {
	sq := t.batch.CreateQueue(q.durable, store.QueueOptions{Limits: q.settings().storeLimits()})
	if q.durable {
		t.batch.Put(q.key(), q.record(sq, nil))
	}
	if err := t.apply(); err != nil {
		return err
	}
	q.lsn = t.lsn
	q.run = maxRun
	q.one[0] = sq
	sq.SetTTL(q.settings().storeTTL())
	return nil
}

// open takes the queues that the store has recovered.
func (q *localQueue) open(sq *store.Queue, more *laneSet) {
	q.run = maxRun
	q.one[0] = sq
	q.more.Store(more)
	q.setLimits()
	q.setTTL()
	if at := q.nextExpiry(); at != 0 {
		q.await(at)
	}
	// What consumers had before the restart is ready again, and may be too much.
	if q.settings().dlx == nil {
		q.trim(true)
	}
}

func (q *localQueue) Name() string        { return q.name }
func (q *localQueue) VHost() string       { return q.v.name }
func (q *localQueue) Durable() bool       { return q.durable }
func (q *localQueue) def() *queueDef      { return &q.queueDef }
func (q *localQueue) local() *store.Queue { return q.one[0] }

func (q *localQueue) Counts() (ready, unacked, consumers int) {
	ready, unacked, _ = q.messages()
	return ready, unacked, int(q.consuming.Load())
}

func (q *localQueue) consumerCount() int { return int(q.consuming.Load()) }

func (q *localQueue) attached() (consumers []*Consumer, active *Consumer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.consumers), q.active
}

func (q *localQueue) holds() (h holding) {
	for _, sq := range q.lanes() {
		c := sq.Holds()
		h.Ready += c.Ready
		h.Unacked += c.Unacked
		h.ReadyBytes += c.ReadyBytes
		h.UnackedBytes += c.UnackedBytes
		h.Persistent += c.Persistent
		h.PersistentBytes += c.PersistentBytes
	}
	return h
}

// messages counts over all lanes; bytes are those of ready bodies.
func (q *localQueue) messages() (ready, unacked int, bytes int64) {
	for _, sq := range q.lanes() {
		r, u, b := sq.Counts()
		ready, unacked, bytes = ready+r, unacked+u, bytes+b
	}
	return ready, unacked, bytes
}

// setLimits tells the store the bounds that it enforces.
func (q *localQueue) setLimits() {
	q.mu.Lock() // against a lane that is just being made
	defer q.mu.Unlock()
	if s := q.more.Load(); s != nil {
		s.setLimits(q.settings().storeLimits())
	} else {
		q.one[0].SetLimits(q.settings().storeLimits())
	}
}

// setConsuming tells the store whether there are consumers. Under mu.
func (q *localQueue) setConsuming(consuming bool) {
	for _, sq := range q.lanes() {
		sq.SetConsuming(consuming)
	}
}

func (q *localQueue) settle(b *Batch, seq uint64, what settlement) {
	sq, n := q.lane(seq)
	switch what {
	case acked:
		b.cur.Ack(sq, n)
	case discarded:
		q.refuse(b, seq, rejected)
	case requeued:
		if q.returnedTooOften(sq, n) {
			q.refuse(b, seq, deliveryLimit)
			return
		}
		b.cur.Requeue(sq, n)
		b.addTouched(q)
		if n := len(b.giving); n == 0 || b.giving[n-1] != q {
			b.giving = append(b.giving, q)
		}
		if q.settings().limited() {
			b.pending(q) // what comes back may be too much
		}
	}
}

func (q *localQueue) attach(c *Consumer) error {
	set := q.settings()
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.retired:
		return errNoQueue(q.name, q.v.name)
	case q.exclusive != nil, c.spec.Exclusive && (len(q.consumers) > 0 || set.singleActive && !set.quorum):
		return errExclusiveUse(q.name, q.v.name)
	}
	if c.spec.Exclusive {
		q.exclusive = c
	}
	at, found := slices.BinarySearchFunc(q.levels, c.priority, func(l *level, p int64) int {
		switch {
		case l.priority > p:
			return -1
		case l.priority < p:
			return 1
		}
		return 0
	})
	if !found {
		q.levels = slices.Insert(q.levels, at, &level{priority: c.priority})
	}
	c.level = q.levels[at]
	c.level.members++
	c.index = len(q.consumers)
	c.attached = true
	q.consumers = append(q.consumers, c)
	if set.singleActive && q.active == nil {
		q.active = c
	}
	q.consuming.Store(int32(len(q.consumers)))
	if len(q.consumers) == 1 {
		q.setConsuming(true)
	}
	return nil
}

func (q *localQueue) detach(c *Consumer) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !c.attached {
		return len(q.consumers)
	}
	c.attached = false
	if q.exclusive == c {
		q.exclusive = nil
	}
	q.setAside(c)
	if c.level.members--; c.level.members == 0 {
		q.levels = slices.DeleteFunc(q.levels, func(l *level) bool { return l == c.level })
	}
	last := len(q.consumers) - 1
	if q.settings().singleActive {
		q.succeed(c)
	} else {
		q.consumers[c.index] = q.consumers[last]
		q.consumers[c.index].index = c.index
		q.consumers[last] = nil
		q.consumers = q.consumers[:last]
	}
	q.consuming.Store(int32(last))
	if last == 0 {
		q.setConsuming(false)
		q.dropAhead()
	}
	return last
}

// succeed takes a consumer out of those of a queue that serves only one of them.
// If it was that one, the next is the first of the highest priority; a consumer
// that comes never takes over from one that is there, as in RabbitMQ 3. Under mu.
func (q *localQueue) succeed(c *Consumer) {
	q.consumers = slices.Delete(q.consumers, c.index, c.index+1)
	for i, next := range q.consumers[c.index:] {
		next.index = c.index + i
	}
	if q.active != c {
		return
	}
	q.active = nil
	for _, next := range q.consumers {
		if q.active == nil || next.priority > q.active.priority {
			q.active = next
		}
	}
	if q.active == nil {
		return
	}
	if q.active.begun {
		q.makeReady(q.active)
	}
	if _, unacked, _ := q.messages(); unacked > 0 {
		c.delays = true
		q.held++
	}
}

// handDownPause is how long the next of a queue's single active consumers waits for
// what the one before it had: clients cancel and then close the channel, and what
// comes back by that is to come first.
var handDownPause = 50 * time.Millisecond

func (q *localQueue) handDown(c *Consumer) {
	b := q.v.b
	if c.delays && b.spawn(func() { b.pause(handDownPause); q.letGo() }) {
		return
	}
	if c.delays {
		q.hold(-1)
	}
	r := b.runner()
	q.deliver(r)
	r.done()
}

// letGo is hold(-1) for a goroutine that then delivers.
func (q *localQueue) letGo() {
	// The token first: who finds nobody holding the queue finds somebody at work.
	first := q.work.Add(1) == 1
	q.hold(-1)
	if first {
		q.dispatch(more, 0)
		return
	}
	r := q.v.b.runner()
	q.deliver(r)
	r.done()
}

func (q *localQueue) retire() []*Consumer {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.retired = true
	left := q.consumers
	for _, c := range left {
		c.attached = false
		q.setAside(c)
	}
	q.consumers, q.levels, q.exclusive, q.active = nil, nil, nil, nil
	q.dropAhead()
	q.consuming.Store(0)
	return left
}

func (q *localQueue) remove(b *store.Batch) func() int {
	return eachLane(b, q.lanes(), b.DeleteQueue)
}

func (q *localQueue) purge() (int, wal.LSN, error) {
	// Under mu no message is on its way to a consumer that might refuse it.
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.retired {
		return 0, 0, nil
	}
	b := q.v.b.store.NewBatch()
	removed := eachLane(b, q.lanes(), b.Purge)
	lsn, err := q.v.b.store.Apply(b, wal.Lazy, nil)
	if err != nil {
		return 0, 0, errStore(err)
	}
	return removed(), lsn, nil
}

// eachLane puts a removal of each lane's messages into a batch. How many they were
// in all can be asked for when that was applied.
func eachLane(b *store.Batch, lanes []*store.Queue, remove func(*store.Queue) int) (removed func() int) {
	first := remove(lanes[0])
	for _, sq := range lanes[1:] {
		remove(sq)
	}
	return func() int {
		n := 0
		for i := range lanes {
			n += b.Removed(first + i) // they are numbered in a row
		}
		return n
	}
}

// hold keeps messages from consumers (1), or lets them go again (-1): while
// parts of what is requeued are still out, a newer message must not pass them.
// Whoever lets go runs delivery afterwards.
func (q *localQueue) hold(n int) {
	q.mu.Lock()
	q.held += int32(n)
	q.mu.Unlock()
}

// acksBatch is a batch for what happens to the queue under mu.
func (q *localQueue) acksBatch() *store.Batch {
	if q.acks == nil {
		q.acks = q.v.b.store.NewBatch()
	}
	return q.acks
}
