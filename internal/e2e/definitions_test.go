package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fetch asks the broker's management API.
func (p *process) fetch(t testing.TB, user, password, path string) (code int, body string) {
	t.Helper()
	at := regexp.MustCompile(` http=([^ ]+)`).FindStringSubmatch(p.ReadyLine())
	if at == nil {
		t.Fatalf("no address of HTTP in %s", p.ReadyLine())
	}
	r, err := http.NewRequest("GET", "http://"+at[1]+path, nil)
	must(t, err)
	r.SetBasicAuth(user, password)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return answer.StatusCode, string(text)
}

// shop is what a RabbitMQ could have exported. The password is "test12", hashed as in
// RabbitMQ's own description of its hashes.
const shop = `{"rabbit_version":"3.10.8",
"users":[{"name":"shop","password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["administrator"],"limits":{}}],
"vhosts":[{"name":"shop"}],
"permissions":[{"user":"shop","vhost":"shop","configure":".*","write":".*","read":".*"}],
"topic_permissions":[],"parameters":[],"global_parameters":[],
"policies":[{"vhost":"shop","name":"bound","pattern":"^o","apply-to":"queues","definition":{"max-length":3},"priority":0}],
"queues":[{"name":"orders","vhost":"shop","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"quorum"}}],
"exchanges":[{"name":"incoming","vhost":"shop","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{}}],
"bindings":[{"source":"incoming","vhost":"shop","destination":"orders","destination_type":"queue","routing_key":"order.#","arguments":{}}]}`

func TestDefinitionsAreThereBeforeClientsAre(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "definitions.json")
	must(t, os.WriteFile(file, []byte(shop), 0o600))
	p := startBroker(t, filepath.Join(dir, "data"), "--load-definitions", file)
	p.awaitLog(t, "definitions imported", 1)
	p.awaitLog(t, "queues=1", 1)
	url := strings.Replace(p.url(), "guest:guest", "shop:test12", 1) + "shop"
	conn := dialTo(t, url)
	if !confirmed(t, confirming(t, conn), "incoming", "order.1", text("one")) {
		t.Error("the message was not taken")
	}
	if conn, err := amqp.Dial(p.url()); err == nil {
		conn.Close()
		t.Error("there is guest, whom the definitions do not have")
	}
	if code, body := p.fetch(t, "shop", "test12", "/api/policies/shop"); code != 200 || !strings.Contains(body, `"max-length":3`) {
		t.Errorf("%d %s", code, body)
	}
	_, body := p.fetch(t, "shop", "test12", "/api/audit")
	var trail struct {
		Items []struct{ Event, Interface string }
	}
	must(t, json.Unmarshal([]byte(body), &trail))
	events := map[string]int{}
	for _, e := range trail.Items {
		if e.Interface == "boot" {
			events[e.Event]++
		}
	}
	if events["user.created"] != 1 || events["vhost.created"] != 1 || events["permission.created"] != 1 || events["policy.created"] != 1 {
		t.Errorf("%v in the audit log: %s", events, body)
	}

	// Again: nothing is made anew, nothing is lost.
	conn.Close()
	if _, err := p.Terminate(); err != nil {
		t.Fatal(err)
	}
	p = startBroker(t, filepath.Join(dir, "data"), "--load-definitions", file)
	url = strings.Replace(p.url(), "guest:guest", "shop:test12", 1) + "shop"
	q, err := open(t, dialTo(t, url)).QueueDeclarePassive("orders", true, false, false, false, nil)
	if err != nil || q.Messages != 1 {
		t.Errorf("%+v %v", q, err)
	}
	if _, body := p.fetch(t, "shop", "test12", "/api/users"); strings.Count(body, `"name"`) != 1 {
		t.Errorf("users: %s", body)
	}
	if _, err := p.Terminate(); err != nil {
		t.Fatal(err)
	}

	// What cannot be imported stops the start, with one line, and changes nothing.
	must(t, os.WriteFile(file, []byte(strings.Replace(shop, `"topic"`, `"nonsense"`, 1)), 0o600))
	stdout, stderr, status := run(t, nil, serveArgs(filepath.Join(dir, "data"), "127.0.0.1:0", "--load-definitions", file, "--log-level", "error")...)
	oneLine(t, stdout, stderr, status, file, "nonsense", "cannot be imported")
	stdout, stderr, status = run(t, nil, serveArgs(filepath.Join(dir, "data"), "127.0.0.1:0", "--load-definitions", file+"x", "--log-level", "error")...)
	oneLine(t, stdout, stderr, status, "no such file")
	startBroker(t, filepath.Join(dir, "data"))
}
