package wal

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestLSNsAreBytePositions(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	lsns, end := l.mustAppend(t, Lazy, nil, "abc", "", "defgh")
	if want := []LSN{44, 51, 55}; !slices.Equal(lsns, want) || end != 60 {
		t.Errorf("records at %d, end %d; want %d, 60", lsns, end, want)
	}
	if b := l.Boundary(); b != 0 {
		t.Errorf("boundary %d before the commit, want 0", b)
	}
	if err := l.Wait(end); err != nil {
		t.Fatal(err)
	}
	// The frame was padded to 64, and the next one's header begins there.
	if l.Boundary() != 64 || l.Durable() != 64 || l.Appended() != 60 {
		t.Errorf("boundary %d, durable %d, appended %d; want 64, 64, 60", l.Boundary(), l.Durable(), l.Appended())
	}
	lsns, end = l.mustAppend(t, Lazy, nil, "x")
	if want := []LSN{108}; !slices.Equal(lsns, want) || end != 109 {
		t.Errorf("record at %d, end %d; want %d, 109", lsns, end, want)
	}
}

func TestBatchesOfOneCommitShareAFrame(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.mustAppend(t, Lazy, nil, "one", "two")
	_, end := l.mustAppend(t, Lazy, nil, "three")
	if err := l.Wait(end); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Commits != 1 || s.Frames != 1 || s.Records != 3 || s.Batches != 2 || s.Bytes != fileHeaderSize+64 {
		t.Errorf("%+v, want one commit of 3 records in 2 batches in 64 bytes", s)
	}
	l.mustClose(t)
	sum, err := Replay(m, testDir, 0, nil)
	if err != nil || sum.Frames != 1 || sum.Records != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestBatchMayHoldLessThanItReserved(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	if err := l.Begin(500, 10); err != nil {
		t.Fatal(err)
	}
	_, p := l.Put(3)
	copy(p, "one")
	end := l.End(Lazy, nil)
	if err := l.Wait(end); err != nil || end != 47 {
		t.Fatal(end, err)
	}
	l.mustClose(t)
	if recs, _, err := replayed(m, 0); err != nil || !slices.Equal(recs, []string{"one"}) {
		t.Fatal(recs, err)
	}
}

func TestBatchOfNothingLeavesNoTrace(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	for _, staged := range []bool{false, true} {
		if staged {
			l.mustAppend(t, Lazy, nil, "one")
		}
		before := l.Appended()
		w := &notes{}
		if err := l.Begin(100, 3); err != nil {
			t.Fatal(err)
		}
		if end := l.End(Group, w); end != 0 {
			t.Errorf("end %d, want 0", end)
		}
		l.Lead()
		if w.count() != 0 || l.Appended() != before {
			t.Errorf("staged %v: waiter called %d times, appended %d, want 0, %d", staged, w.count(), l.Appended(), before)
		}
		if !staged && l.Durable() != 0 {
			t.Error("an empty frame was committed")
		}
	}
}

func TestPutBeyondTheReservationPanics(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	for _, tt := range []struct{ size, n, put int }{{10, 1, 11}, {10, 0, 10}, {0, 0, 0}, {10, 1, -1}} {
		if err := l.Begin(tt.size, tt.n); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v did not panic", tt)
				}
			}()
			l.Put(tt.put)
		}()
		l.End(Lazy, nil)
	}
}

