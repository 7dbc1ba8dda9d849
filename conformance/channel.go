package conformance

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Channel is a channel of a connection.
type Channel struct {
	Conn *Conn
	ID   uint16
	t    *T

	confirming bool
	published  uint64          // tag of the last publish on a confirming channel
	settled    uint64          // all publishes up to here have their outcome
	outcomes   map[uint64]bool // true: acked
}

// Send sends a method and waits for nothing.
func (ch *Channel) Send(m wire.Method) {
	ch.t.Helper()
	ch.Conn.SendMethod(ch.ID, m)
}

// Call sends a method and waits for the answer of type M.
func Call[M wire.Method](ch *Channel, m wire.Method) M {
	ch.t.Helper()
	ch.Send(m)
	return Expect[M](ch)
}

// Expect waits for the channel's next method of type M. Others stay for those who
// ask for them; a close of channel or connection fails the case.
func Expect[M wire.Method](ch *Channel) M {
	ch.t.Helper()
	return ExpectEvent[M](ch).Method.(M)
}

// ExpectEvent is Expect with the content.
func ExpectEvent[M wire.Method](ch *Channel) Event {
	ch.t.Helper()
	e, err := ch.Conn.await(ch.ID, time.Now().Add(Patience), isA[M])
	if err != nil {
		ch.t.Fatalf("waiting for %v: %v%s", reflect.TypeFor[M]().Elem().Name(), err, ch.Conn.inboxText(ch.ID))
	}
	return e
}

// Has takes the next method of type M if it is there already. It proves absence
// only behind a barrier; see Barrier.
func Has[M wire.Method](ch *Channel) (Event, bool) {
	return ch.Conn.find(ch.ID, isA[M])
}

func isA[M wire.Method](e Event) bool { _, ok := e.Method.(M); return ok }

// Within waits so long for a method of type M. It is for what must not come, or
// must come at a certain time.
func Within[M wire.Method](ch *Channel, d time.Duration) (Event, bool) {
	ch.t.Helper()
	e, err := ch.Conn.await(ch.ID, time.Now().Add(d), isA[M])
	if err != nil && !errors.Is(err, errPatience) {
		ch.t.Fatalf("waiting for %v: %v", reflect.TypeFor[M]().Elem().Name(), err)
	}
	return e, err == nil
}

// Next waits for whatever comes next on the channel but heartbeats.
func (ch *Channel) Next() Event {
	ch.t.Helper()
	e, err := ch.Conn.await(ch.ID, time.Now().Add(Patience), func(e Event) bool { return e.Method != nil || e.Raw != nil })
	if err != nil {
		ch.t.Fatalf("waiting on channel %d: %v", ch.ID, err)
	}
	return e
}

// ExpectClose waits until the peer closes the channel with the code and a text
// that contains all of texts, and answers it. The channel can then be opened again.
func (ch *Channel) ExpectClose(code uint16, texts ...string) *Closed {
	ch.t.Helper()
	e, err := ch.Conn.await(ch.ID, time.Now().Add(Patience), isMethod(wire.IDChannelClose))
	if err != nil {
		ch.t.Fatalf("waiting for channel.close with %d: %v%s", code, err, ch.Conn.inboxText(ch.ID))
	}
	closed := closedBy(e)
	ch.t.checkClosed(closed, code, texts)
	ch.Send(&wire.ChannelCloseOk{})
	return closed
}

func (t *T) checkClosed(closed *Closed, code uint16, texts []string) {
	t.Helper()
	if closed.Code != code {
		t.Errorf("%v, want %d", closed, code)
	}
	for _, text := range texts {
		if !strings.Contains(closed.Text, text) {
			t.Errorf("%v, want a text with %q", closed, text)
		}
	}
}

// Refused sends a method that must close the channel with the code, and opens the
// channel again.
func (ch *Channel) Refused(m wire.Method, code uint16, texts ...string) *Closed {
	ch.t.Helper()
	ch.Send(m)
	closed := ch.ExpectClose(code, texts...)
	ch.Reopen()
	return closed
}

// Reopen opens the channel again after it was closed.
func (ch *Channel) Reopen() {
	ch.t.Helper()
	ch.Conn.mu.Lock()
	ch.Conn.inbox[ch.ID] = nil
	ch.Conn.mu.Unlock()
	ch.confirming, ch.published, ch.settled, ch.outcomes = false, 0, 0, nil
	Call[*wire.ChannelOpenOk](ch, &wire.ChannelOpen{})
}

// Close closes the channel and waits for the answer.
func (ch *Channel) Close() {
	ch.t.Helper()
	Call[*wire.ChannelCloseOk](ch, &wire.ChannelClose{ReplyCode: 200, ReplyText: "bye"})
}

// Sync waits until the peer has handled all that the channel sent before. It
// changes nothing on either side.
func (ch *Channel) Sync() {
	ch.t.Helper()
	Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: "amq.direct", Passive: true})
}

// Barrier waits until what the channel sent before has taken effect in the queues,
// and what they then gave to consumers of the channels has arrived there.
func (ch *Channel) Barrier(queues []string, consumers ...*Channel) {
	ch.t.Helper()
	for _, q := range queues {
		ch.Count(q)
	}
	for _, c := range consumers {
		c.Sync()
	}
}

// Queue is what queue.declare says.
type Queue struct {
	Name                                      string // empty: a random one is made
	Passive, Transient, Exclusive, AutoDelete bool
	Args                                      Args
}

// Queue declares a durable queue of a random name, which goes with the case.
func (ch *Channel) Queue(args Args) string {
	ch.t.Helper()
	return ch.Declare(Queue{Args: args}).Queue
}

