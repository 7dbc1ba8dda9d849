package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// rabbitmqadmin is RabbitMQ's command for its management API, as Debian's package of
// the server has it: install-clients takes it from there.
const rabbitmqadmin = "testdata/debian/rabbitmqadmin"

// admin calls rabbitmqadmin, and the API to see what it did.
type admin struct {
	t     *testing.T
	base  *url.URL // of the API
	vhost string
	ran   map[string]map[string]bool // arguments that were used, by command
}

// command runs a command and returns what it printed, and its exit code.
func (a *admin) command(stdin string, args ...string) (out string, code int) {
	a.t.Helper()
	all := append([]string{rabbitmqadmin, "-H", a.base.Hostname(), "-P", a.base.Port()}, args...)
	cmd := exec.Command(debianPython, all...)
	cmd.Env = append(os.Environ(), "HOME="+scratch, "PYTHONIOENCODING=utf-8")
	cmd.Stdin = strings.NewReader(stdin)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		a.t.Fatalf("rabbitmqadmin: %v (make deps installs it)", err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

// run runs a command that must succeed and print want, with stdin as its input. What
// comes before the first word without a dash are options.
func (a *admin) run(want, stdin string, args ...string) string {
	a.t.Helper()
	a.note(args)
	out, code := a.command(stdin, args...)
	if code != 0 || !strings.Contains(out, want) {
		a.t.Fatalf("rabbitmqadmin %q: exit code %d, want %q:\n%s", args, code, want, out)
	}
	return out
}

// in is run in the test's vhost.
func (a *admin) in(want string, args ...string) string {
	a.t.Helper()
	return a.run(want, "", append([]string{"-V", a.vhost}, args...)...)
}

// fails runs a command that must be refused.
func (a *admin) fails(want string, args ...string) {
	a.t.Helper()
	out, code := a.command("", args...)
	if code != 1 || !strings.Contains(out, want) {
		a.t.Errorf("rabbitmqadmin %q: exit code %d, want 1 and %q:\n%s", args, code, want, out)
	}
}

// withObject are the verbs that a kind of object follows.
var withObject = []string{"list", "show", "declare", "delete", "close", "purge"}

// note remembers which command was run, with which arguments.
func (a *admin) note(args []string) {
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		args = args[2:]
	}
	name, rest := commandOf(args)
	if a.ran[name] == nil {
		a.ran[name] = map[string]bool{}
	}
	for _, each := range rest {
		if key, _, ok := strings.Cut(each, "="); ok {
			a.ran[name][key] = true
		}
	}
}

func commandOf(words []string) (name string, rest []string) {
	if len(words) > 1 && slices.Contains(withObject, words[0]) {
		return words[0] + " " + words[1], words[2:]
	}
	if len(words) == 0 {
		return "", nil
	}
	return words[0], words[1:]
}

// get asks the API; code is what it must answer.
func (a *admin) get(path string, code int, into any) {
	a.t.Helper()
	r, err := http.NewRequest("GET", a.base.String()+path, nil)
	must(a.t, err)
	r.SetBasicAuth("guest", "guest")
	w, err := http.DefaultClient.Do(r)
	must(a.t, err)
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	must(a.t, err)
	if w.StatusCode != code {
		a.t.Fatalf("GET %s: %d, want %d: %s", path, w.StatusCode, code, body)
	}
	if into != nil {
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		must(a.t, d.Decode(into))
	}
}

// wants compares fields of an object of the API; a field in a field is a.b.
func (a *admin) wants(path string, fields map[string]any) {
	a.t.Helper()
	var got map[string]any
	a.get(path, 200, &got)
	for name, want := range fields {
		v := any(got)
		for key := range strings.SplitSeq(name, "/") {
			m, _ := v.(map[string]any)
			v = m[key]
		}
		if fmt.Sprint(v) != fmt.Sprint(want) {
			a.t.Errorf("GET %s: %s is %v, want %v", path, name, v, want)
		}
	}
}

// eventually runs a command until it prints what is wanted: figures of connections and
// channels are some seconds old in RabbitMQ.
func (a *admin) eventually(want *regexp.Regexp, args ...string) {
	a.t.Helper()
	a.note(args)
	for deadline := time.Now().Add(patience / 2); ; time.Sleep(100 * time.Millisecond) {
		out, code := a.command("", args...)
		if code == 0 && want.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("rabbitmqadmin %q: exit code %d, want %s:\n%s", args, code, want, out)
		}
	}
}

