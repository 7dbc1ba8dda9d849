package store

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leveret-mq/leveret/index"
	"github.com/leveret-mq/leveret/internal/large"
	"github.com/leveret-mq/leveret/internal/record"
	"github.com/leveret-mq/leveret/wal"
)

// A message whose body is too large for the log has a file of its own (package
// large), written by whoever publishes it, before its batch is applied, while
// other commits go on. The log then gets a small record that names the file, and
// each queue an entry that points to it. A message that needs no log has such a
// file too, rather than much memory: it is not synced, and no record names it.
//
// A file is counted by those who need it: entries, and whoever handles it at the
// moment. When the last one lets go, nothing may need it after a crash either:
// the sweep removes it when what took its last entry away is durable. Files that
// no entry names after recovery are junk, and go at once.

const (
	largeFolder = "large"

	// largeBit marks an entry's address as the number of a large file. Neither
	// positions of the log nor addresses of the arena have it.
	largeBit = 1 << 62
)

func isLarge(addr uint64) bool { return addr&(1<<63|largeBit) == largeBit }

// Upload is the body of a large message on its way into its file. One goroutine
// at a time may use it, and it must end with Finish or Abort.
type Upload struct {
	s *Store
	w *large.Writer
}

// NewUpload begins a message with a body of that many bytes. One that is to
// survive a restart must be durable. ErrTooManyUploads says that the body has to
// be taken in memory; other errors are the disk's.
func (s *Store) NewUpload(size int64, durable bool) (*Upload, error) {
	w, err := s.larges.dir.Create(size, durable)
	if err != nil {
		return nil, err
	}
	return &Upload{s: s, w: w}, nil
}

// ErrTooManyUploads is NewUpload's error where too many are under way.
var ErrTooManyUploads = large.ErrTooMany

// Size is the body's length in bytes.
func (u *Upload) Size() int64 { return u.w.Size() }

// Write adds to the body. It may wait for the disk.
func (u *Upload) Write(p []byte) (int, error) { return u.w.Write(p) }

// Abort drops the body. After Finish it does nothing.
func (u *Upload) Abort() { u.w.Abort() }

// Finish makes the body a message: m, whose own Body is not looked at. A
// durable one is on disk when it returns, which takes a while. The caller lets
// it go with Release. After an error the upload has ended too.
func (u *Upload) Finish(m Message) (*Large, error) {
	m.Body, m.Expires = nil, 0 // PublishLarge says when it expires
	if err := m.Validate(); err != nil {
		u.Abort()
		return nil, err
	}
	size := m.BlobSize()
	if size+u.Size() > 1<<32-1 {
		u.Abort()
		return nil, fmt.Errorf("message has %d bytes, more than %d", size+u.Size(), uint32(1<<32-1))
	}
	head := make([]byte, size)
	ms := time.Now().UnixMilli()
	crc := uint32(0)
	if size > record.CRCInPlace {
		crc = m.BlobCRC(uint32(size), ms)
	}
	m.PutBlob(head, ms, crc)
	number, err := u.w.Commit(head)
	if err != nil {
		return nil, err
	}
	u.s.figures.large.Add(u.Size() + int64(len(head)))
	return u.s.larges.add(number, u.Size(), head), nil
}

// Large is a body in a file of its own. Who has one by Retain or Finish must
// Release it; the file may go after that.
type Large struct {
	t      *larges
	number uint64
	size   int64 // of the body
	over   uint32
	record atomic.Uint64          // where the log has it, 0: no record names it
	head   atomic.Pointer[[]byte] // nil: not read yet

	refs int64 // t.mu
}

// Size is the body's length in bytes.
func (l *Large) Size() int64 { return l.size }

// Retain adds a reference to one that the caller knows of.
func (l *Large) Retain() { l.t.change(l, 1) }

// Release drops a reference.
func (l *Large) Release() { l.t.change(l, -1) }

// LargeReader reads a body; see large.Reader. What it returns was checked.
type LargeReader = large.Reader

// Open begins to read the body. It holds no resource.
func (l *Large) Open() (*LargeReader, error) { return l.t.dir.Reader(l.number) }

