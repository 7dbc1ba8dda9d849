package index

import (
	"math"
	"slices"
)

// Run is a span of a queue's messages that lie in one segment. Those of the
// span that are gone, or that have an entry outside of segments, do not belong
// to it.
type Run struct {
	First, End uint64 // [First, End)
	Segment    uint64
	Live       uint64 // messages that are not gone
	Bytes      int64  // their lengths
	Body       int64  // their bodies
	Expires    int64  // none of its messages has expired before; 0: none ever does
}

// run is a Run as the queue keeps it. A message of a run has an entry, in held,
// only where there is more to say of it than that it is there; without one it is
// bare. So a run of millions costs one of these.
type run struct {
	first, end uint64
	segment    uint64
	expires    int64 // the earliest there ever was; 0: none
	bare, held size
}

// expiring notes that a message of the run expires at that time, or a run that was
// joined to it; 0: never.
func (r *run) expiring(at int64) {
	if at != 0 && (r.expires == 0 || at < r.expires) {
		r.expires = at
	}
}

// size is what some messages come to.
type size struct {
	n           uint64
	bytes, body int64
}

func (s *size) add(e *Entry) {
	s.n++
	s.bytes += int64(e.Len)
	s.body += e.Body()
}

func (s *size) sub(e *Entry) {
	s.n--
	s.bytes -= int64(e.Len)
	s.body -= e.Body()
}

func (s *size) plus(o size) {
	s.n += o.n
	s.bytes += o.bytes
	s.body += o.body
}

// average returns what one message is taken for where nothing is known of it.
func (s *size) average() Entry {
	e := Entry{Flags: Logged | Sealed | present}
	e.setSize(s.bytes/int64(s.n), s.body/int64(s.n))
	return e
}

// setSize sets the lengths, as near as an entry can say.
func (e *Entry) setSize(length, body int64) {
	length = min(max(length, 0), math.MaxUint32)
	body = min(max(body, length-MaxOverhead, 0), length)
	e.Len = uint32(length)
	e.Flags = e.Flags&flagMask | uint32(length-body)<<flagBits
}

func (r *run) public(floor uint64) Run {
	return Run{
		First: max(r.first, floor), End: r.end, Segment: r.segment,
		Live: r.bare.n + r.held.n, Bytes: r.bare.bytes + r.held.bytes, Body: r.bare.body + r.held.body,
		Expires: r.expires,
	}
}

// sealed is what a queue has in segments.
type sealed struct {
	runs []run // disjoint, ascending, none without a live message
	held pages // entries of messages in runs that have one
	hint int   // index of the run found last
}

// search returns the index of the first run that ends behind seq.
func (s *sealed) search(seq uint64) int {
	if h := s.hint; h < len(s.runs) && s.runs[h].first <= seq && seq < s.runs[h].end {
		return h
	}
	i, _ := slices.BinarySearchFunc(s.runs, seq, func(r run, seq uint64) int {
		if r.end <= seq {
			return -1
		}
		return 1
	})
	s.hint = i
	return i
}

// at returns the run that covers seq, nil where none does. It is valid until
// runs come or go.
func (s *sealed) at(seq uint64) *run {
	if i := s.search(seq); i < len(s.runs) && s.runs[i].first <= seq {
		return &s.runs[i]
	}
	return nil
}

// dropIfEmpty forgets a run of which nothing is left.
func (q *Queue) dropIfEmpty(r *run) {
	if r.bare.n+r.held.n > 0 {
		return
	}
	s := q.sealed
	if i := s.search(r.first); i == 0 {
		s.runs = s.runs[1:]
	} else {
		s.runs = slices.Delete(s.runs, i, i+1)
	}
	if len(s.runs) == 0 {
		q.sealed = nil
	}
}

// Runs calls fn with the runs, ascending, until it returns false.
func (q *Queue) Runs(fn func(Run) bool) {
	if q.sealed == nil {
		return
	}
	for i := range q.sealed.runs {
		if !fn(q.sealed.runs[i].public(q.floor)) {
			return
		}
	}
}

// RunOf returns the run that a message belongs to; ok is false where it is gone
// or not in a segment.
func (q *Queue) RunOf(seq uint64) (r Run, ok bool) {
	if p := q.runOf(seq); p != nil {
		return p.public(q.floor), true
	}
	return Run{}, false
}

