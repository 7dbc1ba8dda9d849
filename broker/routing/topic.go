package routing

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// Topic routes by patterns. Key and pattern are words parted by dots, empty
// words included, but the empty key has no word at all; in a pattern the word *
// stands for any one word and # for any number of words, none included.
type Topic[D comparable] struct {
	writer[D]
	root    *tnode[D] // under mu
	hashes  ordinals  // under mu: of the nodes below a #
	current atomic.Pointer[topicState[D]]
	scratch scratchPool[D]
}

// topicState is one version of the table.
type topicState[D comparable] struct {
	root *tnode[D]
	// dests and hashes bound the ordinals of destinations and of # nodes.
	dests, hashes uint32
	learnt        automaton[D]
}

// tnode is a node of the trie of patterns, one word a level. Never changed once
// it is published: a change copies the path from the root.
type tnode[D comparable] struct {
	words hamt[*tnode[D]] // children by their literal word
	star  *tnode[D]       // the child for *
	hash  *tnode[D]       // the child for #
	here  *set[D]         // those whose pattern ends here
	ord   uint32          // of a node that is some node's hash child
}

func (n *tnode[D]) empty() bool {
	return n.words.n == 0 && n.star == nil && n.hash == nil && n.here == nil
}

// NewTopic makes an empty table.
func NewTopic[D comparable]() *Topic[D] {
	t := &Topic[D]{}
	t.init(
		func(c change, r *record[D]) {
			if c.ofPair {
				t.root = t.add(t.root, r.key, r.key == "", r.dst, c.ord)
			}
		},
		func(c change, r *record[D]) {
			if c.ofPair {
				t.root = t.remove(t.root, r.key, r.key == "", c.ord)
			}
		},
		func() {
			t.current.Store(&topicState[D]{root: t.root, dests: t.ledger.ords.next, hashes: t.hashes.next})
		})
	return t
}

// cutWord takes the first word off; more tells whether another follows, which
// may be empty.
func cutWord(pattern string) (word, rest string, more bool) {
	return strings.Cut(pattern, ".")
}

// add returns a copy of n, a new node where it is nil, with dst at the end of
// the pattern. done says that no word is left, which the rest can not: one that
// is empty may also be a last, empty word.
func (t *Topic[D]) add(n *tnode[D], pattern string, done bool, dst D, ord uint32) *tnode[D] {
	var c tnode[D]
	if n != nil {
		c = *n
	}
	if done {
		c.here = c.here.add(dst, ord)
		return &c
	}
	word, rest, more := cutWord(pattern)
	switch word {
	case "*":
		c.star = t.add(c.star, rest, !more, dst, ord)
	case "#":
		isNew := c.hash == nil
		c.hash = t.add(c.hash, rest, !more, dst, ord)
		if isNew {
			c.hash.ord = t.hashes.take()
		}
	default:
		h := maphash.String(seed, word)
		child, _ := c.words.get(h, []byte(word))
		c.words = c.words.put(h, word, t.add(child, rest, !more, dst, ord))
	}
	return &c
}

// remove is the reverse of add; it returns nil for a node that nothing needs
// any more. The pattern must be there.
func (t *Topic[D]) remove(n *tnode[D], pattern string, done bool, ord uint32) *tnode[D] {
	c := *n
	if done {
		c.here = c.here.remove(ord)
	} else {
		word, rest, more := cutWord(pattern)
		switch word {
		case "*":
			c.star = t.remove(c.star, rest, !more, ord)
		case "#":
			was := c.hash.ord
			if c.hash = t.remove(c.hash, rest, !more, ord); c.hash == nil {
				t.hashes.give(was)
			}
		default:
			h := maphash.String(seed, word)
			child, _ := c.words.get(h, []byte(word))
			if child = t.remove(child, rest, !more, ord); child != nil {
				c.words = c.words.put(h, word, child)
			} else {
				c.words = c.words.remove(h, word)
			}
		}
	}
	if c.empty() {
		return nil
	}
	return &c
}

// Match implements Table.
func (t *Topic[D]) Match(key []byte, _ amqp.Properties, dst []D) []D {
	st := t.current.Load()
	if st.root == nil {
		return dst
	}
	return st.match(&t.scratch, key, dst)
}
