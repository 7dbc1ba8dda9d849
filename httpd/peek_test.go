package httpd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/access"
)

// peeked asks as guest.
func (m *managed) peeked(query string) (p peekJSON) {
	m.t.Helper()
	w := m.as("guest", "GET", "/api/queues/%2F/q/peek"+query, "")
	var raw struct {
		peekJSON
		Items []struct {
			peekedJSON
			Properties any `json:"properties"`
		} `json:"items"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &raw); err != nil || w.Code != 200 {
		m.t.Fatalf("peek%s: %d %s (%v)", query, w.Code, w.Body, err)
	}
	p = raw.peekJSON
	p.Items = nil
	for _, item := range raw.Items {
		p.Items = append(p.Items, item.peekedJSON)
	}
	return p
}

func (m *managed) publishTo(queue, payload string) {
	m.t.Helper()
	text, err := json.Marshal(payload)
	if err != nil {
		m.t.Fatal(err)
	}
	m.expect("POST", toQ, `{"routing_key":"`+queue+`","properties":{"delivery_mode":2},"payload":`+string(text)+`,"payload_encoding":"string"}`, 200, `{"routed":true}`)
}

func TestPeekShowsMessagesAndChangesNothing(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{"durable":true}`, 201, "")
	m.expect("GET", "/api/queues/%2F/q/peek", "", 200, `{"items":[],"position":0,"messages":0,"messages_ready":0,"messages_unacknowledged":0,"next":null}`)
	for i := range 5 {
		m.publishTo("q", fmt.Sprint("message ", i))
	}
	m.expect("POST", toQ, `{"routing_key":"q","properties":{"headers":{"a":1},"expiration":"100000"},"payload":"/wA=","payload_encoding":"base64"}`, 200, `{"routed":true}`)
	all := m.peeked("")
	if len(all.Items) != 6 || all.Messages != 6 || all.Ready != 6 || all.Next != nil {
		t.Fatalf("peeked %+v", all)
	}
	for i, item := range all.Items[:5] {
		if item.Position != i || item.State != "ready" || item.Payload != fmt.Sprint("message ", i) || item.Encoding != "string" || item.Bytes != 9 ||
			item.Truncated || item.Redelivered || item.Key != "q" || item.Published == nil || item.Expires != nil || item.Error != "" {
			t.Errorf("item %d: %+v", i, item)
		}
	}
	if last := all.Items[5]; last.Payload != "/wA=" || last.Encoding != "base64" || last.Expires == nil || (*last.Expires-*last.Published)/10 != 10_000 {
		t.Errorf("the last: %+v", last)
	}
	if again := m.peeked(""); fmt.Sprint(again.Items[0].Redelivered, again.Ready, again.Unacked) != "false 6 0" {
		t.Errorf("again: %+v", again)
	}
	some := m.peeked("?position=2&count=2&truncate=3")
	if some.Position != 2 || len(some.Items) != 2 || some.Items[0].Payload != "mes" || !some.Items[0].Truncated || some.Items[0].Bytes != 9 || some.Next == nil || *some.Next != 4 {
		t.Errorf("two: %+v", some)
	}
	if end := m.peeked("?position=100"); len(end.Items) != 0 || end.Next != nil || end.Messages != 6 {
		t.Errorf("behind the end: %+v", end)
	}
	if unacked := m.peeked("?state=unacked"); len(unacked.Items) != 0 {
		t.Errorf("unacked: %+v", unacked)
	}
}

func TestPeekCutsTextBetweenRunes(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	m.publishTo("q", "aä€😀")
	large := strings.Repeat("€", 1<<20)
	m.publishTo("q", large)
	for truncate, want := range map[int]string{0: "", 1: "a", 2: "a", 3: "aä", 5: "aä", 6: "aä€", 9: "aä€", 10: "aä€😀"} {
		got := m.peeked(fmt.Sprint("?count=1&truncate=", truncate)).Items[0]
		if got.Payload != want || got.Encoding != "string" || got.Truncated != (want != "aä€😀") {
			t.Errorf("%d bytes: %+v, want %q", truncate, got, want)
		}
	}
	if got := m.peeked("?position=1&truncate=10").Items[0]; got.Payload != "€€€" || got.Bytes != 3<<20 || !got.Truncated {
		t.Errorf("of a large one: %+v", got)
	}
	if got := m.peeked("?position=1&truncate=10000000").Items[0]; got.Payload != large || got.Truncated {
		t.Errorf("a whole large one: %d bytes, truncated %v, %s", len(got.Payload), got.Truncated, got.Error)
	}
}

