package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/leveret-mq/leveret/internal/certs"
)

// Config is what `leveret serve` can be told. A value comes from the flag, else
// from the environment (LEVERET_ and the flag's name in capitals), else from
// the file that --config names (TOML, the flag's name as key), else from the
// default.
type Config struct {
	// DataDir holds the log, the checkpoints and the lock file. It is made
	// where it is missing.
	DataDir string
	// AMQPAddr is the listener's HOST:PORT; port 0 takes a free one. With TLS it may
	// be empty: there is no other listener then.
	AMQPAddr string
	// AMQPSAddr is the HOST:PORT of the listener with TLS, which there is where a
	// certificate is given; empty is then port 5671.
	AMQPSAddr string
	// TLSCert, TLSKey and TLSCA are PEM files: the server's certificate with what
	// leads to its authority, its key, and the authorities that sign clients'
	// certificates. SIGHUP reads them again.
	TLSCert string
	TLSKey  string
	TLSCA   string
	// TLSVerify is what is asked of clients: none, optional or required. A client
	// with a good certificate may log in with it (EXTERNAL).
	TLSVerify string
	// TLSMinVersion is 1.2 or 1.3.
	TLSMinVersion string
	// TLSLoginFrom is the name in a client's certificate that is its user's:
	// RabbitMQ's ssl_cert_login_from, with the kinds of alternative names.
	TLSLoginFrom string
	// HTTPAddr is the HOST:PORT of /health and the management API; empty: there is
	// none. The default port is RabbitMQ's for management, on this machine alone:
	// /health asks for no login, and passwords would pass in the clear.
	HTTPAddr string
	// MetricsAddr is the HOST:PORT that Prometheus scrapes; empty: there is none. The
	// default port is RabbitMQ's, on this machine alone, since nobody is asked for a
	// login there.
	MetricsAddr string
	// DefaultUser is the administrator that a new data directory gets, with all
	// permissions in DefaultVHost, its vhost, and DefaultPass its password; they mean
	// nothing later. The default is RabbitMQ's: guest, with the password guest, in /.
	DefaultUser  string
	DefaultPass  string
	DefaultVHost string
	// LoadDefinitions is a file of definitions, as RabbitMQ exports them, that is
	// imported at each start before clients are let in; empty: none.
	LoadDefinitions string
	// LoopbackUsers are those who may come from this machine only, separated by
	// commas; empty: all may come from anywhere.
	LoopbackUsers string
	// LogLevel is debug, info, warn or error.
	LogLevel string
	// ShutdownTimeout bounds how long a stop waits for clients to answer the
	// close that they are sent.
	ShutdownTimeout duration
	// DiskFreeLimit is how much of the file system must be free before
	// publishers are blocked (connection.blocked "low on disk"); consumers go
	// on. 0 turns the alarm off. The default is RabbitMQ's.
	DiskFreeLimit size
	// MemoryLimit is how much memory the process may use before publishers are
	// blocked (connection.blocked "low on memory"); consumers go on. Transient
	// messages that fill half of it are written to disk. In hundredths of the
	// memory that there is, in the control group where that is less, or a size; 0
	// turns it off. The default is RabbitMQ's.
	MemoryLimit share
	// MaxMessageSize is the longest body that is taken; a longer one closes its
	// channel. The default and the most, 512 MiB, are RabbitMQ's.
	MaxMessageSize size
	// MaxConnections refuses more; 0 is as many as leave files for the engine.
	MaxConnections int
	// ChannelMax, FrameMax and Heartbeat are proposed to clients, which may ask for
	// less. A Heartbeat of 0 proposes none.
	ChannelMax uint16
	FrameMax   size
	Heartbeat  duration
	// MaxConsumers is how many consumers a channel may have; 0 is any number.
	MaxConsumers int
	// MaxTransaction is what a transaction may hold in memory before its commit.
	MaxTransaction size
	// HandshakeTimeout is how long a client may take to log in.
	HandshakeTimeout duration
	// FrameTimeout is how long a client may take to send a frame; 0 lets it.
	FrameTimeout duration
	// ConsumerTimeout is how long a consumer may keep a message without an ack before
	// its channel is closed and the message returns; 0 lets it. Queues, policies and
	// consumers may say otherwise. The default is RabbitMQ's.
	ConsumerTimeout duration
	// The rest is for tests that want the engine to do often what it does seldom;
	// 0 takes its defaults. See store.Options.
	WALFileSize     int64
	CheckpointBytes int64
	WALBudget       int64
	RetireAge       duration
	CompactSlack    int64
	CompactAge      duration
	LargeBytes      int64
}

func defaultConfig() Config {
	return Config{
		DataDir:         "./data",
		AMQPAddr:        ":5672",
		TLSVerify:       string(certs.VerifyNone),
		TLSMinVersion:   "1.2",
		TLSLoginFrom:    string(certs.LoginDN),
		HTTPAddr:        "127.0.0.1:15672",
		MetricsAddr:     "127.0.0.1:15692",
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
	fs.StringVar(&c.MetricsAddr, "metrics-addr", c.MetricsAddr, "listener for Prometheus, /metrics, `HOST:PORT`; empty: none")
	fs.StringVar(&c.DefaultUser, "default-user", c.DefaultUser, "`name` of the administrator that a new data directory gets; guest if not given")
	fs.StringVar(&c.DefaultPass, "default-pass", c.DefaultPass, "`password` of that user; better by the environment or the file, which other users of the machine do not see")
	fs.StringVar(&c.DefaultVHost, "default-vhost", c.DefaultVHost, "`name` of the vhost that a new data directory gets")
	fs.StringVar(&c.LoadDefinitions, "load-definitions", c.LoadDefinitions, "`file` of definitions (JSON, as RabbitMQ exports them) that is imported at each start")
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
