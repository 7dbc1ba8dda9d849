package segment

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/bits"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Options are how a segment is built. The zero value is good.
type Options struct {
	// BlockSize is about how many bytes of a queue are compressed, and read,
	// together; 64 KiB by default. A longer record makes a block of its own.
	BlockSize int
	// Level is how hard to try.
	Level Level
	// Memory bounds the blocks of all queues that wait to be full, in bytes;
	// 8 MiB by default. Beyond it the fullest are written as they are, and what
	// is tiny then shares blocks.
	Memory int
	// Expires tells when a record expires, in ms since 1970; 0: never. The directory
	// then knows the earliest of each block. nil: none does.
	Expires func(payload []byte) int64
}

// expiry is when a record expires, as the format has it.
func (o *Options) expiry(payload []byte) int64 {
	if o.Expires == nil {
		return 0
	}
	return min(max(o.Expires(payload), 0), maxExpires)
}

// earlier is the earlier of two times, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (o Options) withDefaults() Options {
	o.BlockSize = cmp.Or(o.BlockSize, 64<<10)
	o.Memory = cmp.Or(o.Memory, 8<<20)
	return o
}

// Validate reports what cannot be. Zeros mean the defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.BlockSize < 1 || o.BlockSize > MaxPayload:
		return fmt.Errorf("block size of %d bytes is not between 1 and %d", o.BlockSize, MaxPayload)
	case o.Level > Better:
		return fmt.Errorf("unknown compression level %d", o.Level)
	case o.Memory < o.BlockSize:
		return fmt.Errorf("memory of %d bytes is less than a block's %d", o.Memory, o.BlockSize)
	}
	return nil
}

const (
	// A queue's part of at least BlockSize/ownShare bytes has a block of its own,
	// though it is not full; tinier ones share blocks of BlockSize/mixedShare.
	// Whoever reads one of them decompresses all, hence the smaller size.
	ownShare   = 16
	mixedShare = 4

	// Parts have memory of 256 bytes, 512 and so on up to 128 KiB, which is used
	// again, or of what a longer record needs.
	leastPart   = 8 // bits
	partClasses = 10
)

// Smaller in tests.
var (
	writeSize       = 1 << 20  // bytes of a write
	syncEvery int64 = 16 << 20 // bytes; in steps a sync holds up others less
)

// Info sums a segment up.
type Info struct {
	Number  uint64
	Size    int64 // of the file, bytes
	Raw     int64 // of its blocks before compression
	Records int
	Blocks  int
	Queues  int
	Shared  int // blocks of payloads that several records refer to
}

// Ref is a payload that is stored once for several queues.
type Ref struct {
	block   uint32 // ordinal of the shared block
	index   uint32 // of the payload in it
	expires int64  // when it does; 0 where that was read
}

// Builder writes a segment. It is for one goroutine. After an error other than
// one about an argument, Abandon is all that is left to do.
type Builder struct {
	fs      vfs.FS
	dir     string
	header  fileHeader
	opts    Options
	file    vfs.File // nil: finished or abandoned
	encoder *zstd.Encoder
	err     error // a write failed

	out      []byte // to be written
	off      int64  // where in the file
	unsynced int64  // bytes before that

	queues map[uint32]*part
	held   int // bytes of memory of all parts
	spares [partClasses][][]byte
	mixed  []byte
	list   listing
	blocks int
	raw    int64

	shared      []byte // the shared block that fills
	sharedCount uint32
}

// part is what a queue has ready for its next block.
type part struct {
	queue       uint32
	any         bool // last was added, if only to a block before
	first, last uint64
	count       uint32
	expires     int64
	buf         []byte
}

// Create begins the file of a segment, under a temporary name, in a directory
// that exists. What an earlier attempt left of that name is replaced; a
// finished segment of that number is refused with fs.ErrExist.
func Create(fsys vfs.FS, dir string, number uint64, o Options) (*Builder, error) {
	return create(fsys, dir, fileHeader{number: number, nonce: randomNonce()}, o)
}

