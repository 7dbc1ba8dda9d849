package store

import (
	"errors"
	"time"

	"github.com/leveret-mq/leveret/wal"
)

var errNotYet = errors.New("store: being built")

type Store struct{}

func Open(dir string, o Options) (*Store, error) { return nil, errNotYet }

func (s *Store) NewBatch() *Batch { return &Batch{s: s} }

// Apply makes a batch happen: one frame of the log, whole or not at all. It returns the LSN that Durable must reach
// for what the batch must not lose (persistent publishes, purges, topology, catalog; in an Atomic batch also acks),
// 0 where there is nothing of the kind; then w is not kept. w, if not nil, is called once when it is durable or failed.
func (s *Store) Apply(b *Batch, m wal.Mode, w wal.Waiter) (wal.LSN, error) { return 0, errNotYet }

func (s *Store) Lead()                       {}
func (s *Store) Wait(lsn wal.LSN) error      { return errNotYet }
func (s *Store) Durable() wal.LSN            { return 0 }
func (s *Store) Err() error                  { return errNotYet }
func (s *Store) Checkpoint() error           { return errNotYet }
func (s *Store) Close() error                { return errNotYet }
func (s *Store) Stats() Stats                { return Stats{} }
func (s *Store) Queue(id uint32) *Queue      { return nil } // durable queues: recovered or made since
func (s *Store) Queues(fn func(*Queue) bool) {}
func (s *Store) Catalog(fn func(key string, value []byte) error) error { // in no order; value is not to be changed or kept
	return errNotYet
}

type Stats struct {
	Recovered    int // messages
	RecoveryTime time.Duration
}

type Limits struct {
	MaxMessages   int64 // of ready messages; 0: none, negative: not one
	MaxBytes      int64 // of ready bodies; likewise
	RejectPublish bool  // without it the store enforces nothing
}

type QueueOptions struct{ Limits Limits }

type Queue struct{}

func (q *Queue) ID() uint32                                     { return 0 }
func (q *Queue) Durable() bool                                  { return false }
func (q *Queue) Deleted() bool                                  { return false }
func (q *Queue) Claim(c *Claim, max int, disk bool) Status      { return Empty }
func (q *Queue) Unclaim(c *Claim, from int)                     {} // before Release
func (q *Queue) Counts() (ready, unacked int, readyBytes int64) { return }
func (q *Queue) SetConsuming(bool)                              {}
func (q *Queue) SetLimits(Limits)                               {}

type Status uint8

const (
	Empty    Status = iota // nothing is ready
	Claimed                // Items has at least one
	Cold                   // the next body is not in memory: call again with disk=true
	Unmarked               // wait for LSN Claim.WaitFor, then call again
)

// Claim zero value is ready to use; reuse it.
type Claim struct {
	Items   []Item
	WaitFor wal.LSN
}

func (c *Claim) Release() {}

// Batch is made by Store.NewBatch, recorded into, applied, Reset and used again. One goroutine at a time.
type Batch struct{ s *Store }

func (b *Batch) Reset()                                          {}
func (b *Batch) Len() int                                        { return 0 }
func (b *Batch) Atomic()                                         {}           // until Reset; see Apply
func (b *Batch) Publish(m Message, queues []*Queue) (index int)  { return 0 } // queues is copied, m's slices are borrowed until Apply returns
func (b *Batch) Ack(q *Queue, seq uint64)                        {}           // ready messages too (drop-head, expiry: Claim then Ack)
func (b *Batch) Requeue(q *Queue, seq uint64)                    {}
func (b *Batch) Purge(q *Queue) (index int)                      { return 0 }   // ready messages; Removed(index) says how many
func (b *Batch) CreateQueue(durable bool, o QueueOptions) *Queue { return nil } // has its ID at once; exists from Apply on; may be used later in the same batch
func (b *Batch) DeleteQueue(q *Queue) (index int)                { return 0 }   // Removed(index): ready messages it had
func (b *Batch) Put(key string, value []byte)                    {}
func (b *Batch) Delete(key string)                               {}
func (b *Batch) Rejected(index int) bool                         { return false } // of Publish, after Apply until Reset
func (b *Batch) Rejections() int                                 { return 0 }
func (b *Batch) Removed(index int) int                           { return 0 }
