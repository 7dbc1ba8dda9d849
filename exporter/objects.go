package exporter

import (
	"fmt"

	"github.com/leveret-mq/leveret/broker"
	"github.com/leveret-mq/leveret/broker/stats"
)

// perObject is a metric that has a value for each object of a kind.
type perObject[T any] struct {
	name  string
	kind  kind
	help  string
	value func(o *T) float64
}

// row is an object with the labels of its lines.
type row[T any] struct {
	labels string
	o      T
}

// rows writes a group of metrics, each with a line an object.
func rows[T any](t *text, prefix string, group []perObject[T], list []row[T]) {
	for i := range group {
		m := &group[i]
		t.family(prefix+m.name, m.kind, m.help)
		for j := range list {
			t.sample(list[j].labels, m.value(&list[j].o))
		}
	}
}

func ofQueue[N int | int64 | uint64](get func(q *broker.QueueSample) N) func(q *broker.QueueSample) float64 {
	return func(q *broker.QueueSample) float64 { return float64(get(q)) }
}

// Metrics of queues, by RabbitMQ's groups.
var (
	queueCoarse = []perObject[broker.QueueSample]{
		{"queue_messages_ready", gauge, readyHelp, ofQueue(func(q *broker.QueueSample) int { return q.Ready })},
		{"queue_messages_unacked", gauge, unackedHelp, ofQueue(func(q *broker.QueueSample) int { return q.Unacked })},
		{"queue_messages", gauge, depthHelp, ofQueue(func(q *broker.QueueSample) int { return q.Ready + q.Unacked })},
	}
	queueConsumers = []perObject[broker.QueueSample]{
		{"queue_consumers", gauge, consumersHelp, ofQueue(func(q *broker.QueueSample) int { return q.Consumers })},
	}
	queueDetails = []perObject[broker.QueueSample]{
		{"queue_consumer_capacity", gauge, capacityHelp, func(q *broker.QueueSample) float64 { return max(q.Utilisation, 0) }},
		{"queue_consumer_utilisation", gauge, utilisationHelp, func(q *broker.QueueSample) float64 { return max(q.Utilisation, 0) }},
		{"queue_messages_ram", gauge, ramHelp, ofQueue(func(q *broker.QueueSample) int { return q.Ready + q.Unacked - q.Persistent })},
		{"queue_messages_ram_bytes", gauge, ramBytesHelp, ofQueue(func(q *broker.QueueSample) int64 {
			return q.ReadyBytes + q.UnackedBytes - q.PersistentBytes
		})},
		{"queue_messages_persistent", gauge, persistentHelp, ofQueue(func(q *broker.QueueSample) int { return q.Persistent })},
		{"queue_messages_persistent_bytes", gauge, persistentBytesHelp, ofQueue(func(q *broker.QueueSample) int64 { return q.PersistentBytes })},
		{"queue_messages_bytes", gauge, bytesHelp, ofQueue(func(q *broker.QueueSample) int64 { return q.ReadyBytes + q.UnackedBytes })},
		{"queue_messages_ready_bytes", gauge, readyBytesHelp, ofQueue(func(q *broker.QueueSample) int64 { return q.ReadyBytes })},
		{"queue_messages_unacked_bytes", gauge, unackedBytesHelp, ofQueue(func(q *broker.QueueSample) int64 { return q.UnackedBytes })},
	}
	// queueDelivery has the names of RabbitMQ 4, channelQueue those of 3, which there
	// have a channel as label too.
	queueDelivery = deliveries("queue_messages_", "queue_get_")
	channelQueue  = deliveries("channel_messages_", "channel_get_")
)

// deliveries are what left a queue.
func deliveries(messages, get string) []perObject[broker.QueueSample] {
	count := func(name, help string, value func(c *stats.Counts) uint64) perObject[broker.QueueSample] {
		return perObject[broker.QueueSample]{name, counter, help, func(q *broker.QueueSample) float64 { return float64(value(&q.Counts)) }}
	}
	return []perObject[broker.QueueSample]{
		count(get+"ack_total", getAckHelp, func(c *stats.Counts) uint64 { return c.Get }),
		count(get+"total", getHelp, func(c *stats.Counts) uint64 { return c.GetNoAck }),
		count(messages+"delivered_ack_total", deliveredAckHelp, func(c *stats.Counts) uint64 { return c.Deliver }),
		count(messages+"delivered_total", deliveredHelp, func(c *stats.Counts) uint64 { return c.DeliverNoAck }),
		count(messages+"redelivered_total", redeliveredHelp, func(c *stats.Counts) uint64 { return c.Redeliver }),
		count(messages+"acked_total", ackedHelp, func(c *stats.Counts) uint64 { return c.Ack }),
		count(get+"empty_total", getEmptyHelp, func(c *stats.Counts) uint64 { return c.GetEmpty }),
	}
}

// queuePublished is labelled otherwise than the rest, in RabbitMQ too.
var queuePublished = []perObject[broker.QueueSample]{
	{"queue_messages_published_total", counter, queuePublishedHelp, ofQueue(func(q *broker.QueueSample) uint64 { return q.Counts.Publish })},
}

