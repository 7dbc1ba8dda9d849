package bench

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// producer is a connection whose channels publish.
type producer struct {
	c        *client
	channels []*publisher
}

// publisher keeps a number of unconfirmed messages on the way, on a channel.
type publisher struct {
	c     *client
	cfg   *Config
	burst *burst
	run   *run
	pace  *pace // nil without a fixed rate
	timer *time.Timer
	stamp uint64 // the publisher's, in each number

	mu sync.Mutex
	// Under mu. sentAt is a ring by delivery tag: when the message was sent, 0
	// once it is confirmed. Tags up to low are all confirmed; brokers confirm out
	// of order, so from there to sent may be more than are open, and nothing is
	// sent that would pass the ring.
	room      sync.Cond
	sentAt    []int64
	sent, low uint64
	open      int // sent and not confirmed
	confirms  *shard
	nacked    uint64
	returned  uint64
	stopped   bool  // no more is to be sent
	failed    error // the connection's end

	// The reading goroutine's.
	confirmed int // in this read
}

// newProducer makes a connection with its publishers, the first of which is the
// first-th of all, for one exchange and key.
func newProducer(r *run, first int, exchange, key string) (*producer, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	if err := c.channels(r.cfg.ProducerChannels); err != nil {
		return nil, err
	}
	p := &producer{c: c}
	for i := range r.cfg.ProducerChannels {
		ch, err := newPublisher(r, c, first+i, target{uint16(channel + i), exchange, key})
		if err != nil {
			return nil, err
		}
		p.channels = append(p.channels, ch)
	}
	return p, nil
}

func newPublisher(r *run, c *client, n int, to target) (*publisher, error) {
	b, err := newBurst(r.cfg, c.frameMax, to)
	if err != nil {
		return nil, err
	}
	ring := 1
	for ring < 8*r.cfg.Outstanding {
		ring *= 2
	}
	p := &publisher{
		c: c, cfg: r.cfg, run: r, burst: b, stamp: uint64(n) << publisherShift,
		confirms: r.confirms.shard(n),
	}
	p.room.L = &p.mu
	c.handle(to.channel, p)
	if r.cfg.Rate > 0 {
		p.timer = time.NewTimer(time.Hour)
		p.timer.Stop()
	}
	if r.cfg.NoConfirm {
		return p, nil
	}
	p.sentAt = make([]int64, ring)
	_, err = callOn[*wire.ConfirmSelectOk](c, to.channel, &wire.ConfirmSelect{})
	return p, err
}

