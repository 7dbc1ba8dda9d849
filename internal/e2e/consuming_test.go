package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestClientRequeuedMessagesReturnToTheirPlace(t *testing.T) {
	conn := dial(t)
	bodies := numbered("m", 6)
	for what, giveBack := range map[string]func(t *testing.T, ch *amqp.Channel, ds []amqp.Delivery){
		"nack of all":       func(t *testing.T, ch *amqp.Channel, ds []amqp.Delivery) { must(t, ch.Nack(0, true, true)) },
		"nack one by one":   func(t *testing.T, ch *amqp.Channel, ds []amqp.Delivery) { backwards(t, ds, amqp.Delivery.Nack) },
		"reject one by one": func(t *testing.T, ch *amqp.Channel, ds []amqp.Delivery) { backwards(t, ds, rejectOne) },
		"channel closed":    func(t *testing.T, ch *amqp.Channel, ds []amqp.Delivery) { must(t, ch.Close()) },
	} {
		t.Run(what, func(t *testing.T) {
			ch := open(t, conn)
			queue := durableQueue(t, ch, "requeue", nil)
			fill(t, conn, queue, bodies...)
			holder := open(t, conn)
			held := make([]amqp.Delivery, 4)
			for i := range held {
				held[i] = get(t, holder, queue)
			}
			must(t, held[1].Ack(false)) // m-2 is done, m-1 m-3 m-4 return
			giveBack(t, holder, []amqp.Delivery{held[0], held[2], held[3]})
			ready(t, ch, queue, 5)
			ds := receiveAll(t, consume(t, ch, queue, false), "m-1", "m-3", "m-4", "m-5", "m-6")
			for i, d := range ds {
				if d.Redelivered != (i < 3) {
					t.Errorf("%s redelivered=%t", d.Body, d.Redelivered)
				}
			}
		})
	}
}

// backwards gives deliveries back one at a time, the last one first.
func backwards(t testing.TB, ds []amqp.Delivery, give func(amqp.Delivery, bool, bool) error) {
	for i := len(ds) - 1; i >= 0; i-- {
		must(t, give(ds[i], false, true))
	}
}

func rejectOne(d amqp.Delivery, _, requeue bool) error { return d.Reject(requeue) }

func TestClientRecoverGivesAllUnackedAgain(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "recover", nil)
	fill(t, conn, queue, numbered("m", 3)...)
	ds := consume(t, ch, queue, false)
	receiveAll(t, ds, numbered("m", 3)...)
	//lint:ignore SA1019 deprecated or not, clients call it
	must(t, ch.Recover(true))
	for _, d := range receiveAll(t, ds, numbered("m", 3)...) {
		if !d.Redelivered {
			t.Errorf("%s is not marked as redelivered", d.Body)
		}
	}
}

func TestClientRejectWithoutRequeueDiscards(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "discard", nil)
	fill(t, conn, queue, "bad", "good")
	must(t, get(t, ch, queue).Reject(false))
	if d := get(t, ch, queue); string(d.Body) != "good" {
		t.Errorf("got %q", d.Body)
	}
	must(t, ch.Close())
	ch = open(t, conn)
	ready(t, ch, queue, 1)
}

func TestClientPrefetchBoundsWhatIsUnacked(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "prefetch", nil)
	fill(t, conn, queue, numbered("m", 9)...)

	must(t, ch.Qos(2, 0, false)) // each consumer from here on
	first := consume(t, ch, queue, false)
	held := receiveAll(t, first, "m-1", "m-2")
	receiveNothing(t, first)
	second := consume(t, ch, queue, false) // has two of its own
	receiveAll(t, second, "m-3", "m-4")
	if d := get(t, ch, queue); string(d.Body) != "m-5" { // is not counted
		t.Errorf("got %q", d.Body)
	}
	must(t, held[0].Ack(false))
	receiveAll(t, first, "m-6")
	receiveNothing(t, first)
	receiveNothing(t, second)
	must(t, held[1].Ack(false))
	receiveAll(t, first, "m-7")
}

func TestClientGlobalPrefetchIsSharedByTheChannel(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	one, two := durableQueue(t, ch, "global1", nil), durableQueue(t, ch, "global2", nil)
	must(t, ch.Qos(3, 0, true))
	a, b := consume(t, ch, one, false), consume(t, ch, two, false)
	fill(t, conn, one, numbered("a", 2)...)
	held := receiveAll(t, a, "a-1", "a-2")
	fill(t, conn, two, numbered("b", 2)...)
	receiveAll(t, b, "b-1")
	receiveNothing(t, b)
	must(t, held[1].Ack(true))
	receiveAll(t, b, "b-2")
}

