package amqpd

import "github.com/leveret-mq/leveret/amqpd/wire"

// heedAlarm stops reading a connection that has just published while the broker
// is short of a resource, and tells the client, as RabbitMQ does: one that only
// consumes goes on, and its acks make room. It returns when the alarm has ended,
// or the connection.
func (c *conn) heedAlarm() {
	alarm := c.srv.alarm.Load()
	if alarm == nil {
		return
	}
	c.heldUp.Store(true)
	defer c.heldUp.Store(false)
	if c.client.blocked {
		c.reply(0, &wire.ConnectionBlocked{Reason: alarm.reason})
		c.kick()
	}
	c.log().Warn("connection blocked", "reason", alarm.reason)
	for alarm = c.srv.alarm.Load(); alarm != nil; alarm = c.srv.alarm.Load() {
		select {
		case <-alarm.over:
		case <-c.nudge:
			c.mu.Lock()
			dead := c.dead
			c.mu.Unlock()
			if dead || c.forced.Load() != nil {
				return
			}
			c.closeLate()
			if c.phase != running {
				return
			}
		}
	}
	if c.client.blocked {
		c.reply(0, &wire.ConnectionUnblocked{})
		c.kick()
	}
}

// alarm is a shortage that lasts; over is closed when it ends.
type alarm struct {
	reason string
	over   chan struct{}
}
