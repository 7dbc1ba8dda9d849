package index

import (
	"math"
	"slices"
	"sync"
)

// When messages expire is known of those that do: the others cost nothing. It stands
// in pages of 64 numbers beside those of the entries, of messages outside of
// segments, and in a heap of these pages by the earliest time in them. Of messages in
// segments a span is known, and the earliest time in it: who wants to know more reads
// the segment, and tells by SetExpiry of those whose time is near.
//
// All times are lower bounds: what was claimed or acked since does not raise them.

// expiry is what a queue knows of when its messages expire.
type expiry struct {
	pages map[uint64]*timePage
	last  *timePage   // found last
	heap  []*timePage // by due
	once  []uint64    // those of AtOnce, ascending, since ExpiredAtOnce was asked last

	// Where somebody takes them at once nobody asks: they are looked through for
	// those that are gone when there are so many.
	pruneOnce int

	spans []TimeSpan // a heap by Due
	prune int        // with so many spans it is time to look for those that are done with
}

// timePage is when messages expire, of 64 numbers.
type timePage struct {
	no    uint64 // number >> pageShift
	due   int64  // no ready message expires earlier
	place int    // in the heap
	live  int    // times
	out   uint64 // bits of those that were found not to be ready
	at    [pageSize]int64
}

// timePool serves all queues. Pages in it are all zero.
var timePool = sync.Pool{New: func() any { return new(timePage) }}

// TimeSpan is a stretch of messages in segments, of which no ready one expires before
// Due but those that SetExpiry told of.
type TimeSpan struct {
	Due        int64
	First, End uint64 // [First, End)
	// Block: its messages are those of one block of a segment, or were.
	Block bool
}

// AtOnce is the time of messages that have none: they are ready for who asks at once.
const AtOnce = 1

const (
	// noTime is later than all.
	noTime = math.MaxInt64
	// keepSpans is how many spans are never looked through, and keepOnce how many
	// messages of AtOnce.
	keepSpans = 64
	keepOnce  = 64
)

// PushExpiring is Push of a message that expires at that time, which is not 0.
func (q *Queue) PushExpiring(e Entry, at int64) uint64 {
	seq := q.Push(e)
	q.setTime(seq, at)
	return seq
}

// RestoreExpiring is Restore of such a message.
func (q *Queue) RestoreExpiring(seq uint64, e Entry, at int64) bool {
	if !q.Restore(seq, e) {
		return false
	}
	q.setTime(seq, at)
	return true
}

// SetExpiry tells when a message expires that is in a segment. It does nothing where
// the message is gone.
func (q *Queue) SetExpiry(seq uint64, at int64) {
	if q.runOf(seq) != nil {
		q.setTime(seq, max(at, AtOnce+1))
	}
}

// NextExpiry is a time before which no ready message expires; 0: none does.
func (q *Queue) NextExpiry() int64 {
	x := q.exp
	switch {
	case x == nil:
		return 0
	case len(x.once) > 0:
		return AtOnce
	}
	due := int64(noTime)
	if len(x.heap) > 0 {
		due = x.heap[0].due
	}
	if len(x.spans) > 0 {
		due = min(due, x.spans[0].Due)
	}
	if due == noTime {
		return 0
	}
	return due
}

// Expired returns the ready message whose time is the earliest, of those outside of
// spans, if that is not after now. e is as in Lookup. Messages of AtOnce are not
// among them.
func (q *Queue) Expired(now int64) (seq uint64, e *Entry, ok bool) {
	x := q.exp
	if x == nil {
		return 0, nil, false
	}
	for len(x.heap) > 0 && x.heap[0].due <= now {
		p := x.heap[0]
		i, due := p.earliest()
		if due != p.due {
			p.due = due
			x.down(0)
			continue
		}
		seq = p.no<<pageShift + uint64(i)
		e, ready, there := q.Lookup(seq)
		switch {
		case !there:
			x.clear(p, i)
		case !ready:
			p.out |= 1 << i
		default:
			return seq, e, true
		}
	}
	return 0, nil, false
}

