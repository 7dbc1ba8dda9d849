package bench

import (
	"math"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

func TestAddress(t *testing.T) {
	for _, c := range []struct{ uri, want, err string }{
		{"amqp://localhost", "localhost:5672 guest guest /", ""},
		{"amqp://127.0.0.1:5673/", "127.0.0.1:5673 guest guest /", ""},
		{"amqp://u:p%40@host/v", "host:5672 u p@ v", ""},
		{"amqp://host/%2fa%2F", "host:5672 guest guest /a/", ""},
		{"amqp://[::1]:1/", "[::1]:1 guest guest /", ""},
		{"amqps://host/", "host:5671 guest guest / with TLS", ""},
		{"http://host/", "", "want amqp://"},
		{"host:5672", "", "uri"},
		{"amqp://me:se%cret@host", "", "% escapes"},
		{"amqp://", "", "want amqp://"},
	} {
		a, err := parseAddress(c.uri)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.uri, err, c.err)
			}
			continue
		}
		got := strings.Join([]string{a.hostport, a.user, a.password, a.vhost}, " ")
		if a.tls {
			got += " with TLS"
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %q %v, want %q", c.uri, got, err, c.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	ok := Config{URI: "amqp://h"}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.URI = "" }, "uri"},
		{func(c *Config) { c.Scenario = "flood" }, "scenario"},
		{func(c *Config) { c.AckEvery = 1001 }, "starve"},
		{func(c *Config) { c.Prefetch = 70000 }, "prefetch"},
		{func(c *Config) { c.Outstanding = -1 }, "outstanding"},
		{func(c *Config) { c.Warmup = 1 << 50 }, "warm-up"},
		{func(c *Config) { c.Queues = 3 }, "one queue"},
		{func(c *Config) { c.Scenario, c.NoConfirm = Latency, true }, "confirms"},
		{func(c *Config) { c.Size = 1 << 30 }, "size"},
		{func(c *Config) { c.Rate = math.NaN() }, "rate"},
		{func(c *Config) { c.ConsumerRate = math.NaN() }, "rate"},
	} {
		bad := ok
		c.change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestConfirmsOutOfOrder goes through what brokers do: single acks in any
// order, multiple ones over gaps, nacks.
func TestConfirmsOutOfOrder(t *testing.T) {
	r := &run{cfg: &Config{Outstanding: 8}, confirms: newRecorder()}
	r.measuring.Store(true)
	p := &publisher{cfg: r.cfg, run: r, sentAt: make([]int64, 8), confirms: r.confirms.shard(0)}
	p.room.L = &p.mu
	send := func(n int) {
		for range n {
			p.sent++
			p.open++
			p.sentAt[p.sent&7] = clock()
		}
	}
	step := func(tag uint64, multiple, nack bool, open int, low uint64) {
		t.Helper()
		if err := p.confirm(tag, multiple, nack); err != nil {
			t.Fatal(err)
		}
		if p.open != open || p.low != low {
			t.Fatalf("after %d: open %d low %d, want %d %d", tag, p.open, p.low, open, low)
		}
	}
	send(8)
	step(3, false, false, 7, 0)
	step(5, false, true, 6, 0)
	step(1, false, false, 5, 1)
	step(2, false, false, 4, 3)
	step(6, true, false, 2, 6)
	send(6)
	step(14, false, false, 7, 6)
	step(10, true, true, 3, 10)
	step(13, true, false, 0, 14)
	if n := p.confirms.recent.TotalCount(); n != 14 {
		t.Errorf("%d latencies of 14", n)
	}
	if p.nacked != 5 {
		t.Errorf("%d nacked, want 5", p.nacked)
	}
	if p.confirmed != 14 {
		t.Errorf("%d confirmed of 14", p.confirmed)
	}
	for _, bad := range []uint64{15, 14, 3} {
		if p.confirm(bad, false, false) == nil {
			t.Errorf("tag %d is taken", bad)
		}
	}
	if p.confirm(14, true, false) == nil {
		t.Error("a confirm of nothing is taken")
	}
	send(2)
	if err := p.confirm(16, false, false); err != nil {
		t.Fatal(err)
	}
	if p.confirm(16, false, false) == nil {
		t.Error("a tag is confirmed twice")
	}
}

// TestStragglerHoldsTheWindow has one message that is not confirmed while many
// after it are: the ring must not come round to it.
func TestStragglerHoldsTheWindow(t *testing.T) {
	r := &run{cfg: &Config{Outstanding: 2}}
	p := &publisher{cfg: r.cfg, run: r, sentAt: make([]int64, 16), confirms: newRecorder().shard(0)}
	for p.allowed() > 0 {
		p.sent++
		p.open++
		p.sentAt[p.sent&15] = clock()
		if p.sent > 1 {
			if err := p.confirm(p.sent, false, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p.sent != 16 || p.open != 1 || p.low != 0 {
		t.Fatalf("sent %d, open %d, low %d", p.sent, p.open, p.low)
	}
	if err := p.confirm(1, false, false); err != nil {
		t.Fatal(err)
	}
	if p.open != 0 || p.low != 16 || p.allowed() != 2 {
		t.Errorf("open %d, low %d, allowed %d", p.open, p.low, p.allowed())
	}
}

// feed hands a consumer frames as a broker would.
func feed(k *consumer, buf []byte) error {
	for len(buf) > 0 {
		f, n, err := wire.ParseFrame(buf, 0)
		if err != nil {
			return err
		}
		if err := k.frame(f); err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// testConsumer is a consumer without a connection, alone on its queue.
func testConsumer(cfg *Config) *consumer {
	return &consumer{cfg: cfg, run: &run{cfg: cfg, exactly: true}, c: &client{}, ch: channel, queues: []string{"q"}, lone: true, latencies: newRecorder().shard(0)}
}

func TestConsumerSeesDisorderAndRedelivery(t *testing.T) {
	k := testConsumer(&Config{Size: 16, AckEvery: 2})
	deliver := func(tag, seq uint64, again bool) {
		body := make([]byte, 16)
		putStamp(body, 1, seq)
		err := feed(k, wire.AppendDeliver(nil, channel, 4096, &wire.BasicDeliver{DeliveryTag: tag, Redelivered: again}, amqp.NoProperties, body))
		if err != nil {
			t.Fatal(err)
		}
	}
	deliver(1, 10, false) // wherever a backlog begins
	deliver(2, 11, false)
	deliver(3, 13, false)
	deliver(4, 12, true)
	deliver(5, 13, false)
	if k.disorder != 2 || k.again != 1 || k.delivered != 5 {
		t.Errorf("disorder %d, redelivered %d, delivered %d", k.disorder, k.again, k.delivered)
	}
	want := wire.AppendAck(wire.AppendAck(nil, channel, 2, true), channel, 4, true)
	if string(k.out) != string(want) {
		t.Errorf("acks %x, want %x", k.out, want)
	}
}

func TestConsumerRefusesWhatWasNotSent(t *testing.T) {
	for name, buf := range map[string][]byte{
		"another size": wire.AppendDeliver(nil, channel, 4096, &wire.BasicDeliver{DeliveryTag: 1}, nil, make([]byte, 17)),
		"a tag's gap":  wire.AppendDeliver(nil, channel, 4096, &wire.BasicDeliver{DeliveryTag: 2}, nil, make([]byte, 16)),
		"a close":      wire.AppendException(nil, channel, amqp.NotFound("no queue"), 0),
		"too much": append(wire.AppendHeader(wire.AppendMethod(nil, channel, &wire.BasicDeliver{DeliveryTag: 1}), channel, nil, 16),
			wire.AppendBody(nil, channel, 4096, make([]byte, 17))...),
	} {
		k := testConsumer(&Config{Size: 16, AckEvery: 1})
		if err := feed(k, buf); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAPeersReasonNamesItsCodeOnce(t *testing.T) {
	for _, text := range []string{"NOT_FOUND - no queue 'q'", "no queue 'q'"} {
		if err := unexpected(&wire.ChannelClose{ReplyCode: amqp.CodeNotFound, ReplyText: text}); err.Error() != "NOT_FOUND - no queue 'q'" {
			t.Errorf("%q is told as %q", text, err)
		}
	}
}
