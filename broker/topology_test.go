package broker

import (
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// The texts were taken from RabbitMQ 3.10.8.

func (c *client) exchange(name, kind string, with ...func(*ExchangeSpec)) {
	c.t.Helper()
	spec := ExchangeSpec{Name: name, Type: kind}
	for _, f := range with {
		f(&spec)
	}
	c.ok(c.s.DeclareExchange(spec))
}

func durableX(s *ExchangeSpec)    { s.Durable = true }
func autoDeleteX(s *ExchangeSpec) { s.AutoDelete = true }
func internalX(s *ExchangeSpec)   { s.Internal = true }

func alternate(name string) func(*ExchangeSpec) {
	return func(s *ExchangeSpec) { s.Args = table("alternate-exchange", name) }
}

func (c *client) bind(queue, exchange, key string, args ...any) {
	c.t.Helper()
	c.ok(c.s.BindQueue(queue, exchange, key, table(args...)))
}

func TestPredeclaredExchangesExist(t *testing.T) {
	c := newBench(t).client()
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		c.ok(c.s.DeclareExchange(ExchangeSpec{Name: name, Passive: true}))
		c.ok(c.s.DeclareExchange(ExchangeSpec{Name: name, Type: kind, Durable: true}))
	}
	c.ok(c.s.DeclareExchange(ExchangeSpec{Name: "amq.rabbitmq.trace", Type: "topic", Durable: true, Internal: true}))
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "amq.direct", Type: "direct"}),
		"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'")
}

func TestReservedNamesAreRefused(t *testing.T) {
	c := newBench(t).client()
	_, err := c.s.DeclareQueue(QueueSpec{Name: "amq.foo"})
	c.refused(err, "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'")
	_, err = c.s.DeclareQueue(QueueSpec{Name: "amq.foo", Passive: true})
	c.refused(err, "NOT_FOUND - no queue 'amq.foo' in vhost '/'")
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "amq.foo", Type: "direct"}), "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'")
	c.refused(c.s.DeleteExchange("amq.direct", false), "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed")
	c.refused(c.s.DeleteExchange("amq.foo", false), "ACCESS_REFUSED - deletion of system exchange 'amq.foo' in vhost '/' not allowed")
}

func TestTheDefaultExchangeIsOutOfBounds(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.exchange("x", "direct")
	const text = "ACCESS_REFUSED - operation not permitted on the default exchange"
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "", Type: "direct"}), text)
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "", Passive: true}), text)
	c.refused(c.s.DeleteExchange("", false), text)
	c.refused(c.s.BindQueue("q", "", "k", nil), text)
	c.refused(c.s.UnbindQueue("q", "", "k", nil), text)
	c.refused(c.s.BindExchange("x", "", "k", nil), text)
	c.refused(c.s.BindExchange("", "x", "k", nil), text)
}

