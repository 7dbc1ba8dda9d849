package amqpd_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// onDisk is a broker whose syncs of the log the test watches and may hold.
func onDisk(t *testing.T, before func()) (*brokertest.Broker, *vfs.Injection) {
	fs := vfs.NewErrFS(vfs.OS())
	b := brokertest.Start(t, brokertest.Options{Broker: broker.Options{Store: store.Options{FS: fs}}})
	return b, fs.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", Before: func(vfs.Call) { before() }})
}

func TestARowOfDeclarationsWaitsForTheDiskOnce(t *testing.T) {
	const queues = 500
	b, syncs := onDisk(t, func() {})
	c := b.Client(t)
	c.Open(1)
	was := syncs.Calls()
	var row []wire.Method
	for i := range queues {
		name := fmt.Sprintf("q%03d", i)
		row = append(row, &wire.QueueDeclare{Queue: name, Durable: true}, &wire.QueueBind{Queue: name, Exchange: "amq.topic", RoutingKey: name})
	}
	c.Send(1, row...)
	for i := range queues {
		if ok := brokertest.Expect[*wire.QueueDeclareOk](c, 1); ok.Queue != fmt.Sprintf("q%03d", i) {
			t.Fatalf("answer %d is for %s", i, ok.Queue)
		}
		brokertest.Expect[*wire.QueueBindOk](c, 1)
	}
	// A read is as long as the buffer is, which grows while much comes.
	if n := syncs.Calls() - was; n > queues/5 {
		t.Errorf("%d syncs for %d declarations and as many bindings in one write", n, queues)
	}
}

func TestNothingIsDeclaredBoundOrDeletedBeforeTheDiskHasIt(t *testing.T) {
	var mu sync.Mutex
	held, synced := false, make(chan struct{}, 1)
	gate := make(chan struct{})
	b, _ := onDisk(t, func() {
		mu.Lock()
		hold := held
		mu.Unlock()
		if hold {
			synced <- struct{}{}
			<-gate
		}
	})
	hold := func(is bool) {
		mu.Lock()
		defer mu.Unlock()
		held = is
	}
	c := b.Client(t)
	c.Open(1)
	c.Send(1, &wire.ExchangeDeclare{Exchange: "old", Type: "direct", Durable: true})
	brokertest.Expect[*wire.ExchangeDeclareOk](c, 1)
	hold(true)
	c.Send(1,
		&wire.QueueDeclare{Queue: "q", Durable: true},
		&wire.QueueBind{Queue: "q", Exchange: "old", RoutingKey: "k"},
		&wire.ExchangeDelete{Exchange: "old"},
		&wire.QueueDeclare{Queue: "q", Durable: true, Passive: true},
	)
	<-synced
	hold(false)
	c.ExpectNothing(10 * time.Millisecond)
	other := b.Client(t)
	other.Open(1)
	other.Send(1, &wire.QueueDeclare{Queue: "q", Durable: true}) // of which the disk does not know yet
	other.ExpectNothing(10 * time.Millisecond)
	close(gate)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.QueueBindOk](c, 1)
	brokertest.Expect[*wire.ExchangeDeleteOk](c, 1)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.QueueDeclareOk](other, 1)
}

func TestAnswersKeepTheirOrder(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	frames := func(methods ...wire.Method) (out []byte) {
		for _, m := range methods {
			out = wire.AppendMethod(out, 1, m)
		}
		return out
	}
	lost := wire.AppendPublish(nil, 1, 4096, &wire.BasicPublish{RoutingKey: []byte("nowhere"), Mandatory: true}, []byte{0, 0}, []byte("x"))
	row := frames(&wire.QueueDeclare{Queue: "a", Durable: true})
	row = append(row, lost...)
	row = append(row, frames(
		&wire.QueueDeclare{Queue: "b", Durable: true},
		&wire.BasicConsume{Queue: "b", ConsumerTag: "mine"},
		&wire.QueueDeclare{Queue: "c", Durable: true},
		&wire.QueueDelete{Queue: "b"},
		&wire.QueueDeclare{Queue: "d", Durable: true},
		&wire.QueueDeclare{Queue: "a", Durable: false}, // which it is not
		&wire.QueueDeclare{Queue: "never", Durable: true},
	)...)
	c.Write(row)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.BasicReturn](c, 1)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.BasicConsumeOk](c, 1)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.QueueDeleteOk](c, 1)
	brokertest.Expect[*wire.BasicCancel](c, 1)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	c.ExpectChannelClose(1, 406)
	c.Open(1)
	c.Send(1, &wire.QueueDeclare{Queue: "never", Passive: true})
	c.ExpectChannelClose(1, 404)

	// What ends the connection comes after the answers, too.
	c.Open(1)
	row = frames(&wire.QueueDeclare{Queue: "e", Durable: true})
	row = wire.AppendMethod(row, 0, &wire.ConnectionClose{ReplyCode: 200})
	c.Write(row)
	brokertest.Expect[*wire.QueueDeclareOk](c, 1)
	brokertest.Expect[*wire.ConnectionCloseOk](c, 0)
}

// Where the log fails nothing is answered that the disk does not have: the connection is
// closed, and nothing follows that.
func TestNothingIsAnsweredThatTheLogHasLost(t *testing.T) {
	fs := vfs.NewErrFS(vfs.OS())
	b := brokertest.Start(t, brokertest.Options{Broker: broker.Options{Store: store.Options{FS: fs}}})
	c := b.Client(t)
	c.Open(1)
	c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
	c.Consume(1, wire.BasicConsume{Queue: "q"})
	fs.Add(vfs.Rule{Ops: vfs.OpSync, At: 1, Sticky: true})
	c.Send(1,
		&wire.QueueDeclare{Queue: "other", Durable: true},
		&wire.QueueDelete{Queue: "q"},
		&wire.QueueDeclare{Queue: "third", Durable: true},
	)
	m, ok := c.Next().Method.(*wire.ConnectionClose)
	if !ok || m.ReplyCode != amqp.CodeInternalError {
		t.Fatalf("%T came: %+v", m, m)
	}
	c.Send(0, &wire.ConnectionCloseOk{})
	for {
		e, err := c.ReadEvent()
		if err != nil {
			break
		}
		t.Errorf("%T came after the connection was closed", e.Method)
	}
	b.StopFailed()
}
