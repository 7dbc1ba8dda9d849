package ledger

import (
	"math/rand/v2"
	"slices"
)

// fault is what a fake broker does wrong.
type fault string

const (
	honest        fault = "honest"
	loses         fault = "loses a confirmed message in a crash"
	losesAlive    fault = "an ack takes the next message with it"
	doubles       fault = "a crash doubles a message"
	gives         fault = "gives one message to two consumers"
	ignoresAck    fault = "ignores an ack"
	swaps         fault = "a crash swaps neighbours"
	invents       fault = "a crash brings a message that never was"
	forgetsMarks  fault = "a crash forgets who was delivered"
	requeuesClean fault = "a requeued message is not marked"
	marksAll      fault = "marks everything as redelivered"
	forgetsAcks   fault = "a crash forgets acks that were durable"
	rises         fault = "a message lost in one crash is back after another"
	keeps         fault = "transient messages survive"
	tears         fault = "a crash tears a transaction"
	leavesHole    fault = "a crash takes one unconfirmed message out of the middle"
	ignoresPurge  fault = "a purge leaves the last one"
	undeletes     fault = "a deleted queue's messages are back after a crash"
	hasty         fault = "shows a transaction before its commit"
)

// catches says which kinds of violation may tell of a fault.
var catches = map[fault][]Kind{
	loses: {Lost}, losesAlive: {Lost}, doubles: {Duplicate}, gives: {Duplicate}, ignoresAck: {Duplicate},
	swaps: {Disorder}, invents: {Alien}, forgetsMarks: {Unmarked}, requeuesClean: {Unmarked}, marksAll: {FalseMark},
	forgetsAcks: {Resurrected}, rises: {Resurrected}, keeps: {Survivor}, tears: {Torn, Hole}, leavesHole: {Hole}, ignoresPurge: {Duplicate}, undeletes: {Resurrected}, hasty: {Premature},
}

// fake is a broker in a few lines: queues, and a log of operations of which a crash
// keeps a prefix that holds all that was confirmed.
type fake struct {
	rng     *rand.Rand
	fault   fault
	did     bool // the fault has had a chance to show
	log     []fakeOp
	durable int
	queues  map[string]*fakeQueue
	marks   map[fakeID]bool // what was delivered, ever
	dropped []fakeOp        // what the last crash took
}

type fakeID struct {
	queue       string
	producer, n int
}

type fakeOp struct {
	ack      bool
	deletion bool          // of the queue, which implies the ack
	messages []fakeMessage // of one atomic publish; of an ack, its one message
}

type fakeMessage struct {
	fakeID
	persistent bool
	at         int // its place in the queue
	marked     bool
}

type fakeQueue struct {
	ready []fakeMessage
	next  int
}

func newFake(rng *rand.Rand, f fault) *fake {
	b := &fake{rng: rng, fault: f, queues: map[string]*fakeQueue{}, marks: map[fakeID]bool{}}
	for _, name := range fakeQueues {
		b.queues[name] = &fakeQueue{}
	}
	return b
}

// sometimes is whether the fault shows this time.
func (b *fake) sometimes(f fault, chance float64) bool {
	return b.fault == f && b.rng.Float64() < chance
}

func (b *fake) publish(messages []fakeMessage) {
	for i := range messages {
		q := b.queues[messages[i].queue]
		messages[i].at = q.next
		q.next++
		q.ready = append(q.ready, messages[i])
	}
	b.log = append(b.log, fakeOp{messages: messages})
}

func (b *fake) confirm() { b.durable = len(b.log) }

// deliver takes the next message off the queue.
func (b *fake) deliver(queue string) (m fakeMessage, ok bool) {
	q := b.queues[queue]
	if len(q.ready) == 0 {
		return m, false
	}
	m = q.ready[0]
	if b.sometimes(gives, 0.05) {
		b.did = true
	} else {
		q.ready = q.ready[1:]
	}
	if b.fault == marksAll {
		m.marked, b.did = true, true
	}
	b.marks[m.fakeID] = true
	return m, true
}

func (b *fake) ack(m fakeMessage) {
	q := b.queues[m.queue]
	if b.sometimes(ignoresAck, 0.05) {
		b.did = true
		b.requeue(m)
		return
	}
	if b.sometimes(losesAlive, 0.05) && len(q.ready) > 0 {
		// An unconfirmed one would not be missed.
		b.did = b.did || slices.ContainsFunc(b.log[:b.durable], func(op fakeOp) bool { return op.has(q.ready[0].fakeID) })
		b.log = append(b.log, fakeOp{ack: true, messages: q.ready[:1:1]})
		q.ready = q.ready[1:]
	}
	b.log = append(b.log, fakeOp{ack: true, messages: []fakeMessage{m}})
}

