package broker

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// right is one permission on one object.
type right struct {
	p              access.Permission
	resource, name string
}

func (r right) refusal() string {
	return fmt.Sprintf("ACCESS_REFUSED - access to %s '%s' in vhost '/' refused for user 'u'", r.resource, r.name)
}

func configure(resource, name string) right { return right{access.Configure, resource, name} }
func write(resource, name string) right     { return right{access.Write, resource, name} }
func read(resource, name string) right      { return right{access.Read, resource, name} }

// only permits u exactly these rights, each by the object's whole name.
func (w *bench) only(rights ...right) {
	w.t.Helper()
	var names [3][]string
	for _, r := range rights {
		names[r.p] = append(names[r.p], regexp.QuoteMeta(r.name))
	}
	var patterns [3]string
	for p, list := range names {
		if len(list) > 0 {
			patterns[p] = "^(" + strings.Join(list, "|") + ")$"
		}
	}
	w.permit("u", "/", patterns[access.Configure], patterns[access.Write], patterns[access.Read])
}

const q, x = resourceQueue, resourceExchange

// operations are the methods of a session, with the rights that each needs, in the
// order in which they are asked for.
var operations = []struct {
	name  string
	needs []right
	do    func(c *client) error
}{
	{"declare a queue", []right{configure(q, "new")}, declares(QueueSpec{Name: "new"})},
	{"declare a queue that is there", []right{configure(q, "q")}, declares(QueueSpec{Name: "q"})},
	{"declare a queue with a name to be cleaned", []right{configure(q, "new")}, declares(QueueSpec{Name: "n\r\new"})},
	{"declare a queue with dead letters", []right{configure(q, "new"), read(q, "new"), write(x, "x")},
		declares(QueueSpec{Name: "new", Args: table("x-dead-letter-exchange", "x")})},
	{"declare a queue with dead letters to queues", []right{configure(q, "new"), read(q, "new"), write(x, "amq.default")},
		declares(QueueSpec{Name: "new", Args: table("x-dead-letter-exchange", "")})},
	{"declare a queue with dead letters that is there", []right{configure(q, "dead")},
		declares(QueueSpec{Name: "dead", Args: table("x-dead-letter-exchange", "x")})},
	{"declare a queue passively", nil, declares(QueueSpec{Name: "q", Passive: true})},
	{"ask for reply destinations", nil, declares(QueueSpec{Name: ReplyQueue, Passive: true})},
	{"delete a queue", []right{configure(q, "q")}, func(c *client) error { _, err := c.s.DeleteQueue("q", false, false); return err }},
	{"delete a queue that is not there", []right{configure(q, "nope")}, func(c *client) error { _, err := c.s.DeleteQueue("nope", false, false); return err }},
	{"purge a queue", []right{read(q, "q")}, func(c *client) error { _, err := c.s.PurgeQueue("q"); return err }},
	{"get", []right{read(q, "q")}, func(c *client) error { _, err := c.s.Get("q", true, func(*Delivery, int) {}); return err }},
	{"consume", []right{read(q, "q")}, func(c *client) error { _, err := c.s.Consume("q", ConsumerSpec{}, c); return err }},
	{"consume replies", nil, func(c *client) error { _, err := c.s.Consume(ReplyQueue, ConsumerSpec{NoAck: true}, c); return err }},
	{"bind a queue", []right{write(q, "q"), read(x, "x")}, func(c *client) error { return c.s.BindQueue("q", "x", "k", nil) }},
	{"unbind a queue", []right{write(q, "q"), read(x, "x")}, func(c *client) error { return c.s.UnbindQueue("q", "x", "k", nil) }},
	{"unbind what is not there", []right{write(q, "nope"), read(x, "nowhere")}, func(c *client) error { return c.s.UnbindQueue("nope", "nowhere", "k", nil) }},
	{"bind an exchange", []right{write(x, "d"), read(x, "x")}, func(c *client) error { return c.s.BindExchange("d", "x", "k", nil) }},
	{"unbind an exchange", []right{write(x, "d"), read(x, "x")}, func(c *client) error { return c.s.UnbindExchange("d", "x", "k", nil) }},
	{"declare an exchange", []right{configure(x, "new")}, declaresX(ExchangeSpec{Name: "new", Type: "direct"})},
	{"declare an exchange that is there", []right{configure(x, "x")}, declaresX(ExchangeSpec{Name: "x", Type: "topic"})},
	{"declare an exchange of the server's", []right{configure(x, "amq.direct")}, declaresX(ExchangeSpec{Name: "amq.direct", Type: "direct", Durable: true})},
	{"declare an exchange with an alternate", []right{configure(x, "new"), read(x, "new"), write(x, "d")},
		declaresX(ExchangeSpec{Name: "new", Type: "direct", Args: table("alternate-exchange", "d")})},
	{"declare an exchange passively", nil, declaresX(ExchangeSpec{Name: "x", Passive: true})},
	{"delete an exchange", []right{configure(x, "x")}, func(c *client) error { return c.s.DeleteExchange("x", false) }},
	{"publish", []right{write(x, "x")}, publishes("x", nil)},
	{"publish to a queue by its name", []right{write(x, "amq.default")}, publishes("", nil)},
	{"publish with headers", []right{write(x, "x")}, publishes("x", props(headers("a", 1)))},
	{"publish with a CC", []right{write(x, "x")}, publishes("x", props(headers("CC", amqp.List(amqp.LongString("b")))))},
}

