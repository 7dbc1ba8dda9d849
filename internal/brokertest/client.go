package brokertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Client is an AMQP client that hides nothing: what is sent is sent as it is,
// and every frame that comes is seen.
type Client struct {
	net.Conn
	// Patience is how long Read waits.
	Patience time.Duration
	// Tune is the answer to connection.tune.
	Tune wire.ConnectionTuneOk
	// Capabilities are announced at login.
	Capabilities []string
	// User, Password and VHost are sent at login.
	User, Password, VHost string

	t    testing.TB
	buf  []byte
	r, w int

	partial map[uint16]*partial // by channel
}

// NewClient makes a client of a connection on which nothing has been said.
func NewClient(t testing.TB, nc net.Conn) *Client {
	return &Client{
		Conn: nc, t: t, Patience: 10 * time.Second,
		Tune:         wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072},
		Capabilities: []string{"authentication_failure_close", "consumer_cancel_notify", "connection.blocked", "basic.nack", "publisher_confirms"},
		User:         "guest", Password: "guest", VHost: "/",
		buf:     make([]byte, 256<<10),
		partial: map[uint16]*partial{},
	}
}

// Event is what the server said: a method with its content, or a heartbeat
// where Method is nil.
type Event struct {
	Channel uint16
	Method  wire.Method
	Props   amqp.Properties
	Body    []byte
}

func (e Event) String() string {
	if e.Method == nil {
		return "heartbeat"
	}
	return fmt.Sprintf("channel %d: %v %+v, body of %d", e.Channel, e.Method.ID(), e.Method, len(e.Body))
}

// Frame reads the next frame; its payload is valid until the next call.
func (c *Client) Frame() (wire.Frame, error) {
	for {
		f, n, err := wire.ParseFrame(c.buf[c.r:c.w], 0)
		if err != nil {
			return f, err
		}
		if n <= c.w-c.r {
			c.r += n
			return f, nil
		}
		if n > len(c.buf) {
			c.buf = append(c.buf, make([]byte, n)...)
		}
		copy(c.buf, c.buf[c.r:c.w])
		c.w -= c.r
		c.r = 0
		c.SetReadDeadline(time.Now().Add(c.Patience))
		got, err := c.Conn.Read(c.buf[c.w:])
		c.w += got
		if err != nil && got == 0 {
			return f, err
		}
	}
}

// ReadEvent reads the next event: of contents that come on several channels at
// once, the one that is whole first.
func (c *Client) ReadEvent() (Event, error) {
	for {
		f, err := c.Frame()
		if err != nil || f.Type == wire.FrameHeartbeat {
			return Event{}, err
		}
		p := c.partial[f.Channel]
		if p == nil {
			m, err := wire.DecodeMethod(f.Payload)
			if err != nil {
				return Event{}, err
			}
			e := Event{Channel: f.Channel, Method: own(m)}
			if !wire.Lookup(m.ID()).Content {
				return e, nil
			}
			c.partial[f.Channel] = &partial{Event: e}
			continue
		}
		whole, err := p.add(f)
		if err != nil {
			return p.Event, err
		}
		if whole {
			delete(c.partial, f.Channel)
			return p.Event, nil
		}
	}
}

// partial is an event whose content is still coming.
type partial struct {
	Event
	header  bool // it has come
	missing uint64
}

// add takes a frame in and tells whether the content is whole.
func (p *partial) add(f wire.Frame) (whole bool, err error) {
	if !p.header {
		h, err := wire.DecodeHeader(f.Payload)
		if err != nil || f.Type != wire.FrameHeader {
			return false, fmt.Errorf("content header owed, got %v, %v", f, err)
		}
		p.Props = append(amqp.Properties(nil), h.Properties...)
		p.header, p.missing = true, h.BodySize
		return p.missing == 0, nil
	}
	if n := uint64(len(f.Payload)); f.Type != wire.FrameBody || n == 0 || n > p.missing {
		return false, fmt.Errorf("%d bytes of content body owed, got %v", p.missing, f)
	}
	p.Body = append(p.Body, f.Payload...)
	p.missing -= uint64(len(f.Payload))
	return p.missing == 0, nil
}

// own copies the slices of hot methods, which alias the buffer.
func own(m wire.Method) wire.Method {
	clone := func(b []byte) []byte { return append([]byte{}, b...) }
	switch m := m.(type) {
	case *wire.BasicDeliver:
		m.ConsumerTag, m.Exchange, m.RoutingKey = clone(m.ConsumerTag), clone(m.Exchange), clone(m.RoutingKey)
	case *wire.BasicReturn:
		m.Exchange, m.RoutingKey = clone(m.Exchange), clone(m.RoutingKey)
	case *wire.BasicGetOk:
		m.Exchange, m.RoutingKey = clone(m.Exchange), clone(m.RoutingKey)
	}
	return m
}

// Next reads the next method with its content, past heartbeats.
func (c *Client) Next() Event {
	c.t.Helper()
	for {
		e, err := c.ReadEvent()
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if e.Method != nil {
			return e
		}
	}
}

// Expect reads the next method, which must be an M on the channel.
func Expect[M wire.Method](c *Client, channel uint16) M {
	c.t.Helper()
	return ExpectEvent[M](c, channel).Method.(M)
}

// ExpectEvent is Expect with the content.
func ExpectEvent[M wire.Method](c *Client, channel uint16) Event {
	c.t.Helper()
	e := c.Next()
	if _, ok := e.Method.(M); !ok || e.Channel != channel {
		var want M
		c.t.Fatalf("got %v; want %T on channel %d", e, want, channel)
	}
	return e
}

