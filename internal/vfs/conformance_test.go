package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// implementations runs a test on each file system, with a fresh directory.
func implementations(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/vol/dir"))
		test(t, m, "/vol/dir")
	})
	t.Run("errfs", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/vol/dir"))
		test(t, NewErrFS(m), "/vol/dir")
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t testing.TB, fsys FS, name string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	return f
}

func writeAt(t testing.TB, f File, p string, off int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(p), off)
	if err != nil || n != len(p) {
		t.Fatalf("WriteAt = %d, %v", n, err)
	}
}

func put(t testing.TB, fsys FS, name, data string) {
	t.Helper()
	f := create(t, fsys, name)
	writeAt(t, f, data, 0)
	must(t, f.Sync())
	must(t, f.Close())
}

func contentOf(t testing.TB, fsys FS, name string) string {
	t.Helper()
	b, err := ReadFile(fsys, name)
	must(t, err)
	return string(b)
}

func TestWritesAreReadBack(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name)
		if got := contentOf(t, fsys, name); got != "" {
			t.Fatalf("a new file holds %q", got)
		}
		writeAt(t, f, "hello", 0)
		writeAt(t, f, "world", 8)
		writeAt(t, f, "LO", 3)
		writeAt(t, f, "", 100)
		const want = "helLO\x00\x00\x00world"
		if size, err := f.Size(); err != nil || size != int64(len(want)) {
			t.Fatalf("Size = %d, %v", size, err)
		}
		must(t, f.Sync())
		if got := contentOf(t, fsys, name); got != want {
			t.Fatalf("read %q", got)
		}
		buf := make([]byte, 5)
		if n, err := f.ReadAt(buf, 8); n != 5 || err != nil || string(buf) != "world" {
			t.Errorf("a read up to the end = %d, %v, %q", n, err, buf)
		}
		if n, err := f.ReadAt(buf, 10); n != 3 || err != io.EOF || string(buf[:n]) != "rld" {
			t.Errorf("a read across the end = %d, %v, %q", n, err, buf[:n])
		}
		if n, err := f.ReadAt(buf, 1000); n != 0 || err != io.EOF {
			t.Errorf("a read past the end = %d, %v", n, err)
		}
		if n, err := f.ReadAt(nil, 1000); n != 0 || err != nil {
			t.Errorf("an empty read = %d, %v", n, err)
		}
		if _, err := f.ReadAt(buf, -1); err == nil || err == io.EOF {
			t.Errorf("a read at -1 = %v", err)
		}
		if _, err := f.WriteAt(buf, -1); err == nil {
			t.Error("a write at -1 succeeded")
		}
		must(t, f.Close())
	})
}

func TestErrorsAreRecognised(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		must(t, fsys.MkdirAll(at("sub")))
		f := create(t, fsys, at("f"))
		ro, err := fsys.Open(at("f"))
		must(t, err)
		closed := create(t, fsys, at("closed"))
		must(t, closed.Close())
		buf := make([]byte, 1)
		first := func(_ any, err error) error { return err }
		for _, c := range []struct {
			what string
			got  error
			want error
		}{
			{"create of a name taken", first(fsys.Create(at("f"))), fs.ErrExist},
			{"create of a directory's name", first(fsys.Create(at("sub"))), fs.ErrExist},
			{"create in no directory", first(fsys.Create(at("none/f"))), fs.ErrNotExist},
			{"create below a file", first(fsys.Create(at("f/f"))), syscall.ENOTDIR},
			{"open of no file", first(fsys.Open(at("none"))), fs.ErrNotExist},
			{"remove of no file", fsys.Remove(at("none")), fs.ErrNotExist},
			{"remove of a directory", fsys.Remove(at("sub")), syscall.EISDIR},
			{"rename of no file", fsys.Rename(at("none"), at("f")), fs.ErrNotExist},
			{"rename into no directory", fsys.Rename(at("f"), at("none/f")), fs.ErrNotExist},
			{"rename onto a directory", fsys.Rename(at("f"), at("sub")), fs.ErrExist},
			{"mkdir over a file", fsys.MkdirAll(at("f/sub")), syscall.ENOTDIR},
			{"readdir of none", first(fsys.ReadDir(at("none"))), fs.ErrNotExist},
			{"readdir of a file", first(fsys.ReadDir(at("f"))), syscall.ENOTDIR},
			{"syncdir of none", fsys.SyncDir(at("none")), fs.ErrNotExist},
			{"syncdir of a file", fsys.SyncDir(at("f")), syscall.ENOTDIR},
			{"lock in no directory", first(fsys.Lock(at("none/lock"))), fs.ErrNotExist},
			{"free of none", first(fsys.Free(at("none"))), fs.ErrNotExist},
			{"write to a file opened for reading", first(ro.WriteAt(buf, 0)), syscall.EBADF},
			{"read of a closed file", first(closed.ReadAt(buf, 0)), fs.ErrClosed},
			{"write to a closed file", first(closed.WriteAt(buf, 0)), fs.ErrClosed},
			{"sync of a closed file", closed.Sync(), fs.ErrClosed},
			{"size of a closed file", first(closed.Size()), fs.ErrClosed},
			{"close of a closed file", closed.Close(), fs.ErrClosed},
		} {
			if !errors.Is(c.got, c.want) {
				t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
			}
		}
		must(t, ro.Sync())
		must(t, ro.Close())
		must(t, f.Close())
	})
}

