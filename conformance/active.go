package conformance

import (
	"slices"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviours 39, 40, 42 and 50: consumers whose queue goes, single active consumers,
// consumer timeouts, priority queues.

var single = Args{"x-single-active-consumer": true}

// Level puts persistent messages of a priority into a queue and waits until they are
// there.
func (ch *Channel) level(queue string, priority uint8, bodies ...string) {
	ch.t.Helper()
	for _, body := range bodies {
		ch.Publish(Message{Key: queue, Body: body, Props: Props{DeliveryMode: 2, Priority: int(priority)}})
	}
	ch.Confirmed()
}

// timedOut waits for a channel's end because nobody acked.
func (ch *Channel) timedOut(within time.Duration) {
	ch.t.Helper()
	e, ok := Within[*wire.ChannelClose](ch, within)
	if !ok {
		ch.t.Fatalf("the channel is open after %v", within)
	}
	ch.t.checkClosed(closedBy(e), 406, []string{"PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1000 ms. "})
	ch.Send(&wire.ChannelCloseOk{})
	ch.Reopen()
}

const laterTimeouts = "RabbitMQ 3.10 has one timeout for all; later versions have those of queues, policies and consumers"

func init() {
	register(
		Case{Behaviour: "39", Name: "a queue's deletion cancels its consumers", Run: func(t *T) {
			pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
			q, other := pub.Queue(nil), pub.Queue(nil)
			one, two, three := a.Consume(q, Consume{}), a.Consume(q, Consume{}), b.Consume(q, Consume{})
			rest := b.Consume(other, Consume{})
			pub.Put(q, "1")
			pub.Delete(q)
			var got []string
			for range 2 {
				got = append(got, Expect[*wire.BasicCancel](a).ConsumerTag)
			}
			if !slices.Contains(got, one) || !slices.Contains(got, two) {
				t.Errorf("cancelled %q, want %q and %q", got, one, two)
			}
			if m := Expect[*wire.BasicCancel](b); m.ConsumerTag != three || !m.NoWait {
				t.Errorf("got %+v, want %q", m, three)
			}
			pub.Put(other, "2")
			if d := b.Delivery(); d.Body != "2" || d.Consumer != rest {
				t.Errorf("got %q for %s", d.Body, d.Consumer)
			}
		}},
		Case{Behaviour: "39", Name: "a client without the capability is not told", Run: func(t *T) {
			ch := t.DialAs(Login{Capabilities: []string{}}).Channel()
			witness := t.Channel()
			q := ch.Queue(nil)
			tag := ch.Consume(q, Consume{})
			witness.Consume(q, Consume{})
			witness.Delete(q)
			Expect[*wire.BasicCancel](witness)
			ch.Sync()
			if _, ok := Has[*wire.BasicCancel](ch); ok {
				t.Errorf("there was a basic.cancel")
			}
			ch.Cancel(tag)
		}},
		Case{Behaviour: "39", Name: "who deletes the queue hears delete-ok before the cancel", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(nil)
			tag := ch.Consume(q, Consume{})
			ch.Send(&wire.QueueDelete{Queue: q})
			if e := ch.Next(); e.Method.ID() != wire.IDQueueDeleteOk {
				t.Errorf("got %v, want delete-ok", e)
			}
			if e := ch.Next(); e.Method.ID() != wire.IDBasicCancel || e.Method.(*wire.BasicCancel).ConsumerTag != tag {
				t.Errorf("got %v, want the cancel", e)
			}
		}},
		Case{Behaviour: "39", Name: "a cancelled tag is free again", Run: func(t *T) {
			ch := t.Channel()
			q, other := ch.Queue(nil), ch.Queue(nil)
			ch.Consume(q, Consume{Tag: "again"})
			ch.Delete(q)
			Expect[*wire.BasicCancel](ch)
			ch.Consume(other, Consume{Tag: "again"})
		}},
		Case{Behaviour: "39", Name: "an exclusive queue that goes with its connection cancels nobody else's consumers", Run: func(t *T) {
			a, b := t.Channel(), t.Channel()
			q := a.Declare(Queue{Transient: true, Exclusive: true}).Queue
			a.Consume(q, Consume{})
			other := b.Queue(nil)
			b.Consume(other, Consume{})
			Call[*wire.ConnectionCloseOk](a.Conn.On(0), &wire.ConnectionClose{ReplyCode: 200})
			t.Eventually(func() bool { return !b.Exists(q) }, "it lives")
			b.Sync()
			if _, ok := Has[*wire.BasicCancel](b); ok {
				t.Errorf("there was a basic.cancel")
			}
		}},

		Case{Behaviour: "40", Name: "one consumer is served, the others wait", Run: func(t *T) {
			for _, kind := range []string{"classic", "quorum"} {
				pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
				q := pub.Queue(Args{"x-single-active-consumer": true, "x-queue-type": kind})
				a.Qos(2, false)
				a.Consume(q, Consume{})
				b.Consume(q, Consume{})
				pub.Put(q, sequence(5)...)
				list := a.ExpectBodies("1", "2")
				pub.none(q, a, b)
				a.AckAll(list[1].Tag)
				a.ExpectBodies("3", "4")
				pub.none(q, a, b)
			}
		}},
		Case{Behaviour: "40", Name: "a cancel makes the next in order active", Run: func(t *T) {
			for _, kind := range []string{"classic", "quorum"} {
				pub := t.Channel().Confirm()
				q := pub.Queue(Args{"x-single-active-consumer": true, "x-queue-type": kind})
				ch := t.Channel()
				tags := []string{}
				for range 4 {
					tags = append(tags, ch.Consume(q, Consume{}))
				}
				ch.Cancel(tags[1]) // one that waits
				for _, i := range []int{0, 2, 3} {
					pub.Put(q, tags[i])
					if d := ch.Delivery(); d.Consumer != d.Body {
						t.Errorf("%s is served, want %s", d.Consumer, d.Body)
					}
					ch.Cancel(tags[i])
				}
			}
		}},
		Case{Behaviour: "40", Name: "who consumes again is the last in order", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(single)
			a := ch.Consume(q, Consume{})
			b := ch.Consume(q, Consume{})
			ch.Cancel(a)
			ch.Consume(q, Consume{Tag: a})
			pub.Put(q, "1")
			if d := ch.Delivery(); d.Consumer != b {
				t.Errorf("%s is served, want %s", d.Consumer, b)
			}
		}},
		Case{Behaviour: "40", Name: "unacked messages of a closed channel come to the next one first, in order", Run: func(t *T) {
			for name, end := range map[string]func(ch *Channel){
				"channel.close":    func(ch *Channel) { ch.Close() },
				"connection.close": func(ch *Channel) { Call[*wire.ConnectionCloseOk](ch.Conn.On(0), &wire.ConnectionClose{ReplyCode: 200}) },
				"a lost socket":    func(ch *Channel) { ch.Conn.ExpectingEnd(); ch.Conn.Close() },
			} {
				t.Logf("by %s", name)
				pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
				q := pub.Queue(single)
				a.Qos(3, false)
				a.Consume(q, Consume{})
				b.Consume(q, Consume{})
				pub.Put(q, sequence(6)...)
				list := a.ExpectBodies("1", "2", "3")
				a.Ack(list[1].Tag)
				a.ExpectBodies("4")
				end(a)
				for i, d := range b.ExpectBodies("1", "3", "4", "5", "6") {
					if d.Redelivered != (i < 3) {
						t.Errorf("%q: redelivered %v", d.Body, d.Redelivered)
					}
				}
			}
		}},
		Case{Behaviour: "40", Name: "who cancels and closes its channel gives its messages to the next one first, in order", Run: func(t *T) {
			pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
			q := pub.Queue(single)
			a.Qos(2, false)
			tag := a.Consume(q, Consume{})
			b.Qos(1, false)
			b.Consume(q, Consume{})
			pub.Put(q, sequence(4)...)
			a.ExpectBodies("1", "2")
			a.Cancel(tag)
			a.Close()
			for i, want := range sequence(4) {
				d := b.Delivery()
				if d.Body != want || d.Redelivered != (i < 2) {
					t.Errorf("got %q, redelivered %v, want %q", d.Body, d.Redelivered, want)
				}
				b.Ack(d.Tag)
			}
		}},
		Case{Behaviour: "40", Name: "a cancelled one's messages can still be acked, or come back", Run: func(t *T) {
			pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
			q := pub.Queue(single)
			tag := a.Consume(q, Consume{})
			b.Consume(q, Consume{})
			pub.Put(q, "1", "2")
			list := a.ExpectBodies("1", "2")
			a.Cancel(tag)
			a.Ack(list[0].Tag)
			a.Nack(list[1].Tag, true)
			if d := b.Delivery(); d.Body != "2" || !d.Redelivered {
				t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
			}
		}},
		Case{Behaviour: "40", Name: "what is ready goes to the next one as soon as the active one is cancelled",
			Plus: "RabbitMQ's classic queue waits for some other event before it serves the next consumer", Run: func(t *T) {
				pub, a, b := t.Channel().Confirm(), t.Channel(), t.Channel()
				q := pub.Queue(single)
				a.Qos(1, false)
				tag := a.Consume(q, Consume{})
				b.Consume(q, Consume{})
				pub.Put(q, "1", "2")
				a.ExpectBodies("1")
				a.Cancel(tag)
				if e, ok := Within[*wire.BasicDeliver](b, 2*time.Second); !ok || string(e.Body) != "2" {
					t.Errorf("got %v", e)
				}
			}},
		Case{Behaviour: "40", Name: "a higher priority takes nothing over, and comes next", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(single)
			a := ch.Consume(q, Consume{})
			b := ch.Consume(q, Consume{})
			c := ch.Consume(q, Consume{Args: Args{"x-priority": 5}})
			for _, tag := range []string{a, c, b} {
				pub.Put(q, tag)
				if d := ch.Delivery(); d.Consumer != tag {
					t.Errorf("%s is served, want %s", d.Consumer, tag)
				}
				ch.Cancel(tag)
			}
		}},
		Case{Behaviour: "40", Name: "an exclusive consumer of such a queue is 403", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(single)
			ch.ConsumeRefused(q, Consume{Exclusive: true}, 403, "ACCESS_REFUSED - queue '"+q+"' in vhost '/' in exclusive use")
			ch.DeclareRefused(Queue{Args: Args{"x-single-active-consumer": "true"}}, 406, "invalid arg 'x-single-active-consumer'")
		}},
		Case{Behaviour: "40", Name: "basic.get goes beside the active one, but not of a quorum queue", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q, quorum := pub.Queue(single), pub.Queue(Args{"x-single-active-consumer": true, "x-queue-type": "quorum"})
			ch.Qos(1, false)
			ch.Consume(q, Consume{})
			pub.Put(q, "1", "2")
			ch.ExpectBodies("1")
			if d := pub.Take(q); d.Body != "2" {
				t.Errorf("got %q", d.Body)
			}
			pub.Refused(&wire.BasicGet{Queue: quorum}, 405, "RESOURCE_LOCKED - cannot obtain access to locked queue '"+quorum+"'")
		}},
		Case{Behaviour: "40", Name: "a deletion cancels all of them", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(single)
			tags := []string{ch.Consume(q, Consume{}), ch.Consume(q, Consume{})}
			ch.Delete(q)
			for range tags {
				if m := Expect[*wire.BasicCancel](ch); !slices.Contains(tags, m.ConsumerTag) {
					t.Errorf("cancelled %q", m.ConsumerTag)
				}
			}
		}},

		// RabbitMQ looks once a minute.
		Case{Behaviour: "42", Name: "a delivery that is not acked in time closes its channel, and returns", Needs: Own, Run: func(t *T) {
			t.Start(Options{Leveret: []string{"--consumer-timeout", "1s"}, RabbitMQ: []string{"consumer_timeout = 1000"}})
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			pub.Put(q, "1", "2")
			ch.Consume(q, Consume{})
			ch.ExpectBodies("1", "2")
			ch.timedOut(130 * time.Second)
			pub.Await(q, 2)
			for _, want := range []string{"1", "2"} {
				if d := pub.Take(q); d.Body != want || !d.Redelivered {
					t.Errorf("got %q, redelivered %v", d.Body, d.Redelivered)
				}
			}
		}},
		Case{Behaviour: "42", Name: "a queue's argument says how long", Plus: laterTimeouts, Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(Args{"x-consumer-timeout": 1000})
			pub.Put(q, "1")
			ch.Consume(q, Consume{})
			ch.ExpectBodies("1")
			ch.timedOut(10 * time.Second)
			pub.Await(q, 1)
		}},
		Case{Behaviour: "42", Name: "a message of basic.get is no exception", Plus: laterTimeouts, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-consumer-timeout": 1000})
			ch.Put(q, "1")
			ch.Get(q, false)
			ch.timedOut(10 * time.Second)
			ch.Await(q, 1)
		}},
		Case{Behaviour: "42", Name: "a consumer's argument goes before its queue's", Plus: laterTimeouts, Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(Args{"x-consumer-timeout": 3_600_000})
			pub.Put(q, "1")
			ch.Consume(q, Consume{Args: Args{"x-consumer-timeout": 1000}})
			ch.ExpectBodies("1")
			ch.timedOut(10 * time.Second)
			pub.Await(q, 1)
		}},
		Case{Behaviour: "42", Name: "a policy says how long", Plus: laterTimeouts, Needs: Management, Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(nil)
			pub.Put(q, "1")
			ch.Consume(q, Consume{})
			ch.ExpectBodies("1")
			t.Policy(Policy{Pattern: "^" + q + "$", Definition: JSON{"consumer-timeout": 1000}, ApplyTo: "queues"})
			ch.timedOut(10 * time.Second)
			pub.Await(q, 1)
		}},
		Case{Behaviour: "42", Name: "who acks in time is left alone", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(Args{"x-consumer-timeout": 2000})
			ch.Qos(1, false)
			ch.Consume(q, Consume{})
			pub.Put(q, sequence(5)...)
			for range 5 {
				d := ch.Delivery()
				time.Sleep(time.Second) // time is the subject
				ch.Ack(d.Tag)
			}
			ch.Sync()
		}},

		Case{Behaviour: "50", Name: "higher priorities go first, within one in order", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 10})
			ch.level(q, 1, "1a")
			ch.level(q, 5, "5a")
			ch.level(q, 3, "3a")
			ch.level(q, 5, "5b")
			ch.level(q, 1, "1b")
			ch.Await(q, 5)
			ch.Consume(q, Consume{})
			ch.ExpectBodies("5a", "5b", "3a", "1a", "1b")
		}},
		Case{Behaviour: "50", Name: "what is over the highest is the highest, none is 0", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 3})
			ch.Put(q, "none")
			ch.level(q, 3, "3")
			ch.level(q, 200, "200")
			ch.level(q, 1, "1")
			ch.Await(q, 4)
			ch.ExpectDrain(q, "3", "200", "1", "none")
		}},
		Case{Behaviour: "50", Name: "1 and 255 are priorities, 256 and less than none are 406", Run: func(t *T) {
			ch := t.Channel().Confirm()
			one, all := ch.Queue(Args{"x-max-priority": 1}), ch.Queue(Args{"x-max-priority": 255})
			for _, q := range []string{one, all} {
				ch.Put(q, "none")
				ch.level(q, 254, "254")
				ch.level(q, 255, "255")
				ch.Await(q, 3)
			}
			ch.ExpectDrain(one, "254", "255", "none")
			ch.ExpectDrain(all, "255", "254", "none")
			for _, bad := range []any{256, -1, "5"} {
				ch.DeclareRefused(Queue{Args: Args{"x-max-priority": bad}}, 406, "invalid arg 'x-max-priority'")
			}
			ch.DeclareRefused(Queue{Args: Args{"x-max-priority": 5, "x-queue-type": "quorum"}}, 406, "invalid arg 'x-max-priority'")
		}},
		Case{Behaviour: "50", Name: "a queue with another number of priorities is another one", Run: func(t *T) {
			ch := t.Channel()
			q := ch.Queue(Args{"x-max-priority": 5})
			ch.DeclareRefused(Queue{Name: q}, 406, "inequivalent arg 'x-max-priority'")
			ch.DeclareRefused(Queue{Name: q, Args: Args{"x-max-priority": 6}}, 406, "inequivalent arg 'x-max-priority'")
			ch.Declare(Queue{Name: q, Args: Args{"x-max-priority": int64(5)}})
		}},
		Case{Behaviour: "50", Name: "a requeued message keeps its place in its priority", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 5})
			ch.level(q, 1, "1a", "1b")
			ch.level(q, 2, "2a", "2b")
			for range 3 {
				ch.Get(q, false)
			}
			ch.Send(&wire.BasicNack{Multiple: true, Requeue: true})
			ch.Await(q, 4)
			for i, want := range []string{"2a", "2b", "1a", "1b"} {
				if d := ch.Take(q); d.Body != want || d.Redelivered != (i < 3) {
					t.Errorf("got %q, redelivered %v, want %q", d.Body, d.Redelivered, want)
				}
			}
		}},
		Case{Behaviour: "50", Name: "a higher priority overtakes what is ready, not what was delivered", Run: func(t *T) {
			pub, ch := t.Channel().Confirm(), t.Channel()
			q := pub.Queue(Args{"x-max-priority": 5})
			ch.Qos(1, false)
			ch.Consume(q, Consume{})
			pub.level(q, 1, "1a", "1b", "1c")
			d := ch.ExpectBodies("1a")[0]
			pub.level(q, 4, "4")
			pub.none(q, ch)
			ch.Ack(d.Tag)
			ch.Ack(ch.ExpectBodies("4")[0].Tag)
			ch.Ack(ch.ExpectBodies("1b")[0].Tag)
			ch.ExpectBodies("1c")
		}},
		Case{Behaviour: "50", Name: "counts, purges and deletions go over all priorities", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 5})
			fill := func() {
				ch.Put(q, "none")
				ch.level(q, 2, "2")
				ch.level(q, 5, "5a", "5b")
				ch.Await(q, 4)
			}
			fill()
			if d, _ := ch.Get(q, false); d.Count != 3 {
				t.Errorf("%d messages remain, want 3", d.Count)
			}
			if n := ch.Purge(q); n != 3 {
				t.Errorf("%d messages were purged, want 3", n)
			}
			ch.Nack(1, false)
			fill()
			if n := ch.Delete(q); n != 4 {
				t.Errorf("%d messages were deleted, want 4", n)
			}
		}},
		Case{Behaviour: "50", Name: "a full queue drops its head, which is of the highest priority", Run: func(t *T) {
			for _, bound := range []Args{{"x-max-length": 2}, {"x-max-length-bytes": 4}} {
				ch := t.Channel().Confirm()
				bound["x-max-priority"] = 5
				q := ch.Queue(bound)
				ch.level(q, 1, "1a")
				ch.level(q, 3, "3a")
				ch.level(q, 2, "2a")
				ch.level(q, 1, "1b")
				ch.Await(q, 2)
				ch.ExpectDrain(q, "1a", "1b")
			}
		}},
		Case{Behaviour: "50", Name: "a full queue that refuses counts all priorities", Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 5, "x-max-length": 2, "x-overflow": "reject-publish"})
			ch.level(q, 1, "1")
			ch.level(q, 3, "3")
			for priority := range uint8(5) {
				if ch.Outcome(ch.Publish(Message{Key: q, Body: "more", Props: Props{DeliveryMode: 2, Priority: int(priority)}})) {
					t.Errorf("a message of priority %d was taken", priority)
				}
			}
			ch.ExpectDrain(q, "3", "1")
		}},
		Case{Behaviour: "50", Name: "priorities survive a stop", Needs: Stop, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 5})
			ch.level(q, 1, "1a")
			ch.level(q, 4, "4a")
			ch.level(q, 1, "1b")
			t.Restart()
			ch = t.Channel().Confirm()
			ch.level(q, 4, "4b")
			ch.level(q, 5, "5")
			ch.Await(q, 5)
			ch.ExpectDrain(q, "5", "4a", "4b", "1a", "1b")
		}},
		Case{Behaviour: "50", Name: "priorities survive kill -9", Needs: Kill, Run: func(t *T) {
			ch := t.Channel().Confirm()
			q := ch.Queue(Args{"x-max-priority": 5})
			ch.level(q, 1, "1a")
			ch.level(q, 4, "4a")
			ch.level(q, 1, "1b")
			t.Kill()
			ch = t.Channel()
			ch.Await(q, 3)
			ch.ExpectDrain(q, "4a", "1a", "1b")
		}},
	)
}