func create(fsys vfs.FS, dir string, h fileHeader, o Options) (*Builder, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, Name(h.number))
	switch f, err := fsys.Open(name); {
	case err == nil:
		return nil, errors.Join(&fs.PathError{Op: "create segment", Path: name, Err: fs.ErrExist}, f.Close())
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	temp := filepath.Join(dir, tempName(h.number))
	f, err := fsys.Create(temp)
	if errors.Is(err, fs.ErrExist) {
		if err = fsys.Remove(temp); err == nil {
			f, err = fsys.Create(temp)
		}
	}
	if err != nil {
		_ = fsys.Remove(temp) // it may be there all the same
		return nil, err
	}
	o = o.withDefaults()
	b := &Builder{
		fs: fsys, dir: dir, header: h, opts: o, file: f,
		encoder: newEncoder(o.Level),
		queues:  map[uint32]*part{},
	}
	b.out = h.append(b.out)
	return b, nil
}

// Size is how many bytes the file has so far, without what waits in memory.
func (b *Builder) Size() int64 { return b.off + int64(len(b.out)) }

// usable is nil while records can be added.
func (b *Builder) usable() error {
	if b.file == nil {
		return fs.ErrClosed
	}
	return b.err
}

// Add adds a record and copies its payload. A queue's seqs must ascend.
func (b *Builder) Add(queue uint32, seq uint64, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("record of %d bytes is longer than %d", len(payload), MaxPayload)
	}
	p, gap, err := b.part(queue, seq, len(payload))
	if err != nil {
		return err
	}
	p.buf = appendRecord(p.buf, gap, payload)
	return b.added(p, seq, b.opts.expiry(payload))
}

// AddShared stores a payload that several records will refer to.
func (b *Builder) AddShared(payload []byte) (Ref, error) {
	if len(payload) > MaxPayload {
		return Ref{}, fmt.Errorf("record of %d bytes is longer than %d", len(payload), MaxPayload)
	}
	if err := b.usable(); err != nil {
		return Ref{}, err
	}
	if b.sharedCount > 0 && len(b.shared)+maxHead+len(payload) > b.opts.BlockSize {
		if err := b.writeShared(); err != nil {
			return Ref{}, err
		}
	}
	b.shared = appendRecord(b.shared, 0, payload)
	b.sharedCount++
	return Ref{uint32(len(b.list.shared)), b.sharedCount - 1, b.opts.expiry(payload)}, nil
}

// AddRef adds a record with the payload that AddShared of this Builder has
// returned r for.
func (b *Builder) AddRef(queue uint32, seq uint64, r Ref) error {
	if int(r.block) > len(b.list.shared) || int(r.block) == len(b.list.shared) && r.index >= b.sharedCount {
		return errRefersAmiss
	}
	p, gap, err := b.part(queue, seq, 0)
	if err != nil {
		return err
	}
	p.buf = appendReference(p.buf, gap, r)
	return b.added(p, seq, r.expires)
}

// part makes room in the part of a queue for n bytes more. gap is for the
// record's head.
func (b *Builder) part(queue uint32, seq uint64, n int) (p *part, gap uint64, err error) {
	if err := b.usable(); err != nil {
		return nil, 0, err
	}
	p = b.queues[queue]
	if p == nil {
		p = &part{queue: queue}
		b.queues[queue] = p
	}
	if p.any && seq <= p.last {
		return nil, 0, fmt.Errorf("record %d of queue %d comes after %d", seq, queue, p.last)
	}
	if p.count > 0 && len(p.buf)+maxHead+n > b.opts.BlockSize {
		if err := b.writePart(p); err != nil {
			return nil, 0, err
		}
	}
	b.grow(p, len(p.buf)+maxHead+n)
	if p.count == 0 {
		p.first, p.expires = seq, 0
		return p, 0, nil
	}
	return p, seq - p.last - 1, nil
}

// grow gives a part memory for n bytes in all.
func (b *Builder) grow(p *part, n int) {
	if n <= cap(p.buf) {
		return
	}
	k := max(bits.Len(uint(n-1))-leastPart, 0)
	var buf []byte
	if k >= len(b.spares) {
		buf = make([]byte, 0, max(n, 2*cap(p.buf)))
	} else if last := len(b.spares[k]) - 1; last >= 0 {
		buf, b.spares[k] = b.spares[k][last], b.spares[k][:last]
	} else {
		buf = make([]byte, 0, 1<<(k+leastPart))
	}
	buf = append(buf, p.buf...)
	b.release(p)
	p.buf = buf
	b.held += cap(buf)
}

// added counts a record that was appended to p.
func (b *Builder) added(p *part, seq uint64, expires int64) error {
	p.last, p.any = seq, true
	p.expires = earlier(p.expires, expires)
	p.count++
	if len(p.buf) >= b.opts.BlockSize {
		if err := b.writePart(p); err != nil {
			return err
		}
	}
	if b.held > b.opts.Memory {
		return b.writeParts(b.opts.Memory / 2)
	}
	return nil
}

