package amqpd

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
)

func (c *conn) exchangeDeclare(ch *channel, m *wire.ExchangeDeclare) error {
	err := c.session.DeclareExchange(broker.ExchangeSpec{
		Name: m.Exchange, Type: m.Type,
		Passive: m.Passive, Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal,
		Args: m.Arguments,
	})
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.ExchangeDeclareOk{})
	}
	return err
}

func (c *conn) exchangeDelete(ch *channel, m *wire.ExchangeDelete) error {
	err := c.session.DeleteExchange(m.Exchange, m.IfUnused)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.ExchangeDeleteOk{})
	}
	return err
}

func (c *conn) exchangeBind(ch *channel, m *wire.ExchangeBind) error {
	err := c.session.BindExchange(m.Destination, m.Source, m.RoutingKey, m.Arguments)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.ExchangeBindOk{})
	}
	return err
}

func (c *conn) exchangeUnbind(ch *channel, m *wire.ExchangeUnbind) error {
	err := c.session.UnbindExchange(m.Destination, m.Source, m.RoutingKey, m.Arguments)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.ExchangeUnbindOk{})
	}
	return err
}
