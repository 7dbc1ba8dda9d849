package exporter_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/exporter"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// wants compares values, by name and labels as "name{a=b,c=d}".
func wants(t *testing.T, got map[string]metric, want map[string]float64) {
	t.Helper()
	for what, v := range want {
		name, labels, _ := strings.Cut(strings.TrimSuffix(what, "}"), "{")
		if is, ok := got[name].values[labels]; !ok || is != v {
			t.Errorf("%s is %v, want %v (%v)", what, is, v, got[name].values)
		}
	}
}

func TestTheWholeBrokerInFigures(t *testing.T) {
	w := newWorld(t)
	w.work()
	w.sample()
	got := w.parse("/metrics")
	const amqp091, classic, quorum = "protocol=amqp091", "protocol=amqp091,queue_type=rabbit_classic_queue", "protocol=amqp091,queue_type=rabbit_quorum_queue"
	wants(t, got, map[string]float64{
		"rabbitmq_connections": 1, "rabbitmq_channels": 2, "rabbitmq_consumers": 1, "rabbitmq_queues": 3,
		"rabbitmq_connections_opened_total": 1, "rabbitmq_connections_closed_total": 0, "rabbitmq_channels_opened_total": 2,
		"rabbitmq_queues_declared_total": 5, "rabbitmq_queues_created_total": 4, "rabbitmq_queues_deleted_total": 1,

		"rabbitmq_queue_messages_ready": 3, "rabbitmq_queue_messages_unacked": 2, "rabbitmq_queue_messages": 5,
		"rabbitmq_queue_messages_persistent": 5, "rabbitmq_queue_messages_ram": 0,
		"rabbitmq_queue_messages_bytes": 45, "rabbitmq_queue_messages_unacked_bytes": 20, "rabbitmq_queue_messages_ready_bytes": 25,
		"rabbitmq_queue_consumers": 1, "rabbitmq_channel_consumers": 1, "rabbitmq_channel_messages_unacked": 2, "rabbitmq_channel_messages_unconfirmed": 0,
		"rabbitmq_consumer_prefetch": 2, "rabbitmq_connection_channels": 2,

		"rabbitmq_channel_messages_published_total": 9, "rabbitmq_channel_messages_confirmed_total": 9,
		"rabbitmq_channel_messages_unroutable_dropped_total": 1, "rabbitmq_channel_messages_unroutable_returned_total": 1,
		"rabbitmq_queue_messages_published_total": 7, "rabbitmq_channel_get_total": 1, "rabbitmq_channel_get_ack_total": 0, "rabbitmq_channel_get_empty_total": 1,
		"rabbitmq_channel_messages_delivered_ack_total": 5, "rabbitmq_channel_messages_delivered_total": 0,
		"rabbitmq_channel_messages_redelivered_total": 1, "rabbitmq_channel_messages_acked_total": 1,

		"rabbitmq_global_messages_received_total{" + amqp091: 9, "rabbitmq_global_messages_received_confirm_total{" + amqp091: 9,
		"rabbitmq_global_messages_confirmed_total{" + amqp091: 9, "rabbitmq_global_messages_routed_total{" + amqp091: 7,
		"rabbitmq_global_messages_unroutable_dropped_total{" + amqp091: 1, "rabbitmq_global_messages_unroutable_returned_total{" + amqp091: 1,
		"rabbitmq_global_publishers{" + amqp091: 1, "rabbitmq_global_consumers{" + amqp091: 1,
		"rabbitmq_global_messages_delivered_total{" + classic: 5, "rabbitmq_global_messages_delivered_total{" + quorum: 1,
		"rabbitmq_global_messages_delivered_consume_manual_ack_total{" + classic: 5, "rabbitmq_global_messages_delivered_get_auto_ack_total{" + quorum: 1,
		"rabbitmq_global_messages_acknowledged_total{" + classic: 1, "rabbitmq_global_messages_redelivered_total{" + classic: 1,
		"rabbitmq_global_messages_get_empty_total{" + classic:                                                                     1,
		"rabbitmq_global_messages_dead_lettered_rejected_total{dead_letter_strategy=at_most_once,queue_type=rabbit_classic_queue": 1,
		"rabbitmq_message_size_bytes{" + amqp091:                                                                                  9,

		"rabbitmq_auth_attempts_total{" + amqp091: 1, "rabbitmq_auth_attempts_failed_total{" + amqp091: 0,
		"rabbitmq_alarms_memory_used_watermark": 0, "rabbitmq_alarms_free_disk_space_watermark": 0,
		"rabbitmq_disk_space_available_limit_bytes": 50e6,

		"leveret_ready": 1, "leveret_log_failed": 0, "leveret_publishers_blocked": 0, "leveret_damaged_messages_total": 0,
		"leveret_storage_files{tier=log": 1, "leveret_storage_messages{tier=log": 5,
	})
	for _, name := range []string{
		"leveret_wal_commits_total", "leveret_wal_fsync_duration_seconds", "leveret_wal_group_batches", "leveret_wal_write_duration_seconds",
		"leveret_published_bytes_total", "leveret_space_amplification_ratio", "leveret_write_amplification_ratio", "leveret_cache_limit_bytes",
		"leveret_recovery_duration_seconds",
		"rabbitmq_io_sync_ops_total", "rabbitmq_io_write_bytes_total", "rabbitmq_io_sync_time_seconds_total", "rabbitmq_process_resident_memory_bytes",
		"rabbitmq_process_open_fds", "rabbitmq_process_max_fds", "rabbitmq_process_max_tcp_sockets", "rabbitmq_process_open_tcp_sockets",
		"rabbitmq_disk_space_available_bytes", "rabbitmq_erlang_uptime_seconds", "rabbitmq_erlang_processes_used",
		"rabbitmq_connection_incoming_bytes_total", "rabbitmq_connection_outgoing_bytes_total",
		"go_goroutines", "process_cpu_seconds_total", "process_start_time_seconds",
	} {
		// The kernel tells of processor time in steps of 10 ms, which this may not have taken.
		if v, ok := got[name].values[""]; !ok || v <= 0 && name != "process_cpu_seconds_total" {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if h := got["leveret_wal_fsync_duration_seconds"]; h.kind != "histogram" {
		t.Errorf("fsync latency is a %s", h.kind)
	}
}

func TestEachObjectInFigures(t *testing.T) {
	w := newWorld(t)
	w.work()
	w.sample()
	conn := w.b.Connections()[0].Name
	for path, prefix := range map[string]string{"/metrics/per-object": "rabbitmq_", "/metrics/detailed": "rabbitmq_detailed_"} {
		want := map[string]float64{}
		for name, v := range map[string]float64{
			"queue_messages_ready{queue=q,vhost=/": 1, "queue_messages_unacked{queue=q,vhost=/": 2, "queue_messages{queue=qq,vhost=/": 1, "queue_messages{queue=dead,vhost=/": 1,
			"queue_consumers{queue=q,vhost=/": 1, "queue_consumers{queue=qq,vhost=/": 0, "queue_messages_bytes{queue=q,vhost=/": 30, "queue_messages_persistent{queue=qq,vhost=/": 1,
			"channel_messages_delivered_ack_total{queue=q,vhost=/": 5, "channel_messages_acked_total{queue=q,vhost=/": 1, "channel_get_total{queue=qq,vhost=/": 1,
			"queue_messages_delivered_ack_total{queue=q,vhost=/": 5, "queue_get_total{queue=qq,vhost=/": 1, "queue_messages_redelivered_total{queue=q,vhost=/": 1,
			"queue_messages_published_total{queue=q,queue_vhost=/": 5, "queue_messages_published_total{queue=dead,queue_vhost=/": 0,
			"channel_messages_published_total{channel=" + conn + " (1),vhost=/": 9, "channel_messages_published_total{channel=" + conn + " (2),vhost=/": 0,
			"channel_messages_unroutable_returned_total{channel=" + conn + " (1),vhost=/": 1,
			"channel_consumers{channel=" + conn + " (2),vhost=/":                          1, "channel_messages_unacked{channel=" + conn + " (2),vhost=/": 2, "consumer_prefetch{channel=" + conn + " (2),vhost=/": 2,
			"connection_channels{channel=" + conn: 2, "exchange_messages_published_total{exchange=x,vhost=/": 4, "exchange_messages_published_total{exchange=,vhost=/": 5,
		} {
			want[prefix+name] = v
		}
		if prefix == "rabbitmq_detailed_" {
			want["rabbitmq_cluster_vhost_status{vhost=/"] = 1
			want["rabbitmq_cluster_exchange_name{exchange=x,type=topic,vhost=/"] = 1
			want["rabbitmq_cluster_exchange_bindings{exchange=x,type=topic,vhost=/"] = 1
			want["rabbitmq_cluster_exchange_bindings{exchange=amq.direct,type=direct,vhost=/"] = 0
		}
		wants(t, w.parse(path), want)
	}
}

func TestDetailedTellsWhatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	if _, err := w.b.PutVHost(broker.VHost{Name: "other"}); err != nil {
		t.Fatal(err)
	}
	w.work()
	ask := func(query string) []string {
		queries["/metrics/detailed"], query = query, queries["/metrics/detailed"]
		defer func() { queries["/metrics/detailed"] = query }()
		names := slices.Sorted(maps.Keys(w.parse("/metrics/detailed")))
		return slices.DeleteFunc(names, func(n string) bool {
			return strings.HasPrefix(n, "telemetry_") || strings.HasSuffix(n, "_info")
		})
	}
	coarse := []string{"rabbitmq_detailed_queue_messages", "rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_messages_unacked"}
	for query, want := range map[string][]string{
		"":                                       nil,
		"?family=no_such_family":                 nil,
		"?vhost=/":                               nil,
		"?family=queue_consumer_count":           {"rabbitmq_detailed_queue_consumers"},
		"?family=queue_coarse_metrics":           coarse,
		"?family=queue_coarse_metrics&vhost=%2F": coarse,
		"?family=queue_coarse_metrics&vhost=other&vhost=/":               coarse,
		"?family=queue_coarse_metrics&vhost=other":                       nil,
		"?family=channel_metrics&family=connection_metrics&vhost=other":  nil,
		"?family=exchange_names&vhost=no-such-vhost&family=vhost_status": nil,
		"?family=vhost_status":                                           {"rabbitmq_cluster_vhost_status"},
	} {
		if got := ask(query); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	r := httptest.NewRecorder()
	w.handler.ServeHTTP(r, httptest.NewRequest("GET", "/metrics/detailed?family=%zz", nil))
	if r.Code != http.StatusBadRequest {
		t.Errorf("a query that is none: %d", r.Code)
	}
}

func TestAStartingBrokerSaysThatItStarts(t *testing.T) {
	s := newServer(t, exporter.Options{Version: "1.2.3"})
	for path := range queries {
		r := httptest.NewRecorder()
		s.Handler().ServeHTTP(r, httptest.NewRequest("GET", path+queries[path], nil))
		if r.Code != 200 {
			t.Fatalf("%s: %d", path, r.Code)
		}
		got := parse(t, r.Body.String())
		if n := len(got["rabbitmq_identity_info"].values); n != 1 {
			t.Errorf("%s: no identity: %v", path, got)
		}
		if _, ok := got["rabbitmq_queues"]; ok {
			t.Errorf("%s tells of queues", path)
		}
		if path == "/metrics" {
			wants(t, got, map[string]float64{"leveret_ready": 0})
		}
	}
}

func TestTheClusterIsCalledAsItsParameterSays(t *testing.T) {
	w := newWorld(t)
	identity := func() string {
		var labels []string
		for l := range w.parse("/metrics")["rabbitmq_identity_info"].values {
			labels = append(labels, l)
		}
		return strings.Join(labels, "; ")
	}
	const rest = ",rabbitmq_cluster_permanent_id=leveret-cluster-id-leveret-localhost,rabbitmq_endpoint=aggregated,rabbitmq_node=leveret@localhost"
	if got := identity(); got != "rabbitmq_cluster=leveret@localhost"+rest {
		t.Error(got)
	}
	_, err := w.b.SetGlobalParameter(broker.GlobalParameter{Name: "cluster_name", Value: json.RawMessage(`"hares"`)})
	must(t, err)
	if got := identity(); got != "rabbitmq_cluster=hares"+rest {
		t.Error(got)
	}
}

func TestOtherPathsAndMethodsAreRefusedAsByRabbitMQ(t *testing.T) {
	h := newServer(t, exporter.Options{}).Handler()
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/", 404, `{"error":"Object Not Found","reason":"Not Found"}`},
		{"GET", "/metricsx", 404, `{"error":"Object Not Found","reason":"Not Found"}`},
		{"GET", "/metrics/a/b", 404, `{"error":"Object Not Found","reason":"Not Found"}`},
		{"GET", "/metrics/foo", 404, "Unknown Registry\n"},
		{"POST", "/metrics", 405, ""},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/metrics/", 200, "*"},
		{"GET", "/metrics/default", 200, "*"},
	} {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest(c.method, c.path, nil))
		if r.Code != c.code || c.body != "*" && r.Body.String() != c.body {
			t.Errorf("%s %s: %d %q", c.method, c.path, r.Code, r.Body)
		}
		if c.code == 404 && strings.HasPrefix(c.body, "{") && !json.Valid(r.Body.Bytes()) {
			t.Errorf("%s: no JSON", c.path)
		}
	}
}

