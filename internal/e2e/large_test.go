package e2e

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// While a message of 128 MiB is published, and while it is consumed, another
// connection's confirms come about as fast as before, and the broker needs a few
// mebibytes more memory.
func TestLargestMessageNeitherFillsMemoryNorHoldsOthersUp(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	probe := newProbe(t, p.url())
	defer probe.stop()
	// A bare client: what a library does with 128 MiB would slow the probe.
	c := rawDial(t, p.url())
	c.handshake(t, 0)
	c.openChannel(t, 1)
	c.sendMethod(t, 1, queueDeclare, wire(nil).short(0).shortstr("large").octet(2).emptyTable())
	c.expectMethod(t, queueDeclareOk)
	c.sendMethod(t, 1, confirmSelect, wire(nil).octet(0))
	c.expectMethod(t, confirmSelectOk)
	body := make([]byte, 128<<20)
	for i := range body {
		body[i] = byte(i >> 16)
	}
	sum := crc32.ChecksumIEEE(body)
	message := encodePersistent(1, "large", body)
	tags := uint64(0)
	publish := func(message []byte) {
		c.send(t, message)
		c.expectMethod(t, basicAck)
	}
	consume := func() (got uint32) {
		tags++
		c.sendMethod(t, 1, basicGet, wire(nil).short(0).shortstr("large").octet(0))
		c.expectMethod(t, basicGetOk)
		got = c.contentSum(t)
		c.sendMethod(t, 1, basicAck, wire(nil).longlong(tags).octet(0))
		return got
	}
	// What a first one needs once, pools and stacks, is not counted.
	publish(encodePersistent(1, "large", body[:8<<20]))
	consume()

	usual := probe.during(func() { time.Sleep(2 * time.Second) })
	before := p.rss(t)
	most := before
	watch := func(fn func()) []time.Duration {
		done := make(chan struct{})
		go func() {
			defer close(done)
			fn()
		}()
		return probe.during(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(5 * time.Millisecond):
					most = max(most, p.rss(t))
				}
			}
		})
	}
	began := time.Now()
	in := watch(func() { publish(message) })
	published := time.Since(began)
	began = time.Now()
	out := watch(func() {
		if consume() != sum {
			t.Error("the body that came is another")
		}
	})
	consumed := time.Since(began)
	t.Logf("published in %v, consumed in %v; memory %d MB before, %d at most", published, consumed, before>>20, most>>20)
	t.Logf("confirms usually: %v", describe(usual))
	t.Logf("while it came in: %v", describe(in))
	t.Logf("while it went out: %v", describe(out))
	if most-before > 16<<20 {
		t.Errorf("memory grew by %d MB", (most-before)>>20)
	}
	for _, d := range [][]time.Duration{in, out} {
		if len(d) == 0 || d[len(d)/2] > 10*usual[len(usual)/2]+5*time.Millisecond {
			t.Errorf("%d confirms while the message passed, median, tail and longest %v", len(d), describe(d))
		}
	}
}

// encodePersistent is encodePublish of a persistent message to a queue.
func encodePersistent(channel uint16, queue string, body []byte) []byte {
	b := encodeMethod(channel, basicPublish, wire(nil).short(0).shortstr("").shortstr(queue).octet(0))
	b = append(b, encodeFrame(frameHeader, channel, wire(nil).short(60).short(0).longlong(uint64(len(body))).short(1<<12).octet(2))...)
	b = slices.Grow(b, len(body)+len(body)>>12)
	for len(body) > 0 {
		n := min(len(body), 131072-8)
		b = append(b, encodeFrame(frameBody, channel, body[:n])...)
		body = body[n:]
	}
	return b
}

// contentSum reads a header and a body and returns the body's checksum.
func (c *rawConn) contentSum(t testing.TB) (sum uint32) {
	t.Helper()
	f, err := c.readFrame(patience)
	must(t, err)
	for left := binary.BigEndian.Uint64(f.payload[4:]); left > 0; {
		f, err := c.readFrame(patience)
		must(t, err)
		if f.kind != frameBody {
			t.Fatalf("got %+v, want a body", f)
		}
		sum = crc32.Update(sum, crc32.IEEETable, f.payload)
		left -= uint64(len(f.payload))
	}
	return sum
}

const (
	basicGet   method = 60<<16 | 70
	basicGetOk method = 60<<16 | 71
)

// probe publishes small messages one after another, on a connection of its own, and
// measures how long each confirm takes.
type probe struct {
	took chan time.Duration
	end  chan struct{}
}

func newProbe(t *testing.T, url string) *probe {
	conn := dialTo(t, url)
	ch := confirming(t, conn)
	_, err := ch.QueueDeclare("probe", true, false, false, false, amqp.Table{"x-max-length": 10})
	must(t, err)
	p := &probe{took: make(chan time.Duration, 1<<16), end: make(chan struct{})}
	go func() {
		defer close(p.took)
		for {
			select {
			case <-p.end:
				return
			default:
			}
			began := time.Now()
			d, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", "probe", false, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("probe")})
			if err != nil || !d.Wait() {
				t.Errorf("probe: %v", err)
				return
			}
			p.took <- time.Since(began)
		}
	}()
	return p
}

// during returns how long the confirms took that came while fn ran, in order of
// length.
func (p *probe) during(fn func()) []time.Duration {
	for len(p.took) > 0 {
		<-p.took
	}
	fn()
	list := make([]time.Duration, len(p.took))
	for i := range list {
		list[i] = <-p.took
	}
	slices.Sort(list)
	return list
}

func (p *probe) stop() {
	close(p.end)
	for range p.took {
	}
}

// describe gives the median and the tail of ordered durations.
func describe(d []time.Duration) []time.Duration {
	if len(d) == 0 {
		return nil
	}
	return []time.Duration{d[len(d)/2], d[len(d)*9/10], d[len(d)*99/100], d[len(d)-1]}
}
