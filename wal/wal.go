package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// LSN is a byte position in the log's endless stream, frame headers counted.
// A record's LSN is where its payload begins, so it is never 0.
type LSN uint64

// Mode says what the end of a batch means for the commit.
type Mode uint8

const (
	// Lazy never causes a commit by itself: the batch rides the next one, which
	// may be the caller's own by Lead or Wait, or one that starts
	// Options.LazyDelay later.
	Lazy Mode = iota
	// Group wakes the committer.
	Group
)

// Waiter is told the fate of a batch.
type Waiter interface {
	// Committed is called once a batch, by the goroutine that commits, when
	// the batch is durable (err is nil, and durable is at or past its end) or
	// when the log has failed. Calls for one log never overlap, and durable
	// never falls from one to the next. No lock is held, but the next commit
	// waits: it must not block, nor call Begin, Wait, Lead or Close.
	Committed(durable LSN, err error)
}

// Options sets up a log. A zero field takes its default.
type Options struct {
	// FileSize is the length in bytes at which a file ends and the next
	// begins; a single larger frame has a file of its own. Default 64 MiB.
	FileSize int64
	// ChunkSize is the size in bytes of the memory pieces that records are
	// staged in, and with that of the largest ordinary frame. Default 1 MiB.
	ChunkSize int
	// CacheSize bounds in bytes the chunks that are kept for Cached after they
	// are on disk. What is not on disk yet comes on top, and its memory is given
	// back slowly. Default 32 MiB: what consumers that keep up want is a few, and
	// twice as much was not measured to be faster.
	CacheSize int64
	// MaxStaged bounds in bytes what is appended and not yet durable: Begin
	// blocks beyond it. Default 64 MiB.
	MaxStaged int64
	// LazyDelay is how long a Lazy batch may wait for a commit to ride on.
	// Default 50 ms.
	LazyDelay time.Duration
	// FullDiskWait is how long a commit whose write found the disk full tries
	// again before the log counts as failed. Nothing was synced then and the
	// bytes are still in memory, so that, unlike after a failed sync, trying again
	// hides nothing. Default (0): until there is room or Close is called. Negative:
	// not at all.
	FullDiskWait time.Duration
	// Spares is how many files that were removed are kept, under another name,
	// for new ones to be written over: an fdatasync takes about half where
	// the file system need not note in its journal that the file has grown. They
	// take as much of the disk as they did; see DropSpares. Default (0): 6.
	// Negative: none.
	Spares int
	// Ahead is by how many bytes a file that grows by small commits, of an eighth
	// of that at most, is filled with zeros beyond them, so that the next ones
	// overwrite what is there: their fdatasync then takes about half the time.
	// Default (0): 256 KiB. Negative: not at all.
	Ahead int64
	// Logger receives what an operator should know: a torn tail, a failure.
	// Default: nothing is logged.
	Logger *slog.Logger

	nonce func() uint64 // tests fix it; nil means crypto/rand
}

// MaxBatch is the most bytes that one batch may hold, lengths counted.
const MaxBatch = 1 << 30

// ErrClosed is returned by calls on a log that was closed.
var ErrClosed = errors.New("log is closed")

// ErrNotFound is returned by ReadAt for what the log does not hold: a range
// that was removed, was never written, or leaves its file.
var ErrNotFound = errors.New("not in the log")

