package amqpd_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// Whole sessions of two connections that say anything, in any order: valid methods of
// every kind with arguments that concern each other, contents in pieces or out of
// place, frames with a bit turned or cut short, connections that end in the midst. The
// broker must not panic, must let go of what the connections had, must count right,
// and must serve the next client.

// script is what the connections say: bytes that are read as decisions. Where it
// ends all decisions are zero.
type script struct {
	rest  []byte
	timed bool   // some message goes by itself, or comes later
	last  uint64 // delivery tag of who speaks
}

func (s *script) pick(n int) int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b) % n
}

func pickOf[V any](s *script, list []V) V { return list[s.pick(len(list))] }

func (s *script) yes() bool { return s.pick(2) == 1 }

// The words of scripts: few, so that they meet.
var (
	queueWords    = []string{"q", "q", "q", "r", "r", "r", "dead", "dead", "prio", "other", "", "amq.rabbitmq.reply-to", "missing"}
	exchangeWords = []string{"", "", "", "x", "x", "y", "amq.topic", "amq.headers", "amq.fanout", "amq.fanout", "amq.fanout", "amq.topic", "missing"}
	typeWords     = []string{"direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random", "x-delayed-message"}
	keyWords      = []string{"q", "q", "r", "r", "dead", "", "a.b", "*.b", "#", "3"}
	tagWords      = []string{"", "s", "t"}
	tableWords    = []amqp.Table{
		nil,
		fields("x-max-length", 1), fields("x-max-length", 2, "x-overflow", "reject-publish"), fields("x-max-length-bytes", 10, "x-overflow", "reject-publish-dlx", "x-dead-letter-exchange", ""),
		fields("x-message-ttl", 0), fields("x-message-ttl", 2, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "dead"),
		fields("x-dead-letter-exchange", "x"), fields("x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"),
		fields("x-expires", 5), fields("x-max-priority", 3), fields("x-single-active-consumer", true),
		fields("x-queue-type", "quorum", "x-delivery-limit", 1), fields("x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "dead", "x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish"),
		fields("alternate-exchange", "y"), fields("x-match", "any", "h", 1), fields("x-match", "all-with-x", "x-h", 1),
		fields("hash-header", "h"), fields("hash-property", "message_id"), fields("x-delayed-type", "fanout"),
		fields("x-priority", 5), fields("x-consumer-timeout", 1000), fields("x-queue-type", "stream"), fields("x-whatever", amqp.Void()),
	}
	bodySizes = []int{0, 1, 9, 4088, 4089, 20_000, 70_000}
)

func fields(pairs ...any) amqp.Table {
	t := amqp.NewTable()
	for i := 0; i < len(pairs); i += 2 {
		v, ok := pairs[i+1].(amqp.Value)
		if !ok {
			switch x := pairs[i+1].(type) {
			case int:
				v = amqp.Int32(int32(x))
			case string:
				v = amqp.LongString(x)
			case bool:
				v = amqp.Bool(x)
			}
		}
		t = t.With(pairs[i].(string), v)
	}
	return t
}

// propWords change a message's properties.
var propWords = []func(e *amqp.PropertiesEditor){
	func(*amqp.PropertiesEditor) {},
	func(e *amqp.PropertiesEditor) { e.SetDeliveryMode(2) },
	func(e *amqp.PropertiesEditor) { e.SetDeliveryMode(2).SetPriority(2) },
	func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropReplyTo, "amq.rabbitmq.reply-to") },
	func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropExpiration, "1") },
	func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropExpiration, "0") },
	func(e *amqp.PropertiesEditor) {
		e.SetHeaders(fields("h", 1, "x-h", 1, "x-delay", 2)).SetString(amqp.PropMessageID, "m")
	},
	func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropUserID, "guest") },
	func(e *amqp.PropertiesEditor) { e.SetString(amqp.PropUserID, "other") },
	func(e *amqp.PropertiesEditor) {
		e.SetHeaders(fields("CC", amqp.List(amqp.LongString("q"), amqp.LongString("r")), "BCC", amqp.List(amqp.LongString("dead"))))
	},
	func(e *amqp.PropertiesEditor) { e.SetHeaders(fields("CC", 1)) },
}

// Of propWords, those by which a message goes by itself or comes later.
const (
	firstTimed = 4
	lastTimed  = 6
)

// args are mostly none.
func (s *script) args() amqp.Table {
	if s.pick(3) != 1 {
		return nil
	}
	return pickOf(s, tableWords)
}

