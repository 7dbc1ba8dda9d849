package ctl

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

func (a *app) newVHost() *cobra.Command {
	var v mgmt.VHost
	add := command("add NAME", "Make a vhost, in which you may do everything, or change its description", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		created, err := a.client.Put(a.ctx(), mgmt.Path("vhosts", args[0]), v)
		if err != nil {
			return a.explain(err, fmt.Sprintf("vhost %q", args[0]))
		}
		if created {
			a.say("vhost %q is there; other users enter it by leveret permission set", args[0])
		} else {
			a.say("vhost %q was there", args[0])
		}
		return nil
	})
	add.Flags().StringVar(&v.Description, "description", "", "what it is for, in `words`")
	add.Flags().StringVar(&v.Tags, "tags", "", "`tags`, separated by commas")
	add.Flags().StringVar(&v.QueueType, "default-queue-type", "", "the `type` of queues that are declared without one: classic or quorum")
	completeWords(add, "default-queue-type", "classic", "quorum")
	del := command("delete NAME...", "Delete vhosts with all that is in them, and close their connections", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.deleteEach(args, "vhost", func(name string) string { return mgmt.Path("vhosts", name) }, func(name string) string { return fmt.Sprintf("vhost %q", name) })
	})
	var l listing
	list := command("list", "List vhosts and how many messages are in them", cobra.NoArgs, func(*cobra.Command, []string) error {
		return a.list(mgmt.Path("vhosts"), &l, "", text("VHOST", "name"), count("MESSAGES", "messages"), count("READY", "messages_ready"), count("UNACKED", "messages_unacknowledged"),
			rate("IN", "message_stats.publish_details.rate"), rate("OUT", "message_stats.deliver_get_details.rate"), text("TAGS", "tags"), text("DESCRIPTION", "description"))
	})
	l.bind(list)
	return group("vhost", "Vhosts: add, delete, list", list, add, a.complete(del, vhosts))
}
