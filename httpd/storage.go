package httpd

import (
	"time"

	"github.com/leveret-mq/leveret/monitor"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// storagePaths are what this file answers. RabbitMQ has nothing like it.
var storagePaths = map[string]resource{
	"/api/storage": {get: action{monitoring, getStorage}},
}

// tierJSON is one of the places where messages are.
type tierJSON struct {
	Files    int   `json:"files"`
	Bytes    int64 `json:"bytes"`
	Live     int64 `json:"live"`
	Raw      int64 `json:"raw"`
	Messages int64 `json:"messages"`
}

func showTier(t store.Tier) tierJSON { return tierJSON(t) }

// timesJSON are times in milliseconds.
type timesJSON struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func showTimes(h *wal.Histogram) timesJSON {
	const ms = 1000 // µs
	return timesJSON{h.Count, round(h.Mean() / ms), round(h.Quantile(0.5) / ms), round(h.Quantile(0.99) / ms), round(float64(h.Max) / ms)}
}

// groupJSON is how many batches went into one commit.
type groupJSON struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Max  uint64  `json:"max"`
}

// workJSON is what a kind of background work has done.
type workJSON struct {
	Runs     int64   `json:"runs"`
	Failed   int64   `json:"failed"`
	Files    int64   `json:"files"`
	Read     int64   `json:"read_bytes"`
	Written  int64   `json:"written_bytes"`
	Messages int64   `json:"messages"`
	Busy     float64 `json:"busy_seconds"`
}

func showWork(w store.Work) workJSON {
	return workJSON{w.Runs, w.Failed, w.Files, w.Read, w.Written, w.Messages, w.Busy.Seconds()}
}

type walJSON struct {
	Commits  uint64    `json:"commits"`
	Frames   uint64    `json:"frames"`
	Batches  uint64    `json:"batches"`
	Records  uint64    `json:"records"`
	Bytes    uint64    `json:"bytes"`
	Files    uint64    `json:"files"`
	Recycled uint64    `json:"recycled"`
	Spares   int       `json:"spares"`
	Spare    int64     `json:"spare_bytes"`
	FullWait float64   `json:"full_wait_seconds"`
	Write    timesJSON `json:"write"`
	Sync     timesJSON `json:"fsync"`
	Group    groupJSON `json:"group"`
}

type tiersJSON struct {
	Log      tierJSON `json:"log"`
	Segments tierJSON `json:"segments"`
	Large    tierJSON `json:"large"`
	Memory   tierJSON `json:"memory"`
	Spilled  tierJSON `json:"spilled"`
}

type classJSON struct {
	Below int64 `json:"below"` // bytes of a file; 0: no bound
	tierJSON
}

type writtenJSON struct {
	Log         int64 `json:"log"`
	Segments    int64 `json:"segments"`
	Large       int64 `json:"large"`
	Checkpoints int64 `json:"checkpoints"`
	Total       int64 `json:"total"`
}

type cacheJSON struct {
	Hits    int64 `json:"hits"`
	Misses  int64 `json:"misses"`
	Evicted int64 `json:"evicted"`
	Read    int64 `json:"read_bytes"`
	Blocks  int   `json:"blocks"`
	Bytes   int64 `json:"bytes"`
	Limit   int64 `json:"limit"`
}

type recoveryJSON struct {
	Seconds    float64 `json:"seconds"`
	Messages   int     `json:"messages"`
	Replayed   int64   `json:"replayed_bytes"`
	Checkpoint int64   `json:"checkpoint_bytes"`
	FellBack   int     `json:"fell_back"`
}

// storageJSON is the engine in answers.
type storageJSON struct {
	Dir         string                  `json:"dir"`
	WAL         walJSON                 `json:"wal"`
	Tiers       tiersJSON               `json:"tiers"`
	Classes     []classJSON             `json:"segment_classes"`
	Space       float64                 `json:"space_amplification"`
	Write       float64                 `json:"write_amplification"`
	Published   int64                   `json:"published_bytes"`
	Written     writtenJSON             `json:"written"`
	Retirement  workJSON                `json:"retirement"`
	Compaction  workJSON                `json:"compaction"`
	Unretired   int64                   `json:"unretired_bytes"`
	Throttled   float64                 `json:"throttled_seconds"`
	Cache       cacheJSON               `json:"cache"`
	Reads       int64                   `json:"log_reads"`
	ReadBytes   int64                   `json:"log_read_bytes"`
	Checkpoints int64                   `json:"checkpoints_written"`
	Checkpoint  int64                   `json:"checkpoint_bytes"`
	Damaged     int64                   `json:"damaged_messages"`
	Recovery    recoveryJSON            `json:"recovery"`
	Disk        diskJSON                `json:"disk"`
	Samples     map[string][][2]float64 `json:"samples"`
}

