package routing

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

var types = []string{"direct", "fanout", "topic", "headers"}

func TestUnknownTypeHasNoTable(t *testing.T) {
	if New[int]("x-unknown", nil) != nil {
		t.Error("x-unknown has a table")
	}
}

// TestTablesKeepTheirBook runs each type against a plain list of bindings.
func TestTablesKeepTheirBook(t *testing.T) {
	matches := map[string]func(b Binding[int], key string, h amqp.Table) bool{
		"direct":  func(b Binding[int], key string, _ amqp.Table) bool { return b.Key == key },
		"fanout":  func(Binding[int], string, amqp.Table) bool { return true },
		"topic":   func(b Binding[int], key string, _ amqp.Table) bool { return naive(words(b.Key), words(key)) },
		"headers": func(b Binding[int], _ string, h amqp.Table) bool { return naiveHeaders(b.Args, h) },
	}
	for _, typ := range types {
		t.Run(typ, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				table := New[int](typ, nil)
				var bound []Binding[int]
				for range rapid.IntRange(1, 50).Draw(t, "changes") {
					b := Binding[int]{
						rapid.IntRange(0, 5).Draw(t, "dst"),
						rapid.SampledFrom([]string{"", "a", "b", "a.b", "*", "#"}).Draw(t, "key"),
						drawTable(t, "args", "", "any"),
					}
					same := func(o Binding[int]) bool {
						return o.Destination == b.Destination && o.Key == b.Key && o.Args.Equivalent(b.Args)
					}
					known := slices.ContainsFunc(bound, same)
					switch rapid.IntRange(0, 5).Draw(t, "op") {
					default:
						if table.Add(b.Destination, b.Key, b.Args) == known {
							t.Fatalf("add %v: known %t", b, known)
						}
						if !known {
							bound = append(bound, b)
						}
					case 0, 1:
						if table.Remove(b.Destination, b.Key, b.Args) != known {
							t.Fatalf("remove %v: known %t", b, known)
						}
						bound = slices.DeleteFunc(bound, same)
					case 2:
						n := len(bound)
						bound = slices.DeleteFunc(bound, func(o Binding[int]) bool { return o.Destination == b.Destination })
						if got := table.RemoveDestination(b.Destination); got != n-len(bound) {
							t.Fatalf("removed %d bindings, want %d", got, n-len(bound))
						}
					}
					got := table.Bindings()
					if table.Len() != len(bound) || len(got) != len(bound) {
						t.Fatalf("len %d, %d listed, want %d", table.Len(), len(got), len(bound))
					}
					for _, g := range got {
						if !slices.ContainsFunc(bound, func(o Binding[int]) bool { return fmt.Sprint(o) == fmt.Sprint(g) }) {
							t.Fatalf("%v is listed, not bound", g)
						}
					}
					key := rapid.SampledFrom([]string{"", "a", "a.b", "c"}).Draw(t, "routing key")
					headers := drawTable(t, "headers")
					var want []int
					for _, b := range bound {
						if matches[typ](b, key, headers) && !slices.Contains(want, b.Destination) {
							want = append(want, b.Destination)
						}
					}
					dst := table.Match([]byte(key), withHeaders(headers), []int{-1})
					if dst[0] != -1 {
						t.Fatalf("what was in dst is gone: %v", dst)
					}
					dst = dst[1:]
					slices.Sort(dst)
					slices.Sort(want)
					if !slices.Equal(dst, want) {
						t.Fatalf("key %q: got %v, want %v of %v", key, dst, want, bound)
					}
				}
			})
		})
	}
}

func TestArgumentsAreCopied(t *testing.T) {
	for _, typ := range types {
		tab := New[int](typ, nil)
		args := table("a", "1")
		tab.Add(1, "k", args)
		clear(args)
		if !tab.Remove(1, "k", table("a", "1")) {
			t.Errorf("%s: the binding changed with the caller's bytes", typ)
		}
	}
}

func TestArgumentsDifferByValueNotByWidthOrOrder(t *testing.T) {
	for _, typ := range types {
		tab := New[int](typ, nil)
		tab.Add(1, "k", table("a", amqp.Int8(1), "b", "x"))
		if tab.Add(1, "k", table("b", "x", "a", amqp.Int64(1))) {
			t.Errorf("%s: another order or width made another binding", typ)
		}
		if !tab.Add(1, "k", table("a", 2, "b", "x")) || !tab.Add(1, "k", nil) || tab.Add(1, "k", table()) {
			t.Errorf("%s: other values made no other binding", typ)
		}
		if tab.Len() != 3 {
			t.Errorf("%s: %d bindings", typ, tab.Len())
		}
	}
}

// TestMatchesRunBesideChanges has destinations that are always bound, and
// others that come and go: every match sees the former, each once.
func TestMatchesRunBesideChanges(t *testing.T) {
	for _, typ := range types {
		t.Run(typ, func(t *testing.T) {
			tab := New[int](typ, nil)
			always := table("a", 1)
			const fixed = 40
			for i := range fixed {
				tab.Add(i, "a.b", always)
			}
			done := make(chan struct{})
			var readers, writers sync.WaitGroup
			for range 3 {
				readers.Go(func() {
					var dst []int
					for {
						select {
						case <-done:
							return
						default:
						}
						dst = tab.Match([]byte("a.b"), withHeaders(always), dst[:0])
						seen := map[int]bool{}
						n := 0
						for _, d := range dst {
							if seen[d] {
								t.Errorf("%d twice", d)
								return
							}
							seen[d] = true
							if d < fixed {
								n++
							}
						}
						if n != fixed {
							t.Errorf("%d of %d", n, fixed)
							return
						}
					}
				})
			}
			for w := range 2 {
				writers.Go(func() {
					keys := []string{"a.b", "*.b", "#", "a.#", "c"}
					for i := range 3000 {
						d := fixed + 1000*w + i%700
						tab.Add(d, keys[i%len(keys)], always)
						if i%3 == 0 {
							tab.RemoveDestination(fixed + 1000*w + (i*7)%700)
						}
					}
				})
			}
			writers.Wait()
			close(done)
			readers.Wait()
		})
	}
}
