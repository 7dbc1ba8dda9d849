package mgmt

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
)

// Object is an object of the API, with all its fields. Numbers are json.Numbers.
type Object map[string]any

// Field is what stands in a field; a dot leads into an object (message_stats.publish).
func (o Object) Field(path string) any {
	var v any = map[string]any(o)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// Text is a field of text, "" where there is none.
func (o Object) Text(path string) string {
	s, _ := o.Field(path).(string)
	return s
}

// Int is a field that is a whole number, 0 where there is none.
func (o Object) Int(path string) int64 {
	n, _ := o.Field(path).(json.Number)
	if i, err := n.Int64(); err == nil {
		return i
	}
	return int64(o.Float(path))
}

// Float is a field that is a number, 0 where there is none.
func (o Object) Float(path string) float64 {
	n, _ := o.Field(path).(json.Number)
	f, _ := n.Float64()
	return f
}

// Bool is a field that is true.
func (o Object) Bool(path string) bool {
	b, _ := o.Field(path).(bool)
	return b
}

// Has tells whether there is a field that is not null.
func (o Object) Has(path string) bool { return o.Field(path) != nil }

// Objects is a field that is a list of objects.
func (o Object) Objects(path string) []Object {
	list, _ := o.Field(path).([]any)
	var out []Object
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// List reads a list.
func (c *Client) List(ctx context.Context, path string, query url.Values) ([]Object, error) {
	var out []Object
	return out, c.Get(ctx, path, query, &out)
}

// One reads an object.
func (c *Client) One(ctx context.Context, path string, query url.Values) (Object, error) {
	var out Object
	return out, c.Get(ctx, path, query, &out)
}
