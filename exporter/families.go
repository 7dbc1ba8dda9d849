package exporter

import (
	"math"

	"github.com/leveret-mq/leveret/broker/stats"
)

// single is a metric that has one value for the whole broker.
type single struct {
	name  string // without the prefix
	kind  kind
	help  string
	value func(v *view) float64
}

// of makes a value from a count.
func of[N int | int64 | uint64](get func(v *view) N) func(v *view) float64 {
	return func(v *view) float64 { return float64(get(v)) }
}

// What RabbitMQ tells by group: the names that /metrics/detailed takes as family.
var singles = map[string][]single{
	"connection_churn_metrics": {
		{"connections_opened_total", counter, "Connections that were opened.", of(func(v *view) uint64 { return v.churn.ConnectionCreated })},
		{"connections_closed_total", counter, "Connections that were closed or broke.", of(func(v *view) uint64 { return v.churn.ConnectionClosed })},
		{"channels_opened_total", counter, "Channels that were opened.", of(func(v *view) uint64 { return v.churn.ChannelCreated })},
		{"channels_closed_total", counter, "Channels that were closed.", of(func(v *view) uint64 { return v.churn.ChannelClosed })},
		{"queues_declared_total", counter, "Declarations of queues, of those that were there too.", of(func(v *view) uint64 { return v.churn.QueueDeclared })},
		{"queues_created_total", counter, "Queues that were created.", of(func(v *view) uint64 { return v.churn.QueueCreated })},
		{"queues_deleted_total", counter, "Queues that were deleted.", of(func(v *view) uint64 { return v.churn.QueueDeleted })},
	},
	"node_coarse_metrics": {
		{"process_open_fds", gauge, "Open file descriptors.", of(func(v *view) int { return v.node.FDs })},
		{"process_open_tcp_sockets", gauge, "Open connections of clients.", of(func(v *view) int { return v.node.Sockets })},
		{"process_resident_memory_bytes", gauge, "Memory in use, as the memory alarm sees it.", of(func(v *view) int64 { return v.resources.MemoryUsed })},
		{"disk_space_available_bytes", gauge, "Free disk space where the data is.", diskFree},
		{"erlang_processes_used", gauge, "Goroutines.", of(func(v *view) int { return v.node.Goroutines })},
		{"erlang_gc_runs_total", counter, "Garbage collections.", of(func(v *view) uint64 { return v.node.Collections })},
		{"erlang_gc_reclaimed_bytes_total", counter, "Memory that garbage collections have freed.", of(func(v *view) uint64 { return v.node.CollectedBytes })},
		{"erlang_scheduler_context_switches_total", counter, "Context switches of the process.", of(func(v *view) uint64 { return v.node.ContextSwitches })},
	},
	"node_metrics": {
		{"process_max_fds", gauge, "File descriptors that the process may have open.", of(func(v *view) int { return v.node.FDLimit })},
		{"process_max_tcp_sockets", gauge, "Connections that clients may have open.", of(func(v *view) int { return v.node.SocketLimit })},
		{"resident_memory_limit_bytes", gauge, "Memory in use at which publishers are held up.", of(func(v *view) int64 { return v.resources.MemoryLimit })},
		{"disk_space_available_limit_bytes", gauge, "Free disk space below which publishers are held up.", of(func(v *view) int64 { return v.resources.DiskLimit })},
		{"erlang_scheduler_run_queue", gauge, "Goroutines that wait for a processor.", func(*view) float64 { return runnable() }},
		{"erlang_uptime_seconds", gauge, "Time since the broker began to start.", func(v *view) float64 { return v.uptime.Seconds() }},
	},
	"node_persister_metrics": {
		{"io_read_ops_total", counter, "Reads of the log's files and of segments.", of(func(v *view) int64 { return v.storage.DiskReads().Count })},
		{"io_read_bytes_total", counter, "Bytes of these reads.", of(func(v *view) int64 { return v.storage.DiskReads().Bytes })},
		{"io_write_ops_total", counter, "Writes to the log.", of(func(v *view) uint64 { return v.storage.WAL.Write.Count })},
		{"io_write_bytes_total", counter, "Bytes written to files.", of(func(v *view) int64 { return v.storage.Written.Total() })},
		{"io_sync_ops_total", counter, "Syncs of the log.", of(func(v *view) uint64 { return v.storage.WAL.Sync.Count })},
		{"io_write_time_seconds_total", counter, "Time that writes to the log took.", func(v *view) float64 { return float64(v.storage.WAL.Write.Sum) / 1e6 }},
		{"io_sync_time_seconds_total", counter, "Time that syncs of the log took.", func(v *view) float64 { return float64(v.storage.WAL.Sync.Sum) / 1e6 }},
	},
}

