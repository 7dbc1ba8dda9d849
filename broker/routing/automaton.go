package routing

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

// automaton is what a version of a topic table has learnt of its trie: a place stands
// for all nodes that some words lead to, and names the place to which each next word
// leads. So a key takes a step a word, however many nodes match it, and a key that was
// never seen takes the same steps as others as far as no pattern tells them apart: all
// words that stand in no pattern lead to one place.
//
// Places are made as keys come, by the walk that answers where there are none yet. A
// change of the table begins a new version, whose automaton knows nothing and is not
// built: it learns no earlier than its 16th key, and of each key no more than the places
// on that key's way, while all other publishers walk. Keys cannot make it large: words
// that stand in no pattern are not kept, and at learnMost it learns no more.
type automaton[D comparable] struct {
	first atomic.Pointer[place[D]] // before any word; nil: not begun
	asked atomic.Uint32            // how often, before it began

	mu   sync.Mutex // of who adds to it
	size int        // in words of memory
	full atomic.Bool
}

const (
	// learnAfter is how often a version is asked before it learns: where bindings come
	// as fast as messages, walks are the cheaper way.
	learnAfter = 16
	// learnMost bounds an automaton, in words of memory: 4 MiB. What it has no place
	// for is walked from the last place on the way.
	learnMost = 512 << 10
	// placeWords and edgeWords are what a place and an edge take beside their lists.
	placeWords, edgeWords = 32, 16
	// maxNames bounds how many words a place keeps to know those that lead to other.
	maxNames = 4096
)

// place is a set of nodes: here, and the # nodes, which any word leaves in the set.
// Its edges only become more.
type place[D comparable] struct {
	here, hashes []*tnode[D]
	naming       []*tnode[D]                // those of them that have children by a word
	names        *nameSet                   // all such words; nil: ask naming
	edges        atomic.Pointer[edgeSet[D]] // by words that naming has
	other        atomic.Pointer[place[D]]   // by all others
	found        atomic.Pointer[[]D]        // where a key ends here
}

// next is where a word leads; nil: that is not known yet.
func (p *place[D]) next(h uint64, word []byte) *place[D] {
	if len(p.naming) > 0 {
		if s := p.edges.Load(); s != nil {
			if to := s.get(h, word); to != nil {
				return to
			}
		}
		if p.namesWord(h, word) {
			return nil
		}
	}
	return p.other.Load()
}

// namesWord tells whether a word may have an edge of its own.
func (p *place[D]) namesWord(h uint64, word []byte) bool {
	if p.names != nil {
		return p.names.has(h)
	}
	for _, n := range p.naming {
		if _, ok := n.words.get(h, word); ok {
			return true
		}
	}
	return false
}

// dead is a place that no word leads out of, and where no key ends.
func (p *place[D]) dead() bool { return len(p.here)+len(p.hashes) == 0 }

// start is the place before the first word; nil: the table has not been asked often.
func (st *topicState[D]) start() *place[D] {
	if p := st.learnt.first.Load(); p != nil {
		return p
	}
	if st.learnt.asked.Add(1) < learnAfter {
		return nil
	}
	s := &scratch[D]{}
	s.begin(st)
	st.learnt.first.CompareAndSwap(nil, newPlace(s))
	return st.learnt.first.Load()
}

// newPlace is the place of all that s has reached.
func newPlace[D comparable](s *scratch[D]) *place[D] {
	p := &place[D]{here: slices.Clone(s.here), hashes: slices.Clone(s.hashes)}
	names := 0
	for _, list := range [2][]*tnode[D]{p.here, p.hashes} {
		for _, n := range list {
			if n.words.n > 0 {
				p.naming = append(p.naming, n)
				names += n.words.n
			}
		}
	}
	if len(p.naming) > 1 && names <= maxNames {
		p.names = newNameSet(names)
		for _, n := range p.naming {
			n.words.each(p.names.add)
		}
	}
	return p
}

