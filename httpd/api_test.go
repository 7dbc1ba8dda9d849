package httpd

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// The answers were taken from RabbitMQ 3.10.8.

// managed is a server with a broker on a memory file system.
type managed struct {
	t testing.TB
	s *Server
	b *broker.Broker
}

func newManaged(t testing.TB) *managed {
	t.Helper()
	b, err := broker.Open("data", broker.Options{Reserve: -1, Store: store.Options{FS: vfs.NewMem()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return manage(t, b)
}

// manage makes a server for a broker, and a user for each tag.
func manage(t testing.TB, b *broker.Broker) *managed {
	t.Helper()
	s, err := NewServer(Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	s.SetBroker(b)
	m := &managed{t, s, b}
	for _, tag := range []string{"", "management", "policymaker", "monitoring", "administrator"} {
		u := access.User{Name: "u" + tag, Hash: access.HashKnown("pw")}
		if tag != "" {
			u.Tags = []string{tag}
		}
		if _, err := b.PutUser(u); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestAdministrativeChangesAreLogged(t *testing.T) {
	m := newManaged(t)
	var log strings.Builder
	m.s.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m.as("guest", "GET", "/api/users", "")
	m.as("guest", "PUT", "/api/queues/%2F/q", "{}")
	m.as("guest", "PUT", "/api/users/u", `{}`) // refused
	if log.Len() > 0 {
		t.Errorf("what changes nothing, or no rights, is logged: %s", log.String())
	}
	m.as("guest", "PUT", "/api/users/u", `{"password":"secret","tags":""}`)
	if got := log.String(); !strings.Contains(got, "method=PUT path=/api/users/u user=guest from=127.0.0.1:1234") || strings.Contains(got, "secret") {
		t.Errorf("%s", got)
	}
}

type peer struct{}

func (peer) Name() string      { return "a connection" }
func (peer) Close(*amqp.Error) {}

func (m *managed) session(vhost string) *broker.Session {
	m.t.Helper()
	s, err := m.b.NewSession(vhost, &broker.User{Name: "guest"}, peer{})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// as asks as a user; "" is nobody. Passwords are pw, guest's is guest.
func (m *managed) as(user, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "127.0.0.1:15672"
	switch user {
	case "":
	case "guest":
		r.SetBasicAuth("guest", "guest")
	default:
		r.SetBasicAuth(user, "pw")
	}
	w := httptest.NewRecorder()
	m.s.http.Handler.ServeHTTP(w, r)
	return w
}

// expect asks as guest. An answer that is to begin with … ends with what follows.
func (m *managed) expect(method, path, body string, code int, want string) {
	m.t.Helper()
	w := m.as("guest", method, path, body)
	got := w.Body.String()
	if rest, ok := strings.CutPrefix(want, "…"); ok {
		if !strings.Contains(got, rest) {
			m.t.Errorf("%s %s %s: %d %s\nwant %q in it", method, path, body, w.Code, got, rest)
		}
		got, want = "", ""
	}
	if w.Code != code || got != want {
		m.t.Errorf("%s %s %s\ngot  %d %s\nwant %d %s", method, path, body, w.Code, got, code, want)
	}
}

const (
	notFound = `{"error":"Object Not Found","reason":"Not Found"}`
	noVHost  = `{"error":"not_found","reason":"vhost_not_found"}`
)

func bad(reason string) string { return `{"error":"bad_request","reason":` + reason + `}` }

func TestPolicies(t *testing.T) {
	for _, kind := range []string{"policies", "operator-policies"} {
		t.Run(kind, func(t *testing.T) {
			m := newManaged(t)
			path := "/api/" + kind + "/%2F/p"
			m.expect("GET", "/api/"+kind, "", 200, `[]`)
			m.expect("GET", path, "", 404, notFound)
			m.expect("PUT", path, `{"pattern":"^a","definition":{"max-length":1},"priority":2,"apply-to":"queues"}`, 201, "")
			m.expect("PUT", path, `{"pattern":"^a","definition":{"max-length":1}}`, 204, "")
			one := `{"vhost":"/","name":"p","pattern":"^a","apply-to":"all","definition":{"max-length":1},"priority":0}`
			m.expect("GET", path, "", 200, one)
			m.expect("GET", "/api/"+kind+"/%2F", "", 200, "["+one+"]")
			m.expect("GET", "/api/"+kind+"/%2F/", "", 200, "["+one+"]")
			m.expect("GET", "/api/"+kind, "", 200, "["+one+"]")
			m.expect("GET", "/api/"+kind+"?columns=name", "", 200, `[{"name":"p"}]`)
			m.expect("HEAD", path, "", 200, "…")
			m.expect("DELETE", path, "", 204, "")
			m.expect("DELETE", path, "", 404, notFound)
			m.expect("GET", "/api/"+kind+"/nope", "", 404, notFound)
			m.expect("PUT", "/api/"+kind+"/nope/p", `{"pattern":"^a","definition":{"max-length":1}}`, 404, noVHost)
			m.expect("DELETE", "/api/"+kind+"/nope/p", "", 404, notFound)
			m.expect("POST", path, `{}`, 405, "")
			m.expect("OPTIONS", path, "", 200, "")

			m.expect("PUT", path, `{"pattern":"(","definition":{"max-length":1}}`, 400,
				bad(`"Validation failed\n\npattern should be regular expression but is invalid: \"missing )\"\n"`))
			m.expect("PUT", path, `{"pattern":"a","definition":{"max-length":-1}}`, 400, bad(`"Validation failed\n\n-1 is not a valid maximum length\n"`))
			m.expect("PUT", path, `{"pattern":"a","definition":{"foo":1}}`, 400, bad(`"Validation failed\n\n[{<<\"foo\">>,1}] are not recognised policy settings\n"`))
			m.expect("PUT", path, `{"pattern":"a","definition":{}}`, 400, bad(`"Validation failed\n\nno policy provided\n"`))
			m.expect("PUT", path, `{"pattern":"a","definition":{"max-length":1},"apply-to":"x"}`, 400,
				bad(`"Validation failed\n\napply-to 'x' unrecognised; should be 'queues', 'exchanges' or 'all'\n"`))
			for body, want := range map[string]string{
				``: `"[{key_missing,pattern},{key_missing,definition}]"`, `null`: `"[{key_missing,pattern},{key_missing,definition}]"`,
				`{"pattern":"a"}`: `"[{key_missing,definition}]"`, `{`: `"not_json"`, `[]`: `"not_json"`, `5`: `"not_json"`, `{} {}`: `"not_json"`,
				`"x"`: `"invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"`,
			} {
				m.expect("PUT", path, body, 400, bad(want))
			}
			m.expect("PUT", path, `{"pattern":"`+strings.Repeat("a", maxBody)+`"}`, 413, "…payload_too_large")
		})
	}
}

func TestQueuesShowWhatAppliesToThem(t *testing.T) {
	m := newManaged(t)
	s := m.session("/")
	args := amqp.NewTable(amqp.Field{Name: "x-max-length", Value: amqp.Int64(7)})
	if _, err := s.DeclareQueue(broker.QueueSpec{Name: "a/b", Durable: true, Args: args}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeclareQueue(broker.QueueSpec{Name: "z", Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	m.expect("PUT", "/api/policies/%2F/p", `{"pattern":"^a","definition":{"max-length":5,"message-ttl":90000},"priority":3}`, 201, "")
	m.expect("PUT", "/api/operator-policies/%2F/o", `{"pattern":"^a","definition":{"max-length":9,"max-length-bytes":1000}}`, 201, "")
	want := `{"arguments":{"x-max-length":7},"auto_delete":false,"durable":true,"effective_policy_definition":{"max-length":5,"max-length-bytes":1000,"message-ttl":90000},` +
		`"exclusive":false,"name":"a/b","node":"leveret@localhost","operator_policy":"o","policy":"p","state":"running","type":"classic","vhost":"/"}`
	const columns = "?columns=name,vhost,type,durable,auto_delete,exclusive,arguments,node,state,policy,operator_policy,effective_policy_definition"
	m.expect("GET", "/api/queues/%2F/a%2Fb"+columns, "", 200, want)
	m.expect("GET", "/api/queues/%2F?columns=name,policy,operator_policy,effective_policy_definition,owner_pid_details.name", "", 200,
		`[{"effective_policy_definition":{"max-length":5,"max-length-bytes":1000,"message-ttl":90000},"name":"a/b","operator_policy":"o","policy":"p"},`+
			`{"effective_policy_definition":{},"name":"z","operator_policy":null,"owner_pid_details":{"name":"a connection"},"policy":null}]`)
	m.expect("GET", "/api/queues"+columns, "", 200, "…"+want)
	m.expect("GET", "/api/queues/%2F/nope", "", 404, notFound)
	m.expect("GET", "/api/queues/nope", "", 404, notFound)
	m.expect("GET", "/api/overview", "", 200, `…"object_totals":{"channels":0,"connections":0,"consumers":0,"exchanges":7,"queues":2}`)
}

func TestExchangesAndBindings(t *testing.T) {
	m := newManaged(t)
	s := m.session("/")
	for _, err := range []error{
		s.DeclareExchange(broker.ExchangeSpec{Name: "x", Type: "topic", Args: amqp.NewTable(amqp.Field{Name: "alternate-exchange", Value: amqp.LongString("amq.fanout")})}),
		s.DeclareExchange(broker.ExchangeSpec{Name: "y", Type: "fanout", Durable: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.DeclareQueue(broker.QueueSpec{Name: "q"}); err != nil {
		t.Fatal(err)
	}
	if err := s.BindQueue("q", "x", "a.b", amqp.NewTable(amqp.Field{Name: "z", Value: amqp.Int64(1)})); err != nil {
		t.Fatal(err)
	}
	if err := s.BindExchange("y", "x", "", nil); err != nil {
		t.Fatal(err)
	}
	m.expect("PUT", "/api/policies/%2F/p", `{"pattern":"^x","definition":{"alternate-exchange":"y"}}`, 201, "")
	x := `{"name":"x","vhost":"/","type":"topic","durable":false,"auto_delete":false,"internal":false,"arguments":{"alternate-exchange":"amq.fanout"},"policy":"p"`
	m.expect("GET", "/api/exchanges/%2F/x", "", 200, x+`,"incoming":[],"outgoing":[]}`)
	m.expect("GET", "/api/exchanges/%2F", "", 200, "…"+x+"}")
	m.expect("GET", "/api/exchanges/%2F/amq.default", "", 200, `{"name":"","vhost":"/","type":"direct","durable":true,"auto_delete":false,"internal":false,"arguments":{},"incoming":[],"outgoing":[]}`)
	m.expect("GET", "/api/exchanges/%2F/nope", "", 404, notFound)
	byName := `{"source":"","vhost":"/","destination":"q","destination_type":"queue","routing_key":"q","arguments":{},"properties_key":"q"}`
	toQueue := `{"source":"x","vhost":"/","destination":"q","destination_type":"queue","routing_key":"a.b","arguments":{"z":1},"properties_key":"a.b~`
	toExchange := `{"source":"x","vhost":"/","destination":"y","destination_type":"exchange","routing_key":"","arguments":{},"properties_key":"~"}`
	for path, want := range map[string][]string{
		"/api/bindings":                                     {byName, toQueue, toExchange},
		"/api/bindings/%2F":                                 {byName, toQueue, toExchange},
		"/api/queues/%2F/q/bindings":                        {byName, toQueue},
		"/api/exchanges/%2F/x/bindings/source":              {toQueue, toExchange},
		"/api/exchanges/%2F/y/bindings/destination":         {toExchange},
		"/api/exchanges/%2F/amq.default/bindings/source":    {byName},
		"/api/exchanges/%2F//bindings/source":               {byName},
		"/api/bindings/%2F/e//q/q":                          {byName},
		"/api/bindings/%2F/e/x/q/q":                         {toQueue},
		"/api/bindings/%2F/e/x/e/y":                         {toExchange},
		"/api/exchanges/%2F/amq.direct/bindings/source":     {},
		"/api/exchanges/%2F/amq.topic/bindings/destination": {},
	} {
		w := m.as("guest", "GET", path, "")
		var got []json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != len(want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(string(got[i]), want[i]) {
				t.Errorf("%s: got %s, want %s…", path, got[i], want[i])
			}
		}
	}
	m.expect("GET", "/api/bindings/%2F/e/x/q/nope", "", 404, notFound)
	m.expect("GET", "/api/bindings/%2F/e/nope/q/q", "", 404, notFound)
	m.expect("GET", "/api/bindings/nope", "", 404, notFound)
}

func TestUsers(t *testing.T) {
	m := newManaged(t)
	const hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
	m.expect("PUT", "/api/users/a", `{"password":"pw","tags":"management,foo"}`, 201, "")
	m.expect("PUT", "/api/users/a", `{"password":"pw"}`, 400, bad(`"tags_not_present"`))
	m.expect("PUT", "/api/users/a", `{"password":"a","password_hash":"b","tags":""}`, 400, bad(`"both_password_and_password_hash_are_provided"`))
	m.expect("PUT", "/api/users/a", `{"password_hash":"!!","tags":""}`, 400, "…bad_request")
	m.expect("PUT", "/api/users/a", `{"password":3,"tags":""}`, 400, bad(`"password should be a string, actually was 3"`))
	m.expect("PUT", "/api/users/a", `{"tags":3}`, 400, bad(`"tags should be a string or a list, actually was 3"`))
	m.expect("PUT", "/api/users/a", `{"tags":[3]}`, 400, bad(`"a tag should be a string, actually was 3"`))
	if w := m.as("a", "GET", "/api/whoami", ""); w.Body.String() != `{"name":"a","tags":["management","foo"]}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	m.expect("PUT", "/api/users/a", `{"password_hash":"`+hash+`","tags":["policymaker"]}`, 204, "")
	m.expect("GET", "/api/users/a", "", 200, `{"name":"a","password_hash":"`+hash+`","hashing_algorithm":"rabbit_password_hashing_sha256","tags":["policymaker"],"limits":{}}`)
	m.expect("PUT", "/api/users/a", `{"password_hash":"`+hash+`","tags":"","hashing_algorithm":"nope"}`, 400, "…nope")
	m.expect("PUT", "/api/users/a", `{"tags":""}`, 204, "")
	none := `{"name":"a","password_hash":"","hashing_algorithm":"rabbit_password_hashing_sha256","tags":[],"limits":{}}`
	m.expect("GET", "/api/users/a", "", 200, none)
	m.expect("GET", "/api/users?name=a&page=1&page_size=2&columns=name", "", 200,
		`{"filtered_count":4,"item_count":2,"items":[{"name":"a"},{"name":"uadministrator"}],"page":1,"page_count":2,"page_size":2,"total_count":7}`)
	m.expect("GET", "/api/users/without-permissions", "", 200, "…"+none)
	m.expect("POST", "/api/users/bulk-delete", `{"users":["nope"]}`, 400, bad(`["no_such_user","nope"]`))
	m.expect("POST", "/api/users/bulk-delete", `{"users":3}`, 400, "…bad_request")
	m.expect("POST", "/api/users/bulk-delete", `{"users":["a"]}`, 204, "")
	m.expect("DELETE", "/api/users/a", "", 404, notFound)
	m.expect("GET", "/api/users/a", "", 404, notFound)
	m.expect("PUT", "/api/users/"+strings.Repeat("a", 300), `{"tags":""}`, 400, "…bad_request")
}

func TestVHostsAndPermissions(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/vhosts/v", "", 201, "")
	m.expect("PUT", "/api/vhosts/v", `{"description":"d","tags":"a,b","tracing":false}`, 204, "")
	m.expect("PUT", "/api/vhosts/v", "", 204, "")
	want := `{"name":"v","description":"d","tags":["a","b"],"default_queue_type":"undefined","metadata":{"description":"d","tags":["a","b"]},"tracing":false,` +
		`"cluster_state":{"leveret@localhost":"running"}`
	m.expect("GET", "/api/vhosts/v?disable_stats=true", "", 200, want+"}")
	m.expect("GET", "/api/vhosts/v", "", 200, "…"+want+`,"messages":0,"messages_details":{"rate":0},"messages_ready":0,"messages_ready_details":{"rate":0},"messages_unacknowledged":0,`)
	m.expect("GET", "/api/vhosts", "", 200, "…"+want+",")
	m.expect("PUT", "/api/vhosts/v", `{`, 400, bad(`"not_json"`))
	m.expect("PUT", "/api/vhosts/v", `{"description":3}`, 400, bad(`"description should be a string, actually was 3"`))
	m.expect("GET", "/api/vhosts/nope", "", 404, notFound)
	// Who made a vhost may use it.
	m.expect("GET", "/api/permissions/v/guest", "", 200, `{"user":"guest","vhost":"v","configure":".*","write":".*","read":".*"}`)

	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":".*","write":".*"}`, 400, bad(`"[{key_missing,read}]"`))
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":".*","write":".*","read":"("}`, 400, "…invalid regular expression")
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":".*","write":".*","read":3}`, 400, bad(`"read should be a string, actually was 3"`))
	m.expect("PUT", "/api/permissions/nope/umanagement", `{"configure":".*","write":".*","read":".*"}`, 400, bad(`"vhost_or_user_not_found"`))
	m.expect("PUT", "/api/permissions/v/nope", `{"configure":".*","write":".*","read":".*"}`, 400, bad(`"vhost_or_user_not_found"`))
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":"","write":"^a","read":".*"}`, 201, "")
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":"","write":"^b","read":".*"}`, 204, "")
	one := `{"user":"umanagement","vhost":"v","configure":"","write":"^b","read":".*"}`
	m.expect("GET", "/api/permissions/v/umanagement", "", 200, one)
	m.expect("GET", "/api/users/umanagement/permissions", "", 200, "["+one+"]")
	m.expect("GET", "/api/vhosts/v/permissions", "", 200, "…"+one)
	m.expect("GET", "/api/permissions", "", 200, "…"+one)
	m.expect("GET", "/api/permissions/v/nope", "", 404, notFound)
	m.expect("GET", "/api/permissions/v/umonitoring", "", 404, notFound)
	m.expect("DELETE", "/api/permissions/v/umanagement", "", 204, "")
	m.expect("DELETE", "/api/permissions/v/umanagement", "", 404, notFound)

	topic := "/api/topic-permissions/v/umanagement"
	m.expect("PUT", topic, `{"write":".*","read":".*"}`, 400, bad(`"[{key_missing,exchange}]"`))
	m.expect("PUT", topic, `{"exchange":"x","write":"(","read":".*"}`, 400, "…invalid regular expression")
	m.expect("PUT", topic, `{"exchange":"amq.topic","write":".*","read":"^a"}`, 201, "")
	m.expect("PUT", topic, `{"exchange":"amq.topic","write":".*","read":"^b"}`, 204, "")
	m.expect("PUT", topic, `{"exchange":"other","write":".*","read":"^b"}`, 201, "")
	m.expect("GET", topic, "", 200, `…{"user":"umanagement","vhost":"v","exchange":"amq.topic","write":".*","read":"^b"}`)
	m.expect("DELETE", topic+"/amq.topic", "", 204, "")
	m.expect("GET", "/api/topic-permissions", "", 200, `[{"user":"umanagement","vhost":"v","exchange":"other","write":".*","read":"^b"}]`)
	m.expect("DELETE", topic, "", 204, "")
	m.expect("DELETE", topic, "", 404, notFound)
	m.expect("GET", topic, "", 404, notFound)

	m.expect("DELETE", "/api/vhosts/v", "", 204, "")
	m.expect("DELETE", "/api/vhosts/v", "", 404, notFound)
}

func TestLimits(t *testing.T) {
	m := newManaged(t)
	m.expect("GET", "/api/vhost-limits", "", 200, `[]`)
	m.expect("PUT", "/api/vhost-limits/%2F/max-connections", `{"value":5}`, 204, "")
	m.expect("PUT", "/api/vhost-limits/%2F/max-queues", `{"value":-1}`, 204, "")
	m.expect("PUT", "/api/vhost-limits/%2F/max-queues", `{"value":"x"}`, 400, bad(`"Validation failed\n\nmax-queues should be a number, actually was <<\"x\">>\n"`))
	m.expect("PUT", "/api/vhost-limits/%2F/nope", `{"value":5}`, 400, bad(`"Validation failed\n\nUnrecognised terms [{<<\"nope\">>,5}] in limits\n"`))
	m.expect("PUT", "/api/vhost-limits/%2F/max-queues", `{}`, 400, bad(`"[{key_missing,value}]"`))
	m.expect("PUT", "/api/vhost-limits/nope/max-queues", `{"value":5}`, 404, noVHost)
	m.expect("GET", "/api/vhost-limits/%2F", "", 200, `[{"vhost":"/","value":{"max-connections":5,"max-queues":-1}}]`)
	m.expect("GET", "/api/vhost-limits/nope", "", 404, notFound)
	m.expect("DELETE", "/api/vhost-limits/%2F/max-queues", "", 204, "")
	m.expect("DELETE", "/api/vhost-limits/%2F/max-queues", "", 204, "")
	m.expect("GET", "/api/vhost-limits/%2F/max-connections", "", 405, "")

	m.expect("PUT", "/api/user-limits/guest/max-channels", `{"value":5}`, 204, "")
	m.expect("PUT", "/api/user-limits/guest/max-channels", `{"value":"x"}`, 400, bad(`"max-channels should be a number, actually was <<\"x\">>"`))
	m.expect("PUT", "/api/user-limits/guest/nope", `{"value":5}`, 400, bad(`"Unrecognised terms [{<<\"nope\">>,5}] in user-limits"`))
	m.expect("PUT", "/api/user-limits/nope/max-channels", `{"value":5}`, 400, bad(`["no_such_user","nope"]`))
	m.expect("GET", "/api/user-limits", "", 200, `[{"user":"guest","value":{"max-channels":5}}]`)
	m.expect("GET", "/api/user-limits/guest", "", 200, `[{"user":"guest","value":{"max-channels":5}}]`)
	m.expect("GET", "/api/user-limits/umanagement", "", 200, `[]`)
	m.expect("GET", "/api/user-limits/nope", "", 404, notFound)
	m.expect("DELETE", "/api/user-limits/guest/max-channels", "", 204, "")
	m.expect("GET", "/api/user-limits", "", 200, `[]`)
}

func TestPages(t *testing.T) {
	m := newManaged(t)
	s := m.session("/")
	for i := range 5 {
		if _, err := s.DeclareQueue(broker.QueueSpec{Name: fmt.Sprint("q", i)}); err != nil {
			t.Fatal(err)
		}
	}
	m.expect("GET", "/api/queues?page=2&page_size=2&columns=name", "", 200,
		`{"filtered_count":5,"item_count":2,"items":[{"name":"q2"},{"name":"q3"}],"page":2,"page_count":3,"page_size":2,"total_count":5}`)
	m.expect("GET", "/api/queues?name=Q[34]&use_regex=true&columns=name&sort=name&sort_reverse=true", "", 200, `[{"name":"q4"},{"name":"q3"}]`)
	m.expect("GET", "/api/queues?name=[&use_regex=true", "", 400, "…regular expression")
	m.expect("GET", "/api/queues?page=0", "", 400, `{"error":"invalid_pagination_parameters","reason":"Invalid pagination parameters: page number 0, page size undefined"}`)
	m.expect("GET", "/api/queues?page=1&page_size=1000", "", 400, `{"error":"invalid_pagination_parameters","reason":"Invalid pagination parameters: page number 1, page size 1000"}`)
	m.expect("GET", "/api/queues?page=9&page_size=10", "", 400, `{"error":"page_out_of_range","reason":"Page out of range, page: 9 page size: 10, len: 5"}`)
	m.expect("GET", "/api/queues?page=x", "", 400, bad(`"Pagination parameters are invalid"`))
	m.expect("GET", "/api/queues?page=1&name=nothing", "", 200, `…"items":[]`)
}

// Who may do what, by tags; "-" is nobody, u a user without tags. Codes are 1 for
// whatever is allowed.
func TestTagsDecideWhoMay(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/vhosts/v", "", 201, "")
	for _, u := range []string{"umanagement", "upolicymaker", "umonitoring"} {
		m.expect("PUT", "/api/permissions/v/"+u, `{"configure":"","write":"","read":""}`, 201, "")
	}
	const policy = `{"pattern":"a","definition":{"max-length":1}}`
	const admin, object, vhost = "Not administrator user", "User not authorised to access object", "User not authorised to access virtual host"
	for _, c := range []struct{ method, path, body, management, policymaker, monitoring string }{
		{"GET", "/api/whoami", "", "", "", ""},
		{"GET", "/api/overview", "", "", "", ""},
		{"GET", "/api/vhosts", "", "", "", ""},
		{"GET", "/api/vhosts/v", "", admin, admin, admin},
		{"GET", "/api/users", "", admin, admin, admin},
		{"GET", "/api/permissions", "", admin, admin, admin},
		{"GET", "/api/queues", "", "", "", ""},
		{"GET", "/api/queues/v", "", "", "", ""},
		{"GET", "/api/queues/%2F", "", vhost, vhost, vhost},
		{"GET", "/api/exchanges/%2F", "", vhost, vhost, vhost},
		{"GET", "/api/policies/v", "", "", "", ""},
		{"GET", "/api/policies/%2F", "", vhost, vhost, vhost},
		{"PUT", "/api/policies/v/p", policy, object, "", object},
		{"PUT", "/api/policies/%2F/p", policy, object, object, object},
		{"DELETE", "/api/policies/v/p", "", object, "", object},
		{"GET", "/api/operator-policies/v", "", "", "", ""},
		{"PUT", "/api/operator-policies/v/p", policy, admin, admin, admin},
		{"PUT", "/api/users/z", `{"tags":""}`, admin, admin, admin},
		{"PUT", "/api/vhosts/z", "", admin, admin, admin},
		{"PUT", "/api/vhost-limits/v/max-queues", `{"value":5}`, admin, admin, admin},
		{"PUT", "/api/permissions/v/umanagement", `{"configure":"","write":"","read":""}`, admin, admin, admin},
	} {
		for user, why := range map[string]string{"umanagement": c.management, "upolicymaker": c.policymaker, "umonitoring": c.monitoring,
			"u": "Not management user", "uadministrator": ""} {
			w := m.as(user, c.method, c.path, c.body)
			want := `{"error":"not_authorised","reason":"` + why + `"}`
			if why == "" && w.Code >= 300 && (w.Code != 404 || c.method != "DELETE") || why != "" && (w.Code != 401 || w.Body.String() != want) {
				t.Errorf("%s %s as %s: %d %s, want %q", c.method, c.path, user, w.Code, w.Body, why)
			}
		}
		w := m.as("", c.method, c.path, c.body)
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Basic realm="RabbitMQ Management"` || w.Body.Len() > 0 {
			t.Errorf("%s %s as nobody: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	w := m.as("nope", "GET", "/api/whoami", "")
	if w.Code != 401 || w.Body.String() != `{"error":"not_authorized","reason":"Login failed"}` || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// What others see of users' limits and of vhosts is their own.
	m.expect("PUT", "/api/user-limits/guest/max-channels", `{"value":5}`, 204, "")
	if w := m.as("umanagement", "GET", "/api/user-limits", ""); w.Body.String() != `[]` {
		t.Error(w.Body)
	}
	if w := m.as("umanagement", "GET", "/api/vhosts?columns=name", ""); w.Body.String() != `[{"name":"v"}]` {
		t.Error(w.Body)
	}
}

// guest comes from this machine only.
func TestGuestsFromAfar(t *testing.T) {
	m := newManaged(t)
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr, host, header string
		code               int
	}{
		{"127.0.0.1:1", "127.0.0.1:15672", "", 200},
		{"[::1]:1", "[::1]:15672", "", 200},
		{"127.0.0.1:1", "localhost", "", 200},
		{"127.0.0.1:1", "LocalHost.:15672", "", 200},
		{"127.0.0.1:1", "mq.localhost:15672", "", 200},
		{"127.0.0.1:1", own + ":15672", "", 200},
		{"127.0.0.1:1", "", "", 200},
		{"192.0.2.1:1", "127.0.0.1:15672", "", 401},
		{"nonsense", "127.0.0.1:15672", "", 401},
		// A name that leads here, to a browser that takes it for a stranger's site.
		{"127.0.0.1:1", "rebound.example.org:15672", "", 401},
		{"127.0.0.1:1", "localhost.example.org", "", 401},
		// A proxy on this machine.
		{"127.0.0.1:1", "mq.example.org", "", 401},
		{"127.0.0.1:1", "203.0.113.1", "", 401},
		{"127.0.0.1:1", "127.0.0.1:15672", "X-Forwarded-For", 401},
		{"127.0.0.1:1", "127.0.0.1:15672", "Forwarded", 401},
		{"127.0.0.1:1", "127.0.0.1:15672", "x-real-ip", 401},
	} {
		r := httptest.NewRequest("GET", "/api/whoami", nil)
		r.RemoteAddr, r.Host = c.addr, c.host
		if c.header != "" {
			r.Header.Set(c.header, "192.0.2.1")
		}
		r.SetBasicAuth("guest", "guest")
		w := httptest.NewRecorder()
		m.s.http.Handler.ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("from %s to %s %s: %d", c.addr, c.host, c.header, w.Code)
		}
		// Others come from everywhere.
		r.SetBasicAuth("uadministrator", "pw")
		w = httptest.NewRecorder()
		if m.s.http.Handler.ServeHTTP(w, r); w.Code != 200 {
			t.Errorf("an ordinary user from %s to %s %s: %d", c.addr, c.host, c.header, w.Code)
		}
	}
}

func TestNoBrokerNoAnswers(t *testing.T) {
	m := newManaged(t)
	m.s.Stop()
	m.expect("GET", "/api/whoami", "", 503, "…service_unavailable")
	m.s = mustServer(t, Options{})
	m.expect("GET", "/api/whoami", "", 503, "…service_unavailable")
}

func TestPathsThatNameNothing(t *testing.T) {
	m := newManaged(t)
	for _, path := range []string{"/api", "/api/", "/api/nope", "/api/queues//x", "/api/queues/%2F/a/b", "/api//", "/api/vhosts//", "/api/queues/%2F//", "/api/bindings/%2F/e//q//", "/api/bindings/%2F/e/x/q//", "/api//overview", "/api/queues/%2F/..", "/api/policies/%2F/./x/y"} {
		m.expect("GET", path, "", 404, notFound)
	}
	// A name may be anything.
	m.expect("PUT", "/api/policies/%2F/..", `{"pattern":"a","definition":{"max-length":1}}`, 201, "")
	m.expect("GET", "/api/policies/%2F/%2E%2e", "", 200, `…"name":".."`)
}

func FuzzRequests(f *testing.F) {
	m := newManaged(f)
	for path, res := range resources {
		for method := range res.methods() {
			path := strings.NewReplacer("{vhost}", "%2F", "{user}", "u", "{name}", "max-queues", "{queue}", "q", "{exchange}", "amq.topic", "{source}", "").Replace(path)
			f.Add(method, path, `{"pattern":"a","definition":{"max-length":1},"tags":"","value":3,"configure":"","write":"","read":"","exchange":"x","users":[]}`)
		}
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequest(method, "http://h/api/"+strings.TrimPrefix(path, "/api/"), strings.NewReader(body))
		if err != nil {
			return
		}
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15672"
		r.SetBasicAuth("uadministrator", "pw")
		w := httptest.NewRecorder()
		m.s.http.Handler.ServeHTTP(w, r)
		found := w.Code == 503 && strings.Contains(w.Body.String(), `"status":"failed"`) // by a health check
		if w.Code >= 500 && !found || w.Code == 0 {
			t.Errorf("%s %s %s: %d %s", method, path, body, w.Code, w.Body)
		}
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s %s: %d, which is no JSON: %s", method, path, body, w.Code, w.Body)
		}
		if w.Code == 401 { // it has deleted itself
			_, _ = m.b.PutUser(access.User{Name: "uadministrator", Hash: access.HashKnown("pw"), Tags: []string{"administrator"}})
		}
	})
}
