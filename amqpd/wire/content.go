package wire

import (
	"encoding/binary"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// ClassBasic is the only class whose methods carry content.
const ClassBasic = 60

// headerFixed is the size of a content header before the properties.
const headerFixed = 12

// ContentHeader is the payload of a header frame.
type ContentHeader struct {
	// BodySize is how many bytes of body the peer says will follow: any u64. A
	// caller compares it with its limit before it makes room.
	BodySize uint64
	// Properties alias the payload and are well-formed.
	Properties amqp.Properties
}

// DecodeHeader reads a content header. The error is 501 FRAME_ERROR where it is
// too short, 505 UNEXPECTED_FRAME where it is not one of class basic, 502
// SYNTAX_ERROR where the properties are malformed.
func DecodeHeader(payload []byte) (ContentHeader, error) {
	if len(payload) < headerFixed+2 {
		return ContentHeader{}, amqp.FrameError("content header of %d bytes", len(payload))
	}
	// Class and weight, which must be 0, in one comparison.
	if binary.BigEndian.Uint32(payload) != ClassBasic<<16 {
		return ContentHeader{}, errHeaderClass(payload)
	}
	h := ContentHeader{
		BodySize:   binary.BigEndian.Uint64(payload[4:]),
		Properties: amqp.Properties(payload[headerFixed:]),
	}
	if err := h.Properties.Validate(); err != nil {
		return ContentHeader{}, err
	}
	return h, nil
}

func errHeaderClass(payload []byte) error {
	class, weight := binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
	if class != ClassBasic {
		return amqp.UnexpectedFrame("expected content header for class %d, got one for class %d instead", ClassBasic, class)
	}
	return amqp.UnexpectedFrame("content header of weight %d, expected 0", weight)
}

// bodyMax is how many bytes of body fit in a frame.
func bodyMax(frameMax uint32) int {
	if frameMax == 0 {
		return 1 << 30 // no limit; a frame's length is a u32, an int may have 31 bits
	}
	return int(max(frameMax, FrameMinSize)) - FrameOverhead
}

// ContentSize returns how many bytes the header frame and the body frames take.
func ContentSize(frameMax uint32, props, body int) int {
	frames := 0
	if body > 0 {
		frames = (body + bodyMax(frameMax) - 1) / bodyMax(frameMax)
	}
	return FrameOverhead + headerFixed + max(props, 2) + frames*FrameOverhead + body
}

// AppendHeader appends the header frame of a content. Empty props are written
// as no properties. The frame can not be split, so that one with many headers
// may pass the frame_max of a peer that negotiated less than its sender had.
func AppendHeader(dst []byte, channel uint16, props []byte, bodySize uint64) []byte {
	if len(props) == 0 {
		props = amqp.NoProperties
	}
	dst = AppendFrameHead(dst, FrameHeader, channel, headerFixed+len(props))
	dst = append(dst, 0, ClassBasic, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, bodySize)
	dst = append(dst, props...)
	return append(dst, FrameEnd)
}

// AppendBody appends the body in as many frames as it needs: none where it is
// empty.
func AppendBody(dst []byte, channel uint16, frameMax uint32, body []byte) []byte {
	for limit := bodyMax(frameMax); len(body) > 0; {
		n := min(len(body), limit)
		dst = AppendFrameHead(dst, FrameBody, channel, n)
		dst = append(dst, body[:n]...)
		dst = append(dst, FrameEnd)
		body = body[n:]
	}
	return dst
}

// appendContent is AppendHeader and AppendBody.
func appendContent(dst []byte, channel uint16, frameMax uint32, props, body []byte) []byte {
	dst = AppendHeader(dst, channel, props, uint64(len(body)))
	return AppendBody(dst, channel, frameMax, body)
}

// appendDirect appends the method frame of a hot method whose arguments take
// size bytes, and makes room for extra bytes after it.
func appendDirect(dst []byte, channel uint16, id ID, size, extra int) []byte {
	dst = slices.Grow(dst, FrameOverhead+4+size+extra)
	dst = AppendFrameHead(dst, FrameMethod, channel, 4+size)
	return binary.BigEndian.AppendUint32(dst, uint32(id))
}

// shortSize is the size of a shortstr on the wire.
func shortSize[T string | []byte](s T) int { return 1 + min(len(s), 255) }

// AppendDeliver appends a whole delivery: the frames of method, header and
// body. It grows dst at most once.
func AppendDeliver(dst []byte, channel uint16, frameMax uint32, m *BasicDeliver, props, body []byte) []byte {
	dst = appendDeliver(dst, channel, m, ContentSize(frameMax, len(props), len(body)))
	return appendContent(dst, channel, frameMax, props, body)
}

// AppendDeliverHead appends the frames of method and header. The caller sends
// bodySize bytes in body frames behind them, from where they lie.
func AppendDeliverHead(dst []byte, channel uint16, m *BasicDeliver, props []byte, bodySize uint64) []byte {
	dst = appendDeliver(dst, channel, m, ContentSize(0, len(props), 0))
	return AppendHeader(dst, channel, props, bodySize)
}

func appendDeliver(dst []byte, channel uint16, m *BasicDeliver, extra int) []byte {
	size := shortSize(m.ConsumerTag) + 9 + shortSize(m.Exchange) + shortSize(m.RoutingKey)
	dst = appendDirect(dst, channel, IDBasicDeliver, size, extra)
	return append(m.appendArgs(dst), FrameEnd)
}

// AppendGetOk appends the whole answer to a basic.get.
func AppendGetOk(dst []byte, channel uint16, frameMax uint32, m *BasicGetOk, props, body []byte) []byte {
	size := 9 + shortSize(m.Exchange) + shortSize(m.RoutingKey) + 4
	dst = appendDirect(dst, channel, IDBasicGetOk, size, ContentSize(frameMax, len(props), len(body)))
	dst = append(m.appendArgs(dst), FrameEnd)
	return appendContent(dst, channel, frameMax, props, body)
}

// AppendReturn appends a whole returned message.
func AppendReturn(dst []byte, channel uint16, frameMax uint32, m *BasicReturn, props, body []byte) []byte {
	size := 2 + shortSize(m.ReplyText) + shortSize(m.Exchange) + shortSize(m.RoutingKey)
	dst = appendDirect(dst, channel, IDBasicReturn, size, ContentSize(frameMax, len(props), len(body)))
	dst = append(m.appendArgs(dst), FrameEnd)
	return appendContent(dst, channel, frameMax, props, body)
}

// AppendPublish appends a whole publish: a client's side.
func AppendPublish(dst []byte, channel uint16, frameMax uint32, m *BasicPublish, props, body []byte) []byte {
	size := 2 + shortSize(m.Exchange) + shortSize(m.RoutingKey) + 1
	dst = appendDirect(dst, channel, IDBasicPublish, size, ContentSize(frameMax, len(props), len(body)))
	dst = append(m.appendArgs(dst), FrameEnd)
	return appendContent(dst, channel, frameMax, props, body)
}

// AppendAck appends a basic.ack.
func AppendAck(dst []byte, channel uint16, tag uint64, multiple bool) []byte {
	return appendTag(dst, channel, IDBasicAck, tag, bit(multiple))
}

// AppendNack appends a basic.nack.
func AppendNack(dst []byte, channel uint16, tag uint64, multiple, requeue bool) []byte {
	return appendTag(dst, channel, IDBasicNack, tag, bit(multiple)|bit(requeue)<<1)
}

// AppendReject appends a basic.reject.
func AppendReject(dst []byte, channel uint16, tag uint64, requeue bool) []byte {
	return appendTag(dst, channel, IDBasicReject, tag, bit(requeue))
}

func appendTag(dst []byte, channel uint16, id ID, tag uint64, bits byte) []byte {
	dst = AppendFrameHead(dst, FrameMethod, channel, 4+tagArgs)
	dst = binary.BigEndian.AppendUint32(dst, uint32(id))
	dst = binary.BigEndian.AppendUint64(dst, tag)
	return append(dst, bits, FrameEnd)
}
