package definitions

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/jsontable"
)

// Export writes what a broker is, or one of its vhosts where one is named, as JSON.
// version is that of the RabbitMQ whose form it has. A vhost that is not there is
// broker.ErrNoVHost, and nothing is written. Objects are looked at one after the other,
// while others may change them.
func Export(w io.Writer, b Broker, name, version string) error {
	vhosts := b.VHosts()
	if name != "" {
		vhosts = slices.DeleteFunc(vhosts, func(v broker.VHost) bool { return v.Name != name })
		if len(vhosts) == 0 {
			return broker.ErrNoVHost
		}
	}
	out := documentJSON{Rabbit: version, RabbitMQ: version, ProductName: "RabbitMQ", ProductVersion: version, vhostPartJSON: vhostPartJSON{
		Parameters: []parameterJSON{}, Policies: []policyJSON{}, Queues: []queueJSON{}, Exchanges: []exchangeJSON{}, Bindings: []bindingJSON{},
	}}
	if name == "" {
		out.brokerJSON = takePeople(b, vhosts)
	}
	for i := range vhosts {
		out.take(b, &vhosts[i])
	}
	for _, p := range b.Parameters() {
		if name == "" || p.VHost == name {
			out.Parameters = append(out.Parameters, parameterJSON{p.Value, p.VHost, p.Component, p.Name})
		}
	}
	if name != "" {
		out.nameless()
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// takePeople takes down who may come in, and where.
func takePeople(b Broker, vhosts []broker.VHost) *brokerJSON {
	out := &brokerJSON{Users: []userJSON{}, VHosts: []vhostJSON{}, Permissions: []permissionsJSON{}, Topics: []topicPermissionsJSON{}, Globals: []globalJSON{}}
	for _, u := range b.Users() {
		out.Users = append(out.Users, userJSON{u.Name, hashText(u.Hash), cmp.Or(u.Hash.Algorithm, access.SHA256), orEmpty(u.Tags), u.Limits.Clone()})
	}
	for _, v := range vhosts {
		j := vhostJSON{Name: v.Name, Description: v.Description, Tags: v.Tags, QueueType: v.QueueType}
		if v.Description != "" || len(v.Tags) > 0 || v.QueueType != "" {
			j.Metadata = &metadataJSON{v.Description, orEmpty(v.Tags), v.QueueType}
		}
		out.VHosts = append(out.VHosts, j)
	}
	for _, p := range b.Permissions() {
		out.Permissions = append(out.Permissions, permissionsJSON{p.User, p.VHost, p.Configure, p.Write, p.Read})
	}
	for _, p := range b.TopicPermissions() {
		out.Topics = append(out.Topics, topicPermissionsJSON{p.User, p.VHost, p.Exchange, p.Write, p.Read})
	}
	for _, p := range b.GlobalParameters() {
		out.Globals = append(out.Globals, globalJSON{p.Name, p.Value})
	}
	return out
}

// hashText is a hash as RabbitMQ takes it, who wants base64 of any algorithm, also of
// those that it does not know.
func hashText(h access.Hash) string {
	if h.Algorithm == access.Argon2id {
		return base64.StdEncoding.EncodeToString([]byte(h.Text))
	}
	return h.Text
}

// take takes down what is in a vhost.
func (out *vhostPartJSON) take(b Broker, v *broker.VHost) {
	for _, p := range parametersOf(b, v) {
		out.Parameters = append(out.Parameters, parameterJSON{p.Value, p.VHost, p.Component, p.Name})
	}
	policies, _ := b.Policies(v.Name, policy.User)
	for _, p := range policies {
		out.Policies = append(out.Policies, policyJSON{v.Name, p.Name, p.Pattern, p.ApplyTo, p.Definition, p.Priority})
	}
	queues, _ := b.Queues(v.Name)
	passing := map[string]bool{} // that go with their connections
	for _, q := range queues {
		if q.Exclusive {
			passing[q.Name] = true
			continue
		}
		out.Queues = append(out.Queues, queueJSON{q.Name, v.Name, q.Durable, q.AutoDelete, jsontable.Show(q.Args)})
	}
	exchanges, _ := b.Exchanges(v.Name)
	for _, x := range exchanges {
		if !x.Predeclared {
			out.Exchanges = append(out.Exchanges, exchangeJSON{x.Name, v.Name, x.Type, x.Durable, x.AutoDelete, x.Internal, jsontable.Show(x.Args)})
		}
	}
	bindings, _ := b.Bindings(v.Name)
	for _, each := range bindings {
		if each.Source == "" || !each.ToExchange && passing[each.Destination] {
			continue
		}
		j := bindingJSON{each.Source, v.Name, each.Destination, "queue", each.Key, jsontable.Show(each.Args)}
		if each.ToExchange {
			j.Kind = "exchange"
		}
		out.Bindings = append(out.Bindings, j)
	}
}

// nameless leaves the vhost's name out where it is no news.
func (out *vhostPartJSON) nameless() {
	for i := range out.Queues {
		out.Queues[i].VHost = ""
	}
	for i := range out.Exchanges {
		out.Exchanges[i].VHost = ""
	}
	for i := range out.Bindings {
		out.Bindings[i].VHost = ""
	}
}

// The JSON of definitions.

type documentJSON struct {
	Rabbit         string `json:"rabbit_version"`
	RabbitMQ       string `json:"rabbitmq_version"`
	ProductName    string `json:"product_name"`
	ProductVersion string `json:"product_version"`
	*brokerJSON
	vhostPartJSON
}

type brokerJSON struct {
	Users       []userJSON             `json:"users"`
	VHosts      []vhostJSON            `json:"vhosts"`
	Permissions []permissionsJSON      `json:"permissions"`
	Topics      []topicPermissionsJSON `json:"topic_permissions"`
	Globals     []globalJSON           `json:"global_parameters"`
}

type vhostPartJSON struct {
	Parameters []parameterJSON `json:"parameters"`
	Policies   []policyJSON    `json:"policies"`
	Queues     []queueJSON     `json:"queues"`
	Exchanges  []exchangeJSON  `json:"exchanges"`
	Bindings   []bindingJSON   `json:"bindings"`
}

type userJSON struct {
	Name      string           `json:"name"`
	Hash      string           `json:"password_hash"`
	Algorithm access.Algorithm `json:"hashing_algorithm"`
	Tags      []string         `json:"tags"`
	Limits    access.Limits    `json:"limits"`
}

type vhostJSON struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Tags        []string      `json:"tags,omitempty"`
	QueueType   string        `json:"default_queue_type,omitempty"`
	Metadata    *metadataJSON `json:"metadata,omitempty"`
}

type metadataJSON struct {
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	QueueType   string   `json:"default_queue_type,omitempty"`
}

type permissionsJSON struct {
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

type topicPermissionsJSON struct {
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}

type globalJSON struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

type parameterJSON struct {
	Value     json.RawMessage `json:"value"`
	VHost     string          `json:"vhost"`
	Component string          `json:"component"`
	Name      string          `json:"name"`
}

type policyJSON struct {
	VHost      string            `json:"vhost"`
	Name       string            `json:"name"`
	Pattern    string            `json:"pattern"`
	ApplyTo    string            `json:"apply-to"`
	Definition policy.Definition `json:"definition"`
	Priority   float64           `json:"priority"`
}

type queueJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost,omitempty"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Arguments  map[string]any `json:"arguments"`
}

type exchangeJSON struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost,omitempty"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  map[string]any `json:"arguments"`
}

type bindingJSON struct {
	Source      string         `json:"source"`
	VHost       string         `json:"vhost,omitempty"`
	Destination string         `json:"destination"`
	Kind        string         `json:"destination_type"`
	Key         string         `json:"routing_key"`
	Arguments   map[string]any `json:"arguments"`
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
