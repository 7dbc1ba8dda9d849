package rabbitmqctl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

var nodeCommands = []*command{
	{name: "help", usage: "<command>", short: "Displays how a command is called", group: "Help", max: -1},
	{name: "version", short: "Displays the version of RabbitMQ whose behaviour this is", group: "Help", max: -1, run: showVersion},
	{name: "ping", usage: "[--timeout <timeout>]", short: "Tells whether the broker answers", group: monitoring, run: ping},
	{name: "status", usage: "[--unit <unit>] [--timeout <timeout>]", short: "Displays what the broker is and uses", group: monitoring, options: map[string]bool{"unit": true}, run: status},
	{name: "cluster_status", short: "Displays the one node that there is", group: "Nodes", run: clusterStatus},
	{name: "await_startup", short: "Waits until the broker serves", group: "Nodes", run: awaitStartup},
	{name: "await_online_nodes", usage: "<count> [--timeout <timeout>]", short: "Waits until the broker serves", group: "Nodes", min: 1, max: 1, run: awaitNodes},
	{name: "wait", usage: "[<pidfile>] [--pid|-P <pid>]", short: "Waits until the broker serves", group: "Nodes", max: 1, options: map[string]bool{"pid": true}, run: awaitStartup},
	{name: "rotate_logs", short: "Does nothing: logs go to standard error", group: "Nodes", run: func(*call) error {
		return fail(exitUnavailable, "This command does not rotate logs: they go to standard error, and the service manager keeps them")
	}},
	{name: "list_feature_flags", usage: "[--no-table-headers] [<column> ...]", short: "Lists nothing: all that there is is always on", group: "Configuration and Environment", max: -1, run: func(c *call) error {
		c.banner("Listing feature flags ...")
		return c.rows(false, []string{"name", "state"}, nil)
	}},
	{name: "enable_feature_flag", usage: "<feature_flag> | all", short: "Does nothing: all that there is is always on", group: "Configuration and Environment", min: 1, max: 1,
		options: map[string]bool{"experimental": false, "opt-in": false}, run: func(c *call) error {
			c.banner("Enabling feature flag \"%s\" ...", c.args[0])
			return nil
		}},
}

func showVersion(c *call) error {
	c.print(identity.RabbitMQ)
	return nil
}

// reachable tells whether the broker answers at all.
func (c *call) reachable() error {
	_, _, err := c.client.Health(c.ctx)
	return c.explain(err)
}

func ping(c *call) error {
	c.banner("Will ping %s. This only checks if the broker answers. Timeout: %d ms.", c.node(), c.limit(defaultTimeout).Milliseconds())
	if err := c.reachable(); err != nil {
		return err
	}
	c.say("Ping succeeded")
	return nil
}

// limit is how long the caller waits.
func (c *call) limit(standard time.Duration) time.Duration {
	if c.timeout > 0 {
		return time.Duration(c.timeout * float64(time.Second))
	}
	return standard
}

const (
	startupLimit = 5 * time.Minute
	startupPause = 200 * time.Millisecond
)

// awaitStartup asks until the broker is ready. That it cannot be reached yet is why
// somebody waits.
func awaitStartup(c *call) error {
	ctx, cancel := context.WithTimeout(c.ctx, c.limit(startupLimit))
	defer cancel()
	var last error
	for {
		o, code, err := c.client.Health(ctx)
		switch {
		case err == nil && code < 300:
			return nil
		case err != nil && ctx.Err() == nil:
			last = err
		case err == nil:
			last = fmt.Errorf("the broker is %s", o.Text("status"))
		}
		select {
		case <-time.After(startupPause):
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return fail(exitTimeout, "timed out: %v", last)
		}
	}
}

func awaitNodes(c *call) error {
	n, err := strconv.Atoi(c.args[0])
	if err != nil || n < 1 {
		return &badArgument{exitData, "Bad argument: the number of nodes must be positive"}
	}
	c.banner("Will wait for at least %d nodes to join the cluster of %s. Timeout: %d seconds.", n, c.node(), int(c.limit(startupLimit).Seconds()))
	if n > 1 {
		return fail(exitUsage, "Leveret is one node, %d will never be there", n)
	}
	return awaitStartup(c)
}

