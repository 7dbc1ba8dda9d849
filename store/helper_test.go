package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// TestMain makes the model tests long enough to matter (10,000 steps and more);
// the flags still say otherwise where they are given.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.steps" })
	if !given {
		flag.Set("rapid.steps", "120")
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// tinyOptions make files, chunks and caches so small that a short run rotates
// files and reads from disk.
func tinyOptions(fs vfs.FS) Options {
	return Options{
		FS:              fs,
		WAL:             wal.Options{FileSize: 4096, ChunkSize: 1024, CacheSize: 2048, FullDiskWait: -1, Ahead: 2048},
		CheckpointBytes: 1 << 40, // only when a test asks
	}
}

const testDir = "data"

// tb is what testing.TB and *rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func open(t tb, o Options) *Store {
	t.Helper()
	s, err := Open(testDir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func shut(t tb, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// apply applies what fn records and waits until it is durable.
func apply(t tb, s *Store, fn func(b *Batch)) *Batch {
	t.Helper()
	b := s.NewBatch()
	fn(b)
	lsn, err := s.Apply(b, wal.Group, nil)
	if err == nil {
		err = s.Wait(lsn)
	}
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return b
}

func newQueue(t tb, s *Store, durable bool) *Queue {
	t.Helper()
	var q *Queue
	apply(t, s, func(b *Batch) { q = b.CreateQueue(durable, QueueOptions{}) })
	return q
}

// text is a persistent message with that body.
func text(body string) Message {
	return Message{Exchange: []byte("x"), RoutingKey: []byte("key." + body[:min(len(body), 100)]), Props: []byte{1, 2, 3}, Body: []byte(body), Persistent: true}
}

// transient is a message that needs no log.
func transient(body string) Message {
	m := text(body)
	m.Persistent = false
	return m
}

func publish(t tb, s *Store, m Message, queues ...*Queue) {
	t.Helper()
	apply(t, s, func(b *Batch) { b.Publish(m, queues) })
}

// claimed is an item that outlives its Claim.
type claimed struct {
	seq         uint64
	body        string
	redelivered bool
	count       uint32
}

func (c claimed) String() string {
	s := c.body
	if c.redelivered {
		s += "!"
	}
	if c.count > 0 {
		s += fmt.Sprintf("(%d)", c.count)
	}
	return s
}

// checkItem fails where an item is not the message that text makes of its body.
func checkItem(t tb, it *Item) {
	t.Helper()
	if it.Large != nil {
		body, err := readLarge(it.Large)
		if err != nil && !Damaged(err) {
			return // the disk does not give it at the moment
		}
		if err != nil {
			t.Fatalf("message %d: %v", it.Seq, err)
		}
		it.Body = []byte(body)
	}
	want := text(string(it.Body))
	if !bytes.Equal(it.Exchange, want.Exchange) || !bytes.Equal(it.RoutingKey, want.RoutingKey) || !bytes.Equal(it.Props, want.Props) {
		t.Fatalf("message %d is %q %q %q %q", it.Seq, it.Exchange, it.RoutingKey, it.Props, it.Body)
	}
}

// claim claims up to max messages, waiting for whatever it must.
func claim(t tb, s *Store, q *Queue, max int) []claimed {
	t.Helper()
	got, cold := claimReadable(t, s, q, max)
	if cold {
		t.Fatal("cold, though the disk was allowed")
	}
	return got
}

// claimReadable is claim, and gives up where the disk does.
func claimReadable(t tb, s *Store, q *Queue, max int) (got []claimed, cold bool) {
	t.Helper()
	var c Claim
	defer c.Release()
	for tries := 0; len(got) < max; {
		switch q.Claim(&c, max-len(got), true) {
		case Claimed:
			for i := range c.Items {
				it := &c.Items[i]
				checkItem(t, it)
				got = append(got, claimed{it.Seq, string(it.Body), it.Redelivered, it.Count})
			}
		case Unmarked:
			if err := s.Wait(c.WaitFor); err != nil {
				t.Fatalf("wait for the mark: %v", err)
			}
		case Empty:
			return got, false
		case Cold:
			if tries++; tries == 5 {
				return got, true
			}
		}
	}
	return got, false
}

// bodies lists what claim returned, in short.
func bodies(items []claimed) string {
	var s []string
	for _, it := range items {
		s = append(s, it.String())
	}
	return strings.Join(s, " ")
}

func wantClaim(t tb, s *Store, q *Queue, max int, want string) []claimed {
	t.Helper()
	got := claim(t, s, q, max)
	if bodies(got) != want {
		t.Fatalf("claimed %q, want %q", bodies(got), want)
	}
	return got
}

func wantCounts(t tb, q *Queue, ready, unacked int) {
	t.Helper()
	if r, u, _ := q.Counts(); r != ready || u != unacked {
		t.Fatalf("%d ready, %d unacked, want %d, %d", r, u, ready, unacked)
	}
}

// kill opens the store as a process finds it that comes after one that was
// killed: what was written is there, and nobody said goodbye.
func kill(t tb, s *Store, fs *vfs.Mem, o Options) (*Store, *vfs.Mem) {
	t.Helper()
	if err := s.barrier(); err != nil {
		t.Fatalf("barrier: %v", err)
	}
	again := fs.Restart()
	fs.Cut()
	s.Close()
	o.FS = again
	return open(t, o), again
}

// logTo collects log lines.
func logTo(w *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

var errTest = errors.New("injected")
