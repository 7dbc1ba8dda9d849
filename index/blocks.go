package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Snapshot files (checkpoints and catalogs) are a header and blocks, the last
// of them an end block. doc.go has the tables.

// Kinds of blocks. What a payload means is its writer's affair, but for the
// end block's, which is written here.
const (
	BlockEnd     = 0
	BlockState   = 1 // AppendState
	BlockEntries = 2 // AppendEntries, of the queue whose state came last
	BlockCatalog = 3
	BlockRuns    = 4 // AppendRuns, of that queue
	BlockAcks    = 5 // AppendAcks, of that queue
	BlockTimes   = 6 // AppendTimes, of that queue, before its acks
)

const (
	snapshotMagic   = "\x89LVSNAP\n"
	snapshotVersion = 3
	// leastVersion is the oldest that can be read: it knows no times.
	leastVersion = 2
	headerSize   = 56
	blockHeader  = 9 // crc, length, kind
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ErrVersion is what NewReader's error is where a file is whole, and of a format
// that is not known here.
var ErrVersion = errors.New("format version")

// Header begins a snapshot file.
type Header struct {
	Number      uint64 // of the file, ascending
	Replay      uint64 // the log position from which to replay; 0 in a catalog
	Catalog     uint64 // the number of the catalog that goes with a checkpoint
	NextQueue   uint32 // the id of the next queue that is made
	NextSegment uint64 // the number of the next segment
}

// Append appends the header.
func (h Header) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = le.AppendUint32(dst, snapshotVersion)
	dst = le.AppendUint32(dst, h.NextQueue)
	dst = le.AppendUint64(dst, h.Number)
	dst = le.AppendUint64(dst, h.Replay)
	dst = le.AppendUint64(dst, h.Catalog)
	dst = le.AppendUint64(dst, h.NextSegment)
	dst = append(dst, make([]byte, headerSize-4-(len(dst)-at))...)
	return le.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// BeginBlock appends a block's header; the payload follows, then EndBlock with
// the length that dst had before.
func BeginBlock(dst []byte, kind byte) []byte {
	dst = append(dst, make([]byte, blockHeader-1)...)
	return append(dst, kind)
}

// EndBlock completes the block that began at dst[at].
func EndBlock(dst []byte, at int) {
	b := dst[at:]
	le.PutUint32(b[4:], uint32(len(b)-blockHeader))
	le.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
}

// AppendEnd appends the end block: blocks is how many stand before it.
func AppendEnd(dst []byte, blocks uint64) []byte {
	at := len(dst)
	dst = le.AppendUint64(BeginBlock(dst, BlockEnd), blocks)
	EndBlock(dst, at)
	return dst
}

// Reader reads a snapshot file.
type Reader struct {
	Header Header

	r      io.ReaderAt
	size   int64
	off    int64 // of the next block
	blocks uint64
	buf    []byte // holds the file from bufOff on
	bufOff int64
}

// readSize is how much is read at once.
const readSize = 256 << 10

// NewReader reads the header of a file of size bytes.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	s := &Reader{r: r, size: size}
	b, err := s.bytes(0, headerSize)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	switch {
	case string(b[:8]) != snapshotMagic:
		return nil, errors.New("header: wrong magic number")
	case le.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli):
		return nil, errors.New("header: wrong checksum")
	case le.Uint32(b[8:]) < leastVersion || le.Uint32(b[8:]) > snapshotVersion:
		return nil, fmt.Errorf("header: %w %d, only %d to %d are known: use the release that wrote it", ErrVersion, le.Uint32(b[8:]), leastVersion, snapshotVersion)
	}
	s.Header = Header{
		NextQueue:   le.Uint32(b[12:]),
		Number:      le.Uint64(b[16:]),
		Replay:      le.Uint64(b[24:]),
		Catalog:     le.Uint64(b[32:]),
		NextSegment: le.Uint64(b[40:]),
	}
	s.off = headerSize
	return s, nil
}

// Next returns the next block; its payload is valid until the next call. It
// returns io.EOF behind the end block and only there.
func (s *Reader) Next() (kind byte, payload []byte, err error) {
	at := s.off
	fail := func(err error) (byte, []byte, error) {
		return 0, nil, fmt.Errorf("block at offset %d: %w", at, err)
	}
	b, err := s.bytes(at, blockHeader)
	if err != nil {
		return fail(err)
	}
	crc, n := le.Uint32(b), int64(le.Uint32(b[4:]))
	if b, err = s.bytes(at, blockHeader+n); err != nil {
		return fail(err)
	}
	if crc != crc32.Checksum(b[4:], castagnoli) {
		return fail(errors.New("wrong checksum"))
	}
	s.off += blockHeader + n
	kind, payload = b[8], b[blockHeader:]
	if kind != BlockEnd {
		s.blocks++
		return kind, payload, nil
	}
	if n != 8 || le.Uint64(payload) != s.blocks || s.off != s.size {
		return fail(errors.New("end block does not fit what stands before and behind it"))
	}
	return 0, nil, io.EOF
}

// bytes returns n bytes of the file from off on.
func (s *Reader) bytes(off, n int64) ([]byte, error) {
	if off+n > s.size {
		return nil, io.ErrUnexpectedEOF
	}
	if off < s.bufOff || off+n > s.bufOff+int64(len(s.buf)) {
		want := min(max(n, readSize), s.size-off)
		if int64(cap(s.buf)) < want {
			s.buf = make([]byte, want)
		}
		s.buf, s.bufOff = s.buf[:want], off
		if got, err := s.r.ReadAt(s.buf, off); got < len(s.buf) {
			s.buf = s.buf[:0]
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	i := off - s.bufOff
	return s.buf[i : i+n], nil
}
