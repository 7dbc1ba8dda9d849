package broker

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// delayed declares a durable exchange that delays, of some type, with a queue.
func (c *client) delayed(name, kind string, queues ...string) {
	c.t.Helper()
	c.ok(c.s.DeclareExchange(ExchangeSpec{Name: name, Type: typeDelayed, Durable: true, Args: table(delayedType, kind)}))
	for _, q := range queues {
		c.queue(q, durable)
		c.ok(c.s.BindQueue(q, name, "k", nil))
	}
}

// wait are persistent properties with an x-delay.
func wait(delay any, more ...any) amqp.Properties {
	return props(mode(2), headers(append([]any{delayHeader, delay}, more...)...))
}

func TestDelayedMessagesComeWhenTheyAreDueAndNeverEarly(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "direct", "q")
		time.Sleep(400 * time.Microsecond) // between two milliseconds
		start := time.Now()
		for body, delay := range map[string]any{
			"a": 300, "b": amqp.Int8(100), "c": "200", "d": amqp.Uint8(250), "e": amqp.Int64(1 << 33), "f": amqp.Double(400.9),
		} {
			if !c.publishWith(wait(delay), "x", "k", body) {
				t.Errorf("%s is returned", body)
			}
		}
		for _, delay := range []any{0, -5, "no number", true, amqp.Double(math.NaN())} {
			c.publishWith(wait(delay), "x", "k", "now")
		}
		c.publish("x", "k", "now")
		if got := c.drain("q"); !slices.Equal(got, []string{"now", "now", "now", "now", "now", "now"}) {
			t.Fatalf("at once come %q", got)
		}
		c.consume("q", -1, noAck)
		last := 0
		for _, step := range []struct {
			ms   int
			body string
		}{{100, "b"}, {200, "c"}, {250, "d"}, {300, "a"}, {400, "f"}} {
			time.Sleep(time.Duration(step.ms-last)*time.Millisecond - time.Microsecond - time.Since(start)%time.Millisecond)
			synctest.Wait()
			c.wants([]string{})
			for late := 0; ; late++ {
				time.Sleep(100 * time.Microsecond)
				synctest.Wait()
				if got := c.bodies(); len(got) > 0 {
					if since := time.Since(start); !slices.Equal(got, []string{step.body}) || since < time.Duration(step.ms)*time.Millisecond {
						t.Fatalf("%q after %v, want %s", got, since, step.body)
					}
					break
				}
				if late == 30 {
					t.Fatalf("%s has not come 3 ms after its time, %v", step.body, time.Since(start))
				}
			}
			last = int(time.Since(start).Milliseconds())
		}
		if at := time.UnixMilli(w.delays("x").NextExpiry()); at.Sub(start) < 1<<33*time.Millisecond || at.Sub(start) > (1<<33+3)*time.Millisecond {
			t.Errorf("the last one is due after %v", at.Sub(start))
		}
	})
}

func TestDelayedMessageIsRoutedWhenItIsDue(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "topic")
		c.queue("later", durable)
		c.queue("copies", durable)
		c.queue("rest", durable)
		c.exchange("unroutable", "fanout")
		c.ok(c.s.BindQueue("rest", "unroutable", "", nil))
		if !c.publishWith(props(mode(2), headers(delayHeader, 100, "CC", strs("copy.1"), "BCC", strs("copy.2"))), "x", "key.1", "m") {
			t.Error("what waits is returned")
		}
		c.ok(c.s.BindQueue("later", "x", "key.*", nil))
		c.ok(c.s.BindQueue("copies", "x", "copy.2", nil))
		after(101)
		m, _ := c.get("later")
		if m.body != "m" || m.exchange != "x" || m.key != "key.1" {
			t.Fatalf("got %+v", m)
		}
		if n, _ := m.props.Headers().Int(delayHeader); n != -100 || m.props.Headers().Has("BCC") || !m.props.Headers().Has("CC") {
			t.Errorf("headers %v", m.props.Headers())
		}
		c.wantReady("copies", 1)
		c.publishWith(wait(100), "x", "nowhere", "dropped")
		after(101)
		if n, _, _ := w.delays("x").Counts(); n != 0 {
			t.Errorf("%d messages wait", n)
		}
	})
}

