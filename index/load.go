package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Loader builds a queue from its blocks, which come in the order in which they
// are written: state, entries, runs, acks.
type Loader struct {
	q      *Queue
	next   uint64 // number from which entries may follow
	held   pages  // entries of messages in runs
	loaded []run  // with all in bare
	runs   bool   // the block was there
	times  bool   // that with their times was there
	floor  uint64 // the highest that an ack block had
	chunk  uint64 // from which acks may follow
	first  bool   // the message at the queue's floor is gone
}

var errShort = errors.New("block ends too early")

// reader takes varints from a block.
type reader struct {
	p     []byte
	short bool // a number was missing
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.short = true
		r.p = nil
		return 0
	}
	r.p = r.p[n:]
	return v
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// LoadState begins a queue from its state block and returns the queue's id.
func LoadState(p []byte) (id uint32, l Loader, err error) {
	r := reader{p: p}
	number, floor, span, mark := r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	switch {
	case r.short:
		return 0, Loader{}, errShort
	case len(r.p) != 0:
		return 0, Loader{}, errors.New("block is too long")
	case number > 1<<32-1:
		return 0, Loader{}, fmt.Errorf("queue id %d is impossible", number)
	case span > maxSpan || floor+span < floor || mark > floor+span+maxSpan:
		return 0, Loader{}, fmt.Errorf("queue %d: impossible numbers: floor %d, %d above it, mark %d", number, floor, span, mark)
	}
	q := &Queue{next: floor + span, floor: floor, cursor: floor, mark: mark}
	return uint32(number), Loader{q: q, next: floor}, nil
}

// LoadEntries adds the messages of an entry block, which follow those of the
// blocks before, and calls fn for each that is not in a run.
func (l *Loader) LoadEntries(p []byte, fn func(Entry)) error {
	if len(p) == 0 {
		return nil
	}
	q := l.q
	r := reader{p: p}
	from := r.uvarint()
	switch {
	case r.short:
		return errShort
	case l.runs:
		return errors.New("entries behind runs")
	case from < l.next || from > q.next:
		return fmt.Errorf("entries from %d on do not follow those up to %d, or pass %d", from, l.next, q.next)
	}
	c := entryEncoder{at: from}
	for len(r.p) > 0 {
		tag := r.p[0]
		r.p = r.p[1:]
		if tag&tagSealed != 0 && tag&(tagAddr|tagExpires) != 0 {
			return fmt.Errorf("entry has the impossible tag %#x", tag)
		}
		seq := c.at
		if tag&tagGap != 0 {
			seq += r.uvarint()
		}
		if tag&tagAddr != 0 {
			c.gap = uint64(r.varint())
		}
		if tag&tagLen != 0 {
			v := r.uvarint()
			if v > 1<<32-1 {
				return fmt.Errorf("message %d has an impossible length of %d bytes", seq, v)
			}
			c.length = uint32(v)
		}
		if tag&tagOverhead != 0 {
			v := r.uvarint()
			if v > MaxOverhead {
				return fmt.Errorf("message %d has an impossible overhead of %d bytes", seq, v)
			}
			c.overhead = uint32(v)
		}
		count := uint32(0)
		if tag&tagCount != 0 {
			count = uint32(r.uvarint())
		}
		if tag&tagExpires != 0 {
			c.expires += r.varint()
		}
		switch {
		case r.short:
			return errShort
		case seq < c.at || seq >= q.next:
			return fmt.Errorf("message %d is not between %d and %d", seq, c.at, q.next)
		case tag&tagExpires != 0 && c.expires <= 0:
			return fmt.Errorf("message %d expires at the impossible time %d", seq, c.expires)
		case c.overhead > c.length:
			return fmt.Errorf("message %d has %d bytes and %d more than that are no body", seq, c.length, c.overhead)
		}
		e := Entry{Len: c.length, Flags: c.overhead<<flagBits | Logged}
		if tag&tagDelivered != 0 {
			e.Flags |= Marked | Delivered
		}
		if count != 0 {
			q.setCount(seq, &e, count)
			e.Flags |= Delivered
		}
		c.at = seq + 1
		l.next = c.at
		if tag&tagSealed != 0 {
			e.Flags |= Sealed
			l.held.put(seq, e)
			continue
		}
		e.Addr = c.addr + c.gap
		c.addr = e.Addr + uint64(e.Len)
		q.pages.put(seq, e)
		q.ready++
		q.readyBytes += e.Body()
		if tag&tagExpires != 0 {
			q.setTime(seq, c.expires)
		}
		if fn != nil {
			fn(e)
		}
	}
	return nil
}

