package broker

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// living are persistent properties with an expiration in ms.
func living(ms int) amqp.Properties {
	return props(mode(2), text(amqp.PropExpiration, fmt.Sprint(ms)))
}

// after waits so long, and for what happens by then.
func after(ms int) {
	time.Sleep(time.Duration(ms) * time.Millisecond)
	synctest.Wait()
}

// timed runs a test in fake time, with a bench and a client.
func timed(t *testing.T, test func(t *testing.T, w *bench, c *client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		test(t, w, w.client())
		w.close()
	})
}

func (c *client) wantReady(queue string, want int) {
	c.t.Helper()
	if n := c.ready(queue); n != want {
		c.t.Fatalf("%d messages are ready in %s, want %d", n, queue, want)
	}
}

func TestMessagesExpireInTimeWhereNobodyConsumes(t *testing.T) {
	for _, spec := range []struct {
		name string
		with []func(*QueueSpec)
	}{
		{"by their own time", []func(*QueueSpec){durable}},
		{"transient", nil},
		{"in a priority queue", []func(*QueueSpec){durable, args("x-max-priority", 5)}},
	} {
		t.Run(spec.name, func(t *testing.T) {
			timed(t, func(t *testing.T, w *bench, c *client) {
				c.queue("q", spec.with...)
				c.publish("", "q", "stays")
				c.publishWith(props(mode(2), text(amqp.PropExpiration, "300"), prior(4)), "", "q", "late")
				c.publishWith(living(100), "", "q", "soon")
				c.publishWith(living(1000), "", "q", "latest")
				after(99)
				c.wantReady("q", 4)
				after(2)
				c.wantReady("q", 3) // behind the head
				after(200)
				c.wantReady("q", 2)
				after(1000)
				if got := c.drain("q"); !slices.Equal(got, []string{"stays"}) {
					t.Errorf("left: %q", got)
				}
			})
		})
	}
}

func prior(p uint8) func(*amqp.PropertiesEditor) {
	return func(e *amqp.PropertiesEditor) { e.SetPriority(p) }
}

func TestQueueHasATimeToLiveAndTheLowerOneHolds(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("q", durable, args("x-message-ttl", 500))
		c.publish("", "q", "first")
		c.publishWith(living(100), "", "q", "lower")
		c.publishWith(living(5000), "", "q", "higher")
		after(200)
		c.publish("", "q", "second")
		c.wantReady("q", 3)
		after(310)
		if got := c.drain("q"); !slices.Equal(got, []string{"second"}) {
			t.Errorf("left: %q", got)
		}
		c.publish("", "q", "third")
		after(600)
		c.wantReady("q", 0)
	})
}

func TestWhatHasExpiredIsNeverDelivered(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("q", durable, args("x-message-ttl", 1000))
		cons := c.consume("q", 2)
		c.publish("", "q", numbers(0, 5)...)
		taken := c.take() // 0 and 1 are out, and so they stay
		after(500)
		c.publishWith(living(200), "", "q", "own")
		c.publish("", "q", "fresh")
		time.Sleep(510 * time.Millisecond) // the clock has not looked yet
		c.ack(taken...)
		c.wants([]string{"fresh"})
		cons.Cancel()
		// What comes back too late is gone, too.
		c.publish("", "q", "a")
		m := c.out("q")
		after(1001)
		if n := w.unacked("q"); n != 2 {
			t.Errorf("%d messages are out, want fresh and a", n)
		}
		c.requeue(m)
		c.wantReady("q", 0)
		if _, ok := c.get("q"); ok {
			t.Error("an expired message was got")
		}
	})
}

func TestTimeZeroIsForAConsumerThatIsReady(t *testing.T) {
	for name, publish := range map[string]func(c *client, body string){
		"of a message": func(c *client, body string) { c.publishWith(living(0), "", "own", body) },
		"of a queue":   func(c *client, body string) { c.publish("", "zero", body) },
	} {
		t.Run(name, func(t *testing.T) {
			timed(t, func(t *testing.T, w *bench, c *client) {
				c.queue("own", durable)
				c.queue("zero", durable, args("x-message-ttl", 0))
				queue := "own"
				if name == "of a queue" {
					queue = "zero"
				}
				publish(c, "nobody")
				c.wantReady(queue, 0)
				if _, ok := c.get(queue); ok {
					t.Error("it was got")
				}
				cons := c.consume(queue, 1)
				publish(c, "taken")
				publish(c, "no room")
				c.wantReady(queue, 0)
				ms := c.take()
				if len(ms) != 1 || ms[0].body != "taken" {
					t.Fatalf("got %v", ms)
				}
				c.mu.Lock()
				c.credit[cons] = 5
				c.mu.Unlock()
				cons.Touch()
				c.requeue(ms...)
				c.wantReady(queue, 0)
				c.wants([]string{}) // it had its chance
				publish(c, "again")
				c.wants([]string{"again"})
			})
		})
	}
}

