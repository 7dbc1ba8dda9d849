package broker

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/store"
)

func (v *vhost) key() string { return catalog.Key(catalog.VHost, v.name) }

func (x *exchange) key() string { return catalog.Key(catalog.Exchange, x.v.name, x.name) }

func (x *exchange) record() []byte {
	fields := []amqp.Field{
		{Name: "type", Value: amqp.LongString(x.kind)},
		{Name: "auto_delete", Value: amqp.Bool(x.autoDelete)},
		{Name: "internal", Value: amqp.Bool(x.internal)},
		{Name: "arguments", Value: amqp.Nested(x.args)},
	}
	if x.delays != nil {
		fields = append(fields, amqp.Field{Name: catalog.Delays, Value: amqp.Int64(int64(x.delays.sq.ID()))})
	}
	return amqp.NewTable(fields...)
}

func (d *queueDef) key() string { return catalog.Key(catalog.Queue, d.v.name, d.name) }

func (b *binding) catalogKey() string {
	kind, name := "q", ""
	if b.dst.queue != nil {
		name = b.dst.queue.Name()
	} else {
		kind, name = "x", b.dst.exchange.name
	}
	return catalog.Key(catalog.Binding, b.src.v.name, b.src.name, kind, name, b.key, string(b.args.Canonical(nil)))
}

func (b *binding) record() []byte {
	return amqp.NewTable(amqp.Field{Name: "arguments", Value: amqp.Nested(b.args)})
}

