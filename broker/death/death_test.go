package death

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// edit makes properties.
func edit(t testing.TB, set func(e *amqp.PropertiesEditor)) amqp.Properties {
	t.Helper()
	e := new(amqp.PropertiesEditor)
	set(e)
	p, err := e.Properties()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// die appends one death, and checks that what comes out is well-formed.
func die(t testing.TB, e Event, p amqp.Properties) amqp.Properties {
	t.Helper()
	out, err := e.Append([]byte("before"), p)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := bytes.CutPrefix(out, []byte("before"))
	if !ok {
		t.Fatal("what stood before is gone")
	}
	if err := amqp.Properties(p).Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func entries(t testing.TB, p amqp.Properties) []amqp.Table {
	t.Helper()
	list, ok := p.Headers().Array("x-death")
	if !ok {
		t.Fatal("no x-death")
	}
	var out []amqp.Table
	for v := range list.All() {
		d, _ := v.Table()
		out = append(out, d)
	}
	return out
}

// story is the entries as queue, reason and count.
func story(t testing.TB, p amqp.Properties) string {
	t.Helper()
	out := ""
	for _, d := range entries(t, p) {
		queue, _ := d.LongString("queue")
		reason, _ := d.LongString("reason")
		n, _ := d.Int("count")
		out += queue + " " + reason + " " + string(rune('0'+n)) + ";"
	}
	return out
}

func event(queue, reason string) Event {
	return Event{Reason: reason, Queue: queue, Exchange: []byte("x"), RoutingKey: []byte("k"), Time: 1700000000}
}

// TestDeathsAreRabbitMQsByteForByte compares with the properties that RabbitMQ
// 3.10 sent, but for x-last-death-*, which 4.x adds.
func TestDeathsAreRabbitMQsByteForByte(t *testing.T) {
	const first = "20080000010e016153000000016207782d64656174684100000094460000008f05636f756e746c000000000000000106" +
		"726561736f6e530000000872656a65637465640571756575655300000004427372630474696d6554000000006b02727e" +
		"0865786368616e676553000000034265780c726f7574696e672d6b657973410000000e5300000002726b530000000263" +
		"63136f726967696e616c2d65787069726174696f6e5300000005353030303016782d66697273742d64656174682d6578" +
		"6368616e6765530000000342657813782d66697273742d64656174682d717565756553000000044273726314782d6669" +
		"7273742d64656174682d726561736f6e530000000872656a6563746564017a490000000103617070"
	const second = "20080000010e016153000000016207782d64656174684100000094460000008f05636f756e746c000000000000000208" +
		"65786368616e67655300000003426578136f726967696e616c2d65787069726174696f6e530000000535303030300571" +
		"7565756553000000044273726306726561736f6e530000000872656a65637465640c726f7574696e672d6b6579734100" +
		"00000e5300000002726b530000000263630474696d6554000000006b02727e16782d66697273742d64656174682d6578" +
		"6368616e6765530000000342657813782d66697273742d64656174682d717565756553000000044273726314782d6669" +
		"7273742d64656174682d726561736f6e530000000872656a6563746564017a490000000103617070"
	p := edit(t, func(e *amqp.PropertiesEditor) {
		e.SetHeaders(amqp.NewTable(
			amqp.Field{Name: "z", Value: amqp.Int32(1)},
			amqp.Field{Name: "CC", Value: amqp.List(amqp.LongString("cc"))},
			amqp.Field{Name: "a", Value: amqp.LongString("b")},
		))
		e.SetString(amqp.PropExpiration, "50000")
		e.SetString(amqp.PropAppID, "app")
	})
	e := Event{Reason: "rejected", Queue: "Bsrc", Exchange: []byte("Bex"), RoutingKey: []byte("rk"), Time: 0x6b02727e, NewKey: true}
	for i, want := range []string{first, second} {
		p = die(t, e, p)
		h := p.Headers()
		for _, name := range []string{"x-last-death-reason", "x-last-death-queue", "x-last-death-exchange"} {
			if !h.Has(name) {
				t.Errorf("no %s", name)
			}
			h = h.Without(name)
		}
		var err error
		if p, err = p.Edit().SetHeaders(h).Properties(); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(p); got != want {
			t.Fatalf("death %d:\ngot  %s\nwant %s", i+1, got, want)
		}
		e.RoutingKey, e.Time = []byte("rk2"), e.Time+100
	}
}

func TestDeathsStandNewestFirstAndCountUp(t *testing.T) {
	p := amqp.NoProperties
	for _, step := range []struct{ queue, reason, want string }{
		{"a", "expired", "a expired 1;"},
		{"b", "maxlen", "b maxlen 1;a expired 1;"},
		{"c", "rejected", "c rejected 1;b maxlen 1;a expired 1;"},
		{"a", "rejected", "a rejected 1;c rejected 1;b maxlen 1;a expired 1;"},
		{"b", "maxlen", "b maxlen 2;a rejected 1;c rejected 1;a expired 1;"},
		{"b", "maxlen", "b maxlen 3;a rejected 1;c rejected 1;a expired 1;"},
		{"a", "expired", "a expired 2;b maxlen 3;a rejected 1;c rejected 1;"},
	} {
		p = die(t, event(step.queue, step.reason), p)
		if got := story(t, p); got != step.want {
			t.Fatalf("got %s, want %s", got, step.want)
		}
		h := p.Headers()
		for name, want := range map[string]string{
			"x-first-death-queue": "a", "x-first-death-reason": "expired", "x-first-death-exchange": "x",
			"x-last-death-queue": step.queue, "x-last-death-reason": step.reason, "x-last-death-exchange": "x",
		} {
			if got, _ := h.LongString(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
}

func TestALaterDeathOfTheSameKindKeepsWhatTheFirstOneSaid(t *testing.T) {
	p := die(t, event("q", "rejected"), amqp.NoProperties)
	second := event("q", "rejected")
	second.Time, second.RoutingKey = 1800000000, []byte("other")
	p = die(t, second, p)
	d := entries(t, p)[0]
	v, _ := d.Get("time")
	keys, _ := d.Array("routing-keys")
	if at, _ := v.Timestamp(); at != 1700000000 || amqp.List(slices.Collect(keys.All())...).String() != "[k]" {
		t.Errorf("at %d, keys %v", at, slices.Collect(keys.All()))
	}
	names := []string{}
	for name := range d.All() {
		names = append(names, string(name))
	}
	if !slices.IsSorted(names) {
		t.Errorf("fields %q are not in RabbitMQ's order", names)
	}
}

func TestCCGoesWithANewKeyAndIsKeptInTheEntry(t *testing.T) {
	p := edit(t, func(e *amqp.PropertiesEditor) {
		e.SetHeaders(amqp.NewTable(amqp.Field{Name: "CC", Value: amqp.List(amqp.LongString("c1"), amqp.Int8(3), amqp.LongString("c2"))}))
	})
	e := event("q", "rejected")
	e.NewKey = true
	p = die(t, e, p)
	if p.Headers().Has("CC") {
		t.Error("CC is still there")
	}
	if v, _ := entries(t, p)[0].Get("routing-keys"); v.String() != "[k,c1,c2]" {
		t.Errorf("keys %s", v)
	}
}

// TestWhatClientsWroteIntoXDeath has RabbitMQ's answers.
func TestWhatClientsWroteIntoXDeath(t *testing.T) {
	mine := func(more ...amqp.Field) amqp.Value {
		return amqp.Nested(amqp.NewTable(append([]amqp.Field{
			{Name: "queue", Value: amqp.LongString("m")}, {Name: "reason", Value: amqp.LongString("expired")},
		}, more...)...))
	}
	other := amqp.Nested(amqp.NewTable(
		amqp.Field{Name: "queue", Value: amqp.LongString("u")}, amqp.Field{Name: "reason", Value: amqp.LongString("expired")}))
	count := func(n int64) amqp.Field { return amqp.Field{Name: "count", Value: amqp.Int64(n)} }
	for name, each := range map[string]struct {
		value amqp.Value
		want  string
		first bool // x-first-death-* are set
	}{
		"no array":              {amqp.LongString("hi"), "m expired 1;", false},
		"an empty array":        {amqp.List(), "m expired 1;", false},
		"one without count":     {amqp.List(mine()), "m expired 1;", false},
		"one with a wide count": {amqp.List(mine(amqp.Field{Name: "count", Value: amqp.Uint8(4)})), "m expired 5;", false},
		"a count of no integer": {amqp.List(mine(amqp.Field{Name: "count", Value: amqp.LongString("4")})), "m expired 1;", false},
		"doubles":               {amqp.List(other, other, mine(count(7))), "m expired 8;u expired 2;", false},
		"doubles with counts":   {amqp.List(mine(count(2)), other, mine(count(7))), "m expired 3;u expired 1;", false},
		"no tables":             {amqp.List(amqp.Int8(1), amqp.LongString("x")), "m expired 1;  0;  0;", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := edit(t, func(e *amqp.PropertiesEditor) {
				e.SetHeaders(amqp.NewTable(amqp.Field{Name: "x-death", Value: each.value}))
			})
			p = die(t, event("m", "expired"), p)
			if got := story(t, p); got != each.want {
				t.Errorf("got %s, want %s", got, each.want)
			}
			if got := p.Headers().Has("x-first-death-queue"); got != each.first {
				t.Errorf("x-first-death-queue: %v", got)
			}
		})
	}
}

func TestACountDoesNotRunOver(t *testing.T) {
	d := amqp.NewTable(amqp.Field{Name: "count", Value: amqp.Int64(math.MaxInt64)})
	if n, _ := count(d, 1).Int("count"); n != math.MaxInt64 {
		t.Errorf("%d", n)
	}
}

func TestACycleIsOneInWhichNobodyRejected(t *testing.T) {
	list := func(values ...amqp.Value) amqp.Table {
		return amqp.NewTable(amqp.Field{Name: "x-death", Value: amqp.List(values...)})
	}
	entry := func(queue, reason string) amqp.Value {
		return amqp.Nested(amqp.NewTable(
			amqp.Field{Name: "queue", Value: amqp.LongString(queue)}, amqp.Field{Name: "reason", Value: amqp.LongString(reason)}))
	}
	for name, each := range map[string]struct {
		headers amqp.Table
		queue   string
		want    bool
	}{
		"no deaths":                    {nil, "a", false},
		"other queues":                 {list(entry("b", "expired")), "a", false},
		"itself":                       {list(entry("a", "expired")), "a", true},
		"through another":              {list(entry("b", "maxlen"), entry("a", "expired")), "a", true},
		"by the delivery limit":        {list(entry("a", "delivery_limit")), "a", true},
		"itself rejected":              {list(entry("a", "rejected")), "a", false},
		"rejected since":               {list(entry("b", "rejected"), entry("a", "expired")), "a", false},
		"rejected before":              {list(entry("a", "expired"), entry("b", "rejected")), "a", true},
		"what a client wrote since":    {list(amqp.Int8(1), entry("a", "expired")), "a", false},
		"a queue of another type":      {list(amqp.Nested(amqp.NewTable(amqp.Field{Name: "queue", Value: amqp.Bytes([]byte("a"))}))), "a", false},
		"an entry that has no reason":  {list(amqp.Nested(amqp.NewTable(amqp.Field{Name: "queue", Value: amqp.LongString("a")}))), "a", true},
		"an entry that has no queue":   {list(amqp.Nested(nil), entry("a", "expired")), "a", true},
		"x-death that is no array":     {amqp.NewTable(amqp.Field{Name: "x-death", Value: amqp.LongString("a")}), "a", false},
		"rejected in bytes is another": {list(amqp.Nested(amqp.NewTable(amqp.Field{Name: "queue", Value: amqp.LongString("a")}, amqp.Field{Name: "reason", Value: amqp.Bytes([]byte("rejected"))}))), "a", true},
	} {
		if got := cycle(each.headers, each.queue); got != each.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// cycle tells whether a dead letter that nobody rejected would go round by reaching
// queue.
func cycle(headers amqp.Table, queue string) bool {
	for name := range Automatic(headers) {
		if string(name) == queue {
			return true
		}
	}
	return false
}

// FuzzDeath lets messages die whose properties clients may have written.
func FuzzDeath(f *testing.F) {
	f.Add([]byte(amqp.NoProperties), "q", "expired", []byte("x"), []byte("k"), false)
	f.Add([]byte(die(f, event("q", "expired"), amqp.NoProperties)), "q", "expired", []byte("x"), []byte("k"), true)
	f.Add([]byte(die(f, event("b", "rejected"), die(f, event("a", "maxlen"), amqp.NoProperties))), "a", "maxlen", []byte{}, []byte{}, true)
	f.Fuzz(func(t *testing.T, props []byte, queue, reason string, exchange, key []byte, newKey bool) {
		p := amqp.Properties(props)
		if p.Validate() != nil || len(exchange) > 255 || len(key) > 255 || p.Headers().Validate() != nil {
			return
		}
		before := slices.Clone(props)
		e := Event{Reason: reason, Queue: queue, Exchange: exchange, RoutingKey: key, Time: 1, NewKey: newKey}
		last := int64(0)
		for range 3 {
			p = die(t, e, p)
			d := entries(t, p)
			n, ok := d[0].Int("count")
			got, _ := d[0].LongString("queue")
			if !ok || n <= last || last > 0 && n != last+1 && n != math.MaxInt64 {
				t.Fatalf("count %d after %d", n, last)
			}
			if v, _ := d[0].Get("queue"); v.Type == amqp.TypeLongString && got != queue {
				t.Fatalf("the newest death is in %q", got)
			}
			if p.Has(amqp.PropExpiration) {
				t.Fatal("expiration is still there")
			}
			if last = n; n == math.MaxInt64 {
				break
			}
		}
		if !bytes.Equal(before, props) {
			t.Fatal("what was given was changed")
		}
		if !utf8.ValidString(queue) || reason == Rejected {
			return
		}
		if v, _ := entries(t, p)[0].Get("queue"); v.Type == amqp.TypeLongString && !cycle(p.Headers(), queue) {
			if r, _ := entries(t, p)[0].Get("reason"); !is(r, Rejected) {
				t.Fatal("the cycle is not seen")
			}
		}
	})
}
