package ctl

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

func (a *app) newStatus() *cobra.Command {
	return command("status", "Show what the broker is, holds and does", cobra.NoArgs, func(*cobra.Command, []string) error {
		o, err := a.client.Overview(a.ctx())
		if err != nil {
			return a.explain(err, "")
		}
		nodes, err := a.client.List(a.ctx(), mgmt.Path("nodes"), nil)
		if err != nil && !mgmt.IsStatus(err, 404) && !mgmt.IsStatus(err, 401) { // only those with the tag monitoring see nodes
			return a.explain(err, "")
		}
		storage, err := a.client.One(a.ctx(), mgmt.Path("storage"), nil)
		if err != nil && !mgmt.IsStatus(err, 404) && !mgmt.IsStatus(err, 401) {
			return a.explain(err, "")
		}
		if a.json {
			return a.printJSON(map[string]any{"overview": o, "nodes": nodes, "storage": storage})
		}
		a.writeStatus(o, nodes, storage)
		return nil
	})
}

func (a *app) writeStatus(o mgmt.Object, nodes []mgmt.Object, storage mgmt.Object) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(a.out, "%s  %s\n", a.paint.Text(terminal.Bold, terminal.Pad(name, 12, false)), text)
		}
	}
	version := "RabbitMQ " + o.Text("rabbitmq_version")
	if own := o.Text("leveret_version"); own != "" {
		version = "Leveret " + own + ", as " + version
	}
	line("broker", terminal.Printable(version))
	line("cluster", terminal.Printable(o.Text("cluster_name")))
	for _, n := range nodes {
		line("node", terminal.Printable(n.Text("name")))
		line("  uptime", terminal.Duration(time.Duration(n.Int("uptime"))*time.Millisecond))
		line("  memory", resource(a, n, "mem_used", "mem_limit", "mem_alarm", "of at most"))
		line("  disk free", resource(a, n, "disk_free", "disk_free_limit", "disk_free_alarm", "of at least"))
		if n.Has("fd_total") {
			line("  files", fmt.Sprintf("%s of at most %s", quantity(n, "fd_used"), quantity(n, "fd_total")))
		}
	}
	if storage != nil {
		line("storage", storageText(storage))
		line("fsync", fsyncText(storage))
	}
	line("messages", fmt.Sprintf("%s ready, %s unacked", terminal.Number(o.Int("queue_totals.messages_ready")), terminal.Number(o.Int("queue_totals.messages_unacknowledged"))))
	if o.Has("message_stats") {
		line("rates", fmt.Sprintf("%s in, %s out, %s acked", terminal.Rate(o.Float("message_stats.publish_details.rate")),
			terminal.Rate(o.Float("message_stats.deliver_get_details.rate")), terminal.Rate(o.Float("message_stats.ack_details.rate"))))
	}
	var parts []string
	for _, what := range []string{"connection", "channel", "exchange", "queue", "consumer"} {
		if o.Has("object_totals." + what + "s") {
			parts = append(parts, terminal.Plural(int(o.Int("object_totals."+what+"s")), what))
		}
	}
	line("objects", strings.Join(parts, ", "))
	var listeners []string
	for _, l := range o.Objects("listeners") {
		listeners = append(listeners, fmt.Sprintf("%s on %s", l.Text("protocol"), address(l)))
	}
	line("listeners", terminal.Printable(strings.Join(listeners, ", ")))
}

// storageText is what lies on disk, by where it lies.
func storageText(o mgmt.Object) string {
	var parts []string
	for _, tier := range []string{"log", "segments", "large", "spilled"} {
		if n := o.Int("tiers." + tier + ".bytes"); n > 0 {
			parts = append(parts, tier+" "+terminal.Bytes(n))
		}
	}
	if v := o.Float("space_amplification"); v > 0 {
		parts = append(parts, fmt.Sprintf("%.2f times what is alive", v))
	}
	return strings.Join(parts, ", ")
}

// fsyncText is how long confirms wait for the disk.
func fsyncText(o mgmt.Object) string {
	if o.Int("wal.fsync.count") == 0 {
		return ""
	}
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, longest %.1f ms; %s together", o.Float("wal.fsync.p50_ms"), o.Float("wal.fsync.p99_ms"), o.Float("wal.fsync.max_ms"),
		terminal.Plural(int(math.Round(o.Float("wal.group.mean"))), "record"))
}

func address(l mgmt.Object) string {
	host := l.Text("ip_address")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.FormatInt(l.Int("port"), 10)
}

// resource is what is used, or free, and its bound; in red where there is an alarm.
func resource(a *app, n mgmt.Object, used, limit, alarm, relation string) string {
	if !n.Has(used) {
		return ""
	}
	text := terminal.Bytes(n.Int(used))
	if n.Has(limit) {
		text += " " + relation + " " + terminal.Bytes(n.Int(limit))
	}
	if n.Bool(alarm) {
		return a.paint.Text(terminal.Bad, text+", ALARM: publishers are held up")
	}
	return text
}

