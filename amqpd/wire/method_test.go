package wire

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// drawArgs is a second, independent encoder, which knows only the table of
// definitions. It returns the values as the Go type should hold them. Reserved
// fields get what AppendMethod writes.
func drawArgs(t *rapid.T, def *Definition) (args []byte, values []any) {
	var bits uint
	for i, f := range def.Fields {
		if f.Kind != Bit {
			bits = 0
		}
		switch f.Kind {
		case Octet:
			v := rapid.Uint8().Draw(t, f.Name)
			args, values = append(args, v), append(values, v)
		case Short:
			var v uint16
			if !f.Reserved {
				v = rapid.Uint16().Draw(t, f.Name)
				values = append(values, v)
			}
			args = binary.BigEndian.AppendUint16(args, v)
		case Long:
			v := rapid.Uint32().Draw(t, f.Name)
			args, values = binary.BigEndian.AppendUint32(args, v), append(values, v)
		case LongLong:
			v := rapid.Uint64().Draw(t, f.Name)
			args, values = binary.BigEndian.AppendUint64(args, v), append(values, v)
		case ShortString:
			v := ""
			if !f.Reserved {
				v = rapid.StringMatching(`[a-zé.]{0,20}|[a-z]{255}`).Draw(t, f.Name)
				values = append(values, v)
			}
			args = append(append(args, byte(len(v))), v...)
		case LongString:
			v := ""
			if !f.Reserved {
				v = string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, f.Name))
				values = append(values, v)
			}
			args = append(binary.BigEndian.AppendUint32(args, uint32(len(v))), v...)
		case TableField:
			v := amqp.Table{}
			for range rapid.IntRange(0, 3).Draw(t, f.Name) {
				v = append(v, amqp.NewTable(amqp.Field{
					Name:  rapid.StringMatching(`[a-z-]{0,9}`).Draw(t, "name"),
					Value: amqp.List(amqp.Int64(rapid.Int64().Draw(t, "value")), amqp.Nested(nil)),
				})...)
			}
			args = append(binary.BigEndian.AppendUint32(args, uint32(len(v))), v...)
			values = append(values, v)
		case Bit:
			if bits == 0 || bits == 8 {
				args, bits = append(args, 0), 0
			}
			v := !f.Reserved && rapid.Bool().Draw(t, f.Name)
			if v {
				args[len(args)-1] |= 1 << bits
			}
			bits++
			if !f.Reserved {
				values = append(values, v)
			}
		default:
			t.Fatalf("%s: field %d has no kind", def.Name, i)
		}
	}
	return args, values
}

// camel is the Go name of a field: no-wait is NoWait, class-id ClassID.
func camel(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		if part == "id" {
			b.WriteString("ID")
			continue
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// checkStruct compares a method with the values that the table's encoder wrote.
func checkStruct(t *rapid.T, def *Definition, m Method, values []any) {
	v := reflect.ValueOf(m).Elem()
	if want := camel(strings.ReplaceAll(def.Name, ".", "-")); v.Type().Name() != want {
		t.Fatalf("%s is %s", def.Name, v.Type().Name())
	}
	if v.NumField() != len(values) {
		t.Fatalf("%s has %d fields, want %d", v.Type().Name(), v.NumField(), len(values))
	}
	n := 0
	for _, f := range def.Fields {
		if f.Reserved {
			continue
		}
		field := v.Type().Field(n)
		if field.Name != camel(f.Name) {
			t.Fatalf("%s.%s, want %s", v.Type().Name(), field.Name, camel(f.Name))
		}
		got := v.Field(n).Interface()
		if b, ok := got.([]byte); ok {
			got = string(b)
		}
		if !reflect.DeepEqual(got, values[n]) {
			t.Fatalf("%s.%s is %#v, want %#v", v.Type().Name(), field.Name, got, values[n])
		}
		n++
	}
}

func TestStructsAgreeWithTheTable(t *testing.T) {
	for i := range definitions {
		def := &definitions[i]
		t.Run(def.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				args, values := drawArgs(t, def)
				m, err := Decode(def.ID, args)
				if err != nil {
					t.Fatalf("%x: %v", args, err)
				}
				if m.ID() != def.ID {
					t.Fatalf("id is %s", m.ID())
				}
				checkStruct(t, def, m, values)
				channel := rapid.Uint16().Draw(t, "channel")
				out := AppendMethod([]byte("before"), channel, m)
				f, n, err := ParseFrame(out[6:], 0)
				if err != nil || n != len(out)-6 || f.Type != FrameMethod || f.Channel != channel {
					t.Fatalf("%x: %d %+v %v", out, n, f, err)
				}
				id, again, err := CutID(f.Payload)
				if err != nil || id != def.ID || !bytes.Equal(again, args) {
					t.Fatalf("%s %v\ngot  %x\nwant %x", id, err, again, args)
				}
			})
		})
	}
}

