package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// ErrCut is what a Mem answers once its power is cut.
var ErrCut = errors.New("power cut")

const (
	memCapacity = 1 << 40 // bytes, until SetCapacity
	memMaxFile  = 1 << 36 // bytes; keeps a wild offset from eating the memory
)

// Mem is a file system in memory that knows what a power cut would leave of
// it: for each file the synced bytes and the writes since, for each directory
// the synced entries and the changes since. The package comment has the model.
//
// A Mem is safe for concurrent use. The root directory always exists and is
// durable; relative names start there too.
type Mem struct {
	// opMu makes mutating operations one by one: it is held from the number
	// to the effect, and over the hook. Lock order: opMu, mu.
	opMu sync.Mutex
	hook func(n int, op Op, name string) // under opMu

	ops   atomic.Int64 // mutating operations so far
	cutAt atomic.Int64 // 0: never
	dead  atomic.Bool  // the power is cut

	// mu guards all below and every inode. Only a holder of opMu changes the
	// tree, so that opMu alone is enough to look at it.
	mu       sync.RWMutex
	root     *inode
	lastID   uint64
	changes  []change // of directories, since each one's last SyncDir, in order
	locks    map[string]struct{}
	used     int64 // bytes in files that have a name
	capacity int64
}

// inode is a file or a directory; its name is in the directory that holds it.
type inode struct {
	id   uint64 // the same in crash images
	name string // full path when it was last given one, for descriptions

	// A file: what is written, what is synced, and the way between.
	live    buffer
	synced  content
	pending []write
	links   int // names; without one it does not count as used

	// A directory (entries not nil): entries as made and as synced.
	entries map[string]*inode
	durable map[string]*inode
}

func (ino *inode) isDir() bool { return ino.entries != nil }

// write is a write that no successful Sync has followed.
type write struct {
	off  int64
	data []byte
	lost bool // a Sync failed since: no later one makes it durable
}

func (w *write) end() int64 { return w.off + int64(len(w.data)) }

// change is a change of one directory that no SyncDir has followed.
type change struct {
	op   Op // OpCreate, OpMkdir, OpRemove or OpRename
	dir  *inode
	name string
	ino  *inode
	// OpRename: the name before, and those that renames before it, which are
	// changes still, took from the file.
	from    string
	earlier []string
}

// apply makes the change on a directory's entries, which may lack earlier
// changes: a rename takes the file's names before those too.
func (c *change) apply(entries map[string]*inode) {
	switch c.op {
	case OpRemove:
		delete(entries, c.name)
	case OpRename:
		delete(entries, c.from)
		for _, name := range c.earlier {
			if entries[name] == c.ino {
				delete(entries, name)
			}
		}
		entries[c.name] = c.ino
	default:
		entries[c.name] = c.ino
	}
}

// NewMem returns an empty file system with its power on.
func NewMem() *Mem {
	m := &Mem{locks: map[string]struct{}{}, capacity: memCapacity}
	m.root = m.newInode("/", true)
	return m
}

func (m *Mem) newInode(name string, dir bool) *inode {
	m.lastID++
	ino := &inode{id: m.lastID, name: name}
	if dir {
		ino.entries, ino.durable = map[string]*inode{}, map[string]*inode{}
	}
	return ino
}

// Ops is the number of mutating operations so far. An operation that was
// refused (for a missing name, say) has no number.
func (m *Mem) Ops() int { return int(m.ops.Load()) }

// CutAt cuts the power at mutating operation n, counted from 1 on from
// NewMem: it and everything after it fails with ErrCut and has no effect. To
// see an operation cut in the middle, cut at the next one: nothing it did is
// durable yet, so that Images has all its halves. 0 means never.
func (m *Mem) CutAt(n int) { m.cutAt.Store(int64(n)) }

// Cut cuts the power now.
func (m *Mem) Cut() { m.dead.Store(true) }

// OnOp has fn called before each mutating operation takes effect, with its
// number. It may look at the file system, cut it, and take Images and Restart
// of it, but not change it. One run of a workload is so enough to test a cut
// at every operation.
func (m *Mem) OnOp(fn func(n int, op Op, name string)) {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	m.hook = fn
}

