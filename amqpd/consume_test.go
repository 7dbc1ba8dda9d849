package amqpd_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// fill publishes messages 0 to n-1.
func fill(c *brokertest.Client, channel uint16, queue string, n int) {
	var stream []byte
	for i := range n {
		stream = append(stream, c.Message(channel, "", queue, nil, fmt.Sprint(i))...)
	}
	c.Write(stream)
}

func TestPrefetchIsPerConsumer(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	fill(c, 1, q, 10)
	deliver := func(consumer string, tag uint64, body int) {
		t.Helper()
		e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1)
		m := e.Method.(*wire.BasicDeliver)
		if string(m.ConsumerTag) != consumer || m.DeliveryTag != tag || string(e.Body) != fmt.Sprint(body) {
			t.Fatalf("got %v; want %s, tag %d, body %d", e, consumer, tag, body)
		}
	}
	qos := func(n uint16, global bool) {
		c.Send(1, &wire.BasicQos{PrefetchCount: n, Global: global})
		brokertest.Expect[*wire.BasicQosOk](c, 1)
	}
	qos(2, false)
	c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
	deliver("a", 1, 0)
	deliver("a", 2, 1)
	qos(1, false) // for the consumers to come
	c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "b"})
	deliver("b", 3, 2)
	c.ExpectNothing(10 * time.Millisecond)
	c.Write(wire.AppendAck(nil, 1, 1, false))
	deliver("a", 4, 3)
	c.Write(wire.AppendAck(nil, 1, 3, false))
	deliver("b", 5, 4)
	// The channel's own limit counts all consumers together: 3 are out.
	qos(4, true)
	c.ExpectNothing(10 * time.Millisecond)
	c.Write(wire.AppendAck(nil, 1, 0, true)) // all
	got := map[string]int{}
	for range 3 {
		got[string(brokertest.Expect[*wire.BasicDeliver](c, 1).ConsumerTag)]++
	}
	if got["a"] != 2 || got["b"] != 1 {
		t.Errorf("delivered %v", got)
	}
	c.ExpectNothing(10 * time.Millisecond)
}

func TestTheChannelsPrefetchBoundsItsConsumersTogether(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q1 := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	q2 := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	fill(c, 1, q1, 5)
	fill(c, 1, q2, 5)
	c.Send(1, &wire.BasicQos{PrefetchCount: 3, Global: true})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: q1, ConsumerTag: "one"})
	for range 3 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	c.Consume(1, wire.BasicConsume{Queue: q2, ConsumerTag: "two"})
	c.ExpectNothing(10 * time.Millisecond)
	// basic.get is not counted, and an auto-ack consumer does not ask.
	c.Send(1, &wire.BasicGet{Queue: q2})
	brokertest.Expect[*wire.BasicGetOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: q2, ConsumerTag: "auto", NoAck: true})
	for range 4 {
		if m := brokertest.Expect[*wire.BasicDeliver](c, 1); string(m.ConsumerTag) != "auto" {
			t.Fatalf("got %+v", m)
		}
	}
	fill(c, 1, q2, 1)
	if m := brokertest.Expect[*wire.BasicDeliver](c, 1); string(m.ConsumerTag) != "auto" {
		t.Fatalf("got %+v", m)
	}
	// Credit that a consumer of one queue gives back serves the other's.
	c.Send(1, &wire.BasicCancel{ConsumerTag: "one"}, &wire.BasicCancel{ConsumerTag: "auto"})
	brokertest.Expect[*wire.BasicCancelOk](c, 1)
	brokertest.Expect[*wire.BasicCancelOk](c, 1)
	fill(c, 1, q2, 2)
	c.ExpectNothing(10 * time.Millisecond)
	c.Write(wire.AppendAck(nil, 1, 2, true))
	for range 2 {
		if m := brokertest.Expect[*wire.BasicDeliver](c, 1); string(m.ConsumerTag) != "two" {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestAPrefetchPerConsumerLiftsTheChannels(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	fill(c, 1, q, 8)
	c.Send(1, &wire.BasicQos{PrefetchCount: 3, Global: true})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: q})
	for range 3 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	c.ExpectNothing(10 * time.Millisecond)
	c.Send(1, &wire.BasicQos{PrefetchCount: 2}) // for consumers to come; this one has none
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	for range 5 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
}