// Declare declares a queue, which goes with the case. It is durable unless it is
// said to be transient.
func (ch *Channel) Declare(q Queue) *wire.QueueDeclareOk {
	ch.t.Helper()
	m := ch.declaration(q)
	if !q.Passive && !q.Exclusive {
		ch.t.cleanQueue(ch.Conn, m.Queue)
	}
	return Call[*wire.QueueDeclareOk](ch, m)
}

func (ch *Channel) declaration(q Queue) *wire.QueueDeclare {
	if q.Name == "" {
		q.Name = ch.t.Name("q")
	}
	return &wire.QueueDeclare{Queue: q.Name, Passive: q.Passive, Durable: !q.Transient, Exclusive: q.Exclusive,
		AutoDelete: q.AutoDelete, Arguments: q.Args.Table()}
}

// DeclareRefused declares a queue, which must close the channel with the code, and
// opens the channel again.
func (ch *Channel) DeclareRefused(q Queue, code uint16, texts ...string) *Closed {
	ch.t.Helper()
	m := ch.declaration(q)
	ch.t.cleanQueue(ch.Conn, m.Queue)
	return ch.Refused(m, code, texts...)
}

// Count returns how many ready messages and how many consumers a queue has. It
// fails the case where there is no such queue.
func (ch *Channel) Count(queue string) (messages, consumers int) {
	ch.t.Helper()
	ok := Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: queue, Passive: true})
	return int(ok.MessageCount), int(ok.ConsumerCount)
}

// Exists reports whether there is a queue of that name. It opens a channel of its
// own.
func (ch *Channel) Exists(queue string) bool {
	ch.t.Helper()
	return ch.exists(&wire.QueueDeclare{Queue: queue, Passive: true}, wire.IDQueueDeclareOk)
}

// ExchangeExists reports whether there is an exchange of that name.
func (ch *Channel) ExchangeExists(name string) bool {
	ch.t.Helper()
	return ch.exists(&wire.ExchangeDeclare{Exchange: name, Passive: true}, wire.IDExchangeDeclareOk)
}

func (ch *Channel) exists(m wire.Method, ok wire.ID) bool {
	ch.t.Helper()
	probe := ch.Conn.Channel()
	probe.Send(m)
	e, err := ch.Conn.await(probe.ID, time.Now().Add(Patience), isMethod(ok, wire.IDChannelClose))
	if err != nil {
		ch.t.Fatalf("asking whether it exists: %v", err)
	}
	if closed := closedBy(e); closed != nil {
		probe.Send(&wire.ChannelCloseOk{})
		if closed.Code == 405 { // another connection's
			return true
		}
		if closed.Code != 404 {
			ch.t.Fatalf("asking whether it exists: %v", closed)
		}
		return false
	}
	probe.Close()
	return true
}

// Await waits until a queue has so many ready messages.
func (ch *Channel) Await(queue string, messages int) {
	ch.t.Helper()
	got := -1
	ch.t.Eventually(func() bool {
		got, _ = ch.Count(queue)
		return got == messages
	}, "%s has %d ready messages, want %d", queue, &got, messages)
}

// Exchange declares a durable exchange of a random name, which goes with the case.
func (ch *Channel) Exchange(kind string, args Args) string {
	ch.t.Helper()
	return ch.DeclareExchange(wire.ExchangeDeclare{Type: kind, Durable: true, Arguments: args.Table()})
}

// DeclareExchange declares an exchange, which goes with the case, and returns its
// name.
func (ch *Channel) DeclareExchange(m wire.ExchangeDeclare) string {
	ch.t.Helper()
	if m.Exchange == "" {
		m.Exchange = ch.t.Name("x")
	}
	if !m.Passive {
		ch.t.cleanExchange(ch.Conn, m.Exchange)
	}
	Call[*wire.ExchangeDeclareOk](ch, &m)
	return m.Exchange
}

// Bind binds a queue to an exchange.
func (ch *Channel) Bind(queue, exchange, key string, args Args) {
	ch.t.Helper()
	Call[*wire.QueueBindOk](ch, &wire.QueueBind{Queue: queue, Exchange: exchange, RoutingKey: key, Arguments: args.Table()})
}

// Unbind takes a queue's binding away.
func (ch *Channel) Unbind(queue, exchange, key string, args Args) {
	ch.t.Helper()
	Call[*wire.QueueUnbindOk](ch, &wire.QueueUnbind{Queue: queue, Exchange: exchange, RoutingKey: key, Arguments: args.Table()})
}

// BindExchange binds the exchange destination to the exchange source.
func (ch *Channel) BindExchange(destination, source, key string, args Args) {
	ch.t.Helper()
	Call[*wire.ExchangeBindOk](ch, &wire.ExchangeBind{Destination: destination, Source: source, RoutingKey: key, Arguments: args.Table()})
}

// Delete deletes a queue and returns how many ready messages it had.
func (ch *Channel) Delete(queue string) int {
	ch.t.Helper()
	return int(Call[*wire.QueueDeleteOk](ch, &wire.QueueDelete{Queue: queue}).MessageCount)
}

// Purge empties a queue and returns how many messages it removed.
func (ch *Channel) Purge(queue string) int {
	ch.t.Helper()
	return int(Call[*wire.QueuePurgeOk](ch, &wire.QueuePurge{Queue: queue}).MessageCount)
}

// Qos sets the prefetch count: of each consumer to come, or, with global, of the
// channel.
func (ch *Channel) Qos(count uint16, global bool) {
	ch.t.Helper()
	Call[*wire.BasicQosOk](ch, &wire.BasicQos{PrefetchCount: count, Global: global})
}

// props returns the bytes of properties, failing the case where they can not be
// written.
func (t *T) props(p Props) amqp.Properties {
	t.Helper()
	b, err := p.Bytes()
	if err != nil {
		t.Fatalf("properties: %v", err)
	}
	return b
}
