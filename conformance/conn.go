package conformance

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Patience is how long a case waits for what must come. It is long because the
// peer may share a small machine with all other cases; nothing waits for it to
// pass where all is well.
const Patience = 20 * time.Second

func deadline() time.Time { return time.Now().Add(Patience) }

// Event is what the peer said: a method with its content, a heartbeat, or bytes
// that are no frame.
type Event struct {
	Channel uint16
	// Method is nil for a heartbeat and for bytes that are no frame.
	Method wire.Method
	Props  amqp.Properties
	Body   []byte
	// Frames are the sizes of the body frames' payloads.
	Frames []int
	// Raw are the eight bytes by which a server refuses a protocol header.
	Raw []byte
	// At is when its last frame was read.
	At time.Time
}

func (e Event) String() string {
	switch {
	case e.Raw != nil:
		return fmt.Sprintf("bytes %q", e.Raw)
	case e.Method == nil:
		return "heartbeat"
	}
	return fmt.Sprintf("channel %d: %v %+v, body of %d", e.Channel, e.Method.ID(), e.Method, len(e.Body))
}

// Closed is how the peer ended a connection or a channel.
type Closed struct {
	Code uint16
	Text string
	// Cause is the method that was blamed, 0 for none.
	Cause wire.ID
	// Connection says that it was the connection's close, not a channel's.
	Connection bool
}

func (c *Closed) Error() string {
	what := "channel"
	if c.Connection {
		what = "connection"
	}
	return fmt.Sprintf("%s closed with %d %q (method %v)", what, c.Code, c.Text, c.Cause)
}

// Login is what a client says in the handshake. The zero Login is the peer's own
// user in its own vhost, with all capabilities.
type Login struct {
	User, Password, VHost string
	// Mechanism is PLAIN where it is empty; Response is made for PLAIN and AMQPLAIN.
	Mechanism, Response string
	// Capabilities replace all capabilities that the suite has; an empty list is none.
	Capabilities []string
	// Properties are added to the client properties.
	Properties Args
	// Tune answers connection.tune where it is not nil, else the server's own
	// proposal is taken, without heartbeats.
	Tune *wire.ConnectionTuneOk
	// TLS dials the peer's TLS listener with this configuration.
	TLS *tls.Config
}

// capabilities are those of a client that knows all of RabbitMQ's extensions.
var capabilities = []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
	"connection.blocked", "authentication_failure_close"}

// Conn is a connection that hides nothing. What arrives is kept by channel until
// it is asked for, in the order in which it came.
type Conn struct {
	net.Conn
	t *T

	// Start and Tuned are what the handshake gave.
	Start *wire.ConnectionStart
	Tune  *wire.ConnectionTune
	Tuned wire.ConnectionTuneOk

	vhost string
	wmu   sync.Mutex // around writes

	mu     sync.Mutex
	inbox  map[uint16][]Event
	wake   chan struct{} // closed and replaced at each event
	err    error         // why nothing more will come
	nextID uint16
	expect bool // the case expects that the connection ends, or has ended it
	gate   chan struct{}
}

// newConn reads nc from now on.
func newConn(t *T, nc net.Conn) *Conn {
	c := &Conn{Conn: nc, t: t, inbox: map[uint16][]Event{}, wake: make(chan struct{})}
	t.mu.Lock()
	t.conns = append(t.conns, c)
	t.mu.Unlock()
	go c.read()
	t.Cleanup(c.end)
	return c
}

// end closes the connection, politely where it was not closed yet.
func (c *Conn) end() {
	c.mu.Lock()
	polite := c.err == nil && !c.expect && c.Tune != nil
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
	c.mu.Unlock()
	if e, ok := c.find(0, isMethod(wire.IDConnectionClose)); ok && !c.expect {
		c.t.Errorf("at the end of the case: %v", closedBy(e))
		polite = false
	}
	if polite {
		c.SendMethod(0, &wire.ConnectionClose{ReplyCode: 200, ReplyText: "bye"})
		_, _ = c.await(0, deadline(), isMethod(wire.IDConnectionCloseOk))
	}
	c.Conn.Close()
}

// Abort cuts the connection without a word, as a client that crashed.
func (c *Conn) Abort() {
	c.ExpectingEnd()
	if tc, ok := c.Conn.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	c.Conn.Close()
}

