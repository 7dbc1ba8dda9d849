package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/inspect"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// dataDir makes a stopped data directory with messages in the log, in a segment
// and in a file of its own.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(dir, store.Options{RetireAge: -1})
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(err)
	defer func() { ok(s.Close()) }()
	do := func(fn func(b *store.Batch)) {
		b := s.NewBatch()
		fn(b)
		lsn, err := s.Apply(b, wal.Lazy, nil)
		ok(err)
		ok(s.Wait(lsn))
	}
	var q *store.Queue
	do(func(b *store.Batch) {
		q = b.CreateQueue(true, store.QueueOptions{})
		b.Put(catalog.Key(catalog.VHost, "/"), nil)
		b.Put(catalog.Key(catalog.Queue, "/", "orders"), catalog.QueueValue(q.ID(), false, nil))
	})
	publish := func(n int) {
		for i := range n {
			m := store.Message{RoutingKey: []byte("orders"), Props: amqp.NoProperties, Body: bytes.Repeat([]byte{byte('a' + i%26)}, 1000), Persistent: true}
			do(func(b *store.Batch) { b.Publish(m, []*store.Queue{q}) })
		}
	}
	publish(300)
	ok(s.Retire(true))
	ok(s.Checkpoint()) // two, and the log's first file goes
	ok(s.Checkpoint())
	publish(20)
	u, err := s.NewUpload(100<<10, true)
	ok(err)
	_, err = u.Write(make([]byte, 100<<10))
	ok(err)
	m := store.Message{RoutingKey: []byte("orders"), Props: amqp.NoProperties, Persistent: true}
	l, err := u.Finish(m)
	ok(err)
	do(func(b *store.Batch) { b.PublishLarge(l, m, []*store.Queue{q}) })
	l.Release()
	return dir
}

// flip damages one byte of the only file that matches.
func flip(t *testing.T, off int64, pattern ...string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v: %v (%v)", pattern, names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x20
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	return names[0]
}

// leveret runs a command line and returns what it prints.
func leveret(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	pipe := func(std **os.File) func() string {
		old := *std
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		*std = w
		got := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			got <- string(b)
		}()
		return func() string {
			*std = old
			w.Close()
			return <-got
		}
	}
	out, errs := pipe(&os.Stdout), pipe(&os.Stderr)
	code = run(args)
	return out(), errs(), code
}

func TestLogOfAWholeDirectory(t *testing.T) {
	dir := dataDir(t)
	out, errs, code := leveret(t, "log", "stat", "--data-dir", dir, "--files")
	if code != 0 || errs != "" {
		t.Fatalf("stat: %d, %q", code, errs)
	}
	for _, want := range []string{
		`(?m)^orders +/ +1 +321 +`, `(?m)^segments +1 `, `(?m)^large bodies +1 +100\.\d KiB`, `(?m)^FILE +SIZE +LIVE`,
		`(?m)^segments/\d+\.seg `, `(?m)^checkpoint +number \d+`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("stat lacks %s:\n%s", want, out)
		}
	}
	aligned(t, out)

	out, errs, code = leveret(t, "log", "verify", "--data-dir", dir)
	if code != 0 || errs != "" || strings.Count(out, " ok\n") != 6 {
		t.Errorf("verify: %d, %q\n%s", code, errs, out)
	}
	out, errs, code = leveret(t, "log", "dump", "--data-dir", dir, "--queue", "orders", "--bodies")
	if code != 0 || errs != "" {
		t.Errorf("dump: %d, %q", code, errs)
	}
	for line := range strings.Lines(out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil || v["kind"] == "" {
			t.Errorf("dump: %q: %v", line, err)
		}
	}
	if n := strings.Count(out, `"kind":"publish"`); n != 20 {
		t.Errorf("dump has %d publishes", n)
	}
	to := filepath.Join(t.TempDir(), "new")
	out, errs, code = leveret(t, "log", "salvage", "--data-dir", dir, "--to", to)
	if code != 0 || errs != "" || !strings.Contains(out, "saved     321 messages in 1 queue") || !strings.Contains(out, "lost      no message") {
		t.Errorf("salvage: %d, %q\n%s", code, errs, out)
	}
	if out, errs, code = leveret(t, "log", "verify", "--data-dir", to); code != 0 {
		t.Errorf("verify of what was saved: %d, %q\n%s", code, errs, out)
	}
	// JSON.
	var st inspect.Stat
	out, _, code = leveret(t, "log", "stat", "--data-dir", to, "--json")
	if err := json.Unmarshal([]byte(out), &st); err != nil || code != 0 || len(st.Queues) != 1 || st.Queues[0].Messages != 321 || st.Queues[0].Name.Queue != "orders" {
		t.Errorf("stat --json: %d, %v\n%s", code, err, out)
	}
}