// writePart writes a queue's part as a block of its own.
func (b *Builder) writePart(p *part) error {
	h := blockHeader{kind: kindQueue, queue: p.queue, first: p.first, last: p.last, count: p.count, expires: p.expires}
	at, err := b.writeBlock(&h, p.buf)
	if err != nil {
		return err
	}
	b.list.sections = append(b.list.sections, listed{
		entry{first: p.first, last: p.last, place: at, count: p.count, expires: p.expires}, p.queue, uint32(len(p.buf))})
	p.buf, p.count = p.buf[:0], 0
	if cap(p.buf) > 2*b.opts.BlockSize {
		b.release(p) // there was a long record
	}
	return nil
}

// release takes a part's memory away.
func (b *Builder) release(p *part) {
	n := cap(p.buf)
	b.held -= n
	if k := bits.Len(uint(n)) - 1 - leastPart; k >= 0 && k < len(b.spares) {
		b.spares[k] = append(b.spares[k], p.buf[:0])
	}
	p.buf = nil
}

// writeParts writes parts, the longest first, until they hold no more memory
// than that; the tiny ones all, and together.
func (b *Builder) writeParts(memory int) error {
	parts := make([]*part, 0, len(b.queues))
	for _, p := range b.queues {
		if p.count > 0 {
			parts = append(parts, p)
		} else if p.buf != nil {
			b.release(p)
		}
	}
	slices.SortFunc(parts, func(p, q *part) int {
		return cmp.Or(cmp.Compare(len(q.buf), len(p.buf)), cmp.Compare(p.queue, q.queue))
	})
	n, held := 0, b.held
	for n < len(parts) && held > memory && len(parts[n].buf) >= b.opts.BlockSize/ownShare {
		held -= cap(parts[n].buf)
		n++
	}
	byQueue := func(p, q *part) int { return cmp.Compare(p.queue, q.queue) }
	own, tiny := parts[:n], parts[n:]
	slices.SortFunc(own, byQueue)
	for _, p := range own {
		if err := b.writePart(p); err != nil {
			return err
		}
		if p.buf != nil {
			b.release(p)
		}
	}
	if held <= memory {
		return nil
	}
	slices.SortFunc(tiny, byQueue)
	for len(tiny) > 0 {
		n, size := 1, len(tiny[0].buf)
		for n < len(tiny) && size+len(tiny[n].buf) <= b.opts.BlockSize/mixedShare {
			size += len(tiny[n].buf)
			n++
		}
		if err := b.writeMixed(tiny[:n]); err != nil {
			return err
		}
		tiny = tiny[n:]
	}
	return nil
}

// writeMixed writes a block with a section for each part.
func (b *Builder) writeMixed(parts []*part) error {
	if len(parts) == 1 {
		err := b.writePart(parts[0])
		if err == nil && parts[0].buf != nil {
			b.release(parts[0])
		}
		return err
	}
	h := blockHeader{kind: kindMixed}
	b.mixed = b.mixed[:0]
	prev := int64(-1)
	for _, p := range parts {
		s := section{queue: p.queue, first: p.first, count: p.count}
		b.mixed = appendSection(b.mixed, prev, &s, len(p.buf))
		b.mixed = append(b.mixed, p.buf...)
		prev = int64(p.queue)
		h.count += p.count
		h.expires = earlier(h.expires, p.expires)
	}
	at, err := b.writeBlock(&h, b.mixed)
	if err != nil {
		return err
	}
	for _, p := range parts {
		b.list.sections = append(b.list.sections, listed{
			entry{first: p.first, last: p.last, place: at, count: p.count, expires: h.expires}, p.queue, uint32(len(p.buf))})
		p.count = 0
		b.release(p)
	}
	return nil
}

func (b *Builder) writeShared() error {
	ordinal := uint64(len(b.list.shared))
	h := blockHeader{kind: kindShared, first: ordinal, last: ordinal, count: b.sharedCount}
	at, err := b.writeBlock(&h, b.shared)
	if err != nil {
		return err
	}
	b.list.shared = append(b.list.shared, at)
	b.shared, b.sharedCount = b.shared[:0], 0
	if cap(b.shared) > 2*b.opts.BlockSize {
		b.shared = nil
	}
	return nil
}

