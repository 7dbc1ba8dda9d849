package monitor

// Field is a figure of which samples are kept. Its text is RabbitMQ's key in
// message_stats and the like, where there is one.
type Field uint8

// The figures. Which of them an object has is its Kind's matter.
const (
	// Messages, counted: see stats.Counts.
	Publish Field = iota
	Confirm
	ReturnUnroutable
	DropUnroutable
	PublishIn
	PublishOut
	Deliver
	DeliverNoAck
	Get
	GetNoAck
	GetEmpty
	Redeliver
	Ack
	// Messages that are there.
	Ready
	Unacked
	// Sockets' traffic in bytes, counted.
	ReceivedBytes
	SentBytes
	// What came and went, counted: see stats.Churn.
	ConnectionCreated
	ConnectionClosed
	ChannelCreated
	ChannelClosed
	QueueDeclared
	QueueCreated
	QueueDeleted
	// Messages read from disk for delivery, and written to it, counted.
	DiskReads
	DiskWrites
	// The process: what it has of each now.
	MemoryUsed
	FilesUsed
	SocketsUsed
	Goroutines
	DiskFree
	// Garbage collection and threads, counted.
	Collections
	CollectedBytes
	ContextSwitches
	// The log's I/O, counted; times are of the last interval, in milliseconds.
	ReadCount
	ReadBytes
	WriteCount
	WriteBytes
	WriteTime
	SyncCount
	SyncTime
	SyncP50
	SyncP99
	GroupMean
	// Sizes of the engine's tiers in bytes.
	LogBytes
	SegmentBytes
	LargeBytes
	TransientBytes
	LiveBytes

	columns // how many there are that are kept

	// Sums of others.
	DeliverGet Field = 100 + iota
	Messages
)

var names = map[Field]string{
	Publish: "publish", Confirm: "confirm", ReturnUnroutable: "return_unroutable", DropUnroutable: "drop_unroutable",
	PublishIn: "publish_in", PublishOut: "publish_out",
	Deliver: "deliver", DeliverNoAck: "deliver_no_ack", Get: "get", GetNoAck: "get_no_ack", GetEmpty: "get_empty",
	Redeliver: "redeliver", Ack: "ack", DeliverGet: "deliver_get",
	Ready: "messages_ready", Unacked: "messages_unacknowledged", Messages: "messages",
	ReceivedBytes: "recv_oct", SentBytes: "send_oct",
	ConnectionCreated: "connection_created", ConnectionClosed: "connection_closed",
	ChannelCreated: "channel_created", ChannelClosed: "channel_closed",
	QueueDeclared: "queue_declared", QueueCreated: "queue_created", QueueDeleted: "queue_deleted",
	DiskReads: "disk_reads", DiskWrites: "disk_writes",
	MemoryUsed: "mem_used", FilesUsed: "fd_used", SocketsUsed: "sockets_used", Goroutines: "proc_used", DiskFree: "disk_free",
	Collections: "gc_num", CollectedBytes: "gc_bytes_reclaimed", ContextSwitches: "context_switches",
	ReadCount: "io_read_count", ReadBytes: "io_read_bytes", WriteCount: "io_write_count", WriteBytes: "io_write_bytes", WriteTime: "io_write_avg_time",
	SyncCount: "io_sync_count", SyncTime: "io_sync_avg_time", SyncP50: "fsync_p50_ms", SyncP99: "fsync_p99_ms", GroupMean: "group_mean",
	LogBytes: "log_bytes", SegmentBytes: "segment_bytes", LargeBytes: "large_bytes", TransientBytes: "transient_bytes", LiveBytes: "live_bytes",
}

func (f Field) String() string { return names[f] }

// parts are the figures that are kept of which one is the sum.
func (f Field) parts() []Field {
	switch f {
	case DeliverGet:
		return deliverGet
	case Messages:
		return messages
	}
	return one[f : f+1]
}

var (
	deliverGet = []Field{Deliver, DeliverNoAck, Get, GetNoAck}
	messages   = []Field{Ready, Unacked}
	one        = func() (all [columns]Field) {
		for i := range all {
			all[i] = Field(i)
		}
		return all
	}()
)

// Kind is a kind of object.
type Kind uint8

// The kinds of objects.
const (
	Broker     Kind = iota // the whole of it
	Node                   // its process, its machine, its files
	VHost                  // Object.Name
	Queue                  // Object.ID, as of the kinds below
	Exchange               //
	Channel                //
	Connection             //
	kinds
)

// Object is what figures are of.
type Object struct {
	Kind Kind
	ID   uint64 // as the broker's listings have it
	Name string
}

// kept says which figures a kind's samples have.
var kept = [kinds][]Field{
	Broker: {
		Publish, Confirm, ReturnUnroutable, DropUnroutable, Deliver, DeliverNoAck, Get, GetNoAck, GetEmpty, Redeliver, Ack,
		Ready, Unacked, ReceivedBytes, SentBytes,
		ConnectionCreated, ConnectionClosed, ChannelCreated, ChannelClosed, QueueDeclared, QueueCreated, QueueDeleted,
		DiskReads, DiskWrites,
	},
	Node: {
		MemoryUsed, FilesUsed, SocketsUsed, Goroutines, DiskFree, Collections, CollectedBytes, ContextSwitches,
		ReadCount, ReadBytes, WriteCount, WriteBytes, WriteTime, SyncCount, SyncTime, SyncP50, SyncP99, GroupMean,
		LogBytes, SegmentBytes, LargeBytes, TransientBytes, LiveBytes,
	},
	VHost: {
		Publish, Confirm, ReturnUnroutable, DropUnroutable, Deliver, DeliverNoAck, Get, GetNoAck, GetEmpty, Redeliver, Ack,
		Ready, Unacked, ReceivedBytes, SentBytes,
	},
	Queue:      {Publish, Deliver, DeliverNoAck, Get, GetNoAck, GetEmpty, Redeliver, Ack, Ready, Unacked},
	Exchange:   {PublishIn, PublishOut},
	Channel:    {Publish, Confirm, ReturnUnroutable, DropUnroutable, Deliver, DeliverNoAck, Get, GetNoAck, GetEmpty, Redeliver, Ack},
	Connection: {ReceivedBytes, SentBytes},
}

// Fields are the figures that an object of the kind has samples of.
func (k Kind) Fields() []Field { return kept[k] }

// place is where a figure stands in a kind's samples, -1 where it does not.
var place = func() (p [kinds][columns]int8) {
	for k := range p {
		for f := range p[k] {
			p[k][f] = -1
		}
		for i, f := range kept[k] {
			p[k][f] = int8(i)
		}
	}
	return p
}()

// maxFields is the most figures that a kind has.
const maxFields = 24

// sample is an object's figures at one moment, in its kind's order.
type sample [maxFields]float64
