package amqpd

import (
	"slices"
	"time"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// channel is a channel of a connection. Fields without another word are the
// reader's.
type channel struct {
	conn    *conn
	id      uint16
	closing bool     // channel.close was sent: all but close-ok is dropped
	crossed bool     // the peer's channel.close met ours: only a close-ok may still come
	content *content // a publish whose frames are still coming

	confirm       confirmState
	tx            *transaction     // tx.select was seen
	queue         string           // last one declared: what an empty name means
	prefetch      uint16           // for the coming consumers
	replyConsumer *broker.Consumer // of direct reply-to
	getters       map[broker.Queue]*consumer

	fresh    fresh
	counting bool // is in conn.counting

	shown     shown // conn.mu: see counting.go
	closed    bool  // conn.mu: no more deliveries or confirms
	unacked   unacked
	watched   bool                 // conn.mu: is in conn.watching
	timedOut  time.Duration        // conn.mu: what the oldest delivery was given, where that is over
	marks     []mark               // conn.mu: see timeout.go
	limit     int                  // conn.mu: unacked deliveries of all consumers together; 0 is no limit
	inflight  int                  // conn.mu: of those that count
	consumers map[string]*consumer // conn.mu to change and for others to read
}

// replySize is what a reply takes at most, apart from strings that it carries.
const replySize = 64

// reply sends a method. Any goroutine; the caller sees to the kick where it is
// not the reader.
func (c *conn) reply(channel uint16, m wire.Method) {
	c.mu.Lock()
	c.sayMethod(channel, m)
	c.mu.Unlock()
}

// sayMethod is reply with c.mu held.
func (c *conn) sayMethod(channel uint16, m wire.Method) {
	o := c.outOf(channel)
	before := o.size
	o.commit(wire.AppendMethod(o.room(replySize), channel, m))
	c.said(o, before)
}

// method acts on a method that is not gathered.
func (c *conn) method(ch *channel, id wire.ID, args []byte) {
	m, err := decode(id, args)
	if err != nil {
		c.failWith(err, id)
		return
	}
	c.flush(false)
	if !c.reserve() {
		// This method does not happen, so nothing behind it may either.
		if e := c.forced.Load(); e != nil {
			c.fail(e, 0)
		} else {
			c.phase = ended
		}
		return
	}
	if c.phase != running || ch.closing {
		return // what was gathered has failed
	}
	switch m := m.(type) {
	case *wire.ChannelOpen:
		err = amqp.ChannelError("second 'channel.open' seen")
	case *wire.ChannelClose:
		c.closeChannel(ch)
		c.forgetChannel(ch)
		c.left = append(c.left, ch.id)
		c.reply(ch.id, &wire.ChannelCloseOk{})
	case *wire.ChannelFlow:
		if m.Active {
			c.reply(ch.id, &wire.ChannelFlowOk{Active: true})
		} else {
			err = amqp.NotImplemented("active=false")
		}
	case *wire.ChannelFlowOk:
	case *wire.AccessRequest:
		c.reply(ch.id, &wire.AccessRequestOk{Ticket: 1})

	case *wire.ExchangeDeclare:
		err = c.exchangeDeclare(ch, m)
	case *wire.ExchangeDelete:
		err = c.exchangeDelete(ch, m)
	case *wire.ExchangeBind:
		err = c.exchangeBind(ch, m)
	case *wire.ExchangeUnbind:
		err = c.exchangeUnbind(ch, m)

	case *wire.QueueDeclare:
		err = c.queueDeclare(ch, m)
	case *wire.QueueBind:
		err = c.queueBind(ch, m)
	case *wire.QueueUnbind:
		err = c.queueUnbind(ch, m)
	case *wire.QueuePurge:
		err = c.queuePurge(ch, m)
	case *wire.QueueDelete:
		err = c.queueDelete(ch, m)

	case *wire.BasicQos:
		err = c.basicQos(ch, m)
	case *wire.BasicConsume:
		err = c.basicConsume(ch, m)
	case *wire.BasicCancel:
		c.basicCancel(ch, m)
	case *wire.BasicCancelOk: // the answer to ours
	case *wire.BasicGet:
		err = c.basicGet(ch, m)
	case *wire.BasicRecover:
		if err = c.basicRecover(ch, m.Requeue); err == nil {
			c.reply(ch.id, &wire.BasicRecoverOk{})
			c.flush(false)
		}
	case *wire.BasicRecoverAsync:
		err = c.basicRecover(ch, m.Requeue)

	case *wire.ConfirmSelect:
		err = c.confirmSelect(ch, m)
	case *wire.TxSelect:
		err = c.txSelect(ch)
	case *wire.TxCommit:
		err = c.txCommit(ch)
	case *wire.TxRollback:
		err = c.txRollback(ch)
	default:
		// Methods of the server, and connection's, which belong on channel 0.
		err = amqp.CommandInvalid("unimplemented method")
	}
	if err != nil {
		c.failMethod(ch, err, id)
	}
}

// decode reads a method's arguments. One that AMQP does not have is 540, which
// says what it is: RabbitMQ just drops the connection.
func decode(id wire.ID, args []byte) (wire.Method, error) {
	if wire.Lookup(id) == nil {
		return nil, amqp.NotImplemented("unknown method %d of class %d", id.Method(), id.Class())
	}
	return wire.Decode(id, args)
}

// handleUnopened acts on a frame of a channel that is not open. What came right
// behind the client's own channel.close, before it can have seen the answer, is
// dropped: one thread of it closed the channel while another acked.
func (c *conn) handleUnopened(f wire.Frame) {
	if slices.Contains(c.left, f.Channel) {
		if id, _, err := wire.CutID(f.Payload); f.Type != wire.FrameMethod || err != nil || id != wire.IDChannelOpen {
			return
		}
		c.left = slices.DeleteFunc(c.left, func(id uint16) bool { return id == f.Channel })
	}
	if f.Type != wire.FrameMethod {
		c.failUnexpected("expected method frame, got non method frame instead", 0)
		return
	}
	id, args, err := wire.CutID(f.Payload)
	if err != nil {
		c.failWith(err, 0)
		return
	}
	m, err := decode(id, args)
	if err != nil {
		c.failWith(err, id)
		return
	}
	switch m.(type) {
	case *wire.ChannelOpen:
	default:
		c.failWith(amqp.ChannelError("expected 'channel.open'"), id)
		return
	}
	if len(c.channels) >= c.channelMax {
		c.failWith(amqp.NotAllowed("number of channels opened (%d) has reached the negotiated channel_max (%d)",
			len(c.channels), c.channelMax), 0)
		return
	}
	if err := c.session.OpenChannel(); err != nil {
		c.failWith(err, 0)
		return
	}
	ch := &channel{conn: c, id: f.Channel}
	ch.unacked.init()
	ch.shown.id, ch.shown.active = c.srv.broker.NextID(), c.srv.broker.Now().UnixMilli()
	c.mu.Lock()
	c.channels[f.Channel] = ch
	c.mu.Unlock()
	c.openChannels.Store(int32(len(c.channels)))
	c.opened = true
	c.reply(f.Channel, &wire.ChannelOpenOk{})
}

// handleClosing acts on a frame of a channel that was told to close.
func (c *conn) handleClosing(ch *channel, f wire.Frame) {
	if f.Type != wire.FrameMethod {
		return
	}
	id, _, err := wire.CutID(f.Payload)
	if err != nil {
		return
	}
	switch {
	case id == wire.IDChannelCloseOk:
		c.forgetChannel(ch)
	case ch.crossed: // it is closed; the answer to ours was on its way, or never comes
		c.forgetChannel(ch)
		c.handleUnopened(f)
	case id == wire.IDChannelClose: // both closed at once
		ch.crossed = true
		c.reply(ch.id, &wire.ChannelCloseOk{})
	case id == wire.IDChannelOpen:
		c.failWith(amqp.ChannelError("second 'channel.open' seen"), id)
	}
}

func (c *conn) forgetChannel(ch *channel) {
	c.mu.Lock()
	delete(c.channels, ch.id)
	c.mu.Unlock()
	c.openChannels.Store(int32(len(c.channels)))
	c.lastCh = nil
	if c.session != nil {
		c.session.CloseChannel()
	}
}

// failMethod answers a method's error: the channel closes, or the connection
// where the error is a hard one. What was gathered before takes effect first.
func (c *conn) failMethod(ch *channel, err error, cause wire.ID) {
	e := amqp.AsError(err)
	if e.Hard() {
		c.fail(e, cause)
		return
	}
	c.answer()
	c.flush(false)
	if c.phase != running {
		return
	}
	c.log().Info("closing channel", "channel", ch.id, "error", e.Error(), "cause", cause)
	c.closeChannel(ch)
	ch.closing = true
	c.mu.Lock()
	o := c.outOf(ch.id)
	before := o.size
	o.commit(wire.AppendException(o.room(exceptionSize), ch.id, e, cause))
	c.said(o, before)
	c.mu.Unlock()
}

// failWith closes the connection whatever the error's code.
func (c *conn) failWith(err error, cause wire.ID) {
	c.fail(amqp.AsError(err), cause)
}

// failUnexpected closes the connection because of a frame out of order.
func (c *conn) failUnexpected(text string, cause wire.ID) {
	c.fail(amqp.UnexpectedFrame("%s", text), cause)
}

// failFraming closes the connection because frame borders are lost.
func (c *conn) failFraming(err error) {
	if c.phase >= closing {
		c.phase = garbled
		return
	}
	c.failWith(err, 0)
	if c.phase == closing {
		c.phase = garbled
	}
}

// closeChannel ends all that a channel does. Its unacked messages return first:
// its consumers take nothing any more, and who follows a single active one is to
// find them in their places.
func (c *conn) closeChannel(ch *channel) {
	c.mu.Lock()
	ch.closed = true
	c.mu.Unlock()
	c.returnUnacked(ch)
	c.cancelConsumers(ch)
	c.flush(false)
}

// cancelConsumers ends a channel's consumers and confirms.
func (c *conn) cancelConsumers(ch *channel) {
	c.mu.Lock()
	list := make([]*consumer, 0, len(ch.consumers))
	for _, k := range ch.consumers {
		list = append(list, k)
	}
	ch.consumers = nil
	c.mu.Unlock()
	for _, k := range list {
		k.broker.Cancel()
	}
	ch.replyConsumer = nil
	if ch.content != nil {
		ch.content.free()
		ch.content = nil
	}
}

// returnUnacked requeues what a channel was sent and did not settle, in order.
// However much it is, other connections' appends come in between: see
// broker.Batch.
func (c *conn) returnUnacked(ch *channel) {
	if ch.tx != nil {
		c.undo(ch)
		ch.tx = nil
	}
	c.mu.Lock()
	list, _ := ch.unacked.takeUpTo(nil, 0)
	ch.inflight = 0
	c.mu.Unlock()
	settleIn(c.batch, list, requeued)
	if len(list) > 0 {
		c.flush(false)
	}
}

func (c *conn) confirmSelect(ch *channel, m *wire.ConfirmSelect) error {
	if ch.tx != nil {
		return amqp.PreconditionFailed("cannot switch from tx to confirm mode")
	}
	if !ch.confirm.on {
		ch.confirm.on, ch.confirm.next = true, 1
		c.show(ch)
	}
	if !m.NoWait {
		c.reply(ch.id, &wire.ConfirmSelectOk{})
	}
	return nil
}
