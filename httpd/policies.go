package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/broker/policy"
)

// policyPaths are what this file answers.
var policyPaths = map[string]resource{
	"/api/policies":                         {get: action{management, listPolicies}},
	"/api/policies/{vhost}":                 {get: action{management, listPolicies}},
	"/api/policies/{vhost}/{name}":          {get: action{policymaker, getPolicy}, put: action{policymaker, putPolicy}, del: action{policymaker, deletePolicy}},
	"/api/operator-policies":                {get: action{management, listOperatorPolicies}},
	"/api/operator-policies/{vhost}":        {get: action{management, listOperatorPolicies}},
	"/api/operator-policies/{vhost}/{name}": {get: action{administrator, getOperatorPolicy}, put: action{administrator, putOperatorPolicy}, del: action{administrator, deleteOperatorPolicy}},
}

// policyJSON is a policy in answers.
type policyJSON struct {
	VHost      string            `json:"vhost"`
	Name       string            `json:"name"`
	Pattern    string            `json:"pattern"`
	ApplyTo    string            `json:"apply-to"`
	Definition policy.Definition `json:"definition"`
	Priority   float64           `json:"priority"`
}

func showPolicy(vhost string, p *policy.Policy) policyJSON {
	return policyJSON{vhost, p.Name, p.Pattern, p.ApplyTo, p.Definition, p.Priority}
}

func listPolicies(c *call) error         { return c.listPolicies(policy.User) }
func getPolicy(c *call) error            { return c.getPolicy(policy.User) }
func putPolicy(c *call) error            { return c.putPolicy(policy.User) }
func deletePolicy(c *call) error         { return c.deletePolicy(policy.User) }
func listOperatorPolicies(c *call) error { return c.listPolicies(policy.Operator) }
func getOperatorPolicy(c *call) error    { return c.getPolicy(policy.Operator) }
func putOperatorPolicy(c *call) error    { return c.putPolicy(policy.Operator) }
func deleteOperatorPolicy(c *call) error { return c.deletePolicy(policy.Operator) }

func (c *call) listPolicies(role policy.Role) error {
	vhosts, err := c.vhosts()
	if err != nil {
		return err
	}
	var out []policyJSON
	for _, vhost := range vhosts {
		found, err := c.b.Policies(vhost, role)
		if err != nil {
			continue // deleted meanwhile
		}
		for _, p := range found {
			out = append(out, showPolicy(vhost, p))
		}
	}
	return list(c, out)
}

func (c *call) getPolicy(role policy.Role) error {
	vhost, err := c.vhost()
	if err != nil {
		return err
	}
	p, err := c.b.Policy(vhost, role, c.r.PathValue("name"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showPolicy(vhost, p))
}

// policyVHost is the vhost of a policy that is to be changed.
func (c *call) policyVHost() (string, error) {
	vhost := c.r.PathValue("vhost")
	if _, err := c.b.VHost(vhost); err != nil {
		if c.r.Method == http.MethodPut {
			return "", errNoVHost
		}
		return "", errNotFound
	}
	if !c.mayEnter(vhost) {
		return "", notAuthorised(notAllowed[policymaker])
	}
	return vhost, nil
}

func (c *call) putPolicy(role policy.Role) error {
	vhost, err := c.policyVHost()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "pattern", "definition"); err != nil {
		return err
	}
	p, err := policy.New(role, c.r.PathValue("name"), policy.Spec{
		Pattern: body["pattern"], ApplyTo: body["apply-to"], Priority: body["priority"], Definition: body["definition"],
	})
	if err != nil {
		return invalid("%v", err)
	}
	created, err := c.b.SetPolicy(vhost, role, p)
	if err != nil {
		return err
	}
	return c.done(created)
}

func (c *call) deletePolicy(role policy.Role) error {
	vhost, err := c.policyVHost()
	if err != nil {
		return err
	}
	if err := c.b.DeletePolicy(vhost, role, c.r.PathValue("name")); err != nil {
		return err
	}
	return c.done(false)
}