// publish runs until all publishers of the connection have been stopped or have sent
// the configured number, and all is confirmed.
func (p *producer) publish() error {
	if one := p.channels[0]; len(p.channels) == 1 && one.cfg.Outstanding == 1 && !one.cfg.NoConfirm && one.cfg.Rate == 0 {
		return one.pingPong()
	}
	var reading, writing sync.WaitGroup
	var failed error
	reading.Go(func() {
		failed = p.c.read()
		for _, ch := range p.channels {
			ch.end(failed)
		}
	})
	errs := make([]error, len(p.channels))
	for i, ch := range p.channels {
		writing.Go(func() { errs[i] = ch.write() })
	}
	writing.Wait()
	err := errors.Join(errs...)
	if err == nil {
		err = p.c.hangUp()
	}
	if err != nil {
		p.c.nc.Close()
	}
	reading.Wait()
	p.c.nc.Close()
	// The peer's own reason says more than the broken pipe that it led to.
	if failed != nil {
		return fmt.Errorf("publisher: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	return nil
}

// end is the connection's.
func (p *publisher) end(err error) {
	p.mu.Lock()
	p.failed = err
	p.stopped = true
	p.room.Broadcast()
	p.mu.Unlock()
}

// stop lets publish return once all is confirmed.
func (p *publisher) stop() {
	p.mu.Lock()
	p.stopped = true
	p.room.Broadcast()
	p.mu.Unlock()
}

// write sends while there is room. It wakes when an eighth of the window is
// free: a broker that confirms one by one would otherwise make each message a
// write of its own, and the client the slower of the two.
func (p *publisher) write() error {
	least := max(1, p.cfg.Outstanding/8)
	if p.cfg.NoConfirm || p.pace != nil {
		least = 1
	}
	for {
		due := p.burst.left()
		if p.pace != nil {
			due = p.due()
		}
		p.mu.Lock()
		for !p.stopped && p.allowed() < least {
			p.room.Wait()
		}
		n := min(p.burst.left(), due, p.allowed())
		if p.cfg.Messages > 0 {
			n = int(min(uint64(n), uint64(p.cfg.Messages)-p.sent))
		}
		if p.stopped || n <= 0 {
			for p.open > 0 && p.failed == nil {
				p.room.Wait()
			}
			p.mu.Unlock()
			return nil
		}
		now := clock()
		from := p.sent
		p.sent += uint64(n)
		if !p.cfg.NoConfirm {
			p.open += n
			for t := from + 1; t <= p.sent; t++ {
				at := now
				if p.pace != nil {
					at = p.pace.due(t - 1)
				}
				p.sentAt[t&uint64(len(p.sentAt)-1)] = at
			}
		}
		p.mu.Unlock()
		if _, err := p.c.nc.Write(p.burst.take(n, now, p.pace, p.run.shift, p.stamp|from)); err != nil {
			return err
		}
		p.run.published.add(uint64(n))
		if p.cfg.NoConfirm {
			p.run.confirmed.add(uint64(n))
		}
	}
}

// due waits until a message is due, and is how many there are. It is one where the
// publishers are told to stop, or where all has been sent.
func (p *publisher) due() int {
	for {
		n := int(p.pace.count(clock()) - p.sent)
		if n > 0 || p.cfg.Messages > 0 && p.sent >= uint64(p.cfg.Messages) {
			return max(n, 1)
		}
		p.mu.Lock()
		stopped := p.stopped
		p.mu.Unlock()
		if stopped {
			return 1
		}
		p.run.until(p.pace.due(p.sent), p.timer, p.run.exact)
	}
}

// allowed is how many messages may be sent now. The caller has mu.
func (p *publisher) allowed() int {
	if p.cfg.NoConfirm {
		return p.burst.left()
	}
	return min(p.cfg.Outstanding-p.open, len(p.sentAt)-int(p.sent-p.low))
}

// frame implements frames.
func (p *publisher) frame(f wire.Frame) error {
	if f.Type != wire.FrameMethod {
		return nil
	}
	id, args, err := wire.CutID(f.Payload)
	if err != nil {
		return err
	}
	switch id {
	case wire.IDBasicAck:
		var m wire.BasicAck
		if err := m.Decode(args); err != nil {
			return err
		}
		return p.confirm(m.DeliveryTag, m.Multiple, false)
	case wire.IDBasicNack:
		var m wire.BasicNack
		if err := m.Decode(args); err != nil {
			return err
		}
		return p.confirm(m.DeliveryTag, m.Multiple, true)
	case wire.IDBasicReturn:
		p.mu.Lock()
		p.returned++
		p.mu.Unlock()
		return nil
	}
	return p.c.method(f)
}

// confirm settles tags. Brokers confirm out of order, so each is known by
// itself; runs that were sent together are recorded together.
func (p *publisher) confirm(tag uint64, multiple, nack bool) error {
	now := clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if tag > p.sent || tag <= p.low && !multiple {
		return fmt.Errorf("confirm of tag %d: %d are sent, all up to %d confirmed", tag, p.sent, p.low)
	}
	from := tag
	if multiple {
		from = p.low + 1
	}
	mask, before := uint64(len(p.sentAt)-1), p.confirmed
	var at, n int64
	settle := func() {
		if n == 0 {
			return
		}
		if p.run.measuring.Load() {
			p.confirms.record(now-at, n)
		}
		p.confirmed += int(n)
		p.open -= int(n)
		if nack {
			p.nacked += uint64(n)
		}
		n = 0
	}
	for t := from; t <= tag; t++ {
		sent := p.sentAt[t&mask]
		if sent == 0 {
			if !multiple {
				return fmt.Errorf("tag %d is confirmed twice", tag)
			}
			continue
		}
		if sent != at {
			settle()
			at = sent
		}
		n++
		p.sentAt[t&mask] = 0
	}
	settle()
	if p.confirmed == before {
		return fmt.Errorf("confirm up to tag %d confirms nothing: all up to %d are", tag, p.low)
	}
	for p.low < p.sent && p.sentAt[(p.low+1)&mask] == 0 {
		p.low++
	}
	return nil
}

// drained implements frames.
func (p *publisher) drained() error {
	if p.confirmed == 0 {
		return nil
	}
	p.run.confirmed.add(uint64(p.confirmed))
	p.confirmed = 0
	p.mu.Lock()
	p.room.Broadcast()
	p.mu.Unlock()
	return nil
}

// pingPong sends one message, waits for its confirm, and so on, in one
// goroutine: no hand-over stands between the two.
func (p *publisher) pingPong() error {
	for i := uint64(0); p.cfg.Messages == 0 || i < uint64(p.cfg.Messages); i++ {
		p.mu.Lock()
		if p.stopped {
			p.mu.Unlock()
			break
		}
		now := clock()
		p.sent++
		p.open++
		p.sentAt[p.sent&uint64(len(p.sentAt)-1)] = now
		p.mu.Unlock()
		if _, err := p.c.nc.Write(p.burst.take(1, now, nil, p.run.shift, p.stamp|i)); err != nil {
			return fmt.Errorf("publisher: %w", err)
		}
		p.run.published.add(1)
		for p.open > 0 {
			f, err := p.c.in.next(p.c.frameMax)
			if err == nil {
				err = p.frame(f)
			}
			if err != nil {
				return fmt.Errorf("publisher: %w", err)
			}
		}
		if err := p.drained(); err != nil {
			return err
		}
	}
	p.c.close()
	return nil
}

// lost is how many messages the broker has not taken, or not routed.
func (p *publisher) lost() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nacked + p.returned
}
