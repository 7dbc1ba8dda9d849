package amqpd_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// FuzzSession plays a client that says anything, as frames that are whole or as
// bytes, to a broker that must neither panic nor keep the connection, and must
// still serve the next one.
func FuzzSession(f *testing.F) {
	for _, seed := range sessions() {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	b := brokertest.Start(f, brokertest.Options{
		NoListener: true,
		Dir:        "data",
		Broker:     broker.Options{Store: store.Options{FS: vfs.NewMem()}},
		Server:     amqpd.Options{CloseTimeout: time.Millisecond, MaxMessageSize: 1 << 20},
	})
	login := []byte(wire.ProtocolHeader)
	for _, m := range []wire.Method{
		&wire.ConnectionStartOk{Mechanism: "PLAIN", Response: wire.EncodePlain("guest", "guest"), Locale: "en_US"},
		&wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "/"},
	} {
		login = wire.AppendMethod(login, 0, m)
	}
	f.Fuzz(func(t *testing.T, said []byte, raw bool) {
		if len(said) > 1<<16 {
			return
		}
		ours, theirs := net.Pipe()
		b.Server.ServeConn(theirs)
		ours.SetDeadline(time.Now().Add(10 * time.Second))
		gone := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, ours)
			gone <- err
		}()
		ours.Write(login)
		if raw {
			ours.Write(said)
		} else {
			ours.Write(frames(said))
		}
		ours.Write(wire.AppendMethod(nil, 0, &wire.ConnectionClose{ReplyCode: 200}))
		if raw {
			ours.Close() // whatever was said may owe the rest of a long frame
		}
		if err := <-gone; err != nil && err != io.ErrClosedPipe {
			t.Fatalf("the connection did not end: %v", err)
		}
		ours.Close()
	})
}

// frames makes whole frames of bytes: type and channel, a length, a payload.
func frames(said []byte) (out []byte) {
	for len(said) >= 2 {
		typ, channel := 1+said[0]&3%3, uint16(said[0]>>2)&3
		n := min(int(said[1]), len(said)-2)
		out = wire.AppendFrameHead(out, typ, channel, n)
		out = append(out, said[2:2+n]...)
		out = append(out, wire.FrameEnd)
		said = said[2+n:]
	}
	return out
}

// unframe is the way back, for seeds.
func unframe(stream []byte) (said []byte) {
	for len(stream) > 0 {
		f, n, err := wire.ParseFrame(stream, 0)
		if err != nil || n > len(stream) {
			panic("a seed is no sequence of frames")
		}
		stream = stream[n:]
		said = append(said, f.Type-1|uint8(f.Channel)<<2, uint8(len(f.Payload)))
		said = append(said, f.Payload...)
	}
	return said
}

// sessions are what a client may well say.
func sessions() (seeds [][]byte) {
	methods := func(ms ...wire.Method) (b []byte) {
		for _, m := range ms {
			b = wire.AppendMethod(b, 1, m)
		}
		return b
	}
	c := brokertest.NewClient(nil, nil)
	join := func(parts ...[]byte) {
		var b []byte
		for _, p := range parts {
			b = append(b, p...)
		}
		seeds = append(seeds, unframe(b))
	}
	open := methods(&wire.ChannelOpen{})
	queue := methods(&wire.QueueDeclare{Queue: "q", Durable: true})
	message := c.Message(1, "", "q", brokertest.Persistent, "body")
	join(open, queue, methods(&wire.ConfirmSelect{}), message, message, methods(&wire.BasicGet{Queue: "q"}, ack(1), &wire.QueueDelete{Queue: "q"}))
	join(open, queue, message, methods(&wire.BasicQos{PrefetchCount: 1}, &wire.BasicConsume{Queue: "q", ConsumerTag: "t"}, ack(1),
		&wire.BasicRecover{Requeue: true}, &wire.BasicNack{Multiple: true, Requeue: true}, &wire.BasicCancel{ConsumerTag: "t"}, &wire.ChannelClose{}))
	join(open, queue, methods(&wire.TxSelect{}), message, methods(&wire.BasicGet{Queue: "q"}, ack(1), &wire.TxRollback{}), message, methods(&wire.TxCommit{}, &wire.QueuePurge{Queue: "q"}))
	join(open, methods(&wire.ExchangeDeclare{Exchange: "x", Type: "topic"}, &wire.QueueDeclare{Exclusive: true},
		&wire.QueueBind{Exchange: "x", RoutingKey: "a.*.#"}), c.Message(1, "x", "a.b.c", nil, "m"),
		methods(&wire.BasicGet{NoAck: true}, &wire.QueueUnbind{Exchange: "x", RoutingKey: "a.*.#"}, &wire.ExchangeBind{Destination: "amq.fanout", Source: "x"},
			&wire.ExchangeUnbind{Destination: "amq.fanout", Source: "x"}, &wire.ExchangeDelete{Exchange: "x"}))
	join(open, methods(&wire.QueueDeclare{Queue: "limited", Arguments: amqp.NewTable(
		amqp.Field{Name: "x-max-length", Value: amqp.Int32(1)}, amqp.Field{Name: "x-overflow", Value: amqp.LongString("reject-publish")})},
		&wire.ConfirmSelect{}), c.Message(1, "", "limited", nil, "1"), c.Message(1, "", "limited", nil, "2"))
	join(open, methods(&wire.BasicPublish{}, &wire.BasicPublish{}))
	join(open, methods(&wire.BasicPublish{Exchange: []byte("missing")}), wire.AppendHeader(nil, 1, nil, 10), wire.AppendBody(nil, 1, 4096, []byte("half")), methods(&wire.ChannelCloseOk{}), open)
	join(open, methods(&wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true}))
	return seeds
}
