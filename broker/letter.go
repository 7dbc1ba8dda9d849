package broker

import (
	"slices"
	"time"

	"github.com/leveret-mq/leveret/broker/death"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// A dead letter is published, and what it was is acked, in one batch of the store:
// after a crash it is in one place, and nowhere twice. It passes the bounds of queues
// that refuse publishes, since nobody is there to be told.

// will is what a queue wants done with those that die of one reason. It is looked at
// once for a run of them.
type will struct {
	q        *localQueue
	set      *settings
	why      reason
	x        *exchange // where dead letters go; nil: nowhere
	exchange []byte    // its name
	key      []byte    // their routing key, where they do not keep their own
	time     uint64    // of death, in seconds
}

// will is asked with no lock held.
func (q *localQueue) will(why reason) will {
	w := will{q: q, set: q.settings(), why: why}
	if w.set.dlx == nil {
		return w
	}
	if w.x = q.v.exchange(*w.set.dlx); w.x == nil {
		return w
	}
	w.exchange, w.time = []byte(*w.set.dlx), uint64(time.Now().Unix())
	if w.set.dlxKey != nil {
		w.key = []byte(*w.set.dlxKey)
	}
	return w
}

// letterBytes is how much of dead letters goes into one batch: the store holds every
// appender up while it applies one.
const letterBytes = 1 << 20

// letters makes dead letters. It is scratch memory of a runner.
type letters struct {
	batch  *store.Batch
	router router
	lanes  []*store.Queue
	arena  []byte // properties
	bytes  int    // in batch
}

func (r *runner) deadLetters() *letters {
	if r.letters == nil {
		r.letters = &letters{batch: r.b.store.NewBatch()}
	}
	return r.letters
}

// fate is what became of a letter.
type fate uint8

const (
	settled fate = iota // it is in the batch
	later               // it must wait: see carry
)

// add puts the end of a claimed message of sq into a batch, and the dead letter where
// it goes somewhere.
func (l *letters) add(r *runner, batch *store.Batch, w *will, sq *store.Queue, it *store.Item) fate {
	if w.x != nil {
		dead, queues := l.address(w, it.Message)
		switch {
		case len(queues)+len(l.router.delays) == 0:
		case it.Large != nil:
			return later
		default:
			l.send(r, batch, dead, nil, queues)
			batch.Ack(sq, it.Seq)
			r.b.buried(w)
			return settled
		}
	}
	if w.set.atLeastOnce {
		return later
	}
	batch.Ack(sq, it.Seq)
	return settled
}

// address makes a message a dead letter, and finds the queues that get it. The
// result is good until the next call, the properties until apply.
func (l *letters) address(w *will, m store.Message) (dead store.Message, queues []Queue) {
	e := death.Event{
		Reason: w.why.String(), Queue: w.q.name, Exchange: m.Exchange, RoutingKey: m.RoutingKey,
		Time: w.time, NewKey: w.key != nil,
	}
	props := amqp.Properties(m.Props)
	from := len(l.arena)
	arena, err := e.Append(l.arena, props)
	if err == nil && len(arena)-from <= store.MaxProps {
		l.arena = arena
		props = amqp.Properties(arena[from:len(arena):len(arena)])
	}
	dead = store.Message{Exchange: w.exchange, RoutingKey: m.RoutingKey, Props: props, Body: m.Body, Persistent: m.Persistent}
	if w.key != nil {
		dead.RoutingKey = w.key
	}
	r := &l.router
	r.v, r.props = w.q.v, props
	r.keys = append(r.keys[:0], dead.RoutingKey)
	headers := props.Headers()
	if cc, ok := headers.Array("CC"); ok {
		r.keys = appendKeys(r.keys, cc)
	}
	r.walk(w.x)
	queues = r.queues
	if w.why != rejected {
		for name := range death.Automatic(headers) {
			queues = slices.DeleteFunc(queues, func(q Queue) bool {
				if q.Name() != string(name) {
					return false
				}
				w.q.warnCycle(q.Name())
				return true
			})
			if len(queues) == 0 {
				break
			}
		}
	}
	for _, q := range queues {
		dead.Persistent = dead.Persistent || q.def().settings().quorum // which keeps all
	}
	return dead, queues
}

// send puts a message into a batch: for its queues, and where the router has found
// exchanges that delay it, for what waits there. A large body is to have m's head.
func (l *letters) send(r *runner, batch *store.Batch, m store.Message, body *Large, queues []Queue) {
	publish := func(m store.Message, to []*store.Queue) {
		if body != nil {
			batch.Unbound(batch.PublishLarge(body, m, to))
		} else {
			batch.Unbound(batch.Publish(m, to))
			l.bytes += len(m.Body) + len(m.Props)
		}
	}
	if len(queues) > 0 {
		publish(m, l.locals(queues, m.Props))
		r.reach(queues)
	}
	if len(l.router.delays) > 0 {
		l.lanes = l.lanes[:0]
		for _, d := range l.router.delays {
			l.lanes = append(l.lanes, d.sq)
		}
		m.Expires = due(store.Millis(time.Now()), l.router.delay)
		publish(m, l.lanes)
		r.delayed = append(r.delayed, l.router.delays...)
	}
}

// locals are the store's queues for a message.
func (l *letters) locals(queues []Queue, props amqp.Properties) []*store.Queue {
	priority, _ := props.Priority()
	l.lanes = l.lanes[:0]
	for _, q := range queues {
		if q, ok := q.(*localQueue); ok {
			l.lanes = append(l.lanes, q.laneFor(priority))
		}
	}
	return l.lanes
}

// apply makes happen what is in the letters' own batch. Acks of messages that were
// dead-lettered need not be durable, and so neither does this: it rides the next
// commit. Where the log has failed, the restart finds the messages where they were.
func (l *letters) apply(b *Broker) {
	if l.batch.Len() > 0 {
		if _, err := b.store.Apply(l.batch, wal.Lazy, nil); err != nil && b.store.Err() == nil && !b.closing.Load() {
			b.log.Error("dead letters could not be published; they stay unacknowledged until a restart", "err", err)
		}
		l.batch.Reset()
	}
	l.bytes = 0
	if cap(l.arena) > maxArena {
		l.arena = nil
	}
	l.arena = l.arena[:0]
}

// warnCycle tells the operator, once a queue, that messages are dropped.
func (q *localQueue) warnCycle(target string) {
	q.mu.Lock()
	g := q.tomb()
	told := g.cycle
	g.cycle = true
	q.mu.Unlock()
	if !told {
		q.v.b.log.Warn("a dead letter that nobody rejected came to a queue in which it died before; such ones are dropped",
			"vhost", q.v.name, "queue", q.name, "target", target)
	}
}
