package httpd

import (
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
)

// audited is newManaged with an audit log.
func audited(t *testing.T) *managed {
	m := newManaged(t)
	log, err := audit.Open(filepath.Join(t.TempDir(), "audit"), audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	m.b.SetAudit(log)
	return m
}

// auditPage reads GET /api/audit.
func (m *managed) auditPage(query string) (p audit.Page) {
	m.t.Helper()
	w := m.as("guest", "GET", "/api/audit"+query, "")
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		m.t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return p
}

func TestChangesStandInTheAuditLogWithWhoMadeThem(t *testing.T) {
	m := audited(t)
	if w := m.as("guest", "GET", "/api/audit", ""); w.Body.String() != `{"items":[],"first":0,"last":0,"next":null}` {
		t.Errorf("%s", w.Body)
	}
	const policy = `{"pattern":"^a","definition":{"max-length":1}}`
	const binding = `{"routing_key":"k"}`
	for _, c := range []struct{ method, path, body, event, object, detail string }{
		{"PUT", "/api/users/u1", `{"password":"secret","tags":"management"}`, "user.created", "user u1 ", `{"tags":["management"]}`},
		{"PUT", "/api/users/u1", `{"password":"secret2","tags":""}`, "user.changed", "user u1 ", `{"password_changed":true,"tags":[],"tags_before":["management"]}`},
		{"PUT", "/api/user-limits/u1/max-channels", `{"value":5}`, "user_limit.changed", "user u1 ", `{"limit":"max-channels","value":5}`},
		{"DELETE", "/api/user-limits/u1/max-channels", ``, "user_limit.deleted", "user u1 ", `{"limit":"max-channels"}`},
		{"PUT", "/api/vhosts/v", `{"description":"d"}`, "permission.created", "permission guest v", `{"configure":".*","read":".*","write":".*"}`}, // to who made it, after vhost.created
		{"PUT", "/api/vhosts/v", `{"description":"e"}`, "vhost.changed", "vhost v ", `{"description":"e","tags":[]}`},
		{"PUT", "/api/vhost-limits/v/max-queues", `{"value":5}`, "vhost_limit.changed", "vhost v ", `{"limit":"max-queues","value":5}`},
		{"DELETE", "/api/vhost-limits/v/max-queues", ``, "vhost_limit.deleted", "vhost v ", `{"limit":"max-queues"}`},
		{"PUT", "/api/permissions/v/u1", `{"configure":"a","write":"b","read":"c"}`, "permission.created", "permission u1 v", `{"configure":"a","read":"c","write":"b"}`},
		{"PUT", "/api/permissions/v/u1", `{"configure":"","write":"b","read":"c"}`, "permission.changed", "permission u1 v", `{"configure":"","read":"c","write":"b"}`},
		{"PUT", "/api/topic-permissions/v/u1", `{"exchange":"amq.topic","write":"b","read":"c"}`, "topic_permission.created", "topic_permission u1 v", `{"exchange":"amq.topic","read":"c","write":"b"}`},
		{"DELETE", "/api/topic-permissions/v/u1", ``, "topic_permission.deleted", "topic_permission u1 v", `{"exchanges":[]}`},
		{"DELETE", "/api/permissions/v/u1", ``, "permission.deleted", "permission u1 v", `{}`},
		{"PUT", "/api/policies/%2F/p", policy, "policy.created", "policy p /", `{"apply-to":"all","definition":{"max-length":1},"pattern":"^a","priority":0}`},
		{"DELETE", "/api/policies/%2F/p", ``, "policy.deleted", "policy p /", `{}`},
		{"PUT", "/api/operator-policies/%2F/p", policy, "operator_policy.created", "operator_policy p /", `{"apply-to":"all","definition":{"max-length":1},"pattern":"^a","priority":0}`},
		{"DELETE", "/api/operator-policies/%2F/p", ``, "operator_policy.deleted", "operator_policy p /", `{}`},
		{"PUT", "/api/queues/%2F/q", `{}`, "queue.created", "queue q /", `{}`},
		{"PUT", "/api/exchanges/%2F/x", `{}`, "exchange.created", "exchange x /", `{}`},
		{"POST", "/api/bindings/%2F/e/x/q/q", binding, "binding.created", "binding  /", `{"destination":"q","source":"x"}`},
		{"DELETE", "/api/bindings/%2F/e/x/q/q/k", ``, "binding.deleted", "binding k /", `{"destination":"q","source":"x"}`},
		{"DELETE", "/api/queues/%2F/q/contents", ``, "queue.purged", "queue q /", `{}`},
		{"DELETE", "/api/queues/%2F/q", ``, "queue.deleted", "queue q /", `{}`},
		{"DELETE", "/api/exchanges/%2F/x", ``, "exchange.deleted", "exchange x /", `{}`},
		{"DELETE", "/api/vhosts/v", ``, "vhost.deleted", "vhost v ", `{}`},
		{"POST", "/api/users/bulk-delete", `{"users":["u1"]}`, "user.deleted", "user u1 ", `{}`},
	} {
		before := m.auditPage("?count=1").Last
		if w := m.as("guest", c.method, c.path, c.body); w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
		p := m.auditPage("?count=1")
		if p.Last != before+1 && (c.path != "/api/vhosts/v" || p.Last != before+2 || m.auditPage("?type=vhost.created").Items[0].Index != before+1) {
			t.Errorf("%s %s made %d entries", c.method, c.path, p.Last-before)
			continue
		}
		e := p.Items[0]
		detail, _ := json.Marshal(e.Detail)
		if e.Event.Event != c.event || e.Object.Type+" "+e.Object.Name+" "+e.Object.VHost != c.object || string(detail) != c.detail {
			t.Errorf("%s %s: %q %+v %s", c.method, c.path, e.Event.Event, e.Object, detail)
		}
		if e.User != "guest" || e.From != "127.0.0.1:1234" || e.Interface != "http" {
			t.Errorf("%s %s is by %+v", c.method, c.path, e)
		}
	}
	// What changes nothing, or was refused for its value, has no entry.
	before := m.auditPage("?count=1").Last
	m.as("guest", "PUT", "/api/queues/%2F/q", `{}`)
	m.as("guest", "POST", "/api/exchanges/%2F/amq.default/publish", `{"properties":{},"routing_key":"q","payload":"m","payload_encoding":"string"}`)
	m.as("guest", "POST", "/api/queues/%2F/q/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`)
	m.as("guest", "PUT", "/api/users/u1", `{}`)
	m.as("guest", "DELETE", "/api/users/nobody", ``)
	if p := m.auditPage("?count=1"); p.Last != before+1 {
		t.Errorf("%d entries: %+v", p.Last-before, p.Items)
	}
	all := m.auditPage("?count=1000")
	for _, e := range all.Items {
		if text, _ := json.Marshal(e); strings.Contains(string(text), "secret") || strings.Contains(string(text), "argon2") {
			t.Errorf("a password or hash: %s", text)
		}
	}
}

// Whatever the API can change is told of, unless the lists in audit.go say otherwise.
func TestEveryChangeHasAnEvent(t *testing.T) {
	exempt := []string{
		"POST /api/exchanges/{vhost}/{exchange}/publish", "POST /api/queues/{vhost}/{queue}/get", "POST /api/queues/{vhost}/{queue}/actions",
	}
	for path, res := range resources {
		for method := range res.methods() {
			if method == "GET" || told[strings.Split(path, "/")[2]] || slices.Contains(exempt, method+" "+path) {
				continue
			}
			var paths router
			paths.add(path, res.methods())
			r := httptest.NewRequest(method, strings.NewReplacer("{", "", "}", "").Replace(path), nil)
			if paths.find(r) == nil {
				t.Fatalf("%s is not found", path)
			}
			c := &call{r: r, user: access.User{Name: "u"}}
			if e, ok := c.changed(204); !ok || e.Object.Type == "" || strings.HasPrefix(e.Event, ".") {
				t.Errorf("%s %s: %+v", method, path, e)
			}
		}
	}
}

func TestRefusalsStandInTheAuditLog(t *testing.T) {
	m := audited(t)
	m.as("nobody", "GET", "/api/whoami", "")
	m.as("umanagement", "PUT", "/api/users/x", `{"tags":""}`)
	m.as("umanagement", "GET", "/api/users", "")
	m.as("umanagement", "PUT", "/api/queues/%2F/q", `{}`)
	r := httptest.NewRequest("GET", "/api/whoami", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.SetBasicAuth("guest", "guest")
	m.s.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
	var got []string
	for _, e := range m.auditPage("?count=10").Items {
		got = append(got, strings.Join([]string{e.Event.Event, e.User, e.From, e.Object.Type, e.Object.Name}, " "))
	}
	slices.Sort(got)
	want := []string{
		"access.refused umanagement 127.0.0.1:1234 path /api/queues/%2F/q", "access.refused umanagement 127.0.0.1:1234 path /api/users/x",
		"login.refused guest 192.0.2.1:1 user guest", "login.refused nobody 127.0.0.1:1234 user nobody",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for query, n := range map[string]int{"?type=login": 2, "?type=login.refused": 2, "?type=access": 2, "?type=user": 0, "?before=2": 1, "?count=3": 3} {
		if p := m.auditPage(query); len(p.Items) != n {
			t.Errorf("%s has %d entries", query, len(p.Items))
		}
	}
	m.expect("GET", "/api/audit?before=x", "", 400, bad(`"before should be a number from 0 to 9223372036854775807, actually was 'x'"`))
	m.expect("GET", "/api/audit?count=1001", "", 400, bad(`"count should be a number from 0 to 1000, actually was '1001'"`))
	if w := m.as("umonitoring", "GET", "/api/audit", ""); w.Code != 401 {
		t.Errorf("monitoring may read it: %d", w.Code)
	}
	for i, c := range m.b.Logins() {
		if c.Protocol != []string{"amqp091", "http"}[i] || i == 0 && c.Attempts > 0 || i == 1 && (c.Attempts < 10 || c.Failed != 2) {
			t.Errorf("%+v", c)
		}
	}
}