func TestAnswersAreCompressedForWhoTakesIt(t *testing.T) {
	w := newWorld(t)
	for accept, zipped := range map[string]bool{"": false, "gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "br": false} {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Header.Set("Accept-Encoding", accept)
		r := httptest.NewRecorder()
		w.handler.ServeHTTP(r, req)
		answer := r.Body.String()
		if is := r.Header().Get("Content-Encoding") == "gzip"; is != zipped {
			t.Errorf("%q: compressed: %v", accept, is)
		} else if is {
			answer = unzip(t, r.Body)
		}
		if !strings.HasPrefix(r.Header().Get("Content-Type"), "text/plain; version=0.0.4") || len(parse(t, answer)) < 100 {
			t.Errorf("%q: %v", accept, r.Header())
		}
	}
}

// TestNamesCannotBreakTheFormat: whatever users call their queues.
func TestNamesCannotBreakTheFormat(t *testing.T) {
	w := newWorld(t)
	s, err := w.b.NewSession("/", must1(w.b.LookUpUser("guest", true)), nobody{})
	must(t, err)
	defer s.Close()
	// The broker itself leaves line breaks out of names, as RabbitMQ does.
	names := map[string]string{
		`a"b`: `a"b`, `back\slash`: `back\slash`, "new\nline": "newline", `{x="y"} 1`: `{x="y"} 1`, "# TYPE x counter": "# TYPE x counter",
		"a\xffb": `a\xffb`, "a\xfeb": `a\xfeb`, "häse": "häse", "a\tb": "a\tb", `\n`: `\n`,
	}
	for name := range names {
		_, err := s.DeclareQueue(broker.QueueSpec{Name: name})
		must(t, err)
	}
	got := w.parse("/metrics/per-object")["rabbitmq_queue_messages"].values
	for name, label := range names {
		if _, ok := got["queue="+label+",vhost=/"]; !ok {
			t.Errorf("%q is not there: %v", name, got)
		}
	}
	if len(got) != len(names) {
		t.Errorf("%d lines for %d queues", len(got), len(names))
	}
}

