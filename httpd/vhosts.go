package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
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
	counts
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
	t := c.b.Totals(v.Name)
	return vhostJSON{v.Name, v.Description, v.Tags, "undefined", vhostMetadata{v.Description, v.Tags}, false,
		map[string]string{c.s.node(): "running"}, counts{t.Ready + t.Unacked, t.Ready, t.Unacked}}
}

func listVHosts(c *call) error {
	var out []vhostJSON
	for _, v := range c.b.VHosts() {
		if c.has(monitoring) || c.mayEnter(v.Name) {
			out = append(out, c.showVHost(v))
		}
	}
	return list(c, out)
}

func getVHost(c *call) error {
	v, err := c.b.VHost(c.r.PathValue("vhost"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.showVHost(v))
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
