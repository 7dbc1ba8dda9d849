package vfs

import (
	"fmt"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"strings"
)

// ImageOptions bounds the crash images that Images makes.
type ImageOptions struct {
	// Sector is the number of bytes that a disk writes in order: a power of
	// two, up to 16384. 0 is 512.
	Sector int
	// MaxImages is the number of images at most; 0 is 400. Where there are
	// no more states than that all are made, else the likeliest to hurt and
	// a sample of the others.
	MaxImages int
	// Seed chooses the sample.
	Seed uint64
}

// Images are the crash images of this moment: each a description and a file
// system with its power on, as it could be found after a power cut now. What
// an image holds is durable in it. No two are the same, and the same history
// and options give the same images in the same order.
//
// The moment is that of the call. Images are cheap: they share all that they
// have in common, and none can change another.
func (m *Mem) Images(o ImageOptions) iter.Seq2[string, *Mem] {
	if o.Sector == 0 {
		o.Sector = 512
	}
	if o.Sector < 1 || o.Sector > pageSize || o.Sector&(o.Sector-1) != 0 {
		panic(fmt.Sprintf("vfs: sector of %d bytes is not a power of two up to %d", o.Sector, pageSize))
	}
	if o.MaxImages <= 0 {
		o.MaxImages = 400
	}
	frozen := m.Restart()
	return func(yield func(string, *Mem) bool) {
		g := newImager(frozen, o, yield)
		g.run()
	}
}

// imager enumerates the images of a moment.
type imager struct {
	from     *Mem // never changes
	o        ImageOptions
	yield    func(string, *Mem) bool
	rng      *rand.Rand
	files    []*tornFile
	index    map[*inode]int // into files
	trees    []*tornTree    // the first is that of all changes, the next of none
	complete bool           // there are no more trees

	made    int
	stopped bool
	seed    maphash.Seed
	seen    map[uint64]bool
	states  []state // of files, reused from image to image
}

func newImager(from *Mem, o ImageOptions, yield func(string, *Mem) bool) *imager {
	g := &imager{
		from: from, o: o, yield: yield, rng: rand.New(rand.NewPCG(o.Seed, 0x6c6576657265)),
		seed: maphash.MakeSeed(), seen: map[uint64]bool{}, index: map[*inode]int{},
	}
	g.files = tornFiles(from, o.Sector, g.rng)
	for i, f := range g.files {
		g.index[f.ino] = i
	}
	g.trees, g.complete = tornTrees(from, g.files, g.rng)
	g.states = make([]state, len(g.files))
	return g
}

// done says that no more images are wanted.
func (g *imager) done() bool { return g.stopped || g.made >= g.o.MaxImages }

func (g *imager) run() {
	// The corners come first: they are what a reader of a failure wants to
	// have seen pass.
	for _, tree := range g.trees[:min(2, len(g.trees))] {
		for _, f := range []form{{kind: formAll}, {kind: formNone}, {kind: formNone, full: true}} {
			g.emit(tree, g.uniform(f))
		}
	}
	if exact := g.exactForms(); g.complete && g.product(exact) <= int64(g.o.MaxImages) {
		g.emitProduct(exact)
		return
	}
	if listed := g.listedForms(); g.complete && g.product(listed) <= int64(g.o.MaxImages) {
		g.emitProduct(listed)
		g.emitRandom(g.o.MaxImages / 4) // not more: the dangerous ones are made
		return
	}
	g.emitFiles((g.o.MaxImages - g.made) / 2)
	g.emitTrees((g.o.MaxImages - g.made) / 2)
	g.emitRandom(g.o.MaxImages - g.made)
}

// uniform is one form for every file.
func (g *imager) uniform(f form) []form {
	forms := make([]form, len(g.files))
	for i := range forms {
		forms[i] = f
	}
	return forms
}

// exactForms are all states of each file, nil where one has too many.
func (g *imager) exactForms() [][]form {
	all := make([][]form, len(g.files))
	for i, f := range g.files {
		n := f.exact(int64(g.o.MaxImages))
		if n > int64(g.o.MaxImages) {
			return nil
		}
		for k := range n {
			all[i] = append(all[i], form{kind: formExact, n: k})
		}
	}
	return all
}

// listedForms are the forms of each file that are worth a look.
func (g *imager) listedForms() [][]form {
	all := make([][]form, len(g.files))
	for i, f := range g.files {
		all[i] = append(all[i], form{kind: formNone}, form{kind: formNone, full: true}, form{kind: formAll})
		for _, group := range f.forms {
			all[i] = append(all[i], group...)
		}
	}
	return all
}

// product is the number of images that the forms make with all trees, or more
// than MaxImages where there are more.
func (g *imager) product(forms [][]form) int64 {
	limit := int64(g.o.MaxImages)
	if forms == nil {
		return limit + 1
	}
	var sum int64
	for _, tree := range g.trees {
		n := int64(1)
		for i, fs := range forms {
			if tree.files[i] {
				n = min(n*int64(len(fs)), limit+1)
			}
		}
		sum = min(sum+n, limit+1)
	}
	return sum
}

