package wal

import (
	"fmt"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"pgregory.net/rapid"
)

// Any options, any calls, any ends: the log holds what a slice would hold.
func TestLogIsASliceOfBatches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opts := Options{
			FileSize:  rapid.Int64Range(4096, 20000).Draw(rt, "file size"),
			ChunkSize: rapid.IntRange(1024, 9000).Draw(rt, "chunk size"),
			CacheSize: rapid.Int64Range(1, 30000).Draw(rt, "cache size"),
			MaxStaged: rapid.Int64Range(1, 20000).Draw(rt, "staging bound"),
			LazyDelay: time.Hour,
		}
		m := vfs.NewMem()
		if err := m.MkdirAll(path.Dir(testDir)); err != nil {
			rt.Fatal(err)
		}
		m.SyncAll()
		c := &crasher{t: t, opts: opts}
		var l *Log
		var before []FileInfo // of the log that ended last
		defer func() {
			if l != nil {
				l.Close()
			}
		}()
		open := func() {
			var n int
			var err error
			if l, n, err = c.h.check(m, opts); err != nil {
				rt.Fatal(err)
			}
			c.h.batches = slices.Clip(c.h.batches[:n])
			c.h.confirmed = l.Durable()
			for _, f := range before { // of which recovery has copied all that it holds
				if !slices.ContainsFunc(l.Files(), func(g FileInfo) bool { return g.Seq == f.Seq }) {
					c.h.removed = append(c.h.removed, f)
				}
			}
		}
		end := func() {
			c.h.confirmed = max(c.h.confirmed, l.Durable())
			before = l.Files()
			m.OnOp(nil)
			next := m.Restart()
			l.Close()
			l, m = nil, next
		}
		open()
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				n := rapid.IntRange(1, 5).Draw(rt, "records")
				size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 6000)).Draw(rt, "size")
				mode := rapid.SampledFrom([]Mode{Lazy, Group}).Draw(rt, "mode")
				lsn, err := c.append(l, n, size, mode, nil)
				if err != nil || lsn != l.Appended() {
					rt.Fatal(lsn, l.Appended(), err)
				}
			},
			"lead": func(rt *rapid.T) { l.Lead() },
			"wait": func(rt *rapid.T) {
				if err := l.Wait(l.Appended()); err != nil || l.Durable() < l.Appended() {
					rt.Fatal(err)
				}
			},
			"read": func(rt *rapid.T) {
				if len(c.h.batches) == 0 {
					return
				}
				b := rapid.SampledFrom(c.h.batches).Draw(rt, "batch")
				if b.end <= c.h.from {
					return // perhaps removed
				}
				for i, lsn := range b.lsns {
					p := make([]byte, len(b.recs[i]))
					if err := l.ReadAt(p, lsn); err != nil || string(p) != b.recs[i] {
						rt.Fatalf("record at %d: %v", lsn, err)
					}
				}
			},
			"rotate": func(rt *rapid.T) {
				if err := l.Rotate(); err != nil {
					rt.Fatal(err)
				}
			},
			"scan": func(rt *rapid.T) {
				f := rapid.SampledFrom(l.Files()).Draw(rt, "file")
				if f.Active {
					return
				}
				if err := c.h.scan(l, f); err != nil {
					rt.Fatal(err)
				}
			},
			"checkpoint": func(rt *rapid.T) {
				from := l.Boundary()
				if err := l.Wait(from); err != nil {
					rt.Fatal(err)
				}
				c.h.from = from
				for _, f := range l.Files() {
					if f.End <= from && !f.Active && rapid.Bool().Draw(rt, "remove") {
						c.remove(l, f)
					}
				}
			},
			"close": func(rt *rapid.T) {
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				c.h.confirmed = l.Appended()
				end()
				open()
			},
			"kill": func(rt *rapid.T) {
				end()
				open()
			},
			"power cut": func(rt *rapid.T) {
				end()
				var images []*vfs.Mem
				for _, im := range m.Images(vfs.ImageOptions{MaxImages: 10}) {
					images = append(images, im)
				}
				m = rapid.SampledFrom(images).Draw(rt, "image")
				open()
			},
			"": func(rt *rapid.T) {
				files := l.Files()
				for i, f := range files {
					if f.End < f.Start || i > 0 && f.Start < files[i-1].End || f.Active != (i == len(files)-1) {
						rt.Fatal(fmt.Sprint(files))
					}
				}
				if l.Err() != nil || l.Durable() > max(l.Boundary(), l.Appended()) {
					rt.Fatal(l.Err(), l.Durable(), l.Boundary(), l.Appended())
				}
			},
		})
	})
}
