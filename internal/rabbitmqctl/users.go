package rabbitmqctl

import (
	"strings"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

var userCommands = []*command{
	{name: "add_user", usage: "<username> <password>", short: "Makes a user, who may enter no vhost yet", group: "Users", min: 1, max: 2, run: addUser},
	{name: "authenticate_user", usage: "<username> <password>", short: "Tries a user's password; the exit code tells whether it is right", group: "Users", min: 1, max: 2, run: authenticateUser},
	{name: "change_password", usage: "<username> <password>", short: "Changes a user's password", group: "Users", min: 1, max: 2, run: changePassword},
	{name: "clear_password", usage: "<username>", short: "Takes a user's password away, so that none lets it in", group: "Users", min: 1, max: 1, run: clearPassword},
	{name: "delete_user", usage: "<username>", short: "Deletes a user and closes its connections", group: "Users", min: 1, max: 1, run: deleteUser},
	{name: "set_user_tags", usage: "<username> <tag> [...]", short: "Replaces a user's tags", group: "Users", min: 1, max: -1, run: setUserTags},
	{name: "list_users", usage: "[--no-table-headers] [--timeout <timeout>]", short: "Lists users and their tags", group: "Users", run: listUsers},
	{name: "set_user_limits", usage: "<username> <definition>", short: "Sets limits of a user, a JSON object", group: "Users", min: 2, max: 2, run: setUserLimits},
	{name: "clear_user_limits", usage: "username <limit_type> | all", short: "Removes a limit of a user, or all", group: "Users", min: 2, max: 2, run: clearUserLimits},
	{name: "list_user_limits", usage: "[--user <username>] [--global]", short: "Lists the limits of a user, or of all", group: "Users",
		options: map[string]bool{"user": true, "global": false}, run: listUserLimits},
}

func addUser(c *call) error {
	name := c.args[0]
	c.banner("Adding user \"%s\" ...", name)
	password, err := c.password(c.args[1:])
	if err != nil {
		return err
	}
	_, err = c.client.UserOf(c.ctx, name)
	switch {
	case err == nil:
		return fail(exitSoftware, `User "%s" already exists`, name)
	case !mgmt.IsStatus(err, 404):
		return c.explain(err)
	}
	if _, err := c.client.PutUser(c.ctx, name, mgmt.User{Password: &password}); err != nil {
		return c.explain(err)
	}
	if !c.set["quiet"] {
		c.say("Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.")
	}
	return nil
}

// loginFailed is what the API says where name and password are not a user's. Whom it
// refuses for another reason, such as missing tags, has logged in.
const loginFailed = "Login failed"

func authenticateUser(c *call) error {
	name := c.args[0]
	c.banner("Authenticating user \"%s\" ...", name)
	password, err := c.password(c.args[1:])
	if err != nil {
		return err
	}
	as, err := mgmt.New(c.client.Address(), mgmt.Options{User: name, Password: password})
	if err != nil {
		return err
	}
	_, err = as.WhoAmI(c.ctx)
	switch {
	case mgmt.IsStatus(err, 401) && err.Error() == loginFailed:
		return fail(exitData, "Error: failed to authenticate user \"%s\"\nuser '%s' - invalid credentials", name, name)
	case err != nil && !mgmt.IsStatus(err, 401):
		return c.explain(err)
	}
	c.say("Success")
	return nil
}

// change makes a user anew from what it is.
func (c *call) change(name string, unknown error, change func(u *mgmt.User)) error {
	u, err := c.user(name, unknown)
	if err != nil {
		return err
	}
	change(&u)
	_, err = c.client.PutUser(c.ctx, name, u)
	return c.explain(err)
}

func changePassword(c *call) error {
	name := c.args[0]
	c.banner("Changing password for user \"%s\" ...", name)
	password, err := c.password(c.args[1:])
	if err != nil {
		return err
	}
	return c.change(name, noUser(name), func(u *mgmt.User) { u.PasswordHash, u.Algorithm, u.Password = nil, "", &password })
}

func clearPassword(c *call) error {
	name := c.args[0]
	c.banner("Clearing password for user \"%s\" ...", name)
	return c.change(name, noSuchUser(name), func(u *mgmt.User) { u.PasswordHash, u.Algorithm = new(""), "" })
}

func deleteUser(c *call) error {
	name := c.args[0]
	c.banner("Deleting user \"%s\" ...", name)
	err := c.client.Delete(c.ctx, mgmt.Path("users", name), nil)
	if mgmt.IsStatus(err, 404) {
		return noUser(name)
	}
	return c.explain(err)
}

func setUserTags(c *call) error {
	name, tags := c.args[0], c.args[1:]
	c.banner("Setting tags for user \"%s\" to [%s] ...", name, strings.Join(tags, ", "))
	var list []string
	for _, t := range tags {
		for each := range strings.SplitSeq(t, ",") {
			if each = strings.TrimSpace(each); each != "" {
				list = append(list, each)
			}
		}
	}
	return c.change(name, noUser(name), func(u *mgmt.User) { u.Tags = list })
}

func listUsers(c *call) error {
	c.banner("Listing users ...")
	users, err := c.client.List(c.ctx, mgmt.Path("users"), nil)
	if err != nil {
		return c.explain(err)
	}
	var rows [][]any
	for _, u := range users {
		rows = append(rows, []any{u.Text("name"), words(mgmt.Tags(u))})
	}
	return c.rows(false, []string{"user", "tags"}, rows)
}

func setUserLimits(c *call) error {
	name, definition := c.args[0], c.args[1]
	c.banner("Setting user limits to \"%s\" for user \"%s\" ...", definition, name)
	if _, err := c.user(name, noSuchUser(name)); err != nil {
		return err
	}
	return c.setLimits("user-limits", name, definition)
}

func clearUserLimits(c *call) error {
	name, limit := c.args[0], c.args[1]
	if limit == "all" {
		c.banner("Clearing all limits for user \"%s\" ...", name)
	} else {
		c.banner("Clearing \"%s\" limit for user \"%s\" ...", limit, name)
	}
	if _, err := c.user(name, noSuchUser(name)); err != nil {
		return err
	}
	limits := []string{limit}
	if limit == "all" {
		limits = []string{"max-connections", "max-channels"}
	}
	for _, each := range limits {
		if err := c.client.ClearLimit(c.ctx, "user-limits", name, each); err != nil && !mgmt.IsStatus(err, 404) && !mgmt.IsStatus(err, 400) {
			return c.explain(err)
		}
	}
	return nil
}

func listUserLimits(c *call) error {
	if c.set["global"] {
		c.banner("Listing limits for all users ...")
		return c.listLimits("user-limits", "user")
	}
	name := c.values["user"]
	if name == "" {
		name = "guest"
	}
	c.banner("Listing limits for user \"%s\" ...", name)
	found, err := c.client.List(c.ctx, mgmt.Path("user-limits", name), nil)
	if mgmt.IsStatus(err, 404) {
		return noSuchUser(name)
	}
	if err != nil {
		return c.explain(err)
	}
	limits := "{}"
	for _, o := range found {
		limits = compact(o.Field("value"))
	}
	c.print(limits)
	return nil
}
