package monitor

// Of each object an entry is kept that tells whether something has happened to it
// since the last sample, and, for as long as that was lately, its series. An object to
// which nothing happens costs its entry, and a sample a look at it.

// entry is what is known of a queue, exchange, channel or connection.
type entry struct {
	seen           int    // the last walk that met it
	sum            uint64 // of all that is counted
	ready, unacked int
	traffic        [2]uint64 // of a connection: bytes received and sent
	s              *series   // nil: nothing happened lately
}

// change is what a walk has found out about one object.
type change struct {
	id             uint64
	e              *entry // nil: it is new
	sum            uint64
	ready, unacked int
	traffic        [2]uint64
	v              sample
}

// flushAt is how many changes are noted under one hold of the lock.
const flushAt = 256

// walk goes through all objects of a kind.
type walk struct {
	m       *Monitor
	k       Kind
	tick    int
	seconds float64
	met     int
	pause   func() // nil: there is none
}

// pauseEvery is how many objects are looked at before a pause, some milliseconds' worth.
const pauseEvery = 2048

func (m *Monitor) walk(k Kind, tick int, seconds float64) *walk {
	m.buffer = m.buffer[:0]
	return &walk{m: m, k: k, tick: tick, seconds: seconds, pause: m.pause}
}

// entry is what is known of an object. Only walks change entries, so that it needs no
// lock.
func (w *walk) entry(id uint64) *entry { return w.m.found[w.k][id] }

// see notes what an object is like; fill adds its figures where they are wanted.
func (w *walk) see(id uint64, e *entry, sum uint64, ready, unacked int, fill func(*change)) {
	if w.met++; w.met%pauseEvery == 0 && w.pause != nil {
		w.pause()
	}
	if e != nil {
		e.seen = w.tick
		if e.s == nil && e.sum == sum && e.ready == ready && e.unacked == unacked {
			return
		}
	}
	b := append(w.m.buffer, change{id: id, e: e, sum: sum, ready: ready, unacked: unacked})
	fill(&b[len(b)-1])
	if w.m.buffer = b; len(b) == flushAt {
		w.flush()
	}
}

// flush notes the changes that were found.
func (w *walk) flush() {
	m := w.m
	m.mu.Lock()
	defer m.mu.Unlock()
	width := len(kept[w.k])
	for i := range m.buffer {
		c := &m.buffer[i]
		e, seconds := c.e, w.seconds
		fresh := e == nil && w.tick > 0
		if e == nil {
			e = &entry{seen: w.tick}
			m.found[w.k][c.id] = e
		}
		idle := e.s == nil
		changed := e.sum != c.sum || e.ready != c.ready || e.unacked != c.unacked
		switch {
		case idle && (!changed || w.tick == 0):
			// It is there, and what it did before the monitor began is not known.
		case idle:
			e.s = newSeries(width, objectTicks, 0, w.tick)
			if !fresh && e.sum > 0 { // what its counts were is forgotten: they begin here
				copy(e.s.cur, c.v[:width])
			}
			if w.k == Queue {
				e.s.cur[place[Queue][Ready]], e.s.cur[place[Queue][Unacked]] = float64(e.ready), float64(e.unacked)
			}
			e.s.add(c.v[:width], w.tick, seconds, &m.room)
		default:
			e.s.add(c.v[:width], w.tick, seconds, &m.room)
			if e.s.idle() {
				e.s.drop(&m.room)
				e.s = nil
			}
		}
		e.sum, e.ready, e.unacked, e.traffic = c.sum, c.ready, c.unacked, c.traffic
	}
	m.buffer = m.buffer[:0]
}

// end forgets the objects that were not met.
func (w *walk) end() {
	w.flush()
	m := w.m
	if len(m.found[w.k]) == w.met {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.found[w.k] {
		if e.seen != w.tick {
			if e.s != nil {
				e.s.drop(&m.room)
			}
			delete(m.found[w.k], id)
		}
	}
}
