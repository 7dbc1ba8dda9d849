package monitor

import (
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
)

// Sums are over objects that are there.
type Sums struct {
	Queues, Exchanges, Channels, Connections, Consumers int

	Ready, Unacked           int64 // messages
	ReadyBytes, UnackedBytes int64 // of their bodies
	Persistent               int64 // of the messages, those that outlive a restart
	PersistentBytes          int64
	Capacity                 float64 // of queues with consumers, QueueSample.Utilisation

	// Publishers are channels that have published.
	Publishers int
	// Of channels.
	ChannelUnacked, Unconfirmed, Uncommitted, AcksUncommitted, Prefetch, GlobalPrefetch int64

	// What went over sockets, of connections that ended too.
	ReceivedBytes, SentBytes uint64
}

// Totals are what the last sample found. They cost nothing to ask for.
type Totals struct {
	Time time.Time // of the sample
	Sums
	Counts stats.Counts
	Churn  stats.Churn
	// DiskReads and DiskWrites are messages that were read from disk, as far as they
	// were not found in memory, and records written to the log.
	DiskReads, DiskWrites uint64
	VHosts                map[string]Sums // not to be changed
}

// Totals are what the last sample found.
func (m *Monitor) Totals() *Totals { return m.totals.Load() }

// vhostSums is a vhost while a sample is taken, and what its connections have carried
// so far.
type vhostSums struct {
	Sums
	fresh bool // was not there at the last sample
	seen  bool
}

// vhost is where the sums of a vhost go. Objects come vhost by vhost, so last is
// nearly always the one.
func (m *Monitor) vhost(last *vhostSums, name, want string) *vhostSums {
	if last != nil && name == want {
		return last
	}
	v := m.vhosts[want]
	if v == nil {
		v = &vhostSums{fresh: true}
		m.vhosts[want] = v
	}
	return v
}

func (m *Monitor) sampleVHosts(tick int, seconds float64, t *Totals) {
	vhosts := m.src.VHosts()
	t.VHosts = make(map[string]Sums, len(vhosts))
	for i := range vhosts {
		name := vhosts[i].Name
		v := m.vhost(nil, "", name)
		v.seen = true
		t.VHosts[name] = v.Sums
		m.sampleVHost(name, v, tick, seconds)
	}
	for name, v := range m.vhosts {
		if !v.seen {
			// What its connections carried stays in the broker's sum.
			m.gone.ReceivedBytes += v.ReceivedBytes
			m.gone.SentBytes += v.SentBytes
			delete(m.vhosts, name)
			m.forget(name)
			continue
		}
		t.add(&v.Sums)
		v.seen, v.fresh = false, false
		v.Sums = Sums{ReceivedBytes: v.ReceivedBytes, SentBytes: v.SentBytes}
	}
	t.ReceivedBytes += m.gone.ReceivedBytes
	t.SentBytes += m.gone.SentBytes
}

func (m *Monitor) sampleVHost(name string, s *vhostSums, tick int, seconds float64) {
	counts := m.src.VHostCounts(name)
	var v sample
	putCounts(&v, VHost, &counts)
	v[place[VHost][Ready]] = float64(s.Ready)
	v[place[VHost][Unacked]] = float64(s.Unacked)
	v[place[VHost][ReceivedBytes]] = float64(s.ReceivedBytes)
	v[place[VHost][SentBytes]] = float64(s.SentBytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	series := m.named[name]
	m.note(&series, VHost, &v, s.fresh && tick > 0, tick, seconds, &m.room)
	m.named[name] = series
}

// forget drops the samples of a vhost.
func (m *Monitor) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.named[name]; s != nil {
		s.drop(&m.room)
		delete(m.named, name)
	}
}

func (s *Sums) add(o *Sums) {
	s.Queues += o.Queues
	s.Exchanges += o.Exchanges
	s.Channels += o.Channels
	s.Connections += o.Connections
	s.Consumers += o.Consumers
	s.Publishers += o.Publishers
	s.Ready += o.Ready
	s.Unacked += o.Unacked
	s.ReadyBytes += o.ReadyBytes
	s.UnackedBytes += o.UnackedBytes
	s.Persistent += o.Persistent
	s.PersistentBytes += o.PersistentBytes
	s.Capacity += o.Capacity
	s.ChannelUnacked += o.ChannelUnacked
	s.GlobalPrefetch += o.GlobalPrefetch
	s.Unconfirmed += o.Unconfirmed
	s.Uncommitted += o.Uncommitted
	s.AcksUncommitted += o.AcksUncommitted
	s.Prefetch += o.Prefetch
	s.ReceivedBytes += o.ReceivedBytes
	s.SentBytes += o.SentBytes
}

