package rabbitmqctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/httpd"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// world is a broker with its management API.
type world struct {
	*brokertest.Broker
	t   *testing.T
	url string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b := brokertest.Start(t, brokertest.Options{})
	s, err := httpd.NewServer(httpd.Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	s.SetListeners([]httpd.Listener{{Protocol: "amqp", Addr: b.Addr()}})
	s.SetBroker(b.Broker)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-served
	})
	t.Setenv("LEVERET_URL", "http://"+l.Addr().String())
	t.Setenv("LEVERET_USER", "")
	t.Setenv("LEVERET_PASSWORD", "")
	return &world{b, t, "http://" + l.Addr().String()}
}

// called executes a command line.
func called(program, in string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Run(program, args, "v1", Streams{strings.NewReader(in), &o, &e})
	return o.String(), e.String(), code
}

// expect runs a command line that must end well.
func (w *world) expect(args ...string) string {
	w.t.Helper()
	out, errs, code := called("rabbitmqctl", "", args...)
	if code != 0 || errs != "" {
		w.t.Fatalf("rabbitmqctl %s: %d, %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// step is a line of a transcript: $ a command, <<< its standard input; or ! a request.
type step struct {
	line string
	want []string // 2> on standard error; = N the exit code
}

// transcript reads what RabbitMQ 3.10.8 answered.
func transcript(t *testing.T, file string) []step {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.HasPrefix(line, "$ ") || strings.HasPrefix(line, "!") {
			steps = append(steps, step{line: line})
			continue
		}
		last := &steps[len(steps)-1]
		last.want = append(last.want, line)
	}
	return steps
}

// shellWords splits a line as a shell does.
func shellWords(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

// request does what a line that begins with ! asks of the API.
func (w *world) request(line string) {
	w.t.Helper()
	parts := strings.SplitN(line[1:], " ", 3)
	r, err := http.NewRequest(parts[0], w.url+parts[1], strings.NewReader(parts[2]))
	if err != nil {
		w.t.Fatal(err)
	}
	r.SetBasicAuth("guest", "guest")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	a.Body.Close()
	if a.StatusCode >= 300 {
		w.t.Fatalf("%s: %d", line, a.StatusCode)
	}
}

// pids are never the same.
var pids = regexp.MustCompile(`<[^ <>]*@[^ <>]*>|#PID<[^<>]*>|amq\.gen-[A-Za-z0-9_-]+|127\.0\.0\.1:\d+|127\.0\.0\.1\t\d+`)

// order puts the rows of lists, which RabbitMQ has in no order, in one.
func order(line string, lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimPrefix(pids.ReplaceAllString(l, "(pid)"), ",")
	}
	if strings.HasPrefix(line, "$ list_") && !strings.Contains(line, "pretty_table") {
		slices.Sort(out)
	}
	return out
}

// play runs a transcript and compares.
func (w *world) play(file string) {
	w.t.Helper()
	for _, s := range transcript(w.t, file) {
		if strings.HasPrefix(s.line, "!") {
			w.request(s.line)
			continue
		}
		line, in, _ := strings.Cut(s.line[2:], " <<< ")
		in = strings.ReplaceAll(in, `\n`, "\n")
		program, args := "rabbitmqctl", shellWords(line)
		if strings.HasPrefix(args[0], "rabbitmq-") {
			program, args = args[0], args[1:]
		}
		out, errs, code := called(program, in, append([]string{"-n", "judge@localhost"}, args...)...)
		_, port, _ := net.SplitHostPort(w.Addr())
		out = strings.ReplaceAll(out, port, "5673") // where RabbitMQ was
		var got []string
		for l := range strings.Lines(out) {
			got = append(got, strings.TrimSuffix(l, "\n"))
		}
		for l := range strings.Lines(errs) {
			got = append(got, "2> "+strings.TrimSuffix(l, "\n"))
		}
		if code != 0 {
			got = append(got, fmt.Sprintf("= %d", code))
		}
		got, want := order(s.line, got), order(s.line, s.want)
		if !slices.Equal(got, want) {
			w.t.Errorf("%s\n%s\ngot\n%s\nwant\n%s", filepath.Base(file), s.line, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestLinesAreAnsweredAsByRabbitMQ(t *testing.T) {
	for _, name := range []string{"users_vhosts", "permissions", "policies_limits", "objects", "forms", "node"} {
		t.Run(name, func(t *testing.T) {
			newWorld(t).play(filepath.Join("testdata", name+".txt"))
		})
	}
}

// enter makes a vhost that guest may enter.
func (w *world) enter(vhost string) {
	w.t.Helper()
	w.expect("add_vhost", vhost)
	if out := w.expect("list_permissions", "-s", "-p", vhost); strings.TrimSpace(out) != "" {
		w.t.Errorf("a new vhost lets in %s", out)
	}
	w.expect("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")
}

// client connects as the client that RabbitMQ was asked about.
func (w *world) client(vhost string) (*amqp.Connection, <-chan amqp.Delivery) {
	w.t.Helper()
	conn, err := amqp.DialConfig("amqp://guest:guest@"+w.Addr(), amqp.Config{Vhost: vhost, Heartbeat: 60e9, Properties: amqp.Table{
		"product": "Pika Python Client Library", "platform": "Python 3.11.2", "information": "See http://pika.rtfd.org", "version": "1.2.0",
		"capabilities": amqp.Table{"authentication_failure_close": true, "basic.nack": true, "connection.blocked": true, "consumer_cancel_notify": true, "publisher_confirms": true},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		w.t.Fatal(err)
	}
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	_, err = ch.QueueDeclare("q1", true, false, false, false, nil)
	must(err)
	must(ch.Confirm(false))
	must(ch.Qos(5, 0, false))
	for i := range 3 {
		c, err := ch.PublishWithDeferredConfirm("", "q1", false, false, amqp.Publishing{Body: []byte(strconv.Itoa(i))})
		must(err)
		if !c.Wait() {
			w.t.Fatal("not confirmed")
		}
	}
	deliveries, err := ch.Consume("q1", "tag one", false, false, false, false, nil)
	must(err)
	for range 3 {
		<-deliveries
	}
	_, err = ch.QueueDeclare("", false, false, true, false, nil)
	must(err)
	return conn, deliveries
}

func TestClientsAreListedAsByRabbitMQ(t *testing.T) {
	w := newWorld(t)
	w.enter("ctlc")
	w.client("ctlc")
	w.play(filepath.Join("testdata", "clients.txt"))
}

func TestAConnectionIsClosedByTheColumnPid(t *testing.T) {
	w := newWorld(t)
	w.enter("ctlc")
	for _, by := range []string{"pid", "name"} {
		conn, _ := w.client("ctlc")
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		id := strings.TrimSpace(w.expect("list_connections", "-s", by))
		if by == "pid" && strings.ContainsAny(id, " \t\n") {
			t.Errorf("%q cannot be a field of awk's", id)
		}
		w.expect("close_connection", id, "for a test")
		if e := <-closed; e == nil || e.Code != 320 || !strings.Contains(e.Reason, "for a test") {
			t.Errorf("by %s: %v", by, e)
		}
	}
	w.expect("close_connection", "<gone@localhost.1.2.0>", "it is not there")
}

func TestAllConnectionsOfAVHostOrAUserAreClosed(t *testing.T) {
	w := newWorld(t)
	w.enter("ctlc")
	for _, args := range [][]string{{"close_all_connections", "-p", "ctlc", "why"}, {"close_all_connections", "--global", "why"}, {"close_all_user_connections", "guest", "why"}} {
		conn, _ := w.client("ctlc")
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		w.expect("close_all_connections", "other words") // of the vhost /
		w.expect("close_all_user_connections", "nobody", "other words")
		w.expect(args...)
		if e := <-closed; e == nil || !strings.HasSuffix(e.Reason, "why") {
			t.Errorf("%s: %v", args, e)
		}
	}
}

func TestABrokerThatIsAwayIsUnavailable(t *testing.T) {
	t.Setenv("LEVERET_URL", "http://127.0.0.1:1")
	for _, args := range [][]string{{"list_queues"}, {"status"}, {"ping"}, {"add_user", "x", "y"}, {"-n", "rabbit@localhost", "list_vhosts"}} {
		if _, errs, code := called("rabbitmqctl", "", args...); code != exitUnavailable || !strings.HasPrefix(errs, "Error: unable to perform an operation on node '") || !strings.Contains(errs, "LEVERET_URL") {
			t.Errorf("%s: %d, %s", args, code, errs)
		}
	}
	if _, errs, code := called("rabbitmqctl", "", "await_startup", "-t", "1"); code != exitTimeout || !strings.Contains(errs, "timed out") {
		t.Errorf("%d, %s", code, errs)
	}
}

func TestUnknownCommandsSaySo(t *testing.T) {
	for line, want := range map[string]string{
		"list_queue":          "Did you mean 'list_queues'?",
		"nonsense":            "Command 'nonsense' not found.",
		"join_cluster rabbit": "Leveret is one node",
		"stop":                "systemctl stop leveret",
		"":                    "Available commands:",
		"--quiet":             "Available commands:",
		"help nonsense":       "Command 'nonsense' not found.",
	} {
		if out, errs, code := called("rabbitmqctl", "", strings.Fields(line)...); code != exitUsage || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: %d, %s", line, code, errs)
		}
	}
	for _, line := range []string{"help", "--help", "help list_queues", "list_queues --help"} {
		if out, _, code := called("rabbitmqctl", "", strings.Fields(line)...); code != 0 || !strings.Contains(out, "rabbitmqctl [--node <node>]") {
			t.Errorf("%s: %d, %s", line, code, out)
		}
	}
}

func TestNoCommandIsBothKnownAndElsewhere(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands() {
		if seen[c.name] || elsewhere[c.name] != "" || !slices.Contains(groups, c.group) || c.short == "" {
			t.Errorf("%s is there twice, or in no group", c.name)
		}
		seen[c.name] = true
	}
}

func TestDefinitionsLeaveAndComeBack(t *testing.T) {
	w := newWorld(t)
	w.expect("add_user", "ann", "secret")
	w.expect("set_user_tags", "ann", "monitoring")
	file := filepath.Join(t.TempDir(), "defs.json")
	w.expect("export_definitions", file)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read password hashes", st, err)
	}
	if out := w.expect("export_definitions", "-"); !json.Valid([]byte(out)) || !strings.Contains(out, `"ann"`) {
		t.Errorf("%s", out)
	}
	w.expect("delete_user", "ann")
	w.expect("import_definitions", file)
	w.expect("authenticate_user", "ann", "secret")
	if _, errs, code := called("rabbitmqctl", "", "import_definitions", "/no/such/file"); code != exitData || !strings.Contains(errs, "File /no/such/file does not exist") {
		t.Errorf("%d, %s", code, errs)
	}
	if _, errs, code := called("rabbitmqctl", "{bad", "import_definitions"); code != exitData || !strings.Contains(errs, "Failed to deserialise") {
		t.Errorf("%d, %s", code, errs)
	}
	if _, _, code := called("rabbitmqctl", "", "export_definitions", "-", "--format", "erlang"); code != exitUsage {
		t.Errorf("%d", code)
	}
}

func TestTheProgramIsKnownByItsName(t *testing.T) {
	for arg, want := range map[string]bool{"rabbitmqctl": true, "/usr/sbin/rabbitmqctl": true, "./rabbitmq-diagnostics": true, "leveret": false, "/x/rabbitmqctl/leveret": false} {
		if Called(arg) != want {
			t.Errorf("%s: %v", arg, !want)
		}
	}
}

// What needs no arguments answers, in every form that it has.
func TestCommandsAnswerInEveryForm(t *testing.T) {
	w := newWorld(t)
	w.enter("ctlc")
	w.client("ctlc")
	for _, cmd := range commands() {
		if cmd.min > 0 || cmd.name == "help" || cmd.name == "import_definitions" || cmd.name == "rotate_logs" {
			continue
		}
		for _, form := range append(formatters, "") {
			args := []string{cmd.name}
			if form != "" {
				args = append(args, "--formatter", form)
			}
			if out := w.expect(args...); form == "json" && strings.HasPrefix(out, "[") && !json.Valid([]byte(out)) {
				t.Errorf("%s: %s", cmd.name, out)
			}
		}
		if cmd.columns != nil {
			w.expect(append([]string{cmd.name, "-p", "ctlc"}, cmd.columns.names()...)...)
			if out := w.expect(append([]string{cmd.name, "-p", "ctlc", "--formatter", "json"}, cmd.columns.names()...)...); !json.Valid([]byte(out)) {
				t.Errorf("%s: %s", cmd.name, out)
			}
		}
	}
	for _, name := range []string{"status", "cluster_status"} {
		if out := w.expect(name, "--formatter", "json"); !json.Valid([]byte(out)) || !strings.Contains(out, `"listeners"`) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestListenersAreKnownByPortAndProtocol(t *testing.T) {
	w := newWorld(t)
	_, port, _ := net.SplitHostPort(w.Addr())
	for line, want := range map[string]string{
		"check_port_listener " + port:  "A listener for port " + port + " is running",
		"check_protocol_listener AMQP": "A listener for protocol AMQP is running",
		"check_port_connectivity":      "Successfully connected to ports " + port,
		"listeners":                    "Interface: 127.0.0.1, port: " + port + ", protocol: amqp, purpose: AMQP 0-9-1",
	} {
		if out := w.expect(strings.Fields(line)...); !strings.Contains(out, want) {
			t.Errorf("%s: %s", line, out)
		}
	}
	for _, line := range []string{"check_port_listener 1", "check_protocol_listener mqtt"} {
		if _, errs, code := called("rabbitmq-diagnostics", "", strings.Fields(line)...); code != exitUnavailable || !strings.Contains(errs, "No listener for ") {
			t.Errorf("%s: %d, %s", line, code, errs)
		}
	}
	if _, _, code := called("rabbitmq-diagnostics", "", "check_port_listener", "many"); code != exitUsage {
		t.Errorf("%d", code)
	}
}

// A column may have any number that Go has.
func TestNumbersOfAnyKindAreShown(t *testing.T) {
	for v, want := range map[any]string{int64(3): "3", 0.5: "0.5", uint16(7): "7"} {
		if got := text(v); got != want {
			t.Errorf("%v is %q", v, got)
		}
	}
}
