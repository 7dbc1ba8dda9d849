package definitions

import (
	"encoding/json"
	"slices"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
)

// Broker is what definitions are taken from and given to: a *broker.Broker.
type Broker interface {
	Users() []access.User
	PutUser(u access.User) (created bool, err error)
	SetUserLimit(user, limit string, value int) error
	ClearUserLimit(user, limit string) error

	VHosts() []broker.VHost
	PutVHost(d broker.VHost) (created bool, err error)
	SetVHostLimit(vhost, limit string, value int) error
	ClearVHostLimit(vhost, limit string) error

	Permissions() []access.Permissions
	SetPermissions(p access.Permissions) (created bool, err error)
	TopicPermissions() []access.TopicPermissions
	SetTopicPermissions(p access.TopicPermissions) (created bool, err error)

	Policies(vhost string, role policy.Role) ([]*policy.Policy, error)
	SetPolicy(vhost string, role policy.Role, p *policy.Policy) (created bool, err error)

	Parameters() []broker.Parameter
	SetParameter(p broker.Parameter) (created bool, err error)
	GlobalParameters() []broker.GlobalParameter
	SetGlobalParameter(p broker.GlobalParameter) (created bool, err error)

	Queues(vhost string) ([]broker.QueueListing, error)
	Exchanges(vhost string) ([]broker.ExchangeListing, error)
	Bindings(vhost string) ([]broker.BindingListing, error)

	// Restore is a session that makes what is in a vhost.
	Restore(vhost string) (*broker.Session, error)
}

// Definitions are what a broker, or one of its vhosts, is to be. Parse makes them.
type Definitions struct {
	vhost string // of which they are; "": of a whole broker

	users       []user
	vhosts      []vhost
	permissions []access.Permissions
	topics      []access.TopicPermissions
	parameters  []broker.Parameter
	limits      []limits
	globals     []broker.GlobalParameter
	policies    []policyIn
	queues      []queueIn
	exchanges   []exchangeIn
	bindings    []broker.BindingListing
}

type user struct {
	access.User
	password string // in the clear; "": there is the hash
	limited  bool   // something is said of its limits
}

type vhost struct {
	broker.VHost
	described, typed bool // something is said of that
}

type limits struct {
	vhost  string
	values access.Limits
}

type policyIn struct {
	vhost  string
	role   policy.Role
	policy *policy.Policy
}

type queueIn struct {
	vhost string
	spec  broker.QueueSpec
}

type exchangeIn struct {
	vhost string
	spec  broker.ExchangeSpec
}

// Components of parameters.
const (
	vhostLimits    = "vhost-limits"
	limitsName     = "limits" // the parameter's name
	operatorPolicy = "operator_policy"
)

// OfPlugin tells whether a component is one of RabbitMQ's plugins, whose parameters
// are kept though they mean nothing here.
func OfPlugin(component string) bool {
	return slices.Contains([]string{"shovel", "federation", "federation-upstream", "federation-upstream-set"}, component)
}

// Parameters are a broker's parameters as RabbitMQ has them: vhosts' limits and
// operator policies among them.
func Parameters(b Broker) []broker.Parameter {
	var list []broker.Parameter
	for _, v := range b.VHosts() {
		list = append(list, parametersOf(b, &v)...)
	}
	return append(list, b.Parameters()...)
}

// parametersOf are a vhost's limits and operator policies.
func parametersOf(b Broker, v *broker.VHost) []broker.Parameter {
	var list []broker.Parameter
	if len(v.Limits) > 0 {
		list = append(list, broker.Parameter{VHost: v.Name, Component: vhostLimits, Name: limitsName, Value: encode(v.Limits)})
	}
	policies, _ := b.Policies(v.Name, policy.Operator) // none where it was deleted meanwhile
	for _, p := range policies {
		list = append(list, broker.Parameter{VHost: v.Name, Component: operatorPolicy, Name: p.Name, Value: encode(operatorJSON{
			p.Pattern, p.Definition, p.Priority, p.ApplyTo,
		})})
	}
	return list
}

// operatorJSON is the value of an operator policy's parameter.
type operatorJSON struct {
	Pattern    string            `json:"pattern"`
	Definition policy.Definition `json:"definition"`
	Priority   float64           `json:"priority"`
	ApplyTo    string            `json:"apply-to"`
}

func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // what came from JSON goes back
	}
	return text
}
