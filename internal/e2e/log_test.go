package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// stat is what the tests need of `leveret log stat --json`.
type stat struct {
	Queues []struct {
		VHost, Name string
		Messages    int
	}
	Segments, Log, Large struct {
		Files int
	}
	Problems []any
}

func logStat(t *testing.T, dir string) (st stat) {
	t.Helper()
	stdout, stderr, status := run(t, nil, "log", "stat", "--data-dir", dir, "--json")
	if status != 0 || stderr != "" {
		t.Fatalf("stat: status %d, %s", status, stderr)
	}
	must(t, json.Unmarshal([]byte(stdout), &st))
	return st
}

// The tools look at a directory while a broker publishes, retires and compacts in
// it, and after it was killed; and a broker starts from what they save of it.
func TestLogToolsWithARunningBroker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startBroker(t, dir, "--wal-file-size", "1000000", "--wal-budget", "2000000", "--checkpoint-bytes", "500000", "--large-bytes", "100000")
	conn := dialTo(t, p.url())
	ch := confirming(t, conn)
	q := durableQueue(t, ch, "tools", nil)
	body := strings.Repeat("some text that a segment may well compress. ", 20)
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			var last *amqp.DeferredConfirmation
			for range 200 {
				text := fmt.Sprintf("%d %s", n, body)
				if n%1000 == 0 {
					text += strings.Repeat("x", 150_000)
				}
				c, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{DeliveryMode: 2, Body: []byte(text)})
				if err != nil {
					t.Error(err)
					return
				}
				last = c
				n++
			}
			if !last.Wait() {
				t.Error("a publish was refused")
				return
			}
		}
	}()
	for i, sealed := 0, 0; i < 5 || sealed < 2 && i < 200; i++ {
		stdout, stderr, status := run(t, nil, "log", "verify", "--data-dir", dir)
		if status != 0 {
			t.Errorf("verify: status %d, %s\n%s", status, stderr, stdout)
		}
		st := logStat(t, dir)
		if sealed = st.Segments.Files; len(st.Problems) > 0 {
			t.Errorf("stat: %+v", st)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	n := <-done
	st := logStat(t, dir)
	if len(st.Queues) != 1 || st.Queues[0].Name != q || st.Queues[0].Messages != n {
		t.Errorf("%d messages were confirmed, and stat says %+v", n, st.Queues)
	}
	p.Kill()
	if stdout, stderr, status := run(t, nil, "log", "verify", "--data-dir", dir); status != 0 {
		t.Errorf("verify of what was killed: status %d, %s\n%s", status, stderr, stdout)
	}
	stdout, stderr, status := run(t, nil, "log", "dump", "--data-dir", dir, "--queue", q)
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, `{"lsn":`) {
		t.Errorf("dump: status %d, %s", status, stderr)
	}

	// One byte of the largest segment, or of the log where there is none, goes.
	victim, size := "", int64(0)
	files, err := filepath.Glob(filepath.Join(dir, "segments", "*.seg"))
	must(t, err)
	for _, name := range files {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			victim, size = name, info.Size()
		}
	}
	if victim == "" {
		t.Fatalf("nothing was retired: %+v", st)
	}
	f, err := os.OpenFile(victim, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{0xde, 0xad}, size/2)
	must(t, err)
	must(t, f.Close())
	stdout, stderr, status = run(t, nil, "log", "verify", "--data-dir", dir)
	if status != 1 || !strings.Contains(stdout, victim) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("verify of a broken segment: status %d, %s\n%s", status, stderr, stdout)
	}
	to := filepath.Join(t.TempDir(), "new")
	stdout, stderr, status = run(t, nil, "log", "salvage", "--data-dir", dir, "--to", to, "--json")
	var report struct {
		Messages int
		Lost     int `json:"lost_messages"`
	}
	if status != 0 || stderr != "" || json.Unmarshal([]byte(stdout), &report) != nil {
		t.Fatalf("salvage: status %d, %s\n%s", status, stderr, stdout)
	}
	if report.Lost == 0 || report.Lost > 2000 || report.Messages+report.Lost != n {
		t.Errorf("of %d messages %d were saved, and %d lost", n, report.Messages, report.Lost)
	}
	p = startBroker(t, to)
	ch = open(t, dialTo(t, p.url()))
	ready(t, ch, q, report.Messages)
	if d := get(t, ch, q); !d.Redelivered && string(d.Body[:2]) != "0 " {
		t.Errorf("the first message is %.20q", d.Body)
	}
}
