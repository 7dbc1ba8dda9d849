package index

import (
	"encoding/binary"
)

// A queue in a checkpoint is a state block and, behind it, entry blocks, a block
// of runs and blocks of acks. doc.go has the tables.

// maxSpan bounds how far apart a queue's floor and its next number may be: a
// damaged file must not make the bitmap eat the memory. A message that stays, such
// as one that was set aside, lets a queue come there if half a million pass it each
// second for a year.
const maxSpan = 1 << 44

// maxBytes bounds what a queue's runs come to, so that sums do not overflow.
const maxBytes = 1 << 60

// The tag that begins an entry.
const (
	tagGap       = 1 << iota // numbers are missing before it: how many
	tagAddr                  // its distance from the one before changed: zigzag
	tagLen                   // its length changed
	tagOverhead              // its overhead changed
	tagDelivered             // it may have been delivered
	tagCount                 // it has a delivery count
	tagSealed                // it is in a run: it has no address
	tagExpires               // it expires: when, less the time of the one before that does, zigzag
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

// AppendEntries appends a block with the entries of logged messages from number
// from on, below end, until limit entries were looked at. It returns where the
// next block begins: end when all is done. Between two calls the queue may
// change; what left it is missing from the blocks, or is acked by the log that
// follows.
func (q *Queue) AppendEntries(dst []byte, from, end uint64, limit int, exact bool) ([]byte, uint64) {
	end = min(end, q.next)
	mark := q.mark
	if exact {
		mark = q.past
	}
	enc := entryEncoder{at: from}
	first := true
	walk := entryWalk{q: q, end: end}
	for seq, e := walk.from(from); e != nil; seq, e = walk.from(seq + 1) {
		if limit == 0 {
			return dst, seq
		}
		limit--
		if e.Flags&Logged == 0 {
			continue
		}
		delivered := e.Flags&Delivered != 0 || !exact && e.Flags&Marked != 0
		var count uint32
		if e.Flags&counted != 0 {
			count = q.counts[seq]
		}
		if e.Flags&Sealed != 0 && count == 0 && (!delivered || seq < mark) {
			continue // the run says it all
		}
		if first {
			dst = binary.AppendUvarint(dst, from)
			first = false
		}
		expires := int64(0)
		if e.Flags&Sealed == 0 {
			expires = q.exp.time(seq)
		}
		dst = enc.append(dst, seq, e, delivered, count, expires)
	}
	return dst, end
}

// entryWalk goes through the entries in and outside of runs, in order.
type entryWalk struct {
	q    *Queue
	end  uint64
	held uint64 // no entry of a run stands between the last one told and this
	at   *Entry // its entry
	seen bool
}

func (w *entryWalk) from(seq uint64) (uint64, *Entry) {
	tail, e := w.q.pages.next(seq, w.end)
	if w.q.sealed == nil {
		return tail, e
	}
	if !w.seen || w.held < seq {
		w.held, w.at = w.q.sealed.held.next(seq, w.end)
		w.seen = true
	}
	if w.at != nil && w.held < tail {
		return w.held, w.at
	}
	return tail, e
}

// entryEncoder holds what the next entry is the difference to.
type entryEncoder struct {
	at       uint64 // the number that follows if none is missing
	addr     uint64 // where the message before ends
	gap      uint64 // between the two messages before
	length   uint32
	overhead uint32
	expires  int64 // of the last one that does
}

func (c *entryEncoder) append(dst []byte, seq uint64, e *Entry, delivered bool, count uint32, expires int64) []byte {
	tag, at := byte(0), len(dst)
	dst = append(dst, 0)
	if seq != c.at {
		tag |= tagGap
		dst = binary.AppendUvarint(dst, seq-c.at)
	}
	if e.Flags&Sealed != 0 {
		tag |= tagSealed
	} else {
		if gap := e.Addr - c.addr; gap != c.gap {
			tag |= tagAddr
			dst = binary.AppendVarint(dst, int64(gap))
			c.gap = gap
		}
		c.addr = e.Addr + uint64(e.Len)
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
	if expires != 0 {
		tag |= tagExpires
		dst = binary.AppendVarint(dst, expires-c.expires)
		c.expires = expires
	}
	dst[at] = tag
	c.at, c.length = seq+1, e.Len
	return dst
}
