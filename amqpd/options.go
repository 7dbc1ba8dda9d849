package amqpd

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"
)

// Options of a server. The zero value serves with RabbitMQ's defaults.
type Options struct {
	// LeveretVersion is leveret_version in the server properties.
	LeveretVersion string
	// Logger takes one line for each login that is refused, and for each
	// connection that used a channel and ends otherwise than by connection.close or
	// Shutdown; debug lines for the others. Default slog.Default.
	Logger *slog.Logger

	// FrameMax is the longest frame in bytes, header and end byte included.
	// Default 131072; at least 4096.
	FrameMax uint32
	// ChannelMax is how many channels a connection may have open. Default 2047.
	ChannelMax uint16
	// Heartbeat is the interval that is proposed to clients, in whole seconds.
	// Default 60 s; negative proposes none.
	Heartbeat time.Duration
	// HandshakeTimeout is how long a client may take until connection.open, the
	// handshake of TLS included.
	// Default 10 s.
	HandshakeTimeout time.Duration
	// FrameTimeout is how long a client may take from a frame's first byte to its
	// last, while it is read. Default 1 min; negative for ever.
	FrameTimeout time.Duration
	// CertificateUser reads the name of a user out of a client's certificate, which
	// was verified. Where it is set, clients with such a certificate are offered the
	// mechanism EXTERNAL.
	CertificateUser func(*x509.Certificate) (name string, ok bool)
	// CloseTimeout is how long a client is given to read a connection.close and
	// to answer it. Default 5 s.
	CloseTimeout time.Duration
	// ConsumerTimeout is how long a delivery may stay unacknowledged before its
	// channel is closed; queues, policies and consumers may say otherwise. Default
	// 30 min; negative never.
	ConsumerTimeout time.Duration
	// MaxConnections refuses more. Default 0: what the process may have of open
	// files (RLIMIT_NOFILE), less a reserve for those of the storage engine, which
	// connections must not starve: a tenth, at least 64, never more than half.
	MaxConnections int
	// MaxMessageSize is the longest body in bytes. Default 128 MiB; at most
	// MaxMaxMessageSize.
	MaxMessageSize uint64
	// MaxConsumers is how many consumers a channel may have; one more is 530. Default
	// 0: any number, as in RabbitMQ.
	MaxConsumers int
	// MaxTransaction is how many bytes a transaction may hold in memory before its
	// commit; one that would hold more is 406 and rolled back. Large bodies are in
	// files and count for little. Default 256 MiB.
	MaxTransaction int64
	// OutBuffer is how many bytes of deliveries may wait for a connection's
	// socket before its consumers are passed over; three times as many of messages
	// that are kept nowhere else. Replies may go to four times
	// that before the connection is no longer read. Default 1 MiB.
	OutBuffer int
	// LeadBytes is the largest read after which the reader itself commits the
	// log when it is idle, in bytes. Default 4 KiB; negative never does. Of a
	// connection that does nothing but publish, while no other publishes or settles
	// anything outside of transactions, it is what its buffer holds.
	LeadBytes int
}

// Bounds and steps that no deployment needs to change.
const (
	minFrameMax = 4096                   // AMQP 0-9-1: frame-min-size
	tickEvery   = 500 * time.Millisecond // heartbeats, timeouts, idle checks
	// frameOverhead is a frame's header (type, channel, size) and its end byte.
	frameOverhead = 8
)

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.LeveretVersion == "" {
		o.LeveretVersion = "unknown"
	}
	if o.FrameMax == 0 {
		o.FrameMax = 131072
	}
	if o.ChannelMax == 0 {
		o.ChannelMax = 2047
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 60 * time.Second
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 10 * time.Second
	}
	if o.FrameTimeout == 0 {
		o.FrameTimeout = time.Minute
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 5 * time.Second
	}
	if o.ConsumerTimeout == 0 {
		o.ConsumerTimeout = 30 * time.Minute
	}
	if o.MaxMessageSize == 0 {
		o.MaxMessageSize = 128 << 20
	}
	if o.MaxTransaction == 0 {
		o.MaxTransaction = 256 << 20
	}
	def(&o.OutBuffer, 1<<20)
	def(&o.LeadBytes, 4<<10)
	return o
}

// Validate tells what is wrong with the options.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.FrameMax < minFrameMax:
		return fmt.Errorf("frame_max %d is under %d, the least that AMQP allows", o.FrameMax, minFrameMax)
	case o.FrameMax > 64<<20:
		return fmt.Errorf("frame_max %d is over 64 MiB", o.FrameMax)
	case o.Heartbeat > 65535*time.Second:
		return fmt.Errorf("heartbeat %v is over 65535 s, the most that AMQP can say", o.Heartbeat)
	case o.MaxMessageSize > MaxMaxMessageSize:
		return fmt.Errorf("largest message of %d bytes is over %d", o.MaxMessageSize, MaxMaxMessageSize)
	case o.HandshakeTimeout < 0 || o.CloseTimeout < 0 || o.MaxConnections < 0 || o.MaxConsumers < 0 || o.MaxTransaction < 0:
		return fmt.Errorf("a timeout or limit is negative")
	case o.OutBuffer < largePiece:
		return fmt.Errorf("out buffer of %d bytes is under %d", o.OutBuffer, largePiece)
	}
	return nil
}

// connectionLimit is how many connections there may be in a process that may
// have that many open files; 0 is no limit, for both.
func (o *Options) connectionLimit(files int) int {
	if o.MaxConnections > 0 || files == 0 {
		return o.MaxConnections
	}
	return files - min(max(files/10, 64), (files+1)/2)
}

// heartbeatSeconds is the interval to propose; 0 is none.
func (o *Options) heartbeatSeconds() uint16 {
	if o.Heartbeat < 0 {
		return 0
	}
	return uint16(o.Heartbeat / time.Second)
}
