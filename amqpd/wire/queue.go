package wire

import "github.com/leveret-mq/leveret/internal/amqp"

// QueueDeclare is queue.declare.
type QueueDeclare struct {
	Queue      string
	Passive    bool
	Durable    bool
	Exclusive  bool
	AutoDelete bool
	NoWait     bool
	Arguments  amqp.Table
}

// ID returns IDQueueDeclare.
func (*QueueDeclare) ID() ID { return IDQueueDeclare }

func (m *QueueDeclare) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.bits(&m.Passive, &m.Durable, &m.Exclusive, &m.AutoDelete, &m.NoWait)
	c.table(&m.Arguments)
}

// QueueDeclareOk is queue.declare-ok.
type QueueDeclareOk struct {
	Queue         string
	MessageCount  uint32
	ConsumerCount uint32
}

// ID returns IDQueueDeclareOk.
func (*QueueDeclareOk) ID() ID { return IDQueueDeclareOk }

func (m *QueueDeclareOk) fields(c *coder) {
	c.shortstr(&m.Queue)
	c.long(&m.MessageCount)
	c.long(&m.ConsumerCount)
}

// QueueBind is queue.bind.
type QueueBind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	NoWait     bool
	Arguments  amqp.Table
}

// ID returns IDQueueBind.
func (*QueueBind) ID() ID { return IDQueueBind }

func (m *QueueBind) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// QueueBindOk is queue.bind-ok.
type QueueBindOk struct{}

// ID returns IDQueueBindOk.
func (*QueueBindOk) ID() ID { return IDQueueBindOk }

func (*QueueBindOk) fields(*coder) {}

// QueuePurge is queue.purge.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

// ID returns IDQueuePurge.
func (*QueuePurge) ID() ID { return IDQueuePurge }

func (m *QueuePurge) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.bits(&m.NoWait)
}

// QueuePurgeOk is queue.purge-ok.
type QueuePurgeOk struct {
	MessageCount uint32
}

// ID returns IDQueuePurgeOk.
func (*QueuePurgeOk) ID() ID { return IDQueuePurgeOk }

func (m *QueuePurgeOk) fields(c *coder) {
	c.long(&m.MessageCount)
}

// QueueDelete is queue.delete.
type QueueDelete struct {
	Queue    string
	IfUnused bool
	IfEmpty  bool
	NoWait   bool
}

// ID returns IDQueueDelete.
func (*QueueDelete) ID() ID { return IDQueueDelete }

func (m *QueueDelete) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.bits(&m.IfUnused, &m.IfEmpty, &m.NoWait)
}

// QueueDeleteOk is queue.delete-ok.
type QueueDeleteOk struct {
	MessageCount uint32
}

// ID returns IDQueueDeleteOk.
func (*QueueDeleteOk) ID() ID { return IDQueueDeleteOk }

func (m *QueueDeleteOk) fields(c *coder) {
	c.long(&m.MessageCount)
}

// QueueUnbind is queue.unbind.
type QueueUnbind struct {
	Queue      string
	Exchange   string
	RoutingKey string
	Arguments  amqp.Table
}

// ID returns IDQueueUnbind.
func (*QueueUnbind) ID() ID { return IDQueueUnbind }

func (m *QueueUnbind) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Queue)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.RoutingKey)
	c.table(&m.Arguments)
}

// QueueUnbindOk is queue.unbind-ok.
type QueueUnbindOk struct{}

// ID returns IDQueueUnbindOk.
func (*QueueUnbindOk) ID() ID { return IDQueueUnbindOk }

func (*QueueUnbindOk) fields(*coder) {}
