package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

func retire(t tb, s *Store) {
	t.Helper()
	if err := s.Retire(true); err != nil {
		t.Fatalf("retire: %v", err)
	}
}

// segmentFiles lists what is in the segments' folder.
func segmentFiles(t tb, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.ReadDir(testDir + "/" + segmentFolder)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRetirementMovesWhatIsAlive(t *testing.T) {
	for _, how := range []string{"running", "stopped", "killed"} {
		t.Run(how, func(t *testing.T) {
			fs := vfs.NewMem()
			o := tinyOptions(fs)
			s := open(t, o)
			q, r := newQueue(t, s, true), newQueue(t, s, true)
			for i := range 300 {
				queues := []*Queue{q}
				if i%10 == 0 {
					queues = append(queues, r)
				}
				size := 20
				if i%50 == 0 {
					size = 6000
				}
				publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", size))), queues...)
			}
			publish(t, s, transient("in memory"), q)
			items := claim(t, s, q, 120)
			apply(t, s, func(b *Batch) {
				for i, it := range items {
					switch {
					case i%3 == 0:
						b.Ack(q, it.seq)
					case i%3 == 1:
						b.Requeue(q, it.seq)
					}
				}
			})
			retire(t, s)
			if n, _ := s.live.size(); n != 0 {
				t.Errorf("%d messages are left in the log", n)
			}
			wantCounts(t, q, 300-120+40+1, 40)
			for range 3 {
				if err := s.Checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(s.log.Files()); n > 2 {
				t.Errorf("%d log files are left", n)
			}
			switch how {
			case "stopped":
				shut(t, s)
				s = open(t, o)
			case "killed":
				s, fs = kill(t, s, fs, o)
				o.FS = fs
			}
			q, r = s.Queue(q.ID()), s.Queue(r.ID())
			var want []string
			for i := range 300 {
				size := 20
				if i%50 == 0 {
					size = 6000
				}
				if i < 120 && (i%3 == 0 || how == "running" && i%3 == 2) {
					continue
				}
				body := fmt.Sprint(i, strings.Repeat(".", size))
				if i < 120 {
					body += "!"
					if i%3 == 1 {
						body += "(1)"
					}
				}
				want = append(want, body)
			}
			if how == "running" {
				want = append(want, "in memory")
			}
			got := claim(t, s, q, 1000)
			if how == "killed" { // the mark was ahead
				for i := range got {
					got[i].redelivered = got[i].seq < 120
				}
			}
			if bodies(got) != strings.Join(want, " ") {
				t.Errorf("claimed\n%s, want\n%s", bodies(got), strings.Join(want, " "))
			}
			if got := claim(t, s, r, 1000); len(got) != 30 {
				t.Errorf("the other queue has %d messages, want 30", len(got))
			}
			apply(t, s, func(b *Batch) {
				for _, q := range []*Queue{q, r} {
					for seq := range q.ix.Next() {
						b.Ack(q, seq)
					}
				}
			})
			if err := s.Retire(false); err != nil {
				t.Fatal(err)
			}
			if names := segmentFiles(t, fs); len(names) != 0 {
				t.Errorf("segments are left that hold nothing: %v", names)
			}
			shut(t, s)
		})
	}
}

func TestOneBodyForManyQueuesIsSealedOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	var queues []*Queue
	for range 100 {
		queues = append(queues, newQueue(t, s, true))
	}
	body := make([]byte, 20_000)
	for i := range body {
		body[i] = byte(i * i >> 3)
	}
	publish(t, s, text(string(body)), queues...)
	retire(t, s)
	list := s.segments.list()
	if len(list) != 1 || list[0].live != 100 || list[0].info.Size > 40_000 {
		t.Errorf("%d segments, the first of %d bytes with %d messages", len(list), list[0].info.Size, list[0].live)
	}
	for _, q := range queues {
		if got := claim(t, s, q, 2); len(got) != 1 || got[0].body != string(body) {
			t.Errorf("%d messages", len(got))
		}
	}
	shut(t, s)
}

func TestLostSegmentIsNoticed(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	publish(t, s, text("1"), newQueue(t, s, true))
	retire(t, s)
	shut(t, s)
	name := testDir + "/" + segmentFolder + "/" + segmentFiles(t, fs)[0]
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	_, err := Open(testDir, o)
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.File != name {
		t.Errorf("a segment is missing: %v", err)
	}
}

func TestDamagedBlockIsSetAside(t *testing.T) {
	fs := vfs.NewMem()
	var log bytes.Buffer
	o := tinyOptions(fs)
	o.Logger = logTo(&log)
	o.CacheBytes = 1
	s := open(t, o)
	q := newQueue(t, s, true)
	const n = 3000
	apply(t, s, func(b *Batch) {
		for i := range n {
			b.Publish(text(fmt.Sprintf("%04d%s", i, strings.Repeat(".", 200))), []*Queue{q})
		}
	})
	retire(t, s)
	shut(t, s)
	name := testDir + "/" + segmentFolder + "/" + segmentFiles(t, fs)[0]
	if err := fs.Corrupt(name, func(data []byte) []byte {
		data[len(data)/2] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	q = s.Queue(q.ID())
	got := claim(t, s, q, 2*n)
	if len(got) > n-100 || len(got) < n/2 || !slices.IsSortedFunc(got, func(a, b claimed) int { return int(a.seq) - int(b.seq) }) {
		t.Errorf("%d messages of %d come", len(got), n)
	}
	if lost := s.Stats().DamagedBlobs; int(lost) != n-len(got) {
		t.Errorf("%d are counted as damaged, %d did not come", lost, n-len(got))
	}
	for _, want := range []string{name, "offset", "first=", "last="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
	if c := strings.Count(log.String(), "\n"); c > 3 {
		t.Errorf("%d lines are logged", c)
	}
	// They are tried again after a restart, and go with a purge.
	apply(t, s, func(b *Batch) { b.Ack(q, got[0].seq) })
	shut(t, s)
	s = open(t, o)
	q = s.Queue(q.ID())
	if again := claim(t, s, q, 2*n); len(again) != len(got)-1 {
		t.Errorf("%d messages come after a restart, want %d", len(again), len(got)-1)
	}
	apply(t, s, func(b *Batch) {
		b.Purge(q)
		for _, it := range got {
			b.Ack(q, it.seq)
		}
	})
	if err := s.Retire(false); err != nil {
		t.Fatal(err)
	}
	if names := segmentFiles(t, fs); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
	shut(t, s)
}

// TestDamagedBlockHarmsOnlyItsOwnMessages: a merged segment may have a block with
// messages of before and behind a run that lies in another segment.
func TestDamagedBlockHarmsOnlyItsOwnMessages(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	for i := range 30 {
		publish(t, s, text(fmt.Sprintf("%02d%s", i, strings.Repeat(".", 50))), q)
		if i%10 == 9 {
			retire(t, s)
		}
	}
	var ends []*sealed // what has the first and the last ten
	for _, f := range s.segments.list() {
		if number, _, _ := q.segmentOf(15); f.number != number {
			ends = append(ends, f)
		}
	}
	s.compactor.mu.Lock()
	err := s.compactor.merge(ends)
	s.compactor.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := q.segmentOf(0)
	if last, _, _ := q.segmentOf(29); last != first {
		t.Fatalf("the first message is in segment %d, the last in %d: not the case to test", first, last)
	}
	shut(t, s)
	if err := fs.Corrupt(testDir+"/"+segmentFolder+"/"+segment.Name(first), func(data []byte) []byte {
		data[len(data)/4] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	got := claim(t, s, s.Queue(q.ID()), 100)
	if len(got) != 10 || got[0].seq != 10 || got[9].seq != 19 {
		t.Errorf("claimed %v", got)
	}
	if n := s.Stats().DamagedBlobs; n != 20 {
		t.Errorf("%d are damaged, want 20", n)
	}
	shut(t, s)
}

func TestDamagedLogFileIsMovedMessageByMessage(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q, other := newQueue(t, s, true), newQueue(t, s, true)
	for i := range 40 {
		publish(t, s, text(fmt.Sprintf("<body %02d %s>", i, strings.Repeat("x", 300))), q, other)
	}
	corruptBlob(t, fs, "<body 03")
	retire(t, s)
	if n, _ := s.live.size(); n != 2 {
		t.Errorf("%d messages are left in the log, want 2", n)
	}
	for range 2 { // or a restart would read the damaged file
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	s, fs = kill(t, s, fs, o)
	o.FS = fs
	for _, q := range []*Queue{q, other} {
		got := claim(t, s, s.Queue(q.ID()), 100)
		if len(got) != 39 || got[3].seq != 4 {
			t.Errorf("%d messages come", len(got))
		}
	}
	if err := s.Retire(true); err != nil { // and it stays so
		t.Error(err)
	}
	if n, _ := s.live.size(); n != 2 {
		t.Errorf("%d messages are left in the log, want 2", n)
	}
	shut(t, s)
}

func TestLogKeepsItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tinyOptions(vfs.NewMem())
		o.WALBudget = 40_000
		o.CheckpointBytes = 20_000
		s := open(t, o)
		q := newQueue(t, s, true)
		for i := range 1000 {
			publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 500))), q)
			synctest.Wait()
			if _, size := s.retirer.unretired(); size > o.WALBudget+3*s.fileSize() {
				t.Fatalf("%d bytes of log hold messages that are alive", size)
			}
		}
		if st := s.Stats(); st.LogBytes > 4*o.WALBudget {
			t.Errorf("the log has %d bytes", st.LogBytes)
		}
		if got := claim(t, s, q, 2000); len(got) != 1000 {
			t.Errorf("%d messages come", len(got))
		}
		shut(t, s)
	})
}

func TestOldFilesRetireWhenAllIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tinyOptions(vfs.NewMem())
		s := open(t, o)
		q := newQueue(t, s, true)
		for i := range 100 {
			publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 500))), q)
		}
		<-time.After(o.withDefaults().RetireAge / 2)
		if n := len(s.segments.list()); n != 0 {
			t.Errorf("%d segments before their time", n)
		}
		<-time.After(o.withDefaults().RetireAge)
		synctest.Wait()
		if n, _ := s.live.size(); n > 10 { // of the file that is being written
			t.Errorf("%d messages are still in the log", n)
		}
		shut(t, s)
	})
}

// TestRetiredFileGoesThoughItsNeighbourLives: the messages that stay in the file
// being written share a granule of the live count with the file before, which must
// go for all that.
func TestRetiredFileGoesThoughItsNeighbourLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tinyOptions(vfs.NewMem())
		o.WAL.FileSize, o.CheckpointBytes = 64<<10, 1<<20
		s := open(t, o)
		q := newQueue(t, s, true)
		for s.log.Files()[0].Active {
			publish(t, s, text(strings.Repeat(".", 500)), q)
		}
		files := s.log.Files()
		if end := uint64(files[0].End); end>>s.live.shift != uint64(s.log.Appended()-1)>>s.live.shift || end&(1<<s.live.shift-1) == 0 {
			t.Fatalf("the files share no granule: %+v", files)
		}
		<-time.After(3 * o.withDefaults().RetireAge)
		synctest.Wait()
		if files := s.log.Files(); len(files) != 1 || len(s.segments.list()) != 1 {
			t.Errorf("%d segments, and files %+v", len(s.segments.list()), files)
		}
		if entries, _ := s.live.size(); entries == 0 {
			t.Error("nothing is left in the file that is being written")
		}
		shut(t, s)
	})
}

