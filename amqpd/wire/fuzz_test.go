package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// seeds returns the payload of each method with arguments of all kinds.
func seeds() [][]byte {
	var out [][]byte
	for i := range definitions {
		def := &definitions[i]
		gen := rapid.Custom(func(t *rapid.T) []byte {
			rapid.Bool().Draw(t, "a generator must draw something")
			args, _ := drawArgs(t, def)
			return append(binary.BigEndian.AppendUint32(nil, uint32(def.ID)), args...)
		})
		out = append(out, gen.Example(1), gen.Example(2))
	}
	return out
}

// checkError holds an error to the codec's promise.
func checkError(t *testing.T, err error, codes ...uint16) {
	t.Helper()
	var e *amqp.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no exception", err)
	}
	for _, code := range codes {
		if e.Code == code {
			return
		}
	}
	t.Fatalf("%v: not one of %d", e, codes)
}

func FuzzParseFrame(f *testing.F) {
	f.Add(AppendHeartbeat(nil), uint32(4096))
	f.Add(AppendMethod(nil, 0, &ConnectionOpen{VirtualHost: "/"}), uint32(4096))
	f.Add(AppendDeliver(nil, 1, 4096, &BasicDeliver{}, nil, make([]byte, 5000)), uint32(4096))
	f.Add([]byte{3, 0, 1, 255, 255, 255, 255, 0}, uint32(0))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint32(131072))
	f.Fuzz(func(t *testing.T, buf []byte, frameMax uint32) {
		for len(buf) > 0 {
			frame, n, err := ParseFrame(buf, frameMax)
			if err != nil {
				checkError(t, err, amqp.CodeFrameError, amqp.CodeUnexpectedFrame)
				return
			}
			for _, k := range []int{0, 1, 6, 7, 8, n / 2, n - 1} {
				if k >= min(n, len(buf)) || k < 0 {
					continue
				}
				if _, more, err := ParseFrame(buf[:k:k], frameMax); err != nil || more <= k || more > n {
					t.Fatalf("first %d of %d bytes: %d %v", k, n, more, err)
				}
			}
			if n > len(buf) {
				return
			}
			again := AppendFrameHead(nil, frame.Type, frame.Channel, len(frame.Payload))
			again = append(append(again, frame.Payload...), FrameEnd)
			if !bytes.Equal(again, buf[:n]) {
				t.Fatalf("%x came back as %x", buf[:n], again)
			}
			buf = buf[n:]
		}
	})
}

func FuzzMethod(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Add([]byte{0, 60, 0, 13})
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := DecodeMethod(payload)
		if err != nil {
			checkError(t, err, amqp.CodeFrameError, amqp.CodeSyntaxError, amqp.CodeCommandInvalid)
			return
		}
		out := AppendMethod(nil, 1, m)
		frame, n, err := ParseFrame(out, 0)
		if err != nil || n != len(out) {
			t.Fatalf("%x: %v", out, err)
		}
		again, err := DecodeMethod(frame.Payload)
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	frame := AppendHeader(nil, 1, []byte{0x10, 0, 2}, 5)
	f.Add(frame[frameHead : len(frame)-1])
	all := new(amqp.PropertiesEditor).SetHeaders(amqp.NewTable(amqp.Field{Name: "a", Value: amqp.List(amqp.Void())})).SetTimestamp(1)
	for p := range amqp.Property(amqp.NumProperties) {
		switch p {
		case amqp.PropHeaders, amqp.PropTimestamp, amqp.PropDeliveryMode, amqp.PropPriority:
		default:
			all.SetString(p, p.String())
		}
	}
	props, err := all.SetDeliveryMode(2).SetPriority(1).Properties()
	if err != nil {
		f.Fatal(err)
	}
	frame = AppendHeader(nil, 1, props, 1<<63)
	f.Add(frame[frameHead : len(frame)-1])
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := DecodeHeader(payload)
		if err != nil {
			checkError(t, err, amqp.CodeFrameError, amqp.CodeSyntaxError, amqp.CodeUnexpectedFrame)
			return
		}
		out := AppendHeader(nil, 1, h.Properties, h.BodySize)
		if !bytes.Equal(out[frameHead:len(out)-1], payload) {
			t.Fatalf("%x came back as %x", payload, out)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte(ProtocolHeader))
	f.Add([]byte(EncodePlain("guest", "guest")))
	f.Add([]byte(EncodeAMQPlain("guest", "guest")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseProtocolHeader(b); err == nil && n <= len(b) && string(b[:n]) != ProtocolHeader {
			t.Error("accepted")
		}
		if user, password, err := DecodePlain(string(b)); err != nil {
			checkError(t, err, amqp.CodeSyntaxError)
		} else if EncodePlain(user, password) != string(b) {
			t.Errorf("%q is %q and %q", b, user, password)
		}
		if user, password, err := DecodeAMQPlain(string(b)); err != nil {
			checkError(t, err, amqp.CodeSyntaxError)
		} else if u, p, err := DecodeAMQPlain(EncodeAMQPlain(user, password)); err != nil || u != user || p != password {
			t.Error(u, p, err)
		}
	})
}

