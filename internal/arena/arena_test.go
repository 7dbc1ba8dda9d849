package arena

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	iofs "io/fs"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "data/spill"

func open(t testing.TB, o Options) *Arena {
	t.Helper()
	a, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func shut(t testing.TB, a *Arena) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if names, err := a.opts.FS.ReadDir(dir); err == nil && len(names) > 0 {
		t.Errorf("%q is left", names)
	}
}

// blob is what a test keeps: bytes that know their number.
type blob struct {
	addr uint64
	n    uint32
	id   uint64
}

func (b blob) fill(p []byte) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], b.id)
	rand.NewChaCha8(seed).Read(p)
}

// put adds a message of n bytes with that many entries.
func put(a *Arena, id uint64, n int, refs int64) blob {
	c, off := a.Reserve(n, refs)
	b := blob{c.Addr(off), uint32(n), id}
	b.fill(c.Slice(b.addr, b.n))
	a.Done(c, 0)
	return b
}

// get reads a message from wherever it is.
func get(a *Arena, b blob) (p []byte, disk bool, err error) {
	p = make([]byte, b.n)
	c := a.Chunk(b.addr)
	if c.Pin() {
		copy(p, c.Slice(b.addr, b.n))
		a.Unpin(c)
		return p, false, nil
	}
	return p, true, a.ReadAt(p, b.addr)
}

func check(t testing.TB, a *Arena, b blob) (disk bool) {
	t.Helper()
	p, disk, err := get(a, b)
	if err != nil {
		t.Fatalf("message %d at %x: %v", b.id, b.addr, err)
	}
	want := make([]byte, b.n)
	if b.fill(want); !bytes.Equal(p, want) {
		t.Fatalf("message %d at %x is another (from disk: %v)", b.id, b.addr, disk)
	}
	return disk
}

func drop(a *Arena, b blob) { a.Release(a.Chunk(b.addr), 1) }

// settled waits until the spiller has nothing to do.
func settled(t testing.TB, a *Arena) Stats {
	t.Helper()
	synctest.Wait()
	st := a.Stats()
	if st.Failure != nil {
		t.Fatalf("spilling fails: %v", st.Failure)
	}
	return st
}

func files(t testing.TB, fs vfs.FS) int {
	t.Helper()
	names, err := fs.ReadDir(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	return len(names)
}

func TestMemoryStaysWithinTheLimitAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		const limit = 8 << 20
		a := open(t, Options{FS: fs, Limit: limit})
		defer shut(t, a)
		var all []blob
		rng := rand.New(rand.NewPCG(1, 2))
		total := 0
		for id := uint64(0); total < 5*limit; id++ {
			n := 1 + rng.IntN(20_000)
			if id%500 == 0 {
				n = ChunkSize + rng.IntN(3<<20) // has a chunk of its own
			}
			a.Pace()
			all = append(all, put(a, id, n, 1))
			total += n
			if st := a.Stats(); st.Memory > limit+a.slack()+4<<20 {
				t.Fatalf("%v", st)
			}
		}
		st := settled(t, a)
		if st.Memory > limit || st.Memory+st.Disk < int64(total) || st.Disk > int64(total) {
			t.Errorf("%d bytes put: %v", total, st)
		}
		if n := files(t, fs); n == 0 || int64(n) != st.Spilled {
			t.Errorf("%d files, %d spilled", n, st.Spilled)
		}
		cold := 0
		for _, b := range all {
			if check(t, a, b) {
				cold++
			}
			drop(a, b)
		}
		if cold == 0 || cold == len(all) {
			t.Errorf("%d of %d came from disk", cold, len(all))
		}
		if st := settled(t, a); st.Memory > ChunkSize || st.Disk != 0 || files(t, fs) != 0 {
			t.Errorf("when all has gone: %v, %d files", st, files(t, fs))
		}
	})
}

