package routing

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Random routes each message to the destination of one of its bindings, all
// bindings alike.
type Random[D comparable] struct {
	writer[D]
	next    *set[D] // under mu: by the ledger's records
	current atomic.Pointer[set[D]]
}

// NewRandom makes an empty table.
func NewRandom[D comparable]() *Random[D] {
	t := &Random[D]{}
	t.init(
		func(c change, r *record[D]) { t.next = t.next.add(r.dst, uint32(c.id)) },
		func(c change, _ *record[D]) { t.next = t.next.remove(uint32(c.id)) },
		func() { t.current.Store(t.next) })
	return t
}

// Match implements Table.
func (t *Random[D]) Match(_ []byte, _ amqp.Properties, dst []D) []D {
	s := t.current.Load()
	if s == nil {
		return dst
	}
	return append(dst, s.at(rand.IntN(s.len())))
}

// PerMessage implements Table.
func (t *Random[D]) PerMessage() bool { return true }

// OneKey implements Table.
func (t *Random[D]) OneKey() bool { return true }
