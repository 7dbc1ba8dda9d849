package segment

import (
	"errors"
	"fmt"
)

// mostDamage bounds what Verify lists.
const mostDamage = 100

// Verify reads the whole file and checks each byte of it: header, footer and
// directory, each block's checksums and records, that they follow each other
// without a gap, that the directory lists exactly what is there, and that each
// reference finds its payload. It returns what it found amiss, *CorruptErrors
// and *BlockErrors joined together, up to 100 of them; another error if it could
// not read on. Info is the directory's, if that is sound.
func (r *Reader) Verify() (Info, error) {
	v := verifier{r: r}
	info, err := v.run()
	if err != nil {
		v.damage = append(v.damage, err)
	}
	if v.more > 0 {
		v.damage = append(v.damage, fmt.Errorf("segment %s: and %d places more", r.name, v.more))
	}
	return info, errors.Join(v.damage...)
}

// verifier is one Verify.
type verifier struct {
	r      *Reader
	damage []error
	more   int // damage beyond that

	size   int64
	list   listing
	blocks int
	raw    int64
	counts map[uint32]uint32 // payloads in each shared block
	refs   []reference
}

// reference is that a section refers to payloads of a shared block, up to this.
type reference struct {
	queue uint32
	entry entry
	ref   Ref
}

func (v *verifier) amiss(err error) {
	if len(v.damage) < mostDamage {
		v.damage = append(v.damage, err)
	} else {
		v.more++
	}
}

func (v *verifier) corrupt(off int64, cause error) { v.amiss(&CorruptError{v.r.name, off, cause}) }

func (v *verifier) bad(queue uint32, e *entry, cause error) {
	v.amiss(&BlockError{v.r.name, e.off, queue, e.first, e.last, cause})
}

func (v *verifier) run() (info Info, err error) {
	r := v.r
	if v.size, err = r.size(); err != nil {
		return info, err
	}
	d, foot, err := r.readDirectory()
	var damage *CorruptError
	switch {
	case err == nil:
		info = d.info
	case errors.As(err, &damage):
		v.amiss(err)
	default:
		return info, err
	}
	nonce, err := r.findNonce(v.size)
	if errors.As(err, &damage) {
		v.amiss(err)
		return info, nil
	} else if err != nil {
		return info, err
	}
	head := make([]byte, min(v.size, fileHeaderSize))
	if err := r.readAt(head, 0); err != nil {
		return info, err
	}
	h, err := decodeFileHeader(head)
	if err == nil && (h.number != r.number || foot != nil && h.nonce != foot.nonce) {
		err = errNumber
	}
	if err != nil {
		v.corrupt(0, err)
	}
	v.counts = map[uint32]uint32{}
	err = r.walk(NewCache(passCache), nonce, v.size, func(f *found) error {
		if f.size > 0 && f.head.kind == kindDirectory {
			if foot != nil && f.off != foot.directory {
				v.corrupt(f.off, errNotListed)
			}
			return nil
		}
		v.block(f)
		return nil
	})
	if err != nil {
		return info, err
	}
	if d != nil {
		v.compare(d)
	}
	v.references()
	return info, nil
}

// block checks what walk has found, and lists it.
func (v *verifier) block(f *found) {
	if f.size == 0 {
		v.corrupt(f.off, fmt.Errorf("no block: %w", f.err))
		return
	}
	h := &f.head
	v.blocks++
	v.raw += int64(h.raw)
	switch {
	case f.err != nil && h.kind == kindQueue:
		v.bad(h.queue, &entry{first: h.first, last: h.last, place: f.place}, f.err)
	case f.err != nil:
		v.corrupt(f.off, fmt.Errorf("%s block: %w", h.kind, f.err))
	}
	if h.kind == kindShared {
		if h.first != uint64(len(v.list.shared)) && v.more == 0 && len(v.damage) == 0 {
			v.corrupt(f.off, fmt.Errorf("shared block %d stands where %d should", h.first, len(v.list.shared)))
		}
		v.counts[uint32(h.first)] = h.count
	}
	v.list.add(f, v.size)
	if f.block == nil || h.kind == kindShared {
		return
	}
	_ = eachSection(h, f.block.data, func(s section) {
		e := entry{first: s.first, last: s.last, place: f.place, count: s.count}
		var rec record
		for pos, from := s.from, len(v.refs); pos < s.to; {
			pos = rec.next(f.block.data, pos)
			if n := len(v.refs); !rec.refers {
				continue
			} else if n == from || v.refs[n-1].ref.block != rec.ref.block {
				v.refs = append(v.refs, reference{s.queue, e, rec.ref})
			} else if v.refs[n-1].ref.index < rec.ref.index {
				v.refs[n-1].ref = rec.ref
			}
		}
	})
}

// compare holds the directory against what was found.
func (v *verifier) compare(d *directory) {
	sound := len(v.damage) == 0
	got := v.list.directory(d.nonce, Info{}, func(l listed) {
		v.bad(l.queue, &l.entry, errors.New("it overlaps another"))
	})
	for i, row := range d.rows {
		found, n := got.of(row.queue), 0
		for _, e := range d.entriesOf(i) {
			for n < len(found) && found[n].first < e.first {
				v.bad(row.queue, &found[n], errNotListed)
				n++
			}
			if n < len(found) && found[n] == e {
				n++
				continue
			}
			v.bad(row.queue, &e, errNotListed)
		}
		for ; n < len(found); n++ {
			v.bad(row.queue, &found[n], errNotListed)
		}
	}
	for i, row := range got.rows {
		if d.of(row.queue) == nil {
			for _, e := range got.entriesOf(i) {
				v.bad(row.queue, &e, errNotListed)
			}
		}
	}
	for i := range max(len(d.shared), len(got.shared)) {
		switch {
		case i >= len(d.shared):
			v.corrupt(got.shared[i].off, fmt.Errorf("shared block %d: %w", i, errNotListed))
		case i >= len(got.shared) || d.shared[i] != got.shared[i]:
			v.corrupt(d.shared[i].off, fmt.Errorf("shared block %d: %w", i, errNotListed))
		}
	}
	// The sums follow from what was compared, if all of that was there.
	rows := len(d.rows) == len(got.rows)
	for i := 0; rows && i < len(d.rows); i++ {
		rows = d.rows[i] == got.rows[i]
	}
	if sound && (!rows || v.blocks != d.info.Blocks || v.raw != d.info.Raw) {
		v.corrupt(v.size-footerSize, errors.New("its sums are wrong"))
	}
}

// references checks that what is referred to is there.
func (v *verifier) references() {
	for _, ref := range v.refs {
		if ref.ref.index >= v.counts[ref.ref.block] {
			v.bad(ref.queue, &ref.entry, errRefersAmiss)
		}
	}
}
