package amqpd_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

func TestBodiesOfEverySizeComeBackInFramesOfTheNegotiatedSize(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for _, frameMax := range []uint32{4096, 131072} {
		c := brokertest.NewClient(t, b.Dial(t))
		c.Tune.FrameMax = frameMax
		c.Login()
		c.Open(1)
		q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
		limit := int(frameMax) - 8
		for _, size := range []int{0, 1, 100, limit - 1, limit, limit + 1, 2 * limit, 2*limit + 1, 300_000, 1_000_000} {
			body := make([]byte, size)
			rand.NewChaCha8([32]byte{byte(size)}).Read(body)
			c.Publish(1, "", q, brokertest.Persistent, string(body))
			c.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
			f, err := c.Frame()
			if id, _, _ := wire.CutID(f.Payload); err != nil || id != wire.IDBasicGetOk {
				t.Fatalf("size %d: got %v, %v", size, id, err)
			}
			f, err = c.Frame()
			h, herr := wire.DecodeHeader(f.Payload)
			if err != nil || herr != nil || h.BodySize != uint64(size) || !bytes.Equal(h.Properties, brokertest.Persistent) {
				t.Fatalf("size %d: header %+v, %v %v", size, h, err, herr)
			}
			var got []byte
			for len(got) < size {
				f, err := c.Frame()
				if want := min(limit, size-len(got)); err != nil || f.Type != wire.FrameBody || len(f.Payload) != want {
					t.Fatalf("size %d: frame of type %d with %d bytes, want a body of %d; %v", size, f.Type, len(f.Payload), want, err)
				}
				got = append(got, f.Payload...)
			}
			if !bytes.Equal(got, body) {
				t.Errorf("size %d: the body came back changed", size)
			}
		}
	}
}

// However the bytes of a stream are cut into reads, the same messages come of
// them: contents of two channels are woven into each other, bodies in frames of
// any length.
func TestTheCutsOfReadsDoNotMatter(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		c := brokertest.NewClient(t, b.Pipe(t))
		c.Login()
		c.Open(1)
		c.Open(2)
		q := [3]string{}
		for ch := uint16(1); ch <= 2; ch++ {
			q[ch] = c.Declare(ch, wire.QueueDeclare{Exclusive: true}).Queue
			c.Confirm(ch)
		}
		var frames [3][][]byte
		var bodies [3][]string
		for ch := uint16(1); ch <= 2; ch++ {
			for i := range 30 {
				body := strings.Repeat(string(rune('a'+i)), rnd.IntN(3000))
				bodies[ch] = append(bodies[ch], body)
				frames[ch] = append(frames[ch], wire.AppendMethod(nil, ch, &wire.BasicPublish{RoutingKey: []byte(q[ch])}))
				frames[ch] = append(frames[ch], wire.AppendHeader(nil, ch, nil, uint64(len(body))))
				for len(body) > 0 {
					n := 1 + rnd.IntN(len(body))
					frames[ch] = append(frames[ch], wire.AppendBody(nil, ch, 131072, []byte(body[:n])))
					body = body[n:]
				}
			}
		}
		var stream []byte
		for len(frames[1])+len(frames[2]) > 0 {
			ch := 1 + rnd.IntN(2)
			if len(frames[ch]) > 0 {
				stream = append(stream, frames[ch][0]...)
				frames[ch] = frames[ch][1:]
			}
		}
		go func() {
			rnd := rand.New(rand.NewPCG(3, uint64(round)))
			for len(stream) > 0 {
				n := min(1+rnd.IntN(1+rnd.IntN(5000)), len(stream))
				c.Write(stream[:n])
				stream = stream[n:]
			}
		}()
		var acked [3]uint64
		for acked[1] < 30 || acked[2] < 30 {
			e := c.Next()
			m, ok := e.Method.(*wire.BasicAck)
			if !ok || m.DeliveryTag <= acked[e.Channel] {
				t.Fatalf("got %v", e)
			}
			acked[e.Channel] = m.DeliveryTag
		}
		for ch := uint16(1); ch <= 2; ch++ {
			for i, want := range bodies[ch] {
				c.Send(ch, &wire.BasicGet{Queue: q[ch], NoAck: true})
				if got := string(brokertest.ExpectEvent[*wire.BasicGetOk](c, ch).Body); got != want {
					t.Fatalf("round %d, channel %d, message %d: %d bytes, want %d", round, ch, i, len(got), len(want))
				}
			}
		}
		c.Close()
	}
}

