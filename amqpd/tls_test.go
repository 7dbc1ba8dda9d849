package amqpd_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/certs"
	"github.com/leveret-mq/leveret/internal/certs/certtest"
	"github.com/leveret-mq/leveret/internal/tlsio"
)

// encrypted is a broker with a listener for TLS.
type encrypted struct {
	*brokertest.Broker
	t    *testing.T
	ca   *certtest.Authority
	addr string
}

func startTLS(t *testing.T, verify certs.Verify, o amqpd.Options) *encrypted {
	t.Helper()
	dir := t.TempDir()
	e := &encrypted{t: t, ca: certtest.NewAuthority(t, "authority")}
	cert, key := e.ca.Server().Write(t, dir, "server")
	source, err := certs.Load(certs.Options{
		CertFile: cert, KeyFile: key, CAFile: certtest.WriteFile(t, dir, "ca.pem", e.ca.PEM), Verify: verify,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.CertificateUser = certs.LoginCN.Name
	e.Broker = brokertest.Start(t, brokertest.Options{Server: o})
	l := listen(t)
	e.addr = l.Addr().String()
	served := make(chan error, 1)
	server := e.Server
	go func() { served <- server.Serve(tls.NewListener(tlsio.Listen(l), source.Config())) }()
	t.Cleanup(func() {
		e.Stop()
		<-served
	})
	return e
}

func (e *encrypted) config(shown ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: e.ca.Pool(), ServerName: "localhost", Certificates: shown}
}

// over does a client's handshake over a connection to the listener.
func (e *encrypted) over(nc net.Conn, shown ...tls.Certificate) *brokertest.Client {
	e.t.Helper()
	c := tls.Client(nc, e.config(shown...))
	if err := c.Handshake(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { nc.Close() })
	return brokertest.NewClient(e.t, c)
}

func (e *encrypted) dial() net.Conn {
	e.t.Helper()
	nc, err := net.Dial("tcp", e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { nc.Close() })
	return nc
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// records counts TLS records with data as they go by.
type records struct {
	net.Conn
	head  []byte
	skip  int
	count atomic.Int64
}

func (r *records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if r.skip > 0 {
			k := min(r.skip, len(b))
			b, r.skip = b[k:], r.skip-k
			continue
		}
		k := min(5-len(r.head), len(b))
		r.head, b = append(r.head, b[:k]...), b[k:]
		if len(r.head) == 5 {
			r.skip = int(binary.BigEndian.Uint16(r.head[3:]))
			r.head = r.head[:0]
			r.count.Add(1)
		}
	}
	return n, err
}

func TestMessagesPassEncryptedInFewRecords(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{})
	counted := &records{Conn: e.dial()}
	c := e.over(counted)
	c.Login()
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	c.Confirm(1)
	large := strings.Repeat("x", 20<<20) // by way of a file
	for _, body := range []string{"", "small", strings.Repeat("y", 900_000), large} {
		c.Publish(1, "", q, brokertest.Persistent, body)
		brokertest.Expect[*wire.BasicAck](c, 1)
	}
	before := counted.count.Load()
	c.Consume(1, wire.BasicConsume{Queue: q})
	for _, body := range []string{"", "small", strings.Repeat("y", 900_000), large} {
		if e := brokertest.ExpectEvent[*wire.BasicDeliver](c, 1); string(e.Body) != body {
			t.Errorf("%d bytes came back, want %d", len(e.Body), len(body))
		}
	}
	const least = (20<<20 + 900_000) / (16 << 10)
	if n := counted.count.Load() - before; n > least*3/2 {
		t.Errorf("%d records where %d would do", n, least)
	} else {
		t.Logf("%d records where %d would do", n, least)
	}
	c.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](c, 0)
	c.ExpectEnd()
}

// Thousands of deliveries share records, as they share writes without TLS.
func TestSmallMessagesShareRecords(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{})
	counted := &records{Conn: e.dial()}
	c := e.over(counted)
	c.Login()
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
	const n = 10_000
	var all []byte
	for range n {
		all = append(all, c.Message(1, "", q, nil, "a hundred bytes or so")...)
	}
	c.Write(all)
	c.Declare(1, wire.QueueDeclare{Queue: q, Passive: true})
	before := counted.count.Load()
	c.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	for range n {
		brokertest.Expect[*wire.BasicDeliver](c, 1)
	}
	if got := counted.count.Load() - before; got > n/20 {
		t.Errorf("%d deliveries came in %d records", n, got)
	}
}

