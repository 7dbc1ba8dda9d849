package routing

import (
	"hash/maphash"
	"math/bits"
)

// seed makes the hashes of this process its own, so that nobody outside can
// choose keys that collide.
var seed = maphash.MakeSeed()

// A hash is consumed five bits a level: 0 to 60, thirteen levels. What is still
// together after that shares the whole hash, and lies in one list.
const (
	levelBits = 5
	lastShift = 60
)

// hamt is a persistent hash map: put and remove return a new map that shares
// all but the path to the changed leaf, so that readers of the old one go on
// undisturbed. The zero value is the empty map. Hashes come from the caller, as
// a lookup on the hot path has hashed its key already.
type hamt[V any] struct {
	root *hnode[V]
	n    int
}

// hnode keeps leaves and children apart, each packed: the entry of slot i
// stands at the count of bits below i. Never changed once it is published.
type hnode[V any] struct {
	leafMap, nodeMap uint32
	leaves           []hleaf[V]
	nodes            []*hnode[V]
}

type hleaf[V any] struct {
	hash uint64
	key  string
	val  V
}

func slot(h uint64, shift uint) uint32           { return 1 << ((h >> shift) & (1<<levelBits - 1)) }
func packed(m uint32, bit uint32) int            { return bits.OnesCount32(m & (bit - 1)) }
func (l *hleaf[V]) is(h uint64, key string) bool { return l.hash == h && l.key == key }

// get finds the value of key, whose hash is h, without allocating.
func (m hamt[V]) get(h uint64, key []byte) (v V, ok bool) {
	n := m.root
	for shift := uint(0); n != nil && shift <= lastShift; shift += levelBits {
		bit := slot(h, shift)
		if n.leafMap&bit != 0 {
			l := &n.leaves[packed(n.leafMap, bit)]
			if l.hash == h && l.key == string(key) {
				return l.val, true
			}
			return v, false
		}
		if n.nodeMap&bit == 0 {
			return v, false
		}
		n = n.nodes[packed(n.nodeMap, bit)]
	}
	if n != nil {
		for i := range n.leaves {
			if l := &n.leaves[i]; l.key == string(key) {
				return l.val, true
			}
		}
	}
	return v, false
}

// each calls fn with each key's hash.
func (m hamt[V]) each(fn func(h uint64)) { m.root.each(fn) }

func (n *hnode[V]) each(fn func(h uint64)) {
	if n == nil {
		return
	}
	for i := range n.leaves {
		fn(n.leaves[i].hash)
	}
	for _, child := range n.nodes {
		child.each(fn)
	}
}

// put returns the map with key set to v.
func (m hamt[V]) put(h uint64, key string, v V) hamt[V] {
	root, added := m.root.put(0, hleaf[V]{h, key, v})
	if added {
		m.n++
	}
	m.root = root
	return m
}

func (n *hnode[V]) put(shift uint, nl hleaf[V]) (_ *hnode[V], added bool) {
	if n == nil {
		n = &hnode[V]{}
	}
	if shift > lastShift {
		for i := range n.leaves {
			if n.leaves[i].key == nl.key {
				return &hnode[V]{leaves: replaced(n.leaves, i, nl)}, false
			}
		}
		return &hnode[V]{leaves: inserted(n.leaves, len(n.leaves), nl)}, true
	}
	c, bit := *n, slot(nl.hash, shift)
	switch {
	case n.leafMap&bit != 0:
		i := packed(n.leafMap, bit)
		old := n.leaves[i]
		if old.is(nl.hash, nl.key) {
			c.leaves = replaced(n.leaves, i, nl)
			return &c, false
		}
		// Two leaves in one slot: both go a level down.
		child, _ := (*hnode[V])(nil).put(shift+levelBits, old)
		child, _ = child.put(shift+levelBits, nl)
		c.leafMap &^= bit
		c.leaves = without(n.leaves, i)
		c.nodeMap |= bit
		c.nodes = inserted(n.nodes, packed(n.nodeMap, bit), child)
		return &c, true
	case n.nodeMap&bit != 0:
		i := packed(n.nodeMap, bit)
		var child *hnode[V]
		child, added = n.nodes[i].put(shift+levelBits, nl)
		c.nodes = replaced(n.nodes, i, child)
		return &c, added
	default:
		c.leafMap |= bit
		c.leaves = inserted(n.leaves, packed(n.leafMap, bit), nl)
		return &c, true
	}
}

// remove returns the map without key.
func (m hamt[V]) remove(h uint64, key string) hamt[V] {
	root, removed := m.root.remove(0, h, key)
	if !removed {
		return m
	}
	m.n--
	m.root = root
	return m
}

// remove returns nil for a node that has become empty. A node left with one
// leaf hands it up to its parent, so that a map's shape depends on what is in
// it and not on what once was.
func (n *hnode[V]) remove(shift uint, h uint64, key string) (_ *hnode[V], removed bool) {
	if n == nil {
		return nil, false
	}
	if shift > lastShift {
		for i := range n.leaves {
			if n.leaves[i].key == key {
				if len(n.leaves) == 1 {
					return nil, true
				}
				return &hnode[V]{leaves: without(n.leaves, i)}, true
			}
		}
		return n, false
	}
	c, bit := *n, slot(h, shift)
	switch {
	case n.leafMap&bit != 0:
		i := packed(n.leafMap, bit)
		if !n.leaves[i].is(h, key) {
			return n, false
		}
		c.leafMap &^= bit
		c.leaves = without(n.leaves, i)
	case n.nodeMap&bit != 0:
		i := packed(n.nodeMap, bit)
		child, removed := n.nodes[i].remove(shift+levelBits, h, key)
		switch {
		case !removed:
			return n, false
		case child == nil:
			c.nodeMap &^= bit
			c.nodes = without(n.nodes, i)
		case len(child.nodes) == 0 && len(child.leaves) == 1:
			c.nodeMap &^= bit
			c.nodes = without(n.nodes, i)
			c.leaves = inserted(n.leaves, packed(n.leafMap, bit), child.leaves[0])
			c.leafMap |= bit
		default:
			c.nodes = replaced(n.nodes, i, child)
			return &c, true
		}
	default:
		return n, false
	}
	if len(c.leaves)+len(c.nodes) == 0 {
		return nil, true
	}
	return &c, true
}

// The three ways in which a packed array becomes another one.

func replaced[T any](s []T, i int, v T) []T {
	c := make([]T, len(s))
	copy(c, s)
	c[i] = v
	return c
}

func inserted[T any](s []T, i int, v T) []T {
	c := make([]T, len(s)+1)
	copy(c, s[:i])
	c[i] = v
	copy(c[i+1:], s[i:])
	return c
}

func without[T any](s []T, i int) []T {
	if len(s) == 1 {
		return nil
	}
	c := make([]T, len(s)-1)
	copy(c, s[:i])
	copy(c[i:], s[i+1:])
	return c
}
