package ctl

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

func (a *app) newConnection() *cobra.Command {
	var l listing
	list := command("list", "List clients' connections", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := mgmt.Path("connections"), ""
		if a.vhost != "" {
			path, what = mgmt.Path("vhosts", a.vhost, "connections"), fmt.Sprintf("vhost %q", a.vhost)
		}
		return a.list(path, &l, what, text("CONNECTION", "name"), text("USER", "user"), text("VHOST", "vhost"),
			column{title: "STATE", show: func(o mgmt.Object) string { return o.Text("state") }, style: connectionStyle},
			flags("TLS", "ssl"), count("CHANNELS", "channels"), throughput("FROM", "recv_oct_details.rate"), throughput("TO", "send_oct_details.rate"),
			column{title: "SINCE>", show: func(o mgmt.Object) string { return since(o.Int("connected_at"), time.Now()) }},
			text("CLIENT", "client_properties.product"), text("CALLED", "user_provided_name"))
	})
	l.bind(list)
	var reason, of string
	var all bool
	closing := command("close [NAME...]", "Close connections: those named, those of a user, or all", cobra.ArbitraryArgs, func(_ *cobra.Command, args []string) error {
		return a.closeConnections(args, of, all, reason)
	})
	closing.Flags().StringVar(&reason, "reason", "closed by an operator", "the `words` that the client is told")
	closing.Flags().StringVar(&of, "of", "", "all connections of that `user`")
	closing.Flags().BoolVar(&all, "all", false, "all connections, of the vhost where --vhost names one")
	a.completeFlag(closing, "of", users)
	return group("connection", "Clients' connections: list, close", list, a.complete(closing, connections))
}

func connectionStyle(o mgmt.Object) terminal.Style {
	switch o.Text("state") {
	case "running":
		return terminal.Good
	case "blocked", "blocking", "flow":
		return terminal.Warning
	}
	return terminal.Plain
}

func (a *app) closeConnections(names []string, of string, all bool, reason string) error {
	if (len(names) > 0) == (all || of != "") {
		return usage("name the connections (leveret connection list), or give --of USER or --all")
	}
	if len(names) > 0 {
		for _, name := range names {
			if err := a.client.CloseConnection(a.ctx(), name, reason); err != nil {
				return a.explain(err, fmt.Sprintf("connection %q", name))
			}
			a.say("connection %q is closed", name)
		}
		return nil
	}
	path, what := mgmt.Path("connections"), ""
	if a.vhost != "" {
		path, what = mgmt.Path("vhosts", a.vhost, "connections"), fmt.Sprintf("vhost %q", a.vhost)
	}
	found, err := a.client.List(a.ctx(), path, nil)
	if err != nil {
		return a.explain(err, what)
	}
	closed := 0
	for _, o := range found {
		if of != "" && o.Text("user") != of {
			continue
		}
		err := a.client.CloseConnection(a.ctx(), o.Text("name"), reason)
		switch {
		case err == nil:
			closed++
		case !mgmt.IsStatus(err, 404): // it may have gone by itself
			return a.explain(err, fmt.Sprintf("connection %q", o.Text("name")))
		}
	}
	a.say("%s closed", terminal.Plural(closed, "connection"))
	return nil
}

func (a *app) newChannel() *cobra.Command {
	var l listing
	list := command("list", "List channels", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := mgmt.Path("channels"), ""
		if a.vhost != "" {
			path, what = mgmt.Path("vhosts", a.vhost, "channels"), fmt.Sprintf("vhost %q", a.vhost)
		}
		return a.list(path, &l, what, text("CHANNEL", "name"), text("USER", "user"), text("VHOST", "vhost"),
			flags("MODE", "confirm", "transactional"), count("CONSUMERS", "consumer_count"), count("PREFETCH", "prefetch_count"),
			count("UNACKED", "messages_unacknowledged"), count("UNCONFIRMED", "messages_unconfirmed"),
			rate("IN", "message_stats.publish_details.rate"), rate("OUT", "message_stats.deliver_get_details.rate"), rate("ACK", "message_stats.ack_details.rate"))
	})
	l.bind(list)
	return group("channel", "Channels: list", list)
}

func (a *app) newConsumer() *cobra.Command {
	list := command("list", "List consumers", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := a.under("consumers")
		objects, err := a.client.List(a.ctx(), path, url.Values{})
		if err != nil {
			return a.explain(err, what)
		}
		return a.show(objects, text("QUEUE", "queue.name"), text("VHOST", "queue.vhost"), text("TAG", "consumer_tag"), text("CHANNEL", "channel_details.name"),
			text("USER", "channel_details.user"), flags("ACK", "ack_required"), flags("EXCLUSIVE", "exclusive"), count("PREFETCH", "prefetch_count"),
			text("STATUS", "activity_status"), text("ARGUMENTS", "arguments"))
	})
	return group("consumer", "Consumers: list", list)
}