func TestACertificateMayLogIn(t *testing.T) {
	e := startTLS(t, certs.VerifyOptional, amqpd.Options{CloseTimeout: 50 * time.Millisecond})
	login := func(c *brokertest.Client, mechanism string) {
		c.Send(0, &wire.ConnectionStartOk{Mechanism: mechanism, Response: "", Locale: "en_US", ClientProperties: amqp.NewTable(
			amqp.Field{Name: "capabilities", Value: amqp.Nested(amqp.NewTable(amqp.Field{Name: "authentication_failure_close", Value: amqp.Bool(true)}))})})
	}
	c := e.over(e.dial(), e.ca.Client("guest").TLS(t))
	if start := c.Start(); start.Mechanisms != "PLAIN AMQPLAIN EXTERNAL" {
		t.Errorf("offered %q to who has a certificate", start.Mechanisms)
	}
	login(c, "EXTERNAL")
	brokertest.Expect[*wire.ConnectionTune](c, 0)
	c.Send(0, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "/"})
	brokertest.Expect[*wire.ConnectionOpenOk](c, 0)

	// A certificate that was verified is not enough.
	const refused = "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. For details see the broker logfile."
	for _, shown := range []certtest.Pair{e.ca.Client("nobody"), e.ca.Sign(&x509.Certificate{Subject: pkix.Name{Organization: []string{"guest"}}})} {
		c = e.over(e.dial(), shown.TLS(t))
		c.Start()
		login(c, "EXTERNAL")
		if text := c.ExpectClose(403); text != refused {
			t.Error(text)
		}
	}
	// Nor is EXTERNAL there without one, with TLS or without.
	for _, nc := range []*brokertest.Client{e.over(e.dial()), brokertest.NewClient(t, e.Dial(t))} {
		if start := nc.Start(); start.Mechanisms != "PLAIN AMQPLAIN" {
			t.Errorf("offered %q to who has no certificate", start.Mechanisms)
		}
		login(nc, "EXTERNAL")
		nc.ExpectClose(530)
	}
	// Who has one may use a password all the same.
	e.over(e.dial(), e.ca.Client("nobody").TLS(t)).Login()
}

func TestARequiredCertificateIsRequired(t *testing.T) {
	e := startTLS(t, certs.VerifyRequired, amqpd.Options{})
	e.over(e.dial(), e.ca.Client("nobody").TLS(t)).Login()
	stranger := certtest.NewAuthority(t, "stranger").Client("guest").TLS(t)
	for _, config := range []*tls.Config{e.config(), {
		RootCAs: e.ca.Pool(), ServerName: "localhost",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil },
	}} {
		c := tls.Client(e.dial(), config)
		c.Write([]byte(wire.ProtocolHeader)) // with TLS 1.3 a client learns late that it is refused
		if n, err := c.Read(make([]byte, 100)); err == nil {
			t.Errorf("%d bytes came to a client without a certificate", n)
		}
	}
	eventually(t, func() bool { return e.Server.Connections() == 1 })
}

// Who says nothing, or stops in the midst of the handshake or right after it, is
// let go in time, and nobody waits for that, though TLS would like to say good-bye.
func TestATLSHandshakeEndsInTime(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{HandshakeTimeout: 400 * time.Millisecond})
	pipe := func() net.Conn { // whose writes wait for a reader
		ours, theirs := net.Pipe()
		cert := e.ca.Server().TLS(t)
		e.Server.ServeConn(tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}}))
		return ours
	}
	silent, halfway, plain := e.dial(), e.dial(), e.dial()
	if _, err := halfway.Write([]byte{22, 3, 1, 2, 0, 1, 0}); err != nil { // a client hello begins
		t.Fatal(err)
	}
	if _, err := plain.Write([]byte(wire.ProtocolHeader)); err != nil {
		t.Fatal(err)
	}
	after := pipe()
	c := tls.Client(after, e.config())
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	eventually(t, func() bool { return e.Server.Connections() == 0 })
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("they were let go after %v", took)
	}
	for _, nc := range []net.Conn{silent, halfway, plain, after} {
		nc.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a socket is still open")
		}
		nc.Close()
	}
}

// A client that logged in over TLS and reads nothing more costs what it costs
// without: the server does not wait for it, not even to say good-bye.
func TestATLSClientThatReadsNothingHoldsNobodyUp(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{OutBuffer: 64 << 10, CloseTimeout: 300 * time.Millisecond})
	stop := bystander(t, e.Broker)
	nc := e.dial()
	if err := nc.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c := e.over(nc)
	c.Login()
	c.Open(1)
	q := c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
	c.Consume(1, wire.BasicConsume{Queue: q, NoAck: true})
	p := e.Client(t)
	p.Open(1)
	body := strings.Repeat("x", 100_000)
	for range 200 {
		p.Publish(1, "", q, nil, body)
	}
	p.Declare(1, wire.QueueDeclare{Queue: q, Passive: true})
	if stop() == 0 {
		t.Error("the bystander got nowhere")
	}
	p.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](p, 0)
	started := time.Now()
	e.Stop()
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// A stop does not wait for those whose handshake has not ended.
func TestAStopEndsHandshakes(t *testing.T) {
	e := startTLS(t, certs.VerifyNone, amqpd.Options{HandshakeTimeout: time.Minute})
	e.dial()
	halfway := e.dial()
	if _, err := halfway.Write([]byte{22, 3, 1, 2, 0, 1, 0}); err != nil {
		t.Fatal(err)
	}
	c := e.over(e.dial())
	c.Start()
	eventually(t, func() bool { return e.Server.Connections() == 3 })
	started := time.Now()
	e.Stop()
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
