//go:build !race

package wal

import (
	"fmt"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// The broker's hottest path: nothing is allocated for a record, a batch, a
// waiter or a commit once the log has gone round its cache.
func TestNothingIsAllocatedInSteadyState(t *testing.T) {
	opts := Options{ChunkSize: 64 << 10, CacheSize: 256 << 10, FileSize: 1 << 40}
	l, err := Open(nullFS{vfs.NewMem()}, testDir, 0, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.mustClose(t)
	rec := make([]byte, 100)
	w := &counts{}
	batch := func(m Mode) (LSN, LSN) {
		if err := l.Begin(10*len(rec), 10); err != nil {
			t.Fatal(err)
		}
		var last LSN
		for range 10 {
			lsn, p := l.Put(len(rec))
			copy(p, rec)
			last = lsn
		}
		return last, l.End(m, w)
	}
	for range 2000 {
		batch(Lazy)
		l.Lead()
	}
	var last, end LSN
	for _, tt := range []struct {
		name string
		fn   func()
	}{
		{"lead", func() { last, end = batch(Lazy); l.Lead() }},
		{"wait", func() {
			last, end = batch(Lazy)
			if l.Wait(end) != nil {
				t.Error("wait")
			}
		}},
		{"group", func() { last, end = batch(Group) }},
		{"lazy", func() { last, end = batch(Lazy) }},
		{"cached", func() {
			l.Pin()
			if l.Cached(last, 100) == nil {
				t.Error("not cached")
			}
			l.Unpin()
		}},
		{"read", func() {
			if l.ReadAt(rec, last) != nil {
				t.Error("read")
			}
		}},
	} {
		if n := testing.AllocsPerRun(1000, tt.fn); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// The memory of chunks goes round, also that of large ones, and also where
// appenders are ahead of the disk.
func TestChunksAreUsedAgain(t *testing.T) {
	const chunk = 16 << 10
	for _, size := range []int{100, 2 * chunk} {
		t.Run(fmt.Sprintf("size=%d", size), func(t *testing.T) {
			opts := Options{ChunkSize: chunk, CacheSize: 16 * chunk, MaxStaged: 16 * chunk, FileSize: 1 << 40}
			l, err := Open(nullFS{vfs.NewMem()}, testDir, 0, opts, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.mustClose(t)
			rec := make([]byte, size)
			run := func(total int) {
				for range total / size {
					if _, _, err := l.Append(rec, Group, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			run(1 << 20)
			before := allocated()
			run(32 << 20)
			if took := allocated() - before; took > 4<<20 {
				t.Errorf("%d KiB allocated for 32 MiB of records", took>>10)
			}
		})
	}
}

type counts struct{ n int }

func (c *counts) Committed(LSN, error) { c.n++ }
