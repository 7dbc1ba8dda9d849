package broker

import (
	"fmt"
	"slices"
	"testing"
)

func prio(n int) func(*ConsumerSpec) {
	return func(s *ConsumerSpec) { s.Args = table("x-priority", n) }
}

func exclusiveUse(s *ConsumerSpec) { s.Exclusive = true }

// by groups what has come by consumer.
func (c *client) by() map[*Consumer][]string {
	out := map[*Consumer][]string{}
	for _, m := range c.take() {
		out[m.c] = append(out[m.c], m.body)
	}
	return out
}

func numbers(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestConsumersTakeTurns(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	a, b := c.consume("q", -1), c.consume("q", -1)
	c.publish("", "q", numbers(0, 6)...)
	got := c.by()
	if !slices.Equal(got[a], []string{"0", "2", "4"}) || !slices.Equal(got[b], []string{"1", "3", "5"}) {
		t.Errorf("a %q, b %q", got[a], got[b])
	}
	// Turns go on across publishes.
	for i := range 4 {
		c.publish("", "q", fmt.Sprint(i))
	}
	got = c.by()
	if !slices.Equal(got[a], []string{"0", "2"}) || !slices.Equal(got[b], []string{"1", "3"}) {
		t.Errorf("a %q, b %q", got[a], got[b])
	}
}

func TestAWorkerWithoutCreditIsPassedOver(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	slow, fast := c.consume("q", 1), c.consume("q", 1)
	c.publish("", "q", numbers(0, 10)...)
	first := c.take()
	if len(first) != 2 {
		t.Fatalf("%d messages out with a prefetch of 1 each", len(first))
	}
	var m message
	for _, f := range first {
		if f.c == fast {
			m = f
		}
	}
	for range 8 {
		c.ack(m)
		next := c.take()
		if len(next) != 1 || next[0].c != fast {
			t.Fatalf("got %+v", next)
		}
		m = next[0]
	}
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d left", n)
	}
	_ = slow
}

func TestHigherPrioritiesAreServedFirst(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	low, high, high2 := c.consume("q", -1), c.consume("q", 2, prio(10)), c.consume("q", 2, prio(10))
	c.publish("", "q", numbers(0, 7)...)
	got := c.by()
	if !slices.Equal(got[high], []string{"0", "2"}) || !slices.Equal(got[high2], []string{"1", "3"}) || !slices.Equal(got[low], []string{"4", "5", "6"}) {
		t.Errorf("high %q %q, low %q", got[high], got[high2], got[low])
	}
	c.mu.Lock()
	c.credit[high] = 1
	c.mu.Unlock()
	high.Touch()
	c.publish("", "q", "x", "y")
	if got := c.by(); !slices.Equal(got[high], []string{"x"}) || !slices.Equal(got[low], []string{"y"}) {
		t.Errorf("high %q, low %q", got[high], got[low])
	}
	_, err := c.s.Consume("q", ConsumerSpec{Args: table("x-priority", "a")}, c)
	c.refused(err, `PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`)
}

func TestExclusiveConsumersAreAlone(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q")
	c.queue("single", args("x-single-active-consumer", true))
	const text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
	other := c.consume("q", -1)
	_, err := c.s.Consume("q", ConsumerSpec{Exclusive: true}, c)
	c.refused(err, text)
	other.Cancel()
	alone := c.consume("q", -1, exclusiveUse)
	_, err = w.client().s.Consume("q", ConsumerSpec{}, c)
	c.refused(err, text)
	alone.Cancel()
	c.consume("q", -1)
	_, err = c.s.Consume("single", ConsumerSpec{Exclusive: true}, c)
	c.refused(err, "ACCESS_REFUSED - queue 'single' in vhost '/' in exclusive use")
	_, err = c.s.Consume("nope", ConsumerSpec{}, c)
	c.refused(err, "NOT_FOUND - no queue 'nope' in vhost '/'")
}

func TestNothingIsOfferedBeforeTheFirstTouch(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.publish("", "q", "a")
	cons, err := c.s.Consume("q", ConsumerSpec{Data: 7}, c)
	c.ok(err)
	c.publish("", "q", "b")
	c.wants([]string{})
	c.b.Touch(cons)
	c.flush()
	c.wants([]string{"a", "b"})
	if cons.Data() != 7 || cons.Queue().Name() != "q" {
		t.Error(cons.Data(), cons.Queue().Name())
	}
}

func TestRequeuedMessagesReturnToTheirPlaceAndSaySo(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable)
	cons := c.consume("q", 3)
	c.publish("", "q", numbers(0, 5)...)
	first := c.take()
	cons.Cancel()
	for _, m := range first {
		if m.redelivered {
			t.Error(m.body, "is redelivered at first")
		}
	}
	c.b.Requeue(first[2].q, first[2].seq)
	c.b.Ack(first[1].q, first[1].seq)
	c.b.Requeue(first[0].q, first[0].seq)
	c.flush()
	var got, again []string
	for {
		m, ok := c.get("q")
		if !ok {
			break
		}
		got = append(got, m.body)
		if m.redelivered {
			again = append(again, m.body)
		}
	}
	if !slices.Equal(got, []string{"0", "2", "3", "4"}) || !slices.Equal(again, []string{"0", "2"}) {
		t.Errorf("got %q, redelivered %q", got, again)
	}
}

