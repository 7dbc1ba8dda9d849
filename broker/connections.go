package broker

import (
	"cmp"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// ErrNoConnection is for who asks for a connection that is not there.
var ErrNoConnection = errors.New("no such connection")

// Client is a Peer that is listed by Connections: a client's connection.
type Client interface {
	Peer
	// Describe fills in what the connection knows of itself: all but its name,
	// user and vhost. Any goroutine may call it while the session is there; no lock
	// of the broker is held.
	Describe(l *ConnectionListing)
	// Channels adds the open channels to a list, in any order, with all but the names
	// of channel, connection, user and vhost. As for Describe.
	Channels(list []ChannelListing) []ChannelListing
}

// ConnectionListing is a connection to a vhost. Its table may not be changed.
type ConnectionListing struct {
	Name, User, VHost    string
	Protocol, Mechanism  string // "AMQP 0-9-1", "PLAIN"
	State                string // running, blocking, blocked or closing, as RabbitMQ's
	Host, PeerHost       string // of this end and the other; "" where there is none
	Port, PeerPort       int
	TLS                  bool
	Channels, ChannelMax int
	FrameMax             uint32
	Heartbeat            time.Duration // 0: none
	ClientProperties     amqp.Table
	Connected            time.Time
	ID                   uint64
	Traffic              stats.Traffic
	peer                 Client
}

// Close asks the connection to end, as an operator wishes: 320 CONNECTION_FORCED with
// the reason. It returns at once.
func (l *ConnectionListing) Close(reason string) {
	l.peer.Close(amqp.ConnectionForced("%s", strings.ToValidUTF8(reason, "\uFFFD")))
}

// Secured is what TLS has come to; ok is false without it.
func (l *ConnectionListing) Secured() (s tls.ConnectionState, ok bool) {
	if peer, is := l.peer.(interface {
		Secured() (tls.ConnectionState, bool)
	}); is {
		return peer.Secured()
	}
	return s, false
}

// Connections are the clients' connections to all vhosts, by name.
func (b *Broker) Connections() []ConnectionListing {
	list := b.connections(func(*Session) bool { return true })
	slices.SortFunc(list, func(x, y ConnectionListing) int { return cmp.Compare(x.Name, y.Name) })
	return list
}

// Connection returns one connection, or ErrNoConnection.
func (b *Broker) Connection(name string) (ConnectionListing, error) {
	list := b.connections(func(s *Session) bool { return s.peer.Name() == name })
	if len(list) == 0 {
		return ConnectionListing{}, ErrNoConnection
	}
	return list[0], nil
}

func (b *Broker) connections(want func(s *Session) bool) []ConnectionListing {
	list := []ConnectionListing{}
	b.eachClient(func(s *Session, peer Client, _ *samples) bool {
		if want(s) {
			l := ConnectionListing{ID: s.id, Name: peer.Name(), User: s.user.Name, VHost: s.v.name, peer: peer}
			peer.Describe(&l)
			list = append(list, l)
		}
		return true
	})
	return list
}
