package bench

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/brokertest"
)

func TestBindingsMatchAsManyMessagesAsTheyAreToldTo(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for _, c := range []struct {
		queues, bindings, keys int
		match                  float64
	}{
		{1, 100, 0, 10},
		{1, 100, 1, 10},
		{3, 100, 0, 10},
		{3, 30, 5, 10}, // a binding of each queue, and no more
		{1, 7, 0, 100},
		{1, 100, 37, 4}, // no whole number of turns in a row
	} {
		for _, kind := range []string{Topic, Direct} {
			t.Run(fmt.Sprintf("%s, %d queues, %v %% of %d bindings, %d keys", kind, c.queues, c.match, c.bindings, c.keys), func(t *testing.T) {
				cfg := Config{URI: b.URL(), Scenario: kind, Queues: c.queues, Bindings: c.bindings, Keys: c.keys, Match: c.match, Messages: 1000, Outstanding: 50}
				res, err := Run(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				if res.Consumed != uint64(1000*c.queues) || res.Published != 1000 || res.Disordered+res.Returned+res.Nacked != 0 {
					t.Errorf("published %d, consumed %d by %d queues, %d out of order, %d returned", res.Published, res.Consumed, c.queues, res.Disordered, res.Returned)
				}
			})
		}
	}
	if left, err := b.Queues("/"); err != nil || len(left) != 0 {
		t.Errorf("%d queues are left, %v", len(left), err)
	}
}

func TestNoTwoBindingsAreTheSame(t *testing.T) {
	for _, kind := range []string{Topic, Direct} {
		for _, queues := range []int{1, 3, 100} {
			cfg := Config{Scenario: kind, Queues: queues}
			cfg.setDefaults()
			r, seen, of := newRoutes(&cfg), map[string]bool{}, make([]int, queues)
			for i := range 10_000 {
				queue, key := r.binding(i)
				of[queue]++
				if name := fmt.Sprint(queue, " ", key); seen[name] {
					t.Fatalf("%s, %d queues: %s is bound twice", kind, queues, name)
				} else {
					seen[name] = true
				}
			}
			for _, n := range of {
				if n < 10_000/queues/2 {
					t.Errorf("%s: %d bindings of one of %d queues", kind, n, queues)
				}
			}
		}
	}
}

// TestKeysComeInTurn has rows that are taken in pieces, which must not leave the ends of
// rows unsent.
func TestKeysComeInTurn(t *testing.T) {
	cfg := Config{Scenario: Topic, Bindings: 500, Match: 2, Keys: 130, Outstanding: 50}
	cfg.setDefaults()
	b, err := newBurst(&cfg, 131072, target{1, "x", ""})
	if err != nil {
		t.Fatal(err)
	}
	r := newRoutes(&cfg)
	for i := 0; i < 1000; {
		n := min(7, b.left())
		buf := b.take(n, 0, nil, 0, 0)
		for j := range n {
			one := buf[j*b.size:][:b.size]
			if key := r.key(i % 130); string(one[16:][:len(key)]) != key {
				t.Fatalf("message %d has %q, not the key %s", i, one[:40], key)
			}
			i++
		}
	}
}
