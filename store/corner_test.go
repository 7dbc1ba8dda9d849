package store

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func TestCatalogIsDirtyOnlyOnceItHasChanged(t *testing.T) {
	// Else a checkpoint could take the mark off between the two, and its
	// successor would name a catalog that misses the change.
	var c catalog
	c.put("key", []byte("old"))
	for name, change := range map[string]func(){
		"put":    func() { c.put("key", []byte("new")) },
		"delete": func() { c.delete("key") },
	} {
		c.dirty.Store(false)
		c.mu.Lock()
		started := make(chan struct{})
		done := make(chan struct{})
		go func() {
			close(started)
			change()
			close(done)
		}()
		<-started
		for range 10_000 {
			runtime.Gosched()
		}
		early := c.dirty.Load()
		c.mu.Unlock()
		<-done
		if early || !c.dirty.Load() {
			t.Errorf("%s: dirty before the change: %v, after it: %v", name, early, c.dirty.Load())
		}
	}
}

func TestDirectoryIsDurableWhoeverMadeIt(t *testing.T) {
	// A process that died before it had synced a directory's name leaves it to
	// the next one.
	for k := 1; k < 12; k++ {
		fs := vfs.NewMem()
		o := Options{FS: fs}
		fs.CutAt(k)
		if s, err := Open("top/data", o); err == nil {
			s.Close()
		}
		again := fs.Restart() // the process died; the machine did not
		o.FS = again
		s, err := Open("top/data", o)
		if err != nil {
			t.Fatalf("died at operation %d: %v", k, err)
		}
		q := newQueue(t, s, true)
		publish(t, s, text("confirmed"), q)
		for desc, img := range again.Images(vfs.ImageOptions{MaxImages: 30}) {
			o.FS = img
			s, err := Open("top/data", o)
			if err != nil {
				t.Fatalf("died at operation %d, image %s: %v", k, desc, err)
			}
			if s.Queue(q.ID()) == nil {
				t.Errorf("died at operation %d, image %s: the confirmed message is lost", k, desc)
			}
			s.Close()
		}
		s.Close()
	}
}

func TestTooManyOpenFilesSetNothingAside(t *testing.T) {
	mem := vfs.NewMem()
	efs := vfs.NewErrFS(mem)
	s := open(t, tinyOptions(efs))
	q := newQueue(t, s, true)
	for i := range 200 {
		publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 100))), q)
	}
	shut(t, s)
	s = open(t, tinyOptions(efs))
	defer shut(t, s)
	q = s.Queue(q.ID())
	efs.Add(vfs.Rule{Ops: vfs.OpOpen, At: 1, Sticky: true, Err: syscall.EMFILE})
	var c Claim
	for range 5 {
		status := q.Claim(&c, 10, true)
		if status == Unmarked {
			if err := s.Wait(c.WaitFor); err != nil {
				t.Fatal(err)
			}
		} else if status != Cold {
			t.Fatalf("claim says %v", status)
		}
	}
	if n := s.Stats().DamagedBlobs; n != 0 {
		t.Errorf("%d messages were set aside", n)
	}
	efs.Clear()
	if got := claim(t, s, q, 1000); len(got) != 200 || got[0].seq != 0 {
		t.Errorf("%d messages came when files could be opened again, want 200", len(got))
	}
}

func TestUnreadableMessageHoldsUpItsQueueForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		efs := vfs.NewErrFS(vfs.NewMem())
		s := open(t, tinyOptions(efs))
		q := newQueue(t, s, true)
		for i := range 50 {
			publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 200))), q)
		}
		efs.Add(vfs.Rule{Ops: vfs.OpRead, Name: "*.wal*", At: 1, Sticky: true})
		for round := range 3 {
			for range 4 {
				if got, cold := claimReadable(t, s, q, 1); len(got) != 0 || !cold {
					t.Fatalf("claimed %v", got)
				}
				<-time.After(ioPatience / 5)
			}
			if n := s.Stats().DamagedBlobs; n != int64(round) {
				t.Fatalf("round %d: %d messages set aside", round, n)
			}
			<-time.After(ioPatience / 5)
			claimReadable(t, s, q, 1) // gives one up, and the next is tried
		}
		efs.Clear()
		if got := claim(t, s, q, 100); len(got) != 47 || got[0].seq != 3 {
			t.Errorf("%d messages from %d on, want 47 from 3 on", len(got), got[0].seq)
		}
		shut(t, s)
	})
}