// FuzzContent holds contents in all four methods that carry one to their frames: none
// is longer than was agreed, and together they are what went in.
func FuzzContent(f *testing.F) {
	f.Add([]byte("exchange"), []byte("key"), []byte{0x10, 0, 2}, 10_000, uint32(4096), uint8(0))
	f.Add([]byte{}, []byte{}, []byte{0, 0}, 0, uint32(0), uint8(1))
	f.Add([]byte("x"), bytes.Repeat([]byte("k"), 255), []byte{0, 0}, 4088, uint32(4096), uint8(2))
	f.Add([]byte("x"), []byte("k"), []byte{0x20, 0, 0, 0, 0, 0}, 4089, uint32(131072), uint8(3))
	f.Fuzz(func(t *testing.T, exchange, key, props []byte, size int, frameMax uint32, kind uint8) {
		if frameMax != 0 {
			frameMax = 4096 + frameMax%200_000
		}
		// A list of properties is in the one frame of the header, which the sender sees to.
		if amqp.Properties(props).Validate() != nil || len(props) > 4000 || len(exchange) > 255 || len(key) > 255 || size < 0 || size > 1<<20 {
			return
		}
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 31)
		}
		var out []byte
		var want Method
		switch kind % 4 {
		case 0:
			m := &BasicPublish{Exchange: exchange, RoutingKey: key, Mandatory: true}
			out, want = AppendPublish(nil, 7, frameMax, m, props, body), m
		case 1:
			m := &BasicDeliver{ConsumerTag: key, DeliveryTag: 1 << 60, Redelivered: true, Exchange: exchange, RoutingKey: key}
			out, want = AppendDeliver(nil, 7, frameMax, m, props, body), m
		case 2:
			m := &BasicGetOk{DeliveryTag: 3, Exchange: exchange, RoutingKey: key, MessageCount: 9}
			out, want = AppendGetOk(nil, 7, frameMax, m, props, body), m
		case 3:
			m := &BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: exchange, RoutingKey: key}
			out, want = AppendReturn(nil, 7, frameMax, m, props, body), m
		}
		if n := AppendMethod(nil, 7, want); !bytes.HasPrefix(out, n) {
			t.Fatalf("a content begins with %x, its method alone is %x", out[:min(len(out), len(n))], n)
		}
		var got []byte
		for i := 0; len(out) > 0; i++ {
			frame, n, err := ParseFrame(out, frameMax)
			if err != nil || n > len(out) || frame.Channel != 7 {
				t.Fatalf("frame %d: %d bytes of %d, channel %d, %v", i, n, len(out), frame.Channel, err)
			}
			switch {
			case i == 0:
				if m, err := DecodeMethod(frame.Payload); err != nil || m.ID() != want.ID() {
					t.Fatalf("%v, %v", m, err)
				}
			case i == 1:
				h, err := DecodeHeader(frame.Payload)
				if err != nil || h.BodySize != uint64(size) || !bytes.Equal(h.Properties, props) {
					t.Fatalf("%+v, %v", h, err)
				}
			case frame.Type != FrameBody || len(frame.Payload) == 0:
				t.Fatalf("frame %d is of type %d with %d bytes", i, frame.Type, len(frame.Payload))
			default:
				got = append(got, frame.Payload...)
			}
			out = out[n:]
		}
		if !bytes.Equal(got, body) {
			t.Fatalf("%d bytes went in, %d came out", len(body), len(got))
		}
	})
}
