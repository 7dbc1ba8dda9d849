package monitor

import (
	"runtime"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
)

// idle is a broker with n queues that had messages once.
func idle(n int) *fake {
	f := &fake{vhosts: []string{"/"}}
	for id := range n {
		f.queues = append(f.queues, broker.QueueSample{ID: uint64(id), VHost: "/", Name: "q", Counts: stats.Counts{Publish: 7, Ack: 7}})
	}
	return f
}

func TestIdleQueuesCostASampleNoAllocation(t *testing.T) {
	if raceEnabled { // with which pools forget at random
		return
	}
	perSample := func(queues int) float64 {
		m := watch(t, idle(queues), Options{})
		return testing.AllocsPerRun(20, m.after)
	}
	none, many := perSample(0), perSample(100_000)
	if many > none+5 {
		t.Errorf("a sample of 100,000 idle queues allocates %v times, one of none %v times", many, none)
	}
}

func TestASampleOfManyQueuesPauses(t *testing.T) {
	m := watch(t, idle(10*pauseEvery), Options{})
	pauses := 0
	m.sample(m.last.at.Add(interval), func() { pauses++ })
	if pauses != 10 {
		t.Errorf("%d pauses in %d queues, want 10", pauses, 10*pauseEvery)
	}
	if n := m.Totals().Queues; n != 10*pauseEvery {
		t.Errorf("%d queues were counted", n)
	}
}

func TestWhatIsRememberedOfAnIdleQueueIsSmall(t *testing.T) {
	if raceEnabled { // which takes memory of its own
		return
	}
	const queues = 100_000
	f := idle(queues)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := watch(t, f, Options{})
	m.after()
	runtime.GC()
	runtime.ReadMemStats(&after)
	own := int64(fineTicks+coarseTicks) * 24 // the clocks
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc) - own) / queues; each > 200 {
		t.Errorf("%d bytes an idle queue", each)
	}
	runtime.KeepAlive(m)
}

func BenchmarkSampleOfIdleQueues(b *testing.B) {
	m := New(idle(100_000), Options{Interval: -1})
	defer m.Close()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(5 * time.Second)
		m.Sample(now)
	}
}

func BenchmarkSampleOfBusyQueues(b *testing.B) {
	f := idle(100_000)
	m := New(f, Options{Interval: -1})
	defer m.Close()
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		for i := range f.queues {
			f.queues[i].Counts.Publish += 3
			f.queues[i].Counts.Ack += 3
		}
		now = now.Add(5 * time.Second)
		m.Sample(now)
	}
}
