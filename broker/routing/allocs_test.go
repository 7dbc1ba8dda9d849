//go:build !race

package routing

import (
	"fmt"
	"testing"
)

// The race detector makes pools forget at random, so allocations are counted
// without it.

func TestMatchAllocatesNothing(t *testing.T) {
	headers := table("type", "order", "n", 7, "region", "eu")
	get := withHeaders(headers)
	for _, typ := range append(types, "x-random") {
		tab := New[*int](typ, nil)
		for i := range 1000 {
			d := new(int)
			tab.Add(d, fmt.Sprintf("a.%d", i), table("n", i))
			tab.Add(d, fmt.Sprintf("*.%d.#", i), table("x-match", "any", "n", i, "region", "us"))
		}
		tab.Add(new(int), "a.#", table("region", nil))
		dst := make([]*int, 0, 2000)
		repeated := []byte("a.7")
		if n := testing.AllocsPerRun(1000, func() { dst = tab.Match(repeated, get, dst[:0]) }); n != 0 {
			t.Errorf("%s: %v allocations a message by a repeated key", typ, n)
		}
		if len(dst) == 0 {
			t.Errorf("%s: nothing matched", typ)
		}
		// A key that never comes again is worked out each time.
		fresh := []byte("a.7.00000000")
		if n := testing.AllocsPerRun(1000, func() {
			for i := len(fresh) - 1; ; i-- {
				if fresh[i]++; fresh[i] <= '9' {
					break
				}
				fresh[i] = '0'
			}
			dst = tab.Match(fresh, get, dst[:0])
		}); n != 0 {
			t.Errorf("%s: %v allocations a message by a new key", typ, n)
		}
	}
}
