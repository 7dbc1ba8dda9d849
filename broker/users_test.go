package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// told is a peer that keeps what it is closed with.
type told struct {
	mu  sync.Mutex
	why []string
}

func (p *told) Name() string { return "told" }

func (p *told) Close(err *amqp.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = append(p.why, err.Error())
}

// connect is a session whose end is noted.
func (w *bench) connect(user, vhost string) (*Session, *told) {
	w.t.Helper()
	p := new(told)
	s, err := w.b.NewSession(vhost, &User{Name: user}, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return s, p
}

// setPassword gives a user a password that costs little to check.
func (w *bench) setPassword(user, password string, tags ...string) {
	w.t.Helper()
	if _, err := w.b.PutUser(access.User{Name: user, Hash: access.HashKnown(password), Tags: tags}); err != nil {
		w.t.Fatal(err)
	}
}

const errPlain = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."

func TestUsersLogInByTheirPasswords(t *testing.T) {
	w := newBench(t)
	c := w.client()
	w.setPassword("u", "secret", "monitoring", "odd")
	u, err := w.b.Authenticate("u", "secret", false)
	c.ok(err)
	if u.Name != "u" || !slices.Equal(u.Tags, []string{"monitoring", "odd"}) {
		t.Error(u)
	}
	w.setPassword("u", "changed")
	for _, bad := range []string{"secret", "", "changed\x00", "Changed"} {
		_, err := w.b.Authenticate("u", bad, true)
		c.refused(err, errPlain)
	}
	_, err = w.b.Authenticate("u", "changed", true)
	c.ok(err)
	if _, err := w.b.PutUser(access.User{Name: "u"}); err != nil { // no password at all
		t.Fatal(err)
	}
	for _, any := range []string{"", "changed"} {
		_, err = w.b.Authenticate("u", any, true)
		c.refused(err, errPlain)
	}
	u, err = w.b.LookUpUser("u", false) // by a certificate
	c.ok(err)
	if u.Name != "u" {
		t.Error(u)
	}
	_, err = w.b.LookUpUser("nobody", true)
	c.refused(err, errPlain)
}

func TestSomeUsersComeFromThisMachineOnly(t *testing.T) {
	w := newBench(t)
	c := w.client()
	_, err := w.b.LookUpUser("guest", false)
	c.refused(err, errPlain)
	w.close()
	w.opts.LoopbackUsers = []string{"a", "u"}
	w.open()
	w.setPassword("u", "u")
	_, err = w.b.Authenticate("guest", "guest", false)
	c.ok(err)
	_, err = w.b.Authenticate("u", "u", false)
	c.refused(err, errPlain)
	_, err = w.b.Authenticate("u", "u", true)
	c.ok(err)
}

func TestUsersOutliveTheProcess(t *testing.T) {
	w := newBench(t)
	w.setPassword("u", "secret", "a", "b")
	c := w.client()
	c.ok(w.b.SetUserLimit("u", access.MaxChannels, 3))
	c.ok(w.b.SetUserLimit("u", access.MaxConnections, 5))
	c.ok(w.b.ClearUserLimit("u", access.MaxConnections))
	w.permit("u", "/", "c", "w", "r")
	w.topics("amq.topic", "tw", "tr")
	state := func() string { return fmt.Sprint(w.b.Users(), w.b.Permissions(), w.b.TopicPermissions()) }
	before := state()
	w.restart()
	if after := state(); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	_, err := w.b.Authenticate("u", "secret", true)
	c.ok(err)
	_, err = w.login("u", "/").s.DeclareQueue(QueueSpec{Name: "q"})
	c.refused(err, configure(q, "q").refusal())
	c.ok(w.b.DeleteUser("u"))
	w.restart()
	if got := state(); strings.Contains(got, "u ") || len(w.b.Users()) != 1 || len(w.b.Permissions()) != 1 {
		t.Error(got)
	}
	if err := w.b.DeleteUser("u"); err != ErrNoUser {
		t.Error(err)
	}
}

func TestTheFirstUserIsMadeOnce(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.ok(w.b.DeleteUser("guest"))
	w.opts.DefaultUser, w.opts.DefaultPassword = "late", "x"
	w.restart()
	if got := w.b.Users(); len(got) != 0 {
		t.Errorf("%v came back", got)
	}
}

func TestTheFirstUserIsTheOneAskedFor(t *testing.T) {
	o := newBench(t).opts
	o.DefaultUser, o.DefaultPassword, o.DefaultVHost = "root", "s3cret", "shop"
	b, err := Open("other", o) // beside the first one's folder
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Authenticate("guest", "guest", true); err == nil {
		t.Error("guest is there too")
	}
	u, err := b.Authenticate("root", "s3cret", false)
	if err != nil || !slices.Contains(u.Tags, access.Administrator) {
		t.Fatal(u, err)
	}
	s, err := b.NewSession("shop", u, fakePeer("x"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if all := b.VHosts(); len(all) != 1 {
		t.Errorf("vhosts %v", all)
	}
}

func TestADeletedUserLosesItsConnectionsAndRights(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	w.topics("amq.topic", ".*", ".*")
	s, peer := w.connect("u", "/")
	_, other := w.connect("guest", "/")
	w.client().ok(w.b.DeleteUser("u"))
	if !slices.Equal(peer.why, []string{"CONNECTION_FORCED - user 'u' is deleted"}) || len(other.why) != 0 {
		t.Errorf("closed with %q, others with %q", peer.why, other.why)
	}
	_, err := s.DeclareQueue(QueueSpec{Name: "q"})
	w.client().refused(err, configure(q, "q").refusal())
	if len(w.b.Permissions()) != 1 || len(w.b.TopicPermissions()) != 0 {
		t.Error("permissions are left")
	}
	// One made anew is another: who logged in as the old one does not act for it.
	old := &User{Name: "u", account: s.account}
	w.user("u", "/")
	_, err = w.b.NewSession("/", old, fakePeer("x"))
	w.client().refused(err, "NOT_ALLOWED - access to vhost '/' refused for user 'u'")
	s.Close()
	w.login("u", "/")
}

func TestTagsActAtOnce(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	c := w.login("u", "/")
	c.queue("q")
	_, err := c.tryPublish(props(text(amqp.PropUserID, "foo")), "", "q")
	c.refused(err, "PRECONDITION_FAILED - user_id property set to 'foo' but authenticated user was 'u'")
	w.user("u", "/", access.Impersonator)
	_, err = c.tryPublish(props(text(amqp.PropUserID, "foo")), "", "q")
	c.ok(err)
	c.flush()
}

func TestUsersHaveLimits(t *testing.T) {
	w := newBench(t)
	c := w.client()
	w.user("u", "/")
	a, peer := w.connect("u", "/")
	c.ok(w.b.SetUserLimit("u", access.MaxConnections, 1))
	_, err := w.b.NewSession("/", &User{Name: "u"}, peer)
	c.refused(err, "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached")
	a.Close()
	a, _ = w.connect("u", "/")
	c.ok(w.b.SetUserLimit("u", access.MaxConnections, 0))
	if len(peer.why) != 0 {
		t.Error("a limit threw somebody out")
	}
	c.ok(w.b.SetUserLimit("u", access.MaxConnections, -1))
	b, _ := w.connect("u", "/")

	// Channels are counted over all connections of the user.
	c.ok(w.b.SetUserLimit("u", access.MaxChannels, 2))
	c.ok(a.OpenChannel())
	c.ok(b.OpenChannel())
	const full = "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (2)"
	for range 2 {
		c.refused(a.OpenChannel(), full)
	}
	b.CloseChannel()
	c.ok(a.OpenChannel())
	c.refused(b.OpenChannel(), full)
	a.Close()
	for range 2 {
		c.ok(b.OpenChannel())
	}
	c.refused(b.OpenChannel(), full)
	c.ok(w.b.ClearUserLimit("u", access.MaxChannels))
	c.ok(b.OpenChannel())
	if err := w.b.SetUserLimit("u", access.MaxQueues, 1); err == nil {
		t.Error("users have no limit of queues")
	}
	if err := w.b.SetUserLimit("nobody", access.MaxChannels, 1); err != ErrNoUser {
		t.Error(err)
	}
}

func TestNamesThatCannotBeCarriedAreRefused(t *testing.T) {
	w := newBench(t)
	for _, name := range []string{"", strings.Repeat("x", 256), "\xff"} {
		if _, err := w.b.PutUser(access.User{Name: name}); err == nil {
			t.Errorf("a user %q", name)
		}
		if err := w.b.AddVHost(name); err == nil {
			t.Errorf("a vhost %q", name)
		}
	}
}
