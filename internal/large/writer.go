package large

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// syncEvery is how many bytes of a durable file may be written and not synced.
// An fdatasync of the log may have to wait until they are on disk.
const syncEvery = 4 << 20

// Writer writes one file. One goroutine at a time may use it, and it must end
// with Commit or Abort.
type Writer struct {
	d       *Dir
	number  uint64
	f       vfs.File // nil when it has ended
	size    int64    // of the body, announced
	durable bool

	off   int64 // what is in the file
	dirty int64 // of that, not synced
	buf   *[Block]byte
	n     int // bytes in buf: the block at hand
	sums  []byte
	err   error
}

var buffers = sync.Pool{New: func() any { return new([Block]byte) }}

// Create begins a file with a body of size bytes. A durable one survives a power
// cut once it is committed.
func (d *Dir) Create(size int64, durable bool) (*Writer, error) {
	if size < 0 {
		return nil, fmt.Errorf("body of %d bytes", size)
	}
	if d.writers.Add(1) > MaxWriters {
		d.writers.Add(-1)
		return nil, ErrTooMany
	}
	w := &Writer{d: d, size: size, durable: durable}
	err := d.make()
	if err == nil {
		w.number = d.next.Add(1) - 1
		if w.f, err = d.fs.Create(d.Name(w.number)); err != nil {
			err = fmt.Errorf("create %s: %w", d.Name(w.number), err)
		}
	}
	if err != nil {
		d.writers.Add(-1)
		return nil, err
	}
	return w, nil
}

// Number is the file's.
func (w *Writer) Number() uint64 { return w.number }

// Size is the length that was announced.
func (w *Writer) Size() int64 { return w.size }

// Missing is how many bytes of the body are still to come.
func (w *Writer) Missing() int64 { return w.size - w.off - int64(w.n) }

// Write adds to the body. It may wait for the disk. After an error every other
// call has the same one.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.err == nil && int64(len(p)) > w.Missing() {
		w.err = fmt.Errorf("body is longer than the %d bytes that were announced", w.size)
	}
	for n < len(p) && w.err == nil {
		if w.n == 0 && len(p)-n >= Block {
			w.block(p[n : n+Block])
			n += Block
			continue
		}
		if w.buf == nil {
			w.buf = buffers.Get().(*[Block]byte)
		}
		k := copy(w.buf[w.n:], p[n:])
		w.n += k
		n += k
		if w.n == Block {
			w.block(w.buf[:])
			w.n = 0
		}
	}
	if w.err != nil {
		return n, w.err
	}
	return n, nil
}

// block writes a block and notes its checksum.
func (w *Writer) block(p []byte) {
	w.sums = le.AppendUint32(w.sums, crc32.Checksum(p, castagnoli))
	w.put(p)
	if w.durable && w.dirty >= syncEvery {
		w.sync()
	}
}

func (w *Writer) put(p []byte) {
	if w.err != nil {
		return
	}
	n, err := w.f.WriteAt(p, w.off)
	if err == nil && n < len(p) {
		err = errors.New("short write")
	}
	if err != nil {
		w.err = fmt.Errorf("write %s at %d: %w", w.d.Name(w.number), w.off, err)
	}
	w.off += int64(len(p))
	w.dirty += int64(len(p))
}

func (w *Writer) sync() {
	if w.err != nil {
		return
	}
	if err := w.f.Sync(); err != nil {
		w.err = fmt.Errorf("sync %s: %w", w.d.Name(w.number), err)
	}
	w.dirty = 0
}

// Commit ends a file whose body is whole, and gives it its head. Where that
// fails the file is removed. A file that is not durable may be committed as well;
// then nothing is waited for.
func (w *Writer) Commit(head []byte) (number uint64, err error) {
	switch {
	case w.err != nil:
	case w.Missing() > 0:
		w.err = fmt.Errorf("body ends %d bytes before the %d that were announced", w.Missing(), w.size)
	case len(head) > MaxHead:
		w.err = fmt.Errorf("head has %d bytes, more than %d", len(head), MaxHead)
	}
	if w.n > 0 {
		w.block(w.buf[:w.n])
		w.n = 0
	}
	rest := make([]byte, 0, len(head)+len(w.sums)+footerSize)
	rest = append(append(rest, head...), w.sums...)
	rest = le.AppendUint32(rest, magic)
	rest = le.AppendUint32(rest, version)
	rest = le.AppendUint64(rest, w.number)
	rest = le.AppendUint64(rest, uint64(w.size))
	rest = le.AppendUint32(rest, uint32(len(head)))
	rest = le.AppendUint32(rest, crc32.Checksum(rest, castagnoli))
	w.put(rest)
	if w.durable {
		w.sync()
	}
	if err := w.err; err != nil {
		w.Abort()
		return 0, err
	}
	err = w.close()
	if err == nil && w.durable {
		err = w.d.fs.SyncDir(w.d.path)
	}
	if err != nil {
		w.d.Remove(w.number)
		w.err = fmt.Errorf("finish %s: %w", w.d.Name(w.number), err)
		return 0, w.err
	}
	w.err = errEnded
	return w.number, nil
}

var errEnded = errors.New("the file has ended")

// Abort removes the file, as far as it was written. It may be called after
// Commit, and then does nothing.
func (w *Writer) Abort() {
	if w.f == nil {
		return
	}
	w.close()
	w.d.Remove(w.number) // else the next start does
	if w.err == nil {
		w.err = errEnded
	}
}

func (w *Writer) close() error {
	err := w.f.Close()
	w.f = nil
	if w.buf != nil {
		buffers.Put(w.buf)
		w.buf, w.n = nil, 0
	}
	w.sums = nil
	w.d.writers.Add(-1)
	return err
}
