package ctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// limitKinds are the paths of limits, by whose they are.
var limitKinds = map[string]string{"vhost": "vhost-limits", "user": "user-limits"}

func (a *app) newLimit() *cobra.Command {
	list := command("list", "List the limits of vhosts and users", cobra.NoArgs, func(*cobra.Command, []string) error {
		return a.listLimits()
	})
	set := command("set vhost|user NAME LIMIT NUMBER", "Set a limit: max-connections or max-queues of a vhost, max-connections or max-channels of a user", cobra.ExactArgs(4), func(_ *cobra.Command, args []string) error {
		kind, ok := limitKinds[args[0]]
		if !ok {
			return usage("%q is neither vhost nor user", args[0])
		}
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return usage("%q is not a number; -1 is no limit", args[3])
		}
		if err := a.client.SetLimit(a.ctx(), kind, args[1], args[2], n); err != nil {
			return a.explain(err, fmt.Sprintf("%s %q", args[0], args[1]))
		}
		a.say("%s of %s %q is %d", args[2], args[0], args[1], n)
		return nil
	})
	set.Example = "  leveret limit set vhost / max-connections 1000\n  leveret limit set user app max-channels 20"
	clear := command("clear vhost|user NAME LIMIT", "Remove a limit", cobra.ExactArgs(3), func(_ *cobra.Command, args []string) error {
		kind, ok := limitKinds[args[0]]
		if !ok {
			return usage("%q is neither vhost nor user", args[0])
		}
		if err := a.client.ClearLimit(a.ctx(), kind, args[1], args[2]); err != nil {
			return a.explain(err, fmt.Sprintf("limit %s of %s %q", args[2], args[0], args[1]))
		}
		a.say("%s of %s %q is gone", args[2], args[0], args[1])
		return nil
	})
	for _, cmd := range []*cobra.Command{set, clear} {
		cmd.ValidArgsFunction = a.completeLimit
	}
	return group("limit", "Limits of vhosts and users: set, clear, list", list, set, clear)
}

func (a *app) completeLimit(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	words := []string{}
	switch {
	case len(args) == 0:
		words = []string{"vhost", "user"}
	case len(args) == 1 && args[0] == "user":
		words = a.names(cmd, users, typed)
	case len(args) == 1:
		words = a.names(cmd, vhosts, typed)
	case len(args) == 2 && args[0] == "user":
		words = []string{"max-connections", "max-channels"}
	case len(args) == 2:
		words = []string{"max-connections", "max-queues"}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) listLimits() error {
	all := []mgmt.Object{}
	for _, of := range []string{"vhost", "user"} {
		objects, err := a.client.List(a.ctx(), mgmt.Path(limitKinds[of]), nil)
		if err != nil {
			return a.explain(err, "")
		}
		for _, o := range objects {
			if a.vhost == "" || of == "vhost" && o.Text("vhost") == a.vhost {
				all = append(all, mgmt.Object{"of": of, "name": o.Text(of), "limits": o["value"]})
			}
		}
	}
	return a.show(all, text("OF", "of"), text("NAME", "name"), limitsColumn)
}

// limitsText is limits in a cell.
func limitsText(limits map[string]any) string {
	var words []string
	for name, v := range limits {
		words = append(words, name+"="+show(v))
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}