func TestPeekRefusesWhatItMust(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	const q = "/api/queues/%2F/q/peek"
	for query, want := range map[string]string{
		"?position=-1":                   "position must be a number from 0 to 9007199254740991",
		"?position=x":                    "position must be a number from 0 to 9007199254740991",
		"?position=99999999999999999999": "position must be a number from 0 to 9007199254740991",
		"?count=0":                       "count must be a number from 1 to 1000",
		"?count=1001":                    "count must be a number from 1 to 1000",
		"?truncate=-1":                   "truncate must be a number from 0 to 16777216",
		"?truncate=":                     "truncate must be a number from 0 to 16777216",
		"?state=gone":                    "state must be all, ready or unacked",
	} {
		m.expect("GET", q+query, "", 400, `{"error":"bad_request","reason":"`+want+`"}`)
	}
	for _, what := range []string{"peek", "storage"} {
		if w := m.as("guest", "GET", "/api/queues/%2F/none/"+what, ""); w.Code != 404 {
			t.Errorf("%s of no queue: %d %s", what, w.Code, w.Body)
		}
		if w := m.as("guest", "GET", "/api/queues/none/q/"+what, ""); w.Code != 404 {
			t.Errorf("%s in no vhost: %d %s", what, w.Code, w.Body)
		}
		if w := m.as("umanagement", "GET", "/api/queues/%2F/q/"+what, ""); w.Code != 401 {
			t.Errorf("%s without permissions: %d %s", what, w.Code, w.Body)
		}
		if w := m.as("guest", "POST", "/api/queues/%2F/q/"+what, ""); w.Code != 405 {
			t.Errorf("POST %s: %d %s", what, w.Code, w.Body)
		}
	}
	if _, err := m.b.SetPermissions(access.Permissions{User: "umanagement", VHost: "/", Configure: ".*", Write: ".*", Read: "^other$"}); err != nil {
		t.Fatal(err)
	}
	if w := m.as("umanagement", "GET", q, ""); w.Code != 401 {
		t.Errorf("without read permission: %d %s", w.Code, w.Body)
	}
	if w := m.as("umanagement", "GET", "/api/queues/%2F/q/storage", ""); w.Code != 200 {
		t.Errorf("the storage view: %d %s", w.Code, w.Body)
	}
}

func TestQueueStorageTellsWhereMessagesLie(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", `{"durable":true}`, 201, "")
	m.expect("GET", "/api/queues/%2F/q/storage", "", 200,
		`{"messages":0,"log":{"files":0,"messages":0,"bytes":0},"memory":{"messages":0,"bytes":0,"spilled_messages":0,"spilled_bytes":0},"segments":[],"large":{"files":0,"messages":0,"bytes":0},"live_bytes":0,"raw_bytes":0,"ratio":1}`)
	m.publishTo("q", strings.Repeat("word ", 100))
	m.publishTo("q", strings.Repeat("l", 1<<20))
	m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"fleeting","payload_encoding":"string"}`, 200, `{"routed":true}`)
	w := m.as("guest", "GET", "/api/queues/%2F/q/storage", "")
	var f footprintJSON
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.Messages != 3 || f.Log.Files != 1 || f.Log.Messages != 1 || f.Memory.Messages != 1 || f.Large.Files != 1 || f.Large.Bytes < 1<<20 ||
		f.Live != f.Log.Bytes+f.Large.Bytes || f.Raw != f.Live || f.Ratio != 1 {
		t.Errorf("storage %s", w.Body)
	}
}