// state is what the broker says of itself.
type state struct {
	overview object
	node     object
	vhosts   int
	queues   int64
}

func (c *call) state() (s state, err error) {
	if s.overview, err = c.client.Overview(c.ctx); err != nil {
		return s, c.explain(err)
	}
	nodes, err := c.client.List(c.ctx, mgmt.Path("nodes"), nil)
	if err != nil && !mgmt.IsStatus(err, 404) {
		return s, c.explain(err)
	}
	if len(nodes) > 0 {
		s.node = nodes[0]
	}
	vhosts, err := c.client.List(c.ctx, mgmt.Path("vhosts"), nil)
	if err != nil {
		return s, c.explain(err)
	}
	s.vhosts, s.queues = len(vhosts), s.overview.Int("object_totals.queues")
	return s, nil
}

// alarms are the resources that hold publishers up.
func (s state) alarms() []string {
	var out []string
	if s.node.Bool("mem_alarm") {
		out = append(out, "memory")
	}
	if s.node.Bool("disk_free_alarm") {
		out = append(out, "disk")
	}
	return out
}

func (s state) dirs() string { return s.node.Text("db_dir") }

func status(c *call) error {
	s, err := c.state()
	if err != nil {
		return err
	}
	if c.formatter == "json" {
		c.print(compact(s.json()))
		return nil
	}
	c.banner("Status of node %s ...", c.nameOf(s))
	s.write(c.Out, c.nameOf(s), c.version)
	return nil
}

func (c *call) nameOf(s state) string {
	if name := c.values["node"]; name != "" {
		return name
	}
	return s.overview.Text("node")
}

func (s state) json() map[string]any {
	listeners := []any{}
	for _, l := range s.overview.Objects("listeners") {
		listeners = append(listeners, map[string]any{"interface": host(l), "node": l.Text("node"), "port": l.Field("port"), "protocol": l.Text("protocol"), "purpose": purpose(l)})
	}
	alarms := []string{}
	alarms = append(alarms, s.alarms()...)
	version := s.overview.Text("rabbitmq_version")
	return map[string]any{
		"rabbitmq_version": version, "product_name": "RabbitMQ", "product_version": version, "leveret_version": s.overview.Text("leveret_version"),
		"pid": s.node.Field("os_pid"), "os": "Linux", "uptime": s.node.Int("uptime") / 1000, "is_under_maintenance": false, "run_queue": s.node.Field("run_queue"),
		"processes": map[string]any{"used": s.node.Field("proc_used"), "limit": s.node.Field("proc_total")}, "data_directory": s.dirs(),
		"alarms": alarms, "disk_free": s.node.Field("disk_free"), "disk_free_limit": s.node.Field("disk_free_limit"), "listeners": listeners,
		"file_descriptors": map[string]any{"total_limit": s.node.Field("fd_total"), "total_used": s.node.Field("fd_used"), "sockets_limit": s.node.Field("sockets_total"), "sockets_used": s.node.Field("sockets_used")},
		"memory":           map[string]any{"total": map[string]any{"rss": s.node.Field("mem_used")}}, "vm_memory_high_watermark_limit": s.node.Field("mem_limit"),
		"totals": map[string]any{"connection_count": s.overview.Int("object_totals.connections"), "queue_count": s.queues, "virtual_host_count": s.vhosts},
	}
}

