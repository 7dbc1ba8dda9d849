package rabbitmqctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/internal/mgmt"
	"github.com/leveret-mq/leveret/internal/terminal"
)

// call is one command line that is right, on its way.
type call struct {
	*options
	Streams
	cmd     *command
	version string // Leveret's
	client  *mgmt.Client
	ctx     context.Context
	cancel  context.CancelFunc
}

const defaultTimeout = time.Minute

func newCall(cmd *command, o *options, version string, s Streams) (*call, error) {
	c := &call{options: o, Streams: s, cmd: cmd, version: version}
	address := cmp.Or(os.Getenv("LEVERET_URL"), "http://"+net.JoinHostPort(c.host(), "15672"))
	user, password := os.Getenv("LEVERET_USER"), os.Getenv("LEVERET_PASSWORD")
	if user == "" {
		user, password = "guest", cmp.Or(password, "guest")
	}
	limit := defaultTimeout
	if o.timeout > 0 {
		limit = time.Duration(o.timeout * float64(time.Second))
	}
	if u, err := url.Parse(address); err == nil && u.User != nil { // the environment comes first
		if os.Getenv("LEVERET_USER") != "" {
			u.User = nil
			address = u.String()
		}
	}
	var err error
	c.client, err = mgmt.New(address, mgmt.Options{User: user, Password: password, Timeout: limit})
	if err != nil {
		return nil, fail(exitUsage, "LEVERET_URL: %v", err)
	}
	c.ctx, c.cancel = context.Background(), func() {}
	return c, nil
}

// host is where --node says that the broker is, else this machine.
func (c *call) host() string {
	_, host, ok := strings.Cut(c.values["node"], "@")
	if own, err := os.Hostname(); !ok || host == "" || err == nil && (host == own || strings.HasPrefix(own, host+".") || strings.HasPrefix(host, own+".")) {
		return "127.0.0.1"
	}
	return host
}

// node is what messages call the broker: as the caller does, or as it calls itself.
func (c *call) node() string {
	if name := c.values["node"]; name != "" {
		return name
	}
	o, err := c.client.Overview(c.ctx)
	if name := o.Text("node"); err == nil && name != "" {
		return name
	}
	return "leveret@" + c.host()
}

// vhost is the one that the command is about.
func (c *call) vhost() string { return cmp.Or(c.values["vhost"], "/") }

// banner says what is being done, unless the caller wants results alone.
func (c *call) banner(format string, args ...any) {
	if !c.set["quiet"] && !c.set["silent"] && c.formatter != "json" && c.formatter != "csv" {
		writeLines(c.Out, format+"\n", args...)
	}
}

// say writes a result.
func (c *call) say(format string, args ...any) {
	if !c.set["silent"] {
		writeLines(c.Out, format+"\n", args...)
	}
}

// explain makes an exit of an error of the API.
func (c *call) explain(err error) error {
	var e *mgmt.Error
	var away *mgmt.Unreachable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &away):
		return c.unreachable(away)
	case !errors.As(err, &e):
		return err
	case strings.Contains(e.Error(), "access to vhost"):
		return fail(exitUnavailable, "user '%[1]s' may not enter vhost '%[2]s': rabbitmqctl set_permissions -p '%[2]s' '%[1]s' '.*' '.*' '.*' lets it", c.client.User(), c.vhost())
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return fail(exitUnavailable, "%s does not let user '%s' do this (%s): set LEVERET_USER and LEVERET_PASSWORD to an administrator's", c.client.Address(), c.client.User(), e.Error())
	case e.Status == http.StatusNotFound:
		return fail(exitUnavailable, "not_found")
	}
	return fail(exitUnavailable, "%s", e.Error())
}

func (c *call) unreachable(away *mgmt.Unreachable) error {
	return &exit{exitUnavailable, fmt.Sprintf(`Error: unable to perform an operation on node '%s'. Please see diagnostics information and suggestions below.

%s

Most common reasons for this are:

 * the broker is not running
 * its management API listens elsewhere: set LEVERET_URL, which is http://127.0.0.1:15672 unless --node names another host
 * a firewall is in between`, cmp.Or(c.values["node"], "leveret@"+c.host()), away.Error())}
}

// needVHost fails where the vhost is not there.
func (c *call) needVHost() error { return c.wantVHost(c.vhost()) }

func (c *call) wantVHost(name string) error {
	_, err := c.client.One(c.ctx, mgmt.Path("vhosts", name), nil)
	if mgmt.IsStatus(err, http.StatusNotFound) {
		return &exit{exitData, fmt.Sprintf("Virtual host '%s' does not exist", name)}
	}
	return c.explain(err)
}

// user reads a user, whom unknown describes where there is none.
func (c *call) user(name string, unknown error) (mgmt.User, error) {
	u, err := c.client.UserOf(c.ctx, name)
	if mgmt.IsStatus(err, http.StatusNotFound) {
		return u, unknown
	}
	return u, c.explain(err)
}

// These are RabbitMQ's ways to say that a user is unknown.
func noUser(name string) error     { return fail(exitNoUser, `User "%s" does not exist`, name) }
func noUserBare(name string) error { return fail(exitNoUser, "User %s does not exist", name) }
func noSuchUser(name string) error {
	return fail(exitUnavailable, `{:no_such_user, "%s"}`, name)
}

// password is the argument, or asked for.
func (c *call) password(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	prompt := "Password: "
	if !terminal.IsTerminal(c.In) {
		fmt.Fprintln(c.Out, prompt)
	}
	password, err := terminal.Password(c.In, c.Out, prompt, false)
	if err != nil {
		return "", fail(exitData, "Password is not provided via argument or stdin")
	}
	return password, nil
}
