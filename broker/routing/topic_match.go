package routing

import (
	"bytes"
	"hash/maphash"
	"sync"
)

// scratch is the working memory of a match that is not answered by a cache.
type scratch[D comparable] struct {
	here, next []*tnode[D]
	hashes     []*tnode[D]
	found      []*set[D]
	inHashes   marks // by ordinal of the # node
	seen       marks // by ordinal of the destination
}

type scratchPool[D comparable] struct{ pool sync.Pool }

func (p *scratchPool[D]) get() *scratch[D] {
	if s, ok := p.pool.Get().(*scratch[D]); ok {
		return s
	}
	return &scratch[D]{}
}

// put gives the scratch back without what it points to, so that an idle pool
// keeps no old version of the table alive.
func (p *scratchPool[D]) put(s *scratch[D]) {
	s.here, s.next, s.hashes, s.found = idle(s.here), idle(s.next), idle(s.hashes), idle(s.found)
	p.pool.Put(s)
}

// idle empties a slice with all that it ever held, or drops one that has grown
// too large to be worth that.
func idle[T any](s []T) []T {
	if cap(s) > 1024 {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

// match walks the trie one word of the key at a time with all nodes that the
// words so far lead to, instead of one path after another: patterns with many
// # would make the number of paths exponential, while a node stands here once.
//
// A node is reached through its parent alone, so nodes are distinct where their
// parents are. The exception is a # node, which also leads to itself by any
// word; once reached it stays, in a list of its own, guarded by a mark.
func (st *topicState[D]) match(s *scratch[D], key []byte, dst []D) []D {
	s.inHashes.reset(st.hashes)
	s.here, s.hashes, s.found = s.here[:0], s.hashes[:0], s.found[:0]
	s.reach(st.root)
	s.here = append(s.here, st.root)
	for more := len(key) > 0; more; {
		var word []byte
		word, key, more = bytes.Cut(key, dot)
		h := maphash.Bytes(seed, word)
		s.next = s.next[:0]
		// The # nodes reached by this very word's steps take part from the next
		// word on: they stand behind n. Those at the front consume the word.
		n := len(s.hashes)
		for _, node := range s.here {
			s.step(node, h, word)
		}
		for _, node := range s.hashes[:n] {
			s.step(node, h, word)
		}
		s.here, s.next = s.next, s.here
	}
	total := 0
	for _, node := range s.here {
		total += s.find(node)
	}
	for _, node := range s.hashes {
		total += s.find(node)
	}
	if len(s.found) == 1 {
		return s.found[0].appendTo(dst)
	}
	if total == 0 {
		return dst
	}
	s.seen.reset(st.dests)
	for _, set := range s.found {
		dst = set.appendNew(dst, &s.seen)
	}
	return dst
}

var dot = []byte{'.'}

// step follows a node's edges for one word.
func (s *scratch[D]) step(n *tnode[D], h uint64, word []byte) {
	if child, ok := n.words.get(h, word); ok {
		s.reach(child)
		s.next = append(s.next, child)
	}
	if n.star != nil {
		s.reach(n.star)
		s.next = append(s.next, n.star)
	}
}

// reach notes the # nodes that a node leads to without a word.
func (s *scratch[D]) reach(n *tnode[D]) {
	for h := n.hash; h != nil && s.inHashes.mark(h.ord); h = h.hash {
		s.hashes = append(s.hashes, h)
	}
}

func (s *scratch[D]) find(n *tnode[D]) int {
	if n.here == nil {
		return 0
	}
	s.found = append(s.found, n.here)
	return n.here.len()
}
