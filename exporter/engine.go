package exporter

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// engine collects what RabbitMQ has not: leveret_…, the storage engine's figures
// as they are at a scrape.
type engine struct{ s *Server }

// figure is a metric of the engine that has one value.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(m *store.Metrics) float64
}

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("leveret_"+name, help, labels, nil)
}

func counts(name, help string, value func(m *store.Metrics) float64) figure {
	return figure{newDesc(name, help), prometheus.CounterValue, value}
}

func measures(name, help string, value func(m *store.Metrics) float64) figure {
	return figure{newDesc(name, help), prometheus.GaugeValue, value}
}

// The metrics with more than one value, or of another source than store.Metrics.
var (
	readyDesc   = newDesc("ready", "1 once recovery is over and clients are served, 0 before.")
	failedDesc  = newDesc("log_failed", "1 where the log can be written no more, so that persistent messages are refused until a restart.")
	blockedDesc = newDesc("publishers_blocked", "1 while publishers are held up for want of memory or disk space.")
	buildDesc   = newDesc("build_info", "The release, and what it was built with.", "version", "go_version")

	syncDesc  = newDesc("wal_fsync_duration_seconds", "Time that an fdatasync of the log took.")
	writeDesc = newDesc("wal_write_duration_seconds", "Time that the write of a group to the log took, before its fdatasync.")
	groupDesc = newDesc("wal_group_batches", "Batches that one fdatasync made durable.")

	tierFiles    = newDesc("storage_files", "Files of a tier.", "tier")
	tierBytes    = newDesc("storage_bytes", "Bytes that a tier takes, of disk or, for the tier memory, of memory.", "tier")
	tierLive     = newDesc("storage_live_bytes", "Of storage_bytes, what belongs to messages that are not gone.", "tier")
	tierRaw      = newDesc("storage_raw_bytes", "What storage_live_bytes is without compression.", "tier")
	tierMessages = newDesc("storage_messages", "Messages of a tier that are not gone; one in several queues counts in each.", "tier")

	classFiles = newDesc("segment_class_files", "Segments of about one size: below that many bytes, and not below the class before.", "below")
	classBytes = newDesc("segment_class_bytes", "Bytes of the segments of a class.", "below")

	auditDesc  = newDesc("audit_events_total", "Events written to the audit log.")
	auditFails = newDesc("audit_failures_total", "Events that could not be written to the audit log.")

	writtenDesc = newDesc("written_bytes_total", "Bytes written to files.", "to")
)

