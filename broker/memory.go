package broker

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/leveret-mq/leveret/internal/ram"
)

// Memory is bounded twice. What can be elsewhere leaves it: the store spills
// transient messages over half of the limit, and the log's cache and what waits
// for the disk are kept to an eighth each. The rest (entries of queues,
// connections, what clients send faster than it goes anywhere) can only be kept
// from growing, so over the limit publishers are held up.

const (
	// memoryShare is RabbitMQ's vm_memory_high_watermark: the limit is this many
	// hundredths of the memory that there is.
	memoryShare = 40
	// memoryInterval is how often the memory in use is looked at.
	memoryInterval = 250 * time.Millisecond
	// collectInterval is how often, at most, garbage is collected to know better.
	collectInterval = 2 * time.Second
	// logShare is the part of the limit that the log's cache may take, and what
	// waits to be written; where it is less than store.Options has for both.
	logShare   = 8
	logDefault = 32 << 20
	logLeast   = 2 << 20
)

// MemoryLimit is the default of Options.MemoryLimit: 40 % of the memory that
// there is for this process. 0: it is not known.
func MemoryLimit() int64 {
	n, err := ram.Total()
	if err != nil {
		return 0
	}
	return n / 100 * memoryShare
}

// shareMemory divides the limit, where nothing else is said.
func (o *Options) shareMemory() {
	st := &o.Store
	spill := o.MemoryLimit / 2
	if o.MemoryLimit < 0 {
		spill = -1
	}
	if st.MemoryBytes == 0 {
		st.MemoryBytes = spill
	}
	if o.MemoryLimit <= 0 {
		return
	}
	share := max(o.MemoryLimit/logShare, logLeast)
	if st.WAL.CacheSize == 0 && share < logDefault {
		st.WAL.CacheSize = share
	}
	if st.WAL.MaxStaged == 0 && share < logDefault {
		st.WAL.MaxStaged = share
	}
}

// gauge tells how much memory the process uses, in bytes. A test has its own.
type gauge interface {
	used() int64
	// collect frees what is garbage.
	collect()
}

// process is the gauge of this process: what the Go runtime has of the system
// and has not given back, garbage included.
type process struct{ samples []metrics.Sample }

func newProcess() *process {
	return &process{[]metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}}
}

func (p *process) used() int64 {
	metrics.Read(p.samples)
	return int64(p.samples[0].Value.Uint64()) - int64(p.samples[1].Value.Uint64())
}

func (p *process) collect() { debug.FreeOSMemory() }

// watchMemory keeps the alarm up to date.
func (b *Broker) watchMemory() {
	t := time.NewTicker(memoryInterval)
	defer t.Stop()
	var collected time.Time
	for {
		select {
		case now := <-t.C:
			if b.lookAtMemory(now.Sub(collected) >= collectInterval) {
				collected = now
			}
		case <-b.stop:
			return
		}
	}
}

// lookAtMemory raises or ends the alarm. With collect it may collect garbage,
// where the answer depends on it, and then returns true. The alarm ends a
// sixteenth below the limit, so that it does not come and go.
func (b *Broker) lookAtMemory(collect bool) (collected bool) {
	var used int64
	limit := b.Limits().Memory
	if limit > 0 {
		most := limit
		if b.overLimit {
			most -= limit / 16
		}
		if used = b.gauge.used(); used > most && collect {
			b.gauge.collect()
			used = b.gauge.used()
			collected = true
		}
		if used <= most || collected {
			b.overLimit = used > most
		}
	} else {
		b.overLimit = false // the limit was taken away
	}
	failing := b.store.Pressed()
	short := b.overLimit || failing
	if b.short.set(&b.short.memory, short) {
		b.log.Warn("memory alarm changed", "low", short, "used", used, "limit", limit, "spilling_fails", failing)
	}
	return collected
}
