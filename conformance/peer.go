package conformance

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Kind is what a peer is.
type Kind string

const (
	RabbitMQ Kind = "RabbitMQ"
	Leveret  Kind = "Leveret"
)

// Peer is a broker that cases run against.
type Peer struct {
	// URL is amqp://user:password@host:port/vhost; the user has all permissions there.
	URL string
	// HTTP is the management API, http://user:password@host:port; empty for none. The
	// user is an administrator.
	HTTP string
	// TLSAddr is the TLS listener's address, empty for none. TLSClient trusts its
	// certificate, and has a client certificate that the listener trusts, whose
	// subject is CN=guest.
	TLSAddr   string
	TLSClient *tls.Config
	// Restart stops the peer, by kill -9 if kill is set, and starts it again on the
	// same data and addresses. Nil where the peer can not be controlled.
	Restart func(kill bool) error
	// Kind and Version are found out from the server properties.
	Kind    Kind
	Version string

	url     *url.URL
	delayed bool // it has delayed exchanges
}

// Options are of a broker that is started for a case alone.
type Options struct {
	// Leveret are flags of `leveret serve`.
	Leveret []string
	// RabbitMQ are lines of rabbitmq.conf.
	RabbitMQ []string
}

// Suite runs cases.
type Suite struct {
	// Main is where all cases run that need no control of the peer.
	Main *Peer
	// Second starts another peer of the same kind, which cases may restart; nil where
	// none can be started. It is called once, if a case needs it.
	Second func() (*Peer, error)
	// Start starts a peer for a case alone; nil where none can be started.
	Start func(Options) (p *Peer, stop func(), err error)
	// Parallel is how many cases run at a time; 0 is 24.
	Parallel int

	once   sync.Once
	slots  chan struct{}
	own    chan struct{}
	second func() (*Peer, error)
	group  group
}

// Prepare asks the peer what it is.
func (p *Peer) Prepare() error {
	u, err := url.Parse(p.URL)
	if err != nil {
		return err
	}
	if u.Scheme != "amqp" && u.Scheme != "amqps" || u.Host == "" {
		return fmt.Errorf("%q is no AMQP URL", p.URL)
	}
	if u.User == nil {
		u.User = url.UserPassword("guest", "guest")
	}
	p.url = u
	t := &T{Peer: p}
	var start *wire.ConnectionStart
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := t.TryDial(Login{}); err != nil {
			t.Errorf("%v", err)
		} else {
			start = c.Start
			p.delayed = c.declares("x-delayed-message", Args{"x-delayed-type": "direct"})
		}
	}()
	<-done
	cleaned := make(chan struct{})
	go func() { defer close(cleaned); t.cleanup() }()
	<-cleaned
	if start == nil {
		return errors.New(strings.Join(t.lines, "\n"))
	}
	props := Plain(start.ServerProperties)
	p.Version, _ = props["version"].(string)
	product, _ := props["product"].(string)
	p.Kind = Kind(product)
	if v, ok := props["leveret_version"].(string); ok {
		p.Kind, p.Version = Leveret, v
	}
	return nil
}

// declares reports whether the peer knows a type of exchanges. Where it does not, the
// connection is gone.
func (c *Conn) declares(kind string, args Args) bool {
	c.t.Helper()
	ch := c.Channel()
	x := c.t.Name("x")
	c.ExpectingEnd()
	ch.Send(&wire.ExchangeDeclare{Exchange: x, Type: kind, Durable: true, Arguments: args.Table()})
	if _, err := c.await(ch.ID, deadline(), isMethod(wire.IDExchangeDeclareOk)); err != nil {
		return false
	}
	Call[*wire.ExchangeDeleteOk](ch, &wire.ExchangeDelete{Exchange: x})
	return true
}

// vhost is that of the URL.
func (p *Peer) vhost() string {
	if p.url.Path == "" || p.url.Path == "/" {
		return "/"
	}
	name, err := url.PathUnescape(strings.TrimPrefix(p.url.EscapedPath(), "/"))
	if err != nil {
		return p.url.Path[1:]
	}
	return name
}

