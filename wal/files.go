package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// maxIdle bounds the handles that are kept open for reads of files that are
// not written any more: a backlog may span more files than a process may open.
const maxIdle = 64

// A file holds the stretch [start, end) of the stream.
type file struct {
	seq   uint64
	start LSN
	nonce uint64
	name  string        // with the directory
	end   atomic.Uint64 // what of the stream can be read from it
	// length is how long the file was when it was opened, by recovery or to be
	// written over, or was made since by filling it ahead; else 0, and the stream's
	// end is its length.
	length atomic.Int64

	mu   sync.Mutex
	h    vfs.File // nil while nobody reads; constant while the file is active
	refs int      // reads under way
	gone bool     // removed or log closed: the last read closes h
}

// offset is where in the file lsn lies.
func (f *file) offset(lsn LSN) int64 { return fileHeaderSize + int64(lsn-f.start) }

// size is the file's length as far as it holds the stream.
func (f *file) size() int64 { return f.offset(LSN(f.end.Load())) }

// disk is the file's length.
func (f *file) disk() int64 { return max(f.size(), f.length.Load()) }

// fileSet is the log's files by sequence number. Starts never fall.
type fileSet struct {
	mu     sync.Mutex              // for changes of list
	list   atomic.Pointer[[]*file] // immutable once stored
	active *file                   // the one being written; owned like Log.group
}

// find returns the file that holds lsn: where a recovery has written a tail
// again, the newest.
func (s *fileSet) find(lsn LSN) *file {
	list := *s.list.Load()
	i := sort.Search(len(list), func(i int) bool { return list[i].start > lsn }) - 1
	if i < 0 {
		return nil
	}
	return list[i]
}

func (s *fileSet) add(f *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.list.Load()
	list := append(old[:len(old):len(old)], f)
	s.list.Store(&list)
}

func (s *fileSet) drop(f *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*file
	for _, g := range *s.list.Load() {
		if g != f {
			list = append(list, g)
		}
	}
	s.list.Store(&list)
}

func (s *fileSet) close() error {
	var errs []error
	for _, f := range *s.list.Load() {
		errs = append(errs, f.discard())
	}
	return errors.Join(errs...)
}

// acquire opens the file for a read, if it is not, and keeps it open until
// release.
func (s *fileSet) acquire(f *file, fsys vfs.FS) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return nil, fmt.Errorf("read %s: %w", f.name, fs.ErrClosed)
	}
	if f.h == nil {
		s.closeIdle()
		h, err := fsys.Open(f.name)
		if err != nil {
			return nil, err
		}
		f.h = h
	}
	f.refs++
	return f.h, nil
}

// closeIdle closes handles that nobody reads, oldest file first, so that fewer
// than maxIdle are left. Opening is rare enough to look at all of them.
func (s *fileSet) closeIdle() {
	list := *s.list.Load()
	idle := list[:0:0]
	for _, f := range list[:len(list)-1] { // never the active one
		if f.mu.TryLock() { // the caller holds another's
			if f.h != nil && f.refs == 0 {
				idle = append(idle, f)
			}
			f.mu.Unlock()
		}
	}
	for _, f := range idle[:max(0, len(idle)-maxIdle+1)] {
		if f.mu.TryLock() {
			if f.h != nil && f.refs == 0 {
				f.h.Close()
				f.h = nil
			}
			f.mu.Unlock()
		}
	}
}

func (f *file) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refs--
	if f.gone && f.refs == 0 && f.h != nil {
		f.h.Close()
		f.h = nil
	}
}

// discard closes the file now or with the last read.
func (f *file) discard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	if f.refs > 0 || f.h == nil {
		return nil
	}
	err := f.h.Close()
	f.h = nil
	return err
}

// createFile makes the file of a header, with what fill adds behind it, so
// that its name appears only once all of that is on disk, and durably. Where
// spare is not nil it writes over that one, which is gone afterwards in any case.
func createFile(fsys vfs.FS, dir string, hdr fileHeader, spare *spareFile, fill func(f *file) error) (made *file, named bool, err error) {
	f := &file{seq: hdr.seq, start: hdr.start, nonce: hdr.nonce, name: filepath.Join(dir, fileName(hdr.seq))}
	f.end.Store(uint64(hdr.start))
	temp, open := f.name+".tmp", fsys.Create
	if spare != nil {
		temp, open = spare.name, fsys.OpenRW
		f.length.Store(spare.size)
	}
	h, err := open(temp)
	if err != nil {
		if spare != nil {
			_ = fsys.Remove(temp)
		}
		return nil, false, fmt.Errorf("create %s: %w", temp, err)
	}
	f.h = h
	err = func() error {
		var b [fileHeaderSize]byte
		hdr.encode(&b)
		if err := writeAt(h, b[:], temp, 0); err != nil {
			return err
		}
		if fill != nil {
			if err := fill(f); err != nil {
				return err
			}
		}
		if err := h.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", temp, err)
		}
		named = true
		if err := fsys.Rename(temp, f.name); err != nil {
			return fmt.Errorf("rename %s: %w", temp, err)
		}
		if err := fsys.SyncDir(dir); err != nil {
			return fmt.Errorf("sync directory %s: %w", dir, err)
		}
		return nil
	}()
	if err != nil {
		h.Close()
		if !named {
			// Else the next try finds the name taken, and a restart removes it.
			_ = fsys.Remove(temp)
		}
		return nil, named, err
	}
	return f, true, nil
}