type diskJSON struct {
	Free  int64 `json:"free"` // -1: not known
	Limit int64 `json:"limit"`
	Alarm bool  `json:"alarm"`
}

// storageSamples are the figures that /api/storage has samples of: [ms since 1970,
// value], the oldest first.
var storageSamples = []monitor.Field{
	monitor.SyncP50, monitor.SyncP99, monitor.SyncTime, monitor.SyncCount, monitor.WriteTime, monitor.WriteBytes, monitor.GroupMean,
	monitor.LogBytes, monitor.SegmentBytes, monitor.LargeBytes, monitor.TransientBytes, monitor.LiveBytes, monitor.DiskFree, monitor.MemoryUsed,
}

// defaultSamples are those of a request that does not say.
var defaultSamples = monitor.Window{Age: 10 * time.Minute, Every: 5 * time.Second}

func getStorage(c *call) error {
	w, err := c.windows()
	if err != nil {
		return err
	}
	if w.lengths == nil {
		w.lengths = &defaultSamples
	}
	m, r := c.b.Storage(), c.b.Resources()
	out := storageJSON{
		Dir: r.Dir,
		WAL: walJSON{
			m.WAL.Commits, m.WAL.Frames, m.WAL.Batches, m.WAL.Records, m.WAL.Bytes, m.WAL.Files, m.WAL.Recycled, m.WAL.Spares, m.WAL.Spare,
			m.WAL.FullWait.Seconds(), showTimes(&m.WAL.Write), showTimes(&m.WAL.Sync),
			groupJSON{round(m.WAL.Group.Mean()), round(m.WAL.Group.Quantile(0.5)), round(m.WAL.Group.Quantile(0.99)), m.WAL.Group.Max},
		},
		Tiers:      tiersJSON{showTier(m.Log), showTier(m.Segments), showTier(m.Large), showTier(m.Memory), showTier(m.Spilled)},
		Space:      round(m.SpaceAmplification),
		Write:      round(m.WriteAmplification),
		Published:  m.Published,
		Written:    writtenJSON{m.Written.Log, m.Written.Segments, m.Written.Large, m.Written.Checkpoints, m.Written.Total()},
		Retirement: showWork(m.Retirement), Compaction: showWork(m.Compaction),
		Unretired: m.Unretired, Throttled: m.Throttled.Seconds(),
		Cache: cacheJSON{m.Cache.Hits, m.Cache.Misses, m.Cache.Evicted, m.Cache.ReadBytes, m.Cache.Blocks, m.Cache.Bytes, m.Cache.Limit},
		Reads: m.Reads.Count, ReadBytes: m.Reads.Bytes,
		Checkpoints: m.CheckpointsWritten, Checkpoint: m.CheckpointSize, Damaged: m.Damaged,
		Recovery: recoveryJSON{m.Recovery.Time.Seconds(), m.Recovery.Messages, m.Recovery.Replayed, m.Recovery.Checkpoint, m.Recovery.FellBack},
		Disk:     diskJSON{r.DiskFree, r.DiskLimit, r.DiskAlarm},
		Classes:  []classJSON{},
		Samples:  map[string][][2]float64{},
	}
	for _, class := range m.Classes {
		out.Classes = append(out.Classes, classJSON{class.Below, showTier(class.Tier)})
	}
	if watch := c.s.monitor.Load(); watch != nil {
		h := watch.History(monitor.Object{Kind: monitor.Node}, *w.lengths)
		for _, f := range storageSamples {
			values, _ := h.Values(f)
			line := make([][2]float64, len(values))
			for i, v := range values {
				line[len(values)-1-i] = [2]float64{float64(h.Times[i].UnixMilli()), v}
			}
			out.Samples[f.String()] = line
		}
	}
	return c.one(out)
}
