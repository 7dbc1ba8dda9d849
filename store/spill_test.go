package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// spillOptions let a chunk or two stay in memory.
func spillOptions(fs vfs.FS) Options {
	o := tinyOptions(fs)
	o.MemoryBytes = 2 * arena.ChunkSize
	return o
}

// spillFiles counts the files of the arena.
func spillFiles(t testing.TB, fsys vfs.FS) int {
	t.Helper()
	names, err := fsys.ReadDir(filepath.Join(testDir, memFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return len(names)
}

// eventually waits for what another goroutine is to do without being asked.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func spilled(t testing.TB, s *Store) {
	t.Helper()
	eventually(t, "spilling", func() bool { return s.Stats().SpilledBytes > 0 && s.Stats().ArenaBytes <= s.opts.MemoryBytes })
}

// numbered is a transient message of n bytes that knows its number.
func numbered(i, n int) Message {
	body := bytes.Repeat([]byte{byte(i)}, n)
	binary.BigEndian.PutUint64(body, uint64(i))
	return Message{RoutingKey: []byte("q"), Body: body}
}

func isNumbered(it *Item, i int) bool {
	return len(it.Body) >= 8 && binary.BigEndian.Uint64(it.Body) == uint64(i) && it.Body[len(it.Body)-1] == byte(i)
}

// backlog fills a queue with transient messages of the given size and drains it.
func backlog(t testing.TB, dir string, limit int64, size, count int) (fill, drain time.Duration) {
	t.Helper()
	s, err := Open(dir, Options{MemoryBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, s)
	q := newQueue(t, s, false)
	before := heap()
	var most int64
	begin := time.Now()
	b := s.NewBatch()
	for i := 0; i < count; i += 64 {
		b.Reset()
		for j := range 64 {
			b.Publish(numbered(i+j, size), []*Queue{q})
		}
		if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
			t.Fatal(err)
		}
		most = max(most, s.Stats().ArenaBytes)
	}
	fill = time.Since(begin)
	room := limit + limit/8 + 8<<20
	if most > room {
		t.Errorf("%d bytes in chunks", most)
	}
	if grown := heap() - before; grown > room+32*int64(count) {
		t.Errorf("%d bytes of heap for the backlog", grown)
	}
	begin = time.Now()
	var c Claim
	for next := 0; next < count; {
		if st := q.Claim(&c, 128, true); st != Claimed {
			t.Fatalf("%v at %d", st, next)
		}
		b.Reset()
		for i := range c.Items {
			if !isNumbered(&c.Items[i], next) {
				t.Fatalf("message %d is another", next)
			}
			next++
			b.Ack(q, c.Items[i].Seq)
		}
		c.Release()
		if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
			t.Fatal(err)
		}
	}
	drain = time.Since(begin)
	eventually(t, "the removal of all files", func() bool { return s.Stats().SpilledBytes == 0 })
	if left := heap() - before; left > 24<<20 {
		t.Errorf("%d bytes of heap are left", left)
	}
	return fill, drain
}

func TestABacklogOfTransientMessagesDrainsInOrderWithinMemory(t *testing.T) {
	backlog(t, t.TempDir(), 16<<20, 4<<10, 128<<20/(4<<10))
}

// BenchmarkTransientBacklog is a gibibyte under a limit of 64 MiB.
func BenchmarkTransientBacklog(b *testing.B) {
	const limit, size, count = 64 << 20, 1 << 10, 1 << 20
	var fill, drain time.Duration
	for b.Loop() {
		f, d := backlog(b, b.TempDir(), limit, size, count)
		fill, drain = fill+f, drain+d
	}
	b.ReportMetric(float64(b.N)*count/fill.Seconds(), "filled/s")
	b.ReportMetric(float64(b.N)*count/drain.Seconds(), "drained/s")
}

func TestSpilledMessagesAreColdWithoutTheDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, spillOptions(fs))
	defer shut(t, s)
	q, other := newQueue(t, s, true), newQueue(t, s, false)
	const n, count = 100 << 10, 100
	for i := range count {
		apply(t, s, func(b *Batch) {
			b.Publish(numbered(i, n), []*Queue{q, other})
			b.Publish(text("logged"), []*Queue{q}) // between them what is in the log
		})
	}
	spilled(t, s)
	var c Claim
	var seqs []uint64
	for next, cold := 0, 0; next < 2*count; {
		switch st := q.Claim(&c, 7, false); st {
		case Cold:
			if len(c.Items) != 0 {
				t.Fatal("cold, with items")
			}
			cold++
			if st = q.Claim(&c, 7, true); st != Claimed {
				t.Fatalf("%v at %d", st, next)
			}
		case Claimed:
		case Unmarked:
			if err := s.Wait(c.WaitFor); err != nil {
				t.Fatal(err)
			}
			continue
		default:
			t.Fatalf("%v at %d", st, next)
		}
		for i := range c.Items {
			it := &c.Items[i]
			if next%2 == 0 && !isNumbered(it, next/2) || next%2 == 1 && string(it.Body) != "logged" {
				t.Fatalf("message %d is %.10q", next, it.Body)
			}
			next++
			seqs = append(seqs, it.Seq)
		}
		c.Release()
		if next == 2*count && cold == 0 {
			t.Error("never cold")
		}
	}
	// They return to their places, and come again from where they are.
	apply(t, s, func(b *Batch) {
		for _, seq := range seqs {
			b.Requeue(q, seq)
		}
	})
	for next := range 2 * count {
		if st := q.Claim(&c, 1, true); st != Claimed || !c.Items[0].Redelivered ||
			next%2 == 0 && !isNumbered(&c.Items[0], next/2) {
			t.Fatalf("%v at %d", st, next)
		}
		c.Release()
	}
	apply(t, s, func(b *Batch) { b.DeleteQueue(q) })
	if spillFiles(t, fs) == 0 {
		t.Error("the other queue's messages are not on disk")
	}
	apply(t, s, func(b *Batch) { b.Purge(other) })
	eventually(t, "the removal of all files", func() bool { return spillFiles(t, fs) == 0 })
}

