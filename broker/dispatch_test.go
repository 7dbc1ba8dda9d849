package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// gated is a sink that, after so many messages, holds whoever delivers until it
// is let on. Real sinks never do that.
type gated struct {
	*client
	after int
	gate  chan struct{}
	n     int
}

func (g *gated) Offer(c *Consumer, ds []Delivery) int {
	if g.n += len(ds); g.n > g.after {
		<-g.gate
	}
	return g.client.Offer(c, ds)
}

func TestNobodyDeliversForOthersWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("q")
		const n = 20_000
		for range n / 100 {
			c.publish("", "q", make([]string, 100)...)
		}
		g := &gated{client: w.client(), after: baseBudget + 2*maxRun, gate: make(chan struct{})}
		cons, err := g.s.Consume("q", ConsumerSpec{NoAck: true}, g)
		c.ok(err)
		returned := make(chan struct{})
		go func() {
			cons.Touch()
			close(returned)
		}()
		synctest.Wait()
		select {
		case <-returned:
		default:
			t.Error("the toucher still delivers")
		}
		// Publishers do not wait either for who delivers now.
		for range 10 {
			c.publish("", "q", "more")
		}
		close(g.gate)
		synctest.Wait()
		if got := len(g.bodies()); got != n+10 {
			t.Errorf("%d messages came", got)
		}
		w.close()
	})
}

func TestAnswersWaitForTheDiskAlsoWhereAnotherMadeTheObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		w.close()
		held := vfs.NewErrFS(w.fs)
		w.opts.Store.FS = held
		w.open()
		a, b := w.client(), w.client()
		gate := make(chan struct{})
		held.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", Before: func(vfs.Call) { <-gate }})
		answers := make(chan struct{}, 10)
		ask := func(call func() error) {
			go func() {
				if err := call(); err != nil {
					t.Error(err)
				}
				answers <- struct{}{}
			}()
		}
		ask(func() error { _, err := a.s.DeclareQueue(QueueSpec{Name: "q", Durable: true}); return err })
		synctest.Wait()
		ask(func() error { _, err := b.s.DeclareQueue(QueueSpec{Name: "q", Durable: true}); return err })
		ask(func() error { _, err := b.s.DeclareQueue(QueueSpec{Name: "q", Passive: true}); return err })
		ask(func() error { return b.s.BindQueue("q", "amq.direct", "k", nil) })
		synctest.Wait()
		if n := len(answers); n != 0 {
			t.Errorf("%d answers before the disk's", n)
		}
		// What needs no disk is answered.
		b.queue("t")
		if !b.publishWith(nil, "", "q", "routed meanwhile") {
			t.Error("not routed")
		}
		close(gate)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(answers); n != 4 {
			t.Errorf("%d answers", n)
		}
		w.close()
	})
}

func TestACancelledConsumersTouchIsHarmless(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q")
	cons := c.consume("q", 0)
	c.b.Touch(cons)
	cons.Cancel()
	c.flush()
	cons.Touch()
	cons.Cancel()
	c.publish("", "q", "m")
	c.wants([]string{})
	_, err := c.s.DeleteQueue("q", false, false)
	c.ok(err)
	cons.Touch()
	cons.Cancel()
}

func TestDeletedQueuesLeaveNothingBehind(t *testing.T) {
	w := newBench(t)
	for range 3 {
		c := w.client()
		c.exchange("x", "topic")
		for i := range 20 {
			name := c.queue("", exclusive, args("x-expires", 3_600_000))
			c.bind(name, "x", "k.#")
			c.bind(name, "amq.fanout", "")
			c.publish("amq.fanout", "", "m")
			for range 5 {
				c.consume(name, i%2).Cancel()
			}
		}
		c.s.Close()
	}
	v := w.b.vhosts["/"]
	if n := len(v.queues); n != 0 {
		t.Errorf("%d queues", n)
	}
	if n := len(w.b.expiry.heap); n != 0 {
		t.Errorf("%d queues wait for their expiry", n)
	}
	for name, x := range v.exchanges {
		if x.table != nil && (x.table.Len() != 0 || len(x.in) != 0) {
			t.Errorf("%d bindings of exchange %s", x.table.Len(), name)
		}
	}
}
