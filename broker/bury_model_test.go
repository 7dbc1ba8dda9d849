package broker

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// deadModel is what queues that dead-letter into each other should hold.
type deadModel struct {
	names  []string
	queues []*deadQueue
	held   []heldMessage
}

type deadQueue struct {
	name    string
	targets []int // where dead letters go
	dlx     bool
	max     int // negative: no bound
	limit   int // of returns; negative: none
	ready   []modelLetter
}

type modelLetter struct {
	body    string
	order   int // its place in the queue
	deaths  []modelDeath
	returns int
}

type modelDeath struct {
	queue, reason string
	count         int
}

type heldMessage struct {
	queue  int
	letter modelLetter
	real   message
}

func (l modelLetter) story() []string {
	out := []string{}
	for _, d := range l.deaths {
		out = append(out, fmt.Sprintf("%s %s %d", d.queue, d.reason, d.count))
	}
	return out
}

// die sends a letter on from a queue.
func (m *deadModel) die(from int, l modelLetter, why string, order *int) (reached []int) {
	q := m.queues[from]
	if !q.dlx {
		return nil
	}
	entry := modelDeath{q.name, why, 1}
	deaths := slices.Clone(l.deaths)
	if i := slices.IndexFunc(deaths, func(d modelDeath) bool { return d.queue == q.name && d.reason == why }); i >= 0 {
		entry.count = deaths[i].count + 1
		deaths = slices.Delete(deaths, i, i+1)
	}
	deaths = append([]modelDeath{entry}, deaths...)
	for _, to := range q.targets {
		if why != "rejected" && roundTrip(deaths, m.queues[to].name) {
			continue
		}
		*order++
		m.queues[to].ready = append(m.queues[to].ready, modelLetter{body: l.body, order: *order, deaths: slices.Clone(deaths)})
		reached = append(reached, to)
	}
	return reached
}

func roundTrip(deaths []modelDeath, queue string) bool {
	for _, d := range deaths {
		if d.reason == "rejected" {
			return false
		}
		if d.queue == queue {
			return true
		}
	}
	return false
}

// settle shortens queues until none is too long. A queue that is reached while it waits
// for its turn keeps its place, and has one turn.
func (m *deadModel) settle(order *int, work ...int) {
	for len(work) > 0 {
		i := work[0]
		work = work[1:]
		for q := m.queues[i]; q.max >= 0 && len(q.ready) > q.max; {
			l := q.ready[0]
			q.ready = q.ready[1:]
			for _, to := range m.die(i, l, "maxlen", order) {
				if !slices.Contains(work, to) {
					work = append(work, to)
				}
			}
		}
	}
}

