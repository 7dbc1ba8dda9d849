package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
		text, err := term.ReadPassword(fd)
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
