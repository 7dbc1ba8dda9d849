package store

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
)

// TestSegmentsWithARebuiltDirectoryAreLeftAlone: what a rebuilt directory lists
// may not be all that was there. A merge would drop the rest with the old file;
// and one of segments that list nothing would come out empty, and be tried for
// ever.
func TestSegmentsWithARebuiltDirectoryAreLeftAlone(t *testing.T) {
	const segments = 3
	for _, c := range []struct {
		name   string
		files  int // how many are damaged
		damage func(data []byte) []byte
		served bool // all messages
	}{
		{"footer", 1, func(data []byte) []byte {
			data[len(data)-10] ^= 1
			return data
		}, true},
		{"footer and the header of the first block", 1, func(data []byte) []byte {
			clear(data[40:90])
			data[len(data)-10] ^= 1
			return data
		}, false},
		{"one is cut behind its header", 1, func(data []byte) []byte { return data[:60] }, false},
		{"all are cut behind their header", segments, func(data []byte) []byte { return data[:60] }, false},
		{"all are empty", segments, func([]byte) []byte { return nil }, false},
	} {
		for _, running := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				fs := vfs.NewMem()
				var log bytes.Buffer
				o := tinyOptions(fs)
				o.Logger = logTo(&log)
				s := open(t, o)
				qs := []*Queue{newQueue(t, s, true), newQueue(t, s, true)}
				fill(t, s, 30*segments, 200, segments, qs...)
				names := segmentFiles(t, fs)
				if len(names) != segments {
					t.Fatalf("segments are %v", names)
				}
				if running {
					// The compactor has looked at the files, and then they are damaged.
					s.compactor.mu.Lock()
					if _, err := s.compactor.candidates(true); err != nil {
						t.Fatal(err)
					}
					s.compactor.mu.Unlock()
				} else {
					shut(t, s)
				}
				for _, name := range names[:c.files] {
					if err := fs.Corrupt(filepath.Join(testDir, segmentFolder, name), c.damage); err != nil {
						t.Fatal(err)
					}
				}
				if !running {
					s = open(t, o)
				}
				for range 2 {
					compact(t, s)
				}
				after := segmentFiles(t, fs)
				for i, name := range names[:c.files] {
					if !slices.Contains(after, name) {
						t.Errorf("%s is damaged and has gone; left are %v", name, after)
					}
					if i == 0 && !strings.Contains(log.String(), name) {
						t.Errorf("the log does not name %s", name)
					}
				}
				if c.files == 1 && len(after) != 2 {
					t.Errorf("left are %v: the others should have been merged", after)
				}
				if n := s.figures.compaction.runs.Load(); n > 2 {
					t.Errorf("%d merges", n)
				}
				if c.served {
					for _, q := range qs {
						if got := claim(t, s, s.Queue(q.ID()), 1000); len(got) != 30*segments {
							t.Errorf("%d messages of %d", len(got), 30*segments)
						}
					}
				}
				checkTable(t, s)
				shut(t, s)
			})
		}
	}
}

// TestAnEmptyMergeOfWhatIsAliveIsNotRepeated: the index and a whole segment are at
// odds. Nobody knows how that could be, but it must not keep a disk busy.
func TestAnEmptyMergeOfWhatIsAliveIsNotRepeated(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	fill(t, s, 60, 200, 2, q)
	names := segmentFiles(t, fs)
	for _, name := range names {
		number, _, _ := segment.ParseName(name)
		if err := fs.Remove(filepath.Join(s.segments.dir, name)); err != nil {
			t.Fatal(err)
		}
		b, err := segment.Create(fs, s.segments.dir, number, segment.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(4711, 0, []byte("of a queue that there is not")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Finish(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		compact(t, s)
	}
	if n := s.figures.compaction.runs.Load(); n != 1 {
		t.Errorf("%d merges", n)
	}
	if after := segmentFiles(t, fs); !slices.Equal(after, names) {
		t.Errorf("left are %v of %v", after, names)
	}
	shut(t, s)
}
