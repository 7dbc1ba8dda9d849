package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestClientRedeclareMustAgreeWithWhatIsThere(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "inequivalent", amqp.Table{"x-max-length": int32(7)})
	ex := exchange(t, ch, "inequivalent", "direct", nil)

	// The same again is fine, whatever the width of an integer.
	for _, limit := range []any{int8(7), int16(7), int32(7), int64(7)} {
		_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": limit})
		must(t, err)
	}
	must(t, ch.ExchangeDeclare(ex, "direct", true, false, false, false, nil))

	queueText := func(arg, received, current string) string {
		return fmt.Sprintf("inequivalent arg '%s' for queue '%s' in vhost '/': received %s but current is %s", arg, queue, received, current)
	}
	cases := []struct {
		what string
		code int
		text string
		do   func(ch *amqp.Channel) error
	}{
		{"queue not durable", 406, queueText("durable", "'false'", "'true'"), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, false, false, false, false, amqp.Table{"x-max-length": 7})
			return err
		}},
		{"queue auto-delete", 406, queueText("auto_delete", "'true'", "'false'"), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, true, false, false, amqp.Table{"x-max-length": 7})
			return err
		}},
		{"queue with another limit", 406, queueText("x-max-length", "'8'", "'7'"), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": int64(8)})
			return err
		}},
		{"queue without its limit", 406, queueText("x-max-length", "none", "the value '7' of type 'signedint'"), func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
			return err
		}},
		{"exchange of another type", 406, fmt.Sprintf("inequivalent arg 'type' for exchange '%s' in vhost '/': received 'fanout' but current is 'direct'", ex), func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(ex, "fanout", true, false, false, false, nil)
		}},
		{"exchange not durable", 406, fmt.Sprintf("inequivalent arg 'durable' for exchange '%s' in vhost '/': received 'false' but current is 'true'", ex), func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(ex, "direct", false, false, false, false, nil)
		}},
		{"exchange of an unknown type", 503, "unknown exchange type 'pigeon'", func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(unique("pigeon"), "pigeon", true, false, false, false, nil)
		}},
		{"a reserved name", 403, "ACCESS_REFUSED", func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("amq.mine", "direct", true, false, false, false, nil)
		}},
		{"a bad argument", 406, "PRECONDITION_FAILED - invalid arg 'x-max-length'", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(unique("bad"), true, false, false, false, amqp.Table{"x-max-length": "many"})
			return err
		}},
		{"a missing queue", 404, "NOT_FOUND - no queue 'e2e.nowhere' in vhost '/'", func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("e2e.nowhere", false, false, false, false, nil)
			return err
		}},
		{"a missing exchange", 404, "NOT_FOUND - no exchange 'e2e.nowhere' in vhost '/'", func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive("e2e.nowhere", "direct", false, false, false, false, nil)
		}},
		{"a binding to a missing exchange", 404, "NOT_FOUND - no exchange 'e2e.nowhere' in vhost '/'", func(ch *amqp.Channel) error {
			return ch.QueueBind(queue, "", "e2e.nowhere", false, nil)
		}},
		{"a binding to the default exchange", 403, "ACCESS_REFUSED", func(ch *amqp.Channel) error {
			return ch.QueueBind(queue, "k", "", false, nil)
		}},
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			// A 503 closes the whole connection, so it gets one of its own.
			if c.code == 503 {
				wantConnectionClose(t, dial(t), c.code, c.text, c.do)
				return
			}
			refused(t, conn, c.code, []string{c.text}, c.do)
		})
	}
}

// wantConnectionClose expects that do makes the broker close the whole connection.
func wantConnectionClose(t testing.TB, conn *amqp.Connection, code int, part string, do func(*amqp.Channel) error) {
	t.Helper()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	ch := open(t, conn)
	_ = do(ch)
	select {
	case e := <-closed:
		if e == nil || e.Code != code || !strings.Contains(e.Reason, part) {
			t.Fatalf("connection closed with %v, want %d %q", e, code, part)
		}
	case <-time.After(patience):
		t.Fatalf("the connection is still open, want %d %q", code, part)
	}
}

func TestClientDeletingWhatIsMissingSucceeds(t *testing.T) {
	ch := channel(t)
	n, err := ch.QueueDelete(unique("missing"), false, false, false)
	if err != nil || n != 0 {
		t.Errorf("delete a missing queue: %d, %v", n, err)
	}
	must(t, ch.ExchangeDelete(unique("missing"), false, false))
	queue := durableQueue(t, ch, "unbound", nil)
	must(t, ch.QueueUnbind(queue, "never bound", "amq.direct", nil))
}

