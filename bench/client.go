package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// channel is the one channel of each connection.
const channel = 1

// client is a connection with one open channel. It is used by one goroutine
// until a workload begins, which then parts reading from writing.
type client struct {
	nc       net.Conn
	in       frameReader
	frameMax uint32
	out      []byte
}

// address parts an AMQP URI: amqp://user:password@host:port/vhost, of which all
// but the host may be missing. As in most clients, no vhost is the vhost /.
func address(uri string) (addr, user, password, vhost string, err error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", "", "", "", fmt.Errorf("uri: %w", err)
	}
	if u.Scheme != "amqp" || u.Hostname() == "" {
		return "", "", "", "", fmt.Errorf("uri %q: want amqp://user:password@host:port/vhost", u.Redacted())
	}
	user, password = "guest", "guest"
	if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	port := u.Port()
	if port == "" {
		port = "5672"
	}
	vhost = strings.TrimPrefix(u.Path, "/")
	if vhost == "" {
		vhost = "/"
	}
	return net.JoinHostPort(u.Hostname(), port), user, password, vhost, nil
}

// dialTimeout bounds connecting and the handshake.
const dialTimeout = 10 * time.Second

// dial connects, logs in and opens the channel.
func dial(ctx context.Context, uri string) (*client, error) {
	addr, user, password, vhost, err := address(uri)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, in: newFrameReader(nc)}
	deadline, _ := ctx.Deadline()
	nc.SetDeadline(deadline)
	if err := c.open(user, password, vhost); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%s: handshake: %w", addr, err)
	}
	nc.SetDeadline(time.Time{})
	return c, nil
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
			amqp.Field{Name: "product", Value: amqp.LongString("amqpbench")},
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
	_, err = call[*wire.ChannelOpenOk](c, &wire.ChannelOpen{})
	return err
}

func (c *client) send(ch uint16, m wire.Method) error {
	c.out = wire.AppendMethod(c.out[:0], ch, m)
	_, err := c.nc.Write(c.out)
	return err
}

// call sends a method on the channel and waits for its answer.
func call[R wire.Method](c *client, m wire.Method) (R, error) {
	if err := c.send(channel, m); err != nil {
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
		return &amqp.Error{Code: m.ReplyCode, Text: m.ReplyText}
	case *wire.ChannelClose:
		return &amqp.Error{Code: m.ReplyCode, Text: m.ReplyText}
	}
	return fmt.Errorf("unexpected %s", m.ID())
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

// frames is what a loop that reads does.
type frames interface {
	// frame handles a frame, whose payload is valid until drained.
	frame(f wire.Frame) error
	// drained is called once a read, when its whole frames are handled.
	drained() error
}

// read hands frames to h until an error. The answer to hangUp ends it with nil.
func (c *client) read(h frames) error {
	for need := 1; ; {
		if err := c.in.fill(need); err != nil {
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
			if err := h.frame(f); err != nil {
				if errors.Is(err, errClosed) {
					return nil
				}
				return err
			}
		}
		if err := h.drained(); err != nil {
			return err
		}
	}
}
