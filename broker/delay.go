package broker

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/store"
)

// An exchange of the type x-delayed-message keeps a message for as long as its header
// x-delay says, in ms, and routes it then, as an exchange of the type x-delayed-type
// does. What waits is in a queue of the store, durable if the exchange is, in which
// each message expires when it is due. When it has, it is published to the queues that
// it is routed to then, and acked where it waited, in one batch: a power cut finds it
// in one place, or in the other.
//
// While it waits a message counts as routed: it is not returned if it is mandatory,
// and its publisher has its confirm when it is on disk. When it is due nobody is there
// to be told: what reaches no queue then, nor the alternate exchange, is gone, and
// queues at their bounds take it as they take dead letters. Its x-delay is negative
// from then on, so that no further exchange delays it again, and its time to live
// begins.

const (
	typeDelayed = "x-delayed-message"
	delayedType = "x-delayed-type"
	delayHeader = "x-delay"
)

// errDelayedType refuses an exchange that does not say how to route.
var errDelayedType = amqp.PreconditionFailed("Invalid argument, '%s' must be an existing exchange type", delayedType)

// routesAs is the type of exchange by which one of that type and those arguments
// routes; "" where the arguments do not say, or name no such type.
func routesAs(kind string, args amqp.Table) string {
	if kind != typeDelayed {
		return kind
	}
	inner, _ := args.LongString(delayedType)
	if inner == typeDelayed {
		return ""
	}
	return inner
}

// delays is what waits in an exchange.
type delays struct {
	x  *exchange
	sq *store.Queue
	alarm
	working atomic.Bool // somebody moves what is due
	again   atomic.Bool // and is to look again before he goes
}

func newDelays(x *exchange, sq *store.Queue) *delays {
	d := &delays{x: x, sq: sq}
	d.do = func() {
		d.awaited.Store(0)
		d.wake()
	}
	return d
}

// arm has what waits move when it is due.
func (d *delays) arm() {
	if at := d.sq.NextExpiry(); at != 0 {
		d.ringAt(d.x.v.b, at)
	}
}

// wake has a goroutine move what is due.
func (d *delays) wake() {
	d.again.Store(true)
	if !d.working.CompareAndSwap(false, true) {
		return
	}
	if !d.x.v.b.spawn(d.work) {
		d.working.Store(false) // the broker is closing
	}
}

// work moves what is due until nothing is.
func (d *delays) work() {
	r := d.x.v.b.runner()
	defer r.done()
	for pause := readPause; ; {
		d.again.Store(false)
		switch status := d.move(r); {
		case d.x.v.b.closing.Load():
			d.working.Store(false)
			return
		case status == store.Claimed:
			r.follow()
			r.flush()
			r.buried = 0
			pause = readPause
			continue
		case status == store.Cold: // a trouble that may pass
			d.x.v.b.pause(pause)
			pause = min(2*pause, readPauseMax)
			continue
		}
		d.arm()
		d.working.Store(false)
		if !d.again.Load() || !d.working.CompareAndSwap(false, true) {
			return
		}
	}
}

// move publishes some of what is due.
func (d *delays) move(r *runner) store.Status {
	c := &r.claim
	status := d.sq.ClaimExpired(c, time.Now().UnixMilli(), maxRun, true)
	if status != store.Claimed {
		return status
	}
	l := r.deadLetters()
	var larges []store.Item
	for i := range c.Items {
		it := &c.Items[i]
		if it.Large != nil {
			it.Large.Retain()
			large := store.Item{Seq: it.Seq, Large: it.Large, Message: cloneMessage(&it.Message)}
			larges = append(larges, large)
			continue
		}
		m, queues := d.address(l, it.Message)
		l.send(r, l.batch, m, nil, queues)
		l.batch.Ack(d.sq, it.Seq)
		if l.bytes >= letterBytes {
			l.apply(r.b)
		}
	}
	l.apply(r.b)
	c.Release()
	if len(larges) > 0 && !r.b.spawn(func() { d.moveLarges(larges) }) {
		for _, it := range larges { // the next start finds them
			it.Large.Release()
		}
	}
	return status
}

// address finds where a message goes that is due, and makes it what it is to be there.
func (d *delays) address(l *letters, m store.Message) (store.Message, []Queue) {
	props := amqp.Properties(m.Props)
	headers := props.Headers()
	r := &l.router
	r.v, r.props = d.x.v, props
	r.keys = append(r.keys[:0], m.RoutingKey)
	for _, name := range []string{"CC", "BCC"} {
		if list, ok := headers.Array(name); ok {
			r.keys = appendKeys(r.keys, list)
		}
	}
	if delay, ok := delayOf(headers); ok {
		was := amqp.Int64(-delay)
		if delay <= math.MaxInt32 {
			was = amqp.Int32(int32(-delay))
		}
		headers = headers.With(delayHeader, was).Without("BCC")
		if p, err := props.Edit().SetHeaders(headers).Properties(); err == nil && len(p) <= store.MaxProps {
			props = p
			r.props = props
		}
	}
	r.walk(d.x)
	m.Props, m.Expires = props, 0
	if e, ok := props.Get(amqp.PropExpiration); ok {
		if ms, why := parseExpiration(e); why == "" {
			m.Expires = store.AtOnce
			if ms > 0 {
				m.Expires = store.Millis(time.Now()) + ms
			}
		}
	}
	for _, q := range r.queues {
		m.Persistent = m.Persistent || q.def().settings().quorum // which keeps all
	}
	return m, r.queues
}

