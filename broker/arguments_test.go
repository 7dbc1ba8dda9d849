package broker

import (
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// The texts were taken from RabbitMQ 3.10.8.

func TestQueueArgumentsAreCheckedAsRabbitMQDoes(t *testing.T) {
	const prefix = "PRECONDITION_FAILED - "
	arg := func(key, why string) string {
		return prefix + "invalid arg '" + key + "' for queue 'q' in vhost '/': " + why
	}
	ofType := func(key, kind string) string {
		return prefix + "invalid arg '" + key + "' for queue 'q' in vhost '/' of queue type " + kind
	}
	for _, c := range []struct {
		args amqp.Table
		want string // "" is accepted
	}{
		{table("x-expires", 0), arg("x-expires", "{value_zero,0}")},
		{table("x-expires", -1), arg("x-expires", "{value_negative,-1}")},
		{table("x-expires", "a"), arg("x-expires", `"expected integer, got longstr"`)},
		{table("x-expires", true), arg("x-expires", `"expected integer, got bool"`)},
		{table("x-expires", amqp.Void()), arg("x-expires", `"expected integer, got void"`)},
		{table("x-expires", amqp.Bytes([]byte("x"))), arg("x-expires", `"expected integer, got binary"`)},
		{table("x-expires", amqp.List(amqp.Int8(1))), arg("x-expires", `"expected integer, got array"`)},
		{table("x-expires", amqp.Nested(table("a", 1))), arg("x-expires", `"expected integer, got table"`)},
		{table("x-expires", int64(315360000000)), ""},
		{table("x-expires", int64(315360000001)), arg("x-expires", "{value_too_large,315360000001}")},
		{table("x-message-ttl", 0), ""},
		{table("x-message-ttl", -1), arg("x-message-ttl", "{value_negative,-1}")},
		{table("x-message-ttl", "a"), arg("x-message-ttl", `"expected integer, got longstr"`)},
		{table("x-message-ttl", int64(1<<40)), arg("x-message-ttl", "{value_too_large,1099511627776}")},
		{table("x-max-length", 0), ""},
		{table("x-max-length", int64(1<<40)), ""},
		{table("x-max-length", -1), arg("x-max-length", "{value_negative,-1}")},
		{table("x-max-length", "a"), arg("x-max-length", `"expected integer, got longstr"`)},
		{table("x-max-length-bytes", -1), arg("x-max-length-bytes", "{value_negative,-1}")},
		{table("x-max-priority", 0), ""},
		{table("x-max-priority", 255), ""},
		{table("x-max-priority", 256), arg("x-max-priority", "{max_value_exceeded,256}")},
		{table("x-max-priority", -1), arg("x-max-priority", "{value_negative,-1}")},
		{table("x-overflow", "drop-head"), ""},
		{table("x-overflow", "reject-publish"), ""},
		{table("x-overflow", "reject-publish-dlx"), ""},
		{table("x-overflow", "foo"), arg("x-overflow", "invalid_overflow")},
		{table("x-overflow", 1), arg("x-overflow", "{unacceptable_type,signedint}")},
		{table("x-dead-letter-exchange", "x"), ""},
		{table("x-dead-letter-exchange", 1), prefix + "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
		{table("x-max-length", "a", "x-dead-letter-exchange", 1), prefix + "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
		{table("x-dead-letter-routing-key", "x"), arg("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined")},
		{table("x-dead-letter-routing-key", 1, "x-dead-letter-exchange", "x"), arg("x-dead-letter-routing-key", "{unacceptable_type,signedint}")},
		{table("x-queue-mode", "lazy"), ""},
		{table("x-queue-mode", "foo"), arg("x-queue-mode", `"unsupported queue mode 'foo'"`)},
		{table("x-queue-mode", 1), arg("x-queue-mode", "{unacceptable_type,signedint}")},
		{table("x-queue-version", 2), ""},
		{table("x-queue-version", 3), arg("x-queue-version", `"unsupported queue version '3'"`)},
		{table("x-queue-version", "a"), arg("x-queue-version", `"expected integer, got longstr"`)},
		{table("x-single-active-consumer", true), ""},
		{table("x-single-active-consumer", 1), arg("x-single-active-consumer", "{unacceptable_type,signedint}")},
		{table("x-queue-type", "classic"), ""},
		{table("x-queue-type", "foo"), arg("x-queue-type", `"unsupported queue type 'foo'"`)},
		{table("x-queue-type", 1), arg("x-queue-type", "{unacceptable_type,signedint}")},
		{table("x-queue-leader-locator", "client-local"), ""},
		{table("x-queue-master-locator", "min-masters"), ""},
		{table("x-consumer-timeout", 1000), ""},
		{table("x-whatever", 1), ""},
		{table("x-delivery-limit", 1), ofType("x-delivery-limit", "rabbit_classic_queue")},
		{table("x-dead-letter-strategy", "at-least-once"), ofType("x-dead-letter-strategy", "rabbit_classic_queue")},
		{table("x-max-in-memory-length", 1), ofType("x-max-in-memory-length", "rabbit_classic_queue")},
		{table("x-quorum-initial-group-size", 1), ofType("x-quorum-initial-group-size", "rabbit_classic_queue")},
		{table("x-max-age", "1D"), ofType("x-max-age", "rabbit_classic_queue")},
		{table("x-stream-max-segment-size-bytes", 100), ofType("x-stream-max-segment-size-bytes", "rabbit_classic_queue")},
		{table("x-queue-type", "quorum", "x-delivery-limit", 1), ""},
		{table("x-queue-type", "quorum", "x-delivery-limit", -1), ""}, // no limit
		{table("x-queue-type", "quorum", "x-delivery-limit", "a"), arg("x-delivery-limit", `"expected integer, got longstr"`)},
		{table("x-queue-type", "quorum", "x-quorum-initial-group-size", 1), ""},
		{table("x-queue-type", "quorum", "x-quorum-initial-group-size", 0), arg("x-quorum-initial-group-size", "{value_zero,0}")},
		{table("x-queue-type", "quorum", "x-quorum-initial-group-size", -1), arg("x-quorum-initial-group-size", "{value_negative,-1}")},
		{table("x-queue-type", "quorum", "x-dead-letter-strategy", "foo"), arg("x-dead-letter-strategy", "invalid_dlx_strategy")},
		{table("x-queue-type", "quorum", "x-dead-letter-strategy", 1), arg("x-dead-letter-strategy", "{unacceptable_type,signedint}")},
		{table("x-queue-type", "quorum", "x-queue-leader-locator", "foo"), arg("x-queue-leader-locator", "invalid_queue_locator_arg")},
		{table("x-queue-type", "quorum", "x-queue-master-locator", "min-masters"), ofType("x-queue-master-locator", "rabbit_quorum_queue")},
		{table("x-queue-type", "quorum", "x-max-length", 1, "x-expires", 1, "x-message-ttl", 1, "x-overflow", "reject-publish"), ""},
		{table("x-queue-type", "quorum", "x-max-priority", 5), ofType("x-max-priority", "rabbit_quorum_queue")},
		{table("x-queue-type", "quorum", "x-queue-mode", "lazy"), ofType("x-queue-mode", "rabbit_quorum_queue")},
		{table("x-queue-type", "quorum", "x-queue-version", 2), ofType("x-queue-version", "rabbit_quorum_queue")},
		{table("x-queue-type", "quorum", "x-max-age", "1D"), ofType("x-max-age", "rabbit_quorum_queue")},
	} {
		err := checkArguments(c.args, "q", "/")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v\ngot  %q\nwant %q", amqp.Nested(c.args), got, c.want)
		}
	}
}

func TestQuorumQueuesAreDurableAndNobodysOwn(t *testing.T) {
	c := newBench(t).client()
	quorum := args("x-queue-type", "quorum")
	for _, each := range []struct {
		with []func(*QueueSpec)
		want string
	}{
		{[]func(*QueueSpec){quorum}, "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'q' in vhost '/'"},
		{[]func(*QueueSpec){quorum, durable, exclusive}, "PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'q' in vhost '/'"},
		{[]func(*QueueSpec){quorum, durable, autoDelete}, "PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'q' in vhost '/'"},
	} {
		spec := QueueSpec{Name: "q"}
		for _, f := range each.with {
			f(&spec)
		}
		_, err := c.s.DeclareQueue(spec)
		c.refused(err, each.want)
	}
	_, err := c.s.DeclareQueue(QueueSpec{Durable: true, Args: table("x-queue-type", "quorum")})
	c.refused(err, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue")
	c.queue("q", durable, quorum)
	_, err = c.s.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	c.refused(err, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received none but current is the value 'quorum' of type 'longstr'")
}

// A client that asks for a stream is told that there are none, not that it asked
// in a wrong way.
func TestStreamsAreNotImplemented(t *testing.T) {
	c := newBench(t).client()
	property := func(name string) string {
		return "PRECONDITION_FAILED - invalid property '" + name + "' for queue 'q' in vhost '/'"
	}
	for _, each := range []struct {
		spec QueueSpec
		want string
	}{
		{QueueSpec{Name: "q", Durable: true}, "NOT_IMPLEMENTED - x-queue-type 'stream' of queue 'q' in vhost '/': there are no streams here, only classic and quorum queues"},
		{QueueSpec{Name: "q"}, property("non-durable")},
		{QueueSpec{Name: "q", Exclusive: true}, property("exclusive-owner")},
		{QueueSpec{Name: "q", Exclusive: true, AutoDelete: true}, property("auto-delete")},
		{QueueSpec{Durable: true}, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_stream_queue"},
	} {
		each.spec.Args = table("x-queue-type", "stream", "x-max-age", "1D")
		_, err := c.s.DeclareQueue(each.spec)
		c.refused(err, each.want)
	}
}

func TestConsumersArgumentsAreChecked(t *testing.T) {
	c := newBench(t).client()
	c.queue("c")
	c.queue("q", durable, args("x-queue-type", "quorum"))
	const failover, offset = "x-cancel-on-ha-failover", "x-stream-offset"
	arg := func(key, queue, why string) string {
		return "PRECONDITION_FAILED - invalid arg '" + key + "' for queue '" + queue + "' in vhost '/'" + why
	}
	for _, each := range []struct {
		queue string
		args  amqp.Table
		want  string
	}{
		{"c", table("x-priority", -3, failover, true, "x-whatever", 1), ""},
		{"c", table("x-priority", "a"), arg("x-priority", "c", `: "expected integer, got longstr"`)},
		{"c", table(failover, 1), arg(failover, "c", ": {unacceptable_type,signedint}")},
		{"c", table(offset, "first"), arg(offset, "c", " of queue type rabbit_classic_queue")},
		{"c", table(offset, "a", failover, 1, "x-priority", "a"), arg("x-priority", "c", `: "expected integer, got longstr"`)},
		{"q", table("x-priority", 5), ""},
		{"q", table(failover, true), arg(failover, "q", " of queue type rabbit_quorum_queue")},
		{"q", table(offset, 1), arg(offset, "q", " of queue type rabbit_quorum_queue")},
	} {
		cons, err := c.s.Consume(each.queue, ConsumerSpec{Args: each.args}, c)
		if each.want != "" {
			c.refused(err, each.want)
			continue
		}
		c.ok(err)
		cons.Cancel()
	}
}

func TestExpirationsAreDecimalMilliseconds(t *testing.T) {
	for s, want := range map[string]string{
		"0": "", "1": "", "+5": "", "-0": "", "007": "", "315360000000": "",
		"":                               "no_integer",
		"abc":                            "no_integer",
		" 1":                             "no_integer",
		"-":                              "no_integer",
		"-1":                             "{value_negative,-1}",
		"1.5":                            `{leftover_string,".5"}`,
		"1e3":                            `{leftover_string,"e3"}`,
		"1 ":                             `{leftover_string," "}`,
		"12abc":                          `{leftover_string,"abc"}`,
		"0x10":                           `{leftover_string,"x10"}`,
		"315360000001":                   "{value_too_large,315360000001}",
		"99999999999999999999999999999":  "{value_too_large,99999999999999999999999999999}",
		"9223372036854775808":            "{value_too_large,9223372036854775808}",
		"-99999999999999999999999999999": "{value_negative,-99999999999999999999999999999}",
	} {
		if _, why := parseExpiration([]byte(s)); why != want {
			t.Errorf("%q: got %q, want %q", s, why, want)
		}
	}
	if ms, _ := parseExpiration([]byte("60000")); ms != 60000 {
		t.Errorf("got %d", ms)
	}
}