// diskFree is no number where it is not known: 0 would wake somebody.
func diskFree(v *view) float64 {
	if v.resources.DiskFree < 0 {
		return math.NaN()
	}
	return float64(v.resources.DiskFree)
}

// shown are the groups of singles in the order of an answer.
var shown = []string{"connection_churn_metrics", "node_coarse_metrics", "node_metrics", "node_persister_metrics"}

// present are the objects there are. They are on /metrics and /metrics/per-object.
var present = []single{
	{"connections", gauge, "Connections that are open.", of(func(v *view) int { return v.totals.Connections })},
	{"channels", gauge, "Channels that are open.", of(func(v *view) int { return v.totals.Channels })},
	{"consumers", gauge, "Consumers that there are.", of(func(v *view) int { return v.totals.Consumers })},
	{"queues", gauge, "Queues that there are.", of(func(v *view) int { return v.totals.Queues })},
}

// sums are the sums over all objects of what /metrics/per-object tells of each.
var sums = []single{
	{"queue_messages_ready", gauge, readyHelp, of(func(v *view) int64 { return v.totals.Ready })},
	{"queue_messages_unacked", gauge, unackedHelp, of(func(v *view) int64 { return v.totals.Unacked })},
	{"queue_messages", gauge, depthHelp, of(func(v *view) int64 { return v.totals.Ready + v.totals.Unacked })},
	{"queue_consumers", gauge, consumersHelp, of(func(v *view) int { return v.totals.Consumers })},
	{"queue_consumer_capacity", gauge, capacityHelp, func(v *view) float64 { return v.totals.Capacity }},
	{"queue_consumer_utilisation", gauge, utilisationHelp, func(v *view) float64 { return v.totals.Capacity }},
	{"queue_messages_ram", gauge, ramHelp, of(func(v *view) int64 { return v.totals.Ready + v.totals.Unacked - v.totals.Persistent })},
	{"queue_messages_ram_bytes", gauge, ramBytesHelp, of(func(v *view) int64 {
		return v.totals.ReadyBytes + v.totals.UnackedBytes - v.totals.PersistentBytes
	})},
	{"queue_messages_persistent", gauge, persistentHelp, of(func(v *view) int64 { return v.totals.Persistent })},
	{"queue_messages_persistent_bytes", gauge, persistentBytesHelp, of(func(v *view) int64 { return v.totals.PersistentBytes })},
	{"queue_messages_bytes", gauge, bytesHelp, of(func(v *view) int64 { return v.totals.ReadyBytes + v.totals.UnackedBytes })},
	{"queue_messages_ready_bytes", gauge, readyBytesHelp, of(func(v *view) int64 { return v.totals.ReadyBytes })},
	{"queue_messages_unacked_bytes", gauge, unackedBytesHelp, of(func(v *view) int64 { return v.totals.UnackedBytes })},

	{"channel_consumers", gauge, channelConsumersHelp, of(func(v *view) int { return v.totals.Consumers })},
	{"channel_messages_unacked", gauge, channelUnackedHelp, of(func(v *view) int64 { return v.totals.ChannelUnacked })},
	{"channel_messages_unconfirmed", gauge, unconfirmedHelp, of(func(v *view) int64 { return v.totals.Unconfirmed })},
	{"channel_messages_uncommitted", gauge, uncommittedHelp, of(func(v *view) int64 { return v.totals.Uncommitted })},
	{"channel_acks_uncommitted", gauge, acksUncommittedHelp, of(func(v *view) int64 { return v.totals.AcksUncommitted })},
	{"consumer_prefetch", gauge, prefetchHelp, of(func(v *view) int64 { return v.totals.Prefetch })},
	{"channel_prefetch", gauge, globalPrefetchHelp, of(func(v *view) int64 { return v.totals.GlobalPrefetch })},

	{"channel_messages_published_total", counter, publishedHelp, counted(func(c *stats.Counts) uint64 { return c.Publish })},
	{"channel_messages_confirmed_total", counter, confirmedHelp, counted(func(c *stats.Counts) uint64 { return c.Confirm })},
	{"channel_messages_unroutable_returned_total", counter, returnedHelp, counted(func(c *stats.Counts) uint64 { return c.ReturnUnroutable })},
	{"channel_messages_unroutable_dropped_total", counter, droppedHelp, counted(func(c *stats.Counts) uint64 { return c.DropUnroutable })},
	{"channel_get_ack_total", counter, getAckHelp, counted(func(c *stats.Counts) uint64 { return c.Get })},
	{"channel_get_total", counter, getHelp, counted(func(c *stats.Counts) uint64 { return c.GetNoAck })},
	{"channel_messages_delivered_ack_total", counter, deliveredAckHelp, counted(func(c *stats.Counts) uint64 { return c.Deliver })},
	{"channel_messages_delivered_total", counter, deliveredHelp, counted(func(c *stats.Counts) uint64 { return c.DeliverNoAck })},
	{"channel_messages_redelivered_total", counter, redeliveredHelp, counted(func(c *stats.Counts) uint64 { return c.Redeliver })},
	{"channel_messages_acked_total", counter, ackedHelp, counted(func(c *stats.Counts) uint64 { return c.Ack })},
	{"channel_get_empty_total", counter, getEmptyHelp, counted(func(c *stats.Counts) uint64 { return c.GetEmpty })},

	{"connection_incoming_bytes_total", counter, inBytesHelp, of(func(v *view) uint64 { return v.totals.ReceivedBytes })},
	{"connection_outgoing_bytes_total", counter, outBytesHelp, of(func(v *view) uint64 { return v.totals.SentBytes })},
	{"connection_channels", gauge, connectionChannelsHelp, of(func(v *view) int { return v.totals.Channels })},

	{"queue_messages_published_total", counter, queuePublishedHelp, counted(func(c *stats.Counts) uint64 { return c.PublishOut })},
}

// counted makes a value from the messages of the whole broker.
func counted(get func(c *stats.Counts) uint64) func(v *view) float64 {
	return func(v *view) float64 { return float64(get(&v.counts)) }
}

// alarms are on /metrics alone.
var alarms = []single{
	{"alarms_file_descriptor_limit", untyped, "1 while the alarm of file descriptors is in effect: there is none, connections are refused instead.", func(*view) float64 { return 0 }},
	{"alarms_free_disk_space_watermark", untyped, "1 while publishers are held up for want of disk space.", func(v *view) float64 { return truth(v.resources.DiskAlarm) }},
	{"alarms_memory_used_watermark", untyped, "1 while publishers are held up for want of memory.", func(v *view) float64 { return truth(v.resources.MemoryAlarm) }},
}

// write writes metrics with one value each.
func write(t *text, prefix string, list []single, v *view) {
	for i := range list {
		s := &list[i]
		t.family(prefix+s.name, s.kind, s.help)
		t.sample("", s.value(v))
	}
}
