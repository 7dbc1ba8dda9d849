package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestClientExchangesBoundToExchangesAndOneCopyAQueue(t *testing.T) {
	ch := channel(t)
	front := exchange(t, ch, "front", "topic", nil)
	left := exchange(t, ch, "left", "direct", nil)
	right := exchange(t, ch, "right", "fanout", nil)
	must(t, ch.ExchangeBind(left, "news.#", front, false, nil))
	must(t, ch.ExchangeBind(right, "#", front, false, nil))
	must(t, ch.ExchangeBind(front, "", right, false, nil)) // a cycle must end
	queue := durableQueue(t, ch, "twice", nil)
	bind(t, ch, queue, "news.lan", left, nil)
	bind(t, ch, queue, "", right, nil)
	bind(t, ch, queue, "news.*", front, nil)

	publish(t, ch, front, "news.lan", text("three ways, one copy"))
	publish(t, ch, front, "weather", text("one way"))
	ds := consume(t, ch, queue, true)
	receiveAll(t, ds, "three ways, one copy", "one way")
	receiveNothing(t, ds)

	must(t, ch.ExchangeUnbind(right, "#", front, false, nil))
	publish(t, ch, front, "weather", text("no way"))
	publish(t, ch, front, "news.lan", text("still two ways"))
	receiveAll(t, ds, "still two ways")
}

func TestClientHeadersExchange(t *testing.T) {
	bindings := []struct {
		name string
		args amqp.Table
	}{
		{"all", amqp.Table{"x-match": "all", "format": "pdf", "type": "report"}},
		{"any", amqp.Table{"x-match": "any", "format": "pdf", "type": "report"}},
		{"default is all", amqp.Table{"format": "pdf", "type": "report"}},
		{"x- ignored", amqp.Table{"x-match": "all", "format": "pdf", "x-tenant": "a"}},
		{"x- counted", amqp.Table{"x-match": "all-with-x", "format": "pdf", "x-tenant": "a"}},
		{"any with x-", amqp.Table{"x-match": "any-with-x", "format": "tiff", "x-tenant": "a"}},
		{"presence", amqp.Table{"x-match": "all", "urgent": nil}},
		{"number", amqp.Table{"x-match": "all", "n": int32(5)}},
		{"nothing asked, all", amqp.Table{"x-match": "all"}},
		{"nothing asked, any", amqp.Table{"x-match": "any"}},
	}
	messages := []struct {
		headers amqp.Table
		want    []string
	}{
		{amqp.Table{"format": "pdf", "type": "report"}, []string{"all", "any", "default is all", "x- ignored", "nothing asked, all"}},
		{amqp.Table{"format": "pdf", "type": "log"}, []string{"any", "x- ignored", "nothing asked, all"}},
		{amqp.Table{"format": "pdf", "x-tenant": "a"}, []string{"any", "x- ignored", "x- counted", "any with x-", "nothing asked, all"}},
		{amqp.Table{"x-tenant": "a"}, []string{"any with x-", "nothing asked, all"}},
		{amqp.Table{"urgent": "whatever"}, []string{"presence", "nothing asked, all"}},
		{amqp.Table{"n": int32(5)}, []string{"number", "nothing asked, all"}},
		{amqp.Table{"n": "5"}, []string{"nothing asked, all"}},
		{nil, []string{"nothing asked, all"}},
	}
	ch := channel(t)
	ex := exchange(t, ch, "headers", "headers", nil)
	got := make([][]string, len(messages))
	queues := make([]string, len(bindings))
	for i, b := range bindings {
		queues[i] = durableQueue(t, ch, "headers", nil)
		bind(t, ch, queues[i], "ignored", ex, b.args)
	}
	for i, m := range messages {
		publish(t, ch, ex, "", amqp.Publishing{Headers: m.headers, MessageId: fmt.Sprint(i)})
	}
	for i, b := range bindings {
		for {
			d, ok, err := ch.Get(queues[i], true)
			must(t, err)
			if !ok {
				break
			}
			var n int
			fmt.Sscan(d.MessageId, &n)
			got[n] = append(got[n], b.name)
		}
	}
	for i, m := range messages {
		if !slices.Equal(got[i], m.want) {
			t.Errorf("%v went to %q, want %q", m.headers, got[i], m.want)
		}
	}
}

