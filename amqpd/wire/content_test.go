package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

var persistent = amqp.Properties{0x10, 0, 2}

func TestDeliverGolden(t *testing.T) {
	got := AppendDeliver(nil, 0x0102, 4096, &BasicDeliver{
		ConsumerTag: []byte("ct"), DeliveryTag: 3, Redelivered: true, Exchange: []byte("ex"), RoutingKey: []byte("rk"),
	}, persistent, []byte("body"))
	want := "01" + "0102" + "00000016" + "003c" + "003c" +
		"02" + "6374" + "0000000000000003" + "01" + "02" + "6578" + "02" + "726b" + "ce" +
		"02" + "0102" + "0000000f" + "003c" + "0000" + "0000000000000004" + "1000" + "02" + "ce" +
		"03" + "0102" + "00000004" + "626f6479" + "ce"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestPublishGolden(t *testing.T) {
	got := AppendPublish(nil, 1, 4096, &BasicPublish{RoutingKey: []byte("q"), Mandatory: true}, nil, nil)
	want := "01" + "0001" + "0000000a" + "003c" + "0028" + "0000" + "00" + "01" + "71" + "01" + "ce" +
		"02" + "0001" + "0000000e" + "003c" + "0000" + "0000000000000000" + "0000" + "ce"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestTagMethodsGolden(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendAck(nil, 2, 0x0102030405060708, true), "01" + "0002" + "0000000d" + "003c0050" + "0102030405060708" + "01" + "ce"},
		{AppendNack(nil, 2, 9, false, true), "01" + "0002" + "0000000d" + "003c0078" + "0000000000000009" + "02" + "ce"},
		{AppendNack(nil, 2, 9, true, false), "01" + "0002" + "0000000d" + "003c0078" + "0000000000000009" + "01" + "ce"},
		{AppendReject(nil, 2, 9, true), "01" + "0002" + "0000000d" + "003c005a" + "0000000000000009" + "01" + "ce"},
	} {
		if hex.EncodeToString(c.got) != c.want {
			t.Errorf("got  %x\nwant %s", c.got, c.want)
		}
	}
}

func TestColdMethodsGolden(t *testing.T) {
	for _, c := range []struct {
		m    Method
		want string
	}{
		{&ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, "01" + "0000" + "0000000c" + "000a001e" + "07ff" + "00020000" + "003c" + "ce"},
		{&ConnectionOpenOk{}, "01" + "0000" + "00000005" + "000a0029" + "00" + "ce"},
		{&ChannelOpenOk{}, "01" + "0000" + "00000008" + "0014000b" + "00000000" + "ce"},
		{&QueueDeclare{Queue: "q", Durable: true, NoWait: true, Arguments: amqp.NewTable(amqp.Field{Name: "x", Value: amqp.Bool(true)})},
			"01" + "0000" + "00000011" + "0032000a" + "0000" + "0171" + "12" + "00000004" + "01787401" + "ce"},
		{&BasicConsume{Queue: "q", ConsumerTag: "c", NoAck: true, Exclusive: true},
			"01" + "0000" + "0000000f" + "003c0014" + "0000" + "0171" + "0163" + "06" + "00000000" + "ce"},
	} {
		if got := hex.EncodeToString(AppendMethod(nil, 0, c.m)); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.m.ID(), got, c.want)
		}
	}
}

