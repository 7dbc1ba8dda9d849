package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 35 to 38: prefetch, order, settling, consumers' tags and exclusiveness.

// none checks that nothing more has come to consumers of a queue.
func (ch *Channel) none(queue string, consumers ...*Channel) {
	ch.t.Helper()
	ch.Barrier([]string{queue}, consumers...)
	for _, c := range consumers {
		if d, ok := c.Delivered(); ok {
			ch.t.Fatalf("%q was delivered to %s, where nothing should come", d.Body, d.Consumer)
		}
	}
}

// sequence makes the bodies "1" to n.
func sequence(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i + 1)
	}
	return list
}

// perConsumer counts deliveries by consumer.
func perConsumer(list []Delivery) map[string]int {
	n := map[string]int{}
	for _, d := range list {
		n[d.Consumer]++
	}
	return n
}

func unknownTag(n uint64) string {
	return fmt.Sprintf("PRECONDITION_FAILED - unknown delivery tag %d", n)
}

func init() {
	register(
		Case{Behaviour: "35", Name: "a prefetch holds for each consumer of a channel by itself", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(2, false)
			a, b := ch.Consume(q, Consume{}), ch.Consume(q, Consume{})
			pub.Put(q, sequence(10)...)
			list := ch.Deliveries(4)
			if n := perConsumer(list); n[a] != 2 || n[b] != 2 {
				t.Errorf("delivered %v, want 2 to each", n)
			}
			pub.none(q, ch)
			i := slices.IndexFunc(list, func(d Delivery) bool { return d.Consumer == b })
			ch.Ack(list[i].Tag)
			if d := ch.Delivery(); d.Consumer != b {
				t.Errorf("an ack of %s's let one go to %s", b, d.Consumer)
			}
			pub.none(q, ch)
		}},
		Case{Behaviour: "35", Name: "a prefetch holds for consumers that come later, not for those that are there", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(1, false)
			a := ch.Consume(q, Consume{})
			ch.Qos(3, false)
			b := ch.Consume(q, Consume{})
			pub.Put(q, sequence(10)...)
			if n := perConsumer(ch.Deliveries(4)); n[a] != 1 || n[b] != 3 {
				t.Errorf("delivered %v, want 1 and 3", n)
			}
			pub.none(q, ch)
		}},
		Case{Behaviour: "35", Name: "a global prefetch is shared by the channel's consumers", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(3, true)
			ch.Consume(q, Consume{})
			ch.Consume(q, Consume{})
			pub.Put(q, sequence(10)...)
			list := ch.Deliveries(3)
			pub.none(q, ch)
			ch.AckAll(list[1].Tag)
			ch.Deliveries(2)
			pub.none(q, ch)
		}},
		Case{Behaviour: "35", Name: "a consumer's prefetch and a global one hold together", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(2, false)
			ch.Qos(3, true)
			a, b := ch.Consume(q, Consume{}), ch.Consume(q, Consume{})
			pub.Put(q, sequence(10)...)
			if n := perConsumer(ch.Deliveries(3)); n[a] > 2 || n[b] > 2 {
				t.Errorf("delivered %v", n)
			}
			pub.none(q, ch)
		}},
		Case{Behaviour: "35", Name: "a global prefetch that is raised lets more come at once", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(2, true)
			ch.Consume(q, Consume{})
			pub.Put(q, sequence(10)...)
			ch.ExpectBodies("1", "2")
			pub.none(q, ch)
			ch.Qos(5, true)
			ch.ExpectBodies("3", "4", "5")
			pub.none(q, ch)
			ch.Qos(0, true)
			ch.ExpectBodies("6", "7", "8", "9", "10")
		}},
		Case{Behaviour: "35", Name: "without a prefetch all comes", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			pub.Put(q, sequence(1000)...)
			ch.Consume(q, Consume{})
			ch.ExpectBodies(sequence(1000)...)
		}},
		Case{Behaviour: "35", Name: "a prefetch of 0 lifts the one before", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(1, false)
			ch.Qos(0, false)
			ch.Consume(q, Consume{})
			pub.Put(q, sequence(20)...)
			ch.ExpectBodies(sequence(20)...)
		}},
		Case{Behaviour: "35", Name: "messages of basic.get do not count", Run: func(t *T) {
			for _, global := range []bool{false, true} {
				pub, ch := t.Channel().Confirm(), t.Channel()
				q := pub.Queue(nil)
				pub.Put(q, sequence(5)...)
				ch.Qos(2, global)
				ch.Get(q, false)
				ch.Get(q, false)
				ch.Consume(q, Consume{})
				ch.ExpectBodies("3", "4")
				pub.none(q, ch)
			}
		}},
		Case{Behaviour: "35", Name: "deliveries that need no ack do not count", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(1, false)
			ch.Consume(q, Consume{NoAck: true})
			pub.Put(q, sequence(50)...)
			ch.ExpectBodies(sequence(50)...)
		}},
		Case{Behaviour: "35", Name: "a reject makes room as an ack does", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(1, false)
			ch.Consume(q, Consume{})
			pub.Put(q, "1", "2", "3")
			ch.Reject(ch.ExpectBodies("1")[0].Tag, false)
			ch.Nack(ch.ExpectBodies("2")[0].Tag, true)
			if d := ch.Delivery(); d.Body != "2" || !d.Redelivered {
				t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
			}
		}},
		Case{Behaviour: "35", Name: "a prefetch size is 540", Run: func(t *T) {
			c := t.Dial()
			c.Channel().Send(&wire.BasicQos{PrefetchSize: 1})
			c.ExpectClose(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)")
		}},

		Case{Behaviour: "36", Name: "messages come in the order of their publication", Run: func(t *T) {
			pub := t.Channel().Confirm()
			q := pub.Queue(nil)
			pub.Put(q, sequence(300)...)
			ch := t.Channel()
			ch.Consume(q, Consume{NoAck: true})
			ch.ExpectBodies(sequence(300)...)
		}},
		Case{Behaviour: "36", Name: "what is requeued returns to its place and says so", Run: func(t *T) {
			for name, give := range map[string]func(ch *Channel, list []Delivery){
				"nack":   func(ch *Channel, list []Delivery) { ch.Nack(list[1].Tag, true); ch.Nack(list[0].Tag, true) },
				"reject": func(ch *Channel, list []Delivery) { ch.Reject(list[0].Tag, true); ch.Reject(list[1].Tag, true) },
				"nack of several": func(ch *Channel, list []Delivery) {
					ch.Send(&wire.BasicNack{DeliveryTag: list[1].Tag, Multiple: true, Requeue: true})
				},
				"recover":       func(ch *Channel, list []Delivery) { Call[*wire.BasicRecoverOk](ch, &wire.BasicRecover{Requeue: true}) },
				"channel.close": func(ch *Channel, list []Delivery) { ch.Close() },
				"connection.close": func(ch *Channel, list []Delivery) {
					Call[*wire.ConnectionCloseOk](ch.Conn.On(0), &wire.ConnectionClose{ReplyCode: 200})
				},
				"a lost socket": func(ch *Channel, list []Delivery) { ch.Conn.ExpectingEnd(); ch.Conn.Close() },
			} {
				t.Logf("by %s", name)
				pub, ch := t.Channel().Confirm(), t.Channel()
				q := pub.Queue(nil)
				pub.Put(q, "1", "2", "3")
				var list []Delivery
				for range 2 {
					d, _ := ch.Get(q, false)
					list = append(list, d)
				}
				give(ch, list)
				pub.Await(q, 3)
				for i, want := range sequence(3) {
					if d := pub.Take(q); d.Body != want || d.Redelivered != (i < 2) {
						t.Errorf("by %s: got %q, redelivered %v, want %q", name, d.Body, d.Redelivered, want)
					}
				}
			}
		}},
		Case{Behaviour: "36", Name: "what is requeued goes before what is ready, also to another consumer", Run: func(t *T) {
			pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
			q := pub.Queue(nil)
			a.Qos(2, false)
			tag := a.Consume(q, Consume{})
			pub.Put(q, "1", "2", "3", "4")
			a.ExpectBodies("1", "2")
			a.Cancel(tag)
			a.Send(&wire.BasicNack{Multiple: true, Requeue: true})
			pub.Await(q, 4)
			b.Consume(q, Consume{})
			for i, d := range b.ExpectBodies("1", "2", "3", "4") {
				if d.Redelivered != (i < 2) {
					t.Errorf("%q: redelivered %v", d.Body, d.Redelivered)
				}
			}
		}},
		Case{Behaviour: "36", Name: "consumers take turns", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			tags := []string{ch.Consume(q, Consume{}), ch.Consume(q, Consume{}), ch.Consume(q, Consume{})}
			pub.Put(q, sequence(9)...)
			list := ch.ExpectBodies(sequence(9)...)
			for i, d := range list {
				if i >= 3 && d.Consumer != list[i-3].Consumer || i < 3 && !slices.Contains(tags, d.Consumer) {
					t.Errorf("%q went to %s", d.Body, d.Consumer)
				}
			}
			if n := perConsumer(list); len(n) != 3 {
				t.Errorf("delivered %v", n)
			}
		}},
		Case{Behaviour: "36", Name: "the highest priority is served first, a lower one when it is full", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			ch.Qos(2, false)
			low := ch.Consume(q, Consume{Args: Args{"x-priority": -5}})
			none := ch.Consume(q, Consume{})
			high := ch.Consume(q, Consume{Args: Args{"x-priority": 10}})
			pub.Put(q, sequence(5)...)
			list := ch.ExpectBodies(sequence(5)...)
			for i, want := range []string{high, high, none, none, low} {
				if list[i].Consumer != want {
					t.Errorf("%q went to %s, want %s", list[i].Body, list[i].Consumer, want)
				}
			}
			ch.Ack(list[3].Tag)
			pub.none(q, ch)
			ch.Ack(list[0].Tag)
			pub.Barrier([]string{q}, ch)
			for _, body := range []string{"6", "7"} {
				pub.Put(q, body)
				want := high
				if body == "7" {
					want = none
				}
				if d := ch.Delivery(); d.Body != body || d.Consumer != want {
					t.Errorf("%q went to %s, want %s to %s", d.Body, d.Consumer, body, want)
				}
			}
		}},

		Case{Behaviour: "37", Name: "a tag that is not known is 406", Run: func(t *T) {
			ch := t.Channel()
			for _, m := range []wire.Method{
				&wire.BasicAck{DeliveryTag: 7}, &wire.BasicAck{DeliveryTag: 7, Multiple: true},
				&wire.BasicNack{DeliveryTag: 7}, &wire.BasicNack{DeliveryTag: 7, Requeue: true, Multiple: true},
				&wire.BasicReject{DeliveryTag: 7}, &wire.BasicReject{DeliveryTag: 7, Requeue: true},
			} {
				ch.Refused(m, 406, unknownTag(7))
			}
			ch.Refused(&wire.BasicAck{}, 406, unknownTag(0))
			ch.Refused(&wire.BasicReject{}, 406, unknownTag(0))
		}},
		Case{Behaviour: "37", Name: "a tag that was used is 406, and what is unacked returns", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			for _, m := range []wire.Method{&wire.BasicAck{DeliveryTag: 1}, &wire.BasicNack{DeliveryTag: 1, Requeue: true}, &wire.BasicReject{DeliveryTag: 1}, &wire.BasicAck{DeliveryTag: 1, Multiple: true}} {
				pub.Put(q, "1", "2")
				ch.Get(q, false)
				ch.Get(q, false)
				ch.Ack(1)
				ch.Refused(m, 406, unknownTag(1))
				pub.Await(q, 1)
				if d := pub.Take(q); d.Body != "2" || !d.Redelivered {
					t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
				}
			}
		}},
		Case{Behaviour: "37", Name: "a delivery that needs no ack cannot be acked", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1")
			ch.Take(q)
			ch.Refused(&wire.BasicAck{DeliveryTag: 1}, 406, unknownTag(1))
		}},
		Case{Behaviour: "37", Name: "a tag is its channel's", Run: func(t *T) {
			c := t.Dial()
			ch, other := c.Channel().Confirm(), c.Channel()
			q := ch.Queue(nil)
			ch.Put(q, "1")
			ch.Get(q, false)
			other.Refused(&wire.BasicAck{DeliveryTag: 1}, 406, unknownTag(1))
			ch.Ack(1)
			ch.Sync()
		}},
		Case{Behaviour: "37", Name: "tag 0 with multiple is all, also where there is nothing", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Send(&wire.BasicAck{Multiple: true})
			ch.Send(&wire.BasicNack{Multiple: true, Requeue: true})
			ch.Put(q, "1", "2", "3")
			ch.Get(q, false)
			ch.Get(q, false)
			ch.Send(&wire.BasicNack{Multiple: true, Requeue: true})
			ch.Await(q, 3)
			for range 3 {
				ch.Get(q, false)
			}
			ch.Send(&wire.BasicAck{Multiple: true})
			ch.Close()
			ch.Reopen()
			ch.none(q)
			if n, _ := ch.Count(q); n != 0 {
				t.Errorf("%d messages are left", n)
			}
		}},
		Case{Behaviour: "37", Name: "multiple settles all up to the tag and none behind it", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, sequence(6)...)
			tag := ch.Consume(q, Consume{})
			list := ch.ExpectBodies(sequence(6)...)
			ch.Cancel(tag)
			ch.Ack(list[1].Tag)
			ch.AckAll(list[2].Tag)
			ch.Send(&wire.BasicNack{DeliveryTag: list[4].Tag, Multiple: true, Requeue: true})
			ch.Await(q, 2)
			ch.ExpectDrain(q, "4", "5")
			ch.Ack(list[5].Tag)
			ch.Sync()
		}},
		Case{Behaviour: "37", Name: "a cancelled consumer's unacked messages stay with the channel", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			tag := ch.Consume(q, Consume{})
			pub.Put(q, "1", "2", "3")
			list := ch.ExpectBodies("1", "2", "3")
			ch.Cancel(tag)
			if n, consumers := pub.Count(q); n != 0 || consumers != 0 {
				t.Errorf("%d messages, %d consumers after the cancel", n, consumers)
			}
			ch.Ack(list[0].Tag)
			ch.Nack(list[1].Tag, true)
			pub.Await(q, 1)
			ch.Close()
			pub.Await(q, 2)
			pub.ExpectDrain(q, "2", "3")
		}},
		Case{Behaviour: "37", Name: "acks of messages whose queue is gone do nothing", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			ch.Put(q, "1", "2", "3")
			for range 3 {
				ch.Get(q, false)
			}
			ch.Delete(q)
			ch.Ack(1)
			ch.Nack(2, true)
			ch.Reject(3, false)
			ch.Sync()
		}},

		Case{Behaviour: "38", Name: "a consumer tag in use is 530", Run: func(t *T) {
			c := t.Dial()
			ch := c.Channel()
			q := ch.Queue(nil)
			ch.Consume(q, Consume{Tag: "taken"})
			ch.Send(consume(q, Consume{Tag: "taken"}))
			c.ExpectClose(530, "NOT_ALLOWED - attempt to reuse consumer tag 'taken'")
		}},
		Case{Behaviour: "38", Name: "a consumer tag is its channel's, and free again after a cancel", Run: func(t *T) {
			c := t.Dial()
			ch, other := c.Channel(), c.Channel()
			q := ch.Queue(nil)
			if tag := ch.Consume(q, Consume{Tag: "mine"}); tag != "mine" {
				t.Errorf("tag %q", tag)
			}
			other.Consume(q, Consume{Tag: "mine"})
			ch.Cancel("mine")
			ch.Consume(q, Consume{Tag: "mine"})
			if _, n := ch.Count(q); n != 2 {
				t.Errorf("%d consumers, want 2", n)
			}
		}},
		Case{Behaviour: "38", Name: "the server makes a consumer tag where there is none", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			a, b := ch.Consume(q, Consume{}), ch.Consume(q, Consume{})
			if !strings.HasPrefix(a, "amq.ctag-") || a == b {
				t.Errorf("tags %q and %q", a, b)
			}
		}},
		Case{Behaviour: "38", Name: "cancelling a tag that nobody has is answered", Run: func(t *T) {
			ch := t.Channel()
			if ok := Call[*wire.BasicCancelOk](ch, &wire.BasicCancel{ConsumerTag: "nobody"}); ok.ConsumerTag != "nobody" {
				t.Errorf("cancel-ok for %q", ok.ConsumerTag)
			}
		}},
		Case{Behaviour: "38", Name: "beside an exclusive consumer there is no other", Run: func(t *T) {
			ch, other := t.Channel().Confirm(), t.Channel()
			q := ch.Queue(nil)
			text := "ACCESS_REFUSED - queue '" + q + "' in vhost '/' in exclusive use"
			tag := ch.Consume(q, Consume{Exclusive: true})
			other.ConsumeRefused(q, Consume{}, 403, text)
			other.ConsumeRefused(q, Consume{Exclusive: true}, 403, text)
			ch.Cancel(tag)
			other.Consume(q, Consume{})
			ch.ConsumeRefused(q, Consume{Exclusive: true}, 403, text)
		}},
		Case{Behaviour: "38", Name: "an exclusive consumer is no bar to basic.get", Run: func(t *T) {
			ch, other := t.Channel().Confirm(), t.Channel()
			q := ch.Queue(nil)
			ch.Qos(1, false)
			ch.Consume(q, Consume{Exclusive: true})
			ch.Put(q, "1", "2")
			ch.ExpectBodies("1")
			if d := other.Take(q); d.Body != "2" {
				t.Errorf("got %q", d.Body)
			}
		}},
		Case{Behaviour: "38", Name: "no-local is ignored", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			ch.Consume(q, Consume{NoLocal: true})
			ch.Publish(Message{Key: q, Body: "own"})
			ch.ExpectBodies("own")
		}},
		Case{Behaviour: "38", Name: "a consumer of no queue is 404, with a priority that is no number 406", Run: func(t *T) {
			ch := t.Channel()
			name := t.Name("missing")
			ch.ConsumeRefused(name, Consume{}, 404, "NOT_FOUND - no queue '"+name+"' in vhost '/'")
			q := ch.Queue(nil)
			ch.ConsumeRefused(q, Consume{Args: Args{"x-priority": "high"}}, 406, "invalid arg 'x-priority' for queue '"+q+"'")
		}},
		Case{Behaviour: "38", Name: "consume with no-wait gets deliveries and no answer", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(nil)
			m := consume(q, Consume{Tag: "quiet"})
			m.NoWait = true
			ch.Send(m)
			ch.Put(q, "1")
			ch.ExpectBodies("1")
			ch.Send(&wire.BasicCancel{ConsumerTag: "quiet", NoWait: true})
			ch.Sync()
			if _, ok := Has[*wire.BasicConsumeOk](ch); ok {
				t.Errorf("there was a consume-ok")
			}
			if _, ok := Has[*wire.BasicCancelOk](ch); ok {
				t.Errorf("there was a cancel-ok")
			}
		}},
	)
}