func TestClientAlternateExchangeTakesWhatIsNotRouted(t *testing.T) {
	ch := channel(t)
	last := exchange(t, ch, "last", "fanout", nil)
	middle := exchange(t, ch, "middle", "direct", amqp.Table{"alternate-exchange": last})
	front := exchange(t, ch, "front", "direct", amqp.Table{"alternate-exchange": middle})
	routed, second, rest := durableQueue(t, ch, "routed", nil), durableQueue(t, ch, "second", nil), durableQueue(t, ch, "rest", nil)
	bind(t, ch, routed, "known", front, nil)
	bind(t, ch, second, "second", middle, nil)
	bind(t, ch, rest, "", last, nil)

	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	for _, key := range []string{"known", "second", "unknown"} {
		must(t, ch.PublishWithContext(context.Background(), front, key, true, false, text(key)))
	}
	for queue, want := range map[string]string{routed: "known", second: "second", rest: "unknown"} {
		if d := get(t, ch, queue); string(d.Body) != want || d.Exchange != front || d.RoutingKey != want {
			t.Errorf("%s got %q of %q by %q", queue, d.Body, d.Exchange, d.RoutingKey)
		}
		getEmpty(t, ch, queue)
	}
	select {
	case r := <-returns:
		t.Errorf("%q came back: %d %s", r.Body, r.ReplyCode, r.ReplyText)
	default:
	}
}

func TestClientCCAndBCCAreMoreRoutingKeys(t *testing.T) {
	ch := channel(t)
	to, cc, bcc := durableQueue(t, ch, "to", nil), durableQueue(t, ch, "cc", nil), durableQueue(t, ch, "bcc", nil)
	publish(t, ch, "", to, amqp.Publishing{Body: []byte("letter"), Headers: amqp.Table{
		"CC":    []any{cc, to},
		"BCC":   []any{bcc},
		"other": "kept",
	}})
	for _, queue := range []string{to, cc, bcc} {
		d := get(t, ch, queue)
		if d.RoutingKey != to {
			t.Errorf("routing key %q, want %q", d.RoutingKey, to)
		}
		if _, seen := d.Headers["BCC"]; seen {
			t.Error("BCC is seen by a receiver")
		}
		if list, _ := d.Headers["CC"].([]any); len(list) != 2 || d.Headers["other"] != "kept" {
			t.Errorf("headers %v", d.Headers)
		}
		getEmpty(t, ch, queue) // once each, though `to` was named twice
	}

	// One that comes back has lost its BCC as well.
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(t, ch.PublishWithContext(context.Background(), "", "e2e.nowhere", true, false, amqp.Publishing{
		Headers: amqp.Table{"BCC": []any{"e2e.nobody"}, "other": "kept"},
	}))
	select {
	case r := <-returns:
		if _, seen := r.Headers["BCC"]; seen || r.Headers["other"] != "kept" {
			t.Errorf("came back with headers %v", r.Headers)
		}
	case <-time.After(patience):
		t.Error("a mandatory message without a route did not come back")
	}

	refused(t, dial(t), amqp.PreconditionFailed, []string{"PRECONDITION_FAILED"}, func(ch *amqp.Channel) error {
		publish(t, ch, "", to, amqp.Publishing{Headers: amqp.Table{"CC": "not an array"}})
		return nil
	})
}

func TestClientInternalExchangeIsNotPublishedTo(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	inner := unique("internal")
	must(t, ch.ExchangeDeclare(inner, "fanout", false, false, true, false, nil))
	defer ch.ExchangeDelete(inner, false, false)
	front := exchange(t, ch, "front", "fanout", nil)
	must(t, ch.ExchangeBind(inner, "", front, false, nil))
	queue := durableQueue(t, ch, "behind", nil)
	bind(t, ch, queue, "", inner, nil)

	publish(t, ch, front, "", text("through the door"))
	get(t, ch, queue)
	refused(t, conn, amqp.AccessRefused, []string{"internal"}, func(ch *amqp.Channel) error {
		publish(t, ch, inner, "", text("over the wall"))
		return nil
	})
}

func TestClientUnbindingStopsTheFlow(t *testing.T) {
	ch := channel(t)
	ex := exchange(t, ch, "unbind", "direct", nil)
	queue := durableQueue(t, ch, "unbind", nil)
	bind(t, ch, queue, "a", ex, nil)
	bind(t, ch, queue, "b", ex, nil)
	must(t, ch.QueueUnbind(queue, "a", ex, nil))
	publish(t, ch, ex, "a", text("a"))
	publish(t, ch, ex, "b", text("b"))
	if d := get(t, ch, queue); string(d.Body) != "b" {
		t.Errorf("got %q", d.Body)
	}
	// An exchange in use is not deleted if-unused; a queue's deletion takes its bindings.
	refused(t, dial(t), amqp.PreconditionFailed, []string{ex, "in use"}, func(ch *amqp.Channel) error {
		return ch.ExchangeDelete(ex, true, false)
	})
	_, err := ch.QueueDelete(queue, false, false, false)
	must(t, err)
	must(t, ch.ExchangeDelete(ex, true, false))
}
