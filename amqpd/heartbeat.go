package amqpd

import (
	"fmt"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// tick is the server's ticker's word to a connection, every so often: heartbeats
// that are due, peers that have been silent for too long, handshakes that do not
// end.
func (c *conn) tick(now time.Time) {
	if !c.established.Load() {
		if now.Sub(c.born) >= c.opts.HandshakeTimeout {
			c.expire(fmt.Sprintf("no connection.open within %v", c.opts.HandshakeTimeout))
		}
		return
	}
	c.checkTimeouts(now)
	if c.frameIsLate() {
		c.expire(fmt.Sprintf("a frame took longer than %v", c.opts.FrameTimeout))
		return
	}
	interval := time.Duration(c.heartbeat.Load())
	if c.didRead.Load() || c.busy.Load() {
		c.didRead.Store(false)
		c.silent = 0
	} else {
		c.silent += tickEvery
	}
	if c.didWrite.Load() {
		c.didWrite.Store(false)
		c.quiet = 0
		if c.beaten { // by our heartbeat, a whole tick ago
			c.quiet = tickEvery
		}
	} else {
		c.quiet += tickEvery
	}
	c.beaten = false
	if c.silent == idleAfter {
		c.shrink()
	}
	if interval == 0 {
		return
	}
	// A flag is cleared up to a tick after the event that set it.
	if c.silent > 2*interval {
		c.expire(fmt.Sprintf("missed heartbeats from client, timeout: %v", interval))
		return
	}
	if c.quiet+tickEvery > interval/2 {
		c.beat()
	}
}

// markFrames is the reader's: it tells the ticker what is left of a read of n bytes.
func (c *conn) markFrames(n int) {
	left := c.w - c.r
	if left < n && !c.parsed.Load() {
		c.parsed.Store(true)
	}
	if begun := left > 0; begun != c.began.Load() {
		c.began.Store(begun)
	}
}

// frameIsLate is the ticker's: it reports whether the frame that is coming takes too
// long. While the reader is held up the delay is ours.
func (c *conn) frameIsLate() bool {
	parsed := c.parsed.Load()
	if parsed {
		c.parsed.Store(false)
	}
	if parsed || !c.began.Load() || c.busy.Load() {
		c.waits = 0
		return false
	}
	c.waits += tickEvery
	return c.opts.FrameTimeout > 0 && c.waits > c.opts.FrameTimeout
}

// idleAfter is when a silent connection gives memory back.
const idleAfter = 5 * time.Second

// beat sends a heartbeat where nothing else is on its way: what waits for the
// socket will do as well.
func (c *conn) beat() {
	c.mu.Lock()
	idle := !c.writing && !c.dead && !c.stopWriter && c.inFlight == 0 && c.out.size == 0 && c.streams.n == 0
	if idle {
		c.out.commit(wire.AppendHeartbeat(c.out.room(frameOverhead)))
	}
	c.mu.Unlock()
	if idle {
		c.beaten = true
		c.kick()
	}
}

// expire drops the connection without a word: nobody is there to hear it.
func (c *conn) expire(reason string) {
	c.mu.Lock()
	if c.expired == "" {
		c.expired = reason
	}
	c.abort()
	c.mu.Unlock()
}

// shrink gives memory of an idle connection back.
func (c *conn) shrink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.promises.n == 0 {
		c.promises = promises{}
	}
	if cap(c.out.pieces) > 0 && c.out.size == 0 {
		c.out.pieces = nil
	}
}
