package index

// Entry says where one message of a queue is. It holds no pointer, so that a
// long queue costs the garbage collector nothing.
type Entry struct {
	// Addr is the caller's address of the message; the index never looks at it.
	// An entry with Sealed has none: outside the queue it is the segment.
	Addr uint64
	// Len is the length in bytes of what stands at Addr: headers and body.
	Len uint32
	// Flags are the flags below in the low eight bits and, above them, how
	// many bytes of Len are not body.
	Flags uint32
}

// Flags of an entry. A caller sets Logged and Marked, the queue the rest.
const (
	// Logged: the message survives a restart, so checkpoints carry the entry.
	Logged = 1 << iota
	// Marked: the record that brought the message says already that it may
	// have been delivered.
	Marked
	// Delivered: the message was claimed and not unclaimed, in this life of
	// the process or, as far as the log can tell, in an earlier one.
	Delivered
	// Sealed: the message is in a segment, as the run says that covers it.
	Sealed

	claimed  // out for delivery, not acked yet
	requeued // ready, and to be found in the heap of requeued ones
	counted  // the queue's counts has a delivery count
	present  // distinguishes an entry from an empty slot

	// aside: unreadable, neither ready nor claimed. It shares the bits of two
	// states that exclude each other.
	aside = claimed | requeued

	flagBits = 8
	flagMask = 1<<flagBits - 1
)

// MaxOverhead is how many bytes of an entry may not be body.
const MaxOverhead = 1<<(32-flagBits) - 1

// MakeEntry returns an entry for length bytes at addr, the last body bytes of
// which are the message's body. length − body must not pass MaxOverhead.
func MakeEntry(addr uint64, length, body uint32, flags uint32) Entry {
	return Entry{Addr: addr, Len: length, Flags: (length-body)<<flagBits | flags&(Logged|Marked)}
}

// Body is the number of body bytes.
func (e Entry) Body() int64 { return int64(e.Len) - int64(e.Flags>>flagBits) }

// Logged tells whether the message survives a restart.
func (e Entry) Logged() bool { return e.Flags&Logged != 0 }

// Marked tells whether the message's own record counts it as delivered.
func (e Entry) Marked() bool { return e.Flags&Marked != 0 }

// Sealed tells whether the message is in a segment.
func (e Entry) Sealed() bool { return e.Flags&Sealed != 0 }

// state is what the message is at: 0 (ready, at the cursor or behind it),
// claimed, requeued or aside.
func (e *Entry) state() uint32 { return e.Flags & aside }

// ready tells whether the message can be claimed.
func (e *Entry) ready() bool { s := e.state(); return s == 0 || s == requeued }

func (e *Entry) setState(state uint32) { e.Flags = e.Flags&^aside | state }

// Claimed tells whether the message is out, to be acked or given back.
func (e *Entry) Claimed() bool { return e.state() == claimed }
