package amqpd_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// Messages that repeat the one before but for its body are told from those that do
// not, in one read: by channel, exchange, key, properties, the length of the body, and
// how many frames that has.
func TestMessagesThatAreAlikeComeBackEachAsItWas(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c, sub := b.Client(t), b.Client(t)
	c.Open(1)
	c.Open(2)
	c.Declare(1, wire.QueueDeclare{Queue: "repeats"})
	for _, exchange := range []string{"amq.direct", "amq.topic"} {
		for _, key := range []string{"a", "b"} {
			c.Send(1, &wire.QueueBind{Queue: "repeats", Exchange: exchange, RoutingKey: key})
			brokertest.Expect[*wire.QueueBindOk](c, 1)
		}
	}
	sub.Open(1)
	sub.Consume(1, wire.BasicConsume{Queue: "repeats", NoAck: true})
	rnd := rand.New(rand.NewPCG(5, 6))
	channel, exchange, key, props, size := uint16(1), "amq.direct", "a", amqp.NoProperties, 20
	var stream []byte
	var want []string
	const n = 3000
	for i := range n {
		switch rnd.IntN(16) {
		case 0:
			channel = 3 - channel
		case 1:
			exchange = []string{"amq.direct", "amq.topic"}[rnd.IntN(2)]
		case 2:
			key = []string{"a", "b"}[rnd.IntN(2)]
		case 3:
			props = []amqp.Properties{amqp.NoProperties, brokertest.Persistent}[rnd.IntN(2)]
		case 4:
			size = []int{20, 20, 30, 0}[rnd.IntN(4)]
		}
		body := fmt.Sprintf("%-*d", size, i)
		if size == 0 {
			body = ""
		}
		m := c.Message(channel, exchange, key, props, body)
		if size > 0 && rnd.IntN(10) == 0 { // the same with a body of two frames
			m = wire.AppendMethod(nil, channel, &wire.BasicPublish{Exchange: []byte(exchange), RoutingKey: []byte(key)})
			m = wire.AppendHeader(m, channel, props, uint64(len(body)))
			m = wire.AppendBody(m, channel, 0, []byte(body[:5]))
			m = wire.AppendBody(m, channel, 0, []byte(body[5:]))
		}
		stream = append(stream, m...)
		want = append(want, fmt.Sprintf("%s/%s/%x/%s", exchange, key, props, strings.TrimSpace(body)))
	}
	go c.Write(stream)
	for i := range n {
		e := brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1)
		m := e.Method.(*wire.BasicDeliver)
		got := fmt.Sprintf("%s/%s/%x/%s", m.Exchange, m.RoutingKey, []byte(e.Props), strings.TrimSpace(string(e.Body)))
		if got != want[i] {
			t.Fatalf("message %d: got %s, want %s", i, got, want[i])
		}
	}
}

// A frame that is damaged behind bytes that repeat ends the connection as it would
// elsewhere.
func TestADamagedFrameIsFoundBehindBytesThatRepeat(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	m := c.Message(1, "", q, amqp.NoProperties, "body")
	bad := append([]byte{}, m...)
	bad[len(bad)-1] = 0
	c.Write(append(append(append([]byte{}, m...), m...), bad...))
	c.ExpectClose(amqp.CodeFrameError)
}
