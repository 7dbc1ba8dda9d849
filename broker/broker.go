package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/access"
	"github.com/leveret-mq/leveret/audit"
	"github.com/leveret-mq/leveret/broker/stats"
	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/store"
	"github.com/leveret-mq/leveret/wal"
)

// Options sets up a broker. A zero field takes its default.
type Options struct {
	// Store sets up the storage engine.
	Store store.Options
	// DiskFreeLimit is how many bytes must be free on the data folder's file
	// system; below, Alarm says so. 0 is RabbitMQ's 50 MB, negative no limit.
	DiskFreeLimit int64
	// Reserve is how many bytes a file takes whose removal lets Open work on a
	// full disk. Default 4 MiB; negative: there is none.
	Reserve int64
	// MemoryLimit is how many bytes of memory the process may use; above, Alarm
	// says so. Half of it is for transient messages, others are spilled to disk,
	// and an eighth each at most for the log's cache and what waits to be written;
	// where Store says otherwise, that holds. 0 is what the function MemoryLimit
	// returns, negative no limit.
	MemoryLimit int64
	// DefaultUser is the administrator that a new broker has, with all permissions
	// in DefaultVHost. Default guest, with the password guest; one with another name
	// and no password can come in by a certificate only.
	DefaultUser, DefaultPassword string
	// DefaultVHost is the vhost that a new broker has. Default '/'.
	DefaultVHost string
	// Unseeded leaves a new broker without vhost and user, until Seed.
	Unseeded bool
	// LoopbackUsers may come from this machine only. Nil is guest alone.
	LoopbackUsers []string
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger

	gauge gauge // of tests
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	if err := o.Store.Validate(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Store.Logger == nil {
		o.Store.Logger = o.Logger
	}
	if o.Store.FS == nil {
		o.Store.FS = vfs.OS()
	}
	if o.DiskFreeLimit == 0 {
		o.DiskFreeLimit = 50_000_000
	}
	if o.MemoryLimit == 0 {
		o.MemoryLimit = MemoryLimit()
	}
	if o.DefaultUser == "" {
		o.DefaultUser = guest
		if o.DefaultPassword == "" {
			o.DefaultPassword = guest
		}
	}
	if o.DefaultVHost == "" {
		o.DefaultVHost = "/"
	}
	if o.LoopbackUsers == nil {
		o.LoopbackUsers = []string{guest}
	}
	if o.gauge == nil {
		o.gauge = newProcess()
	}
	o.shareMemory()
	if o.Reserve == 0 {
		o.Reserve = reserveSize
	}
	return o
}

// ErrClosed is returned by Close of a broker that is closed.
var ErrClosed = errors.New("broker is closed")

var errUnreadable = errors.New("the next message can not be read")

// Broker is an open broker. Its methods may be called from any goroutine.
type Broker struct {
	dir     string
	opts    Options
	log     *slog.Logger
	store   *store.Store
	expiry  *expiries
	runners sync.Pool
	stats   Stats
	started time.Time
	short   shortages
	stop    chan struct{}

	gauge     gauge
	overLimit bool // watchMemory's: more memory was in use than may be

	verifier *access.Verifier
	admin    sync.Mutex // one change of users, permissions and vhosts at a time; before mu
	limits   atomic.Pointer[Limits]
	auditLog atomic.Pointer[audit.Log]
	logins   logins

	clock           atomic.Int64 // ms since 1970, moved every 100 ms or less: for what needs no better time
	ids             atomic.Uint64
	churn           churn
	counts          [stats.QueueTypes]stats.Shared
	receivedConfirm atomic.Uint64
	deadLettered    [stats.QueueTypes][stats.Strategies][stats.DeathReasons]atomic.Uint64
	sizes           sizes // of bodies that were published

	closing atomic.Bool  // delivery is to stop
	ahead   atomic.Int32 // queues that keep what they read ahead

	// mu guards what follows.
	mu       sync.Mutex
	vhosts   map[string]*vhost
	accounts map[string]*account
	globals  map[string]json.RawMessage // parameters
	closed   bool
	hadUsers bool // Open found users, or a note that there were some
	// tasks are the goroutines that were begun; none is once closed is set.
	tasks sync.WaitGroup
}

// Stats tells what Open found.
type Stats struct {
	Queues   int           // durable ones
	Messages int           // ready in them
	Recovery time.Duration // from Open's beginning to its end
}

// Open opens the broker in a folder, which is made if it is missing. A broker
// that is new has Options.DefaultVHost and Options.DefaultUser.
func Open(dir string, o Options) (*Broker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	start := time.Now()
	st, err := store.Open(dir, o.Store)
	if noRoom(err) && releaseReserve(o.Store.FS, dir) {
		o.Logger.Warn("the disk is full; the start takes the room of the reserve", "dir", dir, "err", err)
		st, err = store.Open(dir, o.Store)
	}
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, opts: o, log: o.Logger, store: st, started: start, stop: make(chan struct{}), gauge: o.gauge,
		vhosts: map[string]*vhost{}, accounts: map[string]*account{}, globals: map[string]json.RawMessage{}, verifier: access.NewVerifier()}
	b.clock.Store(start.UnixMilli())
	b.short.changed = make(chan struct{}, 1)
	b.runners.New = func() any {
		r := &runner{b: b}
		r.doomed.claim.Moving = true
		return r
	}
	b.SetLimits(Limits{DiskFree: o.DiskFreeLimit, Memory: o.MemoryLimit, LoopbackUsers: o.LoopbackUsers})
	b.expiry = newExpiries(b)
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("broker in %s: %w", dir, err), st.Close())
	}
	if err := b.begin(); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	for _, v := range b.vhosts {
		for _, q := range v.queues {
			ready, _, _ := q.Counts()
			b.stats.Messages += ready
			b.stats.Queues++
			if l, ok := q.(*localQueue); ok && l.settings().dlx != nil && l.tooLong() {
				l.carryOn() // now that it is known where dead letters go
			}
		}
	}
	b.lookAtDisk(new(diskWatch), start)
	b.spawn(b.expiry.run)
	b.spawn(b.watchDisk)
	b.spawn(b.watchMemory)
	b.spawn(b.keepReserve)
	b.stats.Recovery = time.Since(start)
	return b, nil
}

