package amqpd_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

func TestAWrongProtocolHeaderIsAnsweredWithTheRightOne(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for _, header := range []string{
		"AMQP\x00\x01\x00\x00", "AMQP\x01\x01\x00\x0a", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
		"AMQX", strings.Repeat("x", 100_000),
	} {
		nc := b.Dial(t)
		go io.WriteString(nc, header)
		nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(nc)
		if string(got) != wire.ProtocolHeader || err != nil {
			t.Errorf("%.20q is answered with %q, %v", header, got, err)
		}
	}
}

func TestAHeaderInPiecesIsWaitedFor(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := brokertest.NewClient(t, b.Pipe(t)) // a pipe's writes are read one by one
	for i := range wire.ProtocolHeader {
		io.WriteString(c.Conn, wire.ProtocolHeader[i:i+1])
	}
	brokertest.Expect[*wire.ConnectionStart](c, 0)
}

func TestStartSaysWhoWeAreAndWhatWeCan(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{LeveretVersion: "1.2.3"}})
	if _, err := b.Broker.SetGlobalParameter(broker.GlobalParameter{Name: broker.ClusterParameter, Value: []byte(`"burrow"`)}); err != nil {
		t.Fatal(err)
	}
	start := brokertest.NewClient(t, b.Dial(t)).Start()
	if start.VersionMajor != 0 || start.VersionMinor != 9 || start.Mechanisms != "PLAIN AMQPLAIN" || start.Locales != "en_US" {
		t.Errorf("start is %+v", start)
	}
	for key, want := range map[string]string{
		"product": "RabbitMQ", "version": "3.13.7", "leveret_version": "1.2.3", "cluster_name": "burrow",
	} {
		if got, _ := start.ServerProperties.LongString(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if platform, _ := start.ServerProperties.LongString("platform"); !strings.HasPrefix(platform, "Leveret 1.2.3") {
		t.Errorf("platform is %q", platform)
	}
	capabilities, _ := start.ServerProperties.Table("capabilities")
	for _, name := range []string{
		"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
		"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
	} {
		if yes, ok := capabilities.Bool(name); !yes || !ok {
			t.Errorf("capability %s is missing", name)
		}
	}
}

func TestLogin(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	refused := "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
	for name, c := range map[string]struct {
		user, password, mechanism, response string
		code                                uint16 // 0: let in
		text                                string
	}{
		"plain":              {"guest", "guest", "PLAIN", wire.EncodePlain("guest", "guest"), 0, ""},
		"amqplain":           {"guest", "guest", "AMQPLAIN", wire.EncodeAMQPlain("guest", "guest"), 0, ""},
		"wrong password":     {"guest", "x", "PLAIN", wire.EncodePlain("guest", "x"), 403, refused},
		"unknown user":       {"hare", "guest", "PLAIN", wire.EncodePlain("hare", "guest"), 403, refused},
		"amqplain refused":   {"", "", "AMQPLAIN", wire.EncodeAMQPlain("guest", "x"), 403, strings.Replace(refused, "PLAIN", "AMQPLAIN", 1)},
		"malformed plain":    {"", "", "PLAIN", "guest", 502, ""},
		"malformed amqplain": {"", "", "AMQPLAIN", "\xff\xff", 502, ""},
		"unknown mechanism":  {"", "", "EXTERNAL", "", 530, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, told := range []bool{true, false} {
				cl := brokertest.NewClient(t, b.Dial(t))
				cl.Start()
				cl.Send(0, &wire.ConnectionStartOk{
					ClientProperties: amqp.NewTable(amqp.Field{Name: "capabilities", Value: amqp.Nested(amqp.NewTable(
						amqp.Field{Name: "authentication_failure_close", Value: amqp.Bool(told)}))}),
					Mechanism: c.mechanism, Response: c.response, Locale: "en_US",
				})
				switch {
				case c.code == 0:
					brokertest.Expect[*wire.ConnectionTune](cl, 0)
				case told:
					if text := cl.ExpectClose(c.code); c.text != "" && text != c.text {
						t.Errorf("closed with %q, want %q", text, c.text)
					}
				default:
					if _, err := cl.ReadEvent(); err == nil {
						t.Error("told why, which the client cannot read")
					}
				}
			}
		})
	}
}

