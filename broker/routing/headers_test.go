package routing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// table makes a field table of names and values in turn.
func table(fields ...any) amqp.Table {
	t := amqp.NewTable()
	for i := 0; i < len(fields); i += 2 {
		var v amqp.Value
		switch x := fields[i+1].(type) {
		case nil:
			v = amqp.Void()
		case string:
			v = amqp.LongString(x)
		case int:
			v = amqp.Int32(int32(x))
		case float64:
			v = amqp.Double(x)
		case bool:
			v = amqp.Bool(x)
		case amqp.Value:
			v = x
		default:
			panic(fmt.Sprintf("value of type %T", x))
		}
		// Appended by hand, so that names can be repeated.
		t = append(t, amqp.NewTable(amqp.Field{Name: fields[i].(string), Value: v})...)
	}
	return t
}

// withHeaders are the properties of a message with these headers.
func withHeaders(t amqp.Table) amqp.Properties {
	p, err := amqp.NoProperties.Edit().SetHeaders(t).Properties()
	if err != nil {
		panic(err)
	}
	return p
}

func TestHeadersMatch(t *testing.T) {
	for _, c := range []struct {
		name          string
		args, headers amqp.Table
		want          bool
	}{
		{"all: each is there", table("x-match", "all", "a", "1", "b", "2"), table("b", "2", "c", "3", "a", "1"), true},
		{"all: one is missing", table("x-match", "all", "a", "1", "b", "2"), table("a", "1"), false},
		{"all: one differs", table("x-match", "all", "a", "1", "b", "2"), table("a", "1", "b", "3"), false},
		{"all is the default", table("a", "1", "b", "2"), table("a", "1"), false},
		{"all of nothing matches all", table("x-match", "all"), table("a", "1"), true},
		{"all of nothing matches no headers", table(), nil, true},
		{"a senseless x-match is all", table("x-match", 1, "a", "1", "b", "2"), table("a", "1"), false},
		{"any: one is there", table("x-match", "any", "a", "1", "b", "2"), table("b", "2"), true},
		{"any: both are there", table("x-match", "any", "a", "1", "b", "2"), table("b", "2", "a", "1"), true},
		{"any: none is there", table("x-match", "any", "a", "1", "b", "2"), table("c", "2"), false},
		{"any: values differ", table("x-match", "any", "a", "1", "b", "2"), table("a", "2", "b", "1"), false},
		{"any of nothing matches nothing", table("x-match", "any"), table("a", "1"), false},
		{"any of nothing, no headers", table("x-match", "any"), nil, false},
		{"all without headers", table("a", "1"), nil, false},
		{"x- fields are ignored", table("x-match", "all", "x-a", "1", "b", "2"), table("b", "2"), true},
		{"x- fields alone are nothing", table("x-match", "all", "x-a", "1"), table(), true},
		{"any ignores x- fields", table("x-match", "any", "x-a", "1", "b", "2"), table("x-a", "1"), false},
		{"all-with-x wants them", table("x-match", "all-with-x", "x-a", "1", "b", "2"), table("b", "2"), false},
		{"all-with-x has them", table("x-match", "all-with-x", "x-a", "1", "b", "2"), table("b", "2", "x-a", "1"), true},
		{"any-with-x takes them", table("x-match", "any-with-x", "x-a", "1", "b", "2"), table("x-a", "1"), true},
		{"x-match is never matched", table("x-match", "any-with-x", "b", "2"), table("x-match", "any-with-x"), false},
		{"X- is no x-", table("X-a", "1"), table(), false},
		{"void wants presence", table("a", nil), table("a", "1"), true},
		{"void is not absence", table("a", nil), table("b", "1"), false},
		{"void is met by void", table("a", nil), table("a", nil), true},
		{"a value is not met by void", table("a", "1"), table("a", nil), false},
		{"any with void", table("x-match", "any", "a", nil, "b", "1"), table("a", 5), true},
		{"integers of other widths", table("a", amqp.Int8(5)), table("a", amqp.Int64(5)), true},
		{"signed and unsigned", table("a", amqp.Uint16(5)), table("a", amqp.Int32(5)), true},
		{"negative", table("a", amqp.Int8(-5)), table("a", amqp.Int64(-5)), true},
		{"integer and double", table("a", amqp.Int8(5)), table("a", 5.0), true},
		{"integer and another double", table("a", amqp.Int8(5)), table("a", 5.5), false},
		{"float and double", table("a", amqp.Float(0.5)), table("a", 0.5), true},
		{"zero and negative zero", table("a", 0), table("a", math.Copysign(0, -1)), true},
		{"timestamp and integer", table("a", amqp.Timestamp(7)), table("a", 7), true},
		{"large neighbours", table("a", amqp.Int64(1<<53+1)), table("a", amqp.Int64(1<<53)), false},
		{"large integer and double", table("a", amqp.Int64(1<<53+1)), table("a", float64(1<<53)), false},
		{"number and string", table("a", 1), table("a", "1"), false},
		{"bool and string", table("a", true), table("a", "true"), false},
		{"bools", table("a", true), table("a", true), true},
		{"longstr and binary", table("a", "x"), table("a", amqp.Bytes([]byte("x"))), true},
		{"decimals", table("a", amqp.Decimal(2, 314)), table("a", amqp.Decimal(2, 314)), true},
		{"decimals of other scales", table("a", amqp.Decimal(2, 100)), table("a", amqp.Decimal(0, 1)), false},
		{"arrays", table("a", amqp.List(amqp.Int32(1))), table("a", amqp.List(amqp.Int32(1))), true},
		{"other arrays", table("a", amqp.List(amqp.Int32(1))), table("a", amqp.List(amqp.Int32(2))), false},
		{"tables", table("a", amqp.Nested(table("k", 1))), table("a", amqp.Nested(table("k", 1))), true},
		{"case of names", table("a", "1"), table("A", "1"), false},
		{"case of values", table("a", "x"), table("a", "X"), false},
		{"the first of a repeated header counts", table("a", 1), table("a", 1, "a", 2), true},
		{"the second does not", table("a", 2), table("a", 1, "a", 2), false},
		{"an empty name", table("", 2), table("", 2), true},
	} {
		h := NewHeaders[int]()
		h.Add(1, "ignored", c.args)
		get := withHeaders(c.headers)
		got := h.Match(nil, get, nil)
		if (len(got) == 1) != c.want || len(got) > 1 {
			t.Errorf("%s: got %v, want %t", c.name, got, c.want)
		}
		h.Remove(1, "ignored", c.args)
		if got := h.Match(nil, get, nil); len(got) != 0 || h.index.n != 0 || h.always != nil {
			t.Errorf("%s: %v is left after the removal, %d in the index", c.name, got, h.index.n)
		}
	}
}