// ReadAt fills p with the stream's bytes from lsn on: from memory where one
// chunk still has them all, else from the file, of which they may be any part.
// It checks bounds and not content, since a part of a frame has no checksum.
// What the log does not hold is ErrNotFound.
func (l *Log) ReadAt(p []byte, lsn LSN) error {
	l.Pin()
	b := l.Cached(lsn, len(p))
	copy(p, b)
	l.Unpin()
	if b != nil {
		return nil
	}
	f := l.files.find(lsn)
	if f == nil || uint64(lsn) > f.end.Load() || uint64(len(p)) > f.end.Load()-uint64(lsn) {
		return fmt.Errorf("read %d bytes at lsn %d of log %s: %w", len(p), lsn, l.dir, ErrNotFound)
	}
	h, err := l.files.acquire(f, l.fs)
	if err != nil {
		return err
	}
	n, err := h.ReadAt(p, f.offset(lsn))
	f.release()
	if n < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s at %d: %w", f.name, f.offset(lsn), err)
	}
	return nil
}

// Locate tells where on disk lsn lies, for messages about what is found there.
func (l *Log) Locate(lsn LSN) (file string, offset int64, ok bool) {
	f := l.files.find(lsn)
	if f == nil || uint64(lsn) >= f.end.Load() {
		return "", 0, false
	}
	return f.name, f.offset(lsn), true
}

// FileInfo describes one file of the log.
type FileInfo struct {
	Seq        uint64
	Name       string // with the directory
	Start, End LSN    // the stretch of the stream that it holds
	Size       int64  // bytes, as far as they are part of the log
	Disk       int64  // bytes: behind the log's may be what the file was used for before
	Active     bool   // being written
}

// Files lists the log's files, oldest first. The last is the active one.
func (l *Log) Files() []FileInfo {
	list := *l.files.list.Load()
	infos := make([]FileInfo, len(list))
	for i, f := range list {
		infos[i] = FileInfo{
			Seq: f.seq, Name: f.name, Start: f.start, End: LSN(f.end.Load()),
			Size: f.size(), Disk: f.disk(), Active: i == len(list)-1,
		}
	}
	return infos
}

// Rotate ends the file that is being written, so that the next frame begins a
// new one, and the old one may be scanned and removed. The new one is small: no
// spare is used for it. Where nothing was written to the old one yet it stays. What is staged is not committed by it. Want of room or of
// descriptors is returned and passes; any other failure is the log's.
func (l *Log) Rotate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.splits++ // whoever would commit next makes way
	for l.busy {
		l.progress.Wait()
	}
	l.splits--
	err := l.Err()
	switch {
	case err != nil:
	case l.closed:
		err = ErrClosed
	case l.files.active.size() > fileHeaderSize:
		err = l.rotate()
	}
	l.progress.Broadcast()
	if l.want {
		l.work.Signal()
	}
	return err
}

// rotate is Rotate for the owner of splits. Under mu, which it leaves.
func (l *Log) rotate() error {
	l.busy = true
	l.mu.Unlock()
	fatal, err := l.tryRotate(l.Durable(), false)
	l.mu.Lock()
	if fatal {
		l.finish(done{}, err)
		err = l.Err()
	}
	l.busy = false
	return err
}

// Remove deletes a file that nothing needs any more, or keeps it as a spare:
// see Options.Spares. The file may come back at a power cut, as it was, which
// does no harm.
func (l *Log) Remove(seq uint64) error {
	list := *l.files.list.Load()
	for i, f := range list {
		if f.seq != seq {
			continue
		}
		if i == len(list)-1 {
			return fmt.Errorf("log file %s is being written and cannot be removed", f.name)
		}
		if done, err := l.keepSpare(f); done {
			return err
		}
		if err := l.fs.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.files.drop(f)
		return f.discard()
	}
	return fmt.Errorf("log %s has no file %d: %w", l.dir, seq, fs.ErrNotExist)
}
