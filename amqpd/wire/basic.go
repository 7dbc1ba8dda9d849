package wire

import "github.com/leveret-mq/leveret/internal/amqp"

// BasicQos is basic.qos.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

// ID returns IDBasicQos.
func (*BasicQos) ID() ID { return IDBasicQos }

func (m *BasicQos) fields(c *coder) {
	c.long(&m.PrefetchSize)
	c.short(&m.PrefetchCount)
	c.bits(&m.Global)
}

// BasicQosOk is basic.qos-ok.
type BasicQosOk struct{}

// ID returns IDBasicQosOk.
func (*BasicQosOk) ID() ID { return IDBasicQosOk }

func (*BasicQosOk) fields(*coder) {}

// BasicConsume is basic.consume.
type BasicConsume struct {
	Queue       string
	ConsumerTag string
	NoLocal     bool
	NoAck       bool
	Exclusive   bool
	NoWait      bool
	Arguments   amqp.Table
}

// ID returns IDBasicConsume.
func (*BasicConsume) ID() ID { return IDBasicConsume }

func (m *BasicConsume) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.shortstr(&m.ConsumerTag)
	c.bits(&m.NoLocal, &m.NoAck, &m.Exclusive, &m.NoWait)
	c.table(&m.Arguments)
}

// BasicConsumeOk is basic.consume-ok.
type BasicConsumeOk struct {
	ConsumerTag string
}

// ID returns IDBasicConsumeOk.
func (*BasicConsumeOk) ID() ID { return IDBasicConsumeOk }

func (m *BasicConsumeOk) fields(c *coder) {
	c.shortstr(&m.ConsumerTag)
}

// BasicCancel is basic.cancel.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// ID returns IDBasicCancel.
func (*BasicCancel) ID() ID { return IDBasicCancel }

func (m *BasicCancel) fields(c *coder) {
	c.shortstr(&m.ConsumerTag)
	c.bits(&m.NoWait)
}

// BasicCancelOk is basic.cancel-ok.
type BasicCancelOk struct {
	ConsumerTag string
}

// ID returns IDBasicCancelOk.
func (*BasicCancelOk) ID() ID { return IDBasicCancelOk }

func (m *BasicCancelOk) fields(c *coder) {
	c.shortstr(&m.ConsumerTag)
}

// BasicGet is basic.get.
type BasicGet struct {
	Queue string
	NoAck bool
}

// ID returns IDBasicGet.
func (*BasicGet) ID() ID { return IDBasicGet }

func (m *BasicGet) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.bits(&m.NoAck)
}

// BasicGetEmpty is basic.get-empty.
type BasicGetEmpty struct{}

// ID returns IDBasicGetEmpty.
func (*BasicGetEmpty) ID() ID { return IDBasicGetEmpty }

func (*BasicGetEmpty) fields(c *coder) {
	c.reserved(ShortString)
}

// BasicRecoverAsync is basic.recover-async.
type BasicRecoverAsync struct {
	Requeue bool
}

// ID returns IDBasicRecoverAsync.
func (*BasicRecoverAsync) ID() ID { return IDBasicRecoverAsync }

func (m *BasicRecoverAsync) fields(c *coder) {
	c.bits(&m.Requeue)
}

// BasicRecover is basic.recover.
type BasicRecover struct {
	Requeue bool
}

// ID returns IDBasicRecover.
func (*BasicRecover) ID() ID { return IDBasicRecover }

func (m *BasicRecover) fields(c *coder) {
	c.bits(&m.Requeue)
}

// BasicRecoverOk is basic.recover-ok.
type BasicRecoverOk struct{}

// ID returns IDBasicRecoverOk.
func (*BasicRecoverOk) ID() ID { return IDBasicRecoverOk }

func (*BasicRecoverOk) fields(*coder) {}
