package httpd_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/httpd"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// What goes wrong with a disk, as clients, the log's reader and /health see it.

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

// faulty is a broker on a disk that a test breaks, on a clock of its own.
type faulty struct {
	*brokertest.Broker
	t    *testing.T
	mem  *vfs.Mem
	fs   *vfs.ErrFS
	log  *lines
	http *httpd.Server
	o    brokertest.Options
}

// withFaulty runs a test with a broker whose log has small files. What it does
// not stop is stopped.
func withFaulty(t *testing.T, o broker.Options, test func(f *faulty)) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{t: t, mem: vfs.NewMem(), log: &lines{}}
		f.fs = vfs.NewErrFS(f.mem)
		o.Logger = slog.New(slog.NewTextHandler(f.log, nil))
		o.Reserve = -1
		o.Store.FS = f.fs
		// Not filled ahead, so that the middle of a file is one of its frames.
		o.Store.WAL = wal.Options{FileSize: 256 << 10, ChunkSize: 64 << 10, CacheSize: 128 << 10, MaxStaged: 256 << 10, Ahead: -1}
		f.o = brokertest.Options{NoListener: true, Dir: "data", Broker: o}
		f.start()
		test(f)
		f.Stop()
	})
}

func (f *faulty) start() {
	f.Broker = brokertest.Start(f.t, f.o)
	var err error
	if f.http, err = httpd.NewServer(httpd.Options{}); err != nil {
		f.t.Fatal(err)
	}
	f.http.SetBroker(f.Broker)
}

func (f *faulty) login() *brokertest.Client {
	c := brokertest.NewClient(f.t, f.Pipe(f.t))
	c.Patience = 3 * time.Minute
	c.Tune.Heartbeat = 0
	c.Login()
	c.Open(1)
	return c
}

// publisher has the durable queue q and confirms.
func (f *faulty) publisher() *brokertest.Client {
	c := f.login()
	c.Declare(1, wire.QueueDeclare{Queue: "q", Durable: true})
	c.Confirm(1)
	return c
}

// leave makes the disk so large that n bytes are free.
func (f *faulty) leave(n int64) {
	const large = 1 << 40
	f.mem.SetCapacity(large)
	free, err := f.mem.Free("/")
	if err != nil {
		f.t.Fatal(err)
	}
	f.mem.SetCapacity(large - int64(free) + n)
}

func (f *faulty) expectHealth(code int, want httpd.Status, parts ...string) {
	f.t.Helper()
	h := f.http.Health()
	text := fmt.Sprintf("%+v", h)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			f.t.Errorf("health %s does not tell %q", text, part)
		}
	}
	if h.Status != want || (code == http.StatusOK) != (want == httpd.OK || want == httpd.Blocked) {
		f.t.Errorf("health %s, want %s", text, want)
	}
}

// settle reads confirms up to a tag, all of which must be of the type M.
func settle[M wire.Method](t *testing.T, c *brokertest.Client, to uint64) {
	t.Helper()
	for tag := uint64(0); tag < to; {
		e := c.Next()
		switch e.Method.(type) {
		case *wire.ConnectionBlocked, *wire.ConnectionUnblocked:
			continue
		}
		if _, ok := e.Method.(M); !ok {
			t.Errorf("got %v, want confirms up to %d", e, to)
			return
		}
		switch m := e.Method.(type) {
		case *wire.BasicAck:
			tag = m.DeliveryTag
		case *wire.BasicNack:
			tag = m.DeliveryTag
		}
	}
}

func TestFailedSync(t *testing.T) {
	withFaulty(t, broker.Options{}, func(f *faulty) {
		pub := f.publisher()
		pub.Publish(1, "", "q", brokertest.Persistent, "kept")
		settle[*wire.BasicAck](t, pub, 1)
		f.expectHealth(200, httpd.OK)

		// The sync that is to confirm these hangs, then fails.
		hang := make(chan struct{})
		f.fs.Add(vfs.Rule{Ops: vfs.OpSync, Name: "*.wal*", At: 1, Sticky: true, Err: syscall.EIO, Before: func(vfs.Call) { <-hang }})
		var stream []byte
		for i := range 100 {
			stream = append(stream, pub.Message(1, "", "q", brokertest.Persistent, fmt.Sprint("pending ", i))...)
		}
		go pub.Write(stream)
		synctest.Wait()
		f.expectHealth(200, httpd.OK)
		close(hang)
		settle[*wire.BasicNack](t, pub, 101)
		f.expectHealth(503, httpd.Failed, ".wal", syscall.EIO.Error())
		if !f.log.has("write-ahead log failed") || !f.log.has(".wal") {
			t.Error("the log does not tell")
		}

		// Publishes are refused, and who cannot be told by a nack is told why.
		pub.Publish(1, "", "q", brokertest.Persistent, "refused")
		settle[*wire.BasicNack](t, pub, 102)
		deaf := f.login()
		deaf.Publish(1, "", "q", brokertest.Persistent, "refused")
		if text := deaf.ExpectClose(541); !strings.Contains(text, syscall.EIO.Error()) {
			t.Errorf("closed with %q", text)
		}

		// Consumers are served, and what needs no disk goes on.
		sub := f.login()
		sub.Consume(1, wire.BasicConsume{Queue: "q"})
		e := brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1)
		if string(e.Body) != "kept" {
			t.Errorf("got %v", e)
		}
		sub.Send(1, &wire.BasicAck{DeliveryTag: e.Method.(*wire.BasicDeliver).DeliveryTag})
		pub.Publish(1, "", "q", nil, "transient")
		settle[*wire.BasicAck](t, pub, 103)
		for {
			if e := brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1); string(e.Body) == "transient" {
				break
			}
		}
		f.StopFailed()

		// With a disk that works the next start has what was confirmed. The ack
		// could not be kept, so that the message comes again, and says so.
		f.fs.Clear()
		f.start()
		f.expectHealth(200, httpd.OK)
		sub = f.login()
		sub.Consume(1, wire.BasicConsume{Queue: "q", NoAck: true})
		e = brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1)
		if m := e.Method.(*wire.BasicDeliver); string(e.Body) != "kept" || !m.Redelivered {
			t.Errorf("after the restart: %v", e)
		}
	})
}

