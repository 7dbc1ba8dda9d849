package store

import (
	"encoding/binary"

	"github.com/leveret-mq/leveret/internal/record"
)

var le = binary.LittleEndian

// Message is what a producer gave.
type Message = record.Message

// MaxProps bounds Message.Props, in bytes.
const MaxProps = record.MaxProps

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
	// Large is the body where it lies in a file of its own; Body is then nil.
	// It is valid as the slices are, and longer for who retains it.
	Large *Large
	Message
}

// Size is the length of the body in bytes.
func (it *Item) Size() int64 {
	if it.Large != nil {
		return it.Large.size
	}
	return int64(len(it.Body))
}

// parseBlob takes a blob apart; the item points into p.
func (it *Item) parseBlob(p []byte) (err error) {
	it.Time, err = it.Parse(p)
	return err
}
