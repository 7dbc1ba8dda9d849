package conformance

import (
	"fmt"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 20 and 45: queues and messages that expire.

// every does something every interval for the time d.
func every(interval, d time.Duration, do func()) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(interval) {
		do()
	}
}

// gone reports whether a queue is gone without using it, as a declare would: by a
// publish.
func gone(ch *Channel, q string) bool {
	ch.t.Helper()
	ch.Publish(Message{Key: q, Mandatory: true})
	ch.Sync()
	_, returned := Has[*wire.BasicReturn](ch)
	return returned
}

func init() {
	register(
		Case{Behaviour: "20", Name: "a queue that nobody uses goes after that time, not before", Run: func(t *T) {
			ch := t.Channel()
			start := time.Now()
			q := ch.Queue(Args{"x-expires": 700})
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
			if took := time.Since(start); took < 700*time.Millisecond {
				t.Errorf("it went after %v", took)
			}
		}},
		Case{Behaviour: "20", Name: "a consumer keeps it, and the time begins when the last one goes", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-expires": 1500})
			tag := ch.Consume(q, Consume{})
			every(300*time.Millisecond, 3*time.Second, func() {
				if gone(ch, q) {
					t.Fatalf("it went though a consumer is there")
				}
			})
			start := time.Now()
			ch.Cancel(tag)
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
			if took := time.Since(start); took < 1500*time.Millisecond {
				t.Errorf("it went %v after its consumer", took)
			}
		}},
		Case{Behaviour: "20", Name: "basic.get counts as use", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-expires": 1500})
			every(100*time.Millisecond, 3*time.Second, func() { ch.Get(q, true) })
		}},
		Case{Behaviour: "20", Name: "a redeclare counts as use", Run: func(t *T) {
			ch := t.Channel()
			args := Args{"x-expires": 1500}
			q := ch.Queue(args)
			ch.Put(q, "still there")
			every(100*time.Millisecond, 3*time.Second, func() {
				if ch.Declare(Queue{Name: q, Args: args}).MessageCount != 1 {
					t.Fatalf("it went between two redeclares, and is a new one now")
				}
			})
		}},
		Case{Behaviour: "20", Name: "a passive declare counts as use", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-expires": 1500})
			every(100*time.Millisecond, 3*time.Second, func() { ch.Count(q) })
		}},
		Case{Behaviour: "20", Name: "publishes do not count as use", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-expires": 500})
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
		}},
		Case{Behaviour: "20", Name: "nothing is dead-lettered when a queue expires", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(Args{"x-expires": 300, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
			ch.Put(q, "1", "2")
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
			if n, _ := ch.Count(dead); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		}},
		Case{Behaviour: "20", Name: "a queue that expires takes its bindings along", Run: func(t *T) {
			ch := t.Channel()
			x := ch.DeclareExchange(wire.ExchangeDeclare{Type: "fanout", Durable: true, AutoDelete: true})
			q := ch.Queue(Args{"x-expires": 2000}) // bound before it goes
			ch.Bind(q, x, "", nil)
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
			t.Eventually(func() bool { return !ch.ExchangeExists(x) }, "the auto-delete exchange is there")
		}},
		Case{Behaviour: "20", Name: "a durable queue expires after kill -9 too", Needs: Kill, Run: func(t *T) {
			q := t.Channel().Queue(Args{"x-expires": 2000})
			t.Kill()
			ch := t.Channel()
			t.Eventually(func() bool { return gone(ch, q) }, "the queue is there")
		}},

		Case{Behaviour: "45", Name: "a message expires by its own time", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			start := time.Now()
			ch.Publish(Message{Key: q, Body: "x", Props: Props{Expiration: "1000"}})
			ch.Confirmed()
			if n, _ := ch.Count(q); n != 1 && time.Since(start) < time.Second {
				t.Errorf("it went after %v", time.Since(start))
			}
			ch.Await(q, 0)
			if took := time.Since(start); took < time.Second {
				t.Errorf("it went after %v", took)
			}
		}},
		Case{Behaviour: "45", Name: "a message expires by its queue's time", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-message-ttl": 1000})
			start := time.Now()
			ch.Put(q, "1", "2")
			ch.Await(q, 0)
			if took := time.Since(start); took < time.Second {
				t.Errorf("they went after %v", took)
			}
		}},
		Case{Behaviour: "45", Name: "the lower of the message's and the queue's time counts", Run: func(t *T) {
			ch := t.Channel().Confirm()
			short, long := ch.Queue(Args{"x-message-ttl": 200}), ch.Queue(Args{"x-message-ttl": 3600000})
			start := time.Now()
			ch.Publish(Message{Key: short, Body: "long", Props: Props{Expiration: "3600000"}})
			ch.Publish(Message{Key: long, Body: "short", Props: Props{Expiration: "200"}})
			ch.Confirmed()
			ch.Await(short, 0)
			ch.Await(long, 0)
			if took := time.Since(start); took > Patience/2 {
				t.Errorf("it took %v", took)
			}
		}},
		Case{Behaviour: "45", Name: "messages of a quorum queue expire too", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(quorum(into(dead, Args{"x-message-ttl": 1000})))
			start := time.Now()
			ch.Put(q, "by the queue's time")
			d := ch.AwaitMessage(dead)
			if took := time.Since(start); took < time.Second || died(d) != q+" expired 1" {
				t.Errorf("after %v: %s", took, died(d))
			}
			ch.Publish(Message{Key: q, Body: "by its own", Props: Props{Expiration: "100"}})
			if d := ch.AwaitMessage(dead); died(d) != q+" expired 1" {
				t.Errorf("%s", died(d))
			}
		}},
		Case{Behaviour: "45", Name: "one message in two queues expires in each by itself", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			mortal, immortal := ch.Queue(Args{"x-message-ttl": 100}), ch.Queue(nil)
			ch.Bind(mortal, x, "", nil)
			ch.Bind(immortal, x, "", nil)
			ch.Publish(Message{Exchange: x, Body: "x", Props: Props{DeliveryMode: 2}})
			ch.Confirmed()
			ch.Await(mortal, 0)
			ch.ExpectDrain(immortal, "x")
		}},
		Case{Behaviour: "45", Name: "an expired message is never delivered, to consumer or get", Run: func(t *T) {
			ch := t.Channel().Confirm()
			one, two := ch.Queue(nil), ch.Queue(nil)
			for _, q := range []string{one, two} {
				for i := range 50 {
					ch.Publish(Message{Key: q, Body: "expired", Props: Props{Expiration: "50", DeliveryMode: uint8(1 + i%2)}})
				}
				ch.Publish(Message{Key: q, Body: "alive"})
			}
			ch.Confirmed()
			time.Sleep(60 * time.Millisecond)
			ch.Consume(one, Consume{NoAck: true})
			ch.ExpectBodies("alive")
			if d := ch.Take(two); d.Body != "alive" {
				t.Errorf("got %q", d.Body)
			}
		}},
		Case{Behaviour: "45", Name: "time to live 0 is delivered now or expires", Run: func(t *T) {
			ch := t.Channel().Confirm()
			byQueue, byMessage := ch.Queue(Args{"x-message-ttl": 0}), ch.Queue(nil)
			publish := func(q string) {
				m := Message{Key: q, Body: "now"}
				if q == byMessage {
					m.Props.Expiration = "0"
				}
				ch.Publish(m)
				ch.Confirmed()
			}
			for _, q := range []string{byQueue, byMessage} {
				publish(q)
				if d, ok := ch.Get(q, true); ok {
					t.Errorf("got %+v: nobody was ready to take it", d)
				}
				tag := ch.Consume(q, Consume{NoAck: true})
				publish(q)
				ch.ExpectBodies("now")
				ch.Cancel(tag)
			}
		}},
		Case{Behaviour: "45", Name: "time to live 0 is not for a consumer without credit", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			busy := t.Channel()
			busy.Qos(1, false)
			busy.Consume(q, Consume{})
			ch.Put(q, "held")
			d := busy.Delivery()
			ch.Publish(Message{Key: q, Body: "nobody is free", Props: Props{Expiration: "0"}})
			ch.Put(q, "waits")
			busy.Ack(d.Tag)
			busy.ExpectBodies("waits")
		}},
		Case{Behaviour: "45", Name: "the message keeps its expiration property", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Publish(Message{Key: q, Props: Props{Expiration: "3600000"}})
			ch.Confirmed()
			if d := ch.Take(q); string(d.Props.Expiration()) != "3600000" {
				t.Errorf("expiration %q", d.Props.Expiration())
			}
		}},
		Case{Behaviour: "45", Name: "what is unacked does not expire, what is given back late does", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-message-ttl": 1500})
			ch.Put(q, "1", "2")
			one, _ := ch.Get(q, false)
			two, _ := ch.Get(q, false)
			time.Sleep(1600 * time.Millisecond)
			ch.Ack(one.Tag) // still ours
			ch.Nack(two.Tag, true)
			ch.Await(q, 0)
			if d, ok := ch.Get(q, true); ok {
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "45", Name: "a requeued message keeps its time", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			start := time.Now()
			ch.Publish(Message{Key: q, Body: "x", Props: Props{Expiration: "1000"}})
			ch.Confirmed()
			over := false
			for !over && time.Since(start) < Patience {
				d, ok := ch.Get(q, false)
				if over = !ok; ok {
					ch.Nack(d.Tag, true)
					time.Sleep(20 * time.Millisecond)
				}
			}
			if took := time.Since(start); !over || took < time.Second {
				t.Errorf("gone: %v, after %v", over, took)
			}
		}},
		Case{Behaviour: "45", Name: "messages behind one that stays expire in time too",
			Plus: "In RabbitMQ's classic queues a message expires only at the head of its queue: behind one that lives longer it stays, takes room and is counted.",
			Run: func(t *T) {
				ch := t.Channel().Confirm()
				dead := ch.Queue(nil)
				q := ch.Queue(Args{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
				ch.Put(q, "stays")
				for i := range 20 {
					ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{Expiration: fmt.Sprint(400 - 10*i), DeliveryMode: uint8(1 + i%2)}})
				}
				ch.Put(q, "stays as well")
				deadline := time.Now().Add(5 * time.Second)
				for n := 0; n != 2 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
					n, _ = ch.Count(q)
				}
				if n, _ := ch.Count(q); n != 2 {
					t.Fatalf("%d messages are there, want 2", n)
				}
				ch.ExpectDrain(q, "stays", "stays as well")
				ch.Await(dead, 20)
				got := ch.Drain(dead)
				slices.Sort(got)
				if len(slices.Compact(got)) != 20 {
					t.Errorf("dead letters %v", got)
				}
			}},
		Case{Behaviour: "45", Name: "expired messages leave in the order in which they expire", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(Args{"x-message-ttl": 300, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
			var want []string
			for i := range 30 {
				want = append(want, fmt.Sprint(i))
				ch.Publish(Message{Key: q, Body: fmt.Sprint(i)})
			}
			ch.Confirmed()
			ch.Await(dead, 30)
			ch.ExpectDrain(dead, want...)
		}},
		Case{Behaviour: "45", Name: "a time longer than a timer may be is 406", Run: func(t *T) {
			t.Channel().PublishRefused(Message{Key: "k", Props: Props{Expiration: "1125899906842624"}}, 406, "PRECONDITION_FAILED - invalid expiration '1125899906842624'")
		}},
		Case{Behaviour: "45", Name: "a long time to live is no short one", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-message-ttl": int64(1) << 33})
			ch.Publish(Message{Key: q, Body: "1", Props: Props{Expiration: "4294967296"}})
			ch.Publish(Message{Key: q, Body: "2"})
			ch.Confirmed()
			ch.ExpectDrain(q, "1", "2")
		}},
		Case{Behaviour: "45", Name: "what expired while the broker was down is not delivered", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q, byQueue := ch.Queue(nil), ch.Queue(Args{"x-message-ttl": 100})
			t.KillUnder(func() {
				ch.Publish(Message{Key: q, Body: "expired", Props: Props{DeliveryMode: 2, Expiration: "100"}})
				ch.Publish(Message{Key: q, Body: "alive", Props: Props{DeliveryMode: 2, Expiration: "3600000"}})
				ch.Publish(Message{Key: byQueue, Body: "expired", Props: Props{DeliveryMode: 2}})
				ch.Confirmed()
			})
			time.Sleep(120 * time.Millisecond)
			ch = t.Channel()
			ch.ExpectDrain(q, "alive")
			ch.Await(byQueue, 0)
		}},
	)
}
