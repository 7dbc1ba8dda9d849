package index

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A queue in a checkpoint is a state block and any number of entry blocks
// behind it. doc.go has the tables.

// maxSpan bounds how far apart a queue's floor and its next number may be: a
// damaged file must not make the bitmap eat the memory.
const maxSpan = 1 << 38

// The tag that begins an entry.
const (
	tagGap       = 1 << iota // numbers are missing before it: how many
	tagAddr                  // its distance from the one before changed: zigzag
	tagLen                   // its length changed
	tagOverhead              // its overhead changed
	tagDelivered             // it may have been delivered
	tagCount                 // it has a delivery count
	tagKnown     = 1<<iota - 1
)

// AppendState appends the block that begins a queue. With exact it is the
// truth and not what the log promised: for a shutdown in good order, after
// which no record is replayed that was written before.
func (q *Queue) AppendState(dst []byte, id uint32, exact bool) []byte {
	mark := q.mark
	if exact {
		mark = q.past
	}
	dst = binary.AppendUvarint(dst, uint64(id))
	dst = binary.AppendUvarint(dst, q.floor)
	dst = binary.AppendUvarint(dst, q.next-q.floor)
	return binary.AppendUvarint(dst, mark)
}

// AppendEntries appends a block with the logged messages from number from on,
// below end, until limit entries were looked at. It returns where the next
// block begins: end when all is done. Between two calls the queue may change;
// what left it is missing from the blocks, or is acked by the log that follows.
func (q *Queue) AppendEntries(dst []byte, from, end uint64, limit int, exact bool) ([]byte, uint64) {
	end = min(end, q.next)
	enc := entryEncoder{at: from}
	first := true
	for seq, e := q.pages.next(from, end); e != nil; seq, e = q.pages.next(seq+1, end) {
		if limit == 0 {
			return dst, seq
		}
		limit--
		if e.Flags&Logged == 0 {
			continue
		}
		if first {
			dst = binary.AppendUvarint(dst, from)
			first = false
		}
		delivered := e.Flags&Delivered != 0 || !exact && e.Flags&Marked != 0
		var count uint32
		if e.Flags&counted != 0 {
			count = q.counts[seq]
		}
		dst = enc.append(dst, seq, e, delivered, count)
	}
	return dst, end
}

// entryEncoder holds what the next entry is the difference to.
type entryEncoder struct {
	at       uint64 // the number that follows if none is missing
	addr     uint64 // where the message before ends
	gap      uint64 // between the two messages before
	length   uint32
	overhead uint32
}

func (c *entryEncoder) append(dst []byte, seq uint64, e *Entry, delivered bool, count uint32) []byte {
	tag, at := byte(0), len(dst)
	dst = append(dst, 0)
	if seq != c.at {
		tag |= tagGap
		dst = binary.AppendUvarint(dst, seq-c.at)
	}
	if gap := e.Addr - c.addr; gap != c.gap {
		tag |= tagAddr
		dst = binary.AppendVarint(dst, int64(gap))
		c.gap = gap
	}
	if e.Len != c.length {
		tag |= tagLen
		dst = binary.AppendUvarint(dst, uint64(e.Len))
	}
	if overhead := e.Flags >> flagBits; overhead != c.overhead {
		tag |= tagOverhead
		dst = binary.AppendUvarint(dst, uint64(overhead))
		c.overhead = overhead
	}
	if delivered {
		tag |= tagDelivered
	}
	if count != 0 {
		tag |= tagCount
		dst = binary.AppendUvarint(dst, uint64(count))
	}
	dst[at] = tag
	c.at, c.addr, c.length = seq+1, e.Addr+uint64(e.Len), e.Len
	return dst
}

// Loader builds a queue from its blocks.
type Loader struct {
	q    *Queue
	next uint64
}

var errShort = errors.New("block ends too early")

// LoadState begins a queue from its state block and returns the queue's id.
func LoadState(p []byte) (id uint32, l Loader, err error) {
	var v [4]uint64
	for i := range v {
		var n int
		if v[i], n = binary.Uvarint(p); n <= 0 {
			return 0, Loader{}, errShort
		}
		p = p[n:]
	}
	floor, span := v[1], v[2]
	switch {
	case len(p) != 0:
		return 0, Loader{}, errors.New("block is too long")
	case v[0] > 1<<32-1:
		return 0, Loader{}, fmt.Errorf("queue id %d is impossible", v[0])
	case span > maxSpan || floor+span < floor || v[3] > floor+span+maxSpan:
		return 0, Loader{}, fmt.Errorf("queue %d: impossible numbers: floor %d, %d above it, mark %d", v[0], floor, span, v[3])
	}
	q := &Queue{next: floor, floor: floor, cursor: floor, mark: v[3]}
	return uint32(v[0]), Loader{q: q, next: floor + span}, nil
}

// LoadEntries adds the messages of an entry block, which follow those of the
// blocks before, and calls fn for each.
func (l *Loader) LoadEntries(p []byte, fn func(Entry)) error {
	if len(p) == 0 {
		return nil
	}
	q := l.q
	from, n := binary.Uvarint(p)
	if n <= 0 {
		return errShort
	}
	p = p[n:]
	if from < q.next || from > l.next {
		return fmt.Errorf("entries from %d on do not follow those up to %d, or pass %d", from, q.next, l.next)
	}
	c := entryEncoder{at: from}
	for len(p) > 0 {
		tag := p[0]
		p = p[1:]
		if tag&^tagKnown != 0 {
			return fmt.Errorf("entry has the unknown tag %#x", tag)
		}
		short := false
		uvarint := func() uint64 {
			v, n := binary.Uvarint(p)
			if n <= 0 {
				short = true
				return 0
			}
			p = p[n:]
			return v
		}
		seq := c.at
		if tag&tagGap != 0 {
			seq += uvarint()
		}
		if tag&tagAddr != 0 {
			v := uvarint()
			c.gap = uint64(int64(v>>1) ^ -int64(v&1))
		}
		if tag&tagLen != 0 {
			v := uvarint()
			if v > 1<<32-1 {
				return fmt.Errorf("message %d has an impossible length of %d bytes", seq, v)
			}
			c.length = uint32(v)
		}
		if tag&tagOverhead != 0 {
			v := uvarint()
			if v > MaxOverhead {
				return fmt.Errorf("message %d has an impossible overhead of %d bytes", seq, v)
			}
			c.overhead = uint32(v)
		}
		count := uint32(0)
		if tag&tagCount != 0 {
			count = uint32(uvarint())
		}
		switch {
		case short:
			return errShort
		case seq < c.at || seq >= l.next:
			return fmt.Errorf("message %d is not between %d and %d", seq, c.at, l.next)
		case c.overhead > c.length:
			return fmt.Errorf("message %d has %d bytes and %d more than that are no body", seq, c.length, c.overhead)
		}
		e := Entry{Addr: c.addr + c.gap, Len: c.length, Flags: c.overhead<<flagBits | Logged}
		if tag&tagDelivered != 0 {
			e.Flags |= Marked
		}
		q.Restore(seq, e)
		if count != 0 {
			q.SetCount(seq, count)
		}
		if fn != nil {
			fn(e)
		}
		c.at, c.addr = seq+1, e.Addr+uint64(e.Len)
	}
	return nil
}

// Done returns the queue, whole.
func (l *Loader) Done() Queue {
	l.q.Skip(l.next)
	return *l.q
}
