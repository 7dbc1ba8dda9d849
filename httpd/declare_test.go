package httpd

import (
	"net/url"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

func TestQueuesAreMadeAndDeleted(t *testing.T) {
	m := newManaged(t)
	const q = "/api/queues/%2F/q"
	m.expect("PUT", q, `{}`, 201, "")
	m.expect("PUT", q, "", 204, "")
	m.expect("PUT", q, `{"durable":"x"}`, 400, "…not boolean")
	m.expect("PUT", q, `{"durable":true}`, 400, bad(`"inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"`))
	m.expect("PUT", q, `{"arguments":{"x-max-length":"a"}}`, 400,
		bad(`"inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value 'a' of type 'longstr' but current is none"`))
	m.expect("PUT", q, `{"arguments":[]}`, 204, "")
	m.expect("PUT", q, `{"arguments":3}`, 400, "…arguments should be an object")
	m.expect("PUT", q, `{"arguments":{"a":null}}`, 400, bad(`"null_not_allowed"`))
	m.expect("PUT", q, `{"arguments":{"a":`+strings.Repeat(`[`, 40)+strings.Repeat(`]`, 40)+`}}`, 400, "…nested too deep")
	m.expect("PUT", q, `{`, 400, bad(`"not_json"`))
	m.expect("PUT", "/api/queues/%2F/r", `{"auto_delete":true,"durable":"false","arguments":{"x-max-length":3,"a":1.5,"b":[1,"x"],"c":{"d":"e"},"f":true}}`, 201, "")
	m.expect("GET", "/api/queues/%2F/r", "", 200, `…"auto_delete":true,"exclusive":false,"arguments":{"a":1.5,"b":[1,"x"],"c":{"d":"e"},"f":true,"x-max-length":3}`)
	m.expect("PUT", "/api/queues/%2F/amq.foo", `{}`, 401, "…reserved prefix")
	m.expect("PUT", "/api/queues/nope/q", `{}`, 404, noVHost)
	m.expect("PUT", "/api/queues/%2F/s", `{"arguments":{"x-max-length":-1}}`, 400, bad(`"invalid arg 'x-max-length' for queue 's' in vhost '/': {value_negative,-1}"`))
	m.expect("PUT", "/api/queues/%2F/"+strings.Repeat("a", 300), `{}`, 400, "…at most 255 bytes")

	s := m.session("/")
	b := s.NewBatch()
	if _, err := b.Publish(&broker.Publishing{RoutingKey: []byte("q"), Body: []byte("m")}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Flush(nil, false); err != nil {
		t.Fatal(err)
	}
	m.expect("DELETE", q+"?if-empty=true", "", 400, bad(`"queue 'q' in vhost '/' not empty"`))
	m.expect("GET", q, "", 200, `…"messages":1,"messages_details":{"rate":0},"messages_ready":1,`)
	m.expect("DELETE", q+"/contents", "", 204, "")
	m.expect("DELETE", q+"?if-empty=true&if-unused=true", "", 204, "")
	m.expect("DELETE", q, "", 404, notFound)
	m.expect("DELETE", q+"/contents", "", 404, notFound)
	m.expect("DELETE", "/api/queues/nope/q", "", 404, notFound)
}

func TestExchangesAndBindingsAreMadeAndDeleted(t *testing.T) {
	m := newManaged(t)
	const x = "/api/exchanges/%2F/x"
	m.expect("PUT", x, `{}`, 201, "")
	m.expect("PUT", x, `{"type":"direct"}`, 204, "")
	m.expect("PUT", x, `{"type":"fanout"}`, 400, bad(`"inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"`))
	m.expect("PUT", x, `{"type":"zzz"}`, 400, bad(`"unknown exchange type 'zzz'"`))
	m.expect("PUT", x, `{"type":3}`, 400, "…type should be a string")
	m.expect("PUT", "/api/exchanges/%2F/y", `{"internal":true,"durable":false,"type":"topic"}`, 201, "")
	m.expect("GET", "/api/exchanges/%2F/y", "", 200, `…"type":"topic","durable":false,"auto_delete":false,"internal":true`)
	m.expect("PUT", "/api/exchanges/%2F/amq.foo", `{"type":"direct"}`, 401, "…reserved prefix")
	m.expect("PUT", "/api/queues/%2F/a%2Fb", `{}`, 201, "")

	const qs = "/api/bindings/%2F/e/x/q/a%2Fb"
	w := m.as("guest", "POST", qs, `{"routing_key":"a b~/","arguments":{"z":1}}`)
	location := w.Header().Get("Location")
	if w.Code != 201 || !strings.HasPrefix(location, "a%2Fb/a+b%257E%252F~") {
		t.Errorf("%d %s", w.Code, location)
	}
	m.expect("POST", qs, `{}`, 201, "")
	m.expect("POST", qs, `{"routing_key":3}`, 400, "…routing_key should be a string")
	m.expect("POST", qs, `{"routing_key":"`+strings.Repeat("a", 256)+`"}`, 400, "…at most 255 bytes")
	m.expect("POST", "/api/bindings/%2F/e/x/q/nope", `{}`, 404, `{"error":"not_found","reason":"no queue 'nope' in vhost '/'"}`)
	m.expect("POST", "/api/bindings/%2F/e/nope/q/a%2Fb", `{}`, 404, `{"error":"not_found","reason":"no exchange 'nope' in vhost '/'"}`)
	m.expect("POST", "/api/bindings/%2F/e/amq.default/q/a%2Fb", `{}`, 401, "…default exchange")
	m.expect("POST", "/api/bindings/%2F/e//q/a%2Fb", `{}`, 401, "…default exchange")
	m.expect("POST", "/api/bindings/%2F/e/x/e/y", `{"routing_key":"k"}`, 201, "")
	m.expect("GET", qs+"/~", "", 200, `{"source":"x","vhost":"/","destination":"a/b","destination_type":"queue","routing_key":"","arguments":{},"properties_key":"~"}`)
	m.expect("GET", qs+"/nope", "", 404, notFound)
	one, err := url.JoinPath("/api/bindings/%2F/e/x/q", location)
	if err != nil {
		t.Fatal(err)
	}
	m.expect("GET", one, "", 200, `…"routing_key":"a b~/","arguments":{"z":1}`)
	m.expect("DELETE", one, "", 204, "")
	m.expect("DELETE", one, "", 404, notFound)
	m.expect("DELETE", qs+"/~", "", 204, "")
	m.expect("POST", qs, `{"routing_key":"k.#"}`, 201, "")
	m.expect("GET", qs+"/k.%2523", "", 200, `…"routing_key":"k.#","arguments":{},"properties_key":"k.%23"}`)
	m.expect("DELETE", qs+"/k.%23", "", 204, "")
	m.expect("POST", qs, `{"routing_key":"~"}`, 201, "")
	m.expect("GET", qs+"/~", "", 404, notFound)
	m.expect("DELETE", qs+"/%257E", "", 204, "")
	m.expect("DELETE", x+"?if-unused=true", "", 400, bad(`"exchange 'x' in vhost '/' in use"`))
	m.expect("DELETE", "/api/bindings/%2F/e/x/e/y/k", "", 204, "")
	m.expect("DELETE", x+"?if-unused=true", "", 204, "")
	m.expect("DELETE", x, "", 404, notFound)
	m.expect("DELETE", "/api/exchanges/%2F/amq.direct", "", 401, "…not_authorised")
	m.expect("DELETE", "/api/exchanges/%2F/amq.default", "", 401, "…not_authorised")
}

// What is made over HTTP needs the permissions that AMQP asks for, and leaves no
// session behind.
func TestPermissionsHoldOverHTTP(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/permissions/%2F/umanagement", `{"configure":"^mine","write":"","read":""}`, 201, "")
	m.expect("PUT", "/api/vhost-limits/%2F/max-connections", `{"value":1}`, 204, "")
	for range 3 {
		if w := m.as("umanagement", "PUT", "/api/queues/%2F/mine", `{}`); w.Code >= 300 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	for _, c := range [][2]string{{"PUT", "/api/queues/%2F/theirs"}, {"PUT", "/api/exchanges/%2F/theirs"}, {"DELETE", "/api/queues/%2F/mine/contents"}} {
		if w := m.as("umanagement", c[0], c[1], `{}`); w.Code != 401 || !strings.Contains(w.Body.String(), "refused for user 'umanagement'") {
			t.Errorf("%s %s: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
	if w := m.as("upolicymaker", "PUT", "/api/queues/%2F/mine2", `{}`); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestArgumentsAreTables(t *testing.T) {
	got, err := arguments(map[string]any{"arguments": map[string]any{"b": int64(1), "a": []any{"x", true}, "c": 1.5}})
	if err != nil {
		t.Fatal(err)
	}
	if text := amqp.Nested(got).String(); text != `{"a":[x,true],"b":1,"c":1.5}` {
		t.Error(text)
	}
}
