package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/tlsio"
)

// channel is the first channel of each connection, which dial opens.
const channel = 1

// client is a connection. It is used by one goroutine until a workload begins, which
// then parts reading from writing: whoever writes writes whole frames at once.
type client struct {
	nc         net.Conn
	in         frameReader
	frameMax   uint32
	channelMax uint16
	out        []byte

	// handlers are by channel what reads a workload's frames; touched are those
	// that had some in this read.
	handlers []handler
	touched  []*handler
}

type handler struct {
	frames
	touched bool
}

// addr is a broker's address, as its URI gives it.
type addr struct {
	hostport, user, password, vhost, server string
	tls                                     bool
}

// parseAddress parts an AMQP URI: amqp://user:password@host:port/vhost, of which all
// but the host may be missing. As in most clients, no vhost is the vhost /.
func parseAddress(uri string) (a addr, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		// The error repeats the URI, which may hold a password.
		return a, errors.New("uri: want amqp://user:password@host:port/vhost, with % escapes in it")
	}
	if u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "" {
		return a, fmt.Errorf("uri %q: want amqp://user:password@host:port/vhost", u.Redacted())
	}
	a = addr{user: "guest", password: "guest", tls: u.Scheme == "amqps", server: u.Hostname()}
	if u.User != nil {
		a.user = u.User.Username()
		a.password, _ = u.User.Password()
	}
	port := u.Port()
	if port == "" {
		port = "5672"
		if a.tls {
			port = "5671"
		}
	}
	a.hostport = net.JoinHostPort(u.Hostname(), port)
	if a.vhost = strings.TrimPrefix(u.Path, "/"); a.vhost == "" {
		a.vhost = "/"
	}
	return a, nil
}

// dialer makes connections to the brokers of a Config, in turn.
type dialer struct {
	addrs []addr
	tls   *tls.Config
	buf   int // bytes that a connection begins to read with
	next  atomic.Uint64
}

func newDialer(c *Config) (*dialer, error) {
	d := &dialer{buf: readBuffer}
	for _, uri := range c.uris() {
		a, err := parseAddress(uri)
		if err != nil {
			return nil, err
		}
		d.addrs = append(d.addrs, a)
	}
	d.tls = &tls.Config{InsecureSkipVerify: c.Insecure}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, err
		}
		d.tls.RootCAs = x509.NewCertPool()
		if !d.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", c.TLSCA)
		}
	}
	return d, nil
}

// dialTimeout bounds connecting and the handshake.
const dialTimeout = 10 * time.Second

// Unreachable is a broker that could not be connected to.
type Unreachable struct{ Err error }

func (e *Unreachable) Error() string { return e.Err.Error() }
func (e *Unreachable) Unwrap() error { return e.Err }

// dial connects to one broker.
func dial(ctx context.Context, uri string) (*client, error) {
	d, err := newDialer(&Config{URI: uri})
	if err != nil {
		return nil, err
	}
	return d.dial(ctx)
}

// dial connects, logs in and opens the first channel.
func (d *dialer) dial(ctx context.Context) (*client, error) {
	a := d.addrs[(d.next.Add(1)-1)%uint64(len(d.addrs))]
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var nd net.Dialer
	nc, err := nd.DialContext(ctx, "tcp", a.hostport)
	if err != nil {
		return nil, &Unreachable{err}
	}
	deadline, _ := ctx.Deadline()
	nc.SetDeadline(deadline)
	if a.tls {
		cfg := d.tls.Clone()
		cfg.ServerName = a.server
		under := tlsio.New(nc)
		t := tls.Client(under, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, fmt.Errorf("%s: TLS: %w", a.hostport, err)
		}
		nc = &secured{t, under}
	}
	c := &client{nc: nc, in: newFrameReader(nc, d.buf)}
	if err := c.open(a.user, a.password, a.vhost); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%s: handshake: %w", a.hostport, err)
	}
	nc.SetDeadline(time.Time{})
	return c, nil
}