func TestEveryPublishIsConfirmedOnceAndInOrder(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "confirmed", Durable: true}).Queue
	c.Confirm(1)
	c.Confirm(1) // again: no harm
	const n = 5000
	var stream []byte
	for i := range n {
		props := brokertest.Persistent
		key := q
		switch i % 7 {
		case 3:
			props = amqp.NoProperties // transient
		case 5:
			key = "nowhere" // unroutable
		}
		stream = append(stream, c.Message(1, "", key, props, fmt.Sprint(i))...)
	}
	go c.Write(stream)
	for tag := uint64(1); tag <= n; {
		m := brokertest.Expect[*wire.BasicAck](c, 1)
		if m.DeliveryTag < tag || m.DeliveryTag > tag && !m.Multiple {
			t.Fatalf("got %+v, want to go on at %d", m, tag)
		}
		tag = m.DeliveryTag + 1
	}
	c.ExpectNothing(20 * time.Millisecond)
}

func TestConfirmsCountPerChannel(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	for ch := uint16(1); ch <= 3; ch++ {
		c.Open(ch)
	}
	c.Confirm(1)
	c.Confirm(2)
	q := c.Declare(3, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	var stream []byte
	for range 10 {
		for ch := uint16(1); ch <= 3; ch++ {
			stream = append(stream, c.Message(ch, "", q, brokertest.Persistent, "m")...)
		}
	}
	c.Write(stream)
	var acked [4]uint64
	for acked[1] < 10 || acked[2] < 10 {
		e := c.Next()
		acked[e.Channel] = max(acked[e.Channel], e.Method.(*wire.BasicAck).DeliveryTag)
	}
	if acked[3] != 0 {
		t.Error("a channel that did not ask is confirmed")
	}
	if got := c.Declare(3, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount; got != 30 {
		t.Errorf("%d messages, want 30", got)
	}
}

func TestAMandatoryMessageReturnsBeforeItsConfirm(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Confirm(1)
	body := strings.Repeat("x", 300_000) // more than one frame
	for _, body := range []string{"", "short", body} {
		c.Write(wire.AppendPublish(nil, 1, c.Tune.FrameMax, &wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true},
			brokertest.Persistent, []byte(body)))
		e := brokertest.ExpectEvent[*wire.BasicReturn](c, 1)
		m := e.Method.(*wire.BasicReturn)
		if m.ReplyCode != 312 || m.ReplyText != "NO_ROUTE" || len(m.Exchange) != 0 || string(m.RoutingKey) != "nowhere" {
			t.Errorf("returned as %+v", m)
		}
		if !bytes.Equal(e.Props, brokertest.Persistent) || string(e.Body) != body {
			t.Errorf("returned with %x and %d bytes", e.Props, len(e.Body))
		}
		brokertest.Expect[*wire.BasicAck](c, 1)
	}
}

func TestARefusedPublishIsNacked(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "desk", Durable: true, Arguments: amqp.NewTable(
		amqp.Field{Name: "x-max-length", Value: amqp.Int32(100)},
		amqp.Field{Name: "x-overflow", Value: amqp.LongString("reject-publish")},
	)}).Queue
	c.Confirm(1)
	var stream []byte
	for i := range 110 {
		key := q
		if i == 105 {
			key = "nowhere"
		}
		stream = append(stream, c.Message(1, "", key, brokertest.Persistent, "order")...)
	}
	c.Write(stream)
	acked := map[uint64]bool{}
	for tag := uint64(1); tag <= 110; {
		var to uint64
		var ok bool
		switch m := c.Next().Method.(type) {
		case *wire.BasicAck:
			to, ok = m.DeliveryTag, true
		case *wire.BasicNack:
			to = m.DeliveryTag
		}
		for ; tag <= to; tag++ {
			acked[tag] = ok
		}
	}
	for tag := uint64(1); tag <= 110; tag++ {
		if want := tag <= 100 || tag == 106; acked[tag] != want {
			t.Errorf("tag %d acked: %v, want %v", tag, acked[tag], want)
		}
	}
}

