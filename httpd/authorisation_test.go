package httpd

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/brokertest"
)

// Who may do what over HTTP, all of it: every method of every path, for each kind of
// user, in a vhost that it has permissions in and in one that it has not. What is
// expected is what RabbitMQ 3.10.8 did, which stands in testdata/authorisation.tsv,
// and of what only Leveret has, what stands here. What is found is docs/authorisation.md.
//
//	AUTHORISATION_UPDATE=1 go test -run Authorisation ./httpd
//	    writes the page
//	AUTHORISATION_JUDGE=http://127.0.0.1:15672 AUTHORISATION_AMQP=amqp://guest:guest@127.0.0.1/ go test -run Authorisation ./httpd
//	    asks a RabbitMQ, whose users, vhosts and objects named authorisation… it makes
//	    and removes, and writes the table

const (
	authorisationTable = "testdata/authorisation.tsv"
	authorisationPage  = "../docs/authorisation.md"
)

// asker is a kind of user, or nobody.
type asker struct {
	name  string
	tag   string // of the user that it is; "-": there is none
	login bool   // it sends a password
	wrong bool   // which is wrong
}

var askers = []asker{
	{name: "no login", tag: "-"},
	{name: "wrong password", tag: "administrator", login: true, wrong: true},
	{name: "no tag", login: true},
	{name: "impersonator", tag: "impersonator", login: true},
	{name: "management", tag: "management", login: true},
	{name: "policymaker", tag: "policymaker", login: true},
	{name: "monitoring", tag: "monitoring", login: true},
	{name: "administrator", tag: "administrator", login: true},
}

// Names in the broker under test. All users have permissions in inside, none in outside.
const (
	authPrefix = "authorisation-"
	inside     = authPrefix + "in"
	outside    = authPrefix + "out"
	authTarget = authPrefix + "target" // a user that is changed
	authSecret = "test12"
	authHash   = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR" // of it, SHA-256, quick to check
)

func (a asker) user() string { return authPrefix + "user-" + a.tag }

// subject is a broker's management API, and where it speaks AMQP.
type subject struct {
	do   func(user, password, method, path, body string) (code int, text string)
	amqp string
	node string // its name
	ours bool   // it is the one under test
	conn *amqp.Connection
}

