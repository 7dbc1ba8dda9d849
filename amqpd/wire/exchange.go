package wire

import "github.com/leveret-mq/leveret/internal/amqp"

// ExchangeDeclare is exchange.declare.
type ExchangeDeclare struct {
	Exchange   string
	Type       string
	Passive    bool
	Durable    bool
	AutoDelete bool
	Internal   bool
	NoWait     bool
	Arguments  amqp.Table
}

// ID returns IDExchangeDeclare.
func (*ExchangeDeclare) ID() ID { return IDExchangeDeclare }

func (m *ExchangeDeclare) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Exchange)
	c.shortstr(&m.Type)
	c.bits(&m.Passive, &m.Durable, &m.AutoDelete, &m.Internal, &m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeDeclareOk is exchange.declare-ok.
type ExchangeDeclareOk struct{}

// ID returns IDExchangeDeclareOk.
func (*ExchangeDeclareOk) ID() ID { return IDExchangeDeclareOk }

func (*ExchangeDeclareOk) fields(*coder) {}

// ExchangeDelete is exchange.delete.
type ExchangeDelete struct {
	Exchange string
	IfUnused bool
	NoWait   bool
}

// ID returns IDExchangeDelete.
func (*ExchangeDelete) ID() ID { return IDExchangeDelete }

func (m *ExchangeDelete) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Exchange)
	c.bits(&m.IfUnused, &m.NoWait)
}

// ExchangeDeleteOk is exchange.delete-ok.
type ExchangeDeleteOk struct{}

// ID returns IDExchangeDeleteOk.
func (*ExchangeDeleteOk) ID() ID { return IDExchangeDeleteOk }

func (*ExchangeDeleteOk) fields(*coder) {}

// ExchangeBind is exchange.bind.
type ExchangeBind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   amqp.Table
}

// ID returns IDExchangeBind.
func (*ExchangeBind) ID() ID { return IDExchangeBind }

func (m *ExchangeBind) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Destination)
	c.shortstr(&m.Source)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeBindOk is exchange.bind-ok.
type ExchangeBindOk struct{}

// ID returns IDExchangeBindOk.
func (*ExchangeBindOk) ID() ID { return IDExchangeBindOk }

func (*ExchangeBindOk) fields(*coder) {}

// ExchangeUnbind is exchange.unbind.
type ExchangeUnbind struct {
	Destination string
	Source      string
	RoutingKey  string
	NoWait      bool
	Arguments   amqp.Table
}

// ID returns IDExchangeUnbind.
func (*ExchangeUnbind) ID() ID { return IDExchangeUnbind }

func (m *ExchangeUnbind) fields(c *coder) {
	c.reserved(Short)
	c.shortstr(&m.Destination)
	c.shortstr(&m.Source)
	c.shortstr(&m.RoutingKey)
	c.bits(&m.NoWait)
	c.table(&m.Arguments)
}

// ExchangeUnbindOk is exchange.unbind-ok.
type ExchangeUnbindOk struct{}

// ID returns IDExchangeUnbindOk.
func (*ExchangeUnbindOk) ID() ID { return IDExchangeUnbindOk }

func (*ExchangeUnbindOk) fields(*coder) {}
