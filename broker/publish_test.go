package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// props makes properties: each function sets one.
func props(set ...func(*amqp.PropertiesEditor)) amqp.Properties {
	e := new(amqp.PropertiesEditor)
	for _, f := range set {
		f(e)
	}
	p, err := e.Properties()
	if err != nil {
		panic(err)
	}
	return p
}

func text(p amqp.Property, s string) func(*amqp.PropertiesEditor) {
	return func(e *amqp.PropertiesEditor) { e.SetString(p, s) }
}

func mode(n uint8) func(*amqp.PropertiesEditor) {
	return func(e *amqp.PropertiesEditor) { e.SetDeliveryMode(n) }
}

func headers(fields ...any) func(*amqp.PropertiesEditor) {
	return func(e *amqp.PropertiesEditor) { e.SetHeaders(table(fields...)) }
}

// tryPublish publishes one message and leaves it in the batch.
func (c *client) tryPublish(p amqp.Properties, exchange, key string) (bool, error) {
	return c.b.Publish(&Publishing{Exchange: []byte(exchange), RoutingKey: []byte(key), Props: p, Body: []byte("m")})
}

func strs(s ...string) amqp.Value {
	var vs []amqp.Value
	for _, s := range s {
		vs = append(vs, amqp.LongString(s))
	}
	return amqp.List(vs...)
}

