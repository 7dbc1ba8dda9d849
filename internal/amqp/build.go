package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Bool makes a bool.
func Bool(b bool) Value {
	v := Value{TypeBool, []byte{0}}
	if b {
		v.data[0] = 1
	}
	return v
}

// Int8 makes a byte.
func Int8(n int8) Value { return Value{TypeInt8, []byte{byte(n)}} }

// Uint8 makes an unsignedbyte.
func Uint8(n uint8) Value { return Value{TypeUint8, []byte{n}} }

// Int16 makes a short.
func Int16(n int16) Value { return Value{TypeInt16, be16(uint16(n))} }

// Uint16 makes an unsignedshort.
func Uint16(n uint16) Value { return Value{TypeUint16, be16(n)} }

// Int32 makes a signedint.
func Int32(n int32) Value { return Value{TypeInt32, be32(uint32(n))} }

// Uint32 makes an unsignedint.
func Uint32(n uint32) Value { return Value{TypeUint32, be32(n)} }

// Int64 makes a long.
func Int64(n int64) Value { return Value{TypeInt64, be64(uint64(n))} }

// Float makes a float.
func Float(f float32) Value { return Value{TypeFloat, be32(math.Float32bits(f))} }

// Double makes a double.
func Double(f float64) Value { return Value{TypeDouble, be64(math.Float64bits(f))} }

// Decimal makes a decimal: value / 10^scale.
func Decimal(scale uint8, value uint32) Value {
	return Value{TypeDecimal, binary.BigEndian.AppendUint32([]byte{scale}, value)}
}

// LongString makes a longstr.
func LongString(s string) Value { return Value{TypeLongString, []byte(s)} }

// Bytes makes a binary. It keeps b.
func Bytes(b []byte) Value { return Value{TypeBytes, b} }

// Timestamp makes a timestamp from seconds since 1970.
func Timestamp(seconds uint64) Value { return Value{TypeTimestamp, be64(seconds)} }

// Void makes a field without a value.
func Void() Value { return Value{Type: TypeVoid} }

// Nested makes a value of a table. It keeps t.
func Nested(t Table) Value { return Value{TypeTable, t} }

// List makes an array.
func List(values ...Value) Value {
	var a []byte
	for _, v := range values {
		a = v.append(a)
	}
	return Value{TypeArray, a}
}

func be16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
func be64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// append writes type and payload. The zero Value becomes a void.
func (v Value) append(dst []byte) []byte {
	if v.Type == 0 {
		return append(dst, byte(TypeVoid))
	}
	dst = append(dst, byte(v.Type))
	if payloadSize(v.Type) == sizePrefixed {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.data)))
	}
	return append(dst, v.data...)
}

// maxName is the length in bytes of the longest field name.
const maxName = 255

// NewTable makes a table of the fields, in their order. It panics where a name
// has more than 255 bytes: names of unknown length go through Table.With.
func NewTable(fields ...Field) Table {
	t := Table{}
	for _, f := range fields {
		if len(f.Name) > maxName {
			panic(fmt.Sprintf("amqp: field name of %d bytes", len(f.Name)))
		}
		t = appendField(t, f.Name, f.Value)
	}
	return t
}

func appendField(t []byte, name string, v Value) []byte {
	t = append(t, byte(len(name)))
	t = append(t, name...)
	return v.append(t)
}

// With returns a copy of the table in which the field has the value: in the
// place of the first field of that name, later ones of the same name gone, or
// at the end. All other bytes stay. A name of more than 255 bytes can not be
// written and returns the copy unchanged.
func (t Table) With(name string, v Value) Table {
	out := make(Table, 0, len(t)+len(name)+len(v.data)+6)
	done := len(name) > maxName
	b := []byte(t)
	for {
		key, _, rest, ok := cutField(b)
		if !ok {
			break
		}
		switch {
		case string(key) != name:
			out = append(out, b[:len(b)-len(rest)]...)
		case !done:
			out = appendField(out, name, v)
			done = true
		}
		b = rest
	}
	if !done {
		out = appendField(out, name, v)
	}
	return out
}

// Without returns a copy of the table that has no field of that name. All
// other bytes stay.
func (t Table) Without(name string) Table {
	out := make(Table, 0, len(t))
	b := []byte(t)
	for {
		key, _, rest, ok := cutField(b)
		if !ok {
			return out
		}
		if string(key) != name {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
}

// Clone returns a copy that shares no memory. A nil table stays nil.
func (t Table) Clone() Table {
	if t == nil {
		return nil
	}
	return append(Table{}, t...)
}

// AppendField appends a field to a table and returns the longer one. It panics where
// the name has more than 255 bytes.
func AppendField[N string | []byte](t Table, name N, v Value) Table {
	if len(name) > maxName {
		panic(fmt.Sprintf("amqp: field name of %d bytes", len(name)))
	}
	t = append(t, byte(len(name)))
	t = append(t, name...)
	return v.append(t)
}

// AppendTable appends the table with its length in front, as it stands in
// methods and in the headers property.
func AppendTable(dst []byte, t Table) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t)))
	return append(dst, t...)
}
