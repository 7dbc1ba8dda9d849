package broker

import (
	"slices"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker/routing"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/wal"
)

// node is a place where messages can be routed to: a queue or an exchange. Its
// address is what routing tables hold.
type node struct {
	queue    Queue // nil for an exchange
	exchange *exchange
	// in are the bindings to this node, so that its deletion need not search
	// the tables. Guarded by vhost.mu.
	in map[bindingSite][]*binding
}

// RoutingName implements routing.Named.
func (n *node) RoutingName() string {
	if n.queue != nil {
		return "q" + n.queue.Name()
	}
	return "x" + n.exchange.name
}

// bindingSite is where bindings to one node differ in their arguments only.
type bindingSite struct {
	src *exchange
	key string
}

// binding is one entry in a node's book. It never changes.
type binding struct {
	src     *exchange
	dst     *node
	key     string
	args    amqp.Table
	durable bool
	lsn     wal.LSN // of its record
}

// find looks a binding up. The routing tables judge by the same rule whether
// two bindings are one: by the equivalence of their arguments.
func (n *node) find(src *exchange, key string, args amqp.Table) *binding {
	for _, b := range n.in[bindingSite{src, key}] {
		if b.args.Equivalent(args) {
			return b
		}
	}
	return nil
}

func (n *node) remember(b *binding) {
	if n.in == nil {
		n.in = map[bindingSite][]*binding{}
	}
	at := bindingSite{b.src, b.key}
	n.in[at] = append(n.in[at], b)
}

// forget removes a binding from the book and returns it.
func (n *node) forget(src *exchange, key string, args amqp.Table) *binding {
	b := n.find(src, key, args)
	if b == nil {
		return nil
	}
	at := bindingSite{src, key}
	list := n.in[at]
	if len(list) == 1 {
		delete(n.in, at)
		return b
	}
	n.in[at] = slices.DeleteFunc(slices.Clone(list), func(other *binding) bool { return other == b })
	return b
}

// BindQueue binds a queue to an exchange. Binding again is no error.
func (s *Session) BindQueue(queue, exchange, key string, args amqp.Table) error {
	queue = cleanName(queue)
	if err := s.mayWrite(resourceQueue, queue); err != nil {
		return err
	}
	return s.bind(exchange, key, args, func() (*node, bool, error) { return s.queueNode(queue) })
}

// BindExchange binds the exchange dst to src.
func (s *Session) BindExchange(dst, src, key string, args amqp.Table) error {
	dst = cleanName(dst)
	if err := s.mayWrite(resourceExchange, dst); err != nil {
		return err
	}
	if dst == "" {
		return errDefaultExchange()
	}
	return s.bind(src, key, args, func() (*node, bool, error) { return s.exchangeNode(dst) })
}

// UnbindQueue removes a binding. That there is none, or that the queue or the
// exchange is missing, is no error.
func (s *Session) UnbindQueue(queue, exchange, key string, args amqp.Table) error {
	queue = cleanName(queue)
	if err := s.mayWrite(resourceQueue, queue); err != nil {
		return err
	}
	return s.unbind(exchange, key, args, func() *node {
		if q := s.v.queues[queue]; q != nil {
			return &q.def().node
		}
		return nil
	})
}

// UnbindExchange is UnbindQueue for a destination that is an exchange.
func (s *Session) UnbindExchange(dst, src, key string, args amqp.Table) error {
	dst = cleanName(dst)
	if err := s.mayWrite(resourceExchange, dst); err != nil {
		return err
	}
	if dst == "" {
		return errDefaultExchange()
	}
	return s.unbind(src, key, args, func() *node {
		if x := s.v.exchanges[dst]; x != nil {
			return &x.node
		}
		return nil
	})
}

// queueNode finds a queue as a destination. vhost.mu is held.
func (s *Session) queueNode(name string) (n *node, durable bool, err error) {
	q := s.v.queues[name]
	if q == nil {
		return nil, false, errNoQueue(name, s.v.name)
	}
	d := q.def()
	if err := s.mayUse(d); err != nil {
		return nil, false, err
	}
	return &d.node, d.durable, nil
}

func (s *Session) exchangeNode(name string) (n *node, durable bool, err error) {
	x := s.v.exchanges[name]
	if x == nil {
		return nil, false, errNoExchange(name, s.v.name)
	}
	return &x.node, x.durable, nil
}

// mayBindTo refuses a source that the user may not read, or not with that key.
func (s *Session) mayBindTo(source, key string) error {
	if source == "" {
		return errDefaultExchange()
	}
	if err := s.mayRead(resourceExchange, source); err != nil {
		return err
	}
	if x := s.v.exchange(source); x != nil {
		return s.mayUseTopic(access.Read, x, key)
	}
	return nil
}

func (s *Session) bind(source, key string, args amqp.Table, find func() (*node, bool, error)) error {
	source = cleanName(source)
	if err := s.mayBindTo(source, key); err != nil {
		return err
	}
	v := s.v
	return s.change(func(t *change) error {
		src := v.exchanges[source]
		if src == nil {
			return errNoExchange(source, v.name)
		}
		dst, durable, err := find()
		if err != nil {
			return err
		}
		if err := routing.ValidateBinding(routesAs(src.kind, src.args), key, args); err != nil {
			return err
		}
		if b := dst.find(src, key, args); b != nil {
			t.await(b.lsn)
			return nil
		}
		b := &binding{src: src, dst: dst, key: key, args: args.Clone(), durable: src.durable && durable}
		if b.durable {
			t.batch.Put(b.catalogKey(), b.record())
		}
		if err := t.apply(); err != nil {
			return err
		}
		b.lsn = t.lsn
		src.table.Add(dst, key, b.args)
		dst.remember(b)
		return nil
	})
}

func (s *Session) unbind(source, key string, args amqp.Table, find func() *node) error {
	source = cleanName(source)
	if err := s.mayBindTo(source, key); err != nil {
		return err
	}
	v := s.v
	return s.change(func(t *change) error {
		src, dst := v.exchanges[source], find()
		if src == nil || dst == nil || dst.find(src, key, args) == nil {
			return t.gone()
		}
		if dst.queue != nil {
			if err := s.mayUse(dst.queue.def()); err != nil {
				return err
			}
		}
		b := dst.forget(src, key, args)
		src.table.Remove(dst, key, args)
		if b.durable {
			t.batch.Delete(b.catalogKey())
		}
		t.abandoned(src)
		return t.apply()
	})
}