// Numbers of chunks are used again: what was read ahead of an old one must not be
// taken for the new one's.
func TestReadAheadIsOfTheRightChunk(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, spillOptions(fs))
	defer shut(t, s)
	q := newQueue(t, s, false)
	var c Claim
	for round := range 5 {
		const count = 40
		for i := range count {
			publish(t, s, numbered(100*round+i, 200<<10), q)
		}
		spilled(t, s)
		for i := range count {
			if st := q.Claim(&c, 1, true); st != Claimed || !isNumbered(&c.Items[0], 100*round+i) {
				t.Fatalf("round %d, message %d: %v", round, i, st)
			}
			seq := c.Items[0].Seq
			c.Release()
			apply(t, s, func(b *Batch) { b.Ack(q, seq) })
		}
		eventually(t, "the removal of all files", func() bool { return spillFiles(t, fs) == 0 })
	}
}

func TestNothingSpilledIsThereAfterARestart(t *testing.T) {
	for name, end := range map[string]func(s *Store, mem *vfs.Mem, o Options) (*Store, *vfs.Mem){
		"kill": func(s *Store, mem *vfs.Mem, o Options) (*Store, *vfs.Mem) { return kill(t, s, mem, o) },
		"close": func(s *Store, mem *vfs.Mem, o Options) (*Store, *vfs.Mem) {
			shut(t, s)
			return open(t, o), mem
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			o := spillOptions(mem)
			s := open(t, o)
			q := newQueue(t, s, true)
			publish(t, s, text("stays"), q)
			for i := range 60 {
				publish(t, s, numbered(i, 100<<10), q)
			}
			spilled(t, s)
			id := q.ID()
			s, mem = end(s, mem, o)
			defer shut(t, s)
			if n := spillFiles(t, mem); n != 0 {
				t.Errorf("%d files", n)
			}
			wantClaim(t, s, s.Queue(id), 100, "stays")
		})
	}
}

// A power cut at any operation leaves what was durable, and nothing of the rest.
func TestACutWhileSpilling(t *testing.T) {
	run := func(mem *vfs.Mem) (id uint64) {
		defer func() { recover() }() // the disk has gone
		s, err := Open(testDir, spillOptions(mem))
		if err != nil {
			return 0
		}
		defer s.Close()
		b := s.NewBatch()
		q := b.CreateQueue(true, QueueOptions{})
		do := func() bool {
			lsn, err := s.Apply(b, wal.Group, nil)
			b.Reset()
			return err == nil && s.Wait(lsn) == nil
		}
		if !do() {
			return 0
		}
		id = uint64(q.ID())
		for i := range 4 {
			b.Publish(text(fmt.Sprint(i)), []*Queue{q})
			b.Publish(numbered(i, arena.ChunkSize), []*Queue{q})
			if !do() {
				return id
			}
			id += 1 << 32 // one more is sure to be there
		}
		return id
	}
	whole := vfs.NewMem()
	run(whole)
	for at := 1; at <= whole.Ops()+2; at++ {
		mem := vfs.NewMem()
		mem.CutAt(at)
		done := run(mem)
		for what, img := range mem.Images(vfs.ImageOptions{Seed: uint64(at), MaxImages: 3}) {
			s, err := Open(testDir, spillOptions(img))
			if err != nil {
				t.Fatalf("cut at %d, %s: %v", at, what, err)
			}
			if n := spillFiles(t, img); n != 0 {
				t.Errorf("cut at %d, %s: %d files", at, what, n)
			}
			if id := uint32(done); id != 0 {
				got := claim(t, s, s.Queue(id), 100)
				for i, it := range got {
					if it.body != fmt.Sprint(i) {
						t.Errorf("cut at %d, %s: message %d is %.10q", at, what, i, it.body)
					}
				}
				if uint64(len(got)) < done>>32 {
					t.Errorf("cut at %d, %s: %d messages of %d", at, what, len(got), done>>32)
				}
			}
			shut(t, s)
		}
	}
}