func TestClientQueueDeleteIfUnusedAndIfEmpty(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "delete", nil)
	fill(t, conn, queue, "one", "two")

	refused(t, conn, amqp.PreconditionFailed, []string{queue, "not empty"}, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, true, false)
		return err
	})
	consumer := open(t, conn)
	consume(t, consumer, queue, false)
	refused(t, conn, amqp.PreconditionFailed, []string{queue, "in use"}, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, true, false, false)
		return err
	})
	consumer.Close() // both messages go back
	ready(t, ch, queue, 2)
	if n, err := ch.QueueDelete(queue, true, false, false); err != nil || n != 2 {
		t.Errorf("delete: %d messages, %v; want 2", n, err)
	}
	refused(t, conn, amqp.NotFound, []string{queue}, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		return err
	})
}

func TestClientPurgeTakesTheReadyAndLeavesTheUnacked(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "purge", nil)
	fill(t, conn, queue, numbered("m", 10)...)
	held := open(t, conn)
	get(t, held, queue)
	get(t, held, queue)

	if n, err := ch.QueuePurge(queue, false); err != nil || n != 8 {
		t.Fatalf("purge: %d, %v; want 8", n, err)
	}
	ready(t, ch, queue, 0)
	held.Close()
	receiveAll(t, consume(t, ch, queue, true), "m-1", "m-2")
}

func TestClientAnExclusiveQueueIsLockedForOthersAndGoesWithItsConnection(t *testing.T) {
	owner, other := dial(t), dial(t)
	queue := unique("exclusive")
	_, err := open(t, owner).QueueDeclare(queue, false, false, true, false, nil)
	must(t, err)
	want := []string{fmt.Sprintf("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s' in vhost '/'", queue)}
	for what, do := range map[string]func(ch *amqp.Channel) error{
		"declare": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, false, false, true, false, nil)
			return err
		},
		"passive declare": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
			return err
		},
		"consume": func(ch *amqp.Channel) error {
			_, err := ch.Consume(queue, "", true, false, false, false, nil)
			return err
		},
		"get": func(ch *amqp.Channel) error {
			_, _, err := ch.Get(queue, true)
			return err
		},
		"purge": func(ch *amqp.Channel) error {
			_, err := ch.QueuePurge(queue, false)
			return err
		},
		"delete": func(ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		},
		"bind": func(ch *amqp.Channel) error { return ch.QueueBind(queue, "k", "amq.direct", false, nil) },
	} {
		t.Run(what, func(t *testing.T) { refused(t, other, amqp.ResourceLocked, want, do) })
	}
	// Publishing is not locked: a reply queue would be of no use otherwise.
	publish(t, open(t, other), "", queue, text("reply"))
	if d := get(t, open(t, owner), queue); string(d.Body) != "reply" {
		t.Errorf("the owner got %q", d.Body)
	}

	owner.Close()
	queueGone(t, other, queue)
}

// queueGone waits until the queue is not there any more.
func queueGone(t testing.TB, conn *amqp.Connection, queue string) {
	t.Helper()
	eventually(t, queue+" to go", patience, func() bool {
		ch := open(t, conn)
		defer ch.Close()
		_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		return err != nil && strings.Contains(err.Error(), "no queue")
	})
}

func TestClientAnAutoDeleteQueueGoesWithItsLastConsumerAndNotBeforeTheFirst(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := unique("autodelete")
	_, err := ch.QueueDeclare(queue, false, true, false, false, nil)
	must(t, err)
	open(t, conn).Close() // nobody has consumed it yet
	_, err = ch.QueueDeclarePassive(queue, false, true, false, false, nil)
	must(t, err)

	first, second := open(t, conn), open(t, conn)
	consume(t, first, queue, true)
	consume(t, second, queue, true)
	must(t, first.Close())
	_, err = ch.QueueDeclarePassive(queue, false, true, false, false, nil)
	must(t, err)
	must(t, second.Close())
	queueGone(t, conn, queue)
}

func TestClientAnEmptyQueueNameMeansTheLastOneDeclared(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	bind(t, ch, "", "empty-name", "amq.direct", nil)
	publish(t, ch, "amq.direct", "empty-name", text("found"))
	if d := receive(t, consume(t, ch, "", true)); string(d.Body) != "found" {
		t.Errorf("%s got %q", q.Name, d.Body)
	}
	refused(t, conn, amqp.NotFound, nil, func(ch *amqp.Channel) error {
		return ch.QueueBind("", "k", "amq.direct", false, nil)
	})
}

func TestClientDeletingAQueueTellsItsConsumers(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "cancelled", nil)
	consumer := open(t, conn)
	cancelled := consumer.NotifyCancel(make(chan string, 1))
	ds, err := consumer.Consume(queue, "the-tag", false, false, false, false, nil)
	must(t, err)
	_, err = ch.QueueDelete(queue, false, false, false)
	must(t, err)
	select {
	case tag := <-cancelled:
		if tag != "the-tag" {
			t.Errorf("consumer %q was cancelled", tag)
		}
	case <-time.After(patience):
		t.Fatal("the consumer was not told")
	}
	select {
	case d, ok := <-ds:
		if ok {
			t.Errorf("got %q", d.Body)
		}
	case <-time.After(patience):
		t.Error("the consumer's deliveries were not closed")
	}
}
