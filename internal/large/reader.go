package large

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Reader reads a file that was committed. It is safe for concurrent use and
// needs no end: it holds the checksums, and opens the file for each read.
type Reader struct {
	d      *Dir
	number uint64
	size   int64 // of the body
	head   []byte
	sums   []byte
}

// Reader reads and checks what belongs to a file's body. Damage is a
// *CorruptError; that there is no such file satisfies fs.ErrNotExist.
func (d *Dir) Reader(number uint64) (*Reader, error) {
	r := &Reader{d: d, number: number}
	err := r.with(func(f vfs.File) error {
		length, err := f.Size()
		if err != nil {
			return err
		}
		return r.load(f, length)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) load(f io.ReaderAt, length int64) error {
	at := length - footerSize
	if at < 0 {
		return r.corrupt(0, errors.New("shorter than its footer"))
	}
	var footer [footerSize]byte
	if err := r.full(f, footer[:], at); err != nil {
		return err
	}
	if le.Uint32(footer[:]) != magic {
		return r.corrupt(at, errors.New("wrong magic number"))
	}
	n, h := le.Uint64(footer[16:]), int64(le.Uint32(footer[24:]))
	if n > uint64(length) || h > MaxHead || int64(n)+h+4*blocks(int64(n))+footerSize != length {
		return r.corrupt(at, fmt.Errorf("a body of %d bytes and a head of %d do not make a file of %d", n, h, length))
	}
	r.size = int64(n)
	rest := make([]byte, length-r.size)
	if err := r.full(f, rest, r.size); err != nil {
		return err
	}
	end := len(rest) - 4
	switch {
	case le.Uint32(rest[end:]) != crc32.Checksum(rest[:end], castagnoli):
		return r.corrupt(r.size, errors.New("wrong checksum behind the body"))
	case le.Uint32(footer[4:]) != version:
		return r.corrupt(at, fmt.Errorf("format version %d, and only %d is known: use the release that wrote it", le.Uint32(footer[4:]), version))
	case le.Uint64(footer[8:]) != r.number:
		return r.corrupt(at, fmt.Errorf("it says that it is number %d", le.Uint64(footer[8:])))
	}
	r.head = rest[:h:h]
	r.sums = rest[h : len(rest)-footerSize]
	return nil
}

// Name is the file's path.
func (r *Reader) Name() string { return r.d.Name(r.number) }

// Size is the body's length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Head is what the body was committed with. It must not be changed.
func (r *Reader) Head() []byte { return r.head }

// ReadAt reads and checks a part of the body, as io.ReaderAt. It reads least
// where off is a multiple of Block, and so is len(p) or it reaches the end.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	err = r.with(func(f vfs.File) error {
		n, err = r.readAt(f, p, off)
		return err
	})
	return n, err
}

func (r *Reader) readAt(f io.ReaderAt, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		at := off / Block * Block
		whole := int64(len(p)-n) / Block * Block
		if left := r.size - off; int64(len(p)-n) >= left {
			whole = left
		}
		if off == at && whole > 0 {
			part := p[n : n+int(whole)]
			if err := r.full(f, part, off); err != nil {
				return n, err
			}
			if err := r.check(part, off); err != nil {
				return n, err
			}
			n += len(part)
			off += whole
			continue
		}
		k, err := r.readPart(f, p[n:], off, at)
		if err != nil {
			return n, err
		}
		n += k
		off += int64(k)
	}
	return n, nil
}

// readPart reads what p wants of the block at at, from off on.
func (r *Reader) readPart(f io.ReaderAt, p []byte, off, at int64) (int, error) {
	buf := buffers.Get().(*[Block]byte)
	defer buffers.Put(buf)
	part := buf[:min(Block, r.size-at)]
	if err := r.full(f, part, at); err != nil {
		return 0, err
	}
	if err := r.check(part, at); err != nil {
		return 0, err
	}
	return copy(p, part[off-at:]), nil
}

// check compares whole blocks with their checksums.
func (r *Reader) check(p []byte, off int64) error {
	for i := off / Block; len(p) > 0; i++ {
		b := p[:min(len(p), Block)]
		if le.Uint32(r.sums[4*i:]) != crc32.Checksum(b, castagnoli) {
			return r.corrupt(i*Block, fmt.Errorf("block of %d bytes has a wrong checksum", len(b)))
		}
		p = p[len(b):]
	}
	return nil
}

// Verify reads the whole body, a few blocks at a time.
func (r *Reader) Verify() error {
	buf := make([]byte, min(4*Block, r.size))
	for off := int64(0); off < r.size; {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), r.size-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// with opens the file for as long as fn runs.
func (r *Reader) with(fn func(f vfs.File) error) error {
	f, err := r.d.fs.Open(r.Name())
	if err != nil {
		return fmt.Errorf("open %s: %w", r.Name(), err)
	}
	err = fn(f)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close %s: %w", r.Name(), cerr)
	}
	return err
}

// full fills p from the file.
func (r *Reader) full(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return r.corrupt(off+int64(n), io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read %s at %d: %w", r.Name(), off, err)
}

func (r *Reader) corrupt(off int64, cause error) error {
	return &CorruptError{File: r.Name(), Offset: off, Cause: cause}
}
