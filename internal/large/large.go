package large

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/vfs"
)

const (
	// Block is the bytes of body that one checksum covers.
	Block = 64 << 10
	// MaxHead bounds a head, in bytes.
	MaxHead = 1 << 24
	// MaxWriters bounds how many files may be written at once: each costs a
	// descriptor, of which a process has few.
	MaxWriters = 64

	magic      = 0x424c564c // "LVLB"
	version    = 1
	footerSize = 32
	nameSuffix = ".msg"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrTooMany is Create's error where MaxWriters files are being written.
var ErrTooMany = fmt.Errorf("%d large files are being written, which is the most at once", MaxWriters)

// CorruptError says that a file is not what was written.
type CorruptError struct {
	File   string
	Offset int64
	Cause  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at offset %d: %v", e.File, e.Offset, e.Cause)
}

func (e *CorruptError) Unwrap() error { return e.Cause }

// Dir is a directory of large files. It is safe for concurrent use.
type Dir struct {
	fs   vfs.FS
	path string

	next    atomic.Uint64 // the number of the next file
	writers atomic.Int32

	mu   sync.Mutex
	made bool // mu: the directory is there, durably
}

// Open opens the directory, which is made when it is needed, and tells the
// numbers of the files in it, in order. The next file gets a number behind all
// of them.
func Open(fsys vfs.FS, path string) (d *Dir, numbers []uint64, err error) {
	d = &Dir{fs: fsys, path: path}
	d.next.Store(1)
	names, err := fsys.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read directory %s: %w", path, err)
	}
	for _, name := range names {
		if n, ok := parseName(name); ok {
			numbers = append(numbers, n)
			d.Reserve(n)
		}
	}
	return d, numbers, nil
}

// Reserve makes sure that no new file gets this number or a lower one.
func (d *Dir) Reserve(number uint64) {
	for {
		next := d.next.Load()
		if number < next || d.next.CompareAndSwap(next, number+1) {
			return
		}
	}
}

// Name is the path of a file.
func (d *Dir) Name(number uint64) string {
	return filepath.Join(d.path, fmt.Sprintf("%020d%s", number, nameSuffix))
}

func parseName(name string) (number uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, nameSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// Remove removes a file. That it is not there is no error.
func (d *Dir) Remove(number uint64) error {
	err := d.fs.Remove(d.Name(number))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// make makes the directory, durably, once.
func (d *Dir) make() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made {
		return nil
	}
	if err := d.fs.MkdirAll(d.path); err != nil {
		return fmt.Errorf("make directory %s: %w", d.path, err)
	}
	if err := d.fs.SyncDir(filepath.Dir(d.path)); err != nil {
		return fmt.Errorf("sync directory %s: %w", filepath.Dir(d.path), err)
	}
	d.made = true
	return nil
}

// blocks is how many checksums a body of n bytes has.
func blocks(n int64) int64 { return (n + Block - 1) / Block }
