package httpd

import (
	"net"
	"net/http"
	"strings"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
)

// pageHeader tells that a request comes from the page: no other site can set it. With
// it the session's cookie counts, and nothing else.
const pageHeader = "X-Leveret-Page"

func fromPage(r *http.Request) bool { return r.Header.Get(pageHeader) != "" }

// proof is what is kept with a session to find out whether its user is still the one
// that logged in.
type proof struct {
	user *broker.User
	hash access.Hash
}

// cookieName is the session's cookie. Cookies know no ports, but two brokers on one
// machine do not share their sessions.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil || strings.Trim(port, "0123456789") != "" {
		return "leveret"
	}
	return "leveret-" + port
}

// setCookie gives the browser a token, or takes it away where that is "".
func setCookie(w http.ResponseWriter, r *http.Request, token string) {
	c := http.Cookie{Name: cookieName(r), Value: token, Path: "/", HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, &c)
}

// secure tells whether the browser speaks TLS, to this server or to a proxy before it.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

// token is the one in the request's cookie.
func token(r *http.Request) string {
	c, err := r.Cookie(cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// fromSession finds out who asks from the page's cookie. The error has no words for
// what is wrong with it.
func (c *call) fromSession() error {
	t := token(c.r)
	name, was, ok := c.s.sessions.Find(t)
	if !ok {
		return errSession
	}
	now, err := c.b.LookUpUser(name, fromHere(c.r))
	if err == nil {
		c.user, err = c.b.User(name)
	}
	if err != nil || !now.Is(was.user) || c.user.Hash != was.hash {
		c.s.sessions.End(t)
		return errSession
	}
	c.login = now
	return nil
}

var errSession = &failure{http.StatusUnauthorized, "not_authorized", "Not logged in"}

// session makes the handler of /page/session, by which the page logs in and out.
func (s *Server) session() http.Handler {
	methods := map[string]action{
		http.MethodGet:    {who: anybody, do: showSession},
		http.MethodPost:   {who: anybody, do: beginSession},
		http.MethodDelete: {who: anybody, do: endSession},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromPage(r) {
			answer(w, http.StatusForbidden, (&failure{name: "forbidden", cause: "sessions are the management page's, which says so in the header " + pageHeader}).body())
			return
		}
		s.serveResource(w, r, methods)
	})
}

// showSession tells whose the session is; where there is none that is no error, since the
// page asks for it at its start.
func showSession(c *call) error {
	if err := c.fromSession(); err != nil {
		return c.json(http.StatusNoContent, nil)
	}
	if !c.has(management) {
		return notAuthorised(notAllowed[management])
	}
	return getWhoami(c)
}

func beginSession(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "username", "password"); err != nil {
		return err
	}
	name, err := text(body, "username")
	if err != nil {
		return err
	}
	password, err := text(body, "password")
	if err != nil {
		return err
	}
	// Before the password is checked: should it change meanwhile, the session ends.
	was, _ := c.b.User(name)
	if err := c.authenticate(name, password); err != nil {
		return err
	}
	if !c.has(management) {
		return notAuthorised(notAllowed[management])
	}
	c.s.sessions.End(token(c.r))
	setCookie(c.w, c.r, c.s.sessions.Begin(name, proof{c.login, was.Hash}))
	return c.json(http.StatusNoContent, nil)
}

func endSession(c *call) error {
	c.s.sessions.End(token(c.r))
	setCookie(c.w, c.r, "")
	return c.json(http.StatusNoContent, nil)
}