func TestWithoutALimitAllStaysInMemory(t *testing.T) {
	fs := vfs.NewMem()
	a := open(t, Options{FS: fs, Limit: -1})
	var all []blob
	for id := range uint64(20) {
		a.Pace()
		all = append(all, put(a, id, ChunkSize, 1))
	}
	for _, b := range all {
		if check(t, a, b) {
			t.Error("from disk")
		}
	}
	if fs.Ops() != 0 {
		t.Errorf("%d file operations", fs.Ops())
	}
	shut(t, a)
}

// fill puts messages of half a chunk until n chunks are full.
func fill(a *Arena, id *uint64, n int) (all []blob) {
	for range 2 * n {
		all = append(all, put(a, *id, ChunkSize/2, 1))
		*id++
	}
	return all
}

func TestTheNewestGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{FS: vfs.NewMem(), Limit: 4 << 20})
		defer shut(t, a)
		var id uint64
		all := fill(a, &id, 10)
		settled(t, a)
		for i, b := range all {
			// Three full chunks and the one that is being filled.
			if disk, want := check(t, a, b), i >= 6 && i < 18; disk != want {
				t.Errorf("message %d: on disk %v, want %v", i, disk, want)
			}
		}
	})
}

func TestAStuckMessageDoesNotPinMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 8 << 20
		a := open(t, Options{FS: vfs.NewMem(), Limit: limit})
		defer shut(t, a)
		var id uint64
		var stuck []blob
		// Of each chunk one message of many stays.
		for range 7 {
			for i := range 16 {
				b := put(a, id, ChunkSize/16, 1)
				if id++; i == 0 {
					stuck = append(stuck, b)
				} else {
					drop(a, b)
				}
			}
		}
		time.Sleep(stuckFor)
		// A flow whose messages go as fast as they come needs memory now.
		var flow []blob
		for range 2000 {
			flow = append(flow, put(a, id, ChunkSize/16, 1))
			if id++; len(flow) > 32 {
				drop(a, flow[0])
				flow = flow[1:]
			}
			time.Sleep(10 * time.Millisecond)
		}
		st := settled(t, a)
		if st.Memory > limit {
			t.Errorf("%v", st)
		}
		cold := 0
		for _, b := range stuck {
			if check(t, a, b) {
				cold++
			}
			drop(a, b)
		}
		if cold == 0 {
			t.Error("what is stuck is in memory")
		}
		// It took a while to see what is stuck. Since then what flows, 125 chunks in
		// all, stays in memory.
		if st.Spilled > int64(len(stuck))+36 {
			t.Errorf("%d chunks were written", st.Spilled)
		}
		for _, b := range flow {
			if check(t, a, b) {
				t.Error("what flows is on disk")
			}
			drop(a, b)
		}
	})
}

func TestWhatIsPinnedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{FS: vfs.NewMem(), Limit: 4 << 20})
		defer shut(t, a)
		var id uint64
		all := fill(a, &id, 3)
		var pinned []*Chunk
		for i := 0; i < len(all); i += 2 {
			c := a.Chunk(all[i].addr)
			if !c.Pin() {
				t.Fatal("not in memory")
			}
			pinned = append(pinned, c)
		}
		more := fill(a, &id, 9)
		for _, b := range all {
			if check(t, a, b) {
				t.Error("a pinned message is on disk")
			}
		}
		// The entries go, the pins keep the bytes.
		for i, b := range all {
			drop(a, b)
			if i%2 == 1 {
				continue
			}
			want := make([]byte, b.n)
			if b.fill(want); !bytes.Equal(pinned[i/2].Slice(b.addr, b.n), want) {
				t.Error("pinned bytes changed")
			}
		}
		for _, c := range pinned {
			a.Unpin(c)
		}
		settled(t, a)
		for _, b := range more {
			check(t, a, b)
			drop(a, b)
		}
		if st := settled(t, a); st.Memory > ChunkSize || st.Disk != 0 {
			t.Errorf("%v", st)
		}
	})
}

