package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestClientTheServerSaysWhoItIsAndWhatItCan(t *testing.T) {
	conn := dial(t)
	if product := conn.Properties["product"]; product != "RabbitMQ" {
		t.Errorf("product %v", product)
	}
	version, _ := conn.Properties["version"].(string)
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n != 3 || major < 3 {
		t.Errorf("version %q is not three numbers from 3 on", version)
	}
	for _, key := range []string{"platform", "cluster_name"} {
		if s, _ := conn.Properties[key].(string); s == "" {
			t.Errorf("no %s", key)
		}
	}
	capabilities, _ := conn.Properties["capabilities"].(amqp.Table)
	for _, name := range []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
		"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to"} {
		if capabilities[name] != true {
			t.Errorf("capability %s is %v", name, capabilities[name])
		}
	}
	if c := conn.Config; c.ChannelMax != 2047 || c.FrameSize != 131072 {
		t.Errorf("negotiated channel_max %d, frame_max %d", c.ChannelMax, c.FrameSize)
	}
}

func TestClientLogins(t *testing.T) {
	address, err := url.Parse(brokerURL(t))
	must(t, err)
	cases := []struct {
		what  string
		auth  amqp.Authentication
		vhost string
		code  int // 0: welcome
	}{
		{"PLAIN", &amqp.PlainAuth{Username: "guest", Password: "guest"}, "/", 0},
		{"AMQPLAIN", &amqp.AMQPlainAuth{Username: "guest", Password: "guest"}, "/", 0},
		{"PLAIN with a wrong password", &amqp.PlainAuth{Username: "guest", Password: "guess"}, "/", amqp.AccessRefused},
		{"AMQPLAIN with a wrong password", &amqp.AMQPlainAuth{Username: "guest", Password: "guess"}, "/", amqp.AccessRefused},
		{"nobody", &amqp.PlainAuth{Username: "nobody", Password: "guest"}, "/", amqp.AccessRefused},
		{"an unknown vhost", &amqp.PlainAuth{Username: "guest", Password: "guest"}, "nowhere", amqp.NotAllowed},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			conn, err := amqp.DialConfig("amqp://"+address.Host, amqp.Config{SASL: []amqp.Authentication{c.auth}, Vhost: c.vhost})
			if err == nil {
				defer conn.Close()
			}
			var e *amqp.Error
			errors.As(err, &e)
			switch {
			case c.code == 0 && err != nil:
				t.Errorf("refused: %v", err)
			case c.code != 0 && (e == nil || e.Code != c.code):
				t.Errorf("got %v, want %d", err, c.code)
			}
		})
	}
}

// A refused login is told by a close with the reason to a client that says it can read
// one; amqp091-go turns both that and a socket that is just closed into the same error.
func TestClientARefusedLoginIsToldWhy(t *testing.T) {
	c := rawDial(t, brokerURL(t))
	c.send(t, protocolHeader)
	c.expectMethod(t, connectionStart)
	c.sendMethod(t, 0, connectionStartOk, startOk("PLAIN", "\x00guest\x00guess"))
	code, text := c.expectMethod(t, connectionClose).closing()
	if code != 403 || !strings.HasPrefix(text, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN") {
		t.Errorf("closed with %d %q", code, text)
	}
}

func TestClientAWrongProtocolHeaderIsAnsweredWithTheRightOne(t *testing.T) {
	for _, header := range []string{"AMQP\x00\x01\x00\x00", "AMQP\x01\x01\x00\x0a", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		c := rawDial(t, brokerURL(t))
		c.send(t, []byte(header))
		got := make([]byte, 8)
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
		n, _ := c.in.Read(got)
		if string(got[:n]) != string(protocolHeader) {
			t.Errorf("%q is answered with %q", header, got[:n])
		}
		c.expectEnd(t, patience)
	}
}

func TestClientFrameSizeBelowTheMinimumIsRefused(t *testing.T) {
	c := rawDial(t, brokerURL(t))
	c.tune(t, 2047, 4095, 0)
	c.expectRefusal(t, 530)

	c = rawDial(t, brokerURL(t))
	c.tune(t, 2047, 4096, 0)
	c.openVhost(t)
}

func TestClientASmallFrameSizeSplitsBodies(t *testing.T) {
	const size = 4096
	conn := dial(t)
	queue := durableQueue(t, open(t, conn), "split", nil)
	fill(t, conn, queue, strings.Repeat("x", 3*size))

	c := rawDial(t, brokerURL(t))
	c.tune(t, 2047, size, 0)
	c.openVhost(t)
	c.openChannel(t, 1)
	c.consume(t, 1, queue)
	c.expectMethod(t, basicDeliver)
	_, err := c.readFrame(patience) // the header
	must(t, err)
	for left := 3 * size; left > 0; {
		f, err := c.readFrame(patience)
		must(t, err)
		if want := min(left, size-8); f.kind != frameBody || len(f.payload) != want {
			t.Fatalf("frame of type %d with %d bytes, want a body of %d", f.kind, len(f.payload), want)
		}
		left -= len(f.payload)
	}
}

func TestClientHeartbeatsComeAtHalfTheInterval(t *testing.T) {
	t.Parallel()
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 2)
	// The client's own: without them the broker would be right to hang up.
	go func() {
		for range 8 {
			if _, err := c.Write(encodeFrame(frameHeartbeat, 0, nil)); err != nil {
				return
			}
			<-time.After(500 * time.Millisecond)
		}
	}()
	for range 3 {
		f, err := c.readFrame(2 * time.Second)
		if err != nil || f.kind != frameHeartbeat || f.channel != 0 || len(f.payload) != 0 {
			t.Fatalf("got %+v, %v; want a heartbeat", f, err)
		}
	}
}

