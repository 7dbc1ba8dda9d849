package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"
)

// A bare AMQP client for what a library hides or would never send. It shares no code
// with the broker, so that the two cannot be wrong in the same way.

// method is a method's class in the high and its number in the low half.
type method uint32

const (
	connectionStart   method = 10<<16 | 10
	connectionStartOk method = 10<<16 | 11
	connectionTune    method = 10<<16 | 30
	connectionTuneOk  method = 10<<16 | 31
	connectionOpen    method = 10<<16 | 40
	connectionOpenOk  method = 10<<16 | 41
	connectionClose   method = 10<<16 | 50
	connectionCloseOk method = 10<<16 | 51
	channelOpen       method = 20<<16 | 10
	channelOpenOk     method = 20<<16 | 11
	channelClose      method = 20<<16 | 40
	channelCloseOk    method = 20<<16 | 41
	queueDeclare      method = 50<<16 | 10
	queueDeclareOk    method = 50<<16 | 11
	basicConsume      method = 60<<16 | 20
	basicConsumeOk    method = 60<<16 | 21
	basicPublish      method = 60<<16 | 40
	basicDeliver      method = 60<<16 | 60
	basicAck          method = 60<<16 | 80
	confirmSelect     method = 85<<16 | 10
	confirmSelectOk   method = 85<<16 | 11
)

const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

// wire builds a method's arguments.
type wire []byte

func (w wire) octet(v byte) wire      { return append(w, v) }
func (w wire) short(v uint16) wire    { return binary.BigEndian.AppendUint16(w, v) }
func (w wire) long(v uint32) wire     { return binary.BigEndian.AppendUint32(w, v) }
func (w wire) longlong(v uint64) wire { return binary.BigEndian.AppendUint64(w, v) }
func (w wire) shortstr(s string) wire { return append(w.octet(byte(len(s))), s...) }
func (w wire) longstr(s string) wire  { return append(w.long(uint32(len(s))), s...) }
func (w wire) emptyTable() wire       { return w.long(0) }

// frame is one frame as it was read, without its end.
type frame struct {
	kind    byte
	channel uint16
	payload []byte
}

func (f frame) method() method {
	if f.kind != frameMethod || len(f.payload) < 4 {
		return 0
	}
	return method(binary.BigEndian.Uint32(f.payload))
}

// closing reads the code and text of a connection.close or channel.close.
func (f frame) closing() (code int, text string) {
	args := f.payload[4:]
	return int(binary.BigEndian.Uint16(args)), string(args[3 : 3+int(args[2])])
}

func encodeFrame(kind byte, channel uint16, payload []byte) []byte {
	b := wire{kind}.short(channel).long(uint32(len(payload)))
	return append(append(b, payload...), frameEnd)
}

func encodeMethod(channel uint16, m method, args wire) []byte {
	return encodeFrame(frameMethod, channel, append(wire(nil).long(uint32(m)), args...))
}

// encodePublish is a whole message with no properties in frames of at most frameMax.
func encodePublish(channel uint16, exchange, key string, body []byte, frameMax int) []byte {
	b := encodeMethod(channel, basicPublish, wire(nil).short(0).shortstr(exchange).shortstr(key).octet(0))
	b = append(b, encodeFrame(frameHeader, channel, wire(nil).short(60).short(0).longlong(uint64(len(body))).short(0))...)
	for len(body) > 0 {
		n := min(len(body), frameMax-8)
		b = append(b, encodeFrame(frameBody, channel, body[:n])...)
		body = body[n:]
	}
	return b
}

type rawConn struct {
	net.Conn
	in *bufio.Reader
}

func rawDial(t testing.TB, amqpURL string) *rawConn {
	t.Helper()
	u, err := url.Parse(amqpURL)
	must(t, err)
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &rawConn{Conn: conn, in: bufio.NewReader(conn)}
}

// send writes bytes as they are. A broker that has already closed the connection is not
// an error here: the test reads its last words.
func (c *rawConn) send(t testing.TB, b []byte) {
	t.Helper()
	must(t, c.SetWriteDeadline(time.Now().Add(patience)))
	if _, err := c.Write(b); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("the broker has not read for %v", patience)
		}
	}
}

func (c *rawConn) sendMethod(t testing.TB, channel uint16, m method, args wire) {
	t.Helper()
	c.send(t, encodeMethod(channel, m, args))
}

// readFrame reads the next frame within the given time.
func (c *rawConn) readFrame(within time.Duration) (frame, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return frame{}, err
	}
	head := make([]byte, 7)
	if _, err := io.ReadFull(c.in, head); err != nil {
		return frame{}, err
	}
	f := frame{kind: head[0], channel: binary.BigEndian.Uint16(head[1:])}
	size := binary.BigEndian.Uint32(head[3:])
	if size > 1<<20 {
		// A protocol header, most likely: the answer to something that was none.
		return frame{}, fmt.Errorf("%q is no frame's head", head)
	}
	f.payload = make([]byte, size)
	if _, err := io.ReadFull(c.in, f.payload); err != nil {
		return frame{}, err
	}
	end, err := c.in.ReadByte()
	if err == nil && end != frameEnd {
		err = fmt.Errorf("a frame ends with %#x", end)
	}
	return f, err
}

