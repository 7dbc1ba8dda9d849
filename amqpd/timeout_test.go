package amqpd_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leveret-mq/leveret/amqpd"
	"github.com/leveret-mq/leveret/amqpd/wire"
	"github.com/leveret-mq/leveret/internal/amqp"
	"github.com/leveret-mq/leveret/internal/brokertest"
)

func timeoutIn(ms int64) amqp.Table {
	return amqp.NewTable(amqp.Field{Name: "x-consumer-timeout", Value: amqp.Int64(ms)})
}

// timedOut wants a channel's end by a consumer timeout.
func timedOut(t *testing.T, c *brokertest.Client, channel uint16, ms int) {
	t.Helper()
	m := brokertest.Expect[*wire.ChannelClose](c, channel)
	want := fmt.Sprintf("PRECONDITION_FAILED - delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
		"This timeout value can be configured, see consumers doc guide to learn more", channel, ms)
	if m.ReplyCode != 406 || m.ReplyText != want {
		t.Errorf("got %d %q, want %q", m.ReplyCode, m.ReplyText, want)
	}
	c.Send(channel, &wire.ChannelCloseOk{})
}

func TestADeliveryThatIsNotAckedInTimeClosesItsChannel(t *testing.T) {
	for name, test := range map[string]struct {
		server          time.Duration
		queue, consumer int64 // ms
		want            int
	}{
		"the default is half an hour": {0, 0, 0, 30 * 60 * 1000},
		"the server's":                {4 * time.Second, 0, 0, 4000},
		"the queue's":                 {time.Hour, 3000, 0, 3000},
		"the consumer's":              {time.Second, 2000, 7000, 7000},
		"none but the queue's":        {-1, 5000, 0, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, amqpd.Options{ConsumerTimeout: test.server}, func(t *testing.T, b *brokertest.Broker) {
				c := login(t, b, 0)
				c.Open(1)
				c.Open(2)
				q := c.Declare(1, wire.QueueDeclare{Queue: "q", Arguments: timeoutIn(test.queue)}).Queue
				fill(c, 2, q, 3)
				start := time.Now()
				c.Consume(1, wire.BasicConsume{Queue: q, Arguments: timeoutIn(test.consumer)})
				for range 3 {
					brokertest.Expect[*wire.BasicDeliver](c, 1)
				}
				c.Send(1, &wire.BasicAck{DeliveryTag: 2}) // the oldest is what counts
				timedOut(t, c, 1, test.want)
				late := time.Since(start) - time.Duration(test.want)*time.Millisecond
				if late < 0 || late > time.Duration(test.want)*time.Millisecond/32+2*time.Second {
					t.Errorf("closed %v after its time", late)
				}
				// The connection goes on, and the messages are back.
				c.Open(1)
				for _, left := range []uint32{1, 0} {
					c.Send(1, &wire.BasicGet{Queue: q, NoAck: true})
					if m := brokertest.Expect[*wire.BasicGetOk](c, 1); !m.Redelivered || m.MessageCount != left {
						t.Errorf("got %+v", m)
					}
				}
			})
		})
	}
}

func TestAConsumerThatAcksInTimeIsLeftAlone(t *testing.T) {
	bubble(t, amqpd.Options{ConsumerTimeout: 10 * time.Second}, func(t *testing.T, b *brokertest.Broker) {
		c := login(t, b, 0)
		c.Open(1)
		c.Open(2)
		q := c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		c.Send(1, &wire.BasicQos{PrefetchCount: 5})
		brokertest.Expect[*wire.BasicQosOk](c, 1)
		c.Consume(1, wire.BasicConsume{Queue: q})
		fill(c, 2, q, 100)
		// Five are always out, each for eight seconds and a bit.
		for tag := uint64(1); tag <= 95; tag++ {
			brokertest.Expect[*wire.BasicDeliver](c, 1)
			if tag >= 5 {
				time.Sleep(1700 * time.Millisecond)
				c.Send(1, &wire.BasicAck{DeliveryTag: tag - 4})
			}
		}
		synctest.Wait()
		c.Send(1, &wire.BasicAck{Multiple: true})
		c.Send(1, &wire.BasicQos{})
		for range 5 {
			brokertest.Expect[*wire.BasicDeliver](c, 1)
		}
		brokertest.Expect[*wire.BasicQosOk](c, 1)
	})
}

func TestGetsAndRollbacksTimeOutTooAndNoAckDoesNot(t *testing.T) {
	bubble(t, amqpd.Options{ConsumerTimeout: 3 * time.Second}, func(t *testing.T, b *brokertest.Broker) {
		c := login(t, b, 0)
		for ch := uint16(1); ch <= 4; ch++ {
			c.Open(ch)
		}
		q := c.Declare(1, wire.QueueDeclare{Queue: "q"}).Queue
		fill(c, 4, q, 3)
		c.Send(3, &wire.BasicGet{Queue: q, NoAck: true})
		brokertest.Expect[*wire.BasicGetOk](c, 3)
		c.Send(1, &wire.BasicGet{Queue: q})
		brokertest.Expect[*wire.BasicGetOk](c, 1)
		timedOut(t, c, 1, 3000)

		c.Send(2, &wire.TxSelect{})
		brokertest.Expect[*wire.TxSelectOk](c, 2)
		c.Send(2, &wire.BasicGet{Queue: q})
		brokertest.Expect[*wire.BasicGetOk](c, 2)
		c.Send(2, &wire.BasicAck{DeliveryTag: 1})
		time.Sleep(10 * time.Second) // acked, as far as the channel knows
		c.Send(2, &wire.TxRollback{})
		brokertest.Expect[*wire.TxRollbackOk](c, 2)
		timedOut(t, c, 2, 3000)

		c.Send(3, &wire.BasicQos{})
		brokertest.Expect[*wire.BasicQosOk](c, 3)
	})
}