func TestAPublishToAMissingExchangeClosesItsChannelOnly(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Open(2)
	q := c.Declare(2, wire.QueueDeclare{Queue: "q"}).Queue
	// One read: what came before takes effect, what came after is ignored, late
	// content and acks included.
	var stream []byte
	stream = append(stream, c.Message(1, "", q, nil, "before")...)
	stream = append(stream, c.Message(1, "missing", "k", nil, "bad")...)
	stream = append(stream, c.Message(1, "", q, nil, "ignored")...)
	stream = wire.AppendAck(stream, 1, 77, false)
	stream = append(stream, c.Message(2, "", q, nil, "after")...)
	stream = append(stream, wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: "ignored"})...)
	stream = append(stream, wire.AppendMethod(nil, 1, &wire.BasicPublish{})...) // content that never comes
	c.Write(stream)
	m := brokertest.Expect[*wire.ChannelClose](c, 1)
	if m.ReplyCode != 404 || m.ReplyText != "NOT_FOUND - no exchange 'missing' in vhost '/'" || m.ClassID != 60 || m.MethodID != 40 {
		t.Errorf("closed with %+v", m)
	}
	c.Send(1, &wire.BasicQos{}, &wire.ChannelCloseOk{}, &wire.ChannelOpen{})
	brokertest.Expect[*wire.ChannelOpenOk](c, 1)
	for _, want := range []string{"before", "after"} {
		c.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
		if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != want {
			t.Errorf("got %q, want %q", e.Body, want)
		}
	}
	c.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
	brokertest.Expect[*wire.BasicGetEmpty](c, 1)
}

func TestChannelsMayCloseAtOnce(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Publish(1, "missing", "k", nil, "")
	brokertest.Expect[*wire.ChannelClose](c, 1)
	c.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	c.Open(1) // by a client that thinks its close was enough
	c.Publish(1, "missing", "k", nil, "")
	brokertest.Expect[*wire.ChannelClose](c, 1)
	c.Send(1, &wire.ChannelClose{}, &wire.ChannelCloseOk{}) // and by one that answers
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	c.Open(1)
	c.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	c.Send(1, &wire.ChannelCloseOk{}) // to nothing
	c.ExpectClose(504)
}

func TestAMessageOverTheLimitClosesTheChannelAtItsHeader(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{MaxMessageSize: 1000}})
	c := b.Client(t)
	for _, size := range []uint64{1001, 1 << 63} {
		c.Open(1)
		c.Write(append(wire.AppendMethod(nil, 1, &wire.BasicPublish{}), wire.AppendHeader(nil, 1, nil, size)...))
		want := fmt.Sprintf("PRECONDITION_FAILED - message size %d is larger than configured max size 1000", size)
		if text := c.ExpectChannelClose(1, 406); text != want {
			t.Errorf("closed with %q, want %q", text, want)
		}
	}
	c.Open(1)
	c.Publish(1, "", "nowhere", nil, strings.Repeat("x", 1001))
	c.ExpectChannelClose(1, 406)
	c.Open(1)
	c.Confirm(1)
	c.Publish(1, "", "nowhere", nil, strings.Repeat("x", 1000))
	brokertest.Expect[*wire.BasicAck](c, 1)
}

func TestWhatADroppedConnectionHadPublishedIsThere(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	watch := b.Client(t)
	watch.Open(1)
	q := watch.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
	watch.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	c := b.Client(t)
	c.Open(1)
	half := c.Message(1, "", q, nil, "incomplete")
	c.Write(append(c.Message(1, "", q, nil, "complete"), half[:len(half)-2]...))
	c.Close()
	if e := brokertest.ExpectEvent[*wire.BasicDeliver](watch, 1); string(e.Body) != "complete" {
		t.Errorf("got %q", e.Body)
	}
	watch.ExpectNothing(20 * time.Millisecond)
}

