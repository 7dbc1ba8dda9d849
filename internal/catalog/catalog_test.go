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
		{Binding, []string{"/", "x", "q", "q", "k.*", ""}, "b\x01/\x01x\x01q\x01q\x03k.*\x00"},
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

func TestAQueuesRecordNamesItsID(t *testing.T) {
	v := amqp.Table(QueueValue(1<<32-1, true, amqp.NewTable(amqp.Field{Name: "x-max-length", Value: amqp.Int32(3)})))
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	if id, ok := QueueID(v); !ok || id != 1<<32-1 {
		t.Errorf("id %d, %v", id, ok)
	}
	for _, bad := range []amqp.Table{nil, amqp.NewTable(amqp.Field{Name: "id", Value: amqp.Int64(1 << 32)}), amqp.NewTable(amqp.Field{Name: "id", Value: amqp.Int64(-1)})} {
		if id, ok := QueueID(bad); ok {
			t.Errorf("%v has id %d", bad, id)
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