// Damaged tells whether an error of Open or of a reader means that the body
// cannot be had any more, rather than not at the moment.
func Damaged(err error) bool {
	return errors.As(err, new(*large.CorruptError)) || harmed(err)
}

// entry is what queues get of it.
func (l *Large) entry(flags uint32) index.Entry {
	return index.MakeEntry(largeBit|l.number, uint32(l.size)+l.over, uint32(l.size), flags)
}

// load reads the head, if it is not known.
func (l *Large) load() error {
	if l.head.Load() != nil {
		return nil
	}
	r, err := l.Open()
	if err != nil {
		return err
	}
	if r.Size() != l.size || len(r.Head()) != int(l.over) {
		return &large.CorruptError{File: r.Name(), Cause: fmt.Errorf("a body of %d bytes and a head of %d, where %d and %d are known",
			r.Size(), len(r.Head()), l.size, l.over)}
	}
	if err := record.CheckBlob(r.Head()); err != nil {
		return &large.CorruptError{File: r.Name(), Offset: r.Size(), Cause: err}
	}
	head := slices.Clone(r.Head())
	l.head.Store(&head)
	return nil
}

// larges are the files that somebody needs, and those that are to be removed.
type larges struct {
	dir *large.Dir

	sweep sync.Mutex // held by the one that removes files; before all others

	mu      sync.Mutex // a leaf
	files   map[uint64]*Large
	dropped []*Large // nobody needs them
	bytes   int64    // of bodies in files
}

func (t *larges) add(number uint64, size int64, head []byte) *Large {
	l := &Large{t: t, number: number, size: size, over: uint32(len(head)), refs: 1}
	l.head.Store(&head)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.insert(l)
	return l
}

// insert puts a file into the table. Under mu.
func (t *larges) insert(l *Large) {
	if t.files == nil {
		t.files = map[uint64]*Large{}
	}
	t.files[l.number] = l
	t.bytes += l.size
}

// change adds to the references of a file.
func (t *larges) change(l *Large, refs int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changeLocked(l, refs)
}

func (t *larges) changeLocked(l *Large, refs int64) {
	l.refs += refs
	if l.refs == 0 && refs < 0 {
		delete(t.files, l.number)
		t.dropped = append(t.dropped, l)
	}
}

// get returns the file of an address that an entry has, which keeps it there.
func (t *larges) get(addr uint64) *Large {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[addr&^largeBit]
}

// forget drops the reference of an entry.
func (t *larges) forget(addr uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changeLocked(t.files[addr&^largeBit], -1)
}

// found notes an entry that recovery has.
func (t *larges) found(e index.Entry, refs int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	number := e.Addr &^ largeBit
	l := t.files[number]
	if l != nil && l.refs == 0 { // it went; a number may be used again once that is known
		t.bytes -= l.size
		l = nil
	}
	if l == nil {
		l = &Large{t: t, number: number, size: e.Body(), over: e.Len - uint32(e.Body())}
		l.record.Store(1) // durable by now, wherever
		t.insert(l)
	}
	l.refs += refs // stays in the table at 0: the replay may find another entry
}

// reset forgets what recovery has found.
func (t *larges) reset() { t.files, t.dropped, t.bytes = nil, nil, 0 }

// size is what files that are needed, or not removed yet, hold.
func (t *larges) stats() (files int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.files) + len(t.dropped), t.bytes
}

// openLarges looks at the folder before recovery begins.
func (s *Store) openLarges(path string) (present []uint64, err error) {
	s.larges.dir, present, err = large.Open(s.opts.FS, path)
	return present, err
}

// recovered ends recovery: what is needed must be there, what is not goes. Low
// bounds the numbers that new files get.
func (t *larges) recovered(present []uint64, low wal.LSN) error {
	there := make(map[uint64]bool, len(present))
	for _, n := range present {
		there[n] = true
	}
	t.dir.Reserve(uint64(low))
	for n, l := range t.files {
		t.dir.Reserve(n)
		switch {
		case l.refs == 0:
			t.bytes -= l.size
			delete(t.files, n)
		case !there[n]:
			return &CorruptError{t.dir.Name(n), errors.New("it is missing, and a queue has its message; `leveret log salvage` makes a directory of what is left")}
		}
	}
	for _, n := range present {
		if t.files[n] != nil {
			continue
		}
		if err := t.dir.Remove(n); err != nil {
			return fmt.Errorf("large file that nothing names: %w", err)
		}
	}
	return nil
}

