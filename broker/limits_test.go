package broker

import (
	"slices"
	"strings"
	"testing"
)

// rejected are the indices that the last flush refused.
func (c *client) rejected(n int) []int {
	out := []int{}
	for i := range n {
		if c.b.Rejected(i) {
			out = append(out, i)
		}
	}
	if len(out) != c.b.Rejections() {
		c.t.Errorf("%d rejections, of which %v are known", c.b.Rejections(), out)
	}
	return out
}

func TestDropHeadKeepsTheNewest(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("q", append(with, args("x-max-length", 3))...)
			c.publish("", "q", numbers(0, 10)...)
			c.publish("", "q", "x")
			if got := c.drain("q"); !slices.Equal(got, []string{"8", "9", "x"}) {
				t.Errorf("got %q", got)
			}
			if c.rejected(1); c.b.Rejections() != 0 {
				t.Error("drop-head refused something")
			}
		})
	}
}

func TestDropHeadByBytes(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-length-bytes", 10))
	c.publish("", "q", "xxxxxx", "yyyyyy")
	if n := c.ready("q"); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if m, _ := c.get("q"); m.body != "yyyyyy" {
		t.Errorf("got %q", m.body)
	}
	c.publish("", "q", "more than there may ever be")
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

// TestDropHeadByBytesOfABacklogInSegments: the sizes of what is dropped must be
// read, which no publisher waits for; and no more goes than must.
func TestDropHeadByBytesOfABacklogInSegments(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-length-bytes", 20_000))
	large := strings.Repeat("x", 2000)
	for range 5 {
		c.publish("", "q", large)
	}
	c.publish("", "q", numbers(1000, 2000)...) // 4000 bytes
	c.ok(w.b.store.Retire(true))
	c.publish("", "q", strings.Repeat("y", 10_000))
	waitFor(t, func() bool { return c.ready("q") <= 1004 && w.quiet("q") })
	if got := c.drain("q"); len(got) != 1004 || got[2] != large || got[3] != "1000" {
		t.Errorf("%d messages are left", len(got))
	}
}

func TestDropHeadCountsOnlyWhatIsReady(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-length", 2))
	cons := c.consume("q", 3)
	c.publish("", "q", numbers(0, 8)...)
	got := c.take()
	if len(got) != 3 || got[0].body != "0" || got[2].body != "2" {
		t.Fatalf("the consumer got %d, first %q", len(got), got[0].body)
	}
	if n := c.ready("q"); n != 2 {
		t.Fatalf("%d ready, want 2", n)
	}
	cons.Cancel()
	for _, m := range got {
		c.b.Requeue(m.q, m.seq)
	}
	c.flush()
	// What comes back is the oldest, and too much.
	if got := c.drain("q"); !slices.Equal(got, []string{"6", "7"}) {
		t.Errorf("got %q", got)
	}
}

func TestAnOrderDeskRefusesTheHundredAndFirst(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("desk", append(with, args("x-max-length", 100, "x-overflow", "reject-publish"))...)
			c.queue("copy", durable)
			for _, q := range []string{"desk", "copy"} {
				c.bind(q, "amq.fanout", "")
			}
			c.publish("amq.fanout", "", numbers(0, 60)...)
			c.publish("amq.fanout", "", numbers(60, 120)...)
			if got := c.rejected(60); !slices.Equal(got, []int{40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59}) {
				t.Errorf("refused %v", got)
			}
			if desk, other := c.ready("desk"), c.ready("copy"); desk != 100 || other != 120 {
				t.Errorf("%d and %d messages, want 100 and 120", desk, other)
			}
			c.get("desk")
			c.publish("amq.fanout", "", "fits", "does not")
			if got := c.rejected(2); !slices.Equal(got, []int{1}) {
				t.Errorf("refused %v", got)
			}
		})
	}
}

func TestRejectPublishAtOnceWhereConsumersKeepUp(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("q", append(with, args("x-max-length", 2, "x-overflow", "reject-publish"))...)
			c.consume("q", 50)
			c.publish("", "q", numbers(0, 60)...)
			if got := c.rejected(60); !slices.Equal(got, []int{52, 53, 54, 55, 56, 57, 58, 59}) {
				t.Errorf("refused %v", got)
			}
			c.wants(numbers(0, 50))
			if got := c.drain("q"); !slices.Equal(got, []string{"50", "51"}) {
				t.Errorf("left %q", got)
			}
		})
	}
}

