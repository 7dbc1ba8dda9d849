package store

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// FuzzRecords replays arbitrary records, two of them, over a queue with
// something in it: an error or a store that works, never a panic and never
// much memory.
func FuzzRecords(f *testing.F) {
	publish := unhex(f, `01 010000 07000000 01 3200000000000000
		6124349d 23000000 15cd5b0700000000 02 03 01 00 02000000 6578 6b6579 9000 626f6479`)
	ack := unhex(f, `02 020000 07000000 2a00000000000000 03000000 6400000000000000 01000000`)
	for _, other := range []string{
		`03 010000 07000000 2a00000000000000 02000000`,
		`04 000000 07000000 0010000000000000`,
		`05 000000 09000000`, `06 000000 07000000`, `07 030000 6b6579 76616c7565`, `08 030000 6b6579`,
		`09 010000 0300000000000000 0000000000000000 0001000000000000 07000000 0500000000000000 0900000000000000`,
		`0a 020000 0900000000000000 0300000000000000 0400000000000000`,
	} {
		f.Add(unhex(f, other), ack)
	}
	f.Add(publish, ack)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s := &Store{dir: testDir}
		s.live.init(0)
		s.segments.forget()
		r := replayer{s: s}
		q := s.newQueue(7)
		s.newQueue(8)
		for range 50 {
			q.ix.Push(index.MakeEntry(1, 100, 50, index.Logged))
		}
		for i, p := range [][]byte{a, b} {
			if err := r.record(wal.LSN(1000*i+1), p); err != nil {
				return
			}
		}
		s.Queues(func(q *Queue) bool {
			q.ix.Recovered()
			for seq, e, ok := q.ix.Peek(); ok; seq, e, ok = q.ix.Peek() {
				if e != nil {
					q.ix.Take(seq, e)
				} else {
					q.ix.TakeSealed(seq, 0, 0)
				}
			}
			q.ix.Ack(0, q.ix.Next(), nil)
			if q.ix.Len() != 0 {
				t.Fatalf("queue %d: %d left", q.id, q.ix.Len())
			}
			return true
		})
	})
}

// TestReplayOverACheckpointThatHasItChangesNothing replays a whole log over the
// state that it led to: the worst that a fuzzy checkpoint can ask for.
func TestReplayOverACheckpointThatHasItChangesNothing(t *testing.T) {
	fs := vfs.NewMem()
	c := newScript(t, 11, tinyOptions(fs))
	c.o.WAL = wal.Options{FileSize: 64 << 20} // no file goes
	c.keepLog = true
	if err := c.open(); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.s.barrier(); err != nil {
		t.Fatal(err)
	}
	want := dump(t, c.s)
	c.s.Queues(func(q *Queue) bool { // as a restart would have it
		q.ix.Recovered()
		return true
	})
	r := replayer{s: c.s}
	sum, err := wal.Replay(fs, testDir+"/"+walFolder, 0, r.record)
	if err != nil || sum.Records < 200 {
		t.Fatalf("%d records: %v", sum.Records, err)
	}
	r.tally.flush(&c.s.live)
	if got := dump(t, c.s); got != want {
		t.Errorf("after the replay\n%s\n\nwas\n%s", got, want)
	}
	shut(t, c.s)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
