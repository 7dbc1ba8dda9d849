package store

import (
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// TestChoiceOfSegments: sizes and shares, and what is merged.
func TestChoiceOfSegments(t *testing.T) {
	const mb = 1 << 20
	type seg struct {
		size  int64
		share float64
		most  float64 // 0: as share
	}
	many := func(n int, s seg) (list []seg) {
		for range n {
			list = append(list, s)
		}
		return list
	}
	for _, c := range []struct {
		name string
		segs []seg
		busy bool
		all  bool
		room int64 // 0: enough
		want []int // indexes
	}{
		{"nothing", nil, false, false, 0, nil},
		{"one that is whole", []seg{{60 * mb, 1, 0}}, false, false, 0, nil},
		{"half dead, below the constant", []seg{{60 * mb, 0.4, 0}}, false, false, 0, nil},
		{"half dead, above", []seg{{500 * mb, 0.4, 0}}, false, false, 0, []int{0}},
		{"half alive", []seg{{500 * mb, 0.5, 0}}, false, false, 0, nil},
		{"thin", []seg{{60 * mb, 0.01, 0}}, false, false, 0, []int{0}},
		{"thin and tiny", []seg{{900 << 10, 0.01, 0}}, false, false, 0, nil},
		{"thin and tiny ones", many(4, seg{900 << 10, 0.01, 0}), false, false, 0, []int{0, 1, 2, 3}},
		{"thin, busy", []seg{{60 * mb, 0.01, 0}}, true, false, 0, nil},
		{"too much, busy", []seg{{90 * mb, 0.01, 0}}, true, false, 0, []int{0}},
		{"the thinnest until it is enough", []seg{{100 * mb, 0.9, 0}, {100 * mb, 0.3, 0}, {100 * mb, 0.2, 0}, {100 * mb, 0.31, 0}, {100 * mb, 0.32, 0}}, false, false, 0, []int{2, 1, 3}},
		{"seven of a class", many(7, seg{20 * mb, 1, 0}), false, false, 0, nil},
		{"eight of a class", many(8, seg{20 * mb, 1, 0}), false, false, 0, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"eight of a class, busy", many(8, seg{20 * mb, 1, 0}), true, false, 0, nil},
		{"eight of several classes", append(many(4, seg{20 * mb, 1, 0}), many(4, seg{100 * mb, 1, 0})...), false, false, 0, nil},
		{"eight large ones", many(8, seg{300 * mb, 1, 0}), false, false, 0, nil},
		{"eight of 200 MB", many(8, seg{200 * mb, 1, 0}), false, false, 0, []int{0, 1, 2, 3, 4}},
		{"eight of a class, little room", many(8, seg{20 * mb, 1, 0}), false, false, 300 * mb, nil},
		{"eight of a class, room for five", many(8, seg{20 * mb, 1, 0}), false, false, compactFree + 105*mb, []int{0, 1, 2, 3, 4}},
		{"thin, little room", []seg{{60 * mb, 0.05, 0}}, false, false, 5 * mb, []int{0}},
		{"thin, no room", []seg{{60 * mb, 0.05, 0}}, false, false, 3 * mb, nil},
		{"half dead, no room for the first", []seg{{500 * mb, 0.2, 0}, {200 * mb, 0.4, 0}}, false, false, 90 * mb, []int{1}},
		{"thin, but a queue may need all of it", []seg{{60 * mb, 0.05, 1}}, false, false, 50 * mb, nil},
		{"many of these", many(20, seg{60 * mb, 0.05, 1}), false, false, 0, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
		{"all: a third dead", []seg{{mb, 0.6, 0}, {mb, 0.8, 0}}, false, true, 0, []int{0}},
		{"all: two of a class", []seg{{20 * mb, 1, 0}, {200 * mb, 1, 0}, {30 * mb, 1, 0}}, false, true, 0, []int{0, 2}},
		{"all: one of each class", []seg{{20 * mb, 1, 0}, {200 * mb, 1, 0}}, false, true, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := choice{slack: Options{}.withDefaults().CompactSlack, room: 1 << 40, all: c.all, busy: c.busy}
			if c.room != 0 {
				k.room = c.room
			}
			for i, s := range c.segs {
				x := candidate{f: &sealed{number: uint64(i)}, size: s.size, share: s.share, most: int64(max(s.share, s.most) * float64(s.size))}
				if s.share < 1 {
					x.dead = 1
				}
				k.total, k.live = k.total+x.size, k.live+x.live()
				k.list = append(k.list, x)
			}
			var got []int
			for _, f := range k.segments() {
				got = append(got, int(f.number))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("chosen are %v, want %v", got, c.want)
			}
		})
	}
}

// TestSharedPayloadsDoNotMakeASegmentLookFull: what ten queues have is in the file
// once.
func TestSharedPayloadsDoNotMakeASegmentLookFull(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL.FileSize, o.WAL.ChunkSize = 1<<20, 1<<16
	s := open(t, o)
	var qs []*Queue
	for range 10 {
		qs = append(qs, newQueue(t, s, true))
	}
	fill(t, s, 40, 8000, 1, qs...)
	before := segmentBytes(t, fs)
	for _, q := range qs {
		ackAll(t, s, q, func(seq uint64) bool { return seq%10 == 3 })
	}
	compact(t, s)
	if after := segmentBytes(t, fs); after > before/5 {
		t.Errorf("%d bytes of %d are left, and a tenth is alive", after, before)
	}
	for _, q := range qs {
		wantSeqs(t, s, q, []uint64{3, 13, 23, 33})
	}
	shut(t, s)
}

// TestCompactionLeavesRoom: a merge for the sake of numbers does not fill the disk.
func TestCompactionLeavesRoom(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	fill(t, s, 40, 1000, 4, q)
	fs.SetCapacity(compactFree)
	compact(t, s)
	if n := len(segmentFiles(t, fs)); n != 4 {
		t.Errorf("%d segments of 4 are left on a disk that is nearly full", n)
	}
	fs.SetCapacity(2 * compactFree)
	compact(t, s)
	if n := len(segmentFiles(t, fs)); n != 1 {
		t.Errorf("%d segments are left", n)
	}
	shut(t, s)
}