func (a *app) newHealth() *cobra.Command {
	var check string
	cmd := command("health", "Tell whether the broker is well, by its exit code too: 0, or 5", cobra.NoArgs, func(*cobra.Command, []string) error {
		if check != "" {
			if err := a.client.Check(a.ctx(), strings.Split(check, "/")...); err != nil {
				return a.explain(err, fmt.Sprintf("health check %q", check))
			}
			a.say("%s: ok", check)
			return nil
		}
		o, status, err := a.client.Health(a.ctx())
		if mgmt.IsStatus(err, 404) || err == nil && o.Text("status") == "" {
			return failed("%s has no GET /health, so it is no Leveret: --check alarms asks what RabbitMQ has too", a.client.Address())
		}
		if err != nil {
			return a.explain(err, "")
		}
		if a.json {
			if err := a.printJSON(o); err != nil {
				return err
			}
		}
		text, style := o.Text("status"), terminal.Good
		switch {
		case o.Text("error") != "":
			text, style = text+": "+o.Text("error"), terminal.Bad
		case o.Text("alarm") != "":
			text, style = text+": "+o.Text("alarm")+", publishers are held up", terminal.Warning
		}
		if status >= 300 {
			return &fault{codeUnavailable, "the broker is not well: " + text}
		}
		if n := o.Int("damaged_messages"); n > 0 {
			text += fmt.Sprintf("; %s could not be read and set aside: see the broker's log", terminal.Plural(int(n), "message"))
		}
		a.say("%s", a.paint.Text(style, terminal.Printable(text)))
		return nil
	})
	cmd.Flags().StringVar(&check, "check", "", "one health `check` of the API instead: alarms, local-alarms, virtual-hosts, port-listener/PORT, ready")
	completeWords(cmd, "check", "alarms", "local-alarms", "virtual-hosts", "ready", "port-listener/5672")
	return cmd
}

func (a *app) newDefinitions() *cobra.Command {
	export := command("export [FILE]", "Write users, vhosts, policies and topology as JSON, to a file or standard output", cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
		text, err := a.client.Definitions(a.ctx(), a.vhost)
		if err != nil {
			what := ""
			if a.vhost != "" {
				what = fmt.Sprintf("vhost %q", a.vhost)
			}
			return a.explain(err, what)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return failed("the broker's definitions are no JSON: %v", err)
		}
		if len(args) == 0 || args[0] == "-" {
			return a.printJSON(text)
		}
		if err := mgmt.SaveDefinitions(args[0], text); err != nil {
			return failed("%v", err)
		}
		if a.vhost != "" {
			a.say("the definitions of vhost %q are in %s: import them with -p VHOST", a.vhost, args[0])
			return nil
		}
		a.say("the definitions are in %s, password hashes too: keep it as you keep passwords", args[0])
		return nil
	})
	load := command("import [FILE]", "Make what definitions name, from a file or standard input; what is there stays", cobra.MaximumNArgs(1), func(_ *cobra.Command, args []string) error {
		text, err := a.readFile(args)
		if err != nil {
			return failed("%v", err)
		}
		if !json.Valid(text) {
			return usage("that is no JSON: definitions are what leveret definitions export writes, or RabbitMQ's")
		}
		if err := a.client.Import(a.ctx(), a.vhost, text); err != nil {
			err = a.explain(err, "")
			if a.vhost == "" && strings.Contains(err.Error(), "{key_missing,vhost}") {
				return failed("%v: these are the definitions of one vhost: name the one they are for with -p VHOST", err)
			}
			return err
		}
		a.say("the definitions are imported")
		return nil
	})
	files := func(cmd *cobra.Command) *cobra.Command {
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		}
		return cmd
	}
	return group("definitions", "Definitions: export, import", files(export), files(load))
}

// readFile reads a file that is named, or standard input.
func (a *app) readFile(args []string) ([]byte, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.ReadAll(a.in)
	}
	return os.ReadFile(args[0])
}

// describe writes all fields of an object.
func (a *app) describe(o mgmt.Object) error {
	if a.json {
		return a.printJSON(o)
	}
	var lines [][2]string
	flatten(&lines, "", map[string]any(o))
	width := 0
	for _, l := range lines {
		width = max(width, terminal.Width(l[0]))
	}
	for _, l := range lines {
		fmt.Fprintf(a.out, "%s  %s\n", a.paint.Text(terminal.Bold, terminal.Pad(l[0], width, false)), l[1])
	}
	return nil
}

// flatten makes lines of an object's fields and of those of objects in it, in order.
// Lists of objects, such as samples and consumers, are left to --json.
func flatten(lines *[][2]string, prefix string, m map[string]any) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch v := m[name].(type) {
		case map[string]any:
			flatten(lines, prefix+name+".", v)
		case []any:
			if text := show(v); len(v) > 0 && !strings.HasPrefix(text, "[{") {
				*lines = append(*lines, [2]string{prefix + name, text})
			}
		default:
			if v != nil && v != "" {
				*lines = append(*lines, [2]string{prefix + terminal.Printable(name), show(v)})
			}
		}
	}
}
