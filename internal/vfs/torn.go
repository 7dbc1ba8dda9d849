package vfs

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
)

// tornFile is a file with writes that no Sync has followed, cut into sectors.
// The pending bytes of a sector are a queue, in the order of the writes, and a
// power cut leaves a prefix of it: the state of the sector after some of the
// writes, the last of them perhaps in part. What one sector keeps is
// independent of the others, and so is the file's length, within reason.
type tornFile struct {
	ino     *inode
	before  content // synced
	after   content // with all writes
	sectors []sector
	pieces  []piece // in the order of the writes
	total   int64   // pending bytes
	unit    int     // sector size in bytes

	// forms are the states worth a look, in groups of a kind: with few
	// pending bytes all that there are of that kind.
	forms [][]form
}

// sector is a sector with pending bytes.
type sector struct {
	number int64 // offset / unit
	bytes  int   // in its queue
	queue  []int // of pieces
}

// piece is the part of a write in one sector.
type piece struct {
	sector int
	off    int64
	data   []byte
}

// form is one state that a file's unsynced writes can be found in.
type form struct {
	kind formKind
	n    int64  // see the kinds
	full bool   // the length is that after all writes, whatever of the data is there
	seed uint64 // formRandom
}

type formKind uint8

const (
	formNone   formKind = iota // none of the unsynced bytes
	formAll                    // all of them
	formPrefix                 // the first n bytes, in the order of the writes
	formMask                   // the sectors whose bit is set in n
	formOnly                   // sector n alone
	formLess                   // all sectors but n
	formLater                  // the sectors from n on
	formRandom                 // each sector whole, torn or not at all, and any length
	formExact                  // the n-th of all states there are
)

// The bounds up to which a kind of form is enumerated.
const (
	maxMaskSectors  = 7    // all subsets of sectors
	maxPrefixBytes  = 1024 // a tear at each byte
	headBytes       = 64   // a tear at each of the first bytes of a write
	maxSampledTears = 512
)

// newTornFile looks at an inode that does not change any more.
func newTornFile(ino *inode, unit int, rng *rand.Rand) *tornFile {
	f := &tornFile{ino: ino, before: ino.synced, after: ino.live.content, unit: unit}
	index := map[int64]int{}
	for _, w := range ino.pending {
		for off, data := w.off, w.data; len(data) > 0; {
			n := min(len(data), unit-int(off%int64(unit)))
			i, ok := index[off/int64(unit)]
			if !ok {
				i = len(f.sectors)
				index[off/int64(unit)] = i
				f.sectors = append(f.sectors, sector{number: off / int64(unit)})
			}
			s := &f.sectors[i]
			s.queue = append(s.queue, len(f.pieces))
			s.bytes += n
			f.pieces = append(f.pieces, piece{sector: i, off: off, data: data[:n]})
			f.total += int64(n)
			off, data = off+int64(n), data[n:]
		}
	}
	f.sortSectors()
	f.forms = [][]form{f.subsets(rng), f.prefixes(rng)}
	return f
}

// sortSectors brings the sectors into the order of their offsets.
func (f *tornFile) sortSectors() {
	order := make([]int, len(f.sectors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.sectors[a].number, f.sectors[b].number) })
	sectors, place := make([]sector, len(order)), make([]int, len(order))
	for to, from := range order {
		sectors[to], place[from] = f.sectors[from], to
	}
	f.sectors = sectors
	for i := range f.pieces {
		f.pieces[i].sector = place[f.pieces[i].sector]
	}
}

// subsets are forms that keep whole sectors.
func (f *tornFile) subsets(rng *rand.Rand) []form {
	var fs []form
	add := func(k formKind, n int) {
		fs = append(fs, form{kind: k, n: int64(n)}, form{kind: k, n: int64(n), full: true})
	}
	n := len(f.sectors)
	if n <= maxMaskSectors {
		for mask := range 1 << n {
			add(formMask, mask)
		}
		return fs
	}
	for _, i := range sample(rng, n, maxSampledTears) {
		add(formLess, i)
		add(formLater, i)
		add(formOnly, i)
	}
	return fs
}

