package routing

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// ConsistentHash routes each message to one destination, the same for the same
// value of what is hashed, in proportion to the weights that are the bindings'
// keys. A new binding takes its share from the others and moves nothing between
// them; one that goes leaves its share to the others likewise. What goes where
// depends on the names and weights of what is bound and on nothing else, so that
// a restart changes nothing.
//
// It is weighted rendezvous hashing: each destination draws a number from the
// message's hash and its own, and the lowest number in terms of its weight wins.
// The price is a few nanoseconds a destination; a ring would cost less where
// there are many, but have points by the weight, an uneven share for each, and
// nothing of it exact.
type ConsistentHash[D comparable] struct {
	writer[D]
	source   hashSource
	header   string          // of sourceHeader
	property amqp.Property   // of sourceProperty
	drawers  *set[drawer[D]] // under mu
	current  atomic.Pointer[set[drawer[D]]]
}

// hashSource is what a table hashes.
type hashSource uint8

const (
	sourceKey hashSource = iota
	sourceHeader
	sourceProperty
)

// drawer is a destination with what it draws by.
type drawer[D comparable] struct {
	dst     D
	seed    uint64
	inverse float64 // 1 / weight
}

// Named is what destinations of a ConsistentHash should be: the name, unique
// among them, says which messages are theirs, over restarts too.
type Named interface{ RoutingName() string }

// The arguments of an exchange that say what is hashed instead of the routing
// key.
const (
	hashHeader   = "hash-header"
	hashProperty = "hash-property"
)

// NewConsistentHash makes an empty table for an exchange with these arguments,
// which ValidateExchange has found good.
func NewConsistentHash[D comparable](args amqp.Table) *ConsistentHash[D] {
	t := &ConsistentHash[D]{}
	if name, ok := args.LongString(hashHeader); ok {
		t.source, t.header = sourceHeader, name
	} else if name, ok := args.LongString(hashProperty); ok {
		t.source = sourceProperty
		t.property, _ = hashedProperty(name)
	}
	t.init(t.add, t.remove, func() { t.current.Store(t.drawers) })
	return t
}

// hashedProperty is the property that an exchange may hash by that name.
func hashedProperty(name string) (amqp.Property, bool) {
	switch name {
	case "correlation_id":
		return amqp.PropCorrelationID, true
	case "message_id":
		return amqp.PropMessageID, true
	case "timestamp":
		return amqp.PropTimestamp, true
	}
	return 0, false
}

// validateHash checks the arguments of a consistent hash exchange.
func validateHash(args amqp.Table) error {
	header, byHeader := args.Get(hashHeader)
	property, byProperty := args.Get(hashProperty)
	switch {
	case byHeader && byProperty:
		return amqp.PreconditionFailed("hash-header and hash-property are mutually exclusive")
	case byHeader && header.Type != amqp.TypeLongString:
		return amqp.PreconditionFailed("Unsupported header: %s", header)
	case byProperty:
		name, _ := args.LongString(hashProperty)
		if _, ok := hashedProperty(name); !ok {
			return amqp.PreconditionFailed("Unsupported property: %s", property)
		}
	}
	return nil
}

// validateWeight checks the key of a binding of a consistent hash exchange.
func validateWeight(key string) error {
	w, ok := weight(key)
	switch {
	case !ok:
		return amqp.PreconditionFailed("The binding key must be an integer: <<%q>>", key)
	case w < 1:
		return amqp.PreconditionFailed("The binding key must be greater than 0")
	}
	return nil
}

