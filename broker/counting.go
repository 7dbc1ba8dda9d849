package broker

import (
	"sync/atomic"

	"github.com/leveret-mq/leveret/broker/stats"
)

// What is counted, and by whom.
//
// A batch counts what it publishes by route and what it acks by queue, and adds that
// up in Flush. A queue's deliveries are counted a run, under its lock; what they come
// to in the vhost, a runner. So an atomic operation stands for many messages, where
// there are many. A queue has memory for that from its first message on.

// tally is what is counted of a queue.
type tally struct {
	stats.Shared
	active atomic.Int64 // when something was counted last, ms since 1970
	able   share        // how much of the time consumers could take messages
}

// count adds to what is counted of a queue.
func (d *queueDef) count(c *stats.Counts) {
	if d.reply {
		return // no queue that anybody sees
	}
	t := d.counted()
	t.Add(c)
	t.touch(d.v.b)
}

// published counts messages that were routed to the queue.
func (d *queueDef) published(n uint64) {
	if d.reply {
		return
	}
	t := d.counted()
	t.Published(n)
	t.touch(d.v.b)
}

// counted is where the queue's counters are.
func (d *queueDef) counted() *tally {
	if t := d.tally.Load(); t != nil {
		return t
	}
	d.tally.CompareAndSwap(nil, new(tally))
	return d.tally.Load()
}

// touch notes that something happens.
func (t *tally) touch(b *Broker) {
	if now := b.clock.Load(); t.active.Load() != now {
		t.active.Store(now)
	}
}

// counts is what was counted of a queue.
func (d *queueDef) counts() stats.Counts {
	if t := d.tally.Load(); t != nil {
		return t.Load()
	}
	return stats.Counts{}
}

// lastActive is when something was counted last, in ms since 1970: at first when the
// queue was made, or found by a start.
func (d *queueDef) lastActive() int64 {
	if t := d.tally.Load(); t != nil {
		return t.active.Load()
	}
	return d.made
}

// counted is a publish's route with how many took it, for a transaction in which the
// route is needed anew.
type counted struct {
	x        *exchange
	n, out   uint64
	from, to int // in Batch.countedQueues
}

// acksOf is how many deliveries of a queue were acked.
type acksOf struct {
	q Queue
	n uint64
}

// counting is what a batch counts until it is flushed.
type counting struct {
	routes   []*route // with n > 0
	former   []counted
	queues   []Queue // of former
	acks     []acksOf
	exchange tallied // of routes that are settled
	queue    tallied
	out      uint64 // queues that these have led to
	returned uint64
	dropped  uint64
	confirms uint64 // publishes that are to be confirmed
	sizes    stats.Sizes
}

// tallied is what is still to be counted of the exchange or queue that was counted last:
// where each message has another route, these are often the same.
type tallied struct {
	x       *exchange
	q       Queue
	n, went uint64
}

func (t *tallied) settle() {
	if t.x != nil {
		t.x.came.Add(t.n)
		if t.went > 0 {
			t.x.went.Add(t.went)
		}
	}
	if t.q != nil {
		t.q.def().published(t.n)
	}
	*t = tallied{}
}

// publish counts one message on a route.
func (c *counting) publish(r *route, p *Publishing) {
	if r.n++; r.n == 1 {
		c.routes = append(c.routes, r)
	}
	if p.Confirm {
		c.confirms++
	}
	c.sizes.Add(p.size())
	switch {
	case r.routed:
	case p.Mandatory:
		c.returned++
	default:
		c.dropped++
	}
}

// free settles a route that is to be another one from now on: in a transaction it is
// not known yet whether its messages count.
func (c *counting) free(r *route, atomic bool) {
	if r.n == 0 {
		return
	}
	if atomic {
		from := len(c.queues)
		c.queues = append(c.queues, r.queues...)
		c.former = append(c.former, counted{r.x, r.n, uint64(r.out), from, len(c.queues)})
	} else {
		c.route(r.x, r.n, uint64(r.out), r.queues)
	}
	r.n = 0
}

// ack counts one.
func (c *counting) ack(q Queue) {
	last := len(c.acks) - 1
	for i := last; i >= 0 && i > last-4; i-- {
		if c.acks[i].q == q {
			c.acks[i].n++
			return
		}
	}
	c.acks = append(c.acks, acksOf{q, 1})
}

