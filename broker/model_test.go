package broker

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/internal/amqp"
)

// The model: queues as lists. Where a message is ready and somebody has credit
// it is delivered, so that a queue is described by its ready messages, those
// that are out, and the sum of its consumers' credit; who gets what is tested
// elsewhere. Of a single active consumer's queue it is that one's credit.

type modelMessage struct {
	body       string
	order      int // of publication
	level      int // its priority, as its queue counts it
	persistent bool
	delivered  bool // once before
}

type modelQueue struct {
	spec      QueueSpec
	owner     int // client, of an exclusive queue
	max       int // negative: none
	reject    bool
	ready     []modelMessage
	out       []modelMessage // delivered, not acked
	levels    int            // x-max-priority
	single    bool
	consumers map[*Consumer]int
	arrived   []*Consumer // the same, in order; with single the first is active
	credit    int
	had       bool // a consumer
}

// offer delivers what can be.
func (q *modelQueue) offer(delivered *[]modelMessage) {
	for q.credit > 0 && len(q.ready) > 0 {
		m := q.ready[0]
		q.ready = q.ready[1:]
		q.out = append(q.out, m)
		q.credit--
		*delivered = append(*delivered, m)
	}
}

// publish tells whether the message was refused.
func (q *modelQueue) publish(m modelMessage, delivered *[]modelMessage) bool {
	if q.reject && q.max >= 0 && len(q.ready)+1 > q.max {
		return true
	}
	m.level = min(m.level, q.levels)
	q.insert(m)
	q.offer(delivered)
	q.trim()
	return false
}

// insert puts a message behind those of its level that came before it.
func (q *modelQueue) insert(m modelMessage) {
	at, _ := slices.BinarySearchFunc(q.ready, m, func(a, b modelMessage) int {
		return cmp.Or(b.level-a.level, a.order-b.order)
	})
	q.ready = slices.Insert(q.ready, at, m)
}

// add is a consumer that comes, credited one that may take more, end one that goes.
func (q *modelQueue) add(c *Consumer, client, credit int) {
	q.consumers[c] = client
	q.arrived = append(q.arrived, c)
	q.credited(c, credit)
	q.had = true
}

func (q *modelQueue) credited(c *Consumer, n int) {
	if !q.single || q.arrived[0] == c {
		q.credit += n
	}
}

func (q *modelQueue) end(c *Consumer, credit func(*Consumer) int) {
	active := q.arrived[0] == c
	q.credited(c, -credit(c))
	q.arrived = slices.DeleteFunc(q.arrived, func(other *Consumer) bool { return other == c })
	delete(q.consumers, c)
	if q.single && active && len(q.arrived) > 0 {
		q.credit = credit(q.arrived[0])
	}
}

func (q *modelQueue) trim() {
	if !q.reject && q.max >= 0 && len(q.ready) > q.max {
		q.ready = q.ready[len(q.ready)-q.max:]
	}
}

func (q *modelQueue) giveBack(m modelMessage) {
	m.delivered = true
	q.insert(m)
}

type model struct {
	*rapid.T
	w       *bench
	clients []*client
	queues  map[string]*modelQueue
	want    []modelMessage // deliveries of the step
	got     []message      // of clients that are gone
	n       int
}

func (m *model) name() string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(m.T, "queue") }

func (m *model) client() int { return rapid.IntRange(0, len(m.clients)-1).Draw(m.T, "client") }

// pick returns a queue that fits, and a client that may use it; nil if there is
// none.
func (m *model) pick(fits func(*modelQueue) bool) (i int, name string, q *modelQueue) {
	var names []string
	for name, q := range m.queues {
		if fits(q) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return 0, "", nil
	}
	slices.Sort(names)
	name = rapid.SampledFrom(names).Draw(m.T, "queue")
	q = m.queues[name]
	if i = q.owner; !q.spec.Exclusive {
		i = m.client()
	}
	return i, name, q
}

func anyQueue(*modelQueue) bool { return true }

