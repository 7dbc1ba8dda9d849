package peers

// row is a line of the table: a figure of Leveret's, and what it must reach.
type row struct {
	title   string
	load    string
	value   func(Sample) float64
	unit    unit
	against *reference // what the ratio is to; nil: the figure itself must reach it
	least   float64    // the ratio, or the figure, must be that at least
	most    float64    // or that at most
}

// reference is what a figure is compared with. What is empty is as in the row.
type reference struct {
	what   string // for people
	broker string
	load   string
	value  func(Sample) float64
}

var (
	ceiling     = &reference{what: "the ceiling", broker: nullSync}
	ceilingFree = &reference{what: "the ceiling without fdatasync", broker: null}
)

var rows = []row{
	{title: "1 publisher, 1 consumer, 100 B, 1,000 outstanding, prefetch 1,000", load: "flow-100", value: consumed, unit: perSecond, against: ceiling, least: 0.5},
	{title: "the same at 1 KiB", load: "flow-1k", value: consumed, unit: perSecond, against: ceiling, least: 0.5},
	{title: "the same at 16 KiB, 100 outstanding", load: "flow-16k", value: consumed, unit: perSecond, against: ceiling, least: 0.5},
	{title: "transient, no confirms, auto-ack, 100 B", load: "transient", value: consumed, unit: perSecond, against: ceilingFree, least: 0.5},
	{title: "1 publisher that waits for each confirm, p50", load: "one", value: confirmP50, unit: millis, against: &reference{what: "one fdatasync and one round trip", value: floor}, most: 1.2},
	{title: "64 publishers on 64 queues, 1 outstanding each", load: "many", value: published, unit: perSecond, against: ceiling, least: 0.7},
	{title: "publish 5,000,000 × 100 B, no consumer", load: "backlog", value: published, unit: perSecond, against: ceiling, least: 0.6},
	{title: "drain these 5,000,000", load: "drain", value: consumed, unit: perSecond, least: 900_000},
	{title: "fan-out of 1 KiB to 10 queues, deliveries", load: "fanout", value: consumed, unit: perSecond, against: &reference{what: "RabbitMQ classic", broker: classic}, least: 8},
	{title: "delivery at 20,000/s, p99", load: "latency", value: deliveryP99, unit: millis, against: &reference{what: "RabbitMQ classic at 2,000/s", broker: classic}, most: 1},
	{title: "delivery at 20,000/s, p99.9", load: "latency", value: deliveryP999, unit: millis, against: &reference{what: "RabbitMQ classic at 2,000/s", broker: classic}, most: 1},
	{title: "topic exchange, 10,000 bindings of which 1 % match", load: "topic", value: published, unit: perSecond, against: &reference{what: "a direct exchange", load: "direct"}, least: 0.6},
	{title: "memory of an idle connection with a channel, of 10,000", load: "connections", value: each, unit: kilobytes, most: 24},
	{title: "memory of a durable queue, of 100,000", load: "declare", value: each, unit: kilobytes, most: 1.5},
	{title: "durable declares, pipelined over 16 connections", load: "declare", value: published, unit: perSecond, least: 20_000},
	{title: "broker's processor time a message, first line", load: "flow-100", value: brokerCPU, unit: micros, most: 1.5},
}

func consumed(s Sample) float64     { return s.Consumed }
func published(s Sample) float64    { return s.Published }
func brokerCPU(s Sample) float64    { return s.BrokerCPU }
func confirmP50(s Sample) float64   { return s.Confirm.P50 }
func deliveryP99(s Sample) float64  { return s.Delivery.P99 }
func deliveryP999(s Sample) float64 { return s.Delivery.P999 }
func each(s Sample) float64         { return s.Each }
func floor(s Sample) float64        { return s.Floor }
func confirmP99(s Sample) float64   { return s.Confirm.P99 }
func clientCPU(s Sample) float64    { return s.ClientCPU }
func peak(s Sample) float64         { return s.Peak }
