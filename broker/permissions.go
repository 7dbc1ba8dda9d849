package broker

import (
	"cmp"
	"slices"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
)

// grant is what a user may do in a vhost. It never changes: a new one takes its
// place, in the vhost and in the sessions concerned. So a pointer to one is all that
// a cache of answers need remember.
type grant struct {
	all    *access.Rights // nil: not even to connect
	topics map[string]*access.TopicRights
}

// rights are those of a grant that may be nil.
func (g *grant) rights() *access.Rights {
	if g == nil {
		return nil
	}
	return g.all
}

// may tells whether a queue or an exchange may be used so.
func (g *grant) may(p access.Permission, name string) bool {
	r := g.rights()
	return r != nil && r.May(p, name)
}

// topic returns what is said of an exchange's routing keys, nil where they are
// free.
func (g *grant) topic(x *exchange) *access.TopicRights {
	if g == nil || x.kind != "topic" {
		return nil
	}
	return g.topics[x.name]
}

// Resources, as RabbitMQ calls them in its refusals.
const (
	resourceQueue    = "queue"
	resourceExchange = "exchange"
)

func errAccess(resource, name, vhost, user string) *amqp.Error {
	if name == "" {
		name = "amq.default"
	}
	return amqp.AccessRefused("access to %s '%s' in vhost '%s' refused for user '%s'", resource, name, vhost, user)
}

func (s *Session) may(p access.Permission, resource, name string) error {
	if s.grant.Load().may(p, name) {
		return nil
	}
	return errAccess(resource, name, s.v.name, s.user.Name)
}

// mayConfigure refuses to declare and delete where the user may not. It is called
// before the object is looked up, so that a refusal does not tell whether it is
// there.
func (s *Session) mayConfigure(resource, name string) error {
	return s.may(access.Configure, resource, name)
}

// mayWrite refuses to publish to an exchange, and to bind a destination.
func (s *Session) mayWrite(resource, name string) error { return s.may(access.Write, resource, name) }

// mayRead refuses to take from a queue, and to bind to an exchange.
func (s *Session) mayRead(resource, name string) error { return s.may(access.Read, resource, name) }

// mayUseTopic refuses a routing key: access.Write to publish with it, access.Read
// to bind with it.
func (s *Session) mayUseTopic(p access.Permission, x *exchange, key string) error {
	if t := s.grant.Load().topic(x); t != nil && !t.May(p, key) {
		return amqp.AccessRefused("access to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'", key, x.name, s.v.name, s.user.Name)
	}
	return nil
}

// mayPublish is mayUseTopic for publishing; it costs nothing where nothing is said
// of the exchange's routing keys.
func (b *Batch) mayPublish(x *exchange, key []byte) error {
	if b.s.grant.Load().topic(x) == nil {
		return nil
	}
	return b.s.mayUseTopic(access.Write, x, string(key))
}

// writes remembers which exchanges may be published to, for messages that do not
// go by the cache of routes. It holds for one grant.
type writes struct {
	of   *grant
	last *exchange
	all  map[*exchange]struct{}
}

// maxWrites bounds the exchanges remembered: some may be gone.
const maxWrites = 256

func (w *writes) has(g *grant, x *exchange) bool {
	if w.of != g || x == nil {
		return false
	}
	if w.last == x {
		return true
	}
	if _, ok := w.all[x]; !ok {
		return false
	}
	w.last = x
	return true
}

func (w *writes) add(g *grant, x *exchange) {
	if w.of != g || len(w.all) >= maxWrites || w.all == nil {
		w.of, w.all = g, map[*exchange]struct{}{}
	}
	w.last = x
	w.all[x] = struct{}{}
}

// Permissions are all that there are, by vhost and user.
func (b *Broker) Permissions() []access.Permissions {
	var list []access.Permissions
	b.eachGrant(func(g *grant) {
		if g.all != nil {
			list = append(list, g.all.Permissions())
		}
	})
	slices.SortFunc(list, func(x, y access.Permissions) int {
		return cmp.Or(cmp.Compare(x.VHost, y.VHost), cmp.Compare(x.User, y.User))
	})
	return list
}

// TopicPermissions are all that there are, by vhost, user and exchange.
func (b *Broker) TopicPermissions() []access.TopicPermissions {
	var list []access.TopicPermissions
	b.eachGrant(func(g *grant) {
		for _, t := range g.topics {
			list = append(list, t.TopicPermissions())
		}
	})
	slices.SortFunc(list, func(x, y access.TopicPermissions) int {
		return cmp.Or(cmp.Compare(x.VHost, y.VHost), cmp.Compare(x.User, y.User), cmp.Compare(x.Exchange, y.Exchange))
	})
	return list
}

