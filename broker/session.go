package broker

import (
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/wal"
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
// topology return when the change is on disk, where it must be: see Ahead.
type Session struct {
	b    *Broker
	v    *vhost
	user *User
	peer Peer

	account  *account
	grant    atomic.Pointer[grant] // replaced where permissions change
	channels int                   // of OpenChannel

	exclusive map[Queue]struct{} // guarded by vhost.mu
	id        uint64
	restores  bool // see Broker.Restore

	ahead bool          // see Ahead
	owed  atomic.Uint64 // the LSN that Await waits for
}

// NewSession begins a connection's life in a vhost. An unknown vhost, one that
// the user has no permissions in, and a limit that is reached are 530 NOT_ALLOWED.
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
	a, bad := b.admit(v, u)
	if bad != nil {
		return nil, bad
	}
	s := &Session{b: b, id: b.ids.Add(1), v: v, user: u, peer: p, account: a, exclusive: map[Queue]struct{}{}}
	s.grant.Store(v.grants[u.Name])
	v.sessions[s] = struct{}{}
	a.sessions[s] = struct{}{}
	b.churn.connectionCreated.Add(1)
	return s, nil
}

// User is who the session acts for.
func (s *Session) User() *User { return s.user }

// VHost is the name of the session's vhost.
func (s *Session) VHost() string { return s.v.name }

// Ahead has the methods that declare, bind, unbind, purge and delete return before the
// change is on disk: whoever answers for it calls Await first, and many changes cost one
// wait. It is to be called before the session is used.
func (s *Session) Ahead() { s.ahead = true }

// Await returns when what the session has changed, or found changed, is on disk.
func (s *Session) Await() error {
	return s.b.wait(wal.LSN(s.owed.Load()))
}

// wait is for the end of a change, and of a look at what others have changed.
func (s *Session) wait(lsn wal.LSN) error {
	if !s.ahead {
		return s.b.wait(lsn)
	}
	for {
		was := s.owed.Load()
		if uint64(lsn) <= was || s.owed.CompareAndSwap(was, uint64(lsn)) {
			return nil
		}
	}
}

// change is vhost.change, which waits as the session does.
func (s *Session) change(fn func(t *change) error) error {
	lsn, err := s.v.apply(fn)
	if err != nil {
		return err
	}
	return s.wait(lsn)
}

// Close ends the session and deletes its exclusive queues. The front end requeues
// what the session's consumers have not acked, and cancels them, before.
func (s *Session) Close() {
	s.b.mu.Lock()
	if _, there := s.v.sessions[s]; there {
		s.b.churn.connectionClosed.Add(1)
	}
	delete(s.v.sessions, s)
	delete(s.account.sessions, s)
	s.b.mu.Unlock()
	for s.channels > 0 {
		s.CloseChannel()
	}
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
