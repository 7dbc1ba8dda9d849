package broker

import (
	"fmt"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// maxExpiry is RabbitMQ's bound on times to live and expiries: ten years in
// milliseconds.
const maxExpiry = 315_360_000_000

// maxKey is how many bytes a routing key may have.
const maxKey = 255

// Types of queues, as the argument x-queue-type names them.
const (
	typeClassic = "classic"
	typeQuorum  = "quorum"
	typeStream  = "stream"
)

// What happens to a publish that finds the queue at its bounds: x-overflow.
const (
	overflowDropHead  = "drop-head"
	overflowReject    = "reject-publish"
	overflowRejectDLX = "reject-publish-dlx"
)

// queueArgument is one x- argument that the broker knows. What it does not
// know is accepted, kept and left out of the comparison of redeclarations.
type queueArgument struct {
	key string
	// check returns what is wrong with the value in RabbitMQ's words, which are
	// Erlang terms, or "".
	check func(v amqp.Value, args amqp.Table) string
	// classic and quorum tell which types of queues have the argument.
	classic, quorum bool
}

// queueArguments are in the order in which RabbitMQ checks them.
var queueArguments = []queueArgument{
	{"x-expires", checkExpires, true, true},
	{"x-message-ttl", checkTTL, true, true},
	{"x-dead-letter-exchange", checkString, true, true},
	{"x-dead-letter-routing-key", checkDeadLetterKey, true, true},
	{"x-dead-letter-strategy", checkOneOf("invalid_dlx_strategy", "at-most-once", "at-least-once"), false, true},
	{"x-max-length", checkNatural, true, true},
	{"x-max-length-bytes", checkNatural, true, true},
	{"x-max-in-memory-length", checkNatural, false, true},
	{"x-max-in-memory-bytes", checkNatural, false, true},
	{"x-max-priority", checkMaxPriority, true, false},
	{"x-overflow", checkOverflow, true, true},
	{"x-delivery-limit", checkInteger, false, true}, // negative: no limit
	{"x-queue-mode", checkQueueMode, true, false},
	{"x-queue-version", checkQueueVersion, true, false},
	{"x-single-active-consumer", checkBool, true, true},
	{"x-queue-type", checkQueueType, true, true},
	{"x-quorum-initial-group-size", checkPositive, false, true},
	{"x-max-age", checkString, false, false},
	{"x-stream-max-segment-size-bytes", checkNatural, false, false},
	{"x-initial-cluster-size", checkNatural, false, false},
	// RabbitMQ 3.10 refuses this one on classic queues; later ones accept it.
	{"x-queue-leader-locator", checkOneOf("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders"), true, true},
	{"x-queue-master-locator", checkAny, true, false},
}

// checkArguments refuses what is wrong with a new queue's arguments.
func checkArguments(args amqp.Table, name, vhost string) *amqp.Error {
	if len(args) == 0 {
		return nil
	}
	// RabbitMQ looks at these two before all others.
	if v, ok := args.Get("x-dead-letter-exchange"); ok && v.Type != amqp.TypeLongString {
		return amqp.PreconditionFailed("invalid type '%s' for arg 'x-dead-letter-exchange' in queue '%s' in vhost '%s'", v.Type, name, vhost)
	}
	quorum := false
	if v, ok := args.Get("x-queue-type"); ok {
		if why := checkQueueType(v, args); why != "" {
			return errArgument("x-queue-type", name, vhost, why)
		}
		switch s, _ := args.LongString("x-queue-type"); s {
		case typeQuorum:
			quorum = true
		case typeStream:
			return nil // refused whatever its other arguments are
		}
	}
	for i := range queueArguments {
		a := &queueArguments[i]
		v, ok := args.Get(a.key)
		if !ok {
			continue
		}
		if quorum && !a.quorum || !quorum && !a.classic {
			kind := kindClassic
			if quorum {
				kind = kindQuorum
			}
			return errForeignArgument(a.key, name, vhost, kind)
		}
		if why := a.check(v, args); why != "" {
			return errArgument(a.key, name, vhost, why)
		}
	}
	return nil
}

// kind is the queue's type as RabbitMQ's texts call it.
func (s *settings) kind() string {
	if s.quorum {
		return kindQuorum
	}
	return kindClassic
}

// RabbitMQ's words for types of queues.
const (
	kindClassic = "rabbit_classic_queue"
	kindQuorum  = "rabbit_quorum_queue"
	kindStream  = "rabbit_stream_queue"
)

// errForeignArgument refuses an argument that belongs to another type of queue.
func errForeignArgument(key, name, vhost, kind string) *amqp.Error {
	return amqp.PreconditionFailed("invalid arg '%s' for queue '%s' in vhost '%s' of queue type %s", key, name, vhost, kind)
}

// checkDurableKind refuses what quorum queues and streams can not be, in
// RabbitMQ's order.
func checkDurableKind(spec QueueSpec, vhost string) *amqp.Error {
	property := ""
	switch {
	case spec.AutoDelete:
		property = "auto-delete"
	case spec.Exclusive:
		property = "exclusive-owner"
	case !spec.Durable:
		property = "non-durable"
	default:
		return nil
	}
	return amqp.PreconditionFailed("invalid property '%s' for queue '%s' in vhost '%s'", property, spec.Name, vhost)
}

// consumerPriority checks a consumer's arguments and reads its priority.
func consumerPriority(args amqp.Table, set *settings, name, vhost string) (priority int64, bad *amqp.Error) {
	if v, ok := args.Get("x-priority"); ok {
		if priority, ok = v.Int(); !ok {
			return 0, errArgument("x-priority", name, vhost, wantInteger(v))
		}
	}
	if v, ok := args.Get("x-cancel-on-ha-failover"); ok {
		if set.quorum {
			return 0, errForeignArgument("x-cancel-on-ha-failover", name, vhost, kindQuorum)
		}
		if why := checkBool(v, nil); why != "" {
			return 0, errArgument("x-cancel-on-ha-failover", name, vhost, why)
		}
	}
	if args.Has("x-stream-offset") {
		return 0, errForeignArgument("x-stream-offset", name, vhost, set.kind())
	}
	return priority, nil
}

func errArgument(key, name, vhost, why string) *amqp.Error {
	return amqp.PreconditionFailed("invalid arg '%s' for queue '%s' in vhost '%s': %s", key, name, vhost, why)
}

// compareArguments is the part of a redeclaration that concerns arguments:
// those that mean something must be the same.
func compareArguments(received, current amqp.Table, name, vhost string) *amqp.Error {
	if len(received) == 0 && len(current) == 0 {
		return nil
	}
	for i := range queueArguments {
		key := queueArguments[i].key
		got, _ := received.Get(key)
		is, _ := current.Get(key)
		if amqp.Equivalent(got, is) {
			continue
		}
		if key == "x-queue-type" && isClassic(got) && isClassic(is) {
			continue
		}
		return amqp.Inequivalent(key, "queue", name, vhost, got, is)
	}
	return nil
}

// isClassic reports whether a queue type is the default one.
func isClassic(v amqp.Value) bool {
	s, ok := v.Bytes()
	return v.Type == 0 || ok && string(s) == typeClassic
}

// wantInteger is what RabbitMQ prints where an integer is owed.
func wantInteger(v amqp.Value) string { return fmt.Sprintf(`"expected integer, got %s"`, v.Type) }

func badType(v amqp.Value) string { return fmt.Sprintf("{unacceptable_type,%s}", v.Type) }

func checkNatural(v amqp.Value, _ amqp.Table) string {
	n, ok := v.Int()
	switch {
	case !ok:
		return wantInteger(v)
	case n < 0:
		return fmt.Sprintf("{value_negative,%d}", n)
	}
	return ""
}

func checkPositive(v amqp.Value, args amqp.Table) string {
	if n, ok := v.Int(); ok && n == 0 {
		return "{value_zero,0}"
	}
	return checkNatural(v, args)
}

func checkInteger(v amqp.Value, _ amqp.Table) string {
	if _, ok := v.Int(); !ok {
		return wantInteger(v)
	}
	return ""
}

func checkAny(amqp.Value, amqp.Table) string { return "" }

func checkTTL(v amqp.Value, args amqp.Table) string {
	if why := checkNatural(v, args); why != "" {
		return why
	}
	if n, _ := v.Int(); n > maxExpiry {
		return fmt.Sprintf("{value_too_large,%d}", n)
	}
	return ""
}

func checkExpires(v amqp.Value, args amqp.Table) string {
	if n, ok := v.Int(); ok && n == 0 {
		return "{value_zero,0}"
	}
	return checkTTL(v, args)
}

func checkMaxPriority(v amqp.Value, args amqp.Table) string {
	if why := checkNatural(v, args); why != "" {
		return why
	}
	if n, _ := v.Int(); n > 255 {
		return fmt.Sprintf("{max_value_exceeded,%d}", n)
	}
	return ""
}

func checkString(v amqp.Value, _ amqp.Table) string {
	if v.Type != amqp.TypeLongString {
		return badType(v)
	}
	return ""
}

func checkBool(v amqp.Value, _ amqp.Table) string {
	if v.Type != amqp.TypeBool {
		return badType(v)
	}
	return ""
}

func checkDeadLetterKey(v amqp.Value, args amqp.Table) string {
	if why := checkString(v, args); why != "" {
		return why
	}
	if !args.Has("x-dead-letter-exchange") {
		return "routing_key_but_no_dlx_defined"
	}
	if s, _ := v.Bytes(); len(s) > maxKey {
		return fmt.Sprintf("{value_too_large,%d}", len(s))
	}
	return ""
}

func checkOverflow(v amqp.Value, _ amqp.Table) string {
	if v.Type != amqp.TypeLongString {
		return badType(v)
	}
	switch s, _ := v.Bytes(); string(s) {
	case overflowDropHead, overflowReject, overflowRejectDLX:
		return ""
	}
	return "invalid_overflow"
}

func checkQueueMode(v amqp.Value, _ amqp.Table) string {
	if v.Type != amqp.TypeLongString {
		return badType(v)
	}
	switch s, _ := v.Bytes(); string(s) {
	case "default", "lazy":
		return ""
	default:
		return fmt.Sprintf(`"unsupported queue mode '%s'"`, s)
	}
}

func checkQueueVersion(v amqp.Value, args amqp.Table) string {
	if why := checkNatural(v, args); why != "" {
		return why
	}
	if n, _ := v.Int(); n != 1 && n != 2 {
		return fmt.Sprintf(`"unsupported queue version '%d'"`, n)
	}
	return ""
}

func checkQueueType(v amqp.Value, _ amqp.Table) string {
	if v.Type != amqp.TypeLongString {
		return badType(v)
	}
	switch s, _ := v.Bytes(); string(s) {
	case typeClassic, typeQuorum, typeStream:
		return ""
	default:
		return fmt.Sprintf(`"unsupported queue type '%s'"`, s)
	}
}

func checkOneOf(why string, allowed ...string) func(amqp.Value, amqp.Table) string {
	return func(v amqp.Value, _ amqp.Table) string {
		if v.Type != amqp.TypeLongString {
			return badType(v)
		}
		s, _ := v.Bytes()
		if slices.Contains(allowed, string(s)) {
			return ""
		}
		return why
	}
}

// parseExpiration checks the expiration property: decimal milliseconds. why is
// "" where it is well-formed, else RabbitMQ's words.
func parseExpiration(s []byte) (ms int64, why string) {
	i, negative := 0, false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative, i = s[0] == '-', 1
	}
	first := i
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		// The sum is held above the bound, so that it can not overflow.
		if ms <= maxExpiry {
			ms = ms*10 + int64(s[i]-'0')
		}
	}
	switch {
	case i == first:
		return 0, "no_integer"
	case i < len(s):
		return 0, fmt.Sprintf("{leftover_string,%q}", s[i:])
	case negative && ms > 0:
		return 0, fmt.Sprintf("{value_negative,%s}", s)
	case ms > maxExpiry:
		return 0, fmt.Sprintf("{value_too_large,%s}", s[first:])
	}
	return ms, ""
}
