package brokertest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/broker"
)

// Options of a broker under test.
type Options struct {
	Broker broker.Options
	Server amqpd.Options
	// Dir is the data directory. Default t.TempDir().
	Dir string
	// NoListener makes a broker that is reached by Pipe only, as inside a
	// synctest bubble.
	NoListener bool
	// Log shows the broker's log lines on standard error; BROKERTEST_LOG=1 does
	// so for every test.
	Log bool
}

// Broker is a broker in the test's process. It stops with the test.
type Broker struct {
	*broker.Broker
	Server *amqpd.Server

	t        testing.TB
	opts     Options
	listener net.Listener
	served   chan error
}

// Start runs a broker.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.Log || os.Getenv("BROKERTEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.Broker.Logger == nil {
		o.Broker.Logger = log
	}
	if o.Server.Logger == nil {
		o.Server.Logger = log
	}
	b := &Broker{t: t, opts: o}
	b.start()
	t.Cleanup(b.Stop)
	return b
}

func (b *Broker) start() {
	b.t.Helper()
	var err error
	if b.Broker, err = broker.Open(b.opts.Dir, b.opts.Broker); err != nil {
		b.t.Fatalf("open broker: %v", err)
	}
	if b.Server, err = amqpd.NewServer(b.Broker, b.opts.Server); err != nil {
		b.t.Fatalf("new server: %v", err)
	}
	if b.opts.NoListener {
		return
	}
	addr := "127.0.0.1:0"
	if b.listener != nil {
		addr = b.listener.Addr().String()
	}
	if b.listener, err = net.Listen("tcp", addr); err != nil {
		b.t.Fatalf("listen: %v", err)
	}
	b.served = make(chan error, 1)
	go func(l net.Listener) { b.served <- b.Server.Serve(l) }(b.listener)
}

// Stop ends the broker gracefully; further calls do nothing.
func (b *Broker) Stop() {
	if err := b.stop(); err != nil {
		b.t.Errorf("close broker: %v", err)
	}
}

// StopFailed is Stop of a broker whose disk has failed, so that closing it must.
func (b *Broker) StopFailed() {
	if b.stop() == nil {
		b.t.Error("a broker whose disk has failed was closed without an error")
	}
}

func (b *Broker) stop() error {
	if b.Server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Server.Shutdown(ctx); err != nil {
		b.t.Errorf("shutdown: %v", err)
	}
	if b.listener != nil {
		if err := <-b.served; !errors.Is(err, amqpd.ErrServerClosed) {
			b.t.Errorf("serve: %v", err)
		}
	}
	b.Server = nil
	return b.Broker.Close()
}

// Restart stops the broker gracefully and starts it again on the same data and
// address.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.start()
}

// Dir is the data directory.
func (b *Broker) Dir() string { return b.opts.Dir }

// Addr is HOST:PORT.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// URL is for client libraries.
func (b *Broker) URL() string { return "amqp://guest:guest@" + b.Addr() + "/" }

// Dial connects a socket, closed with the test.
func (b *Broker) Dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// Pipe connects without a socket, closed with the test.
func (b *Broker) Pipe(t testing.TB) net.Conn {
	ours, theirs := net.Pipe()
	b.Server.ServeConn(theirs)
	t.Cleanup(func() { ours.Close() })
	return ours
}

// Client connects, logs in as guest and opens the vhost /.
func (b *Broker) Client(t testing.TB) *Client {
	t.Helper()
	c := NewClient(t, b.Dial(t))
	c.Login()
	return c
}
