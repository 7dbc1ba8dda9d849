package amqpd

import (
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"github.com/leveret-mq/leveret/broker"
)

var _ broker.Client = (*conn)(nil)

// Describe tells an operator what this connection is. Any goroutine: what it reads was
// set before there was a session, or is atomic.
func (c *conn) Describe(l *broker.ConnectionListing) {
	l.Protocol, l.Mechanism, l.State = "AMQP 0-9-1", c.client.mechanism, c.state()
	l.Host, l.Port = hostAndPort(c.nc.LocalAddr())
	l.PeerHost, l.PeerPort = hostAndPort(c.nc.RemoteAddr())
	_, l.TLS = c.nc.(*tls.Conn)
	l.Channels, l.ChannelMax = int(c.openChannels.Load()), c.channelMax
	l.FrameMax, l.Heartbeat = c.frameMax, time.Duration(c.heartbeat.Load())
	l.ClientProperties, l.Connected = c.client.all, c.born
	l.Traffic = c.traffic()
}

// Secured is what TLS has come to; ok is false without it.
func (c *conn) Secured() (s tls.ConnectionState, ok bool) {
	nc, ok := c.nc.(*tls.Conn)
	if !ok {
		return s, false
	}
	return nc.ConnectionState(), true
}

// state is RabbitMQ's word for how the connection fares: one that would be held up
// by an alarm, if it published, is blocking.
func (c *conn) state() string {
	switch {
	case c.forced.Load() != nil:
		return "closing"
	case c.heldUp.Load():
		return "blocked"
	case c.srv.alarm.Load() != nil:
		return "blocking"
	}
	return "running"
}

func hostAndPort(addr net.Addr) (host string, port int) {
	host, digits, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", 0
	}
	port, _ = strconv.Atoi(digits) // 0 where it is no number
	return host, port
}