// figures are the metrics that are one value each.
var figures = append(append([]figure{
	counts("wal_commits_total", "Groups that an fdatasync made durable.", func(m *store.Metrics) float64 { return float64(m.WAL.Commits) }),
	counts("wal_frames_total", "Frames in these groups.", func(m *store.Metrics) float64 { return float64(m.WAL.Frames) }),
	counts("wal_batches_total", "Batches in these groups.", func(m *store.Metrics) float64 { return float64(m.WAL.Batches) }),
	counts("wal_records_total", "Records in these groups.", func(m *store.Metrics) float64 { return float64(m.WAL.Records) }),
	counts("wal_written_bytes_total", "Bytes written to the log, with headers and padding.", func(m *store.Metrics) float64 { return float64(m.WAL.Bytes) }),
	counts("wal_files_total", "Log files that were begun.", func(m *store.Metrics) float64 { return float64(m.WAL.Files) }),
	counts("wal_files_recycled_total", "Log files that were begun over files needed no more.", func(m *store.Metrics) float64 { return float64(m.WAL.Recycled) }),
	counts("wal_files_prepared_total", "Log files that were filled with zeros in advance.", func(m *store.Metrics) float64 { return float64(m.WAL.Prepared) }),
	measures("wal_spare_files", "Files kept to be written over.", func(m *store.Metrics) float64 { return float64(m.WAL.Spares) }),
	measures("wal_spare_bytes", "Their bytes.", func(m *store.Metrics) float64 { return float64(m.WAL.Spare) }),
	counts("wal_full_wait_seconds_total", "Time that the log waited for room on a full disk.", func(m *store.Metrics) float64 { return m.WAL.FullWait.Seconds() }),
	counts("wal_reads_total", "Reads of log files for messages that had left the log's cache.", func(m *store.Metrics) float64 { return float64(m.Reads.Count) }),
	counts("wal_read_bytes_total", "Bytes of these reads.", func(m *store.Metrics) float64 { return float64(m.Reads.Bytes) }),
	measures("wal_unretired_bytes", "Bytes of the log that retirement has not gone through.", func(m *store.Metrics) float64 { return float64(m.Unretired) }),

	measures("space_amplification_ratio", "Bytes on disk over the bytes of messages that are not gone; 0 where nothing is alive.", func(m *store.Metrics) float64 { return m.SpaceAmplification }),
	measures("write_amplification_ratio", "Bytes written to disk over the bytes of persistent messages published; 0 before the first.", func(m *store.Metrics) float64 { return m.WriteAmplification }),
	counts("published_bytes_total", "Bytes of the persistent messages published to durable queues, counted once where they went to several.", func(m *store.Metrics) float64 { return float64(m.Published) }),
	counts("throttled_seconds_total", "Time that publishers were held up because retirement did not keep up.", func(m *store.Metrics) float64 { return m.Throttled.Seconds() }),

	counts("cache_hits_total", "Blocks of segments that were found in the cache.", func(m *store.Metrics) float64 { return float64(m.Cache.Hits) }),
	counts("cache_misses_total", "Blocks of segments that were read from disk.", func(m *store.Metrics) float64 { return float64(m.Cache.Misses) }),
	counts("cache_evictions_total", "Blocks that made room for others.", func(m *store.Metrics) float64 { return float64(m.Cache.Evicted) }),
	counts("cache_read_bytes_total", "Bytes read from segments into the cache.", func(m *store.Metrics) float64 { return float64(m.Cache.ReadBytes) }),
	measures("cache_blocks", "Blocks in the cache.", func(m *store.Metrics) float64 { return float64(m.Cache.Blocks) }),
	measures("cache_bytes", "Memory of the cache.", func(m *store.Metrics) float64 { return float64(m.Cache.Bytes) }),
	measures("cache_limit_bytes", "Bound of cache_bytes.", func(m *store.Metrics) float64 { return float64(m.Cache.Limit) }),

	counts("checkpoints_total", "Checkpoints that were written.", func(m *store.Metrics) float64 { return float64(m.CheckpointsWritten) }),
	measures("checkpoint_bytes", "Size of the newest checkpoint.", func(m *store.Metrics) float64 { return float64(m.CheckpointSize) }),
	counts("damaged_messages_total", "Messages that could not be read from disk and were set aside.", func(m *store.Metrics) float64 { return float64(m.Damaged) }),

	measures("recovery_duration_seconds", "Time that the start took to read the data directory.", func(m *store.Metrics) float64 { return m.Recovery.Time.Seconds() }),
	measures("recovery_messages", "Messages that the start found.", func(m *store.Metrics) float64 { return float64(m.Recovery.Messages) }),
	measures("recovery_replayed_bytes", "Bytes of log that the start replayed.", func(m *store.Metrics) float64 { return float64(m.Recovery.Replayed) }),
	measures("recovery_checkpoint_bytes", "Size of the checkpoint that the start read.", func(m *store.Metrics) float64 { return float64(m.Recovery.Checkpoint) }),
	measures("recovery_damaged_checkpoints", "Checkpoints that the start passed over because they were damaged.", func(m *store.Metrics) float64 { return float64(m.Recovery.FellBack) }),
}, work("retirement", "log files", func(m *store.Metrics) *store.Work { return &m.Retirement })...),
	work("compaction", "segments", func(m *store.Metrics) *store.Work { return &m.Compaction })...)

// work are the metrics of a kind of background work.
func work(name, files string, of func(m *store.Metrics) *store.Work) []figure {
	return []figure{
		counts(name+"_runs_total", "Runs of "+name+" that succeeded.", func(m *store.Metrics) float64 { return float64(of(m).Runs) }),
		counts(name+"_failures_total", "Runs of "+name+" that failed.", func(m *store.Metrics) float64 { return float64(of(m).Failed) }),
		counts(name+"_files_total", "What went into "+name+": "+files+".", func(m *store.Metrics) float64 { return float64(of(m).Files) }),
		counts(name+"_read_bytes_total", "Bytes that "+name+" read.", func(m *store.Metrics) float64 { return float64(of(m).Read) }),
		counts(name+"_written_bytes_total", "Bytes that "+name+" wrote.", func(m *store.Metrics) float64 { return float64(of(m).Written) }),
		counts(name+"_messages_total", "Messages that "+name+" kept.", func(m *store.Metrics) float64 { return float64(of(m).Messages) }),
		counts(name+"_busy_seconds_total", "Time that "+name+" worked.", func(m *store.Metrics) float64 { return of(m).Busy.Seconds() }),
	}
}