// tag is one of those that the connection was given lately, or just not.
func (s *script) tag() uint64 { return s.last - min(s.last, uint64(s.pick(4))) }

// verbs are the methods that scripts say, each made of decisions.
var verbs = []func(s *script) wire.Method{
	func(s *script) wire.Method {
		return &wire.QueueDeclare{Queue: pickOf(s, queueWords), Durable: s.yes(), Exclusive: s.pick(4) == 1, AutoDelete: s.pick(4) == 1,
			Passive: s.pick(4) == 1, NoWait: s.yes(), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.QueueBind{Queue: pickOf(s, queueWords), Exchange: pickOf(s, exchangeWords), RoutingKey: pickOf(s, keyWords), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.QueueUnbind{Queue: pickOf(s, queueWords), Exchange: pickOf(s, exchangeWords), RoutingKey: pickOf(s, keyWords), Arguments: s.args()}
	},
	func(s *script) wire.Method { return &wire.QueuePurge{Queue: pickOf(s, queueWords), NoWait: s.yes()} },
	func(s *script) wire.Method {
		return &wire.QueueDelete{Queue: pickOf(s, queueWords), IfUnused: s.pick(4) == 1, IfEmpty: s.pick(4) == 1, NoWait: s.yes()}
	},
	func(s *script) wire.Method {
		return &wire.ExchangeDeclare{Exchange: pickOf(s, exchangeWords), Type: pickOf(s, typeWords), Durable: s.yes(), AutoDelete: s.pick(4) == 1,
			Internal: s.pick(8) == 1, Passive: s.pick(4) == 1, NoWait: s.yes(), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.ExchangeDelete{Exchange: pickOf(s, exchangeWords), IfUnused: s.yes(), NoWait: s.yes()}
	},
	func(s *script) wire.Method {
		return &wire.ExchangeBind{Destination: pickOf(s, exchangeWords), Source: pickOf(s, exchangeWords), RoutingKey: pickOf(s, keyWords), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.ExchangeUnbind{Destination: pickOf(s, exchangeWords), Source: pickOf(s, exchangeWords), RoutingKey: pickOf(s, keyWords), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.BasicQos{PrefetchCount: uint16(s.pick(4)), Global: s.yes(), PrefetchSize: uint32(s.pick(20) / 19)}
	},
	func(s *script) wire.Method {
		return &wire.BasicConsume{Queue: pickOf(s, queueWords), ConsumerTag: pickOf(s, tagWords), NoAck: s.yes(), Exclusive: s.pick(6) == 1, NoWait: s.yes(), Arguments: s.args()}
	},
	func(s *script) wire.Method {
		return &wire.BasicCancel{ConsumerTag: pickOf(s, tagWords), NoWait: s.yes()}
	},
	func(s *script) wire.Method { return &wire.BasicGet{Queue: pickOf(s, queueWords), NoAck: s.yes()} },
	func(s *script) wire.Method { return &wire.BasicAck{DeliveryTag: s.tag(), Multiple: s.yes()} },
	func(s *script) wire.Method {
		return &wire.BasicNack{DeliveryTag: s.tag(), Multiple: s.yes(), Requeue: s.yes()}
	},
	func(s *script) wire.Method {
		return &wire.BasicReject{DeliveryTag: s.tag(), Requeue: s.yes()}
	},
	func(s *script) wire.Method { return &wire.BasicRecover{Requeue: s.pick(4) != 0} },
	func(s *script) wire.Method { return &wire.BasicRecoverAsync{Requeue: s.pick(4) != 0} },
	func(s *script) wire.Method { return &wire.ConfirmSelect{NoWait: s.yes()} },
	func(s *script) wire.Method { return &wire.TxSelect{} },
	func(s *script) wire.Method { return &wire.TxCommit{} },
	func(s *script) wire.Method { return &wire.TxRollback{} },
}

// rareVerbs end a connection where they come at the wrong time.
var rareVerbs = []func(s *script) wire.Method{
	func(s *script) wire.Method { return &wire.ChannelOpen{} },
	func(s *script) wire.Method { return &wire.ChannelFlow{Active: s.yes()} },
	func(s *script) wire.Method { return &wire.ChannelClose{ReplyCode: 200} },
	func(s *script) wire.Method { return &wire.ChannelCloseOk{} },
	func(s *script) wire.Method { return &wire.BasicCancelOk{ConsumerTag: pickOf(s, tagWords)} },
	func(s *script) wire.Method { return &wire.ChannelFlowOk{} },
	func(s *script) wire.Method { return &wire.AccessRequest{} },
	func(s *script) wire.Method { return &wire.ExchangeDeclare{Exchange: "x", Type: "none"} },
	func(s *script) wire.Method { return &wire.BasicRecover{} },
	func(s *script) wire.Method { return &wire.BasicQos{PrefetchSize: 1} },
}

// What a script may do beside its verbs.
const (
	actPublish = iota // a whole message; by far the likeliest
	actReopen         // the channel is closed and opened again
	actBreathe        // the broker is given time
	actPieces         // a method, header and bodies, some of which may be missing
	actAny            // any method of AMQP with senseless arguments
	actRare           // one of rareVerbs, perhaps on a channel that is not open
	actSpoil          // turns a bit of what was said last, before it is sent
	actCut            // cuts the end off what was said last
	actDrop           // the connection ends
	actDeaf           // the connection is read no more
	actBeat           // a heartbeat
	actZero           // a method on channel 0
	acts
)

// say returns the next frames of one connection, and what is to become of it.
func (s *script) say() (frames []byte, act int) {
	channel := uint16(1 + s.pick(2))
	n := s.pick(256)
	switch {
	case n < acts: // as often as anything else, of 256
	case n < acts+5*len(verbs):
		return wire.AppendMethod(nil, channel, verbs[(n-acts)%len(verbs)](s)), -1
	case n < 248:
		n = actPublish
	default:
		n = actReopen + n%2
	}
	publish := func() (m *wire.BasicPublish, props amqp.Properties, body []byte) {
		m = &wire.BasicPublish{Exchange: []byte(pickOf(s, exchangeWords)), RoutingKey: []byte(pickOf(s, keyWords)), Mandatory: s.yes(), Immediate: s.pick(30) == 29}
		word := s.pick(3)
		if s.pick(4) == 1 {
			word = s.pick(len(propWords))
		}
		s.timed = s.timed || word >= firstTimed && word <= lastTimed
		return m, brokertest.Props(propWords[word]), make([]byte, pickOf(s, bodySizes))
	}
	switch n {
	case actReopen:
		frames = wire.AppendMethod(wire.AppendMethod(nil, channel, &wire.ChannelClose{ReplyCode: 200}), channel, &wire.ChannelOpen{})
	case actRare:
		frames = wire.AppendMethod(nil, uint16(1+s.pick(3)), pickOf(s, rareVerbs)(s))
	case actPublish:
		m, props, body := publish()
		frames = wire.AppendPublish(nil, channel, 4096, m, props, body)
	case actPieces:
		m, props, body := publish()
		if s.yes() {
			frames = wire.AppendMethod(frames, channel, m)
		}
		if s.yes() {
			frames = wire.AppendHeader(frames, channel, props, uint64(len(body)))
		}
		for len(body) > 0 && s.yes() {
			k := min(len(body), 1+s.pick(255)*16)
			frames = wire.AppendBody(frames, channel, 4096, body[:k])
			body = body[k:]
		}
	case actAny:
		defs := wire.Definitions()
		id := defs[s.pick(len(defs))].ID
		size := s.pick(40)
		args := s.rest[:min(len(s.rest), size)]
		s.rest = s.rest[len(args):]
		frames = wire.AppendFrameHead(nil, wire.FrameMethod, channel, 4+len(args))
		frames = binary.BigEndian.AppendUint32(frames, uint32(id))
		frames = append(append(frames, args...), wire.FrameEnd)
	case actSpoil, actCut:
		frames, _ = s.say()
		if len(frames) > 0 {
			at := (s.pick(256)<<8 | s.pick(256)) % len(frames)
			if n == actCut {
				frames = frames[:at]
			} else {
				frames[at] ^= 1 << s.pick(8)
			}
		}
	case actBeat:
		frames = wire.AppendHeartbeat(nil)
	case actZero:
		frames = wire.AppendMethod(nil, 0, pickOf(s, []wire.Method{
			&wire.ConnectionClose{ReplyCode: 200}, &wire.ConnectionUpdateSecret{}, &wire.ConnectionCloseOk{}, &wire.ConnectionOpen{VirtualHost: "/"},
			&wire.ConnectionStartOk{Mechanism: "PLAIN"}, &wire.ConnectionTuneOk{}, &wire.ChannelOpen{}, &wire.ConnectionBlocked{}, &wire.BasicGet{},
		}))
	}
	return frames, n
}

// speaker is one connection of a script.
type speaker struct {
	nc   net.Conn
	deaf atomic.Bool
	gone chan struct{} // closed when nothing is read any more

	heard map[wire.ID]int // after gone
	last  atomic.Uint64   // delivery tag
}

// sessionsBench is the broker that scripts are played to, each in a vhost of its own.
type sessionsBench struct {
	*brokertest.Broker
	n     atomic.Int64
	heard map[wire.ID]int // what the broker has said
}

func newSessionsBench(t testing.TB) *sessionsBench {
	return &sessionsBench{heard: map[wire.ID]int{}, Broker: brokertest.Start(t, brokertest.Options{
		NoListener: true,
		Dir:        "data",
		Broker:     broker.Options{Store: store.Options{FS: vfs.NewMem(), LargeBytes: 64 << 10}},
		Server:     amqpd.Options{CloseTimeout: time.Millisecond, MaxMessageSize: 1 << 20, OutBuffer: 64 << 10},
	})}
}

func (b *sessionsBench) connect(t testing.TB, vhost string) *speaker {
	ours, theirs := net.Pipe()
	b.Server.ServeConn(theirs)
	s := &speaker{nc: ours, gone: make(chan struct{}), heard: map[wire.ID]int{}}
	go func() {
		defer close(s.gone)
		s.listen()
	}()
	login := []byte(wire.ProtocolHeader)
	for _, m := range []wire.Method{
		&wire.ConnectionStartOk{Mechanism: "PLAIN", Response: wire.EncodePlain("guest", "guest"), Locale: "en_US", ClientProperties: fields(
			"capabilities", amqp.Nested(fields("consumer_cancel_notify", true, "authentication_failure_close", true)))},
		&wire.ConnectionTuneOk{FrameMax: 4096}, &wire.ConnectionOpen{VirtualHost: vhost},
	} {
		login = wire.AppendMethod(login, 0, m)
	}
	s.write(login)
	return s
}

// listen reads until the end. A channel that the broker closes is opened anew, or
// most scripts would be over soon.
func (s *speaker) listen() {
	reopen := make(chan uint16, 100)
	var wg sync.WaitGroup
	wg.Go(func() { // beside the reading, for which the broker may have to wait
		for ch := range reopen {
			s.write(wire.AppendMethod(wire.AppendMethod(nil, ch, &wire.ChannelCloseOk{}), ch, &wire.ChannelOpen{}))
		}
	})
	defer wg.Wait()
	defer close(reopen)
	var buf []byte
	piece := make([]byte, 32<<10)
	for {
		n, err := s.nc.Read(piece)
		if err != nil {
			return
		}
		buf = append(buf, piece[:n]...)
		for {
			f, size, err := wire.ParseFrame(buf, 0)
			if err != nil || size > len(buf) {
				break
			}
			if f.Type == wire.FrameMethod {
				id, _, _ := wire.CutID(f.Payload)
				s.heard[id]++
				switch id {
				case wire.IDChannelClose:
					select {
					case reopen <- f.Channel:
					default:
					}
				case wire.IDBasicDeliver, wire.IDBasicGetOk:
					switch m, _ := wire.DecodeMethod(f.Payload); m := m.(type) {
					case *wire.BasicDeliver:
						s.last.Store(m.DeliveryTag)
					case *wire.BasicGetOk:
						s.last.Store(m.DeliveryTag)
					}
				}
			}
			buf = buf[size:]
		}
	}
}

func (s *speaker) write(p []byte) {
	patience := 10 * time.Second
	if s.deaf.Load() {
		patience = 5 * time.Millisecond // the broker may well not read who does not
	}
	s.nc.SetWriteDeadline(time.Now().Add(patience))
	_, _ = s.nc.Write(p)
}

// play lets two connections say what a script decides, ends them, and checks what
// they leave.
func (b *sessionsBench) play(t *testing.T, said []byte) {
	t.Helper()
	vhost := fmt.Sprint("v", b.n.Add(1))
	if err := b.AddVHost(vhost); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetPermissions(access.Permissions{User: "guest", VHost: vhost, Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		t.Fatal(err)
	}
	s := &script{rest: said}
	speakers := []*speaker{b.connect(t, vhost), b.connect(t, vhost)}
	for _, each := range speakers {
		each.write(wire.AppendMethod(wire.AppendMethod(nil, 1, &wire.ChannelOpen{}), 2, &wire.ChannelOpen{}))
	}
	for _, q := range []string{"q", "r", "dead"} { // else most of what is said would be of nothing
		speakers[0].write(wire.AppendMethod(nil, 1, &wire.QueueDeclare{Queue: q, Durable: s.yes(), NoWait: true, Arguments: s.args()}))
	}
	speakers[0].write(wire.AppendMethod(nil, 1, &wire.QueueBind{Queue: "q", Exchange: "amq.fanout", NoWait: true}))
	for steps := 0; len(s.rest) > 0 && steps < 200; steps++ {
		who := speakers[s.pick(2)]
		s.last = who.last.Load()
		frames, act := s.say()
		switch act {
		case actBreathe:
			for range 20 {
				runtime.Gosched()
			}
		case actDrop:
			who.nc.Close()
			continue
		case actDeaf:
			if who.deaf.CompareAndSwap(false, true) {
				who.nc.SetReadDeadline(time.Unix(1, 0))
			}
			continue
		}
		who.write(frames)
	}
	polite := s.pick(3)
	var wg sync.WaitGroup
	for i, each := range speakers {
		wg.Go(func() {
			if polite == i+1 {
				each.write(wire.AppendMethod(nil, 0, &wire.ConnectionClose{ReplyCode: 200}))
			}
			each.nc.Close()
			<-each.gone
		})
	}
	wg.Wait()
	for _, each := range speakers {
		for id, n := range each.heard {
			b.heard[id] += n
		}
	}
	b.await(t, "the connections are still there", func() bool { return b.Server.Connections() == 0 })
	b.settled(t, vhost, s.timed)
	b.healthy(t, vhost)
	if err := b.DeleteVHost(vhost); err != nil {
		t.Fatal(err)
	}
}

func (b *sessionsBench) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// settled checks that nobody holds anything any more, and that what the queues say
// they have is there.
func (b *sessionsBench) settled(t *testing.T, vhost string, moving bool) {
	t.Helper()
	b.await(t, "something is unacked, or consumed, by nobody", func() bool {
		queues, err := b.Queues(vhost)
		for _, q := range queues {
			// Dead letters that may not be lost wait unacked while they reach no queue.
			strategy, _ := q.Args.LongString("x-dead-letter-strategy")
			if q.Consumers > 0 || q.Unacked > 0 && strategy != "at-least-once" {
				return false
			}
		}
		return err == nil
	})
	b.await(t, "a queue stays longer than it may be", func() bool { // what returned to it goes in its own time
		queues, err := b.Queues(vhost)
		for _, q := range queues {
			if most, ok := q.Args.Int("x-max-length"); ok && !q.Args.Has("x-overflow") && int64(q.Ready) > most {
				return false
			}
		}
		return err == nil
	})
	user, err := b.LookUpUser("guest", true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.NewSession(vhost, user, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	queues, err := b.Queues(vhost)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		for _, arg := range []string{"x-message-ttl", "x-expires", "x-dead-letter-exchange"} {
			moving = moving || q.Args.Has(arg)
		}
	}
	for _, q := range queues {
		if q.Exclusive {
			t.Errorf("the exclusive queue %q outlived its connection", q.Name)
		}
		got := 0
		for {
			ok, err := s.Get(q.Name, true, func(*broker.Delivery, int) {})
			if err != nil && amqp.AsError(err).Code != amqp.CodeNotFound { // it may expire
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got++
		}
		if got != q.Ready && !moving {
			t.Errorf("queue %q of %v said that it had %d messages, and had %d", q.Name, amqp.Nested(q.Args), q.Ready, got)
		}
	}
}

// healthy checks that a client is served as if nothing had been.
func (b *sessionsBench) healthy(t *testing.T, vhost string) {
	t.Helper()
	ours, theirs := net.Pipe()
	b.Server.ServeConn(theirs)
	defer func() {
		ours.Close()
		b.await(t, "the healthy client is still there", func() bool { return b.Server.Connections() == 0 })
	}()
	c := brokertest.NewClient(t, ours)
	c.VHost = vhost
	c.Login()
	c.Open(1)
	c.Declare(1, wire.QueueDeclare{Queue: "healthy", Durable: true})
	c.Confirm(1)
	c.Publish(1, "", "healthy", brokertest.Persistent, "body")
	brokertest.Expect[*wire.BasicAck](c, 1)
	c.Send(1, &wire.BasicGet{Queue: "healthy"})
	if e := brokertest.ExpectEvent[*wire.BasicGetOk](c, 1); string(e.Body) != "body" {
		t.Errorf("got %v", e)
	}
	c.Send(0, &wire.ConnectionClose{ReplyCode: 200})
	_, _ = io.Copy(io.Discard, ours) // whether close-ok comes depends on who is quick
}

// seedSessions say each verb and act, where it means something and where it does
// not.
func seedSessions() (seeds [][]byte) {
	none := []byte{1, 0, 1, 0, 0, 0} // durable, transient and transient queues without arguments
	act := func(n int, more ...byte) []byte { return append([]byte{0, 0, byte(n)}, more...) }
	verb := func(i int, more ...byte) []byte { return act(acts+i, more...) }
	publish := act(actPublish, 0, 0, 0, 0, 1, 0, 2)
	breathe := act(actBreathe)
	for i := range verbs {
		seeds = append(seeds,
			slices.Concat(none, verb(i)),
			slices.Concat(none, publish, publish, verb(12, 0, 0), breathe, verb(i, 0, 1, 1), publish, verb(i, 1, 0, 1)),
			slices.Concat(none, publish, verb(10, 0, 1), breathe, verb(i, 0, 0, 1, 1), publish, verb(i, 3, 3, 3)))
	}
	for i := range acts {
		for k := range byte(12) {
			seeds = append(seeds, slices.Concat(none, verb(10, 0, 1), publish, breathe, act(i, k, k, 1, 0, 1, 4, 1, 1, 1), publish))
		}
	}
	for i := range wire.Definitions() { // every method, of clients and servers, with nonsense
		seeds = append(seeds, slices.Concat(none, publish, verb(10, 0, 1), breathe, act(actAny, byte(i), 8, 0, 1, 2, 3, 4, 5, 6, 7), publish))
	}
	for i := range tableWords { // arguments of a queue, with messages that meet them
		with := []byte{1, 1, byte(i), 1, 0, 0, 0}
		seeds = append(seeds, slices.Concat(with, publish, publish, verb(12, 0, 0), breathe, verb(14, 0, 0, 0), publish, verb(10, 0), breathe, verb(15, 0, 0)))
	}
	for i := range typeWords {
		seeds = append(seeds, slices.Concat(none, verb(5, 3, byte(i), 1), verb(1, 0, 3, 9), act(actPublish, 3, 0, 0, 0, 0, 1, 6, 2)))
	}
	for i := range bodySizes {
		body := act(actPublish, 0, 0, 1, 0, 1, 0, byte(i))
		seeds = append(seeds, slices.Concat(none, verb(18), body, verb(12, 0, 1), verb(19), body, breathe))
	}
	// A dead letter that may not be lost and finds only the queue it comes from.
	seeds = append(seeds, slices.Concat([]byte{0, 0, 0, 0, 1, 1, 12}, act(actPublish, 0, 4, 0, 0, 0, 1, 5, 2)))
	tx := slices.Concat(none, publish, verb(19), publish, verb(12, 0), breathe, verb(13, 0))
	return append(seeds, slices.Concat(tx, verb(20)), slices.Concat(tx, verb(21)), tx)
}

// FuzzSessions plays scripts. What a connection leaves is checked after each.
func FuzzSessions(f *testing.F) {
	for _, seed := range seedSessions() {
		f.Add(seed)
	}
	b := newSessionsBench(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		if len(said) > 4096 {
			return
		}
		b.play(t, said)
	})
}

// The same with scripts by chance, of which more go deep than a fuzzer without time
// to learn would find; and no goroutine is left of any.
func TestSessionsOfAnythingHarmNobody(t *testing.T) {
	b := newSessionsBench(t)
	b.play(t, nil)
	before := runtime.NumGoroutine()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var said []byte
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, script %q", seed, said)
		}
	}()
	for range 300 {
		said = make([]byte, rnd.IntN(1000))
		for i := range said {
			said[i] = byte(rnd.Uint32())
		}
		b.play(t, said)
	}
	// Were there none of these, which come by the dozen, the scripts would prove little.
	for _, id := range []wire.ID{wire.IDBasicDeliver, wire.IDBasicAck, wire.IDBasicGetOk} {
		if b.heard[id] == 0 {
			t.Errorf("the broker never said %v", id)
		}
	}
	t.Logf("the broker said %v", b.heard)
	b.await(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before })
}
