package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/leveret-mq/leveret/internal/vfs"
)

// commitFiles commits records until n more files were begun.
func (l *Log) commitFiles(t testing.TB, n uint64) (recs []string) {
	t.Helper()
	for end := l.Stats().Files + n; l.Stats().Files < end; {
		recs = append(recs, fill(len(recs), 500))
		l.mustCommit(t, recs[len(recs)-1])
	}
	return recs
}

// removeAll removes all files but the active one.
func (l *Log) removeAll(t testing.TB) {
	t.Helper()
	for _, f := range l.Files() {
		if !f.Active {
			if err := l.Remove(f.Seq); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func sparesOf(t testing.TB, fs vfs.FS) (names []string) {
	t.Helper()
	all, err := fs.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasSuffix(name, spareSuffix) {
			names = append(names, name)
		}
	}
	return names
}

func TestRemovedFilesAreWrittenOver(t *testing.T) {
	for _, c := range []struct{ option, kept int }{{0, 6}, {2, 2}, {5, 5}, {-1, 0}} {
		t.Run(fmt.Sprint(c.option), func(t *testing.T) {
			m := newMem(t)
			opts := tiny()
			opts.Spares = c.option
			l := mustOpen(t, m, 0, opts)
			l.commitFiles(t, 7)
			l.removeAll(t)
			if st := l.Stats(); st.Spares != c.kept || len(sparesOf(t, m)) != c.kept || (st.Spare > 0) != (c.kept > 0) {
				t.Fatalf("%d spares of %d bytes are kept, want %d", st.Spares, st.Spare, c.kept)
			}
			from := l.Files()[0].Start
			want := l.commitFiles(t, 6)
			if st := l.Stats(); st.Recycled != uint64(c.kept) || st.Spares != 0 {
				t.Errorf("%d files were written over, %d are left; want %d and none", st.Recycled, st.Spares, c.kept)
			}
			for _, f := range l.Files() {
				if f.Disk < f.Size || f.Size != int64(fileHeaderSize+f.End-f.Start) {
					t.Errorf("%+v", f)
				}
				if !f.Active {
					if err := l.Scan(f.Seq, func(LSN, []byte) error { return nil }); err != nil {
						t.Error(err)
					}
				}
			}
			for _, how := range []string{"killed", "closed"} {
				if how == "closed" {
					l.mustClose(t)
				}
				var got []string
				sum, err := Replay(m, testDir, from, func(_ LSN, rec []byte) error {
					got = append(got, string(rec))
					return nil
				})
				if err != nil || sum.Torn != nil || len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
					t.Fatalf("%s: %d of %d records, torn %v, %v", how, len(got), len(want), sum.Torn, err)
				}
				if s := look(t, m); len(s.damage) > 0 {
					t.Errorf("%s: damage %v", how, s.damage)
				}
			}
		})
	}
}

// The power is cut before every operation of a run in which nearly every file
// is written over an older one.
func TestPowerCutOverOlderFiles(t *testing.T) {
	for _, spares := range []int{1, 3} {
		opts := tiny()
		opts.Spares = spares
		c := &crasher{t: t, opts: opts, image: vfs.ImageOptions{MaxImages: 30}, deep: 50}
		if raceEnabled {
			c.image.MaxImages, c.deep = 6, 200
		}
		rng := rand.New(rand.NewPCG(6, uint64(spares)))
		m := newMem(t)
		recycled, files := uint64(0), uint64(0)
		for generation := range 4 {
			l := c.open(m)
			for i := range 60 {
				end, err := c.append(l, 1+rng.IntN(3), rng.IntN(400), Lazy, nil)
				if err != nil {
					t.Fatal(err)
				}
				if rng.IntN(4) > 0 {
					if err := l.Wait(end); err != nil {
						t.Fatal(err)
					}
				}
				if i%6 != 5 {
					continue
				}
				if rng.IntN(8) == 0 {
					l.DropSpares()
				}
				from := l.Boundary()
				if err := l.Wait(from); err != nil {
					t.Fatal(err)
				}
				c.mu.Lock()
				c.h.from = from
				c.mu.Unlock()
				for _, f := range l.Files() {
					if f.End <= from && !f.Active {
						c.remove(l, f)
					}
				}
			}
			st := l.Stats()
			recycled, files = recycled+st.Recycled, files+st.Files
			if generation%2 == 0 {
				m = c.kill(m)
			} else {
				l.mustClose(t)
				c.kill(m)
				m = m.Restart()
			}
		}
		if recycled < files/2 {
			t.Errorf("%d of %d files were written over older ones", recycled, files)
		}
		t.Logf("%d spares: %d operations, %d images recovered, %d images of those recoveries, %d of %d files recycled", spares, c.cuts, c.images, c.nested, recycled, files)
	}
}

// A file whose removal was not made durable keeps its name after a power cut,
// and with it its content: nothing is written over it before.
func TestSparesAreDurableBeforeTheyAreWrittenOver(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.commitFiles(t, 3)
	var ops []string
	m.OnOp(func(n int, op vfs.Op, name string) { ops = append(ops, fmt.Sprint(op, " ", filepath.Ext(name))) })
	if err := l.Remove(1); err != nil {
		t.Fatal(err)
	}
	for l.Stats().Recycled == 0 {
		l.mustCommit(t, fill(1, 500))
	}
	m.OnOp(nil)
	ops = slices.DeleteFunc(ops, func(s string) bool { return s == "write .tmp" || s == "sync .tmp" }) // the file being written, as it was opened
	want := []string{"rename .wal", "syncdir ", "write .spare", "sync .spare", "rename .spare", "syncdir "}
	if !slices.Equal(ops[:len(want)], want) {
		t.Fatalf("operations %q, want %q", ops, want)
	}
}

// Where the directory cannot be synced the file is no spare.
func TestFilesThatMayComeBackAreNotWrittenOver(t *testing.T) {
	m := newMem(t)
	efs := vfs.NewErrFS(m)
	l := mustOpen(t, efs, 0, tiny())
	l.commitFiles(t, 3)
	efs.Add(vfs.Rule{Ops: vfs.OpSyncDir, At: 1})
	if err := l.Remove(1); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if st := l.Stats(); st.Spares != 0 || len(sparesOf(t, m)) != 0 || l.Files()[0].Seq == 1 {
		t.Fatalf("%d spares, %v, files %v", st.Spares, sparesOf(t, m), l.Files())
	}
	l.commitFiles(t, 3)
}

// A file that is being read when it is removed is read to its end.
func TestFilesThatAreReadAreNotWrittenOver(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	want := l.commitFiles(t, 3)
	n := 0
	err := l.Scan(1, func(lsn LSN, rec []byte) error {
		if n == 0 {
			if err := l.Remove(1); err != nil {
				return err
			}
			l.commitFiles(t, 4)
		}
		if string(rec) != want[n] {
			return fmt.Errorf("record %d is another", n)
		}
		n++
		return nil
	})
	if err != nil || n < 4 || l.Stats().Recycled != 0 || len(sparesOf(t, m)) != 0 {
		t.Fatal(n, err, l.Stats().Recycled)
	}
}

func TestSparesAreDroppedAndRotateIsFresh(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.commitFiles(t, 4)
	l.removeAll(t)
	st := l.Stats()
	l.mustCommit(t, "x")
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	if f := l.Files()[1]; f.Disk != fileHeaderSize || l.Stats().Spares != st.Spares {
		t.Errorf("a file of %d bytes was begun, %d spares are left", f.Disk, l.Stats().Spares)
	}
	if freed := l.DropSpares(); freed != st.Spare || freed == 0 || len(sparesOf(t, m)) != 0 || l.Stats().Spares != 0 {
		t.Errorf("%d bytes were freed of %d; left: %v", freed, st.Spare, sparesOf(t, m))
	}
	if l.DropSpares() != 0 {
		t.Error("dropped twice")
	}
}

func TestOpenKeepsTheSparesThatItCanUse(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.commitFiles(t, 4)
	l.removeAll(t)
	from := l.Files()[0].Start
	l.mustClose(t)
	for name, size := range map[string]int{"empty": 0, "small": 100, "large": 1 << 20, "more": 4096} {
		writeFile(t, m, testDir+"/"+name+spareSuffix, make([]byte, size))
	}
	m.SyncAll()
	for _, c := range []struct{ option, kept int }{{5, 3}, {0, 3}, {2, 2}, {1, 1}, {-1, 0}} {
		opts := tiny()
		opts.Spares = c.option
		l = mustOpen(t, m, from, opts)
		if st := l.Stats(); st.Spares != c.kept || len(sparesOf(t, m)) != c.kept {
			t.Errorf("with %d spares wanted %d are kept, %v", c.option, st.Spares, sparesOf(t, m))
		}
		l.mustClose(t)
	}
}

func TestSparesGoWhereRoomRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wait := range []bool{true, false} {
			m := newMem(t)
			opts := tiny()
			if wait {
				opts.FullDiskWait = 0
			}
			l := mustOpen(t, m, 0, opts)
			l.commitFiles(t, 3)
			l.removeAll(t)
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
			l.removeAll(t)
			free, err := m.Free("/")
			if err != nil {
				t.Fatal(err)
			}
			m.SetCapacity(1<<40 - int64(free) + 100) // of what it was
			l.mustCommit(t, fill(0, 500))            // at once
			if st := l.Stats(); st.Spares != 0 || st.FullWait != 0 {
				t.Errorf("%d spares on a full disk, waited %v", st.Spares, st.FullWait)
			}
			l.mustClose(t)
		}
	})
}

