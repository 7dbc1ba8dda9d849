package broker

import (
	"time"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// settings are what a queue's arguments, its policy and its operator policy say
// together, as far as the broker acts on it. They never change: a queue whose
// policy changes gets new ones.
type settings struct {
	// What arguments alone decide, so that it is for the queue's whole life.
	quorum       bool
	stream       bool // which there are none of
	singleActive bool // x-single-active-consumer
	maxPriority  int  // x-max-priority; 0: no priority queue

	expires         time.Duration // unused that long, the queue goes; 0: never
	ttl             time.Duration // of its messages; negative: none
	maxLength       int64         // ready messages; negative: no bound
	maxBytes        int64         // their bodies' bytes; negative: no bound
	reject          bool          // at the bounds refuse the publish instead of dropping the oldest
	rejectDLX       bool          // and dead-letter what was refused; only with reject
	dlx             *string       // where dead letters go; nil: nowhere, "": the default exchange
	dlxKey          *string       // their routing key; nil: their own
	atLeastOnce     bool          // dead letters are kept until they have arrived
	deliveryLimit   int           // returns to the queue of one message; negative: no limit
	consumerTimeout time.Duration // for an ack; 0: the server's default

	policy, operator *policy.Policy // which apply; nil: none
}

// limited reports whether the queue's length has a bound.
func (s *settings) limited() bool { return s.maxLength >= 0 || s.maxBytes >= 0 }

// defaultDeliveryLimit is a quorum queue's where nobody says anything else.
const defaultDeliveryLimit = 20

// noSettings are those of a queue without arguments and policies.
func noSettings() settings {
	return settings{ttl: -1, maxLength: -1, maxBytes: -1, deliveryLimit: -1}
}

// plain is shared by all queues that have nothing else. Nobody changes it.
var plain = noSettings()

// makeSettings reads out what the broker acts on. The arguments have been checked;
// each policy may be nil. Where an argument and a policy name the same thing the
// lower bound holds, and else the argument, but for a quorum queue's expires and
// overflow, where RabbitMQ takes the policy's.
func makeSettings(args amqp.Table, p, operator *policy.Policy) settings {
	set := noSettings()
	set.policy, set.operator = p, operator
	if len(args) == 0 && p == nil && operator == nil {
		return set
	}
	if t, _ := args.LongString("x-queue-type"); t == typeQuorum {
		set.quorum = true
		set.deliveryLimit = defaultDeliveryLimit
	} else if t == typeStream {
		set.stream = true
	}
	set.singleActive, _ = args.Bool("x-single-active-consumer")
	if n, ok := args.Int("x-max-priority"); ok {
		set.maxPriority = int(n)
	}

	from := source{args, p, operator}
	expires := from.lowest
	overflow := from.argumentFirst
	if set.quorum {
		expires, overflow = from.policyFirst, from.textPolicyFirst
	}
	if n, ok := expires("expires"); ok {
		set.expires = milliseconds(n)
	}
	if n, ok := from.lowest("message-ttl"); ok {
		set.ttl = milliseconds(n)
	}
	if n, ok := from.lowest("max-length"); ok {
		set.maxLength = n
	}
	if n, ok := from.lowest("max-length-bytes"); ok {
		set.maxBytes = n
	}
	if s, ok := overflow("overflow"); ok {
		// A quorum queue knows no reject-publish-dlx: it drops the oldest then.
		set.rejectDLX = s == overflowRejectDLX && !set.quorum
		set.reject = s == overflowReject || set.rejectDLX
	}
	if s, ok := from.argumentFirst("dead-letter-exchange"); ok {
		set.dlx = &s
	}
	// One that is too long for a message would keep dead letters from being published.
	if s, ok := from.argumentFirst("dead-letter-routing-key"); ok && len(s) <= maxKey {
		set.dlxKey = &s
	}
	if s, ok := from.argumentFirst("dead-letter-strategy"); ok {
		set.atLeastOnce = s == "at-least-once" && set.quorum && set.reject && set.dlx != nil
	}
	if set.quorum {
		if n, ok := from.deliveryLimit(); ok {
			set.deliveryLimit = int(max(min(n, 1<<31-1), -1))
		}
	}
	if n, ok := from.lowest("consumer-timeout"); ok && n > 0 {
		set.consumerTimeout = milliseconds(n)
	}
	return set
}

// milliseconds makes a duration of what a client or a policy says.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, maxExpiry)) * time.Millisecond
}

// source is where a setting may come from. Its methods take a policy's key, before
// which an argument has "x-".
type source struct {
	args        amqp.Table
	p, operator *policy.Policy
}

func (s source) number(key string) (arg, pol int64, hasArg, hasPol bool) {
	arg, hasArg = s.args.Int("x-" + key)
	pol, hasPol = policy.Value(key, s.p, s.operator).(int64)
	return
}

func (s source) lowest(key string) (int64, bool) {
	arg, pol, hasArg, hasPol := s.number(key)
	switch {
	case !hasArg:
		return pol, hasPol
	case !hasPol:
		return arg, true
	}
	return min(arg, pol), true
}

func (s source) policyFirst(key string) (int64, bool) {
	arg, pol, hasArg, hasPol := s.number(key)
	if hasPol {
		return pol, true
	}
	return arg, hasArg
}

// deliveryLimit is the lower one, unless one says that there is none.
func (s source) deliveryLimit() (int64, bool) {
	arg, pol, hasArg, hasPol := s.number("delivery-limit")
	if hasArg && hasPol && (arg < 0 || pol < 0) {
		return max(arg, pol), true
	}
	return s.lowest("delivery-limit")
}

func (s source) argumentFirst(key string) (string, bool) {
	if text, ok := s.args.LongString("x-" + key); ok {
		return text, true
	}
	text, ok := policy.Value(key, s.p, s.operator).(string)
	return text, ok
}

func (s source) textPolicyFirst(key string) (string, bool) {
	if text, ok := policy.Value(key, s.p, s.operator).(string); ok {
		return text, true
	}
	text, ok := s.args.LongString("x-" + key)
	return text, ok
}

// settingsChanged does at once what new settings ask for. They hold already.
func (q *localQueue) settingsChanged(old, new *settings) {
	if old.expires != new.expires {
		q.v.b.expiry.forget(q)
		if new.expires > 0 {
			q.use()
			q.v.b.expiry.watch(q)
		}
	}
	if old.ttl != new.ttl {
		q.setTTL()
		if q.overdue() {
			q.carryOn()
		}
	}
	if new.storeLimits() != old.storeLimits() {
		q.setLimits()
		r := q.v.b.runner()
		q.settleLength(r)
		r.done()
	}
}
