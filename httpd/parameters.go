package httpd

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/definitions"
)

// Parameters of vhosts and of the broker. As in RabbitMQ, vhosts' limits and operator
// policies are parameters too; whoever changes them here must be an administrator, as
// elsewhere (RabbitMQ: a policymaker).

var parameterPaths = map[string]resource{
	"/api/parameters":                            {get: action{policymaker, listParameters}},
	"/api/parameters/{component}":                {get: action{policymaker, listParameters}},
	"/api/parameters/{component}/{vhost}":        {get: action{policymaker, listParameters}},
	"/api/parameters/{component}/{vhost}/{name}": {get: action{policymaker, getParameter}, put: action{policymaker, putParameter}, del: action{policymaker, deleteParameter}},
	"/api/global-parameters":                     {get: action{policymaker, listGlobalParameters}},
	"/api/global-parameters/{name}":              {get: action{policymaker, getGlobalParameter}, put: action{policymaker, putGlobalParameter}, del: action{policymaker, deleteGlobalParameter}},
	"/api/cluster-name":                          {get: action{management, getClusterName}, put: action{administrator, putClusterName}},
}

// Components of parameters that are something else here.
const (
	componentPolicy   = "policy"
	componentOperator = "operator_policy"
	componentLimits   = "vhost-limits"
)

type parameterJSON struct {
	Value     json.RawMessage `json:"value"`
	VHost     string          `json:"vhost"`
	Component string          `json:"component"`
	Name      string          `json:"name"`
}

func showParameter(p broker.Parameter) parameterJSON {
	return parameterJSON{p.Value, p.VHost, p.Component, p.Name}
}

func listParameters(c *call) error {
	vhost, component := "", c.r.PathValue("component")
	if c.r.PathValue("vhost") != "" {
		var err error
		if vhost, err = c.vhost(); err != nil {
			return err
		}
	}
	var out []parameterJSON
	for _, p := range definitions.Parameters(c.b) {
		if (component == "" || p.Component == component) && (vhost == "" || p.VHost == vhost) && c.mayEnter(p.VHost) {
			out = append(out, showParameter(p))
		}
	}
	return list(c, out)
}

// parameter is the one that the path names.
func (c *call) parameter() (broker.Parameter, error) {
	for _, p := range definitions.Parameters(c.b) {
		if p.VHost == c.r.PathValue("vhost") && p.Component == c.r.PathValue("component") && p.Name == c.r.PathValue("name") {
			return p, nil
		}
	}
	return broker.Parameter{}, errNotFound
}

func getParameter(c *call) error {
	if _, err := c.vhost(); err != nil {
		return err
	}
	p, err := c.parameter()
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showParameter(p))
}

// mayChangeParameter refuses who may not change a parameter of such a component.
func (c *call) mayChangeParameter() error {
	switch c.r.PathValue("component") {
	case componentOperator, componentLimits:
		if !c.has(administrator) {
			return notAuthorised(notAllowed[administrator])
		}
	}
	return nil
}

func putParameter(c *call) error {
	vhost, err := c.policyVHost()
	if err != nil {
		return err
	}
	if err := c.mayChangeParameter(); err != nil {
		return err
	}
	value, err := c.value("value")
	if err != nil {
		return err
	}
	component, name := c.r.PathValue("component"), c.r.PathValue("name")
	switch component {
	case componentPolicy:
		return badRequest("policies may not be set using this method")
	case componentOperator, componentLimits:
	default:
		return invalid("component %s not found", component)
	}
	_, missing := c.parameter()
	text, err := json.Marshal(map[string]any{"parameters": []map[string]any{{"component": component, "name": name, "value": value}}})
	if err != nil {
		return badRequest("not_json")
	}
	d, err := definitions.Parse(text, vhost)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil { // without which parameter it was
			err = cause
		}
		return invalid("%v", err)
	}
	if _, err := d.Import(c.b); err != nil {
		return err
	}
	return c.done(missing != nil)
}

func deleteParameter(c *call) error {
	vhost, err := c.policyVHost()
	if err != nil {
		return err
	}
	if err := c.mayChangeParameter(); err != nil {
		return err
	}
	p, err := c.parameter()
	if err != nil {
		return err
	}
	switch p.Component {
	case componentOperator:
		err = c.b.DeletePolicy(vhost, policy.Operator, p.Name)
	case componentLimits:
		var v broker.VHost
		if v, err = c.b.VHost(vhost); err != nil {
			return err
		}
		for limit := range v.Limits {
			if err := c.b.ClearVHostLimit(vhost, limit); err != nil {
				return err
			}
		}
	default:
		err = c.b.DeleteParameter(vhost, p.Component, p.Name)
	}
	if err != nil {
		return err
	}
	return c.done(false)
}

type globalParameterJSON struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
}

func listGlobalParameters(c *call) error {
	var out []globalParameterJSON
	for _, p := range c.b.GlobalParameters() {
		out = append(out, globalParameterJSON{p.Name, p.Value})
	}
	return list(c, out)
}

func getGlobalParameter(c *call) error {
	for _, p := range c.b.GlobalParameters() {
		if p.Name == c.r.PathValue("name") {
			return c.json(http.StatusOK, globalParameterJSON{p.Name, p.Value})
		}
	}
	return errNotFound
}

func putGlobalParameter(c *call) error {
	value, err := c.value("value")
	if err != nil {
		return err
	}
	created, err := c.b.SetGlobalParameter(broker.GlobalParameter{Name: c.r.PathValue("name"), Value: value})
	if err != nil {
		return err
	}
	return c.done(created)
}

func deleteGlobalParameter(c *call) error {
	if err := c.b.DeleteGlobalParameter(c.r.PathValue("name")); err != nil {
		return err
	}
	return c.done(false)
}

// value reads one field of the body as it stands there: numbers lose nothing.
func (c *call) value(key string) (json.RawMessage, error) {
	text, err := c.read(maxBody)
	if err != nil {
		return nil, err
	}
	body, err := parseBody(text)
	if err != nil {
		return nil, err
	}
	if err := require(body, key); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, badRequest("not_json")
	}
	return fields[key], nil
}

func getClusterName(c *call) error {
	return c.json(http.StatusOK, map[string]string{"name": c.b.ClusterName()})
}

func putClusterName(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "name"); err != nil {
		return err
	}
	name, err := text(body, "name")
	if err != nil {
		return err
	}
	value, err := json.Marshal(name)
	if err != nil {
		return err
	}
	if _, err := c.b.SetGlobalParameter(broker.GlobalParameter{Name: broker.ClusterParameter, Value: value}); err != nil {
		return err
	}
	return c.done(false)
}
