package amqpd_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A connection is any net.Conn; only the raw reads and writes are a TCP socket's.
func TestAConnectionMayBeEncrypted(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	certs := httptest.NewTLSServer(nil)
	defer certs.Close()
	listener := tls.NewListener(listen(t), certs.TLS)
	served := make(chan error, 1)
	go func() { served <- b.Server.Serve(listener) }()
	nc, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, nc)
	c.Login()
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	c.Confirm(1)
	body := strings.Repeat("x", 1_000_000)
	c.Publish(1, "", q, brokertest.Persistent, body)
	brokertest.Expect[*wire.BasicAck](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: q})
	if e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1); string(e.Body) != body {
		t.Errorf("%d bytes came back", len(e.Body))
	}
	c.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](c, 0)
	c.ExpectEnd()
	c.Close()
	b.Stop()
	<-served
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
