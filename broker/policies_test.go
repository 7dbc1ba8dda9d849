package broker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
)

// policy sets a policy with the given keys and values.
func (w *bench) policy(role policy.Role, name, pattern string, priority int, kv ...any) {
	w.t.Helper()
	p, err := policy.New(role, name, policy.Spec{Pattern: pattern, Priority: int64(priority), Definition: pol(kv...).Definition})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.b.SetPolicy("/", role, p); err != nil {
		w.t.Fatal(err)
	}
}

func (c *client) settings(queue string) *settings {
	c.t.Helper()
	q, err := c.s.find(queue)
	c.ok(err)
	return q.def().settings()
}

func TestPoliciesApplyToWhatIsThereAndWhatComes(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("old")
	c.queue("bounded", args("x-max-length", 1))
	c.queue("other")
	for range 5 {
		c.publish("", "old", "m")
		c.publish("", "other", "m")
	}
	w.policy(policy.User, "p", "^(old|new|bounded)$", 0, "max-length", 2)
	c.queue("new")
	for range 5 {
		c.publish("", "new", "m")
		c.publish("", "bounded", "m")
	}
	for queue, want := range map[string]int{"old": 2, "new": 2, "bounded": 1, "other": 5} {
		if n := c.ready(queue); n != want {
			t.Errorf("%d messages in %s, want %d", n, queue, want)
		}
	}
	// The one of the higher priority takes its place, and gives it back.
	w.policy(policy.User, "high", "new", 1, "max-length", 1)
	if n := c.ready("new"); n != 1 {
		t.Errorf("%d messages in new", n)
	}
	c.ok(w.b.DeletePolicy("/", policy.User, "high"))
	c.publish("", "new", "m")
	c.publish("", "new", "m")
	if n := c.ready("new"); n != 2 {
		t.Errorf("%d messages in new", n)
	}
	c.ok(w.b.DeletePolicy("/", policy.User, "p"))
	for range 5 {
		c.publish("", "old", "m")
	}
	if n := c.ready("old"); n != 7 {
		t.Errorf("%d messages in old, which has no bound any more", n)
	}
}

// Who publishes remembers what it knows of a route: not beyond a change of policies.
func TestBoundsByPolicyHoldForWhoPublishesAlready(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q")
	cc, err := persistent.Edit().SetHeaders(table("CC", amqp.List())).Properties()
	c.ok(err)
	for _, props := range []amqp.Properties{persistent, cc} {
		for range 3 {
			c.publishWith(props, "", "q", "m")
		}
		w.policy(policy.User, "p", ".*", 0, "max-length", 2)
		for range 5 {
			c.publishWith(props, "", "q", "m")
		}
		if n := c.ready("q"); n != 2 {
			t.Errorf("%d messages in a queue of 2", n)
		}
		c.ok(w.b.DeletePolicy("/", policy.User, "p"))
	}
}

