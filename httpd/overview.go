package httpd

import (
	"net/http"
)

// rabbitmqVersion is what clients and tools switch their behaviour on, as in the
// server properties of AMQP.
const rabbitmqVersion = "3.13.7"

// node is what answers call this broker.
func (s *Server) node() string { return "leveret@localhost" }

func getOverview(c *call) error {
	totals := struct {
		Queues    int `json:"queues"`
		Exchanges int `json:"exchanges"`
		Consumers int `json:"consumers"`
	}{}
	var sum counts
	for _, v := range c.b.VHosts() {
		if !c.has(monitoring) && !c.mayEnter(v.Name) {
			continue
		}
		t := c.b.Totals(v.Name)
		totals.Queues += t.Queues
		totals.Exchanges += t.Exchanges
		totals.Consumers += t.Consumers
		sum.Messages += t.Ready + t.Unacked
		sum.Ready += t.Ready
		sum.Unacked += t.Unacked
	}
	return c.json(http.StatusOK, map[string]any{
		"management_version": rabbitmqVersion, "rabbitmq_version": rabbitmqVersion, "product_name": "RabbitMQ", "product_version": rabbitmqVersion,
		"leveret_version": c.s.opts.Version, "node": c.s.node(), "cluster_name": c.s.node(), "rates_mode": "none", "disable_stats": true,
		"object_totals": totals, "queue_totals": sum,
	})
}

// getAlarms tells, with 503, that publishers are held up.
func getAlarms(c *call) error {
	alarm := c.b.Alarm()
	if alarm == "" {
		return c.json(http.StatusOK, map[string]string{"status": "ok"})
	}
	return c.json(http.StatusServiceUnavailable, map[string]any{
		"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": []map[string]string{{"node": c.s.node(), "resource": alarm}},
	})
}
