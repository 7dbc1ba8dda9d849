package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

var single = args("x-single-active-consumer", true)

// tag names a consumer, for who reads deliveries.
func tag(name string) func(*ConsumerSpec) { return func(s *ConsumerSpec) { s.Tag = name } }

// came wants what has come since the last take: bodies with their consumers' tags.
func (c *client) came(want ...string) []message {
	c.t.Helper()
	got := c.take()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = want[i] == got[i].c.Tag()+got[i].body
	}
	if !same {
		for _, m := range got {
			c.t.Logf("got %s for %s", m.body, m.c.Tag())
		}
		c.t.Fatalf("want %q", want)
	}
	return got
}

func TestOnlyOneConsumerIsActive(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", single)
	c.consume("q", 2, tag("a"))
	c.consume("q", -1, tag("b"))
	c.publish("", "q", "1", "2", "3", "4")
	// Without credit it stays what it is.
	got := c.came("a1", "a2")
	c.ack(got[0])
	c.came("a3")
	if n, consumers := c.counts("q"); n != 1 || consumers != 2 {
		t.Errorf("%d messages, %d consumers; want 1, 2", n, consumers)
	}
}

func TestTheNextConsumerIsServedAtOnce(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", single)
	a := c.consume("q", 2, tag("a"))
	b := c.consume("q", 1, tag("b"))
	c.consume("q", -1, tag("c"))
	c.publish("", "q", "1", "2", "3", "4")
	got := c.came("a1", "a2")
	a.Cancel()
	c.await(1)
	c.came("b3")
	// What the cancelled one had may still be acked, or come back.
	c.ack(got[0])
	c.b.Requeue(got[1].q, got[1].seq)
	c.flush()
	c.came()
	b.Cancel()
	c.await(2)
	c.came("c2", "c4")
}

func TestWhatIsRequeuedRightAfterTheCancelComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("q", single)
		a := c.consume("q", 2, tag("a"))
		c.consume("q", -1, tag("b"))
		c.publish("", "q", "1", "2", "3")
		got := c.came("a1", "a2")
		a.Cancel()
		c.publish("", "q", "4")
		time.Sleep(handDownPause - time.Millisecond)
		for _, m := range got {
			c.b.Requeue(m.q, m.seq)
		}
		c.flush()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		c.came("b1", "b2", "b3", "b4")
		w.close()
	})
}

func TestWhatIsRequeuedBeforeTheCancelComesFirst(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", single)
	a := c.consume("q", 3, tag("a"))
	c.consume("q", -1, tag("b"))
	c.publish("", "q", "1", "2", "3", "4")
	for _, m := range c.came("a1", "a2", "a3") {
		c.b.Requeue(m.q, m.seq)
	}
	c.flush()
	c.came()
	a.Cancel()
	c.came("b1", "b2", "b3", "b4")
}

func TestTheNextConsumerIsTheFirstOfTheHighestPriority(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", single)
	a := c.consume("q", -1, tag("a"))
	b := c.consume("q", -1, tag("b"), prio(-1))
	d := c.consume("q", -1, tag("d"), prio(7))
	e := c.consume("q", -1, tag("e"), prio(7))
	f := c.consume("q", -1, tag("f"), prio(7))
	c.publish("", "q", "1")
	c.came("a1") // who comes later takes nothing over
	e.Cancel()   // one that waits
	a.Cancel()
	c.publish("", "q", "2")
	c.await(1)
	c.came("d2")
	d.Cancel()
	c.publish("", "q", "3")
	c.await(1)
	c.came("f3")
	// One that comes again is the last of its priority.
	c.consume("q", -1, tag("g"), prio(7))
	c.consume("q", -1, tag("h"), prio(7))
	f.Cancel()
	b.Cancel()
	c.publish("", "q", "4")
	c.await(1)
	c.came("g4")
}

func TestANextConsumerThatHasNotBegunWaitsForItsTouch(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", single)
	a := c.consume("q", -1, tag("a"))
	b, err := c.s.Consume("q", ConsumerSpec{Tag: "b"}, c)
	c.ok(err)
	a.Cancel()
	c.publish("", "q", "1")
	c.came()
	b.Touch()
	c.came("b1")
}

func TestTheLastConsumerOfASingleActiveQueueLeavesItEmptyHanded(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", single, autoDelete)
	a, b := c.consume("q", -1, tag("a")), c.consume("q", -1, tag("b"))
	a.Cancel()
	b.Cancel()
	if c.exists("q") {
		t.Error("the queue is there after its last consumer went")
	}
	c.queue("q", single)
	a = c.consume("q", -1, tag("a"))
	a.Cancel()
	c.publish("", "q", "1")
	c.came()
	c.consume("q", -1, tag("b"))
	c.came("b1")
	if _, err := c.s.DeleteQueue("q", false, false); err != nil || len(c.cancelled) != 1 {
		t.Errorf("%d consumers were cancelled (%v), want 1", len(c.cancelled), err)
	}
}

func TestExclusiveAndGetOnASingleActiveQueue(t *testing.T) {
	c := newBench(t).client()
	c.queue("classic", single)
	c.queue("quorum", durable, args("x-single-active-consumer", true, "x-queue-type", "quorum"))
	_, err := c.s.Consume("classic", ConsumerSpec{Exclusive: true}, c)
	c.refused(err, "ACCESS_REFUSED - queue 'classic' in vhost '/' in exclusive use")
	if _, err = c.s.Consume("quorum", ConsumerSpec{Exclusive: true}, c); err != nil {
		t.Error(err)
	}
	c.publish("", "classic", "1")
	if m, ok := c.get("classic"); !ok || m.body != "1" {
		t.Errorf("got %q", m.body)
	}
	_, err = c.s.Get("quorum", true, nil)
	c.refused(err, "RESOURCE_LOCKED - cannot obtain access to locked queue 'quorum' in vhost '/'. "+
		"basic.get operations are not supported by quorum queues with single active consumer")
}

func TestGetWaitsForWhatIsBeingGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c, other := w.client(), w.client()
		c.queue("q")
		c.consume("q", 1)
		c.publish("", "q", "old", "new")
		old := c.came("tagold")[0]
		q := w.b.vhosts["/"].queue("q").(*localQueue)
		q.hold(1) // as between two steps of a huge settlement
		var got message
		done := make(chan struct{})
		go func() {
			defer close(done)
			got, _ = other.get("q")
		}()
		synctest.Wait()
		c.b.Requeue(old.q, old.seq)
		c.flush()
		q.hold(-1)
		<-done
		if got.body != "old" {
			t.Errorf("got %q", got.body)
		}
		w.close()
	})
}
