package amqp

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// everyType is a table with each type once and nesting, and the bytes that
// RabbitMQ's dialect gives it, written by hand.
func everyType() (Table, string) {
	t := NewTable(
		Field{"t", Bool(true)},
		Field{"b", Int8(-2)},
		Field{"B", Uint8(254)},
		Field{"s", Int16(-2)},
		Field{"u", Uint16(65534)},
		Field{"I", Int32(-2)},
		Field{"i", Uint32(4294967294)},
		Field{"l", Int64(-2)},
		Field{"L", Value{TypeInt64Alt, be64(7)}},
		Field{"f", Float(1.5)},
		Field{"d", Double(-1.5)},
		Field{"D", Decimal(2, 314)},
		Field{"S", LongString("hé")},
		Field{"x", Bytes([]byte{0, 255})},
		Field{"T", Timestamp(1700000000)},
		Field{"V", Void()},
		Field{"A", List(Int8(1), LongString("a"), List(), Nested(Table{}))},
		Field{"F", Nested(NewTable(Field{"", Void()}, Field{"k", List(Bool(false))}))},
	)
	return t, strings.Join([]string{
		"0174" + "7401",
		"0162" + "62fe",
		"0142" + "42fe",
		"0173" + "73fffe",
		"0175" + "75fffe",
		"0149" + "49fffffffe",
		"0169" + "69fffffffe",
		"016c" + "6cfffffffffffffffe",
		"014c" + "4c0000000000000007",
		"0166" + "663fc00000",
		"0164" + "64bff8000000000000",
		"0144" + "44020000013a",
		"0153" + "530000000368c3a9",
		"0178" + "780000000200ff",
		"0154" + "54000000006553f100",
		"0156" + "56",
		"0141" + "4100000012" + "6201" + "530000000161" + "4100000000" + "4600000000",
		"0146" + "460000000b" + "0056" + "016b" + "4100000002" + "7400",
	}, "")
}

func TestTableWritesEveryTypeAsRabbitMQDoes(t *testing.T) {
	table, want := everyType()
	if got := hex.EncodeToString(table); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := table.Validate(); err != nil {
		t.Error(err)
	}
	if n := table.Len(); n != 18 {
		t.Errorf("%d fields", n)
	}
}