// prefixes are forms that keep the writes up to some byte.
func (f *tornFile) prefixes(rng *rand.Rand) []form {
	var at []int64
	if f.total <= maxPrefixBytes {
		for n := range f.total {
			at = append(at, n)
		}
	} else {
		starts := []int64{0}
		for _, w := range f.ino.pending {
			starts = append(starts, starts[len(starts)-1]+int64(len(w.data)))
		}
		for _, i := range sample(rng, len(starts), maxSampledTears) {
			for n := starts[i] - 1; n <= starts[i]+headBytes; n++ {
				at = append(at, n)
			}
		}
		ends := make([]int64, len(f.pieces)+1)
		for i, p := range f.pieces {
			ends[i+1] = ends[i] + int64(len(p.data))
		}
		for _, i := range sample(rng, len(ends), maxSampledTears) {
			at = append(at, ends[i]-1, ends[i], ends[i]+1)
		}
		for range maxSampledTears {
			at = append(at, rng.Int64N(f.total))
		}
		slices.Sort(at)
		at = slices.Compact(at)
		at = slices.DeleteFunc(at, func(n int64) bool { return n < 0 || n >= f.total })
	}
	var fs []form
	for _, n := range at {
		fs = append(fs, form{kind: formPrefix, n: n}, form{kind: formPrefix, n: n, full: true})
	}
	return fs
}

// sample returns up to limit of the numbers below n, sorted.
func sample(rng *rand.Rand, n, limit int) []int {
	var s []int
	if n > limit {
		s = rng.Perm(n)[:limit]
		slices.Sort(s)
		return s
	}
	for i := range n {
		s = append(s, i)
	}
	return s
}

// exact is the number of states there are, lengths included; some come twice.
// It stops counting past limit.
func (f *tornFile) exact(limit int64) int64 {
	n := f.after.size - f.before.size + 1
	for i := range f.sectors {
		if n > limit {
			return limit + 1
		}
		n *= int64(f.sectors[i].bytes + 1)
	}
	return n
}

// state is a form spelled out: how many bytes of each sector's queue are there,
// and the length.
type state struct {
	keep []int32
	size int64
}

// spell fills st from a form.
func (f *tornFile) spell(fm form, st *state) {
	st.keep = slices.Grow(st.keep[:0], len(f.sectors))[:len(f.sectors)]
	clear(st.keep)
	size := int64(0)
	switch fm.kind {
	case formNone:
	case formPrefix:
		left := fm.n
		for _, p := range f.pieces {
			n := min(left, int64(len(p.data)))
			st.keep[p.sector] += int32(n)
			left -= n
		}
	case formRandom:
		size = f.random(fm.seed, st.keep)
	case formExact:
		n := fm.n
		for i := range st.keep {
			base := int64(f.sectors[i].bytes + 1)
			st.keep[i] = int32(n % base)
			n /= base
		}
		size = f.before.size + n
	default:
		for i := range st.keep {
			if fm.takes(i) {
				st.keep[i] = int32(f.sectors[i].bytes)
			}
		}
	}
	st.size = max(f.reach(st.keep), size)
	if fm.full {
		st.size = f.after.size
	}
}

// takes says whether a form of whole sectors has sector i.
func (fm form) takes(i int) bool {
	switch fm.kind {
	case formAll:
		return true
	case formMask:
		return fm.n>>i&1 == 1
	case formOnly:
		return int64(i) == fm.n
	case formLess:
		return int64(i) != fm.n
	case formLater:
		return int64(i) >= fm.n
	}
	return false
}

// random draws a state: sectors in runs, so that a file of many has long whole
// stretches too. It returns a length that may be more than the data needs.
func (f *tornFile) random(seed uint64, keep []int32) int64 {
	rng := rand.New(rand.NewPCG(seed, uint64(len(keep))))
	kept := [...]float64{0.1, 0.5, 0.9}[rng.IntN(3)]
	for i := 0; i < len(keep); {
		run := 1 + rng.IntN(1+rng.IntN(1+len(keep)/16))
		whole := rng.Float64() < kept
		torn := rng.IntN(6) == 0
		for ; run > 0 && i < len(keep); i, run = i+1, run-1 {
			switch bytes := f.sectors[i].bytes; {
			case torn && run == 1:
				keep[i] = rng.Int32N(int32(bytes) + 1)
			case whole:
				keep[i] = int32(bytes)
			}
		}
	}
	switch rng.IntN(4) {
	case 0:
		return f.after.size
	case 1:
		return f.before.size + rng.Int64N(f.after.size-f.before.size+1)
	}
	return 0
}

