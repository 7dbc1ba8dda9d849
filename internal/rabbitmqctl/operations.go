package rabbitmqctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

var operationCommands = []*command{
	{name: "delete_queue", usage: "<queue_name> [--if-empty|-e] [--if-unused|-u] [--timeout <timeout>]", short: "Deletes a queue", group: "Queues", min: 1, max: 1,
		options: map[string]bool{"if-empty": false, "if-unused": false, "force": false}, run: deleteQueue},
	{name: "purge_queue", usage: "<queue> [--timeout <timeout>]", short: "Drops the messages of a queue that are ready", group: "Queues", min: 1, max: 1, run: purgeQueue},
	{name: "close_connection", usage: "<connection pid> <explanation>", short: "Closes a connection, which is told why", group: "Operations", min: 2, max: 2, run: closeConnection},
	{name: "close_all_connections", usage: "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
		short: "Closes the connections of a vhost, or all", group: "Operations", min: 1, max: 1,
		options: map[string]bool{"limit": true, "global": false, "per-connection-delay": true}, run: closeAllConnections},
	{name: "close_all_user_connections", usage: "<username> <explanation>", short: "Closes the connections of a user", group: "Operations", min: 2, max: 2, run: closeAllUserConnections},
	{name: "export_definitions", usage: `<file_path | "-"> [--format <json | erlang>] [--timeout <timeout>]`, short: "Writes users, vhosts, policies and topology as JSON", group: "Definitions",
		min: 1, max: 1, options: map[string]bool{"format": true}, run: exportDefinitions},
	{name: "import_definitions", usage: `<file_path | "-"> [--format <json | erlang>] [--skip-if-unchanged] [--timeout <timeout>]`, short: "Makes what definitions name, which is JSON", group: "Definitions",
		max: 1, options: map[string]bool{"format": true, "skip-if-unchanged": false}, run: importDefinitions},
}

func deleteQueue(c *call) error {
	name := c.args[0]
	var conditions []string
	if c.set["if-empty"] {
		conditions = append(conditions, "if queue is empty")
	}
	if c.set["if-unused"] {
		conditions = append(conditions, "if queue is unused")
	}
	condition := strings.Join(conditions, " and ")
	if condition != "" {
		condition = " " + condition
	}
	c.banner("Deleting queue '%s' on vhost '%s'%s ...", name, c.vhost(), condition)
	path := mgmt.Path("queues", c.vhost(), name)
	q, err := c.client.One(c.ctx, path, nil)
	if err == nil {
		err = c.client.DeleteQueue(c.ctx, c.vhost(), name, c.set["if-empty"], c.set["if-unused"])
	}
	switch {
	case mgmt.IsStatus(err, 404):
		return fail(exitUsage, "Queue not found")
	case mgmt.IsStatus(err, 400) && strings.Contains(err.Error(), "not empty"):
		return fail(exitUsage, "Queue is not empty")
	case mgmt.IsStatus(err, 400) && strings.Contains(err.Error(), "in use"):
		return fail(exitUsage, "Queue is in use")
	case err != nil:
		return c.explain(err)
	}
	c.say("Queue was successfully deleted with %d ready messages", q.Int("messages_ready"))
	return nil
}

func purgeQueue(c *call) error {
	name := c.args[0]
	c.banner("Purging queue '%s' in vhost '%s' ...", name, c.vhost())
	return c.explain(c.client.Delete(c.ctx, mgmt.Path("queues", c.vhost(), name, "contents"), nil))
}

// closeConnection takes what list_connections has in its column pid, or a name. A
// connection that is not there any more is closed.
func closeConnection(c *call) error {
	id, reason := c.args[0], c.args[1]
	c.banner("Closing connection %s, reason: %s...", id, reason)
	found, err := c.client.List(c.ctx, mgmt.Path("connections"), nil)
	if err != nil {
		return c.explain(err)
	}
	for _, o := range found {
		if name := o.Text("name"); name == id || pidOf(o.Text("node"), name) == id {
			return c.gone(c.client.CloseConnection(c.ctx, name, reason))
		}
	}
	if !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, ">") {
		return fail(exitUnavailable, "Error:\n{:invalid_pid_syntax, %q}", id)
	}
	return nil
}

