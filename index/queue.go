package index

import "slices"

// Queue is the state of one queue: which of its messages are gone, where the
// others are, which are out for delivery, and in what order the rest will go.
// The zero value is an empty queue. It is not safe for concurrent use.
type Queue struct {
	next   uint64 // the sequence number of the next message
	floor  uint64 // all below are gone
	cursor uint64 // all below were claimed once, are in heap, or are gone
	// Of the messages from the cursor on, those below taken may be claimed or aside,
	// by TakeAt: as many as takes says, or fewer. Where taken is not above the cursor
	// there are none.
	taken uint64
	takes int

	// mark: the log says, or is about to say, that all below may have been
	// delivered. past: the same, as an earlier life of the process left it.
	mark, past uint64

	ready, unacked int
	readyBytes     int64 // bodies of ready messages
	unackedBytes   int64 // and of claimed ones

	pages  pages             // entries of messages that are not in runs
	sealed *sealed           // nil: no runs
	acks   acks              // what is gone above the floor
	heap   seqHeap           // ready again, all below cursor; stale ones are skipped
	counts map[uint64]uint32 // delivery counts of those that have one
	rare   *rare             // nil: there is nothing of the kind
	exp    *expiry           // nil: no message expires
}

// rare is what most queues do not have.
type rare struct {
	transient      int   // entries without Logged: what does not outlive the process
	transientBytes int64 // their bodies

	aside  []uint64 // unreadable messages, kept for who repairs the files; some may have gone
	asides int      // those that have not
}

func (q *Queue) rarely() *rare {
	if q.rare == nil {
		q.rare = new(rare)
	}
	return q.rare
}

// Next is the sequence number that the next message gets.
func (q *Queue) Next() uint64 { return q.next }

// Floor is the number below which everything is gone.
func (q *Queue) Floor() uint64 { return q.floor }

// Cursor is the number below which everything was claimed or is gone.
func (q *Queue) Cursor() uint64 { return q.cursor }

// Mark is the delivered mark.
func (q *Queue) Mark() uint64 { return q.mark }

// RaiseMark moves the delivered mark up.
func (q *Queue) RaiseMark(mark uint64) { q.mark = max(q.mark, mark) }

// Ready is the number of messages that can be claimed.
func (q *Queue) Ready() int { return q.ready }

// Unacked is the number of messages that are claimed.
func (q *Queue) Unacked() int { return q.unacked }

// Aside is the number of messages that were found unreadable.
func (q *Queue) Aside() int {
	if q.rare == nil {
		return 0
	}
	return q.rare.asides
}

// Len is the number of messages that are not gone.
func (q *Queue) Len() int { return q.ready + q.unacked + q.Aside() }

// ReadyBytes is the sum of the ready messages' bodies.
func (q *Queue) ReadyBytes() int64 { return q.readyBytes }

// UnackedBytes is the sum of the claimed messages' bodies.
func (q *Queue) UnackedBytes() int64 { return q.unackedBytes }

// Transient is the number of messages that are not Logged, and their bodies' bytes.
func (q *Queue) Transient() (n int, bytes int64) {
	if q.rare == nil {
		return 0, 0
	}
	return q.rare.transient, q.rare.transientBytes
}

// Gone tells whether a number is acked, purged, or was skipped.
func (q *Queue) Gone(seq uint64) bool {
	return seq < q.floor || seq < q.next && q.acks.has(q.floor, seq)
}

// Get returns the entry of a message that has one: of each that is not gone and
// not in a run, and of those in runs that were claimed.
func (q *Queue) Get(seq uint64) (Entry, bool) {
	e := q.entry(seq)
	if e == nil {
		return Entry{}, false
	}
	return q.told(seq, *e), true
}

// Unsealed copies to dst the entries of seq and of those behind it that are not in
// runs; an empty one where there is none.
func (q *Queue) Unsealed(seq uint64, dst []Entry) {
	for len(dst) > 0 {
		n := q.pages.copy(seq, dst)
		dst, seq = dst[n:], seq+uint64(n)
	}
}