func TestTuning(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for name, c := range map[string]struct {
		tune wire.ConnectionTuneOk
		code uint16
	}{
		"as offered":           {wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, 0},
		"no limits":            {wire.ConnectionTuneOk{}, 0},
		"smallest frame":       {wire.ConnectionTuneOk{FrameMax: 4096}, 0},
		"frame too small":      {wire.ConnectionTuneOk{FrameMax: 4095}, 530},
		"frame too large":      {wire.ConnectionTuneOk{FrameMax: 131073}, 530},
		"too many channels":    {wire.ConnectionTuneOk{ChannelMax: 2048}, 530},
		"heartbeat of its own": {wire.ConnectionTuneOk{Heartbeat: 65535}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cl := brokertest.NewClient(t, b.Dial(t))
			cl.Start()
			cl.StartOk()
			tune := brokertest.Expect[*wire.ConnectionTune](cl, 0)
			if want := (wire.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}); *tune != want {
				t.Errorf("offered %+v, want %+v", *tune, want)
			}
			cl.Send(0, &c.tune, &wire.ConnectionOpen{VirtualHost: "/"})
			if c.code == 0 {
				brokertest.Expect[*wire.ConnectionOpenOk](cl, 0)
			} else {
				cl.ExpectClose(c.code)
			}
		})
	}
}

func TestAnUnknownVHostIsRefused(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := brokertest.NewClient(t, b.Dial(t))
	c.Start()
	c.StartOk()
	brokertest.Expect[*wire.ConnectionTune](c, 0)
	c.Send(0, &c.Tune, &wire.ConnectionOpen{VirtualHost: "burrow"})
	m := brokertest.Expect[*wire.ConnectionClose](c, 0)
	if m.ReplyCode != 530 || m.ReplyText != "NOT_ALLOWED - vhost burrow not found" || m.ClassID != 10 || m.MethodID != 40 {
		t.Errorf("closed with %+v", m)
	}
	c.Send(0, &wire.ConnectionCloseOk{})
	c.ExpectEnd()
}

