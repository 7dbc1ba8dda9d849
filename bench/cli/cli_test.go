package cli

import (
	"bytes"
	"crypto/tls"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/bench"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/internal/certs/certtest"
)

// TestMain is the command itself where a test wants a process to send signals to.
func TestMain(m *testing.M) {
	if os.Getenv("BENCH_COMMAND") != "" {
		cmd := Command()
		cmd.SetArgs(os.Args[1:])
		cmd.SilenceUsage = true
		if cmd.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run is the command's output and exit code.
func run(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	cmd := Command()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	if err := cmd.Execute(); err != nil {
		code = 1
		if coded, ok := err.(interface{ ExitCode() int }); ok {
			code = coded.ExitCode()
		}
		fmt.Fprintln(&stderr, err)
	}
	return stdout.String(), stderr.String(), code
}

func TestPerfTestsSpellingsAreUnderstood(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"-x 1 -y 2 -u throughput-test-1 -a --id test_1 -s 4000 -f persistent", "-x 1 -y 2 -u throughput-test-1 -a --id test_1 -s 4000 -f persistent"},
		{"-qa x-max-length=10 -ms", "--queue-args x-max-length=10 --use-millis"},
		{"-qp q-%d -qpf 1 -qpt 10", "--queue-pattern q-%d --queue-pattern-from 1 --queue-pattern-to 10"},
		{"--queue-pattern q-%d --queue-pattern-from=1", "--queue-pattern q-%d --queue-pattern-from=1"},
		{"-ad false -qq -sb -jb -p -E", "--auto-delete false --quorum-queue --skip-binding-queues --json-body -p -E"},
		{"-ct 5 -st 6 -ca x-priority=10 -mp priority=5", "--confirm-timeout 5 --shutdown-timeout 6 --consumer-args x-priority=10 --message-properties priority=5"},
		{"-uri amqp://h -producers 3", "--uri amqp://h --producers 3"},
		{"-qa=x=1", "--queue-args=x=1"},
		{"-u -ms -ms", "-u -ms --use-millis"},
		{"-x3 -y4 -c -1", "-x3 -y4 -c -1"},
		{"-aq 10 -pms", "-aq 10 -pms"},
		{"--uri h -- -ms", "--uri h -- -ms"},
		{"-hst 10 --heartbeat=5 -l -dcr -x 2", "-x 2"},
		{"flow -ms", "flow --use-millis"},
	} {
		got, _, err := Translate(strings.Fields(c.in))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v, want %s", c.in, got, err, c.want)
		}
	}
	if _, notes, _ := Translate([]string{"-hst", "10"}); len(notes) != 1 {
		t.Errorf("notes %q", notes)
	}
	if _, _, err := Translate([]string{"-vr", "10:5"}); err == nil {
		t.Error("what is not there is taken")
	}
	f := flagSet(&options{})
	for letters, name := range short {
		if f.Lookup(name) == nil {
			t.Errorf("-%s is %s, which is not there", letters, name)
		}
		if hasKey(ignored, letters) || missing[letters] {
			t.Errorf("-%s is there and is not", letters)
		}
	}
	f.VisitAll(func(flag *pflag.Flag) {
		if hasKey(ignored, flag.Name) || missing[flag.Name] || hasKey(ignored, flag.Shorthand) || missing[flag.Shorthand] {
			t.Errorf("--%s is there and is not", flag.Name)
		}
	})
}

