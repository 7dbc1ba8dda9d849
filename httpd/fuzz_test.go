package httpd

import (
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// answered fails where an answer is none that bad input may get, or no JSON.
func answered(t *testing.T, w *httptest.ResponseRecorder, request string, codes ...int) {
	t.Helper()
	if !slices.Contains(codes, w.Code) {
		t.Errorf("%s: %d %s", request, w.Code, w.Body)
	}
	if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: %d, which is no JSON: %s", request, w.Code, w.Body)
	}
	if w.Code >= 400 && w.Code != 405 {
		var why struct {
			Error  string `json:"error"`
			Reason any    `json:"reason"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &why); err != nil || why.Error == "" || why.Reason == nil || why.Reason == "" {
			t.Errorf("%s: %d without a reason: %s", request, w.Code, w.Body)
		}
	}
}

// What is published is what is fetched; anything else is refused with a reason.
func FuzzPublish(f *testing.F) {
	m := newManaged(f)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for _, properties := range []string{
		`{}`, `[]`, `7`, `null`, `{"delivery_mode":2,"headers":{"a":[1,{"b":null}],"x":1e400},"priority":3,"timestamp":1}`, `{"headers":{"CC":["q"],"BCC":"x"}}`,
		`{"reply_to":"amq.rabbitmq.reply-to","user_id":"guest","expiration":"1"}`, `{"type":"` + strings.Repeat("ü", 128) + `"}`, `{"headers":{"x-delay":5}}`, `{"delivery_mode":-1}`,
	} {
		f.Add(`{"routing_key":"q","properties":` + properties + `,"payload":"hi","payload_encoding":"string"}`)
	}
	f.Add(`{"routing_key":"q","properties":{},"payload":"/wA=","payload_encoding":"base64"}`)
	f.Add(`{"routing_key":"\ud800","properties":{},"payload":"\u0000\ud800","payload_encoding":"string"}`)
	f.Fuzz(func(t *testing.T, body string) {
		m := &managed{t, m.s, m.b}
		w := m.as("guest", "POST", toQ, body)
		answered(t, w, body, 200, 400, 413)
		if w.Code != 200 {
			return
		}
		got := m.fetched("/api/queues/%2F/q/get", `{"count":5,"ackmode":"ack_requeue_false","encoding":"base64"}`)
		routed := w.Body.String() == `{"routed":true}`
		if len(got) > 0 && !routed {
			t.Errorf("%s: %s, but %v", body, w.Body, got)
		}
		var sent struct {
			Payload  string `json:"payload"`
			Encoding string `json:"payload_encoding"`
		}
		if err := json.Unmarshal([]byte(body), &sent); err != nil {
			return // keys that stand there twice, in other cases
		}
		for _, each := range got {
			text, _ := each["payload"].(string)
			payload, err := base64.StdEncoding.DecodeString(text)
			if err != nil || sent.Encoding == "string" && string(payload) != sent.Payload {
				t.Errorf("%s: %q came back (%v)", body, payload, err)
			}
		}
	})
}

// Whatever is asked of a queue, its message is there after, or was in the answer.
func FuzzFetch(f *testing.F) {
	m := newManaged(f)
	m.expect("PUT", "/api/queues/%2F/q", `{}`, 201, "")
	for _, mode := range []string{`"ack_requeue_true"`, `"ack_requeue_false"`, `"reject_requeue_true"`, `"reject_requeue_false"`, `7`, `"x"`} {
		for _, more := range []string{`"count":1,"encoding":"auto"`, `"count":"-3","encoding":"base64","truncate":1`, `"count":1e9,"encoding":"auto","truncate":"0"`, `"count":1.5,"encoding":null`, `"count":-1e999,"encoding":{},"truncate":-9223372036854775808`} {
			f.Add(`{"ackmode":` + mode + `,` + more + `}`)
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		m := &managed{t, m.s, m.b}
		if q, _ := m.b.Queue("/", "q"); q.Ready == 0 {
			m.expect("POST", toQ, `{"routing_key":"q","properties":{},"payload":"häl","payload_encoding":"string"}`, 200, `{"routed":true}`)
		}
		w := m.as("guest", "POST", "/api/queues/%2F/q/get", body)
		answered(t, w, body, 200, 400, 413)
		q, err := m.b.Queue("/", "q")
		if err != nil || q.Unacked != 0 || q.Ready == 0 && (w.Code != 200 || !strings.Contains(body, "requeue_false") && !strings.Contains(body, "\\")) {
			t.Errorf("%s: %d %s; %d ready, %d unacked, %v", body, w.Code, w.Body, q.Ready, q.Unacked, err)
		}
	})
}

// A parameter that is taken can be had again.
func FuzzParameters(f *testing.F) {
	m := newManaged(f)
	for _, body := range []string{`{"value":{"max-queues":1}}`, `{"value":{"max-queues":1e30}}`, `{"value":{"pattern":"(","definition":{}}}`, `{"value":null}`, `{"value":[]}`, `{"VALUE":1}`, `{"value":1,"value":{}}`,
		`{"value":{"pattern":"a","definition":{"max-length":1},"priority":"x","apply-to":7}}`, `{"value":123456789012345678901234567890.5e999}`, `{"name":"x"}`, `"{\"value\":1}"`} {
		for _, path := range []string{"parameters/vhost-limits/%2F/limits", "parameters/operator_policy/%2F/p", "parameters/shovel/%2F/s", "parameters/policy/x/y", "global-parameters/g", "cluster-name"} {
			f.Add(path, body)
		}
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		m := &managed{t, m.s, m.b}
		kind, _, _ := strings.Cut(path, "/")
		if !slices.Contains([]string{"parameters", "global-parameters", "cluster-name"}, kind) || strings.ContainsAny(path, " \x7f?#") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' }) {
			return
		}
		for i := range len(path) { // what is no URL never gets there
			if path[i] == '%' && (i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2])) {
				return
			}
		}
		w := m.as("guest", "PUT", "/api/"+path, body)
		answered(t, w, "PUT "+path+" "+body, 201, 204, 400, 404, 405, 413)
		if w.Code < 300 {
			answered(t, m.as("guest", "GET", "/api/"+path, ""), "GET "+path, 200, 404) // limits that are none
		}
		for _, list := range []string{"/api/parameters", "/api/global-parameters", "/api/cluster-name", "/api/definitions"} {
			answered(t, m.as("guest", "GET", list, ""), "GET "+list, 200)
		}
		answered(t, m.as("guest", "DELETE", "/api/"+path, ""), "DELETE "+path, 204, 404, 405)
	})
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
