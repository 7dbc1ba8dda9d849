// Package catalog is how the topology, and who may use it, are written down in the
// store's catalog: the keys of vhosts, exchanges, queues, bindings and users, and
// what stands under them. It is pure, and apart from package broker so that tools
// can read a data directory without being one.
//
// A key is the kind, one byte, and the names that identify the object, each with
// its length (a varint) before it, since a name may hold any byte. A value is a
// field table of AMQP, which may be empty.
//
//	kind          names                                               fields of the value
//	v  vhost      name                                                description, tags, default_queue_type, limits, deleting
//	x  exchange   vhost, name                                         type, auto_delete, internal, arguments, delays
//	q  queue      vhost, name                                         id (of the store's queue), auto_delete, arguments, lanes
//	b  binding    vhost, source, "q" or "x", destination, key, args   arguments
//	p  policy     vhost, name                                         pattern, apply-to, priority, definition (JSON)
//	r  operator's policy (the same)
//	u  user       name                                                hash, algorithm, tags, limits
//	a  access     vhost, user                                         configure, write, read
//	t  topics     vhost, user, exchange                               write, read
//	m  parameter  vhost, component, name                              value (JSON)
//	g  global     name                                                value (JSON)
//	o  once       what was done                                       (empty)
//
// A priority queue has a queue of the store for each priority in use. That of
// priority 0 is the id; lanes is a table of the others, ids by priority in decimal.
//
// Delays is the id of the store's queue in which an exchange keeps the messages that
// it delays.
//
// The args in a binding's key are its arguments in a canonical order. Limits are a
// table of integers. A vhost with the field deleting is on its way out, with all
// whose key names it first; the next start finishes that. Access is what a user
// may do in a vhost, topics with which routing keys. Of what is done once there is
// "users": the first user was made.
package catalog

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Kinds of records.
const (
	VHost    = 'v'
	Exchange = 'x'
	Queue    = 'q'
	Binding  = 'b'
	User     = 'u'
	Access   = 'a'
	Topics   = 't'
	Once     = 'o'
	Global   = 'g'

	Policy         = 'p'
	OperatorPolicy = 'r'
	Parameter      = 'm'
)

// Delays is that field of an exchange.
const Delays = "delays"

// names is how many names the keys of a kind have; 0: there is no such kind.
func names(kind byte) int {
	switch kind {
	case VHost, User, Once, Global:
		return 1
	case Exchange, Queue, Policy, OperatorPolicy, Access:
		return 2
	case Topics, Parameter:
		return 3
	case Binding:
		return 6
	}
	return 0
}

// Key makes a record's key.
func Key(kind byte, names ...string) string {
	key := append(make([]byte, 0, 64), kind)
	for _, name := range names {
		key = binary.AppendUvarint(key, uint64(len(name)))
		key = append(key, name...)
	}
	return string(key)
}

// Split takes a key apart. The result has as many names as the kind asks for.
func Split(key string) (kind byte, parts []string, err error) {
	if key == "" || names(key[0]) == 0 {
		return 0, nil, fmt.Errorf("catalog key %q is of no known kind: was the folder written by a newer version?", key)
	}
	n := names(key[0])
	parts = make([]string, 0, n)
	rest := []byte(key[1:])
	for len(rest) > 0 {
		size, used := binary.Uvarint(rest)
		if used <= 0 || size > uint64(len(rest)-used) {
			return 0, nil, fmt.Errorf("catalog key %q is malformed", key)
		}
		rest = rest[used:]
		parts = append(parts, string(rest[:size]))
		rest = rest[size:]
	}
	if len(parts) != n {
		return 0, nil, fmt.Errorf("catalog key %q has %d names, not %d", key, len(parts), n)
	}
	return key[0], parts, nil
}

// Lane is a queue of the store that holds the messages of one priority.
type Lane struct {
	Priority uint8
	ID       uint32
}

// QueueValue makes the value of a queue's record. id is that of the queue for
// messages of priority 0, more are the lanes of others, where there are any.
func QueueValue(id uint32, autoDelete bool, args amqp.Table, more ...Lane) []byte {
	fields := []amqp.Field{
		{Name: "id", Value: amqp.Int64(int64(id))},
		{Name: "auto_delete", Value: amqp.Bool(autoDelete)},
		{Name: "arguments", Value: amqp.Nested(args)},
	}
	if len(more) > 0 {
		lanes := make([]amqp.Field, len(more))
		for i, l := range more {
			lanes[i] = amqp.Field{Name: strconv.Itoa(int(l.Priority)), Value: amqp.Int64(int64(l.ID))}
		}
		fields = append(fields, amqp.Field{Name: "lanes", Value: amqp.Nested(amqp.NewTable(lanes...))})
	}
	return amqp.NewTable(fields...)
}

// QueueIDs are the store's queues that a queue's record names: that of priority 0
// first. ok is false where the record makes no sense.
func QueueIDs(value amqp.Table) (lanes []Lane, ok bool) {
	id := func(v amqp.Value) uint32 {
		n, isInt := v.Int()
		ok = ok && isInt && n >= 0 && n <= 1<<32-1
		return uint32(n)
	}
	lowest, ok := value.Get("id")
	lanes = append(lanes, Lane{0, id(lowest)})
	more, _ := value.Table("lanes")
	for name, v := range more.All() {
		priority, err := strconv.ParseUint(string(name), 10, 8)
		ok = ok && err == nil && priority > 0
		lanes = append(lanes, Lane{uint8(priority), id(v)})
	}
	return lanes, ok
}

// DelaysID is the store's queue that an exchange's record names. has is false where it
// names none, good where that makes no sense.
func DelaysID(value amqp.Table) (id uint32, has, good bool) {
	v, has := value.Get(Delays)
	n, ok := v.Int()
	return uint32(n), has, has && ok && n > 0 && n <= 1<<32-1
}

// OfVHost tells whether objects of a kind are in a vhost, which is their key's
// first name.
func OfVHost(kind byte) bool {
	switch kind {
	case VHost, User, Once, Global:
		return false
	}
	return true
}
