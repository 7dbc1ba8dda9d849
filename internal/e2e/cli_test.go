package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/leveret-mq/leveret/internal/e2e/child"
)

// oneLine expects a failed start: a status other than 0, nothing on standard output and
// one line on standard error that contains every part.
func oneLine(t *testing.T, stdout, stderr string, status int, parts ...string) {
	t.Helper()
	if status == 0 {
		t.Error("exit status 0")
	}
	if stdout != "" {
		t.Errorf("standard output: %q", stdout)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("want one line on standard error, got:\n%s", stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stderr, part) {
			t.Errorf("%q is not in %q", part, stderr)
		}
	}
}

func TestCLIVersion(t *testing.T) {
	stdout, stderr, status := run(t, nil, "version")
	if status != 0 || stderr != "" || !strings.HasPrefix(stdout, "leveret ") || strings.Count(stdout, "\n") != 1 {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

func TestCLIWrongUsageIsOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		args []string
		part string
	}{
		{[]string{"serve", "--no-such-flag"}, "no-such-flag"},
		{[]string{"sevre"}, "sevre"},
		{[]string{"serve", "--data-dir", dir, "--amqp-addr", "nonsense"}, "nonsense"},
		{[]string{"serve", "--data-dir", dir, "--log-level", "loud"}, "loud"},
		{[]string{"serve", "--data-dir", dir, "--config", filepath.Join(dir, "missing.toml")}, "missing.toml"},
	} {
		stdout, stderr, status := run(t, nil, c.args...)
		oneLine(t, stdout, stderr, status, c.part)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a wrong command line has made the data directory")
	}
}

func TestCLIPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	stdout, stderr, status := run(t, nil, serveArgs(filepath.Join(t.TempDir(), "data"), l.Addr().String())...)
	oneLine(t, stdout, stderr, status, l.Addr().String())
}

func TestCLIDirectoryLockedByAnotherBroker(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	addr, err := child.FreeAddr()
	must(t, err)
	stdout, stderr, status := run(t, nil, serveArgs(p.dir, addr)...)
	oneLine(t, stdout, stderr, status, p.dir)

	// The first one has not noticed; and once it is gone, in whatever way, the lock is too.
	fillAndCount(t, p.url(), 3)
	p.Kill()
	startBrokerAt(t, p.dir, addr)
}

// fillAndCount publishes n persistent messages to the durable queue "kept".
func fillAndCount(t *testing.T, url string, n int) {
	t.Helper()
	conn := dialTo(t, url)
	defer conn.Close()
	ch := open(t, conn)
	_, err := ch.QueueDeclare("kept", true, false, false, false, nil)
	must(t, err)
	for _, body := range numbered("kept", n) {
		fill(t, conn, "kept", body) // one at a time, so that each is a commit of its own
	}
	ready(t, ch, "kept", n)
}

func TestCLIDirectoryThatCannotBeUsed(t *testing.T) {
	addr, err := child.FreeAddr()
	must(t, err)
	t.Run("a file in its place", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "data")
		must(t, os.WriteFile(file, []byte("not a directory"), 0o644))
		stdout, stderr, status := run(t, nil, serveArgs(file, addr)...)
		oneLine(t, stdout, stderr, status, file)
	})
	t.Run("no permission", func(t *testing.T) {
		dir, err := os.MkdirTemp(scratch, "unreadable")
		must(t, err)
		as := &syscall.Credential{Uid: 65534, Gid: 65534}
		if os.Getuid() != 0 {
			as = nil // no user but root ignores permissions
		}
		must(t, os.Chmod(dir, 0))
		defer os.Chmod(dir, 0o755)
		stdout, stderr, status := run(t, as, serveArgs(dir, addr)...)
		oneLine(t, stdout, stderr, status, dir, "permission denied")
	})
	t.Run("no permission for the log in it", func(t *testing.T) {
		dir, err := os.MkdirTemp(scratch, "unreadable")
		must(t, err)
		p := startBroker(t, dir)
		fillAndCount(t, p.url(), 3)
		p.Kill()
		as := &syscall.Credential{Uid: 65534, Gid: 65534}
		if os.Getuid() != 0 {
			as = nil
		}
		must(t, os.Chmod(filepath.Join(dir, "wal"), 0))
		defer os.Chmod(filepath.Join(dir, "wal"), 0o755)
		stdout, stderr, status := run(t, as, serveArgs(dir, addr)...)
		oneLine(t, stdout, stderr, status, dir, "permission denied")
	})
}

func TestCLIReadyIsOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	p := startBroker(t, dir)
	line := p.ReadyLine()
	if p.Log() != line {
		t.Errorf("want one line on standard error, got:\n%s", p.Log())
	}
	for _, part := range []string{p.addr, dir, "messages=0", "recovery="} {
		if !strings.Contains(line, part) {
			t.Errorf("%q is not in %q", part, line)
		}
	}
	fillAndCount(t, p.url(), 7)
	p.Kill()
	again := startBrokerAt(t, dir, p.addr)
	if line := again.ReadyLine(); !strings.Contains(line, "messages=7") {
		t.Errorf("want messages=7 in %q", line)
	}
}

func TestCLISigtermTellsClientsAndExitsWell(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"))
	var closed []chan *amqp.Error
	for range 3 {
		conn := dialTo(t, p.url())
		closed = append(closed, conn.NotifyClose(make(chan *amqp.Error, 1)))
	}
	worker := dialTo(t, p.url())
	consume(t, exclusive(t, worker), "", false)

	start := time.Now()
	status, err := p.Terminate()
	if err != nil || status != 0 {
		t.Errorf("status %d, %v\n%s", status, err, p.Log())
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, c := range closed {
		select {
		case e := <-c:
			if e == nil || e.Code != amqp.ConnectionForced || !strings.HasPrefix(e.Reason, "CONNECTION_FORCED") {
				t.Errorf("a client was told %v, want 320", e)
			}
		case <-time.After(patience):
			t.Error("a client was told nothing")
		}
	}
	if conn, err := net.Dial("tcp", p.addr); err == nil {
		conn.Close()
		t.Error("something still listens")
	}
}

// exclusive is a channel whose last declared queue is an exclusive one.
func exclusive(t testing.TB, conn *amqp.Connection) *amqp.Channel {
	t.Helper()
	ch := open(t, conn)
	_, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	return ch
}

// A client that does not answer the close, one that says nothing at all and one that is
// in the middle of a message do not hold up the stop for long.
func TestCLISigtermDoesNotWaitForClientsThatHang(t *testing.T) {
	p := startBroker(t, filepath.Join(t.TempDir(), "data"), "--shutdown-timeout", "1s")
	deaf := rawDial(t, p.url())
	deaf.handshake(t, 0)
	rawDial(t, p.url())
	half := rawDial(t, p.url())
	half.handshake(t, 0)
	half.openChannel(t, 1)
	half.send(t, encodePublish(1, "", "nowhere", make([]byte, 100), 4096)[:60])
	start := time.Now()
	status, err := p.Terminate()
	if took := time.Since(start); err != nil || status != 0 || took > 6*time.Second {
		t.Errorf("status %d, %v after %v\n%s", status, err, took, p.Log())
	}
	code, _ := deaf.expectMethod(t, connectionClose).closing()
	if code != 320 {
		t.Errorf("closed with %d", code)
	}
}
