package broker

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/leveret-mq/leveret/store"
)

// What cannot be buried at once is carried by a goroutine of the queue: dead letters
// whose bodies are files, which are copied, since a file has one head; those that
// cannot be read for a reason that may pass; and those of a queue with the strategy
// at-least-once that reach no queue: they are kept, and tried again when the topology
// or the queue's settings have changed. All stay claimed in their queue until the
// batch that ends them there has them in another one. A restart makes them ready
// again. They may be passed by others.
//
// Each takes memory, which a message that is ready on disk does not. So a queue that
// keeps mostKept of them delivers and expires nothing until half of them are gone.

// mostKept is how many messages a queue with the strategy at-least-once keeps for
// exchanges that do not route them, but for what was already claimed then. They take
// some 16 MiB. A test has its own.
var mostKept = 1 << 18

// parcel is such a message.
type parcel struct {
	lane    *store.Queue
	seq     uint64
	refused *refused // nil: it is its queue's, and claimed
	why     reason
	state   parcelState
}

// refused is a publish that its queue has refused, and which it does not hold.
type refused struct {
	message store.Message
	large   *Large // its body, which is retained
}

// parcelState is what came of the last try.
type parcelState uint8

const (
	untried  parcelState = iota
	unrouted             // it reached no queue
	unread               // it could not be read or copied, which may pass
)

// carry leaves a message to the queue's goroutine. localQueue.mu is not held.
func (q *localQueue) carry(p parcel) {
	q.mu.Lock()
	g := q.tomb()
	q.mu.Unlock()
	g.mu.Lock()
	g.parcels = append(g.parcels, p)
	if g.kept++; g.kept >= mostKept && !g.full.Load() && q.settings().atLeastOnce {
		g.full.Store(true)
		q.v.b.log.Warn("too many dead letters reach no queue; the queue delivers nothing until they do (at-least-once)",
			"vhost", q.v.name, "queue", q.name, "kept", g.kept)
	}
	begin := !g.carrying
	g.carrying = true
	g.mu.Unlock()
	if begin {
		q.v.b.spawn(func() { q.carryAll(g) }) // else the broker is closing
	}
}

// carryPause is how long what reaches no queue waits for the next look at the
// topology.
const carryPause = time.Second

// carryAll delivers parcels until there are none.
func (q *localQueue) carryAll(g *graves) {
	r := q.v.b.runner()
	defer r.done()
	var waiting []parcel
	var generation uint64
	var set *settings
	told := false
	var failed error // why a parcel that is unread is that
	for pause := readPause; ; {
		g.mu.Lock()
		fresh := g.parcels
		g.parcels = nil
		g.carrying = len(fresh)+len(waiting) > 0
		ended := !g.carrying
		g.mu.Unlock()
		if ended || q.v.b.closing.Load() {
			releaseAll(waiting)
			releaseAll(fresh)
			return
		}
		changed := generation != q.v.generation.Load() || set != q.settings()
		generation, set = q.v.generation.Load(), q.settings()
		before := len(waiting)
		list := append(waiting, fresh...)
		left := list[:0]
		for i, p := range list {
			if i >= before || p.state != unrouted || changed || p.lane.Deleted() {
				settled, err := q.deliverParcel(r, &p)
				if settled {
					continue
				}
				failed = cmp.Or(err, failed)
			}
			left = append(left, p)
		}
		clear(list[len(left):])
		waiting = left
		if len(waiting) > 0 && !told {
			told = true
			q.warnWaiting(&waiting[0], failed)
		}
		r.follow()
		r.flush()
		r.buried = 0
		q.unkeep(g, len(list)-len(left))
		switch {
		case len(waiting) == 0:
			pause = readPause
		case len(waiting) < before+len(fresh):
			pause = readPause
			q.v.b.pause(pause)
		default:
			q.v.b.pause(pause)
			pause = min(2*pause, carryPause)
		}
	}
}

// unkeep notes that so many parcels have gone, and has the queue go on where it waits
// for that.
func (q *localQueue) unkeep(g *graves, n int) {
	g.mu.Lock()
	g.kept -= n
	goesOn := g.full.Load() && (g.kept < mostKept/2 || !q.settings().atLeastOnce)
	if goesOn {
		g.full.Store(false)
	}
	g.mu.Unlock()
	if goesOn {
		q.carryOn()
	}
}

