package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/internal/catalog"
	"github.com/leveret-mq/leveret/internal/vfs"
)

// world makes a vhost in which guest may do everything.
func (w *bench) world(name string) *client {
	w.t.Helper()
	if err := w.b.AddVHost(name); err != nil {
		w.t.Fatal(err)
	}
	w.permit("guest", name, ".*", ".*", ".*")
	return w.login("guest", name)
}

// records are the catalog's keys that name a vhost.
func (w *bench) records(vhost string) []string {
	w.t.Helper()
	var list []string
	err := w.b.store.Catalog(func(key string, _ []byte) error {
		kind, names, err := catalog.Split(key)
		if err == nil && (kind == catalog.VHost || catalog.OfVHost(kind)) && names[0] == vhost {
			list = append(list, fmt.Sprintf("%c %q", kind, names))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// fill makes some of everything in a vhost: more queues than go in one step.
func fill(c *client) {
	for i := range 2*closeAtOnce + 1 {
		name := fmt.Sprint("q", i)
		c.queue(name, durable)
		c.bind(name, "amq.topic", name)
	}
	makeTopology(c)
	c.publish("amq.topic", "q1", "m")
	c.delayed("later", "fanout", "q1")
	c.publishWith(wait(3_600_000), "later", "", "waits")
}

func TestADeletedVHostLeavesNothing(t *testing.T) {
	w := newBench(t)
	c := w.world("v")
	fill(c)
	cons := c.consume("q0", 1)
	w.user("u", "v")
	w.client().queue("q", durable) // of another vhost
	if _, err := w.b.SetTopicPermissions(access.TopicPermissions{User: "u", VHost: "v", Exchange: "x"}); err != nil {
		t.Fatal(err)
	}
	s, peer := w.connect("u", "v")
	_, other := w.connect("guest", "/")

	c.ok(w.b.DeleteVHost("v"))
	if !slices.Equal(peer.why, []string{"CONNECTION_FORCED - vhost 'v' is down"}) || len(other.why) != 0 {
		t.Errorf("closed with %q, others with %q", peer.why, other.why)
	}
	if !slices.Equal(c.cancelled, []*Consumer{cons}) {
		t.Error("the consumer was not cancelled")
	}
	if left := w.records("v"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, p := range w.b.Permissions() {
		if p.VHost == "v" {
			t.Errorf("left: %v", p)
		}
	}
	// The connections that are still there can do nothing any more.
	_, err := s.DeclareQueue(QueueSpec{Name: "late", Durable: true})
	c.refused(err, "CONNECTION_FORCED - vhost 'v' is down")
	c.refused(c.s.DeclareExchange(ExchangeSpec{Name: "late", Type: "direct", Durable: true}), "CONNECTION_FORCED - vhost 'v' is down")
	_, err = c.tryPublish(nil, "amq.topic", "q1")
	c.refused(err, "NOT_FOUND - no exchange 'amq.topic' in vhost 'v'")
	c.b.Reset()
	w.b.vhosts["v"] = s.v // as who found it just before
	p, err := policy.New(policy.User, "p", policy.Spec{Pattern: ".*", Definition: pol("max-length", 1).Definition})
	c.ok(err)
	if _, err := w.b.SetPolicy("v", policy.User, p); err != ErrNoVHost {
		t.Error(err)
	}
	delete(w.b.vhosts, "v")
	s.Close()
	c.s.Close()
	_, err = w.b.NewSession("v", &User{Name: "u"}, peer)
	c.refused(err, "NOT_ALLOWED - vhost v not found")
	if err := w.b.DeleteVHost("v"); err != ErrNoVHost {
		t.Error(err)
	}
	w.restart()
	if left := w.records("v"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if w.client().ready("q") != 0 {
		t.Error("another vhost's queue")
	}
	// A new one of that name is empty, and nobody's.
	if err := w.b.AddVHost("v"); err != nil {
		t.Fatal(err)
	}
	_, err = w.b.NewSession("v", &User{Name: "u"}, peer)
	w.client().refused(err, "NOT_ALLOWED - access to vhost 'v' refused for user 'u'")
	if c := w.world("v"); c.exists("q1") || c.s.v.exchange("amq.topic").table.Len() != 0 {
		t.Error("not empty")
	}
}

// A deletion that a power cut interrupts is finished by the next start, whichever
// operation it was that failed; before its first record nothing is missing.
func TestADeletionOfAVHostIsWholeAfterAnyPowerCut(t *testing.T) {
	w := newBench(t)
	w.fs.SyncAll()
	c := w.world("v")
	fill(c)
	w.client().queue("q", durable)
	all := len(w.records("v"))
	images := w.imagesOf(func() { c.ok(w.b.DeleteVHost("v")) })
	before, after := 0, 0
	for name, image := range images {
		o := w.opts
		o.Store.FS = image
		b, err := Open("data", o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k := &bench{t: t, b: b}
		switch n := len(k.records("v")); {
		case n == all && k.b.vhost("v") != nil:
			before++
		case n == 0 && k.b.vhost("v") == nil:
			after++
		default:
			t.Errorf("%s: %d of %d records are left", name, n, all)
		}
		if k.b.vhosts["/"].queue("q") == nil {
			t.Errorf("%s: another vhost's queue is gone", name)
		}
		k.close()
	}
	if before == 0 || after == 0 {
		t.Errorf("%d images before the deletion, %d after its beginning", before, after)
	}
}

// imagesOf are what power cuts during fn would leave.
func (w *bench) imagesOf(fn func()) map[string]*vfs.Mem {
	var mu sync.Mutex
	images := map[string]*vfs.Mem{}
	take := func(op int) {
		mu.Lock()
		defer mu.Unlock()
		for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 12, Seed: uint64(op)}) {
			images[fmt.Sprintf("operation %d, %s", op, name)] = image
		}
	}
	w.fs.OnOp(func(op int, _ vfs.Op, _ string) { take(op) })
	fn()
	w.fs.OnOp(nil)
	take(-1)
	return images
}

// Each change of users and permissions is there whole after a power cut, or not at
// all; once it has been answered it is there.
func TestChangesOfUsersAreWholeAfterAnyPowerCut(t *testing.T) {
	w := newBench(t)
	w.fs.SyncAll()
	state := func(b *Broker) string {
		return fmt.Sprint(b.Users(), b.Permissions(), b.TopicPermissions(), b.VHosts())
	}
	states := []string{state(w.b)}
	done := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, state(w.b))
	}
	images := w.imagesOf(func() {
		_, err := w.b.PutUser(access.User{Name: "u", Hash: access.HashKnown("u"), Tags: []string{"a"}})
		done(err)
		_, err = w.b.SetPermissions(access.Permissions{User: "u", VHost: "/", Configure: "c", Write: "w", Read: "r"})
		done(err)
		_, err = w.b.SetTopicPermissions(access.TopicPermissions{User: "u", VHost: "/", Exchange: "x", Write: "w", Read: "r"})
		done(err)
		done(w.b.SetUserLimit("u", access.MaxChannels, 7))
		done(w.b.SetVHostLimit("/", access.MaxQueues, 7))
		_, err = w.b.PutVHost(VHost{Name: "/", Description: "d", Tags: []string{"t"}, QueueType: "quorum"})
		done(err)
		_, err = w.b.PutVHost(VHost{Name: "v", Description: "new"})
		done(err)
		done(w.b.DeleteUser("u"))
	})
	seen := map[string]bool{}
	for name, image := range images {
		o := w.opts
		o.Store.FS = image
		b, err := Open("data", o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := state(b)
		if !slices.Contains(states, got) {
			t.Errorf("%s: %s was never there", name, got)
		}
		if strings.HasPrefix(name, "operation -1") && got != states[len(states)-1] {
			t.Errorf("%s: %s, after all was answered", name, got)
		}
		seen[got] = true
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != len(states) {
		t.Errorf("%d of %d states were seen", len(seen), len(states))
	}
}

func TestVHostsHaveLimits(t *testing.T) {
	w := newBench(t)
	c := w.client()
	c.ok(w.b.SetVHostLimit("/", access.MaxConnections, 2))
	s, _ := w.connect("guest", "/")
	_, err := w.b.NewSession("/", &User{Name: "guest"}, fakePeer("x"))
	const full = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (2) is reached"
	c.refused(err, full)
	_, err = w.b.NewSession("/", &User{Name: "nobody"}, fakePeer("x")) // limits come first
	c.refused(err, "NOT_ALLOWED - access to vhost '/' refused for user 'nobody': connection limit (2) is reached")
	s.Close()
	w.connect("guest", "/")
	c.ok(w.b.ClearVHostLimit("/", access.MaxConnections))
	w.connect("guest", "/")

	c.queue("one")
	c.ok(w.b.SetVHostLimit("/", access.MaxQueues, 1))
	c.queue("one") // it is there
	_, err = c.s.DeclareQueue(QueueSpec{Name: "two"})
	c.refused(err, "PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost '/' (1) is reached")
	c.consume(ReplyQueue, 1, noAck) // is no queue
	_, err = c.s.DeleteQueue("one", false, false)
	c.ok(err)
	c.queue("two")
	if err := w.b.SetVHostLimit("/", access.MaxChannels, 1); err == nil {
		t.Error("vhosts have no limit of channels")
	}
	if err := w.b.SetVHostLimit("nope", access.MaxQueues, 1); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
}

func TestVHostsAreDescribed(t *testing.T) {
	w := newBench(t)
	c := w.client()
	created, err := w.b.PutVHost(VHost{Name: "v", Description: "first", Tags: []string{"a"}})
	if c.ok(err); !created {
		t.Error("not said to be new")
	}
	c.ok(w.b.SetVHostLimit("v", access.MaxQueues, 3))
	created, err = w.b.PutVHost(VHost{Name: "v", Description: "second", Tags: []string{"b", "c"}})
	if c.ok(err); created {
		t.Error("said to be new")
	}
	c.ok(w.b.AddVHost("v"))
	w.restart()
	v, err := w.b.VHost("v")
	c.ok(err)
	if v.Description != "second" || !slices.Equal(v.Tags, []string{"b", "c"}) || v.Limits.Get(access.MaxQueues) != 3 {
		t.Errorf("%+v", v)
	}
	if all := w.b.VHosts(); len(all) != 2 || all[0].Name != "/" || all[1].Name != "v" {
		t.Errorf("%+v", all)
	}
	if _, err := w.b.VHost("nope"); err != ErrNoVHost {
		t.Error(err)
	}
}
