package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// ErrCold says that an answer needs the disk.
var ErrCold = errors.New("segment's data is not in memory")

// tailSize is what is read from the end of a file to begin with: for most
// segments the whole directory.
const tailSize = 16 << 10

// Reader reads a segment. It is safe for concurrent use.
type Reader struct {
	fs     vfs.FS
	name   string // path
	number uint64
	cache  *Cache
	id     uint64 // in the cache

	dir    atomic.Pointer[directory] // nil until it was read
	damage atomic.Pointer[CorruptError]
	loadMu sync.Mutex // who reads the directory

	// mu is held for reading while the file is read, for writing to open and
	// close it.
	mu     sync.RWMutex
	file   vfs.File // nil until it was opened
	closed atomic.Bool
}

// lastReader numbers readers, in all caches.
var lastReader atomic.Uint64

// Open returns a Reader of a segment, whose file is opened and whose directory
// is read on first use. c keeps what was decompressed; nil is a small cache of
// the Reader's own.
func Open(fsys vfs.FS, dir string, number uint64, c *Cache) *Reader {
	if c == nil {
		c = NewCache(1 << 20)
	}
	return &Reader{fs: fsys, name: filepath.Join(dir, Name(number)), number: number, cache: c, id: lastReader.Add(1)}
}

// Number is the segment's number.
func (r *Reader) Number() uint64 { return r.number }

// Close closes the file and forgets the blocks in the cache. It waits for reads
// of the file to end. Blocks that somebody holds stay, and a Cursor may go on in
// the one that it holds; what needs another fails with fs.ErrClosed.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Swap(true) {
		return nil
	}
	r.cache.forget(r.id)
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Damage tells what was wrong with the footer or the directory, if they have
// been read: the directory was then put together from the blocks.
func (r *Reader) Damage() error {
	if d := r.damage.Load(); d != nil {
		return d
	}
	return nil
}

// Info sums the segment up. It reads the directory.
func (r *Reader) Info() (Info, error) {
	d, err := r.directory(true)
	if err != nil {
		return Info{}, err
	}
	return d.info, nil
}

// QueueInfo is what the directory knows of a queue.
type QueueInfo struct {
	Queue       uint32
	Records     int
	First, Last uint64
	Blocks      int   // with records of the queue
	Raw         int64 // bytes before compression, without payloads that are referred to
}

// Queues lists the queues, ascending. It reads the directory.
func (r *Reader) Queues() ([]QueueInfo, error) {
	d, err := r.directory(true)
	if err != nil {
		return nil, err
	}
	list := make([]QueueInfo, len(d.rows))
	for i, row := range d.rows {
		entries := d.entriesOf(i)
		list[i] = QueueInfo{
			Queue: row.queue, Records: int(row.records), Raw: int64(row.raw), Blocks: len(entries),
			First: entries[0].first, Last: entries[len(entries)-1].last,
		}
	}
	return list, nil
}

// BlockInfo is what the directory knows of a block, as far as it concerns a queue.
type BlockInfo struct {
	First, Last uint64 // seqs
	Expires     int64  // no record in it expires before; 0: none ever does
}

// BlockOf returns the queue's block that has the record with seq or, where there is
// none, the next one; io.EOF where there is none behind it either. It reads the
// directory.
func (r *Reader) BlockOf(queue uint32, seq uint64) (BlockInfo, error) {
	d, err := r.directory(true)
	if err != nil {
		return BlockInfo{}, err
	}
	list := d.of(queue)
	i := search(list, seq)
	if i == len(list) {
		return BlockInfo{}, io.EOF
	}
	e := &list[i]
	return BlockInfo{First: e.first, Last: e.last, Expires: e.expires}, nil
}

// readAt fills p from the file, which it opens. The end of the file is
// io.ErrUnexpectedEOF.
func (r *Reader) readAt(p []byte, off int64) error {
	r.mu.RLock()
	for r.file == nil || r.closed.Load() {
		r.mu.RUnlock()
		if err := r.open(); err != nil {
			return err
		}
		r.mu.RLock()
	}
	defer r.mu.RUnlock()
	n, err := r.file.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // shorter than it was: damaged
	}
	return fmt.Errorf("segment %s: read at offset %d: %w", r.name, off, err)
}

