package broker

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
)

// Policies give queues and exchanges what their arguments do not say. A vhost has
// two sets, of policies and of operator policies; of each, one at most applies to
// an object. A change is in the catalog, and holds for all that is in the vhost,
// when it is answered: what is declared meanwhile finds the new sets, what was
// there before gets new settings one by one, so that publishers and consumers
// never wait for the whole of a large vhost.

// policies are what a vhost has of them. They never change.
type policies [2]policy.Set // by policy.Role

// exchangeSettings are what an exchange's arguments and policies say together.
// They never change; an exchange whose policy changes gets new ones.
type exchangeSettings struct {
	alternate        string // the exchange that gets what this one can not route; "" is none
	policy, operator *policy.Policy
}

// ErrNoPolicy says that there is no policy of that name.
var ErrNoPolicy = errors.New("no such policy")

// applyAtOnce is how many queues get new settings before others may run.
const applyAtOnce = 256

// Policies are a vhost's policies in one role, those that win first. They may not
// be changed.
func (b *Broker) Policies(vhost string, role policy.Role) ([]*policy.Policy, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	return v.policiesNow()[role].All(), nil
}

// Policy returns the policy of that name, ErrNoVHost or ErrNoPolicy.
func (b *Broker) Policy(vhost string, role policy.Role, name string) (*policy.Policy, error) {
	v := b.vhost(vhost)
	if v == nil {
		return nil, ErrNoVHost
	}
	if p := v.policiesNow()[role].Get(name); p != nil {
		return p, nil
	}
	return nil, ErrNoPolicy
}

// SetPolicy adds a policy, or replaces the one of that name, and returns when it is
// on disk and holds for all that is in the vhost. created tells which it was.
func (b *Broker) SetPolicy(vhost string, role policy.Role, p *policy.Policy) (created bool, err error) {
	err = b.changePolicies(vhost, func(t *change, set *policies) error {
		created = set[role].Get(p.Name) == nil
		set[role] = set[role].With(p)
		t.batch.Put(policyKey(vhost, role, p.Name), policyRecord(p))
		return nil
	})
	return created, err
}

// DeletePolicy removes a policy; where there is none it is ErrNoPolicy.
func (b *Broker) DeletePolicy(vhost string, role policy.Role, name string) error {
	return b.changePolicies(vhost, func(t *change, set *policies) error {
		if set[role].Get(name) == nil {
			return ErrNoPolicy
		}
		set[role] = set[role].Without(name)
		t.batch.Delete(policyKey(vhost, role, name))
		return nil
	})
}

// changePolicies replaces a vhost's policies by a copy that fn has changed, with
// what it says in the catalog.
func (b *Broker) changePolicies(vhost string, fn func(t *change, set *policies) error) error {
	if v := b.vhost(vhost); v != nil {
		return v.changePolicies(fn)
	}
	return ErrNoVHost
}

func (v *vhost) changePolicies(fn func(t *change, set *policies) error) error {
	// One change at a time: what the first one gives to objects must not come after
	// what the second one gives.
	v.policing.Lock()
	defer v.policing.Unlock()
	return v.change(func(t *change) error {
		if v.leaving { // a record written now would outlive the vhost
			return ErrNoVHost
		}
		set := *v.policies
		if err := fn(t, &set); err != nil {
			return err
		}
		if err := t.apply(); err != nil {
			return err
		}
		v.policies = &set
		queues := make([]Queue, 0, len(v.queues))
		for _, q := range v.queues {
			queues = append(queues, q)
		}
		exchanges := make([]*exchange, 0, len(v.exchanges))
		for _, x := range v.exchanges {
			exchanges = append(exchanges, x)
		}
		t.after = append(t.after, func() { v.applyPolicies(&set, exchanges, queues) })
		return nil
	})
}

// applyPolicies gives exchanges and queues the settings that they have under set.
func (v *vhost) applyPolicies(set *policies, exchanges []*exchange, queues []Queue) {
	for _, x := range exchanges {
		x.applyPolicies(set)
	}
	v.generation.Add(1) // routes remember what alternate exchanges got
	type change struct {
		queue    Queue
		old, new *settings
	}
	var last *settings // of a queue without arguments, which others have too
	for some := range slices.Chunk(queues, applyAtOnce) {
		var changes []change
		for _, q := range some {
			d := q.def()
			p, operator := set.match(queueKind(d.args), d.name)
			if old := d.settings(); old.policy != p || old.operator != operator {
				fresh := last
				if len(d.args) > 0 || last == nil || last.policy != p || last.operator != operator {
					made := makeSettings(d.args, p, operator)
					if fresh = &made; len(d.args) == 0 {
						last = fresh
					}
				}
				d.set.Store(fresh)
				changes = append(changes, change{q, old, fresh})
			}
		}
		if len(changes) == 0 {
			continue
		}
		// Routes remember whether a queue has bounds, so they are made anew before
		// what is over them is dropped.
		v.generation.Add(1)
		for _, c := range changes {
			c.queue.settingsChanged(c.old, c.new)
		}
		runtime.Gosched()
	}
}

// applyPolicies gives an exchange the settings that it has under set.
func (x *exchange) applyPolicies(set *policies) {
	s := &exchangeSettings{}
	s.policy, s.operator = set.match(policy.Exchange, x.name)
	if ae, ok := x.args.LongString("alternate-exchange"); ok {
		s.alternate = ae
	} else {
		s.alternate, _ = policy.Value("alternate-exchange", s.policy, s.operator).(string)
	}
	x.set.Store(s)
}

// settings are the exchange's now: look again for what holds later.
func (x *exchange) settings() *exchangeSettings { return x.set.Load() }

// match returns the policies that apply to an object, each of which may be nil.
func (set *policies) match(kind policy.Kind, name string) (p, operator *policy.Policy) {
	return set[policy.User].Match(kind, name), set[policy.Operator].Match(kind, name)
}

// settingsFor are those of a queue to be. vhost.mu is held.
func (v *vhost) settingsFor(name string, args amqp.Table) settings {
	p, operator := v.policies.match(queueKind(args), name)
	return makeSettings(args, p, operator)
}

func (v *vhost) policiesNow() *policies {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.policies
}

func queueKind(args amqp.Table) policy.Kind {
	switch t, _ := args.LongString("x-queue-type"); t {
	case typeQuorum:
		return policy.QuorumQueue
	case typeStream:
		return policy.Stream
	}
	return policy.ClassicQueue
}

func policyKey(vhost string, role policy.Role, name string) string {
	if role == policy.Operator {
		return catalog.Key(catalog.OperatorPolicy, vhost, name)
	}
	return catalog.Key(catalog.Policy, vhost, name)
}

func policyRecord(p *policy.Policy) []byte {
	return amqp.NewTable(
		amqp.Field{Name: "pattern", Value: amqp.LongString(p.Pattern)},
		amqp.Field{Name: "apply-to", Value: amqp.LongString(p.ApplyTo)},
		amqp.Field{Name: "priority", Value: amqp.Double(p.Priority)},
		amqp.Field{Name: "definition", Value: amqp.LongString(string(p.Definition.JSON()))},
	)
}

// loadPolicy takes a policy from the catalog, before the objects that it applies to.
func (v *vhost) loadPolicy(role policy.Role, name string, record amqp.Table) error {
	p := policy.Policy{Name: name}
	p.Pattern, _ = record.LongString("pattern")
	p.ApplyTo, _ = record.LongString("apply-to")
	if n, ok := record.Get("priority"); ok {
		p.Priority, _ = n.Float()
	}
	text, _ := record.LongString("definition")
	var err error
	if p.Definition, err = policy.ParseJSON([]byte(text)); err != nil {
		return fmt.Errorf("catalog: policy '%s' in vhost '%s' has an unreadable definition: %w", name, v.name, err)
	}
	restored, err := policy.Restore(p)
	if err != nil {
		v.b.log.Warn("policy has a pattern that is refused today: it applies to nothing", "vhost", v.name, "policy", name, "pattern", p.Pattern, "cause", err)
	}
	set := *v.policies
	set[role] = set[role].With(restored)
	v.policies = &set
	for _, x := range v.exchanges { // those that are there from the beginning
		x.applyPolicies(&set)
	}
	return nil
}
