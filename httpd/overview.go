package httpd

import (
	"net/http"
)

// overviewPaths are what this file answers.
var overviewPaths = map[string]resource{
	"/api/overview": {get: action{management, getOverview}},
}

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
