package store

import (
	"fmt"
	"github.com/leveret-mq/leveret/internal/record"

	"github.com/leveret-mq/leveret/index"
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

// hold takes room in a limited, locked queue, if it has it.
func (q *Queue) hold(body int64) bool {
	if !q.room(body) {
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
		for _, q := range b.queues[p.first : p.first+p.n] {
			if f := q.flags.Load(); f&queueGone != 0 || f&queueLimited == 0 {
				continue
			}
			r.lock(q)
			if q.hold(int64(len(p.m.Body))) {
				r.held = append(r.held, reservation{p, q})
			} else {
				b.reject(p)
			}
		}
	}
	if b.rejections > 0 {
		for _, h := range r.held {
			r.lock(h.q)
			h.q.letGo(int64(len(h.p.m.Body)))
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
	switch {
	case p.logged:
		r.size += record.WordSize + p.durables*record.PairSize + int(p.size)
		r.records++
	case p.n > 0:
		r.arenaBytes += int(p.size)
		r.arenaRefs += int64(p.n)
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
	w := r.write(p, len(queues), p.durables)
	for _, q := range queues {
		r.push(q, &w)
	}
	r.settle(p, &w)
}

// publishGuarded is publish where a queue may be gone or full.
func (r *applier) publishGuarded(p *publishing, queues []*Queue) {
	r.dest = r.dest[:0]
	body := int64(len(p.m.Body))
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
		if f&queueLimited != 0 && !held {
			r.lock(q)
			if held = q.hold(body); !held {
				r.b.reject(p)
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
	w := r.write(p, len(r.dest), durables)
	for _, d := range r.dest {
		r.lock(d.q)
		if d.held {
			d.q.letGo(body)
		}
		r.push(d.q, &w)
	}
	r.settle(p, &w)
}

// written is a message in its place, and what its queues are told of it.
type written struct {
	e      index.Entry
	pairs  []byte     // of the record, still to be filled
	part   *arenaPart // that was reserved for this message alone
	queues int64      // that it was to go to
	pushed int64      // that it went to
}

// write puts a message into the log, if that many of its queues are durable,
// else into the arena.
func (r *applier) write(p *publishing, queues, durables int) written {
	w := written{queues: int64(queues)}
	body := uint32(len(p.m.Body))
	if durables > 0 {
		head := record.WordSize + durables*record.PairSize
		lsn, rec := r.s.log.Put(head + int(p.size))
		record.PutWord(rec, record.Publish, durables)
		w.pairs = rec[record.WordSize:head]
		p.m.PutBlob(rec[head:], r.ms, p.crc)
		w.e = index.MakeEntry(uint64(lsn)+uint64(head), p.size, body, index.Logged)
		r.binding = true
		return w
	}
	part, off := r.part, r.off
	if p.logged { // plan did not know that the durable queues are gone or full
		part, off = r.s.arena.reserve(int(p.size), w.queues)
		w.part = part
	} else {
		r.off += int(p.size)
	}
	addr := part.addr(off)
	p.m.PutBlob(part.slice(addr, p.size), r.ms, p.crc)
	w.e = index.MakeEntry(addr, p.size, body, 0)
	return w
}

// push adds a message to a queue.
func (r *applier) push(q *Queue, w *written) {
	r.lock(q)
	if q.flags.Load()&queueGone != 0 {
		return // a transient queue: they go without the append lock
	}
	w.pushed++
	if !q.durable || !w.e.Logged() {
		q.ix.Push(w.e)
		return
	}
	e, flags := w.e, byte(0)
	if q.consuming && q.ix.Next()-q.ix.Cursor() < markShort {
		e.Flags |= index.Marked
		flags = record.PairMarked
	}
	record.PutPair(w.pairs, q.id, q.ix.Push(e), flags)
	w.pairs = w.pairs[record.PairSize:]
}

// settle closes the accounts of a message that was pushed.
func (r *applier) settle(p *publishing, w *written) {
	switch {
	case w.e.Logged():
		r.tally.add(&r.s.live, w.e.Addr, p.size, w.pushed)
	case w.part != nil:
		r.s.arena.release(w.part, w.queues-w.pushed)
	default:
		r.refs -= w.pushed
	}
}
