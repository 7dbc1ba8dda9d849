package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What RabbitMQ's dashboards ask for (RabbitMQ-Overview, 10991 at Grafana's), of two
// generations: that of RabbitMQ 3.8, which adds up figures of channels and queues, and
// that of RabbitMQ 4, which shows rabbitmq_global_…. All of it is joined by instance
// with rabbitmq_identity_info, which says what the node and its cluster are called.

// asked is a query, with whether the load makes its value more than 0.
type asked struct {
	query    string
	positive bool
}

// generation is how a dashboard joins, and what it calls a minute.
type generation struct {
	name, on, labels, where, fn, window string
}

var older = generation{
	name: "RabbitMQ 3.8", on: "instance", labels: "rabbitmq_cluster, rabbitmq_node",
	where: `rabbitmq_cluster="$rabbitmq_cluster", namespace="$namespace"`, fn: "rate", window: "60s",
}

var newer = generation{
	name: "RabbitMQ 4", on: "instance, job", labels: "rabbitmq_cluster, rabbitmq_node",
	where: `rabbitmq_cluster="$rabbitmq_cluster", namespace="$namespace", rabbitmq_endpoint="$endpoint"`, fn: "rate", window: "60s",
}

func (g generation) join(expr string) string {
	return fmt.Sprintf("%s * on(%s) group_left(%s) rabbitmq_identity_info{%s}", expr, g.on, g.labels, g.where)
}

func (g generation) sum(metric string) string { return "sum(" + g.join(metric) + ")" }

func (g generation) sumByNode(metric string) string { return g.sum(metric) + " by(rabbitmq_node)" }

func (g generation) rate(metric string) string {
	return fmt.Sprintf("%s(%s[%s])", g.fn, metric, g.window)
}

// overview30 are the queries of the older dashboard, panel by panel.
func overview30() []asked {
	g := older
	var list []asked
	add := func(positive bool, queries ...string) {
		for _, q := range queries {
			list = append(list, asked{q, positive})
		}
	}
	for _, m := range []string{"rabbitmq_queue_messages_ready", "rabbitmq_queue_messages_unacked", "rabbitmq_connections", "rabbitmq_queues",
		"rabbitmq_channel_consumers", "rabbitmq_channels", "rabbitmq_build_info"} {
		add(true, g.sum(m))
	}
	add(true, g.sum("rabbitmq_channels")+" - "+g.sum("rabbitmq_channel_consumers"),
		g.sum(g.rate("rabbitmq_channel_messages_published_total")))
	var out []string
	for _, m := range []string{"messages_redelivered_total", "messages_delivered_total", "messages_delivered_ack_total", "get_total", "get_ack_total"} {
		out = append(out, g.sum(g.rate("rabbitmq_channel_"+m)))
	}
	add(true, strings.Join(out, " +\n"))
	add(true, g.join("rabbitmq_build_info"), g.join("rabbitmq_disk_space_available_bytes"),
		g.join("rabbitmq_queues"), g.join("rabbitmq_channels"), g.join("rabbitmq_connections"))
	for _, m := range [][2]string{
		{"rabbitmq_resident_memory_limit_bytes", "rabbitmq_process_resident_memory_bytes"},
		{"rabbitmq_process_max_fds", "rabbitmq_process_open_fds"},
		{"rabbitmq_process_max_tcp_sockets", "rabbitmq_process_open_tcp_sockets"},
	} {
		add(true, fmt.Sprintf("(%s) -\n(%s)", g.join(m[0]), g.join(m[1])))
	}
	add(true, g.sumByNode("rabbitmq_queue_messages_ready"), g.sumByNode("rabbitmq_queue_messages_unacked"))
	for _, m := range []string{
		"channel_messages_published_total", "channel_messages_confirmed_total", "queue_messages_published_total",
		"channel_messages_unroutable_dropped_total", "channel_messages_unroutable_returned_total",
		"channel_messages_redelivered_total", "channel_messages_delivered_ack_total", "channel_messages_delivered_total", "channel_messages_acked_total",
		"channel_get_total", "channel_get_empty_total", "channel_get_ack_total",
		"queues_declared_total", "queues_created_total", "queues_deleted_total",
		"channels_opened_total", "channels_closed_total", "connections_opened_total", "connections_closed_total",
	} {
		add(true, g.sumByNode(g.rate("rabbitmq_"+m)))
	}
	add(false, g.sumByNode(g.rate("rabbitmq_channel_messages_unconfirmed"))) // a gauge
	add(true, fmt.Sprintf("sum(\n  (%s) +\n  (%s)\n) by(rabbitmq_node)",
		g.join(g.rate("rabbitmq_channel_messages_delivered_total")), g.join(g.rate("rabbitmq_channel_messages_delivered_ack_total"))))
	return list
}

