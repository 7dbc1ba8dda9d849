package httpd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

const toQ = "/api/exchanges/%2F/amq.default/publish"

// fetched asks for messages as guest.
func (m *managed) fetched(path, body string) []map[string]any {
	m.t.Helper()
	w := m.as("guest", "POST", path, body)
	var got []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		m.t.Fatalf("%s %s: %d %s (%v)", path, body, w.Code, w.Body, err)
	}
	return got
}

func (m *managed) ready(queue string, want int) {
	m.t.Helper()
	if q, err := m.b.Queue("/", queue); err != nil || q.Ready != want || q.Unacked != 0 {
		m.t.Errorf("%s: %v %d ready, %d unacked, want %d", queue, err, q.Ready, q.Unacked, want)
	}
}

func TestMessagesArePublishedAndFetched(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	m.expect("POST", toQ, `{"routing_key":"q","properties":{"delivery_mode":2,"headers":{"a":1,"b":[1,"x",true],"c":{"d":1.5},"e":-5},"priority":3,`+
		`"timestamp":123456,"type":"t","user_id":"guest","app_id":"ap","cluster_id":"cl","content_type":"ct","content_encoding":"ce","correlation_id":"ci",`+
		`"reply_to":"rt","expiration":"10000000","message_id":"mi"},"payload":"hi","payload_encoding":"string"}`, 200, `{"routed":true}`)
	m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"/w BhYg==","payload_encoding":"base64"}`, 200, `{"routed":true}`)
	m.expect("POST", toQ, `{"routing_key":"q","properties":[],"payload":"hällo","payload_encoding":"string"}`, 200, `{"routed":true}`)
	m.expect("POST", toQ, `{"routing_key":"nope","properties":{},"payload":"","payload_encoding":"string"}`, 200, `{"routed":false}`)

	const get = "/api/queues/%2F/q/get"
	first := `"exchange":"","routing_key":"q","message_count":2,"properties":{"cluster_id":"cl","app_id":"ap","user_id":"guest","type":"t",` +
		`"timestamp":123456,"message_id":"mi","expiration":"10000000","reply_to":"rt","correlation_id":"ci","priority":3,"delivery_mode":2,` +
		`"headers":{"a":1,"b":[1,"x",true],"c":{"d":1.5},"e":-5},"content_encoding":"ce","content_type":"ct"},"payload":"hi","payload_encoding":"string"}`
	m.expect("POST", get, `{"count":10,"ackmode":"ack_requeue_true","encoding":"auto"}`, 200, `[{"payload_bytes":2,"redelivered":false,`+first+"\n"+
		`,{"payload_bytes":4,"redelivered":false,"exchange":"","routing_key":"q","message_count":1,"properties":[],"payload":"/wBhYg==","payload_encoding":"base64"}`+"\n"+
		`,{"payload_bytes":6,"redelivered":false,"exchange":"","routing_key":"q","message_count":0,"properties":[],"payload":"hällo","payload_encoding":"string"}`+"\n]")
	m.ready("q", 3)
	m.expect("POST", get, `{"count":1,"ackmode":"reject_requeue_true","encoding":"auto"}`, 200, `[{"payload_bytes":2,"redelivered":true,`+first+"\n]")
	m.ready("q", 3)

	for body, want := range map[string][3]string{
		`{"count":-1,"ackmode":"ack_requeue_true","encoding":"base64","truncate":2}`:    {"aGk=", "/wA=", "aMM="},
		`{"count":"5","ackmode":"ack_requeue_true","encoding":"auto","truncate":"3"}`:   {"hi", "/wBh", "hä"},
		`{"count":3.5,"ackmode":"ack_requeue_true","encoding":"auto","truncate":2}`:     {"hi", "/wA=", "aMM="},
		`{"count":3,"ackmode":"reject_requeue_true","encoding":"auto","truncate":0}`:    {"", "", ""},
		`{"count":3,"ackmode":"reject_requeue_true","encoding":"auto","truncate":1000}`: {"hi", "/wBhYg==", "hällo"},
	} {
		got := m.fetched(get, body)
		for i := range want {
			if len(got) != 3 || got[i]["payload"] != want[i] {
				t.Fatalf("%s: %v, want %q", body, got, want)
			}
		}
	}
	m.expect("POST", get, `{"count":0,"ackmode":"ack_requeue_true","encoding":"auto"}`, 200, `[]`)
	m.ready("q", 3)
	if got := m.fetched(get, `{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}`); got[0]["payload"] != "hi" {
		t.Error(got)
	}
	m.ready("q", 2)
	if got := m.fetched(get, `{"count":2,"ackmode":"reject_requeue_false","encoding":"auto"}`); len(got) != 2 {
		t.Error(got)
	}
	m.ready("q", 0)
}

func TestPublishRefusals(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/full", `{"arguments":{"x-max-length":0,"x-overflow":"reject-publish"}}`, 201, "")
	m.expect("PUT", "/api/exchanges/%2F/internal", `{"internal":true}`, 201, "")
	with := func(properties string) string {
		return `{"routing_key":"q","properties":` + properties + `,"payload":"hi","payload_encoding":"string"}`
	}
	for body, want := range map[string]string{
		`{`:                                          `"not_json"`,
		`{}`:                                         `"[{key_missing,routing_key},{key_missing,properties},{key_missing,payload},{key_missing,payload_encoding}]"`,
		with(`null`):                                 `"[{key_missing,properties}]"`,
		with(`7`):                                    `"properties should be an object, actually was 7"`,
		with(`{"headers":300}`):                      `"headers should be an object, actually was 300"`,
		with(`{"headers":{"a":null}}`):               `"null_not_allowed"`,
		with(`{"delivery_mode":"2"}`):                `["not_int","delivery_mode"]`,
		with(`{"delivery_mode":9}`):                  `"406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,9}"`,
		with(`{"delivery_mode":999}`):                `"406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,999}"`,
		with(`{"timestamp":"x"}`):                    `["not_int","timestamp"]`,
		with(`{"timestamp":-1}`):                     `"timestamp cannot be negative"`,
		with(`{"message_id":5}`):                     `["not_string","message_id"]`,
		with(`{"user_id":"x"}`):                      `"406 PRECONDITION_FAILED - user_id property set to 'x' but authenticated user was 'guest'"`,
		with(`{"expiration":"x"}`):                   `"406 PRECONDITION_FAILED - invalid expiration 'x': no_integer"`,
		with(`{"expiration":100}`):                   `["not_string","expiration"]`,
		with(`{"headers":{"CC":"x"}}`):               `"406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}"`,
		with(`{"reply_to":"amq.rabbitmq.reply-to"}`): `"406 PRECONDITION_FAILED - fast reply consumer does not exist"`,
		with(`{"type":"` + strings.Repeat("a", 256) + `"}`):                                                           `"type has at most 255 bytes"`,
		with(`{"headers":{"a":"` + strings.Repeat("a", maxProperties) + `"}}`):                                        `"properties have at most 122880 bytes"`,
		`{"routing_key":"q","properties":{},"payload":4,"payload_encoding":"string"}`:                                 `"payload_not_string"`,
		`{"routing_key":"q","properties":{},"payload":"_-","payload_encoding":"base64"}`:                              `["not_base64","_-"]`,
		`{"routing_key":"q","properties":{},"payload":"aGk=","payload_encoding":"foo"}`:                               `["unsupported_encoding","foo"]`,
		`{"routing_key":"q","properties":{},"payload":"aGk=","payload_encoding":{}}`:                                  `["unsupported_encoding","#{}"]`,
		`{"routing_key":3,"properties":{},"payload":"","payload_encoding":"string"}`:                                  `"routing_key should be a string, actually was 3"`,
		`{"routing_key":"` + strings.Repeat("a", 256) + `","properties":{},"payload":"","payload_encoding":"string"}`: `"a routing key has at most 255 bytes"`,
		`{"routing_key":"full","properties":{},"payload":"","payload_encoding":"string"}`:                             `"rejected Unable to publish message. Check queue limits."`,
	} {
		m.expect("POST", toQ, body, 400, bad(want))
	}
	ok := with("{}")
	m.expect("POST", toQ, with(`{"nope":3,"priority":300}`), 200, `{"routed":false}`)
	m.expect("POST", "/api/exchanges/%2F/nope/publish", ok, 400, bad(`"404 NOT_FOUND - no exchange 'nope' in vhost '/'"`))
	m.expect("POST", "/api/exchanges/%2F/internal/publish", ok, 400, bad(`"403 ACCESS_REFUSED - cannot publish to internal exchange 'internal' in vhost '/'"`))
	m.expect("POST", "/api/exchanges/nope/nope/publish", ok, 401, `{"error":"not_authorised","reason":"Access refused."}`)
	m.expect("GET", toQ, "", 405, "")
	m.expect("POST", toQ, `{"routing_key":"`+strings.Repeat("a", maxPublish)+`"}`, 413, "…payload_too_large")
}

func TestFetchRefusals(t *testing.T) {
	m := newManaged(t)
	const get = "/api/queues/%2F/q/get"
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for body, want := range map[string]string{
		``:   `"[{key_missing,ackmode},{key_missing,count},{key_missing,encoding}]"`,
		`[]`: `"not_json"`,
		`{"count":1,"requeue":true,"encoding":"auto"}`:                              `"[{key_missing,ackmode}]"`,
		`{"count":1,"ackmode":"ack_requeue_true","encoding":"foo"}`:                 `"Unsupported encoding. Please use auto or base64."`,
		`{"count":1,"ackmode":"ack_requeue_true","encoding":7}`:                     `"Unsupported encoding. Please use auto or base64."`,
		`{"count":"x","ackmode":"ack_requeue_true","encoding":"auto"}`:              `["not_integer","x"]`,
		`{"count":true,"ackmode":"ack_requeue_true","encoding":"auto"}`:             `["not_integer","true"]`,
		`{"count":1e300,"ackmode":"ack_requeue_true","encoding":"auto"}`:            `["not_integer","1e+300"]`,
		`{"count":1,"ackmode":"ack_requeue_true","encoding":"auto","truncate":"x"}`: `["not_integer","x"]`,
		`{"count":1,"ackmode":"ack_requeue_true","encoding":"auto","truncate":-1}`:  `"truncate cannot be negative"`,
	} {
		m.expect("POST", get, body, 400, bad(want))
	}
	m.expect("POST", get, `{"count":1,"ackmode":"foo","encoding":"auto"}`, 400, "…ackmode is none of")
	ok := `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`
	m.expect("POST", "/api/queues/%2F/nope/get", ok, 404, `{"error":"not_found","reason":"NOT_FOUND - no queue 'nope' in vhost '/'"}`)
	m.expect("POST", "/api/queues/nope/nope/get", ok, 401, `{"error":"not_authorised","reason":"Access refused."}`)
	m.expect("GET", get, "", 405, "")
	if _, err := m.session("/").DeclareQueue(broker.QueueSpec{Name: "mine", Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	m.expect("POST", "/api/queues/%2F/mine/get", ok, 400, "…405 RESOURCE_LOCKED")
}

func TestMessagesAreForWhoMayHaveThem(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/vhosts/v", "", 201, "")
	m.expect("PUT", "/api/queues/v/q", "{}", 201, "")
	const publish, get = `{"routing_key":"q","properties":{},"payload":"hi","payload_encoding":"string"}`, `{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}`
	as := func(path, body string, code int, want string) {
		t.Helper()
		if w := m.as("umanagement", "POST", path, body); w.Code != code || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %d %s", path, w.Code, w.Body, code, want)
		}
	}
	as("/api/exchanges/v/amq.default/publish", publish, 401, "User not authorised to access virtual host")
	as("/api/queues/v/q/get", get, 401, "User not authorised to access virtual host")
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":".*","write":"^$","read":"^$"}`, 201, "")
	as("/api/exchanges/v/amq.direct/publish", publish, 400, "403 ACCESS_REFUSED - access to exchange 'amq.direct' in vhost 'v' refused for user 'umanagement'")
	as("/api/queues/v/q/get", get, 401, "ACCESS_REFUSED - access to queue 'q' in vhost 'v' refused for user 'umanagement'")
	m.expect("PUT", "/api/permissions/v/umanagement", `{"configure":"","write":".*","read":".*"}`, 204, "")
	as("/api/exchanges/v/amq.default/publish", publish, 200, `{"routed":true}`)
	as("/api/queues/v/q/get", get, 200, `"payload":"hi"`)
	if w := m.as("u", "POST", "/api/queues/v/q/get", get); w.Code != 401 {
		t.Error("without a tag:", w.Code, w.Body)
	}
}

// A message that is fetched and rejected for good is a dead letter.
func TestRejectedMessagesAreDeadLetters(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{"arguments":{"x-dead-letter-exchange":"","x-dead-letter-routing-key":"dead"}}`, 201, "")
	m.expect("PUT", "/api/queues/%2F/dead", `{}`, 201, "")
	m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"hi","payload_encoding":"string"}`, 200, `{"routed":true}`)
	m.fetched("/api/queues/%2F/q/get", `{"count":1,"ackmode":"reject_requeue_false","encoding":"auto"}`)
	m.ready("q", 0)
	got := m.fetched("/api/queues/%2F/dead/get", `{"count":1,"ackmode":"ack_requeue_false","encoding":"auto"}`)
	text, _ := json.Marshal(got)
	if !strings.Contains(string(text), `"x-death":[{"count":1,`) || !strings.Contains(string(text), `"reason":"rejected"`) {
		t.Errorf("%s", text)
	}
}

// Bodies that the engine keeps in files of their own go in and out as others do.
func TestLargeMessagesArePublishedAndFetched(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{"durable":true}`, 201, "")
	body := strings.Repeat("0123456789abcdef", int(m.b.LargeBytes())/16+7)
	sent, _ := json.Marshal(map[string]any{"routing_key": "q", "properties": map[string]any{"delivery_mode": 2},
		"payload": base64.StdEncoding.EncodeToString([]byte(body)), "payload_encoding": "base64"})
	m.expect("POST", toQ, string(sent), 200, `{"routed":true}`)
	m.expect("POST", toQ, strings.Replace(string(sent), `"q"`, `"nope"`, 1), 200, `{"routed":false}`)
	const get = "/api/queues/%2F/q/get"
	for _, truncate := range []int{len(body) + 1, len(body) - 5, 70000, 0} {
		want := body[:min(len(body), truncate)]
		o, _ := json.Marshal(map[string]any{"count": 2, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": truncate})
		got := m.fetched(get, string(o))
		if len(got) != 1 || got[0]["payload"] != want || got[0]["payload_bytes"] != float64(len(body)) {
			t.Errorf("truncate %d: %d messages, %v bytes", truncate, len(got), got[0]["payload_bytes"])
		}
	}
	m.ready("q", 1)
	if got := m.fetched(get, `{"count":2,"ackmode":"ack_requeue_false","encoding":"auto"}`); got[0]["payload"] != body {
		t.Error("another body")
	}
	m.ready("q", 0)
}

// An answer is bounded; what does not fit stays.
func TestFetchesAreBounded(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	body := make([]byte, maxFetched/4)
	s := m.session("/")
	batch := s.NewBatch()
	for range 6 {
		if _, err := batch.Publish(&broker.Publishing{RoutingKey: []byte("q"), Props: amqp.NoProperties, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := batch.Flush(nil, true); err != nil {
		t.Fatal(err)
	}
	if got := m.fetched("/api/queues/%2F/q/get", `{"count":-1,"ackmode":"ack_requeue_false","encoding":"auto"}`); len(got) != 4 {
		t.Errorf("%d messages", len(got))
	}
	m.ready("q", 2)
}

func TestPublishersAreHeldUpHereToo(t *testing.T) {
	b, err := broker.Open("data", broker.Options{Reserve: -1, DiskFreeLimit: math.MaxInt64, Store: store.Options{FS: vfs.NewMem()}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m := manage(t, b)
	m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"","payload_encoding":"string"}`, 503,
		`{"error":"service_unavailable","reason":"publishers are held up: the broker is low on disk"}`)
}

// Requests that hold large messages wait for each other; who has gone waits no more.
func TestFewHoldLargeMessages(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for range maxHolders {
		m.s.holders <- struct{}{}
	}
	const get, order = "/api/queues/%2F/q/get", `{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}`
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan int)
	for _, path := range []string{get, toQ} {
		go func() {
			r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(order))
			r.ContentLength = maxBody + 1
			r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15672"
			r.SetBasicAuth("guest", "guest")
			w := httptest.NewRecorder()
			m.s.http.Handler.ServeHTTP(w, r)
			served <- w.Body.Len()
		}()
	}
	// A small message waits for nobody.
	m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"hi","payload_encoding":"string"}`, 200, `{"routed":true}`)
	cancel()
	for range 2 {
		if n := <-served; n > 0 {
			t.Errorf("%d bytes for who has gone", n)
		}
	}
	<-m.s.holders
	if got := m.fetched(get, order); len(got) != 1 {
		t.Error(got)
	}
	if len(m.s.holders) != maxHolders-1 {
		t.Errorf("%d places are taken", len(m.s.holders))
	}
}