func closeAllConnections(c *call) error {
	reason := c.args[0]
	limit, err := c.number("limit")
	if err != nil {
		return err
	}
	delay, err := c.number("per-connection-delay")
	if err != nil {
		return err
	}
	many := "all"
	if limit > 0 {
		many = strconv.Itoa(limit)
	}
	path := mgmt.Path("vhosts", c.vhost(), "connections")
	if c.set["global"] {
		path = mgmt.Path("connections")
		c.banner("Closing %s connections to node %s (across all vhosts), reason: %s...", many, c.node(), reason)
	} else {
		c.banner("Closing %s connections in vhost %s, reason: %s...", many, c.vhost(), reason)
	}
	found, err := c.client.List(c.ctx, path, nil)
	if mgmt.IsStatus(err, 404) {
		found, err = nil, nil // as RabbitMQ has it
	}
	if err != nil {
		return c.explain(err)
	}
	if limit > 0 && len(found) > limit {
		found = found[:limit]
	}
	for i, o := range found {
		if i > 0 && delay > 0 {
			time.Sleep(time.Duration(delay) * time.Millisecond)
		}
		if err := c.gone(c.client.CloseConnection(c.ctx, o.Text("name"), reason)); err != nil {
			return err
		}
	}
	c.say("Closed %d connections", len(found))
	return nil
}

// number is an option that is a number, 0 where it is not given.
func (c *call) number(name string) (int, error) {
	text, ok := c.values[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &badArgument{exitUsage, fmt.Sprintf("Invalid options for this command:\n--%s : %s", name, text)}
	}
	return n, nil
}

func closeAllUserConnections(c *call) error {
	user, reason := c.args[0], c.args[1]
	c.banner("Closing connections of user %s, reason: %s...", user, reason)
	found, err := c.client.List(c.ctx, mgmt.Path("connections"), nil)
	if err != nil {
		return c.explain(err)
	}
	for _, o := range found {
		if o.Text("user") == user {
			if err := c.gone(c.client.CloseConnection(c.ctx, o.Text("name"), reason)); err != nil {
				return err
			}
		}
	}
	return nil
}

// onlyJSON refuses the format that only Erlang reads.
func (c *call) onlyJSON() error {
	if format := c.values["format"]; format != "" && !strings.EqualFold(format, "json") {
		return &badArgument{exitUsage, fmt.Sprintf("Bad argument: Formatter %s is not known: definitions are JSON", format)}
	}
	return nil
}

func exportDefinitions(c *call) error {
	if err := c.onlyJSON(); err != nil {
		return err
	}
	name := c.args[0]
	if name != "-" {
		c.banner("Exporting definitions in JSON to a file at \"%s\" ...", name)
	}
	definitions, err := c.client.Definitions(c.ctx, "")
	if err != nil {
		return c.explain(err)
	}
	if name == "-" {
		c.print(string(definitions))
		return nil
	}
	if err := mgmt.SaveDefinitions(name, definitions); err != nil {
		return fail(exitSoftware, "%v", err)
	}
	return nil
}

func importDefinitions(c *call) error {
	if err := c.onlyJSON(); err != nil {
		return err
	}
	var text []byte
	var err error
	if len(c.args) == 0 || c.args[0] == "-" {
		c.banner("Importing definitions in JSON from standard input ...")
		text, err = io.ReadAll(c.In)
	} else {
		text, err = os.ReadFile(c.args[0])
		if errors.Is(err, fs.ErrNotExist) {
			return &badArgument{exitData, fmt.Sprintf("Bad argument: File %s does not exist", c.args[0])}
		}
		c.banner("Importing definitions in JSON from a file at \"%s\" ...", c.args[0])
	}
	if err != nil {
		return fail(exitData, "%v", err)
	}
	if !json.Valid(text) {
		return fail(exitData, "Failed to deserialise input (format: JSON)")
	}
	err = c.client.Import(c.ctx, "", text)
	if mgmt.IsStatus(err, 400) {
		return fail(exitData, "%s", err.Error())
	}
	if err == nil {
		c.banner("The definitions are imported.")
	}
	return c.explain(err)
}
