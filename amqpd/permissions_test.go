package amqpd_test

import (
	"testing"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

// A user whose patterns permit nothing may do what is of the connection and the channel
// alone, and what ends a delivery that it was given while it might read.
func TestSomeMethodsNeedNoPermission(t *testing.T) {
	b := brokertest.Start(t, brokertest.Options{})
	addUser(t, b.Broker, "u")
	c := loginAs(t, b, "u")
	c.Declare(1, wire.QueueDeclare{Queue: "q"})
	for range 4 {
		c.Publish(1, "", "q", amqp.NoProperties, "m")
	}
	tag := c.Consume(1, wire.BasicConsume{Queue: "q"})
	var deliveries []uint64
	for range 4 {
		deliveries = append(deliveries, brokertest.Expect[*wire.BasicDeliver](c, 1).DeliveryTag)
	}
	if _, err := b.SetPermissions(access.Permissions{User: "u", VHost: "/"}); err != nil {
		t.Fatal(err)
	}
	c.Send(1, &wire.BasicAck{DeliveryTag: deliveries[0]}, &wire.BasicNack{DeliveryTag: deliveries[1]}, &wire.BasicReject{DeliveryTag: deliveries[2]})
	c.Send(1, &wire.BasicCancel{ConsumerTag: tag})
	brokertest.Expect[*wire.BasicCancelOk](c, 1)
	c.Send(1, &wire.BasicRecover{Requeue: true})
	brokertest.Expect[*wire.BasicRecoverOk](c, 1)
	c.Send(1, &wire.BasicRecoverAsync{Requeue: true}, &wire.BasicQos{PrefetchCount: 1})
	brokertest.Expect[*wire.BasicQosOk](c, 1)
	c.Send(1, &wire.ChannelFlow{Active: true})
	brokertest.Expect[*wire.ChannelFlowOk](c, 1)
	c.Send(1, &wire.TxSelect{})
	brokertest.Expect[*wire.TxSelectOk](c, 1)
	c.Send(1, &wire.TxCommit{})
	brokertest.Expect[*wire.TxCommitOk](c, 1)
	c.Send(1, &wire.TxRollback{})
	brokertest.Expect[*wire.TxRollbackOk](c, 1)
	c.Open(2)
	c.Confirm(2)
	c.Send(2, &wire.ChannelClose{})
	brokertest.Expect[*wire.ChannelCloseOk](c, 2)
	c.Send(1, &wire.BasicGet{Queue: "q"})
	c.ExpectChannelClose(1, 403)
}
