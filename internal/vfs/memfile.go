package vfs

import (
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
)

// memFile is an open file of a Mem.
type memFile struct {
	fs       *Mem
	ino      *inode
	name     string // as it was opened, for errors
	writable bool
	closed   atomic.Bool
}

var errNegative = errors.New("negative offset")

func (f *memFile) usable(op Op) error {
	if f.closed.Load() {
		return memError(op, f.name, fs.ErrClosed)
	}
	return f.fs.alive(op, f.name)
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.usable(OpRead); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, memError(OpRead, f.name, errNegative)
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.fs.mu.RLock()
	n := f.ino.live.readAt(p, off)
	f.fs.mu.RUnlock()
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements File. On a full disk it writes what fits, as Linux does.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	m := f.fs
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := f.usable(OpWrite); err != nil {
		return 0, err
	}
	switch {
	case !f.writable:
		return 0, memError(OpWrite, f.name, syscall.EBADF)
	case off < 0:
		return 0, memError(OpWrite, f.name, errNegative)
	case off > memMaxFile-int64(len(p)):
		return 0, memError(OpWrite, f.name, syscall.EFBIG)
	case len(p) == 0:
		return 0, nil
	}
	if err := m.step(OpWrite, f.name); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	size := f.ino.live.size
	n := len(p)
	if room := max(m.capacity-m.used, 0); f.ino.links > 0 && off+int64(n)-size > room {
		n = int(max(size+room-off, 0))
	}
	if n > 0 {
		data := append([]byte(nil), p[:n]...)
		f.ino.live.writeAt(data, off)
		f.ino.pending = append(f.ino.pending, write{off: off, data: data})
		if f.ino.links > 0 {
			m.used += f.ino.live.size - size
		}
	}
	if n < len(p) {
		return n, memError(OpWrite, f.name, syscall.ENOSPC)
	}
	return n, nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.usable(OpSize); err != nil {
		return 0, err
	}
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return f.ino.live.size, nil
}

// Sync implements File: all that was written before it, through any handle,
// becomes durable, except what an earlier failed Sync has lost.
func (f *memFile) Sync() error {
	m := f.fs
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := f.usable(OpSync); err != nil {
		return err
	}
	if err := m.step(OpSync, f.name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.ino.sync()
	return nil
}

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return memError(OpClose, f.name, fs.ErrClosed)
	}
	return nil
}

// loseSync is a Sync that fails: see syncLoser.
func (f *memFile) loseSync() {
	m := f.fs
	m.opMu.Lock()
	defer m.opMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	f.ino.lose()
}

// sync makes the file's writes durable. The caller holds mu.
func (ino *inode) sync() {
	lost := false
	for i := range ino.pending {
		lost = lost || ino.pending[i].lost
	}
	if !lost {
		ino.synced = ino.live.freeze()
		ino.pending = nil
		return
	}
	// Some writes stay behind: they may or may not be on the disk, but for
	// what a later, durable write has covered.
	synced := ino.synced.thaw()
	var left []write
	for _, w := range ino.pending {
		if w.lost {
			left = append(left, w)
			continue
		}
		synced.writeAt(w.data, w.off)
		left = uncover(left, w.off, w.end())
	}
	ino.synced, ino.pending = synced.freeze(), left
}

// lose marks the writes that a failed Sync leaves in the air.
func (ino *inode) lose() {
	pending := make([]write, len(ino.pending)) // the old array may be shared
	for i, w := range ino.pending {
		w.lost = true
		pending[i] = w
	}
	ino.pending = pending
}

// uncover cuts [from, to) out of the writes.
func uncover(ws []write, from, to int64) []write {
	var out []write
	for _, w := range ws {
		if w.end() <= from || w.off >= to {
			out = append(out, w)
			continue
		}
		if w.off < from {
			out = append(out, write{off: w.off, data: w.data[:from-w.off], lost: w.lost})
		}
		if w.end() > to {
			out = append(out, write{off: to, data: w.data[to-w.off:], lost: w.lost})
		}
	}
	return out
}
