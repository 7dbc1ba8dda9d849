package monitor

import (
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a broker whose objects a test sets.
type fake struct {
	counts      stats.Counts
	churn       stats.Churn
	vhosts      []string
	ofVHost     map[string]stats.Counts
	queues      []broker.QueueSample
	exchanges   []broker.ExchangeSample
	channels    []broker.ChannelSample
	connections []broker.ConnectionSample
	storage     store.Metrics
	resources   broker.Resources
}

func (f *fake) Counts() (stats.Counts, stats.Churn) { return f.counts, f.churn }
func (f *fake) VHosts() (list []broker.VHost) {
	for _, name := range f.vhosts {
		list = append(list, broker.VHost{Name: name})
	}
	return list
}
func (f *fake) VHostCounts(vhost string) stats.Counts                { return f.ofVHost[vhost] }
func (f *fake) EachQueue(fn func(broker.QueueSample) bool)           { each(f.queues, fn) }
func (f *fake) EachExchange(fn func(broker.ExchangeSample) bool)     { each(f.exchanges, fn) }
func (f *fake) EachChannel(fn func(broker.ChannelSample) bool)       { each(f.channels, fn) }
func (f *fake) EachConnection(fn func(broker.ConnectionSample) bool) { each(f.connections, fn) }
func (f *fake) Resources() broker.Resources                          { return f.resources }
func (f *fake) Storage() store.Metrics                               { return f.storage }

func each[T any](list []T, fn func(T) bool) {
	for _, x := range list {
		if !fn(x) {
			return
		}
	}
}

// clocked is a monitor whose samples are taken by the test.
type clocked struct {
	*Monitor
	t   *testing.T
	now time.Time
}

func watch(t *testing.T, f *fake, o Options) *clocked {
	t.Helper()
	o.Interval = -1
	m := New(f, o)
	t.Cleanup(m.Close)
	return &clocked{m, t, m.last.at}
}

// after takes a sample 5 s after the one before.
func (c *clocked) after() {
	c.now = c.now.Add(5 * time.Second)
	c.Sample(c.now)
}

func (c *clocked) rate(o Object, f Field) float64 {
	r := c.Rates(o)
	return math.Round(r.Of(f)*1000) / 1000
}

func (c *clocked) expectRate(o Object, f Field, want float64) {
	c.t.Helper()
	if got := c.rate(o, f); got != want {
		c.t.Errorf("%s of %+v: %v a second, want %v", f, o, got, want)
	}
}

func (c *clocked) values(o Object, f Field, w Window) []float64 {
	h := c.History(o, w)
	v, _ := h.Values(f)
	return v
}

var whole = Object{Kind: Broker}

func TestRatesAreOfTheLastInterval(t *testing.T) {
	f := &fake{vhosts: []string{"/"}, ofVHost: map[string]stats.Counts{}, queues: []broker.QueueSample{{ID: 1, VHost: "/", Name: "q"}}}
	m := watch(t, f, Options{})
	m.after()
	q := Object{Kind: Queue, ID: 1}
	f.queues[0].Counts = stats.Counts{Publish: 100, Deliver: 30, GetNoAck: 5}
	f.queues[0].Ready, f.queues[0].Unacked = 70, 10
	f.counts = stats.Counts{Publish: 100}
	f.ofVHost["/"] = f.counts
	m.after()
	m.expectRate(q, Publish, 20)
	m.expectRate(q, Deliver, 6)
	m.expectRate(q, DeliverGet, 7)
	m.expectRate(q, Ready, 14)
	m.expectRate(q, Messages, 16)
	m.expectRate(q, Confirm, 0)
	m.expectRate(whole, Publish, 20)
	m.expectRate(whole, Ready, 14)
	m.expectRate(Object{Kind: VHost, Name: "/"}, Publish, 20)
	m.expectRate(Object{Kind: VHost, Name: "/"}, Messages, 16)
	m.expectRate(Object{Kind: VHost, Name: "other"}, Publish, 0)
	f.queues[0].Ready = 0
	m.after()
	m.expectRate(q, Publish, 0)
	m.expectRate(q, Ready, -14)
	m.expectRate(whole, Publish, 0)
}

func TestWhatIsThereBeforeTheMonitorIsNoRate(t *testing.T) {
	f := &fake{queues: []broker.QueueSample{{ID: 1, Counts: stats.Counts{Publish: 1000}, Ready: 1000}}, counts: stats.Counts{Publish: 1000}}
	m := watch(t, f, Options{})
	m.expectRate(Object{Kind: Queue, ID: 1}, Publish, 0)
	m.after()
	m.expectRate(Object{Kind: Queue, ID: 1}, Publish, 0)
	m.expectRate(Object{Kind: Queue, ID: 1}, Ready, 0)
	m.expectRate(whole, Publish, 0)
}

func TestANewObjectsFirstIntervalCounts(t *testing.T) {
	f := &fake{}
	m := watch(t, f, Options{})
	m.after()
	f.queues = []broker.QueueSample{{ID: 7, Counts: stats.Counts{Publish: 50}, Ready: 50}}
	f.connections = []broker.ConnectionSample{{ID: 8, VHost: "/", Traffic: stats.Traffic{ReceivedBytes: 500}}}
	f.channels = []broker.ChannelSample{{ID: 9, Counts: stats.Counts{Confirm: 5}}}
	f.exchanges = []broker.ExchangeSample{{ID: 10, Counts: stats.Counts{PublishIn: 10, PublishOut: 20}}}
	m.after()
	m.expectRate(Object{Kind: Queue, ID: 7}, Publish, 10)
	m.expectRate(Object{Kind: Queue, ID: 7}, Messages, 10)
	m.expectRate(Object{Kind: Connection, ID: 8}, ReceivedBytes, 100)
	m.expectRate(Object{Kind: Channel, ID: 9}, Confirm, 1)
	m.expectRate(Object{Kind: Exchange, ID: 10}, PublishOut, 4)
}

func TestSamplesAreOfTheTimesThatAreAskedFor(t *testing.T) {
	f := &fake{queues: []broker.QueueSample{{ID: 1}}}
	m := watch(t, f, Options{})
	for range 20 {
		f.queues[0].Counts.Publish += 10
		f.queues[0].Ready += 2
		f.counts.Publish += 10
		m.after()
	}
	q := Object{Kind: Queue, ID: 1}
	for _, o := range []Object{q, whole} {
		h := m.History(o, Window{Age: 30 * time.Second, Every: 10 * time.Second})
		v, ok := h.Values(Publish)
		if want := []float64{200, 180, 160, 140}; !ok || !equal(v, want) {
			t.Errorf("%v, want %v", v, want)
		}
		for i, at := range h.Times {
			if want := m.now.Add(-time.Duration(i) * 10 * time.Second); !at.Equal(want) {
				t.Errorf("sample %d is of %v, want %v", i, at, want)
			}
		}
	}
	if v, want := m.values(q, Messages, Window{Age: 5 * time.Second, Every: time.Second}), []float64{40, 38}; !equal(v, want) {
		t.Errorf("%v, want %v", v, want)
	}
	// The sample of New, too, of which the queue had nothing.
	if v := m.values(q, Publish, Window{Age: time.Hour, Every: 5 * time.Second}); len(v) != 21 || v[20] != 0 || v[19] != 10 {
		t.Errorf("%v", v)
	}
}

func equal(x, y []float64) bool {
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

func TestTheRingKeepsTenMinutesOfAQueueAndAnHourOfTheBroker(t *testing.T) {
	f := &fake{queues: []broker.QueueSample{{ID: 1}}, vhosts: []string{"/"}}
	m := watch(t, f, Options{})
	for range 1000 {
		f.queues[0].Counts.Publish++
		f.counts.Publish++
		m.after()
	}
	all := Window{Age: 24 * time.Hour, Every: 5 * time.Second}
	v := m.values(Object{Kind: Queue, ID: 1}, Publish, all)
	if len(v) != objectTicks || v[0] != 1000 || v[len(v)-1] != 1000-600/5 {
		t.Errorf("%d samples of the queue, from %v to %v", len(v), v[len(v)-1], v[0])
	}
	hour := m.values(whole, Publish, Window{Age: time.Hour, Every: 5 * time.Second})
	if len(hour) != fineTicks || hour[0] != 1000 || hour[len(hour)-1] != 1000-3600/5 {
		t.Errorf("%d samples of the hour, from %v to %v", len(hour), hour[len(hour)-1], hour[0])
	}
	day := m.values(whole, Publish, all)
	if want := 1000*5/60 + 1; len(day) != want || day[0] < 1000-12 || day[len(day)-1] != 0 {
		t.Errorf("%d samples of the day, want %d; from %v to %v", len(day), want, day[len(day)-1], day[0])
	}
}

func TestAnIdleObjectGivesItsRoomBack(t *testing.T) {
	f := &fake{queues: []broker.QueueSample{{ID: 1}}}
	m := watch(t, f, Options{})
	m.after()
	all := m.room.left
	q := Object{Kind: Queue, ID: 1}
	f.queues[0].Counts.Publish, f.queues[0].Ready = 5, 5
	m.after()
	if m.room.left != all-2*int64(objectTicks)*valueBytes {
		t.Errorf("two figures take %d bytes", all-m.room.left)
	}
	for range objectTicks {
		m.after()
	}
	if m.room.left != all || m.found[Queue][1].s != nil {
		t.Errorf("%d bytes are kept of an idle queue", all-m.room.left)
	}
	h := m.History(q, Window{Age: time.Minute, Every: 5 * time.Second})
	if _, ok := h.Values(Publish); ok || len(h.Times) != 13 {
		t.Errorf("an idle queue's samples are not those of what it has now: %d times", len(h.Times))
	}
	// It begins anew, from where it was.
	f.queues[0].Counts.Publish, f.queues[0].Ready = 15, 15
	m.after()
	m.expectRate(q, Publish, 0) // what it was is forgotten
	m.expectRate(q, Ready, 2)
	f.queues[0].Counts.Publish = 25
	m.after()
	m.expectRate(q, Publish, 2)
	f.queues = nil
	m.after()
	if m.room.left != all || len(m.found[Queue]) != 0 {
		t.Errorf("a queue that is gone keeps %d bytes", all-m.room.left)
	}
}

func TestBeyondTheBudgetThereAreRatesAndNoSamples(t *testing.T) {
	f := &fake{}
	for id := range uint64(10) {
		f.queues = append(f.queues, broker.QueueSample{ID: id})
	}
	m := watch(t, f, Options{Memory: 5 * int64(objectTicks) * valueBytes})
	for range 3 {
		for i := range f.queues {
			f.queues[i].Counts.Publish += 5
		}
		m.after()
	}
	with := 0
	for id := range uint64(10) {
		o := Object{Kind: Queue, ID: id}
		m.expectRate(o, Publish, 1)
		h := m.History(o, Window{Age: time.Minute, Every: 5 * time.Second})
		if v, ok := h.Values(Publish); ok && v[0] == 15 {
			with++
		}
	}
	if with != 5 || m.room.left != 0 {
		t.Errorf("%d queues have samples, %d bytes are left", with, m.room.left)
	}
}

func TestTotalsAreSumsOverObjectsByVHost(t *testing.T) {
	f := &fake{
		vhosts: []string{"a", "b", "empty"},
		queues: []broker.QueueSample{
			{ID: 1, VHost: "a", Ready: 10, Unacked: 1, ReadyBytes: 100, UnackedBytes: 10, Consumers: 2},
			{ID: 2, VHost: "a", Ready: 5}, {ID: 3, VHost: "b", Unacked: 3, Consumers: 1},
		},
		exchanges:   []broker.ExchangeSample{{ID: 4, VHost: "a"}, {ID: 5, VHost: "b"}},
		channels:    []broker.ChannelSample{{ID: 6, VHost: "b", Unconfirmed: 4, Prefetch: 10}},
		connections: []broker.ConnectionSample{{ID: 7, VHost: "b", Traffic: stats.Traffic{ReceivedBytes: 100, SentBytes: 200}}},
		churn:       stats.Churn{QueueCreated: 3},
	}
	m := watch(t, f, Options{})
	got := m.Totals()
	want := map[string]Sums{
		"a":     {Queues: 2, Exchanges: 1, Consumers: 2, Ready: 15, Unacked: 1, ReadyBytes: 100, UnackedBytes: 10},
		"b":     {Queues: 1, Exchanges: 1, Channels: 1, Connections: 1, Consumers: 1, Unacked: 3, Unconfirmed: 4, Prefetch: 10, ReceivedBytes: 100, SentBytes: 200},
		"empty": {},
	}
	var all Sums
	for name, s := range want {
		if got.VHosts[name] != s {
			t.Errorf("%s: %+v\nwant %+v", name, got.VHosts[name], s)
		}
		all.add(&s)
	}
	if got.Sums != all || len(got.VHosts) != 3 || got.Churn.QueueCreated != 3 {
		t.Errorf("%+v\nwant %+v", got.Sums, all)
	}
	f.connections, f.vhosts, f.queues, f.exchanges, f.channels = nil, []string{"a"}, nil, nil, nil
	m.after()
	if got := m.Totals(); got.ReceivedBytes != 100 || got.SentBytes != 200 || got.Queues != 0 || len(got.VHosts) != 1 {
		t.Errorf("after the end of a vhost: %+v", got)
	}
	m.after()
	if got := m.Totals(); got.ReceivedBytes != 100 {
		t.Errorf("the bytes of a vhost that is gone: %d", got.ReceivedBytes)
	}
}

func TestAVHostThatIsMadeAgainHasNoNegativeRates(t *testing.T) {
	f := &fake{vhosts: []string{"v"}, ofVHost: map[string]stats.Counts{"v": {Publish: 100}}}
	m := watch(t, f, Options{})
	f.ofVHost["v"] = stats.Counts{Publish: 10}
	m.after()
	m.expectRate(Object{Kind: VHost, Name: "v"}, Publish, 0)
	f.vhosts = nil
	m.after()
	f.vhosts = []string{"v"}
	m.after()
	m.expectRate(Object{Kind: VHost, Name: "v"}, Publish, 2)
}

func TestTheNodeTellsOfItsProcess(t *testing.T) {
	f := &fake{resources: broker.Resources{MemoryUsed: 5, DiskFree: 7}, connections: []broker.ConnectionSample{{ID: 1}}}
	f.storage.WAL.Sync.Count, f.storage.WAL.Sync.Sum, f.storage.WAL.Sync.Max = 100, 100*250, 255
	f.storage.WAL.Sync.Buckets[8] = 100
	m := watch(t, f, Options{MaxSockets: 12})
	n := m.Node()
	if n.ProcessID != os.Getpid() || n.Goroutines == 0 || n.Memory.Total == 0 || n.MemoryUsed != 5 || n.DiskFree != 7 || n.SocketLimit != 12 {
		t.Errorf("%+v", n)
	}
	if n.FDs <= 0 || n.FDLimit < n.FDs || n.Resident <= 0 || n.ContextSwitches == 0 {
		t.Errorf("%d of %d files, %d bytes, %d switches", n.FDs, n.FDLimit, n.Resident, n.ContextSwitches)
	}
	// Then 100 that take a millisecond: the interval's, not those of all time.
	f.storage.WAL.Sync.Count, f.storage.WAL.Sync.Sum, f.storage.WAL.Sync.Max = 200, 100*250+100*1000, 1023
	f.storage.WAL.Sync.Buckets[10] = 100
	m.after()
	if n := m.Node(); n.SyncTime != 1 || n.SyncP50 < 0.5 || n.SyncP99 > 1.023 {
		t.Errorf("fsync took %v ms, the median %v, p99 %v", n.SyncTime, n.SyncP50, n.SyncP99)
	}
	node := Object{Kind: Node}
	m.expectRate(node, SyncCount, 20)
	m.after()
	if v := m.values(node, SyncTime, Window{Age: 10 * time.Second, Every: 5 * time.Second}); len(v) != 3 || v[0] != 0 || v[1] != 1 {
		t.Errorf("%v", v)
	}
}

func TestSamplesAreTakenAtRoundTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(1300 * time.Millisecond)
		m := New(&fake{}, Options{})
		defer m.Close()
		time.Sleep(16 * time.Second)
		synctest.Wait()
		h := m.History(whole, Window{Age: time.Minute, Every: 5 * time.Second})
		if len(h.Times) < 3 {
			t.Fatalf("%d samples in 16 s", len(h.Times))
		}
		for _, at := range h.Times[:3] {
			if at.Truncate(5*time.Second) != at.Round(0) {
				t.Errorf("a sample at %v", at)
			}
		}
	})
}
