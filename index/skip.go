package index

import (
	"hash/crc32"
	"io"
)

// NewHeadless is NewReader for a file whose header cannot be read. Header is zero.
func NewHeadless(r io.ReaderAt, size int64) *Reader {
	return &Reader{r: r, size: size, off: headerSize}
}

// Skip gets over what Next could not read, to the next block that is whole, and
// returns how many bytes that left out; ok is false where there is none. It is for
// tools that save what is left of a file: what stood between is lost, and the end
// block will not fit any more.
func (s *Reader) Skip() (n int64, ok bool) {
	for off := s.off + 1; off+blockHeader <= s.size; off++ {
		b, err := s.bytes(off, blockHeader)
		if err != nil {
			return 0, false
		}
		crc, length := le.Uint32(b), int64(le.Uint32(b[4:]))
		if b[8] > BlockTimes || off+blockHeader+length > s.size {
			continue
		}
		if b, err = s.bytes(off, blockHeader+length); err != nil {
			return 0, false
		}
		if crc == crc32.Checksum(b[4:], castagnoli) {
			n, s.off = off-s.off, off
			return n, true
		}
	}
	return 0, false
}
