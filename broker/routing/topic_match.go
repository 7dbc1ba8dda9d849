package routing

import (
	"bytes"
	"sync"
)

// scratch is the working memory of a walk.
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

// match goes from place to place as far as the automaton knows the way, and walks the
// rest.
func (st *topicState[D]) match(pool *scratchPool[D], key []byte, dst []D) []D {
	more := len(key) > 0
	p := st.start()
	for p != nil && more {
		word, rest, another := bytes.Cut(key, dot)
		h := hashWord(word)
		next := p.next(h, word)
		if next == nil {
			if next = st.learn(pool, p, h, word); next == nil {
				break
			}
		}
		if next.dead() {
			return dst
		}
		p, key, more = next, rest, another
	}
	if p != nil && !more {
		if found := p.found.Load(); found != nil {
			return append(dst, *found...)
		}
	}
	s := pool.get()
	from := len(dst)
	if p == nil {
		s.begin(st)
	} else {
		s.enter(st, p)
	}
	if !more {
		if dst = s.collect(st, dst); p != nil {
			st.keep(p, dst[from:])
		}
	} else {
		dst = s.walk(st, key, dst)
	}
	pool.put(s)
	return dst
}

// walk goes on by the words of key, of which there is one at least, with all nodes that
// the words so far lead to, instead of one path after another: patterns with many #
// would make the number of paths exponential, while a node stands here once.
//
// A node is reached through its parent alone, so nodes are distinct where their
// parents are. The exception is a # node, which also leads to itself by any
// word; once reached it stays, in a list of its own, guarded by a mark.
func (s *scratch[D]) walk(st *topicState[D], key []byte, dst []D) []D {
	for more := true; more; {
		var word []byte
		word, key, more = bytes.Cut(key, dot)
		s.word(hashWord(word), word)
	}
	return s.collect(st, dst)
}

// begin stands before the first word.
func (s *scratch[D]) begin(st *topicState[D]) {
	s.inHashes.reset(st.hashes)
	s.here, s.hashes = append(s.here[:0], st.root), s.hashes[:0]
	s.reach(st.root)
}

// enter stands at a place.
func (s *scratch[D]) enter(st *topicState[D], p *place[D]) {
	s.inHashes.reset(st.hashes)
	s.here, s.hashes = append(s.here[:0], p.here...), append(s.hashes[:0], p.hashes...)
	for _, h := range s.hashes {
		s.inHashes.mark(h.ord)
	}
}

// word goes on by one.
func (s *scratch[D]) word(h uint64, word []byte) {
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

// collect appends the destinations of a key that ends here, each once.
func (s *scratch[D]) collect(st *topicState[D], dst []D) []D {
	s.found = s.found[:0]
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
