package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/arena"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// Apply makes a batch happen. Everything in it that concerns durable queues is
// one frame of the log: after a power cut all of it is there or nothing.
//
// The LSN that is returned is what Durable must reach before anything in the
// batch may be promised: persistent publishes to durable queues, purges,
// queues made and deleted, the catalog and, in an atomic batch, acks and
// requeues. It is 0 where there is nothing of the kind; then the log is left
// to commit what there is some time later. w, if not nil, is called once when
// that LSN is durable or the log failed, under wal.Waiter's rules; where the
// LSN is 0 it is not called. m says how the commit is to come about.
//
// When the log has failed, acks, requeues, trims and transient publishes still
// take effect, in memory, so that consumers can go on; what had to be durable
// does not, publishes say so by Rejected, and the log's error is returned. An
// atomic batch then has no effect at all, and neither has one of which a queue
// refuses a publish for its limits: then Apply returns no error, and Rejected
// says which. A closed log, and a batch that is too large or impossible, leave no effect
// either; then all publishes that have queues are Rejected.
//
// The caller must not hold an unreleased Claim of its own for long meanwhile.
func (s *Store) Apply(b *Batch, m wal.Mode, w wal.Waiter) (wal.LSN, error) {
	r := &b.run
	if err := r.plan(); err != nil {
		b.rejectAll()
		return 0, err
	}
	if r.arenaRefs > 0 {
		s.arena.Pace()
	}
	if r.published > 0 {
		s.retirer.throttle.wait(r.published)
	}
	r.logging = r.records > 0
	var failure error
	if r.logging {
		err := s.log.Begin(r.size, r.records)
		switch {
		case err == nil:
		case b.atomic || errors.Is(err, wal.ErrClosed) || errors.Is(err, wal.ErrTooLarge):
			b.rejectAll()
			return 0, err
		default:
			r.logging, r.refusing, failure = false, true, err
		}
	}
	if !b.atomic || r.reserve() {
		r.do()
	}
	var lsn wal.LSN
	if r.logging {
		late := len(r.late) > 0
		if late {
			s.halfway.Add(1)
			s.log.End(wal.Lazy, nil)
			failure = r.putLate()
		}
		switch {
		case failure != nil:
		case r.binding:
			lsn = s.log.End(m, w)
		default:
			s.log.End(wal.Lazy, nil)
		}
		if late {
			raise(&s.halves, uint64(s.log.Appended()))
			s.halfway.Add(-1)
		}
	}
	r.finish()
	if r.published > 0 && r.logging {
		s.figures.published.Add(int64(r.published))
	}
	end := uint64(s.log.Appended())
	s.checkpoints.due.appended(end)
	s.retirer.due.appended(end)
	s.preparer.due.appended(end)
	if r.refusing && !r.refused {
		failure = nil
	}
	return lsn, failure
}

// raise makes v at least n.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// applier executes a batch. It belongs to the batch, so that its memory and its
// bound function are made once.
type applier struct {
	s *Store
	b *Batch

	// What plan found.
	size, records int   // the most that the log will get
	published     int   // how much of it is messages
	arenaBytes    int   // blobs of messages that need no log
	arenaRefs     int64 // their queues
	ms            int64 // publishing time

	logging  bool // within the log's append lock
	refusing bool // the log has failed
	refused  bool // something was not done for that
	binding  bool // the log got something that the caller may wait for

	cur     *Queue       // locked
	tally   tally        // of what is alive in the log and in segments
	chunk   *arena.Chunk // where the transient messages go
	off     int
	refs    int64 // reserved references that are not used yet
	dest    []destination
	held    []reservation // of an atomic batch
	used    int           // how many of them publishes have used
	pending pendingRecord
	room    int             // ranges that the purge or trim at hand has room for
	late    []lateRange     // those that had none
	bulk    []index.Removed // to go through when the locks are released

	logged   bool // gone saw a logged message
	trimming bool
	gone     func(seq uint64, e index.Entry)
	ranges   func(first, last uint64) // of a purge or trim
}

