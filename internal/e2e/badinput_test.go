package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What a frame can have wrong, and the code by which the connection is closed for it.
func TestClientBadFramesCloseTheConnectionWithACode(t *testing.T) {
	declare := func(arguments wire) wire {
		return append(wire(nil).short(0).shortstr("e2e.bad").octet(0b1000), arguments...) // auto-delete
	}
	for what, c := range map[string]struct {
		code  int
		bytes []byte
	}{
		"a wrong frame end":        {501, append(encodeMethod(1, confirmSelect, wire{0})[:12], 0xCD)},
		"an unknown frame type":    {501, encodeFrame(77, 1, []byte("?"))},
		"longer than negotiated":   {501, wire{frameMethod}.short(1).long(131073)},
		"four gigabytes":           {501, wire{frameBody}.short(1).long(0xFFFFFFFF)},
		"a method cut short":       {0, encodeFrame(frameMethod, 1, []byte{0, 85})},
		"arguments cut short":      {0, encodeMethod(1, queueDeclare, wire{0, 0, 200, 'x'})},
		"a table longer than that": {0, encodeMethod(1, queueDeclare, declare(wire(nil).long(0xFFFFFFF0).shortstr("k")))},
		"a table of a wrong type":  {0, encodeMethod(1, queueDeclare, declare(wire(nil).longstr("\x01k\xfe")))},
		"tables a thousand deep":   {0, encodeMethod(1, queueDeclare, declare(deepTable(1000)))},
		"a content header of another class": {0, append(encodeMethod(1, basicPublish, wire(nil).short(0).shortstr("").shortstr("e2e.bad").octet(0)),
			encodeFrame(frameHeader, 1, wire(nil).short(50).short(0).longlong(0).short(0))...)},
		"properties cut short": {0, append(encodeMethod(1, basicPublish, wire(nil).short(0).shortstr("").shortstr("e2e.bad").octet(0)),
			encodeFrame(frameHeader, 1, wire(nil).short(60).short(0).longlong(0).short(0x8000).octet(9))...)},
		"a heartbeat on a channel": {0, encodeFrame(frameHeartbeat, 1, nil)},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			raw := rawDial(t, brokerURL(t))
			raw.handshake(t, 0)
			raw.openChannel(t, 1)
			raw.send(t, c.bytes)
			if c.code != 0 {
				raw.expectClose(t, c.code)
				return
			}
			// Which code is a matter of taste; what matters is that the broker neither
			// waits for more nor falls: it answers, with a close of something or, to what
			// it may let pass, with this channel's next reply.
			raw.sendMethod(t, 1, confirmSelect, wire{0})
			for {
				f, err := raw.readFrame(patience)
				if m := f.method(); err != nil || m == connectionClose || m == channelClose || m == confirmSelectOk {
					if err != nil && strings.Contains(err.Error(), "timeout") {
						t.Errorf("no answer for %v", patience)
					}
					return
				}
			}
		})
	}
}

// deepTable is a table in a table in a table.
func deepTable(depth int) wire {
	var inner wire
	for range depth {
		inner = wire(nil).shortstr("t").octet('F').longstr(string(inner))
	}
	return wire(nil).longstr(string(inner))
}

func TestClientAPublishCutShortIsNoMessage(t *testing.T) {
	ch := channel(t)
	queue := durableQueue(t, ch, "half", nil)
	whole := encodePublish(1, "", queue, make([]byte, 10_000), 4096)
	for _, n := range []int{5, 30, 60, 5000, len(whole) - 1} {
		c := rawDial(t, brokerURL(t))
		c.handshake(t, 0)
		c.openChannel(t, 1)
		c.send(t, encodePublish(1, "", queue, []byte("whole"), 4096))
		c.send(t, whole[:n])
		must(t, c.Close())
		if d := get(t, ch, queue); string(d.Body) != "whole" {
			t.Errorf("got %d bytes", len(d.Body))
		}
		getEmpty(t, ch, queue)
	}
}

