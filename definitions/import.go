package definitions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// Report says what an operator should know of an import.
type Report struct {
	// Warnings say what was passed over, or means nothing here; at most 100, and how many
	// more there were.
	Warnings []string
}

// maxWarnings bounds a report.
const maxWarnings = 100

// importers is how many objects are made at a time: those that wait for the disk
// together wait once.
const importers = 64

// place is a queue or an exchange somewhere.
type place struct {
	vhost, name string
	exchange    bool
}

// exchangeKind is what a binding's arguments are judged by.
type exchangeKind struct {
	kind string
	args amqp.Table
}

// known is what is there before an import, and what the definitions add.
type known struct {
	users     map[string]access.User
	vhosts    map[string]broker.VHost
	places    map[place]bool
	exchanges map[place]exchangeKind
}

// Import makes a broker as the definitions say: see the package's comment. What is
// wrong with them is an error, and nothing was changed then. An error that wraps an
// *amqp.Error of code 541 is the broker's, and some of it may have been made.
func (d *Definitions) Import(b Broker) (Report, error) {
	var r Report
	k, err := d.look(b)
	if err != nil {
		return r, err
	}
	bindings, warnings, err := d.check(k)
	if err != nil {
		return r, err
	}
	for _, p := range d.parameters {
		warnings = append(warnings, fmt.Sprintf("parameter '%s' of '%s' in vhost '%s' is kept, and means nothing here", p.Name, p.Component, p.VHost))
	}
	for _, p := range d.policies {
		if keys := p.policy.Definition.Meaningless(); len(keys) > 0 {
			warnings = append(warnings, fmt.Sprintf("policy '%s' in vhost '%s' is kept; there is one node, so that nothing comes of %s", p.policy.Name, p.vhost, strings.Join(keys, ", ")))
		}
	}
	if more := len(warnings) - maxWarnings; more > 0 {
		warnings = append(warnings[:maxWarnings], fmt.Sprintf("and %d more", more))
	}
	r.Warnings = warnings
	return r, d.make(b, k, bindings)
}

// look finds out what is there.
func (d *Definitions) look(b Broker) (*known, error) {
	k := &known{users: map[string]access.User{}, vhosts: map[string]broker.VHost{}, places: map[place]bool{}, exchanges: map[place]exchangeKind{}}
	for _, u := range b.Users() {
		k.users[u.Name] = u
	}
	for _, v := range b.VHosts() {
		k.vhosts[v.Name] = v
	}
	if _, ok := k.vhosts[d.vhost]; !ok && d.vhost != "" {
		return nil, broker.ErrNoVHost
	}
	if len(d.bindings) == 0 {
		return k, nil
	}
	in := map[string]bool{}
	for _, each := range d.bindings {
		in[each.VHost] = true
	}
	for name := range in {
		queues, _ := b.Queues(name) // none where it is to be made
		for _, q := range queues {
			k.places[place{name, q.Name, false}] = true
		}
		exchanges, _ := b.Exchanges(name)
		for _, x := range exchanges {
			k.exchanges[place{name, x.Name, true}] = exchangeKind{x.Type, x.Args}
		}
		if len(exchanges) > 0 {
			continue
		}
		for _, x := range broker.Predeclared() {
			k.exchanges[place{name, x.Name, true}] = exchangeKind{x.Type, x.Args}
		}
	}
	return k, nil
}

// MissingError says that definitions name a user or a vhost that is neither there nor
// in them.
type MissingError struct{ What, Name string }

func (e *MissingError) Error() string { return fmt.Sprintf("no such %s: '%s'", e.What, e.Name) }

