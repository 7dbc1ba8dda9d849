package httpd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a broker in any state.
type fake struct {
	Broker  // nothing else is asked for
	alarm   string
	err     error
	damaged int64
}

func (f fake) Alarm() string  { return f.alarm }
func (f fake) Err() error     { return f.err }
func (f fake) Damaged() int64 { return f.damaged }

func mustServer(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHealthOfEachState(t *testing.T) {
	broken := errors.New("log data/wal has failed: input/output error")
	for name, c := range map[string]struct {
		broker Broker
		stop   bool
		code   int
		want   string
	}{
		"starting": {nil, false, 503, `{"status":"starting","version":"v1"}`},
		"well":     {fake{}, false, 200, `{"status":"ok","version":"v1"}`},
		"alarm":    {fake{alarm: "low on disk"}, false, 200, `{"status":"blocked","alarm":"low on disk","version":"v1"}`},
		"failed":   {fake{err: broken}, false, 503, `{"status":"failed","error":"` + broken.Error() + `","version":"v1"}`},
		"both": {fake{alarm: "low on disk", err: broken}, false, 503,
			`{"status":"failed","alarm":"low on disk","error":"` + broken.Error() + `","version":"v1"}`},
		"stopping":        {fake{}, true, 503, `{"status":"stopping","version":"v1"}`},
		"never was ready": {nil, true, 503, `{"status":"stopping","version":"v1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustServer(t, Options{Version: "v1"})
			if c.broker != nil {
				s.SetBroker(c.broker)
			}
			if c.stop {
				s.Stop()
			}
			w := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
			if got := strings.TrimSpace(w.Body.String()); w.Code != c.code || got != c.want {
				t.Errorf("%d %s, want %d %s", w.Code, got, c.code, c.want)
			}
			if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("header %v", h)
			}
		})
	}
}

func TestOtherRequests(t *testing.T) {
	s := mustServer(t, Options{})
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"POST", "/health", 405}, {"GET", "/", 200}, {"GET", "/health/x", 404}, {"HEAD", "/health", 503},
	} {
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.code)
		}
	}
}

func TestOptionsAreValidated(t *testing.T) {
	if _, err := NewServer(Options{MaxConnections: -1}); err == nil {
		t.Error("took -1 connections")
	}
}

// serve runs s on a listener and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func TestServerIsReachedBeforeThereIsABroker(t *testing.T) {
	s := mustServer(t, Options{})
	addr := serve(t, s)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	status := func() (h Health) {
		t.Helper()
		r, err := client.Get("http://" + addr + "/health")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	if h := status(); h.Status != Starting {
		t.Error(h)
	}
	s.SetBroker(fake{})
	if h := status(); h.Status != OK {
		t.Error(h)
	}
	s.Stop()
	if h := status(); h.Status != Stopping {
		t.Error(h)
	}
}

// Who comes when all places are taken has that of who asks nothing.
func TestConnectionsAreBounded(t *testing.T) {
	s := mustServer(t, Options{MaxConnections: 1})
	addr := serve(t, s)
	dial := func() net.Conn {
		t.Helper()
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	ask := func(nc net.Conn) {
		t.Helper()
		if _, err := io.WriteString(nc, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(nc net.Conn) error {
		r, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	first := dial()
	ask(first)
	if err := answered(first); err != nil {
		t.Fatal(err)
	}
	second := dial()
	ask(second)
	if err := answered(second); err != nil {
		t.Error(err)
	}
	// The first had been asked nothing more.
	if err := answered(first); err == nil {
		t.Error("two of one connection are open")
	}
}

func TestListenerThatFailsIsTold(t *testing.T) {
	s := mustServer(t, Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := s.Serve(ln); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Error(err)
	}
}