// TestFlagsMakeTheConfig has, for what is typed, what is run, in the fields that it
// changes from those of no flags.
func TestFlagsMakeTheConfig(t *testing.T) {
	made := func(line string) (bench.Config, error) {
		o := &options{id: "id"}
		args, _, err := Translate(strings.Fields(line))
		if err != nil {
			return bench.Config{}, err
		}
		f := flagSet(o)
		if err := f.Parse(args); err != nil {
			return bench.Config{}, err
		}
		o.id = "id"
		c, err := o.config()
		if s := byName(f.Arg(0)); err == nil && s != nil {
			err = o.scenario(f, s, &c)
			if err == nil {
				err = valid(s, c)
			}
		} else if err == nil {
			err = c.Validate()
		}
		return c, err
	}
	fields := func(c bench.Config) map[string]string {
		text, _ := json.Marshal(c)
		var all, topology map[string]json.RawMessage
		json.Unmarshal(text, &all)
		json.Unmarshal(all["topology"], &topology)
		delete(all, "topology")
		flat := map[string]string{}
		for k, v := range all {
			flat[k] = string(v)
		}
		for k, v := range topology {
			flat["t."+k] = string(v)
		}
		return flat
	}
	plain, err := made("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want string }{
		{"-x 3 -y 0 -X 2 -Y 5", "consumer_channels=5 consumers=-1 producer_channels=2 producers=3"},
		{"-u q", `t.queues=["q"]`},
		{"-u a,b -k key -e x -t topic", `t.exchange="x" t.queues=["a","b"] t.routing_key="key" t.type="topic"`},
		{"-t fanout", `t.exchange="fanout" t.type="fanout"`},
		{"-e amq.default -u q", `t.exchange="" t.queues=["q"] t.routing_key="q"`},
		{"-s 0", "size=-1"},
		{"-r 12.5 -R 3 -L 250", "consumer_latency=250000 consumer_rate=3 rate=12.5"},
		{"-P 2", "rate=0.5"},
		{"-c 100", "no_confirm=false outstanding=100"},
		{"-a", "auto_ack=true"},
		{"-A 10 -q 20", "ack_every=10 prefetch=20"},
		{"-Q 30", "global_prefetch=30"},
		{"-C 10 -D 20 -z 30", "consumer_messages=20 duration=30000000000 messages=10"},
		{"-f persistent -f mandatory", "mandatory=true t.durable=true transient=false"},
		{"-f persistent,mandatory", "mandatory=true t.durable=true transient=false"},
		{"-qa x-max-length=10", `queue_args="x-max-length=10"`},
		{"-qp q%02d -qpf 9 -qpt 10", `t.queues=["q09","q10"] t.routing_key=- t.spread=true`},
		{"-ms", "wall_clock=true"},
		{"-ad false -p -sb", "t.auto_delete=- t.predeclared=true t.skip_binding=true"},
		{"-E -u q", "t.exclusive=true"},
		{"-qq", `queue_type="quorum" t.auto_delete=- t.durable=true`},
		{"-jb -T text/plain -mp priority=3", `content="json" properties="priority=3,content-type=text/plain"`},
		{"-H amqp://a,amqps://b --insecure", `insecure=true uri="amqp://a,amqps://b"`},
		{"-i 0.5 -d other -o f --html f --json --quiet", ""},
		{"flow", `ack_every=0 consumers=0 duration=10000000000 no_confirm=false prefetch=0 producers=0 scenario="flow" size=100 t.auto_delete=- t.exchange=- t.routing_key=- t.type=- transient=false`},
		{"fanout -y 3 -s 5 -z 1", `ack_every=0 consumers=3 duration=1000000000 no_confirm=false prefetch=0 producers=0 queues=3 scenario="fanout" size=5 t.auto_delete=- t.exchange=- t.routing_key=- t.type=- transient=false`},
		{"transient", `ack_every=0 auto_ack=true consumers=0 duration=10000000000 prefetch=0 producers=0 scenario="flow" size=100 t.auto_delete=- t.exchange=- t.routing_key=- t.type=-`},
		{"topic -y 2 --match 2.5", `ack_every=0 bindings=10000 consumers=2 duration=10000000000 match=2.5 no_confirm=false prefetch=0 producers=0 queues=2 scenario="topic" size=100 t.auto_delete=- t.exchange=- t.routing_key=- t.type=- transient=false`},
		{"one --sync dir -C 5", `ack_every=0 consumers=0 floor_dir="dir" messages=5 no_confirm=false prefetch=0 producers=0 scenario="latency" size=100 t.auto_delete=- t.exchange=- t.routing_key=- t.type=- transient=false`},
		{"latency -f transient -C 5", `ack_every=0 consumers=0 messages=5 no_confirm=false prefetch=0 producers=0 rate=1000 scenario="flow" size=100 t.auto_delete=- t.exchange=- t.routing_key=- t.type=-`},
	} {
		got, err := made(c.line)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		var diff []string
		before, after := fields(plain), fields(got)
		for k, v := range after {
			if before[k] != v {
				diff = append(diff, k+"="+v)
			}
		}
		for k := range before {
			if _, ok := after[k]; !ok {
				diff = append(diff, k+"=-")
			}
		}
		slices.Sort(diff)
		if s := strings.Join(diff, " "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.line, s, c.want)
		}
	}
	for _, line := range []string{
		"-x -1", "-x 0 -y 0", "-f loud", "-qp q", "-qp q%d -qpf 2 -qpt 1", "-qp q -qpf 1 -qpt 2", "-qp q%d -qpf 1 -qpt 2 -u q", "-r 1 -P 1",
		"-q 10 -A 11", "-ad maybe", "-z soon", "-i 0", "-h http://x", "-qa x", "flow -e x", "flow -D 5", "tls -h amqp://x", "flow --keys 5", "topic --match 0.001", "topic -y 101", "direct --keys 10001", "-qq -E", "-m 5", "-c 2000000",
	} {
		if c, err := made(line); err == nil {
			t.Errorf("%s is taken: %+v", line, c)
		}
	}
}