// What ends a connection, and with which code. Each can be read before the
// socket goes, whatever else the client has sent by then.
func TestConnectionErrors(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	frame := func(typ uint8, channel uint16, payload string, end byte) []byte {
		return append(append(wire.AppendFrameHead(nil, typ, channel, len(payload)), payload...), end)
	}
	method := func(channel uint16, ms ...wire.Method) (b []byte) {
		for _, m := range ms {
			b = wire.AppendMethod(b, channel, m)
		}
		return b
	}
	publish := &wire.BasicPublish{RoutingKey: []byte("nowhere")}
	header := func(size uint64) []byte { return wire.AppendHeader(nil, 1, nil, size) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	for name, c := range map[string]struct {
		send []byte
		code uint16
		text string
	}{
		"a frame that ends badly":              {frame(1, 1, "\x00\x14\x00\x0a", 0), 501, ""},
		"an unknown frame type":                {frame(7, 1, "abc", 0xCE), 501, ""},
		"a frame over frame_max":               {append(wire.AppendFrameHead(nil, 3, 1, 200_000), make([]byte, 200_000)...), 501, ""},
		"a heartbeat with content":             {frame(8, 0, "abc", 0xCE), 501, ""},
		"a heartbeat on a channel":             {frame(8, 1, "", 0xCE), 505, ""},
		"arguments cut short":                  {frame(1, 1, "\x00\x32\x00\x0a\x00", 0xCE), 501, ""},
		"arguments too long":                   {frame(1, 1, "\x00\x14\x00\x14\x01xxx", 0xCE), 501, ""},
		"a method too short for its id":        {frame(1, 1, "\x00", 0xCE), 501, ""},
		"a table that is malformed":            {frame(1, 1, "\x00\x32\x00\x0a\x00\x00\x01q\x00\x00\x00\x00\x02\x05x", 0xCE), 502, ""},
		"an unknown class":                     {frame(1, 1, "\x00\x4d\x00\x01", 0xCE), 540, ""},
		"an unknown method":                    {frame(1, 1, "\x00\x3c\x00\xfa", 0xCE), 540, ""},
		"an unknown method, channel not open":  {frame(1, 9, "\x00\x3c\x00\xfa", 0xCE), 540, ""},
		"a method of the server":               {method(1, &wire.BasicGetEmpty{}), 503, "COMMAND_INVALID - unimplemented method"},
		"a method of class connection":         {method(1, &wire.ConnectionClose{}), 503, ""},
		"a channel's method on channel 0":      {method(0, &wire.ChannelOpen{}), 504, "CHANNEL_ERROR - unexpected method in connection state running"},
		"a second connection.open":             {method(0, &wire.ConnectionOpen{VirtualHost: "/"}), 504, ""},
		"close-ok on an open connection":       {method(0, &wire.ConnectionCloseOk{}), 504, ""},
		"a channel opened twice":               {method(1, &wire.ChannelOpen{}), 504, "CHANNEL_ERROR - second 'channel.open' seen"},
		"a channel that is not open":           {method(9, &wire.BasicQos{}), 504, "CHANNEL_ERROR - expected 'channel.open'"},
		"close of a channel that is not open":  {method(9, &wire.ChannelClose{}), 504, "CHANNEL_ERROR - expected 'channel.open'"},
		"close-ok of one that is not open":     {method(9, &wire.ChannelCloseOk{}), 504, "CHANNEL_ERROR - expected 'channel.open'"},
		"close-ok that nobody waits for":       {method(1, &wire.ChannelCloseOk{}), 503, "COMMAND_INVALID - unimplemented method"},
		"open before close-ok":                 {join(method(1, &wire.QueueDeclare{Queue: "no", Passive: true}, &wire.ChannelOpen{})), 504, "CHANNEL_ERROR - second 'channel.open' seen"},
		"close-ok twice":                       {join(method(1, &wire.QueueDeclare{Queue: "no", Passive: true}, &wire.ChannelCloseOk{}, &wire.ChannelCloseOk{})), 504, "CHANNEL_ERROR - expected 'channel.open'"},
		"content on channel 0":                 {frame(3, 0, "abc", 0xCE), 505, ""},
		"a body on a channel that is not open": {frame(3, 9, "abc", 0xCE), 505, ""},
		"a body without a method":              {frame(3, 1, "abc", 0xCE), 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead"},
		"a header without a method":            {header(3), 505, ""},
		"a method for a header":                {method(1, publish, &wire.BasicQos{}), 505, "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"},
		"a body for a header":                  {join(method(1, publish), frame(3, 1, "abc", 0xCE)), 505, ""},
		"a header of another class":            {join(method(1, publish), frame(2, 1, "\x00\x32\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 0xCE)), 505, "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"},
		"a header too short":                   {join(method(1, publish), frame(2, 1, "\x00\x3c", 0xCE)), 501, ""},
		"properties that are malformed":        {join(method(1, publish), frame(2, 1, "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff", 0xCE)), 502, ""},
		"a method for a body":                  {join(method(1, publish), header(3), method(1, &wire.BasicQos{})), 505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead"},
		"a second header":                      {join(method(1, publish), header(3), header(3)), 505, ""},
		"a body that is too long":              {join(method(1, publish), header(3), frame(3, 1, "abcdef", 0xCE)), 505, ""},
		"a body frame after an empty body":     {join(method(1, publish), header(0), frame(3, 1, "", 0xCE)), 505, ""},
		"an immediate publish":                 {join(method(1, &wire.BasicPublish{Immediate: true}), header(0)), 540, "NOT_IMPLEMENTED - immediate=true"},
		"a prefetch by size":                   {method(1, &wire.BasicQos{PrefetchSize: 10}), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"},
		"a channel that is to stop":            {method(1, &wire.ChannelFlow{Active: false}), 540, "NOT_IMPLEMENTED - active=false"},
		"a recover that keeps":                 {method(1, &wire.BasicRecover{}), 540, "NOT_IMPLEMENTED - requeue=false"},
	} {
		t.Run(name, func(t *testing.T) {
			cl := b.Client(t)
			cl.Open(1)
			go cl.Write(join(c.send, method(1, &wire.BasicQos{}), make([]byte, 100_000)))
			e := cl.Next()
			if _, soft := e.Method.(*wire.ChannelClose); soft { // comes before what it is about
				e = cl.Next()
			}
			m, ok := e.Method.(*wire.ConnectionClose)
			if !ok {
				t.Fatalf("got %v", e)
			}
			if m.ReplyCode != c.code || c.text != "" && m.ReplyText != c.text {
				t.Fatalf("closed with %d %q, want %d %q", m.ReplyCode, m.ReplyText, c.code, c.text)
			}
			// No close-ok: the server does not wait for it longer than for our end.
			cl.Conn.(*net.TCPConn).CloseWrite()
			cl.ExpectEnd()
		})
	}
}

func TestMoreChannelsThanNegotiatedAreRefused(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := brokertest.NewClient(t, b.Dial(t))
	c.Tune.ChannelMax = 2
	c.Login()
	c.Open(1)
	c.Open(7)
	c.Send(1, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 1)
	c.Open(2)
	c.Send(3, &wire.ChannelOpen{})
	if text := c.ExpectClose(530); text != "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)" {
		t.Errorf("closed with %q", text)
	}
}

func TestSmallMethodsAreAnswered(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Send(0, &wire.ConnectionUpdateSecret{NewSecret: "x", Reason: "y"})
	brokertest.Expect[*wire.ConnectionUpdateSecretOk](c, 0)
	c.Open(1)
	c.Send(1, &wire.ChannelFlow{Active: true})
	if m := brokertest.Expect[*wire.ChannelFlowOk](c, 1); !m.Active {
		t.Error("flow-ok is not active")
	}
	c.Send(1, &wire.AccessRequest{})
	brokertest.Expect[*wire.AccessRequestOk](c, 1)
	c.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	brokertest.Expect[*wire.ConnectionCloseOk](c, 0)
	c.ExpectEnd()
}

func TestFramesBetweenCloseAndCloseOkAreDropped(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Send(1, &wire.ChannelOpen{})
	brokertest.Expect[*wire.ConnectionClose](c, 0)
	c.Publish(1, "", "x", nil, "late")
	c.Send(1, &wire.QueueDeclare{Queue: "late"}, &wire.BasicPublish{})
	c.Send(0, &wire.ConnectionOpen{}, &wire.ConnectionCloseOk{})
	c.ExpectEnd()

	c = b.Client(t)
	c.Open(1)
	c.Send(1, &wire.QueueDeclare{Queue: "late", Passive: true})
	c.ExpectChannelClose(1, 404)
}

func TestBothMayCloseAtOnce(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	c.Open(1)
	c.Send(1, &wire.ChannelOpen{})
	brokertest.Expect[*wire.ConnectionClose](c, 0)
	c.Send(0, &wire.ConnectionClose{})
	brokertest.Expect[*wire.ConnectionCloseOk](c, 0)
	c.ExpectEnd()
}

func TestShutdownTellsEveryClient(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	silent := b.Dial(t)
	done := make(chan error)
	go func() { done <- b.Server.Shutdown(context.Background()) }()
	text := c.ExpectClose(320)
	if text != "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
		t.Errorf("closed with %q", text)
	}
	silent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that said nothing: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", b.Addr()); err == nil {
		t.Error("still accepting")
	}
}

func TestShutdownCutsClientsThatDoNotAnswer(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	b.Client(t) // reads no more
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := b.Server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	if n := b.Server.Connections(); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

// An operator's log is for what an operator should see.
func TestLinesInTheLogAreFew(t *testing.T) {
	var log strings.Builder // the handler has a lock
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{CloseTimeout: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))}})
	c := brokertest.NewClient(t, b.Dial(t))
	c.Password = "x"
	c.Start()
	c.StartOk()
	c.ExpectClose(403)
	b.Dial(t).Close() // a probe of the port
	b.Client(t).Conn.Close()
	user := b.Client(t)
	user.Open(1)
	user.Conn.Close()
	for range 10 {
		b.Client(t)
	}
	b.Stop()
	var got []string
	for line := range strings.Lines(log.String()) {
		_, rest, _ := strings.Cut(line, "msg=")
		got = append(got, strings.TrimSpace(strings.SplitN(rest, " connection=", 2)[0]))
	}
	slices.Sort(got)
	want := []string{`"client went away without connection.close"`, `"login refused"`}
	if !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestConnectionsOverTheLimitAreRefused(t *testing.T) {
	var log strings.Builder // the server writes it under its lock
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{
		MaxConnections: 1, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))}})
	c := b.Client(t)
	for range 20 {
		nc := b.Dial(t)
		nc.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("got %v, want the end", err)
		}
	}
	c.Open(1) // the others go on
	c.Conn.Close()
	b.Stop()
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("told of %d times: %s", n, log.String())
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for name, o := range map[string]amqpd.Options{
		"frame_max":  {FrameMax: 4095},
		"heartbeat":  {Heartbeat: 100_000 * time.Second},
		"timeout":    {CloseTimeout: -1},
		"out buffer": {OutBuffer: 1},
	} {
		if err := o.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := amqpd.NewServer(nil, o); err == nil {
			t.Errorf("%s: served", name)
		}
	}
	if err := (amqpd.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