// overview40 are the queries of the newer dashboard.
func overview40() []asked {
	g := newer
	now := g
	now.fn, now.window = "irate", "$__rate_interval"
	spell := g
	spell.fn, spell.window = "increase", "$__range"
	var list []asked
	add := func(positive bool, queries ...string) {
		for _, q := range queries {
			list = append(list, asked{q, positive})
		}
	}
	for _, m := range []string{"rabbitmq_queue_messages_ready", "rabbitmq_queue_messages_unacked", "rabbitmq_global_publishers", "rabbitmq_global_consumers",
		"rabbitmq_connections", "rabbitmq_channels", "rabbitmq_queues"} {
		add(true, g.sum(m))
	}
	add(false, now.sum(now.rate("rabbitmq_global_messages_delivered_total")), now.sum(now.rate("rabbitmq_global_messages_received_total")))
	add(true, "count(rabbitmq_identity_info{"+g.where+"})",
		fmt.Sprintf("rabbitmq_erlang_uptime_seconds * on(%s) group_left(rabbitmq_version, erlang_version) %s", g.on, g.join("rabbitmq_build_info")),
		fmt.Sprintf("(%s) -\n(%s)", g.join("rabbitmq_resident_memory_limit_bytes"), g.join("rabbitmq_process_resident_memory_bytes")),
		g.join("rabbitmq_disk_space_available_bytes"), g.join("rabbitmq_queues"), g.join("rabbitmq_channels"), g.join("rabbitmq_connections"),
		g.sumByNode("rabbitmq_queue_messages_ready"), g.sumByNode("rabbitmq_queue_messages_unacked"))
	for _, m := range []string{
		"global_messages_received_total", "global_messages_routed_total", "global_messages_confirmed_total",
		"global_messages_unroutable_dropped_total", "global_messages_unroutable_returned_total", "global_messages_redelivered_total",
		"global_messages_delivered_consume_manual_ack_total", "global_messages_delivered_consume_auto_ack_total", "global_messages_acknowledged_total",
		"global_messages_delivered_get_auto_ack_total", "global_messages_get_empty_total", "global_messages_delivered_get_manual_ack_total",
		"queues_declared_total", "queues_created_total", "queues_deleted_total",
		"channels_opened_total", "channels_closed_total", "connections_opened_total", "connections_closed_total",
	} {
		add(true, g.sumByNode(g.rate("rabbitmq_"+m)))
		if strings.HasPrefix(m, "global_") { // of RabbitMQ 3.9 to 3.13
			between := older
			add(true, between.sumByNode(between.rate("rabbitmq_"+m)))
		}
	}
	add(false, fmt.Sprintf("sum(%s - \n%s\n) by(rabbitmq_node)",
		g.join(g.rate("rabbitmq_global_messages_received_confirm_total")), g.join(g.rate("rabbitmq_global_messages_confirmed_total"))))
	add(true, fmt.Sprintf("sum(\n  (%s) +\n  (%s)\n) by(rabbitmq_node)",
		g.join(g.rate("rabbitmq_global_messages_delivered_consume_auto_ack_total")), g.join(g.rate("rabbitmq_global_messages_delivered_consume_manual_ack_total"))))
	add(true, fmt.Sprintf("%s / %s", spell.sum(spell.rate("rabbitmq_message_size_bytes_sum")), spell.sum(spell.rate("rabbitmq_message_size_bytes_count"))))
	upTo := func(bound string) string {
		return spell.sum(spell.rate(fmt.Sprintf("rabbitmq_message_size_bytes_bucket{le=%q}", bound)))
	}
	bounds := []string{"100", "1000", "10000", "100000", "1000000", "10000000", "50000000", "100000000", "+Inf"}
	for i, b := range bounds {
		if i == 0 {
			add(true, upTo(b)+" / "+upTo("+Inf"))
		} else {
			add(false, fmt.Sprintf("(%s - %s) / %s", upTo(b), upTo(bounds[i-1]), upTo("+Inf")))
		}
	}
	return list
}

// dashboard is as much of Grafana's format as can be checked here.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []struct {
		ID          int
		Type, Title string
		GridPos     struct{ H, W, X, Y int }
		Datasource  struct{ Type, UID string }
		Targets     []struct {
			Expr, RefID string
			Datasource  struct{ Type, UID string }
		}
	}
}

func ourDashboard(t testing.TB) *dashboard {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/leveret.json")
	must(t, err)
	d := new(dashboard)
	must(t, json.Unmarshal(text, d))
	return d
}

// queries are all that the dashboard asks for.
func (d *dashboard) queries() (list []asked) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, asked{target.Expr, false})
		}
	}
	return list
}

var variable = regexp.MustCompile(`\$\{?([A-Za-z_]+)`)

// TestTheDashboardIsWellFormed: its panels have numbers of their own, lie in Grafana's
// 24 columns and not on each other, ask the data source that is chosen, and use no
// variable that there is not.
func TestTheDashboardIsWellFormed(t *testing.T) {
	d := ourDashboard(t)
	known := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || !known["datasource"] || !known["instance"] || len(d.Panels) < 30 {
		t.Errorf("%s %q, schema %d, %d panels, variables %v", d.UID, d.Title, d.SchemaVersion, len(d.Panels), known)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: not the only one of its number, or without a title", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s lies outside: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s, a %s, has %d queries", p.Title, p.Type, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.RefID == "" || refs[target.RefID] || target.Datasource.Type != "prometheus" || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: query %+v", p.Title, target)
			}
			refs[target.RefID] = true
			for _, v := range variable.FindAllStringSubmatch(target.Expr, -1) {
				if !known[v[1]] {
					t.Errorf("%s: there is no variable %s", p.Title, v[1])
				}
			}
		}
	}
}
