package broker

import (
	"fmt"
	"testing"
)

// remembered is how many routes a cache has after messages with so many keys in turn, and
// how many percent of the last 10,000 messages had a route that was there.
func remembered(keys int) (routes, hits int) {
	const n = 10_000
	c, x := routeCache{}, &exchange{name: "x"}
	for i := range 3 * n {
		key := fmt.Appendf(nil, "key-%d", i%keys)
		r, ok := c.lookup([]byte("x"), key, 1)
		if !ok {
			r.x, r.generation, r.key = x, 1, append(r.key[:0], key...)
		} else if i >= 2*n {
			hits++
		}
		if string(r.key) != string(key) {
			panic("another key's route")
		}
	}
	for _, s := range c.sets {
		for _, r := range []*route{s.newer, s.older} {
			if r != nil {
				routes++
			}
		}
	}
	return routes, hits * 100 / n
}

func TestRememberedRoutesFollowTheKeysThatCome(t *testing.T) {
	for _, each := range []struct{ keys, most, hits int }{
		{1, 1, 100},
		{2, 2, 100},
		{4, 4, 50},
		{64, 64, 50},
		{100, 100, 35},
		{30_000, 64, 0},
	} {
		routes, hits := remembered(each.keys)
		t.Logf("%d keys in turn: %d routes, %d %% found", each.keys, routes, hits)
		if routes > each.most || hits < each.hits {
			t.Errorf("%d keys in turn: %d routes, want at most %d, and %d %% found, want %d", each.keys, routes, each.most, hits, each.hits)
		}
	}
}

func TestARouteThatTheTopologyOutlivesIsFoundAnew(t *testing.T) {
	c, x := routeCache{}, &exchange{name: "x"}
	for generation := uint64(1); generation < 100; generation++ {
		for _, key := range []string{"a", "b", "c"} {
			r, ok := c.lookup([]byte("x"), []byte(key), generation)
			if ok {
				t.Fatal("a route of another generation is good")
			}
			r.x, r.generation, r.key = x, generation, append(r.key[:0], key...)
		}
	}
}
