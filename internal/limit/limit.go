// Package limit bounds how many connections a server of HTTP has open.
package limit

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener accepts while fewer than a number of connections are open, and one that waits.
// For that one another is closed: the one that has had no request for longest, if it has
// been answered before, or has had its time to ask. While all are at work it waits until
// one has ended. So whoever opens connections and asks nothing keeps nobody out.
type Listener struct {
	net.Listener
	free   chan struct{} // one value for each connection that is open
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	wanted bool                // somebody waits for a place
	quiet  map[*conn]time.Time // those that have no request, and from when on they may be closed
}

// grace is how long a new connection is given for its first request while others wait,
// and how often who waits looks whether that is over.
const grace = time.Second

// New makes a listener that has at most so many connections. Its State is the server's
// ConnState.
func New(ln net.Listener, most int) *Listener {
	return &Listener{Listener: ln, free: make(chan struct{}, most), closed: make(chan struct{}), quiet: map[*conn]time.Time{}}
}

// Accept waits for a connection, and for a place for it.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.free <- struct{}{}:
		return &conn{Conn: nc, l: l}, nil
	default:
	}
	defer l.want(false)
	again := time.NewTicker(grace / 4)
	defer again.Stop()
	for {
		l.want(true)
		select {
		case l.free <- struct{}{}:
			return &conn{Conn: nc, l: l}, nil
		case <-l.closed:
			_ = nc.Close()
			return nil, net.ErrClosed
		case <-again.C:
		}
	}
}

// want notes whether somebody waits for a place, and makes one if it can.
func (l *Listener) want(place bool) {
	l.mu.Lock()
	l.wanted = place
	c := l.longest()
	l.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// longest takes the connection that has been quiet for longest, if a place is wanted and
// there is one. l.mu is held.
func (l *Listener) longest() (c *conn) {
	if !l.wanted {
		return nil
	}
	for each, from := range l.quiet {
		if c == nil || from.Before(l.quiet[c]) {
			c = each
		}
	}
	if c != nil && time.Now().Before(l.quiet[c]) {
		return nil
	}
	if c != nil {
		delete(l.quiet, c)
		l.wanted = false
	}
	return c
}

// State is told what becomes of a connection.
func (l *Listener) State(nc net.Conn, state http.ConnState) {
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	l.mu.Lock()
	switch state {
	case http.StateNew:
		l.quiet[c] = time.Now().Add(grace)
	case http.StateIdle:
		l.quiet[c] = time.Now()
	default:
		delete(l.quiet, c)
	}
	c = l.longest()
	l.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// Close stops accepting.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	l    *Listener
	once sync.Once
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.l.free })
	return err
}
