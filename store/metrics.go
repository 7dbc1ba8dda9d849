package store

import (
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// Metrics is what the engine tells of itself. Counters run from Open on, sizes
// are of the moment, bytes are bytes. Taking it costs a walk over the files'
// lists in memory and no I/O; what it counts costs a batch, a commit, or a piece
// of background work a few additions, and a message nothing.
type Metrics struct {
	// WAL is the log's own: commits, fsync latency and group size as
	// histograms, bytes written.
	WAL wal.Stats

	// Where messages are. Large ones, of a file each, are a tier of their own.
	// Memory is messages that need no disk, Spilled those of them that lie there
	// for want of memory; of both what is alive is not known.
	Log, Segments, Large, Memory, Spilled Tier
	// Classes are the segments by size, the smallest class first.
	Classes []SizeClass

	// SpaceAmplification is the bytes of the durable tiers and the newest
	// checkpoint over the live ones in them. Where nothing is alive it is 0: there is
	// nothing that they could be compared with.
	SpaceAmplification float64
	// WriteAmplification is Written.Total over Published, 0 before the first
	// publish.
	WriteAmplification float64
	// Published is the bytes of persistent messages that were published to
	// durable queues, as blobs: body, properties, exchange, routing key and 24
	// bytes. A fan-out counts once, and so do large messages.
	Published int64
	Written   Written

	Retirement, Compaction Work
	// Unretired is the bytes of log that retirement has not gone through.
	Unretired int64
	// Throttled is for how long publishers were held up for it, all together.
	Throttled time.Duration

	Cache CacheMetrics
	Reads Reads

	CheckpointsWritten int64
	CheckpointSize     int64 // of the newest, in bytes

	Damaged  int64 // messages that could not be read and were set aside
	Recovery Recovery
}

// Tier is one of the places where messages are.
type Tier struct {
	Files    int
	Bytes    int64 // of the files, or of memory
	Live     int64 // of Bytes, what belongs to messages that are not gone
	Raw      int64 // what Live is without compression
	Messages int64 // that are not gone; one in several queues counts in each
}

// Dead is the bytes that belong to no message any more.
func (t Tier) Dead() int64 { return max(t.Bytes-t.Live, 0) }

// SizeClass is the segments of about one size.
type SizeClass struct {
	Below int64 // bytes of a file; 0: no bound
	Tier
}

// Written is the bytes written to files.
type Written struct{ Log, Segments, Large, Checkpoints int64 }

// Total is the sum.
func (w Written) Total() int64 { return w.Log + w.Segments + w.Large + w.Checkpoints }

// Work is what a kind of background work has done.
type Work struct {
	Runs     int64 // that succeeded
	Failed   int64
	Files    int64 // that went in: of the log, or segments
	Read     int64 // bytes
	Written  int64 // bytes
	Messages int64 // that were kept
	Busy     time.Duration
}

// CacheMetrics are of the cache of decompressed blocks.
type CacheMetrics struct {
	segment.CacheStats
	Limit int64 // of Bytes
}

// Reads is what was read of the log's files for messages that had left its
// cache. Those of segments are in CacheMetrics.
type Reads struct{ Count, Bytes int64 }

// DiskReads are all reads of messages from disk: of the log's files and of segments.
func (m *Metrics) DiskReads() Reads {
	return Reads{m.Reads.Count + m.Cache.Misses, m.Reads.Bytes + m.Cache.ReadBytes}
}

// Recovery is what Open did.
type Recovery struct {
	Time       time.Duration
	Messages   int   // found
	Replayed   int64 // bytes of log
	Checkpoint int64 // bytes of the one that was read
	FellBack   int   // damaged checkpoints that were passed over
}

// work counts background work. Each kind has one goroutine at a time.
type work struct {
	runs, failed, files, read, written, messages, busy atomic.Int64
}

// done notes a run that began at some time.
func (w *work) done(begin time.Time, err error) {
	w.busy.Add(int64(time.Since(begin)))
	if err != nil {
		w.failed.Add(1)
	} else {
		w.runs.Add(1)
	}
}

func (w *work) metrics() Work {
	return Work{
		Runs: w.runs.Load(), Failed: w.failed.Load(), Files: w.files.Load(), Read: w.read.Load(),
		Written: w.written.Load(), Messages: w.messages.Load(), Busy: time.Duration(w.busy.Load()),
	}
}

// counters are what the rest of the store counts for Metrics.
type counters struct {
	published              atomic.Int64 // added to once a batch
	large                  atomic.Int64 // bytes of large messages' files
	retirement, compaction work
	throttled              atomic.Int64 // ns
	unretired              atomic.Int64 // bytes, less the log's end at the time
	checkpointBytes        atomic.Int64 // written, catalogs too
}

// Metrics returns the engine's figures.
func (s *Store) Metrics() Metrics {
	m := Metrics{
		WAL:        s.log.Stats(),
		Reads:      Reads{Count: s.reads.Load(), Bytes: s.readBytes.Load()},
		Damaged:    s.damaged.Load(),
		Retirement: s.figures.retirement.metrics(),
		Compaction: s.figures.compaction.metrics(),
		Published:  s.figures.published.Load() + s.figures.large.Load(),
		Recovery:   Recovery{Time: s.recoveryTime, Messages: s.recovered, FellBack: s.fellBack, Checkpoint: s.checkpoints.loaded},
	}
	for _, f := range s.log.Files() {
		m.Log.Files++
		m.Log.Bytes += f.Disk
	}
	m.Log.Bytes += m.WAL.Spare
	m.Log.Messages, m.Log.Live = s.live.size()
	m.Log.Raw = m.Log.Live
	m.Large.Files, m.Large.Bytes = s.larges.stats()
	m.Large.Messages, m.Large.Live, m.Large.Raw = int64(m.Large.Files), m.Large.Bytes, m.Large.Bytes
	s.segments.metrics(&m)
	m.Cache = CacheMetrics{s.segments.cache.Stats(), s.opts.CacheBytes}
	ar := s.arena.Stats()
	m.Memory.Bytes, m.Spilled.Bytes = ar.Memory, ar.Disk

	sum := s.log.Recovered()
	m.Recovery.Replayed = int64(sum.End - sum.Start)
	c := &s.checkpoints
	m.CheckpointsWritten, m.CheckpointSize = c.written.Load(), c.lastSize.Load()
	m.Written.Log = int64(m.WAL.Bytes + m.WAL.Zeros)
	m.Written.Large = s.figures.large.Load()
	m.Written.Checkpoints = s.figures.checkpointBytes.Load()
	m.Throttled = time.Duration(s.figures.throttled.Load())
	m.Unretired = max(0, s.figures.unretired.Load()+int64(s.log.Appended()))
	m.amplify()
	return m
}

// metrics adds the segments' figures. Sizes of segments that an earlier process
// has made are known when compaction has looked at them, a second after Open.
func (t *segments) metrics(m *Metrics) {
	bounds := sizeClasses(t.s.opts.CompactSlack)
	for _, below := range append(bounds, 0) {
		m.Classes = append(m.Classes, SizeClass{Below: below})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		if f.doomed {
			continue
		}
		class := sizeClass(bounds, f.info.Size)
		share, _ := f.share()
		for _, tier := range []*Tier{&m.Segments, &m.Classes[class].Tier} {
			tier.Files++
			tier.Bytes += f.info.Size
			tier.Live += int64(share * float64(f.info.Size))
			tier.Raw += f.bytes
			tier.Messages += f.live
		}
	}
}

// amplify sets the quotients.
func (m *Metrics) amplify() {
	m.Written.Segments = m.Retirement.Written + m.Compaction.Written
	live := m.Log.Live + m.Segments.Live + m.Large.Live
	if live > 0 {
		disk := m.Log.Bytes + m.Segments.Bytes + m.Large.Bytes + m.CheckpointSize
		m.SpaceAmplification = float64(disk) / float64(live)
	}
	if m.Published > 0 {
		m.WriteAmplification = float64(m.Written.Total()) / float64(m.Published)
	}
}
