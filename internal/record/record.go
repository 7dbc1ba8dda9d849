package record

import (
	"errors"
	"fmt"
)

// The kinds of records. doc.go has the tables. A record begins with a word that
// holds its kind and a count, the meaning of which depends on the kind.
const (
	Publish      = 1  // pairs; then the pairs (queue, seq), then the blob
	Ack          = 2  // ranges; then the queue, then the ranges
	Requeue      = 3  // messages; then the queue, then (seq, count) of each
	Delivered    = 4  // 0; then the queue and its mark
	CreateQueue  = 5  // 0; then the queue
	DeleteQueue  = 6  // 0; then the queue
	Put          = 7  // length of the key; then the key and the value
	Delete       = 8  // length of the key; then the key
	Sealed       = 9  // spans; then the segment, the stretch of the log, the spans
	Merged       = 10 // old segments; then the new segment, the old ones
	PublishLarge = 11 // pairs; then the pairs, then the file, length and overhead
)

// Sizes of records and their parts, in bytes.
const (
	WordSize   = 4
	QueueSize  = 8  // word and queue id
	PairSize   = 12 // in a publish: queue id, seq and flags
	RangeSize  = 12 // in an ack: first seq, how many; in a requeue: seq, count
	MarkSize   = 16 // a whole delivered record
	SealedSize = 28 // a sealed record before its spans
	SpanSize   = 20 // in a sealed record: queue id, first seq, end
	MergedSize = 12 // a merged record before the old segments, 8 each
	LargeSize  = 16 // in a large publish: behind the pairs, without the expiry
)

const (
	MaxCount = 1<<24 - 1 // of the word
	MaxSeq   = 1<<56 - 1 // of a message
	// MaxAhead bounds by how much a message's number may pass its queue's next one
	// in what is read back: more was never given, and would make bitmaps eat the
	// memory. Between may be messages that the log never had, of years.
	MaxAhead = 1 << 44
	// LargeBit in the address of an entry, which checkpoints carry, says that the
	// other bits are the number of a large file.
	LargeBit = 1 << 62
)

const (

	// PairMarked, in a pair's low byte: the message counts as delivered.
	PairMarked = 1 << 0
)

// PutWord writes the word that begins a record.
func PutWord(p []byte, kind byte, count int) { le.PutUint32(p, uint32(kind)|uint32(count)<<8) }

// PutQueueWord writes the word and the queue of a record about one queue.
func PutQueueWord(p []byte, kind byte, count int, queue uint32) {
	PutWord(p, kind, count)
	le.PutUint32(p[WordSize:], queue)
}

// PutPair writes one (queue, seq) of a publish.
func PutPair(p []byte, queue uint32, seq uint64, flags byte) {
	le.PutUint32(p, queue)
	le.PutUint64(p[4:], seq<<8|uint64(flags))
}

// PutRange writes one range of an ack, or message of a requeue.
func PutRange(p []byte, seq uint64, n uint32) {
	le.PutUint64(p, seq)
	le.PutUint32(p[8:], n)
}

// PutSealed writes a sealed record's head: the messages of the spans, n of them,
// whose blobs stand in [from, to) of the log, are in the segment from now on.
func PutSealed(p []byte, n int, segment, from, to uint64) {
	PutWord(p, Sealed, n)
	le.PutUint64(p[WordSize:], segment)
	le.PutUint64(p[WordSize+8:], from)
	le.PutUint64(p[WordSize+16:], to)
}

// PutSpan writes one span of a sealed record: messages [first, end) of a queue.
func PutSpan(p []byte, queue uint32, first, end uint64) {
	le.PutUint32(p, queue)
	le.PutUint64(p[4:], first)
	le.PutUint64(p[12:], end)
}

// PutMerged writes a merged record: what was in the old segments, and is not
// gone, is in the new one from now on.
func PutMerged(p []byte, segment uint64, old []uint64) {
	PutWord(p, Merged, len(old))
	le.PutUint64(p[WordSize:], segment)
	for i, o := range old {
		le.PutUint64(p[MergedSize+8*i:], o)
	}
}

// LargeEnd is the length of what stands behind the pairs of a large publish.
func LargeEnd(expires int64) int {
	if expires != 0 {
		return LargeSize + expiresSize
	}
	return LargeSize
}

// PutLarge writes that: the message is a file of its own; head and body have that
// many bytes, of which overhead are the head; where expires is not 0, p has room for
// it too.
func PutLarge(p []byte, file uint64, length, overhead uint32, expires int64) {
	le.PutUint64(p, file)
	le.PutUint32(p[8:], length)
	le.PutUint32(p[12:], overhead)
	if expires != 0 {
		le.PutUint64(p[LargeSize:], uint64(expires))
	}
}