func TestModesOfAChannelExclude(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	for _, x := range []struct {
		first, second wire.Method
		text          string
	}{
		{&wire.TxSelect{}, &wire.ConfirmSelect{}, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"},
		{&wire.ConfirmSelect{NoWait: true}, &wire.TxSelect{}, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"},
		{&wire.ConfirmSelect{NoWait: true}, &wire.TxCommit{}, "PRECONDITION_FAILED - channel is not transactional"},
		{&wire.ConfirmSelect{NoWait: true}, &wire.TxRollback{}, "PRECONDITION_FAILED - channel is not transactional"},
	} {
		c.Open(1)
		c.Send(1, x.first, x.second)
		if _, ok := x.first.(*wire.TxSelect); ok {
			brokertest.Expect[*wire.TxSelectOk](c, 1)
		}
		if text := c.ExpectChannelClose(1, 406); text != x.text {
			t.Errorf("closed with %q, want %q", text, x.text)
		}
	}
}

func TestATransactionTakesEffectAtCommit(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Open(2)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	for i := range 3 {
		c.Publish(1, "", q, brokertest.Persistent, fmt.Sprint("old ", i))
	}
	c.Send(2, &wire.BasicQos{PrefetchCount: 3})
	brokertest.Expect[*wire.BasicQosOk](c, 2)
	c.Send(2, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 2)
	c.Consume(2, wire.BasicConsume{Queue: q})
	for range 3 {
		brokertest.Expect[*wire.BasicDeliver](c, 2)
	}
	work := func() {
		c.Publish(2, "", q, brokertest.Persistent, "new")
		c.Write(wire.AppendPublish(nil, 2, c.Tune.FrameMax, &wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, nil, []byte("astray")))
		c.Write(wire.AppendAck(nil, 2, 2, false))
		c.Write(wire.AppendAck(nil, 2, 1, false))
		c.Write(wire.AppendNack(nil, 2, 3, false, true))
	}
	work()
	c.ExpectNothing(20 * time.Millisecond)
	c.Send(2, &wire.TxRollback{})
	brokertest.Expect[*wire.TxRollbackOk](c, 2)
	c.Send(2, &wire.TxCommit{}) // nothing in it
	brokertest.Expect[*wire.TxCommitOk](c, 2)
	if n := c.Declare(1, wire.QueueDeclare{Queue: q, Passive: true}).MessageCount; n != 0 {
		t.Fatalf("%d messages after the rollback, want 0", n)
	}

	work() // the same tags can be settled again
	c.Send(2, &wire.TxCommit{})
	var got []string
	committed, returned := false, false
	for len(got) < 2 || !committed || !returned {
		e := c.Next()
		switch m := e.Method.(type) {
		case *wire.TxCommitOk:
			committed = true
		case *wire.BasicReturn:
			returned = true
			if committed {
				t.Error("returned after commit-ok")
			}
		case *wire.BasicDeliver:
			got = append(got, fmt.Sprint(string(e.Body), " ", m.Redelivered))
		default:
			t.Fatalf("got %v", e)
		}
	}
	if want := []string{"old 2 true", "new false"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	// An ack in a transaction spends its tag.
	c.Write(wire.AppendAck(nil, 2, 4, false))
	c.Write(wire.AppendAck(nil, 2, 4, false))
	c.ExpectChannelClose(2, 406)
}

// A queue that is full and refuses publishes refuses the whole transaction.
func TestACommitThatAQueueRefusesHasNoEffect(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Open(2)
	full := c.Declare(1, wire.QueueDeclare{Queue: "full", Arguments: amqp.NewTable(
		amqp.Field{Name: "x-max-length", Value: amqp.Int32(1)},
		amqp.Field{Name: "x-overflow", Value: amqp.LongString("reject-publish")})}).Queue
	free := c.Declare(1, wire.QueueDeclare{Queue: "free"}).Queue
	work := c.Declare(1, wire.QueueDeclare{Queue: "work"}).Queue
	fill(c, 1, full, 1)
	fill(c, 1, work, 1)
	c.Send(2, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 2)
	c.Send(2, &wire.BasicGet{Queue: work})
	brokertest.Expect[*wire.BasicGetOk](c, 2)
	c.Publish(2, "", free, nil, "one")
	c.Publish(2, "", full, nil, "two")
	c.Write(wire.AppendPublish(nil, 2, c.Tune.FrameMax, &wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, nil, []byte("astray")))
	c.Write(wire.AppendAck(nil, 2, 1, false))
	c.Send(2, &wire.TxCommit{})
	m := brokertest.Expect[*wire.ChannelClose](c, 2)
	if m.ReplyCode != 406 || m.ReplyText != "PRECONDITION_FAILED - partial tx completion" || m.ClassID != 90 || m.MethodID != 20 {
		t.Errorf("got %+v", m)
	}
	for queue, want := range map[string]uint32{full: 1, free: 0, work: 1} {
		if n := c.Declare(1, wire.QueueDeclare{Queue: queue, Passive: true}).MessageCount; n != want {
			t.Errorf("%s has %d messages, want %d", queue, n, want)
		}
	}
}

// A message is returned as it would have been stored: without BCC, and with the
// reply-to that a consumer would have seen.
func TestAReturnedMessageIsAsItWouldHaveBeenStored(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Consume(1, wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true})
	props := brokertest.Props(func(e *amqp.PropertiesEditor) {
		e.SetString(amqp.PropReplyTo, "amq.rabbitmq.reply-to")
		e.SetHeaders(amqp.NewTable(amqp.Field{Name: "BCC", Value: amqp.List(amqp.LongString("x"))}))
	})
	astray := wire.AppendPublish(nil, 1, c.Tune.FrameMax, &wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, props, []byte("m"))
	returned := func() {
		t.Helper()
		e := brokertest.ExpectEvent[*wire.BasicReturn](c, 1)
		if e.Props.Headers().Has("BCC") {
			t.Error("BCC is there")
		}
		if to := string(e.Props.ReplyTo()); !strings.HasPrefix(to, "amq.rabbitmq.reply-to.") {
			t.Errorf("reply-to is %q", to)
		}
	}
	c.Write(astray)
	returned()
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	c.Write(astray)
	c.Write(astray)
	c.Send(1, &wire.TxCommit{})
	returned()
	returned()
	brokertest.Expect[*wire.TxCommitOk](c, 1)
}

// What one read spreads over many queues takes effect in parts, and all of it.
func TestAWideBatchTakesEffectInParts(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	const queues, messages = 1100, 70 // of which 60 come to 64 Ki copies
	c.Send(1, &wire.ExchangeDeclare{Exchange: "wide", Type: "fanout", NoWait: true})
	for i := range queues {
		name := fmt.Sprint("q", i)
		c.Send(1, &wire.QueueDeclare{Queue: name, Durable: true, NoWait: true})
		c.Send(1, &wire.QueueBind{Queue: name, Exchange: "wide", NoWait: true})
	}
	c.Confirm(1)
	c.Publish(1, "wide", "", brokertest.Persistent, "") // commits what came before, too
	brokertest.Expect[*wire.BasicAck](c, 1)
	before := b.Storage().WAL.Batches
	var stream []byte
	for range messages {
		stream = append(stream, c.Message(1, "wide", "", brokertest.Persistent, "")...)
	}
	c.Write(stream)
	for tag := uint64(1); tag < 1+messages; {
		tag = brokertest.Expect[*wire.BasicAck](c, 1).DeliveryTag
	}
	if n := b.Storage().WAL.Batches - before; n != 2 {
		t.Errorf("%d batches, want 2", n)
	}
	for i := range queues {
		if got := c.Declare(1, wire.QueueDeclare{Queue: fmt.Sprint("q", i), Passive: true}).MessageCount; got != 1+messages {
			t.Fatalf("queue %d has %d messages, want %d", i, got, 1+messages)
		}
	}
}
