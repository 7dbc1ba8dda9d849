package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// spillFiles counts the files of transient messages.
func (p *process) spillFiles(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(p.dir, "spill"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return len(names)
}

func TestTransientMessagesBeyondTheMemoryLimitDrainInOrderAndAreGoneAfterARestart(t *testing.T) {
	const size, count, limit = 16 << 10, 6_144, 64 << 20 // 96 MiB
	dir := t.TempDir()
	p := startBroker(t, dir, "--memory-limit", "64MiB")
	conn := dialTo(t, p.url())
	ch := confirming(t, conn)
	const q = "transient"
	declare := func(ch *amqp.Channel) (messages int) {
		t.Helper()
		state, err := ch.QueueDeclare(q, true, false, false, false, nil)
		must(t, err)
		return state.Messages
	}
	declare(ch)
	fill := func() {
		t.Helper()
		var last *amqp.DeferredConfirmation
		body := bytes.Repeat([]byte("transient "), size/10)
		for i := range count {
			binary.BigEndian.PutUint64(body, uint64(i))
			var err error
			last, err = ch.PublishWithDeferredConfirmWithContext(context.Background(), "", q, false, false, amqp.Publishing{Body: body})
			must(t, err)
			if i%1000 == 999 && !settled(t, last) {
				t.Fatalf("message %d was nacked", i)
			}
		}
		if !settled(t, last) {
			t.Fatal("the last message was nacked")
		}
		if used := p.rss(t); used > limit+32<<20 { // and the program itself
			t.Errorf("%d MiB resident", used>>20)
		}
		if n := p.spillFiles(t); n < 40 {
			t.Errorf("%d files", n)
		}
	}
	fill()
	taker := open(t, conn)
	must(t, taker.Qos(500, 0, false))
	ds := consume(t, taker, q, false)
	for i := range count {
		d := receive(t, ds)
		if n := binary.BigEndian.Uint64(d.Body); n != uint64(i) || d.Redelivered {
			t.Fatalf("message %d, redelivered %v, where %d should be", n, d.Redelivered, i)
		}
		must(t, d.Ack(false))
	}
	for deadline := time.Now().Add(patience); p.spillFiles(t) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are left", p.spillFiles(t))
		}
	}
	must(t, taker.Close())

	fill()
	p.Kill()
	p = startBroker(t, dir)
	if n := p.spillFiles(t); n != 0 {
		t.Errorf("%d files after a restart", n)
	}
	if n := declare(open(t, dialTo(t, p.url()))); n != 0 {
		t.Errorf("%d messages after a restart", n)
	}
}

func TestPublishersAreBlockedWhileMemoryIsLow(t *testing.T) {
	p := startBroker(t, t.TempDir(), "--memory-limit", "1MiB") // the program alone has more
	conn := dialTo(t, p.url())
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	ch := open(t, conn)
	q, err := ch.QueueDeclare("q", true, false, false, false, nil)
	must(t, err)
	for deadline := time.After(patience); ; {
		publish(t, ch, "", q.Name, text("m"))
		select {
		case b := <-blocked:
			if !b.Active || b.Reason != "low on memory" {
				t.Errorf("told %+v", b)
			}
			if code, status, alarm := p.health(t); code != 200 || status != "blocked" || alarm != "low on memory" {
				t.Errorf("%d %s %q, want the alarm", code, status, alarm)
			}
			receive(t, consume(t, open(t, dialTo(t, p.url())), q.Name, true)) // consumers go on
			p.Kill()                                                          // a connection that is not read cannot be closed
			return
		case <-deadline:
			t.Fatal("nothing was said")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
