package bench

import (
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// newHistogram holds latencies from a microsecond to a minute, in nanoseconds,
// to three figures.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 3)
}

// record counts n values, those beyond the histogram's range as its end.
func record(h *hdrhistogram.Histogram, ns int64, n int64) {
	_ = h.RecordValues(min(ns, int64(time.Minute)), n) // in range: no error
}

// publisher keeps a number of unconfirmed messages on the way.
type publisher struct {
	c     *client
	cfg   *Config
	burst *burst
	run   *run

	mu sync.Mutex
	// Under mu. sentAt is a ring by delivery tag: when the message was sent, 0
	// once it is confirmed. Tags up to low are all confirmed; brokers confirm out
	// of order, so from there to sent may be more than are open, and nothing is
	// sent that would pass the ring.
	room      sync.Cond
	sentAt    []int64
	sent, low uint64
	open      int // sent and not confirmed
	confirms  *hdrhistogram.Histogram
	nacked    uint64
	stopped   bool  // no more is to be sent
	failed    error // the connection's end

	// The reading goroutine's.
	confirmed int // in this read
}

func newPublisher(r *run, exchange, key string) (*publisher, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	ring := 1
	for ring < 8*r.cfg.Outstanding {
		ring *= 2
	}
	p := &publisher{
		c: c, cfg: r.cfg, run: r,
		burst:    newBurst(r.cfg, c.frameMax, exchange, key),
		sentAt:   make([]int64, ring),
		confirms: newHistogram(),
	}
	p.room.L = &p.mu
	if r.cfg.NoConfirm {
		return p, nil
	}
	_, err = call[*wire.ConfirmSelectOk](c, &wire.ConfirmSelect{})
	return p, err
}

// stop lets publish return once all is confirmed.
func (p *publisher) stop() {
	p.mu.Lock()
	p.stopped = true
	p.room.Broadcast()
	p.mu.Unlock()
}

// publish runs until stopped or the configured number is sent, and until all is
// confirmed.
func (p *publisher) publish() error {
	if p.cfg.Outstanding == 1 && !p.cfg.NoConfirm {
		return p.pingPong()
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		err := p.c.read(p)
		p.mu.Lock()
		p.failed = err
		p.stopped = true
		p.room.Broadcast()
		p.mu.Unlock()
	})
	err := p.write()
	if err == nil {
		err = p.c.hangUp()
	}
	if err != nil {
		p.c.nc.Close()
	}
	reading.Wait()
	p.c.nc.Close()
	// The peer's own reason says more than the broken pipe that it led to.
	if p.failed != nil {
		return fmt.Errorf("publisher: %w", p.failed)
	}
	if err != nil {
		return fmt.Errorf("publisher: %w", err)
	}
	return nil
}

// write sends while there is room. It wakes when an eighth of the window is
// free: a broker that confirms one by one would otherwise make each message a
// write of its own, and the client the slower of the two.
func (p *publisher) write() error {
	least := max(1, p.cfg.Outstanding/8)
	if p.cfg.NoConfirm {
		least = 1
	}
	for {
		p.mu.Lock()
		for !p.stopped && p.allowed() < least {
			p.room.Wait()
		}
		n := min(p.burst.count, p.allowed())
		if p.cfg.Messages > 0 {
			n = int(min(uint64(n), uint64(p.cfg.Messages)-p.sent))
		}
		if p.stopped || n == 0 {
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
				p.sentAt[t&uint64(len(p.sentAt)-1)] = now
			}
		}
		p.mu.Unlock()
		if _, err := p.c.nc.Write(p.burst.take(n, now, from)); err != nil {
			return err
		}
		p.run.published.add(uint64(n))
		if p.cfg.NoConfirm {
			p.run.confirmed.add(uint64(n))
		}
	}
}

// allowed is how many messages may be sent now. The caller has mu.
func (p *publisher) allowed() int {
	if p.cfg.NoConfirm {
		return p.burst.count
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
			record(p.confirms, now-at, n)
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
		if _, err := p.c.nc.Write(p.burst.take(1, now, i)); err != nil {
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
