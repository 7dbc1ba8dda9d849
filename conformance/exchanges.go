package conformance

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 13, 21 and 24.

func init() {
	register(
		Case{Behaviour: "13", Name: "each vhost has its exchanges from the start", Needs: Management, Run: func(t *T) {
			ch := t.DialAs(Login{VHost: t.VHost()}).Channel()
			q := ch.Queue(nil)
			ch.Put(q, "by the default exchange")
			ch.ExpectDrain(q, "by the default exchange")
			for name, kind := range map[string]string{"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
				"amq.headers": "headers", "amq.match": "headers", "amq.rabbitmq.trace": "topic"} {
				if !ch.ExchangeExists(name) {
					t.Errorf("there is no exchange %q", name)
				}
				Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: name, Type: kind, Durable: true, Internal: name == "amq.rabbitmq.trace"})
			}
		}},
		Case{Behaviour: "13", Name: "a predeclared exchange with other properties is 406", Run: func(t *T) {
			t.Channel().Refused(&wire.ExchangeDeclare{Exchange: "amq.direct", Type: "direct"}, 406,
				"PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'")
		}},
		Case{Behaviour: "13", Name: "a new name that begins with amq. is 403, for exchanges and queues", Run: func(t *T) {
			ch := t.Channel()
			ch.Refused(&wire.ExchangeDeclare{Exchange: "amq.new", Type: "direct"}, 403,
				"ACCESS_REFUSED - exchange name 'amq.new' contains reserved prefix 'amq.*'")
			ch.DeclareRefused(Queue{Name: "amq.new"}, 403,
				"ACCESS_REFUSED - queue name 'amq.new' contains reserved prefix 'amq.*'")
		}},
		Case{Behaviour: "13", Name: "deleting a predeclared exchange is 403", Run: func(t *T) {
			ch := t.Channel()
			for _, name := range []string{"amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match", "amq.rabbitmq.trace"} {
				ch.Refused(&wire.ExchangeDelete{Exchange: name}, 403, "ACCESS_REFUSED - deletion of system exchange '"+name+"' in vhost '/' not allowed")
			}
		}},
		Case{Behaviour: "13", Name: "the default exchange is not for binding, unbinding, declaring, deleting: 403", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			text := "ACCESS_REFUSED - operation not permitted on the default exchange"
			for _, m := range []wire.Method{
				&wire.QueueBind{Queue: q, RoutingKey: "k"},
				&wire.QueueUnbind{Queue: q, RoutingKey: q},
				&wire.ExchangeDeclare{Type: "direct", Durable: true},
				&wire.ExchangeDeclare{Passive: true},
				&wire.ExchangeDelete{},
				&wire.ExchangeBind{Destination: "amq.fanout", RoutingKey: "k"},
				&wire.ExchangeBind{Source: "amq.fanout", RoutingKey: "k"},
				&wire.ExchangeUnbind{Destination: "amq.fanout", RoutingKey: "k"},
				&wire.ExchangeUnbind{Source: "amq.fanout", RoutingKey: "k"},
			} {
				ch.Refused(m, 403, text)
			}
		}},
		Case{Behaviour: "13", Name: "binding to and from predeclared exchanges is allowed", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			key := t.Name("key")
			for _, x := range []string{"amq.direct", "amq.topic"} {
				ch.Bind(q, x, key, nil)
				ch.Publish(Message{Exchange: x, Key: key, Body: x})
			}
			ch.Confirmed()
			ch.ExpectDrain(q, "amq.direct", "amq.topic")
		}},

		Case{Behaviour: "21", Name: "a binding from exchange to exchange routes on", Run: func(t *T) {
			ch := t.Channel().Confirm()
			from, to, q := ch.Exchange("topic", nil), ch.Exchange("direct", nil), ch.Queue(nil)
			ch.BindExchange(to, from, "a.#", nil)
			ch.Bind(q, to, "a.b", nil)
			for _, key := range []string{"a.b", "a.c", "b.b"} {
				ch.Publish(Message{Exchange: from, Key: key, Body: key})
			}
			ch.Confirmed()
			d := ch.Take(q)
			if d.Body != "a.b" || d.Exchange != from || d.Key != "a.b" {
				t.Errorf("got %+v: exchange and key are those of the publish", d)
			}
			ch.ExpectDrain(q)
		}},
		Case{Behaviour: "21", Name: "cycles of bindings end, and a message comes once", Run: func(t *T) {
			ch := t.Channel().Confirm()
			a, b, c := ch.Exchange("fanout", nil), ch.Exchange("fanout", nil), ch.Exchange("fanout", nil)
			q := ch.Queue(nil)
			for _, pair := range [][2]string{{a, b}, {b, c}, {c, a}, {a, a}, {b, a}} {
				ch.BindExchange(pair[0], pair[1], "", nil)
			}
			for _, x := range []string{a, b, c} {
				ch.Bind(q, x, "", nil)
			}
			ch.Publish(Message{Exchange: a, Body: "once"})
			ch.Confirmed()
			ch.ExpectDrain(q, "once")
		}},
		Case{Behaviour: "21", Name: "a message reaches a queue once however many bindings match", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := ch.Exchange("topic", nil), ch.Queue(nil)
			for _, key := range []string{"a.b", "a.*", "*.b", "#", "a.#"} {
				ch.Bind(q, x, key, nil)
			}
			ch.Publish(Message{Exchange: x, Key: "a.b", Body: "once"})
			ch.Confirmed()
			ch.ExpectDrain(q, "once")
		}},
		Case{Behaviour: "21", Name: "binding the same twice is one binding", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x, q := ch.Exchange("direct", nil), ch.Queue(nil)
			ch.Bind(q, x, "k", Args{"n": 1})
			ch.Bind(q, x, "k", Args{"n": 1})
			ch.Bind(q, x, "k", Args{"n": 2})
			ch.Unbind(q, x, "k", Args{"n": 1})
			ch.Publish(Message{Exchange: x, Key: "k", Body: "by the other"})
			ch.Confirmed()
			ch.ExpectDrain(q, "by the other")
			ch.Unbind(q, x, "k", Args{"n": 2})
			ch.Publish(Message{Exchange: x, Key: "k", Mandatory: true})
			ch.Return()
		}},
		Case{Behaviour: "21", Name: "unbinding what is not bound succeeds", Run: func(t *T) {
			ch := t.Channel()
			x, y, q := ch.Exchange("direct", nil), ch.Exchange("direct", nil), ch.Queue(nil)
			ch.Unbind(q, x, "never", nil)
			Call[*wire.ExchangeUnbindOk](ch, &wire.ExchangeUnbind{Destination: x, Source: y, RoutingKey: "never"})
		}},
		Case{Behaviour: "21", Name: "binding or unbinding a missing queue or exchange is 404", Run: func(t *T) {
			ch := t.Channel()
			x, q, none := ch.Exchange("direct", nil), ch.Queue(nil), t.Name("none")
			noQueue, noExchange := "NOT_FOUND - no queue '"+none+"' in vhost '/'", "NOT_FOUND - no exchange '"+none+"' in vhost '/'"
			ch.Refused(&wire.QueueBind{Queue: none, Exchange: x}, 404, noQueue)
			ch.Refused(&wire.QueueBind{Queue: q, Exchange: none}, 404, noExchange)
			ch.Refused(&wire.ExchangeBind{Destination: none, Source: x}, 404, noExchange)
			ch.Refused(&wire.ExchangeBind{Destination: x, Source: none}, 404, noExchange)
		}},
		Case{Behaviour: "21", Name: "unbinding a missing queue or exchange succeeds", Run: func(t *T) {
			ch := t.Channel()
			x, q, none := ch.Exchange("direct", nil), ch.Queue(nil), t.Name("none")
			ch.Unbind(none, x, "", nil)
			ch.Unbind(q, none, "", nil)
			Call[*wire.ExchangeUnbindOk](ch, &wire.ExchangeUnbind{Destination: none, Source: x})
			Call[*wire.ExchangeUnbindOk](ch, &wire.ExchangeUnbind{Destination: x, Source: none})
		}},
		Case{Behaviour: "21", Name: "deleting an exchange takes its bindings along", Run: func(t *T) {
			ch := t.Channel().Confirm()
			from, q := ch.Exchange("fanout", nil), ch.Queue(nil)
			to := ch.Exchange("fanout", nil)
			ch.BindExchange(to, from, "", nil)
			ch.Bind(q, to, "", nil)
			Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: to})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: to, Type: "fanout", Durable: true})
			ch.Publish(Message{Exchange: from, Mandatory: true})
			ch.Return()
			ch.Publish(Message{Exchange: to, Mandatory: true})
			ch.Return()
		}},
		Case{Behaviour: "21", Name: "deleting an exchange if unused is 406 while it has bindings as source", Run: func(t *T) {
			ch := t.Channel()
			x, y, q := ch.Exchange("fanout", nil), ch.Exchange("fanout", nil), ch.Queue(nil)
			ch.Bind(q, x, "", nil)
			ch.BindExchange(y, x, "", nil)
			ch.Refused(&wire.ExchangeDelete{Exchange: x, IfUnused: true}, 406, "PRECONDITION_FAILED - exchange '"+x+"' in vhost '/' in use")
			Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: y, IfUnused: true})
		}},

		Case{Behaviour: "24", Name: "what an exchange can not route goes to its alternate exchange", Run: func(t *T) {
			ch := t.Channel().Confirm()
			alternate, q, other := ch.Exchange("fanout", nil), ch.Queue(nil), ch.Queue(nil)
			x := ch.Exchange("direct", Args{"alternate-exchange": alternate})
			ch.Bind(q, x, "known", nil)
			ch.Bind(other, alternate, "", nil)
			ch.Publish(Message{Exchange: x, Key: "known", Body: "routed"})
			ch.Publish(Message{Exchange: x, Key: "unknown", Body: "not routed", Mandatory: true})
			ch.Confirmed()
			if _, returned := Has[*wire.BasicReturn](ch); returned {
				t.Errorf("returned though the alternate exchange took it")
			}
			ch.ExpectDrain(q, "routed")
			d := ch.Take(other)
			if d.Body != "not routed" || d.Exchange != x || d.Key != "unknown" {
				t.Errorf("got %+v: exchange and key are those of the publish", d)
			}
		}},
		Case{Behaviour: "24", Name: "alternate exchanges form a chain, which ends at a cycle", Run: func(t *T) {
			ch := t.Channel().Confirm()
			a, b, c := t.Name("a"), t.Name("b"), t.Name("c")
			for _, pair := range [][2]string{{a, b}, {b, c}, {c, a}} {
				ch.DeclareExchange(wire.ExchangeDeclare{Exchange: pair[0], Type: "direct", Durable: true, Arguments: Args{"alternate-exchange": pair[1]}.Table()})
			}
			q := ch.Queue(nil)
			ch.Bind(q, c, "far", nil)
			ch.Publish(Message{Exchange: a, Key: "far", Body: "at the third"})
			ch.Publish(Message{Exchange: a, Key: "nowhere", Body: "round and round", Mandatory: true})
			if d := ch.Return(); d.Body != "round and round" || d.Code != 312 {
				t.Errorf("returned %+v", d)
			}
			ch.Confirmed()
			ch.ExpectDrain(q, "at the third")
		}},
		Case{Behaviour: "24", Name: "a missing alternate exchange drops or returns", Run: func(t *T) {
			ch := t.Channel().Confirm()
			later := t.Name("later")
			x := ch.Exchange("direct", Args{"alternate-exchange": later})
			ch.Publish(Message{Exchange: x, Key: "k", Body: "lost"})
			ch.Publish(Message{Exchange: x, Key: "k", Body: "returned", Mandatory: true})
			ch.Return()
			ch.Confirmed()
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: later, Type: "fanout", Durable: true})
			q := ch.Queue(nil)
			ch.Bind(q, later, "", nil)
			ch.Publish(Message{Exchange: x, Key: "k", Body: "now it is there"})
			ch.Confirmed()
			ch.ExpectDrain(q, "now it is there")
		}},
		Case{Behaviour: "24", Name: "an alternate exchange that is no string is 406", Run: func(t *T) {
			t.Channel().Refused(&wire.ExchangeDeclare{Exchange: t.Name("x"), Type: "direct", Arguments: Args{"alternate-exchange": 1}.Table()}, 406,
				"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '")
		}},
		Case{Behaviour: "24", Name: "the alternate exchange counts in the equivalence of a redeclare", Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("direct", Args{"alternate-exchange": "one"})
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "direct", Durable: true, Arguments: Args{"alternate-exchange": "two"}.Table()}, 406,
				"inequivalent arg 'alternate-exchange' for exchange '"+x+"' in vhost '/': received 'two' but current is 'one'")
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "direct", Durable: true}, 406,
				"inequivalent arg 'alternate-exchange' for exchange '"+x+"' in vhost '/': received none but current is the value 'one' of type 'longstr'")
		}},
		Case{Behaviour: "24", Name: "publishing to an internal exchange is 403, through it works", Run: func(t *T) {
			ch := t.Channel().Confirm()
			internal := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, Internal: true})
			x, q := ch.Exchange("fanout", nil), ch.Queue(nil)
			ch.BindExchange(internal, x, "", nil)
			ch.Bind(q, internal, "", nil)
			ch.Publish(Message{Exchange: x, Body: "through it"})
			ch.Confirmed()
			ch.ExpectDrain(q, "through it")
			ch.PublishRefused(Message{Exchange: internal}, 403, "ACCESS_REFUSED - cannot publish to internal exchange '"+internal+"' in vhost '/'")
		}},
		Case{Behaviour: "24", Name: "internal counts in the equivalence of a redeclare", Run: func(t *T) {
			ch := t.Channel()
			x := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, Internal: true})
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "fanout", Durable: true}, 406,
				"inequivalent arg 'internal' for exchange '"+x+"' in vhost '/': received 'false' but current is 'true'")
		}},
	)
}
