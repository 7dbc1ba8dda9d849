package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/bench"
)

// log is what a run has told, for its lines and its report.
type log struct {
	ID        string           `json:"id"`
	Scenario  string           `json:"scenario"`
	Began     time.Time        `json:"began"`
	Intervals []bench.Interval `json:"intervals"`
	Result    *bench.Result    `json:"result"`

	millis bool
	unit   string // what is counted
	// What there is of it.
	sent, confirmed, returned, received bool
}

func newLog(o *options, s *scenario, c bench.Config) *log {
	l := &log{
		ID: o.id, Scenario: "load", Began: time.Now(), millis: o.millis, unit: "msg/s", Intervals: []bench.Interval{},
		sent: c.Producers >= 0, received: c.Consumers >= 0, confirmed: c.Producers >= 0 && !c.NoConfirm, returned: c.Mandatory,
	}
	if s == nil {
		return l
	}
	l.Scenario = s.name
	switch s.engine {
	case bench.Publish, bench.Many, bench.Latency:
		l.received = c.Consumers > 0
	case bench.Drain:
		l.sent, l.confirmed = false, false
	case "":
		l.sent, l.confirmed, l.received, l.returned, l.unit = true, false, false, false, "op/s"
	}
	return l
}

func (l *log) add(v bench.Interval) { l.Intervals = append(l.Intervals, v) }

// moment tells whether the i-th interval is the last one's few milliseconds, whose
// rates mean nothing.
func (l *log) moment(i int) bool {
	return i > 0 && l.Intervals[i].Seconds < l.Intervals[i-1].Seconds/10
}

// operations is whether no messages are counted.
func (l *log) operations() bool { return l.unit == "op/s" }

// percentiles names the figures of a latency in lines.
const percentiles = "min/median/75th/95th/99th"

// line is an interval's.
func (l *log) line(v bench.Interval) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id: %s, time %.3f s", l.ID, v.Time)
	field := func(there bool, name string, n uint64) {
		if there {
			fmt.Fprintf(&b, ", %s: %s %s", name, rate(v.Per(n)), l.unit)
		}
	}
	if l.operations() {
		field(true, "done", v.Sent)
		fmt.Fprintf(&b, ", %s latency: %s\n", percentiles, l.figures(v.Confirm))
		return b.String()
	}
	field(l.sent, "sent", v.Sent)
	field(l.returned, "returned", v.Returned)
	field(l.confirmed, "confirmed", v.Confirmed)
	field(l.confirmed, "nacked", v.Nacked)
	field(l.received, "received", v.Received)
	sep := ", " + percentiles + " "
	if l.received {
		fmt.Fprintf(&b, "%sconsumer latency: %s", sep, l.figures(v.Delivery))
		sep = ", "
	}
	if l.confirmed {
		fmt.Fprintf(&b, "%sconfirm latency: %s", sep, l.figures(v.Confirm))
	}
	b.WriteByte('\n')
	return b.String()
}

