package conformance

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Behaviours 22, 23 and 25: which bindings a message matches.

func init() {
	register(
		Case{Behaviour: "22", Name: "stars are a word, hashes any number of words, words are split at dots", Run: func(t *T) {
			patterns := []string{"", "#", "*", "*.*", "#.#", "a", "a.b", "a.*", "*.b", "a.#", "#.b", "a.#.b", "a.*.b", "#.a.#", "*.#", "#.*",
				"a..b", "a.", ".a", ".", "*.", "a*", "#b", "a.b#", "A.b", "a.*.*", "a.#.*.b", "ab.*"}
			keys := []string{"", "a", "b", "a.b", "a.c.b", "a.c.d.b", "b.a", "b.a.b", "a..b", "a.", ".a", ".", "..", "A.b", "ab.c", "*", "#", "a.*", "a.#", "x.y.z"}
			t.expectMatches("topic", patterns, keys, func(pattern, key string) bool {
				return fits(words(pattern), words(key))
			})
		}},
		Case{Behaviour: "22", Name: "a message that two patterns of a queue fit comes once", Run: func(t *T) {
			ch := t.Channel()
			x, q := ch.Exchange("topic", nil), ch.Queue(nil)
			for _, p := range []string{"#", "a.*", "*.b", "a.b"} {
				ch.Bind(q, x, p, nil)
			}
			ch.Publish(Message{Exchange: x, Key: "a.b", Body: "once"})
			ch.Sync()
			ch.ExpectDrain(q, "once")
			ch.Unbind(q, x, "#", nil)
			ch.Unbind(q, x, "a.b", nil)
			ch.Publish(Message{Exchange: x, Key: "a.b", Body: "still"})
			ch.Publish(Message{Exchange: x, Key: "c", Body: "no more"})
			ch.Sync()
			ch.ExpectDrain(q, "still")
		}},
		Case{Behaviour: "22", Name: "a direct exchange knows no patterns, a fanout no keys", Run: func(t *T) {
			keys := []string{"", "a", "a.b", "#", "*"}
			t.expectMatches("direct", keys, keys, func(binding, key string) bool { return binding == key })
			t.expectMatches("fanout", keys, keys, func(string, string) bool { return true })
		}},

		Case{Behaviour: "23", Name: "x-match all, any and their forms with x-", Run: func(t *T) {
			ch := t.Channel()
			x := ch.Exchange("headers", nil)
			bindings := []Args{
				{"x-match": "all", "a": "1", "b": 2}, {"a": "1", "b": 2}, {"x-match": "any", "a": "1", "b": 2},
				{"x-match": "all", "a": "1", "x-a": "1"}, {"x-match": "any", "x-a": "1"}, {"x-match": "all-with-x", "a": "1", "x-a": "1"},
				{"x-match": "any-with-x", "a": "1", "x-a": "1"}, {"x-match": "all"}, {"x-match": "any"}, {},
				{"x-match": "all", "a": nil}, {"x-match": "any", "a": nil, "b": 3}, {"x-match": "all", "a": "1", "b": 2, "c": nil},
				{"x-match": "all", "b": int64(2)}, {"x-match": "all", "b": 2.0}, {"x-match": "all", "b": "2"}, {"x-match": "all", "t": true},
			}
			messages := []Args{
				nil, {}, {"a": "1"}, {"b": 2}, {"a": "1", "b": 2}, {"a": "2", "b": 2}, {"a": "1", "b": 2, "c": "x"}, {"a": nil},
				{"x-a": "1"}, {"a": "1", "x-a": "1"}, {"a": "2", "x-a": "1"}, {"b": int8(2)}, {"b": 3}, {"t": true}, {"t": "true"}, {"A": "1"},
			}
			var queues []string
			for _, b := range bindings {
				q := ch.Queue(nil)
				ch.Bind(q, x, "ignored", b)
				queues = append(queues, q)
			}
			for _, m := range messages {
				ch.Publish(Message{Exchange: x, Key: "other", Body: "m", Props: Props{Headers: m}})
				ch.Sync()
				for i, b := range bindings {
					got := len(ch.Drain(queues[i]))
					if want := matches(b, m); (got == 1) != want || got > 1 {
						t.Errorf("binding %v, headers %v: %d messages, want %t", b, m, got, want)
					}
				}
			}
		}},
		Case{Behaviour: "23", Name: "another x-match is 406", Run: func(t *T) {
			ch := t.Channel()
			x, q := ch.Exchange("headers", nil), ch.Queue(nil)
			for _, v := range []any{"some", 1, nil, true} {
				ch.Refused(&wire.QueueBind{Queue: q, Exchange: x, Arguments: Args{"x-match": v}.Table()}, 406, "PRECONDITION_FAILED - Invalid x-match field")
			}
		}},

		Case{Behaviour: "25", Name: "a consistent hash shares messages out by weight", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("x-consistent-hash", nil)
			weights := []int{1, 2, 5}
			var queues []string
			for _, w := range weights {
				q := ch.Queue(nil)
				ch.Bind(q, x, fmt.Sprint(w), nil)
				queues = append(queues, q)
			}
			const n = 2000
			for i := range n {
				ch.Publish(Message{Exchange: x, Key: fmt.Sprintf("order-%d", i), Body: "m"})
			}
			ch.Confirmed()
			total := 0
			for i, q := range queues {
				got, _ := ch.Count(q)
				total += got
				want := float64(n) * float64(weights[i]) / 8
				if math.Abs(float64(got)-want) > 0.3*want {
					t.Errorf("the queue of weight %d got %d of %d messages, want about %.0f", weights[i], got, n, want)
				}
			}
			if total != n {
				t.Errorf("%d messages of %d are in queues", total, n)
			}
		}},
		Case{Behaviour: "25", Name: "a hash may be that of a header or of a property, whatever the key", Run: func(t *T) {
			ch := t.Channel().Confirm()
			props := func(p Props) func(i int) Props { return func(int) Props { return p } }
			for name, each := range map[string]struct {
				args Args
				own  func(i int) Props // differs in what is hashed
				same func(i int) Props
			}{
				"header":         {Args{"hash-header": "h"}, func(i int) Props { return Props{Headers: Args{"h": fmt.Sprint(i)}} }, props(Props{Headers: Args{"h": "same"}})},
				"a number":       {Args{"hash-header": "h"}, func(i int) Props { return Props{Headers: Args{"h": i}} }, props(Props{Headers: Args{"h": 7}})},
				"message_id":     {Args{"hash-property": "message_id"}, func(i int) Props { return Props{MessageID: fmt.Sprint(i)} }, props(Props{MessageID: "same"})},
				"correlation_id": {Args{"hash-property": "correlation_id"}, func(i int) Props { return Props{CorrelationID: fmt.Sprint(i)} }, props(Props{CorrelationID: "same"})},
				"timestamp":      {Args{"hash-property": "timestamp"}, func(i int) Props { return Props{Timestamp: uint64(i + 1)} }, props(Props{Timestamp: 5})},
				"none of it":     {Args{"hash-header": "h"}, nil, props(Props{})},
			} {
				x := ch.Exchange("x-consistent-hash", each.args)
				queues := []string{ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)}
				for _, q := range queues {
					ch.Bind(q, x, "10", nil)
				}
				used := func(props func(i int) Props) (n int) {
					for i := range 60 {
						ch.Publish(Message{Exchange: x, Key: fmt.Sprint("key", i), Body: "m", Props: props(i)})
					}
					ch.Confirmed()
					total := 0
					for _, q := range queues {
						if got := ch.Purge(q); got > 0 {
							n++
							total += got
						}
					}
					if total != 60 {
						t.Errorf("%s: %d messages of 60 are in queues", name, total)
					}
					return n
				}
				if each.own != nil {
					if n := used(each.own); n != 3 {
						t.Errorf("%s: 60 different ones are in %d queues of 3", name, n)
					}
				}
				if n := used(each.same); n != 1 {
					t.Errorf("%s: the same one is in %d queues", name, n)
				}
			}
		}},
		Case{Behaviour: "25", Name: "a new binding of a hash moves no message between the others", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("x-consistent-hash", nil)
			queues := []string{ch.Queue(nil), ch.Queue(nil)}
			for _, q := range queues {
				ch.Bind(q, x, "1", nil)
			}
			before := t.whereTo(ch, x, queues)
			queues = append(queues, ch.Queue(nil))
			ch.Bind(queues[2], x, "1", nil)
			moved := 0
			for key, at := range t.whereTo(ch, x, queues) {
				switch {
				case at == 2:
					moved++
				case at != before[key]:
					t.Errorf("%s went from queue %d to %d", key, before[key], at)
				}
			}
			if moved == 0 {
				t.Errorf("the new queue gets nothing")
			}
		}},
		Case{Behaviour: "25", Name: "a binding that goes moves only its own messages",
			Plus: "RabbitMQ numbers the bindings of a hash that are left anew, so that messages move between them", Run: func(t *T) {
				ch := t.Channel().Confirm()
				x := ch.Exchange("x-consistent-hash", nil)
				queues := []string{ch.Queue(nil), ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)}
				for _, q := range queues {
					ch.Bind(q, x, "1", nil)
				}
				before := t.whereTo(ch, x, queues)
				ch.Unbind(queues[0], x, "1", nil)
				for key, at := range t.whereTo(ch, x, queues) {
					if before[key] != 0 && at != before[key] {
						t.Errorf("%s went from queue %d to %d", key, before[key], at)
					}
				}
			}},
		Case{Behaviour: "25", Name: "a weight that is none, and two things to hash, are 406", Run: func(t *T) {
			ch := t.Channel()
			x, q := ch.Exchange("x-consistent-hash", nil), ch.Queue(nil)
			for _, key := range []string{"", "a", "1.5", " 1"} {
				ch.Refused(&wire.QueueBind{Queue: q, Exchange: x, RoutingKey: key}, 406, "PRECONDITION_FAILED - The binding key must be an integer: <<")
			}
			for _, key := range []string{"0", "-1"} {
				ch.Refused(&wire.QueueBind{Queue: q, Exchange: x, RoutingKey: key}, 406, "PRECONDITION_FAILED - The binding key must be greater than 0")
			}
			declare := func(args Args) *wire.ExchangeDeclare {
				return &wire.ExchangeDeclare{Exchange: t.Name("x"), Type: "x-consistent-hash", Arguments: args.Table()}
			}
			ch.Refused(declare(Args{"hash-header": "h", "hash-property": "message_id"}), 406, "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive")
			ch.Refused(declare(Args{"hash-property": "app_id"}), 406, "PRECONDITION_FAILED - Unsupported property: app_id")
		}},
		Case{Behaviour: "25", Name: "a random exchange gives each message to one queue, in the end to all", Run: func(t *T) {
			ch := t.Channel().Confirm()
			x := ch.Exchange("x-random", nil)
			queues := []string{ch.Queue(nil), ch.Queue(nil), ch.Queue(nil)}
			for i, q := range queues {
				ch.Bind(q, x, fmt.Sprint("ignored", i), nil)
			}
			const n = 600
			for range n {
				ch.Publish(Message{Exchange: x, Key: "same", Body: "m", Props: Props{Headers: Args{"CC": []any{"other"}}}})
			}
			ch.Confirmed()
			total := 0
			for _, q := range queues {
				got, _ := ch.Count(q)
				total += got
				if got < n/6 || got > n/2 {
					t.Errorf("a queue got %d of %d messages", got, n)
				}
			}
			if total != n {
				t.Errorf("%d messages of %d are in queues", total, n)
			}
		}},
	)
}

