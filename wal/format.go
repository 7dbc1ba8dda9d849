package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

const (
	fileHeaderSize  = 64
	frameHeaderSize = 40
	recordHeader    = 4 // the record's length, before its payload
	formatVersion   = 1

	frameRecords = 1 // a commit
	frameSeal    = 2 // written by Close: all before it is synced, nothing follows

	fileSuffix = ".wal"
	tempSuffix = ".wal.tmp"
	// Of a file that was removed and waits to be written over.
	spareSuffix = ".wal.spare"
)

// The magic is not text, and a transfer that meddles with line ends breaks it.
const fileMagic = "\x89LVWAL\r\n"

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// align rounds up to the 8 bytes that frames are padded to.
func align(n int) int { return (n + 7) &^ 7 }

func randomNonce() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return le.Uint64(b[:])
}

type fileHeader struct {
	nonce uint64
	seq   uint64
	start LSN
}

func (h fileHeader) encode(b *[fileHeaderSize]byte) {
	*b = [fileHeaderSize]byte{}
	copy(b[:], fileMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint32(b[12:], fileHeaderSize)
	le.PutUint64(b[16:], h.nonce)
	le.PutUint64(b[24:], h.seq)
	le.PutUint64(b[32:], uint64(h.start))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

var (
	errHeaderShort = errors.New("file header is incomplete")
	errHeaderMagic = errors.New("file header has a wrong magic number")
	errHeaderCRC   = errors.New("file header has a wrong checksum")
	errHeaderStart = errors.New("file header has an impossible start")
)

func decodeFileHeader(b []byte) (h fileHeader, err error) {
	if len(b) < fileHeaderSize {
		return h, errHeaderShort
	}
	b = b[:fileHeaderSize]
	if string(b[:8]) != fileMagic {
		return h, errHeaderMagic
	}
	if v := le.Uint32(b[8:]); v != formatVersion && le.Uint32(b[60:]) == crc32.Checksum(b[:60], castagnoli) {
		return h, fmt.Errorf("file has format version %d, and only %d is known: use the release that wrote it", v, formatVersion)
	}
	if le.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli) {
		return h, errHeaderCRC
	}
	h.nonce = le.Uint64(b[16:])
	h.seq = le.Uint64(b[24:])
	h.start = LSN(le.Uint64(b[32:]))
	if h.start%8 != 0 || h.start >= 1<<62 || le.Uint32(b[12:]) != fileHeaderSize {
		return h, errHeaderStart
	}
	return h, nil
}

type frameHeader struct {
	crc     uint32
	length  uint32 // payload, without padding
	kind    uint8
	records uint32
	nonce   uint64
	first   LSN // where this header begins
	synced  LSN // what was durable when the frame was written
}

// size is the frame's length in the stream.
func (h frameHeader) size() int64 { return (frameHeaderSize + int64(h.length) + 7) &^ 7 }

// seal writes the header into the first bytes of frame, whose payload and
// padding are in place, and computes the checksum.
func (h frameHeader) seal(frame []byte) {
	le.PutUint32(frame[4:], h.length)
	frame[8] = h.kind
	frame[9], frame[10], frame[11] = 0, 0, 0
	le.PutUint32(frame[12:], h.records)
	le.PutUint64(frame[16:], h.nonce)
	le.PutUint64(frame[24:], uint64(h.first))
	le.PutUint64(frame[32:], uint64(h.synced))
	le.PutUint32(frame, crc32.Checksum(frame[4:], castagnoli))
}

func decodeFrameHeader(b []byte) frameHeader {
	_ = b[frameHeaderSize-1]
	return frameHeader{
		crc:     le.Uint32(b),
		length:  le.Uint32(b[4:]),
		kind:    b[8],
		records: le.Uint32(b[12:]),
		nonce:   le.Uint64(b[16:]),
		first:   LSN(le.Uint64(b[24:])),
		synced:  LSN(le.Uint64(b[32:])),
	}
}

var (
	errFrameShort  = errors.New("frame is incomplete")
	errFrameZero   = errors.New("zeros where a frame should be")
	errFrameNonce  = errors.New("frame has a foreign nonce")
	errFrameOther  = errors.New("no frame of this file, but one of a foreign nonce or none")
	errFramePlace  = errors.New("frame belongs to another place")
	errFrameLength = errors.New("frame is longer than the rest of the file")
	errFrameCRC    = errors.New("frame has a wrong checksum")
)

// plausible checks what can be known of a frame at lsn, with rest bytes of the
// file from its first on, before its content is read.
func (h frameHeader) plausible(nonce uint64, lsn LSN, rest int64) error {
	switch {
	case h == frameHeader{}:
		return errFrameZero
	case h.nonce != nonce && h.first != lsn:
		return errFrameOther
	case h.nonce != nonce:
		return errFrameNonce
	case h.first != lsn:
		return errFramePlace
	case h.size() > rest:
		return errFrameLength
	}
	return nil
}

// records hands out the records of a frame's payload, which begins at lsn.
// The checksum was right, so whatever is wrong here was written wrongly.
func (h frameHeader) eachRecord(payload []byte, fn func(LSN, []byte) error) error {
	lsn := h.first + frameHeaderSize
	n := uint32(0)
	for p := payload; len(p) > 0; n++ {
		if len(p) < recordHeader {
			return fmt.Errorf("record %d of the frame at %d is incomplete", n, h.first)
		}
		size := int64(le.Uint32(p))
		if size > int64(len(p)-recordHeader) {
			return fmt.Errorf("record %d of the frame at %d passes the frame's end", n, h.first)
		}
		end := recordHeader + int(size)
		if err := fn(lsn+recordHeader, p[recordHeader:end:end]); err != nil {
			return &replayError{err}
		}
		lsn += LSN(end)
		p = p[end:]
	}
	if n != h.records {
		return fmt.Errorf("frame at %d has %d records and should have %d", h.first, n, h.records)
	}
	return nil
}

// replayError carries an error of the caller's replay function past the
// code that would take it for a corruption.
type replayError struct{ err error }

func (e *replayError) Error() string { return e.err.Error() }

func fileName(seq uint64) string { return fmt.Sprintf("%020d%s", seq, fileSuffix) }

// parseFileName returns the sequence number of a log file's name.
func parseFileName(name string) (seq uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && fileName(seq) == name
}
