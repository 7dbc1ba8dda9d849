package conformance

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// Need is what a case needs beyond an AMQP URL.
type Need uint

const (
	// Management is RabbitMQ's management API with an administrator's login.
	Management Need = 1 << iota
	// Kill is that the peer can be killed and started again; see T.Kill.
	Kill
	// Stop is that the peer can be stopped in good order and started again; see T.Restart.
	Stop
	// Own is that another broker can be started for the case alone; see T.Start.
	Own
	// TLS is a TLS listener and the peer's certificates.
	TLS
	// Delayed is the delayed message exchange, which is a plugin of RabbitMQ that
	// is not among those it ships with.
	Delayed
)

var needNames = map[Need]string{Management: "the management API", Kill: "control of the peer's process", Stop: "control of the peer's process",
	Own: "a broker of its own", TLS: "a TLS listener", Delayed: "the plugin for delayed messages"}

// Case is a proof of one behaviour.
type Case struct {
	// Behaviour is its number, such as "47".
	Behaviour string
	// Name says what the case proves.
	Name string
	// Plus says why RabbitMQ does not pass by design, where Leveret deliberately
	// does better. Empty otherwise.
	Plus string
	// Needs is what the case needs beyond an AMQP URL.
	Needs Need
	Run   func(t *T)
}

// ID is the case's name in reports.
func (c Case) ID() string { return c.Behaviour + "/" + c.Name }

var registered []Case

// register adds cases to the suite. It is called from init functions only.
func register(cases ...Case) { registered = append(registered, cases...) }

// Cases returns all cases by behaviour.
func Cases() []Case {
	list := slices.Clone(registered)
	slices.SortStableFunc(list, func(a, b Case) int {
		return cmp.Or(cmp.Compare(number(a.Behaviour), number(b.Behaviour)), cmp.Compare(a.Behaviour, b.Behaviour))
	})
	return list
}

// number is the numeric part of a behaviour.
func number(behaviour string) int {
	n, _ := strconv.Atoi(strings.TrimRight(behaviour, "abcdefghijklmnopqrstuvwxyz"))
	return n
}

// Status is what came of a case.
type Status string

const (
	Passed Status = "passed"
	Failed Status = "failed"
	NotRun Status = "not run"
)

// Result is a case's outcome.
type Result struct {
	Case   Case
	Status Status
	// Text says why, where it did not pass.
	Text string
	Took time.Duration
}

// T is what a case has: the peer, and a place for what goes wrong. Its methods may
// be used from any goroutine, those that end the case (Fatalf and whatever fails)
// only from the case's own.
type T struct {
	Peer *Peer
	Case Case

	suite *Suite
	start time.Time

	mu       sync.Mutex
	lines    []string
	failed   bool
	notRun   string
	cleanups []func()
	objects  []object
	conns    []*Conn
	own      bool // Peer is the case's own, which goes as a whole

	group *group // of those who restart the peer together; nil for others
}

// Helper marks the caller as a helper. It is there for familiarity.
func (t *T) Helper() {}

// Logf adds a line to what is shown if the case fails.
func (t *T) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, t.position()+fmt.Sprintf(format, args...))
}

// position is where in the case's own code the caller is, and how long the case runs.
func (t *T) position() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		file := f.File[strings.LastIndexByte(f.File, '/')+1:]
		switch file {
		case "case.go", "conn.go", "channel.go", "message.go", "values.go", "manage.go", "peer.go":
		default:
			return fmt.Sprintf("%s:%d: ", file, f.Line)
		}
		if !more {
			return ""
		}
	}
}

// Errorf records a failure and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.Logf(format, args...)
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
}

// Fatalf records a failure and ends the case.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// NotRun ends the case without a verdict. It is reported as not run.
func (t *T) NotRun(format string, args ...any) {
	t.mu.Lock()
	t.notRun = fmt.Sprintf(format, args...)
	t.mu.Unlock()
	runtime.Goexit()
}

