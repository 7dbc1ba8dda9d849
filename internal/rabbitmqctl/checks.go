package rabbitmqctl

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// checkCommands are rabbitmq-diagnostics', which takes the others too.
var checkCommands = []*command{
	{name: "check_running", short: "Tells whether the broker serves", group: monitoring, run: checkRunning},
	{name: "is_running", short: "Tells whether the broker serves", group: monitoring, run: isRunning},
	{name: "is_booting", short: "Tells whether the broker is starting", group: monitoring, run: isBooting},
	{name: "check_alarms", short: "Fails where publishers are held up", group: monitoring, run: checkAlarms("no alarms, local or clusterwide", "alarms")},
	{name: "check_local_alarms", short: "Fails where publishers are held up", group: monitoring, run: checkAlarms("no local alarms", "local alarms")},
	{name: "alarms", short: "Lists what holds publishers up", group: monitoring, run: showAlarms},
	{name: "check_virtual_hosts", short: "Fails where a vhost is not served", group: monitoring, run: checkVHosts},
	{name: "check_port_listener", usage: "<port>", short: "Fails where nothing listens on a port", group: monitoring, min: 1, max: 1, run: checkPort},
	{name: "check_protocol_listener", usage: "<protocol>", short: "Fails where nothing listens for a protocol", group: monitoring, min: 1, max: 1, run: checkProtocol},
	{name: "check_port_connectivity", usage: "[--address <address>]", short: "Connects to each listener", group: monitoring, options: map[string]bool{"address": true}, run: checkConnectivity},
	{name: "listeners", short: "Lists listeners", group: monitoring, run: showListeners},
	{name: "server_version", short: "Displays the version of RabbitMQ whose behaviour the broker has", group: monitoring, run: serverVersion},
	{name: "node_health_check", usage: "[--timeout <timeout>]", short: "Fails where the broker is not well", group: monitoring, run: nodeHealth},
}

// well fails where the broker does not serve.
func (c *call) well() error {
	o, code, err := c.client.Health(c.ctx)
	if err != nil {
		return c.explain(err)
	}
	if code >= 300 {
		return fail(exitUnavailable, "RabbitMQ on node %s is not fully booted or failed: %s", c.node(), strings.TrimSpace(o.Text("status")+" "+o.Text("error")))
	}
	return nil
}

func checkRunning(c *call) error {
	c.banner("Checking if RabbitMQ is running on node %s ...", c.node())
	return c.running()
}

func isRunning(c *call) error {
	c.banner("Asking node %s for its status ...", c.node())
	return c.running()
}

func (c *call) running() error {
	if err := c.well(); err != nil {
		return err
	}
	c.say("RabbitMQ on node %s is fully booted and running", c.node())
	return nil
}

func isBooting(c *call) error {
	c.banner("Asking node %s for its boot status ...", c.node())
	o, _, err := c.client.Health(c.ctx)
	if err != nil {
		return c.explain(err)
	}
	if o.Text("status") == "starting" {
		c.say("RabbitMQ on node %s is booting", c.node())
		return nil
	}
	c.say("RabbitMQ on node %s is fully booted (check with is_running), stopped or has not started booting yet", c.node())
	return nil
}

// alarm is what holds publishers up, "" where nothing does.
func (c *call) alarm() (string, error) {
	o, _, err := c.client.Health(c.ctx)
	return o.Text("alarm"), c.explain(err)
}

func checkAlarms(none, some string) func(c *call) error {
	return func(c *call) error {
		c.banner("Asking node %s to report any local resource alarms ...", c.node())
		alarm, err := c.alarm()
		if err != nil {
			return err
		}
		if alarm != "" {
			return fail(exitUnavailable, "Node %s reported %s: %s", c.node(), some, alarm)
		}
		c.say("Node %s reported %s", c.node(), none)
		return nil
	}
}

func showAlarms(c *call) error {
	c.banner("Asking node %s to report any known resource alarms ...", c.node())
	alarm, err := c.alarm()
	if err != nil {
		return err
	}
	if alarm != "" {
		c.say("Node %s reported alarms:\n%s", c.node(), alarm)
		return nil
	}
	c.say("Node %s reported no alarms, local or clusterwide", c.node())
	return nil
}