func TestBatchThatIsTooLargeIsRefused(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	for _, tt := range []struct{ size, n int }{{MaxBatch, 1}, {0, MaxBatch}, {MaxBatch + 1, 0}, {-1, 1}, {1, -1}, {1 << 62, 1 << 62}} {
		if err := l.Begin(tt.size, tt.n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	l.mustCommit(t, "the lock is free")
}

func TestBatchLargerThanAChunkOrAFile(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	want := []string{"before", fill(1, 3000), "between", fill(2, 10000), fill(3, 20000), "behind"}
	for _, rec := range want {
		l.mustAppend(t, Group, nil, rec)
	}
	l.mustClose(t)
	if recs, _, err := replayed(m, 0); err != nil || !slices.Equal(recs, want) {
		t.Fatal(len(recs), err)
	}
}

func TestFilesEndNearTheirSize(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	for i := range 100 {
		l.mustCommit(t, fill(i, 300))
	}
	files := l.Files()
	if len(files) < 5 {
		t.Fatalf("%d files of 30 kB", len(files))
	}
	for i, f := range files {
		if f.Size > 4096 || i < len(files)-1 && f.Size < 3000 {
			t.Errorf("file %d is %d bytes long", f.Seq, f.Size)
		}
		if f.Active != (i == len(files)-1) || i > 0 && (f.Start != files[i-1].End || f.Seq != files[i-1].Seq+1) {
			t.Errorf("file %d: %+v after %+v", i, f, files[i-1])
		}
	}
	if end := files[len(files)-1].End; end != l.Durable() {
		t.Errorf("last file ends at %d, durable is %d", end, l.Durable())
	}
}

func TestWaitersAreCalledInOrderOnce(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	w := &notes{}
	var ends []LSN
	for range 5 {
		_, end := l.mustAppend(t, Lazy, w, "record")
		ends = append(ends, end)
		if len(ends)%2 == 0 {
			l.Lead()
		}
	}
	l.mustClose(t)
	if len(w.durable) != len(ends) {
		t.Fatalf("%d calls for %d batches", len(w.durable), len(ends))
	}
	for i, d := range w.durable {
		if d < ends[i] || w.errs[i] != nil || i > 0 && d < w.durable[i-1] {
			t.Errorf("call %d: durable %d, error %v, batch ends at %d", i, d, w.errs[i], ends[i])
		}
	}
}

// gate holds the log's syncs until it is opened.
type gate struct {
	entered chan struct{} // one value a sync that began
	open    chan struct{} // one value lets one sync go on; closed: all
}

// gated is a log on a file system whose syncs of log files wait at a gate.
func gated(t *testing.T, opts Options) (*Log, *gate, *vfs.ErrFS) {
	t.Helper()
	efs := vfs.NewErrFS(newMem(t))
	l, err := Open(efs, testDir, 0, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{make(chan struct{}, 100), make(chan struct{}, 100)}
	efs.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", Before: func(vfs.Call) {
		g.entered <- struct{}{}
		<-g.open
	}})
	return l, g, efs
}

func TestAppendersGoOnDuringASync(t *testing.T) {
	l, g, _ := gated(t, tiny())
	_, first := l.mustAppend(t, Group, nil, "first")
	<-g.entered
	// The committer is in its sync. None of these may wait for it.
	_, second := l.mustAppend(t, Group, nil, "second")
	_, third := l.mustAppend(t, Lazy, nil, "third")
	l.Lead()
	if l.Boundary() <= first || second >= third || l.Durable() != 0 {
		t.Errorf("boundary %d, durable %d", l.Boundary(), l.Durable())
	}
	close(g.open)
	if err := l.Wait(third); err != nil {
		t.Fatal(err)
	}
	l.mustClose(t)
	if n := len(g.entered); n != 2 { // the second commit and the seal
		t.Errorf("%d more syncs, want 2: what was appended during the first shares one", n)
	}
}

func TestLeaderCommitsInItsOwnGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, _ := gated(t, tiny())
		synctest.Wait() // the committer sleeps
		first, second := &notes{}, &notes{}
		l.mustAppend(t, Lazy, first, "record")
		led := false
		go func() {
			l.Lead()
			led = first.count() == 1
		}()
		synctest.Wait() // the leader is in its sync
		l.Lead()        // nothing is staged
		l.mustAppend(t, Lazy, second, "another")
		l.Lead() // somebody else leads: asks for another commit and returns
		if first.count() != 0 || len(g.entered) != 1 {
			t.Error("two commits at once")
		}
		g.open <- struct{}{}
		synctest.Wait()
		if !led {
			t.Error("the leader has not returned, or before its commit")
		}
		if second.count() != 0 || len(g.entered) != 2 {
			t.Error("the committer did not take over")
		}
		close(g.open)
		synctest.Wait()
		if second.count() != 1 {
			t.Error("the second commit did not end")
		}
		l.mustClose(t)
	})
}

func TestWaitOfOneLeadsForAll(t *testing.T) {
	l, g, _ := gated(t, tiny())
	_, a := l.mustAppend(t, Lazy, nil, "a")
	_, b := l.mustAppend(t, Lazy, nil, "b")
	var wg sync.WaitGroup
	for _, lsn := range []LSN{a, b, a, b} {
		wg.Go(func() {
			if err := l.Wait(lsn); err != nil {
				t.Error(err)
			}
		})
	}
	<-g.entered
	close(g.open)
	wg.Wait()
	if n := len(g.entered); n != 0 {
		t.Errorf("%d more syncs", n)
	}
	l.mustClose(t)
}

