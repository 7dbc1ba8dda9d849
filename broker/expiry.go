package broker

import (
	"container/heap"
	"sync"
	"time"
)

// expiries deletes queues that were not used for as long as their x-expires
// says: no consumer, no get, no redeclaration. Uses are only noted in the queue
// (queueDef.use); when a queue's time comes up it is looked at, and put back for
// the rest where it was used since. So one timer serves all queues, and a use
// costs one store.
type expiries struct {
	b    *Broker
	wake chan struct{} // of size 1: an earlier time was added
	stop chan struct{}

	mu   sync.Mutex // a leaf
	heap deadlines
}

// deadline is when a queue is to be looked at. Each queue that can expire has
// one. Guarded by expiries.mu.
type deadline struct {
	at    time.Time
	queue Queue
	index int // in the heap; 0 with a nil queue: it is not there
}

func newExpiries(b *Broker) *expiries {
	return &expiries{b: b, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// watch has q looked at when it could have expired, if it is not watched
// already: then it is looked at before that. A queue without a consumer that can
// expire is always watched.
func (e *expiries) watch(q Queue) { e.at(time.Now().Add(q.def().settings().expires), q) }

func (e *expiries) at(when time.Time, q Queue) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := q.def().deadline
	if d == nil {
		d = new(deadline)
		q.def().deadline = d
	}
	if d.queue != nil {
		return
	}
	d.at, d.queue = when, q
	heap.Push(&e.heap, d)
	if d.index == 0 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
}

// forget drops a queue that was deleted.
func (e *expiries) forget(q Queue) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := q.def().deadline; d != nil && d.queue != nil {
		heap.Remove(&e.heap, d.index)
	}
}

// run looks at queues until stop is closed.
func (e *expiries) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := time.Hour
		for {
			q, wait := e.due()
			if q == nil {
				next = min(next, wait)
				break
			}
			e.look(q)
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

// due takes the queue whose time has come, or tells how long there is none.
func (e *expiries) due() (Queue, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heap) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(e.heap[0].at); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&e.heap).(Queue), 0
}

// look deletes a queue if it has expired. One with consumers is dropped from
// the heap: it comes back when the last of them goes.
func (e *expiries) look(q Queue) {
	d := q.def()
	err := d.v.change(func(t *change) error {
		if _, _, consumers := q.Counts(); d.deleted || consumers > 0 {
			return nil
		}
		if at := time.Unix(0, d.used.Load()).Add(d.settings().expires); time.Now().Before(at) {
			e.at(at, q)
			return nil
		}
		t.deleteQueue(q)
		return t.apply()
	})
	if err != nil {
		e.b.log.Error("expired queue could not be deleted", "vhost", d.v.name, "queue", d.name, "err", err)
	}
}

// deadlines is a heap by time. Pop returns the queue.
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
	q := d.queue
	*d = deadline{}
	return q
}
