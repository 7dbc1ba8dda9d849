package exporter

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is a metric's type, as the text format writes it.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	untyped   kind = "untyped"
	summary   kind = "summary"
	histogram kind = "histogram"
)

// flushAt is how many bytes a text gathers before it writes them.
const flushAt = 32 << 10

// text writes Prometheus' text format, version 0.0.4. It keeps the first error of
// the writer below it and writes nothing more then.
type text struct {
	w    io.Writer
	buf  []byte
	name string // of the family that was begun last
	n    int64  // bytes that were written
	err  error
}

// family begins the samples of one name.
func (t *text) family(name string, k kind, help string) {
	t.name = name
	t.buf = append(t.buf, "# HELP "...)
	t.buf = append(t.buf, name...)
	t.buf = append(t.buf, ' ')
	t.buf = append(t.buf, help...)
	t.buf = append(t.buf, "\n# TYPE "...)
	t.buf = append(t.buf, name...)
	t.buf = append(t.buf, ' ')
	t.buf = append(t.buf, k...)
	t.buf = append(t.buf, '\n')
}

// sample adds a value to the family. Labels are as labels makes them.
func (t *text) sample(labels string, v float64) { t.part("", labels, v) }

// part adds a value under the family's name and a suffix, such as _sum.
func (t *text) part(suffix, labels string, v float64) {
	t.buf = append(t.buf, t.name...)
	t.buf = append(t.buf, suffix...)
	t.buf = append(t.buf, labels...)
	t.buf = append(t.buf, ' ')
	t.buf = appendValue(t.buf, v)
	t.buf = append(t.buf, '\n')
	if len(t.buf) >= flushAt {
		t.flush()
	}
}

// Write passes on what another encoder has made.
func (t *text) Write(p []byte) (int, error) {
	t.flush()
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.w.Write(p)
	t.n += int64(n)
	t.err = err
	return n, err
}

func (t *text) flush() {
	if t.err == nil && len(t.buf) > 0 {
		var n int
		n, t.err = t.w.Write(t.buf)
		t.n += int64(n)
	}
	t.buf = t.buf[:0]
}

func appendValue(b []byte, v float64) []byte {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labels returns a set of labels, names and values in turn, as the format wants it.
func labels(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		_, _ = escaper.WriteString(&b, readable(pairs[i+1]))
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// readable writes bytes that are no UTF-8 as \xff, since a server refuses the whole
// answer else. Names that differ stay different.
func readable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
