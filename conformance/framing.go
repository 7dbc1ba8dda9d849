package conformance

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 1, 6, 7 and 12: what lies below the methods.

func init() {
	for _, pair := range [][2]string{
		{"HTTP", "GET / HT"}, {"AMQP 1.0", "AMQP\x00\x01\x00\x00"}, {"AMQP 0-9-2", "AMQP\x00\x00\x09\x02"}, {"AMQP over SASL", "AMQP\x03\x01\x00\x00"},
	} {
		name, header := pair[0], pair[1]
		register(Case{Behaviour: "1", Name: "who speaks " + name + " is told 0-9-1 and cut off", Run: func(t *T) {
			c := t.Raw()
			c.ExpectingEnd()
			c.Send([]byte(header))
			if e := c.On(0).Next(); string(e.Raw) != wire.ProtocolHeader {
				t.Errorf("answered %v", e)
			}
			c.ExpectEnd()
		}})
	}
	// bad sends bytes and expects the connection's close with one of the codes.
	bad := func(behaviour, name string, send func(c *Conn, ch *Channel), codes ...uint16) {
		register(Case{Behaviour: behaviour, Name: name, Run: func(t *T) {
			c := t.DialAs(Login{Tune: &wire.ConnectionTuneOk{ChannelMax: 100, FrameMax: 4096}})
			ch := c.Channel()
			send(c, ch)
			c.expectCloseIn(codes...)
		}})
	}
	bad("6", "the head of a frame longer than was agreed is 501", func(c *Conn, ch *Channel) {
		c.Send(wire.AppendFrameHead(nil, wire.FrameMethod, ch.ID, 5000))
	}, 501)
	bad("6", "a frame that does not end with its mark is 501", func(c *Conn, ch *Channel) {
		b := wire.AppendMethod(nil, ch.ID, &wire.BasicQos{PrefetchCount: 1})
		b[len(b)-1] = 0
		c.Send(b)
	}, 501)
	bad("6", "a frame of an unknown type is 501", func(c *Conn, ch *Channel) {
		c.SendFrame(77, ch.ID, []byte("what?"))
	}, 501)
	bad("6", "a method that is cut short is 501 or 502", func(c *Conn, ch *Channel) {
		b := wire.AppendMethod(nil, ch.ID, &wire.QueueDeclare{Queue: "some-queue"})
		payload := b[7 : len(b)-1]
		c.SendFrame(wire.FrameMethod, ch.ID, payload[:10])
	}, 501, 502)
	publish := func(ch *Channel, m *wire.BasicPublish) { ch.Send(m) }
	header := func(ch *Channel, class uint16, size uint64) {
		b := binary.BigEndian.AppendUint16(nil, class)
		b = binary.BigEndian.AppendUint16(b, 0)
		b = binary.BigEndian.AppendUint64(b, size)
		ch.Conn.SendFrame(wire.FrameHeader, ch.ID, append(b, 0, 0))
	}
	owed := func(ch *Channel) { publish(ch, &wire.BasicPublish{RoutingKey: []byte("nowhere")}) }
	const basic = 60
	bad("7", "a method where a header is owed is 505", func(_ *Conn, ch *Channel) {
		owed(ch)
		ch.Send(&wire.BasicQos{PrefetchCount: 1})
	}, 505)
	bad("7", "a body where a header is owed is 505", func(c *Conn, ch *Channel) {
		owed(ch)
		c.SendFrame(wire.FrameBody, ch.ID, []byte("body"))
	}, 505)
	bad("7", "a header of another class is 505", func(_ *Conn, ch *Channel) {
		owed(ch)
		header(ch, 50, 4)
	}, 505)
	bad("7", "a method where a body is owed is 505", func(_ *Conn, ch *Channel) {
		owed(ch)
		header(ch, basic, 4)
		ch.Send(&wire.BasicQos{PrefetchCount: 1})
	}, 505)
	bad("7", "a header where a body is owed is 505", func(_ *Conn, ch *Channel) {
		owed(ch)
		header(ch, basic, 4)
		header(ch, basic, 4)
	}, 505)
	bad("7", "a header where nothing is owed is 505", func(_ *Conn, ch *Channel) { header(ch, basic, 4) }, 505)
	bad("7", "a body where nothing is owed is 505", func(c *Conn, ch *Channel) {
		c.SendFrame(wire.FrameBody, ch.ID, []byte("body"))
	}, 505)
	bad("7", "content on channel 0 is refused", func(c *Conn, _ *Channel) {
		c.SendFrame(wire.FrameBody, 0, []byte("body"))
	}, 501, 504, 505)
	register(
		Case{Behaviour: "7", Name: "a body comes in frames as long as was agreed", Run: func(t *T) {
			c := t.DialAs(Login{Tune: &wire.ConnectionTuneOk{ChannelMax: 100, FrameMax: 4096}})
			ch := c.Channel()
			q := ch.Queue(nil)
			for size, frames := range map[int][]int{0: nil, 1: {1}, 4088: {4088}, 4089: {4088, 1}, 10_000: {4088, 4088, 1824}} {
				ch.Put(q, strings.Repeat("x", size))
				d := ch.Take(q)
				if len(d.Body) != size || !slices.Equal(d.Frames, frames) {
					t.Errorf("a body of %d came in %d", size, d.Frames)
				}
			}
		}},
		Case{Behaviour: "7", Name: "a body may be published in pieces of any size", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			publish(ch, &wire.BasicPublish{RoutingKey: []byte(q)})
			header(ch, basic, 10)
			for _, piece := range []string{"0", "", "1234", "", "5678", "9"} {
				ch.Conn.SendFrame(wire.FrameBody, ch.ID, []byte(piece))
			}
			if d := ch.Take(q); d.Body != "0123456789" {
				t.Errorf("%q came", d.Body)
			}
		}},
		Case{Behaviour: "7", Name: "frames of other channels may come between those of a content", Run: func(t *T) {
			ch := t.Channel()
			other := ch.Conn.Channel()
			q := ch.Queue(nil)
			publish(ch, &wire.BasicPublish{RoutingKey: []byte(q)})
			other.Sync()
			publish(other, &wire.BasicPublish{RoutingKey: []byte(q)})
			header(ch, basic, 4)
			header(other, basic, 5)
			ch.Conn.SendFrame(wire.FrameBody, ch.ID, []byte("on"))
			ch.Conn.SendFrame(wire.FrameBody, other.ID, []byte("other"))
			other.Sync()
			ch.Conn.SendFrame(wire.FrameBody, ch.ID, []byte("e!"))
			ch.Sync()
			ch.ExpectDrain(q, "other", "one!")
		}},
		Case{Behaviour: "6", Name: "who sends a frame longer than was agreed can read why", Plus: "RabbitMQ closes a socket with unread bytes, whose reset may overtake the reason", Run: func(t *T) {
			for range 5 {
				c := t.DialAs(Login{Tune: &wire.ConnectionTuneOk{ChannelMax: 100, FrameMax: 4096}})
				c.Send(append(wire.AppendFrameHead(nil, wire.FrameMethod, 1, 100_000), make([]byte, 100_001)...))
				c.expectCloseIn(501)
			}
		}},
		Case{Behaviour: "7", Name: "a body over what its header says is 501 or 505", Plus: "RabbitMQ says nothing and waits for ever where more of a body comes than its header says", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			owed(ch)
			header(ch, basic, 2)
			c.SendFrame(wire.FrameBody, ch.ID, []byte("four"))
			c.expectCloseIn(501, 505)
		}},
		Case{Behaviour: "12", Name: "after connection.close from the client only close-ok comes", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Queue(nil)
			other := t.Channel()
			c.ExpectingEnd()
			b := wire.AppendMethod(nil, 0, &wire.ConnectionClose{ReplyCode: 200})
			b = wire.AppendPublish(b, ch.ID, 4096, &wire.BasicPublish{RoutingKey: []byte(q)}, nil, []byte("late"))
			c.Send(wire.AppendMethod(b, ch.ID, &wire.QueueDeclare{Queue: q, Passive: true}))
			Expect[*wire.ConnectionCloseOk](c.On(0))
			c.Conn.Close()
			if e, ok := Has[*wire.QueueDeclareOk](ch); ok {
				t.Errorf("%v came after the close", e)
			}
			if n, _ := other.Count(q); n != 0 {
				t.Errorf("%d messages were published after the close", n)
			}
		}},
		Case{Behaviour: "12", Name: "after connection.close from the server all but close-ok is discarded", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Queue(nil)
			c.ExpectingEnd()
			ch.Send(&wire.ChannelOpen{}) // 504
			Expect[*wire.ConnectionClose](c.On(0))
			b := wire.AppendMethod(nil, ch.ID, &wire.QueueDeclare{Queue: q, Passive: true})
			b = wire.AppendPublish(b, ch.ID, 4096, &wire.BasicPublish{RoutingKey: []byte(q)}, nil, []byte("late"))
			b = wire.AppendMethod(b, 7, &wire.BasicAck{DeliveryTag: 99})
			c.Send(wire.AppendHeartbeat(b))
			c.SendMethod(0, &wire.ConnectionCloseOk{})
			c.ExpectEnd()
			if e, ok := Has[*wire.QueueDeclareOk](ch); ok {
				t.Errorf("%v came after the close", e)
			}
			if n, _ := t.Channel().Count(q); n != 0 {
				t.Errorf("%d messages were published after the close", n)
			}
		}},
		Case{Behaviour: "12", Name: "both sides may close at once", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			c.ExpectingEnd()
			b := wire.AppendMethod(nil, ch.ID, &wire.ChannelOpen{}) // 504
			c.Send(wire.AppendMethod(b, 0, &wire.ConnectionClose{ReplyCode: 200}))
			Expect[*wire.ConnectionClose](c.On(0))
			c.SendMethod(0, &wire.ConnectionCloseOk{})
			c.ExpectEnd()
		}},
	)
}

// expectCloseIn waits until the peer closes the connection with one of the codes.
func (c *Conn) expectCloseIn(codes ...uint16) {
	c.t.Helper()
	c.ExpectingEnd()
	e := ExpectEvent[*wire.ConnectionClose](c.On(0))
	closed := closedBy(e)
	c.t.Logf("%v", closed)
	if !slices.Contains(codes, closed.Code) {
		c.t.Errorf("%v, want one of %d", closed, codes)
	}
	c.SendMethod(0, &wire.ConnectionCloseOk{})
	c.ExpectEnd()
}
