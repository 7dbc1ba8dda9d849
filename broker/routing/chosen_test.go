package routing

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Tables that choose one destination of many.

// named is a destination with a name of its own.
type named string

func (n named) RoutingName() string { return string(n) }

// chosen is the one destination of a message.
func chosen[D comparable](t interface {
	Helper()
	Fatalf(string, ...any)
}, tab Table[D], key string, props amqp.Properties) D {
	t.Helper()
	got := tab.Match([]byte(key), props, nil)
	if len(got) != 1 {
		t.Fatalf("key %q goes to %v, want one destination", key, got)
	}
	return got[0]
}

func TestAHashIsSharedOutByWeight(t *testing.T) {
	tab := New[named]("x-consistent-hash", nil)
	weights := map[named]int{"a": 1, "b": 1, "c": 2, "d": 10, "e": 6}
	total := 0
	for n, w := range weights {
		tab.Add(n, strconv.Itoa(w), nil)
		total += w
	}
	const messages = 200_000
	got := map[named]int{}
	for i := range messages {
		got[chosen(t, tab, fmt.Sprintf("order.%d", i), nil)]++
	}
	for n, w := range weights {
		want := float64(messages) * float64(w) / float64(total)
		// Five standard deviations of a fair draw.
		if bound := 5 * math.Sqrt(want); math.Abs(float64(got[n])-want) > bound {
			t.Errorf("%s of weight %d got %d messages of %d, want %.0f ± %.0f", n, w, got[n], messages, want, bound)
		}
	}
}

// What a binding takes or leaves is its own share; all else stays where it was.
func TestABindingMovesOnlyItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := New[named]("x-consistent-hash", nil)
		bound := map[named]map[string]bool{}
		where := func() (w [300]named) {
			if len(bound) > 0 {
				for i := range w {
					w[i] = chosen(t, tab, strconv.Itoa(i), nil)
				}
			}
			return w
		}
		before := where()
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			n := named(rapid.StringMatching(`q[0-9]`).Draw(t, "destination"))
			key := rapid.SampledFrom([]string{"1", "2", "5", "100"}).Draw(t, "weight")
			was := len(bound)
			if bound[n][key] {
				tab.Remove(n, key, nil)
				if delete(bound[n], key); len(bound[n]) == 0 {
					delete(bound, n)
				}
			} else {
				tab.Add(n, key, nil)
				if bound[n] == nil {
					bound[n] = map[string]bool{}
				}
				bound[n][key] = true
			}
			after := where()
			for i := range after {
				if was > 0 && len(bound) > 0 && after[i] != before[i] && after[i] != n && before[i] != n {
					t.Fatalf("%s was bound or unbound, and message %d went from %s to %s", n, i, before[i], after[i])
				}
			}
			before = after
		}
		// The order in which things were bound does not count.
		anew := New[named]("x-consistent-hash", nil)
		for n, keys := range bound {
			for key := range keys {
				anew.Add(n, key, nil)
			}
		}
		tab = anew
		if where() != before {
			t.Fatal("the same bindings in another order lead elsewhere")
		}
	})
}

