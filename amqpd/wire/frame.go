package wire

import (
	"encoding/binary"
	"errors"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// ProtocolHeader is what a client sends first, and what a server answers to
// any other beginning before it closes the socket.
const ProtocolHeader = "AMQP\x00\x00\x09\x01"

// ErrProtocolHeader says that the peer speaks something else.
var ErrProtocolHeader = errors.New("the connection does not begin with the protocol header of AMQP 0-9-1")

// ParseProtocolHeader checks the start of a connection. n is the header's size:
// where it is more than len(buf), the bytes so far are right and more must be
// read. It fails at the first byte that differs, so that a peer which sends
// less than a header of something else is not waited for.
func ParseProtocolHeader(buf []byte) (n int, err error) {
	got := min(len(buf), len(ProtocolHeader))
	if string(buf[:got]) != ProtocolHeader[:got] {
		return 0, ErrProtocolHeader
	}
	return len(ProtocolHeader), nil
}

// Frame types.
const (
	FrameMethod    = 1
	FrameHeader    = 2
	FrameBody      = 3
	FrameHeartbeat = 8
)

const (
	// FrameEnd is the octet after a frame's payload.
	FrameEnd = 0xCE
	// FrameOverhead is what a frame has around its payload, in bytes.
	FrameOverhead = frameHead + 1
	// FrameMinSize is the smallest frame_max that may be negotiated, and the
	// limit before anything is.
	FrameMinSize = 4096

	frameHead = 7
	// frameSlack is how far a frame may pass frame_max. There are clients that
	// take frame_max for the limit of the payload; RabbitMQ lets them.
	frameSlack = FrameOverhead
)

// Frame is a frame as it lies in the buffer that it was parsed from.
type Frame struct {
	Type    uint8
	Channel uint16
	Payload []byte // aliases the buffer
}

// ParseFrame reads the frame at the start of buf. n is the frame's size with
// its overhead. Where n is more than len(buf) there is no frame yet, and n is
// how many bytes must be there before it pays to call again.
//
// frameMax is the negotiated limit in bytes of a whole frame; 0 means none, and
// then a peer can claim 4 GiB: a caller that makes room for n bytes has a limit
// of its own. Errors are 501 FRAME_ERROR, or 505 UNEXPECTED_FRAME for a heartbeat
// on a channel, and come as soon as the bytes tell: a frame too long is refused
// by its first seven.
func ParseFrame(buf []byte, frameMax uint32) (f Frame, n int, err error) {
	if len(buf) < frameHead {
		if len(buf) > 0 && !knownFrame(buf[0]) {
			return Frame{}, 0, errFrameType(buf[0])
		}
		return Frame{}, FrameOverhead, nil
	}
	f.Type = buf[0]
	f.Channel = binary.BigEndian.Uint16(buf[1:])
	size := uint64(binary.BigEndian.Uint32(buf[3:]))
	if f.Type-FrameMethod > FrameBody-FrameMethod {
		// The hot frames are past this one comparison.
		if f.Type != FrameHeartbeat {
			return Frame{}, 0, errFrameType(f.Type)
		}
		if size != 0 || f.Channel != 0 {
			return Frame{}, 0, errHeartbeat(f.Channel, size)
		}
	}
	if frameMax != 0 && size+FrameOverhead > uint64(frameMax)+frameSlack {
		return Frame{}, 0, errFrameSize(size, frameMax)
	}
	if uint64(len(buf)) < size+FrameOverhead {
		return Frame{}, wanted(size), nil
	}
	end := frameHead + int(size)
	if buf[end] != FrameEnd {
		return Frame{}, 0, errFrameEnd(buf[end])
	}
	f.Payload = buf[frameHead:end:end]
	return f, end + 1, nil
}

// wanted is the size of a whole frame, which may be more than an int holds
// where an int has 32 bits.
func wanted(size uint64) int {
	const maxInt = int(^uint(0) >> 1)
	if size > uint64(maxInt)-FrameOverhead {
		return maxInt
	}
	return int(size) + FrameOverhead
}

func knownFrame(typ uint8) bool {
	switch typ {
	case FrameMethod, FrameHeader, FrameBody, FrameHeartbeat:
		return true
	}
	return false
}

func errFrameType(typ uint8) error {
	return amqp.FrameError("unknown frame type %d", typ)
}

// errHeartbeat tells the two apart as RabbitMQ does.
func errHeartbeat(channel uint16, size uint64) error {
	if size != 0 {
		return amqp.FrameError("heartbeat with a payload of %d bytes", size)
	}
	return amqp.UnexpectedFrame("heartbeat on channel %d, it belongs on channel 0", channel)
}

func errFrameSize(size uint64, frameMax uint32) error {
	return amqp.FrameError("frame of %d bytes is larger than the negotiated frame_max of %d", size+FrameOverhead, frameMax)
}

func errFrameEnd(got byte) error {
	return amqp.FrameError("frame ends with octet %d, expected %d", got, FrameEnd)
}

// AppendFrameHead appends the seven bytes before a payload of size bytes. The
// payload and [FrameEnd] must follow: for bodies that are written from where
// they lie instead of being copied.
func AppendFrameHead(dst []byte, typ uint8, channel uint16, size int) []byte {
	return append(dst, typ, byte(channel>>8), byte(channel),
		byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
}

// AppendHeartbeat appends a heartbeat frame.
func AppendHeartbeat(dst []byte) []byte {
	return append(dst, FrameHeartbeat, 0, 0, 0, 0, 0, 0, FrameEnd)
}
