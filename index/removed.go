package index

import "slices"

// Removed is what a purge or a deletion took out of a queue at one stroke. The
// entries are still in their pages, so that a queue of millions is emptied
// under its lock by moving a list, and gone through afterwards without it.
type Removed struct {
	// Ready is how many of the entries were ready.
	Ready int
	// Runs is what was taken out of runs: several of one segment may be there.
	Runs  []Run
	loose []Entry
	pages []pageRef
	held  []pageRef // counted in Runs
}

// sealed notes a message of a run.
func (r *Removed) sealed(seq uint64, e Entry) {
	if n := len(r.Runs); n == 0 || r.Runs[n-1].Segment != e.Addr {
		r.Runs = append(r.Runs, Run{First: seq, End: seq + 1, Segment: e.Addr})
	}
	last := &r.Runs[len(r.Runs)-1]
	last.First, last.End = min(last.First, seq), max(last.End, seq+1)
	last.Live++
	last.Bytes += int64(e.Len)
	last.Body += e.Body()
}

// one notes an entry that was dropped.
func (r *Removed) one(seq uint64, e Entry) {
	if e.Flags&Sealed != 0 {
		r.sealed(seq, e)
	} else {
		r.loose = append(r.loose, e)
	}
}

// Each calls fn for every entry of messages that were not in runs, and gives the
// pages back: once.
func (r *Removed) Each(fn func(Entry)) {
	for _, e := range r.loose {
		fn(e)
	}
	for _, p := range r.pages {
		if p.p == nil {
			continue
		}
		for i := range p.p {
			if e := &p.p[i]; e.Flags&present != 0 {
				fn(*e)
				*e = Entry{}
			}
		}
		pagePool.Put(p.p)
	}
	for _, p := range r.held {
		if p.p != nil {
			clear(p.p[:])
			pagePool.Put(p.p)
		}
	}
	r.loose, r.pages, r.held = nil, nil, nil
}

// Loose is the number of ranges, at most, that a Purge now would report.
func (q *Queue) Loose() int {
	n := len(q.heap) + 1
	if q.rare != nil {
		n += len(q.rare.aside)
	}
	if q.taken > q.cursor {
		n += q.takes
	}
	return n
}

