package ctl

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

func (a *app) newPolicy() *cobra.Command {
	var operator bool
	kind := func() string {
		if operator {
			return "operator policy"
		}
		return "policy"
	}
	list := command("list", "List policies", cobra.NoArgs, func(*cobra.Command, []string) error {
		path, what := mgmt.PolicyPath(operator), ""
		if a.vhost != "" {
			path, what = mgmt.PolicyPath(operator, a.vhost), fmt.Sprintf("vhost %q", a.vhost)
		}
		return a.list(path, nil, what, text("VHOST", "vhost"), text("NAME", "name"), text("PATTERN", "pattern"), text("APPLY TO", "apply-to"), count("PRIORITY", "priority"), text("DEFINITION", "definition"))
	})
	p := mgmt.Policy{}
	set := command("set NAME PATTERN DEFINITION|KEY=VALUE...", "Set a policy: what holds for queues and exchanges whose names match a pattern", cobra.MinimumNArgs(3), func(_ *cobra.Command, args []string) error {
		object, pairs := "", args[2:]
		if strings.HasPrefix(strings.TrimSpace(args[2]), "{") {
			object, pairs = args[2], args[3:]
		}
		definition, err := arguments(object, pairs)
		if err != nil {
			return err
		}
		p.Pattern = args[1]
		if p.Definition, err = json.Marshal(definition); err != nil {
			return err
		}
		if _, err := a.client.Put(a.ctx(), mgmt.PolicyPath(operator, a.here(), args[0]), p); err != nil {
			return a.explain(err, "")
		}
		a.say("%s %q holds in vhost %q", kind(), args[0], a.here())
		return nil
	})
	set.Example = `  leveret policy set bounded '^logs\.' max-length=100000 overflow=drop-head --apply-to queues
  leveret policy set ttl '.*' '{"message-ttl": 60000}'`
	set.Flags().IntVar(&p.Priority, "priority", 0, "the highest `number` of those that match holds")
	set.Flags().StringVar(&p.ApplyTo, "apply-to", "all", "`what` it applies to: queues, exchanges or all")
	completeWords(set, "apply-to", "queues", "exchanges", "all", "classic_queues", "quorum_queues")
	del := command("delete NAME...", "Delete policies", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.deleteEach(args, kind(), func(name string) string { return mgmt.PolicyPath(operator, a.here(), name) }, func(name string) string { return named(kind(), name, a.here()) })
	})
	cmd := group("policy", "Policies and operator policies: set, delete, list", list, set, a.complete(del, policies))
	cmd.PersistentFlags().BoolVar(&operator, "operator", false, "operator policies, which bound what users' policies and arguments ask for")
	return cmd
}
