package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// learnt is what the present version of a table has learnt, in words of memory.
func learnt[D comparable](t *Topic[D]) int {
	a := &t.current.Load().learnt
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

func TestKeysThatNoPatternTellsApartAreLearntOnce(t *testing.T) {
	table := NewTopic[int]()
	for i := range 10 {
		table.Add(i, fmt.Sprintf("orders.*.new.%d", i), nil)
		table.Add(i, fmt.Sprintf("*.*.#.%d", i), nil)
	}
	match := func(i int) {
		if got := table.Match(fmt.Appendf(nil, "orders.%d.new.7", i), nil, nil); !slices.Equal(got, []int{7}) {
			t.Fatalf("got %v", got)
		}
	}
	for i := range 2 * learnAfter {
		match(i)
	}
	size := learnt(table)
	if size == 0 {
		t.Fatal("nothing was learnt")
	}
	for i := range 1000 {
		match(100 + i)
	}
	if now := learnt(table); now != size {
		t.Errorf("%d words of memory after 1000 keys more, %d before", now, size)
	}
}

func TestAVersionThatIsAskedSeldomLearnsNothing(t *testing.T) {
	table := NewTopic[int]()
	for i := range 100 {
		table.Add(i, fmt.Sprintf("k.%d", i), nil)
		for k := range learnAfter - 1 {
			if got := table.Match(fmt.Appendf(nil, "k.%d", k), nil, nil); len(got) > 1 || (len(got) == 1) != (k <= i) {
				t.Fatalf("got %v for k.%d after %d", got, k, i)
			}
		}
		if size := learnt(table); size != 0 {
			t.Fatalf("%d words of memory", size)
		}
	}
}

func TestWhatIsLearntIsBounded(t *testing.T) {
	table := NewTopic[int]()
	const n = 20_000
	for i := range n {
		table.Add(i, fmt.Sprintf("device.%d.*", i), nil)
	}
	for range 2 {
		for i := range n {
			if got := table.Match(fmt.Appendf(nil, "device.%d.temperature", i), nil, nil); !slices.Equal(got, []int{i}) {
				t.Fatalf("got %v for %d", got, i)
			}
		}
	}
	if size := learnt(table); size < learnMost || size > learnMost+learnMost/100 {
		t.Errorf("%d words of memory, want at most %d", size, learnMost)
	}
}

func TestHostileKeysDoNotPassTheBound(t *testing.T) {
	table := NewTopic[int]()
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 { // so many sets of nodes that no memory holds them all
		p := "#"
		for range 6 {
			p += "." + names[random.IntN(len(names))] + ".#"
		}
		table.Add(i, p, nil)
	}
	walked := NewTopic[int]()
	for _, b := range table.Bindings() {
		walked.Add(b.Destination, b.Key, nil)
	}
	for i := range 10_000 {
		var key []byte
		for range 30 {
			key = append(append(key, names[random.IntN(len(names))]...), '.')
		}
		key = fmt.Appendf(key, "%d", i)
		got := table.Match(key, nil, nil)
		if i%100 == 0 {
			walked.current.Load().learnt.asked.Store(0)
			want := walked.Match(key, nil, nil)
			slices.Sort(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Fatalf("key %s: got %v, want %v", key, got, want)
			}
		}
	}
	if size := learnt(table); size < learnMost || size > learnMost+learnMost/100 {
		t.Errorf("%d words of memory, want at most %d", size, learnMost)
	}
}

func TestAWordThatMostNodesNameLeadsOn(t *testing.T) {
	// So many words that a place does not keep them, under two nodes at once.
	table := NewTopic[int]()
	for i := range maxNames {
		table.Add(i, fmt.Sprintf("a.%d", i), nil)
		table.Add(i+maxNames, fmt.Sprintf("*.%d", i), nil)
	}
	for range 2 * learnAfter {
		for _, i := range []int{0, 7, maxNames - 1} {
			got := table.Match(fmt.Appendf(nil, "a.%d", i), nil, nil)
			if slices.Sort(got); !slices.Equal(got, []int{i, i + maxNames}) {
				t.Fatalf("got %v for %d", got, i)
			}
		}
		if got := table.Match([]byte("a.none"), nil, nil); len(got) != 0 {
			t.Fatalf("got %v", got)
		}
	}
}

func TestManyLearnAtOnce(t *testing.T) {
	table := NewTopic[int]()
	for i := range 200 {
		table.Add(i, fmt.Sprintf("a.%d.*", i), nil)
		table.Add(1000+i, fmt.Sprintf("#.%d.x", i), nil)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for k := range 2000 {
				i := (k*(g+1) + g) % 200
				got := table.Match(fmt.Appendf(nil, "a.%d.x", i), nil, nil)
				if slices.Sort(got); !slices.Equal(got, []int{i, 1000 + i}) {
					t.Errorf("got %v for %d", got, i)
					return
				}
				if got := table.Match(fmt.Appendf(nil, "a.%d.%d", i, k), nil, nil); !slices.Equal(got, []int{i}) {
					t.Errorf("got %v for %d", got, i)
					return
				}
			}
		})
	}
	wg.Wait()
}
