package broker

import (
	"runtime"
	"strings"
	"syscall"
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

func TestAnswersWaitForTheDiskAlsoWhereAnotherRemovedTheObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		w.close()
		held := vfs.NewErrFS(w.fs)
		w.opts.Store.FS = held
		w.open()
		a, b := w.client(), w.client()
		_, err := a.s.DeclareQueue(QueueSpec{Name: "q", Durable: true})
		a.ok(err)
		a.ok(a.s.DeclareExchange(ExchangeSpec{Name: "x", Type: "fanout", Durable: true}))
		a.ok(a.s.BindQueue("q", "amq.direct", "k", nil))
		gate := make(chan struct{})
		held.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", Before: func(vfs.Call) { <-gate }})
		answers := make(chan struct{}, 10)
		calls := []func(s *Session) error{
			func(s *Session) error { return s.UnbindQueue("q", "amq.direct", "k", nil) },
			func(s *Session) error { return s.DeleteExchange("x", false) },
			func(s *Session) error { _, err := s.DeleteQueue("q", false, false); return err },
		}
		for _, s := range []*Session{a.s, b.s} {
			for _, call := range calls {
				go func() {
					if err := call(s); err != nil {
						t.Error(err)
					}
					answers <- struct{}{}
				}()
				synctest.Wait()
			}
		}
		if n := len(answers); n != 0 {
			t.Errorf("%d answers before the disk's", n)
		}
		close(gate)
		synctest.Wait()
		if n := len(answers); n != 6 {
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

// What one frame of a client settles is applied in steps, so that other
// connections' publishes come in between; yet nothing passes what goes back.
func TestAHugeSettlementGoesInStepsAndInOrder(t *testing.T) {
	const n = 3*settleStep + 1000
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	cons := c.consume("q", n)
	for i := 0; i < n; i += 1000 {
		c.publish("", "q", numbers(i, min(i+1000, n))...)
	}
	var got []message
	waitFor(t, func() bool { got = append(got, c.take()...); return len(got) == n })
	c.publish("", "q", "newest")

	want := []string{}
	for i, m := range got {
		if 0 < i && i < settleStep { // the first step gives back one message
			c.b.Ack(m.q, m.seq)
			continue
		}
		c.b.Requeue(m.q, m.seq)
		want = append(want, m.body)
	}
	want = append(want, "newest")
	if parts := len(c.b.parts); parts != n/settleStep {
		t.Errorf("%d parts before the last one", parts)
	}
	begun := make(chan struct{})
	go func() { // somebody else gives cause for delivery when the first part is there
		defer close(begun)
		for c.ready("q") == 1 {
			runtime.Gosched()
		}
		c.mu.Lock()
		c.credit[cons] = n + 1
		c.mu.Unlock()
		cons.Touch()
	}()
	if _, err := c.b.Flush(nil, false); err != nil {
		t.Fatal(err)
	}
	<-begun
	var again []string
	waitFor(t, func() bool { again = append(again, c.bodies()...); return len(again) == len(want) })
	for i := range want {
		if again[i] != want[i] {
			t.Fatalf("at %d came %s, want %s", i, again[i], want[i])
		}
	}
	if spare := len(c.b.spare); spare > maxSpare {
		t.Errorf("%d batches kept", spare)
	}
}

// Reading is tried again until it can be done, without anybody giving cause.
func TestAPassingReadTroubleHoldsMessagesUpAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("q", durable)
		body := strings.Repeat("x", 10_000)
		for range 500 {
			c.publish("", "q", body)
		}
		w.close()
		fs := vfs.NewErrFS(w.fs)
		w.opts.Store.FS = fs
		w.open()
		fs.Add(vfs.Rule{Ops: vfs.OpOpen, At: 1, Sticky: true, Err: syscall.EMFILE})
		c = w.client()
		c.consume("q", -1, noAck)
		time.Sleep(time.Minute)
		if got := len(c.take()); got == 500 {
			t.Error("nothing was read from a file")
		}
		fs.Clear()
		time.Sleep(2 * readPauseMax)
		synctest.Wait()
		if left := c.ready("q"); left != 0 {
			t.Errorf("%d messages are left", left)
		}
		w.close()
	})
}
