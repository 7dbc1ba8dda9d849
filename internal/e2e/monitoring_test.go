package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// deployed is where what operators take from here lies.
const deployed = "../../deploy/prometheus"

func TestPromtoolIsContentWithWhatIsDeployed(t *testing.T) {
	promtool(t, deployed, nil, false, "check", "config", "prometheus.yml")
	promtool(t, deployed, nil, false, "check", "rules", "alerts.yml")
	promtool(t, deployed, nil, false, "test", "rules", "alerts_test.yml")
}

// metricsAddr is where the broker is scraped.
func (p *process) metricsAddr(t testing.TB) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.ReadyLine(), " metrics=")
	if !ok {
		t.Fatalf("no listener for metrics in %q", p.ReadyLine())
	}
	addr, _, _ := strings.Cut(rest, " ")
	return addr
}

func TestNoMetricsWhereNoneAreWanted(t *testing.T) {
	p := startBroker(t, t.TempDir(), "--metrics-addr", "")
	if line := p.ReadyLine(); !strings.Contains(line, `metrics=""`) {
		t.Errorf("%s", line)
	}
}

// TestPrometheusShowsTheBrokerUnderLoad with the older and the newer of RabbitMQ's
// dashboards and our own: each of their queries answers with data. No alert fires but
// those that the load deserves, and promtool has nothing to say of any endpoint.
func TestPrometheusShowsTheBrokerUnderLoad(t *testing.T) {
	p := startBroker(t, t.TempDir(), "--wal-file-size", "1048576", "--wal-budget", "2097152", "--compact-age", "1s")
	addr := p.metricsAddr(t)
	server := startPrometheus(t, fmt.Sprintf(`
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: leveret
    static_configs: [{targets: [%q]}]
  - job_name: leveret-queues
    metrics_path: /metrics/detailed
    params: {family: [queue_coarse_metrics, queue_consumer_count, queue_delivery_metrics]}
    static_configs: [{targets: [%q]}]
    metric_relabel_configs:
      - {source_labels: [__name__], regex: "rabbitmq_(identity|build)_info|telemetry_.*", action: drop}
`, absolute(t, filepath.Join(deployed, "alerts.yml")), addr, addr))

	stop := loadEverything(t, p)
	server.awaitScrapes(2, 4)

	// Sums over objects are told as the monitor last saw them, every five seconds.
	own := ourDashboard(t)
	replace := strings.NewReplacer(
		"$rabbitmq_cluster", "leveret@localhost", "$namespace", "", "$endpoint", "aggregated",
		"$__rate_interval", "20s", "$__range", "1m", "$instance", ".*", "$vhost", ".*")
	for _, d := range []struct {
		name    string
		queries []asked
	}{{older.name, overview30()}, {newer.name, overview40()}, {own.Title, own.queries()}} {
		if len(d.queries) < 30 {
			t.Errorf("%s has %d queries", d.name, len(d.queries))
		}
		for _, q := range d.queries {
			expr := replace.Replace(q.query)
			server.await(d.name+": "+expr, func() error {
				values, err := server.query(expr)
				if err == nil && len(values) == 0 {
					err = fmt.Errorf("no data")
				}
				for _, v := range values {
					if q.positive && v <= 0 {
						err = fmt.Errorf("%v, want more than 0", values)
					}
				}
				return err
			})
		}
	}

	server.await("rules", func() error {
		states, err := server.rules()
		if err == nil && len(states) < 15 {
			err = fmt.Errorf("%d rules", len(states))
		}
		for name, state := range states {
			if err == nil && state == "firing" {
				err = fmt.Errorf("%s fires", name)
			}
		}
		return err
	})
	for _, path := range []string{"/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_metrics&family=queue_coarse_metrics&family=channel_metrics" +
		"&family=connection_metrics&family=connection_coarse_metrics&family=exchange_metrics&family=exchange_bindings&family=vhost_status&family=auth_attempt_metrics"} {
		r, err := http.Get("http://" + addr + path)
		must(t, err)
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		must(t, err)
		if r.StatusCode != 200 || len(text) < 1000 {
			t.Fatalf("%s: %d, %d bytes", path, r.StatusCode, len(text))
		}
		promtool(t, ".", bytes.NewReader(text), true, "check", "metrics")
	}
	must(t, stop())
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	must(t, err)
	return path
}