// InRun returns the segment that a message is in; ok is false where it is gone
// or not in a segment.
func (q *Queue) InRun(seq uint64) (segment uint64, ok bool) {
	if p := q.runOf(seq); p != nil {
		return p.segment, true
	}
	return 0, false
}

func (q *Queue) runOf(seq uint64) *run {
	if q.sealed == nil || q.Gone(seq) || q.pages.get(seq) != nil {
		return nil
	}
	return q.sealed.at(seq)
}

// NextSealed returns the first message from number from on, below end, that is
// in a run and has no entry.
func (q *Queue) NextSealed(from, end uint64) (seq uint64, ok bool) {
	s := q.sealed
	if s == nil {
		return end, false
	}
	from = max(from, q.floor)
	for i := s.search(from); i < len(s.runs) && s.runs[i].first < end; i++ {
		r := &s.runs[i]
		if r.bare.n == 0 {
			continue
		}
		stop := min(r.end, end)
		for seq = max(from, r.first); ; seq++ {
			if seq = q.acks.nextClear(q.floor, seq, stop); seq >= stop {
				break
			}
			if q.entry(seq) == nil {
				return seq, true
			}
		}
	}
	return end, false
}

// TakeSealed claims the message that Peek returned without an entry. length and
// body are what it really has. It tells whether the message may have been
// delivered before; it was never requeued.
func (q *Queue) TakeSealed(seq uint64, length, body uint32) (redelivered bool) {
	r := q.sealed.at(seq)
	e := Entry{Flags: Logged | Sealed | Delivered | claimed}
	e.setSize(int64(length), int64(body))
	q.unbare(r, &e)
	q.hold(r, seq, e)
	q.cursor = seq + 1
	q.ready--
	q.unacked++
	q.unackedBytes += e.Body()
	return seq < q.past
}

// TakeSealedAt is TakeSealed of a message that is ready, wherever it is in the queue,
// and has no entry.
func (q *Queue) TakeSealedAt(seq uint64, length, body uint32) (redelivered bool) {
	cursor := q.cursor
	if seq != cursor {
		q.overtake(seq)
	}
	redelivered = q.TakeSealed(seq, length, body)
	if seq != cursor {
		q.cursor = cursor
	}
	return redelivered
}

// Measure tells the size of a message that is in a run and has no entry; of all
// others it is known. The message stays where it is, ready.
func (q *Queue) Measure(seq uint64, length, body uint32) {
	r := q.runOf(seq)
	if r == nil || q.sealed.held.get(seq) != nil {
		return
	}
	e := Entry{Flags: Logged | Sealed}
	e.setSize(int64(length), int64(body))
	q.unbare(r, &e)
	q.readyBytes += e.Body()
	q.hold(r, seq, e)
}

// unbare takes a message like e out of the run's bare ones, and what it was
// taken for out of the ready ones' bytes. The last one takes all that is left:
// what was guessed wrong does not outlive the run.
func (q *Queue) unbare(r *run, e *Entry) {
	was := r.bare.body
	r.bare.n--
	if r.bare.n == 0 {
		r.bare = size{}
	} else {
		r.bare.bytes = max(0, r.bare.bytes-int64(e.Len))
		r.bare.body = min(max(0, r.bare.body-e.Body()), r.bare.bytes)
	}
	q.readyBytes -= was - r.bare.body
}

// hold gives a message of a run an entry.
func (q *Queue) hold(r *run, seq uint64, e Entry) *Entry {
	e.Addr = 0
	r.held.add(&e)
	return q.sealed.held.insert(seq, e)
}

// takeBare makes a message of a run that has no entry leave the run.
func (q *Queue) takeBare(seq uint64) Entry {
	r := q.sealed.at(seq)
	e := r.bare.average()
	e.Addr = r.segment
	q.unbare(r, &e)
	q.ready--
	q.dropIfEmpty(r)
	return e
}

// takeBares is takeBare for a stretch of messages: from seq, which is one, up to
// one that has an entry, the run's end, or end. It returns where the stretch ends.
func (q *Queue) takeBares(seq, end uint64) uint64 {
	s := q.sealed
	r := s.at(seq)
	end = min(end, r.end)
	if at, e := s.held.next(seq, end); e != nil {
		end = at
	}
	if at, e := q.pages.next(seq, end); e != nil {
		end = at
	}
	n := end - seq - q.acks.count(q.floor, seq, end)
	was := r.bare
	r.bare = size{}
	if n < was.n {
		r.bare = size{was.n - n, was.bytes - share(was.bytes, n, was.n), was.body - share(was.body, n, was.n)}
	}
	q.ready -= int(n)
	q.readyBytes -= was.body - r.bare.body
	q.dropIfEmpty(r)
	return end
}

