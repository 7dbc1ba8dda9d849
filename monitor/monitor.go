package monitor

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/store"
)

// What is kept, in samples: see the package's comment.
const (
	interval     = 5 * time.Second
	coarseEvery  = time.Minute
	fineTicks    = int(time.Hour/interval) + 1
	coarseTicks  = int(24*time.Hour/coarseEvery) + 1
	objectTicks  = int(10*time.Minute/interval) + 1
	memoryOption = 64 << 20
)

// Source is what is watched: a *broker.Broker.
type Source interface {
	Counts() (stats.Counts, stats.Churn)
	VHosts() []broker.VHost
	VHostCounts(vhost string) stats.Counts
	EachQueue(fn func(broker.QueueSample) bool)
	EachExchange(fn func(broker.ExchangeSample) bool)
	EachChannel(fn func(broker.ChannelSample) bool)
	EachConnection(fn func(broker.ConnectionSample) bool)
	Resources() broker.Resources
	Storage() store.Metrics
}

// Options of a Monitor. A zero field takes its default.
type Options struct {
	// Interval is the time between two samples. Default 5 s; negative: samples are
	// taken by calls of Sample alone.
	Interval time.Duration
	// Memory bounds the bytes of the samples of vhosts, queues, exchanges, channels
	// and connections. Default 64 MiB.
	Memory int64
	// MaxSockets is how many connections of clients there may be, for NodeFigures; 0:
	// as many as open files.
	MaxSockets int
}

// Monitor samples a broker. Its methods may be called by any goroutine.
type Monitor struct {
	src  Source
	opts Options
	stop chan struct{}
	done chan struct{}

	sampling sync.Mutex // one sample at a time; before mu
	pause    func()     // between some objects and the next; nil: there is none
	buffer   []change   // of flush
	vhosts   map[string]*vhostSums
	last     struct{ at, coarse time.Time }
	wal      walSeen
	gone     Sums // traffic of vhosts that are gone

	totals atomic.Pointer[Totals]
	node   atomic.Pointer[NodeFigures]

	// mu guards what follows. It is held for short, and no lock of the broker is
	// taken below it.
	mu     sync.RWMutex
	fine   clock
	coarse clock
	room   budget
	own    [VHost]*series // of Broker and Node
	named  map[string]*series
	found  [kinds]map[uint64]*entry
}

// New begins to sample a broker; the first sample is taken before it returns.
func New(src Source, o Options) *Monitor {
	if o.Interval == 0 {
		o.Interval = interval
	}
	if o.Memory == 0 {
		o.Memory = memoryOption
	}
	m := &Monitor{
		src: src, opts: o, stop: make(chan struct{}), done: make(chan struct{}),
		vhosts: map[string]*vhostSums{}, buffer: make([]change, 0, flushAt), room: budget{o.Memory},
		fine: clock{at: make([]time.Time, fineTicks)}, coarse: clock{at: make([]time.Time, coarseTicks)},
		named: map[string]*series{},
	}
	for k := Queue; k < kinds; k++ {
		m.found[k] = map[uint64]*entry{}
	}
	m.totals.Store(&Totals{})
	m.node.Store(&NodeFigures{})
	m.Sample(time.Now())
	if o.Interval < 0 {
		close(m.done)
	} else {
		go m.run()
	}
	return m
}

// Close ends the sampling. What was sampled can be asked for still.
func (m *Monitor) Close() {
	close(m.stop)
	<-m.done
}

// run samples at multiples of the interval by the clock on the wall, so that the
// times of samples are round.
func (m *Monitor) run() {
	defer close(m.done)
	for {
		now := time.Now()
		t := time.NewTimer(now.Truncate(m.opts.Interval).Add(m.opts.Interval).Sub(now))
		select {
		case at := <-t.C:
			m.sample(at, pause)
		case <-m.stop:
			t.Stop()
			return
		}
	}
}

// pause gives the processor away for a moment, so that a walk over many objects delays
// no message by the time that it takes.
func pause() { time.Sleep(time.Millisecond) }

// Sample takes a sample. Tests call it with times of their own, which must grow.
func (m *Monitor) Sample(now time.Time) { m.sample(now, nil) }

