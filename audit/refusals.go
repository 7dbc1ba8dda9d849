package audit

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Bounds of what is written of refusals.
const (
	leastPause = time.Second
	mostPause  = time.Minute
	quiet      = 5 * time.Minute // after which pauses are short again
	maxGathers = 10              // different ones in a pause
)

// refusals gathers events of refusals until a goroutine writes them.
type refusals struct {
	l    *Log
	wake chan struct{} // holds one value where there is something to write
	stop chan struct{}
	done chan struct{}
	once sync.Once

	mu     sync.Mutex
	closed bool
	wait   map[string]*gathered
	others int // those over maxGathers
	since  time.Time
}

// gathered is an event and how often it came.
type gathered struct {
	first Event
	last  time.Time
	count int
}

func (r *refusals) begin(l *Log) {
	r.l, r.wait = l, map[string]*gathered{}
	r.wake, r.stop, r.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go r.run()
}

// key is equal for what is one entry.
func key(e Event) string {
	from := e.From
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host
	}
	return fmt.Sprintf("%q %q %q %q %q %v", e.Event, clip(e.User, maxName), from, e.Interface, e.Object, e.Detail)
}

func (r *refusals) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	k := key(e)
	g := r.wait[k]
	switch {
	case g != nil:
		g.count++
		g.last = e.Time
	case len(r.wait) < maxGathers:
		r.wait[k] = &gathered{first: e, last: e.Time, count: 1}
	default:
		if r.others++; r.others == 1 {
			r.since = e.Time
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run writes what is gathered, with pauses that become longer while there is more.
func (r *refusals) run() {
	defer close(r.done)
	var flushed time.Time
	pause := leastPause
	for {
		select {
		case <-r.stop:
			r.flush()
			return
		case <-r.wake:
		}
		if time.Since(flushed) >= quiet {
			pause = leastPause
		} else {
			wait := time.NewTimer(time.Until(flushed.Add(pause)))
			select {
			case <-r.stop:
				wait.Stop()
				r.flush()
				return
			case <-wait.C:
			}
			pause = min(2*pause, mostPause)
		}
		r.flush()
		flushed = time.Now()
	}
}

// flush writes what is gathered, in the order it came.
func (r *refusals) flush() {
	r.mu.Lock()
	list := make([]*gathered, 0, len(r.wait))
	for _, g := range r.wait {
		list = append(list, g)
	}
	clear(r.wait)
	others, since := r.others, r.since
	r.others = 0
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *gathered) int { return a.first.Time.Compare(b.first.Time) })
	for _, g := range list {
		e := g.first
		if g.count > 1 {
			detail := map[string]any{"count": g.count, "until": g.last.UTC()}
			for k, v := range e.Detail {
				detail[k] = v
			}
			e.Detail = detail
		}
		r.l.append(e)
	}
	if others > 0 {
		r.l.append(Event{Event: "login.refused", Time: since, Object: Object{Type: "user"}, Detail: map[string]any{
			"count": others, "cause": "more than are written one by one"}})
	}
}

// end writes what is left and takes no more.
func (r *refusals) end() {
	r.once.Do(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		close(r.stop)
	})
	<-r.done
}