// usage is what "help subcommands" says there is: commands with their arguments.
func (a *admin) usage() map[string][]string {
	a.t.Helper()
	out, _ := a.command("", "help", "subcommands")
	verbs := append([]string{"export", "import", "publish", "get"}, withObject...)
	argument := regexp.MustCompile(`([a-z_-]+)=\.\.\.`)
	found := map[string][]string{"help": nil}
	for line := range strings.SplitSeq(out, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.HasPrefix(line, "  ") || !slices.Contains(verbs, words[0]) {
			continue
		}
		name, _ := commandOf(words)
		found[name] = []string{}
		for _, m := range argument.FindAllStringSubmatch(line, -1) {
			found[name] = append(found[name], m[1])
		}
	}
	return found
}

// Debian's rabbitmqadmin, unmodified, does all that it can do.
func TestClientRabbitmqadmin(t *testing.T) {
	t.Parallel()
	base, err := url.Parse(management(t))
	must(t, err)
	a := &admin{t: t, base: base, vhost: fmt.Sprintf("rabbitmqadmin/é%08x", rand.Uint32()), ran: map[string]map[string]bool{}}
	t.Cleanup(func() {
		a.t = t
		_, _ = a.command("", "delete", "vhost", "name="+a.vhost)
		for _, user := range []string{a.user("1"), a.user("2")} {
			_, _ = a.command("", "delete", "user", "name="+user)
		}
	})
	for _, step := range []struct {
		name string
		do   func(a *admin)
	}{
		{"users and vhosts", adminPeople},
		{"objects", adminObjects},
		{"policies, limits and parameters", adminPolicies},
		{"messages", adminMessages},
		{"connections", adminConnections},
		{"lists", adminLists},
		{"formats", adminFormats},
		{"definitions", adminDefinitions},
		{"options", adminOptions},
		{"refusals", adminRefusals},
		{"deletions", adminDeletions},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			a.t = t
			step.do(a)
		})
		if !ok {
			t.FailNow() // the others stand on it
		}
	}
	a.t = t
	known := a.usage()
	if len(known) < 40 {
		t.Errorf("rabbitmqadmin knows %d commands only: %v", len(known), known)
	}
	for name, arguments := range known {
		used, ok := a.ran[name]
		if !ok {
			t.Errorf("the command %q was not tried", name)
		}
		for _, each := range arguments {
			if !used[each] {
				t.Errorf("the command %q was not tried with the argument %q", name, each)
			}
		}
	}
}

func (a *admin) user(n string) string {
	return strings.NewReplacer("/", "-", "é", "e").Replace(a.vhost) + "-" + n
}

// path is one below the test's vhost.
func (a *admin) path(kind string, names ...string) string {
	path := "/api/" + kind + "/" + url.PathEscape(a.vhost)
	for _, name := range names {
		path += "/" + url.PathEscape(name)
	}
	return path
}

func adminPeople(a *admin) {
	a.run("vhost declared", "", "declare", "vhost", "name="+a.vhost, "tracing=false")
	a.wants(a.path("vhosts"), map[string]any{"name": a.vhost, "tracing": false})
	one, two := a.user("1"), a.user("2")
	a.run("user declared", "", "declare", "user", "name="+one, "password=pass word", "tags=management,policymaker")
	a.wants("/api/users/"+one, map[string]any{"tags": "[management policymaker]"})
	// sha512 of the salt 01 02 03 04 and "s3cret-512"
	a.run("user declared", "", "declare", "user", "name="+two, "tags=monitoring", "hashing_algorithm=rabbit_password_hashing_sha512",
		"password_hash=AQIDBJeSBWvd42/uNJ5klrOuC9n3j+ipTDy9AGSudcLHvYpa72trp2Z0zhtk2N9dWc6GAKLu/I7v6PA8A6P3lSps3EQ=")
	a.wants("/api/users/"+two, map[string]any{"hashing_algorithm": "rabbit_password_hashing_sha512"})
	a.run("permission declared", "", "declare", "permission", "vhost="+a.vhost, "user="+one, "configure=^q", "write=.*", "read=.*")
	a.wants(a.path("permissions", one), map[string]any{"configure": "^q", "write": ".*", "read": ".*"})
	a.run(a.vhost, "", "-u", one, "-p", "pass word", "list", "vhosts")
	a.run(a.vhost, "", "-u", two, "-p", "s3cret-512", "list", "vhosts")
}

