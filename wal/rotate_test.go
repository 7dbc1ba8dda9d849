package wal

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func TestRotateEndsTheActiveFile(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	if err := l.Rotate(); err != nil || len(l.Files()) != 1 {
		t.Fatalf("rotated an empty file: %v, %v", err, l.Files())
	}
	l.mustCommit(t, "one", "two")
	l.mustAppend(t, Lazy, nil, "staged")
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	files := l.Files()
	if len(files) != 2 || files[0].Active || files[0].End != files[1].Start || l.Durable() != files[0].End {
		t.Fatalf("%+v, durable %d", files, l.Durable())
	}
	end := l.mustCommit(t, "three")
	if f := l.Files()[1]; f.End < end || f.Start >= end {
		t.Errorf("the next frame is not in the new file: %+v, end %d", f, end)
	}
	if got := scanned(t, l, files[0].Seq); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("scanned %q", got)
	}
	l.mustClose(t)
	recs, _, err := replayed(m, 0)
	if err != nil || !slices.Equal(recs, []string{"one", "two", "staged", "three"}) {
		t.Errorf("%q, %v", recs, err)
	}
	if err := l.Rotate(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func scanned(t *testing.T, l *Log, seq uint64) (recs []string) {
	t.Helper()
	err := l.Scan(seq, func(_ LSN, rec []byte) error {
		recs = append(recs, string(rec))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

// Commits that follow each other closely do not keep Rotate out, and what asks
// for a commit meanwhile gets it.
func TestRotateHasItsTurnAmongCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, _ := gated(t, tiny())
		w := &notes{}
		l.mustAppend(t, Group, w, "first")
		synctest.Wait() // the committer is in its sync
		var rotated error
		var files int
		go func() {
			rotated = l.Rotate()
			files = len(l.Files())
		}()
		synctest.Wait()
		l.mustAppend(t, Group, w, "second")
		var waited error
		go func() {
			_, end := l.mustAppend(t, Lazy, w, "third")
			l.Lead()
			waited = l.Wait(end)
		}()
		synctest.Wait()
		g.open <- struct{}{} // the first commit ends; the new file is synced
		synctest.Wait()
		if len(l.Files()) != 1 || w.count() != 1 {
			t.Errorf("%d files, %d batches told", len(l.Files()), w.count())
		}
		g.open <- struct{}{} // the new file is there; the second commit is synced
		synctest.Wait()
		if rotated != nil || files != 2 {
			t.Errorf("rotated: %v, %d files", rotated, files)
		}
		close(g.open)
		synctest.Wait()
		if w.count() != 3 || waited != nil {
			t.Errorf("%d of 3 batches told, %v", w.count(), waited)
		}
		l.mustClose(t)
	})
}

// Rotate, and the waiting for it, end with the log.
func TestRotateAndCloseEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, g, _ := gated(t, tiny())
		l.mustAppend(t, Group, nil, "record")
		synctest.Wait()
		errs := make(chan error, 4)
		for range 2 {
			go func() { errs <- l.Rotate() }()
		}
		synctest.Wait()
		go func() { errs <- l.Close() }()
		close(g.open)
		synctest.Wait()
		for range 3 {
			if err := <-errs; err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
}

func TestRotateThatFails(t *testing.T) {
	t.Run("for now", func(t *testing.T) {
		efs := vfs.NewErrFS(newMem(t))
		l := mustOpen(t, efs, 0, tiny())
		l.mustCommit(t, "one")
		efs.Add(vfs.Rule{Ops: vfs.OpCreate, At: 1, Err: syscall.ENOSPC})
		if err := l.Rotate(); !errors.Is(err, syscall.ENOSPC) || l.Err() != nil {
			t.Fatal(err, l.Err())
		}
		l.mustCommit(t, "two")
		if err := l.Rotate(); err != nil || len(l.Files()) != 2 {
			t.Fatal(err)
		}
		l.mustClose(t)
	})
	t.Run("for good", func(t *testing.T) {
		efs := vfs.NewErrFS(newMem(t))
		l := mustOpen(t, efs, 0, tiny())
		l.mustCommit(t, "one")
		w := &notes{}
		l.mustAppend(t, Lazy, w, "staged")
		efs.Add(vfs.Rule{Ops: vfs.OpSyncDir, At: 1})
		if err := l.Rotate(); !errors.Is(err, syscall.EIO) || !errors.Is(l.Err(), syscall.EIO) {
			t.Fatal(err, l.Err())
		}
		if len(w.errs) != 1 || !errors.Is(w.errs[0], syscall.EIO) {
			t.Errorf("waiter was told %v", w.errs)
		}
		if err := l.Rotate(); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	})
}

func TestScanOfWhatCannotBe(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	l.mustCommit(t, "one")
	if err := l.Scan(l.Files()[0].Seq, nil); err == nil || !strings.Contains(err.Error(), "being written") {
		t.Error(err)
	}
	if err := l.Scan(99, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := l.Scan(1, func(LSN, []byte) error { return stop }); err != stop {
		t.Error(err)
	}
}

// A removed file is scanned to its end.
func TestRemoveDuringAScan(t *testing.T) {
	l := mustOpen(t, newMem(t), 0, tiny())
	l.mustCommit(t, "one")
	l.mustCommit(t, "two")
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := l.Scan(1, func(LSN, []byte) error {
		if n++; n == 1 {
			return l.Remove(1)
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Error(n, err)
	}
}

// Whatever byte of a closed file changes: Scan hands out nothing but what was
// appended, and says where the damage is.
func TestScanNoticesEveryInvertedByte(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.mustCommit(t, "one", "two")
	l.mustCommit(t, fill(1, 100))
	l.mustCommit(t, "three")
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	l.mustCommit(t, "four")
	end := l.Durable()
	l.mustClose(t)
	want := []string{"one", "two", fill(1, 100), "three"}
	for off := fileHeaderSize; ; off++ {
		m := m.Restart()
		h, err := m.Open(testDir + "/" + fileName(1))
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := h.ReadAt(b[:], int64(off)); err != nil {
			break
		}
		h.Close()
		flip(t, m, testDir+"/"+fileName(1), off)
		l := mustOpen(t, m, end, tiny()) // the damage is below the replay
		var got []string
		err = l.Scan(1, func(_ LSN, rec []byte) error {
			got = append(got, string(rec))
			return nil
		})
		c := corruption(err)
		if c == nil || c.Offset > int64(off) || !strings.HasSuffix(c.File, fileName(1)) {
			t.Errorf("byte %d: %v", off, err)
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("byte %d: scanned %q", off, got)
		}
		l.mustClose(t)
	}
}

// flip inverts a byte of a file, which is written anew.
func flip(t *testing.T, m *vfs.Mem, name string, off int) {
	t.Helper()
	h, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := h.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := h.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	h.Close()
	b[off] ^= 0xff
	if err := m.Remove(name); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, name, b)
}

func TestScanOfAFileThatWasCutShort(t *testing.T) {
	m := writeImages(t, newImage(1, 0).frame("one"), newImage(2, 96).frame("two").frame("three"))
	l := mustOpen(t, m, 96, tiny())
	err := l.Scan(1, func(LSN, []byte) error { return nil })
	if c := corruption(err); c == nil || !strings.Contains(c.Error(), "ends early") {
		t.Error(err)
	}
}

// A file may still show a tail that recovery has copied into the file behind it,
// and that file may be gone. The tail is no damage then; other places are.
func TestScanBeforeAGap(t *testing.T) {
	for name, c := range map[string]struct {
		im   *image
		want string
		bad  string
	}{
		"sealed":        {newImage(1, 0).frame("one").sealFrame(), "one", ""},
		"torn":          {newImage(1, 0).frame("one").frame("two").group(48, "three").damage(-1), "one two", ""},
		"cut":           {newImage(1, 0).frame("one").frame("two").cut(5), "one", ""},
		"damage within": {newImage(1, 0).frame("one").frame("two").frame("three").damage(fileHeaderSize + 48 + 42), "one", "checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			m := writeImages(t, c.im, newImage(3, 4000).frame("x").frame("y"))
			l := mustOpen(t, m, 4000, tiny())
			var got []string
			err := l.Scan(1, func(_ LSN, rec []byte) error {
				got = append(got, string(rec))
				return nil
			})
			if strings.Join(got, " ") != c.want || (err == nil) != (c.bad == "") || err != nil && !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
