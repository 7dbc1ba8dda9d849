package amqpd

import (
	"errors"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/wal"
)

// What one read publishes and settles is gathered here and takes effect in one
// flush.

// pubRun is publishes of one channel that stand side by side in the batch and
// are owed confirms.
type pubRun struct {
	ch    *channel
	index int    // of the first one in the batch
	tag   uint64 // of the last one
	n     int
}

// gather publishes a message; its slices stay as they are until flush. With again
// it is as the one gathered before, but for the bytes of its body. It reports false
// where the publish closed its channel.
func (c *conn) gather(ch *channel, m *wire.BasicPublish, props amqp.Properties, body []byte, up *broker.Upload, again bool) bool {
	if ch.tx != nil {
		return c.txPublish(ch, m, props, body, up)
	}
	p := &c.pub
	p.Exchange, p.RoutingKey = m.Exchange, m.RoutingKey
	p.Props, p.Body, p.Upload = props, body, up
	p.Confirm, p.Mandatory = ch.confirm.on, m.Mandatory
	p.Reply = ch.replyConsumer
	p.Again = again
	c.published = true
	routed, err := c.batch.Publish(p)
	if errors.Is(err, broker.ErrNotStored) {
		c.notStored(ch, err)
		return true
	}
	if err != nil {
		c.failMethod(ch, err, wire.IDBasicPublish)
		return false
	}
	index := c.pubs
	c.pubs++
	c.countPublish(ch, routed, m.Mandatory)
	if !routed && m.Mandatory {
		c.returnPublished(ch, m, p)
	}
	if !ch.confirm.on {
		c.bare++
		return true
	}
	tag := ch.confirm.next
	ch.confirm.next++
	if k := len(c.runs) - 1; k >= 0 && c.runs[k].ch == ch && c.runs[k].index+c.runs[k].n == index {
		c.runs[k].n++
		c.runs[k].tag = tag
		return true
	}
	c.runs = append(c.runs, pubRun{ch: ch, index: index, tag: tag, n: 1})
	return true
}

// returnPublished sends back what p had to no queue.
func (c *conn) returnPublished(ch *channel, m *wire.BasicPublish, p *broker.Publishing) {
	if p.Upload == nil {
		c.sendReturn(ch, m, p.Props, p.Body, nil)
		return
	}
	l, err := broker.FinishUpload(p)
	if err != nil {
		c.log().Error("large message cannot be returned", "channel", ch.id, "err", err)
		return
	}
	c.sendReturn(ch, m, p.Props, nil, l)
	l.Release()
}

// sendReturn sends an unroutable message back. It goes out before its confirm.
func (c *conn) sendReturn(ch *channel, m *wire.BasicPublish, props amqp.Properties, body []byte, l *broker.Large) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeContent(ch.id, &wire.BasicReturn{
		ReplyCode: amqp.CodeNoRoute, ReplyText: "NO_ROUTE",
		Exchange: m.Exchange, RoutingKey: m.RoutingKey,
	}, props, body, l, nil)
}

// flush makes what was gathered happen and notes the confirms that are owed for
// it. Where lead is set and confirms are owed, this goroutine commits the log if
// that is idle.
func (c *conn) flush(lead bool) {
	if c.batch == nil || c.batch.Len() == 0 {
		c.freeBodies() // of transactions, which copy, and of what was refused
		return
	}
	c.noteFlush()
	lead = lead && len(c.runs) > 0
	lsn, err := c.batch.Flush(c, lead)
	if len(c.runs)+len(c.counting) > 0 {
		c.mu.Lock()
		c.showCounts()
		for i := range c.runs {
			run := &c.runs[i]
			if c.batch.Rejections() == 0 {
				c.promise(run.ch, lsn, run.tag, false)
			} else {
				c.promiseEach(run, lsn)
			}
			run.ch = nil
		}
		c.mu.Unlock()
		c.runs = c.runs[:0]
	}
	c.freeBodies()
	lost := err != nil && c.bare > 0
	c.pubs, c.bare = 0, 0
	c.pub = broker.Publishing{}
	if lost {
		// Nobody waits for a nack: the one honest answer is the connection's end.
		c.fail(amqp.InternalError("message could not be stored: %v", err), wire.IDBasicPublish)
	}
}

// Where a connection is alone with the log, and does nothing but publish, its reader has
// nothing better to do after a read than to commit it, unless it has filled its buffer
// and more waits: with 100 publishes of 100 B outstanding a fifth more of them, at a
// quarter less processor time. Beside others it would keep them from the disk.
const aloneAfter = 64 // flushes in a row without one of another connection

// noteFlush counts the connection's flushes of nothing but publishes between which no
// other connection had any.
func (c *conn) noteFlush() {
	if c.srv.flusher.Load() == c && c.publishesOnly() {
		c.flushes++
		return
	}
	c.srv.flusher.Store(c)
	c.flushes = 0
}

// publishesOnly tells whether nothing else was gathered.
func (c *conn) publishesOnly() bool { return c.batch == nil || c.batch.Len() == c.pubs }

// alone tells whether that has been so for a while.
func (c *conn) alone() bool {
	return c.opts.LeadBytes > 0 && c.flushes >= aloneAfter && c.srv.flusher.Load() == c &&
		c.publishesOnly() && c.srv.alarm.Load() == nil
}

// leads tells whether the reader is to commit what n bytes have brought, which did not
// fill its buffer.
func (c *conn) leads(n int) bool { return n <= c.opts.LeadBytes || c.alone() }

// freeBodies gives back the contents that came in pieces and are published.
func (c *conn) freeBodies() {
	for i, b := range c.bodies {
		b.free()
		c.bodies[i] = nil
	}
	c.bodies = c.bodies[:0]
}

// promiseEach is promise where some publishes of the run were refused. c.mu is
// held.
func (c *conn) promiseEach(run *pubRun, lsn wal.LSN) {
	first := run.tag - uint64(run.n) + 1
	refused := c.batch.Rejected(run.index)
	for i := 1; i <= run.n; i++ {
		if i < run.n && c.batch.Rejected(run.index+i) == refused {
			continue
		}
		c.promise(run.ch, lsn, first+uint64(i)-1, refused)
		refused = !refused
	}
}
