package amqpd

import (
	"bytes"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Most publishers send the same frames again and again, but for the body. Where the
// bytes before the body are those of the publish before, they mean the same, and
// comparing them is all that is done with them.

// repeat is the last publish of a read, while nothing else came after it.
type repeat struct {
	ch     *channel
	head   []byte // its bytes in the read buffer up to the body; nil: there is none
	size   int    // of the body, which is one frame
	method wire.BasicPublish
	props  amqp.Properties
}

// repeats publishes the message at c.r, where that is the last one with another
// body. It reports false where it is not, or not surely.
func (c *conn) repeats() bool {
	s := &c.same
	n := len(s.head)
	if n == 0 {
		return false
	}
	b := c.buf[c.r:c.w]
	end := n + s.size
	if len(b) <= end || !bytes.Equal(b[:n], s.head) || b[end] != wire.FrameEnd {
		return false
	}
	if c.phase != running || s.ch.closing {
		return false
	}
	c.r += end + 1
	if !c.gather(s.ch, &s.method, s.props, b[n:end:end], nil, true) {
		s.head = nil
	}
	return true
}
