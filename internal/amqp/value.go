package amqp

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Type is the type octet of a field value.
type Type byte

// The types; their payloads are in the package comment.
const (
	TypeBool       Type = 't'
	TypeInt8       Type = 'b'
	TypeUint8      Type = 'B'
	TypeInt16      Type = 's'
	TypeUint16     Type = 'u'
	TypeInt32      Type = 'I'
	TypeUint32     Type = 'i'
	TypeInt64      Type = 'l'
	TypeInt64Alt   Type = 'L' // the letter of the AMQP document; read as l
	TypeFloat      Type = 'f'
	TypeDouble     Type = 'd'
	TypeDecimal    Type = 'D'
	TypeLongString Type = 'S'
	TypeBytes      Type = 'x'
	TypeTimestamp  Type = 'T'
	TypeArray      Type = 'A'
	TypeTable      Type = 'F'
	TypeVoid       Type = 'V'
)

// String returns the name that RabbitMQ gives the type in its error texts, and
// "none" for the zero Type.
func (t Type) String() string {
	switch t {
	case 0:
		return "none"
	case TypeBool:
		return "bool"
	case TypeInt8:
		return "byte"
	case TypeUint8:
		return "unsignedbyte"
	case TypeInt16:
		return "short"
	case TypeUint16:
		return "unsignedshort"
	case TypeInt32:
		return "signedint"
	case TypeUint32:
		return "unsignedint"
	case TypeInt64, TypeInt64Alt:
		return "long"
	case TypeFloat:
		return "float"
	case TypeDouble:
		return "double"
	case TypeDecimal:
		return "decimal"
	case TypeLongString:
		return "longstr"
	case TypeBytes:
		return "binary"
	case TypeTimestamp:
		return "timestamp"
	case TypeArray:
		return "array"
	case TypeTable:
		return "table"
	case TypeVoid:
		return "void"
	}
	return "unknown"
}

// What payloadSize returns for the types without a fixed size.
const (
	sizeUnknown  = -1
	sizePrefixed = -2 // a u32 length stands in front
)

// payloadSize returns the size in bytes of a type's payload.
func payloadSize(t Type) int {
	switch t {
	case TypeLongString, TypeTable, TypeArray, TypeBytes:
		return sizePrefixed
	case TypeInt64, TypeInt64Alt, TypeTimestamp, TypeDouble:
		return 8
	case TypeInt32, TypeUint32, TypeFloat:
		return 4
	case TypeBool, TypeInt8, TypeUint8:
		return 1
	case TypeInt16, TypeUint16:
		return 2
	case TypeDecimal:
		return 5
	case TypeVoid:
		return 0
	}
	return sizeUnknown
}

// Value is a field value: its type and its payload as it stands on the wire.
// The zero Value stands for an absent field.
type Value struct {
	Type Type
	// data is the payload without a length in front; its length is right for
	// the type, which the readers and the constructors see to.
	data []byte
}

// Int returns the value of an integer type of any width.
func (v Value) Int() (int64, bool) {
	switch v.Type {
	case TypeInt8:
		return int64(int8(v.data[0])), true
	case TypeUint8:
		return int64(v.data[0]), true
	case TypeInt16:
		return int64(int16(binary.BigEndian.Uint16(v.data))), true
	case TypeUint16:
		return int64(binary.BigEndian.Uint16(v.data)), true
	case TypeInt32:
		return int64(int32(binary.BigEndian.Uint32(v.data))), true
	case TypeUint32:
		return int64(binary.BigEndian.Uint32(v.data)), true
	case TypeInt64, TypeInt64Alt:
		return int64(binary.BigEndian.Uint64(v.data)), true
	}
	return 0, false
}

// Bool returns the value of a bool.
func (v Value) Bool() (value, ok bool) {
	if v.Type != TypeBool {
		return false, false
	}
	return v.data[0] != 0, true
}

// Float returns the value of a float or a double.
func (v Value) Float() (float64, bool) {
	switch v.Type {
	case TypeFloat:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(v.data))), true
	case TypeDouble:
		return math.Float64frombits(binary.BigEndian.Uint64(v.data)), true
	}
	return 0, false
}

// Decimal returns a decimal: value / 10^scale.
func (v Value) Decimal() (scale uint8, value uint32, ok bool) {
	if v.Type != TypeDecimal {
		return 0, 0, false
	}
	return v.data[0], binary.BigEndian.Uint32(v.data[1:]), true
}

// Bytes returns the bytes of a longstr or of a binary, not copied.
func (v Value) Bytes() ([]byte, bool) {
	if v.Type != TypeLongString && v.Type != TypeBytes {
		return nil, false
	}
	return v.data, true
}

// Timestamp returns a timestamp, in seconds since 1970.
func (v Value) Timestamp() (uint64, bool) {
	if v.Type != TypeTimestamp {
		return 0, false
	}
	return binary.BigEndian.Uint64(v.data), true
}

// Table returns a nested table, not copied.
func (v Value) Table() (Table, bool) {
	if v.Type != TypeTable {
		return nil, false
	}
	return Table(v.data), true
}

// Array returns an array, not copied.
func (v Value) Array() (Array, bool) {
	if v.Type != TypeArray {
		return nil, false
	}
	return Array(v.data), true
}

// Void reports whether this is a field without a value.
func (v Value) Void() bool { return v.Type == TypeVoid }

// String renders the value for logs and error texts: strings as they are where
// they are UTF-8, numbers in decimal, arrays and tables in brackets.
func (v Value) String() string {
	var b strings.Builder
	v.render(&b, 0)
	return b.String()
}

func (v Value) render(b *strings.Builder, depth int) {
	switch v.Type {
	case 0:
		b.WriteString("none")
	case TypeBool:
		t, _ := v.Bool()
		b.WriteString(strconv.FormatBool(t))
	case TypeFloat:
		f, _ := v.Float()
		b.WriteString(strconv.FormatFloat(f, 'g', -1, 32))
	case TypeDouble:
		f, _ := v.Float()
		b.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
	case TypeDecimal:
		scale, n, _ := v.Decimal()
		b.WriteString(strconv.FormatUint(uint64(n), 10))
		b.WriteString("e-")
		b.WriteString(strconv.Itoa(int(scale)))
	case TypeLongString, TypeBytes:
		if utf8.Valid(v.data) {
			b.Write(v.data)
			return
		}
		b.WriteString("0x")
		b.WriteString(hex.EncodeToString(v.data))
	case TypeTimestamp:
		t, _ := v.Timestamp()
		b.WriteString(strconv.FormatUint(t, 10))
	case TypeArray:
		b.WriteByte('[')
		if depth < MaxDepth {
			sep := ""
			for e := range Array(v.data).All() {
				b.WriteString(sep)
				e.render(b, depth+1)
				sep = ","
			}
		}
		b.WriteByte(']')
	case TypeTable:
		b.WriteByte('{')
		if depth < MaxDepth {
			sep := ""
			for name, e := range Table(v.data).All() {
				b.WriteString(sep)
				b.WriteString(strconv.Quote(string(name)))
				b.WriteByte(':')
				e.render(b, depth+1)
				sep = ","
			}
		}
		b.WriteByte('}')
	case TypeVoid:
		b.WriteString("undefined")
	default:
		n, _ := v.Int()
		b.WriteString(strconv.FormatInt(n, 10))
	}
}
