package broker

import (
	"slices"
	"sync"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker/policy"
)

// Acting is a broker on behalf of somebody: what is changed by its methods stands in
// the audit log under that name, before they return. Those of Broker that it does not
// have itself are as ever.
type Acting struct {
	*Broker
	by audit.Actor
}

// ActingFor returns the broker on behalf of somebody.
func (b *Broker) ActingFor(by audit.Actor) *Acting { return &Acting{b, by} }

// SetAudit gives the broker its audit log. It has none before. Whoever gives it closes
// it, after the broker.
func (b *Broker) SetAudit(l *audit.Log) { b.auditLog.Store(l) }

// AuditLog is the broker's audit log, which may be nil and then keeps nothing.
func (b *Broker) AuditLog() *audit.Log { return b.auditLog.Load() }

// record writes what was done, unless it failed.
func (a *Acting) record(err error, event string, o audit.Object, detail map[string]any) error {
	if err == nil {
		a.AuditLog().Append(a.by.Event(event, o, detail))
	}
	return err
}

// made is the name of an event after which something is there, that is new or was
// there before.
func made(kind string, created bool) string {
	if created {
		return kind + ".created"
	}
	return kind + ".changed"
}

func ofUser(name string) audit.Object  { return audit.Object{Type: "user", Name: name} }
func ofVHost(name string) audit.Object { return audit.Object{Type: "vhost", Name: name} }

// list is a list that JSON does not call null.
func list(names []string) []string { return append([]string{}, names...) }

// PutUser is Broker.PutUser.
func (a *Acting) PutUser(u access.User) (created bool, err error) {
	before, _ := a.User(u.Name)
	created, err = a.Broker.PutUser(u)
	detail := map[string]any{"tags": list(u.Tags)}
	if !created {
		if !slices.Equal(before.Tags, u.Tags) {
			detail["tags_before"] = list(before.Tags)
		}
		detail["password_changed"] = before.Hash != u.Hash
	}
	return created, a.record(err, made("user", created), ofUser(u.Name), detail)
}

// DeleteUser is Broker.DeleteUser.
func (a *Acting) DeleteUser(name string) error {
	return a.record(a.Broker.DeleteUser(name), "user.deleted", ofUser(name), nil)
}

// SetUserLimit is Broker.SetUserLimit.
func (a *Acting) SetUserLimit(user, limit string, value int) error {
	return a.record(a.Broker.SetUserLimit(user, limit, value), "user_limit.changed", ofUser(user), map[string]any{"limit": limit, "value": value})
}

// ClearUserLimit is Broker.ClearUserLimit.
func (a *Acting) ClearUserLimit(user, limit string) error {
	return a.record(a.Broker.ClearUserLimit(user, limit), "user_limit.deleted", ofUser(user), map[string]any{"limit": limit})
}

// PutVHost is Broker.PutVHost.
func (a *Acting) PutVHost(d VHost) (created bool, err error) {
	created, err = a.Broker.PutVHost(d)
	return created, a.record(err, made("vhost", created), ofVHost(d.Name), map[string]any{"description": d.Description, "tags": list(d.Tags)})
}

// DeleteVHost is Broker.DeleteVHost.
func (a *Acting) DeleteVHost(name string) error {
	return a.record(a.Broker.DeleteVHost(name), "vhost.deleted", ofVHost(name), nil)
}

// SetVHostLimit is Broker.SetVHostLimit.
func (a *Acting) SetVHostLimit(vhost, limit string, value int) error {
	return a.record(a.Broker.SetVHostLimit(vhost, limit, value), "vhost_limit.changed", ofVHost(vhost), map[string]any{"limit": limit, "value": value})
}

// ClearVHostLimit is Broker.ClearVHostLimit.
func (a *Acting) ClearVHostLimit(vhost, limit string) error {
	return a.record(a.Broker.ClearVHostLimit(vhost, limit), "vhost_limit.deleted", ofVHost(vhost), map[string]any{"limit": limit})
}

