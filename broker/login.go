package broker

import (
	"slices"
	"sync/atomic"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// User is who a connection acts for, as it was when it came in.
type User struct {
	Name string
	Tags []string

	account *account
}

// Is tells whether v is the same user, and not another of that name that was made after
// this one was deleted.
func (u *User) Is(v *User) bool { return u.account == v.account }

// account is a user in memory. It stands in Broker.accounts until the user is
// deleted; a user made anew has another.
type account struct {
	record   atomic.Pointer[access.User] // replaced as a whole
	login    access.Login
	channels atomic.Int64          // open, over all connections
	sessions map[*Session]struct{} // guarded by Broker.mu
}

func newAccount(u *access.User) *account {
	a := &account{sessions: map[*Session]struct{}{}}
	a.record.Store(u)
	return a
}

func (a *account) user() *User {
	u := a.record.Load()
	return &User{Name: u.Name, Tags: slices.Clone(u.Tags), account: a}
}

// account returns the account of that name, or nil.
func (b *Broker) account(name string) *account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accounts[name]
}

// Authenticate checks a password. loopback says that the connection comes from
// this machine, which some users must. A refusal is an *amqp.Error 403; its text
// names the mechanism PLAIN, as RabbitMQ's does. To log it is the front end's, which
// knows from where it was tried. It takes tens of milliseconds where the password
// was not right a moment ago.
func (b *Broker) Authenticate(user, password string, loopback bool) (*User, error) {
	a := b.account(user)
	var login *access.Login
	var hash access.Hash
	if a != nil {
		login, hash = &a.login, a.record.Load().Hash
	}
	if !b.verifier.Check(login, hash, password) || !b.MayComeFrom(user, loopback) {
		return nil, errLogin()
	}
	return a.user(), nil
}

// PasswordChecks counts the logins that cost an argon2, or another hash: those whose
// password was not remembered.
func (b *Broker) PasswordChecks() uint64 { return b.verifier.Checks() }

// LookUpUser is Authenticate for who has proved its name by other means, such as a
// certificate.
func (b *Broker) LookUpUser(name string, loopback bool) (*User, error) {
	a := b.account(name)
	if a == nil || !b.MayComeFrom(name, loopback) {
		return nil, errLogin()
	}
	return a.user(), nil
}

// MayComeFrom tells whether a user may come from where it comes from: some may only
// from this machine, be the password right or not.
func (b *Broker) MayComeFrom(user string, loopback bool) bool {
	return loopback || !slices.Contains(b.limits.Load().LoopbackUsers, user)
}

func errLogin() *amqp.Error {
	return amqp.AccessRefused("Login was refused using authentication mechanism PLAIN. For details see the broker logfile.")
}

// admit checks that a session may begin in v: limits before permissions, as in
// RabbitMQ. b.mu is held.
func (b *Broker) admit(v *vhost, u *User) (*account, *amqp.Error) {
	a := b.accounts[u.Name]
	if limit := v.limits().Get(access.MaxConnections); limit >= 0 && len(v.sessions) >= limit {
		return nil, amqp.NotAllowed("access to vhost '%s' refused for user '%s': connection limit (%d) is reached", v.name, u.Name, limit)
	}
	if a == nil || u.account != nil && u.account != a || v.grants[u.Name].rights() == nil {
		return nil, amqp.NotAllowed("access to vhost '%s' refused for user '%s'", v.name, u.Name)
	}
	if limit := a.record.Load().Limits.Get(access.MaxConnections); limit >= 0 && len(a.sessions) >= limit {
		return nil, amqp.NotAllowed("connection refused for user '%s': user connection limit (%d) is reached", u.Name, limit)
	}
	return a, nil
}

// OpenChannel counts a channel of the session's user. One over the user's limit
// is 530.
func (s *Session) OpenChannel() error {
	u := s.account.record.Load()
	n := s.account.channels.Add(1)
	if limit := u.Limits.Get(access.MaxChannels); limit >= 0 && n > int64(limit) {
		s.account.channels.Add(-1)
		return amqp.NotAllowed("number of channels opened for user '%s' has reached the maximum allowed user limit of (%d)", u.Name, limit)
	}
	s.channels++
	s.b.churn.channelCreated.Add(1)
	return nil
}

// CloseChannel is the end of a channel that OpenChannel counted. Close ends those
// that are left.
func (s *Session) CloseChannel() {
	s.channels--
	s.b.churn.channelClosed.Add(1)
	s.account.channels.Add(-1)
}

// impersonator tells whether the session's user may set other names than its own
// in the property user-id.
func (s *Session) impersonator() bool { return s.account.record.Load().HasTag(access.Impersonator) }
