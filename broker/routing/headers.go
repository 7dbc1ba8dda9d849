package routing

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Headers routes by the message's headers. A binding's arguments are a pattern:
// x-match says how many of the others must be there with the same value.
type Headers[D comparable] struct {
	writer[D]
	patterns []*pattern[D]           // under mu: by the ledger's record
	index    hamt[*set[*pattern[D]]] // under mu
	always   *set[*pattern[D]]       // under mu
	current  atomic.Pointer[headersState[D]]
	pool     sync.Pool // *headersScratch
}

// headersState is one version of the table.
//
// index finds, by the hash of a header with its value or of a header's name
// alone, the patterns that this header may satisfy. A pattern of which one
// field suffices stands under each of its fields; one of which all must match
// stands under one, whichever had the fewest beside it. So a message looks at
// few patterns though many are bound.
type headersState[D comparable] struct {
	index  hamt[*set[*pattern[D]]]
	always *set[*pattern[D]] // without a field to match
	dests  uint32
}

// pattern is a binding's arguments, ready to match.
type pattern[D comparable] struct {
	dst     D
	ord     uint32
	any     bool
	fields  []patternField
	anchors []uint64 // where it stands in the index; empty for always
}

// patternField wants a header; a void value wants it to be there.
type patternField struct {
	name  string
	value amqp.Value
}

// NewHeaders makes an empty table.
func NewHeaders[D comparable]() *Headers[D] {
	t := &Headers[D]{}
	t.init(t.add, t.remove, func() {
		t.current.Store(&headersState[D]{t.index, t.always, t.ledger.ords.next})
	})
	return t
}

// The values of x-match. A missing or, in bindings made elsewhere, a senseless
// one means all.
const (
	xMatch   = "x-match"
	matchAll = "all"
	matchAny = "any"
	matchAlx = "all-with-x"
	matchAnx = "any-with-x"
)

func validateHeaders(args amqp.Table) error {
	v, ok := args.Get(xMatch)
	if !ok {
		return nil
	}
	if v.Type != amqp.TypeLongString {
		return amqp.PreconditionFailed("Invalid x-match field type %s (value %s); expected longstr", v.Type, v)
	}
	switch s := v.String(); s {
	case matchAll, matchAny, matchAlx, matchAnx:
		return nil
	default:
		return amqp.PreconditionFailed("Invalid x-match field value <<%q>>; expected all, any, all-with-x, or any-with-x", s)
	}
}

// compile makes the pattern of a binding's arguments, which it refers to.
func compile[D comparable](dst D, ord uint32, args amqp.Table) *pattern[D] {
	kind, _ := args.LongString(xMatch)
	p := &pattern[D]{dst: dst, ord: ord, any: kind == matchAny || kind == matchAnx}
	withX := kind == matchAlx || kind == matchAnx
	for name, v := range args.All() {
		n := string(name)
		if n == xMatch || !withX && strings.HasPrefix(n, "x-") {
			continue
		}
		p.fields = append(p.fields, patternField{n, v})
	}
	return p
}

// hash is the place of a field in the index.
func (f *patternField) hash() uint64 {
	if f.value.Void() {
		h, _ := hashName(nil, []byte(f.name))
		return h
	}
	return hashField([]byte(f.name), f.value)
}

func (t *Headers[D]) add(c change, r *record[D]) {
	p := compile(r.dst, c.ord, r.args)
	for i := range p.fields {
		if h := p.fields[i].hash(); !slices.Contains(p.anchors, h) {
			p.anchors = append(p.anchors, h)
		}
	}
	if !p.any && len(p.anchors) > 1 {
		best := slices.MinFunc(p.anchors, func(a, b uint64) int { return t.load(a) - t.load(b) })
		p.anchors = []uint64{best}
	}
	for int(c.id) >= len(t.patterns) {
		t.patterns = append(t.patterns, nil)
	}
	t.patterns[c.id] = p
	for _, h := range p.anchors {
		s, _ := t.index.get(h, nil)
		t.index = t.index.put(h, "", s.add(p, uint32(c.id)))
	}
	if len(p.fields) == 0 && !p.any {
		t.always = t.always.add(p, uint32(c.id))
	}
}

