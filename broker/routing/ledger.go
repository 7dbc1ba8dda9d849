package routing

import (
	"github.com/leveret-mq/leveret/internal/amqp"
)

// ledger is a table's book of bindings, which only its writer sees: who is
// bound how, which makes adding idempotent and says when the last reason to
// route a key to a destination has gone. Records lie in one slab and point to
// each other by number, so that 100,000 bindings are no load to the collector.
type ledger[D comparable] struct {
	recs  []record[D]
	free  int32 // first unused record, chained by nextOfPair
	n     int
	pairs map[pair[D]]int32
	dests map[D]holder
	ords  ordinals
}

type record[D comparable] struct {
	dst      D
	key      string
	args     amqp.Table
	argsHash uint64
	// Lists: bindings that differ only in their arguments, and bindings of one
	// destination. none ends them.
	nextOfPair           int32
	prevOfDst, nextOfDst int32
}

type pair[D comparable] struct {
	dst D
	key string
}

// holder is what the ledger knows of a destination.
type holder struct {
	ord  uint32
	head int32
}

const none = -1

func (l *ledger[D]) init() {
	l.free = none
	l.pairs = map[pair[D]]int32{}
	l.dests = map[D]holder{}
}

// change says what an addition or a removal meant.
type change struct {
	id     int32  // the record, whose contents are still there after a removal
	ord    uint32 // the destination's ordinal
	ofPair bool   // the first or last binding of this destination by this key
	ofDst  bool   // the first or last binding of this destination
}

// add notes a binding; ok is false where it is there already.
func (l *ledger[D]) add(dst D, key string, args amqp.Table) (c change, ok bool) {
	h := hashArgs(args)
	p := pair[D]{dst, key}
	head, bound := l.pairs[p]
	if !bound {
		head = none
	}
	if l.find(head, h, args) != none {
		return change{}, false
	}
	id := l.take()
	d, known := l.dests[dst]
	if !known {
		d = holder{l.ords.take(), none}
	}
	l.recs[id] = record[D]{dst, key, args.Clone(), h, head, none, d.head}
	if d.head != none {
		l.recs[d.head].prevOfDst = id
	}
	d.head = id
	l.dests[dst] = d
	l.pairs[p] = id
	l.n++
	return change{id, d.ord, !bound, !known}, true
}

// remove strikes a binding out; ok is false where there is none. The caller
// must be done with the record before the next add.
func (l *ledger[D]) remove(dst D, key string, args amqp.Table) (c change, ok bool) {
	head, bound := l.pairs[pair[D]{dst, key}]
	if !bound {
		return change{}, false
	}
	id := l.find(head, hashArgs(args), args)
	if id == none {
		return change{}, false
	}
	return l.strike(id), true
}

// first returns the record of some binding of dst, or none.
func (l *ledger[D]) first(dst D) int32 {
	if d, ok := l.dests[dst]; ok {
		return d.head
	}
	return none
}

func (l *ledger[D]) strike(id int32) change {
	r := &l.recs[id]
	p := pair[D]{r.dst, r.key}
	c := change{id: id}
	if head := l.pairs[p]; head != id {
		for l.recs[head].nextOfPair != id {
			head = l.recs[head].nextOfPair
		}
		l.recs[head].nextOfPair = r.nextOfPair
	} else if r.nextOfPair != none {
		l.pairs[p] = r.nextOfPair
	} else {
		delete(l.pairs, p)
		c.ofPair = true
	}
	d := l.dests[r.dst]
	c.ord = d.ord
	if r.nextOfDst != none {
		l.recs[r.nextOfDst].prevOfDst = r.prevOfDst
	}
	switch {
	case r.prevOfDst != none:
		l.recs[r.prevOfDst].nextOfDst = r.nextOfDst
	case r.nextOfDst != none:
		l.dests[r.dst] = holder{d.ord, r.nextOfDst}
	default:
		delete(l.dests, r.dst)
		l.ords.give(d.ord)
		c.ofDst = true
	}
	l.n--
	r.nextOfPair = l.free
	l.free = id
	return c
}

// erase lets go of what a struck record refers to.
func (l *ledger[D]) erase(id int32) {
	l.recs[id] = record[D]{nextOfPair: l.recs[id].nextOfPair}
}

func (l *ledger[D]) find(id int32, h uint64, args amqp.Table) int32 {
	for ; id != none; id = l.recs[id].nextOfPair {
		if l.recs[id].argsHash == h && l.recs[id].args.Equivalent(args) {
			return id
		}
	}
	return none
}

func (l *ledger[D]) take() int32 {
	if id := l.free; id != none {
		l.free = l.recs[id].nextOfPair
		return id
	}
	l.recs = append(l.recs, record[D]{})
	return int32(len(l.recs) - 1)
}

// all lists the bindings, destination by destination.
func (l *ledger[D]) all() []Binding[D] {
	out := make([]Binding[D], 0, l.n)
	for _, d := range l.dests {
		for id := d.head; id != none; id = l.recs[id].nextOfDst {
			r := &l.recs[id]
			out = append(out, Binding[D]{r.dst, r.key, r.args})
		}
	}
	return out
}

// hashArgs gives equivalent tables the same hash: fields are summed, so that
// their order does not count. Tables in which a name is repeated may differ
// though they are equivalent; they count as two bindings then.
func hashArgs(t amqp.Table) (sum uint64) {
	for name, v := range t.All() {
		sum += hashField(name, v)
	}
	return sum
}
