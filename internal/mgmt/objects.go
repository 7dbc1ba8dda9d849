package mgmt

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Queue is a queue as it is declared.
type Queue struct {
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Arguments  map[string]any `json:"arguments"`
}

// Exchange is an exchange as it is declared.
type Exchange struct {
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
}

// Binding is a binding as it is made.
type Binding struct {
	Key       string         `json:"routing_key"`
	Arguments map[string]any `json:"arguments"`
}

// ExchangeName is an exchange's name in a path, where the default exchange has one.
func ExchangeName(name string) string {
	if name == "" {
		return "amq.default"
	}
	return name
}

// BindingPath is the path of the bindings between two ends.
func BindingPath(vhost, source string, toExchange bool, destination string, more ...string) string {
	kind := "q"
	if toExchange {
		kind, destination = "e", ExchangeName(destination)
	}
	return Path(append([]string{"bindings", vhost, "e", ExchangeName(source), kind, destination}, more...)...)
}

// DeleteQueue removes a queue; the conditions are checked by the broker.
func (c *Client) DeleteQueue(ctx context.Context, vhost, name string, ifEmpty, ifUnused bool) error {
	return c.Delete(ctx, Path("queues", vhost, name), conditions(ifEmpty, ifUnused))
}

// DeleteExchange removes an exchange.
func (c *Client) DeleteExchange(ctx context.Context, vhost, name string, ifUnused bool) error {
	return c.Delete(ctx, Path("exchanges", vhost, ExchangeName(name)), conditions(false, ifUnused))
}

func conditions(ifEmpty, ifUnused bool) url.Values {
	q := url.Values{}
	if ifEmpty {
		q.Set("if-empty", "true")
	}
	if ifUnused {
		q.Set("if-unused", "true")
	}
	return q
}

// Get says how messages are fetched.
type Get struct {
	Count    int    `json:"count"`
	AckMode  string `json:"ackmode"`  // ack_requeue_true, ack_requeue_false, reject_requeue_true, reject_requeue_false
	Encoding string `json:"encoding"` // auto or base64
	Truncate int    `json:"truncate,omitempty"`
}

// GetMessages fetches messages from the head of a queue.
func (c *Client) GetMessages(ctx context.Context, vhost, queue string, g Get) ([]Object, error) {
	var out []Object
	return out, c.Post(ctx, Path("queues", vhost, queue, "get"), g, &out)
}

// Peek says which messages of a queue are looked at.
type Peek struct {
	Position, Count, Truncate int
	State                     string // all, ready or unacked
}

// PeekMessages looks at messages without changing them. The answer has items, messages
// and next, the position to go on from.
func (c *Client) PeekMessages(ctx context.Context, vhost, queue string, p Peek) (Object, error) {
	q := url.Values{}
	q.Set("position", strconv.Itoa(p.Position))
	q.Set("count", strconv.Itoa(p.Count))
	q.Set("truncate", strconv.Itoa(p.Truncate))
	if p.State != "" {
		q.Set("state", p.State)
	}
	return c.One(ctx, Path("queues", vhost, queue, "peek"), q)
}

// CloseConnection closes a client's connection, which is told the reason.
func (c *Client) CloseConnection(ctx context.Context, name, reason string) error {
	h := http.Header{}
	if reason != "" {
		h.Set("X-Reason", reason)
	}
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: Path("connections", name), Header: h}, nil)
	return err
}
