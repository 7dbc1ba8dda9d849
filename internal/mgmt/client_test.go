package mgmt

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNamesAreEscapedInPaths(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"queues", "/", "a/b"}, "/api/queues/%2F/a%2Fb"},
		{[]string{"queues", "ü", "100% ?#"}, "/api/queues/%C3%BC/100%25%20%3F%23"},
		{[]string{"queues", "..", "."}, "/api/queues/%2E%2E/%2E"},
	} {
		if got := Path(c.names...); got != c.want {
			t.Errorf("%q: %s, want %s", c.names, got, c.want)
		}
	}
	if got := BindingPath("/", "", true, "", "~"); got != "/api/bindings/%2F/e/amq.default/e/amq.default/~" {
		t.Errorf("%s", got)
	}
}

// Whatever a name is, the server reads what was meant.
func TestEscapedNamesArriveWhole(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.EscapedPath(), "/")
		if len(parts) == 5 && parts[3] == "%2F" {
			got, _ = url.PathUnescape(parts[4])
		}
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	c, err := New(server.URL+"/api/", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "a/b", "..", ".", "a?b#c%41", "ü 兎", "+"} {
		if _, err := c.One(t.Context(), Path("queues", "/", name), nil); err != nil || got != name {
			t.Errorf("%q arrived as %q (%v)", name, got, err)
		}
	}
}

func TestErrorsHaveTheBrokersReason(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"bad_request","reason":"too bad"}`:            "too bad",
		`{"error":"bad_request","reason":["no_such_user","x"]}`: "no_such_user: x",
		`{"error":"bad_request","reason":{"a":1}}`:              `{"a":1}`,
		`{"error":"x"}`: "the broker answers 400 Bad Request",
		`<html>`:        "the broker answers 400 Bad Request",
		``:              "the broker answers 400 Bad Request",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, body)
		}))
		c, _ := New(server.URL, Options{})
		_, err := c.Overview(t.Context())
		if !IsStatus(err, 400) || err.Error() != want {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
		server.Close()
	}
}

func TestABrokerThatIsAwayIsUnreachable(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/overview":
			<-hang
		case "/api/whoami": // ends in the middle
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}
	}))
	defer server.Close()
	defer close(hang)
	c, _ := New(server.URL, Options{Timeout: 20 * time.Millisecond})
	var away *Unreachable
	if _, err := c.Overview(t.Context()); !errors.As(err, &away) {
		t.Errorf("a broker that does not answer: %v", err)
	}
	if _, err := c.WhoAmI(t.Context()); !errors.As(err, &away) {
		t.Errorf("half an answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Overview(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestCredentialsOfTheURLComeFirst(t *testing.T) {
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ = r.BasicAuth()
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	c, err := New("http://a%2Fb:p%40w@"+server.Listener.Addr().String(), Options{User: "x", Password: "y"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Overview(t.Context()); err != nil || user != "a/b" || password != "p@w" || c.Address() != server.URL {
		t.Errorf("%v, %q with %q at %s", err, user, password, c.Address())
	}
	for _, bad := range []string{"", "localhost:15672", "ftp://x", "http://", "http://[::1"} {
		if _, err := New(bad, Options{}); err == nil {
			t.Errorf("%q is taken for a URL", bad)
		}
	}
}

func TestFieldsOfObjects(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"a":{"b":{"c":12345678901234567}},"f":1.5,"t":true,"s":"x","n":null,"l":[{"k":1},2],"tags":["a",1,"b"]}`)
	}))
	defer server.Close()
	c, _ := New(server.URL, Options{})
	o, err := c.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Int("a.b.c") != 12345678901234567 || o.Float("f") != 1.5 || o.Int("f") != 1 || !o.Bool("t") || o.Text("s") != "x" || o.Has("n") || o.Has("a.x.c") || o.Has("s.x") {
		t.Errorf("%v", o)
	}
	if l := o.Objects("l"); len(l) != 1 || l[0].Int("k") != 1 {
		t.Errorf("%v", l)
	}
	if tags := Tags(o); len(tags) != 2 || tags[1] != "b" {
		t.Errorf("%v", tags)
	}
}

func TestDefinitionsAreSavedForTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "defs.json")
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SaveDefinitions(file, []byte(" {} ")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	st, serr := os.Stat(file)
	if err != nil || serr != nil || string(text) != "{}\n" || st.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v, %v", text, err, st)
	}
	if err := SaveDefinitions(filepath.Join(dir, "none", "defs.json"), []byte("{}")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := SaveDefinitions("/dev/null", []byte("{}")); err != nil {
		t.Errorf("a device: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: something was left", entries, err)
	}
}

// What is sent may be a password, which is for one server alone.
func TestNobodyIsFollowed(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	for _, code := range []int{301, 302, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(other.URL+"/api/users/u", code))
		c, _ := New(server.URL, Options{User: "u", Password: "secret"})
		_, err := c.Put(t.Context(), Path("users", "u"), map[string]string{"password": "new"})
		if want := "the API is elsewhere: " + other.URL + "/api/users/u"; !IsStatus(err, code) || err.Error() != want {
			t.Errorf("%d: %v, want %s", code, err, want)
		}
		if _, err := c.Overview(t.Context()); !IsStatus(err, code) {
			t.Errorf("%d: %v", code, err)
		}
		server.Close()
	}
	if asked {
		t.Error("another server was asked")
	}
}
