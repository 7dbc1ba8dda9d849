package e2e

import (
	"crypto/tls"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/certs/certtest"
	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// awaitLog waits for a line of the broker's log, the nth with these words.
func (p *process) awaitLog(t testing.TB, words string, nth int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		n := strings.Count(strings.Join(p.Lines(), "\n"), words)
		if n >= nth {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in the log %d times\n%s", words, nth, p.Log())
		}
	}
}

// Real clients over TLS, with certificates of their own, while the server's are
// renewed, well and badly.
func TestTLSWithRealClientsWhileCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewAuthority(t, "e2e authority")
	first := ca.Server()
	cert, key := first.Write(t, dir, "server")
	caFile := certtest.WriteFile(t, dir, "ca.pem", ca.PEM)
	guest := ca.Client("guest")
	guestCert, guestKey := guest.Write(t, dir, "guest")
	addr, err := child.FreeAddr()
	must(t, err)
	p := startBroker(t, filepath.Join(dir, "data"), "--amqps-addr", addr, "--tls-cert", cert, "--tls-key", key,
		"--tls-ca", caFile, "--tls-verify", "required", "--tls-login-from", "common_name")

	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{guest.TLS(t)}}
	conn, err := amqp.DialTLS_ExternalAuth("amqps://"+addr+"/", config)
	must(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(t, err)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	pass := func(body string) {
		t.Helper()
		must(t, ch.Publish("", q.Name, true, false, amqp.Publishing{Body: []byte(body)}))
		d, ok, err := ch.Get(q.Name, true)
		must(t, err)
		if !ok || string(d.Body) != body {
			t.Errorf("%t, %d bytes came back of %d", ok, len(d.Body), len(body))
		}
	}
	pass(strings.Repeat("x", 3<<20))

	host, port, err := net.SplitHostPort(addr)
	must(t, err)
	if out, err := exec.Command(debianPython, "-c", "import pika").CombinedOutput(); err != nil {
		t.Fatalf("pika is missing, run ./install-clients: %v\n%s", err, out)
	}
	python := spawn(t, "", debianPython, filepath.Join("testdata", "amqps.py"), host, port, caFile, guestCert, guestKey, "2000000", filepath.Join(dir, "renewed"))
	python.expect(t, "received 2000000")

	shown := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", addr, config)
		must(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	reload := func() { must(t, p.cmd.Process.Signal(syscall.SIGHUP)) }
	second := ca.Server()
	certtest.WriteFile(t, dir, "server.pem", second.Cert) // and the first one's key
	reload()
	p.awaitLog(t, "certificates cannot be used: the former ones stay", 1)
	if shown() != first.X509.SerialNumber.String() {
		t.Error("a certificate without its key replaced a good one")
	}
	second.Write(t, dir, "server")
	reload()
	p.awaitLog(t, "certificate reloaded", 1)
	if shown() != second.X509.SerialNumber.String() {
		t.Error("the new certificate is not shown")
	}
	pass("after the renewal")
	certtest.WriteFile(t, dir, "renewed", nil)
	python.expect(t, "received again")
	python.finish(t)

	// The listener without TLS is not this one, nor the reverse.
	if _, err := amqp.DialTLS_ExternalAuth("amqps://"+addr+"/", &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}); err == nil {
		t.Error("no certificate was needed")
	}
	if _, err := amqp.Dial("amqp://guest:guest@" + addr + "/"); err == nil {
		t.Error("it went without TLS")
	}
}

func TestTLSOptionsThatCannotWorkAreRefused(t *testing.T) {
	dir := t.TempDir()
	cert, key := certtest.NewAuthority(t, "authority").Server().Write(t, dir, "server")
	_, other := certtest.NewAuthority(t, "authority").Server().Write(t, dir, "other")
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--tls-cert", cert}, 2, "TLS needs both --tls-cert and --tls-key"},
		{[]string{"--amqps-addr", "127.0.0.1:0"}, 2, "TLS needs both --tls-cert and --tls-key"},
		{[]string{"--tls-verify", "required"}, 2, "--tls-verify means nothing without --tls-cert and --tls-key"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-verify", "required"}, 2, "no file with the authorities"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-min-version", "1.1"}, 2, `--tls-min-version "1.1" is neither 1.2 nor 1.3`},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--tls-login-from", "nick"}, 2, `--tls-login-from "nick" is none of`},
		{[]string{"--tls-cert", cert, "--tls-key", other}, 1, "private key does not match public key"},
		{[]string{"--tls-cert", filepath.Join(dir, "none.pem"), "--tls-key", key}, 1, "no such file"},
	} {
		args := append(serveArgs(filepath.Join(dir, "data"), "127.0.0.1:0"), c.args...)
		_, stderr, status := run(t, nil, args...)
		if status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d\n%s\nwant %d %s", c.args, status, stderr, c.status, c.want)
		}
	}
}
