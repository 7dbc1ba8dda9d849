package broker

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
)

// route is what a batch knows of one exchange and routing key: where messages
// go as long as the vhost's generation stands.
type route struct {
	generation  uint64
	x           *exchange // that is published to; nil: this is no route yet
	key         []byte
	hash        uint64 // of key and exchange's name: see routeCache
	queues      []Queue
	locals      []*store.Queue // those of queues that are on the store
	routed      bool           // some queue is no reply destination
	limited     bool           // some queue has a bound
	quorum      bool           // some queue keeps what is transient too
	prioritized bool           // some queue has lanes
	out         uint32         // how many of queues are no reply destination
	delays      []*delays      // of exchanges that keep the message
	delay       int64          // for so many ms
	epoch       uint64         // the flush for which its queues are noted
	n           uint64         // messages of the batch that were counted here: see counting
}

// routeCache remembers routes by exchange and routing key: the last one, and sets of
// two each of which a key belongs to one. It belongs to one batch, so that it needs no
// lock, and a flow to one queue costs two comparisons a message. Its memory follows the
// keys that come.
type routeCache struct {
	last      *route
	sets      []routeSet // a power of two
	displaced int        // how often a route took another's place since there were so many
	back      int        // how often the one it took came next
	seed      maphash.Seed
}

type routeSet struct {
	newer, older *route
	former       uint64 // hash of the one that had to go last
}

// The number of sets doubles where they are too few for the keys that come, beyond
// fewRoutes where these come again soon, so that keys that do not, or are too many, push
// no memory around.
const (
	fewRoutes = 64
	maxRoutes = 256
)

// lookup returns the route for exchange and key, and whether it is still good.
// Where it is not, the caller fills it in.
func (c *routeCache) lookup(exchange, key []byte, generation uint64) (r *route, ok bool) {
	if r := c.last; r != nil && bytes.Equal(r.key, key) && r.x != nil && r.x.name == string(exchange) {
		return r, r.generation == generation
	}
	if c.sets == nil {
		c.sets = make([]routeSet, 1)
		c.seed = maphash.MakeSeed()
	}
	h := maphash.Bytes(c.seed, key) + 31*maphash.Bytes(c.seed, exchange)
	r = c.at(h, generation)
	c.last = r
	return r, r.generation == generation && r.x != nil && r.x.name == string(exchange) && bytes.Equal(r.key, key)
}

// at is the place of a hash, which another route may have had.
func (c *routeCache) at(h, generation uint64) *route {
	s := c.set(h)
	switch {
	case s.newer != nil && s.newer.hash == h:
		return s.newer
	case s.older == nil:
	case s.older.hash != h && s.older.generation == generation && c.missed(s, h):
		return c.at(h, generation)
	}
	s.newer, s.older = s.older, s.newer
	if s.newer == nil {
		s.newer = &route{hash: h}
	}
	if s.newer.hash != h {
		s.former, s.newer.hash = s.newer.hash, h
	}
	return s.newer
}

// missed notes that a route is to take another's place, and tells whether there are more
// sets instead.
func (c *routeCache) missed(s *routeSet, h uint64) bool {
	c.displaced++
	if s.former == h {
		c.back++
	}
	routes := 2 * len(c.sets)
	if (routes >= fewRoutes || c.displaced <= routes) && (routes >= maxRoutes || c.back <= routes) {
		return false
	}
	old := c.sets
	c.sets, c.displaced, c.back = make([]routeSet, 2*len(old)), 0, 0
	for _, s := range old {
		c.keep(s.older)
		c.keep(s.newer)
	}
	return true
}

func (c *routeCache) keep(r *route) {
	if r != nil {
		s := c.set(r.hash)
		s.newer, s.older = r, s.newer
	}
}

func (c *routeCache) set(h uint64) *routeSet { return &c.sets[h&uint64(len(c.sets)-1)] }

// router walks from exchange to exchange. It is scratch memory of a batch.
type router struct {
	v     *vhost
	keys  [][]byte        // routing keys: more than one where CC or BCC add some
	props amqp.Properties // the message's

	exchanges []*exchange // seen, those after the current one still to visit
	nodes     []*node
	queues    []Queue
	replies   int // how many of queues are reply destinations
	found     map[Queue]struct{}
	once      bool // the result is good for this message only

	delays []*delays // of exchanges that keep the message for a while
	delay  int64     // for how many ms, where timed is set
	timed  bool      // the message was asked
}

