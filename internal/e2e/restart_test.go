package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ends are the ways in which a broker's life may end.
var ends = map[string]func(t *testing.T, p *process){
	"SIGTERM": func(t *testing.T, p *process) {
		if status, err := p.Terminate(); err != nil || status != 0 {
			t.Errorf("status %d, %v\n%s", status, err, p.Log())
		}
	},
	"SIGKILL": func(_ *testing.T, p *process) { p.Kill() },
}

func TestRestartKeepsWhatIsDurableAndDropsTheRest(t *testing.T) {
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			p := startBroker(t, filepath.Join(t.TempDir(), "data"))
			conn := dialTo(t, p.url())
			ch := open(t, conn)
			arguments := amqp.Table{"x-max-length": 5, "x-overflow": "reject-publish"}
			_, err := ch.QueueDeclare("durable", true, false, false, false, arguments)
			must(t, err)
			_, err = ch.QueueDeclare("durable-autodelete", true, true, false, false, nil)
			must(t, err)
			_, err = ch.QueueDeclare("transient", false, false, false, false, nil)
			must(t, err)
			_, err = ch.QueueDeclare("durable-exclusive", true, false, true, false, nil)
			must(t, err)
			_, err = ch.QueueDeclare("deleted", true, false, false, false, nil)
			must(t, err)
			must(t, ch.ExchangeDeclare("durable-x", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "fallback"}))
			must(t, ch.ExchangeDeclare("fallback", "fanout", true, false, false, false, nil))
			must(t, ch.ExchangeDeclare("transient-x", "fanout", false, false, false, false, nil))
			bind(t, ch, "durable", "lan.*.#", "durable-x", amqp.Table{"why": "because"})
			bind(t, ch, "durable", "unbound", "durable-x", nil)
			must(t, ch.QueueUnbind("durable", "unbound", "durable-x", nil))
			bind(t, ch, "transient", "#", "durable-x", nil) // goes with its queue
			must(t, ch.ExchangeBind("durable-x", "deep", "amq.direct", false, nil))
			bind(t, ch, "durable", "", "transient-x", nil)
			fill(t, conn, "durable", "one", "two", "three")
			publish(t, ch, "", "durable", amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte("transient")})
			fill(t, conn, "deleted", "gone")
			_, err = ch.QueueDelete("deleted", false, false, false)
			must(t, err)
			// "one" is acked, and surely on disk as such; "two" is held.
			held := confirming(t, conn)
			must(t, get(t, held, "durable").Ack(false))
			get(t, held, "durable")
			fillOn(t, held, "durable-autodelete", "barrier")

			end(t, p)
			p = startBrokerAt(t, p.dir, p.addr)
			conn = dialTo(t, p.url())
			ch = open(t, conn)
			q, err := ch.QueueDeclarePassive("durable", true, false, false, false, nil)
			must(t, err)
			if q.Messages != 2 {
				t.Errorf("%d messages are there, want 2", q.Messages)
			}
			_, err = ch.QueueDeclare("durable", true, false, false, false, arguments)
			must(t, err)
			must(t, ch.ExchangeDeclare("durable-x", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "fallback"}))
			for _, name := range []string{"transient", "durable-exclusive", "deleted"} {
				refused(t, conn, amqp.NotFound, []string{name}, func(ch *amqp.Channel) error {
					_, err := ch.QueueDeclarePassive(name, false, false, false, false, nil)
					return err
				})
			}
			refused(t, conn, amqp.NotFound, []string{"transient-x"}, func(ch *amqp.Channel) error {
				return ch.ExchangeDeclarePassive("transient-x", "fanout", false, false, false, false, nil)
			})

			// The bindings route as before, the limit holds, and order and marks are kept.
			for i, route := range []struct{ exchange, key string }{{"durable-x", "lan.a.b"}, {"durable-x", "unbound"}, {"amq.direct", "deep"}, {"durable-x", "lan.c"}} {
				publish(t, ch, route.exchange, route.key, text(fmt.Sprintf("after-%d", i)))
			}
			fill(t, conn, "durable", "last")
			if confirmed(t, confirming(t, conn), "", "durable", text("too many")) {
				t.Error("the queue's limit is gone")
			}
			ds := receiveAll(t, consume(t, ch, "durable", false), "two", "three", "after-0", "after-3", "last")
			for i, d := range ds {
				// "three" may be marked after a crash, though it need not.
				if i != 1 && d.Redelivered != (i == 0) || i == 1 && how == "SIGTERM" && d.Redelivered {
					t.Errorf("%q: redelivered=%t", d.Body, d.Redelivered)
				}
			}
			must(t, ds[len(ds)-1].Ack(true))
			if d := get(t, ch, "durable-autodelete"); string(d.Body) != "barrier" {
				t.Errorf("got %q", d.Body)
			}
		})
	}
}

