package wal

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// active is the file that is being written.
func (l *Log) active() FileInfo {
	files := l.Files()
	return files[len(files)-1]
}

func TestSmallCommitsOverwriteWhatWasFilledAhead(t *testing.T) {
	m := newMem(t)
	opts := tiny()
	opts.FileSize, opts.Ahead = 16<<10, 1024
	l := mustOpen(t, m, 0, opts)
	length := func() int64 {
		n, err := lengthOf(m, l.active().Name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var want []string
	grown := map[int64]bool{}
	for len(want) < 100 {
		want = append(want, fill(len(want), 20))
		l.mustCommit(t, want[len(want)-1])
		f := l.active()
		if f.Disk != length() || f.Disk < f.Size || f.Disk > f.Size+opts.Ahead {
			t.Fatalf("file of %d bytes for %d of the log, %d on disk", f.Disk, f.Size, length())
		}
		grown[f.Disk] = true
	}
	if size := l.active().Size; len(grown) > int(size/opts.Ahead)+1 {
		t.Errorf("%d bytes in %d commits made the file grow %d times", size, len(want), len(grown))
	}

	// A commit that is not small stands at the file's end as it is.
	for f := l.active(); f.Disk > f.Size; f = l.active() {
		want = append(want, fill(len(want), 200))
		l.mustCommit(t, want[len(want)-1])
	}
	if f := l.active(); f.Disk != f.Size || f.Disk != length() {
		t.Errorf("file of %d bytes for %d of the log, %d on disk", f.Disk, f.Size, length())
	}

	// Neither a crash nor a close leaves more than the records.
	for _, fs := range []*vfs.Mem{m.Restart(), m} {
		if fs == m {
			l.mustClose(t)
		}
		var got []string
		again, err := Open(fs, testDir, 0, opts, func(_ LSN, rec []byte) error {
			got = append(got, string(rec))
			return nil
		})
		if err != nil || strings.Join(got, "") != strings.Join(want, "") || again.Recovered().Torn != nil {
			t.Fatalf("%d of %d records, torn %v, %v", len(got), len(want), again.Recovered().Torn, err)
		}
		again.mustClose(t)
	}
}

func TestAFileIsFilledToItsSizeAndNoFurther(t *testing.T) {
	opts := tiny()
	opts.Ahead = 3000
	l := mustOpen(t, newMem(t), 0, opts)
	for l.Stats().Files < 3 {
		l.mustCommit(t, fill(1, 100))
	}
	for _, f := range l.Files() {
		if !f.Active && f.Disk != opts.FileSize {
			t.Errorf("file of %d bytes", f.Disk)
		}
	}
	l.mustClose(t)
}

// fillErrFS fails writes of nothing but zeros.
type fillErrFS struct {
	vfs.FS
	err  error
	hits int
}

func (fs *fillErrFS) Create(name string) (vfs.File, error) {
	f, err := fs.FS.Create(name)
	return &fillErrFile{f, fs}, err
}

type fillErrFile struct {
	vfs.File
	fs *fillErrFS
}

func (f *fillErrFile) WriteAt(p []byte, off int64) (int, error) {
	if len(p) > 0 && &p[0] == &zeros[0] {
		f.fs.hits++
		return 0, f.fs.err
	}
	return f.File.WriteAt(p, off)
}

func TestFillingAheadIsDoneWithoutWhereThereIsNoRoom(t *testing.T) {
	for _, full := range []bool{true, false} {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			fs := &fillErrFS{FS: newMem(t), err: syscall.EIO}
			if full {
				fs.err = syscall.ENOSPC
			}
			opts := tiny()
			opts.Ahead = 1024
			l, err := Open(fs, testDir, 0, opts, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, end, err := l.Append([]byte("record"), Lazy, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = l.Wait(end)
			if fs.hits != 1 {
				t.Fatalf("%d writes of zeros", fs.hits)
			}
			if f := l.active(); full && (err != nil || f.Disk != f.Size) {
				t.Errorf("file of %d bytes for %d, %v", f.Disk, f.Size, err)
			}
			if !full && !errors.Is(err, syscall.EIO) {
				t.Errorf("commit ended with %v", err)
			}
			if err := l.Close(); (err == nil) != full {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsFilledAheadWhereLittleOfTheDiskIsFree(t *testing.T) {
	m := newMem(t)
	opts := tiny()
	opts.FileSize, opts.Ahead = 16<<10, 1024
	l := mustOpen(t, m, 0, opts)
	m.SetCapacity(capacityFor(t, m, aheadMargin*opts.Ahead-1))
	l.mustCommit(t, fill(1, 20))
	if f := l.active(); f.Disk != f.Size {
		t.Errorf("file of %d bytes for %d of the log", f.Disk, f.Size)
	}
	m.SetCapacity(capacityFor(t, m, 2*aheadMargin*opts.Ahead))
	l.mustCommit(t, fill(2, 20))
	if f := l.active(); f.Disk <= f.Size {
		t.Errorf("file of %d bytes for %d of the log, with room", f.Disk, f.Size)
	}
	l.mustClose(t)
}

// capacityFor is the capacity at which so many bytes of the disk are free.
func capacityFor(t *testing.T, m *vfs.Mem, free int64) int64 {
	t.Helper()
	const large = 1 << 40
	m.SetCapacity(large)
	n, err := m.Free(testDir)
	if err != nil {
		t.Fatal(err)
	}
	return large - int64(n) + free
}
