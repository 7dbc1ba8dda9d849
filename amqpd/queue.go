package amqpd

import (
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// queueName resolves an empty name to the channel's last declared queue.
func (ch *channel) queueName(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if ch.queue == "" {
		return "", amqp.NotFound("no previously declared queue")
	}
	return ch.queue, nil
}

func (c *conn) queueDeclare(ch *channel, m *wire.QueueDeclare) error {
	info, err := c.session.DeclareQueue(broker.QueueSpec{
		Name:    m.Queue,
		Passive: m.Passive, Durable: m.Durable, Exclusive: m.Exclusive, AutoDelete: m.AutoDelete,
		Args: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.queue = info.Name
	if !m.NoWait {
		c.owe(ch.id, &wire.QueueDeclareOk{Queue: info.Name, MessageCount: info.Messages, ConsumerCount: info.Consumers})
	}
	return nil
}

func (c *conn) queueBind(ch *channel, m *wire.QueueBind) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	key := m.RoutingKey
	if m.Queue == "" && key == "" {
		key = queue // AMQP 0-9-1, queue.bind: both empty mean the queue's name
	}
	err = c.session.BindQueue(queue, m.Exchange, key, m.Arguments)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.QueueBindOk{})
	}
	return err
}

func (c *conn) queueUnbind(ch *channel, m *wire.QueueUnbind) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	key := m.RoutingKey
	if m.Queue == "" && key == "" {
		key = queue
	}
	err = c.session.UnbindQueue(queue, m.Exchange, key, m.Arguments)
	if err == nil {
		c.owe(ch.id, &wire.QueueUnbindOk{})
	}
	return err
}

func (c *conn) queuePurge(ch *channel, m *wire.QueuePurge) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	n, err := c.session.PurgeQueue(queue)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.QueuePurgeOk{MessageCount: n})
	}
	return err
}

func (c *conn) queueDelete(ch *channel, m *wire.QueueDelete) error {
	queue, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	// Its own consumers hear of it after the answer, as in RabbitMQ.
	c.mu.Lock()
	c.deleting = true
	c.mu.Unlock()
	n, err := c.session.DeleteQueue(queue, m.IfUnused, m.IfEmpty)
	if err == nil && !m.NoWait {
		c.owe(ch.id, &wire.QueueDeleteOk{MessageCount: n})
	}
	c.mu.Lock()
	told := len(c.cancels) > 0
	c.mu.Unlock()
	if told {
		c.answer()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleting = false
	for i, k := range c.cancels {
		if !c.closed { // by an answer that the log has lost
			c.sendCancel(k)
		}
		c.cancels[i] = nil
	}
	c.cancels = c.cancels[:0]
	return err
}
