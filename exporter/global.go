package exporter

import (
	"strconv"

	"github.com/leveret-mq/leveret/broker/stats"
)

// The labels of rabbitmq_global_…: all messages of clients count as AMQP's, as
// RabbitMQ counts those of its management API too.
var (
	amqpLabel  = labels("protocol", "amqp091")
	typeLabels = [stats.QueueTypes]string{
		stats.Classic: labels("protocol", "amqp091", "queue_type", "rabbit_classic_queue"),
		stats.Quorum:  labels("protocol", "amqp091", "queue_type", "rabbit_quorum_queue"),
	}
	deadLabels = [stats.QueueTypes][stats.Strategies]string{
		stats.Classic: {stats.AtMostOnce: labels("queue_type", "rabbit_classic_queue", "dead_letter_strategy", "at_most_once")},
		stats.Quorum: {
			stats.AtMostOnce:  labels("queue_type", "rabbit_quorum_queue", "dead_letter_strategy", "at_most_once"),
			stats.AtLeastOnce: labels("queue_type", "rabbit_quorum_queue", "dead_letter_strategy", "at_least_once"),
		},
	}
)

// perProtocol are global metrics with the protocol as label.
var perProtocol = []single{
	{"consumers", gauge, "Consumers that there are.", of(func(v *view) int { return v.totals.Consumers })},
	{"publishers", gauge, "Channels that have published.", of(func(v *view) int { return v.totals.Publishers })},
	{"messages_received_total", counter, publishedHelp, counted(func(c *stats.Counts) uint64 { return c.Publish })},
	{"messages_received_confirm_total", counter, "Messages that clients published on channels with confirms.", of(func(v *view) uint64 { return v.global.ReceivedConfirm })},
	{"messages_confirmed_total", counter, confirmedHelp, counted(func(c *stats.Counts) uint64 { return c.Confirm })},
	{"messages_routed_total", counter, queuePublishedHelp, counted(func(c *stats.Counts) uint64 { return c.PublishOut })},
	{"messages_unroutable_dropped_total", counter, droppedHelp, counted(func(c *stats.Counts) uint64 { return c.DropUnroutable })},
	{"messages_unroutable_returned_total", counter, returnedHelp, counted(func(c *stats.Counts) uint64 { return c.ReturnUnroutable })},
}

// perType are global metrics with the protocol and the queue's type as labels.
var perType = []struct {
	name, help string
	value      func(c *stats.Counts) uint64
}{
	{"messages_delivered_total", "Messages delivered or fetched.", func(c *stats.Counts) uint64 { return c.DeliverGet() }},
	{"messages_delivered_consume_manual_ack_total", deliveredAckHelp, func(c *stats.Counts) uint64 { return c.Deliver }},
	{"messages_delivered_consume_auto_ack_total", deliveredHelp, func(c *stats.Counts) uint64 { return c.DeliverNoAck }},
	{"messages_delivered_get_manual_ack_total", getAckHelp, func(c *stats.Counts) uint64 { return c.Get }},
	{"messages_delivered_get_auto_ack_total", getHelp, func(c *stats.Counts) uint64 { return c.GetNoAck }},
	{"messages_get_empty_total", getEmptyHelp, func(c *stats.Counts) uint64 { return c.GetEmpty }},
	{"messages_redelivered_total", redeliveredHelp, func(c *stats.Counts) uint64 { return c.Redeliver }},
	{"messages_acknowledged_total", ackedHelp, func(c *stats.Counts) uint64 { return c.Ack }},
}

// deaths are why a message becomes a dead letter. Which of them a queue knows depends
// on its type and strategy, as in RabbitMQ.
var deaths = []struct {
	name, help string
	why        stats.DeathReason
}{
	{"expired", "Messages that were dead-lettered because their time to live had passed.", stats.Expired},
	{"rejected", "Messages that were dead-lettered because a consumer refused them.", stats.Rejected},
	{"maxlen", "Messages that were dead-lettered because they were too much for their queue.", stats.MaxLength},
	{"delivery_limit", "Messages that were dead-lettered because they had come back too often.", stats.DeliveryLimit},
}

func dies(t stats.QueueType, s stats.Strategy, why stats.DeathReason) bool {
	switch why {
	case stats.MaxLength:
		return s == stats.AtMostOnce // at least once goes with refusing publishes
	case stats.DeliveryLimit:
		return t == stats.Quorum
	}
	return true
}

// global writes rabbitmq_global_…, which newer dashboards are made of.
func global(t *text, v *view) {
	const prefix = plain + "global_"
	for i := range perProtocol {
		m := &perProtocol[i]
		t.family(prefix+m.name, m.kind, m.help)
		t.sample(amqpLabel, m.value(v))
	}
	for i := range perType {
		m := &perType[i]
		t.family(prefix+m.name, counter, m.help)
		for kind, labels := range typeLabels {
			t.sample(labels, float64(m.value(&v.byType[kind])))
		}
	}
	for _, d := range deaths {
		t.family(prefix+"messages_dead_lettered_"+d.name+"_total", counter, d.help)
		for kind := range deadLabels {
			for strategy, labels := range deadLabels[kind] {
				if labels != "" && dies(stats.QueueType(kind), stats.Strategy(strategy), d.why) {
					t.sample(labels, float64(v.global.DeadLettered[kind][strategy][d.why]))
				}
			}
		}
	}
	t.family(prefix+"messages_dead_lettered_confirmed_total", counter, "Messages that were dead-lettered at least once and have arrived.")
	var arrived uint64
	for _, n := range v.global.DeadLettered[stats.Quorum][stats.AtLeastOnce] {
		arrived += n
	}
	t.sample(deadLabels[stats.Quorum][stats.AtLeastOnce], float64(arrived))

	t.family(plain+"message_size_bytes", histogram, "Size of the bodies of messages that clients published.")
	var below uint64
	for i, n := range v.global.Sizes.Count {
		below += n
		bound := "+Inf"
		if i < len(stats.SizeBounds) {
			bound = strconv.Itoa(stats.SizeBounds[i])
		}
		t.part("_bucket", labels("protocol", "amqp091", "le", bound), float64(below))
	}
	t.part("_sum", amqpLabel, float64(v.global.Sizes.Bytes))
	t.part("_count", amqpLabel, float64(below))
}

// logins writes how often users have tried to come in.
func logins(t *text, prefix string, src Source) {
	list := src.Logins()
	t.family(prefix+"auth_attempts_total", counter, "Logins that were tried.")
	for _, l := range list {
		t.sample(labels("protocol", l.Protocol), float64(l.Attempts))
	}
	t.family(prefix+"auth_attempts_succeeded_total", counter, "Logins that succeeded.")
	for _, l := range list {
		t.sample(labels("protocol", l.Protocol), float64(l.Attempts-l.Failed))
	}
	t.family(prefix+"auth_attempts_failed_total", counter, "Logins that were refused.")
	for _, l := range list {
		t.sample(labels("protocol", l.Protocol), float64(l.Failed))
	}
}
