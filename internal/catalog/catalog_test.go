package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
)

func TestKeysAreWrittenDown(t *testing.T) {
	for _, c := range []struct {
		kind  byte
		names []string
		want  string
	}{
		{VHost, []string{"/"}, "v\x01/"},
		{Exchange, []string{"/", ""}, "x\x01/\x00"},
		{Queue, []string{"a b", "q\x00"}, "q\x03a b\x02q\x00"},
		{Policy, []string{"/", "p"}, "p\x01/\x01p"},
		{OperatorPolicy, []string{"/", "p"}, "r\x01/\x01p"},
		{Binding, []string{"/", "x", "q", "q", "k.*", ""}, "b\x01/\x01x\x01q\x01q\x03k.*\x00"},
		{User, []string{"guest"}, "u\x05guest"},
		{Access, []string{"/", "guest"}, "a\x01/\x05guest"},
		{Topics, []string{"/", "guest", "amq.topic"}, "t\x01/\x05guest\x09amq.topic"},
		{Once, []string{"users"}, "o\x05users"},
	} {
		if got := Key(c.kind, c.names...); got != c.want {
			t.Errorf("the format changed; old data could not be read. Got %q, want %q", got, c.want)
		}
		kind, names, err := Split(c.want)
		if err != nil || kind != c.kind || !slices.Equal(names, c.names) {
			t.Errorf("%q is read as %c %q (%v)", c.want, kind, names, err)
		}
	}
}

func TestBrokenKeysAreNamed(t *testing.T) {
	for key, want := range map[string]string{
		"":              "of no known kind",
		"?x":            "of no known kind",
		"q\x05ab":       "malformed",
		"q\x01/":        "has 1 names, not 2",
		"v\x01/\x01/":   "has 2 names, not 1",
		"v\xff\xff\xff": "malformed",
	} {
		if _, _, err := Split(key); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", key, err, want)
		}
	}
}

func TestAQueuesRecordNamesItsIDs(t *testing.T) {
	args := amqp.NewTable(amqp.Field{Name: "x-max-length", Value: amqp.Int32(3)})
	for _, more := range [][]Lane{nil, {{1, 7}, {255, 8}}} {
		v := amqp.Table(QueueValue(1<<32-1, true, args, more...))
		if err := v.Validate(); err != nil {
			t.Fatal(err)
		}
		want := append([]Lane{{0, 1<<32 - 1}}, more...)
		if got, ok := QueueIDs(v); !ok || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, ok, want)
		}
	}
	id := func(n int64) amqp.Field { return amqp.Field{Name: "id", Value: amqp.Int64(n)} }
	lane := func(name string, v amqp.Value) amqp.Table {
		return amqp.NewTable(id(1), amqp.Field{Name: "lanes", Value: amqp.Nested(amqp.NewTable(amqp.Field{Name: name, Value: v}))})
	}
	for _, bad := range []amqp.Table{
		nil, amqp.NewTable(id(1 << 32)), amqp.NewTable(id(-1)),
		lane("0", amqp.Int64(2)), lane("256", amqp.Int64(2)), lane("high", amqp.Int64(2)),
		lane("1", amqp.Int64(-1)), lane("1", amqp.LongString("2")),
	} {
		if ids, ok := QueueIDs(bad); ok {
			t.Errorf("%v has the ids %v", bad, ids)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add(Key(Binding, "/", "x", "q", "q", "k\x00", "args"))
	f.Add(Key(VHost, ""))
	f.Add("q\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a")
	f.Fuzz(func(t *testing.T, key string) {
		kind, names, err := Split(key)
		if err != nil {
			return
		}
		_, again, err := Split(Key(kind, names...))
		if err != nil || !slices.Equal(again, names) {
			t.Fatalf("%q: %q, then %q (%v)", key, names, again, err)
		}
	})
}
