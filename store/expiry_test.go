package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/vfs"
)

// expiring is a persistent message that expires then.
func expiring(body string, at int64) Message {
	m := text(body)
	m.Expires = at
	return m
}

// claimExpired claims what has expired, up to max at a time.
func claimExpired(t tb, q *Queue, now int64, max int) (got []claimed) {
	t.Helper()
	var c Claim
	for {
		switch st := q.ClaimExpired(&c, now, max, true); st {
		case Claimed:
			for i := range c.Items {
				checkItem(t, &c.Items[i])
				got = append(got, claimed{seq: c.Items[i].Seq, body: string(c.Items[i].Body)})
			}
			c.Release()
		case Empty:
			return got
		default:
			t.Fatalf("claim of what has expired says %v", st)
		}
	}
}

func wantExpired(t tb, q *Queue, now int64, want string) []claimed {
	t.Helper()
	if at := q.NextExpiry(); want != "" && (at == 0 || at > now) {
		t.Fatalf("the next message expires at %d, at %d these should: %q", at, now, want)
	}
	got := claimExpired(t, q, now, 100)
	if bodies(got) != want {
		t.Fatalf("at %d %q have expired, want %q", now, bodies(got), want)
	}
	if at := q.NextExpiry(); at > AtOnce && at <= now {
		t.Fatalf("all that has expired at %d is claimed, and the next time is %d", now, at)
	}
	return got
}

func TestMessagesExpireWhereverTheyAre(t *testing.T) {
	for _, c := range []struct {
		name string
		move func(t *testing.T, s *Store)
	}{
		{"in the log", func(*testing.T, *Store) {}},
		{"in a segment", func(t *testing.T, s *Store) { retire(t, s) }},
		{"in a merged segment", func(t *testing.T, s *Store) {
			retire(t, s)
			other := newQueue(t, s, true)
			for i := range 10 {
				publish(t, s, text(fmt.Sprint(i)), other)
				retire(t, s)
			}
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, tinyOptions(fs))
			q := newQueue(t, s, true)
			if q.NextExpiry() != 0 {
				t.Errorf("an empty queue's messages expire at %d", q.NextExpiry())
			}
			for i, at := range []int64{0, 500, 300, 0, 300, 100, 700} {
				publish(t, s, expiring(fmt.Sprint("m", i), at), q)
			}
			c.move(t, s)
			wantExpired(t, q, 99, "")
			if got := q.NextExpiry(); got != 100 {
				t.Errorf("the next message expires at %d, want 100", got)
			}
			gone := wantExpired(t, q, 300, "m5 m2 m4")
			wantCounts(t, q, 4, 3)
			apply(t, s, func(b *Batch) { b.Ack(q, gone[0].seq) })
			for range 2 {
				s, fs = kill(t, s, fs, tinyOptions(fs))
				q = s.Queue(q.ID())
				wantCounts(t, q, 6, 0)
				c.move(t, s)
			}
			wantExpired(t, q, 299, "")
			wantExpired(t, q, 600, "m2 m4 m1")
			wantClaim(t, s, q, 10, "m0 m3 m6")
			if at := q.NextExpiry(); at > 700 {
				t.Errorf("the next message expires at %d, want 700 at most", at)
			}
			wantExpired(t, q, 1000, "") // they are claimed
			shut(t, s)
		})
	}
}

func TestClaimedMessageExpiresWhenItIsGivenBack(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		s := open(t, tinyOptions(vfs.NewMem()))
		q := newQueue(t, s, true)
		for i := range 3 {
			publish(t, s, expiring(fmt.Sprint("m", i), 100), q)
		}
		if sealed {
			retire(t, s)
		}
		taken := claim(t, s, q, 2)
		wantExpired(t, q, 200, "m2")
		apply(t, s, func(b *Batch) { b.Requeue(q, taken[1].seq) })
		wantExpired(t, q, 200, "m1")
		wantClaim(t, s, q, 5, "")
		var c Claim
		apply(t, s, func(b *Batch) { b.Requeue(q, taken[0].seq) })
		if st := q.ClaimExpired(&c, 200, 5, true); st != Claimed {
			t.Fatalf("claim says %v", st)
		}
		q.Unclaim(&c, 0)
		c.Release()
		wantExpired(t, q, 200, "m0")
		shut(t, s)
	}
}

func TestQueueHasATimeToLive(t *testing.T) {
	for _, c := range []struct {
		name    string
		durable bool
		message func(string) Message
		moved   bool
	}{
		{"in the log", true, text, false},
		{"in a segment", true, text, true},
		{"in memory", false, transient, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, tinyOptions(vfs.NewMem()))
				q := newQueue(t, s, c.durable)
				start := time.Now().UnixMilli()
				for i := range 5 {
					publish(t, s, c.message(fmt.Sprint("m", i)), q)
					time.Sleep(100 * time.Millisecond)
				}
				if c.moved {
					retire(t, s)
				}
				wantExpired(t, q, start+1e6, "")
				q.SetTTL(1000) // for what is there too
				wantExpired(t, q, start+1000, "")
				if at := q.NextExpiry(); at != start+1001 {
					t.Errorf("the next message expires %d ms after the first, want 1001", at-start)
				}
				gone := wantExpired(t, q, start+1150, "m0 m1")
				m := c.message("soon")
				m.Expires = start + 1160
				publish(t, s, m, q)
				wantExpired(t, q, start+1160, "soon") // the lower of both, behind the head
				apply(t, s, func(b *Batch) { b.Requeue(q, gone[1].seq) })
				wantExpired(t, q, start+1150, "m1")
				q.SetTTL(-1)
				wantExpired(t, q, start+1e6, "")
				if at := q.NextExpiry(); at != 0 {
					t.Errorf("no message expires, and the next does at %d", at)
				}
				q.SetTTL(0)
				if at := q.NextExpiry(); at != AtOnce {
					t.Errorf("the next message expires at %d, want at once", at)
				}
				wantExpired0(t, q, "m2 m3 m4")
				shut(t, s)
			})
		})
	}
}