func TestEveryCutOfEveryMethodIsAFrameError(t *testing.T) {
	for i := range definitions {
		def := &definitions[i]
		rapid.Check(t, func(t *rapid.T) {
			args, _ := drawArgs(t, def)
			n := rapid.IntRange(0, len(args)).Draw(t, "cut")
			if n < len(args) {
				if _, err := Decode(def.ID, args[:n:n]); amqp.AsError(err) == nil || amqp.AsError(err).Code != amqp.CodeFrameError {
					t.Fatalf("%s cut at %d of %d: %v", def.Name, n, len(args), err)
				}
			}
			if _, err := Decode(def.ID, append(args, 0)); amqp.AsError(err) == nil || amqp.AsError(err).Code != amqp.CodeFrameError {
				t.Fatalf("%s with a byte left over: %v", def.Name, err)
			}
		})
	}
}

func TestDefinitionsAreConsistent(t *testing.T) {
	if len(byID) != len(definitions) || len(definitions) != 66 {
		t.Errorf("%d methods, %d ids", len(definitions), len(byID))
	}
	last := ID(0)
	for _, def := range Definitions() {
		if def.ID <= last {
			t.Errorf("%s is out of order", def.Name)
		}
		last = def.ID
		if def.From == 0 || def.From > FromBoth {
			t.Errorf("%s comes from nobody", def.Name)
		}
		if def.Content && def.ID.Class() != ClassBasic {
			t.Errorf("%s carries content", def.Name)
		}
		if def.ID.String() != def.Name {
			t.Errorf("%s is called %s", def.Name, def.ID)
		}
		if def.Reply != 0 {
			reply := Lookup(def.Reply)
			if reply == nil || reply.Name != def.Name+"-ok" {
				t.Errorf("%s is answered by %s", def.Name, def.Reply)
			}
			if def.From != FromBoth && def.From == reply.From {
				t.Errorf("%s and its answer come from the same side", def.Name)
			}
		}
		for _, f := range def.Fields {
			if f.Kind.String() == "unknown" {
				t.Errorf("%s.%s has no kind", def.Name, f.Name)
			}
		}
	}
	if s := ID(60<<16 | 999).String(); s != "60.999" {
		t.Error(s)
	}
	if Lookup(0) != nil || Kind(0).String() != "unknown" {
		t.Error("something is defined that should not be")
	}
}

