package conformance

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 18 and 19: queues' and exchanges' lives.

func init() {
	register(
		Case{Behaviour: "18", Name: "an exclusive queue from another connection is 405, whatever the method", Run: func(t *T) {
			owner, ch := t.Channel(), t.Channel()
			q := owner.Declare(Queue{Exclusive: true}).Queue
			owner.Bind(q, "amq.direct", q, nil)
			text := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + q + "' in vhost '/'"
			ch.DeclareRefused(Queue{Name: q, Exclusive: true}, 405, text)
			for _, m := range []wire.Method{
				&wire.QueueDeclare{Queue: q, Passive: true},
				&wire.BasicConsume{Queue: q},
				&wire.BasicGet{Queue: q},
				&wire.QueueBind{Queue: q, Exchange: "amq.direct", RoutingKey: q},
				&wire.QueueUnbind{Queue: q, Exchange: "amq.direct", RoutingKey: q},
				&wire.QueuePurge{Queue: q},
				&wire.QueueDelete{Queue: q},
			} {
				ch.Refused(m, 405, text)
			}
		}},
		Case{Behaviour: "18", Name: "anybody may publish to an exclusive queue", Run: func(t *T) {
			owner, other := t.Channel(), t.Channel().Confirm()
			q := owner.Declare(Queue{Exclusive: true}).Queue
			other.Put(q, "from elsewhere")
			owner.ExpectDrain(q, "from elsewhere")
		}},
		Case{Behaviour: "18", Name: "all channels of its connection share an exclusive queue", Run: func(t *T) {
			c := t.Dial()
			q := c.Channel().Declare(Queue{Exclusive: true, Transient: true}).Queue
			ch := c.Channel()
			ch.Declare(Queue{Name: q, Exclusive: true, Transient: true})
			ch.Put(q, "x")
			ch.ExpectDrain(q, "x")
		}},
		Case{Behaviour: "18", Name: "an exclusive queue goes when its connection is closed", Run: func(t *T) {
			watch := t.Channel()
			c := t.Dial()
			q := c.Channel().Declare(Queue{Exclusive: true}).Queue
			c.Close()
			if watch.Exists(q) {
				t.Errorf("it is there after connection.close-ok")
			}
			ok := watch.Declare(Queue{Name: q})
			if ok.MessageCount != 0 {
				t.Errorf("a new queue holds %d messages", ok.MessageCount)
			}
		}},
		Case{Behaviour: "18", Name: "an exclusive queue goes when its connection is cut", Run: func(t *T) {
			watch := t.Channel()
			c := t.Dial()
			ch := c.Channel()
			q := ch.Declare(Queue{Exclusive: true}).Queue
			ch.Consume(q, Consume{})
			c.Abort()
			t.Eventually(func() bool { return !watch.Exists(q) }, "the queue is there")
		}},
		Case{Behaviour: "18", Name: "an exclusive queue stays when only its channel is closed", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Declare(Queue{Exclusive: true}).Queue
			ch.Close()
			c.Channel().Count(q)
		}},
		Case{Behaviour: "18", Name: "an auto-delete queue goes with its last consumer, not before the first", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Declare(Queue{AutoDelete: true}).Queue
			ch.Put(q, "x")
			ch.Take(q)
			if !ch.Exists(q) {
				t.Fatalf("it is gone before a consumer came")
			}
			one, two := ch.Consume(q, Consume{}), ch.Consume(q, Consume{})
			ch.Cancel(one)
			if !ch.Exists(q) {
				t.Fatalf("it is gone though a consumer is there")
			}
			ch.Cancel(two)
			t.Eventually(func() bool { return !ch.Exists(q) }, "the queue is there")
		}},
		Case{Behaviour: "18", Name: "an auto-delete queue goes when its consumer's channel or connection ends", Run: func(t *T) {
			watch := t.Channel()
			c := t.Dial()
			ch := c.Channel()
			q := ch.Declare(Queue{AutoDelete: true}).Queue
			ch.Consume(q, Consume{})
			ch.Close()
			t.Eventually(func() bool { return !watch.Exists(q) }, "the queue is there after its channel was closed")
			ch = c.Channel()
			ch.Declare(Queue{Name: q, AutoDelete: true})
			ch.Consume(q, Consume{})
			c.Abort()
			t.Eventually(func() bool { return !watch.Exists(q) }, "the queue is there after its connection was cut")
		}},
		Case{Behaviour: "18", Name: "an auto-delete exchange goes with its last binding as source, not before the first", Run: func(t *T) {
			ch := t.Channel()
			x := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, AutoDelete: true})
			one, two := ch.Queue(nil), ch.Queue(nil)
			if !ch.ExchangeExists(x) {
				t.Fatalf("it is gone before the first binding")
			}
			ch.Bind(one, x, "", nil)
			ch.Bind(two, x, "", nil)
			ch.Unbind(one, x, "", nil)
			if !ch.ExchangeExists(x) {
				t.Fatalf("it is gone though a binding is there")
			}
			ch.Unbind(two, x, "", nil)
			if ch.ExchangeExists(x) {
				t.Errorf("it is there after the last binding went")
			}
		}},
		Case{Behaviour: "18", Name: "an auto-delete exchange goes when its last bound queue is deleted", Run: func(t *T) {
			ch := t.Channel()
			x := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, AutoDelete: true})
			q := ch.Queue(nil)
			ch.Bind(q, x, "", nil)
			ch.Delete(q)
			if ch.ExchangeExists(x) {
				t.Errorf("it is there")
			}
		}},
		Case{Behaviour: "18", Name: "auto-delete exchanges that hang on each other all go", Run: func(t *T) {
			ch := t.Channel()
			a := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, AutoDelete: true})
			b := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, AutoDelete: true})
			q := ch.Queue(nil)
			ch.BindExchange(b, a, "", nil)
			ch.Bind(q, b, "", nil)
			ch.Delete(q)
			if ch.ExchangeExists(b) || ch.ExchangeExists(a) {
				t.Errorf("the nearer is there: %v, the farther: %v", ch.ExchangeExists(b), ch.ExchangeExists(a))
			}
		}},

		Case{Behaviour: "19", Name: "declare-ok counts ready messages and consumers", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2", "3")
			other := t.Channel()
			other.Get(q, false)
			if ok := ch.Declare(Queue{Name: q}); ok.MessageCount != 2 || ok.ConsumerCount != 0 {
				t.Errorf("declare-ok %+v, want 2 messages (one is out) and no consumer", ok)
			}
			other.Consume(q, Consume{})
			other.Deliveries(2)
			if ok := ch.Declare(Queue{Name: q}); ok.MessageCount != 0 || ok.ConsumerCount != 1 {
				t.Errorf("declare-ok %+v, want no message (all are out) and a consumer", ok)
			}
		}},
		Case{Behaviour: "19", Name: "queue.delete if-unused is 406 while there is a consumer", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			tag := ch.Consume(q, Consume{})
			t.Channel().Refused(&wire.QueueDelete{Queue: q, IfUnused: true}, 406, "PRECONDITION_FAILED - queue '"+q+"' in vhost '/' in use")
			ch.Cancel(tag)
			Call[*wire.QueueDeleteOk](ch, &wire.QueueDelete{Queue: q, IfUnused: true})
		}},
		Case{Behaviour: "19", Name: "queue.delete if-empty is 406 while there are messages", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "x")
			t.Channel().Refused(&wire.QueueDelete{Queue: q, IfEmpty: true}, 406, "PRECONDITION_FAILED - queue '"+q+"' in vhost '/' not empty")
			ch.Purge(q)
			Call[*wire.QueueDeleteOk](ch, &wire.QueueDelete{Queue: q, IfEmpty: true})
			if ch.Exists(q) {
				t.Errorf("it is there")
			}
		}},
		Case{Behaviour: "19", Name: "the replies of delete and purge count ready messages", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2", "3", "4", "5")
			other := t.Channel()
			other.Get(q, false)
			other.Get(q, false)
			if n := ch.Purge(q); n != 3 {
				t.Errorf("purged %d of 3 ready and 2 unacked", n)
			}
			ch.Put(q, "6", "7")
			if n := ch.Delete(q); n != 2 {
				t.Errorf("deleted with %d messages, 2 were ready", n)
			}
		}},
		Case{Behaviour: "19", Name: "a purge leaves what is unacked, which can come back", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			d, _ := ch.Get(q, false)
			ch.Purge(q)
			ch.Nack(d.Tag, true)
			ch.Await(q, 1)
			ch.ExpectDrain(q, "1")
		}},
		Case{Behaviour: "19", Name: "acks for a deleted queue's messages are no error", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			one, _ := ch.Get(q, false)
			two, _ := ch.Get(q, false)
			ch.Delete(q)
			ch.Ack(one.Tag)
			ch.Nack(two.Tag, true)
			ch.Sync()
		}},
		Case{Behaviour: "19", Name: "a queue declared anew after its deletion is empty and unbound", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Bind(q, "amq.direct", q, nil)
			ch.Put(q, "old")
			ch.Delete(q)
			ch.Declare(Queue{Name: q})
			ch.Publish(Message{Exchange: "amq.direct", Key: q, Body: "by the old binding", Mandatory: true})
			ch.Return()
			if n, _ := ch.Count(q); n != 0 {
				t.Errorf("it holds %d messages", n)
			}
		}},
		Case{Behaviour: "19", Name: "no-wait methods take effect and are not answered", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q, x := t.Name("q"), t.Name("x")
			t.cleanQueue(ch.Conn, q)
			t.cleanExchange(ch.Conn, x)
			ch.Send(&wire.QueueDeclare{Queue: q, Durable: true, NoWait: true})
			ch.Send(&wire.ExchangeDeclare{Exchange: x, Type: "fanout", NoWait: true})
			ch.Send(&wire.QueueBind{Queue: q, Exchange: x, NoWait: true})
			ch.Send(&wire.BasicConsume{Queue: q, ConsumerTag: "c", NoWait: true, NoAck: true})
			ch.Publish(Message{Exchange: x, Body: "1"})
			ch.Confirmed()
			ch.ExpectBodies("1")
			ch.Send(&wire.BasicCancel{ConsumerTag: "c", NoWait: true})
			ch.Publish(Message{Exchange: x, Body: "2"})
			ch.Confirmed()
			ch.Send(&wire.QueuePurge{Queue: q, NoWait: true})
			ch.Send(&wire.QueueDelete{Queue: q, NoWait: true})
			ch.Send(&wire.ExchangeDelete{Exchange: x, NoWait: true})
			ch.Sync()
			if e, ok := ch.Conn.find(ch.ID, func(Event) bool { return true }); ok {
				t.Errorf("there came %v", e)
			}
			if ch.Exists(q) || ch.ExchangeExists(x) {
				t.Errorf("queue or exchange are there")
			}
		}},
	)
}
