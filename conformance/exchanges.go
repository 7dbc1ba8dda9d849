package conformance

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 13, 21, 24.

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
		Case{Behaviour: "53", Name: "a durable queue and its persistent messages survive kill -9, a transient message does not", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Body: "transient"})
			ch.Put(q, "a", "b")
			t.Kill()
			t.Channel().ExpectDrain(q, "a", "b")
		}},
	)
}
