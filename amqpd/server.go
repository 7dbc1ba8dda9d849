package amqpd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("amqp server closed")

// Server serves one broker on any number of listeners.
type Server struct {
	broker *broker.Broker
	log    *slog.Logger
	opts   atomic.Pointer[Options] // of connections that begin

	// largeBytes is from where on a body goes through a file.
	largeBytes uint64

	alarm   atomic.Pointer[alarm]
	flusher atomic.Pointer[conn] // that flushed last: see conn.leads

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // mu
	conns     map[*conn]struct{}        // mu
	closed    bool                      // mu: Shutdown has begun
	limit     int                       // mu: of connections, 0 is none
	refused   int                       // mu: connections over the limit that were not told of
	told      time.Time                 // mu: when they were last told of
	running   sync.WaitGroup            // connections
	stop      chan struct{}             // ends the ticker
	ticker    sync.WaitGroup
}

// NewServer makes a server; it serves with Serve or ServeConn, and must be ended
// with Shutdown, before the broker is closed.
func NewServer(b *broker.Broker, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Server{
		broker: b, log: o.Logger, largeBytes: b.LargeBytes(), limit: o.connectionLimit(maxOpenFiles()),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
		stop:      make(chan struct{}),
	}
	s.opts.Store(&o)
	s.ticker.Add(1)
	go s.tick()
	return s, nil
}

// Configure gives the server other options. MaxConnections holds at once and ends no
// connection; all others but LeveretVersion and Logger, which stay, hold
// for connections that begin later.
func (s *Server) Configure(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o = o.withDefaults()
	was := s.opts.Load()
	o.LeveretVersion, o.Logger = was.LeveretVersion, was.Logger
	s.mu.Lock()
	s.limit = o.connectionLimit(maxOpenFiles())
	s.mu.Unlock()
	s.opts.Store(&o)
	return nil
}

// Serve accepts connections until Shutdown, and then returns ErrServerClosed.
// The listener is closed when it returns. It may be one of package crypto/tls,
// which leaves the handshake to the connection.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.track(l) {
		return ErrServerClosed
	}
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrServerClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors, most likely: others go on, and so do we.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Error("accept failed", "address", l.Addr().String(), "error", err, "retry_in", pause)
			select {
			case <-time.After(pause):
			case <-s.stop:
			}
			continue
		}
		pause = 0
		s.ServeConn(nc)
	}
}

// ServeConn serves one connection that was accepted elsewhere, such as a TLS
// listener's, and returns at once. The server closes it.
func (s *Server) ServeConn(nc net.Conn) {
	s.mu.Lock()
	full := s.limit > 0 && len(s.conns) >= s.limit
	if s.closed || full {
		if full {
			s.warnFull(nc)
		}
		s.mu.Unlock()
		nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// warnEvery is how often refused connections are told of: whoever can connect
// must not fill the log.
const warnEvery = 10 * time.Second

// warnFull tells of a connection over the limit. s.mu is held.
func (s *Server) warnFull(nc net.Conn) {
	s.refused++
	now := time.Now()
	if now.Sub(s.told) < warnEvery {
		return
	}
	s.log.Warn("too many connections: refused", "refused", s.refused, "last", nc.RemoteAddr().String(),
		"connections", len(s.conns), "limit", s.limit)
	s.told, s.refused = now, 0
}

// Connections counts the connections there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown stops accepting, closes each connection with 320 CONNECTION_FORCED,
// waits until they have ended, and cuts what is left when ctx ends or the
// clients' time to answer (Options.CloseTimeout) is over. What they had published
// completely has been handed to the broker when it returns. The error is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.Close(amqp.ConnectionForced("broker forced connection closure with reason 'shutdown'"))
	}
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	s.ticker.Wait()
	s.setAlarm("") // those that it holds up are to hear of the end

	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.mu.Lock()
		for c := range s.conns {
			c.expire("shutdown")
		}
		s.mu.Unlock()
		<-done
	}
	return err
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// tick is the one ticker: no connection has a timer of its own.
func (s *Server) tick() {
	defer s.ticker.Done()
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-s.broker.AlarmChanged():
			s.setAlarm(s.broker.Alarm())
		case now := <-t.C:
			s.setAlarm(s.broker.Alarm())
			s.mu.Lock()
			for c := range s.conns {
				c.tick(now)
			}
			s.mu.Unlock()
		}
	}
}

// setAlarm raises an alarm with a reason, or ends it where the reason is empty.
// The ticker alone calls it.
func (s *Server) setAlarm(reason string) {
	old := s.alarm.Load()
	switch {
	case reason == "" && old != nil:
		s.alarm.Store(nil)
		close(old.over)
		s.log.Info("alarm over: publishers are read again", "reason", old.reason)
	case reason != "" && old == nil: // a second reason is told by nobody: one is enough
		s.alarm.Store(&alarm{reason: reason, over: make(chan struct{})})
		s.log.Warn("alarm: publishers are not read", "reason", reason)
	}
}
