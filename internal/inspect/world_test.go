package inspect

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dataDir = "/data"
	newDir  = "/new"
)

// world is a data directory in the making, by the store itself.
type world struct {
	t  testing.TB
	fs *vfs.Mem
	s  *store.Store
	n  int // messages so far

	names map[*store.Queue]string
	ever  content // what was published to the queues
}

// tiny makes files small, so that a few messages pass every border. Nothing
// happens by the clock.
func tiny(fs vfs.FS) store.Options {
	return store.Options{
		FS: fs, CheckpointBytes: 1 << 40, RetireAge: -1,
		WAL: wal.Options{FileSize: 4096, ChunkSize: 1024, CacheSize: 4096, FullDiskWait: -1, Ahead: -1},
	}
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, fs: vfs.NewMem(), names: map[*store.Queue]string{}, ever: content{}}
	w.open()
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open() {
	w.t.Helper()
	var err error
	w.s, err = store.Open(dataDir, tiny(w.fs))
	w.ok(err)
}

func (w *world) close() {
	w.t.Helper()
	w.ok(w.s.Close())
}

// kill is a power cut that spares all that was written.
func (w *world) kill() {
	w.t.Helper()
	w.fs.SyncAll()
	dead := w.fs
	w.fs = dead.Restart()
	dead.Cut()
	w.s.Close()
}

func (w *world) do(fn func(b *store.Batch)) {
	w.t.Helper()
	b := w.s.NewBatch()
	b.Atomic() // so that acks are waited for too
	fn(b)
	lsn, err := w.s.Apply(b, wal.Lazy, nil)
	w.ok(err)
	w.ok(w.s.Wait(lsn))
}

func (w *world) vhost(name string) {
	w.t.Helper()
	w.do(func(b *store.Batch) { b.Put(catalog.Key(catalog.VHost, name), nil) })
}

func (w *world) exchange(name string) {
	w.t.Helper()
	w.do(func(b *store.Batch) {
		b.Put(catalog.Key(catalog.Exchange, "/", name), amqp.NewTable(amqp.Field{Name: "type", Value: amqp.LongString("direct")}))
	})
}

func (w *world) bind(exchange, queue string) {
	w.t.Helper()
	w.do(func(b *store.Batch) {
		b.Put(catalog.Key(catalog.Binding, "/", exchange, "q", queue, "key", ""), amqp.NewTable())
	})
}

func (w *world) queue(name string) *store.Queue {
	w.t.Helper()
	var q *store.Queue
	w.do(func(b *store.Batch) {
		q = b.CreateQueue(true, store.QueueOptions{})
		b.Put(queueKey(Name{VHost: "/", Queue: name}), catalog.QueueValue(q.ID(), false, nil))
	})
	w.names[q] = name
	return q
}

func (w *world) remove(q *store.Queue, name string) {
	w.t.Helper()
	w.do(func(b *store.Batch) {
		b.DeleteQueue(q)
		b.Delete(queueKey(Name{VHost: "/", Queue: name}))
	})
}

// publish adds n messages of some bytes to queues, which tell their number.
func (w *world) publish(n, size int, queues ...*store.Queue) {
	w.t.Helper()
	for range n {
		w.n++
		body := fmt.Sprintf("m%05d.", w.n)
		body += strings.Repeat(string(rune('a'+w.n%26)), max(0, size-len(body)))
		for _, q := range queues {
			w.ever[w.names[q]] = append(w.ever[w.names[q]], fmt.Sprintf("m%05d %d key", w.n, len(body)))
		}
		w.do(func(b *store.Batch) {
			b.Publish(store.Message{RoutingKey: []byte("key"), Props: amqp.NoProperties, Body: []byte(body), Persistent: true}, queues)
		})
	}
}

// claim takes n messages and returns their numbers.
func (w *world) claim(q *store.Queue, n int) []uint64 {
	w.t.Helper()
	var c store.Claim
	var seqs []uint64
	for len(seqs) < n {
		status := q.Claim(&c, n-len(seqs), true)
		for _, it := range c.Items {
			seqs = append(seqs, it.Seq)
		}
		c.Release()
		switch status {
		case store.Unmarked:
			w.ok(w.s.Wait(c.WaitFor))
		case store.Claimed:
		default:
			w.t.Fatalf("%d of %d messages could be claimed: %v", len(seqs), n, status)
		}
	}
	return seqs
}

func (w *world) ack(q *store.Queue, seqs ...uint64) {
	w.t.Helper()
	w.do(func(b *store.Batch) {
		for _, seq := range seqs {
			b.Ack(q, seq)
		}
	})
}

func (w *world) requeue(q *store.Queue, seqs ...uint64) {
	w.t.Helper()
	w.do(func(b *store.Batch) {
		for _, seq := range seqs {
			b.Requeue(q, seq)
		}
	})
}

