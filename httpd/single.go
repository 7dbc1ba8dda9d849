package httpd

import (
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/identity"
)

// What RabbitMQ's API has since it may be many nodes and have plugins. Here there is
// one node: what is asked of it is done already, or nothing is there to do.

var singlePaths = map[string]resource{
	"/api/extensions":                     {get: action{management, listNothing}},
	"/api/feature-flags":                  {get: action{administrator, listFlags}},
	"/api/feature-flags/{name}/enable":    {put: action{administrator, enableFlag}},
	"/api/vhosts/{vhost}/start/{node}":    {post: action{administrator, startVHost}},
	"/api/queues/{vhost}/{queue}/actions": {post: action{administrator, actOnQueue}},
	"/api/auth/attempts/{node}":           {get: action{monitoring, listAttempts}},
	"/api/auth/attempts/{node}/source":    {get: action{monitoring, listAttemptsBySource}},
}

func listNothing(c *call) error { return list(c, []struct{}{}) }

// flags are what later releases of RabbitMQ ask for before they do it, as far as it is
// done here.
var flags = []flagJSON{
	{"classic_queue_type_delivery_support", "Consumers of classic queues are served in turn", "", "enabled", "required", "leveret"},
	{"direct_exchange_routing_v2", "Direct exchanges route by a table in memory", "", "enabled", "required", "leveret"},
	{"drop_unroutable_metric", "Unroutable messages that are dropped are counted", "", "enabled", "required", "leveret"},
	{"empty_basic_get_metric", "basic.get of an empty queue is counted", "", "enabled", "required", "leveret"},
	{"implicit_default_bindings", "The default exchange's bindings need no records", "", "enabled", "required", "leveret"},
	{"quorum_queue", "Queues of the type quorum", "", "enabled", "required", "leveret"},
	{"user_limits", "Limits of connections and channels by user", "", "enabled", "required", "leveret"},
	{"virtual_host_metadata", "Descriptions and tags of vhosts", "", "enabled", "required", "leveret"},
}

type flagJSON struct {
	Name      string `json:"name"`
	What      string `json:"desc"`
	URL       string `json:"doc_url"`
	State     string `json:"state"`
	Stability string `json:"stability"`
	By        string `json:"provided_by"`
}

func listFlags(c *call) error { return list(c, flags) }

// enableFlag finds that a flag is enabled, or not there.
func enableFlag(c *call) error {
	name := c.r.PathValue("name")
	for _, f := range flags {
		if f.Name == name {
			return c.done(false)
		}
	}
	return badRequest("unsupported feature flag: %s", name)
}

// ofNode refuses to ask another node.
func (c *call) ofNode() error {
	if node := c.r.PathValue("node"); node != identity.Node {
		return badRequest("Request to node %s failed with nodedown", node)
	}
	return nil
}

func startVHost(c *call) error {
	if _, err := c.vhost(); err != nil {
		return err
	}
	if err := c.ofNode(); err != nil {
		return err
	}
	return c.done(false)
}

// actOnQueue takes what is done to queues with mirrors, of which there are none.
func actOnQueue(c *call) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "action"); err != nil {
		return err
	}
	switch body["action"] {
	case "sync", "cancel_sync":
	default:
		if name, ok := body["action"].(string); ok {
			return because("unknown", name)
		}
		return because("unknown", policy.Term(body["action"]))
	}
	if _, err := c.b.Queue(vhost, c.r.PathValue("queue")); err != nil {
		return err
	}
	return c.done(false)
}

type attemptsJSON struct {
	Protocol  string `json:"protocol"`
	Attempts  uint64 `json:"auth_attempts"`
	Failed    uint64 `json:"auth_attempts_failed"`
	Succeeded uint64 `json:"auth_attempts_succeeded"`
}

func listAttempts(c *call) error {
	if c.r.PathValue("node") != identity.Node {
		return errNotFound
	}
	var out []attemptsJSON
	for _, l := range c.b.Logins() {
		out = append(out, attemptsJSON{l.Protocol, l.Attempts, l.Failed, l.Attempts - l.Failed})
	}
	return list(c, out)
}

// listAttemptsBySource is empty, as in a RabbitMQ that does not count by source: the
// audit log has each refusal.
func listAttemptsBySource(c *call) error {
	if c.r.PathValue("node") != identity.Node {
		return errNotFound
	}
	return listNothing(c)
}
