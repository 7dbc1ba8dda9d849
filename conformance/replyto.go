package conformance

import (
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 32: direct reply-to.

const replyTo = "amq.rabbitmq.reply-to"

func init() {
	register(
		Case{Behaviour: "32", Name: "a request's reply comes without a queue", Run: func(t *T) {
			client, server := t.Channel(), t.Channel().Confirm()
			requests := server.Queue(nil)
			tag := client.Consume(replyTo, Consume{NoAck: true})
			client.Publish(Message{Key: requests, Body: "ask", Props: Props{ReplyTo: replyTo, CorrelationID: "7"}})
			ask := server.AwaitMessage(requests)
			name := string(ask.Props.ReplyTo())
			if !strings.HasPrefix(name, replyTo+".") || len(name) < len(replyTo)+10 {
				t.Errorf("reply-to %q", name)
			}
			server.Publish(Message{Key: name, Body: "answer", Props: Props{CorrelationID: "7"}})
			d := client.Delivery()
			if d.Body != "answer" || d.Consumer != tag || string(d.Props.CorrelationID()) != "7" || d.Exchange != "" || d.Key != name || d.Redelivered || d.Tag != 1 {
				t.Errorf("got %+v", d)
			}
			server.Confirmed()
		}},
		Case{Behaviour: "32", Name: "the reply name stays the same on a channel and differs between channels", Run: func(t *T) {
			c := t.Dial()
			requests := c.Channel().Queue(nil)
			name := func(ch *Channel) string {
				ch.Publish(Message{Key: requests, Props: Props{ReplyTo: replyTo}})
				return string(ch.AwaitMessage(requests).Props.ReplyTo())
			}
			one, two := c.Channel(), c.Channel()
			one.Consume(replyTo, Consume{NoAck: true})
			two.Consume(replyTo, Consume{NoAck: true})
			if a, b, c := name(one), name(one), name(two); a != b || a == c {
				t.Errorf("names %q, %q and on the other channel %q", a, b, c)
			}
		}},
		Case{Behaviour: "32", Name: "a consumer of replies that would ack is 406", Run: func(t *T) {
			t.Channel().ConsumeRefused(replyTo, Consume{}, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
		}},
		Case{Behaviour: "32", Name: "a second consumer of replies on a channel is 406", Run: func(t *T) {
			ch := t.Channel()
			ch.Consume(replyTo, Consume{NoAck: true})
			ch.ConsumeRefused(replyTo, Consume{NoAck: true}, 406, "PRECONDITION_FAILED - reply consumer already set")
		}},
		Case{Behaviour: "32", Name: "publishing with that reply-to and without a consumer is 406", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.PublishRefused(Message{Key: q, Props: Props{ReplyTo: replyTo}}, 406, "PRECONDITION_FAILED - fast reply consumer does not exist")
		}},
		Case{Behaviour: "32", Name: "publishing after the consumer was cancelled is 406", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Cancel(ch.Consume(replyTo, Consume{NoAck: true}))
			ch.PublishRefused(Message{Key: q, Props: Props{ReplyTo: replyTo}}, 406, "PRECONDITION_FAILED - fast reply consumer does not exist")
		}},
		Case{Behaviour: "32", Name: "a passive declare of a live reply name succeeds, of a dead one is 404", Run: func(t *T) {
			client, server := t.Channel(), t.Channel()
			requests := server.Queue(nil)
			client.Consume(replyTo, Consume{NoAck: true})
			client.Publish(Message{Key: requests, Props: Props{ReplyTo: replyTo}})
			name := string(server.AwaitMessage(requests).Props.ReplyTo())
			ok := Call[*wire.QueueDeclareOk](server, &wire.QueueDeclare{Queue: name, Passive: true})
			if ok.Queue != name || ok.MessageCount != 0 || ok.ConsumerCount != 1 {
				t.Errorf("declare-ok %+v", ok)
			}
			client.Close()
			t.Eventually(func() bool { return !server.Exists(name) }, "it lives")
			server.Refused(&wire.QueueDeclare{Queue: name, Passive: true}, 404, "NOT_FOUND - no queue '"+name+"' in vhost '/'")
		}},
		Case{Behaviour: "32", Name: "declaring the name itself answers with its counts", Run: func(t *T) {
			ok := Call[*wire.QueueDeclareOk](t.Channel(), &wire.QueueDeclare{Queue: replyTo})
			if ok.Queue != replyTo || ok.MessageCount != 0 {
				t.Errorf("declare-ok %+v", ok)
			}
		}},
		Case{Behaviour: "32", Name: "a reply to a client that is gone is unroutable", Run: func(t *T) {
			client, server := t.Channel(), t.Channel().Confirm()
			requests := server.Queue(nil)
			client.Consume(replyTo, Consume{NoAck: true})
			client.Publish(Message{Key: requests, Props: Props{ReplyTo: replyTo}})
			name := string(server.AwaitMessage(requests).Props.ReplyTo())
			client.Close()
			t.Eventually(func() bool { return !server.Exists(name) }, "it lives")
			server.Publish(Message{Key: name, Body: "too late", Mandatory: true})
			if d := server.Return(); d.Code != 312 || d.Body != "too late" {
				t.Errorf("returned %+v", d)
			}
			server.Confirmed()
		}},
		Case{Behaviour: "32", Name: "a made-up reply name is unroutable", Run: func(t *T) {
			ch := t.Channel().Confirm()
			for _, name := range []string{replyTo + ".nonsense", replyTo + "."} {
				ch.Publish(Message{Key: name, Mandatory: true, Body: name})
				if d := ch.Return(); d.Body != name {
					t.Errorf("returned %+v", d)
				}
			}
			ch.Confirmed()
		}},
		Case{Behaviour: "32", Name: "a forged reply name is unroutable and no internal error",
			Plus: "RabbitMQ ends the connection with 541 where a name looks like its own and is none", Run: func(t *T) {
				ch := t.Channel().Confirm()
				ch.Publish(Message{Key: replyTo + ".g1h2AAAA.AAAA==", Mandatory: true})
				ch.Return()
				ch.Confirmed()
			}},
		Case{Behaviour: "32", Name: "many replies come in order", Run: func(t *T) {
			client, server := t.Channel(), t.Channel().Confirm()
			requests := server.Queue(nil)
			client.Consume(replyTo, Consume{NoAck: true})
			client.Publish(Message{Key: requests, Props: Props{ReplyTo: replyTo}})
			name := string(server.AwaitMessage(requests).Props.ReplyTo())
			var want []string
			for i := range 100 {
				body := strings.Repeat("x", i*50)
				want = append(want, body)
				server.Publish(Message{Key: name, Body: body})
			}
			server.Confirmed()
			client.ExpectBodies(want...)
		}},
		Case{Behaviour: "32", Name: "other reply-to values stay as they are", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			for _, name := range []string{"my.queue", "amq.gen-x", "amq.rabbitmq.reply-to.x"} {
				ch.Publish(Message{Key: q, Props: Props{ReplyTo: name}})
				ch.Confirmed()
				if got := string(ch.Take(q).Props.ReplyTo()); got != name {
					t.Errorf("reply-to %q came as %q", name, got)
				}
			}
		}},
		Case{Behaviour: "32", Name: "getting, purging and binding the name is refused", Run: func(t *T) {
			ch := t.Channel()
			ch.Consume(replyTo, Consume{NoAck: true})
			ch.Refused(&wire.QueuePurge{Queue: replyTo}, 404)
			ch.Refused(&wire.QueueBind{Queue: replyTo, Exchange: "amq.direct", RoutingKey: "k"}, 404)
			ch.Refused(&wire.BasicGet{Queue: replyTo}, 404)
		}},
	)
}
