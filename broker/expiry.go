package broker

import (
	"container/heap"
	"sync"
	"time"
)

// expiries is the broker's clock: what is to happen at some time, in a heap, with one
// timer for all. Queues are deleted that were not used for as long as their x-expires
// says (look, below), messages that expire leave theirs (ttl.go), and delayed ones move
// on (delay.go).
type expiries struct {
	b    *Broker
	wake chan struct{} // of size 1: an earlier time was added
	stop chan struct{}

	mu      sync.Mutex // a leaf
	heap    deadlines
	unused  []Queue // to be looked at; see look
	looking bool    // somebody does that
}

// deadline is when something is to be done. It belongs to what it is about, and is
// in the heap where set. All but do is guarded by expiries.mu.
type deadline struct {
	at    time.Time
	set   bool
	index int    // in the heap
	do    func() // called without any lock; it must not wait
}

// longestNap is for how long the clock sleeps at most: the time of day may be set.
const longestNap = 10 * time.Second

func newExpiries(b *Broker) *expiries {
	return &expiries{b: b, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// at sets d, unless it is set to that time already, or to an earlier one.
func (e *expiries) at(when time.Time, d *deadline) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !d.set:
		d.at, d.set = when, true
		heap.Push(&e.heap, d)
	case when.Before(d.at):
		d.at = when
		heap.Fix(&e.heap, d.index)
	default:
		return
	}
	if d.index == 0 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// drop takes d back.
func (e *expiries) drop(d *deadline) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.set {
		heap.Remove(&e.heap, d.index)
	}
}

// run does what is due until stop is closed.
func (e *expiries) run() {
	timer := time.NewTimer(longestNap)
	defer timer.Stop()
	for {
		next := longestNap
		for {
			d, wait := e.due()
			if d == nil {
				next = min(next, wait)
				break
			}
			d.do()
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-e.wake:
		case <-e.stop:
			return
		}
	}
}

// due takes what is due first, or tells how long nothing is.
func (e *expiries) due() (*deadline, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heap) == 0 {
		return nil, longestNap
	}
	if wait := time.Until(e.heap[0].at); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&e.heap).(*deadline), 0
}

// deadlines is a heap by time.
type deadlines []*deadline

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *deadlines) Push(x any) {
	d := x.(*deadline)
	d.index = len(*h)
	*h = append(*h, d)
}

func (h *deadlines) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	d.set = false
	return d
}

// A queue with x-expires goes when it was not used for that long: no consumer, no get,
// no declaration, not even a passive one. Uses are only noted (queueDef.use); when the queue's time comes up
// it is looked at, and put back for the rest where it was used since. So a use costs
// one store.

// watch has q looked at when it could have expired. A queue without a consumer that
// can expire is always watched.
func (e *expiries) watch(q Queue) {
	d := q.def()
	e.at(time.Now().Add(d.settings().expires), d.unused(q))
}

// unused is the deadline of a queue that expires.
func (d *queueDef) unused(q Queue) *deadline {
	e := d.v.b.expiry
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.deadline == nil {
		d.deadline = &deadline{do: func() { e.look(q) }}
	}
	return d.deadline
}

// forget is the reverse of watch.
func (e *expiries) forget(q Queue) { e.drop(q.def().unused(q)) }

// look has a queue looked at whose time may have come. Deletions wait for the disk, and
// the clock must not: a goroutine does them, many at once.
func (e *expiries) look(q Queue) {
	e.mu.Lock()
	e.unused = append(e.unused, q)
	begin := !e.looking
	e.looking = true
	e.mu.Unlock()
	if begin {
		e.b.spawn(e.lookAll) // else the broker is closing
	}
}

// lookAll looks at queues until there are none left to look at.
func (e *expiries) lookAll() {
	for {
		e.mu.Lock()
		list := e.unused
		e.unused = nil
		e.looking = len(list) > 0
		e.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for len(list) > 0 && !e.b.closing.Load() {
			n := 1
			for n < min(len(list), closeAtOnce) && list[n].def().v == list[0].def().v {
				n++
			}
			e.deleteUnused(list[:n])
			list = list[n:]
		}
	}
}

// deleteUnused deletes those queues of a vhost that have expired. One with consumers is
// not watched any more: it is again when the last of them goes.
func (e *expiries) deleteUnused(list []Queue) {
	v := list[0].def().v
	err := v.change(func(t *change) error {
		for _, q := range list {
			d := q.def()
			expires := d.settings().expires
			if _, _, consumers := q.Counts(); d.deleted || consumers > 0 || expires == 0 {
				continue
			}
			if at := time.Unix(0, d.used.Load()).Add(expires); time.Now().Before(at) {
				e.at(at, d.unused(q))
				continue
			}
			t.deleteQueue(q)
		}
		if t.batch.Len() == 0 {
			return nil
		}
		return t.apply()
	})
	if err != nil {
		e.b.log.Error("expired queues could not be deleted", "vhost", v.name, "queue", list[0].Name(), "queues", len(list), "err", err)
	}
}
