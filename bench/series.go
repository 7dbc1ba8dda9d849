package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Interval is what happened in a part of a run.
type Interval struct {
	// Time is when it ended, since the beginning, and Seconds its length.
	Time    float64 `json:"time"`
	Seconds float64 `json:"seconds"`

	Sent      uint64 `json:"sent"` // messages, in a churn operations
	Confirmed uint64 `json:"confirmed"`
	Nacked    uint64 `json:"nacked"`
	Returned  uint64 `json:"returned"`
	Received  uint64 `json:"received"`

	Confirm  Latencies `json:"confirm"`
	Delivery Latencies `json:"delivery"`
}

// Per is a count a second.
func (v *Interval) Per(n uint64) float64 {
	if v.Seconds <= 0 {
		return 0
	}
	return float64(n) / v.Seconds
}

// Latencies are in milliseconds. All are 0 where none was measured.
type Latencies struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min_ms"`
	P50   float64 `json:"p50_ms"`
	P75   float64 `json:"p75_ms"`
	P90   float64 `json:"p90_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	P9999 float64 `json:"p9999_ms"`
	Max   float64 `json:"max_ms"`
}

func latencies(h *hdrhistogram.Histogram) Latencies {
	if h == nil || h.TotalCount() == 0 {
		return Latencies{}
	}
	at := func(q float64) float64 { return milliseconds(h.ValueAtQuantile(q)) }
	return Latencies{
		Count: h.TotalCount(), Min: milliseconds(h.Min()),
		P50: at(50), P75: at(75), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Max: milliseconds(h.Max()),
	}
}

func milliseconds(ns int64) float64 { return float64(ns) / 1e6 }

// Point of a distribution: Percentile in a hundred took no longer than Latency.
type Point struct {
	Percentile float64 `json:"percentile"`
	Latency    float64 `json:"ms"`
	Count      int64   `json:"count"` // of those
}

func curve(h *hdrhistogram.Histogram) []Point {
	var points []Point
	if h.TotalCount() == 0 {
		return nil
	}
	for _, b := range h.CumulativeDistribution() {
		points = append(points, Point{b.Quantile, milliseconds(b.ValueAt), b.Count})
	}
	return points
}

// series takes the intervals of a run, on a goroutine of its own.
type series struct {
	done, gone chan struct{}

	began, at time.Time
	last      Interval // counts since the beginning
	recent    *hdrhistogram.Histogram
}

// begin starts.
func (s *series) begin(r *run, at time.Time) {
	s.done, s.gone = make(chan struct{}), make(chan struct{})
	s.began, s.at, s.recent = at, at, newHistogram()
	r.wg.Go(func() {
		defer close(s.gone)
		t := time.NewTicker(r.watch.Every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.tick(r)
			case <-s.done:
				return
			case <-r.ctx.Done():
				return
			}
		}
	})
}

// end takes what is left, unless that is next to nothing.
func (s *series) end(r *run) {
	close(s.done)
	<-s.gone
	s.tick(r)
}

// tick tells of one interval. One with nothing in it but a thousandth of the usual
// time, as the last may be, is none.
func (s *series) tick(r *run) {
	now := time.Now()
	sum := Interval{Sent: r.published.load(), Confirmed: r.confirmed.load(), Received: r.consumed.load()}
	for _, p := range r.publishers {
		p.mu.Lock()
		sum.Nacked += p.nacked
		sum.Returned += p.returned
		p.mu.Unlock()
	}
	// A read's nacks are counted before its confirms are.
	sum.Confirmed = max(s.last.Confirmed, sum.Confirmed-min(sum.Confirmed, sum.Nacked))
	if r.cfg.NoConfirm {
		sum.Confirmed = 0
	}
	v := Interval{
		Time: now.Sub(s.began).Seconds(), Seconds: now.Sub(s.at).Seconds(),
		Sent: sum.Sent - s.last.Sent, Confirmed: sum.Confirmed - s.last.Confirmed, Nacked: sum.Nacked - s.last.Nacked,
		Returned: sum.Returned - s.last.Returned, Received: sum.Received - s.last.Received,
	}
	r.confirms.collect(s.recent)
	v.Confirm = latencies(s.recent)
	r.deliveries.collect(s.recent)
	v.Delivery = latencies(s.recent)
	if v.Seconds < r.watch.Every.Seconds()/100 && v.Sent+v.Confirmed+v.Nacked+v.Received == 0 {
		return
	}
	s.at, s.last = now, sum
	r.watch.Each(v)
}
