package store

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// A backlog has its log files prepared until the log is as large as it gets; from then
// on, and where messages are consumed as they come, none is.
func TestFilesArePreparedForABacklog(t *testing.T) {
	const file = 1 << 20
	body := strings.Repeat(".", 16<<10)
	for _, c := range []struct {
		name     string
		consumed bool
		budget   int64
		least    uint64
		most     uint64
	}{
		{name: "backlog", budget: 64 * file, least: 10, most: 13},
		{name: "backlog over its budget", budget: 4 * file, least: 3, most: 7},
		{name: "consumed", consumed: true, budget: 64 * file},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := tinyOptions(vfs.NewMem())
				o.WAL = wal.Options{FileSize: file, ChunkSize: 64 << 10, CacheSize: 1 << 20}
				o.WALBudget, o.CheckpointBytes = c.budget, file
				s := open(t, o)
				q := newQueue(t, s, true)
				for range 12 * file / len(body) {
					publish(t, s, text(body), q)
					if c.consumed {
						items := claim(t, s, q, 1)
						apply(t, s, func(b *Batch) { b.Ack(q, items[0].seq) })
					}
					synctest.Wait() // for the background
				}
				st := s.log.Stats()
				if st.Prepared < c.least || st.Prepared > c.most {
					t.Errorf("%d of %d files were prepared, want %d to %d", st.Prepared, st.Files, c.least, c.most)
				}
				if c.least > 0 && st.Recycled < c.least {
					t.Errorf("%d of %d files were written over others", st.Recycled, st.Files)
				}
				shut(t, s)
			})
		})
	}
}

// A store that is being closed does not wait for a file that is being prepared.
func TestPreparingEndsWithTheStore(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.WAL = wal.Options{FileSize: 4 << 20, ChunkSize: 64 << 10, CacheSize: 1 << 20}
	s := open(t, o)
	begun, stopping := make(chan struct{}), make(chan struct{})
	writes := 0
	fs.OnOp(func(_ int, op vfs.Op, name string) {
		if op == vfs.OpWrite && strings.HasSuffix(name, ".spare") {
			if writes++; writes == 1 {
				close(begun)
				<-stopping
			}
		}
	})
	q := newQueue(t, s, true)
	go func() {
		<-begun
		close(s.preparer.quit)
		<-s.preparer.done
	}()
	body := strings.Repeat(".", 64<<10)
	for range 16 {
		publish(t, s, text(body), q)
	}
	<-begun
	<-s.preparer.quit
	close(stopping)
	<-s.preparer.done
	fs.OnOp(nil)
	if st := s.log.Stats(); writes != 1 || st.Prepared != 0 {
		t.Errorf("%d writes, %d files were prepared", writes, st.Prepared)
	}
	s.preparer.start(s) // for shut to stop
	shut(t, s)
	names, err := fs.ReadDir(testDir + "/wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".spare") {
			t.Errorf("%s is left", name)
		}
	}
}
