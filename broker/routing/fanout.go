package routing

import (
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Fanout routes to all that is bound, whatever the keys.
type Fanout[D comparable] struct {
	writer[D]
	next    *set[D] // under mu
	current atomic.Pointer[set[D]]
}

// NewFanout makes an empty table.
func NewFanout[D comparable]() *Fanout[D] {
	t := &Fanout[D]{}
	t.init(
		func(c change, r *record[D]) {
			if c.ofDst {
				t.next = t.next.add(r.dst, c.ord)
			}
		},
		func(c change, _ *record[D]) {
			if c.ofDst {
				t.next = t.next.remove(c.ord)
			}
		},
		func() { t.current.Store(t.next) })
	return t
}

// Match implements Table.
func (t *Fanout[D]) Match(_ []byte, _ amqp.Properties, dst []D) []D {
	return t.current.Load().appendTo(dst)
}