func TestHeadersValidation(t *testing.T) {
	for _, c := range []struct {
		args amqp.Table
		want string
	}{
		{table(), ""},
		{table("x-match", "all"), ""},
		{table("x-match", "any"), ""},
		{table("x-match", "all-with-x"), ""},
		{table("x-match", "any-with-x"), ""},
		{table("x-match", "some"), `PRECONDITION_FAILED - Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x`},
		{table("x-match", 1), "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"},
		{table("x-match", nil), "PRECONDITION_FAILED - Invalid x-match field type void (value undefined); expected longstr"},
	} {
		err := ValidateBinding("headers", "", c.args)
		var text string
		if err != nil {
			text = err.Error()
			var e *amqp.Error
			if !errors.As(err, &e) || e.Code != amqp.CodePreconditionFailed {
				t.Errorf("%v is no 406", err)
			}
		}
		if text != c.want {
			t.Errorf("got  %s\nwant %s", text, c.want)
		}
		if err := ValidateBinding("topic", "", c.args); err != nil {
			t.Errorf("topic: %v", err)
		}
	}
}

// naiveHeaders is what a pattern means, field by field.
func naiveHeaders(args, headers amqp.Table) bool {
	kind, _ := args.LongString("x-match")
	all, any := true, false
	for name, want := range args.All() {
		n := string(name)
		if n == "x-match" || strings.HasPrefix(n, "x-") && !strings.HasSuffix(kind, "-with-x") {
			continue
		}
		got, ok := headers.Get(n)
		if ok && (want.Void() || amqp.Same(want, got)) {
			any = true
		} else {
			all = false
		}
	}
	if strings.HasPrefix(kind, "any") {
		return any
	}
	return all
}

