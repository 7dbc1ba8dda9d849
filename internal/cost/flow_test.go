//go:build !race

package cost

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/certs/certtest"
	"github.com/leveret-mq/leveret/internal/tlsio"
)

// flow is what messages do. The zero value of a field is the plainest.
type flow struct {
	name  string
	props amqp.Properties
	size  int // of a body
	burst int // messages that each publisher sends at once

	unsure  bool // transient, without confirms, delivered without acks
	pairs   int  // publishers, each with a queue and a consumer; else one
	fanout  int  // queues that take each message
	topics  int  // of a topic exchange, with four bindings each; a message has one
	keys    int  // routing keys of topics, in turn
	single  bool // each delivery is acked by itself, else all of a burst at once
	backlog bool // a burst is consumed when all of it is queued
	tls     bool
	allocs  float64 // what a round may allocate beside its messages
}

// flows are the ways that are guarded. What several share comes first: where that
// grows, all do.
var flows = []flow{
	{name: "persistent", props: brokertest.Persistent, size: 100, burst: 200},
	{name: "persistent-1KiB", props: brokertest.Persistent, size: 1 << 10, burst: 50, allocs: 2},
	{name: "persistent-16KiB", props: brokertest.Persistent, size: 16 << 10, burst: 5, allocs: 2},
	{name: "acks", props: brokertest.Persistent, size: 100, burst: 200, single: true},
	{name: "headers", props: withHeaders, size: 100, burst: 200},
	{name: "one", props: brokertest.Persistent, size: 100, burst: 1},
	{name: "many", props: brokertest.Persistent, size: 100, burst: 1, pairs: 16, allocs: 2},
	{name: "backlog", props: brokertest.Persistent, size: 100, burst: 200, backlog: true, allocs: 30},
	{name: "transient", size: 100, burst: 200, unsure: true},
	{name: "transient-tls", size: 100, burst: 200, unsure: true, tls: true},
	{name: "fanout", props: brokertest.Persistent, size: 1 << 10, burst: 25, fanout: 10},
	{name: "topic", props: brokertest.Persistent, size: 100, burst: 200, topics: 100, keys: 1},
	{name: "topic-changing", props: brokertest.Persistent, size: 100, burst: 200, topics: 100, keys: 4000},
}

var withHeaders = must(amqp.NoProperties.Edit().SetDeliveryMode(2).SetString(amqp.PropContentType, "application/json").
	SetHeaders(amqp.NewTable(amqp.Field{Name: "attempt", Value: amqp.Int32(1)}, amqp.Field{Name: "source", Value: amqp.LongString("orders")})).Properties())

func must(p amqp.Properties, err error) amqp.Properties {
	if err != nil {
		panic(err)
	}
	return p
}

// running is a flow under way.
type running struct {
	flow
	tb    testing.TB
	pubs  []*publisher
	subs  []*subscriber
	round int
	buf   []byte
}

// publisher is a connection, with its bursts as they go over it, in turn.
type publisher struct {
	net.Conn
	bursts [][]byte
	sent   uint64
}

// subscriber is a connection with a consumer, which gets every burst's messages of
// so many bytes.
type subscriber struct {
	net.Conn
	messages int
	bytes    int
	tag      uint64 // of the last delivery
	words    []byte
}

// tag is every consumer's.
const tag = "c"

// start declares what the flow needs in b, a queue of a name of its own for each
// consumer.
func (f flow) start(tb testing.TB, b *served) *running {
	r := &running{flow: f, tb: tb, buf: make([]byte, 1<<20)}
	exchange, key := "", ""
	setup := b.client(tb, f.tls)
	setup.Open(1)
	queues := max(1, f.pairs, f.fanout)
	queue := func(i int) string { return fmt.Sprintf("%s-%02d", f.name, i) }
	for i := range queues {
		setup.Declare(1, wire.QueueDeclare{Queue: queue(i), Durable: !f.unsure})
	}
	bind := func(i int, key string) {
		setup.Send(1, &wire.QueueBind{Queue: queue(i), Exchange: exchange, RoutingKey: key})
		brokertest.Expect[*wire.QueueBindOk](setup, 1)
	}
	switch {
	case f.fanout > 0:
		exchange = "amq.fanout"
		for i := range queues {
			bind(i, "")
		}
	case f.topics > 0:
		exchange = "amq.topic"
		for i := range f.topics {
			for _, rest := range []string{"#", "*.*", "k.#", "k.*"} {
				bind(0, fmt.Sprintf("%02d.%s", i, rest))
			}
		}
	}
	for i := range max(1, f.pairs) {
		c := b.client(tb, f.tls)
		c.Open(1)
		if !f.unsure {
			c.Confirm(1)
		}
		c.SetDeadline(time.Time{})
		p := &publisher{Conn: c.Conn}
		for k := 0; k < max(1, f.keys); {
			var burst []byte
			for range f.burst {
				switch {
				case f.topics > 0:
					key = fmt.Sprintf("%02d.k.%06d", k%f.keys%f.topics, k%f.keys)
				case f.fanout == 0:
					key = queue(i)
				}
				burst = append(burst, c.Message(1, exchange, key, f.props, string(make([]byte, f.size)))...)
				k++
			}
			p.bursts = append(p.bursts, burst)
		}
		r.pubs = append(r.pubs, p)
	}
	for i := range queues {
		c := b.client(tb, f.tls)
		c.Open(1)
		s := &subscriber{Conn: c.Conn, messages: f.burst}
		if !f.unsure {
			c.Send(1, &wire.BasicQos{PrefetchCount: uint16(2*f.burst + 2)})
			brokertest.Expect[*wire.BasicQosOk](c, 1)
		}
		consume := wire.BasicConsume{Queue: queue(i), ConsumerTag: tag, NoAck: f.unsure}
		if f.backlog {
			s.words = wire.AppendMethod(nil, 1, &consume)
		} else {
			c.Consume(1, consume)
		}
		c.SetDeadline(time.Time{})
		m := wire.BasicDeliver{ConsumerTag: []byte(tag), Exchange: []byte(exchange), RoutingKey: []byte(key)}
		if f.fanout == 0 && f.topics == 0 {
			m.RoutingKey = []byte(queue(i))
		}
		s.bytes = f.burst * len(wire.AppendDeliver(nil, 1, c.Tune.FrameMax, &m, f.props, make([]byte, f.size)))
		r.subs = append(r.subs, s)
	}
	return r
}

