package amqpd_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A channel that consumes what it publishes, with confirms, and at times reads slowly:
// whatever passes the store and whatever waits in it, each message comes once, in order,
// and is confirmed.
func TestAChannelThatConsumesWhatItPublishesGetsAllInOrder(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10}})
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		c := b.Client(t)
		c.Open(1)
		c.Confirm(1)
		q := c.Declare(1, wire.QueueDeclare{Queue: fmt.Sprint("own", seed), Durable: true}).Queue
		c.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
		var stream []byte
		const n = 6000
		for i := 0; i < n; {
			props, size := amqp.NoProperties, 20<<rnd.IntN(8)
			if rnd.IntN(10) == 0 {
				props = brokertest.Persistent
			}
			for range min(n-i, 1+rnd.IntN(1<<rnd.IntN(10))) {
				stream = append(stream, c.Message(1, "", q, props, fmt.Sprintf("%0*d", size, i))...)
				i++
			}
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			rnd := rand.New(rand.NewPCG(seed, 8))
			for len(stream) > 0 {
				k := min(len(stream), 1+rnd.IntN(1<<rnd.IntN(18)))
				if _, err := c.Conn.Write(stream[:k]); err != nil {
					t.Error(err)
					return
				}
				stream = stream[k:]
			}
		}()
		next, confirmed := 0, uint64(0)
		for next < n || confirmed < n {
			switch e := c.Next(); m := e.Method.(type) {
			case *wire.BasicDeliver:
				var got int
				if _, err := fmt.Sscanf(string(e.Body), "%d", &got); err != nil || got != next || m.Redelivered || m.DeliveryTag != uint64(next+1) {
					t.Fatalf("message %d came, with tag %d, want %d: %v", got, m.DeliveryTag, next, err)
				}
				if next++; rnd.IntN(500) == 0 {
					time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // a slow reader
				}
			case *wire.BasicAck:
				if m.DeliveryTag <= confirmed {
					t.Fatalf("%d is confirmed after %d", m.DeliveryTag, confirmed)
				}
				confirmed = m.DeliveryTag
			default:
				t.Fatalf("%T came", m)
			}
		}
		<-sent
		if left := c.Declare(1, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount; left != 0 {
			t.Errorf("%d messages are left", left)
		}
		c.Conn.Close()
	}
}
