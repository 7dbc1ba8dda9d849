package httpd

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/certs"
	"github.com/leveret-mq/leveret/internal/certs/certtest"
	"github.com/leveret-mq/leveret/monitor"
)

func TestWhoMayNotMonitorSeesWhatIsItsOwn(t *testing.T) {
	b := newBusy(t)
	type overview struct {
		Objects objectTotals `json:"object_totals"`
		Queues  struct {
			Messages int
			Details  detail `json:"messages_details"`
		} `json:"queue_totals"`
		Stats     map[string]any `json:"message_stats"`
		Listeners []any
		Churn     any `json:"churn_rates"`
	}
	all := get[overview](b.managed, "guest", "/api/overview")
	// umonitoring has no permissions in v, and sees it all the same; uadministrator too.
	if mon := get[overview](b.managed, "umonitoring", "/api/overview"); mon.Queues.Messages != all.Queues.Messages || mon.Objects != all.Objects {
		t.Errorf("who may monitor sees %+v, an administrator %+v", mon, all)
	}
	mine := get[overview](b.managed, "umanagement", "/api/overview?lengths_age=60&lengths_incr=5")
	if mine.Queues.Messages != all.Queues.Messages || mine.Objects.Connections != 0 || mine.Objects.Channels != 0 || mine.Objects.Queues != 4 ||
		mine.Listeners != nil || mine.Churn != nil || mine.Stats["publish"] != all.Stats["publish"] {
		t.Errorf("%+v", mine)
	}
	if len(mine.Queues.Details.Samples) < 3 || mine.Queues.Details.Samples[0].Sample != float64(all.Queues.Messages) || mine.Queues.Details.Rate != all.Queues.Details.Rate {
		t.Errorf("%+v, all %+v", mine.Queues, all.Queues)
	}
	if err := b.b.ClearPermissions("v", "umanagement"); err != nil {
		t.Fatal(err)
	}
	if less := get[overview](b.managed, "umanagement", "/api/overview"); less.Queues.Messages != 0 || less.Objects.Queues != 0 || less.Stats["publish"] != nil {
		t.Errorf("without permissions: %+v", less)
	}

	for _, path := range []string{"/api/nodes", "/api/nodes/leveret@localhost", "/api/nodes/leveret@localhost/memory", "/api/storage"} {
		if w := b.as("umanagement", "GET", path, ""); w.Code != 401 {
			t.Errorf("%s: %d", path, w.Code)
		}
		if w := b.as("umonitoring", "GET", path, ""); w.Code != 200 {
			t.Errorf("%s of who may monitor: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestChannelsAreSeenByTheirUserAndWhoMayMonitor(t *testing.T) {
	c := newConnected(t)
	client, name := c.login("umanagement", "v")
	client.Open(3)
	channel := strings.Replace(connectionPath(name+" (3)"), "/api/connections/", "/api/channels/", 1)
	count := func(user, path string) int { return len(get[[]any](c.managed, user, path)) }
	for _, path := range []string{"/api/channels", "/api/vhosts/v/channels", connectionPath(name) + "/channels"} {
		if n := count("guest", path) + count("umanagement", path); n != 2 {
			t.Errorf("%s: guest and the user see %d channels", path, n)
		}
	}
	if n := count("upolicymaker", "/api/channels") + count("guest", "/api/vhosts/%2F/channels"); n != 0 {
		t.Errorf("%d channels are seen by others, or in another vhost", n)
	}
	for user, code := range map[string]int{"guest": 200, "umonitoring": 200, "umanagement": 200, "upolicymaker": 401} {
		if w := c.as(user, "GET", channel, ""); w.Code != code {
			t.Errorf("%s: %d %s", user, w.Code, w.Body)
		}
	}
	if w := c.as("upolicymaker", "GET", connectionPath(name)+"/channels", ""); w.Code != 401 {
		t.Errorf("channels of another's connection: %d", w.Code)
	}
	c.expect("GET", "/api/channels/nope", "", 404, notFound)
	c.expect("GET", "/api/connections/nope/channels", "", 404, notFound)
	c.expect("GET", "/api/vhosts/nope/channels", "", 404, notFound)
	c.expect("GET", "/api/consumers/nope", "", 404, notFound)
	c.expect("GET", "/api/channels?disable_stats=true", "", 400, "…Stats in management UI are disabled")
	c.expect("GET", "/api/channels?sort=number&columns=number,prefetch_count,confirm&page=1&page_size=5", "", 200, `…"items":[{"confirm":false,"number":3,"prefetch_count":0}]`)
}

func TestConsumersAreSeenWhereTheirUserMayEnter(t *testing.T) {
	b := newBusy(t)
	for user, want := range map[string]int{"guest": 2, "umanagement": 2, "umonitoring": 0, "uadministrator": 2} {
		if got := get[[]any](b.managed, user, "/api/consumers"); len(got) != want {
			t.Errorf("%s sees %d consumers, want %d", user, len(got), want)
		}
	}
}

func TestTheTimeOfAQueuesHeadIsShown(t *testing.T) {
	b := newBusy(t)
	const path = "/api/queues/v/stamped"
	b.expect("PUT", path, `{"durable":true}`, 201, "")
	b.expect("GET", path+"?columns=head_message_timestamp", "", 200, `{"head_message_timestamp":null}`)
	for _, stamp := range []int{123456, 99} {
		b.expect("POST", "/api/exchanges/v/amq.default/publish", fmt.Sprintf(`{"routing_key":"stamped","payload":"","payload_encoding":"string","properties":{"timestamp":%d}}`, stamp), 200, `{"routed":true}`)
	}
	b.expect("GET", path+"?columns=head_message_timestamp", "", 200, `{"head_message_timestamp":123456}`)
	b.expect("GET", "/api/queues/v?name=stamped&columns=head_message_timestamp", "", 200, `[{"head_message_timestamp":123456}]`)
	if q, err := b.b.Queue("v", "stamped"); err != nil || q.Ready != 2 || q.Counts.Redeliver+q.Counts.DeliverGet() != 0 {
		t.Errorf("looking changed the queue: %v %+v", err, q)
	}
}

func TestAnEncryptedConnectionTellsOfItsTLS(t *testing.T) {
	c := newConnected(t)
	dir := t.TempDir()
	ca := certtest.NewAuthority(t, "authority")
	cert, key := ca.Server().Write(t, dir, "server")
	source, err := certs.Load(certs.Options{CertFile: cert, KeyFile: key, CAFile: certtest.WriteFile(t, dir, "ca.pem", ca.PEM), Verify: certs.VerifyRequired})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- c.amqp.Server.Serve(tls.NewListener(l, source.Config())) }()
	t.Cleanup(func() { c.amqp.Stop(); <-served })
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{ca.Client("hare").TLS(t)}, MaxVersion: tls.VersionTLS12}
	conn, err := amqp091.DialTLS("amqps://guest:guest@"+l.Addr().String()+"/v", config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	shown := get[[]map[string]any](c.managed, "guest", "/api/connections")
	if len(shown) != 1 {
		t.Fatalf("%d connections", len(shown))
	}
	for name, want := range map[string]any{
		"ssl": true, "ssl_protocol": "tlsv1.2", "ssl_key_exchange": "ecdhe_ecdsa", "ssl_hash": "aead",
		"peer_cert_subject": "CN=hare", "peer_cert_issuer": "CN=authority",
	} {
		if got := shown[0][name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if v, _ := shown[0]["peer_cert_validity"].(string); strings.Count(v, "Z") != 2 {
		t.Errorf("peer_cert_validity %q", v)
	}
}

func TestCiphersAreTakenApart(t *testing.T) {
	for name, want := range map[string][3]string{
		"TLS_AES_128_GCM_SHA256":                        {"any", "aes_128_gcm", "aead"},
		"TLS_CHACHA20_POLY1305_SHA256":                  {"any", "chacha20_poly1305", "aead"},
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384":         {"ecdhe_rsa", "aes_256_gcm", "aead"},
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": {"ecdhe_ecdsa", "chacha20_poly1305", "aead"},
		"TLS_RSA_WITH_AES_128_CBC_SHA":                  {"rsa", "aes_128_cbc", "sha"},
		"0x1301":                                        {"any", "0x1301", ""},
	} {
		if x, c, h := cipherParts(name); [3]string{x, c, h} != want {
			t.Errorf("%s: %s %s %s, want %v", name, x, c, h, want)
		}
	}
}

func TestTheEngineIsShown(t *testing.T) {
	b := newBusy(t)
	got := get[storageJSON](b.managed, "guest", "/api/storage?lengths_age=60&lengths_incr=5")
	if got.WAL.Commits == 0 || got.WAL.Sync.Count == 0 || got.WAL.Group.Max == 0 || got.Tiers.Log.Files == 0 || got.Tiers.Log.Messages == 0 || got.Written.Total == 0 || got.Published == 0 || got.Dir != "data" {
		t.Errorf("%+v", got)
	}
	for _, f := range storageSamples {
		line := got.Samples[f.String()]
		if len(line) < 4 {
			t.Fatalf("%s has %d samples", f, len(line))
		}
		if last := line[len(line)-1]; last[0] != float64(b.at.UnixMilli()) || last[0]-line[0][0] < 15_000-1 {
			t.Errorf("%s: samples from %v to %v", f, line[0][0], last[0])
		}
	}
	if logs := got.Samples["log_bytes"]; logs[len(logs)-1][1] <= 0 {
		t.Errorf("log_bytes %v", logs)
	}
}

func TestWithoutAMonitorThereAreNoRates(t *testing.T) {
	m := newManaged(t)
	m.expect("PUT", "/api/queues/%2F/q", "{}", 201, "")
	for _, path := range []string{"/api/overview", "/api/queues", "/api/vhosts", "/api/nodes", "/api/storage", "/api/queues?lengths_age=60&lengths_incr=5"} {
		if w := m.as("guest", "GET", path, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	m.expect("GET", "/api/queues?columns=messages_details", "", 200, `[{"messages_details":{"rate":0}}]`)
}

func TestQueuesAreSortedByWhatChangesMost(t *testing.T) {
	b := newBusy(t)
	names := func(query string) (all []string) {
		for _, q := range get[[]struct{ Name string }](b.managed, "guest", "/api/queues/v?"+query) {
			all = append(all, q.Name)
		}
		return all
	}
	for query, want := range map[string]string{
		"sort=messages&sort_reverse=true":                           "one excl quor two",
		"sort=message_stats.publish_details.rate&sort_reverse=true": "one",
		"sort=message_stats.ack&sort_reverse=true":                  "one",
		"sort=name": "excl one quor two", "sort=type&sort_reverse=true": "quor", "sort=consumers": "excl quor one two",
		"sort=message_bytes&sort_reverse=true": "one", "sort=nope": "excl one quor two",
	} {
		got := strings.Join(names(query), " ")
		if query == "sort=messages&sort_reverse=true" || strings.Count(want, " ") == 0 {
			got, _, _ = strings.Cut(got, " ")
			want, _, _ = strings.Cut(want, " ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// BenchmarkListQueues lists 100,000 queues, all of them or a page by rate.
func BenchmarkListQueues(b *testing.B) {
	m := newManaged(b)
	if _, err := m.b.SetPermissions(access.Permissions{User: "guest", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		b.Fatal(err)
	}
	declareMany(b, m, 100_000)
	w := monitor.New(m.b, monitor.Options{Interval: -1})
	defer w.Close()
	w.Sample(time.Now().Add(5 * time.Second))
	m.s.SetMonitor(w)
	for name, path := range map[string]string{
		"all": "/api/queues", "page": "/api/queues?page=3&page_size=100", "sorted": "/api/queues?page=1&page_size=100&sort=message_stats.publish_details.rate&sort_reverse=true",
		"columns": "/api/queues?columns=name,messages", "slowly": "/api/queues?page=1&page_size=100&sort=state", "overview": "/api/overview", "vhosts": "/api/vhosts",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := m.as("guest", "GET", path, ""); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

func declareMany(b *testing.B, m *managed, n int) {
	s, err := m.b.NewSession("/", &broker.User{Name: "guest"}, peer{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	for i := range n {
		if _, err := s.DeclareQueue(broker.QueueSpec{Name: fmt.Sprintf("q%d", i)}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestQueuesAreSortedQuicklyAsTheyAreShown(t *testing.T) {
	b := newBusy(t)
	refs, err := b.b.QueueRefs("v")
	if err != nil {
		t.Fatal(err)
	}
	c := &call{b: b.b, s: b.s}
	for _, r := range refs {
		row := mustRow(c.showQueue(r.List(), windows{}))
		keys := []string{"name", "vhost", "messages_details.rate", "message_stats.publish_details.rate", "message_stats.deliver_get_details.rate"}
		for key := range queueKeys {
			if _, top := row[key]; !top {
				key = "message_stats." + key
			}
			keys = append(keys, key)
		}
		for _, key := range keys {
			quick, ok := c.sortKey(r, key)
			if slow := field(row, key); key != "node" && (!ok || compare(quick, slow) != 0 && !(slow == nil && quick == 0.0)) {
				t.Errorf("%s of %s: %v, shown as %v", key, r.Name(), quick, slow)
			}
		}
	}
}

func TestColumnsAreWhatTheWholeObjectHas(t *testing.T) {
	b := newBusy(t)
	c := &call{b: b.b, s: b.s, w: httptest.NewRecorder()}
	w := windows{lengths: &defaultSamples, rates: &defaultSamples}
	check := func(shown any) {
		row := mustRow(shown)
		columns := []string{"nope", "nope.nope", "name.nope"}
		for name, v := range row {
			columns = append(columns, name)
			if inner, ok := v.(map[string]any); ok {
				for within := range inner {
					columns = append(columns, name+"."+within)
				}
			}
		}
		for _, names := range append(columns, "name,messages,messages_details.rate,message_stats.publish,message_stats.publish_details.rate") {
			if got, want := asJSON(t, mustRow(cutObject(shown, names))), asJSON(t, cutRow(row, names)); got != want {
				t.Errorf("%T: %s\ngot  %s\nwant %s", shown, names, got, want)
			}
		}
	}
	refs, err := b.b.QueueRefs("v")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refs {
		q := r.List()
		check(c.showQueue(q, w))
		check(c.showPlainQueue(&q, false))
		check(c.showPlainQueue(&q, true))
	}
	for _, l := range b.b.Connections() {
		check(c.showConnection(l, w))
	}
	for _, l := range b.b.Channels() {
		check(c.showChannel(l, w))
	}
	for _, v := range b.b.VHosts() {
		shown := c.showVHost(v)
		check(shown)
		shown.vhostFigures = c.vhostFigures(v.Name, w)
		check(shown)
	}
}
