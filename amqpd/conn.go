package amqpd

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/tlsio"
	"github.com/leveret-mq/leveret/wal"
)

// phase is how far a connection's life has come. The reader alone moves it.
type phase uint8

const (
	awaitHeader  phase = iota // the protocol header
	awaitStartOK              // connection.start was sent
	awaitTuneOK               // connection.tune was sent
	awaitOpen                 // tuned; connection.open is owed
	running
	closing // connection.close was sent: all but close-ok is dropped
	garbled // likewise, and the stream cannot be parsed any more
	ended   // nothing more is read
)

// conn is a connection. Fields without another word are the reader's.
type conn struct {
	srv     *Server
	opts    *Options // srv's when the connection began
	nc      net.Conn
	sock    net.Conn    // what carries nc: nc itself, or the socket under TLS
	records *tlsio.Conn // sock, where it is one that gathers TLS's records; else nil
	raw     *rawIO      // reads and writes that do not block, nil where nc has none
	name    string

	phase      phase
	closeBy    time.Time // in closing and garbled: when patience ends
	lastWords  bool      // ours are the last: the peer should get to read them
	refused    bool      // the login was
	opened     bool      // a channel was
	frameMax   uint32
	channelMax int
	heartbeat  atomic.Int64 // negotiated interval in nanoseconds, 0 none
	user       *broker.User
	// certificate is the client's, verified, where it may log in with it.
	certificate  *x509.Certificate
	session      *broker.Session
	client       clientProperties
	channels     map[uint16]*channel
	openChannels atomic.Int32 // how many of them there are; c.mu is held to change the map
	heldUp       atomic.Bool  // by an alarm
	left         []uint16     // channels that the client closed in this read
	answers      []answer     // what this read's changes of topology are owed
	lastCh       *channel     // the channel of the frame before, in most reads of this one too

	// The read buffer: bytes [r, w) are read and not parsed. See reader.go.
	buf   []byte
	r, w  int
	need  int // how long the next frame is, where that is known
	class int // wanted size of buf, an index of readSizes
	slack int // reads in a row that a far smaller buffer would have done for

	same repeat // see repeat.go

	// What was gathered since the last flush. See gather.go.
	batch     *broker.Batch
	pub       broker.Publishing
	pubs      int      // publishes in batch
	bare      int      // of those, ones that no confirm is owed for
	runs      []pubRun // confirms owed
	bodies    []*content
	settled   []tagged // scratch
	touched   []*consumer
	flushes   int        // in a row: see leads
	published bool       // this read published: an alarm concerns the connection
	counting  []*channel // with counts that others do not see yet

	mu           sync.Mutex  // after the broker's locks; see doc.go
	out          outBuf      // mu
	streams      streams     // mu
	stencil      stencil     // mu
	turn         []*stream   // the writer's scratch
	flight       outFlight   // holder of writing; between holders mu
	inFlight     int         // mu: bytes in flight
	writing      bool        // mu: the token
	stopWriter   bool        // mu: end when all is written
	dead         bool        // mu: the socket is closed or about to be
	readerWaits  bool        // mu: in reserve
	closed       bool        // mu: no more deliveries
	watching     []*channel  // mu: channels whose deliveries may take too long
	deleting     bool        // mu: a delete-ok is owed, before any basic.cancel
	cancels      []*consumer // mu: those that are to be told after it
	starved      []*consumer
	starvedSpare []*consumer     // mu, as starved: consumers that a full out buffer passed over
	promises     promises        // mu
	dirty        []*channel      // mu: channels with acks to emit
	counter      *broker.Session // mu: where confirms are counted
	confirmed    uint64          // mu: those that were not counted there
	sent         traffic
	received     traffic

	kicked     atomic.Bool
	wake       chan struct{} // to the writer
	nudge      chan struct{} // to the reader, where it waits for something else than bytes
	writerDone chan struct{}
	leading    atomic.Bool   // the reader commits the log and will answer itself
	durable    atomic.Uint64 // highest LSN that Committed told of
	logFailed  atomic.Bool
	forced     atomic.Pointer[amqp.Error] // the server or the broker wants an end
	late       atomic.Bool                // channels have timed out: see timeout.go

	// The ticker's view. See heartbeat.go.
	established atomic.Bool
	didRead     atomic.Bool
	didWrite    atomic.Bool
	busy        atomic.Bool // what was read is being handled: silence is ours
	began       atomic.Bool // a frame has begun to come
	parsed      atomic.Bool // a whole one came
	born        time.Time
	silent      time.Duration // ticker
	quiet       time.Duration // ticker
	waits       time.Duration // ticker: for the rest of a frame
	beaten      bool          // ticker: the last tick sent a heartbeat
	expired     string        // mu: why the ticker dropped the connection
}

func newConn(srv *Server, nc net.Conn) *conn {
	c := &conn{
		srv:        srv,
		opts:       srv.opts.Load(),
		nc:         nc,
		sock:       socket(nc),
		name:       nc.RemoteAddr().String() + " -> " + nc.LocalAddr().String(),
		frameMax:   minFrameMax, // until tuned
		channels:   map[uint16]*channel{},
		wake:       make(chan struct{}, 1),
		nudge:      make(chan struct{}, 1),
		writerDone: make(chan struct{}),
		born:       time.Now(),
	}
	c.records, _ = c.sock.(*tlsio.Conn)
	c.raw = newRawIO(c)
	return c
}

func (c *conn) log() *slog.Logger { return c.opts.Logger.With("connection", c.name) }

// Name identifies the connection to an operator, as RabbitMQ does.
func (c *conn) Name() string { return c.name }

