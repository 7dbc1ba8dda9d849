package amqpd_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// Producers, and consumers that ack, reject, recover, cancel, close their
// channel or their connection, or just go away, in every order: what was
// confirmed is there until it was acked, and not any more once that is known.
func TestNothingIsLostOrDoneTwiceWhateverConsumersDo(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10}})
	main := b.Client(t)
	main.Open(1)
	const queues = 3
	name := func(i int) string { return fmt.Sprint("work", i) }
	for i := range queues {
		main.Declare(1, wire.QueueDeclare{Queue: name(i), Durable: i > 0})
	}
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	var mu sync.Mutex
	published, done := map[string]bool{}, map[string]bool{}
	var wg sync.WaitGroup
	for p := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(p)))
			c := b.Client(t)
			c.Open(1)
			c.Confirm(1)
			next, tag := 0, uint64(0)
			for !stopped() {
				n := 1 + rnd.IntN(50)
				var stream []byte
				var bodies []string
				for range n {
					body := fmt.Sprintf("%d-%d-%0*d", p, next, rnd.IntN(300), 0)
					next++
					bodies = append(bodies, body)
					props := brokertest.Persistent
					if rnd.IntN(3) == 0 {
						props = nil
					}
					stream = append(stream, c.Message(1, "", name(rnd.IntN(queues)), props, body)...)
				}
				c.Write(stream)
				for tag += uint64(n); ; {
					if m := brokertest.Expect[*wire.BasicAck](c, 1); m.DeliveryTag == tag {
						break
					}
				}
				mu.Lock()
				for _, body := range bodies {
					published[body] = true
				}
				mu.Unlock()
			}
			c.Close()
		})
	}
	for k := range 6 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(k)))
			for !stopped() {
				consumeAtRandom(t, b, rnd, name(rnd.IntN(queues)), func(bodies []string) {
					mu.Lock()
					defer mu.Unlock()
					for _, body := range bodies {
						if done[body] {
							t.Errorf("%.20s was done twice", body)
						}
						done[body] = true
					}
				})
			}
		})
	}
	time.AfterFunc(1500*time.Millisecond, func() { close(stop) })
	wg.Wait()
	eventually(t, func() bool { return b.Server.Connections() == 1 })
	left := map[string]bool{}
	for i := range queues {
		for {
			main.Send(1, &wire.BasicGet{Queue: name(i), NoAck: true})
			e := main.Next()
			if _, ok := e.Method.(*wire.BasicGetOk); !ok {
				break
			}
			if done[string(e.Body)] || left[string(e.Body)] {
				t.Errorf("%.20s is there again", e.Body)
			}
			left[string(e.Body)] = true
		}
	}
	for body := range published {
		if !done[body] && !left[body] {
			t.Errorf("%.20s is lost", body)
		}
	}
	t.Logf("%d published, %d done, %d left", len(published), len(done), len(left))
}

// consumeAtRandom is one connection's life. known is told of bodies whose acks
// the broker has surely taken.
func consumeAtRandom(t *testing.T, b *brokertest.Broker, rnd *rand.Rand, queue string, known func([]string)) {
	c := b.Client(t)
	defer c.Close()
	c.Open(1)
	limit := rnd.IntN(20)
	c.Send(1, &wire.BasicQos{PrefetchCount: uint16(limit), Global: rnd.IntN(4) == 0})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: queue, ConsumerTag: "t"})
	held := map[uint64]string{}
	var acked []string
	c.Patience = 20 * time.Millisecond
	for range rnd.IntN(100) {
		e, err := c.ReadEvent()
		if err != nil {
			break // nothing there for the moment
		}
		m, ok := e.Method.(*wire.BasicDeliver)
		if !ok {
			t.Errorf("got %v", e)
			return
		}
		held[m.DeliveryTag] = string(e.Body)
		switch tag := m.DeliveryTag; rnd.IntN(8) {
		case 0: // keeps it
		case 1:
			delete(held, tag)
			c.Write(wire.AppendReject(nil, 1, tag, true))
		case 2:
			c.Write(wire.AppendNack(nil, 1, tag, true, true))
			for h := range held {
				if h <= tag {
					delete(held, h)
				}
			}
		case 3:
			c.Write(wire.AppendAck(nil, 1, tag, true))
			for h, body := range held {
				if h <= tag {
					acked = append(acked, body)
					delete(held, h)
				}
			}
		default:
			c.Write(wire.AppendAck(nil, 1, tag, false))
			acked = append(acked, held[tag])
			delete(held, tag)
		}
	}
	c.Patience = 10 * time.Second
	// A method that is answered comes after all the acks.
	switch rnd.IntN(5) {
	case 0:
		c.Send(1, &wire.ChannelClose{})
	case 1:
		c.Send(0, &wire.ConnectionClose{})
	case 2:
		c.Send(1, &wire.ChannelOpen{}) // an error: the connection is closed
	case 3:
		c.Send(1, &wire.BasicCancel{ConsumerTag: "t"})
	case 4:
		c.Send(1, &wire.BasicRecover{Requeue: true})
	}
	for {
		switch e := c.Next(); e.Method.(type) {
		case *wire.BasicDeliver:
		case *wire.ChannelClose:
			t.Errorf("got %v", e)
			return
		default:
			known(acked)
			return
		}
	}
}
