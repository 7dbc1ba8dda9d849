package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// TestEachCallThatFails fails the k-th call to the file system, for every k of
// a script's run: once, or that and all after it. The store must say so, go on
// serving what it has, and come back with all that was durable.
func TestEachCallThatFails(t *testing.T) {
	const seed, steps = 3, 25 + 50/slower
	run := func(rule vfs.Rule) (failed bool) {
		mem := vfs.NewMem()
		efs := vfs.NewErrFS(mem)
		injection := efs.Add(rule)
		c := newScript(t, seed, tinyOptions(efs))
		what := fmt.Sprintf("call %d (sticky %v, %v)", rule.At, rule.Sticky, rule.Err)
		err := c.open()
		for i := 0; i < steps && (err == nil || c.s != nil && c.s.Err() == nil); i++ {
			err = c.step()
		}
		if err != nil && injection.Failed() == 0 {
			t.Fatalf("%s: %v, and nothing had failed", what, err)
		}
		if c.s != nil && c.s.Err() != nil {
			serve(t, what, c)
		}
		e := c.expect()
		if c.s != nil {
			c.close()
		}
		efs.Clear()
		e.check(t, what+", restart", tinyOptions(mem.Restart()), false)
		for desc, img := range mem.Images(vfs.ImageOptions{MaxImages: 3, Seed: uint64(rule.At)}) {
			e.check(t, what+", image "+desc, tinyOptions(img), false)
		}
		return injection.Failed() > 0
	}
	for _, rule := range []vfs.Rule{
		{At: 1, Ops: vfs.OpAny &^ vfs.OpClose, Sticky: true},
		{At: 1, Ops: vfs.OpMutating, Err: syscall.ENOSPC, Short: -1},
		{At: 1, Ops: vfs.OpOpen | vfs.OpRead | vfs.OpSize | vfs.OpReadDir | vfs.OpLock},
	} {
		// How many calls there are varies a little with the committer's timing.
		failed := 0
		for missed := 0; missed < 3; rule.At++ {
			if run(rule) {
				failed++
			} else {
				missed++
			}
		}
		t.Logf("%v: %d calls", rule.Ops, failed)
		if failed < 15 {
			t.Errorf("%v: only %d calls were failed", rule.Ops, failed)
		}
	}
}

// serve checks that consumers are served from a store whose log has failed, and
// that what must be durable is refused.
func serve(t *testing.T, what string, c *script) {
	t.Helper()
	for _, q := range c.queues {
		if q.flags.Load()&queueGone != 0 {
			continue
		}
		items, cold := claimReadable(t, c.s, q, 1<<30)
		for i := range items {
			b := c.s.NewBatch()
			if i%2 == 0 {
				b.Ack(q, items[i].seq)
			} else {
				b.Requeue(q, items[i].seq)
			}
			if lsn, err := c.s.Apply(b, wal.Group, nil); err != nil || lsn != 0 {
				t.Fatalf("%s: ack on a failed log: lsn %d, %v", what, lsn, err)
			}
		}
		again, coldAgain := claimReadable(t, c.s, q, 1<<30)
		if cold || coldAgain {
			continue // what is first cannot be read
		}
		if len(again) != len(items)/2 {
			t.Fatalf("%s: %d messages come back of %d", what, len(again), len(items))
		}
		b := c.s.NewBatch()
		b.Publish(transient("in memory"), []*Queue{q})
		b.Publish(text("on disk"), []*Queue{q})
		_, err := c.s.Apply(b, wal.Group, nil)
		if q.durable && (err == nil || !b.Rejected(1)) || !q.durable && err != nil || b.Rejected(0) {
			t.Fatalf("%s: durable %v: %v, rejected %v and %v", what, q.durable, err, b.Rejected(0), b.Rejected(1))
		}
		want := "in memory"
		if !q.durable {
			want += " on disk"
		}
		b.Reset()
		index := b.Purge(q)
		if _, err := c.s.Apply(b, wal.Group, nil); q.durable && (err == nil || b.Removed(index) != 0) {
			t.Fatalf("%s: a durable queue was purged without a log: %v", what, err)
		} else if !q.durable {
			continue
		}
		wantClaim(t, c.s, q, 10, want)
		b.Reset()
		b.Atomic()
		b.Purge(q)
		b.Publish(transient("not even this"), []*Queue{q})
		if _, err := c.s.Apply(b, wal.Group, nil); q.durable && err == nil {
			t.Fatalf("%s: an atomic batch was applied without a log", what)
		}
	}
	b := c.s.NewBatch()
	b.Put("key", nil)
	b.Delete("key")
	q := b.CreateQueue(true, QueueOptions{})
	b.Publish(text("nobody"), []*Queue{q})
	if _, err := c.s.Apply(b, wal.Group, nil); err == nil || c.s.Queue(q.ID()) != nil || !b.Rejected(0) {
		t.Fatalf("%s: topology on a failed log: %v", what, err)
	}
	if err := c.s.Checkpoint(); err == nil {
		t.Fatalf("%s: a checkpoint on a failed log", what)
	}
}