func TestDecodeErrors(t *testing.T) {
	declare := func(name string, args amqp.Table) []byte {
		payload := AppendMethod(nil, 1, &QueueDeclare{Queue: name, Arguments: args})
		return payload[frameHead+4 : len(payload)-1]
	}
	for _, c := range []struct {
		name string
		id   ID
		args []byte
		want string
	}{
		{"unknown method", 60<<16 | 13, nil, "COMMAND_INVALID - unknown method 13 of class 60"},
		{"unknown class", 77<<16 | 1, nil, "COMMAND_INVALID - unknown method 1 of class 77"},
		{"no UTF-8", IDQueueDeclare, declare("\xff", nil), "FRAME_ERROR - cannot decode queue.declare: malformed UTF-8 in queue"},
		{"truncated string", IDQueueDeclare, declare("queue", nil)[:5], "FRAME_ERROR - cannot decode queue.declare: truncated queue"},
		{"truncated bits", IDQueueDeclare, declare("q", nil)[:4], "FRAME_ERROR - cannot decode queue.declare: truncated passive"},
		{"table cut", IDQueueDeclare, declare("q", amqp.NewTable(amqp.Field{Name: "a", Value: amqp.Void()}))[:10],
			"FRAME_ERROR - cannot decode queue.declare: truncated arguments"},
		{"table claims too much", IDQueueDeclare, append(declare("q", nil)[:5], 255, 255, 255, 255),
			"FRAME_ERROR - cannot decode queue.declare: truncated arguments"},
		{"malformed table", IDQueueDeclare, declare("q", amqp.Table("\x01aZ")),
			"SYNTAX_ERROR - queue.declare: arguments: malformed table: unknown type at byte 2"},
		{"left over", IDQueueDeclare, append(declare("q", nil), 0), "FRAME_ERROR - cannot decode queue.declare: bytes left over"},
		{"hot", IDBasicPublish, []byte{0, 0, 9}, "FRAME_ERROR - cannot decode basic.publish: truncated, or bytes left over"},
	} {
		m, err := Decode(c.id, c.args)
		if err == nil || err.Error() != c.want || m != nil {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
	if _, err := DecodeMethod([]byte{0, 60, 0}); err == nil || err.Error() != "FRAME_ERROR - method frame of 3 bytes" {
		t.Error(err)
	}
	if m, err := DecodeMethod([]byte{0, 90, 0, 10}); err != nil || m.ID() != IDTxSelect {
		t.Error(m, err)
	}
}

func TestReservedFieldsMayHoldAnything(t *testing.T) {
	// Old clients put the ticket of access.request there.
	m, err := Decode(IDBasicGet, []byte("\x12\x34\x01q\x01"))
	if err != nil || !reflect.DeepEqual(m, &BasicGet{Queue: "q", NoAck: true}) {
		t.Errorf("%+v %v", m, err)
	}
	m, err = Decode(IDConnectionOpen, []byte("\x01/\x03cap\x01"))
	if err != nil || !reflect.DeepEqual(m, &ConnectionOpen{VirtualHost: "/"}) {
		t.Errorf("%+v %v", m, err)
	}
	// Bits that no field has are ignored.
	m, err = Decode(IDBasicAck, []byte("\x00\x00\x00\x00\x00\x00\x00\x05\xfe"))
	if err != nil || !reflect.DeepEqual(m, &BasicAck{DeliveryTag: 5}) {
		t.Errorf("%+v %v", m, err)
	}
}

func TestColdMethodsMayBeKept(t *testing.T) {
	payload := AppendMethod(nil, 1, &QueueBind{Queue: "q", RoutingKey: "key",
		Arguments: amqp.NewTable(amqp.Field{Name: "a", Value: amqp.LongString("v")})})
	payload = payload[frameHead : len(payload)-1]
	m, err := DecodeMethod(payload)
	if err != nil {
		t.Fatal(err)
	}
	clear(payload)
	b := m.(*QueueBind)
	if s, _ := b.Arguments.LongString("a"); b.Queue != "q" || b.RoutingKey != "key" || s != "v" {
		t.Errorf("%+v changed with the buffer", b)
	}
}

func TestTooLongStringsAreCut(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, m := range []Method{&QueueDeclareOk{Queue: long}, &BasicPublish{RoutingKey: []byte(long)}, &BasicReturn{ReplyText: long}} {
		out := AppendMethod(nil, 1, m)
		f, _, err := ParseFrame(out, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeMethod(f.Payload); err != nil || bytes.Count(out, []byte("x")) != 255 {
			t.Errorf("%s: %v", m.ID(), err)
		}
	}
	deliver := AppendDeliver(nil, 1, 0, &BasicDeliver{RoutingKey: []byte(long)}, nil, nil)
	if _, n, err := ParseFrame(deliver, 0); err != nil || n >= len(deliver) {
		t.Error(n, err)
	}
}

func TestExceptionsCloseWhatTheyMust(t *testing.T) {
	for _, c := range []struct {
		channel uint16
		err     *amqp.Error
		want    Method
		on      uint16
	}{
		{7, amqp.NotFound("no queue 'q' in vhost '/'"),
			&ChannelClose{404, "NOT_FOUND - no queue 'q' in vhost '/'", 50, 10}, 7},
		{7, amqp.FrameError("x"), &ConnectionClose{501, "FRAME_ERROR - x", 50, 10}, 0},
		{0, amqp.AccessRefused("x"), &ConnectionClose{403, "ACCESS_REFUSED - x", 50, 10}, 0},
	} {
		f, _, err := ParseFrame(AppendException(nil, c.channel, c.err, IDQueueDeclare), 0)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := DecodeMethod(f.Payload); err != nil || f.Channel != c.on || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%v: %+v on %d, %v", c.err, m, f.Channel, err)
		}
	}
	// A text of any length fits.
	f, _, err := ParseFrame(AppendException(nil, 1, amqp.NotFound("%s", strings.Repeat("€", 99)), 0), 0)
	if _, err2 := DecodeMethod(f.Payload); err != nil || err2 != nil {
		t.Error(err, err2)
	}
}

func TestClaimedLengthsAllocateNothing(t *testing.T) {
	// Each field with a length claims as much as its length can say.
	var before, after runtime.MemStats
	for i := range definitions {
		def := &definitions[i]
		args := bytes.Repeat([]byte{0xff}, 64)
		runtime.ReadMemStats(&before)
		_, _ = Decode(def.ID, args)
		_, _ = DecodeHeader(args)
		_, _, _ = ParseFrame(append([]byte{FrameMethod, 0, 0}, args...), 0)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<10 {
			t.Errorf("%s: %d bytes", def.Name, n)
		}
	}
}