// Close closes the connection and waits for the answer.
func (c *Conn) Close() {
	c.t.Helper()
	c.ExpectingEnd()
	Call[*wire.ConnectionCloseOk](c.On(0), &wire.ConnectionClose{ReplyCode: 200, ReplyText: "bye"})
	c.Conn.Close()
}

// ExpectingEnd says that the connection's end is no defect from now on: the case
// provokes it.
func (c *Conn) ExpectingEnd() {
	c.mu.Lock()
	c.expect = true
	c.mu.Unlock()
}

// Pause stops reading from the socket until Resume, as a client that hangs. What
// one read has already taken still arrives.
func (c *Conn) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == nil {
		c.gate = make(chan struct{})
	}
}

// Resume ends Pause.
func (c *Conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
}

// read parses what comes into the inboxes until the connection ends.
func (c *Conn) read() {
	parts := map[uint16]*partial{}
	buf := make([]byte, 0, 64<<10)
	for {
		c.mu.Lock()
		gate := c.gate
		c.mu.Unlock()
		if gate != nil {
			<-gate
		}
		buf = slices.Grow(buf, 32<<10)
		n, err := c.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		rest, perr := c.parse(buf, parts)
		buf = append(buf[:0], rest...)
		if err == nil {
			err = perr
		}
		if err != nil {
			c.mu.Lock()
			c.err = err
			close(c.wake)
			c.wake = make(chan struct{})
			c.mu.Unlock()
			return
		}
	}
}

// partial is content whose frames have not all come.
type partial struct {
	event Event
	size  uint64
	open  bool // the header has come
}

func (c *Conn) parse(buf []byte, parts map[uint16]*partial) (rest []byte, err error) {
	for len(buf) > 0 {
		if buf[0] == 'A' {
			if len(buf) < 8 {
				return buf, nil
			}
			c.deliver(Event{Raw: slices.Clone(buf[:8])})
			buf = buf[8:]
			continue
		}
		f, n, err := wire.ParseFrame(buf, 0)
		if err != nil {
			return buf, fmt.Errorf("the peer sent %q: %w", buf[:min(len(buf), 16)], err)
		}
		if n > len(buf) {
			return buf, nil
		}
		if err := c.frame(f, parts); err != nil {
			return buf, err
		}
		buf = buf[n:]
	}
	return nil, nil
}

func (c *Conn) frame(f wire.Frame, parts map[uint16]*partial) error {
	p := parts[f.Channel]
	switch f.Type {
	case wire.FrameHeartbeat:
		c.deliver(Event{})
	case wire.FrameMethod:
		if p != nil {
			return fmt.Errorf("method frame on channel %d inside the content of %v", f.Channel, p.event.Method.ID())
		}
		m, err := wire.DecodeMethod(slices.Clone(f.Payload))
		if err != nil {
			return err
		}
		e := Event{Channel: f.Channel, Method: m}
		if wire.Lookup(m.ID()).Content {
			parts[f.Channel] = &partial{event: e}
			return nil
		}
		c.deliver(e)
	case wire.FrameHeader:
		if p == nil || p.open {
			return fmt.Errorf("content header on channel %d where none is owed", f.Channel)
		}
		h, err := wire.DecodeHeader(slices.Clone(f.Payload))
		if err != nil {
			return err
		}
		p.open, p.size, p.event.Props = true, h.BodySize, h.Properties
		if p.size == 0 {
			delete(parts, f.Channel)
			c.deliver(p.event)
		}
	case wire.FrameBody:
		if p == nil || !p.open {
			return fmt.Errorf("body frame on channel %d where none is owed", f.Channel)
		}
		p.event.Body = append(p.event.Body, f.Payload...)
		p.event.Frames = append(p.event.Frames, len(f.Payload))
		switch got := uint64(len(p.event.Body)); {
		case got > p.size:
			return fmt.Errorf("a body of %d bytes, the header said %d", got, p.size)
		case got == p.size:
			delete(parts, f.Channel)
			c.deliver(p.event)
		}
	}
	return nil
}

func (c *Conn) deliver(e Event) {
	e.At = time.Now()
	c.mu.Lock()
	c.inbox[e.Channel] = append(c.inbox[e.Channel], e)
	close(c.wake)
	c.wake = make(chan struct{})
	c.mu.Unlock()
}

