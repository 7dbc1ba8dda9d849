package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The six patterns with amqp091-go. pika_test.go has them again with pika.

func TestClientSimpleQueueGivesAMessageAgainAfterItsConsumerDied(t *testing.T) {
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "hello", nil)
	fill(t, conn, queue, numbered("hello", 5)...)

	// The first consumer acks two, then dies over the third with no word to the broker.
	dying := dial(t)
	victim := open(t, dying)
	must(t, victim.Qos(1, 0, false))
	ds := consume(t, victim, queue, false)
	for range 2 {
		must(t, receive(t, ds).Ack(false))
	}
	if d := receive(t, ds); string(d.Body) != "hello-3" || d.Redelivered {
		t.Fatalf("third delivery: %q redelivered=%t", d.Body, d.Redelivered)
	}
	dying.Close()

	for i, d := range receiveAll(t, consume(t, ch, queue, false), "hello-3", "hello-4", "hello-5") {
		if d.Redelivered != (i == 0) {
			t.Errorf("%q redelivered=%t", d.Body, d.Redelivered)
		}
		must(t, d.Ack(false))
	}
	ready(t, ch, queue, 0)
}

func TestClientWorkQueueGivesTheFastWorkerMoreAndNoTaskTwice(t *testing.T) {
	const tasks = 60
	conn := dial(t)
	ch := open(t, conn)
	queue := durableQueue(t, ch, "tasks", nil)

	type done struct {
		worker string
		task   string
	}
	results := make(chan done, tasks)
	for name, pace := range map[string]time.Duration{"slow": 80 * time.Millisecond, "fast": 4 * time.Millisecond} {
		worker := channel(t)
		must(t, worker.Qos(1, 0, false))
		ds := consume(t, worker, queue, false)
		go func() {
			for d := range ds {
				<-time.After(pace) // the work
				results <- done{name, string(d.Body)}
				_ = d.Ack(false)
			}
		}()
	}
	fill(t, conn, queue, numbered("task", tasks)...)

	count := map[string]int{}
	seen := map[string]bool{}
	for range tasks {
		select {
		case r := <-results:
			count[r.worker]++
			if seen[r.task] {
				t.Errorf("%s was done twice", r.task)
			}
			seen[r.task] = true
		case <-time.After(patience):
			t.Fatalf("after %d of %d tasks no more came", len(seen), tasks)
		}
	}
	if count["fast"] <= 2*count["slow"] || count["slow"] == 0 {
		t.Errorf("the fast worker did %d tasks and the slow one %d", count["fast"], count["slow"])
	}
}

// subscribe makes an exclusive queue with a name from the server, binds it by the keys
// and consumes it.
func subscribe(t testing.TB, ch *amqp.Channel, exchange string, keys ...string) <-chan amqp.Delivery {
	t.Helper()
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	if !strings.HasPrefix(q.Name, "amq.gen-") {
		t.Errorf("the server called the queue %q, want amq.gen-…", q.Name)
	}
	for _, key := range keys {
		bind(t, ch, q.Name, key, exchange, nil)
	}
	return consume(t, ch, q.Name, true)
}

func TestClientFanoutReachesEverySubscriberThatIsThere(t *testing.T) {
	ch := confirming(t, dial(t))
	logs := exchange(t, ch, "logs", "fanout", nil)
	if !confirmed(t, ch, logs, "", text("nobody hears this")) {
		t.Error("a message that no queue takes was nacked")
	}
	first, second := subscribe(t, channel(t), logs, ""), subscribe(t, channel(t), logs, "")
	for _, line := range numbered("line", 3) {
		publish(t, ch, logs, "ignored", text(line))
	}
	for _, ds := range []<-chan amqp.Delivery{first, second} {
		receiveAll(t, ds, numbered("line", 3)...)
		receiveNothing(t, ds)
	}
}

func TestClientDirectRoutesBySeveralKeysAQueue(t *testing.T) {
	ch := channel(t)
	logs := exchange(t, ch, "direct", "direct", nil)
	errorsOnly := subscribe(t, channel(t), logs, "error")
	all := subscribe(t, channel(t), logs, "info", "warning", "error")
	for _, key := range []string{"info", "error", "warning", "debug", "error.more", ""} {
		publish(t, ch, logs, key, text(key))
	}
	receiveAll(t, errorsOnly, "error")
	receiveAll(t, all, "info", "error", "warning")
	receiveNothing(t, errorsOnly)
	receiveNothing(t, all)
}

