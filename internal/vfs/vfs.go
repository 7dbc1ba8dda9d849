package vfs

import (
	"errors"
	"io"
	"time"
)

// FS is the file system below the storage engine. Names are paths as the
// operating system takes them; errors satisfy errors.Is against fs.ErrExist,
// fs.ErrNotExist, fs.ErrClosed and the syscall errors (ENOSPC, EIO, ENOTDIR).
type FS interface {
	// Create makes a new file, open for reading and writing. It fails with
	// fs.ErrExist where the name is taken. The directory entry is durable only
	// after SyncDir.
	Create(name string) (File, error)
	// Open opens an existing file for reading. Sync works on it.
	Open(name string) (File, error)
	// OpenRW opens an existing file for reading and writing: what is there may
	// be written over.
	OpenRW(name string) (File, error)
	// Remove unlinks a file, never a directory; durable after SyncDir. Open
	// files live on.
	Remove(name string) error
	// Rename gives the file oldname the name newname, in the place of a file
	// that has it; atomic within a directory, and durable after SyncDir.
	Rename(oldname, newname string) error
	// MkdirAll makes a directory and its missing parents. Each is durable
	// only after SyncDir of its parent.
	MkdirAll(dir string) error
	// ReadDir returns the base names in a directory, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock that ends with Close or with the process,
	// and makes the file where it is missing. It fails with ErrLocked where
	// another holder has it, in this process too.
	Lock(name string) (io.Closer, error)
	// Free tells how many bytes an unprivileged process may still write.
	Free(dir string) (uint64, error)
}

// File is an open file. Reads and writes are positional, so that readers and
// the one writer share a handle without a lock.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Sync makes what was written durable, with the metadata that is needed
	// to read it back (fdatasync). After an error nothing may be assumed of
	// what was written since the last success.
	Sync() error
}

// Dated is a File that knows when it was written last.
type Dated interface {
	Modified() (time.Time, error)
}

// Flusher is a File that can write to the device now, and wait for it, what it would
// write when it pleases or at Sync. Nothing is durable by that; but where much is
// written in the background, in pieces, the Sync of others never waits for more than
// a piece.
type Flusher interface {
	// Flush writes out the n bytes from off on that were written to the file.
	Flush(off, n int64) error
}

// Flush calls Flush of a file that has it; for others it does nothing.
func Flush(f File, off, n int64) error {
	if f, ok := f.(Flusher); ok {
		return f.Flush(off, n)
	}
	return nil
}

// ErrLocked says that a lock is held elsewhere.
var ErrLocked = errors.New("locked by another process")
