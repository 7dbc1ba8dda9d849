package wal

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	tidwall "github.com/tidwall/wal"
)

// BenchmarkStage is what a record costs its appender, without a disk.
func BenchmarkStage(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("size=%d/batch=%d", size, batch), func(b *testing.B) {
				l, err := Open(nullFS{vfs.NewMem()}, "/wal", 0, Options{}, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				rec := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					if err := l.Begin(batch*size, batch); err != nil {
						b.Fatal(err)
					}
					for range batch {
						_, p := l.Put(size)
						copy(p, rec)
					}
					l.End(Group, nil)
				}
			})
		}
	}
}

// nullFS takes what is written and keeps nothing of it.
type nullFS struct{ vfs.FS }

func (f nullFS) Create(name string) (vfs.File, error) {
	h, err := f.FS.Create(name)
	return nullFile{h}, err
}

func (f nullFS) OpenRW(name string) (vfs.File, error) {
	h, err := f.FS.OpenRW(name)
	return nullFile{h}, err
}

type nullFile struct{ vfs.File }

func (nullFile) WriteAt(p []byte, off int64) (int, error) { return len(p), nil }
func (nullFile) Sync() error                              { return nil }

// BenchmarkStream is how fast one appender gets batches of 64 KiB onto the
// disk, as socket reads come in, when it waits only for room.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			l, err := Open(vfs.OS(), filepath.Join(b.TempDir(), "wal"), 0, Options{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			rec := make([]byte, size)
			batch := 64 << 10 / size
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				if err := l.Begin(batch*size, batch); err != nil {
					b.Fatal(err)
				}
				for range batch {
					_, p := l.Put(size)
					copy(p, rec)
				}
				l.End(Group, nil)
			}
			if err := l.Wait(l.Appended()); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(s.Sync.Mean(), "sync-µs")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRecovery is how fast a log is replayed, from the page cache.
func BenchmarkRecovery(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "wal")
			l, err := Open(vfs.OS(), dir, 0, Options{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			const total = 64 << 20
			rec := make([]byte, size)
			for range total / size {
				if _, _, err := l.Append(rec, Lazy, nil); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(total)
			for b.Loop() {
				sum, err := Replay(vfs.OS(), dir, 0, nil)
				if err != nil || sum.Records != total/size {
					b.Fatal(sum, err)
				}
			}
		})
	}
}

// BenchmarkDurable appends from so many goroutines, each of which waits until
// its record is on the disk before it appends the next. An operation is one
// record; p50 and p99 are how long an appender waited.
//
// tidwall is github.com/tidwall/wal as it comes, which syncs each Write, under
// a mutex since its caller gives the index. tidwall-batch puts a simple group
// commit on top of its WriteBatch: who gets the lock writes for all.
func BenchmarkDurable(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func(b *testing.B) durable
	}{
		{"leveret", openLeveret},
		{"tidwall", openTidwall},
		{"tidwall-batch", openTidwallBatch},
	} {
		for _, size := range []int{128, 1 << 10, 16 << 10} {
			for _, appenders := range []int{1, 8, 64, 512} {
				b.Run(fmt.Sprintf("log=%s/size=%d/appenders=%d", engine.name, size, appenders), func(b *testing.B) {
					benchDurable(b, engine.open(b), size, appenders)
				})
			}
		}
	}
}

type durable interface {
	append(rec []byte) error // returns when rec is on disk
	close() error
}

