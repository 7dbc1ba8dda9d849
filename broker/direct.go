package broker

import (
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Messages that need not be in the store.
//
// A message that would not outlive the process, for one queue, which is empty and
// whose next consumer acks nothing, is gone the moment that it is there. So a batch
// that begins with such messages keeps them as deliveries and offers them to the
// consumers itself. What nobody takes goes to the store, behind what was taken, and
// so does the rest of the batch.
//
// The order holds: under the queue's lock, which is held from a claim to the return
// of what nobody took, a queue without ready messages has offered all that came
// before.
//
// Where the consumers cannot keep up, the messages behind cost the store's way, and with
// it the time that the consumers need. So publishers who make such a queue longer are
// paced, until it is empty again: they pay for their bytes with time.

// direct is the messages that a batch hands to a queue's consumers itself: its first
// publishes, as long as it gathers nothing else.
type direct struct {
	queue *localQueue // nil: there are none
	r     *runner     // nil: none were offered yet
	taken int         // how many were
	ds    []Delivery  // those behind them
	// behind is a queue that is being published to while its consumers, who ack
	// nothing, have been passed over.
	behind *localQueue
}

// goesDirect keeps a message for its queue's consumers, if it may be one that need
// not be in the store. It is one of the first of its batch, or not at all: what was
// published, or given back, before it must come before it. What Batch.repeat does not
// take is not for here either.
func (b *Batch) goesDirect(r *route, p *Publishing, persistent bool) bool {
	d := &b.direct
	if len(r.queues) != 1 || b.atomic {
		return false
	}
	if d.queue == nil || Queue(d.queue) != r.queues[0] {
		q, ok := r.queues[0].(*localQueue)
		if !ok || len(b.index)+len(b.giving)+len(b.parts) > 0 {
			return false
		}
		if q.idle() {
			if !persistent && q.behind.Load() {
				b.direct.behind = q
			}
			return false
		}
		d.queue = q
	}
	if persistent && d.queue.durable {
		return false
	}
	b.keepDirect(p)
	return true
}

// keepDirect keeps a message that is as one that goesDirect has kept. So many are
// kept as are still in the processor's cache when they are offered.
func (b *Batch) keepDirect(p *Publishing) {
	d := &b.direct
	d.ds = append(d.ds, Delivery{})
	m := &d.ds[len(d.ds)-1] // set in place: see store.Batch.Add
	m.Queue, m.Direct = d.queue, true
	m.Exchange, m.RoutingKey, m.Props, m.Body = p.Exchange, p.RoutingKey, p.Props, p.Body
	b.index = append(b.index, -1)
	if len(d.ds) == maxRun {
		b.handDirect()
	}
}

// handDirect offers what is kept, and gives what nobody takes to the store.
func (b *Batch) handDirect() {
	d := &b.direct
	if d.r == nil {
		d.r = b.s.b.runner()
	}
	n := d.queue.handOff(d.r, d.ds)
	d.taken += n
	if n < len(d.ds) {
		d.behind = d.queue
		b.storeDirect(n)
	}
	d.ds = d.ds[:0]
}

// storeDirect gives what is kept to the store, but for the first n, which were taken,
// and keeps no more.
func (b *Batch) storeDirect(n int) {
	d := &b.direct
	if d.queue == nil {
		return
	}
	for i := n; i < len(d.ds); i++ {
		m := &d.ds[i]
		to, index := b.cur.Add(d.queue.one[:])
		to.Exchange, to.RoutingKey, to.Props, to.Body = m.Exchange, m.RoutingKey, m.Props, m.Body
		to.Persistent = amqp.Properties(m.Props).DeliveryMode() == 2 // and the queue is not durable
		b.index[d.taken-n+i] = int32(index)
	}
	b.addTouched(d.queue)
	d.queue, d.ds = nil, d.ds[:0]
}

// flushDirect is handDirect at the end of a batch. It returns the runner that was
// used, nil where none was.
func (b *Batch) flushDirect() *runner {
	d := &b.direct
	if len(d.ds) > 0 {
		b.handDirect()
	}
	r := d.r
	d.queue, d.r = nil, nil
	return r
}

// dropDirect forgets what is kept.
func (b *Batch) dropDirect() {
	d := &b.direct
	if d.r != nil {
		d.r.done()
	}
	clear(d.ds[:cap(d.ds)])
	*d = direct{ds: d.ds[:0]}
}

// handOff offers messages that were never in the queue to its consumers, as far as
// they ack nothing, and returns how many were taken. It does not wait for who
// dispatches at the moment, who may read from a disk.
func (q *localQueue) handOff(r *runner, ds []Delivery) (given int) {
	if !q.mu.TryLock() {
		return 0
	}
	defer q.mu.Unlock()
	q.admit()
	if ready, _, _ := q.messages(); ready > 0 || q.held > 0 {
		q.behind.Store(true)
		return 0
	}
	for given < len(ds) {
		l := q.readyLevel()
		if l == nil || !l.head.spec.NoAck {
			break
		}
		given += q.offer(r, l, ds[given:])
	}
	q.behind.Store(given < len(ds)) // the rest will be
	if given > 0 {
		r.count(q, &stats.Counts{DeliverNoAck: uint64(given)})
	}
	return given
}

const (
	// paceBytes is what is published in a millisecond while a queue is behind.
	paceBytes = 256 << 10
	// paceReady is how many messages such a queue may hold before publishers are paced.
	paceReady = 8 * maxRun
	// paceMessage is what a message counts for beside its body.
	paceMessage = 64
	// paceLeast is the shortest pause.
	paceLeast = 100 * time.Microsecond
)

// pace has a publisher who brought so many messages, and bytes in their bodies, wait
// where its queue is behind.
func (b *Batch) pace(messages int, bytes uint64) {
	q := b.direct.behind
	if q == nil || q.consuming.Load() == 0 {
		return
	}
	pause := time.Millisecond * time.Duration(bytes+uint64(messages)*paceMessage) / paceBytes
	if pause < paceLeast {
		return
	}
	if ready, _, _ := q.messages(); ready > paceReady {
		time.Sleep(min(pause, time.Millisecond))
	}
}