// usual does a bit of everything: fan-outs, acks in any order, requeues, a purge,
// a deletion, transient messages, two checkpoints and log files around them.
func (w *world) usual() {
	w.t.Helper()
	w.vhost("/")
	w.exchange("x")
	a, b, gone := w.queue("a"), w.queue("b"), w.queue("gone")
	w.bind("x", "a")
	w.bind("x", "b")
	w.publish(8, 100, a)
	w.publish(5, 60, a, b, gone)
	w.do(func(batch *store.Batch) {
		batch.Publish(store.Message{Props: amqp.NoProperties, Body: []byte("transient")}, []*store.Queue{a})
	})
	w.publish(2, 900, b)
	seqs := w.claim(a, 6)
	w.ack(a, seqs[0], seqs[2], seqs[3])
	w.requeue(a, seqs[1])
	w.ok(w.s.Checkpoint())
	w.publish(10, 120, a, b)
	w.remove(gone, "gone")
	w.ok(w.s.Checkpoint())
	c := w.queue("c")
	w.publish(6, 80, c, a)
	seqs = w.claim(c, 3)
	w.ack(c, seqs[1])
	w.requeue(c, seqs[0], seqs[2])
	w.publish(3, 200, b)
}

// sealed is like usual, with segments: what lies in them is acked, requeued and
// delivered, before and after checkpoints.
func (w *world) sealed() {
	w.t.Helper()
	w.vhost("/")
	w.exchange("x")
	a, b, gone := w.queue("a"), w.queue("b"), w.queue("gone")
	w.bind("x", "a")
	w.publish(8, 100, a)
	w.publish(5, 60, a, b, gone)
	w.publish(2, 5000, b, a) // stored once
	seqs := w.claim(a, 3)
	w.ack(a, seqs[1])
	w.requeue(a, seqs[0])
	w.ok(w.s.Retire(true))
	w.publish(10, 120, a, b)
	seqs = w.claim(a, 4)
	w.ack(a, seqs[0], seqs[3])
	w.requeue(a, seqs[2])
	w.ok(w.s.Checkpoint())
	w.ack(b, w.claim(b, 2)...)
	w.ok(w.s.Retire(true))
	w.ok(w.s.Checkpoint())
	c := w.queue("c")
	w.remove(gone, "gone")
	w.publish(6, 80, c, a)
	w.ack(b, w.claim(b, 1)...)
	seqs = w.claim(a, 9)
	w.ack(a, seqs[4], seqs[5])
	w.requeue(a, seqs[7])
	w.ok(w.s.Retire(true))
	w.publish(3, 200, b)
	w.ack(a, seqs[6])
}

// compacted is like sealed, with segments merged while their messages go.
func (w *world) compacted() {
	w.t.Helper()
	w.sealed()
	w.ok(w.s.Checkpoint())
	a, b := w.byName("a"), w.byName("b")
	w.ack(a, w.claim(a, 6)[1:]...)
	w.ack(b, w.claim(b, 8)[2:]...)
	w.ok(w.s.Retire(true))
	w.ok(w.s.Compact())
	w.ack(a, w.claim(a, 2)[1])
	w.publish(2, 90, a, b)
	w.ok(w.s.Checkpoint())
	w.ack(b, w.claim(b, 1)...)
}

func (w *world) byName(name string) *store.Queue {
	for q, n := range w.names {
		if n == name && !q.Deleted() {
			return q
		}
	}
	w.t.Fatalf("no queue %s", name)
	return nil
}

// upload publishes a large message.
func (w *world) upload(size int, queues ...*store.Queue) {
	w.t.Helper()
	w.n++
	u, err := w.s.NewUpload(int64(size), true)
	w.ok(err)
	body := fmt.Sprintf("m%05d.%s", w.n, strings.Repeat("L", size-7))
	_, err = u.Write([]byte(body))
	w.ok(err)
	m := store.Message{RoutingKey: []byte("key"), Props: amqp.NoProperties, Persistent: true}
	l, err := u.Finish(m)
	w.ok(err)
	for _, q := range queues {
		w.ever[w.names[q]] = append(w.ever[w.names[q]], fmt.Sprintf("m%05d %d key", w.n, size))
	}
	w.do(func(b *store.Batch) { b.PublishLarge(l, m, queues) })
	l.Release()
}

// larges has messages in files of their own between others, in segments and not.
func (w *world) larges() {
	w.t.Helper()
	w.vhost("/")
	a, b := w.queue("a"), w.queue("b")
	w.publish(3, 80, a)
	w.upload(10<<10, a)
	w.publish(3, 80, a, b)
	w.upload(70<<10, a, b)
	w.upload(1000, b)
	w.ok(w.s.Retire(true))
	w.ok(w.s.Checkpoint())
	w.ack(a, w.claim(a, 5)[3])
	w.publish(2, 80, b)
	w.upload(5000, b)
	w.ok(w.s.Checkpoint())
	w.upload(2000, a)
	w.publish(2, 80, a)
}

// content is what a directory's queues hold, by name: a line a message.
type content map[string][]string

