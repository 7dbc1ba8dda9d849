package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// largeText is text whose body is a file of its own.
func largeText(t tb, s *Store, body string, durable bool) (*Large, Message) {
	t.Helper()
	l, m, err := tryLarge(s, body, durable)
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	return l, m
}

func tryLarge(s *Store, body string, durable bool) (*Large, Message, error) {
	u, err := s.NewUpload(int64(len(body)), durable)
	if err != nil {
		return nil, Message{}, err
	}
	defer u.Abort()
	if _, err := io.WriteString(u, body); err != nil {
		return nil, Message{}, err
	}
	m := text(body)
	m.Persistent = durable
	l, err := u.Finish(m)
	return l, m, err
}

func publishLarge(t tb, s *Store, body string, queues ...*Queue) {
	t.Helper()
	l, m := largeText(t, s, body, true)
	apply(t, s, func(b *Batch) { b.PublishLarge(l, m, queues) })
	l.Release()
}

// readLarge returns a body.
func readLarge(l *Large) (string, error) {
	r, err := l.Open()
	if err != nil {
		return "", err
	}
	p := make([]byte, r.Size())
	n, err := r.ReadAt(p, 0)
	if n == len(p) {
		err = nil
	}
	return string(p), err
}

func largeFiles(t tb, fs vfs.FS) int {
	t.Helper()
	names, err := fs.ReadDir(testDir + "/" + largeFolder)
	if err != nil && !strings.Contains(err.Error(), "not exist") {
		t.Fatal(err)
	}
	return len(names)
}

func TestLargeMessageIsStoredOnceAndGoesWithItsLastQueue(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q1, q2, loose := newQueue(t, s, true), newQueue(t, s, true), newQueue(t, s, false)
	body := strings.Repeat("large ", 30_000)
	before := s.log.Appended()
	publishLarge(t, s, body, q1, q2, loose)
	if grown := s.log.Appended() - before; grown > 500 {
		t.Errorf("the log grew by %d bytes", grown)
	}
	for i, q := range []*Queue{q1, q2, loose} {
		if ready, _, n := q.Counts(); ready != 1 || n != int64(len(body)) {
			t.Errorf("queue %d has %d messages, %d bytes", i, ready, n)
		}
		got := claim(t, s, q, 5)
		if len(got) != 1 || got[0].body != body {
			t.Fatalf("queue %d: %d messages", i, len(got))
		}
		s.sweepLarges()
		if n := largeFiles(t, fs); n != 1 {
			t.Fatalf("%d files", n)
		}
		apply(t, s, func(b *Batch) { b.Ack(q, got[0].seq) })
	}
	if st := s.Stats(); st.LargeFiles != 1 || st.LargeBytes != int64(len(body)) {
		t.Errorf("before the sweep: %d files, %d bytes", st.LargeFiles, st.LargeBytes)
	}
	s.sweepLarges()
	if n := largeFiles(t, fs); n != 0 {
		t.Errorf("%d files are left", n)
	}
	if st := s.Stats(); st.LargeFiles != 0 || st.LargeBytes != 0 || st.LiveEntries != 0 {
		t.Errorf("after it: %+v", st)
	}
	shut(t, s)
}

