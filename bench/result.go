package bench

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/process"
)

// Result is what a run measured.
type Result struct {
	Config Config `json:"config"`

	// Seconds is the length of the measurement. The counts below are of the
	// whole run, warm-up and settling included; rates and latencies are of the
	// measurement alone.
	Seconds     float64 `json:"seconds"`
	Published   uint64  `json:"published"`
	Confirmed   uint64  `json:"confirmed"`
	Nacked      uint64  `json:"nacked"`
	Returned    uint64  `json:"returned"`
	Consumed    uint64  `json:"consumed"`
	Redelivered uint64  `json:"redelivered"`
	// Disordered counts deliveries that did not follow the one before of their
	// publisher in its queue or, where consumers share the queue, came after a later
	// one. Brokers promise that order.
	Disordered uint64 `json:"disordered"`

	// PublishRate is confirms (without confirms: messages written) a second,
	// ConsumeRate deliveries a second, to all consumers together.
	PublishRate float64 `json:"publish_rate"`
	ConsumeRate float64 `json:"consume_rate"`

	// Confirm is the time from before a message was written until its confirm
	// was read; Delivery until it was delivered.
	Confirm  Latencies `json:"confirm"`
	Delivery Latencies `json:"delivery"`
	// The whole of their distributions.
	ConfirmCurve  []Point `json:"confirm_curve,omitempty"`
	DeliveryCurve []Point `json:"delivery_curve,omitempty"`

	// ClientCPU and BrokerCPU are microseconds of processor time a message:
	// published ones, in drain consumed ones. With the null broker in the
	// client's process the former is both.
	ClientCPU float64 `json:"client_cpu_us"`
	BrokerCPU float64 `json:"broker_cpu_us,omitempty"`
	// BrokerRSS is the broker's resident memory in bytes at the end, BrokerRSSBefore
	// that at the beginning of the measurement, BrokerPeakRSS the most since the run's
	// beginning (where that can not be told, since the broker's).
	BrokerRSS       uint64 `json:"broker_rss,omitempty"`
	BrokerRSSBefore uint64 `json:"broker_rss_before,omitempty"`
	BrokerPeakRSS   uint64 `json:"broker_peak_rss,omitempty"`
	// MemoryEach is what one of the things that were made and held has added to the
	// broker's resident memory, in bytes.
	MemoryEach float64 `json:"memory_each,omitempty"`

	// Floor is what one confirm takes at least, where that was measured.
	Floor *Floor `json:"floor,omitempty"`
}

// sample is the state of all counters at a moment.
type sample struct {
	at                   time.Time
	confirmed, consumed  uint64
	clientCPU, brokerCPU time.Duration
	brokerRSS            uint64
}

func (r *run) sample() sample {
	s := sample{at: time.Now(), confirmed: r.confirmed.load(), consumed: r.consumed.load()}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		s.clientCPU = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	if r.cfg.PID != 0 {
		s.brokerCPU = process.CPU(r.cfg.PID)
		s.brokerRSS = process.Resident(r.cfg.PID)
	}
	return s
}

func (r *run) result(before, after sample) *Result {
	res := &Result{
		Config:    *r.cfg,
		Seconds:   after.at.Sub(before.at).Seconds(),
		Published: r.published.load(),
		Consumed:  r.consumed.load(),
	}
	res.Config.URI = redacted(res.Config.uris())
	if !r.cfg.NoConfirm {
		res.Confirmed = r.confirmed.load()
	}
	for _, p := range r.publishers {
		res.Nacked += p.nacked
		res.Returned += p.returned
	}
	res.Confirmed -= min(res.Confirmed, res.Nacked)
	for _, k := range r.consumers {
		res.Redelivered += k.again
		res.Disordered += k.disorder
	}
	res.Confirm, res.ConfirmCurve = latencies(r.confirms.merged), curve(r.confirms.merged)
	res.Delivery, res.DeliveryCurve = latencies(r.deliveries.merged), curve(r.deliveries.merged)
	confirmed, consumed := after.confirmed-before.confirmed, after.consumed-before.consumed
	res.PublishRate = float64(confirmed) / res.Seconds
	res.ConsumeRate = float64(consumed) / res.Seconds
	messages := confirmed
	if messages == 0 {
		messages = consumed
	}
	if messages > 0 {
		each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(messages) }
		res.ClientCPU = each(after.clientCPU - before.clientCPU)
		res.BrokerCPU = each(after.brokerCPU - before.brokerCPU)
	}
	if r.cfg.PID != 0 {
		res.BrokerRSS, res.BrokerRSSBefore, res.BrokerPeakRSS = process.Resident(r.cfg.PID), before.brokerRSS, process.Peak(r.cfg.PID)
	}
	return res
}

// redacted are URIs without their passwords.
func redacted(uris []string) string {
	for i, uri := range uris {
		if u, err := url.Parse(uri); err == nil {
			uris[i] = u.Redacted()
		}
	}
	return strings.Join(uris, ",")
}

// WriteText writes the result for people, a line a topic.
func (res *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	c := &res.Config
	mode := "persistent"
	if c.Transient {
		mode = "transient"
	}
	confirm := fmt.Sprintf("%d outstanding", c.Outstanding)
	if c.NoConfirm {
		confirm = "no confirms"
	}
	fmt.Fprintf(&b, "%s: %d B, %s, %s", c.Scenario, c.Size, mode, confirm)
	if n := c.publishers() * c.ProducerChannels; n > 1 {
		fmt.Fprintf(&b, ", %d publishers", n)
	}
	if c.Queues > 1 {
		fmt.Fprintf(&b, ", %d queues", c.Queues)
	}
	if res.Consumed > 0 {
		if c.AutoAck {
			b.WriteString(", auto-ack")
		} else {
			fmt.Fprintf(&b, ", prefetch %d, ack every %d", c.Prefetch, c.AckEvery)
		}
	}
	fmt.Fprintf(&b, "; %.2f s\n", res.Seconds)
	if res.Published > 0 {
		fmt.Fprintf(&b, "  published  %12.0f msg/s  (%d in all, %d nacked)\n", res.PublishRate, res.Published, res.Nacked)
	}
	if res.Consumed > 0 {
		fmt.Fprintf(&b, "  consumed   %12.0f msg/s  (%d in all, %d redelivered, %d out of order)\n",
			res.ConsumeRate, res.Consumed, res.Redelivered, res.Disordered)
	}
	line := func(name string, l Latencies) {
		if l.Count > 0 {
			fmt.Fprintf(&b, "  %s  p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms\n", name, l.P50, l.P90, l.P99, l.P999, l.Max)
		}
	}
	line("confirm  ", res.Confirm)
	line("delivery ", res.Delivery)
	fmt.Fprintf(&b, "  processor  client %.2f µs a message", res.ClientCPU)
	if c.PID != 0 {
		fmt.Fprintf(&b, ", broker %.2f µs, broker's memory %d MB, at most %d MB", res.BrokerCPU, res.BrokerRSS>>20, res.BrokerPeakRSS>>20)
	}
	b.WriteByte('\n')
	if res.Floor != nil {
		fmt.Fprintf(&b, "  floor      %s\n", res.Floor)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
