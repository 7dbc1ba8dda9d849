package httpd

import (
	"bytes"
	"mime/multipart"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/identity"
)

func TestDefinitionsAreExportedAndImported(t *testing.T) {
	m := newManaged(t)
	text, err := os.ReadFile("../definitions/testdata/rabbitmq-3.10.8.json")
	if err != nil {
		t.Fatal(err)
	}
	m.expect("POST", "/api/definitions", string(text), 204, "")
	w := m.as("guest", "GET", "/api/definitions?download=my%20file.json", "")
	for _, want := range []string{`{"rabbit_version":"` + identity.RabbitMQ + `","rabbitmq_version":`, `{"name":"defs/ü ö"}`, `"component":"operator_policy"`, `{"name":"dlx","vhost":"defs-shop","type":"fanout","durable":true,`} {
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d: no %s in %s", w.Code, want, w.Body)
		}
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="my file.json"` {
		t.Error(got)
	}
	one := m.as("guest", "GET", "/api/definitions/defs-shop", "").Body.String()
	if !strings.Contains(one, `{"name":"dlx","type":"fanout","durable":true,`) || strings.Contains(one, `"users"`) {
		t.Error(one)
	}
	m.expect("PUT", "/api/vhosts/copy", "", 201, "")
	m.expect("POST", "/api/definitions/copy", one, 204, "")
	m.expect("GET", "/api/exchanges/copy/dlx", "", 200, `…"type":"fanout"`)
	m.expect("POST", "/api/definitions", "", 204, "")
	m.expect("POST", "/api/definitions", `{"unknown":[1]}`, 204, "")
}

func TestDefinitionsRefusals(t *testing.T) {
	m := newManaged(t)
	m.expect("GET", "/api/definitions/nope", "", 400, bad(`"vhost_not_found"`))
	m.expect("POST", "/api/definitions/nope", "{}", 404, noVHost)
	m.expect("POST", "/api/definitions", `[]`, 400, bad(`"failed_to_parse_json"`))
	m.expect("POST", "/api/definitions", `{"users":[{"name":"u"}]}`, 400, bad(`"users, name 'u': tags_not_present"`))
	m.expect("POST", "/api/definitions", `{"permissions":[{"user":"nope","vhost":"/","configure":"","write":"","read":""}]}`, 400, bad(`["no_such_user","nope"]`))
	m.expect("POST", "/api/definitions", `{"queues":[{"name":"q","vhost":"nope","durable":false,"auto_delete":false,"arguments":{}}]}`, 400, bad(`["no_such_vhost","nope"]`))
	m.expect("PUT", "/api/definitions", `{}`, 405, "")
	for _, user := range []string{"umanagement", "umonitoring", "upolicymaker"} {
		for _, method := range []string{"GET", "POST"} {
			if w := m.as(user, method, "/api/definitions", "{}"); w.Code != 401 || !strings.Contains(w.Body.String(), "Not administrator user") {
				t.Errorf("%s as %s: %d %s", method, user, w.Code, w.Body)
			}
		}
	}
}

// form posts a form with a file, as a browser does.
func (m *managed) form(path, field, text string) *httptest.ResponseRecorder {
	m.t.Helper()
	var body bytes.Buffer
	f := multipart.NewWriter(&body)
	_ = f.WriteField("other", "x")
	part, err := f.CreateFormFile(field, "definitions.json")
	if err != nil {
		m.t.Fatal(err)
	}
	_, _ = part.Write([]byte(text))
	_ = f.Close()
	r := httptest.NewRequest("POST", path, &body)
	r.Header.Set("Content-Type", f.FormDataContentType())
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15672"
	r.SetBasicAuth("guest", "guest")
	w := httptest.NewRecorder()
	m.s.http.Handler.ServeHTTP(w, r)
	return w
}

func TestDefinitionsAreTakenFromForms(t *testing.T) {
	m := newManaged(t)
	if w := m.form("/api/definitions", "file", `{"vhosts":[{"name":"v"}]}`); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	m.expect("GET", "/api/vhosts/v", "", 200, `…"name":"v"`)
	if w := m.form("/api/definitions", "file", `{"vhosts":[`); w.Code != 400 || w.Body.String() != bad(`"failed_to_parse_json"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := m.form("/api/definitions", "nothing", `{}`); w.Code != 400 || w.Body.String() != bad(`"the form has no file"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("POST", "/api/definitions", strings.NewReader("nonsense"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:15672"
	r.SetBasicAuth("guest", "guest")
	w := httptest.NewRecorder()
	m.s.http.Handler.ServeHTTP(w, r)
	if w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
