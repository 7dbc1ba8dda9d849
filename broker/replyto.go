package broker

import (
	"bytes"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Direct reply-to: a client consumes ReplyQueue and puts that name into its
// requests' reply-to; the broker replaces it by a name of the consumer's own,
// and whoever publishes to that name through the default exchange reaches the
// consumer without a queue having been declared.
//
// Here the destination is a queue all the same, one that no client can declare,
// bind or consume: transient, and gone with its only consumer. So replies keep
// their order, and wait where the client's socket is slower than its servers.
// It counts as no queue for mandatory publishes, as in RabbitMQ.

// ReplyQueue is the name to consume, without acks, for direct reply-to, and to
// put into reply-to. Publishing.Reply is then that consumer.
const ReplyQueue = "amq.rabbitmq.reply-to"

// isReplyName tells whether a routing key may name a reply destination.
func isReplyName(key []byte) bool {
	rest, ok := bytes.CutPrefix(key, []byte(ReplyQueue))
	return ok && len(rest) > 1 && rest[0] == '.'
}

// consumeReplies makes a reply destination. That a channel has one at most is
// for the front end to see to, which knows channels.
func (s *Session) consumeReplies(c *Consumer) (*Consumer, error) {
	if !c.spec.NoAck {
		return nil, amqp.PreconditionFailed("reply consumer cannot acknowledge")
	}
	v := s.v
	name := ReplyQueue + "." + randomName()
	err := v.change(func(t *change) error {
		q := v.newQueue(QueueSpec{Name: name, Exclusive: true}, noSettings(), s)
		q.reply = true
		if err := q.create(t); err != nil {
			return err
		}
		v.replies[name] = q
		s.exclusive[q] = struct{}{}
		c.queue = q
		return q.attach(c)
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// declareReply answers declarations of names that look like reply destinations:
// a server asks so whether the client is still there.
func (s *Session) declareReply(spec QueueSpec) (QueueInfo, error) {
	v := s.v
	if spec.Name == ReplyQueue {
		return QueueInfo{Name: spec.Name, Consumers: 1}, nil
	}
	v.mu.RLock()
	q := v.replies[spec.Name]
	v.mu.RUnlock()
	if q == nil {
		return QueueInfo{}, errNoQueue(spec.Name, v.name)
	}
	return QueueInfo{Name: spec.Name, Consumers: 1}, nil
}
