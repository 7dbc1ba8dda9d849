package store

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func TestLogFilesGoWithTheirLastMessage(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	s := open(t, o)
	q := newQueue(t, s, true)
	other := newQueue(t, s, false)
	for i := range 100 {
		queues := []*Queue{q}
		if i == 30 {
			queues = append(queues, other)
		}
		publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 500))), queues...)
	}
	many := len(s.log.Files())
	items := claim(t, s, q, 100)
	stuck := items[60]
	apply(t, s, func(b *Batch) {
		for _, it := range items {
			if it.seq != stuck.seq {
				b.Ack(q, it.seq)
			}
		}
	})
	for range 3 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	// One file for each of the two that are left, and what is being written.
	if few := len(s.log.Files()); many < 15 || few > 4 {
		t.Errorf("%d files, %d after all but two messages went", many, few)
	}
	s, fs = kill(t, s, fs, o)
	o.FS = fs
	q = s.Queue(q.ID())
	got := claim(t, s, q, 100)
	if len(got) != 1 || got[0].seq != stuck.seq || got[0].body != stuck.body {
		t.Errorf("came back: %v", got)
	}
	apply(t, s, func(b *Batch) { b.Ack(q, stuck.seq) })
	for range 3 {
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.log.Files()); n > 2 {
		t.Errorf("%d files are left of a store with no message", n)
	}
	shut(t, s)
	names, err := fs.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	checkpoints := 0
	for _, name := range names {
		if strings.HasPrefix(name, checkpointPrefix) {
			checkpoints++
		}
	}
	if checkpoints != 2 {
		t.Errorf("%d checkpoints are kept, want 2: %v", checkpoints, names)
	}
}

func TestCheckpointsComeByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := tinyOptions(vfs.NewMem())
		o.CheckpointBytes = 20_000
		s := open(t, o)
		q := newQueue(t, s, true)
		for i := range 200 {
			publish(t, s, text(fmt.Sprint(i, strings.Repeat(".", 500))), q)
			synctest.Wait()
		}
		st := s.Stats()
		if st.Checkpoints < 3 || st.Checkpoints > 8 {
			t.Errorf("%d checkpoints in %d bytes of log, want one each 20,000", st.Checkpoints, s.log.Appended())
		}
		many := st.LogFiles
		apply(t, s, func(b *Batch) { b.Purge(q) })
		<-time.After(5 * reclaimEvery) // of the bubble
		synctest.Wait()
		if st := s.Stats(); many < 20 || st.LogFiles > 3 {
			t.Errorf("%d log files, %d some seconds after all messages went", many, st.LogFiles)
		}
		shut(t, s)
	})
}

// While messages pass through, files of the log are written over; when all has
// gone and nothing comes any more, so do the spares.
func TestSparesGoWhenTheStoreFallsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		o := tinyOptions(fs)
		o.WAL = wal.Options{FileSize: 8 << 20, ChunkSize: 64 << 10, CacheSize: 1 << 20}
		o.CheckpointBytes = 1 << 20
		s := open(t, o)
		q := newQueue(t, s, true)
		body := strings.Repeat(".", 64<<10)
		most := 0
		for range 20 {
			for range 100 {
				publish(t, s, text(body), q)
			}
			items := claim(t, s, q, 100)
			apply(t, s, func(b *Batch) {
				for _, it := range items {
					b.Ack(q, it.seq)
				}
			})
			<-time.After(time.Second) // of the bubble
			most = max(most, s.log.Stats().Spares)
		}
		if st := s.log.Stats(); most == 0 || st.Recycled == 0 {
			t.Errorf("%d spares at most, %d of %d files were written over", most, st.Recycled, st.Files)
		}
		<-time.After(time.Minute) // of the bubble
		if st := s.log.Stats(); st.Spares != 0 || s.Stats().LogBytes >= 8<<20 {
			t.Errorf("%d spares, %d bytes of log are left of a store with no message", st.Spares, s.Stats().LogBytes)
		}
		shut(t, s)
	})
}

func TestIdleStoreWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s := open(t, tinyOptions(fs))
		q := newQueue(t, s, true)
		publish(t, s, text("1"), q)
		<-time.After(time.Minute) // of the bubble
		before := fs.Ops()
		<-time.After(time.Hour) // of the bubble
		if n := fs.Ops() - before; n != 0 {
			t.Errorf("%d operations in an idle hour", n)
		}
		shut(t, s)
	})
}

func TestLargeCheckpointsComeLessOften(t *testing.T) {
	o := tinyOptions(vfs.NewMem())
	o.WAL = wal.Options{}
	o.CheckpointBytes = 1000
	s := open(t, o)
	q := newQueue(t, s, true)
	apply(t, s, func(b *Batch) {
		for i := range 100_000 {
			b.Publish(text(fmt.Sprint(i)), []*Queue{q})
		}
	})
	// due is how much log there may be between a checkpoint of that size and the next.
	due := func() (size, bytes int64) {
		for range 2 { // the second knows how large the first was
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		return s.Stats().LastSize, int64(s.checkpoints.due.at.Load() - uint64(s.Stats().LastReplay))
	}
	size, bytes := due()
	if size < 50_000 || bytes < checkpointShare*size {
		t.Errorf("the checkpoint after one of %d bytes is due after %d", size, bytes)
	}
	shut(t, s)
	// But a replay is never longer than the log's budget.
	o.WALBudget = checkpointShare * size / 2
	s = open(t, o)
	defer shut(t, s)
	if _, bytes = due(); bytes != o.WALBudget {
		t.Errorf("the checkpoint is due after %d bytes, with a budget of %d", bytes, o.WALBudget)
	}
}
