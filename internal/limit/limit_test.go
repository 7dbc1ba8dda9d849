package limit

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// world is a server with few places, whose requests of /wait last until they may end.
type world struct {
	t     *testing.T
	addr  string
	begun chan struct{}
	end   chan struct{}
}

func newWorld(t *testing.T, most int) *world {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, addr: inner.Addr().String(), begun: make(chan struct{}, most+1), end: make(chan struct{})}
	ln := New(inner, most)
	s := &http.Server{ConnState: ln.State, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			w.begun <- struct{}{}
			<-w.end
		}
	})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return w
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	return nc
}

func (w *world) ask(nc net.Conn, path string) {
	w.t.Helper()
	if _, err := io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		w.t.Fatal(err)
	}
}

// answered tells whether an answer comes.
func (w *world) answered(nc net.Conn, within time.Duration) bool {
	w.t.Helper()
	if err := nc.SetReadDeadline(time.Now().Add(within)); err != nil {
		w.t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err == nil {
		r.Body.Close()
	}
	return err == nil
}

const long = time.Minute

func TestWhoAsksNothingKeepsNobodyOut(t *testing.T) {
	w := newWorld(t, 2)
	asked := w.dial()
	w.ask(asked, "/")
	if !w.answered(asked, long) {
		t.Fatal("no answer")
	}
	for range 4 { // connections that say nothing
		w.dial()
	}
	for range 3 {
		nc := w.dial()
		w.ask(nc, "/")
		if !w.answered(nc, long) {
			t.Error("no answer while others say nothing")
		}
	}
	if w.answered(asked, long) {
		t.Error("the connection that waited longest is still there")
	}
}

// A burst of clients is served, all of them.
func TestNewConnectionsAreGivenTimeToAsk(t *testing.T) {
	w := newWorld(t, 2)
	var all []net.Conn
	for range 8 {
		all = append(all, w.dial())
	}
	for i, nc := range all {
		w.ask(nc, "/")
		if !w.answered(nc, long) {
			t.Errorf("client %d of a burst has no answer", i)
		}
	}
}

func TestWhoIsAtWorkIsNotThrownOut(t *testing.T) {
	w := newWorld(t, 2)
	var at []net.Conn
	for range 2 {
		nc := w.dial()
		w.ask(nc, "/wait")
		<-w.begun
		at = append(at, nc)
	}
	late := w.dial()
	w.ask(late, "/")
	if w.answered(late, 50*time.Millisecond) {
		t.Error("the third of two connections was answered")
	}
	// It has its turn when one that is at work has been answered, though that stays open.
	close(w.end)
	for _, nc := range at {
		if !w.answered(nc, long) {
			t.Error("who was at work has no answer")
		}
	}
	if !w.answered(late, long) {
		t.Error("no answer when there is room")
	}
}
