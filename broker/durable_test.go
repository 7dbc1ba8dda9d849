package broker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
)

// crash ends the process at once: what was not written is lost, and what was
// written survives. The broker that it leaves behind is of no use any more.
func (w *bench) crash() {
	w.t.Helper()
	image := w.fs.Restart()
	w.fs.Cut()
	w.b.Close()
	w.fs = image
	w.opts.Store.FS = image
	w.open()
}

// makeTopology declares one of each, durable and not.
func makeTopology(c *client) {
	c.queue("q", durable, args("x-max-length", 3, "x-foo", "kept"))
	c.queue("q\x00odd 'name'", durable)
	c.queue("ad", durable, autoDelete)
	c.queue("transient")
	c.queue("excl", durable, exclusive)
	c.queue("quorum", durable, args("x-queue-type", "quorum"))
	c.exchange("x", "topic", durableX, alternate("fallback"))
	c.exchange("y", "headers", durableX, autoDeleteX, internalX)
	c.exchange("tx", "fanout")
	c.bind("q", "x", "a.*")
	c.bind("q", "x", "b", "arg", 1)
	c.bind("q", "y", "", "x-match", "any", "h", "v")
	c.ok(c.s.BindExchange("y", "x", "y.#", nil))
	c.bind("q", "amq.direct", "k")
	c.bind("transient", "x", "a.*")
	c.bind("q", "tx", "")
	c.bind("excl", "x", "a.*")
}

func checkTopology(t *testing.T, c *client) {
	t.Helper()
	for _, name := range []string{"transient", "excl"} {
		if c.exists(name) {
			t.Errorf("queue %s survived", name)
		}
	}
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "tx", Passive: true}), "NOT_FOUND - no exchange 'tx' in vhost '/'")
	c.queue("q", durable, args("x-max-length", 3))
	c.queue("ad", durable, autoDelete)
	c.queue("q\x00odd 'name'", durable)
	c.queue("quorum", durable, args("x-queue-type", "quorum"))
	c.exchange("x", "topic", durableX, alternate("fallback"))
	c.exchange("y", "headers", durableX, autoDeleteX, internalX)
	v := c.s.v
	if got := len(v.queues); got != 4 {
		t.Errorf("%d queues, want 4", got)
	}
	count := func(name string) int { return v.exchange(name).table.Len() }
	if x, y, d := count("x"), count("y"), count("amq.direct"); x != 3 || y != 1 || d != 1 {
		t.Errorf("bindings: %d, %d, %d; want 3, 1, 1", x, y, d)
	}
	if got, _ := v.queue("q").def().args.LongString("x-foo"); got != "kept" {
		t.Errorf("argument %q", got)
	}
	c.publish("x", "a.1", "1")
	c.publish("x", "b", "2")
	c.publish("amq.direct", "k", "3")
	if _, err := c.b.Publish(&Publishing{Exchange: []byte("x"), RoutingKey: []byte("y.z"), Props: props(headers("h", "v")), Body: []byte("4")}); err != nil {
		t.Error(err)
	}
	c.flush()
	if got := c.drain("q"); !slices.Equal(got, []string{"2", "3", "4"}) {
		t.Errorf("got %q", got)
	}
}

func TestDurableTopologySurvives(t *testing.T) {
	t.Run("a restart", func(t *testing.T) {
		w := newBench(t)
		makeTopology(w.client())
		w.restart()
		checkTopology(t, w.client())
	})
	t.Run("a crash", func(t *testing.T) {
		w := newBench(t)
		makeTopology(w.client())
		w.crash()
		checkTopology(t, w.client())
		w.crash()
		checkTopology(t, w.client())
	})
	t.Run("a power cut", func(t *testing.T) {
		w := newBench(t)
		w.fs.SyncAll() // the folder itself
		makeTopology(w.client())
		n := 0
		for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 60, Seed: 1}) {
			t.Run(name, func(t *testing.T) {
				after := &bench{t: t, fs: image, opts: w.opts}
				after.opts.Store.FS = image
				after.open()
				defer after.close()
				checkTopology(t, after.client())
			})
			n++
		}
		if n == 0 {
			t.Error("no image")
		}
	})
}

func TestDeletedTopologyStaysAway(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.queue("keep", durable)
	c.exchange("x", "direct", durableX)
	c.exchange("ad", "direct", durableX, autoDeleteX)
	c.exchange("keep", "direct", durableX)
	for _, x := range []string{"x", "ad", "keep"} {
		c.bind("q", x, "k")
	}
	c.bind("keep", "x", "k")
	c.bind("keep", "keep", "k")
	c.publish("", "q", "m")
	_, err := c.s.DeleteQueue("q", false, false)
	c.ok(err)
	c.ok(c.s.DeleteExchange("x", false))
	c.ok(c.s.UnbindQueue("keep", "keep", "k", nil))
	w.crash()
	c = w.client()
	if c.exists("q") || c.s.v.exchange("x") != nil || c.s.v.exchange("ad") != nil {
		t.Error("something came back")
	}
	if n := c.s.v.exchange("keep").table.Len(); n != 0 {
		t.Errorf("%d bindings came back", n)
	}
	c.queue("q", durable)
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d messages came back", n)
	}
}

