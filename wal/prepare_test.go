package wal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/leveret-mq/leveret/internal/vfs"
)

func always() bool { return true }

func (l *Log) mustPrepare(t testing.TB) {
	t.Helper()
	if err := l.Prepare(always); err != nil {
		t.Fatal(err)
	}
}

// A prepared file has its length before the log comes to it, and is the next one.
func TestThePreparedFileIsWrittenOver(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	want := l.commitFiles(t, 1)
	for range 3 { // of which two have room
		l.mustPrepare(t)
	}
	if st := l.Stats(); st.Prepared != 2 || st.Spares != 2 || st.Spare != 2*tiny().FileSize || len(sparesOf(t, m)) != 2 {
		t.Fatalf("%d spares of %d bytes, files %v", st.Spares, st.Spare, sparesOf(t, m))
	}
	want = append(want, l.commitFiles(t, 1)...)
	if f := l.active(); f.Disk != tiny().FileSize || f.Size >= f.Disk {
		t.Fatalf("the file that was prepared has %d bytes, %d of them the log's", f.Disk, f.Size)
	}
	want = append(want, l.commitFiles(t, 2)...)
	if st := l.Stats(); st.Recycled != 2 || st.Spares != 0 {
		t.Fatalf("%d files were written over, %d spares are left", st.Recycled, st.Spares)
	}
	for _, fs := range []*vfs.Mem{m.Restart(), m} {
		if fs == m {
			l.mustClose(t)
		}
		var got []string
		again, err := Open(fs, testDir, 0, tiny(), func(_ LSN, rec []byte) error {
			got = append(got, string(rec))
			return nil
		})
		if err != nil || !slices.Equal(got, want) || again.Recovered().Torn != nil {
			t.Fatalf("%d of %d records, torn %v, %v", len(got), len(want), again.Recovered().Torn, err)
		}
		again.mustClose(t)
	}
}

// A commit that would make a file grow begins a spare, if the file is half full; and not
// again, nor where the file has its length already.
func TestASpareIsBegunByWhatWouldGrow(t *testing.T) {
	half := strings.Repeat("h", int(tiny().FileSize/2))
	for _, c := range []struct {
		name  string
		ahead int64
		first string
		drop  bool
		files int // behind what would grow, and from then on
	}{
		{"half full", -1, half, false, 2},
		{"nearly empty", -1, "first", false, 1},
		{"filled ahead", 64 << 10, "first", false, 1},
		{"no spare", -1, half, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := tiny()
			opts.Ahead = c.ahead
			l := mustOpen(t, newMem(t), 0, opts)
			defer l.mustClose(t)
			l.mustCommit(t, c.first)
			l.mustPrepare(t)
			l.mustPrepare(t)
			if c.drop {
				l.DropSpares()
			}
			for range 3 {
				l.mustCommit(t, "next")
				if n := len(l.Files()); n != c.files {
					t.Fatalf("%d files, want %d: %+v", n, c.files, l.Files())
				}
			}
			if st := l.Stats(); st.Recycled != uint64(c.files-1) {
				t.Errorf("%d files were written over, want %d", st.Recycled, c.files-1)
			}
			// A file that is begun without one grows until it is half full.
			spares := l.Stats().Spares
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				l.mustCommit(t, "next")
				if n := len(l.Files()); n != c.files+1 {
					t.Fatalf("%d files behind a fresh one, want %d: %+v", n, c.files+1, l.Files())
				}
			}
			l.mustCommit(t, half)
			l.mustCommit(t, "next")
			want := c.files + 1
			if spares > 0 && opts.Ahead < 0 {
				want++
			}
			if n := len(l.Files()); n != want {
				t.Errorf("%d files in the end, want %d: %+v", n, want, l.Files())
			}
		})
	}
}

// What a process has prepared and not used is used by the next.
func TestAPreparedFileOutlivesItsProcess(t *testing.T) {
	m := newMem(t)
	l := mustOpen(t, m, 0, tiny())
	l.mustPrepare(t)
	l.mustClose(t)
	l = mustOpen(t, m.Restart(), 0, tiny())
	if st := l.Stats(); st.Spares != 1 {
		t.Fatalf("%d spares", st.Spares)
	}
	l.mustPrepare(t) // under another name
	if st := l.Stats(); st.Spares != 2 {
		t.Fatalf("%d spares", st.Spares)
	}
	l.commitFiles(t, 2)
	if st := l.Stats(); st.Recycled != 2 {
		t.Errorf("%d files were written over", st.Recycled)
	}
}

