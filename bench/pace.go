package bench

import "time"

// pace is the schedule of a fixed rate: message i, counted from 0, is due i/rate
// seconds after start, whatever became of those before it.
type pace struct {
	start int64
	rate  float64 // a second
}

// due is when message i is to be sent.
func (p *pace) due(i uint64) int64 { return p.start + int64(float64(i)*1e9/p.rate) }

// count is how many messages are due by now.
func (p *pace) count(now int64) uint64 {
	if now < p.start {
		return 0
	}
	return uint64(float64(now-p.start)*p.rate/1e9) + 1
}

// limit keeps takers below a rate; what was not taken while nothing was there is
// lost, but for what a late wake-up has cost.
type limit struct {
	gap  int64 // nanoseconds between two
	next int64 // when one may be taken
}

// limitSlack is how much time a taker that has overslept may catch up.
const limitSlack = int64(50 * time.Millisecond)

// take is how long to wait before one is taken.
func (l *limit) take(now int64) time.Duration {
	l.next = max(l.next, now-limitSlack)
	at := l.next
	l.next += l.gap
	return time.Duration(max(0, at-now))
}

// exactWait is below what the runtime's timers are too coarse: an idle process wakes
// on whole milliseconds.
const exactWait = 2 * time.Millisecond

// until waits for a moment, or until the publishers are to stop. Exact waits hold a
// thread of their own for up to a millisecond or two.
func (r *run) until(at int64, timer *time.Timer, exact bool) {
	for {
		d := time.Duration(at - clock())
		switch {
		case d <= 0:
			return
		case exact && d <= exactWait:
			Nap(d)
			continue
		case exact:
			d -= time.Millisecond
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-r.stopping:
			timer.Stop()
			return
		case <-r.ctx.Done():
			timer.Stop()
			return
		}
	}
}
