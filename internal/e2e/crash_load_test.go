package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/ledger"
)

// The clients of TestKillNine. Each runs until its context ends or the broker is gone,
// and enters into the ledger what it does before it does it, and what it sees after.

type client func(ctx context.Context, rng *rand.Rand) error

// cast is who works in one round.
func (c *crash) cast() []client {
	all := []client{c.churn, c.recycle}
	for _, p := range c.producers {
		if c.rng.IntN(5) > 0 { // not everybody every time
			all = append(all, func(ctx context.Context, rng *rand.Rand) error { return p.run(ctx, c, rng) })
		}
	}
	all = append(all, c.consumer(oneA, false), c.consumer(oneB, false), c.consumer(sharedQ, true), c.consumer(sharedQ, true))
	if c.rng.IntN(4) == 0 {
		all = append(all, c.consumer(backlog, false))
	}
	return all
}

// producer is one channel that publishes numbered messages: to a queue, to an exchange
// that copies them, or in transactions over several queues.
type producer struct {
	id        int
	queue     string
	exchange  string
	tx        []string
	transient int // one in so many is transient; 0: none
	n         int // numbers go on over the broker's lives
}

func (p *producer) run(ctx context.Context, c *crash, rng *rand.Rand) error {
	conn, err := amqp.Dial(c.url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if p.tx != nil {
		return p.transactions(ctx, c, rng, ch)
	}
	return p.confirms(ctx, c, rng, ch)
}

func (p *producer) next(rng *rand.Rand) (ledger.Message, amqp.Publishing) {
	p.n++
	m := ledger.Message{Producer: p.id, N: p.n, Persistent: p.transient == 0 || rng.IntN(p.transient) > 0}
	mode := amqp.Persistent
	if !m.Persistent {
		mode = amqp.Transient
	}
	return m, amqp.Publishing{
		DeliveryMode: mode,
		MessageId:    messageID(p.id, p.n),
		Headers:      amqp.Table{"n": int64(p.n), "from": "the crash test"},
		Body:         ledger.Body(p.id, p.n),
	}
}

// confirms publishes in bursts with a bounded number of confirms outstanding.
func (p *producer) confirms(ctx context.Context, c *crash, rng *rand.Rand, ch *amqp.Channel) error {
	window := []int{1, 10, 300}[rng.IntN(3)]
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	if err := ch.Confirm(false); err != nil {
		return err
	}
	room := make(chan struct{}, window)
	var mu sync.Mutex
	var batches []*ledger.Batch // by delivery tag, from 1
	var listener sync.WaitGroup
	listener.Go(func() {
		for confirm := range confirms {
			mu.Lock()
			batch := batches[confirm.DeliveryTag-1]
			mu.Unlock()
			if confirm.Ack {
				batch.Confirmed()
			} else {
				batch.Nacked()
				if !c.ending.Load() {
					c.t.Errorf("producer %d: publish %d was nacked", p.id, confirm.DeliveryTag)
				}
			}
			<-room
		}
	})
	defer listener.Wait() // after the connection's end, below
	defer ch.Close()

	exchange, key, queues := "", "", []string{p.queue}
	if p.exchange != "" {
		exchange, queues = c.name(p.exchange), copied
	} else {
		key = c.name(p.queue)
	}
	for {
		for range 1 + rng.IntN(40) {
			select {
			case <-ctx.Done():
				return nil
			case room <- struct{}{}:
			}
			m, publishing := p.next(rng)
			mu.Lock()
			batches = append(batches, c.l.Sent(m, queues...))
			mu.Unlock()
			if err := ch.PublishWithContext(ctx, exchange, key, false, false, publishing); err != nil {
				return err
			}
		}
		if !pause(ctx, rng, 6*time.Millisecond) {
			return nil
		}
	}
}

// transactions publishes over several queues and commits, or rolls back.
func (p *producer) transactions(ctx context.Context, c *crash, rng *rand.Rand, ch *amqp.Channel) error {
	if err := ch.Tx(); err != nil {
		return err
	}
	for pause(ctx, rng, 4*time.Millisecond) {
		batch := c.l.Begin()
		for range 1 + rng.IntN(12) {
			m, publishing := p.next(rng)
			queue := p.tx[rng.IntN(len(p.tx))]
			batch.Sent(m, queue)
			if err := ch.PublishWithContext(ctx, "", c.name(queue), false, false, publishing); err != nil {
				return err
			}
		}
		if rng.IntN(5) == 0 {
			if err := ch.TxRollback(); err != nil {
				return err
			}
			continue
		}
		batch.Committing()
		if err := ch.TxCommit(); err != nil {
			return err
		}
		batch.Confirmed()
	}
	return nil
}

// pause waits up to the given time; false once the context has ended.
func pause(ctx context.Context, rng *rand.Rand, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Duration(rng.Int64N(int64(most)))):
		return true
	}
}