// ErrTooLarge is returned by Begin for a batch over MaxBatch.
var ErrTooLarge = fmt.Errorf("batch is larger than %d bytes", MaxBatch)

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	switch {
	case o.FileSize < 0 || o.FileSize > 0 && o.FileSize < 4096:
		return fmt.Errorf("wal: file size %d: want at least 4096 bytes", o.FileSize)
	case o.ChunkSize < 0 || o.ChunkSize > 0 && o.ChunkSize < 1024:
		return fmt.Errorf("wal: chunk size %d: want at least 1024 bytes", o.ChunkSize)
	case o.ChunkSize > MaxBatch:
		return fmt.Errorf("wal: chunk size %d: want at most %d bytes", o.ChunkSize, MaxBatch)
	case o.CacheSize < 0:
		return fmt.Errorf("wal: cache size %d is negative", o.CacheSize)
	case o.MaxStaged < 0:
		return fmt.Errorf("wal: staging bound %d is negative", o.MaxStaged)
	case o.LazyDelay < 0:
		return fmt.Errorf("wal: lazy delay %v is negative", o.LazyDelay)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.FileSize == 0 {
		o.FileSize = 64 << 20
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = 1 << 20
	}
	o.ChunkSize = align(o.ChunkSize)
	if o.CacheSize == 0 {
		o.CacheSize = 32 << 20
	}
	if o.MaxStaged == 0 {
		o.MaxStaged = 64 << 20
	}
	if o.LazyDelay == 0 {
		o.LazyDelay = 50 * time.Millisecond
	}
	if o.Ahead == 0 {
		o.Ahead = 256 << 10
	}
	if o.Spares == 0 {
		o.Spares = 6
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.nonce == nil {
		o.nonce = randomNonce
	}
	return o
}

// Log is an open log. Its methods may be called from any goroutine, except
// that Put and End belong to the goroutine whose Begin succeeded.
type Log struct {
	fs   vfs.FS
	dir  string
	opts Options

	// Readable without a lock. All are written under mu, but durable, which the
	// committing goroutine stores just before it takes mu.
	appended atomic.Uint64 // end of the last ended batch
	durable  atomic.Uint64 // end of the last synced frame
	boundary atomic.Uint64 // start of the open frame
	failure  atomic.Pointer[error]
	recycled atomic.Uint64 // files that were written over a spare
	prepared atomic.Uint64 // spares that Prepare has made
	zeros    atomic.Uint64 // bytes of them, and of what was filled ahead
	attempts atomic.Uint64 // of Prepare
	full     atomic.Bool   // a write waits for room; written by the owner of busy

	// mu is the append lock: held from Begin to End, and for moments by a
	// commit. It guards everything down to the blank line.
	mu      sync.Mutex
	cur     *chunk   // the chunk being filled, last in the ring
	off     int      // where the next record goes in cur
	limit   int      // end of what Begin reserved in cur, for Put's check
	fresh   int      // records in the open frame when the batch began
	open    *frame   // the frame being staged, in cur
	pending []*frame // frames that are full and not yet taken by a commit
	spare   []*frame // frames to use again, with their slices
	waits   []waitEntry
	want    bool     // something staged wants a commit now
	busy    bool     // a goroutine is inside commit
	armed   bool     // the lazy timer is running
	closed  bool     // Close has begun
	turns   turns    // of those who wait in Begin
	stop    bool     // the committer must end
	free    spares   // memory to use again
	limbo   spares   // out of the ring, but readers may still hold slices
	out     []*chunk // scratch of roll
	rolls   uint     // how often roll was called
	splits  int      // calls of Rotate that wait for busy, or have it
	stats   Stats

	work     sync.Cond // on mu; the committer sleeps here
	progress sync.Cond // on mu; signalled whenever busy falls or the log fails
	lazy     *time.Timer
	exited   chan struct{} // closed when the committer has ended
	giveUp   sync.Once
	closing  chan struct{} // closed by GiveUp

	// The ring of chunks, oldest first. Readers hold pin for reading while they
	// use slices of chunks; a chunk's memory is used again only by somebody who
	// could take pin for writing after the chunk had left the ring.
	pin  sync.RWMutex
	ring atomic.Pointer[[]*chunk]

	// Owned by whoever set busy.
	group       []*frame
	woken       []chan struct{}
	rotateAfter time.Time // no new file is tried for before

	chans chanPool

	files    fileSet
	pool     pool
	firstSeq uint64 // of the file that Open began

	recovered Summary
}

// Durable returns the LSN below which everything is on disk.
func (l *Log) Durable() LSN { return LSN(l.durable.Load()) }

// Appended returns the end of the last batch that was appended.
func (l *Log) Appended() LSN { return LSN(l.appended.Load()) }

// Boundary returns where the frame that is now being staged begins: every
// batch that was ended in an earlier frame lies below it, whole. It is the
// place from which a snapshot taken now must be replayed; the snapshot must
// not be used before Durable has reached it.
func (l *Log) Boundary() LSN { return LSN(l.boundary.Load()) }

// Err returns the failure that poisoned the log, or nil.
func (l *Log) Err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Recovered tells what Open found.
func (l *Log) Recovered() Summary { return l.recovered }
