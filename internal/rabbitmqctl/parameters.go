package rabbitmqctl

import (
	"encoding/json"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

var parameterCommands = []*command{
	{name: "set_parameter", usage: "[--vhost <vhost>] <component_name> <name> <value>", short: "Sets a parameter of a vhost", group: "Parameters", min: 3, max: 3, run: setParameter},
	{name: "clear_parameter", usage: "[--vhost <vhost>] <component_name> <name>", short: "Removes a parameter of a vhost", group: "Parameters", min: 2, max: 2, run: clearParameter},
	{name: "list_parameters", usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]", short: "Lists the parameters of a vhost", group: "Parameters", run: listParameters},
	{name: "set_global_parameter", usage: "<name> <value>", short: "Sets a parameter of the broker", group: "Parameters", min: 2, max: 2, run: setGlobalParameter},
	{name: "clear_global_parameter", usage: "<name>", short: "Removes a parameter of the broker", group: "Parameters", min: 1, max: 1, run: clearGlobalParameter},
	{name: "list_global_parameters", usage: "[--no-table-headers] [--timeout <timeout>]", short: "Lists the parameters of the broker", group: "Parameters", run: listGlobalParameters},
	{name: "set_cluster_name", usage: "<name>", short: "Sets the name by which the broker calls itself", group: "Configuration and Environment", min: 1, max: 1, run: setClusterName},
}

// put sends a value that was given as JSON.
func (c *call) put(path, value string, more map[string]any) error {
	if !json.Valid([]byte(value)) {
		return fail(exitUnavailable, "JSON decoding error. Reason: badarg")
	}
	body := map[string]any{"value": json.RawMessage(value)}
	for name, v := range more {
		body[name] = v
	}
	_, err := c.client.Put(c.ctx, path, body)
	if mgmt.IsStatus(err, 400) {
		return validation(err)
	}
	return c.explain(err)
}

func (c *call) clear(path string) error {
	err := c.client.Delete(c.ctx, path, nil)
	if mgmt.IsStatus(err, 404) {
		return noParameter()
	}
	return c.explain(err)
}

func setParameter(c *call) error {
	component, name, value := c.args[0], c.args[1], c.args[2]
	c.banner("Setting runtime parameter \"%s\" for component \"%s\" to \"%s\" in vhost \"%s\" ...", name, component, value, c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	return c.put(mgmt.Path("parameters", component, c.vhost(), name), value, map[string]any{"component": component, "vhost": c.vhost(), "name": name})
}

func clearParameter(c *call) error {
	component, name := c.args[0], c.args[1]
	c.banner("Clearing runtime parameter \"%s\" for component \"%s\" on vhost \"%s\" ...", name, component, c.vhost())
	return c.clear(mgmt.Path("parameters", component, c.vhost(), name))
}

func listParameters(c *call) error {
	c.banner("Listing runtime parameters for vhost \"%s\" ...", c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	found, err := c.client.List(c.ctx, mgmt.Path("parameters"), nil)
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, o := range found {
		if o.Text("vhost") == c.vhost() {
			rows = append(rows, []any{o.Field("component"), o.Field("name"), compact(o.Field("value"))})
		}
	}
	return c.rows(false, []string{"component", "name", "value"}, rows)
}

func setGlobalParameter(c *call) error {
	c.banner("Setting global runtime parameter \"%s\" to \"%s\" ...", c.args[0], c.args[1])
	return c.put(mgmt.Path("global-parameters", c.args[0]), c.args[1], map[string]any{"name": c.args[0]})
}

func clearGlobalParameter(c *call) error {
	c.banner("Clearing global runtime parameter \"%s\" ...", c.args[0])
	return c.clear(mgmt.Path("global-parameters", c.args[0]))
}

func listGlobalParameters(c *call) error {
	c.banner("Listing global runtime parameters ...")
	found, err := c.client.List(c.ctx, mgmt.Path("global-parameters"), nil)
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, o := range found {
		rows = append(rows, []any{o.Field("name"), compact(o.Field("value"))})
	}
	return c.rows(false, []string{"name", "value"}, rows)
}

func setClusterName(c *call) error {
	c.banner("Setting cluster name to %s ...", c.args[0])
	_, err := c.client.Put(c.ctx, mgmt.Path("cluster-name"), map[string]any{"name": c.args[0]})
	return c.explain(err)
}
