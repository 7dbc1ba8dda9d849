package vfs

import (
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"syscall"
)

// Rule tells ErrFS which call to fail, and how. The zero Rule matches every
// call and fails none: it counts.
type Rule struct {
	// Ops are the kinds to match; 0 is OpAny.
	Ops Op
	// Name is a pattern of path.Match, for the base name or, where it has a
	// slash, the whole name; "" matches all. A rename matches by either name.
	Name string
	// At is the matching call that fails, counted from 1; 0 fails none.
	At int
	// Sticky fails every matching call from At on.
	Sticky bool
	// Err is the cause; nil is syscall.EIO.
	Err error
	// Short lets a failing write put so many of its bytes into the file
	// first; below zero, half of them.
	Short int
	// After does the whole operation first and loses only its answer.
	After bool
	// Before is called ahead of every matching call, failing or not, on the
	// caller's goroutine with no lock held. It may block: a test so holds a
	// sync in flight.
	Before func(c Call)
}

// Call is what Before gets to see.
type Call struct {
	Op   Op
	Name string
	N    int // the matching calls so far, this one included
}

// Injection is a Rule at work.
type Injection struct {
	fs     *ErrFS
	rule   Rule
	calls  int // under fs.mu
	failed int // under fs.mu
}

// Calls is the number of calls that matched.
func (i *Injection) Calls() int {
	i.fs.mu.Lock()
	defer i.fs.mu.Unlock()
	return i.calls
}

// Failed is the number of calls that were made to fail.
func (i *Injection) Failed() int {
	i.fs.mu.Lock()
	defer i.fs.mu.Unlock()
	return i.failed
}

// ErrFS wraps a file system and fails the calls that its rules choose. A Sync
// that is made to fail over a Mem loses what it should have made durable, as
// Linux does: later syncs succeed, and do not bring it to the disk.
type ErrFS struct {
	fs FS

	mu    sync.Mutex
	rules []*Injection
}

// NewErrFS wraps fs with no rules.
func NewErrFS(fs FS) *ErrFS { return &ErrFS{fs: fs} }

// Add puts a rule to work behind those there are: the first that fails a call
// decides how, all that match count it.
func (e *ErrFS) Add(r Rule) *Injection {
	if r.Ops == 0 {
		r.Ops = OpAny
	}
	if r.Err == nil {
		r.Err = syscall.EIO
	}
	if _, err := path.Match(r.Name, ""); err != nil {
		panic(fmt.Sprintf("vfs: rule name %q: %v", r.Name, err))
	}
	i := &Injection{fs: e, rule: r}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = append(e.rules, i)
	return i
}

// Clear ends all rules.
func (e *ErrFS) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules = nil
}

func (r *Rule) matches(op Op, names ...string) bool {
	if r.Ops&op == 0 {
		return false
	}
	if r.Name == "" {
		return true
	}
	for _, name := range names {
		if !strings.Contains(r.Name, "/") {
			name = path.Base(name)
		}
		if ok, _ := path.Match(r.Name, name); ok {
			return true
		}
	}
	return false
}

// call counts a call and returns the rule that fails it, if any, with the
// error. names[0] is the one that errors carry.
func (e *ErrFS) call(op Op, names ...string) (*Rule, error) {
	e.mu.Lock()
	var fail *Rule
	var before []func()
	for _, i := range e.rules {
		r := &i.rule
		if !r.matches(op, names...) {
			continue
		}
		i.calls++
		if fail == nil && r.At > 0 && (i.calls == r.At || r.Sticky && i.calls > r.At) {
			fail = r
			i.failed++
		}
		if r.Before != nil {
			c := Call{Op: op, Name: names[0], N: i.calls}
			before = append(before, func() { r.Before(c) })
		}
	}
	e.mu.Unlock()
	for _, fn := range before {
		fn()
	}
	if fail == nil {
		return nil, nil
	}
	return fail, memError(op, names[0], fail.Err)
}

// do runs an operation under the rules.
func (e *ErrFS) do(fn func() error, op Op, names ...string) error {
	rule, fail := e.call(op, names...)
	if fail == nil {
		return fn()
	}
	if rule.After {
		if err := fn(); err != nil {
			return err
		}
	}
	return fail
}