func adminObjects(a *admin) {
	var overview map[string]any
	a.get("/api/overview", 200, &overview)
	a.in("exchange declared", "declare", "exchange", "name=x", "type=topic", "auto_delete=false", "durable=true", "internal=false", `arguments={"alternate-exchange":"amq.fanout"}`)
	a.wants(a.path("exchanges", "x"), map[string]any{"type": "topic", "durable": true, "internal": false, "arguments/alternate-exchange": "amq.fanout"})
	a.in("exchange declared", "declare", "exchange", "name=y", "type=fanout", "durable=false", "internal=true")
	a.wants(a.path("exchanges", "y"), map[string]any{"type": "fanout", "durable": false, "internal": true})
	a.in("queue declared", "declare", "queue", "name=q", "auto_delete=false", "durable=true", `arguments={"x-max-priority":5}`, fmt.Sprint("node=", overview["node"]), "queue_type=classic")
	a.wants(a.path("queues", "q"), map[string]any{"durable": true, "arguments/x-max-priority": 5, "arguments/x-queue-type": "classic"})
	a.in("queue declared", "declare", "queue", "name=qq", "queue_type=quorum")
	a.wants(a.path("queues", "qq"), map[string]any{"durable": true, "arguments/x-queue-type": "quorum"})
	a.in("queue declared", "declare", "queue", "name=q", `arguments={"x-max-priority":5}`, "queue_type=classic") // once more
	a.in("binding declared", "declare", "binding", "source=x", "destination=q", "destination_type=queue", "routing_key=a.*", `arguments={"k":1}`)
	a.in("binding declared", "declare", "binding", "source=x", "destination=y", "destination_type=exchange", "routing_key=b")
	a.in("binding declared", "declare", "binding", "source=y", "destination=qq")
	var bindings []map[string]any
	a.get(a.path("bindings")+"/e/x/q/q", 200, &bindings)
	if len(bindings) != 1 || bindings[0]["routing_key"] != "a.*" {
		a.t.Errorf("%v", bindings)
	}
	// Users' commands are bounded by their permissions.
	a.run("queue declared", "", "-u", a.user("1"), "-p", "pass word", "-V", a.vhost, "declare", "queue", "name=q-mine", "auto_delete=true")
	a.fails("Access refused", "-u", a.user("1"), "-p", "pass word", "-V", a.vhost, "declare", "queue", "name=other")
}

func adminPolicies(a *admin) {
	a.in("policy declared", "declare", "policy", "name=p", "pattern=^q", `definition={"max-length":10}`, "priority=3", "apply-to=queues")
	a.wants(a.path("policies", "p"), map[string]any{"pattern": "^q", "definition/max-length": 10, "priority": 3, "apply-to": "queues"})
	a.in("operator_policy declared", "declare", "operator_policy", "name=op", "pattern=.*", `definition={"expires":3600000}`, "priority=1", "apply-to=queues")
	a.wants(a.path("operator-policies", "op"), map[string]any{"definition/expires": 3600000, "priority": 1})
	a.in("parameter declared", "declare", "parameter", "component=vhost-limits", "name=limits", `value={"max-queues":50}`)
	a.wants("/api/parameters/vhost-limits/"+url.PathEscape(a.vhost)+"/limits", map[string]any{"value/max-queues": 50})
	a.run("vhost_limit declared", "", "declare", "vhost_limit", "vhost="+a.vhost, "name=max-connections", "value=20")
	var limits []map[string]any
	a.get(a.path("vhost-limits"), 200, &limits)
	if fmt.Sprint(limits) != fmt.Sprintf("[map[value:map[max-connections:20 max-queues:50] vhost:%s]]", a.vhost) {
		a.t.Errorf("%v", limits)
	}
}

