package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// listenForNotes is a supervisor's socket. What it is told comes in pieces, as sent.
func listenForNotes(t *testing.T) (path string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir's are too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return path, func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("nothing more is told: %v", err)
		}
		return string(buf[:n])
	}
}

func TestSystemdIsToldOfEachState(t *testing.T) {
	path, next := listenForNotes(t)
	t.Setenv("NOTIFY_SOCKET", path)
	s := newSystemd(slog.New(slog.DiscardHandler))
	s.patience = 30 * time.Millisecond
	expect := func(want string) {
		t.Helper()
		if got := next(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	s.busy("", "recovering")
	expect("EXTEND_TIMEOUT_USEC=30000\nSTATUS=recovering")
	expect("EXTEND_TIMEOUT_USEC=30000") // again and again
	expect("EXTEND_TIMEOUT_USEC=30000")
	s.ready("serving")
	for {
		got := next()
		if got == "READY=1\nSTATUS=serving" {
			break
		}
		if got != "EXTEND_TIMEOUT_USEC=30000" {
			t.Fatalf("told %q", got)
		}
	}
	s.reloading()
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[0-9]+$`).MatchString(got) {
		t.Errorf("told %q", got)
	}
	s.ready("serving")
	expect("READY=1\nSTATUS=serving")
	s.busy("STOPPING=1", "stopping")
	expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=30000\nSTATUS=stopping")
	s.idle()
}

func TestTheWatchdogIsFedWhileTheBrokerIsAlive(t *testing.T) {
	path, next := listenForNotes(t)
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	s := newSystemd(slog.New(slog.DiscardHandler))
	asked := make(chan struct{}, 100)
	stuck := make(chan struct{})
	n := 0
	stop := s.watchdog(func() {
		if n++; n == 4 {
			<-stuck
		}
		asked <- struct{}{}
	})
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("told %q", got)
		}
	}
	if len(asked) != 3 {
		t.Errorf("fed 3 times, asked %d times whether it is alive", len(asked))
	}
	close(stuck)
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("told %q", got)
	}
	stop()
	t.Setenv("WATCHDOG_USEC", "")
	s.watchdog(func() { t.Error("nobody wants a watchdog") })()
}

func TestWithoutSystemdNothingIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	var told strings.Builder
	s := newSystemd(slog.New(slog.NewTextHandler(&told, nil)))
	s.busy("", "recovering")
	s.ready("serving")
	s.reloading()
	s.idle()
	if told.Len() > 0 {
		t.Error(told.String())
	}
}
