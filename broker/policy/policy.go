package policy

// Policy is a set of values for the queues and exchanges of a vhost whose names
// match a pattern. It never changes once it applies to something.
type Policy struct {
	Name       string
	Pattern    string // a regular expression
	ApplyTo    string // "all", "queues", "exchanges", "classic_queues", "quorum_queues", "streams"
	Priority   int64
	Definition Definition
}

// Definition maps keys to their values, as JSON has them: string, int64, float64,
// bool, []any, map[string]any.
type Definition map[string]any

// Value is what a policy and an operator policy, each of which may be nil, say of
// a key; nil: nothing. Where both say something the lower bound holds, and of what
// is no bound the operator's word.
func Value(key string, p, operator *Policy) any {
	var v, o any
	if p != nil {
		v = p.Definition[key]
	}
	if operator != nil {
		o = operator.Definition[key]
	}
	switch {
	case o == nil:
		return v
	case v == nil:
		return o
	}
	if bounds[key] {
		n, ok := v.(int64)
		m, okay := o.(int64)
		if ok && okay {
			return min(n, m)
		}
	}
	return o
}

// bounds are the keys of which the lower value holds.
var bounds = map[string]bool{
	"expires": true, "message-ttl": true, "max-length": true, "max-length-bytes": true,
	"max-in-memory-length": true, "max-in-memory-bytes": true, "delivery-limit": true, "consumer-timeout": true,
}
