package amqp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// PropertiesEditor makes property bytes: from nothing, or from those of a
// message of which some properties are replaced or removed and the others stay
// bit for bit. The zero editor has no property. It refers to the bytes that it
// was given until Append.
type PropertiesEditor struct {
	flags  uint16
	values [NumProperties][]byte // with the length in front, as on the wire
	err    error
}

// Edit starts from the properties p.
func (p Properties) Edit() *PropertiesEditor {
	e := new(PropertiesEditor)
	flags := p.flags() &^ unusedFlags
	if flags == 0 {
		return e
	}
	for b := []byte(p[2:]); flags != 0; {
		prop := Property(bits.LeadingZeros16(flags))
		flags &^= prop.flag()
		_, end, ok := prop.span(b)
		if !ok {
			e.err = SyntaxError("malformed properties: truncated %s", prop)
			return e
		}
		e.set(prop, b[:end:end])
		b = b[end:]
	}
	return e
}

func (e *PropertiesEditor) set(prop Property, value []byte) *PropertiesEditor {
	e.flags |= prop.flag()
	e.values[prop] = value
	return e
}

// Remove takes a property away. It is no error where it is not set.
func (e *PropertiesEditor) Remove(prop Property) *PropertiesEditor {
	e.flags &^= prop.flag()
	e.values[prop] = nil
	return e
}

// SetString sets a property that is a shortstr. One of more than 255 bytes can
// not be written: Append will return an error.
func (e *PropertiesEditor) SetString(prop Property, s string) *PropertiesEditor {
	if prop >= NumProperties || !prop.isString() {
		panic(fmt.Sprintf("amqp: property %s is not a string", prop))
	}
	if len(s) > 255 {
		if e.err == nil {
			e.err = fmt.Errorf("property %s has %d bytes, more than 255", prop, len(s))
		}
		return e
	}
	return e.set(prop, append([]byte{byte(len(s))}, s...))
}

// SetHeaders sets the headers.
func (e *PropertiesEditor) SetHeaders(t Table) *PropertiesEditor {
	return e.set(PropHeaders, AppendTable(nil, t))
}

// SetDeliveryMode sets the delivery-mode: 1 transient, 2 persistent.
func (e *PropertiesEditor) SetDeliveryMode(mode uint8) *PropertiesEditor {
	return e.set(PropDeliveryMode, []byte{mode})
}

// SetPriority sets the priority.
func (e *PropertiesEditor) SetPriority(priority uint8) *PropertiesEditor {
	return e.set(PropPriority, []byte{priority})
}

// SetTimestamp sets the timestamp, in seconds since 1970.
func (e *PropertiesEditor) SetTimestamp(seconds uint64) *PropertiesEditor {
	return e.set(PropTimestamp, binary.BigEndian.AppendUint64(nil, seconds))
}

// Append appends the property bytes to dst.
func (e *PropertiesEditor) Append(dst []byte) ([]byte, error) {
	if e.err != nil {
		return dst, e.err
	}
	dst = binary.BigEndian.AppendUint16(dst, e.flags)
	for _, v := range e.values {
		dst = append(dst, v...)
	}
	return dst, nil
}

// Properties returns the property bytes in a slice of their own.
func (e *PropertiesEditor) Properties() (Properties, error) {
	return e.Append(nil)
}
