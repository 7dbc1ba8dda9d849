package broker

import (
	"fmt"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
)

// What Open finds in the catalog about who may do what, and what a new broker is
// given.

// guest is the user of a new broker, and its password.
const guest = "guest"

// usersMade is the note that the first user was made: one that was deleted since
// does not come back.
var usersMade = catalog.Key(catalog.Once, "users")

// begin gives a new broker its vhost and its first user, and finishes deletions of
// vhosts that a crash cut short.
func (b *Broker) begin() error {
	for _, v := range b.vhosts {
		if v.leaving {
			delete(b.vhosts, v.name)
			if err := b.administrate(func(c *adminChange) error { return b.empty(c, v) }); err != nil {
				return err
			}
		}
	}
	if b.opts.Unseeded {
		return nil
	}
	return b.Seed()
}

// Seed gives a broker that has had no user yet Options.DefaultUser, and where it has no
// vhost either Options.DefaultVHost. It is for brokers that were opened with
// Options.Unseeded.
func (b *Broker) Seed() error {
	if b.hadUsers {
		return nil
	}
	b.mu.Lock()
	users, vhosts := len(b.accounts), len(b.vhosts)
	b.mu.Unlock()
	if users > 0 {
		b.hadUsers = true
		return b.administrate(func(c *adminChange) error {
			c.batch.Put(usersMade, nil)
			return c.apply()
		})
	}
	if vhosts == 0 {
		if _, err := b.PutVHost(VHost{Name: b.opts.DefaultVHost, Description: "Default virtual host"}); err != nil { // RabbitMQ's words
			return err
		}
	}
	if err := b.administrate(b.makeDefaultUser); err != nil {
		return err
	}
	b.hadUsers = true
	b.AuditLog().Append(audit.Actor{Interface: "boot"}.Event("user.created", ofUser(b.opts.DefaultUser),
		map[string]any{"tags": []string{access.Administrator}, "cause": "the broker is new"}))
	return nil
}

func (b *Broker) makeDefaultUser(c *adminChange) error {
	name, password := b.opts.DefaultUser, b.opts.DefaultPassword
	if err := checkName("user", name); err != nil {
		return err
	}
	u := &access.User{Name: name, Tags: []string{access.Administrator}}
	switch password {
	case "":
	case guest:
		u.Hash = access.HashKnown(password)
	default:
		u.Hash = access.HashPassword(password)
	}
	c.batch.Put(usersMade, nil)
	a := newAccount(u)
	b.verifier.Remember(&a.login, u.Hash, password)
	if v := b.vhost(b.opts.DefaultVHost); v != nil {
		all := access.Permissions{User: name, VHost: v.name, Configure: ".*", Write: ".*", Read: ".*"}
		rights, err := all.Compile()
		if err != nil {
			return err
		}
		c.batch.Put(accessKey(v.name, name), accessRecord(all))
		b.mu.Lock()
		v.grants[name] = &grant{all: rights}
		b.mu.Unlock()
	}
	c.batch.Put(catalog.Key(catalog.User, name), userRecord(u))
	b.mu.Lock()
	b.accounts[name] = a
	b.mu.Unlock()
	return c.apply()
}

func (b *Broker) loadUser(name string, record amqp.Table) {
	u := &access.User{Name: name, Tags: loadStrings(record, "tags"), Limits: loadLimits(record)}
	text, _ := record.LongString("hash")
	algorithm, _ := record.LongString("algorithm")
	var err error
	if u.Hash, err = access.ParseHash(text, access.Algorithm(algorithm)); err != nil {
		b.log.Warn("user has a password hash that cannot be used: nobody can log in by it", "user", name, "cause", err)
	}
	b.accounts[name] = newAccount(u)
}

func (v *vhost) load(record amqp.Table) {
	info := &VHost{Name: v.name, Tags: loadStrings(record, "tags"), Limits: loadLimits(record)}
	info.Description, _ = record.LongString("description")
	info.QueueType, _ = record.LongString("default_queue_type")
	v.leaving, _ = record.Bool("deleting")
	v.info.Store(info)
}

// grantTo is the grant of a user that a record speaks of, while Open runs.
func (v *vhost) grantTo(user string) (*grant, error) {
	if v.b.accounts[user] == nil {
		return nil, fmt.Errorf("catalog: vhost '%s' has permissions of the user '%s', who is not there", v.name, user)
	}
	g := v.grants[user]
	if g == nil {
		g = &grant{topics: map[string]*access.TopicRights{}}
		v.grants[user] = g
	}
	return g, nil
}

func (v *vhost) loadAccess(user string, record amqp.Table) error {
	g, err := v.grantTo(user)
	if err != nil {
		return err
	}
	p := access.Permissions{User: user, VHost: v.name}
	p.Configure, _ = record.LongString("configure")
	p.Write, _ = record.LongString("write")
	p.Read, _ = record.LongString("read")
	if g.all, err = p.Compile(); err != nil {
		g.all = p.Nothing()
		v.b.log.Warn("permissions cannot be used, and permit nothing", "user", user, "vhost", v.name, "cause", err)
	}
	return nil
}

func (v *vhost) loadTopics(user, exchange string, record amqp.Table) error {
	g, err := v.grantTo(user)
	if err != nil {
		return err
	}
	p := access.TopicPermissions{User: user, VHost: v.name, Exchange: exchange}
	p.Write, _ = record.LongString("write")
	p.Read, _ = record.LongString("read")
	rights, err := p.Compile()
	if err != nil {
		rights = p.Nothing()
		v.b.log.Warn("topic permissions cannot be used, and permit nothing", "user", user, "vhost", v.name, "exchange", exchange, "cause", err)
	}
	g.topics[exchange] = rights
	return nil
}

func loadStrings(record amqp.Table, field string) []string {
	list := []string{}
	values, _ := record.Array(field)
	for v := range values.All() {
		if s, ok := v.Bytes(); ok {
			list = append(list, string(s))
		}
	}
	return list
}

func loadLimits(record amqp.Table) access.Limits {
	limits := access.Limits{}
	t, _ := record.Table("limits")
	for name := range t.All() {
		if n, ok := t.Int(string(name)); ok {
			limits[string(name)] = int(n)
		}
	}
	return limits
}