func TestMessagesExpireAfterARestart(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("own", durable)
		c.queue("ttl", durable, args("x-message-ttl", 1000))
		c.publishWith(living(1000), "", "own", "own")
		c.publish("", "own", "stays")
		c.publish("", "ttl", "ttl")
		after(400)
		w.restart()
		c = w.client()
		after(500)
		c.wantReady("own", 2)
		c.wantReady("ttl", 1)
		after(102)
		c.wantReady("own", 1)
		c.wantReady("ttl", 0)
		c.publishWith(living(1000), "", "own", "down")
		w.close()
		time.Sleep(2 * time.Second)
		w.open()
		c = w.client()
		if got := c.drain("own"); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("left: %q", got)
		}
	})
}

func TestTimeToLiveComesAndGoesByPolicy(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("q", durable)
		c.publish("", "q", "old")
		after(1000)
		c.publish("", "q", "young")
		w.policy(policy.User, "p", "q", 0, "message-ttl", 500)
		synctest.Wait()
		c.wantReady("q", 1)
		after(400)
		c.ok(w.b.DeletePolicy("/", policy.User, "p"))
		after(1000)
		if got := c.drain("q"); !slices.Equal(got, []string{"young"}) {
			t.Errorf("left: %q", got)
		}
	})
}

func TestExpiredMessagesAreDeadLettered(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("dead", durable)
		c.queue("q", durable, dlx("dead"))
		c.publish("", "q", "stays")
		c.publishWith(living(200), "", "q", "b")
		c.publishWith(living(100), "", "q", "a")
		c.publishWith(living(200), "", "q", "c")
		after(150)
		c.wantReady("q", 3)
		c.wantReady("dead", 1)
		after(100)
		c.wantReady("q", 1)
		for _, want := range []string{"a", "b", "c"} {
			m, _ := c.get("dead")
			if got := deaths(m); m.body != want || !slices.Equal(got, []string{"q expired 1"}) {
				t.Errorf("%s died of %q, want %s", m.body, got, want)
			}
			if m.props.Has(amqp.PropExpiration) {
				t.Errorf("%s expires again", m.body)
			}
		}
		if n := w.unacked("q"); n != 0 {
			t.Errorf("%d are out", n)
		}
	})
}

// Queues whose messages wait before they come back are a usual way to retry.
func TestAQueueOfRetriesGivesMessagesBack(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("work", durable, dlx("wait"))
		c.queue("wait", durable, dlx("work", "x-message-ttl", 1000))
		c.consume("work", -1)
		c.publish("", "work", "job")
		for i := range 3 {
			ms := c.take()
			if len(ms) != 1 || len(deaths(ms[0])) != min(2*i, 2) {
				t.Fatalf("round %d: %v", i, ms)
			}
			c.discard(ms...)
			after(990)
			c.wants([]string{})
			after(20)
		}
	})
}

func TestTimeOfATransactionBeginsWithItsCommit(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("q", durable)
		c.b.Atomic()
		_, err := c.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: living(500), Body: []byte("m")})
		c.ok(err)
		after(1000)
		c.flush()
		c.wantReady("q", 1)
		after(490)
		c.wantReady("q", 1)
		after(20)
		c.wantReady("q", 0)
	})
}

func TestMessagesOfADeletedQueueDoNotRing(t *testing.T) {
	timed(t, func(t *testing.T, w *bench, c *client) {
		c.queue("q")
		c.publishWith(living(500), "", "q", "m")
		if _, err := c.s.DeleteQueue("q", false, false); err != nil {
			t.Fatal(err)
		}
		if n := len(w.b.expiry.heap); n != 0 {
			t.Errorf("%d deadlines are left", n)
		}
	})
}