func TestWhatIsNotSettledReturnsInOrder(t *testing.T) {
	for name, end := range map[string]func(c *brokertest.Client){
		"channel.close": func(c *brokertest.Client) { c.Send(1, &wire.ChannelClose{}) },
		"channel error": func(c *brokertest.Client) { c.Publish(1, "missing", "", nil, "") },
		"connection.close": func(c *brokertest.Client) {
			c.Send(0, &wire.ConnectionClose{})
		},
		"connection error":   func(c *brokertest.Client) { c.Send(1, &wire.ChannelOpen{}) },
		"connection lost":    func(c *brokertest.Client) { c.Close() },
		"connection garbled": func(c *brokertest.Client) { c.Write(make([]byte, 1000)) },
		"recover": func(c *brokertest.Client) {
			c.Send(1, &wire.BasicCancel{ConsumerTag: "a", NoWait: true}, &wire.BasicCancel{ConsumerTag: "b", NoWait: true}, &wire.BasicRecover{Requeue: true})
		},
		"nack of all": func(c *brokertest.Client) {
			c.Send(1, &wire.BasicCancel{ConsumerTag: "a", NoWait: true}, &wire.BasicCancel{ConsumerTag: "b", NoWait: true}, &wire.BasicNack{Multiple: true, Requeue: true})
		},
		"rejects in any order": func(c *brokertest.Client) {
			c.Send(1, &wire.BasicCancel{ConsumerTag: "a", NoWait: true}, &wire.BasicCancel{ConsumerTag: "b", NoWait: true})
			for _, tag := range []uint64{7, 2, 9, 4, 10, 5, 8} {
				c.Send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, brokertest.Options{})
			watch := b.Client(t)
			watch.Open(1)
			q := watch.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
			c := b.Client(t)
			c.Open(1)
			fill(c, 1, q, 12)
			c.Send(1, &wire.BasicQos{PrefetchCount: 4})
			brokertest.Expect[*wire.BasicQosOk](c, 1)
			c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
			for range 4 {
				brokertest.Expect[*wire.BasicDeliver](c, 1)
			}
			c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "b"})
			for range 4 {
				brokertest.Expect[*wire.BasicDeliver](c, 1)
			}
			c.Send(1, &wire.BasicGet{Queue: q}, &wire.BasicGet{Queue: q})
			for range 2 {
				brokertest.Expect[*wire.BasicGetOk](c, 1)
			}
			// 1, 3 and 6 are settled; 10 and 11 never left. The prefetch lets no more out.
			c.Send(1, &wire.BasicQos{PrefetchCount: 1, Global: true})
			brokertest.Expect[*wire.BasicQosOk](c, 1)
			for _, tag := range []uint64{1, 6, 3} {
				c.Write(wire.AppendAck(nil, 1, tag, false))
			}
			end(c)
			eventually(t, func() bool { return watch.Declare(1, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount == 9 })
			watch.Consume(1, wire.BasicConsume{Queue: q})
			for i := range 12 {
				if i == 0 || i == 2 || i == 5 {
					continue
				}
				e := brokertest.ExpectEvent[*wire.BasicDeliver](watch, 1)
				if again := e.Method.(*wire.BasicDeliver).Redelivered; string(e.Body) != fmt.Sprint(i) || again != (i < 10) {
					t.Errorf("got %q, redelivered %v; want %d", e.Body, again, i)
				}
			}
		})
	}
}

// eventually waits for another goroutine's work to be seen.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("still not so after 10 s")
		}
	}
}