func (r *Reader) open() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return r.errClosed()
	}
	if r.file != nil {
		return nil
	}
	f, err := r.fs.Open(r.name)
	if err != nil {
		return err
	}
	r.file = f
	return nil
}

func (r *Reader) errClosed() error {
	return &fs.PathError{Op: "read", Path: r.name, Err: fs.ErrClosed}
}

func (r *Reader) size() (int64, error) {
	if err := r.open(); err != nil {
		return 0, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.file.Size()
}

// directory returns the directory, which it may have to read.
func (r *Reader) directory(disk bool) (*directory, error) {
	if d := r.dir.Load(); d != nil {
		return d, nil
	}
	if !disk {
		return nil, ErrCold
	}
	r.loadMu.Lock()
	defer r.loadMu.Unlock()
	if d := r.dir.Load(); d != nil {
		return d, nil
	}
	d, _, err := r.readDirectory()
	var damage *CorruptError
	if errors.As(err, &damage) {
		if d, err = r.rebuild(); err == nil {
			r.damage.Store(damage)
		}
	}
	if err != nil {
		return nil, err
	}
	r.dir.Store(d)
	return d, nil
}

// readDirectory reads footer and directory. Damage is a *CorruptError.
func (r *Reader) readDirectory() (*directory, *footer, error) {
	size, err := r.size()
	if err != nil {
		return nil, nil, err
	}
	tail := make([]byte, min(size, tailSize))
	base := size - int64(len(tail))
	if err := r.readAt(tail, base); err != nil {
		return nil, nil, err
	}
	at := size - footerSize
	f, err := decodeFooter(tail[max(0, len(tail)-footerSize):], size)
	if err == nil && f.number != r.number {
		err = errNumber
	}
	if err != nil {
		return nil, nil, &CorruptError{r.name, max(at, 0), err}
	}
	var block []byte
	if f.directory >= base {
		block = tail[f.directory-base : at-base]
	} else {
		block = make([]byte, f.dirSize)
		if err := r.readAt(block, f.directory); err != nil {
			return nil, nil, err
		}
	}
	d, err := f.open(block)
	if err != nil {
		return nil, nil, &CorruptError{r.name, f.directory, err}
	}
	d.info.Number, d.info.Size = r.number, size
	return d, &f, nil
}

// open takes the directory's block apart.
func (f *footer) open(block []byte) (*directory, error) {
	h, err := decodeBlockHeader(block, f.nonce, f.directory)
	switch {
	case err != nil:
		return nil, err
	case h.kind != kindDirectory || h.size() != int64(len(block)):
		return nil, errField
	case crc32.Checksum(block[blockHeaderSize:], castagnoli) != h.payloadCRC:
		return nil, errCRC
	}
	p := make([]byte, h.raw)
	if err := unpack(p, block[blockHeaderSize:], h.codec); err != nil {
		return nil, err
	}
	d, err := decodeDirectory(p, f.directory, f.version)
	if err != nil {
		return nil, err
	}
	d.nonce = f.nonce
	d.info = Info{Raw: int64(f.raw), Blocks: int(f.blocks), Queues: int(f.queues), Records: int(f.records), Shared: len(d.shared)}
	records := uint64(0)
	for _, row := range d.rows {
		records += row.records
	}
	if len(d.rows) != int(f.queues) || records != f.records {
		return nil, errDirectory
	}
	return d, nil
}

// decodeBlock checks a block and decompresses it. It is held once.
func decodeBlock(c *Cache, b []byte, nonce uint64, off int64) (*Block, error) {
	h, err := decodeBlockHeader(b, nonce, off)
	switch {
	case err != nil:
		return nil, err
	case h.size() != int64(len(b)):
		return nil, errNotListed
	case crc32.Checksum(b[blockHeaderSize:], castagnoli) != h.payloadCRC:
		return nil, errCRC
	}
	block := c.block(int(h.raw))
	block.head = h
	err = unpack(block.data, b[blockHeaderSize:], h.codec)
	if err == nil {
		err = eachSection(&h, block.data, func(section) {})
	}
	if err != nil {
		block.Release()
		return nil, err
	}
	return block, nil
}
