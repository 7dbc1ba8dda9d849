// Package catalog is how the topology is written down in the store's catalog:
// the keys of vhosts, exchanges, queues and bindings, and what stands under
// them. It is pure, and apart from package broker so that tools can read a data
// directory without being one.
//
// A key is the kind, one byte, and the names that identify the object, each with
// its length (a varint) before it, since a name may hold any byte. A value is a
// field table of AMQP, empty for a vhost.
//
//	kind          names                                               fields of the value
//	v  vhost      name
//	x  exchange   vhost, name                                         type, auto_delete, internal, arguments
//	q  queue      vhost, name                                         id (of the store's queue), auto_delete, arguments
//	b  binding    vhost, source, "q" or "x", destination, key, args   arguments
//
// The args in a binding's key are its arguments in a canonical order.
package catalog

import (
	"encoding/binary"
	"fmt"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Kinds of records.
const (
	VHost    = 'v'
	Exchange = 'x'
	Queue    = 'q'
	Binding  = 'b'
)

// names is how many names the keys of a kind have; 0: there is no such kind.
func names(kind byte) int {
	switch kind {
	case VHost:
		return 1
	case Exchange, Queue:
		return 2
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

// QueueValue makes the value of a queue's record.
func QueueValue(id uint32, autoDelete bool, args amqp.Table) []byte {
	return amqp.NewTable(
		amqp.Field{Name: "id", Value: amqp.Int64(int64(id))},
		amqp.Field{Name: "auto_delete", Value: amqp.Bool(autoDelete)},
		amqp.Field{Name: "arguments", Value: amqp.Nested(args)},
	)
}

// QueueID is the id of the store's queue that a queue's record names.
func QueueID(value amqp.Table) (id uint32, ok bool) {
	n, ok := value.Int("id")
	return uint32(n), ok && n >= 0 && n <= 1<<32-1
}
