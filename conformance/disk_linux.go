package conformance

import (
	"os"
	"path/filepath"
	"syscall"
)

// diskFree is what is free where temporary files are.
func diskFree() (uint64, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(os.TempDir(), &s)
	return s.Bavail * uint64(s.Bsize), err
}

// ownDisk waits until no other run of the suite fills the disk, and keeps others from
// it to the end of the case.
func (t *T) ownDisk() {
	t.Helper()
	f, err := os.Open(os.TempDir())
	t.Must(err)
	t.Cleanup(func() { f.Close() })
	t.Must(syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
}

// fillDisk takes so much of it until free is called.
func (t *T) fillDisk(size uint64) (free func()) {
	t.Helper()
	folder, err := os.MkdirTemp("", "conformance-full-")
	t.Must(err)
	free = func() { os.RemoveAll(folder) }
	t.Cleanup(free)
	f, err := os.Create(filepath.Join(folder, "filler"))
	t.Must(err)
	err = syscall.Fallocate(int(f.Fd()), 0, 0, int64(size))
	f.Close()
	t.Must(err)
	return free
}
