package wal

import (
	"fmt"
	"path/filepath"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// preparePiece is how many bytes Prepare writes to the device in one go: a commit's
// sync, which may have to wait for that, then waits for a fraction of a millisecond.
const preparePiece = 256 << 10

// Prepare makes a spare, a file of zeros, for an owner who foresees that the log will
// need a new file and has removed none that could be written over: see
// Options.Spares. It costs the disk once more what the file will hold. Where there
// are spares enough, or the disk has no room to give away, it makes none. It calls
// on before each piece of its work, in the goroutine of the caller, and gives up
// where that is false. An error is not the log's: it goes on as it was.
func (l *Log) Prepare(on func() bool) error {
	if free, err := l.fs.Free(l.dir); err != nil || free < uint64(aheadMargin*l.opts.FileSize) || !l.pool.reserve() {
		return err
	}
	list := *l.files.list.Load()
	name := fmt.Sprintf("%020d-%d%s", list[len(list)-1].seq, l.attempts.Add(1), spareSuffix)
	s := &spareFile{name: filepath.Join(l.dir, name), size: l.opts.FileSize}
	done, err := l.fillSpare(s, on)
	if !done {
		_ = l.fs.Remove(s.name) // else the next start does it, or takes it for a spare
		l.pool.settle(nil)
		return err
	}
	l.prepared.Add(1)
	l.pool.settle(s)
	return nil
}

// fillSpare writes the file of a spare.
func (l *Log) fillSpare(s *spareFile, on func() bool) (done bool, err error) {
	h, err := l.fs.Create(s.name)
	if err != nil {
		return false, fmt.Errorf("create %s: %w", s.name, err)
	}
	defer h.Close()
	for off := int64(0); off < s.size; off += preparePiece {
		if !on() {
			return false, nil
		}
		if err := writeAt(h, zeros[:min(s.size-off, preparePiece)], s.name, off); err != nil {
			return false, err
		}
		l.zeros.Add(uint64(min(s.size-off, preparePiece)))
		if err := vfs.Flush(h, off, preparePiece); err != nil {
			return false, fmt.Errorf("flush %s: %w", s.name, err)
		}
	}
	if err := h.Sync(); err != nil {
		return false, fmt.Errorf("sync %s: %w", s.name, err)
	}
	return true, nil
}
