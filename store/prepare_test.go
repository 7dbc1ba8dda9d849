package store

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// A log that grows fast, in small commits, of messages that stay has its files prepared
// until the log is as large as it gets; no other log has.
func TestWhichFilesArePrepared(t *testing.T) {
	const file = 1 << 20
	for _, c := range []struct {
		name        string
		files       int
		size        int           // of a message
		lag         int           // messages that are not consumed; -1: all
		pause       time.Duration // after each message
		budget      int64
		least, most uint64 // in the first half; in the second one as many, or with settles none
		settles     bool
	}{
		{name: "backlog", files: 24, size: 16 << 10, lag: -1, budget: 64 * file, least: 11, most: 13},
		{name: "backlog over its budget", files: 64, size: 16 << 10, lag: -1, budget: 4 * file, least: 4, most: 12, settles: true},
		{name: "slow backlog", files: 12, size: 16 << 10, lag: -1, pause: 10 * time.Millisecond, budget: 64 * file},
		{name: "backlog in large commits", files: 12, size: 900 << 10, lag: -1, budget: 64 * file},
		{name: "consumed", files: 12, size: 16 << 10, lag: 0, budget: 64 * file},
		{name: "consumed a little later", files: 12, size: 16 << 10, lag: file / 8 / (16 << 10), budget: 64 * file},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := tinyOptions(vfs.NewMem())
				o.WAL = wal.Options{FileSize: file, ChunkSize: 64 << 10, CacheSize: 1 << 20}
				o.WALBudget, o.CheckpointBytes = c.budget, 2*file
				s := open(t, o)
				q := newQueue(t, s, true)
				body := strings.Repeat(".", c.size)
				half := func() wal.Stats {
					for range c.files / 2 * file / len(body) {
						publish(t, s, text(body), q)
						if ready, _, _ := q.Counts(); c.lag >= 0 && ready > c.lag {
							items := claim(t, s, q, 1)
							apply(t, s, func(b *Batch) { b.Ack(q, items[0].seq) })
						}
						<-time.After(c.pause) // of the bubble
						synctest.Wait()       // for the background
					}
					return s.log.Stats()
				}
				first := half()
				if n := first.Prepared; n < c.least || n > c.most {
					t.Errorf("%d of the first %d files were prepared, want %d to %d", n, first.Files, c.least, c.most)
				}
				if first.Recycled < c.least {
					t.Errorf("%d of %d files were written over others", first.Recycled, first.Files)
				}
				all := half()
				least, most := c.least, c.most
				if c.settles {
					least, most = 0, 0
				}
				if n := all.Prepared - first.Prepared; n < least || n > most {
					t.Errorf("%d of the other %d files were prepared, want %d to %d", n, all.Files-first.Files, least, most)
				}
				if n := all.Recycled - first.Recycled; c.settles && n < all.Files-first.Files {
					t.Errorf("%d of the other %d files were written over others", n, all.Files-first.Files)
				}
				if all.Zeros < all.Prepared*file {
					t.Errorf("%d bytes of zeros in %d files", all.Zeros, all.Prepared)
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
	writes := 0
	fs.OnOp(func(_ int, op vfs.Op, name string) {
		if op == vfs.OpWrite && strings.HasSuffix(name, ".spare") {
			if writes++; writes == 2 {
				close(s.preparer.quit)
			}
		}
	})
	if err := s.log.Prepare(s.preparer.goOn); err != nil {
		t.Fatal(err)
	}
	<-s.preparer.done
	fs.OnOp(nil)
	if st := s.log.Stats(); writes != 2 || st.Prepared != 0 || st.Spares != 0 {
		t.Errorf("%d writes, %d files were prepared", writes, st.Prepared)
	}
	s.preparer.start(s) // for shut to stop
	shut(t, s)
}
