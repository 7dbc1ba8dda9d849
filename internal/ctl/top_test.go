package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// parse makes an object of JSON as the API's.
func parse(t *testing.T, text string) mgmt.Object {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var o mgmt.Object
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

// newView is a view with an answer of a broker that is busy.
func newView(t *testing.T) *top {
	t.Helper()
	client, err := mgmt.New("http://127.0.0.1:15672", mgmt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := &top{app: &app{client: client}, interval: topInterval, by: "rate"}
	n := answer{request: v.request(), total: 3}
	n.overview = parse(t, `{"leveret_version":"1.0","queue_totals":{"messages_ready":1234567,"messages_unacknowledged":42},
		"object_totals":{"queues":3,"consumers":1,"connections":2,"channels":5},
		"message_stats":{"publish_details":{"rate":1500.4},"deliver_get_details":{"rate":0.5}}}`)
	n.nodes = []mgmt.Object{parse(t, `{"name":"leveret@localhost","uptime":93784000,"mem_used":50000000,"mem_limit":1000000000,"disk_free":5000000000}`)}
	n.storage = parse(t, `{"wal":{"fsync":{"count":9,"p50_ms":0.31,"p99_ms":2.25,"max_ms":11},"group":{"mean":17.6}}}`)
	n.queues = []mgmt.Object{
		parse(t, `{"name":"orders","vhost":"/","state":"running","messages":7,"messages_ready":5,"messages_unacknowledged":2,"message_bytes":700,"consumers":1,"message_stats":{"publish_details":{"rate":1500.4},"deliver_get_details":{"rate":0.5},"ack_details":{"rate":0}}}`),
		parse(t, `{"name":"Hase 兎","vhost":"v","state":"running","idle_since":"x","messages":1234560,"messages_ready":1234520,"messages_unacknowledged":40,"message_bytes":99999999,"consumers":0}`),
		parse(t, `{"name":"a\u001b[2Jz","vhost":"/","state":"running","messages":0,"messages_ready":0,"messages_unacknowledged":0,"message_bytes":0,"consumers":0}`),
	}
	v.take(n)
	return v
}

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func TestTheViewFitsTheTerminal(t *testing.T) {
	for _, size := range [][2]int{{120, 20}, {60, 12}, {30, 10}} {
		v := newView(t)
		lines := v.frame(size[0], size[1], noon)
		golden(t, fmt.Sprintf("top-%dx%d", size[0], size[1]), strings.Join(lines, "\n")+"\n")
	}
	for width := 1; width < 140; width += 3 {
		for height := 1; height < 16; height++ {
			v := newView(t)
			lines := v.frame(width, height, noon)
			if len(lines) != height {
				t.Fatalf("%d lines of %d", len(lines), height)
			}
			for _, line := range lines {
				if terminal.Width(line) > width {
					t.Fatalf("%d x %d: %q is too wide", width, height, line)
				}
			}
		}
	}
}

func TestQueuesOfOneNameAreToldApart(t *testing.T) {
	v := newView(t)
	if lines := strings.Join(v.frame(80, 24, noon), "\n"); strings.Contains(lines, "VHOST") {
		t.Errorf("there is room for more that matters:\n%s", lines)
	}
	v.queues = append(v.queues, parse(t, `{"name":"orders","vhost":"shop","messages_ready":1}`))
	lines := v.frame(80, 24, noon)
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "VHOST") || !strings.Contains(text, "shop") || !strings.Contains(text, "READY") {
		t.Error(text)
	}
}

func TestKeysChangeTheView(t *testing.T) {
	v := newView(t)
	first := func() string { return v.queues[0].Text("name") }
	if first() != "orders" {
		t.Errorf("by rate: %s", first())
	}
	for key, want := range map[string]string{"d": "Hase 兎", "u": "Hase 兎", "b": "Hase 兎", "n": "Hase 兎", "r": "orders"} {
		v.by = map[bool]string{true: "depth", false: "rate"}[key == "r"] // anything else
		if quit, again := v.key(key); quit || !again || first() != want {
			t.Errorf("%s: %v, %v, %s", key, quit, again, first())
		}
	}
	v.key("down")
	v.key("down")
	v.key("down")
	if v.offset != 2 {
		t.Errorf("the offset is %d, though there are but three", v.offset)
	}
	v.key("home")
	if v.offset != 0 {
		t.Errorf("%d", v.offset)
	}
	for _, k := range []string{"/", "q", "x", "backspace", "1"} { // q is typed, not obeyed
		if quit, again := v.key(k); quit || again {
			t.Errorf("%s: %v, %v", k, quit, again)
		}
	}
	if got := v.footer(80); got != "filter: q1_" {
		t.Errorf("%q", got)
	}
	if _, again := v.key("enter"); !again || v.request().filter != "q1" {
		t.Errorf("%v, %+v", again, v.request())
	}
	v.key("/")
	if _, again := v.key("esc"); !again || v.filter != "" {
		t.Errorf("%v, %q", again, v.filter)
	}
	if _, again := v.key(" "); again || !v.held || !strings.HasPrefix(v.footer(80), "HELD") {
		t.Error("it is not held")
	}
	if _, again := v.key(" "); !again || v.held {
		t.Error("it is held")
	}
	for range 20 {
		v.key("+")
	}
	if v.interval != minInterval {
		t.Errorf("%s", v.interval)
	}
	for range 20 {
		v.key("-")
	}
	if v.interval != maxInterval {
		t.Errorf("%s", v.interval)
	}
	for _, k := range []string{"q", "ctrl-c", "esc"} {
		if quit, _ := v.key(k); !quit {
			t.Errorf("%s does not quit", k)
		}
	}
}

func TestAnAnswerToAnotherQuestionIsNotShown(t *testing.T) {
	v := newView(t)
	old := answer{request: v.request()}
	v.key("d")
	v.take(old)
	if len(v.queues) != 3 {
		t.Error("the old answer is shown")
	}
	v.take(answer{request: v.request(), err: failed("it is away")})
	if lines := v.frame(80, 20, noon); !strings.Contains(strings.Join(lines, "\n"), "it is away") || !strings.Contains(strings.Join(lines, "\n"), "orders") {
		t.Errorf("the error, and what was known, are to be seen:\n%s", strings.Join(lines, "\n"))
	}
}

func TestKeysAreReadAsTerminalsSendThem(t *testing.T) {
	in := "q\x1b[A\x1b[B\x1b[5~\x1bOHü\r\x7f\x03\x1b[1;5C\x1bxz"
	r := bufio.NewReader(strings.NewReader(in))
	var got []string
	for {
		k, err := readKey(r)
		if err != nil {
			break
		}
		got = append(got, k)
	}
	if want := "q up down pgup home ü enter backspace ctrl-c   z"; strings.Join(got, " ") != want {
		t.Errorf("%q", strings.Join(got, " "))
	}
	if k, err := readKey(bufio.NewReader(strings.NewReader("\x1b"))); err != nil || k != "esc" {
		t.Errorf("%q, %v", k, err)
	}
}

// frames is a screen that hands out what is drawn.
type frames chan string

func (f frames) Write(p []byte) (int, error) {
	f <- string(p)
	return len(p), nil
}

func TestTheViewFollowsTheBrokerAndTheTerminal(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "orders")
	client, err := mgmt.New(w.url, mgmt.Options{User: "guest", Password: "guest"})
	if err != nil {
		t.Fatal(err)
	}
	v := &top{app: &app{client: client, url: w.url}, interval: minInterval, by: "rate"}
	drawn, typed, resized := make(frames), make(chan string), make(chan os.Signal)
	var width atomic.Int32
	width.Store(80)
	done := make(chan error, 1)
	go func() {
		done <- v.loop(context.Background(), screen{drawn, func() (int, int) { return int(width.Load()), 20 }}, typed, resized)
	}()
	until := func(what string) string {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case f := <-drawn:
				if strings.Contains(f, what) {
					return f
				}
			case <-deadline:
				t.Fatalf("%q is not shown", what)
			}
		}
	}
	until("orders")
	w.run("queue", "declare", "later")
	f := until("later") // by itself
	if !strings.HasPrefix(f, beginFrame) || !strings.HasSuffix(f, endFrame) || strings.Count(f, "\r\n") != 19 {
		t.Errorf("%q", f)
	}
	width.Store(30)
	resized <- os.Interrupt
	until("q quit  1-2 of 2 queues  ever…")
	typed <- "q"
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheViewIsPrintedOnce(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "orders")
	if got := w.run("top", "--once"); !strings.Contains(got, "\norders ") || strings.Contains(got, "\x1b") || strings.Contains(got, "q quit") {
		t.Errorf("%s", got)
	}
	var all map[string]any
	if err := json.NewDecoder(bytes.NewReader([]byte(w.run("top", "--once", "--json")))).Decode(&all); err != nil || all["queues"] == nil {
		t.Errorf("%v, %v", all, err)
	}
	w.refuse(codeUsage, "--by", "top", "--by", "colour")
	w.refuse(codeUsage, "--interval", "top", "--interval", "1ms")
}