func TestLookupsReadEveryType(t *testing.T) {
	table, _ := everyType()
	for name, want := range map[string]int64{
		"b": -2, "B": 254, "s": -2, "u": 65534, "I": -2, "i": 4294967294, "l": -2, "L": 7,
	} {
		if got, ok := table.Int(name); !ok || got != want {
			t.Errorf("%s: %d %t", name, got, ok)
		}
	}
	if v, ok := table.Bool("t"); !ok || !v {
		t.Error("bool")
	}
	if v, ok := table.LongString("S"); !ok || v != "hé" {
		t.Error("longstr")
	}
	get := func(name string) Value {
		v, ok := table.Get(name)
		if !ok {
			t.Errorf("%s is missing", name)
		}
		return v
	}
	if f, ok := get("f").Float(); !ok || f != 1.5 {
		t.Error("float")
	}
	if f, ok := get("d").Float(); !ok || f != -1.5 {
		t.Error("double")
	}
	if s, n, ok := get("D").Decimal(); !ok || s != 2 || n != 314 {
		t.Error("decimal")
	}
	if b, ok := get("x").Bytes(); !ok || !bytes.Equal(b, []byte{0, 255}) {
		t.Error("binary")
	}
	if n, ok := get("T").Timestamp(); !ok || n != 1700000000 {
		t.Error("timestamp")
	}
	if !get("V").Void() {
		t.Error("void")
	}
	if a, ok := table.Array("A"); !ok || a.Len() != 4 || a.Validate() != nil {
		t.Error("array")
	}
	if f, ok := table.Table("F"); !ok || !f.Has("") || !f.Has("k") {
		t.Error("table")
	}
	// Each getter refuses what is of another type, and what is absent.
	for name, v := range table.All() {
		_, isInt := v.Int()
		_, isBool := v.Bool()
		_, isFloat := v.Float()
		_, _, isDecimal := v.Decimal()
		_, isBytes := v.Bytes()
		_, isTime := v.Timestamp()
		_, isTable := v.Table()
		_, isArray := v.Array()
		n := 0
		for _, is := range []bool{isInt, isBool, isFloat, isDecimal, isBytes, isTime, isTable, isArray, v.Void()} {
			if is {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is read as %d types", name, n)
		}
	}
	if _, ok := table.Int("absent"); ok {
		t.Error("an absent field has a value")
	}
	if _, ok := table.LongString("x"); ok {
		t.Error("a binary is no longstr")
	}
}

func TestFirstOfARepeatedNameCounts(t *testing.T) {
	table := NewTable(Field{"a", Int8(1)}, Field{"a", Int8(2)}, Field{"b", Int8(3)})
	if err := table.Validate(); err != nil {
		t.Error(err)
	}
	if n, _ := table.Int("a"); n != 1 {
		t.Errorf("got %d", n)
	}
	if !table.Equivalent(NewTable(Field{"b", Int8(3)}, Field{"a", Int64(1)})) {
		t.Error("the second of a name counts")
	}
	if got := table.With("a", Int8(9)); !bytes.Equal(got, NewTable(Field{"a", Int8(9)}, Field{"b", Int8(3)})) {
		t.Errorf("With: %x", got)
	}
	if got := table.Without("a"); !bytes.Equal(got, NewTable(Field{"b", Int8(3)})) {
		t.Errorf("Without: %x", got)
	}
}

func TestMalformedTablesAreSyntaxErrors(t *testing.T) {
	nest := func(depth int) string {
		b := Table{}
		for d := 1; d < depth; {
			if depth-d >= 2 {
				b = NewTable(Field{"", List(Nested(b))})
				d += 2
			} else {
				b = NewTable(Field{"", Nested(b)})
				d++
			}
		}
		return hex.EncodeToString(b)
	}
	for _, c := range []struct{ name, hex, cause string }{
		{"name cut", "0361", "truncated name at byte 0"},
		{"no type", "0161", "truncated value at byte 2"},
		{"unknown type", "016100", "unknown type at byte 2"},
		{"upper-case bool", "016154", "truncated value at byte 2"},
		{"int cut", "016149000000", "truncated value at byte 2"},
		{"length cut", "016153000000", "truncated value at byte 2"},
		{"string cut", "01615300000002ff", "truncated value at byte 2"},
		{"huge string", "016153ffffffff00", "truncated value at byte 2"},
		{"huge table", "0161467fffffff00", "truncated value at byte 2"},
		{"second field", "01617401" + "016263", "unknown type at byte 6"},
		{"inside a table", "01614600000003" + "016263", "unknown type at byte 9"},
		{"inside an array", "01614100000003" + "740163", "unknown type at byte 9"},
		{"too deep", nest(MaxDepth + 1), "nested too deep at byte"},
	} {
		raw, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		err = Table(raw).Validate()
		if e := AsError(err); e == nil || e.Code != CodeSyntaxError || !strings.Contains(e.Text, c.cause) {
			t.Errorf("%s: %v, want %q", c.name, err, c.cause)
		}
	}
	if raw, _ := hex.DecodeString(nest(MaxDepth)); Table(raw).Validate() != nil {
		t.Error("a table of the allowed depth is refused")
	}
}

func TestEveryCutOfATableIsFoundOut(t *testing.T) {
	table, _ := everyType()
	for n := range table {
		cut := table[:n]
		whole := 0
		b := []byte(table)
		for len(table)-len(b) < n {
			_, _, b, _ = cutField(b)
			whole++
		}
		atBorder := len(table)-len(b) == n
		if err := cut.Validate(); (err == nil) != atBorder {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestDepthDoesNotCostTime(t *testing.T) {
	// A frame full of opening tables, each claiming all that follows.
	b := []byte(strings.Repeat("\x00F\x00\x01\xff\xf0", 1<<16))
	start := time.Now()
	if Table(b).Validate() == nil {
		t.Error("accepted")
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %s", d)
	}
}

func TestEditsLeaveTheRestOfATable(t *testing.T) {
	table, _ := everyType()
	before := table.Clone()
	with := table.With("S", Int8(1)).With("new", Bool(true))
	if !bytes.Equal(table, before) {
		t.Fatal("With changed its receiver")
	}
	if n, ok := with.Int("S"); !ok || n != 1 {
		t.Error("not replaced")
	}
	if back := with.With("S", LongString("hé")).Without("new"); !bytes.Equal(back, table) {
		t.Errorf("the rest changed:\n%x\n%x", back, table)
	}
	if got := table.With(strings.Repeat("n", 256), Void()); !bytes.Equal(got, table) {
		t.Error("a name that can not be written changed the table")
	}
	if Table(nil).Clone() != nil || Table(nil).With("a", Void()).Len() != 1 {
		t.Error("the nil table")
	}
}

func TestValuesRenderForPeople(t *testing.T) {
	table, _ := everyType()
	for name, want := range map[string]string{
		"t": "true", "b": "-2", "i": "4294967294", "f": "1.5", "D": "314e-2", "S": "hé",
		"x": "0x00ff", "T": "1700000000", "V": "undefined", "A": "[1,a,[],{}]",
		"F": `{"":undefined,"k":[false]}`,
	} {
		if v, _ := table.Get(name); v.String() != want {
			t.Errorf("%s: %s", name, v)
		}
	}
	if s := (Value{}).String(); s != "none" {
		t.Error(s)
	}
}

// drawValue makes any value, nested up to depth.
func drawValue(t *rapid.T, depth int) Value {
	kinds := 16
	if depth > 0 {
		kinds = 18
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return Bool(rapid.Bool().Draw(t, "t"))
	case 1:
		return Int8(rapid.Int8().Draw(t, "b"))
	case 2:
		return Uint8(rapid.Uint8().Draw(t, "B"))
	case 3:
		return Int16(rapid.Int16().Draw(t, "s"))
	case 4:
		return Uint16(rapid.Uint16().Draw(t, "u"))
	case 5:
		return Int32(rapid.Int32().Draw(t, "I"))
	case 6:
		return Uint32(rapid.Uint32().Draw(t, "i"))
	case 7:
		return Int64(rapid.Int64().Draw(t, "l"))
	case 8:
		return Value{TypeInt64Alt, be64(rapid.Uint64().Draw(t, "L"))}
	case 9:
		return Float(rapid.Float32().Draw(t, "f"))
	case 10:
		return Double(rapid.Float64().Draw(t, "d"))
	case 11:
		return Decimal(rapid.Uint8().Draw(t, "scale"), rapid.Uint32().Draw(t, "D"))
	case 12:
		return LongString(rapid.String().Draw(t, "S"))
	case 13:
		return Bytes(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "x"))
	case 14:
		return Timestamp(rapid.Uint64().Draw(t, "T"))
	case 15:
		return Void()
	case 16:
		values := make([]Value, rapid.IntRange(0, 4).Draw(t, "A"))
		for i := range values {
			values[i] = drawValue(t, depth-1)
		}
		return List(values...)
	}
	return Nested(NewTable(drawFields(t, depth-1)...))
}

func drawFields(t *rapid.T, depth int) []Field {
	fields := make([]Field, rapid.IntRange(0, 6).Draw(t, "F"))
	for i := range fields {
		name := rapid.StringMatching(`[a-zé]{0,3}|[a-z]{255}`).Draw(t, "name")
		fields[i] = Field{name, drawValue(t, depth)}
	}
	return fields
}

func TestAnyTableRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := drawFields(t, 3)
		table := NewTable(fields...)
		if err := table.Validate(); err != nil {
			t.Fatal(err)
		}
		var again []Field
		for name, v := range table.All() {
			again = append(again, Field{string(name), v})
		}
		if len(again) != len(fields) {
			t.Fatalf("%d fields of %d", len(again), len(fields))
		}
		if got := NewTable(again...); !bytes.Equal(got, table) {
			t.Fatalf("got %x, want %x", got, table)
		}
		reversed := Table{}
		seen := map[string]bool{}
		for _, f := range fields { // the first of a name stays the first
			if !seen[f.Name] {
				reversed = append(NewTable(f), reversed...)
			}
			seen[f.Name] = true
		}
		if hasNaN(fields) {
			return
		}
		if !table.Equivalent(reversed) || !reversed.Equivalent(table) {
			t.Fatalf("the order of fields counts: %x, %x", table, reversed)
		}
	})
}