// reach is the least length that the kept data allows.
func (f *tornFile) reach(keep []int32) int64 {
	size := f.before.size
	for i := len(keep) - 1; i >= 0; i-- {
		if end := (f.sectors[i].number + 1) * int64(f.unit); end <= size {
			break
		}
		left := int(keep[i])
		for _, q := range f.sectors[i].queue {
			p := &f.pieces[q]
			n := min(left, len(p.data))
			if n == 0 {
				break
			}
			size = max(size, p.off+int64(n))
			left -= n
		}
	}
	return size
}

// content is what the file holds in a state. Pages with all of their pending
// bytes, or none, are shared with what there was.
func (f *tornFile) content(st *state) content {
	perPage := int64(pageSize / f.unit)
	last := f.sectors[len(f.sectors)-1].number / perPage
	c := content{size: st.size, pages: make([]*page, max(len(f.before.pages), int(last)+1))}
	copy(c.pages, f.before.pages)
	for i := 0; i < len(f.sectors); {
		number := f.sectors[i].number / perPage
		first, none, all := i, true, true
		for ; i < len(f.sectors) && f.sectors[i].number/perPage == number; i++ {
			none = none && st.keep[i] == 0
			all = all && int(st.keep[i]) == f.sectors[i].bytes
		}
		switch {
		case none:
		case all:
			c.pages[number] = f.after.pages[number]
		default:
			c.pages[number] = f.mix(c.pages[number], first, i, st.keep)
		}
	}
	return c
}

// mix makes a page with parts of the queues of the sectors [first, end).
func (f *tornFile) mix(old *page, first, end int, keep []int32) *page {
	var b []byte
	if old != nil {
		b = slices.Clone(old.b)
	}
	for i := first; i < end; i++ {
		left := int(keep[i])
		for _, q := range f.sectors[i].queue {
			p := &f.pieces[q]
			n, at := min(left, len(p.data)), int(p.off%pageSize)
			if n == 0 {
				break
			}
			if at+n > len(b) {
				b = append(b, make([]byte, at+n-len(b))...)
			}
			copy(b[at:], p.data[:n])
			left -= n
		}
	}
	return &page{b: b}
}

// hash adds a state to the identity of an image.
func (st *state) hash(h *maphash.Hash) {
	maphash.WriteComparable(h, st.size)
	for _, k := range st.keep {
		_, _ = h.Write([]byte{byte(k), byte(k >> 8), byte(k >> 16), byte(k >> 24)})
	}
}

// describe tells what of the unsynced bytes a state has.
func (f *tornFile) describe(fm form, st *state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", f.ino.name)
	var kept int64
	for _, k := range st.keep {
		kept += int64(k)
	}
	switch {
	case kept == 0:
		b.WriteString("nothing unsynced")
	case kept == f.total:
		fmt.Fprintf(&b, "all %d unsynced bytes", f.total)
	case fm.kind == formPrefix:
		fmt.Fprintf(&b, "the first %d of %d unsynced bytes", kept, f.total)
	default:
		fmt.Fprintf(&b, "%d of %d unsynced bytes: ", kept, f.total)
		f.describeSectors(&b, st.keep)
	}
	fmt.Fprintf(&b, ", size %d", st.size)
	if least := f.reach(st.keep); least < st.size {
		fmt.Fprintf(&b, " (zeros from %d)", least)
	}
	return b.String()
}

// describeSectors lists runs of sectors of one fate by their file offsets.
func (f *tornFile) describeSectors(b *strings.Builder, keep []int32) {
	const maxRuns = 12
	fate := func(i int) string {
		switch int(keep[i]) {
		case 0:
			return "lost"
		case f.sectors[i].bytes:
			return "kept"
		}
		return fmt.Sprintf("torn after %d of %d", keep[i], f.sectors[i].bytes)
	}
	for i, runs := 0, 0; i < len(keep); runs++ {
		if runs == maxRuns {
			b.WriteString(", …")
			return
		}
		j := i + 1
		for j < len(keep) && f.sectors[j].number == f.sectors[j-1].number+1 && fate(j) == fate(i) {
			j++
		}
		if i > 0 {
			b.WriteString(", ")
		}
		unit := int64(f.unit)
		fmt.Fprintf(b, "[%d,%d) %s", f.sectors[i].number*unit, (f.sectors[j-1].number+1)*unit, fate(i))
		i = j
	}
}
