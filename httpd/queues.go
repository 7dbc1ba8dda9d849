package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
)

// queuePaths are what this file answers.
var queuePaths = map[string]resource{
	"/api/queues":                 {get: action{management, listQueues}},
	"/api/queues/{vhost}":         {get: action{management, listQueues}},
	"/api/queues/{vhost}/{queue}": {get: action{management, getQueue}},
}

// queueJSON is a queue in answers.
type queueJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Exclusive  bool           `json:"exclusive"`
	Arguments  map[string]any `json:"arguments"`
	Node       string         `json:"node"`
	State      string         `json:"state"`
	counts
	ReadyBytes int64             `json:"message_bytes_ready"`
	Consumers  int               `json:"consumers"`
	Policy     *string           `json:"policy"`
	Operator   *string           `json:"operator_policy"`
	Effective  policy.Definition `json:"effective_policy_definition"`
	Owner      *ownerJSON        `json:"owner_pid_details,omitempty"`
}

type ownerJSON struct {
	Name string `json:"name"`
}

func (c *call) showQueue(q broker.QueueListing) queueJSON {
	out := queueJSON{
		Name: q.Name, VHost: q.VHost, Type: q.Type, Durable: q.Durable, AutoDelete: q.AutoDelete, Exclusive: q.Exclusive,
		Arguments: showTable(q.Args), Node: c.s.node(), State: "running",
		counts: counts{q.Ready + q.Unacked, q.Ready, q.Unacked}, ReadyBytes: q.ReadyBytes, Consumers: q.Consumers,
		Policy: nameOf(q.Policy), Operator: nameOf(q.Operator), Effective: policy.Effective(q.Policy, q.Operator),
	}
	if q.Owner != "" {
		out.Owner = &ownerJSON{q.Owner}
	}
	return out
}

// nameOf is a policy's name; nil where none applies.
func nameOf(p *policy.Policy) *string {
	if p == nil {
		return nil
	}
	return &p.Name
}

func listQueues(c *call) error {
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	var found []broker.QueueListing
	for _, vhost := range vhosts {
		if queues, err := c.b.Queues(vhost); err == nil {
			found = append(found, queues...)
		}
	}
	return listAs(c, found, c.showQueue)
}

func getQueue(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	q, err := c.b.Queue(vhost, c.r.PathValue("queue"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.showQueue(q))
}