// route counts n messages that were published to an exchange and went to queues, out of
// which are none of direct reply-to.
func (c *counting) route(x *exchange, n, out uint64, queues []Queue) {
	if e := &c.exchange; e.x != x {
		e.settle()
		e.x = x
	}
	c.exchange.n += n
	c.exchange.went += n * out
	for _, q := range queues {
		if t := &c.queue; t.q != q {
			t.settle()
			t.q = q
		}
		c.queue.n += n
	}
	c.out += n * out
}

// settle adds up what was counted, for so many publishes; with none of it where a
// transaction had no effect.
func (c *counting) settle(v *vhost, published int, happened bool) {
	if happened {
		sum := stats.Counts{Publish: uint64(published), ReturnUnroutable: c.returned, DropUnroutable: c.dropped}
		for _, r := range c.routes {
			if r.n > 0 {
				c.route(r.x, r.n, uint64(r.out), r.queues)
				r.n = 0 // one that was freed meanwhile stands there twice
			}
		}
		for _, f := range c.former {
			c.route(f.x, f.n, f.out, c.queues[f.from:f.to])
		}
		c.exchange.settle()
		c.queue.settle()
		sum.PublishIn, sum.PublishOut = sum.Publish, c.out
		var quorum stats.Counts
		for _, a := range c.acks {
			a.q.def().count(&stats.Counts{Ack: a.n})
			if a.q.def().kind() == stats.Quorum {
				quorum.Ack += a.n
			} else {
				sum.Ack += a.n
			}
		}
		v.count(stats.Classic, &sum)
		if quorum.Ack > 0 {
			v.count(stats.Quorum, &quorum)
		}
		if c.confirms > 0 {
			v.b.receivedConfirm.Add(c.confirms)
		}
		if published > 0 {
			v.b.sizes.add(&c.sizes)
		}
	}
	c.drop()
}

// drop forgets what was counted.
func (c *counting) drop() {
	for i, r := range c.routes {
		r.n = 0
		c.routes[i] = nil
	}
	clear(c.former)
	clear(c.queues)
	clear(c.acks)
	c.exchange, c.queue = tallied{}, tallied{}
	c.routes, c.former, c.queues, c.acks = c.routes[:0], c.former[:0], c.queues[:0], c.acks[:0]
	c.out, c.returned, c.dropped, c.confirms, c.sizes = 0, 0, 0, 0, stats.Sizes{}
}

// kind is the queue's type, as it is counted.
func (d *queueDef) kind() stats.QueueType {
	if d.settings().quorum {
		return stats.Quorum
	}
	return stats.Classic
}

// count adds to what is counted of all that is in a vhost, and of the whole broker,
// where it is kept by the queues' type. What is not of queues counts as Classic's.
func (v *vhost) count(kind stats.QueueType, c *stats.Counts) {
	v.counts.Add(c)
	v.b.counts[kind].Add(c)
}

// Confirmed counts publishes of the session that were confirmed.
func (s *Session) Confirmed(n uint64) { s.v.count(stats.Classic, &stats.Counts{Confirm: n}) }

// buried counts a message that reached a queue as a dead letter.
func (b *Broker) buried(w *will) {
	strategy := stats.AtMostOnce
	if w.set.atLeastOnce {
		strategy = stats.AtLeastOnce
	}
	b.deadLettered[w.q.kind()][strategy][w.why].Add(1)
}

// sizes are shared stats.Sizes.
type sizes struct {
	count [len(stats.Sizes{}.Count)]atomic.Uint64
	bytes atomic.Uint64
}

func (s *sizes) add(o *stats.Sizes) {
	for i, n := range o.Count {
		if n > 0 {
			s.count[i].Add(n)
		}
	}
	s.bytes.Add(o.Bytes)
}

func (s *sizes) load() (out stats.Sizes) {
	for i := range out.Count {
		out.Count[i] = s.count[i].Load()
	}
	out.Bytes = s.bytes.Load()
	return out
}

