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

func freeBytes(st *unix.Statfs_t) uint64 {
	return st.Bavail * uint64(st.Frsize)
}
