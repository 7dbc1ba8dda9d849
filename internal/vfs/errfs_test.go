package vfs

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

func TestEachKindOfCallFails(t *testing.T) {
	const name = "d/f"
	calls := map[Op]func(fsys FS, f File) error{
		OpCreate:  func(fsys FS, _ File) error { return second(fsys.Create("d/new")) },
		OpOpen:    func(fsys FS, _ File) error { return second(fsys.Open(name)) },
		OpRemove:  func(fsys FS, _ File) error { return fsys.Remove(name) },
		OpRename:  func(fsys FS, _ File) error { return fsys.Rename(name, "d/g") },
		OpMkdir:   func(fsys FS, _ File) error { return fsys.MkdirAll("d/sub") },
		OpReadDir: func(fsys FS, _ File) error { return second(fsys.ReadDir("d")) },
		OpSyncDir: func(fsys FS, _ File) error { return fsys.SyncDir("d") },
		OpLock:    func(fsys FS, _ File) error { return second(fsys.Lock("d/LOCK")) },
		OpFree:    func(fsys FS, _ File) error { return second(fsys.Free("d")) },
		OpWrite:   func(_ FS, f File) error { return second(f.WriteAt([]byte("more"), 4)) },
		OpRead:    func(_ FS, f File) error { return second(f.ReadAt(make([]byte, 1), 0)) },
		OpSize:    func(_ FS, f File) error { return second(f.Size()) },
		OpSync:    func(_ FS, f File) error { return f.Sync() },
		OpClose:   func(_ FS, f File) error { return f.Close() },
	}
	for op := OpCreate; op < opEnd; op <<= 1 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,after=%v", op, after), func(t *testing.T) {
				setup := func() (*Mem, *ErrFS, File) {
					m := NewMem()
					must(t, m.MkdirAll("d"))
					e := NewErrFS(m)
					f := create(t, e, name)
					writeAt(t, f, "data", 0)
					m.SyncAll()
					return m, e, f
				}
				done, e, f := setup()
				must(t, calls[op](e, f))
				undone, _, _ := setup()

				m, e, f := setup()
				i := e.Add(Rule{Ops: op, At: 1, After: after})
				err := calls[op](e, f)
				if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), op.String()) {
					t.Errorf("error %v", err)
				}
				if i.Calls() != 1 || i.Failed() != 1 {
					t.Errorf("%d calls, %d failed", i.Calls(), i.Failed())
				}
				want := undone
				if after {
					want = done
				}
				if got, want := line(dump(t, m)), line(dump(t, want)); got != want {
					t.Errorf("afterwards %s, want %s", got, want)
				}
			})
		}
	}
}

func TestRulesChooseCalls(t *testing.T) {
	for _, c := range []struct {
		name string
		rule Rule
		want string // of ten writes each to 1.wal and 2.log in turn: F failed
	}{
		{"no At counts only", Rule{}, "...................."},
		{"the first", Rule{At: 1}, "F..................."},
		{"the third", Rule{At: 3}, "..F................."},
		{"from the third on", Rule{At: 3, Sticky: true}, "..FFFFFFFFFFFFFFFFFF"},
		{"by kind", Rule{Ops: OpSync, At: 1}, "...................."},
		{"by base name", Rule{Name: "*.log", At: 2}, "...F................"},
		{"by base name, sticky", Rule{Name: "2*", At: 9, Sticky: true}, ".................F.F"},
		{"by whole name", Rule{Name: "/d/1.*", At: 2}, "..F................."},
		{"another directory", Rule{Name: "/e/*", At: 1}, "...................."},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMem()
			must(t, m.MkdirAll("/d"))
			e := NewErrFS(m)
			files := []File{create(t, e, "/d/1.wal"), create(t, e, "/d/2.log")}
			i := e.Add(c.rule)
			var got strings.Builder
			for k := range 20 {
				if _, err := files[k%2].WriteAt([]byte("x"), 0); err == nil {
					got.WriteByte('.')
				} else {
					got.WriteByte('F')
				}
			}
			if got.String() != c.want {
				t.Errorf("calls %s, want %s", got.String(), c.want)
			}
			if n := strings.Count(c.want, "F"); i.Failed() != n {
				t.Errorf("Failed = %d, want %d", i.Failed(), n)
			}
		})
	}
}

