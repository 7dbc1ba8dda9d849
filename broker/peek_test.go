package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// seen is a peeked message in short: position, body, and u where it is unacked.
func (c *client) seen(queue string, position, most int, which Which) (list []string, next int) {
	c.t.Helper()
	next, err := c.s.Peek(queue, position, most, which, func(p *Peeked) bool {
		c.ok(p.Err)
		s := fmt.Sprint(p.Position, " ", string(p.Body))
		if p.Unacked {
			s += " u"
		}
		if p.Redelivered {
			s += "!"
		}
		if p.DeliveryCount > 0 {
			s += fmt.Sprint("(", p.DeliveryCount, ")")
		}
		list = append(list, s)
		return true
	})
	c.ok(err)
	return list, next
}

func (c *client) wantSeen(queue string, position, most int, which Which, next int, want ...string) {
	c.t.Helper()
	got, n := c.seen(queue, position, most, which)
	if !slices.Equal(got, want) || n != next {
		c.t.Errorf("peeked at %d of %d from %d on: %q, next %d; want %q, %d", most, which, position, got, n, want, next)
	}
}

func TestPeekShowsWhatIsReadyAndWhatIsUnacked(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.wantSeen("q", 0, 10, AllMessages, -1)
	c.publish("", "q", "a", "b", "c", "d", "e")
	a := c.out("q")
	b := c.out("q")
	c.out("q")
	c.requeue(b)
	for range 2 { // the first changes nothing
		c.wantSeen("q", 0, 10, AllMessages, -1, "0 a u", "1 b!(1)", "2 c u", "3 d", "4 e")
		c.wantSeen("q", 1, 2, AllMessages, 3, "1 b!(1)", "2 c u")
		c.wantSeen("q", 3, 2, AllMessages, -1, "3 d", "4 e")
		c.wantSeen("q", 5, 2, AllMessages, -1)
		c.wantSeen("q", 0, 2, OnlyReady, 4, "1 b!(1)", "3 d")
		c.wantSeen("q", 1, 10, OnlyUnacked, -1, "2 c u")
	}
	c.ack(a)
	c.wantSeen("q", 0, 1, AllMessages, 1, "0 b!(1)")
	if got := c.drain("q"); !slices.Equal(got, []string{"b", "d", "e"}) {
		t.Errorf("then come %q", got)
	}
}

func TestPeekGoesThroughTheLanesOfAPriorityQueue(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-priority", 9))
	c.prioritized("", "q", "0a", "5b", "5c", "0d", "9e")
	c.wantSeen("q", 0, 10, AllMessages, -1, "0 9e", "1 5b", "2 5c", "3 0a", "4 0d")
	for at, want := range []string{"0 9e", "1 5b", "2 5c", "3 0a"} {
		c.wantSeen("q", at, 1, AllMessages, at+1, want)
	}
	c.wantSeen("q", 4, 1, AllMessages, -1, "4 0d")
	c.wantSeen("q", 9, 1, AllMessages, -1)
	c.out("q")
	c.out("q")
	c.wantSeen("q", 0, 10, OnlyUnacked, -1, "0 9e u", "1 5b u")
	c.wantSeen("q", 2, 2, OnlyReady, 4, "2 5c", "3 0a")
	ids := map[uint64]bool{}
	_, err := c.s.Peek("q", 0, 10, AllMessages, func(p *Peeked) bool {
		ids[p.ID] = true
		return p.Position < 3
	})
	c.ok(err)
	if len(ids) != 4 {
		t.Errorf("ids of four messages: %v", ids)
	}
}

func TestPeekShowsTimesAndLargeBodies(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-message-ttl", 60_000))
	before := time.Now().UnixMilli()
	props, err := new(amqp.PropertiesEditor).SetString(amqp.PropExpiration, "1000").Properties()
	c.ok(err)
	c.publishWith(props, "", "q", "soon")
	c.publish("", "q", "later")
	large := strings.Repeat("x", int(w.b.LargeBytes()))
	c.publishLarge("q", large)
	var got []string
	_, err = c.s.Peek("q", 0, 10, AllMessages, func(p *Peeked) bool {
		c.ok(p.Err)
		if p.Published < before || p.Published > time.Now().UnixMilli() {
			t.Errorf("published at %d, not before %d", p.Published, before)
		}
		got = append(got, fmt.Sprint(p.Size, " ", p.Large != nil, " ", (p.Expires-p.Published+500)/1000))
		return true
	})
	c.ok(err)
	if want := []string{"4 false 1", "5 false 60", fmt.Sprint(len(large), " true 60")}; !slices.Equal(got, want) {
		t.Errorf("peeked %q, want %q", got, want)
	}
}

func TestPeekNeedsToRead(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q")
	c.queue("mine", exclusive)
	c.publish("", "mine", "x")
	w.user("writer", "/")
	w.permit("writer", "/", ".*", ".*", "^other$")
	other := w.login("writer", "/")
	_, err := other.s.Peek("q", 0, 1, AllMessages, nil)
	other.refused(err, "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'writer'")
	_, err = other.s.Peek("other", 0, 1, AllMessages, nil)
	other.refused(err, "NOT_FOUND - no queue 'other' in vhost '/'")
	w.user("reader", "/")
	w.login("reader", "/").wantSeen("mine", 0, 1, AllMessages, -1, "0 x")
}

func TestFootprintOfAllLanes(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-max-priority", 9))
	c.prioritized("", "q", "0a", "5b", "5c", "0d", "9e")
	c.publishLarge("q", strings.Repeat("x", int(w.b.LargeBytes())))
	c.publishWith(nil, "", "q", "fleeting")
	f, err := w.b.Footprint("/", "q")
	c.ok(err)
	if f.Log.Messages+f.Memory.Messages != 6 || f.Memory.Messages == 0 || f.Large.Messages != 1 || f.Large.Files != 1 {
		t.Errorf("footprint %+v", f)
	}
	c.ok(w.b.store.Retire(true))
	again, err := w.b.Footprint("/", "q")
	c.ok(err)
	sealed := int64(0)
	for _, s := range again.Segments {
		sealed += s.Messages
	}
	if again.Log.Messages != 0 || int(sealed) != f.Log.Messages || again.Memory != f.Memory || again.Large != f.Large {
		t.Errorf("after retirement %+v, before %+v", again, f)
	}
	if _, err := w.b.Footprint("/", "none"); err != ErrNoQueue {
		t.Errorf("of no queue: %v", err)
	}
}
