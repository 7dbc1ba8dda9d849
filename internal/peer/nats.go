package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// NATS starts the nats-server at that path, with JetStream on the disk. More lines of
// its configuration are of JetStream's.
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
	config := append([]string{
		"listen: 127.0.0.1:" + ports[0],
		fmt.Sprintf("jetstream { store_dir: %q", b.data(o)),
	}, o.Config...)
	if err := os.WriteFile(b.in("nats.conf"), []byte(strings.Join(append(config, "}"), "\n")+"\n"), 0o644); err != nil {
		b.Close()
		return nil, err
	}
	args := append([]string{"--config", b.in("nats.conf")}, o.Args...)
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
