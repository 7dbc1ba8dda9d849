package amqp

import (
	"encoding/binary"
	"math/bits"
)

// Property names one of the fourteen properties of class basic, in their order
// on the wire.
type Property uint8

// The properties.
const (
	PropContentType Property = iota
	PropContentEncoding
	PropHeaders
	PropDeliveryMode
	PropPriority
	PropCorrelationID
	PropReplyTo
	PropExpiration
	PropMessageID
	PropTimestamp
	PropType
	PropUserID
	PropAppID
	PropClusterID
	NumProperties = 14
)

var propertyNames = [NumProperties]string{
	"content-type", "content-encoding", "headers", "delivery-mode", "priority",
	"correlation-id", "reply-to", "expiration", "message-id", "timestamp", "type",
	"user-id", "app-id", "cluster-id",
}

// String returns the property's name in the AMQP document.
func (p Property) String() string {
	if p < NumProperties {
		return propertyNames[p]
	}
	return "unknown"
}

// flag is the property's bit in the flags.
func (p Property) flag() uint16 { return 1 << (15 - p) }

// unusedFlags belong to no property; bit 0 would announce a second word of
// flags, which fourteen properties never need.
const unusedFlags = 3

// isString reports whether the property is a shortstr.
func (p Property) isString() bool {
	switch p {
	case PropHeaders, PropDeliveryMode, PropPriority, PropTimestamp:
		return false
	}
	return true
}

// span returns where in b, which begins with the property's value, that value
// lies without its length, so that b[head:end] is the value and b[end:] the
// rest. ok is false where b is too short.
func (p Property) span(b []byte) (head, end int, ok bool) {
	switch p {
	case PropDeliveryMode, PropPriority:
		return 0, 1, len(b) >= 1
	case PropTimestamp:
		return 0, 8, len(b) >= 8
	case PropHeaders:
		if len(b) < 4 {
			return 0, 0, false
		}
		n := binary.BigEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-4) {
			return 0, 0, false
		}
		return 4, 4 + int(n), true
	}
	if len(b) == 0 || len(b) <= int(b[0]) {
		return 0, 0, false
	}
	return 1, 1 + int(b[0]), true
}

// Properties is the property list of a content header: flags and values as
// they stand on the wire. Empty bytes count as no properties in the getters,
// though on the wire the flags are always there.
type Properties []byte

// NoProperties is the list without any property.
var NoProperties = Properties{0, 0}

func (p Properties) flags() uint16 {
	if len(p) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p)
}

// Validate reports what is wrong with the bytes as a 502 SYNTAX_ERROR: unknown
// flags, a truncated value, a malformed headers table, bytes left over. It
// allocates only for the error.
func (p Properties) Validate() error {
	if len(p) < 2 {
		return SyntaxError("malformed properties: %d bytes are too few for the flags", len(p))
	}
	flags := p.flags()
	if flags&unusedFlags != 0 {
		return SyntaxError("malformed properties: unknown flags %#x", flags&unusedFlags)
	}
	b := []byte(p[2:])
	for flags != 0 {
		prop := Property(bits.LeadingZeros16(flags))
		flags &^= prop.flag()
		head, end, ok := prop.span(b)
		if !ok {
			return SyntaxError("malformed properties: truncated %s", prop)
		}
		if prop == PropHeaders {
			if err := Table(b[head:end]).Validate(); err != nil {
				return err
			}
		}
		b = b[end:]
	}
	if len(b) != 0 {
		return SyntaxError("malformed properties: %d bytes left over", len(b))
	}
	return nil
}

// Has reports whether the property is set.
func (p Properties) Has(prop Property) bool {
	return prop < NumProperties && p.flags()&prop.flag() != 0
}

// Get returns a property's value: the bytes of a shortstr or of a table without
// their length, one byte, or the eight of a timestamp. ok is false where the
// property is not set. It allocates nothing.
func (p Properties) Get(prop Property) (value []byte, ok bool) {
	if !p.Has(prop) {
		return nil, false
	}
	flags := p.flags()
	b := []byte(p[2:])
	for {
		at := Property(bits.LeadingZeros16(flags))
		head, end, ok := at.span(b)
		if !ok {
			return nil, false
		}
		if at == prop {
			return b[head:end:end], true
		}
		flags &^= at.flag()
		b = b[end:]
	}
}

// ContentType returns the content-type, nil where it is not set; so do the
// getters of the other strings. Use Has or Get to tell empty from absent.
func (p Properties) ContentType() []byte { return p.bytes(PropContentType) }

// ContentEncoding returns the content-encoding.
func (p Properties) ContentEncoding() []byte { return p.bytes(PropContentEncoding) }

// Headers returns the headers, nil where they are not set.
func (p Properties) Headers() Table { return Table(p.bytes(PropHeaders)) }

// DeliveryMode returns the delivery-mode: 2 for persistent, 1 for transient, 0
// where it is not set.
func (p Properties) DeliveryMode() uint8 {
	b, ok := p.Get(PropDeliveryMode)
	if !ok {
		return 0
	}
	return b[0]
}

// Persistent reports whether the delivery-mode is 2.
func (p Properties) Persistent() bool { return p.DeliveryMode() == 2 }

// Priority returns the priority; ok is false where it is not set.
func (p Properties) Priority() (priority uint8, ok bool) {
	b, ok := p.Get(PropPriority)
	if !ok {
		return 0, false
	}
	return b[0], true
}

// CorrelationID returns the correlation-id.
func (p Properties) CorrelationID() []byte { return p.bytes(PropCorrelationID) }

// ReplyTo returns the reply-to.
func (p Properties) ReplyTo() []byte { return p.bytes(PropReplyTo) }

// Expiration returns the expiration: the time to live, milliseconds in decimal.
func (p Properties) Expiration() []byte { return p.bytes(PropExpiration) }

// MessageID returns the message-id.
func (p Properties) MessageID() []byte { return p.bytes(PropMessageID) }

// Timestamp returns the timestamp in seconds since 1970; ok is false where it
// is not set.
func (p Properties) Timestamp() (seconds uint64, ok bool) {
	b, ok := p.Get(PropTimestamp)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// Type returns the type.
func (p Properties) Type() []byte { return p.bytes(PropType) }

// UserID returns the user-id.
func (p Properties) UserID() []byte { return p.bytes(PropUserID) }

// AppID returns the app-id.
func (p Properties) AppID() []byte { return p.bytes(PropAppID) }

// ClusterID returns the cluster-id, which AMQP 0-9-1 deprecates.
func (p Properties) ClusterID() []byte { return p.bytes(PropClusterID) }

func (p Properties) bytes(prop Property) []byte {
	b, _ := p.Get(prop)
	return b
}