// SetPermissions is Broker.SetPermissions.
func (a *Acting) SetPermissions(p access.Permissions) (created bool, err error) {
	created, err = a.Broker.SetPermissions(p)
	return created, a.record(err, made("permission", created), audit.Object{Type: "permission", Name: p.User, VHost: p.VHost},
		map[string]any{"configure": p.Configure, "write": p.Write, "read": p.Read})
}

// ClearPermissions is Broker.ClearPermissions.
func (a *Acting) ClearPermissions(vhost, user string) error {
	return a.record(a.Broker.ClearPermissions(vhost, user), "permission.deleted", audit.Object{Type: "permission", Name: user, VHost: vhost}, nil)
}

// SetTopicPermissions is Broker.SetTopicPermissions.
func (a *Acting) SetTopicPermissions(p access.TopicPermissions) (created bool, err error) {
	created, err = a.Broker.SetTopicPermissions(p)
	return created, a.record(err, made("topic_permission", created), audit.Object{Type: "topic_permission", Name: p.User, VHost: p.VHost},
		map[string]any{"exchange": p.Exchange, "write": p.Write, "read": p.Read})
}

// ClearTopicPermissions is Broker.ClearTopicPermissions.
func (a *Acting) ClearTopicPermissions(vhost, user string, exchanges ...string) error {
	return a.record(a.Broker.ClearTopicPermissions(vhost, user, exchanges...), "topic_permission.deleted",
		audit.Object{Type: "topic_permission", Name: user, VHost: vhost}, map[string]any{"exchanges": list(exchanges)})
}

func policyEvent(role policy.Role) string {
	if role == policy.Operator {
		return "operator_policy"
	}
	return "policy"
}

// SetPolicy is Broker.SetPolicy.
func (a *Acting) SetPolicy(vhost string, role policy.Role, p *policy.Policy) (created bool, err error) {
	created, err = a.Broker.SetPolicy(vhost, role, p)
	kind := policyEvent(role)
	return created, a.record(err, made(kind, created), audit.Object{Type: kind, Name: p.Name, VHost: vhost},
		map[string]any{"pattern": p.Pattern, "apply-to": p.ApplyTo, "priority": p.Priority, "definition": p.Definition})
}

// DeletePolicy is Broker.DeletePolicy.
func (a *Acting) DeletePolicy(vhost string, role policy.Role, name string) error {
	kind := policyEvent(role)
	return a.record(a.Broker.DeletePolicy(vhost, role, name), kind+".deleted", audit.Object{Type: kind, Name: name, VHost: vhost}, nil)
}

// LoginCount is how often users have tried to come in by a protocol.
type LoginCount struct {
	Protocol         string // amqp091, http
	Attempts, Failed uint64
}

// logins are the counts of Logins.
type logins struct {
	mu sync.Mutex
	by [len(protocols)]LoginCount
}

// protocols are the names of those by which users come in, and what an Actor calls
// them.
var protocols = [...]struct{ iface, name string }{{"amqp", "amqp091"}, {"http", "http"}}

// Tried notes that a user has come in, or, where refused says why not, has been kept
// out, which stands in the audit log.
func (b *Broker) Tried(by audit.Actor, refused string) {
	b.logins.mu.Lock()
	for i, p := range protocols {
		if p.iface == by.Interface {
			b.logins.by[i].Attempts++
			if refused != "" {
				b.logins.by[i].Failed++
			}
		}
	}
	b.logins.mu.Unlock()
	if refused != "" {
		b.AuditLog().Append(by.Event("login.refused", ofUser(by.User), map[string]any{"cause": refused}))
	}
}

// Logins counts the logins since Open, by protocol.
func (b *Broker) Logins() []LoginCount {
	b.logins.mu.Lock()
	defer b.logins.mu.Unlock()
	list := slices.Clone(b.logins.by[:])
	for i, p := range protocols {
		list[i].Protocol = p.name
	}
	return list
}