// fillOn publishes on a channel in confirm mode and waits.
func fillOn(t testing.TB, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if !confirmed(t, ch, "", queue, text(body)) {
			t.Fatalf("%q was nacked", body)
		}
	}
}

func TestRestartKeepsBodiesAndPropertiesWhole(t *testing.T) {
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			p := startBroker(t, filepath.Join(t.TempDir(), "data"), "--wal-file-size", fmt.Sprint(1<<20))
			ch := confirming(t, dialTo(t, p.url()))
			_, err := ch.QueueDeclare("sizes", true, false, false, false, nil)
			must(t, err)
			sizes := []int{0, 1, 1000, 131064, 300_000, 2 << 20, 5 << 20}
			for i, size := range sizes {
				if !confirmed(t, ch, "", "sizes", amqp.Publishing{
					DeliveryMode: amqp.Persistent, MessageId: fmt.Sprint(i), Priority: 3, ContentType: "x/y",
					Headers: amqp.Table{"size": int64(size), "list": []any{"a", true}}, Body: []byte(strings.Repeat(fmt.Sprint(i), size)),
				}) {
					t.Fatalf("%d bytes were nacked", size)
				}
			}
			end(t, p)
			p = startBrokerAt(t, p.dir, p.addr)
			ch = channelTo(t, p.url())
			for i, size := range sizes {
				d := get(t, ch, "sizes")
				if string(d.Body) != strings.Repeat(fmt.Sprint(i), size) || d.MessageId != fmt.Sprint(i) || d.Priority != 3 ||
					d.ContentType != "x/y" || d.Headers["size"] != int64(size) || d.Redelivered {
					t.Errorf("message %d of %d bytes came back as %d bytes: id %q, headers %v, redelivered=%t", i, size, len(d.Body), d.MessageId, d.Headers, d.Redelivered)
				}
			}
		})
	}
}

// largestLog is the largest file of the log.
func largestLog(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	must(t, err)
	var largest string
	var size int64
	for _, file := range files {
		info, err := os.Stat(file)
		must(t, err)
		if info.Size() > size {
			largest, size = file, info.Size()
		}
	}
	if largest == "" {
		t.Fatalf("no log in %s", dir)
	}
	return largest
}

// Damage in the middle of the log, with whole frames behind it, is not a torn tail: it
// has eaten what was confirmed. The broker says where and does not start, and has
// changed nothing: with the byte put right, everything is there.
func TestRestartRefusesADamagedLogAndLeavesItAlone(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	const n = 100
	fillAndCount(t, p.url(), n)
	p.Kill()
	file := largestLog(t, p.dir)
	whole, err := os.ReadFile(file)
	must(t, err)
	used := len(strings.TrimRight(string(whole), "\x00")) // a file may have been made longer beforehand
	for _, at := range []int{used / 3, used / 2, used * 2 / 3} {
		broken := append([]byte(nil), whole...)
		broken[at] ^= 0x10
		must(t, os.WriteFile(file, broken, 0o644))
		before := listing(t, p.dir)
		stdout, stderr, status := run(t, nil, serveArgs(p.dir, p.addr)...)
		oneLine(t, stdout, stderr, status, filepath.Base(file), "offset", "leveret log salvage --data-dir "+p.dir+" --to ")
		if after := listing(t, p.dir); after != before {
			t.Errorf("the refused start has changed the directory from\n%sto\n%s", before, after)
		}
	}
	must(t, os.WriteFile(file, whole, 0o644))
	p = startBrokerAt(t, p.dir, p.addr)
	receiveAll(t, consume(t, channelTo(t, p.url()), "kept", true), numbered("kept", n)...)
}

