package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// patience bounds what should take a moment on an idle machine.
const patience = 30 * time.Second

// outcome is what testdata/run.mjs tells of a scenario, one line of JSON each; the first
// line is the plan.
type outcome struct {
	Plan         []string `json:"plan"`
	Name         string   `json:"name"`
	Error        string   `json:"error"`
	Milliseconds float64  `json:"ms"`
	Screenshots  []string `json:"screenshots"`
}

func TestPageInABrowser(t *testing.T) {
	root, err := filepath.Abs("../../..")
	must(t, err)
	shots := filepath.Join(root, "test-output", "page")
	must(t, os.RemoveAll(shots))
	must(t, os.MkdirAll(shots, 0o755))

	b := startBroker(t)
	b.mustHavePage(t)
	traffic(t, b.amqp)

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "run.mjs")
	cmd.Dir = "testdata"
	cmd.Env = append(os.Environ(), "PAGE_URL="+b.http, "AMQP_URL="+b.amqp, "SCREENSHOTS="+shots, "CHROMIUM="+chromium(), "FORCE_COLOR=0")
	// A group of its own: the browser has processes that must not outlive the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	if err := cmd.Start(); err != nil {
		t.Fatalf("node is missing, run internal/e2e/install-clients: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // gone already is fine

	var plan []string
	ended := map[string]outcome{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Errorf("run.mjs: %q: %v", lines.Text(), err)
			continue
		}
		if o.Plan != nil {
			plan = o.Plan
			continue
		}
		ended[o.Name] = o
	}
	err = cmd.Wait()
	if len(plan) == 0 {
		t.Fatalf("no scenario ran: %v\n%s", errors.Join(err, lines.Err(), ctx.Err()), stderr.String())
	}
	for _, name := range plan {
		t.Run(name, func(t *testing.T) {
			o, ok := ended[name]
			if !ok {
				t.Fatalf("it did not end: %v\n%s", errors.Join(err, ctx.Err()), stderr.String())
			}
			t.Logf("%.1f s; screenshots: %s", o.Milliseconds/1000, strings.Join(o.Screenshots, " "))
			if o.Error != "" {
				t.Error(o.Error)
			}
		})
	}
	if err != nil && !t.Failed() {
		t.Errorf("run.mjs: %v\n%s", err, stderr.String())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chromium() string {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	return "/usr/bin/chromium"
}

// broker is a leveret that runs until the test ends.
type broker struct {
	http, amqp string // URLs
}

var ready = regexp.MustCompile(`amqp=(\S+) .*http=(\S+) `)

func startBroker(t *testing.T) *broker {
	t.Helper()
	path, err := child.Build(t.TempDir())
	must(t, err)
	p, err := child.Start(exec.Command(path, "serve", "--data-dir", t.TempDir(), "--amqp-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--metrics-addr", ""))
	must(t, err)
	t.Cleanup(func() {
		if _, err := p.Terminate(); err != nil {
			t.Error(err)
		}
		for _, line := range p.Lines() {
			if strings.HasPrefix(line, "panic:") || strings.Contains(line, "level=ERROR") {
				t.Errorf("the broker's log: %s", line)
			}
		}
		if t.Failed() {
			t.Logf("the broker's log ends with\n%s", p.Log())
		}
	})
	must(t, p.Await(func() bool { return p.ReadyLine() != "" }, patience))
	found := ready.FindStringSubmatch(p.ReadyLine())
	if found == nil {
		t.Fatalf("no addresses in %s", p.ReadyLine())
	}
	return &broker{amqp: "amqp://guest:guest@" + found[1] + "/", http: "http://" + found[2]}
}

// mustHavePage ends the test where the binary was built without the page.
func (b *broker) mustHavePage(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	r, err := client.Get(b.http + "/")
	must(t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	must(t, err)
	if !strings.Contains(string(text), "assets/app-") {
		t.Fatal("this leveret was built without the page: run make ui first")
	}
}

// traffic sends some hundred messages a second through a queue, flow, until the test
// ends, so that there is something to see.
func traffic(t *testing.T, url string) {
	t.Helper()
	conn, err := amqp.DialConfig(url, amqp.Config{Properties: amqp.Table{"connection_name": "traffic"}})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	_, err = ch.QueueDeclare("flow", true, false, false, false, nil)
	must(t, err)
	got, err := ch.Consume("flow", "reader", false, false, false, false, nil)
	must(t, err)
	go func() {
		for d := range got {
			_ = d.Ack(false) // the connection may have ended
		}
	}()
	out, err := conn.Channel()
	must(t, err)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			err := out.PublishWithContext(t.Context(), "", "flow", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, "message ", i)})
			if err != nil {
				return
			}
		}
	}()
}
