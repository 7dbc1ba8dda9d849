package wire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	client "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// peer is a server of one connection that is made of nothing but this package:
// it knows one queue and says what a client library makes it say.
type peer struct {
	conn     net.Conn
	buf      []byte
	frameMax uint32
	out      []byte
	tag      uint64
	ready    []message
	consumer []byte
	// seen are the cold methods as they came.
	seen []Method
}

type message struct {
	exchange, key, props, body []byte
}

func (p *peer) fill(n int) error {
	for len(p.buf) < n {
		chunk := make([]byte, 1000) // so that frames come in pieces
		k, err := p.conn.Read(chunk)
		p.buf = append(p.buf, chunk[:k]...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) frame() (Frame, error) {
	for {
		f, n, err := ParseFrame(p.buf, p.frameMax)
		if err != nil {
			return f, err
		}
		if n <= len(p.buf) {
			f.Payload = bytes.Clone(f.Payload)
			p.buf = p.buf[n:]
			return f, nil
		}
		if err := p.fill(n); err != nil {
			return f, err
		}
	}
}

func (p *peer) send(channel uint16, m Method) { p.out = AppendMethod(p.out, channel, m) }

func (p *peer) serve() error {
	if err := p.fill(8); err != nil {
		return err
	}
	if _, err := ParseProtocolHeader(p.buf); err != nil {
		return err
	}
	p.buf = p.buf[8:]
	p.frameMax = FrameMinSize
	p.send(0, &ConnectionStart{VersionMinor: 9, Mechanisms: "PLAIN AMQPLAIN", Locales: "en_US",
		ServerProperties: amqp.NewTable(
			amqp.Field{Name: "product", Value: amqp.LongString("peer")},
			amqp.Field{Name: "capabilities", Value: amqp.Nested(amqp.NewTable(amqp.Field{Name: "basic.nack", Value: amqp.Bool(true)}))},
		)})
	for {
		if _, err := p.conn.Write(p.out); err != nil {
			return err
		}
		p.out = p.out[:0]
		f, err := p.frame()
		if err != nil {
			return err
		}
		if f.Type == FrameHeartbeat {
			continue
		}
		m, err := DecodeMethod(f.Payload)
		if err != nil {
			return err
		}
		if pub, ok := m.(*BasicPublish); ok {
			err = p.publish(f.Channel, pub)
		} else {
			p.seen = append(p.seen, m)
			err = p.handle(f.Channel, m)
		}
		if err == io.EOF {
			_, err = p.conn.Write(p.out)
			return err
		}
		if err != nil {
			return err
		}
	}
}

func (p *peer) publish(channel uint16, m *BasicPublish) error {
	f, err := p.frame()
	if err != nil || f.Type != FrameHeader {
		return fmt.Errorf("no header: %v", err)
	}
	h, err := DecodeHeader(f.Payload)
	if err != nil {
		return err
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		if f, err = p.frame(); err != nil || f.Type != FrameBody {
			return fmt.Errorf("no body: %v", err)
		}
		body = append(body, f.Payload...)
	}
	if m.Mandatory {
		p.out = AppendReturn(p.out, channel, p.frameMax,
			&BasicReturn{amqp.CodeNoRoute, "NO_ROUTE", m.Exchange, m.RoutingKey}, h.Properties, body)
	} else {
		p.ready = append(p.ready, message{m.Exchange, m.RoutingKey, h.Properties, body})
	}
	p.tag++
	if p.tag%2 == 0 {
		p.out = AppendNack(p.out, channel, p.tag, false, false)
	} else {
		p.out = AppendAck(p.out, channel, p.tag, true)
	}
	return p.deliver(channel)
}

func (p *peer) deliver(channel uint16) error {
	for p.consumer != nil && len(p.ready) > 0 {
		m := p.ready[0]
		p.ready = p.ready[1:]
		p.out = AppendDeliver(p.out, channel, p.frameMax,
			&BasicDeliver{p.consumer, 1, true, m.exchange, m.key}, m.props, m.body)
	}
	return nil
}

func (p *peer) handle(channel uint16, m Method) error {
	switch m := m.(type) {
	case *ConnectionStartOk:
		user, password, err := DecodePlain(m.Response)
		if m.Mechanism == "AMQPLAIN" {
			user, password, err = DecodeAMQPlain(m.Response)
		}
		if err != nil || user != "guest" || password != "secret" {
			return fmt.Errorf("%q %q %v", user, password, err)
		}
		p.send(0, &ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
	case *ConnectionTuneOk:
		p.frameMax = m.FrameMax
	case *ConnectionOpen:
		p.send(0, &ConnectionOpenOk{})
		p.send(0, &ConnectionBlocked{Reason: "low on disk"})
		p.send(0, &ConnectionUnblocked{})
	case *BasicGet:
		if len(p.ready) == 0 {
			p.send(channel, &BasicGetEmpty{})
			return nil
		}
		msg := p.ready[0]
		p.ready = p.ready[1:]
		p.out = AppendGetOk(p.out, channel, p.frameMax,
			&BasicGetOk{7, true, msg.exchange, msg.key, uint32(len(p.ready))}, msg.props, msg.body)
	case *BasicConsume:
		p.consumer = []byte(m.ConsumerTag)
		p.send(channel, &BasicConsumeOk{ConsumerTag: m.ConsumerTag})
		return p.deliver(channel)
	case *BasicCancel:
		p.consumer = nil
		p.send(channel, &BasicCancelOk{ConsumerTag: m.ConsumerTag})
	case *QueueDeclare:
		if m.Passive {
			p.out = AppendException(p.out, channel, amqp.NotFound("no queue '%s' in vhost '/'", m.Queue), m.ID())
			return nil
		}
		p.send(channel, &QueueDeclareOk{Queue: "amq.gen-1", MessageCount: 3, ConsumerCount: 4})
	case *QueuePurge:
		p.send(channel, &QueuePurgeOk{MessageCount: 5})
	case *QueueDelete:
		p.send(channel, &QueueDeleteOk{MessageCount: 6})
	case *ConnectionClose:
		p.send(0, &ConnectionCloseOk{})
		return io.EOF
	default:
		if reply := Lookup(m.ID()).Reply; reply != 0 {
			ok, err := Decode(reply, nil)
			if err != nil { // it has fields: empty ones will do
				ok = Lookup(reply).make()
			}
			p.send(channel, ok)
		}
	}
	return nil
}

// connect starts a peer and a connection of amqp091-go to it. finish ends both;
// before it the peer's fields belong to its goroutine.
func connect(t *testing.T, config client.Config) (conn *client.Connection, p *peer, finish func()) {
	t.Helper()
	a, b := net.Pipe()
	p = &peer{conn: a}
	done := make(chan error, 1)
	go func() { done <- p.serve(); a.Close() }()
	config.Vhost = "/"
	conn, err := client.Open(b, config)
	if err != nil {
		a.Close()
		t.Fatalf("%v; peer: %v", err, <-done)
	}
	return conn, p, func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error("peer:", err)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plain(frameSize int) client.Config {
	return client.Config{SASL: []client.Authentication{&client.PlainAuth{Username: "guest", Password: "secret"}}, FrameSize: frameSize}
}

func fullPublishing(body []byte) client.Publishing {
	now := time.Unix(1700000000, 0) // with the location that the client decodes to
	return client.Publishing{
		Headers: client.Table{
			"t": true, "b": int8(-3), "B": uint8(200), "s": int16(-4), "u": uint16(60000), "I": int32(-5),
			"i": uint32(4e9), "l": int64(-6), "f": float32(1.5), "d": 2.5, "D": client.Decimal{Scale: 2, Value: 314},
			"S": "sträng", "x": []byte{1, 2}, "T": now, "V": nil,
			"A": []any{int32(1), "two", client.Table{"three": int64(3)}, []any(nil)},
			"F": client.Table{"in": client.Table{"deeper": true}},
		},
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: 2, Priority: 9,
		CorrelationId: "cid", ReplyTo: "rto", Expiration: "1000", MessageId: "mid", Timestamp: now,
		Type: "typ", UserId: "guest", AppId: "app", Body: body,
	}
}

// checkPublishing compares what came back with what was sent.
func checkPublishing(t *testing.T, got client.Delivery, want client.Publishing) {
	t.Helper()
	if !bytes.Equal(got.Body, want.Body) {
		t.Errorf("body of %d bytes, want %d", len(got.Body), len(want.Body))
	}
	again := client.Publishing{
		Headers: got.Headers, ContentType: got.ContentType, ContentEncoding: got.ContentEncoding,
		DeliveryMode: got.DeliveryMode, Priority: got.Priority, CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo,
		Expiration: got.Expiration, MessageId: got.MessageId, Timestamp: got.Timestamp, Type: got.Type,
		UserId: got.UserId, AppId: got.AppId, Body: want.Body,
	}
	if !reflect.DeepEqual(again, want) {
		again.Body, want.Body = nil, nil
		t.Errorf("got  %#v\nwant %#v", again, want)
	}
}

func TestAMQP091GoUnderstandsUsAndWeIt(t *testing.T) {
	for _, frameSize := range []int{0, 4096} {
		t.Run(fmt.Sprint(frameSize), func(t *testing.T) {
			conn, p, finish := connect(t, plain(frameSize))
			ch, err := conn.Channel()
			if err != nil {
				t.Fatal(err)
			}
			args := client.Table{"x-max-length": int32(100), "x-queue-type": "classic"}
			q, err := ch.QueueDeclare("", true, false, true, false, args)
			if err != nil || q.Name != "amq.gen-1" || q.Messages != 3 || q.Consumers != 4 {
				t.Fatal(q, err)
			}
			steps := []func() error{
				func() error { return ch.ExchangeDeclare("ex", "topic", true, true, true, false, nil) },
				func() error { return ch.ExchangeBind("dst", "key", "src", false, nil) },
				func() error { return ch.ExchangeUnbind("dst", "key", "src", false, nil) },
				func() error { return ch.QueueBind("q", "a.*.#", "ex", false, client.Table{"x-match": "any"}) },
				func() error { return ch.QueueUnbind("q", "a.*.#", "ex", nil) },
				func() error { return ch.Qos(10, 0, true) },
				func() error { return ch.Flow(true) },
				func() error { return ch.Tx() },
				func() error { return ch.TxCommit() },
				func() error { return ch.TxRollback() },
				func() error { _, err := ch.QueuePurge("q", false); return err },
				func() error { _, err := ch.QueueDelete("q", true, true, false); return err },
				func() error { return ch.ExchangeDelete("ex", true, false) },
				func() error { return conn.UpdateSecret("new", "expired") },
				func() error { return ch.Confirm(false) },
			}
			for i, step := range steps {
				if err := step(); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			returns := ch.NotifyReturn(make(chan client.Return, 1))
			for i, size := range []int{0, 1, 4088, 4089, 200000} {
				want := fullPublishing(bytes.Repeat([]byte("x"), size))
				want.Headers["n"] = int32(i)
				confirm, err := ch.PublishWithDeferredConfirm("ex", "rk", false, false, want)
				if err != nil {
					t.Fatal(err)
				}
				if ack := confirm.Wait(); ack != (i%2 == 0) {
					t.Errorf("publish %d: confirmed with %t", i, ack)
				}
				got, ok, err := ch.Get("q", false)
				if err != nil || !ok || got.DeliveryTag != 7 || !got.Redelivered || got.Exchange != "ex" || got.RoutingKey != "rk" {
					t.Fatal(got, ok, err)
				}
				checkPublishing(t, got, want)
			}
			if _, ok, err := ch.Get("q", true); ok || err != nil {
				t.Error("something in an empty queue", err)
			}
			if err := ch.Publish("nowhere", "rk", true, false, fullPublishing([]byte("back"))); err != nil {
				t.Fatal(err)
			}
			if r := <-returns; r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || r.Exchange != "nowhere" || string(r.Body) != "back" {
				t.Errorf("%+v", r)
			}
			deliveries, err := ch.Consume("q", "tag", false, true, false, false, client.Table{"x-priority": int32(5)})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				want := client.Publishing{MessageId: fmt.Sprint(i), Body: bytes.Repeat([]byte("d"), i*5000)}
				if err := ch.Publish("", "q", false, false, want); err != nil {
					t.Fatal(err)
				}
				got := <-deliveries
				if got.ConsumerTag != "tag" || got.DeliveryTag != 1 || !got.Redelivered {
					t.Errorf("%+v", got)
				}
				checkPublishing(t, got, want)
				for _, answer := range []error{got.Ack(true), got.Nack(true, true), got.Reject(true)} {
					if answer != nil {
						t.Error(answer)
					}
				}
			}
			if err := ch.Cancel("tag", false); err != nil {
				t.Error(err)
			}
			closed := ch.NotifyClose(make(chan *client.Error, 1))
			_, err = ch.QueueDeclarePassive("missing", false, false, false, false, nil)
			if e, ok := err.(*client.Error); !ok || e.Code != 404 || e.Reason != "NOT_FOUND - no queue 'missing' in vhost '/'" {
				t.Error(err)
			}
			<-closed
			finish()
			checkSeen(t, p, frameSize)
		})
	}
}

// checkSeen looks at how the client's methods arrived.
func checkSeen(t *testing.T, p *peer, frameSize int) {
	t.Helper()
	by := map[ID]Method{}
	for _, m := range p.seen {
		if _, ok := by[m.ID()]; !ok {
			by[m.ID()] = m
		}
	}
	if tune, ok := by[IDConnectionTuneOk].(*ConnectionTuneOk); !ok || (frameSize != 0 && tune.FrameMax != uint32(frameSize)) {
		t.Errorf("%+v", tune)
	}
	for _, want := range []Method{
		&ConnectionOpen{VirtualHost: "/"},
		&ConnectionUpdateSecret{NewSecret: "new", Reason: "expired"},
		&ExchangeDeclare{Exchange: "ex", Type: "topic", Durable: true, AutoDelete: true, Internal: true, Arguments: amqp.Table{}},
		&ExchangeBind{Destination: "dst", Source: "src", RoutingKey: "key", Arguments: amqp.Table{}},
		&QueueBind{Queue: "q", Exchange: "ex", RoutingKey: "a.*.#", Arguments: amqp.NewTable(amqp.Field{Name: "x-match", Value: amqp.LongString("any")})},
		&QueueDelete{Queue: "q", IfUnused: true, IfEmpty: true},
		&BasicQos{PrefetchCount: 10, Global: true},
		&BasicConsume{Queue: "q", ConsumerTag: "tag", Exclusive: true, Arguments: amqp.NewTable(amqp.Field{Name: "x-priority", Value: amqp.Int32(5)})},
		&BasicAck{DeliveryTag: 1, Multiple: true},
		&BasicNack{DeliveryTag: 1, Multiple: true, Requeue: true},
		&BasicReject{DeliveryTag: 1, Requeue: true},
		&ChannelFlow{Active: true},
	} {
		if got := by[want.ID()]; !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	d, ok := by[IDQueueDeclare].(*QueueDeclare)
	if !ok {
		t.Fatal("no queue.declare")
	}
	if n, _ := d.Arguments.Int("x-max-length"); !d.Durable || !d.Exclusive || d.AutoDelete || d.Passive || n != 100 {
		t.Errorf("%+v", d)
	}
}

func TestAMQPlainAsAMQP091GoSendsIt(t *testing.T) {
	conn, p, finish := connect(t, client.Config{SASL: []client.Authentication{&client.AMQPlainAuth{Username: "guest", Password: "secret"}}})
	finish()
	if conn.Config.FrameSize != 131072 || len(p.seen) == 0 {
		t.Error(conn.Config.FrameSize)
	}
}