func TestTheDocsListTheFlags(t *testing.T) {
	var b strings.Builder
	b.WriteString("| option | | default |\n|---|---|---|\n")
	flagSet(&options{}).VisitAll(func(f *pflag.Flag) {
		name, about := "`--"+f.Name+"`", f.Usage
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		if rest, ok := strings.CutPrefix(about, "(-"); ok {
			letters, text, _ := strings.Cut(rest, ") ")
			name, about = "`-"+letters+"`, "+name, text
		}
		value := f.DefValue
		if value == "false" || value == "[]" || value == "" {
			value = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, strings.ReplaceAll(about, "|", `\|`), value)
	})
	b.WriteString("\n| scenario | |\n|---|---|\n")
	for _, s := range scenarios {
		fmt.Fprintf(&b, "| `%s` | %s |\n", s.name, s.about)
	}
	const begin, end = "<!-- options: written by go test ./bench/cli -->\n", "<!-- end of options -->\n"
	file := filepath.Join("..", "..", "docs", "bench.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	listed, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the options", file)
	}
	if os.Getenv("LEVERET_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != b.String() {
		t.Errorf("%s is out of date: LEVERET_UPDATE=1 go test ./bench/cli writes it anew", file)
	}
}

// told is a log of a run that never was.
func told() *log {
	o := &options{id: `<b>&"x"`}
	l := newLog(o, byName("flow"), bench.Config{Mandatory: true})
	l.Began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lat := func(ms float64) bench.Latencies {
		return bench.Latencies{Count: 100, Min: ms / 4, P50: ms / 2, P75: ms, P90: ms * 1.5, P95: ms * 2, P99: ms * 3, P999: ms * 4, P9999: ms * 5, Max: ms * 6}
	}
	l.add(bench.Interval{Time: 1, Seconds: 1, Sent: 12000, Confirmed: 11990, Nacked: 5, Returned: 10, Received: 11000, Confirm: lat(0.5), Delivery: lat(1)})
	l.add(bench.Interval{Time: 2.001, Seconds: 1.001, Sent: 15000, Confirmed: 15000, Received: 15500, Confirm: lat(0.7), Delivery: lat(2)})
	l.add(bench.Interval{Time: 4.001, Seconds: 2, Sent: 9, Received: 1, Confirm: lat(0.1)})
	l.Result = &bench.Result{
		Config: bench.Config{URI: "amqp://guest:xxxxx@</pre><script>/", Scenario: bench.Flow}, Seconds: 4, Published: 27009, Confirmed: 26990, Consumed: 26501,
		Nacked: 5, Returned: 10, PublishRate: 6747.5, ConsumeRate: 6625.25, Confirm: lat(0.6), Delivery: lat(1.5), ClientCPU: 0.75,
		DeliveryCurve: []bench.Point{{Percentile: 0, Latency: 0.2, Count: 1}, {Percentile: 50, Latency: 0.75, Count: 50}, {Percentile: 90, Latency: 2, Count: 90}, {Percentile: 99, Latency: 4.5, Count: 99}, {Percentile: 100, Latency: 9, Count: 100}},
		ConfirmCurve:  []bench.Point{{Percentile: 0, Latency: 0.1, Count: 1}, {Percentile: 100, Latency: 3, Count: 100}},
	}
	return l
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("LEVERET_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is written now: look, then LEVERET_UPDATE=1 go test ./bench/cli\n%s", file, got)
	}
}

func TestOutputsAreAsTheyWere(t *testing.T) {
	l := told()
	var lines, rows, whole, html bytes.Buffer
	if err := l.header(&rows); err != nil {
		t.Fatal(err)
	}
	for _, v := range l.Intervals {
		lines.WriteString(l.line(v))
		if err := l.row(&rows, v); err != nil {
			t.Fatal(err)
		}
	}
	lines.WriteString(l.summary())
	l.millis = true
	lines.WriteString(l.line(l.Intervals[1]))
	l.millis = false
	if err := l.writeJSON(&whole); err != nil {
		t.Fatal(err)
	}
	if err := l.report(&html); err != nil {
		t.Fatal(err)
	}
	golden(t, "lines.txt", lines.String())
	golden(t, "rows.csv", rows.String())
	golden(t, "run.json", whole.String())
	golden(t, "report.html", html.String())
	if s := html.String(); strings.Contains(s, "<script") || strings.Contains(s, "<b>") || strings.Contains(s, "http") || strings.Contains(s, "url(") || strings.Contains(s, "NaN") {
		t.Error("the report has names that are not escaped, a script, or an address")
	}
	if all, err := csv.NewReader(&rows).ReadAll(); err != nil || len(all) != 4 || len(all[0]) != 17 || all[1][0] != `<b>&"x"` {
		t.Errorf("CSV %q, %v", all, err)
	}
}