// readContent takes a method with its content apart, checking each frame.
func readContent(t fatal, buf []byte, channel uint16, frameMax uint32) (Method, amqp.Properties, []byte, []byte) {
	next := func(typ uint8) []byte {
		f, n, err := ParseFrame(buf, frameMax)
		if err != nil || n > len(buf) || f.Type != typ || f.Channel != channel {
			t.Fatalf("frame of type %d expected: %+v %d %v", typ, f, n, err)
		}
		if frameMax != 0 && n > int(frameMax) {
			t.Fatalf("frame of %d bytes passes %d", n, frameMax)
		}
		buf = buf[n:]
		return f.Payload
	}
	m, err := DecodeMethod(next(FrameMethod))
	if err != nil {
		t.Fatalf("%v", err)
	}
	h, err := DecodeHeader(next(FrameHeader))
	if err != nil {
		t.Fatalf("%v", err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		part := next(FrameBody)
		if len(part) == 0 {
			t.Fatalf("empty body frame")
		}
		body = append(body, part...)
	}
	if uint64(len(body)) != h.BodySize {
		t.Fatalf("%d bytes of body, announced were %d", len(body), h.BodySize)
	}
	return m, h.Properties, body, buf
}

type fatal interface{ Fatalf(string, ...any) }

func TestContentIsSplitAtFrameMax(t *testing.T) {
	for _, frameMax := range []uint32{0, 4096, 5000, 131072} {
		for _, size := range []int{0, 1, 4087, 4088, 4089, 8176, 8177, 131064, 131065, 300000} {
			body := bytes.Repeat([]byte("ab"), size/2+1)[:size]
			buf := AppendDeliver(nil, 5, frameMax, &BasicDeliver{DeliveryTag: 1}, persistent, body)
			m, props, got, rest := readContent(t, buf, 5, frameMax)
			if m.(*BasicDeliver).DeliveryTag != 1 || !bytes.Equal(props, persistent) || !bytes.Equal(got, body) || len(rest) != 0 {
				t.Errorf("frame_max %d, %d bytes: wrong content", frameMax, size)
			}
			if n := ContentSize(frameMax, len(persistent), size); n != len(buf)-frameHead-4-9-3-1 {
				t.Errorf("frame_max %d, %d bytes: ContentSize %d of %d", frameMax, size, n, len(buf))
			}
		}
	}
	// No limit below the least that may be negotiated is taken at its word.
	for _, frameMax := range []uint32{1, 8, 9, 4095} {
		readContent(t, AppendDeliver(nil, 5, frameMax, &BasicDeliver{}, nil, make([]byte, 9000)), 5, 4096)
	}
}

func TestAnyContentRoundTrips(t *testing.T) {
	str := rapid.SliceOfN(rapid.Byte(), 0, 255)
	rapid.Check(t, func(t *rapid.T) {
		channel := rapid.Uint16().Draw(t, "channel")
		frameMax := uint32(rapid.IntRange(4096, 10000).Draw(t, "frame_max"))
		ex, rk := str.Draw(t, "exchange"), str.Draw(t, "key")
		body := rapid.SliceOfN(rapid.Byte(), 0, 20000).Draw(t, "body")
		props := rapid.SampledFrom([]amqp.Properties{amqp.NoProperties, persistent}).Draw(t, "props")
		tag := rapid.Uint64().Draw(t, "tag")
		red := rapid.Bool().Draw(t, "redelivered")
		ct := str.Draw(t, "consumer tag")
		dst := make([]byte, rapid.IntRange(0, 10).Draw(t, "before"), 20)
		n := len(dst)
		type content struct {
			out  []byte
			want Method
		}
		for _, c := range []content{
			{AppendDeliver(dst, channel, frameMax, &BasicDeliver{ct, tag, red, ex, rk}, props, body), &BasicDeliver{ct, tag, red, ex, rk}},
			{AppendGetOk(dst, channel, frameMax, &BasicGetOk{tag, red, ex, rk, 7}, props, body), &BasicGetOk{tag, red, ex, rk, 7}},
			{AppendReturn(dst, channel, frameMax, &BasicReturn{312, "NO_ROUTE", ex, rk}, props, body), &BasicReturn{312, "NO_ROUTE", ex, rk}},
			{AppendPublish(dst, channel, frameMax, &BasicPublish{ex, rk, red, false}, props, body), &BasicPublish{ex, rk, red, false}},
			{AppendBody(AppendDeliverHead(dst, channel, &BasicDeliver{ct, tag, red, ex, rk}, props, uint64(len(body))), channel, frameMax, body), &BasicDeliver{ct, tag, red, ex, rk}},
		} {
			m, p, b, rest := readContent(t, c.out[n:], channel, frameMax)
			if fmt.Sprintf("%+v", m) != fmt.Sprintf("%+v", c.want) || !bytes.Equal(p, props) || !bytes.Equal(b, body) || len(rest) != 0 {
				t.Fatalf("got %+v %x, want %+v %x", m, p, c.want, props)
			}
		}
	})
}

func TestDecodeHeaderErrors(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		code      uint16
		text      string
	}{
		{"empty", "", 501, "content header of 0 bytes"},
		{"no flags", "003c0000" + "0000000000000000", 501, "content header of 12 bytes"},
		{"other class", "003d0000" + "0000000000000000" + "0000", 505, "expected content header for class 60, got one for class 61 instead"},
		{"weight", "003c0001" + "0000000000000000" + "0000", 505, "content header of weight 1"},
		{"bad properties", "003c0000" + "0000000000000000" + "8000", 502, "truncated content-type"},
		{"bad headers", "003c0000" + "0000000000000000" + "2000" + "00000002" + "0061", 502, "malformed table"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeHeader(b)
		if e := amqp.AsError(err); e == nil || e.Code != c.code || !strings.Contains(e.Text, c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	b, _ := hex.DecodeString("003c0000" + "ffffffffffffffff" + "100002")
	if h, err := DecodeHeader(b); err != nil || h.BodySize != 1<<64-1 || !h.Properties.Persistent() {
		t.Error(h, err)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	body := make([]byte, 100)
	publish := AppendPublish(nil, 1, 131072, &BasicPublish{Exchange: []byte("ex"), RoutingKey: []byte("key")}, persistent, body)
	ack := AppendAck(nil, 1, 5, true)
	out := make([]byte, 0, 1<<20)
	deliver := BasicDeliver{ConsumerTag: []byte("tag"), Exchange: []byte("ex"), RoutingKey: []byte("key")}
	getOk := BasicGetOk{Exchange: []byte("ex")}
	ret := BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE"}
	for name, run := range map[string]func(){
		"publish": func() {
			if parsePublish(publish) != len(publish) {
				t.Error("not parsed")
			}
		},
		"ack": func() {
			var m BasicAck
			f, _, _ := ParseFrame(ack, 131072)
			_, args, _ := CutID(f.Payload)
			if m.Decode(args) != nil || m.DeliveryTag != 5 {
				t.Error("not parsed")
			}
		},
		"deliver":   func() { AppendDeliver(out, 1, 131072, &deliver, persistent, body) },
		"get-ok":    func() { AppendGetOk(out, 1, 131072, &getOk, persistent, body) },
		"return":    func() { AppendReturn(out, 1, 131072, &ret, persistent, body) },
		"confirm":   func() { AppendNack(AppendAck(out, 1, 1, true), 1, 1, true, false) },
		"heartbeat": func() { AppendHeartbeat(out) },
		"head":      func() { AppendFrameHead(AppendDeliverHead(out, 1, &deliver, nil, 1<<20), FrameBody, 1, 131064) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { AppendDeliver(nil, 1, 4096, &deliver, nil, make([]byte, 20000)) }); n > 2 {
		t.Errorf("a delivery into a new buffer: %v allocations", n)
	}
}

// parsePublish is what a server does with the three frames of a publish.
func parsePublish(buf []byte) int {
	var m BasicPublish
	f, n, err := ParseFrame(buf, 131072)
	if err != nil {
		return 0
	}
	_, args, err := CutID(f.Payload)
	if err != nil || m.Decode(args) != nil {
		return 0
	}
	f, k, err := ParseFrame(buf[n:], 131072)
	if err != nil {
		return 0
	}
	h, err := DecodeHeader(f.Payload)
	if err != nil || h.BodySize == 0 || !h.Properties.Persistent() {
		return 0
	}
	_, l, err := ParseFrame(buf[n+k:], 131072)
	if err != nil {
		return 0
	}
	return n + k + l
}

func BenchmarkParsePublish(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := AppendPublish(nil, 1, 131072, &BasicPublish{Exchange: []byte("ex"), RoutingKey: []byte("key")}, persistent, make([]byte, size))
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if parsePublish(buf) == 0 {
					b.Fatal("not parsed")
				}
			}
		})
	}
}

func BenchmarkParseAck(b *testing.B) {
	buf := AppendAck(nil, 1, 5, false)
	b.ReportAllocs()
	for b.Loop() {
		var m BasicAck
		f, _, _ := ParseFrame(buf, 131072)
		_, args, _ := CutID(f.Payload)
		if m.Decode(args) != nil {
			b.Fatal("not parsed")
		}
	}
}

func BenchmarkAppendDeliver(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			body := make([]byte, size)
			out := make([]byte, 0, 1<<20)
			m := BasicDeliver{ConsumerTag: []byte("ctag"), DeliveryTag: 1, Exchange: []byte("ex"), RoutingKey: []byte("key")}
			b.SetBytes(int64(len(AppendDeliver(nil, 1, 131072, &m, persistent, body))))
			b.ReportAllocs()
			for b.Loop() {
				if len(out) > 1<<19 {
					out = out[:0]
				}
				out = AppendDeliver(out, 1, 131072, &m, persistent, body)
			}
		})
	}
}

func BenchmarkDecodeQueueDeclare(b *testing.B) {
	buf := AppendMethod(nil, 1, &QueueDeclare{Queue: "orders", Durable: true,
		Arguments: amqp.NewTable(amqp.Field{Name: "x-max-length", Value: amqp.Int64(100)})})
	payload := buf[frameHead : len(buf)-1]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeMethod(payload); err != nil {
			b.Fatal(err)
		}
	}
}
