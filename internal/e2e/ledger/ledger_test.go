package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
)

var fakeQueues = []string{"a", "b", "c"}

// story runs a broker with a fault through several lives under a random load and
// returns what the book says in the end.
type story struct {
	l        *Ledger
	b        *fake
	rng      *rand.Rand
	next     map[int]int
	pending  []*Batch // sent and not confirmed, in order
	sessions []*fakeSession
}

type fakeSession struct {
	*Session
	queue string
	held  []fakeMessage
}

func tell(seed uint64, f fault, opts Options) (*Ledger, *fake) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &story{l: New(opts), b: newFake(rng, f), rng: rng, next: map[int]int{}}
	for range 4 {
		for range 60 {
			s.step()
		}
		s.end(rng.IntN(4) > 0)
		// Not every recovery is looked at from end to end.
		if rng.IntN(2) == 0 {
			s.inspect(fakeQueues[rng.IntN(len(fakeQueues))])
		}
	}
	for _, queue := range fakeQueues {
		s.inspect(queue)
	}
	s.l.Finish()
	return s.l, s.b
}

func (s *story) step() {
	switch r := s.rng.IntN(100); {
	case r < 30:
		s.publish()
	case r < 38:
		s.transaction()
	case r < 48:
		if len(s.pending) > 0 { // confirms come in order, several at once
			n := 1 + s.rng.IntN(len(s.pending))
			s.b.confirm()
			for _, batch := range s.pending[:n] {
				batch.Confirmed()
			}
			s.pending = s.pending[n:]
		}
	case r < 54:
		if len(s.sessions) < 3 {
			queue := fakeQueues[s.rng.IntN(len(fakeQueues))]
			s.sessions = append(s.sessions, &fakeSession{Session: s.l.Open(queue), queue: queue})
		}
	case r < 56:
		queue := fakeQueues[s.rng.IntN(len(fakeQueues))]
		if !slices.ContainsFunc(s.sessions, func(c *fakeSession) bool { return c.queue == queue }) {
			deleted := s.rng.IntN(2) == 0
			s.l.Discarding(queue)
			s.b.discard(queue, deleted)
			s.l.Discarded(queue, deleted)
		}
	case len(s.sessions) == 0:
	default:
		i := s.rng.IntN(len(s.sessions))
		c := s.sessions[i]
		switch {
		case r < 78:
			s.deliver(c)
		case r < 90:
			if len(c.held) > 0 {
				j := s.rng.IntN(len(c.held))
				c.AckSent(c.held[j].producer, c.held[j].n)
				s.b.ack(c.held[j])
				c.held = slices.Delete(c.held, j, j+1)
			}
		case r < 94:
			if len(c.held) > 0 {
				m := c.held[len(c.held)-1]
				c.held = c.held[:len(c.held)-1]
				c.Returned(m.producer, m.n)
				s.b.requeue(m)
			}
		case r < 97:
			mark := c.Mark()
			s.b.confirm()
			c.Settled(mark)
		default:
			s.close(c, s.rng.IntN(3) > 0)
			s.sessions = slices.Delete(s.sessions, i, i+1)
		}
	}
}

func (s *story) close(c *fakeSession, clean bool) {
	if clean {
		c.Closing()
	} else {
		c.Cut()
	}
	for _, m := range c.held {
		s.b.requeue(m)
	}
	c.held = nil
	if clean {
		c.Closed()
	}
}

func (s *story) message(producer int) Message {
	s.next[producer]++
	return Message{Producer: producer, N: s.next[producer], Persistent: s.rng.IntN(5) > 0}
}

// pick chooses at least one queue.
func (s *story) pick() []string {
	return fakeQueues[s.rng.IntN(len(fakeQueues)):]
}

func (s *story) publish() {
	m, queues := s.message(s.rng.IntN(2)), s.pick()
	s.pending = append(s.pending, s.l.Sent(m, queues...))
	s.b.publish(copies(m, queues))
}

func copies(m Message, queues []string) (out []fakeMessage) {
	for _, queue := range queues {
		out = append(out, fakeMessage{fakeID: fakeID{queue, m.Producer, m.N}, persistent: m.Persistent})
	}
	return out
}

func (s *story) transaction() {
	batch := s.l.Begin()
	var all []fakeMessage
	for range 1 + s.rng.IntN(3) {
		m, queues := s.message(7), s.pick()
		batch.Sent(m, queues...)
		all = append(all, copies(m, queues)...)
	}
	if s.b.sometimes(hasty, 0.5) {
		s.b.did = true
		s.b.publish(all)
		for _, c := range s.sessions {
			s.deliver(c)
		}
		return
	}
	if s.rng.IntN(4) == 0 {
		return // rolled back
	}
	batch.Committing()
	s.b.publish(all)
	if s.rng.IntN(2) == 0 {
		s.b.confirm()
		batch.Confirmed()
	}
}

func (s *story) deliver(c *fakeSession) {
	if m, ok := s.b.deliver(c.queue); ok {
		c.Delivered(m.producer, m.n, m.marked)
		c.held = append(c.held, m)
	}
}

// ackLast acks the delivery that came last.
func (s *story) ackLast(c *fakeSession) {
	if i := len(c.held) - 1; i >= 0 {
		m := c.held[i]
		c.held = c.held[:i]
		c.AckSent(m.producer, m.n)
		s.b.ack(m)
	}
}

