package bench

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// ParseArguments reads arguments of a queue or a consumer: key=value, separated by
// commas. Whole numbers are integers, true and false booleans, anything else is a
// string.
func ParseArguments(text string) (amqp.Table, error) {
	var t amqp.Table
	err := eachPair(text, func(key, value string) error {
		var v amqp.Value
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			v = amqp.Int64(n)
		} else if value == "true" || value == "false" {
			v = amqp.Bool(value == "true")
		} else {
			v = amqp.LongString(value)
		}
		if len(key) > 255 {
			return fmt.Errorf("argument %.20q…: the name has more than 255 bytes", key)
		}
		t = t.With(key, v)
		return nil
	})
	return t, err
}

// eachPair parts key=value pairs, separated by commas.
func eachPair(text string, f func(key, value string) error) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	for _, pair := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || key == "" {
			return fmt.Errorf("%q is no key=value", pair)
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// ParseProperties reads properties of messages: key=value, separated by commas, where
// a key is a property's name (contentType and content-type mean the same) or else that
// of a header.
func ParseProperties(text string) (amqp.Properties, error) {
	e := amqp.NoProperties.Edit()
	var headers amqp.Table
	err := eachPair(text, func(key, value string) error {
		name := dashed(key)
		switch name {
		case "delivery-mode", "priority":
			n, err := strconv.ParseUint(value, 10, 8)
			if err != nil {
				return fmt.Errorf("property %s: %q is not in 0 to 255", key, value)
			}
			if name == "priority" {
				e.SetPriority(uint8(n))
			} else {
				e.SetDeliveryMode(uint8(n))
			}
		case "timestamp":
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return fmt.Errorf("property %s: %q is no number of seconds", key, value)
			}
			e.SetTimestamp(n)
		default:
			prop, ok := stringProperties[name]
			if !ok {
				t, err := ParseArguments(key + "=" + value)
				for k, v := range t.All() {
					headers = headers.With(string(k), v)
				}
				return err
			}
			e.SetString(prop, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(headers) > 0 {
		e.SetHeaders(headers)
	}
	return e.Properties()
}

var stringProperties = map[string]amqp.Property{
	"content-type": amqp.PropContentType, "content-encoding": amqp.PropContentEncoding,
	"correlation-id": amqp.PropCorrelationID, "reply-to": amqp.PropReplyTo, "expiration": amqp.PropExpiration,
	"message-id": amqp.PropMessageID, "type": amqp.PropType, "user-id": amqp.PropUserID,
	"app-id": amqp.PropAppID, "cluster-id": amqp.PropClusterID,
}

// dashed makes content-type of contentType.
func dashed(key string) string {
	var b strings.Builder
	for _, r := range key {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
