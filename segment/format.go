package segment

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Sizes and constants of the format. doc.go has the tables.
const (
	formatVersion = 2
	// leastVersion is the oldest that can be read: in it nothing expires.
	leastVersion = 1

	fileHeaderSize  = 32
	blockHeaderSize = 56
	footerSize      = 80

	fileSuffix = ".seg"
	tempSuffix = ".seg.tmp"
)

// The magics are not text, and a transfer that meddles with line ends breaks
// them.
const (
	fileMagic   = "\x89LVSEG\r\n"
	footerMagic = "\x89LVSEND\n"
)

// kind is what a block holds.
type kind uint8

const (
	kindQueue     kind = 1 // records of one queue
	kindMixed     kind = 2 // sections of several queues
	kindShared    kind = 3 // payloads that records refer to
	kindDirectory kind = 4
)

func (k kind) String() string {
	switch k {
	case kindQueue:
		return "queue"
	case kindMixed:
		return "mixed"
	case kindShared:
		return "shared"
	case kindDirectory:
		return "directory"
	}
	return "unknown"
}

// MaxPayload is the length of the longest record, in bytes.
const MaxPayload = 1 << 30

// maxRaw bounds a block before compression: a longest record and its head.
const maxRaw = MaxPayload + 64

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Name is the base name of the file of a segment.
func Name(number uint64) string { return fmt.Sprintf("%020d", number) + fileSuffix }

func tempName(number uint64) string { return fmt.Sprintf("%020d", number) + tempSuffix }

// ParseName takes a base name apart. ok is false for names that are not a
// segment's; temp says that the file was being written.
func ParseName(name string) (number uint64, temp, ok bool) {
	digits, temp := strings.CutSuffix(name, tempSuffix)
	if !temp {
		if digits, ok = strings.CutSuffix(name, fileSuffix); !ok {
			return 0, false, false
		}
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(digits) != 20 {
		return 0, false, false
	}
	return number, temp, true
}

// CorruptError says that a segment's file is damaged so that the place, and
// not the messages of one block, is what can be told.
type CorruptError struct {
	File   string // path
	Offset int64  // in the file, bytes
	Cause  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("segment %s is damaged at offset %d: %v", e.File, e.Offset, e.Cause)
}

func (e *CorruptError) Unwrap() error { return e.Cause }

// BlockError says that the block with some messages of a queue is damaged.
// Other blocks can be read: go on behind Last.
type BlockError struct {
	File        string // path
	Offset      int64  // of the block, bytes
	Queue       uint32
	First, Last uint64 // the queue's messages in the block have seqs from First to Last
	Cause       error
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("segment %s: block at offset %d, with messages %d to %d of queue %d, is damaged: %v",
		e.File, e.Offset, e.First, e.Last, e.Queue, e.Cause)
}

func (e *BlockError) Unwrap() error { return e.Cause }

// The causes in errors of this package.
var (
	errShort       = errors.New("it is incomplete")
	errMagic       = errors.New("wrong magic number")
	errCRC         = errors.New("wrong checksum")
	errMark        = errors.New("it belongs to another file or place")
	errField       = errors.New("impossible value in a field")
	errRecords     = errors.New("its records do not agree with its header")
	errDirectory   = errors.New("directory is malformed")
	errNotListed   = errors.New("it is not what the directory says")
	errNumber      = errors.New("the number is not that of the name")
	errDecompress  = errors.New("it does not decompress to its length")
	errVersion     = errors.New("format version")
	errRefersAmiss = errors.New("it refers to a payload that is not there")
)

func versionError(v uint32) error {
	return fmt.Errorf("%w %d, and only %d to %d are known: use the release that wrote it", errVersion, v, leastVersion, formatVersion)
}

func knownVersion(v uint32) bool { return leastVersion <= v && v <= formatVersion }

func randomNonce() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return le.Uint64(b[:])
}

// fileHeader begins a file.
type fileHeader struct {
	number  uint64
	nonce   uint64
	version uint32 // as it was read
}

func (h fileHeader) append(b []byte) []byte {
	at := len(b)
	b = append(b, fileMagic...)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, h.nonce)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

func decodeFileHeader(b []byte) (h fileHeader, err error) {
	switch {
	case len(b) < fileHeaderSize:
		return h, errShort
	case string(b[:8]) != fileMagic:
		return h, errMagic
	case le.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli):
		return h, errCRC
	case !knownVersion(le.Uint32(b[8:])):
		return h, versionError(le.Uint32(b[8:]))
	}
	return fileHeader{number: le.Uint64(b[12:]), nonce: le.Uint64(b[20:]), version: le.Uint32(b[8:])}, nil
}