// LoadRuns adds the runs.
func (l *Loader) LoadRuns(p []byte) error {
	if l.runs {
		return errors.New("runs stand there twice")
	}
	l.runs = true
	r := reader{p: p}
	prev, segment, total := uint64(0), uint64(0), uint64(0)
	for len(r.p) > 0 {
		first := prev + r.uvarint()
		span := r.uvarint()
		segment += uint64(r.varint())
		live, length, overhead := r.uvarint(), r.uvarint(), r.uvarint()
		switch {
		case r.short:
			return errShort
		case first < prev || span == 0 || span > l.q.next || first > l.q.next-span:
			return fmt.Errorf("run of %d numbers from %d on does not follow %d, or passes %d", span, first, prev, l.q.next)
		case live == 0 || length > maxBytes-total || overhead > length:
			return fmt.Errorf("run from %d on has impossible sizes: %d messages, %d bytes, %d of them no bodies", first, live, length, overhead)
		}
		prev = first + span
		total += length
		l.loaded = append(l.loaded, run{first: first, end: prev, segment: segment,
			bare: size{n: live, bytes: int64(length), body: int64(length - overhead)}})
	}
	return nil
}

// LoadTimes adds the times of the runs.
func (l *Loader) LoadTimes(p []byte) error {
	if !l.runs || l.times {
		return errors.New("times without runs, or twice")
	}
	l.times = true
	r := reader{p: p}
	end, at := uint64(0), int64(0)
	rest := l.loaded
	for len(r.p) > 0 {
		first := end + r.uvarint()
		span := r.uvarint()
		at += r.varint()
		switch {
		case r.short:
			return errShort
		case first < end || span == 0 || span > l.q.next || first > l.q.next-span:
			return fmt.Errorf("times of %d numbers from %d on do not follow %d, or pass %d", span, first, end, l.q.next)
		case at <= 0:
			return fmt.Errorf("messages from %d on expire at the impossible time %d", first, at)
		}
		end = first + span
		for len(rest) > 0 && rest[0].end <= first {
			rest = rest[1:]
		}
		for i := 0; i < len(rest) && rest[i].first < end; i++ {
			rest[i].expiring(at)
		}
	}
	return nil
}

// LoadAcks adds a block of acks.
func (l *Loader) LoadAcks(p []byte) error {
	if !l.runs {
		return errors.New("acks before runs")
	}
	r := reader{p: p}
	floor := r.uvarint()
	l.floor = max(l.floor, min(floor, l.q.next))
	no := uint64(0)
	for len(r.p) > 0 {
		no += r.uvarint()
		n := r.uvarint()
		switch {
		case r.short:
			return errShort
		case no < l.chunk || no > l.q.next>>chunkShift:
			return fmt.Errorf("acks from chunk %d on do not follow those before %d, or pass %d", no, l.chunk, l.q.next)
		}
		l.chunk = no + 1
		base := no << chunkShift
		if n == 0 {
			if len(r.p) < chunkSize/8 {
				return errShort
			}
			for w := range uint64(chunkSize / 64) {
				for v := le.Uint64(r.p[w*8:]); v != 0; {
					i := uint64(bits.TrailingZeros64(v))
					k := uint64(bits.TrailingZeros64(^(v >> i)))
					l.acked(base+w*64+i, base+w*64+i+k)
					v &^= mask(i, i+k)
				}
			}
			r.p = r.p[chunkSize/8:]
			continue
		}
		for at := uint64(0); n > 0; n-- {
			gap, more := r.uvarint(), r.uvarint()
			if r.short {
				return errShort
			}
			if gap > chunkSize || more > chunkSize || at+gap+more >= chunkSize {
				return fmt.Errorf("acks of chunk %d pass its end", no)
			}
			l.acked(base+at+gap, base+at+gap+more+1)
			at += gap + more + 1
		}
	}
	if r.short {
		return errShort
	}
	return nil
}

func (l *Loader) acked(from, to uint64) {
	q := l.q
	to = min(to, q.next)
	if from <= q.floor && q.floor < to {
		l.first = true
	}
	q.acks.add(q.floor, max(from, q.floor+1), to)
}

// Done returns the queue, whole. It calls gone, if not nil, with each entry that
// LoadEntries told of and that a later block says to be gone.
func (l *Loader) Done(gone func(Entry)) Queue {
	q := l.q
	was := q.floor
	to := max(l.floor, was)
	if l.first {
		to = max(to, was+1)
	}
	if to > was {
		q.floor = q.acks.rise(was, to)
	}
	l.dropAcked(was, gone)
	l.placeRuns()
	l.closeGaps()
	q.cursor = q.floor
	return *q
}

