package figures

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/leveret-mq/leveret/bench/machine"
)

// Row is a line of the table.
type Row struct {
	Measure string `json:"measure"`
	Figure  string `json:"figure"`
	Aim     string `json:"aim,omitempty"`
	// Value and Bound are what Figure and Aim say, in one unit; Reached compares
	// them. They are of no use where Aim is empty.
	Value   float64 `json:"value"`
	Bound   float64 `json:"bound,omitempty"`
	Reached bool    `json:"reached"`
	Note    string  `json:"note,omitempty"`
}

// most is a row whose value may be at most, or in fact less than, its bound.
func most(measure string, value, bound float64, figure, aim, note string) Row {
	return Row{Measure: measure, Figure: figure, Aim: aim, Value: value, Bound: bound, Reached: value <= bound, Note: note}
}

// least is a row whose value must be at least its bound.
func least(measure string, value, bound float64, figure, aim, note string) Row {
	return Row{Measure: measure, Figure: figure, Aim: aim, Value: value, Bound: bound, Reached: value >= bound, Note: note}
}

// Conditions are those of a run.
type Conditions struct {
	machine.Machine
	Version     string        `json:"version"` // of the broker
	Load        string        `json:"load"`    // before the run
	SyncMedian  time.Duration `json:"sync_median_ns"`
	SyncP99     time.Duration `json:"sync_p99_ns"`
	SyncFailure string        `json:"sync_failure,omitempty"`
	Scale       float64       `json:"scale"`
	Runs        int           `json:"runs"`
}

func conditions(ctx context.Context, c *Config) Conditions {
	of := Conditions{
		Machine: machine.Describe(c.Dir), Version: machine.Version(ctx, c.Binary), Load: machine.Load(), Scale: c.Scale, Runs: c.Runs,
	}
	var err error
	if of.SyncMedian, of.SyncP99, err = machine.SyncTime(c.Dir); err != nil {
		of.SyncFailure = err.Error()
	}
	return of
}

func (c *Conditions) lines() []string {
	sync := fmt.Sprintf("fdatasync of 4 KiB %s at the median, %s at p99", ms(c.SyncMedian), ms(c.SyncP99))
	if c.SyncFailure != "" {
		sync = "fdatasync not measured: " + c.SyncFailure
	}
	lines := []string{
		fmt.Sprintf("leveret %s, %s", c.Version, c.Go),
		fmt.Sprintf("%s; %s", c.Machine, sync),
		fmt.Sprintf("load before the run %s; clients on the same cores; medians of %d", c.Load, c.Runs),
	}
	if c.Scale != 1 {
		lines = append(lines, fmt.Sprintf("SCALE %v: all numbers of messages and queues are multiplied by it; this is a trial", c.Scale))
	}
	return lines
}

// Report is the table and the conditions.
type Report struct {
	Conditions Conditions    `json:"conditions"`
	Began      time.Time     `json:"began"`
	Took       time.Duration `json:"took_ns"`
	Rows       []Row         `json:"rows"`
}

// Missed is how many rows do not reach their aim.
func (r *Report) Missed() (n int) {
	for _, row := range r.Rows {
		if row.Aim != "" && !row.Reached {
			n++
		}
	}
	return n
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	for _, line := range r.Conditions.lines() {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "began %s, took %.0f s\n\n", r.Began.Format("2006-01-02 15:04"), r.Took.Seconds())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "measure\tfigure\tmust reach\t\tnote")
	for _, row := range r.Rows {
		verdict := ""
		switch {
		case row.Aim == "":
		case row.Reached:
			verdict = "yes"
		default:
			verdict = "NO"
		}
		fmt.Fprintln(t, strings.Join([]string{row.Measure, row.Figure, row.Aim, verdict, row.Note}, "\t"))
	}
	return t.Flush()
}

// mb writes bytes as megabytes.
func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// ms writes a time as milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

// samples writes what a median is of.
func samples(v []time.Duration) string {
	var s []string
	for _, d := range v {
		s = append(s, fmt.Sprintf("%.0f", float64(d)/1e6))
	}
	return "median of " + strings.Join(s, ", ")
}

// thousands writes a number for people.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
