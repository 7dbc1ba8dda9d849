package httpd

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker"
)

// A few bytes can ask for a machine of a million steps, which each of a hundred thousand
// names would go through.
func TestExpressionsAreBounded(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/orders.eu", `{}`, 201, "")
	for _, c := range []struct {
		expression string
		code       int
		want       string
	}{
		{"^orders[.](eu|us)$", 200, "…orders.eu"},
		{"^[a-z.]{1,255}$", 200, "…orders.eu"},
		{strings.Repeat("(.?){1000}", 100), 400, "…too large"},
		{"((.?){30}){30}", 200, "…orders.eu"},
		{"(((.?){10}){10}){10}x{500}", 400, "…too large"},
		{strings.Repeat("a", maxExpression+1), 400, "…longer than"},
		{"(a{1001})", 400, "…invalid"},
	} {
		m.expect("GET", "/api/queues?use_regex=true&columns=name&name="+url.QueryEscape(c.expression), "", c.code, c.want)
	}
}

// Requests may wait longer than their own bytes may take to come.
func TestRequestsThatWaitAreAnswered(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	m.publishTo("q", "hi")
	m.s.http.ReadTimeout = 100 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- m.s.Serve(ln) }()
	for range maxHolders {
		m.s.holders <- struct{}{}
	}
	const path = "/api/queues/%2F/q/"
	answers := make(chan string, 2)
	for _, r := range []struct{ method, path, body string }{
		{"GET", path + "peek", ""}, {"POST", path + "get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`},
	} {
		go func() {
			q, _ := http.NewRequest(r.method, "http://"+ln.Addr().String()+r.path, strings.NewReader(r.body))
			q.SetBasicAuth("guest", "guest")
			w, err := http.DefaultClient.Do(q)
			if err != nil {
				answers <- err.Error()
				return
			}
			text, _ := io.ReadAll(w.Body)
			_ = w.Body.Close()
			answers <- w.Status + " " + string(text)
		}()
	}
	select {
	case got := <-answers:
		t.Fatalf("while others hold messages: %s", got)
	case <-time.After(5 * m.s.http.ReadTimeout):
	}
	for range maxHolders {
		<-m.s.holders
	}
	for range 2 {
		if got := <-answers; !strings.HasPrefix(got, "200 OK ") || !strings.Contains(got, `"payload":"hi"`) {
			t.Errorf("%s", got)
		}
	}
	if err := m.s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestRequestsDoNotWaitForEver(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for range maxHolders {
		m.s.holders <- struct{}{}
	}
	m.s.http.WriteTimeout = time.Millisecond
	m.expect("GET", "/api/queues/%2F/q/peek", "", 503, "…too many requests")
}

// leaving is the context of a client that goes away after it was asked about some times.
type leaving struct {
	context.Context
	asked atomic.Int64
}

func (l *leaving) Err() error {
	if l.asked.Add(1) > 2 {
		return context.Canceled
	}
	return nil
}

func TestMessagesStayWhenWhoFetchesThemHasGone(t *testing.T) {
	for _, mode := range []string{"ack_requeue_false", "reject_requeue_false"} {
		m := newManaged(t)
		m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
		for range 5 {
			m.publishTo("q", "hi")
		}
		r := httptest.NewRequestWithContext(&leaving{Context: t.Context()}, "POST", "/api/queues/%2F/q/get", strings.NewReader(`{"count":5,"ackmode":"`+mode+`","encoding":"auto"}`))
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15672"
		r.SetBasicAuth("guest", "guest")
		w := httptest.NewRecorder()
		m.s.http.Handler.ServeHTTP(w, r)
		if q, err := m.b.Queue("/", "q"); err != nil || q.Ready != 5 || w.Code != http.StatusRequestTimeout {
			t.Errorf("%s: %d %s; %d ready, %v", mode, w.Code, w.Body, q.Ready, err)
		}
	}
}

// Control characters are six bytes each in JSON.
func TestAnswersAreBoundedByWhatTheyAreInJSON(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for range 10 {
		m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"`+strings.Repeat("AAAA", 400_000)+`","payload_encoding":"base64"}`, 200, `{"routed":true}`)
	}
	w := m.as("guest", "GET", "/api/queues/%2F/q/peek?truncate=2000000", "")
	if w.Code != 200 || w.Body.Len() < maxFetched || w.Body.Len() > maxFetched+8_000_000 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

// Somebody who asks for the same long list again and again leaves processors for
// clients.
func TestLongListsAreSortedInTurn(t *testing.T) {
	m := newManaged(t)
	ask := func(n int, query string) int {
		w := httptest.NewRecorder()
		c := &call{b: m.b, w: w, r: httptest.NewRequest("GET", "/api/queues?"+query, nil), s: m.s}
		if err := list(c, make([]broker.VHost, n)); err != nil {
			return c.failure(err).code
		}
		return w.Code
	}
	for range cap(m.s.sorters) {
		m.s.sorters <- struct{}{}
	}
	m.s.http.WriteTimeout = time.Millisecond
	for _, c := range []struct {
		n     int
		query string
		code  int
	}{
		{longList, "sort=description", 503}, {longList, "name=x", 503}, {longList, "page=1", 200}, {longList, "", 200}, {longList - 1, "sort=description", 200},
	} {
		if code := ask(c.n, c.query); code != c.code {
			t.Errorf("%d objects, %s: %d", c.n, c.query, code)
		}
	}
	<-m.s.sorters
	if code := ask(longList, "sort=description&page=1"); code != 200 || len(m.s.sorters) != cap(m.s.sorters)-1 {
		t.Errorf("%d, %d sort", code, len(m.s.sorters))
	}
}
