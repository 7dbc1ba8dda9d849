package httpd

import (
	"net"
	"runtime"
	"strconv"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/identity"
	"github.com/leveret-mq/leveret/monitor"
)

// overviewPaths are what this file answers.
var overviewPaths = map[string]resource{
	"/api/overview": {get: action{management, getOverview}},
}

// Listener is where the process can be reached.
type Listener struct {
	Protocol string // RabbitMQ's word: amqp, amqp/ssl, http, http/prometheus
	Addr     string // host:port
	// Certificate tells of the certificate that it has now, and until when that is
	// valid; nil: it has none.
	Certificate func() (subject string, notAfter time.Time)
}

// SetListeners tells where the process can be reached, for who asks the API. It comes
// before SetBroker.
func (s *Server) SetListeners(all []Listener) { s.listeners.Store(&all) }

// reachable are the listeners.
func (s *Server) reachable() []Listener {
	if all := s.listeners.Load(); all != nil {
		return *all
	}
	return nil
}

func (l *Listener) hostAndPort() (host string, port int) {
	host, digits, err := net.SplitHostPort(l.Addr)
	if err != nil {
		return l.Addr, 0
	}
	port, _ = strconv.Atoi(digits)
	return host, port
}

// listenerJSON is a listener in answers.
type listenerJSON struct {
	Node     string         `json:"node"`
	Protocol string         `json:"protocol"`
	Address  string         `json:"ip_address"`
	Port     int            `json:"port"`
	Options  map[string]any `json:"socket_opts"`
}

func (s *Server) showListener(l *Listener) listenerJSON {
	host, port := l.hostAndPort()
	return listenerJSON{identity.Node, l.Protocol, host, port, map[string]any{"backlog": 128, "nodelay": true}}
}

// contextJSON is what is served over HTTP.
type contextJSON struct {
	Node        string `json:"node,omitempty"`
	Description string `json:"description"`
	Path        string `json:"path"`
	Address     string `json:"ip"`
	Port        string `json:"port"`
	Protocol    string `json:"protocol,omitempty"`
	Options     string `json:"cowboy_opts"`
	TLS         []any  `json:"ssl_opts"`
}

func (s *Server) contexts() []contextJSON {
	out := []contextJSON{}
	for _, l := range s.reachable() {
		host, port := l.hostAndPort()
		each := contextJSON{Node: identity.Node, Path: "/", Address: host, Port: strconv.Itoa(port), Options: "[]", TLS: []any{}}
		switch l.Protocol {
		case "http", "https":
			each.Description = "RabbitMQ Management"
		case "http/prometheus":
			each.Description, each.Protocol = "RabbitMQ Prometheus", l.Protocol
		default:
			continue
		}
		out = append(out, each)
	}
	return out
}

// typeJSON is a type of exchange.
type typeJSON struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Enabled     bool   `json:"enabled"`
}

var exchangeTypes = []typeJSON{
	{"direct", "AMQP direct exchange, as per the AMQP specification", true},
	{"fanout", "AMQP fanout exchange, as per the AMQP specification", true},
	{"headers", "AMQP headers exchange, as per the AMQP specification", true},
	{"topic", "AMQP topic exchange, as per the AMQP specification", true},
	{"x-consistent-hash", "Consistent hashing of the routing key", true},
	{"x-delayed-message", "Messages are kept for as long as their header x-delay says", true},
	{"x-random", "One destination, chosen by chance", true},
}

// churnStats are what came and went.
func churnStats(c *stats.Churn, f figures) statList {
	var l statList
	for _, each := range []struct {
		of monitor.Field
		n  uint64
	}{
		{monitor.ConnectionCreated, c.ConnectionCreated}, {monitor.ConnectionClosed, c.ConnectionClosed},
		{monitor.ChannelCreated, c.ChannelCreated}, {monitor.ChannelClosed, c.ChannelClosed},
		{monitor.QueueDeclared, c.QueueDeclared}, {monitor.QueueCreated, c.QueueCreated}, {monitor.QueueDeleted, c.QueueDeleted},
	} {
		l = l.add(&f, each.of, float64(each.n))
	}
	return l
}

// objectTotals count what there is.
type objectTotals struct {
	Channels    int `json:"channels"`
	Connections int `json:"connections"`
	Consumers   int `json:"consumers"`
	Exchanges   int `json:"exchanges"`
	Queues      int `json:"queues"`
}

// Sums over at most so many objects are of the moment; those over more are of the
// monitor's last sample.
const (
	sumsNow        = 10_000 // queues
	connectionsNow = 1000
)