// end ends the broker's life.
func (s *story) end(crash bool) {
	if !crash {
		s.l.Stopping()
		for len(s.sessions) > 1 { // the last one gets what the first ones held
			first, last := s.sessions[0], s.sessions[len(s.sessions)-1]
			m, unread := s.b.deliver(first.queue)
			for _, m := range first.held {
				s.b.requeue(m)
			}
			if unread {
				s.b.requeue(m)
			}
			s.sessions = s.sessions[1:]
			s.deliver(last)
			early := s.rng.IntN(2) == 0
			if early {
				s.ackLast(last)
			}
			if unread { // the first one's client comes to it only now
				first.Delivered(m.producer, m.n, m.marked)
			}
			if !early {
				s.ackLast(last)
			}
		}
	}
	s.sessions, s.pending = nil, nil
	if crash {
		s.b.crash()
		s.l.Crashed()
	} else {
		s.b.stop()
		s.l.Stopped()
	}
}

// inspect looks at a whole queue, and leaves it as it was or empties it.
func (s *story) inspect(queue string) {
	c := &fakeSession{Session: s.l.Open(queue), queue: queue}
	for range s.b.ready(queue) {
		s.deliver(c)
	}
	c.Empty()
	if s.rng.IntN(2) == 0 {
		for _, m := range c.held {
			c.AckSent(m.producer, m.n)
			s.b.ack(m)
		}
		c.held = nil
	}
	s.close(c, true)
}

func TestAnHonestBrokerIsNotAccused(t *testing.T) {
	var sum Totals
	for seed := range uint64(800) {
		for _, opts := range []Options{{}, {Lenient: true}} {
			l, _ := tell(seed, honest, opts)
			if found, _ := l.Violations(); len(found) > 0 {
				t.Fatalf("seed %d, %+v: %v", seed, opts, found)
			}
			sum.Gone += l.Totals().Gone
			sum.Settled += l.Totals().Settled
			sum.Redelivered += l.Totals().Redelivered
		}
	}
	if sum.Gone == 0 || sum.Settled == 0 || sum.Redelivered == 0 {
		t.Errorf("the stories are too tame: %+v", sum)
	}
}

func TestEveryFaultIsFound(t *testing.T) {
	for f, kinds := range catches {
		t.Run(string(f), func(t *testing.T) {
			did, found := 0, 0
			for seed := range uint64(300) {
				l, b := tell(seed, f, Options{})
				if !b.did {
					continue
				}
				did++
				if list, _ := l.Violations(); slices.ContainsFunc(list, func(v Violation) bool { return slices.Contains(kinds, v.Kind) }) {
					found++
				}
			}
			t.Logf("found in %d of %d stories", found, did)
			// A fault may hide for a while, so not every short story betrays it.
			if did < 10 || found*4 < did {
				t.Errorf("found in %d of %d stories", found, did)
			}
		})
	}
}

func TestADeliveryOfAnUnknownBodyIsAnAlien(t *testing.T) {
	l := New(Options{})
	l.Open("q").Foreign("eight random bytes")
	if found, _ := l.Violations(); len(found) != 1 || found[0].Kind != Alien {
		t.Errorf("found %v", found)
	}
}

func TestViolationsAreBounded(t *testing.T) {
	l := New(Options{})
	s := l.Open("q")
	for n := range 250 {
		s.Delivered(1, n, false)
	}
	if kept, more := l.Violations(); len(kept) != maxViolations || more != 150 {
		t.Errorf("kept %d and %d more", len(kept), more)
	}
}

func TestTopologyMustBeWhatWasAnswered(t *testing.T) {
	for _, c := range []struct {
		story   func(*Topology)
		present bool
		wrong   bool
	}{
		{func(t *Topology) { t.Asking("q") }, true, false},
		{func(t *Topology) { t.Asking("q") }, false, false},
		{func(t *Topology) { t.Asking("q"); t.Made("q") }, true, false},
		{func(t *Topology) { t.Asking("q"); t.Made("q") }, false, true},
		{func(t *Topology) { t.Made("q"); t.Asking("q") }, false, false},
		{func(t *Topology) { t.Made("q"); t.Asking("q"); t.Deleted("q") }, false, false},
		{func(t *Topology) { t.Made("q"); t.Asking("q"); t.Deleted("q") }, true, true},
		{func(t *Topology) { t.Asking("q"); t.Seen("q", true) }, false, true},
		{func(t *Topology) { t.Asking("q"); t.Seen("q", false) }, true, true},
	} {
		l := New(Options{})
		topology := l.Topology()
		c.story(topology)
		topology.Seen("q", c.present)
		if found, _ := l.Violations(); (len(found) == 1) != c.wrong {
			t.Errorf("present=%t: %v", c.present, found)
		}
	}
}

func TestIdentifyTakesOnlyWhatBodyMade(t *testing.T) {
	sizes := map[bool]int{}
	for n := range 3000 {
		body := Body(3, n)
		sizes[len(body) > 256<<10]++
		if p, m, ok := Identify(body); p != 3 || m != n || !ok {
			t.Fatalf("message %d: %d, %d, %t", n, p, m, ok)
		}
		broken := slices.Clone(body)
		broken[n*7%len(broken)] ^= 1
		for what, bad := range map[string][]byte{"a bit flipped": broken, "cut short": body[:len(body)-1], "longer": append(slices.Clone(body), 0)} {
			if p, m, ok := Identify(bad); ok && p == 3 && m == n {
				t.Errorf("message %d is taken for itself though %s", n, what)
			}
		}
	}
	if sizes[true] == 0 || sizes[true] > 60 {
		t.Errorf("%d of 3000 bodies are large", sizes[true])
	}
	if _, _, ok := Identify([]byte("something else")); ok {
		t.Error("anything goes")
	}
}
