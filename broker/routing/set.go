package routing

// chunkLen is how many destinations lie together: it bounds what a removal
// copies, and is large enough that a fan-out is a few memory copies.
const chunkLen = 512

// set is a persistent bag of destinations, each put in once by its owner. A
// change returns a new set; a nil *set is the empty one.
//
// Additions share memory with the set they came from: the tail is appended to
// in place, past the length that any published set sees. That is sound only
// because history is linear: a table's one writer extends the newest version
// and nothing else. Removals copy what they change, so that what was removed
// is not kept alive by spare capacity.
type set[D comparable] struct {
	full []chunk[D] // chunkLen each
	tail chunk[D]   // 1 to chunkLen
}

// chunk keeps a destination's ordinal beside it in an array of its own, so that
// the destinations can be appended to a result in one copy.
type chunk[D comparable] struct {
	dst []D
	ord []uint32
}

func (s *set[D]) len() int {
	if s == nil {
		return 0
	}
	return len(s.full)*chunkLen + len(s.tail.dst)
}

// add returns the set with d, which must not be in it.
func (s *set[D]) add(d D, ord uint32) *set[D] {
	if s == nil {
		// Most keys have one destination: one allocation for all of it.
		one := &struct {
			set set[D]
			dst [1]D
			ord [1]uint32
		}{dst: [1]D{d}, ord: [1]uint32{ord}}
		one.set.tail = chunk[D]{one.dst[:], one.ord[:]}
		return &one.set
	}
	c := *s
	if len(c.tail.dst) == chunkLen {
		c.full = append(c.full, c.tail)
		c.tail = chunk[D]{}
	}
	c.tail.dst = append(c.tail.dst, d)
	c.tail.ord = append(c.tail.ord, ord)
	return &c
}

// remove returns the set without the destination that has this ordinal; the
// last one takes its place. Finding it scans the ordinals, 4 bytes each.
func (s *set[D]) remove(ord uint32) *set[D] {
	if s == nil {
		return nil
	}
	c := *s
	if i := s.tail.index(ord); i >= 0 {
		c.tail = s.tail.withLastAt(i)
	} else {
		k, i := s.find(ord)
		if k < 0 {
			return s
		}
		last := len(s.tail.dst) - 1
		c.full = replaced(s.full, k, s.full[k].with(i, s.tail.dst[last], s.tail.ord[last]))
		c.tail = s.tail.withLastAt(last)
	}
	if len(c.tail.dst) == 0 {
		if len(c.full) == 0 {
			return nil
		}
		last := len(c.full) - 1
		c.tail = c.full[last]
		c.full = without(c.full, last)
	}
	return &c
}

func (s *set[D]) find(ord uint32) (k, i int) {
	for k := range s.full {
		if i := s.full[k].index(ord); i >= 0 {
			return k, i
		}
	}
	return -1, -1
}

func (c chunk[D]) index(ord uint32) int {
	for i, o := range c.ord {
		if o == ord {
			return i
		}
	}
	return -1
}

// with is a copy that has another destination at i.
func (c chunk[D]) with(i int, d D, ord uint32) chunk[D] {
	return chunk[D]{replaced(c.dst, i, d), replaced(c.ord, i, ord)}
}

// withLastAt is a copy one shorter, its last destination moved to i.
func (c chunk[D]) withLastAt(i int) chunk[D] {
	last := len(c.dst) - 1
	if last == 0 {
		return chunk[D]{}
	}
	n := chunk[D]{make([]D, last), make([]uint32, last)}
	copy(n.dst, c.dst)
	copy(n.ord, c.ord)
	if i < last {
		n.dst[i], n.ord[i] = c.dst[last], c.ord[last]
	}
	return n
}

// at is the i-th of the destinations, of which there must be one.
func (s *set[D]) at(i int) D {
	if k := i / chunkLen; k < len(s.full) {
		return s.full[k].dst[i%chunkLen]
	}
	return s.tail.dst[i%chunkLen]
}

// appendTo appends all destinations to dst.
func (s *set[D]) appendTo(dst []D) []D {
	if s == nil {
		return dst
	}
	for i := range s.full {
		dst = append(dst, s.full[i].dst...)
	}
	return append(dst, s.tail.dst...)
}

// appendNew appends those that seen has not met yet.
func (s *set[D]) appendNew(dst []D, seen *marks) []D {
	for i := range s.full {
		dst = s.full[i].appendNew(dst, seen)
	}
	return s.tail.appendNew(dst, seen)
}

func (c *chunk[D]) appendNew(dst []D, seen *marks) []D {
	for i, o := range c.ord {
		if seen.mark(o) {
			dst = append(dst, c.dst[i])
		}
	}
	return dst
}

// marks is a set of ordinals that empties in one step: an ordinal is in it when
// its stamp is the present epoch.
type marks struct {
	stamp []uint32
	epoch uint32
}

// reset empties the set and makes room for ordinals below n.
func (m *marks) reset(n uint32) {
	if uint32(len(m.stamp)) < n {
		m.stamp = make([]uint32, n+n/2)
		m.epoch = 0
	}
	m.epoch++
	if m.epoch == 0 {
		clear(m.stamp)
		m.epoch = 1
	}
}

// mark puts o in and tells whether it was new.
func (m *marks) mark(o uint32) bool {
	if m.stamp[o] == m.epoch {
		return false
	}
	m.stamp[o] = m.epoch
	return true
}

// has tells whether o is in.
func (m *marks) has(o uint32) bool { return m.stamp[o] == m.epoch }

// ordinals gives out small numbers and takes them back. A number may be given
// out anew at once: in any one published version it still means one thing.
type ordinals struct {
	next uint32
	free []uint32
}

func (o *ordinals) take() uint32 {
	if n := len(o.free); n > 0 {
		v := o.free[n-1]
		o.free = o.free[:n-1]
		return v
	}
	o.next++
	return o.next - 1
}

func (o *ordinals) give(v uint32) { o.free = append(o.free, v) }
