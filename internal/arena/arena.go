package arena

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

const (
	// ChunkSize is the default of Options.ChunkSize, in bytes.
	ChunkSize = 1 << 20
	// spares is how many empty chunks are kept for later.
	spares = 4

	// Bit is set in all addresses. Behind it stand a chunk's number and an offset.
	Bit   = 1 << 63
	shift = 32
)

// Options sets up an arena. A zero field takes its default.
type Options struct {
	// FS is where the files are. Default: the operating system.
	FS vfs.FS
	// Limit is how many bytes of chunks may be in memory before some are
	// spilled. Default 256 MiB. Negative: nothing is spilled.
	Limit int64
	// ChunkSize is what a chunk holds, in bytes, but for one that holds what is
	// larger. Default 1 MiB.
	ChunkSize int
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
}

// Validate reports the first option that makes no sense.
func (o *Options) Validate() error {
	if o.ChunkSize < 0 {
		return fmt.Errorf("arena: chunks of %d bytes", o.ChunkSize)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Limit == 0 {
		o.Limit = 256 << 20
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = ChunkSize
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Arena is memory with files behind it. Its methods may be called from any
// goroutine.
type Arena struct {
	dir  string
	opts Options

	// table finds a chunk by number. A slot is written under mu before an
	// address in it is known to anybody, so readers need no lock.
	table atomic.Pointer[[]*Chunk]
	// behind: so much is in memory that Pace waits.
	behind  atomic.Bool
	pressed atomic.Bool

	wake chan struct{} // of size 1: the spiller has cause to look
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // a leaf: nothing is locked under it
	cur    *Chunk     // being filled
	off    int        // how far
	holes  []uint64   // free slots of table
	spare  [][]byte
	memory int64 // in chunks, in bytes

	// What the spiller works on.
	full     list          // chunks in memory that are not being filled, the oldest first
	stuck    []*Chunk      // seen by the last survey; perhaps gone since
	surveyed time.Time     // when that was
	dead     []uint64      // files to be removed
	working  bool          // the spiller has something to do
	failure  error         // of the last attempt to write a chunk
	progress chan struct{} // closed when any of this changes, where somebody waits; else nil
	started  bool          // the spiller
	closed   bool
	next     uint64 // number of the next file

	disk                  int64 // in files, in bytes
	spilled, spilledBytes int64 // since Open
	reads, readBytes      atomic.Int64
}

// Chunk is a piece of memory, or of disk.
type Chunk struct {
	no   uint64
	size int
	// buf is the memory. It may be touched by whoever has a pin.
	buf []byte
	// refs counts the entries that point into the chunk, those that somebody is
	// about to make, the pins, and one while it is being filled. Who takes it to
	// zero discards the chunk.
	refs atomic.Int64
	// pins counts those who use the memory: appenders and readers. onDisk: there
	// is none. Who has a pin has a reference, too.
	pins atomic.Int64

	// Under Arena.mu.
	used       int    // bytes that were given out
	given      int64  // entries that were made, or about to
	file       uint64 // that has the bytes; 0: none. Set before pins is onDisk
	listed     bool
	prev, next *Chunk // in Arena.full
	seen       int64  // refs, when the last survey came by
	since      time.Time
}

const onDisk = -1

// Reserve finds n bytes in one chunk, for refs entries. They are the caller's to
// fill until it calls Done.
func (a *Arena) Reserve(n int, refs int64) (c *Chunk, off int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > a.opts.ChunkSize {
		c = &Chunk{buf: make([]byte, n)}
		a.insert(c)
		a.full.push(c)
	} else {
		if a.cur != nil && a.cur.refs.Load() == 1 {
			a.off, a.cur.given = 0, 0 // all its messages have gone
		}
		if a.cur == nil || a.off+n > a.opts.ChunkSize {
			a.begin()
		}
		c, off = a.cur, a.off
		a.off += n
	}
	c.used = off + n
	c.given += refs
	c.refs.Add(refs + 1)
	c.pins.Add(1)
	return c, off
}

// begin takes a new chunk to be filled. Under mu.
func (a *Arena) begin() {
	if c := a.cur; c != nil {
		a.full.push(c)
		if c.refs.Add(-1) == 0 {
			a.discard(c)
		}
	}
	c := &Chunk{}
	if k := len(a.spare); k > 0 {
		c.buf, a.spare[k-1] = a.spare[k-1], nil
		a.spare = a.spare[:k-1]
	} else {
		c.buf = make([]byte, a.opts.ChunkSize)
	}
	a.insert(c)
	c.refs.Store(1)
	a.cur, a.off = c, 0
}

// Done ends what Reserve began: the bytes are filled in, and so many of the
// entries were not made after all.
func (a *Arena) Done(c *Chunk, unused int64) {
	c.pins.Add(-1)
	a.Release(c, unused+1)
}

// insert gives a chunk a number. Under mu.
func (a *Arena) insert(c *Chunk) {
	c.size = len(c.buf)
	a.grow(int64(c.size))
	var table []*Chunk
	if t := a.table.Load(); t != nil {
		table = *t
	}
	if k := len(a.holes); k > 0 {
		c.no = a.holes[k-1]
		a.holes = a.holes[:k-1]
		table[c.no] = c
		return
	}
	// Readers may hold the old slice; they look only at slots that they know.
	c.no = uint64(len(table))
	table = append(table, c)
	a.table.Store(&table)
}

// discard takes a chunk's number away, keeps its memory if few are kept, and
// leaves its file to the spiller. Under mu; refs is zero.
func (a *Arena) discard(c *Chunk) {
	(*a.table.Load())[c.no] = nil
	a.holes = append(a.holes, c.no)
	a.full.remove(c)
	if c.buf != nil {
		a.drop(c)
	}
	if c.file != 0 {
		a.disk -= int64(c.used)
		a.dead = append(a.dead, c.file)
		a.rouse()
	}
}

// drop frees a chunk's memory. Under mu; nobody has a pin.
func (a *Arena) drop(c *Chunk) {
	if c.size == a.opts.ChunkSize && len(a.spare) < spares {
		a.spare = append(a.spare, c.buf)
	}
	c.buf = nil
	a.grow(-int64(c.size))
}

// Chunk returns the chunk of an address to which the caller knows a reference.
func (a *Arena) Chunk(addr uint64) *Chunk {
	return (*a.table.Load())[addr&^Bit>>shift]
}

// Release drops references of entries.
func (a *Arena) Release(c *Chunk, refs int64) {
	if refs != 0 && c.refs.Add(-refs) == 0 {
		a.mu.Lock()
		a.discard(c)
		a.mu.Unlock()
	}
}

// File is the number of the chunk's file, 0 where it is in memory alone. Numbers
// are never used twice. The caller knows a reference.
func (c *Chunk) File() uint64 {
	if c.pins.Load() != onDisk {
		return 0
	}
	return c.file
}

// Hold adds a reference. The caller knows one.
func (c *Chunk) Hold() { c.refs.Add(1) }

// Pin keeps the chunk's memory until Unpin, and the chunk itself. It returns
// false where there is none: the bytes are on disk, for good. The caller knows a
// reference.
func (c *Chunk) Pin() bool {
	for {
		n := c.pins.Load()
		if n == onDisk {
			return false
		}
		if c.pins.CompareAndSwap(n, n+1) {
			c.refs.Add(1)
			return true
		}
	}
}

// Unpin is the reverse of Pin.
func (a *Arena) Unpin(c *Chunk) {
	c.pins.Add(-1)
	a.Release(c, 1)
}

// Addr is the address of the byte at off.
func (c *Chunk) Addr(off int) uint64 { return Bit | c.no<<shift | uint64(off) }

// End is the address behind the chunk's last byte.
func (c *Chunk) End() uint64 { return c.Addr(c.size) }

// Slice returns the n bytes at addr. The caller has a pin.
func (c *Chunk) Slice(addr uint64, n uint32) []byte {
	off := addr & (1<<shift - 1)
	end := off + uint64(n)
	return c.buf[off:end:end]
}

// Stats are an arena's figures.
type Stats struct {
	Memory       int64 // in chunks, in bytes
	Disk         int64 // in files, in bytes
	Spilled      int64 // chunks that were written since Open
	SpilledBytes int64 // in them
	Reads        int64 // of files since Open
	ReadBytes    int64
	Failure      error // why the last attempt to write a chunk failed, nil where it did not
}

// Stats returns the figures.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{
		Memory: a.memory, Disk: a.disk, Spilled: a.spilled, SpilledBytes: a.spilledBytes,
		Reads: a.reads.Load(), ReadBytes: a.readBytes.Load(), Failure: a.failure,
	}
}

// String is for messages.
func (s Stats) String() string {
	return fmt.Sprintf("%d bytes in memory, %d on disk", s.Memory, s.Disk)
}

// list is a list of chunks in the order in which they became full. Under
// Arena.mu.
type list struct{ head, tail *Chunk }

func (l *list) push(c *Chunk) {
	c.listed = true
	c.prev, c.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = c
	} else {
		l.head = c
	}
	l.tail = c
}

func (l *list) remove(c *Chunk) {
	if !c.listed {
		return
	}
	c.listed = false
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.head = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = nil, nil
}
