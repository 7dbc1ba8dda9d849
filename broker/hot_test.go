package broker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// lean is a front end that costs next to nothing: it counts what it takes and
// keeps what is to be acked.
type lean struct {
	mu     sync.Mutex
	credit int
	bytes  int
	queue  Queue
	seqs   []uint64
}

func (l *lean) Room(*Consumer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.credit
}

func (l *lean) Offer(c *Consumer, ds []Delivery) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(ds), l.credit)
	for i := range ds[:n] {
		l.bytes += len(ds[i].Body)
		if !c.NoAck() {
			l.queue = ds[i].Queue
			l.seqs = append(l.seqs, ds[i].Seq)
			l.credit--
		}
	}
	return n
}

func (l *lean) Flush()              {}
func (l *lean) Cancelled(*Consumer) {}

// ackAll acks all that came through b and returns the credit.
func (l *lean) ackAll(b *Batch, c *Consumer) {
	l.mu.Lock()
	for _, seq := range l.seqs {
		b.Ack(l.queue, seq)
	}
	l.credit += len(l.seqs)
	l.seqs = l.seqs[:0]
	l.mu.Unlock()
	b.Touch(c)
}

// flow is a publisher and a consumer on one queue.
type flow struct {
	t        testing.TB
	pub, sub *Batch
	sink     *lean
	cons     *Consumer
	p        Publishing
}

func newFlow(t testing.TB, w *bench, props amqp.Properties, spec ConsumerSpec, with ...func(*QueueSpec)) *flow {
	c, s := w.client(), w.client()
	c.queue("q", with...)
	c.bind("q", "amq.topic", "lan.*")
	f := &flow{t: t, pub: c.s.NewBatch(), sub: s.s.NewBatch(), sink: &lean{credit: 1000}}
	cons, err := s.s.Consume("q", spec, f.sink)
	c.ok(err)
	f.cons = cons
	cons.Touch()
	f.p = Publishing{Exchange: []byte("amq.topic"), RoutingKey: []byte("lan.x"), Props: props, Body: make([]byte, 100), Confirm: true}
	return f
}

// round publishes n messages, which are delivered, and acks them.
func (f *flow) round(n int, lead bool) {
	for range n {
		if routed, err := f.pub.Publish(&f.p); !routed || err != nil {
			f.t.Fatal(routed, err)
		}
	}
	if _, err := f.pub.Flush(nil, lead); err != nil {
		f.t.Fatal(err)
	}
	if !f.cons.NoAck() {
		f.sink.ackAll(f.sub, f.cons)
		if _, err := f.sub.Flush(nil, false); err != nil {
			f.t.Fatal(err)
		}
	}
}

// BenchmarkFlow is messages through Batch, store and log on a real disk: 100 B
// bodies, published 100 at a time, delivered to one consumer, acked 100 at a
// time, each publish waiting for its commit or not.
func BenchmarkFlow(b *testing.B) {
	for _, each := range []struct {
		name string
		with []func(*QueueSpec)
		wait bool
		p    amqp.Properties
	}{
		{"transient", nil, false, nil},
		{"persistent", []func(*QueueSpec){durable}, false, persistent},
		{"persistent-synced", []func(*QueueSpec){durable}, true, persistent},
	} {
		b.Run(each.name, func(b *testing.B) {
			br, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			w := &bench{t: b, b: br}
			defer w.close()
			f := newFlow(b, w, each.p, ConsumerSpec{}, each.with...)
			b.ReportAllocs()
			b.SetBytes(100)
			b.ResetTimer()
			for n := 0; n < b.N; n += 100 {
				f.round(100, each.wait)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkParallelFlow is as many queues, publishers and consumers as b.Run's
// name says, each publishing and acking 100 at a time.
func BenchmarkParallelFlow(b *testing.B) {
	for _, queues := range []int{2, 16} {
		b.Run(fmt.Sprint(queues), func(b *testing.B) {
			br, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			w := &bench{t: b, b: br}
			defer w.close()
			var flows []*flow
			for i := range queues {
				c := w.client()
				name := fmt.Sprint("q", i)
				c.queue(name, durable)
				f := &flow{t: b, pub: c.s.NewBatch(), sub: c.s.NewBatch(), sink: &lean{credit: 1000}}
				if f.cons, err = c.s.Consume(name, ConsumerSpec{}, f.sink); err != nil {
					b.Fatal(err)
				}
				f.cons.Touch()
				f.p = Publishing{RoutingKey: []byte(name), Props: persistent, Body: make([]byte, 100), Confirm: true}
				flows = append(flows, f)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, f := range flows {
				wg.Go(func() {
					for n := 0; n < b.N; n += 100 * queues {
						f.round(100, false)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkFanout is one message to many queues, with a consumer each.
func BenchmarkFanout(b *testing.B) {
	for _, queues := range []int{10, 1000} {
		b.Run(fmt.Sprint(queues), func(b *testing.B) {
			w := newBench(b)
			c := w.client()
			sink := &lean{credit: 1 << 40}
			for i := range queues {
				name := fmt.Sprint("q", i)
				c.queue(name)
				c.bind(name, "amq.fanout", "")
				cons, err := c.s.Consume(name, ConsumerSpec{NoAck: true}, sink)
				c.ok(err)
				cons.Touch()
			}
			p := Publishing{Exchange: []byte("amq.fanout"), Body: make([]byte, 100)}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += queues {
				if _, err := c.b.Publish(&p); err != nil {
					b.Fatal(err)
				}
				if _, err := c.b.Flush(nil, false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkWorkers is a queue with many consumers at a prefetch of 1, of whom
// one at a time acks.
func BenchmarkWorkers(b *testing.B) {
	for _, workers := range []int{3, 1000} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			w := newBench(b)
			c := w.client()
			c.queue("q")
			type one struct {
				sink *lean
				cons *Consumer
				b    *Batch
			}
			var all []one
			for range workers {
				k := one{sink: &lean{credit: 1}, b: c.s.NewBatch()}
				cons, err := c.s.Consume("q", ConsumerSpec{}, k.sink)
				c.ok(err)
				k.cons = cons
				cons.Touch()
				all = append(all, k)
			}
			p := Publishing{RoutingKey: []byte("q"), Body: make([]byte, 100)}
			publish := func(n int) {
				for range n {
					if _, err := c.b.Publish(&p); err != nil {
						b.Fatal(err)
					}
				}
				c.flush()
			}
			publish(2 * workers)
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				k := all[n%workers]
				k.sink.ackAll(k.b, k.cons)
				if _, err := k.b.Flush(nil, false); err != nil {
					b.Fatal(err)
				}
				if n%workers == 0 {
					publish(workers)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkTopology is durable queues declared and bound, by so many
// connections at once.
func BenchmarkTopology(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			br, err := Open(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			w := &bench{t: b, b: br}
			defer w.close()
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for k := range clients {
				c := w.client()
				wg.Go(func() {
					for n := k; n < b.N; n += clients {
						name := fmt.Sprint("q", n)
						if _, err := c.s.DeclareQueue(QueueSpec{Name: name, Durable: true}); err != nil {
							b.Error(err)
						}
						if err := c.s.BindQueue(name, "amq.topic", name, nil); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queues/s")
		})
	}
}
