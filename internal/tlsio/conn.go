package tlsio

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
)

const (
	inSize  = 64 << 10 // what one read of the socket brings at most
	outMost = 64 << 10 // from what on gathered records are written

	recordHeader = 5        // type, version, length
	recordMost   = 18 << 10 // more than a record takes: what crypto/tls writes beyond is several
)

var (
	ins  = sync.Pool{New: func() any { return new([inSize]byte) }}
	outs = sync.Pool{New: func() any { return new([outMost + recordMost]byte) }}
)

// Conn is a connection below one of crypto/tls. One goroutine reads, More included;
// several may write.
type Conn struct {
	net.Conn
	raw *rawReader

	// Of the one who reads.
	in   *[inSize]byte // nil while nothing is in it
	r, w int
	left int // bytes that are owed of the record that has begun
	kept int // bytes of head
	head [recordHeader]byte
	rash bool // what would wait fails instead

	mu        sync.Mutex
	out       *[outMost + recordMost]byte // under mu; nil while nothing is in it
	n         int                         // under mu: bytes in out
	gathering bool                        // under mu
}

// New wraps a connection.
func New(nc net.Conn) *Conn {
	c := &Conn{Conn: nc}
	c.raw = newRawReader(c)
	return c
}

// More reads what the records hold that are here as a whole, by the connection of
// crypto/tls above this one. It waits for nothing: where a record is one of TLS's own, or
// empty, crypto/tls goes on to read, and gets an error that it does not keep. All other
// errors come again.
func (c *Conn) More(above io.Reader, p []byte) (n int) {
	c.rash = true
	defer func() { c.rash = false }()
	for n < len(p) && c.whole() {
		m, err := above.Read(p[n:])
		if n += m; err != nil {
			break
		}
	}
	return n
}

// whole is whether the next record is here as a whole: who reads it will not wait.
func (c *Conn) whole() bool {
	n := c.w - c.r
	return c.left == 0 && n >= recordHeader && n >= c.record()
}

// waitError is a net.Error.
type waitError struct{}

func (waitError) Error() string   { return "no record is here" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// record is the length of the record at c.r.
func (c *Conn) record() int { return recordHeader + int(binary.BigEndian.Uint16(c.in[c.r+3:])) }

// Read gives no more than one record, so that crypto/tls has read none that it was not
// asked for.
func (c *Conn) Read(p []byte) (int, error) {
	if c.raw == nil {
		return c.Conn.Read(p)
	}
	for c.r == c.w || c.left == 0 && c.w-c.r < recordHeader {
		if c.rash {
			return 0, waitError{}
		}
		if err := c.raw.read(); err != nil {
			return 0, err
		}
	}
	if c.left == 0 {
		c.left = c.record()
	}
	n := copy(p, c.in[c.r:min(c.w, c.r+c.left)])
	c.left -= n
	if c.r += n; c.r == c.w {
		ins.Put(c.in)
		c.in, c.r, c.w = nil, 0, 0
	}
	return n, nil
}

// room is where to read to.
func (c *Conn) room() []byte {
	if c.in == nil {
		c.in = ins.Get().(*[inSize]byte)
		c.w = copy(c.in[:], c.head[:c.kept])
		c.kept = 0
	}
	if c.r > 0 {
		c.w = copy(c.in[:], c.in[c.r:c.w])
		c.r = 0
	}
	return c.in[c.w:]
}

// rest gives the buffer back before a wait. It has no more than a part of a header,
// since Read is called for nothing else.
func (c *Conn) rest() {
	c.kept = copy(c.head[:], c.in[:c.w])
	ins.Put(c.in)
	c.in, c.w = nil, 0
}

// Gather holds back what is written, up to some 64 KiB, until Flush. A handshake, which
// waits for answers, must be over.
func (c *Conn) Gather() {
	c.mu.Lock()
	c.gathering = true
	c.mu.Unlock()
}

// Flush writes what Gather has held back.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gathering = false
	return c.flush()
}

func (c *Conn) flush() error {
	if c.n == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.out[:c.n])
	outs.Put(c.out)
	c.out, c.n = nil, 0
	return err
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gathering && c.n == 0 || len(p) > recordMost {
		if err := c.flush(); err != nil {
			return 0, err
		}
		return c.Conn.Write(p)
	}
	if c.out == nil {
		c.out = outs.Get().(*[outMost + recordMost]byte)
	}
	c.n += copy(c.out[c.n:], p)
	if !c.gathering || c.n >= outMost {
		return len(p), c.flush()
	}
	return len(p), nil
}