// secured is a connection with TLS, which takes what there is of records in one read,
// and sends those of one write together.
type secured struct {
	*tls.Conn
	under *tlsio.Conn
}

func (s *secured) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if err == nil {
		n += s.under.More(s.Conn, p[n:])
	}
	return n, err
}

func (s *secured) Write(p []byte) (int, error) {
	s.under.Gather()
	n, err := s.Conn.Write(p)
	return n, errors.Join(err, s.under.Flush())
}

func (c *client) open(user, password, vhost string) error {
	if _, err := c.nc.Write([]byte(wire.ProtocolHeader)); err != nil {
		return err
	}
	if _, err := expect[*wire.ConnectionStart](c); err != nil {
		return err
	}
	err := c.send(0, &wire.ConnectionStartOk{
		ClientProperties: amqp.NewTable(
			amqp.Field{Name: "product", Value: amqp.LongString("leveret bench")},
			amqp.Field{Name: "capabilities", Value: amqp.Nested(amqp.NewTable(
				amqp.Field{Name: "publisher_confirms", Value: amqp.Bool(true)},
				amqp.Field{Name: "basic.nack", Value: amqp.Bool(true)},
				amqp.Field{Name: "authentication_failure_close", Value: amqp.Bool(true)},
			))},
		),
		Mechanism: "PLAIN",
		Response:  wire.EncodePlain(user, password),
		Locale:    "en_US",
	})
	if err != nil {
		return err
	}
	tune, err := expect[*wire.ConnectionTune](c)
	if err != nil {
		return err
	}
	c.frameMax = tune.FrameMax
	if c.frameMax == 0 || c.frameMax > 131072 {
		c.frameMax = 131072
	}
	// No heartbeats: a run is short, and the kernel tells of a dead peer here.
	if err := c.send(0, &wire.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: c.frameMax}); err != nil {
		return err
	}
	if err := c.send(0, &wire.ConnectionOpen{VirtualHost: vhost}); err != nil {
		return err
	}
	if _, err := expect[*wire.ConnectionOpenOk](c); err != nil {
		return err
	}
	c.channelMax = tune.ChannelMax
	return c.openChannel(channel)
}

func (c *client) openChannel(ch uint16) error {
	_, err := callOn[*wire.ChannelOpenOk](c, ch, &wire.ChannelOpen{})
	return err
}

// channels opens channels up to n, of which the first is open.
func (c *client) channels(n int) error {
	if most := int(c.channelMax); most > 0 && n > most {
		return fmt.Errorf("%d channels are more than the broker allows on a connection (%d)", n, most)
	}
	for ch := channel + 1; ch <= n; ch++ {
		if err := c.openChannel(uint16(ch)); err != nil {
			return err
		}
	}
	return nil
}

// handle makes h read the frames of a channel.
func (c *client) handle(ch uint16, h frames) {
	for len(c.handlers) <= int(ch) {
		c.handlers = append(c.handlers, handler{})
	}
	c.handlers[ch].frames = h
}

func (c *client) send(ch uint16, m wire.Method) error {
	c.out = wire.AppendMethod(c.out[:0], ch, m)
	_, err := c.nc.Write(c.out)
	return err
}

// call sends a method on the first channel and waits for its answer.
func call[R wire.Method](c *client, m wire.Method) (R, error) {
	return callOn[R](c, channel, m)
}

// callOn sends a method on a channel and waits for its answer.
func callOn[R wire.Method](c *client, ch uint16, m wire.Method) (R, error) {
	if err := c.send(ch, m); err != nil {
		var zero R
		return zero, err
	}
	r, err := expect[R](c)
	if err != nil {
		return r, fmt.Errorf("%s: %w", m.ID(), err)
	}
	return r, nil
}

