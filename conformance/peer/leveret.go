package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/leveret-mq/leveret/conformance"
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
func Leveret(binary string, o conformance.Options) (*Broker, error) {
	folder, err := os.MkdirTemp("", "conformance-leveret-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	certs, err := makeCertificates(folder)
	if err != nil {
		return nil, err
	}
	amqp, http, amqps := "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2]
	args := append([]string{"serve", "--data-dir", filepath.Join(folder, "data"), "--amqp-addr", amqp, "--http-addr", http, "--metrics-addr", "",
		"--amqps-addr", amqps, "--tls-cert", certs.cert, "--tls-key", certs.key, "--tls-ca", certs.ca,
		"--tls-verify", "optional", "--tls-login-from", "common_name"}, o.Leveret...)
	b := &Broker{
		addr: amqp, folder: folder, log: filepath.Join(folder, "log"),
		command: func() *exec.Cmd { return exec.Command(binary, args...) },
		Peer: &conformance.Peer{
			URL: "amqp://guest:guest@" + amqp + "/", HTTP: "http://guest:guest@" + http,
			TLSAddr: amqps, TLSClient: certs.client,
		},
	}
	b.Peer.Restart = b.Restart
	if err := b.start(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}
