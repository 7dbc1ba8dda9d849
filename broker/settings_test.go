package broker

import (
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// pol is a policy with the given keys and values.
func pol(kv ...any) *policy.Policy {
	d := policy.Definition{}
	for i := 0; i < len(kv); i += 2 {
		v := kv[i+1]
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		d[kv[i].(string)] = v
	}
	return &policy.Policy{Name: "p", Pattern: ".*", ApplyTo: "all", Definition: d}
}

func addr(s string) *string { return &s }

func TestSettingsAreMadeOfArgumentsAndPolicies(t *testing.T) {
	quorum := func(kv ...any) amqp.Table { return table(append([]any{"x-queue-type", "quorum"}, kv...)...) }
	for name, c := range map[string]struct {
		args        amqp.Table
		p, operator *policy.Policy
		want        func(s *settings)
	}{
		"nothing":                 {nil, nil, nil, func(s *settings) {}},
		"an argument":             {table("x-max-length", 3), nil, nil, func(s *settings) { s.maxLength = 3 }},
		"a policy":                {nil, pol("max-length", 4), nil, func(s *settings) { s.maxLength = 4 }},
		"an operator policy":      {nil, nil, pol("max-length", 5), func(s *settings) { s.maxLength = 5 }},
		"the lowest bound":        {table("x-max-length", 3), pol("max-length", 4), pol("max-length", 2), func(s *settings) { s.maxLength = 2 }},
		"the lowest of the bytes": {table("x-max-length-bytes", 3), pol("max-length-bytes", 1), pol("max-length-bytes", 2), func(s *settings) { s.maxBytes = 1 }},
		"zero is a bound":         {table("x-message-ttl", 0), pol("message-ttl", 9), nil, func(s *settings) { s.ttl = 0 }},
		"the lowest time to live": {table("x-message-ttl", 500), pol("message-ttl", 90), nil, func(s *settings) { s.ttl = 90 * time.Millisecond }},
		"the lowest expiry":       {table("x-expires", 500), pol("expires", 90), nil, func(s *settings) { s.expires = 90 * time.Millisecond }},
		"the argument's exchange": {table("x-dead-letter-exchange", "a"), pol("dead-letter-exchange", "b", "dead-letter-routing-key", "k"), nil,
			func(s *settings) { s.dlx, s.dlxKey = addr("a"), addr("k") }},
		"the default exchange":    {nil, pol("dead-letter-exchange", ""), nil, func(s *settings) { s.dlx = addr("") }},
		"the argument's overflow": {table("x-overflow", "drop-head"), pol("overflow", "reject-publish"), nil, func(s *settings) {}},
		"a policy's overflow":     {nil, pol("overflow", "reject-publish-dlx"), nil, func(s *settings) { s.reject, s.rejectDLX = true, true }},
		"a quorum queue's overflow": {quorum("x-overflow", "drop-head"), pol("overflow", "reject-publish"), nil,
			func(s *settings) { s.quorum, s.deliveryLimit, s.reject = true, 20, true }},
		"a quorum queue's expiry": {quorum("x-expires", 10), pol("expires", 20), nil,
			func(s *settings) { s.quorum, s.deliveryLimit, s.expires = true, 20, 20*time.Millisecond }},
		"no reject-publish-dlx for quorum queues": {quorum("x-overflow", "reject-publish-dlx"), nil, nil,
			func(s *settings) { s.quorum, s.deliveryLimit = true, 20 }},
		"the lower delivery limit": {quorum("x-delivery-limit", 3), pol("delivery-limit", 2), nil,
			func(s *settings) { s.quorum, s.deliveryLimit = true, 2 }},
		"no delivery limit, and one": {quorum("x-delivery-limit", -1), pol("delivery-limit", 2), nil,
			func(s *settings) { s.quorum, s.deliveryLimit = true, 2 }},
		"no delivery limit": {quorum("x-delivery-limit", -1), nil, nil,
			func(s *settings) { s.quorum, s.deliveryLimit = true, -1 }},
		"at least once": {quorum("x-dead-letter-strategy", "at-least-once", "x-overflow", "reject-publish", "x-dead-letter-exchange", "d"), nil, nil,
			func(s *settings) {
				s.quorum, s.deliveryLimit, s.reject, s.atLeastOnce, s.dlx = true, 20, true, true, addr("d")
			}},
		"at least once needs reject-publish": {quorum("x-dead-letter-strategy", "at-least-once", "x-dead-letter-exchange", "d"), nil, nil,
			func(s *settings) { s.quorum, s.deliveryLimit, s.dlx = true, 20, addr("d") }},
		"what is for life": {table("x-max-priority", 5, "x-single-active-consumer", true), nil, nil,
			func(s *settings) { s.maxPriority, s.singleActive = 5, true }},
		"the consumers' time": {table("x-consumer-timeout", 5000), pol("consumer-timeout", 3000), nil,
			func(s *settings) { s.consumerTimeout = 3 * time.Second }},
		"what has no end": {nil, pol("message-ttl", 1<<62), nil, func(s *settings) { s.ttl = maxExpiry * time.Millisecond }},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := makeSettings(c.args, c.p, c.operator), noSettings()
			c.want(&want)
			if got.policy != c.p || got.operator != c.operator {
				t.Error("the policies are not kept")
			}
			same := func(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
			if !same(got.dlx, want.dlx) || !same(got.dlxKey, want.dlxKey) {
				t.Errorf("dead letters go elsewhere: %+v, want %+v", got, want)
			}
			got.policy, got.operator, got.dlx, got.dlxKey, want.dlx, want.dlxKey = nil, nil, nil, nil, nil, nil
			if got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}
