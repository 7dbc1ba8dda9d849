package exporter

import (
	"runtime/metrics"
	"time"

	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/monitor"
	"github.com/leveret-mq/leveret/store"
)

// Source is what is told of: a broker and its monitor (see Watched).
type Source interface {
	// Alarm tells why publishers are held up, "" where they are not.
	Alarm() string
	// Err is the failure after which nothing persistent is taken, or nil.
	Err() error
	Resources() broker.Resources
	Storage() store.Metrics
	Counts() (stats.Counts, stats.Churn)
	CountsOf(t stats.QueueType) stats.Counts
	GlobalCounts() stats.Global
	Logins() []broker.LoginCount
	AuditLog() *audit.Log
	ClusterName() string

	EachQueue(fn func(broker.QueueSample) bool)
	EachExchange(fn func(broker.ExchangeSample) bool)
	EachChannel(fn func(broker.ChannelSample) bool)
	EachConnection(fn func(broker.ConnectionSample) bool)
	VHosts() []broker.VHost
	Exchanges(vhost string) ([]broker.ExchangeListing, error)
	Bindings(vhost string) ([]broker.BindingListing, error)

	// Totals are the sums of the last sample, so that no scrape walks over all queues.
	Totals() *monitor.Totals
	// Node is of the process, at the last sample.
	Node() *monitor.NodeFigures
}

// Watched is a broker with its monitor, as a Source.
func Watched(b *broker.Broker, m *monitor.Monitor) Source { return watched{b, m} }

type watched struct {
	*broker.Broker
	m *monitor.Monitor
}

func (w watched) Totals() *monitor.Totals    { return w.m.Totals() }
func (w watched) Node() *monitor.NodeFigures { return w.m.Node() }

// view is what is not of single objects, as it is at a scrape.
type view struct {
	totals    *monitor.Totals
	node      *monitor.NodeFigures
	resources broker.Resources
	storage   store.Metrics
	counts    stats.Counts // of all queues
	byType    [stats.QueueTypes]stats.Counts
	global    stats.Global
	churn     stats.Churn
	uptime    time.Duration
}

func look(src Source) *view {
	v := &view{totals: src.Totals(), node: src.Node(), resources: src.Resources(), storage: src.Storage(), global: src.GlobalCounts()}
	_, v.churn = src.Counts()
	for t := range v.byType {
		v.byType[t] = src.CountsOf(stats.QueueType(t))
		v.counts.Add(v.byType[t])
	}
	v.uptime = time.Since(v.resources.Started)
	return v
}

// runnable is how many goroutines wait for a processor.
func runnable() float64 {
	s := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return float64(s[0].Value.Uint64())
}