// emitProduct makes every combination.
func (g *imager) emitProduct(forms [][]form) {
	for _, tree := range g.trees {
		pick := g.uniform(form{})
		var rec func(i int)
		rec = func(i int) {
			if g.done() {
				return
			}
			if i == len(forms) {
				g.emit(tree, pick)
				return
			}
			if !tree.files[i] {
				rec(i + 1)
				return
			}
			for _, pick[i] = range forms[i] {
				rec(i + 1)
			}
		}
		rec(0)
	}
}

// emitFiles makes up to budget images that look closely at one file each, with
// the others whole and the others as synced in turn.
func (g *imager) emitFiles(budget int) {
	for i, f := range g.files {
		tree := g.trees[0]
		for _, t := range g.trees {
			if t.files[i] {
				tree = t
				break
			}
		}
		share := budget / len(g.files)
		for k, fm := range interleave(f.forms, share, g.rng) {
			if g.done() {
				return
			}
			pick := g.uniform(form{kind: [...]formKind{formNone, formAll}[k%2]})
			pick[i] = fm
			g.emit(tree, pick)
		}
	}
}

// interleave takes up to n forms, as many of each group as there are.
func interleave(groups [][]form, n int, rng *rand.Rand) []form {
	total := 0
	rest := make([][]form, len(groups))
	for i, group := range groups {
		total += len(group)
		rest[i] = group
	}
	if total > n {
		for i, group := range groups {
			rest[i] = make([]form, len(group))
			for to, from := range rng.Perm(len(group)) {
				rest[i][to] = group[from]
			}
		}
	}
	var out []form
	for n = min(n, total); len(out) < n; {
		for i := range rest {
			if len(rest[i]) > 0 && len(out) < n {
				out, rest[i] = append(out, rest[i][0]), rest[i][1:]
			}
		}
	}
	return out
}

// emitTrees makes up to budget images that look closely at the names.
func (g *imager) emitTrees(budget int) {
	end := g.made + budget
	for _, k := range append([]int{0, 1}, g.rng.Perm(len(g.trees))...) {
		if k >= len(g.trees) {
			continue
		}
		for _, f := range []form{{kind: formAll}, {kind: formNone}, {kind: formNone, full: true}} {
			if g.done() || g.made >= end {
				return
			}
			g.emit(g.trees[k], g.uniform(f))
		}
	}
}

// emitRandom makes up to budget images in which everything is drawn.
func (g *imager) emitRandom(budget int) {
	end := g.made + budget
	for range 3 * budget {
		if g.done() || g.made >= end {
			return
		}
		pick := g.uniform(form{})
		for i, f := range g.files {
			group := f.forms[g.rng.IntN(len(f.forms))]
			switch {
			case len(group) > 0 && g.rng.IntN(2) == 0:
				pick[i] = group[g.rng.IntN(len(group))]
			default:
				pick[i] = form{kind: formRandom, seed: g.rng.Uint64()}
			}
		}
		g.emit(g.trees[g.rng.IntN(len(g.trees))], pick)
	}
}

// emit makes an image, unless it was made before.
func (g *imager) emit(tree *tornTree, pick []form) {
	if g.done() {
		return
	}
	var h maphash.Hash
	h.SetSeed(g.seed)
	maphash.WriteComparable(&h, tree)
	for i, f := range g.files {
		if tree.files[i] {
			f.spell(pick[i], &g.states[i])
			maphash.WriteComparable(&h, i)
			g.states[i].hash(&h)
		}
	}
	if key := h.Sum64(); g.seen[key] {
		return
	} else {
		g.seen[key] = true
	}
	g.made++
	var b strings.Builder
	fmt.Fprintf(&b, "image %d: %s", g.made, tree.desc)
	for i, f := range g.files {
		if tree.files[i] {
			b.WriteString("; ")
			b.WriteString(f.describe(pick[i], &g.states[i]))
		}
	}
	if !g.yield(b.String(), g.build(tree)) {
		g.stopped = true
	}
}

// build makes the file system of a tree with the files in g.states.
func (g *imager) build(tree *tornTree) *Mem {
	m := &Mem{lastID: g.from.lastID, locks: map[string]struct{}{}, capacity: g.from.capacity}
	done := map[*inode]*inode{}
	var build func(ino *inode) *inode
	build = func(ino *inode) *inode {
		if c, ok := done[ino]; ok {
			return c
		}
		c := &inode{id: ino.id, name: ino.name}
		done[ino] = c
		if !ino.isDir() {
			c.synced = ino.synced
			if i, ok := g.index[ino]; ok {
				c.synced = g.files[i].content(&g.states[i])
			}
			c.live = c.synced.thaw()
			m.used += c.synced.size
			return c
		}
		entries := tree.of(ino)
		c.entries, c.durable = make(map[string]*inode, len(entries)), make(map[string]*inode, len(entries))
		for name, e := range entries {
			e := build(e)
			e.links++
			c.entries[name], c.durable[name] = e, e
		}
		return c
	}
	m.root = build(g.from.root)
	return m
}
