package amqpd

import (
	"bytes"
	"errors"

	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/internal/amqp"
)

// transaction is what a channel in tx mode has done since its last commit. It
// has a batch of its own, which becomes one atomic record at commit. Messages
// are routed when they are published, as in RabbitMQ.
type transaction struct {
	batch    *broker.Batch
	size     int64 // of what it holds in memory, about
	counts   fresh // of the channel, when it is committed
	settled  []txSettled
	returned []txReturn // mandatory and unroutable: sent back at commit
}

// txOverhead is what a message of a transaction costs beside its bytes, about.
const txOverhead = 256

// txSettled is deliveries of one ack, nack or reject. Their credit returns at
// commit; at rollback they are unacked again.
type txSettled struct {
	list    []tagged
	verdict verdict
}

type txReturn struct {
	method wire.BasicPublish
	props  amqp.Properties
	body   []byte
	large  *broker.Large // held, where the body is large
}

func (tx *transaction) settle(list []tagged, v verdict) {
	if v == acked {
		tx.counts.acked += uint32(len(list))
	}
	tx.settled = append(tx.settled, txSettled{append([]tagged(nil), list...), v})
}

func (c *conn) txSelect(ch *channel) error {
	if ch.confirm.on {
		return amqp.PreconditionFailed("cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{batch: c.session.NewBatch()}
		ch.tx.batch.Atomic()
		c.show(ch)
	}
	c.reply(ch.id, &wire.TxSelectOk{})
	return nil
}

// txPublish keeps a message for the commit: its bytes are copied, since the read
// buffer moves on.
func (c *conn) txPublish(ch *channel, m *wire.BasicPublish, props amqp.Properties, body []byte, up *broker.Upload) bool {
	c.published = true
	ch.tx.size += int64(len(m.Exchange)+len(m.RoutingKey)+len(props)+len(body)) + txOverhead
	if ch.tx.size > c.opts.MaxTransaction {
		c.failMethod(ch, amqp.PreconditionFailed("transaction is larger than the most that is held before a commit, %d bytes", c.opts.MaxTransaction), wire.IDBasicPublish)
		return false
	}
	all := bytes.Join([][]byte{m.Exchange, m.RoutingKey, props, body}, nil)
	cut := func(n int) []byte {
		part := all[:n:n]
		all = all[n:]
		return part
	}
	kept := txReturn{
		method: wire.BasicPublish{Exchange: cut(len(m.Exchange)), RoutingKey: cut(len(m.RoutingKey))},
		props:  cut(len(props)),
		body:   cut(len(body)),
	}
	p := broker.Publishing{
		Exchange: kept.method.Exchange, RoutingKey: kept.method.RoutingKey,
		Props: kept.props, Body: kept.body, Upload: up, Reply: ch.replyConsumer,
	}
	p.Mandatory = m.Mandatory
	routed, err := ch.tx.batch.Publish(&p)
	if errors.Is(err, broker.ErrNotStored) {
		c.notStored(ch, err)
		return false
	}
	if err != nil {
		c.failMethod(ch, err, wire.IDBasicPublish)
		return false
	}
	ch.tx.counts.publish(routed, m.Mandatory)
	c.show(ch)
	if !routed && m.Mandatory {
		kept.props = p.Props // good until the batch is reset
		if up != nil {
			if kept.large, err = broker.FinishUpload(&p); err != nil {
				c.notStored(ch, err)
				return false
			}
		}
		ch.tx.returned = append(ch.tx.returned, kept)
	}
	return true
}

// txCommit makes all of it happen at once, and answers when it is durable.
func (c *conn) txCommit(ch *channel) error {
	tx := ch.tx
	if tx == nil {
		return amqp.PreconditionFailed("channel is not transactional")
	}
	for _, s := range tx.settled {
		settleIn(tx.batch, s.list, s.verdict)
	}
	lsn, err := tx.batch.Flush(nil, true)
	if err == nil {
		err = c.srv.broker.Wait(lsn)
	}
	switch {
	case errors.Is(err, broker.ErrRefused):
		// Nothing of it has happened; the channel's end undoes the rest.
		return amqp.PreconditionFailed("partial tx completion")
	case err != nil:
		return amqp.InternalError("transaction could not be stored: %v", err)
	}
	ch.fresh.add(&tx.counts)
	for i := range tx.returned {
		r := &tx.returned[i]
		c.sendReturn(ch, &r.method, r.props, r.body, r.large)
	}
	c.reply(ch.id, &wire.TxCommitOk{})
	for _, s := range tx.settled {
		c.credit(ch, s.list)
	}
	c.touchAll()
	tx.settled, tx.size, tx.counts = nil, 0, fresh{}
	tx.dropReturned()
	tx.batch.Atomic()
	c.show(ch)
	c.flush(false)
	return nil
}

func (c *conn) txRollback(ch *channel) error {
	if ch.tx == nil {
		return amqp.PreconditionFailed("channel is not transactional")
	}
	c.undo(ch)
	c.reply(ch.id, &wire.TxRollbackOk{})
	return nil
}

// dropReturned forgets the messages that were to be returned.
func (tx *transaction) dropReturned() {
	for i := range tx.returned {
		if l := tx.returned[i].large; l != nil {
			l.Release()
		}
	}
	tx.returned = nil
}

// undo drops what a transaction gathered: its messages were never there, its
// acks can be sent again.
func (c *conn) undo(ch *channel) {
	tx := ch.tx
	tx.batch.Reset()
	tx.batch.Atomic()
	c.mu.Lock()
	for _, s := range tx.settled {
		for _, t := range s.list {
			ch.unacked.restore(t)
		}
	}
	if !ch.watched {
		c.watch(ch)
	}
	c.mu.Unlock()
	tx.settled, tx.size, tx.counts = nil, 0, fresh{}
	tx.dropReturned()
	c.show(ch)
}
