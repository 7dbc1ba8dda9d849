package httpd

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/httpd/page"
)

// browser is one that has the page open.
type browser struct {
	*managed
	cookie *http.Cookie
	from   string
}

func (m *managed) browser() *browser { return &browser{managed: m, from: "127.0.0.1:1234"} }

// ask asks as the page does; header is pairs of names and values, of which "" takes one
// away.
func (b *browser) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:15672"+path, strings.NewReader(body))
	r.RemoteAddr = b.from
	r.Header.Set(pageHeader, "1")
	r.Header.Set("Origin", "http://127.0.0.1:15672")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Del(header[i]); header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	b.s.http.Handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookie = c; c.MaxAge < 0 {
			b.cookie = nil
		}
	}
	return w
}

func (b *browser) expect(what string, w *httptest.ResponseRecorder, code int, body string) {
	b.t.Helper()
	if w.Code != code || !strings.Contains(w.Body.String(), body) {
		b.t.Errorf("%s: %d %s, want %d with %q", what, w.Code, w.Body, code, body)
	}
	if w.Header().Get("WWW-Authenticate") != "" {
		b.t.Errorf("%s: the browser is told to ask for a password itself", what)
	}
}

func (b *browser) logIn(user, password string) *httptest.ResponseRecorder {
	b.t.Helper()
	text, err := json.Marshal(map[string]string{"username": user, "password": password})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.ask("POST", "/page/session", string(text))
}

// loggedIn is a browser after a login that must not fail.
func (m *managed) loggedIn(user string) *browser {
	m.t.Helper()
	b, password := m.browser(), "pw"
	if user == "guest" {
		password = "guest"
	}
	b.expect("login of "+user, b.logIn(user, password), 204, "")
	return b
}

func TestPageLogsInAndOut(t *testing.T) {
	m := newManaged(t)
	b := m.browser()
	b.expect("before the login", b.ask("GET", "/page/session", ""), 204, "")
	b.expect("login", b.logIn("uadministrator", "pw"), 204, "")
	c := b.cookie
	if c.Name != "leveret-15672" || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
		t.Errorf("cookie %v", c)
	}
	b.expect("who", b.ask("GET", "/page/session", ""), 200, `{"name":"uadministrator","tags":["administrator"]}`)
	b.expect("the API", b.ask("GET", "/api/users", ""), 200, `"name":"uadministrator"`)
	b.expect("a change", b.ask("PUT", "/api/vhosts/v", ""), 201, "")
	b.expect("logout", b.ask("DELETE", "/page/session", ""), 204, "")
	if b.cookie != nil {
		t.Errorf("after logout the browser has %v", b.cookie)
	}
	b.cookie = c // it has kept it all the same
	b.expect("the API after logout", b.ask("GET", "/api/whoami", ""), 401, "not_authorized")
	b.expect("logout without a session", b.ask("DELETE", "/page/session", ""), 204, "")
}

func TestPageRefusesWhoMayNotLogIn(t *testing.T) {
	m := newManaged(t)
	for name, c := range map[string]struct {
		body, from string
		code       int
		reason     string
	}{
		"wrong password":       {`{"username":"uadministrator","password":"no"}`, "", 401, `"Login failed"`},
		"no such user":         {`{"username":"nobody","password":"pw"}`, "", 401, `"Login failed"`},
		"empty password":       {`{"username":"uadministrator","password":""}`, "", 401, `"Login failed"`},
		"guest from elsewhere": {`{"username":"guest","password":"guest"}`, "192.0.2.1:1234", 401, `"Login failed"`},
		"no tag":               {`{"username":"u","password":"pw"}`, "", 401, `"Not management user"`},
		"no name":              {`{"password":"pw"}`, "", 400, "{key_missing,username}"},
		"nothing":              {``, "", 400, "key_missing"},
		"no JSON":              {`username=guest&password=guest`, "", 400, "not_json"},
		"no object":            {`["guest","guest"]`, "", 400, "not_json"},
		"no strings":           {`{"username":1,"password":"x"}`, "", 400, "username should be a string"},
		"password no string":   {`{"username":"guest","password":{}}`, "", 400, "password should be a string"},
		"too much":             {`{"username":"` + strings.Repeat("x", maxBody) + `"}`, "", 413, "payload_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			b := m.browser()
			if c.from != "" {
				b.from = c.from
			}
			b.expect(name, b.ask("POST", "/page/session", c.body), c.code, c.reason)
			if b.cookie != nil || m.s.sessions.Len() > 0 {
				t.Errorf("cookie %v, %d sessions", b.cookie, m.s.sessions.Len())
			}
		})
	}
}

func TestRefusedLoginsOfThePageAreLogged(t *testing.T) {
	m := newManaged(t)
	var log strings.Builder
	m.s.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m.browser().logIn("uadministrator", "secret")
	if got := log.String(); !strings.Contains(got, "refused") || !strings.Contains(got, "user=uadministrator from=127.0.0.1:1234") || strings.Contains(got, "secret") {
		t.Error(got)
	}
}

