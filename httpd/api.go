package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// maxBody bounds a request's body in bytes.
const maxBody = 1 << 20

// resource is what can be done at one path.
type resource struct {
	get, put, post, del action
}

// action is what a method does, and who may ask for it.
type action struct {
	who role
	do  func(c *call) error
}

// role is what a user's tags let it do.
type role uint8

const (
	management    role = iota // any of the tags that mean something to the API
	policymaker               // or administrator
	monitoring                // or administrator
	administrator             // alone
	anybody                   // with no login at all
)

// notAllowed are RabbitMQ's words for who lacks a role.
var notAllowed = map[role]string{
	management: "Not management user", policymaker: "User not authorised to access object",
	monitoring: "Not monitor user", administrator: "Not administrator user",
}

// call is one request of the API.
type call struct {
	b     Broker
	w     http.ResponseWriter
	r     *http.Request
	user  access.User
	login *broker.User
	s     *Server
	code  int // of the answer, where it was json's

	heads  int             // of headTime
	enters map[string]bool // vhosts that the user has permissions in; nil: not asked yet
}

// failure is an answer that is no success.
type failure struct {
	code  int
	name  string // "error" of the answer; "": it has no body
	cause any    // its "reason"
}

func (f *failure) Error() string { return fmt.Sprintf("%d %s: %v", f.code, f.name, f.cause) }

func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

// invalid is a bad request whose reason is as RabbitMQ's validators write it.
func invalid(format string, args ...any) error {
	return badRequest("Validation failed\n\n"+format+"\n", args...)
}

func notAuthorised(why string) error {
	return &failure{http.StatusUnauthorized, "not_authorised", why}
}

var (
	errNotFound = &failure{http.StatusNotFound, "Object Not Found", "Not Found"}
	errNoVHost  = &failure{http.StatusNotFound, "not_found", "vhost_not_found"}
)

// resources are the API's paths. Each file has a table of its own; one path may stand
// in several, with other methods.
var resources = merge(
	auditPaths,
	bindingPaths,
	channelPaths,
	checkPaths,
	connectionPaths,
	declarePaths,
	definitionPaths,
	exchangePaths,
	limitPaths,
	messagePaths,
	nodePaths,
	overviewPaths,
	parameterPaths,
	peekPaths,
	permissionPaths,
	policyPaths,
	queuePaths,
	singlePaths,
	storagePaths,
	userPaths,
	vhostPaths,
)

// merge puts tables together. What stands in two of them is a mistake.
func merge(tables ...map[string]resource) map[string]resource {
	all := map[string]resource{}
	for _, table := range tables {
		for path, more := range table {
			res := all[path]
			for _, m := range []struct{ to, from *action }{{&res.get, &more.get}, {&res.put, &more.put}, {&res.post, &more.post}, {&res.del, &more.del}} {
				if m.from.do == nil {
					continue
				}
				if m.to.do != nil {
					panic("httpd: two files answer " + path)
				}
				*m.to = *m.from
			}
			all[path] = res
		}
	}
	return all
}

// methods are the resource's, as a request names them.
func (res *resource) methods() map[string]action {
	m := map[string]action{}
	for name, a := range map[string]action{http.MethodGet: res.get, http.MethodPut: res.put, http.MethodPost: res.post, http.MethodDelete: res.del} {
		if a.do != nil {
			m[name] = a
		}
	}
	return m
}

// api makes the handler of all paths below /api.
func (s *Server) api() http.Handler {
	var paths router
	for path, res := range resources {
		paths.add(path, res.methods())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if methods := paths.find(r); methods != nil {
			s.serveResource(w, r, methods)
			return
		}
		answer(w, errNotFound.code, errNotFound.body())
	})
}