func TestWhatCannotBeWrittenStaysInMemory(t *testing.T) {
	for name, rule := range map[string]vfs.Rule{
		"a full disk":       {Ops: vfs.OpWrite, Err: syscall.ENOSPC, Short: -1},
		"a broken disk":     {Ops: vfs.OpWrite},
		"no descriptor":     {Ops: vfs.OpCreate, Err: syscall.EMFILE},
		"no folder":         {Ops: vfs.OpMkdir, Err: syscall.EACCES},
		"an answer is lost": {Ops: vfs.OpClose},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs := vfs.NewErrFS(vfs.NewMem())
				rule.At, rule.Sticky = 1, true
				fs.Add(rule)
				const limit = 4 << 20
				a := open(t, Options{FS: fs, Limit: limit})
				defer shut(t, a)
				var all []blob
				for id := range uint64(24) {
					begin := time.Now()
					a.Pace()
					if held := time.Since(begin); held > paceMost {
						t.Errorf("held up for %v", held)
					}
					all = append(all, put(a, id, ChunkSize/2, 1))
				}
				synctest.Wait()
				st := a.Stats()
				if st.Failure == nil || !a.Pressed() || st.Memory != 12<<20 || st.Disk != 0 {
					t.Fatalf("pressed %v, %v, failure %v", a.Pressed(), st, st.Failure)
				}
				for _, b := range all {
					if check(t, a, b) {
						t.Error("from disk")
					}
				}
				if n := files(t, fs); n != 0 {
					t.Errorf("%d files", n)
				}
				fs.Clear()
				time.Sleep(retryAfter)
				if st := settled(t, a); a.Pressed() || st.Memory > limit || st.Disk == 0 {
					t.Fatalf("when it works again: pressed %v, %v", a.Pressed(), st)
				}
				for _, b := range all {
					check(t, a, b)
				}
			})
		})
	}
}

func TestThePressureEndsWithTheMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewErrFS(vfs.NewMem())
		fs.Add(vfs.Rule{Ops: vfs.OpWrite, At: 1, Sticky: true})
		a := open(t, Options{FS: fs, Limit: 16 << 20})
		defer shut(t, a)
		var id uint64
		all := fill(a, &id, 18)
		synctest.Wait()
		if !a.Pressed() {
			t.Fatal("not pressed")
		}
		for i, b := range all {
			if drop(a, b); a.Pressed() != (a.Stats().Memory > 15<<20) {
				t.Fatalf("%d gone: pressed %v, %v", i+1, a.Pressed(), a.Stats())
			}
		}
		time.Sleep(retryAfter)
		if settled(t, a); a.Pressed() {
			t.Error("still pressed")
		}
	})
}

func TestTheLastOfTheDiskIsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		fs.SetCapacity(keepFree + 5<<20)
		a := open(t, Options{FS: fs, Limit: 2 << 20})
		defer shut(t, a)
		var id uint64
		all := fill(a, &id, 16)
		synctest.Wait()
		st := a.Stats()
		if !errors.Is(st.Failure, syscall.ENOSPC) || st.Disk < 3<<20 || st.Disk > 5<<20 {
			t.Errorf("%v, failure %v", st, st.Failure)
		}
		for _, b := range all {
			check(t, a, b)
			drop(a, b)
		}
	})
}

func TestNothingIsThereAfterAnotherOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		a := open(t, Options{FS: fs, Limit: 2 << 20})
		var id uint64
		fill(a, &id, 8)
		settled(t, a)
		after := fs.Restart() // the process dies
		shut(t, a)
		if f, err := after.Create(dir + "/notes.txt"); err != nil {
			t.Fatal(err)
		} else {
			f.Close()
		}
		if n := files(t, after); n < 5 {
			t.Fatalf("%d files", n)
		}
		b := open(t, Options{FS: after})
		if n := files(t, after); n != 1 {
			t.Errorf("%d files, want only what is not its own", n)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMuchThatIsLeftDoesNotHoldOpenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		a := open(t, Options{FS: fs, Limit: 1 << 10, ChunkSize: 1 << 10})
		var id uint64
		for id < 400 {
			a.Pace()
			put(a, id, 1000, 1)
			id++
		}
		settled(t, a)
		after := fs.Restart()
		shut(t, a)
		slow := vfs.NewErrFS(after)
		slow.Add(vfs.Rule{Ops: vfs.OpRemove, Before: func(vfs.Call) { time.Sleep(10 * time.Millisecond) }})
		begin := time.Now()
		b := open(t, Options{FS: slow, Limit: 2 << 20})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("opened in %v", took)
		}
		old := files(t, after)
		fill(b, &id, 4)
		time.Sleep(10 * time.Second)
		if n := int(settled(t, b).Spilled); old < 300 || files(t, after) != n || n == 0 {
			t.Errorf("%d files were left, now there are %d for %d", old, files(t, after), n)
		}
		shut(t, b)
	})
}