// rate is a number a second, with decimals where it is small.
func rate(n float64) string {
	switch {
	case n == 0 || n >= 10:
		return strconv.FormatInt(int64(n), 10)
	case n < 1:
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

// figures are a latency's.
func (l *log) figures(v bench.Latencies) string {
	five := l.five(v)
	return strings.Join(five[:], "/") + " " + l.latencyUnit()
}

func (l *log) five(v bench.Latencies) (five [5]string) {
	for i, ms := range []float64{v.Min, v.P50, v.P75, v.P95, v.P99} {
		if !l.millis {
			ms *= 1000
		}
		five[i] = strconv.FormatInt(int64(math.Round(ms)), 10)
	}
	return five
}

func (l *log) latencyUnit() string {
	if l.millis {
		return "ms"
	}
	return "µs"
}

// summary is what is said at the end.
func (l *log) summary() string {
	var b strings.Builder
	r := l.Result
	say := func(format string, args ...any) { fmt.Fprintf(&b, "id: %s, %s\n", l.ID, fmt.Sprintf(format, args...)) }
	tail := func(name string, v bench.Latencies) {
		say("%s latency 99.9th/99.99th/max %.3f/%.3f/%.3f ms, %d measured", name, v.P999, v.P9999, v.Max, v.Count)
	}
	if l.operations() {
		say("done: %d, rate avg: %s op/s", r.Published, rate(r.PublishRate))
		if r.Confirm.Count > 0 {
			say("latency %s %s", percentiles, l.figures(r.Confirm))
			tail("operation", r.Confirm)
		}
	} else {
		sending := r.PublishRate
		if !l.sent {
			sending = 0
		}
		say("sending rate avg: %s msg/s", rate(sending))
		say("receiving rate avg: %s msg/s", rate(r.ConsumeRate))
		if l.received && r.Delivery.Count > 0 {
			say("consumer latency %s %s", percentiles, l.figures(r.Delivery))
			tail("consumer", r.Delivery)
		}
		if l.confirmed && r.Confirm.Count > 0 {
			say("confirm latency %s %s", percentiles, l.figures(r.Confirm))
			tail("confirm", r.Confirm)
		}
		say("sent: %d, confirmed: %d, nacked: %d, returned: %d, received: %d, redelivered: %d, out of order: %d", r.Published, r.Confirmed, r.Nacked, r.Returned, r.Consumed, r.Redelivered, r.Disordered)
	}
	each := "a message"
	if l.operations() {
		each = "an operation"
	}
	cpu := fmt.Sprintf("processor time %s: client %.2f µs", each, r.ClientCPU)
	if r.Config.PID != 0 {
		cpu += fmt.Sprintf(", broker %.2f µs, broker's memory: %d KiB, at most %d KiB", r.BrokerCPU, r.BrokerRSS>>10, r.BrokerPeakRSS>>10)
		if r.MemoryEach > 0 {
			cpu += fmt.Sprintf(", of which each of %d has added %.2f KiB", r.Published, r.MemoryEach/1024)
		}
	}
	say("%s", cpu)
	if r.Floor != nil {
		say("floor %s", r.Floor)
	}
	return b.String()
}

// writeJSON writes all of it.
func (l *log) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(l)
}

// header begins a CSV file, with PerfTest's columns.
func (l *log) header(w io.Writer) error {
	row := []string{"id", "time (s)", "published (msg/s)", "returned (msg/s)", "confirmed (msg/s)", "nacked (msg/s)", "received (msg/s)"}
	for _, kind := range []string{"consumer", "confirm"} {
		for _, p := range []string{"min", "median", "75th p.", "95th p.", "99th p."} {
			row = append(row, fmt.Sprintf("%s %s latency (%s)", p, kind, l.latencyUnit()))
		}
	}
	return writeRow(w, row)
}

// row is an interval's.
func (l *log) row(w io.Writer, v bench.Interval) error {
	field := func(there bool, n uint64) string {
		if !there {
			return ""
		}
		return rate(v.Per(n))
	}
	row := []string{
		l.ID, strconv.FormatFloat(v.Time, 'f', 3, 64), field(l.sent, v.Sent), field(l.returned, v.Returned),
		field(l.confirmed, v.Confirmed), field(l.confirmed, v.Nacked), field(l.received, v.Received),
	}
	for _, of := range []struct {
		there bool
		v     bench.Latencies
	}{{l.received, v.Delivery}, {l.confirmed || l.operations(), v.Confirm}} {
		five := [5]string{}
		if of.there && of.v.Count > 0 {
			five = l.five(of.v)
		}
		row = append(row, five[:]...)
	}
	return writeRow(w, row)
}

func writeRow(w io.Writer, row []string) error {
	c := csv.NewWriter(w)
	if err := c.Write(row); err != nil {
		return err
	}
	c.Flush()
	return c.Error()
}
