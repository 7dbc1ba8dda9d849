package amqpd

import (
	"errors"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Large bodies that come in: from the read buffer into a file.

// beginUpload gives a large content a file to go to. Where that cannot be, its
// body is dropped as it comes, and the publish is refused in its turn.
func (c *conn) beginUpload(ct *content) {
	c.flush(false) // what came before it must not wait for its disk
	if c.session == nil {
		return
	}
	up, err := c.session.NewUpload(ct.size, amqp.Properties(ct.props))
	switch {
	case err == nil:
		ct.upload = up
	case errors.Is(err, broker.ErrTooManyUploads): // as any other, then
	default:
		ct.lost = err
	}
}

// addBody takes a body frame in.
func (ct *content) addBody(p []byte) {
	switch {
	case ct.lost != nil:
	case ct.upload != nil:
		if _, err := ct.upload.Write(p); err != nil {
			ct.upload.Abort()
			ct.upload, ct.lost = nil, err
		}
	default:
		ct.grow(len(p))
		ct.body = append(ct.body, p...)
	}
	ct.have += uint64(len(p))
}

// notStored answers a publish whose body could not be kept: a nack in its turn,
// or, where nobody waits for one, the connection's end.
func (c *conn) notStored(ch *channel, err error) {
	c.log().Error("large message could not be stored", "channel", ch.id, "err", err)
	if ch.tx != nil || !ch.confirm.on {
		c.fail(amqp.InternalError("message could not be stored: %v", err), wire.IDBasicPublish)
		return
	}
	c.flush(false) // tags are settled in order
	if c.phase != running || ch.closing {
		return
	}
	tag := ch.confirm.next
	ch.confirm.next++
	c.mu.Lock()
	c.promise(ch, 0, tag, true)
	c.mu.Unlock()
}

// tooLarge refuses a body in RabbitMQ's words.
func (c *conn) tooLarge(size uint64) *amqp.Error {
	text := "message size %d is larger than configured max size %d"
	if c.opts.MaxMessageSize == MaxMaxMessageSize {
		text = "message size %d is larger than max size %d"
	}
	return amqp.PreconditionFailed(text, size, c.opts.MaxMessageSize)
}

// MaxMaxMessageSize is the most that Options.MaxMessageSize may be, in bytes:
// RabbitMQ's.
const MaxMaxMessageSize = 512 << 20