// Which name gets a message must be the same in every process and every later
// version, since what is in order by its key must stay so.
func TestWhereAHashLeadsIsFixed(t *testing.T) {
	tab := New[named]("x-consistent-hash", nil)
	for i := range 10 {
		tab.Add(named(fmt.Sprint("queue", i)), strconv.Itoa(1+i%3), nil)
	}
	got := ""
	for i := range 40 {
		got += string(chosen(t, tab, fmt.Sprint("key", i), nil)[5:])
	}
	if want := "9855784546697280675455171228474582979362"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatIsHashedMayBeAHeaderOrAProperty(t *testing.T) {
	str := func(p amqp.Property) func(int) amqp.Properties {
		return func(i int) amqp.Properties {
			props, _ := amqp.NoProperties.Edit().SetString(p, fmt.Sprint("id", i)).Properties()
			return props
		}
	}
	header := func(v func(i int) amqp.Value) func(int) amqp.Properties {
		return func(i int) amqp.Properties { return withHeaders(table("a", 1, "h", v(i))) }
	}
	byHeader := table("hash-header", "h")
	for name, c := range map[string]struct {
		args  amqp.Table
		props func(i int) amqp.Properties
		wants int // of 8 destinations
	}{
		"message_id":     {table("hash-property", "message_id"), str(amqp.PropMessageID), 8},
		"correlation_id": {table("hash-property", "correlation_id"), str(amqp.PropCorrelationID), 8},
		"timestamp": {table("hash-property", "timestamp"), func(i int) amqp.Properties {
			props, _ := amqp.NoProperties.Edit().SetTimestamp(uint64(i)).Properties()
			return props
		}, 8},
		"another property": {table("hash-property", "message_id"), str(amqp.PropCorrelationID), 1},
		"strings":          {byHeader, header(func(i int) amqp.Value { return amqp.LongString(strconv.Itoa(i)) }), 8},
		"integers":         {byHeader, header(func(i int) amqp.Value { return amqp.Int32(int32(i)) }), 8},
		"large integers":   {byHeader, header(func(i int) amqp.Value { return amqp.Int64(1<<62 + int64(i)) }), 8},
		"doubles":          {byHeader, header(func(i int) amqp.Value { return amqp.Double(float64(i)) }), 8},
		"timestamps":       {byHeader, header(func(i int) amqp.Value { return amqp.Timestamp(uint64(i)) }), 8},
		"decimals":         {byHeader, header(func(i int) amqp.Value { return amqp.Decimal(2, uint32(i)) }), 8},
		"tables":           {byHeader, header(func(i int) amqp.Value { return amqp.Nested(table("i", i)) }), 8},
		"arrays":           {byHeader, header(func(i int) amqp.Value { return amqp.List(amqp.Int32(int32(i))) }), 8},
		"bools":            {byHeader, header(func(i int) amqp.Value { return amqp.Bool(i%2 == 0) }), 2},
		"void":             {byHeader, header(func(int) amqp.Value { return amqp.Void() }), 1},
		"no such header":   {byHeader, func(i int) amqp.Properties { return withHeaders(table("g", i)) }, 1},
		"no headers":       {byHeader, func(int) amqp.Properties { return nil }, 1},
	} {
		tab := New[named]("x-consistent-hash", c.args)
		for i := range 8 {
			tab.Add(named(strconv.Itoa(i)), "1", nil)
		}
		if !tab.PerMessage() || !tab.OneKey() {
			t.Errorf("%s: the answer does not depend on the message", name)
		}
		got := map[named]bool{}
		for i := range 400 {
			got[chosen(t, tab, strconv.Itoa(i), c.props(i))] = true
		}
		if len(got) != c.wants && !(name == "bools" && len(got) == 1) {
			t.Errorf("%s: 400 messages went to %d destinations of 8, want %d", name, len(got), c.wants)
		}
	}
	if New[named]("x-consistent-hash", nil).PerMessage() {
		t.Error("a hash of the routing key depends on more than it")
	}
	tab := New[named]("x-consistent-hash", byHeader)
	for i := range 50 {
		tab.Add(named(strconv.Itoa(i)), "1", nil)
	}
	if chosen(t, tab, "", withHeaders(table("h", amqp.Int8(7)))) != chosen(t, tab, "", withHeaders(table("h", amqp.Int64(7)))) {
		t.Error("an integer's width counts")
	}
}

func TestHashExchangesAreChecked(t *testing.T) {
	for _, c := range []struct {
		args amqp.Table
		want string
	}{
		{nil, ""},
		{table("hash-header", "h"), ""},
		{table("hash-property", "timestamp", "x", 1), ""},
		{table("hash-header", "h", "hash-property", "message_id"), "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive"},
		{table("hash-property", "app_id"), "PRECONDITION_FAILED - Unsupported property: app_id"},
		{table("hash-property", 5), "PRECONDITION_FAILED - Unsupported property: 5"},
		{table("hash-header", 5), "PRECONDITION_FAILED - Unsupported header: 5"},
	} {
		if got := fmt.Sprint(ValidateExchange("x-consistent-hash", c.args)); got != c.want && (c.want != "" || got != "<nil>") {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if err := ValidateExchange("direct", table("hash-property", 5)); err != nil {
		t.Error(err)
	}
	const noInteger, tooSmall = "PRECONDITION_FAILED - The binding key must be an integer: ", "PRECONDITION_FAILED - The binding key must be greater than 0"
	for key, want := range map[string]string{
		"1": "<nil>", "+3": "<nil>", "007": "<nil>", "123456789012345678901234567890": "<nil>",
		"": noInteger + `<<"">>`, "a": noInteger + `<<"a">>`, "1.5": noInteger + `<<"1.5">>`, " 1": noInteger + `<<" 1">>`,
		"-": noInteger + `<<"-">>`, "1e3": noInteger + `<<"1e3">>`, "0": tooSmall, "-1": tooSmall, "-0": tooSmall,
	} {
		if got := fmt.Sprint(ValidateBinding("x-consistent-hash", key, nil)); got != want {
			t.Errorf("%q: got  %s\nwant %s", key, got, want)
		}
	}
}

// Each binding is as likely as another, so a destination bound twice is twice as
// likely.
func TestRandomTakesAllBindingsAlike(t *testing.T) {
	tab := New[int]("x-random", nil)
	if tab.Match(nil, nil, nil) != nil {
		t.Error("an empty table has a destination")
	}
	const bindings, messages = 1100, 440_000 // more than a chunk
	for i := range bindings - 1 {
		tab.Add(i, "", nil)
	}
	tab.Add(0, "again", nil)
	got := make([]int, bindings)
	for range messages {
		got[chosen(t, tab, "same", nil)]++
	}
	for i := range bindings - 1 {
		want := float64(messages / bindings)
		if i == 0 {
			want *= 2
		}
		if math.Abs(float64(got[i])-want) > 6*math.Sqrt(want) {
			t.Errorf("%d got %d messages, want %.0f", i, got[i], want)
		}
	}
	tab.Remove(0, "", nil)
	tab.RemoveDestination(1)
	for range 20_000 {
		if d := chosen(t, tab, "", nil); d == 1 {
			t.Fatal("what was unbound got a message")
		}
	}
}

func TestOneIsChosenBesideChanges(t *testing.T) {
	for _, typ := range []string{"x-consistent-hash", "x-random"} {
		tab := New[int](typ, nil)
		for i := range 600 {
			tab.Add(i, "1", nil)
		}
		done := make(chan struct{})
		var readers, writers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				var dst []int
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					if dst = tab.Match([]byte{byte(i), byte(i >> 8)}, nil, dst[:0]); len(dst) != 1 {
						t.Errorf("%s: %d destinations", typ, len(dst))
						return
					}
				}
			})
		}
		for w := range 2 {
			writers.Go(func() {
				for i := range 2000 {
					d := 600 + 1000*w + i%300
					tab.Add(d, strconv.Itoa(1+i%7), nil)
					if i%3 == 0 {
						tab.RemoveDestination(600 + 1000*w + (i*7)%300)
					}
				}
			})
		}
		writers.Wait()
		close(done)
		readers.Wait()
	}
}
