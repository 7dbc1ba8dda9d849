package store

import (
	"slices"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

func applyBatch(t *testing.T, s *Store, b *Batch) {
	t.Helper()
	if _, err := s.Apply(b, wal.Group, nil); err != nil {
		t.Fatal(err)
	}
}

func TestRefusalsTellWhichQueueDidNotTakeWhat(t *testing.T) {
	for _, persistent := range []bool{false, true} {
		s := open(t, tinyOptions(vfs.NewMem()))
		b := s.NewBatch()
		one := Limits{MaxMessages: 1, RejectPublish: true, TellRefused: true}
		full := b.CreateQueue(true, QueueOptions{Limits: one})
		quiet := b.CreateQueue(true, QueueOptions{Limits: Limits{MaxMessages: 1, RejectPublish: true}})
		other := b.CreateQueue(true, QueueOptions{})
		applyBatch(t, s, b)
		b.Reset()
		for _, body := range []string{"a", "b", "c"} {
			b.Publish(Message{Body: []byte(body), Persistent: persistent}, []*Queue{full, quiet, other})
		}
		b.Publish(Message{Body: []byte("d"), Persistent: persistent}, []*Queue{other})
		if _, err := s.Apply(b, wal.Group, nil); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range b.Refusals() {
			if r.Queue != full || r.Large != nil || !b.Rejected(r.Index) {
				t.Errorf("%+v", r)
			}
			got = append(got, string(r.Message.Body))
		}
		if !slices.Equal(got, []string{"b", "c"}) || b.Rejections() != 2 {
			t.Errorf("refused %q, %d rejections", got, b.Rejections())
		}
		b.Reset()
		if len(b.Refusals()) != 0 {
			t.Error("refusals outlive the batch's contents")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnUnboundPublishPassesLimits(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		s := open(t, tinyOptions(vfs.NewMem()))
		b := s.NewBatch()
		full := b.CreateQueue(true, QueueOptions{Limits: Limits{MaxMessages: -1, RejectPublish: true}})
		applyBatch(t, s, b)
		b.Reset()
		if atomic {
			b.Atomic()
		}
		b.Unbound(b.Publish(Message{Body: []byte("x")}, []*Queue{full}))
		applyBatch(t, s, b)
		if n, _, _ := full.Counts(); n != 1 || b.Rejections() != 0 {
			t.Errorf("%d messages", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestALargePublishThatIsRefusedKeepsItsFile until nobody asks for it any more.
func TestALargePublishThatIsRefusedKeepsItsFile(t *testing.T) {
	s := open(t, tinyOptions(vfs.NewMem()))
	b := s.NewBatch()
	full := b.CreateQueue(true, QueueOptions{Limits: Limits{MaxMessages: -1, RejectPublish: true, TellRefused: true}})
	applyBatch(t, s, b)
	b.Reset()
	u, err := s.NewUpload(5, true)
	if err != nil {
		t.Fatal(err)
	}
	u.Write([]byte("large"))
	m := Message{Persistent: true}
	l, err := u.Finish(m)
	if err != nil {
		t.Fatal(err)
	}
	b.PublishLarge(l, m, []*Queue{full})
	l.Release()
	if _, err := s.Apply(b, wal.Group, nil); err != nil {
		t.Fatal(err)
	}
	body, err := readLarge(b.Refusals()[0].Large)
	if err != nil || string(body) != "large" {
		t.Errorf("%q, %v", body, err)
	}
	b.DropRefusals()
	if n := s.larges.files; len(n) != 0 {
		t.Errorf("%d files are held", len(n))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMovingNeedsNoMark: what is claimed to be moved waits for no record, and is not
// redelivered where it comes back.
func TestMovingNeedsNoMark(t *testing.T) {
	o := tinyOptions(vfs.NewMem())
	s := open(t, o)
	b := s.NewBatch()
	q := b.CreateQueue(true, QueueOptions{})
	for range 3 {
		b.Publish(Message{Body: []byte("x"), Persistent: true}, []*Queue{q})
	}
	applyBatch(t, s, b)
	before := s.log.Appended()
	c := Claim{Moving: true}
	if status := q.Claim(&c, 3, false); status != Claimed || len(c.Items) != 3 {
		t.Fatal(status)
	}
	q.Unclaim(&c, 0)
	c.Release()
	if after := s.log.Appended(); after != before {
		t.Errorf("%d bytes of log", after-before)
	}
	id := q.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	q = s.Queue(id)
	c = Claim{}
	for n := 0; n < 3; {
		switch status := q.Claim(&c, 3, true); status {
		case Unmarked:
			s.Wait(c.WaitFor)
		case Claimed:
			for _, it := range c.Items {
				if n++; it.Redelivered {
					t.Error("redelivered")
				}
			}
			c.Release()
		default:
			t.Fatal(status)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
