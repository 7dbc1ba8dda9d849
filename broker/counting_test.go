package broker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Publishes are counted by what they were routed to, however many routes a batch
// needs, and those of a transaction when it has happened.
func TestPublishesAreCountedOnceWhateverTheirRoutes(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic ", atomic), func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			const queues = 3 * maxRoutes // more than a batch remembers
			want := make([]uint64, queues)
			for i := range want {
				c.queue(fmt.Sprint("q", i))
			}
			c.ok(c.s.DeclareExchange(ExchangeSpec{Name: "h", Type: "headers"})) // looks at each message
			c.bind("q0", "h", "", "x-match", "any", "a", "1")
			c.bind("q1", "h", "", "x-match", "any", "b", "1")
			var total, unrouted, headers, toHeaders uint64
			for round := range 20 {
				kept := !atomic || round%3 != 2 // only transactions are rolled back
				if atomic {
					c.b.Atomic()
				}
				for range 500 {
					var routed bool
					if rand.IntN(4) == 0 {
						set, n := table(), uint64(0)
						for i, name := range []string{"a", "b"} {
							if rand.IntN(2) == 0 {
								set = set.With(name, amqp.LongString("1"))
								if n++; kept {
									want[i]++
								}
							}
						}
						props, err := new(amqp.PropertiesEditor).SetHeaders(set).Properties()
						c.ok(err)
						routed, err = c.b.Publish(&Publishing{Exchange: []byte("h"), Props: props})
						c.ok(err)
						if kept {
							headers++
							toHeaders += n
						}
					} else {
						i := rand.IntN(queues + 10)
						var err error
						routed, err = c.b.Publish(&Publishing{RoutingKey: fmt.Append(nil, "q", i)})
						c.ok(err)
						if kept && i < queues {
							want[i]++
						}
					}
					if kept {
						total++
						if !routed {
							unrouted++
						}
					}
				}
				if kept {
					c.flush()
				} else {
					c.b.Reset()
				}
			}
			if got := w.b.VHostCounts("/"); got.Publish != total || got.DropUnroutable != unrouted || got.PublishIn != total {
				t.Errorf("the vhost has counted %+v; published %d, unroutable %d", got, total, unrouted)
			}
			var sum uint64
			for i := range want {
				q, err := w.b.Queue("/", fmt.Sprint("q", i))
				c.ok(err)
				if q.Counts.Publish != want[i] || uint64(q.Ready) != want[i] {
					t.Errorf("q%d has counted %d and has %d, want %d", i, q.Counts.Publish, q.Ready, want[i])
				}
				sum += want[i]
			}
			x, err := w.b.Exchange("/", "")
			c.ok(err)
			h, err := w.b.Exchange("/", "h")
			c.ok(err)
			if h.Counts != (stats.Counts{PublishIn: headers, PublishOut: toHeaders}) || x.Counts != (stats.Counts{PublishIn: total - headers, PublishOut: sum - toHeaders}) {
				t.Errorf("exchanges have counted %+v and %+v", h.Counts, x.Counts)
			}
		})
	}
}

