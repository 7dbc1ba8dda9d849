package broker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
)

// VHost describes a vhost to who administrates.
type VHost struct {
	Name, Description string
	Tags              []string
	QueueType         string        // of durable queues whose declaration names none; "": classic
	Limits            access.Limits // max-connections, max-queues
}

// VHosts are all vhosts, by name.
func (b *Broker) VHosts() []VHost {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]VHost, 0, len(b.vhosts))
	for _, v := range b.vhosts {
		list = append(list, v.describe())
	}
	slices.SortFunc(list, func(x, y VHost) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// VHost returns one vhost, or ErrNoVHost.
func (b *Broker) VHost(name string) (VHost, error) {
	v := b.vhost(name)
	if v == nil {
		return VHost{}, ErrNoVHost
	}
	return v.describe(), nil
}

func (v *vhost) describe() VHost {
	d := *v.info.Load()
	d.Tags, d.Limits = slices.Clone(d.Tags), d.Limits.Clone()
	return d
}

func (b *Broker) vhost(name string) *vhost {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vhosts[name]
}

// limits are the vhost's limits now.
func (v *vhost) limits() access.Limits { return v.info.Load().Limits }

// AddVHost makes a vhost that nobody may use yet. That there is one of that name
// is no error.
func (b *Broker) AddVHost(name string) error {
	_, err := b.putVHost(name, nil)
	return err
}

// CheckQueueType refuses what cannot be a vhost's default type of queues.
func CheckQueueType(name string) error {
	switch name {
	case "", typeClassic, typeQuorum:
		return nil
	}
	return fmt.Errorf("the default queue type '%s' is none of classic and quorum", name)
}

// PutVHost makes a vhost, or gives the one there is another description, tags and type:
// its limits stay, and d's are not looked at. created tells which it was. Nobody may
// use a new one before SetPermissions.
func (b *Broker) PutVHost(d VHost) (created bool, err error) { return b.putVHost(d.Name, &d) }

func (b *Broker) putVHost(name string, d *VHost) (created bool, err error) {
	if err := checkName("vhost", name); err != nil {
		return false, err
	}
	if d != nil {
		if err := CheckQueueType(d.QueueType); err != nil {
			return false, err
		}
	}
	err = b.administrate(func(c *adminChange) error {
		v := b.vhost(name)
		if v != nil {
			c.lsn = v.made
			if d == nil {
				return nil
			}
		} else {
			v = newVHost(b, name)
			created = true
		}
		info := v.describe()
		if d != nil {
			info.Description, info.Tags, info.QueueType = d.Description, slices.Clone(d.Tags), d.QueueType
		}
		if err := b.saveVHost(c, v, &info); err != nil {
			return err
		}
		if created {
			v.made = c.lsn
			b.mu.Lock()
			b.vhosts[name] = v
			b.mu.Unlock()
		}
		return nil
	})
	return created, err
}

func (b *Broker) saveVHost(c *adminChange, v *vhost, info *VHost) error {
	c.batch.Put(v.key(), vhostRecord(info, false))
	if err := c.apply(); err != nil {
		return err
	}
	v.info.Store(info)
	return nil
}

// SetVHostLimit sets a limit of a vhost; a negative one is none. Connections and
// queues over it stay.
func (b *Broker) SetVHostLimit(vhost, limit string, value int) error {
	if err := access.CheckVHostLimit(limit); err != nil {
		return err
	}
	return b.changeVHost(vhost, func(d *VHost) { d.Limits[limit] = value })
}

// ClearVHostLimit takes a limit of a vhost away.
func (b *Broker) ClearVHostLimit(vhost, limit string) error {
	return b.changeVHost(vhost, func(d *VHost) { delete(d.Limits, limit) })
}

func (b *Broker) changeVHost(name string, fn func(d *VHost)) error {
	return b.administrate(func(c *adminChange) error {
		v := b.vhost(name)
		if v == nil {
			return ErrNoVHost
		}
		info := v.describe()
		fn(&info)
		return b.saveVHost(c, v, &info)
	})
}

// DeleteVHost deletes a vhost with all that is in it: queues with their messages,
// exchanges, bindings, permissions. Its connections are closed. Where there is none
// it is ErrNoVHost.
//
// A large vhost goes in many steps. The first one, which is on disk before the
// others, says that it is on its way out: a start that finds it so finishes the
// deletion.
func (b *Broker) DeleteVHost(name string) error {
	return b.administrate(func(c *adminChange) error {
		v := b.vhost(name)
		if v == nil {
			return ErrNoVHost
		}
		c.batch.Put(v.key(), vhostRecord(v.info.Load(), true))
		if err := c.apply(); err != nil {
			return err
		}
		v.mu.Lock()
		v.leaving = true
		v.mu.Unlock()
		b.mu.Lock()
		delete(b.vhosts, name)
		for s := range v.sessions {
			s.peer.Close(amqp.ConnectionForced("vhost '%s' is down", name))
		}
		b.mu.Unlock()
		return b.empty(c, v)
	})
}

// empty deletes what is in a vhost that nobody finds any more, and then its record
// with those of permissions and whatever else names it.
func (b *Broker) empty(c *adminChange, v *vhost) error {
	// A few at a time: other vhosts' appends come in between.
	for more := true; more; {
		err := v.change(func(t *change) error {
			n := 0
			for _, q := range v.queues {
				if n++; n > closeAtOnce {
					break
				}
				t.deleteQueue(q)
			}
			for _, x := range v.exchanges {
				if n++; n > closeAtOnce {
					break
				}
				if x.table == nil { // the default exchange
					delete(v.exchanges, x.name)
					continue
				}
				t.deleteExchange(x)
			}
			more = len(v.queues)+len(v.exchanges) > 0
			return t.apply()
		})
		if err != nil {
			return err
		}
	}
	err := b.store.Catalog(func(key string, _ []byte) error {
		kind, names, err := catalog.Split(key)
		if err == nil && catalog.OfVHost(kind) && names[0] == v.name {
			c.batch.Delete(key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.batch.Delete(v.key())
	return c.apply()
}

func vhostRecord(d *VHost, deleting bool) []byte {
	var fields []amqp.Field
	if d.Description != "" {
		fields = append(fields, amqp.Field{Name: "description", Value: amqp.LongString(d.Description)})
	}
	if len(d.Tags) > 0 {
		fields = append(fields, amqp.Field{Name: "tags", Value: stringsValue(d.Tags)})
	}
	if d.QueueType != "" {
		fields = append(fields, amqp.Field{Name: "default_queue_type", Value: amqp.LongString(d.QueueType)})
	}
	if len(d.Limits) > 0 {
		fields = append(fields, amqp.Field{Name: "limits", Value: limitsValue(d.Limits)})
	}
	if deleting {
		fields = append(fields, amqp.Field{Name: "deleting", Value: amqp.Bool(true)})
	}
	return amqp.NewTable(fields...)
}