// blockHeader begins a block.
type blockHeader struct {
	payloadCRC  uint32
	mark        uint64 // nonce of the file + offset of the block
	first, last uint64 // seqs of a queue's block; ordinal of a shared one, twice
	stored      uint32 // bytes that follow the header
	raw         uint32 // and how many they are decompressed
	count       uint32 // records
	queue       uint32
	kind        kind
	codec       codec
	expires     int64 // no record in it expires before, in ms since 1970; 0: none ever does
}

// maxExpires is the latest time that a header has room for: in the year 10889.
const maxExpires = 1<<48 - 1

func (h *blockHeader) put(b []byte) {
	_ = b[blockHeaderSize-1]
	le.PutUint32(b[4:], h.payloadCRC)
	le.PutUint64(b[8:], h.mark)
	le.PutUint64(b[16:], h.first)
	le.PutUint64(b[24:], h.last)
	le.PutUint32(b[32:], h.stored)
	le.PutUint32(b[36:], h.raw)
	le.PutUint32(b[40:], h.count)
	le.PutUint32(b[44:], h.queue)
	b[48], b[49] = byte(h.kind), byte(h.codec)
	at := uint64(min(h.expires, maxExpires))
	le.PutUint16(b[50:], uint16(at>>32))
	le.PutUint32(b[52:], uint32(at))
	le.PutUint32(b, crc32.Checksum(b[4:blockHeaderSize], castagnoli))
}

// decodeBlockHeader checks a header by itself, and that it stands where it was
// written.
func decodeBlockHeader(b []byte, nonce uint64, off int64) (h blockHeader, err error) {
	if len(b) < blockHeaderSize {
		return h, errShort
	}
	b = b[:blockHeaderSize]
	h = blockHeader{
		payloadCRC: le.Uint32(b[4:]),
		mark:       le.Uint64(b[8:]),
		first:      le.Uint64(b[16:]),
		last:       le.Uint64(b[24:]),
		stored:     le.Uint32(b[32:]),
		raw:        le.Uint32(b[36:]),
		count:      le.Uint32(b[40:]),
		queue:      le.Uint32(b[44:]),
		kind:       kind(b[48]),
		codec:      codec(b[49]),
		expires:    int64(le.Uint16(b[50:]))<<32 | int64(le.Uint32(b[52:])),
	}
	switch {
	case le.Uint32(b) != crc32.Checksum(b[4:], castagnoli):
		return h, errCRC
	case h.mark != nonce+uint64(off):
		return h, errMark
	case h.kind < kindQueue || h.kind > kindDirectory, h.first > h.last, !plausible(h.codec, h.stored, h.raw):
		return h, errField
	}
	return h, nil
}

// size is the block's length in the file.
func (h *blockHeader) size() int64 { return blockHeaderSize + int64(h.stored) }

// footer ends a file.
type footer struct {
	fileHeader
	directory int64  // offset of the directory's block
	dirSize   uint32 // its size, header included
	blocks    uint32 // without the directory
	queues    uint32
	records   uint64
	raw       uint64 // bytes of all blocks before compression
}

func (f *footer) append(b []byte) []byte {
	at := len(b)
	b = append(b, footerMagic...)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint64(b, f.number)
	b = le.AppendUint64(b, f.nonce)
	b = le.AppendUint64(b, uint64(f.directory))
	b = le.AppendUint32(b, f.dirSize)
	b = le.AppendUint32(b, f.blocks)
	b = le.AppendUint32(b, f.queues)
	b = le.AppendUint64(b, f.records)
	b = le.AppendUint64(b, f.raw)
	b = append(b, make([]byte, 12)...)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// decodeFooter takes the last bytes of a file of so many bytes.
func decodeFooter(b []byte, size int64) (f footer, err error) {
	switch {
	case len(b) != footerSize || size < fileHeaderSize+footerSize:
		return f, errShort
	case string(b[:8]) != footerMagic:
		return f, errMagic
	case le.Uint32(b[footerSize-4:]) != crc32.Checksum(b[:footerSize-4], castagnoli):
		return f, errCRC
	case !knownVersion(le.Uint32(b[8:])):
		return f, versionError(le.Uint32(b[8:]))
	}
	f = footer{
		fileHeader: fileHeader{number: le.Uint64(b[12:]), nonce: le.Uint64(b[20:]), version: le.Uint32(b[8:])},
		directory:  int64(le.Uint64(b[28:])),
		dirSize:    le.Uint32(b[36:]),
		blocks:     le.Uint32(b[40:]),
		queues:     le.Uint32(b[44:]),
		records:    le.Uint64(b[48:]),
		raw:        le.Uint64(b[56:]),
	}
	if f.directory < fileHeaderSize || f.directory+int64(f.dirSize) != size-footerSize || f.dirSize < blockHeaderSize {
		return f, errField
	}
	return f, nil
}
