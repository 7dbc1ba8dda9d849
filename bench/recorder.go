package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the end of a histogram: whatever takes longer counts as it.
const longest = time.Hour

// newHistogram holds latencies from a microsecond to an hour, in nanoseconds, to
// three figures.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(longest), 3)
}

// recorderShards is how many histograms those who record share, so that memory does
// not grow with them.
const recorderShards = 8

// recorder takes latencies of one kind from many goroutines.
type recorder struct {
	shards [recorderShards]shard
	merged *hdrhistogram.Histogram // of what collect has taken; its caller's
}

type shard struct {
	mu     sync.Mutex
	recent *hdrhistogram.Histogram // under mu; nil before the first
}

func newRecorder() *recorder { return &recorder{merged: newHistogram()} }

// shard is where the i-th of those who record does so.
func (r *recorder) shard(i int) *shard { return &r.shards[i%recorderShards] }

// record counts n values.
func (s *shard) record(ns int64, n int64) {
	s.mu.Lock()
	if s.recent == nil {
		s.recent = newHistogram()
	}
	_ = s.recent.RecordValues(min(max(ns, 0), int64(longest)), n) // in range: no error
	s.mu.Unlock()
}

// collect moves what has been recorded since the last time into a histogram, which is
// emptied first, and adds it to the whole.
func (r *recorder) collect(into *hdrhistogram.Histogram) {
	into.Reset()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		if s.recent != nil && s.recent.TotalCount() > 0 {
			into.Merge(s.recent)
			s.recent.Reset()
		}
		s.mu.Unlock()
	}
	r.merged.Merge(into)
}
