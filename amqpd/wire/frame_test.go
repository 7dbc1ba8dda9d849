package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

func TestProtocolHeader(t *testing.T) {
	for n := range len(ProtocolHeader) + 1 {
		if got, err := ParseProtocolHeader([]byte(ProtocolHeader[:n])); err != nil || got != 8 {
			t.Errorf("%d bytes: %d %v", n, got, err)
		}
	}
	if n, err := ParseProtocolHeader([]byte(ProtocolHeader + "\x01\x00")); n != 8 || err != nil {
		t.Error(n, err)
	}
	for _, s := range []string{"G", "AMQQ", "AMQP\x00\x01\x00\x00", "AMQP\x03", "AMQP\x01\x01\x00\x09", "\x16\x03\x01", "GET / HTTP/1.1\r\n"} {
		if n, err := ParseProtocolHeader([]byte(s)); !errors.Is(err, ErrProtocolHeader) || n != 0 {
			t.Errorf("%q: %d %v", s, n, err)
		}
	}
}

func TestParseFrame(t *testing.T) {
	frame := func(typ byte, channel byte, payload string, end byte) []byte {
		return append(append([]byte{typ, 0, channel, 0, byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload))}, payload...), end)
	}
	big := strings.Repeat("x", 4096-8)
	for _, c := range []struct {
		name string
		buf  []byte
		max  uint32
		n    int
		err  string
	}{
		{"nothing", nil, 4096, 8, ""},
		{"one byte", []byte{1}, 4096, 8, ""},
		{"six bytes", []byte{1, 0, 1, 0, 0, 0}, 4096, 8, ""},
		{"head", []byte{1, 0, 1, 0, 0, 0, 5}, 4096, 13, ""},
		{"all but the end", frame(1, 1, "hello", FrameEnd)[:12], 4096, 13, ""},
		{"whole", frame(1, 1, "hello", FrameEnd), 4096, 13, ""},
		{"and more", append(frame(1, 1, "hello", FrameEnd), 9), 4096, 13, ""},
		{"empty body", frame(3, 1, "", FrameEnd), 4096, 8, ""},
		{"heartbeat", frame(8, 0, "", FrameEnd), 4096, 8, ""},
		{"full", frame(3, 1, big, FrameEnd), 4096, 4096, ""},
		{"eight over", frame(3, 1, big+"12345678", FrameEnd), 4096, 4104, ""},
		{"nine over", frame(3, 1, big+"123456789", FrameEnd), 4096, 0, "frame of 4105 bytes is larger than the negotiated frame_max of 4096"},
		{"no limit", frame(3, 1, big+big, FrameEnd), 0, 8184, ""},
		{"too long by its head", []byte{3, 0, 1, 255, 255, 255, 255}, 131072, 0, "frame of 4294967303 bytes is larger"},
		{"huge without limit", []byte{3, 0, 1, 255, 255, 255, 255}, 0, 4294967303, ""},
		{"wrong end", frame(1, 1, "hello", 0), 4096, 0, "frame ends with octet 0, expected 206"},
		{"type 0", frame(0, 1, "", FrameEnd), 4096, 0, "unknown frame type 0"},
		{"type 4", frame(4, 1, "", FrameEnd), 4096, 0, "unknown frame type 4"},
		{"bad type at once", []byte{'G'}, 4096, 0, "unknown frame type 71"},
		{"heartbeat with payload", frame(8, 0, "x", FrameEnd), 4096, 0, "FRAME_ERROR - heartbeat with a payload of 1 bytes"},
		{"heartbeat on a channel", frame(8, 1, "", FrameEnd), 4096, 0, "UNEXPECTED_FRAME - heartbeat on channel 1"},
		{"heartbeat without end", frame(8, 0, "", 1), 4096, 0, "frame ends with octet 1"},
	} {
		f, n, err := ParseFrame(c.buf, c.max)
		if c.err != "" {
			if e := amqp.AsError(err); e == nil || !strings.Contains(e.Error(), c.err) || (e.Code != amqp.CodeFrameError) != strings.HasPrefix(c.err, "UNEXPECTED") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || n != c.n {
			t.Errorf("%s: %d %v, want %d", c.name, n, err, c.n)
		} else if n <= len(c.buf) && (f.Type != c.buf[0] || f.Channel != uint16(c.buf[2]) || !bytes.Equal(f.Payload, c.buf[7:n-1])) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

func TestHeartbeatGolden(t *testing.T) {
	b := AppendHeartbeat(nil)
	if string(b) != "\x08\x00\x00\x00\x00\x00\x00\xce" {
		t.Errorf("%x", b)
	}
	if f, n, err := ParseFrame(b, 4096); err != nil || n != 8 || f.Type != FrameHeartbeat {
		t.Error(f, n, err)
	}
}

func TestPayloadCanNotGrowIntoTheBuffer(t *testing.T) {
	buf := append(AppendMethod(nil, 1, &TxSelect{}), "next"...)
	f, _, err := ParseFrame(buf, 0)
	if err != nil || cap(f.Payload) != len(f.Payload) {
		t.Error(cap(f.Payload), err)
	}
}

func TestSASL(t *testing.T) {
	for _, c := range []struct{ user, password string }{{"guest", "guest"}, {"", ""}, {"ü", "p w"}} {
		if u, p, err := DecodePlain(EncodePlain(c.user, c.password)); err != nil || u != c.user || p != c.password {
			t.Error(u, p, err)
		}
		if u, p, err := DecodeAMQPlain(EncodeAMQPlain(c.user, c.password)); err != nil || u != c.user || p != c.password {
			t.Error(u, p, err)
		}
	}
	for _, s := range []string{"", "guest\x00guest", "\x00guest", "as\x00guest\x00guest", "\x00a\x00b\x00c"} {
		if _, _, err := DecodePlain(s); amqp.AsError(err) == nil || amqp.AsError(err).Code != amqp.CodeSyntaxError {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", "\x05LOGINS", "\x05LOGINS\x00\x00\x00\x01g", "\x05LOGINt\x01\x08PASSWORDt\x01"} {
		if _, _, err := DecodeAMQPlain(s); amqp.AsError(err) == nil || amqp.AsError(err).Code != amqp.CodeSyntaxError {
			t.Errorf("%q: %v", s, err)
		}
	}
}
