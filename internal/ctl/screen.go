package ctl

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// What a terminal is told. The other screen keeps what was there before; an update that
// is marked as one is shown at once, where the terminal knows that.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H"
	endFrame    = "\x1b[J\x1b[?2026l"
)

// watch shows the view until somebody ends it, and leaves the terminal as it was.
func (t *top) watch(ctx context.Context) error {
	in, out := t.app.in.(*os.File), t.app.out.(*os.File)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return failed("the terminal does not give single keys: %v", err)
	}
	fmt.Fprint(out, enterScreen)
	defer func() {
		fmt.Fprint(out, leaveScreen)
		_ = term.Restore(int(in.Fd()), before)
	}()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	return t.loop(ctx, screen{out, func() (int, int) {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width < 1 || height < 1 {
			return 80, 24
		}
		return width, height
	}}, keys(ctx, in), resized)
}

// screen is where frames are drawn.
type screen struct {
	io.Writer
	size func() (width, height int)
}

// draw writes a frame over the last one.
func (s screen) draw(lines []string) error {
	var b strings.Builder
	b.WriteString(beginFrame)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line)
		b.WriteString("\x1b[K")
	}
	b.WriteString(endFrame)
	_, err := io.WriteString(s, b.String())
	return err
}

// loop draws when something has changed: an answer, a key, the terminal's size. One
// question is on its way at a time.
func (t *top) loop(ctx context.Context, s screen, keys <-chan string, resized <-chan os.Signal) error {
	answers := make(chan answer, 1)
	asking, again := false, false
	ask := func() {
		if asking {
			again = true
			return
		}
		asking = true
		go func(r request) { answers <- t.fetch(ctx, r) }(t.request())
	}
	timer := time.NewTimer(t.interval)
	defer timer.Stop()
	ask()
	for {
		if err := s.draw(t.now(s)); err != nil {
			return failed("%v", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case k, ok := <-keys:
			if !ok {
				return nil
			}
			quit, renew := t.key(k)
			if quit {
				return nil
			}
			if renew {
				ask()
			}
		case n := <-answers:
			asking = false
			t.take(n)
			timer.Reset(t.interval)
			if again {
				again = false
				ask()
			}
		case <-timer.C:
			if t.held {
				timer.Reset(t.interval)
			} else {
				ask()
			}
		case <-resized:
		}
	}
}

func (t *top) now(s screen) []string {
	width, height := s.size()
	return t.frame(width, height, time.Now())
}

// keyNames are what terminals send for keys that are no characters.
var keyNames = map[string]string{
	"\x03": "ctrl-c", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "esc",
	"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "pgup", "\x1b[6~": "pgdn",
	"\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end",
}

// keys reads keys until the end of the input. A sequence of an escape and more comes in
// one read; an escape alone is the key.
func keys(ctx context.Context, in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		r := bufio.NewReader(in)
		for {
			k, err := readKey(r)
			if err != nil {
				return
			}
			if k == "" {
				continue
			}
			select {
			case out <- k:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// readKey reads a key; "" is one that nobody knows.
func readKey(r *bufio.Reader) (string, error) {
	c, _, err := r.ReadRune()
	if err != nil {
		return "", err
	}
	text := string(c)
	if c == 0x1b && r.Buffered() > 0 {
		second, _, err := r.ReadRune()
		if err != nil {
			return "", err
		}
		text += string(second)
		if second == '[' || second == 'O' {
			for r.Buffered() > 0 {
				b, err := r.ReadByte()
				if err != nil {
					return "", err
				}
				text += string(rune(b))
				if b >= 0x40 && b <= 0x7e { // the end of a sequence
					break
				}
			}
		}
	}
	if name, ok := keyNames[text]; ok {
		return name, nil
	}
	if len(text) > 0 && (text[0] < 0x20 || len([]rune(text)) > 1) {
		return "", nil
	}
	return text, nil
}
