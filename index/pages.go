package index

import (
	"slices"
	"sync"
)

// Entries live in pages of 64 by dense sequence number: 1 KiB each, small
// enough for a hundred thousand queues with one message, large enough that the
// page list is 2 % of it. A page goes back to the pool with its last entry.
const (
	pageShift = 6
	pageSize  = 1 << pageShift
	pageMask  = pageSize - 1
)

type page [pageSize]Entry

// pagePool serves all queues. Pages in it are all zero.
var pagePool = sync.Pool{New: func() any { return new(page) }}

// pageRef is a page and its place.
type pageRef struct {
	no   uint64 // sequence number >> pageShift
	p    *page  // nil once the last entry has gone
	live int    // entries in the page
}

// pages finds entries by sequence number. Only pages that hold an entry cost
// memory: one message that stays while millions pass keeps one page, where a
// ring from the oldest to the newest would grow for ever.
type pages struct {
	refs []pageRef // by no, from head on; before head they are dead
	head int
	dead int // refs from head on without a page
	hint int // index of the ref found last: neighbours are asked for in a row
}

// keepRefs is how many slots of refs an empty queue keeps.
const keepRefs = 4

// find returns the index of the first ref with at least that number, len(refs)
// where there is none.
func (d *pages) find(no uint64) int {
	if h := d.hint; h < len(d.refs) && h >= d.head {
		switch {
		case d.refs[h].no == no:
			return h
		case h+1 < len(d.refs) && d.refs[h].no < no && no <= d.refs[h+1].no:
			d.hint = h + 1
			return h + 1
		}
	}
	if d.head == len(d.refs) || no > d.refs[len(d.refs)-1].no {
		return len(d.refs)
	}
	first := d.refs[d.head].no
	if no <= first {
		return d.head
	}
	if i := no - first; i < uint64(len(d.refs)-d.head) && d.refs[d.head+int(i)].no == no {
		d.hint = d.head + int(i) // no gaps so far: the usual case
		return d.hint
	}
	i, _ := slices.BinarySearchFunc(d.refs[d.head:], no, func(r pageRef, no uint64) int {
		if r.no < no {
			return -1
		}
		if r.no > no {
			return 1
		}
		return 0
	})
	d.hint = d.head + i
	return d.hint
}

// get returns the entry of seq, nil where there is none. It is valid until the
// next change of the pages.
func (d *pages) get(seq uint64) *Entry {
	no := seq >> pageShift
	i := d.find(no)
	if i == len(d.refs) || d.refs[i].no != no || d.refs[i].p == nil {
		return nil
	}
	e := &d.refs[i].p[seq&pageMask]
	if e.Flags&present == 0 {
		return nil
	}
	return e
}

// copy copies the entries from seq on that are in its page, as far as there is room,
// with empty ones between them. It returns how many that were.
func (d *pages) copy(seq uint64, dst []Entry) int {
	at := seq & pageMask
	dst = dst[:min(uint64(len(dst)), pageSize-at)]
	i := d.find(seq >> pageShift)
	if i == len(d.refs) || d.refs[i].no != seq>>pageShift || d.refs[i].p == nil {
		clear(dst)
		return len(dst)
	}
	return copy(dst, d.refs[i].p[at:])
}

// next returns the first entry at seq or behind it, below end.
func (d *pages) next(seq, end uint64) (uint64, *Entry) {
	for i := d.find(seq >> pageShift); i < len(d.refs); i++ {
		r := &d.refs[i]
		base := r.no << pageShift
		if base >= end {
			break
		}
		if r.p == nil {
			continue
		}
		for k := max(seq, base); k < base+pageSize && k < end; k++ {
			if e := &r.p[k&pageMask]; e.Flags&present != 0 {
				d.hint = i
				return k, e
			}
		}
	}
	return end, nil
}

// put stores an entry behind all others.
func (d *pages) put(seq uint64, e Entry) *Entry {
	no := seq >> pageShift
	last := len(d.refs) - 1
	if last < d.head || d.refs[last].no != no {
		if len(d.refs) == cap(d.refs) && d.head > len(d.refs)/2 {
			d.compact()
		}
		d.refs = append(d.refs, pageRef{no: no, p: pagePool.Get().(*page)})
		last = len(d.refs) - 1
	}
	r := &d.refs[last]
	if r.p == nil { // emptied before it was full
		r.p = pagePool.Get().(*page)
		d.dead--
	}
	r.live++
	slot := &r.p[seq&pageMask]
	*slot = e
	slot.Flags |= present
	return slot
}

// insert stores an entry in its place, which is free.
func (d *pages) insert(seq uint64, e Entry) *Entry {
	no := seq >> pageShift
	i := d.find(no)
	switch {
	case i == len(d.refs):
		return d.put(seq, e)
	case d.refs[i].no == no:
		if d.refs[i].p == nil {
			d.refs[i].p = pagePool.Get().(*page)
			d.dead--
		}
	case i == d.head && i > 0:
		i--
		d.head = i
		d.refs[i] = pageRef{no: no, p: pagePool.Get().(*page)}
	default:
		d.refs = slices.Insert(d.refs, i, pageRef{no: no, p: pagePool.Get().(*page)})
	}
	d.hint = i
	r := &d.refs[i]
	r.live++
	slot := &r.p[seq&pageMask]
	*slot = e
	slot.Flags |= present
	return slot
}

// remove forgets the entry of seq, which is there.
func (d *pages) remove(seq uint64) {
	i := d.find(seq >> pageShift)
	r := &d.refs[i]
	r.p[seq&pageMask] = Entry{}
	r.live--
	if r.live == 0 {
		pagePool.Put(r.p)
		r.p = nil
		d.dead++
		d.trim()
	}
}

// trim drops dead refs at the head, and all that are dead once they are the
// greater part.
func (d *pages) trim() {
	for d.head < len(d.refs) && d.refs[d.head].p == nil {
		d.head++
		d.dead--
	}
	switch {
	case d.head == len(d.refs):
		if cap(d.refs) > keepRefs {
			d.refs = nil
		}
		d.refs, d.head = d.refs[:0], 0
	case d.dead > keepRefs && d.dead > (len(d.refs)-d.head)/2:
		d.compact()
	}
}

// compact closes the gaps in refs.
func (d *pages) compact() {
	n := 0
	for _, r := range d.refs[d.head:] {
		if r.p != nil {
			d.refs[n] = r
			n++
		}
	}
	clear(d.refs[n:])
	d.refs, d.head, d.dead, d.hint = d.refs[:n], 0, 0, 0
}

// cut takes away the pages that begin at seq or behind it, and returns them.
func (d *pages) cut(seq uint64) []pageRef {
	i := d.find((seq + pageMask) >> pageShift)
	if i == len(d.refs) {
		return nil
	}
	taken := slices.Clone(d.refs[i:])
	for _, r := range taken {
		if r.p == nil {
			d.dead--
		}
	}
	clear(d.refs[i:])
	d.refs = d.refs[:i]
	d.trim()
	return taken
}
