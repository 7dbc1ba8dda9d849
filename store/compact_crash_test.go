package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// TestCheckpointsBetweenTheStepsOfAMerge: the record is appended, and one queue
// after the other gets the new number, while a checkpoint is written; then the
// process is killed.
func TestCheckpointsBetweenTheStepsOfAMerge(t *testing.T) {
	const queues = 3
	for relabelled := range queues + 1 {
		for _, twice := range []bool{false, true} {
			fs := vfs.NewMem()
			o := tinyOptions(fs)
			s := open(t, o)
			var qs []*Queue
			for range queues {
				qs = append(qs, newQueue(t, s, true))
			}
			fill(t, s, 60, 100, 3, qs...)
			for _, q := range qs {
				ackAll(t, s, q, func(seq uint64) bool { return seq%4 == 0 })
			}
			inputs := s.segments.list()
			var readers []*segment.Reader
			for _, f := range inputs {
				readers = append(readers, s.segments.acquire(f.number).reader)
			}
			number, err := s.segments.allocate()
			if err != nil {
				t.Fatal(err)
			}
			a := asker{s: s, inputs: inputs}
			info, err := segment.Merge(fs, s.segments.dir, number, readers, segment.MergeOptions{Keep: a.keep, Any: a.any})
			if err != nil || info.Records != 15*queues {
				t.Fatal(info, err)
			}
			f, err := s.compactor.record(info, inputs)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range qs[:relabelled] {
				q.ix.Relabel(s.segments.resolve)
			}
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			if twice {
				apply(t, s, func(b *Batch) { b.Ack(qs[0], 0) })
				if err := s.relabel(inputs); err != nil {
					t.Fatal(err)
				}
				s.segments.built(f)
				if err := s.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range inputs {
				s.segments.release(f)
			}
			if twice {
				if err := s.Retire(false); err != nil {
					t.Fatal(err)
				}
				if names := segmentFiles(t, fs); len(names) != 1 {
					t.Errorf("left are %v", names)
				}
			}
			s, fs = kill(t, s, fs, o)
			for i, q := range qs {
				var want []uint64
				for seq := uint64(0); seq < 60; seq += 4 {
					if !twice || i > 0 || seq > 0 {
						want = append(want, seq)
					}
				}
				wantSeqs(t, s, s.Queue(q.ID()), want)
			}
			checkTable(t, s)
			if names := segmentFiles(t, fs); !slices.Equal(names, []string{segment.Name(number)}) {
				t.Errorf("left are %v", names)
			}
			shut(t, s)
		}
	}
}

// TestOldSegmentsGoWhenTheRecordIsDurable: before that, they are what a crash
// comes back to.
func TestOldSegmentsGoWhenTheRecordIsDurable(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	defer shut(t, s)
	q := newQueue(t, s, true)
	fill(t, s, 90, 100, 3, q)
	ackAll(t, s, q, func(seq uint64) bool { return seq%3 == 0 })
	removed := 0
	merged := wal.LSN(0)
	fs.OnOp(func(_ int, op vfs.Op, name string) {
		if !strings.Contains(name, segmentFolder) {
			return
		}
		switch op {
		case vfs.OpRemove:
			removed++
			if merged == 0 || s.Durable() < merged {
				t.Errorf("%s goes when %d is durable, and the record stands at %d", name, s.Durable(), merged)
			}
		case vfs.OpRename:
			merged = s.log.Appended() + 1
		}
	})
	compact(t, s)
	fs.OnOp(nil)
	if removed != 3 {
		t.Errorf("%d segments went", removed)
	}
}

// TestPowerCutAtEveryOperationOfACompaction looks, before each operation on the
// files from the retirement to the second checkpoint behind a merge, at what a
// power cut could leave, and cuts some of the recoveries too.
func TestPowerCutAtEveryOperationOfACompaction(t *testing.T) {
	const seeds, images = 2, 6 / slower
	checked, again := 0, 0
	seen := map[string]int{}
	for seed := range uint64(seeds) {
		fs := vfs.NewMem()
		c := newScript(t, 100+seed, tinyOptions(fs))
		if err := c.open(); err != nil {
			t.Fatal(err)
		}
		failed := ""
		report := &reporter{fail: func(msg string) { failed = msg }}
		watch := func(n int, op vfs.Op, name string) {
			if failed != "" {
				return
			}
			seen[fmt.Sprint(op, filepath.Ext(name))]++
			e := c.expect()
			for desc, img := range fs.Images(vfs.ImageOptions{MaxImages: images, Seed: uint64(n)}) {
				checked++
				report.run(func() {
					what := fmt.Sprintf("seed %d, before operation %d (%v %s), image %q", seed, n, op, name, desc)
					if checked%11 == 0 {
						again += cutRecovery(report, &e, what, img)
						return
					}
					e.check(report, what, tinyOptions(img), checked%5 == 0)
				})
			}
		}
		step := func(n int) {
			for range n {
				if err := c.step(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 3 {
			for range 3 {
				step(12)
				if err := c.s.Retire(true); err != nil {
					t.Fatal(err)
				}
			}
			fs.OnOp(watch)
			if err := c.s.Compact(); err != nil {
				t.Fatal(err)
			}
			step(2)
			for range 2 {
				if err := c.s.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.s.Compact(); err != nil {
				t.Fatal(err)
			}
			fs.OnOp(nil)
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		if failed != "" {
			t.Fatal(failed)
		}
	}
	if checked < 300/slower || again < 100/slower || seen["rename.tmp"] < 4 || seen["remove.seg"] < 4 {
		t.Errorf("only %d images were checked, %d recoveries cut; operations: %v", checked, again, seen)
	}
	t.Logf("%d images, %d recoveries cut; %v", checked, again, seen)
}

// cutRecovery cuts the recovery of an image at each of its operations, and checks
// what the next one finds.
func cutRecovery(t tb, e *expectation, what string, img *vfs.Mem) (cuts int) {
	for n := img.Ops() + 1; ; n++ {
		fs := img.Restart()
		fs.CutAt(n - img.Ops() + fs.Ops())
		s, err := Open(testDir, tinyOptions(fs))
		if err == nil {
			err = s.Close()
		}
		if err == nil {
			return cuts
		}
		cuts++
		for desc, second := range fs.Images(vfs.ImageOptions{MaxImages: 2, Seed: uint64(n)}) {
			e.check(t, fmt.Sprintf("%s, recovery cut at %d, image %q", what, n, desc), tinyOptions(second), false)
		}
	}
}

// TestMergeThatFailsLeavesEverything fails each call to the file system that a
// compaction makes in the segments' folder.
func TestMergeThatFailsLeavesEverything(t *testing.T) {
	for _, rule := range []vfs.Rule{
		{Ops: vfs.OpMutating &^ vfs.OpRemove, Err: syscall.ENOSPC},
		{Ops: vfs.OpOpen | vfs.OpRead | vfs.OpSize, Err: syscall.EIO},
	} {
		failed := 0
		for rule.At = 1; ; rule.At++ {
			mem := vfs.NewMem()
			efs := vfs.NewErrFS(mem)
			o := tinyOptions(efs)
			o.CacheBytes = 1
			s := open(t, o)
			q := newQueue(t, s, true)
			fill(t, s, 90, 100, 3, q)
			var want []uint64
			ackAll(t, s, q, func(seq uint64) bool {
				if seq%3 == 0 {
					want = append(want, seq)
				}
				return seq%3 == 0
			})
			rule.Name = "*.seg*"
			injection := efs.Add(rule)
			err := s.Compact()
			n := injection.Failed()
			if (err != nil) != (n > 0) {
				t.Fatalf("call %d: %v, %d failed", rule.At, err, n)
			}
			efs.Clear()
			if s.Err() != nil {
				t.Fatalf("call %d: the log fails for it: %v", rule.At, s.Err())
			}
			compact(t, s)
			if names := segmentFiles(t, mem); len(names) > 2 || n == 0 && len(names) != 1 {
				t.Errorf("call %d: left are %v", rule.At, names)
			}
			checkTable(t, s)
			wantSeqs(t, s, q, want)
			shut(t, s)
			s = open(t, o)
			if names := segmentFiles(t, mem); len(names) != 1 {
				t.Errorf("call %d: left after a restart are %v", rule.At, names)
			}
			wantSeqs(t, s, s.Queue(q.ID()), want)
			shut(t, s)
			if n == 0 {
				break
			}
			failed++
		}
		if failed < 3 {
			t.Errorf("only %d calls failed", failed)
		}
	}
}

// TestFallbackOverAMerge: the newest checkpoint is damaged, the one before knows
// nothing of a merge, and the files that it names are gone.
func TestFallbackOverAMerge(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	fill(t, s, 90, 100, 3, q)
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	var want []uint64
	ackAll(t, s, q, func(seq uint64) bool {
		if seq%3 == 0 {
			want = append(want, seq)
		}
		return seq%3 == 0
	})
	compact(t, s)
	// What the first merge has made is merged, too.
	r := newQueue(t, s, true)
	fill(t, s, 30, 100, 1, r)
	compact(t, s)
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	newest := s.checkpoints.current.number
	if err := s.barrier(); err != nil {
		t.Fatal(err)
	}
	after := fs.Restart()
	fs.Cut()
	s.Close()
	if err := after.Corrupt(filepath.Join(testDir, snapshotName(checkpointPrefix, newest)), func(data []byte) []byte {
		data[len(data)/2] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	o.FS = after
	s = open(t, o)
	if s.fellBack != 1 {
		t.Errorf("%d checkpoints were passed over", s.fellBack)
	}
	wantSeqs(t, s, s.Queue(q.ID()), want)
	checkTable(t, s)
	shut(t, s)
}
