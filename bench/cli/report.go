package cli

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/leveret-mq/leveret/bench"
)

// report writes one HTML file that needs no other: charts are SVG, there is no script.
func (l *log) report(w io.Writer) error {
	config, err := json.MarshalIndent(l.Result.Config, "", "  ")
	if err != nil {
		return err
	}
	kind := "messages a second"
	if l.operations() {
		kind = "operations a second"
	}
	return page.Execute(w, map[string]any{
		"Log": l, "Config": string(config), "Summary": l.summary(), "Began": l.Began.UTC().Format("2006-01-02 15:04:05 UTC"),
		"Charts": []template.HTML{
			l.rates().svg("Rate", "seconds", kind),
			l.latencies().svg("Latency", "seconds", "milliseconds"),
			l.curves().svg("Latency by percentile", "percentile", "milliseconds"),
		},
	})
}

var page = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Log.ID}}: leveret bench {{.Log.Scenario}}</title>
<style>
:root { color-scheme: light dark; --ink: #2c2721; --paper: #fbfaf7; --faint: #d9d3c8; --c0: #7a5230; --c1: #4d7c3a; --c2: #33658a; --c3: #b5485d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e3d8; --paper: #1d1a16; --faint: #453f36; --c0: #cf9c6b; --c1: #8fc177; --c2: #7fb4dd; --c3: #e38b9c; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .25rem; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--faint); border-radius: 6px; font-size: 12.5px; }
.chart { overflow-x: auto; } svg { width: 100%; min-width: 36rem; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.grid { stroke: var(--faint); } .s { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
</style>
</head>
<body>
<h1>{{.Log.ID}}: {{.Log.Scenario}}</h1>
<p>{{.Began}}, {{.Log.Result.Config.URI}}</p>
<pre>{{.Summary}}</pre>
{{range .Charts}}{{.}}{{end}}
<h2>What was run</h2>
<pre>{{.Config}}</pre>
</body>
</html>
`))

// chart is lines over one axis.
type chart struct {
	lines []line
	// percentiles has an axis on which each nine takes as much room as the one before.
	percentiles bool
}

type line struct {
	name   string
	points [][2]float64
}

func (l *log) over(name string, there bool, y func(v *bench.Interval) float64) (c []line) {
	if !there {
		return nil
	}
	k := line{name: name}
	for i := range l.Intervals {
		if l.moment(i) {
			continue
		}
		k.points = append(k.points, [2]float64{l.Intervals[i].Time, y(&l.Intervals[i])})
	}
	return []line{k}
}

func (l *log) rates() *chart {
	name := "sent"
	if l.operations() {
		name = "done"
	}
	c := l.over(name, l.sent, func(v *bench.Interval) float64 { return v.Per(v.Sent) })
	c = append(c, l.over("confirmed", l.confirmed, func(v *bench.Interval) float64 { return v.Per(v.Confirmed) })...)
	c = append(c, l.over("received", l.received, func(v *bench.Interval) float64 { return v.Per(v.Received) })...)
	return &chart{lines: c}
}

func (l *log) latencies() *chart {
	of, name := func(v *bench.Interval) bench.Latencies { return v.Confirm }, "confirm"
	if l.received {
		of, name = func(v *bench.Interval) bench.Latencies { return v.Delivery }, "delivery"
	} else if l.operations() {
		name = "operation"
	}
	c := l.over(name+", median", true, func(v *bench.Interval) float64 { return of(v).P50 })
	c = append(c, l.over("95th", true, func(v *bench.Interval) float64 { return of(v).P95 })...)
	c = append(c, l.over("99th", true, func(v *bench.Interval) float64 { return of(v).P99 })...)
	c = append(c, l.over("max", true, func(v *bench.Interval) float64 { return of(v).Max })...)
	return &chart{lines: c}
}

func (l *log) curves() *chart {
	c := &chart{percentiles: true}
	for _, k := range []struct {
		name   string
		points []bench.Point
	}{{"delivery", l.Result.DeliveryCurve}, {"confirm", l.Result.ConfirmCurve}} {
		if len(k.points) == 0 {
			continue
		}
		if l.operations() {
			k.name = "operation"
		}
		one := line{name: k.name}
		// Nothing is known of what is rarer than one in all.
		most := nines(100 - 100/max(10, float64(k.points[len(k.points)-1].Count)))
		for _, p := range k.points {
			one.points = append(one.points, [2]float64{min(most, nines(p.Percentile)), p.Latency})
		}
		c.lines = append(c.lines, one)
	}
	return c
}

// mostNines is where the axis of percentiles ends: 99.9999.
const mostNines = 6

// nines is 0 for 0, 1 for 90, 2 for 99, 3 for 99.9.
func nines(percentile float64) float64 {
	return min(mostNines, -math.Log10(max(1e-9, 1-percentile/100)))
}

// The drawing's measures.
const (
	chartWidth, chartHeight          = 900.0, 280.0
	padLeft, padRight, padTop, padUp = 70.0, 30.0, 34.0, 44.0
)

// svg draws. What it is given as text is escaped.
func (c *chart) svg(title, x, y string) template.HTML {
	var b strings.Builder
	esc := template.HTMLEscapeString
	left, right, top, bottom := padLeft, chartWidth-padRight, padTop, chartHeight-padUp
	xs, ys := axis{}, axis{}
	for _, l := range c.lines {
		for _, p := range l.points {
			xs.hi = max(xs.hi, p[0])
			ys.hi = max(ys.hi, p[1])
		}
	}
	if c.percentiles {
		xs.hi = max(1, math.Ceil(xs.hi))
	}
	if xs.hi <= 0 {
		xs.hi = 1
	}
	ys.hi = max(ys.hi*1.05, 1e-3)
	at := func(p [2]float64) (float64, float64) {
		return left + (p[0]-xs.lo)/(xs.hi-xs.lo)*(right-left), bottom - p[1]/ys.hi*(bottom-top)
	}
	fmt.Fprintf(&b, "<h2>%s</h2>\n<div class=\"chart\"><svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">\n", esc(title), chartWidth, chartHeight, esc(title+", "+y))
	for _, v := range ys.ticks(5) {
		_, py := at([2]float64{xs.lo, v})
		fmt.Fprintf(&b, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left, py, right, py, left-6, py+4, number(v))
	}
	marks := xs.ticks(8)
	if c.percentiles {
		marks = nil
		for n := 0.0; n <= xs.hi; n++ {
			marks = append(marks, n)
		}
	}
	for _, v := range marks {
		px, _ := at([2]float64{v, 0})
		text := number(v)
		if c.percentiles {
			text = number(100 - 100*math.Pow(10, -v))
		}
		fmt.Fprintf(&b, "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", px, bottom, px, bottom+4, px, bottom+18, text)
	}
	fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text><text x=\"4\" y=\"14\">%s</text>\n", right, chartHeight-6, esc(x), esc(y))
	for i, l := range c.lines {
		px := left + 160*float64(i)
		fmt.Fprintf(&b, "<line class=\"s s%d\" x1=\"%.1f\" y1=\"26\" x2=\"%.1f\" y2=\"26\"/><text x=\"%.1f\" y=\"30\">%s</text>\n<polyline class=\"s s%d\" points=\"", i%4, px, px+18, px+24, esc(l.name), i%4)
		for _, p := range l.points {
			px, py := at(p)
			fmt.Fprintf(&b, "%.1f,%.1f ", px, py)
		}
		b.WriteString("\"/>\n")
	}
	b.WriteString("</svg></div>\n")
	return template.HTML(b.String())
}

type axis struct{ lo, hi float64 }

// ticks are about n round numbers.
func (a axis) ticks(n int) []float64 {
	raw := (a.hi - a.lo) / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	step := unit
	for _, k := range []float64{2, 5, 10} {
		if step < raw {
			step = k * unit
		}
	}
	var all []float64
	for v := math.Ceil(a.lo/step) * step; v <= a.hi+step/1e6; v += step {
		all = append(all, v)
	}
	return all
}

// number is short: 1.5k, 20M, 0.25.
func number(v float64) string {
	suffix := ""
	switch {
	case v >= 1e6:
		v, suffix = v/1e6, "M"
	case v >= 1e4:
		v, suffix = v/1e3, "k"
	}
	return fmt.Sprintf("%.7g%s", math.Round(v*1e6)/1e6, suffix)
}