// wantExpired0 is wantExpired for what has no time at all.
func wantExpired0(t tb, q *Queue, want string) {
	t.Helper()
	c := Claim{AtOnce: true}
	var got []claimed
	for q.ClaimExpired(&c, 1000, 10, true) == Claimed {
		for i := range c.Items {
			got = append(got, claimed{seq: c.Items[i].Seq, body: string(c.Items[i].Body)})
		}
	}
	if bodies(got) != want {
		t.Fatalf("%q expire at once, want %q", bodies(got), want)
	}
}

func TestMessageWithoutTimeIsForWhoTakesItAtOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	for i := range 4 {
		publish(t, s, expiring(fmt.Sprint("m", i), AtOnce), q)
	}
	publish(t, s, text("stays"), q)
	wantExpired(t, q, 1000, "")
	if at := q.NextExpiry(); at != AtOnce {
		t.Errorf("the next message expires at %d, want at once", at)
	}
	taken := wantClaim(t, s, q, 2, "m0 m1")
	wantExpired0(t, q, "m2 m3")
	apply(t, s, func(b *Batch) { b.Requeue(q, taken[0].seq) })
	wantExpired(t, q, 1000, "m0") // nobody wanted it
	s, _ = kill(t, s, fs, tinyOptions(fs))
	q = s.Queue(q.ID())
	wantExpired0(t, q, "m0 m1 m2 m3")
	wantClaim(t, s, q, 2, "stays!") // which the mark was ahead of
	shut(t, s)
}

func TestWhatExpiresIsClaimedByNumbersWithoutAReadOfBodies(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	var batch []Message
	for i := range 300 {
		batch = append(batch, expiring(fmt.Sprintf("%d%s", i, strings.Repeat(".", 100)), 100))
	}
	apply(t, s, func(b *Batch) {
		for _, m := range batch {
			b.Publish(m, []*Queue{q})
		}
	})
	reads := s.Stats().Reads
	c := Claim{Seqs: true}
	if st := q.ClaimExpired(&c, 100, 1000, false); st != Claimed || len(c.Items) != 300 {
		t.Fatalf("claim says %v, %d messages", st, len(c.Items))
	}
	for i, it := range c.Items {
		if it.Seq != uint64(i) || it.Body != nil {
			t.Fatalf("item %d is %+v", i, it)
		}
	}
	c.Release()
	if n := s.Stats().Reads - reads; n != 0 {
		t.Errorf("%d reads", n)
	}
}

func TestLargeAndSpilledMessagesExpire(t *testing.T) {
	s := open(t, spillOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, false)
	l, m := largeText(t, s, "large", false)
	m.Expires = 50
	apply(t, s, func(b *Batch) { b.PublishLarge(l, m, []*Queue{q}) })
	l.Release()
	var want []string
	for i := range 4 * arena.ChunkSize / 1000 {
		m := transient(fmt.Sprintf("%06d%s", i, strings.Repeat(".", 1000)))
		m.Expires = 1000 + int64(i)
		want = append(want, string(m.Body))
		publish(t, s, m, q)
	}
	spilled(t, s)
	if got := claim(t, s, q, 1); got[0].body != "large" {
		t.Errorf("got %v", got)
	}
	apply(t, s, func(b *Batch) { b.Requeue(q, 0) })
	wantExpired(t, q, 50, "large")
	var got []string
	for _, it := range claimExpired(t, q, 1e6, 1000) {
		got = append(got, it.body)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d messages have expired, want %d", len(got), len(want))
	}
}

func TestLargeMessageKeepsItsTimeAcrossRestarts(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, tinyOptions(fs))
	q := newQueue(t, s, true)
	l, m := largeText(t, s, "large", true)
	m.Expires = 50
	apply(t, s, func(b *Batch) { b.PublishLarge(l, m, []*Queue{q}) })
	l.Release()
	for range 2 {
		s, fs = kill(t, s, fs, tinyOptions(fs))
		q = s.Queue(q.ID())
		var c Claim
		if n, err := q.Read(&c, []uint64{0}); n != 1 || err != nil || len(c.Items) != 1 || c.Items[0].Expires != 50 {
			t.Fatalf("read %d, %v, %+v", n, err, c.Items)
		}
		c.Release()
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	wantExpired(t, q, 49, "")
	wantExpired(t, q, 50, "large")
	shut(t, s)
}

// TestWhatIsInSegmentsExpiresBesideVeryManyLaterTimes: the times in memory are as many
// as there are read from segments at most, and none of them has come.
func TestWhatIsInSegmentsExpiresBesideVeryManyLaterTimes(t *testing.T) {
	if slower > 1 {
		t.Skip("a million messages take long with the race detector")
	}
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	q := newQueue(t, s, true)
	for i := range 3 {
		publish(t, s, expiring(fmt.Sprint("m", i), 1000), q)
	}
	retire(t, s)
	late := transient("")
	late.Expires = 5000
	for range nearMost/4096 + 1 {
		apply(t, s, func(b *Batch) {
			for range 4096 {
				b.Publish(late, []*Queue{q})
			}
		})
	}
	wantExpired(t, q, 2000, "m0 m1 m2")
}
