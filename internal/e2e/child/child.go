// Package child runs the broker under test as a child of the test's process, for the
// packages of end-to-end tests. It knows nothing of the broker but its command line and
// that it writes lines on standard error.
package child

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopLimit bounds how long a broker may take to stop.
const stopLimit = 20 * time.Second

// Build returns the path of the leveret under test: LEVERET_E2E_BINARY, or one that is
// built into a folder, with the race detector where LEVERET_E2E_RACE is not empty.
func Build(folder string) (string, error) {
	if path := os.Getenv("LEVERET_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(folder, "leveret")
	args := []string{"build", "-o", path}
	if os.Getenv("LEVERET_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	const command = "github.com/leveret-mq/leveret/cmd/leveret"
	if out, err := exec.Command("go", append(args, command)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", command, err, out)
	}
	return path, nil
}

// Process is a child. Its methods may be called by any goroutine.
type Process struct {
	Cmd *exec.Cmd

	mu    sync.Mutex
	lines []string // of standard error, so far

	exited chan struct{} // closed once it is gone and err is set
	err    error
}

// Start starts a command.
func Start(cmd *exec.Cmd) (*Process, error) {
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	// A group of its own, so that Kill reaches a foreign broker's children as well; and
	// no broker outlives a test run that is itself killed.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &Process{Cmd: cmd, exited: make(chan struct{})}
	go func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimRight(line, "\n"); line != "" {
				p.mu.Lock()
				p.lines = append(p.lines, line)
				p.mu.Unlock()
			}
			if err != nil {
				break
			}
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Await returns when ok is true, and why it did not become so: the process has ended,
// or too much time has passed.
func (p *Process) Await(ok func() bool, within time.Duration) error {
	for deadline := time.Now().Add(within); !ok(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("the broker is not ready after %v\n%s", within, p.Log())
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the broker ended before it was ready: %w\n%s", p.err, p.Log())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// Lines is what it has written on standard error.
func (p *Process) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// ReadyLine is the line by which leveret says that it is ready, empty before.
func (p *Process) ReadyLine() string {
	for _, line := range p.Lines() {
		if strings.Contains(line, "msg=ready") {
			return line
		}
	}
	return ""
}

// Log is the end of what it has written.
func (p *Process) Log() string {
	lines := p.Lines()
	const most = 50
	if more := len(lines) - most; more > 0 {
		return fmt.Sprintf("… %d lines\n", more) + strings.Join(lines[more:], "\n")
	}
	return strings.Join(lines, "\n")
}

// Complaint is the first line by which the Go runtime or the race detector says that
// the program is wrong, with some lines after it. Empty if all is well.
func (p *Process) Complaint() string {
	lines := p.Lines()
	for i, line := range lines {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
			return strings.Join(lines[i:min(i+40, len(lines))], "\n")
		}
	}
	return ""
}

// Gone tells whether it has ended, and how.
func (p *Process) Gone() (bool, error) {
	select {
	case <-p.exited:
		return true, p.err
	default:
		return false, nil
	}
}

// Kill ends it and its children as a power cut would, and waits.
func (p *Process) Kill() {
	if gone, _ := p.Gone(); !gone {
		_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL) // gone already is fine
	}
	<-p.exited
}

// Terminate asks it to stop and returns its exit status.
func (p *Process) Terminate() (int, error) {
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	select {
	case <-p.exited:
		return p.Cmd.ProcessState.ExitCode(), nil
	case <-time.After(stopLimit):
		p.Kill()
		return -1, fmt.Errorf("still running %v after SIGTERM", stopLimit)
	}
}

// FreeAddr is an address of 127.0.0.1 on which nothing listens at this moment.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