func TestARunThatFailsLeavesNoEmptyReport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	if _, errs, code := run(t, "-h", "amqp://127.0.0.1:1/", "--html", file); code != 5 {
		t.Fatalf("%d: %s", code, errs)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNotMeasuredIsNotSaid(t *testing.T) {
	l := told()
	l.Result.Delivery, l.Result.Confirm = bench.Latencies{}, bench.Latencies{}
	if s := l.summary(); strings.Contains(s, "latency") {
		t.Errorf("latencies of nothing:\n%s", s)
	}
}

func TestALastMomentIsNoPointOfAChart(t *testing.T) {
	l := told()
	n := strings.Count(string(l.rates().svg("", "", "")), ",")
	l.add(bench.Interval{Time: 4.003, Seconds: 0.002, Confirmed: 5})
	if got := strings.Count(string(l.rates().svg("", "", "")), ","); got != n {
		t.Errorf("%d points, want %d", got, n)
	}
}

func TestAReportOfNothingIsDrawn(t *testing.T) {
	l := newLog(&options{id: "none"}, byName("churn-queues"), bench.Config{})
	l.Result = &bench.Result{}
	var b bytes.Buffer
	if err := l.report(&b); err != nil || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestPerfTestsCommandRunsAgainstLeveret(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	dir := t.TempDir()
	rows, page := filepath.Join(dir, "rows.csv"), filepath.Join(dir, "page.html")
	out, errs, code := run(t, "-h", b.URL(), "-x", "2", "-y", "3", "-X", "2", "-qp", "work-%02d", "-qpf", "1", "-qpt", "3", "-C", "500", "-c", "50", "-q", "100",
		"-A", "10", "-f", "persistent", "-f", "mandatory", "-ad", "false", "-qa", "x-max-length=5000", "-d", "mine", "-o", rows, "--html", page, "-hst", "2", "-i", "0.05")
	if code != 0 || !strings.Contains(out, "id: mine, sent: 2000, confirmed: 2000, nacked: 0, returned: 0, received: 2000,") || !strings.Contains(errs, "-hst") {
		t.Fatalf("%d\n%s%s", code, out, errs)
	}
	if !strings.HasPrefix(out, "id: mine, time 0.") || !strings.Contains(out, "min/median/75th/95th/99th consumer latency: ") {
		t.Errorf("lines\n%s", out)
	}
	queues, err := b.Queues("/")
	if err != nil || len(queues) != 3 {
		t.Errorf("%d queues, %v", len(queues), err)
	}
	for _, file := range []string{rows, page} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "mine") {
			t.Errorf("%s: %v\n%s", file, err, text)
		}
	}
}

func TestScenariosRunAgainstLeveret(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	for _, s := range scenarios {
		if s.own || s.name == "tls" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			args := []string{s.name, "-h", b.URL(), "-C", "60", "--json", "-i", "0.05"}
			switch s.name {
			case "latency":
				args = append(args, "-r", "2000")
			case "connections":
				args = append(args, "-x", "20", "-z", "0.05")
			case "topic", "direct":
				args = append(args, "-y", "2", "--bindings", "300")
			case "one":
				args = append(args, "--sync", t.TempDir())
			}
			out, errs, code := run(t, args...)
			var l log
			if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 {
				t.Fatalf("%d, %v\n%s%s", code, err, out, errs)
			}
			if l.Scenario != s.name || l.Result.Published+l.Result.Consumed == 0 || strings.Contains(out, "guest:guest") {
				t.Errorf("%s", out)
			}
			var sent uint64
			for _, v := range l.Intervals {
				sent += v.Sent
				if s.name == "one" && (l.Result.Floor == nil || l.Result.Floor.Ratio <= 0) {
					t.Errorf("floor %+v", l.Result.Floor)
				}
				if s.name == "drain" && v.Delivery.Count > 0 {
					t.Error("a backlog's age is shown as a latency")
				}
			}
			if sent != l.Result.Published {
				t.Errorf("%d in the intervals, %d in all", sent, l.Result.Published)
			}
		})
	}
	if left, err := b.Queues("/"); err != nil || len(left) != 0 {
		t.Errorf("%d queues are left, %v", len(left), err)
	}
}

