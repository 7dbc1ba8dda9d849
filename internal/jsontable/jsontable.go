package jsontable

import (
	"encoding/base64"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// MaxDepth is how deep values may be nested.
const MaxDepth = 16

// Errors of what is no field table.
var (
	ErrNull = errors.New("null_not_allowed") // RabbitMQ's word
	ErrDeep = errors.New("arguments are nested too deep")
	ErrName = errors.New("an argument's name has at most 255 bytes")
	errType = errors.New("a value is of a type that JSON does not have")
)

// Nulls says what becomes of null.
type Nulls bool

// What becomes of null.
const (
	RefuseNulls Nulls = false
	KeepNulls   Nulls = true // as AMQP's void
)

// Parse makes a table of what JSON has: values are string, bool, int64, float64,
// map[string]any, []any and nil. Fields are sorted by name.
func Parse(m map[string]any, nulls Nulls) (amqp.Table, error) { return table(m, nulls, MaxDepth) }

func table(m map[string]any, nulls Nulls, depth int) (amqp.Table, error) {
	fields := make([]amqp.Field, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if len(name) > 255 {
			return nil, ErrName
		}
		v, err := value(m[name], nulls, depth-1)
		if err != nil {
			return nil, err
		}
		fields = append(fields, amqp.Field{Name: name, Value: v})
	}
	return amqp.NewTable(fields...), nil
}

func value(v any, nulls Nulls, depth int) (amqp.Value, error) {
	if depth < 0 {
		return amqp.Value{}, ErrDeep
	}
	switch v := v.(type) {
	case string:
		return amqp.LongString(v), nil
	case bool:
		return amqp.Bool(v), nil
	case int64:
		return amqp.Int64(v), nil
	case float64:
		return amqp.Double(v), nil
	case map[string]any:
		t, err := table(v, nulls, depth)
		return amqp.Nested(t), err
	case []any:
		list := make([]amqp.Value, len(v))
		for i := range v {
			var err error
			if list[i], err = value(v[i], nulls, depth-1); err != nil {
				return amqp.Value{}, err
			}
		}
		return amqp.List(list...), nil
	case nil:
		if nulls == KeepNulls {
			return amqp.Void(), nil
		}
		return amqp.Value{}, ErrNull
	}
	return amqp.Value{}, errType
}

// Show is a table as JSON has it.
func Show(t amqp.Table) map[string]any {
	out := make(map[string]any, t.Len())
	for name, v := range t.All() {
		out[string(name)] = show(v)
	}
	return out
}

func show(v amqp.Value) any {
	if n, ok := v.Int(); ok {
		return n
	}
	if f, ok := v.Float(); ok {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
		return f
	}
	if b, ok := v.Bool(); ok {
		return b
	}
	if b, ok := v.Bytes(); ok {
		if utf8.Valid(b) {
			return string(b)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	if n, ok := v.Timestamp(); ok {
		return n
	}
	if t, ok := v.Table(); ok {
		return Show(t)
	}
	if a, ok := v.Array(); ok {
		out := []any{}
		for each := range a.All() {
			out = append(out, show(each))
		}
		return out
	}
	if scale, n, ok := v.Decimal(); ok {
		return strconv.FormatUint(uint64(n), 10) + "e-" + strconv.Itoa(int(scale))
	}
	return nil
}