func TestMessagesThatCannotBeSpilledAreKept(t *testing.T) {
	for name, rule := range map[string]vfs.Rule{
		"disk full":   {Ops: vfs.OpWrite, Name: "*.spill", Err: syscall.ENOSPC, Short: -1},
		"disk broken": {Ops: vfs.OpWrite | vfs.OpCreate, Name: "*.spill"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewErrFS(vfs.NewMem())
			rule.At, rule.Sticky = 1, true
			fs.Add(rule)
			s := open(t, spillOptions(fs))
			defer shut(t, s)
			q := newQueue(t, s, false)
			const count = 60
			for i := range count {
				publish(t, s, numbered(i, 100<<10), q)
			}
			eventually(t, "that the store is pressed", s.Pressed)
			if st := s.Stats(); st.SpilledBytes != 0 || st.ArenaBytes < count*100<<10 || s.Err() != nil {
				t.Errorf("%d bytes in memory, %d on disk, error %v", st.ArenaBytes, st.SpilledBytes, s.Err())
			}
			var c Claim
			for i := range count {
				if st := q.Claim(&c, 1, false); st != Claimed || !isNumbered(&c.Items[0], i) {
					t.Fatalf("message %d: %v", i, st)
				}
				c.Release()
			}
		})
	}
}

func TestASpilledMessageThatIsDamagedIsSetAside(t *testing.T) {
	mem := vfs.NewMem()
	o := spillOptions(mem)
	var lines bytes.Buffer
	o.Logger = logTo(&lines)
	s := open(t, o)
	defer shut(t, s)
	q := newQueue(t, s, false)
	const count = 40
	for i := range count {
		publish(t, s, numbered(i, 200<<10), q)
	}
	spilled(t, s)
	names, err := mem.ReadDir(filepath.Join(testDir, memFolder))
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(testDir, memFolder, names[0])
	if err := mem.Corrupt(damaged, func(data []byte) []byte {
		data[1000] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(testDir, memFolder, names[1])
	if err := mem.Remove(missing); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var c Claim
	for last := -1; ; {
		st := q.Claim(&c, 10, true)
		if st == Empty {
			break
		}
		if st != Claimed {
			t.Fatal(st)
		}
		for i := range c.Items {
			n := int(binary.BigEndian.Uint64(c.Items[i].Body))
			if n <= last || !isNumbered(&c.Items[i], n) {
				t.Fatalf("message %d after %d", n, last)
			}
			last = n
			seen++
		}
		c.Release()
	}
	// One, and the five of a file.
	if got := s.Stats().DamagedBlobs; got != 6 || seen != count-6 {
		t.Errorf("%d set aside, %d seen", got, seen)
	}
	for _, want := range []string{damaged, missing} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log does not name %s:\n%s", want, lines.String())
		}
	}
}

// Publishers, consumers, requeues and purges at once, over a small budget.
func TestSpillingUnderLoad(t *testing.T) {
	s := open(t, spillOptions(vfs.NewMem()))
	defer shut(t, s)
	const queues, count = 3, 400
	var publishers, consumers sync.WaitGroup
	var qs []*Queue
	for range queues {
		qs = append(qs, newQueue(t, s, false))
	}
	shared := newQueue(t, s, true) // has all, and is purged now and then
	for k, q := range qs {
		publishers.Go(func() {
			b := s.NewBatch()
			for i := range count {
				b.Reset()
				b.Publish(numbered(i, 1000+(i*7919)%60_000), []*Queue{q, shared})
				if i%97 == 0 {
					b.Purge(shared)
				}
				if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
		consumers.Go(func() {
			var c Claim
			b := s.NewBatch()
			for next, held := 0, 0; next < count; {
				switch st := q.Claim(&c, 1+next%5, (next+held)%2 == 0); st {
				case Empty, Cold:
					held++
					runtime.Gosched()
					continue
				case Unmarked:
					t.Errorf("queue %d: %v", k, st)
					return
				}
				b.Reset()
				back := len(c.Items) > 3
				for i := range c.Items {
					if !isNumbered(&c.Items[i], next+i) {
						t.Errorf("queue %d: message %d is another", k, next+i)
						return
					}
					if back {
						b.Requeue(q, c.Items[i].Seq)
					} else {
						b.Ack(q, c.Items[i].Seq)
					}
				}
				if back {
					held++
				} else {
					next += len(c.Items)
				}
				c.Release()
				if back { // one at a time, so that not the same comes back for ever
					if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
						t.Error(err)
						return
					}
					if q.Claim(&c, 1, true) != Claimed || !isNumbered(&c.Items[0], next) {
						t.Errorf("queue %d: message %d did not come back", k, next)
						return
					}
					b.Reset()
					b.Ack(q, c.Items[0].Seq)
					c.Release()
					next++
				}
				if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	publishers.Wait()
	consumers.Wait()
	apply(t, s, func(b *Batch) { b.Purge(shared) })
	eventually(t, "the removal of all files", func() bool { return s.Stats().SpilledBytes == 0 })
	// The spiller may have a chunk in its hands, which it then finds empty.
	eventually(t, "the release of all chunks but the one being filled", func() bool { return s.Stats().ArenaBytes <= arena.ChunkSize })
}
