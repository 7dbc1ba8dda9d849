package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// modelMsg is a message of the plain model that the store must equal.
type modelMsg struct {
	body      string
	logged    bool
	claimed   bool
	seq       uint64 // while claimed
	delivered bool   // must be redelivered
	maybe     bool   // may be: a killed process had the mark ahead of it
	count     uint32
	expires   int64 // 0: never
}

type modelQueue struct {
	q         *Queue
	durable   bool
	limits    Limits
	msgs      []*modelMsg
	held      int64 // ready when the batch began, and published by it
	heldBytes int64
	touched   bool // claims or consumers made the store promise redeliveries
}

func (m *modelQueue) ready() (n int, bytes int64) {
	for _, msg := range m.msgs {
		if !msg.claimed {
			n++
			bytes += int64(len(msg.body))
		}
	}
	return n, bytes
}

func (m *modelQueue) claimed() []*modelMsg {
	var c []*modelMsg
	for _, msg := range m.msgs {
		if msg.claimed {
			c = append(c, msg)
		}
	}
	return c
}

func (m *modelQueue) drop(gone func(*modelMsg) bool) { m.msgs = slices.DeleteFunc(m.msgs, gone) }

// model runs a store and what it must equal side by side.
type model struct {
	s       *Store
	fs      *vfs.Mem
	o       Options
	queues  []*modelQueue
	catalog map[string]string
	bodies  int
	steps   int
	// size, if not 0, is that of all bodies. Else nothing is asked about bytes: of
	// messages in segments that nobody has read the store knows averages.
	size int
}

func (m *model) pick(t *rapid.T) *modelQueue {
	if len(m.queues) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.queues).Draw(t, "queue")
}

