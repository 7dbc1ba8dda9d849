package monitor

import "time"

// clock is when samples were taken: ring n of them, and how many there were.
type clock struct {
	at    []time.Time
	ticks int
}

// tick notes a sample's time.
func (c *clock) tick(now time.Time) {
	c.at[c.ticks%len(c.at)] = now
	c.ticks++
}

// time is when sample i was taken, of those that the ring still has.
func (c *clock) time(i int) time.Time { return c.at[i%len(c.at)] }

// ring keeps an object's samples of the last n ticks of a clock. A figure that has not
// changed since the object's series began needs no column.
type ring struct {
	n    int
	cols [][]float64
}

// series is what has been going on with an object.
type series struct {
	tick      int     // of the fine clock: its newest sample
	begun     int     // the tick of its first sample
	changed   int     // the tick of the last sample that differed from the one before
	seconds   float64 // between the last two samples; 0: there is one
	cur, prev []float64
	fine      ring
	coarse    ring // n is 0 where there is none
	short     bool // there was no room for a column: only cur and prev count
}

func newSeries(width, fine, coarse, tick int) *series {
	both := make([]float64, 2*width)
	return &series{tick: tick, begun: tick, changed: tick, cur: both[:width:width], prev: both[width:], fine: ring{n: fine}, coarse: ring{n: coarse}}
}

// budget bounds the bytes of all columns.
type budget struct{ left int64 }

const valueBytes = 8

// add notes a sample of a tick, and returns whether a figure has changed. The one
// before was of the tick before, seconds ago.
func (s *series) add(v []float64, tick int, seconds float64, b *budget) {
	s.cur, s.prev = s.prev, s.cur
	copy(s.cur, v)
	s.tick, s.seconds = tick, seconds
	for i := range s.cur {
		if s.cur[i] == s.prev[i] {
			continue
		}
		s.changed = tick
		s.grow(i, b)
	}
	s.fine.put(tick, s.cur)
}

// grow gives a figure its columns, in which it has been as it was so far.
func (s *series) grow(i int, b *budget) {
	if s.short || s.fine.cols != nil && s.fine.cols[i] != nil {
		return
	}
	need := int64(s.fine.n+s.coarse.n) * valueBytes
	if b.left < need {
		s.drop(b)
		s.short = true
		return
	}
	b.left -= need
	s.fine.grow(i, len(s.cur), s.prev[i])
	s.coarse.grow(i, len(s.cur), s.prev[i])
}

func (r *ring) grow(i, width int, value float64) {
	if r.n == 0 {
		return
	}
	if r.cols == nil {
		r.cols = make([][]float64, width)
	}
	r.cols[i] = make([]float64, r.n)
	for j := range r.cols[i] {
		r.cols[i][j] = value
	}
}

// put writes a sample into the columns that there are.
func (r *ring) put(tick int, v []float64) {
	for i, col := range r.cols {
		if col != nil {
			col[tick%r.n] = v[i]
		}
	}
}

// drop gives the columns' room back.
func (s *series) drop(b *budget) {
	for _, r := range []*ring{&s.fine, &s.coarse} {
		for _, col := range r.cols {
			if col != nil {
				b.left += int64(len(col)) * valueBytes
			}
		}
		r.cols = nil
	}
}

// idle tells that nothing has changed for as long as the ring reaches back.
func (s *series) idle() bool { return s.tick-s.changed >= s.fine.n+s.coarse.n }

// value is figure i at a tick of the ring's clock.
func (s *series) value(r *ring, tick, i int) float64 {
	if r.cols != nil && r.cols[i] != nil {
		return r.cols[i][tick%r.n]
	}
	return s.cur[i] // it never changed
}
