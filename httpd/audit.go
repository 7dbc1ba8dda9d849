package httpd

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/leveret-mq/leveret/audit"
)

// What requests change stands in the audit log, and who reads it. Users, vhosts,
// permissions, limits and policies are told by the broker on behalf of the user
// (call.b is a *broker.Acting); all other changes by their paths, here.

var auditPaths = map[string]resource{
	"/api/audit": {get: action{administrator, getAudit}},
}

// Numbers of entries on a page.
const (
	auditCount    = 100
	maxAuditCount = 1000
)

// getAudit shows a page of the audit log, newest first.
func getAudit(c *call) error {
	q := c.r.URL.Query()
	before, err := number(q, "before", 0, 1<<63-1)
	if err != nil {
		return err
	}
	count, err := number(q, "count", auditCount, maxAuditCount)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, c.b.AuditLog().Page(before, int(max(count, 1)), q.Get("type")))
}

// number reads a parameter that is a whole number from 0 to most.
func number(q url.Values, name string, usual, most uint64) (uint64, error) {
	text := q.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, badRequest("%s should be a number from 0 to %d, actually was '%s'", name, most, text)
	}
	return n, nil
}

// told are the first segments of paths whose changes the broker tells of.
var told = map[string]bool{
	"users": true, "user-limits": true, "vhosts": true, "vhost-limits": true, "permissions": true, "topic-permissions": true,
	"policies": true, "operator-policies": true,
}

// unchanged are the last segments of paths whose POST changes nothing that an operator
// would look for: messages come and go.
var unchanged = map[string]bool{"publish": true, "get": true, "actions": true, "bulk-get": true}

// kinds are objects' kinds by the first segments of their paths. Others are called as
// their path is.
var kinds = map[string]string{
	"queues": "queue", "exchanges": "exchange", "bindings": "binding", "connections": "connection",
	"parameters": "parameter", "global-parameters": "global_parameter",
}

// changed is the event that a request which succeeded makes, if the broker tells of
// none. code is that of the answer.
func (c *call) changed(code int) (e audit.Event, ok bool) {
	rest, api := strings.CutPrefix(c.r.URL.EscapedPath(), "/api/")
	if !api || c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return e, false
	}
	path := strings.Split(strings.Trim(rest, "/"), "/")
	first, last := path[0], path[len(path)-1]
	if told[first] || c.r.Method == http.MethodPost && unchanged[last] {
		return e, false
	}
	kind, known := kinds[first]
	if !known {
		kind = strings.ReplaceAll(first, "-", "_")
	}
	verb := "changed"
	switch {
	case c.r.Method == http.MethodDelete && first == "connections":
		verb = "closed"
	case c.r.Method == http.MethodDelete && first == "queues" && last == "contents":
		verb = "purged"
	case c.r.Method == http.MethodDelete:
		verb = "deleted"
	case first == "definitions":
		verb = "imported"
	case code == http.StatusCreated:
		verb = "created"
	}
	o := audit.Object{Type: kind, VHost: c.r.PathValue("vhost")}
	detail := map[string]any{}
	switch {
	case kind == "binding":
		o.Name = c.r.PathValue("name")
		detail["source"], detail["destination"] = c.r.PathValue("source"), c.r.PathValue("queue")+c.r.PathValue("exchange")
	case kind == "connection" && c.r.PathValue("user") != "":
		detail["of_user"] = c.r.PathValue("user")
	default:
		for _, value := range []string{"queue", "exchange", "name"} {
			if o.Name = c.r.PathValue(value); o.Name != "" {
				break
			}
		}
	}
	if component := c.r.PathValue("component"); component != "" {
		detail["component"] = component
	}
	if reason := c.r.Header.Get("X-Reason"); reason != "" {
		detail["reason"] = reason
	}
	return c.actor().Event(kind+"."+verb, o, detail), true
}

// actor is who asks.
func (c *call) actor() audit.Actor {
	return audit.Actor{User: c.user.Name, From: c.r.RemoteAddr, Interface: "http"}
}

// audit tells the audit log how a request ended: what it changed, and, of those that
// wanted a change, which were not the user's to ask for.
func (c *call) audit(err error) {
	if c.user.Name == "" || c.b == nil { // nobody: logins tell of themselves
		return
	}
	if err == nil {
		if e, ok := c.changed(c.code); ok {
			c.b.AuditLog().Append(e)
		}
		return
	}
	if f := c.failure(err); f.name == "not_authorised" && c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		c.b.AuditLog().Append(c.actor().Event("access.refused", audit.Object{Type: "path", Name: c.r.URL.EscapedPath(), VHost: c.r.PathValue("vhost")},
			map[string]any{"method": c.r.Method, "cause": f.cause}))
	}
}
