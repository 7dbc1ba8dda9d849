package terminal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// narrow measures as terminals do that are not set up for East Asian fonts, whatever the
// environment says, so that tables look the same everywhere.
var narrow = &runewidth.Condition{StrictEmojiNeutral: true}

// Width is how many columns of a terminal a text takes.
func Width(s string) int {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return narrow.StringWidth(s)
		}
	}
	return len(s)
}

// Fit cuts a text to a width, with … where something is missing.
func Fit(s string, width int) string {
	if width <= 0 {
		return ""
	}
	if Width(s) <= width {
		return s
	}
	return narrow.Truncate(s, width, "…")
}

// Pad makes a text that wide, cut or filled with spaces.
func Pad(s string, width int, right bool) string {
	s = Fit(s, width)
	spaces := strings.Repeat(" ", max(0, width-Width(s)))
	if right {
		return spaces + s
	}
	return s + spaces
}

// Printable keeps what a client has chosen from steering the terminal.
func Printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// Distance is how many letters must be added, removed or changed to make b of a, for
// who tells what may have been meant.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}

// Lines is Printable of a text with several lines and tabs, which stay.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		cells := strings.Split(line, "\t")
		for j := range cells {
			cells[j] = Printable(cells[j])
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}

// Bytes is a number of bytes for people.
func Bytes(n int64) string {
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

// Number is a count with its thousands apart.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Rate is a number of events a second.
func Rate(v float64) string {
	if v != 0 && math.Abs(v) < 9.95 {
		return fmt.Sprintf("%.1f/s", v)
	}
	return Number(int64(math.Round(v))) + "/s"
}

// Plural is a count of what: 1 queue, 2 queues.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(int64(n)) + " " + what + "s"
}

// Percent is a part of a whole.
func Percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(whole))
}

// Ratio tells how many times smaller something became.
func Ratio(raw, stored int64) string {
	if raw == 0 || stored == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(raw)/float64(stored))
}

// Duration is a time for people, in its two largest units.
func Duration(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}
