package vfs

import (
	"errors"
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

// Flush implements Flusher. Where the system will not do it (a file system or a
// sandbox that has no such call) it does nothing.
func (f osFile) Flush(off, n int64) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := control(f.File, func(fd int) error { return unix.SyncFileRange(fd, off, n, all) })
	switch {
	case err == nil, errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return nil
	default:
		return &fs.PathError{Op: "sync_file_range", Path: f.Name(), Err: err}
	}
}

func freeBytes(st *unix.Statfs_t) uint64 {
	return st.Bavail * uint64(st.Frsize)
}
