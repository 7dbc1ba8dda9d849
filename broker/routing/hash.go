package routing

import (
	"encoding/binary"
	"hash/maphash"
	"math"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// hashField hashes a header with its value: values that amqp.Same takes for one
// have one hash. The reverse need not be true; who finds something by a hash
// compares.
func hashField(name []byte, v amqp.Value) uint64 {
	_, buf := hashName(nil, name)
	h, _ := hashRest(buf, v)
	return h
}

// hashName hashes a header's name alone. It returns what it hashed, which
// begins at buf's start, for hashRest to go on from.
func hashName(buf, name []byte) (uint64, []byte) {
	buf = append(buf, name...)
	return maphash.Bytes(seed, buf), buf
}

// hashRest hashes buf, a name, together with a value.
func hashRest(buf []byte, v amqp.Value) (uint64, []byte) {
	// The separator keeps a name with its value apart from a longer name.
	buf = append(buf, 0)
	switch v.Type {
	case amqp.TypeLongString, amqp.TypeBytes:
		b, _ := v.Bytes()
		buf = append(buf, 'S')
		buf = append(buf, b...)
	case amqp.TypeBool:
		if t, _ := v.Bool(); t {
			buf = append(buf, 't', 1)
		} else {
			buf = append(buf, 't', 0)
		}
	case amqp.TypeDecimal:
		scale, n, _ := v.Decimal()
		buf = append(buf, 'D', scale)
		buf = binary.BigEndian.AppendUint32(buf, n)
	case amqp.TypeArray, amqp.TypeTable, amqp.TypeVoid:
		// What is inside is compared when it comes to that.
		buf = append(buf, byte(v.Type))
	default:
		buf = append(buf, 'n')
		buf = binary.BigEndian.AppendUint64(buf, math.Float64bits(number(v)))
	}
	return maphash.Bytes(seed, buf), buf
}

// number rounds any number to a float, so that equal ones of different types
// are equal here too.
func number(v amqp.Value) float64 {
	f, ok := v.Float()
	if !ok {
		if n, ok := v.Int(); ok {
			f = float64(n)
		} else {
			t, _ := v.Timestamp()
			f = float64(t)
		}
	}
	if f == 0 {
		return 0 // there is a negative zero
	}
	return f
}
