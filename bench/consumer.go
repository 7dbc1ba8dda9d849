package bench

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// receiver is a connection whose channels consume.
type receiver struct {
	c        *client
	channels []*consumer
	ready    chan struct{} // closed when the broker has all consumers
	waiting  int           // for consume-ok; the reading goroutine's
}

// consumer takes deliveries of a channel, checks that they come in order, and acks.
type consumer struct {
	r      *receiver
	c      *client
	cfg    *Config
	run    *run
	ch     uint16
	queues []string
	lone   bool // nobody else consumes what it does, from one queue

	// The reading goroutine's, until it has ended.
	tag       uint64 // of the newest delivery
	done      uint64 // of the newest that is whole and counted
	acked     uint64
	owed      uint64 // bytes of body to come
	first     bool   // the next body frame is a body's first
	delivered int    // in this read
	total     int
	now       int64 // of this read, 0 before it is needed
	out       []byte
	next      []uint64 // the number to come of each publisher, plus one; 0: unknown
	latencies *shard
	sentAt    int64  // deliveries with one stamp that are not yet recorded,
	together  int64  // and how many they are
	again     uint64 // redelivered
	disorder  uint64 // not the one to come
	limit     limit
	timer     *time.Timer
	tags      []string // of its consumers
	full      bool     // it has had all that it may

	mu    sync.Mutex
	seen  uint64 // under mu: the newest delivery that has been handled
	sent  uint64 // under mu: the newest that an ack has been written for
	ended bool   // under mu: no more acks
}

// newReceiver makes a connection with its consumers, the first of which is the
// first-th of all.
func newReceiver(r *run, first int, queues []string) (*receiver, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	if err := c.channels(r.cfg.ConsumerChannels); err != nil {
		return nil, err
	}
	if queues == nil {
		// A queue of the connection's own.
		name, err := r.plan.declareOwn(r.cfg, c)
		if err != nil {
			return nil, err
		}
		queues = []string{name}
	}
	k := &receiver{c: c, ready: make(chan struct{}), waiting: r.cfg.ConsumerChannels * len(queues)}
	for i := range r.cfg.ConsumerChannels {
		ch, err := newConsumer(r, k, first+i, uint16(channel+i), queues)
		if err != nil {
			return nil, err
		}
		k.channels = append(k.channels, ch)
	}
	return k, nil
}

func newConsumer(r *run, of *receiver, n int, ch uint16, queues []string) (*consumer, error) {
	k := &consumer{
		r: of, c: of.c, cfg: r.cfg, run: r, ch: ch, queues: queues, latencies: r.deliveries.shard(n),
		lone: r.plan.lone && r.cfg.ConsumerChannels == 1,
	}
	of.c.handle(ch, k)
	if rate := r.cfg.ConsumerRate; rate > 0 || r.cfg.ConsumerLatency > 0 {
		k.limit.gap = int64(r.cfg.ConsumerLatency)
		if rate > 0 {
			k.limit.gap = max(k.limit.gap, int64(1e9/rate))
		}
		k.timer = time.NewTimer(time.Hour)
		k.timer.Stop()
	}
	if r.cfg.AutoAck {
		return k, nil
	}
	if n := r.cfg.Prefetch; n > 0 {
		if _, err := callOn[*wire.BasicQosOk](of.c, ch, &wire.BasicQos{PrefetchCount: uint16(n)}); err != nil {
			return nil, err
		}
	}
	if n := r.cfg.GlobalPrefetch; n > 0 {
		if _, err := callOn[*wire.BasicQosOk](of.c, ch, &wire.BasicQos{PrefetchCount: uint16(n), Global: true}); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// consume subscribes and runs until the connection ends, which is no error after
// hangUp.
func (k *receiver) consume() error {
	err := k.subscribe()
	if err == nil {
		err = k.c.read()
	}
	k.c.nc.Close()
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	return nil
}

// subscribe asks for deliveries on all channels. The answers come between those.
func (k *receiver) subscribe() error {
	var out []byte
	for _, ch := range k.channels {
		args, err := ParseArguments(ch.cfg.ConsumerArgs)
		if err != nil {
			return err
		}
		for _, q := range ch.queues {
			out = wire.AppendMethod(out, ch.ch, &wire.BasicConsume{Queue: q, NoAck: ch.cfg.AutoAck, Arguments: args})
		}
	}
	_, err := k.c.nc.Write(out)
	return err
}

// hangUp acks what has been handled and asks for the end.
func (k *receiver) hangUp() error {
	for _, ch := range k.channels {
		if err := ch.finish(); err != nil {
			return err
		}
	}
	return k.c.hangUp()
}

func (k *consumer) finish() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	if k.cfg.AutoAck || k.seen == k.sent {
		return nil
	}
	_, err := k.c.nc.Write(wire.AppendAck(nil, k.ch, k.seen, true))
	return err
}

// frame implements frames.
func (k *consumer) frame(f wire.Frame) error {
	switch f.Type {
	case wire.FrameMethod:
		id, args, err := wire.CutID(f.Payload)
		if err != nil {
			return err
		}
		if id != wire.IDBasicDeliver {
			return k.method(id, f)
		}
		var m wire.BasicDeliver
		if err := m.Decode(args); err != nil {
			return err
		}
		if m.DeliveryTag != k.tag+1 {
			return fmt.Errorf("delivery tag %d after %d", m.DeliveryTag, k.tag)
		}
		k.tag = m.DeliveryTag
		if m.Redelivered {
			k.again++
		}
		if k.limit.gap > 0 && !k.full {
			return k.wait()
		}
	case wire.FrameHeader:
		h, err := wire.DecodeHeader(f.Payload)
		if err != nil {
			return err
		}
		if h.BodySize != uint64(k.cfg.Size) && k.run.exactly {
			return fmt.Errorf("a body of %d bytes, sent were %d", h.BodySize, k.cfg.Size)
		}
		k.owed, k.first = h.BodySize, true
		if k.owed == 0 {
			k.take()
		}
	case wire.FrameBody:
		n := uint64(len(f.Payload))
		if n > k.owed {
			return amqp.UnexpectedFrame("%d bytes more of body than announced", n-k.owed)
		}
		if k.first && n >= stampSize && k.cfg.Content != JSON && !k.full {
			k.stamped(f.Payload)
		}
		k.first = false
		if k.owed -= n; k.owed == 0 {
			k.take()
		}
	}
	return nil
}

// method handles what is no delivery.
func (k *consumer) method(id wire.ID, f wire.Frame) error {
	switch id {
	case wire.IDBasicConsumeOk:
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return err
		}
		k.tags = append(k.tags, m.(*wire.BasicConsumeOk).ConsumerTag)
		if k.r.waiting--; k.r.waiting == 0 {
			close(k.r.ready)
		}
		return nil
	case wire.IDBasicCancel:
		return errors.New("the broker has cancelled the consumer: its queue is gone")
	}
	return k.c.method(f)
}

