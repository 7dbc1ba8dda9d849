//go:build !race

package broker

import (
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// The race detector makes sync.Pool forget at random, so that counts are true
// only without it.

func TestPublishDeliverAckAllocatesNothingAMessage(t *testing.T) {
	for name, each := range map[string]struct {
		props amqp.Properties
		spec  ConsumerSpec
		with  []func(*QueueSpec)
	}{
		"transient":          {nil, ConsumerSpec{}, nil},
		"transient, no acks": {nil, ConsumerSpec{NoAck: true}, nil},
		"persistent":         {persistent, ConsumerSpec{}, []func(*QueueSpec){durable}},
		"with properties":    {props(text(amqp.PropReplyTo, "r"), text(amqp.PropExpiration, "60000"), headers("h", 1)), ConsumerSpec{}, nil},
		"bounded":            {nil, ConsumerSpec{}, []func(*QueueSpec){args("x-max-length", 100000)}},
		"priorities":         {props(mode(2), priority(3)), ConsumerSpec{}, []func(*QueueSpec){durable, args("x-max-priority", 5)}},
	} {
		t.Run(name, func(t *testing.T) {
			// On a real disk: the memory file system allocates itself.
			br, err := Open(t.TempDir(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			w := &bench{t: t, b: br}
			defer w.close()
			f := newFlow(t, w, each.props, each.spec, each.with...)
			for range 50 {
				f.round(100, true)
			}
			// Chunks and pages are allocated now and then, none a message.
			if n := testing.AllocsPerRun(200, func() { f.round(100, true) }); n > 5 {
				t.Errorf("%v allocations in 100 messages", n)
			}
			if f.sink.bytes < 250*100*100 {
				t.Errorf("only %d bytes were delivered", f.sink.bytes)
			}
		})
	}
}

// Patterns are asked once a route, or once an exchange, not once a message.
func TestPermissionsCostNothingAMessage(t *testing.T) {
	for name, p := range map[string]amqp.Properties{"plain": nil, "with headers": props(headers("h", 1))} {
		t.Run(name, func(t *testing.T) {
			br, err := Open(t.TempDir(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			w := &bench{t: t, b: br}
			defer w.close()
			w.permit("guest", "/", "^q$", "^(amq\\.topic|q)$", "^(amq\\.topic|q)$")
			if _, err := br.SetTopicPermissions(access.TopicPermissions{User: "guest", VHost: "/", Exchange: "amq.topic", Write: "^lan\\.", Read: "^lan\\."}); err != nil {
				t.Fatal(err)
			}
			f := newFlow(t, w, p, ConsumerSpec{})
			for range 50 {
				f.round(100, false)
			}
			if n := testing.AllocsPerRun(200, func() { f.round(100, false) }); n > 5 {
				t.Errorf("%v allocations in 100 messages", n)
			}
		})
	}
}
