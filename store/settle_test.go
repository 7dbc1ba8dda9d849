package store

import (
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/segment"
	"github.com/leveret-mq/leveret/wal"
)

// TestLostSegmentHoldsNobodyUp: of a whole segment nothing can be read.
func TestLostSegmentHoldsNobodyUp(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	fill(t, s, 60, 100, 2, q)
	first, _, _ := q.segmentOf(0)
	shut(t, s)
	if err := fs.Corrupt(testDir+"/"+segmentFolder+"/"+segment.Name(first), func(data []byte) []byte {
		clear(data)
		return data
	}); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if got := claim(t, s, s.Queue(q.ID()), 100); len(got) != 30 || got[0].seq != 30 {
		t.Errorf("%d messages come, want the 30 of the other segment", len(got))
	}
	shut(t, s)
}

// TestSegmentStaysUntilAllOfABatchIsLogged: a purge with more ranges than a frame
// has room for writes a second one. Between the two a restart finds the messages of
// the second, whose segment must be there.
func TestSegmentStaysUntilAllOfABatchIsLogged(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL.FileSize = 1 << 20
	s := open(t, o)
	q := newQueue(t, s, true)
	fill(t, s, 3000, 10, 2, q)
	items := claim(t, s, q, 3000)
	for _, odd := range []uint64{1, 0} {
		apply(t, s, func(b *Batch) {
			for _, it := range items {
				switch {
				case it.seq%2 != odd:
				case odd == 1:
					b.Requeue(q, it.seq)
				default:
					b.Ack(q, it.seq)
				}
			}
		})
	}
	before := segmentFiles(t, fs)
	// What Apply does, up to the end of its first frame.
	b := s.NewBatch()
	b.Purge(q)
	r := &b.run
	if err := r.plan(); err != nil {
		t.Fatal(err)
	}
	b.ops[0].room = trimRanges // as if many became loose just now
	r.logging = true
	if err := s.log.Begin(r.size, r.records); err != nil {
		t.Fatal(err)
	}
	r.do()
	if len(r.late) == 0 {
		t.Fatal("all ranges fit: not the case to test")
	}
	s.halfway.Add(1)
	s.log.End(wal.Lazy, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Retire(false); err != nil {
			t.Error(err)
		}
	}()
	for range 1000 {
		runtime.Gosched()
	}
	if now := segmentFiles(t, fs); !slices.Equal(now, before) {
		t.Errorf("segments %v went before the record that empties them", before)
	}
	o.FS = fs.Restart() // as if killed here
	again := open(t, o)
	if ready, _, _ := again.Queue(q.ID()).Counts(); ready == 0 {
		t.Error("not the case to test: all is gone with the first frame")
	}
	shut(t, again)
	if err := r.putLate(); err != nil {
		t.Fatal(err)
	}
	raise(&s.halves, uint64(s.log.End(wal.Lazy, nil)))
	s.halfway.Add(-1)
	r.finish()
	<-done
	if now := segmentFiles(t, fs); len(now) != 0 {
		t.Errorf("left: %v", now)
	}
	shut(t, s)
}

// TestFailedLogRefusesAtOnce: who is to be refused does not pay before.
func TestFailedLogRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewErrFS(vfs.NewMem())
		s := open(t, tinyOptions(fs))
		q := newQueue(t, s, true)
		fs.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", At: 1, Sticky: true, Err: syscall.EIO})
		b := s.NewBatch()
		for i := range 2 {
			th := &s.retirer.throttle
			th.failed()
			th.soft.Store(0)
			begin := time.Now()
			b.Reset()
			b.Publish(text(strings.Repeat(".", 1<<20)), []*Queue{q})
			lsn, err := s.Apply(b, wal.Group, nil)
			if err == nil {
				err = s.Wait(lsn)
			}
			if err == nil {
				t.Fatal("the disk is broken, and nobody notices")
			}
			if waited := time.Since(begin); (waited > 0) != (i == 0) {
				t.Errorf("batch %d waited %v", i, waited)
			}
		}
		if err := s.Close(); err == nil {
			t.Error("closed without a word")
		}
	})
}

// TestDebtOfPublishersIsBounded: what they owed while retirement failed does not
// outlive the failure.
func TestDebtOfPublishersIsBounded(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	th := &s.retirer.throttle
	th.letGo() // waits return at once
	th.failed()
	th.soft.Store(0)
	publish(t, s, text("1"), newQueue(t, s, true))
	for range 100 {
		th.wait(1 << 16)
	}
	if ahead := time.Until(th.next); ahead > throttleMost {
		t.Errorf("the next batch may go in %v", ahead)
	}
}

// TestFullDiskGetsWhatSegmentsHeld: the log waits for room, and a segment was
// emptied before that.
func TestFullDiskGetsWhatSegmentsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := tinyOptions(fs)
		o.WAL.FileSize = 1 << 20
		o.WAL.FullDiskWait = time.Minute
		s := open(t, o)
		q := newQueue(t, s, true)
		fill(t, s, 500, 1000, 1, q)
		used := s.segments.acquire(1) // by a reader, so that it stays for now
		ackAll(t, s, q, func(uint64) bool { return false })
		if err := s.barrier(); err != nil {
			t.Fatal(err)
		}
		fs.SetCapacity(2000)
		b := s.NewBatch()
		for range 200 {
			b.Publish(text(strings.Repeat("x", 1000)), []*Queue{q})
		}
		if _, err := s.Apply(b, wal.Group, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second)
		if !s.Full() {
			t.Error("the disk has room: not the case to test")
		}
		s.segments.release(used)
		<-time.After(2 * retireEvery)
		if left := segmentFiles(t, fs); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		fs.SetCapacity(1 << 40)
		<-time.After(2 * time.Second)
		shut(t, s)
	})
}