type nobody struct{}

func (nobody) Name() string      { return "nobody" }
func (nobody) Close(*amqp.Error) {}

// TestLintersHaveNothingToSay, those that promtool has, of any answer.
func TestLintersHaveNothingToSay(t *testing.T) {
	w := newWorld(t)
	w.work()
	w.sample()
	for path := range queries {
		w.get(path)
		problems, err := promlint.New(strings.NewReader(w.get(path))).Lint()
		must(t, err)
		for _, p := range problems {
			t.Errorf("%s: %s: %s", path, p.Metric, p.Text)
		}
	}
}

// stuck is a source whose queues are walked over when it is told to.
type stuck struct {
	exporter.Source
	walked, on chan struct{}
}

func (s stuck) EachQueue(fn func(broker.QueueSample) bool) {
	s.walked <- struct{}{}
	<-s.on
	s.Source.EachQueue(fn)
}

// Large answers are made one at a time; who has gone meanwhile waits no longer.
func TestNobodyWaitsForALargeAnswerWithoutAClient(t *testing.T) {
	w := newWorld(t)
	src := stuck{exporter.Watched(w.b.Broker, w.m), make(chan struct{}), make(chan struct{})}
	w.s.SetSource(src)
	first := make(chan struct{})
	go func() {
		defer close(first)
		w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics/per-object", nil))
	}()
	<-src.walked
	ctx, gone := context.WithCancel(t.Context())
	second := make(chan struct{})
	go func() {
		defer close(second)
		w.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/metrics/per-object", nil))
	}()
	gone()
	select {
	case <-second:
	case <-src.walked:
		t.Error("two large answers are made at a time")
	case <-time.After(10 * time.Second):
		t.Error("whoever has gone waits still")
	}
	close(src.on)
	<-first
	<-second
}