// A transaction that a full queue refuses has published nothing.
func TestARefusedTransactionIsNotCounted(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("full", args("x-max-length", 1, "x-overflow", "reject-publish"))
	c.b.Atomic()
	for range 2 {
		if _, err := c.b.Publish(&Publishing{RoutingKey: []byte("full")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.b.Flush(nil, true); err != ErrRefused {
		t.Fatal(err)
	}
	if got := w.b.VHostCounts("/"); got != (stats.Counts{}) {
		t.Errorf("counted %+v", got)
	}
}

func TestWhatAQueueHolds(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	want := func(ready, unacked, persistent int, bytes, unackedBytes, persistentBytes int64) {
		t.Helper()
		l, err := w.b.Queue("/", "q")
		c.ok(err)
		if l.Ready != ready || l.Unacked != unacked || l.Persistent != persistent || l.Bytes != bytes || l.UnackedBytes != unackedBytes ||
			l.ReadyBytes != bytes-unackedBytes || l.PersistentBytes != persistentBytes {
			t.Errorf("ready %d, unacked %d, persistent %d, bytes %d, of unacked %d, of persistent %d", l.Ready, l.Unacked, l.Persistent, l.Bytes, l.UnackedBytes, l.PersistentBytes)
		}
	}
	want(0, 0, 0, 0, 0, 0)
	c.publish("", "q", "one", "three")
	c.publishWith(nil, "", "q", "fleeting", "short")
	want(4, 0, 2, 21, 0, 8)
	cons := c.consume("q", 3)
	c.await(3)
	got := c.take()
	want(1, 3, 2, 21, 16, 8)
	c.b.Ack(got[1].q, got[1].seq)
	c.flush()
	want(1, 2, 1, 16, 11, 3)
	_, err := c.s.PurgeQueue("q")
	c.ok(err)
	want(0, 2, 1, 11, 11, 3)
	c.b.Requeue(got[2].q, got[2].seq)
	cons.Cancel()
	c.flush()
	want(1, 1, 1, 11, 3, 3)
}

// A queue's consumers could take messages for as long as one of them had credit, or
// the queue was empty.
func TestUtilisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("q")
		want := func(lowest, highest float64) {
			t.Helper()
			synctest.Wait()
			l, err := w.b.Queue("/", "q")
			c.ok(err)
			if l.Utilisation < lowest || l.Utilisation > highest {
				t.Errorf("utilisation is %v, want %v to %v", l.Utilisation, lowest, highest)
			}
			w.b.EachQueue(func(s QueueSample) bool {
				if s.Utilisation != l.Utilisation {
					t.Errorf("sampled %v, listed %v", s.Utilisation, l.Utilisation)
				}
				return true
			})
		}
		want(-1, -1)
		cons := c.consume("q", 1)
		time.Sleep(10 * time.Second)
		want(1, 1)
		c.publish("", "q", "a", "b")
		time.Sleep(10 * time.Second)
		want(0.4, 0.6)
		for range 10 { // each message takes a second, and the next is there
			c.publish("", "q", "more")
			c.ack(c.take()...)
			time.Sleep(time.Second)
		}
		want(0, 0.4)
		cons.Cancel()
		want(-1, -1)
		w.close()
	})
}

// The share of time is measured by a clock of its own.
func TestShareOfTime(t *testing.T) {
	var s share
	s.change(1000, true)
	if got := s.of(1000); got != 1 {
		t.Errorf("at first %v", got)
	}
	s.change(3000, false)
	if got := s.of(4000); got != 2.0/3 {
		t.Errorf("two thirds are %v", got)
	}
	s.change(1_003_000, true) // very long, which is forgotten in time
	if got := s.of(1_003_000 + shareWindow); got < 0.5 || got > 0.67 {
		t.Errorf("after a window %v", got)
	}
}

func TestSamplesAllocateNothingAQueue(t *testing.T) {
	w := newBench(t)
	c := w.client()
	const queues = 500
	for i := range queues {
		c.queue(fmt.Sprint("q", i))
		c.publish("", fmt.Sprint("q", i), "hello")
	}
	n := 0
	each := func() {
		w.b.EachQueue(func(s QueueSample) bool {
			if s.Ready == 1 && s.Counts.Publish == 1 && s.ID != 0 {
				n++
			}
			return true
		})
		w.b.EachExchange(func(ExchangeSample) bool { return true })
		w.b.EachChannel(func(ChannelSample) bool { return true })
		w.b.EachConnection(func(ConnectionSample) bool { return true })
	}
	each()
	if n != queues {
		t.Fatalf("%d of %d queues were sampled", n, queues)
	}
	if allocs := testing.AllocsPerRun(20, each); allocs > queues/10 {
		t.Errorf("%v allocations for %d queues", allocs, queues)
	}
}
