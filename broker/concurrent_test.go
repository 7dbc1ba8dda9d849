package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// worker is a consumer that acks in a goroutine of its own, as a connection
// would: Offer signals, the goroutine takes, acks, touches.
type worker struct {
	*client
	cons  *Consumer
	wake  chan struct{}
	done  chan struct{}
	seen  *sync.Map // body → *atomic.Int32
	total *atomic.Int64
	dead  atomic.Bool // Cancel has returned
}

func (w *worker) Offer(c *Consumer, ds []Delivery) int {
	if w.dead.Load() {
		w.t.Error("offered after Cancel returned")
	}
	return w.client.Offer(c, ds)
}

func (w *worker) Flush() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run acks what comes until stop, then cancels and gives the rest back.
func (w *worker) run(stop <-chan struct{}) {
	defer close(w.done)
	for {
		select {
		case <-w.wake:
			got := w.take()
			for _, m := range got {
				n, _ := w.seen.LoadOrStore(m.body, new(atomic.Int32))
				n.(*atomic.Int32).Add(1)
				w.b.Ack(m.q, m.seq)
			}
			w.mu.Lock()
			w.credit[w.cons] += len(got)
			w.mu.Unlock()
			w.b.Touch(w.cons)
			if _, err := w.b.Flush(nil, true); err != nil {
				w.t.Error(err)
			}
			w.total.Add(int64(len(got)))
		case <-stop:
			w.cons.Cancel()
			w.dead.Store(true)
			for _, m := range w.take() {
				w.b.Requeue(m.q, m.seq)
			}
			if _, err := w.b.Flush(nil, true); err != nil {
				w.t.Error(err)
			}
			return
		}
	}
}

func (w *bench) worker(queue string, credit int, seen *sync.Map, total *atomic.Int64) *worker {
	k := &worker{client: w.client(), wake: make(chan struct{}, 1), done: make(chan struct{}), seen: seen, total: total}
	cons, err := k.s.Consume(queue, ConsumerSpec{}, k)
	k.ok(err)
	k.cons = cons
	k.credit[cons] = credit
	return k
}

func TestNoMessageIsLostDoubledOrForgottenUnderLoad(t *testing.T) {
	for name, with := range map[string][]func(*QueueSpec){"durable": {durable}, "transient": {}} {
		for _, credit := range []int{1, 3, 100} {
			t.Run(fmt.Sprint(name, credit), func(t *testing.T) {
				w := newBench(t)
				c := w.client()
				c.queue("q", with...)
				var seen sync.Map
				var total atomic.Int64
				const publishers, batches, size = 3, 40, 10
				stop := make(chan struct{})
				var workers []*worker
				for range 3 {
					k := w.worker("q", credit, &seen, &total)
					workers = append(workers, k)
					go k.run(stop)
					k.cons.Touch()
				}
				var pubs sync.WaitGroup
				for p := range publishers {
					pub := w.client()
					pubs.Go(func() {
						for b := range batches {
							for i := range size {
								if _, err := pub.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: persistent, Confirm: true,
									Body: fmt.Appendf(nil, "%d-%d-%d", p, b, i)}); err != nil {
									t.Error(err)
								}
							}
							if _, err := pub.b.Flush(nil, b%2 == 0); err != nil {
								t.Error(err)
							}
						}
					})
				}
				// Somebody comes and goes, and gives back what it got.
				pubs.Go(func() {
					for range 20 {
						guest := w.client()
						cons, err := guest.s.Consume("q", ConsumerSpec{}, guest)
						guest.ok(err)
						guest.mu.Lock()
						guest.credit[cons] = 5
						guest.mu.Unlock()
						cons.Touch()
						cons.Cancel()
						for _, m := range guest.take() {
							guest.b.Requeue(m.q, m.seq)
						}
						if _, err := guest.b.Flush(nil, false); err != nil {
							t.Error(err)
						}
					}
				})
				pubs.Wait()
				waitFor(t, func() bool { return total.Load() >= publishers*batches*size })
				close(stop)
				for _, k := range workers {
					<-k.done
				}
				n := 0
				seen.Range(func(body, times any) bool {
					if times.(*atomic.Int32).Load() != 1 {
						t.Errorf("%v came %d times", body, times.(*atomic.Int32).Load())
					}
					n++
					return true
				})
				if n != publishers*batches*size {
					t.Errorf("%d messages came, want %d", n, publishers*batches*size)
				}
				if got := c.ready("q"); got != 0 {
					t.Errorf("%d left", got)
				}
			})
		}
	}
}

func TestAWriterThatGetsRoomAgainIsNeverForgotten(t *testing.T) {
	// The consumer's room comes back in a goroutine of its own, at any moment
	// of the dispatcher's work.
	w := newBench(t)
	c := w.client()
	c.queue("q")
	cons := c.consume("q", 0, noAck)
	const n = 3000
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c.mu.Lock()
			empty := c.credit[cons] == 0
			if empty {
				c.credit[cons] = 1 + rand.IntN(3)
			}
			c.mu.Unlock()
			if empty {
				cons.Touch()
			}
		}
	})
	pub := w.client()
	for i := range n / 10 {
		pub.publish("", "q", numbers(10*i, 10*i+10)...)
	}
	var got []string
	waitFor(t, func() bool { got = append(got, c.bodies()...); return len(got) >= n })
	close(stop)
	writer.Wait()
	if !slices.Equal(got, numbers(0, n)) {
		t.Error("not in order")
	}
}

func TestTopologyMayChangeUnderLoad(t *testing.T) {
	w := newBench(t)
	setup := w.client()
	setup.exchange("x", "topic", durableX)
	var all sync.WaitGroup
	for p := range 3 {
		pub := w.client()
		all.Go(func() {
			for i := range 200 {
				for j := range 5 {
					if _, err := pub.b.Publish(&Publishing{Exchange: []byte("x"), RoutingKey: fmt.Appendf(nil, "k.%d", j), Props: persistent, Body: []byte("m"), Confirm: i%3 == 0}); err != nil {
						t.Error(err)
					}
				}
				if _, err := pub.b.Flush(nil, p == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for k := range 4 {
		c := w.client()
		all.Go(func() {
			defer c.s.Close()
			for i := range 30 {
				name := fmt.Sprint("q", k)
				spec := QueueSpec{Name: name, Durable: i%2 == 0, Exclusive: i%3 == 0, AutoDelete: i%5 == 0}
				if _, err := c.s.DeclareQueue(spec); err != nil {
					t.Error(err)
				}
				if err := c.s.BindQueue(name, "x", fmt.Sprintf("k.%d", i%5), nil); err != nil {
					t.Error(err)
				}
				cons, err := c.s.Consume(name, ConsumerSpec{NoAck: i%2 == 1}, c)
				if err != nil {
					t.Error(err)
					continue
				}
				cons.Touch()
				if i%4 != 0 {
					cons.Cancel()
				}
				if _, err := c.s.DeleteQueue(name, false, false); err != nil {
					t.Error(err)
				}
				for _, m := range c.take() {
					c.b.Ack(m.q, m.seq)
				}
				if _, err := c.b.Flush(nil, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(setup.s.v.queues); n != 0 {
		t.Errorf("%d queues left", n)
	}
	if n := setup.s.v.exchange("x").table.Len(); n != 0 {
		t.Errorf("%d bindings left", n)
	}
	w.restart()
	if s := w.b.Stats(); s.Queues != 0 || s.Messages != 0 {
		t.Errorf("after a restart: %+v", s)
	}
}
