package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// A spareFile is a file that waits, under a name of its own, to be written over: one
// that was removed, or one that Prepare has made. No reader has it open, and no power
// cut brings back a name that it had: its directory was synced since.
type spareFile struct {
	name string // with the directory
	size int64
}

// pool is the log's spares.
type pool struct {
	mu    sync.Mutex
	list  []spareFile
	limit int // of list and of those that are being added; below zero: none are kept
	added int // that are being added
}

// reserve makes a place in the list for a spare that settle will add.
func (p *pool) reserve() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list)+p.added >= p.limit {
		return false
	}
	p.added++
	return true
}

// settle ends what reserve began; nil: there is no spare after all.
func (p *pool) settle(s *spareFile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added--
	if s != nil && !slices.Contains(p.list, *s) {
		p.list = append(p.list, *s)
	}
}

// take takes a spare out of the list; nil: there is none.
func (p *pool) take() *spareFile {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.list)
	if n == 0 {
		return nil
	}
	s := p.list[n-1]
	p.list = p.list[:n-1]
	return &s
}

// any tells whether take would find one.
func (p *pool) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.list) > 0
}

func (p *pool) stats() (n int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.list {
		bytes += s.size
	}
	return len(p.list), bytes
}

// worth tells whether a file of that size is worth being kept: a small one saves
// little, and a large one holds more of the disk than a log's file should.
func (o *Options) worth(size int64) bool {
	return size >= o.FileSize/2 && size <= o.FileSize+o.FileSize/4
}

// keepSpare is Remove by renaming. done is false where the file is to be
// unlinked: there are spares enough, or somebody reads the file, who must not
// find another's bytes in it.
func (l *Log) keepSpare(f *file) (done bool, err error) {
	f.mu.Lock()
	if f.gone { // another call was first
		f.mu.Unlock()
		return true, nil
	}
	if f.refs > 0 || !l.opts.worth(f.disk()) || !l.pool.reserve() {
		f.mu.Unlock()
		return false, nil
	}
	s := &spareFile{name: strings.TrimSuffix(f.name, fileSuffix) + spareSuffix, size: f.disk()}
	if err := l.fs.Rename(f.name, s.name); err != nil {
		f.mu.Unlock()
		l.pool.settle(nil)
		_ = l.fs.Remove(s.name) // it may have got that far
		return false, nil
	}
	f.gone = true // nobody opens it any more
	h := f.h
	f.h = nil
	f.mu.Unlock()
	l.files.drop(f)
	var errs []error
	if h != nil {
		errs = append(errs, h.Close())
	}
	// Were the file written over before this, a power cut could bring back its
	// name and not its content.
	if err := l.fs.SyncDir(l.dir); err != nil {
		errs = append(errs, fmt.Errorf("sync directory %s: %w", l.dir, err), l.fs.Remove(s.name))
		s = nil
	}
	l.pool.settle(s)
	return true, errors.Join(errs...)
}

// DropSpares deletes the spares, for an owner who sees that the log has fallen
// quiet, or who needs the room. It returns their bytes.
func (l *Log) DropSpares() (freed int64) {
	for s := l.pool.take(); s != nil; s = l.pool.take() {
		if err := l.fs.Remove(s.name); err != nil {
			l.opts.Logger.Warn("spare log file cannot be removed; the next start tries again", "file", s.name, "err", err)
			continue
		}
		freed += s.size
	}
	return freed
}

// adopt looks at the spares that an earlier log has left, and keeps what it can
// use. The directory was read before it was synced last.
func (l *Log) adopt(names []string) {
	l.pool.limit = l.opts.Spares
	for _, name := range names {
		size, err := lengthOf(l.fs, name)
		if err == nil && l.opts.worth(size) && l.pool.reserve() {
			l.pool.settle(&spareFile{name, size})
			continue
		}
		if err := l.fs.Remove(name); err != nil {
			l.opts.Logger.Warn("spare log file cannot be removed; the next start tries again", "file", name, "err", err)
		}
	}
}

func lengthOf(fsys vfs.FS, name string) (int64, error) {
	h, err := fsys.Open(name)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	return h.Size()
}

// newFile makes the next file, over a spare where there is one and it is wanted.
// Where room runs out, the spares go first. By the owner of busy, without mu.
func (l *Log) newFile(hdr fileHeader, over bool) (f *file, named bool, err error) {
	if over {
		if s := l.pool.take(); s != nil {
			if f, named, err = createFile(l.fs, l.dir, hdr, s, nil); err == nil || named {
				if err == nil {
					l.recycled.Add(1)
				}
				return f, named, err
			}
			l.opts.Logger.Warn("spare log file cannot be used", "file", s.name, "err", err)
		}
	}
	f, named, err = createFile(l.fs, l.dir, hdr, nil, nil)
	if err != nil && !named && noRoom(err) && l.DropSpares() > 0 {
		f, named, err = createFile(l.fs, l.dir, hdr, nil, nil)
	}
	return f, named, err
}
