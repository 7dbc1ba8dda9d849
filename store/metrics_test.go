package store

import (
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestMetricsFollowAMessagesLife(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	if m := s.Metrics(); m.SpaceAmplification != 0 || m.WriteAmplification != 0 || m.Published != 0 {
		t.Errorf("before the first message: %+v", m)
	}
	const n, size = 200, 300
	apply(t, s, func(b *Batch) {
		for i := range n {
			b.Publish(text(noise(i, size)), []*Queue{q})
		}
	})
	publish(t, s, transient("in memory"), q)
	m := s.Metrics()
	if m.Published < n*size || m.Log.Messages != n || m.Log.Live != m.Published || m.Log.Bytes < m.Published || m.Written.Log < m.Published ||
		m.Unretired < m.Published || m.WAL.Commits == 0 || m.WAL.Sync.Count != m.WAL.Commits || m.WriteAmplification < 1 || m.Memory.Bytes == 0 {
		t.Errorf("published: %+v", m)
	}
	retire(t, s)
	m = s.Metrics()
	if r := m.Retirement; r.Runs == 0 || r.Failed != 0 || r.Messages != n || r.Read < m.Published || r.Written < m.Published/2 {
		t.Errorf("retired: %+v", r)
	}
	if m.Log.Messages != 0 || m.Segments.Messages != n || m.Segments.Files != 1 || m.Segments.Live == 0 || m.Segments.Dead() > m.Segments.Bytes/10 || m.Segments.Raw != m.Published {
		t.Errorf("retired: %+v, %+v", m.Log, m.Segments)
	}
	files := 0
	for _, class := range m.Classes {
		files += class.Files
	}
	if files != 1 || m.Classes[len(m.Classes)-1].Below != 0 {
		t.Errorf("classes: %+v", m.Classes)
	}
	ackAll(t, s, q, func(seq uint64) bool { return seq%2 == 0 || seq == n })
	m = s.Metrics()
	if share := float64(m.Segments.Dead()) / float64(m.Segments.Bytes); share < 0.3 || share > 0.7 || m.Segments.Messages != n/2 {
		t.Errorf("half is acked: %+v", m.Segments)
	}
	compact(t, s)
	claim(t, s, q, n)
	m = s.Metrics()
	if c := m.Compaction; c.Runs != 1 || c.Files != 1 || c.Messages != n/2 || c.Read == 0 || c.Written == 0 {
		t.Errorf("compacted: %+v", c)
	}
	if m.Cache.Misses == 0 || m.Written.Segments != m.Retirement.Written+m.Compaction.Written || m.SpaceAmplification < 1 {
		t.Errorf("compacted: %+v", m)
	}
	shut(t, s)
	s = open(t, o)
	defer shut(t, s)
	m = s.Metrics()
	if r := m.Recovery; r.Messages != n/2 || r.Time <= 0 || m.Segments.Messages != n/2 || r.Checkpoint == 0 || r.Checkpoint != m.CheckpointSize {
		t.Errorf("recovered: %+v, %+v", r, m.Segments)
	}
}

func TestMetricsAllocateLittle(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	if n := testing.AllocsPerRun(100, func() { s.Metrics() }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
