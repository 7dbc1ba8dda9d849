package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/policy"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/httpd/page"
	"github.com/leveret-mq/leveret/internal/limit"
	"github.com/leveret-mq/leveret/monitor"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// The time that a client is given: see the package's comment.
const (
	headerTimeout = 5 * time.Second
	answerTimeout = 10 * time.Second
	idleTimeout   = 30 * time.Second
	maxHeader     = 16 << 10 // bytes
)

// Options of a server. A zero field takes its default.
type Options struct {
	// Version is what the answers call the release. Default "unknown".
	Version string
	// MaxConnections bounds the connections at a time. Default 64.
	MaxConnections int
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	if o.MaxConnections < 0 {
		return fmt.Errorf("httpd: %d connections at most: want at least 1", o.MaxConnections)
	}
	return nil
}

// Broker is what a server shows and manages: a *broker.Broker.
type Broker interface {
	// Alarm tells why publishers are held up, "" where they are not.
	Alarm() string
	// Err is the failure after which nothing persistent is taken, or nil.
	Err() error
	// Damaged counts the messages that could not be read and were set aside.
	Damaged() int64

	Authenticate(user, password string, loopback bool) (*broker.User, error)
	LookUpUser(name string, loopback bool) (*broker.User, error)
	MayComeFrom(user string, loopback bool) bool

	// Tried notes a login, refused where it says why.
	Tried(by audit.Actor, refused string)
	ActingFor(by audit.Actor) *broker.Acting
	AuditLog() *audit.Log

	NewSession(vhost string, u *broker.User, p broker.Peer) (*broker.Session, error)

	Users() []access.User
	User(name string) (access.User, error)
	PutUser(u access.User) (created bool, err error)
	DeleteUser(name string) error
	SetUserLimit(user, limit string, value int) error
	ClearUserLimit(user, limit string) error

	Permissions() []access.Permissions
	SetPermissions(p access.Permissions) (created bool, err error)
	ClearPermissions(vhost, user string) error
	TopicPermissions() []access.TopicPermissions
	SetTopicPermissions(p access.TopicPermissions) (created bool, err error)
	ClearTopicPermissions(vhost, user string, exchanges ...string) error

	VHosts() []broker.VHost
	VHost(name string) (broker.VHost, error)
	PutVHost(d broker.VHost) (created bool, err error)
	DeleteVHost(name string) error
	SetVHostLimit(vhost, limit string, value int) error
	ClearVHostLimit(vhost, limit string) error

	Policies(vhost string, role policy.Role) ([]*policy.Policy, error)
	Policy(vhost string, role policy.Role, name string) (*policy.Policy, error)
	SetPolicy(vhost string, role policy.Role, p *policy.Policy) (created bool, err error)
	DeletePolicy(vhost string, role policy.Role, name string) error

	Totals(vhost string) broker.Totals
	Queues(vhost string) ([]broker.QueueListing, error)
	Queue(vhost, name string) (broker.QueueListing, error)
	Footprint(vhost, queue string) (broker.Footprint, error)
	QueueRefs(vhost string) ([]broker.QueueRef, error)
	HeadTime(vhost, queue string) (seconds int64, ok bool)
	Exchanges(vhost string) ([]broker.ExchangeListing, error)
	Exchange(vhost, name string) (broker.ExchangeListing, error)
	Bindings(vhost string) ([]broker.BindingListing, error)

	Parameters() []broker.Parameter
	SetParameter(p broker.Parameter) (created bool, err error)
	DeleteParameter(vhost, component, name string) error
	GlobalParameters() []broker.GlobalParameter
	ClusterName() string
	SetGlobalParameter(p broker.GlobalParameter) (created bool, err error)
	DeleteGlobalParameter(name string) error
	Logins() []broker.LoginCount
	Restore(vhost string) (*broker.Session, error)

	// LargeBytes is from where on a body is published by an upload.
	LargeBytes() uint64
	// Wait blocks until everything below lsn is on disk.
	Wait(lsn wal.LSN) error

	Channels() []broker.ChannelListing
	Consumers(vhost string) ([]broker.ConsumerListing, error)
	QueueConsumers(vhost, queue string) ([]broker.ConsumerListing, error)
	Counts() (stats.Counts, stats.Churn)
	VHostCounts(vhost string) stats.Counts
	Resources() broker.Resources
	Storage() store.Metrics

	Connections() []broker.ConnectionListing
	Connection(name string) (broker.ConnectionListing, error)
}

// Server answers requests. It may serve before there is a broker.
type Server struct {
	opts      Options
	http      http.Server
	broker    atomic.Pointer[Broker]
	monitor   atomic.Pointer[monitor.Monitor]
	listeners atomic.Pointer[[]Listener]
	stopping  atomic.Bool
	holders   chan struct{} // one value for each request that may hold large messages
	sorters   chan struct{} // one value for each request that looks through a long list
	sessions  page.Sessions[proof]
}

// NewServer makes a server.
func NewServer(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Version == "" {
		o.Version = "unknown"
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, holders: make(chan struct{}, maxHolders), sorters: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	s.http = http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       answerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return s, nil
}

// handler sends each request where it belongs.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.Handle("GET /", page.Files())
	api, session := s.api(), s.session()
	var origin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.Protect(w.Header())
		// A browser that knows a password sends it along with whatever another site makes
		// it ask.
		if err := origin.Check(r); err != nil {
			answer(w, http.StatusForbidden, (&failure{name: "forbidden", cause: err.Error()}).body())
			return
		}
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/api/") || path == "/api":
			api.ServeHTTP(w, r) // names in its paths may hold what a ServeMux would clean up
		case path == "/page/session":
			session.ServeHTTP(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// SetMonitor gives the server what it shows of rates and of the process; without one
// there are none. It comes before SetBroker.
func (s *Server) SetMonitor(m *monitor.Monitor) { s.monitor.Store(m) }

// SetBroker tells that recovery is over.
func (s *Server) SetBroker(b Broker) { s.broker.Store(&b) }

// Stop tells that the broker is about to end. Requests are answered until
// Shutdown.
func (s *Server) Stop() { s.stopping.Store(true) }

// Serve answers requests until Shutdown, and returns nil then. It closes ln.
func (s *Server) Serve(ln net.Listener) error {
	bounded := limit.New(ln, s.opts.MaxConnections)
	s.http.ConnState = bounded.State
	err := s.http.Serve(bounded)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("http listener %s: %w", ln.Addr(), err)
}

// Shutdown stops accepting, lets requests end, and cuts what is left when ctx
// ends, whose error it returns then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Stop()
	err := s.http.Shutdown(ctx)
	if err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
