package exporter_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/exporter"
	"github.com/leveret-mq/leveret/internal/brokertest"
	"github.com/leveret-mq/leveret/monitor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queries are the paths with all that can be asked of each.
var queries = map[string]string{
	"/metrics":            "",
	"/metrics/per-object": "",
	"/metrics/detailed": "?family=" + strings.Join([]string{
		"connection_churn_metrics", "node_coarse_metrics", "node_metrics", "node_persister_metrics", "ra_metrics", "auth_attempt_metrics",
		"queue_coarse_metrics", "queue_consumer_count", "queue_metrics", "queue_delivery_metrics",
		"channel_metrics", "channel_process_metrics", "channel_exchange_metrics", "channel_queue_metrics", "channel_queue_exchange_metrics",
		"connection_coarse_metrics", "connection_metrics", "exchange_metrics", "vhost_status", "exchange_names", "exchange_bindings",
	}, "&family="),
}

// world is a broker with a monitor that samples when it is told to, and its metrics.
type world struct {
	t       testing.TB
	b       *brokertest.Broker
	m       *monitor.Monitor
	s       *exporter.Server
	handler http.Handler
	clock   time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, b: brokertest.Start(t, brokertest.Options{}), clock: time.Now()}
	w.m = monitor.New(w.b.Broker, monitor.Options{Interval: -1})
	t.Cleanup(w.m.Close)
	w.s = newServer(t, exporter.Options{Version: "1.2.3"})
	w.s.SetSource(exporter.Watched(w.b.Broker, w.m))
	w.handler = w.s.Handler()
	return w
}

func newServer(t testing.TB, o exporter.Options) *exporter.Server {
	t.Helper()
	s, err := exporter.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sample lets five seconds pass for the monitor.
func (w *world) sample() {
	w.clock = w.clock.Add(5 * time.Second)
	w.m.Sample(w.clock)
}

// get asks for a path with all that it has.
func (w *world) get(path string) string {
	w.t.Helper()
	r := httptest.NewRecorder()
	w.handler.ServeHTTP(r, httptest.NewRequest("GET", path+queries[path], nil))
	if r.Code != 200 {
		w.t.Fatalf("%s: %d %s", path, r.Code, r.Body)
	}
	return r.Body.String()
}

// parse reads an answer as Prometheus does.
func (w *world) parse(path string) map[string]metric {
	w.t.Helper()
	return parse(w.t, w.get(path))
}

func parse(t testing.TB, answer string) map[string]metric {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(answer))
	if err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	out := map[string]metric{}
	for name, f := range families {
		m := metric{kind: strings.ToLower(f.GetType().String()), labels: map[string]bool{}, values: map[string]float64{}}
		for _, s := range f.Metric {
			var names, pairs []string
			for _, l := range s.Label {
				names = append(names, l.GetName())
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
			}
			sort.Strings(pairs)
			set := strings.Join(names, ",")
			if set == "" {
				set = "-"
			}
			m.labels[set] = true
			key := strings.Join(pairs, ",")
			if _, twice := m.values[key]; twice {
				t.Errorf("%s{%s} is there twice", name, key)
			}
			m.values[key] = value(s)
		}
		out[name] = m
	}
	return out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Untyped != nil:
		return m.Untyped.GetValue()
	case m.Summary != nil:
		return float64(m.Summary.GetSampleCount())
	}
	return float64(m.Histogram.GetSampleCount())
}

// work does something of everything that is counted. It leaves a connection with a
// channel that has published and one that consumes, and
//
//	in q, a classic queue   5 published: 1 acked, 1 dead-lettered, 1 delivered twice and
//	                        unacked like another one, 1 ready
//	in qq, a quorum queue   2 published: 1 fetched without an ack, 1 ready
//	in dead                 the dead letter
//	in x, an exchange       4 published: 2 to q, 1 of 1,500 bytes dropped, 1 returned
func (w *world) work() {
	t := w.t
	t.Helper()
	conn, err := amqp.Dial(w.b.URL())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	out, err := conn.Channel()
	must(t, err)
	must(t, out.Confirm(false))
	in, err := conn.Channel()
	must(t, err)
	must(t, in.Qos(2, 0, false))
	declare := func(name string, args amqp.Table) {
		_, err := out.QueueDeclare(name, true, false, false, false, args)
		must(t, err)
	}
	declare("dead", nil)
	declare("q", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	declare("qq", amqp.Table{"x-queue-type": "quorum"})
	declare("q", amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
	must(t, out.ExchangeDeclare("x", "topic", false, false, false, false, nil))
	must(t, out.QueueBind("q", "a.#", "x", false, nil))
	publish := func(exchange, key, body string, mandatory bool) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		d, err := out.PublishWithDeferredConfirmWithContext(ctx, exchange, key, mandatory, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		must(t, err)
		if ok, err := d.WaitContext(ctx); err != nil || !ok {
			t.Fatalf("no confirm: %v", err)
		}
	}
	publish("x", "a.b", "0123456789", false)
	publish("x", "a.c", "0123456789", false)
	publish("", "q", "0123456789", false)
	publish("", "q", "0123456789", false)
	publish("", "qq", "01234", false)
	publish("", "qq", "01234", false)
	publish("x", "b", strings.Repeat("x", 1500), false)
	publish("x", "b", "x", true)
	_, ok, err := out.Get("qq", true)
	must(t, err)
	if !ok {
		t.Fatal("qq is empty")
	}
	_, err = out.QueueDeclare("empty", false, false, false, false, nil)
	must(t, err)
	if _, ok, err = out.Get("empty", true); ok || err != nil {
		t.Fatal("an empty queue has a message", err)
	}
	_, err = out.QueueDelete("empty", false, false, false)
	must(t, err)
	ds, err := in.Consume("q", "c", false, false, false, false, nil)
	must(t, err)
	first, second := <-ds, <-ds
	must(t, first.Ack(false))
	must(t, second.Nack(false, false))
	third := <-ds
	<-ds
	must(t, third.Nack(false, true))
	if again := <-ds; !again.Redelivered {
		t.Fatal("not redelivered")
	}
	publish("", "q", "0123456789", false)
	w.await(func() bool { // acks have no answer
		q, err := w.b.Queue("/", "q")
		return err == nil && q.Ready == 1 && q.Unacked == 2
	})
	w.await(func() bool {
		q, err := w.b.Queue("/", "dead")
		return err == nil && q.Ready == 1
	})
}

func (w *world) await(done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("it does not happen")
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unzip reads a compressed answer.
func unzip(t testing.TB, r io.Reader) string {
	t.Helper()
	z, err := gzip.NewReader(r)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return string(b)
}
