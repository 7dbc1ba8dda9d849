package exporter

import (
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/prometheus/common/expfmt"

	"github.com/leveret-mq/leveret/internal/identity"
)

// The prefixes of names: those of /metrics and /metrics/per-object, and of
// /metrics/detailed, which lets a server scrape both.
const (
	plain    = "rabbitmq_"
	detailed = "rabbitmq_detailed_"
)

// info writes who this is. Dashboards join everything with it, so it is in each
// answer, also while recovery runs.
func (s *Server) info(t *text, endpoint string) {
	t.family(plain+"build_info", untyped, "Versions: whom clients take the broker for, and what it is.")
	t.sample(labels("rabbitmq_version", identity.RabbitMQ, "prometheus_plugin_version", s.opts.Version,
		"prometheus_client_version", clientVersion, "erlang_version", runtime.Version(),
		"product_name", "Leveret", "product_version", s.opts.Version), 1)
	t.family(plain+"identity_info", untyped, "The node and its cluster.")
	t.sample(labels("rabbitmq_node", identity.Node, "rabbitmq_cluster", s.cluster(),
		"rabbitmq_cluster_permanent_id", "leveret-cluster-id-"+strings.ReplaceAll(identity.Node, "@", "-"), "rabbitmq_endpoint", endpoint), 1)
}

// cluster is what the cluster is called, as far as that is known.
func (s *Server) cluster() string {
	if src := s.from(); src != nil {
		return src.ClusterName()
	}
	return identity.Node
}

// clientVersion is that of Prometheus' client library.
var clientVersion = func() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/prometheus/client_golang" {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "unknown"
}()

// aggregated answers /metrics: everything of the broker as a whole.
func (s *Server) aggregated(t *text) {
	s.info(t, "aggregated")
	if src := s.from(); src != nil {
		v := look(src)
		write(t, plain, alarms, v)
		for _, group := range shown {
			write(t, plain, singles[group], v)
		}
		logins(t, plain, src)
		write(t, plain, sums, v)
		write(t, plain, present, v)
		global(t, v)
	}
	families, err := s.registry.Gather()
	if err != nil {
		s.opts.Logger.Warn("some metrics are not told", "err", err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(t, f); err != nil {
			return
		}
	}
}

// perObject answers /metrics/per-object: a line for each queue, channel, connection
// and exchange.
func (s *Server) perObject(t *text) {
	s.info(t, "per-object")
	src := s.from()
	if src == nil {
		return
	}
	v := look(src)
	for _, group := range shown {
		write(t, plain, singles[group], v)
	}
	logins(t, plain, src)
	all := detail{}
	all.objects(t, plain, src, func(string) bool { return true })
	write(t, plain, present, v)
	global(t, v)
}

// detail is what /metrics/detailed is asked for.
type detail struct {
	families map[string]bool
	vhosts   scope
}

// parseDetail reads a query. A family that is not known is nothing, as in RabbitMQ.
func parseDetail(query string) (d detail, err error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return detail{}, err
	}
	d.families = map[string]bool{}
	for _, name := range q["family"] {
		d.families[name] = true
	}
	for _, name := range q["vhost"] {
		if d.vhosts == nil {
			d.vhosts = scope{}
		}
		d.vhosts[name] = true
	}
	return d, nil
}

// detailed answers /metrics/detailed.
func (s *Server) detailed(t *text, d detail) {
	s.info(t, "detailed")
	src := s.from()
	if src == nil || len(d.families) == 0 {
		return
	}
	var v *view
	for _, group := range shown {
		if d.families[group] {
			if v == nil {
				v = look(src)
			}
			write(t, detailed, singles[group], v)
		}
	}
	if d.families["auth_attempt_metrics"] {
		logins(t, detailed, src)
	}
	d.objects(t, detailed, src, func(group string) bool { return d.families[group] })
	d.cluster(t, src)
}

// objects writes the groups of metrics with a line an object that are wanted.
func (d *detail) objects(t *text, prefix string, src Source, wanted func(group string) bool) {
	want := func(groups ...string) bool {
		for _, g := range groups {
			if wanted(g) {
				return true
			}
		}
		return false
	}
	if want("queue_coarse_metrics", "queue_consumer_count", "queue_metrics", "queue_delivery_metrics", "channel_queue_metrics", "channel_queue_exchange_metrics") {
		queues := queueRows(src, d.vhosts)
		if want("queue_coarse_metrics") {
			rows(t, prefix, queueCoarse, queues)
		}
		if want("queue_consumer_count", "queue_metrics") {
			rows(t, prefix, queueConsumers, queues)
		}
		if want("queue_metrics") {
			rows(t, prefix, queueDetails, queues)
		}
		if want("queue_delivery_metrics") {
			rows(t, prefix, queueDelivery, queues)
		}
		if want("channel_queue_metrics") {
			rows(t, prefix, channelQueue, queues)
		}
		if want("channel_queue_exchange_metrics") {
			rows(t, prefix, queuePublished, routed(queues))
		}
	}
	if want("channel_metrics", "channel_exchange_metrics") {
		channels := channelRows(src, d.vhosts)
		if want("channel_metrics") {
			rows(t, prefix, channelState, channels)
		}
		if want("channel_exchange_metrics") {
			rows(t, prefix, channelPublished, channels)
		}
	}
	if want("exchange_metrics") {
		rows(t, prefix, exchangePublished, exchangeRows(src, d.vhosts))
	}
	if want("connection_coarse_metrics", "connection_metrics") {
		connections := connectionRows(src, d.vhosts)
		if want("connection_coarse_metrics") {
			rows(t, prefix, connectionBytes, connections)
		}
		if want("connection_metrics") {
			rows(t, prefix, connectionDetails, connections)
		}
	}
}

// cluster writes what RabbitMQ tells of the cluster, whose names have a prefix of
// their own.
func (d *detail) cluster(t *text, src Source) {
	if !d.families["vhost_status"] && !d.families["exchange_names"] && !d.families["exchange_bindings"] {
		return
	}
	type exchange struct {
		labels   string
		bindings int
	}
	var vhosts []string
	var exchanges []exchange
	for _, v := range src.VHosts() {
		if !d.vhosts.has(v.Name) {
			continue
		}
		vhosts = append(vhosts, v.Name)
		if !d.families["exchange_names"] && !d.families["exchange_bindings"] {
			continue
		}
		list, err := src.Exchanges(v.Name)
		if err != nil {
			continue // it has just gone
		}
		from := map[string]int{}
		if d.families["exchange_bindings"] {
			bindings, _ := src.Bindings(v.Name)
			for i := range bindings {
				from[bindings[i].Source]++
			}
		}
		for i := range list {
			x := &list[i]
			if x.Name == "" {
				continue // the default exchange is not listed
			}
			exchanges = append(exchanges, exchange{labels("vhost", v.Name, "exchange", x.Name, "type", x.Type), from[x.Name]})
		}
	}
	if d.families["vhost_status"] {
		t.family("rabbitmq_cluster_vhost_status", gauge, "1 for a vhost that is there.")
		for _, name := range vhosts {
			t.sample(labels("vhost", name), 1)
		}
	}
	if d.families["exchange_names"] {
		t.family("rabbitmq_cluster_exchange_name", gauge, "1 for an exchange that is there.")
		for _, x := range exchanges {
			t.sample(x.labels, 1)
		}
	}
	if d.families["exchange_bindings"] {
		t.family("rabbitmq_cluster_exchange_bindings", gauge, "Bindings of an exchange to queues and exchanges.")
		for _, x := range exchanges {
			t.sample(x.labels, float64(x.bindings))
		}
	}
}
