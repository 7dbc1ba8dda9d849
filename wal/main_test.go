package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDir = "/data/wal"

// tiny makes chunks and files small, so that a few records pass every border, and commits
// happen only when they are asked for.
func tiny() Options {
	return Options{FileSize: 4096, ChunkSize: 1024, CacheSize: 4096, MaxStaged: 8192, LazyDelay: time.Hour, FullDiskWait: -1, Ahead: -1, Spares: 2, nonce: counter(1)}
}

// counter returns nonces that count from n.
func counter(n uint64) func() uint64 {
	var mu sync.Mutex
	return func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n - 1
	}
}

// newMem is a file system that has the log's parent directory.
func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll(path.Dir(testDir)); err != nil {
		t.Fatal(err)
	}
	m.SyncAll()
	return m
}

func mustOpen(t testing.TB, fs vfs.FS, from LSN, opts Options) *Log {
	t.Helper()
	l, err := Open(fs, testDir, from, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// commit appends the records as one batch and waits until it is durable.
func (l *Log) mustCommit(t testing.TB, recs ...string) (end LSN) {
	t.Helper()
	_, end = l.mustAppend(t, Lazy, nil, recs...)
	if err := l.Wait(end); err != nil {
		t.Fatal(err)
	}
	return end
}

// mustAppend appends the records as one batch.
func (l *Log) mustAppend(t testing.TB, m Mode, w Waiter, recs ...string) (lsns []LSN, end LSN) {
	t.Helper()
	size := 0
	for _, r := range recs {
		size += len(r)
	}
	if err := l.Begin(size, len(recs)); err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		lsn, p := l.Put(len(r))
		copy(p, r)
		lsns = append(lsns, lsn)
	}
	return lsns, l.End(m, w)
}

func (l *Log) mustClose(t testing.TB) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// replayed opens the log for a moment and returns what it held.
func replayed(fs vfs.FS, from LSN) (recs []string, lsns []LSN, err error) {
	l, err := Open(fs, testDir, from, tiny(), func(lsn LSN, rec []byte) error {
		recs = append(recs, string(rec))
		lsns = append(lsns, lsn)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return recs, lsns, l.Close()
}

func writeFile(t testing.TB, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(data) > 0 {
		if _, err := f.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// fill makes a record of n bytes that is told from others by i, and that has
// no two equal stretches.
func fill(i, n int) string {
	b := fmt.Appendf(make([]byte, 0, n+32), "%d:%d:", i, n)
	x := uint32(i)*2654435761 + 1
	for len(b) < n {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b = append(b, byte(x))
	}
	return string(b[:n])
}

// notes is a Waiter that remembers its calls.
type notes struct {
	mu      sync.Mutex
	durable []LSN
	errs    []error
	called  chan struct{} // if not nil, one value a call
}

func (n *notes) Committed(durable LSN, err error) {
	n.mu.Lock()
	n.durable = append(n.durable, durable)
	n.errs = append(n.errs, err)
	n.mu.Unlock()
	if n.called != nil {
		n.called <- struct{}{}
	}
}

func (n *notes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.durable)
}

// image builds log files by hand, byte by byte.
type image struct {
	hdr  fileHeader
	data []byte
}

func newImage(seq uint64, start LSN) *image {
	im := &image{hdr: fileHeader{nonce: 1000 + seq, seq: seq, start: start}}
	var b [fileHeaderSize]byte
	im.hdr.encode(&b)
	im.data = b[:]
	return im
}

// end is the LSN behind the last frame.
func (im *image) end() LSN { return im.hdr.start + LSN(len(im.data)-fileHeaderSize) }

// frame adds a frame that was written when all before it was synced.
func (im *image) frame(recs ...string) *image {
	return im.group(im.end(), recs...)
}

// group adds a frame that was written when all before synced was.
func (im *image) group(synced LSN, recs ...string) *image {
	return im.raw(frameHeader{kind: frameRecords, records: uint32(len(recs)), nonce: im.hdr.nonce, first: im.end(), synced: synced}, payload(recs...))
}

func (im *image) sealFrame() *image {
	return im.raw(frameHeader{kind: frameSeal, nonce: im.hdr.nonce, first: im.end(), synced: im.end()}, nil)
}

func (im *image) raw(h frameHeader, payload []byte) *image {
	h.length = uint32(len(payload))
	b := make([]byte, h.size())
	copy(b[frameHeaderSize:], payload)
	h.seal(b)
	im.data = append(im.data, b...)
	return im
}

// bytes adds what is no frame.
func (im *image) bytes(b ...byte) *image {
	im.data = append(im.data, b...)
	return im
}

// over is what is there where the file is written over an older one.
func (im *image) over(old *image) *image {
	im.data = append(im.data, old.data[min(len(im.data), len(old.data)):]...)
	return im
}

// damage inverts the byte at an offset, counted from the end if negative.
func (im *image) damage(off int) *image {
	if off < 0 {
		off += len(im.data)
	}
	im.data[off] ^= 0xff
	return im
}

// cut shortens the file by n bytes.
func (im *image) cut(n int) *image {
	im.data = im.data[:len(im.data)-n]
	return im
}

// zero wipes n bytes at an offset, counted from the end if negative.
func (im *image) zero(off, n int) *image {
	if off < 0 {
		off += len(im.data)
	}
	clear(im.data[off : off+n])
	return im
}

func payload(recs ...string) []byte {
	var b []byte
	for _, r := range recs {
		b = le.AppendUint32(b, uint32(len(r)))
		b = append(b, r...)
	}
	return b
}

func writeImages(t testing.TB, images ...*image) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	for _, im := range images {
		writeFile(t, m, testDir+"/"+fileName(im.hdr.seq), im.data)
	}
	m.SyncAll()
	return m
}

func corruption(err error) *CorruptError {
	var c *CorruptError
	if errors.As(err, &c) {
		return c
	}
	return nil
}

func putChecksum(hdr []byte) {
	le.PutUint32(hdr[60:], crc32.Checksum(hdr[:60], castagnoli))
}

// allocated is how many bytes the process has ever allocated.
func allocated() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.TotalAlloc
}

var errReadEnough = errors.New("read enough")

// sparseFS shows its files as size bytes long, zeros behind what they hold,
// and fails reads once limit bytes were read.
type sparseFS struct {
	vfs.FS
	size, limit int64
}

func (s *sparseFS) Open(name string) (vfs.File, error) {
	f, err := s.FS.Open(name)
	return &sparseFile{f, s}, err
}

type sparseFile struct {
	vfs.File
	fs *sparseFS
}

func (f *sparseFile) Size() (int64, error) { return f.fs.size, nil }

func (f *sparseFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.limit -= int64(len(p)); f.fs.limit < 0 {
		return 0, errReadEnough
	}
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF || n < len(p) {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

// handleFS counts the files that are open.
type handleFS struct {
	vfs.FS
	open atomic.Int64
}

func (f *handleFS) Create(name string) (vfs.File, error) { return f.count(f.FS.Create(name)) }
func (f *handleFS) Open(name string) (vfs.File, error)   { return f.count(f.FS.Open(name)) }

func (f *handleFS) OpenRW(name string) (vfs.File, error) { return f.count(f.FS.OpenRW(name)) }

func (f *handleFS) count(h vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	f.open.Add(1)
	return &handle{h, f}, nil
}

type handle struct {
	vfs.File
	fs *handleFS
}

func (h *handle) Close() error {
	h.fs.open.Add(-1)
	return h.File.Close()
}
