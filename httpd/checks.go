package httpd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/identity"
)

// checkPaths are what this file answers.
var checkPaths = map[string]resource{
	"/api/health/checks/alarms":                                 {get: action{management, getAlarms}},
	"/api/health/checks/local-alarms":                           {get: action{management, getLocalAlarms}},
	"/api/health/checks/ready":                                  {get: action{management, getReady}},
	"/api/health/checks/virtual-hosts":                          {get: action{management, getVHostsAlive}},
	"/api/health/checks/port-listener/{port}":                   {get: action{management, getPortListener}},
	"/api/health/checks/protocol-listener/{protocol}":           {get: action{management, getProtocolListener}},
	"/api/health/checks/certificate-expiration/{within}/{unit}": {get: action{management, getCertificates}},
	"/api/health/checks/node-is-mirror-sync-critical":           {get: action{management, getSingleNode}},
	"/api/health/checks/node-is-quorum-critical":                {get: action{management, getSingleNode}},
	"/api/healthchecks/node":                                    {get: action{management, getNodeHealth}},
	"/api/healthchecks/node/{node}":                             {get: action{management, getNodeHealth}},
	"/api/aliveness-test/{vhost}":                               {get: action{management, getAliveness}},
	"/api/auth":                                                 {get: action{anybody, getAuth}},
	"/api/rebalance/queues":                                     {post: action{administrator, rebalance}},
}

// well answers that a check found nothing.
func (c *call) well() error { return c.json(http.StatusOK, map[string]string{"status": "ok"}) }

// unwell answers what a check found.
func (c *call) unwell(reason string, more map[string]any) error {
	out := map[string]any{"status": "failed", "reason": reason}
	for k, v := range more {
		out[k] = v
	}
	return c.json(http.StatusServiceUnavailable, out)
}

// alarms are the resources that are short.
func (c *call) alarms() []map[string]string {
	var out []map[string]string
	r := c.b.Resources()
	for _, each := range []struct {
		name string
		is   bool
	}{{"memory", r.MemoryAlarm}, {"disk", r.DiskAlarm}} {
		if each.is {
			out = append(out, map[string]string{"node": identity.Node, "resource": each.name})
		}
	}
	return out
}

// getAlarms tells, with 503, that publishers are held up.
func getAlarms(c *call) error {
	if alarms := c.alarms(); alarms != nil {
		return c.unwell("There are alarms in effect in the cluster", map[string]any{"alarms": alarms})
	}
	return c.well()
}

func getLocalAlarms(c *call) error {
	if alarms := c.alarms(); alarms != nil {
		return c.unwell("There are alarms in effect in the node", map[string]any{"alarms": alarms})
	}
	return c.well()
}

// getReady tells, with 503, that persistent messages are not taken: the log has failed.
// A broker that is starting or stopping is 503 without it.
func getReady(c *call) error {
	if err := c.b.Err(); err != nil {
		return c.unwell("The log can be written no more", map[string]any{"error": err.Error()})
	}
	return c.well()
}

// getVHostsAlive tells whether all vhosts are up, which they are where there is a
// broker.
func getVHostsAlive(c *call) error { return getReady(c) }

// getSingleNode answers for what may be critical in a cluster.
func getSingleNode(c *call) error {
	return c.json(http.StatusOK, map[string]string{"status": "ok", "reason": "single node cluster"})
}

func getPortListener(c *call) error {
	port, err := strconv.Atoi(c.r.PathValue("port"))
	if err != nil {
		return badRequest("Invalid port")
	}
	ports := []int{}
	for _, l := range c.s.reachable() {
		_, at := l.hostAndPort()
		ports = append(ports, at)
	}
	if slices.Contains(ports, port) {
		return c.json(http.StatusOK, map[string]any{"status": "ok", "port": port})
	}
	return c.unwell("No active listener", map[string]any{"missing": port, "ports": ports})
}