// aligned checks that the columns that are aligned to the right end together.
func aligned(t *testing.T, out string) {
	t.Helper()
	end := -1
	for line := range strings.Lines(out) {
		if i := strings.Index(line, "SIZE"); i > 0 && strings.Contains(line, "FILES") {
			end = i + len("SIZE")
		} else if strings.TrimSpace(line) == "" {
			end = -1
		} else if end > 0 && (len(line) < end || line[end-1] == ' ' || line[end] != ' ') {
			t.Errorf("column SIZE should end at %d: %q", end, line)
		}
	}
}

func TestLogOfABrokenDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		harm    func(t *testing.T, dir string) string // returns the file
		refused bool
		lost    string
	}{
		"log":      {func(t *testing.T, dir string) string { return flip(t, 2000, dir, "wal", "*.wal") }, false, "lost      1 message"},
		"segment":  {func(t *testing.T, dir string) string { return flip(t, 200, dir, "segments", "*.seg") }, false, "lost: "},
		"large":    {func(t *testing.T, dir string) string { return flip(t, 2000, dir, "large", "*.msg") }, false, "lost      1 message"},
		"catalog":  {func(t *testing.T, dir string) string { return flip(t, 60, dir, "catalog-*") }, true, "topology  parts of the catalog"},
		"segments": {func(t *testing.T, dir string) string { return remove(t, dir, "segments", "*.seg") }, true, "lost      300 messages"},
		"all logs": {func(t *testing.T, dir string) string {
			remove(t, dir, "wal", "*.wal")
			return filepath.Join(dir, "wal")
		}, true, "lost      20 messages"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := dataDir(t)
			file := c.harm(t, dir)
			out, errs, code := leveret(t, "log", "verify", "--data-dir", dir)
			if code != exitFailure || !strings.Contains(out, file) || strings.Count(errs, "\n") != 1 {
				t.Errorf("verify: %d, %q\n%s", code, errs, out)
			}
			want := "a broker starts from it"
			if c.refused {
				want = "leveret log salvage --data-dir " + dir + " --to NEW-DIRECTORY"
			}
			if !strings.Contains(errs, want) {
				t.Errorf("verify says %q, and not %q", errs, want)
			}
			if _, _, code := leveret(t, "log", "stat", "--data-dir", dir); code != 0 {
				t.Errorf("stat: %d", code)
			}
			to := filepath.Join(t.TempDir(), "new")
			out, errs, code = leveret(t, "log", "salvage", "--data-dir", dir, "--to", to)
			if code != 0 || errs != "" || !strings.Contains(out, c.lost) || !strings.Contains(out, "saved ") {
				t.Errorf("salvage: %d, %q\n%s", code, errs, out)
			}
			if out, errs, code = leveret(t, "log", "verify", "--data-dir", to); code != 0 {
				t.Errorf("verify of what was saved: %d, %q\n%s", code, errs, out)
			}
		})
	}
}

func remove(t *testing.T, pattern ...string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v: %v (%v)", pattern, names, err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	return names[0]
}

func TestLogWithWrongArguments(t *testing.T) {
	empty := t.TempDir()
	full := dataDir(t)
	for args, c := range map[string]struct {
		code int
		want string
	}{
		"log frob":                               {exitUsage, `unknown command "frob": see leveret log --help`},
		"list_queues":                            {exitUsage, `"list_queues" is a command of rabbitmqctl: make a link of that name to leveret`},
		"queues":                                 {exitUsage, `unknown command "queues": see leveret --help`},
		"log stat surplus":                       {exitUsage, "unexpected argument"},
		"log stat --nonsense":                    {exitUsage, "unknown flag"},
		"log salvage":                            {exitUsage, "--to is missing"},
		"log dump --from x":                      {exitUsage, "invalid argument"},
		"log dump --from 20 --to 10":             {exitUsage, "--to 10 is before --from 20"},
		"log stat --data-dir /no/such/directory": {exitFailure, "/no/such/directory: no Leveret data here"},
		"log verify --data-dir " + empty:         {exitFailure, "name the data directory with --data-dir"},
		"log salvage --to x --data-dir " + empty: {exitFailure, "no Leveret data here"},
		"log salvage --data-dir " + full + " --to " + full: {exitFailure, "salvage to somewhere else"},
	} {
		out, errs, code := leveret(t, strings.Fields(args)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("leveret %s: %d, %q, %q; want %d, %q", args, code, out, errs, c.code, c.want)
		}
	}
	if out, _, code := leveret(t, "log"); code != 0 || !strings.Contains(out, "salvage") {
		t.Errorf("leveret log: %d, %q", code, out)
	}
}
