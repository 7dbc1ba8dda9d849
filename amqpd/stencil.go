package amqpd

import (
	"bytes"
	"encoding/binary"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
)

// Most deliveries differ from the one before in their tag and their body alone. So
// the frames of one are kept, up to the body, and the next one is a copy of them.

// stencil is a delivery's frames up to the bytes of its body, which is one frame.
// conn.mu guards it.
type stencil struct {
	k    *consumer
	head []byte
	// Where things stand in head: the routing key, the header frame's body size, the
	// properties. The exchange's name stands behind the tag.
	key, size, props int
	used             bool // since it was cut
	skip             int  // so many deliveries are not worth a new one
}

const (
	// stencilMost bounds a stencil in bytes.
	stencilMost = 512
	// stencilSkip is how many deliveries pass, where none was as the one before, until
	// one is cut again.
	stencilSkip = 16
	// tagOffset is where a delivery's tag stands, but for the consumer tag's length,
	// and namesOffset is where, behind the tag, the exchange's name stands.
	tagOffset   = frameOverhead - 1 + 4 + 1
	namesOffset = 8 + 1 + 1
	// bodyHead is the length of a frame's head.
	bodyHead = frameOverhead - 1
)

// fits tells whether a delivery may be copied.
func (s *stencil) fits(k *consumer, d *broker.Delivery) bool {
	if s.k != k || d.Redelivered || d.Large != nil || len(d.Body) == 0 {
		return false
	}
	at := tagOffset + len(k.name) + namesOffset
	return len(s.head)-bodyHead-1-s.props == len(d.Props) && s.key-1-at == len(d.Exchange) && s.size-s.key-1-bodyHead-4 == len(d.RoutingKey) &&
		bytes.Equal(s.head[at:s.key-1], d.Exchange) &&
		bytes.Equal(s.head[s.key:s.key+len(d.RoutingKey)], d.RoutingKey) &&
		bytes.Equal(s.head[s.props:s.props+len(d.Props)], d.Props)
}

// put fills in the n bytes of a delivery that fits: len(head), its body, a frame's end.
func (s *stencil) put(p []byte, tag uint64, body []byte) {
	s.used = true
	if n := len(s.head) - 4; binary.BigEndian.Uint32(s.head[n:]) != uint32(len(body)) {
		binary.BigEndian.PutUint32(s.head[n:], uint32(len(body)))
		binary.BigEndian.PutUint64(s.head[s.size:], uint64(len(body)))
	}
	copy(p, s.head)
	binary.BigEndian.PutUint64(p[tagOffset+len(s.k.name):], tag)
	copy(p[len(s.head):], body)
	p[len(p)-1] = wire.FrameEnd
}

// cut makes the stencil of a delivery, which m begins and which was written.
func (s *stencil) cut(k *consumer, m *wire.BasicDeliver, d *broker.Delivery) {
	switch {
	case s.skip > 0:
		s.skip--
		return
	case !s.used && s.k != nil:
		s.skip = stencilSkip
	}
	s.k, s.used = nil, false
	size := tagOffset + len(k.name) + namesOffset + len(d.Exchange) + 1 + len(d.RoutingKey) + 1
	props := size + bodyHead + 4 + 8
	if d.Redelivered || len(d.Props) < 2 || len(d.Body) == 0 || props+len(d.Props)+1+bodyHead > stencilMost {
		return
	}
	s.k = k
	s.key = size - 1 - len(d.RoutingKey)
	s.size, s.props = props-8, props
	s.head = wire.AppendDeliverHead(s.head[:0], k.ch.id, m, d.Props, uint64(len(d.Body)))
	s.head = wire.AppendFrameHead(s.head, wire.FrameBody, k.ch.id, len(d.Body))
}