func (m *Monitor) sample(now time.Time, pause func()) {
	m.sampling.Lock()
	defer m.sampling.Unlock()
	m.pause = pause
	seconds := 0.0
	if !m.last.at.IsZero() {
		seconds = now.Sub(m.last.at).Seconds()
		if seconds <= 0 {
			return
		}
	}
	m.last.at = now

	t := &Totals{Time: now}
	tick := m.begin(now)
	m.sampleConnections(tick, seconds)
	m.sampleChannels(tick, seconds)
	m.sampleQueues(tick, seconds)
	m.sampleExchanges(tick, seconds)
	m.sampleVHosts(tick, seconds, t)
	m.sampleNode(tick, seconds, t)
	m.sampleBroker(tick, seconds, t)
	m.end(now)
	m.totals.Store(t)
}

// begin notes the time of a sample.
func (m *Monitor) begin(now time.Time) (tick int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fine.tick(now)
	return m.fine.ticks - 1
}

// end keeps the sample for longer, if it is the minute's.
func (m *Monitor) end(now time.Time) {
	if now.Sub(m.last.coarse) < coarseEvery-m.tolerance() {
		return
	}
	m.last.coarse = now
	m.mu.Lock()
	defer m.mu.Unlock()
	tick := m.coarse.ticks
	m.coarse.tick(now)
	for _, s := range m.own {
		s.coarse.put(tick, s.cur)
	}
	for _, s := range m.named {
		s.coarse.put(tick, s.cur)
	}
}

// tolerance is by how much a sample's time may be off what it should be.
func (m *Monitor) tolerance() time.Duration {
	if m.opts.Interval < 0 {
		return interval / 2
	}
	return m.opts.Interval / 2
}

// note adds to a series with a name, or to one of the monitor's own, which is made
// where there is none; mu is held. fresh tells that all was 0 before.
func (m *Monitor) note(s **series, k Kind, v *sample, fresh bool, tick int, seconds float64, b *budget) {
	width := len(kept[k])
	if *s == nil {
		*s = newSeries(width, fineTicks, coarseTicks, tick)
		if !fresh {
			copy((*s).cur, v[:width])
			seconds = 0
		}
	}
	(*s).add(v[:width], tick, seconds, b)
}

var unbounded = &budget{math.MaxInt64}

func (m *Monitor) sampleBroker(tick int, seconds float64, t *Totals) {
	counts, churn := m.src.Counts()
	t.Counts, t.Churn = counts, churn
	var v sample
	set := func(f Field, n uint64) { v[place[Broker][f]] = float64(n) }
	putCounts(&v, Broker, &counts)
	set(Ready, uint64(t.Ready))
	set(Unacked, uint64(t.Unacked))
	set(ReceivedBytes, t.ReceivedBytes)
	set(SentBytes, t.SentBytes)
	set(ConnectionCreated, churn.ConnectionCreated)
	set(ConnectionClosed, churn.ConnectionClosed)
	set(ChannelCreated, churn.ChannelCreated)
	set(ChannelClosed, churn.ChannelClosed)
	set(QueueDeclared, churn.QueueDeclared)
	set(QueueCreated, churn.QueueCreated)
	set(QueueDeleted, churn.QueueDeleted)
	set(DiskReads, t.DiskReads)
	set(DiskWrites, t.DiskWrites)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note(&m.own[Broker], Broker, &v, false, tick, seconds, unbounded)
}

// putCounts sets the figures that a kind has of counts.
func putCounts(v *sample, k Kind, c *stats.Counts) {
	for _, each := range [...]struct {
		f Field
		n uint64
	}{
		{Publish, c.Publish}, {Confirm, c.Confirm}, {ReturnUnroutable, c.ReturnUnroutable}, {DropUnroutable, c.DropUnroutable},
		{PublishIn, c.PublishIn}, {PublishOut, c.PublishOut}, {Deliver, c.Deliver}, {DeliverNoAck, c.DeliverNoAck},
		{Get, c.Get}, {GetNoAck, c.GetNoAck}, {GetEmpty, c.GetEmpty}, {Redeliver, c.Redeliver}, {Ack, c.Ack},
	} {
		if i := place[k][each.f]; i >= 0 {
			v[i] = float64(each.n)
		}
	}
}