func (m *model) declare() {
	i, name := m.client(), m.name()
	if m.queues[name] != nil {
		return
	}
	q := &modelQueue{owner: i, max: -1, consumers: map[*Consumer]int{}}
	q.spec = QueueSpec{Name: name, Durable: rapid.Bool().Draw(m.T, "durable"),
		Exclusive: rapid.IntRange(0, 3).Draw(m.T, "exclusive") == 0, AutoDelete: rapid.IntRange(0, 3).Draw(m.T, "auto-delete") == 0}
	switch rapid.IntRange(0, 2).Draw(m.T, "bound") {
	case 1:
		q.max = rapid.IntRange(0, 5).Draw(m.T, "max")
		q.spec.Args = table("x-max-length", q.max)
	case 2:
		q.max, q.reject = rapid.IntRange(0, 5).Draw(m.T, "max"), true
		q.spec.Args = table("x-max-length", q.max, "x-overflow", "reject-publish")
	}
	if q.levels = rapid.IntRange(-3, 4).Draw(m.T, "levels"); q.levels > 0 {
		q.spec.Args = q.spec.Args.With("x-max-priority", amqp.Int32(int32(q.levels)))
	}
	q.levels = max(q.levels, 0)
	if q.single = rapid.IntRange(0, 2).Draw(m.T, "single") == 0; q.single {
		q.spec.Args = q.spec.Args.With("x-single-active-consumer", amqp.Bool(true))
	}
	_, err := m.clients[i].s.DeclareQueue(q.spec)
	m.ok(err)
	m.queues[name] = q
}

func (m *model) ok(err error) {
	if err != nil {
		m.Fatal(err)
	}
}

func (m *model) flush(c *client) {
	lsn, err := c.b.Flush(nil, true)
	m.ok(err)
	m.ok(m.w.b.Wait(lsn))
}

func (m *model) publish() {
	c := m.clients[m.client()]
	name := m.name()
	q := m.queues[name]
	var refused []int
	n := rapid.IntRange(1, 8).Draw(m.T, "n")
	if q != nil && q.levels > 0 {
		n = 1 // of what comes together the highest may go first
	}
	for i := range n {
		msg := modelMessage{body: fmt.Sprint("m", m.n), order: m.n, persistent: rapid.Bool().Draw(m.T, "persistent")}
		m.n++
		p := &Publishing{RoutingKey: []byte(name), Body: []byte(msg.body), Confirm: true}
		e := new(amqp.PropertiesEditor)
		if msg.persistent {
			e.SetDeliveryMode(2)
		}
		if msg.level = rapid.IntRange(-1, 6).Draw(m.T, "priority"); msg.level >= 0 {
			e.SetPriority(uint8(msg.level))
		}
		msg.level = max(msg.level, 0)
		var err error
		p.Props, err = e.Properties()
		m.ok(err)
		routed, err := c.b.Publish(p)
		m.ok(err)
		if routed != (q != nil) {
			m.Fatalf("routed %v to %s", routed, name)
		}
		if q != nil && q.publish(msg, &m.want) {
			refused = append(refused, i)
		}
	}
	m.flush(c)
	for i := range n {
		if c.b.Rejected(i) != slices.Contains(refused, i) {
			m.Fatalf("publish %d of %d refused: %v, want %v", i, n, c.b.Rejected(i), refused)
		}
	}
}

func (m *model) consume() {
	i, name, q := m.pick(func(q *modelQueue) bool { return len(q.consumers) < 4 })
	if q == nil {
		return
	}
	credit := rapid.IntRange(0, 4).Draw(m.T, "credit")
	c := m.clients[i]
	cons, err := c.s.Consume(name, ConsumerSpec{}, c)
	m.ok(err)
	c.credit[cons] = credit
	cons.Touch()
	q.add(cons, i, credit)
	q.offer(&m.want)
}

func (m *model) anyConsumer() (string, *modelQueue, *Consumer) {
	_, name, q := m.pick(func(q *modelQueue) bool { return len(q.consumers) > 0 })
	if q == nil {
		return "", nil, nil
	}
	return name, q, q.arrived[rapid.IntRange(0, len(q.arrived)-1).Draw(m.T, "consumer")]
}

func (m *model) cancel() {
	name, q, cons := m.anyConsumer()
	if q == nil {
		return
	}
	m.end(name, q, cons)
}

