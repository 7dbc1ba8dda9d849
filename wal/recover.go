package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// Open recovers the log in dir, which it makes if it is missing, and readies
// it for appending. A nil fsys is the operating system's. It hands every record
// of every whole frame from the LSN `from` on to replay (nil for none), in order;
// rec is valid during the call. from is a frame boundary below which the caller
// needs no replay, and which was durable: what Boundary returned once Durable had
// reached it. 0 means the oldest file's start. Of files wholly below it only the headers are read.
//
// Damage that a power cut explains ends the log there. Any other damage is a
// *CorruptError. The caller must keep other processes out, and answers for
// the durability of the directories above dir's parent.
func Open(fsys vfs.FS, dir string, from LSN, opts Options, replay func(lsn LSN, rec []byte) error) (*Log, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	if fsys == nil {
		fsys = vfs.OS()
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", dir, err)
	}
	s := scanner{fs: fsys, dir: dir}
	if err := s.run(from, replay); err != nil {
		return nil, err
	}
	if len(s.files) == 0 {
		// The directory itself may be new.
		if err := fsys.SyncDir(filepath.Dir(dir)); err != nil {
			return nil, fmt.Errorf("sync directory %s: %w", filepath.Dir(dir), err)
		}
	}
	if t := s.sum.Torn; t != nil {
		opts.Logger.Warn("write-ahead log ends in a torn commit, as after a power cut; it was never confirmed",
			"file", t.File, "offset", t.Offset, "lsn", t.LSN, "cause", t.Cause)
	}
	if err := s.removeJunk(); err != nil {
		return nil, err
	}

	// Go on in a new file. What lies above s.synced was found but perhaps never
	// synced, so the new file begins with a copy of it and is synced before its
	// name appears. To sync the old file would not do: where its last sync had
	// failed, the system may show bytes that it has given up writing.
	hdr := fileHeader{nonce: opts.nonce(), seq: s.seq + 1, start: s.synced}
	active, named, err := createFile(fsys, dir, hdr, nil, s.copyTail)
	if err != nil && !named && noRoom(err) && len(s.spares) > 0 {
		for _, name := range s.spares {
			_ = fsys.Remove(name)
		}
		s.spares = nil
		active, _, err = createFile(fsys, dir, hdr, nil, s.copyTail)
	}
	if err != nil {
		return nil, err
	}
	list, err := s.dropEmpty()
	if err != nil {
		active.h.Close()
		return nil, err
	}
	list = append(list, active)

	l := &Log{fs: fsys, dir: dir, opts: opts, recovered: s.sum, exited: make(chan struct{}), closing: make(chan struct{})}
	l.work.L, l.progress.L = &l.mu, &l.mu
	l.files.list.Store(&list)
	l.files.active, l.firstSeq = active, active.seq
	l.adopt(s.spares)
	l.stats.Bytes = active.end.Load() - uint64(active.start)
	l.durable.Store(uint64(s.end))
	l.appended.Store(uint64(s.end))
	l.cur = &chunk{base: s.end, buf: make([]byte, opts.ChunkSize)}
	l.ring.Store(&[]*chunk{l.cur})
	l.openFrame()
	l.lazy = time.AfterFunc(time.Hour, l.lazyExpired)
	l.lazy.Stop()
	go l.run()
	return l, nil
}

// removeJunk deletes what was being created when the log died. It must stay
// deleted: a header that is not whole is forgiven only the last file.
func (s *scanner) removeJunk() error {
	for _, name := range s.junk {
		if err := s.fs.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if len(s.junk) == 0 {
		return nil
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", s.dir, err)
	}
	return nil
}

// copyTail writes the frames in [synced, end) into the new file f.
func (s *scanner) copyTail(f *file) error {
	if s.synced == s.end {
		return nil
	}
	last := s.files[len(s.files)-1]
	h, err := s.fs.Open(last.name)
	if err != nil {
		return err
	}
	defer h.Close()
	w := window{h: h, name: last.name, size: last.length.Load()}
	for lsn := s.synced; lsn < s.end; {
		hdr, bad, err := w.frame(last, lsn)
		if err == nil && bad != nil {
			err = bad
		}
		if err != nil {
			return fmt.Errorf("read %s at %d again: %w", last.name, last.offset(lsn), err)
		}
		b, err := w.bytes(last.offset(lsn), int(hdr.size()))
		if err != nil {
			return err
		}
		hdr.nonce, hdr.synced = f.nonce, s.synced
		hdr.seal(b)
		if err := f.write(b, lsn); err != nil {
			return err
		}
		lsn += LSN(hdr.size())
		f.end.Store(uint64(lsn))
	}
	return nil
}

// dropEmpty removes the files that hold nothing, now that a newer one begins
// where they do, and returns the others.
func (s *scanner) dropEmpty() ([]*file, error) {
	var list []*file
	for _, f := range s.files {
		if LSN(f.end.Load()) > f.start {
			list = append(list, f)
		} else if err := s.fs.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove %s: %w", f.name, err)
		}
	}
	return list, nil
}