// messages is how many are published in a round.
func (f *flow) messages() int { return f.burst * max(1, f.pairs) }

// step is a round: every publisher's burst is confirmed and delivered, and acked.
func (r *running) step() {
	for _, p := range r.pubs {
		r.write(p, p.bursts[r.round%len(p.bursts)])
		p.sent += uint64(r.burst)
	}
	r.round++
	if r.backlog {
		r.confirmed()
		for _, s := range r.subs {
			r.write(s, s.words)
			r.skip(s, consumeOkSize)
		}
	}
	for _, s := range r.subs {
		r.skip(s, s.bytes)
		s.tag += uint64(s.messages)
	}
	if !r.unsure {
		if !r.backlog {
			r.confirmed()
		}
		for _, s := range r.subs {
			b := r.buf[:0]
			if r.single {
				for tag := s.tag - uint64(s.messages); tag < s.tag; {
					tag++
					b = wire.AppendAck(b, 1, tag, false)
				}
			} else {
				b = wire.AppendAck(b, 1, s.tag, true)
			}
			if r.backlog {
				b = append(b, cancel...)
			}
			r.write(s, b)
			if r.backlog {
				r.skip(s, cancelOkSize)
			}
		}
	}
}

var (
	cancel        = wire.AppendMethod(nil, 1, &wire.BasicCancel{ConsumerTag: tag})
	cancelOkSize  = len(wire.AppendMethod(nil, 1, &wire.BasicCancelOk{ConsumerTag: tag}))
	consumeOkSize = len(wire.AppendMethod(nil, 1, &wire.BasicConsumeOk{ConsumerTag: tag}))
	ackSize       = len(wire.AppendAck(nil, 1, 1, false))
)

func (r *running) write(c net.Conn, b []byte) {
	if _, err := c.Write(b); err != nil {
		r.tb.Fatal(err)
	}
}

// skip reads n bytes.
func (r *running) skip(c net.Conn, n int) {
	for n > 0 {
		got, err := c.Read(r.buf[:min(n, len(r.buf))])
		if err != nil {
			r.tb.Fatal(err)
		}
		n -= got
	}
}

// confirmed reads every publisher's confirms.
func (r *running) confirmed() {
	for _, p := range r.pubs {
		for done := uint64(0); done < p.sent; {
			have := 0
			for have == 0 || have%ackSize != 0 {
				n, err := p.Read(r.buf[have:])
				if err != nil {
					r.tb.Fatal(err)
				}
				have += n
			}
			f, _, err := wire.ParseFrame(r.buf[have-ackSize:have], 0)
			if err != nil {
				r.tb.Fatal(err)
			}
			id, args, _ := wire.CutID(f.Payload)
			var m wire.BasicAck
			if id != wire.IDBasicAck || m.Decode(args) != nil || m.DeliveryTag > p.sent {
				r.tb.Fatalf("%v instead of a confirm up to %d", id, p.sent)
			}
			done = m.DeliveryTag
		}
	}
}

// served is a broker that takes connections with and without TLS.
type served struct {
	*brokertest.Broker
	ca      *certtest.Authority
	tlsAddr string
}

func startBroker(tb testing.TB, o brokertest.Options) *served {
	b := &served{Broker: brokertest.Start(tb, o), ca: certtest.NewAuthority(tb, "authority")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b.tlsAddr = l.Addr().String()
	ended := make(chan error, 1)
	server := b.Server
	go func() {
		ended <- server.Serve(tls.NewListener(tlsio.Listen(l), &tls.Config{Certificates: []tls.Certificate{b.ca.Server().TLS(tb)}}))
	}()
	tb.Cleanup(func() {
		b.Stop()
		if err := <-ended; err != amqpd.ErrServerClosed {
			tb.Errorf("serve: %v", err)
		}
	})
	return b
}

// client logs in.
func (b *served) client(tb testing.TB, encrypted bool) *brokertest.Client {
	if !encrypted {
		return b.Client(tb)
	}
	nc, err := net.Dial("tcp", b.tlsAddr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { nc.Close() })
	c := brokertest.NewClient(tb, tls.Client(nc, &tls.Config{RootCAs: b.ca.Pool(), ServerName: "localhost"}))
	c.Login()
	return c
}