// Close asks the connection to close with err. Any goroutine, any lock.
func (c *conn) Close(err *amqp.Error) {
	if c.forced.CompareAndSwap(nil, err) {
		c.nc.SetReadDeadline(time.Unix(1, 0))
		c.nudgeReader()
	}
}

// run is the reader's goroutine: the connection's whole life.
func (c *conn) run() {
	go c.writeLoop()
	err := c.secure()
	if err == nil {
		err = c.readLoop()
	}
	c.teardown()
	if err != nil { // nobody is there, or patience has ended
		c.mu.Lock()
		c.abort()
		c.mu.Unlock()
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.opts.CloseTimeout))
	c.endWriter()
	if err == nil && c.lastWords {
		c.linger()
	}
	c.nc.Close()
	c.dropReadBuf()
	c.report(err)
}

// readLoop reads until the connection's end. It returns nil where that end was
// agreed on and the peer is still there to read our last words.
func (c *conn) readLoop() error {
	for {
		if forced := c.forced.Load(); forced != nil && c.phase < closing {
			c.fail(forced, 0)
			c.respond()
			if c.phase == ended {
				return nil
			}
		}
		if c.late.Load() {
			c.closeLate()
		}
		n, err := c.fill()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && c.again() {
				continue
			}
			return err
		}
		if !c.didRead.Load() {
			c.didRead.Store(true)
		}
		c.busy.Store(true)
		c.markFrames(c.process(n))
		c.busy.Store(false)
		if c.phase == ended {
			return nil
		}
	}
}

// again decides after a read's deadline whether to read on: it is past when Close
// or the ticker interrupted the reader, and in closing when patience has ended.
func (c *conn) again() bool {
	if c.phase < closing {
		// Whoever interrupts says why before.
		c.nc.SetReadDeadline(time.Time{})
		return true
	}
	if time.Now().Before(c.closeBy) {
		c.nc.SetReadDeadline(c.closeBy)
		return true
	}
	return false
}

// bid ends the connection with our close-ok, or the right protocol header.
func (c *conn) bid(words []byte) {
	c.mu.Lock()
	c.out.write(words)
	c.mu.Unlock()
	c.phase = ended
	c.lastWords = true
}

// fail closes the connection with e: what was gathered still happens, then
// consumers end, unacked messages return to their queues, and the peer is told
// why and given time to read it. cause is the method to blame, or 0.
func (c *conn) fail(e *amqp.Error, cause wire.ID) {
	if c.phase >= closing {
		return
	}
	told := c.phase >= awaitTuneOK || c.client.authFailureClose
	level := slog.LevelWarn
	if c.refused || e.Code == amqp.CodeConnectionForced { // one line is there, for the login or the stop
		level = slog.LevelDebug
	}
	log := c.log()
	if cause != 0 {
		log = log.With("cause", cause)
	}
	log.Log(context.Background(), level, "closing connection", "error", e.Error())
	c.endSession()
	if c.phase >= closing { // by what it flushed
		return
	}
	if !told {
		c.phase = ended
		return
	}
	c.mu.Lock()
	c.out.commit(wire.AppendException(c.out.room(exceptionSize), 0, e, cause))
	c.mu.Unlock()
	c.phase = closing
	c.closeBy = time.Now().Add(c.opts.CloseTimeout)
	c.nc.SetReadDeadline(c.closeBy)
}

// exceptionSize bounds a close frame: a shortstr and some integers.
const exceptionSize = 300

// endSession takes the connection out of the broker: complete publishes that were
// gathered are applied, unacked messages return, consumers end, then the session
// goes. From the moment at which it is closed its consumers take nothing.
func (c *conn) endSession() {
	c.answer()
	session := c.session
	if session == nil {
		return
	}
	c.session = nil // a failing flush would come here again
	c.flush(false)
	c.mu.Lock()
	c.closed = true
	c.dropStreams()
	c.mu.Unlock()
	for _, ch := range c.channels {
		c.returnUnacked(ch)
	}
	for id, ch := range c.channels {
		c.cancelConsumers(ch)
		c.mu.Lock()
		delete(c.channels, id)
		c.mu.Unlock()
	}
	c.openChannels.Store(0)
	c.lastCh = nil
	session.Close()
	c.batch = nil
}

// teardown is the end of every connection, agreed on or not.
func (c *conn) teardown() {
	c.endSession()
	c.srv.flusher.CompareAndSwap(c, nil)
	if c.phase < closing {
		c.phase = ended
	}
}

// lingerTime is how long linger lasts at most.
const lingerTime = time.Second

// linger lets the peer read our last words: closing a socket that holds unread
// bytes would reset the connection, and destroy them.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	var sink [512]byte
	for {
		if _, err := c.nc.Read(sink[:]); err != nil {
			return
		}
	}
}

// report logs how the connection ended.
func (c *conn) report(err error) {
	c.mu.Lock()
	expired := c.expired
	c.mu.Unlock()
	level := slog.LevelDebug // a probe of the port, or a login that was not used
	if c.opened {
		level = slog.LevelInfo
	}
	switch {
	case expired != "":
		c.log().Warn("connection dropped", "reason", expired)
	case err == nil || c.phase == closing || c.phase == garbled:
		c.log().Debug("connection closed")
	case errors.Is(err, io.EOF):
		c.log().Log(context.Background(), level, "client went away without connection.close")
	default:
		c.log().Log(context.Background(), level, "connection lost", "error", err)
	}
}

// committer is the face that the connection shows to the log.
var _ wal.Waiter = (*conn)(nil)
