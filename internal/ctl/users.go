package ctl

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

const tagsHelp = "administrator, monitoring, policymaker, management, impersonator, or any word"

var tagWords = []string{"administrator", "monitoring", "policymaker", "management", "impersonator"}

func (a *app) newUser() *cobra.Command {
	var tags []string
	add := command("add NAME", "Make a user, whose password is asked for or is a line of standard input", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		return a.addUser(args[0], tags)
	})
	add.Flags().StringSliceVar(&tags, "tags", nil, "its `tags`, separated by commas: "+tagsHelp)
	completeWords(add, "tags", tagWords...)
	passwd := command("passwd NAME", "Change a user's password, which is asked for or is a line of standard input", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		return a.changePassword(args[0])
	})
	setTags := command("tags NAME [TAG]...", "Replace a user's tags: "+tagsHelp, cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.setTags(args[0], args[1:])
	})
	del := command("delete NAME...", "Delete users, and close their connections", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.deleteEach(args, "user", func(name string) string { return mgmt.Path("users", name) }, func(name string) string { return fmt.Sprintf("user %q", name) })
	})
	list := command("list", "List users and their tags", cobra.NoArgs, func(*cobra.Command, []string) error {
		return a.list(mgmt.Path("users"), nil, "", text("USER", "name"), text("TAGS", "tags"), column{title: "PASSWORD", show: passwordOf}, limitsColumn)
	})
	return group("user", "Users: add, passwd, tags, delete, list", list, add, a.complete(passwd, users), a.complete(setTags, users), a.complete(del, users))
}

// passwordOf tells how a password is kept.
func passwordOf(o mgmt.Object) string {
	if o.Text("password_hash") == "" {
		return "none"
	}
	return strings.TrimPrefix(o.Text("hashing_algorithm"), "rabbit_password_hashing_")
}

var limitsColumn = column{title: "LIMITS", show: func(o mgmt.Object) string {
	m, _ := o.Field("limits").(map[string]any)
	return limitsText(m)
}}

func (a *app) addUser(name string, tags []string) error {
	if _, err := a.client.One(a.ctx(), mgmt.Path("users", name), nil); err == nil {
		return failed("user %q exists: leveret user passwd and leveret user tags change it", name)
	} else if !mgmt.IsStatus(err, http.StatusNotFound) {
		return a.explain(err, fmt.Sprintf("user %q", name))
	}
	password, err := a.newPassword(name)
	if err != nil {
		return err
	}
	if _, err := a.client.PutUser(a.ctx(), name, mgmt.User{Password: &password, Tags: tags}); err != nil {
		return a.explain(err, fmt.Sprintf("user %q", name))
	}
	a.say("user %q is there; it may enter no vhost yet: leveret permission set", name)
	return nil
}

// newPassword asks for one.
func (a *app) newPassword(name string) (string, error) {
	password, err := terminal.Password(a.in, a.errs, fmt.Sprintf("New password of %s: ", name), true)
	switch {
	case errors.Is(err, terminal.ErrNoPassword):
		return "", usage("%v", err)
	case err != nil:
		return "", failed("%v", err)
	case password == "":
		return "", usage("an empty password lets nobody in: give one")
	}
	return password, nil
}

func (a *app) changePassword(name string) error {
	what := fmt.Sprintf("user %q", name)
	u, err := a.client.UserOf(a.ctx(), name)
	if err != nil {
		return a.explain(err, what)
	}
	password, err := a.newPassword(name)
	if err != nil {
		return err
	}
	if _, err := a.client.PutUser(a.ctx(), name, mgmt.User{Password: &password, Tags: u.Tags}); err != nil {
		return a.explain(err, what)
	}
	a.say("the password of user %q is changed", name)
	return nil
}

func (a *app) setTags(name string, tags []string) error {
	what := fmt.Sprintf("user %q", name)
	u, err := a.client.UserOf(a.ctx(), name)
	if err != nil {
		return a.explain(err, what)
	}
	u.Tags = nil
	for _, t := range tags {
		u.Tags = append(u.Tags, strings.FieldsFunc(t, func(r rune) bool { return r == ',' })...)
	}
	slices.Sort(u.Tags)
	u.Tags = slices.Compact(u.Tags)
	if _, err := a.client.PutUser(a.ctx(), name, u); err != nil {
		return a.explain(err, what)
	}
	if len(u.Tags) == 0 {
		a.say("user %q has no tags", name)
	} else {
		a.say("user %q has the tags %s", name, strings.Join(u.Tags, ", "))
	}
	return nil
}

// deleteEach deletes what is named, in order, and stops at the first that fails.
func (a *app) deleteEach(names []string, kind string, path, what func(name string) string) error {
	for _, name := range names {
		if err := a.client.Delete(a.ctx(), path(name), nil); err != nil {
			return a.explain(err, what(name))
		}
		a.say("%s %q is deleted", kind, name)
	}
	return nil
}