// loadEverything has clients do all that is counted, over and over, until stop.
func loadEverything(t testing.TB, p *process) (stop func() error) {
	t.Helper()
	conn, err := amqp.Dial(p.url())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	must(t, ch.Confirm(false))
	must(t, ch.ExchangeDeclare("orders", "topic", true, false, false, false, nil))
	for name, args := range map[string]amqp.Table{"work": nil, "audit": {"x-queue-type": "quorum"}, "backlog": nil, "empty": nil} {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		must(t, err)
	}
	must(t, ch.QueueBind("work", "order.*", "orders", false, nil))
	must(t, ch.QueueBind("audit", "order.#", "orders", false, nil))

	// A backlog that passes the log's budget, so that there are segments.
	for range 2000 {
		_, err := ch.PublishWithDeferredConfirm("", "backlog", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: bytes.Repeat([]byte("backlog "), 1<<9)})
		must(t, err)
	}

	manual, err := conn.Channel()
	must(t, err)
	must(t, manual.Qos(5, 0, false))
	acked, err := manual.Consume("work", "manual", false, false, false, false, nil)
	must(t, err)
	ended := make(chan error, 3)
	go func() {
		n := 0
		for d := range acked {
			var err error
			if n++; n%10 == 0 && !d.Redelivered {
				err = d.Nack(false, true)
			} else if n%7 != 0 { // every seventh stays out, four of them at most
				err = d.Ack(false)
			} else if n > 4*7 {
				err = d.Ack(false)
			}
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	auto, err := conn.Channel()
	must(t, err)
	unacked, err := auto.Consume("audit", "auto", true, false, false, false, nil)
	must(t, err)
	go func() {
		for range unacked {
		}
		ended <- nil
	}()

	var stopping atomic.Bool
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ended <- func() error {
			polling, err := conn.Channel()
			if err != nil {
				return err
			}
			for i := 0; !stopping.Load(); i++ {
				if err := round(p.url(), conn, ch, polling, i); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	return func() error {
		stopping.Store(true)
		<-finished
		// Consumers end first: an ack on a connection that is closed would fail.
		err := errors.Join(manual.Cancel("manual", false), auto.Cancel("auto", false))
		for range 3 {
			err = errors.Join(err, <-ended)
		}
		return errors.Join(err, conn.Close())
	}
}

// round is one pass of the load.
func round(url string, conn *amqp.Connection, ch, polling *amqp.Channel, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var last *amqp.DeferredConfirmation
	publish := func(exchange, key string, mandatory bool, body string) (err error) {
		last, err = ch.PublishWithDeferredConfirmWithContext(ctx, exchange, key, mandatory, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		return err
	}
	for n := range 20 {
		if err := publish("orders", "order.new", false, strings.Repeat("x", n*n)); err != nil {
			return err
		}
	}
	for _, err := range []error{
		publish("orders", "nobody", false, "dropped"),
		publish("orders", "nobody", true, "returned"),
		publish("", "backlog", false, "one more"),
		publish("", "backlog", false, "one more"),
		publish("", "backlog", false, "one more"),
	} {
		if err != nil {
			return err
		}
	}
	if _, _, err := polling.Get("empty", false); err != nil {
		return err
	}
	for _, queue := range []string{"backlog", "backlog"} {
		d, ok, err := polling.Get(queue, false)
		if err == nil && ok {
			err = d.Ack(false)
		}
		if err != nil {
			return err
		}
	}
	if _, _, err := polling.Get("backlog", true); err != nil {
		return err
	}
	if _, err := last.WaitContext(ctx); err != nil {
		return err
	}
	if i%5 != 0 {
		return nil
	}
	other, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer other.Close()
	passing, err := other.Channel()
	if err != nil {
		return err
	}
	name := fmt.Sprint("passing-", i)
	if _, err := passing.QueueDeclare(name, false, true, true, false, nil); err != nil {
		return err
	}
	if _, err := passing.QueueDelete(name, false, false, false); err != nil {
		return err
	}
	return passing.Close()
}
