package vfs

import (
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
)

// tornTree is one state of the names after a power cut.
type tornTree struct {
	entries map[*inode]map[string]*inode // of the directories with changes
	files   []bool                       // which of the torn files have a name
	desc    string
}

// of returns a directory's entries in this state.
func (t *tornTree) of(dir *inode) map[string]*inode {
	if e, ok := t.entries[dir]; ok {
		return e
	}
	return dir.durable
}

// The bounds up to which the states of the names are enumerated.
const (
	maxAllChanges   = 8 // all subsets of the changes
	maxRandomTrees  = 64
	maxListedChange = 12 // in a description
)

// tornTrees returns the states that the names can be found in: first all
// changes made, then none, then the others. Each is there once. complete says
// that there are no more.
func tornTrees(m *Mem, files []*tornFile, rng *rand.Rand) (trees []*tornTree, complete bool) {
	n := len(m.changes)
	seen := map[string]bool{}
	add := func(has func(i int) bool) {
		t, key := newTornTree(m, files, has)
		if !seen[key] {
			seen[key] = true
			trees = append(trees, t)
		}
	}
	add(func(int) bool { return true })
	add(func(int) bool { return false })
	if n <= maxAllChanges {
		// By the number that is lost, for the shortest description of states
		// that come from several subsets.
		for lost := range n {
			for mask := range 1 << n {
				if bits.OnesCount(uint(mask)) == lost {
					add(func(i int) bool { return mask>>i&1 == 0 })
				}
			}
		}
		return trees, true
	}
	for k := range n {
		add(func(i int) bool { return i < k })
		add(func(i int) bool { return i != k })
		add(func(i int) bool { return i == k })
	}
	for range maxRandomTrees {
		made := make([]bool, n)
		for i := range made {
			made[i] = rng.IntN(2) == 0
		}
		add(func(i int) bool { return made[i] })
	}
	return trees, false
}

// newTornTree makes the changes that has says on the durable entries. The key
// is the same for states that look the same from the root.
func newTornTree(m *Mem, files []*tornFile, has func(i int) bool) (t *tornTree, key string) {
	t = &tornTree{entries: map[*inode]map[string]*inode{}, files: make([]bool, len(files))}
	var missing []string
	for i := range m.changes {
		c := &m.changes[i]
		if _, ok := t.entries[c.dir]; !ok {
			t.entries[c.dir] = maps.Clone(c.dir.durable)
		}
		if has(i) {
			c.apply(t.entries[c.dir])
		} else {
			missing = append(missing, c.String())
		}
	}
	reached := t.walk(m, files)
	var b strings.Builder
	for i := range m.changes {
		c := &m.changes[i]
		if !reached[c.dir] {
			continue
		}
		for _, name := range []string{c.name, c.from} {
			if ino := t.entries[c.dir][name]; ino != nil {
				fmt.Fprintf(&b, "%d/%s=%d ", c.dir.id, name, ino.id)
			}
		}
	}
	switch k := len(missing); {
	case len(m.changes) == 0:
		t.desc = "all names are synced"
	case k == 0:
		t.desc = "names as made"
	case k == len(m.changes):
		t.desc = "names as synced"
	case k > maxListedChange:
		t.desc = fmt.Sprintf("lost of %d changes of names: %s, …", len(m.changes), strings.Join(missing[:maxListedChange], ", "))
	default:
		t.desc = fmt.Sprintf("lost of %d changes of names: %s", len(m.changes), strings.Join(missing, ", "))
	}
	return t, b.String()
}

// walk finds the directories that have a way from the root, and notes which
// torn files have one.
func (t *tornTree) walk(m *Mem, files []*tornFile) (dirs map[*inode]bool) {
	torn := make(map[*inode]int, len(files))
	for i, f := range files {
		torn[f.ino] = i
	}
	dirs = map[*inode]bool{m.root: true}
	for queue := []*inode{m.root}; len(queue) > 0; queue = queue[1:] {
		for _, e := range t.of(queue[0]) {
			if i, ok := torn[e]; ok {
				t.files[i] = true
			}
			if e.isDir() && !dirs[e] {
				dirs[e] = true
				queue = append(queue, e)
			}
		}
	}
	return dirs
}

// String tells the change for descriptions.
func (c *change) String() string {
	dir := strings.TrimSuffix(c.dir.name, "/")
	if c.op == OpRename {
		return fmt.Sprintf("rename %s/%s to %s", dir, c.from, c.name)
	}
	return fmt.Sprintf("%s %s/%s", c.op, dir, c.name)
}

// tornFiles collects the files with unsynced writes that may have a name after
// a power cut, oldest first.
func tornFiles(m *Mem, sector int, rng *rand.Rand) []*tornFile {
	var inodes []*inode
	seen := map[*inode]bool{}
	var visit func(ino *inode)
	visit = func(ino *inode) {
		if seen[ino] {
			return
		}
		seen[ino] = true
		if !ino.isDir() {
			if len(ino.pending) > 0 {
				inodes = append(inodes, ino)
			}
			return
		}
		for _, e := range ino.entries {
			visit(e)
		}
		for _, e := range ino.durable {
			visit(e)
		}
	}
	visit(m.root)
	for i := range m.changes {
		visit(m.changes[i].dir)
		visit(m.changes[i].ino)
	}
	slices.SortFunc(inodes, func(a, b *inode) int { return int(a.id) - int(b.id) })
	files := make([]*tornFile, len(inodes))
	for i, ino := range inodes {
		files[i] = newTornFile(ino, sector, rng)
	}
	return files
}