// consumer consumes a queue in one session after another, with ever other habits. One
// that shares its queue also gives messages back and loses its connection.
func (c *crash) consumer(queue string, shared bool) client {
	return func(ctx context.Context, rng *rand.Rand) error {
		for ctx.Err() == nil {
			if err := c.session(ctx, rng, queue, shared); err != nil {
				return err
			}
		}
		return nil
	}
}

// hands is a consumer at work: what it holds, oldest first.
type hands struct {
	s    *ledger.Session
	rng  *rand.Rand
	held []amqp.Delivery
	name map[uint64]numbers // by delivery tag
}

func (c *crash) session(ctx context.Context, rng *rand.Rand, queue string, shared bool) error {
	var socket net.Conn
	conn, err := amqp.DialConfig(c.url, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		var err error
		socket, err = amqp.DefaultDial(patience)(network, addr)
		return socket, err
	}})
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	if err := ch.Confirm(false); err != nil {
		return err
	}
	prefetch := []int{1, 10, 200, 0}[rng.IntN(4)]
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	h := &hands{s: c.l.Open(queue), rng: rng, name: map[uint64]numbers{}}
	ds, err := ch.Consume(c.name(queue), "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	habit := []func(*hands, amqp.Delivery) error{(*hands).ackEach, (*hands).ackMany, (*hands).ackAnyOrder}[rng.IntN(3)]
	if prefetch == 1 {
		habit = (*hands).ackEach // it gets no second one before
	}
	enough := time.After(time.Duration(20+rng.IntN(200)) * time.Millisecond)
	asking := -1 // the ledger's mark that a barrier is on its way for
	since := 0   // acks since the last
	for {
		select {
		case <-ctx.Done():
			return nil // the broker was killed, so this session's end is the ledger's affair
		case confirm, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			if confirm.Ack {
				h.s.Settled(asking)
			}
			asking = -1
		case d, ok := <-ds:
			if !ok {
				if ctx.Err() == nil && !c.ending.Load() {
					return fmt.Errorf("%s: the consumer was closed", queue)
				}
				return nil
			}
			n, ok := entered(h.s, d)
			if !ok {
				continue
			}
			h.name[d.DeliveryTag] = n
			if shared && rng.IntN(12) == 0 {
				h.s.Returned(n.producer, n.n)
				err = d.Nack(false, true)
			} else {
				h.held = append(h.held, d)
				err = habit(h, d)
			}
			if err != nil {
				return err
			}
			if since++; since > 30 && asking < 0 {
				since, asking = 0, h.s.Mark()
				if err := ch.PublishWithContext(ctx, "", c.name(barrier), false, false, text("barrier")); err != nil {
					return err
				}
			}
		case <-enough:
			if shared && rng.IntN(3) == 0 {
				h.s.Cut()
				_ = socket.(*net.TCPConn).SetLinger(0)
				return socket.Close()
			}
			h.s.Closing()
			if err := ch.Close(); err != nil {
				return err
			}
			if !c.ending.Load() {
				h.s.Closed()
			}
			return nil
		}
	}
}

// release enters the ack of a held delivery that is about to be sent.
func (h *hands) release(i int) amqp.Delivery {
	d := h.held[i]
	h.held = slices.Delete(h.held, i, i+1)
	n := h.name[d.DeliveryTag]
	delete(h.name, d.DeliveryTag)
	h.s.AckSent(n.producer, n.n)
	return d
}

func (h *hands) ackEach(amqp.Delivery) error {
	return h.release(len(h.held) - 1).Ack(false)
}

// ackMany acks all it holds with one multiple now and then.
func (h *hands) ackMany(d amqp.Delivery) error {
	if len(h.held) < 8 && h.rng.IntN(6) > 0 {
		return nil
	}
	for len(h.held) > 0 {
		h.release(0)
	}
	return d.Ack(true)
}