func (m *managed) ask(user, password, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:15672"
	r.Header.Set("Content-Type", "application/json")
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	w := httptest.NewRecorder()
	m.s.http.Handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// connect gives the subject a connection of guest's with a channel, which the API has
// come to know.
func (s *subject) connect(t *testing.T, path string) (name string) {
	t.Helper()
	known := ""
	for range 2000 {
		if s.conn == nil || s.conn.IsClosed() {
			conn, err := amqp.Dial(s.amqp)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := conn.Channel(); err != nil {
				t.Fatal(err)
			}
			s.conn = conn
		}
		name = s.conn.LocalAddr().String() + " -> " + s.conn.RemoteAddr().String()
		known = "/api/connections/" + url.PathEscape(name)
		if strings.HasPrefix(path, "/api/channels") {
			name += " (1)"
			known = "/api/channels/" + url.PathEscape(name)
		}
		if code, _ := s.do("guest", "guest", "GET", known, ""); code == 200 {
			return name
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s is not there", known)
	return ""
}

// prepare makes users, vhosts and what is in them.
func (s *subject) prepare(t *testing.T) {
	t.Helper()
	must := func(method, path, body string) {
		t.Helper()
		if code, text := s.do("guest", "guest", method, path, body); code >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, code, text)
		}
	}
	_, overview := s.do("guest", "guest", "GET", "/api/overview?columns=node", "")
	if err := json.Unmarshal([]byte(overview), &struct{ Node *string }{&s.node}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{inside, outside} {
		must("PUT", "/api/vhosts/"+v, "{}")
		must("PUT", "/api/permissions/"+v+"/guest", `{"configure":".*","write":".*","read":".*"}`)
	}
	for _, a := range askers {
		if a.tag == "-" || a.wrong {
			continue
		}
		must("PUT", "/api/users/"+a.user(), `{"password_hash":"`+authHash+`","tags":"`+a.tag+`"}`)
		must("PUT", "/api/permissions/"+inside+"/"+a.user(), `{"configure":".*","write":".*","read":".*"}`)
	}
	for _, e := range objects {
		for _, v := range []string{inside, outside} {
			s.restore(t, e.path, v)
		}
	}
}

// objects are made before each request that may be about them, since the one before may
// have deleted them. Those of the first path are there for all others.
var objects = []struct{ path, method, make, body string }{
	{"/api/users/{user}", "PUT", "/api/users/" + authTarget, `{"password_hash":"` + authHash + `","tags":""}`},
	{"/api/queues/{vhost}/{queue}", "PUT", "/api/queues/{vhost}/q", `{"durable":true}`},
	{"/api/exchanges/{vhost}/{exchange}", "PUT", "/api/exchanges/{vhost}/x", `{"type":"topic","durable":true}`},
	{"/api/bindings/{vhost}/e/{source}/q/{queue}", "POST", "/api/bindings/{vhost}/e/x/q/q", `{"routing_key":"k"}`},
	{"/api/bindings/{vhost}/e/{source}/e/{exchange}", "POST", "/api/bindings/{vhost}/e/x/e/amq.fanout", `{"routing_key":"k"}`},
	{"/api/policies/{vhost}/{name}", "PUT", "/api/policies/{vhost}/p", `{"pattern":"^nothing$","definition":{"max-length":1}}`},
	{"/api/operator-policies/{vhost}/{name}", "PUT", "/api/operator-policies/{vhost}/p", `{"pattern":"^nothing$","definition":{"max-length":1}}`},
	{"/api/permissions/{vhost}/{user}", "PUT", "/api/permissions/{vhost}/" + authTarget, `{"configure":"","write":"","read":""}`},
	{"/api/topic-permissions/{vhost}/{user}", "PUT", "/api/topic-permissions/{vhost}/" + authTarget, `{"exchange":"x","write":"","read":""}`},
	{"/api/vhost-limits/{vhost}/{name}", "PUT", "/api/vhost-limits/{vhost}/max-connections", `{"value":1000}`},
	{"/api/user-limits/{user}/{name}", "PUT", "/api/user-limits/" + authTarget + "/max-connections", `{"value":1000}`},
	{"/api/global-parameters/{name}", "PUT", "/api/global-parameters/" + authTarget, `{"value":1}`},
}

// restore makes what a path names, and who is needed for it.
func (s *subject) restore(t *testing.T, path, vhost string) {
	t.Helper()
	for i, o := range objects {
		if i > 0 && !strings.HasPrefix(path, o.path) || i == 0 && !strings.Contains(path, "{user}") {
			continue
		}
		if code, text := s.do("guest", "guest", o.method, strings.ReplaceAll(o.make, "{vhost}", vhost), o.body); code >= 300 {
			t.Fatalf("%s: %d %s", o.make, code, text)
		}
	}
}

func (s *subject) remove() {
	for _, v := range []string{inside, outside, authTarget} {
		s.do("guest", "guest", "DELETE", "/api/vhosts/"+v, "")
	}
	for _, a := range askers {
		s.do("guest", "guest", "DELETE", "/api/users/"+a.user(), "")
	}
	for _, u := range []string{authTarget, authTarget + "-new"} {
		s.do("guest", "guest", "DELETE", "/api/users/"+u, "")
	}
	s.do("guest", "guest", "DELETE", "/api/global-parameters/"+authTarget, "")
}

// names are what stands for the names in a path.
func (s *subject) names(t *testing.T, path string) map[string]string {
	t.Helper()
	n := map[string]string{
		"user": authTarget, "queue": "q", "exchange": "x", "source": "x", "name": "nothing", "component": "federation-upstream",
		"node": s.node, "within": "1", "unit": "days", "port": "1", "protocol": "amqp",
	}
	switch {
	case strings.Contains(path, "/policies/"), strings.Contains(path, "/operator-policies/"):
		n["name"] = "p"
	case strings.Contains(path, "/bindings/"):
		n["name"] = "k"
	case strings.Contains(path, "-limits/"):
		n["name"] = "max-connections"
	case strings.HasPrefix(path, "/api/topic-permissions/"):
		n["name"] = "x"
	case strings.HasPrefix(path, "/api/global-parameters"):
		n["name"] = authTarget
	case strings.HasPrefix(path, "/api/connections/{name}"):
		n["name"] = url.PathEscape(s.connect(t, path))
	case strings.HasPrefix(path, "/api/channels/{name}"):
		n["name"] = url.PathEscape(s.connect(t, path))
	}
	if strings.Contains(path, "/e/{source}/e/{exchange}") {
		n["exchange"] = "amq.fanout"
	}
	return n
}

// bodies are what PUT and POST send, by the beginning of the path.
var bodies = []struct{ method, prefix, suffix, body string }{
	{"PUT", "/api/users/", "", `{"password_hash":"` + authHash + `","tags":""}`},
	{"PUT", "/api/permissions/", "", `{"configure":"","write":"","read":""}`},
	{"PUT", "/api/topic-permissions/", "", `{"exchange":"x","write":"","read":""}`},
	{"PUT", "/api/policies/", "", `{"pattern":"^nothing$","definition":{"max-length":1}}`},
	{"PUT", "/api/operator-policies/", "", `{"pattern":"^nothing$","definition":{"max-length":1}}`},
	{"PUT", "/api/vhost-limits/", "", `{"value":-1}`},
	{"PUT", "/api/user-limits/", "", `{"value":-1}`},
	{"PUT", "/api/parameters/", "", `{"value":{"uri":"amqp://"}}`},
	{"PUT", "/api/global-parameters/", "", `{"value":1}`},
	{"PUT", "/api/queues/", "", `{"durable":true}`},
	{"PUT", "/api/exchanges/", "", `{"type":"topic","durable":true}`},
	{"PUT", "/api/cluster-name", "", `{"name":"authorisation"}`},
	{"POST", "/api/bindings/", "", `{"routing_key":"k"}`},
	{"POST", "/api/exchanges/", "/publish", `{"properties":{},"routing_key":"nowhere","payload":"","payload_encoding":"string"}`},
	{"POST", "/api/queues/", "/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`},
	{"POST", "/api/queues/", "/actions", `{"action":"sync"}`},
	{"POST", "/api/users/bulk-delete", "", `{"users":[]}`},
	{"POST", "/api/definitions", "", `{"queues":[]}`},
	{"POST", "/api/all-configuration", "", `{"queues":[]}`},
}

// ask makes the request that stands for a method of a path, and tells whether it was
// let through. Whoever is let in and may not do it is told 401, in RabbitMQ as here; in
// what clients do on a channel RabbitMQ says so in a 400.
func (s *subject) ask(t *testing.T, a asker, method, path, vhost string) string {
	t.Helper()
	s.restore(t, path, vhost)
	real := strings.ReplaceAll(path, "{vhost}", vhost)
	if method == "DELETE" && path == "/api/vhosts/{vhost}" {
		real = "/api/vhosts/" + authTarget
		s.do("guest", "guest", "PUT", real, "{}")
	}
	for name, value := range s.names(t, path) {
		real = strings.ReplaceAll(real, "{"+name+"}", value)
	}
	if strings.Contains(real, "{") {
		t.Fatalf("%s has a name that this test does not know", path)
	}
	body := ""
	for _, b := range bodies {
		if b.method == method && strings.HasPrefix(path, b.prefix) && strings.HasSuffix(path, b.suffix) {
			body = b.body
		}
	}
	if method == "PUT" && body == "" {
		body = "{}"
	}
	user, password := "", authSecret
	if a.login {
		user = a.user()
	}
	if a.wrong {
		password += "!"
	}
	code, text := s.do(user, password, method, real, body)
	switch {
	case code == 401, code == 403, code == 400 && (strings.Contains(text, "ACCESS_REFUSED") || strings.Contains(text, "NOT_ALLOWED") || strings.Contains(text, "not_allowed") || strings.Contains(text, "access to vhost")):
		return "no"
	case code >= 500 && !strings.HasPrefix(path, "/api/health"):
		if s.ours {
			t.Errorf("%s %s as %s: %d %s", method, real, a.name, code, text)
		}
		return "?"
	case code == 405, code == 404 && text == "Not Found", code == 404 && a.tag == "administrator" && !a.wrong && unknownHere(method, path, text):
		return "?"
	}
	if method == "GET" && !strings.Contains(path, "{vhost}") && strings.Contains(text, `"`+outside+`"`) {
		return "all" // it shows also what is where the user has no permissions
	}
	return "yes"
}

// unknownHere tells of a 404 that it is for the path itself, not for what it names: of
// those paths alone whose objects are all there.
func unknownHere(method, path, text string) bool {
	return method == "GET" && !strings.Contains(path, "{") && strings.Contains(text, "Object Not Found")
}

// row is what became of one method of one path: a word for each asker, and of paths that
// name a vhost a second one, for one without permissions.
func (s *subject) row(t *testing.T, method, path string) (row []string) {
	t.Helper()
	for _, a := range askers {
		word := s.ask(t, a, method, path, inside)
		switch {
		case !strings.Contains(path, "{vhost}"):
		case a.wrong: // which takes its time, and no vhost changes it
			word += "/" + word
		default:
			word += "/" + s.ask(t, a, method, path, outside)
		}
		row = append(row, word)
	}
	return row
}

// endpoints are all methods of all paths, as "GET /api/…".
func endpoints() (list []string) {
	for path, res := range resources {
		for method := range res.methods() {
			list = append(list, method+" "+path)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		am, ap, _ := strings.Cut(a, " ")
		bm, bp, _ := strings.Cut(b, " ")
		if ap != bp {
			return strings.Compare(ap, bp)
		}
		return strings.Compare(am, bm)
	})
	return list
}

// Rows that are the same for many paths: "no" for whoever has no tag that counts, then
// management, policymaker, monitoring, administrator.
func from(words ...string) []string {
	vhost := ""
	if strings.Contains(words[3], "/") {
		vhost = "/no"
	}
	return append([]string{"no" + vhost, "no" + vhost, "no" + vhost, "no" + vhost}, words...)
}

var (
	forManagement    = from("yes", "yes", "yes", "yes")
	forMonitoring    = from("no", "no", "yes", "yes")
	forAdministrator = from("no", "no", "no", "yes")
	inVHost          = from("yes/no", "yes/no", "yes/no", "yes/yes")
	inVHostNeedsAMQP = from("yes/no", "yes/no", "yes/no", "yes/no")
)

// ours are the rows of what RabbitMQ 3.10 has not, and, with the reason why, of what is
// otherwise than there.
var ours = map[string]struct {
	row []string
	why string
}{
	"GET /api/audit":                          {forAdministrator, "Leveret's own"},
	"GET /api/health/checks/ready":            {forManagement, "newer than RabbitMQ 3.10"},
	"GET /api/connections/username/{user}":    {forMonitoring, "those of others; RabbitMQ 3.10 answers 500 where it means 401"},
	"DELETE /api/connections/username/{user}": {forAdministrator, "those of others; RabbitMQ 3.10 answers 500 where it means 401"},
	"GET /api/consumers/{vhost}":              {inVHost, "RabbitMQ shows an empty list where the user may not look"},
	"GET /api/storage":                        {forMonitoring, "Leveret's own"},
	"GET /api/queues/{vhost}/{queue}/peek":    {inVHostNeedsAMQP, "Leveret's own: asks for the permission to read the queue"},
	"GET /api/queues/{vhost}/{queue}/storage": {inVHost, "Leveret's own"},
}

func TestAuthorisationIsRabbitMQs(t *testing.T) {
	expected := readAuthorisation(t)
	if judge := os.Getenv("AUTHORISATION_JUDGE"); judge != "" {
		expected = askJudge(t, judge)
	}
	b := brokertest.Start(t, brokertest.Options{})
	s := &subject{do: manage(t, b.Broker).ask, amqp: b.URL(), ours: true}
	s.prepare(t)
	var page strings.Builder
	writeAuthorisationHead(&page)
	for _, e := range endpoints() {
		method, path, _ := strings.Cut(e, " ")
		got := s.row(t, method, path)
		own, isOurs := ours[e]
		want, known := expected[e]
		if isOurs {
			want = own.row
		}
		switch {
		case !known && !isOurs:
			t.Errorf("%s: nobody has said who may do it. It is %q: if RabbitMQ has it, ask it (AUTHORISATION_JUDGE), else write it down in ours", e, got)
		case !slices.Equal(got, want):
			t.Errorf("%s\nis   %q\nwant %q %s", e, got, want, own.why)
		case isOurs && known && slices.Equal(own.row, expected[e]):
			t.Errorf("%s: that is what RabbitMQ does, too", e)
		}
		fmt.Fprintf(&page, "| `%s` | `%s` |", method, path)
		for _, word := range got[3:] { // the first three are alike
			fmt.Fprintf(&page, " %s |", strings.NewReplacer("yes/yes", "✓", "yes/no", "in its vhosts", "no/no", "", "yes", "✓", "all", "all", "no", "").Replace(word))
		}
		if isOurs {
			fmt.Fprintf(&page, " %s", own.why)
		}
		page.WriteString(" |\n")
		for i, a := range askers[:4] {
			if open := strings.Contains(got[i], "yes") || strings.Contains(got[i], "all"); open && path != "/api/auth" {
				t.Errorf("%s is open to %s", e, a.name)
			}
		}
	}
	for e := range ours {
		if !slices.Contains(endpoints(), e) && !strings.Contains(e, "/{queue}/") {
			t.Errorf("there is no %s any more", e)
		}
	}
	compareOrWrite(t, authorisationPage, page.String())
}

// compareOrWrite checks that a committed file is what was found, or makes it so.
func compareOrWrite(t *testing.T, file, want string) {
	t.Helper()
	if os.Getenv("AUTHORISATION_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what was found (%v): AUTHORISATION_UPDATE=1 go test -run Authorisation ./httpd writes it", filepath.Clean(file), err)
	}
}

func writeAuthorisationHead(page *strings.Builder) {
	page.WriteString(`# Who may do what over HTTP

Every method of every path of the management API, by the user's tags, as found by asking a
running broker for each. This page is written by the test that asks
(` + "`httpd/authorisation_test.go`" + `); do not edit it. What RabbitMQ 3.10.8 answered to the same
questions stands in ` + "`httpd/testdata/authorisation.tsv`" + `, and is the same but where a note says
otherwise.

✓ it may · all: it may, and sees what is in vhosts that it has no permissions in · in its
vhosts: where it has permissions in the vhost that the path names · empty: 401. Users,
connections and channels that a path names are another's. Without a login, with a wrong password and without a tag everything is 401, but for
` + "`GET /api/auth`" + `. Lists that name no vhost show what is in those that the user has permissions
in, and of connections, channels and consumers its own, unless it has ` + "`monitoring`" + ` or
` + "`administrator`" + `. What is done in a vhost needs the permissions that AMQP asks for, too:
[security.md](security.md) has them.

| | path | impersonator | management | policymaker | monitoring | administrator | |
|---|---|---|---|---|---|---|---|
`)
}

func readAuthorisation(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(authorisationTable)
	if err != nil && os.Getenv("AUTHORISATION_JUDGE") == "" {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == len(askers)+1 && !strings.HasPrefix(line, "#") {
			rows[fields[0]] = fields[1:]
		}
	}
	return rows
}

// askJudge asks a RabbitMQ, and writes what it answers.
func askJudge(t *testing.T, judge string) map[string][]string {
	t.Helper()
	base, err := http.NewRequest("GET", judge, nil)
	if err != nil {
		t.Fatal(err)
	}
	do := func(user, password, method, path, body string) (int, string) {
		r, err := http.NewRequest(method, "http://"+base.URL.Host+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	s := &subject{do: do, amqp: os.Getenv("AUTHORISATION_AMQP")}
	defer http.DefaultClient.CloseIdleConnections()
	_, clusterName := do("guest", "guest", "GET", "/api/cluster-name", "")
	s.remove()
	defer func() {
		s.remove()
		do("guest", "guest", "PUT", "/api/cluster-name", clusterName)
	}()
	s.prepare(t)
	rows := map[string][]string{}
	for _, e := range endpoints() {
		method, path, _ := strings.Cut(e, " ")
		row := s.row(t, method, path)
		if slices.ContainsFunc(row, func(word string) bool { return strings.Contains(word, "?") }) {
			continue // it does not have that
		}
		rows[e] = row
	}
	var text strings.Builder
	text.WriteString("# Whether RabbitMQ 3.10.8 lets through: written by AUTHORISATION_JUDGE, see authorisation_test.go.\n# method and path")
	for _, a := range askers {
		text.WriteString("\t" + a.name)
	}
	text.WriteString("\n")
	for _, e := range slices.Sorted(maps.Keys(rows)) {
		text.WriteString(e + "\t" + strings.Join(rows[e], "\t") + "\n")
	}
	if err := os.WriteFile(authorisationTable, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return rows
}
