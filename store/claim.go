package store

import (
	"slices"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// Status is what came of a Claim.
type Status uint8

const (
	// Empty: nothing is ready.
	Empty Status = iota
	// Claimed: Items has at least one message.
	Claimed
	// Cold: the next message must be read from disk, and the caller asked for
	// no disk; or it could not be read for a reason that may pass, such as too
	// many open files, and is to be tried again later.
	Cold
	// Unmarked: the next message may leave only when Claim.WaitFor is durable,
	// so that a restart knows of its delivery. Wait for it and call again.
	Unmarked

	again // of take: it has held the queue for long enough
	look  // of takeExpired: a span of messages in segments is to be looked at
)

// skipMost bounds the unreadable messages that are set aside under one lock.
const skipMost = 4096

func (s Status) String() string {
	return [...]string{"empty", "claimed", "cold", "unmarked"}[s]
}

// Claim takes messages out of a queue. The zero value is ready for use; use it
// again, preferably for the same queue, since it keeps what was read ahead.
// From a Claim that returned Claimed to Release it pins memory: be short, and
// do not claim again with it before.
type Claim struct {
	// Items are the messages taken. Their slices are valid until Release.
	Items []Item
	// WaitFor is set with Unmarked.
	WaitFor wal.LSN
	// Moving, set before Claim, says that the messages are not to be delivered but
	// moved or removed: the log need not know that they are out.
	Moving bool
	// Seqs, set before ClaimExpired, says that nothing but the numbers of the messages
	// is wanted: then it reads no more than it must, and Items have only these.
	Seqs bool
	// AtOnce, set before ClaimExpired, says that messages without any time to wait
	// have expired too.
	AtOnce bool

	q      *Queue
	pinned bool           // the log's cache
	chunks []*arena.Chunk // pinned
	larges []*Large       // retained
	ahead  readAhead
	sealed sealedReader
}

// Claim takes up to max ready messages in order, requeued ones first. It adds
// them to those that wait for an ack. Without disk it never waits for a file.
func (q *Queue) Claim(c *Claim, max int, disk bool) Status {
	c.Release()
	if c.q != q {
		c.sealed.reset()
	}
	c.q = q
	var status Status
	for {
		var low bool
		status, low = q.take(c, max)
		if low {
			q.raiseMark(0, true) // where that fails, so does the next append
		}
		switch {
		case status == again:
			continue
		case status == Cold && (disk || c.ahead.sealed):
			if len(c.Items) == 0 {
				c.unpin()
			}
			if c.ahead.sealed && c.find(q, disk) || !c.ahead.sealed && c.ahead.read(q) {
				continue
			}
		case status == Unmarked && len(c.Items) == 0:
			lsn, err := q.raiseMark(c.ahead.seq, false)
			if err != nil && q.s.log.Err() == nil {
				return Empty // closed: there is nobody to deliver for
			}
			c.WaitFor = lsn
		}
		if len(c.Items) == 0 {
			c.Release()
			if status == Empty {
				c.ahead.drop()
				c.sealed.reset()
			}
			return status
		}
		// Bytes from a file are checked here, outside all locks.
		if c.parse(); len(c.Items) > 0 {
			return Claimed
		}
	}
}

// Between take and parse, an item's Body is its blob, or of one from a segment
// its payload, and its Time one of these.
const (
	fromMemory = iota
	fromDisk
	fromSegment
	damaged
)

// take claims what can be had without waiting: up to max items in all. What
// stopped it is the status; for Cold and Unmarked c.ahead.seq is the message.
// low asks for the mark to be moved on.
func (q *Queue) take(c *Claim, max int) (status Status, low bool) {
	log := q.s.log
	failed := log.Err() != nil
	if failed {
		q.s.leaveMarker()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ix.Ready() == 0 {
		return Empty, false
	}
	if !c.pinned {
		log.Pin()
		c.pinned = true
	}
	skipped := 0
	marks := false // the mark, not a message's own record, let one out
	for len(c.Items) < max {
		seq, e, ok := q.ix.Peek()
		if !ok {
			break
		}
		sealed := e == nil || e.Sealed()
		var body *Large
		if !sealed && isLarge(e.Addr) {
			body = q.s.larges.get(e.Addr)
		}
		if sealed || e.Logged() {
			if failed && !sealed && q.s.recorded(e, body) >= uint64(log.Durable()) {
				// Its publisher was told that it failed.
				q.ix.Ack(seq, seq, q.s.forget)
				continue
			}
			if q.durable && !failed && !c.Moving && (e == nil || !e.Marked()) {
				if !q.covered(seq) {
					c.ahead.seq = seq
					status = Unmarked
					break
				}
				marks = true
			}
		}
		if sealed && c.sealed.unreadable(q, seq) {
			q.skip(seq, e)
			if skipped++; skipped == skipMost {
				return again, false
			}
			continue
		}
		blob, origin := c.bytes(seq, e, sealed, body)
		if blob == nil {
			c.ahead.seq, c.ahead.sealed = seq, sealed
			status = Cold
			break
		}
		c.Items = append(c.Items, Item{})
		it := &c.Items[len(c.Items)-1] // set in place: see Batch.Add
		it.Seq, it.Time, it.Large, it.Body = seq, origin, body, blob
		if body != nil {
			it.Expires = q.ix.Expiry(seq)
		}
		if e != nil {
			it.Redelivered, it.Count = q.ix.Take(seq, e)
		} else {
			it.Redelivered = q.ix.TakeSealed(seq, uint32(len(blob)+record.BlobCheck), record.PayloadBody(blob))
		}
	}
	return status, marks && q.runsLow()
}

// bytes returns a message's blob or payload if it is in memory; of a large one
// that without its body. Under q.mu.
func (c *Claim) bytes(seq uint64, e *index.Entry, sealed bool, body *Large) (blob []byte, origin int64) {
	s := c.q.s
	switch {
	case sealed:
		return c.sealed.payload(seq), fromSegment
	case body != nil:
		head := body.head.Load()
		if head == nil {
			return nil, 0
		}
		body.Retain()
		c.larges = append(c.larges, body)
		return *head, fromMemory
	case e.Logged():
		if blob = s.log.Cached(wal.LSN(e.Addr), int(e.Len)); blob != nil {
			return blob, fromMemory
		}
		return c.ahead.bytes(e.Addr, e.Len, 0), fromDisk
	}
	chunk := s.arena.Chunk(e.Addr)
	if c.pin(chunk) {
		return chunk.Slice(e.Addr, e.Len), fromMemory
	}
	return c.ahead.bytes(e.Addr, e.Len, chunk.File()), fromDisk
}

// pin keeps a chunk in memory until Release, if it is still there. Under q.mu.
func (c *Claim) pin(chunk *arena.Chunk) bool {
	if n := len(c.chunks); n > 0 && c.chunks[n-1] == chunk {
		return true
	}
	if !chunk.Pin() {
		return false
	}
	c.chunks = append(c.chunks, chunk)
	return true
}

// forget is applier.forget for single entries.
func (s *Store) forget(_ uint64, e index.Entry) {
	if isLarge(e.Addr) {
		s.larges.forget(e.Addr)
		return
	}
	var t liveTally
	t.add(&s.live, e.Addr, e.Len, -1)
	t.flush(&s.live)
}

// parse takes the items' blobs apart, and sets aside those that are damaged.
func (c *Claim) parse() {
	bad := false
	for i := range c.Items {
		it := &c.Items[i]
		if err := it.parse(); err != nil {
			c.q.setAside(it.Seq, err)
			it.Time = damaged
			bad = true
		}
	}
	if bad {
		c.Items = slices.DeleteFunc(c.Items, func(it Item) bool { return it.Time == damaged })
	}
}

// parse takes what take or item has found apart.
func (it *Item) parse() (err error) {
	blob, expires := it.Body, it.Expires
	if it.Time == fromSegment {
		it.Time, err = it.ParsePayload(blob)
	} else {
		if it.Time == fromDisk {
			err = record.CheckBlob(blob)
		}
		if err == nil {
			err = it.parseBlob(blob)
		}
	}
	if it.Large != nil { // whose file does not say when it expires
		it.Body, it.Expires = nil, expires
	}
	return err
}

// Unclaim makes Items[from:] ready again in their places, as if they had never
// been claimed, and takes them off Items. Call it before Release.
func (q *Queue) Unclaim(c *Claim, from int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range slices.Backward(c.Items[from:]) {
		if q.ix.Untake(it.Seq, it.Redelivered) && q.ttl != 0 {
			q.older(it.Time)
		}
	}
	if q.timed() {
		q.setExpiry()
	}
	clear(c.Items[from:])
	c.Items = c.Items[:from]
}

func (c *Claim) unpin() {
	if c.pinned {
		c.q.s.log.Unpin()
		c.pinned = false
	}
}

// Release ends the use of the items' slices. The messages stay claimed. It may
// be called twice.
func (c *Claim) Release() {
	c.unpin()
	for i, chunk := range c.chunks {
		c.q.s.arena.Unpin(chunk)
		c.chunks[i] = nil
	}
	c.chunks = c.chunks[:0]
	for i, l := range c.larges {
		l.Release()
		c.larges[i] = nil
	}
	c.larges = c.larges[:0]
	clear(c.Items)
	c.Items = c.Items[:0]
	c.ahead.released()
	c.sealed.release()
}