func TestExchangeRedeclarationsMustBeEquivalent(t *testing.T) {
	c := newBench(t).client()
	c.exchange("x", "direct", durableX)
	c.exchange("ae", "direct", alternate("a"))
	spec := func(f func(*ExchangeSpec)) ExchangeSpec {
		s := ExchangeSpec{Name: "x", Type: "direct", Durable: true}
		f(&s)
		return s
	}
	for _, each := range []struct {
		spec ExchangeSpec
		want string
	}{
		{spec(func(s *ExchangeSpec) { s.Type = "fanout" }), "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"},
		{spec(func(s *ExchangeSpec) { s.Durable = false }), "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"},
		{spec(autoDeleteX), "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
		{spec(internalX), "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
		{spec(alternate("foo")), "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the value 'foo' of type 'longstr' but current is none"},
		{ExchangeSpec{Name: "ae", Type: "direct", Args: table("alternate-exchange", "b")}, "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'ae' in vhost '/': received 'b' but current is 'a'"},
		{ExchangeSpec{Name: "ae", Type: "direct"}, "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'ae' in vhost '/': received none but current is the value 'a' of type 'longstr'"},
		{ExchangeSpec{Name: "ae2", Type: "direct", Args: table("alternate-exchange", 1)}, "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'ae2' in vhost '/'"},
		{ExchangeSpec{Name: "x", Type: "foo"}, "COMMAND_INVALID - unknown exchange type 'foo'"},
		{ExchangeSpec{Name: "y", Type: "foo"}, "COMMAND_INVALID - unknown exchange type 'foo'"},
		{ExchangeSpec{Name: "y", Passive: true}, "NOT_FOUND - no exchange 'y' in vhost '/'"},
	} {
		c.refused(c.s.DeclareExchange(each.spec), each.want)
	}
	c.ok(c.s.DeclareExchange(spec(func(s *ExchangeSpec) { s.Args = table("foo", "bar") })))
	c.ok(c.s.DeclareExchange(ExchangeSpec{Name: "x", Type: "whatever", Passive: true}))
}

func TestQueueRedeclarationsMustBeEquivalent(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable)
	c.queue("len", args("x-max-length", 5, "x-message-ttl", 1000))
	c.queue("typed", args("x-queue-type", "classic"))
	const locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
	for _, each := range []struct {
		spec QueueSpec
		want string
	}{
		{QueueSpec{Name: "q"}, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"},
		{QueueSpec{Name: "q", Durable: true, AutoDelete: true}, "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"},
		{QueueSpec{Name: "q", Durable: true, Exclusive: true}, locked},
		{QueueSpec{Name: "q", Durable: true, Args: table("x-expires", 60000)}, "PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'q' in vhost '/': received the value '60000' of type 'signedint' but current is none"},
		{QueueSpec{Name: "q", Durable: true, Args: table("x-queue-type", "quorum")}, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none"},
		{QueueSpec{Name: "len", Args: table("x-max-length", 6, "x-message-ttl", 1000)}, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'len' in vhost '/': received '6' but current is '5'"},
		{QueueSpec{Name: "len", Args: table("x-max-length", 5)}, "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'len' in vhost '/': received none but current is the value '1000' of type 'signedint'"},
		{QueueSpec{Name: "nope", Passive: true}, "NOT_FOUND - no queue 'nope' in vhost '/'"},
	} {
		_, err := c.s.DeclareQueue(each.spec)
		c.refused(err, each.want)
	}
	c.queue("q", durable, args("foo", 1, "x-foo", 1))
	c.queue("q", durable, args("x-queue-type", "classic"))
	c.queue("typed")
	c.queue("len", args("x-message-ttl", int64(1000), "x-max-length", amqp.Uint8(5)))
	if info, err := c.s.DeclareQueue(QueueSpec{Name: "q", Passive: true, Exclusive: true}); err != nil || info.Name != "q" {
		t.Fatal(info, err)
	}
}

func TestServerNamedQueues(t *testing.T) {
	c := newBench(t).client()
	a, b := c.queue("", exclusive), c.queue("", exclusive)
	for _, name := range []string{a, b} {
		if !strings.HasPrefix(name, "amq.gen-") || len(name) != len("amq.gen-")+22 {
			t.Errorf("name %q", name)
		}
	}
	if a == b {
		t.Error("two queues of one name")
	}
	_, err := c.s.DeclareQueue(QueueSpec{Name: a, Exclusive: true})
	c.refused(err, "ACCESS_REFUSED - queue name '"+a+"' contains reserved prefix 'amq.*'")
	c.counts(a)
}

func TestLineFeedsInNamesAreTakenOut(t *testing.T) {
	c := newBench(t).client()
	if got := c.queue("a\nb\r\n"); got != "ab" {
		t.Errorf("queue %q", got)
	}
	c.exchange("x\n", "fanout")
	c.bind("a\nb", "\nx", "")
	if !c.publish("x", "", "m") {
		t.Error("not routed")
	}
	c.consume("ab\n", -1)
	c.wants([]string{"m"})
	_, err := c.s.PurgeQueue("\nab")
	c.ok(err)
	_, err = c.s.DeleteQueue("ab\r", false, false)
	c.ok(err)
	c.ok(c.s.DeleteExchange("x\n", false))
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "x", Passive: true}), "NOT_FOUND - no exchange 'x' in vhost '/'")
}

func TestExclusiveQueuesAreLockedForOthersAndGoWithTheirConnection(t *testing.T) {
	w := newBench(t)
	c, other := w.client(), w.client()
	c.queue("e", exclusive, durable)
	const locked = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'e' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."
	check := func(_ any, err error) { t.Helper(); other.refused(err, locked) }
	check(other.s.DeclareQueue(QueueSpec{Name: "e"}))
	check(other.s.DeclareQueue(QueueSpec{Name: "e", Exclusive: true}))
	check(other.s.DeclareQueue(QueueSpec{Name: "e", Passive: true}))
	check(other.s.Get("e", true, nil))
	check(other.s.Consume("e", ConsumerSpec{}, other))
	check(other.s.PurgeQueue("e"))
	check(other.s.DeleteQueue("e", false, false))
	check(nil, other.s.BindQueue("e", "amq.direct", "k", nil))
	other.ok(other.s.UnbindQueue("e", "amq.direct", "k", nil))
	c.bind("e", "amq.direct", "k")
	check(nil, other.s.UnbindQueue("e", "amq.direct", "k", nil))

	c.queue("e", exclusive, durable)
	c.queue("e", exclusive) // an exclusive queue is as good as not durable
	check(c.s.DeclareQueue(QueueSpec{Name: "e", Durable: true}))

	if !other.publish("", "e", "anyone may publish") {
		t.Error("not routed")
	}
	c.s.Close()
	_, err := other.s.DeclareQueue(QueueSpec{Name: "e", Passive: true})
	other.refused(err, "NOT_FOUND - no queue 'e' in vhost '/'")
	if other.publish("amq.direct", "k", "m") {
		t.Error("routed to a queue that is gone")
	}
	other.queue("e")
}

func TestDeletingAQueue(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", durable)
	c.publish("", "q", "a", "b")
	_, err := c.s.DeleteQueue("q", false, true)
	c.refused(err, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty")
	cons := c.consume("q", 0)
	_, err = c.s.DeleteQueue("q", true, false)
	c.refused(err, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use")
	n, err := c.s.DeleteQueue("q", false, false)
	c.ok(err)
	if n != 2 {
		t.Errorf("deleted %d messages, want 2", n)
	}
	if !slices.Equal(c.cancelled, []*Consumer{cons}) {
		t.Error("its consumer was not told")
	}
	cons.Cancel() // crosses the deletion
	if n, err := c.s.DeleteQueue("q", true, true); n != 0 || err != nil {
		t.Error(n, err)
	}
	if c.publish("", "q", "m") {
		t.Error("routed to a deleted queue")
	}
	c.queue("q", durable)
	if n := c.ready("q"); n != 0 {
		t.Errorf("a new queue has %d messages", n)
	}
}

func TestPurgeRemovesReadyMessagesOnly(t *testing.T) {
	w := newBench(t)
	c := w.client()
	_, err := c.s.PurgeQueue("q")
	c.refused(err, "NOT_FOUND - no queue 'q' in vhost '/'")
	c.queue("q", durable)
	c.consume("q", 1)
	c.publish("", "q", "a", "b", "c")
	got := c.take()
	if n, err := c.s.PurgeQueue("q"); n != 2 || err != nil {
		t.Errorf("purged %d (%v), want 2", n, err)
	}
	c.b.Requeue(got[0].q, got[0].seq)
	c.flush()
	if got := c.drain("q"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("left %q", got)
	}
}

func TestBindingsNeedBothEnds(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.exchange("x", "direct")
	c.refused(c.s.BindQueue("q", "nope", "k", nil), "NOT_FOUND - no exchange 'nope' in vhost '/'")
	c.refused(c.s.BindQueue("nope", "x", "k", nil), "NOT_FOUND - no queue 'nope' in vhost '/'")
	c.refused(c.s.BindQueue("nope", "nope", "k", nil), "NOT_FOUND - no exchange 'nope' in vhost '/'")
	c.refused(c.s.BindExchange("x", "nope", "k", nil), "NOT_FOUND - no exchange 'nope' in vhost '/'")
	c.refused(c.s.BindExchange("nope", "x", "k", nil), "NOT_FOUND - no exchange 'nope' in vhost '/'")
	c.refused(c.s.BindQueue("q", "amq.headers", "k", table("x-match", "foo")),
		`PRECONDITION_FAILED - Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`)
	c.ok(c.s.BindQueue("q", "amq.direct", "k", table("x-match", 1)))
	// Unbinding what is not bound, or not there, succeeds.
	c.ok(c.s.UnbindQueue("q", "x", "other", nil))
	c.ok(c.s.UnbindQueue("q", "nope", "k", nil))
	c.ok(c.s.UnbindQueue("nope", "x", "k", nil))
	c.ok(c.s.UnbindExchange("x", "nope", "k", nil))
}

func TestABindingIsItsKeyAndArguments(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.bind("q", "amq.direct", "k")
	c.bind("q", "amq.direct", "k")
	c.bind("q", "amq.direct", "k", "a", 1)
	c.bind("q", "amq.direct", "k", "a", int64(1))
	c.publish("amq.direct", "k", "once")
	c.ok(c.s.UnbindQueue("q", "amq.direct", "k", nil))
	c.publish("amq.direct", "k", "still")
	c.ok(c.s.UnbindQueue("q", "amq.direct", "k", table("a", amqp.Int8(1))))
	if c.publish("amq.direct", "k", "no more") {
		t.Error("still routed")
	}
	if got := c.drain("q"); !slices.Equal(got, []string{"once", "still"}) {
		t.Errorf("got %q", got)
	}
}

func TestDeletingAnExchangeTakesItsBindings(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.exchange("x", "fanout")
	c.exchange("y", "fanout")
	c.bind("q", "y", "")
	c.ok(c.s.BindExchange("y", "x", "", nil))
	c.refused(c.s.DeleteExchange("x", true), "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use")
	c.ok(c.s.DeleteExchange("y", false))
	c.ok(c.s.DeleteExchange("x", true)) // nothing is bound to it any more
	c.ok(c.s.DeleteExchange("x", false))
	c.exchange("y", "fanout")
	if c.publish("y", "", "m") {
		t.Error("a new exchange has the old one's bindings")
	}
	_, err := c.b.Publish(&Publishing{Exchange: []byte("x")})
	c.refused(err, "NOT_FOUND - no exchange 'x' in vhost '/'")
}

func TestAutoDeleteExchangesGoWithTheirLastBinding(t *testing.T) {
	c := newBench(t).client()
	gone := func(name string) bool {
		return c.s.DeclareExchange(ExchangeSpec{Name: name, Passive: true}) != nil
	}
	// By unbinding.
	c.queue("q")
	c.exchange("x", "direct", autoDeleteX)
	c.bind("q", "x", "a")
	c.bind("q", "x", "b")
	c.ok(c.s.UnbindQueue("q", "x", "a", nil))
	if gone("x") {
		t.Fatal("it went with one binding of two")
	}
	c.ok(c.s.UnbindQueue("q", "x", "b", nil))
	if !gone("x") {
		t.Fatal("it stayed without a binding")
	}
	// By its queue's deletion, and with it the exchange that was bound to it.
	c.exchange("x", "direct", autoDeleteX)
	c.exchange("up", "direct", autoDeleteX)
	c.bind("q", "x", "k")
	c.ok(c.s.BindExchange("x", "up", "k", nil))
	_, err := c.s.DeleteQueue("q", false, false)
	c.ok(err)
	if !gone("x") || !gone("up") {
		t.Fatal("they stayed")
	}
	// Two that are bound to each other end too.
	c.exchange("a", "fanout", autoDeleteX)
	c.exchange("b", "fanout", autoDeleteX)
	c.ok(c.s.BindExchange("a", "b", "", nil))
	c.ok(c.s.BindExchange("b", "a", "", nil))
	c.ok(c.s.UnbindExchange("a", "b", "", nil))
	if !gone("a") || !gone("b") {
		t.Fatal("the cycle stayed")
	}
}

func TestAutoDeleteQueuesGoWithTheirLastConsumer(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", autoDelete)
	c.publish("", "q", "m")
	c.get("q") // not before the first consumer came
	a, b := c.consume("q", 0), c.consume("q", 1)
	c.publish("", "q", "unacked")
	a.Cancel()
	c.counts("q")
	b.Cancel()
	_, err := c.s.DeclareQueue(QueueSpec{Name: "q", Passive: true})
	c.refused(err, "NOT_FOUND - no queue 'q' in vhost '/'")
	if len(c.cancelled) != 0 {
		t.Error("a consumer that cancelled itself was told")
	}
	m := c.take()[0]
	c.b.Requeue(m.q, m.seq) // to a queue that is gone: nothing happens
	c.flush()
}

func TestUnknownVHostsAreRefused(t *testing.T) {
	w := newBench(t)
	_, err := w.b.NewSession("nope", &User{Name: "guest"}, fakePeer("x"))
	w.client().refused(err, "NOT_ALLOWED - vhost nope not found")
}

func TestGuestComesFromThisMachineOnly(t *testing.T) {
	w := newBench(t)
	c := w.client()
	u, err := w.b.Authenticate("guest", "guest", true)
	c.ok(err)
	if u.Name != "guest" {
		t.Error(u)
	}
	const refused = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
	for _, try := range []struct {
		user, password string
		loopback       bool
	}{{"guest", "guest", false}, {"guest", "x", true}, {"x", "guest", true}, {"", "", true}} {
		_, err := w.b.Authenticate(try.user, try.password, try.loopback)
		c.refused(err, refused)
	}
}

func TestManyExclusiveQueuesGoWithTheirConnection(t *testing.T) {
	w := newBench(t)
	c := w.client()
	for range 3*closeAtOnce + 1 {
		c.bind(c.queue("", exclusive), "amq.fanout", "")
	}
	c.s.Close()
	if n := len(w.b.vhosts["/"].queues); n != 0 {
		t.Errorf("%d queues left", n)
	}
	if w.client().publish("amq.fanout", "", "m") {
		t.Error("still routed")
	}
}