func (m *Monitor) sampleConnections(tick int, seconds float64) {
	w := m.walk(Connection, tick, seconds)
	var v *vhostSums
	name := ""
	m.src.EachConnection(func(c broker.ConnectionSample) bool {
		v, name = m.vhost(v, name, c.VHost), c.VHost
		v.Connections++
		e := w.entry(c.ID)
		// What was counted of a connection is in its vhost's sum already.
		var before [2]uint64
		if e != nil {
			before = e.traffic
		}
		v.ReceivedBytes += c.Traffic.ReceivedBytes - before[0]
		v.SentBytes += c.Traffic.SentBytes - before[1]
		w.see(c.ID, e, c.Traffic.ReceivedBytes+c.Traffic.SentBytes, 0, 0, func(x *change) {
			x.traffic = [2]uint64{c.Traffic.ReceivedBytes, c.Traffic.SentBytes}
			x.v[0], x.v[1] = float64(c.Traffic.ReceivedBytes), float64(c.Traffic.SentBytes)
		})
		return true
	})
	w.end()
}

func (m *Monitor) sampleChannels(tick int, seconds float64) {
	w := m.walk(Channel, tick, seconds)
	var v *vhostSums
	name := ""
	m.src.EachChannel(func(c broker.ChannelSample) bool {
		v, name = m.vhost(v, name, c.VHost), c.VHost
		v.Channels++
		if c.Counts.Publish > 0 {
			v.Publishers++
		}
		v.ChannelUnacked += int64(c.Unacked)
		v.GlobalPrefetch += int64(c.GlobalPrefetch)
		v.Unconfirmed += int64(c.Unconfirmed)
		v.Uncommitted += int64(c.Uncommitted)
		v.AcksUncommitted += int64(c.AcksUncommitted)
		v.Prefetch += int64(c.Prefetch)
		w.see(c.ID, w.entry(c.ID), sum(&c.Counts), 0, 0, func(x *change) { putCounts(&x.v, Channel, &c.Counts) })
		return true
	})
	w.end()
}

func (m *Monitor) sampleQueues(tick int, seconds float64) {
	w := m.walk(Queue, tick, seconds)
	var v *vhostSums
	name := ""
	m.src.EachQueue(func(q broker.QueueSample) bool {
		v, name = m.vhost(v, name, q.VHost), q.VHost
		v.Queues++
		v.Consumers += q.Consumers
		v.Ready += int64(q.Ready)
		v.Unacked += int64(q.Unacked)
		v.ReadyBytes += q.ReadyBytes
		v.UnackedBytes += q.UnackedBytes
		v.Persistent += int64(q.Persistent)
		v.PersistentBytes += q.PersistentBytes
		v.Capacity += max(q.Utilisation, 0)
		w.see(q.ID, w.entry(q.ID), sum(&q.Counts), q.Ready, q.Unacked, func(x *change) {
			putCounts(&x.v, Queue, &q.Counts)
			x.v[place[Queue][Ready]], x.v[place[Queue][Unacked]] = float64(q.Ready), float64(q.Unacked)
		})
		return true
	})
	w.end()
}

func (m *Monitor) sampleExchanges(tick int, seconds float64) {
	w := m.walk(Exchange, tick, seconds)
	var v *vhostSums
	name := ""
	m.src.EachExchange(func(x broker.ExchangeSample) bool {
		v, name = m.vhost(v, name, x.VHost), x.VHost
		v.Exchanges++
		w.see(x.ID, w.entry(x.ID), sum(&x.Counts), 0, 0, func(c *change) { putCounts(&c.v, Exchange, &x.Counts) })
		return true
	})
	w.end()
}

// sum grows with every count.
func sum(c *stats.Counts) uint64 {
	return c.Publish + c.Confirm + c.ReturnUnroutable + c.DropUnroutable + c.PublishIn + c.PublishOut +
		c.Deliver + c.DeliverNoAck + c.Get + c.GetNoAck + c.GetEmpty + c.Redeliver + c.Ack
}
