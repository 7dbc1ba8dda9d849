package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/segment"
)

// sealedReader is a Claim's place in the segments of its queue. A message has
// the same bytes in whatever segment it is found, so what the cursor stands at
// may be used without asking where the message lies now.
type sealedReader struct {
	cur    segment.Cursor
	at     bool             // cur stands at a message
	blocks []*segment.Block // items point into them
	spent  int              // bytes of payloads since the last release

	// What lies in segment badIn of [badFirst, badEnd) cannot be read. Between
	// there may be messages that are elsewhere.
	badFirst, badEnd, badIn uint64
}

// errMissing says that a segment has not what a run says.
var errMissing = errors.New("the message is not in the segment")

// payload returns a message's payload if it is in memory: it is where the cursor
// stands, or a little farther in the same block.
func (r *sealedReader) payload(seq uint64) []byte {
	for r.at && r.cur.Seq() < seq {
		r.at = r.cur.Next()
	}
	if !r.at || r.cur.Seq() != seq || r.spent >= readClaim {
		return nil
	}
	if n := len(r.blocks); n == 0 || r.blocks[n-1] != r.cur.Block() {
		r.blocks = append(r.blocks, r.cur.Retain())
	}
	p := r.cur.Payload()
	r.spent += len(p)
	return p
}

// unreadable tells whether a message in a segment is known to be so. Under q.mu.
func (r *sealedReader) unreadable(q *Queue, seq uint64) bool {
	if seq < r.badFirst || seq >= r.badEnd {
		return false
	}
	number, _ := q.ix.InRun(seq)
	return q.s.segments.resolve(number) == r.badIn
}

// find brings the cursor to the message that stopped take, from disk where that
// is allowed. It returns whether take should go on: the message is in memory now,
// or out of the way. No lock is held.
func (c *Claim) find(q *Queue, disk bool) bool {
	r := &c.sealed
	c.ahead.err = nil
	if r.spent >= readClaim {
		return false
	}
	seq := c.ahead.seq
	number, end, ok := q.segmentOf(seq)
	if !ok {
		return true // somebody else took it
	}
	f := q.s.segments.acquire(number)
	var err error
	if f == nil {
		if now, _, ok := q.segmentOf(seq); !ok || now != number {
			return true // it has moved on meanwhile, or is gone
		}
		err = iofs.ErrNotExist
	} else {
		number = f.number
		err = f.reader.Find(&r.cur, q.id, seq, disk)
		q.s.segments.release(f)
	}
	if r.at = err == nil; r.at && r.cur.Seq() == seq {
		q.s.trouble.over(q)
		return true
	}
	r.badFirst, r.badEnd, r.badIn = seq, seq+1, number
	var block *segment.BlockError
	var file *segment.CorruptError
	switch {
	case errors.Is(err, segment.ErrCold):
		r.badEnd = 0
		return false
	case err == nil || err == io.EOF:
		err = fmt.Errorf("%s: %w", segment.Name(number), errMissing)
	case errors.As(err, &block):
		r.badFirst, r.badEnd = min(seq, block.First), max(seq, block.Last)+1
	case errors.As(err, &file):
		r.badEnd = end
	case scarce(err) || !harmed(err) && q.s.trouble.passes(q, seq, time.Now()):
		r.badEnd = 0
		q.s.warnUnreadable(err)
		c.ahead.err = err
		return false
	}
	// A line a block, of which a message at a time is the least: a whole segment
	// that is lost makes one for each of the first messages.
	single := block == nil && file == nil
	if n := q.s.damaged.Load(); !single || n < asideLines || n%asideLines == 0 {
		q.s.opts.Logger.Error("part of a segment cannot be read: its messages are set aside, and their queue goes on",
			"queue", q.id, "first", r.badFirst, "last", r.badEnd-1, "err", err)
	}
	return true
}

// segmentOf is the segment that a message is in, and where the run ends by which
// it is; ok is false where it is gone.
func (q *Queue) segmentOf(seq uint64) (number, end uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, ok := q.ix.RunOf(seq)
	return r.Segment, r.End, ok
}

// skip sets a ready message aside, since it cannot be read; find
// has told of it. Under mu.
func (q *Queue) skip(seq uint64, e *index.Entry) {
	if e != nil {
		q.ix.TakeAt(seq, e)
	} else {
		length, body := q.sizes(seq, &Item{})
		q.ix.TakeSealedAt(seq, length, body)
	}
	q.ix.SetAside(seq)
	q.s.damaged.Add(1)
}

// release lets the blocks go that items point into.
func (r *sealedReader) release() {
	for i, b := range r.blocks {
		b.Release()
		r.blocks[i] = nil
	}
	r.blocks, r.spent = r.blocks[:0], 0
}

// reset forgets the place.
func (r *sealedReader) reset() {
	r.release()
	r.cur.Reset()
	*r = sealedReader{cur: r.cur, blocks: r.blocks}
}
