package broker

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

func priority(n uint8) func(*amqp.PropertiesEditor) {
	return func(e *amqp.PropertiesEditor) { e.SetPriority(n) }
}

// prioritized publishes persistent messages; a body begins with its priority, or
// with "-" where it has none.
func (c *client) prioritized(exchange, key string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		set := []func(*amqp.PropertiesEditor){mode(2)}
		if n := 0; body[0] != '-' {
			if _, err := fmt.Sscanf(body, "%d", &n); err != nil {
				c.t.Fatal(err)
			}
			set = append(set, priority(uint8(n)))
		}
		c.publishWith(props(set...), exchange, key, body)
	}
}

// await waits until n messages have come: a durable queue's first consumer waits
// for the log.
func (c *client) await(n int) {
	c.t.Helper()
	waitFor(c.t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.got) >= n
	})
}

func TestAPriorityQueueServesHigherPrioritiesFirst(t *testing.T) {
	for name, test := range map[string]struct {
		most int
		want string
	}{
		"ten levels":                            {10, "10 9a 9b 5 1a 1b -a 0 -b"},
		"what is over the highest is capped":    {5, "9a 5 9b 10 1a 1b -a 0 -b"},
		"one level":                             {1, "1a 9a 5 9b 1b 10 -a 0 -b"},
		"255 levels":                            {255, "10 9a 9b 5 1a 1b -a 0 -b"},
		"no level: a queue like any other":      {0, "-a 1a 9a 5 0 9b 1b -b 10"},
		"an ordinary queue knows no priorities": {-1, "-a 1a 9a 5 0 9b 1b -b 10"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			if test.most >= 0 {
				c.queue("q", durable, args("x-max-priority", test.most))
			} else {
				c.queue("q", durable)
			}
			c.prioritized("", "q", "-a", "1a", "9a", "5", "0", "9b", "1b", "-b", "10")
			if n := c.ready("q"); n != 9 {
				t.Errorf("%d messages are ready, want 9", n)
			}
			want := strings.Fields(test.want)
			c.consume("q", 3)
			c.await(3)
			c.wants(want[:3])
			if got := c.drain("q"); !slices.Equal(got, want[3:]) {
				t.Errorf("got %q, want %q", got, want[3:])
			}
		})
	}
}

func TestAHigherPriorityOvertakesWhatIsStillReady(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-priority", 3))
	c.prioritized("", "q", "1a", "1b", "1c")
	c.consume("q", 1)
	first := c.take()
	c.prioritized("", "q", "3", "2")
	c.ack(first...)
	second := c.take()
	if len(second) != 1 || second[0].body != "3" {
		t.Fatalf("got %v, want 3", second)
	}
	c.ack(second...)
	c.wants([]string{"2"})
}

func TestARequeuedMessageKeepsItsPlaceInItsLevel(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable, args("x-max-priority", 3))
	c.prioritized("", "q", "1a", "2a", "1b", "2b", "-a", "1c")
	cons := c.consume("q", 5)
	c.await(5)
	got := c.take()
	cons.Cancel()
	for _, m := range slices.Backward(got) {
		c.b.Requeue(m.q, m.seq)
	}
	c.prioritized("", "q", "2c")
	want := []string{"2a", "2b", "2c", "1a", "1b", "1c", "-a"}
	for _, body := range want {
		m, ok := c.get("q")
		if !ok || m.body != body || m.redelivered != (body != "2c" && body != "-a") {
			t.Errorf("got %q, redelivered %v; want %q", m.body, m.redelivered, body)
		}
	}
}

func TestLanesSurvive(t *testing.T) {
	make := func(c *client) {
		c.queue("q", durable, args("x-max-priority", 9))
		c.queue("plain", durable)
		c.bind("q", "amq.fanout", "")
		c.bind("plain", "amq.fanout", "")
		c.prioritized("amq.fanout", "", "-a", "7a", "2a", "7b")
		c.publishWith(props(priority(9)), "", "q", "transient")
	}
	check := func(t *testing.T, w *bench) {
		t.Helper()
		c := w.client()
		c.prioritized("amq.fanout", "", "7c", "4a", "9a")
		if got, want := c.drain("q"), strings.Fields("9a 7a 7b 7c 4a 2a -a"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := c.drain("plain"), strings.Fields("-a 7a 2a 7b 7c 4a 9a"); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		n := 0
		w.b.store.Queues(func(*store.Queue) bool { n++; return true })
		if n != 6 { // 9, 7, 4, 2, 0; plain
			t.Errorf("the store has %d durable queues, want 6", n)
		}
		_, err := c.s.DeleteQueue("q", false, false)
		c.ok(err)
	}
	t.Run("a restart", func(t *testing.T) {
		w := newBench(t)
		make(w.client())
		w.restart()
		check(t, w)
		w.restart() // the deleted queue takes its lanes along
		n := 0
		w.b.store.Queues(func(*store.Queue) bool { n++; return true })
		if n != 1 {
			t.Errorf("the store has %d durable queues, want 1", n)
		}
	})
	t.Run("a crash", func(t *testing.T) {
		w := newBench(t)
		make(w.client())
		w.crash()
		check(t, w)
	})
	t.Run("a power cut", func(t *testing.T) {
		w := newBench(t)
		w.fs.SyncAll() // the folder itself
		make(w.client())
		n := 0
		for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 60, Seed: 1}) {
			t.Run(name, func(t *testing.T) {
				after := &bench{t: t, fs: image, opts: w.opts}
				after.opts.Store.FS = image
				after.open()
				defer after.close()
				check(t, after)
			})
			n++
		}
		if n == 0 {
			t.Error("no image")
		}
	})
}