func checkVHosts(c *call) error {
	c.banner("Checking if all vhosts are running on node %s ...", c.node())
	if _, err := c.client.List(c.ctx, mgmt.Path("vhosts"), nil); err != nil {
		return c.explain(err)
	}
	c.say("Node %s reported all vhosts as running", c.node())
	return nil
}

// listeners are the broker's.
func (c *call) listeners() ([]object, error) {
	o, err := c.client.Overview(c.ctx)
	return o.Objects("listeners"), c.explain(err)
}

func ports(list []object) string {
	var words []string
	for _, l := range list {
		if p := strconv.FormatInt(l.Int("port"), 10); !slices.Contains(words, p) {
			words = append(words, p)
		}
	}
	return strings.Join(words, ", ")
}

func checkPort(c *call) error {
	port, err := strconv.Atoi(c.args[0])
	if err != nil || port < 1 || port > 65535 {
		return &badArgument{exitUsage, "Bad argument: port must be a number from 1 to 65535"}
	}
	c.banner("Asking node %s if there's an active listener on port %d ...", c.node(), port)
	list, err := c.listeners()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(l object) bool { return l.Int("port") == int64(port) }) {
		return &exit{exitUnavailable, fmt.Sprintf("No listener for port %d is active on node %s. Found listeners that use the following ports: %s", port, c.node(), ports(list))}
	}
	c.say("A listener for port %d is running on node %s.", port, c.node())
	return nil
}

func checkProtocol(c *call) error {
	want := strings.ToLower(c.args[0])
	c.banner("Asking node %s if there's an active listener for protocol %s ...", c.node(), c.args[0])
	list, err := c.listeners()
	if err != nil {
		return err
	}
	names := []string{}
	for _, l := range list {
		if !slices.Contains(names, l.Text("protocol")) {
			names = append(names, l.Text("protocol"))
		}
	}
	slices.Sort(names)
	if want == "amqps" {
		want = "amqp/ssl"
	}
	if !slices.Contains(names, want) {
		return fail(exitUnavailable, "No listener for protocol %s is active on node %s. Found listeners for the following protocols: %s", c.args[0], c.node(), strings.Join(names, ", "))
	}
	c.say("A listener for protocol %s is running on node %s.", c.args[0], c.node())
	return nil
}

// connectLimit is how long a listener may take to answer.
const connectLimit = 10 * time.Second

func checkConnectivity(c *call) error {
	c.banner("Testing TCP connections to all active listeners on node %s ...", c.node())
	list, err := c.listeners()
	if err != nil {
		return err
	}
	at := c.values["address"]
	if at == "" {
		at = c.host()
	}
	var failed []object
	for _, l := range list {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(at, strconv.FormatInt(l.Int("port"), 10)), connectLimit)
		if err != nil {
			failed = append(failed, l)
			continue
		}
		conn.Close()
	}
	if len(failed) > 0 {
		return fail(exitUnavailable, "Connection to ports of the following listeners on node %s failed: %s", c.node(), ports(failed))
	}
	c.say("Successfully connected to ports %s on node %s.", ports(list), c.node())
	return nil
}

func showListeners(c *call) error {
	c.banner("Asking node %s to report its protocol listeners ...", c.node())
	list, err := c.listeners()
	if err != nil {
		return err
	}
	for _, l := range list {
		c.print(listener(l))
	}
	return nil
}

func serverVersion(c *call) error {
	c.banner("Asking node %s for its RabbitMQ version...", c.node())
	o, err := c.client.Overview(c.ctx)
	if err != nil {
		return c.explain(err)
	}
	c.print(o.Text("rabbitmq_version"))
	return nil
}

func nodeHealth(c *call) error {
	c.banner("Timeout: %d seconds ...\nChecking health of node %s ...", int(c.limit(70*time.Second).Seconds()), c.node())
	if err := c.well(); err != nil {
		return err
	}
	alarm, err := c.alarm()
	if err != nil {
		return err
	}
	if alarm != "" {
		return fail(exitUnavailable, "Health check failed: %s", alarm)
	}
	c.say("Health check passed")
	return nil
}
