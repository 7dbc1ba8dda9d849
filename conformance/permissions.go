package conformance

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 5: what a user may do in a vhost.

// right is a permission on an object.
type right struct {
	permission int // 0 configure, 1 write, 2 read
	kind, name string
}

func configure(kind, name string) right { return right{0, kind, name} }
func write(kind, name string) right     { return right{1, kind, name} }
func read(kind, name string) right      { return right{2, kind, name} }

// permitOnly gives a user exactly these rights.
func (t *T) permitOnly(vhost, user string, rights ...right) {
	t.Helper()
	var names [3][]string
	for _, r := range rights {
		names[r.permission] = append(names[r.permission], regexp.QuoteMeta(r.name))
	}
	var patterns [3]string
	for i, list := range names {
		if list != nil {
			patterns[i] = "^(" + strings.Join(list, "|") + ")$"
		}
	}
	t.Permit(vhost, user, patterns[0], patterns[1], patterns[2])
}

// attempt sends a method on a new connection of the user's and returns the refusal, or
// nil where the answer ok came.
func (t *T) attempt(vhost, user string, m wire.Method, ok wire.ID) *Closed {
	t.Helper()
	c := t.DialAs(credentials(user, vhost))
	ch := c.Channel()
	if p, is := m.(*wire.BasicPublish); is {
		ch.Confirm()
		ch.Publish(Message{Exchange: string(p.Exchange), Key: string(p.RoutingKey)})
	} else {
		ch.Send(m)
	}
	e, err := c.await(ch.ID, deadline(), isMethod(ok, wire.IDChannelClose))
	if err != nil {
		t.Fatalf("%v: %v", m.ID(), err)
	}
	closed := closedBy(e)
	if closed != nil {
		ch.Send(&wire.ChannelCloseOk{})
	}
	c.Close()
	return closed
}