// TestUnconfirmedMessagesOfAFailedLogAreNotDelivered: their publisher was told
// that they failed.
func TestUnconfirmedMessagesOfAFailedLogAreNotDelivered(t *testing.T) {
	mem := vfs.NewMem()
	efs := vfs.NewErrFS(mem)
	s := open(t, tinyOptions(efs))
	q := newQueue(t, s, true)
	publish(t, s, text("1"), q)
	efs.Add(vfs.Rule{Ops: vfs.OpSync, At: 1, Sticky: true})
	b := s.NewBatch()
	b.Publish(text("2"), []*Queue{q})
	b.Publish(transient("3"), []*Queue{q})
	w := new(countingWaiter)
	lsn, err := s.Apply(b, wal.Group, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(lsn); err == nil {
		t.Fatal("no error")
	}
	wantCounts(t, q, 3, 0)
	wantClaim(t, s, q, 5, "1 3")
	wantCounts(t, q, 0, 2)
	if err := s.Close(); err == nil || w.err == nil || w.calls.Load() != 1 {
		t.Errorf("close: %v; waiter: %v, %d calls", err, w.err, w.calls.Load())
	}
}

// corruptBlob flips a byte of the message with that body in the log's files.
func corruptBlob(t tb, fs *vfs.Mem, body string) {
	t.Helper()
	dir := testDir + "/" + walFolder
	names, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		done := false
		if err := fs.Corrupt(dir+"/"+name, func(data []byte) []byte {
			if i := bytes.Index(data, []byte(body)); i >= 0 {
				data[i] ^= 0x20
				done = true
			}
			return data
		}); err != nil {
			t.Fatal(err)
		}
		if done {
			return
		}
	}
	t.Fatalf("%q is in no file", body)
}

func TestDamagedMessageIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	o := tinyOptions(fs)
	o.Logger = logTo(&log)
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 20 {
		publish(t, s, text(fmt.Sprintf("<body %02d %s>", i, strings.Repeat("x", 300))), q)
	}
	corruptBlob(t, fs, "<body 03")
	corruptBlob(t, fs, "<body 00")
	got := claim(t, s, q, 100)
	if len(got) != 18 || got[0].seq != 1 || got[1].seq != 2 || got[2].seq != 4 {
		t.Errorf("claimed %v", got)
	}
	wantCounts(t, q, 0, 18)
	if n := s.Stats().DamagedBlobs; n != 2 {
		t.Errorf("%d damaged messages counted, want 2", n)
	}
	for _, want := range []string{"seq=3", "seq=0", "file=data/wal/00000000000000000001.wal", "offset=", "wrong checksum"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	// They stay until somebody decides: over checkpoints, and in their file.
	apply(t, s, func(b *Batch) {
		for _, it := range got {
			b.Ack(q, it.seq)
		}
	})
	for range 3 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, s)
	s = open(t, o)
	q = s.Queue(q.ID())
	wantCounts(t, q, 2, 0)
	if got := claim(t, s, q, 100); len(got) != 0 {
		t.Errorf("claimed %v", got)
	}
	apply(t, s, func(b *Batch) { b.Purge(q) })
	if st := s.Stats(); st.LiveEntries != 0 {
		t.Errorf("%d entries are left after a purge", st.LiveEntries)
	}
	shut(t, s)
}

