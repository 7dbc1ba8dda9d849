package broker

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a broker on a memory file system with the sessions of a test.
type bench struct {
	t    testing.TB
	fs   *vfs.Mem
	b    *Broker
	opts Options
}

func newBench(t testing.TB) *bench {
	t.Helper()
	w := &bench{t: t, fs: vfs.NewMem()}
	w.opts.Store = store.Options{FS: w.fs, WAL: wal.Options{FileSize: 1 << 20, ChunkSize: 1 << 18, CacheSize: 1 << 21}}
	w.open()
	t.Cleanup(func() { w.close() })
	return w
}

func (w *bench) open() {
	w.t.Helper()
	b, err := Open("data", w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b = b
}

func (w *bench) close() {
	if err := w.b.Close(); err != nil && !errors.Is(err, ErrClosed) {
		w.t.Error(err)
	}
}

// restart closes the broker in good order and opens it again.
func (w *bench) restart() {
	w.t.Helper()
	w.close()
	w.open()
}

// client is a connection as the front end would be: one session, one batch, and
// the sink of its consumers.
type client struct {
	t  testing.TB
	s  *Session
	b  *Batch
	mu sync.Mutex
	// Guarded by mu.
	credit    map[*Consumer]int // absent: unlimited
	got       []message
	flushes   int
	cancelled []*Consumer

	seqs map[string]uint64 // the model's book
}

// message is a copied delivery.
type message struct {
	q           Queue
	c           *Consumer
	seq         uint64
	redelivered bool
	exchange    string
	key         string
	props       amqp.Properties
	body        string
}

type fakePeer string

func (p fakePeer) Name() string      { return string(p) }
func (p fakePeer) Close(*amqp.Error) {}

func (w *bench) client() *client {
	w.t.Helper()
	return w.login("guest", "/")
}

// user makes a user who may do everything in a vhost.
func (w *bench) user(name, vhost string, tags ...string) {
	w.t.Helper()
	if _, err := w.b.PutUser(access.User{Name: name, Tags: tags}); err != nil {
		w.t.Fatal(err)
	}
	w.permit(name, vhost, ".*", ".*", ".*")
}

// permit sets a user's permissions.
func (w *bench) permit(user, vhost, configure, write, read string) {
	w.t.Helper()
	p := access.Permissions{User: user, VHost: vhost, Configure: configure, Write: write, Read: read}
	if _, err := w.b.SetPermissions(p); err != nil {
		w.t.Fatal(err)
	}
}

// login is a client for some user in some vhost.
func (w *bench) login(user, vhost string) *client {
	w.t.Helper()
	s, err := w.b.NewSession(vhost, &User{Name: user}, fakePeer("test"))
	if err != nil {
		w.t.Fatal(err)
	}
	return &client{t: w.t, s: s, b: s.NewBatch(), credit: map[*Consumer]int{}, seqs: map[string]uint64{}}
}

func (c *client) Room(cons *Consumer) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.credit[cons]; ok {
		return n
	}
	return 1 << 30
}

func (c *client) Offer(cons *Consumer, ds []Delivery) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(ds)
	if credit, ok := c.credit[cons]; ok {
		n = min(n, credit)
		c.credit[cons] = credit - n
	}
	for _, d := range ds[:n] {
		c.got = append(c.got, message{
			q: d.Queue, c: cons, seq: d.Seq, redelivered: d.Redelivered, exchange: string(d.Exchange),
			key: string(d.RoutingKey), props: slices.Clone(d.Props), body: string(d.Body),
		})
	}
	return n
}

func (c *client) Flush() {
	c.mu.Lock()
	c.flushes++
	c.mu.Unlock()
}

func (c *client) Cancelled(cons *Consumer) {
	c.mu.Lock()
	c.cancelled = append(c.cancelled, cons)
	c.mu.Unlock()
}

// take returns what has come since the last take.
func (c *client) take() []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// bodies are those of what has come since the last take.
func (c *client) bodies() []string {
	out := []string{}
	for _, m := range c.take() {
		out = append(out, m.body)
	}
	return out
}

func (c *client) wants(what []string) {
	c.t.Helper()
	if got := c.bodies(); !slices.Equal(got, what) {
		c.t.Fatalf("got %q, want %q", got, what)
	}
}

func (c *client) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// refused wants an AMQP error of that whole text.
func (c *client) refused(err error, text string) {
	c.t.Helper()
	var e *amqp.Error
	switch {
	case err == nil:
		c.t.Fatalf("no error, want %q", text)
	case !errors.As(err, &e):
		c.t.Fatalf("%v is no AMQP error", err)
	case e.Error() != text:
		c.t.Fatalf("got  %q\nwant %q", e.Error(), text)
	}
}

