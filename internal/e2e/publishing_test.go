package e2e

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestClientEveryPublishIsConfirmedOnce(t *testing.T) {
	const n = 2000
	ch := channel(t)
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, n+1))
	must(t, ch.Confirm(false))
	queue := durableQueue(t, ch, "confirms", nil)
	for i := range n {
		p := text(fmt.Sprint(i))
		if i%3 == 0 {
			p.DeliveryMode = amqp.Transient
		}
		key := queue
		if i%5 == 0 {
			key = "nobody.listens" // unroutable ones are acked as well
		}
		publish(t, ch, "", key, p)
	}
	for want := uint64(1); want <= n; want++ {
		select {
		case c := <-confirms:
			if c.DeliveryTag != want || !c.Ack {
				t.Fatalf("confirm %d acked=%t, want %d acked", c.DeliveryTag, c.Ack, want)
			}
		case <-time.After(patience):
			t.Fatalf("confirm %d is missing", want)
		}
	}
	select {
	case c := <-confirms:
		t.Errorf("one confirm too many: %+v", c)
	case <-time.After(quiet):
	}
	ready(t, ch, queue, n-n/5)
}

func TestClientAMandatoryMessageWithoutARouteComesBackBeforeItsConfirm(t *testing.T) {
	ch := channel(t)
	// Neither channel has room: the library blocks on the one that comes first.
	returns := ch.NotifyReturn(make(chan amqp.Return))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation))
	must(t, ch.Confirm(false))
	queue := durableQueue(t, ch, "mandatory", nil)
	ctx := context.Background()
	sent := amqp.Publishing{Body: []byte("is anybody there"), MessageId: "m1", Headers: amqp.Table{"h": "v"}}
	must(t, ch.PublishWithContext(ctx, "amq.direct", "nobody", true, false, sent))
	select {
	case r := <-returns:
		if r.ReplyCode != amqp.NoRoute || r.ReplyText != "NO_ROUTE" || r.Exchange != "amq.direct" || r.RoutingKey != "nobody" ||
			!bytes.Equal(r.Body, sent.Body) || r.MessageId != "m1" || r.Headers["h"] != "v" {
			t.Errorf("came back as %+v", r)
		}
	case <-confirms:
		t.Fatal("confirmed before it came back")
	case <-time.After(patience):
		t.Fatal("it did not come back")
	}
	if c := <-confirms; !c.Ack || c.DeliveryTag != 1 {
		t.Errorf("confirm %+v", c)
	}
	must(t, ch.PublishWithContext(ctx, "", queue, true, false, text("yes")))
	select {
	case r := <-returns:
		t.Errorf("%q came back though it has a route", r.Body)
	case c := <-confirms:
		if !c.Ack || c.DeliveryTag != 2 {
			t.Errorf("confirm %+v", c)
		}
	case <-time.After(patience):
		t.Fatal("no confirm")
	}
}

func TestClientPublishingToAMissingExchangeClosesOnlyThatChannel(t *testing.T) {
	refused(t, dial(t), amqp.NotFound, []string{"NOT_FOUND - no exchange 'e2e.nowhere' in vhost '/'"}, func(ch *amqp.Channel) error {
		publish(t, ch, "e2e.nowhere", "k", text("lost"))
		return nil
	})
}

func TestClientPublishesThatAreRefused(t *testing.T) {
	conn := dial(t)
	queue := durableQueue(t, open(t, conn), "refused", nil)
	for what, c := range map[string]struct {
		msg   amqp.Publishing
		parts []string
	}{
		"another's user id":       {amqp.Publishing{UserId: "somebody"}, []string{"user_id property set to 'somebody' but authenticated user was 'guest'"}},
		"expiration not a number": {amqp.Publishing{Expiration: "soon"}, []string{"invalid expiration 'soon'"}},
	} {
		t.Run(what, func(t *testing.T) {
			refused(t, conn, amqp.PreconditionFailed, c.parts, func(ch *amqp.Channel) error {
				publish(t, ch, "", queue, c.msg)
				return nil
			})
		})
	}
	ch := open(t, conn)
	publish(t, ch, "", queue, amqp.Publishing{UserId: "guest"})
	if d := get(t, ch, queue); d.UserId != "guest" {
		t.Errorf("user id %q", d.UserId)
	}
}

func TestClientTransactions(t *testing.T) {
	conn := dial(t)
	watcher, tx := open(t, conn), open(t, conn)
	first, second := durableQueue(t, watcher, "tx1", nil), durableQueue(t, watcher, "tx2", nil)
	must(t, tx.Tx())

	// Published: there at commit and not before, gone with a rollback.
	publish(t, tx, "", first, text("a"))
	publish(t, tx, "", second, text("b"))
	tx.QueueDeclarePassive(first, true, false, false, false, nil) // the broker has them now
	getEmpty(t, watcher, first)
	must(t, tx.TxCommit())
	ready(t, watcher, first, 1)
	ready(t, watcher, second, 1)
	publish(t, tx, "", first, text("never"))
	must(t, tx.TxRollback())
	must(t, tx.TxCommit())
	ready(t, watcher, first, 1)

	// Acked: gone at commit; after a rollback the ack can be sent again.
	d := get(t, tx, first)
	must(t, d.Ack(false))
	must(t, tx.TxRollback())
	must(t, d.Ack(false))
	must(t, tx.TxCommit())
	d = get(t, tx, second)
	must(t, d.Ack(false))
	must(t, tx.TxRollback())
	must(t, tx.Close())
	ready(t, watcher, first, 0)
	ready(t, watcher, second, 1)

	refused(t, conn, amqp.PreconditionFailed, nil, func(ch *amqp.Channel) error {
		must(t, ch.Tx())
		return ch.Confirm(false)
	})
	refused(t, conn, amqp.PreconditionFailed, nil, func(ch *amqp.Channel) error {
		must(t, ch.Confirm(false))
		return ch.Tx()
	})
}

