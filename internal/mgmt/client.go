package mgmt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options of a Client.
type Options struct {
	// User and Password are for Basic authentication. Those in the URL come before them.
	User, Password string
	// Timeout is how long an answer may take; 0 is a minute.
	Timeout time.Duration
	// Transport is for tests and for TLS; nil is the ordinary one, with the proxies
	// of the environment.
	Transport http.RoundTripper
}

// Client asks one broker. It may be used by many goroutines.
type Client struct {
	base           string // without a slash at its end
	user, password string
	http           *http.Client
}

const defaultTimeout = time.Minute

// New makes a client of the broker at a URL such as http://127.0.0.1:15672. It
// connects to nothing.
func New(address string, o Options) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL as http://HOST:15672", address)
	}
	c := &Client{user: o.User, password: o.Password, http: &http.Client{Timeout: o.Timeout, Transport: o.Transport, CheckRedirect: stay}}
	if o.Timeout == 0 {
		c.http.Timeout = defaultTimeout
	}
	if u.User != nil {
		c.user = u.User.Username()
		if password, ok := u.User.Password(); ok {
			c.password = password
		}
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	c.base = strings.TrimRight(strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/api"), "/")
	return c, nil
}

// stay follows nobody: what is sent has passwords in it, which are for one server.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Address is the URL that the client asks, without credentials.
func (c *Client) Address() string { return c.base }

// User is whom the client logs in as.
func (c *Client) User() string { return c.user }

// Error is an answer that is no success.
type Error struct {
	Status int
	// Name is the error's class in RabbitMQ's words, such as bad_request.
	Name string
	// Reason is the broker's text; it may be empty.
	Reason string
}

func (e *Error) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("the broker answers %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Reason
}

// IsStatus tells whether err is the broker's answer with that status.
func IsStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// Unreachable is a request without an answer.
type Unreachable struct {
	Address string
	Err     error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("no answer from %s: %s", e.Address, plain(e.Err))
}

func (e *Unreachable) Unwrap() error { return e.Err }

// plain is what went wrong, without the method and the URL that net/http puts before it.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	}
	return err.Error()
}

// Path is a path below /api of names, which are escaped.
func Path(names ...string) string {
	var b strings.Builder
	b.WriteString("/api")
	for _, name := range names {
		b.WriteByte('/')
		switch name {
		case ".", "..": // which would be taken for directories
			b.WriteString(strings.ReplaceAll(name, ".", "%2E"))
		default:
			b.WriteString(url.PathEscape(name))
		}
	}
	return b.String()
}

// Request is one question.
type Request struct {
	Method string
	Path   string // as Path makes it
	Query  url.Values
	Header http.Header
	// Body is sent as JSON; a json.RawMessage as it is; nil sends none.
	Body any
}

// maxAnswer bounds the text of an error; lists may be of any length.
const maxAnswer = 64 << 10

// Do asks, and decodes the answer's JSON into out, which may be nil. It returns the
// status.
func (c *Client) Do(ctx context.Context, q Request, out any) (int, error) {
	var body io.Reader
	if q.Body != nil {
		text, err := json.Marshal(q.Body)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	address := c.base + q.Path
	if len(q.Query) > 0 {
		address += "?" + q.Query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, address, body)
	if err != nil {
		return 0, err
	}
	for name, values := range q.Header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.SetBasicAuth(c.user, c.password)
	w, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, &Unreachable{c.base, err}
	}
	defer w.Body.Close()
	if w.StatusCode >= 300 {
		return w.StatusCode, failure(w)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, w.Body)
	} else if err = decode(w.Body, out); err != nil && !isNetwork(err) {
		return w.StatusCode, fmt.Errorf("%s answers with no JSON: is it a management API?", c.base)
	}
	if err != nil {
		return w.StatusCode, &Unreachable{c.base, err}
	}
	return w.StatusCode, nil
}

func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF)
}

func decode(r io.Reader, out any) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	return d.Decode(out)
}

// failure reads what a broker says about a refusal.
func failure(w *http.Response) *Error {
	e := &Error{Status: w.StatusCode}
	if to := w.Header.Get("Location"); to != "" && w.StatusCode < 400 {
		e.Reason = "the API is elsewhere: " + to
		return e
	}
	text, err := io.ReadAll(io.LimitReader(w.Body, maxAnswer))
	if err != nil || len(text) == 0 {
		return e
	}
	var body struct {
		Error  string          `json:"error"`
		Reason json.RawMessage `json:"reason"`
	}
	if json.Unmarshal(text, &body) != nil {
		return e
	}
	e.Name = body.Error
	if json.Unmarshal(body.Reason, &e.Reason) != nil {
		var list []string
		if json.Unmarshal(body.Reason, &list) == nil {
			e.Reason = strings.Join(list, ": ")
		} else {
			e.Reason = string(body.Reason)
		}
	}
	return e
}

// Get reads one thing.
func (c *Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	_, err := c.Do(ctx, Request{Method: http.MethodGet, Path: path, Query: query}, out)
	return err
}

// Put makes or changes something, and tells whether it was made.
func (c *Client) Put(ctx context.Context, path string, body any) (created bool, err error) {
	status, err := c.Do(ctx, Request{Method: http.MethodPut, Path: path, Body: body}, nil)
	return status == http.StatusCreated, err
}

// Post sends something.
func (c *Client) Post(ctx context.Context, path string, body, out any) error {
	_, err := c.Do(ctx, Request{Method: http.MethodPost, Path: path, Body: body}, out)
	return err
}

// Delete removes something.
func (c *Client) Delete(ctx context.Context, path string, query url.Values) error {
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: path, Query: query}, nil)
	return err
}
