package store

import (
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// sharing makes queues that have a limit together.
func sharing(t tb, s *Store, n int, durable bool, l Limits) []*Queue {
	t.Helper()
	l.Shared, l.RejectPublish = new(Shared), true
	var list []*Queue
	for range n {
		q := newQueue(t, s, durable)
		q.SetLimits(l)
		list = append(list, q)
	}
	return list
}

func TestSharedLimitsCountTheMessagesOfAll(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	for _, l := range []Limits{{MaxMessages: 3}, {MaxBytes: 3}} {
		qs := sharing(t, s, 3, true, l)
		b := apply(t, s, func(b *Batch) {
			for i := range 5 {
				b.Publish(text("x"), qs[i%3:i%3+1])
			}
		})
		if b.Rejections() != 2 || b.Rejected(2) || !b.Rejected(3) || !b.Rejected(4) {
			t.Errorf("%+v: %d were refused, want the last two", l, b.Rejections())
		}
		// One that is out does not count; it may be of any of them.
		claim(t, s, qs[2], 1)
		b = apply(t, s, func(b *Batch) {
			b.Publish(text("x"), qs[:1])
			b.Publish(text("x"), qs[:1])
		})
		if b.Rejections() != 1 || b.Rejected(0) {
			t.Errorf("%+v: %d were refused, want the second", l, b.Rejections())
		}
		// A transaction has no effect where it does not fit in all of them together.
		apply(t, s, func(b *Batch) { b.Purge(qs[0]) })
		b = apply(t, s, func(b *Batch) {
			b.Atomic()
			for _, q := range qs {
				b.Publish(text("x"), []*Queue{q})
			}
		})
		if b.Rejections() != 1 {
			t.Errorf("%+v: %d were refused, want the third", l, b.Rejections())
		}
		wantCounts(t, qs[0], 0, 0)
		wantCounts(t, qs[1], 1, 0)
		apply(t, s, func(b *Batch) {
			b.Atomic()
			b.Publish(text("x"), qs[:1])
			b.Publish(text("x"), qs[2:])
		})
		wantCounts(t, qs[0], 1, 0)
		wantCounts(t, qs[2], 1, 1)
	}
}

func TestSharedLimitsAreExactAmongPublishersAtATime(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	defer shut(t, s)
	const most = 200
	for _, durable := range []bool{false, true} {
		qs := sharing(t, s, 4, durable, Limits{MaxMessages: most})
		var publishers sync.WaitGroup
		for p := range 4 {
			publishers.Go(func() {
				b := s.NewBatch()
				for i := range 100 {
					b.Reset()
					b.Publish(text("x"), qs[p:p+1])
					b.Publish(text("x"), qs[(p+i)%4:(p+i)%4+1])
					if _, err := s.Apply(b, wal.Lazy, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		publishers.Wait()
		sum := 0
		for _, q := range qs {
			ready, _, _ := q.Counts()
			sum += ready
		}
		if sum != most {
			t.Errorf("durable %v: %d messages were taken, want %d", durable, sum, most)
		}
	}
}
