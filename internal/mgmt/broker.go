package mgmt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
)

// Overview reads what the broker says of itself.
func (c *Client) Overview(ctx context.Context) (Object, error) {
	return c.One(ctx, Path("overview"), nil)
}

// WhoAmI reads the user that the client logs in as.
func (c *Client) WhoAmI(ctx context.Context) (Object, error) {
	return c.One(ctx, Path("whoami"), nil)
}

// Definitions reads users, vhosts, policies and topology, as JSON; of one vhost where
// one is named.
func (c *Client) Definitions(ctx context.Context, vhost string) (json.RawMessage, error) {
	var out json.RawMessage
	return out, c.Get(ctx, definitionsPath(vhost), nil, &out)
}

// Import makes what definitions name.
func (c *Client) Import(ctx context.Context, vhost string, definitions json.RawMessage) error {
	return c.Post(ctx, definitionsPath(vhost), definitions, nil)
}

func definitionsPath(vhost string) string {
	if vhost == "" {
		return Path("definitions")
	}
	return Path("definitions", vhost)
}

// SaveDefinitions writes definitions to a file, which is replaced in one step and which
// its owner alone may read: there are password hashes in it. What is no ordinary file,
// such as a pipe, is written to.
func SaveDefinitions(name string, definitions json.RawMessage) error {
	text := append(bytes.TrimSpace(definitions), '\n')
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return os.WriteFile(name, text, 0o600)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Health is GET /health, which needs no login. Where the broker is not well the answer
// is there too, with the status 503.
func (c *Client) Health(ctx context.Context) (o Object, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/health", nil)
	if err != nil {
		return nil, 0, err
	}
	w, err := c.http.Do(r)
	if err != nil {
		return nil, 0, &Unreachable{c.base, err}
	}
	defer w.Body.Close()
	if err := decode(w.Body, &o); err != nil {
		return nil, w.StatusCode, &Error{Status: w.StatusCode}
	}
	return o, w.StatusCode, nil
}

// Check asks one of the health checks, such as "alarms" or "port-listener/5672". The
// error of one that does not pass is an *Error with status 503.
func (c *Client) Check(ctx context.Context, names ...string) error {
	return c.Get(ctx, Path(append([]string{"health", "checks"}, names...)...), nil, nil)
}

// Audit reads the audit log, newest first.
func (c *Client) Audit(ctx context.Context, query url.Values) (Object, error) {
	return c.One(ctx, Path("audit"), query)
}