func (s *Server) serveResource(w http.ResponseWriter, r *http.Request, methods map[string]action) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	do, ok := methods[method]
	if !ok {
		w.Header().Set("Allow", allow(methods))
		if method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
		} else {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return
	}
	// Some changes take their time, such as the deletion of a large vhost: the time for
	// an answer begins when there is one.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	c := &call{w: w, r: r, s: s}
	if r.ContentLength == 0 {
		c.received()
	}
	err := c.enter(do.who)
	if err == nil {
		err = do.do(c)
	}
	if err == nil && method != http.MethodGet && do.who != management && do.who != anybody {
		s.opts.Logger.Info("administrative change", "method", r.Method, "path", r.URL.EscapedPath(), "user", c.user.Name, "from", r.RemoteAddr)
	}
	c.audit(err)
	if err != nil {
		f := c.failure(err)
		if f.code >= 500 {
			s.opts.Logger.Error("request of the management API failed", "method", r.Method, "path", r.URL.EscapedPath(), "err", err)
		}
		answer(w, f.code, f.body())
	}
}

func allow(methods map[string]action) string {
	list := []string{http.MethodOptions}
	for m := range methods {
		if list = append(list, m); m == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// enter finds out who asks, and whether that user has a role.
func (c *call) enter(who role) error {
	b := c.s.broker.Load()
	if b == nil || c.s.stopping.Load() {
		return &failure{http.StatusServiceUnavailable, "service_unavailable", "the broker is starting or stopping"}
	}
	c.b = *b
	if who == anybody {
		return nil
	}
	if fromPage(c.r) {
		if err := c.fromSession(); err != nil {
			return err
		}
	} else if err := c.fromBasic(); err != nil {
		c.w.Header().Set("WWW-Authenticate", realm)
		return err
	}
	c.b = c.b.ActingFor(c.actor())
	if !c.has(management) {
		return notAuthorised(notAllowed[management])
	}
	if !c.has(who) {
		return notAuthorised(notAllowed[who])
	}
	return nil
}

// fromBasic finds out who asks from the request's own name and password.
func (c *call) fromBasic() error {
	name, password, given := c.r.BasicAuth()
	if !given {
		return &failure{code: http.StatusUnauthorized}
	}
	return c.authenticate(name, password)
}

// authenticate checks a password, after which the call is that user's.
func (c *call) authenticate(name, password string) error {
	u, err := c.b.Authenticate(name, password, fromHere(c.r))
	if err == nil {
		c.login = u
		c.user, err = c.b.User(u.Name) // its tags of now
	}
	by := audit.Actor{User: name, From: c.r.RemoteAddr, Interface: "http"}
	if err == nil {
		c.b.Tried(by, "")
		return nil
	}
	what, cause := "login to the management API was refused", "wrong name or password"
	if !c.b.MayComeFrom(name, fromHere(c.r)) {
		what += ": the user may come from this machine only (--loopback-users)"
		cause = "the user may come from this machine only"
	}
	c.b.Tried(by, cause)
	c.s.opts.Logger.Warn(what, "user", name, "from", c.r.RemoteAddr)
	return &failure{http.StatusUnauthorized, "not_authorized", "Login failed"}
}

const realm = `Basic realm="RabbitMQ Management"`

// has tells whether the user's tags give it a role.
func (c *call) has(r role) bool {
	tags := map[role][]string{
		management: {access.Management, access.Policymaker, access.Monitoring}, policymaker: {access.Policymaker}, monitoring: {access.Monitoring},
	}[r]
	return c.user.HasTag(access.Administrator) || slices.ContainsFunc(tags, c.user.HasTag)
}

// mayEnter tells whether the user sees what is in a vhost.
func (c *call) mayEnter(vhost string) bool {
	if c.has(administrator) {
		return true
	}
	if c.enters == nil {
		c.enters = map[string]bool{}
		for _, p := range c.b.Permissions() {
			if p.User == c.user.Name {
				c.enters[p.VHost] = true
			}
		}
	}
	return c.enters[vhost]
}

// vhost is the one that the path names, if it exists and the user sees it.
func (c *call) vhost() (string, error) {
	name := c.r.PathValue("vhost")
	if _, err := c.b.VHost(name); err != nil {
		return "", errNotFound
	}
	if !c.mayEnter(name) {
		return "", notAuthorised("User not authorised to access virtual host")
	}
	return name, nil
}

// vhosts are the one that the path names, or all that the user sees.
func (c *call) vhosts() ([]string, error) {
	if c.r.PathValue("vhost") != "" {
		name, err := c.vhost()
		return []string{name}, err
	}
	var seen []string
	for _, v := range c.b.VHosts() {
		if c.mayEnter(v.Name) {
			seen = append(seen, v.Name)
		}
	}
	return seen, nil
}

// failure makes an answer of an error.
func (c *call) failure(err error) *failure {
	var f *failure
	var bad *amqp.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, broker.ErrNoVHost), errors.Is(err, broker.ErrNoUser), errors.Is(err, broker.ErrNoPermissions),
		errors.Is(err, broker.ErrNoPolicy), errors.Is(err, broker.ErrNoParameter), errors.Is(err, broker.ErrNoQueue), errors.Is(err, broker.ErrNoExchange), errors.Is(err, broker.ErrNoConnection):
		return errNotFound
	case errors.As(err, &bad) && (bad.Code == amqp.CodeInternalError || bad.Code == amqp.CodeConnectionForced):
		return &failure{http.StatusServiceUnavailable, "service_unavailable", bad.Text}
	}
	return &failure{http.StatusBadRequest, "bad_request", err.Error()}
}