func adminMessages(a *admin) {
	a.in("Message published", "publish", "exchange=x", "routing_key=a.b", "payload=first", `properties={"delivery_mode":2,"headers":{"h":"v"}}`, "payload_encoding=string")
	a.in("Message published", "publish", "routing_key=q", "payload=/wA=", "payload_encoding=base64")
	a.run("Message published", "from the standard input", "-V", a.vhost, "publish", "exchange=amq.default", "routing_key=q")
	if out := a.in("Message published but NOT routed", "publish", "routing_key=nothing", "payload=x"); strings.Contains(out, "***") {
		a.t.Error(out)
	}
	out := a.in("first", "get", "queue=q", "count=10", "ackmode=ack_requeue_true", "encoding=auto")
	if !strings.Contains(out, "/wA=") || !strings.Contains(out, "from the standard input") {
		a.t.Error(out)
	}
	out = a.in("Zmlyc3Q=", "-f", "pretty_json", "get", "queue=q", "count=1", "encoding=base64")
	if !strings.Contains(out, `"payload_encoding": "base64"`) || !strings.Contains(out, `"h": "v"`) {
		a.t.Error(out)
	}
	a.in("True", "get", "queue=q", "ackmode=reject_requeue_true") // redelivered
	file := filepath.Join(a.t.TempDir(), "payload")
	a.in("a.b", "get", "queue=q", "payload_file="+file, "ackmode=ack_requeue_false")
	if text, err := os.ReadFile(file); err != nil || string(text) != "first" {
		a.t.Errorf("%q, %v", text, err)
	}
	a.in("/wA=", "get", "queue=q", "ackmode=reject_requeue_false")
	if out := a.in("from the standard input", "get", "queue=q", "count=5"); strings.Contains(out, "first") || strings.Contains(out, "/wA=") {
		a.t.Errorf("what was taken is there:\n%s", out)
	}
	a.in("queue purged", "purge", "queue", "name=q")
	if out := a.in("No items", "get", "queue=q"); strings.Contains(out, "standard input") {
		a.t.Error(out)
	}
}

