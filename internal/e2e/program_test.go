package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is a client in another language: its lines of output as they come, and how it
// ended.
type program struct {
	name   string
	cmd    *exec.Cmd
	lines  chan string // closed at the end of its output
	stderr lockedBuffer
	once   sync.Once
	err    error
}

// lockedBuffer may be read while the program still writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// spawn starts a program, which is killed at the end of the test if it still runs.
func spawn(t testing.TB, stdin string, path string, args ...string) *program {
	t.Helper()
	p := &program{name: filepath.Base(path), cmd: exec.Command(path, args...), lines: make(chan string, 10_000)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdin = strings.NewReader(stdin)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.end()
	})
	return p
}

// end waits for the program once.
func (p *program) end() error {
	p.once.Do(func() { p.err = p.cmd.Wait() })
	return p.err
}

// line is the next line of output.
func (p *program) line(t testing.TB) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("%s ended: %v\n%s", p.name, p.end(), p.stderr.String())
		}
		return line
	case <-time.After(patience):
		t.Fatalf("%s has printed nothing for %v\n%s", p.name, patience, p.stderr.String())
	}
	panic("unreachable")
}

// expect reads the next line and compares.
func (p *program) expect(t testing.TB, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got := p.line(t); got != want {
			t.Errorf("%s printed %q, want %q", p.name, got, want)
		}
	}
}

// finish reads the rest of the output and waits for the program to end well.
func (p *program) finish(t testing.TB) []string {
	t.Helper()
	rest := p.rest(t)
	if err := p.end(); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, p.stderr.String())
	}
	return rest
}

// fail waits for the program to end with an error and returns what it said of it.
func (p *program) fail(t testing.TB) string {
	t.Helper()
	p.rest(t)
	var exit *exec.ExitError
	if err := p.end(); !errors.As(err, &exit) {
		t.Fatalf("%s ended with %v, want it to fail", p.name, err)
	}
	return p.stderr.String()
}

func (p *program) rest(t testing.TB) (rest []string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return rest
			}
			rest = append(rest, line)
		case <-timeout:
			t.Fatalf("%s still runs after %v, having printed %q\n%s", p.name, patience, rest, p.stderr.String())
		}
	}
}