// GiveUp lets go those who wait for room on a full disk, so that sessions can be
// closed; what they wait for fails. It is for the end of a stop's patience.
func (b *Broker) GiveUp() { b.store.GiveUp() }

// Close ends delivery and closes the store, so that the next Open has nothing
// to replay. The front ends close their sessions before.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.closed = true
	b.closing.Store(true)
	b.mu.Unlock()
	close(b.expiry.stop)
	close(b.stop)
	b.tasks.Wait()
	return b.store.Close()
}

// spawn runs f in a goroutine that Close waits for, unless the broker is
// closed.
func (b *Broker) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.tasks.Go(f)
	return true
}

// pause waits, unless the broker is closed.
func (b *Broker) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.stop:
	}
}

// Stats tells what Open found.
func (b *Broker) Stats() Stats { return b.stats }

// Durable is the LSN below which everything is on disk.
func (b *Broker) Durable() wal.LSN { return b.store.Durable() }

// Err is the failure after which the broker takes no more persistent messages,
// or nil.
func (b *Broker) Err() error { return b.store.Err() }

// Damaged counts the messages that could not be read from disk since Open and
// were set aside; their queues went on.
func (b *Broker) Damaged() int64 { return b.store.Stats().DamagedBlobs }

// Wait blocks until everything below lsn is on disk.
func (b *Broker) Wait(lsn wal.LSN) error { return b.wait(lsn) }

func (b *Broker) wait(lsn wal.LSN) error {
	if lsn == 0 || b.store.Durable() >= lsn {
		return nil
	}
	if err := b.store.Wait(lsn); err != nil {
		return errStore(err)
	}
	return nil
}

// applyNow applies a batch and waits until it is on disk.
func (b *Broker) applyNow(batch *store.Batch) error {
	if batch.Len() == 0 {
		return nil
	}
	lsn, err := b.store.Apply(batch, wal.Lazy, nil)
	if err != nil {
		return errStore(err)
	}
	return b.wait(lsn)
}
