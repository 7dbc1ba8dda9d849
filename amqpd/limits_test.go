package amqpd_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A bound for each thing that a client may pile up, and the code by which it learns
// of it.

func TestConsumersOverTheLimitOfAChannelAreRefused(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{MaxConsumers: 3}})
	c := b.Client(t)
	for ch := uint16(1); ch <= 2; ch++ {
		c.Open(ch)
		c.Declare(ch, wire.QueueDeclare{Queue: "q"})
		for i := range 3 {
			c.Consume(ch, wire.BasicConsume{Queue: "q", ConsumerTag: fmt.Sprint(i)})
		}
	}
	c.Send(1, &wire.BasicCancel{ConsumerTag: "1"}) // makes room for one
	brokertest.Expect[*wire.BasicCancelOk](c, 1)
	c.Consume(1, wire.BasicConsume{Queue: "q"})
	c.Send(1, &wire.BasicConsume{Queue: "q"})
	if text := c.ExpectClose(530); text != "NOT_ALLOWED - reached maximum (3) of consumers per channel" {
		t.Error(text)
	}
}

func TestATransactionThatIsTooLargeIsRolledBack(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{MaxTransaction: 1 << 20}})
	c := b.Client(t)
	c.Open(1)
	c.Declare(1, wire.QueueDeclare{Queue: "q"})
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	body := strings.Repeat("x", 100_000)
	for range 3 { // what was committed or rolled back counts no more
		for range 9 {
			c.Publish(1, "", "q", nil, body)
		}
		c.Send(1, &wire.TxRollback{})
		brokertest.Expect[*wire.TxRollbackOk](c, 1)
	}
	for range 9 {
		c.Publish(1, "", "q", nil, body)
	}
	c.Send(1, &wire.TxCommit{})
	brokertest.Expect[*wire.TxCommitOk](c, 1)
	for range 11 {
		c.Publish(1, "", "q", nil, body)
	}
	c.ExpectChannelClose(1, amqp.CodePreconditionFailed)
	c.Open(1)
	if n := c.Declare(1, wire.QueueDeclare{Queue: "q"}).MessageCount; n != 9 {
		t.Errorf("%d messages, want the 9 that were committed", n)
	}
	// Nor can it be filled with messages of nothing.
	c.Open(2)
	c.Send(2, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 2)
	for range 5000 {
		c.Publish(2, "", "q", nil, "")
	}
	c.ExpectChannelClose(2, amqp.CodePreconditionFailed)
}

// Declarations whose answers nobody reads are not carried out beyond a bound, and
// hold nobody up.
func TestPipelinedDeclarationsAreBounded(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{OutBuffer: 64 << 10}})
	stop := bystander(t, b)
	c := b.Client(t)
	c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	c.Open(1)
	name := strings.Repeat("n", 200) // comes back with each answer
	var ask []byte
	for range 1000 {
		ask = wire.AppendMethod(ask, 1, &wire.QueueDeclare{Queue: name})
	}
	before := memory()
	stuck := false
	for range 2000 {
		c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := c.Conn.Write(ask); err != nil {
			stuck = true
			break
		}
	}
	if !stuck {
		t.Error("two million declarations were carried out for who reads no answer")
	}
	if after := memory(); after > before+8<<20 {
		t.Errorf("memory went from %d to %d KiB", before>>10, after>>10)
	}
	if stop() == 0 {
		t.Error("the bystander got nowhere")
	}
}

// Deliveries that are never acknowledged cost by their number, a few dozen bytes
// each, and all return, in order, when their consumer goes.
func TestManyUnackedDeliveriesCostLittle(t *testing.T) {
	const n = 200_000
	b := brokertest.Start(t, brokertest.Options{})
	stop := bystander(t, b)
	p := b.Client(t)
	p.Open(1)
	p.Declare(1, wire.QueueDeclare{Queue: "q"})
	var all []byte
	for range n {
		all = append(all, p.Message(1, "", "q", nil, "m")...)
	}
	p.Write(all)
	all = nil
	if got := p.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}).MessageCount; got != n {
		t.Fatalf("%d messages", got)
	}
	c := b.Client(t)
	c.Open(1)
	before := memory()
	c.Consume(1, wire.BasicConsume{Queue: "q"})
	for i := range uint64(n) {
		if tag := brokertest.Expect[*wire.BasicDeliver](c, 1).DeliveryTag; tag != i+1 {
			t.Fatalf("tag %d, want %d", tag, i+1)
		}
	}
	each := (int64(memory()) - int64(before)) / n
	t.Logf("%d bytes each", each)
	if each > 150 && !raceEnabled {
		t.Errorf("an unacked delivery costs %d bytes", each)
	}
	c.Conn.Close()
	eventually(t, func() bool { return p.Declare(1, wire.QueueDeclare{Queue: "q", Passive: true}).MessageCount == n })
	if stop() == 0 {
		t.Error("the bystander got nowhere")
	}
}