func TestRequeueReachesTheNextConsumer(t *testing.T) {
	w := newBench(t)
	a, b := w.client(), w.client()
	a.queue("q")
	ca := a.consume("q", 2)
	a.publish("", "q", "1", "2")
	b.consume("q", -1)
	got := a.take()
	ca.Cancel()
	for _, m := range got {
		a.b.Requeue(m.q, m.seq)
	}
	a.flush()
	b.wants([]string{"1", "2"})
	if b.flushes == 0 {
		t.Error("its writer was not woken")
	}
}

func TestDeliveriesThatNeedNoAckAreGone(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable)
	cons := c.consume("q", -1, noAck)
	c.publish("", "q", "a", "b")
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.got) == 2 })
	if ready, unacked, consumers := cons.Queue().Counts(); ready != 0 || unacked != 0 || consumers != 1 {
		t.Error(ready, unacked, consumers)
	}
}

func TestDiscardedMessagesAreGone(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	cons := c.consume("q", 1)
	c.publish("", "q", "a")
	m := c.take()[0]
	c.b.Discard(m.q, m.seq)
	c.flush()
	if ready, unacked, _ := cons.Queue().Counts(); ready != 0 || unacked != 0 {
		t.Error(ready, unacked)
	}
}

func TestGet(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable)
	if _, ok := c.get("q"); ok {
		t.Error("got something from an empty queue")
	}
	c.publish("", "q", "a", "b", "c")
	var left []int
	var held message
	for range 3 {
		ok, err := c.s.Get("q", false, func(d *Delivery, remaining int) {
			left = append(left, remaining)
			held = message{q: d.Queue, seq: d.Seq, body: string(d.Body)}
		})
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if !slices.Equal(left, []int{2, 1, 0}) || held.body != "c" {
		t.Errorf("remaining %v, last %q", left, held.body)
	}
	if _, unacked, _ := held.q.Counts(); unacked != 3 {
		t.Errorf("%d unacked", unacked)
	}
	c.b.Requeue(held.q, held.seq)
	c.flush()
	if m, ok := c.get("q"); !ok || m.body != "c" || !m.redelivered {
		t.Error(m, ok)
	}
	_, err := c.s.Get("nope", false, nil)
	c.refused(err, "NOT_FOUND - no queue 'nope' in vhost '/'")
}

func TestLargeBacklogsReachAConsumerWhole(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	// More than the log's cache holds, so that most must be read from files.
	body := string(make([]byte, 16<<10))
	const n = 400
	for range n / 50 {
		c.publish("", "q", slices.Repeat([]string{body}, 50)...)
	}
	c.publish("", "q", numbers(0, 5000)...)
	c.consume("q", -1, noAck)
	waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.got) == n+5000 })
	got := c.bodies()
	if !slices.Equal(got[n:], numbers(0, 5000)) || got[0] != body {
		t.Error("not what was published")
	}
	waitFor(t, func() bool { return w.quiet("q") })
	if n := w.b.ahead.Load(); n != 0 {
		t.Errorf("%d queues keep what they read ahead", n)
	}
}

func TestASmallPrefetchDrainsWhatIsOnDisk(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	body := string(make([]byte, 16<<10))
	for range 6 {
		c.publish("", "q", slices.Repeat([]string{body}, 50)...)
	}
	w.restart()
	c = w.client()
	c.consume("q", 3)
	for taken := 0; taken < 300; {
		var got []message
		waitFor(t, func() bool { got = append(got, c.take()...); return len(got) > 0 })
		taken += len(got)
		c.ack(got...)
	}
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d left", n)
	}
}

// stingy promises room for many and takes a few.
type stingy struct{ *client }

func (s stingy) Room(*Consumer) int { return 100 }

func (s stingy) Offer(c *Consumer, ds []Delivery) int {
	return s.client.Offer(c, ds[:min(len(ds), 3)])
}

func TestWhatASinkRefusesStaysInItsPlace(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			c.queue("q", with...)
			c.publish("", "q", numbers(0, 100)...)
			cons, err := c.s.Consume("q", ConsumerSpec{NoAck: true}, stingy{c})
			c.ok(err)
			var got []string
			for range 10 {
				cons.Touch()
				waitFor(t, func() bool { return w.quiet("q") })
				got = append(got, c.bodies()...)
			}
			n := len(got)
			if n < 30 || n > 90 || !slices.Equal(got, numbers(0, n)) {
				t.Errorf("got %q", got)
			}
			if m, _ := c.get("q"); m.body != fmt.Sprint(n) || m.redelivered {
				t.Errorf("next is %+v", m)
			}
			if left := c.ready("q"); left != 99-n {
				t.Errorf("%d ready", left)
			}
		})
	}
}
