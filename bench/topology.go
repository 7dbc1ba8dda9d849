package bench

import (
	"fmt"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// plan is what a run declares, and who uses what.
type plan struct {
	exchange, kind  string
	declareExchange bool
	durable         bool // the exchange
	queues          []boundQueue
	args            amqp.Table
	publish         []route    // of producers, in turn
	consume         [][]string // of receivers, in turn; nil: a queue of its own
	copies          int        // queues that a message gets into
	lone            bool       // each queue has but one consumer
	own             string     // the key that receivers' own queues are bound with
	routes          *routes    // many bindings instead of the queues' own
}

type boundQueue struct{ name, key string }

type route struct{ exchange, key string }

// newPlan lays a run out.
func newPlan(c *Config) (*plan, error) {
	args, err := ParseArguments(c.QueueArgs)
	if err != nil {
		return nil, err
	}
	if c.QueueType != "" {
		args = args.With("x-queue-type", amqp.LongString(c.QueueType))
	}
	p := &plan{args: args, copies: 1}
	if c.Scenario == Load {
		p.load(c)
		return p, nil
	}
	for i := range c.Queues {
		name := c.Queue
		if c.Queues > 1 {
			name = fmt.Sprintf("%s-%d", c.Queue, i)
		}
		p.queues = append(p.queues, boundQueue{name, ""})
		p.consume = append(p.consume, []string{name})
		p.publish = append(p.publish, route{"", name})
	}
	if c.Scenario == Fanout {
		p.exchange, p.kind, p.declareExchange, p.durable = c.Queue, "fanout", true, true
		p.publish = []route{{c.Queue, p.queues[0].name}}
		p.copies = c.Queues
	}
	if c.routed() {
		r := newRoutes(c)
		p.routes, p.exchange, p.kind, p.declareExchange, p.durable = &r, c.Queue, c.Scenario, true, true
		p.publish = []route{{c.Queue, ""}}
		p.copies = c.Queues
	}
	p.lone = c.receivers() <= c.Queues
	return p, nil
}

// load is the plan of the scenario that is what it is told.
func (p *plan) load(c *Config) {
	t := &c.Topology
	p.exchange, p.kind = t.Exchange, t.Type
	p.declareExchange = t.Exchange != "" && !strings.HasPrefix(t.Exchange, "amq.")
	p.own = t.RoutingKey
	for _, q := range t.Queues {
		key := t.RoutingKey
		if t.Spread {
			key = q
			p.publish = append(p.publish, route{t.Exchange, q})
			p.consume = append(p.consume, []string{q})
		}
		p.queues = append(p.queues, boundQueue{q, key})
	}
	switch {
	case t.Spread:
		p.lone = c.receivers() <= len(t.Queues)
	case len(t.Queues) == 0:
		p.publish = []route{{t.Exchange, t.RoutingKey}}
		p.consume = [][]string{nil}
		p.copies = c.receivers()
		p.lone = true
	default:
		p.publish = []route{{t.Exchange, t.RoutingKey}}
		p.consume = [][]string{t.Queues}
		p.copies = len(t.Queues)
		p.lone = c.receivers() == 1
		if t.Exchange == "" { // the key is a queue's name
			p.copies = 1
		}
	}
}

// declare makes what is not there.
func (p *plan) declare(r *run, c *client) error {
	t := &r.cfg.Topology
	durable := r.cfg.Scenario != Load || t.Durable
	if p.declareExchange {
		there := false
		if t.Predeclared {
			var err error
			if there, err = r.exists(&wire.ExchangeDeclare{Exchange: p.exchange, Passive: true}); err != nil {
				return err
			}
		}
		if !there {
			if _, err := call[*wire.ExchangeDeclareOk](c, &wire.ExchangeDeclare{Exchange: p.exchange, Type: p.kind, Durable: p.durable}); err != nil {
				return err
			}
		}
	}
	for _, q := range p.queues {
		there := false
		if t.Predeclared {
			var err error
			if there, err = r.exists(&wire.QueueDeclare{Queue: q.name, Passive: true}); err != nil {
				return err
			}
		}
		if !there {
			m := &wire.QueueDeclare{Queue: q.name, Durable: durable, AutoDelete: t.AutoDelete, Exclusive: t.Exclusive, Arguments: p.args}
			if _, err := call[*wire.QueueDeclareOk](c, m); err != nil {
				return err
			}
		}
		if err := p.bind(c, t, q); err != nil {
			return err
		}
	}
	if p.routes == nil {
		return nil
	}
	return p.routes.bind(c, p)
}

func (p *plan) bind(c *client, t *Topology, q boundQueue) error {
	if p.exchange == "" || t.SkipBinding || p.routes != nil {
		return nil
	}
	_, err := call[*wire.QueueBindOk](c, &wire.QueueBind{Queue: q.name, Exchange: p.exchange, RoutingKey: q.key})
	return err
}

// declareOwn makes a queue for a connection's consumers alone, and is its name.
func (p *plan) declareOwn(cfg *Config, c *client) (string, error) {
	t := &cfg.Topology
	ok, err := call[*wire.QueueDeclareOk](c, &wire.QueueDeclare{Durable: t.Durable, AutoDelete: t.AutoDelete, Exclusive: t.Exclusive, Arguments: p.args})
	if err != nil {
		return "", err
	}
	return ok.Queue, p.bind(c, t, boundQueue{ok.Queue, p.own})
}

// exists asks with a passive declare, on a connection of its own since the answer no
// closes the channel.
func (r *run) exists(m wire.Method) (bool, error) {
	c, err := r.dial()
	if err != nil {
		return false, err
	}
	defer c.close()
	if err := c.send(channel, m); err != nil {
		return false, err
	}
	for {
		f, err := c.in.next(c.frameMax)
		if err != nil {
			return false, err
		}
		if f.Type != wire.FrameMethod {
			continue
		}
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return false, err
		}
		switch m := m.(type) {
		case *wire.ExchangeDeclareOk, *wire.QueueDeclareOk:
			return true, nil
		case *wire.ChannelClose:
			if m.ReplyCode == amqp.CodeNotFound {
				return false, nil
			}
		}
		return false, unexpected(m)
	}
}

// unused is an error where somebody has a queue or an exchange of the plan's names
// already, which remove would delete.
func (p *plan) unused(r *run) error {
	names := []wire.Method{}
	if p.declareExchange {
		names = append(names, &wire.ExchangeDeclare{Exchange: p.exchange, Passive: true})
	}
	for _, q := range p.queues {
		names = append(names, &wire.QueueDeclare{Queue: q.name, Passive: true})
	}
	for _, m := range names {
		there, err := r.exists(m)
		if err != nil {
			return err
		}
		if there {
			return fmt.Errorf("%s is there already, and would be deleted after the run: take another name (-u), or use what is there (--keep)", describe(m))
		}
	}
	return nil
}

func describe(m wire.Method) string {
	if x, ok := m.(*wire.ExchangeDeclare); ok {
		return "exchange " + x.Exchange
	}
	return "queue " + m.(*wire.QueueDeclare).Queue
}

// remove deletes what declare makes.
func (p *plan) remove(c *client) error {
	for _, q := range p.queues {
		if _, err := call[*wire.QueueDeleteOk](c, &wire.QueueDelete{Queue: q.name}); err != nil {
			return err
		}
	}
	if p.declareExchange {
		if _, err := call[*wire.ExchangeDeleteOk](c, &wire.ExchangeDelete{Exchange: p.exchange}); err != nil {
			return err
		}
	}
	return nil
}