// Describe lists the metrics for the registry.
func (e *engine) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, failedDesc, blockedDesc, buildDesc, syncDesc, writeDesc, groupDesc,
		tierFiles, tierBytes, tierLive, tierRaw, tierMessages, classFiles, classBytes, writtenDesc, auditDesc, auditFails} {
		ch <- d
	}
	for _, f := range figures {
		ch <- f.desc
	}
}

// Collect sends what there is at the moment.
func (e *engine) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	put(buildDesc, prometheus.GaugeValue, 1, e.s.opts.Version, runtime.Version())
	src := e.s.from()
	put(readyDesc, prometheus.GaugeValue, truth(src != nil))
	if src == nil {
		return
	}
	put(failedDesc, prometheus.GaugeValue, truth(src.Err() != nil))
	put(blockedDesc, prometheus.GaugeValue, truth(src.Alarm() != ""))
	trail := src.AuditLog().Stats()
	put(auditDesc, prometheus.CounterValue, float64(trail.Entries))
	put(auditFails, prometheus.CounterValue, float64(trail.Failed))
	m := src.Storage()
	for _, f := range figures {
		put(f.desc, f.kind, f.value(&m))
	}
	ch <- times(syncDesc, &m.WAL.Sync)
	ch <- times(writeDesc, &m.WAL.Write)
	ch <- numbers(groupDesc, &m.WAL.Group)
	for _, t := range []struct {
		name string
		tier *store.Tier
	}{{"log", &m.Log}, {"segments", &m.Segments}, {"large", &m.Large}} {
		put(tierFiles, prometheus.GaugeValue, float64(t.tier.Files), t.name)
		put(tierBytes, prometheus.GaugeValue, float64(t.tier.Bytes), t.name)
		put(tierLive, prometheus.GaugeValue, float64(t.tier.Live), t.name)
		put(tierRaw, prometheus.GaugeValue, float64(t.tier.Raw), t.name)
		put(tierMessages, prometheus.GaugeValue, float64(t.tier.Messages), t.name)
	}
	put(tierBytes, prometheus.GaugeValue, float64(m.Memory.Bytes), "memory")
	put(tierBytes, prometheus.GaugeValue, float64(m.Spilled.Bytes), "spilled")
	for _, c := range m.Classes {
		below := "+Inf"
		if c.Below > 0 {
			below = strconv.FormatInt(c.Below, 10)
		}
		put(classFiles, prometheus.GaugeValue, float64(c.Files), below)
		put(classBytes, prometheus.GaugeValue, float64(c.Bytes), below)
	}
	put(writtenDesc, prometheus.CounterValue, float64(m.Written.Log), "log")
	put(writtenDesc, prometheus.CounterValue, float64(m.Written.Segments), "segments")
	put(writtenDesc, prometheus.CounterValue, float64(m.Written.Large), "large")
	put(writtenDesc, prometheus.CounterValue, float64(m.Written.Checkpoints), "checkpoints")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// The buckets of a time's histogram that are told: below 16 µs and above half a
// minute nothing is worth a series.
const (
	firstTime = 4
	lastTime  = 25
)

// times makes a histogram of seconds from one of microseconds. A time of 15.9 µs
// counts as 15, so that what lies in buckets 0 to i lasted less than 2^i µs.
func times(d *prometheus.Desc, h *wal.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, lastTime-firstTime+1)
	var below uint64
	for i := range wal.HistogramBuckets - 1 {
		below += h.Buckets[i]
		if i >= firstTime && i <= lastTime {
			buckets[float64(uint64(1)<<i)/1e6] = below
		}
	}
	return prometheus.MustNewConstHistogram(d, h.Count, float64(h.Sum)/1e6, buckets)
}

// lastNumber is the last bucket of a histogram of numbers that is told.
const lastNumber = 14

// numbers makes a histogram of whole numbers.
func numbers(d *prometheus.Desc, h *wal.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, lastNumber)
	var below uint64
	for i := range lastNumber + 1 {
		below += h.Buckets[i]
		if i > 0 {
			buckets[float64(h.Bound(i))] = below
		}
	}
	return prometheus.MustNewConstHistogram(d, h.Count, float64(h.Sum), buckets)
}
