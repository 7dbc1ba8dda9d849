package wal

import (
	"math/bits"
	"time"
)

// Stats counts what a log has done since it was opened. Taking it costs a
// moment of the append lock and no allocation; counting costs a commit a few
// additions and a batch nothing.
type Stats struct {
	Commits  uint64        // groups of frames with one fdatasync that succeeded
	Frames   uint64        // in them
	Batches  uint64        // in them
	Records  uint64        // in them
	Bytes    uint64        // written to disk: headers, padding and what recovery copied are counted
	Zeros    uint64        // bytes written beside that: zeros ahead of the stream, to be written over
	Files    uint64        // begun, the one of Open too
	Recycled uint64        // of Files, written over spares
	Prepared uint64        // spares that Prepare has made
	Spares   int           // kept now
	Spare    int64         // their bytes
	FullWait time.Duration // spent waiting for room on a full disk

	Write Histogram // microseconds of checksum and pwrite a commit, and of the new file where one was begun
	Sync  Histogram // microseconds an fdatasync took
	Group Histogram // batches a commit
}

// HistogramBuckets is how many buckets a Histogram has.
const HistogramBuckets = 32

// A Histogram counts values in buckets that double: bucket 0 counts zeros,
// bucket i values from 2^(i-1) to 2^i - 1, and the last one all that is larger.
type Histogram struct {
	Count, Sum uint64
	Max        uint64
	Buckets    [HistogramBuckets]uint64
}

func (h *Histogram) add(v uint64) {
	h.Count++
	h.Sum += v
	h.Max = max(h.Max, v)
	h.Buckets[min(bits.Len64(v), HistogramBuckets-1)]++
}

func (h *Histogram) addTime(d time.Duration) { h.add(uint64(max(d, 0) / time.Microsecond)) }

// Bound is the largest value that bucket i counts.
func (h *Histogram) Bound(i int) uint64 {
	if i >= HistogramBuckets-1 {
		return h.Max
	}
	return 1<<i - 1
}

// Mean is the average of the values, 0 where there are none.
func (h *Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return float64(h.Sum) / float64(h.Count)
}

// Quantile estimates the value that the fraction q of all values does not
// pass: it is right to within its bucket, in which it takes them to be spread
// evenly.
func (h *Histogram) Quantile(q float64) float64 {
	rank := min(max(q, 0), 1) * float64(h.Count)
	var below float64
	for i, n := range h.Buckets {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		low := 0.0
		if i > 0 {
			low = float64(uint64(1) << (i - 1))
		}
		high := max(low, float64(min(h.Bound(i), h.Max)))
		return low + (high-low)*max(rank-below, 0)/float64(n)
	}
	return float64(h.Max)
}

// Stats returns the counters as of the last commit that has ended.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	s := l.stats
	l.mu.Unlock()
	list := *l.files.list.Load()
	s.Files = list[len(list)-1].seq - l.firstSeq + 1
	s.Zeros = l.zeros.Load()
	s.Recycled, s.Prepared = l.recycled.Load(), l.prepared.Load()
	s.Spares, s.Spare = l.pool.stats()
	s.Bytes += s.Files * fileHeaderSize
	return s
}