// The alarm is raised while there is still room, so that the log never sees a
// full disk; it ends when there is room again.
func TestDiskThatFillsUpIsMetBeforeItIsFull(t *testing.T) {
	const limit = 1 << 20
	withFaulty(t, broker.Options{DiskFreeLimit: limit}, func(f *faulty) {
		f.leave(limit + 4<<20)
		pub, sub := f.publisher(), f.login()
		stop := make(chan struct{})
		end := sync.OnceFunc(func() { close(stop) })
		defer end()
		sent := make(chan uint64, 1)
		go func() {
			body := strings.Repeat("x", 8<<10)
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					sent <- n
					return
				default:
				}
				pub.Publish(1, "", "q", brokertest.Persistent, body)
				time.Sleep(time.Millisecond) // 8 MB/s
			}
		}()
		next := func() wire.Method {
			e, err := pub.ReadEvent()
			if err != nil {
				t.Fatal(err)
			}
			return e.Method
		}
		confirmed := uint64(0)
		await := func(done func(m wire.Method) bool) {
			for {
				m := next()
				if a, ok := m.(*wire.BasicAck); ok {
					confirmed = a.DeliveryTag
				}
				if done(m) {
					return
				}
			}
		}
		await(func(m wire.Method) bool { b, ok := m.(*wire.ConnectionBlocked); return ok && b.Reason == "low on disk" })
		f.expectHealth(200, httpd.Blocked, "low on disk")
		if free, err := f.mem.Free("/"); err != nil || free == 0 {
			t.Errorf("%d bytes are free, %v", free, err)
		}

		// Others take room, and consumers make the room that publishers wait for.
		f.leave(limit / 2)
		time.Sleep(10 * time.Second)
		f.expectHealth(200, httpd.Blocked, "low on disk")
		sub.Send(1, &wire.BasicQos{PrefetchCount: 50})
		brokertest.Expect[*wire.BasicQosOk](sub, 1)
		sub.Consume(1, wire.BasicConsume{Queue: "q"})
		go func() {
			for {
				e, err := sub.ReadEvent()
				if err != nil {
					return
				}
				if m, ok := e.Method.(*wire.BasicDeliver); ok {
					sub.Send(1, &wire.BasicAck{DeliveryTag: m.DeliveryTag})
				}
			}
		}()
		await(func(m wire.Method) bool { _, ok := m.(*wire.ConnectionUnblocked); return ok })
		f.expectHealth(200, httpd.OK)
		end()
		for n := <-sent; confirmed < n; {
			await(func(wire.Method) bool { return true })
		}
		if f.log.has("disk is full") || f.log.has("ENOSPC") || f.log.has(syscall.ENOSPC.Error()) {
			t.Error("the log has met the full disk")
		}
		sub.Conn.Close()
		pub.Conn.Close()
		synctest.Wait()
	})
}

// Where there is no limit, or others were faster, what is not on disk waits and
// is confirmed when there is room; publishers are told.
func TestFullDiskHoldsConfirmsBack(t *testing.T) {
	withFaulty(t, broker.Options{DiskFreeLimit: -1}, func(f *faulty) {
		pub, other := f.publisher(), f.login()
		f.leave(0)
		pub.Publish(1, "", "q", brokertest.Persistent, "waits")
		time.Sleep(time.Minute)
		synctest.Wait()
		if !f.log.has("the disk is full") {
			t.Error("the log does not tell")
		}
		f.expectHealth(200, httpd.Blocked, "low on disk")
		other.Publish(1, "", "q", nil, "held up")
		brokertest.Expect[*wire.ConnectionBlocked](other, 0)
		f.leave(1 << 20)
		settle[*wire.BasicAck](t, pub, 1)
		brokertest.Expect[*wire.ConnectionUnblocked](other, 0)
		if !f.log.has("the disk has room again") {
			t.Error("the log does not tell that it goes on")
		}
		f.expectHealth(200, httpd.OK)
	})
}