// check refuses what refers to what is not there, and returns the bindings that can be.
func (d *Definitions) check(k *known) (bindings []broker.BindingListing, warnings []string, err error) {
	vhosts, users := map[string]bool{}, map[string]bool{}
	for name := range k.vhosts {
		vhosts[name] = true
	}
	for _, v := range d.vhosts {
		vhosts[v.Name] = true
	}
	for name := range k.users {
		users[name] = true
	}
	for _, u := range d.users {
		users[u.Name] = true
	}
	wantVHost := func(name string) {
		if !vhosts[name] && err == nil {
			err = &MissingError{"vhost", name}
		}
	}
	wantUser := func(name string) {
		if !users[name] && err == nil {
			err = &MissingError{"user", name}
		}
	}
	for _, p := range d.permissions {
		wantUser(p.User)
		wantVHost(p.VHost)
	}
	for _, p := range d.topics {
		wantUser(p.User)
		wantVHost(p.VHost)
	}
	for _, p := range d.parameters {
		wantVHost(p.VHost)
	}
	for _, l := range d.limits {
		wantVHost(l.vhost)
	}
	for _, p := range d.policies {
		wantVHost(p.vhost)
	}
	for _, x := range d.exchanges {
		wantVHost(x.vhost)
		at := place{x.vhost, x.spec.Name, true}
		if _, there := k.exchanges[at]; !there && !predeclared(x.spec.Name) {
			k.exchanges[at] = exchangeKind{x.spec.Type, x.spec.Args}
		}
	}
	for _, q := range d.queues {
		wantVHost(q.vhost)
		k.places[place{q.vhost, q.spec.Name, false}] = true
	}
	if err != nil {
		return nil, nil, err
	}
	for _, each := range d.bindings {
		if wantVHost(each.VHost); err != nil {
			return nil, nil, err
		}
		x, ok := k.exchanges[place{each.VHost, each.Source, true}]
		there := k.places[place{each.VHost, each.Destination, false}]
		if each.ToExchange {
			_, there = k.exchanges[place{each.VHost, each.Destination, true}]
		}
		if !ok || !there {
			warnings = append(warnings, fmt.Sprintf("a binding from '%s' to '%s' in vhost '%s' is left out: one of them is not there", each.Source, each.Destination, each.VHost))
			continue
		}
		if err := broker.CheckBinding(x.kind, x.args, each.Key, each.Args); err != nil {
			return nil, nil, fmt.Errorf("binding from '%s' to '%s' in vhost '%s': %w", each.Source, each.Destination, each.VHost, err)
		}
		bindings = append(bindings, each)
	}
	return bindings, warnings, nil
}

