package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A key of definitions.
type key struct {
	what     string // what an error says a wrong value is none of
	ok       func(v any) bool
	operator bool // operator policies have it too
	bound    bool // the lower value holds
}

var keys = map[string]key{
	"alternate-exchange":            {"alternate exchange name", isText, false, false},
	"consumer-timeout":              {"consumer timeout", isNatural, false, true}, // since RabbitMQ 3.12
	"dead-letter-exchange":          {"dead letter exchange name", isText, false, false},
	"dead-letter-routing-key":       {"dead letter routing key", isText, false, false},
	"dead-letter-strategy":          {"dead letter strategy", oneOf("at-most-once", "at-least-once"), false, false},
	"delivery-limit":                {"delivery limit", isNatural, true, true},
	"expires":                       {"queue expiry", isPositive, true, true},
	"initial-cluster-size":          {"cluster size", isNatural, false, false},
	"max-age":                       {"max age", isAge, false, false},
	"max-in-memory-bytes":           {"maximum memory in bytes", isNatural, true, true},
	"max-in-memory-length":          {"maximum memory in bytes", isNatural, true, true},
	"max-length":                    {"maximum length", isNatural, true, true},
	"max-length-bytes":              {"maximum length in bytes", isNatural, true, true},
	"message-ttl":                   {"message TTL", isNatural, true, true},
	"overflow":                      {"overflow value", oneOf("drop-head", "reject-publish", "reject-publish-dlx"), false, false},
	"queue-leader-locator":          {"queue leader locator value", oneOf("client-local", "balanced", "random", "least-leaders"), false, false},
	"queue-mode":                    {"queue-mode value", oneOf("default", "lazy"), false, false},
	"queue-version":                 {"queue-version value", isVersion, false, false},
	"stream-max-segment-size-bytes": {"segment size", isSegmentSize, false, false},

	// These have errors of their own.
	"ha-mode": {}, "ha-params": {}, "ha-sync-mode": {}, "ha-sync-batch-size": {},
	"ha-promote-on-shutdown": {}, "ha-promote-on-failure": {}, "queue-master-locator": {},
}

// bounds are the keys of which the lower value holds.
var bounds = func() map[string]bool {
	b := map[string]bool{}
	for name, k := range keys {
		if k.bound {
			b[name] = true
		}
	}
	return b
}()

// foreign are the keys that a kind does not know.
var foreign = [...][]string{
	Exchange:     nil,
	ClassicQueue: {"max-age", "stream-max-segment-size-bytes", "initial-cluster-size", "delivery-limit", "dead-letter-strategy"},
	QuorumQueue: {"queue-mode", "ha-mode", "ha-params", "ha-sync-mode", "ha-promote-on-shutdown", "ha-promote-on-failure",
		"queue-master-locator", "max-age", "stream-max-segment-size-bytes", "initial-cluster-size"},
	Stream: {"expires", "message-ttl", "dead-letter-exchange", "dead-letter-routing-key", "max-length", "max-in-memory-length",
		"max-in-memory-bytes", "overflow", "queue-mode", "delivery-limit", "ha-mode", "ha-params", "ha-sync-mode",
		"ha-promote-on-shutdown", "ha-promote-on-failure", "queue-master-locator", "dead-letter-strategy"},
}