// Headers as large and as deep as frames allow are taken, or refused for what they
// are, at a cost that follows their size.
func TestHugeHeaderTablesHarmNobody(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{Server: amqpd.Options{CloseTimeout: 50 * time.Millisecond}})
	stop := bystander(t, b)
	var fields []amqp.Field
	for i := range 10_000 {
		fields = append(fields, amqp.Field{Name: fmt.Sprintf("h%05d", 9999-i), Value: amqp.Int8(1)})
	}
	wide := amqp.NewTable(fields...)
	nest := func(depth int) amqp.Table {
		v := amqp.Nested(nil)
		for i := range depth - 2 {
			if i%2 == 0 {
				v = amqp.List(v)
			} else {
				v = amqp.Nested(amqp.NewTable(amqp.Field{Name: "d", Value: v}))
			}
		}
		return amqp.NewTable(amqp.Field{Name: "d", Value: v})
	}
	for name, c := range map[string]struct {
		headers amqp.Table
		taken   bool
	}{
		"wide": {wide, true}, "deep": {nest(amqp.MaxDepth), true}, "too deep": {nest(amqp.MaxDepth + 1), false}, "far too deep": {nest(8000), false},
	} {
		p := b.Client(t)
		p.Open(1)
		q := p.Declare(1, wire.QueueDeclare{Exclusive: true}).Queue
		for i := range 300 {
			args := amqp.NewTable(amqp.Field{Name: fmt.Sprintf("h%05d", i), Value: amqp.Int8(2)}, amqp.Field{Name: "x-match", Value: amqp.LongString("any")})
			p.Send(1, &wire.QueueBind{Queue: q, Exchange: "amq.headers", Arguments: args})
			brokertest.Expect[*wire.QueueBindOk](p, 1)
		}
		props := brokertest.Props(func(e *amqp.PropertiesEditor) { e.SetHeaders(c.headers) })
		for range 20 {
			p.Publish(1, "amq.headers", "", props, "")
		}
		p.Publish(1, "", q, props, "")
		if !c.taken {
			p.ExpectClose(amqp.CodeSyntaxError)
			continue
		}
		p.Send(1, &wire.BasicGet{Queue: q})
		if e := brokertest.ExpectEvent[*wire.BasicGetOk](p, 1); string(e.Props.Headers()) != string(c.headers) {
			t.Errorf("%s: other headers came back", name)
		}
	}
	if stop() == 0 {
		t.Error("the bystander got nowhere")
	}
}

// A client whose machine went away without a word, and which negotiated no
// heartbeat, is found out by TCP.
func TestHalfOpenConnectionsAreProbed(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{NoListener: true})
	l := listen(t)
	probed := make(chan bool, 1)
	served := make(chan error, 1)
	go func() { served <- b.Server.Serve(accepted{l, probed}) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !<-probed {
		t.Error("TCP keep-alive is off")
	}
	b.Stop()
	<-served
}

// accepted tells of each connection whether TCP probes its peer.
type accepted struct {
	net.Listener
	probed chan bool
}

func (a accepted) Accept() (net.Conn, error) {
	nc, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	on := 0
	if cerr := raw.Control(func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE) }); cerr != nil || err != nil {
		return nil, fmt.Errorf("getsockopt: %w, %w", cerr, err)
	}
	a.probed <- on != 0
	return nc, nil
}

// Channels, consumers and queues by the thousand on one connection, all of which go
// with it.
func TestWhatAClientPiledUpGoesWithItsConnection(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	c := b.Client(t)
	const channels, each = 200, 10
	var ask []byte
	for ch := uint16(1); ch <= channels; ch++ {
		ask = wire.AppendMethod(ask, ch, &wire.ChannelOpen{})
		for i := range each {
			q := fmt.Sprintf("q%d.%d", ch, i)
			ask = wire.AppendMethod(ask, ch, &wire.QueueDeclare{Queue: q, Exclusive: true, NoWait: true})
			ask = wire.AppendMethod(ask, ch, &wire.QueueBind{Queue: q, Exchange: "amq.fanout", NoWait: true})
			ask = wire.AppendMethod(ask, ch, &wire.BasicConsume{Queue: q, NoWait: true})
		}
	}
	ask = append(ask, c.Message(channels, "amq.fanout", "", nil, "to all")...)
	c.Write(ask)
	delivered := 0
	for delivered < channels*each {
		if e := c.Next(); e.Channel == 0 {
			t.Fatalf("%v", e)
		} else if _, ok := e.Method.(*wire.BasicDeliver); ok {
			delivered++
		}
	}
	c.Conn.Close()
	eventually(t, func() bool { return b.Server.Connections() == 0 })
	s, err := b.Broker.NewSession("/", &broker.User{Name: "guest"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for ch := 1; ch <= channels; ch++ {
		for i := range each {
			if _, err := s.DeclareQueue(broker.QueueSpec{Name: fmt.Sprintf("q%d.%d", ch, i), Passive: true}); amqp.AsError(err).Code != amqp.CodeNotFound {
				t.Fatalf("queue %d.%d: %v", ch, i, err)
			}
		}
	}
}
