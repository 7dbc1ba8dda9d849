package ctl

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

func (a *app) newPermission() *cobra.Command {
	var of string
	list := command("list", "List permissions", cobra.NoArgs, func(*cobra.Command, []string) error {
		return a.listPermissions("permissions", of, text("USER", "user"), text("VHOST", "vhost"), text("CONFIGURE", "configure"), text("WRITE", "write"), text("READ", "read"))
	})
	list.Flags().StringVar(&of, "of", "", "only those of that `user`")
	a.completeFlag(list, "of", users)
	set := command("set USER CONFIGURE WRITE READ", "Say which names a user may declare, publish to and consume from, by regular expressions", cobra.ExactArgs(4), func(_ *cobra.Command, args []string) error {
		if _, err := a.client.Put(a.ctx(), mgmt.Path("permissions", a.here(), args[0]), mgmt.Permissions{Configure: args[1], Write: args[2], Read: args[3]}); err != nil {
			return a.explain(err, "")
		}
		a.say("user %q may enter vhost %q: configure %s, write %s, read %s", args[0], a.here(), pattern(args[1]), pattern(args[2]), pattern(args[3]))
		return nil
	})
	clear := command("clear USER", "Take a user's permissions in a vhost away", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		if err := a.client.Delete(a.ctx(), mgmt.Path("permissions", a.here(), args[0]), nil); err != nil {
			return a.explain(err, fmt.Sprintf("permission of user %q in vhost %q", args[0], a.here()))
		}
		a.say("user %q may not enter vhost %q any more", args[0], a.here())
		return nil
	})
	return group("permission", "Permissions, and topic permissions: set, clear, list", list, a.complete(set, users), a.complete(clear, users), a.newTopic())
}

// pattern is a regular expression as it was given, in quotes.
func pattern(s string) string { return `"` + terminal.Printable(s) + `"` }

func (a *app) newTopic() *cobra.Command {
	var of string
	list := command("list", "List topic permissions", cobra.NoArgs, func(*cobra.Command, []string) error {
		return a.listPermissions("topic-permissions", of, text("USER", "user"), text("VHOST", "vhost"), text("EXCHANGE", "exchange"), text("WRITE", "write"), text("READ", "read"))
	})
	list.Flags().StringVar(&of, "of", "", "only those of that `user`")
	a.completeFlag(list, "of", users)
	set := command("set USER EXCHANGE WRITE READ", "Say which routing keys a user may publish to and bind to a topic exchange", cobra.ExactArgs(4), func(_ *cobra.Command, args []string) error {
		p := mgmt.TopicPermissions{Exchange: args[1], Write: args[2], Read: args[3]}
		if _, err := a.client.Put(a.ctx(), mgmt.Path("topic-permissions", a.here(), args[0]), p); err != nil {
			return a.explain(err, "")
		}
		a.say("user %q on exchange %q in vhost %q: write %q, read %q", args[0], args[1], a.here(), args[2], args[3])
		return nil
	})
	clear := command("clear USER [EXCHANGE]", "Take a user's topic permissions in a vhost away", cobra.RangeArgs(1, 2), func(_ *cobra.Command, args []string) error {
		path := append([]string{"topic-permissions", a.here()}, args...)
		if err := a.client.Delete(a.ctx(), mgmt.Path(path...), nil); err != nil {
			return a.explain(err, fmt.Sprintf("topic permission of user %q in vhost %q", args[0], a.here()))
		}
		a.say("user %q has these topic permissions no more, so that all routing keys are free to it", args[0])
		return nil
	})
	return group("topic", "Topic permissions: set, clear, list", list, a.complete(set, users, exchanges), a.complete(clear, users, exchanges))
}

// listPermissions lists those of a user, of a vhost, or all.
func (a *app) listPermissions(kind, of string, columns ...column) error {
	path, what := mgmt.Path(kind), ""
	switch {
	case of != "":
		path, what = mgmt.Path("users", of, kind), fmt.Sprintf("user %q", of)
	case a.vhost != "":
		path, what = mgmt.Path("vhosts", a.vhost, kind), fmt.Sprintf("vhost %q", a.vhost)
	}
	objects, err := a.client.List(a.ctx(), path, nil)
	if err != nil {
		return a.explain(err, what)
	}
	if of != "" && a.vhost != "" {
		kept := objects[:0]
		for _, o := range objects {
			if o.Text("vhost") == a.vhost {
				kept = append(kept, o)
			}
		}
		objects = kept
	}
	return a.show(objects, columns...)
}
