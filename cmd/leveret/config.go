package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/internal/certs"
)

// Config is what `leveret serve` can be told. A value comes from the flag, else
// from the environment (LEVERET_ and the flag's name in capitals), else from
// the file that --config names (TOML, the flag's name as key), else from the
// default.
type Config struct {
	// DataDir holds the log, the checkpoints and the lock file. It is made
	// where it is missing.
	DataDir string `toml:"data-dir"`
	// AMQPAddr is the listener's HOST:PORT; port 0 takes a free one. With TLS it may
	// be empty: there is no other listener then.
	AMQPAddr string `toml:"amqp-addr"`
	// AMQPSAddr is the HOST:PORT of the listener with TLS, which there is where a
	// certificate is given; empty is then port 5671.
	AMQPSAddr string `toml:"amqps-addr"`
	// TLSCert, TLSKey and TLSCA are PEM files: the server's certificate with what
	// leads to its authority, its key, and the authorities that sign clients'
	// certificates. SIGHUP reads them again.
	TLSCert string `toml:"tls-cert"`
	TLSKey  string `toml:"tls-key"`
	TLSCA   string `toml:"tls-ca"`
	// TLSVerify is what is asked of clients: none, optional or required. A client
	// with a good certificate may log in with it (EXTERNAL).
	TLSVerify string `toml:"tls-verify"`
	// TLSMinVersion is 1.2 or 1.3.
	TLSMinVersion string `toml:"tls-min-version"`
	// TLSLoginFrom is the name in a client's certificate that is its user's:
	// RabbitMQ's ssl_cert_login_from, with the kinds of alternative names.
	TLSLoginFrom string `toml:"tls-login-from"`
	// HTTPAddr is the HOST:PORT of /health and the management API; empty: there is
	// none. The default port is RabbitMQ's for management, on this machine alone:
	// /health asks for no login, and passwords would pass in the clear.
	HTTPAddr string `toml:"http-addr"`
	// DefaultUser is the administrator that a new data directory gets, with all
	// permissions in DefaultVHost, its vhost, and DefaultPass its password; they mean
	// nothing later. The default is RabbitMQ's: guest, with the password guest, in /.
	DefaultUser  string `toml:"default-user"`
	DefaultPass  string `toml:"default-pass"`
	DefaultVHost string `toml:"default-vhost"`
	// LoopbackUsers are those who may come from this machine only, separated by
	// commas; empty: all may come from anywhere.
	LoopbackUsers string `toml:"loopback-users"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `toml:"log-level"`
	// ShutdownTimeout bounds how long a stop waits for clients to answer the
	// close that they are sent.
	ShutdownTimeout duration `toml:"shutdown-timeout"`
	// DiskFreeLimit is how much of the file system must be free before
	// publishers are blocked (connection.blocked "low on disk"); consumers go
	// on. 0 turns the alarm off. The default is RabbitMQ's.
	DiskFreeLimit size `toml:"disk-free-limit"`
	// MemoryLimit is how much memory the process may use before publishers are
	// blocked (connection.blocked "low on memory"); consumers go on. Transient
	// messages that fill half of it are written to disk. In hundredths of the
	// memory that there is, in the control group where that is less, or a size; 0
	// turns it off. The default is RabbitMQ's.
	MemoryLimit share `toml:"memory-limit"`
	// MaxMessageSize is the longest body that is taken; a longer one closes its
	// channel. The default and the most, 512 MiB, are RabbitMQ's.
	MaxMessageSize size `toml:"max-message-size"`
	// MaxConnections refuses more; 0 is as many as leave files for the engine.
	MaxConnections int `toml:"max-connections"`
	// ChannelMax, FrameMax and Heartbeat are proposed to clients, which may ask for
	// less. A Heartbeat of 0 proposes none.
	ChannelMax uint16   `toml:"channel-max"`
	FrameMax   size     `toml:"frame-max"`
	Heartbeat  duration `toml:"heartbeat"`
	// MaxConsumers is how many consumers a channel may have; 0 is any number.
	MaxConsumers int `toml:"max-consumers-per-channel"`
	// MaxTransaction is what a transaction may hold in memory before its commit.
	MaxTransaction size `toml:"max-transaction-size"`
	// HandshakeTimeout is how long a client may take to log in.
	HandshakeTimeout duration `toml:"handshake-timeout"`
	// FrameTimeout is how long a client may take to send a frame; 0 lets it.
	FrameTimeout duration `toml:"frame-timeout"`
	// ConsumerTimeout is how long a consumer may keep a message without an ack before
	// its channel is closed and the message returns; 0 lets it. Queues, policies and
	// consumers may say otherwise. The default is RabbitMQ's.
	ConsumerTimeout duration `toml:"consumer-timeout"`
	// The rest is for tests that want the engine to do often what it does seldom;
	// 0 takes its defaults. See store.Options.
	WALFileSize     int64    `toml:"wal-file-size"`
	CheckpointBytes int64    `toml:"checkpoint-bytes"`
	WALBudget       int64    `toml:"wal-budget"`
	RetireAge       duration `toml:"retire-age"`
	CompactSlack    int64    `toml:"compact-slack"`
	CompactAge      duration `toml:"compact-age"`
	LargeBytes      int64    `toml:"large-bytes"`
}

func defaultConfig() Config {
	return Config{
		DataDir:         "./data",
		AMQPAddr:        ":5672",
		TLSVerify:       string(certs.VerifyNone),
		TLSMinVersion:   "1.2",
		TLSLoginFrom:    string(certs.LoginDN),
		HTTPAddr:        "127.0.0.1:15672",
		DefaultVHost:    "/",
		LoopbackUsers:   "guest",
		LogLevel:        "info",
		ShutdownTimeout: duration(10 * time.Second),
		DiskFreeLimit:   50e6,
		MemoryLimit:     share{percent: 40},
		MaxMessageSize:  128 << 20,

		ChannelMax:       2047,
		FrameMax:         131072,
		Heartbeat:        duration(60 * time.Second),
		MaxTransaction:   256 << 20,
		HandshakeTimeout: duration(10 * time.Second),
		FrameTimeout:     duration(time.Minute),
		ConsumerTimeout:  duration(30 * time.Minute),
	}
}

// hidden are the flags that only tests know.
var hidden = []string{"wal-file-size", "checkpoint-bytes", "wal-budget", "retire-age", "compact-slack", "compact-age", "large-bytes"}

// bind declares the flags of c, whose present values are the defaults.
func (c *Config) bind(fs *pflag.FlagSet) {
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir, "`directory` of the log and the checkpoints")
	fs.StringVar(&c.AMQPAddr, "amqp-addr", c.AMQPAddr, "AMQP 0-9-1 listener, `HOST:PORT`")
	fs.StringVar(&c.AMQPSAddr, "amqps-addr", c.AMQPSAddr, "AMQP listener with TLS, `HOST:PORT`; where --tls-cert is given the default is port 5671")
	fs.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "`file` (PEM) of the server's certificate; SIGHUP reads it again")
	fs.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "`file` (PEM) of the certificate's key")
	fs.StringVar(&c.TLSCA, "tls-ca", c.TLSCA, "`file` (PEM) of the authorities that sign clients' certificates")
	fs.StringVar(&c.TLSVerify, "tls-verify", c.TLSVerify, "`what` is asked of clients: none, optional or required certificates")
	fs.StringVar(&c.TLSMinVersion, "tls-min-version", c.TLSMinVersion, "least `version` of TLS: 1.2 or 1.3")
	fs.StringVar(&c.TLSLoginFrom, "tls-login-from", c.TLSLoginFrom, "the `name` in a client's certificate that is its user's: distinguished_name, common_name, san_dns, san_email, san_uri or san_ip")
	fs.StringVar(&c.HTTPAddr, "http-addr", c.HTTPAddr, "listener for GET /health and the management API, `HOST:PORT`; empty: none")
	fs.StringVar(&c.DefaultUser, "default-user", c.DefaultUser, "`name` of the administrator that a new data directory gets; guest if not given")
	fs.StringVar(&c.DefaultPass, "default-pass", c.DefaultPass, "`password` of that user; better by the environment or the file, which other users of the machine do not see")
	fs.StringVar(&c.DefaultVHost, "default-vhost", c.DefaultVHost, "`name` of the vhost that a new data directory gets")
	fs.StringVar(&c.LoopbackUsers, "loopback-users", c.LoopbackUsers, "`names`, separated by commas, of users who may come from this machine only; empty: none")
	fs.StringVar(&c.LogLevel, "log-level", c.LogLevel, "`level`: debug, info, warn or error")
	fs.Var(&c.ShutdownTimeout, "shutdown-timeout", "how long a stop waits for clients to answer")
	fs.Var(&c.DiskFreeLimit, "disk-free-limit", "block publishers where less is free on the disk; 0 never does")
	fs.Var(&c.MemoryLimit, "memory-limit", "block publishers where the broker uses more memory: percent of what there is, or a size; 0 never does")
	fs.Var(&c.MaxMessageSize, "max-message-size", "refuse longer bodies")
	fs.IntVar(&c.MaxConnections, "max-connections", c.MaxConnections, "refuse more connections; 0: as many as leave files for the engine")
	fs.Uint16Var(&c.ChannelMax, "channel-max", c.ChannelMax, "channels that a connection may have")
	fs.Var(&c.FrameMax, "frame-max", "longest frame")
	fs.Var(&c.Heartbeat, "heartbeat", "heartbeats that are proposed to clients; 0: none")
	fs.IntVar(&c.MaxConsumers, "max-consumers-per-channel", c.MaxConsumers, "consumers that a channel may have; 0: any number")
	fs.Var(&c.MaxTransaction, "max-transaction-size", "what a transaction may hold before its commit")
	fs.Var(&c.HandshakeTimeout, "handshake-timeout", "how long a client may take to log in")
	fs.Var(&c.FrameTimeout, "frame-timeout", "how long a client may take from a frame's first byte to its last; 0: for ever")
	fs.Var(&c.ConsumerTimeout, "consumer-timeout", "how long a consumer may keep a message without an ack; 0: for ever")
	fs.Int64Var(&c.WALFileSize, "wal-file-size", c.WALFileSize, "`bytes` of log after which the next file begins")
	fs.Int64Var(&c.CheckpointBytes, "checkpoint-bytes", c.CheckpointBytes, "`bytes` of log between checkpoints")
	fs.Int64Var(&c.WALBudget, "wal-budget", c.WALBudget, "`bytes` of log that may hold messages before they move to segments")
	fs.Var(&c.RetireAge, "retire-age", "when messages move to segments though the log is small")
	fs.Int64Var(&c.CompactSlack, "compact-slack", c.CompactSlack, "`bytes` of segments that may be dead")
	fs.Var(&c.CompactAge, "compact-age", "how old a segment must be to be rewritten")
	fs.Int64Var(&c.LargeBytes, "large-bytes", c.LargeBytes, "`bytes` of a body that has a file of its own")
	for _, name := range hidden {
		if err := fs.MarkHidden(name); err != nil {
			panic(err) // the name was declared above
		}
	}
}

// load resolves flags over environment over file over defaults. Every error it
// returns is a usageError.
func load(cmd *cobra.Command, file string) (Config, error) {
	cfg := defaultConfig()
	fs := pflag.NewFlagSet("config", pflag.ContinueOnError)
	cfg.bind(fs)
	if file == "" {
		file = os.Getenv("LEVERET_CONFIG")
	}
	if file != "" {
		if err := cfg.readFile(file); err != nil {
			return cfg, usageError{err}
		}
	}
	var failed error
	fs.VisitAll(func(f *pflag.Flag) {
		name := "LEVERET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok {
			if err := fs.Set(f.Name, v); err != nil {
				failed = errors.Join(failed, fmt.Errorf("environment variable %s: %w", name, err))
			}
		}
		if given := cmd.Flags().Lookup(f.Name); given != nil && given.Changed {
			if err := fs.Set(f.Name, given.Value.String()); err != nil {
				failed = errors.Join(failed, fmt.Errorf("flag --%s: %w", f.Name, err))
			}
		}
	})
	if failed == nil {
		failed = cfg.Validate()
	}
	if failed != nil {
		return cfg, usageError{failed}
	}
	return cfg, nil
}

// readFile lays a TOML file over c. Unknown keys are errors, with their lines.
func (c *Config) readFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) && len(strict.Errors) > 0 {
			row, _ := strict.Errors[0].Position()
			return fmt.Errorf("configuration %s, line %d: unknown key %q; the keys are %s",
				name, row, strings.Join(strict.Errors[0].Key(), "."), strings.Join(keys(), ", "))
		}
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, col := at.Position()
			return fmt.Errorf("configuration %s, line %d, column %d: %w", name, row, col, err)
		}
		return fmt.Errorf("configuration %s: %w", name, err)
	}
	// A bare number would be taken for nanoseconds.
	var raw map[string]any
	if err := toml.Unmarshal(text, &raw); err != nil {
		return fmt.Errorf("configuration %s: %w", name, err)
	}
	for _, key := range []string{"shutdown-timeout", "consumer-timeout", "heartbeat", "handshake-timeout", "frame-timeout", "retire-age", "compact-age"} {
		if v, there := raw[key]; there {
			if _, ok := v.(string); !ok {
				return fmt.Errorf("configuration %s: %s = %v has no unit: write \"%v\" with one, as in \"10s\"", name, key, v, v)
			}
		}
	}
	return nil
}

// keys lists the configuration's keys, which are the names of serve's flags.
func keys() []string {
	var c Config
	fs := pflag.NewFlagSet("keys", pflag.ContinueOnError)
	c.bind(fs)
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// Validate says what of c cannot work.
func (c *Config) Validate() error {
	if c.DataDir == "" {
		return errors.New("--data-dir is empty: name the directory that keeps the messages")
	}
	if c.AMQPAddr != "" || !c.encrypted() {
		if _, _, err := net.SplitHostPort(c.AMQPAddr); err != nil {
			return fmt.Errorf("--amqp-addr %q is not HOST:PORT: %w", c.AMQPAddr, err)
		}
	}
	if err := c.validateTLS(); err != nil {
		return err
	}
	if c.HTTPAddr != "" {
		if _, _, err := net.SplitHostPort(c.HTTPAddr); err != nil {
			return fmt.Errorf("--http-addr %q is not HOST:PORT: %w", c.HTTPAddr, err)
		}
	}
	if _, err := c.level(); err != nil {
		return err
	}
	if c.DefaultUser != "" && c.DefaultPass == "" {
		return fmt.Errorf("--default-user %s has no password: give it one with LEVERET_DEFAULT_PASS or --default-pass", c.DefaultUser)
	}
	if c.ShutdownTimeout < 0 {
		return fmt.Errorf("--shutdown-timeout %s is negative", c.ShutdownTimeout.String())
	}
	if c.ConsumerTimeout < 0 {
		return fmt.Errorf("--consumer-timeout %s is negative: 0 turns it off", c.ConsumerTimeout.String())
	}
	if m := c.MemoryLimit; m.percent == 0 && m.bytes > 0 && m.bytes < 1<<20 {
		return fmt.Errorf("--memory-limit %s is less than any broker needs: write a percentage, as 40%%, or a size from 1MiB on; 0 is none", m.String())
	}
	if c.MaxMessageSize < 1 || c.MaxMessageSize > amqpd.MaxMaxMessageSize {
		return fmt.Errorf("--max-message-size %s is not between 1 byte and 512MiB", c.MaxMessageSize.String())
	}
	if err := c.validateClients(); err != nil {
		return err
	}
	if min(c.WALFileSize, c.CheckpointBytes, c.WALBudget, c.CompactSlack) < 0 {
		return errors.New("--wal-file-size, --checkpoint-bytes, --wal-budget and --compact-slack cannot be negative")
	}
	return nil
}

// validateClients says what cannot work of that which clients are told or allowed.
func (c *Config) validateClients() error {
	switch {
	case c.ChannelMax == 0:
		return errors.New("--channel-max 0 lets no client do anything: give it at least 1, at most 65535")
	case c.FrameMax < 4096 || c.FrameMax > 64<<20:
		return fmt.Errorf("--frame-max %s is not between 4096 bytes and 64MiB", c.FrameMax.String())
	case c.Heartbeat < 0 || time.Duration(c.Heartbeat) > 65535*time.Second:
		return fmt.Errorf("--heartbeat %s is not between 0 and 65535s", c.Heartbeat.String())
	case c.Heartbeat > 0 && time.Duration(c.Heartbeat) < time.Second:
		return fmt.Errorf("--heartbeat %s is under a second, the least that AMQP can say", c.Heartbeat.String())
	case c.HandshakeTimeout <= 0:
		return fmt.Errorf("--handshake-timeout %s is no time to log in", c.HandshakeTimeout.String())
	case c.FrameTimeout < 0:
		return fmt.Errorf("--frame-timeout %s is negative: 0 turns it off", c.FrameTimeout.String())
	case c.MaxConnections < 0 || c.MaxConsumers < 0:
		return errors.New("--max-connections and --max-consumers-per-channel cannot be negative; 0 is no limit of this kind")
	case c.MaxTransaction < 1:
		return fmt.Errorf("--max-transaction-size %s leaves no room for a message", c.MaxTransaction.String())
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
	return l, fmt.Errorf("--log-level %q is none of debug, info, warn, error", c.LogLevel)
}