// A redeclaration is compared with the arguments that a queue was declared with,
// whatever policies say.
func TestPoliciesAreNoArguments(t *testing.T) {
	w := newBench(t)
	c := w.client()
	w.policy(policy.User, "p", ".*", 0, "max-length", 2)
	c.queue("q")
	c.queue("q")
	_, err := c.s.DeclareQueue(QueueSpec{Name: "q", Args: table("x-max-length", 2)})
	c.refused(err, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received the value '2' of type 'signedint' but current is none")
}

func TestOperatorPoliciesBoundWhatPoliciesAndArgumentsSay(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", args("x-max-length", 7))
	w.policy(policy.User, "p", ".*", 0, "max-length", 5, "max-length-bytes", 50)
	w.policy(policy.Operator, "p", ".*", 0, "max-length", 9, "message-ttl", 1000)
	s := c.settings("q")
	if s.maxLength != 5 || s.maxBytes != 50 || s.ttl != time.Second {
		t.Errorf("got %+v", s)
	}
	w.policy(policy.Operator, "p", ".*", 0, "max-length", 3)
	if s = c.settings("q"); s.maxLength != 3 || s.ttl >= 0 {
		t.Errorf("got %+v", s)
	}
	if errors.Is(w.b.DeletePolicy("/", policy.Operator, "q"), ErrNoPolicy) {
		c.ok(w.b.DeletePolicy("/", policy.Operator, "p"))
	}
	if s = c.settings("q"); s.maxLength != 5 || s.operator != nil {
		t.Errorf("got %+v", s)
	}
}

func TestAlternateExchangeByPolicy(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.exchange("x", "direct")
	c.exchange("named", "direct", alternate("ae2"))
	c.exchange("ae", "fanout")
	c.exchange("ae2", "fanout")
	c.queue("q")
	c.queue("q2")
	c.bind("q", "ae", "")
	c.bind("q2", "ae2", "")
	if c.publish("x", "k", "m") {
		t.Error("routed without an alternate exchange")
	}
	w.policy(policy.User, "p", ".*", 0, "alternate-exchange", "ae")
	for _, x := range []string{"x", "named", "amq.direct"} {
		if !c.publish(x, "k", x) {
			t.Errorf("nothing is routed by the alternate exchange of %s", x)
		}
	}
	c.exchange("late", "topic")
	c.publish("late", "k", "late")
	if q, q2 := c.ready("q"), c.ready("q2"); q != 3 || q2 != 1 {
		t.Errorf("%d messages in q, %d in q2", q, q2)
	}
	// The default exchange has none.
	if c.publish("", "nowhere", "m") {
		t.Error("routed by the default exchange's alternate")
	}
	c.ok(w.b.DeletePolicy("/", policy.User, "p"))
	if c.publish("x", "k", "m") {
		t.Error("routed though the policy is gone")
	}
}

func TestPoliciesSurviveARestart(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	c.exchange("x", "direct", durableX)
	w.policy(policy.User, "low", "q", 3, "max-length", 100)
	w.policy(policy.User, "p", ".*", 10, "max-length", 2, "alternate-exchange", "amq.fanout")
	w.policy(policy.User, "gone", "x", 20, "max-length", 1)
	w.policy(policy.Operator, "o", "^q$", -2, "expires", 1<<31)
	c.ok(w.b.DeletePolicy("/", policy.User, "gone"))
	c.bind("q", "amq.fanout", "")
	w.restart()
	c = w.client()
	if s := c.settings("q"); s.maxLength != 2 || s.expires != (1<<31)*time.Millisecond || s.policy.Name != "p" || s.operator.Name != "o" {
		t.Errorf("got %+v", s)
	}
	for _, x := range []string{"x", "amq.direct"} {
		if !c.publish(x, "k", "m") {
			t.Errorf("%s has lost its alternate exchange", x)
		}
	}
	got, err := w.b.Policies("/", policy.User)
	c.ok(err)
	if len(got) != 2 || got[0].Name != "p" || got[1].Name != "low" || got[0].Priority != 10 || got[0].Pattern != ".*" {
		t.Errorf("got %v", got)
	}
	one, err := w.b.Policy("/", policy.Operator, "o")
	c.ok(err)
	if one.Priority != -2 || string(one.Definition.JSON()) != `{"expires":2147483648}` {
		t.Errorf("got %v", one)
	}
}

// A change that was answered is there after a power cut, one that was not may be.
func TestPoliciesAreDurableBeforeTheyAreAnswered(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q", durable)
	w.policy(policy.User, "p", "q", 0, "max-length", 2)
	n := 0
	for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 60, Seed: 1}) {
		after := &bench{t: t, fs: image, opts: w.opts}
		after.opts.Store.FS = image
		after.open()
		if s := after.client().settings("q"); s.maxLength != 2 {
			t.Errorf("%s: got %+v", name, s)
		}
		after.close()
		n++
	}
	if n == 0 {
		t.Error("there is no image")
	}
}

func TestPoliciesOfUnknownVHostsAndNames(t *testing.T) {
	w := newBench(t)
	p := pol("max-length", 1)
	if _, err := w.b.SetPolicy("nope", policy.User, p); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
	if err := w.b.DeletePolicy("nope", policy.User, "p"); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
	if err := w.b.DeletePolicy("/", policy.User, "p"); !errors.Is(err, ErrNoPolicy) {
		t.Error(err)
	}
	if _, err := w.b.Policy("/", policy.User, "p"); !errors.Is(err, ErrNoPolicy) {
		t.Error(err)
	}
	if created, err := w.b.SetPolicy("/", policy.User, p); !created || err != nil {
		t.Error(created, err)
	}
	if created, err := w.b.SetPolicy("/", policy.User, p); created || err != nil {
		t.Error(created, err)
	}
	if _, err := w.b.Policy("/", policy.Operator, "p"); !errors.Is(err, ErrNoPolicy) {
		t.Error("a policy is an operator's:", err)
	}
}