func TestOpenOnAFullDiskDropsSpares(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.commitFiles(t, 3)
	l.removeAll(t)
	from := l.Files()[0].Start
	l.mustClose(t)
	m = m.Restart()
	free, err := m.Free("/")
	if err != nil {
		t.Fatal(err)
	}
	m.SetCapacity(1<<40 - int64(free))
	l = mustOpen(t, m, from, tiny())
	l.mustCommit(t, "one more")
	if len(sparesOf(t, m)) != 0 {
		t.Error("spares are left")
	}
}

// A spare that cannot be used costs nothing but itself.
func TestSpareThatFailsIsReplaced(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpWrite, vfs.OpSync} {
		m := newMem(t)
		efs := vfs.NewErrFS(m)
		l := mustOpen(t, efs, 0, tiny())
		l.commitFiles(t, 3)
		l.removeAll(t)
		inj := efs.Add(vfs.Rule{Ops: op, Name: "*" + spareSuffix, At: 1, Sticky: true})
		l.commitFiles(t, 4)
		if st := l.Stats(); inj.Failed() != 2 || st.Recycled != 0 || len(sparesOf(t, m)) != 0 {
			t.Errorf("%v: %d failures, %d files written over, %v left", op, inj.Failed(), st.Recycled, sparesOf(t, m))
		}
	}
}

