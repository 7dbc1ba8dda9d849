package monitor

import (
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// NodeFigures are of the process, its machine and its files, as the last sample found
// them.
type NodeFigures struct {
	Time time.Time // of the sample
	broker.Resources
	ProcessID    int
	Processors   int
	Goroutines   int
	FDs, FDLimit int // open files and sockets; 0: not known
	// Sockets are clients' connections.
	Sockets, SocketLimit int
	// Resident is the memory that the system counts as the process's, 0 where that is
	// not known; Resources.MemoryUsed is what the memory alarm goes by.
	Resident        int64
	ContextSwitches uint64 // of all threads; 0: not known
	Collections     uint64 // of garbage
	CollectedBytes  uint64
	Memory          MemoryFigures
	Storage         store.Metrics
	// Of the time between the last two samples, in milliseconds; 0 without a write.
	WriteTime, SyncTime, SyncP50, SyncP99 float64
	// GroupMean is how many batches went into one commit then.
	GroupMean float64
}

// MemoryFigures tell what the Go runtime's memory is used for, in bytes.
type MemoryFigures struct {
	Heap     uint64 // objects, dead ones included that are not collected yet
	Unused   uint64 // kept for objects
	Stacks   uint64
	Runtime  uint64 // the runtime's own
	Released uint64 // given back to the system
	Total    uint64 // all that the process has mapped, what was given back included
}

// Node is what the last sample found.
func (m *Monitor) Node() *NodeFigures { return m.node.Load() }

// walSeen is the log's histograms at the last sample.
type walSeen struct{ write, sync, group wal.Histogram }

// since is what was added to a histogram; its largest value is not known better than
// by its bucket.
func since(now, before *wal.Histogram) wal.Histogram {
	h := wal.Histogram{Count: now.Count - before.Count, Sum: now.Sum - before.Sum}
	for i := range h.Buckets {
		if h.Buckets[i] = now.Buckets[i] - before.Buckets[i]; h.Buckets[i] > 0 {
			h.Max = min(now.Max, now.Bound(i))
		}
	}
	return h
}

var runtimeNames = []string{
	"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/objects:bytes",
	"/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes", "/memory/classes/heap/stacks:bytes",
	"/memory/classes/os-stacks:bytes", "/gc/cycles/total:gc-cycles", "/gc/heap/frees:bytes",
}

// readRuntime fills in what the Go runtime tells of itself.
func (n *NodeFigures) readRuntime() {
	all := make([]metrics.Sample, len(runtimeNames))
	for i, name := range runtimeNames {
		all[i].Name = name
	}
	metrics.Read(all)
	v := func(i int) uint64 { return all[i].Value.Uint64() }
	f := &n.Memory
	f.Total, f.Released, f.Heap, f.Unused, f.Stacks = v(0), v(1), v(2), v(3)+v(4), v(5)+v(6)
	f.Runtime = f.Total - min(f.Total, f.Released+f.Heap+f.Unused+f.Stacks)
	n.Collections, n.CollectedBytes = v(7), v(8)
	n.Goroutines = runtime.NumGoroutine()
}

func (m *Monitor) sampleNode(tick int, seconds float64, t *Totals) {
	n := &NodeFigures{
		Time: t.Time, Resources: m.src.Resources(), Storage: m.src.Storage(),
		ProcessID: os.Getpid(), Processors: runtime.GOMAXPROCS(0), Sockets: t.Connections, SocketLimit: m.opts.MaxSockets,
	}
	n.readRuntime()
	n.readProcess()
	if n.SocketLimit == 0 {
		n.SocketLimit = n.FDLimit
	}
	st := &n.Storage
	write, sync, group := since(&st.WAL.Write, &m.wal.write), since(&st.WAL.Sync, &m.wal.sync), since(&st.WAL.Group, &m.wal.group)
	m.wal = walSeen{st.WAL.Write, st.WAL.Sync, st.WAL.Group}
	const ms = 1000 // µs
	n.WriteTime, n.SyncTime = write.Mean()/ms, sync.Mean()/ms
	if sync.Count > 0 {
		n.SyncP50, n.SyncP99 = round(sync.Quantile(0.5)/ms), round(sync.Quantile(0.99)/ms)
	}
	n.GroupMean = group.Mean()
	t.DiskReads, t.DiskWrites = uint64(st.DiskReads().Count), st.WAL.Records

	var v sample
	set := func(f Field, x float64) { v[place[Node][f]] = x }
	set(MemoryUsed, float64(n.MemoryUsed))
	set(FilesUsed, float64(n.FDs))
	set(SocketsUsed, float64(n.Sockets))
	set(Goroutines, float64(n.Goroutines))
	set(DiskFree, float64(n.DiskFree))
	set(Collections, float64(n.Collections))
	set(CollectedBytes, float64(n.CollectedBytes))
	set(ContextSwitches, float64(n.ContextSwitches))
	set(ReadCount, float64(t.DiskReads))
	set(ReadBytes, float64(st.DiskReads().Bytes))
	set(WriteCount, float64(st.WAL.Write.Count))
	set(WriteBytes, float64(st.Written.Total()))
	set(WriteTime, n.WriteTime)
	set(SyncCount, float64(st.WAL.Sync.Count))
	set(SyncTime, n.SyncTime)
	set(SyncP50, n.SyncP50)
	set(SyncP99, n.SyncP99)
	set(GroupMean, n.GroupMean)
	set(LogBytes, float64(st.Log.Bytes))
	set(SegmentBytes, float64(st.Segments.Bytes))
	set(LargeBytes, float64(st.Large.Bytes))
	set(TransientBytes, float64(st.Memory.Bytes+st.Spilled.Bytes))
	set(LiveBytes, float64(st.Log.Live+st.Segments.Live+st.Large.Live))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(&m.own[Node], Node, &v, false, tick, seconds, unbounded)
	m.node.Store(n)
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }
