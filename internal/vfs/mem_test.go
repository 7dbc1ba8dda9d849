package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// workload does one of everything and returns the first error. Its operations,
// in order, are what workloadOps says.
func workload(fsys FS) error {
	if err := fsys.MkdirAll("a/b"); err != nil {
		return err
	}
	f, err := fsys.Create("a/b/tmp")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("one"), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := fsys.Rename("a/b/tmp", "a/b/f"); err != nil {
		return err
	}
	if err := fsys.SyncDir("a/b"); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("two"), 3); err != nil {
		return err
	}
	if _, err := fsys.Create("a/g"); err != nil {
		return err
	}
	return fsys.Remove("a/g")
}

var workloadOps = []string{
	"1 mkdir /a", "2 mkdir /a/b", "3 create a/b/tmp", "4 write a/b/tmp", "5 sync a/b/tmp",
	"6 rename a/b/tmp", "7 syncdir a/b", "8 write a/b/tmp", "9 create a/g", "10 remove a/g",
}

func TestOperationsAreNumbered(t *testing.T) {
	m := NewMem()
	var got []string
	m.OnOp(func(n int, op Op, name string) { got = append(got, fmt.Sprint(n, " ", op, " ", name)) })
	must(t, workload(m))
	if !slices.Equal(got, workloadOps) {
		t.Errorf("operations:\n%s", strings.Join(got, "\n"))
	}
	if m.Ops() != len(workloadOps) {
		t.Errorf("Ops = %d", m.Ops())
	}
}

func TestRefusedOperationsHaveNoNumber(t *testing.T) {
	m := NewMem()
	must(t, workload(m))
	n := m.Ops()
	_, err := m.Create("a/b/f")
	if !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := m.Remove("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	must(t, m.MkdirAll("a/b"))
	if m.Ops() != n {
		t.Errorf("%d operations were counted", m.Ops()-n)
	}
}

func TestPowerIsCutAtEachOperation(t *testing.T) {
	for k := 1; k <= len(workloadOps)+1; k++ {
		// What there is before operation k, by the hook of a whole run.
		var want map[string]string
		whole := NewMem()
		whole.OnOp(func(n int, _ Op, _ string) {
			if n == k {
				want = dump(t, whole)
			}
		})
		must(t, workload(whole))
		if k > len(workloadOps) {
			want = dump(t, whole)
		}

		m := NewMem()
		m.CutAt(k)
		err := workload(m)
		if k <= len(workloadOps) != errors.Is(err, ErrCut) {
			t.Errorf("cut at %d: %v", k, err)
		}
		if m.Ops() != k-1 {
			t.Errorf("cut at %d: %d operations", k, m.Ops())
		}
		if got := dump(t, m.Restart()); !maps.Equal(got, want) {
			t.Errorf("cut at %d: %q, want %q", k, got, want)
		}
	}
}

func TestNothingWorksAfterTheCut(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("d"))
	f := create(t, m, "d/f")
	writeAt(t, f, "x", 0)
	before := dump(t, m)
	m.Cut()
	buf := make([]byte, 1)
	for op, err := range map[string]error{
		"create":  second(m.Create("d/g")),
		"open":    second(m.Open("d/f")),
		"remove":  m.Remove("d/f"),
		"rename":  m.Rename("d/f", "d/g"),
		"mkdir":   m.MkdirAll("e"),
		"readdir": second(m.ReadDir("d")),
		"syncdir": m.SyncDir("d"),
		"lock":    second(m.Lock("d/LOCK")),
		"free":    second(m.Free("d")),
		"write":   second(f.WriteAt(buf, 0)),
		"read":    second(f.ReadAt(buf, 0)),
		"size":    second(f.Size()),
		"sync":    f.Sync(),
	} {
		if !errors.Is(err, ErrCut) {
			t.Errorf("%s: %v", op, err)
		}
	}
	must(t, f.Close())
	if got := dump(t, m.Restart()); !maps.Equal(got, before) {
		t.Errorf("after the cut: %q", got)
	}
}

func second[T any](_ T, err error) error { return err }

func TestHookSeesAllCutsOfOneRun(t *testing.T) {
	m := NewMem()
	images := map[string]bool{}
	m.OnOp(func(int, Op, string) {
		for _, img := range m.Images(ImageOptions{}) {
			images[line(dump(t, img))] = true
		}
	})
	must(t, workload(m))
	for k := range len(workloadOps) {
		cut := NewMem()
		cut.CutAt(k + 1)
		_ = workload(cut)
		for desc, img := range cut.Images(ImageOptions{}) {
			if l := line(dump(t, img)); !images[l] {
				t.Errorf("cut at %d, %s: the hook has not seen %s", k+1, desc, l)
			}
		}
	}
}

func TestHookMayCut(t *testing.T) {
	m := NewMem()
	m.OnOp(func(n int, _ Op, _ string) {
		if n == 4 {
			m.Cut()
		}
	})
	if err := workload(m); !errors.Is(err, ErrCut) || m.Ops() != 3 {
		t.Errorf("%d operations, %v", m.Ops(), err)
	}
}

