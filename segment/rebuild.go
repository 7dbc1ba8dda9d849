package segment

import (
	"errors"
	"io"
)

// found is what walk comes across: a block, or a stretch of the file in which
// there is none.
type found struct {
	place // size is 0 for a stretch
	head  blockHeader
	block *Block // held until fn returns; nil if the payload is damaged
	err   error  // what is wrong with the payload, or with the stretch
}

// walk goes from block to block through a file of which nothing but the nonce
// is known, up to the directory or to size, and gives each to fn. Behind damage
// it looks for the next whole header.
func (r *Reader) walk(c *Cache, nonce uint64, size int64, fn func(*found) error) error {
	var head [blockHeaderSize]byte
	var buf []byte
	for off := int64(fileHeaderSize); off < size; {
		h, err := r.header(head[:], nonce, off, size)
		if err != nil {
			if !isDamage(err) {
				return err
			}
			next, search := r.nextHeader(nonce, off+1, size)
			if search != nil {
				return search
			}
			if err := fn(&found{place: place{off: off}, err: err}); err != nil {
				return err
			}
			off = next
			continue
		}
		f := found{place: place{off, uint32(h.size())}, head: h}
		if h.size() > size-off {
			f.err = errShort
			return fn(&f)
		}
		if h.kind == kindDirectory {
			return fn(&f)
		}
		if cap(buf) < int(h.size()) {
			buf = make([]byte, h.size(), max(h.size(), 128<<10))
		}
		buf = buf[:h.size()]
		if err := r.readAt(buf, off); err != nil {
			return err
		}
		f.block, f.err = decodeBlock(c, buf, nonce, off)
		err = fn(&f)
		if f.block != nil {
			f.block.Release()
		}
		if err != nil {
			return err
		}
		off += h.size()
	}
	return nil
}

// header reads the header of a block.
func (r *Reader) header(buf []byte, nonce uint64, off, size int64) (blockHeader, error) {
	buf = buf[:min(int64(len(buf)), size-off)]
	if err := r.readAt(buf, off); err != nil {
		return blockHeader{}, err
	}
	return decodeBlockHeader(buf, nonce, off)
}

// nextHeader finds the first whole header at off or behind it; size if there is
// none.
func (r *Reader) nextHeader(nonce uint64, off, size int64) (int64, error) {
	buf := make([]byte, 256<<10)
	for size-off >= blockHeaderSize {
		b := buf[:min(int64(len(buf)), size-off)]
		if err := r.readAt(b, off); err != nil {
			return 0, err
		}
		n := len(b) - blockHeaderSize + 1
		for i := range n {
			if le.Uint64(b[i+8:]) != nonce+uint64(off)+uint64(i) {
				continue
			}
			if _, err := decodeBlockHeader(b[i:], nonce, off+int64(i)); err == nil {
				return off + int64(i), nil
			}
		}
		off += int64(n)
	}
	return size, nil
}

// isDamage tells what this package finds wrong with bytes from errors in
// reading them.
func isDamage(err error) bool {
	for _, e := range []error{errShort, errMagic, errCRC, errMark, errField, errRecords, errDirectory,
		errNotListed, errNumber, errDecompress, errRefersAmiss, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// rebuild puts the directory together from the blocks.
func (r *Reader) rebuild() (*directory, error) {
	size, err := r.size()
	if err != nil {
		return nil, err
	}
	nonce, err := r.findNonce(size)
	if err != nil {
		return nil, err
	}
	var l listing
	info := Info{Number: r.number, Size: size}
	err = r.walk(NewCache(passCache), nonce, size, func(f *found) error {
		if f.size > 0 && f.head.kind != kindDirectory {
			info.Blocks++
			info.Raw += int64(f.head.raw)
			l.add(f, size)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l.directory(nonce, info, func(listed) {}), nil
}

// add lists a block of a file of so many bytes.
func (l *listing) add(f *found, size int64) {
	h := &f.head
	switch {
	case h.kind == kindShared:
		if h.first >= uint64(size)/blockHeaderSize {
			return // no room in the file for as many as its ordinal says
		}
		for uint64(len(l.shared)) <= h.first {
			l.shared = append(l.shared, place{})
		}
		l.shared[h.first] = f.place
	case h.kind == kindQueue:
		// With a damaged payload too: then Find can tell what was in it.
		l.sections = append(l.sections, listed{
			entry{first: h.first, last: h.last, place: f.place, count: h.count, expires: h.expires}, h.queue, h.raw})
	case f.block != nil:
		_ = eachSection(h, f.block.data, func(s section) {
			l.sections = append(l.sections, listed{
				entry{first: s.first, last: s.last, place: f.place, count: s.count, expires: h.expires}, s.queue, uint32(s.to - s.from)})
		})
	}
}

// findNonce learns the nonce from the file's header, its footer, or the first
// block, where it must stand.
func (r *Reader) findNonce(size int64) (uint64, error) {
	head := make([]byte, min(size, fileHeaderSize+blockHeaderSize))
	if err := r.readAt(head, 0); err != nil {
		return 0, err
	}
	h, damage := decodeFileHeader(head)
	if damage == nil {
		if h.number != r.number {
			return 0, &CorruptError{r.name, 0, errNumber}
		}
		return h.nonce, nil
	}
	if errors.Is(damage, errVersion) {
		return 0, &CorruptError{r.name, 0, damage}
	}
	if size >= footerSize {
		tail := make([]byte, footerSize)
		if err := r.readAt(tail, size-footerSize); err != nil {
			return 0, err
		}
		if f, err := decodeFooter(tail, size); err == nil && f.number == r.number {
			return f.nonce, nil
		}
	}
	if len(head) == fileHeaderSize+blockHeaderSize {
		nonce := le.Uint64(head[fileHeaderSize+8:]) - fileHeaderSize
		if _, err := decodeBlockHeader(head[fileHeaderSize:], nonce, fileHeaderSize); err == nil {
			return nonce, nil
		}
	}
	return 0, &CorruptError{r.name, 0, damage}
}
