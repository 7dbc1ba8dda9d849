package segment

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// cpuTime is what this process has used of the processors so far: others may
// be at work on the machine.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchPayloads are of a size, and compress as JSON does.
func benchPayloads(size int) [][]byte {
	rng := rand.New(rand.NewPCG(1, 1))
	list := make([][]byte, 4096)
	for i := range list {
		list[i] = []byte(text(rng, size))
	}
	return list
}

// randomPayloads are of a size, and do not compress: what comes compressed or encrypted.
func randomPayloads(size int) [][]byte {
	rng := rand.NewChaCha8([32]byte{1})
	list := make([][]byte, 4096)
	for i := range list {
		list[i] = make([]byte, size)
		rng.Read(list[i])
	}
	return list
}

func benchDir(b *testing.B) (vfs.FS, string) {
	poison = false
	b.Cleanup(func() { poison = true })
	return vfs.OS(), b.TempDir()
}

// BenchmarkBuild is a segment of 64 MiB of records at a time, synced; MB are of
// what went in.
func BenchmarkBuild(b *testing.B) {
	for _, c := range []struct {
		size, queues int
		level        Level
		content      string
		payloads     func(size int) [][]byte
	}{
		{100, 1, Fastest, "json", benchPayloads}, {1024, 1, Fastest, "json", benchPayloads},
		{100, 1000, Fastest, "json", benchPayloads}, {1024, 1, Fastest, "random", randomPayloads},
		{100, 1, Better, "json", benchPayloads}, {1024, 1, Better, "json", benchPayloads}, {1024, 1, Better, "random", randomPayloads},
	} {
		b.Run(fmt.Sprintf("%s/%dB/%dqueues/level%d", c.content, c.size, c.queues, c.level), func(b *testing.B) {
			list := c.payloads(c.size)
			fsys, dir := benchDir(b)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			var build *Builder
			var raw, size int64
			number := uint64(0)
			start := cpuTime(b)
			for n := range b.N {
				if build == nil {
					var err error
					number++
					build, err = Create(fsys, dir, number, Options{Level: c.level})
					must(b, err)
				}
				if err := build.Add(uint32(n%c.queues), uint64(n), list[n%len(list)]); err != nil {
					b.Fatal(err) // must would be half of the time
				}
				if n+1 == b.N || (n+1)*c.size%(64<<20) < c.size {
					info, err := build.Finish()
					must(b, err)
					raw, size = raw+info.Raw, size+info.Size
					must(b, Remove(fsys, dir, number))
					build = nil
				}
			}
			used := cpuTime(b) - start
			b.ReportMetric(float64(b.N*c.size)/1e6/used.Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(raw)/float64(size), "ratio")
		})
	}
}

// BenchmarkRead goes through a segment, decompressing all; MB are of records.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		size  int
		level Level
		shape string
	}{{100, Fastest, "text"}, {100, Better, "text"}, {1024, Fastest, "text"}, {100, Fastest, "noise"}} {
		b.Run(fmt.Sprintf("%dB/level%d/%s", c.size, c.level, c.shape), func(b *testing.B) {
			fsys, dir := benchDir(b)
			build, err := Create(fsys, dir, 1, Options{Level: c.level})
			must(b, err)
			list := benchPayloads(c.size)
			rng := rand.New(rand.NewPCG(1, 1))
			n := 64 << 20 / c.size
			for i := range n {
				p := list[i%len(list)]
				if c.shape == "noise" {
					p = []byte(noise(rng, c.size))
				}
				must(b, build.Add(1, uint64(i), p))
			}
			_, err = build.Finish()
			must(b, err)
			r := Open(fsys, dir, 1, NewCache(16<<20))
			var cur Cursor
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime(b)
			for i, seq := 0, uint64(0); i < b.N; i++ {
				err := r.Find(&cur, 1, seq, true)
				if errors.Is(err, io.EOF) {
					r.cache.forget(r.id)
					seq = 0
					err = r.Find(&cur, 1, seq, true)
				}
				if err != nil {
					b.Fatal(err)
				}
				seq++
			}
			used := cpuTime(b) - start
			b.ReportMetric(float64(b.N)/used.Seconds()/1e6, "M/cpu-s")
			cur.Reset()
			must(b, r.Close())
		})
	}
}

// BenchmarkMerge merges eight segments, of which every other record is alive; MB
// are of the records that go in.
func BenchmarkMerge(b *testing.B) {
	for _, queues := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%dqueues", queues), func(b *testing.B) {
			const size, each = 100, 80000
			list := benchPayloads(size)
			fsys, dir := benchDir(b)
			var inputs []*Reader
			for i := range 8 {
				build, err := Create(fsys, dir, uint64(i), Options{})
				must(b, err)
				for n := range each {
					must(b, build.Add(uint32(n%queues), uint64(i*each+n), list[n%len(list)]))
				}
				_, err = build.Finish()
				must(b, err)
				inputs = append(inputs, Open(fsys, dir, uint64(i), nil))
			}
			b.SetBytes(8 * each * size)
			b.ReportAllocs()
			b.ResetTimer()
			start := cpuTime(b)
			for range b.N {
				_, err := Merge(fsys, dir, 99, inputs, MergeOptions{Keep: half})
				must(b, err)
				must(b, Remove(fsys, dir, 99))
			}
			used := cpuTime(b) - start
			b.ReportMetric(float64(b.N*8*each*size)/1e6/used.Seconds(), "MB/cpu-s")
			for _, r := range inputs {
				must(b, r.Close())
			}
		})
	}
}