// creditOf is what a consumer may take.
func (m *model) creditOf(q *modelQueue) func(*Consumer) int {
	return func(c *Consumer) int {
		client := m.clients[q.consumers[c]]
		client.mu.Lock()
		defer client.mu.Unlock()
		return client.credit[c]
	}
}

// end cancels a consumer.
func (m *model) end(name string, q *modelQueue, cons *Consumer) {
	c := m.clients[q.consumers[cons]]
	var next int
	if q.single && len(q.arrived) > 1 && q.arrived[0] == cons {
		next = m.creditOf(q)(q.arrived[1]) // before it is served
	}
	cons.Cancel()
	q.end(cons, m.creditOf(q))
	if next > 0 {
		q.credit = next
	}
	delete(c.credit, cons)
	if q.spec.AutoDelete && len(q.consumers) == 0 {
		delete(m.queues, name)
		return
	}
	q.offer(&m.want)
}

func (m *model) addCredit() {
	_, q, cons := m.anyConsumer()
	if q == nil {
		return
	}
	c := m.clients[q.consumers[cons]]
	n := rapid.IntRange(1, 3).Draw(m.T, "n")
	c.credit[cons] += n
	c.b.Touch(cons)
	m.flush(c)
	q.credited(cons, n)
	q.offer(&m.want)
}

// settle acks or requeues some of what is out.
func (m *model) settle() {
	_, name, q := m.pick(func(q *modelQueue) bool { return len(q.out) > 0 })
	if q == nil {
		return
	}
	c := m.clients[0]
	lq := m.w.b.vhosts["/"].queue(name)
	var back []modelMessage
	for range rapid.IntRange(1, len(q.out)).Draw(m.T, "n") {
		i := rapid.IntRange(0, len(q.out)-1).Draw(m.T, "which")
		msg := q.out[i]
		q.out = slices.Delete(q.out, i, i+1)
		seq := m.seqs()[msg.body]
		if rapid.Bool().Draw(m.T, "ack") {
			c.b.Ack(lq, seq)
		} else {
			c.b.Requeue(lq, seq)
			back = append(back, msg)
		}
	}
	m.flush(c)
	for _, msg := range back {
		q.giveBack(msg)
	}
	q.offer(&m.want)
	if len(back) > 0 {
		q.trim()
	}
}

// seqs are the numbers of all that was ever delivered, kept in the first
// client's book.
func (m *model) seqs() map[string]uint64 { return m.clients[0].seqs }

func (m *model) get() {
	i, name, q := m.pick(anyQueue)
	if q == nil {
		return
	}
	got, ok := m.clients[i].get(name)
	if ok != (len(q.ready) > 0) {
		m.Fatalf("got %+v with %d ready", got, len(q.ready))
	}
	if !ok {
		return
	}
	want := q.ready[0]
	q.ready = q.ready[1:]
	if got.body != want.body || got.redelivered != want.delivered {
		m.Fatalf("got %s (redelivered %v), want %+v", got.body, got.redelivered, want)
	}
}

func (m *model) purge() {
	i, name, q := m.pick(anyQueue)
	if q == nil {
		return
	}
	n, err := m.clients[i].s.PurgeQueue(name)
	m.ok(err)
	if int(n) != len(q.ready) {
		m.Fatalf("purged %d, want %d", n, len(q.ready))
	}
	q.ready = nil
}

func (m *model) deleteQueue() {
	i, name, q := m.pick(anyQueue)
	if q == nil {
		return
	}
	ifUnused, ifEmpty := rapid.Bool().Draw(m.T, "if-unused"), rapid.Bool().Draw(m.T, "if-empty")
	n, err := m.clients[i].s.DeleteQueue(name, ifUnused, ifEmpty)
	if refuse := ifUnused && len(q.consumers) > 0 || ifEmpty && len(q.ready) > 0; refuse != (err != nil) {
		m.Fatalf("deleting: %v, want refused: %v", err, refuse)
	}
	if err != nil {
		return
	}
	if int(n) != len(q.ready) {
		m.Fatalf("deleted %d messages, want %d", n, len(q.ready))
	}
	m.gone(name)
}

