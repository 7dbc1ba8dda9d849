package mgmt

import (
	"context"
	"encoding/json"
)

// User is a user as it is sent.
type User struct {
	// Password is nil where PasswordHash is given.
	Password *string `json:"password,omitempty"`
	// PasswordHash is a hash in base64 in RabbitMQ's way; "" lets nobody log in with a
	// password.
	PasswordHash *string `json:"password_hash,omitempty"`
	// Algorithm is that of the hash; "" lets the broker take its default.
	Algorithm string   `json:"hashing_algorithm,omitempty"`
	Tags      []string `json:"tags"`
}

// PutUser makes a user, or changes its password and tags.
func (c *Client) PutUser(ctx context.Context, name string, u User) (created bool, err error) {
	if u.Tags == nil {
		u.Tags = []string{}
	}
	return c.Put(ctx, Path("users", name), u)
}

// UserOf reads a user so that it can be sent again: its password as a hash.
func (c *Client) UserOf(ctx context.Context, name string) (User, error) {
	o, err := c.One(ctx, Path("users", name), nil)
	if err != nil {
		return User{}, err
	}
	return User{PasswordHash: new(o.Text("password_hash")), Algorithm: o.Text("hashing_algorithm"), Tags: Tags(o)}, nil
}

// Tags are a user's or a vhost's.
func Tags(o Object) []string {
	list, _ := o.Field("tags").([]any)
	out := []string{}
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// VHost is a vhost as it is sent.
type VHost struct {
	Description string `json:"description,omitempty"`
	Tags        string `json:"tags,omitempty"` // separated by commas
	QueueType   string `json:"default_queue_type,omitempty"`
}

// Permissions are patterns.
type Permissions struct {
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// TopicPermissions are patterns of routing keys of one exchange.
type TopicPermissions struct {
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}

// Policy is a policy, or an operator policy, as it is sent.
type Policy struct {
	Pattern    string          `json:"pattern"`
	Definition json.RawMessage `json:"definition"`
	Priority   int             `json:"priority"`
	ApplyTo    string          `json:"apply-to"`
}

// PolicyPath is the path of a vhost's policies, or of one of them. Without a vhost it
// is that of all.
func PolicyPath(operator bool, names ...string) string {
	kind := "policies"
	if operator {
		kind = "operator-policies"
	}
	return Path(append([]string{kind}, names...)...)
}

// limit is a limit's value as it is sent.
type limit struct {
	Value any `json:"value"`
}

// SetLimit sets a limit of kind "vhost-limits" or "user-limits".
func (c *Client) SetLimit(ctx context.Context, kind, of, name string, value any) error {
	_, err := c.Put(ctx, Path(kind, of, name), limit{value})
	return err
}

// ClearLimit removes a limit.
func (c *Client) ClearLimit(ctx context.Context, kind, of, name string) error {
	return c.Delete(ctx, Path(kind, of, name), nil)
}
