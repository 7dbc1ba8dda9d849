package clients

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// patience bounds what should take milliseconds on an idle machine, a client's start
// included.
const patience = 30 * time.Second

// scratch is a directory for the whole run.
var scratch string

// shared is the broker of the TestClient tests.
var shared struct {
	once   sync.Once
	broker *broker
	url    string
	err    error
}

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == goClient {
		amqp091(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "leveret-clients-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		code := m.Run()
		if b := shared.broker; b != nil {
			// Whatever the clients did to it, it must still stop like a healthy one.
			if err := b.stop(); err != nil {
				fmt.Fprintf(os.Stderr, "the shared broker did not stop cleanly: %v\n%s\n", err, b.Log())
				code = 1
			}
		}
		return code
	}())
}

// brokerURL is where the TestClient tests connect. Its path is the default virtual host,
// escaped: some clients take "/" for a virtual host without a name.
func brokerURL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if foreign := os.Getenv("LEVERET_E2E_URL"); foreign != "" {
			shared.url = strings.TrimSuffix(foreign, "/") + "/%2F"
			return
		}
		b := &broker{dir: filepath.Join(scratch, "shared")}
		if shared.err = b.start(); shared.err == nil {
			shared.broker, shared.url = b, b.url()
		}
	})
	if shared.err != nil {
		t.Fatalf("the shared broker does not run: %v", shared.err)
	}
	return shared.url
}

// management is where the TestClient tests find the management API.
func management(t testing.TB) string {
	t.Helper()
	brokerURL(t)
	if shared.broker != nil {
		return "http://" + shared.broker.http
	}
	if foreign := os.Getenv("LEVERET_E2E_HTTP"); foreign != "" {
		return strings.TrimSuffix(foreign, "/")
	}
	return "http://127.0.0.1:15672"
}

// leveret is the path of the binary under test.
var leveret = sync.OnceValues(func() (string, error) { return child.Build(scratch) })

// broker is a broker as a child process that may be killed and started again on the same
// address and data.
type broker struct {
	*child.Process
	dir  string // its data; for a foreign broker its command knows
	addr string // HOST:PORT of AMQP; the first start of a leveret chooses it
	http string // likewise, of HTTP; "" for a foreign broker
}

// killable starts a broker of the test's own.
func killable(t testing.TB) *broker {
	t.Helper()
	b := &broker{dir: t.TempDir()}
	if os.Getenv("CRASH_COMMAND") != "" {
		u, err := url.Parse(os.Getenv("CRASH_URL"))
		must(t, err)
		b.addr = u.Host
	}
	must(t, b.start())
	t.Cleanup(func() {
		b.Kill()
		if words := b.Complaint(); words != "" {
			t.Errorf("the broker's log: %s", words)
		}
		if t.Failed() {
			t.Logf("stderr of the broker:\n%s", b.Log())
		}
	})
	return b
}

// start runs the broker and returns once it accepts connections.
func (b *broker) start() error {
	var cmd *exec.Cmd
	if foreign := os.Getenv("CRASH_COMMAND"); foreign != "" && b.addr != "" {
		cmd = exec.Command("sh", "-c", foreign)
	} else {
		path, err := leveret()
		if err != nil {
			return err
		}
		if b.addr == "" {
			if b.addr, err = child.FreeAddr(); err != nil {
				return err
			}
			if b.http, err = child.FreeAddr(); err != nil {
				return err
			}
		}
		cmd = exec.Command(path, "serve", "--data-dir", b.dir, "--amqp-addr", b.addr, "--http-addr", b.http, "--metrics-addr", "")
	}
	var err error
	if b.Process, err = child.Start(cmd); err != nil {
		return err
	}
	return b.Await(func() bool {
		conn, err := amqp.Dial(b.url())
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, patience)
}

func (b *broker) url() string { return "amqp://guest:guest@" + b.addr + "/%2F" }

// stop asks the broker to end, and complains if it does not end well.
func (b *broker) stop() error {
	status, err := b.Terminate()
	if words := b.Complaint(); err == nil && words != "" {
		err = errors.New(words)
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	return err
}

// program is a client that runs: its lines of output as they come.
type program struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // closed at its end
	stderr lockedBuffer
	wait   func() error
}

// lockedBuffer may be read while the program still writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
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
func spawn(t testing.TB, env []string, command ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(command[0], command[1:]...), lines: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	must(t, err)
	p.stdin = in
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", strings.Join(command, " "), err)
	}
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already is fine
		_ = p.wait()
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", strings.Join(command, " "), p.stderr.String())
		}
	})
	return p
}

// say gives the program a line of input.
func (p *program) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		t.Fatalf("the program does not listen: %v", err)
	}
}

// line is the next line of output.
func (p *program) line(t testing.TB) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("the program ended: %v", p.wait())
		}
		return line
	case <-time.After(patience):
		t.Fatalf("the program has printed nothing for %v", patience)
	}
	panic("unreachable")
}

// rest is what the program prints until it ends well.
func (p *program) rest(t testing.TB) (lines []string) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				if err := p.wait(); err != nil {
					t.Errorf("the program ended with %v", err)
				}
				return lines
			}
			lines = append(lines, line)
		case <-timeout:
			t.Fatalf("the program still runs after %v, having printed %q", patience, lines)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