// Seal tells the queue that of the messages from first on, below end, those
// whose entry has Logged and an address for which in is true are in a segment
// from now on. What a run covers already stays in that run and only loses such
// entries: so a replay may tell it again. moved, if not nil, is called with each
// entry before it goes.
func (q *Queue) Seal(first, end, segment uint64, in func(addr uint64) bool, moved func(seq uint64, e Entry)) {
	end = min(end, q.next)
	var r *run // takes what follows up to limit
	limit := uint64(0)
	var span TimeSpan // of what expires
	for seq, e := q.pages.next(max(first, q.floor), end); e != nil; seq, e = q.pages.next(seq+1, end) {
		if e.Flags&Logged == 0 {
			continue
		}
		if !in(e.Addr) {
			r = nil // a run does not reach over what stays in the log
			continue
		}
		if r == nil || seq >= limit {
			r, limit = q.runFor(seq, end, segment)
		}
		r.end = max(r.end, seq+1)
		if moved != nil {
			moved(seq, *e)
		}
		old := *e
		q.pages.remove(seq)
		at := q.exp.time(seq)
		r.expiring(at)
		if old.Flags&(Delivered|counted|aside) != 0 { // its time stays where it is
			old.Flags |= Sealed
			q.hold(r, seq, old)
		} else {
			r.bare.add(&old)
			if at != 0 {
				q.exp.forget(seq)
				if span.Due == 0 {
					span = TimeSpan{Due: at, First: seq}
				}
				span.Due, span.End = min(span.Due, at), seq+1
			}
		}
	}
	if s := q.sealed; s != nil {
		q.join(max(s.search(first)-1, 0), s.search(end)+1)
	}
	if span.Due != 0 {
		q.AddSpan(span)
	}
}

// runFor returns the run that covers seq, or a new one that begins with it, and
// up to where it can take what follows.
func (q *Queue) runFor(seq, end, segment uint64) (r *run, limit uint64) {
	if q.sealed == nil {
		q.sealed = new(sealed)
	}
	s := q.sealed
	i := s.search(seq)
	if i < len(s.runs) && s.runs[i].first <= seq {
		return &s.runs[i], s.runs[i].end
	}
	if i < len(s.runs) {
		end = min(end, s.runs[i].first)
	}
	s.runs = slices.Insert(s.runs, i, run{first: seq, end: seq, segment: segment})
	s.hint = i
	return &s.runs[i], end
}

// Relabel gives each run the segment that resolve makes of its own: after
// segments were merged.
func (q *Queue) Relabel(resolve func(segment uint64) uint64) {
	if q.sealed == nil {
		return
	}
	for i := range q.sealed.runs {
		r := &q.sealed.runs[i]
		r.segment = resolve(r.segment)
	}
	q.join(0, len(q.sealed.runs))
}

// joinMost is how far apart neighbours may be for join to look what stands
// between them. It bounds what a Seal takes, and the numbers that a snapshot of
// the acks in runs goes through.
const joinMost = 4096

// join makes one run of neighbours in one segment, among runs[lo:hi]. What stands
// between them must not be in the log: a later Seal would take it for a part of
// the run.
func (q *Queue) join(lo, hi int) {
	s := q.sealed
	hi = min(hi, len(s.runs))
	n := lo
	for _, r := range s.runs[lo:hi] {
		if n > lo {
			if p := &s.runs[n-1]; p.segment == r.segment && r.first-p.end <= joinMost && !q.loggedBetween(p.end, r.first) {
				p.end = r.end
				p.expiring(r.expires)
				p.bare.plus(r.bare)
				p.held.plus(r.held)
				continue
			}
		}
		s.runs[n] = r
		n++
	}
	s.runs = slices.Delete(s.runs, n, hi)
	s.hint = 0
}

func (q *Queue) loggedBetween(from, end uint64) bool {
	for from < end {
		seq, e := q.pages.next(from, end)
		if e == nil {
			return false
		}
		if e.Flags&Logged != 0 {
			return true
		}
		from = seq + 1
	}
	return false
}
