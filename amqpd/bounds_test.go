package amqpd_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A body that came in several reads is given back when its transaction has
// copied it, though nothing but transactions happens on the connection.
func TestATransactionsBodiesAreGivenBack(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	body := strings.Repeat("x", 1<<20)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	commit := func() {
		c.Publish(1, "", "nowhere", nil, body)
		c.Send(1, &wire.TxCommit{})
		brokertest.Expect[*wire.TxCommitOk](c, 1)
	}
	commit()
	before := heap()
	for range 40 {
		commit()
	}
	if after := heap(); after > before+20<<20 {
		t.Errorf("40 transactions of 1 MiB leave %d MiB", (after-before)>>20)
	}
}

// What stands behind a method that a stop has cut off does not happen either: a
// publish that relied on a binding would be confirmed and be nowhere.
func TestNothingOvertakesAMethodThatAStopCutOff(t *testing.T) {
	for range 10 {
		b := brokertest.Start(t, brokertest.Options{})
		c := b.Client(t)
		c.Open(1)
		c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
		c.Confirm(1)
		var frames []byte
		for i := range 50 {
			frames = wire.AppendMethod(frames, 1, &wire.ExchangeDeclare{Exchange: fmt.Sprint("x", i), Type: "fanout", Durable: true, NoWait: true})
		}
		frames = wire.AppendMethod(frames, 1, &wire.QueueBind{Queue: "q", Exchange: "amq.fanout", NoWait: true})
		frames = append(frames, c.Message(1, "amq.fanout", "", nil, "m")...)
		c.Write(frames)
		stopped := make(chan error, 1)
		go func() { stopped <- b.Server.Shutdown(context.Background()) }()
		acked := false
		for {
			e, err := c.ReadEvent()
			if err != nil {
				break
			}
			switch e.Method.(type) {
			case *wire.BasicAck:
				acked = true
			case *wire.ConnectionClose:
				c.Send(0, &wire.ConnectionCloseOk{})
			}
		}
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		s, err := b.Broker.NewSession("/", &broker.User{Name: "guest"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.DeclareQueue(broker.QueueSpec{Name: "q", Passive: true})
		if err != nil {
			t.Fatal(err)
		}
		if acked && info.Messages == 0 {
			t.Fatal("the message was confirmed and is in no queue, though the queue was bound before")
		}
		s.Close()
	}
}

// A peer that is told to close and reads nothing is let go in time.
func TestAPeerThatReadsNothingIsClosedInTime(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10, CloseTimeout: 300 * time.Millisecond}})
	p := b.Client(t)
	p.Open(1)
	p.Declare(1, wire.QueueDeclare{Queue: "q"})
	p.Publish(1, "", "q", nil, strings.Repeat("x", 24<<20))
	p.Declare(1, wire.QueueDeclare{Queue: "q"})
	c := b.Client(t)
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c.Open(1)
	ask := wire.AppendMethod(nil, 1, &wire.BasicGet{Queue: "q", NoAck: true})
	c.Write(append(ask, 99, 0, 0, 0, 0, 0, 0, 0)) // then a frame of no known type
	limit := time.After(5 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for b.Server.Connections() > 1 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the connection is still there")
		}
	}
}
