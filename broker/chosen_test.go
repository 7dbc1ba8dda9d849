package broker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

func exchangeArgs(fields ...any) func(*ExchangeSpec) {
	return func(s *ExchangeSpec) { s.Args = table(fields...) }
}

// What is in order by its key stays in order over a restart: the hash leads
// where it led, also where bindings come back in another order.
func TestAConsistentHashLeadsTheSameWayAfterARestart(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.exchange("hash", "x-consistent-hash", durableX, exchangeArgs("hash-header", "customer"))
	names := []string{"z", "a", "m", "k"}
	for i, q := range names {
		c.queue(q, durable)
		c.bind(q, "hash", fmt.Sprint(1+i))
	}
	where := func() (list []string) {
		for i := range 60 {
			c.publishWith(props(headers("customer", i)), "hash", "same", "m")
			c.flush()
			for _, q := range names {
				list = append(list, c.drain(q)...)
				list = append(list, fmt.Sprint(q, len(list)))
			}
		}
		return list
	}
	before := where()
	w.crash()
	c = w.client()
	if after := where(); !slices.Equal(before, after) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
}

// A hash of the routing key is remembered with the route, one of a header or a
// property is not; a message goes to one queue whatever CC adds.
func TestAHashExchangeChoosesOneQueueForEachMessage(t *testing.T) {
	c := newBench(t).client()
	c.exchange("key", "x-consistent-hash")
	c.exchange("id", "x-consistent-hash", exchangeArgs("hash-property", "message_id"))
	c.exchange("random", "x-random")
	c.exchange("front", "fanout")
	for i := range 4 {
		q := c.queue(fmt.Sprint("q", i))
		for _, x := range []string{"key", "id", "random"} {
			c.bind(q, x, "10")
		}
	}
	c.ok(c.s.BindExchange("random", "front", "", nil))
	drain := func() (used, messages int) {
		for i := range 4 {
			n := len(c.drain(fmt.Sprint("q", i)))
			if messages += n; n > 0 {
				used++
			}
		}
		return used, messages
	}
	publish := func(exchange string, key, id func(i int) string) {
		for i := range 200 {
			c.publishWith(props(text(amqp.PropMessageID, id(i)), headers("CC", amqp.List(amqp.LongString(fmt.Sprint("cc", i))))), exchange, key(i), "m")
			if i%2 == 0 {
				c.publishWith(props(text(amqp.PropMessageID, id(i))), exchange, key(i), "m")
			}
		}
		c.flush()
	}
	same := func(int) string { return "same" }
	own := func(i int) string { return fmt.Sprint("own", i) }
	for _, each := range []struct {
		exchange string
		key, id  func(int) string
		used     int
	}{
		{"key", same, own, 1}, {"key", own, same, 4}, {"id", own, same, 1}, {"id", same, own, 4},
		{"random", same, same, 4}, {"front", same, same, 4},
	} {
		publish(each.exchange, each.key, each.id)
		if used, messages := drain(); used != each.used || messages != 300 {
			t.Errorf("%s: %d messages in %d queues, want 300 in %d", each.exchange, messages, used, each.used)
		}
	}
}

func TestHashExchangesRefuseWhatMeansNothing(t *testing.T) {
	c := newBench(t).client()
	for _, args := range []amqp.Table{table("hash-header", "h", "hash-property", "message_id"), table("hash-property", "app_id")} {
		if err := c.s.DeclareExchange(ExchangeSpec{Name: "x", Type: "x-consistent-hash", Args: args}); amqp.AsError(err).Code != amqp.CodePreconditionFailed {
			t.Errorf("%v: %v", args, err)
		}
	}
	c.exchange("x", "x-consistent-hash")
	c.queue("q")
	c.refused(c.s.BindQueue("q", "x", "heavy", nil), `PRECONDITION_FAILED - The binding key must be an integer: <<"heavy">>`)
	c.refused(c.s.BindQueue("q", "x", "0", nil), "PRECONDITION_FAILED - The binding key must be greater than 0")
	// RabbitMQ does not compare what is hashed.
	c.exchange("x", "x-consistent-hash", exchangeArgs("hash-header", "h"))
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "x", Type: "x-random"}), "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'x-random' but current is 'x-consistent-hash'")
}
