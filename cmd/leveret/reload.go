package main

import (
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/certs"
)

// reloadable are the options that SIGHUP changes. Those of clients hold for connections
// that begin later, max-connections and the others at once.
var reloadable = []string{
	"log-level",
	"tls-cert", "tls-key", "tls-ca", "tls-verify", "tls-min-version", "tls-login-from",
	"loopback-users", "shutdown-timeout", "disk-free-limit", "memory-limit",
	"max-connections", "max-message-size", "channel-max", "frame-max", "heartbeat", "max-consumers-per-channel",
	"max-transaction-size", "handshake-timeout", "frame-timeout", "consumer-timeout",
}

// running is a broker whose configuration may be read again.
type running struct {
	cfg    Config
	again  func() (Config, error) // reads the configuration as the start did
	log    *slog.Logger
	level  *slog.LevelVar
	source *certs.Source // nil: there is no TLS
	srv    *amqpd.Server
	b      *broker.Broker
	told   *systemd
}

// hangups catches SIGHUP from now on: it must not end a recovery.
func hangups() (got chan os.Signal, stop func()) {
	got = make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGHUP)
	return got, func() { signal.Stop(got) }
}

// reload reads the configuration and the certificates again. Where anything of them
// cannot be used, nothing changes.
func (r *running) reload() {
	next, err := r.again()
	if err != nil {
		r.log.Error("configuration cannot be used: nothing changes", "err", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	changed, restart := compare(&r.cfg, &next)
	if r.source != nil && next.encrypted() {
		if err := r.source.Replace(next.certificates()); err != nil {
			r.log.Error("certificates cannot be used: the former ones stay, and nothing else changes", "err", err)
			return
		}
		tellCertificate(r.log, "certificate reloaded", r.source)
	} else if r.source != nil || next.encrypted() { // TLS begins or ends with a restart
		var tls []string
		changed = slices.DeleteFunc(changed, func(name string) bool {
			if strings.HasPrefix(name, "tls-") {
				tls = append(tls, name)
				return true
			}
			return false
		})
		restart = append(restart, tls...)
	}
	if err := r.srv.Configure(next.server(r.log)); err != nil {
		r.log.Error("configuration cannot be used", "err", err)
		return
	}
	level, _ := next.level() // validated
	r.level.Set(level)
	r.b.SetLimits(broker.Limits{DiskFree: next.diskFreeLimit(), Memory: next.memoryLimit(r.log), LoopbackUsers: next.loopbackUsers()})
	r.cfg.take(&next)
	r.log.Info("configuration reloaded", "changed", strings.Join(changed, ","))
	if len(restart) > 0 {
		r.log.Warn("some options have changed that a running broker keeps: restart it", "options", strings.Join(restart, ","))
	}
}

// compare lists the options in which two configurations differ: those that can be
// changed, and those that need a restart.
func compare(a, b *Config) (changed, restart []string) {
	theirs := b.flags()
	a.flags().VisitAll(func(f *pflag.Flag) {
		switch {
		case f.Value.String() == theirs.Lookup(f.Name).Value.String():
		case slices.Contains(reloadable, f.Name):
			changed = append(changed, f.Name)
		default:
			restart = append(restart, f.Name)
		}
	})
	return changed, restart
}

// take gives c the values of another for what is reloadable.
func (c *Config) take(other *Config) {
	theirs := other.flags()
	c.flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(reloadable, f.Name) {
			_ = f.Value.Set(theirs.Lookup(f.Name).Value.String()) // it was valid there
		}
	})
}
