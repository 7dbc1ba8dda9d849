package amqpd_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// When the disk fails no persistent publish is acked any more: those that wait
// are nacked, as are those that come. Who asked for no confirms loses the
// connection instead. What needs no disk goes on.
func TestAFailedLogNacks(t *testing.T) {
	fs := vfs.NewErrFS(vfs.OS())
	o := brokertest.Options{Broker: broker.Options{Store: store.Options{FS: fs}}}
	b := brokertest.Start(t, o)
	c := b.Client(t)
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	c.Confirm(1)
	c.Publish(1, "", q, brokertest.Persistent, "kept")
	brokertest.Expect[*wire.BasicAck](c, 1)

	fs.Add(vfs.Rule{Ops: vfs.OpSync, At: 1, Err: syscall.EIO, Sticky: true})
	nacked := func(from, to uint64) {
		t.Helper()
		for from <= to {
			m := brokertest.Expect[*wire.BasicNack](c, 1)
			if m.DeliveryTag < from || m.DeliveryTag > from && !m.Multiple {
				t.Fatalf("got %+v, want to go on at %d", m, from)
			}
			from = m.DeliveryTag + 1
		}
	}
	var stream []byte
	for range 1000 {
		stream = append(stream, c.Message(1, "", q, brokertest.Persistent, "lost")...)
	}
	go c.Write(stream)
	nacked(2, 1001)
	c.Publish(1, "", q, brokertest.Persistent, "lost, and known to be")
	nacked(1002, 1002)
	c.Publish(1, "", q, nil, "transient")
	brokertest.Expect[*wire.BasicAck](c, 1)
	c.Publish(1, "", "nowhere", brokertest.Persistent, "unroutable")
	brokertest.Expect[*wire.BasicAck](c, 1)
	c.Open(2)
	c.Send(2, &wire.BasicGet{Queue: q})
	brokertest.Expect[*wire.BasicGetOk](c, 2)

	c.Open(3)
	c.Publish(3, "", q, brokertest.Persistent, "lost, and nobody would know")
	c.ExpectClose(541)

	c = b.Client(t)
	c.Open(1)
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	c.Publish(1, "", q, brokertest.Persistent, "lost")
	c.Send(1, &wire.TxCommit{})
	c.ExpectClose(541)

	c = b.Client(t)
	c.Open(1)
	c.Send(1, &wire.QueueDeclare{Queue: "q2", Durable: true})
	c.ExpectClose(541)
	b.StopFailed()
}

func TestDirectReplyTo(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	const replies = "amq.rabbitmq.reply-to"
	server, client := b.Client(t), b.Client(t)
	server.Open(1)
	q := server.Declare(1, wire.QueueDeclare{Queue: "rpc"}).Queue
	server.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	client.Open(1)
	withReply := brokertest.Props(func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropReplyTo, replies) })

	client.Publish(1, "", q, withReply, "too early")
	if text := client.ExpectChannelClose(1, 406); text != "PRECONDITION_FAILED - fast reply consumer does not exist" {
		t.Errorf("closed with %q", text)
	}
	client.Open(1)
	client.Send(1, &wire.BasicConsume{Queue: replies})
	if text := client.ExpectChannelClose(1, 406); text != "PRECONDITION_FAILED - reply consumer cannot acknowledge" {
		t.Errorf("closed with %q", text)
	}
	client.Open(1)
	client.Consume(1, wire.BasicConsume{Queue: replies, NoAck: true, ConsumerTag: "r"})
	for range 3 {
		client.Publish(1, "", q, withReply, "question")
		e := brokertest.ExpectEvent[*wire.BasicDeliver](server, 1)
		if string(e.Body) != "question" {
			t.Fatalf("got %v", e)
		}
		server.Publish(1, "", string(e.Props.ReplyTo()), nil, "answer")
		if e := brokertest.ExpectEvent[*wire.BasicDeliver](client, 1); string(e.Body) != "answer" || string(e.Method.(*wire.BasicDeliver).ConsumerTag) != "r" {
			t.Fatalf("got %v", e)
		}
	}
	for _, x := range []struct {
		again wire.BasicConsume
		text  string
	}{
		{wire.BasicConsume{NoAck: true}, "already set"},
		{wire.BasicConsume{NoAck: true, ConsumerTag: "r"}, "already set"}, // looked at before the tag
		{wire.BasicConsume{ConsumerTag: "r"}, "cannot acknowledge"},
	} {
		x.again.Queue = replies
		client.Send(1, &x.again)
		if text := client.ExpectChannelClose(1, 406); text != "PRECONDITION_FAILED - reply consumer "+x.text {
			t.Errorf("closed with %q", text)
		}
		client.Open(1)
		client.Consume(1, wire.BasicConsume{Queue: replies, NoAck: true, ConsumerTag: "r"})
	}
	client.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](client, 1)
	// After the end of the one another may be set.
	client.Open(1)
	client.Consume(1, wire.BasicConsume{Queue: replies, NoAck: true, ConsumerTag: "r"})
	client.Send(1, &wire.BasicCancel{ConsumerTag: "r"})
	brokertest.Expect[*wire.BasicCancelOk](client, 1)
	client.Consume(1, wire.BasicConsume{Queue: replies, NoAck: true, ConsumerTag: "r"})
	server.ExpectNothing(10 * time.Millisecond)
}
