package httpd

import (
	"strings"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

const well = `{"status":"ok"}`

func TestAlarmsFailTheirChecks(t *testing.T) {
	b, err := broker.Open("data", broker.Options{Reserve: -1, DiskFreeLimit: 1 << 62, Store: store.Options{FS: vfs.NewMem()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	m := manage(t, b)
	const short = `"alarms":[{"node":"leveret@localhost","resource":"disk"}],"reason":"There are alarms in effect in the `
	m.expect("GET", "/api/health/checks/alarms", "", 503, `…`+short+`cluster","status":"failed"}`)
	m.expect("GET", "/api/health/checks/local-alarms", "", 503, `…`+short+`node","status":"failed"}`)
	m.expect("GET", "/api/healthchecks/node", "", 200, `{"reason":"resource alarm(s) in effect: low on disk","status":"failed"}`)
	// It is ready for consumers, and takes what has room.
	m.expect("GET", "/api/health/checks/ready", "", 200, well)
	m.expect("GET", "/api/health/checks/virtual-hosts", "", 200, well)
}

func TestABrokerThatIsWellPassesItsChecks(t *testing.T) {
	m := newManaged(t)
	for _, check := range []string{
		"health/checks/alarms", "health/checks/local-alarms", "health/checks/ready", "health/checks/virtual-hosts",
		"health/checks/certificate-expiration/1/weeks", "healthchecks/node", "healthchecks/node/leveret@localhost", "aliveness-test/%2F",
	} {
		m.expect("GET", "/api/"+check, "", 200, well)
	}
	for _, check := range []string{"node-is-mirror-sync-critical", "node-is-quorum-critical"} {
		m.expect("GET", "/api/health/checks/"+check, "", 200, `{"reason":"single node cluster","status":"ok"}`)
	}
	m.expect("GET", "/api/health/checks/nope", "", 404, notFound)
	m.expect("GET", "/api/healthchecks/node/other", "", 404, notFound)
	m.expect("POST", "/api/rebalance/queues", "", 204, "")
	if w := m.as("", "GET", "/api/auth", ""); w.Code != 200 || w.Body.String() != `{"enable_uaa":false,"uaa_client_id":"","uaa_location":""}` {
		t.Errorf("who is not logged in is told of OAuth 2: %d %s", w.Code, w.Body)
	}
	if w := m.as("", "GET", "/api/health/checks/ready", ""); w.Code != 401 {
		t.Errorf("who is not logged in may check: %d", w.Code)
	}
}

func TestAListenerIsLookedForByPortAndProtocol(t *testing.T) {
	m := newManaged(t)
	m.s.SetListeners([]Listener{{Protocol: "amqp", Addr: "[::]:5672"}, {Protocol: "amqp/ssl", Addr: "127.0.0.1:5671"}, {Protocol: "http", Addr: "127.0.0.1:15672"}})
	port, protocol := "/api/health/checks/port-listener/", "/api/health/checks/protocol-listener/"
	m.expect("GET", port+"5672", "", 200, `{"port":5672,"status":"ok"}`)
	m.expect("GET", port+"5673", "", 503, `{"missing":5673,"ports":[5672,5671,15672],"reason":"No active listener","status":"failed"}`)
	m.expect("GET", port+"x", "", 400, `{"error":"bad_request","reason":"Invalid port"}`)
	for asked, is := range map[string]string{"amqp": "amqp", "amqp091": "amqp", "AMQP": "amqp", "amqp%2Fssl": "amqp/ssl", "amqps": "amqp/ssl", "http": "http"} {
		m.expect("GET", protocol+asked, "", 200, `{"protocol":"`+is+`","status":"ok"}`)
	}
	m.expect("GET", protocol+"mqtt", "", 503, `{"missing":"mqtt","protocols":["amqp","amqp/ssl","http"],"reason":"No active listener","status":"failed"}`)
}

func TestACertificateThatExpiresFailsItsCheck(t *testing.T) {
	m := newManaged(t)
	end := time.Now().AddDate(0, 0, 10)
	m.s.SetListeners([]Listener{{Protocol: "amqp", Addr: "127.0.0.1:5672"},
		{Protocol: "amqp/ssl", Addr: "127.0.0.1:5671", Certificate: func() (string, time.Time) { return "CN=host", end }}})
	check := "/api/health/checks/certificate-expiration/"
	for _, within := range []string{"9/days", "1/weeks", "-1/years"} {
		m.expect("GET", check+within, "", 200, well)
	}
	for _, within := range []string{"11/days", "2/weeks", "1/months", "1/years"} {
		w := m.as("guest", "GET", check+within, "")
		if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, `"reason":"Certificates expiring"`) || !strings.Contains(body, `"port":"5671"`) || strings.Contains(body, `5672`) {
			t.Errorf("within %s: %d %s", within, w.Code, w.Body)
		}
	}
	m.expect("GET", check+"1/fortnights", "", 400, `{"error":"bad_request","reason":"Time unit not recognised. Supported units: days, weeks, months, years."}`)
	m.expect("GET", check+"x/days", "", 400, `{"error":"bad_request","reason":"Invalid expiration value."}`)
	m.expect("GET", check+"99999999999999/years", "", 400, `{"error":"bad_request","reason":"Invalid expiration value."}`)
}

func TestAlivenessIsTriedInTheVHost(t *testing.T) {
	m := newManaged(t)
	m.expect("GET", "/api/aliveness-test/nope", "", 404, notFound)
	m.expect("GET", "/api/aliveness-test/%2F", "", 200, well)
	if q, err := m.b.Queue("/", "aliveness-test"); err != nil || q.Ready != 0 || q.Counts.Publish != 1 || q.Counts.GetNoAck != 1 {
		t.Errorf("%v %+v", err, q)
	}
	if w := m.as("umanagement", "GET", "/api/aliveness-test/%2F", ""); w.Code != 401 {
		t.Errorf("who may not enter the vhost: %d %s", w.Code, w.Body)
	}
	// A message that is in the way is taken first; what cannot work is said.
	m.expect("DELETE", "/api/queues/%2F/aliveness-test", "", 204, "")
	m.expect("PUT", "/api/queues/%2F/aliveness-test", `{"durable":true}`, 201, "")
	if w := m.as("guest", "GET", "/api/aliveness-test/%2F", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "inequivalent arg 'durable'") {
		t.Errorf("a queue of that name that is another: %d %s", w.Code, w.Body)
	}
}
