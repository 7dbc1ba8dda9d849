package ctl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/leveret-mq/leveret/internal/mgmt"
)

// Exit codes.
const (
	codeFailure     = 1
	codeUsage       = 2
	codeNotFound    = 3
	codeRefused     = 4
	codeUnavailable = 5
)

// fault is an error with an exit code.
type fault struct {
	code int
	text string
}

func (f *fault) Error() string { return f.text }

// ExitCode is for whoever ends the process.
func (f *fault) ExitCode() int { return f.code }

func failed(format string, args ...any) error {
	return &fault{codeFailure, fmt.Sprintf(format, args...)}
}

func usage(format string, args ...any) error {
	return &fault{codeUsage, fmt.Sprintf(format, args...)}
}

// loginFailed is the broker's reason where name and password are not a user's; any other
// is about what the user may do.
const loginFailed = "Login failed"

// explain makes an error of the API one line with an exit code that says what to do.
// what names what was asked for, as in: queue "q" in vhost "/".
func (a *app) explain(err error, what string) error {
	var answer *mgmt.Error
	var away *mgmt.Unreachable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &away):
		if errors.Is(err, context.DeadlineExceeded) {
			return &fault{codeUnavailable, err.Error() + ": leveret health tells whether the broker is well; --timeout waits longer"}
		}
		return &fault{codeUnavailable, err.Error() + ": is the broker running, and is --url (LEVERET_URL) its management API?"}
	case !errors.As(err, &answer):
		return err
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		if answer.Reason == "" || answer.Reason == loginFailed {
			return &fault{codeRefused, fmt.Sprintf("user %q is refused by %s: wrong name or password, or guest from another machine; give --user and LEVERET_PASSWORD", a.client.User(), a.client.Address())}
		}
		return &fault{codeRefused, fmt.Sprintf("user %q may not do this: %s: see leveret user tags", a.client.User(), answer.Reason)}
	case http.StatusForbidden:
		return &fault{codeRefused, fmt.Sprintf("user %q may not do this: %s", a.client.User(), answer.Error())}
	case http.StatusNotFound:
		if answer.Name == "" { // the API's has always a name
			return &fault{codeUnavailable, fmt.Sprintf("%s answers, but has no management API there: give its URL with --url or LEVERET_URL; the port is 15672 unless the broker was told otherwise", a.client.Address())}
		}
		if what != "" {
			return &fault{codeNotFound, what + " does not exist"}
		}
		return &fault{codeNotFound, "not found: " + answer.Error()}
	case http.StatusServiceUnavailable:
		return &fault{codeUnavailable, answer.Error()}
	}
	if answer.Reason == "vhost_not_found" {
		return &fault{codeNotFound, fmt.Sprintf("vhost %q does not exist", a.here())}
	}
	if what != "" {
		return failed("%s: %s", what, oneLine(answer.Error()))
	}
	return failed("%s", oneLine(answer.Error()))
}

// oneLine joins the lines of a broker's text.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' }), ": ")
}

// named is what messages call an object of a vhost.
func named(kind, name, vhost string) string {
	return fmt.Sprintf("%s %q in vhost %q", kind, name, vhost)
}