// ExpiredAtOnce returns the first ready message of AtOnce. Those that are claimed
// when it is asked expire when they are given back.
func (q *Queue) ExpiredAtOnce() (seq uint64, e *Entry, ok bool) {
	for x := q.exp; x != nil && len(x.once) > 0; {
		seq := x.once[0]
		e, ready, there := q.Lookup(seq)
		if ready {
			return seq, e, true
		}
		if x.once = x.once[1:]; len(x.once) == 0 {
			x.once = nil
		}
		if there {
			q.setTime(seq, AtOnce+1)
		}
	}
	return 0, nil, false
}

// Expiry is when a message expires that is not in a segment; 0: never.
func (q *Queue) Expiry(seq uint64) int64 { return q.exp.time(seq) }

// Timed tells whether any message may expire.
func (q *Queue) Timed() bool { return q.exp != nil }

// SpanDue tells whether some span is due.
func (q *Queue) SpanDue(now int64) bool {
	return q.exp != nil && len(q.exp.spans) > 0 && q.exp.spans[0].Due <= now
}

// Times is about how many messages' times are known, other than by spans.
func (q *Queue) Times() int {
	if q.exp == nil {
		return 0
	}
	return len(q.exp.heap) * pageSize
}

// TakeSpan takes away the span that is due first, if that is not after now. What the
// caller does not tell of by SetExpiry it gives back by AddSpan.
func (q *Queue) TakeSpan(now int64) (s TimeSpan, ok bool) {
	x := q.exp
	if x == nil || len(x.spans) == 0 || x.spans[0].Due > now {
		return TimeSpan{}, false
	}
	s = x.spans[0]
	last := len(x.spans) - 1
	x.spans[0] = x.spans[last]
	x.spans = x.spans[:last]
	x.spanDown(0)
	if last == 0 {
		x.spans = nil
	}
	return s, true
}

// AddSpan notes a span, unless all of it is gone.
func (q *Queue) AddSpan(s TimeSpan) {
	if _, ok := q.NextInRun(s.First, s.End); !ok {
		return
	}
	x := q.expiry()
	if len(x.spans) >= max(x.prune, keepSpans) {
		x.spans = slices.DeleteFunc(x.spans, func(s TimeSpan) bool {
			_, ok := q.NextInRun(s.First, s.End)
			return !ok
		})
		for i := len(x.spans)/2 - 1; i >= 0; i-- {
			x.spanDown(i)
		}
		x.prune = 2 * len(x.spans)
	}
	x.spans = append(x.spans, s)
	for i := len(x.spans) - 1; i > 0; {
		up := (i - 1) / 2
		if x.spans[up].Due <= x.spans[i].Due {
			break
		}
		x.spans[i], x.spans[up] = x.spans[up], x.spans[i]
		i = up
	}
}

func (x *expiry) spanDown(i int) {
	for {
		kid := 2*i + 1
		if kid >= len(x.spans) {
			return
		}
		if kid+1 < len(x.spans) && x.spans[kid+1].Due < x.spans[kid].Due {
			kid++
		}
		if x.spans[i].Due <= x.spans[kid].Due {
			return
		}
		x.spans[i], x.spans[kid] = x.spans[kid], x.spans[i]
		i = kid
	}
}

func (q *Queue) expiry() *expiry {
	if q.exp == nil {
		q.exp = &expiry{pages: map[uint64]*timePage{}}
	}
	return q.exp
}

// setTime notes when a message expires.
func (q *Queue) setTime(seq uint64, at int64) {
	x := q.expiry()
	if at == AtOnce {
		if len(x.once) >= max(x.pruneOnce, keepOnce) {
			x.once = slices.DeleteFunc(x.once, q.Gone)
			x.pruneOnce = 2 * len(x.once)
		}
		x.once = append(x.once, seq)
		return
	}
	no := seq >> pageShift
	p := x.page(no)
	if p == nil {
		p = timePool.Get().(*timePage)
		p.no, p.due, p.place = no, noTime, len(x.heap)
		x.pages[no], x.last = p, p
		x.heap = append(x.heap, p)
	}
	slot := &p.at[seq&pageMask]
	if *slot == 0 {
		p.live++
	}
	*slot = at
	p.out &^= 1 << (seq & pageMask)
	x.lower(p, at)
}

