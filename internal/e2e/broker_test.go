package e2e

import (
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

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// startLimit bounds how long a broker may take to accept connections. RabbitMQ, under
// CRASH_COMMAND, needs most of it; for Leveret it is a sign of a hang.
const startLimit = 60 * time.Second

// leveret is the path of the leveret under test, built once a run.
var leveret = sync.OnceValues(func() (string, error) { return child.Build(scratch) })

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
			status, err := p.Terminate()
			if words := p.Complaint(); err != nil || status != 0 || words != "" {
				fmt.Fprintf(os.Stderr, "the shared broker did not stop cleanly: status %d, %v\n%s\n%s\n", status, err, words, p.Log())
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
	if p := shared.proc; p != nil {
		if gone, err := p.Gone(); gone {
			t.Fatalf("the shared broker has gone: %v\n%s", err, p.Log())
		}
	}
	return shared.url
}

// process is a broker running as a child.
type process struct {
	*child.Process
	cmd  *exec.Cmd
	dir  string // its data directory; empty for a foreign broker
	addr string // HOST:PORT of AMQP
}

// launch starts `leveret serve` on dir and addr (a free port of 127.0.0.1 if empty)
// and returns at once; awaitReady waits.
func launch(dir, addr string, args ...string) (*process, error) {
	path, err := leveret()
	if err != nil {
		return nil, err
	}
	if addr == "" {
		if addr, err = child.FreeAddr(); err != nil {
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

func (p *process) start() (err error) {
	p.Process, err = child.Start(p.cmd)
	return err
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
		p.Kill()
		if words := p.Complaint(); words != "" {
			t.Errorf("the broker's log: %s", words)
		}
		if t.Failed() {
			t.Logf("stderr of the broker on %s:\n%s", p.addr, p.Log())
		}
	})
	must(t, p.awaitReady())
	return p
}

// awaitReady returns once leveret says that it is ready, or a foreign broker accepts
// connections.
func (p *process) awaitReady() error {
	return p.Await(func() bool {
		if p.dir != "" {
			return p.ReadyLine() != ""
		}
		conn, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, startLimit)
}

func (p *process) url() string {
	return (&url.URL{Scheme: "amqp", User: url.UserPassword("guest", "guest"), Host: p.addr, Path: "/"}).String()
}

// rss is the process's resident memory in bytes, as the kernel counts it.
func (p *process) rss(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the broker's memory: %v\n%s", err, p.Log())
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
		t.Fatalf("the broker's open files: %v\n%s", err, p.Log())
	}
	return len(names)
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