// due is when a message is that is to wait for so many ms from now on.
func due(now, delay int64) int64 { return now + min(delay, math.MaxInt64-now) }

// moveLarges is move for messages whose bodies are files. These are copied, since a
// file has one head, beside what has none and goes on time.
func (d *delays) moveLarges(items []store.Item) {
	b := d.x.v.b
	r := b.runner()
	defer r.done()
	l := r.deadLetters()
	told := false
	for i := range items {
		it := &items[i]
		for pause := readPause; !b.closing.Load() && !d.sq.Deleted(); pause = min(2*pause, readPauseMax) {
			m, queues := d.address(l, it.Message)
			if len(queues)+len(l.router.delays) > 0 {
				body, err := copyLarge(b, it.Large, m)
				if store.Damaged(err) {
					d.sq.SetAside(it.Seq, err)
					break
				}
				if err != nil {
					if !told {
						told = true
						b.log.Warn("a large message that is due cannot be copied and waits", "vhost", d.x.v.name, "exchange", d.x.name, "err", err)
					}
					b.pause(pause)
					continue
				}
				l.send(r, l.batch, m, body, queues)
				body.Release() // the batch holds it now
			}
			l.batch.Ack(d.sq, it.Seq)
			l.apply(b)
			r.follow()
			r.flush()
			break
		}
		it.Large.Release()
	}
}

// delayOf reads the header x-delay, in ms: integers of any width, floats, and decimal
// strings. ok is false where there is none that makes sense.
func delayOf(headers amqp.Table) (ms int64, ok bool) {
	v, ok := headers.Get(delayHeader)
	if !ok {
		return 0, false
	}
	if ms, ok = v.Int(); ok {
		return ms, true
	}
	if f, ok := v.Float(); ok {
		return int64(min(max(f, math.MinInt64/2), math.MaxInt64/2)), f == f
	}
	if v.Type == amqp.TypeLongString {
		s, _ := v.Bytes()
		ms, err := strconv.ParseInt(string(s), 10, 64)
		return ms, err == nil
	}
	return 0, false
}

// delaying tells whether an exchange keeps the message at hand for a while.
func (r *router) delaying(x *exchange) bool {
	if x.delays == nil {
		return false
	}
	r.once = true
	if !r.timed {
		r.timed = true
		r.delay, _ = delayOf(r.props.Headers())
	}
	return r.delay > 0
}

// publishDelayed is the end of Publish where some exchange keeps the message for a
// while: to the queues that get it at once it is another one.
func (b *Batch) publishDelayed(r *route, m store.Message, large *Large) (index int) {
	publish := func(m store.Message, to []*store.Queue) int {
		if large != nil {
			return b.cur.PublishLarge(large, m, to)
		}
		return b.cur.Publish(m, to)
	}
	waiting := m
	waiting.Expires = due(b.in(0), r.delay)
	if b.kept != nil {
		waiting.Props = b.kept
	}
	b.lanes = b.lanes[:0]
	for _, d := range r.delays {
		b.lanes = append(b.lanes, d.sq)
	}
	index = publish(waiting, b.lanes)
	b.delayed = append(b.delayed, r.delays...)
	if len(r.queues) > 0 {
		priority, _ := amqp.Properties(m.Props).Priority()
		index = publish(m, b.locals(r, priority))
	}
	return index
}

// create makes the queue of what is to wait, with the exchange's record.
func (x *exchange) create(t *change) error {
	if x.kind == typeDelayed {
		x.delays = newDelays(x, t.batch.CreateQueue(x.durable, store.QueueOptions{}))
	}
	if x.durable {
		t.batch.Put(x.key(), x.record())
	}
	return t.apply()
}

// loadDelays takes the queue of what waits, as the store has recovered it.
func (x *exchange) loadDelays(record amqp.Table, known map[uint32]bool) bool {
	if x.kind != typeDelayed {
		return true
	}
	id, _, _ := catalog.DelaysID(record)
	sq := x.v.b.store.Queue(id)
	if sq == nil {
		return false
	}
	known[id] = true
	x.delays = newDelays(x, sq)
	x.delays.arm()
	return true
}