// Create implements FS.
func (e *ErrFS) Create(name string) (File, error) { return e.open(e.fs.Create, OpCreate, name) }

// Open implements FS.
func (e *ErrFS) Open(name string) (File, error) { return e.open(e.fs.Open, OpOpen, name) }

// OpenRW implements FS.
func (e *ErrFS) OpenRW(name string) (File, error) { return e.open(e.fs.OpenRW, OpOpen, name) }

func (e *ErrFS) open(fn func(string) (File, error), op Op, name string) (f File, err error) {
	err = e.do(func() (err error) {
		f, err = fn(name)
		return err
	}, op, name)
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	return &errFile{e: e, f: f, name: name}, nil
}

// Remove implements FS.
func (e *ErrFS) Remove(name string) error {
	return e.do(func() error { return e.fs.Remove(name) }, OpRemove, name)
}

// Rename implements FS.
func (e *ErrFS) Rename(oldname, newname string) error {
	return e.do(func() error { return e.fs.Rename(oldname, newname) }, OpRename, oldname, newname)
}

// MkdirAll implements FS.
func (e *ErrFS) MkdirAll(dir string) error {
	return e.do(func() error { return e.fs.MkdirAll(dir) }, OpMkdir, dir)
}

// ReadDir implements FS.
func (e *ErrFS) ReadDir(dir string) (names []string, err error) {
	err = e.do(func() (err error) {
		names, err = e.fs.ReadDir(dir)
		return err
	}, OpReadDir, dir)
	if err != nil {
		return nil, err
	}
	return names, nil
}

// SyncDir implements FS.
func (e *ErrFS) SyncDir(dir string) error {
	return e.do(func() error { return e.fs.SyncDir(dir) }, OpSyncDir, dir)
}

// Lock implements FS.
func (e *ErrFS) Lock(name string) (c io.Closer, err error) {
	err = e.do(func() (err error) {
		c, err = e.fs.Lock(name)
		return err
	}, OpLock, name)
	if err != nil {
		if c != nil {
			_ = c.Close()
		}
		return nil, err
	}
	return c, nil
}

// Free implements FS.
func (e *ErrFS) Free(dir string) (n uint64, err error) {
	err = e.do(func() (err error) {
		n, err = e.fs.Free(dir)
		return err
	}, OpFree, dir)
	if err != nil {
		return 0, err
	}
	return n, nil
}

// syncLoser is a file that can act out a failed fsync: what was written stays
// readable, is taken for clean from then on, and may never reach the disk.
type syncLoser interface{ loseSync() }

// errFile is an open file under the rules.
type errFile struct {
	e    *ErrFS
	f    File
	name string
}

func (f *errFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.e.do(func() (err error) {
		n, err = f.f.ReadAt(p, off)
		return err
	}, OpRead, f.name)
	return n, err
}

func (f *errFile) WriteAt(p []byte, off int64) (int, error) {
	rule, fail := f.e.call(OpWrite, f.name)
	if fail == nil {
		return f.f.WriteAt(p, off)
	}
	n := min(rule.Short, len(p))
	switch {
	case rule.After:
		n = len(p)
	case rule.Short < 0:
		n = len(p) / 2
	}
	if n > 0 {
		if n, err := f.f.WriteAt(p[:n], off); err != nil {
			return n, err
		}
	}
	return n, fail
}

func (f *errFile) Size() (n int64, err error) {
	err = f.e.do(func() (err error) {
		n, err = f.f.Size()
		return err
	}, OpSize, f.name)
	return n, err
}

func (f *errFile) Sync() error {
	rule, fail := f.e.call(OpSync, f.name)
	switch {
	case fail == nil:
		return f.f.Sync()
	case rule.After:
		if err := f.f.Sync(); err != nil {
			return err
		}
	default:
		if l, ok := f.f.(syncLoser); ok {
			l.loseSync()
		}
	}
	return fail
}

// Close closes the file below even where it is made to fail, as close does.
func (f *errFile) Close() error {
	_, fail := f.e.call(OpClose, f.name)
	if err := f.f.Close(); err != nil {
		return err
	}
	return fail
}

// loseSync hands on to the file below, so that one ErrFS can wrap another.
func (f *errFile) loseSync() {
	if l, ok := f.f.(syncLoser); ok {
		l.loseSync()
	}
}