// ExpectChannelClose reads a channel.close with the code, answers it, and returns its text.
func (c *Client) ExpectChannelClose(channel, code uint16) string {
	c.t.Helper()
	m := Expect[*wire.ChannelClose](c, channel)
	if m.ReplyCode != code {
		c.t.Fatalf("channel closed with %d %q, want %d", m.ReplyCode, m.ReplyText, code)
	}
	c.Send(channel, &wire.ChannelCloseOk{})
	return m.ReplyText
}

// ExpectClose reads up to a connection.close with the code, answers it, sees the
// socket's end, and returns the text.
func (c *Client) ExpectClose(code uint16) string {
	c.t.Helper()
	for {
		e := c.Next()
		m, ok := e.Method.(*wire.ConnectionClose)
		if !ok {
			continue
		}
		if m.ReplyCode != code {
			c.t.Fatalf("connection closed with %d %q, want %d", m.ReplyCode, m.ReplyText, code)
		}
		c.Send(0, &wire.ConnectionCloseOk{})
		c.ExpectEnd()
		return m.ReplyText
	}
}

// ExpectEnd reads up to the socket's end.
func (c *Client) ExpectEnd() {
	c.t.Helper()
	for {
		c.SetReadDeadline(time.Now().Add(c.Patience))
		_, err := c.Conn.Read(c.buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatalf("the socket is still open after %v", c.Patience)
		}
		if err != nil {
			return
		}
	}
}

// ExpectNothing reports whether nothing but heartbeats comes for a while.
func (c *Client) ExpectNothing(d time.Duration) {
	c.t.Helper()
	patience := c.Patience
	c.Patience = d
	defer func() { c.Patience = patience }()
	for {
		e, err := c.ReadEvent()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			c.t.Fatalf("read: %v", err)
		}
		if e.Method != nil {
			c.t.Fatalf("got %v; want nothing", e)
		}
	}
}

// Write sends bytes as they are; a peer that has hung up is no error: the test
// reads its last words.
func (c *Client) Write(b []byte) (int, error) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(c.Patience))
	n, err := c.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("the server has not read for %v", c.Patience)
	}
	return n, err
}

// Send sends methods in one write.
func (c *Client) Send(channel uint16, methods ...wire.Method) {
	c.t.Helper()
	var b []byte
	for _, m := range methods {
		b = wire.AppendMethod(b, channel, m)
	}
	c.Write(b)
}

// Message is a whole publish with frames as long as was negotiated.
func (c *Client) Message(channel uint16, exchange, key string, props amqp.Properties, body string) []byte {
	return wire.AppendPublish(nil, channel, c.Tune.FrameMax,
		&wire.BasicPublish{Exchange: []byte(exchange), RoutingKey: []byte(key)}, props, []byte(body))
}

// Publish sends a message.
func (c *Client) Publish(channel uint16, exchange, key string, props amqp.Properties, body string) {
	c.t.Helper()
	c.Write(c.Message(channel, exchange, key, props, body))
}

// Persistent is properties with delivery mode 2 alone.
var Persistent = mustProps(amqp.NoProperties.Edit().SetDeliveryMode(2).Properties())

func mustProps(p amqp.Properties, err error) amqp.Properties {
	if err != nil {
		panic(err)
	}
	return p
}

// Start sends the protocol header and reads connection.start.
func (c *Client) Start() *wire.ConnectionStart {
	c.t.Helper()
	io.WriteString(c.Conn, wire.ProtocolHeader)
	return Expect[*wire.ConnectionStart](c, 0)
}

// StartOk sends connection.start-ok with PLAIN.
func (c *Client) StartOk() {
	c.t.Helper()
	capabilities := amqp.NewTable()
	for _, name := range c.Capabilities {
		capabilities = capabilities.With(name, amqp.Bool(true))
	}
	c.Send(0, &wire.ConnectionStartOk{
		ClientProperties: amqp.NewTable(
			amqp.Field{Name: "product", Value: amqp.LongString("brokertest")},
			amqp.Field{Name: "capabilities", Value: amqp.Nested(capabilities)}),
		Mechanism: "PLAIN", Response: wire.EncodePlain(c.User, c.Password), Locale: "en_US",
	})
}

// Login does the whole handshake.
func (c *Client) Login() {
	c.t.Helper()
	c.Start()
	c.StartOk()
	Expect[*wire.ConnectionTune](c, 0)
	c.Send(0, &c.Tune, &wire.ConnectionOpen{VirtualHost: c.VHost})
	Expect[*wire.ConnectionOpenOk](c, 0)
}

// Open opens a channel.
func (c *Client) Open(channel uint16) {
	c.t.Helper()
	c.Send(channel, &wire.ChannelOpen{})
	Expect[*wire.ChannelOpenOk](c, channel)
}

// Declare declares a queue.
func (c *Client) Declare(channel uint16, m wire.QueueDeclare) *wire.QueueDeclareOk {
	c.t.Helper()
	c.Send(channel, &m)
	return Expect[*wire.QueueDeclareOk](c, channel)
}

// Consume starts a consumer.
func (c *Client) Consume(channel uint16, m wire.BasicConsume) string {
	c.t.Helper()
	c.Send(channel, &m)
	return Expect[*wire.BasicConsumeOk](c, channel).ConsumerTag
}

// Confirm puts a channel into confirm mode.
func (c *Client) Confirm(channel uint16) {
	c.t.Helper()
	c.Send(channel, &wire.ConfirmSelect{})
	Expect[*wire.ConfirmSelectOk](c, channel)
}

// Drop gives the read buffer back: what is idle should cost the test nothing
// that it measures.
func (c *Client) Drop() { c.buf, c.r, c.w = nil, 0, 0 }

// Props builds properties.
func Props(edit func(e *amqp.PropertiesEditor)) amqp.Properties {
	e := amqp.NoProperties.Edit()
	edit(e)
	return mustProps(e.Properties())
}
