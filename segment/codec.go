package segment

import "github.com/klauspost/compress/zstd"

// codec is how a block's payload is stored.
type codec uint8

const (
	codecRaw  codec = 0
	codecZstd codec = 1
)

// Level is how hard a builder tries to compress.
type Level uint8

const (
	// Fastest is for what leaves the log: nobody knows yet how long it stays.
	Fastest Level = iota
	// Better is for what has proved cold.
	Better
)

// worth is the share of a block, 1/worth, that compression must save: else each
// reading would pay for nothing.
const worth = 16

// mostRatio is beyond what zstd can do, which is 128 KiB from 4 bytes.
const mostRatio = 1 << 16

// plausible says whether a header's lengths go together, before memory is taken
// for them.
func plausible(c codec, stored, raw uint32) bool {
	switch c {
	case codecRaw:
		return stored == raw && raw <= maxRaw
	case codecZstd:
		return stored < raw && raw <= maxRaw && uint64(raw) <= mostRatio*uint64(stored)
	}
	return false
}

// decoder is for all readers; DecodeAll starts no goroutine. It is made at once,
// and not on first use, since it has a channel inside: one that was made in a
// synctest bubble would be of no use outside of it.
var decoder = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxRaw), zstd.WithDecoderLowmem(true), zstd.IgnoreChecksum(true))
	if err != nil {
		panic(err) // the options are wrong
	}
	return d
}()

// newEncoder returns an encoder for one builder; EncodeAll starts no goroutine.
// It takes half a megabyte, at Better five, from its first block on.
func newEncoder(level Level) *zstd.Encoder {
	// Blocks have checksums of their own, and are shorter than the window unless a
	// single record is longer.
	speed := zstd.SpeedFastest
	if level == Better {
		speed = zstd.SpeedBetterCompression
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are wrong
	}
	return e
}

// pack appends p to dst, compressed if that is worth it.
func pack(e *zstd.Encoder, dst, p []byte) ([]byte, codec) {
	at := len(dst)
	dst = e.EncodeAll(p, dst)
	if n := len(dst) - at; n <= len(p)-len(p)/worth && n < len(p) && uint64(len(p)) <= mostRatio*uint64(n) {
		return dst, codecZstd
	}
	return append(dst[:at], p...), codecRaw
}

// unpack writes to dst what stored holds; dst has the length that it must have.
func unpack(dst, stored []byte, c codec) error {
	if c == codecRaw {
		if copy(dst, stored) != len(dst) || len(stored) != len(dst) {
			return errDecompress
		}
		return nil
	}
	out, err := decoder.DecodeAll(stored, dst[:0:len(dst)])
	if err != nil || len(out) != len(dst) {
		return errDecompress
	}
	return nil
}
