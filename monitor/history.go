package monitor

import "time"

// Rates are how fast an object's figures grew between the last two samples, a second.
// The zero value is that of an object to which nothing happened.
type Rates struct {
	kind Kind
	v    sample
}

// Of is a figure's rate; 0 where the object has no such figure.
func (r *Rates) Of(f Field) float64 {
	sum := 0.0
	for _, part := range f.parts() {
		if i := place[r.kind][part]; i >= 0 {
			sum += r.v[i]
		}
	}
	return sum
}

// grows tells that a figure is counted: it only gets less where the object is another
// one of the same name.
func (f Field) grows() bool {
	switch f {
	case Ready, Unacked, Messages, MemoryUsed, FilesUsed, SocketsUsed, Goroutines, DiskFree, WriteTime, SyncTime, SyncP50, SyncP99, GroupMean,
		LogBytes, SegmentBytes, LargeBytes, TransientBytes, LiveBytes:
		return false
	}
	return true
}

// Rates are an object's rates.
func (m *Monitor) Rates(o Object) Rates {
	r := Rates{kind: o.Kind}
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.series(o)
	if s == nil || s.seconds == 0 {
		return r
	}
	for i, f := range kept[o.Kind] {
		d := s.cur[i] - s.prev[i]
		if d < 0 && f.grows() {
			d = 0
		}
		r.v[i] = d / s.seconds
	}
	return r
}

// series is an object's, nil where nothing happened to it lately; mu is held.
func (m *Monitor) series(o Object) *series {
	switch o.Kind {
	case Broker, Node:
		return m.own[o.Kind]
	case VHost:
		return m.named[o.Name]
	}
	if e := m.found[o.Kind][o.ID]; e != nil {
		return e.s
	}
	return nil
}

// Window says which samples are wanted: those of the last Age, one each Every.
type Window struct{ Age, Every time.Duration }

// History is an object's samples, the newest first.
type History struct {
	Times []time.Time
	kind  Kind
	cols  [maxFields][]float64
	still bool
}

// Values are the samples of a figure, one for each of Times. ok is false where the
// figure has been what it is now all the time, as far as that is known.
func (h *History) Values(f Field) (v []float64, ok bool) {
	if h.still {
		return nil, false
	}
	v = make([]float64, len(h.Times))
	for _, part := range f.parts() {
		if i := place[h.kind][part]; i >= 0 {
			for j, x := range h.cols[i] {
				v[j] += x
			}
		}
	}
	return v, true
}

// History returns samples. There are none from before the Monitor began, nor from
// before what is kept: see the package's comment.
func (m *Monitor) History(o Object, w Window) History {
	h := History{kind: o.Kind}
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.series(o)
	n, c, every := objectTicks, &m.fine, 2*m.tolerance()
	if o.Kind < Queue {
		n = fineTicks
		if w.Age > time.Hour || w.Every >= coarseEvery {
			n, c, every = coarseTicks, &m.coarse, coarseEvery
		}
	}
	newest := c.ticks - 1
	if s != nil && c == &m.fine {
		newest = min(newest, s.tick)
	}
	oldest := max(0, newest-n+1, c.ticks-len(c.at))
	var ticks []int
	if w.Age >= 0 && newest >= 0 {
		ticks = c.pick(newest, oldest, w, every)
	}
	h.Times = make([]time.Time, len(ticks))
	for i, t := range ticks {
		h.Times[i] = c.time(t)
	}
	if s == nil || s.short {
		h.still = true
		return h
	}
	r := &s.fine
	if c == &m.coarse {
		r = &s.coarse
	}
	for i := range kept[o.Kind] {
		h.cols[i] = make([]float64, len(ticks))
		for j, t := range ticks {
			h.cols[i][j] = s.value(r, t, i)
		}
	}
	return h
}

// pick chooses the ticks nearest to newest, newest-Every and so on.
func (c *clock) pick(newest, oldest int, w Window, every time.Duration) []int {
	step := max(w.Every, every)
	end := c.time(newest)
	var ticks []int
	t := newest
	for k := 0; ; k++ {
		back := time.Duration(k) * step
		if back > w.Age {
			return ticks
		}
		want := end.Add(-back + every/2)
		for t >= oldest && !c.time(t).Before(want) {
			t--
		}
		if t < oldest {
			return ticks
		}
		ticks = append(ticks, t)
		if t--; t < oldest {
			return ticks
		}
	}
}

// Add adds the rates of another object of the same kind.
func (r *Rates) Add(o *Rates) {
	for i := range r.v {
		r.v[i] += o.v[i]
	}
}

// Add adds the samples of another object of the same kind, as far as they are of the
// same times.
func (h *History) Add(o *History) {
	if o.still {
		return
	}
	if h.still {
		h.still, h.cols = false, o.cols
		return
	}
	for i, col := range h.cols {
		for j := range min(len(col), len(o.cols[i])) {
			col[j] += o.cols[i][j]
		}
	}
}