// ackAnyOrder acks at random from what it holds and forgets a few for good, so that the
// queue's acks have holes.
func (h *hands) ackAnyOrder(amqp.Delivery) error {
	for len(h.held) > 4 {
		i := h.rng.IntN(len(h.held))
		if h.rng.IntN(60) == 0 {
			h.held = slices.Delete(h.held, i, i+1) // held by the ledger until the end
			continue
		}
		if err := h.release(i).Ack(false); err != nil {
			return err
		}
	}
	return nil
}

// churn makes durable queues and bindings, deletes some of them, and leaves a transient
// queue behind.
func (c *crash) churn(ctx context.Context, rng *rand.Rand) error {
	conn, err := amqp.Dial(c.url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	lost := c.name(fmt.Sprintf("transient-%d", c.nextTopology))
	c.transients = append(c.transients, lost)
	c.top.Asking(queueThing(lost))
	if _, err := ch.QueueDeclare(lost, false, false, false, false, nil); err != nil {
		return err
	}
	var mine []string
	for range 8 {
		if !pause(ctx, rng, 40*time.Millisecond) {
			return nil
		}
		c.nextTopology++
		name := c.name(fmt.Sprintf("thing-%d", c.nextTopology))
		c.top.Asking(queueThing(name))
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			return err
		}
		c.top.Made(queueThing(name))
		c.top.Asking(bindingThing(name))
		if err := ch.QueueBind(name, name, c.name(topology), false, nil); err != nil {
			return err
		}
		c.top.Made(bindingThing(name))
		if mine = append(mine, name); rng.IntN(2) == 0 {
			i := rng.IntN(len(mine))
			gone := mine[i]
			mine = slices.Delete(mine, i, i+1)
			c.top.Asking(queueThing(gone))
			c.top.Asking(bindingThing(gone))
			if _, err := ch.QueueDelete(gone, false, false, false); err != nil {
				return err
			}
			c.top.Deleted(queueThing(gone))
			c.top.Deleted(bindingThing(gone))
		}
	}
	return nil
}

// recycle fills one queue, takes some of it, purges or deletes the rest, and begins again
// under the same name.
func (c *crash) recycle(ctx context.Context, rng *rand.Rand) error {
	conn, err := amqp.Dial(c.url)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	name := c.name(recycled)
	for pause(ctx, rng, 10*time.Millisecond) {
		c.top.Asking(queueThing(name))
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			return err
		}
		c.top.Made(queueThing(name))
		if err := c.recycler.fill(ctx, c, rng, ch); err != nil {
			return err
		}
		if err := c.getSome(rng, ch, name); err != nil {
			return err
		}
		switch rng.IntN(3) {
		case 0:
			c.l.Discarding(recycled)
			if _, err := ch.QueuePurge(name, false); err != nil {
				return err
			}
			c.l.Discarded(recycled, false)
		case 1:
			c.top.Asking(queueThing(name))
			c.l.Discarding(recycled)
			if _, err := ch.QueueDelete(name, false, false, false); err != nil {
				return err
			}
			c.l.Discarded(recycled, true)
			c.top.Deleted(queueThing(name))
		}
	}
	return nil
}

// fill publishes a few messages and waits for all their confirms.
func (p *producer) fill(ctx context.Context, c *crash, rng *rand.Rand, ch *amqp.Channel) error {
	type sent struct {
		batch   *ledger.Batch
		confirm *amqp.DeferredConfirmation
	}
	var all []sent
	for range 1 + rng.IntN(20) {
		m, publishing := p.next(rng)
		batch := c.l.Sent(m, p.queue)
		confirm, err := ch.PublishWithDeferredConfirm("", c.name(p.queue), false, false, publishing)
		if err != nil {
			return err
		}
		all = append(all, sent{batch, confirm})
	}
	for _, s := range all {
		if ack, err := s.confirm.WaitContext(ctx); err != nil || !ack {
			return fmt.Errorf("%s: a publish was not confirmed: %w", p.queue, err)
		}
		s.batch.Confirmed()
	}
	return nil
}

// getSome takes a few messages by basic.get and acks them.
func (c *crash) getSome(rng *rand.Rand, ch *amqp.Channel, name string) error {
	s := c.l.Open(recycled)
	for range rng.IntN(6) {
		d, ok, err := ch.Get(name, false)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if n, ok := entered(s, d); ok {
			s.AckSent(n.producer, n.n)
		}
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	s.Closing()
	if _, err := ch.QueueDeclarePassive(name, true, false, false, false, nil); err != nil {
		return err
	}
	s.Closed() // the reply came after the acks were taken
	return nil
}
