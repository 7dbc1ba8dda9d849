package httpd

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// showTable is a field table as JSON.
func showTable(t amqp.Table) map[string]any {
	out := make(map[string]any, t.Len())
	for name, v := range t.All() {
		out[string(name)] = showValue(v)
	}
	return out
}

func showValue(v amqp.Value) any {
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
		return showTable(t)
	}
	if a, ok := v.Array(); ok {
		out := []any{}
		for each := range a.All() {
			out = append(out, showValue(each))
		}
		return out
	}
	if scale, n, ok := v.Decimal(); ok {
		return strconv.FormatUint(uint64(n), 10) + "e-" + strconv.Itoa(int(scale))
	}
	return nil
}
