package index

// NextInRun returns the first message from number from on, below end, that is in
// a run, with an entry or without. For tools that go through runs: what is gone
// in between costs nothing, however many that is.
func (q *Queue) NextInRun(from, end uint64) (seq uint64, ok bool) {
	s := q.sealed
	if s == nil {
		return end, false
	}
	from = max(from, q.floor)
	for i := s.search(from); i < len(s.runs) && s.runs[i].first < end; i++ {
		r := &s.runs[i]
		stop := min(r.end, end)
		for seq = max(from, r.first); ; seq++ {
			if seq = q.acks.nextClear(q.floor, seq, stop); seq >= stop {
				break
			}
			if q.pages.get(seq) == nil {
				return seq, true
			}
		}
	}
	return end, false
}