// sweepLarges removes the files that nobody needs any more, if what took their
// last entries away is durable: it waits for that.
func (s *Store) sweepLarges() {
	t := &s.larges
	t.sweep.Lock() // who finds nothing to do finds it done
	defer t.sweep.Unlock()
	t.mu.Lock()
	list := t.dropped
	t.dropped = nil
	t.mu.Unlock()
	if len(list) == 0 {
		return
	}
	// First what no record names: it waits for nothing, not even for a log that
	// waits for room.
	named := slices.DeleteFunc(list, func(l *Large) bool {
		if l.record.Load() != 0 {
			return false
		}
		t.remove(s, l)
		return true
	})
	if len(named) == 0 {
		return
	}
	if s.barrier() != nil { // the log has failed: the restart finds them needed
		t.mu.Lock()
		t.dropped = append(t.dropped, named...)
		t.mu.Unlock()
		return
	}
	for _, l := range named {
		t.remove(s, l)
	}
}

// remove removes a file that nobody needs.
func (t *larges) remove(s *Store, l *Large) {
	if err := t.dir.Remove(l.number); err != nil {
		s.opts.Logger.Warn("large file cannot be removed; the next start does", "file", t.dir.Name(l.number), "err", err)
	}
	t.mu.Lock()
	t.bytes -= l.size
	t.mu.Unlock()
}

// planLarge is planPublish of a large message.
func (r *applier) planLarge(p *publishing) {
	p.size = uint32(p.large.size) + p.large.over
	if p.logged {
		r.size += record.WordSize + p.durables*record.PairSize + record.LargeEnd(p.m.Expires)
		r.records++
	}
}

// writeLarge is write of a large message.
func (r *applier) writeLarge(p *publishing, w *written, queues, durables int) {
	l := p.large
	w.memory = l.entry(0)
	if durables > 0 {
		head := record.WordSize + durables*record.PairSize
		lsn, rec := r.s.log.Put(head + record.LargeEnd(p.m.Expires))
		record.PutWord(rec, record.PublishLarge, durables)
		record.PutLarge(rec[head:], l.number, p.size, l.over, p.m.Expires)
		w.pairs = rec[record.WordSize:head]
		w.logged = l.entry(index.Logged)
		l.record.Store(uint64(lsn))
		r.binding = true
	}
	// Before the queues have it: from then on they may let it go.
	w.expected = int64(queues)
	l.t.change(l, w.expected)
}

// LargeBytes is from where on a body should be published as a large one, in
// bytes; see Options. It is more than any body's length where none should.
func (s *Store) LargeBytes() int64 {
	if s.opts.LargeBytes < 0 {
		return math.MaxInt64
	}
	return s.opts.LargeBytes
}

// largeAt returns the file of the message seq, held, where that is large.
func (q *Queue) largeAt(seq uint64) *Large {
	q.mu.Lock()
	defer q.mu.Unlock()
	e, _, _ := q.ix.Lookup(seq)
	if e == nil || e.Sealed() || !isLarge(e.Addr) {
		return nil
	}
	l := q.s.larges.get(e.Addr)
	l.Retain()
	return l
}

// SetAside takes a claimed message out of the way whose large body cannot be
// read: it is neither delivered nor requeued any more, and tried again after a
// restart. The store does this by itself where it finds damage; a body in a file
// is read by others.
func (q *Queue) SetAside(seq uint64, cause error) { q.setAside(seq, cause) }

// recorded is the position of the record that brought an entry; body is its large
// file, or nil.
func (s *Store) recorded(e *index.Entry, body *Large) uint64 {
	if body != nil {
		return body.record.Load()
	}
	return e.Addr
}