// batch applies a few operations at once.
func (m *model) batch(t *rapid.T) {
	b := m.s.NewBatch()
	atomic := rapid.Bool().Draw(t, "atomic")
	if atomic {
		b.Atomic()
	}
	before := m.save()
	type rejection struct {
		index int
		want  bool
	}
	var rejections []rejection
	removed := map[int]int{}
	for range rapid.IntRange(1, 8).Draw(t, "ops") {
		q := m.pick(t)
		op := rapid.SampledFrom([]string{"publish", "publish", "publish", "publish", "ack", "ack", "ack", "requeue", "purge", "trim", "create", "delete", "put", "remove"}).Draw(t, "op")
		if q == nil && op != "put" && op != "remove" {
			op = "create"
		}
		switch op {
		case "publish":
			index, rejected := m.publish(t, b, atomic)
			rejections = append(rejections, rejection{index, rejected})
		case "ack", "requeue":
			for _, msg := range q.claimed() {
				if rapid.IntRange(0, 2).Draw(t, "which") == 0 {
					continue
				}
				if op == "ack" {
					b.Ack(q.q, msg.seq)
					q.drop(func(x *modelMsg) bool { return x == msg })
				} else {
					b.Requeue(q.q, msg.seq)
					msg.claimed, msg.delivered, msg.maybe = false, true, false
					msg.count++
				}
			}
		case "purge":
			n, _ := q.ready()
			removed[b.Purge(q.q)] = n
			q.drop(func(x *modelMsg) bool { return !x.claimed })
		case "trim":
			messages := rapid.Int64Range(-1, 20).Draw(t, "messages")
			bytes := int64(-1)
			if m.size > 0 {
				bytes = rapid.Int64Range(-1, 20*int64(m.size)).Draw(t, "bytes")
			}
			for bytes >= 0 && q.q.Measure() {
			}
			index := b.Trim(q.q, messages, bytes)
			for n, size := q.ready(); messages >= 0 && int64(n) > messages || bytes >= 0 && size > bytes; n, size = q.ready() {
				i := slices.IndexFunc(q.msgs, func(x *modelMsg) bool { return !x.claimed })
				q.msgs = slices.Delete(q.msgs, i, i+1)
				removed[index]++
			}
		case "create":
			if len(m.queues) < 6 {
				q = &modelQueue{durable: rapid.IntRange(0, 3).Draw(t, "durable") > 0}
				if rapid.IntRange(0, 4).Draw(t, "limited") == 0 && !atomic {
					q.limits = Limits{MaxMessages: 12, RejectPublish: true}
					if m.size > 0 {
						q.limits.MaxBytes = 10 * int64(m.size)
					}
				}
				q.q = b.CreateQueue(q.durable, QueueOptions{q.limits})
				m.queues = append(m.queues, q)
			}
		case "delete":
			n, _ := q.ready()
			removed[b.DeleteQueue(q.q)] = n
			m.queues = slices.DeleteFunc(m.queues, func(x *modelQueue) bool { return x == q })
		case "put":
			key, value := fmt.Sprint("key", rapid.IntRange(0, 9).Draw(t, "key")), fmt.Sprint(m.steps)
			b.Put(key, []byte(value))
			m.catalog[key] = value
		case "remove":
			key := fmt.Sprint("key", rapid.IntRange(0, 9).Draw(t, "key"))
			b.Delete(key)
			delete(m.catalog, key)
		}
	}
	mode := rapid.SampledFrom([]wal.Mode{wal.Lazy, wal.Group}).Draw(t, "mode")
	if _, err := m.s.Apply(b, mode, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range rejections {
		if b.Rejected(r.index) != r.want {
			t.Fatalf("publish %d: rejected %v, want %v", r.index, b.Rejected(r.index), r.want)
		}
	}
	if atomic && b.Rejections() > 0 {
		*m = before
		return
	}
	for index, n := range removed {
		if b.Removed(index) != n {
			t.Fatalf("removed %d, want %d", b.Removed(index), n)
		}
	}
}

// save copies the model; messages and all. In what it leaves, the limited queues
// know the room that they had.
func (m *model) save() model {
	c := *m
	c.catalog = maps.Clone(m.catalog)
	c.queues = nil
	for _, q := range m.queues {
		old := *q
		old.msgs = nil
		for _, msg := range q.msgs {
			old.msgs = append(old.msgs, new(*msg))
		}
		c.queues = append(c.queues, &old)
		n, bytes := q.ready()
		q.held, q.heldBytes = int64(n), bytes
	}
	return c
}

// publish adds a message to some queues. A limit refuses it where the queue is
// full; in an atomic batch, where it was full before and is so with what the
// batch has published.
func (m *model) publish(t *rapid.T, b *Batch, atomic bool) (index int, rejected bool) {
	m.bodies++
	size := m.size
	if size == 0 {
		size = rapid.SampledFrom([]int{10, 10, 20, 150, 1500, 5000}).Draw(t, "size")
	}
	body := fmt.Sprint(m.bodies)
	body += strings.Repeat(".", size-len(body))
	msg := text(body)
	msg.Persistent = rapid.IntRange(0, 3).Draw(t, "persistent") > 0
	if rapid.IntRange(0, 2).Draw(t, "expiring") == 0 {
		msg.Expires = rapid.Int64Range(AtOnce+1, 1000).Draw(t, "expires")
	}
	var targets []*Queue
	for _, q := range m.queues {
		if rapid.Bool().Draw(t, "to") {
			targets = append(targets, q.q)
			ready, bytes := q.ready()
			n := int64(ready)
			if atomic {
				n, bytes = q.held, q.heldBytes
			}
			if q.limits.RejectPublish && (n >= q.limits.MaxMessages || q.limits.MaxBytes > 0 && bytes+int64(len(body)) > q.limits.MaxBytes) {
				rejected = true
				continue
			}
			q.held++
			q.heldBytes += int64(len(body))
			q.msgs = append(q.msgs, &modelMsg{body: body, logged: msg.Persistent && q.durable, expires: msg.Expires})
		}
	}
	if rapid.IntRange(0, 7).Draw(t, "large") == 0 {
		l, _ := largeText(t, m.s, body, msg.Persistent)
		defer l.Release()
		return b.PublishLarge(l, msg, targets), rejected
	}
	return b.Publish(msg, targets), rejected
}

// claim takes some messages and gives some of them back untouched.
func (m *model) claim(t *rapid.T) {
	q := m.pick(t)
	if q == nil {
		return
	}
	q.touched = true
	max := rapid.IntRange(1, 15).Draw(t, "max")
	var c Claim
	for {
		disk := rapid.Bool().Draw(t, "disk")
		switch status := q.q.Claim(&c, max, disk); {
		case status == Unmarked:
			if err := m.s.Wait(c.WaitFor); err != nil {
				t.Fatal(err)
			}
			continue
		case status == Cold && !disk:
			continue
		case status == Claimed:
		case status == Empty:
			if n, _ := q.ready(); n > 0 {
				t.Fatalf("empty, and %d should be ready", n)
			}
		default:
			t.Fatalf("claim says %v", status)
		}
		break
	}
	keep := rapid.IntRange(0, len(c.Items)).Draw(t, "keep")
	at := 0
	for i := range c.Items {
		it := &c.Items[i]
		checkItem(t, it)
		for at < len(q.msgs) && q.msgs[at].claimed {
			at++
		}
		if at == len(q.msgs) {
			t.Fatalf("claimed %q, none should be ready", it.Body)
		}
		msg := q.msgs[at]
		if string(it.Body) != msg.body || it.Count != msg.count || it.Redelivered != msg.delivered && !msg.maybe {
			t.Fatalf("claimed %.30q, redelivered %v, count %d; want %.30q, %v (or not: %v), %d", it.Body, it.Redelivered, it.Count, msg.body, msg.delivered, msg.maybe, msg.count)
		}
		if it.Redelivered {
			msg.delivered, msg.maybe = true, false
		}
		if i < keep {
			msg.claimed, msg.delivered, msg.maybe, msg.seq = true, true, false, it.Seq
		}
		at++
	}
	q.q.Unclaim(&c, keep)
	c.Release()
}

// expire claims some of what has expired, and gives some of that back untouched.
func (m *model) expire(t *rapid.T) {
	q := m.pick(t)
	if q == nil {
		return
	}
	now := rapid.Int64Range(AtOnce+1, 1100).Draw(t, "now")
	var want []*modelMsg
	for _, msg := range q.msgs {
		if !msg.claimed && msg.expires != 0 && msg.expires <= now {
			want = append(want, msg)
		}
	}
	slices.SortStableFunc(want, func(a, b *modelMsg) int { return int(a.expires - b.expires) })
	if at := q.q.NextExpiry(); len(want) > 0 && (at == 0 || at > want[0].expires) {
		t.Fatalf("the first message expires at %d, the queue says %d", want[0].expires, at)
	}
	most := rapid.IntRange(1, 15).Draw(t, "max")
	c := Claim{Seqs: rapid.Bool().Draw(t, "seqs")}
	status := Cold
	for status == Cold {
		status = q.q.ClaimExpired(&c, now, most, rapid.Bool().Draw(t, "disk"))
	}
	if (status == Claimed) != (len(want) > 0) || len(c.Items) > min(most, len(want)) {
		t.Fatalf("claim says %v, %d messages; %d have expired, %d are wanted", status, len(c.Items), len(want), most)
	}
	keep := rapid.IntRange(0, len(c.Items)).Draw(t, "keep")
	for i := range c.Items {
		it, msg := c.Items[i], want[i]
		var body string
		if c.Seqs {
			body = readAll(t, q.q, []uint64{it.Seq})[0]
		} else {
			checkItem(t, &it)
			if body = string(it.Body); it.Expires != msg.expires {
				t.Fatalf("claimed %.30q, which expires at %d, want %d", body, it.Expires, msg.expires)
			}
		}
		if body != msg.body {
			t.Fatalf("claimed %.30q, want %.30q, of %d", body, msg.body, msg.expires)
		}
		if i < keep {
			msg.claimed, msg.seq = true, it.Seq
			msg.maybe = !msg.delivered // it is called delivered, and the log need not know
		}
	}
	q.q.Unclaim(&c, keep)
	c.Release()
}

func (m *model) consuming(t *rapid.T) {
	if q := m.pick(t); q != nil {
		on := rapid.Bool().Draw(t, "on")
		q.q.SetConsuming(on)
		q.touched = q.touched || on
	}
}

func (m *model) checkpoint(t *rapid.T) {
	if err := m.s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) retire(t *rapid.T) {
	if err := m.s.Retire(true); err != nil {
		t.Fatal(err)
	}
	if n, bytes := m.s.live.size(); n != 0 || bytes != 0 {
		t.Fatalf("%d messages with %d bytes are left in the log", n, bytes)
	}
}

func (m *model) compact(t *rapid.T) {
	compact(t, m.s)
	checkTable(t, m.s)
}

func (m *model) stop(t *rapid.T) {
	shut(t, m.s)
	m.s = open(t, m.o)
	m.restarted(t, false)
}

func (m *model) kill(t *rapid.T) {
	m.s, m.fs = kill(t, m.s, m.fs, m.o)
	m.o.FS = m.fs
	m.restarted(t, true)
}

func (m *model) restarted(t *rapid.T, killed bool) {
	m.queues = slices.DeleteFunc(m.queues, func(q *modelQueue) bool { return !q.durable })
	n := 0
	for _, q := range m.queues {
		q.drop(func(x *modelMsg) bool { return !x.logged })
		n += len(q.msgs)
		for _, msg := range q.msgs {
			msg.claimed = false
			msg.maybe = msg.maybe || killed && q.touched && !msg.delivered
		}
		id := q.q.ID()
		if q.q = m.s.Queue(id); q.q == nil {
			t.Fatalf("queue %d is missing", id)
		}
		q.q.SetLimits(q.limits)
	}
	if st := m.s.Stats(); st.Recovered != n || st.Queues != len(m.queues) {
		t.Fatalf("recovered %d messages in %d queues, want %d in %d", st.Recovered, st.Queues, n, len(m.queues))
	}
}

func (m *model) check(t *rapid.T) {
	m.steps++
	entries := int64(0)
	sealed := map[uint64]int64{}
	for _, q := range m.queues {
		wantReady, wantBytes := q.ready()
		ready, unacked, bytes := q.q.Counts()
		if ready != wantReady || m.size > 0 && bytes != wantBytes || unacked != len(q.msgs)-wantReady {
			t.Fatalf("queue %d: %d ready (%d bytes), %d unacked, want %d (%d), %d", q.q.ID(), ready, bytes, unacked, wantReady, wantBytes, len(q.msgs)-wantReady)
		}
		eachLocked(q.q, func(_ uint64, e index.Entry) {
			if isLarge(e.Addr) {
				if m.s.larges.get(e.Addr) == nil {
					t.Fatalf("queue %d has a message whose large file %x is not known", q.q.ID(), e.Addr)
				}
			} else if e.Sealed() {
				sealed[m.s.segments.resolve(e.Addr)]++
			} else {
				entries++
			}
		})
	}
	for _, f := range m.s.segments.list() {
		if f.live != sealed[f.number] {
			t.Fatalf("segment %d counts %d messages, the queues have %d", f.number, f.live, sealed[f.number])
		}
		delete(sealed, f.number)
	}
	if len(sealed) > 0 {
		t.Fatalf("segments that are not there: %v", sealed)
	}
	if live, _ := m.s.live.size(); live != entries {
		t.Fatalf("%d live entries, the queues have %d", live, entries)
	}
	got := map[string]string{}
	m.s.Catalog(func(key string, value []byte) error {
		got[key] = string(value)
		return nil
	})
	if fmt.Sprint(got) != fmt.Sprint(m.catalog) {
		t.Fatalf("catalog %v, want %v", got, m.catalog)
	}
}

func TestStoreEqualsAPlainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: vfs.NewMem(), catalog: map[string]string{}}
		m.o = tinyOptions(m.fs)
		if rapid.Bool().Draw(t, "own checkpoints") {
			m.o.CheckpointBytes = 16 << 10
		}
		if rapid.Bool().Draw(t, "spill") {
			m.o.MemoryBytes, m.o.spillChunk = 512, 256
		}
		m.size = rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "size of all")
		m.s = open(t, m.o)
		defer func() { m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"":           m.check,
			"batch":      m.batch,
			"batch2":     m.batch,
			"batch3":     m.batch,
			"claim":      m.claim,
			"claim2":     m.claim,
			"consuming":  m.consuming,
			"expire":     m.expire,
			"peek":       m.peek,
			"peek2":      m.peek,
			"footprint":  m.footprint,
			"checkpoint": m.checkpoint,
			"retire":     m.retire,
			"compact":    m.compact,
			"stop":       m.stop,
			"kill":       m.kill,
		})
	})
}
