package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
)

// limitPaths are what this file answers.
var limitPaths = map[string]resource{
	"/api/vhost-limits":                {get: action{management, listVHostLimits}},
	"/api/vhost-limits/{vhost}":        {get: action{management, listVHostLimits}},
	"/api/vhost-limits/{vhost}/{name}": {put: action{administrator, putVHostLimit}, del: action{administrator, deleteVHostLimit}},
	"/api/user-limits":                 {get: action{management, listUserLimits}},
	"/api/user-limits/{user}":          {get: action{management, listUserLimits}},
	"/api/user-limits/{user}/{name}":   {put: action{administrator, putUserLimit}, del: action{administrator, deleteUserLimit}},
}

type vhostLimitsJSON struct {
	VHost string        `json:"vhost"`
	Value access.Limits `json:"value"`
}

type userLimitsJSON struct {
	User  string        `json:"user"`
	Value access.Limits `json:"value"`
}

// listVHostLimits shows limits of the vhosts that the user has permissions in, and who
// monitors those of all.
func listVHostLimits(c *call) error {
	vhosts := c.b.VHosts()
	if one := c.r.PathValue("vhost"); one != "" {
		if !c.has(monitoring) {
			if _, err := c.vhost(); err != nil {
				return err
			}
		}
		v, err := c.b.VHost(one)
		if err != nil {
			return err
		}
		vhosts = []broker.VHost{v}
	}
	var out []vhostLimitsJSON
	for _, v := range vhosts {
		if len(v.Limits) > 0 && (c.has(monitoring) || c.mayEnter(v.Name)) {
			out = append(out, vhostLimitsJSON{v.Name, v.Limits})
		}
	}
	return list(c, out)
}

// limit reads the value of a limit.
func (c *call) limit() (n int, given any, err error) {
	body, err := c.body()
	if err != nil {
		return 0, nil, err
	}
	if err := require(body, "value"); err != nil {
		return 0, nil, err
	}
	v := body["value"]
	if n, ok := v.(int64); ok {
		return int(n), v, nil
	}
	return 0, v, nil
}

// wrongLimit says what is wrong with a limit, or returns "".
func (c *call) wrongLimit(check func(name string) error, given any, of string) string {
	name := c.r.PathValue("name")
	if check(name) != nil {
		return "Unrecognised terms [{" + policy.Term(name) + "," + policy.Term(given) + "}] in " + of
	}
	if _, ok := given.(int64); !ok {
		return name + " should be a number, actually was " + policy.Term(given)
	}
	return ""
}

func putVHostLimit(c *call) error {
	vhost := c.r.PathValue("vhost")
	if _, err := c.b.VHost(vhost); err != nil {
		return errNoVHost
	}
	n, given, err := c.limit()
	if err != nil {
		return err
	}
	if why := c.wrongLimit(access.CheckVHostLimit, given, "limits"); why != "" {
		return invalid("%s", why)
	}
	if err := c.b.SetVHostLimit(vhost, c.r.PathValue("name"), n); err != nil {
		return err
	}
	return c.done(false)
}

func deleteVHostLimit(c *call) error {
	if err := c.b.ClearVHostLimit(c.r.PathValue("vhost"), c.r.PathValue("name")); err != nil {
		return err
	}
	return c.done(false)
}

// listUserLimits shows all limits to an administrator, and to others theirs.
func listUserLimits(c *call) error {
	name := c.r.PathValue("user")
	if name != "" {
		if _, err := c.b.User(name); err != nil {
			return err
		}
	}
	var out []userLimitsJSON
	for _, u := range c.b.Users() {
		if len(u.Limits) > 0 && (name == "" || u.Name == name) && (c.has(administrator) || u.Name == c.user.Name) {
			out = append(out, userLimitsJSON{u.Name, u.Limits})
		}
	}
	return list(c, out)
}

func putUserLimit(c *call) error {
	name := c.r.PathValue("user")
	n, given, err := c.limit()
	if err != nil {
		return err
	}
	if _, err := c.b.User(name); err != nil {
		return &failure{http.StatusBadRequest, "bad_request", []string{"no_such_user", name}}
	}
	if why := c.wrongLimit(access.CheckUserLimit, given, "user-limits"); why != "" {
		return badRequest("%s", why)
	}
	if err := c.b.SetUserLimit(name, c.r.PathValue("name"), n); err != nil {
		return err
	}
	return c.done(false)
}

func deleteUserLimit(c *call) error {
	if err := c.b.ClearUserLimit(c.r.PathValue("user"), c.r.PathValue("name")); err != nil {
		return err
	}
	return c.done(false)
}
