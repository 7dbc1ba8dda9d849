package rabbitmqctl

import (
	"github.com/leveret-mq/leveret/internal/mgmt"
)

var permissionCommands = []*command{
	{name: "set_permissions", usage: "[--vhost <vhost>] <username> <conf> <write> <read>", short: "Sets a user's permissions in a vhost", group: "Access Control", min: 4, max: 4, run: setPermissions},
	{name: "clear_permissions", usage: "[--vhost <vhost>] <username>", short: "Takes a user's permissions in a vhost away", group: "Access Control", min: 1, max: 1, run: clearPermissions},
	{name: "list_permissions", usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]", short: "Lists the permissions in a vhost", group: "Access Control", run: listPermissions},
	{name: "list_user_permissions", usage: "[--no-table-headers] <username> [--timeout <timeout>]", short: "Lists a user's permissions in all vhosts", group: "Access Control", min: 1, max: 1, run: listUserPermissions},
	{name: "set_topic_permissions", usage: "[--vhost <vhost>] <username> <exchange> <write> <read>", short: "Sets a user's topic permissions on an exchange", group: "Access Control", min: 4, max: 4, run: setTopicPermissions},
	{name: "clear_topic_permissions", usage: "[--vhost <vhost>] <username> [<exchange>]", short: "Takes a user's topic permissions away, in a vhost or on an exchange", group: "Access Control", min: 1, max: 2, run: clearTopicPermissions},
	{name: "list_topic_permissions", usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]", short: "Lists the topic permissions in a vhost", group: "Access Control", run: listTopicPermissions},
	{name: "list_user_topic_permissions", usage: "[--no-table-headers] <username> [--timeout <timeout>]", short: "Lists a user's topic permissions", group: "Access Control", min: 1, max: 1, run: listUserTopicPermissions},
}

// userAndVHost fails where one of them is not there, in RabbitMQ's words.
func (c *call) userAndVHost(name string) error {
	if _, err := c.user(name, noUserBare(name)); err != nil {
		return err
	}
	_, err := c.client.One(c.ctx, mgmt.Path("vhosts", c.vhost()), nil)
	if mgmt.IsStatus(err, 404) {
		return fail(exitUnavailable, "Virtual host %s does not exist", c.vhost())
	}
	return c.explain(err)
}

func setPermissions(c *call) error {
	name := c.args[0]
	c.banner("Setting permissions for user \"%s\" in vhost \"%s\" ...", name, c.vhost())
	if err := c.userAndVHost(name); err != nil {
		return err
	}
	_, err := c.client.Put(c.ctx, mgmt.Path("permissions", c.vhost(), name), mgmt.Permissions{Configure: c.args[1], Write: c.args[2], Read: c.args[3]})
	return c.explain(err)
}

func clearPermissions(c *call) error {
	name := c.args[0]
	c.banner("Clearing permissions for user \"%s\" in vhost \"%s\" ...", name, c.vhost())
	if err := c.userAndVHost(name); err != nil {
		return err
	}
	return c.gone(c.client.Delete(c.ctx, mgmt.Path("permissions", c.vhost(), name), nil))
}

// gone is the result of a deletion of what may not have been there.
func (c *call) gone(err error) error {
	if mgmt.IsStatus(err, 404) {
		return nil
	}
	return c.explain(err)
}

func setTopicPermissions(c *call) error {
	name, exchange := c.args[0], c.args[1]
	c.banner("Setting topic permissions on \"%s\" for user \"%s\" in vhost \"%s\" ...", exchange, name, c.vhost())
	if err := c.userAndVHost(name); err != nil {
		return err
	}
	_, err := c.client.Put(c.ctx, mgmt.Path("topic-permissions", c.vhost(), name), mgmt.TopicPermissions{Exchange: exchange, Write: c.args[2], Read: c.args[3]})
	return c.explain(err)
}

func clearTopicPermissions(c *call) error {
	name := c.args[0]
	path := append([]string{"topic-permissions", c.vhost()}, c.args...)
	if len(c.args) > 1 {
		c.banner("Clearing topic permissions on \"%s\" for user \"%s\" in vhost \"%s\" ...", c.args[1], name, c.vhost())
	} else {
		c.banner("Clearing topic permissions for user \"%s\" in vhost \"%s\" ...", name, c.vhost())
	}
	if err := c.userAndVHost(name); err != nil {
		return err
	}
	return c.gone(c.client.Delete(c.ctx, mgmt.Path(path...), nil))
}

// listFields reads a list and shows fields of it.
func (c *call) listFields(path string, fields []string, missing error) error {
	found, err := c.client.List(c.ctx, path, nil)
	if mgmt.IsStatus(err, 404) && missing != nil {
		return missing
	}
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, o := range found {
		row := make([]any, len(fields))
		for i, f := range fields {
			row[i] = o.Field(f)
		}
		rows = append(rows, row)
	}
	return c.rows(false, fields, rows)
}

func listPermissions(c *call) error {
	c.banner("Listing permissions for vhost \"%s\" ...", c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	return c.listFields(mgmt.Path("vhosts", c.vhost(), "permissions"), []string{"user", "configure", "write", "read"}, nil)
}

func listUserPermissions(c *call) error {
	name := c.args[0]
	c.banner("Listing permissions for user \"%s\" ...", name)
	return c.listFields(mgmt.Path("users", name, "permissions"), []string{"vhost", "configure", "write", "read"}, noSuchUser(name))
}

func listTopicPermissions(c *call) error {
	c.banner("Listing topic permissions for vhost \"%s\" ...", c.vhost())
	if err := c.needVHost(); err != nil {
		return err
	}
	return c.listFields(mgmt.Path("vhosts", c.vhost(), "topic-permissions"), []string{"user", "exchange", "write", "read"}, nil)
}

func listUserTopicPermissions(c *call) error {
	name := c.args[0]
	c.banner("Listing topic permissions for user \"%s\" ...", name)
	c.set["no-table-headers"] = true // as RabbitMQ has it
	return c.listFields(mgmt.Path("users", name, "topic-permissions"), []string{"vhost", "exchange", "write", "read"}, noSuchUser(name))
}
