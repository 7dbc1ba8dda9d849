package store

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// throttle paces publishers where the log grows faster than its files are
// retired. Up to the log's budget, and a file more, nobody notices it. Beyond,
// every batch that publishes pays for its bytes with time, at the rate at which
// retirement goes: half the price at first, twice the price two files later. So
// ingest and retirement meet somewhere between, and nobody stops and goes.
type throttle struct {
	s    *Store
	quit chan struct{} // closed: nobody waits any more
	once sync.Once
	// soft is the position up to which the log may grow for free.
	soft atomic.Uint64

	mu   sync.Mutex // a leaf
	rate float64    // of retirement, in bytes of log a second
	next time.Time  // when the next batch may go
}

const (
	// throttleFloor is the least rate that is granted, in bytes a second: a
	// retirement that fails, perhaps since the disk is full, must not stop
	// everything. That is for the alarm on free disk space.
	throttleFloor = 1 << 20
	// throttleMost bounds a single wait.
	throttleMost = time.Second
)

func (t *throttle) init(s *Store) {
	t.s = s
	t.quit = make(chan struct{})
	t.rate = 64 << 20
	t.soft.Store(math.MaxUint64)
}

// plan is told how large the part of the log is that is not retired.
func (t *throttle) plan(size int64) {
	spare := t.s.opts.WALBudget + t.s.fileSize() - size
	t.soft.Store(uint64(max(0, int64(t.s.log.Appended())+spare)))
}

// wait makes a batch that publishes size bytes to the log pay. No lock is held.
func (t *throttle) wait(size int) {
	over := int64(t.s.log.Appended()) + int64(size) - int64(min(t.soft.Load(), math.MaxInt64))
	if over <= 0 || t.s.log.Err() != nil { // refused, it need not wait for that
		return
	}
	now := time.Now()
	t.mu.Lock()
	price := math.Exp2(float64(over)/float64(t.s.fileSize())-1) / max(t.rate, throttleFloor)
	if t.next.Before(now) {
		t.next = now
	}
	t.next = t.next.Add(time.Duration(min(price*float64(size), 60) * float64(time.Second)))
	// What is owed is bounded: when retirement gets on again, so do publishers.
	wait := min(t.next.Sub(now), throttleMost)
	t.next = now.Add(wait)
	t.mu.Unlock()
	if wait < time.Millisecond {
		return // timers are no finer; the debt stands
	}
	t.s.figures.throttled.Add(int64(wait))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.quit:
	}
}

// retired is told that so many bytes of log were retired in that time.
func (t *throttle) retired(bytes int64, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate += (float64(bytes)/max(took.Seconds(), 1e-4) - t.rate) / 4
}

// failed is told that retirement does not get on.
func (t *throttle) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate = throttleFloor
}

// letGo ends all waiting, for good.
func (t *throttle) letGo() { t.once.Do(func() { close(t.quit) }) }
