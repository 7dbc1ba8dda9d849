package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/conformance"
)

// startLimit bounds how long a broker may take to accept connections, stopLimit how
// long it may take to stop.
const (
	startLimit = 90 * time.Second
	stopLimit  = 30 * time.Second
)

// Broker is a broker that runs as a child of this process.
type Broker struct {
	Peer *conformance.Peer

	addr    string           // of AMQP
	command func() *exec.Cmd // how it is started
	beside  *exec.Cmd        // runs as long as the broker is wanted; may be nil
	folder  string           // removed at the end
	log     string           // its standard error and output

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{}
	stopped bool
}

// start starts the process and waits until it accepts connections.
func (b *Broker) start() error {
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
	// A group of its own, so that a kill reaches its children as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	b.cmd, b.exited = cmd, exited
	for deadline := time.Now().Add(startLimit); ; {
		if conn, err := net.DialTimeout("tcp", b.addr, time.Second); err == nil {
			// The listener of a node that is still starting may close what it accepts.
			_, _ = conn.Write([]byte("AMQP\x00\x00\x09\x01"))
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, _ := conn.Read(make([]byte, 1))
			conn.Close()
			if n == 1 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no broker on %s after %v\n%s", b.addr, startLimit, b.words())
		}
		select {
		case <-exited:
			return fmt.Errorf("the broker ended before it was ready\n%s", b.words())
		case <-time.After(5 * time.Millisecond):
		}
	}
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

// end ends the process, by kill -9 or by asking it to stop, and waits.
func (b *Broker) end(kill bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cmd == nil {
		return nil
	}
	pid := b.cmd.Process.Pid
	if !kill {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-b.exited:
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			b.cmd = nil
			return nil
		case <-time.After(stopLimit):
		}
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // gone already is fine
	<-b.exited
	b.cmd = nil
	if !kill {
		return fmt.Errorf("still running %v after it was told to stop", stopLimit)
	}
	return nil
}

// Restart stops the broker and starts it on the same data and addresses.
func (b *Broker) Restart(kill bool) error {
	if err := b.end(kill); err != nil {
		return err
	}
	return b.start()
}

// Close kills the broker and removes its files.
func (b *Broker) Close() {
	_ = b.end(true)
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

// freePorts are ports of 127.0.0.1 on which nothing listens at this moment.
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