// expectMethod reads up to the next method, which must be want. Heartbeats are skipped.
func (c *rawConn) expectMethod(t testing.TB, want method) frame {
	t.Helper()
	for {
		f, err := c.readFrame(patience)
		if err != nil {
			t.Fatalf("waiting for method %d.%d: %v", want>>16, want&0xffff, err)
		}
		if f.kind == frameHeartbeat {
			continue
		}
		if got := f.method(); got != want {
			if got == connectionClose || got == channelClose {
				code, text := f.closing()
				t.Fatalf("closed with %d %q, want method %d.%d", code, text, want>>16, want&0xffff)
			}
			t.Fatalf("got %+v, want method %d.%d", f, want>>16, want&0xffff)
		}
		return f
	}
}

// skipContent reads the header and body of a delivery.
func (c *rawConn) skipContent(t testing.TB) {
	t.Helper()
	f, err := c.readFrame(patience)
	must(t, err)
	if f.kind != frameHeader {
		t.Fatalf("got %+v, want a content header", f)
	}
	for left := binary.BigEndian.Uint64(f.payload[4:]); left > 0; {
		f, err := c.readFrame(patience)
		must(t, err)
		if f.kind != frameBody {
			t.Fatalf("got %+v, want a body", f)
		}
		left -= uint64(len(f.payload))
	}
}

// startOk is the arguments of connection.start-ok; the client has the capability to read
// why a login failed.
func startOk(mechanism, response string) wire {
	capabilities := wire(nil).shortstr("authentication_failure_close").octet('t').octet(1).
		shortstr("consumer_cancel_notify").octet('t').octet(1).shortstr("basic.nack").octet('t').octet(1)
	table := wire(nil).shortstr("product").octet('S').longstr("raw").shortstr("capabilities").octet('F').longstr(string(capabilities))
	return wire(nil).longstr(string(table)).shortstr(mechanism).longstr(response).shortstr("en_US")
}

var protocolHeader = []byte("AMQP\x00\x00\x09\x01")

// handshake logs in and opens the virtual host /.
func (c *rawConn) handshake(t testing.TB, heartbeat uint16) {
	t.Helper()
	c.tune(t, 2047, 131072, heartbeat)
	c.openVhost(t)
}

func (c *rawConn) openVhost(t testing.TB) {
	t.Helper()
	c.sendMethod(t, 0, connectionOpen, wire(nil).shortstr("/").shortstr("").octet(0))
	c.expectMethod(t, connectionOpenOk)
}

// tune goes as far as tune-ok, with the client's wishes for the number of channels, the
// frame size and the heartbeat's seconds.
func (c *rawConn) tune(t testing.TB, channelMax uint16, frameMax uint32, heartbeat uint16) {
	t.Helper()
	c.send(t, protocolHeader)
	c.expectMethod(t, connectionStart)
	c.sendMethod(t, 0, connectionStartOk, startOk("PLAIN", "\x00guest\x00guest"))
	c.expectMethod(t, connectionTune)
	c.sendMethod(t, 0, connectionTuneOk, wire(nil).short(channelMax).long(frameMax).short(heartbeat))
}

func (c *rawConn) openChannel(t testing.TB, channel uint16) {
	t.Helper()
	c.sendMethod(t, channel, channelOpen, wire(nil).shortstr(""))
	c.expectMethod(t, channelOpenOk)
}

func consumeArgs(queue, tag string) wire {
	return wire(nil).short(0).shortstr(queue).shortstr(tag).octet(0).emptyTable()
}

// consume starts a consumer that owes acks.
func (c *rawConn) consume(t testing.TB, channel uint16, queue string) {
	t.Helper()
	c.sendMethod(t, channel, basicConsume, consumeArgs(queue, ""))
	c.expectMethod(t, basicConsumeOk)
}

// expectClose reads up to the connection's close and then its end.
func (c *rawConn) expectClose(t testing.TB, code int) {
	t.Helper()
	for {
		f, err := c.readFrame(patience)
		if err != nil {
			t.Fatalf("waiting for a close with %d: %v", code, err)
		}
		if f.method() != connectionClose {
			continue
		}
		got, text := f.closing()
		if got != code {
			t.Errorf("closed with %d %q, want %d", got, text, code)
		}
		break
	}
	c.sendMethod(t, 0, connectionCloseOk, nil)
	c.expectEnd(t, patience)
}

// expectRefusal accepts a close with the code, or just the end of the socket: what
// RabbitMQ does to a client that it has not let in yet.
func (c *rawConn) expectRefusal(t testing.TB, code int) {
	t.Helper()
	for {
		f, err := c.readFrame(patience)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("neither closed with %d nor hung up after %v", code, patience)
		}
		if err != nil {
			return
		}
		if f.method() == connectionClose {
			if got, text := f.closing(); got != code {
				t.Errorf("closed with %d %q, want %d", got, text, code)
			}
			return
		}
	}
}

// expectEnd reads until the broker has closed the socket.
func (c *rawConn) expectEnd(t testing.TB, within time.Duration) {
	t.Helper()
	must(t, c.awaitEnd(within))
}

// awaitEnd is expectEnd for another goroutine than the test's.
func (c *rawConn) awaitEnd(within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c.in)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("the socket is still open after %v", within)
	}
	return nil
}

// reset ends the connection with a TCP reset, as a crashed machine's successor would.
func (c *rawConn) reset(t testing.TB) {
	t.Helper()
	must(t, c.Conn.(*net.TCPConn).SetLinger(0))
	must(t, c.Close())
}