// writeBlock compresses a block behind what is to be written.
func (b *Builder) writeBlock(h *blockHeader, raw []byte) (place, error) {
	at := len(b.out)
	off := b.off + int64(at)
	b.out = append(b.out, make([]byte, blockHeaderSize)...)
	b.out, h.codec = pack(b.encoder, b.out, raw)
	stored := b.out[at+blockHeaderSize:]
	h.mark = b.header.nonce + uint64(off)
	h.raw, h.stored = uint32(len(raw)), uint32(len(stored))
	h.payloadCRC = crc32.Checksum(stored, castagnoli)
	h.put(b.out[at:])
	if h.kind != kindDirectory {
		b.blocks++
		b.raw += int64(len(raw))
	}
	if len(b.out) >= writeSize {
		if err := b.flush(); err != nil {
			return place{}, err
		}
	}
	return place{off, uint32(h.size())}, nil
}

// flush writes what was gathered.
func (b *Builder) flush() error {
	if _, err := b.file.WriteAt(b.out, b.off); err != nil {
		b.err = err
		return err
	}
	n := int64(len(b.out))
	b.off += n
	b.unsynced += n
	if b.out = b.out[:0]; cap(b.out) > 2*writeSize {
		b.out = nil
	}
	if b.unsynced >= syncEvery {
		return b.sync()
	}
	return nil
}

func (b *Builder) sync() error {
	b.unsynced = 0
	if err := b.file.Sync(); err != nil {
		b.err = err // never again: a second sync may lie
		return err
	}
	return nil
}

// Finish writes what is left and gives the file its name. The segment is durable
// when it returns; after an error there is none, and no file of its name unless
// its removal failed too.
func (b *Builder) Finish() (Info, error) {
	if b.file == nil {
		return Info{}, fs.ErrClosed
	}
	info, err := b.finish()
	if err != nil {
		b.Abandon()
		return Info{}, err
	}
	return info, nil
}

func (b *Builder) finish() (Info, error) {
	if b.err != nil {
		return Info{}, b.err
	}
	if err := b.writeParts(0); err != nil {
		return Info{}, err
	}
	if b.sharedCount > 0 {
		if err := b.writeShared(); err != nil {
			return Info{}, err
		}
	}
	info := Info{Number: b.header.number, Raw: b.raw, Blocks: b.blocks}
	d := b.list.directory(b.header.nonce, info, nil)
	at, err := b.writeBlock(&blockHeader{kind: kindDirectory}, d.append(nil))
	if err != nil {
		return Info{}, err
	}
	b.out = d.footer(b.header, at).append(b.out)
	if err := b.flush(); err != nil {
		return Info{}, err
	}
	if b.unsynced > 0 {
		if err := b.sync(); err != nil {
			return Info{}, err
		}
	}
	info = d.info
	info.Size = b.off
	err = b.file.Close()
	b.close()
	temp, name := filepath.Join(b.dir, tempName(b.header.number)), filepath.Join(b.dir, Name(b.header.number))
	if err == nil {
		err = b.fs.Rename(temp, name)
	}
	if err == nil {
		err = b.fs.SyncDir(b.dir)
	}
	if err == nil {
		return info, nil
	}
	for _, name := range []string{temp, name} { // a rename that fails may have been done
		if e := b.fs.Remove(name); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return Info{}, err
}

// footer is what ends a file with this directory.
func (d *directory) footer(h fileHeader, at place) *footer {
	return &footer{
		fileHeader: h,
		directory:  at.off,
		dirSize:    at.size,
		blocks:     uint32(d.info.Blocks),
		queues:     uint32(d.info.Queues),
		records:    uint64(d.info.Records),
		raw:        uint64(d.info.Raw),
	}
}

// close gives back all but the file.
func (b *Builder) close() {
	b.file = nil
	b.queues, b.out, b.mixed, b.shared, b.list = nil, nil, nil, nil, listing{}
	clear(b.spares[:])
	b.encoder = nil
}

// Abandon gives the segment up and removes its file; what cannot be removed is
// for whoever cleans the directory. After Finish it does nothing.
func (b *Builder) Abandon() {
	if b.file == nil {
		return
	}
	_ = b.file.Close()
	b.close()
	_ = b.fs.Remove(filepath.Join(b.dir, tempName(b.header.number)))
}

// Remove unlinks the file of a segment. It is gone for good when the directory
// was synced.
func Remove(fsys vfs.FS, dir string, number uint64) error {
	return fsys.Remove(filepath.Join(dir, Name(number)))
}
