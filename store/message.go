package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/leveret-mq/leveret/index"
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
}

// MaxProps bounds Message.Props, in bytes.
const MaxProps = index.MaxOverhead - blobHeader - 2*255

// Item is a message that was claimed.
type Item struct {
	// Seq is the message's number in its queue: ascending in the order of
	// publication, never used twice.
	Seq uint64
	// Redelivered: the message was delivered before, or may have been before
	// a restart.
	Redelivered bool
	// Count is how often the message was requeued.
	Count uint32
	// Time is when the message was published, in ms since 1970.
	Time int64
	Message
}

// A blob is a message as it lies in the log, in memory, and wherever it is
// moved to later: it is copied verbatim. doc.go has the table.
const (
	blobHeader     = 24
	blobPersistent = 1 << 0

	// Up to here a blob's checksum is computed where it was copied to, under
	// the log's append lock, in one go; larger ones beforehand in pieces.
	blobCRCInPlace = 4 << 10
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// blobSize is the length of m's blob, in 64 bits since it may pass 32.
func (m *Message) blobSize() int64 {
	return blobHeader + int64(len(m.Exchange)) + int64(len(m.RoutingKey)) + int64(len(m.Props)) + int64(len(m.Body))
}

// validate reports what a blob cannot hold.
func (m *Message) validate() error {
	switch {
	case len(m.Exchange) > 255:
		return fmt.Errorf("exchange name has %d bytes, more than 255", len(m.Exchange))
	case len(m.RoutingKey) > 255:
		return fmt.Errorf("routing key has %d bytes, more than 255", len(m.RoutingKey))
	case len(m.Props) > MaxProps:
		return fmt.Errorf("properties have %d bytes, more than %d", len(m.Props), MaxProps)
	case m.blobSize() > 1<<32-1:
		return fmt.Errorf("message has %d bytes, more than %d", m.blobSize(), uint32(1<<32-1))
	}
	return nil
}

// putBlobHeader writes the header of m's blob but for the checksum.
func (m *Message) putBlobHeader(p []byte, size uint32, ms int64) {
	_ = p[blobHeader-1]
	le.PutUint32(p[4:], size)
	le.PutUint64(p[8:], uint64(ms))
	p[16] = byte(len(m.Exchange))
	p[17] = byte(len(m.RoutingKey))
	p[18] = 0
	if m.Persistent {
		p[18] = blobPersistent
	}
	p[19] = 0
	le.PutUint32(p[20:], uint32(len(m.Props)))
}

// blobCRC is the checksum of m's blob before it is put together.
func (m *Message) blobCRC(size uint32, ms int64) uint32 {
	var h [blobHeader]byte
	m.putBlobHeader(h[:], size, ms)
	crc := crc32.Checksum(h[4:], castagnoli)
	for _, part := range [...][]byte{m.Exchange, m.RoutingKey, m.Props, m.Body} {
		crc = crc32.Update(crc, castagnoli, part)
	}
	return crc
}

// putBlob writes m's blob into p, which has its size. crc is its checksum, if
// it is longer than blobCRCInPlace; else it is computed here.
func (m *Message) putBlob(p []byte, ms int64, crc uint32) {
	m.putBlobHeader(p, uint32(len(p)), ms)
	n := blobHeader
	n += copy(p[n:], m.Exchange)
	n += copy(p[n:], m.RoutingKey)
	n += copy(p[n:], m.Props)
	copy(p[n:], m.Body)
	if len(p) <= blobCRCInPlace {
		crc = crc32.Checksum(p[4:], castagnoli)
	}
	le.PutUint32(p, crc)
}

var (
	errBlobShort  = errors.New("message is shorter than its header")
	errBlobLength = errors.New("message has a wrong length")
	errBlobParts  = errors.New("message is shorter than its parts")
	errBlobCRC    = errors.New("message has a wrong checksum")
)

// checkBlob says whether p is a whole and undamaged blob: for what comes from
// a file, of which the log has checked bounds only.
func checkBlob(p []byte) error {
	switch {
	case len(p) < blobHeader:
		return errBlobShort
	case uint64(le.Uint32(p[4:])) != uint64(len(p)):
		return errBlobLength
	case le.Uint32(p) != crc32.Checksum(p[4:], castagnoli):
		return errBlobCRC
	}
	return nil
}

// parseBlob takes a blob apart; it points into p.
func (it *Item) parseBlob(p []byte) error {
	if len(p) < blobHeader {
		return errBlobShort
	}
	if uint64(le.Uint32(p[4:])) != uint64(len(p)) {
		return errBlobLength
	}
	ex := blobHeader + int(p[16])
	rk := ex + int(p[17])
	body := rk + int(le.Uint32(p[20:]))
	if body < rk || body > len(p) {
		return errBlobParts
	}
	it.Time = int64(le.Uint64(p[8:]))
	it.Persistent = p[18]&blobPersistent != 0
	it.Exchange = p[blobHeader:ex:ex]
	it.RoutingKey = p[ex:rk:rk]
	it.Props = p[rk:body:body]
	it.Body = p[body:len(p):len(p)]
	return nil
}

// blobBody is how many bytes of a blob are body.
func blobBody(p []byte) (uint32, error) {
	var it Item
	if err := it.parseBlob(p); err != nil {
		return 0, err
	}
	if len(p)-len(it.Body) > index.MaxOverhead {
		return 0, errBlobParts
	}
	return uint32(len(it.Body)), nil
}
