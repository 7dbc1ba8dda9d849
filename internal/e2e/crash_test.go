package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/child"
	"github.com/leveret-mq/leveret/internal/e2e/ledger"
)

// TestKillNine kills the broker at a random moment under load, again and again on the
// same data, and asks the ledger after each restart and at the end. A process that is
// killed loses nothing that it has written, so this is about what was still in its
// memory, and about recovery; what a disk may lose is the business of the tests on the
// memory file system.
func TestKillNine(t *testing.T) {
	rounds := envInt(t, "CRASH_ROUNDS", 30)
	seed := uint64(envInt(t, "CRASH_SEED", int(time.Now().UnixNano()&0x7fffffff)))
	t.Logf("CRASH_SEED=%d CRASH_ROUNDS=%d", seed, rounds)
	c := newCrash(t, seed)
	began := time.Now()
	for round := 1; round <= rounds; round++ {
		c.restart(round)
		c.inspectSome()
		c.load()
		if kept, _ := c.l.Violations(); len(kept) > 0 {
			break
		}
	}
	c.restart(rounds + 1)
	c.inspectAll()
	c.l.Finish()

	kept, more := c.l.Violations()
	for _, v := range kept {
		t.Error(v)
	}
	if more > 0 {
		t.Errorf("and %d more", more)
	}
	totals := c.l.Totals()
	t.Logf("%v: %+v; slowest start %v; %d segments", time.Since(began).Round(time.Millisecond), totals, c.slowestStart, c.segments)
	if c.command == "" && rounds >= 10 && (c.segments < rounds/2 || c.large == 0) {
		t.Errorf("the engine hardly moved anything: segments up to number %d, large bodies up to %d", c.segments, c.large)
	}
	if totals.Confirmed < 50*rounds || totals.Redelivered < rounds || totals.Acked < 20*rounds {
		t.Errorf("too little happened for this to prove anything: %+v", totals)
	}
	if c.command == "" {
		if status, err := c.broker.Terminate(); err != nil || status != 0 {
			t.Errorf("in the end the broker stopped with status %d, %v", status, err)
		}
	}
}

func envInt(t testing.TB, name string, otherwise int) int {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("%s=%q is not a number", name, value)
	}
	return n
}

// crash is the whole run: one data directory, one ledger, one broker at a time.
type crash struct {
	t   *testing.T
	rng *rand.Rand
	l   *ledger.Ledger
	top *ledger.Topology

	prefix    string
	dir, addr string
	command   string // CRASH_COMMAND
	broker    *process
	url       string

	producers    []*producer
	recycler     *producer
	transients   []string // names of transient queues of the life before
	nextTopology int
	slowestStart time.Duration
	segments     int // the highest number of a segment file that was seen
	large        int // of a file with a large body

	ending atomic.Bool // the broker is being killed: errors are expected
}

// The queues by name, without the run's prefix. A fanout exchange has a binding to each
// of copied; recycled is purged, deleted and made again; barrier holds a few messages by which consumers know that their acks are
// durable.
const (
	oneA     = "one-a"
	oneB     = "one-b"
	sharedQ  = "shared"
	backlog  = "backlog"
	recycled = "recycled"
	barrier  = "barrier"
	copies   = "copies"   // a fanout exchange
	topology = "topology" // a direct exchange
)

var (
	crashQueues = []string{oneA, oneB, sharedQ, backlog}
	copied      = []string{oneB, sharedQ, backlog}
)

