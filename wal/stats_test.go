package wal

import (
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	var h Histogram
	for _, v := range []uint64{0, 1, 2, 3, 4, 7, 8, 1 << 40} {
		h.add(v)
	}
	for i, want := range map[int]uint64{0: 1, 1: 1, 2: 2, 3: 2, 4: 1, HistogramBuckets - 1: 1} {
		if h.Buckets[i] != want {
			t.Errorf("bucket %d, up to %d, has %d values, want %d", i, h.Bound(i), h.Buckets[i], want)
		}
	}
	if h.Count != 8 || h.Max != 1<<40 || h.Sum != 25+1<<40 {
		t.Errorf("%+v", h)
	}
}

func TestQuantiles(t *testing.T) {
	var empty, h Histogram
	if empty.Quantile(0.5) != 0 || empty.Mean() != 0 {
		t.Error("something in nothing")
	}
	for range 99 {
		h.addTime(100 * time.Microsecond)
	}
	h.addTime(10 * time.Millisecond)
	if q := h.Quantile(0.5); q < 64 || q > 127 {
		t.Errorf("median %v of 100 µs", q)
	}
	if q := h.Quantile(0.99); q < 64 || q > 127 {
		t.Errorf("p99 %v of 100 µs", q)
	}
	if q := h.Quantile(1); q != 10000 {
		t.Errorf("maximum %v of 10000 µs", q)
	}
	if m := h.Mean(); m != 199 {
		t.Errorf("mean %v", m)
	}
}

// The bytes are those on disk.
func TestStatsCountWhatIsWritten(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	for i := range 50 {
		l.mustAppend(t, Lazy, nil, fill(i, 300))
		l.mustCommit(t, fill(i, 10))
	}
	s := l.Stats()
	var size int64
	for _, f := range l.Files() {
		size += f.Size
	}
	if s.Bytes != uint64(size) || s.Files != uint64(len(l.Files())) || s.Files < 3 {
		t.Errorf("%d bytes in %d files counted, %d in %d there", s.Bytes, s.Files, size, len(l.Files()))
	}
	if s.Commits != s.Sync.Count || s.Commits != s.Group.Count || s.Batches != s.Group.Sum || s.Batches != 100 || s.Records != 100 {
		t.Errorf("%+v", s)
	}
	// A kill leaves a tail to be copied, which is written once more.
	killed := m.Restart()
	l.mustClose(t)
	l = mustOpen(t, killed, 0, tiny())
	if s := l.Stats(); s.Bytes != uint64(l.Files()[len(l.Files())-1].Size) || s.Bytes <= fileHeaderSize || s.Commits != 0 {
		t.Errorf("after recovery: %+v", s)
	}
}
