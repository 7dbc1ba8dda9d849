package store

import (
	"fmt"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
)

// destination is a queue that a guarded publish goes to.
type destination struct {
	q    *Queue
	held bool // with room promised
}

// reservation is room that an atomic batch holds in a queue.
type reservation struct {
	p *publishing
	q *Queue
}

// hold locks a limited queue, and takes room in it, if it has it.
func (r *applier) hold(q *Queue, body int64) bool {
	r.lock(q)
	l := q.limits
	messages, bytes := q.load()
	if l != nil && l.Shared != nil {
		s := l.Shared
		// Room in any of them is taken under s.mu alone, so that nobody takes the
		// same room meanwhile.
		r.lock(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		messages, bytes = 0, 0
		for _, other := range s.queues {
			r.lock(other)
			m, b := other.load()
			messages, bytes = messages+m, bytes+b
		}
		r.lock(q)
	}
	if l != nil && !l.room(messages, bytes, body) { // nil: they have just gone
		return false
	}
	q.held++
	q.heldBytes += body
	return true
}

// letGo gives back what hold took. Under mu.
func (q *Queue) letGo(body int64) {
	q.held--
	q.heldBytes -= body
}

// reserve holds the room for all publishes of an atomic batch. Where some queue
// refuses, it holds nothing and returns false. What the batch itself would purge
// first does not count.
func (r *applier) reserve() bool {
	b := r.b
	for i := range b.pubs {
		p := &b.pubs[i]
		if p.unbound {
			continue
		}
		for _, q := range b.queues[p.first : p.first+p.n] {
			if f := q.flags.Load(); f&queueGone != 0 || f&queueLimited == 0 {
				continue
			}
			if r.hold(q, p.body()) {
				r.held = append(r.held, reservation{p, q})
			} else {
				b.refuse(p, q)
			}
		}
	}
	if b.rejections > 0 {
		for _, h := range r.held {
			r.lock(h.q)
			h.q.letGo(h.p.body())
		}
		r.held = r.held[:0]
	}
	r.lock(nil)
	return b.rejections == 0
}

// planPublish computes what a publish may need, without any lock.
func (r *applier) planPublish(p *publishing) error {
	if err := p.m.Validate(); err != nil {
		return err
	}
	if p.n > record.MaxCount {
		return fmt.Errorf("%d queues, more than %d", p.n, record.MaxCount)
	}
	p.size = uint32(p.m.BlobSize())
	p.durables = 0
	if p.m.Persistent {
		for _, q := range r.b.queues[p.first : p.first+p.n] {
			if q.durable {
				p.durables++
			}
		}
	}
	p.logged = p.durables > 0
	if p.large != nil {
		r.planLarge(p)
		return nil
	}
	if p.logged {
		r.size += record.WordSize + p.durables*record.PairSize + int(p.size)
		r.records++
		r.published += int(p.size)
	}
	if n := p.n - p.durables; n > 0 {
		r.arenaBytes += int(p.size)
		r.arenaRefs += int64(n)
	}
	if p.size > record.CRCInPlace && p.n > 0 {
		p.crc = p.m.BlobCRC(p.size, r.ms)
	}
	return nil
}

// publish puts a message into its queues.
func (r *applier) publish(p *publishing) {
	b := r.b
	queues := b.queues[p.first : p.first+p.n]
	if len(queues) == 0 {
		return
	}
	r.flushPending()
	if p.logged && r.refusing {
		r.refused = true
		b.reject(p)
		return
	}
	guarded := uint32(len(r.held) - r.used)
	for _, q := range queues {
		guarded |= q.flags.Load()
	}
	if guarded != 0 {
		r.publishGuarded(p, queues)
		return
	}
	var w written
	r.write(&w, p, len(queues), p.durables)
	for _, q := range queues {
		r.push(q, &w)
	}
	r.settle(p, &w)
}

// publishGuarded is publish where a queue may be gone or full.
func (r *applier) publishGuarded(p *publishing, queues []*Queue) {
	r.dest = r.dest[:0]
	body := p.body()
	durables := 0
	for _, q := range queues {
		// Reservations come in the order of the publishes and their queues.
		held := r.used < len(r.held) && r.held[r.used] == reservation{p, q}
		if held {
			r.used++
		}
		f := q.flags.Load()
		if f&queueGone != 0 {
			continue
		}
		if f&queueLimited != 0 && !held && !p.unbound {
			if held = r.hold(q, body); !held {
				r.b.refuse(p, q)
				continue
			}
		}
		if p.logged && q.durable {
			durables++
		}
		r.dest = append(r.dest, destination{q, held})
	}
	if len(r.dest) == 0 {
		return
	}
	var w written
	r.write(&w, p, len(r.dest), durables)
	for _, d := range r.dest {
		r.lock(d.q)
		if d.held {
			d.q.letGo(body)
		}
		r.push(d.q, &w)
	}
	r.settle(p, &w)
}

// written is a message in its places, and what its queues are told of it.
type written struct {
	logged   index.Entry // for queues that the record names
	pairs    []byte      // of the record, still to be filled
	memory   index.Entry // for the others
	expires  int64       // 0: never
	recorded int64       // how many queues have the one,
	kept     int64       // and the other
	expected int64       // how many were to have a large one
}

// write puts a message into the log for its durable queues, and into the arena
// for the others: what the log holds is then needed by durable queues alone, and
// moving it to a segment moves it out of the log for good.
func (r *applier) write(w *written, p *publishing, queues, durables int) {
	w.expires = p.m.Expires
	if p.large != nil {
		r.writeLarge(p, w, queues, durables)
		return
	}
	body := uint32(len(p.m.Body))
	var blob []byte
	if durables > 0 {
		head := record.WordSize + durables*record.PairSize
		lsn, rec := r.s.log.Put(head + int(p.size))
		record.PutWord(rec, record.Publish, durables)
		w.pairs, blob = rec[record.WordSize:head], rec[head:]
		p.m.PutBlob(blob, r.ms, p.crc)
		w.logged = index.MakeEntry(uint64(lsn)+uint64(head), p.size, body, index.Logged)
		r.binding = true
	}
	if queues > durables {
		addr := r.chunk.Addr(r.off)
		r.off += int(p.size)
		memory := r.chunk.Slice(addr, p.size)
		if blob != nil {
			copy(memory, blob)
		} else {
			p.m.PutBlob(memory, r.ms, p.crc)
		}
		w.memory = index.MakeEntry(addr, p.size, body, 0)
	}
}

// push adds a message to a queue.
func (r *applier) push(q *Queue, w *written) {
	r.lock(q)
	if q.flags.Load()&queueGone != 0 {
		return // a transient queue: they go without the append lock
	}
	if !q.durable || w.pairs == nil {
		w.kept++
		r.add(q, w.memory, w.expires)
		return
	}
	w.recorded++
	e, flags := w.logged, byte(0)
	if q.consuming && q.ix.Next()-q.ix.Cursor() < markShort {
		e.Flags |= index.Marked
		flags = record.PairMarked
	}
	record.PutPair(w.pairs, q.id, r.add(q, e, w.expires), flags)
	w.pairs = w.pairs[record.PairSize:]
}

// add adds an entry to a queue's end.
func (r *applier) add(q *Queue, e index.Entry, expires int64) (seq uint64) {
	if expires != 0 {
		seq = q.ix.PushExpiring(e, expires)
	} else if seq = q.ix.Push(e); q.ttl == 0 {
		return seq
	}
	q.older(r.ms)
	q.setExpiry()
	return seq
}

// settle closes the accounts of a message that was pushed.
func (r *applier) settle(p *publishing, w *written) {
	if p.large != nil {
		p.large.t.change(p.large, w.recorded+w.kept-w.expected)
		return
	}
	if w.recorded > 0 {
		r.tally.log.add(&r.s.live, w.logged.Addr, p.size, w.recorded)
	}
	r.refs -= w.kept
}
