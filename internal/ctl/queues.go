package ctl

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

func (a *app) newQueue() *cobra.Command {
	list := a.newQueueList()
	show := command("show NAME", "Show what the API says of a queue", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		o, err := a.client.One(a.ctx(), mgmt.Path("queues", a.here(), args[0]), nil)
		if err != nil {
			return a.explain(err, named("queue", args[0], a.here()))
		}
		if !a.json { // what RabbitMQ's processes are like says nothing of this broker
			for _, field := range []string{"backing_queue_status", "garbage_collection", "reductions", "reductions_details"} {
				delete(o, field)
			}
		}
		return a.describe(o)
	})
	var ifEmpty, ifUnused bool
	purge := command("purge NAME...", "Drop all messages of queues that are ready", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		for _, name := range args {
			if err := a.client.Delete(a.ctx(), mgmt.Path("queues", a.here(), name, "contents"), nil); err != nil {
				return a.explain(err, named("queue", name, a.here()))
			}
			a.say("queue %q is purged", name)
		}
		return nil
	})
	del := command("delete NAME...", "Delete queues with their messages", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		for _, name := range args {
			if err := a.client.DeleteQueue(a.ctx(), a.here(), name, ifEmpty, ifUnused); err != nil {
				return a.explain(err, named("queue", name, a.here()))
			}
			a.say("queue %q is deleted", name)
		}
		return nil
	})
	del.Flags().BoolVar(&ifEmpty, "if-empty", false, "only where it has no messages")
	del.Flags().BoolVar(&ifUnused, "if-unused", false, "only where it has no consumers")
	storage := command("storage NAME", "Show where a queue's messages lie on disk, and how well they are compressed", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		return a.queueStorage(args[0])
	})
	return group("queue", "Queues: list, show, declare, peek, get, purge, delete, storage",
		list, a.complete(show, queues), a.newQueueDeclare(), a.complete(a.newPeek(), queues), a.complete(a.newGet(), queues),
		a.complete(purge, queues), a.complete(del, queues), a.complete(storage, queues))
}

func (a *app) newQueueList() *cobra.Command {
	var l listing
	cmd := command("list", "List queues: depth, rates, consumers", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := a.under("queues")
		return a.list(path, &l, what, text("QUEUE", "name"), text("VHOST", "vhost"),
			column{title: "STATE", show: queueState, style: stateStyle},
			count("READY", "messages_ready"), count("UNACKED", "messages_unacknowledged"), count("MESSAGES", "messages"), size("BYTES", "message_bytes"),
			count("CONSUMERS", "consumers"), rate("IN", "message_stats.publish_details.rate"), rate("OUT", "message_stats.deliver_get_details.rate"),
			rate("ACK", "message_stats.ack_details.rate"), text("TYPE", "type"), flags("FLAGS", "durable", "exclusive", "auto_delete"), text("POLICY", "policy"))
	})
	l.bind(cmd)
	return cmd
}

func queueState(o mgmt.Object) string {
	if o.Has("idle_since") && o.Text("state") == "running" {
		return "idle"
	}
	return show(o.Field("state"))
}

func stateStyle(o mgmt.Object) terminal.Style {
	switch queueState(o) {
	case "running":
		return terminal.Good
	case "idle", "":
		return terminal.Dim
	}
	return terminal.Warning
}

func (a *app) newQueueDeclare() *cobra.Command {
	var transient, autoDelete bool
	var kind string
	var args_ []string
	cmd := command("declare NAME", "Declare a queue, durable unless it is said to be transient", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		q := mgmt.Queue{Durable: !transient, AutoDelete: autoDelete}
		var err error
		if q.Arguments, err = arguments("", args_); err != nil {
			return err
		}
		if kind != "" {
			q.Arguments["x-queue-type"] = kind
		}
		created, err := a.client.Put(a.ctx(), mgmt.Path("queues", a.here(), args[0]), q)
		if err != nil {
			return a.explain(err, "")
		}
		a.declared("queue", args[0], created)
		return nil
	})
	cmd.Example = "  leveret queue declare orders --arg x-max-length=1000 --arg x-dead-letter-exchange=dead"
	cmd.Flags().BoolVar(&transient, "transient", false, "it goes with a restart")
	cmd.Flags().BoolVar(&autoDelete, "auto-delete", false, "it goes with its last consumer")
	cmd.Flags().StringVar(&kind, "type", "", "its `type`: classic or quorum")
	cmd.Flags().StringArrayVar(&args_, "arg", nil, "an argument, `NAME=VALUE`; may be given again")
	completeWords(cmd, "type", "classic", "quorum")
	return cmd
}

// declared tells that something was made, or was there as it should be.
func (a *app) declared(kind, name string, created bool) {
	if created {
		a.say("%s %q is declared in vhost %q", kind, name, a.here())
	} else {
		a.say("%s %q was there in vhost %q", kind, name, a.here())
	}
}

func (a *app) queueStorage(name string) error {
	o, err := a.client.One(a.ctx(), mgmt.Path("queues", a.here(), name, "storage"), nil)
	if err != nil {
		return a.explain(err, named("queue", name, a.here()))
	}
	if a.json {
		return a.printJSON(o)
	}
	t := terminal.NewTable(a.out, a.paint, "WHERE", "FILES>", "MESSAGES>", "BYTES>", "RAW>", "RATIO>")
	tier := func(what string, v mgmt.Object) {
		t.Row(what, quantity(v, "files"), quantity(v, "messages"), amount(v, "bytes"), "", "")
	}
	onDisk := o.Int("messages")
	if v, ok := o.Field("memory").(map[string]any); ok {
		onDisk -= mgmt.Object(v).Int("messages")
	}
	for _, what := range []string{"memory", "log", "large"} {
		if v, ok := o.Field(what).(map[string]any); ok && mgmt.Object(v).Int("messages") > 0 {
			tier(what, v)
		}
	}
	for _, s := range o.Objects("segments") {
		t.Row("segment "+show(s["file"]), "", quantity(s, "queue_messages"), amount(s, "queue_bytes"), amount(s, "raw_bytes"), ratio(s))
	}
	t.Row("on disk", "", terminal.Number(onDisk), amount(o, "live_bytes"), amount(o, "raw_bytes"), ratio(o))
	return t.Flush()
}

// ratio is how many times smaller compression made something.
func ratio(o mgmt.Object) string {
	if o.Float("ratio") == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", o.Float("ratio"))
}

func quantity(o mgmt.Object, field string) string {
	if !o.Has(field) {
		return ""
	}
	return terminal.Number(o.Int(field))
}

func amount(o mgmt.Object, field string) string {
	if !o.Has(field) {
		return ""
	}
	return terminal.Bytes(o.Int(field))
}
