package amqp

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Same reports whether two values are the same to a headers exchange:
// as in RabbitMQ the types of the values themselves do not count, so that the
// integer 1 of any width, the timestamp 1 and the double 1.0 are the same, and
// a longstr is the same as a binary of the same bytes. Inside arrays and tables
// the types count.
func Same(a, b Value) bool {
	return same(a, b, false)
}

// Equivalent reports whether two arguments do not differ for a redeclaration
// (RabbitMQ's argument equivalence): the same values, where a number keeps its
// class. Integers of all widths are one class, float and double are another.
// An absent argument, the zero Value, is equivalent to an absent one only.
func Equivalent(a, b Value) bool {
	if a.Type == 0 || b.Type == 0 {
		return a.Type == b.Type
	}
	return same(a, b, true)
}

// same compares; with classes an integer is not the same as a float.
func same(a, b Value, classes bool) bool {
	ai, aInt := integer(a)
	bi, bInt := integer(b)
	if aInt && bInt {
		return ai == bi
	}
	af, aFloat := a.Float()
	bf, bFloat := b.Float()
	switch {
	case aFloat && bFloat:
		return af == bf
	case aFloat && bInt:
		return !classes && equalIntFloat(bi, af)
	case aInt && bFloat:
		return !classes && equalIntFloat(ai, bf)
	}
	as, aBytes := a.Bytes()
	bs, bBytes := b.Bytes()
	if aBytes && bBytes {
		return bytes.Equal(as, bs)
	}
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case TypeBool:
		return (a.data[0] != 0) == (b.data[0] != 0)
	case TypeArray:
		return sameArray(Array(a.data), Array(b.data))
	case TypeTable:
		return Table(a.data).Equivalent(Table(b.data))
	}
	return bytes.Equal(a.data, b.data)
}

// wide is an integer of any type: timestamps reach beyond int64.
type wide struct {
	negative bool
	bits     uint64 // two's complement where negative
}

func integer(v Value) (wide, bool) {
	if n, ok := v.Int(); ok {
		return wide{n < 0, uint64(n)}, true
	}
	n, ok := v.Timestamp()
	return wide{false, n}, ok
}

// equalIntFloat compares exactly: no integer is rounded to a float.
func equalIntFloat(n wide, f float64) bool {
	if f != math.Trunc(f) {
		return false
	}
	if n.negative {
		return f < 0 && f >= math.MinInt64 && int64(f) == int64(n.bits)
	}
	return f >= 0 && f < math.MaxUint64 && uint64(f) == n.bits
}

func sameArray(a, b Array) bool {
	x, y := []byte(a), []byte(b)
	for {
		v, xrest, ok := cutValue(x)
		w, yrest, ok2 := cutValue(y)
		if !ok || !ok2 {
			return ok == ok2
		}
		if !Equivalent(v, w) {
			return false
		}
		x, y = xrest, yrest
	}
}

// Equivalent reports whether both tables have the same names with equivalent
// values, in whatever order. Of a name that occurs twice the first counts.
func (t Table) Equivalent(u Table) bool {
	if bytes.Equal(t, u) {
		return true
	}
	a, b := slices.CompactFunc(t.sorted(), sameName), slices.CompactFunc(u.sorted(), sameName)
	return slices.EqualFunc(a, b, func(x, y span) bool {
		return sameName(x, y) && Equivalent(x.value, y.value)
	})
}

// Canonical appends the table's fields sorted by name, which makes bytes that
// two clients' orders of the same fields agree on: the identity of a binding's
// arguments. Values are taken as they are.
func (t Table) Canonical(dst []byte) []byte {
	for _, s := range t.sorted() {
		dst = append(dst, s.field...)
	}
	return dst
}

// span is a field in the bytes of its table.
type span struct {
	name, field []byte
	value       Value
}

func sameName(x, y span) bool { return bytes.Equal(x.name, y.name) }

// sorted returns the fields by name, those of the same name in their order.
// Sorting, and not a lookup a field: a frame holds tens of thousands of fields.
func (t Table) sorted() []span {
	var spans []span
	b := []byte(t)
	for {
		name, v, rest, ok := cutField(b)
		if !ok {
			break
		}
		spans = append(spans, span{name, b[:len(b)-len(rest)], v})
		b = rest
	}
	slices.SortStableFunc(spans, func(x, y span) int { return bytes.Compare(x.name, y.name) })
	return spans
}

// Inequivalent is the 406 of a redeclaration whose argument differs: what was
// received, what the object has. kind is "queue" or "exchange". The zero Value
// stands for an absent argument. The text is RabbitMQ's: types are named only
// where one side has no such argument.
func Inequivalent(key, kind, name, vhost string, received, current Value) *Error {
	typed := received.Type == 0 || current.Type == 0
	return PreconditionFailed("inequivalent arg '%s' for %s '%s' in vhost '%s': received %s but current is %s",
		key, kind, name, vhost, describe(received, typed), describe(current, typed))
}

func describe(v Value, typed bool) string {
	switch {
	case v.Type == 0:
		return "none"
	case typed:
		return "the value '" + term(v) + "' of type '" + v.Type.String() + "'"
	}
	return "'" + term(v) + "'"
}

// term is a value as RabbitMQ prints it in these texts, which is Erlang's way: a
// float has a point always, and an exponent where that is shorter. Else "received
// '5' but current is '5'" would be what a double gets to read.
func term(v Value) string {
	f, ok := v.Float()
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return v.String()
	}
	plain := withPoint(strconv.FormatFloat(f, 'f', -1, 64))
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, err := strconv.Atoi(exponent) // without its plus sign and zeros
	if short := withPoint(mantissa) + "e" + strconv.Itoa(n); err == nil && len(short) < len(plain) {
		return short
	}
	return plain
}

func withPoint(digits string) string {
	if strings.Contains(digits, ".") {
		return digits
	}
	return digits + ".0"
}
