package main

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// webServer is a server of HTTP: httpd's or exporter's.
type webServer interface {
	Serve(ln net.Listener) error
	Shutdown(ctx context.Context) error
}

// offered is a server with its listener.
type offered struct {
	server webServer
	addr   string // "" where there is no listener
	served chan struct{}
}

// offer lets a server answer from now on, while recovery runs too. Without an address
// nobody can ask it. flag is the one that names the address.
func offer(server webServer, flag, addr string, log *slog.Logger) (*offered, error) {
	o := &offered{server: server, served: make(chan struct{})}
	if addr == "" {
		close(o.served)
		return o, nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainListen(flag, addr, err)
	}
	o.addr = ln.Addr().String()
	go func() {
		defer close(o.served)
		if err := server.Serve(ln); err != nil {
			log.Error("a listener serves no more", "option", flag, "err", err)
		}
	}()
	return o, nil
}

// end cuts what is connected: all that there was to say has been said.
func (o *offered) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = o.server.Shutdown(ctx)
	<-o.served
}
