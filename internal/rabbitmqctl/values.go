package rabbitmqctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/internal/terminal"
)

// words is a list such as tags: [a, b].
type words []string

// table is a field table: arguments and the like.
type table map[string]any

// text is a value in the columns of the table formatter.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return terminal.Printable(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return v.String()
	case int:
		return strconv.Itoa(v)
	case words:
		return "[" + strings.Join(v, ", ") + "]"
	case table:
		return term(map[string]any(v))
	case []any, map[string]any:
		return term(v)
	}
	return fmt.Sprint(v)
}

// term is a value as Erlang has it in a field table.
func term(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		parts := make([]string, len(v))
		for i, each := range v {
			parts[i] = term(each)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		parts := []string{}
		for _, name := range sorted(v) {
			parts = append(parts, "{"+strconv.Quote(name)+","+term(v[name])+"}")
		}
		return "[" + strings.Join(parts, ",") + "]"
	case nil:
		return "undefined"
	}
	return text(v)
}

func sorted(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// plain is a value for the formatter json: tables with the types of their values.
func plain(v any) any {
	switch v := v.(type) {
	case words:
		if v == nil {
			return words{}
		}
	case table:
		return typed(v)
	case nil:
		return ""
	}
	return v
}

// typed is a table as a list of [name, type, value].
func typed(m map[string]any) []any {
	out := []any{}
	for _, name := range sorted(m) {
		kind, v := kindOf(m[name])
		out = append(out, []any{name, kind, v})
	}
	return out
}

func kindOf(v any) (string, any) {
	switch v := v.(type) {
	case string:
		return "longstr", v
	case bool:
		return "bool", v
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "double", v
		}
		return "long", v
	case map[string]any:
		return "table", typed(v)
	case []any:
		out := []any{}
		for _, each := range v {
			kind, v := kindOf(each)
			out = append(out, []any{kind, v})
		}
		return "array", out
	}
	return "void", "undefined"
}

// compact is JSON in a line.
func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