// A checkpoint waits for a boundary, which padding may put behind the last
// batch, and nobody else may be about to lead.
func TestWaitForTheBoundaryLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, newMem(t), 0, tiny())
		synctest.Wait() // the committer sleeps
		l.mustAppend(t, Lazy, nil, fill(1, 801))
		if err := l.Begin(801, 1); err != nil { // the frame is full, and the batch comes to nothing
			t.Fatal(err)
		}
		l.End(Lazy, nil)
		if l.Boundary() <= l.Appended() {
			t.Fatalf("boundary %d is not behind %d", l.Boundary(), l.Appended())
		}
		if err := l.Wait(l.Boundary()); err != nil {
			t.Fatal(err)
		}
		l.mustClose(t)
	})
}

func TestWaitForWhatIsAppendedLater(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	done := make(chan error)
	go func() { done <- l.Wait(100) }()
	for l.Durable() < 100 {
		l.mustAppend(t, Group, nil, "record")
		l.Lead()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestBeginBlocksWhileTooMuchIsStaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tiny()
		l, g, _ := gated(t, opts)
		l.mustAppend(t, Group, nil, "first")
		synctest.Wait() // the committer is in its sync
		for int64(l.Appended()) < opts.MaxStaged-1000 {
			l.mustAppend(t, Lazy, nil, fill(1, 500))
		}
		var began atomic.Int32
		for range 3 {
			go func() {
				if _, _, err := l.Append(make([]byte, 2000), Lazy, nil); err != nil {
					t.Error(err)
				}
				began.Add(1)
			}()
		}
		synctest.Wait()
		if n := began.Load(); n != 0 {
			t.Errorf("%d batches were taken with %d staged and %d durable", n, l.Appended(), l.Durable())
		}
		// A small one that would fit does not overtake them: else a large batch
		// could wait for ever.
		go func() {
			l.mustAppend(t, Lazy, nil, "small")
			if n := began.Load(); n != 3 {
				t.Errorf("a small batch was taken after %d of the three that came before it", n)
			}
			began.Add(1)
		}()
		synctest.Wait()
		if n := began.Load(); n != 0 {
			t.Errorf("%d batches were taken while nothing had become durable", n)
		}
		close(g.open)
		synctest.Wait()
		if n := began.Load(); n != 4 {
			t.Errorf("%d batches were taken, want 4", n)
		}
		l.mustClose(t)
	})
}

// Who promised to lead may be the one who waits for room.
func TestBlockedBeginCausesACommit(t *testing.T) {
	for _, chunk := range []int{1024, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			opts := tiny()
			opts.ChunkSize = chunk
			l := mustOpen(t, newMem(t), 0, opts)
			synctest.Wait() // the committer sleeps
			for i := range 100 {
				l.mustAppend(t, Lazy, nil, fill(i, 500))
			}
			if l.Durable() < 30000 {
				t.Errorf("durable %d", l.Durable())
			}
			l.mustClose(t)
		})
	}
}

func TestFramesThatPiledUpKeepTheFileSize(t *testing.T) {
	l, g, _ := gated(t, Options{FileSize: 4096, ChunkSize: 1024})
	l.mustAppend(t, Group, nil, "first")
	<-g.entered
	for i := range 20 {
		l.mustAppend(t, Lazy, nil, fill(i, 900))
	}
	close(g.open)
	l.mustClose(t)
	for _, f := range l.Files() {
		if f.Size > 4096 {
			t.Errorf("file %d is %d bytes long", f.Seq, f.Size)
		}
	}
	// The first, then groups as large as a file, a new file each, the seal.
	if n := len(g.entered); n > 15 {
		t.Errorf("%d syncs for 20 frames in %d files", n, len(l.Files()))
	}
}

func TestBatchLargerThanTheStagingBoundGoesAlone(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	for range 3 {
		l.mustAppend(t, Lazy, nil, fill(1, 100))
		l.mustAppend(t, Lazy, nil, fill(2, 50000))
	}
	l.mustClose(t)
	if recs, _, err := replayed(m, 0); err != nil || len(recs) != 6 {
		t.Fatal(len(recs), err)
	}
}

func TestLazyBatchesWaitForTheDelayOrARide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tiny()
		opts.LazyDelay = 50 * time.Millisecond
		l := mustOpen(t, newMem(t), 0, opts)
		_, end := l.mustAppend(t, Lazy, nil, "lazy")
		time.Sleep(49 * time.Millisecond)
		synctest.Wait()
		if l.Durable() != 0 {
			t.Error("committed before its delay was over")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if l.Durable() < end {
			t.Error("not committed after its delay")
		}

		// A ride, and the timer that finds nothing to do.
		l.mustAppend(t, Lazy, nil, "lazy")
		_, end = l.mustAppend(t, Group, nil, "not lazy")
		synctest.Wait()
		if l.Durable() < end {
			t.Error("not committed")
		}
		before := l.Durable()
		time.Sleep(time.Second)
		synctest.Wait()
		if l.Durable() != before {
			t.Error("the timer committed nothing into a frame")
		}

		// Another delay begins after the timer has run.
		_, end = l.mustAppend(t, Lazy, nil, "lazy")
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if l.Durable() < end {
			t.Error("not committed after its second delay")
		}
		l.mustClose(t)
	})
}