func declares(spec QueueSpec) func(c *client) error {
	return func(c *client) error { _, err := c.s.DeclareQueue(spec); return err }
}

func declaresX(spec ExchangeSpec) func(c *client) error {
	return func(c *client) error { return c.s.DeclareExchange(spec) }
}

func publishes(exchange string, p amqp.Properties) func(c *client) error {
	return func(c *client) error { _, err := c.tryPublish(p, exchange, "q"); c.b.Reset(); return err }
}

// Each operation does what it should with exactly the rights that it needs, and
// without one of them names that one, whatever else is missing behind it.
func TestEachMethodNeedsItsRights(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			try := func(rights ...right) (*client, error) {
				w := newBench(t)
				admin := w.client()
				admin.queue("q")
				admin.queue("dead", args("x-dead-letter-exchange", "x"))
				admin.exchange("x", "topic")
				admin.exchange("d", "direct")
				w.user("u", "/")
				w.only(rights...)
				c := w.login("u", "/")
				return c, op.do(c)
			}
			c, err := try(op.needs...)
			if err != nil {
				c.t.Errorf("with all that it needs: %v", err)
			}
			for i, missing := range op.needs {
				for what, have := range map[string][]right{
					"without it":                append(append([]right{}, op.needs[:i]...), op.needs[i+1:]...),
					"without it and the others": op.needs[:i],
				} {
					_, err := try(have...)
					if err == nil || err.Error() != missing.refusal() {
						t.Errorf("%s %s: %v\nwant %s", missing.p, what, err, missing.refusal())
					}
				}
			}
		})
	}
}

// What a user may not touch is refused in the same words whether it is there or
// not; where it may, the usual answers come.
func TestRefusalsDoNotTellWhatThereIs(t *testing.T) {
	w := newBench(t)
	w.client().queue("there")
	w.user("u", "/")
	w.only()
	u := w.login("u", "/")
	for _, name := range []string{"there", "nope"} {
		_, err := u.s.Get(name, true, nil)
		u.refused(err, read(q, name).refusal())
		_, err = u.tryPublish(nil, name, "k")
		u.refused(err, write(x, name).refusal())
	}
	w.only(read(q, "nope"), write(x, "nope"))
	_, err := u.s.Get("nope", true, nil)
	u.refused(err, "NOT_FOUND - no queue 'nope' in vhost '/'")
	_, err = u.tryPublish(nil, "nope", "k")
	u.refused(err, "NOT_FOUND - no exchange 'nope' in vhost '/'")
}