func TestClientCompetingConsumersTakeTurns(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "turns", nil)
	consumers := make([]<-chan amqp.Delivery, 3)
	for i := range consumers {
		consumers[i] = consume(t, open(t, conn), queue, true)
	}
	for _, body := range numbered("m", 9) {
		publish(t, ch, "", queue, text(body))
	}
	for i, ds := range consumers {
		for round := range 3 {
			want := fmt.Sprintf("m-%d", 3*round+i+1)
			if d := receive(t, ds); string(d.Body) != want {
				t.Errorf("consumer %d got %s, want %s", i+1, d.Body, want)
			}
		}
	}
}

func TestClientAcksThatDoNotFit(t *testing.T) {
	conn := dial(t)
	queue := durableQueue(t, open(t, conn), "acks", nil)
	for what, c := range map[string]struct {
		tag string
		do  func(ch *amqp.Channel, d amqp.Delivery) error
	}{
		"a tag that never was": {"99", func(ch *amqp.Channel, d amqp.Delivery) error { return ch.Ack(99, false) }},
		"twice": {"1", func(ch *amqp.Channel, d amqp.Delivery) error {
			must(t, d.Ack(false))
			return d.Ack(false)
		}},
		"nack after ack": {"1", func(ch *amqp.Channel, d amqp.Delivery) error {
			must(t, d.Ack(false))
			return d.Nack(false, true)
		}},
		"multiple beyond the last": {"7", func(ch *amqp.Channel, d amqp.Delivery) error { return ch.Ack(7, true) }},
	} {
		t.Run(what, func(t *testing.T) {
			fill(t, conn, queue, "m")
			refused(t, conn, amqp.PreconditionFailed, []string{"unknown delivery tag " + c.tag}, func(ch *amqp.Channel) error {
				return c.do(ch, get(t, ch, queue))
			})
			ch := open(t, conn)
			defer ch.Close()
			_, err := ch.QueuePurge(queue, false)
			must(t, err)
		})
	}
	// Tag 0 with multiple is all there is, even if that is nothing.
	ch := open(t, conn)
	must(t, ch.Ack(0, true))
	fill(t, conn, queue, "x", "y")
	get(t, ch, queue)
	get(t, ch, queue)
	must(t, ch.Ack(0, true))
	must(t, ch.Close())
	ready(t, open(t, conn), queue, 0)
}

func TestClientCancelLeavesTheUnackedWithTheChannel(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "cancel", nil)
	fill(t, conn, queue, "one", "two")
	must(t, ch.Qos(1, 0, false))
	ds, err := ch.Consume(queue, "tag", false, false, false, false, nil)
	must(t, err)
	d := receive(t, ds)
	must(t, ch.Cancel("tag", false))
	ready(t, open(t, conn), queue, 1) // "two"; "one" is still held
	must(t, d.Ack(false))
	if got := get(t, ch, queue); string(got.Body) != "two" || got.Redelivered {
		t.Errorf("got %q redelivered=%t", got.Body, got.Redelivered)
	}
}

func TestClientConsumersThatAreRefused(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "taken", nil)
	consume(t, ch, queue, true)
	refused(t, conn, amqp.AccessRefused, []string{queue, "in exclusive use"}, func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", true, true, false, false, nil)
		return err
	})
	refused(t, conn, amqp.NotFound, []string{"no queue"}, func(ch *amqp.Channel) error {
		_, err := ch.Consume(unique("missing"), "", true, false, false, false, nil)
		return err
	})
	// amqp091-go would not send a tag twice on one channel, but the raw client does:
	// see TestClientAConsumerTagInUseClosesTheConnection.
}

func TestClientGetTellsHowManyRemain(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "get", nil)
	getEmpty(t, ch, queue)
	fill(t, conn, queue, numbered("m", 3)...)
	for want := uint32(2); ; want-- {
		d := get(t, ch, queue)
		if d.MessageCount != want {
			t.Errorf("%s: %d remain, want %d", d.Body, d.MessageCount, want)
		}
		if d.Exchange != "" || d.RoutingKey != queue || !strings.HasPrefix(string(d.Body), "m-") {
			t.Errorf("got %q of %q by %q", d.Body, d.Exchange, d.RoutingKey)
		}
		if want == 0 {
			break
		}
	}
	getEmpty(t, ch, queue)
}

func TestClientAConnectionCutOffGivesItsMessagesBack(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "cut", nil)
	fill(t, conn, queue, numbered("m", 3)...)

	raw := rawDial(t, brokerURL(t))
	raw.handshake(t, 0)
	raw.openChannel(t, 1)
	raw.consume(t, 1, queue)
	for range 3 {
		raw.expectMethod(t, basicDeliver)
		raw.skipContent(t)
	}
	ready(t, ch, queue, 0)
	raw.reset(t) // no close, not even a clean end of the stream
	start := time.Now()
	for _, d := range receiveAll(t, consume(t, ch, queue, false), numbered("m", 3)...) {
		if !d.Redelivered {
			t.Errorf("%s is not marked as redelivered", d.Body)
		}
	}
	if waited := time.Since(start); waited > 5*time.Second {
		t.Errorf("they came only after %v", waited)
	}
}