func (s state) write(out io.Writer, name, version string) {
	line := func(format string, args ...any) { writeLines(out, format+"\n", args...) }
	section := func(title string) { line("%s\n", title) }
	section("Runtime")
	line("OS PID: %s", s.node.Text("os_pid"))
	line("OS: Linux")
	line("Uptime (seconds): %d", s.node.Int("uptime")/1000)
	line("Is under maintenance?: false")
	line("RabbitMQ version: %s", s.overview.Text("rabbitmq_version"))
	line("Leveret version: %s", version)
	line("Node name: %s\n", name)
	section("Plugins")
	line("Enabled plugins:\n\n(none: what they do is built in)\n")
	section("Data directory")
	line("Node data directory: %s\n", s.dirs())
	section("Alarms")
	line("%s\n", list(s.alarms()))
	section("Memory")
	line("Total memory used: %s gb", gb(s.node.Float("mem_used")))
	line("Memory high watermark: %s gb\n", gb(s.node.Float("mem_limit")))
	section("File Descriptors")
	line("Total: %d, limit: %d", s.node.Int("fd_used"), s.node.Int("fd_total"))
	line("Sockets: %d, limit: %d\n", s.node.Int("sockets_used"), s.node.Int("sockets_total"))
	section("Free Disk Space")
	line("Low free disk space watermark: %s gb", gb(s.node.Float("disk_free_limit")))
	line("Free disk space: %s gb\n", gb(s.node.Float("disk_free")))
	section("Totals")
	line("Connection count: %d", s.overview.Int("object_totals.connections"))
	line("Queue count: %d", s.queues)
	line("Virtual host count: %d\n", s.vhosts)
	section("Listeners")
	for _, l := range s.overview.Objects("listeners") {
		line("%s", listener(l))
	}
}

// writeLines is fmt.Fprintf of what cannot steer the terminal.
func writeLines(out io.Writer, format string, args ...any) {
	fmt.Fprint(out, terminal.Lines(fmt.Sprintf(format, args...)))
}

func list(words []string) string {
	if len(words) == 0 {
		return "(none)"
	}
	return strings.Join(words, "\n")
}

func gb(v float64) string { return strconv.FormatFloat(float64(int64(v/1e5))/1e4, 'f', -1, 64) }

func host(l object) string {
	name := l.Text("ip_address")
	if name == "" || strings.Contains(name, ":") {
		return "[" + cmp.Or(name, "::") + "]"
	}
	return name
}

// purpose is what a listener is for.
func purpose(l object) string {
	switch p := l.Text("protocol"); p {
	case "amqp":
		return "AMQP 0-9-1"
	case "amqp/ssl":
		return "AMQP 0-9-1 over TLS"
	case "http":
		return "HTTP API"
	case "http/prometheus":
		return "Prometheus exporter API over HTTP"
	default:
		return p
	}
}

func listener(l object) string {
	return fmt.Sprintf("Interface: %s, port: %d, protocol: %s, purpose: %s", host(l), l.Int("port"), l.Text("protocol"), purpose(l))
}

func clusterStatus(c *call) error {
	s, err := c.state()
	if err != nil {
		return err
	}
	name := s.overview.Text("node")
	if c.formatter == "json" {
		c.print(compact(map[string]any{"cluster_name": s.overview.Text("cluster_name"), "disk_nodes": []string{name}, "ram_nodes": []string{}, "running_nodes": []string{name},
			"partitions": map[string]any{}, "alarms": s.json()["alarms"], "listeners": map[string]any{name: s.json()["listeners"]}, "versions": map[string]any{name: map[string]any{"rabbitmq_version": s.overview.Text("rabbitmq_version")}}}))
		return nil
	}
	c.banner("Cluster status of node %s ...", c.nameOf(s))
	writeLines(c.Out, "Basics\n\nCluster name: %s\n\nDisk Nodes\n\n%s\n\nRunning Nodes\n\n%s\n\nVersions\n\n%s: RabbitMQ %s\n\nMaintenance status\n\nNode: %s, status: not under maintenance\n\nAlarms\n\n%s\n\nNetwork Partitions\n\n(none)\n\nListeners\n\n",
		s.overview.Text("cluster_name"), name, name, name, s.overview.Text("rabbitmq_version"), name, list(s.alarms()))
	for _, l := range s.overview.Objects("listeners") {
		writeLines(c.Out, "Node: %s, %s\n", name, strings.Replace(listener(l), "Interface", "interface", 1))
	}
	return nil
}
