package vfs

import (
	"fmt"
	"testing"
)

func BenchmarkImages(b *testing.B) {
	for _, c := range []struct {
		name           string
		files          int
		synced, unsync int
	}{
		{"small", 3, 4 << 10, 600},
		{"manyFiles", 300, 4 << 10, 600},
		{"64MiBfile", 1, 64 << 20, 64 << 10},
		{"32MiBunsynced", 1, 0, 32 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := NewMem()
			var f File
			for i := range c.files {
				f = create(b, m, fmt.Sprint(i))
				if _, err := f.WriteAt(make([]byte, c.synced), 0); err != nil {
					b.Fatal(err)
				}
			}
			m.SyncAll()
			if _, err := f.WriteAt(make([]byte, c.unsync), int64(c.synced)); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := 0; n < b.N; {
				for range m.Images(ImageOptions{Seed: uint64(n)}) {
					if n++; n == b.N {
						break
					}
				}
			}
		})
	}
}

// BenchmarkAppendSync is a log: a write behind the last one, a sync, and so on
// to 64 MiB.
func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{128, 4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := NewMem()
			f := create(b, m, "f")
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			off := int64(0)
			for range b.N {
				if off >= 64<<20 {
					must(b, m.Remove("f"))
					must(b, m.SyncDir("/"))
					f, off = create(b, m, "f"), 0
				}
				if _, err := f.WriteAt(p, off); err != nil {
					b.Fatal(err)
				}
				must(b, f.Sync())
				off += int64(size)
			}
		})
	}
}
