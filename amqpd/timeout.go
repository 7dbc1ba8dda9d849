package amqpd

import (
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// A delivery that is not acknowledged for as long as its consumer, its queue or
// the server say closes its channel, so that its messages return: see
// Options.ConsumerTimeout. Only the oldest one of a channel is looked at.
//
// No delivery carries a time. The server's ticker notes now and then which tag
// comes next: all below it had left by then. So a timeout comes a tick late, or
// later by a part of itself, where marks had to be thinned out.

// mark says that all deliveries with lower tags had left at some time.
type mark struct {
	next uint64
	at   time.Duration // since conn.born
}

// maxMarks bounds a channel's marks. More are thinned out to half as many, which
// makes them late by one in maxMarks/2 of what they span at the most.
const maxMarks = 64

// watch has the ticker look at a channel that has something unacked. c.mu is held.
func (c *conn) watch(ch *channel) {
	ch.watched = true
	c.watching = append(c.watching, ch)
}

// age notes the next tag, and returns for how long at least the oldest unacked
// delivery has been out, and whose it is; nil: there is none. conn.mu is held.
func (ch *channel) age(at time.Duration) (age time.Duration, of *consumer) {
	oldest, p := ch.unacked.oldest()
	if p == nil {
		ch.marks = nil
		return 0, nil
	}
	n := len(ch.marks)
	if next := ch.unacked.next(); n == 0 || ch.marks[n-1].next < next {
		if n == maxMarks {
			kept := ch.marks[:0]
			for i := 1; i < n; i += 2 {
				kept = append(kept, ch.marks[i])
			}
			ch.marks = kept
		}
		ch.marks = append(ch.marks, mark{next, at})
	}
	done := 0
	for ch.marks[done].next <= oldest {
		done++
	}
	ch.marks = append(ch.marks[:0], ch.marks[done:]...)
	return at - ch.marks[0].at, p.consumer
}

// checkTimeouts is the ticker's: it tells the reader of channels whose oldest
// delivery has been out for too long.
func (c *conn) checkTimeouts(now time.Time) {
	late := false
	c.mu.Lock()
	keep := c.watching[:0]
	for _, ch := range c.watching {
		age, k := ch.age(now.Sub(c.born))
		if k == nil || ch.closed {
			ch.watched = false
			continue
		}
		keep = append(keep, ch)
		if limit := c.timeoutOf(k); limit > 0 && age >= limit {
			ch.timedOut = limit
			late = true
		}
	}
	clear(c.watching[len(keep):])
	c.watching = keep
	c.mu.Unlock()
	if late {
		c.late.Store(true)
		c.nc.SetReadDeadline(time.Unix(1, 0))
		c.nudgeReader()
	}
}

// timeoutOf is how long a consumer may keep a delivery; 0: for ever.
func (c *conn) timeoutOf(k *consumer) time.Duration {
	if k.timeout > 0 {
		return k.timeout
	}
	if t := k.queue.ConsumerTimeout(); t > 0 {
		return t
	}
	return max(c.opts.ConsumerTimeout, 0)
}

// closeLate closes the channels that checkTimeouts has found. The reader calls it.
func (c *conn) closeLate() {
	if !c.late.Swap(false) || c.phase != running {
		return
	}
	for _, ch := range c.channels {
		c.mu.Lock()
		limit := ch.timedOut
		ch.timedOut = 0
		c.mu.Unlock()
		if limit == 0 || ch.closing {
			continue
		}
		c.failMethod(ch, amqp.PreconditionFailed("delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more", ch.id, limit.Milliseconds()), 0)
	}
	c.respond()
}
