package conformance

import (
	"errors"
	"fmt"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Behaviour 10: an alarm that comes and goes.

func init() {
	register(Case{Behaviour: "10", Name: "when there is room again who was blocked is told and read, and meanwhile acks were taken", Needs: Own, Run: func(t *T) {
		t.ownDisk()
		room, err := diskFree()
		if errors.Is(err, errors.ErrUnsupported) {
			t.NotRun("needs a disk that can be filled")
		}
		t.Must(err)
		// Others write to the disk as well: half of what is filled is to spare each way.
		fill := min(room/2, 4<<30)
		limit := fmt.Sprint(room - fill/2)
		t.Start(Options{Leveret: []string{"--disk-free-limit", limit}, RabbitMQ: []string{"disk_free_limit.absolute = " + limit}})
		publisher := t.Dial()
		ch := publisher.Channel().Confirm()
		q := ch.Queue(nil)
		consumer := t.Channel()
		tag := consumer.Consume(q, Consume{})
		ch.Put(q, "before")
		d := consumer.Delivery()
		consumer.Cancel(tag)

		free := t.fillDisk(fill)
		t.Eventually(func() bool {
			ch.Publish(Message{Key: q, Body: "held up", Props: Props{DeliveryMode: 2}})
			_, blocked := Has[*wire.ConnectionBlocked](publisher.On(0))
			return blocked
		}, "a publisher is not told of the alarm")
		consumer.Ack(d.Tag)
		consumer.Sync()
		if d := consumer.AwaitMessage(q); d.Body != "held up" {
			t.Errorf("got %q", d.Body)
		}
		free()
		Expect[*wire.ConnectionUnblocked](publisher.On(0))
		ch.Put(q, "after")
		consumer.Close()
		for last := ""; last != "after"; {
			last = ch.Take(q).Body
			if last == "before" {
				t.Fatalf("an ack was lost")
			}
		}
	}})
}