// Record is a record taken apart.
type Record struct {
	Kind  byte
	Queue uint32 // all but publish, put, delete
	Mark  uint64 // delivered
	Key   []byte // put, delete
	Value []byte // put
	Pairs Pairs  // publish
	Blob  []byte // publish
	Items []byte // ack, requeue: each RangeSize bytes; sealed: each SpanSize; merged: each 8

	Segment  uint64 // sealed, merged: the new one
	From, To uint64 // sealed: the stretch of the log
	File     uint64 // large publish
	Length   uint32 // large publish: of the blob
	Overhead uint32 // large publish: what of it is not body
	Expires  int64  // large publish: when the message expires
}

var errRecordLength = errors.New("wrong length")

// Decode takes a record apart; the result points into p.
func Decode(p []byte) (r Record, err error) {
	if len(p) < WordSize {
		return r, errRecordLength
	}
	r.Kind = p[0]
	n := int(le.Uint32(p) >> 8)
	switch r.Kind {
	case Publish:
		r.Pairs, r.Blob, err = DecodePublish(p)
		return r, err
	case PublishLarge:
		pairs := WordSize + n*PairSize
		if len(p) != pairs+LargeSize && len(p) != pairs+LargeSize+expiresSize {
			return r, errRecordLength
		}
		r.Pairs, p = p[WordSize:pairs], p[pairs:]
		if len(p) > LargeSize {
			r.Expires = int64(le.Uint64(p[LargeSize:]))
		}
		r.File, r.Length, r.Overhead = le.Uint64(p), le.Uint32(p[8:]), le.Uint32(p[12:])
		if r.Overhead > r.Length || r.Overhead > MaxOverhead {
			return r, fmt.Errorf("message of %d bytes, %d of which are not body, is impossible", r.Length, r.Overhead)
		}
		return r, nil
	case Sealed:
		if len(p) != SealedSize+n*SpanSize {
			return r, errRecordLength
		}
		r.Segment, r.From, r.To = le.Uint64(p[WordSize:]), le.Uint64(p[WordSize+8:]), le.Uint64(p[WordSize+16:])
		r.Items = p[SealedSize:]
		return r, nil
	case Merged:
		if len(p) != MergedSize+8*n {
			return r, errRecordLength
		}
		r.Segment, r.Items = le.Uint64(p[WordSize:]), p[MergedSize:]
		return r, nil
	case Put, Delete:
		if len(p) < WordSize+n || r.Kind == Delete && len(p) != WordSize+n {
			return r, errRecordLength
		}
		r.Key, r.Value = p[WordSize:WordSize+n], p[WordSize+n:]
		return r, nil
	case Ack, Requeue, Delivered, CreateQueue, DeleteQueue:
	default:
		return r, fmt.Errorf("unknown kind %d: a newer release wrote it", r.Kind)
	}
	if len(p) < QueueSize {
		return r, errRecordLength
	}
	r.Queue = le.Uint32(p[WordSize:])
	want := QueueSize
	switch r.Kind {
	case Ack, Requeue:
		want += n * RangeSize
		n = 0
	case Delivered:
		want = MarkSize
	}
	if len(p) != want || n != 0 {
		return r, errRecordLength
	}
	if r.Kind == Delivered {
		r.Mark = le.Uint64(p[QueueSize:])
		return r, nil
	}
	r.Items = p[QueueSize:]
	return r, nil
}

// DecodePublish is Decode for those who go through millions of records and want no
// others: of a record whose kind is Publish, its pairs and its blob.
func DecodePublish(p []byte) (pairs Pairs, blob []byte, err error) {
	if len(p) < WordSize {
		return nil, nil, errRecordLength
	}
	n := WordSize + int(le.Uint32(p)>>8)*PairSize
	if len(p) < n {
		return nil, nil, errRecordLength
	}
	return p[WordSize:n], p[n:], nil
}

// Pairs are a publish's queues, with the number that the message has in each.
type Pairs []byte

// Len is how many there are.
func (p Pairs) Len() int { return len(p) / PairSize }

// At returns the i-th pair.
func (p Pairs) At(i int) (queue uint32, seq uint64, flags byte) {
	p = p[i*PairSize:]
	v := le.Uint64(p[4:])
	return le.Uint32(p), v >> 8, byte(v)
}

// Item returns the i-th range of an ack, or message of a requeue.
func (r *Record) Item(i int) (seq uint64, n uint32) {
	p := r.Items[i*RangeSize:]
	return le.Uint64(p), le.Uint32(p[8:])
}

// Span returns the i-th span of a sealed record.
func (r *Record) Span(i int) (queue uint32, first, end uint64) {
	p := r.Items[i*SpanSize:]
	return le.Uint32(p), le.Uint64(p[4:]), le.Uint64(p[12:])
}

// Old returns the i-th old segment of a merged record.
func (r *Record) Old(i int) uint64 { return le.Uint64(r.Items[8*i:]) }
