package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

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
	for _, name := range []string{"LEVERET_URL", "LEVERET_USER", "LEVERET_PASSWORD", "LEVERET_VHOST", "LEVERET_AMQP_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("LEVERET_URL", "http://"+l.Addr().String())
	t.Setenv("LEVERET_AMQP_URL", "amqp://"+b.Addr())
	return &world{b, t, "http://" + l.Addr().String()}
}

// result is how a command line ended.
type result struct {
	out, errs string
	code      int
}

// execute runs a command line as cmd/leveret does.
func execute(in string, args ...string) result {
	root := &cobra.Command{Use: "leveret", SilenceErrors: true, SilenceUsage: true}
	root.AddGroup(&cobra.Group{ID: Group})
	root.AddCommand(Commands()...)
	var out, errs bytes.Buffer
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err := root.Execute()
	r := result{out.String(), errs.String(), 0}
	if err != nil {
		r.code, r.errs = codeFailure, r.errs+err.Error()
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			r.code = coded.ExitCode()
		}
	}
	return r
}

// run expects a command line to end well.
func (w *world) run(args ...string) string {
	w.t.Helper()
	return w.runWith("", args...)
}

func (w *world) runWith(in string, args ...string) string {
	w.t.Helper()
	r := execute(in, args...)
	if r.code != 0 {
		w.t.Fatalf("leveret %s: exit code %d: %s", strings.Join(args, " "), r.code, r.errs)
	}
	return r.out
}

// refuse expects a command line to fail with one line, an exit code and words.
func (w *world) refuse(code int, words string, args ...string) {
	w.t.Helper()
	r := execute("", args...)
	if r.code != code || !strings.Contains(r.errs, words) || strings.Contains(r.errs, "\n") || r.out != "" {
		w.t.Errorf("leveret %s: exit code %d, %q, printed %q; want %d and %q", strings.Join(args, " "), r.code, r.errs, r.out, code, words)
	}
}

// golden compares with testdata, or writes it where LEVERET_UPDATE is set.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if os.Getenv("LEVERET_UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestQueuesAreDeclaredListedAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.run("vhost", "add", "兎", "--description", "a hare's")
	w.run("queue", "declare", "orders", "--arg", "x-max-length=1000", "--arg", "x-overflow=drop-head")
	w.run("queue", "declare", "Hase 兎", "-p", "兎", "--transient", "--auto-delete")
	if got, want := w.run("queue", "declare", "orders", "--arg", "x-max-length=1000", "--arg", "x-overflow=drop-head"), "queue \"orders\" was there in vhost \"/\"\n"; got != want {
		t.Errorf("%q", got)
	}
	var queues []map[string]any
	if err := json.Unmarshal([]byte(w.run("queue", "list", "--json")), &queues); err != nil || len(queues) != 2 {
		t.Fatalf("%v, %v", queues, err)
	}
	golden(t, "queue-list", w.run("queue", "list", "--columns", "vhost,name,durable,auto_delete,arguments,messages", "--sort", "name"))
	if got := w.run("queue", "list", "--json", "--columns", "name", "--match", "^o"); strings.Join(strings.Fields(got), "") != `[{"name":"orders"}]` {
		t.Errorf("%s", got)
	}
	if got := w.run("queue", "show", "orders"); !strings.Contains(got, "arguments.x-max-length") || !strings.Contains(got, "1000") {
		t.Errorf("%s", got)
	}
	w.refuse(codeNotFound, `queue "nowhere" in vhost "/" does not exist`, "queue", "show", "nowhere")
	w.refuse(codeFailure, "x-overflow", "queue", "declare", "bad", "--arg", "x-overflow=nonsense")
	w.run("publish", "--queue", "orders", "one")
	w.refuse(codeFailure, "", "queue", "delete", "orders", "--if-empty")
	w.run("queue", "purge", "orders")
	w.run("queue", "delete", "orders", "--if-empty")
	w.refuse(codeNotFound, `queue "orders" in vhost "/" does not exist`, "queue", "delete", "orders")
}

func TestUsersGetTheirPasswordsFromStandardInput(t *testing.T) {
	w := newWorld(t)
	w.runWith("first\n", "user", "add", "ann", "--tags", "management,policymaker")
	w.refuse(codeFailure, `user "ann" exists`, "user", "add", "ann")
	w.refuse(codeUsage, "no password", "user", "add", "bob")
	t.Setenv("LEVERET_USER", "ann")
	t.Setenv("LEVERET_PASSWORD", "first")
	w.run("status")
	t.Setenv("LEVERET_USER", "")
	t.Setenv("LEVERET_PASSWORD", "")
	w.runWith("second", "user", "passwd", "ann")
	golden(t, "user-list", w.run("user", "list"))
	w.run("user", "tags", "ann", "monitoring")
	t.Setenv("LEVERET_USER", "ann")
	t.Setenv("LEVERET_PASSWORD", "first")
	w.refuse(codeRefused, "wrong name or password", "status")
	t.Setenv("LEVERET_PASSWORD", "second") // which new tags leave as it was
	w.run("status")
	w.refuse(codeRefused, `user "ann" may not do this`, "user", "list")
	t.Setenv("LEVERET_PASSWORD", "")
	w.refuse(codeUsage, `no password for user "ann"`, "status")
	t.Setenv("LEVERET_USER", "")
	w.run("user", "delete", "ann")
	w.refuse(codeNotFound, `user "ann" does not exist`, "user", "delete", "ann")
	w.refuse(codeNotFound, `user "ann" does not exist`, "user", "tags", "ann")
}

