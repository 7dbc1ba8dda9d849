package brokertest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keep publishes a persistent message and reads its confirm.
func keep(c *brokertest.Client, body string) {
	c.Open(1)
	c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
	c.Confirm(1)
	c.Publish(1, "", "q", brokertest.Persistent, body)
	brokertest.Expect[*wire.BasicAck](c, 1)
}

// kept gets it back.
func kept(t *testing.T, c *brokertest.Client, body string) {
	t.Helper()
	c.Open(1)
	c.Send(1, &wire.BasicGet{Queue: "q"})
	if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != body {
		t.Errorf("got %v", e)
	}
}

func TestABrokerInProcessRestarts(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addr := b.Addr()
	c := b.Client(t)
	keep(c, "kept")
	c.Close()
	b.Restart()
	if b.Addr() != addr {
		t.Errorf("moved from %s to %s", addr, b.Addr())
	}
	kept(t, b.Client(t), "kept")
}