// A file is prepared where there is room to give away, for as long as its owner
// wants it; else nothing is left of it, and the next may be prepared.
func TestAFileIsNotPrepared(t *testing.T) {
	opts := tiny()
	opts.FileSize = 3 * preparePiece
	space := int64(aheadMargin * opts.FileSize)
	for name, c := range map[string]struct {
		spares int
		room   int64
		pieces int // that on asks for
		op     vfs.Op
		err    error
	}{
		"no spares are kept":      {spares: -1, room: 2 * space, pieces: 9},
		"the disk is nearly full": {room: space - 1, pieces: 9},
		"at once":                 {room: 2 * space},
		"half-way":                {room: 2 * space, pieces: 2},
		"create fails":            {room: 2 * space, pieces: 9, op: vfs.OpCreate, err: syscall.EIO},
		"write fails":             {room: 2 * space, pieces: 9, op: vfs.OpWrite, err: syscall.EIO},
		"sync fails":              {room: 2 * space, pieces: 9, op: vfs.OpSync, err: syscall.EIO},
		"room is not known":       {room: 2 * space, pieces: 9, op: vfs.OpFree, err: nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMem(t)
			efs := vfs.NewErrFS(m)
			opts := opts
			opts.Spares = c.spares
			l := mustOpen(t, efs, 0, opts)
			m.SetCapacity(capacityFor(t, m, c.room))
			if c.op != 0 {
				rule := vfs.Rule{Ops: c.op, At: 1}
				if c.op != vfs.OpFree {
					rule.Name = "*" + spareSuffix
				}
				efs.Add(rule)
			}
			asked := 0
			err := l.Prepare(func() bool { asked++; return asked <= c.pieces })
			if c.op == vfs.OpFree && !errors.Is(err, syscall.EIO) || c.op != vfs.OpFree && !errors.Is(err, c.err) {
				t.Errorf("error %v", err)
			}
			if st := l.Stats(); st.Prepared != 0 || st.Spares != 0 || st.Spare != 0 || len(sparesOf(t, m)) != 0 {
				t.Errorf("%d spares, files %v", st.Spares, sparesOf(t, m))
			}
			l.mustCommit(t, "the log goes on")
			if c.spares >= 0 {
				m.SetCapacity(1 << 40)
				l.mustPrepare(t)
				if st := l.Stats(); st.Spares != 1 {
					t.Errorf("%d spares", st.Spares)
				}
			}
		})
	}
}

// The power is cut before every operation of a run whose files are prepared, also
// while one is.
func TestPowerCutOverPreparedFiles(t *testing.T) {
	opts := tiny()
	c := &crasher{t: t, opts: opts, image: vfs.ImageOptions{MaxImages: 30}, deep: 50}
	if raceEnabled {
		c.image.MaxImages, c.deep = 6, 200
	}
	rng := rand.New(rand.NewPCG(8, 1))
	m := newMem(t)
	recycled, files, early := uint64(0), uint64(0), 0
	for generation := range 4 {
		l := c.open(m)
		first := l.active().Seq
		for i := range 40 {
			end, err := c.append(l, 1+rng.IntN(3), rng.IntN(400), Lazy, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rng.IntN(4) > 0 {
				if err := l.Wait(end); err != nil {
					t.Fatal(err)
				}
			}
			if i%4 == 3 {
				if err := l.Prepare(func() bool { return rng.IntN(8) > 0 }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, f := range l.Files() {
			// There was room for the largest batch, of three records of 400 bytes.
			if f.Seq >= first && !f.Active && f.Size+1300 < opts.FileSize {
				early++
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
		t.Errorf("%d of %d files were prepared", recycled, files)
	}
	if early == 0 {
		t.Error("no file was ended for a spare before it was full")
	}
	t.Logf("%d files ended early, %d operations, %d images recovered, %d images of those recoveries, %d of %d files prepared", early, c.cuts, c.images, c.nested, recycled, files)
}