// gone forgets a queue and its consumers, all of whom must have been told.
func (m *model) gone(name string) {
	for cons, i := range m.queues[name].consumers {
		if !slices.Contains(m.clients[i].cancelled, cons) {
			m.Fatal("a consumer was not told of its queue's deletion")
		}
		delete(m.clients[i].credit, cons)
	}
	delete(m.queues, name)
}

// leave ends a client's connection as a front end would, except that what was
// out stays out: others may still settle it here.
func (m *model) leave() {
	i := m.client()
	for name, q := range m.queues {
		// The active one last: else it would be followed by another of this client.
		for _, cons := range slices.Backward(slices.Clone(q.arrived)) {
			if q.consumers[cons] == i {
				m.end(name, q, cons)
			}
		}
	}
	m.clients[i].s.Close()
	m.got = append(m.got, m.clients[i].take()...)
	for name, q := range m.queues {
		if q.spec.Exclusive && q.owner == i {
			delete(m.queues, name)
		}
	}
	seqs := m.seqs()
	m.clients[i] = m.w.client()
	m.clients[0].seqs = seqs
}

func (m *model) restart() {
	for _, q := range m.queues {
		for _, cons := range slices.Backward(q.arrived) {
			cons.Cancel()
		}
	}
	for i := range m.clients {
		m.clients[i].s.Close()
	}
	for name, q := range m.queues {
		if !q.spec.Durable || q.spec.Exclusive || q.spec.AutoDelete && len(q.consumers) > 0 {
			delete(m.queues, name)
			continue
		}
		for _, msg := range q.out {
			q.giveBack(msg)
		}
		q.ready = slices.DeleteFunc(q.ready, func(msg modelMessage) bool { return !msg.persistent })
		q.out, q.consumers, q.arrived, q.credit = nil, map[*Consumer]int{}, nil, 0
		q.trim()
	}
	m.w.restart()
	for i := range m.clients {
		m.clients[i] = m.w.client()
	}
}

// check compares all that can be seen.
func (m *model) check() {
	v := m.w.b.vhosts["/"]
	for name := range m.queues {
		if v.queue(name) == nil {
			m.Fatalf("queue %s is gone", name)
		}
		waitFor(m.w.t, func() bool { return m.w.quiet(name) })
	}
	if len(v.queues) != len(m.queues) {
		m.Fatalf("%d queues, want %d", len(v.queues), len(m.queues))
	}
	// Deliveries of one queue come in order. Those of different clients are in
	// different books.
	got := m.got
	m.got = nil
	waitFor(m.w.t, func() bool { // who follows a single active consumer waits a little
		for _, c := range m.clients {
			got = append(got, c.take()...)
		}
		return len(got) >= len(m.want)
	})
	if len(got) != len(m.want) {
		m.Fatalf("%d deliveries, want %v", len(got), m.want)
	}
	for _, msg := range got {
		m.seqs()[msg.body] = msg.seq
		at := slices.IndexFunc(m.want, func(want modelMessage) bool { return want.body == msg.body })
		if at < 0 || m.want[at].delivered != msg.redelivered {
			m.Fatalf("got %s (redelivered %v), want %+v", msg.body, msg.redelivered, m.want)
		}
	}
	m.want = nil
	for name, q := range m.queues {
		ready, unacked, consumers := v.queue(name).Counts()
		if ready != len(q.ready) || unacked != len(q.out) || consumers != len(q.consumers) {
			m.Fatalf("queue %s: %d ready, %d out, %d consumers; want %d, %d, %d",
				name, ready, unacked, consumers, len(q.ready), len(q.out), len(q.consumers))
		}
		if n := v.queue(name).def().owner; (n != nil) != q.spec.Exclusive {
			m.Fatalf("queue %s: owner %v", name, n)
		}
	}
}

func TestQueuesDoWhatTheModelDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newBench(t)
		m := &model{T: rt, w: w, queues: map[string]*modelQueue{}}
		m.clients = []*client{w.client(), w.client()}
		defer w.close()
		actions := []func(){m.declare, m.declare, m.publish, m.publish, m.publish, m.consume, m.consume, m.cancel, m.addCredit, m.settle, m.settle, m.get, m.purge, m.deleteQueue, m.leave, m.restart}
		for range rapid.IntRange(10, 120).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(actions)-1).Draw(rt, "action")
			actions[i]()
			m.check()
		}
	})
}
