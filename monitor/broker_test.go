package monitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
)

// many is a broker with queues that nobody uses.
func many(tb testing.TB, queues int) *broker.Broker {
	tb.Helper()
	b, err := broker.Open("data", broker.Options{Reserve: -1, Store: store.Options{FS: vfs.NewMem()}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	s, err := b.NewSession("/", &broker.User{Name: "guest"}, peer{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	for i := range queues {
		if _, err := s.DeclareQueue(broker.QueueSpec{Name: fmt.Sprintf("q%d", i)}); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

type peer struct{ broker.Peer }

func (peer) Name() string { return "a connection" }

func TestASampleOfABrokerSumsItsQueues(t *testing.T) {
	b := many(t, 50)
	m := New(b, Options{Interval: -1})
	defer m.Close()
	s := m.Totals()
	if s.Queues != 50 || s.VHosts["/"].Queues != 50 || s.Exchanges != 7 || s.Churn.QueueCreated != 50 {
		t.Errorf("%+v", s)
	}
	if n := m.Node(); n.Dir != "data" || n.Storage.WAL.Files == 0 || n.Started.IsZero() {
		t.Errorf("%+v", n)
	}
}

func TestIdleQueuesOfABrokerCostASampleNoAllocation(t *testing.T) {
	if raceEnabled { // with which pools forget at random
		return
	}
	perSample := func(queues int) float64 {
		m := New(many(t, queues), Options{Interval: -1})
		defer m.Close()
		now := m.last.at
		return testing.AllocsPerRun(20, func() {
			now = now.Add(5 * time.Second)
			m.Sample(now)
		})
	}
	if few, more := perSample(10), perSample(5000); more > few+10 {
		t.Errorf("a sample of 5000 idle queues allocates %v times, one of 10 %v times", more, few)
	}
}

func BenchmarkSampleOfABrokersIdleQueues(b *testing.B) {
	m := New(many(b, 100_000), Options{Interval: -1})
	defer m.Close()
	now := m.last.at
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(5 * time.Second)
		m.Sample(now)
	}
}
