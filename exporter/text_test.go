package exporter

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// FuzzText: whatever a queue is called and whatever is counted of it, a reader gets it
// back, in one line between its neighbours.
func FuzzText(f *testing.F) {
	f.Add("q", 1.0)
	f.Add("a\"b\\c\nd", 0.1)
	f.Add("\xff\x00\u2028", math.Inf(-1))
	f.Add("} 1\n# TYPE x gauge\nx 2", 1e300)
	f.Add("", -1e-300)
	f.Fuzz(func(t *testing.T, name string, v float64) {
		var out bytes.Buffer
		w := &text{w: &out}
		w.family("before", counter, "B.")
		w.sample("", 1)
		w.family("m", gauge, "M.")
		w.sample(labels("vhost", "/", "queue", name), v)
		w.family("after", untyped, "A.")
		w.sample("", 2)
		w.flush()
		if n := strings.Count(out.String(), "\n"); n != 9 {
			t.Fatalf("%d lines:\n%s", n, out.String())
		}
		p := expfmt.NewTextParser(model.UTF8Validation)
		got, err := p.TextToMetricFamilies(&out)
		if err != nil || len(got) != 3 || len(got["m"].Metric) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		m := got["m"].Metric[0]
		if is := m.GetGauge().GetValue(); is != v && !(math.IsNaN(is) && math.IsNaN(v)) {
			t.Errorf("%v came back as %v", v, is)
		}
		if len(m.Label) != 2 || m.Label[1].GetValue() != readable(name) {
			t.Errorf("%q came back as %v", name, m.Label)
		}
	})
}
