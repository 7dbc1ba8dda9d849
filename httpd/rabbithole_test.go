package httpd

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"

	"github.com/leveret-mq/leveret/internal/identity"
)

// hole is the Go client that others use.
func (b *busy) hole() *rabbithole.Client {
	b.t.Helper()
	server := httptest.NewServer(b.s.http.Handler)
	b.t.Cleanup(server.Close)
	client, err := rabbithole.NewClient(server.URL, "guest", "guest")
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// or fails where a call of the client did.
func or[T any](t *testing.T, what string, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return v
}

func TestRabbitHoleReadsWhatThereIs(t *testing.T) {
	b := newBusy(t)
	client := b.hole()

	o, err := client.Overview()
	if or(t, "overview", o, err); err != nil {
		t.FailNow()
	}
	if o.RabbitMQVersion != identity.RabbitMQ || o.ObjectTotals.Queues != 4 || o.ObjectTotals.Connections != 1 || o.ObjectTotals.Channels != 2 ||
		o.ObjectTotals.Consumers != 2 || o.QueueTotals.Messages == 0 || o.MessageStats.Publish != 28 || o.MessageStats.PublishDetails.Rate <= 0 || len(o.Listeners) != 3 {
		t.Errorf("%+v", o)
	}
	protocols, err := client.EnabledProtocols()
	if or(t, "protocols", protocols, err); !slices.Contains(protocols, "amqp") {
		t.Errorf("%v", protocols)
	}

	nodes, err := client.ListNodes()
	if or(t, "nodes", nodes, err); len(nodes) != 1 {
		t.Fatalf("%d nodes", len(nodes))
	}
	n, err := client.GetNode(nodes[0].Name)
	if or(t, "node", n, err); err == nil && (!n.IsRunning || n.FdTotal == 0 || n.FdUsed == 0 || n.MemUsed == 0 || n.SocketsUsed != 1 || n.Processors == 0) {
		t.Errorf("%+v", n)
	}

	connections, err := client.ListConnections()
	if or(t, "connections", connections, err); len(connections) != 1 {
		t.Fatalf("%d connections", len(connections))
	}
	c, err := client.GetConnection(connections[0].Name)
	if or(t, "connection", c, err); err == nil && (c.RecvOct == 0 || c.SendOct == 0 || c.RecvOctDetails.Rate <= 0 || c.Channels != 2 || c.ClientProperties["connection_name"] != "prog") {
		t.Errorf("%+v", c)
	}
	of, err := client.ListVhostConnections("v")
	if or(t, "connections of a vhost", of, err); len(of) != 1 {
		t.Errorf("%d connections of the vhost", len(of))
	}

	channels, err := client.ListChannels()
	if or(t, "channels", channels, err); len(channels) != 2 {
		t.Fatalf("%d channels", len(channels))
	}
	ch, err := client.GetChannel(channels[1].Name)
	if or(t, "channel", ch, err); err == nil && (ch.PrefetchCount != 2 || ch.ConsumerCount != 2 || ch.UnacknowledgedMessageCount != 2 || ch.Vhost != "v") {
		t.Errorf("%+v", ch)
	}

	consumers, err := client.ListConsumers()
	if or(t, "consumers", consumers, err); len(consumers) != 2 || consumers[0].Queue.Name != "one" || !consumers[0].AcknowledgementMode || consumers[0].ChannelDetails.Number != 2 {
		t.Errorf("%+v", consumers)
	}
	in, err := client.ListConsumersIn("v")
	if or(t, "consumers of a vhost", in, err); len(in) != 2 {
		t.Errorf("%d consumers in the vhost", len(in))
	}

	q, err := client.GetQueue("v", "one")
	if or(t, "queue", q, err); err == nil && (q.Messages != 8 || q.MessagesUnacknowledged != 2 || q.MessageStats.Publish != 12 || q.MessageStats.PublishDetails.Rate <= 0 ||
		q.MessagesDetails.Rate <= 0 || q.Consumers != 1 || q.MessagesBytes != 800 || q.BackingQueueStatus.Length != 6) {
		t.Errorf("%+v", q)
	}
	q, err = client.GetQueueWithParameters("v", "one", url.Values{"lengths_age": {"60"}, "lengths_incr": {"5"}})
	if or(t, "queue with samples", q, err); err == nil && (len(q.MessagesDetails.Samples) < 3 || q.MessagesDetails.Samples[0].Sample != 8) {
		t.Errorf("%+v", q.MessagesDetails)
	}
	quorum, err := client.GetQueue("v", "quor")
	if or(t, "quorum queue", quorum, err); err == nil && (quorum.Type != "quorum" || quorum.Leader == "" || len(quorum.Members) != 1) {
		t.Errorf("%+v", quorum)
	}
	queues, err := client.ListQueuesIn("v")
	if or(t, "queues", queues, err); len(queues) != 4 {
		t.Errorf("%d queues", len(queues))
	}
	page, err := client.PagedListQueuesWithParameters(url.Values{"page": {"1"}, "page_size": {"2"}, "sort": {"messages"}, "sort_reverse": {"true"}})
	if or(t, "queues by page", page, err); page.PageCount != 2 || page.TotalCount != 4 || len(page.Items) != 2 || page.Items[0].Name != "one" {
		t.Errorf("%+v", page)
	}

	x, err := client.GetExchange("v", "ex")
	if or(t, "exchange", x, err); err == nil && (x.PublishStats.PublishIn == 0 || x.PublishStats.PublishOut == 0 || x.PublishStats.PublishInDetails.Rate <= 0) {
		t.Errorf("%+v", x.PublishStats)
	}
	exchanges, err := client.ListExchangesIn("v")
	if or(t, "exchanges", exchanges, err); len(exchanges) != 9 {
		t.Errorf("%d exchanges", len(exchanges))
	}
	bindings, err := client.ListBindingsIn("v")
	if or(t, "bindings", bindings, err); len(bindings) != 6 {
		t.Errorf("%d bindings", len(bindings))
	}

	v, err := client.GetVhost("v")
	if or(t, "vhost", v, err); err == nil && (v.Messages == 0 || v.RecvOct == 0 || v.SendOctDetails.Rate <= 0 || v.MessagesDetails.Rate <= 0) {
		t.Errorf("%+v", v)
	}
	vhosts, err := client.ListVhosts()
	if or(t, "vhosts", vhosts, err); len(vhosts) != 2 {
		t.Errorf("%d vhosts", len(vhosts))
	}
	me, err := client.Whoami()
	if or(t, "whoami", me, err); err == nil && me.Name != "guest" {
		t.Errorf("%+v", me)
	}
	flags, err := client.ListFeatureFlags()
	if or(t, "feature flags", flags, err); len(flags) == 0 {
		t.Error("no feature flags")
	}
	_, err = client.EnableFeatureFlag("quorum_queue")
	or(t, "a feature flag that is enabled", 0, err)
	if w := b.as("guest", "PUT", "/api/feature-flags/stream_queue/enable", "{}"); w.Code != 400 {
		t.Errorf("streams are enabled: %d", w.Code)
	}
}

func TestRabbitHolesHealthChecksPass(t *testing.T) {
	b := newBusy(t)
	client := b.hole()
	alarms, err := client.HealthCheckAlarms()
	if or(t, "alarms", alarms, err); !alarms.Ok() {
		t.Errorf("%+v", alarms)
	}
	local, err := client.HealthCheckLocalAlarms()
	if or(t, "local alarms", local, err); !local.Ok() {
		t.Errorf("%+v", local)
	}
	for what, check := range map[string]func() (rabbithole.HealthCheckStatus, error){
		"certificates": func() (rabbithole.HealthCheckStatus, error) {
			return client.HealthCheckCertificateExpiration(1, rabbithole.MONTHS)
		},
		"vhosts": client.HealthCheckVirtualHosts, "mirrors": client.HealthCheckNodeIsMirrorSyncCritical, "quorum": client.HealthCheckNodeIsQuorumCritical,
	} {
		status, err := check()
		if or(t, what, status, err); !status.Ok() {
			t.Errorf("%s: %+v", what, status)
		}
	}
	port, err := client.HealthCheckPortListener(15672)
	if or(t, "port", port, err); !port.Ok() {
		t.Errorf("%+v", port)
	}
	protocol, err := client.HealthCheckProtocolListener(rabbithole.AMQP091)
	if or(t, "protocol", protocol, err); !protocol.Ok() {
		t.Errorf("%+v", protocol)
	}
	if port, err := client.HealthCheckPortListener(1); err == nil && port.Ok() {
		t.Errorf("port 1 is well: %+v", port)
	}
	if protocol, err := client.HealthCheckProtocolListener(rabbithole.MQTT); err == nil && protocol.Ok() {
		t.Errorf("MQTT is well: %+v", protocol)
	}
}
