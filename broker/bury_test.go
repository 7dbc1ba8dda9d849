package broker

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// deaths tells x-death of a message, newest first: "queue reason count".
func deaths(m message) []string {
	out := []string{}
	list, _ := m.props.Headers().Array("x-death")
	for v := range list.All() {
		d, _ := v.Table()
		queue, _ := d.LongString("queue")
		why, _ := d.LongString("reason")
		n, _ := d.Int("count")
		out = append(out, fmt.Sprintf("%s %s %d", queue, why, n))
	}
	return out
}

// dlx are the arguments of a queue whose dead letters go to another one.
func dlx(to string, more ...any) func(*QueueSpec) {
	return args(append([]any{"x-dead-letter-exchange", "", "x-dead-letter-routing-key", to}, more...)...)
}

// out takes a message that stays unacked.
func (c *client) out(queue string) message {
	c.t.Helper()
	var m message
	ok, err := c.s.Get(queue, false, func(d *Delivery, _ int) {
		m = message{q: d.Queue, seq: d.Seq, redelivered: d.Redelivered, key: string(d.RoutingKey), props: slices.Clone(d.Props), body: string(d.Body)}
	})
	c.ok(err)
	if !ok {
		c.t.Fatalf("%s is empty", queue)
	}
	return m
}

func (c *client) discard(ms ...message) {
	c.t.Helper()
	for _, m := range ms {
		c.b.Discard(m.q, m.seq)
	}
	c.flush()
}

func (c *client) requeue(ms ...message) {
	c.t.Helper()
	for _, m := range ms {
		c.b.Requeue(m.q, m.seq)
	}
	c.flush()
}

// unacked is how many messages of a queue are out.
func (w *bench) unacked(queue string) int {
	_, n, _ := w.b.vhosts["/"].queue(queue).Counts()
	return n
}

func TestRejectedMessagesAreDeadLettered(t *testing.T) {
	for name, with := range map[string]func(*QueueSpec){"durable": durable, "transient": func(*QueueSpec) {}} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			c.queue("dead", with)
			c.queue("q", with, dlx("dead"))
			c.publish("", "q", numbers(0, 10)...)
			var ms []message
			for range 10 {
				ms = append(ms, c.out("q"))
			}
			c.discard(ms[:5]...)
			c.discard(ms[5:]...)
			for i := range 10 {
				m, _ := c.get("dead")
				if m.body != fmt.Sprint(i) || !slices.Equal(deaths(m), []string{"q rejected 1"}) || m.redelivered || m.exchange != "" || m.key != "dead" {
					t.Fatalf("%d: %+v %q", i, m, deaths(m))
				}
			}
			if n := w.unacked("q"); n != 0 || c.ready("q") != 0 {
				t.Errorf("%d messages are still out", n)
			}
		})
	}
}

func TestADeadLetterReachesItsConsumerAtOnce(t *testing.T) {
	c := newBench(t).client()
	c.queue("dead")
	c.queue("q", dlx("dead"))
	c.consume("dead", -1, noAck)
	c.publish("", "q", "a")
	c.discard(c.out("q"))
	c.wants([]string{"a"})
}

func TestDropHeadDeadLettersTheOldestInOrder(t *testing.T) {
	for name, with := range map[string]func(*QueueSpec){"durable": durable, "transient": func(*QueueSpec) {}} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).client()
			c.queue("dead", with)
			c.queue("q", with, dlx("dead", "x-max-length", 3))
			c.publish("", "q", numbers(0, 1000)...)
			c.publish("", "q", "x")
			if got := c.drain("q"); !slices.Equal(got, []string{"998", "999", "x"}) {
				t.Errorf("kept %q", got)
			}
			if got := c.drain("dead"); !slices.Equal(got, numbers(0, 998)) {
				t.Errorf("%d dead letters: %q", len(got), got)
			}
		})
	}
}

func TestDropHeadByBytesDeadLettersNoMoreThanItMust(t *testing.T) {
	c := newBench(t).client()
	c.queue("dead")
	c.queue("q", dlx("dead", "x-max-length-bytes", 10))
	c.publish("", "q", "aaaa", "bbb", "ccc")
	c.publish("", "q", "dddd")
	if got := c.drain("dead"); !slices.Equal(got, []string{"aaaa"}) {
		t.Errorf("dead: %q", got)
	}
	c.publish("", "q", "more than there may ever be")
	if got := c.drain("dead"); len(got) != 4 || c.ready("q") != 0 {
		t.Errorf("dead: %q", got)
	}
}

func TestABacklogInSegmentsIsShortenedIntoDeadLetters(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead", "x-max-length-bytes", 20_000))
	c.publish("", "q", numbers(1000, 5000)...) // 16000 bytes
	c.ok(w.b.store.Retire(true))
	c.publish("", "q", strings.Repeat("y", 10_000))
	waitFor(t, func() bool { return c.ready("dead") >= 1500 && w.quiet("q") })
	if got := c.drain("dead"); !slices.Equal(got, numbers(1000, 2500)) {
		t.Errorf("%d dead letters", len(got))
	}
	if n := c.ready("q"); n != 2501 {
		t.Errorf("%d left", n)
	}
}

func TestWithoutAnExchangeTheDeadAreGone(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable, args("x-dead-letter-exchange", "not there", "x-max-length", 2))
	c.publish("", "q", "a", "b", "c")
	c.discard(c.out("q"))
	if got := c.drain("q"); !slices.Equal(got, []string{"c"}) || w.unacked("q") != 0 {
		t.Errorf("%q, %d out", got, w.unacked("q"))
	}
}

func TestDeadLettersKeepTheirKeysOrGetAnother(t *testing.T) {
	c := newBench(t).client()
	c.exchange("dlx", "direct")
	c.exchange("in", "fanout")
	for _, k := range []string{"k", "cc", "new"} {
		c.queue("to-" + k)
		c.bind("to-"+k, "dlx", k)
	}
	c.queue("keep", args("x-dead-letter-exchange", "dlx"))
	c.queue("change", args("x-dead-letter-exchange", "dlx", "x-dead-letter-routing-key", "new"))
	c.bind("keep", "in", "")
	p := props(headers("CC", amqp.List(amqp.LongString("cc"))), text(amqp.PropExpiration, "60000"))
	c.publishWith(p, "in", "k", "m")
	c.discard(c.out("keep"))
	for _, k := range []string{"k", "cc"} {
		m, ok := c.get("to-" + k)
		if !ok || m.exchange != "dlx" || m.key != "k" || m.props.Has(amqp.PropExpiration) || !m.props.Headers().Has("CC") {
			t.Fatalf("%s: %v %+v", k, ok, m)
		}
	}
	c.publishWith(p, "", "change", "m")
	c.discard(c.out("change"))
	m, ok := c.get("to-new")
	if !ok || m.key != "new" || m.props.Headers().Has("CC") || c.ready("to-cc") != 0 {
		t.Fatalf("%v %+v", ok, m)
	}
}

func TestDeadLettersFollowTheAlternateExchange(t *testing.T) {
	c := newBench(t).client()
	c.exchange("other", "fanout")
	c.exchange("dlx", "direct", func(s *ExchangeSpec) { s.Args = table("alternate-exchange", "other") })
	c.queue("dead")
	c.bind("dead", "other", "")
	c.queue("q", args("x-dead-letter-exchange", "dlx", "x-max-length", 0))
	c.publish("", "q", "m")
	if got := c.drain("dead"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestDeliveryLimitOfAQuorumQueue(t *testing.T) {
	w := newBench(t)
	c := w.client()
	quorum := []any{"x-queue-type", "quorum"}
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead", append(quorum, "x-delivery-limit", 3)...))
	c.publishWith(props(headers("x-delivery-count", 77, "a", "b")), "", "q", "m")
	for i := range 4 {
		m := c.out("q")
		n, ok := m.props.Headers().Int("x-delivery-count")
		if n != int64(i) || ok != (i > 0) || m.redelivered != (i > 0) {
			t.Fatalf("delivery %d says %d, %v, redelivered %v", i, n, ok, m.redelivered)
		}
		if v, _ := m.props.Headers().LongString("a"); v != "b" {
			t.Error("another header went")
		}
		if i == 2 {
			c.requeue(m)
			w.restart()
			c = w.client()
			continue
		}
		c.requeue(m)
	}
	if n := c.ready("q"); n != 0 {
		t.Errorf("%d are still there", n)
	}
	m, _ := c.get("dead")
	if !slices.Equal(deaths(m), []string{"q delivery_limit 1"}) {
		t.Errorf("%q", deaths(m))
	}
	// The default, and none for classic queues.
	c.queue("d", durable, args(quorum...))
	c.queue("classic")
	for _, q := range []string{"d", "classic"} {
		c.publish("", q, "m")
		for i := 0; c.ready(q) > 0 && i < 50; i++ {
			m := c.out(q)
			if q == "d" && i > 20 || q == "classic" && m.props.Headers().Has("x-delivery-count") {
				t.Fatalf("%s: delivery %d", q, i)
			}
			c.requeue(m)
		}
	}
	if c.ready("d") != 0 || c.ready("classic") != 1 {
		t.Errorf("%d and %d are left", c.ready("d"), c.ready("classic"))
	}
}

func TestATransactionsRejectionsAreDeadLetteredWithIt(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead"))
	c.publish("", "q", "a", "b")
	a, b := c.out("q"), c.out("q")
	c.b.Atomic()
	c.b.Discard(a.q, a.seq)
	c.b.Reset() // rolled back
	if c.ready("dead") != 0 || w.unacked("q") != 2 {
		t.Fatal("a rollback had an effect")
	}
	c.b.Atomic()
	c.b.Discard(a.q, a.seq)
	c.b.Discard(b.q, b.seq)
	c.flush()
	if got := c.drain("dead"); !slices.Equal(got, []string{"a", "b"}) || w.unacked("q") != 0 {
		t.Errorf("%q, %d out", got, w.unacked("q"))
	}
}

func TestARefusedTransactionBuriesNothing(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead")
	c.queue("full", args("x-max-length", 0, "x-overflow", "reject-publish"))
	c.queue("q", dlx("dead"))
	c.publish("", "q", "a")
	a := c.out("q")
	c.b.Atomic()
	c.b.Discard(a.q, a.seq)
	c.b.Publish(&Publishing{RoutingKey: []byte("full"), Body: []byte("x")})
	if _, err := c.b.Flush(nil, true); err != ErrRefused {
		t.Fatal(err)
	}
	if c.ready("dead") != 0 || w.unacked("q") != 1 {
		t.Errorf("%d dead, %d out", c.ready("dead"), w.unacked("q"))
	}
}

func TestRejectPublishDLX(t *testing.T) {
	c := newBench(t).client()
	c.queue("dead")
	c.queue("other")
	c.exchange("x", "fanout")
	c.queue("q", dlx("dead", "x-max-length", 2, "x-overflow", "reject-publish-dlx"))
	c.bind("q", "x", "")
	c.bind("other", "x", "")
	c.publish("x", "k", "a", "b", "c", "d")
	if got := c.rejected(4); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("refused %v", got)
	}
	if got := c.drain("q"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("q has %q", got)
	}
	if got := c.drain("other"); len(got) != 4 {
		t.Errorf("other has %q", got)
	}
	for _, body := range []string{"c", "d"} {
		m, _ := c.get("dead")
		if m.body != body || !slices.Equal(deaths(m), []string{"q maxlen 1"}) {
			t.Errorf("%q: %q", m.body, deaths(m))
		}
	}
}

func TestDeadLettersPassBoundsThatRefusePublishes(t *testing.T) {
	c := newBench(t).client()
	c.queue("dead", args("x-max-length", 1, "x-overflow", "reject-publish"))
	c.queue("q", dlx("dead"))
	c.publish("", "q", "a", "b")
	c.discard(c.out("q"), c.out("q"))
	if got := c.drain("dead"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

func TestAnAutomaticCycleEnds(t *testing.T) {
	c := newBench(t).client()
	c.queue("a", dlx("b", "x-max-length", 1))
	c.queue("b", dlx("a", "x-max-length", 1))
	c.publish("", "a", numbers(0, 5)...)
	if got, b := c.drain("a"), c.drain("b"); !slices.Equal(got, []string{"4"}) || !slices.Equal(b, []string{"3"}) {
		t.Errorf("a %q, b %q", got, b)
	}
	c.queue("self", dlx("self", "x-max-length", 0))
	c.publish("", "self", "x")
	if n := c.ready("self"); n != 0 {
		t.Errorf("%d", n)
	}
}

func TestACycleWithARejectionGoesOn(t *testing.T) {
	c := newBench(t).client()
	c.queue("q", dlx("q"))
	c.publish("", "q", "m")
	for i := range 5 {
		m := c.out("q")
		if i > 0 && !slices.Equal(deaths(m), []string{fmt.Sprintf("q rejected %d", i)}) {
			t.Errorf("%q", deaths(m))
		}
		c.discard(m)
	}
	if n := c.ready("q"); n != 1 {
		t.Errorf("%d", n)
	}
}

// lines is a log that a test looks at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func TestAtLeastOnceKeepsWhatReachesNoQueue(t *testing.T) {
	w := newBench(t)
	var log lines
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w.restart()
	c := w.client()
	c.queue("q", durable, args("x-queue-type", "quorum", "x-overflow", "reject-publish",
		"x-dead-letter-exchange", "dlx", "x-dead-letter-strategy", "at-least-once"))
	c.publish("", "q", "a", "b")
	c.discard(c.out("q"), c.out("q"))
	if n := w.unacked("q"); n != 2 {
		t.Fatalf("%d are kept", n)
	}
	waitFor(t, func() bool { return log.count("dead letters reach no queue") > 0 })
	c.exchange("dlx", "fanout")
	c.queue("dead", durable)
	c.bind("dead", "dlx", "")
	waitFor(t, func() bool { return c.ready("dead") == 2 })
	if got := c.drain("dead"); !slices.Equal(got, []string{"a", "b"}) || w.unacked("q") != 0 {
		t.Errorf("%q", got)
	}
	if n := log.count("dead letters reach no queue"); n != 1 {
		t.Errorf("the operator is told %d times", n)
	}
}

// Each message that is kept takes memory, so their number has a bound: beyond that a
// queue lets its messages be, on disk.
func TestAQueueThatKeepsTooManyDeadLettersLetsItsMessagesBe(t *testing.T) {
	defer func(was int) { mostKept = was }(mostKept)
	mostKept = 300
	const messages = 2000
	for _, how := range []string{"rejected", "expired"} {
		t.Run(how, func(t *testing.T) {
			w := newBench(t)
			var log lines
			w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			w.restart()
			c := w.client()
			table := []any{"x-queue-type", "quorum", "x-overflow", "reject-publish",
				"x-dead-letter-exchange", "dlx", "x-dead-letter-strategy", "at-least-once"}
			if how == "expired" {
				table = append(table, "x-message-ttl", 1)
			}
			c.queue("q", durable, args(table...))
			for i := range messages {
				c.publish("", "q", fmt.Sprint(i))
			}
			if how == "rejected" {
				for log.count("too many dead letters") == 0 {
					if c.ready("q") == 0 {
						t.Fatal("all were delivered")
					}
					c.discard(c.out("q"))
				}
				if d, ok := c.get("q"); ok {
					t.Errorf("%v is delivered all the same", d)
				}
			}
			waitFor(t, func() bool { return log.count("too many dead letters") == 1 && w.quiet("q") })
			if n := w.unacked("q"); n < mostKept || n >= mostKept+maxRun {
				t.Errorf("%d are kept", n)
			}
			c.exchange("dlx", "fanout")
			c.queue("dead", durable)
			c.bind("dead", "dlx", "")
			if how == "rejected" {
				waitFor(t, func() bool { return !w.b.vhosts["/"].queue("q").(*localQueue).overfull() })
				for c.ready("q") > 0 {
					c.discard(c.out("q"))
				}
			}
			waitFor(t, func() bool { return c.ready("dead") == messages })
			if n := w.unacked("q"); n != 0 || c.ready("q") != 0 {
				t.Errorf("%d unacked and %d ready are left", n, c.ready("q"))
			}
		})
	}
}

func TestDeadLettersSurviveARestart(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead", "x-max-length", 1))
	c.publish("", "q", "a", "b")
	c.discard(c.out("q"))
	w.restart()
	c = w.client()
	if got := c.drain("dead"); !slices.Equal(got, []string{"a", "b"}) || c.ready("q") != 0 {
		t.Errorf("%q", got)
	}
}

func TestWhatComesBackWithARestartIsDeadLettered(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead", "x-max-length", 2))
	c.publish("", "q", "a", "b")
	c.out("q")
	c.out("q")
	c.publish("", "q", "c", "d")
	w.restart()
	c = w.client()
	waitFor(t, func() bool { return c.ready("dead") == 2 && w.quiet("q") })
	if got := c.drain("dead"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

// publishLarge publishes a body through a file.
func (c *client) publishLarge(queue, body string) {
	c.t.Helper()
	u, err := c.s.NewUpload(uint64(len(body)), persistent)
	c.ok(err)
	_, err = u.Write([]byte(body))
	c.ok(err)
	_, err = c.b.Publish(&Publishing{RoutingKey: []byte(queue), Props: persistent, Upload: u, Confirm: true})
	c.ok(err)
	c.flush()
}

// TestLargeBodiesAreDeadLettered for each way on which that happens.
func TestLargeBodiesAreDeadLettered(t *testing.T) {
	w := deadBench(t)
	c := w.client()
	c.queue("refusing", durable, dlx("dead", "x-max-length", 0, "x-overflow", "reject-publish-dlx"))
	c.queue("nowhere", durable, args("x-dead-letter-exchange", "not there"))
	body := func(n int) string { return strings.Repeat("x", 300_000) + fmt.Sprint(n) }
	bounded := c.queue("full", durable, dlx("dead", "x-max-length", 0))
	c.publishLarge("reject", body(0))
	c.discard(c.out("reject"))
	c.publishLarge(bounded, body(1))
	c.publishLarge("refusing", body(2))
	if got := c.rejected(1); len(got) != 1 {
		t.Error("the publish was not refused")
	}
	c.publishLarge("reject", body(3))
	m := c.out("reject")
	c.b.Atomic()
	c.b.Discard(m.q, m.seq)
	c.flush()
	c.publishLarge("nowhere", body(4))
	c.discard(c.out("nowhere"))
	waitFor(t, func() bool { return c.ready("dead") == 4 && w.unacked("reject")+w.unacked("nowhere") == 0 })
	got := map[string]string{}
	for range 4 {
		ok, err := c.s.Get("dead", true, func(d *Delivery, _ int) {
			if d.Large == nil {
				t.Fatal("the body is in memory")
			}
			got[readLargeBody(t, d.Large)] = deaths(message{props: slices.Clone(d.Props)})[0]
		})
		c.ok(err)
		if !ok {
			t.Fatal("dead is empty")
		}
	}
	for n, want := range []string{"reject rejected 1", "full maxlen 1", "refusing maxlen 1", "reject rejected 1"} {
		if got[body(n)] != want {
			t.Errorf("%d: %q, want %q", n, got[body(n)], want)
		}
	}
}

func TestAPriorityQueueBuriesTheHighestFirst(t *testing.T) {
	c := newBench(t).client()
	c.queue("dead", args("x-max-priority", 5))
	c.queue("q", dlx("dead", "x-max-priority", 5, "x-max-length", 2))
	for i, p := range []uint8{1, 5, 3} {
		c.publishWith(props(func(e *amqp.PropertiesEditor) { e.SetPriority(p) }), "", "q", fmt.Sprint(i))
	}
	if got := c.drain("q"); !slices.Equal(got, []string{"2", "0"}) {
		t.Errorf("kept %q", got)
	}
	c.publishWith(props(func(e *amqp.PropertiesEditor) { e.SetPriority(4) }), "", "q", "x")
	c.discard(c.out("q"))
	if got := c.drain("dead"); !slices.Equal(got, []string{"1", "x"}) {
		t.Errorf("dead: %q", got)
	}
}

// TestDyingOnAFailedLogLosesNothing: where the log can take no dead letter, what dies
// is out of the way, and the restart finds it.
func TestDyingOnAFailedLogLosesNothing(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("dead", durable)
	c.queue("q", durable, dlx("dead", "x-max-length", 2))
	c.queue("rejecting", durable, dlx("dead"))
	c.publish("", "q", "a", "b")
	c.publish("", "rejecting", "r")
	m := c.out("rejecting")
	image := w.fs.Restart()
	w.fs.Cut()
	c.b.Publish(&Publishing{RoutingKey: []byte("q"), Props: persistent, Body: []byte("refused"), Confirm: true})
	lsn, _ := c.b.Flush(nil, true)
	w.b.Wait(lsn)
	for range 3 {
		c.b.Publish(&Publishing{RoutingKey: []byte("q"), Body: []byte("transient")})
	}
	c.b.Discard(m.q, m.seq)
	c.b.Flush(nil, true)
	if n := c.ready("q"); n > 2 {
		t.Errorf("%d messages, more than the bound", n)
	}
	w.b.Close()
	w.fs, w.opts.Store.FS = image, image
	w.open()
	c = w.client()
	got := append(append(c.drain("q"), c.drain("rejecting")...), c.drain("dead")...)
	if !slices.Equal(got, []string{"a", "b", "r"}) {
		t.Errorf("%q", got)
	}
}

// TestAKeyThatNoMessageCanHaveKeepsNoDeadLetterBack: clients may not give a queue such
// a key for its dead letters; where a policy says one they keep their own.
func TestAKeyThatNoMessageCanHaveKeepsNoDeadLetterBack(t *testing.T) {
	w := newBench(t)
	c := w.client()
	long := strings.Repeat("k", 256)
	_, err := c.s.DeclareQueue(QueueSpec{Name: "q", Args: table("x-dead-letter-exchange", "", "x-dead-letter-routing-key", long)})
	c.refused(err, "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': {value_too_large,256}")
	c.queue("dead", durable)
	c.ok(c.s.BindQueue("dead", "amq.direct", "q", nil))
	c.queue("q", durable)
	w.policy(policy.User, "p", "^q$", 0, "max-length", 2, "dead-letter-exchange", "amq.direct", "dead-letter-routing-key", long)
	c.publish("", "q", numbers(0, 5)...)
	if got := c.drain("dead"); !slices.Equal(got, numbers(0, 3)) || w.unacked("q") != 0 {
		t.Errorf("%q are dead letters, %d messages stuck", got, w.unacked("q"))
	}
}
