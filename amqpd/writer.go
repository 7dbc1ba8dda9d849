package amqpd

// The way out. Whoever has something for the peer appends it to c.out under
// c.mu; one goroutine at a time holds the writing token, takes all of it and
// writes outside the lock. The token's holder is the connection's writer, which
// may block in the socket, or its reader, which after a small read answers with
// one write that may not (it saves a hand-off to another goroutine).

// directBytes is the most that a reader writes itself; more goes to the writer,
// so that reading and writing share the cores.
const directBytes = 32 << 10

// kick wakes the writer. Any goroutine, any lock.
func (c *conn) kick() {
	if !c.kicked.Load() && c.kicked.CompareAndSwap(false, true) {
		c.wake <- struct{}{} // never blocks: kicked is cleared after the receive
	}
}

// writeLoop is the writer's goroutine.
func (c *conn) writeLoop() {
	defer close(c.writerDone)
	for range c.wake {
		c.kicked.Store(false)
		if !c.drain() {
			return
		}
	}
}

// drain writes until nothing is left. It reports false when the writer is to
// end.
func (c *conn) drain() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.writing { // else the reader holds the token and looks again itself
		if c.dead {
			return false
		}
		c.settleConfirms()
		if c.flight.left() == 0 {
			if c.streams.n > 0 && c.out.size < streamAhead {
				if c.pump(); c.dead || c.writing {
					continue
				}
			}
			if c.out.size == 0 {
				if c.streams.n > 0 {
					continue
				}
				if c.stopWriter {
					return false
				}
				if len(c.starved) == 0 {
					return true
				}
			} else {
				c.flight.take(&c.out)
			}
		}
		if c.flight.left() > 0 {
			c.inFlight = c.flight.left()
			c.writing = true
			c.mu.Unlock()
			err := c.writeFlight()
			c.mu.Lock()
			c.writing = false
			c.inFlight = 0
			if err != nil {
				c.abort()
				return false
			}
		}
		c.roomAgain()
	}
	return true
}

// writeFlight writes all that the flight holds, and blocks for it.
func (c *conn) writeFlight() error {
	size := c.flight.left()
	var err error
	if c.sock != c.nc { // TLS takes no vector
		err = c.writeRecords()
	} else {
		var n int64
		n, err = c.flight.buffers().WriteTo(c.nc)
		c.flight.advance(int(n))
	}
	c.didWrite.Store(true)
	c.sent.add(size - c.flight.left())
	return err
}

// roomAgain lets those go on that the full out buffer had stopped. c.mu is held,
// and let go in between.
func (c *conn) roomAgain() {
	if c.backlog() > c.opts.OutBuffer/2 {
		return
	}
	if c.readerWaits {
		c.readerWaits = false
		c.nudgeReader()
	}
	if len(c.starved) == 0 || c.stopWriter {
		return
	}
	list := c.starved
	c.starved = c.starvedSpare[:0]
	for _, k := range list {
		k.wantsRoom = false
	}
	c.mu.Unlock()
	for i, k := range list {
		k.broker.Touch()
		list[i] = nil
	}
	c.mu.Lock()
	c.starvedSpare = list[:0]
}

// respond is the reader's last act after a read: confirms that have become
// durable join the out buffer, and a short answer is written here and now.
func (c *conn) respond() {
	c.mu.Lock()
	if c.writing || c.dead { // whoever writes looks again
		c.mu.Unlock()
		return
	}
	c.settleConfirms()
	switch {
	case c.streams.n > 0: // the writer's
		c.mu.Unlock()
		c.kick()
		return
	case c.flight.left() > 0: // the socket is full; the writer has been woken for it
		c.mu.Unlock()
		return
	case c.out.size == 0:
		c.mu.Unlock()
		return
	case c.raw == nil || c.out.size > directBytes:
		c.mu.Unlock()
		c.kick()
		return
	}
	c.flight.take(&c.out)
	c.inFlight = c.flight.left()
	c.writing = true
	c.mu.Unlock()

	size := c.flight.left()
	err := c.raw.writeSome()
	c.sent.add(size - c.flight.left())

	c.didWrite.Store(true)

	c.mu.Lock()
	c.writing = false
	c.inFlight = c.flight.left()
	if err != nil {
		c.abort()
	}
	more := c.inFlight > 0 || c.out.size > 0 || c.confirmsDue() || len(c.starved) > 0 || c.streams.n > 0
	c.mu.Unlock()
	if more {
		c.kick()
	}
}

// reserve blocks the reader while replies fill the out buffer beyond its hard
// bound: a peer that asks and never reads is no longer read itself. It reports
// false where the connection is to end, and nothing more is to be asked.
func (c *conn) reserve() bool {
	for {
		c.mu.Lock()
		full := c.backlog()+c.inFlight > 4*c.opts.OutBuffer
		dead := c.dead
		c.readerWaits = full && !dead
		c.mu.Unlock()
		if dead || c.forced.Load() != nil {
			return false
		}
		if !full {
			return true
		}
		c.kick()
		c.busy.Store(false) // it is the peer that we wait for
		<-c.nudge
		c.busy.Store(true)
	}
}

// nudgeReader wakes a reader that waits for room or for an alarm's end.
func (c *conn) nudgeReader() {
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// abort gives the connection up: nothing more is written, and the reader's next
// read fails. What carries TLS is closed without a word of TLS, which might have
// to wait for the peer. c.mu is held.
func (c *conn) abort() {
	if c.dead {
		return
	}
	c.dead = true
	c.dropStreams()
	c.out.release()
	c.sock.Close()
	c.nudgeReader()
}

// endWriter ends the writer's goroutine and waits for it: after what is left is
// written where the connection still has a peer to read it.
func (c *conn) endWriter() {
	c.mu.Lock()
	c.stopWriter = true
	c.mu.Unlock()
	c.kick()
	<-c.writerDone
	c.mu.Lock()
	c.dead = true
	c.dropStreams()
	c.flight.release()
	c.out.release()
	c.mu.Unlock()
}