func newCrash(t *testing.T, seed uint64) *crash {
	c := &crash{
		t:       t,
		rng:     rand.New(rand.NewPCG(seed, 9)),
		prefix:  unique("crash") + ".",
		dir:     filepath.Join(t.TempDir(), "data"),
		command: os.Getenv("CRASH_COMMAND"),
	}
	c.l = ledger.New(ledger.Options{Lenient: c.command != ""})
	c.top = c.l.Topology()
	if c.command != "" {
		u, err := url.Parse(os.Getenv("CRASH_URL"))
		must(t, err)
		c.url, c.addr = u.String(), u.Host
	} else {
		addr, err := child.FreeAddr()
		must(t, err)
		c.addr = addr
	}
	c.producers = []*producer{
		{id: 1, queue: oneA},
		{id: 2, queue: oneB, transient: 5},
		{id: 3, queue: sharedQ, transient: 10},
		{id: 4, queue: backlog},
		{id: 5, exchange: copies},
		{id: 6, tx: []string{oneA, sharedQ, backlog}},
	}
	c.recycler = &producer{id: 7, queue: recycled}
	t.Cleanup(func() {
		if c.broker == nil {
			return
		}
		c.broker.Kill()
		if t.Failed() {
			t.Logf("stderr of the last broker:\n%s", c.broker.Log())
		}
	})
	return c
}

func (c *crash) name(base string) string { return c.prefix + base }

// begin starts a broker without waiting for it.
func (c *crash) begin() {
	c.t.Helper()
	var err error
	if c.command != "" {
		c.broker = &process{addr: c.addr, cmd: exec.Command("/bin/sh", "-c", c.command)}
		err = c.broker.start()
	} else {
		var args []string
		if c.rng.IntN(3) > 0 {
			// Small files and frequent checkpoints, so that a round sees several of each.
			args = []string{"--wal-file-size", fmt.Sprint(1 << (18 + c.rng.IntN(5))), "--checkpoint-bytes", fmt.Sprint(1 << (16 + c.rng.IntN(6)))}
		}
		if c.rng.IntN(4) > 0 {
			// What outlives a moment moves to segments, these are rewritten soon, and
			// some bodies have files of their own.
			args = append(args, "--wal-file-size", fmt.Sprint(1<<(16+c.rng.IntN(4))), "--wal-budget", fmt.Sprint(1<<(16+c.rng.IntN(4))), "--retire-age", "1ms",
				"--compact-slack", fmt.Sprint(1<<(12+c.rng.IntN(6))), "--compact-age", "1ms", "--large-bytes", fmt.Sprint(1<<(12+c.rng.IntN(7))))
		}
		c.broker, err = launch(c.dir, c.addr, args...)
		if err == nil {
			c.url = c.broker.url()
		}
	}
	must(c.t, err)
}

// restart begins the broker's next life: sometimes after a few that ended while they
// were still starting.
func (c *crash) restart(round int) {
	c.t.Helper()
	if round > 1 && c.rng.IntN(3) == 0 {
		c.verify("killed or stopped")
	}
	for c.command == "" && c.rng.IntN(4) == 0 {
		c.begin()
		<-time.After(time.Duration(c.rng.IntN(25_000)) * time.Microsecond)
		c.broker.Kill()
	}
	c.begin()
	began := time.Now()
	if err := c.broker.awaitReady(); err != nil {
		c.t.Fatalf("round %d: %v", round, err)
	}
	c.slowestStart = max(c.slowestStart, time.Since(began))
	c.ending.Store(false)

	conn := dialTo(c.t, c.url)
	defer conn.Close()
	ch := open(c.t, conn)
	if round == 1 {
		c.declare(ch)
	} else {
		c.checkTopology(conn)
	}
}

// declare makes everything that lasts through the run; a restart that loses any of it
// fails at once.
func (c *crash) declare(ch *amqp.Channel) {
	c.t.Helper()
	must(c.t, ch.ExchangeDeclare(c.name(copies), "fanout", true, false, false, false, nil))
	must(c.t, ch.ExchangeDeclare(c.name(topology), "direct", true, false, false, false, nil))
	for _, q := range crashQueues {
		_, err := ch.QueueDeclare(c.name(q), true, false, false, false, nil)
		must(c.t, err)
	}
	for _, q := range copied {
		bind(c.t, ch, c.name(q), "", c.name(copies), nil)
	}
	_, err := ch.QueueDeclare(c.name(barrier), true, false, false, false, amqp.Table{"x-max-length": 10})
	must(c.t, err)
}

