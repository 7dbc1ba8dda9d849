package main

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/leveret-mq/leveret/exporter"
)

// metricsServer is the server behind --metrics-addr.
type metricsServer struct {
	*exporter.Server
	addr   string // "" where there is no listener
	served chan struct{}
}

// serveMetrics answers Prometheus from now on, while recovery runs too.
func serveMetrics(addr string, log *slog.Logger) (*metricsServer, error) {
	srv, err := exporter.NewServer(exporter.Options{Version: version, Logger: log})
	if err != nil {
		return nil, err
	}
	m := &metricsServer{Server: srv, served: make(chan struct{})}
	if addr == "" {
		close(m.served)
		return m, nil
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainListen("--metrics-addr", addr, err)
	}
	m.addr = ln.Addr().String()
	go func() {
		defer close(m.served)
		if err := srv.Serve(ln); err != nil {
			log.Error("metrics are not served any more", "err", err)
		}
	}()
	return m, nil
}

// end cuts what is connected.
func (m *metricsServer) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.Shutdown(ctx)
	<-m.served
}
