package brokertest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is the built binary serving as a child of the test. It is killed with
// the test.
type Process struct {
	// Addr is HOST:PORT of AMQP; it stays over a Restart.
	Addr string

	t      testing.TB
	binary string
	dir    string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has been waited for

	mu    sync.Mutex
	lines []string // of standard error, by all its lives
}

// readyLimit bounds how long a start may take.
const readyLimit = 30 * time.Second

var readyLine = regexp.MustCompile(`msg=ready amqp=(\S+)`)

// Build makes the binary in a temporary folder. LEVERET_BINARY names one that is
// there already.
func Build(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("LEVERET_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "leveret")
	cmd := exec.Command("go", "build", "-o", path, "github.com/leveret-mq/leveret/cmd/leveret")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// Exec runs `leveret serve` of a binary on a data directory, with more arguments,
// and waits until it is ready.
func Exec(t testing.TB, binary, dir string, args ...string) *Process {
	t.Helper()
	p := &Process{Addr: "127.0.0.1:0", t: t, binary: binary, dir: dir, args: args}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the broker's log:\n%s", p.Log())
		}
	})
	p.start()
	return p
}

func (p *Process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.binary, append([]string{"serve", "--data-dir", p.dir, "--amqp-addr", p.Addr}, p.args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is itself killed
	out, err := p.cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start: %v", err)
	}
	ready := make(chan string, 1)
	exited := make(chan struct{})
	p.exited = exited
	go func(cmd *exec.Cmd) {
		defer close(exited)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := lines.Text()
			p.mu.Lock()
			p.lines = append(p.lines, line)
			p.mu.Unlock()
			if m := readyLine.FindStringSubmatch(line); m != nil {
				ready <- m[1]
			}
		}
		cmd.Wait()
	}(p.cmd)
	select {
	case p.Addr = <-ready:
	case <-exited:
		p.t.Fatalf("the broker ended before it was ready: %v\n%s", p.cmd.ProcessState, p.Log())
	case <-time.After(readyLimit):
		p.t.Fatalf("the broker is not ready after %v\n%s", readyLimit, p.Log())
	}
}

// URL is for client libraries.
func (p *Process) URL() string { return "amqp://guest:guest@" + p.Addr + "/" }

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process as a crash would (SIGKILL) and waits for its end.
func (p *Process) Kill() {
	if p.exited == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.exited
}

// Stop asks the process to end (SIGTERM), waits for that and returns its exit
// status.
func (p *Process) Stop() int {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(readyLimit):
		p.t.Errorf("the broker still runs %v after SIGTERM", readyLimit)
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Restart starts a process that has ended again, on the same data and address.
func (p *Process) Restart() {
	p.t.Helper()
	select {
	case <-p.exited:
	default:
		p.t.Fatal("the broker has not ended")
	}
	p.start()
}

// Log is what the process has written to standard error, the last lines of it.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 50
	lines := p.lines
	if more := len(lines) - most; more > 0 {
		return fmt.Sprintf("(%d lines)\n%s", more, strings.Join(lines[more:], "\n"))
	}
	return strings.Join(lines, "\n")
}
