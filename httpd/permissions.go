package httpd

import (
	"errors"
	"net/http"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
)

// permissionPaths are what this file answers.
var permissionPaths = map[string]resource{
	"/api/vhosts/{vhost}/permissions":              {get: action{administrator, listPermissions}},
	"/api/vhosts/{vhost}/topic-permissions":        {get: action{administrator, listTopicPermissions}},
	"/api/users/{user}/permissions":                {get: action{administrator, listPermissions}},
	"/api/users/{user}/topic-permissions":          {get: action{administrator, listTopicPermissions}},
	"/api/permissions":                             {get: action{administrator, listPermissions}},
	"/api/permissions/{vhost}/{user}":              {get: action{administrator, getPermissions}, put: action{administrator, putPermissions}, del: action{administrator, deletePermissions}},
	"/api/topic-permissions":                       {get: action{administrator, listTopicPermissions}},
	"/api/topic-permissions/{vhost}/{user}":        {get: action{administrator, getTopicPermissions}, put: action{administrator, putTopicPermissions}, del: action{administrator, deleteTopicPermissions}},
	"/api/topic-permissions/{vhost}/{user}/{name}": {del: action{administrator, deleteTopicPermissions}},
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

// subjects are the user and the vhost that the path names, "" where it names none;
// those that it names must exist.
func (c *call) subjects() (vhost, user string, err error) {
	vhost, user = c.r.PathValue("vhost"), c.r.PathValue("user")
	if vhost != "" {
		if _, err := c.b.VHost(vhost); err != nil {
			return "", "", err
		}
	}
	if user != "" {
		if _, err := c.b.User(user); err != nil {
			return "", "", err
		}
	}
	return vhost, user, nil
}

// permissions are those of the user and vhost that the path names.
func (c *call) permissions() ([]permissionsJSON, error) {
	vhost, user, err := c.subjects()
	if err != nil {
		return nil, err
	}
	var out []permissionsJSON
	for _, p := range c.b.Permissions() {
		if (vhost == "" || p.VHost == vhost) && (user == "" || p.User == user) {
			out = append(out, permissionsJSON{p.User, p.VHost, p.Configure, p.Write, p.Read})
		}
	}
	return out, nil
}

func listPermissions(c *call) error {
	out, err := c.permissions()
	if err != nil {
		return err
	}
	return list(c, out)
}

func getPermissions(c *call) error {
	out, err := c.permissions()
	switch {
	case err != nil:
		return err
	case len(out) == 0:
		return errNotFound
	}
	return c.json(http.StatusOK, out[0])
}

func putPermissions(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "configure", "write", "read"); err != nil {
		return err
	}
	p := access.Permissions{User: c.r.PathValue("user"), VHost: c.r.PathValue("vhost")}
	for key, to := range map[string]*string{"configure": &p.Configure, "write": &p.Write, "read": &p.Read} {
		if *to, err = text(body, key); err != nil {
			return err
		}
	}
	created, err := c.b.SetPermissions(p)
	if err != nil {
		return explainPermissions(err)
	}
	return c.done(created)
}

// explainPermissions says why permissions could not be set.
func explainPermissions(err error) error {
	if errors.Is(err, broker.ErrNoVHost) || errors.Is(err, broker.ErrNoUser) {
		return badRequest("vhost_or_user_not_found")
	}
	return err
}

func deletePermissions(c *call) error {
	if err := c.b.ClearPermissions(c.r.PathValue("vhost"), c.r.PathValue("user")); err != nil {
		return err
	}
	return c.done(false)
}

func (c *call) topicPermissions() ([]topicPermissionsJSON, error) {
	vhost, user, err := c.subjects()
	if err != nil {
		return nil, err
	}
	var out []topicPermissionsJSON
	for _, p := range c.b.TopicPermissions() {
		if (vhost == "" || p.VHost == vhost) && (user == "" || p.User == user) {
			out = append(out, topicPermissionsJSON{p.User, p.VHost, p.Exchange, p.Write, p.Read})
		}
	}
	return out, nil
}

func listTopicPermissions(c *call) error {
	out, err := c.topicPermissions()
	if err != nil {
		return err
	}
	return list(c, out)
}

func getTopicPermissions(c *call) error {
	out, err := c.topicPermissions()
	switch {
	case err != nil:
		return err
	case len(out) == 0:
		return errNotFound
	}
	return list(c, out)
}

func putTopicPermissions(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "exchange", "write", "read"); err != nil {
		return err
	}
	p := access.TopicPermissions{User: c.r.PathValue("user"), VHost: c.r.PathValue("vhost")}
	for key, to := range map[string]*string{"exchange": &p.Exchange, "write": &p.Write, "read": &p.Read} {
		if *to, err = text(body, key); err != nil {
			return err
		}
	}
	created, err := c.b.SetTopicPermissions(p)
	if err != nil {
		return explainPermissions(err)
	}
	return c.done(created)
}

func deleteTopicPermissions(c *call) error {
	var exchanges []string
	if name := c.r.PathValue("name"); name != "" {
		exchanges = append(exchanges, name)
	}
	if err := c.b.ClearTopicPermissions(c.r.PathValue("vhost"), c.r.PathValue("user"), exchanges...); err != nil {
		return err
	}
	return c.done(false)
}
