package store

import (
	"errors"
	"math"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/segment"
)

// A message expires at its own time, Message.Expires, or when it has been in the
// store for as long as its queue says (SetTTL), whichever comes first. The store
// removes none by itself: NextExpiry says when to look, and ClaimExpired takes what
// has expired, wherever it is in the queue.
//
// The messages' own times are known to the index: one by one where they are in the
// log's tail or in memory, and by blocks where they are in segments. The times of a
// queue follow those of publication, which ascend: so the first ready message is the
// first to go, and only its time is ever looked at. Clocks may step back, and
// publishers overtake each other by a moment: such messages go when those before them
// do, unless somebody claims them first and looks.

// AtOnce, as Message.Expires, says that a message has no time to wait.
const AtOnce = record.AtOnce

const (
	// nearTimes is for how long ahead, in ms, the times of messages of a block are
	// kept in memory when it is read: else it would be read for each of them.
	nearTimes = 10_000
	// nearMost is how many such times there may be while some have come already.
	nearMost = 1 << 20
	// lookAgain is after how long, in ms, a block is looked at again that could not
	// be read.
	lookAgain = 1000
)

// SetTTL sets for how long messages may be in the queue, in ms from their publication
// on; negative is for ever. It holds for those that are there too. Where it is 0, a
// message is like one of AtOnce.
func (q *Queue) SetTTL(ms int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ttl = 0
	if ms >= 0 {
		q.ttl = min(ms, math.MaxInt64/4) + 1
	}
	q.oldest = 0
	q.setExpiry()
}

// NextExpiry is a time, in ms since 1970, before which no ready message expires; 0:
// none does. AtOnce: some are only for who takes them at once. It is never late, but
// may be early: what was taken since may have been the reason.
func (q *Queue) NextExpiry() int64 { return q.nextExpiry.Load() }

// timed tells whether any message of the queue expires. Under mu.
func (q *Queue) timed() bool { return q.ttl != 0 || q.ix.Timed() }

// setExpiry computes NextExpiry. Under mu.
func (q *Queue) setExpiry() {
	at := q.ix.NextExpiry()
	switch {
	case q.ix.Ready() == 0:
		at = 0
	case q.ttl == 0:
	case q.ttl == 1:
		at = AtOnce
	default:
		if due := max(q.oldest+q.ttl, AtOnce+1); at == 0 || due < at {
			at = due
		}
	}
	if at != q.nextExpiry.Load() {
		q.nextExpiry.Store(at)
	}
}

// older notes that a message is ready that was published then. Under mu.
func (q *Queue) older(ms int64) {
	if q.ix.Ready() == 1 || ms < q.oldest {
		q.oldest = ms
	}
}

// ClaimExpired takes up to max ready messages that have expired by now, in ms since
// 1970: those with times of their own in the order of these, then those that are in the
// queue for too long, in the order of their publication. It is Claim in all else, but
// that their delivery is not noted: they are not to be delivered. See also Claim.Seqs
// and Claim.AtOnce.
func (q *Queue) ClaimExpired(c *Claim, now int64, max int, disk bool) Status {
	c.Release()
	if c.q != q {
		c.sealed.reset()
	}
	c.q = q
	var status Status
	for {
		var span index.TimeSpan
		status, span = q.takeExpired(c, max, now, disk)
		switch {
		case status == again:
			continue
		case status == look:
			c.unpin()
			q.look(span, now)
			continue
		case status == Cold && (disk || c.ahead.sealed):
			if len(c.Items) == 0 {
				c.unpin()
			}
			if c.ahead.sealed && c.find(q, disk) || !c.ahead.sealed && c.ahead.read(q) {
				continue
			}
		}
		if len(c.Items) == 0 {
			c.Release()
			if status == Empty {
				c.ahead.drop()
				c.sealed.reset()
			}
			return status
		}
		if !c.Seqs {
			c.parse()
		}
		if len(c.Items) > 0 {
			return Claimed
		}
	}
}

// takeExpired is take for ClaimExpired.
func (q *Queue) takeExpired(c *Claim, max int, now int64, disk bool) (status Status, span index.TimeSpan) {
	log := q.s.log
	failed := log.Err() != nil
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.setExpiry()
	if q.ix.Ready() == 0 {
		return Empty, span
	}
	if !c.pinned {
		log.Pin()
		c.pinned = true
	}
	for skipped := 0; len(c.Items) < max; {
		if len(c.Items) == 0 && q.ix.SpanDue(now) && q.mayLook(now) {
			if !disk {
				return Cold, span
			}
			if span, ok := q.ix.TakeSpan(now); ok {
				return look, span
			}
		}
		seq, e, ok := q.ix.Expired(now)
		if !ok && c.AtOnce {
			seq, e, ok = q.ix.ExpiredAtOnce()
		}
		aged := !ok && q.ttl != 0 && (q.ttl > 1 || c.AtOnce)
		if aged {
			seq, e, ok = q.ix.Peek()
		}
		if !ok {
			break
		}
		sealed := e == nil || e.Sealed()
		if sealed && c.sealed.unreadable(q, seq) {
			q.skip(seq, e)
			if skipped++; skipped == skipMost {
				return again, span
			}
			continue
		}
		it := Item{Seq: seq}
		if aged || !c.Seqs {
			if it, ok = c.item(seq, e, sealed); !ok {
				return Cold, span
			}
		}
		if failed && e != nil && !sealed && e.Logged() && q.s.recorded(e, it.Large) >= uint64(log.Durable()) {
			q.ix.Ack(seq, seq, q.s.forget) // its publisher was told that it failed
			continue
		}
		if aged {
			payload := it.Body
			if it.Time != fromSegment {
				payload = payload[record.BlobCheck:]
			}
			// One that is damaged is taken, and then set aside.
			if ms, _, ok := record.PayloadTimes(payload); ok && ms+q.ttl > now && q.ttl > 1 {
				q.oldest = ms
				break
			}
		}
		length, body := q.sizes(seq, &it)
		if c.Seqs {
			it = Item{Seq: seq}
		}
		if e != nil {
			it.Redelivered, it.Count = q.ix.TakeAt(seq, e)
		} else {
			it.Redelivered = q.ix.TakeSealedAt(seq, length, body)
		}
		c.Items = append(c.Items, it)
	}
	return Empty, span
}

