package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/process"
)

// startLimit bounds how long a broker may take to accept clients, stopLimit how long it
// may take to stop.
const (
	startLimit = 5 * time.Minute
	stopLimit  = time.Minute
)

// Options are what may be chosen of a broker.
type Options struct {
	// Data is the folder with its data, which is left behind; without one it has a
	// temporary folder.
	Data string
	// Temp is where temporary folders are made; default os.TempDir.
	Temp string
	// Bare leaves out all listeners but AMQP's: no management API, no TLS.
	Bare bool
	// Args are more arguments, Config more lines of the configuration file.
	Args   []string
	Config []string
	// Accepts is how to find out whether a client is accepted. By default it is when
	// the first byte after AMQP's protocol header is read.
	Accepts func(ctx context.Context, url string) error
}

// Broker is a broker that runs as a child of this process.
type Broker struct {
	// URL is AMQP's (NATS's own), HTTP the management API's, if any, both with user and
	// password. TLSAddr is the TLS listener's address; TLSClient trusts its certificate,
	// and has one that the listener trusts, whose subject is CN=guest.
	URL, HTTP string
	TLSAddr   string
	TLSClient *tls.Config

	command func() *exec.Cmd // how it is started
	accepts func(ctx context.Context, url string) error
	beside  *exec.Cmd // runs as long as the broker is wanted; may be nil
	folder  string    // removed at the end
	log     string    // its standard error and output

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{}
	took    time.Duration
	stopped bool
}

// newBroker makes the folder of a broker that has yet to be started.
func newBroker(name string, o Options) (*Broker, error) {
	folder, err := os.MkdirTemp(o.Temp, name+"-")
	if err != nil {
		return nil, err
	}
	b := &Broker{folder: folder, log: filepath.Join(folder, "log"), accepts: o.Accepts}
	if b.accepts == nil {
		b.accepts = answers
	}
	return b, nil
}

// in is a file of the broker's folder.
func (b *Broker) in(name string) string { return filepath.Join(b.folder, name) }

// data is the folder that the broker keeps its data in.
func (b *Broker) data(o Options) string {
	if o.Data != "" {
		return o.Data
	}
	return b.in("data")
}

// begin is start, which leaves nothing behind where it fails.
func (b *Broker) begin(ctx context.Context) (*Broker, error) {
	if err := b.start(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// start starts the process and waits until it accepts clients.
func (b *Broker) start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return errors.New("the broker was stopped")
	}
	out, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := b.command()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	b.cmd, b.exited = cmd, exited
	for {
		err := b.accepts(ctx, b.URL)
		if err == nil {
			b.took = time.Since(began)
			return nil
		}
		if time.Since(began) > startLimit {
			return fmt.Errorf("no broker after %v: %w\n%s", startLimit, err, b.words())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-exited:
			return fmt.Errorf("the broker ended before it was ready: %s\n%s", cmd.ProcessState, b.words())
		case <-time.After(time.Millisecond):
		}
	}
}

// answers is whether something speaks AMQP there: the listener of a node that is still
// starting may close what it accepts.
func answers(ctx context.Context, url string) error {
	_, addr, _ := strings.Cut(url, "@")
	addr, _, _ = strings.Cut(addr, "/")
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// words are the last lines that the broker has written.
func (b *Broker) words() string {
	text, _ := os.ReadFile(b.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}

// Complaint is what the broker has written of a panic or a data race, empty if all
// is well.
func (b *Broker) Complaint() string {
	text, _ := os.ReadFile(b.log)
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
			return strings.Join(lines[i:min(i+60, len(lines))], "\n")
		}
	}
	return ""
}

// Took is how long the last start took, until a client was accepted.
func (b *Broker) Took() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.took
}

// group calls the members of the process group whose leader is pid.
func group(pid int, each func(pid int)) {
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		member, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if of, err := syscall.Getpgid(member); err == nil && of == pid {
			each(member)
		}
	}
}

// PID is the broker's process: of those that it consists of the one with the most
// memory, as RabbitMQ's is started by a shell. 0 if it does not run.
func (b *Broker) PID() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return 0
	}
	pid, most := b.cmd.Process.Pid, uint64(0)
	group(pid, func(member int) {
		if n := process.Resident(member); n > most {
			pid, most = member, n
		}
	})
	return pid
}

// Pause keeps a broker that nobody uses from running, Resume lets it run again.
func (b *Broker) Pause() { b.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (b *Broker) Resume() { b.signal(syscall.SIGCONT) }

func (b *Broker) signal(s syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd != nil {
		_ = syscall.Kill(-b.cmd.Process.Pid, s)
	}
}

// end ends the process, by kill -9 or by asking it to stop, and waits.
func (b *Broker) end(kill bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return nil
	}
	cmd := b.cmd
	b.cmd = nil
	pid := cmd.Process.Pid
	var err error
	if !kill {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.exited:
			if code := cmd.ProcessState.ExitCode(); code != 0 {
				err = fmt.Errorf("the broker stops with status %d\n%s", code, b.words())
			}
		case <-time.After(stopLimit):
			err = fmt.Errorf("still running %v after it was told to stop", stopLimit)
		}
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // gone already is fine
	<-b.exited
	return err
}

// Kill ends the broker as kill -9 does.
func (b *Broker) Kill() { _ = b.end(true) }

// Stop asks the broker to end, and says how long that took.
func (b *Broker) Stop() (time.Duration, error) {
	began := time.Now()
	err := b.end(false)
	return time.Since(began), err
}

// Restart ends the broker and starts it on the same data and addresses.
func (b *Broker) Restart(kill bool) error {
	if err := b.end(kill); err != nil {
		return err
	}
	return b.start(context.Background())
}

// Close kills the broker and removes its files, but for data that it was told where to
// keep.
func (b *Broker) Close() {
	b.Kill()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	if b.beside != nil {
		_ = b.beside.Process.Kill()
		_ = b.beside.Wait()
		b.beside = nil
	}
	_ = os.RemoveAll(b.folder)
}

// freePorts are addresses of 127.0.0.1 on which nothing listens at this moment.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