// pendingRecord is an ack or requeue record that is being gathered.
type pendingRecord struct {
	kind  byte // 0: none
	q     *Queue
	items []seqCount
}

type seqCount struct {
	seq uint64
	n   uint32
}

// keepItems bounds what a batch keeps of the memory for a record.
const keepItems = 64 << 10

type lateRange struct {
	q *Queue
	seqCount
}

func (r *applier) init(s *Store, b *Batch) {
	r.s, r.b = s, b
	r.gone = func(seq uint64, e index.Entry) {
		if e.Logged() {
			r.logged = true
		}
		r.forget(e)
	}
	r.ranges = r.noteRange
}

// forget drops what an entry that has left its queue held.
func (r *applier) forget(e index.Entry) {
	switch {
	case isLarge(e.Addr):
		r.s.larges.forget(e.Addr)
	case e.Sealed():
		r.tally.sealed.add(&r.s.segments, e.Addr, -1, -int64(e.Len))
	case e.Logged():
		r.tally.log.add(&r.s.live, e.Addr, e.Len, -1)
	default:
		r.s.arena.Release(r.s.arena.Chunk(e.Addr), 1)
	}
}

// ErrTooManyQueues is Apply's error where all ids of durable queues, 2^32, were
// used.
var ErrTooManyQueues = errors.New("no more durable queues can be made in this data directory")

// Bounds for the ranges for which a purge or a trim reserves room in the batch's
// frame: 12 MB, and for a trim, of which there may be one for each publish, 12 KB. A
// queue that had more messages requeued gets the rest of the record in a frame of
// its own; so does one in which more became loose, between plan and the operation,
// than the slack is for.
const (
	purgeRanges = 1 << 20
	trimRanges  = 1024
	slackRanges = 64
)

// plan computes, without any lock, what the batch may need of the log and of
// the arena.
func (r *applier) plan() error {
	b := r.b
	r.size, r.records, r.published, r.arenaBytes, r.arenaRefs, r.ms = 0, 0, 0, 0, 0, 0
	r.refusing, r.refused, r.binding = false, false, false
	add := func(n int) { r.size += n; r.records++ }
	requeues := 0
	for i := range b.ops {
		o := &b.ops[i]
		switch o.kind {
		case opPublish:
			if r.ms == 0 {
				r.ms = time.Now().UnixMilli()
			}
			p := &b.pubs[o.a]
			if err := r.planPublish(p); err != nil {
				return fmt.Errorf("publish %d of the batch: %w", o.a, err)
			}
			p.rejected, p.refused = false, false
		case opAck:
			if o.q.durable {
				add(record.QueueSize + record.RangeSize)
			}
		case opRequeue:
			requeues++
			if o.q.durable {
				add(record.QueueSize + record.RangeSize)
			}
		case opPurge, opTrim:
			if o.q.durable {
				most := trimRanges
				if o.kind == opPurge {
					most = purgeRanges
				}
				o.q.mu.Lock()
				o.room = uint32(min(o.q.ix.Loose()+requeues+slackRanges, most))
				o.q.mu.Unlock()
				add(record.QueueSize + int(o.room)*record.RangeSize)
			}
		case opCreate, opDelete:
			if o.q.durable && o.q.id == 0 {
				return ErrTooManyQueues
			}
			if o.q.durable {
				add(record.QueueSize)
			}
		case opPut, opRemove:
			e := &b.entries[o.a]
			if len(e.key) > record.MaxCount {
				return fmt.Errorf("catalog key has %d bytes, more than %d", len(e.key), record.MaxCount)
			}
			add(record.WordSize + len(e.key) + len(e.value))
		}
	}
	b.rejections, b.refusals = 0, b.refusals[:0]
	if r.arenaBytes > wal.MaxBatch {
		return wal.ErrTooLarge
	}
	return nil
}