// dropAcked forgets entries that are acked; they were read from floor was on.
func (l *Loader) dropAcked(was uint64, gone func(Entry)) {
	q := l.q
	from, to := was, q.floor
	if len(q.acks.chunks) > 0 {
		to = (q.acks.first + uint64(len(q.acks.chunks))) << chunkShift
	} else if q.acks.near != 0 {
		to = q.floor + 65
	}
	to = min(to, q.next)
	for seq, e := q.pages.next(from, to); e != nil; seq, e = q.pages.next(seq+1, to) {
		if q.Gone(seq) {
			if gone != nil {
				gone(*e)
			}
			q.drop(seq, e)
		}
	}
}

// placeRuns counts what the runs really have. Messages that have an entry of
// their own are not a run's; nor are those that were acked since it was written.
func (l *Loader) placeRuns() {
	q := l.q
	if len(l.loaded) == 0 && len(l.held.refs) == 0 {
		return
	}
	s := &sealed{runs: l.loaded, held: l.held}
	for seq, e := s.held.next(0, q.next); e != nil; seq, e = s.held.next(seq+1, q.next) {
		if s.at(seq) == nil || q.Gone(seq) || q.pages.get(seq) != nil {
			if e.Flags&counted != 0 {
				delete(q.counts, seq)
			}
			s.held.remove(seq)
		}
	}
	if len(q.counts) == 0 {
		q.counts = nil
	}
	n := 0
	for _, r := range s.runs {
		r.first = max(r.first, q.floor)
		if r.first >= r.end {
			continue
		}
		was := r.bare
		r.bare.n = r.end - r.first - q.acks.count(q.floor, r.first, r.end)
		for seq, e := q.pages.next(r.first, r.end); e != nil; seq, e = q.pages.next(seq+1, r.end) {
			r.bare.n--
		}
		r.bare.bytes = share(was.bytes, r.bare.n, was.n)
		r.bare.body = share(was.body, r.bare.n, was.n)
		for seq, e := s.held.next(r.first, r.end); e != nil; seq, e = s.held.next(seq+1, r.end) {
			r.held.add(e)
			q.readyBytes += e.Body()
		}
		q.ready += int(r.bare.n)
		if r.bare.n -= r.held.n; r.bare.n > 0 {
			r.bare.bytes = max(0, r.bare.bytes-r.held.bytes)
			r.bare.body = min(max(0, r.bare.body-r.held.body), r.bare.bytes)
		} else {
			r.bare = size{}
		}
		q.readyBytes += r.bare.body
		if r.bare.n+r.held.n > 0 {
			s.runs[n] = r
			n++
		}
	}
	if s.runs, s.hint = s.runs[:n], 0; n > 0 {
		q.sealed = s
		for i := range s.runs {
			if r := &s.runs[i]; r.expires != 0 {
				q.AddSpan(TimeSpan{Due: r.expires, First: r.first, End: r.end})
			}
		}
	}
}

// share is the part of v that n of total get.
func share(v int64, n, total uint64) int64 {
	if n >= total {
		return v
	}
	hi, lo := bits.Mul64(uint64(v), n)
	part, _ := bits.Div64(hi, lo, total)
	return int64(part)
}

// closeGaps buries what is in no run and has no entry.
func (l *Loader) closeGaps() {
	q := l.q
	if q.ready == 0 {
		q.acks.reset()
		q.floor = q.next
		return
	}
	at := q.floor
	if q.sealed != nil {
		for _, r := range q.sealed.runs {
			q.closeGap(at, r.first)
			at = r.end
		}
	}
	q.closeGap(at, q.next)
}

// closeGap does it for [at, end), where there is no run.
func (q *Queue) closeGap(at, end uint64) {
	if at >= end {
		return
	}
	for i := q.pages.find(at >> pageShift); i < len(q.pages.refs) && at < end; i++ {
		r := &q.pages.refs[i]
		base := r.no << pageShift
		if r.p == nil {
			continue
		}
		if base >= end {
			break
		}
		if r.live == pageSize {
			q.bury(at, min(base, end))
			at = max(at, base+pageSize)
			continue
		}
		for k := max(at, base); k < base+pageSize && k < end; k++ {
			if r.p[k&pageMask].Flags&present != 0 {
				q.bury(at, k)
				at = k + 1
			}
		}
	}
	q.bury(at, end)
}
