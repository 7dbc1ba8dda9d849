package segment

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestFindWithoutDiskTouchesNoFile(t *testing.T) {
	m := memFS(t)
	items := []item{{queue: 1, seq: 0, payload: "a"}, {queue: 1, seq: 1, payload: "b", share: 1}, {queue: 2, seq: 0, payload: "c"}}
	build(t, m, 1, Options{BlockSize: 1}, items)
	e := vfs.NewErrFS(m)
	calls := e.Add(vfs.Rule{})
	r := Open(e, testDir, 1, NewCache(1<<20))
	defer r.Close()
	var c Cursor
	for _, it := range items {
		before := calls.Calls()
		if err := r.Find(&c, it.queue, it.seq, false); !errors.Is(err, ErrCold) || calls.Calls() != before {
			t.Fatalf("cold: %v, %d calls", err, calls.Calls()-before)
		}
		must(t, r.Find(&c, it.queue, it.seq, true))
		c.Reset()
		before = calls.Calls()
		must(t, r.Find(&c, it.queue, it.seq, false))
		if string(c.Payload()) != it.payload || calls.Calls() != before {
			t.Fatalf("warm: %q, %d calls", c.Payload(), calls.Calls()-before)
		}
	}
	before := calls.Calls()
	if err := r.Find(&c, 3, 0, false); !errors.Is(err, io.EOF) || calls.Calls() != before {
		t.Errorf("a queue that is not there: %v", err)
	}
	c.Reset()
}

func TestCacheKeepsToItsBound(t *testing.T) {
	m := memFS(t)
	var items []item
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		items = append(items, item{queue: uint32(i % 7), seq: uint64(i), payload: text(rng, 500)})
	}
	build(t, m, 1, Options{BlockSize: 8000}, items)
	const limit = 100 << 10
	cache := NewCache(limit)
	r := Open(m, testDir, 1, cache)
	cursors := make([]Cursor, 20)
	for i := range 5000 {
		it := items[(i*31+rng.IntN(5))%len(items)]
		must(t, r.Find(&cursors[i%len(cursors)], it.queue, it.seq, true))
		s := cache.Stats()
		if s.Bytes > limit || s.Bytes < int64(s.Blocks)*4000 || cache.spare > limit/4 {
			t.Fatalf("holds %+v and %d spare", s, cache.spare)
		}
		// Beyond half of the bound each cursor reads but the block that it needs.
		if cache.ahead > limit/2+int64(len(cursors))*16<<10 {
			t.Fatalf("%d bytes are read ahead", cache.ahead)
		}
	}
	s := cache.Stats()
	if s.Hits == 0 || s.Misses == 0 || s.Evicted == 0 || s.ReadBytes == 0 {
		t.Errorf("%+v", s)
	}
	for i := range cursors {
		cursors[i].Reset()
	}
	must(t, r.Close())
	if s := cache.Stats(); s.Bytes != 0 || cache.ahead != 0 {
		t.Errorf("holds %+v and %d read ahead", s, cache.ahead)
	}
}

func TestReadingForwardReadsManyBlocksAtOnce(t *testing.T) {
	m := memFS(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var items []item
	for i := range 4000 {
		items = append(items, item{queue: 1, seq: uint64(i), payload: noise(rng, 1000)})
	}
	for number := range uint64(2) {
		for i := range items {
			items[i].seq += number * 4000
		}
		build(t, m, number, Options{BlockSize: 16 << 10}, items)
	}
	e := vfs.NewErrFS(m)
	reads := e.Add(vfs.Rule{Ops: vfs.OpRead})
	cache := NewCache(1 << 20)
	var c Cursor
	for number := range uint64(2) {
		r := Open(e, testDir, number, cache)
		before := reads.Calls()
		for seq := number * 4000; ; seq++ {
			err := r.Find(&c, 1, seq, true)
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
		}
		// 4 MB by 256 KiB, with some smaller ones to begin with.
		if n := reads.Calls() - before; n > 24 {
			t.Errorf("segment %d: %d reads", number, n)
		}
		if number == 1 && reads.Calls()-before > 20 {
			t.Errorf("straight on to the next segment: %d reads", reads.Calls()-before)
		}
		c.Reset()
		must(t, r.Close())
	}
}

func TestBlocksOutliveTheirReader(t *testing.T) {
	m := memFS(t)
	items := sample(1, 500)
	want := plain(items)
	build(t, m, 1, Options{BlockSize: 2000}, items)
	cache := NewCache(10 << 10)
	r := Open(m, testDir, 1, cache)
	var c Cursor
	type held struct {
		b    *Block
		p    []byte
		want string
	}
	var blocks []held
	for _, it := range want {
		must(t, r.Find(&c, it.queue, it.seq, true))
		if n := len(blocks); n == 0 || blocks[n-1].b != c.Block() {
			blocks = append(blocks, held{c.Retain(), c.Payload(), it.payload})
		}
	}
	c.Reset()
	must(t, r.Close())
	must(t, Remove(m, testDir, 1))
	for _, h := range blocks {
		if string(h.p) != h.want {
			t.Fatal("a retained payload changed")
		}
		h.b.Release()
	}
	if err := r.Find(&c, 1, 0, true); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	must(t, r.Close())
}

func TestManyReadAtOnce(t *testing.T) {
	m := memFS(t)
	var wants [3][]item
	cache := NewCache(64 << 10)
	var readers [3]*Reader
	for i := range readers {
		items := sample(uint64(i), 1000)
		wants[i] = plain(items)
		build(t, m, uint64(i), Options{BlockSize: 2000, Memory: 10000}, items)
		readers[i] = Open(m, testDir, uint64(i), cache)
	}
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			var c Cursor
			defer c.Reset()
			for range 2000 {
				i := rng.IntN(len(readers))
				want := wants[i]
				at := rng.IntN(len(want))
				for n := 0; n < 20 && at < len(want); n++ {
					err := readers[i].Find(&c, want[at].queue, want[at].seq, true)
					if errors.Is(err, fs.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if string(c.Payload()) != want[at].payload {
						t.Errorf("%d/%d is %.40q", want[at].queue, want[at].seq, c.Payload())
						return
					}
					at++
				}
				if g == 0 && rng.IntN(1900) == 0 {
					if err := readers[rng.IntN(len(readers))].Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, r := range readers {
		must(t, r.Close())
	}
	if s := cache.Stats(); s.Bytes != 0 || cache.ahead != 0 {
		t.Errorf("holds %+v and %d read ahead", s, cache.ahead)
	}
}
