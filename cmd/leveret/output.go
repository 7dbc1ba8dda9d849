package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// table prints aligned columns.
type table struct {
	out   io.Writer
	right []bool // columns that are aligned to the right
	rows  [][]string
}

// newTable begins a table. Columns whose title ends in > are aligned to the
// right.
func newTable(out io.Writer, titles ...string) *table {
	t := &table{out: out}
	for i, title := range titles {
		name, right := strings.CutSuffix(title, ">")
		t.right = append(t.right, right)
		titles[i] = name
	}
	t.row(titles...)
	return t
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) flush() {
	widths := make([]int, len(t.right))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var line strings.Builder
	for _, row := range t.rows {
		line.Reset()
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		fmt.Fprintln(t.out, strings.TrimRight(line.String(), " "))
	}
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if v /= 1 << 10; v < 1023.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// number is a count with its thousands apart.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(int64(n)) + " " + what + "s"
}

func percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(whole))
}

// ratio tells how many times smaller something became.
func ratio(raw, stored int64) string {
	if raw == 0 || stored == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(raw)/float64(stored))
}

// printable keeps what a client has chosen from steering the terminal.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progress shows how far a long work is, in one line of a terminal. The zero
// value shows nothing.
type progress struct {
	out  *os.File // nil: not a terminal
	next time.Time
	len  int // of what stands in the line
}

const (
	progressDelay = 300 * time.Millisecond // short works show nothing
	progressEvery = 100 * time.Millisecond
	progressBar   = 30 // characters
)

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{out: w.(*os.File), next: time.Now().Add(progressDelay)}
}

func (p *progress) show(what string, done, total int64) {
	if p.out == nil {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	line := what + " ..."
	if total > 0 {
		part := min(1, float64(done)/float64(total))
		full := int(part * progressBar)
		line = fmt.Sprintf("%-12s [%s%s] %3.0f %%", what, strings.Repeat("=", full), strings.Repeat(" ", progressBar-full), 100*part)
	}
	if columns, _, err := term.GetSize(int(p.out.Fd())); err == nil && columns > 0 && len(line) >= columns {
		line = line[:columns-1]
	}
	n := utf8.RuneCountInString(line)
	fmt.Fprint(p.out, "\r", line, strings.Repeat(" ", max(0, p.len-n)))
	p.len = n
}

// clear empties the line.
func (p *progress) clear() {
	if p.out != nil && p.len > 0 {
		fmt.Fprint(p.out, "\r", strings.Repeat(" ", p.len), "\r")
		p.len = 0
	}
}
