package amqp

import (
	"encoding/binary"
	"iter"
)

// MaxDepth is how deep tables and arrays may nest, the outermost counted. No
// client comes near it: dead-letter headers reach 3, and amqp091-go itself
// refuses more than 32. It bounds the stack that validation takes.
const MaxDepth = 64

// Table is a field table: its fields as they stand on the wire, without the
// length in front. The zero Table has no fields.
type Table []byte

// Array is the payload of an array value: values as they stand on the wire,
// without the length in front.
type Array []byte

// Field is a table's field.
type Field struct {
	Name  string
	Value Value
}

// Validate walks the whole table and reports the first thing that is wrong as
// a 502 SYNTAX_ERROR. It allocates only for the error.
func (t Table) Validate() error {
	if at, cause := validateFields(t, 0, 1); cause != "" {
		return SyntaxError("malformed table: %s at byte %d", cause, at)
	}
	return nil
}

// Validate is Table.Validate for an array.
func (a Array) Validate() error {
	if at, cause := validateValues(a, 0, 1); cause != "" {
		return SyntaxError("malformed array: %s at byte %d", cause, at)
	}
	return nil
}

// The causes of a malformed table, texts for the peer.
const (
	causeName  = "truncated name"
	causeValue = "truncated value"
	causeType  = "unknown type"
	causeDepth = "nested too deep"
)

// validateFields returns the place and the cause of the first fault, or no
// cause. base is the place of b in the outermost table.
func validateFields(b []byte, base, depth int) (int, string) {
	for i := 0; i < len(b); {
		n := 1 + int(b[i])
		if len(b)-i < n {
			return base + i, causeName
		}
		i += n
		size, at, cause := validateValue(b[i:], base+i, depth)
		if cause != "" {
			return at, cause
		}
		i += size
	}
	return 0, ""
}

// validateValues is validateFields for values without names.
func validateValues(b []byte, base, depth int) (int, string) {
	for i := 0; i < len(b); {
		size, at, cause := validateValue(b[i:], base+i, depth)
		if cause != "" {
			return at, cause
		}
		i += size
	}
	return 0, ""
}

// validateValue returns the size of the value that b begins with. depth is
// that of the table or array which holds the value.
func validateValue(b []byte, base, depth int) (size, at int, cause string) {
	v, rest, ok := cutValue(b)
	if !ok {
		if len(b) > 0 && payloadSize(Type(b[0])) == sizeUnknown {
			return 0, base, causeType
		}
		return 0, base, causeValue
	}
	size = len(b) - len(rest)
	if v.Type != TypeTable && v.Type != TypeArray {
		return size, 0, ""
	}
	if depth >= MaxDepth {
		return 0, base, causeDepth
	}
	if v.Type == TypeTable {
		at, cause = validateFields(v.data, base+5, depth+1)
	} else {
		at, cause = validateValues(v.data, base+5, depth+1)
	}
	return size, at, cause
}

// cutField takes the first field from b. ok is false where b is empty or does
// not begin with a whole field.
func cutField(b []byte) (name []byte, v Value, rest []byte, ok bool) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return nil, Value{}, nil, false
	}
	n := 1 + int(b[0])
	v, rest, ok = cutValue(b[n:])
	return b[1:n:n], v, rest, ok
}

// cutValue takes the first value from b. It looks at the lengths of tables and
// arrays, not into them.
func cutValue(b []byte) (v Value, rest []byte, ok bool) {
	if len(b) == 0 {
		return Value{}, nil, false
	}
	typ := Type(b[0])
	b = b[1:]
	n := payloadSize(typ)
	switch n {
	case sizeUnknown:
		return Value{}, nil, false
	case sizePrefixed:
		if len(b) < 4 {
			return Value{}, nil, false
		}
		length := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(length) > uint64(len(b)) {
			return Value{}, nil, false
		}
		n = int(length)
	default:
		if len(b) < n {
			return Value{}, nil, false
		}
	}
	return Value{Type: typ, data: b[:n:n]}, b[n:], true
}

// All yields the fields in their order. A name may come twice.
func (t Table) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		b := []byte(t)
		for {
			name, v, rest, ok := cutField(b)
			if !ok || !yield(name, v) {
				return
			}
			b = rest
		}
	}
}

// All yields the values in their order.
func (a Array) All() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		b := []byte(a)
		for {
			v, rest, ok := cutValue(b)
			if !ok || !yield(v) {
				return
			}
			b = rest
		}
	}
}

// Len returns the number of fields.
func (t Table) Len() int {
	n := 0
	for range t.All() {
		n++
	}
	return n
}

// Len returns the number of values.
func (a Array) Len() int {
	n := 0
	for range a.All() {
		n++
	}
	return n
}

// Get returns the first field of that name, and the zero Value where there is
// none. It allocates nothing.
func (t Table) Get(name string) (Value, bool) {
	b := []byte(t)
	for {
		key, v, rest, ok := cutField(b)
		if !ok {
			return Value{}, false
		}
		if string(key) == name {
			return v, true
		}
		b = rest
	}
}

// Has reports whether there is a field of that name.
func (t Table) Has(name string) bool {
	_, ok := t.Get(name)
	return ok
}

// Int returns an integer of whatever width. Like the lookups below it reports
// false both for an absent field and for one of another type: where the
// difference counts, use Get.
func (t Table) Int(name string) (int64, bool) {
	v, _ := t.Get(name)
	return v.Int()
}

// Bool looks up a bool.
func (t Table) Bool(name string) (value, ok bool) {
	v, _ := t.Get(name)
	return v.Bool()
}

// LongString looks up a longstr.
func (t Table) LongString(name string) (string, bool) {
	v, _ := t.Get(name)
	if v.Type != TypeLongString {
		return "", false
	}
	return string(v.data), true
}

// Table looks up a nested table.
func (t Table) Table(name string) (Table, bool) {
	v, _ := t.Get(name)
	return v.Table()
}

// Array looks up an array.
func (t Table) Array(name string) (Array, bool) {
	v, _ := t.Get(name)
	return v.Array()
}
