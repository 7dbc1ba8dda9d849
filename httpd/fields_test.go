package httpd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// busy is a broker in whose vhost v a program has done a bit of everything, with
// samples before, meanwhile and after. The same program was run on RabbitMQ 3.10.8.
type busy struct {
	*connected
	connection string // its name
	at         time.Time
}

func newBusy(t *testing.T) *busy {
	t.Helper()
	c := newConnected(t)
	m := monitor.New(c.b, monitor.Options{Interval: -1})
	t.Cleanup(m.Close)
	c.s.SetMonitor(m)
	c.s.SetListeners([]Listener{{Protocol: "amqp", Addr: c.amqp.Addr()}, {Protocol: "http", Addr: "127.0.0.1:15672"}, {Protocol: "http/prometheus", Addr: "127.0.0.1:15692"}})
	b := &busy{c, "", time.Now()}
	b.sample(m)
	conn, err := amqp091.DialConfig("amqp://guest:guest@"+c.amqp.Addr()+"/v", amqp091.Config{Properties: amqp091.Table{"connection_name": "prog"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	b.connection = conn.LocalAddr().String() + " -> " + c.amqp.Addr()
	b.run(conn, func() { b.sample(m) })
	return b
}

// sample takes a sample 5 s after the one before.
func (b *busy) sample(m *monitor.Monitor) {
	b.at = b.at.Add(5 * time.Second)
	m.Sample(b.at)
}

func (b *busy) run(conn *amqp091.Connection, sample func()) {
	t := b.t
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	channel := func() *amqp091.Channel {
		ch, err := conn.Channel()
		must(err)
		return ch
	}
	publisher, consumer := channel(), channel()
	declare := func(name string, exclusive bool, args amqp091.Table) {
		_, err := publisher.QueueDeclare(name, !exclusive, false, exclusive, false, args)
		must(err)
	}
	declare("one", false, nil)
	declare("two", false, nil)
	declare("excl", true, nil)
	declare("quor", false, amqp091.Table{"x-queue-type": "quorum"})
	must(publisher.ExchangeDeclare("ex", "topic", false, false, false, false, nil))
	must(publisher.QueueBind("one", "a.#", "ex", false, nil))
	must(publisher.ExchangeDeclare("ex2", "fanout", false, false, false, false, nil))
	must(publisher.ExchangeBind("ex", "", "ex2", false, nil))
	must(publisher.Confirm(false))
	must(consumer.Qos(2, 0, false))
	one, err := consumer.Consume("one", "tag1", false, false, false, false, nil)
	must(err)
	two, err := consumer.Consume("two", "", true, false, false, false, nil)
	must(err)
	returns := publisher.NotifyReturn(make(chan amqp091.Return, 10))
	for i := range 4 {
		publish := func(exchange, key string, mandatory bool) {
			confirm, err := publisher.PublishWithDeferredConfirm(exchange, key, mandatory, false, amqp091.Publishing{Body: make([]byte, 100), DeliveryMode: 2})
			must(err)
			if !confirm.Wait() {
				t.Fatal("a publish was refused")
			}
		}
		for _, q := range []string{"one", "two", "quor"} {
			publish("", q, false)
		}
		publish("ex", "a.b", false)
		publish("ex", "nope", false)
		publish("ex2", "a.c", false)
		publish("ex", "nope", true)
		<-returns
		got, ok, err := publisher.Get("quor", false)
		must(err)
		if ok && i%2 == 0 {
			must(got.Nack(false, true))
		}
		_, _, err = publisher.Get("excl", false)
		must(err)
		_, _, err = publisher.Get("quor", true)
		must(err)
		d := <-one
		must(d.Ack(false))
		<-two
		if i%2 == 0 {
			// What was acked is counted when the channel's next answer is there.
			_, err := consumer.QueueDeclarePassive("one", true, false, false, false, nil)
			must(err)
			sample()
		}
	}
	// An ack that nobody answers is followed by something that is answered.
	_, err = consumer.QueueDeclarePassive("one", true, false, false, false, nil)
	must(err)
	sample()
}

// answers are what the tests of fields look at, by the names in testdata.
func (b *busy) answers() map[string]any {
	conn := "/api/connections/" + url.PathEscape(b.connection)
	channel := func(n int) string { return "/api/channels/" + url.PathEscape(fmt.Sprintf("%s (%d)", b.connection, n)) }
	const samples = "?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5&data_rates_age=60&data_rates_incr=5&node_stats_age=60&node_stats_incr=5"
	node := "/api/nodes/" + identity.Node
	all := map[string]any{}
	for name, path := range map[string]string{
		"overview": "/api/overview", "overview_samples": "/api/overview" + samples,
		"nodes": "/api/nodes", "node_samples": node + samples, "node_memory": node + "/memory",
		"connections": "/api/vhosts/v/connections", "connection": conn, "connection_samples": conn + samples, "users_connections": "/api/connections/username/guest",
		"channels": "/api/vhosts/v/channels", "channel0": channel(1), "channel1": channel(2), "channel_samples0": channel(1) + samples,
		"consumers": "/api/consumers/v", "bindings": "/api/bindings/v", "whoami": "/api/whoami", "aliveness": "/api/aliveness-test/v",
		"exchanges": "/api/exchanges/v", "exchange": "/api/exchanges/v/ex", "exchange_samples": "/api/exchanges/v/ex" + samples,
		"queues": "/api/queues/v", "queue": "/api/queues/v/one", "queue_samples": "/api/queues/v/one" + samples, "queue_quorum": "/api/queues/v/quor",
		"queues_disable": "/api/queues/v?disable_stats=true", "queues_totals": "/api/queues/v?disable_stats=true&enable_queue_totals=true",
		"vhosts": "/api/vhosts", "vhost": "/api/vhosts/v", "vhost_samples": "/api/vhosts/v" + samples,
	} {
		all[name] = get[any](b.managed, "guest", path)
	}
	return all
}

// notHere are RabbitMQ's fields that an answer lacks, and why.
var notHere = map[string]string{
	"user_who_performed_action": "who declared an exchange is not kept; the audit log has it",
	"contexts[].protocol":       "the node's contexts are not all of Prometheus",
	"reductions_details.avg":    "there is no Erlang process to count the reductions of",
}

func TestFieldsAreRabbitMQs(t *testing.T) {
	file, err := os.Open("testdata/rabbitmq-3.10.8-fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	answers := newBusy(t).answers()
	fields := 0
	for lines := bufio.NewScanner(file); lines.Scan(); fields++ {
		f := strings.Fields(lines.Text())
		if len(f) == 2 { // the answer is an array of nothing
			continue
		}
		name, path, want := f[0], f[1], strings.Split(f[2], "|")
		if skip(path) {
			continue
		}
		got := typesAt(answers[name], path)
		switch {
		case len(got) == 0:
			t.Errorf("%s has no %s", name, path)
		case !slices.ContainsFunc(got, func(kind string) bool { return slices.Contains(want, kind) || kind == "null" && mayBeNull(path) }):
			t.Errorf("%s: %s is %v, want %v", name, path, got, want)
		}
	}
	if fields < 1500 {
		t.Errorf("%d fields were compared", fields)
	}
}

func skip(path string) bool {
	for _, prefix := range slices.Sorted(maps.Keys(notHere)) {
		if strings.HasPrefix(strings.TrimPrefix(path, "[]."), prefix) {
			return true
		}
	}
	return strings.HasPrefix(path, "reductions_details.samples")
}

// mayBeNull are fields that RabbitMQ shows as null or as an empty text, depending on
// where it has them from.
func mayBeNull(path string) bool {
	return strings.HasPrefix(path, "ssl_") || strings.HasPrefix(path, "peer_cert_") || strings.HasSuffix(path, "head_message_timestamp")
}

// typesAt are the JSON types of what a path leads to.
func typesAt(v any, path string) []string {
	first, rest, more := strings.Cut(path, ".")
	if first == "" && !more {
		return []string{kindOf(v)}
	}
	if inside, ok := strings.CutSuffix(first, "[]"); ok {
		if inside != "" {
			object, _ := v.(map[string]any)
			v = object[inside]
		}
		var all []string
		list, _ := v.([]any)
		for _, each := range list {
			all = append(all, typesAt(each, rest)...)
		}
		return all
	}
	object, _ := v.(map[string]any)
	inner, ok := object[first]
	if !ok {
		return nil
	}
	return typesAt(inner, rest)
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// numberAt is what a path of slashes leads to.
func numberAt(t *testing.T, v any, path string) float64 {
	t.Helper()
	for name := range strings.SplitSeq(path, "/") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	switch v := v.(type) {
	case float64:
		return v
	case bool, []any:
		return 0
	}
	t.Errorf("%s is %v, want a number", path, v)
	return 0
}

func TestFieldsOfDatadogsIntegrationAreThere(t *testing.T) {
	answers := newBusy(t).answers()
	stats := func(names string) (all []string) {
		for name := range strings.FieldsSeq(names) {
			all = append(all, "message_stats/"+name, "message_stats/"+name+"_details/rate")
		}
		return all
	}
	lengths := strings.Fields("messages messages_details/rate messages_ready messages_ready_details/rate messages_unacknowledged messages_unacknowledged_details/rate")
	var totals []string
	for _, each := range lengths {
		totals = append(totals, "queue_totals/"+each)
	}
	for answer, paths := range map[string][]string{
		"overview": append(append(stats("ack confirm deliver_get publish drop_unroutable return_unroutable redeliver"), totals...),
			"object_totals/connections", "object_totals/channels", "object_totals/queues", "object_totals/consumers"),
		"queue":        append(append(stats("ack deliver deliver_get publish redeliver"), lengths...), "consumers", "consumer_utilisation", "memory", "message_bytes"),
		"exchange":     stats("publish_in publish_out"),
		"node_samples": strings.Fields("fd_used disk_free mem_used mem_limit run_queue sockets_used partitions running mem_alarm disk_free_alarm"),
	} {
		for _, path := range paths {
			numberAt(t, answers[answer], path)
		}
	}
	overview := answers["overview"].(map[string]any)
	if v, _ := overview["rabbitmq_version"].(string); strings.Count(v, ".") != 2 {
		t.Errorf("rabbitmq_version %q", v)
	}
	if name, _ := overview["cluster_name"].(string); name == "" {
		t.Error("no cluster_name")
	}
}

func TestKEDAsQueriesAreAnswered(t *testing.T) {
	b := newBusy(t)
	type queue struct {
		Name     string `json:"name"`
		Messages int    `json:"messages"`
		Unacked  int    `json:"messages_unacknowledged"`
		Stats    struct {
			Publish    struct{ Rate float64 } `json:"publish_details"`
			DeliverGet struct{ Rate float64 } `json:"deliver_get_details"`
		} `json:"message_stats"`
	}
	one := get[queue](b.managed, "guest", "/api/queues/v/one")
	// Of 12 messages 4 were acked.
	if one.Name != "one" || one.Messages != 8 || one.Unacked != 2 {
		t.Errorf("%+v", one)
	}
	if one.Stats.Publish.Rate <= 0 || one.Stats.DeliverGet.Rate <= 0 {
		t.Errorf("rates %+v", one.Stats)
	}
	// By regular expression, vhost by vhost and in all of them.
	type page struct {
		Items []queue `json:"items"`
		Pages int     `json:"page_count"`
	}
	const query = "?page=1&use_regex=true&pagination=false&name=%5E%28one%7Ctwo%29%24&page_size=1"
	for _, path := range []string{"/api/queues/v", "/api/queues"} {
		got := get[page](b.managed, "guest", path+query)
		if len(got.Items) != 1 || got.Pages != 2 || got.Items[0].Name != "one" || got.Items[0].Stats.Publish.Rate != one.Stats.Publish.Rate {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := get[page](b.managed, "guest", "/api/queues/v?page=1&use_regex=true&name=nope&page_size=1"); got.Pages != 0 || len(got.Items) != 0 {
		t.Errorf("what no queue matches: %+v", got)
	}
}

func TestSamplesOfAQueueGoBackInTime(t *testing.T) {
	b := newBusy(t)
	var got struct {
		Details struct {
			Rate, Avg float64
			AvgRate   float64 `json:"avg_rate"`
			Samples   []struct {
				Sample    int64
				Timestamp int64
			}
		} `json:"messages_details"`
		Stats map[string]json.RawMessage `json:"message_stats"`
	}
	w := b.as("guest", "GET", "/api/queues/v/one?lengths_age=10&lengths_incr=5", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Details.Samples
	if len(s) != 3 || s[0].Sample != 8 || s[0].Timestamp != b.at.UnixMilli() || s[0].Timestamp-s[2].Timestamp != 10_000 {
		t.Errorf("%+v", got.Details)
	}
	if want := float64(s[0].Sample-s[2].Sample) / 10; got.Details.AvgRate != want {
		t.Errorf("avg_rate %v, want %v", got.Details.AvgRate, want)
	}
	if strings.Contains(string(got.Stats["publish_details"]), "samples") {
		t.Errorf("samples that were not asked for: %s", got.Stats["publish_details"])
	}
	for query, code := range map[string]int{
		"lengths_age=-5&lengths_incr=1": 400, "lengths_age=5&lengths_incr=0": 400, "lengths_age=999999999999&lengths_incr=1": 400,
		"lengths_age=x&lengths_incr=1": 200, "lengths_age=60": 200, "node_stats_age=9999999&node_stats_incr=1": 400,
	} {
		for _, path := range []string{"/api/queues/v/one?", "/api/queues?", "/api/overview?", "/api/exchanges?", "/api/vhosts?", "/api/channels?", "/api/connections?", "/api/storage?", "/api/nodes?"} {
			if w := b.as("guest", "GET", path+query, ""); w.Code != code {
				t.Errorf("%s%s: %d %s", path, query, w.Code, w.Body)
			}
		}
	}
}