// delays is the store's queue of what waits in an exchange.
func (w *bench) delays(exchange string) *store.Queue {
	return w.b.vhosts["/"].exchange(exchange).delays.sq
}

func TestDelayedMessagesSurviveRestarts(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q")
		c.ok(c.s.DeclareExchange(ExchangeSpec{Name: "transient", Type: typeDelayed, Args: table(delayedType, "fanout")}))
		c.publishWith(wait(1000), "x", "", "first")
		c.publishWith(wait(3000), "x", "", "second")
		c.publishWith(wait(1000), "transient", "", "gone")
		c.publishWith(props(headers(delayHeader, 1000)), "x", "", "not persistent")
		after(500)
		w.restart()
		c = w.client()
		after(499)
		c.wantReady("q", 0)
		after(2)
		c.wantReady("q", 1)
		w.close()
		time.Sleep(5 * time.Second)
		w.open()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		c = w.client()
		if got := c.drain("q"); !slices.Equal(got, []string{"first", "second"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestDelaysAreBetweenExchangesToo(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("one", "fanout", "q")
		c.delayed("two", "fanout", "q")
		c.exchange("in", "fanout")
		c.queue("direct", durable)
		c.ok(c.s.BindQueue("direct", "in", "", nil))
		c.ok(c.s.BindExchange("one", "in", "", nil))
		c.ok(c.s.BindExchange("two", "one", "", nil))
		m := props(mode(2), headers(delayHeader, 100), text(amqp.PropExpiration, "50"))
		c.publishWith(m, "in", "", "m")
		c.wantReady("direct", 1)
		after(51)
		c.wantReady("direct", 0) // its time runs there
		after(50)
		c.wantReady("q", 1) // it waits once, and its time begins now
		after(51)
		c.wantReady("q", 0)
	})
}

func TestDeadLettersAreDelayed(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q")
		c.queue("work", durable, args("x-dead-letter-exchange", "x"))
		c.publishWith(wait(100), "", "work", "m")
		c.discard(c.out("work"))
		c.wantReady("q", 0)
		after(101)
		m, _ := c.get("q")
		if got := deaths(m); m.body != "m" || !slices.Equal(got, []string{"work rejected 1"}) {
			t.Errorf("%q: %q", m.body, got)
		}
	})
}

func TestADelayBeginsWithTheCommit(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q")
		c.b.Atomic()
		_, err := c.b.Publish(&Publishing{Exchange: []byte("x"), Props: wait(500), Body: []byte("m")})
		c.ok(err)
		after(1000)
		c.flush()
		after(499)
		c.wantReady("q", 0)
		after(3)
		c.wantReady("q", 1)
	})
}

// TestADelayForEverIsNoneThatIsOver: times that have no room in a number are late ones,
// in a transaction too, whose commit is later still.
func TestADelayForEverIsNoneThatIsOver(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q")
		for _, atomic := range []bool{false, true} {
			if atomic {
				c.b.Atomic()
			}
			forever := props(mode(2), headers(delayHeader, int64(math.MaxInt64)))
			_, err := c.b.Publish(&Publishing{Exchange: []byte("x"), Props: forever, Body: []byte("m")})
			c.ok(err)
			after(1000)
			c.flush()
			after(1000)
			c.wantReady("q", 0)
		}
	})
}

func TestLargeMessagesAreDelayed(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q", "r")
		body := bytes.Repeat([]byte("large"), 300_000)
		p := &Publishing{Exchange: []byte("x"), Props: wait(100), Confirm: true}
		u, err := c.s.NewUpload(uint64(len(body)), amqp.Properties(p.Props))
		c.ok(err)
		_, err = u.Write(body)
		c.ok(err)
		p.Upload = u
		_, err = c.b.Publish(p)
		c.ok(err)
		c.flush()
		w.restart()
		c = w.client()
		after(99)
		c.wantReady("q", 0)
		after(5)
		for _, queue := range []string{"q", "r"} {
			ok, err := c.s.Get(queue, true, func(d *Delivery, _ int) {
				if n, _ := amqp.Properties(d.Props).Headers().Int(delayHeader); d.Large == nil || d.Large.Size() != int64(len(body)) || n != -100 {
					t.Errorf("%s: %+v, delay %d", queue, d.Large, n)
				}
			})
			if c.ok(err); !ok {
				t.Errorf("%s is empty", queue)
			}
		}
	})
}

