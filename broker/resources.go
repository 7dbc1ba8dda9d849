package broker

import (
	"time"

	"github.com/leveret-mq/leveret/store"
)

// Resources are what the broker needs of its machine, and whether that is short.
type Resources struct {
	// MemoryUsed is what the process has of the system and has not given back;
	// MemoryLimit is where publishers are held up, 0 where there is no limit.
	MemoryUsed, MemoryLimit int64
	MemoryAlarm             bool
	// DiskFree is what is free where the data is, -1 where that is not known;
	// DiskLimit is where publishers are held up, 0 where there is no limit.
	DiskFree, DiskLimit int64
	DiskAlarm           bool
	// Dir is the data directory.
	Dir string
	// Started is when Open began.
	Started time.Time
}

// Resources tells what there is at the moment. It asks the operating system.
func (b *Broker) Resources() Resources {
	r := Resources{
		MemoryUsed: newProcess().used(), MemoryLimit: max(b.Limits().Memory, 0),
		DiskFree: -1, DiskLimit: max(b.Limits().DiskFree, 0),
		Dir: b.dir, Started: b.started,
	}
	if free, err := b.opts.Store.FS.Free(b.dir); err == nil {
		r.DiskFree = int64(min(free, 1<<62))
	}
	b.short.mu.Lock()
	r.MemoryAlarm, r.DiskAlarm = b.short.memory, b.short.disk
	b.short.mu.Unlock()
	return r
}

// Storage is what the engine tells of itself.
func (b *Broker) Storage() store.Metrics { return b.store.Metrics() }