// checkTopology compares the queues and bindings that were made and deleted under load.
func (c *crash) checkTopology(conn *amqp.Connection) {
	c.t.Helper()
	for _, name := range c.transients {
		c.top.Deleted(queueThing(name))
	}
	c.transients = nil
	ch := open(c.t, conn)
	returned := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(c.t, ch.Confirm(false))
	for _, thing := range c.top.Names() {
		kind, name := thing[:1], thing[2:]
		switch kind {
		case "q":
			probe := open(c.t, conn)
			_, err := probe.QueueDeclarePassive(name, true, false, false, false, nil)
			probe.Close()
			c.top.Seen(thing, err == nil)
		case "b":
			// A transient message: the queue's content is nobody's business.
			confirm, err := ch.PublishWithDeferredConfirm(c.name(topology), name, true, false, amqp.Publishing{})
			must(c.t, err)
			settled(c.t, confirm)
			select {
			case <-returned:
				c.top.Seen(thing, false)
			default:
				c.top.Seen(thing, true)
			}
		}
	}
}

func queueThing(name string) string   { return "q " + name }
func bindingThing(name string) string { return "b " + name }

// inspectSome looks at some of the queues after a restart, before the load begins.
func (c *crash) inspectSome() {
	for _, q := range append([]string{recycled}, crashQueues...) {
		switch c.rng.IntN(5) {
		case 0, 1:
			c.inspect(q, false)
		case 2:
			c.inspect(q, true)
		}
	}
}

func (c *crash) inspectAll() {
	for _, q := range append([]string{recycled}, crashQueues...) {
		c.inspect(q, true)
	}
}

// inspect takes all that is in a queue, and acks it or gives it back.
func (c *crash) inspect(queue string, ack bool) {
	c.t.Helper()
	conn := dialTo(c.t, c.url)
	defer conn.Close()
	if queue == recycled {
		probe := open(c.t, conn)
		if _, err := probe.QueueDeclarePassive(c.name(queue), true, false, false, false, nil); err != nil {
			c.l.Empty(queue) // whether it may be away the topology's book has said
			return
		}
	}
	ch := confirming(c.t, conn)
	q, err := ch.QueueDeclarePassive(c.name(queue), true, false, false, false, nil)
	must(c.t, err)
	s := c.l.Open(queue)
	ds, err := ch.Consume(c.name(queue), "", false, false, false, false, nil)
	must(c.t, err)
	var last amqp.Delivery
	var held []numbers
	take := func(d amqp.Delivery) {
		last = d
		if n, ok := entered(s, d); ok {
			held = append(held, n)
		}
	}
	for n := 1; n <= q.Messages; n++ {
		select {
		case d, ok := <-ds:
			if !ok {
				c.t.Fatalf("%s: the consumer was closed after %d of %d messages", queue, n-1, q.Messages)
			}
			take(d)
		case <-time.After(patience):
			c.t.Fatalf("%s: got %d of the %d messages that the broker says are ready", queue, n-1, q.Messages)
		}
	}
	// More than it counted would stand before this reply on the same socket.
	q, err = ch.QueueDeclarePassive(c.name(queue), true, false, false, false, nil)
	must(c.t, err)
	for more := true; more; {
		select {
		case d := <-ds:
			take(d)
		case <-time.After(2 * time.Millisecond):
			more = false
		}
	}
	if q.Messages != 0 || q.Consumers != 1 {
		c.t.Errorf("%s: %d messages are ready with %d consumers, want none with 1", queue, q.Messages, q.Consumers)
	}
	s.Empty()
	if ack && len(held) > 0 {
		for _, n := range held {
			s.AckSent(n.producer, n.n)
		}
		must(c.t, last.Ack(true))
		c.settle(ch, s)
	}
	s.Closing()
	must(c.t, ch.Close())
	s.Closed()
}