func TestClientImmediateIsNotImplemented(t *testing.T) {
	wantConnectionClose(t, dial(t), amqp.NotImplemented, "immediate", func(ch *amqp.Channel) error {
		return ch.PublishWithContext(context.Background(), "", "k", false, true, text("now"))
	})
}

func TestClientBodiesOfAllSizesArriveWhole(t *testing.T) {
	conn := dial(t)
	frame := conn.Config.FrameSize
	if frame <= 8 {
		t.Fatalf("negotiated frame size %d", frame)
	}
	ch := confirming(t, conn)
	queue := durableQueue(t, ch, "sizes", nil)
	ds := consume(t, ch, queue, true)
	for _, size := range []int{0, 1, frame - 9, frame - 8, frame - 7, 2*(frame-8) - 1, 2 * (frame - 8), 2*(frame-8) + 1, 1 << 20, 5<<20 + 3} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i*7 + i>>9)
		}
		if !confirmed(t, ch, "", queue, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body}) {
			t.Fatalf("%d bytes were nacked", size)
		}
		if d := receive(t, ds); !bytes.Equal(d.Body, body) {
			t.Errorf("a body of %d bytes came as %d other ones", size, len(d.Body))
		}
	}
}

func TestClientAllPropertiesAndTableTypesComeBackAsTheyWere(t *testing.T) {
	ch := channel(t)
	queue := durableQueue(t, ch, "properties", nil)
	when := time.Unix(1_700_000_000, 0)
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 9,
		CorrelationId: "corr", ReplyTo: "some.queue", Expiration: "600000", MessageId: strings.Repeat("m", 255),
		Timestamp: when, Type: "kind", UserId: "guest", AppId: "app", Body: []byte("body"),
		Headers: amqp.Table{
			"bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16), "int32": int32(-32), "uint32": uint32(32),
			"int64": int64(-64), "float32": float32(1.5), "float64": -2.5, "decimal": amqp.Decimal{Scale: 2, Value: 314},
			"string": "ünïcödé \x00 too", "bytes": []byte{0, 1, 255}, "time": when, "nil": nil,
			"array": []any{int32(1), "two", []any{true, nil}, amqp.Table{"deep": []any(nil)}},
			"table": amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": int64(3)}}, "empty": amqp.Table{}},
			"":      "an empty key",
		},
	}
	publish(t, ch, "", queue, sent)
	d := get(t, ch, queue)
	got := amqp.Publishing{
		ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode, Priority: d.Priority,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body, Headers: d.Headers,
	}
	for key, want := range sent.Headers {
		if !reflect.DeepEqual(got.Headers[key], want) {
			t.Errorf("header %q is %#v, want %#v", key, got.Headers[key], want)
		}
	}
	if len(got.Headers) != len(sent.Headers) {
		t.Errorf("%d headers, want %d", len(got.Headers), len(sent.Headers))
	}
	got.Headers, sent.Headers = nil, nil
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got  %+v\nwant %+v", got, sent)
	}

	// No property at all is also kept: nothing is filled in.
	publish(t, ch, "", queue, amqp.Publishing{})
	if d := get(t, ch, queue); d.DeliveryMode != 0 || d.Headers != nil || d.ContentType != "" || !d.Timestamp.IsZero() || len(d.Body) != 0 {
		t.Errorf("got %+v", d)
	}
}

func TestClientMaxLengthDropsTheOldest(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "drop-head", amqp.Table{"x-max-length": 3})
	fill(t, conn, queue, numbered("m", 10)...)
	receiveAll(t, consume(t, ch, queue, true), "m-8", "m-9", "m-10")

	bytesQueue := durableQueue(t, ch, "drop-head-bytes", amqp.Table{"x-max-length-bytes": 10})
	fill(t, conn, bytesQueue, "12345", "67890", "abcde")
	receiveAll(t, consume(t, ch, bytesQueue, true), "67890", "abcde")
}

func TestClientRejectPublishNacksForOneQueueAndTheOthersKeepIt(t *testing.T) {
	conn := dial(t)
	ch := confirming(t, conn)
	ex := exchange(t, ch, "copies", "fanout", nil)
	full := durableQueue(t, ch, "full", amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	other := durableQueue(t, ch, "other", nil)
	bind(t, ch, full, "", ex, nil)
	bind(t, ch, other, "", ex, nil)
	if !confirmed(t, ch, ex, "", text("first")) {
		t.Error("the first was nacked")
	}
	if confirmed(t, ch, ex, "", text("second")) {
		t.Error("the second was acked")
	}
	receiveAll(t, consume(t, ch, full, true), "first")
	receiveAll(t, consume(t, ch, other, true), "first", "second")
}
