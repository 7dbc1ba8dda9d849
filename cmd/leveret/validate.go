package main

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
)

// Validate says what of c cannot work, all of it at once.
func (c *Config) Validate() error {
	var failed error
	check := func(ok bool, option, format string, args ...any) {
		if !ok {
			failed = errors.Join(failed, badOption(option, format, args...))
		}
	}
	check(c.DataDir != "", "data-dir", "is empty: name the directory that keeps the messages")
	if c.AMQPAddr != "" || !c.encrypted() {
		failed = errors.Join(failed, checkAddr("amqp-addr", c.AMQPAddr))
	}
	failed = errors.Join(failed, c.validateTLS())
	if c.HTTPAddr != "" {
		failed = errors.Join(failed, checkAddr("http-addr", c.HTTPAddr))
	}
	if c.MetricsAddr != "" {
		failed = errors.Join(failed, checkAddr("metrics-addr", c.MetricsAddr))
	}
	_, err := c.level()
	failed = errors.Join(failed, err)
	check(c.DefaultUser == "" || c.DefaultPass != "", "default-user",
		"%s has no password: give it one with LEVERET_DEFAULT_PASS or --default-pass", c.DefaultUser)
	check(c.ShutdownTimeout >= 0, "shutdown-timeout", "%s is negative", c.ShutdownTimeout.String())
	check(c.ConsumerTimeout >= 0, "consumer-timeout", "%s is negative: 0 turns it off", c.ConsumerTimeout.String())
	m := c.MemoryLimit
	check(m.percent != 0 || m.bytes == 0 || m.bytes >= 1<<20, "memory-limit",
		"%s is less than any broker needs: write a percentage, as 40%%, or a size from 1MiB on; 0 is none", m.String())
	check(c.MaxMessageSize >= 1 && c.MaxMessageSize <= amqpd.MaxMaxMessageSize, "max-message-size",
		"%s is not between 1 byte and 512MiB", c.MaxMessageSize.String())
	check(c.ChannelMax != 0, "channel-max", "0 lets no client do anything: give it at least 1, at most 65535")
	check(c.FrameMax >= 4096 && c.FrameMax <= 64<<20, "frame-max", "%s is not between 4096 bytes and 64MiB", c.FrameMax.String())
	check(c.Heartbeat >= 0 && time.Duration(c.Heartbeat) <= 65535*time.Second, "heartbeat", "%s is not between 0 and 65535s", c.Heartbeat.String())
	check(c.Heartbeat <= 0 || time.Duration(c.Heartbeat) >= time.Second, "heartbeat", "%s is under a second, the least that AMQP can say", c.Heartbeat.String())
	check(c.HandshakeTimeout > 0, "handshake-timeout", "%s is no time to log in", c.HandshakeTimeout.String())
	check(c.FrameTimeout >= 0, "frame-timeout", "%s is negative: 0 turns it off", c.FrameTimeout.String())
	check(c.MaxConnections >= 0, "max-connections", "%d is negative; 0 is no limit of this kind", c.MaxConnections)
	check(c.MaxConsumers >= 0, "max-consumers-per-channel", "%d is negative; 0 is no limit of this kind", c.MaxConsumers)
	check(c.MaxTransaction >= 1, "max-transaction-size", "%s leaves no room for a message", c.MaxTransaction.String())
	for option, n := range map[string]int64{"wal-file-size": c.WALFileSize, "checkpoint-bytes": c.CheckpointBytes, "wal-budget": c.WALBudget, "compact-slack": c.CompactSlack} {
		check(n >= 0, option, "%d is negative", n)
	}
	return failed
}

func checkAddr(option, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return badOption(option, "%q is not HOST:PORT: %v", addr, err)
	}
	return nil
}

// loopbackUsers is the list as broker.Options takes it.
func (c *Config) loopbackUsers() []string {
	users := []string{} // not nil, which means guest
	for name := range strings.SplitSeq(c.LoopbackUsers, ",") {
		if name = strings.TrimSpace(name); name != "" {
			users = append(users, name)
		}
	}
	return users
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	switch strings.ToLower(c.LogLevel) {
	case "debug", "info", "warn", "error":
		err := l.UnmarshalText([]byte(c.LogLevel))
		return l, err
	}
	return l, badOption("log-level", "%q is none of debug, info, warn, error", c.LogLevel)
}
