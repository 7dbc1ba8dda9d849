package bench

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// routes are the bindings of an exchange that has many, and the routing keys that
// are published: in groups, of which a key belongs to one. All bindings of a key's
// group match it where the exchange is a topic one; of a direct one that of each
// queue which is the key itself.
type routes struct {
	kind   string
	groups int // of bindings; a message matches those of one
	each   int // bindings in a group, which the queues share in turn
	queues int
}

func newRoutes(c *Config) routes {
	r := routes{kind: c.Scenario, queues: c.Queues}
	r.each = int(float64(c.Bindings)*c.Match/100 + 0.5)
	r.groups = c.Bindings / max(1, r.each)
	return r
}

// direct is how many keys a direct exchange's bindings are for.
func (r routes) direct() int { return r.groups * (r.each / max(1, r.queues)) }

func (r routes) validate(c *Config) error {
	switch {
	case c.Bindings < 1 || c.Bindings > 1_000_000 || c.Match <= 0 || c.Match > 100:
		return fmt.Errorf("%d bindings, %v %% of which match: want 1 to 1,000,000, and more than none", c.Bindings, c.Match)
	case r.queues > r.each:
		return fmt.Errorf("%d bindings match a message: not one for each of %d queues", r.each, r.queues)
	case r.kind == Direct && c.Keys > r.direct():
		return fmt.Errorf("%d routing keys are more than there are bindings of a queue (%d)", c.Keys, r.direct())
	case c.Keys < 1 || c.Keys*(c.Size+routeBytes)*max(1, c.Producers)*max(1, c.ProducerChannels) > rowBytes:
		return errors.New("routing keys: their messages take too much memory, or there are none")
	}
	return nil
}

// routeBytes is more than a publish takes besides its body.
const routeBytes = 200

// key is the n-th routing key: its group's number, words that the patterns tell
// apart, and a last word that makes it the only one.
func (r routes) key(n int) string {
	b := fmt.Appendf(nil, "g%06d", n%r.groups)
	for i := range r.words() {
		b = append(b, '.', "abcdefghijklmnopqrstuvwxyz"[i])
	}
	return string(fmt.Appendf(b, ".%07d", n/r.groups))
}

// words is how many words of a pattern are either the key's or a star, so that there
// are patterns enough for a group.
func (r routes) words() int { return bits.Len(uint(r.each - 1)) }

// pattern is the j-th that matches all keys of a group.
func (r routes) pattern(group, j int) string {
	b := fmt.Appendf(nil, "g%06d", group)
	for i := range r.words() {
		b = append(b, '.')
		if j>>i&1 == 0 {
			b = append(b, '*')
		} else {
			b = append(b, "abcdefghijklmnopqrstuvwxyz"[i])
		}
	}
	if j%2 == 0 {
		return string(append(b, ".*"...))
	}
	return string(append(b, ".#"...))
}

// binding is the i-th of all, to a queue by its number.
func (r routes) binding(i int) (queue int, key string) {
	group, j := i%r.groups, i/r.groups
	if r.kind == Direct {
		return j % r.queues, r.key(group + r.groups*(j/r.queues))
	}
	return j % r.queues, r.pattern(group, j)
}

// bind makes the bindings.
func (r routes) bind(c *client, p *plan) error {
	total := r.groups * r.each
	for first := 0; first < total; {
		n := min(declareAhead, total-first)
		c.out = c.out[:0]
		for i := first; i < first+n; i++ {
			queue, key := r.binding(i)
			c.out = wire.AppendMethod(c.out, channel, &wire.QueueBind{Queue: p.queues[queue].name, Exchange: p.exchange, RoutingKey: key})
		}
		if _, err := c.nc.Write(c.out); err != nil {
			return err
		}
		for range n {
			if _, err := expect[*wire.QueueBindOk](c); err != nil {
				return err
			}
		}
		first += n
	}
	return nil
}

// keys are the routing keys of a publisher's messages, in turn.
type keys struct {
	routes routes
	n, i   int
	only   []byte
}

func newKeys(cfg *Config, only string) keys {
	k := keys{n: 1, only: []byte(only)}
	if cfg.routed() {
		k.routes, k.n = newRoutes(cfg), cfg.Keys
	}
	return k
}

func (k *keys) next() []byte {
	if k.routes.kind == "" {
		return k.only
	}
	key := k.routes.key(k.i)
	k.i = (k.i + 1) % k.n
	return []byte(key)
}
