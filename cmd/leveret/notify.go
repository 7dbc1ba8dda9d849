package main

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// systemd is told how the broker is, where it has asked for that (Type=notify,
// WatchdogSec=). All methods do nothing where it has not.
type systemd struct {
	log  *slog.Logger
	tell func(state string)
	// patience is how much longer a start or stop may take than when it was said last.
	patience time.Duration

	mu      sync.Mutex
	waiting chan struct{} // closed when what takes its time is over
	ended   sync.WaitGroup
}

func newSystemd(log *slog.Logger) *systemd {
	s := &systemd{log: log, patience: 30 * time.Second}
	s.tell = func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("systemd cannot be told of the broker's state", "err", err)
		}
	}
	return s
}

// busy asks for time, again and again, until ready or the next busy: recovery, or the
// checkpoint of a stop, may take longer than systemd waits.
func (s *systemd) busy(state, status string) {
	s.idle()
	s.mu.Lock()
	defer s.mu.Unlock()
	over := make(chan struct{})
	s.waiting = over
	extend := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", s.patience.Microseconds())
	first := extend + "\nSTATUS=" + status
	if state != "" {
		first = state + "\n" + first
	}
	s.tell(first)
	s.ended.Go(func() {
		t := time.NewTicker(s.patience / 3)
		defer t.Stop()
		for {
			select {
			case <-over:
				return
			case <-t.C:
				s.tell(extend)
			}
		}
	})
}

// idle is the end of busy.
func (s *systemd) idle() {
	s.mu.Lock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
	s.mu.Unlock()
	s.ended.Wait()
}

func (s *systemd) ready(status string) {
	s.idle()
	s.tell(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

func (s *systemd) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// watchdog says that the broker is alive as often as systemd wants it, for as long as
// alive returns, until the function that it returns is called.
func (s *systemd) watchdog(alive func()) (stop func()) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the watchdog's interval cannot be read", "err", err)
	}
	if every <= 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(every / 2)
		defer t.Stop()
		for {
			alive()
			s.tell(daemon.SdNotifyWatchdog)
			select {
			case <-done:
				return
			case <-t.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