// overfull tells that the queue keeps as many dead letters as it may. Under mu.
func (q *localQueue) overfull() bool { return q.graves != nil && q.graves.full.Load() }

// warnWaiting tells the operator, once until none waits any more, that dead letters do.
func (q *localQueue) warnWaiting(p *parcel, failed error) {
	log := q.v.b.log.With("vhost", q.v.name, "queue", q.name)
	switch p.state {
	case unread:
		log.Warn("dead letters cannot be moved at the moment; they stay unacknowledged, and it is tried again", "err", failed)
	case unrouted:
		log.Warn("dead letters reach no queue; they stay unacknowledged until the topology or a policy changes (at-least-once)")
	}
}

func releaseAll(list []parcel) {
	for _, p := range list {
		if p.refused != nil {
			p.refused.large.Release()
		}
	}
}

// deliverParcel does one. It tells whether that is settled, and else why it is not,
// but where it reaches no queue.
func (q *localQueue) deliverParcel(r *runner, p *parcel) (bool, error) {
	l := r.deadLetters()
	w := q.will(p.why)
	if p.refused != nil {
		ok, err := q.copyLetter(r, &w, p, p.refused.message, p.refused.large)
		if ok {
			p.refused.large.Release()
		}
		return ok, err
	}
	var c store.Claim
	defer c.Release()
	seqs := []uint64{p.seq}
	if _, err := p.lane.Read(&c, seqs); err != nil {
		p.state = unread
		return false, err
	}
	leftOut(p.lane, c.Items, seqs)
	if len(c.Items) == 0 {
		return true, nil // it is gone, or will never be readable
	}
	it := &c.Items[0]
	if l.add(r, l.batch, &w, p.lane, it) == settled {
		l.apply(r.b)
		return true, nil
	}
	if it.Large == nil {
		p.state = unrouted
		return false, nil
	}
	m, large := cloneMessage(&it.Message), it.Large
	large.Retain()
	defer large.Release()
	c.Release()
	return q.copyLetter(r, &w, p, m, large)
}

// cloneMessage copies a message without its body.
func cloneMessage(m *store.Message) store.Message {
	out := *m
	out.Exchange, out.RoutingKey = slices.Clone(m.Exchange), slices.Clone(m.RoutingKey)
	out.Props, out.Body = slices.Clone(m.Props), nil
	return out
}

// copyLetter makes a dead letter of a message whose body is a file.
func (q *localQueue) copyLetter(r *runner, w *will, p *parcel, m store.Message, from *Large) (bool, error) {
	l := r.deadLetters()
	var queues []Queue
	var dead store.Message
	if w.x != nil {
		dead, queues = l.address(w, m)
	}
	if w.x == nil || len(queues)+len(l.router.delays) == 0 {
		if w.set.atLeastOnce && p.refused == nil {
			p.state = unrouted
			return false, nil
		}
	} else {
		to, err := copyLarge(r.b, from, dead)
		switch {
		case err == nil:
		case store.Damaged(err):
			if p.refused == nil {
				p.lane.SetAside(p.seq, err)
			}
			return true, nil
		default:
			p.state = unread // it may be better later
			return false, err
		}
		l.send(r, l.batch, dead, to, queues)
		to.Release() // the batch holds it now
		r.b.buried(w)
	}
	if p.refused == nil {
		l.batch.Ack(p.lane, p.seq)
	}
	l.apply(r.b)
	return true, nil
}

// copyLarge writes a body into a file of its own, with the head that m has.
func copyLarge(b *Broker, from *Large, m store.Message) (*Large, error) {
	body, err := from.Open()
	if err != nil {
		return nil, err
	}
	u, err := b.store.NewUpload(from.Size(), m.Persistent)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{u}, struct{ io.Reader }{io.NewSectionReader(body, 0, from.Size())}, make([]byte, 1<<18)); err != nil {
		u.Abort()
		return nil, err
	}
	return u.Finish(m)
}