// mayLook tells whether there is room for times that are read from segments: not
// while there are very many, of which some have come. Under mu.
func (q *Queue) mayLook(now int64) bool {
	if q.ix.Times() < nearMost {
		return true
	}
	_, _, ok := q.ix.Expired(now)
	return !ok
}

// sizes are what a message of a segment is long, as far as it is known: its blob, and
// the body in it. Under mu.
func (q *Queue) sizes(seq uint64, it *Item) (length, body uint32) {
	if it.Body != nil {
		return uint32(len(it.Body) + record.BlobCheck), record.PayloadBody(it.Body)
	}
	if r, ok := q.ix.RunOf(seq); ok && r.Live > 0 {
		return uint32(r.Bytes / int64(r.Live)), uint32(r.Body / int64(r.Live))
	}
	return 0, 0
}

// due is a message of a segment and when it expires.
type due struct {
	seq uint64
	at  int64
}

// look finds out when the messages of a span in segments expire, of which the first
// did by now: block by block, as the segments' directories have them, of which those
// are read that are due. No lock is held.
func (q *Queue) look(span index.TimeSpan, now int64) {
	var cur segment.Cursor
	defer cur.Reset()
	for from := span.First; from < span.End; {
		q.mu.Lock()
		seq, ok := q.ix.NextInRun(from, span.End)
		number := uint64(0)
		if ok {
			number, _ = q.ix.InRun(seq)
		}
		q.mu.Unlock()
		if !ok {
			break
		}
		f := q.s.segments.acquire(number)
		if f == nil {
			if q.moved(seq, number) {
				from = seq
				continue
			}
			break // the file is lost
		}
		from = q.lookAt(&cur, f.reader, seq, span, now)
		q.s.segments.release(f)
	}
	q.mu.Lock()
	q.setExpiry()
	q.mu.Unlock()
}

// moved tells whether a message is in another segment by now, or is gone.
func (q *Queue) moved(seq, number uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ok := q.ix.InRun(seq)
	return !ok || n != number
}

// lookAt is look for one block: the one with the first message from seq on. It
// returns where to go on.
func (q *Queue) lookAt(cur *segment.Cursor, r *segment.Reader, seq uint64, span index.TimeSpan, now int64) (next uint64) {
	b, err := r.BlockOf(q.id, seq)
	end := min(b.Last+1, span.End)
	rest := int64(math.MaxInt64)
	var near []due
	switch {
	case err == nil && b.Expires == 0:
		return end
	case err == nil && b.Expires > now && !span.Block:
		rest = b.Expires
	case err == nil:
		near, rest, err = readTimes(cur, r, q.id, seq, end, now+nearTimes)
	}
	if err != nil {
		if block := (*segment.BlockError)(nil); errors.As(err, &block) {
			return max(end, seq+1) // who claims one of these sets it aside
		}
		q.s.warnUnreadable(err)
		end, rest = span.End, now+lookAgain
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range near {
		q.ix.SetExpiry(d.seq, d.at)
	}
	if rest != math.MaxInt64 {
		q.ix.AddSpan(index.TimeSpan{Due: rest, First: seq, End: end, Block: err == nil})
	}
	return end
}

// readTimes reads in a block when its messages expire, from seq on, below end: those
// that do until then, and the earliest of the others.
func readTimes(cur *segment.Cursor, r *segment.Reader, queue uint32, seq, end uint64, until int64) (near []due, rest int64, err error) {
	rest = math.MaxInt64
	for seq < end {
		if err := r.Find(cur, queue, seq, true); err != nil {
			return near, rest, err
		}
		for more := true; more && cur.Seq() < end; more = cur.Next() {
			seq = cur.Seq() + 1
			switch _, at, ok := record.PayloadTimes(cur.Payload()); {
			case !ok || at == 0:
			case at <= until:
				near = append(near, due{cur.Seq(), at})
			default:
				rest = min(rest, at)
			}
		}
		if cur.Seq() >= end {
			break
		}
	}
	return near, rest, nil
}

// Millis is a time as messages have it, rounded up: what expires then has had all of
// its time.
func Millis(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }
