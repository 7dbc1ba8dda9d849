package broker

import (
	"slices"
	"sync/atomic"

	"github.com/leveret-mq/leveret/broker/routing"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/wal"
)

// exchange is a routing table with a name. All fields but deleted and the counters are fixed
// once it stands in its vhost's map; the table takes care of itself.
type exchange struct {
	node
	v           *vhost
	name, kind  string
	durable     bool
	autoDelete  bool
	internal    bool
	predeclared bool
	args        amqp.Table
	set         atomic.Pointer[exchangeSettings] // replaced as a whole
	table       routing.Table[*node]
	delays      *delays // what waits; nil: it is not of the type for that
	lsn         wal.LSN // of its record
	deleted     bool    // guarded by vhost.mu
	id          uint64
	came, went  atomic.Uint64 // publishes, and queues that they went to
}

// ExchangeSpec describes an exchange to declare.
type ExchangeSpec struct {
	Name, Type                             string
	Passive, Durable, AutoDelete, Internal bool
	Args                                   amqp.Table // copied
}

// newExchange makes an exchange, or nil if there is no such type.
func (v *vhost) newExchange(spec ExchangeSpec) *exchange {
	x := &exchange{
		v: v, id: v.b.ids.Add(1), name: spec.Name, kind: spec.Type, table: routing.New[*node](routesAs(spec.Type, spec.Args), spec.Args),
		durable: spec.Durable, autoDelete: spec.AutoDelete, internal: spec.Internal,
		args: spec.Args.Clone(),
	}
	if x.table == nil {
		return nil
	}
	x.applyPolicies(new(policies))
	x.node.exchange = x
	return x
}

// DeclareExchange makes an exchange, or compares the one there is. A passive
// declaration asks only whether there is one.
func (s *Session) DeclareExchange(spec ExchangeSpec) error {
	spec.Name = cleanName(spec.Name)
	v := s.v
	if spec.Passive {
		if spec.Name == "" {
			return errDefaultExchange()
		}
		x := v.exchange(spec.Name)
		if x == nil {
			return errNoExchange(spec.Name, v.name)
		}
		return s.wait(x.lsn)
	}
	fresh := v.newExchange(spec)
	if fresh == nil {
		kind := routesAs(spec.Type, spec.Args)
		if kind == "" && spec.Type == typeDelayed {
			return errDelayedType
		}
		// RabbitMQ says "invalid" where the name happens to be an Erlang atom.
		return amqp.CommandInvalid("unknown exchange type '%s'", kind)
	}
	if spec.Name == "" {
		return errDefaultExchange()
	}
	if err := s.mayConfigure(resourceExchange, spec.Name); err != nil {
		return err
	}
	return s.change(func(t *change) error {
		if x := v.exchanges[spec.Name]; x != nil {
			t.await(x.lsn)
			if s.restores {
				return nil
			}
			return asError(x.compare(fresh))
		}
		if reserved(spec.Name) {
			return errReserved("exchange", spec.Name)
		}
		if ae, ok := spec.Args.Get("alternate-exchange"); ok && ae.Type != amqp.TypeLongString {
			return errAlternate(ae, spec.Name, v.name)
		} else if ok {
			if err := s.mayRead(resourceExchange, spec.Name); err != nil {
				return err
			}
			to, _ := spec.Args.LongString("alternate-exchange")
			if err := s.mayWrite(resourceExchange, to); err != nil {
				return err
			}
		}
		if err := t.making(); err != nil {
			return err
		}
		if err := routing.ValidateExchange(routesAs(spec.Type, spec.Args), spec.Args); err != nil {
			return err
		}
		if err := fresh.create(t); err != nil {
			return err
		}
		fresh.lsn = t.lsn
		fresh.applyPolicies(v.policies)
		v.exchanges[fresh.name] = fresh
		return nil
	})
}

// compare says in what a redeclaration differs.
func (x *exchange) compare(with *exchange) *amqp.Error {
	differs := func(key string, received, current amqp.Value) *amqp.Error {
		return amqp.Inequivalent(key, "exchange", x.name, x.v.name, received, current)
	}
	switch {
	case x.kind != with.kind:
		return differs("type", amqp.LongString(with.kind), amqp.LongString(x.kind))
	case x.durable != with.durable:
		return differs("durable", amqp.Bool(with.durable), amqp.Bool(x.durable))
	case x.autoDelete != with.autoDelete:
		return differs("auto_delete", amqp.Bool(with.autoDelete), amqp.Bool(x.autoDelete))
	case x.internal != with.internal:
		return differs("internal", amqp.Bool(with.internal), amqp.Bool(x.internal))
	}
	for _, key := range []string{"alternate-exchange", delayedType} {
		if key == delayedType && x.kind != typeDelayed {
			continue
		}
		got, _ := with.args.Get(key)
		is, _ := x.args.Get(key)
		if !amqp.Equivalent(got, is) {
			return differs(key, got, is)
		}
	}
	return nil
}

// DeleteExchange deletes an exchange with its bindings. That there is none is
// no error. ifUnused refuses while anything is bound to it.
func (s *Session) DeleteExchange(name string, ifUnused bool) error {
	name = cleanName(name)
	switch {
	case name == "":
		return errDefaultExchange()
	case reserved(name):
		return amqp.AccessRefused("deletion of system exchange '%s' in vhost '%s' not allowed", name, s.v.name)
	}
	if err := s.mayConfigure(resourceExchange, name); err != nil {
		return err
	}
	return s.change(func(t *change) error {
		x := s.v.exchanges[name]
		if x == nil {
			return t.gone()
		}
		if ifUnused && x.table.Len() > 0 {
			return amqp.PreconditionFailed("exchange '%s' in vhost '%s' in use", name, s.v.name)
		}
		t.deleteExchange(x)
		return t.apply()
	})
}

// deleteExchange takes an exchange out of the topology, with its bindings on
// both sides and the auto-delete exchanges that this leaves without any.
func (t *change) deleteExchange(x *exchange) {
	if x.deleted {
		return
	}
	x.deleted = true
	delete(t.v.exchanges, x.name)
	if d := x.delays; d != nil { // what waits there goes with it
		t.batch.DeleteQueue(d.sq)
		t.v.b.expiry.drop(&d.deadline)
	}
	if x.durable {
		t.batch.Delete(x.key())
	}
	for _, entry := range x.table.Bindings() {
		if b := entry.Destination.forget(x, entry.Key, entry.Args); b != nil && b.durable {
			t.batch.Delete(b.catalogKey())
		}
	}
	t.unbindAll(&x.node)
}

// unbindAll takes away all bindings to a destination that is being deleted.
func (t *change) unbindAll(dst *node) {
	var sources []*exchange
	for at, list := range dst.in {
		for _, b := range list {
			if b.durable {
				t.batch.Delete(b.catalogKey())
			}
		}
		if !slices.Contains(sources, at.src) {
			sources = append(sources, at.src)
		}
	}
	dst.in = nil
	for _, src := range sources {
		src.table.RemoveDestination(dst)
		t.abandoned(src)
	}
}

// abandoned deletes an auto-delete exchange whose last binding was removed.
func (t *change) abandoned(x *exchange) {
	if x.autoDelete && !x.deleted && x.table.Len() == 0 {
		t.deleteExchange(x)
	}
}
