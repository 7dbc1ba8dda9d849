package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// patience is how long a test waits for something that should take milliseconds: long
// enough for a machine that is busy with other tests.
const patience = 20 * time.Second

// quiet is how long a test listens for something that must not come.
const quiet = 150 * time.Millisecond

// dial connects to the broker of the TestClient tests until the test ends.
func dial(t testing.TB) *amqp.Connection {
	t.Helper()
	return dialTo(t, brokerURL(t))
}

func dialTo(t testing.TB, url string) *amqp.Connection {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func open(t testing.TB, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatalf("open a channel: %v", err)
	}
	return ch
}

// channel is a connection and a channel in it.
func channel(t testing.TB) *amqp.Channel {
	t.Helper()
	return open(t, dial(t))
}

// confirming is a channel of conn in confirm mode.
func confirming(t testing.TB, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch := open(t, conn)
	must(t, ch.Confirm(false))
	return ch
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unique makes a name that no other test or run uses: the broker may be one that
// outlives the run.
func unique(base string) string {
	return fmt.Sprintf("e2e.%s.%08x", base, rand.Uint32())
}

// durableQueue declares a durable queue and deletes it after the test.
func durableQueue(t testing.TB, ch *amqp.Channel, base string, args amqp.Table) string {
	t.Helper()
	name := unique(base)
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		t.Fatalf("declare queue %s: %v", name, err)
	}
	removeLater(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
	return name
}

// exchange declares a durable exchange and deletes it after the test.
func exchange(t testing.TB, ch *amqp.Channel, base, kind string, args amqp.Table) string {
	t.Helper()
	name := unique(base)
	if err := ch.ExchangeDeclare(name, kind, true, false, false, false, args); err != nil {
		t.Fatalf("declare exchange %s: %v", name, err)
	}
	removeLater(t, func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	return name
}

// removeLater cleans up after the test on a connection of its own, as the test may have
// lost its own on purpose. A broker that the test has stopped needs no cleaning.
func removeLater(t testing.TB, remove func(*amqp.Channel) error) {
	url := brokerURL(t)
	t.Cleanup(func() {
		conn, err := amqp.Dial(url)
		if err != nil {
			return
		}
		defer conn.Close()
		if ch, err := conn.Channel(); err == nil {
			_ = remove(ch)
		}
	})
}

func bind(t testing.TB, ch *amqp.Channel, queue, key, exchange string, args amqp.Table) {
	t.Helper()
	if err := ch.QueueBind(queue, key, exchange, false, args); err != nil {
		t.Fatalf("bind %s to %s by %q: %v", queue, exchange, key, err)
	}
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
}

// publish sends one message, which the broker may or may not have when it returns.
func publish(t testing.TB, ch *amqp.Channel, exchange, key string, p amqp.Publishing) {
	t.Helper()
	if err := ch.PublishWithContext(context.Background(), exchange, key, false, false, p); err != nil {
		t.Fatalf("publish to %q by %q: %v", exchange, key, err)
	}
}

// confirmed publishes on a channel in confirm mode and tells whether it was acked.
func confirmed(t testing.TB, ch *amqp.Channel, exchange, key string, p amqp.Publishing) bool {
	t.Helper()
	c, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, p)
	must(t, err)
	return settled(t, c)
}

func settled(t testing.TB, c *amqp.DeferredConfirmation) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ack, err := c.WaitContext(ctx)
	if err != nil {
		t.Fatalf("confirm %d: %v", c.DeliveryTag, err)
	}
	return ack
}

// fill publishes bodies to a queue and waits for their confirms.
func fill(t testing.TB, conn *amqp.Connection, queue string, bodies ...string) {
	t.Helper()
	ch := confirming(t, conn)
	defer ch.Close()
	waiting := make([]*amqp.DeferredConfirmation, len(bodies))
	for i, body := range bodies {
		c, err := ch.PublishWithDeferredConfirm("", queue, false, false, text(body))
		must(t, err)
		waiting[i] = c
	}
	for _, c := range waiting {
		if !settled(t, c) {
			t.Fatalf("publish %d to %s was nacked", c.DeliveryTag, queue)
		}
	}
}