// entry finds an entry, in a run or not.
func (q *Queue) entry(seq uint64) *Entry {
	if q.sealed != nil {
		if e := q.sealed.held.get(seq); e != nil {
			return e
		}
	}
	return q.pages.get(seq)
}

// told is an entry as the caller is told of it: one in a run with its segment.
func (q *Queue) told(seq uint64, e Entry) Entry {
	if e.Flags&Sealed != 0 {
		e.Addr = q.sealed.at(seq).segment
	}
	return e
}

// nextAlive returns the first message from number from on, below end, that is
// not gone. e is nil where it is in a run and has no entry.
func (q *Queue) nextAlive(from, end uint64) (seq uint64, e *Entry, ok bool) {
	if q.sealed == nil {
		seq, e = q.pages.next(from, end)
		return seq, e, e != nil
	}
	if seq = q.acks.nextClear(q.floor, max(from, q.floor), end); seq >= end {
		return end, nil, false
	}
	return seq, q.entry(seq), true
}

// Count is the delivery count of a message, 0 where it has none.
func (q *Queue) Count(seq uint64) uint32 { return q.counts[seq] }

// After calls fn with the messages behind seq that are not in runs, in order,
// until it returns false.
func (q *Queue) After(seq uint64, fn func(seq uint64, e Entry) bool) {
	for seq, e := q.pages.next(seq+1, q.next); e != nil; seq, e = q.pages.next(seq+1, q.next) {
		if !fn(seq, *e) {
			return
		}
	}
}

// Push adds a message at the end and returns its number.
func (q *Queue) Push(e Entry) uint64 {
	seq := q.next
	q.next++
	q.pages.put(seq, e)
	q.ready++
	q.readyBytes += e.Body()
	if e.Flags&Logged == 0 {
		r := q.rarely()
		r.transient++
		r.transientBytes += e.Body()
	}
	return seq
}

// Restore adds a message under the number that it had. It does nothing and
// returns false where that number, or a later one, is known already: a replay
// meets again what a checkpoint holds. Numbers left out are gone.
func (q *Queue) Restore(seq uint64, e Entry) bool {
	if seq < q.next {
		return false
	}
	q.Skip(seq)
	if e.Marked() {
		e.Flags |= Delivered
	}
	q.Push(e)
	return true
}

// Skip makes seq the next number, if it is not passed yet. Numbers left out are
// gone.
func (q *Queue) Skip(seq uint64) {
	if seq <= q.next {
		return
	}
	if q.floor == q.next {
		q.floor = seq
	} else {
		q.acks.add(q.floor, q.next, seq)
	}
	if q.cursor == q.next {
		q.cursor = seq
	}
	q.next = seq
}

// Recovered ends recovery: what the log says to be delivered counts as such
// from now on, and no number below the mark is given to a new message.
func (q *Queue) Recovered() {
	q.Skip(q.mark)
	q.past = q.mark
}

// Peek returns the message that comes next: the first of the requeued ones,
// else the one at the cursor. ok is false where nothing is ready. The entry is
// the queue's own: not to be changed, and valid until the queue is. It is nil
// where the message is in a run and has none: then TakeSealed takes it.
func (q *Queue) Peek() (seq uint64, e *Entry, ok bool) {
	for len(q.heap) > 0 {
		seq = q.heap[0]
		if e = q.entry(seq); e != nil && e.state() == requeued {
			return seq, e, true
		}
		q.heap.pop()
	}
	for {
		q.cursor, e, ok = q.nextAlive(q.cursor, q.next)
		if !ok || e == nil || e.state() == 0 {
			return q.cursor, e, ok
		}
		q.cursor++ // TakeAt has taken it
	}
}

// Take claims the message that Peek returned with an entry. It tells whether the
// message was, or may have been, delivered before, and how often it was requeued.
func (q *Queue) Take(seq uint64, e *Entry) (redelivered bool, count uint32) {
	if e.state() == requeued {
		q.heap.pop()
	} else {
		q.cursor = seq + 1
	}
	redelivered = e.Flags&Delivered != 0 || seq < q.past
	if e.Flags&counted != 0 {
		count = q.counts[seq]
	}
	e.setState(claimed)
	e.Flags |= Delivered
	q.ready--
	q.unacked++
	q.readyBytes -= e.Body()
	q.unackedBytes += e.Body()
	return redelivered, count
}

