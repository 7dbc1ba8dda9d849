package conformance

import (
	"fmt"
	"slices"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 41: basic.recover and basic.get.

func init() {
	register(
		Case{Behaviour: "41", Name: "recover with requeue gives all unacked back in order, redelivered", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2", "3", "4")
			tag := ch.Consume(q, Consume{})
			list := ch.ExpectBodies("1", "2", "3", "4")
			ch.Ack(list[1].Tag)
			ch.Cancel(tag)
			Call[*wire.BasicRecoverOk](ch, &wire.BasicRecover{Requeue: true})
			ch.Await(q, 3)
			for _, want := range []string{"1", "3", "4"} {
				if d := ch.Take(q); d.Body != want || !d.Redelivered {
					t.Errorf("got %q, redelivered %v, want %q", d.Body, d.Redelivered, want)
				}
			}
		}},
		Case{Behaviour: "41", Name: "recover delivers again to the channel's own consumer", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			ch.Consume(q, Consume{})
			ch.ExpectBodies("1", "2")
			Call[*wire.BasicRecoverOk](ch, &wire.BasicRecover{Requeue: true})
			for _, d := range ch.ExpectBodies("1", "2") {
				if !d.Redelivered || d.Tag <= 2 {
					t.Errorf("got tag %d, redelivered %v", d.Tag, d.Redelivered)
				}
			}
			ch.Refused(&wire.BasicAck{DeliveryTag: 1}, 406, "PRECONDITION_FAILED - unknown delivery tag 1")
		}},
		Case{Behaviour: "41", Name: "recover-async does the same without an answer", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			ch.Get(q, false)
			ch.Get(q, false)
			ch.Send(&wire.BasicRecoverAsync{Requeue: true})
			ch.Await(q, 2)
			ch.ExpectDrain(q, "1", "2")
			if e, ok := Has[*wire.BasicRecoverOk](ch); ok {
				t.Errorf("there came %v", e)
			}
		}},
		Case{Behaviour: "41", Name: "recover without requeue is 540", Run: func(t *T) {
			for _, m := range []wire.Method{&wire.BasicRecover{}, &wire.BasicRecoverAsync{}} {
				c := t.Dial()
				c.Channel().Send(m)
				c.ExpectClose(540, "NOT_IMPLEMENTED")
			}
		}},
		Case{Behaviour: "41", Name: "recover touches no other channel", Run: func(t *T) {
			c := t.Dial()
			ch, other := c.Channel().Confirm(), c.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			d, _ := other.Get(q, false)
			ch.Get(q, false)
			Call[*wire.BasicRecoverOk](ch, &wire.BasicRecover{Requeue: true})
			ch.Await(q, 1)
			ch.ExpectDrain(q, "2")
			other.Ack(d.Tag)
			other.Sync()
		}},
		Case{Behaviour: "41", Name: "get on an empty queue is get-empty", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			if d, ok := ch.Get(q, false); ok {
				t.Errorf("got %+v", d)
			}
			ch.Put(q, "1")
			ch.Get(q, false)
			if d, ok := ch.Get(q, false); ok { // the only one is out
				t.Errorf("got %+v", d)
			}
		}},
		Case{Behaviour: "41", Name: "the count in get-ok is what remains ready", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2", "3", "4")
			var counts []int
			for i := range 4 {
				d, _ := ch.Get(q, i%2 == 0)
				counts = append(counts, d.Count)
			}
			if !slices.Equal(counts, []int{3, 2, 1, 0}) {
				t.Errorf("counts %v", counts)
			}
		}},
		Case{Behaviour: "41", Name: "get-ok names exchange, key and a tag of the channel's count", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			key := t.Name("key")
			ch.Bind(q, "amq.topic", key, nil)
			for i := range 3 {
				ch.Publish(Message{Exchange: "amq.topic", Key: key, Body: fmt.Sprint(i)})
			}
			ch.Confirmed()
			for i := range 3 {
				d, _ := ch.Get(q, true)
				if d.Tag != uint64(i+1) || d.Exchange != "amq.topic" || d.Key != key || d.Redelivered || d.Body != fmt.Sprint(i) {
					t.Errorf("got %+v", d)
				}
			}
		}},
		Case{Behaviour: "41", Name: "a message got without ack can not be acked", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1")
			d, _ := ch.Get(q, true)
			ch.Refused(&wire.BasicAck{DeliveryTag: d.Tag}, 406, "PRECONDITION_FAILED - unknown delivery tag 1")
			if n, _ := ch.Count(q); n != 0 {
				t.Errorf("it came back")
			}
		}},
		Case{Behaviour: "41", Name: "what was got and not acked comes back at the channel's end", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2")
			ch.Get(q, false)
			ch.Close()
			ch = c.Channel()
			ch.Await(q, 2)
			for i, want := range []string{"1", "2"} {
				if d := ch.Take(q); d.Body != want || d.Redelivered != (i == 0) {
					t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
				}
			}
		}},
	)
}
