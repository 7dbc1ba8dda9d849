package tlsio

import "net"

type listener struct{ net.Listener }

// Listen wraps the connections of a listener, which tls.NewListener may then wrap.
func Listen(ln net.Listener) net.Listener { return listener{ln} }

func (l listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(nc), nil
}