func adminConnections(a *admin) {
	conn, err := amqp.DialConfig(brokerURL(a.t), amqp.Config{Vhost: a.vhost, Properties: amqp.Table{"connection_name": "the test's"}})
	must(a.t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	must(a.t, err)
	_, err = ch.Consume("q", "the-consumer", false, false, false, false, nil)
	must(a.t, err)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	name := conn.LocalAddr().String() + " -> " + conn.RemoteAddr().String()
	a.eventually(regexp.MustCompile(regexp.QuoteMeta(name)+` +\| guest +\| 1 `), "list", "connections")
	a.eventually(regexp.MustCompile(regexp.QuoteMeta(name+" (1)")), "list", "channels")
	a.eventually(regexp.MustCompile(`the-consumer`), "-V", a.vhost, "list", "consumers")
	a.run("connection closed", "", "close", "connection", "name="+name)
	select {
	case err := <-closed:
		if err == nil || err.Code != amqp.ConnectionForced || !strings.Contains(err.Reason, "Closed via management plugin") {
			a.t.Errorf("%v", err)
		}
	case <-time.After(patience):
		a.t.Error("the connection stays")
	}
}

func adminLists(a *admin) {
	row := func(cells ...string) *regexp.Regexp {
		var b strings.Builder
		b.WriteString(`(?m)^`)
		for _, c := range cells {
			b.WriteString(`\| +` + c + ` +`)
		}
		return regexp.MustCompile(b.String() + `\|$`)
	}
	vhost := regexp.QuoteMeta(a.vhost)
	for _, c := range []struct {
		args []string
		want *regexp.Regexp
	}{
		{[]string{"-V", a.vhost, "list", "exchanges"}, row("x", "topic")},
		{[]string{"-V", a.vhost, "list", "queues", "name", "durable", "arguments.x-max-priority"}, row("q", "True", "5")},
		{[]string{"-V", a.vhost, "list", "queues"}, row("qq", "0")},
		{[]string{"-V", a.vhost, "list", "bindings"}, row("x", "q", `a\.\*`)},
		{[]string{"list", "users", "name", "tags"}, row(a.user("1"), "management policymaker|"+a.user("1")+" +"+`\| +management.*`)},
		{[]string{"list", "vhosts"}, row(vhost, "0")},
		{[]string{"list", "permissions"}, row(vhost, `\^q`, `\.\*`, a.user("1"), `\.\*`)},
		{[]string{"list", "nodes", "name", "running"}, row(`\S+@\S+`, "True")},
		{[]string{"list", "nodes"}, row(`\S+@\S+`, "disc", `\d+`)},
		{[]string{"list", "parameters", "vhost", "component", "value"}, row(vhost, "vhost-limits", `\{"max-connections": 20, "max-queues": 50\}|`+vhost+` +\| +vhost-limits +\| +\{.*`)},
		{[]string{"list", "policies", "vhost", "name", "definition"}, row(vhost, "p", `\{"max-length": 10\}`)},
		{[]string{"list", "operator_policies", "vhost", "name", "definition"}, row(vhost, "op", `\{"expires": 3600000\}`)},
		{[]string{"list", "vhost_limits"}, regexp.MustCompile(vhost + ` +\| \{"max-`)},
		{[]string{"list", "vhost_limits", "value"}, regexp.MustCompile(`\{"max-`)},
		{[]string{"show", "overview"}, regexp.MustCompile(`rabbitmq_version +\| +cluster_name +\| +queue_totals.messages +\| +object_totals.queues`)},
		{[]string{"show", "overview", "object_totals.exchanges"}, row(`\d+`)},
		{[]string{"-d", "3", "-V", a.vhost, "list", "exchanges"}, regexp.MustCompile(`arguments\.alternate-exchange`)},
	} {
		a.eventually(c.want, c.args...)
	}
	for order, want := range map[string]string{"": "q q-mine qq", "--sort-reverse": "qq q-mine q"} {
		args := []string{"-V", a.vhost, "-f", "bash", "-S", "name"}
		if order != "" {
			args = []string{"-V", a.vhost, "-f", "bash", order, "-S", "name"}
		}
		out, code := a.command("", append(args, "list", "queues", "name")...)
		if got := strings.TrimSpace(out); code != 0 || got != want {
			a.t.Errorf("%q: %d %q, want %q", args, code, got, want)
		}
	}
}

func adminFormats(a *admin) {
	help, _ := a.command("", "--help")
	m := regexp.MustCompile(`one of \[([^\]]*)\]`).FindStringSubmatch(strings.Join(strings.Fields(help), " "))
	if m == nil {
		a.t.Fatalf("no formats in the help: %s", help)
	}
	wants := map[string]string{
		"tsv": "x\ttopic", "long": "name: x\ntype: topic", "table": "| x                  | topic   |", "kvp": `name="x" type="topic"`, "bash": " x y",
	}
	for format := range strings.SplitSeq(m[1], ", ") {
		out := a.in("", "-f", format, "-S", "name", "list", "exchanges", "name", "type")
		if strings.HasSuffix(format, "json") {
			var list []map[string]any
			if err := json.Unmarshal([]byte(out), &list); err != nil || !slices.ContainsFunc(list, func(x map[string]any) bool { return x["name"] == "x" && x["type"] == "topic" }) {
				a.t.Errorf("%s: %v\n%s", format, err, out)
			}
			continue
		}
		if want, ok := wants[format]; !ok || !strings.Contains(out, want) {
			a.t.Errorf("%s (known: %v), want %q:\n%s", format, ok, want, out)
		}
	}
}

func adminDefinitions(a *admin) {
	dir := a.t.TempDir()
	whole, one := filepath.Join(dir, "whole.json"), filepath.Join(dir, "one.json")
	a.run("Exported definitions", "", "export", whole)
	read := func(path string) (d map[string][]map[string]any) {
		text, err := os.ReadFile(path)
		must(a.t, err)
		var all map[string]json.RawMessage
		must(a.t, json.Unmarshal(text, &all))
		d = map[string][]map[string]any{}
		for key, v := range all {
			var list []map[string]any
			if json.Unmarshal(v, &list) == nil {
				d[key] = list
			}
		}
		return d
	}
	d := read(whole)
	for _, key := range []string{"users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies", "queues", "exchanges", "bindings"} {
		if _, ok := d[key]; !ok {
			a.t.Errorf("no %s in the export", key)
		}
	}
	a.in("Exported definitions", "export", one)
	other := a.vhost + "-copy"
	a.run("vhost declared", "", "declare", "vhost", "name="+other)
	defer a.command("", "delete", "vhost", "name="+other)
	a.run("Uploaded definitions", "", "-V", other, "import", one)
	again := filepath.Join(dir, "again.json")
	a.run("Exported definitions", "", "-V", other, "export", again)
	got, want := read(again), read(one)
	for key := range want {
		if len(got[key]) != len(want[key]) {
			a.t.Errorf("%s: %v, want %v", key, got[key], want[key])
		}
	}
	users := filepath.Join(dir, "users.json")
	must(a.t, os.WriteFile(users, []byte(`{"users":[{"name":"`+a.user("2")+`","tags":"policymaker","password_hash":""}]}`), 0o600))
	a.run("Uploaded definitions", "", "import", users)
	a.wants("/api/users/"+a.user("2"), map[string]any{"tags": "[policymaker]"})
}

func adminOptions(a *admin) {
	a.run("rabbitmqadmin [options] subcommand", "", "help")
	a.run("Publishing and Consuming", "", "help", "subcommands")
	a.run("Configuration File", "", "help", "config")
	for flag, want := range map[string]string{"--version": "rabbitmqadmin 3.", "--help": "Usage", "--bash-completion": "_rabbitmqadmin"} {
		if out, code := a.command("", flag); code != 0 || !strings.Contains(out, want) {
			a.t.Errorf("%s: %d %s", flag, code, out)
		}
	}
	config := filepath.Join(a.t.TempDir(), "rabbitmqadmin.conf")
	must(a.t, os.WriteFile(config, []byte("[here]\nusername = "+a.user("1")+"\npassword = pass word\nvhost = "+a.vhost+"\n"), 0o600))
	a.run("q-mine", "", "-c", config, "-N", "here", "-f", "tsv", "list", "queues")
	a.run("q-mine", "", "-U", "http://guest:guest@"+a.base.Host, "-t", "20", "list", "queues")
	if out := a.run("", "", "--path-prefix", "", "list", "queues", "name"); !strings.Contains(out, "q-mine") {
		a.t.Error(out)
	}
	if out, code := a.command("", "-q", "-V", a.vhost, "purge", "queue", "name=q"); code != 0 || out != "" {
		a.t.Errorf("quiet: %d %q", code, out)
	}
}

func adminRefusals(a *admin) {
	a.fails("Access refused", "-u", "guest", "-p", "wrong", "list", "queues")
	a.fails("Not found", "-V", a.vhost, "delete", "queue", "name=missing")
	a.fails("Not found", "-V", a.vhost, "get", "queue=missing")
	a.fails("inequivalent arg 'durable' for queue 'q'", "-V", a.vhost, "declare", "queue", "name=q", "durable=false")
	a.fails("exchange type 'nope'", "-V", a.vhost, "declare", "exchange", "name=z", "type=nope")
	a.fails("not recognised", "-V", a.vhost, "declare", "policy", "name=z", "pattern=a", `definition={"nope":1}`)
	a.fails(`mandatory argument "name" is required`, "declare", "queue")
	bad := filepath.Join(a.t.TempDir(), "bad.json")
	must(a.t, os.WriteFile(bad, []byte(`{"users":`), 0o600))
	a.fails("failed_to_parse_json", "import", bad)
}

func adminDeletions(a *admin) {
	var bindings []map[string]any
	a.get(a.path("bindings")+"/e/x/q/q", 200, &bindings)
	if len(bindings) != 1 {
		a.t.Fatalf("%v", bindings)
	}
	a.in("binding deleted", "delete", "binding", "source=x", "destination_type=queue", "destination=q", fmt.Sprint("properties_key=", bindings[0]["properties_key"]))
	a.in("binding deleted", "delete", "binding", "source=y", "destination_type=queue", "destination=qq")
	a.get(a.path("bindings")+"/e/x/q/q", 200, &bindings)
	if len(bindings) != 0 {
		a.t.Errorf("%v", bindings)
	}
	a.in("exchange deleted", "delete", "exchange", "name=x")
	a.get(a.path("exchanges", "x"), 404, nil)
	a.in("queue deleted", "delete", "queue", "name=q")
	a.get(a.path("queues", "q"), 404, nil)
	a.in("policy deleted", "delete", "policy", "name=p")
	a.get(a.path("policies", "p"), 404, nil)
	a.in("operator_policy deleted", "delete", "operator_policy", "name=op")
	a.get(a.path("operator-policies", "op"), 404, nil)
	a.run("vhost_limit deleted", "", "delete", "vhost_limit", "vhost="+a.vhost, "name=max-connections")
	a.wants("/api/parameters/vhost-limits/"+url.PathEscape(a.vhost)+"/limits", map[string]any{"value": "map[max-queues:50]"})
	a.in("parameter deleted", "delete", "parameter", "component=vhost-limits", "name=limits")
	a.get("/api/parameters/vhost-limits/"+url.PathEscape(a.vhost)+"/limits", 404, nil)
	a.run("permission deleted", "", "delete", "permission", "vhost="+a.vhost, "user="+a.user("1"))
	a.get(a.path("permissions", a.user("1")), 404, nil)
	a.run("user deleted", "", "delete", "user", "name="+a.user("1"))
	a.get("/api/users/"+a.user("1"), 404, nil)
	a.run("vhost deleted", "", "delete", "vhost", "name="+a.vhost)
	a.get(a.path("vhosts"), 404, nil)
}
