package conformance

import (
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 14 to 17a: declaring.

func init() {
	register(
		Case{Behaviour: "14", Name: "a queue redeclared with another durability or auto-delete is 406, as exclusive 405", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			text := func(arg, received, current string) string {
				return "PRECONDITION_FAILED - inequivalent arg '" + arg + "' for queue '" + q + "' in vhost '/': received '" + received + "' but current is '" + current + "'"
			}
			ch.DeclareRefused(Queue{Name: q, Transient: true}, 406, text("durable", "false", "true"))
			ch.DeclareRefused(Queue{Name: q, AutoDelete: true}, 406, text("auto_delete", "true", "false"))
			ch.DeclareRefused(Queue{Name: q, Exclusive: true}, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '"+q+"' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.")
		}},
		Case{Behaviour: "14", Name: "an exchange redeclared with another type, durability or auto-delete is 406", Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("direct", nil)
			text := func(arg, received, current string) string {
				return "PRECONDITION_FAILED - inequivalent arg '" + arg + "' for exchange '" + x + "' in vhost '/': received '" + received + "' but current is '" + current + "'"
			}
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "fanout", Durable: true}, 406, text("type", "fanout", "direct"))
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "direct"}, 406, text("durable", "false", "true"))
			ch.Refused(&wire.ExchangeDeclare{Exchange: x, Type: "direct", Durable: true, AutoDelete: true}, 406, text("auto_delete", "true", "false"))
		}},
		Case{Behaviour: "14", Name: "a queue redeclared with other arguments is 406", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-message-ttl": 60000, "x-dead-letter-exchange": "one"})
			prefix := func(arg string) string {
				return "PRECONDITION_FAILED - inequivalent arg '" + arg + "' for queue '" + q + "' in vhost '/': received "
			}
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-message-ttl": 60001, "x-dead-letter-exchange": "one"}}, 406,
				prefix("x-message-ttl")+"'60001' but current is '60000'")
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-message-ttl": 60000, "x-dead-letter-exchange": "two"}}, 406,
				prefix("x-dead-letter-exchange")+"'two' but current is 'one'")
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-dead-letter-exchange": "one"}}, 406,
				prefix("x-message-ttl")+"none but current is the value '60000' of type 'signedint'")
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-message-ttl": 60000, "x-dead-letter-exchange": "one", "x-max-length": 5}}, 406,
				prefix("x-max-length")+"the value '5' of type 'signedint' but current is none")
		}},
		Case{Behaviour: "14", Name: "integers of other widths are equal", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-message-ttl": int32(100)})
			for _, v := range []any{int8(100), uint8(100), int16(100), uint16(100), int64(100), uint32(100)} {
				ch.Declare(Queue{Name: q, Args: Args{"x-message-ttl": v}})
			}
		}},
		Case{Behaviour: "14", Name: "the same declaration again succeeds and changes nothing", Run: func(t *T) {
			ch := t.Channel().Confirm()
			args := Args{"x-message-ttl": 60000, "x-dead-letter-exchange": "one", "x-max-length": 5}
			q := ch.Queue(args)
			ch.Put(q, "still there")
			if ok := ch.Declare(Queue{Name: q, Args: args}); ok.Queue != q || ok.MessageCount != 1 || ok.ConsumerCount != 0 {
				t.Errorf("declare-ok %+v", ok)
			}
			x := ch.Exchange("headers", Args{"alternate-exchange": "other"})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: x, Type: "headers", Durable: true, Arguments: Args{"alternate-exchange": "other"}.Table()})
		}},
		Case{Behaviour: "14", Name: "a queue redeclared as of another queue type is 406", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-queue-type": "quorum"}}, 406,
				"PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '"+q+"' in vhost '/': received the value 'quorum' of type 'longstr' but current is none")
		}},

		Case{Behaviour: "15", Name: "a passive declare of what is missing is 404", Run: func(t *T) {
			ch := t.Channel()
			none := t.Name("none")
			ch.DeclareRefused(Queue{Name: none, Passive: true}, 404, "NOT_FOUND - no queue '"+none+"' in vhost '/'")
			ch.Refused(&wire.ExchangeDeclare{Exchange: none, Passive: true}, 404, "NOT_FOUND - no exchange '"+none+"' in vhost '/'")
		}},
		Case{Behaviour: "15", Name: "a passive declare checks nothing but the name", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-message-ttl": 60000})
			ch.Put(q, "1", "2")
			if ok := ch.Declare(Queue{Name: q, Passive: true, Transient: true, AutoDelete: true, Args: Args{"x-message-ttl": 1}}); ok.MessageCount != 2 {
				t.Errorf("declare-ok %+v", ok)
			}
			x := ch.Exchange("direct", nil)
			Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: x, Passive: true, Type: "fanout", AutoDelete: true})
		}},
		Case{Behaviour: "15", Name: "a passive declare of an exchange does not look at its type", Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("direct", nil)
			Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: x, Passive: true})
		}},
		Case{Behaviour: "15", Name: "deleting what is missing succeeds", Run: func(t *T) {
			ch := t.Channel()
			none := t.Name("none")
			if n := ch.Delete(none); n != 0 {
				t.Errorf("it had %d messages", n)
			}
			Call[*wire.QueueDeleteOk](ch, &wire.QueueDelete{Queue: none, IfUnused: true, IfEmpty: true})
			Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: none})
			Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: none, IfUnused: true})
		}},
		Case{Behaviour: "15", Name: "consuming, getting from and purging a missing queue is 404", Run: func(t *T) {
			ch := t.Channel()
			none := t.Name("none")
			text := "NOT_FOUND - no queue '" + none + "' in vhost '/'"
			ch.ConsumeRefused(none, Consume{}, 404, text)
			ch.Refused(&wire.BasicGet{Queue: none}, 404, text)
			ch.Refused(&wire.QueuePurge{Queue: none}, 404, text)
		}},

		Case{Behaviour: "16", Name: "an unknown exchange type is 503", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			ch.Send(&wire.ExchangeDeclare{Exchange: t.Name("x"), Type: "nonsense"})
			c.ExpectClose(503, "COMMAND_INVALID - unknown exchange type 'nonsense'")
		}},
		Case{Behaviour: "16", Name: "arguments of a wrong type are 406", Run: func(t *T) {
			ch := t.Channel()
			for name, v := range map[string]any{
				"x-message-ttl": "60000", "x-expires": true, "x-max-length": "3", "x-max-length-bytes": 2.5,
				"x-dead-letter-routing-key": 7, "x-overflow": 1, "x-max-priority": "10",
				"x-single-active-consumer": "true", "x-queue-mode": 1, "x-queue-type": 5,
			} {
				args := Args{name: v}
				if name == "x-dead-letter-routing-key" {
					args["x-dead-letter-exchange"] = "x"
				}
				ch.DeclareRefused(Queue{Args: args}, 406, "PRECONDITION_FAILED - invalid arg '"+name+"' for queue 'conformance-16-q")
			}
			ch.DeclareRefused(Queue{Args: Args{"x-dead-letter-exchange": 1}}, 406, "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'conformance-16-q")
		}},
		Case{Behaviour: "16", Name: "arguments out of range are 406", Run: func(t *T) {
			ch := t.Channel()
			for _, c := range []struct {
				name string
				v    any
			}{
				{"x-message-ttl", -1}, {"x-message-ttl", int64(1) << 50}, {"x-expires", 0}, {"x-expires", -5}, {"x-expires", int64(1) << 50},
				{"x-max-length", -1}, {"x-max-length-bytes", -1}, {"x-max-priority", -1}, {"x-max-priority", 256},
				{"x-overflow", "nonsense"}, {"x-queue-mode", "nonsense"}, {"x-queue-type", "nonsense"}, {"x-queue-version", 3},
			} {
				ch.DeclareRefused(Queue{Args: Args{c.name: c.v}}, 406, "PRECONDITION_FAILED - invalid arg '"+c.name+"' for queue 'conformance-16-q")
			}
		}},
		Case{Behaviour: "16", Name: "arguments at the ends of their ranges are accepted", Run: func(t *T) {
			ch := t.Channel()
			for _, args := range []Args{
				{"x-message-ttl": 0}, {"x-message-ttl": int64(1) << 33}, {"x-expires": int64(1) << 33}, {"x-max-length": 0}, {"x-max-length-bytes": 0},
				{"x-max-priority": 0}, {"x-max-priority": 255}, {"x-dead-letter-exchange": ""}, {"x-queue-mode": "lazy"}, {"x-queue-mode": "default"},
				{"x-queue-version": 1}, {"x-queue-version": 2},
			} {
				ch.Queue(args)
			}
		}},
		Case{Behaviour: "16", Name: "an argument of quorum queues is 406 for a classic one", Run: func(t *T) {
			ch := t.Channel()
			for name, v := range map[string]any{"x-delivery-limit": 5, "x-dead-letter-strategy": "at-least-once"} {
				ch.DeclareRefused(Queue{Args: Args{name: v}}, 406, "PRECONDITION_FAILED - invalid arg '"+name+"' for queue 'conformance-16-q")
			}
		}},
		Case{Behaviour: "16", Name: "a dead letter routing key without an exchange is 406", Run: func(t *T) {
			t.Channel().DeclareRefused(Queue{Args: Args{"x-dead-letter-routing-key": "k"}}, 406, "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue")
		}},
		Case{Behaviour: "16", Name: "arguments of a consumer of a wrong type are 406", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.ConsumeRefused(q, Consume{Args: Args{"x-priority": "high"}}, 406, "PRECONDITION_FAILED - invalid arg 'x-priority' for queue '"+q+"' in vhost '/'")
		}},
		Case{Behaviour: "16", Name: "nothing is declared by a refused declare", Run: func(t *T) {
			ch := t.Channel()
			name := t.Name("q")
			ch.DeclareRefused(Queue{Name: name, Args: Args{"x-max-priority": 1000}}, 406)
			if ch.Exists(name) {
				t.Errorf("there is a queue")
			}
		}},

		Case{Behaviour: "17", Name: "an empty queue name gets one that begins with amq.gen-", Run: func(t *T) {
			ch := t.Channel()
			seen := map[string]bool{}
			for range 3 {
				q := Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Exclusive: true}).Queue
				if !strings.HasPrefix(q, "amq.gen-") || len(q) < len("amq.gen-")+16 || seen[q] {
					t.Errorf("queue %q", q)
				}
				seen[q] = true
				Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: q, Passive: true})
				ch.Refused(&wire.QueueDeclare{Queue: q, Exclusive: true}, 403, "ACCESS_REFUSED - queue name '"+q+"' contains reserved prefix 'amq.*'")
			}
		}},
		Case{Behaviour: "17", Name: "an empty consumer tag gets one that begins with amq.ctag-", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			one, two := ch.Consume(q, Consume{}), ch.Consume(q, Consume{})
			if !strings.HasPrefix(one, "amq.ctag-") || !strings.HasPrefix(two, "amq.ctag-") || one == two {
				t.Errorf("tags %q and %q", one, two)
			}
		}},
		Case{Behaviour: "17", Name: "an empty queue name means the channel's last declared queue", Run: func(t *T) {
			ch := t.Channel().Confirm()
			first, last := ch.Queue(nil), ch.Queue(nil)
			ch.Put(first, "not this")
			ch.Put(last, "1", "2", "3", "4")
			ch.Bind("", "amq.direct", last, nil)
			ch.Publish(Message{Exchange: "amq.direct", Key: last, Body: "5"})
			ch.Confirmed()
			if d := ch.Take(""); d.Body != "1" {
				t.Errorf("got %q", d.Body)
			}
			ch.Unbind("", "amq.direct", last, nil)
			tag := ch.Consume("", Consume{})
			ch.AckAll(ch.ExpectBodies("2", "3", "4", "5")[3].Tag)
			ch.Cancel(tag)
			ch.Put(last, "6")
			if n := ch.Purge(""); n != 1 {
				t.Errorf("purged %d", n)
			}
			ch.Delete("")
			if ch.Exists(last) || !ch.Exists(first) {
				t.Errorf("the wrong queue was deleted")
			}
		}},
		Case{Behaviour: "17", Name: "an empty routing key with an empty queue name is the queue's name", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Bind("", "amq.direct", "", nil)
			ch.Publish(Message{Exchange: "amq.direct", Key: q, Body: "by its name"})
			ch.Confirmed()
			ch.ExpectDrain(q, "by its name")
		}},
		Case{Behaviour: "17", Name: "a passive declare counts as the last declared queue too", Run: func(t *T) {
			ch := t.Channel().Confirm()
			one, two := ch.Queue(nil), ch.Queue(nil)
			ch.Put(one, "x")
			ch.Put(two, "x", "y")
			Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: one, Passive: true})
			if n := ch.Purge(""); n != 1 {
				t.Errorf("purged %d", n)
			}
		}},
		Case{Behaviour: "17", Name: "an empty name in a passive declare is no shorthand", Run: func(t *T) {
			ch := t.Channel()
			ch.Queue(nil)
			ch.Refused(&wire.QueueDeclare{Passive: true}, 404, "NOT_FOUND - no queue '' in vhost '/'")
		}},
		Case{Behaviour: "17", Name: "an empty queue name is 404 where none was declared", Run: func(t *T) {
			ch := t.Channel()
			text := "NOT_FOUND - no previously declared queue"
			ch.ConsumeRefused("", Consume{}, 404, text)
			ch.Refused(&wire.BasicGet{}, 404, text)
			ch.Refused(&wire.QueuePurge{}, 404, text)
			ch.Refused(&wire.QueueDelete{}, 404, text)
			ch.Refused(&wire.QueueBind{Exchange: "amq.direct", RoutingKey: "k"}, 404, text)
			ch.Refused(&wire.QueueUnbind{Exchange: "amq.direct", RoutingKey: "k"}, 404, text)
		}},

		Case{Behaviour: "17a", Name: "line feeds and carriage returns are taken out of names of queues", Run: func(t *T) {
			ch := t.Channel()
			name := t.Name("q")
			t.cleanQueue(ch.Conn, name)
			ok := Call[*wire.QueueDeclareOk](ch, &wire.QueueDeclare{Queue: "\r" + name[:5] + "\n" + name[5:] + "\r\n", Durable: true})
			if ok.Queue != name {
				t.Errorf("the queue is %q", ok.Queue)
			}
			if !ch.Exists(name) {
				t.Errorf("there is no queue of the cleaned name")
			}
		}},
		Case{Behaviour: "17a", Name: "line feeds and carriage returns are taken out of names of exchanges", Run: func(t *T) {
			ch := t.Channel()
			name := t.Name("x")
			t.cleanExchange(ch.Conn, name)
			Call[*wire.ExchangeDeclareOk](ch, &wire.ExchangeDeclare{Exchange: name + "\n", Type: "direct"})
			if !ch.ExchangeExists(name) {
				t.Errorf("there is no exchange of the cleaned name")
			}
		}},
		Case{Behaviour: "17a", Name: "arguments that mean nothing to the broker do not count in a redeclare", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"my-note": "one", "x-unknown": 1})
			ch.Declare(Queue{Name: q, Args: Args{"my-note": "two"}})
			ch.Declare(Queue{Name: q})
			x := ch.Exchange("direct", Args{"my-note": "one"})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: x, Type: "direct", Durable: true})
		}},
		Case{Behaviour: "17a", Name: "names keep all other characters", Run: func(t *T) {
			ch := t.Channel().Confirm()
			name := t.Name("q") + " ü/%2F\t\"'#*.日本"
			ch.Declare(Queue{Name: name})
			ch.Put(name, "there")
			if d := ch.Take(name); d.Key != name {
				t.Errorf("routing key %q", d.Key)
			}
		}},
		Case{Behaviour: "17a", Name: "a name of 255 bytes is a name", Run: func(t *T) {
			ch := t.Channel().Confirm()
			name := t.Name("q")
			name += strings.Repeat("n", 255-len(name))
			ch.Declare(Queue{Name: name})
			ch.Put(name, "there")
			ch.ExpectDrain(name, "there")
		}},
		Case{Behaviour: "17a", Name: "a name that is not UTF-8 is 501", Run: func(t *T) {
			c := t.Dial()
			c.Channel().Send(&wire.QueueDeclare{Queue: "conformance-\xff\xfe", Exclusive: true})
			c.ExpectClose(501, "FRAME_ERROR")
		}},
	)
}