func TestDropHeadDropsNothingThatConsumersTake(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-length", 0))
	c.publish("", "q", "nobody is there")
	c.consume("q", 20)
	c.publish("", "q", numbers(0, 30)...)
	c.wants(numbers(0, 20))
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d ready in a queue without room", n)
	}
}

func TestNoRoomAtAllRefusesEverything(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-length", 0, "x-overflow", "reject-publish-dlx"))
	c.consume("q", 20) // RabbitMQ refuses before it looks for a consumer
	c.publish("", "q", "a", "b")
	if got := c.rejected(2); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("refused %v", got)
	}
}

func TestALimitOnOneQueueOfSeveralKeepsTheBatchInOrder(t *testing.T) {
	c := newBench(t).client()
	c.queue("limited", args("x-max-length", 1))
	c.queue("free", durable)
	c.queue("limited2", args("x-max-length", 2, "x-overflow", "reject-publish"))
	for _, q := range []string{"limited", "free", "limited2"} {
		c.bind(q, "amq.fanout", "")
		c.consume(q, 5)
	}
	c.publish("amq.fanout", "", numbers(0, 10)...)
	if got := c.rejected(10); !slices.Equal(got, []int{7, 8, 9}) {
		t.Errorf("refused %v", got)
	}
	if got := c.drain("limited"); !slices.Equal(got, []string{"9"}) {
		t.Errorf("limited has %q", got)
	}
	if got := c.drain("free"); !slices.Equal(got, numbers(5, 10)) {
		t.Errorf("free has %q", got)
	}
	if got := c.drain("limited2"); !slices.Equal(got, []string{"5", "6"}) {
		t.Errorf("limited2 has %q", got)
	}
}

func TestATransactionIsNotCutAtALimit(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable, args("x-max-length", 2))
	c.consume("q", 1)
	c.b.Atomic()
	for _, s := range numbers(0, 5) {
		if _, err := c.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: persistent, Body: []byte(s)}); err != nil {
			t.Fatal(err)
		}
	}
	c.flush()
	c.wants([]string{"0"})
	if got := c.drain("q"); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("left %q", got)
	}
}

// A queue that refuses one message of a transaction refuses all of it.
func TestARefusedTransactionHasNoEffect(t *testing.T) {
	for name, bound := range map[string]func(*QueueSpec){
		"messages": args("x-max-length", 2, "x-overflow", "reject-publish"),
		"bytes":    args("x-max-length-bytes", 2, "x-overflow", "reject-publish"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("full", durable, bound)
			c.queue("free", durable)
			c.queue("work", durable)
			for _, q := range []string{"full", "free"} {
				c.bind(q, "amq.fanout", "")
			}
			c.publish("", "full", "1")
			c.publish("", "work", "job")
			c.consume("work", 1)
			var got []message
			waitFor(t, func() bool { got = c.take(); return len(got) == 1 })
			job := got[0]
			work := func(bodies ...string) error {
				c.b.Atomic()
				for _, s := range bodies {
					p := Publishing{Exchange: []byte("amq.fanout"), Props: persistent, Body: []byte(s)}
					if _, err := c.b.Publish(&p); err != nil {
						t.Fatal(err)
					}
				}
				c.b.Ack(job.q, job.seq)
				_, err := c.b.Flush(nil, true)
				return err
			}
			if err := work("2", "3"); err != ErrRefused {
				t.Fatalf("got %v", err)
			}
			if full, free := c.ready("full"), c.ready("free"); full != 1 || free != 0 {
				t.Errorf("%d and %d messages, want 1 and none", full, free)
			}
			if _, unacked, _ := job.q.Counts(); unacked != 1 {
				t.Error("acked by a transaction that was refused")
			}
			c.ok(work("2"))
			if got := c.drain("full"); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("left %q", got)
			}
			if _, unacked, _ := job.q.Counts(); unacked != 0 {
				t.Error("not acked")
			}
		})
	}
}
