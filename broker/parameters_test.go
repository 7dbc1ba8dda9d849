package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/vfs"
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

// parameters shows all that there are.
func (w *bench) parameters() string {
	var b strings.Builder
	for _, p := range w.b.Parameters() {
		fmt.Fprintf(&b, "%s %s %s %s\n", p.VHost, p.Component, p.Name, p.Value)
	}
	for _, p := range w.b.GlobalParameters() {
		fmt.Fprintf(&b, "%s %s\n", p.Name, p.Value)
	}
	return b.String()
}

// Whatever was answered is there after a power cut, whenever that comes.
func TestParametersAreOnDiskWhenTheyAreAnswered(t *testing.T) {
	w := newBench(t)
	w.world("v")
	w.fs.SyncAll()
	steps := []struct {
		name    string
		do      func() (created bool, err error)
		created bool
		want    string
	}{
		{"one is set", func() (bool, error) { return w.b.SetParameter(Parameter{"v", "shovel", "a", raw(`{"b":[1,"x"]}`)}) }, true, "v shovel a {\"b\":[1,\"x\"]}\n"},
		{"it is changed", func() (bool, error) { return w.b.SetParameter(Parameter{"v", "shovel", "a", raw(`null`)}) }, false, "v shovel a null\n"},
		{"a global one is set", func() (bool, error) { return w.b.SetGlobalParameter(GlobalParameter{"g", raw(`3`)}) }, true, "v shovel a null\ng 3\n"},
		{"that is changed", func() (bool, error) { return w.b.SetGlobalParameter(GlobalParameter{"g", raw(`"x"`)}) }, false, "v shovel a null\ng \"x\"\n"},
		{"the first goes", func() (bool, error) { return false, w.b.DeleteParameter("v", "shovel", "a") }, false, "g \"x\"\n"},
		{"the other goes", func() (bool, error) { return false, w.b.DeleteGlobalParameter("g") }, false, ""},
	}
	for _, step := range steps {
		created, err := step.do()
		if err != nil || created != step.created {
			t.Fatalf("%s: created %v, %v", step.name, created, err)
		}
		if got := w.parameters(); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
		for name, image := range w.fs.Images(vfs.ImageOptions{MaxImages: 8, Seed: 1}) {
			after := &bench{t: t, fs: image, opts: w.opts}
			after.opts.Store.FS = image
			after.open()
			if got := after.parameters(); got != step.want {
				t.Errorf("%s, power cut %s: %q, want %q", step.name, name, got, step.want)
			}
			after.close()
		}
	}
}

