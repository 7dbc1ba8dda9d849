package peer

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"time"
)

// NATS starts the nats-server at that path, with JetStream on the disk.
func NATS(ctx context.Context, binary string, o Options) (*Broker, error) {
	if o.Accepts == nil {
		o.Accepts = greets
	}
	b, err := newBroker("nats", o)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	args := append([]string{"--addr", "127.0.0.1", "--port", ports[0], "--jetstream", "--store_dir", b.data(o)}, o.Args...)
	b.URL = "nats://127.0.0.1:" + ports[0]
	b.command = func() *exec.Cmd { return exec.Command(binary, args...) }
	return b.begin(ctx)
}

// greets is whether a NATS server is there: it speaks first.
func greets(ctx context.Context, url string) error {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}