func TestFilesThatCannotBeRemovedAreNotReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		fs := vfs.NewErrFS(mem)
		a := open(t, Options{FS: fs, Limit: 2 << 20})
		var id uint64
		fill(a, &id, 8)
		settled(t, a)
		no := fs.Add(vfs.Rule{Ops: vfs.OpRemove, At: 1, Sticky: true})
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		b := open(t, Options{FS: fs, Limit: 2 << 20})
		all := fill(b, &id, 8)
		settled(t, b)
		for _, m := range all {
			check(t, b, m)
		}
		if no.Failed() == 0 {
			t.Error("all were removed")
		}
		fs.Clear()
		shut(t, b)
	})
}

// What is spilled, read and released at once by many stays what it is.
func TestSpillingReadingAndReleasingAtOnce(t *testing.T) {
	fs := vfs.NewErrFS(vfs.NewMem())
	fs.Add(vfs.Rule{Ops: vfs.OpWrite, At: 40}) // now and then something fails
	a := open(t, Options{FS: fs, Limit: 3 << 20})
	defer shut(t, a)
	const workers, each = 4, 300
	passed := make(chan blob, 64) // from those who put to those who take
	var puts, takes sync.WaitGroup
	for w := range uint64(workers) {
		puts.Go(func() {
			rng := rand.New(rand.NewPCG(w, 1))
			for i := range uint64(each) {
				a.Pace()
				n, refs := 1+rng.IntN(100_000), int64(1)
				if i%100 == 0 {
					n += ChunkSize
				}
				if i%3 == 0 {
					refs = 2
				}
				c, off := a.Reserve(n, refs+1)
				b := blob{c.Addr(off), uint32(n), w<<32 | i}
				b.fill(c.Slice(b.addr, b.n))
				for range refs {
					passed <- b
				}
				a.Done(c, 1)
			}
		})
	}
	var failed sync.Map
	for w := range uint64(workers) {
		takes.Go(func() {
			rng := rand.New(rand.NewPCG(w, 2))
			var kept []blob // a backlog of its own
			take := func(i int) {
				b := kept[i]
				kept[i] = kept[len(kept)-1]
				kept = kept[:len(kept)-1]
				p, disk, err := get(a, b)
				want := make([]byte, b.n)
				if b.fill(want); err != nil || !bytes.Equal(p, want) {
					failed.Store(b.id, fmt.Sprintf("message %x at %x, from disk %v: %v", b.id, b.addr, disk, err))
				}
				drop(a, b)
			}
			for b := range passed {
				if kept = append(kept, b); len(kept) > 50 {
					take(rng.IntN(len(kept)))
				}
			}
			for len(kept) > 0 {
				take(rng.IntN(len(kept)))
			}
		})
	}
	puts.Wait()
	close(passed)
	takes.Wait()
	failed.Range(func(_, what any) bool {
		t.Error(what)
		return true
	})
	if st := a.Stats(); st.Memory > ChunkSize || st.Disk != 0 || st.Spilled == 0 || st.Reads == 0 {
		t.Errorf("%v, %d spilled, %d reads", st, st.Spilled, st.Reads)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	a := open(t, Options{FS: vfs.NewMem()})
	defer shut(t, a)
	id := uint64(0)
	if n := testing.AllocsPerRun(2000, func() {
		c, off := a.Reserve(10_000, 1)
		addr := c.Addr(off)
		a.Done(c, 0)
		if c = a.Chunk(addr); !c.Pin() {
			t.Fatal("spilled")
		}
		a.Unpin(c)
		a.Release(c, 1)
		id++
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSpillAndRead(b *testing.B) {
	a, err := Open(b.TempDir(), Options{Limit: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	const n, backlog = 1024, 128 << 20 / 1024
	b.SetBytes(n)
	var all []uint64
	p := make([]byte, 256<<10)
	for b.Loop() {
		a.Pace()
		c, off := a.Reserve(n, 1)
		all = append(all, c.Addr(off))
		a.Done(c, 0)
		if len(all) == backlog {
			var have, until uint64
			for _, addr := range all {
				c := a.Chunk(addr)
				if !c.Pin() {
					if addr < have || addr+n > until {
						k := min(uint64(len(p)), c.End()-addr)
						if err := a.ReadAt(p[:k], addr); err != nil {
							b.Fatal(err)
						}
						have, until = addr, addr+k
					}
				} else {
					a.Unpin(c)
				}
				a.Release(c, 1)
			}
			all = all[:0]
		}
	}
}

// Whichever call fails, once or from then on, no message is lost and none is
// another.
func TestEachCallFailsInTurn(t *testing.T) {
	// What is left after a crash, so that Open has something to do.
	left := vfs.NewMem()
	synctest.Test(t, func(t *testing.T) {
		a := open(t, Options{FS: left, Limit: 1 << 10, ChunkSize: 1 << 10})
		var id uint64 = 1000
		for range 6 {
			put(a, id, 500, 1)
		}
		settled(t, a)
		left = left.Restart()
		shut(t, a)
	})
	run := func(t *testing.T, rule vfs.Rule) (calls int) {
		synctest.Test(t, func(t *testing.T) {
			mem := left.Restart()
			fs := vfs.NewErrFS(mem)
			injected := fs.Add(rule)
			a, err := Open(dir, Options{FS: fs, Limit: 4 << 10, ChunkSize: 1 << 10})
			if err != nil {
				calls = injected.Calls()
				return // the folder cannot be read: nothing was promised
			}
			var all []blob
			for id := range uint64(40) {
				a.Pace()
				all = append(all, put(a, id, 500, 1))
				if id%3 == 0 {
					drop(a, all[len(all)/2])
					all = append(all[:len(all)/2], all[len(all)/2+1:]...)
				}
				synctest.Wait()
			}
			for _, b := range all {
				p, _, err := get(a, b)
				if err != nil && !rule.Sticky {
					p, _, err = get(a, b) // it is there, and may be read later
				}
				want := make([]byte, b.n)
				if b.fill(want); err == nil && !bytes.Equal(p, want) {
					t.Errorf("message %d is another", b.id)
				} else if err != nil && !rule.Sticky {
					t.Errorf("message %d: %v", b.id, err)
				}
			}
			fs.Clear()
			time.Sleep(2 * retryAfter)
			if settled(t, a); a.Pressed() {
				t.Error("still pressed when all works again")
			}
			for _, b := range all {
				check(t, a, b)
				drop(a, b)
			}
			if st := settled(t, a); st.Memory > 1<<10 || st.Disk != 0 {
				t.Errorf("%v are left", st)
			}
			shut(t, a)
			calls = injected.Calls()
		})
		return calls
	}
	all := run(t, vfs.Rule{})
	if all < 50 {
		t.Fatalf("only %d calls", all)
	}
	for at := 1; at <= all; at++ {
		for _, rule := range []vfs.Rule{{At: at}, {At: at, Sticky: true}, {At: at, After: true}, {At: at, Err: syscall.ENOSPC, Short: -1}} {
			if run(t, rule); t.Failed() {
				t.Fatalf("call %d of %d: %+v", at, all, rule)
			}
		}
	}
}