func TestPublishIsRefusedWithoutEffect(t *testing.T) {
	c := newBench(t).client()
	c.exchange("int", "fanout", internalX)
	c.queue("q")
	for _, each := range []struct {
		props         amqp.Properties
		exchange, key string
		want          string
	}{
		{nil, "nope", "k", "NOT_FOUND - no exchange 'nope' in vhost '/'"},
		{nil, "int", "k", "ACCESS_REFUSED - cannot publish to internal exchange 'int' in vhost '/'"},
		{props(text(amqp.PropUserID, "foo")), "", "q", "PRECONDITION_FAILED - user_id property set to 'foo' but authenticated user was 'guest'"},
		{props(text(amqp.PropExpiration, "abc")), "", "q", "PRECONDITION_FAILED - invalid expiration 'abc': no_integer"},
		{props(text(amqp.PropExpiration, "1.5")), "", "q", `PRECONDITION_FAILED - invalid expiration '1.5': {leftover_string,".5"}`},
		{props(headers("CC", "a")), "", "q", `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`},
		{props(headers("BCC", true)), "", "q", `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",bool}`},
		{props(text(amqp.PropReplyTo, ReplyQueue)), "", "q", "PRECONDITION_FAILED - fast reply consumer does not exist"},
		{props(mode(0)), "", "q", "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,0}"},
		{props(mode(3)), "", "nowhere", "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}"},
		{props(mode(255), headers("CC", strs())), "", "q", "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,255}"},
		{props(mode(0)), "nope", "q", "NOT_FOUND - no exchange 'nope' in vhost '/'"},
	} {
		_, err := c.tryPublish(each.props, each.exchange, each.key)
		c.refused(err, each.want)
	}
	for _, p := range []amqp.Properties{
		props(text(amqp.PropUserID, "guest")), props(text(amqp.PropExpiration, "60000")),
		props(text(amqp.PropReplyTo, "amq.rabbitmq.reply-to.foo")), props(headers("CC", strs())),
	} {
		if routed, err := c.tryPublish(p, "", "q"); !routed || err != nil {
			t.Error(routed, err)
		}
	}
	c.flush()
	if n := c.ready("q"); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestAnImpersonatorMaySetAnyUserID(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q")
	w.user("bridge", "/", "impersonator")
	c.b = w.login("bridge", "/").b
	if _, err := c.tryPublish(props(text(amqp.PropUserID, "foo")), "", "q"); err != nil {
		t.Error(err)
	}
}

func TestUnroutableMessagesSaySo(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.exchange("x", "direct")
	c.exchange("y", "fanout")
	c.bind("q", "x", "k")
	c.ok(c.s.BindExchange("y", "x", "k2", nil))
	for _, each := range []struct {
		exchange, key string
		routed        bool
	}{{"x", "k", true}, {"x", "k2", false}, {"x", "k3", false}, {"", "q", true}, {"", "q2", false}, {"y", "k", false}} {
		if got := c.publish(each.exchange, each.key, "m"); got != each.routed {
			t.Errorf("%v: routed %v", each, got)
		}
	}
	if c.b.Rejections() != 0 {
		t.Error("an unroutable message counts as rejected")
	}
	if n := c.ready("q"); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestAMessageReachesAQueueOnceHoweverManyBindingsMatch(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	for _, x := range []string{"a", "b", "c"} {
		c.exchange(x, "topic")
		c.bind("q", x, "#")
		c.bind("q", x, "lan.*")
	}
	c.ok(c.s.BindExchange("b", "a", "#", nil))
	c.ok(c.s.BindExchange("c", "a", "lan.#", nil))
	c.ok(c.s.BindExchange("c", "b", "#", nil))
	c.ok(c.s.BindExchange("a", "c", "#", nil)) // a cycle
	c.publish("a", "lan.x", "1")
	c.publish("c", "wan", "2")
	if got := c.drain("q"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("got %q", got)
	}
}

func TestManyQueuesBehindManyExchangesAreFoundOnceEach(t *testing.T) {
	c := newBench(t).client()
	c.exchange("top", "fanout")
	for x := range 3 {
		name := fmt.Sprint("x", x)
		c.exchange(name, "fanout")
		c.ok(c.s.BindExchange(name, "top", "", nil))
		for q := range 100 {
			queue := fmt.Sprint("q", q+30*x)
			c.queue(queue)
			c.bind(queue, name, "")
		}
	}
	c.publish("top", "", "m")
	for q := range 160 {
		if n := c.ready(fmt.Sprint("q", q)); n != 1 {
			t.Fatalf("q%d has %d messages", q, n)
		}
	}
}

func TestRoutesFollowChanges(t *testing.T) {
	c := newBench(t).client()
	c.queue("q")
	c.exchange("x", "direct")
	for i := range 3 {
		if c.publish("x", "k", "m") {
			t.Fatal(i, "routed without a binding")
		}
		c.bind("q", "x", "k")
		if !c.publish("x", "k", "m") {
			t.Fatal(i, "not routed")
		}
		c.ok(c.s.UnbindQueue("q", "x", "k", nil))
	}
	// More keys than the cache has places.
	for i := range 500 {
		key := fmt.Sprint("k", i)
		c.bind("q", "x", key)
		if !c.publish("x", key, "m") || c.publish("x", "no"+key, "m") {
			t.Fatal(key)
		}
	}
	for i := range 500 {
		if !c.publish("x", fmt.Sprint("k", i), "m") {
			t.Fatal(i)
		}
	}
	if n := c.ready("q"); n != 1003 {
		t.Errorf("%d messages", n)
	}
}

func TestAlternateExchanges(t *testing.T) {
	c := newBench(t).client()
	c.exchange("x", "direct", alternate("ae"))
	c.queue("q")
	c.queue("lost")
	c.bind("q", "x", "k")
	if c.publish("x", "other", "a") {
		t.Error("routed to an alternate exchange that does not exist")
	}
	c.exchange("ae", "fanout", internalX, alternate("x")) // a cycle
	if c.publish("x", "other", "b") {
		t.Error("a cycle of alternate exchanges routes")
	}
	c.bind("lost", "ae", "")
	if !c.publish("x", "other", "c") {
		t.Error("what the alternate exchange routes is not unroutable")
	}
	c.publish("x", "k", "d")
	if got := c.drain("lost"); !slices.Equal(got, []string{"c"}) {
		t.Errorf("alternate got %q", got)
	}
	if got := c.drain("q"); !slices.Equal(got, []string{"d"}) {
		t.Errorf("queue got %q", got)
	}
	// RabbitMQ's default exchange is no use as an alternate.
	c.exchange("y", "direct", alternate(""))
	if c.publish("y", "q", "m") {
		t.Error("routed by queue name")
	}
}

func TestHeadersExchangesLookAtEachMessage(t *testing.T) {
	c := newBench(t).client()
	c.queue("one")
	c.queue("both")
	c.bind("one", "amq.headers", "", "x-match", "any", "a", 1, "b", 2)
	c.bind("both", "amq.headers", "", "a", 1, "b", 2)
	for _, h := range []func(*amqp.PropertiesEditor){headers("a", 1), headers("a", 1, "b", 2), headers("a", 2), headers("b", int64(2))} {
		if _, err := c.tryPublish(props(h), "amq.headers", "k"); err != nil {
			t.Fatal(err)
		}
	}
	if routed, _ := c.tryPublish(nil, "amq.headers", "k"); routed {
		t.Error("routed without headers")
	}
	c.flush()
	if one, both := c.ready("one"), c.ready("both"); one != 3 || both != 1 {
		t.Errorf("%d and %d messages, want 3 and 1", one, both)
	}
}

func TestCCAndBCCAreMoreRoutingKeys(t *testing.T) {
	c := newBench(t).client()
	for _, q := range []string{"a", "b", "c"} {
		c.queue(q)
	}
	p := props(headers("CC", amqp.List(amqp.LongString("b"), amqp.LongString("a"), amqp.Int8(1)), "BCC", strs("c"), "z", 1),
		text(amqp.PropMessageID, "id"))
	if routed, err := c.tryPublish(p, "", "a"); !routed || err != nil {
		t.Fatal(routed, err)
	}
	if routed, err := c.tryPublish(p, "amq.direct", "nowhere"); routed || err != nil {
		t.Fatal(routed, err)
	}
	c.flush()
	for _, q := range []string{"a", "b", "c"} {
		m, ok := c.get(q)
		if !ok || m.key != "a" {
			t.Fatalf("%s: %v %+v", q, ok, m)
		}
		h := m.props.Headers()
		if h.Has("BCC") || !h.Has("CC") || !h.Has("z") || string(m.props.MessageID()) != "id" {
			t.Errorf("%s: headers %v", q, amqp.Nested(h))
		}
		if _, again := c.get(q); again {
			t.Errorf("%s got it twice", q)
		}
	}
}

// What a mandatory message is returned with: nobody is to see BCC.
func TestPublishShowsThePropertiesAsTheyAreStored(t *testing.T) {
	c := newBench(t).client()
	replies := c.consume(ReplyQueue, -1, noAck)
	p := Publishing{RoutingKey: []byte("nowhere"), Reply: replies,
		Props: props(headers("BCC", strs("x"), "z", 1), text(amqp.PropReplyTo, ReplyQueue))}
	if routed, err := c.b.Publish(&p); routed || err != nil {
		t.Fatal(routed, err)
	}
	got := amqp.Properties(p.Props)
	if h := got.Headers(); h.Has("BCC") || !h.Has("z") {
		t.Errorf("headers %v", amqp.Nested(h))
	}
	if to := string(got.ReplyTo()); to != replies.Queue().Name() {
		t.Errorf("reply-to %q", to)
	}
}

func TestDirectReplyTo(t *testing.T) {
	w := newBench(t)
	asker, server := w.client(), w.client()
	asker.queue("rpc")
	_, err := asker.s.Consume(ReplyQueue, ConsumerSpec{}, asker)
	asker.refused(err, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
	replies := asker.consume(ReplyQueue, -1, noAck)
	ask := func() string {
		_, err := asker.b.Publish(&Publishing{RoutingKey: []byte("rpc"), Props: props(text(amqp.PropReplyTo, ReplyQueue), text(amqp.PropCorrelationID, "7")), Reply: replies})
		asker.ok(err)
		asker.flush()
		m, _ := server.get("rpc")
		if string(m.props.CorrelationID()) != "7" {
			t.Errorf("properties %q", m.props)
		}
		return string(m.props.ReplyTo())
	}
	to := ask()
	if !strings.HasPrefix(to, ReplyQueue+".") || to != ask() {
		t.Fatalf("reply-to %q", to)
	}
	if _, consumers := server.counts(to); consumers != 1 {
		t.Error("a live destination has no consumer")
	}
	if server.publish("", to, "answer") {
		t.Error("a reply destination counts as a queue")
	}
	if server.publish("amq.direct", to, "elsewhere") {
		t.Error("routed")
	}
	asker.wants([]string{"answer"})
	_, err = server.s.Consume(to, ConsumerSpec{}, server)
	server.refused(err, "NOT_FOUND - no queue '"+to+"' in vhost '/'")
	server.refused(server.s.BindQueue(to, "amq.direct", "k", nil), "NOT_FOUND - no queue '"+to+"' in vhost '/'")
	if n, err := server.s.DeleteQueue(to, false, false); n != 0 || err != nil {
		t.Error(n, err)
	}
	// A slow asker's replies wait in order.
	asker.mu.Lock()
	asker.credit[replies] = 1
	asker.mu.Unlock()
	server.publish("", to, "1", "2", "3")
	asker.wants([]string{"1"})
	asker.mu.Lock()
	asker.credit[replies] = 10
	asker.mu.Unlock()
	replies.Touch()
	asker.wants([]string{"2", "3"})
	// The destination goes with its consumer, or its connection.
	replies.Cancel()
	_, err = server.s.DeclareQueue(QueueSpec{Name: to, Passive: true})
	server.refused(err, "NOT_FOUND - no queue '"+to+"' in vhost '/'")
	replies = asker.consume(ReplyQueue, -1, noAck)
	to = ask()
	asker.s.Close()
	_, err = server.s.DeclareQueue(QueueSpec{Name: to, Passive: true})
	server.refused(err, "NOT_FOUND - no queue '"+to+"' in vhost '/'")
	if n := len(w.b.vhosts["/"].replies); n != 0 {
		t.Errorf("%d destinations left", n)
	}
}

func TestATransactionHappensWholeOrNotAtAll(t *testing.T) {
	c := newBench(t).client()
	c.queue("in", durable)
	c.queue("out", durable)
	c.publish("", "in", "a", "b")
	cons := c.consume("in", -1)
	var got []message
	waitFor(t, func() bool { got = append(got, c.take()...); return len(got) == 2 })
	tx := c.s.NewBatch()
	move := func() {
		tx.Atomic()
		tx.Ack(got[0].q, got[0].seq)
		if _, err := tx.Publish(&Publishing{RoutingKey: []byte("out"), Props: persistent, Body: []byte("moved")}); err != nil {
			t.Fatal(err)
		}
	}
	move()
	if tx.Len() != 2 {
		t.Errorf("length %d", tx.Len())
	}
	tx.Reset()
	if n := c.ready("out"); n != 0 || tx.Len() != 0 {
		t.Errorf("rolled back: %d messages", n)
	}
	move()
	lsn, err := tx.Flush(nil, true)
	c.ok(err)
	if lsn == 0 {
		t.Error("nothing to wait for")
	}
	c.ok(c.s.b.Wait(lsn))
	if got := c.drain("out"); !slices.Equal(got, []string{"moved"}) {
		t.Errorf("got %q", got)
	}
	cons.Cancel()
	// Only acks: they too are to be waited for.
	tx.Atomic()
	tx.Ack(got[1].q, got[1].seq)
	if lsn, err := tx.Flush(nil, true); lsn == 0 || err != nil {
		t.Error(lsn, err)
	}
}