func drawTable(t *rapid.T, label string, kinds ...string) amqp.Table {
	values := []any{nil, 1, 1.0, "1", true, amqp.Int8(1), amqp.Timestamp(1), 2, amqp.List(amqp.Int32(1)), amqp.Nested(nil)}
	names := []string{"a", "b", "c", "x-a", "x-b"}
	var fields []any
	if len(kinds) > 0 {
		if k := rapid.SampledFrom(kinds).Draw(t, "x-match"); k != "" {
			fields = append(fields, "x-match", k)
		}
	}
	for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID).Draw(t, label) {
		fields = append(fields, n, rapid.SampledFrom(values).Draw(t, n))
	}
	return table(fields...)
}

func TestHeadersMatchAsTheNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := NewHeaders[int]()
		var bound []Binding[int]
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			if len(bound) > 0 && rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				i := rapid.IntRange(0, len(bound)-1).Draw(t, "which")
				if !h.Remove(bound[i].Destination, "", bound[i].Args) {
					t.Fatalf("%v is not bound", bound[i])
				}
				bound = slices.Delete(bound, i, i+1)
			} else {
				b := Binding[int]{rapid.IntRange(0, 9).Draw(t, "dst"), "", drawTable(t, "args", "", "all", "any", "all-with-x", "any-with-x")}
				known := slices.ContainsFunc(bound, func(o Binding[int]) bool {
					return o.Destination == b.Destination && o.Args.Equivalent(b.Args)
				})
				if h.Add(b.Destination, "", b.Args) == known {
					t.Fatalf("add %v: known %t", b, known)
				}
				if !known {
					bound = append(bound, b)
				}
			}
			headers := drawTable(t, "headers")
			var want []int
			for _, b := range bound {
				if naiveHeaders(b.Args, headers) && !slices.Contains(want, b.Destination) {
					want = append(want, b.Destination)
				}
			}
			got := h.Match(nil, withHeaders(headers), nil)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("headers %v: got %v, want %v of %v", amqp.Nested(headers), got, want, bound)
			}
		}
	})
}

// TestSameValuesHaveOneHash is what the index rests on.
func TestSameValuesHaveOneHash(t *testing.T) {
	values := []amqp.Value{
		amqp.Void(), amqp.Bool(true), amqp.Bool(false), amqp.LongString("a"), amqp.Bytes([]byte("a")), amqp.LongString(""),
		amqp.Int8(0), amqp.Int8(-1), amqp.Uint8(255), amqp.Int16(-1), amqp.Uint16(1), amqp.Int32(1), amqp.Uint32(1), amqp.Int64(1),
		amqp.Int64(math.MaxInt64), amqp.Int64(math.MinInt64), amqp.Timestamp(math.MaxUint64), amqp.Timestamp(1), amqp.Timestamp(1 << 63),
		amqp.Double(1), amqp.Float(1), amqp.Double(0), amqp.Double(math.Copysign(0, -1)), amqp.Float(-1), amqp.Double(1 << 63), amqp.Double(-1 << 63),
		amqp.Double(math.Inf(1)), amqp.Float(float32(math.Inf(1))), amqp.Double(math.NaN()),
		amqp.Decimal(1, 1), amqp.Decimal(0, 1), amqp.List(), amqp.List(amqp.Int8(1)), amqp.List(amqp.Int64(1)), amqp.Nested(nil), amqp.Nested(table("a", 1)),
	}
	for _, a := range values {
		for _, b := range values {
			if amqp.Same(a, b) && hashField([]byte("n"), a) != hashField([]byte("n"), b) {
				t.Errorf("%s %v and %s %v are the same with two hashes", a.Type, a, b.Type, b)
			}
			if amqp.Equivalent(a, b) && hashField([]byte("n"), a) != hashField([]byte("n"), b) {
				t.Errorf("%s %v and %s %v are equivalent with two hashes", a.Type, a, b.Type, b)
			}
		}
	}
}