// Who sets a policy while the vhost is deleted leaves nothing behind that would keep
// the broker from starting.
func TestPoliciesOfAVHostThatIsDeleted(t *testing.T) {
	w := newBench(t)
	if err := w.b.AddVHost("v"); err != nil {
		t.Fatal(err)
	}
	v := w.b.vhosts["v"] // found, and deleted before anything comes of it
	if err := w.b.DeleteVHost("v"); err != nil {
		t.Fatal(err)
	}
	err := v.changePolicies(func(t *change, _ *policies) error {
		t.batch.Put(policyKey("v", policy.User, "p"), policyRecord(pol("max-length", 1)))
		return nil
	})
	if !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
	w.restart()
}

func TestQuorumQueuesAndPoliciesTheyDoNotKnow(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.queue("q.quorum", durable, args("x-queue-type", "quorum"))
	c.queue("q.classic")
	w.policy(policy.User, "mirrored", "^q", 5, "ha-mode", "all", "max-length", 1)
	w.policy(policy.User, "limited", "^q", 2, "delivery-limit", 3)
	w.policy(policy.User, "rest", "^q", 1, "max-length", 9)
	if s := c.settings("q.quorum"); s.policy.Name != "limited" || s.deliveryLimit != 3 {
		t.Errorf("got %+v", s)
	}
	if s := c.settings("q.classic"); s.policy.Name != "mirrored" || s.maxLength != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestExpiryByPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBench(t)
		c := w.client()
		c.queue("q")
		c.queue("kept")
		time.Sleep(time.Hour)
		w.policy(policy.User, "p", ".*", 0, "expires", 1000)
		time.Sleep(900 * time.Millisecond)
		if !c.exists("q") {
			t.Error("a queue expired by the time that it had not been used before it could")
		}
		c.queue("kept") // a use
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		_, err := c.s.DeclareQueue(QueueSpec{Name: "q", Passive: true})
		c.refused(err, "NOT_FOUND - no queue 'q' in vhost '/'")
		c.ok(w.b.DeletePolicy("/", policy.User, "p"))
		time.Sleep(time.Hour)
		if _, err := c.s.DeclareQueue(QueueSpec{Name: "kept", Passive: true}); err != nil {
			t.Error("a queue expired though it can no more:", err)
		}
		w.close()
	})
}

// While a policy is set on many queues, publishers and topology go on.
func TestAPolicyOnManyQueuesHoldsNobodyUp(t *testing.T) {
	const queues = 5_000
	w := newBench(t)
	c := w.client()
	v := w.b.vhosts["/"]
	c.ok(v.change(func(ch *change) error {
		for i := range queues {
			q := v.newQueue(QueueSpec{Name: fmt.Sprint("q", i)}, noSettings(), nil)
			if err := q.create(ch); err != nil {
				return err
			}
			ch.batch.Reset()
			v.add(q)
		}
		return nil
	}))
	done := make(chan time.Duration)
	go func() {
		began := time.Now()
		for range 3 {
			w.policy(policy.User, "p", "^q[0-9]+$", 0, "max-length", 2, "message-ttl", 1<<40)
			w.policy(policy.User, "p", "^q[0-9]+$", 0, "max-length", 3)
		}
		done <- time.Since(began)
	}()
	var waits []time.Duration
	for i := 0; ; i++ {
		began := time.Now()
		c.queue("fresh")
		c.publish("", fmt.Sprint("q", i%queues), "m")
		_, err := c.s.DeleteQueue("fresh", false, false) // the more there are, the longer it takes, the more there are
		c.ok(err)
		waits = append(waits, time.Since(began))
		select {
		case took := <-done:
			slices.Sort(waits)
			t.Logf("6 policies on %d queues took %v; %d declarations, publishes and deletions meanwhile, p50 %v, longest %v", queues, took, len(waits), waits[len(waits)/2], waits[len(waits)-1])
			for name, q := range v.queues {
				if s := q.def().settings(); name[0] == 'q' && s.maxLength != 3 {
					t.Fatalf("%s has %+v", name, s)
				}
			}
			return
		default:
		}
	}
}

