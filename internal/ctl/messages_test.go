package ctl

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/audit"
)

// depth is how many messages are ready in a queue.
func (w *world) depth(queue string) int {
	w.t.Helper()
	q, err := w.Queue("/", queue)
	if err != nil {
		w.t.Fatal(err)
	}
	return q.Ready
}

func TestWhatIsPublishedIsConsumed(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	if got := w.run("publish", "--queue", "q", "one hare"); got != "1 message confirmed\n" {
		t.Errorf("%q", got)
	}
	w.runWith("two\nthree\r\n\nfive", "publish", "--queue", "q", "--lines")
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("six\nin two lines\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("publish", "--queue", "q", "--file", file)
	w.runWith("seven", "publish", "--queue", "q", "--count", "2")
	if got, want := w.run("consume", "q", "--count", "8"), "one hare\ntwo\nthree\n\nfive\nsix\nin two lines\n\nseven\nseven\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if n := w.depth("q"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func TestPropertiesAndHeadersGoAndComeBack(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	w.run("binding", "add", "amq.headers", "q", "--arg", "level=3", "--arg", "x-match=all")
	w.run("publish", "--exchange", "amq.headers", "--key", "k", "--header", "level=3", "--header", "on=true", "--header", "who=hare", "--header", "x=1.5",
		"--property", "content_type=text/plain", "--property", "correlation-id=c7", "--property", "priority=4", "--property", "timestamp=1700000000", "hällo")
	w.run("publish", "--queue", "q", "--transient", "\xff\xfe")
	lines := strings.Split(strings.TrimSpace(w.run("consume", "q", "--count", "2", "--json")), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	if want := `{"exchange":"amq.headers","routing_key":"k","redelivered":false,"properties":{"content_type":"text/plain","correlation_id":"c7","delivery_mode":2,"headers":{"level":3,"on":true,"who":"hare","x":1.5},"priority":4,"timestamp":1700000000},"payload":"hällo","payload_encoding":"string","payload_bytes":6}`; lines[0] != want {
		t.Errorf("got  %s\nwant %s", lines[0], want)
	}
	var d delivery
	if err := json.Unmarshal([]byte(lines[1]), &d); err != nil || d.Encoding != "base64" || d.Payload != base64.StdEncoding.EncodeToString([]byte("\xff\xfe")) || d.Properties["delivery_mode"] != 1.0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAMessageThatIsNotTakenIsTold(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "full", "--arg", "x-max-length=1", "--arg", "x-overflow=reject-publish")
	w.refuse(codeNotFound, "1 message of 1 reached no queue (NO_ROUTE)", "publish", "--queue", "nowhere", "x")
	w.run("publish", "--queue", "nowhere", "--no-mandatory", "x")
	w.refuse(codeNotFound, "no exchange 'nowhere'", "publish", "--exchange", "nowhere", "--key", "k", "x")
	w.refuse(codeFailure, "2 messages of 3 refused", "publish", "--queue", "full", "--count", "3", "--window", "1", "x")
	w.refuse(codeNotFound, "30 messages of 30 reached no queue", "publish", "--queue", "nowhere", "--count", "30", "--window", "4", "x")
	w.refuse(codeUsage, "name where it goes", "publish", "x")
	w.refuse(codeUsage, "--queue stands for itself", "publish", "--queue", "q", "--key", "k", "x")
	w.refuse(codeUsage, "none of content_type", "publish", "--queue", "q", "--property", "colour=red", "x")
	w.refuse(codeUsage, "priority is 0 to 255", "publish", "--queue", "q", "--property", "priority=256", "x")
	w.refuse(codeUsage, "is not NAME=VALUE", "publish", "--queue", "q", "--header", "x", "x")
	w.refuse(codeFailure, "no such file", "publish", "--queue", "q", "--file", "/no/such/file")
	var counted map[string]int
	r := execute("", "publish", "--queue", "full", "--json", "x")
	if err := json.Unmarshal([]byte(r.out), &counted); err != nil || counted["refused"] != 1 || r.code != codeFailure {
		t.Errorf("%v, %v, %+v", counted, err, r)
	}
}

func TestConsumingEndsWhenNothingComes(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	if got := w.run("consume", "q", "--idle", "10ms"); got != "" {
		t.Errorf("%q", got)
	}
	w.run("publish", "--queue", "q", "--count", "250", "x")
	if got := w.run("consume", "q", "--count", "120", "--prefetch", "7"); strings.Count(got, "x\n") != 120 {
		t.Errorf("%d lines", strings.Count(got, "\n"))
	}
	if got := w.run("consume", "q", "--idle", "200ms", "--requeue", "--raw"); got != strings.Repeat("x", 130) {
		t.Errorf("%d bytes", len(got))
	}
	file := filepath.Join(t.TempDir(), "out")
	w.run("consume", "q", "--idle", "200ms", "--file", file)
	if got, err := os.ReadFile(file); err != nil || strings.Count(string(got), "x\n") != 130 || w.depth("q") != 0 {
		t.Errorf("%d lines (%v), %d left", strings.Count(string(got), "\n"), err, w.depth("q"))
	}
	w.refuse(codeUsage, "--requeue needs an end", "consume", "q", "--requeue")
	w.refuse(codeUsage, "--prefetch is 1 to 65535", "consume", "q", "--prefetch", "0")
	w.refuse(codeFailure, "no such file", "consume", "q", "--file", "/no/such/file")
}

// brokenPipe takes some bytes and no more.
type brokenPipe struct{ left int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

func TestWhatCouldNotBeWrittenStaysInTheQueue(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	w.runWith(strings.Repeat("0123456789\n", 20), "publish", "--queue", "q", "--lines")
	a := &app{out: &brokenPipe{33}, timeout: 10e9, user: "guest", password: "guest"}
	cmd := a.newConsume()
	a.cmd = cmd
	err := a.consume(t.Context(), &consumeFlags{count: 20, prefetch: 1}, "q")
	if err == nil || !strings.Contains(err.Error(), "what was not written stays in the queue") {
		t.Errorf("%v", err)
	}
	if got := w.run("consume", "q", "--idle", "300ms"); strings.Count(got, "\n") != 17 {
		t.Errorf("%d messages are left of 20, 3 were written", strings.Count(got, "\n"))
	}
}

func TestTheEndOfTheQueueOrTheConnectionIsTold(t *testing.T) {
	w := newWorld(t)
	ended := func(do func()) result {
		t.Helper()
		w.run("queue", "declare", "q")
		done := make(chan result)
		go func() { done <- execute("", "consume", "q") }()
		for {
			if q, err := w.Queue("/", "q"); err == nil && q.Consumers > 0 {
				break
			}
			select {
			case r := <-done:
				t.Fatalf("%+v", r)
			default:
			}
		}
		do()
		return <-done
	}
	if r := ended(func() { w.run("queue", "delete", "q") }); r.code != codeNotFound || r.errs != "the queue was deleted" {
		t.Errorf("%+v", r)
	}
	if r := ended(func() { w.run("connection", "close", "--all", "--reason", "for a test") }); r.code != codeUnavailable || !strings.Contains(r.errs, "for a test") {
		t.Errorf("%+v", r)
	}
}

func TestMessagesAreFetchedAndLookedAt(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	w.run("publish", "--queue", "q", "one\x1b[2J", "--property", "message_id=7")
	w.run("publish", "--queue", "q", strings.Repeat("long ", 50))
	golden(t, "get", w.run("queue", "get", "q", "--count", "5"))
	if w.depth("q") != 2 {
		t.Error("they did not stay")
	}
	peeked := w.run("queue", "peek", "q")
	for _, part := range []string{"POSITION", "ready", "one\\x1b[2J", "250 B"} {
		if !strings.Contains(peeked, part) {
			t.Errorf("%q is not in\n%s", part, peeked)
		}
	}
	w.run("queue", "get", "q", "--ack")
	var found []map[string]any
	if err := json.Unmarshal([]byte(w.run("queue", "get", "q", "--json", "--reject", "--truncate", "4")), &found); err != nil || len(found) != 1 || found[0]["payload"] != "long" {
		t.Errorf("%v, %v", found, err)
	}
	if w.depth("q") != 0 {
		t.Error("they are still there")
	}
	w.refuse(codeUsage, "exclude each other", "queue", "get", "q", "--ack", "--reject")
	w.refuse(codeNotFound, `queue "nowhere" in vhost "/" does not exist`, "queue", "get", "nowhere")
	w.refuse(codeUsage, "must be positive", "queue", "peek", "q", "--count", "0")
}

func TestPeekingGoesThroughPages(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	var lines strings.Builder
	for i := range 2500 {
		fmt.Fprintln(&lines, i)
	}
	w.runWith(lines.String(), "publish", "--queue", "q", "--lines")
	var page struct {
		Items []struct {
			Position int
			Payload  string
		}
		Next *int
	}
	if err := json.Unmarshal([]byte(w.run("queue", "peek", "q", "--position", "100", "--count", "2300", "--json")), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 2300 || page.Items[2299].Payload != "2399" || page.Items[2299].Position != 2399 || page.Next == nil || *page.Next != 2400 {
		t.Errorf("%d messages, next %v", len(page.Items), page.Next)
	}
	r := execute("", "queue", "peek", "q", "--position", "2490", "--count", "4")
	if r.code != 0 || !strings.Contains(r.errs, "of 2,500 messages: --position 2494 shows the next") || strings.Count(r.out, "\n") != 5 {
		t.Errorf("%+v", r)
	}
	if got := w.run("queue", "peek", "q", "--state", "unacked"); strings.Count(got, "\n") != 1 {
		t.Errorf("%s", got)
	}
	if got := w.run("queue", "storage", "q"); !strings.Contains(got, "2,500") {
		t.Errorf("%s", got)
	}
	w.refuse(codeNotFound, `queue "none" in vhost "/" does not exist`, "queue", "storage", "none")
}

// What is in memory alone is not counted as being on disk.
func TestAQueuesStorageTellsMemoryFromDisk(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	w.run("publish", "--queue", "q", "lasting")
	w.run("publish", "--queue", "q", "--transient", "passing")
	w.run("publish", "--queue", "q", "--transient", "passing, too")
	rows := map[string][]string{}
	for line := range strings.Lines(w.run("queue", "storage", "q")) {
		where, rest, _ := strings.Cut(strings.TrimSpace(line), "  ")
		rows[where] = strings.Fields(rest)
	}
	if memory, disk := rows["memory"], rows["on disk"]; len(memory) == 0 || memory[0] != "2" || len(disk) == 0 || disk[0] != "1" {
		t.Errorf("%q", rows)
	}
}

func TestClientsAreListedAndClosed(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	conn, err := amqp.Dial(w.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Consume("q", "tag", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(strings.TrimPrefix(w.run("connection", "list", "--columns", "name"), "name\n"))
	for _, c := range []struct {
		want string
		args []string
	}{
		{"AMQP 0.9.1 Client", []string{"connection", "list"}}, {name + " (1)", []string{"channel", "list"}}, {"tag", []string{"consumer", "list"}},
		{"tag", []string{"consumer", "list", "-p", "/"}}, {name, []string{"connection", "list", "-p", "/"}},
	} {
		if got := w.run(c.args...); !strings.Contains(got, c.want) {
			t.Errorf("%q: %s", c.args, got)
		}
	}
	w.refuse(codeUsage, "name the connections", "connection", "close")
	w.refuse(codeNotFound, `connection "none" does not exist`, "connection", "close", "none")
	if got := w.run("connection", "close", "--of", "nobody"); got != "0 connections closed\n" {
		t.Errorf("%q", got)
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	w.run("connection", "close", name, "--reason", "because")
	if e := <-closed; e == nil || !strings.Contains(e.Reason, "because") {
		t.Errorf("%v", e)
	}
}

func TestDefinitionsLeaveAndComeBack(t *testing.T) {
	w := newWorld(t)
	w.run("vhost", "add", "v")
	w.run("queue", "declare", "kept", "-p", "v")
	dir := t.TempDir()
	file := filepath.Join(dir, "defs.json")
	w.run("definitions", "export", file)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read password hashes", st, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: something was left", entries, err)
	}
	if out := w.run("definitions", "export", "-p", "v"); !json.Valid([]byte(out)) || !strings.Contains(out, `"kept"`) || strings.Contains(out, "password_hash") {
		t.Errorf("%s", out)
	}
	w.run("vhost", "delete", "v")
	w.run("definitions", "import", file)
	if got := w.run("queue", "list", "-p", "v", "--columns", "name"); got != "name\nkept\n" {
		t.Errorf("%q", got)
	}
	one := filepath.Join(t.TempDir(), "one.json")
	if out := w.run("definitions", "export", one, "-p", "v"); strings.Contains(out, "password") {
		t.Error(out)
	}
	w.refuse(codeFailure, "the definitions of one vhost: name the one they are for with -p VHOST", "definitions", "import", one)
	w.run("definitions", "import", one, "-p", "v")
	w.refuse(codeUsage, "is no JSON", "definitions", "import", "/dev/null")
	w.refuse(codeFailure, "no such file", "definitions", "import", "/no/such/file")
	w.refuse(codeNotFound, `vhost "none" does not exist`, "definitions", "export", "-p", "none")
	if r := execute("[1]", "definitions", "import"); r.code == 0 {
		t.Error("a list was imported")
	}
}

func TestTheAuditLogIsShown(t *testing.T) {
	w := newWorld(t)
	trail, err := audit.Open(t.TempDir(), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.SetAudit(trail)
	t.Cleanup(func() {
		if err := trail.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"a", "b", "c"} {
		w.run("vhost", "add", name)
	}
	got := w.run("audit", "--type", "vhost.created", "--count", "2")
	if strings.Count(got, "\n") != 3 || !strings.Contains(got, "vhost.created") || strings.Index(got, "vhost c") > strings.Index(got, "vhost b") {
		t.Errorf("%s", got)
	}
	w.refuse(codeUsage, "shows nothing", "audit", "--count", "0")
}

func TestStatusAndHealth(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	w.run("publish", "--queue", "q", "x")
	if got := w.run("status"); !strings.Contains(got, "Leveret v1, as RabbitMQ") || !strings.Contains(got, "1 queue") {
		t.Errorf("%s", got)
	}
	var all map[string]map[string]any
	if err := json.Unmarshal([]byte(w.run("status", "--json")), &map[string]any{}); err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if got := w.run("health", "--check", "alarms"); got != "alarms: ok\n" {
		t.Errorf("%q", got)
	}
	w.refuse(codeNotFound, `health check "nonsense" does not exist`, "health", "--check", "nonsense")
	w.refuse(codeUnavailable, "", "health", "--check", "port-listener/1")
}