func TestCookieCountsForThePageAlone(t *testing.T) {
	m := newManaged(t)
	b := m.loggedIn("uadministrator")
	w := b.ask("GET", "/api/users", "", pageHeader, "")
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("without the header: %d %v", w.Code, w.Header())
	}
	for _, method := range []string{"GET", "POST", "DELETE"} {
		b.expect(method+" of the session without the header", b.ask(method, "/page/session", "", pageHeader, ""), 403, pageHeader)
	}
	// What the browser may remember of a password counts no more.
	plain := httptest.NewRequest("GET", "/", nil)
	plain.SetBasicAuth("guest", "guest")
	w = b.ask("GET", "/api/whoami", "", "Authorization", plain.Header.Get("Authorization"))
	b.expect("with a password too", w, 200, "uadministrator")
	good := *b.cookie
	for name, c := range map[string]http.Cookie{
		"another name":   {Name: "leveret-1", Value: good.Value},
		"another value":  {Name: good.Name, Value: good.Value[1:] + good.Value[:1]},
		"no value":       {Name: good.Name},
		"a long value":   {Name: good.Name, Value: strings.Repeat("x", 4000)},
		"a longer token": {Name: good.Name, Value: good.Value + good.Value},
	} {
		other := m.browser()
		other.cookie = &c
		other.expect(name, other.ask("GET", "/api/whoami", ""), 401, "Not logged in")
	}
}