// TestDeadLettersAgainstAModel: random queues that dead-letter into each other, and
// what clients do to them, one thing at a time.
func TestDeadLettersAgainstAModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newBench(t)
		defer w.close()
		c := w.client()
		m := &deadModel{}
		order := 0
		n := rapid.IntRange(1, 5).Draw(rt, "queues")
		// Behind a restart what moves lies on disk: on two ways to one queue either
		// may come first.
		restarts := rapid.Bool().Draw(rt, "restarts")
		for i := range n {
			m.names = append(m.names, fmt.Sprint("q", i))
		}
		for i, name := range m.names {
			q := &deadQueue{name: name, max: -1, limit: -1}
			more := []any{}
			if rapid.Bool().Draw(rt, "bounded") {
				q.max = rapid.IntRange(0, 3).Draw(rt, "max")
				more = append(more, "x-max-length", q.max)
			}
			if rapid.IntRange(0, 3).Draw(rt, "quorum") == 0 {
				q.limit = rapid.IntRange(0, 3).Draw(rt, "limit")
				more = append(more, "x-queue-type", "quorum", "x-delivery-limit", q.limit)
			}
			switch rapid.IntRange(0, 4).Draw(rt, "dlx") {
			case 0:
			case 1: // a fanout to some
				x := fmt.Sprint("x", i)
				c.exchange(x, "fanout", durableX)
				q.dlx = true
				more = append(more, "x-dead-letter-exchange", x)
				for to := range n {
					if (!restarts || len(q.targets) == 0) && rapid.Bool().Draw(rt, "bound") {
						q.targets = append(q.targets, to)
					}
				}
			default:
				to := rapid.IntRange(0, n-1).Draw(rt, "to")
				q.dlx, q.targets = true, []int{to}
				more = append(more, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", m.names[to])
			}
			c.queue(name, durable, args(more...))
			m.queues = append(m.queues, q)
		}
		for i, q := range m.queues {
			if len(q.targets) > 0 {
				if _, err := c.s.DeclareQueue(QueueSpec{Name: q.name, Passive: true}); err != nil {
					rt.Fatal(err)
				}
				if x := fmt.Sprint("x", i); c.s.v.exchange(x) != nil {
					for _, to := range q.targets {
						c.bind(m.names[to], x, "")
					}
				}
			}
		}
		check := func() {
			for i, q := range m.queues {
				held := 0
				for _, h := range m.held {
					if h.queue == i {
						held++
					}
				}
				// What lies on disk is moved by goroutines.
				for end := time.Now().Add(10 * time.Second); c.ready(q.name) != len(q.ready) || w.unacked(q.name) != held; runtime.Gosched() {
					if time.Now().After(end) {
						rt.Fatalf("%s has %d messages and %d out, want %d and %d", q.name, c.ready(q.name), w.unacked(q.name), len(q.ready), held)
					}
				}
			}
		}
		take := func(i int) (heldMessage, bool) {
			q := m.queues[i]
			if len(q.ready) == 0 {
				return heldMessage{}, false
			}
			h := heldMessage{i, q.ready[0], c.out(q.name)}
			q.ready = q.ready[1:]
			if h.real.body != h.letter.body || !slices.Equal(deaths(h.real), h.letter.story()) {
				rt.Fatalf("%s gave %s %q, want %s %q", q.name, h.real.body, deaths(h.real), h.letter.body, h.letter.story())
			}
			return h, true
		}
		drop := func() (heldMessage, bool) {
			if len(m.held) == 0 {
				return heldMessage{}, false
			}
			i := rapid.IntRange(0, len(m.held)-1).Draw(rt, "held")
			h := m.held[i]
			m.held = slices.Delete(m.held, i, i+1)
			return h, true
		}
		anyQueue := rapid.IntRange(0, n-1)
		bodies := 0
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(rt *rapid.T) {
				i := anyQueue.Draw(rt, "queue")
				bodies++
				order++
				m.queues[i].ready = append(m.queues[i].ready, modelLetter{body: fmt.Sprint(bodies), order: order})
				m.settle(&order, i)
				c.publish("", m.names[i], fmt.Sprint(bodies))
			},
			"take": func(rt *rapid.T) {
				if h, ok := take(anyQueue.Draw(rt, "queue")); ok {
					m.held = append(m.held, h)
				}
			},
			"ack": func(rt *rapid.T) {
				if h, ok := drop(); ok {
					c.ack(h.real)
				}
			},
			"reject": func(rt *rapid.T) {
				if h, ok := drop(); ok {
					m.settle(&order, m.die(h.queue, h.letter, "rejected", &order)...)
					if rapid.Bool().Draw(rt, "tx") {
						c.b.Atomic()
					}
					c.discard(h.real)
				}
			},
			"requeue": func(rt *rapid.T) {
				if h, ok := drop(); ok {
					q := m.queues[h.queue]
					if q.limit >= 0 && h.letter.returns >= q.limit {
						m.settle(&order, m.die(h.queue, h.letter, "delivery_limit", &order)...)
					} else {
						h.letter.returns++
						at, _ := slices.BinarySearchFunc(q.ready, h.letter, func(a, b modelLetter) int { return a.order - b.order })
						q.ready = slices.Insert(q.ready, at, h.letter)
						m.settle(&order, h.queue)
					}
					c.requeue(h.real)
				}
			},
			"purge": func(rt *rapid.T) {
				i := anyQueue.Draw(rt, "queue")
				m.queues[i].ready = nil
				if _, err := c.s.PurgeQueue(m.names[i]); err != nil {
					rt.Fatal(err)
				}
			},
			"restart": func(rt *rapid.T) {
				if restarts && len(m.held) == 0 {
					w.restart()
					c = w.client()
				}
			},
			"": func(*rapid.T) { check() },
		})
		for _, h := range m.held {
			c.ack(h.real)
		}
		m.held = nil
		for i := range m.queues {
			for len(m.queues[i].ready) > 0 {
				h, _ := take(i)
				c.ack(h.real)
			}
		}
		check()
	})
}