// Lookup returns a message's state, whatever that is: its entry, as Peek does, and
// whether it is ready. ok is false where it is gone.
func (q *Queue) Lookup(seq uint64) (e *Entry, ready, ok bool) {
	if e = q.entry(seq); e != nil {
		return e, e.ready(), true
	}
	ok = q.runOf(seq) != nil
	return nil, ok, ok
}

// TakeAt is Take of a message that is ready, wherever it is in the queue, and has an
// entry.
func (q *Queue) TakeAt(seq uint64, e *Entry) (redelivered bool, count uint32) {
	cursor := q.cursor
	if seq != cursor {
		q.overtake(seq)
	}
	head := len(q.heap) > 0 && q.heap[0] == seq && e.state() == requeued
	if e.state() == requeued && !head {
		e.setState(0) // what the heap still has of it is stale
	}
	redelivered, count = q.Take(seq, e)
	if !head && seq != cursor {
		q.cursor = cursor
	}
	return redelivered, count
}

// overtake notes that a message is taken that need not be the next one.
func (q *Queue) overtake(seq uint64) {
	if seq < q.cursor {
		return
	}
	if q.taken <= q.cursor {
		q.takes = 0
	}
	q.taken = max(q.taken, seq+1)
	q.takes++
}

// Untake undoes Take: the message is ready in its place as if never claimed.
// redelivered is what Take said. It does nothing unless seq is claimed. Undo
// several in descending order: then they do not pass through the heap.
func (q *Queue) Untake(seq uint64, redelivered bool) bool {
	e := q.entry(seq)
	if e == nil || e.state() != claimed {
		return false
	}
	if !redelivered {
		e.Flags &^= Delivered
	}
	q.giveBack(seq, e)
	return true
}

// Requeue makes a claimed message ready in its place and counts it. It does
// nothing unless seq is claimed.
func (q *Queue) Requeue(seq uint64) (count uint32, e Entry, ok bool) {
	p := q.entry(seq)
	if p == nil || p.state() != claimed {
		return 0, Entry{}, false
	}
	count = 1
	if p.Flags&counted != 0 {
		count += q.counts[seq]
	}
	q.setCount(seq, p, count)
	q.giveBack(seq, p)
	if q.exp != nil {
		q.exp.returned(q, seq)
	}
	return count, q.told(seq, *p), true
}

// SetCount sets the delivery count of a message that is not gone. It counts as
// delivered from then on.
func (q *Queue) SetCount(seq uint64, count uint32) {
	e := q.entry(seq)
	if e == nil {
		r := q.runOf(seq)
		if r == nil {
			return
		}
		guess := r.bare.average()
		q.unbare(r, &guess)
		q.readyBytes += guess.Body()
		e = q.hold(r, seq, guess)
	}
	e.Flags |= Delivered
	q.setCount(seq, e, count)
}

func (q *Queue) setCount(seq uint64, e *Entry, count uint32) {
	if q.counts == nil {
		q.counts = map[uint64]uint32{}
	}
	q.counts[seq] = count
	e.Flags |= counted
}

func (q *Queue) giveBack(seq uint64, e *Entry) {
	e.setState(0)
	q.unacked--
	q.ready++
	q.readyBytes += e.Body()
	q.unackedBytes -= e.Body()
	if q.exp != nil {
		q.exp.back(seq)
	}
	if seq >= q.cursor {
		return
	}
	// All from the cursor on is ready. Where nothing stands between, the
	// cursor takes the message in; else the heap.
	if _, _, ok := q.nextAlive(seq+1, q.cursor); !ok {
		q.cursor = seq
		return
	}
	e.setState(requeued)
	q.heap.push(seq)
}

