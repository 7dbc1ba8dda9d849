package segment

import (
	"encoding/binary"
	"math"
)

// maxHead bounds the bytes that stand before a record's payload.
const maxHead = 3 * binary.MaxVarintLen64

// appendRecord writes a record that holds its payload. gap is the number of
// seqs between it and the record before.
func appendRecord(b []byte, gap uint64, payload []byte) []byte {
	b = binary.AppendUvarint(b, gap)
	b = binary.AppendUvarint(b, uint64(len(payload))+1)
	return append(b, payload...)
}

// appendReference writes a record whose payload is in a shared block.
func appendReference(b []byte, gap uint64, r Ref) []byte {
	b = binary.AppendUvarint(b, gap)
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(r.block))
	return binary.AppendUvarint(b, uint64(r.index))
}

// record is a record taken apart.
type record struct {
	gap      uint64
	from, to int // of the payload in the block, unless it refers
	refers   bool
	ref      Ref
}

// next takes apart the record at pos, which stands wholly in p[:end], and
// returns where the next one begins; 0 for a record that is malformed.
func (rec *record) next(p []byte, pos int) int {
	gap, n := binary.Uvarint(p[pos:])
	if n <= 0 {
		return 0
	}
	pos += n
	length, n := binary.Uvarint(p[pos:])
	if n <= 0 {
		return 0
	}
	pos += n
	rec.gap = gap
	if length != 0 {
		if length-1 > uint64(len(p)-pos) {
			return 0
		}
		rec.from, rec.to, rec.refers = pos, pos+int(length-1), false
		return rec.to
	}
	block, n := binary.Uvarint(p[pos:])
	if n <= 0 || block > math.MaxUint32 {
		return 0
	}
	pos += n
	index, n := binary.Uvarint(p[pos:])
	if n <= 0 || index > math.MaxUint32 {
		return 0
	}
	rec.from, rec.to, rec.refers = 0, 0, true
	rec.ref = Ref{block: uint32(block), index: uint32(index)}
	return pos + n
}

// section is the records of one queue in a block.
type section struct {
	queue       uint32
	count       uint32
	first, last uint64
	from, to    int // in the decompressed block
}

// appendSection writes the head of a section of a mixed block; prev is the
// queue of the section before, −1 if there is none.
func appendSection(b []byte, prev int64, s *section, size int) []byte {
	b = binary.AppendUvarint(b, uint64(int64(s.queue)-prev-1))
	b = binary.AppendUvarint(b, s.first)
	b = binary.AppendUvarint(b, uint64(s.count))
	return binary.AppendUvarint(b, uint64(size))
}

// uvarints reads a list of numbers; ok is false from the first that is
// malformed on.
type uvarints struct {
	p   []byte
	pos int
	bad bool
}

func (u *uvarints) next() uint64 {
	v, n := binary.Uvarint(u.p[u.pos:])
	if n <= 0 {
		u.bad, u.pos = true, len(u.p)
		return 0
	}
	u.pos += n
	return v
}

// nextSection takes apart the head of the section at pos of a mixed block that
// was checked. Its last is not known.
func nextSection(p []byte, pos int, prev int64) (s section, ok bool) {
	u := uvarints{p: p, pos: pos}
	queue := u.next()
	s.first = u.next()
	count, size := u.next(), u.next()
	if u.bad || queue > math.MaxUint32 || prev+1+int64(queue) > math.MaxUint32 ||
		count == 0 || count > math.MaxUint32 || size > uint64(len(p)-u.pos) {
		return s, false
	}
	s.queue, s.count = uint32(prev+1+int64(queue)), uint32(count)
	s.from, s.to = u.pos, u.pos+int(size)
	return s, true
}

// checkSection walks the records of a section and finds its last seq.
func checkSection(p []byte, s *section, refs bool) bool {
	p = p[:s.to]
	pos, seq := s.from, s.first
	var rec record
	for i := uint32(0); i < s.count; i++ {
		if pos = rec.next(p, pos); pos == 0 || rec.refers && !refs {
			return false
		}
		if i == 0 {
			if rec.gap != 0 {
				return false
			}
			continue
		}
		if rec.gap >= math.MaxUint64-seq {
			return false
		}
		seq += rec.gap + 1
	}
	s.last = seq
	return pos == s.to
}

// eachSection checks all of a decompressed block and gives its sections to fn.
// What comes from a block that has passed needs no further checks.
func eachSection(h *blockHeader, p []byte, fn func(section)) error {
	switch h.kind {
	case kindQueue:
		s := section{queue: h.queue, count: h.count, first: h.first, to: len(p)}
		if h.count == 0 || !checkSection(p, &s, true) || s.last != h.last {
			return errRecords
		}
		fn(s)
	case kindShared:
		s := section{count: h.count, to: len(p)}
		if h.count == 0 || h.first != h.last || !checkSection(p, &s, false) || s.last != uint64(h.count)-1 {
			return errRecords
		}
		fn(s)
	case kindMixed:
		prev, left := int64(-1), h.count
		for pos := 0; pos < len(p); {
			s, ok := nextSection(p, pos, prev)
			if !ok || s.count > left || !checkSection(p, &s, true) {
				return errRecords
			}
			fn(s)
			prev, pos, left = int64(s.queue), s.to, left-s.count
		}
		if left != 0 {
			return errRecords
		}
	default:
		return errField
	}
	return nil
}