func TestAFanOutToAPriorityQueueIsWrittenOnce(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-priority", 9))
	c.queue("plain", durable)
	c.bind("q", "amq.fanout", "")
	c.bind("plain", "amq.fanout", "")
	c.prioritized("amq.fanout", "", "5") // makes the lane
	before := w.b.store.Metrics().Published
	body := "5" + strings.Repeat("x", 10_000)
	c.prioritized("amq.fanout", "", body)
	if n := w.b.store.Metrics().Published - before; n < 10_000 || n > 11_000 {
		t.Errorf("%d bytes were appended for a message of %d", n, len(body))
	}
}

func TestPurgeAndDeletionTakeAllLanes(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", args("x-max-priority", 5))
	c.prioritized("", "q", "-", "1", "5", "5", "3")
	c.consume("q", 1)
	if n, err := c.s.PurgeQueue("q"); n != 4 || err != nil {
		t.Errorf("%d messages were purged (%v), want 4", n, err)
	}
	c.prioritized("", "q", "1", "4")
	if n, err := c.s.DeleteQueue("q", false, false); n != 2 || err != nil {
		t.Errorf("%d messages were deleted (%v), want 2", n, err)
	}
	// Its routes and lanes are of no use any more.
	if c.publish("", "q", "m") {
		t.Error("a publish to the deleted queue was routed")
	}
}

func TestAFullPriorityQueueDropsTheHighestFirst(t *testing.T) {
	for name, bound := range map[string][]any{
		"messages": {"x-max-length", 3},
		"bytes":    {"x-max-length-bytes", 6},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("q", args(append(bound, "x-max-priority", 5)...))
			c.prioritized("", "q", "1a", "3a", "2a", "3b", "0a", "9a", "1b")
			if got, want := c.drain("q"), []string{"1a", "1b", "0a"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAFullPriorityQueueThatRefusesCountsAllLanes(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-length", 2, "x-overflow", "reject-publish", "x-max-priority", 5))
	c.prioritized("", "q", "1", "3")
	full := func(c *client) {
		t.Helper()
		for n := range uint8(7) {
			c.publishWith(props(priority(n)), "", "q", "more")
			if c.b.Rejections() != 1 {
				t.Errorf("a message of priority %d was taken", n)
			}
		}
	}
	full(c)
	w.restart()
	c = w.client()
	full(c)
	if m, _ := c.get("q"); m.body != "3" {
		t.Errorf("got %q", m.body)
	}
	c.prioritized("", "q", "5")
	full(c)
	if got := c.drain("q"); !slices.Equal(got, []string{"5", "1"}) {
		t.Errorf("got %q", got)
	}
}

// Publishers make the lanes at the same time, a single active consumer is followed by
// another all the while, and each message is acked once.
func TestPrioritiesAndHandoversLoseNothing(t *testing.T) {
	w := newBench(t)
	setup := w.client()
	setup.queue("q", durable, args("x-max-priority", 255, "x-single-active-consumer", true))
	const publishers, each = 4, 400
	var work sync.WaitGroup
	for p := range publishers {
		work.Go(func() {
			c := w.client()
			for i := range each {
				c.publishWith(props(mode(uint8(1+i%2)), priority(uint8(i*7+p))), "", "q", fmt.Sprintf("%d.%d", p, i))
			}
		})
	}
	acked := map[string]int{}
	for range 2 {
		setup.consume("q", 50) // one waits at any time
	}
	c := w.client()
	for n := 0; n < publishers*each; {
		cons := c.consume("q", 20)
		for _, m := range setup.take() {
			acked[m.body]++
			n++
			setup.ack(m)
		}
		for i, m := range c.take() {
			if i%3 == 0 {
				c.b.Requeue(m.q, m.seq)
				c.flush()
				continue
			}
			acked[m.body]++
			n++
			c.ack(m)
		}
		runtime.Gosched()
		cons.Cancel()
		if n%2 == 0 {
			for _, m := range c.take() {
				c.b.Requeue(m.q, m.seq)
			}
			c.flush()
		}
	}
	work.Wait()
	for body, n := range acked {
		if n != 1 {
			t.Errorf("%s was acked %d times", body, n)
		}
	}
	ready, unacked, _ := w.b.vhosts["/"].queue("q").Counts()
	if len(acked) != publishers*each || ready+unacked != 0 {
		t.Errorf("%d messages were acked, %d are left", len(acked), ready+unacked)
	}
}
