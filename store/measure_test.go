package store

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// trimBytes trims a queue as its owner does.
func trimBytes(t tb, s *Store, q *Queue, bytes int64) (removed int) {
	t.Helper()
	for {
		n := apply(t, s, func(b *Batch) { b.Trim(q, -1, bytes) }).Removed(0)
		removed += n
		if n == 0 && !q.Measure() {
			return removed
		}
	}
}

// TestTrimByBytesDropsNoMoreThanItMust: the oldest messages of a segment are much
// larger than the others.
func TestTrimByBytesDropsNoMoreThanItMust(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage bool // of the first block
		bound  int64
		want   int
	}{
		{"nothing", false, 30*10_000 + 3000*10, 0},
		{"large ones", false, 20*10_000 + 3000*10, 10},
		{"all large ones, and a few", false, 2000 * 10, 30 + 1000},
		{"all", false, 0, 3030},
		{"all, a part of which cannot be read", true, 0, 3030},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			o := tinyOptions(fs)
			s := open(t, o)
			q := newQueue(t, s, true)
			size := 10_000
			for range 30 {
				publish(t, s, text(strings.Repeat("x", size)), q)
			}
			apply(t, s, func(b *Batch) {
				for i := range 3000 {
					b.Publish(text(fmt.Sprintf("%010d", i)), []*Queue{q})
				}
			})
			retire(t, s)
			if c.damage {
				for _, name := range segmentFiles(t, fs) {
					if err := fs.Corrupt(filepath.Join(testDir, segmentFolder, name), func(data []byte) []byte {
						data[200] ^= 1
						return data
					}); err != nil {
						t.Fatal(err)
					}
				}
			}
			s, _ = kill(t, s, fs, o)
			q = s.Queue(q.ID())
			if n := trimBytes(t, s, q, c.bound); n != c.want {
				t.Errorf("%d messages went, want %d", n, c.want)
			}
			if _, _, bytes := q.Counts(); bytes > c.bound {
				t.Errorf("%d bytes are left, at most %d should be", bytes, c.bound)
			}
			checkTable(t, s)
			shut(t, s)
		})
	}
}
