package index

import "slices"

// Removed is what a purge or a deletion took out of a queue at one stroke. The
// entries are still in their pages, so that a queue of millions is emptied
// under its lock by moving a list, and gone through afterwards without it.
type Removed struct {
	// Ready is how many of the entries were ready.
	Ready int
	loose []Entry
	pages []pageRef
}

// Each calls fn for every entry and gives the pages back: once.
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
	r.loose, r.pages = nil, nil
}

// Loose is the number of ranges, at most, that a Purge now would report.
func (q *Queue) Loose() int { return len(q.heap) + len(q.aside) + 1 }

// Purge removes what is ready, and what was set aside. It calls gone with the
// ranges of numbers, ascending, that the log must say to be gone.
func (q *Queue) Purge(gone func(first, last uint64)) Removed {
	r := Removed{Ready: q.ready}
	seqs := slices.Clone(q.aside)
	for _, seq := range q.heap {
		if e := q.pages.get(seq); e != nil && e.Flags&requeued != 0 {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs) // the heap may hold one twice
	for _, seq := range seqs {
		r.loose = append(r.loose, q.drop(seq, q.pages.get(seq)))
	}
	q.heap = nil

	// All from the cursor on is ready. Its first page may hold claimed
	// messages too; the others go whole.
	from, end := q.cursor, q.next
	for {
		seq, e := q.pages.next(from, min(end, (from|pageMask)+1))
		if e == nil {
			break
		}
		r.loose = append(r.loose, q.drop(seq, e))
	}
	r.pages = q.pages.cut((from | pageMask) + 1)
	for seq := range q.counts {
		if seq >= from {
			delete(q.counts, seq)
		}
	}
	if len(q.counts) == 0 {
		q.counts = nil
	}
	q.ready, q.readyBytes = 0, 0
	q.cursor = end

	for i := 0; i < len(seqs); {
		k := i + 1
		for k < len(seqs) && seqs[k] == seqs[k-1]+1 {
			k++
		}
		gone(seqs[i], seqs[k-1])
		q.bury(seqs[i], seqs[k-1]+1)
		i = k
	}
	if from < end {
		gone(from, end-1)
		q.bury(from, end)
	}
	return r
}

// Trim removes the oldest ready messages until at most so many messages, and so
// many bytes of bodies, are ready; negative is no bound. It calls gone for each
// message, and then ranges with the range of numbers, ascending, that the log
// must say to be gone. It returns how many it removed.
func (q *Queue) Trim(messages, bytes int64, gone func(seq uint64, e Entry), ranges func(first, last uint64)) int {
	n := 0
	var first, end uint64 // the range so far
	fresh := false        // it was taken at the cursor
	for messages >= 0 && int64(q.ready) > messages || bytes >= 0 && q.readyBytes > bytes {
		seq, e := q.Peek()
		if e == nil {
			break
		}
		// Between two messages from the cursor on, all is gone.
		atCursor := e.Flags&requeued == 0
		if n > 0 && seq != end && !(fresh && atCursor) {
			ranges(first, end-1)
			q.bury(first, end)
			first = seq
		} else if n == 0 {
			first = seq
		}
		gone(seq, q.drop(seq, e))
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
	q.acks.reset()
	*q = Queue{next: q.next, floor: q.next, cursor: q.next, mark: q.mark, past: q.past}
	return r
}