// expect reads the next method, which must be an R.
func expect[R wire.Method](c *client) (r R, err error) {
	for {
		f, err := c.in.next(c.frameMax)
		if err != nil {
			return r, err
		}
		if f.Type != wire.FrameMethod {
			continue // heartbeats
		}
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return r, err
		}
		if r, ok := m.(R); ok {
			return r, nil
		}
		return r, unexpected(m)
	}
}

// unexpected turns a method that nobody asked for into an error: the peer's own
// reason where it closes.
func unexpected(m wire.Method) error {
	switch m := m.(type) {
	case *wire.ConnectionClose:
		return closed(m.ReplyCode, m.ReplyText)
	case *wire.ChannelClose:
		return closed(m.ReplyCode, m.ReplyText)
	}
	return fmt.Errorf("unexpected %s", m.ID())
}

// closed is the peer's reason, whose text begins with the name of its code where the
// broker is this one or RabbitMQ.
func closed(code uint16, text string) *amqp.Error {
	return &amqp.Error{Code: code, Text: strings.TrimPrefix(text, amqp.CodeName(code)+" - ")}
}

// errClosed ends a loop that reads when the peer has answered our close.
var errClosed = errors.New("connection closed")

// method handles a method frame outside a workload's own: nil where it means
// nothing to it.
func (c *client) method(f wire.Frame) error {
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m.(type) {
	case *wire.ConnectionCloseOk:
		return errClosed
	case *wire.ConnectionBlocked, *wire.ConnectionUnblocked, *wire.BasicCancelOk:
		return nil
	}
	return unexpected(m)
}

// hangUp sends a close, whose answer ends the loop that reads.
func (c *client) hangUp() error {
	return c.send(0, &wire.ConnectionClose{ReplyCode: amqp.CodeSuccess, ReplyText: "done"})
}

// closeTimeout bounds the wait for a close-ok.
const closeTimeout = 5 * time.Second

// close ends a connection that nobody reads from.
func (c *client) close() {
	c.nc.SetDeadline(time.Now().Add(closeTimeout))
	if c.hangUp() == nil {
		for {
			f, err := c.in.next(c.frameMax)
			if err != nil || f.Type == wire.FrameMethod && errors.Is(c.method(f), errClosed) {
				break
			}
		}
	}
	c.nc.Close()
}

// frames is what reads the frames of a channel.
type frames interface {
	// frame handles a frame, whose payload is valid until drained.
	frame(f wire.Frame) error
	// drained is called once a read, when its whole frames are handled.
	drained() error
}

// gone tells whether the peer has ended the connection, of which nobody reads.
func (c *client) gone() bool {
	c.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	var b [1]byte
	_, err := c.nc.Read(b[:]) // nothing comes of one that is well: there are no heartbeats
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// read hands frames to their channels' handlers until an error. The answer to hangUp
// ends it with nil.
func (c *client) read() error {
	for need := 1; ; {
		if err := c.in.fill(need); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("the broker is gone: %w", err)
			}
			return err
		}
		for {
			f, n, err := wire.ParseFrame(c.in.pending(), 0)
			if err != nil {
				return err
			}
			if n > len(c.in.pending()) {
				need = n
				break
			}
			c.in.use(n)
			if err := c.frame(f); err != nil {
				if errors.Is(err, errClosed) {
					return nil
				}
				return err
			}
		}
		if err := c.drained(); err != nil {
			return err
		}
	}
}

func (c *client) frame(f wire.Frame) error {
	if int(f.Channel) < len(c.handlers) {
		if h := &c.handlers[f.Channel]; h.frames != nil {
			if !h.touched {
				h.touched = true
				c.touched = append(c.touched, h)
			}
			return h.frame(f)
		}
	}
	if f.Type != wire.FrameMethod {
		return nil
	}
	return c.method(f)
}

// drained tells those who had frames in this read.
func (c *client) drained() error {
	for _, h := range c.touched {
		h.touched = false
		if err := h.drained(); err != nil {
			return err
		}
	}
	c.touched = c.touched[:0]
	return nil
}
