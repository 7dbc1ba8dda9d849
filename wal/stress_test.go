package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// A record of the stress test: appender, number, checksum, filler.
func stressRecord(p []byte, appender, i int) {
	binary.LittleEndian.PutUint32(p[4:], uint32(appender))
	binary.LittleEndian.PutUint32(p[8:], uint32(i))
	for j := 12; j < len(p); j++ {
		p[j] = byte(appender + i + j)
	}
	binary.LittleEndian.PutUint32(p, crc32.ChecksumIEEE(p[4:]))
}

func checkStressRecord(p []byte) (appender, i int, err error) {
	if binary.LittleEndian.Uint32(p) != crc32.ChecksumIEEE(p[4:]) {
		return 0, 0, errors.New("record is damaged")
	}
	return int(binary.LittleEndian.Uint32(p[4:])), int(binary.LittleEndian.Uint32(p[8:])), nil
}

// Everything at once: appenders in each mode, waiters, leaders, readers of the
// cache and of files, a remover, and a Close in the middle of it.
func TestStress(t *testing.T) {
	const appenders = 8
	m := newMem(t)
	opts := Options{FileSize: 32 << 10, ChunkSize: 4 << 10, CacheSize: 16 << 10, MaxStaged: 24 << 10, LazyDelay: time.Millisecond}
	l := mustOpen(t, m, 0, opts)

	type ref struct {
		lsn         LSN
		n           int
		appender, i int
	}
	var refs [appenders][256]atomic.Pointer[ref] // recent records of each
	var appended, confirmed [appenders]atomic.Int64
	var floor atomic.Uint64 // files below it were removed
	var writers, others sync.WaitGroup
	done := make(chan struct{})

	for g := range appenders {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			w := &tally{confirmed: &confirmed[g]}
			for i := 0; i < 400; {
				n := 1 + rng.IntN(4)
				size := 12 + rng.IntN(200)
				if rng.IntN(100) == 0 {
					size = 6000
				}
				if err := l.Begin(n*size, n); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
				for range n {
					lsn, p := l.Put(size)
					stressRecord(p, g, i)
					refs[g][i%256].Store(&ref{lsn, size, g, i})
					i++
				}
				appended[g].Store(int64(i))
				w.add(int64(n))
				end := l.End(Mode(g%2), w)
				switch {
				case g%4 == 0 && rng.IntN(2) == 0:
					l.Lead()
				case g == 5:
					if err := l.Wait(end); err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			}
		})
	}
	for g := range 4 {
		others.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(g)))
			buf := make([]byte, 8000)
			for {
				select {
				case <-done:
					return
				default:
				}
				r := refs[rng.IntN(appenders)][rng.IntN(256)].Load()
				if r == nil {
					continue
				}
				p := buf[:r.n]
				if g%2 == 0 {
					l.Pin()
					b := l.Cached(r.lsn, r.n)
					copy(p, b)
					l.Unpin()
					if b == nil {
						continue
					}
				} else if err := l.ReadAt(p, r.lsn); err != nil {
					if uint64(r.lsn) >= floor.Load() {
						t.Error(err)
					}
					continue
				}
				a, i, err := checkStressRecord(p)
				if err != nil || a != r.appender || i != r.i {
					t.Errorf("record %d of appender %d at %d: is %d of %d, %v", r.i, r.appender, r.lsn, i, a, err)
					return
				}
			}
		})
	}
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			files := l.Files()
			if len(files) < 6 {
				continue
			}
			if files[0].Seq%16 == 0 {
				if err := l.Rotate(); err != nil {
					t.Error(err)
				}
			}
			err := l.Scan(files[0].Seq, func(_ LSN, rec []byte) error {
				_, _, err := checkStressRecord(rec)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			floor.Store(uint64(files[1].Start))
			if err := l.Remove(files[0].Seq); err != nil {
				t.Error(err)
			}
			if b, a := l.Boundary(), l.Appended(); l.Durable() > a+frameHeaderSize+8 || b > a+frameHeaderSize+8 {
				t.Errorf("boundary %d, appended %d, durable %d", b, a, l.Durable())
			}
		}
	})
	writers.Wait()
	close(done)
	others.Wait()
	l.mustClose(t)

	for g := range appenders {
		if a, c := appended[g].Load(), confirmed[g].Load(); a != c {
			t.Errorf("appender %d: %d records, %d confirmed", g, a, c)
		}
	}
	// What is left is a suffix of each appender's records, in order.
	var next [appenders]int
	_, err := Replay(m, testDir, 0, func(lsn LSN, rec []byte) error {
		g, i, err := checkStressRecord(rec)
		if err != nil {
			return err
		}
		if next[g] != 0 && i != next[g] {
			return fmt.Errorf("record %d of appender %d at %d follows %d", i, g, lsn, next[g]-1)
		}
		next[g] = i + 1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for g, n := range next {
		if n != 0 && int64(n) != appended[g].Load() {
			t.Errorf("appender %d: ends with %d of %d", g, n, appended[g].Load())
		}
	}
}

// tally counts the records whose batches were confirmed.
type tally struct {
	confirmed *atomic.Int64
	mu        sync.Mutex
	staged    []int64 // records of each batch that is not confirmed
}

func (w *tally) add(n int64) {
	w.mu.Lock()
	w.staged = append(w.staged, n)
	w.mu.Unlock()
}

func (w *tally) Committed(durable LSN, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.staged[0]
	w.staged = w.staged[1:]
	if err == nil {
		w.confirmed.Add(n)
	}
}

// Close comes when it comes: what was appended before is durable, the rest
// refused.
func TestCloseAmongAppenders(t *testing.T) {
	for round := range 20 {
		m := newMem(t)
		l := mustOpen(t, m, 0, tiny())
		var taken atomic.Int64
		var wg sync.WaitGroup
		started := make(chan struct{}, 8)
		for g := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					_, end, err := l.Append([]byte(fill(i, 100)), Mode(g%3), nil)
					if err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					taken.Add(1)
					if g == 2 {
						l.Lead()
					} else if i%5 == 0 {
						if err := l.Wait(end); err != nil {
							t.Errorf("batch was taken, and then: %v", err)
						}
					}
					if i == round {
						started <- struct{}{}
					}
				}
			})
		}
		<-started
		l.mustClose(t)
		wg.Wait()
		recs, _, err := replayed(m, 0)
		if err != nil || int64(len(recs)) != taken.Load() {
			t.Fatalf("%d records of %d, %v", len(recs), taken.Load(), err)
		}
	}
}

// The log dies under load: every appender hears of it, nobody hangs.
func TestFailureAmongAppenders(t *testing.T) {
	for k := range 10 {
		m := newMem(t)
		efs := vfs.NewErrFS(m)
		efs.Add(vfs.Rule{Ops: vfs.OpWrite | vfs.OpSync, At: 20 + k})
		l := mustOpen(t, efs, 0, tiny())
		var confirmed atomic.Int64
		var wg sync.WaitGroup
		for g := range 6 {
			wg.Go(func() {
				for i := 0; ; i++ {
					_, end, err := l.Append([]byte(fill(i, 100)), Mode(g%3), nil)
					if err != nil {
						return
					}
					if g%3 == 2 {
						l.Lead()
					}
					if l.Wait(end) == nil {
						confirmed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if l.Err() == nil {
			t.Error("no failure")
		}
		l.Close()
		recs, _, err := replayed(m, 0)
		if err != nil || int64(len(recs)) < confirmed.Load() {
			t.Fatalf("%d records of %d, %v", len(recs), confirmed.Load(), err)
		}
	}
}