func TestPersistentMessagesSurviveAndAreCounted(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.queue("copy", durable)
	c.bind("q", "amq.fanout", "")
	c.bind("copy", "amq.fanout", "")
	c.publish("amq.fanout", "", "a", "b", "c")
	c.publishWith(nil, "", "q", "transient")
	c.get("q")
	cons := c.consume("copy", 2)
	var got []message
	waitFor(t, func() bool { got = append(got, c.take()...); return len(got) == 2 })
	cons.Cancel()
	w.restart()
	if s := w.b.Stats(); s.Queues != 2 || s.Messages != 5 || s.Recovery <= 0 {
		t.Errorf("stats %+v", s)
	}
	c = w.client()
	if got := c.drain("q"); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("q has %q", got)
	}
	var again []bool
	for {
		m, ok := c.get("copy")
		if !ok {
			break
		}
		again = append(again, m.redelivered)
	}
	if !slices.Equal(again, []bool{true, true, false}) {
		t.Errorf("redelivered %v", again)
	}
}

func TestAFailedLogRefusesWhatMustBeDurable(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.queue("t")
	c.publish("", "q", "before")
	w.fs.Cut()
	c.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: persistent, Body: []byte("lost"), Confirm: true})
	lsn, err := c.b.Flush(nil, true)
	if err == nil {
		err = w.b.Wait(lsn)
	}
	if err == nil {
		t.Fatal("a message was confirmed without a disk")
	}
	for range 2 {
		c.b.Publish(&Publishing{RoutingKey: []byte("t"), Body: []byte("transient")})
		c.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: persistent, Body: []byte("lost"), Confirm: true})
		if _, err := c.b.Flush(nil, true); err == nil {
			t.Error("no error")
		}
		if got := c.rejected(2); !slices.Equal(got, []int{1}) {
			t.Errorf("refused %v", got)
		}
	}
	_, err = c.s.DeclareQueue(QueueSpec{Name: "new", Durable: true})
	var e *amqp.Error
	if !errors.As(err, &e) || e.Code != amqp.CodeInternalError {
		t.Errorf("declaring: %v", err)
	}
	c.consume("q", -1)
	c.consume("t", -1)
	waitFor(t, func() bool { return w.quiet("q") && w.quiet("t") })
	if got := c.bodies(); !slices.Equal(got, []string{"before", "transient", "transient"}) {
		t.Errorf("got %q", got)
	}
	if w.b.Err() == nil {
		t.Error("the broker says nothing")
	}
	w.b.Close()
}

func TestAMoveInATransactionIsWholeAfterAnyPowerCut(t *testing.T) {
	w := newBench(t)
	w.fs.SyncAll() // the folder itself
	c := w.client()
	c.queue("in", durable)
	c.queue("out", durable)
	c.queue("copy", durable)
	for _, q := range []string{"out", "copy"} {
		c.bind(q, "amq.fanout", "")
	}
	const n = 6
	c.publish("", "in", numbers(0, n)...)
	c.consume("in", -1)
	var got []message
	waitFor(t, func() bool { got = append(got, c.take()...); return len(got) == n })
	var mu sync.Mutex
	images := map[string]*vfs.Mem{}
	w.fs.OnOp(func(op int, _ vfs.Op, _ string) {
		mu.Lock()
		defer mu.Unlock()
		for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 12, Seed: uint64(op)}) {
			images[fmt.Sprintf("operation %d, %s", op, name)] = image
		}
	})
	for _, m := range got {
		c.b.Atomic()
		c.b.Ack(m.q, m.seq)
		if _, err := c.b.Publish(&Publishing{Exchange: []byte("amq.fanout"), Props: persistent, Body: []byte(m.body)}); err != nil {
			t.Fatal(err)
		}
		c.flush()
	}
	w.fs.OnOp(nil)
	if len(images) < n {
		t.Errorf("only %d images", len(images))
	}
	for name, image := range images {
		after := &bench{t: t, fs: image, opts: w.opts}
		after.opts.Store.FS = image
		after.open()
		k := after.client()
		out, in := k.drain("out"), k.drain("in")
		all := slices.Sorted(slices.Values(append(out, in...)))
		if !slices.Equal(all, numbers(0, n)) || !slices.Equal(k.drain("copy"), numbers(0, n-len(in))) {
			t.Errorf("%s: %q came in, %q went out", name, in, out)
		}
		after.close()
	}
}

// What a quorum queue keeps is no matter for messages that are routed elsewhere,
// one by one: transient ones stay transient.
func TestAMessageForAQuorumQueueMakesNoOtherPersistent(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("quorum", durable, args("x-queue-type", "quorum"))
	c.queue("classic", durable)
	for _, q := range []string{"quorum", "classic"} {
		c.ok(c.s.BindQueue(q, "amq.headers", "", table("to", q)))
	}
	for _, q := range []string{"quorum", "classic"} {
		props, err := amqp.Properties(amqp.NoProperties).Edit().SetHeaders(table("to", q)).Properties()
		c.ok(err)
		c.publishWith(props, "amq.headers", "", "m")
	}
	w.restart()
	c = w.client()
	if n := c.ready("quorum"); n != 1 {
		t.Errorf("%d messages in the quorum queue", n)
	}
	if n := c.ready("classic"); n != 0 {
		t.Errorf("%d messages in the classic queue", n)
	}
}
