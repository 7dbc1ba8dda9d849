package broker

import (
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Peer is the connection behind a session.
type Peer interface {
	// Name identifies the connection to an operator:
	// "127.0.0.1:50000 -> 127.0.0.1:5672".
	Name() string
	// Close asks for the connection's end with the given reason. It must not
	// block, and locks of the broker may be held.
	Close(err *amqp.Error)
}

// Session is a connection's standing in a vhost: it owns the exclusive queues
// and acts for a user. Names have line feeds and carriage returns taken out of
// them here. Errors are *amqp.Error with RabbitMQ's texts. Methods that change
// topology return when the change is on disk, where it must be.
type Session struct {
	b    *Broker
	v    *vhost
	user *User
	peer Peer

	warned bool // the goroutine's that publishes: of a property that is not acted on

	exclusive map[Queue]struct{} // guarded by vhost.mu
}

// NewSession begins a connection's life in a vhost. An unknown vhost is a
// 530 NOT_ALLOWED.
func (b *Broker) NewSession(vhost string, u *User, p Peer) (*Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, amqp.ConnectionForced("broker is shutting down")
	}
	v := b.vhosts[vhost]
	if v == nil {
		return nil, amqp.NotAllowed("vhost %s not found", vhost)
	}
	return &Session{b: b, v: v, user: u, peer: p, exclusive: map[Queue]struct{}{}}, nil
}

// User is who the session acts for.
func (s *Session) User() *User { return s.user }

// VHost is the name of the session's vhost.
func (s *Session) VHost() string { return s.v.name }

// Close deletes the session's exclusive queues. The front end cancels the
// session's consumers and requeues what they have not acked before.
func (s *Session) Close() {
	// A few at a time: other connections' changes come in between.
	for more := true; more; {
		err := s.v.change(func(t *change) error {
			n := 0
			for q := range s.exclusive {
				if n++; n > closeAtOnce {
					break
				}
				t.deleteQueue(q)
			}
			more = len(s.exclusive) > 0
			if n == 0 {
				return nil
			}
			return t.apply()
		})
		if err != nil {
			s.b.log.Error("exclusive queues of a closed connection could not be deleted", "connection", s.peer.Name(), "err", err)
		}
	}
}

// closeAtOnce is how many queues are deleted in one change.
const closeAtOnce = 64
