package broker

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// judge is a consumer that acks some messages, rejects some and gives some back, in a
// goroutine of its own.
type judge struct {
	*client
	cons *Consumer
	wake chan struct{}
	rng  *rand.Rand
}

func (j *judge) Flush() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (w *bench) judge(queue string, seed uint64) *judge {
	j := &judge{client: w.client(), wake: make(chan struct{}, 1), rng: rand.New(rand.NewPCG(seed, 1))}
	cons, err := j.s.Consume(queue, ConsumerSpec{}, j)
	j.ok(err)
	j.cons = cons
	j.credit[cons] = 3
	return j
}

func (j *judge) run(stop <-chan struct{}, ackedAt *sync.Map, acked *atomic.Int64) {
	j.cons.Touch()
	for {
		select {
		case <-j.wake:
		case <-stop:
			j.cons.Cancel()
			for _, m := range j.take() {
				j.b.Requeue(m.q, m.seq)
			}
			if _, err := j.b.Flush(nil, false); err != nil {
				j.t.Error(err)
			}
			return
		}
		got := j.take()
		if j.rng.IntN(4) == 0 {
			j.b.Atomic()
		}
		n := int64(0)
		for _, m := range got {
			switch j.rng.IntN(4) {
			case 0:
				j.b.Requeue(m.q, m.seq)
			case 1:
				if _, twice := ackedAt.LoadOrStore(m.body, true); twice {
					j.t.Errorf("%s was acked twice", m.body)
				}
				j.b.Ack(m.q, m.seq)
				n++
			default:
				j.b.Discard(m.q, m.seq)
			}
		}
		j.mu.Lock()
		j.credit[j.cons] += len(got)
		j.mu.Unlock()
		j.b.Touch(j.cons)
		if _, err := j.b.Flush(nil, j.rng.IntN(2) == 0); err != nil {
			j.t.Error(err)
		}
		acked.Add(n)
	}
}

// TestCyclesOfQueuesUnderLoad has queues that dead-letter into each other, because
// they are too long, time is over, or consumers reject: nothing locks, and every message is
// acked once. No way round is without a rejection, so that none may be dropped.
func TestCyclesOfQueuesUnderLoad(t *testing.T) {
	for name, with := range map[string]func(*QueueSpec){"durable": durable, "transient": func(*QueueSpec) {}} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			c.queue("a", with, dlx("b", "x-max-length", 50, "x-message-ttl", 2))
			c.queue("b", with, dlx("c", "x-max-length", 5))
			c.queue("c", with, dlx("a"))
			const publishers, batches, size = 3, 20, 10
			stop := make(chan struct{})
			var ackedAt sync.Map
			var acked atomic.Int64
			var judges, pubs sync.WaitGroup
			for i := range 3 {
				j := w.judge("c", uint64(i))
				judges.Go(func() { j.run(stop, &ackedAt, &acked) })
			}
			for p := range publishers {
				pub := w.client()
				pubs.Go(func() {
					for n := range batches {
						queue := []string{"a", "b", "c"}[n%3]
						for i := range size {
							if _, err := pub.b.Publish(&Publishing{RoutingKey: []byte(queue), Props: persistent, Confirm: true,
								Body: fmt.Appendf(nil, "%d-%d-%d", p, n, i)}); err != nil {
								t.Error(err)
							}
						}
						if _, err := pub.b.Flush(nil, n%2 == 0); err != nil {
							t.Error(err)
						}
					}
				})
			}
			pubs.Wait()
			// What stays in b within its bound goes round no more. What has just come there
			// may be more for a moment.
			waitFor(t, func() bool {
				b := c.ready("b") // before the acked, or one that comes to b in between is taken for one that stays
				return b <= 5 && int(acked.Load())+b == publishers*batches*size &&
					c.ready("a")+c.ready("c")+w.unacked("c")+w.unacked("a")+w.unacked("b") == 0
			})
			close(stop)
			judges.Wait()
			if n := c.ready("b"); n > 5 {
				t.Errorf("%d messages, more than the bound", n)
			}
		})
	}
}

// TestPublishersAreNotHeldUpByCycles: queues that pass on to each other all that they
// get, from several sides at once.
func TestPublishersAreNotHeldUpByCycles(t *testing.T) {
	w := newBench(t)
	c := w.client()
	const queues, publishers, messages = 5, 4, 300
	for i := range queues {
		c.queue(fmt.Sprint("q", i), dlx(fmt.Sprint("q", (i+1)%queues), "x-max-length", i%2))
	}
	var pubs sync.WaitGroup
	for p := range publishers {
		pub := w.client()
		pubs.Go(func() {
			for n := range messages {
				pub.b.Publish(&Publishing{RoutingKey: fmt.Append(nil, "q", (p+n)%queues), Body: []byte("m")})
				if _, err := pub.b.Flush(nil, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	pubs.Wait()
	for i := range queues {
		name := fmt.Sprint("q", i)
		waitFor(t, func() bool { return c.ready(name) <= i%2 && w.unacked(name) == 0 })
	}
}
