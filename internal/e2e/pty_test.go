package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	t      testing.TB
	master *os.File
	slave  *os.File // kept open, so that its settings can be asked for afterwards
	cmd    *exec.Cmd
	exited chan error

	mu   sync.Mutex
	seen bytes.Buffer
}

// onTerminal starts a program whose standard streams are a terminal of its own.
func onTerminal(t testing.TB, columns, rows int, env []string, path string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	must(t, err)
	p := &terminal{t: t, master: master, slave: slave, exited: make(chan error, 1)}
	p.resize(columns, rows)
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	must(t, p.cmd.Start())
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		slave.Close()
		master.Close()
	})
	return p
}

func (p *terminal) resize(columns, rows int) {
	p.t.Helper()
	must(p.t, unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(columns), Row: uint16(rows)}))
}

// settings are the terminal's modes: raw or not, echo or not.
func (p *terminal) settings() unix.Termios {
	p.t.Helper()
	s, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	must(p.t, err)
	return *s
}

func (p *terminal) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// last is the end of what was seen.
func (p *terminal) last() string {
	text := p.text()
	return text[max(0, len(text)-1000):]
}

// forget drops what was seen so far.
func (p *terminal) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Reset()
}

// until waits until the terminal has shown a text.
func (p *terminal) until(what string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !strings.Contains(p.text(), what) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%q does not appear; seen at last: %q", what, p.last())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *terminal) typed(keys string) {
	p.t.Helper()
	_, err := p.master.WriteString(keys)
	must(p.t, err)
}

// status waits for the end, and returns the exit status.
func (p *terminal) status() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("it does not end; seen at last: %q", p.last())
		return -1
	}
}
