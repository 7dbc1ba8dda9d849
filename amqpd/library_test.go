package amqpd_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/brokertest"
)

func dial(t *testing.T, b *brokertest.Broker) (*amqp091.Connection, *amqp091.Channel) {
	t.Helper()
	conn, err := amqp091.Dial(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return conn, ch
}

// Producers with confirms and competing consumers with acks, all of them a
// client library: each message is confirmed, and handled once.
func TestALibrarysProducersAndConsumers(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	const producers, consumers, each = 4, 3, 500
	_, ch := dial(t, b)
	q, err := ch.QueueDeclare("work", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, producers*each)
	var workers sync.WaitGroup
	for i := range consumers {
		_, ch := dial(t, b)
		ch.Qos(10*(i+1), 0, false)
		ds, err := ch.Consume(q.Name, "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		workers.Go(func() {
			for d := range ds {
				seen <- string(d.Body)
				d.Ack(i == 0 && d.DeliveryTag%5 == 0) // a later ack of each that a multiple took would be an error
			}
		})
	}
	var wg sync.WaitGroup
	for p := range producers {
		_, ch := dial(t, b)
		if err := ch.Confirm(false); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var owed []*amqp091.DeferredConfirmation
			for i := range each {
				d, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q.Name, false, false, amqp091.Publishing{
					DeliveryMode: amqp091.Persistent, Body: fmt.Appendf(nil, "%d-%d", p, i),
				})
				if err != nil {
					t.Error(err)
					return
				}
				owed = append(owed, d)
			}
			for i, d := range owed {
				if ok, err := d.WaitContext(ctx); !ok || err != nil {
					t.Errorf("message %d of producer %d: %v %v", i, p, ok, err)
				}
			}
		})
	}
	wg.Wait()
	handled := map[string]bool{}
	for len(handled) < producers*each {
		select {
		case s := <-seen:
			if handled[s] {
				t.Errorf("%s was handled twice", s)
			}
			handled[s] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d were handled", len(handled), producers*each)
		}
	}
	b.Stop()
	workers.Wait()
}