func TestLeadCommitsALazyBatch(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	_, end := l.mustAppend(t, Lazy, nil, "record")
	if l.Durable() != 0 {
		t.Error("committed by itself")
	}
	l.Lead()
	if l.Durable() < end {
		t.Error("Lead did not commit")
	}
	l.mustClose(t)
}

// Lazy batches that fill a chunk are written without a delay: it is their
// delay that is bounded, and the memory.
func TestFullFrameDoesNotWaitForTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, newMem(t), 0, tiny())
		synctest.Wait() // the committer sleeps
		_, first := l.mustAppend(t, Lazy, nil, fill(1, 800))
		l.mustAppend(t, Lazy, nil, fill(2, 800))
		synctest.Wait()
		if l.Durable() < first {
			t.Error("a full frame was not committed")
		}

		// Not even if the batch that did not fit comes to nothing.
		_, third := l.mustAppend(t, Lazy, nil, fill(3, 800))
		synctest.Wait()
		if err := l.Begin(800, 1); err != nil {
			t.Fatal(err)
		}
		l.End(Lazy, nil)
		synctest.Wait()
		if l.Durable() < third {
			t.Error("a full frame was not committed")
		}
		l.mustClose(t)
	})
}

func TestCloseCommitsWhatIsStaged(t *testing.T) {
	for _, mode := range []Mode{Lazy, Group, Lazy} {
		m := newMem(t)
		l := mustOpen(t, m, 0, tiny())
		w := &notes{}
		l.mustAppend(t, mode, w, "record")
		l.mustClose(t)
		if w.count() != 1 || w.errs[0] != nil {
			t.Errorf("mode %d: waiter called %d times, %v", mode, w.count(), w.errs)
		}
		for name, im := range m.Images(vfs.ImageOptions{}) {
			if recs, _, err := replayed(im, 0); err != nil || len(recs) != 1 {
				t.Errorf("mode %d, %s: %v, %v", mode, name, recs, err)
			}
		}
	}
}

func TestCallsAfterClose(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	end := l.mustCommit(t, "record")
	l.mustClose(t)
	if err := l.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
	if err := l.Begin(1, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Begin: %v", err)
	}
	if err := l.Wait(end); err != nil {
		t.Errorf("Wait for what is durable: %v", err)
	}
	if err := l.Wait(end + 100); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait for what will never be: %v", err)
	}
	l.Lead()
	if err := l.Err(); err != nil {
		t.Errorf("Err: %v", err)
	}
}

func TestCloseReleasesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, _ := gated(t, tiny())
		l.mustAppend(t, Group, nil, "first")
		synctest.Wait() // the committer is in its sync
		for int64(l.Appended()) < tiny().MaxStaged-1000 {
			l.mustAppend(t, Lazy, nil, fill(1, 500))
		}
		var begin, wait, closed error
		go func() { begin = l.Begin(5000, 1) }()
		go func() { wait = l.Wait(1 << 40) }()
		synctest.Wait()
		go func() { closed = l.Close() }()
		synctest.Wait() // Close waits for the sync, Begin need not
		if !errors.Is(begin, ErrClosed) || wait != nil {
			t.Errorf("Begin: %v; Wait: %v", begin, wait)
		}
		close(g.open)
		synctest.Wait()
		if !errors.Is(wait, ErrClosed) || closed != nil || l.Durable() < l.Appended() {
			t.Errorf("Wait: %v; Close: %v", wait, closed)
		}
	})
}

func TestOptionsAreValidated(t *testing.T) {
	for _, tt := range []struct {
		opts Options
		want string
	}{
		{Options{}, ""},
		{Options{FileSize: 100}, "file size 100"},
		{Options{FileSize: -1}, "file size -1"},
		{Options{ChunkSize: 10}, "chunk size 10"},
		{Options{ChunkSize: MaxBatch + 1}, "chunk size"},
		{Options{CacheSize: -1}, "cache size -1"},
		{Options{MaxStaged: -1}, "staging bound -1"},
		{Options{LazyDelay: -1}, "lazy delay"},
	} {
		err := tt.opts.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.opts, err)
		}
		l, err := Open(newMem(t), testDir, 0, tt.opts, nil)
		if (err == nil) != (tt.want == "") {
			t.Errorf("Open of %+v: %v", tt.opts, err)
		}
		if err == nil {
			l.mustClose(t)
		}
	}
}