func TestPermissionsPoliciesAndLimits(t *testing.T) {
	w := newWorld(t)
	w.run("vhost", "add", "v")
	w.runWith("x", "user", "add", "ann")
	w.run("permission", "set", "ann", "^a", ".*", "", "-p", "v")
	w.run("permission", "topic", "set", "ann", "amq.topic", "^w", "^r", "--vhost", "v")
	w.run("policy", "set", "bounded", "^o", "max-length=5", "overflow=drop-head", "--apply-to", "queues", "--priority", "3")
	w.run("policy", "set", "ttl", ".*", `{"message-ttl": 60000}`, "--operator", "-p", "v")
	w.run("limit", "set", "vhost", "v", "max-queues", "7")
	w.run("limit", "set", "user", "ann", "max-channels", "9")
	golden(t, "access", w.run("permission", "list", "--of", "ann")+w.run("permission", "topic", "list")+
		w.run("policy", "list")+w.run("policy", "list", "--operator")+w.run("limit", "list"))
	w.refuse(codeFailure, "nonsense", "policy", "set", "bad", ".*", "nonsense=1")
	w.refuse(codeUsage, `"max-length" is not NAME=VALUE`, "policy", "set", "bad", ".*", "max-length")
	w.refuse(codeUsage, "is neither vhost nor user", "limit", "set", "queue", "q", "max-queues", "1")
	w.refuse(codeNotFound, `policy "none" in vhost "/" does not exist`, "policy", "delete", "none")
	w.run("policy", "delete", "bounded")
	w.run("policy", "delete", "ttl", "--operator", "-p", "v")
	w.run("limit", "clear", "vhost", "v", "max-queues")
	w.run("limit", "clear", "user", "ann", "max-channels")
	w.run("permission", "topic", "clear", "ann", "-p", "v")
	w.run("permission", "clear", "ann", "-p", "v")
	golden(t, "access-empty", w.run("permission", "list", "--of", "ann")+w.run("permission", "topic", "list")+
		w.run("policy", "list")+w.run("policy", "list", "--operator")+w.run("limit", "list"))
}

func TestFieldsThatNoObjectHasAreTold(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "q")
	if r := execute("", "queue", "list", "--columns", "name,nome"); r.code != 0 || r.errs != "leveret: no field \"nome\" in any of these: --json shows all that there are\n" {
		t.Errorf("%+v", r)
	}
	if r := execute("", "queue", "list", "--columns", "name,messages"); r.errs != "" {
		t.Errorf("%+v", r)
	}
}

func TestPatternsAreShownAsTheyWereGiven(t *testing.T) {
	w := newWorld(t)
	if got := w.run("permission", "set", "guest", `^a\.`, `.*`, ``); !strings.Contains(got, `configure "^a\.", write ".*", read ""`) {
		t.Error(got)
	}
}

func TestBindingsAreFoundByTheirKey(t *testing.T) {
	w := newWorld(t)
	w.run("exchange", "declare", "x", "--type", "topic", "--arg", "alternate-exchange=amq.fanout")
	w.run("exchange", "declare", "y", "--type", "fanout", "--internal", "--transient")
	w.run("queue", "declare", "q")
	w.run("binding", "add", "x", "q", "--key", "a.#")
	w.run("binding", "add", "x", "y", "--to-exchange", "--arg", "n=1")
	golden(t, "bindings", w.run("exchange", "list", "--match", "^[xy]$", "--columns", "name,type,durable,internal,arguments")+
		w.run("binding", "list", "--sort", "destination"))
	w.run("binding", "add", "x", "q", "--key", "a.#", "--arg", "n=2")
	w.refuse(codeUsage, "there are 2 bindings with that key", "binding", "delete", "x", "q", "--key", "a.#")
	w.run("binding", "delete", "x", "q", "--properties-key", "a.%23")
	w.run("binding", "delete", "x", "q", "--key", "a.#")
	w.refuse(codeNotFound, "does not exist", "binding", "delete", "x", "q", "--key", "a.#")
	w.refuse(codeNotFound, "nowhere", "binding", "add", "x", "nowhere")
	w.refuse(codeFailure, "", "exchange", "delete", "x", "--if-unused")
	w.run("exchange", "delete", "x")
	w.refuse(codeNotFound, `exchange "x" in vhost "/" does not exist`, "exchange", "delete", "x")
}

func TestExitCodesTellWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.refuse(codeUsage, "unknown command", "queue", "lsit")
	w.refuse(codeUsage, "usage: leveret queue purge NAME", "queue", "purge")
	w.refuse(codeUsage, "an argument is missing: usage: leveret queue peek NAME", "queue", "peek")
	w.refuse(codeUsage, "1 of 2 arguments are missing", "binding", "add", "x")
	w.refuse(codeUsage, `unexpected argument "b"`, "queue", "peek", "a", "b")
	w.refuse(codeUsage, "a password does not stand on the command line", "user", "add", "ann", "secret")
	w.refuse(codeUsage, "is not a URL as http://HOST:15672", "status", "--url", "nonsense")
	w.refuse(codeUsage, "is not a URL as http://HOST:15672", "status", "--url", "127.0.0.1:15672")
	w.refuse(codeUnavailable, "has no management API there", "status", "--url", w.url+"/elsewhere")
	w.refuse(codeUsage, "--timeout", "status", "--timeout", "0s")
	w.refuse(codeUsage, "top needs a terminal", "top")
	w.refuse(codeNotFound, `vhost "nowhere" does not exist`, "queue", "list", "-p", "nowhere")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	w.refuse(codeUnavailable, "is the broker running", "status", "--url", "http://"+address)
	w.refuse(codeUnavailable, "is the broker running", "publish", "--queue", "q", "x", "--amqp-url", "amqp://"+address)
	w.refuse(codeNotFound, "no queue 'nowhere'", "consume", "nowhere")
	w.refuse(codeRefused, "the broker refuses", "consume", "q", "--amqp-url", "amqp://guest:wrong@"+w.Addr())

	tlsServer := httptest.NewTLSServer(nil)
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer tlsServer.Close()
	secure := strings.TrimPrefix(tlsServer.URL, "https://")
	w.refuse(codeUnavailable, "SSL_CERT_FILE", "publish", "--queue", "q", "x", "--amqp-url", "amqps://guest:guest@"+secure)
	w.refuse(codeUnavailable, "amqps:// for TLS?", "publish", "--queue", "q", "x", "--amqp-url", "amqp://guest:guest@"+secure)
	hung := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer slow.Close()
	defer close(hung)
	w.refuse(codeUnavailable, "--timeout waits longer", "status", "--url", slow.URL, "--timeout", "50ms")

	unwell := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusServiceUnavailable)
		_, _ = rw.Write([]byte(`{"status":"failed","error":"the disk is gone"}`))
	}))
	defer unwell.Close()
	w.refuse(codeUnavailable, "the broker is not well: failed: the disk is gone", "health", "--url", unwell.URL)
	w.refuse(codeFailure, "has no GET /health", "health", "--url", w.url+"/elsewhere")
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<html>")) }))
	defer page.Close()
	w.refuse(codeFailure, "is it a management API?", "status", "--url", page.URL)
	if got := w.run("health"); got != "ok\n" {
		t.Errorf("%q", got)
	}
}

func TestCredentialsInTheURLCount(t *testing.T) {
	w := newWorld(t)
	w.runWith("p w", "user", "add", "a/b", "--tags", "administrator")
	w.run("user", "list", "--url", strings.Replace(w.url, "http://", "http://a%2Fb:p%20w@", 1)+"/")
	w.refuse(codeRefused, `user "a/b" is refused`, "user", "list", "--url", strings.Replace(w.url, "http://", "http://a%2Fb:wrong@", 1))
}

func TestShellsCompleteNames(t *testing.T) {
	w := newWorld(t)
	w.run("queue", "declare", "orders")
	w.run("queue", "declare", "other")
	w.run("vhost", "add", "v1")
	w.run("queue", "declare", "deep", "-p", "v1")
	for _, name := range []string{"o$(reboot)1", "o;reboot", "o`reboot`", "o\x1b[2J"} { // which no shell is given
		w.run("queue", "declare", name)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"orders\nother\n", []string{"queue", "purge", ""}},
		{"orders\n", []string{"queue", "get", "or"}},
		{"deep\n", []string{"queue", "delete", "-p", "v1", ""}},
		{"", []string{"queue", "delete", "orders", "--if-empty", "x", ""}},
		{"v1\n", []string{"queue", "list", "--vhost", "v"}},
		{"guest\n", []string{"user", "passwd", ""}},
		{"amq.topic\n", []string{"publish", "--exchange", "amq.to"}},
		{"orders\n", []string{"consume", "ord"}},
		{"max-connections\nmax-queues\n", []string{"limit", "set", "vhost", "v1", ""}},
	} {
		got, _, _ := strings.Cut(w.run(append([]string{"__complete"}, c.args...)...), ":")
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
	t.Setenv("LEVERET_URL", "http://127.0.0.1:1")
	if got := w.run("__complete", "queue", "purge", ""); got != ":4\n" {
		t.Errorf("without a broker: %q", got)
	}
}
