package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/amqp"
)

var transient = func() amqp.Properties {
	p, _ := new(amqp.PropertiesEditor).SetDeliveryMode(1).Properties()
	return p
}()

// send publishes messages of one batch, without Flush: transient ones, but for those
// that begin with a "p".
func (c *client) send(queue string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		p := Publishing{RoutingKey: []byte(queue), Props: transient, Body: []byte(body)}
		if body[0] == 'p' {
			p.Props = persistent
		}
		_, err := c.b.Publish(&p)
		c.ok(err)
	}
}

func numbered(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprint(i))
	}
	return bodies
}

func TestTransientMessagesForAConsumerThatWaitsPassTheStore(t *testing.T) {
	w := newBench(t)
	defer w.close()
	c, sink := w.client(), w.client()
	c.queue("q", durable)
	sink.consume("q", -1, noAck)
	all := numbered(3*maxRun + 5)
	c.send("q", all...)
	c.flush()
	sink.wants(all)
	if got := w.b.VHostCounts("/"); got.Publish != uint64(len(all)) || got.DeliverNoAck != uint64(len(all)) {
		t.Errorf("%+v was counted", got)
	}
	// What must outlive the process is stored, as the first that the queue has had.
	c.send("q", "p1", "p2")
	c.flush()
	if got := sink.take(); len(got) != 2 || got[0].seq != 0 || got[1].seq != 1 {
		t.Errorf("got %+v", got)
	}
	// So is what waits for an ack.
	other := w.client()
	c.queue("acked")
	other.consume("acked", -1)
	c.send("acked", "1", "2")
	c.flush()
	if got := other.take(); len(got) != 2 || got[1].seq != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestTheOrderHoldsWhateverPassesTheStore(t *testing.T) {
	w := newBench(t)
	defer w.close()
	c, sink := w.client(), w.client()
	c.queue("q", durable)
	cons := sink.consume("q", 200, noAck)
	all := numbered(500)
	c.send("q", all...)
	c.flush()
	sink.wants(all[:200])
	if n := c.ready("q"); n != 300 {
		t.Errorf("%d messages wait, want those that nobody took, 300", n)
	}
	for i := range 300 {
		if c.b.Rejected(i) {
			t.Errorf("message %d was rejected", i)
		}
	}
	c.send("q", "a", "b") // behind what waits
	c.flush()
	more := func(n int) {
		sink.mu.Lock()
		sink.credit[cons] = n
		sink.mu.Unlock()
		cons.Touch()
	}
	more(250)
	sink.wants(all[200:450])
	c.send("q", "c")
	c.flush()
	more(1000)
	sink.wants(append(append([]string{}, all[450:]...), "a", "b", "c"))
	// One batch of both, with some that go nowhere, and other queues.
	c.queue("other")
	c.send("q", "1", "2", "p3", "4")
	c.send("nowhere", "0")
	c.send("q", "5")
	c.send("other", "0")
	c.send("q", "6")
	c.flush()
	sink.wants([]string{"1", "2", "p3", "4", "5", "6"})
	if n := c.ready("other"); n != 1 {
		t.Errorf("%d messages in the other queue", n)
	}
	c.send("nowhere", "0")
	c.send("q", "7")
	c.send("nowhere", "0")
	c.flush()
	sink.wants([]string{"7"})
}

func TestWhatIsGivenBackComesBeforeWhatIsPublishedAfterIt(t *testing.T) {
	w := newBench(t)
	defer w.close()
	c, keeper, sink := w.client(), w.client(), w.client()
	c.queue("q")
	cons := keeper.consume("q", 1)
	c.send("q", "first")
	c.flush()
	first := keeper.take()
	cons.Cancel()
	sink.consume("q", -1, noAck)
	c.b.Requeue(first[0].q, first[0].seq)
	c.send("q", "second")
	c.flush()
	sink.wants([]string{"first", "second"})
}

func TestATransactionsMessagesAreNotHandedOverBeforeItsCommit(t *testing.T) {
	w := newBench(t)
	defer w.close()
	c, sink := w.client(), w.client()
	c.queue("q")
	sink.consume("q", -1, noAck)
	c.b.Atomic()
	c.send("q", numbered(2*maxRun)...)
	sink.wants([]string{})
	c.b.Reset()
	c.flush()
	sink.wants([]string{})
	c.send("q", "1")
	c.b.Atomic()
	c.send("q", "2")
	sink.wants([]string{})
	c.flush()
	sink.wants([]string{"1", "2"})
}

func TestRepeatedMessagesGoWhereTheTopologyOfTheirMomentSays(t *testing.T) {
	w := newBench(t)
	defer w.close()
	for _, each := range []string{"direct", "stored"} {
		c := w.client()
		c.queue(each+"1", durable)
		c.queue(each+"2", durable)
		c.ok(c.s.BindQueue(each+"1", "amq.direct", each, nil))
		sinks := []*client{w.client(), w.client()}
		if each == "direct" {
			sinks[0].consume(each+"1", -1, noAck)
			sinks[1].consume(each+"2", -1, noAck)
		}
		p := Publishing{Exchange: []byte("amq.direct"), RoutingKey: []byte(each), Props: transient}
		publish := func(body string) (routed bool) {
			p.Body = []byte(body)
			routed, err := c.b.Publish(&p)
			c.ok(err)
			p.Again = true
			return routed
		}
		publish("1")
		publish("2")
		c.ok(w.client().s.BindQueue(each+"2", "amq.direct", each, nil))
		publish("3")
		c.ok(w.client().s.UnbindQueue(each+"1", "amq.direct", each, nil))
		publish("4")
		c.ok(w.client().s.UnbindQueue(each+"2", "amq.direct", each, nil))
		if publish("5") {
			t.Error("a message to nobody is said to be routed")
		}
		c.flush()
		if each == "stored" {
			sinks[0].consume(each+"1", -1, noAck)
			sinks[1].consume(each+"2", -1, noAck)
		}
		sinks[0].wants([]string{"1", "2", "3"})
		sinks[1].wants([]string{"3", "4"})
	}
}

func TestWhoPublishesToAQueueThatIsBehindIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		defer w.close()
		c, sink := w.client(), w.client()
		c.queue("q")
		cons := sink.consume("q", 100, noAck)
		// takes is how long a batch of so many messages takes, by a clock that stands
		// still while anybody works.
		takes := func(n int) time.Duration {
			began := time.Now()
			c.send("q", make100(n)...)
			c.flush()
			return time.Since(began)
		}
		if d := takes(100); d != 0 {
			t.Errorf("waited %v for a queue that is empty", d)
		}
		if d := takes(100); d != 0 {
			t.Errorf("waited %v for a queue with few messages", d)
		}
		takes(paceReady)
		if d := takes(1000); d < paceLeast || d > time.Millisecond {
			t.Errorf("waited %v for a queue that is behind", d)
		}
		if d := takes(1); d != 0 {
			t.Errorf("waited %v for one message", d)
		}
		sink.mu.Lock()
		sink.credit[cons] = 1 << 20
		sink.mu.Unlock()
		cons.Touch()
		synctest.Wait()
		if d := takes(1000); d != 0 {
			t.Errorf("waited %v for a queue that has caught up", d)
		}
		// Without consumers messages are to stay: that is nobody's delay.
		sink.mu.Lock()
		sink.credit[cons] = 0
		sink.mu.Unlock()
		takes(2 * paceReady)
		cons.Cancel()
		if d := takes(1000); d != 0 {
			t.Errorf("waited %v for a queue without consumers", d)
		}
	})
}

// make100 is bodies of 100 bytes.
func make100(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%100d", i)
	}
	return bodies
}
