package rabbitmqctl

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// policyOptions are those of set_policy and set_operator_policy.
var policyOptions = map[string]bool{"priority": true, "apply-to": true}

const policyUsage = "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>"

var policyCommands = []*command{
	{name: "set_policy", usage: policyUsage, short: "Sets a policy", group: "Policies", min: 3, max: 3, options: policyOptions, run: func(c *call) error { return setPolicy(c, false, "policy") }},
	{name: "clear_policy", usage: "[--vhost <vhost>] <name>", short: "Removes a policy", group: "Policies", min: 1, max: 1, run: func(c *call) error { return clearPolicy(c, false, "policy") }},
	{name: "list_policies", usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]", short: "Lists the policies of a vhost", group: "Policies", run: func(c *call) error { return listPolicies(c, false, "policies") }},
	{name: "set_operator_policy", usage: policyUsage, short: "Sets an operator policy, which bounds what others ask for", group: "Policies", min: 3, max: 3, options: policyOptions, run: func(c *call) error { return setPolicy(c, true, "operator policy override") }},
	{name: "clear_operator_policy", usage: "[--vhost <vhost>] <name>", short: "Removes an operator policy", group: "Policies", min: 1, max: 1, run: func(c *call) error { return clearPolicy(c, true, "operator policy") }},
	{name: "list_operator_policies", usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]", short: "Lists the operator policies of a vhost", group: "Policies", run: func(c *call) error { return listPolicies(c, true, "operator policy overrides") }},
}

func setPolicy(c *call, operator bool, kind string) error {
	name, pattern, definition := c.args[0], c.args[1], c.args[2]
	priority := cmp.Or(c.values["priority"], "0")
	c.banner("Setting %s \"%s\" for pattern \"%s\" to \"%s\" with priority \"%s\" for vhost \"%s\" ...", kind, name, pattern, definition, priority, c.vhost())
	n, err := strconv.Atoi(priority)
	if err != nil {
		return &badArgument{exitUsage, "Invalid options for this command:\n--priority : " + priority}
	}
	if err := c.needVHost(); err != nil {
		return err
	}
	if !json.Valid([]byte(definition)) {
		return fail(exitUnavailable, "JSON decoding error. Reason: badarg")
	}
	_, err = c.client.Put(c.ctx, mgmt.PolicyPath(operator, c.vhost(), name), mgmt.Policy{
		Pattern: pattern, Definition: json.RawMessage(definition), Priority: n, ApplyTo: cmp.Or(c.values["apply-to"], "all"),
	})
	if mgmt.IsStatus(err, 400) {
		return validation(err)
	}
	return c.explain(err)
}

func clearPolicy(c *call, operator bool, kind string) error {
	name := c.args[0]
	c.banner("Clearing %s \"%s\" on vhost \"%s\" ...", kind, name, c.vhost())
	err := c.client.Delete(c.ctx, mgmt.PolicyPath(operator, c.vhost(), name), nil)
	if mgmt.IsStatus(err, 404) {
		return noParameter()
	}
	return c.explain(err)
}

func listPolicies(c *call, operator bool, kind string) error {
	c.banner("Listing %s for vhost \"%s\" ...", kind, c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	found, err := c.client.List(c.ctx, mgmt.PolicyPath(operator, c.vhost()), nil)
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, o := range found {
		rows = append(rows, []any{o.Field("vhost"), o.Field("name"), o.Field("pattern"), o.Field("apply-to"), compact(o.Field("definition")), o.Field("priority")})
	}
	return c.rows(false, []string{"vhost", "name", "pattern", "apply-to", "definition", "priority"}, rows)
}