// sums counts what is in the vhosts that the user sees.
func (c *call) sums() (vhosts []string, objects objectTotals, ready, unacked int) {
	var sampled *monitor.Totals
	if m := c.s.monitor.Load(); m != nil && m.Totals().Queues > sumsNow {
		sampled = m.Totals()
	}
	for _, v := range c.b.VHosts() {
		if !c.has(monitoring) && !c.mayEnter(v.Name) {
			continue
		}
		vhosts = append(vhosts, v.Name)
		if sampled != nil {
			s := sampled.VHosts[v.Name]
			objects.Queues += s.Queues
			objects.Exchanges += s.Exchanges
			objects.Consumers += s.Consumers
			ready, unacked = ready+int(s.Ready), unacked+int(s.Unacked)
			continue
		}
		t := c.b.Totals(v.Name)
		objects.Queues += t.Queues
		objects.Exchanges += t.Exchanges
		objects.Consumers += t.Consumers
		ready, unacked = ready+t.Ready, unacked+t.Unacked
	}
	return vhosts, objects, ready, unacked
}

func getOverview(c *call) error {
	w, err := c.windows()
	if err != nil {
		return err
	}
	plain, totals := c.plain()
	out := map[string]any{
		"management_version": identity.RabbitMQ, "rabbitmq_version": identity.RabbitMQ, "product_name": "RabbitMQ", "product_version": identity.RabbitMQ,
		"leveret_version": c.s.opts.Version, "erlang_version": "none", "erlang_full_version": runtime.Version(), "release_series_support_status": "supported",
		"node": identity.Node, "cluster_name": c.b.ClusterName(), "exchange_types": exchangeTypes,
		"rates_mode": "basic", "disable_stats": plain, "enable_queue_totals": totals, "statistics_db_event_queue": 0,
		"sample_retention_policies": map[string][]int{"global": {600, 3600, 28800, 86400}, "basic": {600, 3600}, "detailed": {600}},
	}
	if c.has(monitoring) {
		listeners := []listenerJSON{}
		for _, l := range c.s.reachable() {
			listeners = append(listeners, c.s.showListener(&l))
		}
		out["listeners"], out["contexts"] = listeners, c.s.contexts()
	}
	vhosts, objects, ready, unacked := c.sums()
	counts, churn := c.b.Counts()
	var lengths, rates figures
	if c.has(monitoring) {
		if m := c.s.monitor.Load(); m != nil && m.Totals().Connections > connectionsNow {
			objects.Connections, objects.Channels = m.Totals().Connections, m.Totals().Channels
		} else {
			c.countConnections(&objects, func(*broker.ConnectionListing) bool { return true })
		}
		lengths, rates = c.figures(monitor.Object{Kind: monitor.Broker}, w.lengths), c.figures(monitor.Object{Kind: monitor.Broker}, w.rates)
	} else { // what is going on where the user may look
		c.countConnections(&objects, func(l *broker.ConnectionListing) bool { return l.User == c.user.Name })
		counts = stats.Counts{}
		for _, vhost := range vhosts {
			counts.Add(c.b.VHostCounts(vhost))
		}
		lengths, rates = c.sumFigures(vhosts, w.lengths), c.sumFigures(vhosts, w.rates)
	}
	out["object_totals"] = objects
	if plain {
		out["object_totals"] = map[string]int{"queues": objects.Queues, "exchanges": objects.Exchanges, "connections": objects.Connections}
		return c.one(out)
	}
	out["queue_totals"] = showLengths(ready, unacked, lengths)
	counts.PublishIn, counts.PublishOut = 0, 0 // those are exchanges' only
	shown := messageStats(&counts, rates, true)
	if m := c.s.monitor.Load(); m != nil && c.has(monitoring) {
		t := m.Totals()
		shown = shown.add(&rates, monitor.DiskReads, float64(t.DiskReads)).add(&rates, monitor.DiskWrites, float64(t.DiskWrites))
		out["churn_rates"] = churnStats(&churn, rates)
	}
	if shown == nil {
		shown = statList{}
	}
	out["message_stats"] = shown
	return c.one(out)
}

// countConnections counts those that are wanted, and their channels.
func (c *call) countConnections(to *objectTotals, want func(*broker.ConnectionListing) bool) {
	for _, l := range c.b.Connections() {
		if want(&l) {
			to.Connections++
			to.Channels += l.Channels
		}
	}
}

// sumFigures are those of several vhosts together.
func (c *call) sumFigures(vhosts []string, w *monitor.Window) (sum figures) {
	for i, vhost := range vhosts {
		f := c.figures(monitor.Object{Kind: monitor.VHost, Name: vhost}, w)
		if i == 0 {
			sum = f
			continue
		}
		sum.rates.Add(&f.rates)
		if sum.history != nil && f.history != nil {
			sum.history.Add(f.history)
		}
	}
	return sum
}