func TestOtherSitesCannotUseABrowsersLogin(t *testing.T) {
	m := newManaged(t)
	b := m.loggedIn("uadministrator")
	plain := httptest.NewRequest("GET", "/", nil)
	plain.SetBasicAuth("uadministrator", "pw")
	basic := plain.Header.Get("Authorization")
	for name, header := range map[string][]string{
		"another site":            {"Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"},
		"another port":            {"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:8080"},
		"an old browser":          {"Sec-Fetch-Site", "", "Origin", "http://evil.example"},
		"an origin without names": {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		for _, c := range [][]string{{"POST", "/page/session"}, {"DELETE", "/page/session"}, {"PUT", "/api/vhosts/evil"}, {"POST", "/api/users/bulk-delete"}, {"DELETE", "/api/users/u"}} {
			b.expect(name+" "+c[1], b.ask(c[0], c[1], "{}", header...), 403, `"error":"forbidden"`)
			as := append(slices.Clone(header), pageHeader, "", "Authorization", basic)
			b.expect(name+" with a password "+c[1], b.ask(c[0], c[1], "{}", as...), 403, `"error":"forbidden"`)
		}
	}
	if _, err := m.b.VHost("evil"); err == nil {
		t.Error("another site made a vhost")
	}
	// A program that is no browser sends none of these, and a user types an address.
	for name, header := range map[string][]string{
		"a program": {"Sec-Fetch-Site", "", "Origin", ""}, "the same host": {"Sec-Fetch-Site", ""}, "no site": {"Sec-Fetch-Site", "none", "Origin", ""},
	} {
		w := b.ask("PUT", "/api/vhosts/v", "{}", append(header, pageHeader, "", "Authorization", basic)...)
		if w.Code != 201 && w.Code != 204 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestSessionEndsWithItsUser(t *testing.T) {
	m := newManaged(t)
	admin := m.loggedIn("guest")
	known := access.HashKnown("pw")
	put := func(u access.User) {
		t.Helper()
		if _, err := m.b.PutUser(u); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(){
		"the user is deleted": func() { admin.ask("DELETE", "/api/users/x", "") },
		"the user is deleted by AMQP's side": func() {
			if err := m.b.DeleteUser("x"); err != nil {
				t.Fatal(err)
			}
		},
		"deleted and made again": func() {
			if err := m.b.DeleteUser("x"); err != nil {
				t.Fatal(err)
			}
			put(access.User{Name: "x", Hash: known, Tags: []string{"administrator"}})
		},
		"the password is changed":       func() { admin.ask("PUT", "/api/users/x", `{"password":"other","tags":"administrator"}`) },
		"the password is set once more": func() { admin.ask("PUT", "/api/users/x", `{"password":"pw","tags":"administrator"}`) },
		"the password is taken away":    func() { admin.ask("PUT", "/api/users/x", `{"password_hash":"","tags":"administrator"}`) },
	} {
		put(access.User{Name: "x", Hash: known, Tags: []string{"administrator"}})
		b, second := m.loggedIn("x"), m.loggedIn("x")
		before := m.s.sessions.Len()
		change()
		b.expect(name, b.ask("GET", "/api/whoami", ""), 401, "Not logged in")
		second.expect(name, second.ask("PUT", "/api/vhosts/v", ""), 401, "Not logged in")
		if n := m.s.sessions.Len(); n != before-2 {
			t.Errorf("%s: %d sessions of %d are kept", name, n, before)
		}
	}
}

func TestSessionHasTheTagsOfNow(t *testing.T) {
	m := newManaged(t)
	hash := access.HashKnown("pw")
	tag := func(tags ...string) {
		t.Helper()
		if _, err := m.b.PutUser(access.User{Name: "x", Hash: hash, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	tag("administrator")
	b := m.loggedIn("x")
	b.expect("administrator", b.ask("GET", "/api/users", ""), 200, "")
	tag("monitoring")
	b.expect("monitoring", b.ask("GET", "/api/users", ""), 401, "Not administrator user")
	b.expect("monitoring", b.ask("GET", "/page/session", ""), 200, `["monitoring"]`)
	tag()
	b.expect("no tag", b.ask("GET", "/api/overview", ""), 401, "Not management user")
	b.expect("no tag", b.ask("GET", "/page/session", ""), 401, "Not management user")
	tag("administrator")
	b.expect("again", b.ask("GET", "/api/users", ""), 200, "")
}

func TestSessionOfGuestIsOfThisMachine(t *testing.T) {
	b := newManaged(t).loggedIn("guest")
	b.from = "192.0.2.1:1234"
	b.expect("guest from elsewhere", b.ask("GET", "/api/whoami", ""), 401, "Not logged in")
}

func TestSessionActsAsItsUser(t *testing.T) {
	m := newManaged(t)
	if _, err := m.b.SetPermissions(access.Permissions{User: "umanagement", VHost: "/", Configure: "^mine$", Write: "", Read: ""}); err != nil {
		t.Fatal(err)
	}
	b := m.loggedIn("umanagement")
	b.expect("a queue that it may make", b.ask("PUT", "/api/queues/%2F/mine", "{}"), 201, "")
	w := b.ask("PUT", "/api/queues/%2F/yours", "{}")
	if w.Code < 400 {
		t.Errorf("a queue that it may not make: %d %s", w.Code, w.Body)
	}
}

func TestSecondLoginEndsTheFirst(t *testing.T) {
	m := newManaged(t)
	b := m.loggedIn("uadministrator")
	first := b.cookie
	b.expect("second login", b.logIn("umonitoring", "pw"), 204, "")
	b.expect("who", b.ask("GET", "/page/session", ""), 200, "umonitoring")
	b.cookie = first
	b.expect("the first", b.ask("GET", "/page/session", ""), 204, "")
	b.expect("the API by the first", b.ask("GET", "/api/whoami", ""), 401, "Not logged in")
}

func TestSessionsOfTheServerEndInTime(t *testing.T) {
	m := newManaged(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustServer(t, Options{})
		s.SetBroker(m.b)
		b := (&managed{t, s, m.b}).loggedIn("uadministrator")
		time.Sleep(page.MaxIdle - 1)
		b.expect("nearly idle for too long", b.ask("GET", "/api/whoami", ""), 200, "")
		time.Sleep(page.MaxIdle)
		b.expect("idle for too long", b.ask("GET", "/api/whoami", ""), 401, "")
	})
}

func TestPageWaitsForTheBroker(t *testing.T) {
	b := (&managed{t: t, s: mustServer(t, Options{})}).browser()
	b.expect("a login", b.logIn("guest", "guest"), 503, "service_unavailable")
	b.expect("the session", b.ask("GET", "/page/session", ""), 503, "service_unavailable")
	b.expect("the page itself", b.ask("GET", "/", ""), 200, "<title>Leveret</title>")
}

func TestCookieIsSecureWhereTheBrowserSpeaksTLS(t *testing.T) {
	m := newManaged(t)
	for proto, secure := range map[string]bool{"https": true, "http": false} {
		b := m.browser()
		b.ask("POST", "/page/session", `{"username":"guest","password":"guest"}`, "X-Forwarded-Proto", proto)
		if b.cookie == nil || b.cookie.Secure != secure {
			t.Errorf("%s: cookie %v", proto, b.cookie)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	for host, want := range map[string]string{"a": "leveret", "a:80": "leveret-80", "[::1]:15672": "leveret-15672", "a:x;y": "leveret", "": "leveret"} {
		if r.Host = host; cookieName(r) != want {
			t.Errorf("host %q: cookie %s", host, cookieName(r))
		}
	}
}

// Every answer, whatever it is of, tells the browser what it may do with it.
func TestAllAnswersAreProtected(t *testing.T) {
	m := newManaged(t)
	for _, path := range []string{"/", "/health", "/nothing", "/api/overview", "/api/nothing", "/page/session"} {
		w := m.as("guest", "GET", path, "")
		for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy"} {
			if w.Header().Get(name) == "" {
				t.Errorf("%s: %d without %s", path, w.Code, name)
			}
		}
	}
}

func FuzzSession(f *testing.F) {
	for _, body := range []string{`{"username":"guest","password":"guest"}`, `{"username":null,"password":""}`, `{}`, `[`, `"x"`, "\xff"} {
		f.Add(body, "leveret-15672=x", "1")
	}
	m := newManaged(f)
	f.Fuzz(func(t *testing.T, body, cookie, header string) {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r := httptest.NewRequest(method, "http://127.0.0.1:15672/page/session", strings.NewReader(body))
			r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:15672"
			r.Header["Cookie"], r.Header["X-Leveret-Page"] = []string{cookie}, []string{header}
			w := httptest.NewRecorder()
			m.s.http.Handler.ServeHTTP(w, r)
			if w.Code >= 500 {
				t.Errorf("%s %q: %d %s", method, body, w.Code, w.Body)
			}
		}
	})
}