func TestConnectionsAreBounded(t *testing.T) {
	const most, clients = 2, 8
	s := newServer(t, exporter.Options{MaxConnections: most})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	open := &openConns{Listener: ln}
	served := make(chan error, 1)
	go func() { served <- s.Serve(open) }()
	var conns []net.Conn
	for range clients {
		nc, err := net.Dial("tcp", ln.Addr().String())
		must(t, err)
		defer nc.Close()
		must(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
		conns = append(conns, nc)
	}
	for i, nc := range conns {
		_, err := io.WriteString(nc, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		must(t, err)
		if b, err := io.ReadAll(nc); err != nil || len(b) < 1000 {
			t.Errorf("client %d: %d bytes, %v", i, len(b), err)
		}
	}
	if n := open.most.Load(); n > most+1 {
		t.Errorf("%d connections were open, want %d at most, and one that waits", n, most)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must(t, s.Shutdown(ctx))
	must(t, <-served)
}

// openConns knows how many of its connections have been open at a time.
type openConns struct {
	net.Listener
	now, most atomic.Int64
}

func (l *openConns) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if n := l.now.Add(1); n > l.most.Load() {
		l.most.Store(n)
	}
	return &openConn{Conn: nc, l: l}, nil
}

type openConn struct {
	net.Conn
	l    *openConns
	once sync.Once
}

func (c *openConn) Close() error {
	c.once.Do(func() { c.l.now.Add(-1) })
	return c.Conn.Close()
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