// A handshake has ten seconds.
func TestClientWhoSaysNothingIsDroppedAfterTenSeconds(t *testing.T) {
	t.Parallel()
	var clients sync.WaitGroup
	for what, says := range map[string]func(c *rawConn){
		"nothing":          func(*rawConn) {},
		"half a header":    func(c *rawConn) { c.send(t, protocolHeader[:5]) },
		"only the header":  func(c *rawConn) { c.send(t, protocolHeader) },
		"no open":          func(c *rawConn) { c.tune(t, 2047, 131072, 60) },
		"a byte at a time": func(c *rawConn) { go trickle(c) },
	} {
		c := rawDial(t, brokerURL(t))
		start := time.Now()
		says(c)
		clients.Go(func() { // all of them wait at once
			err := c.awaitEnd(20 * time.Second)
			if lasted := time.Since(start); err != nil || lasted < 8*time.Second || lasted > 15*time.Second {
				t.Errorf("who says %s is dropped after %v, %v; want 10 s", what, lasted, err)
			}
		})
	}
	clients.Wait()
}

// trickle keeps a connection busy without ever getting to the point.
func trickle(c *rawConn) {
	start := encodeMethod(0, connectionStartOk, startOk("PLAIN", "\x00guest\x00guest"))
	for _, b := range append(append([]byte(nil), protocolHeader...), start...) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		<-time.After(200 * time.Millisecond)
	}
}