// SetCapacity sets the size of the disk in bytes: writes past it fail with
// ENOSPC, and Free answers from it.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// step numbers a mutating operation that is sure to succeed otherwise. The
// caller holds opMu.
func (m *Mem) step(op Op, name string) error {
	n := m.ops.Load() + 1
	if at := m.cutAt.Load(); at > 0 && n >= at {
		m.dead.Store(true)
	}
	if m.hook != nil && !m.dead.Load() {
		m.hook(int(n), op, name)
	}
	if m.dead.Load() {
		return memError(op, name, ErrCut)
	}
	m.ops.Store(n)
	return nil
}

// alive refuses what comes after the cut.
func (m *Mem) alive(op Op, name string) error {
	if m.dead.Load() {
		return memError(op, name, ErrCut)
	}
	return nil
}

func memError(op Op, name string, err error) error {
	return &fs.PathError{Op: op.String(), Path: name, Err: err}
}

// clean gives all spellings of a name one form, from the root.
func clean(name string) string { return path.Clean("/" + name) }

// find walks to a name. The caller holds opMu or mu.
func (m *Mem) find(name string) (*inode, error) {
	ino := m.root
	for part := range strings.SplitSeq(clean(name)[1:], "/") {
		if part == "" {
			continue // the root itself
		}
		if !ino.isDir() {
			return nil, syscall.ENOTDIR
		}
		next, ok := ino.entries[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		ino = next
	}
	return ino, nil
}

// findDir walks to the directory of a name and returns its last part with it.
func (m *Mem) findDir(name string) (*inode, string, error) {
	dir, base := path.Split(clean(name))
	ino, err := m.find(dir)
	switch {
	case err != nil:
		return nil, "", err
	case !ino.isDir():
		return nil, "", syscall.ENOTDIR
	}
	return ino, base, nil
}

// findFile is findDir with a file that must be there.
func (m *Mem) findFile(name string) (dir *inode, base string, file *inode, err error) {
	dir, base, err = m.findDir(name)
	if err != nil {
		return nil, "", nil, err
	}
	file, ok := dir.entries[base]
	switch {
	case base == "":
		return nil, "", nil, syscall.EISDIR
	case !ok:
		return nil, "", nil, fs.ErrNotExist
	case file.isDir():
		return nil, "", nil, syscall.EISDIR
	}
	return dir, base, file, nil
}

// change makes a change of a directory, not yet durable. The caller holds mu.
func (m *Mem) change(c change) {
	c.apply(c.dir.entries)
	m.changes = append(m.changes, c)
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	ino, err := m.create(name)
	if err != nil {
		return nil, err
	}
	return &memFile{fs: m, ino: ino, name: name, writable: true}, nil
}

// create does Create's work; the caller holds opMu.
func (m *Mem) create(name string) (*inode, error) {
	if err := m.alive(OpCreate, name); err != nil {
		return nil, err
	}
	dir, base, err := m.findDir(name)
	if err != nil {
		return nil, memError(OpCreate, name, err)
	}
	if _, ok := dir.entries[base]; ok || base == "" {
		return nil, memError(OpCreate, name, fs.ErrExist)
	}
	if err := m.step(OpCreate, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ino := m.newInode(clean(name), false)
	ino.links = 1
	m.change(change{op: OpCreate, dir: dir, name: base, ino: ino})
	return ino, nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

// OpenRW implements FS.
func (m *Mem) OpenRW(name string) (File, error) { return m.open(name, true) }

func (m *Mem) open(name string, writable bool) (File, error) {
	if err := m.alive(OpOpen, name); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, _, ino, err := m.findFile(name)
	if err != nil {
		return nil, memError(OpOpen, name, err)
	}
	return &memFile{fs: m, ino: ino, name: name, writable: writable}, nil
}

// Remove implements FS. Open files live on, as on Unix.
func (m *Mem) Remove(name string) error {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := m.alive(OpRemove, name); err != nil {
		return err
	}
	dir, base, ino, err := m.findFile(name)
	if err != nil {
		return memError(OpRemove, name, err)
	}
	if err := m.step(OpRemove, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unlink(ino)
	m.change(change{op: OpRemove, dir: dir, name: base, ino: ino})
	return nil
}

// unlink takes a name from a file, which stops counting with its last one (a
// crash image may have one more, see Rename). The caller holds mu.
func (m *Mem) unlink(ino *inode) {
	if ino.links--; ino.links == 0 {
		m.used -= ino.live.size
	}
}

// Rename implements FS for files. Within a directory it is one change; between
// two it is a change of each, which a power cut may part: the file may then
// have both names. As on Unix, to rename one of them to the other does nothing.
func (m *Mem) Rename(oldname, newname string) error {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := m.alive(OpRename, oldname); err != nil {
		return err
	}
	from, fromBase, ino, err := m.findFile(oldname)
	if err != nil {
		return memError(OpRename, oldname, err)
	}
	to, toBase, err := m.findDir(newname)
	if err != nil {
		return memError(OpRename, newname, err)
	}
	target, taken := to.entries[toBase]
	if toBase == "" || taken && target.isDir() {
		return memError(OpRename, newname, fs.ErrExist)
	}
	if err := m.step(OpRename, oldname); err != nil {
		return err
	}
	if target == ino {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if taken {
		m.unlink(target)
	}
	ino.name = clean(newname)
	if from == to {
		c := change{op: OpRename, dir: to, name: toBase, ino: ino, from: fromBase}
		for _, e := range m.changes {
			if e.op == OpRename && e.dir == to && e.ino == ino {
				c.earlier = append(c.earlier, e.from)
			}
		}
		m.change(c)
	} else {
		m.change(change{op: OpCreate, dir: to, name: toBase, ino: ino})
		m.change(change{op: OpRemove, dir: from, name: fromBase, ino: ino})
	}
	return nil
}

// MkdirAll implements FS. Each directory that it makes is an operation.
func (m *Mem) MkdirAll(dir string) error {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := m.alive(OpMkdir, dir); err != nil {
		return err
	}
	ino, at := m.root, ""
	for part := range strings.SplitSeq(clean(dir)[1:], "/") {
		if part == "" {
			continue
		}
		at += "/" + part
		next, ok := ino.entries[part]
		if !ok {
			if err := m.step(OpMkdir, at); err != nil {
				return err
			}
			m.mu.Lock()
			next = m.newInode(at, true)
			m.change(change{op: OpMkdir, dir: ino, name: part, ino: next})
			m.mu.Unlock()
		}
		if !next.isDir() {
			return memError(OpMkdir, at, syscall.ENOTDIR)
		}
		ino = next
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	if err := m.alive(OpReadDir, dir); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	ino, err := m.find(dir)
	if err == nil && !ino.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, memError(OpReadDir, dir, err)
	}
	return slices.Sorted(maps.Keys(ino.entries)), nil
}

// SyncDir implements FS: the directory's entries become durable, but not its
// own entry in its parent, and not the data of the files.
func (m *Mem) SyncDir(dir string) error {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := m.alive(OpSyncDir, dir); err != nil {
		return err
	}
	ino, err := m.find(dir)
	if err == nil && !ino.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return memError(OpSyncDir, dir, err)
	}
	if err := m.step(OpSyncDir, dir); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.changes[:0]
	for _, c := range m.changes {
		if c.dir == ino {
			c.apply(ino.durable)
		} else {
			left = append(left, c)
		}
	}
	clear(m.changes[len(left):])
	m.changes = left
	return nil
}

// Lock implements FS. It makes the file where it is missing, which is then an
// OpCreate. The lock ends with Close; images and Restart have no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.opMu.Lock()
	defer m.opMu.Unlock()
	if err := m.alive(OpLock, name); err != nil {
		return nil, err
	}
	_, _, _, err := m.findFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = m.create(name)
		if err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, memError(OpLock, name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := clean(name)
	if _, held := m.locks[key]; held {
		return nil, memError(OpLock, name, ErrLocked)
	}
	m.locks[key] = struct{}{}
	return &memLock{fs: m, key: key}, nil
}

type memLock struct {
	fs   *Mem
	key  string
	once sync.Once
}

func (l *memLock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.locks, l.key)
	})
	return nil
}

// Free implements FS. The directory must exist.
func (m *Mem) Free(dir string) (uint64, error) {
	if err := m.alive(OpFree, dir); err != nil {
		return 0, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find(dir); err != nil {
		return 0, memError(OpFree, dir, err)
	}
	return uint64(max(m.capacity-m.used, 0)), nil
}