func (b *Broker) eachGrant(fn func(g *grant)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.vhosts {
		for _, g := range v.grants {
			fn(g)
		}
	}
}

// SetPermissions says what a user may do in a vhost, from now on and for
// connections that are there too. created tells that nothing was said before. Errors
// are ErrNoUser, ErrNoVHost and *access.PatternError.
func (b *Broker) SetPermissions(p access.Permissions) (created bool, err error) {
	rights, err := p.Compile()
	if err != nil {
		return false, err
	}
	err = b.changeGrant(p.VHost, p.User, func(g *grant, c *adminChange) error {
		created = g.all == nil
		g.all = rights
		c.batch.Put(accessKey(p.VHost, p.User), accessRecord(p))
		return nil
	})
	return created, err
}

// ClearPermissions takes a user's permissions in a vhost away. Connections that
// are there stay and may do nothing. Where there are none it is ErrNoPermissions.
func (b *Broker) ClearPermissions(vhost, user string) error {
	return b.changeGrant(vhost, user, func(g *grant, c *adminChange) error {
		if g.all == nil {
			return ErrNoPermissions
		}
		g.all = nil
		c.batch.Delete(accessKey(vhost, user))
		return nil
	})
}

// SetTopicPermissions says which routing keys a user may use with an exchange of
// type topic, which need not exist. Errors are those of SetPermissions.
func (b *Broker) SetTopicPermissions(p access.TopicPermissions) (created bool, err error) {
	rights, err := p.Compile()
	if err != nil {
		return false, err
	}
	err = b.changeGrant(p.VHost, p.User, func(g *grant, c *adminChange) error {
		created = g.topics[p.Exchange] == nil
		g.topics[p.Exchange] = rights
		c.batch.Put(topicsKey(p.VHost, p.User, p.Exchange), topicsRecord(p))
		return nil
	})
	return created, err
}

// ClearTopicPermissions frees a user's routing keys of the exchanges named, or of
// all. Where there is nothing to take away it is ErrNoPermissions.
func (b *Broker) ClearTopicPermissions(vhost, user string, exchanges ...string) error {
	return b.changeGrant(vhost, user, func(g *grant, c *adminChange) error {
		found := false
		for x := range g.topics {
			if len(exchanges) == 0 || slices.Contains(exchanges, x) {
				delete(g.topics, x)
				c.batch.Delete(topicsKey(vhost, user, x))
				found = true
			}
		}
		if !found {
			return ErrNoPermissions
		}
		return nil
	})
}

// changeGrant gives a user in a vhost a new grant, which fn makes of a copy of the
// one there is.
func (b *Broker) changeGrant(vhost, user string, fn func(g *grant, c *adminChange) error) error {
	return b.administrate(func(c *adminChange) error {
		v := b.vhost(vhost)
		switch {
		case v == nil:
			return ErrNoVHost
		case b.account(user) == nil:
			return ErrNoUser
		}
		g := b.copyGrant(v, user)
		if err := fn(g, c); err != nil {
			return err
		}
		if err := c.apply(); err != nil {
			return err
		}
		b.install(v, user, g)
		return nil
	})
}

func (b *Broker) copyGrant(v *vhost, user string) *grant {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := &grant{all: v.grants[user].rights(), topics: map[string]*access.TopicRights{}}
	if old := v.grants[user]; old != nil {
		for x, t := range old.topics {
			g.topics[x] = t
		}
	}
	return g
}

// install makes a grant the one that holds. What batches know of routes is
// forgotten after, so that the next publish asks it.
func (b *Broker) install(v *vhost, user string, g *grant) {
	b.mu.Lock()
	if g.all == nil && len(g.topics) == 0 {
		delete(v.grants, user)
	} else {
		v.grants[user] = g
	}
	for s := range v.sessions {
		if s.user.Name == user {
			s.grant.Store(g)
		}
	}
	b.mu.Unlock()
	v.generation.Add(1)
}

func accessKey(vhost, user string) string { return catalog.Key(catalog.Access, vhost, user) }

func topicsKey(vhost, user, exchange string) string {
	return catalog.Key(catalog.Topics, vhost, user, exchange)
}

func accessRecord(p access.Permissions) []byte {
	return amqp.NewTable(
		amqp.Field{Name: "configure", Value: amqp.LongString(p.Configure)},
		amqp.Field{Name: "write", Value: amqp.LongString(p.Write)},
		amqp.Field{Name: "read", Value: amqp.LongString(p.Read)},
	)
}

func topicsRecord(p access.TopicPermissions) []byte {
	return amqp.NewTable(
		amqp.Field{Name: "write", Value: amqp.LongString(p.Write)},
		amqp.Field{Name: "read", Value: amqp.LongString(p.Read)},
	)
}