// A view that has a file open which is then written over says that it is gone,
// and neither that it is damaged nor what another file holds.
func TestAViewOfAFileThatIsWrittenOver(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	lsns, _ := l.mustAppend(t, Group, nil, fill(0, 500))
	l.commitFiles(t, 3)
	v, err := OpenView(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p := make([]byte, 500)
	if err := v.ReadAt(p, lsns[0]); err != nil || string(p) != fill(0, 500) {
		t.Fatal(err)
	}
	l.removeAll(t)
	if err := v.ReadAt(p, lsns[0]); err != nil || string(p) != fill(0, 500) {
		t.Fatal(err) // it is a spare, and as it was
	}
	l.commitFiles(t, 4)
	if err := v.ReadAt(p, lsns[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("read %.20q, %v", p, err)
	}
	_, err = v.Walk(0, 0, Walker{
		Record: func(_ LSN, rec []byte, whole bool) error { return fmt.Errorf("record %.20q, whole: %v", rec, whole) },
		Damage: func(d Damage) error { return &d },
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// What a file was written over is behind its end, though no next file says so.
func TestAViewEndsWhereTheFramesDo(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.commitFiles(t, 3)
	l.removeAll(t)
	l.commitFiles(t, 2)
	files := l.Files()
	want := map[uint64]LSN{}
	for _, f := range files {
		want[f.Seq] = f.End
	}
	last := files[len(files)-1]
	if last.Disk == last.Size {
		t.Fatalf("not written over: %+v", last)
	}
	gap := files[len(files)-2]
	if err := l.Remove(gap.Seq); err != nil {
		t.Fatal(err)
	}
	v, err := OpenView(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, f := range v.Files() {
		if f.End != want[f.Seq] {
			t.Errorf("%+v, want its end at %d", f, want[f.Seq])
		}
	}
	if err := v.ReadAt(make([]byte, 8), last.End); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is behind the end: %v", err)
	}
}

// A header is guessed by the file's own frames, not by older ones.
func TestAViewGuessesByTheLatestFrames(t *testing.T) {
	for name, im := range map[string]*image{
		"whole":            newImage(3, 560).frame("record-1").frame("record-2").over(older()),
		"first frame lost": newImage(3, 560).lost(older(), func(im *image) { im.frame("record-1") }).frame("record-2").over(older()),
		"inner frames":     newImage(3, 560).frame(string(newImage(1, 80000).frame("inner").data)).frame("record-2").over(older()),
	} {
		v, err := OpenView(writeImages(t, im.damage(20)), testDir)
		if err != nil {
			t.Fatal(err)
		}
		if f := v.Files()[0]; f.Bad == nil || !f.Known || f.Start != 560 {
			t.Errorf("%s: %+v", name, f)
		}
		v.Close()
	}
}