// Metrics of channels.
var (
	channelState = []perObject[broker.ChannelSample]{
		{"channel_consumers", gauge, channelConsumersHelp, ofChannel(func(c *broker.ChannelSample) int { return c.Consumers })},
		{"channel_messages_unacked", gauge, channelUnackedHelp, ofChannel(func(c *broker.ChannelSample) int { return c.Unacked })},
		{"channel_messages_unconfirmed", gauge, unconfirmedHelp, ofChannel(func(c *broker.ChannelSample) int { return c.Unconfirmed })},
		{"channel_messages_uncommitted", gauge, uncommittedHelp, ofChannel(func(c *broker.ChannelSample) int { return c.Uncommitted })},
		{"channel_acks_uncommitted", gauge, acksUncommittedHelp, ofChannel(func(c *broker.ChannelSample) int { return c.AcksUncommitted })},
		{"consumer_prefetch", gauge, prefetchHelp, ofChannel(func(c *broker.ChannelSample) int { return c.Prefetch })},
		{"channel_prefetch", gauge, globalPrefetchHelp, ofChannel(func(c *broker.ChannelSample) int { return c.GlobalPrefetch })},
	}
	channelPublished = []perObject[broker.ChannelSample]{
		{"channel_messages_published_total", counter, publishedHelp, ofChannel(func(c *broker.ChannelSample) uint64 { return c.Counts.Publish })},
		{"channel_messages_confirmed_total", counter, confirmedHelp, ofChannel(func(c *broker.ChannelSample) uint64 { return c.Counts.Confirm })},
		{"channel_messages_unroutable_returned_total", counter, returnedHelp, ofChannel(func(c *broker.ChannelSample) uint64 { return c.Counts.ReturnUnroutable })},
		{"channel_messages_unroutable_dropped_total", counter, droppedHelp, ofChannel(func(c *broker.ChannelSample) uint64 { return c.Counts.DropUnroutable })},
	}
)

func ofChannel[N int | int64 | uint64](get func(c *broker.ChannelSample) N) func(c *broker.ChannelSample) float64 {
	return func(c *broker.ChannelSample) float64 { return float64(get(c)) }
}

// Metrics of connections.
var (
	connectionBytes = []perObject[broker.ConnectionSample]{
		{"connection_incoming_bytes_total", counter, inBytesHelp, ofConnection(func(c *broker.ConnectionSample) uint64 { return c.Traffic.ReceivedBytes })},
		{"connection_outgoing_bytes_total", counter, outBytesHelp, ofConnection(func(c *broker.ConnectionSample) uint64 { return c.Traffic.SentBytes })},
	}
	connectionDetails = []perObject[broker.ConnectionSample]{
		{"connection_incoming_packets_total", counter, inPacketsHelp, ofConnection(func(c *broker.ConnectionSample) uint64 { return c.Traffic.Received })},
		{"connection_outgoing_packets_total", counter, outPacketsHelp, ofConnection(func(c *broker.ConnectionSample) uint64 { return c.Traffic.Sent })},
		{"connection_pending_packets", gauge, pendingHelp, ofConnection(func(c *broker.ConnectionSample) int { return c.Traffic.Pending })},
		{"connection_channels", gauge, connectionChannelsHelp, ofConnection(func(c *broker.ConnectionSample) int { return c.Channels })},
	}
)

func ofConnection[N int | int64 | uint64](get func(c *broker.ConnectionSample) N) func(c *broker.ConnectionSample) float64 {
	return func(c *broker.ConnectionSample) float64 { return float64(get(c)) }
}

// Metrics of exchanges, with the names of RabbitMQ 4.
var exchangePublished = []perObject[broker.ExchangeSample]{
	{"exchange_messages_published_total", counter, publishedHelp, func(x *broker.ExchangeSample) float64 { return float64(x.Counts.PublishIn) }},
}

// scope are the vhosts whose objects are wanted; nil: all.
type scope map[string]bool

func (s scope) has(vhost string) bool { return s == nil || s[vhost] }

// The lists are taken in one walk each, so that the lines of an object are of one
// moment, and hold what is printed and no more.

func queueRows(src Source, in scope) (list []row[broker.QueueSample]) {
	src.EachQueue(func(q broker.QueueSample) bool {
		if in.has(q.VHost) {
			list = append(list, row[broker.QueueSample]{labels("vhost", q.VHost, "queue", q.Name), q})
		}
		return true
	})
	return list
}

// routed are the queues with the labels of queuePublished.
func routed(queues []row[broker.QueueSample]) []row[broker.QueueSample] {
	list := make([]row[broker.QueueSample], len(queues))
	for i := range queues {
		list[i] = row[broker.QueueSample]{labels("queue_vhost", queues[i].o.VHost, "queue", queues[i].o.Name), queues[i].o}
	}
	return list
}

func channelRows(src Source, in scope) (list []row[broker.ChannelSample]) {
	src.EachChannel(func(c broker.ChannelSample) bool {
		if in.has(c.VHost) {
			list = append(list, row[broker.ChannelSample]{labels("channel", fmt.Sprintf("%s (%d)", c.Connection, c.Number), "vhost", c.VHost), c})
		}
		return true
	})
	return list
}

// connectionRows are the connections. That their label is called channel is RabbitMQ's
// doing.
func connectionRows(src Source, in scope) (list []row[broker.ConnectionSample]) {
	src.EachConnection(func(c broker.ConnectionSample) bool {
		if in.has(c.VHost) {
			list = append(list, row[broker.ConnectionSample]{labels("channel", c.Name), c})
		}
		return true
	})
	return list
}

func exchangeRows(src Source, in scope) (list []row[broker.ExchangeSample]) {
	src.EachExchange(func(x broker.ExchangeSample) bool {
		if in.has(x.VHost) {
			list = append(list, row[broker.ExchangeSample]{labels("vhost", x.VHost, "exchange", x.Name), x})
		}
		return true
	})
	return list
}