// Purge removes what is ready, and what was set aside. It calls gone with the
// ranges of numbers, ascending, that the log must say to be gone.
func (q *Queue) Purge(gone func(first, last uint64)) Removed {
	r := Removed{Ready: q.ready}
	transient, _ := q.Transient()
	alike := transient == q.Len()
	var seqs []uint64
	if q.rare != nil {
		seqs = slices.DeleteFunc(slices.Clone(q.rare.aside), func(seq uint64) bool { return !q.isAside(seq) })
	}
	for _, seq := range q.heap {
		if e := q.entry(seq); e != nil && e.state() == requeued {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs) // the heap may hold one twice
	for _, seq := range seqs {
		r.one(seq, q.drop(seq, q.entry(seq)))
	}
	q.heap = nil

	// All from the cursor on is ready, but for what was taken out of turn, which is
	// put aside meanwhile. The first page may hold such messages of before the
	// cursor too; the others go whole.
	from, end := q.cursor, q.next
	first := from
	i, _ := slices.BinarySearch(seqs, from)
	seqs = seqs[:i] // the others are of what goes anyway
	var stay []placed
	for seq, e := q.pages.next(from, q.taken); e != nil; seq, e = q.pages.next(seq+1, q.taken) {
		if !e.ready() {
			stay = append(stay, placed{seq, *e})
			q.pages.remove(seq)
		}
	}
	held := q.purgeRuns(from, &r)
	for {
		seq, e := q.pages.next(from, min(end, (from|pageMask)+1))
		if e == nil {
			break
		}
		r.loose = append(r.loose, q.drop(seq, e))
	}
	r.pages = q.pages.cut((from | pageMask) + 1)
	for _, p := range stay {
		q.pages.put(p.seq, p.Entry)
		held = append(held, p.seq)
	}
	slices.Sort(held)
	for seq := range q.counts {
		if seq >= from && q.entry(seq) == nil {
			delete(q.counts, seq)
		}
	}
	if len(q.counts) == 0 {
		q.counts = nil
	}
	q.ready, q.readyBytes = 0, 0
	q.cursor = end
	q.countTransient(alike)

	for i := 0; i < len(seqs); {
		k := i + 1
		for k < len(seqs) && seqs[k] == seqs[k-1]+1 {
			k++
		}
		gone(seqs[i], seqs[k-1])
		q.bury(seqs[i], seqs[k-1]+1)
		i = k
	}
	for _, seq := range append(held, end) {
		if from < seq {
			gone(from, seq-1)
			q.bury(from, seq)
		}
		from = seq + 1
	}
	if q.exp != nil {
		q.forgetGone(first)
	}
	return r
}

// countTransient counts anew, after a purge, of which only claimed messages are left:
// all of them where only such were there, one by one where both kinds were.
func (q *Queue) countTransient(all bool) {
	r := q.rare
	switch {
	case r == nil || r.transient == 0:
	case all:
		r.transient, r.transientBytes = q.unacked, q.unackedBytes
	default:
		r.transient, r.transientBytes = 0, 0
		for seq, e := q.pages.next(q.floor, q.next); e != nil; seq, e = q.pages.next(seq+1, q.next) {
			if e.Flags&Logged == 0 {
				r.transient++
				r.transientBytes += e.Body()
			}
		}
	}
}

// placed is an entry and its place.
type placed struct {
	seq uint64
	Entry
}

// purgeRuns takes all that is not below from, and ready, out of the runs. It
// returns what is not ready.
func (q *Queue) purgeRuns(from uint64, removed *Removed) (held []uint64) {
	if q.sealed == nil {
		return nil
	}
	s := q.sealed
	kept := s.runs[:0]
	for _, r := range s.runs {
		if r.end > from {
			out := r
			for seq, e := s.held.next(max(r.first, from), r.end); e != nil; seq, e = s.held.next(seq+1, r.end) {
				if !e.ready() {
					held = append(held, seq)
					continue
				}
				r.held.sub(e)
				s.held.remove(seq)
			}
			out.held.n -= r.held.n
			out.held.bytes -= r.held.bytes
			out.held.body -= r.held.body
			r.bare = size{}
			if out.held.n+out.bare.n > 0 {
				removed.Runs = append(removed.Runs, out.public(max(q.floor, from)))
			}
			if r.held.n == 0 {
				continue
			}
		}
		kept = append(kept, r)
	}
	if s.runs, s.hint = kept, 0; len(kept) == 0 {
		q.sealed = nil
	}
	return held
}

// TrimMost is how many messages a Trim removes at the most: it is called under
// locks.
const TrimMost = 8192

// Trim removes the oldest ready messages until at most so many messages, and so
// many bytes of bodies, are ready; negative is no bound. It stops after TrimMost
// messages and, where there is a bound on bytes, before a message whose size is
// not known: an average may be far from it. See Measure. It calls gone for each
// message, and then ranges with the range of numbers, ascending, that the log
// must say to be gone. It returns how many it removed.
func (q *Queue) Trim(messages, bytes int64, gone func(seq uint64, e Entry), ranges func(first, last uint64)) int {
	n := 0
	var first, end uint64 // the range so far
	fresh := false        // it was taken at the cursor
	for n < TrimMost && (messages >= 0 && int64(q.ready) > messages || bytes >= 0 && q.readyBytes > bytes) {
		seq, e, ok := q.Peek()
		if !ok || e == nil && bytes >= 0 {
			break
		}
		// Between two messages from the cursor on, all is gone that nobody has taken.
		atCursor := e == nil || e.state() != requeued
		if n > 0 && seq != end && !(fresh && atCursor && q.taken <= end) {
			ranges(first, end-1)
			q.bury(first, end)
			first = seq
		} else if n == 0 {
			first = seq
		}
		gone(seq, q.drop(seq, e))
		if atCursor {
			q.cursor = seq + 1
		}
		end, fresh = seq+1, atCursor
		n++
	}
	if n > 0 {
		ranges(first, end-1)
		q.bury(first, end)
	}
	return n
}

// Clear empties the queue, claimed messages and all.
func (q *Queue) Clear() Removed {
	r := Removed{Ready: q.ready, pages: q.pages.refs[q.pages.head:]}
	if q.exp != nil {
		q.exp.reset()
	}
	if q.sealed != nil {
		q.Runs(func(run Run) bool {
			r.Runs = append(r.Runs, run)
			return true
		})
		r.held = q.sealed.held.refs[q.sealed.held.head:]
	}
	q.acks.reset()
	*q = Queue{next: q.next, floor: q.next, cursor: q.next, mark: q.mark, past: q.past}
	return r
}