func TestNamesComeAndGo(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		list := func(dir string) []string {
			t.Helper()
			names, err := fsys.ReadDir(dir)
			must(t, err)
			return names
		}
		must(t, fsys.MkdirAll(at("sub/deep")))
		must(t, fsys.MkdirAll(at("sub/deep")))
		put(t, fsys, at("b"), "B")
		put(t, fsys, at("a"), "A")
		put(t, fsys, at("sub/c"), "C")
		if got := list(dir); !slices.Equal(got, []string{"a", "b", "sub"}) {
			t.Errorf("after create: %q", got)
		}
		if got := list(at("sub")); !slices.Equal(got, []string{"c", "deep"}) {
			t.Errorf("in sub: %q", got)
		}
		if got := list(at("sub/deep")); len(got) != 0 {
			t.Errorf("in an empty directory: %q", got)
		}
		must(t, fsys.Rename(at("a"), at("a")))
		must(t, fsys.Rename(at("a"), at("b")))
		must(t, fsys.Rename(at("sub/c"), at("d")))
		must(t, fsys.SyncDir(dir))
		if got := list(dir); !slices.Equal(got, []string{"b", "d", "sub"}) {
			t.Errorf("after rename: %q", got)
		}
		if b, d := contentOf(t, fsys, at("b")), contentOf(t, fsys, at("d")); b != "A" || d != "C" {
			t.Errorf("after rename: b=%q d=%q", b, d)
		}
		f, err := fsys.Open(at("b"))
		must(t, err)
		must(t, fsys.Remove(at("b")))
		if got := list(dir); !slices.Equal(got, []string{"d", "sub"}) {
			t.Errorf("after remove: %q", got)
		}
		buf := make([]byte, 1)
		if _, err := f.ReadAt(buf, 0); err != nil || string(buf) != "A" {
			t.Errorf("a removed file that is open: %v, %q", err, buf)
		}
		must(t, f.Close())
		put(t, fsys, at("b"), "new")
		if got := contentOf(t, fsys, at("b")); got != "new" {
			t.Errorf("a name used again holds %q", got)
		}
	})
}

func TestLockHasOneHolder(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "LOCK")
		l, err := fsys.Lock(name)
		must(t, err)
		if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) {
			t.Fatalf("a second lock: %v", err)
		}
		if names, err := fsys.ReadDir(dir); err != nil || !slices.Equal(names, []string{"LOCK"}) {
			t.Fatalf("the lock's file: %q, %v", names, err)
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}

func TestFreeIsPositive(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		if n, err := fsys.Free(dir); err != nil || n == 0 {
			t.Errorf("Free = %d, %v", n, err)
		}
	})
}

func TestReadersAndWriterShareAFile(t *testing.T) {
	implementations(t, func(t *testing.T, fsys FS, dir string) {
		const blocks, size = 64, 3000
		f := create(t, fsys, filepath.Join(dir, "f"))
		block := func(i int) []byte {
			b := make([]byte, size)
			for j := range b {
				b[j] = byte(i)
			}
			return b
		}
		var wg sync.WaitGroup
		done := make(chan int, blocks)
		for range 2 {
			wg.Go(func() {
				got := make([]byte, size)
				for i := range done {
					if _, err := f.ReadAt(got, int64(i)*size); err != nil {
						t.Errorf("block %d: %v", i, err)
					} else if !slices.Equal(got, block(i)) {
						t.Errorf("block %d is not what was written", i)
					}
				}
			})
		}
		for i := range blocks {
			if _, err := f.WriteAt(block(i), int64(i)*size); err != nil {
				t.Fatal(err)
			}
			if i%8 == 0 {
				must(t, f.Sync())
			}
			done <- i
		}
		close(done)
		wg.Wait()
		must(t, f.Close())
	})
}