func TestEachFlippedByteIsNoticedOrHarmless(t *testing.T) {
	// A store with a segment, a checkpoint, a catalog and some log behind them.
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 4 {
		publish(t, s, text(fmt.Sprint("message ", i)), q)
	}
	retire(t, s)
	apply(t, s, func(b *Batch) { b.Put("key", []byte("value")) })
	for range 2 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, s, text("message 4"), q)
	apply(t, s, func(b *Batch) { b.Ack(q, 1) })
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	before := fs.Restart()
	want := dump(t, s)
	shut(t, s)

	sizes := map[string]int{}
	for _, dir := range []string{testDir, testDir + "/" + walFolder, testDir + "/" + segmentFolder} {
		names, err := before.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if data, err := vfs.ReadFile(before, dir+"/"+name); err == nil {
				sizes[dir+"/"+name] = len(data)
			}
		}
	}
	if len(sizes) < 5 {
		t.Fatalf("only %d files", len(sizes))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, size := range sizes {
		for i := range size {
			img := before.Restart()
			if err := img.Corrupt(name, func(data []byte) []byte {
				data[i] ^= byte(1 << rng.IntN(8))
				return data
			}); err != nil {
				t.Fatal(err)
			}
			s, err := Open(testDir, tinyOptions(img))
			if err != nil {
				var ours *CorruptError
				var theirs *wal.CorruptError
				if !errors.As(err, &ours) && !errors.As(err, &theirs) {
					t.Errorf("%s, byte %d: %v", name, i, err)
				}
				continue
			}
			// What comes out is what went in, or was set aside, or is the torn tail.
			for _, it := range claim(t, s, s.Queue(q.ID()), 100) {
				if !strings.Contains(want, fmt.Sprintf("%d:%s(", it.seq, it.body)) && it.body != "message 1" {
					t.Errorf("%s, byte %d: message %d is %q", name, i, it.seq, it.body)
				}
			}
			s.Close()
		}
	}
}

func TestDamagedCheckpointFallsBackToTheOneBefore(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	o := tinyOptions(fs)
	o.Logger = logTo(&log)
	s := open(t, o)
	q := newQueue(t, s, true)
	total := 0
	for round := range 6 {
		for range 10 {
			publish(t, s, text(fmt.Sprint(total, strings.Repeat(".", 300))), q)
			total++
		}
		if round > 0 {
			for _, it := range claim(t, s, q, 10) {
				apply(t, s, func(b *Batch) { b.Ack(q, it.seq) })
			}
		}
		apply(t, s, func(b *Batch) { b.Put(fmt.Sprint(round), nil) })
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, s, text("last"), q)
	want := dump(t, s)
	live, liveBytes := s.live.size()
	if files := s.log.Files(); files[0].Start == 0 {
		t.Fatalf("no log file was removed: %+v", files)
	}
	s, fs = kill(t, s, fs, o)
	o.FS = fs
	if st := s.Stats(); st.FellBack != 0 || dump(t, s) != want {
		t.Errorf("fell back %d times, or is not the same", st.FellBack)
	}
	again := fs.Restart()
	shut(t, s)

	damage := func(fs *vfs.Mem, number uint64) {
		name := testDir + "/" + snapshotName(checkpointPrefix, number)
		if err := fs.Corrupt(name, func(data []byte) []byte { return data[:len(data)-1] }); err != nil {
			t.Fatal(err)
		}
	}
	damage(again, 6)
	o.FS = again
	s = open(t, o)
	if st := s.Stats(); st.FellBack != 1 || dump(t, s) != want {
		t.Errorf("fell back %d times, or is not the same:\n%s\nwas\n%s", st.FellBack, dump(t, s), want)
	}
	if n, b := s.live.size(); n != live || b != liveBytes {
		t.Errorf("%d entries with %d bytes are live, want %d with %d", n, b, live, liveBytes)
	}
	if !strings.Contains(log.String(), "checkpoint-00000000000000000006 is corrupt") {
		t.Errorf("the log says nothing of it:\n%s", log.String())
	}
	// The next checkpoint is a good one, and the bad one goes.
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	last := again.Restart()
	shut(t, s)
	if _, err := again.Open(testDir + "/" + snapshotName(checkpointPrefix, 6)); err == nil {
		t.Error("the damaged checkpoint is still there")
	}
	damage(last, 7)
	damage(last, 5)
	o.FS = last
	var corrupt *CorruptError
	if _, err := Open(testDir, o); !errors.As(err, &corrupt) {
		t.Errorf("without any checkpoint: %v", err)
	}
}

func TestLostLogIsNoticed(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	publish(t, s, text("1"), newQueue(t, s, true))
	shut(t, s)
	if err := fs.Corrupt(testDir+"/"+snapshotName(checkpointPrefix, 1), func([]byte) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	names, _ := fs.ReadDir(testDir + "/" + walFolder)
	for _, name := range names {
		if err := fs.Remove(testDir + "/" + walFolder + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := Open(testDir, tinyOptions(fs)); err == nil {
			t.Fatal("an empty store where there was one")
		}
	}
}
