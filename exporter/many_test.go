package exporter_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/broker"
)

// manyQueues makes a world with so many queues in one vhost.
func manyQueues(t testing.TB, n int) *world {
	w := newWorld(t)
	s, err := w.b.NewSession("/", must1(w.b.LookUpUser("guest", true)), nobody{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	for i := range n {
		_, err := s.DeclareQueue(broker.QueueSpec{Name: fmt.Sprint("queue-", i)})
		must(t, err)
	}
	w.sample()
	return w
}

// scrape is a GET whose answer nobody keeps.
func (w *world) scrape(path string) (bytes int) {
	r := &discarded{header: http.Header{}}
	w.handler.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
	return r.n
}

type discarded struct {
	header http.Header
	n      int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(int)             {}
func (d *discarded) Write(p []byte) (int, error) { d.n += len(p); return io.Discard.Write(p) }

// quickest is the shortest of many scrapes: what else the machine does makes the others
// longer.
func (w *world) quickest(path string) time.Duration {
	best := time.Hour
	for range 100 {
		begin := time.Now()
		w.scrape(path)
		best = min(best, time.Since(begin))
	}
	return best
}

// TestManyQueuesDoNotSlowTheAggregatedScrape: 100,000 are hardly slower than ten,
// where a walk over them would take a hundred times as long.
func TestManyQueuesDoNotSlowTheAggregatedScrape(t *testing.T) {
	many := 100_000
	if raceEnabled { // which makes everything slow
		many = 5_000
	}
	few, lots := manyQueues(t, 10), manyQueues(t, many)
	wants(t, lots.parse("/metrics"), map[string]float64{"rabbitmq_queues": float64(many)})
	if a, b := few.scrape("/metrics"), lots.scrape("/metrics"); b > a+a/10 {
		t.Errorf("%d bytes with few queues, %d with many", a, b)
	}
	a, b := few.quickest("/metrics"), lots.quickest("/metrics")
	ratio := float64(b) / float64(a)
	t.Logf("%v with 10 queues, %v with %d: %.2f times as long", a, b, many, ratio)
	if ratio > 3 {
		t.Errorf("%v with 10 queues, %v with %d", a, b, many)
	}
	begin := time.Now()
	n := lots.scrape("/metrics/per-object")
	t.Logf("/metrics/per-object: %d MB in %v", n>>20, time.Since(begin))
	if n < 100*many {
		t.Errorf("%d bytes tell of %d queues", n, many)
	}
}

func BenchmarkAggregated(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		w := manyQueues(b, n)
		b.Run(fmt.Sprint(n, " queues"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.scrape("/metrics")
			}
		})
	}
}

func BenchmarkPerObject(b *testing.B) {
	w := manyQueues(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		w.scrape("/metrics/per-object")
	}
}
