package routing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// words parts a key or a pattern; the empty one has no word.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

// naive is what a topic pattern means, in as few words as possible. Only for
// short patterns: it tries every way.
func naive(pattern, key []string) bool {
	switch {
	case len(pattern) == 0:
		return len(key) == 0
	case pattern[0] == "#":
		return naive(pattern[1:], key) || len(key) > 0 && naive(pattern, key[1:])
	case len(key) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == key[0]) && naive(pattern[1:], key[1:])
}

func TestTopicPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, key string
		want         bool
	}{
		{"a.b.c", "a.b.c", true},
		{"a.b.c", "a.b", false},
		{"a.b", "a.b.c", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"*", "", false},
		{"#", "", true},
		{"#", "a", true},
		{"#", "a.b.c", true},
		{"", "", true},
		{"", "a", false},
		{"#.#", "", true},
		{"#.#", "a.b", true},
		{"*.#", "", false},
		{"*.#", "a", true},
		{"#.*", "a.b", true},
		{"lan.*.#", "lan.a", true},
		{"lan.*.#", "lan.a.b.c", true},
		{"lan.*.#", "lan", false},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"#.a", "a", true},
		{"#.a", "b.c.a", true},
		{"#.a", "b.c.a.d", false},
		{"#.a.#", "b.a.c", true},
		{"#.a.#.b", "a.x.y.b", true},
		{"#.a.#.b", "b.a", false},
		{"a.*.c", "a..c", true},
		{"*", ".", false},
		{"*.*", ".", true},
		{"..", "..", true},
		{".", "..", false},
		{"*.", "a.", true},
		{"*.", "a", false},
		{"a.b*", "a.bc", false},
		{"a.b*", "a.b*", true},
		{"a.#b", "a.#b", true},
		{"a.#b", "a.x.b", false},
		{"*", "*", true},
		{"a", "#", false},
		{"A", "a", false},
	} {
		table := NewTopic[int]()
		table.Add(7, c.pattern, nil)
		for range 3 { // worked out, worked out again, from the cache
			got := table.Match([]byte(c.key), nil, nil)
			if (len(got) == 1) != c.want || len(got) > 1 {
				t.Errorf("pattern %q, key %q: %v, want %t", c.pattern, c.key, got, c.want)
			}
		}
		if naive(words(c.pattern), words(c.key)) != c.want {
			t.Errorf("the naive matcher differs: pattern %q, key %q", c.pattern, c.key)
		}
	}
}

func drawWords(t *rapid.T, label string, from []string, n int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 0, n).Draw(t, label), ".")
}

func TestTopicMatchesAsTheNaiveMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type binding struct {
			dst     int
			pattern string
		}
		table := NewTopic[int]()
		bound := map[binding]bool{}
		check := func() {
			st := table.current.Load()
			if rapid.Bool().Draw(t, "learns") {
				st.learnt.asked.Store(learnAfter)
			}
			if rapid.IntRange(0, 3).Draw(t, "full") == 0 {
				st.learnt.size = learnMost - placeWords
			}
			key := drawWords(t, "key", []string{"a", "b", "c", ""}, 7)
			var want []int
			for b := range bound {
				if naive(words(b.pattern), words(key)) && !slices.Contains(want, b.dst) {
					want = append(want, b.dst)
				}
			}
			slices.Sort(want)
			for range 3 {
				got := table.Match([]byte(key), nil, nil)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("key %q: got %v, want %v, bound %v", key, got, want, bound)
				}
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			b := binding{rapid.IntRange(0, 9).Draw(t, "dst"), drawWords(t, "pattern", []string{"a", "b", "*", "#", ""}, 6)}
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				if got := table.Remove(b.dst, b.pattern, nil); got != bound[b] {
					t.Fatalf("remove %v: %t", b, got)
				}
				delete(bound, b)
			} else {
				if got := table.Add(b.dst, b.pattern, nil); got == bound[b] {
					t.Fatalf("add %v: %t", b, got)
				}
				bound[b] = true
			}
			if table.Len() != len(bound) {
				t.Fatalf("len %d, want %d", table.Len(), len(bound))
			}
			for range rapid.IntRange(1, 4).Draw(t, "keys") {
				check()
			}
		}
		for b := range bound {
			table.Remove(b.dst, b.pattern, nil)
		}
		if table.root != nil || len(table.hashes.free) != int(table.hashes.next) {
			t.Fatalf("an empty table keeps nodes: root %v, %d of %d # nodes given back", table.root, len(table.hashes.free), table.hashes.next)
		}
	})
}

// TestManyHashesTakeNoExponentialTime has some 10^30 ways to lay the pattern's
// words on the key's.
func TestManyHashesTakeNoExponentialTime(t *testing.T) {
	table := NewTopic[int]()
	table.Add(1, strings.Repeat("#.a.", 60)+"b", nil)
	table.Add(2, strings.Repeat("#.a.", 60)+"#", nil)
	key := []byte(strings.Repeat("a.", 120) + "a")
	begin := time.Now()
	for range 2 * learnAfter { // walked, learnt, known
		if got := table.Match(key, nil, nil); len(got) != 1 || got[0] != 2 {
			t.Errorf("got %v", got)
		}
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzTopic(f *testing.F) {
	for _, s := range []string{"a.b", "a.*|a.b", "#|", "#.a.#|b.a.c", "..|.", "*.*.#|x..y", "#.#.#|a"} {
		pattern, key, _ := strings.Cut(s, "|")
		f.Add(pattern, key)
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 255 || len(key) > 255 || strings.Count(pattern, "#") > 4 {
			return // longer than AMQP carries; more than the naive matcher can take
		}
		table := NewTopic[int]()
		table.Add(1, pattern, nil)
		table.Add(2, "#", nil)
		table.Add(1, pattern+".#", nil)
		table.Remove(1, pattern+".#", nil)
		want := 1
		if naive(words(pattern), words(key)) {
			want = 2
		}
		for range 2 * learnAfter { // walked, learnt, known
			if got := table.Match([]byte(key), nil, nil); len(got) != want {
				t.Fatalf("pattern %q, key %q: %v", pattern, key, got)
			}
		}
		table.Remove(1, pattern, nil)
		table.Remove(2, "#", nil)
		if table.root != nil {
			t.Fatal("nodes are left")
		}
	})
}