// learn finds where a word leads from p, and keeps that; nil: it does not.
func (st *topicState[D]) learn(pool *scratchPool[D], p *place[D], h uint64, word []byte) *place[D] {
	a := &st.learnt
	if a.full.Load() || !a.mu.TryLock() {
		return nil
	}
	defer a.mu.Unlock()
	if to := p.next(h, word); to != nil {
		return to
	}
	if a.size >= learnMost {
		a.full.Store(true)
		return nil
	}
	s := pool.get()
	defer pool.put(s)
	s.enter(st, p)
	s.word(h, word)
	to := p
	if !slices.Equal(s.here, p.here) || !slices.Equal(s.hashes, p.hashes) {
		to = newPlace(s)
		a.size += placeWords + len(to.here) + len(to.hashes) + len(to.naming) + to.names.len()
	}
	if !p.namesWord(h, word) {
		p.other.Store(to)
		return to
	}
	a.size += edgeWords + len(word)/8
	set := p.edges.Load()
	if set.full() {
		set = set.grown()
		p.edges.Store(set)
	}
	set.put(&edge[D]{h, string(word), to})
	return to
}

// keep notes the destinations of a key that ends at p.
func (st *topicState[D]) keep(p *place[D], dst []D) {
	a := &st.learnt
	if a.full.Load() || !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	if a.size < learnMost && p.found.Load() == nil {
		a.size += 4 + len(dst)
		found := slices.Clone(dst)
		p.found.Store(&found)
	}
}

// edgeSet is an open-addressed table that one adds to while others read.
type edgeSet[D comparable] struct {
	slots []atomic.Pointer[edge[D]] // a power of two, at most half of them in use
	n     int                       // of who adds
}

type edge[D comparable] struct {
	hash uint64
	word string
	to   *place[D]
}

func (s *edgeSet[D]) get(h uint64, word []byte) *place[D] {
	for i := h; ; i++ {
		e := s.slots[i&uint64(len(s.slots)-1)].Load()
		if e == nil {
			return nil
		}
		if e.hash == h && e.word == string(word) {
			return e.to
		}
	}
}

func (s *edgeSet[D]) put(e *edge[D]) {
	for i := e.hash; ; i++ {
		if slot := &s.slots[i&uint64(len(s.slots)-1)]; slot.Load() == nil {
			slot.Store(e)
			s.n++
			return
		}
	}
}

func (s *edgeSet[D]) full() bool { return s == nil || 2*s.n >= len(s.slots) }

// grown is a larger copy.
func (s *edgeSet[D]) grown() *edgeSet[D] {
	if s == nil {
		return &edgeSet[D]{slots: make([]atomic.Pointer[edge[D]], 2)}
	}
	g := &edgeSet[D]{slots: make([]atomic.Pointer[edge[D]], 2*len(s.slots))}
	for i := range s.slots {
		if e := s.slots[i].Load(); e != nil {
			g.put(e)
		}
	}
	return g
}

// nameSet is a set of words by their hashes: it may have a word more, never less.
type nameSet struct {
	slots []uint64 // a power of two, at most half of them in use; 0: free
}

func newNameSet(n int) *nameSet {
	size := 4
	for size < 2*n {
		size *= 2
	}
	return &nameSet{make([]uint64, size)}
}

func (s *nameSet) len() int {
	if s == nil {
		return 0
	}
	return len(s.slots)
}

func (s *nameSet) add(h uint64) {
	for i := h; ; i++ {
		switch slot := &s.slots[i&uint64(len(s.slots)-1)]; *slot {
		case 0:
			*slot = h | 1
			return
		case h | 1:
			return
		}
	}
}

func (s *nameSet) has(h uint64) bool {
	for i := h; ; i++ {
		switch s.slots[i&uint64(len(s.slots)-1)] {
		case 0:
			return false
		case h | 1:
			return true
		}
	}
}

func hashWord(word []byte) uint64 { return maphash.Bytes(seed, word) }
