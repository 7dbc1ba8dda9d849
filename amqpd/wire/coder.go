package wire

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// coder reads or writes the arguments of a cold method. A method lists its
// fields once, and the same list serves both directions: it can not happen that
// one forgets what the other has. What a method decodes to shares no memory
// with the input, so that it may be kept.
type coder struct {
	def     *Definition
	writing bool
	// in is what is still to be read; out is what has been written.
	in  []byte
	out []byte
	// field counts the fields done, to name the one that is bad.
	field int
	err   error
}

// fail notes the first error; the fields after it read as zero.
func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = errArguments(c.def, what+" "+c.name())
	}
	c.in = nil
}

func (c *coder) name() string {
	if c.field < len(c.def.Fields) {
		return c.def.Fields[c.field].Name
	}
	return "field"
}

// take returns the next n bytes, or nil where there are fewer.
func (c *coder) take(n int) []byte {
	if c.err != nil {
		return nil
	}
	if len(c.in) < n {
		c.fail("truncated")
		return nil
	}
	b := c.in[:n]
	c.in = c.in[n:]
	return b
}

// end is called after the last field.
func (c *coder) end() error {
	if c.err == nil && len(c.in) != 0 {
		c.err = errArguments(c.def, "bytes left over")
	}
	return c.err
}

func (c *coder) octet(p *uint8) {
	if c.writing {
		c.out = append(c.out, *p)
	} else if b := c.take(1); b != nil {
		*p = b[0]
	}
	c.field++
}

func (c *coder) short(p *uint16) {
	if c.writing {
		c.out = binary.BigEndian.AppendUint16(c.out, *p)
	} else if b := c.take(2); b != nil {
		*p = binary.BigEndian.Uint16(b)
	}
	c.field++
}

func (c *coder) long(p *uint32) {
	if c.writing {
		c.out = binary.BigEndian.AppendUint32(c.out, *p)
	} else if b := c.take(4); b != nil {
		*p = binary.BigEndian.Uint32(b)
	}
	c.field++
}

// shortstr refuses what is not UTF-8, as RabbitMQ does in the methods that
// carry no content.
func (c *coder) shortstr(p *string) {
	if c.writing {
		c.out = appendShort(c.out, *p)
	} else if b := c.take(1); b != nil {
		b = c.take(int(b[0]))
		if c.err == nil && !utf8.Valid(b) {
			c.fail("malformed UTF-8 in")
		}
		if c.err == nil {
			*p = string(b)
		}
	}
	c.field++
}

func (c *coder) longstr(p *string) {
	if c.writing {
		c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(*p)))
		c.out = append(c.out, *p...)
	} else {
		*p = string(c.prefixed())
	}
	c.field++
}

func (c *coder) table(p *amqp.Table) {
	if c.writing {
		c.out = amqp.AppendTable(c.out, *p)
	} else if b := c.prefixed(); c.err == nil {
		t := amqp.Table(b)
		if err := t.Validate(); err != nil {
			// 502, and not the 501 of a frame that can not be taken apart.
			c.err = amqp.SyntaxError("%s: %s: %s", c.def.Name, c.name(), amqp.AsError(err).Text)
		} else {
			*p = append(amqp.Table{}, t...)
		}
	}
	c.field++
}

// prefixed returns the bytes behind a u32 length.
func (c *coder) prefixed() []byte {
	b := c.take(4)
	if b == nil {
		return nil
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(c.in)) {
		c.fail("truncated")
		return nil
	}
	return c.take(int(n))
}

// bits are the consecutive bits that share an octet, lowest first. No method
// has more than eight. A nil pointer is a reserved bit.
func (c *coder) bits(ps ...*bool) {
	var octet byte
	if c.writing {
		for i, p := range ps {
			if p != nil && *p {
				octet |= 1 << i
			}
		}
		c.out = append(c.out, octet)
	} else if b := c.take(1); b != nil {
		for i, p := range ps {
			if p != nil {
				*p = b[0]&(1<<i) != 0
			}
		}
	}
	c.field += len(ps)
}

// reserved skips a field that has no meaning any more, and writes it empty.
func (c *coder) reserved(k Kind) {
	switch k {
	case Short:
		var v uint16
		c.short(&v)
	case ShortString:
		var v string
		c.shortstr(&v)
	case LongString:
		var v string
		c.longstr(&v)
	default:
		panic("wire: no reserved field is of kind " + k.String())
	}
}

// appendShort appends a shortstr. A longer string is cut: all that the broker
// writes came in as a shortstr or went through amqp.Error.ReplyText, and
// a panic would be the worse end for the one that did not.
func appendShort[T string | []byte](dst []byte, s T) []byte {
	if len(s) > 255 {
		s = s[:255]
	}
	dst = append(dst, byte(len(s)))
	return append(dst, s...)
}

func errArguments(def *Definition, what string) error {
	return amqp.FrameError("cannot decode %s: %s", def.Name, strings.TrimSpace(what))
}