// find takes the first event of a channel that ok accepts out of the inbox.
func (c *Conn) find(channel uint16, ok func(Event) bool) (Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.inbox[channel]
	for i, e := range list {
		if ok(e) {
			c.inbox[channel] = slices.Delete(list, i, i+1)
			return e, true
		}
	}
	return Event{}, false
}

// peek is find that leaves the event where it is.
func (c *Conn) peek(channel uint16, ok func(Event) bool) (Event, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.inbox[channel] {
		if ok(e) {
			return e, true
		}
	}
	return Event{}, false
}

var errPatience = errors.New("nothing came")

// await waits for the first event of the channel that ok accepts. What it does not
// accept stays. A close of the channel or of the connection that it does not
// accept ends the waiting with a *Closed.
func (c *Conn) await(channel uint16, deadline time.Time, ok func(Event) bool) (Event, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		c.mu.Lock()
		wake, gone := c.wake, c.err
		c.mu.Unlock()
		if e, found := c.find(channel, ok); found {
			return e, nil
		}
		// What is wanted may have come since; then it is found in the next round.
		unwanted := func(id wire.ID) func(Event) bool {
			return func(e Event) bool { return isMethod(id)(e) && !ok(e) }
		}
		if e, found := c.peek(channel, unwanted(wire.IDChannelClose)); found {
			return Event{}, closedBy(e)
		}
		if e, found := c.peek(0, unwanted(wire.IDConnectionClose)); found {
			return Event{}, closedBy(e)
		}
		if gone != nil {
			// All that came was there before the end was noted.
			return Event{}, fmt.Errorf("the connection has ended: %w", gone)
		}
		select {
		case <-wake:
		case <-timer.C:
			return Event{}, errPatience
		}
	}
}

// inboxText lists what has come and was not asked for.
func (c *Conn) inboxText(channel uint16) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, e := range c.inbox[channel] {
		fmt.Fprintf(&b, "\n\t%v", e)
	}
	if b.Len() == 0 {
		return ""
	}
	return "; there were" + b.String()
}

func isMethod(ids ...wire.ID) func(Event) bool {
	return func(e Event) bool { return e.Method != nil && slices.Contains(ids, e.Method.ID()) }
}

func closedBy(e Event) *Closed {
	switch m := e.Method.(type) {
	case *wire.ConnectionClose:
		return &Closed{Code: m.ReplyCode, Text: m.ReplyText, Cause: wire.ID(uint32(m.ClassID)<<16 | uint32(m.MethodID)), Connection: true}
	case *wire.ChannelClose:
		return &Closed{Code: m.ReplyCode, Text: m.ReplyText, Cause: wire.ID(uint32(m.ClassID)<<16 | uint32(m.MethodID))}
	}
	return nil
}

// Send writes bytes as they are. That the peer has closed the connection is no
// failure here: the case reads its last words.
func (c *Conn) Send(b []byte) {
	c.t.Helper()
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.Conn.Write(b); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			c.t.Fatalf("the peer has not read for %v", Patience)
		}
	}
}

// SendMethod sends a method.
func (c *Conn) SendMethod(channel uint16, m wire.Method) {
	c.t.Helper()
	c.Send(wire.AppendMethod(nil, channel, m))
}

// SendFrame sends a frame of any type.
func (c *Conn) SendFrame(typ uint8, channel uint16, payload []byte) {
	c.t.Helper()
	b := wire.AppendFrameHead(nil, typ, channel, len(payload))
	c.Send(append(append(b, payload...), wire.FrameEnd))
}

// On is a channel of which the suite does not know whether it is open; On(0) is
// the connection's own.
func (c *Conn) On(channel uint16) *Channel { return &Channel{Conn: c, ID: channel, t: c.t} }

// Channel opens the next channel.
func (c *Conn) Channel() *Channel {
	c.t.Helper()
	c.mu.Lock()
	c.nextID++
	id := c.nextID
	c.mu.Unlock()
	return c.OpenChannel(id)
}

// OpenChannel opens the channel of that number.
func (c *Conn) OpenChannel(id uint16) *Channel {
	c.t.Helper()
	ch := c.On(id)
	Call[*wire.ChannelOpenOk](ch, &wire.ChannelOpen{})
	return ch
}

