package broker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// diskInterval is how often the free space is asked for.
	diskInterval = 100 * time.Millisecond
	// diskWindow is the number of looks back that tell how fast the disk fills up:
	// a second. The alarm is raised when that much more, and the limit, would not
	// fit: publishers hear of it a little later, and what they have sent before
	// must have room too.
	diskWindow = int(time.Second / diskInterval)
)

// diskWatch is what the goroutine that asks for the free space remembers.
type diskWatch struct {
	free    []uint64 // what was free at the last looks, oldest first
	unknown bool     // it could not be told at the last one
}

// look notes what is free and tells how much went since the oldest look.
func (w *diskWatch) look(free uint64) (went uint64) {
	if len(w.free) > diskWindow {
		w.free = w.free[:copy(w.free, w.free[1:])]
	}
	w.free = append(w.free, free)
	if oldest := w.free[0]; oldest > free {
		return oldest - free
	}
	return 0
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

// SetLimits changes limits. Alarms follow within a second; who is connected stays.
func (b *Broker) SetLimits(l Limits) {
	l.LoopbackUsers = slices.Clone(l.LoopbackUsers)
	b.limits.Store(&l)
}

// shortages are the resources of which there is too little.
type shortages struct {
	text atomic.Pointer[string] // nil: nothing is short

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

// watchDisk keeps the alarm up to date.
func (b *Broker) watchDisk() {
	t := time.NewTicker(diskInterval)
	defer t.Stop()
	var w diskWatch
	for {
		select {
		case now := <-t.C:
			b.clock.Store(now.UnixMilli())
			b.lookAtDisk(&w)
		case <-b.stop:
			return
		}
	}
}

// lookAtDisk raises or ends the alarm. A full disk raises it without a limit too,
// and where it is a quota that is used up, which does not show in what is free.
func (b *Broker) lookAtDisk(w *diskWatch) {
	full := b.store.Full()
	short := full
	var free, went uint64
	limit := b.Limits().DiskFree
	if limit >= 0 {
		var err error
		free, err = b.opts.Store.FS.Free(b.dir)
		if err == nil {
			went = w.look(free)
			short = short || free < uint64(limit)+went
		} else if !w.unknown {
			b.log.Warn("free disk space is unknown", "dir", b.dir, "err", err)
		}
		w.unknown = err != nil
	}
	if b.short.set(&b.short.disk, short) {
		b.log.Warn("disk alarm changed", "low", short, "free", free, "went_in_a_second", went, "limit", limit, "full", full, "dir", b.dir)
	}
}