// back notes that a message is ready again.
func (x *expiry) back(seq uint64) {
	if p := x.page(seq >> pageShift); p != nil && p.at[seq&pageMask] != 0 {
		p.out &^= 1 << (seq & pageMask)
		x.lower(p, p.at[seq&pageMask])
	}
}

// returned notes that a message was requeued: one of AtOnce has expired.
func (x *expiry) returned(q *Queue, seq uint64) {
	if _, ok := slices.BinarySearch(x.once, seq); ok {
		q.setTime(seq, AtOnce+1)
	}
}

// time is when a message expires; 0: never, or a span has it.
func (x *expiry) time(seq uint64) int64 {
	if x == nil {
		return 0
	}
	if p := x.page(seq >> pageShift); p != nil && p.at[seq&pageMask] != 0 {
		return p.at[seq&pageMask]
	}
	if _, ok := slices.BinarySearch(x.once, seq); ok {
		return AtOnce
	}
	return 0
}

// forget drops the time of a message that is gone, or in a span from now on.
func (x *expiry) forget(seq uint64) {
	if p := x.page(seq >> pageShift); p != nil && p.at[seq&pageMask] != 0 {
		x.clear(p, int(seq&pageMask))
	}
}

// forgetGone drops the times of messages from number from on that are gone.
func (q *Queue) forgetGone(from uint64) {
	for _, p := range slices.Clone(q.exp.heap) {
		base := p.no << pageShift
		for k, left := 0, p.live; k < pageSize && left > 0; k++ {
			if p.at[k] == 0 {
				continue
			}
			left--
			if seq := base + uint64(k); seq >= from && q.Gone(seq) {
				q.exp.clear(p, k)
			}
		}
	}
}

func (x *expiry) page(no uint64) *timePage {
	if x.last != nil && x.last.no == no {
		return x.last
	}
	p := x.pages[no]
	if p != nil {
		x.last = p
	}
	return p
}

// clear drops one time, and the page with its last.
func (x *expiry) clear(p *timePage, i int) {
	p.at[i] = 0
	p.out &^= 1 << i
	if p.live--; p.live > 0 {
		return
	}
	delete(x.pages, p.no)
	if x.last == p {
		x.last = nil
	}
	last := len(x.heap) - 1
	end := x.heap[last]
	x.heap[last] = nil
	x.heap = x.heap[:last]
	if at := p.place; at < last {
		x.heap[at], end.place = end, at
		x.up(at)
		x.down(end.place)
	}
	*p = timePage{}
	timePool.Put(p)
}

// reset forgets all.
func (x *expiry) reset() {
	for _, p := range x.heap {
		*p = timePage{}
		timePool.Put(p)
	}
}

// earliest is the message with the least time, of those that may be ready.
func (p *timePage) earliest() (i int, due int64) {
	due = noTime
	for k, at := range p.at {
		if at != 0 && at < due && p.out>>k&1 == 0 {
			i, due = k, at
		}
	}
	return i, due
}

// before tells which page comes first in the heap.
func (p *timePage) before(o *timePage) bool {
	return p.due < o.due || p.due == o.due && p.no < o.no
}

// lower makes a page due at that time, if it is later than that.
func (x *expiry) lower(p *timePage, at int64) {
	if at < p.due {
		p.due = at
		x.up(p.place)
	}
}

func (x *expiry) up(i int) {
	for i > 0 {
		up := (i - 1) / 2
		if !x.heap[i].before(x.heap[up]) {
			return
		}
		x.swap(i, up)
		i = up
	}
}

func (x *expiry) down(i int) {
	for {
		kid := 2*i + 1
		if kid >= len(x.heap) {
			return
		}
		if kid+1 < len(x.heap) && x.heap[kid+1].before(x.heap[kid]) {
			kid++
		}
		if !x.heap[kid].before(x.heap[i]) {
			return
		}
		x.swap(i, kid)
		i = kid
	}
}

func (x *expiry) swap(i, k int) {
	h := x.heap
	h[i], h[k] = h[k], h[i]
	h[i].place, h[k].place = i, k
}