// linearSearch is how many queues are searched for a duplicate one by one.
const linearSearch = 32

// walk finds the queues of a message, each once, in r.queues. It follows
// bindings between exchanges, each exchange once, so that cycles end, and the
// alternate exchange of each that has no match.
func (r *router) walk(x *exchange) {
	r.exchanges = append(r.exchanges[:0], x)
	r.queues, r.replies, r.once = r.queues[:0], 0, false
	r.delays, r.timed = r.delays[:0], false
	if len(r.found) > 0 {
		clear(r.found)
	}
	if x.table == nil {
		r.byName()
		return
	}
	// The tables themselves name a destination once a key.
	unique := len(r.keys) == 1
	for i := 0; i < len(r.exchanges); i++ {
		x := r.exchanges[i]
		if x.table == nil {
			continue // RabbitMQ routes by name only what is published there
		}
		if r.delaying(x) {
			r.delays = append(r.delays, x.delays)
			continue
		}
		r.nodes = r.nodes[:0]
		keys := r.keys
		if x.table.OneKey() {
			keys = keys[:1]
		}
		r.once = r.once || x.table.PerMessage()
		for _, key := range keys {
			r.nodes = x.table.Match(key, r.props, r.nodes)
		}
		if len(r.nodes) == 0 {
			if name := x.settings().alternate; name != "" {
				if a := r.v.exchange(name); a != nil {
					r.addExchange(a)
				}
			}
		}
		for _, n := range r.nodes {
			if n.queue == nil {
				r.addExchange(n.exchange)
				unique = false
			} else if unique && i == 0 {
				r.queues = append(r.queues, n.queue)
			} else {
				r.addQueue(n.queue)
			}
		}
	}
	clear(r.nodes)
}

// byName routes through the default exchange.
func (r *router) byName() {
	r.v.mu.RLock()
	defer r.v.mu.RUnlock()
	for _, key := range r.keys {
		if q := r.v.queues[string(key)]; q != nil {
			r.addQueue(q)
		} else if isReplyName(key) {
			if q := r.v.replies[string(key)]; q != nil {
				r.addQueue(q)
				r.replies++
			}
		}
	}
}

// appendKeys adds the routing keys that a CC or BCC header lists.
func appendKeys(keys [][]byte, list amqp.Array) [][]byte {
	for v := range list.All() {
		if v.Type == amqp.TypeLongString {
			key, _ := v.Bytes()
			keys = append(keys, key)
		}
	}
	return keys
}

func (r *router) addExchange(x *exchange) {
	if !slices.Contains(r.exchanges, x) {
		r.exchanges = append(r.exchanges, x)
	}
}

func (r *router) addQueue(q Queue) {
	switch n := len(r.queues); {
	case n < linearSearch:
		if slices.Contains(r.queues, q) {
			return
		}
	default:
		if len(r.found) != n {
			if r.found == nil {
				r.found = map[Queue]struct{}{}
			}
			clear(r.found)
			for _, q := range r.queues {
				r.found[q] = struct{}{}
			}
		}
		if _, ok := r.found[q]; ok {
			return
		}
		r.found[q] = struct{}{}
	}
	r.queues = append(r.queues, q)
}

// fill keeps what walk found.
func (r *route) fill(key []byte, generation uint64, from *router) {
	r.x = from.exchanges[0]
	r.key = append(r.key[:0], key...)
	same := r.generation == generation && slices.Equal(r.queues, from.queues)
	r.generation = generation
	r.out = uint32(len(from.queues) - from.replies)
	r.routed = len(from.queues) > from.replies || len(from.delays) > 0
	r.delays, r.delay = append(r.delays[:0], from.delays...), from.delay
	if same { // and so are their settings: policies raise the generation
		return
	}
	r.epoch = 0
	clear(r.queues)
	clear(r.locals)
	r.queues = append(r.queues[:0], from.queues...)
	r.locals = r.locals[:0]
	r.limited, r.quorum, r.prioritized = false, false, false
	for _, q := range r.queues {
		if l := q.local(); l != nil {
			r.locals = append(r.locals, l)
		}
		set := q.def().settings()
		r.quorum = r.quorum || set.quorum
		r.limited = r.limited || set.limited()
		r.prioritized = r.prioritized || set.maxPriority > 0
	}
}