// Login does the handshake. The error is a *Closed where the peer said why, any
// other where it hung up.
func (c *Conn) Login(l Login) error {
	c.t.Helper()
	if err := c.login(l); err != nil {
		c.ExpectingEnd()
		return err
	}
	return nil
}

func (c *Conn) login(l Login) error {
	u := c.t.Peer.url
	if l.User == "" {
		l.User = u.User.Username()
		l.Password, _ = u.User.Password()
	}
	if l.VHost == "" {
		l.VHost = c.t.Peer.vhost()
	}
	c.vhost = l.VHost
	c.Send([]byte(wire.ProtocolHeader))
	e, err := c.await(0, deadline(), isMethod(wire.IDConnectionStart))
	if err != nil {
		return err
	}
	c.Start = e.Method.(*wire.ConnectionStart)
	c.SendMethod(0, l.startOk())
	if e, err = c.await(0, deadline(), isMethod(wire.IDConnectionTune)); err != nil {
		return err
	}
	c.Tune = e.Method.(*wire.ConnectionTune)
	c.Tuned = wire.ConnectionTuneOk{ChannelMax: c.Tune.ChannelMax, FrameMax: c.Tune.FrameMax}
	if l.Tune != nil {
		c.Tuned = *l.Tune
	}
	c.SendMethod(0, &c.Tuned)
	c.SendMethod(0, &wire.ConnectionOpen{VirtualHost: l.VHost})
	_, err = c.await(0, deadline(), isMethod(wire.IDConnectionOpenOk))
	return err
}

// startOk is the answer to connection.start.
func (l Login) startOk() *wire.ConnectionStartOk {
	if l.Mechanism == "" {
		l.Mechanism = "PLAIN"
	}
	if l.Response == "" {
		switch l.Mechanism {
		case "PLAIN":
			l.Response = wire.EncodePlain(l.User, l.Password)
		case "AMQPLAIN":
			l.Response = wire.EncodeAMQPlain(l.User, l.Password)
		}
	}
	if l.Capabilities == nil {
		l.Capabilities = capabilities
	}
	can := Args{}
	for _, name := range l.Capabilities {
		can[name] = true
	}
	props := Args{"product": "conformance", "capabilities": can}
	for name, v := range l.Properties {
		props[name] = v
	}
	return &wire.ConnectionStartOk{ClientProperties: props.Table(), Mechanism: l.Mechanism, Response: l.Response, Locale: "en_US"}
}

// ExpectClose waits until the peer closes the connection with the code and a text
// that contains all of texts, answers, and waits for the end of the socket.
func (c *Conn) ExpectClose(code uint16, texts ...string) *Closed {
	c.t.Helper()
	c.ExpectingEnd()
	e, err := c.await(0, deadline(), isMethod(wire.IDConnectionClose))
	if err != nil {
		c.t.Fatalf("waiting for connection.close with %d: %v%s", code, err, c.inboxText(0))
	}
	closed := closedBy(e)
	c.t.checkClosed(closed, code, texts)
	c.SendMethod(0, &wire.ConnectionCloseOk{})
	c.ExpectEnd()
	return closed
}

// ExpectEnd waits until the peer has closed the socket.
func (c *Conn) ExpectEnd() {
	c.t.Helper()
	c.ExpectingEnd()
	if !c.ended(time.Now().Add(Patience)) {
		c.t.Fatalf("the socket is still open after %v", Patience)
	}
}

// Ended reports whether the peer has closed the socket.
func (c *Conn) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

func (c *Conn) ended(deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		c.mu.Lock()
		wake, gone := c.wake, c.err
		c.mu.Unlock()
		if gone != nil {
			return true
		}
		select {
		case <-wake:
		case <-timer.C:
			return false
		}
	}
}

// Hangup reports whether an error of Login is the end of the socket without a word.
func Hangup(err error) bool {
	var closed *Closed
	return err != nil && !errors.As(err, &closed) && (errors.Is(err, io.EOF) || strings.Contains(err.Error(), "reset"))
}

// address returns where to dial for a URL.
func address(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "amqps" {
		return net.JoinHostPort(u.Hostname(), "5671")
	}
	return net.JoinHostPort(u.Hostname(), "5672")
}