// TestPublishersArePaced: retirement fails, and the log grows beyond its budget,
// more and more slowly, but nobody waits for ever.
func TestPublishersArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		efs := vfs.NewErrFS(vfs.NewMem())
		o := tinyOptions(efs)
		o.WAL = wal.Options{FileSize: 1 << 20}
		o.WALBudget = 4 << 20
		s := open(t, o)
		q := newQueue(t, s, true)
		efs.Add(vfs.Rule{Ops: vfs.OpCreate, Name: "*.seg*", At: 1, Sticky: true})
		mib := func() time.Duration {
			begin := time.Now()
			for range 64 {
				publish(t, s, text(strings.Repeat(".", 16<<10)), q)
			}
			return time.Since(begin)
		}
		for i := range 4 {
			if took := mib(); took > 100*time.Millisecond {
				t.Fatalf("within the budget MiB %d takes %v", i, took)
			}
		}
		mib()
		before := time.Duration(0)
		for i := range 4 {
			synctest.Wait()
			took := mib()
			if took < before || i > 0 && took < 500*time.Millisecond || took > 20*time.Second {
				t.Errorf("beyond the budget MiB %d takes %v, the one before %v", i, took, before)
			}
			before = took
		}
		// When retirement gets on, nobody waits any more.
		efs.Clear()
		<-time.After(2 * retireRetry)
		synctest.Wait()
		mib()
		if took := mib(); took > 100*time.Millisecond {
			t.Errorf("then a MiB takes %v", took)
		}
		shut(t, s)
	})
}

func TestSealedBacklogCostsNoMemory(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs}
	s := open(t, o)
	q := newQueue(t, s, true)
	const n = 200_000
	b := s.NewBatch()
	for range n / 1000 {
		b.Reset()
		for range 1000 {
			b.Publish(text("message"), []*Queue{q})
		}
		if _, err := s.Apply(b, wal.Group, nil); err != nil {
			t.Fatal(err)
		}
	}
	retire(t, s)
	runs := 0
	q.ix.Runs(func(r index.Run) bool {
		runs++
		return true
	})
	entries := 0
	q.ix.After(^uint64(0), func(uint64, index.Entry) bool { entries++; return true })
	if runs > 3 || entries > 0 {
		t.Errorf("%d runs and %d entries for %d messages of which nobody has asked", runs, entries, n)
	}
	shut(t, s)
}

func TestSegmentsFolderIsDurableWhoeverMadeIt(t *testing.T) {
	// A process that died before it had synced the folder's name leaves it to the
	// next one.
	for k := 1; k < 40; k++ {
		fs := vfs.NewMem()
		fs.CutAt(k)
		if s, err := Open(testDir, tinyOptions(fs)); err == nil {
			b := s.NewBatch()
			q := b.CreateQueue(true, QueueOptions{})
			b.Publish(text("first"), []*Queue{q})
			s.Apply(b, wal.Group, nil)
			s.Retire(true)
			s.Close()
		}
		again := fs.Restart()
		s := open(t, tinyOptions(again))
		q := newQueue(t, s, true)
		publish(t, s, text("second"), q)
		retire(t, s)
		if err := s.barrier(); err != nil {
			t.Fatal(err)
		}
		for desc, img := range again.Images(vfs.ImageOptions{MaxImages: 20}) {
			s, err := Open(testDir, tinyOptions(img))
			if err != nil {
				t.Fatalf("died at operation %d, image %s: %v", k, desc, err)
			}
			wantClaim(t, s, s.Queue(q.ID()), 2, "second")
			shut(t, s)
		}
		shut(t, s)
	}
}