// hasNaN looks in what the values print as.
func hasNaN(fields []Field) bool {
	for _, f := range fields {
		if strings.Contains(f.Value.String(), "NaN") {
			return true
		}
	}
	return false
}

func TestReadingTablesAllocatesNothing(t *testing.T) {
	table, _ := everyType()
	if n := testing.AllocsPerRun(100, func() {
		if table.Validate() != nil {
			t.Error("invalid")
		}
		if _, ok := table.Int("l"); !ok {
			t.Error("no l")
		}
		sum := 0
		for name, v := range table.All() {
			sum += len(name) + int(v.Type)
		}
		if a, _ := table.Array("A"); sum == 0 || a.Len() != 4 {
			t.Error("no sum")
		}
		if s, _ := table.Get("S"); !Same(s, s) {
			t.Error("not itself")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTable(f *testing.F) {
	table, _ := everyType()
	f.Add([]byte(table))
	f.Add([]byte{})
	f.Add([]byte("\x01aS\xff\xff\xff\xff"))
	f.Add([]byte("\x00F\x00\x00\x00\x06\x00A\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := Table(b)
		valid := table.Validate() == nil
		n := 0
		again := Table{}
		for name, v := range table.All() {
			n++
			_ = v.String()
			again = appendField(again, string(name), v)
		}
		if valid != bytes.Equal(again, b) && valid {
			t.Errorf("%x came back as %x", b, again)
		}
		if n != table.Len() {
			t.Error("Len")
		}
		if valid && !table.Equivalent(table.Clone()) {
			t.Error("not equivalent to itself")
		}
		c := Table(table.Canonical(nil))
		if valid && (len(c) != len(table) || c.Validate() != nil) {
			t.Errorf("canonical form %x of %x", c, b)
		}
		_ = table.With("a", Void()).Without("b").Equivalent(table)
		_ = Array(b).Len()
		_ = Array(b).Validate()
		_ = same(Value{TypeArray, b}, Value{TypeArray, again}, true)
	})
}