func TestParametersThatAreNotThere(t *testing.T) {
	w := newBench(t)
	w.world("v")
	for _, c := range []struct{ got, want error }{
		{w.b.DeleteParameter("v", "c", "n"), ErrNoParameter},
		{w.b.DeleteParameter("nope", "c", "n"), ErrNoVHost},
		{w.b.DeleteGlobalParameter("n"), ErrNoParameter},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if _, err := w.b.SetParameter(Parameter{"nope", "c", "n", raw("1")}); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
	for _, p := range []Parameter{{"v", "", "n", raw("1")}, {"v", "c", "", raw("1")}, {"v", "c", "\xff", raw("1")}} {
		if _, err := w.b.SetParameter(p); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
	if _, err := w.b.SetGlobalParameter(GlobalParameter{"", raw("1")}); err == nil {
		t.Error("a parameter without a name is taken")
	}
}

func TestParametersGoWithTheirVHost(t *testing.T) {
	w := newBench(t)
	w.world("v")
	if _, err := w.b.SetParameter(Parameter{"v", "c", "n", raw("1")}); err != nil {
		t.Fatal(err)
	}
	if err := w.b.DeleteVHost("v"); err != nil {
		t.Fatal(err)
	}
	w.world("v")
	w.restart()
	if got := w.parameters(); got != "" || len(w.records("v")) != 2 { // the vhost, guest's permissions
		t.Errorf("%q, %q", got, w.records("v"))
	}
}

func TestAVHostSaysWhatTypeItsDurableQueuesAre(t *testing.T) {
	w := newBench(t)
	c := w.world("v")
	c.queue("old", durable)
	if _, err := w.b.PutVHost(VHost{Name: "v", QueueType: "stream"}); err == nil {
		t.Error("streams are taken")
	}
	if _, err := w.b.PutVHost(VHost{Name: "v", QueueType: "quorum"}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	c = w.login("guest", "v")
	c.queue("plain", durable)
	c.queue("plain", durable) // again
	c.queue("plain", durable, args("x-queue-type", "quorum"))
	c.queue("old", durable)
	c.queue("named", durable, args("x-queue-type", "classic"))
	c.queue("transient")
	c.queue("auto", durable, autoDelete)
	c.queue("mine", durable, exclusive)
	server := c.queue("", durable)
	for name, want := range map[string]string{"plain": "quorum", "old": "classic", "named": "classic", "transient": "classic", "auto": "classic", "mine": "classic", server: "classic"} {
		if q, err := w.b.Queue("v", name); err != nil || q.Type != want {
			t.Errorf("%s is %s (%v), want %s", name, q.Type, err, want)
		}
	}
	_, err := c.s.DeclareQueue(QueueSpec{Name: "plain", Durable: true, Args: table("x-queue-type", "classic")})
	c.refused(err, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'plain' in vhost 'v': received 'classic' but current is 'quorum'")
}

// Who restores need not be permitted anything, and changes nothing that is there.
func TestRestoringMakesWhatIsMissing(t *testing.T) {
	w := newBench(t)
	c := w.world("v")
	if err := w.b.SetVHostLimit("v", "max-queues", 1); err != nil {
		t.Fatal(err)
	}
	c.queue("q", durable, args("x-max-length", 3))
	c.exchange("x", "topic", durableX)
	s, err := w.b.Restore("v")
	if err != nil {
		t.Fatal(err)
	}
	declare := func(spec QueueSpec) {
		t.Helper()
		_, err := s.DeclareQueue(spec)
		c.ok(err)
	}
	declare(QueueSpec{Name: "q"}) // another one, which it is not
	declare(QueueSpec{Name: "amq.gen-abc", Durable: true, Args: table("x-dead-letter-exchange", "x")})
	c.ok(s.DeclareExchange(ExchangeSpec{Name: "x", Type: "fanout"}))
	c.ok(s.DeclareExchange(ExchangeSpec{Name: "y", Type: "fanout", Durable: true, Args: table("alternate-exchange", "x")}))
	c.ok(s.BindQueue("amq.gen-abc", "x", "a.*", nil))
	c.ok(s.BindExchange("y", "x", "b", nil))
	w.crash()
	q, err := w.b.Queue("v", "q")
	if err != nil || !q.Durable || q.Args.Len() != 1 {
		t.Errorf("%+v, %v", q, err)
	}
	if x, err := w.b.Exchange("v", "x"); err != nil || x.Type != "topic" {
		t.Errorf("%+v, %v", x, err)
	}
	bindings, _ := w.b.Bindings("v")
	var got []string
	for _, b := range bindings {
		got = append(got, b.Source+"→"+b.Destination+" "+b.Key)
	}
	if want := []string{"→amq.gen-abc amq.gen-abc", "→q q", "x→amq.gen-abc a.*", "x→y b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := w.b.Restore("nope"); !errors.Is(err, ErrNoVHost) {
		t.Error(err)
	}
}

// What is refused before a vhost is there is what it would refuse.
func TestChecksSayWhatDeclarationsWould(t *testing.T) {
	w := newBench(t)
	c := w.world("v")
	for _, spec := range []QueueSpec{
		{Name: "a"}, {Name: "b", Durable: true, Args: table("x-queue-type", "quorum")}, {Name: "b2", Args: table("x-queue-type", "quorum")},
		{Name: "c", Durable: true, Args: table("x-queue-type", "stream")}, {Name: "d", Args: table("x-max-length", "a")},
		{Name: "e", Args: table("x-queue-type", "foo")}, {Name: "f", Durable: true, AutoDelete: true, Args: table("x-queue-type", "quorum")},
		{Name: "g", Args: table("x-dead-letter-exchange", 1)}, {Name: "h", Args: table("x-dead-letter-exchange", "x")},
	} {
		_, made := c.s.DeclareQueue(spec)
		if got := CheckQueue("v", spec); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("%v: %v, declaring it %v", spec, got, made)
		}
	}
	for _, spec := range []ExchangeSpec{
		{Name: "a", Type: "topic"}, {Name: "b", Type: "nope"}, {Name: "c", Type: "x-delayed-message"}, {Name: "", Type: "direct"},
		{Name: "d", Type: "x-delayed-message", Args: table("x-delayed-type", "topic")}, {Name: "e", Type: "direct", Args: table("alternate-exchange", 1)},
	} {
		made := c.s.DeclareExchange(spec)
		if got := CheckExchange("v", spec); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("%v: %v, declaring it %v", spec, got, made)
		}
	}
	c.queue("q")
	for kind, bindingArgs := range map[string]amqp.Table{"headers": table("x-match", "nope"), "x-consistent-hash": nil, "topic": nil} {
		c.exchange(kind, kind)
		made := c.s.BindQueue("q", kind, "k", bindingArgs)
		if got := CheckBinding(kind, nil, "k", bindingArgs); fmt.Sprint(got) != fmt.Sprint(made) {
			t.Errorf("%s: %v, binding it %v", kind, got, made)
		}
	}
	if CheckQueue("v", QueueSpec{}) == nil || CheckQueue("v", QueueSpec{Name: ReplyQueue + ".x"}) == nil {
		t.Error("a queue without a name, or that of a reply, passes")
	}
}