// expectMatches binds a queue by each binding key, publishes by each routing key, and
// compares what each queue got with what the rule says.
func (t *T) expectMatches(kind string, bindings, keys []string, rule func(binding, key string) bool) {
	t.Helper()
	ch := t.Channel()
	x := ch.Exchange(kind, nil)
	var queues []string
	for _, b := range bindings {
		q := ch.Queue(nil)
		ch.Bind(q, x, b, nil)
		queues = append(queues, q)
	}
	for _, key := range keys {
		ch.Publish(Message{Exchange: x, Key: key, Body: key})
	}
	ch.Sync()
	for i, b := range bindings {
		var want []string
		for _, key := range keys {
			if rule(b, key) {
				want = append(want, key)
			}
		}
		if got := ch.Drain(queues[i]); !slices.Equal(got, want) {
			t.Errorf("%s, binding %q: got %q, want %q", kind, b, got, want)
		}
	}
}

// whereTo publishes by a hundred keys and tells which of the queues each went to.
func (t *T) whereTo(ch *Channel, exchange string, queues []string) map[string]int {
	t.Helper()
	for i := range 100 {
		key := fmt.Sprint("key-", i)
		ch.Publish(Message{Exchange: exchange, Key: key, Body: key})
	}
	ch.Confirmed()
	at := map[string]int{}
	for i, q := range queues {
		for _, key := range ch.Drain(q) {
			at[key] = i
		}
	}
	if len(at) != 100 {
		t.Errorf("%d messages of 100 are in queues", len(at))
	}
	return at
}

// words are those of a topic's key or pattern.
func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// fits is what a topic's pattern means.
func fits(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return fits(pattern[1:], key) || len(key) > 0 && fits(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == key[0]) && fits(pattern[1:], key[1:])
}

// matches is what the arguments of a headers binding mean.
func matches(binding, headers Args) bool {
	kind, _ := binding["x-match"].(string)
	anyOf := strings.HasPrefix(kind, "any")
	n, met := 0, 0
	for name, want := range binding {
		if name == "x-match" || strings.HasPrefix(name, "x-") && !strings.HasSuffix(kind, "-with-x") {
			continue
		}
		n++
		if got, ok := headers[name]; ok && (want == nil || got != nil && amqp.Same(value(want), value(got))) {
			met++
		}
	}
	if anyOf {
		return met > 0
	}
	return met == n
}
