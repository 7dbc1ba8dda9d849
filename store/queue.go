package store

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/wal"
)

// Limits bound a queue's ready messages.
type Limits struct {
	MaxMessages int64 // 0: no limit; negative: not one message
	MaxBytes    int64 // of bodies; 0: no limit; negative: not one message
	// TellRefused: Batch.Refusals tells what was refused.
	TellRefused bool
	// RejectPublish refuses what passes the limits. Without it the store
	// enforces nothing: dropping the oldest is the caller's.
	RejectPublish bool
	// Shared, where it is set, are the queues whose messages count too.
	Shared *Shared
}

// QueueOptions are those of Batch.CreateQueue. They are not stored: set limits
// again after a restart.
type QueueOptions struct{ Limits Limits }

// Flags of a queue that an appender looks at without its lock.
const (
	queueNew     = 1 << iota // its batch was not applied yet
	queueDeleted             // for good
	queueLimited             // refuses what passes its limits

	queueGone = queueNew | queueDeleted
)

// Queue is a queue of messages. Its methods may be called from any goroutine;
// none does I/O but Measure, and Claim where it is told to.
type Queue struct {
	s       *Store
	id      uint32
	slot    int32 // in the registry; under its lock
	durable bool

	// flags changes under mu and, where the queue is durable, within the log's
	// append lock: who holds that can rely on it.
	flags atomic.Uint32
	// nextExpiry is as the method says; it changes under mu.
	nextExpiry atomic.Int64

	// mu guards all below. It is held shortly and never while waiting; the
	// log's append lock is taken before it, never under it.
	mu        sync.Mutex
	ix        index.Queue
	limits    *Limits
	held      int64 // room promised to publishes that are on their way
	heldBytes int64
	consuming bool
	window    uint32 // of the delivered mark
	// ttl is the queue's time to live in ms, and 1; 0: it has none. Where it has one,
	// no ready message was published before oldest, of which 0 says nothing.
	ttl, oldest int64

	// The delivered mark; see mark.go.
	safe    uint64  // all below is marked, durably
	markLSN wal.LSN // when this is durable, safe is the index's mark; 0: it is
}

// ID names a durable queue in the log, for good: it is never given to another
// one. Transient queues have none; theirs is 0.
func (q *Queue) ID() uint32 { return q.id }

// Durable tells whether the queue survives a restart.
func (q *Queue) Durable() bool { return q.durable }

// Deleted tells whether the queue was deleted. Then everything on it does
// nothing.
func (q *Queue) Deleted() bool { return q.flags.Load()&queueDeleted != 0 }

// Counts returns the number of ready messages, of those that are claimed and
// not acked, and the bytes in the bodies of the ready ones.
func (q *Queue) Counts() (ready, unacked int, readyBytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ix.Ready(), q.ix.Unacked(), q.ix.ReadyBytes()
}

// Holding is what a queue has. Bytes are those of bodies; of messages in segments that
// nobody has looked at only their sum is known, so that they are near the truth.
type Holding struct {
	Ready, Unacked           int
	ReadyBytes, UnackedBytes int64
	Persistent               int // of both, those that outlive the process
	PersistentBytes          int64
}

// Holds tells what there is in the queue, apart from what was set aside.
func (q *Queue) Holds() Holding {
	q.mu.Lock()
	defer q.mu.Unlock()
	h := Holding{
		Ready: q.ix.Ready(), Unacked: q.ix.Unacked(),
		ReadyBytes: q.ix.ReadyBytes(), UnackedBytes: q.ix.UnackedBytes(),
	}
	n, bytes := q.ix.Transient()
	h.Persistent = max(h.Ready+h.Unacked-n, 0)
	h.PersistentBytes = max(h.ReadyBytes+h.UnackedBytes-bytes, 0)
	return h
}

// Requeued tells how often a message of the queue was requeued.
func (q *Queue) Requeued(seq uint64) uint32 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ix.Count(seq)
}

// SetConsuming tells whether consumers are attached. While they are, messages
// that will be claimed soon are marked as delivered by the record that brings
// them, which spares Claim the wait.
func (q *Queue) SetConsuming(consuming bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.consuming = consuming
}

// Shared are queues whose limits count the messages of all of them. All have the
// same limits.
type Shared struct {
	mu     sync.Mutex // after the log's append lock, before the queues'
	queues []*Queue
}

func (s *Shared) add(q *Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.queues, q) {
		s.queues = append(s.queues, q)
	}
}

// SetLimits replaces the limits. What is in the queue stays. Shared limits stay
// shared by those that had them once.
func (q *Queue) SetLimits(l Limits) {
	if l.Shared != nil {
		l.Shared.add(q)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.RejectPublish && (l.MaxMessages != 0 || l.MaxBytes != 0) {
		q.limits = &l
		q.flags.Or(queueLimited)
	} else {
		q.limits = nil
		q.flags.And(^uint32(queueLimited))
	}
}

// load is what counts for limits: what is ready, and what is on its way. Under mu.
func (q *Queue) load() (messages, bytes int64) {
	return int64(q.ix.Ready()) + q.held, q.ix.ReadyBytes() + q.heldBytes
}

// room tells whether a message of that many body bytes is within the limits, with
// so much there.
func (l *Limits) room(messages, bytes, body int64) bool {
	if l.MaxMessages != 0 && messages+1 > l.MaxMessages {
		return false
	}
	return l.MaxBytes == 0 || bytes+body <= l.MaxBytes
}

// registry holds the durable queues that exist. Like the catalog's entries,
// they keep their slots, so that a checkpoint can walk them a few at a time.
type registry struct {
	mu    sync.Mutex // a leaf
	byID  map[uint32]*Queue
	slots []*Queue
	free  []int32
}

func (r *registry) add(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[uint32]*Queue{}
	}
	r.byID[q.id] = q
	if n := len(r.free); n > 0 {
		q.slot = r.free[n-1]
		r.free = r.free[:n-1]
		r.slots[q.slot] = q
		return
	}
	q.slot = int32(len(r.slots))
	r.slots = append(r.slots, q)
}

func (r *registry) remove(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[q.id] != q {
		return
	}
	delete(r.byID, q.id)
	r.slots[q.slot] = nil
	r.free = append(r.free, q.slot)
}

func (r *registry) get(id uint32) *Queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

// next is catalog.next for queues.
func (r *registry) next(i int, buf []*Queue) ([]*Queue, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	buf = buf[:0]
	for ; i < len(r.slots); i++ {
		if len(buf) == cap(buf) {
			return buf, i
		}
		if r.slots[i] != nil {
			buf = append(buf, r.slots[i])
		}
	}
	return buf, -1
}

// Queue returns the durable queue with that id, nil where there is none.
func (s *Store) Queue(id uint32) *Queue { return s.queues.get(id) }

// Queues calls fn with every durable queue, in no order, until it returns
// false.
func (s *Store) Queues(fn func(*Queue) bool) {
	buf := make([]*Queue, 0, 256)
	for i := 0; i >= 0; {
		buf, i = s.queues.next(i, buf)
		for _, q := range buf {
			if !fn(q) {
				return
			}
		}
	}
}