func (c *client) queue(name string, with ...func(*QueueSpec)) string {
	c.t.Helper()
	spec := QueueSpec{Name: name}
	for _, f := range with {
		f(&spec)
	}
	info, err := c.s.DeclareQueue(spec)
	c.ok(err)
	return info.Name
}

func durable(s *QueueSpec)    { s.Durable = true }
func exclusive(s *QueueSpec)  { s.Exclusive = true }
func autoDelete(s *QueueSpec) { s.AutoDelete = true }

func args(fields ...any) func(*QueueSpec) {
	return func(s *QueueSpec) { s.Args = table(fields...) }
}

// table makes a table of names and values.
func table(fields ...any) amqp.Table {
	var list []amqp.Field
	for i := 0; i < len(fields); i += 2 {
		var v amqp.Value
		switch x := fields[i+1].(type) {
		case int:
			v = amqp.Int32(int32(x))
		case int64:
			v = amqp.Int64(x)
		case string:
			v = amqp.LongString(x)
		case bool:
			v = amqp.Bool(x)
		case amqp.Value:
			v = x
		default:
			panic(fmt.Sprintf("%T", x))
		}
		list = append(list, amqp.Field{Name: fields[i].(string), Value: v})
	}
	return amqp.NewTable(list...)
}

// consume starts a consumer. credit < 0 is unlimited.
func (c *client) consume(queue string, credit int, with ...func(*ConsumerSpec)) *Consumer {
	c.t.Helper()
	spec := ConsumerSpec{Tag: "tag"}
	for _, f := range with {
		f(&spec)
	}
	cons, err := c.s.Consume(queue, spec, c)
	c.ok(err)
	c.mu.Lock()
	if credit >= 0 {
		c.credit[cons] = credit
	}
	c.mu.Unlock()
	cons.Touch()
	return cons
}

func noAck(s *ConsumerSpec) { s.NoAck = true }

var persistent = func() amqp.Properties {
	p, _ := new(amqp.PropertiesEditor).SetDeliveryMode(2).Properties()
	return p
}()

// publish publishes bodies and flushes. It tells whether all were routed.
func (c *client) publish(exchange, key string, bodies ...string) bool {
	c.t.Helper()
	return c.publishWith(persistent, exchange, key, bodies...)
}

func (c *client) publishWith(props amqp.Properties, exchange, key string, bodies ...string) bool {
	c.t.Helper()
	all := true
	for _, body := range bodies {
		routed, err := c.b.Publish(&Publishing{Exchange: []byte(exchange), RoutingKey: []byte(key), Props: props, Body: []byte(body), Confirm: true})
		c.ok(err)
		all = all && routed
	}
	c.flush()
	return all
}

func (c *client) flush() {
	c.t.Helper()
	lsn, err := c.b.Flush(nil, true)
	c.ok(err)
	c.ok(c.s.b.Wait(lsn))
}

// ack acks messages and returns their credit.
func (c *client) ack(ms ...message) {
	c.t.Helper()
	for _, m := range ms {
		c.b.Ack(m.q, m.seq)
		c.mu.Lock()
		if n, ok := c.credit[m.c]; ok {
			c.credit[m.c] = n + 1
		}
		c.mu.Unlock()
		if m.c != nil {
			c.b.Touch(m.c)
		}
	}
	c.flush()
}

// counts are the ready messages and consumers of a queue, by passive declare.
func (c *client) counts(queue string) (ready, consumers int) {
	c.t.Helper()
	info, err := c.s.DeclareQueue(QueueSpec{Name: queue, Passive: true})
	c.ok(err)
	return int(info.Messages), int(info.Consumers)
}

func (c *client) ready(queue string) int {
	c.t.Helper()
	n, _ := c.counts(queue)
	return n
}

// get takes one message off a queue without ack; ok is false where it is empty.
func (c *client) get(queue string) (m message, ok bool) {
	c.t.Helper()
	ok, err := c.s.Get(queue, true, func(d *Delivery, remaining int) {
		m = message{q: d.Queue, seq: d.Seq, redelivered: d.Redelivered, exchange: string(d.Exchange),
			key: string(d.RoutingKey), props: slices.Clone(d.Props), body: string(d.Body)}
	})
	c.ok(err)
	return m, ok
}

// drain gets all bodies of a queue.
func (c *client) drain(queue string) []string {
	c.t.Helper()
	out := []string{}
	for {
		m, ok := c.get(queue)
		if !ok {
			return out
		}
		out = append(out, m.body)
	}
}

// quiet tells whether nobody dispatches for a queue.
func (w *bench) quiet(name string) bool {
	q := w.b.vhosts["/"].queue(name).(*localQueue)
	q.mu.Lock()
	held := q.held
	q.mu.Unlock()
	return held == 0 && q.work.Load() == 0
}

// waitFor yields until cond holds: for what a goroutine of a queue does.
func waitFor(t testing.TB, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !cond(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("it never came about")
		}
	}
}