// bystander is a client that behaves, and whose messages must go through within reason
// whatever others do. Its stop function says how it went.
func bystander(t *testing.T, url string) (stop func()) {
	t.Helper()
	conn := dialTo(t, url)
	ch := confirming(t, conn)
	q, err := ch.QueueDeclare(unique("bystander"), true, false, false, false, nil)
	must(t, err)
	ds := consume(t, ch, q.Name, false)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var trips int
	var slowest time.Duration
	var failure error
	trip := func(n int) error {
		start := time.Now()
		confirm, err := ch.PublishWithDeferredConfirm("", q.Name, false, false, text(fmt.Sprint(n)))
		if err != nil {
			return err
		}
		timeout := time.After(patience)
		select {
		case <-confirm.Done():
			if !confirm.Acked() {
				return fmt.Errorf("publish %d was nacked, or the connection was closed", n)
			}
		case <-timeout:
			return fmt.Errorf("publish %d is not confirmed", n)
		}
		select {
		case d, ok := <-ds:
			if !ok || string(d.Body) != fmt.Sprint(n) {
				return fmt.Errorf("delivery %d is %q", n, d.Body)
			}
			slowest = max(slowest, time.Since(start))
			return d.Ack(false)
		case <-timeout:
			return fmt.Errorf("message %d is not delivered", n)
		}
	}
	wg.Go(func() {
		for failure == nil && ctx.Err() == nil {
			failure = trip(trips)
			trips++
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() {
		t.Helper()
		cancel()
		wg.Wait()
		if failure != nil {
			t.Errorf("a client that behaves was harmed: %v", failure)
		}
		if slowest > 5*time.Second || trips < 3 {
			t.Errorf("a client that behaves made %d round trips, the slowest took %v", trips, slowest)
		}
		conn.Close()
	}
}

// unharmed runs misbehave beside a bystander and checks the broker's memory and files.
func unharmed(t *testing.T, p *process, growth int64, misbehave func()) {
	t.Helper()
	stop := bystander(t, p.url())
	memory, files := p.rss(t), p.openFiles(t)
	misbehave()
	stop()
	if os.Getenv("LEVERET_E2E_RACE") != "" {
		growth *= 3 // the detector's shadow
	}
	more := p.rss(t) - memory
	if more > growth {
		t.Errorf("the broker has grown by %d MiB, want at most %d", more>>20, growth>>20)
	}
	eventually(t, "the broker to close the sockets of clients that have gone", patience, func() bool {
		return p.openFiles(t) <= files+8 // the log may have opened files of its own
	})
}

func TestBadInputOfAllSorts(t *testing.T) {
	t.Parallel()
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	const seed = 20
	valid := encodeMethod(1, channelOpen, wire(nil).shortstr(""))
	valid = append(valid, encodeMethod(1, confirmSelect, wire{0})...)
	valid = append(valid, encodeMethod(1, queueDeclare, wire(nil).short(0).shortstr("victim").octet(0b1000).emptyTable())...)
	valid = append(valid, encodeMethod(1, basicConsume, consumeArgs("victim", "tag"))...)
	for range 5 {
		valid = append(valid, encodePublish(1, "", "victim", make([]byte, 300), 4096)...)
	}
	valid = append(valid, encodeMethod(1, basicAck, wire(nil).longlong(2).octet(1))...)

	unharmed(t, p, 64<<20, func() {
		var wg sync.WaitGroup
		for worker := range uint64(4) {
			rng := rand.New(rand.NewPCG(seed, worker))
			wg.Go(func() {
				for i := range 150 {
					c := rawDial(t, p.url())
					var b []byte
					switch i % 5 {
					case 0: // noise from the start
						b = noise(rng, 1+rng.IntN(3000))
					case 1: // noise for a handshake
						b = append(append(b, protocolHeader...), noise(rng, rng.IntN(3000))...)
					case 2: // noise in a well-formed frame
						c.handshake(t, 0)
						b = append(append(b, valid[:16]...), encodeFrame(byte(1+rng.IntN(3)), uint16(rng.IntN(2)), noise(rng, rng.IntN(200)))...)
					case 3: // one to three bytes wrong
						c.handshake(t, 0)
						b = append(b, valid...)
						for range 1 + rng.IntN(3) {
							b[rng.IntN(len(b))] = byte(rng.Uint32())
						}
					case 4: // cut off in the middle
						c.handshake(t, 0)
						b = append(b, valid[:rng.IntN(len(valid))]...)
					}
					c.send(t, b)
					if rng.IntN(2) == 0 {
						_, _ = c.readFrame(10 * time.Millisecond)
					}
					if rng.IntN(2) == 0 {
						c.reset(t)
					} else {
						c.Close()
					}
				}
			})
		}
		wg.Wait()
	})
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestBadInputOfSizesThatAreOnlyAnnouncedAllocatesNothing(t *testing.T) {
	t.Parallel()
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	publish := encodeMethod(1, basicPublish, wire(nil).short(0).shortstr("").shortstr("nowhere").octet(0))
	unharmed(t, p, 64<<20, func() {
		for i := range 200 {
			c := rawDial(t, p.url())
			defer c.Close()
			c.handshake(t, 0)
			c.openChannel(t, 1)
			switch i % 4 {
			case 0:
				c.send(t, wire{frameMethod}.short(1).long(131072-8)) // may come, and does not
			case 1: // a body of 100 MiB, of which a page comes
				c.send(t, append(publish, encodeFrame(frameHeader, 1, wire(nil).short(60).short(0).longlong(100<<20).short(0))...))
				c.send(t, encodeFrame(frameBody, 1, make([]byte, 4000)))
			case 2: // a body that cannot be
				c.send(t, append(publish, encodeFrame(frameHeader, 1, wire(nil).short(60).short(0).longlong(1<<62).short(0))...))
				f, err := c.readFrame(patience)
				if m := f.method(); err == nil && m != channelClose && m != connectionClose {
					t.Errorf("a body of 2^62 bytes is answered with %+v", f)
				}
			case 3:
				c.send(t, wire{frameHeader}.short(1).long(0xFFFFFFFF))
				c.expectClose(t, 501)
			}
		}
	})
}

// A consumer that takes no more from its socket holds up to a buffer full of messages;
// the rest stay where they were, and go to others.
func TestBadInputAConsumerThatStopsReading(t *testing.T) {
	t.Parallel()
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	const messages, size, stalled = 15_000, 4096, 10
	conn := dialTo(t, p.url())
	ch := confirming(t, conn)
	must(t, ch.ExchangeDeclare("wide", "fanout", true, false, false, false, nil))
	for i := range stalled {
		_, err := ch.QueueDeclare(fmt.Sprintf("stalled-%d", i), true, false, false, false, nil)
		must(t, err)
		bind(t, ch, fmt.Sprintf("stalled-%d", i), "", "wide", nil)
	}
	body := make([]byte, size)
	var last *amqp.DeferredConfirmation
	for range messages {
		c, err := ch.PublishWithDeferredConfirm("wide", "", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		must(t, err)
		last = c
	}
	settled(t, last)

	// 60 MB for each of ten consumers, if the broker were to buffer it.
	unharmed(t, p, 128<<20, func() {
		var sockets []*rawConn
		for i := range stalled {
			c := rawDial(t, p.url())
			c.handshake(t, 0)
			c.openChannel(t, 1)
			// Without acks, so that no prefetch holds the broker back.
			c.sendMethod(t, 1, basicConsume, wire(nil).short(0).shortstr(fmt.Sprintf("stalled-%d", i)).shortstr("").octet(0b0010).emptyTable())
			c.expectMethod(t, basicConsumeOk)
			sockets = append(sockets, c)
		}
		<-time.After(time.Second) // for the broker to give what it will
		left := 0
		for i := range stalled {
			q, err := ch.QueueDeclarePassive(fmt.Sprintf("stalled-%d", i), false, false, false, false, nil)
			must(t, err)
			left += q.Messages
		}
		if left < stalled*messages/2 {
			t.Errorf("%d of %d messages are left in the queues of consumers that do not read", left, stalled*messages)
		}
		// Another consumer of such a queue gets the rest, and publishing to it goes on.
		other := open(t, conn)
		ds := consume(t, other, "stalled-0", true)
		for range 1000 {
			receive(t, ds)
		}
		if !confirmed(t, ch, "wide", "", text("one more")) {
			t.Error("a publish was nacked")
		}
		other.Close()
		for _, c := range sockets {
			c.reset(t)
		}
	})
}

// A client that asks and asks and never reads an answer is not read any more itself.
func TestBadInputAClientThatNeverReadsItsReplies(t *testing.T) {
	t.Parallel()
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	name := strings.Repeat("q", 255) // makes every reply as long as its request
	unharmed(t, p, 64<<20, func() {
		c := rawDial(t, p.url())
		c.handshake(t, 0)
		c.openChannel(t, 1)
		c.sendMethod(t, 1, queueDeclare, wire(nil).short(0).shortstr(name).octet(0b0100).emptyTable())
		c.expectMethod(t, queueDeclareOk)
		ask := encodeMethod(1, queueDeclare, wire(nil).short(0).shortstr(name).octet(0b0001).emptyTable())
		var many []byte
		for range 200 {
			many = append(many, ask...)
		}
		for range 8000 { // 400 MB, were they all taken
			must(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			if _, err := c.Write(many); err != nil {
				break
			}
		}
		c.reset(t)
	})
}

// Confirms that nobody reads do not pile up either.
func TestBadInputAPublisherThatNeverReadsItsConfirms(t *testing.T) {
	t.Parallel()
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	ch := channelTo(t, p.url())
	_, err := ch.QueueDeclare("bounded", true, false, false, false, amqp.Table{"x-max-length": 1000})
	must(t, err)
	unharmed(t, p, 128<<20, func() {
		c := rawDial(t, p.url())
		c.handshake(t, 0)
		c.openChannel(t, 1)
		c.sendMethod(t, 1, confirmSelect, wire{0})
		c.expectMethod(t, confirmSelectOk)
		one := encodePublish(1, "", "bounded", make([]byte, 10), 4096)
		var many []byte
		for range 500 {
			many = append(many, one...)
		}
		for range 400 {
			must(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			if _, err := c.Write(many); err != nil {
				break
			}
		}
		c.reset(t)
	})
}

func channelTo(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	return open(t, dialTo(t, url))
}
