package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style is how a text looks.
type Style string

// The styles, as SGR parameters. The colours are those that the user's terminal has
// given the names, so that they can be read on its background.
const (
	Plain   Style = ""
	Bold    Style = "1"
	Dim     Style = "2"
	Good    Style = "32"
	Warning Style = "33"
	Bad     Style = "31"
	Accent  Style = "36"
	Reverse Style = "7"
)

// Paint puts styles on texts, or does not.
type Paint struct{ On bool }

// PaintFor is for what is written to w: no colours where that is no terminal, where
// NO_COLOR is set or the terminal is a dumb one.
func PaintFor(w io.Writer) Paint {
	return Paint{IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Text is a text in a style.
func (p Paint) Text(s Style, text string) string {
	if !p.On || s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// IsTerminal tells whether a stream is one.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