// make makes what is not as it is to be.
func (d *Definitions) make(b Broker, k *known, bindings []broker.BindingListing) error {
	sessions := map[string]*broker.Session{}
	for _, step := range []func() error{
		func() error { return each(d.vhosts, func(v vhost) error { return makeVHost(b, k, v) }) },
		func() error { return each(d.users, func(u user) error { return makeUser(b, k, u) }) },
		func() error { return d.makePermissions(b) },
		func() error { return d.makeParameters(b) },
		func() error { return d.makePolicies(b) },
		func() (err error) { sessions, err = d.sessions(b); return err },
		func() error {
			return each(d.exchanges, func(x exchangeIn) error { return makeExchange(sessions[x.vhost], x) })
		},
		func() error {
			return each(d.queues, func(q queueIn) error { _, err := sessions[q.vhost].DeclareQueue(q.spec); return err })
		},
		func() error {
			return each(bindings, func(l broker.BindingListing) error { return makeBinding(sessions[l.VHost], l) })
		},
		func() (err error) {
			for _, s := range sessions {
				err = cmp.Or(err, s.Await())
			}
			return err
		},
		func() error { return d.makeLimits(b, k) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with each of a list, some at a time, until one fails.
func each[T any](list []T, fn func(T) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var workers sync.WaitGroup
	work := make(chan T)
	for range min(importers, len(list)) {
		workers.Go(func() {
			for t := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := fn(t); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, t := range list {
		work <- t
	}
	close(work)
	workers.Wait()
	if err := context.Cause(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

func makeVHost(b Broker, k *known, v vhost) error {
	is, there := k.vhosts[v.Name]
	is.Name = v.Name
	to := is
	if v.described {
		to.Description, to.Tags = v.Description, v.Tags
	}
	if v.typed {
		to.QueueType = v.QueueType
	}
	if there && to.Description == is.Description && slices.Equal(to.Tags, is.Tags) && to.QueueType == is.QueueType {
		return nil
	}
	_, err := b.PutVHost(to)
	return err
}

func makeUser(b Broker, k *known, u user) error {
	is, there := k.users[u.Name]
	same := there && slices.Equal(is.Tags, u.Tags)
	if u.password != "" {
		if same && is.Hash.Verify(u.password) {
			return nil
		}
		u.Hash = access.HashPassword(u.password)
	} else if same && is.Hash == u.Hash {
		return nil
	}
	_, err := b.PutUser(u.User)
	return err
}

func (d *Definitions) makePermissions(b Broker) error {
	is := map[access.Permissions]bool{}
	for _, p := range b.Permissions() {
		is[p] = true
	}
	topics := map[access.TopicPermissions]bool{}
	for _, p := range b.TopicPermissions() {
		topics[p] = true
	}
	return cmp.Or(
		each(d.permissions, func(p access.Permissions) error {
			if is[p] {
				return nil
			}
			_, err := b.SetPermissions(p)
			return err
		}),
		each(d.topics, func(p access.TopicPermissions) error {
			if topics[p] {
				return nil
			}
			_, err := b.SetTopicPermissions(p)
			return err
		}),
	)
}

func (d *Definitions) makeParameters(b Broker) error {
	is := map[[3]string]string{}
	for _, p := range b.Parameters() {
		is[[3]string{p.VHost, p.Component, p.Name}] = string(p.Value)
	}
	globals := map[string]string{}
	for _, p := range b.GlobalParameters() {
		globals[p.Name] = string(p.Value)
	}
	return cmp.Or(
		each(d.parameters, func(p broker.Parameter) error {
			if is[[3]string{p.VHost, p.Component, p.Name}] == string(p.Value) {
				return nil
			}
			_, err := b.SetParameter(p)
			return err
		}),
		each(d.globals, func(p broker.GlobalParameter) error {
			if globals[p.Name] == string(p.Value) {
				return nil
			}
			_, err := b.SetGlobalParameter(p)
			return err
		}),
	)
}

// makePolicies sets policies one after the other: of two of one name the last holds.
func (d *Definitions) makePolicies(b Broker) error {
	for _, p := range d.policies {
		there, err := b.Policies(p.vhost, p.role)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(there, func(is *policy.Policy) bool { return policy.Equal(is, p.policy) }) {
			continue
		}
		if _, err := b.SetPolicy(p.vhost, p.role, p.policy); err != nil {
			return err
		}
	}
	return nil
}

// sessions are those that make what is in vhosts.
func (d *Definitions) sessions(b Broker) (map[string]*broker.Session, error) {
	in := map[string]*broker.Session{}
	want := func(name string) error {
		if in[name] != nil {
			return nil
		}
		s, err := b.Restore(name)
		if err != nil {
			return err
		}
		s.Ahead()
		in[name] = s
		return nil
	}
	var err error
	for _, x := range d.exchanges {
		err = cmp.Or(err, want(x.vhost))
	}
	for _, q := range d.queues {
		err = cmp.Or(err, want(q.vhost))
	}
	for _, each := range d.bindings {
		err = cmp.Or(err, want(each.VHost))
	}
	return in, err
}

// predeclared tells whether an exchange has a name as those that vhosts have from the
// beginning. No client can make one of such a name.
func predeclared(name string) bool { return strings.HasPrefix(name, "amq.") }

func makeExchange(s *broker.Session, x exchangeIn) error {
	if predeclared(x.spec.Name) {
		return nil
	}
	return s.DeclareExchange(x.spec)
}

// makeBinding binds. An end that went meanwhile is no error, as one that was not there.
func makeBinding(s *broker.Session, l broker.BindingListing) error {
	bind := s.BindQueue
	if l.ToExchange {
		bind = s.BindExchange
	}
	err := bind(l.Destination, l.Source, l.Key, l.Args)
	var bad *amqp.Error
	if errors.As(err, &bad) && bad.Code == amqp.CodeNotFound {
		return nil
	}
	return err
}

// makeLimits sets the limits that are said and takes the others of the same vhost or
// user away.
func (d *Definitions) makeLimits(b Broker, k *known) error {
	for _, l := range d.limits {
		is := k.vhosts[l.vhost].Limits
		err := changeLimits(is, l.values, func(name string, n int) error { return b.SetVHostLimit(l.vhost, name, n) },
			func(name string) error { return b.ClearVHostLimit(l.vhost, name) })
		if err != nil {
			return err
		}
	}
	for _, u := range d.users {
		if !u.limited {
			continue
		}
		err := changeLimits(k.users[u.Name].Limits, u.Limits, func(name string, n int) error { return b.SetUserLimit(u.Name, name, n) },
			func(name string) error { return b.ClearUserLimit(u.Name, name) })
		if err != nil {
			return err
		}
	}
	return nil
}

func changeLimits(is, to access.Limits, set func(name string, n int) error, clear func(name string) error) error {
	for name, n := range to {
		if now, ok := is[name]; ok && now == n {
			continue
		}
		if err := set(name, n); err != nil {
			return err
		}
	}
	for name := range is {
		if _, ok := to[name]; ok {
			continue
		}
		if err := clear(name); err != nil {
			return err
		}
	}
	return nil
}