func TestDeletedExchangeDropsWhatWaits(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.delayed("x", "fanout", "q")
		c.publishWith(wait(100), "x", "", "m")
		c.ok(c.s.DeleteExchange("x", false))
		if n := len(w.b.expiry.heap); n != 0 {
			t.Errorf("%d deadlines are left", n)
		}
		c.delayed("x", "fanout", "q")
		after(500)
		c.wantReady("q", 0)
		w.restart()
		after(500)
		w.client().wantReady("q", 0)
	})
}

func TestDelayedExchangesMustSayHowTheyRoute(t *testing.T) {
	w := newBench(t)
	c := w.client()
	for _, each := range []struct {
		args amqp.Table
		want string
	}{
		{nil, "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{table(delayedType, 5), "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{table(delayedType, typeDelayed), "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"},
		{table(delayedType, "none"), "COMMAND_INVALID - unknown exchange type 'none'"},
	} {
		c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "x", Type: typeDelayed, Args: each.args}), each.want)
	}
	c.delayed("x", "headers", "q")
	c.delayed("x", "headers", "q")
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "x", Type: typeDelayed, Durable: true, Args: table(delayedType, "topic")}),
		"PRECONDITION_FAILED - inequivalent arg 'x-delayed-type' for exchange 'x' in vhost '/': received 'topic' but current is 'headers'")
	if err := c.s.BindQueue("q", "x", "k", table("x-match", "some")); err == nil {
		t.Error("a binding that headers exchanges refuse was taken")
	}
}

// TestADelayedMessageIsInOnePlaceAfterAPowerCut looks at what any operation on files
// may leave, while messages come to their time.
func TestADelayedMessageIsInOnePlaceAfterAPowerCut(t *testing.T) {
	const messages = 20
	images := map[string]*vfs.Mem{}
	var opts Options
	timed(t, func(t *testing.T, w *bench, c *client) {
		w.fs.SyncAll() // the folder itself
		opts = w.opts
		c.delayed("x", "fanout", "q", "r")
		for i := range messages {
			c.publishWith(wait(100+5*i), "x", "", fmt.Sprintf("%02d", i))
		}
		var mu sync.Mutex
		w.fs.OnOp(func(op int, _ vfs.Op, _ string) {
			mu.Lock()
			defer mu.Unlock()
			if op%2 == 0 {
				return
			}
			for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 3, Seed: uint64(op)}) {
				images[fmt.Sprintf("operation %d, %s", op, name)] = image
			}
		})
		for range 6 {
			after(40)
			c.ok(w.b.store.Checkpoint())
		}
		w.fs.OnOp(nil)
	})
	if len(images) < 50 {
		t.Errorf("only %d images", len(images))
	}
	moved := 0
	for name, image := range images {
		synctest.Test(t, func(t *testing.T) {
			w := &bench{t: t, fs: image, opts: opts}
			w.opts.Store.FS = image
			w.opts.Reserve = -1
			w.open()
			c := w.client()
			n, _, _ := w.delays("x").Counts()
			if n < messages {
				moved++
			}
			after(1000) // the fake clock stands where it stood at first
			for _, queue := range []string{"q", "r"} {
				if got := slices.Sorted(slices.Values(c.drain(queue))); len(got) != messages || len(slices.Compact(got)) != messages {
					t.Errorf("%s: %d messages wait, %q are in %s", name, n, got, queue)
				}
			}
			w.close()
		})
		delete(images, name)
	}
	if moved == 0 {
		t.Error("nothing had moved in any of them")
	}
}
