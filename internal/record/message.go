package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
)

// Message is what a producer gave. All of it is opaque to the store but for
// Persistent.
type Message struct {
	Exchange   []byte // at most 255 bytes
	RoutingKey []byte // at most 255 bytes
	Props      []byte // at most MaxProps bytes
	Body       []byte
	// Persistent: the message survives a restart in its durable queues.
	Persistent bool
	// Expires is when the message is of no use any more, in ms since 1970; 0: it
	// always is. AtOnce means that it is to be had only by who waits for it.
	Expires int64
}

// AtOnce, as Message.Expires, says that a message has no time to wait.
const AtOnce = 1

// MaxProps bounds Message.Props, in bytes.
const MaxProps = MaxOverhead - BlobHeader - expiresSize - 2*255

// MaxOverhead bounds how many bytes of a blob are not body.
const MaxOverhead = 1<<24 - 1

// A blob is a message as it lies in the log, in memory, and wherever it is
// moved to later: it is copied verbatim. doc.go has the table.
const (
	BlobHeader     = 24
	BlobCheck      = 8 // checksum and length: a payload is a blob without them
	expiresSize    = 8
	flagPersistent = 1 << 0
	flagExpires    = 1 << 1

	// Up to here a blob's checksum is computed where it was copied to, under
	// the log's append lock, in one go; larger ones beforehand in pieces.
	CRCInPlace = 4 << 10
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// BlobSize is the length of m's blob, in 64 bits since it may pass 32.
func (m *Message) BlobSize() int64 {
	n := BlobHeader + int64(len(m.Exchange)) + int64(len(m.RoutingKey)) + int64(len(m.Props)) + int64(len(m.Body))
	if m.Expires != 0 {
		n += expiresSize
	}
	return n
}

// Validate reports what a blob cannot hold.
func (m *Message) Validate() error {
	switch {
	case len(m.Exchange) > 255:
		return fmt.Errorf("exchange name has %d bytes, more than 255", len(m.Exchange))
	case len(m.RoutingKey) > 255:
		return fmt.Errorf("routing key has %d bytes, more than 255", len(m.RoutingKey))
	case len(m.Props) > MaxProps:
		return fmt.Errorf("properties have %d bytes, more than %d", len(m.Props), MaxProps)
	case m.BlobSize() > 1<<32-1:
		return fmt.Errorf("message has %d bytes, more than %d", m.BlobSize(), uint32(1<<32-1))
	}
	return nil
}

// putBlobHeader writes the header of m's blob but for the checksum.
func (m *Message) putBlobHeader(p []byte, size uint32, ms int64) {
	_ = p[BlobHeader-1]
	le.PutUint32(p[4:], size)
	le.PutUint64(p[8:], uint64(ms))
	p[16] = byte(len(m.Exchange))
	p[17] = byte(len(m.RoutingKey))
	p[18] = 0
	if m.Persistent {
		p[18] = flagPersistent
	}
	if m.Expires != 0 {
		p[18] |= flagExpires
	}
	p[19] = 0
	le.PutUint32(p[20:], uint32(len(m.Props)))
}

// blobHeads are for BlobCRC: what package crc32 is given escapes.
var blobHeads = sync.Pool{New: func() any { return new([BlobHeader + expiresSize]byte) }}

// BlobCRC is the checksum of m's blob before it is put together.
func (m *Message) BlobCRC(size uint32, ms int64) uint32 {
	h := blobHeads.Get().(*[BlobHeader + expiresSize]byte)
	defer blobHeads.Put(h)
	m.putBlobHeader(h[:], size, ms)
	n := BlobHeader
	if m.Expires != 0 {
		le.PutUint64(h[n:], uint64(m.Expires))
		n += expiresSize
	}
	crc := crc32.Checksum(h[4:n], castagnoli)
	for _, part := range [...][]byte{m.Exchange, m.RoutingKey, m.Props, m.Body} {
		crc = crc32.Update(crc, castagnoli, part)
	}
	return crc
}

// PutBlob writes m's blob into p, which has its size. crc is its checksum, if
// it is longer than CRCInPlace; else it is computed here.
func (m *Message) PutBlob(p []byte, ms int64, crc uint32) {
	m.putBlobHeader(p, uint32(len(p)), ms)
	n := BlobHeader
	if m.Expires != 0 {
		le.PutUint64(p[n:], uint64(m.Expires))
		n += expiresSize
	}
	n += copy(p[n:], m.Exchange)
	n += copy(p[n:], m.RoutingKey)
	n += copy(p[n:], m.Props)
	copy(p[n:], m.Body)
	if len(p) <= CRCInPlace {
		crc = crc32.Checksum(p[4:], castagnoli)
	}
	le.PutUint32(p, crc)
}

var (
	ErrBlobShort  = errors.New("message is shorter than its header")
	ErrBlobLength = errors.New("message has a wrong length")
	ErrBlobParts  = errors.New("message is shorter than its parts")
	ErrBlobCRC    = errors.New("message has a wrong checksum")
)

// CheckBlob says whether p is a whole and undamaged blob: for what comes from
// a file, of which the log has checked bounds only.
func CheckBlob(p []byte) error {
	switch {
	case len(p) < BlobHeader:
		return ErrBlobShort
	case uint64(le.Uint32(p[4:])) != uint64(len(p)):
		return ErrBlobLength
	case le.Uint32(p) != crc32.Checksum(p[4:], castagnoli):
		return ErrBlobCRC
	}
	return nil
}

// Parse takes a blob apart; the message points into p. ms is its time of
// publication, in ms since 1970. It checks lengths and not the checksum.
func Parse(p []byte) (m Message, ms int64, err error) {
	ms, err = m.Parse(p)
	return m, ms, err
}

// Parse is the function Parse into a message that is there: with an error it is not
// to be used.
func (m *Message) Parse(p []byte) (ms int64, err error) {
	if len(p) < BlobHeader {
		return 0, ErrBlobShort
	}
	if uint64(le.Uint32(p[4:])) != uint64(len(p)) {
		return 0, ErrBlobLength
	}
	return m.ParsePayload(p[BlobCheck:])
}

// payloadHeader is what stands before the parts of a payload; ok is false for one
// that ends before.
func payloadHeader(p []byte) (header int, expires int64, ok bool) {
	header = BlobHeader - BlobCheck
	if len(p) < header {
		return 0, 0, false
	}
	if p[10]&flagExpires == 0 {
		return header, 0, true
	}
	if len(p) < header+expiresSize {
		return 0, 0, false
	}
	return header + expiresSize, int64(le.Uint64(p[header:])), true
}

// ParsePayload is Parse for what a segment holds of a blob, where length and
// checksum stand elsewhere.
func ParsePayload(p []byte) (m Message, ms int64, err error) {
	ms, err = m.ParsePayload(p)
	return m, ms, err
}

// ParsePayload is the function ParsePayload as Parse is Parse.
func (m *Message) ParsePayload(p []byte) (ms int64, err error) {
	header, expires, ok := payloadHeader(p)
	if !ok {
		return 0, ErrBlobShort
	}
	ex := header + int(p[8])
	rk := ex + int(p[9])
	body := rk + int(le.Uint32(p[12:]))
	if body < rk || body > len(p) {
		return 0, ErrBlobParts
	}
	m.Exchange = p[header:ex:ex]
	m.RoutingKey = p[ex:rk:rk]
	m.Props = p[rk:body:body]
	m.Body = p[body:len(p):len(p)]
	m.Persistent = p[10]&flagPersistent != 0
	m.Expires = expires
	return int64(le.Uint64(p)), nil
}

// PayloadTimes is when the message of a payload was published, and when it
// expires, without a look at the rest. ok is false where it is none.
func PayloadTimes(p []byte) (ms, expires int64, ok bool) {
	_, expires, ok = payloadHeader(p)
	if !ok {
		return 0, 0, false
	}
	return int64(le.Uint64(p)), expires, true
}

// AppendBlob appends the blob that a payload was made of.
func AppendBlob(dst, payload []byte) []byte {
	at := len(dst)
	dst = le.AppendUint32(append(dst, 0, 0, 0, 0), uint32(BlobCheck+len(payload)))
	dst = append(dst, payload...)
	le.PutUint32(dst[at:], crc32.Checksum(dst[at+4:], castagnoli))
	return dst
}

// PayloadBody is how many bytes of a payload are body; 0 where it is none.
func PayloadBody(p []byte) uint32 {
	header, _, ok := payloadHeader(p)
	if !ok {
		return 0
	}
	rest := uint64(p[8]) + uint64(p[9]) + uint64(le.Uint32(p[12:])) + uint64(header)
	if rest > uint64(len(p)) || rest > MaxOverhead {
		return 0
	}
	return uint32(uint64(len(p)) - rest)
}

// BodyLen is how many bytes of a blob are body, and when the message expires.
func BodyLen(p []byte) (body uint32, expires int64, err error) {
	m, _, err := Parse(p)
	if err != nil {
		return 0, 0, err
	}
	if len(p)-len(m.Body) > MaxOverhead {
		return 0, 0, ErrBlobParts
	}
	return uint32(len(m.Body)), m.Expires, nil
}
