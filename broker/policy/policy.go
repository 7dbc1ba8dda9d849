package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Policy is a set of values for the queues and exchanges of a vhost whose names
// match a pattern. It never changes: another one takes its place.
type Policy struct {
	Name       string
	Pattern    string // a regular expression
	ApplyTo    string // one of the ApplyTo… constants
	Priority   float64
	Definition Definition

	pattern *pattern // nil matches nothing
}

// What a policy applies to. RabbitMQ has the types of queues since 3.12.
const (
	ApplyToAll       = "all"
	ApplyToQueues    = "queues"
	ApplyToExchanges = "exchanges"
	ApplyToClassic   = "classic_queues"
	ApplyToQuorum    = "quorum_queues"
	ApplyToStreams   = "streams"
)

// Kind is what a policy may be asked to apply to.
type Kind uint8

// Kinds.
const (
	Exchange Kind = iota
	ClassicQueue
	QuorumQueue
	Stream
)

// Role tells policies, which applications' owners set, from operator policies,
// which bound them and know fewer keys.
type Role uint8

// Roles.
const (
	User Role = iota
	Operator
)

// Definition maps keys to their values, as JSON has them: nil, string, int64,
// float64, bool, []any, map[string]any.
type Definition map[string]any

// Spec is a policy as it is asked for. The fields are of any of Definition's types,
// and missing where Has… would say so: nil.
type Spec struct {
	Pattern, ApplyTo, Priority any // nil: missing; ApplyTo and Priority have defaults
	Definition                 any
}

// New makes a policy of what a client asks for. The error's text is RabbitMQ's.
func New(role Role, name string, s Spec) (*Policy, error) {
	p := &Policy{Name: name, ApplyTo: ApplyToAll}
	switch d := s.Definition.(type) {
	case map[string]any:
		p.Definition = d
	case Definition:
		p.Definition = d
	default:
		return nil, fmt.Errorf("definition must be a dictionary: %s", Term(d))
	}
	if err := p.Definition.validate(role); err != nil {
		return nil, err
	}
	if s.ApplyTo != nil {
		to, ok := s.ApplyTo.(string)
		switch {
		case !ok:
			return nil, fmt.Errorf("apply-to should be binary, actually was %s", Term(s.ApplyTo))
		case !slices.Contains([]string{ApplyToAll, ApplyToQueues, ApplyToExchanges, ApplyToClassic, ApplyToQuorum, ApplyToStreams}, to):
			return nil, fmt.Errorf("apply-to '%s' unrecognised; should be 'queues', 'exchanges' or 'all'", to)
		}
		p.ApplyTo = to
	}
	text, ok := s.Pattern.(string)
	if !ok {
		return nil, fmt.Errorf("pattern should be a binary but was %s", Term(s.Pattern))
	}
	p.Pattern = text
	var err error
	if p.pattern, err = compile(text); err != nil {
		return nil, fmt.Errorf("pattern should be regular expression but is invalid: %w", err)
	}
	switch n := s.Priority.(type) {
	case nil:
	case int64:
		p.Priority = float64(n)
	case float64:
		p.Priority = n
	default:
		return nil, fmt.Errorf("priority should be a number, actually was %s", Term(n))
	}
	return p, nil
}

// Restore makes a policy of what was once accepted. What is wrong by today's rules
// is no reason to refuse it: a pattern that cannot be understood any more, which is
// an error, matches nothing.
func Restore(p Policy) (*Policy, error) {
	var err error
	p.pattern, err = compile(p.Pattern)
	return &p, err
}

// Matches reports whether the policy applies to what is called name.
func (p *Policy) Matches(kind Kind, name string) bool {
	switch p.ApplyTo {
	case ApplyToAll:
	case ApplyToExchanges:
		if kind != Exchange {
			return false
		}
	case ApplyToQueues:
		if kind == Exchange {
			return false
		}
	case ApplyToClassic:
		if kind != ClassicQueue {
			return false
		}
	case ApplyToQuorum:
		if kind != QuorumQueue {
			return false
		}
	case ApplyToStreams:
		if kind != Stream {
			return false
		}
	default:
		return false
	}
	if p.pattern == nil || !p.pattern.match(name) {
		return false
	}
	// A policy that says anything that a type of queue does not know says nothing
	// at all to it.
	for _, key := range foreign[kind] {
		if _, ok := p.Definition[key]; ok {
			return false
		}
	}
	return true
}

// Equal reports whether two policies, each of which may be nil, say the same.
func Equal(a, b *Policy) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Name == b.Name && a.Pattern == b.Pattern && a.ApplyTo == b.ApplyTo &&
		a.Priority == b.Priority && string(a.Definition.JSON()) == string(b.Definition.JSON())
}

// JSON is the definition as text, its keys sorted.
func (d Definition) JSON() []byte {
	text, err := json.Marshal(map[string]any(d))
	if err != nil {
		return []byte("{}") // what JSON has made can be made JSON again
	}
	return text
}

// ParseJSON reads what JSON has written, or a client sends: integers are int64,
// the largest there is where they are larger, and other numbers float64.
func ParseJSON(text []byte) (Definition, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	out, _ := Number(v).(map[string]any)
	return out, nil
}

// Number turns the json.Numbers in a value into int64 and float64. Maps and lists
// are changed in place.
func Number(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		switch whole := !strings.ContainsAny(string(v), ".eE"); {
		case whole && f > 0:
			return int64(math.MaxInt64)
		case whole:
			return int64(math.MinInt64)
		case err != nil:
			return math.Copysign(math.MaxFloat64, f)
		}
		return f
	case map[string]any:
		for key := range v {
			v[key] = Number(v[key])
		}
	case []any:
		for i := range v {
			v[i] = Number(v[i])
		}
	}
	return v
}

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

// Effective is what two policies, each of which may be nil, say together.
func Effective(p, operator *Policy) Definition {
	d := Definition{}
	for _, each := range []*Policy{p, operator} {
		if each == nil {
			continue
		}
		for key := range each.Definition {
			d[key] = Value(key, p, operator)
		}
	}
	return d
}

// Set is the policies of one role in a vhost. The zero Set has none. Sets never
// change.
type Set struct {
	list []*Policy // by falling priority, then by name
}

// With is the set with p in it, in place of one of that name.
func (s Set) With(p *Policy) Set {
	list := append(s.Without(p.Name).list, p)
	slices.SortFunc(list, func(a, b *Policy) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	return Set{list}
}

// Without is the set without the policy of that name.
func (s Set) Without(name string) Set {
	return Set{slices.DeleteFunc(slices.Clone(s.list), func(p *Policy) bool { return p.Name == name })}
}

// Get returns the policy of that name, or nil.
func (s Set) Get(name string) *Policy {
	for _, p := range s.list {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// All are the policies, the one that wins first. They may not be changed.
func (s Set) All() []*Policy { return s.list }

// Match returns the policy that applies, or nil: that of the highest priority; of
// those that share it, the first by name.
func (s Set) Match(kind Kind, name string) *Policy {
	for _, p := range s.list {
		if p.Matches(kind, name) {
			return p
		}
	}
	return nil
}
