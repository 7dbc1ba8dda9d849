package broker

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// diskInterval is how often the free space is asked for, and nearInterval where
	// less than diskNear more than the limit is free: a fast disk takes tens of
	// megabytes within diskInterval.
	diskInterval = 100 * time.Millisecond
	nearInterval = 10 * time.Millisecond
	diskNear     = 1 << 30
	// diskWindow is how far back it is looked to tell how fast the disk fills up. The
	// alarm is raised when that much more, and the limit, would not fit: publishers
	// hear of it a little later, and what they have sent before must have room too.
	diskWindow = time.Second
	// paceHalf is the time in which half of the pace is forgotten. A pace that were
	// forgotten at once would end the alarm as soon as publishers are held up, and
	// have it come and go each second.
	paceHalf = 5 * time.Second
)

// diskWatch is what the goroutine that asks for the free space remembers.
type diskWatch struct {
	looks   []look
	pace    float64 // bytes that went within diskWindow, at most, lately
	short   bool    // what the last look found
	unknown bool    // it could not be told at the last look
}

// look is what was free at some time, in bytes.
type look struct {
	at   time.Time
	free uint64
}

// low notes what is free, and tells whether that is too little.
func (w *diskWatch) low(now time.Time, free, limit uint64) bool {
	if n := len(w.looks); n > 0 {
		w.pace *= math.Exp2(-float64(now.Sub(w.looks[n-1].at)) / float64(paceHalf))
	}
	old := 0
	for old < len(w.looks) && now.Sub(w.looks[old].at) > diskWindow {
		old++
	}
	w.looks = append(w.looks[:0], w.looks[old:]...)
	w.looks = append(w.looks, look{now, free})
	if oldest := w.looks[0].free; oldest > free {
		w.pace = max(w.pace, float64(oldest-free))
	}
	need := w.pace
	if w.short { // a little more than it came with, lest it come again at once
		need *= 1.25
	}
	w.short = free < limit+uint64(need)
	return w.short
}

// Limits are what may be changed while the broker runs.
type Limits struct {
	// DiskFree and Memory are Options.DiskFreeLimit and Options.MemoryLimit without
	// defaults: a negative one is none. How memory is shared out is said by Options
	// alone: a change moves the alarm.
	DiskFree, Memory int64
	// LoopbackUsers are Options.LoopbackUsers.
	LoopbackUsers []string
}

// Limits are those that hold.
func (b *Broker) Limits() Limits { return *b.limits.Load() }

// SetLimits changes limits. Alarms come within a second, and one of the disk may stay
// for some more, as paceHalf says; who is connected stays.
func (b *Broker) SetLimits(l Limits) {
	l.LoopbackUsers = slices.Clone(l.LoopbackUsers)
	b.limits.Store(&l)
}

// shortages are the resources of which there is too little.
type shortages struct {
	text atomic.Pointer[string] // nil: nothing is short

	changed chan struct{} // has a value when text has changed since it was received

	mu           sync.Mutex // a leaf
	memory, disk bool
}

// set notes what became of a resource, and tells whether that is new.
func (s *shortages) set(which *bool, short bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *which == short {
		return false
	}
	*which = short
	defer func() {
		select {
		case s.changed <- struct{}{}:
		default: // it is known already
		}
	}()
	var names []string
	if s.memory {
		names = append(names, "memory")
	}
	if s.disk {
		names = append(names, "disk")
	}
	if names == nil {
		s.text.Store(nil)
		return true
	}
	text := "low on " + strings.Join(names, " & ") // RabbitMQ's words in connection.blocked
	s.text.Store(&text)
	return true
}

// Alarm tells why publishers should be held up, "" where nothing is wrong. It
// costs an atomic load. Consumers may go on: acks make room.
func (b *Broker) Alarm() string {
	if text := b.short.text.Load(); text != nil {
		return *text
	}
	return ""
}

// AlarmChanged has a value when Alarm has changed since one was received: whoever
// holds publishers up, once for a broker, need not wait to ask again.
func (b *Broker) AlarmChanged() <-chan struct{} { return b.short.changed }

// watchDisk keeps the alarm up to date.
func (b *Broker) watchDisk() {
	t := time.NewTicker(diskInterval)
	defer t.Stop()
	var w diskWatch
	every := diskInterval
	for {
		select {
		case now := <-t.C:
			b.clock.Store(now.UnixMilli())
			if next := b.lookAtDisk(&w, now); next != every {
				every = next
				t.Reset(every)
			}
		case <-b.stop:
			return
		}
	}
}

// lookAtDisk raises or ends the alarm, and tells when to look again. A full disk
// raises it without a limit too, and where it is a quota that is used up, which does
// not show in what is free.
func (b *Broker) lookAtDisk(w *diskWatch, now time.Time) time.Duration {
	full := b.store.Full()
	short, next := full, diskInterval
	var free uint64
	limit := b.Limits().DiskFree
	if limit >= 0 {
		var err error
		free, err = b.opts.Store.FS.Free(b.dir)
		if err == nil {
			short = w.low(now, free, uint64(limit)) || full
			if free < uint64(limit)+diskNear {
				next = nearInterval
			}
		} else if !w.unknown {
			b.log.Warn("free disk space is unknown", "dir", b.dir, "err", err)
		}
		w.unknown = err != nil
	}
	if b.short.set(&b.short.disk, short) {
		b.log.Warn("disk alarm changed", "low", short, "free", free, "pace", int64(w.pace), "limit", limit, "full", full, "dir", b.dir)
	}
	return next
}
