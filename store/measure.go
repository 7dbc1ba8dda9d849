package store

import (
	"errors"
	"fmt"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
)

const (
	// measureMost and measureBytes bound the messages that a Measure looks at, and
	// their bodies: each takes an entry, until it is gone.
	measureMost  = 1024
	measureBytes = 1 << 20
)

// TrimMost is how many messages a Trim removes at the most.
const TrimMost = index.TrimMost

// measured is the size of a message.
type measured struct {
	seq          uint64
	length, body uint32
}

// Measure looks up how large the next messages of the queue are, where that is
// known as the sum of many in a segment only: a Trim with a bound on bytes stops
// before such a message. It tells whether it found out anything. It reads files,
// and what cannot be read is taken for the average.
func (q *Queue) Measure() bool {
	var cur segment.Cursor
	defer cur.Reset()
	var sizes []measured
	n, bytes := 0, int64(0)
	for from := uint64(0); n < measureMost && bytes < measureBytes; {
		var run index.Run
		q.mu.Lock()
		seq, ok := q.ix.NextSealed(from, q.ix.Next())
		if ok {
			run, _ = q.ix.RunOf(seq)
		}
		q.mu.Unlock()
		if !ok {
			break
		}
		end := seq + 1
		if err := q.readSealed(&cur, seq, run.Segment); err != nil {
			if block := (*segment.BlockError)(nil); errors.As(err, &block) {
				end = max(end, min(block.Last+1, run.End))
			}
			for at := seq; at < end && len(sizes) < measureMost; at++ {
				sizes = append(sizes, measured{at, uint32(run.Bytes / int64(run.Live)), uint32(run.Body / int64(run.Live))})
			}
		} else {
			for more := true; more && len(sizes) < measureMost; more = cur.Next() {
				p := cur.Payload()
				sizes = append(sizes, measured{cur.Seq(), uint32(len(p) + record.BlobCheck), record.PayloadBody(p)})
			}
		}
		q.mu.Lock()
		for _, m := range sizes {
			q.ix.Measure(m.seq, m.length, m.body)
			bytes += int64(m.body)
		}
		q.mu.Unlock()
		n += len(sizes)
		from = sizes[len(sizes)-1].seq + 1
		sizes = sizes[:0]
	}
	return n > 0
}

// readSealed brings a cursor to a message that was in a segment a moment ago.
func (q *Queue) readSealed(cur *segment.Cursor, seq, number uint64) error {
	f := q.s.segments.acquire(number)
	if f == nil {
		return fmt.Errorf("%s: %w", segment.Name(number), errMissing)
	}
	defer q.s.segments.release(f)
	err := f.reader.Find(cur, q.id, seq, true)
	if err == nil && cur.Seq() != seq {
		err = fmt.Errorf("%s: %w", segment.Name(number), errMissing)
	}
	return err
}
