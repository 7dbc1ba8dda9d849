package jsontable

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"pgregory.net/rapid"
)

// leaf draws what JSON has, but for arrays and objects.
func leaf(t *rapid.T) any {
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return rapid.String().Draw(t, "text")
	case 1:
		return rapid.Int64().Draw(t, "integer")
	case 2:
		return rapid.Bool().Draw(t, "boolean")
	case 3:
		return nil
	}
	return rapid.Float64Range(-1e300, 1e300).Draw(t, "number")
}

func object(t *rapid.T, depth int) map[string]any {
	m := map[string]any{}
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		m[rapid.StringN(0, 40, 200).Draw(t, "name")] = anything(t, depth)
	}
	return m
}

func anything(t *rapid.T, depth int) any {
	if depth == 0 {
		return leaf(t)
	}
	switch rapid.IntRange(0, 3).Draw(t, "shape") {
	case 0:
		return object(t, depth-1)
	case 1:
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, anything(t, depth-1))
		}
		return list
	}
	return leaf(t)
}

func TestWhatComesFromJSONGoesBackUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := object(t, 4)
		table, err := Parse(m, KeepNulls)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := Show(table); !reflect.DeepEqual(got, m) {
			t.Fatalf("%v became %v", m, got)
		}
		again, _ := Parse(m, KeepNulls)
		if !bytes.Equal(table, again) {
			t.Fatal("the order of fields differs")
		}
	})
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	deep := any("x")
	for range MaxDepth {
		deep = []any{deep}
	}
	for want, m := range map[error]map[string]any{
		ErrNull: {"a": []any{nil}},
		ErrDeep: {"a": deep},
		ErrName: {strings.Repeat("a", 256): true},
		errType: {"a": struct{}{}},
	} {
		if _, err := Parse(m, RefuseNulls); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", m, err, want)
		}
	}
}

func TestWhatJSONLacksIsShownAsItCanBe(t *testing.T) {
	table := amqp.NewTable(
		amqp.Field{Name: "bytes", Value: amqp.Bytes([]byte{0xff, 0})}, amqp.Field{Name: "time", Value: amqp.Timestamp(7)},
		amqp.Field{Name: "void", Value: amqp.Void()}, amqp.Field{Name: "decimal", Value: amqp.Decimal(2, 314)},
		amqp.Field{Name: "small", Value: amqp.Int8(-1)}, amqp.Field{Name: "nan", Value: amqp.Double(math.NaN())},
	)
	want := map[string]any{"bytes": "/wA=", "time": uint64(7), "void": nil, "decimal": "314e-2", "small": int64(-1), "nan": amqp.Double(math.NaN()).String()}
	if got := Show(table); !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, want %#v", got, want)
	}
}
