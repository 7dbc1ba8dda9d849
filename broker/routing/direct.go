package routing

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Direct routes to what is bound with exactly the message's key.
type Direct[D comparable] struct {
	writer[D]
	next    hamt[*set[D]] // under mu
	current atomic.Pointer[hamt[*set[D]]]
}

// NewDirect makes an empty table.
func NewDirect[D comparable]() *Direct[D] {
	t := &Direct[D]{}
	t.init(t.add, t.remove, func() {
		m := t.next
		t.current.Store(&m)
	})
	return t
}

func (t *Direct[D]) add(c change, r *record[D]) {
	if !c.ofPair {
		return
	}
	h := maphash.String(seed, r.key)
	s, _ := t.next.get(h, []byte(r.key))
	t.next = t.next.put(h, r.key, s.add(r.dst, c.ord))
}

func (t *Direct[D]) remove(c change, r *record[D]) {
	if !c.ofPair {
		return
	}
	h := maphash.String(seed, r.key)
	s, _ := t.next.get(h, []byte(r.key))
	if s = s.remove(c.ord); s != nil {
		t.next = t.next.put(h, r.key, s)
	} else {
		t.next = t.next.remove(h, r.key)
	}
}

// Match implements Table.
func (t *Direct[D]) Match(key []byte, _ amqp.Properties, dst []D) []D {
	s, _ := t.current.Load().get(maphash.Bytes(seed, key), key)
	return s.appendTo(dst)
}
