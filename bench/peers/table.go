package peers

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// unit is what a figure is in.
type unit string

const (
	perSecond unit = "/s"
	millis    unit = " ms"
	micros    unit = " µs"
	kilobytes unit = " KiB"
	megabytes unit = " MB"
)

// format writes a figure for people, three digits of it.
func (u unit) format(v float64) string {
	switch u {
	case kilobytes:
		v /= 1024
	case megabytes:
		v /= 1e6
	}
	if v == 0 {
		return "—"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits > 2 {
		digits = 2
	}
	if digits < 0 {
		p := math.Pow(10, float64(-digits))
		v, digits = math.Round(v/p)*p, 0
	}
	return thousands(strconv.FormatFloat(v, 'f', digits, 64)) + string(u)
}

// thousands groups the digits before the point.
func thousands(s string) string {
	whole, rest, point := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + rest
	}
	return whole
}

// line is a row with its figures.
type line struct {
	row
	is, than float64 // Leveret's figure, and what it is compared with, if anything
	reached  bool
	peers    map[string]float64
}

// lines are the rows whose loads were run.
func (r *Results) lines() (lines []line) {
	for _, w := range rows {
		l := line{row: w, is: r.median(w.load, leveret, w.value), peers: map[string]float64{}}
		if r.load(w.load) == nil {
			continue
		}
		if a := w.against; a != nil {
			broker, load, value := a.broker, a.load, a.value
			if broker == "" {
				broker = leveret
			}
			if load == "" {
				load = w.load
			}
			if value == nil {
				value = w.value
			}
			l.than = r.median(load, broker, value)
		}
		l.reached = l.reaches()
		for _, b := range Peers() {
			l.peers[b] = r.median(w.load, b, w.value)
		}
		lines = append(lines, l)
	}
	return lines
}

// figure is what must reach something: a ratio, or Leveret's figure itself.
func (l *line) figure() float64 {
	if l.against == nil {
		return l.is
	}
	return l.is / l.than
}

// measured is whether there is something to compare.
func (l *line) measured() bool { return l.is != 0 && (l.against == nil || l.than != 0) }

func (l *line) reaches() bool {
	switch {
	case !l.measured():
		return false
	case l.most > 0:
		return l.figure() <= l.bound()
	}
	return l.figure() >= l.bound()
}

// bound is the least or most in the figure's own unit.
func (l *line) bound() float64 {
	b := max(l.least, l.most)
	if l.against == nil && l.unit == kilobytes {
		b *= 1024
	}
	return b
}

// ratio is a comparison for people: a share of what must be more, a multiple of what
// must be less.
func (l *line) ratio(v float64) string {
	switch {
	case l.most > 0:
		return fmt.Sprintf("%.2f ×", v)
	case v >= 10:
		return fmt.Sprintf("%.0f ×", v)
	case v > 2:
		return fmt.Sprintf("%.1f ×", v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// aim is what must be reached, for people.
func (l *line) aim() string {
	sign, b := "≥ ", l.least
	if l.most > 0 {
		sign, b = "≤ ", l.most
	}
	if l.against != nil {
		return sign + l.ratio(b)
	}
	return sign + l.unit.format(l.bound())
}

// comparison is what a line's figure is compared with, for people.
func (l *line) comparison() string {
	if l.against == nil {
		return ""
	}
	if l.than == 0 {
		return "not measured: " + l.against.what
	}
	of := l.ratio(l.is / l.than)
	if strings.HasSuffix(of, "%") {
		of += " of"
	}
	return fmt.Sprintf("%s %s, %s", of, l.against.what, l.unit.format(l.than))
}

// textWidth is what a terminal has at least.
const textWidth = 80

// wrapped breaks a text between words so that it fits a terminal; lines after the first
// begin with indent.
func wrapped(text, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i > 0 && word != "" && column+1+n > textWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// WriteText writes the tables for a terminal.
func (r *Results) WriteText(w io.Writer) error {
	for _, s := range r.conditions() {
		fmt.Fprintln(w, wrapped(s, ""))
	}
	for _, l := range r.lines() {
		verdict := "yes"
		if !l.reached {
			verdict = "NO"
		}
		if !l.measured() {
			verdict = "not judged"
		}
		fmt.Fprintf(w, "\n%s\n", l.title)
		fmt.Fprintln(w, wrapped(strings.TrimRight(fmt.Sprintf("  Leveret %s  %s", l.unit.format(l.is), l.comparison()), " "), "  "))
		fmt.Fprintf(w, "  must reach %s: %s\n", l.aim(), verdict)
		var beside []string
		for _, p := range Peers() {
			if v := l.peers[p]; v > 0 {
				beside = append(beside, brokerOf(p).title+" "+l.unit.format(v))
			}
		}
		if len(beside) > 0 {
			fmt.Fprintln(w, wrapped("  "+strings.Join(beside, "; "), "  "))
		}
	}
	fmt.Fprintln(w, "\nProcessor time a message, broker's and client's; the broker's memory at most;\n99th percentiles of latency:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tbroker\tits CPU\tclient's\tmemory\tconfirm\tdelivery")
	for _, l := range r.Loads {
		for _, b := range l.Brokers {
			of := func(u unit, value func(Sample) float64) string { return u.format(r.median(l.Name, b.Broker, value)) }
			fmt.Fprintln(t, strings.Join([]string{l.Name, b.Broker, of(micros, brokerCPU), of(micros, clientCPU), of(megabytes, peak), of(millis, confirmP99), of(millis, deliveryP99)}, "\t"))
		}
	}
	err := t.Flush()
	for _, f := range r.failures() {
		fmt.Fprintln(w, wrapped(f, "  "))
	}
	return err
}

// failures are the runs that were not done, or not to their end.
func (r *Results) failures() (failures []string) {
	for _, l := range r.Loads {
		for _, b := range l.Brokers {
			if b.Failure != "" {
				failures = append(failures, fmt.Sprintf("%s, %s failed: %s", l.Name, b.Broker, strings.Join(strings.Fields(b.Failure), " ")))
			}
		}
	}
	return failures
}

// Missed is how many rows do not reach what they must.
func (r *Results) Missed() (n int) {
	for _, l := range r.lines() {
		if !l.reached {
			n++
		}
	}
	return n
}
