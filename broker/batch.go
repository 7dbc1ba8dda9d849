package broker

import (
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Publishing is a message to publish. Its slices are borrowed until Flush has
// returned or Reset was called.
type Publishing struct {
	Exchange, RoutingKey []byte
	// Props are those of the content header, well-formed. Publish replaces them
	// by what is stored, without BCC and with the reply-to that consumers see:
	// that is what a mandatory message returns with.
	Props []byte
	Body  []byte
	// Upload, where it is set, is the body instead: whole, and not finished yet.
	// Publish finishes it where some queue gets the message, which waits for the
	// disk; else it stays the caller's.
	Upload *Upload
	// Confirm: somebody waits for the message to be on disk, so that the flush
	// causes a commit.
	Confirm bool
	// Mandatory: where it reaches no queue the front end sends it back. It is counted
	// as returned then, and else as dropped.
	Mandatory bool
	// Again: the message is as the one of the last Publish, but for the bytes of its
	// body. A front end that can tell spares the batch to look.
	Again bool
	// Reply is the channel's consumer of ReplyQueue, where it has one.
	Reply *Consumer
}

// Batch gathers what one read from a connection brought, and Flush makes it
// happen at once. It is used by one goroutine at a time, again and again.
type Batch struct {
	s      *Session
	cur    *store.Batch // what is being gathered
	parts  []part       // what was gathered before cur; see limits.go
	spare  []*store.Batch
	atomic bool

	confirm bool
	flushed bool    // cur and parts hold a flush's results
	index   []int32 // of each publish: its index in its store batch, negative where it went nowhere
	ops     int     // other than publishes
	settled int     // deliveries settled in cur

	epoch   uint64 // counts flushes, from 1
	touched []Queue
	limited []pending     // queues with bounds that were published to
	giving  []*localQueue // queues that get messages back; see settleStep
	stepped bool          // some part ends because of settleStep
	refused []refusal     // deliveries to be buried; see refuse.go
	seqs    []uint64      // scratch

	counting counting

	cache  routeCache
	writes writes // exchanges that the user may publish to
	router router
	single route // for what can not be cached
	// expires is that of the message at hand; now is when times were counted from, 0:
	// no message expires since the last Reset.
	expires, now int64

	direct  direct
	again   again
	kept    amqp.Properties // of the message at hand, with BCC; nil: it has none
	delayed []*delays       // that were published to
	lanes   []*store.Queue  // see locals
	arena   []byte          // property lists that had to be rewritten
}

// part is a store batch that is applied before what follows it, and the number
// of the first publish behind it.
type part struct {
	batch *store.Batch
	end   int
}

// NewBatch makes an empty batch.
func (s *Session) NewBatch() *Batch {
	b := &Batch{s: s, cur: s.b.store.NewBatch(), epoch: 1}
	b.router.v = s.v
	return b
}

// Atomic makes all that is gathered until the next Flush or Reset one unit, a
// transaction: it happens whole or not at all, also where the log fails, and
// Flush's LSN covers acks and requeues too.
func (b *Batch) Atomic() {
	b.begin()
	b.storeDirect(0)
	b.atomic = true
	b.cur.Atomic()
}

// begin drops the results of the flush before.
func (b *Batch) begin() {
	if b.flushed {
		b.Reset()
	}
}

// Publish routes a message. It is in its queues after Flush, or with a consumer before
// that. routed is false where no queue gets it (a destination of direct reply-to is
// none). An error is an *amqp.Error, and means that the message has no effect and no
// index.
func (b *Batch) Publish(p *Publishing) (routed bool, err error) {
	b.begin()
	if p.Again && b.repeat(p) {
		return b.again.route.routed, nil
	}
	b.again.route = nil
	b.expires, b.kept = 0, nil
	props := amqp.Properties(p.Props)
	var r *route
	usual := false
	if props.Has(amqp.PropHeaders) || props.Has(amqp.PropReplyTo) || props.Has(amqp.PropExpiration) || props.Has(amqp.PropUserID) {
		r, props, err = b.routeWithProps(p, props)
	} else {
		b.router.props = props
		r, err = b.route(p.Exchange, p.RoutingKey)
		usual = r != &b.single && p.Upload == nil
	}
	if err != nil {
		return false, err
	}
	mode := props.DeliveryMode()
	if mode > 2 || mode == 0 && props.Has(amqp.PropDeliveryMode) {
		return false, amqp.PreconditionFailed("invalid message: {delivery_mode_unknown,%d}", mode)
	}
	p.Props = props
	if len(r.queues)+len(r.delays) == 0 {
		b.storeDirect(0) // whose index is by the publishes' numbers
		b.index = append(b.index, -1)
		b.counting.publish(r, p)
		return false, nil
	}
	if r.limited {
		b.mindLimits(r, p.size())
	}
	// What has an upload was begun as what its publisher says.
	persistent := mode == 2 || r.quorum && p.Upload == nil
	usual = usual && len(r.delays) == 0 && !r.limited && !r.prioritized
	if usual {
		b.again.route, b.again.persistent = r, persistent
		if b.goesDirect(r, p, persistent) {
			b.counting.publish(r, p)
			b.confirm = b.confirm || p.Confirm
			return r.routed, nil
		}
	}
	if b.direct.queue != nil {
		b.storeDirect(0)
	}
	locals := r.locals
	if r.prioritized {
		priority, _ := props.Priority()
		locals = b.locals(r, priority)
	}
	if p.Upload == nil && len(r.delays) == 0 {
		m, index := b.cur.Add(locals)
		b.fill(m, p, persistent)
		b.index = append(b.index, int32(index))
	} else {
		var m store.Message
		b.fill(&m, p, persistent)
		if err := b.publishOtherwise(p, r, m, locals); err != nil {
			return false, err
		}
	}
	b.note(r)
	b.counting.publish(r, p)
	b.confirm = b.confirm || p.Confirm
	return r.routed, nil
}

// fill makes a publishing with properties that are to be stored a message.
func (b *Batch) fill(m *store.Message, p *Publishing, persistent bool) {
	m.Exchange, m.RoutingKey, m.Props, m.Body = p.Exchange, p.RoutingKey, p.Props, p.Body
	m.Persistent, m.Expires = persistent, b.expires
}

// publishOtherwise is the end of Publish for messages with an upload, and for those that
// an exchange delays.
func (b *Batch) publishOtherwise(p *Publishing, r *route, m store.Message, locals []*store.Queue) error {
	if p.Upload != nil {
		return b.publishLarge(p, r, m, locals)
	}
	b.index = append(b.index, int32(b.publishDelayed(r, m, nil)))
	return nil
}

// again is what a batch knows of its last publish.
type again struct {
	route      *route // nil: the next one is to be looked at
	persistent bool
}

// repeat is Publish of a message that is as the last one, but for its body. It
// reports false where that is to be looked at all the same.
func (b *Batch) repeat(p *Publishing) bool {
	r := b.again.route
	if r == nil || r.generation != b.s.v.generation.Load() {
		return false
	}
	if b.direct.queue != nil {
		b.keepDirect(p)
	} else {
		m, index := b.cur.Add(r.locals)
		b.fill(m, p, b.again.persistent)
		b.index = append(b.index, int32(index))
		b.note(r)
	}
	b.counting.publish(r, p)
	b.confirm = b.confirm || p.Confirm
	return true
}

// route finds the queues of a message with one routing key.
func (b *Batch) route(exchange, key []byte) (*route, error) {
	// Before the topology is looked at: see vhost.generation.
	generation := b.s.v.generation.Load()
	r, ok := b.cache.lookup(exchange, key, generation)
	if ok {
		return r, nil
	}
	x, err := b.publishable(exchange)
	if err == nil {
		err = b.mayPublish(x, key)
	}
	if err != nil {
		return nil, err
	}
	b.router.keys = append(b.router.keys[:0], key)
	b.router.walk(x)
	if b.router.once {
		r = &b.single
	}
	b.counting.free(r, b.atomic)
	r.fill(key, generation, &b.router)
	return r, nil
}

// publishable returns an exchange that clients may publish to.
func (b *Batch) publishable(name []byte) (*exchange, error) {
	v := b.s.v
	g := b.s.grant.Load()
	v.mu.RLock()
	x := v.exchanges[string(name)]
	v.mu.RUnlock()
	if b.writes.has(g, x) {
		return x, nil
	}
	switch {
	case !g.may(access.Write, string(name)):
		return nil, errAccess(resourceExchange, string(name), v.name, b.s.user.Name)
	case x == nil:
		return nil, errNoExchange(string(name), v.name)
	case x.internal:
		return nil, amqp.AccessRefused("cannot publish to internal exchange '%s' in vhost '%s'", name, v.name)
	}
	b.writes.add(g, x)
	return x, nil
}

// routeWithProps is route for a message with properties that mean something to
// the broker. It returns the properties to store.
func (b *Batch) routeWithProps(p *Publishing, props amqp.Properties) (*route, amqp.Properties, error) {
	x, err := b.publishable(p.Exchange)
	if err != nil {
		return nil, nil, err
	}
	if to := props.ReplyTo(); string(to) == ReplyQueue {
		if p.Reply == nil {
			return nil, nil, amqp.PreconditionFailed("fast reply consumer does not exist")
		}
		if props, err = b.rewrite(props.Edit().SetString(amqp.PropReplyTo, p.Reply.queue.Name())); err != nil {
			return nil, nil, err
		}
	}
	if id, ok := props.Get(amqp.PropUserID); ok && string(id) != b.s.user.Name && !b.s.impersonator() {
		return nil, nil, amqp.PreconditionFailed("user_id property set to '%s' but authenticated user was '%s'", id, b.s.user.Name)
	}
	if e, ok := props.Get(amqp.PropExpiration); ok {
		ms, why := parseExpiration(e)
		if why != "" {
			return nil, nil, amqp.PreconditionFailed("invalid expiration '%s': %s", e, why)
		}
		b.expires = b.expiresIn(ms)
	}
	headers := props.Headers()
	b.router.props = props
	cc, hasCC := headers.Get("CC")
	bcc, hasBCC := headers.Get("BCC")
	if !hasCC && !hasBCC {
		r, err := b.route(p.Exchange, p.RoutingKey)
		return r, props, err
	}
	keys := append(b.router.keys[:0], p.RoutingKey)
	for _, h := range []struct {
		name  string
		has   bool
		value amqp.Value
	}{{"CC", hasCC, cc}, {"BCC", hasBCC, bcc}} {
		if !h.has {
			continue
		}
		list, ok := h.value.Array()
		if !ok {
			return nil, nil, amqp.PreconditionFailed("invalid message: {unacceptable_type_in_header,%q,%s}", h.name, h.value.Type)
		}
		keys = appendKeys(keys, list)
	}
	for _, key := range keys {
		if err := b.mayPublish(x, key); err != nil {
			return nil, nil, err
		}
	}
	b.router.keys = keys
	if hasBCC {
		b.kept = props // where it waits it keeps its keys
		if props, err = b.rewrite(props.Edit().SetHeaders(headers.Without("BCC"))); err != nil {
			return nil, nil, err
		}
	}
	generation := b.s.v.generation.Load()
	b.router.walk(x)
	b.counting.free(&b.single, b.atomic)
	b.single.fill(p.RoutingKey, generation, &b.router)
	return &b.single, props, nil
}

// rewrite makes new properties that live until the next Reset.
func (b *Batch) rewrite(e *amqp.PropertiesEditor) (amqp.Properties, error) {
	from := len(b.arena)
	arena, err := e.Append(b.arena)
	if err != nil {
		return nil, amqp.AsError(err)
	}
	b.arena = arena
	return amqp.Properties(arena[from:len(arena):len(arena)]), nil
}

// Ack removes a delivered message. As with Requeue and Discard, one that is
// gone, or whose queue is, is passed over.
func (b *Batch) Ack(q Queue, seq uint64) {
	b.settle(q, seq, acked)
	b.counting.ack(q)
}

// Requeue gives a delivered message back: to its place, redelivered.
func (b *Batch) Requeue(q Queue, seq uint64) { b.settle(q, seq, requeued) }

// Discard refuses a delivered message for good.
func (b *Batch) Discard(q Queue, seq uint64) { b.settle(q, seq, discarded) }

// settleStep is how many deliveries are settled in one part of a batch. The
// store holds every appender up while it applies a part, and a client may settle
// a million messages with one frame.
const settleStep = 8192

func (b *Batch) settle(q Queue, seq uint64, what settlement) {
	b.begin()
	b.ops++
	if b.settled++; b.settled > settleStep && !b.atomic {
		b.cut()
		b.settled = 1
		b.stepped = true
	}
	q.settle(b, seq, what)
}

// Touch says that c may take messages again: it has new credit, or room.
// Delivery runs at Flush.
func (b *Batch) Touch(c *Consumer) {
	b.begin()
	b.ops++
	c.queue.touch(c)
	b.addTouched(c.queue)
}

// note notes a route's queues for delivery at Flush.
func (b *Batch) note(r *route) {
	if r.epoch != b.epoch {
		r.epoch = b.epoch
		for _, q := range r.queues {
			b.addTouched(q)
		}
	}
}

// addTouched notes a queue for delivery at Flush. One that stands there twice
// costs a look.
func (b *Batch) addTouched(q Queue) {
	for i := len(b.touched) - 1; i >= 0 && i >= len(b.touched)-4; i-- {
		if b.touched[i] == q {
			return
		}
	}
	b.touched = append(b.touched, q)
}

// Len counts what was gathered since the last Flush or Reset.
func (b *Batch) Len() int {
	if b.flushed {
		return 0
	}
	return len(b.index) + b.ops
}

// A Leader is told while Flush commits the log in its caller's goroutine, which will
// see by itself what has become durable. Before that others may, and Flush may wait.
type Leader interface {
	wal.Waiter
	Leading(on bool)
}

// Copies is how many queues the publishes gathered since go to, all together.
func (b *Batch) Copies() int {
	if b.flushed {
		return 0
	}
	n := b.cur.Copies()
	for _, p := range b.parts {
		n += p.batch.Copies()
	}
	return n
}

// Flush makes what was gathered happen, in order, runs delivery of the queues
// concerned and flushes each Sink that took something. With lead it commits in
// this goroutine where the log is idle.
//
// It returns the LSN that must be durable before the publishes may be
// confirmed; 0 where nothing must be, and then w is not kept. w, if not nil,
// is called when that LSN is durable or the log failed, under wal.Waiter's
// rules; it may be called more than once, and see Leader. An error is the log's: publishes that
// it concerns are Rejected, the rest has happened in memory unless the batch
// was Atomic. ErrRefused says that an Atomic batch had no effect because a queue
// at its bounds refuses one of its publishes.
func (b *Batch) Flush(w wal.Waiter, lead bool) (wal.LSN, error) {
	b.begin()
	b.flushed = true
	if b.atomic && b.now != 0 {
		b.cur.Postpone(store.Millis(time.Now()) - b.now) // their time begins with the commit
	}
	if len(b.index)+b.ops == 0 {
		return 0, nil
	}
	br := b.s.b
	published := len(b.index)
	bytes := b.counting.sizes.Bytes
	if !b.atomic {
		b.counting.settle(b.s.v, published, true)
	}
	waited := b.confirm || b.atomic
	mode := wal.Lazy
	if waited && !lead {
		mode = wal.Group
	}
	r := b.flushDirect()
	if r == nil && len(b.touched)+len(b.refused) > 0 {
		r = br.runner()
	}
	if r != nil {
		r.budget += 2 * len(b.index)
	}
	if b.stepped {
		for _, q := range b.giving {
			q.hold(1)
		}
	}
	var lsn wal.LSN
	var failure error
	apply := func(batch *store.Batch) {
		if batch.Len() == 0 {
			return
		}
		at, err := br.store.Apply(batch, mode, w)
		lsn = max(lsn, at)
		if err != nil && failure == nil {
			failure = err
		}
		if batch.Rejections() > 0 {
			b.buryRefusals(r, batch)
		}
	}
	for _, p := range b.parts {
		apply(p.batch)
		for i := range b.limited {
			b.limited[i].queue.settleLength(r)
		}
	}
	if b.atomic && len(b.refused) > 0 {
		b.buryInside(r)
		apply(b.cur)
		r.letters.apply(br) // which has kept what is in cur
	} else {
		apply(b.cur)
	}
	if b.atomic && failure == nil && b.cur.Rejections() > 0 {
		failure = ErrRefused // and the store has done nothing
	}
	if b.atomic {
		b.counting.settle(b.s.v, published, failure == nil)
	}
	if b.stepped {
		for _, q := range b.giving {
			q.hold(-1)
		}
	}
	for i := range b.limited {
		if q := b.limited[i].queue; q.tooLong() {
			q.settleLength(r)
		}
	}
	if len(b.refused) > 0 && (failure == nil || !b.atomic) {
		b.buryRefused(r)
	}
	b.arm()
	b.deliver(r)
	if waited && lead && lsn != 0 {
		if l, ok := w.(Leader); ok {
			l.Leading(true)
			br.store.Lead()
			l.Leading(false)
		} else {
			br.store.Lead()
		}
	}
	b.pace(published, bytes)
	return lsn, failure
}

// arm sets the alarms of what messages wait for.
func (b *Batch) arm() {
	for _, d := range b.delayed {
		d.arm()
	}
	clear(b.delayed)
	b.delayed = b.delayed[:0]
}

// deliver runs delivery of the touched queues. r is nil where there is none.
func (b *Batch) deliver(r *runner) {
	for _, q := range b.touched {
		q.deliver(r)
	}
	clear(b.touched)
	b.touched = b.touched[:0]
	if r != nil {
		r.done()
	}
}

// Rejections is how many publishes of the last Flush were refused: by a queue
// with x-overflow reject-publish that was full (other queues have the message),
// or because the log has failed. Like Rejected it holds until the next thing is
// gathered.
func (b *Batch) Rejections() int {
	n := b.cur.Rejections()
	for _, p := range b.parts {
		n += p.batch.Rejections()
	}
	return n
}

// Rejected tells whether the i-th publish of the last Flush was refused. Calls
// of Publish that returned no error count, from 0.
func (b *Batch) Rejected(i int) bool {
	at := b.index[i]
	if at < 0 {
		return false
	}
	for _, p := range b.parts {
		if i < p.end {
			return p.batch.Rejected(int(at))
		}
	}
	return b.cur.Rejected(int(at))
}

// Reset drops what was gathered: a rollback.
func (b *Batch) Reset() {
	for _, p := range b.parts {
		if p.batch.Reset(); len(b.spare) < maxSpare {
			b.spare = append(b.spare, p.batch)
		}
	}
	clear(b.parts)
	b.parts = b.parts[:0]
	b.cur.Reset()
	b.dropDirect()
	b.again.route = nil
	clear(b.touched) // where it was not flushed
	b.touched = b.touched[:0]
	clear(b.limited)
	b.limited = b.limited[:0]
	clear(b.giving)
	b.giving, b.stepped = b.giving[:0], false
	clear(b.refused)
	b.refused = b.refused[:0]
	b.index, b.ops, b.settled = b.index[:0], 0, 0
	b.now = 0
	b.counting.drop()
	clear(b.delayed)
	b.delayed = b.delayed[:0]
	b.atomic, b.confirm, b.flushed = false, false, false
	if cap(b.arena) > maxArena {
		b.arena = nil
	}
	b.arena = b.arena[:0]
	b.epoch++
}

const (
	// maxArena bounds in bytes what a batch keeps of a large arena.
	maxArena = 64 << 10
	// maxSpare bounds the store batches that a batch keeps for its parts.
	maxSpare = 4
)
