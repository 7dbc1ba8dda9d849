package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Errors of who administrates.
var (
	ErrNoUser        = errors.New("no such user")
	ErrNoVHost       = errors.New("no such vhost")
	ErrNoPermissions = errors.New("no such permissions")
)

// adminChange is a change of users, permissions or vhosts in the making. One is
// made at a time (Broker.admin), and all its records reach the store as one batch.
type adminChange struct {
	b     *Broker
	batch *store.Batch
	lsn   wal.LSN
}

// administrate runs fn and then waits until what it applied is on disk. Others may
// see the change a moment before.
func (b *Broker) administrate(fn func(c *adminChange) error) error {
	c := &adminChange{b: b, batch: b.store.NewBatch()}
	b.admin.Lock()
	err := fn(c)
	b.admin.Unlock()
	if err != nil {
		return err
	}
	return b.wait(c.lsn)
}

// apply makes the records gathered so far happen.
func (c *adminChange) apply() error {
	if c.batch.Len() == 0 {
		return nil
	}
	lsn, err := c.b.store.Apply(c.batch, wal.Lazy, nil)
	c.lsn = max(c.lsn, lsn)
	c.batch.Reset()
	if err != nil {
		return errStore(err)
	}
	return nil
}

// checkName refuses what AMQP could not carry as a user's or vhost's name.
func checkName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a %s's name cannot be empty", kind)
	case len(name) > 255:
		return fmt.Errorf("a %s's name cannot be longer than 255 bytes", kind)
	case !utf8.ValidString(name):
		return fmt.Errorf("a %s's name must be UTF-8", kind)
	}
	return nil
}

// Users are all users, by name. What they point to must not be changed.
func (b *Broker) Users() []access.User {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]access.User, 0, len(b.accounts))
	for _, a := range b.accounts {
		list = append(list, *a.record.Load())
	}
	slices.SortFunc(list, func(x, y access.User) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// User returns one user, or ErrNoUser.
func (b *Broker) User(name string) (access.User, error) {
	a := b.account(name)
	if a == nil {
		return access.User{}, ErrNoUser
	}
	return *a.record.Load(), nil
}

// PutUser makes a user, or gives the one there is another hash and other tags: its
// limits stay, and u's are not looked at. Connections that are there stay too; what
// the tags permit changes for them. created tells which it was.
func (b *Broker) PutUser(u access.User) (created bool, err error) {
	if err := checkName("user", u.Name); err != nil {
		return false, err
	}
	u.Tags = slices.Clone(u.Tags)
	err = b.administrate(func(c *adminChange) error {
		a := b.account(u.Name)
		created = a == nil
		u.Limits = nil
		if a != nil {
			u.Limits = a.record.Load().Limits
		}
		return b.saveUser(c, a, &u)
	})
	return created, err
}

// saveUser writes a user's record, whose account is nil for a new one.
func (b *Broker) saveUser(c *adminChange, a *account, u *access.User) error {
	c.batch.Put(catalog.Key(catalog.User, u.Name), userRecord(u))
	if err := c.apply(); err != nil {
		return err
	}
	if a != nil {
		a.record.Store(u)
		return nil
	}
	b.mu.Lock()
	b.accounts[u.Name] = newAccount(u)
	b.mu.Unlock()
	return nil
}

// SetUserLimit sets a limit of a user; a negative one is none. Connections and
// channels over it stay.
func (b *Broker) SetUserLimit(user, limit string, value int) error {
	if err := access.CheckUserLimit(limit); err != nil {
		return err
	}
	return b.changeUser(user, func(u *access.User) { u.Limits[limit] = value })
}

// ClearUserLimit takes a limit of a user away.
func (b *Broker) ClearUserLimit(user, limit string) error {
	return b.changeUser(user, func(u *access.User) { delete(u.Limits, limit) })
}

// changeUser replaces a user's record by a copy that fn has changed.
func (b *Broker) changeUser(name string, fn func(u *access.User)) error {
	return b.administrate(func(c *adminChange) error {
		a := b.account(name)
		if a == nil {
			return ErrNoUser
		}
		u := *a.record.Load()
		u.Limits = u.Limits.Clone()
		fn(&u)
		return b.saveUser(c, a, &u)
	})
}

// DeleteUser deletes a user with all its permissions, and closes its connections.
// Where there is none it is ErrNoUser.
func (b *Broker) DeleteUser(name string) error {
	return b.administrate(func(c *adminChange) error {
		a := b.account(name)
		if a == nil {
			return ErrNoUser
		}
		c.batch.Delete(catalog.Key(catalog.User, name))
		b.mu.Lock()
		for _, v := range b.vhosts {
			if g := v.grants[name]; g != nil {
				c.batch.Delete(accessKey(v.name, name))
				for x := range g.topics {
					c.batch.Delete(topicsKey(v.name, name, x))
				}
			}
		}
		b.mu.Unlock()
		if err := c.apply(); err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.accounts, name)
		for _, v := range b.vhosts {
			delete(v.grants, name)
		}
		for s := range a.sessions {
			s.grant.Store(nil)
			s.v.generation.Add(1)
			s.peer.Close(amqp.ConnectionForced("user '%s' is deleted", name))
		}
		return nil
	})
}

func userRecord(u *access.User) []byte {
	return amqp.NewTable(
		amqp.Field{Name: "hash", Value: amqp.LongString(u.Hash.Text)},
		amqp.Field{Name: "algorithm", Value: amqp.LongString(string(u.Hash.Algorithm))},
		amqp.Field{Name: "tags", Value: stringsValue(u.Tags)},
		amqp.Field{Name: "limits", Value: limitsValue(u.Limits)},
	)
}

func stringsValue(list []string) amqp.Value {
	values := make([]amqp.Value, len(list))
	for i, s := range list {
		values[i] = amqp.LongString(s)
	}
	return amqp.List(values...)
}

func limitsValue(l access.Limits) amqp.Value {
	var fields []amqp.Field
	for name, n := range l {
		fields = append(fields, amqp.Field{Name: name, Value: amqp.Int64(int64(n))})
	}
	slices.SortFunc(fields, func(x, y amqp.Field) int { return cmp.Compare(x.Name, y.Name) })
	return amqp.Nested(amqp.NewTable(fields...))
}
