//go:build darwin || freebsd

package vfs

import "golang.org/x/sys/unix"

// Sync is what os.File does: F_FULLFSYNC on macOS, where fsync leaves the data
// in the drive's cache, and fsync on FreeBSD.
func (f osFile) Sync() error { return f.File.Sync() }

// freeBytes takes care of FreeBSD, where the count is below zero once root has
// used the reserve.
func freeBytes(st *unix.Statfs_t) uint64 {
	return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize)
}