// The same while the log is over its budget, so that segments are built on the
// full disk, and dropped, and built again.
func TestFullDiskUnderRetirement(t *testing.T) {
	o := broker.Options{DiskFreeLimit: -1, Store: store.Options{WALBudget: 512 << 10, CheckpointBytes: 64 << 10}}
	withFaulty(t, o, func(f *faulty) {
		pub := f.publisher()
		f.leave(5 << 19)
		const n = 4000
		go func() {
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range n {
				body := fmt.Appendf(nil, "%06d ", i)
				for len(body) < 1000 { // does not compress
					body = binary.LittleEndian.AppendUint64(body, rng.Uint64())
				}
				pub.Publish(1, "", "q", brokertest.Persistent, string(body))
				time.Sleep(time.Millisecond)
			}
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			settle[*wire.BasicAck](t, pub, n)
		}()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Error("the disk had room for all: the test proves nothing")
		default:
		}
		f.expectHealth(200, httpd.Blocked, "low on disk")
		f.leave(16 << 20)
		<-done
		time.Sleep(time.Minute)
		pub.Conn.Close()
		f.Stop()
		if names, err := f.mem.ReadDir("data/segments"); err != nil || len(names) == 0 {
			t.Errorf("no segment was made: %v", err)
		}
		f.start()
		sub := f.login()
		sub.Consume(1, wire.BasicConsume{Queue: "q", NoAck: true})
		for i := range n {
			e := brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1)
			if want := fmt.Sprintf("%06d ", i); !strings.HasPrefix(string(e.Body), want) {
				t.Fatalf("message %.6q, want %s", e.Body, want)
			}
		}
	})
}

func TestDamagedLogRefusesToStart(t *testing.T) {
	withFaulty(t, broker.Options{}, func(f *faulty) {
		pub := f.publisher()
		for i := range uint64(20) {
			pub.Publish(1, "", "q", brokertest.Persistent, "kept")
			settle[*wire.BasicAck](t, pub, i+1)
		}
		image := f.mem.Restart() // as after kill -9
		name := flip(t, image, "data/wal")
		o := f.o.Broker
		o.Store.FS = image
		if _, err := broker.Open("data", o); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "offset") {
			t.Errorf("opened: %v", err)
		}
	})
}

// flip inverts a bit in the middle of the first file in a folder, whose name it
// returns.
func flip(t *testing.T, fs vfs.FS, dir string) (base string) {
	t.Helper()
	names, err := fs.ReadDir(dir)
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	name := filepath.Join(dir, names[0])
	h, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := h.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := h.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	h.Close()
	b[size/2] ^= 1
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	if h, err = fs.Create(name); err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	h.Close()
	return names[0]
}

// A block of a segment that is damaged costs the messages in it, which are counted
// and named in the log; the queue goes on behind them.
func TestDamagedSegmentBlockIsSetAside(t *testing.T) {
	withFaulty(t, broker.Options{}, func(f *faulty) {
		const n = 4000
		pub := f.publisher()
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range uint64(n) {
			body := fmt.Appendf(nil, "%06d ", i)
			for range 12 { // what does not compress makes more than a block
				body = binary.LittleEndian.AppendUint64(body, rng.Uint64())
			}
			pub.Publish(1, "", "q", brokertest.Persistent, string(body))
			settle[*wire.BasicAck](t, pub, i+1)
		}
		time.Sleep(time.Minute) // the log's older files become a segment
		pub.Conn.Close()
		f.Stop()
		name := flip(t, f.mem, "data/segments")
		f.start()
		sub := f.login()
		sub.Consume(1, wire.BasicConsume{Queue: "q", NoAck: true})
		got, last := 0, -1
		for last != n-1 {
			e := brokertest.ExpectEvent[*wire.BasicDeliver](sub, 1)
			i, err := strconv.Atoi(string(e.Body[:6]))
			if err != nil || i <= last {
				t.Fatalf("message %q after number %d: %v", e.Body[:6], last, err)
			}
			last = i
			got++
		}
		if lost := n - got; lost == 0 || lost > n/4 {
			t.Errorf("%d of %d messages were lost with a block", lost, n)
		}
		if h := f.http.Health(); h.Status != httpd.OK || h.Damaged != int64(n-got) {
			t.Errorf("health %+v, and %d were lost", h, n-got)
		}
		if !f.log.has("set aside") || !f.log.has(name) || !f.log.has("offset") {
			t.Errorf("the log does not name %s", name)
		}
	})
}