// discard purges or deletes a queue; a deletion is durable when it is answered.
func (b *fake) discard(queue string, deleted bool) {
	q := b.queues[queue]
	keep := 0
	if n := len(q.ready); n > 0 && b.sometimes(ignoresPurge, 0.5) {
		b.did, keep = true, 1
	}
	for _, m := range q.ready[keep:] {
		b.log = append(b.log, fakeOp{ack: true, deletion: deleted, messages: []fakeMessage{m}})
	}
	q.ready = q.ready[:keep]
	if deleted {
		b.confirm()
	}
}

func (op fakeOp) has(id fakeID) bool {
	return slices.ContainsFunc(op.messages, func(m fakeMessage) bool { return m.fakeID == id })
}

func (b *fake) requeue(m fakeMessage) {
	q := b.queues[m.queue]
	m.marked = true
	if b.sometimes(requeuesClean, 0.3) {
		b.did, m.marked = true, false
	}
	i, _ := slices.BinarySearchFunc(q.ready, m.at, func(r fakeMessage, at int) int { return r.at - at })
	q.ready = slices.Insert(q.ready, i, m)
}

// stop keeps everything, crash a part.
func (b *fake) stop() {
	b.durable = len(b.log)
	b.recover()
}

func (b *fake) crash() {
	cut := b.durable + b.rng.IntN(len(b.log)-b.durable+1)
	lost := slices.Clone(b.log[cut:])
	kept := b.log[:cut:cut]
	switch {
	case b.sometimes(tears, 0.5) && len(lost) > 0 && len(lost[0].messages) > 1:
		kept, b.did = append(kept, fakeOp{messages: lost[0].messages[:1]}), b.did || lost[0].plain()
	case b.sometimes(leavesHole, 0.5) && len(lost) > 1:
		kept = append(kept, lost[1:]...)
		b.did = b.did || lost[0].plain() && slices.ContainsFunc(lost[1:], func(op fakeOp) bool { return op.follows(lost[0]) })
	case b.sometimes(rises, 0.5):
		for _, op := range b.dropped {
			if op.plain() {
				kept, b.did = append(kept, op), true
			}
		}
	case b.sometimes(undeletes, 0.5):
		n := len(kept)
		kept = slices.DeleteFunc(slices.Clone(kept), func(op fakeOp) bool { return op.deletion })
		b.did = b.did || len(kept) < n
	case b.sometimes(forgetsAcks, 0.5):
		kept = slices.DeleteFunc(slices.Clone(kept), func(op fakeOp) bool {
			drop := op.ack && b.rng.IntN(10) == 0
			b.did = b.did || drop
			return drop
		})
	}
	b.dropped = lost
	b.log, b.durable = kept, len(kept)
	b.recover()
}

// plain is whether a publish would be missed: persistent throughout.
func (op fakeOp) plain() bool {
	return !op.ack && !slices.ContainsFunc(op.messages, func(m fakeMessage) bool { return !m.persistent })
}

func (op fakeOp) follows(earlier fakeOp) bool {
	return op.plain() && op.messages[0].queue == earlier.messages[0].queue && op.messages[0].producer == earlier.messages[0].producer
}

// recover builds the queues from the log.
func (b *fake) recover() {
	for name := range b.queues {
		b.queues[name] = &fakeQueue{}
	}
	acked := map[fakeID]bool{}
	for _, op := range b.log {
		if op.ack {
			acked[op.messages[0].fakeID] = true
		}
	}
	for i, op := range b.log {
		for _, m := range op.messages {
			q := b.queues[m.queue]
			if op.ack || acked[m.fakeID] {
				continue
			}
			if !m.persistent && !b.sometimes(keeps, 0.3) {
				continue
			}
			b.did = b.did || b.fault == keeps && !m.persistent
			if b.sometimes(loses, 0.05) {
				b.did = b.did || i < b.durable
				b.log[i] = fakeOp{ack: true, messages: []fakeMessage{m}} // for good
				continue
			}
			if m.marked = b.marks[m.fakeID]; m.marked && b.sometimes(forgetsMarks, 0.3) {
				m.marked, b.did = false, true
			}
			m.at = q.next
			q.next++
			q.ready = append(q.ready, m)
			if b.sometimes(doubles, 0.05) {
				b.did = true
				m.at = q.next
				q.next++
				q.ready = append(q.ready, m)
			}
		}
	}
	for _, q := range b.queues {
		if n := len(q.ready); n > 1 && b.sometimes(swaps, 0.3) {
			i := b.rng.IntN(n - 1)
			x, y := &q.ready[i], &q.ready[i+1]
			b.did = b.did || x.producer == y.producer && x.n != y.n
			*x, *y = *y, *x
			x.at, y.at = y.at, x.at
		}
		if b.sometimes(invents, 0.3) {
			b.did = true
			q.ready = append(q.ready, fakeMessage{fakeID: fakeID{"a", 99, 1}, at: q.next})
			q.next++
		}
	}
}

func (b *fake) ready(queue string) int { return len(b.queues[queue].ready) }