// Must fails the case on an error.
func (t *T) Must(err error) {
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// Cleanup has f called at the end of the case, the last one first.
func (t *T) Cleanup(f func()) {
	t.mu.Lock()
	t.cleanups = append(t.cleanups, f)
	t.mu.Unlock()
}

// Name makes a name that nobody else has.
func (t *T) Name(prefix string) string {
	return fmt.Sprintf("conformance-%s-%s-%08x", t.Case.Behaviour, prefix, rand.Uint32())
}

// Eventually waits until ok is true, and fails the case where it never is. It is for
// conditions that no event announces. Arguments of the text may be pointers, whose
// values at the end are shown.
func (t *T) Eventually(ok func() bool, format string, args ...any) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for wait := 5 * time.Millisecond; !ok(); wait = min(2*wait, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			for i, a := range args {
				switch p := a.(type) {
				case *int:
					args[i] = *p
				case *string:
					args[i] = *p
				}
			}
			t.Fatalf("still after %v: %s", Patience, fmt.Sprintf(format, args...))
		}
		time.Sleep(wait)
	}
}

// Raw connects and says nothing.
func (t *T) Raw() *Conn {
	t.Helper()
	return t.Peer.raw(t, nil)
}

// RawTLS connects to the TLS listener and says nothing.
func (t *T) RawTLS(config *tls.Config) *Conn {
	t.Helper()
	return t.Peer.raw(t, config)
}

// Dial connects and logs in as the peer's own user.
func (t *T) Dial() *Conn {
	t.Helper()
	return t.DialAs(Login{})
}

// DialAs connects and logs in.
func (t *T) DialAs(l Login) *Conn {
	t.Helper()
	c, err := t.TryDial(l)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return c
}

// TryDial connects and logs in, which may be refused; see Conn.Login.
func (t *T) TryDial(l Login) (*Conn, error) {
	t.Helper()
	c := t.Peer.raw(t, l.TLS)
	return c, c.Login(l)
}

// Channel is the first channel of a new connection.
func (t *T) Channel() *Channel {
	t.Helper()
	return t.Dial().Channel()
}

func (p *Peer) raw(t *T, config *tls.Config) *Conn {
	t.Helper()
	addr := address(p.url)
	if config != nil {
		addr = p.TLSAddr
	}
	nc, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	if config != nil {
		tc := tls.Client(nc, config)
		nc = tc
	} else if p.url.Scheme == "amqps" {
		nc = tls.Client(nc, &tls.Config{ServerName: p.url.Hostname()})
	}
	return newConn(t, nc)
}

// cleanQueue deletes a queue at the end of the case.
func (t *T) cleanQueue(c *Conn, name string) {
	t.cleanObject(c, &wire.QueueDelete{Queue: name})
}

// cleanExchange deletes an exchange at the end of the case.
func (t *T) cleanExchange(c *Conn, name string) {
	t.cleanObject(c, &wire.ExchangeDelete{Exchange: name})
}

// object is something that the case declared and the end of the case deletes.
type object struct {
	vhost  string
	delete wire.Method
}

func (t *T) cleanObject(c *Conn, m wire.Method) {
	t.mu.Lock()
	t.objects = append(t.objects, object{c.vhost, m})
	t.mu.Unlock()
}

// sweep deletes what the case declared in the peer's own vhost; other vhosts go as a
// whole.
func (t *T) sweep() {
	t.mu.Lock()
	objects := t.objects
	t.objects = nil
	t.mu.Unlock()
	var c *Conn
	for _, o := range objects {
		if t.own || o.vhost != t.Peer.vhost() {
			continue
		}
		if c == nil {
			var err error
			if c, err = t.TryDial(Login{}); err != nil {
				return
			}
		}
		c.nextID++
		c.SendMethod(c.nextID, &wire.ChannelOpen{})
		c.SendMethod(c.nextID, o.delete)
		_, err := c.await(c.nextID, time.Now().Add(Patience), isMethod(wire.IDQueueDeleteOk, wire.IDExchangeDeleteOk, wire.IDChannelClose))
		if err != nil {
			t.Logf("cleaning up: %v", err)
			return
		}
	}
}

// run runs the case.
func (t *T) run() Result {
	t.start = time.Now()
	stage := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v\n%s", p, debug.Stack())
				}
			}()
			f()
		}()
		<-done
	}
	stage(func() { t.Case.Run(t) })
	stage(func() { t.cleanup() })
	stage(func() { t.sweep(); t.cleanup() })
	r := Result{Case: t.Case, Status: Passed, Took: time.Since(t.start)}
	switch {
	case t.failed:
		r.Status, r.Text = Failed, strings.Join(t.lines, "\n")
	case t.notRun != "":
		r.Status, r.Text = NotRun, t.notRun
	case os.Getenv("CONFORMANCE_LOG") != "":
		r.Text = strings.Join(t.lines, "\n")
	}
	return r
}

// cleanup calls the functions of Cleanup.
func (t *T) cleanup() {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		f()
	}
}
