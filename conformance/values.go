package conformance

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Args is a field table as Go values. An int becomes a signed int of 32 bits, or
// of 64 where it needs them; a string a longstr; a []any an array; Args a table;
// nil a void; a time.Time a timestamp. An amqp.Value stands for itself, where the
// exact type counts.
type Args map[string]any

// Table returns the field table, its fields sorted by name; nil for no Args.
func (a Args) Table() amqp.Table {
	if a == nil {
		return nil
	}
	fields := make([]amqp.Field, 0, len(a))
	for _, name := range slices.Sorted(maps.Keys(a)) {
		fields = append(fields, amqp.Field{Name: name, Value: value(a[name])})
	}
	return amqp.NewTable(fields...)
}

func value(v any) amqp.Value {
	switch v := v.(type) {
	case nil:
		return amqp.Void()
	case amqp.Value:
		return v
	case bool:
		return amqp.Bool(v)
	case int:
		if v >= math.MinInt32 && v <= math.MaxInt32 {
			return amqp.Int32(int32(v))
		}
		return amqp.Int64(int64(v))
	case int8:
		return amqp.Int8(v)
	case uint8:
		return amqp.Uint8(v)
	case int16:
		return amqp.Int16(v)
	case uint16:
		return amqp.Uint16(v)
	case int32:
		return amqp.Int32(v)
	case uint32:
		return amqp.Uint32(v)
	case int64:
		return amqp.Int64(v)
	case float32:
		return amqp.Float(v)
	case float64:
		return amqp.Double(v)
	case string:
		return amqp.LongString(v)
	case []byte:
		return amqp.Bytes(v)
	case time.Time:
		return amqp.Timestamp(uint64(v.Unix()))
	case Args:
		return amqp.Nested(v.Table())
	case amqp.Table:
		return amqp.Nested(v)
	case []any:
		list := make([]amqp.Value, 0, len(v))
		for _, x := range v {
			list = append(list, value(x))
		}
		return amqp.List(list...)
	case []string:
		list := make([]amqp.Value, 0, len(v))
		for _, x := range v {
			list = append(list, amqp.LongString(x))
		}
		return amqp.List(list...)
	}
	panic(fmt.Sprintf("no field value for a %T", v))
}

// Plain returns a table as Go values: integers of all widths as int64, floats as
// float64, strings as string, binaries as []byte, timestamps as time.Time, arrays
// as []any, tables as Args, void as nil, decimals as amqp.Value.
func Plain(t amqp.Table) Args {
	if t == nil {
		return nil
	}
	a := Args{}
	for name, v := range t.All() {
		if _, twice := a[string(name)]; !twice {
			a[string(name)] = plain(v)
		}
	}
	return a
}

func plain(v amqp.Value) any {
	switch v.Type {
	case amqp.TypeBool:
		b, _ := v.Bool()
		return b
	case amqp.TypeLongString:
		b, _ := v.Bytes()
		return string(b)
	case amqp.TypeBytes:
		b, _ := v.Bytes()
		return slices.Clone(b)
	case amqp.TypeTimestamp:
		s, _ := v.Timestamp()
		return time.Unix(int64(s), 0)
	case amqp.TypeTable:
		t, _ := v.Table()
		if t == nil {
			return Args{}
		}
		return Plain(t)
	case amqp.TypeArray:
		list := []any{}
		array, _ := v.Array()
		for x := range array.All() {
			list = append(list, plain(x))
		}
		return list
	case amqp.TypeVoid:
		return nil
	}
	if n, ok := v.Int(); ok {
		return n
	}
	if f, ok := v.Float(); ok {
		return f
	}
	return v
}

// Props are the properties of a message. Empty strings and zeros are not set; use
// Channel.PublishRaw for anything else.
type Props struct {
	ContentType, ContentEncoding       string
	Headers                            Args
	DeliveryMode                       uint8
	Priority                           int // set where it is above 0
	CorrelationID, ReplyTo, Expiration string
	MessageID, Type, UserID, AppID     string
	Timestamp                          uint64
}

// Bytes returns the properties as they stand on the wire.
func (p Props) Bytes() (amqp.Properties, error) {
	var e amqp.PropertiesEditor
	for prop, s := range map[amqp.Property]string{
		amqp.PropContentType: p.ContentType, amqp.PropContentEncoding: p.ContentEncoding, amqp.PropCorrelationID: p.CorrelationID,
		amqp.PropReplyTo: p.ReplyTo, amqp.PropExpiration: p.Expiration, amqp.PropMessageID: p.MessageID,
		amqp.PropType: p.Type, amqp.PropUserID: p.UserID, amqp.PropAppID: p.AppID,
	} {
		if s != "" {
			e.SetString(prop, s)
		}
	}
	if p.Headers != nil {
		e.SetHeaders(p.Headers.Table())
	}
	if p.DeliveryMode != 0 {
		e.SetDeliveryMode(p.DeliveryMode)
	}
	if p.Priority != 0 {
		e.SetPriority(uint8(p.Priority))
	}
	if p.Timestamp != 0 {
		e.SetTimestamp(p.Timestamp)
	}
	return e.Properties()
}