func TestClientTopicRoutesByPatterns(t *testing.T) {
	keys := []string{"lan", "lan.", "lan.a", "lan.a.b", "lan.a.b.c", "lan..b", "wan.a", "a.lan.b", "kern.critical", "", "a.critical", "critical"}
	cases := []struct {
		patterns []string
		want     []string
	}{
		{[]string{"lan.*.#"}, []string{"lan.", "lan.a", "lan.a.b", "lan.a.b.c", "lan..b"}},
		{[]string{"#"}, keys},
		{[]string{"*.critical"}, []string{"kern.critical", "a.critical"}},
		{[]string{"kern.*", "*.critical"}, []string{"kern.critical", "a.critical"}}, // once, though both match
		{[]string{"#.critical"}, []string{"kern.critical", "a.critical", "critical"}},
		{[]string{"lan.#.b"}, []string{"lan.a.b", "lan..b"}},
		{[]string{"*"}, []string{"lan", "critical"}}, // the empty key has no word
		{[]string{"lan.*.*"}, []string{"lan.a.b", "lan..b"}},
	}
	ch := channel(t)
	logs := exchange(t, ch, "topic", "topic", nil)
	subscribers := make([]<-chan amqp.Delivery, len(cases))
	for i, c := range cases {
		subscribers[i] = subscribe(t, ch, logs, c.patterns...)
	}
	for _, key := range keys {
		publish(t, ch, logs, key, text(key))
	}
	for i, c := range cases {
		markEnd(t, ch, logs, c.patterns[0])
		var got []string
		for {
			d := receive(t, subscribers[i])
			if string(d.Body) == "the end" {
				break
			}
			got = append(got, d.RoutingKey)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q got %q, want %q", c.patterns, got, c.want)
		}
	}
}

// markEnd publishes "the end" by a key that the pattern matches: once it has come, so
// has everything before it.
func markEnd(t testing.TB, ch *amqp.Channel, exchange, pattern string) {
	t.Helper()
	key := strings.NewReplacer("*", "end", ".#", "", "#.", "", "#", "end").Replace(pattern)
	publish(t, ch, exchange, key, text("the end"))
}

func TestClientRPCWithTwentyCallsInFlightFromEachOfTwoClients(t *testing.T) {
	const calls = 20
	server := channel(t)
	queue := durableQueue(t, server, "rpc", nil)
	must(t, server.Qos(5, 0, false))
	requests := consume(t, server, queue, false)
	go func() {
		for d := range requests {
			n, _ := strconv.Atoi(string(d.Body))
			_ = server.PublishWithContext(context.Background(), "", d.ReplyTo, false, false, amqp.Publishing{
				CorrelationId: d.CorrelationId,
				Body:          []byte(strconv.Itoa(n * n)),
			})
			_ = d.Ack(false)
		}
	}()

	var clients sync.WaitGroup
	failures := make(chan error, 2)
	for c := range 2 {
		ch := channel(t)
		clients.Go(func() { failures <- callSquares(ch, queue, 1000*c, calls) })
	}
	clients.Wait()
	for range 2 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

// callSquares sends count calls at once and then waits for their answers, each of which
// must go to the call with its correlation id.
func callSquares(ch *amqp.Channel, queue string, first, count int) error {
	callback, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return err
	}
	replies, err := ch.Consume(callback.Name, "", true, true, false, false, nil)
	if err != nil {
		return err
	}
	waiting := map[string]int{}
	for n := first; n < first+count; n++ {
		id := fmt.Sprintf("call-%d", n)
		waiting[id] = n
		err := ch.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{
			ReplyTo:       callback.Name,
			CorrelationId: id,
			Body:          []byte(strconv.Itoa(n)),
		})
		if err != nil {
			return err
		}
	}
	for range count {
		select {
		case d := <-replies:
			n, ok := waiting[d.CorrelationId]
			if !ok {
				return fmt.Errorf("an answer to %q, which was not asked or has been answered", d.CorrelationId)
			}
			if string(d.Body) != strconv.Itoa(n*n) {
				return fmt.Errorf("%d squared is said to be %s", n, d.Body)
			}
			delete(waiting, d.CorrelationId)
		case <-time.After(patience):
			return errors.New("an answer is missing")
		}
	}
	return nil
}

func TestClientOrderDeskRefusesThe101stOrder(t *testing.T) {
	conn := dial(t)
	ch := confirming(t, conn)
	queue := durableQueue(t, ch, "orders", amqp.Table{"x-max-length": 100, "x-overflow": "reject-publish"})
	waiting := make([]*amqp.DeferredConfirmation, 105)
	for i := range waiting {
		c, err := ch.PublishWithDeferredConfirm("", queue, false, false, text(fmt.Sprintf("order-%d", i+1)))
		must(t, err)
		waiting[i] = c
	}
	for i, c := range waiting {
		if ack := settled(t, c); ack != (i < 100) {
			t.Errorf("order %d: acked=%t", i+1, ack)
		}
	}
	ready(t, ch, queue, 100)

	// One order is filled, and there is room for one again.
	d := get(t, ch, queue)
	must(t, d.Ack(false))
	ready(t, ch, queue, 99)
	if !confirmed(t, ch, "", queue, text("order-106")) {
		t.Error("nacked although there was room")
	}
	if confirmed(t, ch, "", queue, text("order-107")) {
		t.Error("acked although there was no room")
	}
	receiveAll(t, consume(t, ch, queue, true), append(numbered("order", 100)[1:], "order-106")...)
}

func TestClientRedeclaringADurableQueueAsTransientClosesOnlyTheChannel(t *testing.T) {
	conn := dial(t)
	bystander := open(t, conn)
	queue := durableQueue(t, bystander, "durable", nil)
	refused(t, conn, amqp.PreconditionFailed,
		[]string{fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg 'durable' for queue '%s' in vhost '/': received 'false' but current is 'true'", queue)},
		func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, false, false, false, false, nil)
			return err
		})
	publish(t, bystander, "", queue, text("still here"))
	if d := get(t, bystander, queue); string(d.Body) != "still here" {
		t.Errorf("got %q", d.Body)
	}
}
