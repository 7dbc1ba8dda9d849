package broker

import (
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/broker/stats"
)

func TestMessagesAreCountedByTheirQueuesType(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	c := w.client()
	c.queue("dead")
	c.queue("classic", dlx("dead"))
	c.queue("quorum", durable, args("x-queue-type", "quorum"))
	c.publish("", "classic", "a", strings.Repeat("b", 100), strings.Repeat("c", 101))
	c.publish("", "quorum", "d", "e")
	c.publish("", "nowhere", "f")
	c.ack(c.out("classic"))
	c.discard(c.out("classic"))
	c.ack(c.out("quorum"), c.out("quorum"))

	classic, quorum := w.b.CountsOf(stats.Classic), w.b.CountsOf(stats.Quorum)
	if classic.Get != 2 || classic.Ack != 1 || quorum.Get != 2 || quorum.Ack != 2 {
		t.Errorf("classic queues %+v, quorum queues %+v", classic, quorum)
	}
	sum, _ := w.b.Counts()
	if sum.Publish != 6 || sum.PublishOut != 5 || sum.DropUnroutable != 1 || sum.Get != 4 || sum.Ack != 3 {
		t.Errorf("all queues %+v", sum)
	}
	g := w.b.GlobalCounts()
	if n := g.DeadLettered[stats.Classic][stats.AtMostOnce][stats.Rejected]; n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if g.Sizes.Count[0] != 5 || g.Sizes.Count[1] != 1 || g.Sizes.Bytes != 1+100+101+3 {
		t.Errorf("bodies %+v", g.Sizes)
	}
}

func TestWhatWasCountedOutlivesItsVHost(t *testing.T) {
	w := newBench(t)
	if err := w.b.AddVHost("v"); err != nil {
		t.Fatal(err)
	}
	w.user("u", "v")
	c := w.login("u", "v")
	c.queue("q")
	c.publish("", "q", "a", "b")
	c.ack(c.out("q"))
	before, _ := w.b.Counts()
	c.s.Close()
	if err := w.b.DeleteVHost("v"); err != nil {
		t.Fatal(err)
	}
	if after, _ := w.b.Counts(); after != before || after.Publish != 2 || after.Ack != 1 {
		t.Errorf("%+v before, %+v after", before, after)
	}
}