// What nobody may do is said before what this user may not.
func TestRulesForAllComeInTheirPlace(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	w.only()
	c := w.login("u", "/")
	c.refused(declares(QueueSpec{Name: "amq.q"})(c), "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'")
	c.refused(declaresX(ExchangeSpec{Name: "new", Type: "odd"})(c), "COMMAND_INVALID - unknown exchange type 'odd'")
	c.refused(declaresX(ExchangeSpec{Name: "", Type: "direct"})(c), "ACCESS_REFUSED - operation not permitted on the default exchange")
	c.refused(c.s.DeleteExchange("amq.direct", false), "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed")
	// These come after.
	c.refused(declaresX(ExchangeSpec{Name: "amq.x", Type: "direct"})(c), configure(x, "amq.x").refusal())
	c.refused(c.s.BindQueue("q", "", "k", nil), write(q, "q").refusal())
	c.refused(c.s.BindExchange("", "amq.topic", "k", nil), write(x, "amq.default").refusal())
	w.permit("u", "/", "", ".*", "")
	c.refused(c.s.BindQueue("q", "", "k", nil), "ACCESS_REFUSED - operation not permitted on the default exchange")
	c.refused(c.s.BindExchange("", "amq.topic", "k", nil), "ACCESS_REFUSED - operation not permitted on the default exchange")
}

func TestAServersNameMustBePermittedToo(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	w.permit("u", "/", "^mine", "", "")
	c := w.login("u", "/")
	_, err := c.s.DeclareQueue(QueueSpec{})
	if err == nil || !strings.HasPrefix(err.Error(), "ACCESS_REFUSED - access to queue 'amq.gen-") {
		t.Error(err)
	}
	w.permit("u", "/", "^amq\\.gen-", "", "")
	_, err = c.s.DeclareQueue(QueueSpec{})
	c.ok(err)
}

func TestPermissionsActAtOnce(t *testing.T) {
	w := newBench(t)
	w.client().queue("q")
	w.user("u", "/")
	c := w.login("u", "/")
	mayPublish := func(want bool) {
		t.Helper()
		for _, p := range []amqp.Properties{nil, props(headers("a", 1))} {
			_, err := c.tryPublish(p, "", "q")
			if c.flush(); (err == nil) != want {
				t.Errorf("publishing: %v", err)
			}
		}
	}
	mayPublish(true)
	w.permit("u", "/", "", "^other$", "")
	mayPublish(false)
	c.refused(declares(QueueSpec{Name: "x"})(c), configure(q, "x").refusal())
	w.permit("u", "/", "", "^amq.default$", "")
	mayPublish(true)
	c.ok(w.b.ClearPermissions("/", "u"))
	mayPublish(false)
	if _, err := w.b.NewSession("/", c.s.User(), fakePeer("x")); err == nil || err.Error() != "NOT_ALLOWED - access to vhost '/' refused for user 'u'" {
		t.Error(err)
	}
	if err := w.b.ClearPermissions("/", "u"); err != ErrNoPermissions {
		t.Error(err)
	}
	w.permit("u", "/", ".*", ".*", ".*")
	mayPublish(true)
	// Those of another vhost are others.
	c.ok(w.b.AddVHost("other"))
	w.permit("u", "other", "", "", "")
	mayPublish(true)
}

func (w *bench) topics(exchange, write, read string) {
	w.t.Helper()
	if _, err := w.b.SetTopicPermissions(access.TopicPermissions{User: "u", VHost: "/", Exchange: exchange, Write: write, Read: read}); err != nil {
		w.t.Fatal(err)
	}
}

func errTopic(key string) string {
	return fmt.Sprintf("ACCESS_REFUSED - access to topic '%s' in exchange 'x' in vhost '/' refused for user 'u'", key)
}

