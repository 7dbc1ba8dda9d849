// Package limit bounds how many connections a listener has open.
package limit

import (
	"net"
	"sync"
)

// Listener returns ln as a listener that accepts while fewer than most connections
// are open. One over the bound waits until another has ended.
func Listener(ln net.Listener, most int) net.Listener {
	return &listener{Listener: ln, free: make(chan struct{}, most), closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	free   chan struct{} // one value for each connection that is open
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	nc, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &conn{Conn: nc, l: l}, nil
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	l    *listener
	once sync.Once
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.l.free })
	return err
}
