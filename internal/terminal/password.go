package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// ErrNoPassword is that of standard input that has ended.
var ErrNoPassword = errors.New("no password: type it, or give it as a line on standard input")

// Password asks for a password: on a terminal without showing it, after a prompt on
// out, and a second time where it is a new one; else it is a line of in.
func Password(in io.Reader, out io.Writer, prompt string, twice bool) (string, error) {
	if !IsTerminal(in) {
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && line == "" {
			return "", ErrNoPassword
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	fd := int(in.(*os.File).Fd())
	ask := func(prompt string) (string, error) {
		fmt.Fprint(out, prompt)
		text, err := hidden(fd)
		fmt.Fprintln(out)
		return string(text), err
	}
	first, err := ask(prompt)
	if err != nil || !twice {
		return first, err
	}
	again, err := ask("The same again: ")
	if err == nil && again != first {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return first, err
}

// ErrInterrupted is that of a prompt that was ended by a signal.
var ErrInterrupted = errors.New("interrupted: nothing was changed")

// hidden reads a line that is not shown. A signal that would end the program ends the
// reading instead, and leaves the terminal as it was: one that shows nothing of what is
// typed later would be of no use.
func hidden(fd int) (text []byte, err error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(ended)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return l.text, l.err
	case <-ended: // whoever reads goes with the program
		return nil, errors.Join(ErrInterrupted, term.Restore(fd, before))
	}
}
