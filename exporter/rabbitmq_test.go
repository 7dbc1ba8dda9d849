package exporter_test

import (
	"bufio"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// absent are metrics of RabbitMQ that there are not, and why.
var absent = []struct{ names, why string }{
	{`raft_.*`, "there is no Raft: a quorum queue is in the same log as all others"},
	{`schema_db_.*`, "there is no Mnesia: topology is in the log"},
	{`io_(seek_.*|reopen_.*)`, "files are read and written at positions, and stay open"},
	{`io_read_time_seconds_total`, "reads are not timed"},
	{`(msg_store|queue_index)_.*`, "there is neither a message store nor an index in files: see leveret_wal_… and leveret_storage_…"},
	{`queue_disk_(reads|writes)_total`, "the log and segments serve all queues: see io_… and leveret_…"},
	{`queue_messages_(ready_ram|unacked_ram|paged_out|paged_out_bytes)`, "what is in memory is a cache of the log's, and not a queue's"},
	{`queue_head_message_timestamp`, "each queue's oldest message would have to be read, from disk as it may be, at each scrape"},
	{`queue_process_memory_bytes`, "a queue is no process with memory of its own"},
	{`(queue|channel|connection)_process_reductions_total`, "reductions are Erlang's"},
	{`erlang_(net_ticktime_seconds|processes_limit)`, "there is nothing like it in Go"},
	{`auth_attempts_detailed_.*`, "where logins come from is in the audit log; RabbitMQ counts it only when told to"},
	{`connection_(incoming_packets_total|outgoing_packets_total|pending_packets)@/metrics`, "a sum over connections that are there falls when one goes; /metrics/per-object has them"},
}

// missing returns why there is no metric of that name on a path, "" where there should be.
func missing(path, name string) string {
	short := strings.TrimPrefix(strings.TrimPrefix(name, "rabbitmq_"), "detailed_")
	for _, a := range absent {
		names, only, limited := strings.Cut(a.names, "@")
		if limited && only != path {
			continue
		}
		if regexp.MustCompile(`^(` + names + `)$`).MatchString(short) {
			return a.why
		}
	}
	return ""
}

// otherLabels are the labels that are not as in RabbitMQ, by name.
var otherLabels = []struct{ names, theirs, ours string }{
	{`rabbitmq_identity_info`, "rabbitmq_node,rabbitmq_cluster,rabbitmq_cluster_permanent_id", "rabbitmq_node,rabbitmq_cluster,rabbitmq_cluster_permanent_id,rabbitmq_endpoint"},
	{`rabbitmq_build_info`, "rabbitmq_version,prometheus_plugin_version,prometheus_client_version,erlang_version",
		"rabbitmq_version,prometheus_plugin_version,prometheus_client_version,erlang_version,product_name,product_version"},
	{`.*_channel_(get|messages)_.*`, "channel,vhost,queue", "vhost,queue"},
	{`.*_channel_messages_.*`, "channel,vhost,exchange", "channel,vhost"},
	{`.*_channel_.*|.*consumer_prefetch`, "channel", "channel,vhost"},
	{`.*_queue_messages_published_total`, "channel,queue_vhost,queue,exchange_vhost,exchange", "queue_vhost,queue"},
}

// TestEveryMetricOfRabbitMQIsThere, or stands in the list above: by path, name, type
// and labels, as RabbitMQ 3.10 answered under load.
func TestEveryMetricOfRabbitMQIsThere(t *testing.T) {
	w := newWorld(t)
	w.work()
	w.sample()
	ours := map[string]map[string]metric{}
	for path := range queries {
		w.get(path) // so that telemetry has something to tell
		ours[path] = w.parse(path)
	}
	f, err := os.Open("testdata/rabbitmq-3.10.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	used := map[string]bool{}
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		field := strings.Fields(lines.Text())
		if field[0] == "#" {
			continue
		}
		n++
		path, name, kind, labels := field[0], field[1], field[2], field[3:]
		m, there := ours[path][name]
		if why := missing(path, name); why != "" {
			used[why] = true
			if there {
				t.Errorf("%s on %s is there, though the list says that %s", name, path, why)
			}
			continue
		}
		if !there {
			t.Errorf("%s is not on %s", name, path)
			continue
		}
		if m.kind != kind {
			t.Errorf("%s on %s is a %s, want %s", name, path, m.kind, kind)
		}
		for _, theirs := range labels {
			want := theirs
			for _, o := range otherLabels {
				if o.theirs == theirs && regexp.MustCompile(`^(`+o.names+`)$`).MatchString(name) {
					want = o.ours
					break
				}
			}
			if !m.labels[want] {
				t.Errorf("%s on %s has the labels %v, want %s", name, path, slices.Sorted(maps.Keys(m.labels)), want)
			}
		}
	}
	if n < 350 {
		t.Errorf("the list has %d metrics", n)
	}
	for _, a := range absent {
		if !used[a.why] {
			t.Errorf("RabbitMQ has no %s either", a.names)
		}
	}
}

// metric is what a path tells under one name.
type metric struct {
	kind   string
	labels map[string]bool // sets of names, with commas, as they come; "-": none
	values map[string]float64
}
