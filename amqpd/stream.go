package amqpd

import (
	"time"

	"github.com/leveret-mq/leveret/broker"
)

// Bodies that lie in files. A delivery (or basic.get, or a return) of one puts
// its method and header into the out buffer and becomes a stream: the writer
// fetches the body piece by piece as the socket takes it, so that little of it is
// in memory at any time.
//
// The frames of one content must follow each other on their channel, not on the
// connection. So what else the channel has to say waits behind its stream, while
// other channels' frames, heartbeats and other streams come in between.

const (
	// streamPiece is how much of a body is read at once: a multiple of the block
	// that is checked in one.
	streamPiece = 128 << 10
	// streamAhead is how much may wait in the out buffer before streams rest.
	streamAhead = 256 << 10
	// streamsWeigh: that many streams count as a full out buffer, which bounds
	// how many a connection is given at once.
	streamsWeigh = 4

	// A body that cannot be read at the moment is tried again for so long.
	streamPause    = 50 * time.Millisecond
	streamPatience = 10 * time.Second
)

// stream is a body on its way from a file to the socket. Fields without another
// word are fixed.
type stream struct {
	channel uint16
	large   *broker.Large // held until the stream is dropped
	size    int64
	queue   broker.Queue // of a delivery: where to tell of damage; nil else
	seq     uint64

	reader *broker.LargeReader // the writer's
	off    int64               // the writer's: what is in the out buffer
	since  time.Time           // the writer's: when reading began to fail

	dropped bool    // conn.mu: nobody wants it any more
	behind  outBuf  // conn.mu: what its channel says after it
	next    *stream // conn.mu: and then
}

// streams are the bodies that a connection is sending: of each channel the one
// that is under way, in turn. conn.mu guards them.
type streams struct {
	active []*stream
	n      int // with those that wait
	behind int // bytes behind all of them
}

// last is the end of a channel's row of streams, nil where it has none.
func (s *streams) last(channel uint16) *stream {
	for _, a := range s.active {
		if a.channel == channel {
			for a.next != nil {
				a = a.next
			}
			return a
		}
	}
	return nil
}

// outOf is where a channel's frames go: the out buffer, or behind what the
// channel streams. Who writes to it calls said. c.mu is held.
func (c *conn) outOf(channel uint16) *outBuf {
	if c.streams.n > 0 {
		if s := c.streams.last(channel); s != nil {
			return &s.behind
		}
	}
	return &c.out
}

// said notes that an outOf has grown from a size that it had. c.mu is held.
func (c *conn) said(o *outBuf, before int) {
	if o != &c.out {
		c.streams.behind += o.size - before
	}
}

// backlog is what waits for the socket, in bytes, apart from what is being
// written: streams count too, by their number. c.mu is held.
func (c *conn) backlog() int {
	if c.streams.n == 0 {
		return c.out.size
	}
	return c.out.size + c.streams.behind + c.streams.n*(c.opts.OutBuffer/streamsWeigh)
}

// stream begins to send a body; its method and header are out, or wait where the
// channel's frames do. queue and seq are a delivery's. c.mu is held.
func (c *conn) stream(channel uint16, l *broker.Large, queue broker.Queue, seq uint64) {
	if c.closed || c.dead {
		return
	}
	l.Retain()
	s := &stream{channel: channel, large: l, size: l.Size(), queue: queue, seq: seq}
	if last := c.streams.last(channel); last != nil {
		last.next = s
	} else {
		c.streams.active = append(c.streams.active, s)
	}
	c.streams.n++
}

// endStream takes a stream that is under way off the connection; what its channel
// has said since comes next. c.mu is held.
func (c *conn) endStream(s *stream) {
	for i, a := range c.streams.active {
		if a != s {
			continue
		}
		if s.next != nil {
			c.streams.active[i] = s.next
		} else {
			c.streams.active = append(c.streams.active[:i], c.streams.active[i+1:]...)
		}
		break
	}
	c.streams.n--
	c.streams.behind -= s.behind.size
	c.out.take(&s.behind)
	s.dropped = true
	s.large.Release()
}

// dropStreams ends all streams, and forgets what waits behind them: the
// connection has nothing more to say on its channels. c.mu is held.
func (c *conn) dropStreams() {
	for _, s := range c.streams.active {
		for ; s != nil; s = s.next {
			s.dropped = true
			s.behind.release()
			s.large.Release()
		}
	}
	c.streams = streams{}
}

// pump brings the next piece of each stream into the out buffer, as far as there
// is room. The writer's goroutine alone calls it; c.mu is held, and let go while
// it reads.
func (c *conn) pump() {
	piece := getReadBuf(len(readSizes) - 1)
	defer putReadBuf(piece)
	turn := append(c.turn[:0], c.streams.active...)
	for _, s := range turn {
		if c.out.size >= streamAhead || c.dead {
			break
		}
		if s.dropped {
			continue
		}
		c.mu.Unlock()
		n, err := s.read(piece[:streamPiece])
		if err != nil {
			err = c.streamFailed(s, err)
		}
		c.mu.Lock()
		if s.dropped {
			continue
		}
		if err != nil {
			c.abort() // the content cannot be completed, and nothing else may be said
			break
		}
		c.writeBody(&c.out, s.channel, piece[:n])
		if s.off == s.size {
			c.endStream(s)
		} else if a := c.streams.active; len(a) > 1 && a[0] == s {
			copy(a, a[1:]) // its turn is over
			a[len(a)-1] = s
		}
	}
	clear(turn)
	c.turn = turn
}

// read fetches the next piece.
func (s *stream) read(p []byte) (n int, err error) {
	if s.reader == nil {
		if s.reader, err = s.large.Open(); err != nil {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), s.size-s.off)]
	if n, err = s.reader.ReadAt(p, s.off); err != nil {
		return 0, err
	}
	s.off += int64(n)
	s.since = time.Time{}
	return n, nil
}

// streamFailed decides what comes of an error: nil is to try again. A message
// whose body is damaged is set aside, or it would come again and again. No lock is
// held.
func (c *conn) streamFailed(s *stream, err error) error {
	damaged := broker.BodyDamaged(err)
	now := time.Now()
	if s.since.IsZero() {
		s.since = now
	}
	if !damaged && now.Sub(s.since) < streamPatience {
		time.Sleep(streamPause) // this connection's writer alone waits
		return nil
	}
	c.mu.Lock()
	dropped := s.dropped
	c.mu.Unlock()
	if dropped {
		return nil
	}
	if damaged && s.queue != nil {
		s.queue.SetAside(s.seq, err)
	}
	c.log().Error("the body of a large message cannot be read: connection dropped in its midst", "channel", s.channel, "err", err)
	return err
}
