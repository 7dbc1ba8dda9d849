package rabbitmqctl

import (
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"

	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/internal/mgmt"
)

var listCommands = []*command{
	{name: "list_queues", usage: "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]",
		short: "Lists queues", group: monitoring, max: -1, columns: queueColumns, options: map[string]bool{"online": false, "offline": false, "local": false}, run: listQueues},
	{name: "list_exchanges", usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
		short: "Lists exchanges", group: monitoring, max: -1, columns: exchangeColumns, run: listOf("exchanges", "Listing exchanges for vhost %s ...")},
	{name: "list_bindings", usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
		short: "Lists bindings", group: monitoring, max: -1, columns: bindingColumns, run: listOf("bindings", "Listing bindings for vhost %s...")},
	{name: "list_consumers", usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
		short: "Lists consumers", group: monitoring, max: -1, columns: consumerColumns, run: listOf("consumers", "Listing consumers in vhost %s ...")},
	{name: "list_connections", usage: "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
		short: "Lists clients' connections", group: monitoring, max: -1, columns: connectionColumns, run: listAll("connections", "Listing connections ...")},
	{name: "list_channels", usage: "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
		short: "Lists channels", group: monitoring, max: -1, columns: channelColumns, run: listAll("channels", "Listing channels ...")},
}

const monitoring = "Monitoring, observability and health checks"

var queueColumns = &columns{standard: "name messages", list: slices.Concat(
	fields("name", "durable", "auto_delete"), []column{args("arguments", "arguments")}, fields("policy", "operator_policy"),
	[]column{args("effective_policy_definition", "effective_policy_definition"), pid("pid", "name"), pid("owner_pid", "owner_pid_details.name")},
	fields("exclusive"), []column{{"exclusive_consumer_pid", none}, field("exclusive_consumer_tag", "exclusive_consumer_tag")},
	fields("messages_ready", "messages_unacknowledged", "messages", "messages_ready_ram", "messages_unacknowledged_ram", "messages_ram", "messages_persistent",
		"message_bytes", "message_bytes_ready", "message_bytes_unacknowledged", "message_bytes_ram", "message_bytes_persistent", "head_message_timestamp"),
	[]column{{"disk_reads", zero}, {"disk_writes", zero}},
	fields("consumers", "consumer_utilisation", "consumer_capacity", "memory"),
	[]column{{"slave_pids", none}, {"synchronised_slave_pids", none}}, fields("state", "type", "leader"), []column{{"online", none}, {"members", none}})}

var exchangeColumns = &columns{standard: "name type", list: append(fields("name", "type", "durable", "auto_delete", "internal"), args("arguments", "arguments"), field("policy", "policy"))}

var bindingColumns = &columns{standard: "source_name source_kind destination_name destination_kind routing_key arguments", list: []column{
	field("source_name", "source"), {"source_kind", func(object) any { return "exchange" }}, field("destination_name", "destination"),
	field("destination_kind", "destination_type"), field("routing_key", "routing_key"), args("arguments", "arguments"), field("vhost", "vhost"),
}}

var consumerColumns = &columns{standard: "queue_name channel_pid consumer_tag ack_required prefetch_count active arguments", fixed: true, list: []column{
	field("queue_name", "queue.name"), pid("channel_pid", "channel_details.name"), field("consumer_tag", "consumer_tag"), field("ack_required", "ack_required"),
	field("prefetch_count", "prefetch_count"), field("active", "active"), field("activity_status", "activity_status"), args("arguments", "arguments"),
}}

var connectionColumns = &columns{standard: "user peer_host peer_port state", list: slices.Concat([]column{pid("pid", "name")},
	fields("name", "port", "host", "peer_port", "peer_host", "ssl", "ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash", "peer_cert_subject", "peer_cert_issuer", "peer_cert_validity",
		"state", "channels"), []column{{"protocol", protocol}}, fields("auth_mechanism", "user", "vhost", "timeout", "frame_max", "channel_max"),
	[]column{args("client_properties", "client_properties")}, fields("connected_at", "recv_oct", "recv_cnt", "send_oct", "send_cnt", "send_pend"))}

var channelColumns = &columns{standard: "pid user consumer_count messages_unacknowledged", list: slices.Concat(
	[]column{pid("pid", "name"), pid("connection", "connection_details.name")},
	fields("name", "number", "user", "vhost", "transactional", "confirm", "consumer_count", "messages_unacknowledged", "messages_uncommitted", "acks_uncommitted",
		"messages_unconfirmed", "prefetch_count", "global_prefetch_count"))}

func fields(names ...string) []column {
	out := make([]column, len(names))
	for i, name := range names {
		out[i] = field(name, name)
	}
	return out
}

// args is a column that is a field table.
func args(name, path string) column {
	return column{name, func(o object) any {
		m, _ := o.Field(path).(map[string]any)
		return table(m)
	}}
}

func none(object) any { return "" }
func zero(object) any { return 0 }

// pid is a column that tells processes of RabbitMQ apart.
func pid(name, path string) column {
	return column{name, func(o object) any {
		text := o.Text(path)
		if text == "" {
			return ""
		}
		node := o.Text("node")
		if node == "" {
			node = o.Text("channel_details.node")
		}
		return pidOf(node, text)
	}}
}

// pidOf is what stands for a connection or channel of that name where RabbitMQ has the
// pid of a process.
func pidOf(node, name string) string {
	if node == "" {
		node = identity.Node
	}
	return fmt.Sprintf("<%s.1.%d.0>", node, crc32.ChecksumIEEE([]byte(name)))
}

// protocol is AMQP's version as Erlang has it.
func protocol(o object) any {
	version, ok := strings.CutPrefix(o.Text("protocol"), "AMQP ")
	if !ok {
		return o.Text("protocol")
	}
	return "{" + strings.ReplaceAll(version, "-", ",") + "}"
}

func listQueues(c *call) error {
	seconds := c.timeout
	if seconds == 0 {
		seconds = defaultTimeout.Seconds()
	}
	c.banner("Timeout: %.1f seconds ...", seconds)
	c.banner("Listing queues for vhost %s ...", c.vhost())
	if c.set["offline"] && !c.set["online"] {
		return c.columnRows(true, nil)
	}
	return c.listIn("queues", light(c.args))
}

// lightColumns are what the API has of queues without their statistics, which take it
// several times as long.
var lightColumns = []string{"name", "durable", "auto_delete", "exclusive", "arguments", "type", "state", "pid", "messages", "messages_ready", "messages_unacknowledged"}

func light(names []string) url.Values {
	for _, name := range names {
		if !slices.Contains(lightColumns, name) {
			return nil
		}
	}
	return url.Values{"disable_stats": {"true"}, "enable_queue_totals": {"true"}}
}

// listOf lists what is in a vhost.
func listOf(kind, banner string) func(c *call) error {
	return func(c *call) error {
		c.banner(banner, c.vhost())
		return c.listIn(kind, nil)
	}
}

// listIn lists what is in the vhost; in one that is not there, nothing is.
func (c *call) listIn(kind string, query url.Values) error {
	found, err := c.client.List(c.ctx, mgmt.Path(kind, c.vhost()), query)
	if err != nil && !mgmt.IsStatus(err, 404) {
		return c.explain(err)
	}
	return c.columnRows(true, found)
}

// listAll lists what is in no vhost.
func listAll(kind, banner string) func(c *call) error {
	return func(c *call) error {
		c.banner("%s", banner)
		found, err := c.client.List(c.ctx, mgmt.Path(kind), nil)
		if err != nil {
			return c.explain(err)
		}
		return c.columnRows(true, found)
	}
}
