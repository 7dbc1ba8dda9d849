package exporter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leveret-mq/leveret/internal/limit"
)

// The time that a client is given, and what it may send: see the package's comment.
const (
	headerTimeout = 5 * time.Second
	answerTimeout = 60 * time.Second
	idleTimeout   = 90 * time.Second // longer than scrapes are apart
	maxHeader     = 16 << 10         // bytes
)

// contentType is what RabbitMQ answers with, and its label in telemetry_….
const contentType = "text/plain; version=0.0.4"

// Options of a server. A zero field takes its default.
type Options struct {
	// Version is the release. Default "unknown".
	Version string
	// MaxConnections bounds the connections at a time. Default 16.
	MaxConnections int
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	if o.MaxConnections < 0 {
		return fmt.Errorf("exporter: %d connections at most: want at least 1", o.MaxConnections)
	}
	return nil
}

// Server answers scrapes. It may serve before there is a broker.
type Server struct {
	opts     Options
	http     http.Server
	start    time.Time
	registry *prometheus.Registry
	source   atomic.Pointer[Source]
	scrapes  scrapes
	// big holds a value while an answer with a line an object is made, one at a time.
	big chan struct{}
}

// NewServer makes a server.
func NewServer(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, start: time.Now(), registry: prometheus.NewRegistry(), big: make(chan struct{}, 1)}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&engine{s: s},
	)
	s.http = http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return s, nil
}

// SetSource tells that recovery is over.
func (s *Server) SetSource(src Source) { s.source.Store(&src) }

// from returns the source, nil while recovery runs.
func (s *Server) from() Source {
	if p := s.source.Load(); p != nil {
		return *p
	}
	return nil
}

// Serve answers requests until Shutdown, and returns nil then. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	bounded := limit.New(ln, s.opts.MaxConnections)
	s.http.ConnState = bounded.State
	err := s.http.Serve(bounded)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("metrics listener %s: %w", ln.Addr(), err)
}

// Shutdown stops accepting, lets requests end, and cuts what is left when ctx
// ends, whose error it returns then.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// Handler answers GET /metrics and what is below it. All else is refused as
// RabbitMQ refuses it.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimSuffix(r.URL.Path, "/")
		below, ok := strings.CutPrefix(path, "/metrics")
		if !ok || below != "" && below[0] != '/' || strings.Count(below, "/") > 1 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":"Object Not Found","reason":"Not Found"}`)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "HEAD, GET")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		switch below {
		case "", "/default":
			s.answer(w, r, "default", s.aggregated)
		case "/per-object":
			s.alone(r, func() { s.answer(w, r, "per-object", s.perObject) })
		case "/detailed":
			want, err := parseDetail(r.URL.RawQuery)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			s.alone(r, func() { s.answer(w, r, "detailed", func(t *text) { s.detailed(t, want) }) })
		default:
			http.Error(w, "Unknown Registry", http.StatusNotFound)
		}
	})
}

// alone makes a large answer when no other one is made. Who has gone by then, as a
// Prometheus that waited for longer than its bound, gets none: else answers for nobody
// would be made one after the other, and hold the connections that others need.
func (s *Server) alone(r *http.Request, write func()) {
	select {
	case s.big <- struct{}{}:
		defer func() { <-s.big }()
	case <-r.Context().Done():
		return
	}
	if r.Context().Err() == nil {
		write()
	}
}

// answer writes what write makes, compressed where the client takes that, and counts
// the scrape.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, registry string, write func(t *text)) {
	begin := time.Now()
	h := w.Header()
	h.Set("Content-Type", contentType+"; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	sent := &tally{w: w}
	t := &text{w: sent}
	encoding := "identity"
	var zip *gzip.Writer
	if r.Method == http.MethodGet && takesGzip(r.Header.Get("Accept-Encoding")) {
		encoding = "gzip"
		h.Set("Content-Encoding", encoding)
		zip = zippers.Get().(*gzip.Writer)
		zip.Reset(sent)
		t.w = zip
		defer zippers.Put(zip)
	}
	if r.Method == http.MethodHead {
		return
	}
	write(t)
	s.scrapes.write(t, registry)
	t.flush()
	if zip != nil {
		if err := zip.Close(); t.err == nil {
			t.err = err
		}
	}
	if t.err != nil {
		s.opts.Logger.Debug("a scrape was not sent to its end", "client", r.RemoteAddr, "path", r.URL.Path, "err", t.err)
		return
	}
	s.scrapes.add(registry, encoding, time.Since(begin), t.n, sent.n)
}

// zippers are kept since each has buffers of a megabyte.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return z
}}

// takesGzip tells whether an Accept-Encoding lets an answer be compressed.
func takesGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}

// tally counts what goes through it.
type tally struct {
	w io.Writer
	n int64
}

func (c *tally) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
