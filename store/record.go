package store

import (
	"errors"
	"fmt"
)

// The records of the log. doc.go has the tables. A record begins with a word
// that holds its kind and a count, the meaning of which depends on the kind.
const (
	recPublish     = 1 // pairs; then the pairs (queue, seq), then the blob
	recAck         = 2 // ranges; then the queue, then the ranges
	recRequeue     = 3 // messages; then the queue, then (seq, count) of each
	recDelivered   = 4 // 0; then the queue and its mark
	recCreateQueue = 5 // 0; then the queue
	recDeleteQueue = 6 // 0; then the queue
	recPut         = 7 // length of the key; then the key and the value
	recDelete      = 8 // length of the key; then the key

	recWord  = 4
	recQueue = 8  // word and queue id
	recPair  = 12 // in a publish record: queue id, seq and flags
	recRange = 12 // in an ack: first seq, how many; in a requeue: seq, count
	recMark  = 16

	maxCount = 1<<24 - 1 // of the word
	maxSeq   = 1<<56 - 1

	// pairMarked, in a pair's low byte: the message counts as delivered.
	pairMarked = 1 << 0
)

func putWord(p []byte, kind byte, count int) { le.PutUint32(p, uint32(kind)|uint32(count)<<8) }

func putQueueWord(p []byte, kind byte, count int, queue uint32) {
	putWord(p, kind, count)
	le.PutUint32(p[recWord:], queue)
}

func putPair(p []byte, queue uint32, seq uint64, flags byte) {
	le.PutUint32(p, queue)
	le.PutUint64(p[4:], seq<<8|uint64(flags))
}

func putRange(p []byte, seq uint64, n uint32) {
	le.PutUint64(p, seq)
	le.PutUint32(p[8:], n)
}

// record is a record taken apart.
type record struct {
	kind  byte
	queue uint32 // all but publish, put, delete
	mark  uint64 // delivered
	key   []byte // put, delete
	value []byte // put
	pairs []byte // publish: each recPair bytes
	blob  []byte // publish
	items []byte // ack, requeue: each recRange bytes
}

var errRecordLength = errors.New("wrong length")

// decodeRecord takes a record apart; the result points into p.
func decodeRecord(p []byte) (r record, err error) {
	if len(p) < recWord {
		return r, errRecordLength
	}
	r.kind = p[0]
	n := int(le.Uint32(p) >> 8)
	switch r.kind {
	case recPublish:
		pairs := recWord + n*recPair
		if len(p) < pairs {
			return r, errRecordLength
		}
		r.pairs, r.blob = p[recWord:pairs], p[pairs:]
		return r, nil
	case recPut, recDelete:
		if len(p) < recWord+n || r.kind == recDelete && len(p) != recWord+n {
			return r, errRecordLength
		}
		r.key, r.value = p[recWord:recWord+n], p[recWord+n:]
		return r, nil
	case recAck, recRequeue, recDelivered, recCreateQueue, recDeleteQueue:
	default:
		return r, fmt.Errorf("unknown kind %d: a newer release wrote it", r.kind)
	}
	if len(p) < recQueue {
		return r, errRecordLength
	}
	r.queue = le.Uint32(p[recWord:])
	want := recQueue
	switch r.kind {
	case recAck, recRequeue:
		want += n * recRange
		n = 0
	case recDelivered:
		want = recMark
	}
	if len(p) != want || n != 0 {
		return r, errRecordLength
	}
	if r.kind == recDelivered {
		r.mark = le.Uint64(p[recQueue:])
		return r, nil
	}
	r.items = p[recQueue:]
	return r, nil
}

// pair returns the i-th pair of a publish.
func (r *record) pair(i int) (queue uint32, seq uint64, flags byte) {
	p := r.pairs[i*recPair:]
	v := le.Uint64(p[4:])
	return le.Uint32(p), v >> 8, byte(v)
}

// item returns the i-th range of an ack, or message of a requeue.
func (r *record) item(i int) (seq uint64, n uint32) {
	p := r.items[i*recRange:]
	return le.Uint64(p), le.Uint32(p[8:])
}
