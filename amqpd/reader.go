package amqpd

import (
	"bytes"

	"github.com/leveret-mq/leveret/amqpd/wire"
)

// The way in: one buffer, read as full as the socket allows, parsed in place.
// Nothing in it moves before the read's batch is flushed, since what the batch
// gathered are slices of it.

// Reads in a row that used less than an eighth of the buffer before a smaller
// one is taken.
const slackReads = 64

// needReadBuf makes sure that there is a buffer with room behind w.
func (c *conn) needReadBuf() {
	if c.buf == nil {
		c.buf = getReadBuf(c.class)
	}
}

// dropReadBuf gives the buffer back.
func (c *conn) dropReadBuf() {
	if c.buf != nil {
		putReadBuf(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// fill reads behind what is left of the last read. It returns how many bytes
// came.
func (c *conn) fill() (int, error) {
	c.settleReadBuf()
	if c.raw != nil {
		n, err := c.raw.read()
		return c.filled(n), err
	}
	c.needReadBuf()
	n, err := c.readRecords()
	if n > 0 {
		err = nil // the error comes again
	}
	return c.filled(n), err
}

// settleReadBuf moves an incomplete frame to the buffer's start, and into
// a larger buffer where the frame, or what the last reads brought, asks for it.
func (c *conn) settleReadBuf() {
	if c.buf == nil {
		return
	}
	left := c.w - c.r
	want := readSizes[c.class]
	switch {
	case c.need > len(c.buf) || (left == 0 && want != len(c.buf)) || want > len(c.buf):
		next := c.sized(max(c.need, want))
		copy(next, c.buf[c.r:c.w])
		putReadBuf(c.buf)
		c.buf = next
	case c.r > 0 && left > 0:
		copy(c.buf, c.buf[c.r:c.w])
	}
	c.r, c.w = 0, left
}

// sized returns a buffer of at least n bytes.
func (c *conn) sized(n int) []byte {
	if class := classFor(n); class >= 0 {
		return getReadBuf(class)
	}
	return make([]byte, n) // an operator's frame_max is over the largest class
}

// filled notes what a read brought, and chooses the next one's size.
func (c *conn) filled(n int) int {
	c.received.add(n)
	switch {
	case c.w+n == len(c.buf) && n > 0:
		c.slack = 0
		if c.class < len(readSizes)-1 {
			c.class++
		}
	case n < len(c.buf)/8:
		if c.slack++; c.slack >= slackReads && c.class > 0 {
			c.slack = 0
			c.class--
		}
	default:
		c.slack = 0
	}
	c.w += n
	return n
}

const (
	// flushBytes are gathered at most before what they say takes effect, where much
	// more of the read is left: the disk has something to do while the rest is parsed.
	flushBytes = 64 << 10
	// flushCopies are the copies in queues of what is gathered, beyond which it takes
	// effect in any case: it holds the log's append lock for a millisecond or two.
	flushCopies = 64 << 10
	// moreBytes is what a read must have brought for the next to be tried at once, by
	// a reader that commits itself: half of what the loopback device hands over at a
	// time, so that a client was likely interrupted in the midst of its write.
	moreBytes = 32 << 10
)

// process handles the frames in the buffer, n bytes of which are new, and what comes
// meanwhile of a connection that is alone: one commit for all of it takes less time
// than two. It returns how many bytes that were.
func (c *conn) process(n int) int {
	alone := c.alone() && len(c.buf) <= readSizes[len(readSizes)-1] // no huge frame's
	c.parse(alone)
	for m := n; alone && m >= moreBytes && c.phase == running && c.publishesOnly(); n += m {
		if m = c.readMore(); m > 0 {
			c.parse(alone)
		}
	}
	c.answer()
	c.same = repeat{}
	c.left = c.left[:0]
	drained := c.w < len(c.buf)
	c.flush(drained && c.leads(n))
	c.respond()
	if c.published {
		c.published = false
		if c.phase == running {
			c.heedAlarm()
		}
	}
	if c.phase < closing { // then the reader's deadline ends a peer that reads nothing
		c.reserve()
	}
	return n
}

// readMore reads what has come already behind what was read, as far as the buffer has
// room. It returns how many bytes that were, 0 where there are none.
func (c *conn) readMore() int {
	if c.raw == nil || len(c.buf)-c.w < moreBytes {
		return 0
	}
	n := c.raw.readMore()
	c.received.add(n)
	if c.w += n; c.w == len(c.buf) && c.class < len(readSizes)-1 {
		c.class++
	}
	return n
}

// parse handles the whole frames in the buffer. Where they may take effect together,
// together is set.
func (c *conn) parse(together bool) {
	c.need = 0
	flushed := c.r
	for c.r < c.w && c.phase != ended {
		if c.phase == awaitHeader || c.phase == garbled {
			if !c.processRaw() {
				break
			}
			continue
		}
		part := !together && c.r-flushed >= flushBytes && c.w-c.r >= flushBytes/2
		if part || c.batch != nil && c.batch.Copies() >= flushCopies {
			c.flush(false)
			c.same = repeat{}
			flushed = c.r
		}
		if c.repeats() {
			continue
		}
		c.same.head = nil
		f, size, err := wire.ParseFrame(c.buf[c.r:c.w], c.frameMax)
		if err != nil {
			c.failFraming(err)
			continue
		}
		if size > c.w-c.r {
			c.need = size
			break
		}
		c.r += size
		c.handle(f)
	}
}

// processRaw handles bytes that are not frames: the protocol header, and what
// comes after a framing error. It reports whether there is more to parse.
func (c *conn) processRaw() bool {
	if c.phase == awaitHeader {
		return c.protocolHeader()
	}
	// Frame borders are lost. The peer's last frame tells that it has read why.
	if bytes.HasSuffix(c.buf[c.r:c.w], closeOkFrame) {
		c.phase = ended
	}
	c.r = c.w
	return false
}

var closeOkFrame = wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{})

// handle acts on a frame. Its payload is in the read buffer.
func (c *conn) handle(f wire.Frame) {
	if f.Type == wire.FrameHeartbeat {
		return
	}
	if c.phase != running {
		c.handleEarly(f)
		return
	}
	if f.Channel == 0 {
		c.handleConnection(f)
		return
	}
	ch := c.lastCh
	if ch == nil || ch.id != f.Channel {
		ch = c.channels[f.Channel]
		if ch != nil {
			c.lastCh = ch
		}
	}
	switch {
	case ch == nil:
		c.handleUnopened(f)
	case ch.closing:
		c.handleClosing(ch, f)
	case ch.content != nil && ch.content.stage != contentNone:
		c.handleContent(ch, f)
	case f.Type != wire.FrameMethod:
		c.failUnexpected("expected method frame, got non method frame instead", 0)
	default:
		c.handleMethod(ch, f)
	}
}

// handleMethod acts on a method of an open channel. The hot ones are told apart
// first and gathered; before any other all that was gathered takes effect.
func (c *conn) handleMethod(ch *channel, f wire.Frame) {
	id, args, err := wire.CutID(f.Payload)
	if err != nil {
		c.failWith(err, 0)
		return
	}
	if len(c.answers) > 0 && !changesTopology(id) {
		if c.answer(); c.phase != running {
			return
		}
	}
	switch id {
	case wire.IDBasicPublish:
		c.basicPublish(ch, args)
	case wire.IDBasicAck:
		c.basicAck(ch, args)
	case wire.IDBasicNack:
		c.basicNack(ch, args)
	case wire.IDBasicReject:
		c.basicReject(ch, args)
	default:
		c.method(ch, id, args)
	}
}
