package routing

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// entries walks a map, checking its shape on the way: packed arrays fit their
// bitmaps, and no inner node is left that a leaf could stand for.
func entries[V any](t require, m hamt[V]) map[string]V {
	out := map[string]V{}
	var walk func(n *hnode[V], shift uint)
	walk = func(n *hnode[V], shift uint) {
		if shift <= lastShift {
			if popcount(n.leafMap) != len(n.leaves) || popcount(n.nodeMap) != len(n.nodes) || n.leafMap&n.nodeMap != 0 {
				t.Fatalf("node at %d: maps %b %b with %d leaves, %d nodes", shift, n.leafMap, n.nodeMap, len(n.leaves), len(n.nodes))
			}
		}
		if shift > 0 && len(n.nodes) == 0 && len(n.leaves) < 2 {
			t.Fatalf("node at %d holds %d leaves alone", shift, len(n.leaves))
		}
		for _, l := range n.leaves {
			out[l.key] = l.val
		}
		for _, c := range n.nodes {
			walk(c, shift+levelBits)
		}
	}
	if m.root != nil {
		walk(m.root, 0)
	}
	if len(out) != m.n {
		t.Fatalf("n is %d, the map has %d", m.n, len(out))
	}
	return out
}

type require interface{ Fatalf(string, ...any) }

func popcount(m uint32) (n int) {
	for ; m != 0; m &= m - 1 {
		n++
	}
	return n
}

// TestMapActsAsAMapAndOldVersionsStay uses hashes with few distinct values, so
// that shared prefixes and whole collisions are common.
func TestMapActsAsAMapAndOldVersionsStay(t *testing.T) {
	hashes := []uint64{0, 1, 1 << 5, 1 << 60, 1<<63 | 1, 1 << 62, 0xffffffffffffffff}
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			m    hamt[int]
			want map[string]int
		}
		var m hamt[int]
		want := map[string]int{}
		var versions []version
		hash := func(k int) uint64 { return hashes[k%len(hashes)] }
		for i, op := range rapid.SliceOfN(rapid.IntRange(0, 59), 0, 200).Draw(t, "ops") {
			k := op % 20
			key := fmt.Sprint(k)
			if op < 40 {
				m = m.put(hash(k), key, i)
				want[key] = i
			} else {
				m = m.remove(hash(k), key)
				delete(want, key)
			}
			if i%10 == 0 {
				c := map[string]int{}
				for k, v := range want {
					c[k] = v
				}
				versions = append(versions, version{m, c})
			}
		}
		for _, v := range append(versions, version{m, want}) {
			got := entries(t, v.m)
			if fmt.Sprint(got) != fmt.Sprint(v.want) {
				t.Fatalf("got %v, want %v", got, v.want)
			}
			for k := range 20 {
				key := fmt.Sprint(k)
				g, ok := v.m.get(hash(k), []byte(key))
				w, wok := v.want[key]
				if ok != wok || g != w {
					t.Fatalf("get %s: %d %t, want %d %t", key, g, ok, w, wok)
				}
			}
		}
	})
}
