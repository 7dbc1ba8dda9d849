package rabbitmqctl

import (
	"encoding/json"
	"strings"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// object is what the API lists.
type object = mgmt.Object

var vhostCommands = []*command{
	{name: "add_vhost", usage: `<vhost> [--description <description> --tags "<tag1>,<tag2>,<...>" --default-queue-type <quorum|classic|stream>]`,
		short: "Makes a vhost", group: "Virtual hosts", min: 1, max: 1, options: map[string]bool{"description": true, "tags": true, "default-queue-type": true}, run: addVHost},
	{name: "delete_vhost", usage: "<vhost>", short: "Deletes a vhost with all that is in it", group: "Virtual hosts", min: 1, max: 1, run: deleteVHost},
	{name: "set_vhost_tags", usage: "<vhost> <tag> [...]", short: "Replaces a vhost's tags", group: "Virtual hosts", min: 1, max: -1, run: setVHostTags},
	{name: "list_vhosts", usage: "[--no-table-headers] [<column> ...] [--timeout <timeout>]", short: "Lists vhosts", group: "Access Control", max: -1, columns: vhostColumns, run: listVHosts},
	{name: "set_vhost_limits", usage: "[--vhost <vhost>] <definition>", short: "Sets limits of a vhost, a JSON object", group: "Virtual hosts", min: 1, max: 1, run: setVHostLimits},
	{name: "clear_vhost_limits", usage: "[--vhost <vhost>]", short: "Removes the limits of a vhost", group: "Virtual hosts", run: clearVHostLimits},
	{name: "list_vhost_limits", usage: "[--vhost <vhost>] [--global] [--no-table-headers]", short: "Lists the limits of a vhost, or of all", group: "Virtual hosts",
		options: map[string]bool{"global": false}, run: listVHostLimits},
}

var vhostColumns = &columns{standard: "name", list: []column{
	field("name", "name"), field("description", "description"),
	{"tags", func(o object) any {
		if tags := mgmt.Tags(o); len(tags) > 0 {
			return strings.Join(tags, ",")
		}
		return words{}
	}},
	field("default_queue_type", "default_queue_type"), field("tracing", "tracing"),
	{"cluster_state", func(o object) any {
		var parts words
		state, _ := o.Field("cluster_state").(map[string]any)
		for _, name := range sorted(state) {
			parts = append(parts, "{"+name+", "+text(state[name])+"}")
		}
		return parts
	}},
	{"metadata", func(o object) any { m, _ := o.Field("metadata").(map[string]any); return table(m) }},
}}

// field is a column that is a field of the API.
func field(name, path string) column {
	return column{name, func(o object) any { return o.Field(path) }}
}

func addVHost(c *call) error {
	name := c.args[0]
	c.banner("Adding vhost \"%s\" ...", name)
	created, err := c.client.Put(c.ctx, mgmt.Path("vhosts", name), mgmt.VHost{Description: c.values["description"], Tags: c.values["tags"], QueueType: c.values["default-queue-type"]})
	if err != nil || !created {
		return c.explain(err)
	}
	// The API lets a vhost's maker in; this command lets nobody in.
	return c.gone(c.client.Delete(c.ctx, mgmt.Path("permissions", name, c.client.User()), nil))
}

func deleteVHost(c *call) error {
	name := c.args[0]
	c.banner("Deleting vhost \"%s\" ...", name)
	if err := c.wantVHost(name); err != nil {
		return err
	}
	return c.explain(c.client.Delete(c.ctx, mgmt.Path("vhosts", name), nil))
}

func setVHostTags(c *call) error {
	name, tags := c.args[0], c.args[1:]
	c.banner("Setting tags for virtual host \"%s\" to [%s] ...", name, strings.Join(tags, ", "))
	o, err := c.client.One(c.ctx, mgmt.Path("vhosts", name), nil)
	if mgmt.IsStatus(err, 404) {
		return fail(exitData, `Virtual host "%s" does not exist`, name)
	}
	if err != nil {
		return c.explain(err)
	}
	v := map[string]any{"description": o.Text("description"), "tags": strings.Join(tags, ",")}
	if kind := o.Text("default_queue_type"); kind != "" && kind != "undefined" {
		v["default_queue_type"] = kind
	}
	_, err = c.client.Put(c.ctx, mgmt.Path("vhosts", name), v)
	return c.explain(err)
}

func listVHosts(c *call) error {
	c.banner("Listing vhosts ...")
	found, err := c.client.List(c.ctx, mgmt.Path("vhosts"), nil)
	if err != nil {
		return c.explain(err)
	}
	return c.columnRows(false, found)
}

// columnRows shows objects in the columns that were asked for.
func (c *call) columnRows(streamed bool, found []object) error {
	rows := make([][]any, len(found))
	for i, o := range found {
		rows[i] = c.cmd.columns.row(o, c.args)
	}
	return c.rows(streamed, c.args, rows)
}

func setVHostLimits(c *call) error {
	c.banner("Setting vhost limits to \"%s\" for vhost \"%s\" ...", c.args[0], c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	return c.setLimits("vhost-limits", c.vhost(), c.args[0])
}

// setLimits sets each limit of a JSON object.
func (c *call) setLimits(kind, of, definition string) error {
	var limits map[string]json.RawMessage
	if err := json.Unmarshal([]byte(definition), &limits); err != nil || limits == nil {
		return fail(exitUnavailable, "JSON decoding error. Reason: badarg")
	}
	for name, v := range limits {
		err := c.client.SetLimit(c.ctx, kind, of, name, v)
		if mgmt.IsStatus(err, 400) && kind == "vhost-limits" {
			return validation(err)
		}
		if err != nil {
			return c.explain(err)
		}
	}
	return nil
}

// validation is RabbitMQ's form of what is wrong with a parameter or a policy.
func validation(err error) error {
	why := strings.TrimSpace(strings.TrimPrefix(err.Error(), "Validation failed"))
	return fail(exitUnavailable, "Validation failed\n\n%s\n", why)
}

func clearVHostLimits(c *call) error {
	c.banner("Clearing vhost \"%s\" limits ...", c.vhost())
	for _, name := range []string{"max-connections", "max-queues"} {
		err := c.client.ClearLimit(c.ctx, "vhost-limits", c.vhost(), name)
		if mgmt.IsStatus(err, 404) {
			if c.wantVHost(c.vhost()) != nil {
				return noParameter()
			}
			continue
		}
		if err != nil {
			return c.explain(err)
		}
	}
	return nil
}

func noParameter() error { return fail(exitUnavailable, "Parameter does not exist") }

func listVHostLimits(c *call) error {
	if c.set["global"] {
		c.banner("Listing limits for all vhosts ...")
		return c.listLimits("vhost-limits", "vhost")
	}
	c.banner("Listing limits for vhost \"%s\" ...", c.vhost())
	found, err := c.client.List(c.ctx, mgmt.Path("vhost-limits", c.vhost()), nil)
	if mgmt.IsStatus(err, 404) {
		return c.wantVHost(c.vhost())
	}
	if err != nil {
		return c.explain(err)
	}
	if len(found) == 0 {
		return c.rows(false, nil, nil)
	}
	c.print(compact(found[0].Field("value")))
	return nil
}

// print writes a result that is one line.
func (c *call) print(line string) {
	_, _ = c.Out.Write([]byte(line + "\n"))
}

// listLimits lists those of all vhosts or users.
func (c *call) listLimits(kind, of string) error {
	found, err := c.client.List(c.ctx, mgmt.Path(kind), nil)
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, o := range found {
		rows = append(rows, []any{o.Text(of), compact(o.Field("value"))})
	}
	return c.rows(false, []string{of, "limits"}, rows)
}