// read opens a copy of the directory as a broker would, and takes all of it out.
func read(t testing.TB, m vfs.FS, dir string) content {
	t.Helper()
	o := tiny(m)
	s, err := store.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &world{t: t, s: s}
	got := content{}
	var topology []string
	names := map[uint32]string{}
	w.ok(s.Catalog(func(key string, value []byte) error {
		topology = append(topology, object(key))
		for id, name := range queueRecord(key, value) {
			names[id] = name.Queue
		}
		return nil
	}))
	slices.Sort(topology)
	got["catalog"] = topology
	s.Queues(func(q *store.Queue) bool {
		var c store.Claim
		lines := []string{}
		for {
			status := q.Claim(&c, 100, true)
			for _, it := range c.Items {
				body := it.Body
				if it.Large != nil {
					r, err := it.Large.Open()
					if err == nil {
						body = make([]byte, it.Large.Size())
						if n, rerr := r.ReadAt(body, 0); n < len(body) {
							err = rerr
						}
					}
					if err != nil {
						continue // as who delivers it would
					}
				}
				name, _, _ := strings.Cut(string(body), ".")
				lines = append(lines, fmt.Sprintf("%s %d %s redelivered=%v count=%d time=%d", name, len(body), it.RoutingKey, it.Redelivered, it.Count, it.Time))
			}
			c.Release()
			if status == store.Unmarked {
				w.ok(s.Wait(c.WaitFor))
			} else if status != store.Claimed {
				break
			}
		}
		got[names[q.ID()]] = lines
		return true
	})
	return got
}

// dirFS is a Mem that renames folders, file by file; what is left of the old
// one is empty.
type dirFS struct{ *vfs.Mem }

func (d dirFS) Rename(oldname, newname string) error {
	names, err := d.Mem.ReadDir(oldname)
	if err != nil {
		return d.Mem.Rename(oldname, newname)
	}
	if err := d.MkdirAll(newname); err != nil {
		return err
	}
	for _, name := range names {
		if err := d.Mem.Rename(filepath.Join(oldname, name), filepath.Join(newname, name)); err != nil {
			return err
		}
	}
	return nil
}

// tree lists all files below a folder.
func tree(t testing.TB, m vfs.FS, dir string) []string {
	t.Helper()
	var files []string
	names, err := m.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := m.ReadDir(path); err == nil {
			files = append(files, tree(t, m, path)...)
		} else {
			files = append(files, path)
		}
	}
	return files
}

func sizeIn(t testing.TB, m vfs.FS, name string) int {
	t.Helper()
	size, err := sizeOf(m, name)
	if err != nil {
		t.Fatal(err)
	}
	return int(size)
}

// frozen is a directory, the copies of which are damaged.
type frozen struct {
	t     testing.TB
	files map[string][]byte
	ids   map[uint32]string // names of queues
}

func freeze(t testing.TB, m vfs.FS) *frozen {
	t.Helper()
	f := &frozen{t: t, files: map[string][]byte{}}
	for _, name := range tree(t, m, dataDir) {
		if strings.HasSuffix(name, ".spare") {
			continue // what it holds is nobody's
		}
		h, err := m.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, sizeIn(t, m, name))
		if n, err := h.ReadAt(b, 0); n < len(b) {
			t.Fatal(err)
		}
		h.Close()
		f.files[name] = b
	}
	return f
}

// copy makes a file system of it; fn may change a file's content or, with nil,
// remove it.
func (f *frozen) copy(fn func(name string, data []byte) []byte) *vfs.Mem {
	f.t.Helper()
	m := vfs.NewMem()
	for name, data := range f.files {
		if fn != nil {
			data = fn(name, slices.Clone(data))
		}
		if err := m.MkdirAll(filepath.Dir(name)); err != nil {
			f.t.Fatal(err)
		}
		if data == nil {
			continue
		}
		h, err := m.Create(name)
		if err != nil {
			f.t.Fatal(err)
		}
		if _, err := h.WriteAt(data, 0); err != nil {
			f.t.Fatal(err)
		}
		h.Close()
	}
	m.SyncAll()
	return m
}

// names lists the files, those whose name has a part.
func (f *frozen) names(part string) []string {
	var list []string
	for name := range f.files {
		if strings.Contains(name, part) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// damaged is a copy of which one file is changed.
func (f *frozen) damaged(name string, fn func(data []byte) []byte) *vfs.Mem {
	f.t.Helper()
	if _, ok := f.files[name]; !ok {
		f.t.Fatalf("there is no %s: %v", name, f.names(""))
	}
	return f.copy(func(n string, data []byte) []byte {
		if n == name {
			return fn(data)
		}
		return data
	})
}

func (f *frozen) without(parts ...string) *vfs.Mem {
	return f.copy(func(name string, data []byte) []byte {
		for _, part := range parts {
			if strings.Contains(name, part) {
				return nil
			}
		}
		return data
	})
}

func mustVerify(t testing.TB, m vfs.FS) *Verified {
	t.Helper()
	v, err := Verify(dataDir, Options{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustSalvage(t testing.TB, m *vfs.Mem) (*Salvaged, content) {
	t.Helper()
	r, err := Salvage(dataDir, newDir, Options{FS: dirFS{m}})
	if err != nil {
		t.Fatal(err)
	}
	return r, read(t, m, newDir)
}