// load is how many patterns stand under a hash.
func (t *Headers[D]) load(h uint64) int {
	s, _ := t.index.get(h, nil)
	return s.len()
}

func (t *Headers[D]) remove(c change, _ *record[D]) {
	p := t.patterns[c.id]
	t.patterns[c.id] = nil
	for _, h := range p.anchors {
		s, _ := t.index.get(h, nil)
		if s = s.remove(uint32(c.id)); s != nil {
			t.index = t.index.put(h, "", s)
		} else {
			t.index = t.index.remove(h, "")
		}
	}
	if len(p.fields) == 0 && !p.any {
		t.always = t.always.remove(uint32(c.id))
	}
}

// headersScratch is the working memory of a match.
type headersScratch struct {
	fields []messageField // sorted by name, each name once
	buf    []byte
	seen   marks
}

type messageField struct {
	name  []byte
	value amqp.Value
}

// Match implements Table.
func (t *Headers[D]) Match(_ []byte, props amqp.Properties, dst []D) []D {
	st := t.current.Load()
	if st.index.n == 0 && st.always == nil {
		return dst
	}
	s, ok := t.pool.Get().(*headersScratch)
	if !ok {
		s = &headersScratch{}
	}
	s.seen.reset(st.dests)
	if st.index.n > 0 {
		s.load(props.Headers())
		for i := range s.fields {
			var h uint64
			f := &s.fields[i]
			h, s.buf = hashName(s.buf[:0], f.name)
			dst = st.match(s, h, dst)
			h, s.buf = hashRest(s.buf, f.value)
			dst = st.match(s, h, dst)
		}
		clear(s.fields)
	}
	dst = matching(st.always, s, dst)
	t.pool.Put(s)
	return dst
}

// PerMessage implements Table.
func (t *Headers[D]) PerMessage() bool { return true }

// OneKey implements Table.
func (t *Headers[D]) OneKey() bool { return true }

// load reads the headers into s.fields. Where a name is repeated the first
// counts, as in RabbitMQ.
func (s *headersScratch) load(headers amqp.Table) {
	s.fields = s.fields[:0]
	for name, v := range headers.All() {
		s.fields = append(s.fields, messageField{name, v})
	}
	slices.SortStableFunc(s.fields, func(a, b messageField) int { return bytes.Compare(a.name, b.name) })
	s.fields = slices.CompactFunc(s.fields, func(a, b messageField) bool { return bytes.Equal(a.name, b.name) })
}

// get finds a header by name.
func (s *headersScratch) get(name string) (amqp.Value, bool) {
	lo, hi := 0, len(s.fields)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if string(s.fields[mid].name) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(s.fields) && string(s.fields[lo].name) == name {
		return s.fields[lo].value, true
	}
	return amqp.Value{}, false
}

// match appends the destinations of the patterns under a hash that match.
func (st *headersState[D]) match(s *headersScratch, h uint64, dst []D) []D {
	set, _ := st.index.get(h, nil)
	return matching(set, s, dst)
}

func matching[D comparable](set *set[*pattern[D]], s *headersScratch, dst []D) []D {
	if set == nil {
		return dst
	}
	for i := range set.full {
		dst = matchingOf(set.full[i].dst, s, dst)
	}
	return matchingOf(set.tail.dst, s, dst)
}

func matchingOf[D comparable](ps []*pattern[D], s *headersScratch, dst []D) []D {
	for _, p := range ps {
		if !s.seen.has(p.ord) && p.matches(s) {
			s.seen.mark(p.ord)
			dst = append(dst, p.dst)
		}
	}
	return dst
}

func (p *pattern[D]) matches(s *headersScratch) bool {
	for i := range p.fields {
		f := &p.fields[i]
		v, ok := s.get(f.name)
		if (ok && (f.value.Void() || amqp.Same(f.value, v))) == p.any {
			return p.any
		}
	}
	return !p.any
}