func TestRenameMatchesByEitherName(t *testing.T) {
	m := NewMem()
	put(t, m, "a.tmp", "A")
	for _, pattern := range []string{"*.tmp", "b"} {
		e := NewErrFS(m)
		e.Add(Rule{Ops: OpRename, Name: pattern, At: 1})
		if err := e.Rename("a.tmp", "b"); !errors.Is(err, syscall.EIO) {
			t.Errorf("pattern %s: %v", pattern, err)
		}
	}
}

func TestTheFirstRuleThatFailsDecides(t *testing.T) {
	e := NewErrFS(NewMem())
	a := e.Add(Rule{Ops: OpCreate})
	b := e.Add(Rule{Ops: OpCreate, At: 2, Err: syscall.ENOSPC})
	c := e.Add(Rule{Ops: OpCreate, At: 2, Err: syscall.EMFILE})
	create(t, e, "a")
	if _, err := e.Create("b"); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if a.Calls() != 2 || b.Calls() != 2 || c.Calls() != 2 || b.Failed() != 1 || c.Failed() != 0 {
		t.Error("the counts are wrong")
	}
	e.Add(Rule{At: 1, Sticky: true})
	e.Clear()
	create(t, e, "b")
}

func TestShortWrites(t *testing.T) {
	for _, c := range []struct {
		short int
		want  string
	}{{0, ""}, {3, "012"}, {-1, "01234"}, {100, "0123456789"}} {
		m := NewMem()
		e := NewErrFS(m)
		f := create(t, e, "f")
		e.Add(Rule{Ops: OpWrite, At: 1, Err: syscall.ENOSPC, Short: c.short})
		n, err := f.WriteAt([]byte("0123456789"), 0)
		if n != len(c.want) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("short %d: %d, %v", c.short, n, err)
		}
		if got := contentOf(t, m, "f"); got != c.want {
			t.Errorf("short %d: the file holds %q", c.short, got)
		}
	}
}

func TestFailedSyncLosesItsData(t *testing.T) {
	m := NewMem()
	e := NewErrFS(NewErrFS(m)) // through a second one as well
	f := create(t, e, "f")
	m.SyncAll()
	e.Add(Rule{Ops: OpSync, At: 1})
	writeAt(t, f, "A", 0)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, f.Sync()) // which lies
	writeAt(t, f, "B", 1)
	must(t, f.Sync())
	if got := contentOf(t, e, "f"); got != "AB" {
		t.Errorf("the file reads %q", got)
	}
	sameLines(t, lines(t, m, ImageOptions{}), []string{`f="AB"`, `f="\x00B"`})
}

func TestBeforeHoldsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMem()
		e := NewErrFS(m)
		f := create(t, e, "f")
		release := make(chan struct{})
		var seen []Call
		e.Add(Rule{Ops: OpSync, Before: func(c Call) {
			seen = append(seen, c)
			<-release
		}})
		synced := false
		go func() {
			if err := f.Sync(); err != nil {
				t.Error(err)
			}
			synced = true
		}()
		synctest.Wait()
		if synced || m.Ops() != 1 {
			t.Fatal("the sync was not held")
		}
		writeAt(t, f, "x", 0) // others go on
		close(release)
		synctest.Wait()
		if !synced || len(seen) != 1 || seen[0] != (Call{Op: OpSync, Name: "f", N: 1}) {
			t.Errorf("synced %v, seen %v", synced, seen)
		}
	})
}

func TestRuleWithABadPatternPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewErrFS(NewMem()).Add(Rule{Name: "[x"})
}

func TestOpString(t *testing.T) {
	for op, want := range map[Op]string{
		0: "none", OpWrite: "write", OpWrite | OpSync: "write|sync", OpAny: "any", OpFree: "free",
		OpMutating: "create|write|sync|rename|remove|syncdir|mkdir",
	} {
		if got := op.String(); got != want {
			t.Errorf("%d: %q, want %q", op, got, want)
		}
	}
}
