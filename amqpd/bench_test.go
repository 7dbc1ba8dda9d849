package amqpd_test

import (
	"net"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// flow drives one publisher and one consumer with bytes that are made before,
// and reads what comes without an allocation, so that what is measured is the
// broker's.
type flow struct {
	tb       testing.TB
	pub, sub net.Conn
	burst    []byte // n publishes
	n        int
	buf      []byte
	have     int
	ack      []byte
	tag      uint64 // last delivery
}

const burstSize = 200

// newFlow makes one with persistent or transient messages of a size. confirms
// also says whether the consumer acks.
func newFlow(tb testing.TB, size int, props amqp.Properties, confirms bool) *flow {
	b := brokertest.Start(tb, brokertest.Options{})
	pub, sub := b.Client(tb), b.Client(tb)
	pub.Open(1)
	q := pub.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true}).Queue
	if confirms {
		pub.Confirm(1)
	}
	sub.Open(1)
	if confirms {
		sub.Send(1, &wire.BasicQos{PrefetchCount: 2 * burstSize})
		brokertest.Expect[*wire.BasicQosOk](sub, 1)
	}
	sub.Consume(1, wire.BasicConsume{Queue: q, NoAck: !confirms})
	pub.SetDeadline(time.Time{})
	sub.SetDeadline(time.Time{})
	f := &flow{tb: tb, pub: pub.Conn, sub: sub.Conn, buf: make([]byte, 1<<20)}
	body := string(make([]byte, size))
	for range burstSize {
		f.burst = append(f.burst, pub.Message(1, "", q, props, body)...)
		f.n++
	}
	return f
}

// until reads frames until fn has seen enough.
func (f *flow) until(nc net.Conn, fn func(id wire.ID, args []byte) bool) {
	for at := 0; ; {
		fr, n, err := wire.ParseFrame(f.buf[at:f.have], 0)
		if err != nil {
			f.tb.Fatal(err)
		}
		if n <= f.have-at {
			at += n
			if fr.Type == wire.FrameMethod {
				id, args, _ := wire.CutID(fr.Payload)
				if fn(id, args) {
					// The rest of a message's frames are skipped by the next call.
					f.have = copy(f.buf, f.buf[at:f.have])
					return
				}
			}
			continue
		}
		f.have = copy(f.buf, f.buf[at:f.have])
		at = 0
		got, err := nc.Read(f.buf[f.have:])
		if err != nil {
			f.tb.Fatal(err)
		}
		f.have += got
	}
}

// round publishes a burst, waits until it is confirmed, then until it is
// delivered, and acks it.
func (f *flow) round() {
	if _, err := f.pub.Write(f.burst); err != nil {
		f.tb.Fatal(err)
	}
	f.confirmed()
	f.delivered()
}

func (f *flow) confirmed() {
	left := f.n
	last := f.tag
	f.until(f.pub, func(id wire.ID, args []byte) bool {
		var m wire.BasicAck
		if id != wire.IDBasicAck || m.Decode(args) != nil {
			f.tb.Errorf("got %v", id)
			return true
		}
		return m.DeliveryTag == last+uint64(left)
	})
	f.have = 0
}

func (f *flow) delivered() {
	last := f.tag + uint64(f.n)
	f.until(f.sub, func(id wire.ID, args []byte) bool {
		var m wire.BasicDeliver
		if id != wire.IDBasicDeliver || m.Decode(args) != nil {
			f.tb.Errorf("got %v", id)
			return true
		}
		return m.DeliveryTag == last
	})
	f.tag = last
	for f.have == 0 || !f.whole() { // the last message's header and body
		got, err := f.sub.Read(f.buf[f.have:])
		if err != nil {
			f.tb.Fatal(err)
		}
		f.have += got
	}
	f.have = 0
	f.ack = wire.AppendAck(f.ack[:0], 1, last, true)
	if _, err := f.sub.Write(f.ack); err != nil {
		f.tb.Fatal(err)
	}
}

// whole tells whether header and body of one message are in the buffer.
func (f *flow) whole() bool {
	fr, n, _ := wire.ParseFrame(f.buf[:f.have], 0)
	if n > f.have {
		return false
	}
	h, err := wire.DecodeHeader(fr.Payload)
	if err != nil {
		f.tb.Fatal(err)
	}
	return h.BodySize == 0 || f.have == n+int(h.BodySize)+8
}

// The way of a message, publish, route, append, deliver, confirm and ack,
// allocates nothing of its own: what is left is a commit's and a read's.
func TestTheHotPathDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are counted without the race detector")
		return
	}
	for name, props := range map[string]amqp.Properties{"persistent": brokertest.Persistent, "transient": amqp.NoProperties} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, 100, props, true)
			for range 50 {
				f.round()
			}
			each := testing.AllocsPerRun(100, f.round) / burstSize
			t.Logf("%.4f allocations a message", each)
			if each > 0.05 {
				t.Errorf("%.4f allocations a message", each)
			}
		})
	}
}

// BenchmarkFlow is bursts of publishes, each confirmed, delivered and acked
// before the next.
func BenchmarkFlow(b *testing.B) {
	for _, bm := range []struct {
		name  string
		size  int
		props amqp.Properties
	}{
		{"persistent/100B", 100, brokertest.Persistent},
		{"persistent/1KiB", 1 << 10, brokertest.Persistent},
		{"persistent/16KiB", 16 << 10, brokertest.Persistent},
		{"transient/100B", 100, amqp.NoProperties},
	} {
		b.Run(bm.name, func(b *testing.B) {
			f := newFlow(b, bm.size, bm.props, true)
			f.round()
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += f.n {
				f.round()
			}
		})
	}
}

// BenchmarkConfirm is one message at a time: what a lone publisher waits.
func BenchmarkConfirm(b *testing.B) {
	f := newFlow(b, 100, brokertest.Persistent, true)
	one := f.burst[:len(f.burst)/f.n]
	f.burst, f.n = one, 1
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := f.pub.Write(one); err != nil {
			b.Fatal(err)
		}
		f.confirmed()
		b.StopTimer()
		f.delivered()
		b.StartTimer()
	}
}