// Whatever is declared, deleted and published while policies change, in the end each
// queue has what the policies say, and no more messages than that.
func TestPoliciesChangeWhileTopologyDoes(t *testing.T) {
	w := newBench(t)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	var rounds atomic.Int64
	for k := range 3 {
		busy.Go(func() {
			c := w.client()
			for i := 0; ; i++ {
				select {
				case <-stop:
					if i > 100 { // all names have come up
						return
					}
				default:
				}
				rounds.Add(1)
				name := fmt.Sprintf("q%d.%d", k, i%20)
				switch i % 7 {
				case 3:
					_, err := c.s.DeleteQueue(name, false, false)
					c.ok(err)
				default:
					c.queue(name)
					c.exchange("x"+name, "fanout")
					c.publish("", name, "m")
					c.publish("x"+name, "", "m")
				}
			}
		})
	}
	for i := 0; i < 30 || rounds.Load() < 500; i++ {
		switch i % 4 {
		case 3:
			if err := w.b.DeletePolicy("/", policy.User, "b"); err != nil {
				t.Error(err)
			}
		default:
			w.policy(policy.User, "a", "^q", 0, "max-length", 3+i%5, "expires", 1<<30+i)
			w.policy(policy.User, "b", "[13579]$", 1, "max-length", 1+i%3, "alternate-exchange", "amq.fanout")
			w.policy(policy.Operator, "o", "^q1", 0, "max-length", 2)
		}
	}
	close(stop)
	busy.Wait()
	c := w.client()
	v := w.b.vhosts["/"]
	if len(v.queues) < 20 {
		t.Errorf("%d queues are left: the test proves little", len(v.queues))
	}
	for name, q := range v.queues {
		d := q.def()
		want := v.settingsFor(name, d.args)
		if got := *d.settings(); got.policy != want.policy || got.operator != want.operator || got.maxLength != want.maxLength || got.expires != want.expires {
			t.Errorf("%s has %+v, want %+v", name, got, want)
		}
		for range 10 {
			c.publish("", name, "m")
		}
		if n := c.ready(name); n != int(want.maxLength) {
			t.Errorf("%d messages in %s, want %d", n, name, want.maxLength)
		}
		if set := d.deadline != nil && d.deadline.set; set != (want.expires > 0) {
			t.Errorf("%s will expire: %v, want %v", name, set, !set)
		}
	}
	for name, x := range v.exchanges {
		want := ""
		if p := v.policies[policy.User].Get("b"); p != nil && p.Matches(policy.Exchange, name) {
			want = "amq.fanout"
		}
		if got := x.settings().alternate; got != want {
			t.Errorf("exchange %s has the alternate %q, want %q", name, got, want)
		}
	}
}

// TestAPolicyBoundsQueuesThatPublishersKnowAlready: who has published before goes on
// with the same queues, which have bounds now, and then none again.
func TestAPolicyBoundsQueuesThatPublishersKnowAlready(t *testing.T) {
	for name, props := range map[string]amqp.Properties{
		"by one key": persistent,
		"by several": props(mode(2), func(e *amqp.PropertiesEditor) {
			e.SetHeaders(table("CC", amqp.List(amqp.LongString("q"))))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t)
			c := w.client()
			c.queue("q", durable)
			c.publishWith(props, "", "q", "first")
			w.policy(policy.User, "p", "q", 0, "max-length", 3)
			c.publishWith(props, "", "q", numbers(0, 10)...)
			if n := c.ready("q"); n != 3 {
				t.Errorf("%d messages, want 3", n)
			}
			c.ok(w.b.DeletePolicy("/", policy.User, "p"))
			c.publishWith(props, "", "q", numbers(0, 10)...)
			if n := c.ready("q"); n != 13 {
				t.Errorf("%d messages, want 13", n)
			}
		})
	}
}