func (f *failure) body() any {
	if f.name == "" {
		return nil
	}
	return struct {
		Error  string `json:"error"`
		Reason any    `json:"reason"`
	}{f.name, f.cause}
}

// done answers that something was made or changed.
func (c *call) done(created bool) error {
	if created {
		return c.json(http.StatusCreated, nil)
	}
	return c.json(http.StatusNoContent, nil)
}

// json answers.
func (c *call) json(code int, v any) error {
	c.code = code
	answer(c.w, code, v)
	return nil
}

// answer writes an answer; without v it has no body.
func answer(w http.ResponseWriter, code int, v any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.Header().Set("Cache-Control", "no-cache")
	if v == nil {
		w.WriteHeader(code)
		return
	}
	var body bytes.Buffer
	if err := encoder(&body).Encode(v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(bytes.TrimSuffix(body.Bytes(), []byte("\n"))) // whoever asked may have gone
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// body reads the request's body, which must be a JSON object, or nothing.
func (c *call) body() (map[string]any, error) { return c.bodyUpTo(maxBody) }

// bodyUpTo is body for one that may have another size.
func (c *call) bodyUpTo(most int64) (map[string]any, error) {
	text, err := c.read(most)
	if err != nil {
		return nil, err
	}
	return parseBody(text)
}

// read reads the request's body.
func (c *call) read(most int64) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, most))
	if err != nil {
		return nil, unreadable(err)
	}
	c.received()
	return text, nil
}

// received tells that all of the request is there. The time that it had is over then:
// the server would take its end for the client's, and end the request's context.
func (c *call) received() {
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
}

// unreadable says why a body could not be read.
func unreadable(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &failure{http.StatusRequestEntityTooLarge, "payload_too_large", fmt.Sprintf("a body has at most %d bytes", tooLarge.Limit)}
	}
	return badRequest("the body could not be read")
}

func parseBody(text []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, badRequest("not_json")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, badRequest("not_json")
	}
	switch v := policy.Number(v).(type) {
	case nil:
		return map[string]any{}, nil
	case map[string]any:
		return v, nil
	case string:
		return nil, badRequest("invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?")
	}
	return nil, badRequest("not_json")
}

// require refuses a body that lacks keys.
func require(body map[string]any, keys ...string) error {
	var missing []string
	for _, key := range keys {
		if v, ok := body[key]; !ok || v == nil {
			missing = append(missing, "{key_missing,"+key+"}")
		}
	}
	if len(missing) > 0 {
		return badRequest("[%s]", strings.Join(missing, ","))
	}
	return nil
}

// text reads a string, "" where there is none.
func text(body map[string]any, key string) (string, error) {
	v, ok := body[key]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", badRequest("%s should be a string, actually was %s", key, policy.Term(v))
	}
	return s, nil
}

// tags reads a list of tags: an array, or a string with commas.
func tags(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return access.ParseTags(v), nil
	case []any:
		list := []string{}
		for _, each := range v {
			s, ok := each.(string)
			if !ok {
				return nil, badRequest("a tag should be a string, actually was %s", policy.Term(each))
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, badRequest("tags should be a string or a list, actually was %s", policy.Term(v))
}
