package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A configuration is changed under a running broker: what can be changed is, what
// cannot is named, and a file with a mistake changes nothing.
func TestSIGHUPReadsTheConfigurationAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leveret.toml")
	configure := func(lines ...string) {
		must(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	}
	configure(`max-message-size = "1MiB"`, `channel-max = 10`)
	p := startBroker(t, t.TempDir(), "--config", file, "--frame-max", "64KiB")
	reloads, mistakes := 0, 0
	reload := func() {
		t.Helper()
		must(t, p.cmd.Process.Signal(syscall.SIGHUP))
		reloads++
		p.awaitLog(t, "configuration reloaded", reloads)
	}
	tuned := func() (channels uint16, frame int) {
		t.Helper()
		conn := dialTo(t, p.url())
		defer conn.Close()
		return conn.Config.ChannelMax, conn.Config.FrameSize
	}
	first := dialTo(t, p.url())
	ch := confirming(t, first)
	q := durableQueue(t, ch, "reload", nil)
	if n, frame := tuned(); n != 10 || frame != 64<<10 {
		t.Fatalf("%d channels, frames of %d", n, frame)
	}

	configure(`max-message-size = "1KiB"`, `channel-max = 20`, `frame-max = "256KiB"`, `log-level = "debug"`,
		`disk-free-limit = "1000TB"`, `memory-limit = "1MiB"`, `http-addr = "127.0.0.1:1"`, `data-dir = "elsewhere"`)
	reload()
	p.awaitLog(t, "changed=log-level,disk-free-limit,memory-limit,max-message-size,channel-max", 1)
	// What flags say stays, also that the data directory and the listener are those of the command line.
	if n, frame := tuned(); n != 20 || frame != 64<<10 {
		t.Errorf("%d channels, frames of %d", n, frame)
	}
	p.awaitLog(t, "level=DEBUG", 1)
	p.awaitLog(t, `disk alarm changed" low=true`, 1)
	p.awaitLog(t, `memory alarm changed" low=true`, 1)
	p.awaitLog(t, "alarm: publishers are not read", 1)
	configure(`max-message-size = "1KiB"`, `default-vhost = "other"`)
	reload()
	p.awaitLog(t, "restart it", 1)
	p.awaitLog(t, "options=default-vhost", 1)
	p.awaitLog(t, `memory alarm changed" low=false`, 1)
	p.awaitLog(t, "alarm over: publishers are read again", 1)
	// The first connection has what it began with, a new one the new limits.
	if !confirmed(t, ch, "", q, text(strings.Repeat("x", 2000))) {
		t.Error("the message was not taken")
	}
	second := open(t, dialTo(t, p.url()))
	closed := second.NotifyClose(make(chan *amqp.Error, 1))
	must(t, second.Publish("", q, false, false, text(strings.Repeat("x", 2000))))
	if err := <-closed; err == nil || err.Code != 406 || !strings.Contains(err.Reason, "max size 1024") {
		t.Errorf("%v", err)
	}

	for _, bad := range []string{"max-message-size = 1\nnonsense = 2", "channel-max = 0", "heartbeat = 1", "= x"} {
		configure(bad)
		must(t, p.cmd.Process.Signal(syscall.SIGHUP))
		mistakes++
		p.awaitLog(t, "configuration cannot be used: nothing changes", mistakes)
		if n, _ := tuned(); n != 2047 {
			t.Errorf("%q: %d channels", bad, n)
		}
	}
	p.awaitLog(t, "line 2: unknown key", 1)

	// Connections over a new limit stay, others are refused, and a greater limit lets them in.
	configure("max-connections = 1")
	reload()
	if conn, err := amqp.Dial(p.url()); err == nil {
		conn.Close()
		t.Error("a connection over the limit was taken")
	}
	if !confirmed(t, ch, "", q, text("still here")) {
		t.Error("the message was not taken")
	}
	configure("")
	reload()
	dialTo(t, p.url())
}

// A supervisor of systemd's kind hears of all that happens.
func TestSystemdIsTold(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify")
	must(t, err)
	defer os.RemoveAll(dir)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	must(t, err)
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "s"))
	t.Setenv("WATCHDOG_USEC", "200000")
	var told []string
	await := func(words string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			must(t, socket.SetReadDeadline(time.Now().Add(20*time.Second)))
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("%q is not told: %v, after %q", words, err, told)
			}
			told = append(told, string(buf[:n]))
			if strings.Contains(told[len(told)-1], words) {
				return
			}
		}
	}
	p := startBroker(t, t.TempDir())
	await("EXTEND_TIMEOUT_USEC=")
	await("READY=1")
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	must(t, p.cmd.Process.Signal(syscall.SIGHUP))
	await("RELOADING=1\nMONOTONIC_USEC=")
	await("READY=1")
	stopped := make(chan string, 1)
	go func() {
		status, err := p.Terminate()
		stopped <- fmt.Sprint(status, err)
	}()
	await("STOPPING=1")
	if got := <-stopped; got != "0<nil>" && got != "0 <nil>" {
		t.Error(got)
	}
	for i, note := range told {
		if strings.HasPrefix(note, "READY=1") && i == 0 {
			t.Error("ready before anything else")
		}
	}
}
