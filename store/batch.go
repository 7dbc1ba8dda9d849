package store

import "math"

// Batch is a list of operations that happen together. It is made by
// Store.NewBatch, recorded into, applied, reset and used again; its memory
// stays. One goroutine at a time may use it.
//
// Operations take effect in the order in which they were recorded. Slices in
// messages are borrowed until Apply returns.
type Batch struct {
	s      *Store
	atomic bool

	ops     []op
	pubs    []publishing
	queues  []*Queue // of the publishes, one after another
	entries []catalogEntry
	trims   []trim
	removed []int // ready messages that a purge, trim or deletion took

	rejections int
	refusals   []Refusal
	larges     int // publishes that hold one

	run applier
}

type opKind uint8

const (
	opPublish opKind = iota // a: index into pubs
	opAck                   // a, b: first and last
	opRequeue               // a: seq
	opPurge                 // a: index into removed
	opCreate
	opDelete // a: index into removed
	opTrim   // a: index into removed, b: index into trims
	opPut    // a: index into entries
	opRemove // a: index into entries
)

type op struct {
	kind opKind
	room uint32 // purge, trim: for ranges, in what plan reserved
	q    *Queue
	a, b uint64
}

type trim struct{ messages, bytes int64 }

// publishing is a message on its way.
type publishing struct {
	m        Message
	large    *Large // its body, held; nil: it is m's
	first, n int    // its queues
	durables int    // how many of them are durable, if it is persistent
	size     uint32
	crc      uint32 // only of large ones
	logged   bool   // durables > 0
	rejected bool
	refused  bool // and refusals tells so
	unbound  bool // it passes limits
	index    int
}

// NewBatch returns an empty batch.
func (s *Store) NewBatch() *Batch {
	b := &Batch{s: s}
	b.run.init(s, b)
	return b
}

// Reset empties the batch, for use again.
func (b *Batch) Reset() {
	b.letLargesGo(true)
	clear(b.ops)
	clear(b.pubs)
	clear(b.queues)
	clear(b.entries)
	b.ops, b.pubs, b.queues = b.ops[:0], b.pubs[:0], b.queues[:0]
	b.entries, b.trims, b.removed = b.entries[:0], b.trims[:0], b.removed[:0]
	clear(b.refusals)
	b.refusals = b.refusals[:0]
	b.rejections, b.atomic = 0, false
}

// Len is the number of operations; runs of acks are one.
func (b *Batch) Len() int { return len(b.ops) }

// Copies is how many queues its publishes go to, all together.
func (b *Batch) Copies() int { return len(b.queues) }

// Atomic makes the batch a transaction, until Reset: acks and requeues count
// as something to wait for, and where the log has failed, or a queue refuses a
// publish for its limits, Apply does nothing rather than a part.
func (b *Batch) Atomic() { b.atomic = true }

// Publish adds a message to queues. It returns the number of publishes before
// it, by which Rejected knows it. queues may be used again at once, and may be
// empty.
func (b *Batch) Publish(m Message, queues []*Queue) (index int) {
	to, index := b.Add(queues)
	*to = m
	return index
}

// Add is Publish of a message that the caller fills in: it is empty, and m is valid
// until the next call. So its fields are written once, where they stay. A struct that
// is built and then copied costs more than its bytes: the copy's wide loads wait until
// the narrow stores before them have reached the cache, and all others with them.
func (b *Batch) Add(queues []*Queue) (m *Message, index int) {
	index = len(b.pubs)
	b.ops = append(b.ops, op{})
	o := &b.ops[len(b.ops)-1]
	o.kind, o.a = opPublish, uint64(index)
	b.pubs = append(b.pubs, publishing{})
	p := &b.pubs[index]
	p.index, p.first, p.n = index, len(b.queues), len(queues)
	b.queues = append(b.queues, queues...)
	return &p.m, index
}

// Unbound lets a publish pass the limits of its queues: for messages that are moved,
// and must not be lost.
func (b *Batch) Unbound(index int) { b.pubs[index].unbound = true }

// PublishLarge is Publish of a message whose body is a file: the one that m was
// finished with. The batch holds it until it was applied or is reset.
func (b *Batch) PublishLarge(l *Large, m Message, queues []*Queue) (index int) {
	m.Body = nil
	index = b.Publish(m, queues)
	l.Retain()
	b.pubs[index].large = l
	b.larges++
	return index
}

// Postpone lets all messages of the batch that expire do so that many ms later.
func (b *Batch) Postpone(ms int64) {
	for i := range b.pubs {
		if m := &b.pubs[i].m; m.Expires > AtOnce {
			m.Expires = max(min(m.Expires, math.MaxInt64-max(ms, 0))+ms, AtOnce+1)
		}
	}
}

// body is how many bytes the message's body has.
func (p *publishing) body() int64 {
	if p.large != nil {
		return p.large.size
	}
	return int64(len(p.m.Body))
}

// letLargesGo drops what the publishes hold: all, or those that no queue refused.
func (b *Batch) letLargesGo(all bool) {
	if b.larges == 0 {
		return
	}
	b.larges = 0
	for i := range b.pubs {
		switch p := &b.pubs[i]; {
		case p.large == nil:
		case !all && p.refused:
			b.larges++
		default:
			p.large.Release()
			p.large = nil
		}
	}
}