func TestDeliveryTags(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for name, x := range map[string]struct {
		do   []wire.Method
		text string // empty: allowed
	}{
		"each once":                {[]wire.Method{ack(1), ack(3), ack(2)}, ""},
		"multiple":                 {[]wire.Method{ackUpTo(2), ack(3)}, ""},
		"all, twice":               {[]wire.Method{ackUpTo(0), ackUpTo(0)}, ""},
		"nack and reject":          {[]wire.Method{&wire.BasicNack{DeliveryTag: 2, Multiple: true}, &wire.BasicReject{DeliveryTag: 3}}, ""},
		"ack twice":                {[]wire.Method{ack(1), ack(1)}, "unknown delivery tag 1"},
		"ack of a tag to come":     {[]wire.Method{ack(4)}, "unknown delivery tag 4"},
		"ack of none":              {[]wire.Method{ack(0)}, "unknown delivery tag 0"},
		"multiple of a used tag":   {[]wire.Method{ack(2), ackUpTo(2)}, "unknown delivery tag 2"},
		"multiple of a tag ahead":  {[]wire.Method{ackUpTo(9)}, "unknown delivery tag 9"},
		"nack of a used tag":       {[]wire.Method{ack(2), &wire.BasicNack{DeliveryTag: 2}}, "unknown delivery tag 2"},
		"reject of a used tag":     {[]wire.Method{ack(2), &wire.BasicReject{DeliveryTag: 2}}, "unknown delivery tag 2"},
		"an auto-acknowledged tag": {[]wire.Method{ack(5)}, "unknown delivery tag 5"},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.Client(t)
			c.Open(1)
			q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
			fill(c, 1, q, 3)
			c.Consume(1, wire.BasicConsume{Queue: q})
			for range 3 {
				brokertest.Expect[*wire.BasicDeliver](c, 1)
			}
			if strings.HasSuffix(x.text, "tag 5") {
				fill(c, 1, q, 1)
				brokertest.Expect[*wire.BasicDeliver](c, 1)
				q2 := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
				fill(c, 1, q2, 1)
				c.Send(1, &wire.BasicGet{Queue: q2, NoAck: true})
				if m := brokertest.Expect[*wire.BasicGetOk](c, 1); m.DeliveryTag != 5 {
					t.Fatalf("tag %d, want 5", m.DeliveryTag)
				}
			}
			c.Send(1, x.do...)
			if x.text == "" {
				c.Send(1, &wire.BasicQos{})
				brokertest.Expect[*wire.BasicQosOk](c, 1)
				return
			}
			if text := c.ExpectChannelClose(1, 406); text != "PRECONDITION_FAILED - "+x.text {
				t.Errorf("closed with %q", text)
			}
		})
	}
}

func ack(tag uint64) wire.Method     { return &wire.BasicAck{DeliveryTag: tag} }
func ackUpTo(tag uint64) wire.Method { return &wire.BasicAck{DeliveryTag: tag, Multiple: true} }

func TestBasicGet(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	c.Send(1, &wire.BasicGet{}) // an empty name is the last declared queue
	brokertest.Expect[*wire.BasicGetEmpty](c, 1)
	fill(c, 1, q, 3)
	for i := range 3 {
		c.Send(1, &wire.BasicGet{Queue: q})
		e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1)
		m := e.Method.(*wire.BasicGetOk)
		if string(e.Body) != fmt.Sprint(i) || m.MessageCount != uint32(2-i) || m.DeliveryTag != uint64(i+1) || m.Redelivered || string(m.RoutingKey) != q {
			t.Errorf("got %v", e)
		}
	}
	c.Send(1, &wire.BasicGet{Queue: q})
	brokertest.Expect[*wire.BasicGetEmpty](c, 1)
	c.Write(wire.AppendNack(nil, 1, 2, true, true))
	c.Send(1, &wire.BasicGet{Queue: q})
	if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != "0" || !e.Method.(*wire.BasicGetOk).Redelivered {
		t.Errorf("got %v", e)
	}
}

