package httpd

import (
	"net/http"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker/policy"
)

// userPaths are what this file answers.
var userPaths = map[string]resource{
	"/api/whoami":                    {get: action{management, getWhoami}},
	"/api/users":                     {get: action{administrator, listUsers}},
	"/api/users/bulk-delete":         {post: action{administrator, deleteUsers}},
	"/api/users/without-permissions": {get: action{administrator, listUsersWithoutPermissions}},
	"/api/users/{user}":              {get: action{administrator, getUser}, put: action{administrator, putUser}, del: action{administrator, deleteUser}},
}

// userJSON is a user in answers.
type userJSON struct {
	Name      string           `json:"name"`
	Hash      string           `json:"password_hash"`
	Algorithm access.Algorithm `json:"hashing_algorithm"`
	Tags      []string         `json:"tags"`
	Limits    access.Limits    `json:"limits"`
}

func showUser(u access.User) userJSON {
	out := userJSON{u.Name, u.Hash.Text, u.Hash.Algorithm, u.Tags, u.Limits}
	if out.Algorithm == "" { // there is no hash
		out.Algorithm = access.SHA256
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if out.Limits == nil {
		out.Limits = access.Limits{}
	}
	return out
}

func getWhoami(c *call) error {
	u := showUser(c.user)
	return c.json(http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{u.Name, u.Tags})
}

func listUsers(c *call) error {
	var out []userJSON
	for _, u := range c.b.Users() {
		out = append(out, showUser(u))
	}
	return list(c, out)
}

func listUsersWithoutPermissions(c *call) error {
	has := map[string]bool{}
	for _, p := range c.b.Permissions() {
		has[p.User] = true
	}
	var out []userJSON
	for _, u := range c.b.Users() {
		if !has[u.Name] {
			out = append(out, showUser(u))
		}
	}
	return list(c, out)
}

func getUser(c *call) error {
	u, err := c.b.User(c.r.PathValue("user"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, showUser(u))
}

func putUser(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	u := access.User{Name: c.r.PathValue("user")}
	if body["tags"] == nil {
		return badRequest("tags_not_present")
	}
	if u.Tags, err = tags(body["tags"]); err != nil {
		return err
	}
	if u.Hash, err = passwordOf(body); err != nil {
		return err
	}
	created, err := c.b.PutUser(u)
	if err != nil {
		return err
	}
	return c.done(created)
}

// passwordOf reads a password, or a hash of one; none of them, or an empty one, is a
// user whom no password lets in.
func passwordOf(body map[string]any) (access.Hash, error) {
	password, err := text(body, "password")
	if err != nil {
		return access.Hash{}, err
	}
	hash, err := text(body, "password_hash")
	if err != nil {
		return access.Hash{}, err
	}
	algorithm, err := text(body, "hashing_algorithm")
	switch {
	case err != nil:
		return access.Hash{}, err
	case body["password"] != nil && body["password_hash"] != nil:
		return access.Hash{}, badRequest("both_password_and_password_hash_are_provided")
	case password != "":
		return access.HashPassword(password), nil
	case hash != "":
		h, err := access.ParseHash(hash, access.Algorithm(algorithm))
		if err != nil {
			return access.Hash{}, badRequest("%v", err)
		}
		return h, nil
	}
	return access.Hash{}, nil
}

func deleteUser(c *call) error {
	if err := c.b.DeleteUser(c.r.PathValue("user")); err != nil {
		return err
	}
	return c.done(false)
}

func deleteUsers(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := require(body, "users"); err != nil {
		return err
	}
	names, ok := body["users"].([]any)
	if !ok {
		return badRequest("users should be a list, actually was %s", policy.Term(body["users"]))
	}
	for _, each := range names {
		name, ok := each.(string)
		if !ok {
			return badRequest("a user's name should be a string, actually was %s", policy.Term(each))
		}
		if _, err := c.b.User(name); err != nil {
			return &failure{http.StatusBadRequest, "bad_request", []string{"no_such_user", name}}
		}
	}
	for _, each := range names {
		name, _ := each.(string)
		_ = c.b.DeleteUser(name) // who is gone meanwhile is gone
	}
	return c.done(false)
}
