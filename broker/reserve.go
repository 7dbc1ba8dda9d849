package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// The reserve is a file that holds nothing, for the day when others have filled
// the disk to its last block: a start needs a new log file, and consumers that
// are to make room need a broker that starts.

const (
	reserveFile = "RESERVE"
	reserveSize = 4 << 20
	// reserveEvery is how often it is tried to make a reserve that is missing.
	reserveEvery = time.Second
	// reservePause is how long it is not tried after it has failed.
	reservePause = time.Minute
)

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// releaseReserve removes the reserve, or what there is of it, and tells whether
// that has made room.
func releaseReserve(fsys vfs.FS, dir string) bool {
	freed := false
	for _, name := range []string{reserveFile, reserveFile + ".tmp"} {
		freed = fsys.Remove(filepath.Join(dir, name)) == nil || freed
	}
	// Blocks may be had again only when the removal is on disk.
	return freed && fsys.SyncDir(dir) == nil
}

// makeReserve makes the reserve, so that its name appears only when it is whole
// and has its room on disk.
func makeReserve(fsys vfs.FS, dir string, size int64) error {
	name := filepath.Join(dir, reserveFile)
	temp := name + ".tmp"
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	err = fillRandom(f, size)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	return fsys.SyncDir(dir)
}

// fillRandom writes what no file system can compress.
func fillRandom(f vfs.File, size int64) error {
	random := rand.NewChaCha8([32]byte{})
	var b [64 << 10]byte
	for off := int64(0); off < size; {
		n := min(size-off, int64(len(b)))
		random.Read(b[:n]) // never fails
		if _, err := f.WriteAt(b[:n], off); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// hasReserve tells whether the reserve is there, whole.
func hasReserve(fsys vfs.FS, dir string, size int64) bool {
	f, err := fsys.Open(filepath.Join(dir, reserveFile))
	if err != nil {
		return false
	}
	defer f.Close()
	n, err := f.Size()
	return err == nil && n >= size
}

// keepReserve makes the reserve when there is room for it that is not missed
// elsewhere, and ends then: it is used only by a start.
func (b *Broker) keepReserve() {
	fsys, size := b.opts.Store.FS, b.opts.Reserve
	if size < 0 || hasReserve(fsys, b.dir, size) {
		return
	}
	for wait := reserveEvery; ; {
		b.pause(wait)
		if b.closing.Load() {
			return
		}
		wait = reserveEvery
		if free, err := fsys.Free(b.dir); err != nil || free < uint64(max(b.Limits().DiskFree, 0)+2*size) {
			continue
		}
		err := makeReserve(fsys, b.dir, size)
		if err == nil {
			return
		}
		b.log.Warn("no reserve of disk space could be made; without it a start may fail on a full disk",
			"err", fmt.Errorf("%s: %w", filepath.Join(b.dir, reserveFile), err))
		wait = reservePause
	}
}