func TestDurableQueuesDoNotRunOutOfIDs(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	for range 10 {
		newQueue(t, s, false)
	}
	if q := newQueue(t, s, true); q.ID() != firstQueue {
		t.Errorf("transient queues use up ids: the first durable one has %d", q.ID())
	}
	s.nextQueue.Store(math.MaxUint32 - 1)
	last := newQueue(t, s, true)
	for range 2 {
		b := s.NewBatch()
		q := b.CreateQueue(true, QueueOptions{})
		b.Publish(text("1"), []*Queue{q})
		if _, err := s.Apply(b, wal.Group, nil); err != ErrTooManyQueues {
			t.Errorf("one queue too many: %v", err)
		}
		newQueue(t, s, false)
		s, fs = kill(t, s, fs, tinyOptions(fs))
	}
	if s.Queue(last.ID()) == nil || s.Queue(firstQueue) == nil {
		t.Error("a queue is missing")
	}
	shut(t, s)
}

func TestDeliveriesOnAFailedLogAreKnown(t *testing.T) {
	mem := vfs.NewMem()
	efs := vfs.NewErrFS(mem)
	s := open(t, tinyOptions(efs))
	q, untouched := newQueue(t, s, true), newQueue(t, s, true)
	for i := range 30 {
		publish(t, s, text(fmt.Sprint(i)), q, untouched)
	}
	efs.Add(vfs.Rule{Ops: vfs.OpWrite, Name: "*.wal*", At: 1, Sticky: true, Err: syscall.ENOSPC})
	b := s.NewBatch()
	b.Publish(text("refused"), []*Queue{q})
	lsn, err := s.Apply(b, wal.Group, nil)
	if err == nil {
		err = s.Wait(lsn)
	}
	if err == nil {
		t.Fatal("the log has not failed")
	}
	if _, err := mem.Open(testDir + "/" + markerFile); err == nil {
		t.Error("the marker is there before anything was delivered")
	}
	got := claim(t, s, q, 20)
	if len(got) != 20 {
		t.Fatalf("%d delivered", len(got))
	}
	// Power cut, repaired; and again before a checkpoint.
	img := mem.Restart()
	for range 2 {
		s2 := open(t, tinyOptions(img))
		if yes, all := redelivered(t, s2, q); yes != 30 || all != 30 {
			t.Errorf("%d of %d redelivered, want all 30", yes, all)
		}
		publish(t, s2, text("new"), s2.Queue(untouched.ID()))
		if items := claim(t, s2, s2.Queue(untouched.ID()), 100); items[len(items)-1].redelivered {
			t.Error("a new message is redelivered")
		}
		if err := s2.barrier(); err != nil {
			t.Fatal(err)
		}
		img = img.Restart()
		s2.preparer.stop()
		s2.compactor.stop()
		s2.retirer.stop()
		s2.checkpoints.stop()
		s2.log.Close()
		s2.lock.Close()
	}
	s2 := open(t, tinyOptions(img))
	if err := s2.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if _, err := img.Open(testDir + "/" + markerFile); err == nil {
		t.Error("the marker is still there after a checkpoint")
	}
	shut(t, s2)
	s2 = open(t, tinyOptions(img))
	if yes, all := redelivered(t, s2, q); yes != 30 || all != 30 {
		t.Errorf("%d of %d redelivered after a checkpoint, want all 30", yes, all)
	}
	shut(t, s2)
	s.Close()
}

func TestColdReadsBesideAppends(t *testing.T) {
	// What a cold read asks of the log's cache moves under it.
	s := open(t, Options{FS: vfs.NewMem(), WAL: wal.Options{ChunkSize: 1024, CacheSize: 2048}})
	defer shut(t, s)
	q, other := newQueue(t, s, true), newQueue(t, s, true)
	apply(t, s, func(b *Batch) {
		for i := range 1000 {
			b.Publish(text(fmt.Sprint(i, strings.Repeat(".", 100))), []*Queue{q})
		}
	})
	var stop atomic.Bool
	var appends, claims sync.WaitGroup
	appends.Go(func() {
		for !stop.Load() {
			publish(t, s, text(strings.Repeat("x", 300)), other)
		}
	})
	for range 4 {
		claims.Go(func() {
			var c Claim
			for range 300 {
				switch q.Claim(&c, 1, true) {
				case Unmarked:
					if err := s.Wait(c.WaitFor); err != nil {
						t.Error(err)
					}
				case Claimed:
					checkItem(t, &c.Items[0])
					q.Unclaim(&c, 0)
				}
				c.Release()
				c.ahead.drop()
			}
		})
	}
	claims.Wait()
	stop.Store(true)
	appends.Wait()
}

// TestAckOfWhatWasNeverPublished: a replay must not take the numbers for used, and
// the messages that get them later for gone.
func TestAckOfWhatWasNeverPublished(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	publish(t, s, text("0"), q)
	publish(t, s, text("1"), q)
	apply(t, s, func(b *Batch) {
		for seq := range uint64(9) {
			b.Ack(q, seq+1)
		}
		b.Ack(q, 1<<40)
	})
	publish(t, s, text("2"), q)
	s, _ = kill(t, s, fs, o)
	defer shut(t, s)
	wantClaim(t, s, s.Queue(q.ID()), 9, "0 2")
}