func TestRoutingKeysOfTopicExchangesNeedRights(t *testing.T) {
	w := newBench(t)
	admin := w.client()
	for _, kind := range []string{"topic", "direct"} {
		admin.exchange(kind[:1], kind)
	}
	admin.exchange("x", "topic")
	admin.exchange("h", "headers")
	admin.ok(admin.s.BindExchange("h", "x", "#", nil)) // routes through it are not remembered
	admin.queue("q")
	w.user("u", "/")
	w.topics("x", "^{username}\\.", "^r\\.")
	c := w.login("u", "/")
	cc := func(key string) amqp.Properties {
		return props(headers("CC", amqp.List(amqp.LongString(key))))
	}
	for range 2 { // a refusal is not remembered as a permission
		for _, p := range []amqp.Properties{nil, props(headers("a", 1))} {
			_, err := c.tryPublish(p, "x", "u.a")
			c.ok(err)
			_, err = c.tryPublish(p, "x", "v.a")
			c.refused(err, errTopic("v.a"))
		}
		_, err := c.tryPublish(cc("u.b"), "x", "u.a")
		c.ok(err)
		_, err = c.tryPublish(cc("v.b"), "x", "u.a")
		c.refused(err, errTopic("v.b"))
	}
	for _, other := range []string{"t", "d", ""} {
		_, err := c.tryPublish(nil, other, "v.a")
		c.ok(err)
	}
	c.ok(c.s.BindQueue("q", "x", "r.a", nil))
	c.ok(c.s.BindQueue("q", "t", "a", nil))
	c.refused(c.s.BindQueue("q", "x", "a", nil), errTopic("a"))
	c.refused(c.s.UnbindQueue("q", "x", "a", nil), errTopic("a"))
	c.refused(c.s.BindExchange("d", "x", "a", nil), errTopic("a"))
	c.refused(c.s.UnbindExchange("d", "x", "a", nil), errTopic("a"))
	c.refused(c.s.BindQueue("nope", "x", "a", nil), errTopic("a")) // before it is looked up
	c.flush()

	// They act at once, and are gone when they are cleared.
	w.topics("x", "^z$", "")
	_, err := c.tryPublish(nil, "x", "u.a")
	c.refused(err, errTopic("u.a"))
	c.refused(c.s.BindQueue("q", "x", "r.a", nil), errTopic("r.a"))
	c.ok(c.s.BindQueue("q", "x", "", nil))
	if err := w.b.ClearTopicPermissions("/", "u", "t"); err != ErrNoPermissions {
		t.Error(err)
	}
	c.ok(w.b.ClearTopicPermissions("/", "u", "x"))
	_, err = c.tryPublish(nil, "x", "v.a")
	c.ok(err)
	w.topics("x", "", "")
	w.topics("t", "", "")
	if got := w.b.TopicPermissions(); len(got) != 2 || got[0].Exchange != "t" {
		t.Error(got)
	}
	c.ok(w.b.ClearTopicPermissions("/", "u"))
	if got := w.b.TopicPermissions(); len(got) != 0 {
		t.Error(got)
	}
}

func TestPermissionsAreForUsersAndVHostsThatAreThere(t *testing.T) {
	w := newBench(t)
	w.user("u", "/")
	for _, c := range []struct {
		p    access.Permissions
		want string
	}{
		{access.Permissions{User: "nobody", VHost: "/"}, "no such user"},
		{access.Permissions{User: "u", VHost: "nope"}, "no such vhost"},
		{access.Permissions{User: "u", VHost: "/", Configure: "("}, "invalid regular expression"},
	} {
		if _, err := w.b.SetPermissions(c.p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.p, err)
		}
		topics := access.TopicPermissions{User: c.p.User, VHost: c.p.VHost, Exchange: "x", Write: c.p.Configure}
		if _, err := w.b.SetTopicPermissions(topics); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", topics, err)
		}
	}
	w.login("u", "/") // and what there was stays
}

func TestWhatIsRememberedOfExchangesIsBounded(t *testing.T) {
	w := newBench(t)
	c := w.client()
	p := props(headers("a", 1))
	for i := range 2 * maxWrites {
		name := fmt.Sprint("x", i)
		c.exchange(name, "fanout")
		_, err := c.tryPublish(p, name, "")
		c.ok(err)
		if n := len(c.b.writes.all); n > maxWrites {
			t.Fatalf("%d exchanges remembered", n)
		}
	}
	c.b.Reset()
}
