package bench

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// consumer takes deliveries, checks that they come in order, and acks.
type consumer struct {
	c   *client
	cfg *Config
	run *run

	// The reading goroutine's, until it has ended.
	tag       uint64 // of the newest delivery
	acked     uint64
	owed      uint64 // bytes of body to come
	first     bool   // the next body frame is a body's first
	delivered int    // in this read
	now       int64  // of this read, 0 before it is needed
	out       []byte
	next      uint64 // the sequence number to come
	latencies *hdrhistogram.Histogram
	sentAt    int64  // deliveries with one stamp that are not yet recorded,
	together  int64  // and how many they are
	again     uint64 // redelivered
	disorder  uint64 // not the one to come
}

func newConsumer(r *run, queue string) (*consumer, error) {
	c, err := r.dial()
	if err != nil {
		return nil, err
	}
	k := &consumer{c: c, cfg: r.cfg, run: r, latencies: newHistogram()}
	if !r.cfg.AutoAck {
		if _, err := call[*wire.BasicQosOk](c, &wire.BasicQos{PrefetchCount: uint16(r.cfg.Prefetch)}); err != nil {
			return nil, err
		}
	}
	_, err = call[*wire.BasicConsumeOk](c, &wire.BasicConsume{Queue: queue, NoAck: r.cfg.AutoAck})
	return k, err
}

// consume runs until the connection ends, which is no error after hangUp.
func (k *consumer) consume() error {
	err := k.c.read(k)
	k.c.nc.Close()
	if err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	return nil
}

// hangUp acks what is left and asks for the end.
func (k *consumer) hangUp() error {
	if !k.cfg.AutoAck {
		if _, err := k.c.nc.Write(wire.AppendAck(nil, channel, 0, true)); err != nil {
			return err
		}
	}
	return k.c.hangUp()
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
			return k.c.method(f)
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
	case wire.FrameHeader:
		h, err := wire.DecodeHeader(f.Payload)
		if err != nil {
			return err
		}
		if h.BodySize != uint64(k.cfg.Size) {
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
		if k.first && n >= stampSize && k.cfg.Content != JSON {
			k.stamped(f.Payload)
		}
		k.first = false
		if k.owed -= n; k.owed == 0 {
			k.take()
		}
	}
	return nil
}

// stamped looks at when a message was sent and whether it is the one to come.
func (k *consumer) stamped(body []byte) {
	at, seq := stamp(body)
	if seq != k.next && k.tag > 1 {
		k.disorder++
	}
	k.next = seq + 1
	if at != k.sentAt {
		k.latency()
		k.sentAt = at
	}
	k.together++
}

// latency records the run of deliveries that were sent at the same time. All of
// a read count as taken when it was read.
func (k *consumer) latency() {
	if k.together > 0 && k.run.measuring.Load() {
		if k.now == 0 {
			k.now = clock()
		}
		record(k.latencies, k.now-k.sentAt, k.together)
	}
	k.together = 0
}

// take counts a whole message.
func (k *consumer) take() {
	k.delivered++
	if !k.cfg.AutoAck && k.tag-k.acked >= uint64(k.cfg.AckEvery) {
		k.out = wire.AppendAck(k.out, channel, k.tag, true)
		k.acked = k.tag
	}
}

// drained implements frames.
func (k *consumer) drained() error {
	k.latency()
	k.now = 0
	if len(k.out) > 0 {
		if _, err := k.c.nc.Write(k.out); err != nil {
			return err
		}
		k.out = k.out[:0]
	}
	if k.delivered > 0 {
		k.run.consumed.add(uint64(k.delivered))
		k.delivered = 0
	}
	return nil
}