// validate reports the first value that is wrong, and else the keys that are not
// known.
// Meaningless are the keys that are taken and change nothing on one node, sorted.
func (d Definition) Meaningless() []string {
	var names []string
	for name := range d {
		if strings.HasPrefix(name, "ha-") || name == "queue-master-locator" || name == "queue-leader-locator" || name == "initial-cluster-size" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (d Definition) validate(role Role) error {
	if len(d) == 0 {
		return errors.New("no policy provided")
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(d)) {
		k, ok := keys[name]
		if !ok || role == Operator && !k.operator {
			unknown = append(unknown, fmt.Sprintf("{%s,%s}", Term(name), Term(d[name])))
			continue
		}
		if k.ok != nil && !k.ok(d[name]) {
			return fmt.Errorf("%s is not a valid %s", Term(d[name]), k.what)
		}
	}
	if role == User {
		if err := d.validateMirroring(); err != nil {
			return err
		}
		if v, ok := d["queue-master-locator"]; ok && !oneOf("min-masters", "client-local", "random")(v) {
			return fmt.Errorf("%s invalid queue-master-locator value", Term(v))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("[%s] are not recognised policy settings", strings.Join(unknown, ","))
	}
	return nil
}

// validateMirroring checks what has no meaning here: definitions that come from
// clusters with mirrored queues are accepted as they are there.
func (d Definition) validateMirroring() error {
	mode, ok := d["ha-mode"]
	if !ok {
		for _, name := range []string{"ha-params", "ha-sync-mode", "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure"} {
			if _, ok := d[name]; ok {
				return errors.New("ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown")
			}
		}
		return nil
	}
	params, given := d["ha-params"]
	switch mode {
	case "all":
		if given {
			return errors.New(`ha-mode="all" does not take parameters`)
		}
	case "exactly":
		if n, ok := params.(int64); !ok || n <= 0 {
			text := "none"
			if given {
				text = Term(params)
			}
			return fmt.Errorf(`ha-mode="exactly" takes an integer, %s given`, text)
		}
	case "nodes":
		nodes, ok := params.([]any)
		switch {
		case !given:
			return errors.New(`ha-mode="nodes" takes a list, none given`)
		case !ok:
			return fmt.Errorf(`ha-mode="nodes" takes a list, %s given`, Term(params))
		case len(nodes) == 0:
			return errors.New(`ha-mode="nodes" list must be non-empty`)
		}
		if bad := slices.DeleteFunc(slices.Clone(nodes), isText); len(bad) > 0 {
			return fmt.Errorf(`ha-mode="nodes" takes a list of strings, %s was not a string`, Term(bad))
		}
	default:
		return fmt.Errorf("%s is not a valid ha-mode value", Term(mode))
	}
	if v, ok := d["ha-sync-mode"]; ok && !oneOf("manual", "automatic")(v) {
		return fmt.Errorf(`ha-sync-mode must be "manual" or "automatic", got %s`, Term(v))
	}
	if v, ok := d["ha-sync-batch-size"]; ok && !isPositive(v) {
		return fmt.Errorf("ha-sync-batch-size takes an integer greater than 0, %s given", Term(v))
	}
	for _, name := range []string{"ha-promote-on-shutdown", "ha-promote-on-failure"} {
		if v, ok := d[name]; ok && !oneOf("always", "when-synced")(v) {
			return fmt.Errorf(`%s must be "always" or "when-synced", got %s`, name, Term(v))
		}
	}
	return nil
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

func isNatural(v any) bool {
	n, ok := v.(int64)
	return ok && n >= 0
}

func isPositive(v any) bool {
	n, ok := v.(int64)
	return ok && n > 0
}

func isVersion(v any) bool { return v == int64(1) || v == int64(2) }

func isSegmentSize(v any) bool {
	n, ok := v.(int64)
	return ok && n >= 0 && n <= 3_000_000_000
}

// isAge accepts a number and its unit, such as 7D.
func isAge(v any) bool {
	s, _ := v.(string)
	if s == "" || !strings.Contains("YMDhms", s[len(s)-1:]) {
		return false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	return err == nil && n > 0
}

func oneOf(allowed ...string) func(any) bool {
	return func(v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(allowed, s)
	}
}

// Term writes a value as RabbitMQ's errors do, which are Erlang's terms.
func Term(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("<<%q>>", v)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = Term(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, Term(name)+" => "+Term(v[name]))
		}
		return "#{" + strings.Join(parts, ",") + "}"
	}
	return fmt.Sprint(v)
}
