package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/leveret-mq/leveret/internal/vfs"
	"github.com/leveret-mq/leveret/wal"
)

// softFS makes of a part of a file that the disk cannot read zeros, and a
// problem: the checksums then say what is lost, and everything else is read. A
// bad disk says EIO far more often than it says something wrong.
type softFS struct {
	vfs.FS
	bad *badReads
}

// badReads are the pages that could not be read. It is for one goroutine, as is
// every look.
type badReads struct {
	seen     map[where]bool
	problems []Problem
	refused  error // the first file that this process may not, or cannot now, open
}

// softPage is how much is given up where a read fails: what a disk calls a sector
// is no larger.
const softPage = 4096

func (f softFS) Open(name string) (vfs.File, error) {
	h, err := f.FS.Open(name)
	if err != nil {
		if f.bad.refused == nil && refused(err) {
			f.bad.refused = err
		}
		return nil, err
	}
	return &softFile{h, name, f.bad}, nil
}

// refused tells whether an error says nothing of the file, but of who asks for it.
func refused(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// refused returns the error that ends a look: what is in a file that could not be
// opened is not lost.
func (o Options) refused() error {
	if soft, ok := o.FS.(softFS); ok {
		return soft.bad.refused
	}
	return nil
}

type softFile struct {
	vfs.File
	name string
	bad  *badReads
}

func (f *softFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fs.ErrClosed) {
		return n, err
	}
	for n = 0; n < len(p); {
		page := p[n:min(len(p), n+int(softPage-(off+int64(n))%softPage))]
		got, err := f.File.ReadAt(page, off+int64(n))
		if err != nil && !errors.Is(err, io.EOF) {
			clear(page)
			f.bad.note(f.name, off+int64(n), err)
			got, err = len(page), nil
		}
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (b *badReads) note(name string, off int64, err error) {
	at := where{name, off / softPage * softPage}
	if b.seen[at] {
		return
	}
	if b.seen == nil {
		b.seen = map[where]bool{}
	}
	b.seen[at] = true
	if len(b.problems) < MaxProblems {
		b.problems = append(b.problems, Problem{name, at.offset, fmt.Sprintf("%d bytes cannot be read: %v", softPage, err), false})
	}
}

// covers tells whether a part of the file from off on could not be read.
func (b *badReads) covers(name string, off int64) bool {
	for at := range b.seen {
		if at.file == name && at.offset+softPage > off {
			return true
		}
	}
	return false
}

// torn tells whether a torn end of the log is one: where the disk could not read
// it, nobody knows.
func (o Options) torn(d *wal.Damage) bool {
	soft, ok := o.FS.(softFS)
	return d.Torn && !(ok && soft.bad.covers(d.File, d.Offset))
}

// soften makes read errors of the options' file system problems, unless they are so
// already.
func (o Options) soften() Options {
	if _, ok := o.FS.(softFS); !ok {
		o.FS = softFS{o.FS, &badReads{}}
	}
	return o
}

// badReads are the problems that o.FS has met so far.
func (o Options) badReads() []Problem { return o.FS.(softFS).bad.problems }