// load builds the durable topology from the catalog: vhosts, then what is in
// them, then what binds that together.
func (b *Broker) load() error {
	type entry struct {
		names []string
		value amqp.Table
	}
	found := map[byte][]entry{}
	err := b.store.Catalog(func(key string, value []byte) error {
		kind, names, err := catalog.Split(key)
		if err != nil {
			return err
		}
		t := amqp.Table(value) // which nobody changes
		if err := t.Validate(); err != nil {
			return fmt.Errorf("catalog record %q: %w", key, err)
		}
		found[kind] = append(found[kind], entry{names, t})
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range found[catalog.VHost] {
		v := newVHost(b, e.names[0])
		v.load(e.value)
		b.vhosts[v.name] = v
	}
	lookup := func(name string) (*vhost, error) {
		if v := b.vhosts[name]; v != nil {
			return v, nil
		}
		return nil, fmt.Errorf("catalog: there is no vhost '%s'", name)
	}
	for role, kind := range map[policy.Role]byte{policy.User: catalog.Policy, policy.Operator: catalog.OperatorPolicy} {
		for _, e := range found[kind] {
			v, err := lookup(e.names[0])
			if err != nil {
				return err
			}
			if err := v.loadPolicy(role, e.names[1], e.value); err != nil {
				return err
			}
		}
	}
	known := make(map[uint32]bool, len(found[catalog.Queue]))
	for _, e := range found[catalog.Exchange] {
		v, err := lookup(e.names[0])
		if err != nil {
			return err
		}
		kind, _ := e.value.LongString("type")
		spec := ExchangeSpec{Name: e.names[1], Type: kind, Durable: true}
		spec.AutoDelete, _ = e.value.Bool("auto_delete")
		spec.Internal, _ = e.value.Bool("internal")
		spec.Args, _ = e.value.Table("arguments")
		x := v.newExchange(spec)
		if x == nil {
			return fmt.Errorf("catalog: exchange '%s' in vhost '%s' has the unknown type '%s'", spec.Name, v.name, kind)
		}
		if !x.loadDelays(e.value, known) {
			return fmt.Errorf("catalog: the queue of what waits in the exchange '%s' in vhost '%s' is not in the store", spec.Name, v.name)
		}
		x.applyPolicies(v.policies)
		v.exchanges[x.name] = x
	}
	if len(b.vhosts) == 1 {
		for _, v := range b.vhosts {
			v.queues = make(map[string]Queue, len(found[catalog.Queue]))
		}
	}
	for _, e := range found[catalog.Queue] {
		v, err := lookup(e.names[0])
		if err != nil {
			return err
		}
		if err := v.loadQueue(e.names[1], e.value, known); err != nil {
			return err
		}
	}
	for _, e := range found[catalog.Binding] {
		v, err := lookup(e.names[0])
		if err != nil {
			return err
		}
		if err := v.loadBinding(e.names[1:], e.value); err != nil {
			return err
		}
	}
	for _, e := range found[catalog.User] {
		b.loadUser(e.names[0], e.value)
	}
	for _, e := range found[catalog.Access] {
		v, err := lookup(e.names[0])
		if err == nil {
			err = v.loadAccess(e.names[1], e.value)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range found[catalog.Topics] {
		v, err := lookup(e.names[0])
		if err == nil {
			err = v.loadTopics(e.names[1], e.names[2], e.value)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range found[catalog.Parameter] {
		v, err := lookup(e.names[0])
		if err != nil {
			return err
		}
		if v.parameters == nil {
			v.parameters = map[parameterName]json.RawMessage{}
		}
		v.parameters[parameterName{e.names[1], e.names[2]}] = loadParameter(e.value)
	}
	for _, e := range found[catalog.Global] {
		b.globals[e.names[0]] = loadParameter(e.value)
	}
	b.hadUsers = len(found[catalog.User]) > 0 || len(found[catalog.Once]) > 0
	return b.dropOrphans(known)
}

func (v *vhost) loadQueue(name string, record amqp.Table, known map[uint32]bool) error {
	ids, ok := catalog.QueueIDs(record)
	if !ok {
		return fmt.Errorf("catalog: queue '%s' in vhost '%s' names no number of the store", name, v.name)
	}
	var by []*store.Queue
	for _, lane := range ids {
		sq := v.b.store.Queue(lane.ID)
		if sq == nil {
			return fmt.Errorf("catalog: queue '%s' in vhost '%s' has the number %d, which the store lacks", name, v.name, lane.ID)
		}
		known[lane.ID] = true
		by = slices.Grow(by, int(lane.Priority)+1)[:int(lane.Priority)+1]
		by[lane.Priority] = sq
	}
	spec := QueueSpec{Name: name, Durable: true}
	spec.AutoDelete, _ = record.Bool("auto_delete")
	spec.Args, _ = record.Table("arguments")
	// What was accepted once stays: a rule that has become stricter since must
	// not keep the broker from starting.
	if bad := checkArguments(spec.Args, name, v.name); bad != nil {
		v.b.log.Warn("queue has arguments that are refused today", "vhost", v.name, "queue", name, "cause", bad.Text)
	}
	set := v.settingsFor(name, spec.Args)
	q := v.newQueue(spec, set, nil)
	var more *laneSet
	if len(ids) > 1 {
		by = append(by, make([]*store.Queue, max(set.maxPriority+1-len(by), 0))...)
		more = newLaneSet(by, new(store.Shared))
	}
	q.open(by[0], more)
	v.add(q)
	if set.expires > 0 {
		v.b.expiry.watch(q)
	}
	return nil
}

func (v *vhost) loadBinding(names []string, record amqp.Table) error {
	src := v.exchanges[names[0]]
	var dst *node
	if names[1] == "q" {
		if q := v.queues[names[2]]; q != nil {
			dst = &q.def().node
		}
	} else if x := v.exchanges[names[2]]; x != nil {
		dst = &x.node
	}
	if src == nil || src.table == nil || dst == nil {
		return fmt.Errorf("catalog: in vhost '%s' one end of the binding '%s' → '%s' is missing", v.name, names[0], names[2])
	}
	args, _ := record.Table("arguments")
	b := &binding{src: src, dst: dst, key: names[3], args: args, durable: true}
	if src.table.Add(dst, b.key, args) {
		dst.remember(b)
	}
	return nil
}

// dropOrphans deletes durable queues of the store that the catalog does not
// name. Both are written as one, so that there should be none.
func (b *Broker) dropOrphans(known map[uint32]bool) error {
	batch := b.store.NewBatch()
	b.store.Queues(func(q *store.Queue) bool {
		if !known[q.ID()] {
			b.log.Warn("deleting a queue of the store that no catalog entry names", "id", q.ID())
			batch.DeleteQueue(q)
		}
		return true
	})
	return b.applyNow(batch)
}
