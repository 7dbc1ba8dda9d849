package httpd

import (
	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// vhostPaths are what this file answers.
var vhostPaths = map[string]resource{
	"/api/vhosts":         {get: action{management, listVHosts}},
	"/api/vhosts/{vhost}": {get: action{administrator, getVHost}, put: action{administrator, putVHost}, del: action{administrator, deleteVHost}},
}

// vhostJSON is a vhost in answers.
type vhostJSON struct {
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Tags        []string          `json:"tags"`
	QueueType   string            `json:"default_queue_type"`
	Metadata    vhostMetadata     `json:"metadata"`
	Tracing     bool              `json:"tracing"`
	State       map[string]string `json:"cluster_state"`
	*vhostFigures
}

// vhostFigures are how it fares.
type vhostFigures struct {
	lengths
	Stats        statList `json:"message_stats,omitempty"`
	Received     uint64   `json:"recv_oct"`
	ReceivedRate detail   `json:"recv_oct_details"`
	Sent         uint64   `json:"send_oct"`
	SentRate     detail   `json:"send_oct_details"`
}

func (c *call) vhostFigures(name string, w windows) *vhostFigures {
	o := monitor.Object{Kind: monitor.VHost, Name: name}
	counts := c.b.VHostCounts(name)
	counts.PublishIn, counts.PublishOut = 0, 0 // those are exchanges' only
	var sums monitor.Sums
	m := c.s.monitor.Load()
	if m != nil {
		sums = m.Totals().VHosts[name]
	}
	ready, unacked := int(sums.Ready), int(sums.Unacked)
	if m == nil || m.Totals().Queues <= sumsNow {
		t := c.b.Totals(name)
		ready, unacked = t.Ready, t.Unacked
	}
	data := c.figures(o, w.data)
	return &vhostFigures{
		lengths:  showLengths(ready, unacked, c.figures(o, w.lengths)),
		Stats:    messageStats(&counts, c.figures(o, w.rates), true),
		Received: sums.ReceivedBytes, ReceivedRate: data.detail(monitor.ReceivedBytes, float64(sums.ReceivedBytes)),
		Sent: sums.SentBytes, SentRate: data.detail(monitor.SentBytes, float64(sums.SentBytes)),
	}
}

type vhostMetadata struct {
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
}

// counts are messages, of a queue or of many.
type counts struct {
	Messages int `json:"messages"`
	Ready    int `json:"messages_ready"`
	Unacked  int `json:"messages_unacknowledged"`
}

func (c *call) showVHost(v broker.VHost) vhostJSON {
	if v.Tags == nil {
		v.Tags = []string{}
	}
	if v.QueueType == "" {
		v.QueueType = "undefined"
	}
	return vhostJSON{v.Name, v.Description, v.Tags, v.QueueType, vhostMetadata{v.Description, v.Tags}, false,
		map[string]string{identity.Node: "running"}, nil}
}

// showsVHosts is how vhosts are shown to who asks.
func (c *call) showsVHosts() (func(broker.VHost) vhostJSON, error) {
	w, err := c.windows()
	if err != nil {
		return nil, err
	}
	if plain, _ := c.plain(); plain {
		return c.showVHost, nil
	}
	return func(v broker.VHost) vhostJSON {
		out := c.showVHost(v)
		out.vhostFigures = c.vhostFigures(v.Name, w)
		return out
	}, nil
}

func listVHosts(c *call) error {
	show, err := c.showsVHosts()
	if err != nil {
		return err
	}
	var seen []broker.VHost
	for _, v := range c.b.VHosts() {
		if c.has(monitoring) || c.mayEnter(v.Name) {
			seen = append(seen, v)
		}
	}
	return listAs(c, seen, show)
}

func getVHost(c *call) error {
	v, err := c.b.VHost(c.r.PathValue("vhost"))
	if err != nil {
		return err
	}
	show, err := c.showsVHosts()
	if err != nil {
		return err
	}
	return c.one(show(v))
}

// putVHost makes a vhost, in which its maker may do everything.
func putVHost(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	v := broker.VHost{Name: c.r.PathValue("vhost")}
	if v.Description, err = text(body, "description"); err != nil {
		return err
	}
	if body["tags"] != nil {
		if v.Tags, err = tags(body["tags"]); err != nil {
			return err
		}
	}
	for _, key := range []string{"defaultqueuetype", "default_queue_type"} { // of RabbitMQ 3.11, and later
		name, err := text(body, key)
		if err != nil {
			return err
		}
		if name != "" && name != "undefined" {
			v.QueueType = name
		}
	}
	if len(body) == 0 { // which says nothing of what is there
		if _, err := c.b.VHost(v.Name); err == nil {
			return c.done(false)
		}
	}
	created, err := c.b.PutVHost(v)
	if err != nil {
		return err
	}
	if created {
		if _, err := c.b.SetPermissions(access.Permissions{User: c.user.Name, VHost: v.Name, Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
			return err
		}
	}
	return c.done(created)
}

func deleteVHost(c *call) error {
	if err := c.b.DeleteVHost(c.r.PathValue("vhost")); err != nil {
		return err
	}
	return c.done(false)
}