// count adds to what is counted of a queue and, when the runner is done, of its vhost.
func (r *runner) count(q *localQueue, c *stats.Counts) {
	if q.reply {
		return
	}
	q.count(c)
	if kind := q.kind(); r.counting != q.v || r.countingKind != kind {
		r.settleCounts()
		r.counting, r.countingKind = q.v, kind
	}
	r.counts.Add(*c)
}

func (r *runner) settleCounts() {
	if r.counting != nil {
		r.counting.count(r.countingKind, &r.counts)
		r.counting, r.counts = nil, stats.Counts{}
	}
}

// Counts are all messages since the start, and what came and went.
func (b *Broker) Counts() (stats.Counts, stats.Churn) {
	sum := b.CountsOf(stats.Classic)
	sum.Add(b.CountsOf(stats.Quorum))
	return sum, b.churn.load()
}

// CountsOf are Counts of what was delivered from queues of a type, and acked. The
// other counts, which are not of queues, are in those of classic queues.
func (b *Broker) CountsOf(t stats.QueueType) stats.Counts { return b.counts[t].Load() }

// VHostCounts are the messages of a vhost since the start, none where there is no
// such vhost.
func (b *Broker) VHostCounts(vhost string) stats.Counts {
	if v := b.vhost(vhost); v != nil {
		return v.counts.Load()
	}
	return stats.Counts{}
}

// GlobalCounts are what only the whole broker counts.
func (b *Broker) GlobalCounts() stats.Global {
	g := stats.Global{ReceivedConfirm: b.receivedConfirm.Load(), Sizes: b.sizes.load()}
	for t := range g.DeadLettered {
		for s := range g.DeadLettered[t] {
			for why := range g.DeadLettered[t][s] {
				g.DeadLettered[t][s][why] = b.deadLettered[t][s][why].Load()
			}
		}
	}
	return g
}

// churn counts what comes and goes.
type churn struct {
	connectionCreated, connectionClosed       atomic.Uint64
	channelCreated, channelClosed             atomic.Uint64
	queueDeclared, queueCreated, queueDeleted atomic.Uint64
}

func (c *churn) load() stats.Churn {
	return stats.Churn{
		ConnectionCreated: c.connectionCreated.Load(), ConnectionClosed: c.connectionClosed.Load(),
		ChannelCreated: c.channelCreated.Load(), ChannelClosed: c.channelClosed.Load(),
		QueueDeclared: c.queueDeclared.Load(), QueueCreated: c.queueCreated.Load(), QueueDeleted: c.queueDeleted.Load(),
	}
}

// share measures how much of the time something was so, by a coarse clock: what is
// shorter than a tick is counted by chance, as a sample is. Its changes are made under
// one lock; anybody may ask.
type share struct {
	since   atomic.Int64 // ms; negative: it is so since then
	yes, no atomic.Int64 // ms
}

// shareWindow is about how many ms a share looks back.
const shareWindow = 10_000

// change notes that it is so, or not, from now on.
func (s *share) change(now int64, is bool) {
	yes, no := s.sums(now)
	if yes+no > shareWindow {
		yes, no = yes*shareWindow/2/(yes+no), no*shareWindow/2/(yes+no)
	}
	s.yes.Store(yes)
	s.no.Store(no)
	if is {
		now = -now
	}
	s.since.Store(now)
}

func (s *share) sums(now int64) (yes, no int64) {
	yes, no = s.yes.Load(), s.no.Load()
	switch since := s.since.Load(); {
	case since < 0:
		yes += max(now+since, 0)
	case since > 0:
		no += max(now-since, 0)
	}
	return yes, no
}

// of is the share, from 0 to 1.
func (s *share) of(now int64) float64 {
	yes, no := s.sums(now)
	if yes+no == 0 {
		if s.since.Load() < 0 {
			return 1
		}
		return 0
	}
	return float64(yes) / float64(yes+no)
}

// countGet counts a message that basic.get takes.
func (q *localQueue) countGet(r *runner, noAck, redelivered bool) {
	c := stats.Counts{Get: 1}
	if noAck {
		c = stats.Counts{GetNoAck: 1}
	}
	if redelivered {
		c.Redeliver = 1
	}
	r.count(q, &c)
}

// able notes whether some consumer could take a message now. Under mu.
func (q *localQueue) able(is bool) { q.counted().able.change(q.v.b.clock.Load(), is) }