func TestTheFloorNeedsNoBroker(t *testing.T) {
	out, errs, code := run(t, "floor", "--sync", t.TempDir(), "-z", "0.05", "--json")
	var l log
	if err := json.Unmarshal([]byte(out), &l); err != nil || code != 0 || l.Result.Floor == nil || l.Result.Floor.Milliseconds <= 0 {
		t.Errorf("%d, %v\n%s%s", code, err, out, errs)
	}
	if out, errs, code := run(t, "floor", "--sync", t.TempDir(), "-z", "0.05"); code != 0 || !strings.Contains(out, "fdatasync") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if _, errs, code := run(t, "floor"); code != codeUsage || !strings.Contains(errs, "--sync") {
		t.Errorf("%d, %s", code, errs)
	}
}

func TestABacklogIsKeptAndDrained(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	if out, errs, code := run(t, "backlog", "-h", b.URL(), "-u", "kept", "--keep", "-C", "500"); code != 0 {
		t.Fatal(out, errs)
	}
	if n, err := bench.Depth(t.Context(), b.URL(), "kept"); err != nil || n != 500 {
		t.Fatalf("%d, %v", n, err)
	}
	if out, errs, code := run(t, "drain", "-h", b.URL(), "-u", "kept", "--keep", "-C", "500"); code != 0 || !strings.Contains(out, "received: 500,") {
		t.Fatal(out, errs)
	}
}

func TestTLS(t *testing.T) {
	authority := certtest.NewAuthority(t, "test authority")
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.Options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- b.Server.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{authority.Server().TLS(t)}}))
	}()
	defer func() {
		b.Stop()
		<-served
	}()
	addr := ln.Addr().String()
	uri := "amqps://guest:guest@" + addr + "/"
	if out, errs, code := run(t, "tls", "-h", uri, "-C", "300", "--tls-ca", certtest.WriteFile(t, dir, "ca.pem", authority.PEM)); code != 0 || !strings.Contains(out, "received: 300,") {
		t.Error(out, errs)
	}
	if out, errs, code := run(t, "-h", uri, "-C", "300", "--insecure"); code != 0 {
		t.Error(out, errs)
	}
	if _, errs, code := run(t, "tls", "-h", uri, "-C", "300"); code != 1 || !strings.Contains(errs, "certificate") {
		t.Errorf("%d: a stranger is trusted: %s", code, errs)
	}
	if _, errs, code := run(t, "tls", "-h", uri, "--tls-ca", filepath.Join(dir, "none.pem")); code != 1 {
		t.Errorf("%d %s", code, errs)
	}
}

func TestExitCodesTellWhatHappened(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := free.Addr().String()
	free.Close()
	for _, c := range []struct {
		code int
		args string
	}{
		{0, "-h " + b.URL() + " -C 10"},
		{0, "--help"}, {0, "-?"},
		{1, "-h " + b.URL() + " -C 10 -e nowhere -p -t notype"},
		{2, "-h " + b.URL() + " --nonsense"},
		{2, "-x many"}, {2, "gallop"}, {2, "flow flow"}, {2, "-vr 1:2"}, {2, "-r NaN"}, {2, "topic --bindings 0"}, {2, "topic --match NaN"},
		{4, "-h amqp://guest:wrong@" + b.Addr() + "/"},
		{5, "-h amqp://" + gone + "/"}, {5, "churn-channels -h amqp://" + gone + "/"}, {5, "connections -h amqp://" + gone + "/"},
	} {
		if out, errs, code := run(t, strings.Fields(c.args)...); code != c.code || code != 0 && (out != "" || errs == "") {
			t.Errorf("%s: %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
	}
}

// TestInterruptsEndARun sends a signal to a process of its own.
func TestInterruptsEndARun(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	cmd := exec.Command(os.Args[0], "-h", b.URL(), "-i", "0.02", "-c", "100", "-d", "mine")
	cmd.Env = append(os.Environ(), "BENCH_COMMAND=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	buf, sent := make([]byte, 4096), false
	for {
		n, err := out.Read(buf)
		all.Write(buf[:n])
		if !sent && strings.Contains(all.String(), "received: ") {
			sent = true
			cmd.Process.Signal(syscall.SIGINT)
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(all.String(), "id: mine, sending rate avg: ") {
		t.Errorf("%v\n%s", err, all.String())
	}
}
