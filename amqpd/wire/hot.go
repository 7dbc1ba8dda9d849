package wire

import (
	"encoding/binary"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// The methods of the hot path: those that come once a message. They read their
// arguments in place and allocate nothing; their byte slices alias the input.
// As in RabbitMQ the strings of methods with content are not checked for UTF-8.

// BasicPublish is basic.publish.
type BasicPublish struct {
	Exchange   []byte
	RoutingKey []byte
	Mandatory  bool
	Immediate  bool
}

// ID returns IDBasicPublish.
func (*BasicPublish) ID() ID { return IDBasicPublish }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicPublish) Decode(args []byte) error {
	if len(args) < 2 {
		return errHot(IDBasicPublish)
	}
	exchange, rest, ok := cutShort(args[2:])
	if !ok {
		return errHot(IDBasicPublish)
	}
	key, rest, ok := cutShort(rest)
	if !ok || len(rest) != 1 {
		return errHot(IDBasicPublish)
	}
	m.Exchange, m.RoutingKey = exchange, key
	m.Mandatory, m.Immediate = rest[0]&1 != 0, rest[0]&2 != 0
	return nil
}

func (m *BasicPublish) appendArgs(dst []byte) []byte {
	dst = append(dst, 0, 0)
	dst = appendShort(dst, m.Exchange)
	dst = appendShort(dst, m.RoutingKey)
	return append(dst, bit(m.Mandatory)|bit(m.Immediate)<<1)
}

// BasicReturn is basic.return.
type BasicReturn struct {
	ReplyCode  uint16
	ReplyText  string // copied
	Exchange   []byte
	RoutingKey []byte
}

// ID returns IDBasicReturn.
func (*BasicReturn) ID() ID { return IDBasicReturn }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicReturn) Decode(args []byte) error {
	if len(args) < 2 {
		return errHot(IDBasicReturn)
	}
	text, rest, ok := cutShort(args[2:])
	if !ok {
		return errHot(IDBasicReturn)
	}
	exchange, rest, ok := cutShort(rest)
	if !ok {
		return errHot(IDBasicReturn)
	}
	key, rest, ok := cutShort(rest)
	if !ok || len(rest) != 0 {
		return errHot(IDBasicReturn)
	}
	m.ReplyCode = binary.BigEndian.Uint16(args)
	m.ReplyText = string(text)
	m.Exchange, m.RoutingKey = exchange, key
	return nil
}

func (m *BasicReturn) appendArgs(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, m.ReplyCode)
	dst = appendShort(dst, m.ReplyText)
	dst = appendShort(dst, m.Exchange)
	return appendShort(dst, m.RoutingKey)
}

// BasicDeliver is basic.deliver.
type BasicDeliver struct {
	ConsumerTag []byte
	DeliveryTag uint64
	Redelivered bool
	Exchange    []byte
	RoutingKey  []byte
}

// ID returns IDBasicDeliver.
func (*BasicDeliver) ID() ID { return IDBasicDeliver }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicDeliver) Decode(args []byte) error {
	tag, fixed, ok := cutShort(args)
	if !ok || len(fixed) < 9 {
		return errHot(IDBasicDeliver)
	}
	exchange, rest, ok := cutShort(fixed[9:])
	if !ok {
		return errHot(IDBasicDeliver)
	}
	key, rest, ok := cutShort(rest)
	if !ok || len(rest) != 0 {
		return errHot(IDBasicDeliver)
	}
	m.ConsumerTag, m.Exchange, m.RoutingKey = tag, exchange, key
	m.DeliveryTag = binary.BigEndian.Uint64(fixed)
	m.Redelivered = fixed[8]&1 != 0
	return nil
}

func (m *BasicDeliver) appendArgs(dst []byte) []byte {
	dst = appendShort(dst, m.ConsumerTag)
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	dst = append(dst, bit(m.Redelivered))
	dst = appendShort(dst, m.Exchange)
	return appendShort(dst, m.RoutingKey)
}

// BasicGetOk is basic.get-ok.
type BasicGetOk struct {
	DeliveryTag  uint64
	Redelivered  bool
	Exchange     []byte
	RoutingKey   []byte
	MessageCount uint32
}

// ID returns IDBasicGetOk.
func (*BasicGetOk) ID() ID { return IDBasicGetOk }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicGetOk) Decode(args []byte) error {
	if len(args) < 9 {
		return errHot(IDBasicGetOk)
	}
	exchange, rest, ok := cutShort(args[9:])
	if !ok {
		return errHot(IDBasicGetOk)
	}
	key, rest, ok := cutShort(rest)
	if !ok || len(rest) != 4 {
		return errHot(IDBasicGetOk)
	}
	m.DeliveryTag = binary.BigEndian.Uint64(args)
	m.Redelivered = args[8]&1 != 0
	m.Exchange, m.RoutingKey = exchange, key
	m.MessageCount = binary.BigEndian.Uint32(rest)
	return nil
}

func (m *BasicGetOk) appendArgs(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, m.DeliveryTag)
	dst = append(dst, bit(m.Redelivered))
	dst = appendShort(dst, m.Exchange)
	dst = appendShort(dst, m.RoutingKey)
	return binary.BigEndian.AppendUint32(dst, m.MessageCount)
}

// BasicAck is basic.ack: from a client for deliveries, from the server for
// publishes.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

// ID returns IDBasicAck.
func (*BasicAck) ID() ID { return IDBasicAck }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicAck) Decode(args []byte) error {
	if len(args) != tagArgs {
		return errHot(IDBasicAck)
	}
	m.DeliveryTag = binary.BigEndian.Uint64(args)
	m.Multiple = args[8]&1 != 0
	return nil
}

func (m *BasicAck) appendArgs(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, m.DeliveryTag), bit(m.Multiple))
}

// BasicReject is basic.reject.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// ID returns IDBasicReject.
func (*BasicReject) ID() ID { return IDBasicReject }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicReject) Decode(args []byte) error {
	if len(args) != tagArgs {
		return errHot(IDBasicReject)
	}
	m.DeliveryTag = binary.BigEndian.Uint64(args)
	m.Requeue = args[8]&1 != 0
	return nil
}

func (m *BasicReject) appendArgs(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, m.DeliveryTag), bit(m.Requeue))
}

// BasicNack is basic.nack: from a client for deliveries, from the server for
// publishes.
type BasicNack struct {
	DeliveryTag uint64
	Multiple    bool
	Requeue     bool
}

// ID returns IDBasicNack.
func (*BasicNack) ID() ID { return IDBasicNack }

// Decode reads the arguments; the error is 501 FRAME_ERROR.
func (m *BasicNack) Decode(args []byte) error {
	if len(args) != tagArgs {
		return errHot(IDBasicNack)
	}
	m.DeliveryTag = binary.BigEndian.Uint64(args)
	m.Multiple, m.Requeue = args[8]&1 != 0, args[8]&2 != 0
	return nil
}

func (m *BasicNack) appendArgs(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, m.DeliveryTag), bit(m.Multiple)|bit(m.Requeue)<<1)
}

// tagArgs is the size of a delivery tag and an octet of bits.
const tagArgs = 9

// cutShort takes a shortstr from b.
func cutShort(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n:n], b[n:], true
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func errHot(id ID) error {
	return amqp.FrameError("cannot decode %s: truncated, or bytes left over", id)
}
