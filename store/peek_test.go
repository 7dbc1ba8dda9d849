package store

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
)

// stateOf is all that a queue knows of its messages.
func stateOf(s *Store, q *Queue) string {
	var b bytes.Buffer
	ready, unacked, size := q.Counts()
	fmt.Fprintln(&b, ready, unacked, size, q.Holds(), q.NextExpiry(), s.damaged.Load(), q.safe, q.markLSN, q.window)
	q.mu.Lock()
	defer q.mu.Unlock()
	for seq := q.ix.Floor(); seq < q.ix.Next(); seq++ {
		e, ok := q.ix.Get(seq)
		fmt.Fprintln(&b, seq, e, ok, q.ix.Count(seq), q.ix.Expiry(seq))
	}
	fmt.Fprintln(&b, q.ix.Floor(), q.ix.Cursor(), q.ix.Next(), q.ix.Mark(), q.ix.Aside())
	q.ix.Runs(func(r index.Run) bool { fmt.Fprintln(&b, r); return true })
	return b.String()
}

// peek is an action of the model: some of a queue's messages are looked at, and
// nothing has changed.
func (m *model) peek(t *rapid.T) {
	q := m.pick(t)
	if q == nil {
		return
	}
	which := rapid.SampledFrom([]Which{All, All, OnlyReady, OnlyClaimed}).Draw(t, "which")
	from := rapid.IntRange(0, len(q.msgs)+1).Draw(t, "from")
	most := rapid.IntRange(1, 10).Draw(t, "most")
	before := stateOf(m.s, q.q)
	at := from
	next := q.q.Peek(from, most, which, func(p *Peeked) bool {
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		for at < len(q.msgs) && which != All && q.msgs[at].claimed != (which == OnlyClaimed) {
			at++
		}
		if at >= len(q.msgs) || p.Position != at {
			t.Fatalf("peeked at %d, which says it is at %d of %d", at, p.Position, len(q.msgs))
		}
		msg := q.msgs[at]
		checkItem(t, &p.Item)
		if string(p.Body) != msg.body || p.Claimed != msg.claimed || p.Count != msg.count || p.Expires != msg.expires || p.Time == 0 {
			t.Fatalf("position %d is %.30q, claimed %v, count %d, expires %d; want %.30q, %v, %d, %d", at, p.Body, p.Claimed, p.Count, p.Expires, msg.body, msg.claimed, msg.count, msg.expires)
		}
		if !msg.claimed && !msg.maybe && p.Redelivered != msg.delivered {
			t.Fatalf("position %d: redelivered %v, want %v", at, p.Redelivered, msg.delivered)
		}
		at++
		most--
		return true
	})
	left := 0
	for i := at; i < len(q.msgs); i++ {
		if which == All || q.msgs[i].claimed == (which == OnlyClaimed) {
			left++
		}
	}
	if left > 0 && (next != at || most > 0) || left == 0 && next >= 0 && which == All {
		t.Fatalf("from position %d on (%d), next is %d, %d more were wanted, and %d are left", from, which, next, most, left)
	}
	if after := stateOf(m.s, q.q); after != before {
		t.Fatalf("peeking has changed the queue:\n%s\nto\n%s", before, after)
	}
}

// What cannot be read is shown as that, and nothing is set aside for it.
func TestPeekOfDamagedMessagesSetsNothingAside(t *testing.T) {
	fs := vfs.NewMem()
	o := tinyOptions(fs)
	o.CacheBytes = 1
	s := open(t, o)
	defer s.Close()
	q := newQueue(t, s, true)
	fill(t, s, 300, 100, 3, q)
	apply(t, s, func(b *Batch) {
		for i := range 300 {
			b.Publish(text(noise(300+i, 100)), []*Queue{q})
		}
	})
	damageBlob(t, s, fs, q, 400)
	if err := fs.Corrupt(testDir+"/"+segmentFolder+"/"+segmentFiles(t, fs)[1], func(data []byte) []byte {
		data[len(data)/3] ^= 1
		return data
	}); err != nil {
		t.Fatal(err)
	}
	before := stateOf(s, q)
	var good, bad int
	next := q.Peek(0, 600, All, func(p *Peeked) bool {
		switch {
		case p.Err != nil:
			bad++
		case string(p.Body) != noise(p.Position, 100):
			t.Errorf("position %d: %.20q", p.Position, p.Body)
		default:
			good++
		}
		return true
	})
	if good+bad != 600 || bad == 0 || good == 0 || next != -1 {
		t.Errorf("%d messages can be read, %d cannot, next is %d", good, bad, next)
	}
	if after := stateOf(s, q); after != before {
		t.Errorf("peeking has changed the queue:\n%.2000s\nto\n%.2000s", before, after)
	}
}

// Peeks deep in a backlog of a million sealed messages look at little: the entries in
// memory stay none, and what is read is a block.
func TestADeepPeekReadsNoMoreThanItShows(t *testing.T) {
	if testing.Short() {
		t.Skip("publishes many messages")
	}
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, s)
	q := newQueue(t, s, true)
	n := 1_000_000 / slower
	b := s.NewBatch()
	for i := 0; i < n; i += 1000 {
		b.Reset()
		for j := range 1000 {
			b.Publish(text(fmt.Sprint(i+j)), []*Queue{q})
		}
		if _, err := s.Apply(b, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	retire(t, s)
	ackAll(t, s, q, func(seq uint64) bool { return seq%3 != 1 })
	ready, _, _ := q.Counts()
	reads := s.Metrics().Reads
	cold := s.Metrics().Cache
	for _, position := range []int{ready - 10, ready / 2, 0} {
		i := 0
		q.Peek(position, 10, All, func(p *Peeked) bool {
			at := position + i
			if want := fmt.Sprint(at/2*3 + at%2*2); p.Err != nil || p.Position != at || string(p.Body) != want {
				t.Errorf("position %d: %q at %d, %v; want %s", at, p.Body, p.Position, p.Err, want)
			}
			i++
			return true
		})
		if i != 10 {
			t.Errorf("%d messages from %d on", i, position)
		}
	}
	q.mu.Lock()
	held := q.ix.Loose()
	q.mu.Unlock()
	if warm := s.Metrics().Cache; warm.Misses-cold.Misses > 6 || s.Metrics().Reads != reads || held > 1 {
		t.Errorf("%d blocks were read, and %d reads of the log; %d messages are loose", warm.Misses-cold.Misses, s.Metrics().Reads.Count-reads.Count, held)
	}
	allocs := testing.AllocsPerRun(5, func() { q.Peek(ready/2, 10, All, func(*Peeked) bool { return true }) })
	first := testing.AllocsPerRun(5, func() { q.Peek(0, 10, All, func(*Peeked) bool { return true }) })
	if allocs > first+5 {
		t.Errorf("%v allocations in the midst, %v at the head", allocs, first)
	}
}
