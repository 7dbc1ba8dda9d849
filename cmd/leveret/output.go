package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/leveret-mq/leveret/internal/terminal"
)

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
	if !terminal.IsTerminal(w) {
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
