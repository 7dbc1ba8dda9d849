package peer

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build builds leveret into a folder and returns its path.
func Build(module, folder string) (string, error) {
	path := filepath.Join(folder, "leveret")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/leveret")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/leveret: %w\n%s", err, out)
	}
	return path, nil
}

// Leveret starts the binary at that path.
func Leveret(ctx context.Context, binary string, o Options) (*Broker, error) {
	b, err := newBroker("leveret", o)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	amqp, http, amqps := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2]
	args := []string{"serve", "--data-dir", b.data(o), "--amqp-addr", amqp, "--metrics-addr", ""}
	b.URL = "amqp://guest:guest@" + amqp + "/"
	if o.Bare {
		args = append(args, "--http-addr", "", "--log-level", "warn")
	} else {
		certs, err := makeCertificates(b.folder)
		if err != nil {
			return nil, err
		}
		b.HTTP, b.TLSAddr, b.TLSClient = "http://guest:guest@"+http, amqps, certs.client
		args = append(args, "--http-addr", http, "--amqps-addr", amqps, "--tls-cert", certs.cert, "--tls-key", certs.key, "--tls-ca", certs.ca,
			"--tls-verify", "optional", "--tls-login-from", "common_name")
	}
	args = append(args, o.Args...)
	b.command = func() *exec.Cmd { return exec.Command(binary, args...) }
	return b.begin(ctx)
}

// Null starts the null broker of the leveret at that path, which syncs a file in the
// broker's folder before each group of confirms if sync is set.
func Null(ctx context.Context, binary string, sync bool, o Options) (*Broker, error) {
	b, err := newBroker("null", o)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	args := []string{"bench", "null", "--listen", "127.0.0.1:" + ports[0]}
	if sync {
		args = append(args, "--sync", b.folder)
	}
	args = append(args, o.Args...)
	b.URL = "amqp://guest:guest@127.0.0.1:" + ports[0] + "/"
	b.command = func() *exec.Cmd { return exec.Command(binary, args...) }
	return b.begin(ctx)
}
