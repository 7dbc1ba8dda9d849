package ctl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// Group is the cobra group that the commands are in.
const Group = "operate"

// Where the broker is, and who asks, unless somebody says otherwise.
const (
	defaultURL   = "http://127.0.0.1:15672"
	defaultUser  = "guest"
	defaultVHost = "/"
)

// app is what one command line knows.
type app struct {
	url, user, password, vhost string
	json, noColour             bool
	timeout                    time.Duration

	cmd    *cobra.Command
	in     io.Reader
	out    io.Writer
	errs   io.Writer
	paint  terminal.Paint
	client *mgmt.Client
}

// Commands are the commands, for a root that keeps no flags of theirs.
func Commands() []*cobra.Command {
	a := &app{}
	list := []*cobra.Command{
		a.newStatus(), a.newHealth(), a.newTop(),
		a.newQueue(), a.newExchange(), a.newBinding(), a.newConnection(), a.newChannel(), a.newConsumer(),
		a.newPublish(), a.newConsume(),
		a.newUser(), a.newVHost(), a.newPermission(), a.newPolicy(), a.newLimit(),
		a.newDefinitions(), a.newAudit(),
	}
	for _, cmd := range list {
		cmd.GroupID = Group
		a.bind(cmd.PersistentFlags())
		a.completeFlag(cmd, "vhost", vhosts)
		a.prepare(cmd)
	}
	return list
}

// bind declares the flags of all commands.
func (a *app) bind(fs *pflag.FlagSet) {
	fs.StringVar(&a.url, "url", "", "`URL` of the management API (LEVERET_URL; "+defaultURL+")")
	fs.StringVar(&a.user, "user", "", "`name` to log in with (LEVERET_USER; "+defaultUser+")")
	fs.StringVar(&a.password, "password", "", "that user's `password`, better given as LEVERET_PASSWORD, which others do not see; asked for on a terminal")
	fs.StringVarP(&a.vhost, "vhost", "p", "", "`vhost` (LEVERET_VHOST); lists show all without it, other commands take /")
	fs.BoolVar(&a.json, "json", false, "print JSON")
	fs.BoolVar(&a.noColour, "no-color", false, "no colours, as with NO_COLOR")
	fs.DurationVar(&a.timeout, "timeout", time.Minute, "how long an answer may take")
}

// prepare makes every command below cmd open the app before it runs, and errors about
// arguments usage errors.
func (a *app) prepare(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.prepare(sub)
	}
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return usage("%s: usage: %s", counted(cmd, given), cmd.UseLine())
			}
			return nil
		}
	}
	run := cmd.RunE
	if cmd.HasSubCommands() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q: see %s --help", args[0], cmd.CommandPath())
			}
			return nil
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return
	}
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.open(cmd); err != nil {
			return err
		}
		return run(cmd, args)
	}
}

// counted says what is wrong with the number of arguments.
func counted(cmd *cobra.Command, given []string) string {
	few := len(strings.Fields(cmd.Use)) - 1 - strings.Count(cmd.Use, "[")
	switch {
	case len(given) < few && len(given) == 0 && few == 1:
		return "an argument is missing"
	case len(given) < few:
		return fmt.Sprintf("%d of %d arguments are missing", few-len(given), few)
	case few == 1 && (cmd.Name() == "add" || cmd.Name() == "passwd") && cmd.Parent().Name() == "user":
		return "a password does not stand on the command line, where others see it: it is asked for, or a line of standard input"
	}
	return fmt.Sprintf("unexpected argument %q", given[len(given)-1])
}

// open finds out whom to ask.
func (a *app) open(cmd *cobra.Command) error {
	a.cmd, a.in, a.out, a.errs = cmd, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	a.paint = terminal.PaintFor(a.out)
	a.paint.On = a.paint.On && !a.noColour
	a.url = cmp.Or(a.url, os.Getenv("LEVERET_URL"), defaultURL)
	a.vhost = cmp.Or(a.vhost, os.Getenv("LEVERET_VHOST"))
	if a.timeout <= 0 {
		return usage("--timeout %s is no time for an answer", a.timeout)
	}
	user, password := a.user, a.password
	if user == "" {
		user = os.Getenv("LEVERET_USER")
	}
	if password == "" {
		password = os.Getenv("LEVERET_PASSWORD")
	}
	at, err := url.Parse(a.url)
	if err == nil && at.User != nil && user == "" { // credentials in the URL
		user = at.User.Username()
		if p, ok := at.User.Password(); ok && password == "" {
			password = p
		}
	}
	if err == nil {
		at.User = nil
		a.url = at.String()
	}
	user = cmp.Or(user, defaultUser)
	if password == "" && user == defaultUser {
		password = defaultUser
	}
	if password == "" {
		if !terminal.IsTerminal(a.in) || a.completing() {
			return usage("no password for user %q: set LEVERET_PASSWORD", user)
		}
		if password, err = terminal.Password(a.in, a.errs, fmt.Sprintf("Password of %s: ", user), false); err != nil {
			return failed("%v", err)
		}
	}
	a.user, a.password = user, password
	a.client, err = mgmt.New(a.url, mgmt.Options{User: user, Password: password, Timeout: a.timeout})
	if err != nil {
		return usage("--url (LEVERET_URL): %v", err)
	}
	return nil
}

// completing tells whether a shell asks for names.
func (a *app) completing() bool {
	return strings.HasPrefix(a.cmd.Root().CalledAs(), "__complete") || len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "__complete")
}

func (a *app) ctx() context.Context { return a.cmd.Context() }

// here is the vhost of one object.
func (a *app) here() string { return cmp.Or(a.vhost, defaultVHost) }

// say tells what was done, to people.
func (a *app) say(format string, args ...any) {
	if a.json {
		return
	}
	fmt.Fprintf(a.out, format+"\n", args...)
}

// printJSON writes a value, or what the API answered.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// group is a command that only has others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(subs...)
	return cmd
}

// command is one that does something.
func command(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: run}
}

// arguments reads a JSON object and NAME=VALUE pairs, whose values are JSON where they
// can be and text elsewhere.
func arguments(object string, pairs []string) (map[string]any, error) {
	out := map[string]any{}
	if object != "" {
		d := json.NewDecoder(strings.NewReader(object))
		d.UseNumber()
		if err := d.Decode(&out); err != nil || out == nil {
			return nil, usage("%s is no JSON object", object)
		}
	}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usage("%q is not NAME=VALUE", pair)
		}
		out[name] = value(text)
	}
	return out, nil
}

// value is JSON, or the text itself.
func value(text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() {
		return text
	}
	if _, err := d.Token(); err != io.EOF {
		return text
	}
	return v
}