// numbered is n bodies: base-1 … base-n.
func numbered(base string, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%s-%d", base, i+1)
	}
	return bodies
}

func consume(t testing.TB, ch *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	t.Helper()
	ds, err := ch.Consume(queue, "", autoAck, false, false, false, nil)
	if err != nil {
		t.Fatalf("consume %s: %v", queue, err)
	}
	return ds
}

// receive is the next delivery.
func receive(t testing.TB, ds <-chan amqp.Delivery) amqp.Delivery {
	t.Helper()
	select {
	case d, ok := <-ds:
		if !ok {
			t.Fatal("the consumer's channel was closed")
		}
		return d
	case <-time.After(patience):
		t.Fatalf("no delivery within %v", patience)
	}
	panic("unreachable")
}

// receiveAll takes as many deliveries as there are bodies and compares them in order.
func receiveAll(t testing.TB, ds <-chan amqp.Delivery, bodies ...string) []amqp.Delivery {
	t.Helper()
	got := make([]amqp.Delivery, len(bodies))
	for i, want := range bodies {
		got[i] = receive(t, ds)
		if string(got[i].Body) != want {
			t.Fatalf("delivery %d is %q, want %q", i+1, got[i].Body, want)
		}
	}
	return got
}

// receiveNothing waits a little and fails if something comes.
func receiveNothing(t testing.TB, ds <-chan amqp.Delivery) {
	t.Helper()
	select {
	case d, ok := <-ds:
		if !ok {
			t.Fatal("the consumer's channel was closed")
		}
		t.Fatalf("got %q, want nothing", d.Body)
	case <-time.After(quiet):
	}
}

// get fetches one message, waiting for it to become ready.
func get(t testing.TB, ch *amqp.Channel, queue string) amqp.Delivery {
	t.Helper()
	var d amqp.Delivery
	eventually(t, "a message to get from "+queue, patience, func() bool {
		got, ok, err := ch.Get(queue, false)
		must(t, err)
		d = got
		return ok
	})
	return d
}

// getEmpty expects nothing in the queue.
func getEmpty(t testing.TB, ch *amqp.Channel, queue string) {
	t.Helper()
	d, ok, err := ch.Get(queue, true)
	must(t, err)
	if ok {
		t.Fatalf("%s gave %q, want it empty", queue, d.Body)
	}
}

// ready waits until the queue holds n ready messages.
func ready(t testing.TB, ch *amqp.Channel, queue string, n int) {
	t.Helper()
	have := -1
	deadline := time.Now().Add(patience)
	for {
		q, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		must(t, err)
		if have = q.Messages; have == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d ready messages, want %d", queue, have, n)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// refused runs do on a channel of its own and expects the broker to close that channel
// with the code and a text that contains every one of the parts, and nothing else: the
// connection goes on.
func refused(t testing.TB, conn *amqp.Connection, code int, parts []string, do func(*amqp.Channel) error) {
	t.Helper()
	ch := open(t, conn)
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	err := do(ch)
	var e *amqp.Error
	if !errors.As(err, &e) {
		// A method without a reply: the close comes by itself.
		select {
		case e = <-closed:
		case <-time.After(patience):
		}
	}
	if e == nil {
		t.Fatalf("got %v, want a channel closed with %d", err, code)
	}
	if e.Code != code {
		t.Fatalf("closed with %d %q, want %d", e.Code, e.Reason, code)
	}
	for _, part := range parts {
		if !strings.Contains(e.Reason, part) {
			t.Errorf("closed with %q, want it to contain %q", e.Reason, part)
		}
	}
	if conn.IsClosed() {
		t.Fatal("the connection is closed as well")
	}
	open(t, conn).Close()
}