// Ack removes a message for good, whether it is claimed or ready. On one that
// is gone it does nothing.
func (b *Batch) Ack(q *Queue, seq uint64) {
	if n := len(b.ops); n > 0 {
		last := &b.ops[n-1]
		if last.kind == opAck && last.q == q && last.b+1 == seq {
			last.b = seq
			return
		}
	}
	b.ops = append(b.ops, op{kind: opAck, q: q, a: seq, b: seq})
}

// Requeue makes a claimed message ready again in the place that it had,
// redelivered, and counts it. On one that is not claimed it does nothing.
func (b *Batch) Requeue(q *Queue, seq uint64) {
	b.ops = append(b.ops, op{kind: opRequeue, q: q, a: seq})
}

// Purge removes the messages that are ready; Removed(index) says how many.
func (b *Batch) Purge(q *Queue) (index int) { return b.remove(opPurge, q) }

// DeleteQueue removes a queue with all its messages, claimed ones too;
// Removed(index) says how many were ready.
func (b *Batch) DeleteQueue(q *Queue) (index int) { return b.remove(opDelete, q) }

// Trim removes the oldest ready messages until at most so many messages, and so
// many bytes of bodies, are ready; negative is no bound. It takes at most TrimMost
// and, with a bound on bytes, none whose size is not known: see Queue.Measure.
// Removed(index) says how many it took. Like an ack, it is nothing to wait for.
func (b *Batch) Trim(q *Queue, messages, bytes int64) (index int) {
	index = b.remove(opTrim, q)
	b.ops[len(b.ops)-1].b = uint64(len(b.trims))
	b.trims = append(b.trims, trim{messages, bytes})
	return index
}

func (b *Batch) remove(kind opKind, q *Queue) (index int) {
	index = len(b.removed)
	b.removed = append(b.removed, 0)
	b.ops = append(b.ops, op{kind: kind, q: q, a: uint64(index)})
	return index
}

// CreateQueue makes a queue. A durable one has its ID at once, so that a
// catalog entry of the same batch can name it. It may be used in the rest of the
// batch, and exists once that was applied.
func (b *Batch) CreateQueue(durable bool, o QueueOptions) *Queue {
	q := &Queue{s: b.s, durable: durable}
	if durable {
		q.id = b.s.queueID()
	}
	q.flags.Store(queueNew)
	q.SetLimits(o.Limits)
	b.ops = append(b.ops, op{kind: opCreate, q: q})
	return q
}

// queueID returns the id of a new durable queue, 0 where there are no more.
func (s *Store) queueID() uint32 {
	for {
		id := s.nextQueue.Load()
		if id == math.MaxUint32 {
			return 0
		}
		if s.nextQueue.CompareAndSwap(id, id+1) {
			return id
		}
	}
}

// Put sets a catalog entry. The value is copied when the batch is applied.
func (b *Batch) Put(key string, value []byte) {
	b.ops = append(b.ops, op{kind: opPut, a: uint64(len(b.entries))})
	b.entries = append(b.entries, catalogEntry{key, value})
}

// Delete removes a catalog entry, if it is there.
func (b *Batch) Delete(key string) {
	b.ops = append(b.ops, op{kind: opRemove, a: uint64(len(b.entries))})
	b.entries = append(b.entries, catalogEntry{key: key})
}

// Rejected tells, after Apply, whether a publish was refused: by one of its
// queues, for its limits (the others have the message), or because the log has
// failed.
func (b *Batch) Rejected(index int) bool { return b.pubs[index].rejected }

// Refusal is a publish that one of its queues did not take.
type Refusal struct {
	Index   int
	Queue   *Queue
	Message Message // as it was recorded
	Large   *Large  // its body where that is a file; held until DropRefusals or Reset
}

// Refusals tells, after Apply, what was refused by queues whose limits say
// TellRefused.
func (b *Batch) Refusals() []Refusal { return b.refusals }

// DropRefusals lets go of what Refusals has told.
func (b *Batch) DropRefusals() {
	clear(b.refusals)
	b.refusals = b.refusals[:0]
	b.letLargesGo(true)
}

// Rejections is how many publishes were refused.
func (b *Batch) Rejections() int { return b.rejections }

// Removed tells, after Apply, how many ready messages a purge, a trim or a
// deletion removed.
func (b *Batch) Removed(index int) int { return b.removed[index] }

// rejectAll notes that nothing of the batch has happened.
func (b *Batch) rejectAll() {
	b.rejections, b.refusals = 0, b.refusals[:0]
	for i := range b.pubs {
		if p := &b.pubs[i]; p.n > 0 {
			p.rejected = true
			b.rejections++
		}
	}
}

// refuse notes that a queue, which is locked, does not take a publish.
func (b *Batch) refuse(p *publishing, q *Queue) {
	b.reject(p)
	if l := q.limits; l == nil || !l.TellRefused {
		return
	}
	p.refused = true
	b.refusals = append(b.refusals, Refusal{p.index, q, p.m, p.large})
}

func (b *Batch) reject(p *publishing) {
	if !p.rejected {
		p.rejected = true
		b.rejections++
	}
}
