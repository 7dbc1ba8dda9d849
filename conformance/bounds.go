package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Behaviour 46: bounds on a queue's length.

// into are the arguments of a queue whose dead letters go to the queue dead, and
// others.
func into(dead string, more Args) Args {
	a := Args{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	for name, v := range more {
		a[name] = v
	}
	return a
}

func init() {
	register(
		Case{Behaviour: "46", Name: "a full queue drops the oldest", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-length": 3})
			ch.Put(q, "1", "2", "3", "4", "5")
			ch.ExpectDrain(q, "3", "4", "5")
			ch.Put(q, "6")
			ch.ExpectDrain(q, "6")
		}},
		Case{Behaviour: "46", Name: "what is dropped is dead-lettered in order with reason maxlen", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 2, "x-overflow": "drop-head"}))
			ch.Put(q, "1", "2", "3", "4", "5")
			ch.Await(dead, 3)
			for _, body := range []string{"1", "2", "3"} {
				d := ch.Take(dead)
				if got := died(d); d.Body != body || got != q+" maxlen 1" {
					t.Errorf("%q: %s", d.Body, got)
				}
			}
			ch.ExpectDrain(q, "4", "5")
		}},
		Case{Behaviour: "46", Name: "bytes are those of bodies", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length-bytes": 10}))
			for _, body := range []string{"aaaa", "bbbb", "cc"} {
				ch.Publish(Message{Key: q, Body: body, Props: Props{DeliveryMode: 2, Headers: Args{"h": strings.Repeat("x", 50)}}})
			}
			ch.Confirmed()
			if n, _ := ch.Count(q); n != 3 {
				t.Fatalf("%d messages of 10 bytes, want 3", n)
			}
			ch.Put(q, "d")
			ch.Await(dead, 1)
			ch.ExpectDrain(q, "bbbb", "cc", "d")
			ch.Put(q, "more than there may ever be")
			ch.Await(dead, 2)
			ch.ExpectDrain(q)
		}},
		Case{Behaviour: "46", Name: "of two bounds either counts", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-length": 2, "x-max-length-bytes": 10})
			ch.Put(q, "a", "b", "c")
			ch.ExpectDrain(q, "b", "c")
			ch.Put(q, "aaaaaa", "bbbbbb")
			ch.ExpectDrain(q, "bbbbbb")
		}},
		Case{Behaviour: "46", Name: "unacked messages do not count, and come back within the bound", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 2}))
			ch.Put(q, "1", "2")
			one, _ := ch.Get(q, false)
			two, _ := ch.Get(q, false)
			ch.Put(q, "3", "4")
			if n, _ := ch.Count(q); n != 2 {
				t.Fatalf("%d messages are ready", n)
			}
			ch.Nack(one.Tag, true)
			ch.Nack(two.Tag, true)
			// RabbitMQ shortens the queue with the next publish only.
			ch.Put(q, "5")
			ch.Await(dead, 3)
			ch.ExpectDrain(q, "4", "5")
		}},
		Case{Behaviour: "46", Name: "a queue of length 0 keeps what a consumer takes at once", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-length": 0})
			ch.Put(q, "gone")
			ch.Consume(q, Consume{NoAck: true})
			for i := range 20 {
				ch.Put(q, fmt.Sprint(i))
				ch.ExpectBodies(fmt.Sprint(i))
			}
			if n, _ := ch.Count(q); n != 0 {
				t.Errorf("%d messages", n)
			}
		}},
		Case{Behaviour: "46", Name: "reject-publish nacks what is too much", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 2, "x-overflow": "reject-publish"}))
			for i := range 4 {
				ch.Publish(Message{Key: q, Body: fmt.Sprint(i)})
				ch.Outcome(uint64(i + 1))
			}
			if got := ch.Nacked(); !slices.Equal(got, []uint64{3, 4}) {
				t.Errorf("nacked %v, want 3 and 4", got)
			}
			ch.ExpectDrain(q, "0", "1")
			ch.ExpectDrain(dead)
		}},
		Case{Behaviour: "46", Name: "reject-publish by bytes", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-length-bytes": 10, "x-overflow": "reject-publish"})
			ch.Put(q, "12345678")
			if ch.Outcome(ch.Publish(Message{Key: q, Body: strings.Repeat("x", 20)})) && ch.Outcome(ch.Publish(Message{Key: q, Body: "y"})) {
				t.Errorf("nothing was nacked")
			}
		}},
		Case{Behaviour: "46", Name: "reject-publish-dlx dead-letters and nacks what is too much", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 1, "x-overflow": "reject-publish-dlx"}))
			for i := range 3 {
				ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{DeliveryMode: 2}})
				ch.Outcome(uint64(i + 1))
			}
			if got := ch.Nacked(); !slices.Equal(got, []uint64{2, 3}) {
				t.Errorf("nacked %v, want 2 and 3", got)
			}
			ch.ExpectDrain(q, "0")
			for _, body := range []string{"1", "2"} {
				d := ch.AwaitMessage(dead)
				if got := died(d); d.Body != body || got != q+" maxlen 1" {
					t.Errorf("%q: %s", d.Body, got)
				}
			}
		}},
		Case{Behaviour: "46", Name: "other queues of a refused publish keep it", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("fanout", nil)
			full, other := ch.Queue(Args{"x-max-length": 0, "x-overflow": "reject-publish"}), ch.Queue(nil)
			ch.Bind(full, x, "", nil)
			ch.Bind(other, x, "", nil)
			if ch.Outcome(ch.Publish(Message{Exchange: x, Body: "m"})) {
				t.Errorf("acked")
			}
			ch.Await(other, 1)
		}},
		Case{Behaviour: "46", Name: "a full priority queue drops its highest priority first", Run: func(t *T) {
			ch := t.Channel().Confirm()
			dead := ch.Queue(nil)
			q := ch.Queue(into(dead, Args{"x-max-length": 2, "x-max-priority": 5}))
			for i, p := range []int{1, 5, 3} {
				ch.Publish(Message{Key: q, Body: fmt.Sprint(i), Props: Props{DeliveryMode: 2, Priority: p}})
				ch.Outcome(uint64(i + 1))
			}
			ch.Await(dead, 1)
			ch.ExpectDrain(dead, "1")
			ch.ExpectDrain(q, "2", "0")
		}},
	)
}
