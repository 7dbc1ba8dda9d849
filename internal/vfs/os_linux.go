package vfs

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync: it writes the data and the length, but spares the journal
// commit for times and the like, which fsync would add to every commit.
func (f osFile) Sync() error {
	if err := control(f.File, unix.Fdatasync); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// Flush implements Flusher.
func (f osFile) Flush(off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := control(f.File, func(fd int) error { return unix.SyncFileRange(fd, off, n, all) }); err != nil {
		return &fs.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
	return nil
}

func freeBytes(st *unix.Statfs_t) uint64 {
	return st.Bavail * uint64(st.Frsize)
}
