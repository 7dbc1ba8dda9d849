package ctl

import (
	"context"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// completeTimeout is how long somebody who pressed a key waits for names.
const completeTimeout = 2 * time.Second

// maxCompletions bounds what a shell is given: more names help nobody.
const maxCompletions = 500

// source is where names come from, and whether the API filters them and gives them by
// page, since there may be a hundred thousand.
type source func(a *app) (path string, paged bool)

func queues(a *app) (string, bool)    { return mgmt.Path("queues", a.here()), true }
func exchanges(a *app) (string, bool) { return mgmt.Path("exchanges", a.here()), true }
func connections(*app) (string, bool) { return mgmt.Path("connections"), true }
func vhosts(*app) (string, bool)      { return mgmt.Path("vhosts"), false }
func users(*app) (string, bool)       { return mgmt.Path("users"), false }
func policies(a *app) (string, bool)  { return mgmt.Path("policies", a.here()), false }

// names asks the broker. Whatever goes wrong, there are no names: a shell has no place
// for errors.
func (a *app) names(cmd *cobra.Command, from source, typed string) []string {
	if a.open(cmd) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	path, paged := from(a)
	var objects []mgmt.Object
	var err error
	if paged {
		var page mgmt.Object
		page, err = a.client.One(ctx, path, url.Values{"page": {"1"}, "page_size": {strconv.Itoa(maxCompletions)}, "columns": {"name"},
			"name": {"^" + regexp.QuoteMeta(typed)}, "use_regex": {"true"}})
		objects = page.Objects("items")
	} else {
		objects, err = a.client.List(ctx, path, nil)
	}
	if err != nil {
		return nil
	}
	var out []string
	for _, o := range objects {
		name := o.Text("name")
		if strings.HasPrefix(name, typed) && name != "" && harmless(name) && len(out) < maxCompletions {
			out = append(out, name)
		}
	}
	return out
}

// harmless tells whether a name may be put into a command line by a shell, which writes
// what several names begin with as it is. Whoever may declare a queue chooses its name.
func harmless(name string) bool {
	return terminal.Printable(name) == name && !strings.ContainsAny(name, "$`\\\"';&|<>()")
}

// complete gives a command's arguments their completions: the first argument the first
// source, and so on.
func (a *app) complete(cmd *cobra.Command, from ...source) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(from) || from[len(args)] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.names(cmd, from[len(args)], typed), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// completeFlag gives a flag's value its completions.
func (a *app) completeFlag(cmd *cobra.Command, flag string, from source) {
	must(cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.names(cmd, from, typed), cobra.ShellCompDirectiveNoFileComp
	}))
}

// completeWords gives a flag's value a fixed choice.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what cannot fail unless a flag's name is misspelt.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