func TestNamesThatAreLeftOut(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	for _, m := range []wire.Method{
		&wire.BasicConsume{}, &wire.BasicGet{}, &wire.QueueBind{Exchange: "amq.direct"}, &wire.QueueUnbind{Exchange: "amq.direct"},
		&wire.QueuePurge{}, &wire.QueueDelete{},
	} {
		c.Open(1)
		c.Send(1, m)
		if text := c.ExpectChannelClose(1, 404); text != "NOT_FOUND - no previously declared queue" {
			t.Errorf("%v: closed with %q", m.ID(), text)
		}
	}
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{}).Queue
	if !strings.HasPrefix(q, "amq.gen-") {
		t.Errorf("the server names a queue %q", q)
	}
	fill(c, 1, q, 1)
	if tag := c.Consume(1, wire.BasicConsume{}); !strings.HasPrefix(tag, "amq.ctag-") || len(tag) != len("amq.ctag-")+22 {
		t.Errorf("the server names a consumer %q", tag)
	}
	brokertest.Expect[*wire.BasicDeliver](c, 1)
	c.Send(1, &wire.QueueDelete{})
	e := c.Next()
	if _, ok := e.Method.(*wire.QueueDeleteOk); !ok {
		t.Errorf("got %v", e)
	}
	brokertest.Expect[*wire.BasicCancel](c, 1)
}

func TestConsumers(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Open(2)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue

	c.Send(1, &wire.BasicConsume{Queue: q, ConsumerTag: "a", NoWait: true})
	c.Consume(2, wire.BasicConsume{Queue: q, ConsumerTag: "a"}) // tags are a channel's
	c.Send(1, &wire.BasicCancel{ConsumerTag: "never"})
	if m := brokertest.Expect[*wire.BasicCancelOk](c, 1); m.ConsumerTag != "never" {
		t.Errorf("got %+v", m)
	}
	fill(c, 1, q, 2)
	for range 2 {
		c.Next()
	}
	// After cancel-ok nothing comes, and what is unacked can be acked still.
	c.Send(2, &wire.BasicCancel{ConsumerTag: "a"})
	brokertest.Expect[*wire.BasicCancelOk](c, 2)
	c.Send(1, &wire.BasicCancel{ConsumerTag: "a"})
	brokertest.Expect[*wire.BasicCancelOk](c, 1)
	fill(c, 1, q, 2)
	c.Send(1, ackUpTo(0))
	c.Send(2, ackUpTo(0))
	c.ExpectNothing(10 * time.Millisecond)

	// A queue that goes takes its consumers along.
	c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
	for range 2 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	deaf := brokertest.NewClient(t, b.Dial(t))
	deaf.Capabilities = nil
	deaf.Login()
	deaf.Open(1)
	deaf.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "deaf"})
	c.Send(2, &wire.QueueDelete{Queue: q})
	for range 2 {
		switch m := c.Next().Method.(type) {
		case *wire.BasicCancel:
			if m.ConsumerTag != "a" || !m.NoWait {
				t.Errorf("got %+v", m)
			}
		case *wire.QueueDeleteOk:
			if m.MessageCount != 0 {
				t.Errorf("got %+v", m)
			}
		default:
			t.Fatalf("got %v", m)
		}
	}
	c.Send(1, &wire.BasicCancelOk{ConsumerTag: "a"}, ackUpTo(0)) // late, of a queue that has gone
	c.Send(1, &wire.BasicQos{})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	deaf.ExpectNothing(10 * time.Millisecond)

	q = c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
	c.Consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"}) // the tag is free again
	c.Send(1, &wire.BasicConsume{Queue: q, ConsumerTag: "a"})
	if text := c.ExpectClose(530); text != "NOT_ALLOWED - attempt to reuse consumer tag 'a'" {
		t.Errorf("closed with %q", text)
	}
}

func TestRecoverRedeliversToTheSameConsumers(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	fill(c, 1, q, 3)
	c.Send(1, &wire.BasicQos{PrefetchCount: 2})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: q})
	for range 2 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	c.Send(1, &wire.BasicRecover{Requeue: true})
	brokertest.Expect[*wire.BasicRecoverOk](c, 1)
	for i := range 2 {
		e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1)
		m := e.Method.(*wire.BasicDeliver)
		if !m.Redelivered || m.DeliveryTag != uint64(3+i) || string(e.Body) != fmt.Sprint(i) {
			t.Errorf("got %v", e)
		}
	}
	c.Send(1, &wire.BasicRecoverAsync{Requeue: true})
	for range 2 {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	c.ExpectNothing(10 * time.Millisecond)
}
