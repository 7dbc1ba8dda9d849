package segment

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sort"
)

// place is where a block stands in the file.
type place struct {
	off  int64  // 0: it is lost
	size uint32 // header included
}

// entry is a block, or a section of a mixed one, with messages of a queue. There
// is one in memory for each, 48 bytes long, while the segment is in use.
type entry struct {
	first, last uint64
	place
	count   uint32 // records
	expires int64  // as in BlockInfo
}

// row is a queue in the directory.
type row struct {
	queue   uint32
	from    uint32 // the queue's first entry; the next row's from is the end
	records uint64
	raw     uint64 // bytes before compression
}

// directory tells where everything is. It never changes.
type directory struct {
	nonce   uint64
	rows    []row // ascending by queue
	entries []entry
	shared  []place // by ordinal
	info    Info
}

// of returns the entries of a queue, ascending.
func (d *directory) of(queue uint32) []entry {
	i, ok := sort.Find(len(d.rows), func(i int) int { return cmp.Compare(queue, d.rows[i].queue) })
	if !ok {
		return nil
	}
	return d.entriesOf(i)
}

func (d *directory) entriesOf(i int) []entry {
	end := len(d.entries)
	if i+1 < len(d.rows) {
		end = int(d.rows[i+1].from)
	}
	return d.entries[d.rows[i].from:end]
}

// search finds the first of a queue's entries that has a seq from seq on.
func search(list []entry, seq uint64) int {
	return sort.Search(len(list), func(i int) bool { return list[i].last >= seq })
}

// listing is a directory being made.
type listing struct {
	sections []listed
	shared   []place
}

type listed struct {
	entry
	queue uint32
	raw   uint32 // bytes before compression
}

// directory sorts what was listed. Sections that overlap others of their queue
// are left out and given to odd.
func (l *listing) directory(nonce uint64, info Info, odd func(listed)) *directory {
	slices.SortStableFunc(l.sections, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.first, b.first))
	})
	d := &directory{nonce: nonce, shared: l.shared, entries: make([]entry, 0, len(l.sections))}
	for i := range l.sections {
		s := &l.sections[i]
		n := len(d.rows)
		if n == 0 || d.rows[n-1].queue != s.queue {
			d.rows = append(d.rows, row{queue: s.queue, from: uint32(len(d.entries))})
			n++
		} else if d.entries[len(d.entries)-1].last >= s.first {
			odd(*s)
			continue
		}
		d.entries = append(d.entries, s.entry)
		d.rows[n-1].records += uint64(s.count)
		d.rows[n-1].raw += uint64(s.raw)
		info.Records += int(s.count)
	}
	info.Queues, info.Shared = len(d.rows), len(d.shared)
	d.info = info
	return d
}

// append writes the directory as it stands in a file.
func (d *directory) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.shared)))
	end := int64(fileHeaderSize)
	add := func(p place) {
		b = binary.AppendVarint(b, p.off-end)
		b = binary.AppendUvarint(b, uint64(p.size))
		end = p.off + int64(p.size)
	}
	for _, p := range d.shared {
		add(p)
	}
	b = binary.AppendUvarint(b, uint64(len(d.rows)))
	b = binary.AppendUvarint(b, uint64(len(d.entries)))
	prev := int64(-1)
	for i, r := range d.rows {
		list := d.entriesOf(i)
		b = binary.AppendUvarint(b, uint64(int64(r.queue)-prev-1))
		b = binary.AppendUvarint(b, uint64(len(list)))
		b = binary.AppendUvarint(b, r.raw)
		prev = int64(r.queue)
		next := uint64(0)
		for _, e := range list {
			b = binary.AppendUvarint(b, e.first-next)
			b = binary.AppendUvarint(b, e.last-e.first)
			b = binary.AppendUvarint(b, uint64(e.count))
			add(e.place)
			b = binary.AppendUvarint(b, uint64(e.expires))
			next = e.last + 1
		}
	}
	return b
}

// Least bytes of what a directory lists, so that a wrong count takes no memory.
const (
	leastPlace = 2
	leastRow   = 3 + leastEntry
	leastEntry = 3 + leastPlace
)

// decodeDirectory takes apart a directory of a file in which blocks end at end.
func decodeDirectory(p []byte, end int64, version uint32) (*directory, error) {
	u := uvarints{p: p}
	d := &directory{}
	at := int64(fileHeaderSize)
	next := func() (place, bool) {
		delta, n := binary.Varint(p[u.pos:])
		if n <= 0 {
			return place{}, false
		}
		u.pos += n
		size := u.next()
		off := at + delta
		if u.bad || delta > end || delta < -end || off < fileHeaderSize || size < blockHeaderSize ||
			size > math.MaxUint32 || int64(size) > end-off {
			return place{}, false
		}
		at = off + int64(size)
		return place{off, uint32(size)}, true
	}
	n := u.next()
	if n > uint64(len(p)-u.pos)/leastPlace {
		return nil, errDirectory
	}
	d.shared = make([]place, 0, n)
	for range n {
		p, ok := next()
		if !ok {
			return nil, errDirectory
		}
		d.shared = append(d.shared, p)
	}
	n = u.next()
	left := u.next()
	if n > uint64(len(p)-u.pos)/leastRow || left > uint64(len(p)-u.pos)/leastEntry || left > math.MaxUint32 {
		return nil, errDirectory
	}
	d.rows = make([]row, 0, n)
	d.entries = make([]entry, 0, left)
	prev := int64(-1)
	for range n {
		queue, blocks, raw := u.next(), u.next(), u.next()
		if u.bad || queue > math.MaxUint32 || prev+1+int64(queue) > math.MaxUint32 ||
			blocks == 0 || blocks > left {
			return nil, errDirectory
		}
		left -= blocks
		prev += 1 + int64(queue)
		r := row{queue: uint32(prev), from: uint32(len(d.entries)), raw: raw}
		least, full := uint64(0), false
		for range blocks {
			gap, span, count := u.next(), u.next(), u.next()
			at, ok := next()
			expires := uint64(0)
			if version > 1 {
				expires = u.next()
			}
			first := least + gap
			last := first + span
			if u.bad || !ok || full || first < least || last < first || count == 0 || count > math.MaxUint32 || count-1 > span || expires > maxExpires {
				return nil, errDirectory
			}
			d.entries = append(d.entries, entry{first: first, last: last, place: at, count: uint32(count), expires: int64(expires)})
			r.records += count
			least, full = last+1, last == math.MaxUint64
		}
		d.rows = append(d.rows, r)
	}
	if u.bad || left != 0 || u.pos != len(p) {
		return nil, errDirectory
	}
	return d, nil
}
