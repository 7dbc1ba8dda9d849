package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OS is the operating system's file system. Files are made with mode 0640 and
// directories with 0750, less the umask.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return newOSFile(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640))
}

func (osFS) Open(name string) (File, error) {
	return newOSFile(os.Open(name))
}

func (osFS) OpenRW(name string) (File, error) {
	return newOSFile(os.OpenFile(name, os.O_RDWR, 0))
}

// Remove calls unlink itself: os.Remove would fall back on rmdir, and an empty
// directory is never what the caller meant.
func (osFS) Remove(name string) error {
	for {
		err := unix.Unlink(name)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &fs.PathError{Op: "remove", Path: name, Err: err}
		}
	}
}

func (osFS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o750) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock makes the file where it is missing and leaves it behind at Close: to
// unlink a lock file lets two holders in. flock belongs to the open file, so
// a second Lock in this process is refused like one in another.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	err = control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
		}
		return nil, &fs.PathError{Op: "flock", Path: name, Err: err}
	}
	return f, nil
}

func (osFS) Free(dir string) (uint64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return freeBytes(&st), nil
		}
		if err != unix.EINTR {
			return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
		}
	}
}

// osFile is an os.File, which already loops over short reads and writes, with
// the cheaper sync.
type osFile struct {
	*os.File
}

func newOSFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Modified implements Dated.
func (f osFile) Modified() (time.Time, error) {
	st, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// control runs fn on the descriptor, which Close can not take away (and the
// system give to another file) meanwhile. EINTR is retried.
func control(f *os.File, fn func(fd int) error) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	err = rc.Control(func(fd uintptr) {
		for {
			if ferr = fn(int(fd)); ferr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return fs.ErrClosed // its only cause, under an error that os keeps to itself
	}
	return ferr
}