// wait keeps to the consumer's rate. What has been taken until now is acked and
// counted first.
func (k *consumer) wait() error {
	d := k.limit.take(clock())
	if d == 0 {
		return nil
	}
	if err := k.drained(); err != nil {
		return err
	}
	k.run.until(clock()+int64(d), k.timer, k.run.exact)
	return nil
}

// stamped looks at when a message was sent and whether it is the one to come.
func (k *consumer) stamped(body []byte) {
	at, seq := stamp(body)
	from := int(seq >> publisherShift)
	seq &= numberMask
	if from >= len(k.next) {
		k.next = append(k.next, make([]uint64, from+1-len(k.next))...)
	}
	if next := k.next[from]; next > 0 && (k.lone && seq != next-1 || seq < next-1) && len(k.queues) == 1 {
		k.disorder++
	}
	k.next[from] = seq + 2
	if at != k.sentAt {
		k.latency()
		k.sentAt = at
	}
	k.together++
}

// latency records the run of deliveries that were sent at the same time. All of
// a read count as taken when it was read. A backlog's age is no latency.
func (k *consumer) latency() {
	if k.together > 0 && k.run.measuring.Load() && k.cfg.Scenario != Drain {
		if k.now == 0 {
			k.now = clock() + k.run.shift
		}
		k.latencies.record(k.now-k.sentAt, k.together)
	}
	k.together = 0
}

// take counts a whole message. What comes after the last that is wanted goes back to
// the queue when the channel ends.
func (k *consumer) take() {
	if k.full {
		return
	}
	k.done = k.tag
	k.delivered++
	k.total++
	k.full = k.cfg.ConsumerMessages > 0 && k.total == k.cfg.ConsumerMessages
	if !k.cfg.AutoAck && (k.tag-k.acked >= uint64(k.cfg.AckEvery) || k.full) {
		k.out = wire.AppendAck(k.out, k.ch, k.tag, true)
		k.acked = k.tag
	}
	if k.full {
		for _, tag := range k.tags {
			k.out = wire.AppendMethod(k.out, k.ch, &wire.BasicCancel{ConsumerTag: tag, NoWait: true})
		}
	}
}

// drained implements frames.
func (k *consumer) drained() error {
	k.latency()
	k.now = 0
	if k.delivered == 0 {
		return nil
	}
	if err := k.answer(); err != nil {
		return err
	}
	k.run.consumed.add(uint64(k.delivered))
	k.delivered = 0
	if k.full && k.run.hungry.Add(-1) == 0 {
		close(k.run.sated)
	}
	return nil
}

// answer writes the acks that have gathered.
func (k *consumer) answer() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = k.done
	if len(k.out) == 0 || k.ended {
		return nil
	}
	_, err := k.c.nc.Write(k.out)
	k.out = k.out[:0]
	k.sent = k.acked
	return err
}