// permitted is the table of methods and the rights that each needs, in the order in
// which RabbitMQ asks for them.
var permitted = []struct {
	name  string
	needs []right
	m     wire.Method
	ok    wire.ID
}{
	{"queue.declare", []right{configure("queue", "new")}, &wire.QueueDeclare{Queue: "new"}, wire.IDQueueDeclareOk},
	{"queue.declare of one that is there", []right{configure("queue", "q")}, &wire.QueueDeclare{Queue: "q"}, wire.IDQueueDeclareOk},
	{"queue.declare with a dead letter exchange", []right{configure("queue", "new"), read("queue", "new"), write("exchange", "x")},
		&wire.QueueDeclare{Queue: "new", Arguments: Args{"x-dead-letter-exchange": "x"}.Table()}, wire.IDQueueDeclareOk},
	{"queue.declare with dead letters by the default exchange", []right{configure("queue", "new"), read("queue", "new"), write("exchange", "amq.default")},
		&wire.QueueDeclare{Queue: "new", Arguments: Args{"x-dead-letter-exchange": ""}.Table()}, wire.IDQueueDeclareOk},
	{"queue.declare with a dead letter exchange of one that is there", []right{configure("queue", "dead")},
		&wire.QueueDeclare{Queue: "dead", Arguments: Args{"x-dead-letter-exchange": "x"}.Table()}, wire.IDQueueDeclareOk},
	{"a passive queue.declare", nil, &wire.QueueDeclare{Queue: "q", Passive: true}, wire.IDQueueDeclareOk},
	{"a passive queue.declare for direct reply-to", nil, &wire.QueueDeclare{Queue: "amq.rabbitmq.reply-to", Passive: true}, wire.IDQueueDeclareOk},
	{"queue.delete", []right{configure("queue", "q")}, &wire.QueueDelete{Queue: "q"}, wire.IDQueueDeleteOk},
	{"queue.delete of what is not there", []right{configure("queue", "nope")}, &wire.QueueDelete{Queue: "nope"}, wire.IDQueueDeleteOk},
	{"queue.purge", []right{read("queue", "q")}, &wire.QueuePurge{Queue: "q"}, wire.IDQueuePurgeOk},
	{"queue.bind", []right{write("queue", "q"), read("exchange", "x")}, &wire.QueueBind{Queue: "q", Exchange: "x", RoutingKey: "k"}, wire.IDQueueBindOk},
	{"queue.unbind", []right{write("queue", "q"), read("exchange", "x")}, &wire.QueueUnbind{Queue: "q", Exchange: "x", RoutingKey: "k"}, wire.IDQueueUnbindOk},
	{"queue.unbind of what is not there", []right{write("queue", "nope"), read("exchange", "nowhere")},
		&wire.QueueUnbind{Queue: "nope", Exchange: "nowhere", RoutingKey: "k"}, wire.IDQueueUnbindOk},
	{"exchange.declare", []right{configure("exchange", "new")}, &wire.ExchangeDeclare{Exchange: "new", Type: "direct"}, wire.IDExchangeDeclareOk},
	{"exchange.declare of one that is there", []right{configure("exchange", "x")}, &wire.ExchangeDeclare{Exchange: "x", Type: "topic"}, wire.IDExchangeDeclareOk},
	{"exchange.declare of one of the server's", []right{configure("exchange", "amq.direct")},
		&wire.ExchangeDeclare{Exchange: "amq.direct", Type: "direct", Durable: true}, wire.IDExchangeDeclareOk},
	{"exchange.declare with an alternate exchange", []right{configure("exchange", "new"), read("exchange", "new"), write("exchange", "d")},
		&wire.ExchangeDeclare{Exchange: "new", Type: "direct", Arguments: Args{"alternate-exchange": "d"}.Table()}, wire.IDExchangeDeclareOk},
	{"a passive exchange.declare", nil, &wire.ExchangeDeclare{Exchange: "x", Passive: true}, wire.IDExchangeDeclareOk},
	{"exchange.delete", []right{configure("exchange", "x")}, &wire.ExchangeDelete{Exchange: "x"}, wire.IDExchangeDeleteOk},
	{"exchange.bind", []right{write("exchange", "d"), read("exchange", "x")}, &wire.ExchangeBind{Destination: "d", Source: "x", RoutingKey: "k"}, wire.IDExchangeBindOk},
	{"exchange.unbind", []right{write("exchange", "d"), read("exchange", "x")}, &wire.ExchangeUnbind{Destination: "d", Source: "x", RoutingKey: "k"}, wire.IDExchangeUnbindOk},
	{"basic.publish", []right{write("exchange", "x")}, &wire.BasicPublish{Exchange: []byte("x"), RoutingKey: []byte("k")}, wire.IDBasicAck},
	{"basic.publish to a queue by its name", []right{write("exchange", "amq.default")}, &wire.BasicPublish{RoutingKey: []byte("q")}, wire.IDBasicAck},
	{"basic.get", []right{read("queue", "q")}, &wire.BasicGet{Queue: "q", NoAck: true}, wire.IDBasicGetEmpty},
	{"basic.consume", []right{read("queue", "q")}, &wire.BasicConsume{Queue: "q"}, wire.IDBasicConsumeOk},
	{"basic.consume for direct reply-to", nil, &wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", NoAck: true}, wire.IDBasicConsumeOk},
}

func init() {
	for _, p := range permitted {
		words := "nothing"
		for i, r := range p.needs {
			if i == 0 {
				words = ""
			} else {
				words += ", "
			}
			words += fmt.Sprintf("%s on the %s", [...]string{"configure", "write", "read"}[r.permission], r.kind)
		}
		register(Case{Behaviour: "5", Name: p.name + " needs " + words, Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			admin := t.DialAs(Login{VHost: v}).Channel()
			fresh := func() {
				for _, name := range []string{"q", "dead", "new"} {
					Call[*wire.QueueDeleteOk](admin, &wire.QueueDelete{Queue: name})
				}
				for _, name := range []string{"x", "d", "new"} {
					Call[*wire.ExchangeDeleteOk](admin, &wire.ExchangeDelete{Exchange: name})
				}
				Call[*wire.QueueDeclareOk](admin, &wire.QueueDeclare{Queue: "q"})
				Call[*wire.QueueDeclareOk](admin, &wire.QueueDeclare{Queue: "dead", Arguments: Args{"x-dead-letter-exchange": "x"}.Table()})
				Call[*wire.ExchangeDeclareOk](admin, &wire.ExchangeDeclare{Exchange: "x", Type: "topic"})
				Call[*wire.ExchangeDeclareOk](admin, &wire.ExchangeDeclare{Exchange: "d", Type: "direct"})
			}
			fresh()
			for i, missing := range p.needs {
				want := fmt.Sprintf("ACCESS_REFUSED - access to %s '%s' in vhost '%s' refused for user '%s'", missing.kind, missing.name, v, u)
				for _, have := range [][]right{p.needs[:i], append(append([]right{}, p.needs[:i]...), p.needs[i+1:]...)} {
					t.permitOnly(v, u, have...)
					if closed := t.attempt(v, u, p.m, p.ok); closed == nil || closed.Code != 403 || closed.Text != want {
						t.Errorf("with %v: %v, want %q", have, closed, want)
					}
				}
			}
			fresh()
			t.permitOnly(v, u, p.needs...)
			if closed := t.attempt(v, u, p.m, p.ok); closed != nil {
				t.Errorf("with all that it needs: %v", closed)
			}
		}})
	}
	register(
		Case{Behaviour: "5", Name: "a pattern matches anywhere in a name unless it is anchored, the empty one nowhere", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			may := func(pattern, queue string) bool {
				t.Helper()
				t.Permit(v, u, pattern, "", "")
				return t.attempt(v, u, &wire.QueueDeclare{Queue: queue, Exclusive: true}, wire.IDQueueDeclareOk) == nil
			}
			for _, c := range []struct {
				pattern, queue string
				want           bool
			}{
				{"b", "abc", true}, {"^b", "abc", false}, {"^a", "abc", true}, {"b$", "abc", false}, {"^abc$", "abc", true},
				{"", "abc", false}, {"^$", "abc", false}, {"(x|c)", "abc", true}, {"^a.c$", "abc", true}, {"B", "abc", false},
			} {
				if got := may(c.pattern, c.queue); got != c.want {
					t.Errorf("%q for a queue %q: %v", c.pattern, c.queue, got)
				}
			}
		}},
		Case{Behaviour: "5", Name: "a name that the server makes must be permitted too", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "^mine", "", "")
			closed := t.attempt(v, u, &wire.QueueDeclare{}, wire.IDQueueDeclareOk)
			if closed == nil || closed.Code != 403 || !strings.HasPrefix(closed.Text, "ACCESS_REFUSED - access to queue 'amq.gen-") {
				t.Errorf("%v", closed)
			}
			t.Permit(v, u, "^amq\\.gen-", "", "")
			if closed := t.attempt(v, u, &wire.QueueDeclare{Exclusive: true}, wire.IDQueueDeclareOk); closed != nil {
				t.Errorf("%v", closed)
			}
		}},
		Case{Behaviour: "5", Name: "a refusal does not tell what there is", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.permitOnly(v, u)
			for _, m := range []struct {
				m    wire.Method
				ok   wire.ID
				kind string
			}{
				{&wire.BasicGet{Queue: "nope"}, wire.IDBasicGetEmpty, "queue"},
				{&wire.BasicConsume{Queue: "nope"}, wire.IDBasicConsumeOk, "queue"},
				{&wire.QueuePurge{Queue: "nope"}, wire.IDQueuePurgeOk, "queue"},
				{&wire.QueueBind{Queue: "nope", Exchange: "nope"}, wire.IDQueueBindOk, "queue"},
				{&wire.BasicPublish{Exchange: []byte("nope")}, wire.IDBasicAck, "exchange"},
			} {
				want := fmt.Sprintf("ACCESS_REFUSED - access to %s 'nope' in vhost '%s' refused for user '%s'", m.kind, v, u)
				if closed := t.attempt(v, u, m.m, m.ok); closed == nil || closed.Text != want {
					t.Errorf("%v: %v, want %q", m.m.ID(), closed, want)
				}
			}
		}},
		Case{Behaviour: "5", Name: "permissions that change act on connections that are there", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, "", "", "")
			ch := t.DialAs(credentials(u, v)).Channel()
			refused := func(queue string) string {
				return fmt.Sprintf("ACCESS_REFUSED - access to queue '%s' in vhost '%s' refused for user '%s'", queue, v, u)
			}
			ch.Refused(&wire.QueueDeclare{Queue: "q"}, 403, refused("q"))
			t.Permit(v, u, ".*", "", "")
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "q"})
			t.Remove(Path("permissions", v, u))
			ch.Refused(&wire.QueueDelete{Queue: "another"}, 403, refused("another"))
		}},
		Case{Behaviour: "5", Name: "permissions that are taken away end a channel's publishing at once", Needs: Management,
			Plus: "RabbitMQ's channel remembers for a while that it may publish", Run: func(t *T) {
				v, u := t.VHost(), t.User("")
				t.Permit(v, u, "", ".*", "")
				ch := t.DialAs(credentials(u, v)).Channel().Confirm()
				ch.Publish(Message{Exchange: "amq.fanout"})
				ch.Confirmed()
				t.Permit(v, u, "", "", "")
				ch.PublishRefused(Message{Exchange: "amq.fanout"}, 403,
					fmt.Sprintf("ACCESS_REFUSED - access to exchange 'amq.fanout' in vhost '%s' refused for user '%s'", v, u))
			}},
		Case{Behaviour: "5", Name: "routing keys of a topic exchange need topic permissions where there are some", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, ".*", ".*", ".*")
			t.Put(Path("topic-permissions", v, u), JSON{"exchange": "amq.topic", "write": "^{username}\\.{vhost}\\.", "read": "^r\\."})
			own := u + "." + v + ".x"
			refused := func(key string) string {
				return fmt.Sprintf("ACCESS_REFUSED - access to topic '%s' in exchange 'amq.topic' in vhost '%s' refused for user '%s'", key, v, u)
			}
			ch := t.DialAs(credentials(u, v)).Channel().Confirm()
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "q"})
			for _, m := range []Message{{Exchange: "amq.topic", Key: own}, {Exchange: "amq.direct", Key: "other"}, {Key: "other"}} {
				ch.Publish(m)
			}
			ch.Confirmed()
			ch.PublishRefused(Message{Exchange: "amq.topic", Key: "other"}, 403, refused("other"))
			ch.Bind("q", "amq.topic", "r.x", nil)
			ch.Bind("q", "amq.direct", "other", nil)
			for _, m := range []wire.Method{
				&wire.QueueBind{Queue: "q", Exchange: "amq.topic", RoutingKey: "other"},
				&wire.QueueUnbind{Queue: "q", Exchange: "amq.topic", RoutingKey: "other"},
				&wire.ExchangeBind{Destination: "amq.fanout", Source: "amq.topic", RoutingKey: "other"},
				&wire.ExchangeUnbind{Destination: "amq.fanout", Source: "amq.topic", RoutingKey: "other"},
			} {
				ch.Refused(m, 403, refused("other"))
			}
			t.Remove(Path("topic-permissions", v, u))
			ch = t.DialAs(credentials(u, v)).Channel().Confirm()
			ch.Publish(Message{Exchange: "amq.topic", Key: "other"})
			ch.Confirmed()
			ch.Bind("q", "amq.topic", "other", nil)
		}},
		Case{Behaviour: "5", Name: "the empty topic pattern permits the empty routing key alone", Needs: Management, Run: func(t *T) {
			v, u := t.VHost(), t.User("")
			t.Permit(v, u, ".*", ".*", ".*")
			t.Put(Path("topic-permissions", v, u), JSON{"exchange": "amq.topic", "write": "", "read": ""})
			ch := t.DialAs(credentials(u, v)).Channel().Confirm()
			ch.Publish(Message{Exchange: "amq.topic"})
			ch.Confirmed()
			ch.PublishRefused(Message{Exchange: "amq.topic", Key: "k"}, 403, "ACCESS_REFUSED - access to topic 'k' in exchange 'amq.topic'")
		}},
		Case{Behaviour: "5", Name: "the keys in CC need topic permissions too", Needs: Management,
			Plus: "RabbitMQ 3.10 asks for topic permissions of the routing key alone", Run: func(t *T) {
				v, u := t.VHost(), t.User("")
				t.Permit(v, u, ".*", ".*", ".*")
				t.Put(Path("topic-permissions", v, u), JSON{"exchange": "amq.topic", "write": "^mine$", "read": ""})
				ch := t.DialAs(credentials(u, v)).Channel().Confirm()
				ch.Publish(Message{Exchange: "amq.topic", Key: "mine", Props: Props{Headers: Args{"CC": []any{"mine"}}}})
				ch.Confirmed()
				ch.PublishRefused(Message{Exchange: "amq.topic", Key: "mine", Props: Props{Headers: Args{"CC": []any{"theirs"}}}}, 403,
					"ACCESS_REFUSED - access to topic 'theirs' in exchange 'amq.topic'")
			}},
	)
}
