package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// ID is a method's class in the upper and its number in the lower 16 bits.
type ID uint32

// Class returns the class id.
func (id ID) Class() uint16 { return uint16(id >> 16) }

// Method returns the number within the class.
func (id ID) Method() uint16 { return uint16(id) }

// String returns the name, such as queue.declare.
func (id ID) String() string {
	if def := Lookup(id); def != nil {
		return def.Name
	}
	return fmt.Sprintf("%d.%d", id.Class(), id.Method())
}

// Kind is the type of a method's field.
type Kind uint8

// The kinds; the package comment has their formats.
const (
	Octet Kind = iota + 1
	Short
	Long
	LongLong
	ShortString
	LongString
	TableField
	Bit
)

// String returns the kind's name in the AMQP document.
func (k Kind) String() string {
	switch k {
	case Octet:
		return "octet"
	case Short:
		return "short"
	case Long:
		return "long"
	case LongLong:
		return "longlong"
	case ShortString:
		return "shortstr"
	case LongString:
		return "longstr"
	case TableField:
		return "table"
	case Bit:
		return "bit"
	}
	return "unknown"
}

// Field describes a field of a method.
type Field struct {
	Name string
	Kind Kind
	// Reserved fields are on the wire but have no meaning, and no field in
	// the method's Go type.
	Reserved bool
}

// Side says who may send a method.
type Side uint8

// The sides.
const (
	FromClient Side = 1 << iota
	FromServer
	FromBoth = FromClient | FromServer
)

// Definition describes a method.
type Definition struct {
	ID   ID
	Name string
	From Side
	// Content: a content header and body follow.
	Content bool
	// Reply is the method that answers, 0 where none does. A method with a
	// no-wait field that is set is not answered.
	Reply  ID
	Fields []Field

	make func() Method
}

// Method is the arguments of a method: a pointer to one of this package's
// structs.
type Method interface {
	ID() ID
}

// coded methods list their fields for a coder.
type coded interface {
	Method
	fields(c *coder)
}

// direct methods are the hot ones, which read and write their arguments
// themselves, without allocation. Their byte slices alias the input.
type direct interface {
	Method
	Decode(args []byte) error
	appendArgs(dst []byte) []byte
}

var byID = func() map[ID]*Definition {
	m := make(map[ID]*Definition, len(definitions))
	for i := range definitions {
		m[definitions[i].ID] = &definitions[i]
	}
	return m
}()

// Lookup returns a method's definition, nil where there is no such method.
func Lookup(id ID) *Definition { return byID[id] }

// Definitions returns all methods' definitions, by class and number. They must
// not be changed.
func Definitions() []Definition { return definitions }

// CutID parts a method frame's payload into the method's id and its arguments.
// An id that no method has is not an error here.
func CutID(payload []byte) (id ID, args []byte, err error) {
	if len(payload) < 4 {
		return 0, nil, amqp.FrameError("method frame of %d bytes", len(payload))
	}
	return ID(binary.BigEndian.Uint32(payload)), payload[4:], nil
}

// Decode reads the arguments of any method. The error is 503 COMMAND_INVALID
// for a method that is not defined, 501 FRAME_ERROR where the arguments can not
// be taken apart, 502 SYNTAX_ERROR where a table in them is malformed.
func Decode(id ID, args []byte) (Method, error) {
	def := Lookup(id)
	if def == nil {
		return nil, amqp.CommandInvalid("unknown method %d of class %d", id.Method(), id.Class())
	}
	m := def.make()
	var err error
	switch m := m.(type) {
	case direct:
		err = m.Decode(args)
	case coded:
		c := coder{def: def, in: args}
		m.fields(&c)
		err = c.end()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// DecodeMethod is CutID and Decode.
func DecodeMethod(payload []byte) (Method, error) {
	id, args, err := CutID(payload)
	if err != nil {
		return nil, err
	}
	return Decode(id, args)
}

// AppendMethod appends a method in its frame. A shortstr of more than 255 bytes
// is cut. A method can not be split: whether its frame fits the peer's frame_max
// is the caller's to see to, who alone knows what a table holds.
func AppendMethod(dst []byte, channel uint16, m Method) []byte {
	start := len(dst)
	dst = AppendFrameHead(dst, FrameMethod, channel, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.ID()))
	switch m := m.(type) {
	case direct:
		dst = m.appendArgs(dst)
	case coded:
		c := coder{writing: true, out: dst}
		m.fields(&c)
		dst = c.out
	}
	binary.BigEndian.PutUint32(dst[start+3:], uint32(len(dst)-start-frameHead))
	return append(dst, FrameEnd)
}

// AppendException appends the close that an error leads to: connection.close on
// channel 0 where the error is hard or happened on channel 0, else
// channel.close. cause is the method that failed, 0 where it was none.
func AppendException(dst []byte, channel uint16, e *amqp.Error, cause ID) []byte {
	if channel == 0 || e.Hard() {
		return AppendMethod(dst, 0, &ConnectionClose{
			ReplyCode: e.Code, ReplyText: e.ReplyText(), ClassID: cause.Class(), MethodID: cause.Method(),
		})
	}
	return AppendMethod(dst, channel, &ChannelClose{
		ReplyCode: e.Code, ReplyText: e.ReplyText(), ClassID: cause.Class(), MethodID: cause.Method(),
	})
}