// do executes the operations.
func (r *applier) do() {
	b := r.b
	if r.arenaRefs > 0 {
		r.chunk, r.off = r.s.arena.Reserve(r.arenaBytes, r.arenaRefs)
		r.refs = r.arenaRefs
	}
	for i := range b.ops {
		o := &b.ops[i]
		switch o.kind {
		case opPublish:
			r.publish(&b.pubs[o.a])
		case opAck:
			r.ack(o.q, o.a, o.b)
		case opRequeue:
			r.requeue(o.q, o.a)
		case opPurge:
			b.removed[o.a] = r.purge(o)
		case opTrim:
			b.removed[o.a] = r.trim(o, b.trims[o.b])
		case opCreate:
			r.create(o.q)
		case opDelete:
			b.removed[o.a] = r.delete(o.q)
		case opPut, opRemove:
			r.catalog(o.kind, &b.entries[o.a])
		}
	}
	r.flushPending()
	r.lock(nil)
	r.tally.flush(r.s)
}

// finish does what needs no lock any more.
func (r *applier) finish() {
	r.b.letLargesGo(false)
	if r.chunk != nil {
		r.s.arena.Done(r.chunk, r.refs)
		r.chunk, r.refs = nil, 0
	}
	for i := range r.bulk {
		r.bulk[i].Each(r.forget)
		r.bulk[i] = index.Removed{}
	}
	r.bulk = r.bulk[:0]
	r.tally.flush(r.s)
	if cap(r.pending.items) > keepItems {
		r.pending.items = nil
	}
	clear(r.dest)
	clear(r.held)
	r.dest, r.held, r.used = r.dest[:0], r.held[:0], 0
}

// lock makes q the queue that is locked, or none.
func (r *applier) lock(q *Queue) {
	if r.cur == q {
		return
	}
	if r.cur != nil {
		r.cur.mu.Unlock()
	}
	if q != nil {
		q.mu.Lock()
	}
	r.cur = q
}

// ack removes messages.
func (r *applier) ack(q *Queue, first, last uint64) {
	r.lock(q)
	r.logged = false
	q.ix.Ack(first, last, r.gone)
	if r.logged && r.logging && q.durable {
		// A replay takes the record's word for it that its numbers were given out.
		last = min(last, q.ix.Next()-1)
		r.note(record.Ack, q, first, uint32(last-first+1))
		r.binding = r.binding || r.b.atomic
	}
}

// requeue gives a message back.
func (r *applier) requeue(q *Queue, seq uint64) {
	r.lock(q)
	count, e, ok := q.ix.Requeue(seq)
	if ok && q.timed() {
		q.oldest = 0
		q.setExpiry()
	}
	if ok && e.Logged() && r.logging && q.durable {
		r.note(record.Requeue, q, seq, count)
		r.binding = r.binding || r.b.atomic
	}
}

// note adds to the ack or requeue record that is being gathered, or begins one.
func (r *applier) note(kind byte, q *Queue, seq uint64, n uint32) {
	if r.pending.kind != kind || r.pending.q != q || len(r.pending.items) == record.MaxCount {
		r.flushPending()
		r.pending.kind, r.pending.q = kind, q
	}
	r.pending.items = append(r.pending.items, seqCount{seq, n})
}

// flushPending writes the record that is being gathered.
func (r *applier) flushPending() {
	if r.pending.kind != 0 {
		r.putPending(&r.pending)
		r.pending.kind, r.pending.q = 0, nil
		r.pending.items = r.pending.items[:0]
	}
}

func (r *applier) putPending(p *pendingRecord) {
	_, rec := r.s.log.Put(record.QueueSize + len(p.items)*record.RangeSize)
	record.PutQueueWord(rec, p.kind, len(p.items), p.q.id)
	rec = rec[record.QueueSize:]
	for i, it := range p.items {
		record.PutRange(rec[i*record.RangeSize:], it.seq, it.n)
	}
}

