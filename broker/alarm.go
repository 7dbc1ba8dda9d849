package broker

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// diskInterval is how often the free space is asked for.
const diskInterval = time.Second

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
	if b.opts.DiskFreeLimit < 0 {
		return
	}
	t := time.NewTicker(diskInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.lookAtDisk()
		case <-b.stop:
			return
		}
	}
}

func (b *Broker) lookAtDisk() {
	if b.opts.DiskFreeLimit < 0 {
		return
	}
	free, err := b.opts.Store.FS.Free(b.dir)
	if err != nil {
		b.log.Warn("free disk space is unknown", "dir", b.dir, "err", err)
	}
	short := err == nil && free < uint64(b.opts.DiskFreeLimit)
	if b.short.set(&b.short.disk, short) {
		b.log.Warn("disk alarm changed", "low", short, "free", free, "limit", b.opts.DiskFreeLimit, "dir", b.dir)
	}
}