func getProtocolListener(c *call) error {
	asked := c.r.PathValue("protocol")
	want := strings.ToLower(asked)
	switch want {
	case "amqp091", "amqp0.9.1", "amqp-0.9.1":
		want = "amqp"
	case "amqps", "amqp091/ssl", "amqp091_ssl":
		want = "amqp/ssl"
	case "prometheus":
		want = "http/prometheus"
	}
	protocols := []string{}
	for _, l := range c.s.reachable() {
		if !slices.Contains(protocols, l.Protocol) {
			protocols = append(protocols, l.Protocol)
		}
	}
	if slices.Contains(protocols, want) {
		return c.json(http.StatusOK, map[string]any{"status": "ok", "protocol": want})
	}
	return c.unwell("No active listener", map[string]any{"missing": asked, "protocols": protocols})
}

// getCertificates tells, with 503, which listeners' certificates will have expired
// within a time.
func getCertificates(c *call) error {
	within, err := strconv.Atoi(c.r.PathValue("within"))
	if err != nil || within > 1<<20 || within < -1<<20 {
		return badRequest("Invalid expiration value.")
	}
	now := time.Now()
	var end time.Time
	switch c.r.PathValue("unit") {
	case "days":
		end = now.AddDate(0, 0, within)
	case "weeks":
		end = now.AddDate(0, 0, 7*within)
	case "months":
		end = now.AddDate(0, within, 0)
	case "years":
		end = now.AddDate(within, 0, 0)
	default:
		return badRequest("Time unit not recognised. Supported units: days, weeks, months, years.")
	}
	expired := []map[string]any{}
	for _, l := range c.s.reachable() {
		if l.Certificate == nil {
			continue
		}
		subject, notAfter := l.Certificate()
		if notAfter.Before(end) {
			address, port := l.hostAndPort()
			expired = append(expired, map[string]any{
				"node": identity.Node, "protocol": l.Protocol, "interface": address, "port": strconv.Itoa(port),
				"certfile_expires_on": []string{notAfter.UTC().Format("2006-01-02 15:04:05Z")}, "cacertfile_expires_on": []string{}, "subject": subject,
			})
		}
	}
	if len(expired) > 0 {
		return c.unwell("Certificates expiring", map[string]any{"expired": expired})
	}
	return c.well()
}

// getNodeHealth is RabbitMQ's older check, of the node as a whole.
func getNodeHealth(c *call) error {
	if c.r.PathValue("node") != "" {
		if err := c.hasNode(); err != nil {
			return err
		}
	}
	if err := c.b.Err(); err != nil {
		return c.json(http.StatusOK, map[string]string{"status": "failed", "reason": err.Error()}) // 200, as RabbitMQ
	}
	if alarm := c.b.Alarm(); alarm != "" {
		return c.json(http.StatusOK, map[string]string{"status": "failed", "reason": "resource alarm(s) in effect: " + alarm})
	}
	return c.well()
}

// alivenessQueue is RabbitMQ's name.
const alivenessQueue = "aliveness-test"

// getAliveness declares a queue, publishes to it and takes the message from it, as who
// asks.
func getAliveness(c *call) error {
	if _, err := c.vhost(); err != nil {
		return err
	}
	return c.in(func(s *broker.Session, _ string) error {
		fail := func(err error) error { return c.unwell(err.Error(), nil) }
		if _, err := s.DeclareQueue(broker.QueueSpec{Name: alivenessQueue}); err != nil {
			return fail(err)
		}
		if _, err := c.publish(s, &broker.Publishing{RoutingKey: []byte(alivenessQueue), Body: []byte("test_message")}); err != nil {
			return fail(err)
		}
		if got, err := s.Get(alivenessQueue, true, func(*broker.Delivery, int) {}); err != nil {
			return fail(err)
		} else if !got {
			return c.unwell("no message was in queue '"+alivenessQueue+"'", nil)
		}
		return c.well()
	})
}

// getAuth tells that nobody logs in by OAuth 2.
func getAuth(c *call) error {
	return c.json(http.StatusOK, map[string]any{"enable_uaa": false, "uaa_client_id": "", "uaa_location": ""})
}

// rebalance has nothing to do: there is one node.
func rebalance(c *call) error { return c.done(false) }
