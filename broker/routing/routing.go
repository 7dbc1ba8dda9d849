package routing

import (
	"sync"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Table is the routing table of one exchange. Match may run in any number of
// goroutines beside one change; changes wait for each other.
type Table[D comparable] interface {
	// Match appends the destinations of a message to dst, each once, in no
	// particular order. key and props, the message's properties, are not kept.
	// Match takes no lock and, beyond the growth of dst, allocates nothing per
	// message.
	Match(key []byte, props amqp.Properties, dst []D) []D

	// PerMessage tells whether what Match answers is good for one message only:
	// it depends on more than the key. It never changes.
	PerMessage() bool

	// OneKey tells whether a message with several keys is matched once, by the
	// first. It never changes.
	OneKey() bool

	// Add binds dst and reports whether that is new: a binding is identified by
	// its destination, key and arguments, whose order and widths of integers
	// do not count. args is copied. Matches that begin after Add see the
	// binding.
	Add(dst D, key string, args amqp.Table) bool

	// Remove takes a binding away and reports whether there was one.
	Remove(dst D, key string, args amqp.Table) bool

	// RemoveDestination takes away all bindings of dst and returns how many
	// they were.
	RemoveDestination(dst D) int

	// Bindings lists what is bound, in no particular order. The arguments are
	// shared with the table and must not be changed.
	Bindings() []Binding[D]

	// Len is the number of bindings.
	Len() int
}

// Binding is one entry of a table.
type Binding[D comparable] struct {
	Destination D
	Key         string
	Args        amqp.Table
}

// New makes the table of an exchange: of the type direct, fanout, topic,
// headers, x-consistent-hash or x-random. It returns nil for any other type.
func New[D comparable](exchangeType string, args amqp.Table) Table[D] {
	switch exchangeType {
	case "direct":
		return NewDirect[D]()
	case "fanout":
		return NewFanout[D]()
	case "topic":
		return NewTopic[D]()
	case "headers":
		return NewHeaders[D]()
	case typeConsistentHash:
		return NewConsistentHash[D](args)
	case "x-random":
		return NewRandom[D]()
	}
	return nil
}

const typeConsistentHash = "x-consistent-hash"

// ValidateExchange says with a 406 what an exchange type can not accept in the
// arguments of an exchange.
func ValidateExchange(exchangeType string, args amqp.Table) error {
	if exchangeType == typeConsistentHash {
		return validateHash(args)
	}
	return nil
}

// ValidateBinding says with a 406 what an exchange type can not accept in a
// binding.
func ValidateBinding(exchangeType, key string, args amqp.Table) error {
	switch exchangeType {
	case "headers":
		return validateHeaders(args)
	case typeConsistentHash:
		return validateWeight(key)
	}
	return nil
}

// writer is the half of a table that changes: the ledger and what to do about
// a change. The three functions are called with mu held.
type writer[D comparable] struct {
	mu     sync.Mutex
	ledger ledger[D]
	// added and removed bring the pending version up to date; publish makes it
	// the one that Match sees.
	added, removed func(change, *record[D])
	publish        func()
}

// PerMessage implements Table: most tables look at the key alone.
func (w *writer[D]) PerMessage() bool { return false }

// OneKey implements Table: most tables name what any of the keys leads to.
func (w *writer[D]) OneKey() bool { return false }

func (w *writer[D]) init(added, removed func(change, *record[D]), publish func()) {
	w.ledger.init()
	w.added, w.removed, w.publish = added, removed, publish
	publish()
}

// Add implements Table.
func (w *writer[D]) Add(dst D, key string, args amqp.Table) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.ledger.add(dst, key, args)
	if ok {
		w.added(c, &w.ledger.recs[c.id])
		w.publish()
	}
	return ok
}

// Remove implements Table.
func (w *writer[D]) Remove(dst D, key string, args amqp.Table) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.ledger.remove(dst, key, args)
	if ok {
		w.drop(c)
		w.publish()
	}
	return ok
}

// RemoveDestination implements Table.
func (w *writer[D]) RemoveDestination(dst D) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for id := w.ledger.first(dst); id != none; id = w.ledger.first(dst) {
		w.drop(w.ledger.strike(id))
		n++
	}
	if n > 0 {
		w.publish()
	}
	return n
}

func (w *writer[D]) drop(c change) {
	w.removed(c, &w.ledger.recs[c.id])
	w.ledger.erase(c.id)
}

// Bindings implements Table.
func (w *writer[D]) Bindings() []Binding[D] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger.all()
}

// Len implements Table.
func (w *writer[D]) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger.n
}