// SetAside takes a claimed message, which cannot be read, out of the count of
// the claimed ones. It stays in the queue's data until it is acked or purged,
// and is ready again after a restart.
func (q *Queue) SetAside(seq uint64) {
	e := q.entry(seq)
	if e == nil || e.state() != claimed {
		return
	}
	e.setState(aside)
	q.unacked--
	q.unackedBytes -= e.Body()
	r := q.rarely()
	r.aside = append(r.aside, seq)
	r.asides++
}

// Ack removes the messages from first to last, ready ones too, and calls gone
// for each one that was there, in order. Of a message in a run it is told the
// segment as address and, where the message had no entry, the average of the
// run's sizes.
func (q *Queue) Ack(first, last uint64, gone func(seq uint64, e Entry)) {
	q.ack(first, last, false, gone)
}

// AckQuietly is Ack, but gone is not told of messages of runs that had no entry:
// these go run by run. It is for replays, of a purge of a hundred million.
func (q *Queue) AckQuietly(first, last uint64, gone func(seq uint64, e Entry)) {
	q.ack(first, last, true, gone)
}

func (q *Queue) ack(first, last uint64, quiet bool, gone func(seq uint64, e Entry)) {
	if q.next == 0 {
		return
	}
	first, last = max(first, q.floor), min(last, q.next-1)
	if first > last {
		return
	}
	end := last + 1
	for seq, e, ok := q.nextAlive(first, end); ok; seq, e, ok = q.nextAlive(seq, end) {
		if e == nil && quiet {
			seq = q.takeBares(seq, end)
		} else {
			old := q.drop(seq, e)
			if gone != nil {
				gone(seq, old)
			}
			seq++
		}
		if seq == end {
			break
		}
	}
	q.bury(first, end)
}

// drop takes a message out of the pages, the runs and the counters; e is its
// entry, nil where it has none. Until it is buried, it must not be looked for.
func (q *Queue) drop(seq uint64, e *Entry) Entry {
	if q.exp != nil {
		q.exp.forget(seq)
	}
	if e == nil {
		return q.takeBare(seq)
	}
	old := *e
	switch old.state() {
	case claimed:
		q.unacked--
		q.unackedBytes -= old.Body()
	case aside:
		q.leaveAside(seq)
	default:
		q.ready--
		q.readyBytes -= old.Body()
	}
	if old.Flags&Logged == 0 {
		q.rare.transient--
		q.rare.transientBytes -= old.Body()
	}
	if old.Flags&counted != 0 {
		delete(q.counts, seq)
		if len(q.counts) == 0 {
			q.counts = nil
		}
	}
	if old.Flags&Sealed == 0 {
		q.pages.remove(seq)
		return old
	}
	r := q.sealed.at(seq)
	old.Addr = r.segment
	r.held.sub(&old)
	q.sealed.held.remove(seq)
	q.dropIfEmpty(r)
	return old
}

// leaveAside takes a message off the list of those set aside: at once where it
// is the last, with many others where they are the greater part.
func (q *Queue) leaveAside(seq uint64) {
	r := q.rare
	if r.asides--; r.asides == 0 {
		r.aside = nil
	} else if len(r.aside) > 2*r.asides+keepHeap {
		r.aside = slices.DeleteFunc(r.aside, func(s uint64) bool { return s == seq || !q.isAside(s) })
	}
}

func (q *Queue) isAside(seq uint64) bool {
	e := q.entry(seq)
	return e != nil && e.state() == aside
}

// bury makes [from, to) gone.
func (q *Queue) bury(from, to uint64) {
	from = max(from, q.floor)
	switch {
	case q.Len() == 0:
		q.acks.reset()
		q.floor, q.cursor = q.next, q.next
		if q.exp != nil {
			q.exp.reset()
			q.exp = nil
		}
		if q.heap = q.heap[:0]; cap(q.heap) > keepHeap {
			q.heap = nil
		}
	case from >= to:
	case from == q.floor:
		q.floor = q.acks.rise(q.floor, to)
	default:
		q.acks.add(q.floor, from, to)
	}
}