func benchDurable(b *testing.B, l durable, size, appenders int) {
	took := make([]time.Duration, b.N)
	rec := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range appenders {
		wg.Go(func() {
			for i := g; i < b.N; i += appenders {
				begin := time.Now()
				if err := l.append(rec); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2])/1e3, "p50-µs")
	b.ReportMetric(float64(took[b.N*99/100])/1e3, "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	if err := l.close(); err != nil {
		b.Error(err)
	}
}

type leveretLog struct{ *Log }

func openLeveret(b *testing.B) durable {
	l, err := Open(vfs.OS(), filepath.Join(b.TempDir(), "wal"), 0, Options{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return leveretLog{l}
}

func (l leveretLog) append(rec []byte) error {
	_, end, err := l.Append(rec, Lazy, nil)
	if err != nil {
		return err
	}
	return l.Wait(end)
}

func (l leveretLog) close() error { return l.Close() }

type tidwallLog struct {
	mu  sync.Mutex
	log *tidwall.Log
	idx uint64
}

func openTidwall(b *testing.B) durable {
	l, err := tidwall.Open(filepath.Join(b.TempDir(), "wal"), nil)
	if err != nil {
		b.Fatal(err)
	}
	return &tidwallLog{log: l}
}

func (l *tidwallLog) append(rec []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idx++
	return l.log.Write(l.idx, rec)
}

func (l *tidwallLog) close() error { return l.log.Close() }

type tidwallBatchLog struct {
	tidwallLog // its mutex is held over WriteBatch

	stage sync.Mutex // guards next
	next  *tidwallGroup
}

type tidwallGroup struct {
	batch tidwall.Batch
	done  bool // under tidwallLog.mu
	err   error
}

func openTidwallBatch(b *testing.B) durable {
	l := &tidwallBatchLog{next: new(tidwallGroup)}
	var err error
	if l.log, err = tidwall.Open(filepath.Join(b.TempDir(), "wal"), nil); err != nil {
		b.Fatal(err)
	}
	return l
}

func (l *tidwallBatchLog) append(rec []byte) error {
	l.stage.Lock()
	g := l.next
	l.idx++
	g.batch.Write(l.idx, rec)
	l.stage.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	if !g.done {
		l.stage.Lock()
		l.next = new(tidwallGroup)
		l.stage.Unlock()
		g.err, g.done = l.log.WriteBatch(&g.batch), true
	}
	return g.err
}

// BenchmarkSpares is what a commit costs with files that are written over older
// ones and without, in turn: one appender, and many.
func BenchmarkSpares(b *testing.B) {
	for _, appenders := range []int{1, 64} {
		for _, size := range []int{4 << 10, 64 << 10} {
			for _, spares := range []int{-1, 2} {
				b.Run(fmt.Sprintf("appenders=%d/size=%d/spares=%d", appenders, size, spares), func(b *testing.B) {
					benchSpares(b, appenders, size, spares)
				})
			}
		}
	}
}

func benchSpares(b *testing.B, appenders, size, spares int) {
	l, err := Open(vfs.OS(), filepath.Join(b.TempDir(), "wal"), 0, Options{FileSize: 16 << 20, Spares: spares}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	rec := make([]byte, size)
	append1 := func(l *Log) {
		_, end, err := l.Append(rec, Group, nil)
		if err == nil {
			err = l.Wait(end)
		}
		if err != nil {
			b.Error(err)
		}
	}
	clean := func() {
		for _, f := range l.Files() {
			if !f.Active {
				if err := l.Remove(f.Seq); err != nil {
					b.Error(err)
				}
			}
		}
	}
	for l.Stats().Files < 4 { // the pool is full
		append1(l)
	}
	clean()
	for files := l.Stats().Files; l.Stats().Files == files; {
		append1(l)
	}
	before := l.Stats()
	b.SetBytes(int64(size))
	b.ResetTimer()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range appenders {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				append1(l)
			}
		})
	}
	done := make(chan struct{})
	cleaned := make(chan struct{})
	go func() { // as checkpoints do
		defer close(cleaned)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				clean()
			case <-done:
				return
			}
		}
	}()
	wg.Wait()
	b.StopTimer()
	close(done)
	<-cleaned
	st := l.Stats()
	h := st.Sync
	h.Count -= before.Sync.Count
	h.Sum -= before.Sync.Sum
	for i := range h.Buckets {
		h.Buckets[i] -= before.Sync.Buckets[i]
	}
	b.ReportMetric(h.Quantile(0.5), "sync-p50-µs")
	b.ReportMetric(h.Mean(), "sync-mean-µs")
	b.ReportMetric(float64(st.Recycled-before.Recycled)/float64(max(st.Files-before.Files, 1)), "recycled/file")
}