// Run runs one case. It may be called by many goroutines; it bounds by itself how many
// cases run at a time.
func (s *Suite) Run(c Case) Result {
	s.once.Do(func() {
		if s.Parallel == 0 {
			s.Parallel = 24
		}
		s.slots = make(chan struct{}, s.Parallel)
		s.own = make(chan struct{}, 2)
		s.second = sync.OnceValues(func() (*Peer, error) {
			p, err := s.Second()
			if err == nil {
				err = p.Prepare()
			}
			return p, err
		})
		s.group.cond = sync.NewCond(&s.group.mu)
	})
	if why := s.lacks(c.Needs); why != "" {
		return Result{Case: c, Status: NotRun, Text: "needs " + why}
	}
	t := &T{Peer: s.Main, Case: c, suite: s}
	switch kind := c.Needs & (Kill | Stop); {
	case kind != 0:
		p, err := s.second()
		if err != nil {
			return Result{Case: c, Status: Failed, Text: err.Error()}
		}
		t.Peer, t.group = p, &s.group
		s.group.join(kind)
		defer s.group.leave()
	case c.Needs&Own != 0:
		s.own <- struct{}{}
		defer func() { <-s.own }()
	default:
		s.slots <- struct{}{}
		defer func() { <-s.slots }()
	}
	return t.run()
}

// lacks says what the suite has not that a case needs.
func (s *Suite) lacks(n Need) string {
	has := map[Need]bool{
		Management: s.Main.HTTP != "",
		Kill:       s.Second != nil,
		Stop:       s.Second != nil,
		Own:        s.Start != nil,
		TLS:        s.Main.TLSAddr != "",
		Delayed:    s.Main.delayed,
	}
	for _, need := range []Need{Management, Kill, Stop, Own, TLS, Delayed} {
		if n&need != 0 && !has[need] {
			return needNames[need]
		}
	}
	return ""
}

// Start starts a broker for this case alone, which is its peer from now on.
func (t *T) Start(o Options) *Peer {
	t.Helper()
	p, stop, err := t.suite.Start(o)
	if stop != nil {
		t.Cleanup(stop) // after the connections, which are closed before
	}
	t.Must(err)
	t.Peer, t.own = p, true
	t.Must(p.Prepare())
	return p
}

// Kill kills the peer, as a power cut would, and starts it again. Other cases that do
// so share the peer: it is killed once, when all of them have come here. All
// connections are gone after it.
func (t *T) Kill() { t.Helper(); t.restart(true, nil) }

// KillUnder is Kill right after load has returned, which leaves work behind that is
// still going on. It is called when the other cases are ready for the kill.
func (t *T) KillUnder(load func()) { t.Helper(); t.restart(true, load) }

// Restart is Kill with a stop in good order.
func (t *T) Restart() { t.Helper(); t.restart(false, nil) }

func (t *T) restart(kill bool, load func()) {
	t.Helper()
	need := Stop
	if kill {
		need = Kill
	}
	for _, c := range t.conns {
		c.ExpectingEnd()
	}
	switch {
	case t.group != nil && t.Case.Needs&need != 0:
		t.Must(t.group.restart(t.Peer, kill, load))
	case t.Peer != t.suite.Main && t.Peer.Restart != nil:
		if load != nil {
			load()
		}
		t.Must(t.Peer.Restart(kill))
	default:
		t.Fatalf("the case restarts its peer and does not say so")
	}
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for _, c := range conns {
		c.ExpectEnd()
	}
}

// group is the cases that share a peer which they restart: all of one kind at a
// time, and the restart happens when all of them wait for it.
type group struct {
	mu      sync.Mutex
	cond    *sync.Cond
	kind    Need
	members int
	waiting int
	round   int
	busy    bool // restarting
	loads   []func()
	err     error
}

func (g *group) join(kind Need) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.busy || g.members > 0 && (g.kind != kind || kind == Kill|Stop) {
		g.cond.Wait()
	}
	g.kind = kind
	g.members++
}

func (g *group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members--
	g.cond.Broadcast()
}

// restart waits until all members are here; then one of them does it.
func (g *group) restart(p *Peer, kill bool, load func()) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if load != nil {
		g.loads = append(g.loads, load)
	}
	g.waiting++
	g.cond.Broadcast()
	for round := g.round; round == g.round; {
		if g.waiting < g.members || g.busy {
			g.cond.Wait()
			continue
		}
		g.busy = true
		loads := g.loads
		g.loads = nil
		g.mu.Unlock()
		var wg sync.WaitGroup
		for _, load := range loads {
			wg.Go(load)
		}
		wg.Wait()
		err := p.Restart(kill)
		g.mu.Lock()
		g.busy, g.err, g.waiting = false, err, 0
		g.round++
		g.cond.Broadcast()
	}
	return g.err
}