func TestLargeMessageSurvivesRestarts(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	var want []string
	for i := range 6 {
		body := strings.Repeat(fmt.Sprint("body", i), 20_000)
		if i%2 == 0 {
			publishLarge(t, s, body, q)
		} else {
			publish(t, s, text(body[:100]), q)
			body = body[:100]
		}
		want = append(want, body)
		if i == 2 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := q.ID()
	for range 3 {
		shut(t, s)
		s = open(t, tinyOptions(fs))
		q = s.Queue(id)
		got := claim(t, s, q, 100)
		if len(got) != len(want) {
			t.Fatalf("%d messages", len(got))
		}
		for i := range got {
			if got[i].body != want[i] {
				t.Errorf("message %d is another", i)
			}
		}
		apply(t, s, func(b *Batch) { b.Ack(q, got[0].seq) })
		want = want[1:]
	}
	apply(t, s, func(b *Batch) { b.DeleteQueue(q) })
	shut(t, s)
	if n := largeFiles(t, fs); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

func TestWhatNoDurableQueueHasIsNotSyncedAndGoesWithTheRestart(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q, loose := newQueue(t, s, true), newQueue(t, s, false)
	syncs := 0
	fs.OnOp(func(_ int, op vfs.Op, name string) {
		if op == vfs.OpSync && strings.Contains(name, largeFolder+"/") {
			syncs++
		}
	})
	l, m := largeText(t, s, strings.Repeat("t", 100_000), false)
	apply(t, s, func(b *Batch) { b.PublishLarge(l, m, []*Queue{q, loose}) })
	l.Release()
	for _, q := range []*Queue{q, loose} {
		if got := claim(t, s, q, 1); len(got) != 1 || len(got[0].body) != 100_000 {
			t.Errorf("got %d", len(got))
		}
	}
	if syncs > 0 {
		t.Errorf("%d syncs", syncs)
	}
	shut(t, s)
	s = open(t, tinyOptions(fs))
	if ready, _, _ := s.Queue(q.ID()).Counts(); ready != 0 || largeFiles(t, fs) != 0 {
		t.Errorf("%d messages, %d files", ready, largeFiles(t, fs))
	}
	shut(t, s)
}

func TestFileStaysWhileSomebodyReads(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	body := strings.Repeat("x", 200_000)
	publishLarge(t, s, body, q)
	var c Claim
	if st := q.Claim(&c, 1, true); st == Unmarked {
		s.Wait(c.WaitFor)
		q.Claim(&c, 1, true)
	}
	l := c.Items[0].Large
	seq := c.Items[0].Seq
	l.Retain()
	c.Release()
	apply(t, s, func(b *Batch) { b.Ack(q, seq) })
	s.sweepLarges()
	if got, err := readLarge(l); err != nil || got != body {
		t.Errorf("read %d bytes: %v", len(got), err)
	}
	l.Release()
	s.sweepLarges()
	if n := largeFiles(t, fs); n != 0 {
		t.Errorf("%d files are left", n)
	}
	shut(t, s)
}

func TestUploadThatComesToNothingLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	q.SetLimits(Limits{MaxMessages: 1, RejectPublish: true})
	publish(t, s, text("first"), q)

	u, err := s.NewUpload(100, true) // its connection dies
	if err != nil {
		t.Fatal(err)
	}
	u.Write(make([]byte, 50))
	u.Abort()

	publishLarge(t, s, strings.Repeat("x", 1000), q) // the queue refuses it

	l, m := largeText(t, s, "rolled back", true)
	b := s.NewBatch()
	b.PublishLarge(l, m, []*Queue{q})
	l.Release()
	b.Reset()

	l, m = largeText(t, s, "refused whole", true)
	b.Atomic()
	i := b.PublishLarge(l, m, []*Queue{q})
	l.Release()
	if _, err := s.Apply(b, wal.Group, nil); err != nil || !b.Rejected(i) {
		t.Error(err)
	}

	l, m = largeText(t, s, "to nobody", true)
	apply(t, s, func(b *Batch) { b.PublishLarge(l, m, nil) })
	l.Release()

	gone := newQueue(t, s, true)
	apply(t, s, func(b *Batch) { b.DeleteQueue(gone) })
	publishLarge(t, s, "to a deleted queue", gone)

	s.sweepLarges()
	if n := largeFiles(t, fs); n != 0 {
		t.Errorf("%d files are left", n)
	}
	shut(t, s)
}

func TestDamagedLargeMessageIsSetAside(t *testing.T) {
	for _, restart := range []bool{false, true} {
		fs := vfs.NewMem()
		s := open(t, tinyOptions(fs))
		q := newQueue(t, s, true)
		publishLarge(t, s, strings.Repeat("x", 1000), q)
		publish(t, s, text("next"), q)
		name := s.larges.dir.Name(1)
		if restart { // the head must be read, and cannot be
			shut(t, s)
		}
		whole, err := vfs.ReadFile(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		whole = bytes.Clone(whole)
		whole[1005] ^= 1
		whole[5] ^= 1
		fs.Remove(name)
		f, _ := fs.Create(name)
		if _, err := f.WriteAt(whole, 0); err != nil {
			t.Fatal(err)
		}
		if restart {
			s = open(t, tinyOptions(fs))
			q = s.Queue(q.ID())
		} else {
			var c Claim
			if st := q.Claim(&c, 1, true); st == Unmarked {
				s.Wait(c.WaitFor)
				q.Claim(&c, 1, true)
			}
			_, err := readLarge(c.Items[0].Large)
			if !Damaged(err) {
				t.Fatalf("error is %v", err)
			}
			q.SetAside(c.Items[0].Seq, err)
			c.Release()
		}
		if got := claim(t, s, q, 5); len(got) != 1 || got[0].body != "next" {
			t.Errorf("got %v", got)
		}
		if s.Stats().DamagedBlobs != 1 {
			t.Errorf("%d are counted", s.Stats().DamagedBlobs)
		}
		shut(t, s)
	}
}

func TestOpenRefusesWhereALargeFileIsMissing(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	publishLarge(t, s, strings.Repeat("x", 1000), q)
	shut(t, s)
	fs.Remove(s.larges.dir.Name(1))
	_, err := Open(testDir, tinyOptions(fs))
	if bad := (*CorruptError)(nil); !errors.As(err, &bad) || bad.File != s.larges.dir.Name(1) || !strings.Contains(err.Error(), "salvage") {
		t.Errorf("error is %v", err)
	}
}

func TestFanOutStoresABodyOnce(t *testing.T) {
	s := open(t, Options{FS: vfs.NewMem()})
	queues := make([]*Queue, 1000)
	apply(t, s, func(b *Batch) {
		for i := range queues {
			queues[i] = b.CreateQueue(true, QueueOptions{})
		}
	})
	before := s.log.Stats().Bytes
	const body = 200_000
	publish(t, s, text(strings.Repeat("f", body)), queues...)
	if written := s.log.Stats().Bytes - before; written < body || written > body+1000*16+4096 {
		t.Errorf("%d bytes were written for a body of %d in %d queues", written, body, len(queues))
	}
	before = s.log.Stats().Bytes
	publishLarge(t, s, strings.Repeat("f", body), queues...)
	if written := s.log.Stats().Bytes - before; written > 1000*16+4096 {
		t.Errorf("%d bytes were written to the log for a large body", written)
	}
	if st := s.Stats(); st.LargeBytes != body || st.LargeFiles != 1 {
		t.Errorf("%d files, %d bytes", st.LargeFiles, st.LargeBytes)
	}
	for i, q := range queues {
		if ready, _, bytes := q.Counts(); ready != 2 || bytes != 2*body {
			t.Fatalf("queue %d has %d messages, %d bytes", i, ready, bytes)
		}
	}
	shut(t, s)
}

// TestLargePublishIsSafeAtEveryPowerCut cuts a life of large messages before
// each of its operations.
func TestLargePublishIsSafeAtEveryPowerCut(t *testing.T) {
	fs := vfs.NewMem()
	var mu sync.Mutex              // the store's goroutines cause operations, too
	confirmed := map[string]bool{} // may not be missing
	gone := map[string]bool{}      // may not come back
	checked := 0
	note := func(fn func()) {
		mu.Lock()
		defer mu.Unlock()
		fn()
	}
	hook := func(n int, op vfs.Op, name string) {
		mu.Lock()
		defer mu.Unlock()
		for desc, img := range fs.Images(vfs.ImageOptions{MaxImages: 12, Seed: uint64(n)}) {
			checked++
			what := fmt.Sprintf("before operation %d (%v %s), %s", n, op, name, desc)
			s, err := Open(testDir, tinyOptions(img))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			found := map[string]bool{}
			needed := map[uint64]bool{}
			s.Queues(func(q *Queue) bool {
				for _, it := range claim(t, s, q, 100) {
					kind, _, _ := strings.Cut(it.body, " ")
					found[kind] = true
					if gone[kind] {
						t.Fatalf("%s: %s is back", what, kind)
					}
				}
				return true
			})
			for kind := range confirmed {
				if !found[kind] {
					t.Fatalf("%s: %s is missing", what, kind)
				}
			}
			s.larges.mu.Lock()
			for n := range s.larges.files {
				needed[n] = true
			}
			s.larges.mu.Unlock()
			if n := largeFiles(t, img); n != len(needed) {
				t.Fatalf("%s: %d files for %d messages", what, n, len(needed))
			}
			shut(t, s)
		}
	}
	s := open(t, tinyOptions(fs))
	q1, q2 := newQueue(t, s, true), newQueue(t, s, true)
	fs.OnOp(hook)
	name := func(kind string) string { return kind + " " + strings.Repeat("-", 70_000) }
	for i, kind := range []string{"one", "two", "three"} {
		publishLarge(t, s, name(kind), q1, q2)
		note(func() { confirmed[kind] = true })
		if i == 1 {
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	u, err := s.NewUpload(100_000, true)
	if err != nil {
		t.Fatal(err)
	}
	u.Write(make([]byte, 80_000))
	for _, q := range []*Queue{q1, q2} {
		first := claim(t, s, q, 1)[0]
		if q == q2 {
			note(func() { delete(confirmed, "one") })
		}
		apply(t, s, func(b *Batch) { // Atomic: an ack to wait for
			b.Atomic()
			b.Ack(q, first.seq)
		})
	}
	note(func() { gone["one"] = true })
	s.sweepLarges()
	if n := largeFiles(t, fs); n != 3 {
		t.Errorf("%d files", n)
	}
	u.Abort()
	note(func() { delete(confirmed, "two") })
	apply(t, s, func(b *Batch) { b.Purge(q1) })
	note(func() { delete(confirmed, "three") })
	apply(t, s, func(b *Batch) { b.DeleteQueue(q2) })
	note(func() { gone["two"], gone["three"] = true, true })
	s.sweepLarges()
	shut(t, s)
	if n := largeFiles(t, fs); n != 0 {
		t.Errorf("%d files are left", n)
	}
	if checked < 300 {
		t.Errorf("only %d images", checked)
	}
	t.Logf("%d images", checked)
}

// A replay that begins early may meet a number with two files' messages: the
// first is gone by then, and only the later one counts.
func TestLargeNumberThatIsUsedAgain(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	old := index.MakeEntry(largeBit|7, 1100, 1000, index.Logged)
	now := index.MakeEntry(largeBit|7, 550, 500, index.Logged)
	s.larges.found(old, 1)
	s.larges.found(old, -1)
	s.larges.found(now, 1)
	if l := s.larges.get(now.Addr); l.size != 500 || l.over != 50 || l.refs != 1 {
		t.Errorf("it is known as %d and %d bytes, %d references", l.size, l.over, l.refs)
	}
	if _, bytes := s.larges.stats(); bytes != 500 {
		t.Errorf("%d bytes are counted", bytes)
	}
	s.larges.reset()
	shut(t, s)
}

// TestFailedLogKeepsLargeFiles: what was acked after the failure comes again, so
// its file has to be there.
func TestFailedLogKeepsLargeFiles(t *testing.T) {
	mem := vfs.NewMem()
	fs := vfs.NewErrFS(mem)
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	publishLarge(t, s, strings.Repeat("kept ", 20_000), q)
	got := claim(t, s, q, 1)
	fs.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", At: 1, Sticky: true})
	b := s.NewBatch()
	b.Publish(text("fails"), []*Queue{q})
	if lsn, err := s.Apply(b, wal.Group, nil); err == nil {
		err = s.Wait(lsn)
		if err == nil {
			t.Fatal("the log has not failed")
		}
	}
	b.Reset()
	b.Ack(q, got[0].seq)
	s.Apply(b, wal.Lazy, nil)
	l, m := largeText(t, s, "refused", true)
	b.Reset()
	i := b.PublishLarge(l, m, []*Queue{q})
	l.Release()
	if _, err := s.Apply(b, wal.Group, nil); err == nil || !b.Rejected(i) {
		t.Errorf("error is %v", err)
	}
	s.sweepLarges()
	if n := largeFiles(t, mem); n != 1 {
		t.Errorf("%d files", n)
	}
	s.Close()
	fs.Clear()
	s = open(t, tinyOptions(fs))
	if again := claim(t, s, s.Queue(q.ID()), 5); len(again) == 0 || !strings.HasPrefix(again[0].body, "kept") || !again[0].redelivered {
		t.Errorf("%d messages come again", len(again))
	}
	shut(t, s)
}