// listing is the names and sizes of all files under a directory.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && !entry.IsDir() {
			fmt.Fprintf(&b, "%s %d\n", path, info.Size())
		}
		return err
	}))
	return b.String()
}

// A torn tail is what a power cut leaves of a write that nobody was told of: whatever
// stands before it is there.
func TestRestartAfterATornTail(t *testing.T) {
	const n = 30
	for how, tear := range map[string]func(b []byte) []byte{
		"cut short":         func(b []byte) []byte { return b[:len(b)-3] },
		"a byte turned":     func(b []byte) []byte { b[len(b)-9] ^= 1; return b },
		"zeros behind":      func(b []byte) []byte { return append(b, make([]byte, 5000)...) },
		"noise behind":      func(b []byte) []byte { return append(b, strings.Repeat("\xde\xad", 700)...) },
		"half of a message": func(b []byte) []byte { return append(b, b[len(b)-200:len(b)-90]...) },
	} {
		t.Run(how, func(t *testing.T) {
			p := startBroker(t, filepath.Join(t.TempDir(), "data"))
			fillAndCount(t, p.url(), n)
			p.Kill()
			file := largestLog(t, p.dir)
			whole, err := os.ReadFile(file)
			must(t, err)
			whole = []byte(strings.TrimRight(string(whole), "\x00"))
			must(t, os.WriteFile(file, tear(whole), 0o644))

			p = startBrokerAt(t, p.dir, p.addr)
			conn := dialTo(t, p.url())
			ch := open(t, conn)
			q, err := ch.QueueDeclarePassive("kept", true, false, false, false, nil)
			must(t, err)
			// The last commit may be the one that was torn.
			if q.Messages < n-1 || q.Messages > n {
				t.Fatalf("%d of %d messages are there", q.Messages, n)
			}
			fill(t, conn, "kept", "after")
			p.Kill()
			// And the log goes on behind the tear, for this restart too.
			p = startBrokerAt(t, p.dir, p.addr)
			receiveAll(t, consume(t, channelTo(t, p.url()), "kept", true), append(numbered("kept", q.Messages), "after")...)
		})
	}
}

// The log's files go once nothing in them is wanted, while the broker runs, and a restart
// finds what is left.
func TestRestartAfterMuchTrafficFindsLittleOnDisk(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"), "--wal-file-size", fmt.Sprint(1<<20), "--checkpoint-bytes", fmt.Sprint(1<<19))
	conn := dialTo(t, p.url())
	ch := confirming(t, conn)
	for _, name := range []string{"busy", "idle"} {
		_, err := ch.QueueDeclare(name, true, false, false, false, nil)
		must(t, err)
	}
	fill(t, conn, "idle", numbered("old", 3)...) // in the very first file, and wanted for good
	consumer := open(t, conn)
	must(t, consumer.Qos(500, 0, false))
	ds := consume(t, consumer, "busy", false)
	const messages, size = 20_000, 2000
	waiting := make(chan *amqp.DeferredConfirmation, 500)
	go func() {
		defer close(waiting)
		for range messages {
			c, err := ch.PublishWithDeferredConfirm("", "busy", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: make([]byte, size)})
			if err != nil {
				t.Error(err)
				return
			}
			waiting <- c
		}
	}()
	go func() {
		for c := range waiting {
			<-c.Done()
		}
	}()
	for i := range messages {
		if d := receive(t, ds); i%100 == 99 {
			must(t, d.Ack(true))
		}
	}
	ready(t, ch, "busy", 0)
	const most = 8 << 20 // of 40 MB that went through
	var have int64
	eventually(t, "the log's files to go", patience, func() bool {
		// Files go at a checkpoint, and those come with traffic.
		fillOn(t, ch, "busy", strings.Repeat("x", 50_000))
		must(t, receive(t, ds).Ack(false))
		have = diskUse(t, p.dir)
		return have < most
	})
	p.Kill()
	p = startBrokerAt(t, p.dir, p.addr)
	receiveAll(t, consume(t, channelTo(t, p.url()), "idle", true), numbered("old", 3)...)
}

// diskUse is the bytes of all files under a directory, some of which may go meanwhile.
func diskUse(t testing.TB, dir string) (sum int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			if info, err := entry.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	}))
	return sum
}
