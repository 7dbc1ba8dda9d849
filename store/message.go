package store

// Message is what a producer gave. All of it is opaque to the store but for
// Persistent.
type Message struct {
	Exchange   []byte // at most 255 bytes
	RoutingKey []byte // at most 255 bytes
	Props      []byte // at most MaxProps bytes
	Body       []byte
	// Persistent: the message survives a restart in its durable queues.
	Persistent bool
}

// MaxProps bounds Message.Props, in bytes.
const MaxProps = 16<<20 - 1024

// Item is a message that was claimed.
type Item struct {
	// Seq is the message's number in its queue: ascending in the order of
	// publication, never used twice.
	Seq uint64
	// Redelivered: the message was delivered before, or may have been before
	// a restart.
	Redelivered bool
	// Count is how often the message was requeued.
	Count uint32
	// Time is when the message was published, in ms since 1970.
	Time int64
	Message
}
