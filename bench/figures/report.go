package figures

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
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

// Report is the table and the conditions.
type Report struct {
	Machine Machine       `json:"machine"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took_ns"`
	Rows    []Row         `json:"rows"`
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
	for _, line := range r.Machine.lines() {
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
