package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds how long a broker may take to accept connections. RabbitMQ, under
// CRASH_COMMAND, needs most of it; for Leveret it is a sign of a hang.
const startLimit = 60 * time.Second

// leveret is the path of the leveret under test, built once a run.
var leveret = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("LEVERET_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(scratch, "leveret")
	args := []string{"build", "-o", path}
	if os.Getenv("LEVERET_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "../../cmd/leveret")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/leveret: %w\n%s", err, out)
	}
	return path, nil
})

// scratch is a directory for the whole run, readable by every user because one test
// runs the binary as one without privileges.
var scratch string

// shared is the broker of the TestClient tests.
var shared struct {
	once sync.Once
	url  string
	proc *process
	err  error
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "leveret-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		scratch = dir
		code := m.Run()
		if p := shared.proc; p != nil {
			// Whatever the clients did to it, it must still stop like a healthy one.
			status, err := p.terminate()
			if words := p.complaint(); err != nil || status != 0 || words != "" {
				fmt.Fprintf(os.Stderr, "the shared broker did not stop cleanly: status %d, %v\n%s\n%s\n", status, err, words, p.log())
				code = 1
			}
		}
		return code
	}())
}

// brokerURL is where the TestClient tests connect.
func brokerURL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv("LEVERET_E2E_URL"); shared.url != "" {
			return
		}
		p, err := launch(filepath.Join(scratch, "shared"), "")
		if err != nil {
			shared.err = err
			return
		}
		shared.proc, shared.url = p, p.url()
		shared.err = p.awaitReady()
	})
	if shared.err != nil {
		t.Fatalf("the shared broker does not run: %v", shared.err)
	}
	if p := shared.proc; p != nil && p.hasExited() {
		t.Fatalf("the shared broker has gone: %v\n%s", p.waitErr, p.log())
	}
	return shared.url
}

// process is a broker running as a child.
type process struct {
	cmd  *exec.Cmd
	dir  string // its data directory; empty for a foreign broker
	addr string // HOST:PORT of AMQP

	mu     sync.Mutex
	stderr []string // all lines so far

	exited  chan struct{} // closed once it is gone and waitErr is set
	waitErr error
}

// launch starts `leveret serve` on dir and addr (a free port of 127.0.0.1 if empty)
// and returns at once; awaitReady waits.
func launch(dir, addr string, args ...string) (*process, error) {
	path, err := leveret()
	if err != nil {
		return nil, err
	}
	if addr == "" {
		if addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	p := &process{dir: dir, addr: addr}
	p.cmd = exec.Command(path, serveArgs(dir, addr, args...)...)
	return p, p.start()
}

func serveArgs(dir, addr string, more ...string) []string {
	return append([]string{"serve", "--data-dir", dir, "--amqp-addr", addr, "--http-addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0"}, more...)
}

func (p *process) start() error {
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	// A group of its own, so that kill reaches a foreign broker's children as well; and
	// no broker outlives a test run that is itself killed.
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Setpgid, p.cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	p.exited = make(chan struct{})
	go func() {
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimRight(line, "\n"); line != "" {
				p.mu.Lock()
				p.stderr = append(p.stderr, line)
				p.mu.Unlock()
			}
			if err != nil {
				break
			}
		}
		p.waitErr = p.cmd.Wait()
		close(p.exited)
	}()
	return nil
}

// startBroker runs leveret on dir until the test ends and waits until it accepts
// connections.
func startBroker(t testing.TB, dir string, args ...string) *process {
	t.Helper()
	return startBrokerAt(t, dir, "", args...)
}

// startBrokerAt is startBroker on a given address.
func startBrokerAt(t testing.TB, dir, addr string, args ...string) *process {
	t.Helper()
	p, err := launch(dir, addr, args...)
	must(t, err)
	t.Cleanup(func() {
		p.kill()
		if words := p.complaint(); words != "" {
			t.Errorf("the broker's log: %s", words)
		}
		if t.Failed() {
			t.Logf("stderr of the broker on %s:\n%s", p.addr, p.log())
		}
	})
	must(t, p.awaitReady())
	return p
}

// awaitReady returns once leveret says that it is ready, or a foreign broker accepts
// connections.
func (p *process) awaitReady() error {
	deadline := time.Now().Add(startLimit)
	for {
		if p.dir != "" {
			if p.readyLine() != "" {
				return nil
			}
		} else if conn, err := net.DialTimeout("tcp", p.addr, time.Second); err == nil {
			conn.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no broker on %s after %v\n%s", p.addr, startLimit, p.log())
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the broker ended before it was ready: %v\n%s", p.waitErr, p.log())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// readyLine is the line by which leveret says that it is ready, empty before.
func (p *process) readyLine() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.stderr {
		if strings.Contains(line, "msg=ready") {
			return line
		}
	}
	return ""
}

func (p *process) url() string {
	return (&url.URL{Scheme: "amqp", User: url.UserPassword("guest", "guest"), Host: p.addr, Path: "/"}).String()
}

// log is the end of what the broker has written on standard error.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 50
	if more := len(p.stderr) - most; more > 0 {
		return fmt.Sprintf("… %d lines\n", more) + strings.Join(p.stderr[more:], "\n")
	}
	return strings.Join(p.stderr, "\n")
}

// complaint is the first line of standard error by which the Go runtime or the race
// detector says that the program is wrong, with some lines after it. Empty if all is well.
func (p *process) complaint() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, line := range p.stderr {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
			return strings.Join(p.stderr[i:min(i+40, len(p.stderr))], "\n")
		}
	}
	return ""
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// kill ends the broker and its children as a power cut would, and waits.
func (p *process) kill() {
	if !p.hasExited() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already is fine
	}
	<-p.exited
}

// terminate asks the broker to stop and returns its exit status.
func (p *process) terminate() (int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(20 * time.Second):
		p.kill()
		return -1, errors.New("still running 20 s after SIGTERM")
	}
}

// rss is the process's resident memory in bytes, as the kernel counts it.
func (p *process) rss(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the broker's memory: %v\n%s", err, p.log())
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatalf("VmRSS: %v", err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmRSS in /proc/%d/status", p.cmd.Process.Pid)
	return 0
}

// openFiles counts the process's file descriptors.
func (p *process) openFiles(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the broker's open files: %v\n%s", err, p.log())
	}
	return len(names)
}

// freeAddr is an address of 127.0.0.1 on which nothing listens at this moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// run executes leveret to its end and returns its output and exit status.
func run(t testing.TB, as *syscall.Credential, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	path, err := leveret()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = scratch
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	var outBuf, errBuf strings.Builder
	cmd.Stdout, cmd.Stderr = &outBuf, &errBuf
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	err = cmd.Run()
	if !timer.Stop() {
		t.Fatalf("leveret %s: still running after 20 s\n%s", strings.Join(args, " "), errBuf.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("leveret %s: %v", strings.Join(args, " "), err)
	}
	return outBuf.String(), errBuf.String(), cmd.ProcessState.ExitCode()
}

// eventually polls ok until it is true. It is for conditions that no event announces.
func eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