func TestClientASilentPeerIsDroppedAndItsMessagesRequeued(t *testing.T) {
	t.Parallel()
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "silent", nil)
	fill(t, conn, queue, "held")

	c := rawDial(t, brokerURL(t))
	c.handshake(t, 1)
	c.openChannel(t, 1)
	c.consume(t, 1, queue)
	c.expectMethod(t, basicDeliver)
	start := time.Now()
	c.expectEnd(t, 10*time.Second)
	if lasted := time.Since(start); lasted < 1500*time.Millisecond || lasted > 6*time.Second {
		t.Errorf("dropped after %v, want about two intervals of a second", lasted)
	}
	if d := get(t, ch, queue); !d.Redelivered {
		t.Error("not marked as redelivered")
	}
}

func TestClientTrafficCountsAsAHeartbeat(t *testing.T) {
	t.Parallel()
	queue := durableQueue(t, channel(t), "busy", nil)
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 1)
	c.openChannel(t, 1)
	for range 16 {
		<-time.After(250 * time.Millisecond)
		c.send(t, encodePublish(1, "", queue, []byte("alive"), 4096))
	}
	c.sendMethod(t, 1, channelClose, wire(nil).short(200).shortstr("").short(0).short(0))
	c.expectMethod(t, channelCloseOk)
}

func TestClientChannelNumbersThatAreWrong(t *testing.T) {
	for what, c := range map[string]struct {
		code int
		do   func(c *rawConn)
	}{
		"opened twice": {504, func(c *rawConn) {
			c.openChannel(t, 1)
			c.sendMethod(t, 1, channelOpen, wire(nil).shortstr(""))
		}},
		"not open": {504, func(c *rawConn) {
			c.sendMethod(t, 7, confirmSelect, wire(nil).octet(0))
		}},
		"a channel method on channel 0": {504, func(c *rawConn) {
			c.sendMethod(t, 0, confirmSelect, wire(nil).octet(0))
		}},
		"a body where none is owed": {505, func(c *rawConn) {
			c.openChannel(t, 1)
			c.send(t, encodeFrame(frameBody, 1, []byte("?")))
		}},
		"a method where content is owed": {505, func(c *rawConn) {
			c.openChannel(t, 1)
			c.sendMethod(t, 1, basicPublish, wire(nil).short(0).shortstr("").shortstr("q").octet(0))
			c.sendMethod(t, 1, confirmSelect, wire(nil).octet(0))
		}},
	} {
		t.Run(what, func(t *testing.T) {
			raw := rawDial(t, brokerURL(t))
			raw.handshake(t, 0)
			c.do(raw)
			raw.expectClose(t, c.code)
		})
	}
}

func TestClientMoreChannelsThanNegotiatedAreRefused(t *testing.T) {
	c := rawDial(t, brokerURL(t))
	c.tune(t, 2, 131072, 0)
	c.openVhost(t)
	c.openChannel(t, 1)
	c.openChannel(t, 2)
	c.sendMethod(t, 3, channelOpen, wire(nil).shortstr(""))
	c.expectClose(t, 530)
}

func TestClientAnUnknownMethodEndsTheConnection(t *testing.T) {
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 0)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, 60<<16|99, nil)
	c.expectRefusal(t, 540)
}

func TestClientAChannelCanBeOpenedAgainAfterTheServerClosedIt(t *testing.T) {
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 0)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, basicConsume, consumeArgs("e2e.nowhere", ""))
	// Whatever comes before the close-ok is ignored, an ack of nothing included.
	c.sendMethod(t, 1, basicAck, wire(nil).longlong(99).octet(0))
	c.send(t, encodePublish(1, "e2e.nowhere", "", []byte("ignored"), 4096))
	code, _ := c.expectMethod(t, channelClose).closing()
	if code != 404 {
		t.Errorf("closed with %d", code)
	}
	c.sendMethod(t, 1, channelCloseOk, nil)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, confirmSelect, wire(nil).octet(0))
	c.expectMethod(t, confirmSelectOk)
}

func TestClientAConsumerTagInUseClosesTheConnection(t *testing.T) {
	queue := durableQueue(t, channel(t), "tags", nil)
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 0)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, basicConsume, consumeArgs(queue, "same"))
	c.expectMethod(t, basicConsumeOk)
	c.sendMethod(t, 1, basicConsume, consumeArgs(queue, "same"))
	c.expectClose(t, 530)
}

// Confirms as they are on the wire, which client libraries unfold: every tag once,
// whether by itself or under a multiple.
func TestClientConfirmsOnTheWireCoverEachTagOnce(t *testing.T) {
	const n = 500
	queue := durableQueue(t, channel(t), "wire", nil)
	c := rawDial(t, brokerURL(t))
	c.handshake(t, 0)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, confirmSelect, wire(nil).octet(0))
	c.expectMethod(t, confirmSelectOk)
	var burst []byte
	for range n {
		burst = append(burst, encodePublish(1, "", queue, []byte("m"), 4096)...)
	}
	c.send(t, burst)
	open := map[uint64]bool{}
	for tag := uint64(1); tag <= n; tag++ {
		open[tag] = true
	}
	for len(open) > 0 {
		args := c.expectMethod(t, basicAck).payload[4:]
		tag, multiple := binary.BigEndian.Uint64(args), args[8]&1 != 0
		if !open[tag] {
			t.Fatalf("tag %d is confirmed again or was never sent", tag)
		}
		delete(open, tag)
		for lower := tag - 1; multiple && lower > 0; lower-- {
			delete(open, lower)
		}
	}
}
