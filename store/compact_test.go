package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func compact(t tb, s *Store) {
	t.Helper()
	if err := s.Compact(); err != nil {
		t.Fatalf("compact: %v", err)
	}
}

// noise is a body that does not compress.
func noise(i, size int) string {
	rng := rand.New(rand.NewPCG(uint64(i), 7))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(33 + rng.IntN(90))
	}
	return fmt.Sprint(i, "|", string(b))
}

// fill publishes n messages of a size, and retires them in so many segments.
func fill(t tb, s *Store, n, size, segments int, queues ...*Queue) {
	t.Helper()
	for i := range segments {
		apply(t, s, func(b *Batch) {
			for j := range n / segments {
				b.Publish(text(noise(i*n/segments+j, size)), queues)
			}
		})
		retire(t, s)
	}
}

// ackAll acks all messages of a queue but those that keep tells.
func ackAll(t tb, s *Store, q *Queue, keep func(seq uint64) bool) {
	t.Helper()
	apply(t, s, func(b *Batch) {
		for seq := range q.ix.Next() {
			if !keep(seq) {
				b.Ack(q, seq)
			}
		}
	})
}

// segmentBytes is what the segments take on disk.
func segmentBytes(t tb, fs vfs.FS) (size int64) {
	t.Helper()
	for _, name := range segmentFiles(t, fs) {
		f, err := fs.Open(filepath.Join(testDir, segmentFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		size += n
	}
	return size
}

func wantSeqs(t tb, s *Store, q *Queue, want []uint64) {
	t.Helper()
	var got []uint64
	for _, it := range claim(t, s, q, 1<<30) {
		got = append(got, it.seq)
		if !strings.HasPrefix(it.body, fmt.Sprint(it.seq, "|")) {
			t.Fatalf("message %d has the body %.40q", it.seq, it.body)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

func TestCompactionKeepsWhatIsAliveAndNoMore(t *testing.T) {
	for _, how := range []string{"running", "stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			fs := vfs.NewMem()
			o := tinyOptions(fs)
			s := open(t, o)
			q, r := newQueue(t, s, true), newQueue(t, s, true)
			fill(t, s, 600, 100, 6, q, r)
			var want []uint64
			ackAll(t, s, q, func(seq uint64) bool {
				if seq%7 == 3 {
					want = append(want, seq)
				}
				return seq%7 == 3
			})
			ackAll(t, s, r, func(seq uint64) bool { return seq == 42 })
			before := segmentBytes(t, fs)
			compact(t, s)
			if names := segmentFiles(t, fs); len(names) != 1 {
				t.Errorf("%d segments are left: %v", len(names), names)
			}
			if after := segmentBytes(t, fs); after > before/5 {
				t.Errorf("%d bytes of %d are left", after, before)
			}
			switch how {
			case "stopped":
				shut(t, s)
				s = open(t, o)
			case "killed":
				s, fs = kill(t, s, fs, o)
				o.FS = fs
			}
			wantSeqs(t, s, s.Queue(q.ID()), want)
			wantSeqs(t, s, s.Queue(r.ID()), []uint64{42})
			ackAll(t, s, s.Queue(q.ID()), func(uint64) bool { return false })
			ackAll(t, s, s.Queue(r.ID()), func(uint64) bool { return false })
			if err := s.Retire(false); err != nil {
				t.Fatal(err)
			}
			if names := segmentFiles(t, fs); len(names) != 0 {
				t.Errorf("drained segments are left: %v", names)
			}
			shut(t, s)
		})
	}
}

// TestOneUnackedOfManyPinsNoMoreThanABlock: whatever was around it.
func TestOneUnackedOfManyPinsNoMoreThanABlock(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL = wal.Options{FileSize: 1 << 20}
	s := open(t, o)
	defer shut(t, s)
	q := newQueue(t, s, true)
	const n = 20_000
	fill(t, s, n, 300, 4, q)
	claim(t, s, q, n)
	ackAll(t, s, q, func(seq uint64) bool { return seq == 7777 })
	for range 2 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	compact(t, s)
	if size := segmentBytes(t, fs); size > 64<<10 {
		t.Errorf("one message of 300 bytes keeps %d", size)
	}
	if got := s.Stats(); got.LogBytes > 2<<20 {
		t.Errorf("the log has %d bytes", got.LogBytes)
	}
	apply(t, s, func(b *Batch) { b.Requeue(q, 7777) })
	wantSeqs(t, s, q, []uint64{7777})
}

// TestMergeHonoursWhatHappensMeanwhile does something to the queues at each
// operation on the new segment's file: before the first, the merge has asked
// nothing, behind it everything.
func TestMergeHonoursWhatHappensMeanwhile(t *testing.T) {
	type world struct {
		s    *Store
		q, r *Queue
	}
	out := func(w *world, q *Queue, n int) {
		var c Claim
		for range 3 {
			if status := q.Claim(&c, n, false); status == Claimed {
				break
			}
		}
		c.Release()
	}
	lazily := func(t *testing.T, w *world, fn func(b *Batch)) {
		b := w.s.NewBatch()
		fn(b)
		if _, err := w.s.Apply(b, wal.Lazy, nil); err != nil {
			t.Error(err)
		}
	}
	for name, do := range map[string]func(t *testing.T, w *world) map[uint64]bool{
		"acks": func(t *testing.T, w *world) map[uint64]bool {
			lazily(t, w, func(b *Batch) {
				for seq := uint64(0); seq < 90; seq += 2 {
					b.Ack(w.q, seq)
				}
			})
			left := map[uint64]bool{}
			for seq := range uint64(90) {
				left[seq] = seq%2 == 1 && seq%3 == 0
			}
			return left
		},
		"purge": func(t *testing.T, w *world) map[uint64]bool {
			lazily(t, w, func(b *Batch) { b.Purge(w.q) })
			return nil
		},
		"trim": func(t *testing.T, w *world) map[uint64]bool {
			lazily(t, w, func(b *Batch) { b.Trim(w.q, 0, -1) })
			return nil
		},
		"delete": func(t *testing.T, w *world) map[uint64]bool {
			lazily(t, w, func(b *Batch) { b.DeleteQueue(w.q) })
			return nil
		},
		"claim and requeue": func(t *testing.T, w *world) map[uint64]bool {
			out(w, w.q, 20)
			lazily(t, w, func(b *Batch) { b.Requeue(w.q, 3); b.Ack(w.q, 6) })
			left := map[uint64]bool{}
			for seq := range uint64(90) {
				left[seq] = seq%3 == 0 && seq != 6
			}
			return left
		},
	} {
		for at := 1; ; at++ {
			fs := vfs.NewMem()
			o := tinyOptions(fs)
			s := open(t, o)
			w := &world{s: s, q: newQueue(t, s, true), r: newQueue(t, s, true)}
			fill(t, s, 90, 100, 3, w.q, w.r)
			for _, q := range []*Queue{w.q, w.r} {
				ackAll(t, s, q, func(seq uint64) bool { return seq%3 == 0 })
			}
			var once sync.Once
			var left map[uint64]bool
			done := false
			ops := 0
			fs.OnOp(func(_ int, op vfs.Op, name string) {
				if strings.Contains(name, segmentFolder) {
					if ops++; ops == at {
						once.Do(func() { left, done = do(t, w), true })
					}
				}
			})
			compact(t, s)
			fs.OnOp(nil)
			if !done {
				shut(t, s)
				if at < 5 {
					t.Errorf("%s: a merge has %d operations", name, at-1)
				}
				break
			}
			s, fs = kill(t, s, fs, o)
			o.FS = fs
			var want, all []uint64
			for seq := range uint64(90) {
				if left[seq] {
					want = append(want, seq)
				}
				if seq%3 == 0 {
					all = append(all, seq)
				}
			}
			if q := s.Queue(w.q.ID()); q != nil {
				wantSeqs(t, s, q, want)
			} else if len(want) > 0 || name != "delete" {
				t.Fatalf("%s: the queue has gone", name)
			}
			wantSeqs(t, s, s.Queue(w.r.ID()), all)
			checkTable(t, s)
			shut(t, s)
		}
	}
}

// checkTable compares the table of segments with the queues and the folder.
func checkTable(t tb, s *Store) {
	t.Helper()
	live := map[uint64]int64{}
	s.Queues(func(q *Queue) bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		for seq := q.ix.Floor(); seq < q.ix.Next(); seq++ {
			if r, ok := q.ix.RunOf(seq); ok {
				live[s.segments.resolve(r.Segment)]++
			}
		}
		return true
	})
	s.segments.mu.Lock()
	defer s.segments.mu.Unlock()
	for number, f := range s.segments.files {
		if f.live != live[number] {
			t.Fatalf("segment %d counts %d living messages, the queues have %d in it", number, f.live, live[number])
		}
		delete(live, number)
	}
	if len(live) > 0 {
		t.Fatalf("the queues have messages in segments that there are not: %v", live)
	}
}

func TestDamagedSegmentIsLeftAlone(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	o := tinyOptions(fs)
	o.Logger = logTo(&log)
	s := open(t, o)
	q := newQueue(t, s, true)
	fill(t, s, 400, 100, 4, q)
	ackAll(t, s, q, func(seq uint64) bool { return seq%4 == 0 })
	shut(t, s)
	name := filepath.Join(testDir, segmentFolder, segmentFiles(t, fs)[1])
	if err := fs.Corrupt(name, func(data []byte) []byte {
		data[len(data)/3] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	compact(t, s)
	if names := segmentFiles(t, fs); len(names) != 2 || !slices.Contains(names, filepath.Base(name)) {
		t.Errorf("left are %v, %s is damaged", names, name)
	}
	if !strings.Contains(log.String(), name) {
		t.Errorf("the log does not name it:\n%s", log.String())
	}
	var want []uint64
	for seq := uint64(0); seq < 400; seq += 4 {
		if seq < 100 || seq >= 200 {
			want = append(want, seq)
		}
	}
	var got []uint64
	for _, it := range claim(t, s, s.Queue(q.ID()), 400) {
		if it.seq < 100 || it.seq >= 200 {
			got = append(got, it.seq)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	shut(t, s)
}

// TestSegmentsAreCompactedInTheBackground: nobody asks, space follows what is
// alive, and queues stay in few segments.
func TestSegmentsAreCompactedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := tinyOptions(fs)
		o.CompactSlack = 64 << 10
		s := open(t, o)
		q := newQueue(t, s, true)
		fill(t, s, 2000, 200, 20, q)
		<-time.After(o.withDefaults().CompactAge / 2)
		if n := len(segmentFiles(t, fs)); n != 20 {
			t.Errorf("%d segments before their time", n)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if n := len(segmentFiles(t, fs)); n > 4 {
			t.Errorf("a backlog is in %d segments", n)
		}
		whole := segmentBytes(t, fs)
		ackAll(t, s, q, func(seq uint64) bool { return seq%20 == 0 })
		<-time.After(time.Minute)
		synctest.Wait()
		if size := segmentBytes(t, fs); size > whole/10 {
			t.Errorf("a twentieth is alive, and of %d bytes %d are left", whole, size)
		}
		m := s.Metrics()
		if m.Compaction.Runs < 2 || m.Compaction.Read == 0 || m.Compaction.Written == 0 || m.Compaction.Failed != 0 {
			t.Errorf("metrics: %+v", m.Compaction)
		}
		work := m.Compaction
		<-time.After(10 * time.Minute)
		synctest.Wait()
		if again := s.Metrics().Compaction; again != work {
			t.Errorf("it goes on with nothing to do: %+v, then %+v", work, again)
		}
		shut(t, s)
	})
}

func TestCloseEndsAMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := tinyOptions(fs)
		o.CompactSlack = 1 << 10
		o.CompactRate = 10 // bytes a second: it would take hours
		s := open(t, o)
		q := newQueue(t, s, true)
		fill(t, s, 900, 300, 9, q)
		<-time.After(time.Minute)
		begin := time.Now()
		shut(t, s)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("close took %v", took)
		}
		s = open(t, o)
		if got := claim(t, s, s.Queue(q.ID()), 1000); len(got) != 900 {
			t.Errorf("%d messages come", len(got))
		}
		if err := s.Close(); err != nil && !errors.Is(err, wal.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestCompactionBesideEverything publishes, consumes out of order, retires,
// compacts and checkpoints at once: each message comes once, whole and in order.
func TestCompactionBesideEverything(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.CacheBytes = 8 << 10
	s := open(t, o)
	const queues, each, batch = 3, 600, 25
	var qs []*Queue
	for range queues {
		qs = append(qs, newQueue(t, s, true))
	}
	var work, background sync.WaitGroup
	quit := make(chan struct{})
	var turns []chan struct{}
	for _, do := range []func() error{
		func() error { return s.Retire(true) }, s.Compact, s.Checkpoint,
	} {
		turn := make(chan struct{})
		turns = append(turns, turn)
		background.Go(func() {
			for {
				select {
				case <-quit:
					return
				case turn <- struct{}{}:
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, q := range qs { // who only looks sees each message as it was published
		background.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(q.ID()), 4))
			for peeks := 0; ; peeks++ {
				select {
				case <-quit:
					return
				default:
				}
				ready, unacked, _ := q.Counts()
				q.Peek(rng.IntN(ready+unacked+1), 20, All, func(p *Peeked) bool {
					if p.Err != nil || string(p.Body) != noise(int(p.Seq), 60) {
						t.Errorf("peeked at message %d: %.20q, %v", p.Seq, p.Body, p.Err)
					}
					return !t.Failed()
				})
				if peeks%20 == 0 {
					q.Footprint()
				}
				runtime.Gosched()
			}
		})
	}
	work.Go(func() {
		b := s.NewBatch()
		for i := 0; i < each; i += batch {
			b.Reset()
			for j := range batch {
				b.Publish(text(noise(i+j, 60)), qs)
			}
			if _, err := s.Apply(b, wal.Group, nil); err != nil {
				t.Error(err)
				return
			}
			if i%100 == 0 {
				for range 2 { // each of them has run once between
					for _, turn := range turns {
						<-turn
					}
				}
			}
		}
	})
	for _, q := range qs {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(q.ID()), 3))
			b := s.NewBatch()
			var c Claim
			var out []uint64
			for next := uint64(0); next < each; {
				switch status := q.Claim(&c, 40, true); status {
				case Empty:
					runtime.Gosched()
				case Unmarked:
					if err := s.Wait(c.WaitFor); err != nil {
						t.Error(err)
						return
					}
				case Claimed:
					for i := range c.Items {
						it := &c.Items[i]
						if want := noise(int(next), 60); it.Seq != next || string(it.Body) != want {
							t.Errorf("queue %d: message %d, %.20q comes, want %d", q.ID(), it.Seq, it.Body, next)
							return
						}
						out = append(out, next)
						next++
					}
				}
				c.Release()
				b.Reset()
				for len(out) > 150 || next == each && len(out) > 0 {
					i := rng.IntN(len(out))
					b.Ack(q, out[i])
					out = slices.Delete(out, i, i+1)
				}
				if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	close(quit)
	background.Wait()
	checkTable(t, s)
	if err := s.Retire(false); err != nil {
		t.Error(err)
	}
	if names := segmentFiles(t, fs); len(names) != 0 {
		t.Errorf("left are %v", names)
	}
	m := s.Metrics()
	if m.Retirement.Runs < 2 || m.Compaction.Runs < 2 || m.Compaction.Failed != 0 {
		t.Errorf("%+v, %+v", m.Retirement, m.Compaction)
	}
	t.Logf("%d retirements, %d merges of %d segments", m.Retirement.Runs, m.Compaction.Runs, m.Compaction.Files)
	shut(t, s)
}
