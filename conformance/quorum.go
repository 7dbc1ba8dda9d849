package conformance

import (
	"errors"
	"fmt"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 43 and 52: what is a quorum queue's to clients.

func quorum(more Args) Args {
	a := Args{"x-queue-type": "quorum"}
	for name, v := range more {
		a[name] = v
	}
	return a
}

// mustGet fetches a message that is there, or will be, and leaves it unacked.
func (ch *Channel) mustGet(queue string) Delivery {
	ch.t.Helper()
	var d Delivery
	ch.t.Eventually(func() (ok bool) {
		d, ok = ch.Get(queue, false)
		return ok
	}, "%s is empty", queue)
	return d
}

// counted checks the header x-delivery-count. On the first delivery it may be 0 or
// absent.
func (t *T) counted(d Delivery, want int) {
	t.Helper()
	got, ok := d.Headers()["x-delivery-count"]
	if want == 0 && !ok {
		return
	}
	if got != int64(want) {
		t.Errorf("x-delivery-count is %v, want %d", got, want)
	}
	if d.Redelivered != (want > 0) {
		t.Errorf("delivery %d has redelivered %v", want+1, d.Redelivered)
	}
}

func init() {
	// each is a way on which a delivery comes back.
	type each struct {
		name string
		back func(ch *Channel, tag uint64) *Channel
	}
	ways := []each{
		{"nack", func(ch *Channel, tag uint64) *Channel { ch.Nack(tag, true); return ch }},
		{"reject", func(ch *Channel, tag uint64) *Channel { ch.Reject(tag, true); return ch }},
		{"recover", func(ch *Channel, tag uint64) *Channel {
			Call[*wire.BasicRecoverOk](ch, &wire.BasicRecover{Requeue: true})
			return ch
		}},
		{"a closed channel", func(ch *Channel, tag uint64) *Channel { ch.Close(); return ch.Conn.Channel() }},
		{"a closed connection", func(ch *Channel, tag uint64) *Channel { ch.Conn.Close(); return ch.t.Channel() }},
	}
	for _, way := range ways {
		register(Case{Behaviour: "43", Name: way.name + " counts as a return", Run: func(t *T) {
			admin := t.Channel().Confirm()
			dead := admin.Queue(nil)
			q := admin.Queue(quorum(into(dead, Args{"x-delivery-limit": 2})))
			admin.Put(q, "m")
			ch := t.Channel()
			for i := range 3 {
				d := ch.mustGet(q)
				t.counted(d, i)
				ch = way.back(ch, d.Tag)
			}
			d := admin.AwaitMessage(dead)
			if got, want := died(d), q+" delivery_limit 1"; got != want {
				t.Errorf("%s, want %s", got, want)
			}
			admin.ExpectDrain(q)
		}})
	}
	register(
		Case{Behaviour: "43", Name: "a limit of 0 allows no return", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-delivery-limit": 0})))
			ch.Put(q, "m")
			ch.Nack(ch.mustGet(q).Tag, true)
			ch.AwaitMessage(dead)
		}},
		Case{Behaviour: "43", Name: "without a dead letter exchange it is dropped", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(quorum(Args{"x-delivery-limit": 1}))
			ch.Put(q, "m")
			ch.Nack(ch.mustGet(q).Tag, true)
			ch.Nack(ch.mustGet(q).Tag, true)
			ch.Barrier([]string{q})
			ch.ExpectDrain(q)
		}},
		Case{Behaviour: "43", Name: "others keep their places", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-delivery-limit": 1})))
			ch.Put(q, "1", "2")
			ch.Nack(ch.mustGet(q).Tag, true)
			d := ch.mustGet(q)
			if d.Body == "1" { // RabbitMQ gives it back to its place, or to the end
				ch.Nack(d.Tag, true)
			} else {
				ch.Ack(d.Tag)
				ch.Nack(ch.mustGet(q).Tag, true)
			}
			if d := ch.AwaitMessage(dead); d.Body != "1" {
				t.Errorf("%q is dead", d.Body)
			}
		}},
		Case{Behaviour: "43", Name: "what a client wrote into x-delivery-count does not count", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(quorum(Args{"x-delivery-limit": 5}))
			ch.Publish(Message{Key: q, Props: Props{DeliveryMode: 2, Headers: Args{"x-delivery-count": 77, "a": 1}}})
			ch.Confirmed()
			d := ch.mustGet(q)
			t.counted(d, 0)
			t.header(d, "a", 1)
			ch.Nack(d.Tag, true)
			t.counted(ch.mustGet(q), 1)
		}},
		Case{Behaviour: "43", Name: "classic queues do not count", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "m")
			for range 30 {
				d := ch.mustGet(q)
				if n, ok := d.Headers()["x-delivery-count"]; ok {
					t.Fatalf("x-delivery-count is %v", n)
				}
				ch.Nack(d.Tag, true)
			}
			ch.Await(q, 1)
		}},
		Case{Behaviour: "43", Name: "counts survive a restart", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-delivery-limit": 2})))
			ch.Put(q, "m")
			ch.Nack(ch.mustGet(q).Tag, true)
			ch.Await(q, 1)
			t.Restart()
			ch = t.Channel()
			d := ch.mustGet(q)
			t.counted(d, 1)
			ch.Nack(d.Tag, true)
			ch.Nack(ch.mustGet(q).Tag, true)
			ch.AwaitMessage(dead)
		}},
		Case{Behaviour: "43", Name: "counts survive kill -9", Needs: Kill,
			Plus: "After kill -9 a quorum queue of RabbitMQ's may be without a leader, and answer nobody, for longer than the case waits", Run: func(t *T) {
				ch := t.Channel().Confirm()
				dead, other := ch.Queue(nil), ch.Queue(nil)
				q := ch.Queue(quorum(into(dead, Args{"x-delivery-limit": 3})))
				ch.Put(q, "m")
				for range 2 {
					ch.Nack(ch.mustGet(q).Tag, true)
					ch.Await(q, 1)
				}
				ch.Put(other, "end") // whose confirm covers what came before
				t.Kill()
				ch = t.Channel()
				ch.Await(q, 1)
				d := ch.mustGet(q)
				t.counted(d, 2)
				ch.Nack(d.Tag, true)
				ch.Nack(ch.mustGet(q).Tag, true)
				if d := ch.AwaitMessage(dead); died(d) != q+" delivery_limit 1" {
					t.Errorf("%s", died(d))
				}
			}},
		Case{Behaviour: "43", Name: "a quorum queue has a limit of 20 where nobody says anything else", Plus: "RabbitMQ 4 has a delivery limit of 20 by default, 3.x has none", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, nil)))
			ch.Put(q, "m")
			for i := range 21 {
				d := ch.mustGet(q)
				t.counted(d, i)
				ch.Nack(d.Tag, true)
			}
			if d := ch.AwaitMessage(dead); died(d) != q+" delivery_limit 1" {
				t.Errorf("%s", died(d))
			}
		}},

		Case{Behaviour: "52", Name: "a quorum queue is durable, and no other connection's alone", Run: func(t *T) {
			ch := t.Channel()
			for property, q := range map[string]Queue{
				"non-durable":     {Transient: true, Args: quorum(nil)},
				"exclusive-owner": {Exclusive: true, Args: quorum(nil)},
				"auto-delete":     {AutoDelete: true, Args: quorum(nil)},
			} {
				ch.DeclareRefused(q, 406, "PRECONDITION_FAILED - invalid property '"+property+"' for queue 'conformance-52-")
			}
		}},
		Case{Behaviour: "52", Name: "classic is the type of those that name none", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Declare(Queue{Name: q, Args: Args{"x-queue-type": "classic"}})
			ch.DeclareRefused(Queue{Name: q, Args: quorum(nil)}, 406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue '"+q+"'")
		}},
		Case{Behaviour: "52", Name: "an unknown type is 406", Run: func(t *T) {
			t.Channel().DeclareRefused(Queue{Args: Args{"x-queue-type": "heap"}}, 406, "invalid arg 'x-queue-type' for queue 'conformance-52-", "unsupported queue type 'heap'")
		}},
		Case{Behaviour: "52", Name: "a stream is declared, or 540 where there are none", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.declaration(Queue{Args: Args{"x-queue-type": "stream"}})
			t.cleanQueue(c, q.Queue)
			c.ExpectingEnd()
			ch.Send(q)
			_, err := c.await(ch.ID, deadline(), isMethod(wire.IDQueueDeclareOk))
			if closed, ok := errors.AsType[*Closed](err); err != nil && (!ok || closed.Code != 540 || !closed.Connection) {
				t.Errorf("%v", err)
			}
			if there := t.Channel().Exists(q.Queue); there != (err == nil) {
				t.Errorf("the stream is there: %v, after %v", there, err)
			}
		}},
		Case{Behaviour: "52", Name: "arguments of the other type are 406", Run: func(t *T) {
			ch := t.Channel()
			for name, v := range map[string]any{"x-max-priority": 5, "x-queue-mode": "lazy"} {
				ch.DeclareRefused(Queue{Args: quorum(Args{name: v})}, 406, "invalid arg '"+name+"' for queue 'conformance-52-", "of queue type rabbit_quorum_queue")
			}
			ch.DeclareRefused(Queue{Args: Args{"x-delivery-limit": 5}}, 406, "invalid arg 'x-delivery-limit'", "of queue type rabbit_classic_queue")
		}},
		Case{Behaviour: "52", Name: "modes and versions of classic queues are accepted", Run: func(t *T) {
			ch := t.Channel().Confirm()
			for _, args := range []Args{{"x-queue-mode": "lazy"}, {"x-queue-mode": "default"}, {"x-queue-version": 1}, {"x-queue-version": 2}} {
				q := ch.Queue(args)
				ch.Put(q, "1", "2")
				ch.ExpectDrain(q, "1", "2")
			}
		}},
		Case{Behaviour: "52", Name: "a quorum queue delivers, confirms and drops as others do", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-max-length": 2})))
			for i := range 4 {
				ch.Publish(Message{Key: q, Body: fmt.Sprint(i)})
				ch.Outcome(uint64(i + 1))
			}
			ch.Await(dead, 2)
			if d := ch.AwaitMessage(dead); d.Body != "0" || died(d) != q+" maxlen 1" {
				t.Errorf("%q: %s", d.Body, died(d))
			}
			ch.Qos(10, false)
			ch.Consume(q, Consume{})
			list := ch.ExpectBodies("2", "3")
			ch.Reject(list[0].Tag, false)
			ch.Ack(list[1].Tag)
			ch.AwaitMessage(dead)
			if d := ch.AwaitMessage(dead); died(d) != q+" rejected 1" {
				t.Errorf("%s", died(d))
			}
		}},
		Case{Behaviour: "52", Name: "transient messages of a quorum queue survive a restart", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(quorum(nil))
			ch.Publish(Message{Key: q, Body: "m", Props: Props{DeliveryMode: 1}})
			ch.Confirmed()
			t.Restart()
			t.Channel().AwaitMessage(q)
		}},
		Case{Behaviour: "52", Name: "a dead letter of at-least-once reaches its queue", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"})))
			ch.kill(q, Message{Body: "m"})
			if d := ch.AwaitMessage(dead); died(d) != q+" rejected 1" {
				t.Errorf("%s", died(d))
			}
		}},
		Case{Behaviour: "52", Name: "at-least-once keeps what reaches no queue until it does", Plus: "RabbitMQ tries again to deliver such a dead letter after three minutes only", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dlx, dead := t.Name("x"), ch.Queue(nil)
			q := ch.Queue(quorum(Args{"x-dead-letter-exchange": dlx, "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}))
			ch.kill(q, Message{Body: "m"})
			ch.Barrier([]string{q})
			ch.DeclareExchange(wire.ExchangeDeclare{Exchange: dlx, Type: "fanout", Durable: true})
			ch.Bind(dead, dlx, "", nil)
			ch.AwaitMessage(dead)
		}},
	)
}
