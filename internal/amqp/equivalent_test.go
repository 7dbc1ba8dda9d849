package amqp

import (
	"math"
	"testing"
)

func TestEquivalence(t *testing.T) {
	big := uint64(1) << 63
	for _, c := range []struct {
		name             string
		a, b             Value
		equivalent, same bool
	}{
		{"equal ints of other widths", Int8(5), Int64(5), true, true},
		{"signed and unsigned", Uint32(5), Int32(5), true, true},
		{"other ints", Int32(5), Int32(6), false, false},
		{"negative", Int8(-1), Int64(-1), true, true},
		{"minus one and its bits", Int64(-1), Timestamp(math.MaxUint64), false, false},
		{"int and timestamp", Int64(5), Timestamp(5), true, true},
		{"float and double", Float(0.5), Double(0.5), true, true},
		{"int and double", Int64(1), Double(1), false, true},
		{"double and int", Double(-3), Int8(-3), false, true},
		{"int and fraction", Int64(1), Double(1.5), false, false},
		{"no rounding", Int64(math.MaxInt64), Double(math.MaxInt64), false, false},
		{"beyond int64", Timestamp(big), Double(float64(big)), false, true},
		{"beyond uint64", Timestamp(math.MaxUint64), Double(math.MaxUint64), false, false},
		{"infinity", Int64(1), Double(math.Inf(1)), false, false},
		{"NaN", Int64(0), Double(math.NaN()), false, false},
		{"least int64", Int64(math.MinInt64), Double(math.MinInt64), false, true},
		{"bool and int", Bool(true), Int8(1), false, false},
		{"bools", Value{TypeBool, []byte{7}}, Bool(true), true, true},
		{"strings", LongString("a"), LongString("a"), true, true},
		{"other strings", LongString("a"), LongString("b"), false, false},
		{"longstr and binary", LongString("a"), Bytes([]byte("a")), true, true},
		{"string and int", LongString("5"), Int8(5), false, false},
		{"voids", Void(), Void(), true, true},
		{"void and string", Void(), LongString(""), false, false},
		{"decimals", Decimal(1, 2), Decimal(1, 2), true, true},
		{"other decimals", Decimal(1, 20), Decimal(2, 200), false, false},
		{"arrays", List(Int8(1), Void()), List(Int64(1), Void()), true, true},
		{"longer array", List(Int8(1)), List(Int8(1), Int8(1)), false, false},
		{"types count in arrays", List(Int8(1)), List(Double(1)), false, false},
		{"tables in other order",
			Nested(NewTable(Field{"a", Int8(1)}, Field{"b", Int8(2)})),
			Nested(NewTable(Field{"b", Int16(2)}, Field{"a", Int16(1)})), true, true},
		{"table with one more", Nested(Table{}), Nested(NewTable(Field{"a", Void()})), false, false},
		{"array and table", List(), Nested(Table{}), false, false},
		{"absent and absent", Value{}, Value{}, true, true},
		{"absent and void", Value{}, Void(), false, false},
	} {
		if got := Equivalent(c.a, c.b); got != c.equivalent {
			t.Errorf("%s: equivalent %t", c.name, got)
		}
		if got := Equivalent(c.b, c.a); got != c.equivalent {
			t.Errorf("%s: reversed, equivalent %t", c.name, got)
		}
		if got := Same(c.a, c.b); got != c.same {
			t.Errorf("%s: same %t", c.name, got)
		}
		if got := Same(c.b, c.a); got != c.same {
			t.Errorf("%s: reversed, same %t", c.name, got)
		}
	}
}

func TestInequivalentSpeaksAsRabbitMQ(t *testing.T) {
	for _, c := range []struct {
		received, current Value
		want              string
	}{
		{Int64(5), Int32(10), "received '5' but current is '10'"},
		{Value{}, Int32(10), "received none but current is the value '10' of type 'signedint'"},
		{LongString("dlx"), Value{}, "received the value 'dlx' of type 'longstr' but current is none"},
		{Bool(false), Bool(true), "received 'false' but current is 'true'"},
		{Double(5), Int32(5), "received '5.0' but current is '5'"},
		{Float(0.1), Double(1e30), "received '0.10000000149011612' but current is '1.0e30'"},
		{Double(1e-7), Double(-2.5e100), "received '1.0e-7' but current is '-2.5e100'"},
		{Double(123456789), Double(5.5), "received '123456789.0' but current is '5.5'"},
	} {
		err := Inequivalent("x-max-length", "queue", "q", "/", c.received, c.current)
		want := "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': " + c.want
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}

func TestCanonicalFormHasNoOrder(t *testing.T) {
	a := NewTable(Field{"x-match", LongString("all")}, Field{"a", Int8(1)}, Field{"a", Int8(2)})
	b := NewTable(Field{"a", Int8(1)}, Field{"x-match", LongString("all")}, Field{"a", Int8(2)})
	c := NewTable(Field{"a", Int8(2)}, Field{"x-match", LongString("all")}, Field{"a", Int8(1)})
	if string(a.Canonical(nil)) != string(b.Canonical(nil)) {
		t.Error("two orders of the same fields differ")
	}
	if string(a.Canonical(nil)) == string(c.Canonical(nil)) {
		t.Error("fields of the same name changed places")
	}
}