func TestRestartKeepsWhatIsNotSynced(t *testing.T) {
	m := NewMem()
	put(t, m, "f", "synced")
	must(t, m.SyncDir("/"))
	f := create(t, m, "g")
	writeAt(t, f, "x", 0)
	must(t, m.Remove("f"))
	_, err := m.Lock("LOCK")
	must(t, err)
	m.Cut()
	want := line(dump(t, m.Restart()))

	r := m.Restart()
	if got := line(dump(t, r)); got != `LOCK="" g="x"` || got != want {
		t.Errorf("after a restart: %s", got)
	}
	if r.Ops() != 0 {
		t.Errorf("counts from %d", r.Ops())
	}
	if _, err := r.Lock("LOCK"); err != nil {
		t.Error(err)
	}
	a, b := lines(t, m, ImageOptions{}), lines(t, r, ImageOptions{})
	sameLines(t, a, slices.Collect(maps.Keys(b)))

	// Syncs after the restart, on both sides, are their own.
	g, err := r.Open("g")
	must(t, err)
	must(t, g.Sync())
	must(t, r.SyncDir("/"))
	sameLines(t, lines(t, r, ImageOptions{}), []string{`LOCK="" g="x"`})
	sameLines(t, lines(t, m, ImageOptions{}), slices.Collect(maps.Keys(a)))
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	f := create(t, m, "f")
	writeAt(t, f, "123456", 0)
	free := func(want uint64) {
		t.Helper()
		if got, err := m.Free("/"); err != nil || got != want {
			t.Errorf("Free = %d, %v, want %d", got, err, want)
		}
	}
	free(4)
	if n, err := f.WriteAt([]byte("abcdef"), 6); n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write past the end of the disk = %d, %v", n, err)
	}
	free(0)
	writeAt(t, f, "ABC", 0)
	if got := contentOf(t, m, "f"); got != "ABC456abcd" {
		t.Errorf("the file holds %q", got)
	}
	g := create(t, m, "g")
	if n, err := g.WriteAt([]byte("x"), 0); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to a full disk = %d, %v", n, err)
	}
	must(t, m.Rename("g", "f"))
	free(10)
	writeAt(t, g, "12345", 0)
	free(5)
	must(t, m.Remove("f"))
	free(10)
	m.SetCapacity(5)
	free(5)
	for _, img := range m.Images(ImageOptions{}) {
		if got, err := img.Free("/"); err != nil || got > 5 {
			t.Errorf("an image has %d free, %v", got, err)
		}
	}
}

func TestCorruptIsSeenAndDurable(t *testing.T) {
	m := NewMem()
	f := create(t, m, "f")
	writeAt(t, f, "hello", 0)
	must(t, m.SyncDir("/"))
	must(t, m.Corrupt("f", func(b []byte) []byte {
		b[1] ^= 4
		return b[:3]
	}))
	buf := make([]byte, 3)
	if _, err := f.ReadAt(buf, 0); err != nil || string(buf) != "hal" {
		t.Errorf("read %q, %v", buf, err)
	}
	sameLines(t, lines(t, m, ImageOptions{}), []string{`f="hal"`})
	writeAt(t, f, "x", 5)
	if got := contentOf(t, m, "f"); got != "hal\x00\x00x" {
		t.Errorf("written to afterwards: %q", got)
	}
	must(t, m.Corrupt("f", func([]byte) []byte { return nil }))
	sameLines(t, lines(t, m, ImageOptions{}), []string{`f=""`})
	if err := m.Corrupt("none", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestNamesHaveManySpellings(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("./a/"))
	put(t, m, "a//x", "X")
	for _, name := range []string{"a/x", "/a/x", "./a/x", "/a/../a/./x"} {
		if got := contentOf(t, m, name); got != "X" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, dir := range []string{"", ".", "/", "a/.."} {
		if names, err := m.ReadDir(dir); err != nil || !slices.Equal(names, []string{"a"}) {
			t.Errorf("ReadDir(%q) = %q, %v", dir, names, err)
		}
		must(t, m.SyncDir(dir))
	}
	if _, err := m.Create("/"); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := m.Remove("/"); !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
}

func TestMemTakesNoWildOffset(t *testing.T) {
	f := create(t, NewMem(), "f")
	if _, err := f.WriteAt([]byte("x"), 1<<60); !errors.Is(err, syscall.EFBIG) {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("x"), 1<<63-1); !errors.Is(err, syscall.EFBIG) {
		t.Error(err)
	}
}

func TestMemIsSafeForConcurrentUse(t *testing.T) {
	m := NewMem()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 50 {
				name := fmt.Sprintf("f%d-%d", i, k)
				f, err := m.Create(name)
				if err == nil {
					_, err = f.WriteAt([]byte(name), 0)
				}
				if err == nil {
					err = f.Sync()
				}
				if err == nil {
					err = m.Rename(name, fmt.Sprintf("g%d", i))
				}
				if err == nil {
					err = m.SyncDir("/")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range 20 {
			for desc, img := range m.Images(ImageOptions{MaxImages: 20, Seed: uint64(n)}) {
				if _, err := img.ReadDir("/"); err != nil {
					t.Errorf("%s: %v", desc, err)
				}
			}
		}
	})
	wg.Wait()
	if got := line(dump(t, m)); got != `g0="f0-49" g1="f1-49" g2="f2-49" g3="f3-49"` {
		t.Error(got)
	}
}
