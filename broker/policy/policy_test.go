package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func parse(t *testing.T, text string) Definition {
	t.Helper()
	d, err := ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDefinitionsAreRefusedInRabbitMQsWords(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                            `no policy provided`,
		`{"foo":1}`:                                     `[{<<"foo">>,1}] are not recognised policy settings`,
		`{"foo":1,"bar":"x"}`:                           `[{<<"bar">>,<<"x">>},{<<"foo">>,1}] are not recognised policy settings`,
		`{"max-length":-1}`:                             `-1 is not a valid maximum length`,
		`{"max-length":"5"}`:                            `<<"5">> is not a valid maximum length`,
		`{"max-length":1.5}`:                            `1.5 is not a valid maximum length`,
		`{"max-length":5.0}`:                            `5.0 is not a valid maximum length`,
		`{"max-length":null}`:                           `null is not a valid maximum length`,
		`{"max-length":true}`:                           `true is not a valid maximum length`,
		`{"max-length":[1,2]}`:                          `[1,2] is not a valid maximum length`,
		`{"max-length":{"a":1}}`:                        `#{<<"a">> => 1} is not a valid maximum length`,
		`{"max-length":-1,"foo":2}`:                     `-1 is not a valid maximum length`,
		`{"max-length-bytes":-1}`:                       `-1 is not a valid maximum length in bytes`,
		`{"max-in-memory-length":-1}`:                   `-1 is not a valid maximum memory in bytes`,
		`{"expires":0}`:                                 `0 is not a valid queue expiry`,
		`{"message-ttl":-1}`:                            `-1 is not a valid message TTL`,
		`{"overflow":"x"}`:                              `<<"x">> is not a valid overflow value`,
		`{"overflow":3}`:                                `3 is not a valid overflow value`,
		`{"dead-letter-exchange":3}`:                    `3 is not a valid dead letter exchange name`,
		`{"dead-letter-routing-key":true}`:              `true is not a valid dead letter routing key`,
		`{"dead-letter-strategy":"x"}`:                  `<<"x">> is not a valid dead letter strategy`,
		`{"alternate-exchange":1}`:                      `1 is not a valid alternate exchange name`,
		`{"queue-mode":"x"}`:                            `<<"x">> is not a valid queue-mode value`,
		`{"queue-version":3}`:                           `3 is not a valid queue-version value`,
		`{"delivery-limit":-1}`:                         `-1 is not a valid delivery limit`,
		`{"max-age":"x"}`:                               `<<"x">> is not a valid max age`,
		`{"initial-cluster-size":-1}`:                   `-1 is not a valid cluster size`,
		`{"stream-max-segment-size-bytes":-1}`:          `-1 is not a valid segment size`,
		`{"queue-leader-locator":"zzz"}`:                `<<"zzz">> is not a valid queue leader locator value`,
		`{"queue-master-locator":"zzz"}`:                `<<"zzz">> invalid queue-master-locator value`,
		`{"ha-mode":"x"}`:                               `<<"x">> is not a valid ha-mode value`,
		`{"ha-mode":"exactly"}`:                         `ha-mode="exactly" takes an integer, none given`,
		`{"ha-mode":"exactly","ha-params":"2"}`:         `ha-mode="exactly" takes an integer, <<"2">> given`,
		`{"ha-mode":"nodes","ha-params":[]}`:            `ha-mode="nodes" list must be non-empty`,
		`{"ha-mode":"nodes","ha-params":[1]}`:           `ha-mode="nodes" takes a list of strings, [1] was not a string`,
		`{"ha-mode":"all","ha-params":2}`:               `ha-mode="all" does not take parameters`,
		`{"ha-sync-mode":"automatic"}`:                  `ha-mode must be specified to specify ha-params, ha-sync-mode or ha-promote-on-shutdown`,
		`{"ha-mode":"all","ha-sync-mode":"x"}`:          `ha-sync-mode must be "manual" or "automatic", got <<"x">>`,
		`{"ha-mode":"all","ha-sync-batch-size":0}`:      `ha-sync-batch-size takes an integer greater than 0, 0 given`,
		`{"ha-mode":"all","ha-promote-on-failure":"x"}`: `ha-promote-on-failure must be "always" or "when-synced", got <<"x">>`,
		`{"federation-upstream":"x"}`:                   `[{<<"federation-upstream">>,<<"x">>}] are not recognised policy settings`,
		`{"single-active-consumer":true}`:               `[{<<"single-active-consumer">>,true}] are not recognised policy settings`,
		`{"max-priority":3}`:                            `[{<<"max-priority">>,3}] are not recognised policy settings`,
	} {
		_, err := New(User, "p", Spec{Pattern: ".*", Definition: parse(t, text)})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestDefinitionsThatAreAccepted(t *testing.T) {
	for _, text := range []string{
		`{"message-ttl":99999999999999999999}`, `{"expires":1,"max-length":0}`, `{"consumer-timeout":1}`, `{"max-age":"1D"}`,
		`{"queue-master-locator":"min-masters"}`, `{"queue-leader-locator":"balanced"}`, `{"ha-mode":"all","ha-sync-mode":"automatic"}`,
		`{"ha-mode":"exactly","ha-params":2}`, `{"ha-mode":"nodes","ha-params":["a"]}`, `{"ha-mode":"all","ha-sync-batch-size":5}`,
		`{"queue-mode":"lazy","queue-version":2}`, `{"overflow":"reject-publish-dlx"}`, `{"dead-letter-exchange":""}`,
	} {
		if _, err := New(User, "p", Spec{Pattern: ".*", Definition: parse(t, text)}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestOperatorPoliciesSayLess(t *testing.T) {
	for name, k := range keys {
		if name == "ha-mode" || k.ok == nil {
			continue
		}
		for _, v := range []any{int64(1), "at-least-once", "drop-head", "lazy", "balanced", "1D", "x"} {
			d := Definition{name: v}
			if d.validate(User) != nil {
				continue
			}
			if err := d.validate(Operator); (err == nil) != k.operator {
				t.Errorf("%s for operators: %v", name, err)
			}
		}
	}
	if err := (Definition{"overflow": "drop-head"}).validate(Operator); err == nil || err.Error() != `[{<<"overflow">>,<<"drop-head">>}] are not recognised policy settings` {
		t.Error(err)
	}
}

func TestSpecsAreRefusedInRabbitMQsWords(t *testing.T) {
	d := map[string]any{"max-length": int64(1)}
	for _, c := range []struct {
		s    Spec
		want string
	}{
		{Spec{Pattern: "(", Definition: d}, `pattern should be regular expression but is invalid: "missing )"`},
		{Spec{Pattern: "a)", Definition: d}, `pattern should be regular expression but is invalid: "unmatched parentheses"`},
		{Spec{Pattern: "[", Definition: d}, `pattern should be regular expression but is invalid: "missing terminating ] for character class"`},
		{Spec{Pattern: "*a", Definition: d}, `pattern should be regular expression but is invalid: "nothing to repeat"`},
		{Spec{Pattern: `\`, Definition: d}, `pattern should be regular expression but is invalid: "\\ at end of pattern"`},
		{Spec{Pattern: int64(3), Definition: d}, `pattern should be a binary but was 3`},
		{Spec{Pattern: "a", Priority: "x", Definition: d}, `priority should be a number, actually was <<"x">>`},
		{Spec{Pattern: "a", Priority: true, Definition: d}, `priority should be a number, actually was true`},
		{Spec{Pattern: "a", ApplyTo: "x", Definition: d}, `apply-to 'x' unrecognised; should be 'queues', 'exchanges' or 'all'`},
		{Spec{Pattern: "a", ApplyTo: int64(3), Definition: d}, `apply-to should be binary, actually was 3`},
		{Spec{Pattern: "a", Definition: "x"}, `definition must be a dictionary: <<"x">>`},
		{Spec{Pattern: "a"}, `definition must be a dictionary: null`},
		{Spec{Pattern: strings.Repeat("(.?){1000}", 100), Definition: d}, `pattern should be regular expression but is invalid: "regular expression is too large"`},
		{Spec{Pattern: "^(?!" + strings.Repeat("(.?){1000}", 100) + ")", Definition: d}, `pattern should be regular expression but is invalid: "an assertion, or another construct, that is not supported here"`},
		{Spec{Pattern: strings.Repeat("a", 5000), Definition: d}, `pattern should be regular expression but is invalid: "regular expression is too large"`},
	} {
		if _, err := New(User, "p", c.s); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v\nwant %s", c.s, err, c.want)
		}
	}
	p, err := New(User, "p", Spec{Pattern: "a", Priority: 1.5, Definition: d})
	if err != nil || p.ApplyTo != ApplyToAll || p.Priority != 1.5 {
		t.Error(p, err)
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{
		{``, "a b", ""},
		{`a`, "a xay", "b"},
		{`^a`, "a ab", "ba"},
		{`^(?!amq\.).*`, "a amqx x.amq.", "amq. amq.gen-1"},
		{`^(?!amq\.|celery).*`, "a", "amq.x celeryev"},
		{`^(?!(amq\.)|(x[)]))`, "a", "amq.x x)"},
		{`^(?!.*\.dlq$).+$`, "a a.dlqx", "a.dlq"},
		{`^(?=.*a)(?=.*b)(?!x).*$`, "ab cba", "a b xab"},
		{`^(?i)(?!AMQ).*`, "", ""},
		{`(?i)^(?!AMQ).*`, "a", "amq.x AmQ.y"},
		{`.*(?<!\.dlq)$`, "a a.dlqx", "a.dlq"},
		{`^orders\..*(?<!\.dlq|\.parking)$`, "orders.a", "orders.dlq orders.a.dlq orders.a.parking a"},
		{`^orders\..*(?<=\.dlq)$`, "orders.a.dlq", "orders.a"},
		{`^((?!dlq).)*$`, "orders", "dlq orders.dlq.x"},
		{`^(?:(?!dlq).)+$`, "orders", "dlq orders.dlq.x"},
		{`^(?![a)])b`, "b", "a )"},
		{`^(?!\Q)\E)b`, "b", ")"},
		{`^(a|b)\d{2}$`, "a12 b00", "c12 a1"},
	} {
		p, err := compile(c.pattern)
		if err != nil {
			if c.yes+c.no != "" {
				t.Errorf("%s: %v", c.pattern, err)
			}
			continue
		}
		for _, name := range strings.Fields(c.yes) {
			if !p.match(name) {
				t.Errorf("%s does not match %s", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.no) {
			if p.match(name) {
				t.Errorf("%s matches %s", c.pattern, name)
			}
		}
	}
	// What cannot be split off is refused rather than misunderstood.
	for _, text := range []string{`^(?!a)*b`, `^(?!a)b|c`, `a(?!b)c`, `(a)\1`, `^(?!a(?!b))c`, `(?<!a)b$c`, `^(?>a)`, `a++`} {
		if p, err := compile(text); err == nil {
			t.Errorf("%s is understood as %v but not %v", text, p.all, p.none)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, s := range []string{`^(?!amq\.).*`, `.*(?<!a)$`, `^((?!x).)*$`, `[`, `\Q`, `(?i)^(?=[)a])`} {
		f.Add(s, "amq.x")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if p, err := compile(text); err == nil {
			p.match(name)
		}
	})
}

func policyOf(t *testing.T, name, applyTo string, priority int64, d string) *Policy {
	t.Helper()
	p, err := New(User, name, Spec{Pattern: "^q", ApplyTo: applyTo, Priority: priority, Definition: parse(t, d)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOnePolicyApplies(t *testing.T) {
	var s Set
	low := policyOf(t, "a-low", "all", -1, `{"max-length":1}`)
	second := policyOf(t, "c", "queues", 5, `{"max-length":2}`)
	first := policyOf(t, "b", "queues", 5, `{"max-length":3}`)
	quorum := policyOf(t, "q", "all", 9, `{"delivery-limit":3}`)
	s = s.With(low).With(second).With(first).With(quorum)
	for _, c := range []struct {
		kind Kind
		name string
		want *Policy
	}{
		{ClassicQueue, "q1", first}, {QuorumQueue, "q1", quorum}, {Exchange, "q1", quorum}, {ClassicQueue, "x", nil}, {Stream, "q", low},
	} {
		// A stream knows no max-length, so that not even the lowest applies.
		if c.kind == Stream {
			c.want = nil
		}
		if got := s.Match(c.kind, c.name); got != c.want {
			t.Errorf("to %d %s applies %v, want %v", c.kind, c.name, got, c.want)
		}
	}
	if got := s.Without("b").Match(ClassicQueue, "q"); got != second {
		t.Errorf("%v, want the second", got)
	}
	if s.Get("b") != first || s.Without("b").Get("b") != nil {
		t.Error("a set has changed")
	}
	again := policyOf(t, "b", "exchanges", 5, `{"alternate-exchange":"x"}`)
	s = s.With(again)
	if len(s.All()) != 4 || s.Get("b") != again || s.Match(ClassicQueue, "q") != second {
		t.Error("a policy was not replaced")
	}
}

func TestPoliciesOfTypesOfQueues(t *testing.T) {
	for to, kinds := range map[string][]Kind{
		"all": {Exchange, ClassicQueue, QuorumQueue, Stream}, "queues": {ClassicQueue, QuorumQueue, Stream}, "exchanges": {Exchange},
		"classic_queues": {ClassicQueue}, "quorum_queues": {QuorumQueue}, "streams": {Stream},
	} {
		p := policyOf(t, "p", to, 0, `{"max-length-bytes":1}`)
		n := 0
		for _, kind := range []Kind{Exchange, ClassicQueue, QuorumQueue, Stream} {
			if p.Matches(kind, "q") {
				n++
			}
		}
		if n != len(kinds) {
			t.Errorf("%s applies to %d kinds", to, n)
		}
		for _, kind := range kinds {
			if !p.Matches(kind, "q") || p.Matches(kind, "x") {
				t.Errorf("%s: kind %d", to, kind)
			}
		}
	}
}

func TestPoliciesAreMerged(t *testing.T) {
	p := &Policy{Definition: parse(t, `{"max-length":5,"expires":7,"overflow":"drop-head","dead-letter-exchange":"d"}`)}
	o := &Policy{Definition: parse(t, `{"max-length":9,"expires":3,"delivery-limit":2,"overflow":"reject-publish"}`)}
	want := `{"dead-letter-exchange":"d","delivery-limit":2,"expires":3,"max-length":5,"overflow":"reject-publish"}`
	if got := string(Effective(p, o).JSON()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, c := range []struct {
		p, o *Policy
		want string
	}{{nil, nil, `{}`}, {p, nil, string(p.Definition.JSON())}, {nil, o, string(o.Definition.JSON())}} {
		if got := string(Effective(c.p, c.o).JSON()); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestDefinitionsSurviveText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Definition{}
		for i, n := 0, rapid.IntRange(0, 4).Draw(t, "keys"); i < n; i++ {
			d[rapid.String().Draw(t, "key")] = rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Int64(), func(n int64) any { return n }),
				rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return b })).Draw(t, "value")
		}
		again, err := ParseJSON(d.JSON())
		if err != nil || string(again.JSON()) != string(d.JSON()) {
			t.Fatalf("%s became %s: %v", d.JSON(), again.JSON(), err)
		}
	})
}

func TestWhatWasAcceptedOnceIsKept(t *testing.T) {
	p, err := Restore(Policy{Name: "p", Pattern: "(", ApplyTo: "all", Definition: parse(t, `{"no-key-of-today":1}`)})
	if err == nil || p == nil || p.Matches(ClassicQueue, "q") {
		t.Error(p, err)
	}
	if p, err = Restore(Policy{Name: "p", Pattern: "q", ApplyTo: "all"}); err != nil || !p.Matches(ClassicQueue, "q") {
		t.Error(p, err)
	}
}