// purge removes what is ready.
func (r *applier) purge(o *op) int {
	if o.q.durable && r.refusing {
		r.refused = true
		return 0
	}
	r.lock(o.q)
	r.room = int(o.room)
	removed := o.q.ix.Purge(r.ranges)
	o.q.setExpiry()
	r.take(removed)
	r.binding = r.binding || r.logging && o.q.durable
	return removed.Ready
}

// take accounts for what a purge or a deletion took: of segments at once, since
// a merge, which holds the append lock, relies on it; of the rest, which may be
// millions of entries, when the locks are released.
func (r *applier) take(removed index.Removed) {
	for _, run := range removed.Runs {
		r.tally.sealed.add(&r.s.segments, run.Segment, -int64(run.Live), -run.Bytes)
	}
	r.bulk = append(r.bulk, removed)
}

// trim removes what is ready and too much, the oldest first.
func (r *applier) trim(o *op, t trim) int {
	r.lock(o.q)
	r.room, r.trimming, r.logged = int(o.room), true, false
	n := o.q.ix.Trim(t.messages, t.bytes, r.gone, r.ranges)
	r.trimming = false
	return n
}

// noteRange notes a range of the locked queue for an ack record.
func (r *applier) noteRange(first, last uint64) {
	q := r.cur
	if !r.logging || !q.durable || r.trimming && !r.logged {
		return
	}
	r.logged = false
	for first <= last {
		n := min(last-first+1, 1<<32-1)
		if r.room > 0 {
			r.room--
			r.note(record.Ack, q, first, uint32(n))
		} else {
			r.late = append(r.late, lateRange{q, seqCount{first, uint32(n)}})
		}
		first += n
	}
}

// putLate begins the frame that has the ranges that were too many, and leaves
// it open for End. Where the log fails before it, all of the batch has had its
// effect, but these messages come back with a restart.
func (r *applier) putLate() error {
	defer func() {
		clear(r.late)
		r.late = r.late[:0]
	}()
	n := len(r.late)
	if err := r.s.log.Begin(n*(record.QueueSize+record.RangeSize), n); err != nil {
		return err
	}
	for _, l := range r.late {
		r.note(record.Ack, l.q, l.seq, l.n)
	}
	r.flushPending()
	return nil
}

// create makes a queue exist.
func (r *applier) create(q *Queue) {
	r.flushPending()
	if q.durable {
		if r.refusing {
			r.refused = true
			return
		}
		_, rec := r.s.log.Put(record.QueueSize)
		record.PutQueueWord(rec, record.CreateQueue, 0, q.id)
		r.binding = true
		r.s.queues.add(q)
	}
	r.lock(q)
	q.flags.And(^uint32(queueNew))
}

// delete makes a queue stop to exist.
func (r *applier) delete(q *Queue) int {
	r.flushPending()
	if q.flags.Load()&queueGone != 0 {
		return 0
	}
	if q.durable && r.refusing {
		r.refused = true
		return 0
	}
	r.lock(q)
	q.flags.Or(queueDeleted)
	removed := q.ix.Clear()
	q.setExpiry()
	r.take(removed)
	if q.durable {
		_, rec := r.s.log.Put(record.QueueSize)
		record.PutQueueWord(rec, record.DeleteQueue, 0, q.id)
		r.binding = true
		r.s.queues.remove(q)
	}
	return removed.Ready
}

// catalog changes an entry.
func (r *applier) catalog(kind opKind, e *catalogEntry) {
	r.flushPending()
	if r.refusing {
		r.refused = true
		return
	}
	_, rec := r.s.log.Put(record.WordSize + len(e.key) + len(e.value))
	record.PutWord(rec, record.Put, len(e.key))
	n := copy(rec[record.WordSize:], e.key)
	copy(rec[record.WordSize+n:], e.value)
	if kind == opPut {
		r.s.catalog.put(e.key, e.value)
	} else {
		record.PutWord(rec, record.Delete, len(e.key))
		r.s.catalog.delete(e.key)
	}
	r.binding = true
}