// settle waits until the session's acks so far are durable: its channel's later publish
// is confirmed, and the log has one order.
func (c *crash) settle(ch *amqp.Channel, s *ledger.Session) {
	c.t.Helper()
	mark := s.Mark()
	if confirmed(c.t, ch, "", c.name(barrier), text("barrier")) {
		s.Settled(mark)
	}
}

// numbers is a message's name in the ledger.
type numbers struct{ producer, n int }

// entered puts a delivery into the ledger; false if it is no message of this run.
func entered(s *ledger.Session, d amqp.Delivery) (numbers, bool) {
	producer, n, ok := ledger.Identify(d.Body)
	if !ok {
		s.Foreign(fmt.Sprintf("a body of %d bytes that nobody sent: %.80q", len(d.Body), d.Body))
		return numbers{}, false
	}
	if d.MessageId != messageID(producer, n) || d.Headers["n"] != int64(n) {
		s.Foreign(fmt.Sprintf("message %d of producer %d with the properties of another: id %q, headers %v", n, producer, d.MessageId, d.Headers))
	}
	return numbers{producer, n}, s.Delivered(producer, n, d.Redelivered)
}

func messageID(producer, n int) string { return fmt.Sprintf("%d/%d", producer, n) }

// verify has the command check all sums and invariants of the data directory.
func (c *crash) verify(state string) {
	if c.command != "" {
		return
	}
	out, words, status := run(c.t, nil, "log", "verify", "--data-dir", c.dir)
	if status != 0 {
		c.t.Errorf("log verify of a directory whose broker is %s: status %d\n%s\n%s", state, status, out, words)
	}
}

// load runs clients against the broker until it is killed in their midst, or, now and
// then, stopped in good order.
func (c *crash) load() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var clients sync.WaitGroup
	for _, work := range c.cast() {
		rng := rand.New(rand.NewPCG(c.rng.Uint64(), 0))
		clients.Go(func() {
			if err := work(ctx, rng); err != nil && !c.ending.Load() {
				c.t.Errorf("a client failed before the broker was killed: %v", err)
			}
		})
	}
	<-time.After(time.Duration(20+c.rng.IntN(300)) * time.Millisecond)
	if c.rng.IntN(4) == 0 {
		c.verify("running")
	}

	c.ending.Store(true)
	graceful := false
	switch way := c.rng.IntN(8); {
	case way == 0 && c.command == "":
		graceful = true
		c.l.Stopping()
		if status, err := c.broker.Terminate(); err != nil || status != 0 {
			c.t.Errorf("SIGTERM under load: status %d, %v\n%s", status, err, c.broker.Log())
		}
	case way == 1: // killed while it stops
		c.l.Stopping()
		must(c.t, c.broker.cmd.Process.Signal(syscall.SIGTERM))
		<-time.After(time.Duration(c.rng.IntN(15_000)) * time.Microsecond)
		fallthrough
	default:
		c.broker.Kill()
	}
	if words := c.broker.Complaint(); words != "" {
		c.t.Errorf("the broker's log: %s", words)
	}
	c.segments = max(c.segments, highest(c.dir, "segments"))
	c.large = max(c.large, highest(c.dir, "large"))
	cancel()
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		c.t.Fatalf("clients are still busy %v after the broker's end", patience)
	}
	if graceful {
		c.l.Stopped()
	} else {
		c.l.Crashed()
	}
}

// highest is the highest number in the names of files in a folder of the data
// directory. Numbers are never used twice.
func highest(dir, folder string) int {
	names, _ := filepath.Glob(filepath.Join(dir, folder, "*"))
	most := 0
	for _, name := range names {
		number, _, _ := strings.Cut(filepath.Base(name), ".")
		if n, err := strconv.Atoi(number); err == nil {
			most = max(most, n)
		}
	}
	return most
}
