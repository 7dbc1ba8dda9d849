package access

import (
	"errors"
	"strings"
	"testing"
)

func TestPatternsMatchAsRabbitMQs(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{".*", []string{"", "q", "a b\n"}, nil},
		{"", []string{""}, []string{"q", " "}},
		{"^$", []string{""}, []string{"q"}},
		{"q", []string{"q", "aqb", "qq"}, []string{"", "a"}}, // anywhere
		{"^q", []string{"q", "qb"}, []string{"aq"}},
		{"q$", []string{"q", "aq"}, []string{"qb"}},
		{"^q$", []string{"q"}, []string{"qq", ""}},
		{"^(a|b)\\.", []string{"a.x", "b."}, []string{"c.a.", "ab"}},
		{"^amq\\.default$", nil, []string{""}}, // that is for Rights to say
		{"(?i)^Q$", []string{"q", "Q"}, nil},
		{"^.$", []string{"x", "é"}, []string{"xy"}}, // a character, not a byte
		{"{username}", []string{"{username}"}, []string{"guest"}},
	} {
		p, err := compile(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.yes {
			if !p.match(name) {
				t.Errorf("%q does not match %q", c.pattern, name)
			}
		}
		for _, name := range c.no {
			if p.match(name) {
				t.Errorf("%q matches %q", c.pattern, name)
			}
		}
	}
}

func TestPatternsThatCannotBeUsedAreRefused(t *testing.T) {
	for _, bad := range []string{"(", "[", "a**", "(?=x)", "(?!x)", "(?<!x)", `(a)\1`, "a++", strings.Repeat("a", maxPattern+1)} {
		for _, p := range []Permissions{{Configure: bad}, {Write: bad}, {Read: bad}} {
			_, err := p.Compile()
			var e *PatternError
			if !errors.As(err, &e) || !strings.Contains(err.Error(), "invalid regular expression '") {
				t.Errorf("%q: %v", bad, err)
			}
		}
		for _, p := range []TopicPermissions{{Write: bad}, {Read: bad}} {
			if _, err := p.Compile(); err == nil {
				t.Errorf("%q is taken for topics", bad)
			}
		}
	}
}

func TestEachRightHasItsPattern(t *testing.T) {
	r, err := Permissions{Configure: "^c", Write: "^w|amq.default", Read: ""}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		p    Permission
		name string
		may  bool
	}{
		{Configure, "c", true}, {Configure, "w", false}, {Configure, "", false},
		{Write, "w", true}, {Write, "c", false}, {Write, "", true}, // the default exchange
		{Read, "", false}, {Read, "c", false}, // matches the empty name, which nothing has
	} {
		if r.May(c.p, c.name) != c.may {
			t.Errorf("%s %q: %v", c.p, c.name, !c.may)
		}
	}
}

func TestTopicPermissionsKnowTheConnection(t *testing.T) {
	r, err := TopicPermissions{User: "a.b", VHost: "v+", Write: "^{username}-{vhost}-{client_id}$", Read: "^x"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for key, may := range map[string]bool{
		"a.b-v+-{client_id}": true, // no client id in AMQP 0-9-1
		"axb-v+-{client_id}": false,
		"a.b-vv-{client_id}": false,
	} {
		if r.May(Write, key) != may {
			t.Errorf("%q: %v", key, !may)
		}
	}
	if !r.May(Read, "xyz") || r.May(Read, "y") {
		t.Error("read is not read's pattern")
	}
	if got := (Variables{"u", "v", "id."}).expand("{username}{vhost}{client_id}{other}"); got != `uvid\.{other}` {
		t.Error(got)
	}
}

func TestNothingPermitsNothing(t *testing.T) {
	for _, name := range []string{"", "q"} {
		if (Permissions{Write: ".*"}).Nothing().May(Write, name) || (TopicPermissions{Write: ".*"}).Nothing().May(Write, name) {
			t.Errorf("%q is permitted", name)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, p := range []string{"", ".*", "^q$", "^(a|b)+$", "{username}[", "(?P<x>a)"} {
		f.Add(p, "quest", "name")
	}
	f.Fuzz(func(t *testing.T, pattern, user, name string) {
		r, err := TopicPermissions{User: user, VHost: "/", Write: pattern, Read: pattern}.Compile()
		if err != nil {
			return
		}
		if r.May(Write, name) != r.May(Read, name) {
			t.Fatalf("%q is judged twice in two ways", name)
		}
		if strings.Contains(pattern, "{") {
			return
		}
		// Who is in the pattern makes no difference where it names nobody.
		p, err := Permissions{Write: pattern}.Compile()
		if err != nil || name != "" && p.May(Write, name) != r.May(Write, name) {
			t.Fatalf("%q, %q: %v", pattern, name, err)
		}
	})
}