// weight reads a binding's key: an integer of any size.
func weight(key string) (float64, bool) {
	digits := key
	if digits != "" && (digits[0] == '+' || digits[0] == '-') {
		digits = digits[1:]
	}
	if digits == "" {
		return 0, false
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	w, err := strconv.ParseFloat(key, 64) // a key has at most 255 digits, a float 308
	return w, err == nil
}

func (t *ConsistentHash[D]) add(c change, r *record[D]) {
	if !c.ofDst {
		t.drawers = t.drawers.remove(c.ord)
	}
	t.drawers = t.drawers.add(t.drawer(r), c.ord)
}

func (t *ConsistentHash[D]) remove(c change, r *record[D]) {
	t.drawers = t.drawers.remove(c.ord)
	if !c.ofDst {
		t.drawers = t.drawers.add(t.drawer(r), c.ord)
	}
}

// drawer makes a destination's entry: its weight is the sum of its bindings'.
func (t *ConsistentHash[D]) drawer(r *record[D]) drawer[D] {
	sum := 0.0
	for id := t.ledger.first(r.dst); id != none; id = t.ledger.recs[id].nextOfDst {
		w, _ := weight(t.ledger.recs[id].key)
		sum += max(w, 1) // a key from elsewhere that is no weight counts as the least
	}
	var name string
	if n, ok := any(r.dst).(Named); ok {
		name = n.RoutingName()
	} else {
		name = fmt.Sprint(r.dst)
	}
	return drawer[D]{r.dst, stir(hashBytes(hashStart, []byte(name))), 1 / sum}
}

// Match implements Table.
func (t *ConsistentHash[D]) Match(key []byte, props amqp.Properties, dst []D) []D {
	s := t.current.Load()
	if s == nil {
		return dst
	}
	h := hashStart
	switch t.source {
	case sourceKey:
		h = hashBytes(h, key)
	case sourceHeader:
		if v, ok := props.Headers().Get(t.header); ok {
			h = hashValue(h, v)
		}
	case sourceProperty:
		if v, ok := props.Get(t.property); ok {
			h = hashBytes(h, v)
		}
	}
	h = stir(h)
	best, least := (*drawer[D])(nil), math.Inf(1)
	for i := range s.full {
		best, least = draw(s.full[i].dst, h, best, least)
	}
	best, _ = draw(s.tail.dst, h, best, least)
	return append(dst, best.dst)
}

// draw finds the entry with the lowest number. With u uniform in (0, 1], the
// number is -ln(u)/weight: such numbers are exponential, and the chance of one to
// be the lowest is its share of the weights. Since -ln(u) is at least 1-u, few
// of them need a logarithm.
func draw[D comparable](list []drawer[D], h uint64, best *drawer[D], least float64) (*drawer[D], float64) {
	for i := range list {
		d := &list[i]
		v := float64(stir(h^d.seed)>>11) * 0x1p-53 // 1-u
		if v*d.inverse >= least {
			continue
		}
		if n := -math.Log1p(-v) * d.inverse; n < least {
			best, least = d, n
		}
	}
	return best, least
}

// PerMessage implements Table.
func (t *ConsistentHash[D]) PerMessage() bool { return t.source != sourceKey }

// OneKey implements Table.
func (t *ConsistentHash[D]) OneKey() bool { return true }

// The hashes here must never change, nor differ between processes: it is FNV-1a
// and a finaliser that lets each bit reach each other.

const hashStart uint64 = 14695981039346656037

func hashBytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func stir(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// hashValue hashes a header's value: integers by what they are worth whatever
// their widths.
func hashValue(h uint64, v amqp.Value) uint64 {
	var buf [9]byte
	number := func(kind byte, n uint64) uint64 {
		buf[0] = kind
		binary.BigEndian.PutUint64(buf[1:], n)
		return hashBytes(h, buf[:])
	}
	if n, ok := v.Int(); ok {
		return number('n', uint64(n))
	}
	if b, ok := v.Bytes(); ok {
		return hashBytes(h, b)
	}
	if f, ok := v.Float(); ok {
		return number('f', math.Float64bits(f))
	}
	if n, ok := v.Timestamp(); ok {
		return number('T', n)
	}
	if scale, n, ok := v.Decimal(); ok {
		return number('D'+scale, uint64(n))
	}
	if t, ok := v.Table(); ok {
		return hashBytes(h, t)
	}
	if a, ok := v.Array(); ok {
		return hashBytes(h, a)
	}
	b, _ := v.Bool()
	if b {
		return number('t', 1)
	}
	return number(byte(v.Type), 0)
}
