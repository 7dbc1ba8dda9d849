package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
)

// JSON is an object for, or of, the management API.
type JSON map[string]any

// API asks the management API and returns the answer's code; path begins with
// "/api/". The answer's JSON goes to into, where that is not nil and there is any.
// Parts of the path must be escaped; see Path.
func (t *T) API(method, path string, body, into any) int {
	t.Helper()
	u, err := url.Parse(t.Peer.HTTP)
	t.Must(err)
	return t.APIAs(u.User, method, path, body, into)
}

// APIAs is API as another user.
func (t *T) APIAs(user *url.Userinfo, method, path string, body, into any) int {
	t.Helper()
	return t.ask(user, http.Header{}, method, path, body, into)
}

// ask is APIAs with headers, to which it adds.
func (t *T) ask(user *url.Userinfo, header http.Header, method, path string, body, into any) int {
	t.Helper()
	u, err := url.Parse(t.Peer.HTTP)
	t.Must(err)
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		t.Must(err)
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, u.Scheme+"://"+u.Host+path, in)
	t.Must(err)
	req.Header = header
	if user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	t.Must(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	t.Must(err)
	if resp.StatusCode >= 300 {
		t.Logf("%s %s: %s %s", method, path, resp.Status, b)
	}
	if into != nil && len(b) > 0 {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s %s: %v in %q", method, path, err, b)
		}
	}
	return resp.StatusCode
}

// Path makes a path of the management API of parts, each escaped.
func Path(parts ...string) string {
	path := "/api"
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// Put makes or changes an object by the management API.
func (t *T) Put(path string, body any) {
	t.Helper()
	if code := t.API(http.MethodPut, path, body, nil); code/100 != 2 {
		t.Fatalf("PUT %s: %d", path, code)
	}
}

// Remove deletes an object by the management API. One that is gone is no failure.
func (t *T) Remove(path string) {
	t.Helper()
	if code := t.API(http.MethodDelete, path, nil, nil); code/100 != 2 && code != 404 {
		t.Fatalf("DELETE %s: %d", path, code)
	}
}

// Fetch gets an object by the management API.
func (t *T) Fetch(path string, into any) {
	t.Helper()
	if code := t.API(http.MethodGet, path, nil, into); code != 200 {
		t.Fatalf("GET %s: %d", path, code)
	}
}

// VHost makes a vhost for this case, in which the peer's own user may do everything.
func (t *T) VHost() string {
	t.Helper()
	name := t.Name("vhost")
	t.Cleanup(func() { t.Remove(Path("vhosts", name)) })
	t.Put(Path("vhosts", name), JSON{})
	t.Permit(name, t.Peer.url.User.Username(), ".*", ".*", ".*")
	return name
}

// User makes a user for this case, with that comma-separated list of tags. The
// password is the name.
func (t *T) User(tags string) (name string) {
	t.Helper()
	name = t.Name("user")
	t.Cleanup(func() { t.Remove(Path("users", name)) })
	t.Put(Path("users", name), JSON{"password": name, "tags": tags})
	return name
}

// Permit sets a user's permissions in a vhost.
func (t *T) Permit(vhost, user, configure, write, read string) {
	t.Helper()
	t.Put(Path("permissions", vhost, user), JSON{"configure": configure, "write": write, "read": read})
}

// Policy is what a policy says.
type Policy struct {
	Name       string // empty: a random one is made
	VHost      string // empty: the peer's own
	Pattern    string
	Definition JSON
	ApplyTo    string // empty: all
	Priority   int
}

// Policy sets a policy, which goes with the case. A policy need not have taken effect
// everywhere when this returns.
func (t *T) Policy(p Policy) (name string) { t.Helper(); return t.policy("policies", p) }

// OperatorPolicy is Policy for operator policies.
func (t *T) OperatorPolicy(p Policy) (name string) {
	t.Helper()
	return t.policy("operator-policies", p)
}

func (t *T) policy(kind string, p Policy) string {
	t.Helper()
	if p.Name == "" {
		p.Name = t.Name("policy")
	}
	if p.VHost == "" {
		p.VHost = t.Peer.vhost()
	}
	if p.ApplyTo == "" {
		p.ApplyTo = "all"
		if kind == "operator-policies" {
			p.ApplyTo = "queues"
		}
	}
	path := Path(kind, p.VHost, p.Name)
	t.Cleanup(func() { t.Remove(path) })
	t.Put(path, JSON{"pattern": p.Pattern, "definition": p.Definition, "apply-to": p.ApplyTo, "priority": p.Priority})
	return p.Name
}

// RemovePolicy deletes a policy of the peer's own vhost.
func (t *T) RemovePolicy(name string) {
	t.Helper()
	t.Remove(Path("policies", t.Peer.vhost(), name))
}

// VHostLimit sets a limit of a vhost: max-connections or max-queues.
func (t *T) VHostLimit(vhost, limit string, n int) {
	t.Helper()
	t.Put(Path("vhost-limits", vhost, limit), JSON{"value": n})
}

// UserLimit sets a limit of a user: max-connections or max-channels.
func (t *T) UserLimit(user, limit string, n int) {
	t.Helper()
	t.Put(Path("user-limits", user, limit), JSON{"value": n})
}
